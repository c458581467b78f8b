/* conv2d.c - the convolution op: forward, and the gradient by its input. The gradient by the weights
 * stands in conv2d_weights.c. */
#include "base/vlm.h"

#include "nn/ops/conv2d_internal.h"

enum {
    WINOGRAD_CHANNELS = 32, /* fewer: transforms cost more than they save */
};

static size_t positions(size_t size, size_t taps, size_t padding, size_t stride)
{
    return size + padding < taps ? 0 : (size + padding - taps) / stride + 1;
}

static void weight_shape(struct vlm_conv2d_shape *shape, const struct vlm_conv2d *conv)
{
    const struct vlm_tensor *w = conv->weight;
    VLM_BUG_IF(w->rank != 4 || w->dtype != VLM_F32 || !w->shape[1] || !w->shape[2]);
    memset(shape, 0, sizeof(*shape));
    shape->out = w->shape[0];
    shape->tap_rows = w->shape[1];
    shape->tap_cols = w->shape[2];
    shape->in = w->shape[3];
    shape->stride = conv->stride ? conv->stride : 1;
    shape->before = conv->before;
    shape->linear = shape->tap_rows == 1 && shape->tap_cols == 1 && shape->stride == 1 &&
                    !conv->before && !conv->after;
}

void vlm_conv2d_shape(struct vlm_conv2d_shape *shape, const struct vlm_tensor *x,
                      const struct vlm_conv2d *conv)
{
    weight_shape(shape, conv);
    VLM_BUG_IF(x->rank != 4 || x->dtype != VLM_F32 || x->shape[3] != shape->in);
    shape->images = x->shape[0];
    shape->height = x->shape[1];
    shape->width = x->shape[2];
    size_t padding = conv->before + conv->after;
    shape->rows = positions(shape->height, shape->tap_rows, padding, shape->stride);
    shape->cols = positions(shape->width, shape->tap_cols, padding, shape->stride);
}

enum vlm_correlation_method vlm_conv2d_method(enum vlm_conv_mode mode, enum vlm_dtype precision,
                                              const struct vlm_conv2d_shape *shape, size_t in,
                                              size_t out)
{
    bool applies = shape->tap_rows == 3 && shape->tap_cols == 3 && shape->stride == 1;
    if (mode == VLM_CONV_DIRECT || precision != VLM_F32 || !applies)
        return VLM_DIRECT;
    if (mode == VLM_CONV_WINOGRAD)
        return VLM_WINOGRAD_2;
    if (in < WINOGRAD_CHANNELS || out < WINOGRAD_CHANNELS)
        return VLM_DIRECT;
    return mode == VLM_CONV_FAST ? VLM_WINOGRAD_4 : VLM_WINOGRAD_2;
}

void vlm_conv2d_correlate(struct vlm_tape *tape, struct vlm_correlation *job,
                          const struct vlm_taps *taps)
{
    const struct vlm_engine *engine = tape->engine;
    size_t mark = vlm_memory_mark(&tape->scratch);
    void *packed = NULL;
    if (taps)
        packed = vlm_scratch(tape, 1, vlm_correlation_packed_size(engine, job));
    void *scratch = vlm_scratch(tape, 1, vlm_correlation_scratch(engine, job));
    if (vlm_tape_runs(tape)) {
        if (taps) {
            vlm_correlation_pack(engine, packed, job, taps, scratch);
            job->weights = packed;
        }
        vlm_correlation_run(engine, job, scratch);
    }
    vlm_memory_return(&tape->scratch, mark);
}

void vlm_conv2d_multiply(struct vlm_tape *tape, const struct vlm_gemm *job)
{
    size_t mark = vlm_memory_mark(&tape->scratch);
    void *scratch = vlm_scratch(tape, 1, vlm_gemm_scratch(tape->engine, job));
    if (scratch)
        vlm_gemm(tape->engine, job, scratch);
    vlm_memory_return(&tape->scratch, mark);
}

static struct vlm_taps forward_taps(const struct vlm_conv2d *conv,
                                    const struct vlm_conv2d_shape *shape)
{
    return (struct vlm_taps){
        .w = conv->weight->data,
        .out = shape->tap_rows * shape->tap_cols * shape->in,
        .in = 1,
        .row = (ptrdiff_t)(shape->tap_cols * shape->in),
        .col = (ptrdiff_t)shape->in,
    };
}

/* The correlation of the forward pass, without its tensors. */
static struct vlm_correlation forward_job(const struct vlm_conv2d_shape *shape,
                                          enum vlm_conv_mode mode, enum vlm_dtype precision)
{
    return (struct vlm_correlation){
        .method = vlm_conv2d_method(mode, precision, shape, shape->in, shape->out),
        .precision = precision,
        .images = shape->images,
        .height = shape->height,
        .width = shape->width,
        .channels = shape->in,
        .tap_rows = shape->tap_rows,
        .tap_cols = shape->tap_cols,
        .stride = shape->stride,
        .top = (ptrdiff_t)shape->before,
        .left = (ptrdiff_t)shape->before,
        .rows = shape->rows,
        .cols = shape->cols,
        .out_channels = shape->out,
        .y_image = shape->rows * shape->cols * shape->out,
        .y_row = shape->cols * shape->out,
        .y_pixel = shape->out,
    };
}

size_t vlm_conv2d_packed_size(const struct vlm_engine *engine, const struct vlm_conv2d *conv,
                              enum vlm_dtype precision)
{
    struct vlm_conv2d_shape shape;
    weight_shape(&shape, conv);
    if (shape.linear)
        return vlm_gemm_packed_size(engine, shape.out, shape.in, precision);
    struct vlm_correlation job = forward_job(&shape, conv->mode, precision);
    return vlm_correlation_packed_size(engine, &job);
}

size_t vlm_conv2d_pack_scratch(const struct vlm_engine *engine, const struct vlm_conv2d *conv,
                               enum vlm_dtype precision)
{
    struct vlm_conv2d_shape shape;
    weight_shape(&shape, conv);
    struct vlm_correlation job = forward_job(&shape, conv->mode, precision);
    return shape.linear ? 0 : vlm_correlation_scratch(engine, &job);
}

void vlm_conv2d_pack(const struct vlm_engine *engine, void *packed, const struct vlm_conv2d *conv,
                     enum vlm_dtype precision, void *scratch)
{
    struct vlm_conv2d_shape shape;
    weight_shape(&shape, conv);
    if (shape.linear) {
        struct vlm_operand b = { .f32 = conv->weight->data, .row = shape.in, .col = 1 };
        vlm_gemm_pack_b(engine, packed, &b, shape.out, shape.in, precision);
        return;
    }
    struct vlm_correlation job = forward_job(&shape, conv->mode, precision);
    struct vlm_taps taps = forward_taps(conv, &shape);
    vlm_correlation_pack(engine, packed, &job, &taps, scratch);
}

static enum vlm_dtype precision_of(const struct vlm_tape *tape, const struct vlm_conv2d *conv)
{
    return conv->f32 ? VLM_F32 : tape->precision;
}

static void run_linear(struct vlm_tape *tape, const struct vlm_conv2d_shape *shape,
                       const struct vlm_conv2d *conv, const struct vlm_tensor *x,
                       struct vlm_tensor *y)
{
    vlm_conv2d_multiply(tape, &(struct vlm_gemm){
                                  .m = shape->images * shape->height * shape->width,
                                  .n = shape->out,
                                  .k = shape->in,
                                  .a = { .f32 = x->data, .row = shape->in, .col = 1 },
                                  .b = { .f32 = conv->packed ? NULL : conv->weight->data,
                                         .packed = conv->packed,
                                         .row = shape->in,
                                         .col = 1 },
                                  .c = y->data,
                                  .c_row = shape->out,
                                  .precision = precision_of(tape, conv),
                                  .bias = conv->bias ? conv->bias->data : NULL,
                                  .residual = conv->residual ? conv->residual->data : NULL,
                              });
}

/* ---- the gradient by x ---- */

/* One of stride * stride correlations: pixels (row + stride * r, col + stride * c) of x. In one
 * dimension pixel p meets taps t with p + before = t (mod stride), which are first, first + stride, ...
 * The k-th of them read the result (p + before - first) / stride - k: backwards, so flip. */
static void input_gradient_phase(struct vlm_tape *tape, const struct vlm_conv2d_node *self,
                                 const struct vlm_conv2d_shape *shape, size_t row, size_t col,
                                 float *dx, bool accumulate)
{
    const size_t stride = shape->stride;
    size_t first_row = (row + shape->before) % stride, first_col = (col + shape->before) % stride;
    size_t taps_row =
        shape->tap_rows > first_row ? (shape->tap_rows - first_row + stride - 1) / stride : 0;
    size_t taps_col =
        shape->tap_cols > first_col ? (shape->tap_cols - first_col + stride - 1) / stride : 0;
    if (!taps_row || !taps_col)
        taps_row = taps_col = 0;
    struct vlm_correlation job = {
        .method = vlm_conv2d_method(self->conv.mode, tape->precision, shape, shape->out, shape->in),
        .precision = tape->precision,
        .x = self->node.out->grad,
        .images = shape->images,
        .height = shape->rows,
        .width = shape->cols,
        .channels = shape->out,
        .tap_rows = taps_row,
        .tap_cols = taps_col,
        .stride = 1,
        .top = (ptrdiff_t)taps_row - 1 - (ptrdiff_t)((row + shape->before - first_row) / stride),
        .left = (ptrdiff_t)taps_col - 1 - (ptrdiff_t)((col + shape->before - first_col) / stride),
        .rows = row < shape->height ? (shape->height - row + stride - 1) / stride : 0,
        .cols = col < shape->width ? (shape->width - col + stride - 1) / stride : 0,
        .out_channels = shape->in,
        .y = dx ? dx + (row * shape->width + col) * shape->in : NULL,
        .y_image = shape->height * shape->width * shape->in,
        .y_row = stride * shape->width * shape->in,
        .y_pixel = stride * shape->in,
    };
    job.residual = accumulate ? job.y : NULL;
    size_t of_row = shape->tap_cols * shape->in;
    struct vlm_taps taps = {
        .w = self->conv.weight->data,
        .out = 1,
        .in = shape->tap_rows * of_row,
        .row = -(ptrdiff_t)(stride * of_row),
        .col = -(ptrdiff_t)(stride * shape->in),
    };
    if (taps_row && vlm_tape_runs(tape))
        taps.w += (first_row + stride * (taps_row - 1)) * of_row +
                  (first_col + stride * (taps_col - 1)) * shape->in;
    vlm_conv2d_correlate(tape, &job, &taps);
}

static void input_gradient(struct vlm_tape *tape, const struct vlm_conv2d_node *self,
                           const struct vlm_conv2d_shape *shape)
{
    bool accumulate;
    float *dx = vlm_grad_begin(tape, self->x, &accumulate);
    if (!self->x->needs_grad)
        return;
    if (shape->linear) {
        vlm_conv2d_multiply(tape,
                            &(struct vlm_gemm){
                                .m = shape->images * shape->height * shape->width,
                                .n = shape->in,
                                .k = shape->out,
                                .a = { .f32 = self->node.out->grad, .row = shape->out, .col = 1 },
                                .b = { .f32 = self->conv.weight->data, .row = 1, .col = shape->in },
                                .c = dx,
                                .c_row = shape->in,
                                .accumulate = accumulate,
                                .precision = tape->precision,
                            });
        return;
    }
    for (size_t row = 0; row < shape->stride; row++)
        for (size_t col = 0; col < shape->stride; col++)
            input_gradient_phase(tape, self, shape, row, col, dx, accumulate);
}

/* By Winograd when the forward pass was; a fast one too by F(2 x 2), and a frozen weight never. */
static void weight_gradient(struct vlm_tape *tape, const struct vlm_conv2d_node *self,
                            const struct vlm_conv2d_shape *shape)
{
    struct vlm_tensor *weight = self->conv.weight, *bias = self->conv.bias;
    const float *x = self->x->data, *g = self->node.out->grad;
    float *db = bias ? vlm_grad(tape, bias) : NULL;
    if (weight->needs_grad && vlm_conv2d_method(self->conv.mode, tape->precision, shape, shape->in,
                                                shape->out) != VLM_DIRECT) {
        float *dw = vlm_grad(tape, weight);
        vlm_conv2d_weight_gradient_winograd(tape, shape, x, g, dw, db);
        return;
    }
    bool accumulate = false;
    float *dw = vlm_grad_begin(tape, weight, &accumulate);
    if (weight->needs_grad || (bias && bias->needs_grad))
        vlm_conv2d_weight_gradient(tape, shape, x, g, dw, accumulate, db);
}

void vlm_conv2d_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct vlm_conv2d_node *self = (struct vlm_conv2d_node *)node;
    struct vlm_conv2d_shape shape;
    vlm_conv2d_shape(&shape, self->x, &self->conv);
    input_gradient(tape, self, &shape);
    weight_gradient(tape, self, &shape);
    if (self->conv.residual)
        vlm_grad_give(tape, node, self->conv.residual);
}

/* ---- forward ---- */

struct vlm_tensor *vlm_conv2d(struct vlm_tape *tape, struct vlm_tensor *x,
                              const struct vlm_conv2d *conv)
{
    struct vlm_conv2d_shape shape;
    vlm_conv2d_shape(&shape, x, conv);
    struct vlm_tensor *residual = conv->residual, *y = conv->into;
    if (!y)
        y = vlm_tensor_new(tape, "conv2d", VLM_F32, 4,
                           (size_t[]){ shape.images, shape.rows, shape.cols, shape.out });
    VLM_BUG_IF(conv->f32 && vlm_tape_records(tape));
    VLM_BUG_IF(conv->into &&
               (vlm_tape_records(tape) || y == x ||
                vlm_tensor_count(y) != shape.images * shape.rows * shape.cols * shape.out));
    VLM_BUG_IF(conv->bias && vlm_tensor_count(conv->bias) != shape.out);
    VLM_BUG_IF(residual && vlm_tensor_count(residual) != vlm_tensor_count(y));

    tape->flops += 2.0 * (double)(shape.images * shape.rows * shape.cols * shape.out) *
                   (double)(shape.tap_rows * shape.tap_cols * shape.in);
    if (shape.linear) {
        run_linear(tape, &shape, conv, x, y);
    } else {
        struct vlm_correlation job = forward_job(&shape, conv->mode, precision_of(tape, conv));
        struct vlm_taps taps = forward_taps(conv, &shape);
        job.x = x->data;
        job.y = y->data;
        job.bias = conv->bias ? conv->bias->data : NULL;
        job.residual = residual ? residual->data : NULL;
        job.weights = conv->packed;
        vlm_conv2d_correlate(tape, &job, conv->packed ? NULL : &taps);
    }

    bool needs_grad = x->needs_grad || conv->weight->needs_grad ||
                      (conv->bias && conv->bias->needs_grad) || (residual && residual->needs_grad);
    struct vlm_conv2d_node *self =
        vlm_record(tape, sizeof(*self), vlm_conv2d_backward, y, needs_grad);
    if (self) {
        self->x = x;
        self->conv = *conv;
    }
    return y;
}
