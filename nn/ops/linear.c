/* linear.c - the linear layer: one product forward, two backward. */
#include "base/vlm.h"

#include "nn/ops/linear.h"

enum {
    SUM_COLS = 64,      /* columns whose gradient sums one task makes */
    SUM_ROWS = 64,      /* rows added to one partial sum: keeps rounding errors small */
    ACTIVATE = 1 << 14, /* numbers of one task of the activation's backward pass */
};

struct linear_node {
    struct vlm_node node;
    struct vlm_linear linear;
    struct vlm_tensor *x;
    float *before; /* u of the header, when there is an activation */
};

static struct vlm_operand operand(const struct vlm_tensor *t, size_t row, size_t col)
{
    struct vlm_operand o = { .row = row, .col = col };
    if (t->dtype == VLM_BF16)
        o.bits = t->bits;
    else if (t->dtype == VLM_INT8)
        o.integers = t->integers, o.scales = t->scales;
    else
        o.f32 = t->data;
    return o;
}

/* Runs the product, or only takes its scratch when kernels are off. */
static void multiply(struct vlm_tape *tape, const struct vlm_gemm *job)
{
    size_t mark = vlm_memory_mark(&tape->scratch);
    void *scratch = vlm_scratch(tape, 1, vlm_gemm_scratch(tape->engine, job));
    if (scratch)
        vlm_gemm(tape->engine, job, scratch);
    vlm_memory_return(&tape->scratch, mark);
}

struct sum_job {
    float *sum;     /* [cols] += */
    const float *x; /* [rows, cols] */
    size_t rows, cols;
};

static void sum_columns(void *argument, size_t task, size_t worker)
{
    (void)worker;
    struct sum_job *job = argument;
    size_t begin = task * SUM_COLS, width = VLM_MIN(job->cols - begin, (size_t)SUM_COLS);
    for (size_t r = 0; r < job->rows; r += SUM_ROWS) {
        float partial[SUM_COLS] = { 0 };
        for (size_t i = r; i < VLM_MIN(r + SUM_ROWS, job->rows); i++)
            for (size_t c = 0; c < width; c++)
                partial[c] += job->x[i * job->cols + begin + c];
        for (size_t c = 0; c < width; c++)
            job->sum[begin + c] += partial[c];
    }
}

struct activate_job {
    const struct vlm_row_kernels *kernels;
    enum vlm_activation activation;
    float *to;
    const float *before, *g;
    size_t count;
};

static void activate_part(void *argument, size_t task, size_t worker)
{
    (void)worker;
    struct activate_job *job = argument;
    size_t begin = task * ACTIVATE, n = VLM_MIN(job->count - begin, (size_t)ACTIVATE);
    job->kernels->activate_backward(job->activation, job->to + begin, job->before + begin,
                                    job->g + begin, n);
}

/* The gradient by u: in place of the gradient by y, unless the residual still needs that. */
static const float *gradient_before(struct vlm_tape *tape, struct linear_node *self)
{
    struct vlm_tensor *y = self->node.out;
    if (self->linear.activation == VLM_LINEAR)
        return y->grad;
    size_t count = vlm_tensor_count(y);
    float *to = y->grad;
    if (self->linear.residual)
        to = vlm_scratch(tape, count, sizeof(float));
    if (!vlm_tape_runs(tape))
        return NULL;
    struct activate_job job = {
        tape->engine->kernels->rows, self->linear.activation, to, self->before, y->grad, count
    };
    vlm_pool_run(tape->engine->pool, (count + ACTIVATE - 1) / ACTIVATE, activate_part, &job);
    return to;
}

static void linear_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct linear_node *self = (struct linear_node *)node;
    struct vlm_tensor *x = self->x, *w = self->linear.weight, *b = self->linear.bias;
    size_t rows = vlm_tensor_rows(x), in = vlm_tensor_cols(x), out = w->shape[0];
    size_t mark = vlm_memory_mark(&tape->scratch);
    struct vlm_operand g = { .f32 = gradient_before(tape, self), .row = out, .col = 1 };
    struct vlm_operand g_columns = { .f32 = g.f32, .row = 1, .col = out };

    bool accumulate;
    float *dx = vlm_grad_begin(tape, x, &accumulate);
    if (x->needs_grad)
        multiply(tape, &(struct vlm_gemm){ .m = rows,
                                           .n = in,
                                           .k = out,
                                           .a = g,
                                           .b = operand(w, 1, in),
                                           .c = dx,
                                           .c_row = in,
                                           .accumulate = accumulate,
                                           .precision = tape->precision });
    float *dw = vlm_grad_begin(tape, w, &accumulate);
    if (w->needs_grad)
        multiply(tape, &(struct vlm_gemm){ .m = out,
                                           .n = in,
                                           .k = rows,
                                           .a = g_columns,
                                           .b = operand(x, 1, in),
                                           .c = dw,
                                           .c_row = in,
                                           .accumulate = accumulate,
                                           .precision = tape->precision });
    float *db = b ? vlm_grad(tape, b) : NULL;
    if (db) {
        struct sum_job job = { db, g.f32, rows, out };
        vlm_pool_run(tape->engine->pool, (out + SUM_COLS - 1) / SUM_COLS, sum_columns, &job);
    }
    vlm_memory_return(&tape->scratch, mark);
    if (self->linear.residual)
        vlm_grad_give(tape, node, self->linear.residual);
}

struct vlm_tensor *vlm_linear(struct vlm_tape *tape, struct vlm_tensor *x,
                              const struct vlm_linear *linear)
{
    struct vlm_tensor *w = linear->weight, *b = linear->bias, *residual = linear->residual;
    size_t rows = vlm_tensor_rows(x), in = vlm_tensor_cols(x), out = w->shape[0];
    VLM_BUG_IF(w->rank != 2 || w->shape[1] != in || (w->dtype != VLM_F32 && w->needs_grad));
    VLM_BUG_IF(w->dtype == VLM_BF16 && tape->precision != VLM_BF16);
    VLM_BUG_IF(w->dtype == VLM_INT8 && tape->precision != VLM_F32);
    VLM_BUG_IF(b && vlm_tensor_count(b) != out);
    VLM_BUG_IF(residual && vlm_tensor_count(residual) != rows * out);

    bool needs_grad = x->needs_grad || w->needs_grad || (b && b->needs_grad) ||
                      (residual && residual->needs_grad);
    bool rounded = linear->result == VLM_BF16 && tape->precision == VLM_BF16;
    size_t shape[VLM_RANK_MAX];
    memcpy(shape, x->shape, sizeof(shape));
    shape[x->rank - 1] = out;
    struct vlm_tensor *y =
        vlm_tensor_new(tape, "linear", rounded ? VLM_BF16 : VLM_F32, x->rank, shape);
    float *before = NULL;
    if (linear->activation != VLM_LINEAR && needs_grad && vlm_tape_records(tape))
        before = vlm_step_memory(tape, rows * out, sizeof(float));

    tape->flops += 2.0 * (double)rows * (double)out * (double)in;
    multiply(tape,
             &(struct vlm_gemm){ .m = rows,
                                 .n = out,
                                 .k = in,
                                 .a = operand(x, in, 1),
                                 .b = operand(w, in, 1),
                                 .c = rounded ? NULL : y->data,
                                 .c_row = out,
                                 .c_bits = rounded ? y->bits : NULL,
                                 .precision = w->dtype == VLM_INT8 ? VLM_INT8 : tape->precision,
                                 .bias = b ? b->data : NULL,
                                 .before = before,
                                 .activation = linear->activation,
                                 .residual = residual ? residual->data : NULL });
    struct linear_node *self = vlm_record(tape, sizeof(*self), linear_backward, y, needs_grad);
    if (self) {
        self->x = x;
        self->linear = *linear;
        self->before = before;
    }
    return y;
}
