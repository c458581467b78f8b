/* norm.h - rows of mean 0 and deviation 1, or of root mean square 1.
 *
 *   struct vlm_tensor *y = vlm_layernorm(&tape, x, weight, bias, 1e-5f);     // [rows, cols]
 *   struct vlm_tensor *a = vlm_layernorm_operand(&tape, x, weight, bias, 1e-5f);
 *   struct vlm_tensor *qkv = vlm_linear(&tape, a, &(struct vlm_linear){ .weight = w });
 *
 * layernorm, Ba, Kiros and Hinton 2016:
 *
 *     xhat = (x - mean) rstd,  rstd = 1 / sqrt(var + eps),  var with 1/cols,  y = xhat weight + bias
 *     h = dy weight;  dx = rstd (h - mean(h) - xhat mean(h xhat));  dweight = sum_rows dy xhat;
 *     dbias = sum_rows dy
 *
 * rmsnorm, Zhang and Sennrich 2019: the same with mean = 0 in xhat, without mean(h) and without bias.
 *
 * eps: GPT-2, CLIP 1e-5; BERT 1e-12; Llama 1e-5 or 1e-6. Mean and rstd of each row are saved, x is
 * kept by the tape, xhat is made again. dweight and dbias are summed over blocks of 64 rows, then
 * over the blocks in order. A NaN anywhere makes its whole row NaN, and so does Inf, but that RMSnorm
 * turns the finite numbers beside an Inf to 0. */
#ifndef VLM_NN_NORM_H
#define VLM_NN_NORM_H

#include "nn/tape.h"

/* x [..., cols], weight and bias [cols]; bias may be NULL. */
struct vlm_tensor *vlm_layernorm(struct vlm_tape *tape, struct vlm_tensor *x,
                                 struct vlm_tensor *weight, struct vlm_tensor *bias, float eps);
struct vlm_tensor *vlm_rmsnorm(struct vlm_tape *tape, struct vlm_tensor *x,
                               struct vlm_tensor *weight, float eps);

/* The same when only products read the result: on a tape of precision VLM_BF16 it is rounded to
 * VLM_BF16 here, as the product would do, and takes half the memory. Gradients stay fp32. */
struct vlm_tensor *vlm_layernorm_operand(struct vlm_tape *tape, struct vlm_tensor *x,
                                         struct vlm_tensor *weight, struct vlm_tensor *bias,
                                         float eps);
struct vlm_tensor *vlm_rmsnorm_operand(struct vlm_tape *tape, struct vlm_tensor *x,
                                       struct vlm_tensor *weight, float eps);

#endif
