/* contrastive.h - InfoNCE in both directions: pairs that belong together against all others.
 *
 *   struct vlm_tensor *loss = vlm_contrastive_loss(&tape, images, texts, log_scale);
 *
 * images and texts are [B, d] with rows of length 1 (vlm_l2_normalise()), row i of both a pair;
 * log_scale is [1], the logarithm of 1 / temperature. Radford et al. 2021 (CLIP), figure 3 and
 * section 2.5:
 *
 *     s_ij = e^t <image_i, text_j>,   t = min(log_scale, ln 100)
 *     loss = 1/2B sum_i (log sum_j e^(s_ij) - s_ii) + 1/2B sum_j (log sum_i e^(s_ij) - s_jj)
 *     ds_ij = (softmax over j + softmax over i - 2 [i = j]) / 2B
 *     dimage = e^t ds text,  dtext = e^t ds^T image,  dlog_scale = sum ds_ij s_ij
 *
 * Where log_scale is above ln 100 its gradient is kept only if it leads back below: without that the
 * parameter could not leave. A fixed temperature is a log_scale without needs_grad. Products are
 * fp32 whatever the precision of the tape: e^t = 100 would enlarge the rounding of bf16 to 0.4.
 * B x B logits are kept for the backward pass. Loss is 0 for B = 0. */
#ifndef VLM_NN_CONTRASTIVE_H
#define VLM_NN_CONTRASTIVE_H

#include "nn/tape.h"

/* A scalar [1]. */
struct vlm_tensor *vlm_contrastive_loss(struct vlm_tape *tape, struct vlm_tensor *images,
                                        struct vlm_tensor *texts, struct vlm_tensor *log_scale);

#endif
