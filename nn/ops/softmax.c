/* softmax.c - softmax and log-softmax of rows; the backward pass needs the result only. */
#include "base/vlm.h"

#include "nn/ops/softmax.h"

enum { BLOCK_FLOATS = 16384 }; /* a task of rows has about so many numbers */

struct job {
    void (*forward)(float *y, const float *x, size_t rows, size_t cols);
    void (*backward)(float *dx, const float *y, const float *dy, size_t rows, size_t cols);
    float *out;      /* y, or dy to be turned into dx */
    const float *in; /* x, or y */
    size_t rows, cols, block;
};

static void run_block(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t row = task * job->block, n = VLM_MIN(job->block, job->rows - row);
    float *out = job->out + row * job->cols;
    const float *in = job->in + row * job->cols;
    if (job->forward)
        job->forward(out, in, n, job->cols);
    else
        job->backward(out, in, out, n, job->cols);
}

static void run(const struct vlm_tape *tape, const struct vlm_tensor *shape, struct job job)
{
    job.rows = vlm_tensor_rows(shape);
    job.cols = vlm_tensor_cols(shape);
    if (job.rows == 0 || job.cols == 0)
        return;
    job.block = VLM_MAX(BLOCK_FLOATS / job.cols, (size_t)1);
    size_t tasks = job.rows / job.block + (job.rows % job.block > 0);
    vlm_pool_run(tape->engine->pool, tasks, run_block, &job);
}

struct softmax_node {
    struct vlm_node node;
    struct vlm_tensor *x;
};

/* dx in the place of dy. */
static void backward(struct vlm_tape *tape, struct vlm_node *node, struct job job)
{
    struct softmax_node *self = (struct softmax_node *)node;
    if (vlm_tape_runs(tape)) {
        job.out = node->out->grad;
        job.in = node->out->data;
        run(tape, node->out, job);
    }
    vlm_grad_give(tape, node, self->x);
}

static void softmax_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    backward(tape, node, (struct job){ .backward = tape->engine->kernels->rows->softmax_backward });
}

static void log_softmax_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    backward(tape, node,
             (struct job){ .backward = tape->engine->kernels->rows->log_softmax_backward });
}

static struct vlm_tensor *forward(struct vlm_tape *tape, const char *name, struct vlm_tensor *x,
                                  struct job job, vlm_backward_fn back)
{
    VLM_BUG_IF(x->dtype != VLM_F32);
    struct vlm_tensor *y = vlm_tensor_like(tape, name, x);
    if (vlm_tape_runs(tape)) {
        job.out = y->data;
        job.in = x->data;
        run(tape, x, job);
    }
    struct softmax_node *self = vlm_record(tape, sizeof(*self), back, y, x->needs_grad);
    if (self)
        self->x = x;
    return y;
}

struct vlm_tensor *vlm_softmax(struct vlm_tape *tape, struct vlm_tensor *x)
{
    struct job job = { .forward = tape->engine->kernels->rows->softmax };
    return forward(tape, "softmax", x, job, softmax_backward);
}

struct vlm_tensor *vlm_log_softmax(struct vlm_tape *tape, struct vlm_tensor *x)
{
    struct job job = { .forward = tape->engine->kernels->rows->log_softmax };
    return forward(tape, "log softmax", x, job, log_softmax_backward);
}
