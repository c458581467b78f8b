/* test_gemm_int8.c - products of integers, bit by bit: every kind of kernels against sums in 64 bits of numbers that
 * are made with nothing but ldexp() and nearbyint(). */
#include "base/vlm.h"

#include "nn/gemm.h"
#include "tests/nn_fixture.h"

static const char *const kind[] = { "plain", "avx2", "avx512", "avx512-vnni", "avx512-bf16" };

struct product {
    size_t m, n, k;
    float *a;        /* [m, k] */
    int8_t *b;       /* [n, k] */
    float *scales;   /* [n] */
    float *expected; /* [m, n] */
};

/* Of the definition in int8_kernels.h: C(i, j) of one row, without the scale. */
static void expect_row(float *c, const float *x, const int8_t *b, size_t n, size_t k)
{
    double largest = 0;
    bool finite = true;
    int e = 200;
    for (size_t p = 0; p < k; p++) {
        finite = finite && isfinite(x[p]);
        largest = fmax(largest, fabs((double)x[p]));
    }
    while (finite && ldexp(largest, e) > 0x7f7f7f)
        e--;
    for (size_t j = 0; j < n; j++) {
        int64_t sum = 0;
        for (size_t p = 0; finite && p < k; p++)
            sum += (int64_t)nearbyint(ldexp((double)x[p], e)) * b[j * k + p];
        c[j] = finite ? (float)ldexp((double)sum, -e) : NAN;
    }
}

static struct product make_product(size_t m, size_t n, size_t k)
{
    struct product p = { m,
                         n,
                         k,
                         malloc((m * k + 1) * sizeof(float)),
                         malloc(n * k + 1),
                         malloc((n + 1) * sizeof(float)),
                         malloc((m * n + 1) * sizeof(float)) };
    assert_true(p.a && p.b && p.scales && p.expected);
    for (size_t j = 0; j < n; j++)
        p.scales[j] = (float)(j % 5) / 254;
    return p;
}

static void free_product(struct product *p)
{
    free(p->a);
    free(p->b);
    free(p->scales);
    free(p->expected);
}

static void same_numbers(const float *c, const float *expected, size_t n, const char *kernels)
{
    for (size_t i = 0; i < n; i++)
        if (isnan(expected[i]) ? !isnan(c[i]) : c[i] != expected[i])
            fail_msg("%s: element %zu of %zu is %.9g, expected %.9g", kernels, i, n, (double)c[i],
                     (double)expected[i]);
}

/* By one kind of kernels, with exactly as much memory as it may touch. */
static void check_with(const struct product *p, const char *kernels, size_t threads, bool packed)
{
    struct nn nn;
    nn_begin(&nn, kernels, threads);
    float *c = malloc((p->m * p->n + 1) * sizeof(float));
    struct vlm_gemm job = { .m = p->m,
                            .n = p->n,
                            .k = p->k,
                            .a = { .f32 = p->a, .row = p->k, .col = 1 },
                            .b = { .integers = p->b, .scales = p->scales, .row = p->k, .col = 1 },
                            .c = c,
                            .c_row = p->n,
                            .precision = VLM_INT8 };
    const size_t size = vlm_gemm_packed_size(&nn.engine, p->n, p->k, VLM_INT8);
    void *b = aligned_alloc(64, size / 64 * 64 + 64);
    assert_true(c && b);
    if (packed) {
        vlm_gemm_pack_b(&nn.engine, b, &job.b, p->n, p->k, VLM_INT8);
        job.b = (struct vlm_operand){ .packed = b, .scales = p->scales };
    }
    const size_t bytes = vlm_gemm_scratch(&nn.engine, &job);
    void *scratch = aligned_alloc(64, bytes / 64 * 64 + 64);
    assert_non_null(scratch);
    memset(scratch, 0xff, bytes);
    vlm_gemm(&nn.engine, &job, scratch);
    same_numbers(c, p->expected, p->m * p->n, kernels);
    free(scratch);
    free(b);
    free(c);
    nn_end(&nn);
}

static void check(struct product *p)
{
    for (size_t i = 0; i < p->m; i++) {
        float *row = p->expected + i * p->n;
        expect_row(row, p->a + i * p->k, p->b, p->n, p->k);
        for (size_t j = 0; j < p->n; j++)
            row[j] *= p->scales[j];
    }
    for (size_t t = 0; t < VLM_COUNTOF(kind); t++)
        for (unsigned i = 0; i < 4 && vlm_kernels_named(kind[t]); i++)
            check_with(p, kind[t], i & 1 ? 3 : 1, i & 2);
}

/* Rows of very different sizes, from denormals on, and numbers of very different sizes in a row. */
static void fill(struct product *p, uint64_t seed)
{
    static const int size[] = { 0, -149, -140, -126, -100, -23, 5, 60, 118 };
    for (size_t i = 0; i < p->m; i++)
        for (size_t q = 0; q < p->k; q++) {
            const double x = (double)nn_random(seed, i * p->k + q);
            const int less = (int)((i + q) % 4) * 8;
            p->a[i * p->k + q] = (float)ldexp(x, size[(seed + i) % VLM_COUNTOF(size)] - less);
        }
    for (size_t at = 0; at < p->n * p->k; at++)
        p->b[at] = (int8_t)(256 * (nn_random(seed + 1, at) + 1) / 2 - 128); /* -128 too */
}

static void sums_are_exact(void **state)
{
    (void)state;
    static const size_t rows[] = { 1, 2, 3, 4, 5, 6, 7, 9, 13, 30, 70 };
    static const size_t columns[] = { 1, 3, 4, 5, 15, 16, 17, 31, 33, 70 };
    static const size_t lengths[] = { 1,  2,  3,  4,  5,  7,   8,   9,   15,  16,  17, 31,
                                      33, 63, 64, 65, 95, 127, 128, 129, 190, 511, 700 };
    for (size_t i = 0; i < 3 * 5 * VLM_COUNTOF(lengths); i++) {
        struct product p =
            make_product(rows[i % VLM_COUNTOF(rows)], columns[i / 3 % VLM_COUNTOF(columns)],
                         lengths[i % VLM_COUNTOF(lengths)]);
        fill(&p, i);
        check(&p);
        free_product(&p);
    }
}

/* Beyond blocks of k, and several tiles and chunks of either side. */
static void large_products_are_exact(void **state)
{
    (void)state;
    static const size_t shape[][3] = { { 1, 9, 4095 },   { 2, 6, 4096 },  { 3, 33, 4097 },
                                       { 6, 40, 8195 },  { 90, 3, 9000 }, { 200, 300, 70 },
                                       { 1, 1000, 600 }, { 17, 5, 12289 } };
    for (size_t i = 0; i < VLM_COUNTOF(shape); i++) {
        struct product p = make_product(shape[i][0], shape[i][1], shape[i][2]);
        fill(&p, i);
        check(&p);
        free_product(&p);
    }
}

/* The largest sums that there are: all of x at the largest fixed-point number of either sign or next to it, all of w at
 * an end; up to the longest k. */
static void largest_sums_do_not_overflow(void **state)
{
    (void)state;
    static const float x[] = { 8355711, -8355711, 8355583, -8355712, 8355711.5F, -4194304 };
    static const int8_t w[] = { 127, -127, -128 };
    static const size_t length[] = { 64, 4096, 70001, VLM_INT8_K };
    for (size_t l = 0; l < VLM_COUNTOF(length); l++)
        for (size_t i = 0; i < (l == 3 ? 1 : VLM_COUNTOF(x) * VLM_COUNTOF(w)); i++)
            for (size_t m = 1; m < 8; m += 6) {
                struct product p = make_product(l == 3 ? 1 : m, l == 3 ? 1 : 5, length[l]);
                for (size_t at = 0; at < p.m * p.k; at++)
                    p.a[at] = x[i / 3];
                memset(p.b, w[i % 3], p.n * p.k);
                p.scales[0] = 1;
                check(&p);
                free_product(&p);
            }
}

/* Halves go to the even neighbour, of either sign. */
static void fixed_point_numbers_are_the_nearest(void **state)
{
    (void)state;
    enum { K = 200 };
    struct product p = make_product(5, 4, K);
    memset(p.b, 1, p.n * K);
    for (size_t i = 0; i < p.m; i++)
        for (size_t q = 0; q < K; q++)
            p.a[i * K + q] = (float)q * 0.25f * (q % 3 ? -1 : 1);
    for (size_t i = 0; i < p.m; i++)
        p.a[i * K + i] = i % 2 ? 8355711 : -4194304.5F;
    for (size_t q = 0; q < K; q++)
        p.b[q] = q % 2 ? 1 : 0, p.b[K + q] = (int8_t)(q % 7), p.b[2 * K + q] = q == 2;
    check(&p);
    free_product(&p);
}

static void rows_without_numbers(void **state)
{
    (void)state;
    static const uint32_t special[] = { 0x7fc00000, 0x7f800000, 0xff800000, 0x7f800001,
                                        0xffffffff };
    for (size_t m = 1; m < 8; m += 3) {
        for (size_t i = 0; i < VLM_COUNTOF(special); i++) {
            struct product p = make_product(m, 37, 131);
            fill(&p, i);
            memcpy(p.a + 131 * (m - 1) + 9 * i + i, &special[i], sizeof(float));
            check(&p);
            assert_true(isnan(p.expected[37 * m - 1]) && (m == 1 || !isnan(p.expected[0])));
            free_product(&p);
        }
        struct product p = make_product(m, 37, 131);
        fill(&p, 1);
        memset(p.a + 131 * (m - 1), 0, 131 * sizeof(float));
        p.a[131 * m - 1] = -0.0F;
        check(&p);
        assert_true(p.expected[37 * m - 1] == 0);
        free_product(&p);
    }
    struct product p = make_product(1, 5, 300); /* beyond the largest float */
    for (size_t q = 0; q < 300; q++)
        p.a[q] = 3e38F;
    memset(p.b, 127, 5 * 300);
    check(&p);
    assert_true(isinf(p.expected[1]));
    free_product(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(large_products_are_exact),
        cmocka_unit_test(largest_sums_do_not_overflow),
        cmocka_unit_test(fixed_point_numbers_are_the_nearest),
        cmocka_unit_test(rows_without_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
