/* correlate.c - the direct form of correlate.h: no unfolded copy of the image.
 *
 * A task takes some rows of y (or whole images when they are small) and some panels of output
 * channels. It copies the rows of x that it needs into a strip, with the zeros around the image and in
 * the precision of the product; then the kernel reads windows straight from the strip. A strip and its
 * sums stay in the second cache. */
#include "base/vlm.h"

#include "nn/ops/correlate.h"
#include "nn/ops/winograd.h"

enum {
    POSITIONS = 1024, /* of y in a task, about */
    MIN_TASKS = 16,   /* output channels are shared out as well when there are fewer strips */
    CACHE_LINE = 16,  /* floats */
};

/* How a correlation is cut, by its shape alone. Unit: see struct vlm_conv_strip. */
struct plan {
    size_t images, rows; /* of a strip */
    size_t blocks_rows, blocks_images, parts;
    size_t panels, part_panels;    /* of output channels: all, and of a part */
    size_t pixel;                  /* units of a pixel */
    size_t strip_rows, strip_cols; /* pixels of one image's strip */
    size_t sum_cols;               /* cols rounded up to whole groups */
    size_t sums;                   /* floats */
    size_t worker;                 /* floats of scratch of a thread */
};

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Units that hold `channels` numbers. */
static size_t units(const struct vlm_engine *engine, const struct vlm_correlation *job)
{
    return job->precision == VLM_BF16 ? ceil_div(job->channels, engine->kernels->gemm->bf16_pair)
                                      : job->channels;
}

static size_t panel_units(const struct vlm_engine *engine, const struct vlm_correlation *job)
{
    return job->tap_rows * job->tap_cols * units(engine, job) * engine->kernels->conv->nr;
}

static size_t strip_units(const struct plan *plan)
{
    return plan->images * plan->strip_rows * plan->strip_cols * plan->pixel;
}

static void make_plan(struct plan *plan, const struct vlm_engine *engine,
                      const struct vlm_correlation *job)
{
    const struct vlm_conv_kernels *kernels = engine->kernels->conv;
    memset(plan, 0, sizeof(*plan));
    plan->sum_cols = ceil_div(VLM_MAX(job->cols, (size_t)1), kernels->group) * kernels->group;
    plan->rows = VLM_MIN(VLM_MAX(POSITIONS / plan->sum_cols, (size_t)1), job->rows);
    plan->images = 1;
    if (plan->rows == job->rows && job->rows)
        plan->images = VLM_MAX(POSITIONS / (plan->sum_cols * job->rows), (size_t)1);
    plan->images = VLM_MIN(plan->images, VLM_MAX(job->images, (size_t)1));
    plan->blocks_rows = plan->rows ? ceil_div(job->rows, plan->rows) : 0;
    plan->blocks_images = ceil_div(job->images, plan->images);
    plan->panels = ceil_div(job->out_channels, kernels->nr);
    size_t blocks = VLM_MAX(plan->blocks_rows * plan->blocks_images, (size_t)1);
    size_t parts = VLM_MIN(ceil_div(MIN_TASKS, blocks), plan->panels);
    plan->part_panels = parts ? ceil_div(plan->panels, parts) : 1;
    plan->parts = ceil_div(plan->panels, plan->part_panels);
    plan->pixel = units(engine, job);
    plan->strip_rows = plan->rows ? (plan->rows - 1) * job->stride + job->tap_rows : 0;
    plan->strip_cols = (plan->sum_cols - 1) * job->stride + job->tap_cols;
    plan->sums = plan->images * plan->rows * plan->sum_cols * kernels->nr;
    plan->worker = ceil_div(strip_units(plan), CACHE_LINE) * CACHE_LINE +
                   ceil_div(plan->sums, CACHE_LINE) * CACHE_LINE;
}

size_t vlm_correlation_packed_size(const struct vlm_engine *engine,
                                   const struct vlm_correlation *job)
{
    if (job->method != VLM_DIRECT)
        return vlm_winograd_packed_size(engine, job);
    return ceil_div(job->out_channels, engine->kernels->conv->nr) * panel_units(engine, job) *
           sizeof(float);
}

size_t vlm_correlation_scratch(const struct vlm_engine *engine, const struct vlm_correlation *job)
{
    if (job->method != VLM_DIRECT)
        return vlm_winograd_scratch(engine, job);
    struct plan plan;
    make_plan(&plan, engine, job);
    return plan.worker * sizeof(float) * vlm_pool_threads(engine->pool);
}

/* ---- weights ---- */

struct pack_job {
    const struct vlm_engine *engine;
    const struct vlm_correlation *job;
    const struct vlm_taps *taps;
    float *packed;
};

static void pack_panel(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct pack_job *pack = argument;
    const struct vlm_correlation *job = pack->job;
    const struct vlm_taps *taps = pack->taps;
    const struct vlm_gemm_kernels *gemm = pack->engine->kernels->gemm;
    size_t nr = pack->engine->kernels->conv->nr, first = task * nr;
    size_t rows = VLM_MIN(job->out_channels - first, nr), tap = units(pack->engine, job) * nr;
    float *to = pack->packed + task * panel_units(pack->engine, job);
    for (size_t i = 0; i < job->tap_rows; i++)
        for (size_t j = 0; j < job->tap_cols; j++, to += tap) {
            const float *w = taps->w + (ptrdiff_t)i * taps->row + (ptrdiff_t)j * taps->col;
            w += first * taps->out;
            if (job->precision == VLM_BF16)
                gemm->pack_bf16(to, nr, w, rows, job->channels, taps->out, taps->in);
            else
                gemm->pack_f32(to, nr, w, rows, job->channels, taps->out, taps->in);
        }
}

void vlm_correlation_pack(const struct vlm_engine *engine, void *packed,
                          const struct vlm_correlation *job, const struct vlm_taps *taps,
                          void *scratch)
{
    if (job->method != VLM_DIRECT) {
        vlm_winograd_pack(engine, packed, job, taps, scratch);
        return;
    }
    struct pack_job pack = { engine, job, taps, packed };
    vlm_pool_run(engine->pool, ceil_div(job->out_channels, engine->kernels->conv->nr), pack_panel,
                 &pack);
}

/* ---- the product ---- */

struct run_job {
    const struct vlm_engine *engine;
    const struct vlm_correlation *job;
    struct plan plan;
    float *scratch;
};

/* n numbers of x to the strip, as units. */
static void copy_pixels(const struct run_job *run, float *to, const float *x, size_t pixels)
{
    const struct vlm_correlation *job = run->job;
    const struct vlm_conv_kernels *kernels = run->engine->kernels->conv;
    size_t pair = run->engine->kernels->gemm->bf16_pair;
    if (job->precision == VLM_F32)
        memcpy(to, x, pixels * job->channels * sizeof(float));
    else if (job->channels % pair == 0)
        kernels->round_units(to, x, pixels * job->channels);
    else
        for (size_t p = 0; p < pixels; p++, to += run->plan.pixel, x += job->channels)
            kernels->round_units(to, x, job->channels);
}

/* Row `row` of image `image` with what is around it; the row may be outside. */
static void fill_row(const struct run_job *run, float *to, size_t image, ptrdiff_t row)
{
    const struct vlm_correlation *job = run->job;
    const struct plan *plan = &run->plan;
    size_t pixel = plan->pixel, total = plan->strip_cols;
    if (row < 0 || row >= (ptrdiff_t)job->height) {
        memset(to, 0, total * pixel * sizeof(float));
        return;
    }
    size_t before = job->left > 0 ? VLM_MIN((size_t)job->left, total) : 0;
    size_t first = job->left < 0 ? (size_t)-job->left : 0;
    size_t there = first < job->width ? VLM_MIN(job->width - first, total - before) : 0;
    const float *x =
        job->x + ((image * job->height + (size_t)row) * job->width + first) * job->channels;
    memset(to, 0, before * pixel * sizeof(float));
    if (there)
        copy_pixels(run, to + before * pixel, x, there);
    memset(to + (before + there) * pixel, 0, (total - before - there) * pixel * sizeof(float));
}

/* One panel of output channels over the strip. */
static void run_panel(const struct run_job *run, const struct vlm_conv_strip *strip, size_t panel,
                      size_t first_image, size_t first_row)
{
    const struct vlm_correlation *job = run->job;
    const struct plan *plan = &run->plan;
    const struct vlm_conv_kernels *kernels = run->engine->kernels->conv;
    size_t channel = panel * kernels->nr;
    struct vlm_conv_strip part = *strip;
    part.w = (const float *)job->weights + panel * panel_units(run->engine, job);
    part.n = VLM_MIN(job->out_channels - channel, kernels->nr);
    if (job->precision == VLM_BF16)
        kernels->strip_bf16(&part);
    else
        kernels->strip_f32(&part);
    for (size_t i = 0; i < part.images; i++)
        for (size_t r = 0; r < part.rows; r++) {
            size_t at = (first_image + i) * job->y_image + (first_row + r) * job->y_row + channel;
            struct vlm_conv_finish finish = {
                .y = job->y + at,
                .pixel = job->y_pixel,
                .sums = part.sums + (i * part.rows + r) * plan->sum_cols * kernels->nr,
                .cols = job->cols,
                .n = part.n,
                .bias = job->bias ? job->bias + channel : NULL,
                .residual = job->residual ? job->residual + at : NULL,
            };
            kernels->finish(&finish);
        }
}

static void run_strip(void *argument, size_t task, size_t worker)
{
    const struct run_job *run = argument;
    const struct vlm_correlation *job = run->job;
    const struct plan *plan = &run->plan;
    size_t part = task % plan->parts, block = task / plan->parts;
    size_t first_row = block % plan->blocks_rows * plan->rows;
    size_t first_image = block / plan->blocks_rows * plan->images;
    size_t rows = VLM_MIN(plan->rows, job->rows - first_row);
    size_t images = VLM_MIN(plan->images, job->images - first_image);
    float *x = run->scratch + worker * plan->worker;
    float *sums = x + ceil_div(strip_units(plan), CACHE_LINE) * CACHE_LINE;
    size_t row = plan->strip_cols * plan->pixel, image = plan->strip_rows * row;
    size_t needed = (rows - 1) * job->stride + job->tap_rows;
    for (size_t i = 0; i < images; i++)
        for (size_t r = 0; r < needed; r++)
            fill_row(run, x + i * image + r * row, first_image + i,
                     (ptrdiff_t)(first_row * job->stride + r) - job->top);
    struct vlm_conv_strip strip = {
        .x = x,
        .images = images,
        .rows = rows,
        .cols = job->cols,
        .image = image,
        .row = job->stride * row,
        .pixel = job->stride * plan->pixel,
        .segments = job->tap_rows,
        .segment = job->tap_cols * plan->pixel,
        .segment_step = row,
        .sums = sums,
    };
    size_t end = VLM_MIN((part + 1) * plan->part_panels, plan->panels);
    for (size_t panel = part * plan->part_panels; panel < end; panel++)
        run_panel(run, &strip, panel, first_image, first_row);
}

void vlm_correlation_run(const struct vlm_engine *engine, const struct vlm_correlation *job,
                         void *scratch)
{
    if (!job->images || !job->rows || !job->cols || !job->out_channels)
        return;
    if (job->method != VLM_DIRECT) {
        vlm_winograd_run(engine, job, scratch);
        return;
    }
    struct run_job run = { .engine = engine, .job = job, .scratch = scratch };
    make_plan(&run.plan, engine, job);
    vlm_pool_run(engine->pool, run.plan.blocks_images * run.plan.blocks_rows * run.plan.parts,
                 run_strip, &run);
}
