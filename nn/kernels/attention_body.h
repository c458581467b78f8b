/* attention_body.h - softmax and its gradient on panels, for one kind of CPU. */
#ifndef VLM_NN_ATTENTION_BODY_H
#define VLM_NN_ATTENTION_BODY_H

#include "nn/kernels/attention_kernels.h"
#include "nn/kernels/gemm_body.h"
#include "nn/kernels/vector.h"

enum {
    ATTENTION_CHAINS = 4, /* sums over j mod 4 */
    ATTENTION_LINE = 16,  /* floats of a cache line */
    /* Rows of a wide tensor to ask the memory for in advance, since no CPU guesses them. */
    ATTENTION_AHEAD = 8,
    ATTENTION_STEP = 128,
};

typedef float quad __attribute__((vector_size(16), may_alias));

/* 2^x for x <= 127, error below 2e-7 of the result, exactly 1 at 0. 0 below about -126. NaN stays
 * NaN. x = n + r with |r| <= 1/2; 2^r by a polynomial fitted for the least relative error. */
VLM_INLINE vec vec_exp2(vec x)
{
#if defined(__AVX512F__)
    vec clamped = vec_max(vec_all(-150), x);
    vec n = _mm512_roundscale_ps(clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    const vec magic = vec_all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    vec clamped = vec_max(vec_all(-126), x);
    vec shifted = clamped + magic;
    vec n = shifted - magic;
#endif
    vec r = clamped - n;
    vec p = vec_all(0.001326472731307149f);
    p = vec_fma(p, r, vec_all(0.009671512991189957f));
    p = vec_fma(p, r, vec_all(0.05550733581185341f));
    p = vec_fma(p, r, vec_all(0.24022242426872253f));
    p = vec_fma(p, r, vec_all(0.6931470036506653f));
    p = vec_fma(p, r, vec_all(1));
#if defined(__AVX512F__)
    return _mm512_scalef_ps(p, n);
#else
    /* n + 127 in the exponent; a product, so that a NaN in p stays one. */
    vec y = p * (vec)(((ivec)shifted - (ivec)magic + 127) << 23);
    return vec_select(x < vec_all(-126), vec_zero(), y);
#endif
}

/* 0, 1, 2 ... */
VLM_INLINE uvec lane_numbers(void)
{
    uvec v = { 0 };
    for (uint32_t i = 0; i < LANES; i++)
        v[i] = i;
    return v;
}

VLM_INLINE uvec uvec_load(const uint32_t *p)
{
    uvec v;
    memcpy(&v, p, sizeof(v));
    return v;
}

VLM_INLINE uvec uvec_all(uint32_t x)
{
    return (uvec){ 0 } + x;
}

/* ---- forward ---- */

/* One step of the streaming softmax (Milakov and Gimelshein 2018, "Online normalizer calculation
 * for softmax", algorithm 3), for LANES queries: the maximum with that of a block, and the factor
 * for the sums so far. Nothing seen so far: 0, not 2^(-inf + inf). */
VLM_INLINE vec new_max(vec *max, vec largest, float factor)
{
    vec old = *max, infinity = vec_all(__builtin_inff());
    *max = vec_max(old, largest * factor);
    return vec_select(old == -infinity, vec_zero(), vec_exp2(old - *max));
}

/* Of a group of columns: what the steps below share. */
struct column_group {
    float *scores; /* of row 0 */
    uvec lo, count;
    uint32_t first;
    float factor;
};

VLM_INLINE vec score(const struct column_group *g, size_t k, bool masked, vec hidden)
{
    vec s = vec_load(g->scores + k * NR);
    return masked ? vec_select((ivec)(g->first + (uint32_t)k - g->lo < g->count), s, hidden) : s;
}

VLM_INLINE void largest_of(vec largest[ATTENTION_CHAINS], const struct column_group *g,
                           size_t begin, size_t end, bool masked)
{
    vec hidden = vec_all(-__builtin_inff());
    for (size_t k = begin; k < end; k += ATTENTION_CHAINS)
        for (size_t i = 0; i < ATTENTION_CHAINS; i++)
            largest[i] = vec_max(largest[i], score(g, k + i, masked, hidden));
}

VLM_INLINE void probabilities(vec sum[ATTENTION_CHAINS], const struct column_group *g, size_t begin,
                              size_t end, vec max, bool masked, bool bf16)
{
    for (size_t k = begin; k < end; k += ATTENTION_CHAINS) {
        vec p[ATTENTION_CHAINS];
        for (size_t i = 0; i < ATTENTION_CHAINS; i++) {
            vec s = vec_load(g->scores + (k + i) * NR);
            p[i] = vec_exp2(vec_fma(s, vec_all(g->factor), -max));
            if (masked)
                p[i] = vec_select((ivec)(g->first + (uint32_t)(k + i) - g->lo < g->count), p[i],
                                  vec_zero());
            sum[i] += p[i];
        }
#if defined(__AVX512BF16__)
        if (bf16) {
            vec_store(g->scores + k / 2 * NR, round_to_pairs(p[0], p[1]));
            vec_store(g->scores + (k / 2 + 1) * NR, round_to_pairs(p[2], p[3]));
            continue;
        }
#endif
        for (size_t i = 0; i < ATTENTION_CHAINS; i++)
            vec_store(g->scores + (k + i) * NR, bf16 ? round_to_bf16(p[i]) : p[i]);
    }
}

/* Rows that all queries see need no test: [begin, end), multiples of ATTENTION_CHAINS. */
VLM_INLINE void columns_of(const struct vlm_attention_columns *block, bool bf16)
{
    size_t end = (block->keys + ATTENTION_CHAINS - 1) / ATTENTION_CHAINS * ATTENTION_CHAINS,
           all_begin = end, all_end = end;
    if (block->all_hi > block->first && block->all_lo < block->all_hi) {
        size_t lo = block->all_lo > block->first ? block->all_lo - block->first : 0;
        size_t hi = VLM_MIN((size_t)(block->all_hi - block->first), block->keys);
        all_begin = VLM_MIN((lo + ATTENTION_CHAINS - 1) / ATTENTION_CHAINS * ATTENTION_CHAINS, end);
        all_end = VLM_MAX(hi / ATTENTION_CHAINS * ATTENTION_CHAINS, all_begin);
    }
    for (size_t c = 0; c < NR; c += LANES) {
        struct column_group g = { .scores = block->scores + c,
                                  .lo = uvec_load(block->lo + c),
                                  .count = uvec_load(block->count + c),
                                  .first = block->first,
                                  .factor = block->factor };
        vec largest[ATTENTION_CHAINS], sum[ATTENTION_CHAINS], max = vec_load(block->max + c);
        for (size_t i = 0; i < ATTENTION_CHAINS; i++) {
            largest[i] = vec_all(-__builtin_inff());
            sum[i] = vec_zero();
        }
        largest_of(largest, &g, 0, all_begin, true);
        largest_of(largest, &g, all_begin, all_end, false);
        largest_of(largest, &g, all_end, end, true);
        vec top = vec_max(vec_max(largest[0], largest[1]), vec_max(largest[2], largest[3]));
        vec shrink = new_max(&max, top, block->factor);
        probabilities(sum, &g, 0, all_begin, max, true, bf16);
        probabilities(sum, &g, all_begin, all_end, max, false, bf16);
        probabilities(sum, &g, all_end, end, max, true, bf16);
        vec total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        vec_store(block->max + c, max);
        vec_store(block->sum + c, vec_fma(vec_load(block->sum + c), shrink, total));
        vec_store(block->shrink + c, shrink);
    }
}

static void columns_f32(const struct vlm_attention_columns *block)
{
    columns_of(block, false);
}

static void columns_bf16(const struct vlm_attention_columns *block)
{
    columns_of(block, true);
}

static void softmax_rows(const struct vlm_attention_rows *block)
{
    for (size_t r = 0; r < block->rows; r++) {
        float *s = block->scores + r * block->row;
        /* Lanes behind the block's last key are not of this block, though the row may see them. */
        uint32_t end = block->first + (uint32_t)block->keys, begin = block->lo[r];
        uint32_t seen = end > begin ? VLM_MIN(block->count[r], end - begin) : 0;
        uvec lo = uvec_all(begin), count = uvec_all(seen);
        vec largest = vec_all(-__builtin_inff());
        for (size_t k = 0; k < block->keys; k += LANES) {
            ivec visible = (ivec)(lane_numbers() + (block->first + (uint32_t)k) - lo < count);
            largest =
                vec_max(largest, vec_select(visible, vec_load(s + k), vec_all(-__builtin_inff())));
        }
        vec max = vec_all(block->max[r]);
        vec shrink = new_max(&max, vec_all(vec_largest(largest)), block->factor);
        quad sum = { 0 };
        for (size_t k = 0; k < block->keys; k += LANES) {
            ivec visible = (ivec)(lane_numbers() + (block->first + (uint32_t)k) - lo < count);
            vec p = vec_exp2(vec_fma(vec_load(s + k), vec_all(block->factor), -max));
            vec_store(s + k, vec_select(visible, p, vec_zero()));
            for (size_t i = 0; i < LANES; i += ATTENTION_CHAINS) {
                quad part;
                memcpy(&part, s + k + i, sizeof(part));
                sum += part;
            }
        }
        vec total = vec_all((sum[0] + sum[1]) + (sum[2] + sum[3]));
        block->sum[r] = vec_fma(vec_all(block->sum[r]), shrink, total)[0];
        block->max[r] = max[0];
        block->shrink[r] = shrink[0];
    }
}

/* ---- few queries, without packing ---- */

/* Asks for the part of a row that lies a whole block on, for the second cache: this is where the
 * time of a step of a decoder goes. What lies behind the tensor is asked for in vain. */
VLM_INLINE void ask_block_ahead(const float *x, size_t row, size_t n)
{
    for (size_t c = 0; c < n; c += ATTENTION_LINE)
        __builtin_prefetch(
            (const char *)(uintptr_t)((uintptr_t)x + (ATTENTION_STEP * row + c) * sizeof(float)), 0,
            2);
}

/* Results of `vectors` vectors of columns; `lanes` of the last one exist. */
VLM_INLINE void direct_columns(const struct vlm_attention_values *block, size_t column, size_t n,
                               size_t vectors, size_t lanes, bool bf16)
{
    vec sum[VLM_ATTENTION_DIRECT][VLM_ATTENTION_DIRECT];
    float *c = block->c + column;
    const float *x = block->rows + column, *a = block->a;
    const size_t pair = bf16 ? BF16_PAIR : 1;
#pragma GCC unroll 4
    for (size_t r = 0; r < n; r++)
#pragma GCC unroll 4
        for (size_t i = 0; i < vectors; i++)
            sum[r][i] = block->accumulate ? vec_load(c + r * block->c_row + i * LANES) : vec_zero();
    for (size_t j = 0; j < block->keys; j += pair, x += pair * block->row, a += MR) {
        for (size_t i = 0; i < pair; i++)
            ask_block_ahead(x + i * block->row, block->row, vectors * LANES);
#pragma GCC unroll 4
        for (size_t i = 0; i < vectors; i++) {
            size_t here = i + 1 < vectors ? (size_t)LANES : lanes;
            vec unit = load_up_to(x + i * LANES, here);
#if defined(__AVX512BF16__)
            const float *next = x + block->row + i * LANES;
            if (bf16)
                unit = round_to_pairs(unit, load_up_to(next, j + 1 < block->keys ? here : 0));
#else
            if (bf16)
                unit = round_to_bf16(unit);
#endif
#pragma GCC unroll 4
            for (size_t r = 0; r < n; r++)
                sum[r][i] = gemm_multiply_add(vec_all(a[r]), unit, sum[r][i], pair == 2);
        }
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < n; r++)
#pragma GCC unroll 4
        for (size_t i = 0; i < vectors; i++)
            vec_store(c + r * block->c_row + i * LANES, sum[r][i]);
}

/* Four vectors at once where there are as many: a row's numbers are then read together. */
VLM_INLINE void direct_values(const struct vlm_attention_values *block, size_t n, bool bf16)
{
    size_t c = 0;
    for (; c + 4 * LANES <= block->size; c += 4 * LANES)
        direct_columns(block, c, n, 4, LANES, bf16);
    for (; c + LANES <= block->size; c += LANES)
        direct_columns(block, c, n, 1, LANES, bf16);
    if (c < block->size)
        direct_columns(block, c, n, 1, block->size - c, bf16);
}

static void direct_values_f32(const struct vlm_attention_values *block)
{
    if (block->n == 1)
        direct_values(block, 1, false);
    else
        direct_values(block, VLM_ATTENTION_DIRECT, false);
}

static void direct_values_bf16(const struct vlm_attention_values *block)
{
    if (block->n == 1)
        direct_values(block, 1, true);
    else
        direct_values(block, VLM_ATTENTION_DIRECT, true);
}

static void shrink_columns(float *x, size_t rows, const float *factor)
{
    vec f0 = vec_load(factor), f1 = vec_load(factor + LANES);
    for (size_t i = 0; i < rows; i++, x += NR) {
        vec_store(x, vec_load(x) * f0);
        vec_store(x + LANES, vec_load(x + LANES) * f1);
    }
}

static void shrink_rows(float *x, size_t row, size_t rows, size_t n, const float *factor)
{
    for (size_t i = 0; i < rows; i++, x += row) {
        vec f = vec_all(factor[i]);
        size_t c = 0;
        for (; c + LANES <= n; c += LANES)
            vec_store(x + c, vec_load(x + c) * f);
        if (c < n)
            vec_store_n(x + c, vec_load_n(x + c, n - c) * f, n - c);
    }
}

static void finish(float *y, size_t y_row, const float *x, size_t x_row, size_t rows, size_t n,
                   const float *sum)
{
    for (size_t i = 0; i < rows; i++, x += x_row, y += y_row) {
        if (sum[i] == 0) {
            memset(y, 0, n * sizeof(*y));
            continue;
        }
        vec f = vec_all(1 / sum[i]);
        size_t c = 0;
        for (; c + LANES <= n; c += LANES)
            vec_store(y + c, vec_fma(vec_load(x + c), f, vec_zero()));
        if (c < n)
            vec_store_n(y + c, vec_fma(vec_load_n(x + c, n - c), f, vec_zero()), n - c);
    }
}

/* ---- backward ---- */

/* Two vectors of a row: p and ds. */
VLM_INLINE void gradient_row(vec p[2], vec ds[2], const struct vlm_attention_gradient *t, size_t r)
{
    const float *s = t->scores + r * NR, *dp = t->gradient + r * NR;
    vec minus_log_sum = vec_all(-t->log_sum[r]), minus_dot = vec_all(-t->dot[r]);
    for (size_t c = 0; c < 2; c++) {
        p[c] = vec_exp2(vec_fma(vec_load(s + c * LANES), vec_all(t->factor), minus_log_sum));
        ds[c] = p[c] * vec_fma(vec_load(dp + c * LANES), vec_all(t->scale), minus_dot);
    }
    uint32_t hidden = t->first - t->lo[r], count = t->count[r];
    if (hidden < count && count - hidden >= NR)
        return;
    for (uint32_t c = 0; c < 2; c++) {
        ivec visible = (ivec)(lane_numbers() + (hidden + c * LANES) < uvec_all(count));
        p[c] = vec_select(visible, p[c], vec_zero());
        ds[c] = vec_select(visible, ds[c], vec_zero());
    }
}

static void gradient_f32(const struct vlm_attention_gradient *block)
{
    for (size_t r = 0; r < block->rows; r++) {
        vec p[2], ds[2];
        gradient_row(p, ds, block, r);
        for (size_t c = 0; c < 2; c++) {
            vec_store(block->scores + r * NR + c * LANES, p[c]);
            vec_store(block->gradient + r * NR + c * LANES, ds[c]);
        }
    }
}

/* The one or two rows of a step of a bf16 panel. */
VLM_INLINE void gradient_step(const struct vlm_attention_gradient *block, size_t r, size_t rows)
{
    vec p[2][2] = { { vec_zero(), vec_zero() }, { vec_zero(), vec_zero() } };
    vec ds[2][2] = { { vec_zero(), vec_zero() }, { vec_zero(), vec_zero() } };
    float *scores = block->scores + r / BF16_PAIR * NR;
    float *gradient = block->gradient + r / BF16_PAIR * NR;
    gradient_row(p[0], ds[0], block, r);
    if (rows == 2)
        gradient_row(p[1], ds[1], block, r + 1);
    for (size_t c = 0; c < 2; c++) {
#if defined(__AVX512BF16__)
        vec_store(scores + c * LANES, round_to_pairs(p[0][c], p[1][c]));
        vec_store(gradient + c * LANES, round_to_pairs(ds[0][c], ds[1][c]));
#else
        vec_store(scores + c * LANES, round_to_bf16(p[0][c]));
        vec_store(gradient + c * LANES, round_to_bf16(ds[0][c]));
#endif
    }
#if defined(__AVX512BF16__)
    for (size_t i = 0; i < rows; i++) {
        __m512bh row = _mm512_cvtne2ps_pbh(ds[i][1], ds[i][0]);
        memcpy(block->ds_rows + (r + i) * NR, &row, sizeof(row));
    }
#endif
}

static void gradient_bf16(const struct vlm_attention_gradient *block)
{
    size_t r = 0;
    for (; r + BF16_PAIR <= block->rows; r += BF16_PAIR)
        gradient_step(block, r, BF16_PAIR);
    if (r < block->rows)
        gradient_step(block, r, 1);
}

/* The tile of gemm_body.h, but A lies in rows: its numbers are read one by one anyway. */
VLM_INLINE void queries_tile(const struct vlm_attention_queries *block, const float *b, float *c,
                             bool pairs)
{
    const size_t row = pairs ? NR / 2 : NR; /* units of 32 bits: steps of k */
    size_t steps = pairs ? (block->keys + 1) / 2 : block->keys;
    vec sum[MR][2];
#pragma GCC unroll 12
    for (size_t r = 0; r < MR; r++) {
        sum[r][0] = vec_load(c + r * block->n);
        sum[r][1] = vec_load(c + r * block->n + LANES);
    }
    const char *ds = block->ds;
    for (; steps; ds += block->panel_step) {
        const float *a = (const float *)(const void *)ds;
        size_t here = VLM_MIN(steps, row);
        steps -= here;
        for (size_t p = 0; p < here; p++, b += NR) {
            vec b0 = vec_load(b), b1 = vec_load(b + LANES);
#pragma GCC unroll 12
            for (size_t r = 0; r < MR; r++) {
                vec x = vec_all(a[r * row + p]);
                sum[r][0] = gemm_multiply_add(x, b0, sum[r][0], pairs);
                sum[r][1] = gemm_multiply_add(x, b1, sum[r][1], pairs);
            }
        }
    }
#pragma GCC unroll 12
    for (size_t r = 0; r < MR; r++) {
        vec_store(c + r * block->n, sum[r][0]);
        vec_store(c + r * block->n + LANES, sum[r][1]);
    }
}

VLM_INLINE void queries_of(const struct vlm_attention_queries *block, bool pairs)
{
    for (size_t j = 0; j < block->n; j += NR)
        queries_tile(block,
                     (const float *)(const void *)((const char *)block->b + j / NR * block->b_step),
                     block->c + j, pairs);
}

static void queries_f32(const struct vlm_attention_queries *block)
{
    queries_of(block, false);
}

static void queries_bf16(const struct vlm_attention_queries *block)
{
    queries_of(block, BF16_PAIR == 2);
}

static void dots(float *dot, const float *x, size_t x_row, const float *y, size_t y_row,
                 size_t rows, size_t n, float factor)
{
    for (size_t i = 0; i < rows; i++, x += x_row, y += y_row) {
        vec sum = vec_zero();
        size_t c = 0;
        for (; i + ATTENTION_AHEAD < rows && c < n; c += ATTENTION_LINE)
            __builtin_prefetch(y + ATTENTION_AHEAD * y_row + c);
        c = 0;
        for (; c + LANES <= n; c += LANES)
            sum = vec_fma(vec_load(x + c), vec_load(y + c), sum);
        if (c < n)
            sum = vec_fma(vec_load_n(x + c, n - c), vec_load_n(y + c, n - c), sum);
        dot[i] = factor * vec_sum(sum);
    }
}

static void put(float *y, size_t y_row, const float *x, size_t x_row, size_t rows, size_t n,
                bool add)
{
    for (size_t i = 0; i < rows; i++, x += x_row, y += y_row) {
        for (size_t c = 0; i + ATTENTION_AHEAD < rows && c < n; c += ATTENTION_LINE)
            __builtin_prefetch(y + ATTENTION_AHEAD * y_row + c, 1);
        if (add)
            gemm_add_row(y, x, n);
        else
            memcpy(y, x, n * sizeof(*y));
    }
}

/* ---- rotary positions ---- */

static void rotate(float *y, const float *x, size_t heads, size_t head_size, size_t pairs,
                   bool interleaved, const float *cosine, const float *sine)
{
    for (size_t h = 0; h < heads; h++, x += head_size, y += head_size) {
        for (size_t i = 0; interleaved && i < pairs; i++) {
            float a = x[2 * i], b = x[2 * i + 1];
            y[2 * i] = a * cosine[i] - b * sine[i];
            y[2 * i + 1] = b * cosine[i] + a * sine[i];
        }
        for (size_t i = 0; !interleaved && i < pairs; i++) {
            float a = x[i], b = x[i + pairs];
            y[i] = a * cosine[i] - b * sine[i];
            y[i + pairs] = b * cosine[i] + a * sine[i];
        }
        if (y != x)
            memcpy(y + 2 * pairs, x + 2 * pairs, (head_size - 2 * pairs) * sizeof(*y));
    }
}

static const struct vlm_attention_kernels attention_kernels = {
    .columns_f32 = columns_f32,
    .columns_bf16 = columns_bf16,
    .rows = softmax_rows,
    .values_f32 = direct_values_f32,
    .values_bf16 = direct_values_bf16,
    .gradient_f32 = gradient_f32,
    .gradient_bf16 = gradient_bf16,
    .queries_f32 = queries_f32,
    .queries_bf16 = queries_bf16,
    .shrink_columns = shrink_columns,
    .shrink_rows = shrink_rows,
    .finish = finish,
    .dots = dots,
    .put = put,
    .rotate = rotate,
};

#endif
