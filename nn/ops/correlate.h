/* correlate.h - the product of a window that slides over images with weights: what the forward pass
 * of a convolution and its gradient by the input have in common. For the ops in this folder.
 *
 *     y(n, r, c, o) = bias(o) + residual(n, r, c, o)
 *         + sum over i, j, k of w(o, i, j, k) x(n, r * stride + i - top, c * stride + j - left, k)
 *
 *   struct vlm_correlation job = { .x = x, .images = n, ... };
 *   vlm_correlation_pack(engine, packed, &job, &taps, scratch);
 *   job.weights = packed;
 *   vlm_correlation_run(engine, &job, scratch);
 *
 * x outside of the image is zero. Direct: one sequential chain of fused multiply-adds over (i, j, k)
 * for each y, then bias, then residual. Winograd (winograd.h): 3 x 3 taps and stride 1 only. Either way
 * the bits of an image do not depend on the others, nor on the number of threads. */
#ifndef VLM_NN_CORRELATE_H
#define VLM_NN_CORRELATE_H

#include "nn/engine.h"
#include "nn/tensor.h"

enum vlm_correlation_method { VLM_DIRECT, VLM_WINOGRAD_2, VLM_WINOGRAD_4 };

struct vlm_correlation {
    enum vlm_correlation_method method;
    enum vlm_dtype precision; /* of the operands; Winograd: VLM_F32 */

    const float *x; /* [images, height, width, channels] */
    size_t images, height, width, channels;
    size_t tap_rows, tap_cols, stride; /* no taps: y = bias + residual */
    ptrdiff_t top, left;

    size_t rows, cols, out_channels; /* of y */
    float *y;
    size_t y_image, y_row, y_pixel; /* floats from an image, row, pixel of y to the next */
    const float *bias;              /* [out_channels] or NULL */
    const float *residual;          /* placed as y, or NULL; may be y */
    const void *weights;            /* of vlm_correlation_pack() */
};

/* Where the weights are: w(o, i, j, k) = w[o * out + k * in + i * row + j * col]. One of out and in is
 * 1. */
struct vlm_taps {
    const float *w;
    size_t out, in;
    ptrdiff_t row, col;
};

/* Bytes of packed weights. They depend on the shapes, the method and the kernels only. */
size_t vlm_correlation_packed_size(const struct vlm_engine *engine,
                                   const struct vlm_correlation *job);

/* Bytes of scratch that both functions below need, aligned to 64; for all threads. */
size_t vlm_correlation_scratch(const struct vlm_engine *engine, const struct vlm_correlation *job);

void vlm_correlation_pack(const struct vlm_engine *engine, void *packed,
                          const struct vlm_correlation *job, const struct vlm_taps *taps,
                          void *scratch);
void vlm_correlation_run(const struct vlm_engine *engine, const struct vlm_correlation *job,
                         void *scratch);

#endif
