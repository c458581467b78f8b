/* test_rows.c - embedding, gather, scatter, concatenation, means, l2 norms and dropout. */
#include "base/vlm.h"

#include "tests/nn_fixture.h"

#include "nn/ops/activation.h"
#include "nn/ops/dropout.h"
#include "nn/ops/embedding.h"
#include "nn/ops/rows.h"

static const char *const every_kernel[] = { "plain", "avx2", "avx512", "avx512-bf16" };

struct op {
    struct vlm_tensor *x, *base;
    const uint32_t *index, *end;
    size_t rows;
};

static struct vlm_tensor *run_embedding(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_embedding(tape, op->x, op->index, op->rows);
}

static struct vlm_tensor *run_scatter(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_scatter_rows(tape, op->base, op->base ? vlm_tensor_rows(op->base) : 11, op->x,
                            op->index);
}

static struct vlm_tensor *run_concat(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    struct vlm_tensor *part[] = { op->x, op->base, op->x };
    return vlm_concat_rows(tape, 3, part);
}

static struct vlm_tensor *run_mean(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_mean_rows(tape, op->x, op->index, op->end, op->rows);
}

static struct vlm_tensor *run_l2(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_l2_normalise(tape, op->x, 1e-12f);
}

static struct vlm_tensor *run_dropout(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_dropout(tape, op->x, 0.3f);
}

/* Gradients of the same tensor come from several ops: some must add, not store. */
static struct vlm_tensor *run_several(struct vlm_tape *tape, void *context)
{
    static const uint32_t index[] = { 4, 0, 4, 2, 3, 1 }, place[] = { 3, 1, 0, 4, 2 };
    static const uint32_t begin[] = { 0, 2, 7, 4 }, end[] = { 5, 2, 11, 8 };
    struct op *op = context;
    struct vlm_tensor *x = vlm_l2_normalise(tape, op->x, 1e-12f); /* [5, cols] */
    struct vlm_tensor *part[] = { x, vlm_gather_rows(tape, x, index, 6) };
    struct vlm_tensor *all = vlm_concat_rows(tape, 2, part);
    struct vlm_tensor *mean = vlm_mean_rows(tape, all, begin, end, 4);
    struct vlm_tensor *moved = vlm_scatter_rows(tape, vlm_dropout(tape, all, 0.2f), 11, x, place);
    return vlm_concat_rows(tape, 4, (struct vlm_tensor *[]){ mean, moved, x, all });
}

static void check_gradients(nn_forward forward, struct op *op, const size_t *x_shape,
                            const size_t *base_shape)
{
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++) {
        struct nn nn;
        nn_begin(&nn, every_kernel[k], 2);
        op->x = nn_tensor(&nn, 2, x_shape);
        op->base = base_shape ? nn_tensor(&nn, 2, base_shape) : NULL;
        if (!nn.skip)
            nn_check_gradients(&nn, forward, op, 2e-3, 2e-3);
        nn_end(&nn);
    }
}

static void embedding_takes_rows_and_adds_gradients(void **state)
{
    (void)state;
    static const uint32_t ids[] = { 3, 0, 3, 3, 6, 1 };
    struct nn nn;
    nn_begin(&nn, NULL, 2);
    struct op op = { .index = ids, .rows = 6 };
    op.x = nn_tensor(&nn, 2, (size_t[]){ 7, 141 });
    struct vlm_tensor *y = run_embedding(&nn.tape, &op);
    assert_int_equal(vlm_tensor_rows(y), 6);
    for (size_t r = 0; r < 6; r++)
        nn_check_bits(y->data + r * 141, op.x->data + ids[r] * 141, 141);
    vlm_tape_reset(&nn.tape);
    nn_backward(&nn, run_embedding, &op);
    for (size_t c = 0; c < 141; c++) {
        float sum = nn_random(7, c); /* rows with the same id in their order, in fp32 */
        sum += nn_random(7, 2 * 141 + c);
        sum += nn_random(7, 3 * 141 + c);
        assert_true(op.x->grad[3 * 141 + c] == sum);
        assert_true(op.x->grad[2 * 141 + c] == 0);
    }
    nn_end(&nn);
    for (size_t cols = 1; cols < 37; cols += 5)
        check_gradients(run_embedding, &op, (size_t[]){ 7, cols }, NULL);
    op.rows = 0;
    check_gradients(run_embedding, &op, (size_t[]){ 7, 3 }, NULL);
    check_gradients(run_embedding, &op, (size_t[]){ 0, 3 }, NULL);
}

static void scatter_replaces_rows(void **state)
{
    (void)state;
    static const uint32_t place[] = { 9, 2, 0 };
    for (unsigned with_base = 0; with_base < 2; with_base++) {
        struct nn nn;
        nn_begin(&nn, NULL, 2);
        struct op op = { .index = place };
        op.x = nn_tensor(&nn, 2, (size_t[]){ 3, 5 });
        op.base = with_base ? nn_tensor(&nn, 2, (size_t[]){ 11, 5 }) : NULL;
        struct vlm_tensor *y = run_scatter(&nn.tape, &op);
        for (size_t i = 0; i < 55; i++) {
            float expected = with_base ? op.base->data[i] : 0;
            for (size_t r = 0; r < 3; r++)
                if (place[r] == i / 5)
                    expected = op.x->data[r * 5 + i % 5];
            assert_true(y->data[i] == expected);
        }
        nn_end(&nn);
        check_gradients(run_scatter, &op, (size_t[]){ 3, 5 },
                        with_base ? (size_t[]){ 11, 5 } : NULL);
        check_gradients(run_scatter, &op, (size_t[]){ 0, 5 },
                        with_base ? (size_t[]){ 11, 5 } : NULL);
    }
}

static void concat_puts_rows_behind_each_other(void **state)
{
    (void)state;
    struct nn nn;
    nn_begin(&nn, NULL, 2);
    struct op op = { 0 };
    op.x = nn_tensor(&nn, 2, (size_t[]){ 3, 5 });
    op.base = nn_tensor(&nn, 3, (size_t[]){ 2, 2, 5 });
    struct vlm_tensor *y = run_concat(&nn.tape, &op);
    assert_int_equal(vlm_tensor_rows(y), 10);
    nn_check_bits(y->data, op.x->data, 15);
    nn_check_bits(y->data + 15, op.base->data, 20);
    nn_check_bits(y->data + 35, op.x->data, 15);
    nn_end(&nn);
    check_gradients(run_concat, &op, (size_t[]){ 3, 5 }, (size_t[]){ 4, 5 });
    check_gradients(run_concat, &op, (size_t[]){ 0, 5 }, (size_t[]){ 4, 5 });
}

static void mean_of_segments(void **state)
{
    (void)state;
    enum { ROWS = 37, COLS = 131, SEGMENTS = 5 };
    /* Overlapping, empty, backwards, one row, all rows. */
    static const uint32_t begin[] = { 0, 4, 9, 36, 0 }, end[] = { 6, 4, 8, 37, 37 };
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++) {
        struct nn nn;
        nn_begin(&nn, every_kernel[k], 2);
        struct op op = { .index = begin, .end = end, .rows = SEGMENTS };
        op.x = nn_tensor(&nn, 2, (size_t[]){ ROWS, COLS });
        struct vlm_tensor *y = nn.skip ? NULL : run_mean(&nn.tape, &op);
        for (size_t i = 0; y && i < SEGMENTS * COLS; i++) {
            size_t s = i / COLS;
            double expected = 0;
            for (size_t r = begin[s]; r < end[s]; r++)
                expected += (double)op.x->data[r * COLS + i % COLS] / (end[s] - begin[s]);
            nn_check_close(&y->data[i], &expected, 1, 1e-6);
        }
        nn_end(&nn);
    }
    struct op op = { .index = begin, .end = end, .rows = SEGMENTS };
    check_gradients(run_mean, &op, (size_t[]){ 37, 3 }, NULL);
    op.rows = 0;
    check_gradients(run_mean, &op, (size_t[]){ 37, 3 }, NULL);
}

static void l2_rows_have_length_one(void **state)
{
    (void)state;
    const float factor[] = { 1, 1e-3f, 1e25f, 1e-25f };
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (size_t f = 0; f < VLM_COUNTOF(factor); f++)
            for (size_t cols = 1; cols < 140; cols += 23) {
                struct nn nn;
                struct op op = { 0 };
                nn_begin(&nn, every_kernel[k], 2);
                op.x = nn_tensor(&nn, 2, (size_t[]){ 3, cols });
                for (size_t i = 0; i < 3 * cols; i++)
                    op.x->data[i] *= factor[f];
                struct vlm_tensor *y = nn.skip ? NULL : run_l2(&nn.tape, &op);
                for (size_t r = 0; y && r < 3; r++) {
                    double square = 0;
                    for (size_t i = 0; i < cols; i++)
                        square += pow((double)op.x->data[r * cols + i], 2);
                    for (size_t i = 0; i < cols; i++) {
                        double expected =
                            (double)op.x->data[r * cols + i] / fmax(sqrt(square), 1e-12);
                        nn_check_close(&y->data[r * cols + i], &expected, 1, 1e-6);
                    }
                }
                nn_end(&nn);
            }
    struct op op = { 0 };
    for (size_t cols = 2; cols < 37; cols += 7)
        check_gradients(run_l2, &op, (size_t[]){ 3, cols }, NULL);
    check_gradients(run_l2, &op, (size_t[]){ 0, 4 }, NULL);
}

/* A row shorter than eps is only divided by it, and so is its gradient. */
static void l2_of_a_short_row_is_linear(void **state)
{
    (void)state;
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    struct op op = { .x = nn_tensor(&nn, 2, (size_t[]){ 1, 4 }) };
    for (size_t i = 0; i < 4; i++)
        op.x->data[i] = 3e-13f;
    nn_backward(&nn, run_l2, &op);
    for (size_t i = 0; i < 4; i++)
        assert_true(fabsf(op.x->grad[i] / (nn_random(7, i) * 1e12f) - 1) < 1e-6f);
    nn_end(&nn);
}

static void several_uses_add_their_gradients(void **state)
{
    (void)state;
    struct op op = { 0 };
    check_gradients(run_several, &op, (size_t[]){ 5, 3 }, NULL);
    check_gradients(run_several, &op, (size_t[]){ 5, 36 }, NULL);
}

/* ---- dropout ---- */

/* The mask is what base/random.h draws: 32 bits for each number, the lower half first. */
static void dropout_draws_by_element(void **state)
{
    (void)state;
    enum { N = 40000 };
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++) {
        struct nn nn;
        nn_begin(&nn, every_kernel[k], 3);
        struct op op = { .x = nn_tensor(&nn, 1, (size_t[]){ N }) };
        nn.tape.seed = 5;
        size_t dropped = 0;
        struct vlm_random random = vlm_random_at(5, 0x64726f70, 0);
        uint64_t word = 0;
        struct vlm_tensor *y = nn.skip ? NULL : run_dropout(&nn.tape, &op);
        for (size_t i = 0; y && i < N; i++) {
            word = i % 2 ? word >> 32 : vlm_random_next(&random);
            bool drop = (uint32_t)word < (uint32_t)((double)0.3f * 0x1p32);
            dropped += drop;
            assert_true(y->data[i] == (drop ? 0 : op.x->data[i] * (1 / (1 - 0.3f))));
        }
        assert_true(nn.skip || (dropped > N / 100 * 29 && dropped < N / 100 * 31));
        nn_end(&nn);
    }
    struct op op = { 0 };
    check_gradients(run_dropout, &op, (size_t[]){ 3, 37 }, NULL);
}

/* The same op of another step, or another op of the same step, draws anew. */
static void dropout_differs_by_seed_and_op(void **state)
{
    (void)state;
    enum { N = 1000 };
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    struct op op = { .x = nn_tensor(&nn, 1, (size_t[]){ N }) };
    struct vlm_tensor *a = run_dropout(&nn.tape, &op), *b = run_dropout(&nn.tape, &op);
    nn.tape.seed++;
    nn.tape.ops = 0;
    struct vlm_tensor *c = run_dropout(&nn.tape, &op);
    size_t ab = 0, ac = 0;
    for (size_t i = 0; i < N; i++) {
        ab += a->data[i] == 0 && b->data[i] == 0;
        ac += a->data[i] == 0 && c->data[i] == 0;
    }
    assert_in_range(ab, 60, 120); /* 0.3 * 0.3 of 1000 */
    assert_in_range(ac, 60, 120);
    assert_ptr_equal(vlm_dropout(&nn.tape, op.x, 0), op.x);
    nn_end(&nn);
}

static struct vlm_tensor *block(struct vlm_tape *tape, struct vlm_tensor *x, const void *unused)
{
    (void)unused;
    return vlm_dropout(tape, vlm_activate(tape, x, VLM_SILU), 0.5f);
}

static struct vlm_tensor *run_block(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_dropout(tape, block(tape, op->x, NULL), 0.5f);
}

static struct vlm_tensor *run_block_again(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_dropout(tape, vlm_recompute(tape, block, op->x, NULL), 0.5f);
}

/* Whether the block's mask in the backward pass is that of the forward pass: the gradient is zero
 * just where the result is. */
static void recomputed_dropout_draws_the_same(void **state)
{
    (void)state;
    enum { N = 333 };
    const nn_forward forward[] = { run_block, run_block_again };
    for (size_t f = 0; f < 2; f++) {
        struct nn nn;
        nn_begin(&nn, NULL, 2);
        struct op op = { .x = nn_tensor(&nn, 1, (size_t[]){ N }) };
        float y[N];
        memcpy(y, forward[f](&nn.tape, &op)->data, sizeof(y));
        vlm_tape_reset(&nn.tape);
        nn_backward(&nn, forward[f], &op);
        for (size_t i = 0; i < N; i++)
            assert_true((y[i] == 0) == (op.x->grad[i] == 0));
        nn_end(&nn);
    }
}

/* ---- all ---- */

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    enum { COLS = 4099 }; /* tasks of few rows, and many tasks of columns */
    static float first[5 * COLS], y[26 * COLS];
    const size_t threads[] = { 1, 2, 3, 7 };
    for (size_t j = 0; j < VLM_COUNTOF(threads); j++) {
        struct nn nn;
        struct op op = { 0 };
        nn_begin(&nn, NULL, threads[j]);
        op.x = nn_tensor(&nn, 2, (size_t[]){ 5, COLS });
        const float *result = run_several(&nn.tape, &op)->data;
        if (j > 0)
            nn_check_bits(result, y, 26 * COLS);
        memcpy(y, result, sizeof(y));
        vlm_tape_reset(&nn.tape);
        nn_backward(&nn, run_several, &op);
        if (j > 0)
            nn_check_bits(op.x->grad, first, 5 * COLS);
        memcpy(first, op.x->grad, sizeof(first));
        nn_end(&nn);
    }
}

static void nan_and_infinity_come_out(void **state)
{
    (void)state;
    static const uint32_t index[] = { 1, 0 }, end[] = { 2, 1 };
    const nn_forward every_op[] = { run_embedding, run_scatter, run_concat,
                                    run_mean,      run_l2,      run_dropout };
    const float bad[] = { NAN, INFINITY, -INFINITY };
    for (size_t i = 0; i < VLM_COUNTOF(every_op); i++)
        for (size_t b = 0; b < VLM_COUNTOF(bad); b++)
            for (size_t at = 0; at < 20; at++) {
                struct nn nn;
                struct op op = { .index = index, .end = end, .rows = 2 };
                nn_begin(&nn, NULL, 1);
                op.x = nn_tensor(&nn, 2, (size_t[]){ 2, 20 });
                op.base = nn_tensor(&nn, 2, (size_t[]){ 3, 20 });
                op.x->data[at] = bad[b];
                struct vlm_tensor *y = every_op[i](&nn.tape, &op);
                size_t n_bad = 0;
                for (size_t j = 0; j < vlm_tensor_count(y); j++)
                    n_bad += isfinite(y->data[j]) == 0;
                size_t expected = every_op[i] == run_concat ? 2 : 1;
                if (every_op[i] == run_l2 && isnan(bad[b]))
                    expected = 20;
                assert_int_equal(n_bad, expected);
                nn_end(&nn);
            }
}

/* Row numbers are not even looked at. */
static void a_dry_tape_takes_the_same_memory(void **state)
{
    (void)state;
    size_t peak[2];
    for (unsigned dry = 0; dry < 2; dry++) {
        struct nn nn;
        nn_begin_with(&nn, NULL, 2, VLM_F32, dry ? VLM_TAPE_DRY : 0);
        struct op op = { 0 };
        op.x = nn_tensor(&nn, 2, (size_t[]){ 5, 999 });
        nn_backward(&nn, run_several, &op);
        peak[dry] = vlm_tape_peak(&nn.tape);
        if (dry) { /* without arrays of row numbers */
            op.rows = 1000;
            run_embedding(&nn.tape, &op);
            run_mean(&nn.tape, &op);
        }
        nn_end(&nn);
    }
    assert_int_equal(peak[0], peak[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedding_takes_rows_and_adds_gradients),
        cmocka_unit_test(scatter_replaces_rows),
        cmocka_unit_test(concat_puts_rows_behind_each_other),
        cmocka_unit_test(mean_of_segments),
        cmocka_unit_test(l2_rows_have_length_one),
        cmocka_unit_test(l2_of_a_short_row_is_linear),
        cmocka_unit_test(several_uses_add_their_gradients),
        cmocka_unit_test(dropout_draws_by_element),
        cmocka_unit_test(dropout_differs_by_seed_and_op),
        cmocka_unit_test(recomputed_dropout_draws_the_same),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(nan_and_infinity_come_out),
        cmocka_unit_test(a_dry_tape_takes_the_same_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
