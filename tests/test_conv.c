/* test_conv.c - convolution against plain loops in double, forward and backward, for all kinds of
 * kernels: odd sizes, strides, paddings, channel counts that fill no vector; bits that do not depend on
 * threads or on the other images; NaN and infinities that come out. */
#include "base/vlm.h"

#include "nn/ops/conv2d.h"

#include "tests/nn_fixture.h"

static const char *const kinds[] = { "plain", "avx2", "avx512", "avx512-bf16" };

struct shape {
    size_t images, height, width, in, out, taps, stride, before, after;
};

static const struct shape shapes[] = {
    { 1, 1, 1, 1, 1, 3, 1, 1, 1 },     { 2, 5, 7, 3, 5, 3, 1, 1, 1 },
    { 1, 37, 3, 4, 33, 3, 1, 1, 1 },   { 1, 2, 37, 17, 16, 3, 1, 1, 1 },
    { 3, 4, 4, 32, 48, 3, 1, 1, 1 },   { 5, 8, 8, 16, 12, 3, 1, 1, 1 },
    { 2, 9, 11, 37, 35, 3, 1, 1, 1 },  { 1, 33, 31, 2, 3, 3, 1, 1, 1 },
    { 2, 8, 6, 5, 7, 3, 2, 0, 1 },     { 1, 7, 9, 33, 34, 3, 2, 0, 1 },
    { 2, 7, 8, 6, 9, 3, 2, 1, 1 },     { 1, 16, 16, 8, 16, 4, 2, 1, 1 },
    { 2, 12, 8, 3, 20, 4, 4, 0, 0 },   { 1, 13, 15, 3, 5, 4, 4, 0, 0 },
    { 2, 5, 6, 19, 21, 1, 1, 0, 0 },   { 1, 9, 7, 5, 6, 1, 2, 0, 0 },
    { 1, 6, 5, 3, 4, 3, 1, 0, 0 },     { 1, 5, 5, 2, 3, 3, 1, 2, 2 },
    { 1, 5, 6, 3, 2, 2, 3, 0, 0 },     { 1, 4, 4, 3, 4, 5, 1, 2, 2 },
    { 1, 2, 2, 3, 4, 3, 1, 0, 0 },     { 0, 4, 4, 3, 4, 3, 1, 1, 1 },
    { 1, 40, 300, 3, 40, 3, 1, 1, 1 }, { 1, 1, 3, 4, 4, 3, 2, 1, 1 },
    { 1, 130, 130, 3, 5, 3, 1, 1, 1 },
};

struct context {
    struct shape shape;
    struct vlm_tensor *x, *residual;
    struct vlm_conv2d conv;
    float *y; /* copy of the result, or NULL */
};

static size_t out_size(const struct shape *s, size_t size)
{
    size_t padded = size + s->before + s->after;
    return padded < s->taps ? 0 : (padded - s->taps) / s->stride + 1;
}

static size_t out_count(const struct shape *s)
{
    return s->images * out_size(s, s->height) * out_size(s, s->width) * s->out;
}

static void setup(struct nn *nn, struct context *context, const struct shape *s,
                  enum vlm_conv_mode mode)
{
    memset(context, 0, sizeof(*context));
    context->shape = *s;
    context->x = nn_tensor(nn, 4, (size_t[]){ s->images, s->height, s->width, s->in });
    context->residual = nn_tensor(
        nn, 4, (size_t[]){ s->images, out_size(s, s->height), out_size(s, s->width), s->out });
    context->conv = (struct vlm_conv2d){
        .weight = nn_tensor(nn, 4, (size_t[]){ s->out, s->taps, s->taps, s->in }),
        .bias = nn_tensor(nn, 1, (size_t[]){ s->out }),
        .residual = context->residual,
        .stride = s->stride,
        .before = s->before,
        .after = s->after,
        .mode = mode,
    };
}

static struct vlm_tensor *forward(struct vlm_tape *tape, void *argument)
{
    struct context *context = argument;
    struct vlm_tensor *y = vlm_conv2d(tape, context->x, &context->conv);
    assert_int_equal(vlm_tensor_count(y), out_count(&context->shape));
    if (context->y && vlm_tape_runs(tape))
        memcpy(context->y, y->data, vlm_tensor_count(y) * sizeof(float));
    return y;
}

static double rounded(float x, bool bf16)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    if (bf16)
        bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof(x));
    return (double)x;
}

struct reference {
    double *y, *dx, *dw, *db;
};

/* All terms of the sums, in the order of the definition. */
static void make_reference(struct reference *to, const struct context *context, bool bf16)
{
    const struct shape *s = &context->shape;
    size_t rows = out_size(s, s->height), cols = out_size(s, s->width), n = out_count(s);
    const float *w = context->conv.weight->data;
    to->y = calloc(n + 1, sizeof(double));
    to->dx = calloc(vlm_tensor_count(context->x) + 1, sizeof(double));
    to->dw = calloc(vlm_tensor_count(context->conv.weight) + 1, sizeof(double));
    to->db = calloc(s->out + 1, sizeof(double));
    assert_true(to->y && to->dx && to->dw && to->db);
    for (size_t at = 0; at < n; at++) {
        size_t o = at % s->out, c = at / s->out % cols, r = at / s->out / cols % rows;
        size_t image = at / s->out / cols / rows;
        double g = nn_random(7, at), gr = rounded((float)g, bf16);
        to->y[at] = (double)context->conv.bias->data[o] + (double)context->residual->data[at];
        to->db[o] += g;
        for (size_t tap = 0; tap < s->taps * s->taps; tap++) {
            size_t i = tap / s->taps, j = tap % s->taps;
            size_t row = r * s->stride + i - s->before, col = c * s->stride + j - s->before;
            if (row >= s->height || col >= s->width)
                continue;
            size_t px = ((image * s->height + row) * s->width + col) * s->in;
            size_t pw = (o * s->taps * s->taps + tap) * s->in;
            for (size_t k = 0; k < s->in; k++) {
                double xv = rounded(context->x->data[px + k], bf16), wv = rounded(w[pw + k], bf16);
                to->y[at] += xv * wv;
                to->dx[px + k] += gr * wv;
                to->dw[pw + k] += gr * xv;
            }
        }
    }
}

static void release(struct reference *reference)
{
    free(reference->y);
    free(reference->dx);
    free(reference->dw);
    free(reference->db);
}

static void check_shape(const char *kind, const struct shape *s, enum vlm_conv_mode mode,
                        enum vlm_dtype precision, double tolerance)
{
    struct nn nn;
    struct context context;
    struct reference expected;
    nn_begin_with(&nn, kind, 2, precision, 0);
    if (!nn.skip) {
        setup(&nn, &context, s, mode);
        context.y = malloc(out_count(s) * sizeof(float) + 1);
        assert_non_null(context.y);
        make_reference(&expected, &context, precision == VLM_BF16);
        nn_backward(&nn, forward, &context);
        double scale = tolerance * sqrt((double)(s->taps * s->taps * (s->in + s->out)));
        nn_check_close(context.y, expected.y, out_count(s), scale);
        nn_check_close(context.x->grad, expected.dx, vlm_tensor_count(context.x), scale);
        scale = tolerance * sqrt((double)out_count(s) / (double)s->out + 1);
        nn_check_close(context.conv.weight->grad, expected.dw,
                       vlm_tensor_count(context.conv.weight), scale);
        nn_check_close(context.conv.bias->grad, expected.db, s->out, scale);
        for (size_t i = 0; i < out_count(s); i++)
            assert_true(context.residual->grad[i] == nn_random(7, i));
        release(&expected);
        free(context.y);
    }
    nn_end(&nn);
}

static void equals_plain_loops(void **state)
{
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(kinds); k++)
        for (size_t i = 0; i < VLM_COUNTOF(shapes); i++) {
            check_shape(kinds[k], &shapes[i], VLM_CONV_DIRECT, VLM_F32, 1e-6);
            check_shape(kinds[k], &shapes[i], VLM_CONV_EXACT, VLM_F32, 1e-6);
        }
}

static void winograd_equals_plain_loops(void **state)
{
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(kinds); k++)
        for (size_t i = 0; i < VLM_COUNTOF(shapes); i++) {
            check_shape(kinds[k], &shapes[i], VLM_CONV_WINOGRAD, VLM_F32, 1e-6);
            check_shape(kinds[k], &shapes[i], VLM_CONV_FAST, VLM_F32, 5e-6);
        }
}

static void bf16_rounds_only_operands(void **state)
{
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(kinds); k++)
        for (size_t i = 0; i < VLM_COUNTOF(shapes); i++)
            check_shape(kinds[k], &shapes[i], VLM_CONV_EXACT, VLM_BF16, 1e-6);
}

static void gradients_are_differences(void **state)
{
    (void)state;
    static const struct shape some[] = { { 2, 5, 4, 3, 4, 3, 1, 1, 1 },
                                         { 1, 6, 5, 3, 4, 3, 2, 0, 1 },
                                         { 1, 8, 8, 2, 3, 4, 4, 0, 0 } };
    for (size_t i = 0; i < VLM_COUNTOF(some); i++) {
        struct nn nn;
        struct context context;
        nn_begin(&nn, NULL, 2);
        setup(&nn, &context, &some[i], i ? VLM_CONV_DIRECT : VLM_CONV_WINOGRAD);
        nn_check_gradients(&nn, forward, &context, 1e-2, 2e-3);
        nn_end(&nn);
    }
}

/* Result and gradients, copied out. */
struct outcome {
    float *y, *dx, *dw, *db;
    size_t ny, nx, nw, nb;
};

static float *copied(const float *x, size_t n)
{
    float *copy = malloc(n * sizeof(float) + 1);
    assert_non_null(copy);
    memcpy(copy, x, n * sizeof(float));
    return copy;
}

static void run(struct outcome *to, const struct shape *s, enum vlm_conv_mode mode,
                enum vlm_dtype precision, size_t threads)
{
    struct nn nn;
    struct context context;
    nn_begin_with(&nn, NULL, threads, precision, 0);
    setup(&nn, &context, s, mode);
    to->ny = out_count(s);
    context.y = to->y = malloc(to->ny * sizeof(float) + 1);
    nn_backward(&nn, forward, &context);
    to->nx = vlm_tensor_count(context.x);
    to->nw = vlm_tensor_count(context.conv.weight);
    to->nb = s->out;
    to->dx = copied(context.x->grad, to->nx);
    to->dw = copied(context.conv.weight->grad, to->nw);
    to->db = copied(context.conv.bias->grad, to->nb);
    nn_end(&nn);
}

static void release_outcome(struct outcome *outcome)
{
    free(outcome->y);
    free(outcome->dx);
    free(outcome->dw);
    free(outcome->db);
}

static const struct shape wide[] = {
    { 3, 17, 19, 36, 40, 3, 1, 1, 1 },
    { 2, 18, 13, 36, 40, 3, 2, 0, 1 },
    { 70, 8, 8, 4, 33, 3, 1, 1, 1 },
};

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    static const size_t threads[] = { 2, 3, 7 };
    for (size_t i = 0; i < VLM_COUNTOF(wide) * 4; i++) {
        const struct shape *s = &wide[i / 4];
        static const enum vlm_conv_mode modes[] = { VLM_CONV_DIRECT, VLM_CONV_WINOGRAD,
                                                    VLM_CONV_FAST, VLM_CONV_DIRECT };
        enum vlm_dtype precision = i % 4 == 3 ? VLM_BF16 : VLM_F32;
        struct outcome one, many;
        run(&one, s, modes[i % 4], precision, 1);
        for (size_t t = 0; t < VLM_COUNTOF(threads); t++) {
            run(&many, s, modes[i % 4], precision, threads[t]);
            nn_check_bits(many.y, one.y, one.ny);
            nn_check_bits(many.dx, one.dx, one.nx);
            nn_check_bits(many.dw, one.dw, one.nw);
            nn_check_bits(many.db, one.db, one.nb);
            release_outcome(&many);
        }
        release_outcome(&one);
    }
}

/* The last image of a batch alone gives what it gives among the others. */
static void an_image_alone_has_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(wide) * 3; i++) {
        struct shape s = wide[i / 3];
        static const enum vlm_conv_mode modes[] = { VLM_CONV_DIRECT, VLM_CONV_WINOGRAD,
                                                    VLM_CONV_FAST };
        struct nn nn;
        struct context context;
        nn_begin(&nn, NULL, 2);
        setup(&nn, &context, &s, modes[i % 3]);
        context.residual = context.conv.residual = NULL;
        size_t n = out_count(&s), image = n / s.images, last = s.images - 1;
        struct vlm_tensor *y = vlm_conv2d(&nn.tape, context.x, &context.conv);
        struct vlm_tensor alone = *context.x;
        alone.shape[0] = 1;
        alone.data += last * s.height * s.width * s.in;
        struct vlm_tensor *one = vlm_conv2d(&nn.tape, &alone, &context.conv);
        assert_int_equal(vlm_tensor_count(one), image);
        nn_check_bits(one->data, y->data + last * image, image);
        nn_end(&nn);
    }
}

static void packed_weights_give_the_same_bits(void **state)
{
    (void)state;
    static const struct shape some[] = { { 2, 9, 7, 36, 40, 3, 1, 1, 1 },
                                         { 1, 9, 7, 5, 40, 3, 2, 0, 1 },
                                         { 1, 9, 7, 5, 40, 1, 1, 0, 0 } };
    for (size_t i = 0; i < VLM_COUNTOF(some) * 2; i++) {
        struct nn nn;
        struct context context;
        enum vlm_dtype precision = i % 2 ? VLM_BF16 : VLM_F32;
        nn_begin_with(&nn, NULL, 2, precision, 0);
        setup(&nn, &context, &some[i / 2], VLM_CONV_EXACT);
        struct vlm_tensor *y = vlm_conv2d(&nn.tape, context.x, &context.conv);
        size_t size = vlm_conv2d_packed_size(&nn.engine, &context.conv, precision);
        size_t scratch_size = vlm_conv2d_pack_scratch(&nn.engine, &context.conv, precision);
        char *packed = aligned_alloc(64, (size + 63) / 64 * 64);
        char *scratch = aligned_alloc(64, (scratch_size + 127) / 64 * 64);
        assert_true(packed && scratch);
        vlm_conv2d_pack(&nn.engine, packed, &context.conv, precision, scratch);
        context.conv.packed = packed;
        struct vlm_tensor *again = vlm_conv2d(&nn.tape, context.x, &context.conv);
        nn_check_bits(again->data, y->data, vlm_tensor_count(y));
        free(packed);
        free(scratch);
        nn_end(&nn);
    }
}

/* In inference: the result in the residual's place; operands in fp32 on a tape in bf16. */
static void results_in_place_have_the_same_bits(void **state)
{
    (void)state;
    static const struct shape some[] = { { 2, 9, 7, 36, 40, 3, 1, 1, 1 },
                                         { 2, 9, 7, 5, 40, 3, 2, 0, 1 },
                                         { 2, 9, 7, 5, 40, 1, 1, 0, 0 } };
    static const enum vlm_conv_mode modes[] = { VLM_CONV_EXACT, VLM_CONV_FAST };
    for (size_t i = 0; i < VLM_COUNTOF(some) * VLM_COUNTOF(modes); i++) {
        struct outcome expected;
        const struct shape *s = &some[i / 2];
        run(&expected, s, modes[i % 2], VLM_F32, 1);
        struct nn nn;
        struct context context;
        nn_begin_with(&nn, NULL, 2, VLM_BF16, VLM_TAPE_FORWARD);
        setup(&nn, &context, s, modes[i % 2]);
        context.conv.f32 = true;
        context.conv.into = context.residual;
        size_t before = vlm_memory_mark(&nn.tape.step);
        struct vlm_tensor *y = vlm_conv2d(&nn.tape, context.x, &context.conv);
        assert_ptr_equal(y, context.residual);
        assert_int_equal(vlm_memory_mark(&nn.tape.step), before);
        nn_check_bits(y->data, expected.y, expected.ny);
        nn_end(&nn);
        release_outcome(&expected);
    }
}

/* A NaN or an infinity in one pixel reaches every result that reads it. */
static void bad_numbers_come_out(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY };
    for (size_t k = 0; k < VLM_COUNTOF(kinds); k++)
        for (size_t i = 0; i < VLM_COUNTOF(bad) * 4; i++) {
            struct nn nn;
            struct context context;
            struct shape s = { 1, 6, 5, 7, 9, 3, 1, 1, 1 };
            static const enum vlm_conv_mode modes[] = { VLM_CONV_DIRECT, VLM_CONV_WINOGRAD,
                                                        VLM_CONV_FAST, VLM_CONV_DIRECT };
            nn_begin_with(&nn, kinds[k], 1, i % 4 == 3 ? VLM_BF16 : VLM_F32, 0);
            if (!nn.skip) {
                setup(&nn, &context, &s, modes[i % 4]);
                context.x->data[(2 * s.width + 3) * s.in + 4] = bad[i / 4];
                struct vlm_tensor *y = vlm_conv2d(&nn.tape, context.x, &context.conv);
                for (size_t row = 1; row <= 3; row++)
                    for (size_t at = (row * s.width + 2) * s.out; at < (row + 1) * s.width * s.out;
                         at++)
                        assert_true(!(fabsf(y->data[at]) < INFINITY));
            }
            nn_end(&nn);
        }
}

/* What a dry tape counts is what a real one takes. */
static void a_dry_tape_counts_the_same_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(wide); i++) {
        size_t peak[2];
        for (size_t dry = 0; dry < 2; dry++) {
            struct nn nn;
            struct context context;
            nn_begin_with(&nn, NULL, 2, VLM_F32, dry ? VLM_TAPE_DRY : 0);
            setup(&nn, &context, &wide[i], VLM_CONV_EXACT);
            nn_backward(&nn, forward, &context);
            peak[dry] = vlm_tape_peak(&nn.tape);
            nn_end(&nn);
        }
        assert_int_equal(peak[0], peak[1]);
        assert_true(peak[0] > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_plain_loops),
        cmocka_unit_test(winograd_equals_plain_loops),
        cmocka_unit_test(bf16_rounds_only_operands),
        cmocka_unit_test(gradients_are_differences),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(an_image_alone_has_the_same_bits),
        cmocka_unit_test(packed_weights_give_the_same_bits),
        cmocka_unit_test(results_in_place_have_the_same_bits),
        cmocka_unit_test(bad_numbers_come_out),
        cmocka_unit_test(a_dry_tape_counts_the_same_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
