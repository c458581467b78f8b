/* test_attention.c - attention by key intervals against a plain loop in double precision, for every
 * kind of kernels, mask and shape; gradients also by finite differences; bits. */
#include "base/vlm.h"

#include "tests/nn_fixture.h"

#include "nn/ops/attention.h"

static const char *const every_kernel[] = { "plain", "avx2", "avx512", "avx512-bf16" };

/* ---- masks ---- */

enum mask {
    CAUSAL,
    PREFIX,    /* the first third sees itself whole */
    DOCUMENTS, /* packed, of lengths 1, 2, 4, ... */
    PADDING,   /* everybody sees the first three quarters */
    IMAGES,    /* runs of 5 rows see the 7 keys of the last image; the first run none */
    EMPTY,     /* every third row sees nothing, nor do the last ones; one has lo > hi */
    CROSS,     /* everything */
    SCATTERED, /* pseudo-random intervals */
    SLOTS,     /* one row for each sequence, in slots of a cache, last slot first */
    NOTHING,
    MASKS,
};

static void set_row(enum mask mask, uint32_t r, uint32_t rows, uint32_t keys, uint32_t *lo,
                    uint32_t *hi)
{
    uint32_t length = 1, begin = 0, slot = keys / 8;
    *lo = 0, *hi = VLM_MIN(r + 1, keys);
    switch (mask) {
    case PREFIX:
        *hi = VLM_MIN(VLM_MAX(rows / 3, r + 1), keys);
        break;
    case DOCUMENTS:
        while (begin + length <= r)
            begin += length, length = length < 64 ? 2 * length : 1;
        *lo = VLM_MIN(begin, keys);
        break;
    case PADDING:
        *hi = keys - keys / 4;
        break;
    case IMAGES:
        *lo = VLM_MIN(r / 5 * 7, keys), *hi = r < 5 ? 0 : VLM_MIN(*lo + 7, keys);
        break;
    case EMPTY:
        if (r % 3 == 1 || r + 4 > rows)
            *lo = *hi;
        if (r == 1)
            *lo = 1, *hi = 0;
        break;
    case CROSS:
        *hi = keys;
        break;
    case SCATTERED:
        *lo = (uint32_t)(((uint64_t)r * 2654435761U >> 8) % (keys + 1));
        *hi = (uint32_t)(((uint64_t)(r + 7) * 2246822519U >> 8) % (keys + 1));
        break;
    case SLOTS:
        *lo = (7 - r % 8) * slot, *hi = *lo + 1 + r * 37 % VLM_MAX(slot, 1U);
        *hi = VLM_MIN(*hi, keys);
        break;
    case NOTHING:
        *hi = 0;
        break;
    default:
        break;
    }
}

/* ---- a case ---- */

struct shape {
    uint32_t rows, keys, heads, kv_heads, size;
    enum mask mask;
    bool packed; /* q, k and v in one tensor; then keys = rows */
};

struct trial {
    struct shape shape;
    struct vlm_attention attention;
    uint32_t *lo, *hi;
};

static struct vlm_tensor *run_trial(struct vlm_tape *tape, void *context)
{
    struct trial *trial = context;
    return vlm_attention(tape, &trial->attention);
}

/* Columns that attention does not read lie around those that it does. */
static void begin_trial(struct trial *trial, struct nn *nn, const struct shape *shape)
{
    size_t q_width = shape->heads * shape->size, k_width = shape->kv_heads * shape->size;
    *trial = (struct trial){ .shape = *shape };
    trial->lo = calloc(shape->rows + 1, sizeof(uint32_t));
    trial->hi = calloc(shape->rows + 1, sizeof(uint32_t));
    assert_true(trial->lo && trial->hi);
    for (uint32_t r = 0; r < shape->rows; r++)
        set_row(shape->mask, r, shape->rows, shape->keys, &trial->lo[r], &trial->hi[r]);
    struct vlm_attention *a = &trial->attention;
    *a = (struct vlm_attention){ .heads = shape->heads,
                                 .kv_heads = shape->kv_heads,
                                 .head_size = shape->size,
                                 .lo = trial->lo,
                                 .hi = trial->hi };
    if (shape->packed) {
        a->q = a->k = a->v =
            nn_tensor(nn, 2, (size_t[]){ shape->rows, q_width + 2 * k_width + shape->rows % 2 });
        a->v_col = q_width, a->k_col = q_width + k_width;
    } else {
        a->q = nn_tensor(nn, 2, (size_t[]){ shape->rows, q_width + 3 });
        a->k = nn_tensor(nn, 2, (size_t[]){ shape->keys, k_width });
        a->v = nn_tensor(nn, 2, (size_t[]){ shape->keys, k_width + 1 });
        a->q_col = 2, a->v_col = 1;
    }
}

static void end_trial(struct trial *trial)
{
    free(trial->lo);
    free(trial->hi);
}

/* ---- the plain loop ---- */

struct expected {
    double *out, *dq, *dk,
        *dv; /* gradients as large as their tensors, dq of all three when packed */
};

static double element(const struct vlm_tensor *t, size_t row, size_t col)
{
    return (double)t->data[row * vlm_tensor_cols(t) + col];
}

static void expect_row(struct expected *e, const struct trial *trial, size_t r, size_t head,
                       double *p)
{
    const struct vlm_attention *a = &trial->attention;
    size_t size = a->head_size, out_cols = a->heads * size;
    size_t q = a->q_col + head * size, kv = head / (a->heads / a->kv_heads) * size;
    size_t k = a->k_col + kv, v = a->v_col + kv;
    double scale = a->scale > 0 ? (double)a->scale : 1 / sqrt((double)size), max = -INFINITY;
    double sum = 0, dot = 0;
    for (size_t j = a->lo[r]; j < a->hi[r]; j++) {
        p[j] = 0;
        for (size_t c = 0; c < size; c++)
            p[j] += element(a->q, r, q + c) * element(a->k, j, k + c);
        p[j] *= scale;
        max = fmax(max, p[j]);
    }
    for (size_t j = a->lo[r]; j < a->hi[r]; j++)
        sum += p[j] = exp(p[j] - max);
    double *out = e->out + r * out_cols + head * size;
    for (size_t j = a->lo[r]; j < a->hi[r]; j++)
        for (size_t c = 0; c < size; c++)
            out[c] += p[j] / sum * element(a->v, j, v + c);
    for (size_t c = 0; c < size; c++)
        dot += out[c] * (double)nn_random(7, r * out_cols + head * size + c);
    for (size_t j = a->lo[r]; j < a->hi[r]; j++) {
        double dp = 0;
        for (size_t c = 0; c < size; c++) {
            double g = (double)nn_random(7, r * out_cols + head * size + c);
            dp += g * element(a->v, j, v + c);
            e->dv[j * vlm_tensor_cols(a->v) + v + c] += p[j] / sum * g;
        }
        double ds = p[j] / sum * (dp - dot) * scale;
        for (size_t c = 0; c < size; c++) {
            e->dq[r * vlm_tensor_cols(a->q) + q + c] += ds * element(a->k, j, k + c);
            e->dk[j * vlm_tensor_cols(a->k) + k + c] += ds * element(a->q, r, q + c);
        }
    }
}

static void expect(struct expected *e, const struct trial *trial)
{
    const struct vlm_attention *a = &trial->attention;
    size_t rows = trial->shape.rows, out = rows * a->heads * a->head_size;
    double *p = calloc(trial->shape.keys + 1, sizeof(*p));
    e->out = calloc(out + 1, sizeof(double));
    e->dq = calloc(vlm_tensor_count(a->q) + 1, sizeof(double));
    e->dk = a->k == a->q ? e->dq : calloc(vlm_tensor_count(a->k) + 1, sizeof(double));
    e->dv = a->v == a->q ? e->dq : calloc(vlm_tensor_count(a->v) + 1, sizeof(double));
    assert_true(p && e->out && e->dq && e->dk && e->dv);
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h < a->heads; h++)
            expect_row(e, trial, r, h, p);
    free(p);
}

static void forget(struct expected *e)
{
    if (e->dk != e->dq)
        free(e->dk);
    if (e->dv != e->dq)
        free(e->dv);
    free(e->dq);
    free(e->out);
}

/* Runs forward only and copies the result. */
static float *forward(struct nn *nn, struct trial *trial)
{
    struct vlm_err err = { 0 };
    struct vlm_tensor *y = vlm_attention(&nn->tape, &trial->attention);
    assert_int_equal(vlm_tape_error(&nn->tape, &err), VLM_OK);
    size_t bytes = vlm_tensor_count(y) * sizeof(float);
    float *copy = malloc(bytes + 1);
    assert_non_null(copy);
    memcpy(copy, y->data, bytes);
    vlm_tape_reset(&nn->tape);
    return copy;
}

static void check_shape(const char *kernels, enum vlm_dtype precision, const struct shape *shape,
                        double tolerance)
{
    struct nn nn;
    nn_begin_with(&nn, kernels, 1, precision, 0);
    if (!nn.skip) {
        struct trial trial;
        struct expected e;
        begin_trial(&trial, &nn, shape);
        const struct vlm_attention *a = &trial.attention;
        expect(&e, &trial);
        float *out = forward(&nn, &trial);
        nn_check_close(out, e.out, shape->rows * a->heads * a->head_size, tolerance);
        nn_backward(&nn, run_trial, &trial);
        nn_check_close(a->q->grad, e.dq, vlm_tensor_count(a->q), 3 * tolerance);
        nn_check_close(a->k->grad, e.dk, vlm_tensor_count(a->k), 3 * tolerance);
        nn_check_close(a->v->grad, e.dv, vlm_tensor_count(a->v), 3 * tolerance);
        free(out);
        forget(&e);
        end_trial(&trial);
    }
    nn_end(&nn);
}

static const struct shape some_shapes[] = {
    { 1, 1, 1, 1, 1, CAUSAL, false },         { 1, 1, 1, 1, 3, CROSS, true },
    { 2, 5, 1, 1, 3, CROSS, false },          { 13, 13, 2, 1, 8, CAUSAL, true },
    { 37, 37, 2, 2, 16, CAUSAL, true },       { 33, 150, 3, 1, 8, CROSS, false },
    { 100, 100, 2, 1, 37, CAUSAL, true },     { 129, 129, 1, 1, 64, CAUSAL, true },
    { 250, 250, 1, 1, 8, PREFIX, true },      { 200, 200, 2, 2, 16, DOCUMENTS, true },
    { 61, 300, 4, 2, 16, PADDING, false },    { 64, 100, 2, 1, 16, IMAGES, false },
    { 70, 70, 1, 1, 64, EMPTY, true },        { 25, 270, 2, 2, 37, SCATTERED, false },
    { 110, 400, 1, 1, 16, SCATTERED, false }, { 8, 1500, 4, 2, 16, SLOTS, false },
    { 24, 300, 2, 1, 128, CROSS, false },     { 25, 140, 1, 1, 128, CAUSAL, false },
    { 30, 131, 1, 1, 512, CROSS, false },     { 5, 260, 1, 1, 512, CROSS, false },
    { 40, 40, 2, 1, 8, NOTHING, true },       { 3, 9, 1, 1, 8, NOTHING, false },
    { 0, 9, 1, 1, 8, CROSS, false },          { 9, 0, 1, 1, 8, CROSS, false },
    { 0, 0, 2, 1, 8, CROSS, true },           { 100, 7, 1, 1, 16, CROSS, false },
    { 300, 300, 1, 1, 3, CAUSAL, true },      { 193, 193, 2, 1, 1, PREFIX, true },
};

static void equals_a_plain_loop(void **state)
{
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (size_t i = 0; i < VLM_COUNTOF(some_shapes); i++)
            check_shape(every_kernel[k], VLM_F32, &some_shapes[i], 5e-6);
}

static void equals_a_plain_loop_in_bf16(void **state)
{
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (size_t i = 0; i < VLM_COUNTOF(some_shapes); i++)
            check_shape(every_kernel[k], VLM_BF16, &some_shapes[i], 0.02);
}

static void gradients_by_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5; i++) {
        struct nn nn;
        struct trial trial;
        nn_begin(&nn, NULL, 1);
        begin_trial(&trial, &nn, &some_shapes[i]);
        trial.attention.scale = 0.7f;
        nn_check_gradients(&nn, run_trial, &trial, 1e-2, 1e-3);
        end_trial(&trial);
        nn_end(&nn);
    }
}

/* ---- bits ---- */

static void same_bits_for_all_threads(void **state)
{
    (void)state;
    static const size_t threads[] = { 1, 2, 3, 7 };
    static const struct shape shapes[] = { { 200, 200, 4, 2, 16, DOCUMENTS, true },
                                           { 300, 300, 2, 1, 37, CAUSAL, true },
                                           { 20, 500, 4, 2, 64, SLOTS, false } };
    for (size_t s = 0; s < VLM_COUNTOF(shapes); s++)
        for (unsigned precision = VLM_F32; precision <= VLM_BF16; precision++) {
            float *out = NULL, *gradient[3] = { NULL };
            for (size_t t = 0; t < VLM_COUNTOF(threads); t++) {
                struct nn nn;
                struct trial trial;
                nn_begin_with(&nn, NULL, threads[t], precision, 0);
                begin_trial(&trial, &nn, &shapes[s]);
                float *again = forward(&nn, &trial);
                nn_backward(&nn, run_trial, &trial);
                size_t n = (size_t)shapes[s].rows * shapes[s].heads * shapes[s].size;
                if (out)
                    nn_check_bits(again, out, n);
                for (size_t i = 0; i < nn.n_tensors; i++) {
                    n = vlm_tensor_count(nn.tensor[i]);
                    if (t)
                        nn_check_bits(nn.tensor[i]->grad, gradient[i], n);
                    free(gradient[i]);
                    gradient[i] = nn.tensor[i]->grad;
                    nn.tensor[i]->grad = NULL;
                }
                free(out);
                out = again;
                end_trial(&trial);
                nn_end(&nn);
            }
            free(out);
            for (size_t i = 0; i < 3; i++)
                free(gradient[i]);
        }
}

/* Every row by itself, with a tensor q of that one row, gives what it gives among others: so the short
 * runs and the panels do the same, too. */
static void check_alone(const char *kernels, enum vlm_dtype precision, const struct shape *shape)
{
    struct nn nn;
    nn_begin_with(&nn, kernels, 1, precision, VLM_TAPE_FORWARD);
    if (!nn.skip) {
        struct trial trial;
        begin_trial(&trial, &nn, shape);
        size_t cols = vlm_tensor_cols(trial.attention.q), out = shape->heads * shape->size;
        float *all = forward(&nn, &trial);
        for (size_t r = 0; r < shape->rows; r++) {
            struct vlm_tensor row = *trial.attention.q;
            struct trial alone = trial;
            row.shape[0] = 1;
            row.data += r * cols;
            alone.attention.q = &row;
            alone.attention.lo += r;
            alone.attention.hi += r;
            float *one = forward(&nn, &alone);
            nn_check_bits(one, all + r * out, out);
            free(one);
        }
        free(all);
        end_trial(&trial);
    }
    nn_end(&nn);
}

static void same_bits_alone_and_among_others(void **state)
{
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (unsigned precision = VLM_F32; precision <= VLM_BF16; precision++)
            for (size_t i = 0; i < VLM_COUNTOF(some_shapes); i++)
                if (some_shapes[i].size <= 64)
                    check_alone(every_kernel[k], precision, &some_shapes[i]);
}

/* A sequence that moves by a multiple of the block keeps its bits: the same rows in a slot of a cache. */
static void same_bits_in_another_slot(void **state)
{
    (void)state;
    enum { ROWS = 150, SIZE = 16, SLOT = 2 * VLM_ATTENTION_KEYS };
    struct nn nn;
    struct trial trial;
    nn_begin_with(&nn, NULL, 1, VLM_F32, VLM_TAPE_FORWARD);
    begin_trial(&trial, &nn, &(struct shape){ ROWS, ROWS, 1, 1, SIZE, CAUSAL, false });
    struct vlm_tensor *k = nn_tensor(&nn, 2, (size_t[]){ 3 * SLOT, SIZE });
    struct vlm_tensor *v = nn_tensor(&nn, 2, (size_t[]){ 3 * SLOT, SIZE + 1 });
    memcpy(k->data + SLOT * SIZE, trial.attention.k->data, sizeof(float) * ROWS * SIZE);
    memcpy(v->data + SLOT * (SIZE + 1), trial.attention.v->data, sizeof(float) * ROWS * (SIZE + 1));
    float *here = forward(&nn, &trial);
    trial.attention.k = k, trial.attention.v = v;
    for (size_t r = 0; r < ROWS; r++)
        trial.lo[r] += SLOT, trial.hi[r] += SLOT;
    float *there = forward(&nn, &trial);
    nn_check_bits(there, here, ROWS * SIZE);
    free(here);
    free(there);
    end_trial(&trial);
    nn_end(&nn);
}

/* ---- NaN, infinity, memory ---- */

static void passes_on_nan_and_infinity(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY, -NAN };
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (unsigned precision = VLM_F32; precision <= VLM_BF16; precision++)
            for (size_t i = 0; i < 6 * VLM_COUNTOF(bad); i++) {
                uint32_t rows = i % 2 ? 10 : 40; /* both paths */
                struct nn nn;
                struct trial trial;
                nn_begin_with(&nn, every_kernel[k], 1, precision, 0);
                if (nn.skip) {
                    nn_end(&nn);
                    continue;
                }
                begin_trial(&trial, &nn, &(struct shape){ rows, rows, 1, 1, 16, CAUSAL, false });
                /* Documents: rows 0 to 4, and the rest. */
                for (uint32_t r = 5; r < rows; r++)
                    trial.lo[r] = 5;
                struct vlm_tensor *t = nn.tensor[i / 2 % 3];
                for (size_t j = 0; j < vlm_tensor_count(trial.attention.q); j++)
                    trial.attention.q->data[j] = fabsf(trial.attention.q->data[j]);
                t->data[7 * vlm_tensor_cols(t) + 3] = bad[i / 6];
                float *out = forward(&nn, &trial);
                bool one_row = t == trial.attention.q;
                for (size_t c = 0; c < 16; c++) {
                    assert_true(isfinite(out[c]) && isfinite(out[4 * 16 + c]));
                    bool column = t == trial.attention.v && c != 2;
                    if (!column)
                        assert_true(!isfinite(out[7 * 16 + c]));
                    if (!column && !one_row)
                        assert_true(!isfinite(out[(rows - 1) * 16 + c]));
                }
                nn_backward(&nn, run_trial, &trial);
                assert_true(!isfinite(trial.attention.k->grad[7 * 16]));
                assert_true(isfinite(trial.attention.k->grad[0]));
                free(out);
                end_trial(&trial);
                nn_end(&nn);
            }
}

/* Keys that a row does not see, and never written slots of a cache, may hold anything. */
static void ignores_what_no_row_sees(void **state)
{
    (void)state;
    for (unsigned precision = VLM_F32; precision <= VLM_BF16; precision++)
        for (uint32_t rows = 1; rows <= 33; rows += 32) {
            struct nn nn;
            struct trial trial;
            nn_begin_with(&nn, NULL, 1, precision, VLM_TAPE_FORWARD);
            begin_trial(&trial, &nn, &(struct shape){ rows, 700, 2, 1, 16, CROSS, false });
            for (size_t r = 0; r < rows; r++)
                trial.lo[r] = 260, trial.hi[r] = 390;
            float *before = forward(&nn, &trial);
            struct vlm_tensor *t[] = { trial.attention.k, trial.attention.v };
            for (size_t i = 0; i < 2; i++)
                for (size_t j = 0; j < 700; j++)
                    for (size_t c = 0; c < vlm_tensor_cols(t[i]) && (j < 250 || j >= 390); c++)
                        t[i]->data[j * vlm_tensor_cols(t[i]) + c] = NAN;
            float *after = forward(&nn, &trial);
            nn_check_bits(after, before, (size_t)rows * 32);
            free(before);
            free(after);
            end_trial(&trial);
            nn_end(&nn);
        }
}

/* Scores far apart: the running maximum rises from block to block, and falls. */
static void keeps_its_range(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        struct nn nn;
        struct trial trial;
        struct expected e;
        nn_begin(&nn, NULL, 1);
        begin_trial(&trial, &nn, &(struct shape){ 40, 500, 1, 1, 8, CROSS, false });
        struct vlm_attention *a = &trial.attention;
        for (size_t i = 0; i < vlm_tensor_count(a->q); i++)
            a->q->data[i] = fabsf(a->q->data[i]) + 1;
        for (size_t j = 0; j < 500; j++)
            for (size_t c = 0; c < 8; c++)
                a->k->data[j * 8 + c] = (float)sign * (float)j / 4;
        expect(&e, &trial);
        float *out = forward(&nn, &trial);
        nn_check_close(out, e.out, 40 * 8, 1e-3);
        free(out);
        forget(&e);
        end_trial(&trial);
        nn_end(&nn);
    }
}

static void dry_tape_counts_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(some_shapes); i++) {
        size_t peak[2];
        for (unsigned dry = 0; dry < 2; dry++) {
            struct nn nn;
            struct trial trial;
            nn_begin_with(&nn, NULL, 2, i % 2 ? VLM_BF16 : VLM_F32, dry ? VLM_TAPE_DRY : 0);
            begin_trial(&trial, &nn, &some_shapes[i]);
            nn_backward(&nn, run_trial, &trial);
            peak[dry] = vlm_tape_peak(&nn.tape);
            end_trial(&trial);
            nn_end(&nn);
        }
        assert_int_equal(peak[0], peak[1]);
    }
}

/* Two uses of one tensor add up, also when the tensor is not a parameter but a result whose gradient
 * begins undefined. */
static struct vlm_tensor *twice(struct vlm_tape *tape, void *context)
{
    struct trial *trial = context;
    struct vlm_attention second = trial->attention;
    second.q = vlm_attention(tape, &trial->attention);
    second.q_col = 0;
    second.k = second.v = second.q;
    second.heads = second.kv_heads = 1;
    second.k_col = 2 * second.head_size; /* columns between are used by nobody */
    second.v_col = 3 * second.head_size;
    return vlm_attention(tape, &second);
}

static void gradients_of_results(void **state)
{
    (void)state;
    struct nn nn;
    struct trial trial;
    nn_begin(&nn, NULL, 1);
    begin_trial(&trial, &nn, &(struct shape){ 9, 9, 4, 2, 3, CAUSAL, true });
    trial.lo[8] = 9;
    nn_check_gradients(&nn, twice, &trial, 1e-2, 1e-3);
    end_trial(&trial);
    nn_end(&nn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_plain_loop),
        cmocka_unit_test(equals_a_plain_loop_in_bf16),
        cmocka_unit_test(gradients_by_differences),
        cmocka_unit_test(same_bits_for_all_threads),
        cmocka_unit_test(same_bits_alone_and_among_others),
        cmocka_unit_test(same_bits_in_another_slot),
        cmocka_unit_test(passes_on_nan_and_infinity),
        cmocka_unit_test(ignores_what_no_row_sees),
        cmocka_unit_test(keeps_its_range),
        cmocka_unit_test(dry_tape_counts_the_same),
        cmocka_unit_test(gradients_of_results),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
