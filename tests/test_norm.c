/* test_norm.c - layernorm, RMSnorm, softmax and log-softmax against plain loops in double. */
#include "base/vlm.h"

#include <float.h>

#include "tests/nn_fixture.h"

#include "nn/ops/norm.h"
#include "nn/ops/rows.h"
#include "nn/ops/softmax.h"

static const char *const every_kernel[] = { "plain", "avx2", "avx512", "avx512-bf16" };

struct op {
    struct vlm_tensor *x, *weight, *bias;
    float eps;
};

static struct vlm_tensor *run_layernorm(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_layernorm(tape, op->x, op->weight, op->bias, op->eps);
}

static struct vlm_tensor *run_layernorm_without_bias(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_layernorm(tape, op->x, op->weight, NULL, op->eps);
}

static struct vlm_tensor *run_rmsnorm(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_rmsnorm(tape, op->x, op->weight, op->eps);
}

static struct vlm_tensor *run_softmax(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_softmax(tape, op->x);
}

static struct vlm_tensor *run_log_softmax(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_log_softmax(tape, op->x);
}

/* y is used four times: its gradient is stored by one op and added to by the others. */
static struct vlm_tensor *run_chain(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    struct vlm_tensor *y = vlm_layernorm(tape, op->x, op->weight, op->bias, op->eps);
    struct vlm_tensor *part[] = {
        vlm_layernorm(tape, y, op->weight, NULL, op->eps),
        vlm_rmsnorm(tape, y, op->weight, op->eps),
        vlm_softmax(tape, y),
        vlm_log_softmax(tape, y),
    };
    return vlm_concat_rows(tape, VLM_COUNTOF(part), part);
}

static const nn_forward every_op[] = { run_layernorm, run_layernorm_without_bias, run_rmsnorm,
                                       run_softmax, run_log_softmax };

/* y [cols] of one row, in double. */
static void expected_row(nn_forward forward, const struct op *op, const float *x, size_t n,
                         double *y)
{
    double mean = 0, squares = 0, largest = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) {
        mean += (double)x[i] / (double)n;
        largest = fmax(largest, (double)x[i]);
    }
    for (size_t i = 0; i < n; i++)
        sum += exp((double)x[i] - largest);
    if (forward == run_rmsnorm)
        mean = 0;
    for (size_t i = 0; i < n; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++)
        if (forward == run_softmax)
            y[i] = exp((double)x[i] - largest) / sum;
        else if (forward == run_log_softmax)
            y[i] = (double)x[i] - largest - log(sum);
        else
            y[i] = ((double)x[i] - mean) / sqrt(squares + (double)op->eps) *
                       (double)op->weight->data[i] +
                   (forward == run_layernorm ? (double)op->bias->data[i] : 0);
}

static void make(struct nn *nn, struct op *op, size_t rows, size_t cols)
{
    op->eps = 1e-5f;
    op->x = nn_tensor(nn, 2, (size_t[]){ rows, cols });
    op->weight = nn_tensor(nn, 1, (size_t[]){ cols });
    op->bias = nn_tensor(nn, 1, (size_t[]){ cols });
    for (size_t i = 0; i < rows * cols; i++)
        op->x->data[i] = 2 * op->x->data[i] + 0.5f;
}

static void check_values(struct nn *nn, nn_forward forward, struct op *op, double tolerance)
{
    size_t rows = vlm_tensor_rows(op->x), cols = vlm_tensor_cols(op->x);
    struct vlm_err err = { 0 };
    double *expected = calloc(cols + 1, sizeof(*expected));
    assert_non_null(expected);
    struct vlm_tensor *y = forward(&nn->tape, op);
    assert_int_equal(vlm_tape_error(&nn->tape, &err), VLM_OK);
    for (size_t r = 0; r < rows; r++) {
        expected_row(forward, op, op->x->data + r * cols, cols, expected);
        nn_check_close(y->data + r * cols, expected, cols, tolerance);
    }
    free(expected);
    vlm_tape_reset(&nn->tape);
}

static void values_match_plain_loops(void **state)
{
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (size_t i = 0; i < VLM_COUNTOF(every_op); i++)
            for (size_t cols = 1; cols <= 1536; cols = cols < 70 ? cols + 1 : cols * 2) {
                struct nn nn;
                struct op op;
                nn_begin(&nn, every_kernel[k], 1);
                make(&nn, &op, cols % 3, cols);
                if (!nn.skip)
                    check_values(&nn, every_op[i], &op, 2e-6);
                nn_end(&nn);
            }
}

/* Far from zero the difference of two sums of squares would have no digits left; large and tiny
 * numbers leave the range of fp32 when they are squared. */
static void values_match_for_awkward_numbers(void **state)
{
    (void)state;
    const struct {
        float factor, shift;
        double tolerance;
    } row[] = { { 1, 3000, 2e-3 }, { 1e25f, 0, 3e-6 }, { 1e-3f, 0, 3e-6 }, { 1e-30f, 0, 3e-6 } };
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (size_t i = 0; i < VLM_COUNTOF(row); i++) {
            struct nn nn;
            struct op op;
            nn_begin(&nn, every_kernel[k], 1);
            make(&nn, &op, 3, 300);
            for (size_t j = 0; j < 900; j++)
                op.x->data[j] = op.x->data[j] * row[i].factor + row[i].shift;
            if (!nn.skip) {
                check_values(&nn, run_layernorm, &op, row[i].tolerance);
                check_values(&nn, run_rmsnorm, &op, row[i].tolerance);
            }
            nn_end(&nn);
        }
}

static void gradients_match_differences(void **state)
{
    (void)state;
    const size_t shape[][2] = { { 0, 5 }, { 1, 2 }, { 3, 7 }, { 2, 16 }, { 1, 37 }, { 70, 3 } };
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (size_t s = 0; s < VLM_COUNTOF(shape); s++)
            for (size_t i = 0; i < VLM_COUNTOF(every_op) + 1; i++) {
                struct nn nn;
                struct op op;
                nn_begin(&nn, every_kernel[k], 2);
                make(&nn, &op, shape[s][0], shape[s][1]);
                op.eps = 0.05f; /* no steep places */
                nn_forward forward = i < VLM_COUNTOF(every_op) ? every_op[i] : run_chain;
                if (!nn.skip)
                    nn_check_gradients(&nn, forward, &op, 2e-3, 3e-3);
                nn_end(&nn);
            }
}

/* The gradient by x of a large row, against the formula in double. */
static void layernorm_gradient_matches_double(void **state)
{
    (void)state;
    enum { ROWS = 130, COLS = 515 };
    static double dweight[COLS], dbias[COLS], dx[COLS];
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++) {
        struct nn nn;
        struct op op;
        nn_begin(&nn, every_kernel[k], 2);
        make(&nn, &op, ROWS, COLS);
        if (!nn.skip)
            nn_backward(&nn, run_layernorm, &op);
        memset(dweight, 0, sizeof(dweight));
        memset(dbias, 0, sizeof(dbias));
        for (size_t r = 0; r < ROWS && !nn.skip; r++) {
            const float *x = op.x->data + r * COLS;
            double mean = 0, var = 0, h = 0, hx = 0;
            for (size_t i = 0; i < COLS; i++)
                mean += (double)x[i] / COLS;
            for (size_t i = 0; i < COLS; i++)
                var += ((double)x[i] - mean) * ((double)x[i] - mean) / COLS;
            double rstd = 1 / sqrt(var + (double)op.eps);
            for (size_t i = 0; i < COLS; i++) {
                double g = (double)nn_random(7, r * COLS + i);
                double xhat = ((double)x[i] - mean) * rstd;
                dweight[i] += g * xhat;
                dbias[i] += g;
                h += g * (double)op.weight->data[i] / COLS;
                hx += g * (double)op.weight->data[i] * xhat / COLS;
            }
            for (size_t i = 0; i < COLS; i++) {
                double g = (double)nn_random(7, r * COLS + i) * (double)op.weight->data[i];
                dx[i] = rstd * (g - h - ((double)x[i] - mean) * rstd * hx);
            }
            nn_check_close(op.x->grad + r * COLS, dx, COLS, 1e-6);
        }
        if (!nn.skip) {
            nn_check_close(op.weight->grad, dweight, COLS, 1e-5);
            nn_check_close(op.bias->grad, dbias, COLS, 1e-5);
        }
        nn_end(&nn);
    }
}

static void bits_do_not_depend_on_threads_or_other_rows(void **state)
{
    (void)state;
    enum { ROWS = 150, COLS = 131 };
    static float first[ROWS * COLS + 2 * COLS];
    const size_t threads[] = { 1, 2, 3, 7 };
    for (size_t i = 0; i < VLM_COUNTOF(every_op); i++)
        for (size_t j = 0; j < VLM_COUNTOF(threads); j++) {
            struct nn nn;
            struct op op;
            nn_begin(&nn, NULL, threads[j]);
            make(&nn, &op, ROWS, COLS);
            nn_backward(&nn, every_op[i], &op);
            nn_same_gradients(&nn, first, j == 0);
            struct vlm_tensor *all = every_op[i](&nn.tape, &op);
            struct vlm_tensor row = *op.x;
            row.shape[0] = 1;
            row.data = op.x->data + 77 * COLS;
            struct op alone = { &row, op.weight, op.bias, op.eps };
            struct vlm_tensor *one = every_op[i](&nn.tape, &alone);
            nn_check_bits(one->data, all->data + 77 * COLS, COLS);
            nn_end(&nn);
        }
}

/* A bad number makes its own row bad, and no other. */
static void nan_and_infinity_come_out(void **state)
{
    (void)state;
    const float bad[] = { NAN, INFINITY, -INFINITY };
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (size_t i = 0; i < VLM_COUNTOF(every_op); i++)
            for (size_t b = 0; b < VLM_COUNTOF(bad); b++)
                for (size_t at = 0; at < 37; at++) {
                    struct nn nn;
                    struct op op;
                    nn_begin(&nn, every_kernel[k], 1);
                    make(&nn, &op, 3, 37);
                    op.x->data[37 + at] = bad[b];
                    struct vlm_tensor *y = nn.skip ? NULL : every_op[i](&nn.tape, &op);
                    bool softmax_of_nothing = bad[b] < 0 && (every_op[i] == run_softmax ||
                                                             every_op[i] == run_log_softmax);
                    for (size_t j = 0; y && j < 3 * 37; j++) {
                        bool expect_bad = j / 37 == 1 && (!softmax_of_nothing || j == 37 + at);
                        if (softmax_of_nothing && every_op[i] == run_softmax)
                            expect_bad = false;
                        if (every_op[i] == run_rmsnorm && isinf(bad[b]))
                            expect_bad = j == 37 + at; /* the others become 0 */
                        assert_true(!isfinite(y->data[j]) == expect_bad);
                    }
                    nn_end(&nn);
                }
}

/* On a bf16 tape an operand is the plain result, rounded to nearest even; else it is that result. */
static void operands_are_rounded_results(void **state)
{
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (size_t cols = 1; cols < 40; cols++) {
            struct nn nn;
            struct op op;
            nn_begin_with(&nn, every_kernel[k], 2, VLM_BF16, 0);
            make(&nn, &op, 3, cols);
            op.x->data[0] = cols == 5 ? NAN : 1;
            for (unsigned kind = 0; kind < 2 && !nn.skip; kind++) {
                struct vlm_tensor *y =
                    kind ? run_rmsnorm(&nn.tape, &op) : run_layernorm(&nn.tape, &op);
                struct vlm_tensor *bits =
                    kind ? vlm_rmsnorm_operand(&nn.tape, op.x, op.weight, op.eps)
                         : vlm_layernorm_operand(&nn.tape, op.x, op.weight, op.bias, op.eps);
                assert_int_equal(bits->dtype, VLM_BF16);
                for (size_t i = 0; i < 3 * cols; i++) {
                    uint32_t word, wide = (uint32_t)bits->bits[i] << 16;
                    float rounded;
                    memcpy(&word, &y->data[i], sizeof(word));
                    memcpy(&rounded, &wide, sizeof(rounded));
                    if (isnan(y->data[i])) {
                        assert_true(isnan(rounded));
                        continue;
                    }
                    uint32_t rest = word & 0xffff, upper = word >> 16;
                    upper += rest > 0x8000 || (rest == 0x8000 && upper % 2);
                    assert_int_equal(bits->bits[i], upper);
                }
            }
            nn_end(&nn);
        }
    struct nn nn;
    struct op op;
    nn_begin(&nn, NULL, 1);
    make(&nn, &op, 2, 9);
    assert_int_equal(vlm_layernorm_operand(&nn.tape, op.x, op.weight, NULL, 1e-5f)->dtype, VLM_F32);
    nn_end(&nn);
}

static void a_dry_tape_takes_the_same_memory(void **state)
{
    (void)state;
    size_t peak[2];
    for (unsigned dry = 0; dry < 2; dry++) {
        struct nn nn;
        struct op op;
        nn_begin_with(&nn, NULL, 2, VLM_F32, dry ? VLM_TAPE_DRY : 0);
        make(&nn, &op, 200, 300);
        nn_backward(&nn, run_chain, &op);
        peak[dry] = vlm_tape_peak(&nn.tape);
        nn_end(&nn);
    }
    assert_int_equal(peak[0], peak[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_match_plain_loops),
        cmocka_unit_test(values_match_for_awkward_numbers),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(layernorm_gradient_matches_double),
        cmocka_unit_test(bits_do_not_depend_on_threads_or_other_rows),
        cmocka_unit_test(nan_and_infinity_come_out),
        cmocka_unit_test(operands_are_rounded_results),
        cmocka_unit_test(a_dry_tape_takes_the_same_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
