/* image_loss.h - how far an image is from the one that it should be, at several sizes.
 *
 *   struct vlm_image_loss_parts parts;
 *   loss = vlm_image_loss(tape, x, &(struct vlm_image_loss){ .target = pixels, .absolute = 1,
 *                                                            .scales = 3, .scale_weight = 0.5f,
 *                                                            .parts = &parts });
 *
 * All terms are of the error e_0 = x - target alone and its images e_s, each the mean of 2 x 2 pixels of
 * the one before (an odd last row or column is left out). With |.| and means over all numbers:
 *
 *     loss = absolute mean |e_0| + square mean e_0^2 + scale_weight sum over s = 1 to scales of
 *            mean |e_s| + mean |e_s(r + 1, c) - e_s(r, c)| + mean |e_s(r, c + 1) - e_s(r, c)|
 *
 * A mean of nothing is 0. Errors of few large blocks cost more this way than noise of the same size, and
 * edges at block borders cost twice. */
#ifndef VLM_NN_IMAGE_LOSS_H
#define VLM_NN_IMAGE_LOSS_H

#include "nn/tape.h"

enum { VLM_IMAGE_LOSS_SCALES = 6 };

/* What the loss is the weighted sum of, before the weights. */
struct vlm_image_loss_parts {
    double absolute, square, scales;
};

struct vlm_image_loss {
    const float *target; /* as x; borrowed until the op returns */
    float absolute, square, scale_weight;
    unsigned scales;                    /* at most VLM_IMAGE_LOSS_SCALES */
    struct vlm_image_loss_parts *parts; /* out, or NULL */
};

/* x [N, H, W, C] -> the loss [1]. |u| has slope 0 at 0. The gradient is made with the loss and kept. */
struct vlm_tensor *vlm_image_loss(struct vlm_tape *tape, struct vlm_tensor *x,
                                  const struct vlm_image_loss *loss);

#endif
