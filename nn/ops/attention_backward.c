/* attention_backward.c - the gradients of attention by key intervals.
 *
 * A task is a segment of rows (no key is seen from two segments) and a head of keys with its group
 * of query heads. It goes over blocks of BLOCK_KEYS keys and, for each, over the blocks of
 * BLOCK_ROWS queries that see some of them: a tile. Per tile, five products: scores and their
 * gradients again, and what they add to the gradients of q, k and v. Tiles follow each other in a
 * fixed order, so that all sums have one.
 *
 * In a tile, scores lie as [queries][nr keys], panel by panel: an operand of dV^T [size, keys] =
 * g^T P and dK^T = Q^T dS without being moved; dQ = dS K reads them by rows. Only rows that see a
 * key of the panel are computed. */
#include "base/vlm.h"

#include "nn/ops/attention_internal.h"

enum { BLOCK_ROWS = 96, BLOCK_KEYS = 192 };

struct segment {
    uint32_t row, rows, lo, hi;
};

struct backward {
    const struct attention *a;
    const struct vlm_tensor *out;
    float *dq, *dk, *dv; /* of row 0, head 0; NULL: not wanted */
    size_t q_row, k_row, v_row;
    bool q_add, k_add, v_add; /* to what is there, else it is undefined */
    struct segment *segment;
    size_t segments;
    char *worker;
    size_t stride;
};

/* ---- segments ---- */

/* A row starts a segment when no key of it or of a later row lies before the end of all earlier
 * ones. */
static size_t cut_segments(struct segment *segment, uint32_t *least, const struct attention *a)
{
    uint32_t lowest = UINT32_MAX;
    for (size_t r = a->rows; r-- > 0;) {
        if (visible_keys(a, r))
            lowest = VLM_MIN(lowest, a->of.lo[r]);
        least[r] = lowest;
    }
    size_t n = 0;
    for (size_t r = 0; r < a->rows; r++) {
        struct segment *s = n ? &segment[n - 1] : NULL;
        if (!s || (s->hi && least[r] != UINT32_MAX && s->hi <= least[r])) {
            s = &segment[n++];
            *s = (struct segment){ .row = (uint32_t)r, .lo = UINT32_MAX };
        }
        s->rows++;
        if (visible_keys(a, r)) {
            s->lo = VLM_MIN(s->lo, a->of.lo[r]);
            s->hi = VLM_MAX(s->hi, a->of.hi[r]);
        }
    }
    return n;
}

/* Long segments first, so that the threads end together. */
static int longer(const void *a, const void *b)
{
    const struct segment *s = a, *t = b;
    if (s->rows != t->rows)
        return s->rows > t->rows ? -1 : 1;
    return s->row < t->row ? -1 : 1;
}

static void clear(float *x, size_t row, size_t rows, size_t n)
{
    for (size_t r = 0; x && r < rows; r++)
        memset(x + r * row, 0, n * sizeof(*x));
}

/* Keys that belong to no segment. */
static void clear_unseen(const struct backward *b)
{
    const struct attention *a = b->a;
    size_t end = 0, width = a->of.kv_heads * a->size;
    for (size_t i = 0; i <= b->segments; i++) {
        bool last = i == b->segments;
        if (!last && !b->segment[i].hi)
            continue;
        size_t next = last ? a->keys : b->segment[i].lo;
        if (b->dk && !b->k_add)
            clear(b->dk + end * b->k_row, b->k_row, next - end, width);
        if (b->dv && !b->v_add)
            clear(b->dv + end * b->v_row, b->v_row, next - end, width);
        end = last ? a->keys : b->segment[i].hi;
    }
}

/* ---- memory of a task ---- */

struct room {
    /* Of all blocks of queries of the segment: as rows (A [queries, depth]) and as columns (A
     * [size, queries]), q and the gradient g of the result. */
    char *q_rows, *g_rows, *q_columns, *g_columns;
    float *dot;        /* [rows] */
    uint32_t *count;   /* [rows]: visible keys */
    uint32_t *lo, *hi; /* of each mr rows: union of the intervals */
    /* Of a block of keys: B [keys, depth] of k and v, B [size, keys] of k. */
    char *k_rows, *v_rows, *k_columns;
    float *dq;      /* [rows rounded up to BLOCK_ROWS][size rounded up to nr] */
    float *dk, *dv; /* [BLOCK_KEYS / nr][size][nr] */
    /* Of a tile. */
    float *scores, *gradient; /* [BLOCK_KEYS / nr][BLOCK_ROWS][nr] */
    uint16_t *ds_rows;        /* the same in bf16, where the CPU multiplies pairs */
    float *turned;            /* [nr][size] */
    float *gather;            /* [BLOCK_KEYS][size]: rows of one head, before they are packed */
};

/* Bytes of things above. */
struct steps {
    size_t row_panel, row_block;       /* mr queries; BLOCK_ROWS of them */
    size_t column_panel, column_block; /* mr columns of BLOCK_ROWS queries; all columns */
    size_t key_panel;                  /* nr keys as rows */
    size_t key_column;                 /* nr columns of BLOCK_KEYS keys */
};

static struct steps steps_of(const struct attention *a)
{
    struct steps s = { .row_panel = a->mr * a->depth * a->element,
                       .column_panel = a->mr * BLOCK_ROWS * a->element,
                       .key_panel = a->nr * a->depth * a->element,
                       .key_column = a->nr * BLOCK_KEYS * a->element };
    s.row_block = BLOCK_ROWS / a->mr * s.row_panel;
    s.column_block = (a->size + a->mr - 1) / a->mr * s.column_panel;
    return s;
}

static size_t layout(struct room *room, char *memory, const struct attention *a)
{
    char *at = memory;
    struct steps s = steps_of(a);
    size_t blocks = (a->rows + BLOCK_ROWS - 1) / BLOCK_ROWS, tile = BLOCK_ROWS * BLOCK_KEYS;
    room->q_rows = carve(&at, blocks, s.row_block);
    room->g_rows = carve(&at, blocks, s.row_block);
    room->q_columns = carve(&at, blocks, s.column_block);
    room->g_columns = carve(&at, blocks, s.column_block);
    room->dot = carve(&at, a->rows, sizeof(float));
    room->count = carve(&at, a->rows, sizeof(uint32_t));
    room->lo = carve(&at, blocks * (BLOCK_ROWS / a->mr), sizeof(uint32_t));
    room->hi = carve(&at, blocks * (BLOCK_ROWS / a->mr), sizeof(uint32_t));
    room->k_rows = carve(&at, BLOCK_KEYS / a->nr, s.key_panel);
    room->v_rows = carve(&at, BLOCK_KEYS / a->nr, s.key_panel);
    room->k_columns = carve(&at, (a->size + a->nr - 1) / a->nr, s.key_column);
    room->dq = carve(&at, blocks * BLOCK_ROWS, round_up(a->size, a->nr) * sizeof(float));
    room->dk = carve(&at, BLOCK_KEYS * a->size, sizeof(float));
    room->dv = carve(&at, BLOCK_KEYS * a->size, sizeof(float));
    room->scores = carve(&at, tile, sizeof(float));
    room->gradient = carve(&at, tile, sizeof(float));
    room->ds_rows = carve(&at, a->element == sizeof(uint16_t) ? tile : 0, sizeof(uint16_t));
    room->turned = carve(&at, a->nr * a->size, sizeof(float));
    room->gather = carve(&at, BLOCK_KEYS * a->size, sizeof(float));
    return (size_t)(at - memory);
}

/* ---- one head ---- */

struct head {
    const struct backward *b;
    const struct attention *a;
    const struct segment *segment;
    struct room room;
    struct steps step;
    size_t head, kv_head;
    /* The block of keys that is worked on. */
    size_t first_key, keys;
    bool pairs; /* numbers in panels are bf16 */
};

/* What each mr rows see. */
static void look(struct head *h)
{
    const struct attention *a = h->a;
    const struct segment *s = h->segment;
    for (size_t r = 0; r < s->rows; r += a->mr) {
        uint32_t lo = UINT32_MAX, hi = 0;
        for (size_t i = r; i < VLM_MIN(r + a->mr, (size_t)s->rows); i++) {
            h->room.count[i] = visible_keys(a, s->row + i);
            if (h->room.count[i]) {
                lo = VLM_MIN(lo, a->of.lo[s->row + i]);
                hi = VLM_MAX(hi, a->of.hi[s->row + i]);
            }
        }
        h->room.lo[r / a->mr] = lo;
        h->room.hi[r / a->mr] = hi;
    }
}

/* Queries and gradients both ways, and the dots. */
static void pack_queries(struct head *h)
{
    const struct attention *a = h->a;
    const struct segment *s = h->segment;
    size_t col = h->head * a->size;
    struct vlm_tensor g = *h->b->out;
    g.data = h->b->out->grad;
    for (size_t r = 0; r < s->rows; r += BLOCK_ROWS) {
        size_t n = VLM_MIN(s->rows - r, (size_t)BLOCK_ROWS), block = r / BLOCK_ROWS;
        struct vlm_operand q_rows =
            gathered(h->room.gather, head_rows(a->of.q, a->of.q_col + col, s->row + r), n, a->size);
        pack_panels(a, h->room.q_rows + block * h->step.row_block, a->mr, h->step.row_panel, q_rows,
                    n, a->size);
        pack_panels(a, h->room.q_columns + block * h->step.column_block, a->mr,
                    h->step.column_panel, transposed(q_rows), a->size, n);
        struct vlm_operand g_rows =
            gathered(h->room.gather, head_rows(&g, col, s->row + r), n, a->size);
        pack_panels(a, h->room.g_rows + block * h->step.row_block, a->mr, h->step.row_panel, g_rows,
                    n, a->size);
        pack_panels(a, h->room.g_columns + block * h->step.column_block, a->mr,
                    h->step.column_panel, transposed(g_rows), a->size, n);
        a->kernels->dots(h->room.dot + r, g_rows.f32, g_rows.row,
                         h->b->out->data + (s->row + r) * a->row_cols + col, a->row_cols, n,
                         a->size, a->scale);
    }
}

static void pack_keys(struct head *h)
{
    const struct attention *a = h->a;
    size_t col = h->kv_head * a->size;
    struct vlm_operand v = gathered(
        h->room.gather, head_rows(a->of.v, a->of.v_col + col, h->first_key), h->keys, a->size);
    pack_panels(a, h->room.v_rows, a->nr, h->step.key_panel, v, h->keys, a->size);
    struct vlm_operand k = gathered(
        h->room.gather, head_rows(a->of.k, a->of.k_col + col, h->first_key), h->keys, a->size);
    pack_panels(a, h->room.k_rows, a->nr, h->step.key_panel, k, h->keys, a->size);
    pack_panels(a, h->room.k_columns, a->nr, h->step.key_column, transposed(k), a->size, h->keys);
}

/* Rows [from, to) of a tile, multiples of mr or its end, that see a key of the panel. */
struct range {
    size_t from, to;
};

static struct range rows_that_see(const struct head *h, size_t block, size_t rows, size_t panel)
{
    size_t mr = h->a->mr, first = block * BLOCK_ROWS / mr;
    size_t lo = h->first_key + panel * h->a->nr;
    size_t hi = VLM_MIN(lo + h->a->nr, h->first_key + h->keys);
    struct range range = { rows, 0 };
    for (size_t r = 0; r < rows; r += mr)
        if (h->room.lo[first + r / mr] < hi && h->room.hi[first + r / mr] > lo) {
            range.from = VLM_MIN(range.from, r);
            range.to = VLM_MIN(r + mr, rows);
        }
    return range;
}

/* Scores and gradients of a panel of keys for rows `range` of a block of queries, and what they add
 * to dk and dv. */
static void panel_of_keys(struct head *h, size_t block, struct range range, size_t panel)
{
    const struct attention *a = h->a;
    size_t n = range.to - range.from, row = block * BLOCK_ROWS + range.from;
    size_t at = (panel * BLOCK_ROWS + range.from) * a->nr;
    size_t rows_at = block * h->step.row_block + range.from / a->mr * h->step.row_panel;
    size_t columns_at = block * h->step.column_block + range.from * a->mr * a->element;
    struct vlm_gemm_block product = { .m = n,
                                      .n = a->nr,
                                      .k = a->size,
                                      .a = h->room.q_rows + rows_at,
                                      .b = h->room.k_rows + panel * h->step.key_panel,
                                      .a_step = h->step.row_panel,
                                      .c = h->room.scores + at,
                                      .c_row = a->nr };
    multiply_panels(a, &product);
    product.a = h->room.g_rows + rows_at;
    product.b = h->room.v_rows + panel * h->step.key_panel;
    product.c = h->room.gradient + at;
    multiply_panels(a, &product);

    (a->bf16 ? a->kernels->gradient_bf16
             : a->kernels->gradient_f32)(&(struct vlm_attention_gradient){
        .scores = h->room.scores + at,
        .gradient = h->room.gradient + at,
        .ds_rows = h->room.ds_rows + at,
        .rows = n,
        .first = (uint32_t)(h->first_key + panel * a->nr),
        .lo = a->of.lo + h->segment->row + row,
        .count = h->room.count + row,
        .log_sum = a->log_sum + h->head * a->rows + h->segment->row + row,
        .dot = h->room.dot + row,
        .factor = a->factor,
        .scale = a->scale });

    product = (struct vlm_gemm_block){ .m = a->size,
                                       .n = a->nr,
                                       .k = n,
                                       .a = h->room.g_columns + columns_at,
                                       .b = h->room.scores + at,
                                       .a_step = h->step.column_panel,
                                       .c = h->room.dv + panel * a->size * a->nr,
                                       .c_row = a->nr,
                                       .accumulate = true };
    if (h->b->dv)
        multiply_panels(a, &product);
    product.a = h->room.q_columns + columns_at;
    product.b = h->room.gradient + at;
    product.c = h->room.dk + panel * a->size * a->nr;
    if (h->b->dk)
        multiply_panels(a, &product);
}

/* dQ of mr rows, from the panels of keys that they see. */
static void panel_of_queries(struct head *h, size_t block, size_t row, const struct range *range)
{
    const struct attention *a = h->a;
    size_t panels = (h->keys + a->nr - 1) / a->nr, first = panels, end = 0;
    for (size_t p = 0; p < panels; p++)
        if (range[p].from <= row && row < range[p].to) {
            first = VLM_MIN(first, p);
            end = p + 1;
        }
    size_t row_bytes = a->nr * (h->pairs ? sizeof(uint16_t) : sizeof(float));
    char *ds = h->pairs ? (char *)h->room.ds_rows : (char *)h->room.gradient;
    for (size_t p = first; p < end; p++) /* a hole in what they see */
        if (row < range[p].from || row >= range[p].to)
            memset(ds + (p * BLOCK_ROWS + row) * row_bytes, 0, a->mr * row_bytes);
    if (first >= end)
        return;
    size_t wide = round_up(a->size, a->nr);
    (a->bf16 ? a->kernels->queries_bf16 : a->kernels->queries_f32)(&(struct vlm_attention_queries){
        .ds = ds + (first * BLOCK_ROWS + row) * row_bytes,
        .panel_step = BLOCK_ROWS * row_bytes,
        .keys = VLM_MIN(end * a->nr, h->keys) - first * a->nr,
        .n = wide,
        .b = h->room.k_columns + first * a->nr * a->nr * a->element,
        .b_step = h->step.key_column,
        .c = h->room.dq + (block * BLOCK_ROWS + row) * wide });
}

static void work_on_tile(struct head *h, size_t block)
{
    const struct attention *a = h->a;
    size_t rows = VLM_MIN(h->segment->rows - block * BLOCK_ROWS, (size_t)BLOCK_ROWS);
    size_t panels = (h->keys + a->nr - 1) / a->nr;
    struct range range[BLOCK_KEYS];
    for (size_t p = 0; p < panels; p++) {
        range[p] = rows_that_see(h, block, rows, p);
        if (range[p].from < range[p].to)
            panel_of_keys(h, block, range[p], p);
    }
    for (size_t r = 0; h->b->dq && r < rows; r += a->mr)
        panel_of_queries(h, block, r, range);
}

/* Turns dK^T or dV^T of the block and adds it to the rows of the gradient, or stores it there. */
static void put_keys(struct head *h, float *to, size_t to_row, const float *from, bool add)
{
    const struct attention *a = h->a;
    for (size_t i = 0; i < h->keys; i += a->nr) {
        a->gemm->pack_f32(h->room.turned, a->size, from + i * a->size, a->size, a->nr, a->nr, 1);
        a->kernels->put(to + (h->first_key + i) * to_row + h->kv_head * a->size, to_row,
                        h->room.turned, a->size, VLM_MIN(a->nr, h->keys - i), a->size, add);
    }
}

static void work_on_head(struct head *h)
{
    const struct attention *a = h->a;
    const struct backward *b = h->b;
    bool add = h->head % a->group > 0; /* a head before added to these keys */
    size_t blocks = (h->segment->rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    size_t wide = round_up(a->size, a->nr);
    memset(h->room.dq, 0, blocks * BLOCK_ROWS * wide * sizeof(float));
    look(h);
    pack_queries(h);
    for (size_t key = h->segment->lo; key < h->segment->hi; key += BLOCK_KEYS) {
        h->first_key = key;
        h->keys = VLM_MIN(h->segment->hi - key, (size_t)BLOCK_KEYS);
        pack_keys(h);
        memset(h->room.dk, 0, BLOCK_KEYS * a->size * sizeof(float));
        memset(h->room.dv, 0, BLOCK_KEYS * a->size * sizeof(float));
        for (size_t block = 0; block < blocks; block++)
            work_on_tile(h, block);
        if (b->dk)
            put_keys(h, b->dk, b->k_row, h->room.dk, b->k_add || add);
        if (b->dv)
            put_keys(h, b->dv, b->v_row, h->room.dv, b->v_add || add);
    }
    if (b->dq)
        a->kernels->put(b->dq + h->segment->row * b->q_row + h->head * a->size, b->q_row,
                        h->room.dq, wide, h->segment->rows, a->size, b->q_add);
}

static void work_on_segment(void *argument, size_t task, size_t worker)
{
    const struct backward *b = argument;
    struct head h = { .b = b,
                      .a = b->a,
                      .segment = &b->segment[task / b->a->of.kv_heads],
                      .step = steps_of(b->a),
                      .pairs = b->a->element == sizeof(uint16_t),
                      .kv_head = task % b->a->of.kv_heads };
    layout(&h.room, b->worker + worker * b->stride, b->a);
    for (size_t g = 0; g < b->a->group; g++) {
        h.head = h.kv_head * b->a->group + g;
        work_on_head(&h);
    }
}

/* ---- where the gradients go ---- */

/* The gradient of t, in which columns [col, col + width) are to be written: *add says whether they
 * hold something. Other columns are defined afterwards: with zeros, if t is not one of the other
 * operands that fill it. */
static float *begin_gradient(struct vlm_tape *tape, struct vlm_tensor *t, size_t filled, bool *add)
{
    bool accumulate;
    float *grad = vlm_grad_begin(tape, t, &accumulate);
    *add = accumulate;
    if (grad && !accumulate && filled < vlm_tensor_cols(t)) {
        memset(grad, 0, vlm_tensor_count(t) * sizeof(float));
        *add = true;
    }
    return grad;
}

static void begin_gradients(struct vlm_tape *tape, const struct attention *a, struct backward *b)
{
    struct vlm_tensor *t[] = { a->of.q, a->of.k, a->of.v };
    const size_t col[] = { a->of.q_col, a->of.k_col, a->of.v_col };
    const size_t width[] = { a->row_cols, a->of.kv_heads * a->size, a->of.kv_heads * a->size };
    float **gradient[] = { &b->dq, &b->dk, &b->dv };
    size_t *row[] = { &b->q_row, &b->k_row, &b->v_row };
    bool *add[] = { &b->q_add, &b->k_add, &b->v_add };
    for (size_t i = 0; i < 3; i++) {
        size_t filled = 0, same = i;
        for (size_t j = 0; j < 3; j++) {
            if (t[j] != t[i])
                continue;
            VLM_BUG_IF(j != i && t[i]->needs_grad && col[i] < col[j] + width[j] &&
                       col[j] < col[i] + width[i]);
            same = VLM_MIN(same, j);
            filled += width[j];
        }
        float *begin;
        if (same < i) {
            begin = *gradient[same] ? *gradient[same] - col[same] : NULL;
            *add[i] = *add[same];
        } else {
            begin = begin_gradient(tape, t[i], filled, add[i]);
        }
        *gradient[i] = begin ? begin + col[i] : NULL;
        *row[i] = vlm_tensor_cols(t[i]);
    }
}

void vlm_attention_gradients(struct vlm_tape *tape, const struct attention *a,
                             const struct vlm_tensor *out)
{
    struct backward b = { .a = a, .out = out };
    struct room room;
    size_t mark = vlm_memory_mark(&tape->scratch);
    begin_gradients(tape, a, &b);
    b.segment = vlm_scratch(tape, a->rows, sizeof(*b.segment));
    uint32_t *least = vlm_scratch(tape, a->rows, sizeof(*least));
    size_t bytes = layout(&room, NULL, a);
    b.worker = vlm_scratch_workers(tape, 1, bytes);
    b.stride = vlm_scratch_stride(1, bytes);
    if (vlm_tape_runs(tape)) {
        VLM_BUG_IF(BLOCK_ROWS % a->mr != 0 || BLOCK_KEYS % a->nr != 0);
        b.segments = cut_segments(b.segment, least, a);
        clear_unseen(&b);
        qsort(b.segment, b.segments, sizeof(*b.segment), longer);
        vlm_pool_run(tape->engine->pool, b.segments * a->of.kv_heads, work_on_segment, &b);
    }
    vlm_memory_return(&tape->scratch, mark);
}
