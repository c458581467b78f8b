/* test_image_ops.c - what stands between convolutions: group normalisation, resampling, quantisers;
 * against plain loops in double and finite differences. */
#include "base/vlm.h"

#include "nn/ops/groupnorm.h"
#include "nn/ops/quantise.h"
#include "nn/ops/resample.h"

#include "tests/nn_fixture.h"

static const char *const kinds[] = { "plain", "avx2", "avx512", "avx512-bf16" };

/* ---- group normalisation ---- */

struct norm_context {
    struct vlm_tensor *x;
    struct vlm_groupnorm norm;
    float *y;                /* copy of the result, or NULL */
    struct vlm_tensor *book; /* for run_all() */
};

static struct vlm_tensor *run_norm(struct vlm_tape *tape, void *argument)
{
    struct norm_context *context = argument;
    struct vlm_tensor *y = vlm_groupnorm(tape, context->x, &context->norm);
    if (context->y && vlm_tape_runs(tape))
        memcpy(context->y, y->data, vlm_tensor_count(y) * sizeof(float));
    return y;
}

static const size_t norm_shapes[][5] = {
    /* images, height, width, channels, groups */
    { 1, 1, 1, 2, 1 },  { 2, 5, 7, 6, 3 },     { 3, 1, 37, 32, 32 }, { 1, 37, 17, 48, 16 },
    { 2, 4, 4, 33, 1 }, { 1, 23, 29, 37, 37 }, { 0, 4, 4, 8, 2 },    { 2, 0, 4, 8, 2 },
};

static void setup_norm(struct nn *nn, struct norm_context *context, const size_t shape[5],
                       bool silu)
{
    memset(context, 0, sizeof(*context));
    context->x = nn_tensor(nn, 4, shape);
    context->norm = (struct vlm_groupnorm){
        .weight = nn_tensor(nn, 1, shape + 3),
        .bias = nn_tensor(nn, 1, shape + 3),
        .groups = shape[4],
        .eps = 1e-6f,
        .silu = silu,
    };
}

/* Mean and deviation of the group that number `at` belongs to, in double. */
static void group_statistics(const struct norm_context *context, size_t image, size_t group,
                             double *mean, double *rstd)
{
    const struct vlm_tensor *x = context->x;
    size_t pixels = x->shape[1] * x->shape[2], channels = x->shape[3];
    size_t width = channels / context->norm.groups;
    double sum = 0, square = 0, n = (double)(pixels * width);
    for (size_t pass = 0; pass < 2; pass++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = group * width; c < (group + 1) * width; c++) {
                double v = (double)x->data[(image * pixels + p) * channels + c];
                sum += pass ? 0 : v;
                square += pass ? (v - sum / n) * (v - sum / n) : 0;
            }
    *mean = sum / n;
    *rstd = 1 / sqrt(square / n + (double)context->norm.eps);
}

static void check_norm_result(const struct norm_context *context, double tolerance)
{
    const struct vlm_tensor *x = context->x;
    size_t pixels = x->shape[1] * x->shape[2], channels = x->shape[3];
    size_t width = channels / context->norm.groups;
    double *expected = calloc(vlm_tensor_count(x) + 1, sizeof(double));
    assert_non_null(expected);
    for (size_t image = 0; image < x->shape[0]; image++)
        for (size_t group = 0; group < context->norm.groups; group++) {
            double mean, rstd;
            group_statistics(context, image, group, &mean, &rstd);
            for (size_t i = 0; i < pixels * width; i++) {
                size_t c = group * width + i % width;
                size_t at = (image * pixels + i / width) * channels + c;
                double u =
                    ((double)x->data[at] - mean) * rstd * (double)context->norm.weight->data[c] +
                    (double)context->norm.bias->data[c];
                expected[at] = context->norm.silu ? u / (1 + exp(-u)) : u;
            }
        }
    nn_check_close(context->y, expected, vlm_tensor_count(x), tolerance);
    free(expected);
}

static void norm_equals_plain_loops(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(kinds) * VLM_COUNTOF(norm_shapes) * 2; i++) {
        struct nn nn;
        struct norm_context context;
        nn_begin(&nn, kinds[i / 2 % VLM_COUNTOF(kinds)], 2);
        if (!nn.skip) {
            setup_norm(&nn, &context, norm_shapes[i / 2 / VLM_COUNTOF(kinds)], i % 2);
            context.y = malloc(vlm_tensor_count(context.x) * sizeof(float) + 1);
            nn_backward(&nn, run_norm, &context);
            check_norm_result(&context, 2e-6);
            free(context.y);
        }
        nn_end(&nn);
    }
}

/* A large mean costs no digits: numbers near 1000 that differ in the fourth digit behind the point. */
static void norm_keeps_digits(void **state)
{
    (void)state;
    struct nn nn;
    struct norm_context context;
    nn_begin(&nn, NULL, 1);
    setup_norm(&nn, &context, (size_t[]){ 2, 19, 23, 32, 8 }, false);
    size_t n = vlm_tensor_count(context.x);
    for (size_t i = 0; i < n; i++)
        context.x->data[i] = 1000 + 0.02f * context.x->data[i];
    context.y = malloc(n * sizeof(float));
    run_norm(&nn.tape, &context);
    check_norm_result(&context, 1e-5);
    free(context.y);
    nn_end(&nn);
}

static void norm_gradients_are_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(kinds) * 2; i++) {
        struct nn nn;
        struct norm_context context;
        nn_begin(&nn, kinds[i / 2], 2);
        if (!nn.skip) {
            setup_norm(&nn, &context, (size_t[]){ 2, 3, 5, 18, 3 }, i % 2);
            nn_check_gradients(&nn, run_norm, &context, 1e-2, 3e-3);
        }
        nn_end(&nn);
    }
}

static void norm_bits_are_fixed(void **state)
{
    (void)state;
    static const size_t threads[] = { 1, 2, 3, 7 };
    const size_t shape[] = { 3, 37, 17, 40, 8 };
    float *y[4], *dx[4], *dw[4];
    size_t n = 3 * 37 * 17 * 40;
    for (size_t t = 0; t < 4; t++) {
        struct nn nn;
        struct norm_context context;
        nn_begin(&nn, NULL, threads[t]);
        setup_norm(&nn, &context, shape, true);
        y[t] = context.y = malloc(n * sizeof(float));
        dx[t] = malloc(n * sizeof(float));
        dw[t] = malloc(40 * sizeof(float));
        nn_backward(&nn, run_norm, &context);
        memcpy(dx[t], context.x->grad, n * sizeof(float));
        memcpy(dw[t], context.norm.weight->grad, 40 * sizeof(float));
        nn_check_bits(y[t], y[0], n);
        nn_check_bits(dx[t], dx[0], n);
        nn_check_bits(dw[t], dw[0], 40);
        /* The last image alone. */
        struct vlm_tensor alone = *context.x;
        alone.shape[0] = 1;
        alone.data += n / 3 * 2;
        struct vlm_tensor *one = vlm_groupnorm(&nn.tape, &alone, &context.norm);
        nn_check_bits(one->data, y[0] + n / 3 * 2, n / 3);
        nn_end(&nn);
    }
    for (size_t t = 0; t < 4; t++) {
        free(y[t]);
        free(dx[t]);
        free(dw[t]);
    }
}

/* In inference the result may take the place of x. */
static void norm_in_place_has_the_same_bits(void **state)
{
    (void)state;
    const size_t shape[] = { 2, 37, 17, 40, 8 };
    struct nn nn;
    struct norm_context context;
    nn_begin_with(&nn, NULL, 2, VLM_F32, VLM_TAPE_FORWARD);
    setup_norm(&nn, &context, shape, true);
    struct vlm_tensor *y = vlm_groupnorm(&nn.tape, context.x, &context.norm);
    context.norm.into = context.x;
    assert_ptr_equal(vlm_groupnorm(&nn.tape, context.x, &context.norm), context.x);
    nn_check_bits(context.x->data, y->data, vlm_tensor_count(y));
    nn_end(&nn);
}

static void norm_shows_bad_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(kinds) * 2; i++) {
        struct nn nn;
        struct norm_context context;
        nn_begin(&nn, kinds[i / 2], 1);
        if (!nn.skip) {
            setup_norm(&nn, &context, (size_t[]){ 2, 3, 5, 8, 2 }, true);
            context.x->data[5 * 8 + 1] = i % 2 ? NAN : INFINITY;
            struct vlm_tensor *y = run_norm(&nn.tape, &context);
            for (size_t at = 0; at < 15 * 8; at++)
                if (at % 8 < 4)
                    assert_true(isnan(y->data[at]));
                else
                    assert_true(y->data[at] == y->data[at]);
            for (size_t at = 15 * 8; at < 30 * 8; at++)
                assert_true(y->data[at] == y->data[at]);
        }
        nn_end(&nn);
    }
}

/* ---- resampling ---- */

enum move { UPSAMPLE, DOWNSAMPLE, MEAN, TO_DEPTH, TO_SPACE };

struct move_context {
    struct vlm_tensor *x;
    enum move move;
    size_t block;
};

static struct vlm_tensor *run_move(struct vlm_tape *tape, void *argument)
{
    struct move_context *context = argument;
    switch (context->move) {
    case UPSAMPLE:
        return vlm_upsample(tape, context->x);
    case DOWNSAMPLE:
        return vlm_downsample(tape, context->x);
    case MEAN:
        return vlm_mean_pixels(tape, context->x);
    case TO_DEPTH:
        return vlm_space_to_depth(tape, context->x, context->block);
    case TO_SPACE:
        break;
    }
    return vlm_depth_to_space(tape, context->x, context->block);
}

/* Adds x(n, r, c, k) / parts to the result's place that the definition gives it. */
static void move_number(const struct move_context *context, const struct vlm_tensor *y,
                        double *expected, const size_t at[4], double value)
{
    size_t block = context->block, channels = context->x->shape[3];
    size_t r = at[1], c = at[2], k = at[3];
    size_t wide = y->rank == 4 ? y->shape[2] : 1, deep = vlm_tensor_cols(y);
    size_t high = y->rank == 4 ? y->shape[1] : 1;
    switch (context->move) {
    case UPSAMPLE:
        for (size_t i = 0; i < 4; i++)
            expected[((at[0] * high + 2 * r + i / 2) * wide + 2 * c + i % 2) * deep + k] = value;
        break;
    case DOWNSAMPLE:
        if (r / 2 < high && c / 2 < wide)
            expected[((at[0] * high + r / 2) * wide + c / 2) * deep + k] += value / 4;
        break;
    case MEAN:
        expected[at[0] * deep + k] += value / (double)(context->x->shape[1] * context->x->shape[2]);
        break;
    case TO_DEPTH:
        expected[((at[0] * high + r / block) * wide + c / block) * deep +
                 (r % block * block + c % block) * channels + k] = value;
        break;
    case TO_SPACE:
        expected[((at[0] * high + r * block + k / deep / block) * wide + c * block +
                  k / deep % block) *
                     deep +
                 k % deep] = value;
        break;
    }
}

static const struct {
    enum move move;
    size_t block, shape[4];
} moves[] = {
    { UPSAMPLE, 2, { 2, 3, 5, 7 } },   { UPSAMPLE, 2, { 1, 1, 37, 20 } },
    { DOWNSAMPLE, 2, { 2, 4, 6, 5 } }, { DOWNSAMPLE, 2, { 1, 7, 5, 19 } },
    { DOWNSAMPLE, 2, { 1, 1, 1, 3 } }, { MEAN, 0, { 3, 37, 2, 17 } },
    { MEAN, 0, { 1, 1, 1, 1 } },       { TO_DEPTH, 4, { 2, 8, 12, 3 } },
    { TO_DEPTH, 1, { 1, 3, 2, 2 } },   { TO_DEPTH, 3, { 1, 3, 9, 5 } },
    { TO_SPACE, 4, { 2, 2, 3, 48 } },  { TO_SPACE, 2, { 1, 5, 1, 12 } },
    { UPSAMPLE, 2, { 0, 3, 5, 7 } },   { TO_DEPTH, 4, { 2, 0, 4, 3 } },
    { MEAN, 0, { 2, 0, 3, 4 } },
};

static void moves_equal_plain_loops(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(moves) * VLM_COUNTOF(kinds); i++) {
        struct nn nn;
        nn_begin(&nn, kinds[i % VLM_COUNTOF(kinds)], 2);
        struct move_context context = { .move = moves[i / VLM_COUNTOF(kinds)].move,
                                        .block = moves[i / VLM_COUNTOF(kinds)].block };
        if (!nn.skip) {
            context.x = nn_tensor(&nn, 4, moves[i / VLM_COUNTOF(kinds)].shape);
            struct vlm_tensor *y = run_move(&nn.tape, &context);
            double *expected = calloc(vlm_tensor_count(y) + 1, sizeof(double));
            assert_non_null(expected);
            const size_t *s = context.x->shape;
            for (size_t at = 0; at < vlm_tensor_count(context.x); at++)
                move_number(&context, y, expected,
                            (size_t[]){ at / s[3] / s[2] / s[1], at / s[3] / s[2] % s[1],
                                        at / s[3] % s[2], at % s[3] },
                            (double)context.x->data[at]);
            nn_check_close(y->data, expected, vlm_tensor_count(y), 1e-6);
            free(expected);
            vlm_tape_reset(&nn.tape);
            nn_check_gradients(&nn, run_move, &context, 0.1, 1e-4);
        }
        nn_end(&nn);
    }
}

static void there_and_back(void **state)
{
    (void)state;
    struct nn nn;
    nn_begin(&nn, NULL, 2);
    struct vlm_tensor *x = nn_tensor(&nn, 4, (size_t[]){ 2, 8, 12, 5 });
    struct vlm_tensor *y = vlm_space_to_depth(&nn.tape, x, 4);
    y = vlm_depth_to_space(&nn.tape, y, 4);
    nn_check_bits(y->data, x->data, vlm_tensor_count(x));
    y = vlm_downsample(&nn.tape, vlm_upsample(&nn.tape, x));
    nn_check_bits(y->data, x->data, vlm_tensor_count(x));
    nn_end(&nn);
}

/* ---- quantisers ---- */

struct quantise_context {
    struct vlm_tensor *z;
    struct vlm_quantise quantise;
    bool unit, loss; /* which result is differentiated */
};

static struct vlm_tensor *run_quantise(struct vlm_tape *tape, void *argument)
{
    struct quantise_context *context = argument;
    struct vlm_tensor *loss, *z = context->z;
    struct vlm_quantise quantise = context->quantise;
    if (context->unit) {
        z = vlm_unit_rows(tape, z);
        quantise.codebook = vlm_unit_rows(tape, quantise.codebook);
    }
    struct vlm_tensor *q = vlm_quantise(tape, z, &quantise, &loss);
    return context->loss ? loss : q;
}

static uint32_t nearest(const float *z, const struct vlm_tensor *codebook)
{
    double best = INFINITY;
    size_t width = codebook->shape[1];
    uint32_t code = 0;
    for (uint32_t k = 0; k < codebook->shape[0]; k++) {
        double d = 0;
        for (size_t i = 0; i < width; i++)
            d += pow((double)z[i] - (double)codebook->data[k * width + i], 2);
        if (d < best) {
            best = d;
            code = k;
        }
    }
    return code;
}

static const size_t books[][3] = { /* rows, codes, width */
                                   { 1, 1, 1 },    { 37, 1, 5 },    { 700, 37, 8 },
                                   { 300, 64, 3 }, { 5, 1000, 17 }, { 0, 4, 4 }
};

/* Every third time many ties: numbers of a coarse grid, and codes that occur twice. And every third
 * time codes so near to each other, far from 0, that their scores in fp32 mean nothing. */
static void place(struct vlm_tensor *t, size_t how)
{
    for (size_t i = 0; i < vlm_tensor_count(t); i++)
        if (how == 1)
            t->data[i] = roundf(2 * t->data[i]) / 4;
        else if (how == 2)
            t->data[i] = 1000 + 0.01f * t->data[i];
}

static void nearest_is_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(books) * VLM_COUNTOF(kinds) * 3; i++) {
        const size_t *s = books[i / 3 / VLM_COUNTOF(kinds)];
        struct nn nn;
        nn_begin(&nn, kinds[i / 3 % VLM_COUNTOF(kinds)], 3);
        if (!nn.skip) {
            uint32_t *codes = calloc(s[0] + 1, sizeof(*codes));
            assert_non_null(codes);
            struct quantise_context context = {
                .z = nn_tensor(&nn, 2, (size_t[]){ s[0], s[2] }),
                .quantise = { .codebook = nn_tensor(&nn, 2, (size_t[]){ s[1], s[2] }),
                              .codes = codes },
            };
            struct vlm_tensor *book = context.quantise.codebook;
            place(context.z, i % 3);
            place(book, i % 3);
            struct vlm_tensor *q = run_quantise(&nn.tape, &context);
            for (size_t r = 0; r < s[0]; r++) {
                assert_int_equal(codes[r], nearest(context.z->data + r * s[2], book));
                nn_check_bits(q->data + r * s[2], book->data + codes[r] * s[2], s[2]);
            }
            free(codes);
        }
        nn_end(&nn);
    }
}

static void expect_failure(struct nn *nn, const char *sentence)
{
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_tape_error(&nn->tape, &err), VLM_EFORMAT);
    assert_string_equal(err.msg, sentence);
    vlm_tape_reset(&nn->tape);
}

static void bad_numbers_have_no_code(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    static const unsigned levels[] = { 8, 5, 5 };
    for (size_t i = 0; i < VLM_COUNTOF(bad); i++) {
        struct nn nn;
        nn_begin(&nn, NULL, 2);
        uint32_t codes[700];
        struct quantise_context context = {
            .z = nn_tensor(&nn, 2, (size_t[]){ 700, 3 }),
            .quantise = { .codebook = nn_tensor(&nn, 2, (size_t[]){ 10, 3 }), .codes = codes },
        };
        context.z->data[601 * 3 + 2] = bad[i];
        run_quantise(&nn.tape, &context);
        expect_failure(&nn, "row 601 has a number that is not finite: no code for it");
        vlm_fsq(&nn.tape, context.z,
                &(struct vlm_fsq){ .levels = levels, .dims = 3, .codes = codes });
        expect_failure(&nn, "row 601 has a number that is not finite: no code for it");
        context.z->data[601 * 3 + 2] = 0;
        context.quantise.codebook->data[5] = bad[i];
        run_quantise(&nn.tape, &context);
        expect_failure(&nn, "codebook \"test\" has a number that is not finite");
        nn_end(&nn);
    }
}

/* The loss is 2 terms of the same value; where their gradients go depends on beta and legacy. */
static void loss_and_gradients(void **state)
{
    (void)state;
    for (size_t legacy = 0; legacy < 2; legacy++) {
        struct nn nn;
        enum { ROWS = 40, CODES = 7, WIDTH = 20 };
        nn_begin(&nn, NULL, 3);
        uint32_t codes[ROWS];
        struct quantise_context context = {
            .z = nn_tensor(&nn, 2, (size_t[]){ ROWS, WIDTH }),
            .quantise = { .codebook = nn_tensor(&nn, 2, (size_t[]){ CODES, WIDTH }),
                          .codes = codes,
                          .beta = 0.25f,
                          .legacy = legacy },
            .loss = true,
        };
        struct vlm_tensor *book = context.quantise.codebook;
        double value = nn_backward(&nn, run_quantise, &context) / (double)nn_random(7, 0);
        double mean = 0, de[CODES * WIDTH] = { 0 }, dz[ROWS * WIDTH];
        double to_z = legacy ? 1 : 0.25, to_book = legacy ? 0.25 : 1, g = (double)nn_random(7, 0);
        for (size_t i = 0; i < ROWS * WIDTH; i++) {
            size_t at = codes[i / WIDTH] * WIDTH + i % WIDTH;
            double d = (double)context.z->data[i] - (double)book->data[at];
            mean += d * d / (ROWS * WIDTH);
            dz[i] = g * to_z * 2 * d / (ROWS * WIDTH);
            de[at] -= g * to_book * 2 * d / (ROWS * WIDTH);
        }
        assert_true(fabs(value - 1.25 * mean) < 1e-6);
        nn_check_close(context.z->grad, dz, ROWS * WIDTH, 1e-7);
        nn_check_close(book->grad, de, CODES * WIDTH, 1e-7);
        /* Straight through: z gets the gradient of q, the codebook nothing. */
        context.loss = false;
        nn_backward(&nn, run_quantise, &context);
        for (size_t i = 0; i < ROWS * WIDTH; i++)
            assert_true(context.z->grad[i] == nn_random(7, i));
        for (size_t i = 0; i < CODES * WIDTH; i++)
            assert_true(book->grad[i] == 0);
        nn_end(&nn);
    }
}

static struct vlm_tensor *run_unit(struct vlm_tape *tape, void *argument)
{
    return vlm_unit_rows(tape, argument);
}

static void unit_rows(void **state)
{
    (void)state;
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    struct vlm_tensor *x = nn_tensor(&nn, 2, (size_t[]){ 9, 7 });
    struct vlm_tensor *y = vlm_unit_rows(&nn.tape, x);
    for (size_t r = 0; r < 9; r++) {
        double sum = 0;
        for (size_t i = 0; i < 7; i++)
            sum += pow((double)y->data[r * 7 + i], 2);
        assert_true(fabs(sum - 1) < 1e-6);
    }
    vlm_tape_reset(&nn.tape);
    nn_check_gradients(&nn, run_unit, x, 1e-2, 1e-3);
    memset(x->data, 0, 7 * sizeof(float));
    x->data[7] = NAN;
    y = vlm_unit_rows(&nn.tape, x);
    for (size_t i = 0; i < 7; i++) {
        assert_true(y->data[i] == 0);
        assert_true(isnan(y->data[7 + i]));
    }
    nn_end(&nn);
}

/* Every code is reached from its own numbers, and gives them back. */
static void fsq_is_a_bijection(void **state)
{
    (void)state;
    static const unsigned levels[][5] = {
        { 8, 6, 5 }, { 8, 5, 5, 5 }, { 7, 5, 5, 5, 5 }, { 2, 3 }
    };
    static const size_t dims[] = { 3, 4, 5, 2 }, codes[] = { 240, 1000, 4375, 6 };
    for (size_t i = 0; i < VLM_COUNTOF(dims); i++) {
        struct nn nn;
        nn_begin(&nn, NULL, 1);
        assert_int_equal(vlm_fsq_codes(levels[i], dims[i]), codes[i]);
        struct vlm_tensor *z = nn_tensor(&nn, 2, (size_t[]){ codes[i], dims[i] });
        uint32_t *got = calloc(codes[i], sizeof(*got));
        assert_non_null(got);
        float *values = calloc(codes[i] * dims[i], sizeof(*values));
        assert_non_null(values);
        for (uint32_t code = 0; code < codes[i]; code++)
            vlm_fsq_values(values + code * dims[i], levels[i], dims[i], code);
        for (size_t j = 0; j < codes[i] * dims[i]; j++) { /* undo the bound */
            unsigned l = levels[i][j % dims[i]];
            double half = (l - 1) * 1.001 / 2, offset = l % 2 ? 0 : 0.5;
            double level = (double)values[j] * (l / 2);
            z->data[j] = (float)(atanh((level + offset) / half * 0.9999) - atanh(offset / half));
        }
        struct vlm_fsq fsq = { .levels = levels[i], .dims = dims[i], .codes = got };
        struct vlm_tensor *q = vlm_fsq(&nn.tape, z, &fsq);
        for (uint32_t code = 0; code < codes[i]; code++)
            assert_int_equal(got[code], code);
        nn_check_bits(q->data, values, codes[i] * dims[i]);
        free(got);
        free(values);
        nn_end(&nn);
    }
}

static const unsigned fsq_levels[] = { 8, 5, 2 };

static struct vlm_tensor *run_fsq(struct vlm_tape *tape, void *argument)
{
    return vlm_fsq(tape, argument, &(struct vlm_fsq){ .levels = fsq_levels, .dims = 3 });
}

/* The gradient is that of the bound, as if nothing were rounded. */
static void fsq_gradient(void **state)
{
    (void)state;
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    struct vlm_tensor *z = nn_tensor(&nn, 2, (size_t[]){ 50, 3 });
    nn_backward(&nn, run_fsq, z);
    for (size_t i = 0; i < 150; i++) {
        unsigned l = fsq_levels[i % 3];
        double half = (l - 1) * 1.001 / 2, shift = atanh((l % 2 ? 0 : 0.5) / half);
        double high = tanh((double)z->data[i] + 1e-5 + shift) * half / (l / 2);
        double low = tanh((double)z->data[i] - 1e-5 + shift) * half / (l / 2);
        assert_true(fabs((high - low) / 2e-5 * (double)nn_random(7, i) - (double)z->grad[i]) <
                    1e-6);
    }
    nn_end(&nn);
}

/* ---- memory ---- */

/* All ops in a row: a dry tape counts what a real one takes. */
static struct vlm_tensor *run_all(struct vlm_tape *tape, void *argument)
{
    struct norm_context *context = argument;
    struct vlm_tensor *loss, *h = vlm_groupnorm(tape, context->x, &context->norm);
    h = vlm_downsample(tape, vlm_upsample(tape, h));
    h = vlm_depth_to_space(tape, vlm_space_to_depth(tape, h, 2), 2);
    h = vlm_unit_rows(tape, h);
    struct vlm_quantise quantise = { .codebook = context->book, .beta = 1 };
    h = vlm_quantise(tape, h, &quantise, &loss);
    static const unsigned levels[] = { 8, 5, 5, 5, 2, 2, 2, 2 };
    h = vlm_fsq(tape, h, &(struct vlm_fsq){ .levels = levels, .dims = 8 });
    return vlm_mean_pixels(tape, h);
}

static void a_dry_tape_counts_the_same_memory(void **state)
{
    (void)state;
    size_t peak[2];
    for (size_t dry = 0; dry < 2; dry++) {
        struct nn nn;
        struct norm_context context;
        nn_begin_with(&nn, NULL, 2, VLM_F32, dry ? VLM_TAPE_DRY : 0);
        setup_norm(&nn, &context, (size_t[]){ 2, 8, 6, 8, 2 }, true);
        context.book = nn_tensor(&nn, 2, (size_t[]){ 5, 8 });
        nn_backward(&nn, run_all, &context);
        peak[dry] = vlm_tape_peak(&nn.tape);
        nn_end(&nn);
    }
    assert_int_equal(peak[0], peak[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_equals_plain_loops),
        cmocka_unit_test(norm_keeps_digits),
        cmocka_unit_test(norm_gradients_are_differences),
        cmocka_unit_test(norm_bits_are_fixed),
        cmocka_unit_test(norm_in_place_has_the_same_bits),
        cmocka_unit_test(norm_shows_bad_numbers),
        cmocka_unit_test(moves_equal_plain_loops),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(nearest_is_exact),
        cmocka_unit_test(bad_numbers_have_no_code),
        cmocka_unit_test(loss_and_gradients),
        cmocka_unit_test(unit_rows),
        cmocka_unit_test(fsq_is_a_bijection),
        cmocka_unit_test(fsq_gradient),
        cmocka_unit_test(a_dry_tape_counts_the_same_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
