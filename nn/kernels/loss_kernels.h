/* loss_kernels.h - rows of logits: the softmax and its gradient, for nn/ops/vocabulary_loss.h and
 * nn/ops/cross_entropy.h.
 *
 * A row is walked in blocks of columns that stay in the first cache. Each block keeps its own largest
 * logit, so one exponential per logit is enough: the softmax over the whole row is
 *
 *     p_v = exp(z_v - m_b) * exp(m_b - M) / S,   M = max m_b,   S = sum_b exp(m_b - M) s_b
 *
 * and its second factor is one number for the block. */
#ifndef VLM_NN_LOSS_KERNELS_H
#define VLM_NN_LOSS_KERNELS_H

#include "base/vlm.h"

struct vlm_loss_kernels {
    /* *largest = max z, *sum = sum of z, over n >= 1 logits. *largest is NaN when a logit is NaN or
     * infinite (or the sum overflows), so that nothing made with it hides that. */
    void (*row_scan)(float *largest, float *sum, const float *z, size_t n);

    /* e = exp(z - largest), no z being larger than that; returns the sum of e. e may be z, or NULL
     * when only the sum is wanted. Below e^-87.3: 0. largest = NaN makes everything NaN. */
    float (*row_exp)(float *e, const float *z, float largest, size_t n);

    /* g = factor * e - shift, into dz (which may be e), or added to it, or rounded to bf16. */
    void (*row_gradient)(float *dz, const float *e, float factor, float shift, size_t n);
    void (*row_gradient_add)(float *dz, const float *e, float factor, float shift, size_t n);
    void (*row_gradient_bf16)(uint16_t *dz, const float *e, float factor, float shift, size_t n);
};

#endif
