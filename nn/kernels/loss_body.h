/* loss_body.h - softmax of rows of logits. What each function computes stands in loss_kernels.h. */
#ifndef VLM_NN_LOSS_BODY_H
#define VLM_NN_LOSS_BODY_H

#include "nn/kernels/gemm_body.h" /* round_to_bf16 */
#include "nn/kernels/loss_kernels.h"
#include "nn/kernels/vector.h"

/* Independent chains, so that the latency of one maximum or addition is not waited for. */
enum { LOSS_CHAINS = 4 };

static void loss_row_scan(float *largest, float *sum, const float *z, size_t n)
{
    vec top[LOSS_CHAINS], total[LOSS_CHAINS];
    for (int i = 0; i < LOSS_CHAINS; i++) {
        top[i] = vec_all(-__builtin_inff());
        total[i] = vec_zero();
    }
    for (; n >= LOSS_CHAINS * LANES; n -= LOSS_CHAINS * LANES, z += LOSS_CHAINS * LANES)
        for (int i = 0; i < LOSS_CHAINS; i++) {
            vec x = vec_load(z + i * LANES);
            top[i] = vec_max(top[i], x);
            total[i] += x;
        }
    for (; n >= LANES; n -= LANES, z += LANES) {
        top[0] = vec_max(top[0], vec_load(z));
        total[0] += vec_load(z);
    }
    float m = vec_largest(vec_max(vec_max(top[0], top[1]), vec_max(top[2], top[3])));
    float s = vec_sum((total[0] + total[1]) + (total[2] + total[3]));
    for (size_t i = 0; i < n; i++) {
        m = z[i] > m ? z[i] : m;
        s += z[i];
    }
    *largest = m + (s - s); /* s - s: 0, or NaN when s is not finite */
    *sum = s;
}

/* vec_exp() for x <= 0 or NaN: no overflow, and 2^n fits one exponent. */
VLM_INLINE vec loss_exp_negative(vec x)
{
    const vec low = vec_all(-87.33654f);
    vec shifted;
    vec p = vec_exp_parts(vec_max(low, x), &shifted);
    /* The lower 9 bits of magic are 0: the shift leaves n, in the place of an exponent. */
    vec power = (vec)(((uvec)shifted << 23) + (127u << 23));
    return vec_select(x < low, vec_zero(), p * power);
}

static float loss_row_exp(float *e, const float *z, float largest, size_t n)
{
    const vec m = vec_all(largest);
    vec total[2] = { vec_zero(), vec_zero() };
    for (; n >= 2 * LANES; n -= 2 * LANES, z += 2 * LANES)
        for (int i = 0; i < 2; i++) {
            vec y = loss_exp_negative(vec_load(z + i * LANES) - m);
            total[i] += y;
            if (e) {
                vec_store(e, y);
                e += LANES;
            }
        }
    float sum = vec_sum(total[0] + total[1]);
    while (n > 0) {
        size_t part = n < LANES ? n : LANES;
        float lane[LANES] = { 0 };
        memcpy(lane, z, part * sizeof(float));
        vec_store(lane, loss_exp_negative(vec_load(lane) - m));
        for (size_t i = 0; i < part; i++)
            sum += lane[i];
        if (e) {
            memcpy(e, lane, part * sizeof(float));
            e += part;
        }
        z += part;
        n -= part;
    }
    return sum;
}

static void loss_row_gradient(float *dz, const float *e, float factor, float shift, size_t n)
{
    const vec f = vec_all(factor), s = vec_all(-shift);
    for (; n >= LANES; n -= LANES, dz += LANES, e += LANES)
        vec_store(dz, vec_fma(vec_load(e), f, s));
    if (n > 0)
        vec_store_n(dz, vec_fma(vec_load_n(e, n), f, s), n);
}

static void loss_row_gradient_add(float *dz, const float *e, float factor, float shift, size_t n)
{
    const vec f = vec_all(factor), s = vec_all(-shift);
    for (; n >= LANES; n -= LANES, dz += LANES, e += LANES)
        vec_store(dz, vec_load(dz) + vec_fma(vec_load(e), f, s));
    if (n > 0)
        vec_store_n(dz, vec_load_n(dz, n) + vec_fma(vec_load_n(e, n), f, s), n);
}

/* Rounded to the nearest bf16, ties to even; the first n <= LANES lanes. */
VLM_INLINE void loss_store_bf16(uint16_t *to, vec x, size_t n)
{
#if defined(__AVX512BF16__)
    __m256bh y = _mm512_cvtneps_pbh(x);
#else
    typedef uint16_t half __attribute__((vector_size(2 * LANES)));
    half y = __builtin_convertvector((uvec)round_to_bf16(x) >> 16, half);
#endif
    if (n == LANES)
        memcpy(to, &y, sizeof(y));
    else
        memcpy(to, &y, n * sizeof(*to));
}

static void loss_row_gradient_bf16(uint16_t *dz, const float *e, float factor, float shift,
                                   size_t n)
{
    const vec f = vec_all(factor), s = vec_all(-shift);
    for (; n >= LANES; n -= LANES, dz += LANES, e += LANES)
        loss_store_bf16(dz, vec_fma(vec_load(e), f, s), LANES);
    if (n > 0)
        loss_store_bf16(dz, vec_fma(vec_load_n(e, n), f, s), n);
}

static const struct vlm_loss_kernels loss_kernels = {
    .row_scan = loss_row_scan,
    .row_exp = loss_row_exp,
    .row_gradient = loss_row_gradient,
    .row_gradient_add = loss_row_gradient_add,
    .row_gradient_bf16 = loss_row_gradient_bf16,
};

#endif
