/* conv_kernels.h - the inner part of convolutions, and of what stands between them.
 *
 * Images are [H, W, C], channels last, so the window of a kernel row is one run of memory: for a 3 x 3
 * convolution three runs of 3 C numbers. A product can read those runs where they are; nothing is
 * unfolded ("im2col"). Weights are packed as operand B of gemm_kernels.h: panels of `nr` output
 * channels, k in the order (tap row, tap column, channel). */
#ifndef VLM_NN_CONV_KERNELS_H
#define VLM_NN_CONV_KERNELS_H

#include "base/vlm.h"

/* Positions of a window over padded images, times one panel of weights. A unit is a float, or a pair
 * of bf16 (gemm_kernels.h); x and all steps count units. Positions run over columns, then rows, then
 * images. Columns are taken in groups of vlm_conv_kernels.group: the last group of a row may reach
 * beyond `cols`, and reads there. */
struct vlm_conv_strip {
    const float *x; /* first unit of the first window */
    size_t images, rows, cols;
    size_t image, row, pixel; /* from a window to that of the next image, row, column */
    size_t segments, segment; /* runs of a window, and the length of each */
    size_t segment_step;      /* from one run to the next */
    const float *w;           /* panel, at the first unit of the first run */
    size_t n;                 /* channels of the panel that are needed */
    float *sums;              /* [images, rows, cols rounded up to whole groups, nr] */
    bool accumulate;          /* start the chains from sums, not from 0 */
};

/* Sums of one row of positions on their way to y. */
struct vlm_conv_finish {
    float *y;
    size_t pixel;          /* floats from a position of y (and residual) to the next */
    const float *sums;     /* [cols, nr] */
    size_t cols, n;        /* positions, channels */
    const float *bias;     /* [n] or NULL */
    const float *residual; /* or NULL; may be y */
};

/* A tile of a Winograd convolution F(m x m, 3 x 3), m = 2 or 4, with a = m + 2 (nn/ops/winograd.h). */
enum { VLM_WINOGRAD_MAX = 6 };

struct vlm_winograd_input {
    const float *pixel[VLM_WINOGRAD_MAX * VLM_WINOGRAD_MAX]; /* of `channels` floats each */
    size_t channels;
    float *v;           /* component t of the transform goes to v + t * plane, */
    size_t plane;       /* in runs of `panel` channels (a multiple of nr, or all) */
    size_t panel, step; /* that are `step` floats apart */
};

struct vlm_winograd_output {
    const float *sums; /* component t at sums + t * plane, `n` floats */
    size_t plane, n;
    float *pixel[16];          /* m x m results; NULL: outside the image */
    const float *residual[16]; /* added last; all NULL or as pixel; may be equal */
    const float *bias;         /* or NULL */
};

/* GroupNorm of one image, by channel (all arrays are [channels]): xhat = (x - center) * rstd + shift,
 * u = xhat * weight + bias. The mean is center - shift / rstd: its fp32 part is subtracted first, which
 * is exact where it matters, so that a large mean costs no digits. */
struct vlm_channel_norm {
    size_t channels;
    const float *center, *rstd, *shift, *weight, *bias;
    bool silu; /* y = u sigma(u), else y = u */
};

struct vlm_conv_kernels {
    size_t group; /* columns that a kernel takes at once; divides the positions of a tile */
    size_t nr;    /* output channels of a panel */

    /* n floats rounded to bf16, as units one after the other; the last pair filled with zero. */
    void (*round_units)(float *units, const float *x, size_t n);
    /* Each element one sequential chain of fused multiply-adds over (segment, unit). */
    void (*strip_f32)(const struct vlm_conv_strip *strip);
    void (*strip_bf16)(const struct vlm_conv_strip *strip);
    /* y = sums + bias + residual. */
    void (*finish)(const struct vlm_conv_finish *finish);

    /* B^T d B of one tile of a x a pixels, for all channels. */
    void (*winograd_input)(size_t m, const struct vlm_winograd_input *input);
    /* A g A^T of one tile of 2 x 2 gradients; m = 2. */
    void (*winograd_gradient)(const struct vlm_winograd_input *input);
    /* A^T s A + bias + residual. */
    void (*winograd_output)(size_t m, const struct vlm_winograd_output *output);
    /* G g G^T: taps of n channels; tap (i, j) at w + i * row + j * col, component t to u + t * plane. */
    void (*winograd_weights)(size_t m, float *u, size_t plane, const float *w, ptrdiff_t row,
                             ptrdiff_t col, size_t n);

    /* w += G^T u G, the transposed of that for m = 2: n channels; component t at u + t * plane. */
    void (*winograd_weights_back)(float *w, size_t row, size_t col, const float *u, size_t plane,
                                  size_t n);

    /* sum[c] += sum over pixels of x(., c): in fp32 over few, then in double. So are the sums below. */
    void (*sum_pixels)(double *sum, const float *x, size_t pixels, size_t channels);
    /* sum[c] += x - origin[c], square[c] += (x - origin[c])^2. With an origin near x no digits are lost. */
    void (*norm_sums)(double *sum, double *square, const float *origin, const float *x,
                      size_t pixels, size_t channels);
    /* y of x; y may be x. */
    void (*norm_apply)(const struct vlm_channel_norm *norm, float *y, const float *x,
                       size_t pixels);
    /* With g the gradient by u: sum[c] += g, by_xhat[c] += g xhat. */
    void (*norm_backward_sums)(const struct vlm_channel_norm *norm, double *sum, double *by_xhat,
                               const float *x, const float *dy, size_t pixels);
    /* dx (+)= rstd (g weight - constant - xhat slope); constant and slope [channels]. */
    void (*norm_backward)(const struct vlm_channel_norm *norm, float *dx, const float *x,
                          const float *dy, size_t pixels, const float *constant, const float *slope,
                          bool accumulate);
};

#endif
