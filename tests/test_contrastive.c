/* test_contrastive.c - the contrastive loss against plain loops in double. */
#include "base/vlm.h"

#include "tests/nn_fixture.h"

#include "nn/ops/contrastive.h"
#include "nn/ops/rows.h"

static const char *const every_kernel[] = { "plain", "avx2", "avx512", "avx512-bf16" };

struct op {
    struct vlm_tensor *images, *texts, *log_scale;
};

static struct vlm_tensor *run_loss(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_contrastive_loss(tape, op->images, op->texts, op->log_scale);
}

/* As it is used: rows of length one, of which one is used by another op too. */
static struct vlm_tensor *run_normalised(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    struct vlm_tensor *a = vlm_l2_normalise(tape, op->images, 1e-12f);
    struct vlm_tensor *b = vlm_l2_normalise(tape, op->texts, 1e-12f);
    struct vlm_tensor *ab = vlm_contrastive_loss(tape, a, b, op->log_scale);
    struct vlm_tensor *aa = vlm_contrastive_loss(tape, a, a, op->log_scale);
    return vlm_concat_rows(tape, 2, (struct vlm_tensor *[]){ ab, aa });
}

static void make(struct nn *nn, struct op *op, size_t batch, size_t d, float log_scale)
{
    op->images = nn_tensor(nn, 2, (size_t[]){ batch, d });
    op->texts = nn_tensor(nn, 2, (size_t[]){ batch, d });
    op->log_scale = nn_tensor(nn, 1, (size_t[]){ 1 });
    op->log_scale->data[0] = log_scale;
}

static double logit(const struct op *op, size_t i, size_t j)
{
    size_t d = vlm_tensor_cols(op->images);
    double sum = 0;
    for (size_t c = 0; c < d; c++)
        sum += (double)op->images->data[i * d + c] * (double)op->texts->data[j * d + c];
    return sum * exp(fmin((double)op->log_scale->data[0], log(100)));
}

/* log sum e^s of row i, or of column i. */
static double log_sum(const struct op *op, size_t i, bool column)
{
    size_t batch = vlm_tensor_rows(op->images);
    double largest = column ? logit(op, 0, i) : logit(op, i, 0), sum = 0;
    for (size_t j = 1; j < batch; j++)
        largest = fmax(largest, column ? logit(op, j, i) : logit(op, i, j));
    for (size_t j = 0; j < batch; j++)
        sum += exp((column ? logit(op, j, i) : logit(op, i, j)) - largest);
    return largest + log(fmax(sum, 1)); /* the largest gives 1 */
}

static double expected_loss(const struct op *op)
{
    size_t batch = vlm_tensor_rows(op->images);
    double sum = 0;
    for (size_t i = 0; i < batch; i++)
        sum += log_sum(op, i, false) + log_sum(op, i, true) - 2 * logit(op, i, i);
    return batch ? sum / (2 * (double)batch) : 0;
}

static void loss_matches_plain_loops(void **state)
{
    (void)state;
    const float log_scale[] = { 0, 2.6593f, 4.6f, 9 };
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (size_t batch = 0; batch < 38; batch += batch < 4 ? 1 : 11)
            for (size_t s = 0; s < VLM_COUNTOF(log_scale); s++) {
                struct nn nn;
                struct op op;
                struct vlm_err err = { 0 };
                nn_begin(&nn, every_kernel[k], 2);
                make(&nn, &op, batch, 5, log_scale[s]);
                struct vlm_tensor *loss = nn.skip ? NULL : run_loss(&nn.tape, &op);
                assert_int_equal(vlm_tape_error(&nn.tape, &err), VLM_OK);
                double expected = expected_loss(&op);
                if (loss)
                    nn_check_close(loss->data, &expected, 1, 2e-6);
                nn_end(&nn);
            }
}

static void gradients_match_differences(void **state)
{
    (void)state;
    const size_t shape[][2] = { { 0, 3 }, { 1, 3 }, { 2, 1 }, { 7, 5 }, { 19, 3 }, { 37, 2 } };
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (size_t s = 0; s < VLM_COUNTOF(shape); s++) {
            struct nn nn;
            struct op op;
            nn_begin(&nn, every_kernel[k], 2);
            make(&nn, &op, shape[s][0], shape[s][1], 1.3f);
            if (!nn.skip) {
                nn_check_gradients(&nn, run_loss, &op, 5e-3, 1e-3);
                if (shape[s][1] > 1)
                    nn_check_gradients(&nn, run_normalised, &op, 5e-3, 2e-3);
            }
            nn_end(&nn);
        }
}

/* All rows equal and a large negative scale of logits: log B whatever the logits are. */
static void equal_rows_lose_the_logarithm_of_their_number(void **state)
{
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++) {
        struct nn nn;
        struct op op;
        nn_begin(&nn, every_kernel[k], 1);
        make(&nn, &op, 21, 4, 4.6f);
        for (size_t i = 0; i < 84; i++) {
            op.images->data[i] = i % 4 == 0 ? 2 : 0;
            op.texts->data[i] = i % 4 == 0 ? -2 : 0; /* logits of -400 */
        }
        double expected = log(21);
        if (!nn.skip) {
            struct vlm_tensor *loss = run_loss(&nn.tape, &op);
            nn_check_close(loss->data, &expected, 1, 1e-5);
            vlm_tape_reset(&nn.tape);
            nn_backward(&nn, run_loss, &op);
            assert_true(fabsf(op.log_scale->grad[0]) < 1e-3f);
        }
        nn_end(&nn);
    }
}

/* Above ln 100 the loss is constant, and the gradient only leads back. */
static void scale_is_held_at_100(void **state)
{
    (void)state;
    for (unsigned wrong = 0; wrong < 2; wrong++) { /* wrong pairs want a smaller scale */
        struct nn nn;
        struct op op;
        nn_begin(&nn, NULL, 1);
        make(&nn, &op, 3, 3, 5);
        for (size_t i = 0; i < 9; i++) {
            op.images->data[i] = i % 4 == 0 ? 0.01f : 0;
            op.texts->data[i] = (i + 3 * wrong) % 9 % 4 == 0 ? 0.01f : 0;
        }
        float at_5 = run_loss(&nn.tape, &op)->data[0];
        op.log_scale->data[0] = 4.60517019f;
        assert_true(run_loss(&nn.tape, &op)->data[0] == at_5);
        op.log_scale->data[0] = 5;
        vlm_tape_reset(&nn.tape);
        struct vlm_err err = { 0 };
        struct vlm_tensor *loss = run_loss(&nn.tape, &op);
        assert_int_equal(vlm_backward(&nn.tape, loss, &err), VLM_OK);
        assert_true(wrong ? op.log_scale->grad[0] > 0 : op.log_scale->grad[0] == 0);
        nn_end(&nn);
    }
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    enum { BATCH = 150, D = 33 };
    static float first[2 * BATCH * D + 1];
    const size_t threads[] = { 1, 2, 3, 7 };
    for (size_t j = 0; j < VLM_COUNTOF(threads); j++) {
        struct nn nn;
        struct op op;
        nn_begin(&nn, NULL, threads[j]);
        make(&nn, &op, BATCH, D, 2.7f);
        nn_backward(&nn, run_loss, &op);
        nn_same_gradients(&nn, first, j == 0);
        nn_end(&nn);
    }
}

static void nan_and_infinity_come_out(void **state)
{
    (void)state;
    const float bad[] = { NAN, INFINITY, -INFINITY };
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (size_t b = 0; b < VLM_COUNTOF(bad); b++)
            for (size_t where = 0; where < 3; where++) {
                struct nn nn;
                struct op op;
                nn_begin(&nn, every_kernel[k], 1);
                make(&nn, &op, 19, 3, 1);
                nn.tensor[where]->data[where < 2 ? 55 : 0] = where < 2 ? bad[b] : NAN;
                if (!nn.skip)
                    assert_true(isfinite(run_loss(&nn.tape, &op)->data[0]) == 0);
                nn_end(&nn);
            }
}

static void a_dry_tape_takes_the_same_memory(void **state)
{
    (void)state;
    size_t peak[2];
    for (unsigned dry = 0; dry < 2; dry++) {
        struct nn nn;
        struct op op;
        nn_begin_with(&nn, NULL, 2, VLM_F32, dry ? VLM_TAPE_DRY : 0);
        make(&nn, &op, 100, 70, 1);
        nn_backward(&nn, run_normalised, &op);
        peak[dry] = vlm_tape_peak(&nn.tape);
        nn_end(&nn);
    }
    assert_int_equal(peak[0], peak[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_matches_plain_loops),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(equal_rows_lose_the_logarithm_of_their_number),
        cmocka_unit_test(scale_is_held_at_100),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(nan_and_infinity_come_out),
        cmocka_unit_test(a_dry_tape_takes_the_same_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
