/* cross_entropy.c - cross-entropy on given logits.
 *
 * Forward keeps the largest logit and the sum of each row; backward makes the softmax again from
 * them, block by block in a buffer on the stack. Rows are shared out to the threads in groups. */
#include "base/vlm.h"

#include "nn/ops/cross_entropy.h"
#include "nn/ops/loss_row.h"

enum { TASK_NUMBERS = 1 << 15 }; /* logits of a task, about; a task has whole rows */

struct entropy_node {
    struct vlm_node node;
    struct vlm_tensor *z;
    struct vlm_cross_entropy options;
    struct row *row; /* [R] */
    double scale;    /* 1 / weight_sum */
};

struct row {
    struct row_softmax softmax;
    double mass; /* sum of t */
    double loss;
};

/* A loop over rows, forward or backward. */
struct job {
    const struct vlm_loss_kernels *kernels;
    const struct entropy_node *self;
    size_t rows, cols, task_rows;
    float *dz;       /* backward only */
    bool accumulate; /* into it */
    double g;
};

static bool is_ignored(const struct vlm_cross_entropy *options, size_t row)
{
    return !options->soft && options->targets[row] == VLM_IGNORE;
}

static double weight_of(const struct vlm_cross_entropy *options, size_t row)
{
    return options->weights ? (double)options->weights[row] : 1;
}

static void softmax_row(const struct job *job, struct row *row, const float *z)
{
    row->softmax = row_softmax_begin();
    for (size_t c = 0; c < job->cols; c += LOSS_COLS) {
        size_t n = VLM_MIN(job->cols - c, (size_t)LOSS_COLS);
        float largest, total;
        job->kernels->row_scan(&largest, &total, z + c, n);
        float sum = job->kernels->row_exp(NULL, z + c, largest, n);
        row_softmax_fold(&row->softmax, largest, sum, total);
    }
}

static void forward_row(const struct job *job, size_t r)
{
    const struct vlm_cross_entropy *o = &job->self->options;
    struct row *row = &job->self->row[r];
    const float *z = job->self->z->data + r * job->cols;
    softmax_row(job, row, z);
    double log_sum = log(row->softmax.sum), largest = (double)row->softmax.largest;
    row->mass = 1;
    if (o->soft) {
        const float *t = o->soft + r * job->cols;
        double loss = 0, mass = 0;
        for (size_t c = 0; c < job->cols; c++) {
            mass += (double)t[c];
            loss += (double)t[c] * (largest - (double)z[c] + log_sum);
        }
        row->mass = mass;
        row->loss = loss;
    } else {
        double mean = row->softmax.total / (double)job->cols, smoothing = (double)o->smoothing;
        double to_target = largest - (double)z[o->targets[r]] + log_sum;
        row->loss = to_target;
        if (smoothing > 0)
            row->loss = (1 - smoothing) * to_target + smoothing * (largest - mean + log_sum);
    }
}

static void forward_task(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = argument;
    size_t end = VLM_MIN((task + 1) * job->task_rows, job->rows);
    for (size_t r = task * job->task_rows; r < end; r++)
        if (!is_ignored(&job->self->options, r))
            forward_row(job, r);
}

/* dz (+)= what remains of the row's gradient beside p: -t. */
static void subtract_target(const struct job *job, size_t r, float *dz, double weight)
{
    const struct vlm_cross_entropy *o = &job->self->options;
    if (o->soft)
        job->kernels->row_gradient_add(dz, o->soft + r * job->cols, (float)-weight, 0, job->cols);
    else
        dz[o->targets[r]] -= (float)(weight * (1 - (double)o->smoothing));
}

static void backward_row(const struct job *job, size_t r)
{
    const struct vlm_cross_entropy *o = &job->self->options;
    const struct row *row = &job->self->row[r];
    const float *z = job->self->z->data + r * job->cols;
    float *dz = job->dz + r * job->cols;
    double weight = job->g * job->self->scale * weight_of(o, r);
    float factor = (float)(weight * row->mass / row->softmax.sum);
    float shift = (float)(weight * (double)o->smoothing / (double)job->cols);
    float e[LOSS_COLS];
    for (size_t c = 0; c < job->cols; c += LOSS_COLS) {
        size_t n = VLM_MIN(job->cols - c, (size_t)LOSS_COLS);
        job->kernels->row_exp(e, z + c, row->softmax.largest, n);
        if (job->accumulate)
            job->kernels->row_gradient_add(dz + c, e, factor, shift, n);
        else
            job->kernels->row_gradient(dz + c, e, factor, shift, n);
    }
    subtract_target(job, r, dz, weight);
}

static void backward_task(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = argument;
    size_t end = VLM_MIN((task + 1) * job->task_rows, job->rows);
    for (size_t r = task * job->task_rows; r < end; r++)
        if (!is_ignored(&job->self->options, r))
            backward_row(job, r);
        else if (!job->accumulate)
            memset(job->dz + r * job->cols, 0, job->cols * sizeof(float));
}

static void run(struct vlm_tape *tape, struct job *job, const struct entropy_node *self,
                vlm_task task)
{
    job->kernels = tape->engine->kernels->loss;
    job->self = self;
    job->rows = vlm_tensor_rows(self->z);
    job->cols = vlm_tensor_cols(self->z);
    job->task_rows = VLM_MAX(TASK_NUMBERS / VLM_MAX(job->cols, (size_t)1), (size_t)1);
    vlm_pool_run(tape->engine->pool, (job->rows + job->task_rows - 1) / job->task_rows, task, job);
}

static void entropy_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct entropy_node *self = (struct entropy_node *)node;
    struct job job = { 0 };
    job.dz = vlm_grad_begin(tape, self->z, &job.accumulate);
    if (!job.dz)
        return;
    job.g = (double)node->out->grad[0];
    run(tape, &job, self, backward_task);
}

/* Sum of the weights that count; fails the tape at a target that is no class. */
static double check_targets(struct vlm_tape *tape, const struct vlm_cross_entropy *options,
                            size_t rows, size_t cols)
{
    double sum = 0;
    for (size_t r = 0; r < rows; r++) {
        if (is_ignored(options, r))
            continue;
        if (!options->soft && options->targets[r] >= cols) {
            vlm_tape_fail(tape, VLM_EFORMAT,
                          "target %" PRIu32 " of row %zu is not one of %zu classes",
                          options->targets[r], r, cols);
            return 0;
        }
        sum += weight_of(options, r);
    }
    return options->weight_sum != 0 ? options->weight_sum : sum;
}

static float forward(struct vlm_tape *tape, const struct entropy_node *self)
{
    const struct vlm_cross_entropy *o = &self->options;
    size_t rows = vlm_tensor_rows(self->z);
    double loss = 0;
    run(tape, &(struct job){ 0 }, self, forward_task);
    for (size_t r = 0; r < rows; r++) {
        bool ignored = is_ignored(o, r);
        if (o->row_losses)
            o->row_losses[r] = ignored ? 0 : (float)self->row[r].loss;
        if (!ignored)
            loss += weight_of(o, r) * self->scale * self->row[r].loss;
    }
    return (float)loss;
}

struct vlm_tensor *vlm_cross_entropy(struct vlm_tape *tape, struct vlm_tensor *z,
                                     const struct vlm_cross_entropy *options)
{
    size_t rows = vlm_tensor_rows(z), cols = vlm_tensor_cols(z);
    VLM_BUG_IF(z->dtype != VLM_F32 || !options->targets == !options->soft);
    VLM_BUG_IF(!(options->smoothing >= 0 && options->smoothing < 1));
    VLM_BUG_IF(options->soft && options->smoothing > 0);
    struct vlm_tensor *out = vlm_tensor_new(tape, "cross-entropy", VLM_F32, 1, (size_t[]){ 1 });
    struct entropy_node work = { .z = z, .options = *options };
    work.row = vlm_step_memory(tape, rows, sizeof(*work.row));
    if (vlm_tape_runs(tape))
        work.scale = loss_scale(check_targets(tape, options, rows, cols));
    if (vlm_tape_runs(tape))
        out->data[0] = forward(tape, &work);
    struct entropy_node *self =
        vlm_record(tape, sizeof(*self), entropy_backward, out, z->needs_grad);
    if (self) {
        work.node = self->node;
        *self = work;
    }
    return out;
}
