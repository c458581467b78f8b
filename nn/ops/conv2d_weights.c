/* conv2d_weights.c - the gradient of a convolution by its weights and bias.
 *
 *     dw(o, i, j, k) = sum over pixels (n, r, c) of g(n, r, c, o) x(n, r * stride + i - before, ..., k)
 *
 * For a tap row i that is a product of matrices whose long index is the pixel; (j, k) is one index, since
 * the taps of a row are a run of x. g and x are packed into panels of gemm_kernels.h, pixel by pixel, the
 * rows of x in such an order that every tap row reads a run of them (rows that are `stride` apart follow
 * each other). Pixels go in chunks of fixed size: all threads pack one, then all threads multiply, each
 * task some panels of g and of x. A chunk's sum is a chain from zero, and chunks are added in order,
 * which keeps the rounding error of long sums small. */
#include "base/vlm.h"

#include "nn/ops/conv2d_internal.h"

enum {
    CHUNK_FLOATS = 1 << 21, /* packed numbers of a chunk, about */
    CHUNK_PIXELS = 4096,    /* of g, at most about */
    CALL_PIXELS = 256,      /* of one call of the kernel */
    GROUPS_G = 8,           /* tasks: panels of g are shared out to so many, */
    GROUPS_X = 4,           /* panels of x to so many */
    CACHE_LINE = 64,
};

struct plan {
    size_t images, rows;                         /* of a chunk */
    size_t image_blocks, row_blocks;             /* chunks */
    size_t run;                                  /* numbers of a tap row */
    size_t panels_g, panels_x;                   /* of output channels, of a tap row */
    size_t padded_cols;                          /* pixels of a packed row */
    size_t phase_rows;                           /* packed rows of x that are `stride` apart */
    size_t slots;                                /* packed rows of x of an image */
    size_t mr_row, nr_row;                       /* floats of a packed row of a panel */
    size_t line;                                 /* floats of a row of x with zeros around */
    size_t g_floats, x_floats, w_floats;         /* of all panels of a chunk; of a sum of weights */
    size_t group_g, groups_g, group_x, groups_x; /* panels of a task, and how many such */
};

struct job {
    const struct vlm_engine *engine;
    const struct vlm_conv2d_shape *shape;
    struct plan plan;
    bool bf16;
    const float *x, *g;
    float *dw;
    bool accumulate, wants_bias;
    float *g_panels;                                 /* [panel][image][row] rows of a panel */
    float *x_panels;                                 /* [panel][image][slot] */
    float *sums;                                     /* as dw: of this chunk */
    double *bias;                                    /* [image][row][out] */
    float *lines;                                    /* scratch of each worker */
    size_t first_image, first_row, n_images, n_rows; /* this chunk */
};

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static void make_plan(struct plan *plan, const struct vlm_engine *engine,
                      const struct vlm_conv2d_shape *shape, bool bf16)
{
    const struct vlm_gemm_kernels *gemm = engine->kernels->gemm;
    size_t pair = bf16 ? gemm->bf16_pair : 1;
    memset(plan, 0, sizeof(*plan));
    plan->padded_cols = ceil_div(shape->cols, pair) * pair;
    plan->run = shape->tap_cols * shape->in;
    size_t pixels = VLM_MIN(CHUNK_FLOATS / (shape->out + plan->run) + 1, (size_t)CHUNK_PIXELS);
    plan->rows = VLM_MIN(VLM_MAX(pixels / plan->padded_cols, (size_t)1), shape->rows);
    plan->images = 1;
    if (plan->rows == shape->rows)
        plan->images = VLM_MAX(pixels / (plan->padded_cols * shape->rows), (size_t)1);
    plan->images = VLM_MIN(plan->images, shape->images);
    plan->image_blocks = ceil_div(shape->images, plan->images);
    plan->row_blocks = ceil_div(shape->rows, plan->rows);
    plan->panels_g = ceil_div(shape->out, gemm->mr);
    plan->panels_x = ceil_div(plan->run, gemm->nr);
    size_t needed = (plan->rows - 1) * shape->stride + shape->tap_rows;
    plan->phase_rows = ceil_div(needed, shape->stride);
    plan->slots = plan->phase_rows * shape->stride;
    plan->mr_row = plan->padded_cols / pair * gemm->mr;
    plan->nr_row = plan->padded_cols / pair * gemm->nr;
    plan->line = ((shape->cols - 1) * shape->stride + shape->tap_cols) * shape->in;
    plan->g_floats = plan->panels_g * plan->images * plan->rows * plan->mr_row;
    plan->x_floats = plan->panels_x * plan->images * plan->slots * plan->nr_row;
    plan->w_floats = shape->out * shape->tap_rows * plan->run;
    plan->group_g = ceil_div(plan->panels_g, GROUPS_G);
    plan->groups_g = ceil_div(plan->panels_g, plan->group_g);
    plan->group_x = ceil_div(plan->panels_x, GROUPS_X);
    plan->groups_x = ceil_div(plan->panels_x, plan->group_x);
}

static void pack(const struct job *job, float *panel, size_t width, const float *x, size_t rows,
                 size_t step)
{
    const struct vlm_gemm_kernels *gemm = job->engine->kernels->gemm;
    if (job->bf16)
        gemm->pack_bf16(panel, width, x, rows, job->shape->cols, 1, step);
    else
        gemm->pack_f32(panel, width, x, rows, job->shape->cols, 1, step);
}

/* Row `row` of the chunk's image `image` of g, and its sum for the bias. */
static void pack_g(const struct job *job, size_t image, size_t row)
{
    const struct vlm_conv2d_shape *shape = job->shape;
    const struct plan *plan = &job->plan;
    size_t mr = job->engine->kernels->gemm->mr, at = image * job->n_rows + row;
    const float *g = job->g + ((job->first_image + image) * shape->rows + job->first_row + row) *
                                  shape->cols * shape->out;
    for (size_t p = 0; p < plan->panels_g; p++)
        pack(job, job->g_panels + (p * plan->images * plan->rows + at) * plan->mr_row, mr,
             g + p * mr, VLM_MIN(shape->out - p * mr, mr), shape->out);
    if (job->wants_bias) {
        memset(job->bias + at * shape->out, 0, shape->out * sizeof(double));
        job->engine->kernels->conv->sum_pixels(job->bias + at * shape->out, g, shape->cols,
                                               shape->out);
    }
}

/* Copies a row of x that windows of the chunk read, with the zeros around it. */
static void copy_line(const struct job *job, float *line, size_t image, ptrdiff_t row)
{
    const struct vlm_conv2d_shape *shape = job->shape;
    size_t in = shape->in, total = job->plan.line / in;
    if (row < 0 || row >= (ptrdiff_t)shape->height) {
        memset(line, 0, total * in * sizeof(float));
        return;
    }
    size_t before = VLM_MIN(shape->before, total);
    size_t there = VLM_MIN(shape->width, total - before);
    memset(line, 0, before * in * sizeof(float));
    memcpy(line + before * in,
           job->x + ((job->first_image + image) * shape->height + (size_t)row) * shape->width * in,
           there * in * sizeof(float));
    memset(line + (before + there) * in, 0, (total - before - there) * in * sizeof(float));
}

static void pack_x(const struct job *job, size_t image, size_t row, float *line)
{
    const struct vlm_conv2d_shape *shape = job->shape;
    const struct plan *plan = &job->plan;
    size_t nr = job->engine->kernels->gemm->nr;
    size_t slot = row % shape->stride * plan->phase_rows + row / shape->stride;
    copy_line(job, line, image,
              (ptrdiff_t)(job->first_row * shape->stride + row) - (ptrdiff_t)shape->before);
    for (size_t p = 0; p < plan->panels_x; p++)
        pack(job, job->x_panels + ((p * plan->images + image) * plan->slots + slot) * plan->nr_row,
             nr, line + p * nr, VLM_MIN(plan->run - p * nr, nr), shape->stride * shape->in);
}

/* A task packs one row of x or of g. */
static void pack_row(void *argument, size_t task, size_t worker)
{
    const struct job *job = argument;
    const struct plan *plan = &job->plan;
    size_t rows_x = (job->n_rows - 1) * job->shape->stride + job->shape->tap_rows;
    size_t rows = rows_x + job->n_rows, image = task / rows, row = task % rows;
    float *line =
        job->lines + worker * (vlm_scratch_stride(plan->line, sizeof(float)) / sizeof(float));
    if (row < rows_x)
        pack_x(job, image, row, line);
    else
        pack_g(job, image, row - rows_x);
}

/* A rectangle of each tap row: output channels from `channel`, numbers of the run from `at`. */
struct part {
    size_t channel, channels, at, n;
};

/* dw (+)= sums. */
static void add_sums(const struct job *job, const struct part *part)
{
    bool store = !job->accumulate && !job->first_image && !job->first_row;
    size_t tap_rows = job->shape->tap_rows, end = (part->channel + part->channels) * tap_rows;
    for (size_t row = part->channel * tap_rows; row < end; row++) {
        size_t at = row * job->plan.run + part->at;
        if (store)
            memcpy(job->dw + at, job->sums + at, part->n * sizeof(float));
        else
            job->engine->kernels->gemm->add_row(job->dw + at, job->sums + at, part->n);
    }
}

/* One tap row of a part over some rows of an image, whose packed pixels are a run in both operands. */
static void multiply_rows(const struct job *job, const struct part *part, size_t tap_row,
                          size_t image, size_t row, size_t rows)
{
    const struct plan *plan = &job->plan;
    const struct vlm_gemm_kernels *gemm = job->engine->kernels->gemm;
    size_t stride = job->shape->stride, w_row = job->shape->tap_rows * plan->run;
    size_t slot = tap_row % stride * plan->phase_rows + tap_row / stride + row;
    size_t g_panel = plan->images * plan->rows, x_panel = plan->images * plan->slots;
    size_t g_at = part->channel / gemm->mr * g_panel + image * job->n_rows + row;
    size_t x_at = part->at / gemm->nr * x_panel + image * plan->slots + slot;
    struct vlm_gemm_block block = {
        .m = part->channels,
        .n = part->n,
        .k = rows * plan->padded_cols,
        .a = job->g_panels + g_at * plan->mr_row,
        .b = job->x_panels + x_at * plan->nr_row,
        .a_step = g_panel * plan->mr_row * sizeof(float),
        .b_step = x_panel * plan->nr_row * sizeof(float),
        .c = job->sums + part->channel * w_row + tap_row * plan->run + part->at,
        .c_row = w_row,
        .accumulate = image || row,
    };
    if (job->bf16)
        gemm->block_bf16(&block);
    else
        gemm->block_f32(&block);
}

/* A task: one part, all tap rows, all pixels of the chunk. */
static void multiply(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct job *job = argument;
    const struct plan *plan = &job->plan;
    const struct vlm_gemm_kernels *gemm = job->engine->kernels->gemm;
    struct part part = {
        .channel = task % plan->groups_g * plan->group_g * gemm->mr,
        .at = task / plan->groups_g * plan->group_x * gemm->nr,
    };
    part.channels = VLM_MIN(plan->group_g * gemm->mr, job->shape->out - part.channel);
    part.n = VLM_MIN(plan->group_x * gemm->nr, plan->run - part.at);
    size_t rows = VLM_MAX(CALL_PIXELS / plan->padded_cols, (size_t)1);
    for (size_t image = 0; image < job->n_images; image++)
        for (size_t row = 0; row < job->n_rows; row += rows)
            for (size_t i = 0; i < job->shape->tap_rows; i++)
                multiply_rows(job, &part, i, image, row, VLM_MIN(rows, job->n_rows - row));
    add_sums(job, &part);
}

/* The chunk that begins at an image and a row. */
static void run_chunk(struct job *job, size_t first_image, size_t first_row, float *db)
{
    const struct vlm_conv2d_shape *shape = job->shape;
    struct vlm_pool *pool = job->engine->pool;
    job->first_image = first_image;
    job->first_row = first_row;
    job->n_images = VLM_MIN(job->plan.images, shape->images - first_image);
    job->n_rows = VLM_MIN(job->plan.rows, shape->rows - first_row);
    size_t rows_x = (job->n_rows - 1) * shape->stride + shape->tap_rows;
    vlm_pool_run(pool, job->n_images * (rows_x + job->n_rows), pack_row, job);
    if (job->dw)
        vlm_pool_run(pool, job->plan.groups_g * job->plan.groups_x, multiply, job);
    for (size_t i = 1; db && i < job->n_images * job->n_rows; i++)
        for (size_t c = 0; c < shape->out; c++)
            job->bias[c] += job->bias[i * shape->out + c];
    for (size_t c = 0; db && c < shape->out; c++)
        db[c] += (float)job->bias[c];
}

void vlm_conv2d_weight_gradient(struct vlm_tape *tape, const struct vlm_conv2d_shape *shape,
                                const float *x, const float *g, float *dw, bool accumulate,
                                float *db)
{
    if (!shape->images || !shape->rows || !shape->cols || !shape->in || !shape->out) {
        if (dw && !accumulate)
            memset(dw, 0, shape->out * shape->tap_rows * shape->tap_cols * shape->in * sizeof(*dw));
        return;
    }
    struct job job = {
        .engine = tape->engine,
        .shape = shape,
        .bf16 = tape->precision == VLM_BF16,
        .x = x,
        .g = g,
        .dw = dw,
        .accumulate = accumulate,
        .wants_bias = db != NULL,
    };
    make_plan(&job.plan, tape->engine, shape, job.bf16);
    const struct plan *plan = &job.plan;
    size_t mark = vlm_memory_mark(&tape->scratch);
    job.g_panels = vlm_scratch(tape, plan->g_floats, sizeof(float));
    job.x_panels = vlm_scratch(tape, plan->x_floats, sizeof(float));
    job.sums = vlm_scratch(tape, plan->w_floats, sizeof(float));
    job.bias = vlm_scratch(tape, plan->images * plan->rows * shape->out, sizeof(double));
    job.lines = vlm_scratch_workers(tape, plan->line, sizeof(float));
    if (vlm_tape_runs(tape))
        for (size_t i = 0; i < plan->image_blocks; i++)
            for (size_t r = 0; r < plan->row_blocks; r++)
                run_chunk(&job, i * plan->images, r * plan->rows, db);
    vlm_memory_return(&tape->scratch, mark);
}
