/* nearest_body.h - the search for the largest score, first over blocks. */
#ifndef VLM_NN_NEAREST_BODY_H
#define VLM_NN_NEAREST_BODY_H

#include "nn/kernels/row_kernels.h"
#include "nn/kernels/vector.h"

static void block_max(float *max, const float *scores, const float *less, size_t n)
{
    for (; n >= VLM_MAX_BLOCK; n -= VLM_MAX_BLOCK) {
        vec top = vec_load(scores) - vec_load(less);
        for (size_t i = LANES; i < VLM_MAX_BLOCK; i += LANES)
            top = vec_max(top, vec_load(scores + i) - vec_load(less + i));
        float lanes[LANES];
        vec_store(lanes, top);
        *max = lanes[0];
        for (size_t i = 1; i < LANES; i++)
            *max = *max > lanes[i] ? *max : lanes[i];
        max++;
        scores += VLM_MAX_BLOCK;
        less += VLM_MAX_BLOCK;
    }
    if (n)
        *max = scores[0] - less[0];
    for (size_t i = 1; i < n; i++)
        *max = *max > scores[i] - less[i] ? *max : scores[i] - less[i];
}

/* vec_largest() where a NaN may be lost: by halves. */
VLM_INLINE float any_largest(vec v)
{
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps(v);
#else
    return vec_largest(v);
#endif
}

/* Some rows with one block of the codebook, two vectors of codes at a time. */
VLM_INLINE void score_rows(float *scores, float *max, const float *z, size_t z_row, size_t count,
                           const struct vlm_code_block *block)
{
    vec top[VLM_SCORE_ROWS];
    for (size_t r = 0; r < count; r++)
        top[r] = vec_all(-__builtin_inff());
    for (size_t c = 0; c < VLM_MAX_BLOCK; c += 2 * LANES) {
        const float *codes = block->codes + c;
        vec left[VLM_SCORE_ROWS], right[VLM_SCORE_ROWS];
        for (size_t r = 0; r < count; r++)
            left[r] = right[r] = vec_zero();
        for (size_t k = 0; k < block->width; k++, codes += VLM_MAX_BLOCK)
            for (size_t r = 0; r < count; r++) {
                vec x = vec_all(z[r * z_row + k]);
                left[r] = vec_fma(x, vec_load(codes), left[r]);
                right[r] = vec_fma(x, vec_load(codes + LANES), right[r]);
            }
        for (size_t r = 0; r < count; r++) {
            left[r] -= vec_load(block->less + c);
            right[r] -= vec_load(block->less + c + LANES);
            vec_store(scores + r * VLM_MAX_BLOCK + c, left[r]);
            vec_store(scores + r * VLM_MAX_BLOCK + c + LANES, right[r]);
            top[r] = vec_max(top[r], vec_max(left[r], right[r]));
        }
    }
    for (size_t r = 0; r < count; r++)
        max[r] = any_largest(top[r]);
}

static void score_block(float *scores, float *max, const float *z, size_t z_row, size_t rows,
                        const struct vlm_code_block *block)
{
    if (rows == VLM_SCORE_ROWS)
        score_rows(scores, max, z, z_row, VLM_SCORE_ROWS, block);
    else
        for (size_t r = 0; r < rows; r++)
            score_rows(scores + r * VLM_MAX_BLOCK, max + r, z + r * z_row, z_row, 1, block);
}

#endif
