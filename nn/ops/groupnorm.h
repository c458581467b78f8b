/* groupnorm.h - group normalisation of images, with SiLU on the way out.
 *
 *   h = vlm_groupnorm(tape, x, &(struct vlm_groupnorm){ .weight = w, .bias = b, .groups = 32,
 *                                                       .eps = 1e-6f, .silu = true });
 *
 * Wu and He 2018, "Group Normalization", with the statistics of torch.nn.GroupNorm: mean and biased
 * variance over all pixels and the channels of a group, for each image by itself. */
#ifndef VLM_NN_GROUPNORM_H
#define VLM_NN_GROUPNORM_H

#include "nn/tape.h"

struct vlm_groupnorm {
    struct vlm_tensor *weight, *bias; /* [C] */
    size_t groups;                    /* divides C */
    float eps;
    bool silu;               /* y = u sigma(u), else y = u */
    struct vlm_tensor *into; /* inference: takes the result; may be x; NULL: a new tensor */
};

/* x [N, ..., C] -> y, the same shape: u = (x - mean) / sqrt(variance + eps) * weight + bias. With g the
 * gradient by u, h = g * weight and means over the group:
 *
 *     dx += (h - mean(h) - xhat mean(h xhat)) / sqrt(variance + eps)
 *     dweight += sum of g xhat, dbias += sum of g
 *
 * u and xhat are computed anew in the backward pass. */
struct vlm_tensor *vlm_groupnorm(struct vlm_tape *tape, struct vlm_tensor *x,
                                 const struct vlm_groupnorm *norm);

#endif
