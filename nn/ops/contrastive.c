/* contrastive.c - InfoNCE in both directions.
 *
 * Forward: logits by one product, log-sums of rows and of columns, the loss; and, when it will be
 * needed, ds over the logits in place. Backward: two products of ds. Sums over rows of numbers that
 * tasks have made are in double and in row order. */
#include "base/vlm.h"

#include <math.h>

#include "nn/gemm.h"
#include "nn/ops/contrastive.h"

enum {
    ROWS = 16, /* of logits in a task */
    COLS = 64, /* columns of logits in a task */
};

static const float log_scale_max = 4.60517019f; /* ln 100 */

struct contrastive_node {
    struct vlm_node node;
    struct vlm_tensor *images, *texts, *log_scale;
    float *ds;    /* [B, B] */
    float scale;  /* e^t */
    double slope; /* dlog_scale */
};

struct job {
    const struct vlm_row_kernels *kernels;
    size_t batch;
    float *s;            /* [B, B] */
    float factor;        /* rows are to be multiplied by */
    float *row, *column; /* [B] log-sums */
    float *pair;         /* [B] s_ii */
    float *product;      /* [B] sum over j of ds_ij s_ij, but for a factor */
};

static size_t parts(size_t n, size_t part)
{
    return n / part + (n % part > 0);
}

static size_t last_row(const struct job *job, size_t task)
{
    return VLM_MIN((task + 1) * ROWS, job->batch);
}

/* s *= factor; what the loss needs of the row. */
static void scale_rows(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    for (size_t i = task * ROWS; i < last_row(job, task); i++) {
        float *s = job->s + i * job->batch;
        job->kernels->scale(s, s, job->factor, job->batch);
        job->row[i] = job->kernels->log_sum_exp(s, job->batch);
        job->pair[i] = s[i];
    }
}

static void log_sum_columns(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t first = task * COLS;
    job->kernels->log_sum_exp_columns(job->column + first, job->s + first, job->batch, job->batch,
                                      VLM_MIN((size_t)COLS, job->batch - first));
}

/* s = ds */
static void slope_rows(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    for (size_t i = task * ROWS; i < last_row(job, task); i++) {
        float *s = job->s + i * job->batch;
        job->product[i] = job->kernels->softmax_both_ways(s, job->row[i], job->column, job->batch);
        s[i] -= 2;
        job->kernels->scale(s, s, 0.5f / (float)job->batch, job->batch);
    }
}

static void factor_rows(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    for (size_t i = task * ROWS; i < last_row(job, task); i++) {
        float *s = job->s + i * job->batch;
        job->kernels->scale(s, s, job->factor, job->batch);
    }
}

static void run(const struct vlm_tape *tape, struct job *job, size_t n, size_t part, vlm_task work)
{
    vlm_pool_run(tape->engine->pool, parts(n, part), work, job);
}

static void product(struct vlm_tape *tape, const struct vlm_gemm *gemm)
{
    size_t mark = vlm_memory_mark(&tape->scratch);
    void *scratch = vlm_scratch(tape, 1, vlm_gemm_scratch(tape->engine, gemm));
    if (scratch)
        vlm_gemm(tape->engine, gemm, scratch);
    vlm_memory_return(&tape->scratch, mark);
}

/* ---- backward ---- */

/* dx (+)= ds other, or its transpose. */
static void input_backward(struct vlm_tape *tape, struct vlm_tensor *x,
                           const struct vlm_tensor *other, struct vlm_operand ds)
{
    size_t batch = vlm_tensor_rows(x), d = vlm_tensor_cols(x);
    bool accumulate;
    float *dx = vlm_grad_begin(tape, x, &accumulate);
    if (x->needs_grad)
        product(tape, &(struct vlm_gemm){ .m = batch,
                                          .n = d,
                                          .k = batch,
                                          .a = ds,
                                          .b = { .f32 = other->data, .row = 1, .col = d },
                                          .c = dx,
                                          .c_row = d,
                                          .accumulate = accumulate });
}

static void contrastive_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct contrastive_node *self = (struct contrastive_node *)node;
    size_t batch = vlm_tensor_rows(self->images);
    float *dlog_scale = vlm_grad(tape, self->log_scale);
    if (vlm_tape_runs(tape)) {
        float g = node->out->grad[0];
        float slope = (float)((double)g * self->slope);
        bool stuck = self->log_scale->data[0] > log_scale_max && slope < 0;
        if (dlog_scale && !stuck)
            dlog_scale[0] += slope;
        struct job job = { .kernels = tape->engine->kernels->rows,
                           .batch = batch,
                           .s = self->ds,
                           .factor = self->scale * g };
        run(tape, &job, batch, ROWS, factor_rows);
    }
    input_backward(tape, self->images, self->texts,
                   (struct vlm_operand){ .f32 = self->ds, .row = batch, .col = 1 });
    input_backward(tape, self->texts, self->images,
                   (struct vlm_operand){ .f32 = self->ds, .row = 1, .col = batch });
}

/* ---- forward ---- */

/* The loss from the log-sums; then s becomes ds and *slope is set, when ds is to be kept. */
static float loss_of(const struct vlm_tape *tape, struct job *job, bool keep, double *slope)
{
    size_t batch = job->batch;
    run(tape, job, batch, ROWS, scale_rows);
    run(tape, job, batch, COLS, log_sum_columns);
    double sum = 0;
    for (size_t i = 0; i < batch; i++)
        sum += ((double)job->row[i] - job->pair[i]) + ((double)job->column[i] - job->pair[i]);
    if (keep) {
        run(tape, job, batch, ROWS, slope_rows);
        for (size_t i = 0; i < batch; i++)
            *slope += (double)job->product[i] - 2 * (double)job->pair[i];
        *slope /= 2 * (double)VLM_MAX(batch, (size_t)1);
    }
    return (float)(sum / (2 * (double)VLM_MAX(batch, (size_t)1)));
}

struct vlm_tensor *vlm_contrastive_loss(struct vlm_tape *tape, struct vlm_tensor *images,
                                        struct vlm_tensor *texts, struct vlm_tensor *log_scale)
{
    size_t batch = vlm_tensor_rows(images), d = vlm_tensor_cols(images);
    VLM_BUG_IF(images->dtype != VLM_F32 || texts->dtype != VLM_F32);
    VLM_BUG_IF(vlm_tensor_rows(texts) != batch || vlm_tensor_cols(texts) != d);
    VLM_BUG_IF(vlm_tensor_count(log_scale) != 1);
    bool needs_grad = images->needs_grad || texts->needs_grad || log_scale->needs_grad;
    bool keep = needs_grad && vlm_tape_records(tape);
    struct vlm_tensor *loss = vlm_tensor_new(tape, "contrastive loss", VLM_F32, 1, (size_t[]){ 1 });
    size_t mark = vlm_memory_mark(&tape->scratch);
    float *s = keep ? vlm_step_memory(tape, batch * batch, sizeof(float))
                    : vlm_scratch(tape, batch * batch, sizeof(float));
    float *sums = vlm_scratch(tape, 4 * batch, sizeof(float));
    product(tape, &(struct vlm_gemm){ .m = batch,
                                      .n = batch,
                                      .k = d,
                                      .a = { .f32 = images->data, .row = d, .col = 1 },
                                      .b = { .f32 = texts->data, .row = d, .col = 1 },
                                      .c = s,
                                      .c_row = batch });
    double slope = 0;
    float scale = 0;
    if (vlm_tape_runs(tape)) {
        float t = log_scale->data[0];
        scale = expf(t > log_scale_max ? log_scale_max : t);
        struct job job = { .kernels = tape->engine->kernels->rows,
                           .batch = batch,
                           .s = s,
                           .factor = scale,
                           .row = sums,
                           .column = sums + batch,
                           .pair = sums + 2 * batch,
                           .product = sums + 3 * batch };
        loss->data[0] = loss_of(tape, &job, keep, &slope);
    }
    vlm_memory_return(&tape->scratch, mark);
    struct contrastive_node *self =
        vlm_record(tape, sizeof(*self), contrastive_backward, loss, needs_grad);
    if (self) {
        self->images = images;
        self->texts = texts;
        self->log_scale = log_scale;
        self->ds = s;
        self->scale = scale;
        self->slope = slope;
    }
    return loss;
}
