/* update_kernels.h - what happens to the weights after a step: AdamW, the norm, the moving average.
 *
 * All of it is bound by memory: each function passes once over its arrays. */
#ifndef VLM_NN_UPDATE_KERNELS_H
#define VLM_NN_UPDATE_KERNELS_H

#include "base/vlm.h"

/* The numbers of one AdamW step, the same for all elements of a parameter. */
struct vlm_adamw_factors {
    float gradient;     /* g is multiplied by this first: clipping */
    float keep;         /* 1 - rate * weight decay */
    float m_new;        /* 1 - beta1 */
    float v_old, v_new; /* beta2, 1 - beta2 */
    float rate;         /* rate / (1 - beta1^t) */
    float inverse_root; /* 1 / sqrt(1 - beta2^t) */
    float epsilon;
};

struct vlm_update_kernels {
    /* g = factor g;  p = keep p;  m += m_new (g - m);  v = v_old v + v_new g g;
     * p -= rate m / (sqrt(v) inverse_root + epsilon). NaN in any of them stays in p. */
    void (*adamw)(float *p, float *m, float *v, const float *g, size_t n,
                  const struct vlm_adamw_factors *factors);

    /* Sum of x^2, in double: only NaN and Inf in x make it NaN or Inf. */
    double (*sum_squares)(const float *x, size_t n);

    /* average += share (p - average). */
    void (*average)(float *average, const float *p, float share, size_t n);
};

#endif
