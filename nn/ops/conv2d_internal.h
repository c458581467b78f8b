/* conv2d_internal.h - what the two files of conv2d share. */
#ifndef VLM_NN_CONV2D_INTERNAL_H
#define VLM_NN_CONV2D_INTERNAL_H

#include "nn/gemm.h"
#include "nn/ops/conv2d.h"
#include "nn/ops/correlate.h"

struct vlm_conv2d_node {
    struct vlm_node node;
    struct vlm_conv2d conv;
    struct vlm_tensor *x;
};

/* Sizes of one convolution. */
struct vlm_conv2d_shape {
    size_t images, height, width, in; /* x */
    size_t rows, cols, out;           /* y */
    size_t tap_rows, tap_cols, stride, before;
    bool linear; /* 1 x 1 and nothing else: a product of matrices */
};

void vlm_conv2d_shape(struct vlm_conv2d_shape *shape, const struct vlm_tensor *x,
                      const struct vlm_conv2d *conv);

/* How to correlate `in` channels with weights for `out`. */
enum vlm_correlation_method vlm_conv2d_method(enum vlm_conv_mode mode, enum vlm_dtype precision,
                                              const struct vlm_conv2d_shape *shape, size_t in,
                                              size_t out);

/* Packs and runs, with scratch of the tape; weights that are packed already when taps is NULL. */
void vlm_conv2d_correlate(struct vlm_tape *tape, struct vlm_correlation *job,
                          const struct vlm_taps *taps);

/* The same for a product of matrices. */
void vlm_conv2d_multiply(struct vlm_tape *tape, const struct vlm_gemm *job);

void vlm_conv2d_backward(struct vlm_tape *tape, struct vlm_node *node);

/* dw and db (either may be NULL) of the gradient g by y: weights with accumulate as in
 * vlm_grad_begin(), db added to. Takes scratch in a dry run too. */
void vlm_conv2d_weight_gradient(struct vlm_tape *tape, const struct vlm_conv2d_shape *shape,
                                const float *x, const float *g, float *dw, bool accumulate,
                                float *db);

/* The same for 3 x 3 taps and stride 1, with fewer multiplications; dw is added to. */
void vlm_conv2d_weight_gradient_winograd(struct vlm_tape *tape,
                                         const struct vlm_conv2d_shape *shape, const float *x,
                                         const float *g, float *dw, float *db);

#endif
