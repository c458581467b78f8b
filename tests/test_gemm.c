/* test_gemm.c - products against a plain loop in double, for every kind of kernels; bits that must not
 * depend on threads or neighbours; packing and rounding number by number. */
#include "base/vlm.h"

#include "nn/gemm.h"
#include "tests/nn_fixture.h"

static const char *const kind[] = { "plain", "avx2", "avx512", "avx512-vnni", "avx512-bf16" };

/* ---- numbers of 16 bits, one at a time ---- */

static float widened(uint16_t bits)
{
    uint32_t word = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &word, sizeof(x));
    return x;
}

static uint16_t rounded(float x)
{
    uint32_t word;
    memcpy(&word, &x, sizeof(word));
    if (isnan(x))
        return (uint16_t)(word >> 16 | 0x40);
    return (uint16_t)((word + 0x7fff + (word >> 16 & 1)) >> 16);
}

/* ---- one product, all that can be asked of it ---- */

enum operand_kind { FLOATS, BITS, INTEGERS /* B only, its rows of k, with scales */ };

struct product {
    size_t m, n, k;
    enum vlm_dtype precision;
    enum operand_kind a_kind, b_kind;
    bool a_by_row, b_by_row; /* rows contiguous, not k */
    bool accumulate, packed, bias, before, residual, in_place, c_bits;
    enum vlm_activation activation;
    enum vlm_gemm_backend backend;
    size_t threads;
    uint64_t seed;
    size_t first_row; /* of the random A: to compute a part of the rows of another product */
};

struct result {
    float *c, *before; /* [m, n] */
    uint16_t *bits;
};

struct source { /* an operand with all forms of its numbers */
    float *f32;
    uint16_t *bits;
    int8_t *integers;
    float *scales; /* [rows]; 0 is among them */
};

static struct source make_source(size_t rows, size_t k, bool by_row, size_t first, uint64_t seed)
{
    struct source s = { malloc((rows * k + 1) * sizeof(float)), malloc((rows * k + 1) * 2),
                        malloc(rows * k + 1), malloc((rows + 1) * sizeof(float)) };
    assert_true(s.f32 && s.bits && s.integers && s.scales);
    for (size_t i = 0; i < rows; i++)
        s.scales[i] = (float)(i % 5) / 254;
    for (size_t i = 0; i < rows; i++)
        for (size_t p = 0; p < k; p++) {
            size_t at = by_row ? p * rows + i : i * k + p;
            s.f32[at] = nn_random(seed, (first + i) * k + p);
            s.bits[at] = rounded(s.f32[at]);
            s.integers[at] = (int8_t)(127 * s.f32[at]);
        }
    return s;
}

static void free_source(struct source *s)
{
    free(s->f32);
    free(s->bits);
    free(s->integers);
    free(s->scales);
}

static struct vlm_operand operand(const struct source *s, size_t rows, size_t k, bool by_row,
                                  enum operand_kind form)
{
    struct vlm_operand x = { .row = by_row ? 1 : k, .col = by_row ? rows : 1 };
    if (form == BITS)
        x.bits = s->bits;
    else if (form == INTEGERS)
        x.integers = s->integers, x.scales = s->scales;
    else
        x.f32 = s->f32;
    return x;
}

static double element(const struct source *s, size_t rows, size_t k, bool by_row, size_t i,
                      size_t p, enum vlm_dtype precision, enum operand_kind form)
{
    size_t at = by_row ? p * rows + i : i * k + p;
    if (form == INTEGERS)
        return (double)s->scales[i] * s->integers[at];
    return (double)(precision == VLM_BF16 ? widened(s->bits[at]) : s->f32[at]);
}

static double activated(enum vlm_activation activation, double u)
{
    return activation == VLM_RELU   ? (u > 0 ? u : 0)
           : activation == VLM_SILU ? u / (1 + exp(-u))
                                    : u;
}

struct sides { /* what else goes into a product; of one size for all */
    float *bias, *residual, *c;
};

static void compare(const struct product *p, const struct source *a, const struct source *b,
                    const struct sides *sides, const struct result *r)
{
    double slack = 2e-6 * (2 + sqrt((double)p->k));
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            size_t at = i * p->n + j;
            double u = p->accumulate ? (double)sides->c[at] : 0;
            for (size_t q = 0; q < p->k; q++)
                u += element(a, p->m, p->k, p->a_by_row, i, q, p->precision, p->a_kind) *
                     element(b, p->n, p->k, p->b_by_row, j, q, p->precision, p->b_kind);
            u += p->bias ? (double)sides->bias[j] : 0;
            double y = activated(p->activation, u);
            y += p->residual ? (double)sides->residual[at] : 0;
            double got = p->c_bits ? (double)widened(r->bits[at]) : (double)r->c[at];
            double tolerance = slack * (1 + fabs(u)) + (p->c_bits ? fabs(y) / 256 : 0);
            if (!(fabs(got - y) <= tolerance))
                fail_msg("%zux%zux%zu, row %zu, column %zu: %.9g, expected %.9g", p->m, p->n, p->k,
                         i, j, got, y);
            if (p->before && !(fabs((double)r->before[at] - u) <= slack * (1 + fabs(u))))
                fail_msg("before of %zux%zux%zu: %.9g, expected %.9g", p->m, p->n, p->k,
                         (double)r->before[at], u);
        }
}

static float *filled(size_t n, uint64_t seed)
{
    float *x = malloc((n + 1) * sizeof(float));
    assert_non_null(x);
    nn_fill(x, n, seed);
    return x;
}

/* Computes the product with exactly as much memory as it may touch; compares it when asked. */
static struct result run(const struct product *p, const char *kernels, bool check)
{
    struct nn nn;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_engine_init(&nn.engine, p->threads ? p->threads : 1,
                                     p->backend ? p->backend : VLM_GEMM_OWN, &err),
                     VLM_OK);
    nn.engine.kernels = kernels ? vlm_kernels_named(kernels) : nn.engine.kernels;
    struct source a = make_source(p->m, p->k, p->a_by_row, p->first_row, p->seed + 1);
    struct source b = make_source(p->n, p->k, p->b_by_row, 0, p->seed + 2);
    size_t count = p->m * p->n;
    struct sides sides = { filled(p->n, 3), filled(count, 4), filled(count, 5) };
    struct result r = { filled(count, p->in_place ? 4 : 5), filled(count, 6),
                        malloc(2 * count + 1) };
    struct vlm_gemm job = {
        .m = p->m,
        .n = p->n,
        .k = p->k,
        .a = operand(&a, p->m, p->k, p->a_by_row, p->a_kind),
        .b = operand(&b, p->n, p->k, p->b_by_row, p->b_kind),
        .c = p->c_bits ? NULL : r.c,
        .c_row = p->n,
        .precision = p->precision,
        .accumulate = p->accumulate,
        .bias = p->bias ? sides.bias : NULL,
        .before = p->before ? r.before : NULL,
        .activation = p->activation,
        .residual = p->in_place   ? r.c
                    : p->residual ? sides.residual
                                  : NULL,
        .c_bits = p->c_bits ? r.bits : NULL,
    };
    void *packed = NULL;
    if (p->packed) {
        size_t size = vlm_gemm_packed_size(&nn.engine, p->n, p->k, p->precision);
        packed = aligned_alloc(64, (size + 64) / 64 * 64);
        assert_non_null(packed);
        vlm_gemm_pack_b(&nn.engine, packed, &job.b, p->n, p->k, p->precision);
        job.b = (struct vlm_operand){ .packed = packed, .scales = job.b.scales };
    }
    size_t size = vlm_gemm_scratch(&nn.engine, &job);
    char *scratch = aligned_alloc(64, (size + 64) / 64 * 64);
    assert_non_null(scratch);
    memset(scratch, 0xff, size); /* NaN, when it is used without being filled */
    vlm_gemm(&nn.engine, &job, scratch);
    if (check)
        compare(p, &a, &b, &sides, &r);
    free(scratch);
    free(packed);
    free(sides.bias);
    free(sides.residual);
    free(sides.c);
    free_source(&a);
    free_source(&b);
    vlm_engine_release(&nn.engine);
    return r;
}

static void release(struct result r)
{
    free(r.c);
    free(r.before);
    free(r.bits);
}

static void check_product(const struct product *p, const char *kernels)
{
    release(run(p, kernels, true));
}

/* ---- tests ---- */

/* Every combination of what may be asked comes by, as bits of a counter. */
static void products_equal_a_plain_loop(void **state)
{
    (void)state;
    static const size_t size[] = { 1, 2, 3, 5, 7, 8, 11, 12, 13, 16, 17, 25, 31, 32, 33, 37 };
    for (size_t t = 0; t < VLM_COUNTOF(kind); t++) {
        if (!vlm_kernels_named(kind[t]))
            continue;
        for (uint64_t i = 0; i < 1500; i++) {
            struct vlm_random random = vlm_random_at(1, t, i);
            unsigned bits = (unsigned)(vlm_random_unit(&random) * 4096);
            struct product p = {
                .m = size[i % 16],
                .n = size[i / 16 % 16],
                .k = size[(i / 256 * 3 + i) % 16],
                .precision = bits & 1 ? VLM_BF16 : VLM_F32,
                .a_by_row = bits & 2,
                .b_by_row = bits & 4,
                .packed = bits & 8,
                .accumulate = bits & 16,
                .seed = i,
                .threads = bits & 32 ? 1 : 3,
            };
            if (p.precision == VLM_BF16) {
                p.a_kind = bits & 64 ? BITS : FLOATS;
                p.b_kind = bits & 128 ? BITS : FLOATS;
            }
            if (!p.accumulate) {
                p.bias = bits & 256;
                p.before = bits & 512;
                p.residual = bits & 1024;
                p.in_place = p.residual && bits & 64;
                p.c_bits = bits & 2048 && !p.in_place;
                p.activation = bits & 128 ? VLM_RELU : VLM_LINEAR;
            }
            if (p.precision == VLM_F32 && !p.a_by_row && !p.b_by_row && !p.accumulate && bits & 128)
                p.precision = VLM_INT8, p.b_kind = INTEGERS;
            check_product(&p, kind[t]);
        }
    }
}

/* Larger than blocks of k, tiles and chunks; both ways of packing B. */
static void large_products_equal_a_plain_loop(void **state)
{
    (void)state;
    static const size_t shape[][3] = { { 1, 70, 1300 },  { 5, 33, 1025 },  { 30, 300, 515 },
                                       { 200, 40, 530 }, { 397, 290, 70 }, { 500, 513, 17 },
                                       { 2, 3, 40000 },  { 40, 40, 20001 } };
    for (size_t i = 0; i < VLM_COUNTOF(shape); i++)
        for (unsigned j = 0; j < 6; j++) {
            struct product p = { .m = shape[i][0],
                                 .n = shape[i][1],
                                 .k = shape[i][2],
                                 .precision = j > 3   ? VLM_INT8
                                              : j & 1 ? VLM_BF16
                                                      : VLM_F32,
                                 .b_kind = j < 4 ? FLOATS : INTEGERS,
                                 .packed = j & 2,
                                 .a_by_row = j < 4 && i & 1,
                                 .b_by_row = j < 4 && i & 2,
                                 .bias = true,
                                 .residual = true,
                                 .threads = 2 };
            check_product(&p, NULL);
        }
}

/* The same bits on 1, 2, 3 and 7 threads, packed or not. */
static void bits_do_not_depend_on_threads_or_packing(void **state)
{
    (void)state;
    static const size_t shape[][3] = { { 1, 333, 129 },  { 7, 100, 515 },   { 24, 65, 64 },
                                       { 25, 200, 301 }, { 130, 270, 530 }, { 700, 130, 70 } };
    for (size_t t = 0; t < VLM_COUNTOF(kind); t++)
        for (size_t i = 0; i < 3 * VLM_COUNTOF(shape) && vlm_kernels_named(kind[t]); i++) {
            const size_t *s = shape[i / 3];
            struct product p = { .m = s[0], .n = s[1], .k = s[2], .threads = 1 };
            p.precision = i % 3 == 2 ? VLM_INT8 : i % 3 == 1 ? VLM_BF16 : VLM_F32;
            p.b_kind = i % 3 == 2 ? INTEGERS : FLOATS;
            struct result expected = run(&p, kind[t], false);
            static const size_t threads[] = { 1, 2, 3, 7 };
            for (size_t j = 0; j < 2 * VLM_COUNTOF(threads); j++) {
                p.threads = threads[j / 2];
                p.packed = j & 1;
                struct result r = run(&p, kind[t], false);
                nn_check_bits(r.c, expected.c, p.m * p.n);
                release(r);
            }
            release(expected);
        }
}

/* Rows 0 to m - 1 of a product of 150 rows, computed with no others. */
static void bits_of_a_row_do_not_depend_on_other_rows(void **state)
{
    (void)state;
    static const size_t rows[] = { 1, 2, 3, 4, 5, 8, 9, 12, 13, 17, 24, 25, 36, 100 };
    for (size_t t = 0; t < VLM_COUNTOF(kind); t++)
        for (unsigned form = 0; form < 4 && vlm_kernels_named(kind[t]); form++) {
            struct product p = { .m = 150, .n = 75, .k = 1037, .threads = 2 };
            p.precision = form & 1 ? VLM_BF16 : form == 2 ? VLM_INT8 : VLM_F32;
            p.b_kind = form == 3 ? BITS : form == 2 ? INTEGERS : FLOATS;
            struct result all = run(&p, kind[t], false);
            for (size_t i = 0; i < VLM_COUNTOF(rows); i++) {
                p.m = rows[i];
                p.first_row = 150 - rows[i];
                struct result r = run(&p, kind[t], false);
                nn_check_bits(r.c, all.c + p.first_row * p.n, p.m * p.n);
                release(r);
            }
            release(all);
        }
}

/* k = 0 gives what stands beside the product; no rows or no columns give nothing. */
static void empty_products_give_bias_and_residual(void **state)
{
    (void)state;
    for (size_t t = 0; t < VLM_COUNTOF(kind); t++)
        for (unsigned i = 0; i < 20 && vlm_kernels_named(kind[t]); i++) {
            struct product p = { .m = i & 1 ? 40 : 3, .n = 37, .k = 0, .packed = i & 2 };
            p.precision = i & 16 ? VLM_INT8 : i & 4 ? VLM_BF16 : VLM_F32;
            p.b_kind = i & 16 ? INTEGERS : FLOATS;
            p.accumulate = i & 8;
            p.bias = p.residual = p.before = !p.accumulate;
            check_product(&p, kind[t]);
            p.m = 0, p.k = 5;
            check_product(&p, kind[t]);
            p.m = 3, p.n = 0;
            check_product(&p, kind[t]);
        }
}

static void openblas_gives_the_same_product(void **state)
{
    (void)state;
    static const size_t shape[][3] = {
        { 1, 70, 130 }, { 5, 33, 25 }, { 300, 530, 40 }, { 3, 1, 1 }
    };
    for (size_t i = 0; i < VLM_COUNTOF(shape); i++)
        for (unsigned j = 0; j < 32; j++) {
            struct product p = { .m = shape[i][0],
                                 .n = shape[i][1],
                                 .k = j == 31 ? 0 : shape[i][2],
                                 .backend = VLM_GEMM_OPENBLAS,
                                 .packed = j & 1,
                                 .a_by_row = j & 2,
                                 .b_by_row = j & 4,
                                 .accumulate = j & 8,
                                 .precision = j & 16 ? VLM_BF16 : VLM_F32,
                                 .threads = 2 };
            p.residual = p.bias = !p.accumulate;
            p.activation = p.accumulate ? VLM_LINEAR : VLM_SILU;
            check_product(&p, NULL);
        }
}

/* A NaN or Inf in row 0 of A or row 5 of B, reaches the whole row or column of C and nothing else. */
static void check_special(const char *kernels, float special, bool in_b, enum vlm_dtype precision,
                          size_t m)
{
    enum { N = 45, K = 67 };
    struct nn nn;
    nn_begin(&nn, kernels, 2);
    float *a = filled(m * K, 1), *b = filled(N * K, 2), *c = filled(m * N, 3);
    (in_b ? b + 5 * K : a)[9] = special;
    struct vlm_gemm job = { .m = m, .n = N, .k = K, .c = c, .c_row = N, .precision = precision };
    job.a = (struct vlm_operand){ .f32 = a, .row = K, .col = 1 };
    job.b = (struct vlm_operand){ .f32 = b, .row = K, .col = 1 };
    void *scratch = aligned_alloc(64, vlm_gemm_scratch(&nn.engine, &job) + 64);
    assert_non_null(scratch);
    vlm_gemm(&nn.engine, &job, scratch);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < N; j++) {
            bool touched = in_b ? j == 5 : i == 0;
            assert_int_equal(touched, !isfinite(c[i * N + j]));
            if (touched && isnan(special))
                assert_true(isnan(c[i * N + j]));
        }
    free(scratch);
    free(a);
    free(b);
    free(c);
    nn_end(&nn);
}

static float from_word(uint32_t word)
{
    float x;
    memcpy(&x, &word, sizeof(x));
    return x;
}

static void nan_and_inf_come_out(void **state)
{
    (void)state;
    /* The last is a NaN by its lowest bit only. */
    const float special[] = { NAN, INFINITY, -INFINITY, from_word(0x7f800001),
                              from_word(0xff800001) };
    for (size_t t = 0; t < VLM_COUNTOF(kind); t++)
        for (size_t i = 0; i < 4 * VLM_COUNTOF(special) && vlm_kernels_named(kind[t]); i++)
            for (size_t m = 1; m < 40; m += 13)
                check_special(kind[t], special[i / 4], i & 1, i & 2 ? VLM_BF16 : VLM_F32, m);
}

static void rounding_is_to_nearest_even(void **state)
{
    (void)state;
    enum { COUNT = 1 << 16 };
    float *x = malloc(COUNT * sizeof(float)), *y = malloc(COUNT * sizeof(float));
    uint16_t *bits = malloc(COUNT * sizeof(uint16_t));
    assert_true(x && y && bits);
    for (size_t t = 0; t < VLM_COUNTOF(kind); t++) {
        const struct vlm_kernels *kernels = vlm_kernels_named(kind[t]);
        static const uint32_t low[] = { 0, 1, 0x7fff, 0x8000, 0x8001, 0xffff };
        for (size_t l = 0; l < VLM_COUNTOF(low) && kernels; l++) {
            for (uint32_t i = 0; i < COUNT; i++)
                x[i] = from_word(i << 16 | low[l]);
            kernels->gemm->round_bf16(bits, x, COUNT - 3);
            kernels->gemm->widen_bf16(y, bits, COUNT - 3);
            for (uint32_t i = 0; i < COUNT - 3; i++) {
                assert_int_equal(bits[i], rounded(x[i]));
                assert_int_equal(isnan(x[i]), isnan(y[i]));
                float expected = widened(rounded(x[i]));
                assert_memory_equal(&y[i], &expected, sizeof(float));
            }
        }
    }
    free(x);
    free(y);
    free(bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_a_plain_loop),
        cmocka_unit_test(large_products_equal_a_plain_loop),
        cmocka_unit_test(bits_do_not_depend_on_threads_or_packing),
        cmocka_unit_test(bits_of_a_row_do_not_depend_on_other_rows),
        cmocka_unit_test(empty_products_give_bias_and_residual),
        cmocka_unit_test(openblas_gives_the_same_product),
        cmocka_unit_test(nan_and_inf_come_out),
        cmocka_unit_test(rounding_is_to_nearest_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
