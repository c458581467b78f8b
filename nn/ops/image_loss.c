/* image_loss.c - the loss of reconstructions, and its gradient, in one pass over each image.
 *
 * A task is an image: errors at all sizes, their sums, then the gradient from the smallest size up, where
 * it is spread over the 2 x 2 pixels that a mean was made of. Sums are in double, a row at a time, and
 * those of images are added in order. */
#include "base/vlm.h"

#include "nn/ops/image_loss.h"

/* Sums over one image. */
struct sums {
    double absolute, square;
    double pixel[VLM_IMAGE_LOSS_SCALES + 1], down[VLM_IMAGE_LOSS_SCALES + 1],
        across[VLM_IMAGE_LOSS_SCALES + 1];
};

struct job {
    struct vlm_image_loss loss;
    const float *x;
    float *gradient;   /* as x, or NULL: not wanted */
    struct sums *sums; /* [images] */
    float *errors;     /* of each worker: errors at all sizes but the first, and their gradients */
    float *first; /* [images]: errors at the first size; the same as gradient when that is wanted */
    size_t stride; /* floats of a worker */
    size_t images, channels;
    size_t height[VLM_IMAGE_LOSS_SCALES + 1], width[VLM_IMAGE_LOSS_SCALES + 1];
};

struct image_loss_node {
    struct vlm_node node;
    struct vlm_tensor *x;
    float *gradient;
};

static size_t floats(const struct job *job, size_t scale)
{
    return job->height[scale] * job->width[scale] * job->channels;
}

/* A float with the sign of x, or 0. */
static float sign(float x, float size)
{
    return x > 0 ? size : x < 0 ? -size : 0;
}

/* The factor of a sum that makes it a weighted mean over all images. */
static float share(float weight, size_t images, size_t numbers)
{
    return numbers ? (float)((double)weight / ((double)images * (double)numbers)) : 0;
}

static void halve(float *small, const float *large, size_t height, size_t width, size_t large_width,
                  size_t channels)
{
    for (size_t r = 0; r < height; r++)
        for (size_t c = 0; c < width; c++) {
            const float *a = large + (2 * r * large_width + 2 * c) * channels;
            const float *b = a + large_width * channels;
            float *to = small + (r * width + c) * channels;
            for (size_t k = 0; k < channels; k++)
                to[k] = 0.25f * ((a[k] + a[channels + k]) + (b[k] + b[channels + k]));
        }
}

/* Adds a quarter of each small number to the four that it was made of. */
static void spread(float *large, const float *small, size_t height, size_t width,
                   size_t large_width, size_t channels)
{
    for (size_t r = 0; r < height; r++)
        for (size_t c = 0; c < width; c++) {
            const float *from = small + (r * width + c) * channels;
            float *a = large + (2 * r * large_width + 2 * c) * channels;
            float *b = a + large_width * channels;
            for (size_t k = 0; k < channels; k++) {
                float part = 0.25f * from[k];
                a[k] += part;
                a[channels + k] += part;
                b[k] += part;
                b[channels + k] += part;
            }
        }
}

/* sum |a - b| over a row, b NULL: sum |a|; with slopes also d a += w sign, d b -= w sign. */
static double row_terms(const float *a, const float *b, float *da, float *db, float weight,
                        size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) {
        float e = b ? a[i] - b[i] : a[i];
        sum += e < 0 ? -e : e;
    }
    for (size_t i = 0; da && i < n; i++)
        da[i] += sign(b ? a[i] - b[i] : a[i], weight);
    for (size_t i = 0; da && b && i < n; i++)
        db[i] -= sign(a[i] - b[i], weight);
    return (double)sum;
}

/* Sums of one smaller size, and the gradient by its errors (d zeroed). */
static void scale_terms(const struct job *job, struct sums *sums, size_t scale, const float *e,
                        float *d)
{
    const size_t height = job->height[scale], width = job->width[scale], channels = job->channels;
    const size_t row = width * channels, few = row ? row - channels : 0;
    const float w = job->loss.scale_weight;
    const float pixel = share(w, job->images, height * row);
    const float down = share(w, job->images, height ? (height - 1) * row : 0);
    const float across = share(w, job->images, height * few);
    for (size_t r = 0; r < height; r++, e += row, d = d ? d + row : NULL) {
        sums->pixel[scale] += row_terms(e, NULL, d, NULL, pixel, row);
        if (r + 1 < height)
            sums->down[scale] += row_terms(e + row, e, d ? d + row : NULL, d, down, row);
        sums->across[scale] += row_terms(e + channels, e, d ? d + channels : NULL, d, across, few);
    }
}

/* Sums of the first size; e becomes the gradient when that is wanted. */
static void pixel_terms(const struct job *job, struct sums *sums, float *e)
{
    const size_t row = job->width[0] * job->channels;
    const float absolute = share(job->loss.absolute, job->images, floats(job, 0));
    const float square = 2 * share(job->loss.square, job->images, floats(job, 0));
    for (size_t r = 0; r < job->height[0]; r++, e += row) {
        float squares = 0;
        sums->absolute += row_terms(e, NULL, NULL, NULL, 0, row);
        for (size_t i = 0; i < row; i++)
            squares += e[i] * e[i];
        sums->square += (double)squares;
        for (size_t i = 0; job->gradient && i < row; i++)
            e[i] = sign(e[i], absolute) + square * e[i];
    }
}

static void one_image(void *argument, size_t image, size_t worker)
{
    const struct job *job = argument;
    const size_t n = floats(job, 0), scales = job->loss.scales;
    struct sums *sums = &job->sums[image];
    float *e[VLM_IMAGE_LOSS_SCALES + 1] = { job->first + image * n };
    float *d[VLM_IMAGE_LOSS_SCALES + 1] = { job->gradient ? e[0] : NULL };
    float *next = job->errors + worker * job->stride;
    memset(sums, 0, sizeof(*sums));
    for (size_t i = 0; i < n; i++)
        e[0][i] = job->x[image * n + i] - job->loss.target[image * n + i];
    for (size_t s = 1; s <= scales; s++) {
        size_t count = floats(job, s);
        e[s] = next;
        d[s] = job->gradient ? next + count : NULL;
        next += 2 * count;
        halve(e[s], e[s - 1], job->height[s], job->width[s], job->width[s - 1], job->channels);
        if (d[s])
            memset(d[s], 0, count * sizeof(float));
        scale_terms(job, sums, s, e[s], d[s]);
    }
    pixel_terms(job, sums, e[0]);
    for (size_t s = scales; s > 0 && job->gradient; s--)
        spread(d[s - 1], d[s], job->height[s], job->width[s], job->width[s - 1], job->channels);
}

/* The parts, of the sums of all images. */
static struct vlm_image_loss_parts add_up(const struct job *job)
{
    struct vlm_image_loss_parts parts = { 0 };
    const double images = (double)job->images;
    for (size_t i = 0; i < job->images; i++) {
        const struct sums *sums = &job->sums[i];
        if (floats(job, 0)) {
            parts.absolute += sums->absolute / (images * (double)floats(job, 0));
            parts.square += sums->square / (images * (double)floats(job, 0));
        }
        for (size_t s = 1; s <= job->loss.scales; s++) {
            double height = (double)job->height[s], width = (double)job->width[s];
            double n = images * (double)job->channels;
            if (floats(job, s))
                parts.scales += sums->pixel[s] / (n * height * width);
            if (floats(job, s) && job->height[s] > 1)
                parts.scales += sums->down[s] / (n * (height - 1) * width);
            if (floats(job, s) && job->width[s] > 1)
                parts.scales += sums->across[s] / (n * height * (width - 1));
        }
    }
    return parts;
}

static void image_loss_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct image_loss_node *self = (struct image_loss_node *)node;
    float *dx = vlm_grad(tape, self->x);
    for (size_t i = 0; dx && i < vlm_tensor_count(self->x); i++)
        dx[i] += node->out->grad[0] * self->gradient[i];
}

/* Sizes, and memory of the step and of scratch, taken in a dry run too. */
static void make_job(struct job *job, struct vlm_tape *tape, const struct vlm_tensor *x,
                     const struct vlm_image_loss *loss, bool wants_gradient)
{
    memset(job, 0, sizeof(*job));
    job->loss = *loss;
    job->x = x->data;
    job->images = x->shape[0];
    job->channels = x->shape[3];
    size_t worker = 0;
    for (size_t s = 0; s <= loss->scales; s++) {
        job->height[s] = s ? job->height[s - 1] / 2 : x->shape[1];
        job->width[s] = s ? job->width[s - 1] / 2 : x->shape[2];
        worker += s ? 2 * floats(job, s) : 0;
    }
    size_t count = vlm_tensor_count(x);
    if (wants_gradient)
        job->first = job->gradient = vlm_step_memory(tape, count, sizeof(float));
    else
        job->first = vlm_scratch(tape, count, sizeof(float));
    job->sums = vlm_scratch(tape, job->images, sizeof(*job->sums));
    job->errors = vlm_scratch_workers(tape, worker, sizeof(float));
    job->stride = vlm_scratch_stride(worker, sizeof(float)) / sizeof(float);
}

struct vlm_tensor *vlm_image_loss(struct vlm_tape *tape, struct vlm_tensor *x,
                                  const struct vlm_image_loss *loss)
{
    VLM_BUG_IF(x->rank != 4 || x->dtype != VLM_F32 || loss->scales > VLM_IMAGE_LOSS_SCALES);
    struct vlm_tensor *y = vlm_tensor_new(tape, "image_loss", VLM_F32, 1, (size_t[]){ 1 });
    bool wants_gradient = x->needs_grad && vlm_tape_records(tape);
    size_t mark = vlm_memory_mark(&tape->scratch);
    struct job job;
    make_job(&job, tape, x, loss, wants_gradient);
    if (vlm_tape_runs(tape)) {
        vlm_pool_run(tape->engine->pool, job.images, one_image, &job);
        struct vlm_image_loss_parts parts = add_up(&job);
        y->data[0] =
            (float)((double)loss->absolute * parts.absolute + (double)loss->square * parts.square +
                    (double)loss->scale_weight * parts.scales);
        if (loss->parts)
            *loss->parts = parts;
    }
    vlm_memory_return(&tape->scratch, mark);
    struct image_loss_node *self =
        vlm_record(tape, sizeof(*self), image_loss_backward, y, x->needs_grad);
    if (self) {
        self->x = x;
        self->gradient = job.gradient;
    }
    return y;
}
