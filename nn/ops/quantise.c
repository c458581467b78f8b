/* quantise.c - the nearest row of a codebook, with the gradient straight through.
 *
 * |z - e|^2 / 2 = |z|^2 / 2 - (z . e - |e|^2 / 2): the largest z . e - |e|^2 / 2 wins. Scores are
 * made in fp32 always, for blocks of 64 codes, of which only the largest is kept; blocks that may hold
 * the best are looked at again. Codes whose score is within the rounding error of that are compared again by |z - e|^2 in double. */
#include "base/vlm.h"

#include "nn/ops/quantise.h"

#include <float.h>
#include <math.h>

enum {
    TASK_ROWS = 64, /* that read the codebook once */
    TASK_COLS = 16, /* of the codebook's gradient */
};

struct job {
    const float *z, *codebook;
    const struct vlm_kernels *kernels;
    float *turned,
        *half_square; /* the codebook in blocks: [blocks][width][64]; [blocks * 64] |e|^2 / 2 */
    float *max;       /* [threads][TASK_ROWS][blocks] scratch, max_stride bytes apart */
    size_t max_stride;
    double largest;   /* |e| of any code */
    uint32_t *chosen; /* [rows] */
    size_t rows, codes, blocks, width;
};

static const uint32_t no_code = UINT32_MAX; /* of a row that has none */

static double distance(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    return sum;
}

static double square(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static struct vlm_code_block block_of(const struct job *job, size_t b)
{
    return (struct vlm_code_block){ .codes = job->turned + b * VLM_MAX_BLOCK * job->width,
                                    .less = job->half_square + b * VLM_MAX_BLOCK,
                                    .width = job->width };
}

/* The nearest code of a row, or no_code when a number is not finite. max [blocks]: of its scores. */
static uint32_t choose(const struct job *job, const float *z, const float *max)
{
    const size_t width = job->width;
    float scores[VLM_MAX_BLOCK], best = -INFINITY, again;
    double norm = sqrt(square(z, width));
    if (!isfinite(norm))
        return no_code;
    for (size_t b = 0; b < job->blocks; b++)
        best = max[b] > best ? max[b] : best;
    /* Twice what a chain of `width` fused multiply-adds and two more roundings can be wrong by. */
    double margin = 2 * (double)(width + 3) * (double)FLT_EPSILON *
                    (norm * job->largest + job->largest * job->largest / 2);
    const double least = (double)best - margin;
    double nearest = INFINITY;
    uint32_t code = no_code;
    for (size_t b = 0; b < job->blocks; b++) {
        if ((double)max[b] < least)
            continue;
        const size_t first = b * VLM_MAX_BLOCK, end = VLM_MIN(first + VLM_MAX_BLOCK, job->codes);
        struct vlm_code_block block = block_of(job, b);
        job->kernels->rows->score_block(scores, &again, z, width, 1, &block);
        for (size_t k = first; k < end; k++) {
            if ((double)scores[k - first] < least)
                continue;
            double d = distance(z, job->codebook + k * width, width);
            if (d < nearest) {
                nearest = d;
                code = (uint32_t)k;
            }
        }
    }
    return code;
}

static void choose_rows(void *argument, size_t task, size_t worker)
{
    const struct job *job = argument;
    const size_t first = task * TASK_ROWS, end = VLM_MIN(first + TASK_ROWS, job->rows);
    float *max = (float *)((char *)job->max + worker * job->max_stride);
    float scores[VLM_SCORE_ROWS * VLM_MAX_BLOCK], largest[VLM_SCORE_ROWS];
    for (size_t b = 0; b < job->blocks; b++) {
        struct vlm_code_block block = block_of(job, b);
        for (size_t r = first; r < end; r += VLM_SCORE_ROWS) {
            const size_t n = VLM_MIN((size_t)VLM_SCORE_ROWS, end - r);
            job->kernels->rows->score_block(scores, largest, job->z + r * job->width, job->width, n,
                                            &block);
            for (size_t i = 0; i < n; i++)
                max[(r - first + i) * job->blocks + b] = largest[i];
        }
    }
    for (size_t r = first; r < end; r++)
        job->chosen[r] = choose(job, job->z + r * job->width, max + (r - first) * job->blocks);
}

/* Fills turned, half_square and largest; false when a number of the codebook is not finite. Behind the
 * last code stand zeros whose score is -infinity. */
static bool turn_codebook(struct job *job)
{
    const size_t width = job->width;
    bool finite = true;
    job->largest = 0;
    for (size_t k = 0; k < job->blocks * VLM_MAX_BLOCK; k++) {
        const float *row = k < job->codes ? job->codebook + k * width : NULL;
        float *to = job->turned + k / VLM_MAX_BLOCK * VLM_MAX_BLOCK * width + k % VLM_MAX_BLOCK;
        double sum = row ? square(row, width) : INFINITY;
        for (size_t i = 0; i < width; i++)
            to[i * VLM_MAX_BLOCK] = row ? row[i] : 0;
        job->half_square[k] = (float)(sum / 2);
        if (!row)
            continue;
        finite &= (bool)isfinite(sum);
        job->largest = VLM_MAX(job->largest, sqrt(sum));
    }
    return finite;
}

/* Fills `chosen` for all rows. Takes its scratch in a dry run too. */
static void find_codes(struct vlm_tape *tape, const struct vlm_tensor *z,
                       const struct vlm_tensor *codebook, uint32_t *chosen)
{
    size_t rows = vlm_tensor_rows(z), codes = codebook->shape[0], width = codebook->shape[1];
    struct job job = { .z = z->data,
                       .codebook = codebook->data,
                       .kernels = tape->engine->kernels,
                       .chosen = chosen,
                       .rows = rows,
                       .codes = codes,
                       .blocks = (codes + VLM_MAX_BLOCK - 1) / VLM_MAX_BLOCK,
                       .width = width };
    tape->flops += 2.0 * (double)rows * (double)codes * (double)width;
    size_t mark = vlm_memory_mark(&tape->scratch);
    job.turned = vlm_scratch(tape, job.blocks * VLM_MAX_BLOCK * width, sizeof(float));
    job.half_square = vlm_scratch(tape, job.blocks * VLM_MAX_BLOCK, sizeof(float));
    job.max = vlm_scratch_workers(tape, TASK_ROWS * job.blocks, sizeof(float));
    job.max_stride = vlm_scratch_stride(TASK_ROWS * job.blocks, sizeof(float));
    if (vlm_tape_runs(tape) && !turn_codebook(&job))
        vlm_tape_fail(tape, VLM_EFORMAT, "codebook \"%s\" has a number that is not finite",
                      codebook->name);
    if (vlm_tape_runs(tape))
        vlm_pool_run(tape->engine->pool, (rows + TASK_ROWS - 1) / TASK_ROWS, choose_rows, &job);
    for (size_t r = 0; r < rows && vlm_tape_runs(tape); r++)
        if (chosen[r] == no_code)
            vlm_tape_fail(tape, VLM_EFORMAT,
                          "row %zu has a number that is not finite: no code for it", r);
    vlm_memory_return(&tape->scratch, mark);
}

/* ---- the two results and their gradients ---- */

struct quantise_node {
    struct vlm_node node;
    struct vlm_tensor *z, *codebook;
    const float *q;          /* the result's numbers */
    const uint32_t *chosen;  /* [rows] */
    float to_z, to_codebook; /* weights of the two terms of the loss */
};

static void straight_through(struct vlm_tape *tape, struct vlm_node *node)
{
    struct quantise_node *self = (struct quantise_node *)node;
    vlm_grad_give(tape, node, self->z);
}

struct codebook_job {
    const struct quantise_node *self;
    float *gradient, factor;
    size_t rows, width;
};

/* A task is some columns, so that rows of the same code are added in their order. */
static void add_to_codebook(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct codebook_job *job = argument;
    const struct quantise_node *self = job->self;
    size_t first = task * TASK_COLS, end = VLM_MIN(first + TASK_COLS, job->width);
    for (size_t r = 0; r < job->rows; r++) {
        const float *q = self->q + r * job->width, *z = self->z->data + r * job->width;
        float *to = job->gradient + self->chosen[r] * job->width;
        for (size_t c = first; c < end; c++)
            to[c] += job->factor * (q[c] - z[c]);
    }
}

static void loss_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct quantise_node *self = (struct quantise_node *)node;
    size_t count = vlm_tensor_count(self->z), width = vlm_tensor_cols(self->z);
    float *dz = vlm_grad(tape, self->z), *de = vlm_grad(tape, self->codebook);
    if (!vlm_tape_runs(tape) || !count)
        return;
    const float g = 2.0f * node->out->grad[0] / (float)count;
    for (size_t i = 0; dz && i < count; i++)
        dz[i] += g * self->to_z * (self->z->data[i] - self->q[i]);
    struct codebook_job job = { self, de, g * self->to_codebook, count / width, width };
    if (de)
        vlm_pool_run(tape->engine->pool, (width + TASK_COLS - 1) / TASK_COLS, add_to_codebook,
                     &job);
}

static double mean_distance(const float *z, const float *q, size_t count)
{
    return count ? distance(z, q, count) / (double)count : 0;
}

struct vlm_tensor *vlm_quantise(struct vlm_tape *tape, struct vlm_tensor *z,
                                const struct vlm_quantise *quantise, struct vlm_tensor **loss)
{
    struct vlm_tensor *codebook = quantise->codebook;
    VLM_BUG_IF(codebook->rank != 2 || !codebook->shape[0] || codebook->shape[0] >= no_code);
    VLM_BUG_IF(vlm_tensor_cols(z) != codebook->shape[1] || !codebook->shape[1]);
    VLM_BUG_IF(z->dtype != VLM_F32 || codebook->dtype != VLM_F32);
    size_t rows = vlm_tensor_rows(z), width = vlm_tensor_cols(z), row_bytes = width * sizeof(float);
    struct vlm_tensor *q = vlm_tensor_like(tape, "quantise", z);
    uint32_t *chosen = vlm_step_memory(tape, rows, sizeof(*chosen));
    find_codes(tape, z, codebook, chosen);
    for (size_t r = 0; r < rows && vlm_tape_runs(tape); r++)
        memcpy(q->data + r * width, codebook->data + chosen[r] * width, row_bytes);
    if (quantise->codes && vlm_tape_runs(tape))
        memcpy(quantise->codes, chosen, rows * sizeof(*chosen));
    struct quantise_node node = {
        .z = z,
        .codebook = codebook,
        .q = q->data,
        .chosen = chosen,
        .to_z = quantise->legacy ? 1.0f : quantise->beta,
        .to_codebook = quantise->legacy ? quantise->beta : 1.0f,
    };
    struct quantise_node *self =
        vlm_record(tape, sizeof(*self), straight_through, q, z->needs_grad);
    if (self) {
        node.node = self->node;
        *self = node;
    }
    if (!loss)
        return q;
    *loss = vlm_tensor_new(tape, "quantise_loss", VLM_F32, 1, (size_t[]){ 1 });
    if (vlm_tape_runs(tape))
        (*loss)->data[0] = (float)((double)(node.to_z + node.to_codebook) *
                                   mean_distance(z->data, q->data, rows * width));
    self = vlm_record(tape, sizeof(*self), loss_backward, *loss,
                      z->needs_grad || codebook->needs_grad);
    if (self) {
        node.node = self->node;
        *self = node;
    }
    return q;
}

/* ---- rows of length 1 ---- */

struct unit_node {
    struct vlm_node node;
    struct vlm_tensor *x;
};

/* A NaN stays one: it is not smaller than anything. */
static double length(const float *x, size_t n)
{
    double norm = sqrt(square(x, n));
    return norm < 1e-12 ? 1e-12 : norm;
}

static void unit_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct unit_node *self = (struct unit_node *)node;
    size_t rows = vlm_tensor_rows(self->x), width = vlm_tensor_cols(self->x);
    float *dx = vlm_grad(tape, self->x);
    for (size_t r = 0; dx && r < rows; r++) {
        const float *y = node->out->data + r * width, *dy = node->out->grad + r * width;
        double norm = length(self->x->data + r * width, width), along = 0;
        for (size_t i = 0; i < width; i++)
            along += (double)y[i] * (double)dy[i];
        if (norm <= 1e-12)
            along = 0; /* there the result is x * 1e12 */
        for (size_t i = 0; i < width; i++)
            dx[r * width + i] += (float)(((double)dy[i] - (double)y[i] * along) / norm);
    }
}

struct vlm_tensor *vlm_unit_rows(struct vlm_tape *tape, struct vlm_tensor *x)
{
    VLM_BUG_IF(x->dtype != VLM_F32);
    size_t rows = vlm_tensor_rows(x), width = vlm_tensor_cols(x);
    struct vlm_tensor *y = vlm_tensor_like(tape, "unit_rows", x);
    for (size_t r = 0; r < rows && vlm_tape_runs(tape); r++) {
        double norm = length(x->data + r * width, width);
        for (size_t i = r * width; i < (r + 1) * width; i++)
            y->data[i] = (float)((double)x->data[i] / norm);
    }
    struct unit_node *self = vlm_record(tape, sizeof(*self), unit_backward, y, x->needs_grad);
    if (self)
        self->x = x;
    return y;
}
