/* update_body.h - updates of weights. What each function computes stands in update_kernels.h. */
#ifndef VLM_NN_UPDATE_BODY_H
#define VLM_NN_UPDATE_BODY_H

#include "nn/kernels/update_kernels.h"
#include "nn/kernels/vector.h"

VLM_INLINE vec update_adamw_vec(vec p, vec *m, vec *v, vec g, const struct vlm_adamw_factors *f)
{
    g *= vec_all(f->gradient);
    p *= vec_all(f->keep);
    *m = vec_fma(vec_all(f->m_new), g - *m, *m);
    *v = vec_fma(vec_all(f->v_new) * g, g, vec_all(f->v_old) * *v);
    vec root = vec_fma(vec_sqrt(*v), vec_all(f->inverse_root), vec_all(f->epsilon));
    return p - vec_all(f->rate) * (*m / root);
}

static void update_adamw(float *p, float *m, float *v, const float *g, size_t n,
                         const struct vlm_adamw_factors *factors)
{
    const struct vlm_adamw_factors f = *factors;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec m1 = vec_load(m + i), v1 = vec_load(v + i);
        vec_store(p + i, update_adamw_vec(vec_load(p + i), &m1, &v1, vec_load(g + i), &f));
        vec_store(m + i, m1);
        vec_store(v + i, v1);
    }
    size_t rest = n - i;
    if (rest > 0) {
        vec m1 = vec_load_n(m + i, rest), v1 = vec_load_n(v + i, rest);
        vec p1 = vec_load_n(p + i, rest);
        vec_store_n(p + i, update_adamw_vec(p1, &m1, &v1, vec_load_n(g + i, rest), &f), rest);
        vec_store_n(m + i, m1, rest);
        vec_store_n(v + i, v1, rest);
    }
}

/* Half a vector of floats, widened. */
typedef float update_half __attribute__((vector_size(2 * LANES)));
typedef double update_wide __attribute__((vector_size(4 * LANES)));

static double update_sum_squares(const float *x, size_t n)
{
    enum { HALF = LANES / 2, UPDATE_CHAINS = 4 };
    update_wide sum[UPDATE_CHAINS] = { { 0 } };
    for (; n >= UPDATE_CHAINS * HALF; n -= UPDATE_CHAINS * HALF, x += UPDATE_CHAINS * HALF)
        for (int i = 0; i < UPDATE_CHAINS; i++) {
            update_half part;
            memcpy(&part, x + i * HALF, sizeof(part));
            update_wide wide = __builtin_convertvector(part, update_wide);
            sum[i] += wide * wide;
        }
    sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    double total = 0;
    for (int i = 0; i < HALF; i++)
        total += sum[0][i];
    for (size_t i = 0; i < n; i++)
        total += (double)x[i] * x[i];
    return total;
}

static void update_average(float *average, const float *p, float share, size_t n)
{
    const vec s = vec_all(share);
    for (; n >= LANES; n -= LANES, average += LANES, p += LANES) {
        vec a = vec_load(average);
        vec_store(average, vec_fma(s, vec_load(p) - a, a));
    }
    if (n > 0) {
        vec a = vec_load_n(average, n);
        vec_store_n(average, vec_fma(s, vec_load_n(p, n) - a, a), n);
    }
}

static const struct vlm_update_kernels update_kernels = {
    .adamw = update_adamw,
    .sum_squares = update_sum_squares,
    .average = update_average,
};

#endif
