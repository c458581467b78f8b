/* test_activation.c - activations over the whole range of floats, and the ops made of them.
 *
 * What the header of the kernels promises about errors is checked against double precision for
 * numbers of all sizes; the ops against plain loops, finite differences, and each other's bits. */
#include "base/vlm.h"

#include <float.h>

#include "tests/nn_fixture.h"

#include "nn/ops/activation.h"

static const char *const every_kernel[] = { "plain", "avx2", "avx512", "avx512-bf16" };

static const enum vlm_activation every_kind[] = {
    VLM_LINEAR, VLM_GELU_TANH,    VLM_GELU_ERF, VLM_GELU_QUICK, VLM_SILU,
    VLM_RELU,   VLM_RELU_SQUARED, VLM_TANH,     VLM_SIGMOID,
};

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* 1 - sigmoid without the loss of digits, times sigmoid. */
static double sigmoid_derivative(double x)
{
    return sigmoid(x) * sigmoid(-x);
}

static const double gelu_cubic = 0.044715, root_2_over_pi = 0.79788456080286535588;

static double value_of(enum vlm_activation kind, double x)
{
    switch (kind) {
    case VLM_GELU_TANH: /* (1 + tanh u) / 2 = sigmoid(2 u), which keeps its digits below */
        return x * sigmoid(2 * root_2_over_pi * (x + gelu_cubic * x * x * x));
    case VLM_GELU_ERF:
        return x * 0.5 * erfc(-x * M_SQRT1_2);
    case VLM_GELU_QUICK:
        return x * sigmoid(1.702 * x);
    case VLM_SILU:
        return x * sigmoid(x);
    case VLM_RELU:
        return x > 0 ? x : 0;
    case VLM_RELU_SQUARED:
        return x > 0 ? x * x : 0;
    case VLM_TANH:
        return tanh(x);
    case VLM_SIGMOID:
        return sigmoid(x);
    case VLM_LINEAR:
        break;
    }
    return x;
}

static double slope_of(enum vlm_activation kind, double x)
{
    double v, t;
    switch (kind) {
    case VLM_GELU_TANH:
        v = 2 * root_2_over_pi * (x + gelu_cubic * x * x * x);
        return sigmoid(v) +
               x * sigmoid_derivative(v) * 2 * root_2_over_pi * (1 + 3 * gelu_cubic * x * x);
    case VLM_GELU_ERF:
        return 0.5 * erfc(-x * M_SQRT1_2) + x * exp(-x * x / 2) / sqrt(2 * M_PI);
    case VLM_GELU_QUICK:
        return sigmoid(1.702 * x) + x * 1.702 * sigmoid_derivative(1.702 * x);
    case VLM_SILU:
        return sigmoid(x) + x * sigmoid_derivative(x);
    case VLM_RELU:
        return x > 0;
    case VLM_RELU_SQUARED:
        return x > 0 ? 2 * x : 0;
    case VLM_TANH:
        t = 1 / cosh(x);
        return t * t;
    case VLM_SIGMOID:
        return sigmoid_derivative(x);
    case VLM_LINEAR:
        break;
    }
    return 1;
}

/* The exponent in whose tail a result may lie: errors there grow with its size. */
static double exponent_of(enum vlm_activation kind, double x)
{
    switch (kind) {
    case VLM_GELU_TANH:
        return x < 0 ? 2 * root_2_over_pi * fabs(x + gelu_cubic * x * x * x) : 0;
    case VLM_GELU_ERF:
        return x < 0 ? x * x / 2 : 0;
    case VLM_GELU_QUICK:
        return x < 0 ? -1.702 * x : 0;
    case VLM_SILU:
    case VLM_SIGMOID:
        return x < 0 ? -x : 0;
    default:
        return 0;
    }
}

/* Floats of every size: a step through their bit patterns, both signs, and a fine grid where the
 * functions bend. */
enum { N_STEPPED = 1 << 15, N_GRID = 1 << 15, N_NUMBERS = N_STEPPED + N_GRID };

static void every_number(float *x)
{
    for (size_t i = 0; i < N_STEPPED; i++) {
        uint32_t bits = (uint32_t)(i / 2) * (0x7f800000u / (N_STEPPED / 2));
        bits |= (uint32_t)(i % 2) << 31;
        memcpy(&x[i], &bits, sizeof(bits));
    }
    for (size_t i = 0; i < N_GRID; i++)
        x[N_STEPPED + i] = -16 + 32 * ((float)i + 0.37f) / N_GRID;
}

/* The promise of activation_body.h. */
static void check_accuracy(const float *y, const float *x, enum vlm_activation kind,
                           double (*exact)(enum vlm_activation, double), double units)
{
    const double tiny = 1e-35; /* results below may be 0 */
    for (size_t i = 0; i < N_NUMBERS; i++) {
        double expected = exact(kind, (double)x[i]);
        if (fabs(expected) > (double)FLT_MAX) {
            assert_true(isinf(y[i]));
            continue;
        }
        double unit = fmax(fabs(expected), tiny) * (double)FLT_EPSILON;
        double allowed = unit * (units + 2 * exponent_of(kind, (double)x[i])) + tiny;
        if (!(fabs((double)y[i] - expected) <= allowed))
            fail_msg("kind %d at %.9g: %.9g, expected %.9g", (int)kind, (double)x[i], (double)y[i],
                     expected);
    }
}

static void values_are_exact_to_four_units(void **state)
{
    (void)state;
    static float x[N_NUMBERS], y[N_NUMBERS];
    every_number(x);
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++) {
        const struct vlm_kernels *kernels = vlm_kernels_named(every_kernel[k]);
        for (size_t i = 0; kernels && i < VLM_COUNTOF(every_kind); i++) {
            kernels->rows->activate(every_kind[i], y, x, N_NUMBERS);
            check_accuracy(y, x, every_kind[i], value_of, 4);
        }
    }
}

/* Slopes of the gated kinds are differences of two terms below 0, so units of 1 count there. */
static void slopes_are_exact(void **state)
{
    (void)state;
    static float x[N_NUMBERS], y[N_NUMBERS], ones[N_NUMBERS];
    every_number(x);
    for (size_t i = 0; i < N_NUMBERS; i++)
        ones[i] = 1;
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++) {
        const struct vlm_kernels *kernels = vlm_kernels_named(every_kernel[k]);
        for (size_t i = 0; kernels && i < VLM_COUNTOF(every_kind); i++) {
            enum vlm_activation kind = every_kind[i];
            kernels->rows->activate_backward(kind, y, x, ones, N_NUMBERS);
            if (kind == VLM_TANH || kind == VLM_RELU || kind == VLM_SIGMOID)
                check_accuracy(y, x, kind, slope_of, kind == VLM_TANH ? 8 : 4);
            for (size_t j = 0; j < N_NUMBERS; j++) {
                double expected = slope_of(kind, fmax(-1e15, fmin(1e15, (double)x[j])));
                if (kind == VLM_RELU_SQUARED)
                    expected = slope_of(kind, (double)x[j]);
                if (!(fabs((double)y[j] - expected) <= 1e-6 * (1 + fabs(expected))) &&
                    fabs(expected) < (double)FLT_MAX)
                    fail_msg("kind %d at %.9g: %.9g, expected %.9g", (int)kind, (double)x[j],
                             (double)y[j], expected);
            }
        }
    }
}

/* The limits at both ends, NaN stays NaN, an infinite dy is seen. */
static void infinite_numbers_give_the_limits(void **state)
{
    (void)state;
    const float x[4] = { INFINITY, -INFINITY, NAN, 1 };
    const float one[4] = { 1, 1, 1, INFINITY };
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++) {
        const struct vlm_kernels *kernels = vlm_kernels_named(every_kernel[k]);
        for (size_t i = 0; kernels && i < VLM_COUNTOF(every_kind); i++) {
            enum vlm_activation kind = every_kind[i];
            bool bounded = kind == VLM_TANH || kind == VLM_SIGMOID;
            float y[4], dx[4];
            kernels->rows->activate(kind, y, x, 4);
            assert_true(bounded ? y[0] == 1 : y[0] == INFINITY);
            float low = kind == VLM_LINEAR ? -INFINITY : kind == VLM_TANH ? -1 : 0;
            assert_true(y[1] == low);
            assert_true(isnan(y[2]));
            kernels->rows->activate_backward(kind, dx, x, one, 4);
            assert_true(dx[0] == (bounded ? 0 : kind == VLM_RELU_SQUARED ? INFINITY : 1));
            assert_true(dx[1] == (kind == VLM_LINEAR ? 1 : 0));
            assert_true(kind == VLM_LINEAR || isnan(dx[2]));
            assert_true(isinf(dx[3]));
        }
    }
}

/* A number has the same bits wherever it stands, in place or not. */
static void bits_do_not_depend_on_the_place(void **state)
{
    (void)state;
    float x[40], y[40], alone, dy[40], dx[40];
    nn_fill(x, 40, 1);
    nn_fill(dy, 40, 2);
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++) {
        const struct vlm_kernels *kernels = vlm_kernels_named(every_kernel[k]);
        for (size_t i = 0; kernels && i < VLM_COUNTOF(every_kind); i++)
            for (size_t n = 0; n <= 40; n++) {
                y[n % 40] = 123;
                kernels->rows->activate(every_kind[i], y, x, n);
                assert_true(n == 40 || y[n] == 123);
                for (size_t j = 0; j < n; j++) {
                    alone = x[j];
                    kernels->rows->activate(every_kind[i], &alone, &alone, 1);
                    nn_check_bits(&alone, &y[j], 1);
                }
                memcpy(dx, dy, sizeof(dx));
                kernels->rows->activate_backward(every_kind[i], dx, x, dx, n);
                nn_check_bits(dx + n, dy + n, 40 - n);
                for (size_t j = 0; j < n; j++) {
                    kernels->rows->activate_backward(every_kind[i], &alone, &x[j], &dy[j], 1);
                    nn_check_bits(&alone, &dx[j], 1);
                }
            }
    }
}

/* ---- ops ---- */

struct op {
    struct vlm_tensor *a, *b, *c;
    enum vlm_activation kind;
};

static struct vlm_tensor *run_activate(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_activate(tape, op->a, op->kind);
}

static struct vlm_tensor *run_add(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_add(tape, op->a, op->b);
}

static struct vlm_tensor *run_add_scaled(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_add(tape, vlm_scale(tape, op->a, 2), vlm_scale(tape, op->b, 2));
}

static struct vlm_tensor *run_add_twice(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    struct vlm_tensor *b = vlm_scale(tape, op->b, 2);
    return vlm_add(tape, vlm_add(tape, op->a, b), b);
}

static struct vlm_tensor *run_multiply(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_multiply(tape, op->a, op->b);
}

static struct vlm_tensor *run_swiglu(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_swiglu(tape, op->a, op->b);
}

static struct vlm_tensor *run_scale(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_scale(tape, op->a, -1.75f);
}

static struct vlm_tensor *run_gated(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    return vlm_gated_residual(tape, op->a, op->b, op->c);
}

/* All at once: results with several uses, so gradients are given, added and stored. */
static struct vlm_tensor *run_several(struct vlm_tape *tape, void *context)
{
    struct op *op = context;
    struct vlm_tensor *x = vlm_multiply(tape, op->a, op->a);
    x = vlm_add(tape, x, vlm_activate(tape, x, VLM_SILU));
    x = vlm_add(tape, x, x);
    x = vlm_swiglu(tape, x, vlm_scale(tape, x, 0.5f));
    x = vlm_gated_residual(tape, x, vlm_multiply(tape, x, op->b), op->c);
    struct vlm_tensor *y = vlm_gated_residual(tape, x, x, op->c);
    return vlm_multiply(tape, vlm_multiply(tape, y, x), op->b); /* x has a gradient before y has */
}

static double expected_of(nn_forward forward, const struct op *op, size_t i)
{
    double a = (double)op->a->data[i];
    double b = (double)op->b->data[i % vlm_tensor_count(op->b)];
    if (forward == run_activate)
        return value_of(op->kind, a);
    if (forward == run_add)
        return a + b;
    if (forward == run_multiply)
        return a * b;
    if (forward == run_swiglu)
        return a * sigmoid(a) * b;
    if (forward == run_scale)
        return -1.75 * a;
    return a + tanh((double)op->c->data[0]) * b;
}

static const nn_forward every_op[] = { run_activate, run_add,   run_multiply,
                                       run_swiglu,   run_scale, run_gated };

static void check_op(const char *kernels, nn_forward forward, size_t rows, size_t cols)
{
    struct nn nn;
    struct vlm_err err = { 0 };
    nn_begin(&nn, kernels, 2);
    struct op op = { .kind = VLM_GELU_TANH };
    op.a = nn_tensor(&nn, 2, (size_t[]){ rows, cols });
    op.b = nn_tensor(&nn, 2, (size_t[]){ rows, cols });
    op.c = nn_tensor(&nn, 1, (size_t[]){ 1 });
    if (!nn.skip && forward != run_several) {
        struct vlm_tensor *y = forward(&nn.tape, &op);
        assert_int_equal(vlm_tape_error(&nn.tape, &err), VLM_OK);
        for (size_t i = 0; i < rows * cols; i++) {
            double expected = expected_of(forward, &op, i);
            nn_check_close(&y->data[i], &expected, 1, 1e-6);
        }
        vlm_tape_reset(&nn.tape);
    }
    if (!nn.skip)
        nn_check_gradients(&nn, forward, &op, forward == run_several ? 3e-3 : 1e-2, 1e-3);
    nn_end(&nn);
}

static void ops_match_plain_loops_and_differences(void **state)
{
    (void)state;
    const size_t shape[][2] = { { 0, 5 }, { 1, 1 }, { 3, 5 }, { 1, 37 } };
    for (size_t k = 0; k < VLM_COUNTOF(every_kernel); k++)
        for (size_t s = 0; s < VLM_COUNTOF(shape); s++) {
            for (size_t i = 0; i < VLM_COUNTOF(every_op); i++)
                check_op(every_kernel[k], every_op[i], shape[s][0], shape[s][1]);
            check_op(every_kernel[k], run_several, shape[s][0], shape[s][1]);
        }
}

static void add_repeats_the_second(void **state)
{
    (void)state;
    struct nn nn;
    nn_begin(&nn, NULL, 2);
    struct op op = { 0 };
    op.a = nn_tensor(&nn, 3, (size_t[]){ 3, 2, 7 });
    op.b = nn_tensor(&nn, 2, (size_t[]){ 2, 7 });
    struct vlm_tensor *y = run_add(&nn.tape, &op);
    for (size_t i = 0; i < 42; i++)
        assert_true(y->data[i] == op.a->data[i] + op.b->data[i % 14]);
    vlm_tape_reset(&nn.tape);
    nn_check_gradients(&nn, run_add, &op, 1e-2, 1e-3);
    nn_end(&nn);
    /* Both buffers of gradients are new ones here, or in use already. */
    for (size_t rows = 0; rows < 3; rows++)
        for (unsigned twice = 0; twice < 2; twice++) {
            nn_begin(&nn, NULL, 2);
            op.a = nn_tensor(&nn, 2, (size_t[]){ rows, 150 });
            op.b = nn_tensor(&nn, 1, (size_t[]){ 150 });
            nn_check_gradients(&nn, twice ? run_add_twice : run_add_scaled, &op, 1e-2, 1e-3);
            nn_end(&nn);
        }
}

/* More numbers than a task has, so that threads share the work; b is repeated at odd places. */
static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    enum { ROWS = 101, COLS = 401 };
    static float first[2 * ROWS * COLS + COLS + 1];
    for (size_t threads = 1; threads <= 7; threads += 2) {
        struct nn nn;
        nn_begin(&nn, NULL, threads == 5 ? 2 : threads);
        struct op op = { 0 };
        op.a = nn_tensor(&nn, 2, (size_t[]){ ROWS, COLS });
        op.b = nn_tensor(&nn, 2, (size_t[]){ ROWS, COLS });
        op.c = nn_tensor(&nn, 1, (size_t[]){ 1 });
        nn_backward(&nn, run_several, &op);
        nn_same_gradients(&nn, first, threads == 1);
        nn_end(&nn);
    }
}

/* Inputs without a gradient get none; one that is wanted beside them is right. */
static void only_what_is_wanted_is_derived(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(every_op); i++)
        for (unsigned wanted = 1; wanted < 8; wanted++) {
            struct nn nn;
            nn_begin(&nn, NULL, 1);
            struct op op = { .kind = VLM_SILU };
            op.a = nn_tensor(&nn, 2, (size_t[]){ 2, 9 });
            op.b = nn_tensor(&nn, 2, (size_t[]){ 2, 9 });
            op.c = nn_tensor(&nn, 1, (size_t[]){ 1 });
            for (size_t t = 0; t < 3; t++) {
                nn.tensor[t]->needs_grad = wanted >> t & 1;
                if (!nn.tensor[t]->needs_grad) {
                    free(nn.tensor[t]->grad);
                    nn.tensor[t]->grad = NULL;
                }
            }
            nn_check_gradients(&nn, every_op[i], &op, 1e-2, 1e-3);
            for (size_t t = 0; t < 3; t++)
                assert_true(nn.tensor[t]->needs_grad || !nn.tensor[t]->grad);
            nn_end(&nn);
        }
}

static void a_dry_tape_takes_the_same_memory(void **state)
{
    (void)state;
    size_t peak[2];
    for (unsigned dry = 0; dry < 2; dry++) {
        struct nn nn;
        nn_begin_with(&nn, NULL, 2, VLM_F32, dry ? VLM_TAPE_DRY : 0);
        struct op op = { 0 };
        op.a = nn_tensor(&nn, 2, (size_t[]){ 70, 300 });
        op.b = nn_tensor(&nn, 2, (size_t[]){ 70, 300 });
        op.c = nn_tensor(&nn, 1, (size_t[]){ 1 });
        nn_backward(&nn, run_several, &op);
        peak[dry] = vlm_tape_peak(&nn.tape);
        nn_end(&nn);
    }
    assert_int_equal(peak[0], peak[1]);
}

static void nan_and_infinity_come_out(void **state)
{
    (void)state;
    const float bad[] = { NAN, INFINITY };
    for (size_t i = 0; i < VLM_COUNTOF(every_op); i++)
        for (size_t b = 0; b < VLM_COUNTOF(bad); b++) {
            struct nn nn;
            nn_begin(&nn, NULL, 1);
            struct op op = { .kind = VLM_RELU };
            op.a = nn_tensor(&nn, 2, (size_t[]){ 1, 20 });
            op.b = nn_tensor(&nn, 2, (size_t[]){ 1, 20 });
            op.c = nn_tensor(&nn, 1, (size_t[]){ 1 });
            op.a->data[17] = bad[b];
            struct vlm_tensor *y = every_op[i](&nn.tape, &op);
            for (size_t j = 0; j < 20; j++)
                assert_true((isfinite(y->data[j]) != 0) == (j != 17));
            nn_end(&nn);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_exact_to_four_units),
        cmocka_unit_test(slopes_are_exact),
        cmocka_unit_test(infinite_numbers_give_the_limits),
        cmocka_unit_test(bits_do_not_depend_on_the_place),
        cmocka_unit_test(ops_match_plain_loops_and_differences),
        cmocka_unit_test(add_repeats_the_second),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(only_what_is_wanted_is_derived),
        cmocka_unit_test(a_dry_tape_takes_the_same_memory),
        cmocka_unit_test(nan_and_infinity_come_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
