/* norm.c - layernorm and RMSnorm: one walk through memory forward, one backward.
 *
 * Both are the same op; the kernels differ. Forward cuts rows into small tasks. Backward cuts them
 * into blocks of BLOCK rows, each with its own sums for weight and bias, which are then added up
 * column by column in the order of the blocks. */
#include "base/vlm.h"

#include "nn/ops/norm.h"

enum {
    BLOCK = 64,    /* rows of one partial sum; also of one task */
    SUM_COLS = 256 /* columns whose partial sums one task adds up */
};

enum norm_kind { LAYERNORM, RMSNORM };

struct norm_node {
    struct vlm_node node;
    enum norm_kind kind;
    struct vlm_tensor *x, *weight, *bias;
    float *mean, *rstd; /* [rows] */
};

static size_t blocks(size_t n, size_t block)
{
    return n / block + (n % block > 0);
}

/* ---- forward ---- */

struct forward_job {
    void (*kernel)(const struct vlm_row_norm *norm, size_t rows);
    struct vlm_row_norm norm; /* of row 0 */
    size_t rows;
};

static void forward_block(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct forward_job *job = context;
    size_t row = task * BLOCK, skip = row * job->norm.cols;
    struct vlm_row_norm norm = job->norm;
    norm.x += skip;
    norm.rstd += row;
    if (norm.mean)
        norm.mean += row;
    if (norm.bits)
        norm.bits += skip;
    else
        norm.y += skip;
    job->kernel(&norm, VLM_MIN((size_t)BLOCK, job->rows - row));
}

/* ---- backward ---- */

struct backward_job {
    void (*kernel)(const struct vlm_row_norm_backward *job, size_t rows);
    struct vlm_row_norm_backward norm; /* of row 0; dweight and dbias of block 0 */
    size_t rows;
};

static void backward_block(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct backward_job *job = context;
    size_t row = task * BLOCK, cols = job->norm.cols;
    struct vlm_row_norm_backward norm = job->norm;
    norm.x += row * cols;
    norm.dy += row * cols;
    norm.rstd += row;
    if (norm.mean)
        norm.mean += row;
    if (norm.dx)
        norm.dx += row * cols;
    if (norm.dweight) {
        norm.dweight += task * cols;
        memset(norm.dweight, 0, cols * sizeof(float));
    }
    if (norm.dbias) {
        norm.dbias += task * cols;
        memset(norm.dbias, 0, cols * sizeof(float));
    }
    job->kernel(&norm, VLM_MIN((size_t)BLOCK, job->rows - row));
}

/* sum[cols] += rows of partial [blocks, cols], in order. */
struct sum_job {
    const struct vlm_row_kernels *kernels;
    float *sum;
    const float *partial;
    size_t blocks, cols;
};

static void sum_cols(void *context, size_t task, size_t worker)
{
    (void)worker;
    const struct sum_job *job = context;
    size_t first = task * SUM_COLS, n = VLM_MIN((size_t)SUM_COLS, job->cols - first);
    for (size_t block = 0; block < job->blocks; block++)
        job->kernels->scale_add(job->sum + first, job->partial + block * job->cols + first, 1, n);
}

static void sum_partial(struct vlm_tape *tape, float *sum, const float *partial, size_t n_blocks,
                        size_t cols)
{
    struct sum_job job = { tape->engine->kernels->rows, sum, partial, n_blocks, cols };
    if (sum && partial)
        vlm_pool_run(tape->engine->pool, blocks(cols, SUM_COLS), sum_cols, &job);
}

static void norm_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct norm_node *self = (struct norm_node *)node;
    struct vlm_tensor *x = self->x, *weight = self->weight, *bias = self->bias;
    const struct vlm_row_kernels *kernels = tape->engine->kernels->rows;
    size_t mark = vlm_memory_mark(&tape->scratch);
    size_t rows = vlm_tensor_rows(x), cols = vlm_tensor_cols(x), n_blocks = blocks(rows, BLOCK);
    struct backward_job job = {
        .kernel = self->kind == LAYERNORM ? kernels->layernorm_backward : kernels->rmsnorm_backward,
        .norm = { .cols = cols, .mean = self->mean, .rstd = self->rstd, .dy = node->out->grad },
        .rows = rows,
    };
    float *dweight = vlm_grad(tape, weight), *dbias = bias ? vlm_grad(tape, bias) : NULL;
    job.norm.dx = vlm_grad_begin(tape, x, &job.norm.accumulate);
    if (weight->needs_grad)
        job.norm.dweight = vlm_scratch(tape, n_blocks * cols, sizeof(float));
    if (bias && bias->needs_grad)
        job.norm.dbias = vlm_scratch(tape, n_blocks * cols, sizeof(float));
    if (vlm_tape_runs(tape)) {
        job.norm.x = x->data;
        job.norm.weight = weight->data;
        vlm_pool_run(tape->engine->pool, n_blocks, backward_block, &job);
        sum_partial(tape, dweight, job.norm.dweight, n_blocks, cols);
        sum_partial(tape, dbias, job.norm.dbias, n_blocks, cols);
    }
    vlm_memory_return(&tape->scratch, mark);
}

/* ---- both ---- */

static struct vlm_tensor *norm(struct vlm_tape *tape, enum norm_kind kind, enum vlm_dtype dtype,
                               struct vlm_tensor *x, struct vlm_tensor *weight,
                               struct vlm_tensor *bias, float eps)
{
    const struct vlm_row_kernels *kernels = tape->engine->kernels->rows;
    size_t rows = vlm_tensor_rows(x), cols = vlm_tensor_cols(x);
    VLM_BUG_IF(x->dtype != VLM_F32 || weight->dtype != VLM_F32);
    VLM_BUG_IF(vlm_tensor_count(weight) != cols || (bias && vlm_tensor_count(bias) != cols));
    bool needs_grad = x->needs_grad || weight->needs_grad || (bias && bias->needs_grad);
    bool keep = needs_grad && vlm_tape_records(tape);
    struct vlm_tensor *y =
        vlm_tensor_new(tape, kind == LAYERNORM ? "layernorm" : "rmsnorm", dtype, x->rank, x->shape);
    size_t mark = vlm_memory_mark(&tape->scratch);
    float *mean = NULL, *rstd = keep ? vlm_step_memory(tape, rows, sizeof(float))
                                     : vlm_scratch(tape, rows, sizeof(float));
    if (kind == LAYERNORM)
        mean = keep ? vlm_step_memory(tape, rows, sizeof(float))
                    : vlm_scratch(tape, rows, sizeof(float));
    if (vlm_tape_runs(tape)) {
        struct forward_job job = {
            .kernel = kind == LAYERNORM ? kernels->layernorm : kernels->rmsnorm,
            .norm = { .cols = cols,
                      .x = x->data,
                      .weight = weight->data,
                      .bias = bias ? bias->data : NULL,
                      .eps = eps,
                      .mean = mean,
                      .rstd = rstd },
            .rows = rows,
        };
        if (dtype == VLM_BF16)
            job.norm.bits = y->bits;
        else
            job.norm.y = y->data;
        vlm_pool_run(tape->engine->pool, blocks(rows, BLOCK), forward_block, &job);
    }
    vlm_memory_return(&tape->scratch, mark);
    struct norm_node *self = vlm_record(tape, sizeof(*self), norm_backward, y, needs_grad);
    if (self) {
        self->kind = kind;
        self->x = x;
        self->weight = weight;
        self->bias = bias;
        self->mean = mean;
        self->rstd = rstd;
    }
    return y;
}

struct vlm_tensor *vlm_layernorm(struct vlm_tape *tape, struct vlm_tensor *x,
                                 struct vlm_tensor *weight, struct vlm_tensor *bias, float eps)
{
    return norm(tape, LAYERNORM, VLM_F32, x, weight, bias, eps);
}

struct vlm_tensor *vlm_rmsnorm(struct vlm_tape *tape, struct vlm_tensor *x,
                               struct vlm_tensor *weight, float eps)
{
    return norm(tape, RMSNORM, VLM_F32, x, weight, NULL, eps);
}

struct vlm_tensor *vlm_layernorm_operand(struct vlm_tape *tape, struct vlm_tensor *x,
                                         struct vlm_tensor *weight, struct vlm_tensor *bias,
                                         float eps)
{
    return norm(tape, LAYERNORM, tape->precision, x, weight, bias, eps);
}

struct vlm_tensor *vlm_rmsnorm_operand(struct vlm_tape *tape, struct vlm_tensor *x,
                                       struct vlm_tensor *weight, float eps)
{
    return norm(tape, RMSNORM, tape->precision, x, weight, NULL, eps);
}
