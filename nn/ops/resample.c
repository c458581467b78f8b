/* resample.c - up- and down-sampling, the mean over pixels, and the exchange of space and channels.
 *
 * All but the mean are moves between a large and a small image; a task is a row of the small one. */
#include "base/vlm.h"

#include "nn/ops/resample.h"

struct job {
    const struct vlm_kernels *kernels;
    size_t height, width, channels; /* of the small image, channels of a pixel of the large one */
    size_t large_height, large_width;
    size_t block; /* rows and columns of the large image for a pixel of the small one */
    float *large, *small;
};

typedef void (*row_fn)(const struct job *job, float *large, float *small);

struct rows_job {
    struct job job;
    row_fn row;
    size_t small_row; /* floats */
};

static void work_on_row(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct rows_job *rows = argument;
    const struct job *job = &rows->job;
    size_t image = task / job->height, row = task % job->height;
    float *large = job->large + (image * job->large_height + row * job->block) * job->large_width *
                                    job->channels;
    rows->row(job, large, job->small + task * rows->small_row);
}

/* Calls row() for each row of the small image. */
static void for_rows(const struct vlm_tape *tape, const struct job *job, size_t images, row_fn row,
                     size_t small_channels)
{
    struct rows_job rows = { *job, row, job->width * small_channels };
    rows.job.kernels = tape->engine->kernels;
    if (job->width && job->channels)
        vlm_pool_run(tape->engine->pool, images * job->height, work_on_row, &rows);
}

struct resample_node {
    struct vlm_node node;
    struct vlm_tensor *x;
    size_t block;
};

/* Records a node that has to know its input and the block. */
static void record(struct vlm_tape *tape, vlm_backward_fn backward, struct vlm_tensor *y,
                   struct vlm_tensor *x, size_t block)
{
    struct resample_node *self = vlm_record(tape, sizeof(*self), backward, y, x->needs_grad);
    if (self) {
        self->x = x;
        self->block = block;
    }
}

/* The job between a small tensor and a large one, whose pixels have `channels`. */
static struct job job_between(const struct vlm_tensor *small, const struct vlm_tensor *large,
                              size_t block, size_t channels)
{
    return (struct job){
        .height = small->shape[1],
        .width = small->shape[2],
        .channels = channels,
        .large_height = large->shape[1],
        .large_width = large->shape[2],
        .block = block,
    };
}

/* ---- nearest neighbour ---- */

static void repeat_row(const struct job *job, float *large, float *small)
{
    size_t channels = job->channels;
    for (size_t c = 0; c < job->width; c++)
        for (size_t j = 0; j < 2; j++)
            memcpy(large + (2 * c + j) * channels, small + c * channels, channels * sizeof(float));
    memcpy(large + 2 * job->width * channels, large, 2 * job->width * channels * sizeof(float));
}

static void add_four_row(const struct job *job, float *large, float *small)
{
    size_t channels = job->channels, row = job->large_width * channels;
    for (size_t c = 0; c < job->width; c++) {
        const float *a = large + 2 * c * channels, *b = a + channels;
        float *to = small + c * channels;
        for (size_t k = 0; k < channels; k++)
            to[k] += (a[k] + b[k]) + (a[row + k] + b[row + k]);
    }
}

static void upsample_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct resample_node *self = (struct resample_node *)node;
    float *dx = vlm_grad(tape, self->x);
    if (!dx)
        return;
    struct job job = job_between(self->x, node->out, 2, vlm_tensor_cols(self->x));
    job.small = dx;
    job.large = node->out->grad;
    for_rows(tape, &job, self->x->shape[0], add_four_row, job.channels);
}

struct vlm_tensor *vlm_upsample(struct vlm_tape *tape, struct vlm_tensor *x)
{
    VLM_BUG_IF(x->rank != 4 || x->dtype != VLM_F32);
    struct vlm_tensor *y =
        vlm_tensor_new(tape, "upsample", VLM_F32, 4,
                       (size_t[]){ x->shape[0], 2 * x->shape[1], 2 * x->shape[2], x->shape[3] });
    struct job job = job_between(x, y, 2, x->shape[3]);
    job.small = x->data;
    job.large = y->data;
    if (vlm_tape_runs(tape))
        for_rows(tape, &job, x->shape[0], repeat_row, job.channels);
    record(tape, upsample_backward, y, x, 2);
    return y;
}

/* ---- mean of 2 x 2 ---- */

static void mean_of_four_row(const struct job *job, float *large, float *small)
{
    size_t channels = job->channels, row = job->large_width * channels;
    for (size_t c = 0; c < job->width; c++) {
        const float *a = large + 2 * c * channels, *b = a + channels;
        float *to = small + c * channels;
        for (size_t k = 0; k < channels; k++)
            to[k] = 0.25f * ((a[k] + b[k]) + (a[row + k] + b[row + k]));
    }
}

static void spread_row(const struct job *job, float *large, float *small)
{
    size_t channels = job->channels, row = job->large_width * channels;
    for (size_t c = 0; c < 2 * job->width; c++)
        for (size_t k = 0; k < channels; k++) {
            float part = 0.25f * small[c / 2 * channels + k];
            large[c * channels + k] += part;
            large[row + c * channels + k] += part;
        }
}

static void downsample_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct resample_node *self = (struct resample_node *)node;
    float *dx = vlm_grad(tape, self->x);
    if (!dx)
        return;
    struct job job = job_between(node->out, self->x, 2, vlm_tensor_cols(self->x));
    job.small = node->out->grad;
    job.large = dx;
    for_rows(tape, &job, self->x->shape[0], spread_row, job.channels);
}

struct vlm_tensor *vlm_downsample(struct vlm_tape *tape, struct vlm_tensor *x)
{
    VLM_BUG_IF(x->rank != 4 || x->dtype != VLM_F32);
    struct vlm_tensor *y =
        vlm_tensor_new(tape, "downsample", VLM_F32, 4,
                       (size_t[]){ x->shape[0], x->shape[1] / 2, x->shape[2] / 2, x->shape[3] });
    struct job job = job_between(y, x, 2, x->shape[3]);
    job.small = y->data;
    job.large = x->data;
    if (vlm_tape_runs(tape))
        for_rows(tape, &job, x->shape[0], mean_of_four_row, job.channels);
    record(tape, downsample_backward, y, x, 2);
    return y;
}

/* ---- space and depth ---- */

/* Row i of the block of a pixel is a run of block * channels floats in both images. */
static void gather_blocks_row(const struct job *job, float *large, float *small)
{
    size_t run = job->block * job->channels, row = job->large_width * job->channels;
    for (size_t c = 0; c < job->width; c++)
        for (size_t i = 0; i < job->block; i++)
            memcpy(small + (c * job->block + i) * run, large + i * row + c * run,
                   run * sizeof(float));
}

static void scatter_blocks_row(const struct job *job, float *large, float *small)
{
    size_t run = job->block * job->channels, row = job->large_width * job->channels;
    for (size_t c = 0; c < job->width; c++)
        for (size_t i = 0; i < job->block; i++)
            memcpy(large + i * row + c * run, small + (c * job->block + i) * run,
                   run * sizeof(float));
}

static void add_scattered_row(const struct job *job, float *large, float *small)
{
    size_t run = job->block * job->channels, row = job->large_width * job->channels;
    for (size_t c = 0; c < job->width; c++)
        for (size_t i = 0; i < job->block; i++)
            job->kernels->gemm->add_row(large + i * row + c * run,
                                        small + (c * job->block + i) * run, run);
}

static void add_gathered_row(const struct job *job, float *large, float *small)
{
    size_t run = job->block * job->channels, row = job->large_width * job->channels;
    for (size_t c = 0; c < job->width; c++)
        for (size_t i = 0; i < job->block; i++)
            job->kernels->gemm->add_row(small + (c * job->block + i) * run,
                                        large + i * row + c * run, run);
}

static void space_to_depth_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct resample_node *self = (struct resample_node *)node;
    float *dx = vlm_grad(tape, self->x);
    if (!dx)
        return;
    struct job job = job_between(node->out, self->x, self->block, vlm_tensor_cols(self->x));
    job.small = node->out->grad;
    job.large = dx;
    for_rows(tape, &job, self->x->shape[0], add_scattered_row, vlm_tensor_cols(node->out));
}

struct vlm_tensor *vlm_space_to_depth(struct vlm_tape *tape, struct vlm_tensor *x, size_t block)
{
    VLM_BUG_IF(x->rank != 4 || x->dtype != VLM_F32 || !block);
    VLM_BUG_IF(x->shape[1] % block || x->shape[2] % block);
    size_t shape[] = { x->shape[0], x->shape[1] / block, x->shape[2] / block,
                       x->shape[3] * block * block };
    struct vlm_tensor *y = vlm_tensor_new(tape, "space_to_depth", VLM_F32, 4, shape);
    struct job job = job_between(y, x, block, x->shape[3]);
    job.small = y->data;
    job.large = x->data;
    if (vlm_tape_runs(tape))
        for_rows(tape, &job, shape[0], gather_blocks_row, shape[3]);
    record(tape, space_to_depth_backward, y, x, block);
    return y;
}

static void depth_to_space_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct resample_node *self = (struct resample_node *)node;
    float *dx = vlm_grad(tape, self->x);
    if (!dx)
        return;
    struct job job = job_between(self->x, node->out, self->block, vlm_tensor_cols(node->out));
    job.small = dx;
    job.large = node->out->grad;
    for_rows(tape, &job, self->x->shape[0], add_gathered_row, vlm_tensor_cols(self->x));
}

struct vlm_tensor *vlm_depth_to_space(struct vlm_tape *tape, struct vlm_tensor *x, size_t block)
{
    VLM_BUG_IF(x->rank != 4 || x->dtype != VLM_F32 || !block);
    VLM_BUG_IF(x->shape[3] % (block * block));
    size_t shape[] = { x->shape[0], x->shape[1] * block, x->shape[2] * block,
                       x->shape[3] / (block * block) };
    struct vlm_tensor *y = vlm_tensor_new(tape, "depth_to_space", VLM_F32, 4, shape);
    struct job job = job_between(x, y, block, shape[3]);
    job.small = x->data;
    job.large = y->data;
    if (vlm_tape_runs(tape))
        for_rows(tape, &job, shape[0], scatter_blocks_row, x->shape[3]);
    record(tape, depth_to_space_backward, y, x, block);
    return y;
}

/* ---- mean of all pixels ---- */

struct mean_job {
    const struct vlm_conv_kernels *kernels;
    float *y, *dx;
    const float *x, *dy;
    double *sums; /* [images, channels] */
    size_t pixels, channels;
};

static void mean_of_image(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct mean_job *job = argument;
    double *sum = job->sums + task * job->channels;
    memset(sum, 0, job->channels * sizeof(*sum));
    job->kernels->sum_pixels(sum, job->x + task * job->pixels * job->channels, job->pixels,
                             job->channels);
    for (size_t c = 0; c < job->channels; c++)
        job->y[task * job->channels + c] =
            job->pixels ? (float)(sum[c] / (double)job->pixels) : 0.0f;
}

static void spread_mean(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct mean_job *job = argument;
    const float part = 1.0f / (float)job->pixels, *dy = job->dy + task * job->channels;
    float *dx = job->dx + task * job->pixels * job->channels;
    for (size_t p = 0; p < job->pixels; p++, dx += job->channels)
        for (size_t c = 0; c < job->channels; c++)
            dx[c] += part * dy[c];
}

static void mean_pixels_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct resample_node *self = (struct resample_node *)node;
    float *dx = vlm_grad(tape, self->x);
    size_t images = self->x->shape[0], channels = vlm_tensor_cols(self->x);
    if (!dx || !images)
        return;
    struct mean_job job = { .dx = dx,
                            .dy = node->out->grad,
                            .pixels = vlm_tensor_rows(self->x) / images,
                            .channels = channels };
    vlm_pool_run(tape->engine->pool, images, spread_mean, &job);
}

struct vlm_tensor *vlm_mean_pixels(struct vlm_tape *tape, struct vlm_tensor *x)
{
    VLM_BUG_IF(x->rank < 2 || x->dtype != VLM_F32);
    size_t images = x->shape[0], channels = vlm_tensor_cols(x);
    struct vlm_tensor *y = vlm_tensor_matrix(tape, "mean_pixels", images, channels);
    size_t mark = vlm_memory_mark(&tape->scratch);
    struct mean_job job = {
        .kernels = tape->engine->kernels->conv,
        .y = y->data,
        .x = x->data,
        .sums = vlm_scratch(tape, images * channels, sizeof(double)),
        .pixels = images ? vlm_tensor_rows(x) / images : 0,
        .channels = channels,
    };
    if (vlm_tape_runs(tape))
        vlm_pool_run(tape->engine->pool, images, mean_of_image, &job);
    vlm_memory_return(&tape->scratch, mark);
    record(tape, mean_pixels_backward, y, x, 0);
    return y;
}
