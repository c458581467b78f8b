/* rows.c - ops that move or combine whole rows.
 *
 * Forward and backward are jobs in one of two cuts: by blocks of result rows, where each result row
 * has one source; or by columns, where several rows are added into one (the task sees all of them in
 * order, so the sum does not depend on threads). */
#include "base/vlm.h"

#include "nn/ops/rows.h"

enum {
    BLOCK_FLOATS = 16384, /* a task of rows has about so many numbers */
    COLS = 128,           /* columns of a task that adds up rows */
};

struct job {
    const struct vlm_row_kernels *kernels;
    float *y; /* [rows, cols] */
    const float *x;
    const uint32_t *index, *end; /* [rows] */
    float *norm;                 /* [rows] */
    float eps;
    size_t rows, cols, block; /* block: rows of a task */
};

static size_t parts(size_t n, size_t part)
{
    return n / part + (n % part > 0);
}

static void run_rows(const struct vlm_tape *tape, struct job job, vlm_task work)
{
    job.kernels = tape->engine->kernels->rows;
    job.block = VLM_MAX((size_t)BLOCK_FLOATS / VLM_MAX(job.cols, (size_t)1), (size_t)1);
    vlm_pool_run(tape->engine->pool, parts(job.rows, job.block), work, &job);
}

static void run_cols(const struct vlm_tape *tape, struct job job, vlm_task work)
{
    job.kernels = tape->engine->kernels->rows;
    vlm_pool_run(tape->engine->pool, parts(job.cols, COLS), work, &job);
}

static size_t last_row(const struct job *job, size_t task)
{
    return VLM_MIN((task + 1) * job->block, job->rows);
}

static size_t task_cols(const struct job *job, size_t task)
{
    return VLM_MIN((size_t)COLS, job->cols - task * COLS);
}

/* y_r = x[index_r] */
static void gather_block(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t cols = job->cols;
    for (size_t r = task * job->block; r < last_row(job, task); r++)
        memcpy(job->y + r * cols, job->x + job->index[r] * cols, cols * sizeof(float));
}

/* The same of bf16, which y and x then point to. */
static void gather_bits_block(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    const uint16_t *x = (const void *)job->x;
    uint16_t *y = (void *)job->y;
    size_t cols = job->cols;
    for (size_t r = task * job->block; r < last_row(job, task); r++)
        memcpy(y + r * cols, x + job->index[r] * cols, cols * sizeof(*x));
}

/* y_r += x[index_r] */
static void gather_add_block(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t cols = job->cols;
    for (size_t r = task * job->block; r < last_row(job, task); r++)
        job->kernels->scale_add(job->y + r * cols, job->x + job->index[r] * cols, 1, cols);
}

/* y[index_r] = x_r, or zeros; no index twice. */
static void scatter_block(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t cols = job->cols;
    for (size_t r = task * job->block; r < last_row(job, task); r++) {
        float *y = job->y + job->index[r] * cols;
        if (job->x)
            memcpy(y, job->x + r * cols, cols * sizeof(float));
        else
            memset(y, 0, cols * sizeof(float));
    }
}

/* y[index_r] += x_r: the task owns columns. */
static void scatter_add_cols(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t first = task * COLS, n = task_cols(job, task);
    for (size_t r = 0; r < job->rows; r++)
        job->kernels->scale_add(job->y + job->index[r] * job->cols + first,
                                job->x + r * job->cols + first, 1, n);
}

/* y_r = x_r, or zeros */
static void copy_block(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t first = task * job->block * job->cols;
    size_t n = last_row(job, task) * job->cols - first;
    if (job->x)
        memcpy(job->y + first, job->x + first, n * sizeof(float));
    else
        memset(job->y + first, 0, n * sizeof(float));
}

/* y_r += x_r */
static void add_block(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t first = task * job->block * job->cols;
    job->kernels->scale_add(job->y + first, job->x + first, 1,
                            last_row(job, task) * job->cols - first);
}

/* Row numbers come from our own code, but a wrong one would write anywhere. Not read in a dry run. */
static void check_index(const struct vlm_tape *tape, const uint32_t *index, size_t n, size_t rows)
{
    for (size_t i = 0; i < n && vlm_tape_runs(tape); i++)
        VLM_BUG_IF(index[i] >= rows);
}

/* ---- reshape ---- */

struct view_node {
    struct vlm_node node;
    struct vlm_tensor *x;
};

static void view_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    vlm_grad_give(tape, node, ((struct view_node *)node)->x);
}

struct vlm_tensor *vlm_reshape_rows(struct vlm_tape *tape, struct vlm_tensor *x, size_t rows,
                                    size_t cols)
{
    size_t count;
    VLM_BUG_IF(__builtin_mul_overflow(rows, cols, &count) || count != vlm_tensor_count(x));
    /* Of no rows, so that it takes no memory: it gets that of x. */
    struct vlm_tensor *y = vlm_tensor_new(tape, "reshape", x->dtype, 2, (size_t[]){ 0, cols });
    y->shape[0] = rows;
    y->data = x->data;
    struct view_node *self = vlm_record(tape, sizeof(*self), view_backward, y, x->needs_grad);
    if (self)
        self->x = x;
    return y;
}

/* ---- gather ---- */

struct index_node {
    struct vlm_node node;
    struct vlm_tensor *x, *base;
    const uint32_t *index;
};

static void gather_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct index_node *self = (struct index_node *)node;
    float *dx = vlm_grad(tape, self->x);
    if (dx)
        run_cols(tape,
                 (struct job){ .y = dx,
                               .x = node->out->grad,
                               .index = self->index,
                               .rows = vlm_tensor_rows(node->out),
                               .cols = vlm_tensor_cols(self->x) },
                 scatter_add_cols);
}

struct vlm_tensor *vlm_gather_rows(struct vlm_tape *tape, struct vlm_tensor *x,
                                   const uint32_t *index, size_t rows)
{
    check_index(tape, index, rows, vlm_tensor_rows(x));
    struct vlm_tensor *y =
        vlm_tensor_new(tape, "gather", x->dtype, 2, (size_t[]){ rows, vlm_tensor_cols(x) });
    if (vlm_tape_runs(tape))
        run_rows(tape,
                 (struct job){ .y = y->data,
                               .x = x->data,
                               .index = index,
                               .rows = rows,
                               .cols = vlm_tensor_cols(x) },
                 x->dtype == VLM_BF16 ? gather_bits_block : gather_block);
    struct index_node *self = vlm_record(tape, sizeof(*self), gather_backward, y, x->needs_grad);
    if (self) {
        self->x = x;
        self->index = index;
    }
    return y;
}

/* ---- scatter ---- */

static void scatter_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct index_node *self = (struct index_node *)node;
    size_t cols = vlm_tensor_cols(self->x);
    bool accumulate;
    float *dx = vlm_grad_begin(tape, self->x, &accumulate);
    struct job job = { .x = node->out->grad,
                       .y = dx,
                       .index = self->index,
                       .rows = vlm_tensor_rows(self->x),
                       .cols = cols };
    if (dx)
        run_rows(tape, job, accumulate ? gather_add_block : gather_block);
    if (!self->base || !self->base->needs_grad)
        return;
    job.x = NULL;
    job.y = node->out->grad;
    if (vlm_tape_runs(tape))
        run_rows(tape, job, scatter_block);
    vlm_grad_give(tape, node, self->base);
}

/* Aborts when a row is to be replaced twice. */
static void check_distinct(struct vlm_tape *tape, const uint32_t *index, size_t n, size_t rows)
{
    size_t mark = vlm_memory_mark(&tape->scratch);
    uint8_t *taken = vlm_scratch(tape, rows, sizeof(*taken));
    if (taken) {
        memset(taken, 0, rows);
        for (size_t i = 0; i < n; i++)
            VLM_BUG_IF(taken[index[i]]++);
    }
    vlm_memory_return(&tape->scratch, mark);
}

struct vlm_tensor *vlm_scatter_rows(struct vlm_tape *tape, struct vlm_tensor *base, size_t rows,
                                    struct vlm_tensor *x, const uint32_t *index)
{
    size_t cols = vlm_tensor_cols(x), count = vlm_tensor_rows(x);
    VLM_BUG_IF(x->dtype != VLM_F32 || (base && base->dtype != VLM_F32));
    VLM_BUG_IF(base && (vlm_tensor_cols(base) != cols || vlm_tensor_rows(base) != rows));
    check_index(tape, index, count, rows);
    check_distinct(tape, index, count, rows);
    struct vlm_tensor *y = vlm_tensor_matrix(tape, "scatter", rows, cols);
    if (vlm_tape_runs(tape)) {
        run_rows(
            tape,
            (struct job){ .y = y->data, .x = base ? base->data : NULL, .rows = rows, .cols = cols },
            copy_block);
        run_rows(
            tape,
            (struct job){ .y = y->data, .x = x->data, .index = index, .rows = count, .cols = cols },
            scatter_block);
    }
    struct index_node *self = vlm_record(tape, sizeof(*self), scatter_backward, y,
                                         x->needs_grad || (base && base->needs_grad));
    if (self) {
        self->x = x;
        self->base = base;
        self->index = index;
    }
    return y;
}

/* ---- concatenate ---- */

struct concat_node {
    struct vlm_node node;
    size_t count;
    struct vlm_tensor *part[];
};

static void concat_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct concat_node *self = (struct concat_node *)node;
    const float *dy = node->out->grad;
    size_t cols = vlm_tensor_cols(node->out), row = 0;
    for (size_t i = 0; i < self->count; i++) {
        size_t rows = vlm_tensor_rows(self->part[i]);
        bool accumulate;
        float *dx = vlm_grad_begin(tape, self->part[i], &accumulate);
        if (dx)
            run_rows(tape,
                     (struct job){ .y = dx, .x = dy + row * cols, .rows = rows, .cols = cols },
                     accumulate ? add_block : copy_block);
        row += rows;
    }
}

struct vlm_tensor *vlm_concat_rows(struct vlm_tape *tape, size_t count, struct vlm_tensor **part)
{
    VLM_BUG_IF(count == 0);
    size_t rows = 0, cols = vlm_tensor_cols(part[0]);
    bool needs_grad = false;
    for (size_t i = 0; i < count; i++) {
        VLM_BUG_IF(part[i]->dtype != VLM_F32 || vlm_tensor_cols(part[i]) != cols);
        rows += vlm_tensor_rows(part[i]);
        needs_grad = needs_grad || part[i]->needs_grad;
    }
    struct vlm_tensor *y = vlm_tensor_matrix(tape, "concat", rows, cols);
    size_t row = 0;
    for (size_t i = 0; i < count && vlm_tape_runs(tape); i++) {
        size_t n = vlm_tensor_rows(part[i]);
        run_rows(
            tape,
            (struct job){ .y = y->data + row * cols, .x = part[i]->data, .rows = n, .cols = cols },
            copy_block);
        row += n;
    }
    struct concat_node *self = vlm_record(tape, sizeof(*self) + count * sizeof(self->part[0]),
                                          concat_backward, y, needs_grad);
    if (self) {
        self->count = count;
        memcpy(self->part, part, count * sizeof(self->part[0]));
    }
    return y;
}

/* ---- mean over segments ---- */

struct mean_node {
    struct vlm_node node;
    struct vlm_tensor *x;
    const uint32_t *begin, *end;
};

/* The task owns columns of all segments. */
static void mean_cols(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t first = task * COLS, n = task_cols(job, task);
    for (size_t s = 0; s < job->rows; s++) {
        float *y = job->y + s * job->cols + first;
        memset(y, 0, n * sizeof(float));
        for (size_t r = job->index[s]; r < job->end[s]; r++)
            job->kernels->scale_add(y, job->x + r * job->cols + first, 1, n);
        if (job->end[s] > job->index[s])
            job->kernels->scale(y, y, 1 / (float)(job->end[s] - job->index[s]), n);
    }
}

static void mean_backward_cols(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t first = task * COLS, n = task_cols(job, task);
    for (size_t s = 0; s < job->rows; s++)
        for (size_t r = job->index[s]; r < job->end[s]; r++)
            job->kernels->scale_add(job->y + r * job->cols + first, job->x + s * job->cols + first,
                                    1 / (float)(job->end[s] - job->index[s]), n);
}

static void mean_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct mean_node *self = (struct mean_node *)node;
    float *dx = vlm_grad(tape, self->x);
    if (dx)
        run_cols(tape,
                 (struct job){ .y = dx,
                               .x = node->out->grad,
                               .index = self->begin,
                               .end = self->end,
                               .rows = vlm_tensor_rows(node->out),
                               .cols = vlm_tensor_cols(self->x) },
                 mean_backward_cols);
}

struct vlm_tensor *vlm_mean_rows(struct vlm_tape *tape, struct vlm_tensor *x, const uint32_t *begin,
                                 const uint32_t *end, size_t segments)
{
    VLM_BUG_IF(x->dtype != VLM_F32);
    for (size_t s = 0; s < segments && vlm_tape_runs(tape); s++)
        VLM_BUG_IF(end[s] > vlm_tensor_rows(x));
    struct vlm_tensor *y = vlm_tensor_matrix(tape, "mean", segments, vlm_tensor_cols(x));
    if (vlm_tape_runs(tape))
        run_cols(tape,
                 (struct job){ .y = y->data,
                               .x = x->data,
                               .index = begin,
                               .end = end,
                               .rows = segments,
                               .cols = vlm_tensor_cols(x) },
                 mean_cols);
    struct mean_node *self = vlm_record(tape, sizeof(*self), mean_backward, y, x->needs_grad);
    if (self) {
        self->x = x;
        self->begin = begin;
        self->end = end;
    }
    return y;
}

/* ---- l2-normalise ---- */

struct l2_node {
    struct vlm_node node;
    struct vlm_tensor *x;
    float *norm; /* [rows] */
    float eps;
};

/* Also keeps the norms. */
static void l2_block(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t cols = job->cols;
    for (size_t r = task * job->block; r < last_row(job, task); r++) {
        const float *x = job->x + r * cols;
        float norm = job->kernels->norm(x, cols);
        job->norm[r] = norm;
        float length = norm < job->eps ? job->eps : norm; /* NaN stays */
        job->kernels->scale(job->y + r * cols, x, 1 / length, cols);
    }
}

/* dx in the place of dy (y); x of the job is the op's result. */
static void l2_backward_block(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = context;
    size_t cols = job->cols;
    for (size_t r = task * job->block; r < last_row(job, task); r++) {
        float *dy = job->y + r * cols;
        const float *y = job->x + r * cols;
        float norm = job->norm[r];
        if (!(norm < job->eps))
            job->kernels->scale_add(dy, y, -job->kernels->dot(dy, y, cols), cols);
        job->kernels->scale(dy, dy, 1 / (norm < job->eps ? job->eps : norm), cols);
    }
}

static void l2_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct l2_node *self = (struct l2_node *)node;
    if (vlm_tape_runs(tape))
        run_rows(tape,
                 (struct job){ .y = node->out->grad,
                               .x = node->out->data,
                               .norm = self->norm,
                               .eps = self->eps,
                               .rows = vlm_tensor_rows(self->x),
                               .cols = vlm_tensor_cols(self->x) },
                 l2_backward_block);
    vlm_grad_give(tape, node, self->x);
}

struct vlm_tensor *vlm_l2_normalise(struct vlm_tape *tape, struct vlm_tensor *x, float eps)
{
    VLM_BUG_IF(x->dtype != VLM_F32);
    size_t rows = vlm_tensor_rows(x);
    struct vlm_tensor *y = vlm_tensor_like(tape, "l2 normalise", x);
    float *norm = vlm_step_memory(tape, rows, sizeof(*norm));
    if (vlm_tape_runs(tape))
        run_rows(tape,
                 (struct job){ .y = y->data,
                               .x = x->data,
                               .norm = norm,
                               .eps = eps,
                               .rows = rows,
                               .cols = vlm_tensor_cols(x) },
                 l2_block);
    struct l2_node *self = vlm_record(tape, sizeof(*self), l2_backward, y, x->needs_grad);
    if (self) {
        self->x = x;
        self->norm = norm;
        self->eps = eps;
    }
    return y;
}
