/* linear.h - y = act(x W^T + b) + residual.
 *
 *   h = vlm_linear(tape, x, &(struct vlm_linear){ .weight = up, .bias = up_bias,
 *                                                 .activation = VLM_GELU_TANH });
 *   x = vlm_linear(tape, h, &(struct vlm_linear){ .weight = down, .bias = down_bias, .residual = x });
 *
 * One op for the product and what always follows it, so that a tile of the result is finished while
 * it is in the cache. */
#ifndef VLM_NN_LINEAR_H
#define VLM_NN_LINEAR_H

#include "nn/gemm.h"
#include "nn/tape.h"

struct vlm_linear {
    struct vlm_tensor
        *weight;             /* [out, in]; bf16 on a tape of that precision and int8 on one of fp32
                                       are weights of inference: no gradient goes through them */
    struct vlm_tensor *bias; /* [out] or NULL */
    enum vlm_activation activation; /* VLM_LINEAR: none */
    struct vlm_tensor *residual;    /* [rows, out] or NULL: added last */
    enum vlm_dtype result;          /* VLM_BF16: only products will read it; then it is rounded at
                                        once when the tape's precision is bf16, and half as large */
};

/* x [..., in], fp32 or bf16 -> y [..., out]. With u = x W^T + b and g the gradient by y:
 * gu = act'(u) g; dx += gu W; dW += gu^T x; db += sum of the rows of gu; dresidual += g. */
struct vlm_tensor *vlm_linear(struct vlm_tape *tape, struct vlm_tensor *x,
                              const struct vlm_linear *linear);

#endif
