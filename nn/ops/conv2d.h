/* conv2d.h - convolution of images [N, H, W, C], channels last.
 *
 *   h = vlm_conv2d(tape, x, &(struct vlm_conv2d){ .weight = w, .bias = b, .before = 1, .after = 1 });
 *   h = vlm_conv2d(tape, h, &(struct vlm_conv2d){ .weight = down, .stride = 2, .after = 1 });
 *
 * The second is the down-sampling of taming-transformers, which puts zeros only on the right and the
 * bottom. A patch embedding is a convolution with stride = kernel size, a 1 x 1 convolution a linear
 * layer.
 *
 * Weights are [Co, kh, kw, Ci], so that a row of taps meets a run of x in memory. PyTorch's
 * [Co, Ci, kh, kw] is turned into that by weight.permute(0, 2, 3, 1).contiguous(). */
#ifndef VLM_NN_CONV2D_H
#define VLM_NN_CONV2D_H

#include "nn/tape.h"

enum vlm_conv_mode {
    VLM_CONV_EXACT, /* Winograd F(2 x 2) where it is faster (3 x 3, stride 1, enough channels), else
                          direct; both round alike */
    VLM_CONV_DIRECT,   /* always */
    VLM_CONV_WINOGRAD, /* F(2 x 2) wherever it applies */
    VLM_CONV_FAST,     /* F(4 x 4) where EXACT takes F(2 x 2): an error of about 1e-5 */
};

struct vlm_conv2d {
    struct vlm_tensor *weight;   /* [Co, kh, kw, Ci] */
    struct vlm_tensor *bias;     /* [Co] or NULL */
    struct vlm_tensor *residual; /* as the result, or NULL: added last */
    struct vlm_tensor *into;     /* inference: takes the result; may be residual; NULL: a new one */
    size_t stride;               /* 0: 1 */
    size_t before, after;        /* zeros above and left, below and right */
    enum vlm_conv_mode mode;     /* with operands in bf16 every mode is direct */
    bool f32;                    /* inference: operands in fp32 on a tape in bf16 too */
    const void *packed;          /* of vlm_conv2d_pack(), or NULL: packed anew */
};

/* x [N, H, W, Ci] -> y [N, OH, OW, Co], OH = (H + before + after - kh) / stride + 1 (0 when the kernel
 * does not fit):
 *
 *     y(n, r, c, o) = b(o) + residual(n, r, c, o)
 *         + sum over i, j, k of w(o, i, j, k) x(n, r * stride + i - before, c * stride + j - before, k)
 *
 * With g the gradient by y: dx is the correlation of g with the flipped taps (for stride s one such for
 * each of the s * s positions of a pixel between the windows), dw(o, i, j, k) the sum over n, r, c of
 * g(n, r, c, o) times that x, db the sum of g, dresidual = g. */
struct vlm_tensor *vlm_conv2d(struct vlm_tape *tape, struct vlm_tensor *x,
                              const struct vlm_conv2d *conv);

/* Weights for many calls (inference): bytes, and the packing. Depends on the weight's shape, stride,
 * mode and precision, not on images. scratch: as many bytes as the second function says. */
size_t vlm_conv2d_packed_size(const struct vlm_engine *engine, const struct vlm_conv2d *conv,
                              enum vlm_dtype precision);
size_t vlm_conv2d_pack_scratch(const struct vlm_engine *engine, const struct vlm_conv2d *conv,
                               enum vlm_dtype precision);
void vlm_conv2d_pack(const struct vlm_engine *engine, void *packed, const struct vlm_conv2d *conv,
                     enum vlm_dtype precision, void *scratch);

#endif
