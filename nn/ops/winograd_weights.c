/* winograd_weights.c - the gradient of a 3 x 3 convolution by its weights, by Winograd F(2 x 2, 3 x 3).
 *
 * Forward, a tile of 2 x 2 results is A^T [U o V] A with U = G w G^T and V = B^T d B (winograd_body.h),
 * and o summed over input channels. So with g the gradient by the tile
 *
 *     dU = sum over tiles of (A g A^T) V, for each component, output and input channel,
 *     dw = G^T dU G
 *
 * which is sixteen products of matrices whose long index is the tile: 2.25 times fewer multiplications
 * than the direct sum of conv2d_weights.c, and shorter chains. Tiles go in chunks of fixed size: all
 * threads transform and pack one, then all multiply, a component and some output channels each. After a
 * part of some chunks dU is turned into dw, and begins again from zero. */
#include "base/vlm.h"

#include "nn/ops/conv2d_internal.h"

enum {
    COMPONENTS = 16,
    CHUNK_FLOATS = 1 << 21, /* of a chunk, packed, about */
    CHUNK_TILES = 1024,     /* at most */
    PART_TILES = 4096,      /* about: length of a chain */
    TASK_TILES = 32,        /* transformed by one task */
    CALL_TILES = 256,       /* of one call of the kernel */
    GROUPS = 2,             /* of output channels, for each component */
};

struct plan {
    size_t tile_rows, tile_cols, tiles;
    size_t chunk, part;               /* tiles; a part is whole chunks */
    size_t panels_g, panels_x;        /* of output, of input channels */
    size_t group;                     /* panels of g of a task */
    size_t g_plane, x_plane, u_plane; /* floats of a component */
    size_t line_plane;                /* of a worker's scratch */
};

struct job {
    const struct vlm_engine *engine;
    const struct vlm_conv2d_shape *shape;
    struct plan plan;
    const float *x, *g;
    float *dw;
    float *g_panels; /* [component][panel][tile of the chunk][mr] */
    float *x_panels; /* [component][panel][tile of the chunk][nr] */
    float *u;        /* [component][out][in] */
    float *lines;    /* of each worker: [component][tile of the task][out], zeros for a pixel */
    double *bias;    /* [task][out] */
    size_t first, n; /* tiles of this chunk */
    bool accumulate; /* this chunk continues a part */
};

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static void make_plan(struct plan *plan, const struct vlm_engine *engine,
                      const struct vlm_conv2d_shape *shape)
{
    const struct vlm_gemm_kernels *gemm = engine->kernels->gemm;
    memset(plan, 0, sizeof(*plan));
    plan->tile_rows = ceil_div(shape->rows, 2);
    plan->tile_cols = ceil_div(shape->cols, 2);
    plan->tiles = shape->images * plan->tile_rows * plan->tile_cols;
    size_t chunk = CHUNK_FLOATS / (COMPONENTS * (shape->in + shape->out)) + 1;
    chunk = VLM_MIN(VLM_MIN(chunk, (size_t)CHUNK_TILES), plan->tiles);
    plan->chunk = ceil_div(chunk, TASK_TILES) * TASK_TILES;
    plan->part = ceil_div(PART_TILES, plan->chunk) * plan->chunk;
    plan->panels_g = ceil_div(shape->out, gemm->mr);
    plan->panels_x = ceil_div(shape->in, gemm->nr);
    plan->group = ceil_div(plan->panels_g, GROUPS);
    plan->g_plane = plan->panels_g * plan->chunk * gemm->mr;
    plan->x_plane = plan->panels_x * plan->chunk * gemm->nr;
    plan->u_plane = shape->out * shape->in;
    plan->line_plane = TASK_TILES * shape->out;
}

static size_t worker_floats(const struct job *job)
{
    return COMPONENTS * job->plan.line_plane + VLM_MAX(job->shape->in, job->shape->out);
}

/* A pixel of an image of so many rows and columns, or zeros outside. */
static const float *pixel_at(const float *image, size_t rows, size_t cols, size_t channels,
                             ptrdiff_t row, ptrdiff_t col, const float *zeros)
{
    bool inside = row >= 0 && row < (ptrdiff_t)rows && col >= 0 && col < (ptrdiff_t)cols;
    return inside ? image + ((size_t)row * cols + (size_t)col) * channels : zeros;
}

/* V of a tile, straight to the panels. */
static void transform_x(const struct job *job, size_t tile, const float *zeros)
{
    const struct vlm_conv2d_shape *shape = job->shape;
    const struct plan *plan = &job->plan;
    size_t nr = job->engine->kernels->gemm->nr, of_image = plan->tile_rows * plan->tile_cols;
    size_t index = job->first + tile;
    size_t row = index % of_image / plan->tile_cols * 2, col = index % plan->tile_cols * 2;
    const float *image = job->x + index / of_image * shape->height * shape->width * shape->in;
    struct vlm_winograd_input input = {
        .channels = shape->in,
        .v = job->x_panels + tile * nr,
        .plane = plan->x_plane,
        .panel = nr,
        .step = plan->chunk * nr,
    };
    for (size_t p = 0; p < 16; p++)
        input.pixel[p] = pixel_at(image, shape->height, shape->width, shape->in,
                                  (ptrdiff_t)(row + p / 4) - (ptrdiff_t)shape->before,
                                  (ptrdiff_t)(col + p % 4) - (ptrdiff_t)shape->before, zeros);
    job->engine->kernels->conv->winograd_input(2, &input);
}

/* A g A^T of a tile to a line. */
static void transform_g(const struct job *job, size_t tile, float *line, const float *zeros)
{
    const struct vlm_conv2d_shape *shape = job->shape;
    const struct plan *plan = &job->plan;
    size_t index = job->first + tile, of_image = plan->tile_rows * plan->tile_cols;
    size_t row = index % of_image / plan->tile_cols * 2, col = index % plan->tile_cols * 2;
    const float *image = job->g + index / of_image * shape->rows * shape->cols * shape->out;
    struct vlm_winograd_input input = {
        .channels = shape->out, .v = line, .plane = plan->line_plane, .panel = shape->out
    };
    for (size_t p = 0; p < 4; p++)
        input.pixel[p] = pixel_at(image, shape->rows, shape->cols, shape->out,
                                  (ptrdiff_t)(row + p / 2), (ptrdiff_t)(col + p % 2), zeros);
    job->engine->kernels->conv->winograd_gradient(&input);
}

/* A task: some tiles of the chunk. */
static void pack_tiles(void *argument, size_t task, size_t worker)
{
    const struct job *job = argument;
    const struct plan *plan = &job->plan;
    const struct vlm_gemm_kernels *gemm = job->engine->kernels->gemm;
    size_t out = job->shape->out, first = task * TASK_TILES;
    size_t n = VLM_MIN(job->n - first, (size_t)TASK_TILES);
    size_t stride = vlm_scratch_stride(worker_floats(job), sizeof(float)) / sizeof(float);
    float *lines = job->lines + worker * stride, *zeros = lines + COMPONENTS * plan->line_plane;
    double *bias = job->bias + task * out;
    memset(bias, 0, out * sizeof(*bias));
    memset(zeros, 0, VLM_MAX(job->shape->in, out) * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        transform_x(job, first + i, zeros);
        transform_g(job, first + i, lines + i * out, zeros);
    }
    /* Component (1, 1) of A g A^T is the sum of the tile. */
    job->engine->kernels->conv->sum_pixels(bias, lines + 5 * plan->line_plane, n, out);
    for (size_t t = 0; t < COMPONENTS; t++)
        for (size_t p = 0; p < plan->panels_g; p++)
            gemm->pack_f32(job->g_panels + t * plan->g_plane + (p * plan->chunk + first) * gemm->mr,
                           gemm->mr, lines + t * plan->line_plane + p * gemm->mr,
                           VLM_MIN(out - p * gemm->mr, gemm->mr), n, 1, out);
}

/* A task: one component, some output channels, all input channels, all tiles of the chunk. */
static void multiply(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = argument;
    const struct plan *plan = &job->plan;
    const struct vlm_gemm_kernels *gemm = job->engine->kernels->gemm;
    size_t t = task / GROUPS, panel = task % GROUPS * plan->group;
    if (panel >= plan->panels_g)
        return;
    for (size_t tile = 0; tile < job->n; tile += CALL_TILES) {
        struct vlm_gemm_block block = {
            .m = VLM_MIN(plan->group * gemm->mr, job->shape->out - panel * gemm->mr),
            .n = job->shape->in,
            .k = VLM_MIN(job->n - tile, (size_t)CALL_TILES),
            .a = job->g_panels + t * plan->g_plane + (panel * plan->chunk + tile) * gemm->mr,
            .b = job->x_panels + t * plan->x_plane + tile * gemm->nr,
            .a_step = plan->chunk * gemm->mr * sizeof(float),
            .b_step = plan->chunk * gemm->nr * sizeof(float),
            .c = job->u + t * plan->u_plane + panel * gemm->mr * job->shape->in,
            .c_row = job->shape->in,
            .accumulate = job->accumulate || tile,
        };
        gemm->block_f32(&block);
    }
}

/* dw += G^T dU G; a task is an output channel. */
static void transform_back(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = argument;
    size_t in = job->shape->in;
    job->engine->kernels->conv->winograd_weights_back(job->dw + task * 9 * in, 3 * in, in,
                                                      job->u + task * in, job->plan.u_plane, in);
}

static void run_chunk(struct job *job, size_t first, float *db)
{
    const struct plan *plan = &job->plan;
    struct vlm_pool *pool = job->engine->pool;
    size_t out = job->shape->out;
    job->first = first;
    job->n = VLM_MIN(plan->chunk, plan->tiles - first);
    job->accumulate = first % plan->part != 0;
    size_t tasks = ceil_div(job->n, TASK_TILES);
    vlm_pool_run(pool, tasks, pack_tiles, job);
    vlm_pool_run(pool, COMPONENTS * GROUPS, multiply, job);
    size_t end = first + job->n;
    if (end % plan->part == 0 || end == plan->tiles)
        vlm_pool_run(pool, out, transform_back, job);
    for (size_t task = 1; db && task < tasks; task++)
        for (size_t c = 0; c < out; c++)
            job->bias[c] += job->bias[task * out + c];
    for (size_t c = 0; db && c < out; c++)
        db[c] += (float)job->bias[c];
}

void vlm_conv2d_weight_gradient_winograd(struct vlm_tape *tape,
                                         const struct vlm_conv2d_shape *shape, const float *x,
                                         const float *g, float *dw, float *db)
{
    if (!shape->images || !shape->rows || !shape->cols || !shape->in || !shape->out)
        return;
    struct job job = { .engine = tape->engine, .shape = shape, .x = x, .g = g, .dw = dw };
    make_plan(&job.plan, tape->engine, shape);
    const struct plan *plan = &job.plan;
    size_t mark = vlm_memory_mark(&tape->scratch);
    job.g_panels = vlm_scratch(tape, COMPONENTS * plan->g_plane, sizeof(float));
    job.x_panels = vlm_scratch(tape, COMPONENTS * plan->x_plane, sizeof(float));
    job.u = vlm_scratch(tape, COMPONENTS * plan->u_plane, sizeof(float));
    job.bias = vlm_scratch(tape, plan->chunk / TASK_TILES * shape->out, sizeof(double));
    job.lines = vlm_scratch_workers(tape, worker_floats(&job), sizeof(float));
    for (size_t first = 0; first < plan->tiles && vlm_tape_runs(tape); first += plan->chunk)
        run_chunk(&job, first, db);
    vlm_memory_return(&tape->scratch, mark);
}
