/* winograd.c - Winograd correlation as a product for each of the (m + 2)^2 components.
 *
 * A task takes a block of tiles, in the order (image, tile row, tile column), and some panels of output
 * channels. It transforms the tiles of x into v[component][tile][channel], multiplies each component
 * with its packed weights into s[component][panel][tile][nr], and transforms those into y. Tiles that
 * stick out of y are computed whole and stored in part. A block is small enough for v and s to stay in
 * the second cache as far as channels permit; weights are read once for each block. */
#include "base/vlm.h"

#include "nn/ops/winograd.h"

enum {
    BLOCK_FLOATS = 1 << 18, /* of v and s together, about */
    TILES_MIN = 24,         /* of a block, about */
    TILES_MAX = 96,
    MIN_TASKS = 8,
    CACHE_LINE = 16, /* floats */
    APART = 32, /* floats between planes, so that they do not compete for the same cache sets */
};

struct plan {
    size_t m, components;
    size_t tile_rows, tile_cols; /* of an image */
    size_t tiles;                /* of all images */
    size_t block, blocks;        /* tiles of a block, a multiple of the kernels' group */
    size_t panels, part_panels, parts;
    size_t v_plane, s_panel, s_plane; /* floats */
    size_t worker;                    /* floats of scratch of a thread, packing included */
};

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static size_t round_up(size_t n, size_t unit)
{
    return ceil_div(n, unit) * unit;
}

static void make_plan(struct plan *plan, const struct vlm_engine *engine,
                      const struct vlm_correlation *job)
{
    const struct vlm_conv_kernels *kernels = engine->kernels->conv;
    memset(plan, 0, sizeof(*plan));
    plan->m = job->method == VLM_WINOGRAD_4 ? 4 : 2;
    plan->components = (plan->m + 2) * (plan->m + 2);
    plan->tile_rows = ceil_div(job->rows, plan->m);
    plan->tile_cols = ceil_div(job->cols, plan->m);
    plan->tiles = job->images * plan->tile_rows * plan->tile_cols;
    plan->panels = ceil_div(job->out_channels, kernels->nr);

    size_t wanted = BLOCK_FLOATS / (plan->components * (job->channels + job->out_channels) + 1);
    wanted = VLM_MIN(VLM_MAX(wanted, (size_t)TILES_MIN), (size_t)TILES_MAX);
    size_t blocks = VLM_MAX(ceil_div(plan->tiles, wanted), (size_t)1);
    plan->block = round_up(VLM_MAX(ceil_div(plan->tiles, blocks), (size_t)1), kernels->group);
    plan->blocks = ceil_div(plan->tiles, plan->block);
    size_t parts = VLM_MIN(ceil_div(MIN_TASKS, VLM_MAX(plan->blocks, (size_t)1)), plan->panels);
    plan->part_panels = parts ? ceil_div(plan->panels, parts) : 1;
    plan->parts = ceil_div(plan->panels, plan->part_panels);

    plan->v_plane = plan->block * job->channels + APART;
    plan->s_panel = plan->block * kernels->nr;
    plan->s_plane = plan->part_panels * plan->s_panel + APART;
    size_t running = plan->components * (plan->v_plane + plan->s_plane) + job->channels;
    size_t packing = plan->components * kernels->nr * job->channels;
    plan->worker = round_up(VLM_MAX(running, packing), CACHE_LINE);
}

size_t vlm_winograd_packed_size(const struct vlm_engine *engine, const struct vlm_correlation *job)
{
    struct plan plan;
    make_plan(&plan, engine, job);
    return plan.components * plan.panels * engine->kernels->conv->nr * job->channels *
           sizeof(float);
}

size_t vlm_winograd_scratch(const struct vlm_engine *engine, const struct vlm_correlation *job)
{
    struct plan plan;
    make_plan(&plan, engine, job);
    return plan.worker * sizeof(float) * vlm_pool_threads(engine->pool);
}

/* ---- weights ---- */

struct pack_job {
    const struct vlm_engine *engine;
    const struct vlm_correlation *job;
    const struct vlm_taps *taps;
    struct plan plan;
    float *packed; /* [component][panel][channel][nr] */
    float *scratch;
};

/* Transforms along whichever of the two channel indices is contiguous, then packs. */
static void pack_panel(void *argument, size_t task, size_t worker)
{
    const struct pack_job *pack = argument;
    const struct vlm_correlation *job = pack->job;
    const struct vlm_taps *taps = pack->taps;
    const struct plan *plan = &pack->plan;
    const struct vlm_kernels *kernels = pack->engine->kernels;
    size_t nr = kernels->conv->nr, channels = job->channels, first = task * nr;
    size_t n = VLM_MIN(job->out_channels - first, nr), plane = nr * channels;
    float *u = pack->scratch + worker * plan->worker;
    bool inner_in = taps->in == 1;
    for (size_t i = 0; i < (inner_in ? n : channels); i++) {
        const float *w =
            inner_in ? taps->w + (first + i) * taps->out : taps->w + first + i * taps->in;
        kernels->conv->winograd_weights(plan->m, u + i * (inner_in ? channels : nr), plane, w,
                                        taps->row, taps->col, inner_in ? channels : n);
    }
    for (size_t t = 0; t < plan->components; t++)
        kernels->gemm->pack_f32(pack->packed + (t * plan->panels + task) * plane, nr, u + t * plane,
                                n, channels, inner_in ? channels : 1, inner_in ? 1 : nr);
}

void vlm_winograd_pack(const struct vlm_engine *engine, void *packed,
                       const struct vlm_correlation *job, const struct vlm_taps *taps,
                       void *scratch)
{
    struct pack_job pack = {
        .engine = engine, .job = job, .taps = taps, .packed = packed, .scratch = scratch
    };
    make_plan(&pack.plan, engine, job);
    vlm_pool_run(engine->pool, pack.plan.panels, pack_panel, &pack);
}

/* ---- the product ---- */

struct run_job {
    const struct vlm_engine *engine;
    const struct vlm_correlation *job;
    struct plan plan;
    float *scratch;
};

struct tile {
    size_t image, row, col; /* of its first result */
};

static struct tile tile_at(const struct plan *plan, size_t index)
{
    size_t of_image = plan->tile_rows * plan->tile_cols, inside = index % of_image;
    return (struct tile){ index / of_image, inside / plan->tile_cols * plan->m,
                          inside % plan->tile_cols * plan->m };
}

static void transform_in(const struct run_job *run, size_t first, size_t tiles, float *v,
                         const float *zeros)
{
    const struct vlm_correlation *job = run->job;
    const size_t m = run->plan.m, a = m + 2;
    struct vlm_winograd_input input = { .channels = job->channels,
                                        .plane = run->plan.v_plane,
                                        .panel = job->channels };
    for (size_t i = 0; i < tiles; i++) {
        struct tile tile = tile_at(&run->plan, first + i);
        const float *image = job->x + tile.image * job->height * job->width * job->channels;
        for (size_t p = 0; p < a * a; p++) {
            ptrdiff_t row = (ptrdiff_t)(tile.row + p / a) - job->top;
            ptrdiff_t col = (ptrdiff_t)(tile.col + p % a) - job->left;
            bool inside =
                row >= 0 && row < (ptrdiff_t)job->height && col >= 0 && col < (ptrdiff_t)job->width;
            input.pixel[p] =
                inside ? image + ((size_t)row * job->width + (size_t)col) * job->channels : zeros;
        }
        input.v = v + i * job->channels;
        run->engine->kernels->conv->winograd_input(m, &input);
    }
}

static void multiply(const struct run_job *run, size_t tiles, size_t first_panel, size_t end_panel,
                     const float *v, float *s)
{
    const struct vlm_correlation *job = run->job;
    const struct plan *plan = &run->plan;
    const struct vlm_conv_kernels *kernels = run->engine->kernels->conv;
    size_t packed = job->channels * kernels->nr;
    for (size_t t = 0; t < plan->components; t++)
        for (size_t panel = first_panel; panel < end_panel; panel++) {
            struct vlm_conv_strip strip = {
                .x = v + t * plan->v_plane,
                .images = 1,
                .rows = 1,
                .cols = tiles,
                .pixel = job->channels,
                .segments = 1,
                .segment = job->channels,
                .w = (const float *)job->weights + (t * plan->panels + panel) * packed,
                .n = VLM_MIN(job->out_channels - panel * kernels->nr, kernels->nr),
                .sums = s + t * plan->s_plane + (panel - first_panel) * plan->s_panel,
            };
            kernels->strip_f32(&strip);
        }
}

/* One panel of output channels of one tile. */
static void transform_out(const struct run_job *run, struct tile tile, size_t panel, const float *s)
{
    const struct vlm_correlation *job = run->job;
    const size_t m = run->plan.m, channel = panel * run->engine->kernels->conv->nr;
    struct vlm_winograd_output output = {
        .sums = s,
        .plane = run->plan.s_plane,
        .n = VLM_MIN(job->out_channels - channel, run->engine->kernels->conv->nr),
        .bias = job->bias ? job->bias + channel : NULL,
    };
    for (size_t p = 0; p < m * m; p++) {
        size_t row = tile.row + p / m, col = tile.col + p % m;
        size_t at = tile.image * job->y_image + row * job->y_row + col * job->y_pixel + channel;
        if (row < job->rows && col < job->cols) {
            output.pixel[p] = job->y + at;
            output.residual[p] = job->residual ? job->residual + at : NULL;
        }
    }
    run->engine->kernels->conv->winograd_output(m, &output);
}

static void run_block(void *argument, size_t task, size_t worker)
{
    const struct run_job *run = argument;
    const struct plan *plan = &run->plan;
    size_t nr = run->engine->kernels->conv->nr;
    size_t first = task / plan->parts * plan->block,
           first_panel = task % plan->parts * plan->part_panels;
    size_t tiles = VLM_MIN(plan->block, plan->tiles - first);
    size_t end_panel = VLM_MIN(first_panel + plan->part_panels, plan->panels);
    float *v = run->scratch + worker * plan->worker;
    float *s = v + plan->components * plan->v_plane;
    float *zeros = s + plan->components * plan->s_plane;
    memset(zeros, 0, run->job->channels * sizeof(float));
    transform_in(run, first, tiles, v, zeros);
    multiply(run, tiles, first_panel, end_panel, v, s);
    for (size_t i = 0; i < tiles; i++)
        for (size_t panel = first_panel; panel < end_panel; panel++)
            transform_out(run, tile_at(plan, first + i), panel,
                          s + (panel - first_panel) * plan->s_panel + i * nr);
}

void vlm_winograd_run(const struct vlm_engine *engine, const struct vlm_correlation *job,
                      void *scratch)
{
    struct run_job run = { .engine = engine, .job = job, .scratch = scratch };
    make_plan(&run.plan, engine, job);
    vlm_pool_run(engine->pool, run.plan.blocks * run.plan.parts, run_block, &run);
}
