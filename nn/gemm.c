/* gemm.c - cuts a product into packed chunks and tiles of C, and ends each tile while it is in cache.
 *
 * Work goes in two loops over tasks for every chunk of A and B: first all threads pack panels, then
 * all compute tiles. A chunk is what stays in the last cache; usually it is the whole operand. A tile
 * runs over k in blocks, so that a panel of A fits the first cache and the tile's panels of B the
 * second; C carries the sums from block to block.
 *
 * When one tile covers all rows, each panel of B serves one task only. It is then packed by that task,
 * block by block, into memory of its thread that never leaves the second cache: the matrix is read
 * once and nothing is written, as it must be when few rows meet a matrix that lies in main memory.
 *
 * A few rows go against B without any packing of it.
 *
 * None of this shows in the results: each element of C is one chain of sums over k (gemm_kernels.h), or one
 * exact sum of integers (int8_kernels.h). Those go over all of k at once: a byte a number, their panels are small.
 * The OpenBLAS back end has the same tiles, on operands as they are. */
#include "base/vlm.h"

#include <cblas.h>

#include "nn/gemm.h"

enum {
    ALIGN = 64,
    TILE_M = 16,           /* panels; the largest tile */
    TILE_N = 8,            /* panels */
    TASKS = 128,           /* wanted, for up to 64 threads */
    TASK_WORK = 1 << 24,   /* multiplications of a task at most: the wait at a loop's end */
    TASK_LEAST = 1 << 16,  /* elements of B below which a task is not made smaller */
    K_BLOCK = 512,         /* steps of k that a tile goes at a time */
    K_BLOCK_FEW = 128,     /* the same for one panel of rows: B's block stays in the first cache */
    STREAM_M = 24,         /* rows up to which B is not packed when it has to be read once only */
    CHUNK_BYTES = 8 << 20, /* of A, of B, packed at a time */
    PACK_LEAST = 1 << 14,  /* elements that a packing task is worth */
    BLAS_M = 256,          /* rows and columns of a tile for OpenBLAS, which packs in each call */
    BLAS_N = 512,
};

struct plan {
    const struct vlm_kernels *kernels;
    enum vlm_dtype precision;
    bool blas;
    bool b_by_task;          /* one tile covers all rows: see above */
    bool stream;             /* B is not packed at all */
    size_t a_width;          /* rows of a panel of A */
    size_t a_panel, b_panel; /* bytes of a panel over all of k */
    size_t k_block;
    size_t tile_m, tile_n;                 /* rows and columns of C that a task computes */
    size_t chunk_m, chunk_n;               /* rows of A and of B packed at a time */
    size_t a_bytes, b_bytes, worker_bytes; /* of scratch; the last for each thread */
};

static size_t parts(size_t n, size_t size)
{
    return n / size + (n % size != 0);
}

static size_t round_up(size_t n, size_t multiple)
{
    return parts(n, multiple) * multiple;
}

/* Of a number in a panel, of B if it is of integers. */
static size_t element_bytes(const struct vlm_kernels *kernels, enum vlm_dtype precision)
{
    if (precision == VLM_INT8)
        return sizeof(float) / kernels->int8->unit;
    return precision == VLM_BF16 ? kernels->gemm->bf16_bytes : sizeof(float);
}

static size_t panel_bytes(const struct vlm_kernels *kernels, size_t width, size_t k,
                          enum vlm_dtype precision)
{
    if (precision == VLM_BF16)
        k = round_up(k, kernels->gemm->bf16_pair);
    else if (precision == VLM_INT8)
        k = round_up(k, kernels->int8->unit);
    return width * k * element_bytes(kernels, precision);
}

/* The largest tile that leaves enough tasks, none of them long. */
static void choose_tile(struct plan *plan, const struct vlm_gemm *job)
{
    size_t mr = plan->a_width, nr = plan->kernels->gemm->nr;
    size_t m = plan->stream ? 1 : parts(job->m, mr), n = parts(job->n, nr); /* in panels */
    size_t tile_m = VLM_MIN(m, (size_t)TILE_M), tile_n = VLM_MIN(n, (size_t)TILE_N);
    for (;;) {
        size_t work = tile_m * mr * tile_n * nr * job->k;
        bool small = tile_n * nr * job->k <= TASK_LEAST || tile_m * tile_n <= 8;
        bool few = parts(m, tile_m) * parts(n, tile_n) < TASKS;
        if ((m > 1 && small) || (tile_m == 1 && tile_n == 1) || (!few && work <= TASK_WORK))
            break;
        if (m == 1 && tile_n * nr * job->k <= TASK_LEAST)
            break;
        if (tile_m * mr >= tile_n * nr || tile_n == 1)
            tile_m = parts(tile_m, 2);
        else
            tile_n = parts(tile_n, 2);
    }
    /* Of equal size: a small rest would be a short task beside long ones. */
    plan->tile_m = plan->stream ? job->m : parts(m, parts(m, tile_m)) * mr;
    plan->tile_n = parts(n, parts(n, tile_n)) * nr;
}

static size_t chunk_rows(size_t rows, size_t tile, size_t width, size_t panel)
{
    size_t fits = CHUNK_BYTES / VLM_MAX(panel, (size_t)1) * width / tile * tile;
    fits = VLM_MAX(fits, tile);
    return fits >= rows ? rows : round_up(parts(rows, parts(rows, fits)), tile);
}

static bool uses_blas(const struct vlm_engine *engine, enum vlm_dtype precision)
{
    return engine->backend == VLM_GEMM_OPENBLAS && precision == VLM_F32;
}

/* Rows of a panel of A, when B is not packed: as many as there are if these are few. */
static size_t stream_width(const struct vlm_kernels *kernels, const struct vlm_gemm *job)
{
    size_t width = 1;
    if (job->precision == VLM_INT8)
        return VLM_MIN(job->m, kernels->int8->stream_rows);
    while (width < VLM_MIN(job->m, kernels->gemm->stream_rows))
        width *= 2;
    return width;
}

static struct plan make_plan(const struct vlm_engine *engine, const struct vlm_gemm *job)
{
    const struct vlm_kernels *kernels = engine->kernels;
    const size_t nr = kernels->gemm->nr;
    const bool integers = job->precision == VLM_INT8;
    struct plan plan = { .kernels = kernels,
                         .precision = job->precision,
                         .a_width = integers ? kernels->int8->rows : kernels->gemm->mr };
    plan.blas = uses_blas(engine, job->precision);
    if (plan.blas) {
        plan.tile_m = VLM_MIN(job->m, (size_t)BLAS_M);
        plan.tile_n = VLM_MIN(job->n, (size_t)BLAS_N);
        plan.chunk_m = job->m, plan.chunk_n = job->n;
    } else {
        const size_t stream_most = integers ? kernels->int8->stream_most : (size_t)STREAM_M;
        plan.stream = !job->b.packed && job->b.col == 1 && job->m <= stream_most;
        choose_tile(&plan, job);
        if (plan.stream)
            plan.a_width = stream_width(kernels, job);
        plan.a_panel = integers ? kernels->int8->fixed_bytes(plan.a_width, job->k)
                                : panel_bytes(kernels, plan.a_width, job->k, job->precision);
        plan.b_panel = panel_bytes(kernels, nr, job->k, job->precision);
        plan.b_by_task = !job->b.packed && plan.tile_m >= job->m;
        plan.k_block = job->m <= 2 * kernels->gemm->mr ? K_BLOCK_FEW : K_BLOCK;
        plan.chunk_m = chunk_rows(job->m, plan.tile_m, plan.a_width, plan.a_panel);
        plan.a_bytes = round_up(parts(plan.chunk_m, plan.a_width) * plan.a_panel, ALIGN);
        plan.chunk_n = job->n;
        if (!plan.b_by_task && !job->b.packed) {
            plan.chunk_n = chunk_rows(job->n, plan.tile_n, nr, plan.b_panel);
            plan.b_bytes = round_up(parts(plan.chunk_n, nr) * plan.b_panel, ALIGN);
        }
        if (plan.b_by_task && !plan.stream)
            plan.worker_bytes =
                integers ? plan.b_panel
                         : plan.tile_n * plan.k_block * element_bytes(kernels, job->precision);
        plan.worker_bytes = round_up(plan.worker_bytes, ALIGN);
    }
    if (job->c_bits || job->residual)
        plan.worker_bytes += plan.tile_m * plan.tile_n * sizeof(float);
    plan.worker_bytes = round_up(plan.worker_bytes, ALIGN);
    return plan;
}

size_t vlm_gemm_scratch(const struct vlm_engine *engine, const struct vlm_gemm *job)
{
    if (job->m == 0 || job->n == 0)
        return 0;
    struct plan plan = make_plan(engine, job);
    return plan.a_bytes + plan.b_bytes + vlm_pool_threads(engine->pool) * plan.worker_bytes;
}

/* ---- packing ---- */

/* Packs `rows` rows from row i, steps p to p + k, into one panel. */
static void pack_panel(const struct vlm_kernels *kernels, enum vlm_dtype precision, void *panel,
                       size_t width, const struct vlm_operand *x, size_t i, size_t rows, size_t p,
                       size_t k)
{
    size_t at = i * x->row + p * x->col;
    if (x->integers)
        kernels->int8->pack(panel, x->integers + at, rows, k, x->row);
    else if (precision == VLM_INT8)
        kernels->int8->pack_fixed(panel, width, x->f32 + at, rows, k, x->row);
    else if (x->bits)
        kernels->gemm->pack_bits(panel, width, x->bits + at, rows, k, x->row, x->col);
    else if (precision == VLM_BF16)
        kernels->gemm->pack_bf16(panel, width, x->f32 + at, rows, k, x->row, x->col);
    else
        kernels->gemm->pack_f32(panel, width, x->f32 + at, rows, k, x->row, x->col);
}

/* Rows first to first + rows of an operand into panels of its whole k; some panels a task. */
struct packing {
    const struct vlm_kernels *kernels;
    enum vlm_dtype precision;
    const struct vlm_operand *operand;
    size_t first, rows, k;
    size_t width, panel; /* rows and bytes of a panel */
    size_t task_panels;
    char *to;
};

static size_t packing_tasks(struct packing *packing)
{
    size_t elements = packing->width * packing->k;
    packing->task_panels = parts(PACK_LEAST, VLM_MAX(elements, (size_t)1));
    return parts(parts(packing->rows, packing->width), packing->task_panels);
}

static void pack_some(const struct packing *packing, size_t task)
{
    for (size_t i = 0; i < packing->task_panels; i++) {
        size_t number = task * packing->task_panels + i, row = number * packing->width;
        if (row >= packing->rows)
            break;
        pack_panel(packing->kernels, packing->precision, packing->to + number * packing->panel,
                   packing->width, packing->operand, packing->first + row,
                   VLM_MIN(packing->rows - row, packing->width), 0, packing->k);
    }
}

/* Two operands in one loop. */
struct packing_pair {
    struct packing first, second;
    size_t first_tasks;
};

static void pack_task(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct packing_pair *pair = argument;
    if (task < pair->first_tasks)
        pack_some(&pair->first, task);
    else
        pack_some(&pair->second, task - pair->first_tasks);
}

/* ---- tiles ---- */

/* One chunk of C. */
struct tiles {
    const struct vlm_engine *engine;
    const struct vlm_gemm *job;
    const struct plan *plan;
    size_t m0, n0, m, n; /* first row and column of the chunk, and how many */
    size_t across;       /* tiles from left to right */
    const char *a, *b;   /* panels of the chunk */
    char *workers;       /* scratch of all threads */
};

/* A tile under way. */
struct tile {
    size_t i, j, m, n; /* place in the whole of C, and size */
    const char *a, *b; /* its first panels */
    float *c;          /* where it is computed: C itself, or scratch */
    size_t c_row;
};

/* What is done to a tile once its sums are there; see struct vlm_gemm. */
static void end_tile(const struct tiles *tiles, const struct tile *tile)
{
    const struct vlm_gemm *job = tiles->job;
    const struct vlm_gemm_kernels *kernels = tiles->plan->kernels->gemm;
    const struct vlm_row_kernels *rows = tiles->engine->kernels->rows;
    for (size_t r = 0; r < tile->m; r++) {
        float *u = tile->c + r * tile->c_row;
        size_t at = (tile->i + r) * job->n + tile->j;
        if (job->b.scales)
            kernels->multiply_row(u, job->b.scales + tile->j, tile->n);
        if (job->bias)
            kernels->add_row(u, job->bias + tile->j, tile->n);
        if (job->before)
            memcpy(job->before + at, u, tile->n * sizeof(float));
        if (job->activation != VLM_LINEAR)
            rows->activate(job->activation, u, u, tile->n);
        if (job->residual)
            kernels->add_row(u, job->residual + at, tile->n);
        if (job->c_bits)
            kernels->round_bf16(job->c_bits + at, u, tile->n);
        else if (job->residual)
            memcpy(job->c + (tile->i + r) * job->c_row + tile->j, u, tile->n * sizeof(float));
    }
}

/* The sums of a tile from packed panels; `room` is where this thread packs B itself. */
static void sum_tile(const struct tiles *tiles, const struct tile *tile, char *room)
{
    const struct vlm_gemm *job = tiles->job;
    const struct plan *plan = tiles->plan;
    const struct vlm_gemm_kernels *kernels = plan->kernels->gemm;
    size_t bytes = element_bytes(plan->kernels, job->precision);
    size_t p = 0;
    do {
        size_t k = VLM_MIN(job->k - p, plan->k_block);
        struct vlm_gemm_block block = {
            .m = tile->m,
            .n = tile->n,
            .k = k,
            .a = tile->a + p * kernels->mr * bytes,
            .a_step = plan->a_panel,
            .b_step = plan->b_panel,
            .c = tile->c,
            .c_row = tile->c_row,
            .accumulate = job->accumulate || p > 0,
        };
        if (plan->b_by_task) {
            block.b = room;
            block.b_step = plan->k_block * kernels->nr * bytes;
            for (size_t j = 0; k && j < tile->n; j += kernels->nr)
                pack_panel(plan->kernels, job->precision, room + j / kernels->nr * block.b_step,
                           kernels->nr, &job->b, tile->j + j, VLM_MIN(tile->n - j, kernels->nr), p,
                           k);
        } else {
            block.b = tile->b + p * kernels->nr * bytes;
        }
        if (job->precision == VLM_BF16)
            kernels->block_bf16(&block);
        else
            kernels->block_f32(&block);
        p += k;
    } while (p < job->k);
}

/* The same of integers, a panel of B at a time. */
static void sum_integers(const struct tiles *tiles, const struct tile *tile, char *room)
{
    const struct vlm_gemm *job = tiles->job;
    const struct plan *plan = tiles->plan;
    const size_t nr = plan->kernels->gemm->nr;
    for (size_t j = 0; j < tile->n; j += nr) {
        struct vlm_gemm_block block = {
            .m = tile->m,
            .n = VLM_MIN(tile->n - j, nr),
            .k = job->k,
            .a = tile->a,
            .b = plan->b_by_task ? room : tile->b + j / nr * plan->b_panel,
            .a_step = plan->a_panel,
            .c = tile->c + j,
            .c_row = tile->c_row,
        };
        if (plan->b_by_task)
            plan->kernels->int8->pack(room, job->b.integers + (tile->j + j) * job->b.row, block.n,
                                      job->k, job->b.row);
        plan->kernels->int8->block(&block);
    }
}

/* The same for few rows, straight from B. */
static void stream_tile(const struct tiles *tiles, const struct tile *tile)
{
    const struct vlm_gemm *job = tiles->job;
    const struct vlm_gemm_kernels *kernels = tiles->plan->kernels->gemm;
    size_t first = tile->j * job->b.row;
    struct vlm_gemm_stream stream = {
        .m = tile->m,
        .n = tile->n,
        .k = job->k,
        .a = tiles->a,
        .a_width = tiles->plan->a_width,
        .a_step = tiles->plan->a_panel,
        .b_row = job->b.row * (job->b.integers ? sizeof(*job->b.integers)
                               : job->b.bits   ? sizeof(*job->b.bits)
                                               : sizeof(*job->b.f32)),
        .c = tile->c,
        .c_row = tile->c_row,
        .accumulate = job->accumulate,
    };
    if (job->b.integers) {
        stream.b = job->b.integers + first;
        tiles->plan->kernels->int8->stream(&stream);
    } else if (job->b.bits) {
        stream.b = job->b.bits + first;
        kernels->stream_bits(&stream);
    } else {
        stream.b = job->b.f32 + first;
        if (job->precision == VLM_BF16)
            kernels->stream_bf16(&stream);
        else
            kernels->stream_f32(&stream);
    }
}

/* OpenBLAS wants to know which index is contiguous and how far apart the other's steps are. */
static void blas_operand(const struct vlm_operand *x, size_t rows, size_t k, size_t i,
                         const float **at, bool *by_row, int *step)
{
    *at = x->f32 + i * x->row;
    *by_row = x->col != 1;
    *step = (int)(*by_row ? VLM_MAX(x->col, rows) : VLM_MAX(x->row, k));
}

static void blas_tile(const struct vlm_gemm *job, const struct tile *tile)
{
    if (job->k == 0) {
        for (size_t r = 0; !job->accumulate && r < tile->m; r++)
            memset(tile->c + r * tile->c_row, 0, tile->n * sizeof(float));
        return;
    }
    const float *a, *b;
    bool a_by_row, b_by_row;
    int a_step, b_step;
    struct vlm_operand dense = { .f32 = job->b.packed, .row = job->k, .col = 1 };
    blas_operand(&job->a, tile->m, job->k, tile->i, &a, &a_by_row, &a_step);
    blas_operand(job->b.packed ? &dense : &job->b, tile->n, job->k, tile->j, &b, &b_by_row,
                 &b_step);
    cblas_sgemm(CblasRowMajor, a_by_row ? CblasTrans : CblasNoTrans,
                b_by_row ? CblasNoTrans : CblasTrans, (int)tile->m, (int)tile->n, (int)job->k, 1.0f,
                a, a_step, b, b_step, job->accumulate ? 1.0f : 0.0f, tile->c, (int)tile->c_row);
}

void vlm_gemm_openblas(const struct vlm_gemm *job, size_t threads)
{
    openblas_set_num_threads((int)threads);
    blas_tile(job, &(struct tile){ .m = job->m, .n = job->n, .c = job->c, .c_row = job->c_row });
    openblas_set_num_threads(1);
}

static void compute_tile(void *argument, size_t task, size_t worker)
{
    const struct tiles *tiles = argument;
    const struct vlm_gemm *job = tiles->job;
    const struct plan *plan = tiles->plan;
    char *room = tiles->workers + worker * plan->worker_bytes;
    size_t i = task / tiles->across * plan->tile_m, j = task % tiles->across * plan->tile_n;
    struct tile tile = {
        .i = tiles->m0 + i,
        .j = tiles->n0 + j,
        .m = VLM_MIN(tiles->m - i, plan->tile_m),
        .n = VLM_MIN(tiles->n - j, plan->tile_n),
    };
    if (job->c_bits || job->residual) {
        tile.c = (float *)(void *)room;
        tile.c_row = plan->tile_n;
        room += plan->tile_m * plan->tile_n * sizeof(float);
    } else {
        tile.c = job->c + tile.i * job->c_row + tile.j;
        tile.c_row = job->c_row;
    }
    if (plan->blas) {
        blas_tile(job, &tile);
    } else if (plan->stream) {
        stream_tile(tiles, &tile);
    } else {
        tile.a = tiles->a + i / plan->a_width * plan->a_panel;
        if (!plan->b_by_task)
            tile.b = tiles->b + j / plan->kernels->gemm->nr * plan->b_panel;
        if (plan->precision == VLM_INT8)
            sum_integers(tiles, &tile, room);
        else
            sum_tile(tiles, &tile, room);
    }
    end_tile(tiles, &tile);
}

/* ---- the whole ---- */

static void check(const struct vlm_engine *engine, const struct vlm_gemm *job)
{
    bool bf16 = job->precision == VLM_BF16, integers = job->precision == VLM_INT8;
    bool blas = uses_blas(engine, job->precision);
    VLM_BUG_IF(job->a.integers || (job->b.integers && !integers));
    VLM_BUG_IF(integers && !job->b.packed && (!job->b.integers || job->b.col != 1));
    VLM_BUG_IF(integers && (job->a.col != 1 || job->accumulate || job->k > VLM_INT8_K));
    VLM_BUG_IF(!bf16 && (job->a.bits || job->b.bits));
    VLM_BUG_IF(job->accumulate && (job->bias || job->before || job->activation != VLM_LINEAR ||
                                   job->residual || job->c_bits || job->b.scales));
    VLM_BUG_IF(job->a.row != 1 && job->a.col != 1);
    VLM_BUG_IF(!job->b.packed && job->b.row != 1 && job->b.col != 1);
    VLM_BUG_IF(blas && (job->k > INT_MAX || job->c_row > INT_MAX || job->a.row > INT_MAX ||
                        job->a.col > INT_MAX || job->b.row > INT_MAX || job->b.col > INT_MAX));
}

void vlm_gemm(const struct vlm_engine *engine, const struct vlm_gemm *job, void *scratch)
{
    check(engine, job);
    if (job->m == 0 || job->n == 0)
        return;
    struct plan plan = make_plan(engine, job);
    const struct vlm_kernels *kernels = plan.kernels;
    char *a = scratch, *b = a + plan.a_bytes;
    struct tiles tiles = {
        .engine = engine, .job = job, .plan = &plan, .a = a, .b = b, .workers = b + plan.b_bytes
    };
    struct packing pack_a = { .kernels = kernels,
                              .precision = job->precision,
                              .operand = &job->a,
                              .k = job->k,
                              .width = plan.a_width,
                              .panel = plan.a_panel,
                              .to = a };
    struct packing pack_b = { .kernels = kernels,
                              .precision = job->precision,
                              .operand = &job->b,
                              .k = job->k,
                              .width = kernels->gemm->nr,
                              .panel = plan.b_panel,
                              .to = b };
    bool packs = !plan.blas && (job->k > 0 || plan.precision == VLM_INT8);
    for (size_t n0 = 0; n0 < job->n; n0 += plan.chunk_n) {
        tiles.n0 = n0, tiles.n = VLM_MIN(job->n - n0, plan.chunk_n);
        tiles.across = parts(tiles.n, plan.tile_n);
        if (job->b.packed)
            tiles.b = job->b.packed;
        for (size_t m0 = 0; m0 < job->m; m0 += plan.chunk_m) {
            tiles.m0 = m0, tiles.m = VLM_MIN(job->m - m0, plan.chunk_m);
            pack_a.first = m0, pack_a.rows = n0 == 0 || plan.chunk_m < job->m ? tiles.m : 0;
            pack_b.first = n0, pack_b.rows = m0 == 0 && plan.b_bytes ? tiles.n : 0;
            struct packing_pair pair = { .first = pack_a, .second = pack_b };
            pair.first_tasks = packing_tasks(&pair.first);
            size_t tasks = pair.first_tasks + packing_tasks(&pair.second);
            if (packs)
                vlm_pool_run(engine->pool, tasks, pack_task, &pair);
            vlm_pool_run(engine->pool, parts(tiles.m, plan.tile_m) * tiles.across, compute_tile,
                         &tiles);
        }
    }
}

size_t vlm_gemm_packed_size(const struct vlm_engine *engine, size_t n, size_t k,
                            enum vlm_dtype precision)
{
    const size_t nr = engine->kernels->gemm->nr;
    if (uses_blas(engine, precision))
        return n * k * sizeof(float);
    return parts(n, nr) * panel_bytes(engine->kernels, nr, k, precision);
}

void vlm_gemm_pack_b(const struct vlm_engine *engine, void *packed, const struct vlm_operand *b,
                     size_t n, size_t k, enum vlm_dtype precision)
{
    const struct vlm_kernels *kernels = engine->kernels;
    const size_t nr = kernels->gemm->nr;
    VLM_BUG_IF((precision == VLM_INT8) != (b->integers != NULL));
    if (uses_blas(engine, precision)) {
        float *to = packed;
        for (size_t i = 0; i < n; i++)
            for (size_t p = 0; p < k; p++)
                to[i * k + p] = b->f32[i * b->row + p * b->col];
        return;
    }
    struct packing_pair pair = { .first = { .kernels = kernels,
                                            .precision = precision,
                                            .operand = b,
                                            .rows = n,
                                            .k = k,
                                            .width = nr,
                                            .panel = panel_bytes(kernels, nr, k, precision),
                                            .to = packed } };
    pair.first_tasks = packing_tasks(&pair.first);
    if (k > 0)
        vlm_pool_run(engine->pool, pair.first_tasks, pack_task, &pair);
}
