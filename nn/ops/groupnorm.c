/* groupnorm.c - group normalisation: two passes forward (sums, result) and two backward.
 *
 * A task is a block of pixels of one image. Sums by channel come out of the tasks in double and are
 * added in the order of the blocks; one thread makes the statistics of the groups of them. */
#include "base/vlm.h"

#include "nn/ops/groupnorm.h"

#include <math.h>

enum { BLOCK_PIXELS = 256 };

struct groupnorm_node {
    struct vlm_node node;
    struct vlm_groupnorm norm;
    struct vlm_tensor *x;
    float *center, *rstd, *shift; /* [images, channels], see struct vlm_channel_norm */
};

struct job {
    const struct vlm_conv_kernels *kernels;
    struct vlm_groupnorm norm;
    size_t images, pixels, channels, blocks; /* pixels and blocks of an image */
    const float *x, *dy;
    float *y, *dx;
    float *center, *rstd, *shift;
    double *sums;            /* [images, blocks, 2, channels] */
    float *constant, *slope; /* [images, channels] */
    bool accumulate;
};

/* A block of one task. */
struct block {
    size_t image, pixels;
    size_t at; /* first number, in x and y */
    double *sum, *second;
    struct vlm_channel_norm norm;
};

static struct block block_of(const struct job *job, size_t task)
{
    size_t image = task / job->blocks, first = task % job->blocks * BLOCK_PIXELS;
    size_t channels = job->channels;
    return (struct block){
        .image = image,
        .pixels = VLM_MIN(job->pixels - first, (size_t)BLOCK_PIXELS),
        .at = (image * job->pixels + first) * channels,
        .sum = job->sums + task * 2 * channels,
        .second = job->sums + (task * 2 + 1) * channels,
        .norm = { .channels = channels,
                  .center = job->center + image * channels,
                  .rstd = job->rstd + image * channels,
                  .shift = job->shift + image * channels,
                  .weight = job->norm.weight->data,
                  .bias = job->norm.bias->data,
                  .silu = job->norm.silu },
    };
}

/* The first pixel of an image is the origin of its sums. */
static void sum_block(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = argument;
    struct block block = block_of(job, task);
    const float *origin = job->x + block.image * job->pixels * job->channels;
    memset(block.sum, 0, 2 * job->channels * sizeof(double));
    job->kernels->norm_sums(block.sum, block.second, origin, job->x + block.at, block.pixels,
                            job->channels);
}

static void apply_block(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = argument;
    struct block block = block_of(job, task);
    job->kernels->norm_apply(&block.norm, job->y + block.at, job->x + block.at, block.pixels);
}

static void backward_sum_block(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = argument;
    struct block block = block_of(job, task);
    memset(block.sum, 0, 2 * job->channels * sizeof(double));
    job->kernels->norm_backward_sums(&block.norm, block.sum, block.second, job->x + block.at,
                                     job->dy + block.at, block.pixels);
}

static void backward_block(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = argument;
    struct block block = block_of(job, task);
    job->kernels->norm_backward(&block.norm, job->dx + block.at, job->x + block.at,
                                job->dy + block.at, block.pixels,
                                job->constant + block.image * job->channels,
                                job->slope + block.image * job->channels, job->accumulate);
}

/* The sums of all blocks of an image, in those of its first block. */
static double *add_blocks(const struct job *job, size_t image)
{
    size_t n = 2 * job->channels;
    double *total = job->sums + image * job->blocks * n;
    for (size_t block = 1; block < job->blocks; block++)
        for (size_t i = 0; i < n; i++)
            total[i] += total[block * n + i];
    return total;
}

/* Mean and variance of each group of one image. By channel, mean m_c = origin + S / n and sum of squared
 * distances from it Q - S^2 / n; a group has the mean of its m_c, and their distances from that are
 * added to its squares (Chan, Golub and LeVeque 1983). */
static void image_statistics(struct job *job, size_t image)
{
    const size_t channels = job->channels, width = channels / job->norm.groups;
    const double n = (double)job->pixels;
    double *sum = add_blocks(job, image), *square = sum + channels;
    const float *origin = job->x + image * job->pixels * channels;
    for (size_t c = 0; c < channels; c++) {
        square[c] -= sum[c] * sum[c] / n;
        sum[c] = (double)origin[c] + sum[c] / n;
    }
    for (size_t first = 0; first < channels; first += width) {
        double mean = 0, squares = 0;
        for (size_t c = first; c < first + width; c++)
            mean += sum[c] / (double)width;
        for (size_t c = first; c < first + width; c++)
            squares += square[c] + n * (sum[c] - mean) * (sum[c] - mean);
        double rstd = 1 / sqrt(squares / (n * (double)width) + (double)job->norm.eps);
        float center = (float)mean;
        for (size_t i = image * channels + first; i < image * channels + first + width; i++) {
            job->center[i] = center;
            job->rstd[i] = (float)rstd;
            job->shift[i] = (float)(((double)center - mean) * rstd);
        }
    }
}

static void make_job(struct job *job, const struct vlm_tape *tape, const struct vlm_tensor *x,
                     const struct vlm_groupnorm *norm)
{
    memset(job, 0, sizeof(*job));
    job->kernels = tape->engine->kernels->conv;
    job->norm = *norm;
    job->x = x->data;
    job->images = x->shape[0];
    job->channels = vlm_tensor_cols(x);
    job->pixels = 1;
    for (unsigned i = 1; i + 1 < x->rank; i++)
        job->pixels *= x->shape[i];
    job->blocks = (job->pixels + BLOCK_PIXELS - 1) / BLOCK_PIXELS;
    if (!job->channels)
        job->blocks = 0;
}

/* What the means of the header are for each group, and the gradients by weight and bias. */
static void group_gradients(struct job *job, float *dweight, float *dbias, double *totals)
{
    const size_t channels = job->channels, width = channels / job->norm.groups;
    const double n = (double)job->pixels * (double)width;
    const float *weight = job->norm.weight->data;
    memset(totals, 0, 2 * channels * sizeof(*totals));
    for (size_t image = 0; image < job->images; image++) {
        const double *sum = add_blocks(job, image), *by_xhat = sum + channels;
        for (size_t first = 0; first < channels; first += width) {
            double constant = 0, slope = 0;
            for (size_t c = first; c < first + width; c++) {
                constant += sum[c] * (double)weight[c];
                slope += by_xhat[c] * (double)weight[c];
                totals[c] += sum[c];
                totals[channels + c] += by_xhat[c];
            }
            for (size_t i = image * channels + first; i < image * channels + first + width; i++) {
                job->constant[i] = (float)(constant / n);
                job->slope[i] = (float)(slope / n);
            }
        }
    }
    for (size_t c = 0; dbias && c < channels; c++)
        dbias[c] += (float)totals[c];
    for (size_t c = 0; dweight && c < channels; c++)
        dweight[c] += (float)totals[channels + c];
}

static void groupnorm_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct groupnorm_node *self = (struct groupnorm_node *)node;
    struct job job;
    make_job(&job, tape, self->x, &self->norm);
    size_t mark = vlm_memory_mark(&tape->scratch), tasks = job.images * job.blocks;
    job.dy = node->out->grad;
    job.center = self->center;
    job.rstd = self->rstd;
    job.shift = self->shift;
    job.dx = vlm_grad_begin(tape, self->x, &job.accumulate);
    float *dweight = vlm_grad(tape, self->norm.weight), *dbias = vlm_grad(tape, self->norm.bias);
    job.sums = vlm_scratch(tape, tasks * 2 * job.channels, sizeof(double));
    job.constant = vlm_scratch(tape, job.images * job.channels, sizeof(float));
    job.slope = vlm_scratch(tape, job.images * job.channels, sizeof(float));
    double *totals = vlm_scratch(tape, 2 * job.channels, sizeof(double));
    if (vlm_tape_runs(tape) && tasks) {
        struct vlm_pool *pool = tape->engine->pool;
        vlm_pool_run(pool, tasks, backward_sum_block, &job);
        group_gradients(&job, dweight, dbias, totals);
        if (job.dx)
            vlm_pool_run(pool, tasks, backward_block, &job);
    }
    vlm_memory_return(&tape->scratch, mark);
}

struct vlm_tensor *vlm_groupnorm(struct vlm_tape *tape, struct vlm_tensor *x,
                                 const struct vlm_groupnorm *norm)
{
    struct job job;
    VLM_BUG_IF(x->rank < 2 || x->dtype != VLM_F32);
    make_job(&job, tape, x, norm);
    VLM_BUG_IF(!norm->groups || job.channels % norm->groups);
    VLM_BUG_IF(vlm_tensor_count(norm->weight) != job.channels ||
               vlm_tensor_count(norm->bias) != job.channels);
    struct vlm_tensor *y = norm->into ? norm->into : vlm_tensor_like(tape, "groupnorm", x);
    VLM_BUG_IF(norm->into &&
               (vlm_tape_records(tape) || vlm_tensor_count(y) != vlm_tensor_count(x)));
    size_t statistics = job.images * job.channels, tasks = job.images * job.blocks;
    job.y = y->data;
    job.center = vlm_step_memory(tape, statistics, sizeof(float));
    job.rstd = vlm_step_memory(tape, statistics, sizeof(float));
    job.shift = vlm_step_memory(tape, statistics, sizeof(float));
    size_t mark = vlm_memory_mark(&tape->scratch);
    job.sums = vlm_scratch(tape, tasks * 2 * job.channels, sizeof(double));
    if (vlm_tape_runs(tape) && tasks) {
        vlm_pool_run(tape->engine->pool, tasks, sum_block, &job);
        for (size_t image = 0; image < job.images; image++)
            image_statistics(&job, image);
        vlm_pool_run(tape->engine->pool, tasks, apply_block, &job);
    }
    vlm_memory_return(&tape->scratch, mark);
    bool needs_grad = x->needs_grad || norm->weight->needs_grad || norm->bias->needs_grad;
    struct groupnorm_node *self =
        vlm_record(tape, sizeof(*self), groupnorm_backward, y, needs_grad);
    if (self) {
        self->norm = *norm;
        self->x = x;
        self->center = job.center;
        self->rstd = job.rstd;
        self->shift = job.shift;
    }
    return y;
}
