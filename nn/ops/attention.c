/* attention.c - the forward pass of attention by key intervals.
 *
 * Rows are cut into runs: neighbours whose intervals touch. A long run is done in panels of nr
 * rows: a head's keys and values are packed once (all threads), then each panel of queries goes
 * over the blocks of keys that one of its rows sees. A short run (a step of a decoder, a small
 * document) packs a block on the fly, uses it for all its rows and heads, and forgets it. Both
 * compute each number by the same operations in the same order.
 *
 * In a panel everything is transposed, so that the result of one product is the operand of the
 * next: S^T [keys, queries] = K Q^T, and with P^T in its place O^T [size, queries] = V^T P^T. */
#include "base/vlm.h"

#include <math.h>

#include "nn/ops/attention_internal.h"

enum {
    KEYS = VLM_ATTENTION_KEYS,
    FEW = 24,             /* rows of a short run */
    PACKED_MAX = 8 << 20, /* bytes of packed keys and values at a time, if more than one head */
    ALIGN = 12,           /* first key of a product in its block: a multiple of 4 and of mr */
};

struct attention_node {
    struct vlm_node node;
    struct attention attention;
};

/* Consecutive rows, and the union of their intervals (as if there were no holes). */
struct unit {
    uint32_t row, rows, lo, hi;
};

/* ---- cutting the rows ---- */

struct units {
    struct unit *panel, *few;
    size_t panels, fews;
};

static struct unit unit_of(const struct attention *a, size_t row, size_t rows)
{
    struct unit u = { .row = (uint32_t)row, .rows = (uint32_t)rows, .lo = UINT32_MAX };
    for (size_t r = row; r < row + rows; r++)
        if (visible_keys(a, r)) {
            u.lo = VLM_MIN(u.lo, a->of.lo[r]);
            u.hi = VLM_MAX(u.hi, a->of.hi[r]);
        }
    if (!u.hi)
        u.lo = 0;
    return u;
}

static void add_run(struct units *units, const struct attention *a, size_t begin, size_t end)
{
    if (end - begin <= FEW) {
        units->few[units->fews++] = unit_of(a, begin, end - begin);
        return;
    }
    for (size_t r = begin; r < end; r += a->nr)
        units->panel[units->panels++] = unit_of(a, r, VLM_MIN(a->nr, end - r));
}

static void cut_rows(struct units *units, const struct attention *a)
{
    size_t begin = 0;
    uint32_t lo = 0, hi = 0; /* of the run so far */
    for (size_t r = 0; r < a->rows; r++) {
        uint32_t row_lo = a->of.lo[r], row_hi = a->of.hi[r];
        VLM_BUG_IF(visible_keys(a, r) && row_hi > a->keys);
        if (!visible_keys(a, r))
            continue;
        bool apart = hi && (row_lo >= hi || row_hi <= lo);
        if (apart) {
            add_run(units, a, begin, r);
            begin = r;
        }
        lo = hi && !apart ? VLM_MIN(lo, row_lo) : row_lo;
        hi = hi && !apart ? VLM_MAX(hi, row_hi) : row_hi;
    }
    if (a->rows > begin)
        add_run(units, a, begin, a->rows);
}

/* ---- packed keys and values ---- */

/* Of a block of KEYS keys of one head: keys as A [keys, depth], values as A [size, keys]. */
struct packed {
    char *memory;
    size_t key_step, value_step; /* bytes of a panel */
    size_t keys_bytes, block;    /* of the keys of a block, of a block */
    size_t head;                 /* bytes of all blocks of a head */
};

static struct packed packed_layout(const struct attention *a)
{
    struct packed p = { .key_step = a->mr * a->depth * a->element,
                        .value_step = a->mr * KEYS * a->element };
    p.keys_bytes = round_up((KEYS + a->mr - 1) / a->mr * p.key_step, VLM_MEMORY_ALIGN);
    p.block = p.keys_bytes + (a->size + a->mr - 1) / a->mr * p.value_step;
    p.block = round_up(p.block, VLM_MEMORY_ALIGN);
    p.head = (a->keys + KEYS - 1) / KEYS * p.block;
    return p;
}

struct forward {
    const struct attention *a;
    struct vlm_tensor *out;
    struct units units;
    struct packed packed;
    const bool *used;            /* blocks of keys that a panel needs */
    size_t first_head, kv_heads; /* heads of keys that are packed now */
    char *worker;                /* scratch of each thread */
    size_t stride;
};

static void pack_block(void *argument, size_t task, size_t worker)
{
    struct forward *f = argument;
    const struct attention *a = f->a;
    size_t blocks = (a->keys + KEYS - 1) / KEYS, head = task / blocks, block = task % blocks;
    if (!f->used[block])
        return;
    size_t first = block * KEYS, n = VLM_MIN(a->keys - first, (size_t)KEYS);
    size_t col = (f->first_head + head) * a->size;
    char *to = f->packed.memory + head * f->packed.head + block * f->packed.block;
    void *rows = f->worker + worker * f->stride;
    struct vlm_operand x = gathered(rows, head_rows(a->of.k, a->of.k_col + col, first), n, a->size);
    pack_panels(a, to, a->mr, f->packed.key_step, x, n, a->size);
    x = gathered(rows, head_rows(a->of.v, a->of.v_col + col, first), n, a->size);
    pack_panels(a, to + f->packed.keys_bytes, a->mr, f->packed.value_step, transposed(x), a->size,
                n);
}

/* ---- a panel of queries ---- */

struct panel_room {
    void *query;   /* B [nr, depth] */
    float *scores; /* [KEYS][nr] */
    float *result; /* O^T [size][nr] */
    float *rows;   /* O [nr][size] */
    float *max, *sum, *shrink;
    uint32_t *lo, *count;
};

static size_t panel_layout(struct panel_room *room, char *memory, const struct attention *a)
{
    char *at = memory;
    room->query = carve(&at, a->nr * a->depth, a->element);
    room->scores = carve(&at, KEYS * a->nr, sizeof(float));
    room->result = carve(&at, a->size * a->nr, sizeof(float));
    room->rows = carve(&at, a->size * a->nr, sizeof(float));
    float **line[] = { &room->max, &room->sum, &room->shrink };
    for (size_t i = 0; i < VLM_COUNTOF(line); i++)
        *line[i] = carve(&at, a->nr, sizeof(float));
    room->lo = carve(&at, a->nr, sizeof(uint32_t));
    room->count = carve(&at, a->nr, sizeof(uint32_t));
    return (size_t)(at - memory);
}

/* Log-sums in units of log2, as the kernels count. */
static void save_log_sum(const struct attention *a, size_t head, size_t row, float max, float sum)
{
    if (a->log_sum)
        a->log_sum[head * a->rows + row] = sum == 0 ? 0 : max + log2f(sum);
}

/* Starts the sums of a panel; says which keys all its rows see. */
static void begin_panel(const struct attention *a, const struct unit *u, struct panel_room *room,
                        struct vlm_attention_columns *columns)
{
    *columns = (struct vlm_attention_columns){ .scores = room->scores,
                                               .lo = room->lo,
                                               .count = room->count,
                                               .all_hi = UINT32_MAX,
                                               .factor = a->factor,
                                               .max = room->max,
                                               .sum = room->sum,
                                               .shrink = room->shrink };
    for (size_t r = 0; r < a->nr; r++) {
        room->max[r] = -INFINITY;
        room->sum[r] = 0;
        room->lo[r] = r < u->rows ? a->of.lo[u->row + r] : 0;
        room->count[r] = r < u->rows ? visible_keys(a, u->row + r) : 0;
        if (r < u->rows) {
            columns->all_lo = VLM_MAX(columns->all_lo, room->lo[r]);
            columns->all_hi = VLM_MIN(columns->all_hi, room->lo[r] + room->count[r]);
        }
    }
}

static void attend_panel(void *argument, size_t task, size_t worker)
{
    struct forward *f = argument;
    const struct attention *a = f->a;
    size_t index = task / f->units.panels, head = f->first_head * a->group + index;
    const struct unit *u = &f->units.panel[task % f->units.panels];
    struct panel_room room;
    struct vlm_attention_columns columns;
    panel_layout(&room, f->worker + worker * f->stride, a);
    begin_panel(a, u, &room, &columns);
    struct vlm_operand q = head_rows(a->of.q, a->of.q_col + head * a->size, u->row);
    pack_panels(a, room.query, a->nr, 0, gathered(room.rows, q, u->rows, a->size), u->rows,
                a->size);
    if (u->lo == u->hi)
        memset(room.result, 0, a->size * a->nr * sizeof(float));
    bool first = true;
    for (size_t block = u->lo / KEYS; block * KEYS < u->hi; block++, first = false) {
        size_t origin = block * KEYS, begin = u->lo > origin ? u->lo - origin : 0;
        begin -= begin % ALIGN;
        columns.keys = VLM_MIN(u->hi - origin, (size_t)KEYS) - begin;
        columns.first = (uint32_t)(origin + begin);
        const char *keys =
            f->packed.memory + index / a->group * f->packed.head + block * f->packed.block;
        multiply_panels(a, &(struct vlm_gemm_block){ .m = columns.keys,
                                                     .n = a->nr,
                                                     .k = a->size,
                                                     .a = keys + begin / a->mr * f->packed.key_step,
                                                     .b = room.query,
                                                     .a_step = f->packed.key_step,
                                                     .c = room.scores,
                                                     .c_row = a->nr });
        (a->bf16 ? a->kernels->columns_bf16 : a->kernels->columns_f32)(&columns);
        if (!first)
            a->kernels->shrink_columns(room.result, a->size, room.shrink);
        multiply_panels(a, &(struct vlm_gemm_block){ .m = a->size,
                                                     .n = a->nr,
                                                     .k = columns.keys,
                                                     .a = keys + f->packed.keys_bytes +
                                                          begin * a->mr * a->element,
                                                     .b = room.scores,
                                                     .a_step = f->packed.value_step,
                                                     .c = room.result,
                                                     .c_row = a->nr,
                                                     .accumulate = !first });
    }
    a->gemm->pack_f32(room.rows, a->size, room.result, a->size, a->nr, a->nr, 1);
    a->kernels->finish(f->out->data + u->row * a->row_cols + head * a->size, a->row_cols, room.rows,
                       a->size, u->rows, a->size, room.sum);
    for (size_t r = 0; r < u->rows; r++)
        save_log_sum(a, head, u->row + r, room.max[r], room.sum[r]);
}

/* ---- few queries ---- */

/* Row i of everything is row i / group of the run and head i % group of the group. */
struct few_room {
    void *gathered;    /* [n][size], as in q */
    void *query;       /* A [n, depth] */
    void *keys;        /* B [KEYS, depth] */
    void *values;      /* B [size, KEYS] */
    float *scores;     /* [n][KEYS] */
    void *probability; /* A [n, KEYS] */
    float *result;     /* [n][size rounded up to nr] */
    float *max, *sum, *shrink;
    uint32_t *lo, *count;
};

static size_t few_layout(struct few_room *room, char *memory, const struct attention *a)
{
    char *at = memory;
    size_t n = VLM_MAX(VLM_MIN((size_t)FEW, a->rows) * a->group, (size_t)VLM_ATTENTION_DIRECT);
    size_t panels = round_up(n, a->mr);
    size_t wide = round_up(a->size, a->nr);
    room->gathered = carve(&at, n * a->size, sizeof(float));
    room->query = carve(&at, panels * a->depth, a->element);
    room->keys = carve(&at, KEYS * a->depth, a->element);
    room->values = carve(&at, wide * KEYS, a->element);
    room->scores = carve(&at, n * KEYS, sizeof(float));
    room->probability = carve(&at, panels * KEYS, a->element);
    room->result = carve(&at, n * wide, sizeof(float));
    float **line[] = { &room->max, &room->sum, &room->shrink };
    for (size_t i = 0; i < VLM_COUNTOF(line); i++)
        *line[i] = carve(&at, n, sizeof(float));
    room->lo = carve(&at, n, sizeof(uint32_t));
    room->count = carve(&at, n, sizeof(uint32_t));
    return (size_t)(at - memory);
}

/* Collects the queries of the run's rows and the group's heads into panels of `width`, and starts
 * their sums. */
static void begin_few(const struct attention *a, const struct unit *u, size_t kv_head, size_t width,
                      struct few_room *room)
{
    struct vlm_operand gathered = { .row = a->size, .col = 1 };
    bool bits = a->of.q->dtype == VLM_BF16;
    for (size_t r = 0, i = 0; r < u->rows; r++)
        for (size_t g = 0; g < a->group; g++, i++) {
            size_t col = a->of.q_col + (kv_head * a->group + g) * a->size;
            struct vlm_operand from = head_rows(a->of.q, col, u->row + r);
            if (bits)
                memcpy((uint16_t *)room->gathered + i * a->size, from.bits, 2 * a->size);
            else
                memcpy((float *)room->gathered + i * a->size, from.f32, 4 * a->size);
            room->max[i] = -INFINITY;
            room->sum[i] = 0;
            room->lo[i] = a->of.lo[u->row + r];
            room->count[i] = visible_keys(a, u->row + r);
        }
    if (bits)
        gathered.bits = room->gathered;
    else
        gathered.f32 = room->gathered;
    pack_panels(a, room->query, width, width * a->depth * a->element, gathered, u->rows * a->group,
                a->size);
}

/* A block of keys for a short run. */
struct few_block {
    size_t n, kv_head, begin, keys;
    size_t width;       /* of the panels of queries */
    bool first, direct; /* direct: keys and values are not packed */
};

static void few_scores(const struct attention *a, const struct few_block *b, struct few_room *room)
{
    struct vlm_operand x = head_rows(a->of.k, a->of.k_col + b->kv_head * a->size, b->begin);
    size_t step = a->nr * a->depth * a->element;
    if (b->direct) {
        (a->bf16 ? a->gemm->stream_bf16
                 : a->gemm->stream_f32)(&(struct vlm_gemm_stream){ .m = b->n,
                                                                   .n = b->keys,
                                                                   .k = a->size,
                                                                   .a = room->query,
                                                                   .a_width = b->width,
                                                                   .b = x.f32,
                                                                   .b_row = x.row * sizeof(float),
                                                                   .c = room->scores,
                                                                   .c_row = KEYS });
        return;
    }
    pack_panels(a, room->keys, a->nr, step, x, b->keys, a->size);
    multiply_panels(a, &(struct vlm_gemm_block){ .m = b->n,
                                                 .n = round_up(b->keys, a->nr),
                                                 .k = a->size,
                                                 .a = room->query,
                                                 .b = room->keys,
                                                 .a_step = a->mr * a->depth * a->element,
                                                 .b_step = step,
                                                 .c = room->scores,
                                                 .c_row = KEYS });
}

static void few_values(const struct attention *a, const struct few_block *b, struct few_room *room)
{
    struct vlm_operand x = head_rows(a->of.v, a->of.v_col + b->kv_head * a->size, b->begin);
    struct vlm_operand p = { .f32 = room->scores, .row = KEYS, .col = 1 };
    size_t wide = round_up(a->size, a->nr), step = a->nr * KEYS * a->element;
    size_t probability_step = a->mr * KEYS * a->element;
    pack_panels(a, room->probability, a->mr, probability_step, p, b->n, b->keys);
    if (b->direct) {
        (a->bf16 ? a->kernels->values_bf16 : a->kernels->values_f32)(
            &(struct vlm_attention_values){ .n = b->n,
                                            .a = room->probability,
                                            .rows = x.f32,
                                            .row = x.row,
                                            .keys = b->keys,
                                            .size = a->size,
                                            .c = room->result,
                                            .c_row = wide,
                                            .accumulate = !b->first });
        return;
    }
    pack_panels(a, room->values, a->nr, step, transposed(x), a->size, b->keys);
    multiply_panels(a, &(struct vlm_gemm_block){ .m = b->n,
                                                 .n = wide,
                                                 .k = b->keys,
                                                 .a = room->probability,
                                                 .b = room->values,
                                                 .a_step = probability_step,
                                                 .b_step = step,
                                                 .c = room->result,
                                                 .c_row = wide,
                                                 .accumulate = !b->first });
}

static void attend_few_block(const struct attention *a, const struct few_block *b,
                             struct few_room *room)
{
    size_t wide = round_up(a->size, a->nr);
    few_scores(a, b, room);
    a->kernels->rows(&(struct vlm_attention_rows){ .scores = room->scores,
                                                   .row = KEYS,
                                                   .rows = b->n,
                                                   .keys = b->keys,
                                                   .first = (uint32_t)b->begin,
                                                   .lo = room->lo,
                                                   .count = room->count,
                                                   .factor = a->factor,
                                                   .max = room->max,
                                                   .sum = room->sum,
                                                   .shrink = room->shrink });
    if (!b->first)
        a->kernels->shrink_rows(room->result, wide, b->n, wide, room->shrink);
    few_values(a, b, room);
}

static void attend_few(void *argument, size_t task, size_t worker)
{
    struct forward *f = argument;
    const struct attention *a = f->a;
    size_t kv_head = task / f->units.fews, wide = round_up(a->size, a->nr);
    const struct unit *u = &f->units.few[task % f->units.fews];
    struct few_room room;
    few_layout(&room, f->worker + worker * f->stride, a);
    struct few_block b = { .n = u->rows * a->group, .kv_head = kv_head, .first = true };
    b.direct =
        b.n <= VLM_ATTENTION_DIRECT && a->of.k->dtype == VLM_F32 && a->of.v->dtype == VLM_F32;
    b.width = !b.direct ? a->mr : b.n == 3 ? 4 : b.n; /* a stream's panels: 1, 2 or 4 */
    begin_few(a, u, kv_head, b.width, &room);
    for (size_t block = u->lo / KEYS; block * KEYS < u->hi; block++, b.first = false) {
        size_t origin = block * KEYS, begin = u->lo > origin ? u->lo - origin : 0;
        begin -= begin % ALIGN;
        b.begin = origin + begin;
        b.keys = VLM_MIN(u->hi - origin, (size_t)KEYS) - begin;
        attend_few_block(a, &b, &room);
    }
    for (size_t r = 0, i = 0; r < u->rows; r++)
        for (size_t g = 0; g < a->group; g++, i++) {
            size_t head = kv_head * a->group + g;
            a->kernels->finish(f->out->data + (u->row + r) * a->row_cols + head * a->size,
                               a->row_cols, room.result + i * wide, wide, 1, a->size, room.sum + i);
            save_log_sum(a, head, u->row + r, room.max[i], room.sum[i]);
        }
}

/* ---- the op ---- */

static void mark_used(bool *used, const struct attention *a, const struct units *units)
{
    memset(used, 0, (a->keys + KEYS - 1) / KEYS * sizeof(*used));
    for (size_t i = 0; i < units->panels; i++)
        for (size_t key = units->panel[i].lo; key < units->panel[i].hi;
             key = (key / KEYS + 1) * KEYS)
            used[key / KEYS] = true;
}

/* Scratch depends on shapes only, not on the intervals: a dry tape has none. */
static void forward(struct vlm_tape *tape, const struct attention *a, struct vlm_tensor *out)
{
    struct forward f = { .a = a, .out = out, .packed = packed_layout(a) };
    struct panel_room panel;
    struct few_room few;
    size_t mark = vlm_memory_mark(&tape->scratch);
    size_t blocks = (a->keys + KEYS - 1) / KEYS, heads = a->of.kv_heads;
    bool panels = a->rows > FEW;
    size_t at_once = f.packed.head ? VLM_MAX(PACKED_MAX / f.packed.head, (size_t)1) : heads;
    at_once = VLM_MIN(at_once, heads);
    f.units.panel = vlm_scratch(tape, a->rows, sizeof(struct unit));
    f.units.few = vlm_scratch(tape, a->rows, sizeof(struct unit));
    bool *used = vlm_scratch(tape, blocks, sizeof(bool));
    f.packed.memory = vlm_scratch(tape, panels ? at_once : 0, f.packed.head);
    size_t room = few_layout(&few, NULL, a);
    if (panels)
        room =
            VLM_MAX(room, VLM_MAX(panel_layout(&panel, NULL, a), KEYS * a->size * sizeof(float)));
    f.worker = vlm_scratch_workers(tape, 1, room);
    f.stride = vlm_scratch_stride(1, room);
    if (vlm_tape_runs(tape)) {
        struct vlm_pool *pool = tape->engine->pool;
        cut_rows(&f.units, a);
        mark_used(used, a, &f.units);
        f.used = used;
        for (; f.units.panels && f.first_head < heads; f.first_head += f.kv_heads) {
            f.kv_heads = VLM_MIN(at_once, heads - f.first_head);
            vlm_pool_run(pool, f.kv_heads * blocks, pack_block, &f);
            vlm_pool_run(pool, f.kv_heads * a->group * f.units.panels, attend_panel, &f);
        }
        vlm_pool_run(pool, heads * f.units.fews, attend_few, &f);
    }
    vlm_memory_return(&tape->scratch, mark);
}

static void attention_backward(struct vlm_tape *tape, struct vlm_node *node)
{
    struct attention_node *self = (struct attention_node *)node;
    vlm_attention_gradients(tape, &self->attention, node->out);
}

static void check(const struct vlm_tape *tape, const struct vlm_attention *of)
{
    const struct vlm_tensor *t[] = { of->q, of->k, of->v };
    size_t width[] = { of->q_col + of->heads * of->head_size,
                       of->k_col + of->kv_heads * of->head_size,
                       of->v_col + of->kv_heads * of->head_size };
    VLM_BUG_IF(of->head_size < 1 || of->head_size > VLM_ATTENTION_HEAD_MAX);
    VLM_BUG_IF(of->kv_heads < 1 || of->heads % of->kv_heads != 0 || of->scale < 0);
    VLM_BUG_IF(vlm_tensor_rows(of->k) != vlm_tensor_rows(of->v));
    VLM_BUG_IF(vlm_tensor_rows(of->k) > INT32_MAX || vlm_tensor_rows(of->q) > INT32_MAX);
    for (size_t i = 0; i < VLM_COUNTOF(t); i++) {
        VLM_BUG_IF(width[i] > vlm_tensor_cols(t[i]));
        VLM_BUG_IF(t[i]->dtype == VLM_BF16 && tape->precision != VLM_BF16);
    }
}

struct vlm_tensor *vlm_attention(struct vlm_tape *tape, const struct vlm_attention *of)
{
    check(tape, of);
    const struct vlm_kernels *kernels = tape->engine->kernels;
    struct attention a = { .of = *of,
                           .kernels = kernels->attention,
                           .gemm = kernels->gemm,
                           .bf16 = tape->precision == VLM_BF16,
                           .mr = kernels->gemm->mr,
                           .nr = kernels->gemm->nr,
                           .rows = vlm_tensor_rows(of->q),
                           .keys = vlm_tensor_rows(of->k),
                           .size = of->head_size,
                           .group = of->heads / of->kv_heads,
                           .row_cols = of->heads * of->head_size };
    VLM_BUG_IF(ALIGN % a.mr != 0 || KEYS % a.nr != 0);
    VLM_BUG_IF(VLM_ATTENTION_DIRECT > VLM_MIN(a.mr, a.gemm->stream_rows));
    a.element = a.bf16 ? a.gemm->bf16_bytes : sizeof(float);
    a.depth = a.bf16 ? round_up(a.size, a.gemm->bf16_pair) : a.size;
    a.scale = of->scale > 0 ? of->scale : (float)(1 / sqrt((double)of->head_size));
    a.factor = (float)((double)a.scale * 1.4426950408889634);

    size_t pairs = vlm_tape_runs(tape) ? 0 : a.rows * a.keys; /* a dry run has no intervals */
    for (size_t r = 0; vlm_tape_runs(tape) && r < a.rows; r++)
        pairs += of->lo[r] < of->hi[r] ? of->hi[r] - of->lo[r] : 0;
    tape->flops += 4.0 * (double)pairs * (double)a.row_cols; /* scores, and what they weigh */
    struct vlm_tensor *out = vlm_tensor_matrix(tape, "attention", a.rows, a.row_cols);
    bool needs_grad = of->q->needs_grad || of->k->needs_grad || of->v->needs_grad;
    if (needs_grad && vlm_tape_records(tape))
        a.log_sum = vlm_step_memory(tape, of->heads * a.rows, sizeof(float));
    forward(tape, &a, out);
    struct attention_node *self =
        vlm_record(tape, sizeof(*self), attention_backward, out, needs_grad);
    if (self)
        self->attention = a;
    return out;
}
