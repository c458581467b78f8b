/* vocabulary_loss.c - the head of a language model in chunks of rows and blocks of the vocabulary.
 *
 * For each chunk of rows:
 *
 *   for each block of columns:   z = x W^T + b by gemm; while it is in the cache, e = exp(z - m) over
 *                                it, m being the row's largest logit in the block
 *   then the row's sum, its loss, and the softmax are known up to one factor a row and block
 *   for each block of columns:   dz = factor e - ... into a tile that stays in the cache;
 *                                dx += dz W and dW += dz^T x by gemm
 *
 * So there is one exponential per logit, e is the only array of rows x V, and it goes through memory
 * once each way. W is packed for the two products when the first chunk meets each block. Blocks are
 * stored one after the other, [rows, columns] each. */
#include "base/vlm.h"

#include "nn/gemm.h"
#include "nn/ops/loss_row.h"
#include "nn/ops/vocabulary_loss.h"

enum {
    CHUNK = 512,             /* rows: reading and writing dW once per chunk must not count */
    STRIDE = LOSS_COLS + 16, /* floats from row to row of a block: no power of two, for caches
                                    of few ways */
    ROWS_PER_TASK = 16,      /* of softmax and gradient */
    BIAS_COLS = 256,         /* columns per task of the bias gradient */
    BIAS_ROWS = 64,          /* rows of one partial sum of it */
    SCALE_BLOCK = 1 << 14,   /* floats per task of the backward pass */
};

struct loss_node {
    struct vlm_node node;
    struct vlm_tensor *x, *weight, *bias;
    float *dx, *dw, *db; /* as large as these; NULL for what needs no gradient */
};

/* A row of the chunk. */
struct chunk_row {
    struct row_softmax softmax;
    size_t row; /* in x */
    uint32_t target;
    float target_logit;
    double weight;         /* w_r / weight_sum */
    float factor, shift;   /* of the block at hand: dz = factor e - shift */
    float target_gradient; /* dz at the target */
};

struct work {
    struct vlm_tape *tape;
    const struct vlm_vocabulary_loss *options;
    const struct vlm_tensor *x;
    struct loss_node gradient; /* where the gradients go */
    bool wanted;               /* any of them */
    size_t rows, d, vocabulary, blocks;
    size_t chunk;     /* rows of a chunk at most */
    bool keep_packed; /* W is packed once for several chunks */
    size_t row_bytes; /* of x */
    double scale;     /* 1 / weight_sum */

    /* Scratch. */
    uint32_t *counted; /* [rows]: the rows that are not ignored, n of them */
    size_t n;
    struct chunk_row *row; /* [chunk] */
    size_t n_chunk;
    void *x_chunk;   /* [chunk, d], in the type of x */
    void *x_packed;  /* the same, transposed, for dW */
    float *dx_chunk; /* [chunk, d] */
    float *e;        /* [blocks, chunk, STRIDE], or one block when no gradient is wanted */
    float *largest;  /* [blocks, chunk]: m */
    void *dz;        /* [chunk, STRIDE], fp32 or bf16 */
    char *packed, *packed_back; /* W for x W^T and for dz W */
    size_t packed_size, packed_back_size;
    void *gemm;
};

/* ---- sizes ---- */

static size_t block_width(const struct work *w, size_t block)
{
    return VLM_MIN(w->vocabulary - block * LOSS_COLS, (size_t)LOSS_COLS);
}

static float *block_at(const struct work *w, size_t block)
{
    return w->e + (w->wanted ? block * w->chunk * STRIDE : 0);
}

static char *packed_at(const struct work *w, char *packed, size_t size, size_t block)
{
    return packed + (w->keep_packed ? block * size : 0);
}

/* In which x W^T is computed; the backward pass is in that of the tape. */
static enum vlm_dtype forward_precision(const struct work *w)
{
    return w->options->weight->dtype == VLM_INT8 ? VLM_INT8 : w->tape->precision;
}

static struct vlm_gemm forward_job(const struct work *w, size_t m, size_t block)
{
    struct vlm_gemm job = {
        .m = m,
        .n = block_width(w, block),
        .k = w->d,
        .a = { .row = w->d, .col = 1 },
        .b.packed = packed_at(w, w->packed, w->packed_size, block),
        .c = block_at(w, block),
        .c_row = STRIDE,
        .precision = forward_precision(w),
    };
    if (w->x->dtype == VLM_BF16)
        job.a.bits = w->x_chunk;
    else
        job.a.f32 = w->x_chunk;
    if (w->options->weight->dtype == VLM_INT8)
        job.b.scales = w->options->weight->scales + block * LOSS_COLS;
    if (w->options->bias)
        job.bias = w->options->bias->data + block * LOSS_COLS;
    return job;
}

/* The rows of W of a block. */
static struct vlm_operand weight_operand(const struct work *w, size_t block)
{
    const struct vlm_tensor *weight = w->options->weight;
    const size_t at = block * LOSS_COLS * w->d;
    struct vlm_operand b = { .row = w->d, .col = 1 };
    if (weight->dtype == VLM_BF16)
        b.bits = weight->bits + at;
    else if (weight->dtype == VLM_INT8)
        b.integers = weight->integers + at;
    else
        b.f32 = weight->data + at;
    return b;
}

/* dz as an operand. */
static struct vlm_operand dz_operand(const struct work *w, size_t row, size_t col)
{
    struct vlm_operand operand = { .row = row, .col = col };
    if (w->tape->precision == VLM_BF16)
        operand.bits = w->dz;
    else
        operand.f32 = w->dz;
    return operand;
}

static struct vlm_gemm dx_job(const struct work *w, size_t m, size_t block)
{
    return (struct vlm_gemm){
        .m = m,
        .n = w->d,
        .k = block_width(w, block),
        .a = dz_operand(w, STRIDE, 1),
        .b.packed = packed_at(w, w->packed_back, w->packed_back_size, block),
        .c = w->dx_chunk,
        .c_row = w->d,
        .accumulate = block > 0,
        .precision = w->tape->precision,
    };
}

static struct vlm_gemm dw_job(const struct work *w, size_t k, size_t block, bool accumulate)
{
    return (struct vlm_gemm){
        .m = block_width(w, block),
        .n = w->d,
        .k = k,
        .a = dz_operand(w, 1, STRIDE),
        .b.packed = w->x_packed,
        .c = w->gradient.dw ? w->gradient.dw + block * LOSS_COLS * w->d : NULL,
        .c_row = w->d,
        .accumulate = accumulate,
        .precision = w->tape->precision,
    };
}

/* Takes all scratch of the op; the same in a dry run, where all is NULL. */
static void take_scratch(struct work *w)
{
    struct vlm_tape *tape = w->tape;
    const struct vlm_engine *engine = tape->engine;
    size_t width = VLM_MIN(w->vocabulary, (size_t)LOSS_COLS);
    size_t kept = w->keep_packed ? w->blocks : 1, stored = w->wanted ? w->blocks : 1;
    enum vlm_dtype precision = tape->precision;
    w->counted = vlm_scratch(tape, w->rows, sizeof(*w->counted));
    w->row = vlm_scratch(tape, w->chunk, sizeof(*w->row));
    w->x_chunk = vlm_scratch(tape, w->chunk, w->row_bytes);
    w->e = vlm_scratch(tape, stored * w->chunk, STRIDE * sizeof(float));
    w->largest = vlm_scratch(tape, stored * w->chunk, sizeof(float));
    w->packed_size =
        vlm_scratch_stride(1, vlm_gemm_packed_size(engine, width, w->d, forward_precision(w)));
    w->packed = vlm_scratch(tape, kept, w->packed_size);
    if (w->wanted)
        w->dz = vlm_scratch(tape, w->chunk, STRIDE * (precision == VLM_BF16 ? 2 : 4));
    if (w->gradient.x) {
        w->packed_back_size =
            vlm_scratch_stride(1, vlm_gemm_packed_size(engine, w->d, width, precision));
        w->packed_back = vlm_scratch(tape, kept, w->packed_back_size);
        w->dx_chunk = vlm_scratch(tape, w->chunk, w->d * sizeof(float));
    }
    if (w->gradient.weight)
        w->x_packed = vlm_scratch(tape, 1, vlm_gemm_packed_size(engine, w->d, w->chunk, precision));
    /* In a dry run there are no pointers; B is packed all the same. */
    struct vlm_gemm job[] = { forward_job(w, w->chunk, 0), dx_job(w, w->chunk, 0),
                              dw_job(w, w->chunk, 0, true) };
    size_t bytes = 0;
    for (size_t i = 0; i < VLM_COUNTOF(job); i++) {
        job[i].b.packed = w;
        size_t needed = vlm_gemm_scratch(engine, &job[i]);
        bytes = VLM_MAX(bytes, needed);
    }
    w->gemm = vlm_scratch(tape, 1, bytes);
}

/* ---- rows ---- */

/* Lists the rows that count and finds what their weights are divided by. */
static void count_rows(struct work *w)
{
    const struct vlm_vocabulary_loss *o = w->options;
    double sum = 0;
    for (size_t r = 0; r < w->rows; r++) {
        if (o->targets[r] == VLM_IGNORE)
            continue;
        if (o->targets[r] >= w->vocabulary) {
            vlm_tape_fail(w->tape, VLM_EFORMAT,
                          "target %" PRIu32 " of row %zu is not in the vocabulary of %zu",
                          o->targets[r], r, w->vocabulary);
            return;
        }
        sum += o->weights ? (double)o->weights[r] : 1;
        w->counted[w->n++] = (uint32_t)r;
    }
    w->scale = loss_scale(o->weight_sum != 0 ? o->weight_sum : sum);
}

/* Brings the rows from number `first` of the counted ones together. */
static void begin_chunk(struct work *w, size_t first)
{
    const struct vlm_vocabulary_loss *o = w->options;
    const struct vlm_engine *engine = w->tape->engine;
    w->n_chunk = VLM_MIN(w->n - first, w->chunk);
    for (size_t i = 0; i < w->n_chunk; i++) {
        size_t r = w->counted[first + i];
        w->row[i] = (struct chunk_row){
            .softmax = row_softmax_begin(),
            .row = r,
            .target = o->targets[r],
            .weight = (o->weights ? (double)o->weights[r] : 1) * w->scale,
        };
        memcpy((char *)w->x_chunk + i * w->row_bytes, (const char *)w->x->data + r * w->row_bytes,
               w->row_bytes);
    }
    if (w->gradient.weight) {
        struct vlm_operand transposed = forward_job(w, w->n_chunk, 0).a;
        transposed.row = 1;
        transposed.col = w->d;
        vlm_gemm_pack_b(engine, w->x_packed, &transposed, w->d, w->n_chunk, w->tape->precision);
    }
}

/* ---- softmax, block by block ---- */

struct block_job {
    struct work *work;
    size_t block;
};

static void softmax_task(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct block_job *job = argument;
    struct work *w = job->work;
    const struct vlm_loss_kernels *kernels = w->tape->engine->kernels->loss;
    size_t width = block_width(w, job->block), before = job->block * LOSS_COLS;
    size_t end = VLM_MIN((task + 1) * ROWS_PER_TASK, w->n_chunk);
    for (size_t i = task * ROWS_PER_TASK; i < end; i++) {
        struct chunk_row *row = &w->row[i];
        float *z = block_at(w, job->block) + i * STRIDE, largest, total;
        if (row->target >= before && row->target - before < width)
            row->target_logit = z[row->target - before];
        kernels->row_scan(&largest, &total, z, width);
        float sum = kernels->row_exp(w->wanted ? z : NULL, z, largest, width);
        row_softmax_fold(&row->softmax, largest, sum, total);
        if (w->wanted)
            w->largest[job->block * w->chunk + i] = largest;
    }
}

static void softmax_of_chunk(struct work *w, bool pack)
{
    const struct vlm_engine *engine = w->tape->engine;
    for (size_t block = 0; block < w->blocks; block++) {
        struct vlm_gemm gemm = forward_job(w, w->n_chunk, block);
        if (pack) {
            struct vlm_operand b = weight_operand(w, block);
            vlm_gemm_pack_b(engine, (void *)(uintptr_t)gemm.b.packed, &b, gemm.n, gemm.k,
                            gemm.precision);
        }
        vlm_gemm(engine, &gemm, w->gemm);
        struct block_job job = { w, block };
        vlm_pool_run(engine->pool, (w->n_chunk + ROWS_PER_TASK - 1) / ROWS_PER_TASK, softmax_task,
                     &job);
    }
}

/* Losses of the chunk's rows; returns their weighted sum. Leaves dz at the targets. */
static double losses_of_chunk(struct work *w)
{
    double sum = 0, smoothing = (double)w->options->smoothing, v = (double)w->vocabulary;
    for (size_t i = 0; i < w->n_chunk; i++) {
        struct chunk_row *row = &w->row[i];
        double log_sum = row_softmax_log_sum(&row->softmax);
        /* Large parts that cancel are subtracted first. */
        double target =
            ((double)row->softmax.largest - (double)row->target_logit) + log(row->softmax.sum);
        double loss = target;
        if (smoothing > 0)
            loss = (1 - smoothing) * target + smoothing * (log_sum - row->softmax.total / v);
        sum += row->weight * loss;
        if (w->options->row_losses)
            w->options->row_losses[row->row] = (float)loss;
        /* The softmax of the target less 1. */
        row->target_gradient = (float)(row->weight * (expm1(-target) + smoothing - smoothing / v));
    }
    return sum;
}

/* ---- gradient, block by block ---- */

static void begin_gradient_block(struct work *w, size_t block)
{
    double smoothing = (double)w->options->smoothing / (double)w->vocabulary;
    for (size_t i = 0; i < w->n_chunk; i++) {
        struct chunk_row *row = &w->row[i];
        double largest = (double)w->largest[block * w->chunk + i];
        double share = exp(largest - (double)row->softmax.largest) / row->softmax.sum;
        row->factor = (float)(row->weight * share);
        row->shift = (float)(row->weight * smoothing);
    }
}

static uint16_t round_one(const struct work *w, float x)
{
    uint16_t bits;
    w->tape->engine->kernels->gemm->round_bf16(&bits, &x, 1);
    return bits;
}

static void gradient_task(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct block_job *job = argument;
    struct work *w = job->work;
    const struct vlm_loss_kernels *kernels = w->tape->engine->kernels->loss;
    size_t width = block_width(w, job->block), before = job->block * LOSS_COLS;
    size_t end = VLM_MIN((task + 1) * ROWS_PER_TASK, w->n_chunk);
    bool rounded = w->tape->precision == VLM_BF16;
    for (size_t i = task * ROWS_PER_TASK; i < end; i++) {
        const struct chunk_row *row = &w->row[i];
        const float *e = block_at(w, job->block) + i * STRIDE;
        uint16_t *bits = (uint16_t *)w->dz + i * STRIDE;
        float *dz = (float *)w->dz + i * STRIDE;
        if (rounded)
            kernels->row_gradient_bf16(bits, e, row->factor, row->shift, width);
        else
            kernels->row_gradient(dz, e, row->factor, row->shift, width);
        size_t target = row->target - before;
        if (row->target < before || target >= width)
            continue;
        if (rounded)
            bits[target] = round_one(w, row->target_gradient);
        else
            dz[target] = row->target_gradient;
    }
}

/* db += the columns' sums of dz, in fp32 in either precision. */
static void bias_task(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct block_job *job = argument;
    struct work *w = job->work;
    const struct vlm_loss_kernels *kernels = w->tape->engine->kernels->loss;
    size_t first = task * BIAS_COLS, before = job->block * LOSS_COLS + first;
    size_t n = VLM_MIN(block_width(w, job->block) - first, (size_t)BIAS_COLS);
    for (size_t r = 0; r < w->n_chunk; r += BIAS_ROWS) {
        float sum[BIAS_COLS] = { 0 };
        for (size_t i = r; i < VLM_MIN(r + BIAS_ROWS, w->n_chunk); i++) {
            const struct chunk_row *row = &w->row[i];
            const float *e = block_at(w, job->block) + i * STRIDE + first;
            bool here = row->target >= before && row->target - before < n;
            float kept = here ? sum[row->target - before] : 0;
            kernels->row_gradient_add(sum, e, row->factor, row->shift, n);
            if (here)
                sum[row->target - before] = kept + row->target_gradient;
        }
        kernels->row_gradient_add(w->gradient.db + before, sum, 1, 0, n);
    }
}

static void gradient_of_chunk(struct work *w, bool pack, bool first)
{
    const struct vlm_engine *engine = w->tape->engine;
    for (size_t block = 0; block < w->blocks; block++) {
        struct block_job job = { w, block };
        begin_gradient_block(w, block);
        vlm_pool_run(engine->pool, (w->n_chunk + ROWS_PER_TASK - 1) / ROWS_PER_TASK, gradient_task,
                     &job);
        if (w->gradient.x) {
            struct vlm_gemm gemm = dx_job(w, w->n_chunk, block);
            if (pack) {
                const float *weight = w->options->weight->data + block * LOSS_COLS * w->d;
                struct vlm_operand b = { .f32 = weight, .row = 1, .col = w->d };
                vlm_gemm_pack_b(engine, (void *)(uintptr_t)gemm.b.packed, &b, gemm.n, gemm.k,
                                gemm.precision);
            }
            vlm_gemm(engine, &gemm, w->gemm);
        }
        if (w->gradient.weight) {
            struct vlm_gemm gemm = dw_job(w, w->n_chunk, block, !first);
            vlm_gemm(engine, &gemm, w->gemm);
        }
        if (w->gradient.bias)
            vlm_pool_run(engine->pool, (block_width(w, block) + BIAS_COLS - 1) / BIAS_COLS,
                         bias_task, &job);
    }
    for (size_t i = 0; w->gradient.x && i < w->n_chunk; i++)
        memcpy(w->gradient.dx + w->row[i].row * w->d, w->dx_chunk + i * w->d, w->d * sizeof(float));
}

/* ---- the op ---- */

static double compute(struct work *w)
{
    count_rows(w);
    if (w->tape->failed)
        return 0;
    if (w->options->row_losses)
        memset(w->options->row_losses, 0, w->rows * sizeof(float));
    if (w->gradient.x && w->n < w->rows)
        memset(w->gradient.dx, 0, w->rows * w->d * sizeof(float));
    if (w->gradient.weight && w->n == 0)
        memset(w->gradient.dw, 0, w->vocabulary * w->d * sizeof(float));
    if (w->gradient.bias)
        memset(w->gradient.db, 0, w->vocabulary * sizeof(float));
    double loss = 0;
    for (size_t first = 0; first < w->n; first += w->chunk) {
        bool pack = first == 0 || !w->keep_packed;
        begin_chunk(w, first);
        softmax_of_chunk(w, pack);
        loss += losses_of_chunk(w);
        if (w->wanted)
            gradient_of_chunk(w, pack, first == 0);
    }
    return loss;
}

/* to (+)= factor from. */
struct scale_job {
    const struct vlm_loss_kernels *kernels;
    float *to;
    const float *from;
    float factor;
    size_t count;
    bool accumulate;
};

static void scale_task(void *argument, size_t task, size_t worker)
{
    (void)worker;
    const struct scale_job *job = argument;
    size_t begin = task * SCALE_BLOCK, n = VLM_MIN(job->count - begin, (size_t)SCALE_BLOCK);
    if (job->accumulate)
        job->kernels->row_gradient_add(job->to + begin, job->from + begin, job->factor, 0, n);
    else
        job->kernels->row_gradient(job->to + begin, job->from + begin, job->factor, 0, n);
}

static void give_gradient(struct vlm_tape *tape, struct vlm_tensor *t, const float *from, float g)
{
    if (!t)
        return;
    struct scale_job job = {
        .kernels = tape->engine->kernels->loss,
        .from = from,
        .factor = g,
        .count = vlm_tensor_count(t),
    };
    job.to = vlm_grad_begin(tape, t, &job.accumulate);
    if (job.to)
        vlm_pool_run(tape->engine->pool, (job.count + SCALE_BLOCK - 1) / SCALE_BLOCK, scale_task,
                     &job);
}

static void loss_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct loss_node *self = (struct loss_node *)node;
    float g = vlm_tape_runs(tape) ? node->out->grad[0] : 0;
    give_gradient(tape, self->x, self->dx, g);
    give_gradient(tape, self->weight, self->dw, g);
    give_gradient(tape, self->bias, self->db, g);
}

/* The inputs that need a gradient, and step memory for what the forward pass makes of it. */
static void plan_gradient(struct work *w, struct vlm_tensor *x)
{
    struct vlm_tensor *weight = w->options->weight, *bias = w->options->bias;
    if (!vlm_tape_records(w->tape))
        return;
    if (x->needs_grad) {
        w->gradient.x = x;
        w->gradient.dx = vlm_step_memory(w->tape, w->rows * w->d, sizeof(float));
    }
    if (weight->needs_grad) {
        w->gradient.weight = weight;
        w->gradient.dw = vlm_step_memory(w->tape, w->vocabulary * w->d, sizeof(float));
    }
    if (bias && bias->needs_grad) {
        w->gradient.bias = bias;
        w->gradient.db = vlm_step_memory(w->tape, w->vocabulary, sizeof(float));
    }
    w->wanted = w->gradient.x || w->gradient.weight || w->gradient.bias;
}

struct vlm_tensor *vlm_vocabulary_loss(struct vlm_tape *tape, struct vlm_tensor *x,
                                       const struct vlm_vocabulary_loss *options)
{
    struct vlm_tensor *weight = options->weight, *bias = options->bias;
    size_t rows = vlm_tensor_rows(x), d = vlm_tensor_cols(x), vocabulary = weight->shape[0];
    VLM_BUG_IF(weight->rank != 2 || weight->shape[1] != d);
    VLM_BUG_IF(weight->dtype != VLM_F32 && vlm_tape_records(tape));
    VLM_BUG_IF(weight->dtype == VLM_BF16 && tape->precision != VLM_BF16);
    VLM_BUG_IF(weight->dtype == VLM_INT8 && tape->precision != VLM_F32);
    VLM_BUG_IF(bias && vlm_tensor_count(bias) != vocabulary);
    VLM_BUG_IF(x->dtype == VLM_BF16 && tape->precision != VLM_BF16);
    VLM_BUG_IF(rows > UINT32_MAX || !(options->smoothing >= 0 && options->smoothing < 1));

    struct vlm_tensor *out = vlm_tensor_new(tape, "vocabulary loss", VLM_F32, 1, (size_t[]){ 1 });
    size_t chunks = VLM_MAX((rows + CHUNK - 1) / CHUNK, (size_t)1);
    struct work w = {
        .tape = tape,
        .options = options,
        .x = x,
        .rows = rows,
        .d = d,
        .vocabulary = vocabulary,
        .blocks = (vocabulary + LOSS_COLS - 1) / LOSS_COLS,
        .chunk = (rows + chunks - 1) / chunks,
        .keep_packed = chunks > 1,
        .row_bytes = d * (x->dtype == VLM_BF16 ? sizeof(uint16_t) : sizeof(float)),
    };
    plan_gradient(&w, x);
    size_t mark = vlm_memory_mark(&tape->scratch);
    take_scratch(&w);
    if (vlm_tape_runs(tape))
        out->data[0] = (float)compute(&w);
    vlm_memory_return(&tape->scratch, mark);
    bool needs_grad = x->needs_grad || weight->needs_grad || (bias && bias->needs_grad);
    struct loss_node *self = vlm_record(tape, sizeof(*self), loss_backward, out, needs_grad);
    if (self) {
        struct vlm_node node = self->node;
        *self = w.gradient;
        self->node = node;
    }
    return out;
}
