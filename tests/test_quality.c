/* test_quality.c - figures of reconstructions against array formulas, plain loops and counting by hand;
 * contact sheets, read back. */
#include "base/vlm.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/limits.h"
#include "vqgan/train/quality.h"
#include "vqgan/train/sheet.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

enum { SIDE = VLM_SQUARE_SIDE, PAIRS = 6 };

static uint8_t first[VLM_SQUARE_BYTES], second[VLM_SQUARE_BYTES];

static uint8_t clipped(int64_t value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* As tests/reference/make_quality.py makes them. */
static void make_pair(uint32_t pair)
{
    for (uint32_t i = 0; i < VLM_SQUARE_BYTES; i++) {
        uint32_t c = i % 3, x = i / 3 % SIDE, y = i / 3 / SIDE;
        uint32_t word = (y * 7919 + x * 104729 + c * 1299709 + pair * 15485863) * 2654435761U;
        int64_t noise = (int64_t)((word >> 16) % (1 + 12 * pair)) - 6 * (int64_t)pair;
        first[i] = (uint8_t)(x * (1 + c) + y * 2 + 40 * ((x / 16 + y / 16) % 2) + pair * 17);
        second[i] = pair ? clipped(first[i] + noise) : first[i];
        if (pair == 5)
            second[i] = (uint8_t)(255 - second[i]);
    }
}

static void check_close(double x, double expected, double tolerance)
{
    if (!(fabs(x - expected) <= tolerance * (1 + fabs(expected))))
        fail_msg("%.17g, expected %.17g", x, expected);
}

static void figures_equal_those_of_array_formulas(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_quality quality;
    const uint16_t codes[VLM_CODES] = { 0 };
    FILE *file = fopen("tests/vectors/quality.tsv", "r");
    assert_non_null(file);
    double psnr, ssim, l1, edge;
    unsigned pair;
    size_t lines = 0;
    while (fscanf(file, "%u %lf %lf %lf %lf", &pair, &psnr, &ssim, &l1, &edge) == 5) {
        make_pair(pair);
        check_close(vlm_psnr(first, second), psnr, 1e-9);
        check_close(vlm_ssim(first, second), ssim, 1e-9);
        check_close(vlm_ssim(second, first), ssim, 1e-9);
        assert_int_equal(vlm_quality_init(&quality, 1, &err), VLM_OK);
        vlm_quality_add(&quality, first, second, codes);
        struct vlm_quality_report report = vlm_quality_report(&quality);
        check_close(report.psnr, psnr, 1e-9);
        check_close(report.psnr_pooled, psnr, 1e-9);
        check_close(report.ssim, ssim, 1e-9);
        check_close(report.l1, l1, 1e-9);
        check_close(report.edge_psnr, edge, 1e-9);
        vlm_quality_release(&quality);
        lines++;
    }
    fclose(file);
    assert_int_equal(lines, PAIRS);
}

static double luma_at(const uint8_t *square, size_t y, size_t x)
{
    const uint8_t *p = square + (y * SIDE + x) * 3;
    return 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
}

/* One window by the definition: weighted mean, then weighted variance around it. */
static double window_similarity(size_t top, size_t left)
{
    double sum = 0, mean[2] = { 0 }, variance[2] = { 0 }, covariance = 0, weight[11][11];
    for (int i = 0; i < 11; i++)
        for (int j = 0; j < 11; j++)
            sum += weight[i][j] = exp(-((i - 5) * (i - 5) + (j - 5) * (j - 5)) / (2 * 1.5 * 1.5));
    for (size_t i = 0; i < 121; i++) {
        double w = weight[i / 11][i % 11] / sum;
        mean[0] += w * luma_at(first, top + i / 11, left + i % 11);
        mean[1] += w * luma_at(second, top + i / 11, left + i % 11);
    }
    for (size_t i = 0; i < 121; i++) {
        double w = weight[i / 11][i % 11] / sum;
        double a = luma_at(first, top + i / 11, left + i % 11) - mean[0];
        double b = luma_at(second, top + i / 11, left + i % 11) - mean[1];
        variance[0] += w * a * a;
        variance[1] += w * b * b;
        covariance += w * a * b;
    }
    double c1 = 2.55 * 2.55, c2 = 7.65 * 7.65;
    return (2 * mean[0] * mean[1] + c1) * (2 * covariance + c2) /
           ((mean[0] * mean[0] + mean[1] * mean[1] + c1) * (variance[0] + variance[1] + c2));
}

static void ssim_is_the_mean_over_windows(void **state)
{
    (void)state;
    double sum = 0;
    make_pair(3);
    for (size_t y = 0; y + 11 <= SIDE; y++)
        for (size_t x = 0; x + 11 <= SIDE; x++)
            sum += window_similarity(y, x);
    check_close(vlm_ssim(first, second), sum / (246.0 * 246.0), 1e-9);
}

static void equal_squares_have_100_db(void **state)
{
    (void)state;
    make_pair(2);
    assert_true(vlm_psnr(first, first) == 100);
    check_close(vlm_ssim(first, first), 1, 1e-12);
    memcpy(second, first, sizeof(second));
    second[77] ^= 1;
    assert_true(vlm_psnr(first, second) == 100); /* 101 by the formula: no more than equal ones */
    second[78] ^= 1;
    check_close(vlm_psnr(first, second), 10 * log10(255.0 * 255.0 * VLM_SQUARE_BYTES / 2), 1e-12);
}

static void uses_of_codes_are_counted(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_quality quality;
    uint16_t codes[VLM_CODES];
    assert_int_equal(vlm_quality_init(&quality, 32, &err), VLM_OK);
    struct vlm_quality_report report = vlm_quality_report(&quality);
    assert_int_equal(report.images, 0);
    assert_int_equal(report.dead, 32);
    assert_true(report.psnr == 0 && report.ssim == 0 && report.psnr_pooled == 0);
    make_pair(1);
    for (size_t i = 0; i < VLM_CODES; i++)
        codes[i] = (uint16_t)(i % 16); /* half of the codes, all as often */
    vlm_quality_add(&quality, first, second, codes);
    report = vlm_quality_report(&quality);
    assert_int_equal(report.dead, 16);
    check_close(report.usage, 0.5, 1e-12);
    check_close(report.perplexity, 16, 1e-12);
    check_close(report.entropy_bits, 4, 1e-12);
    check_close(report.top10_share, 10.0 / 16, 1e-12);
    /* A second image of one code: 16 of 512 uses are in each of 15, 272 in the last. */
    for (size_t i = 0; i < VLM_CODES; i++)
        codes[i] = 7;
    vlm_quality_add(&quality, first, first, codes);
    report = vlm_quality_report(&quality);
    double bits = 15 * 5.0 / 32 + 272.0 / 512 * log2(512.0 / 272);
    check_close(report.entropy_bits, bits, 1e-12);
    check_close(report.perplexity, pow(2, bits), 1e-12);
    check_close(report.top10_share, (272.0 + 9 * 16) / 512, 1e-12);
    check_close(report.psnr, (vlm_psnr(first, second) + 100) / 2, 1e-12);
    check_close(report.psnr_pooled, vlm_psnr(first, second) + 10 * log10(2), 1e-12);
    vlm_quality_release(&quality);
    vlm_quality_release(&quality); /* safe */
}

static void a_sheet_holds_its_squares(void **state)
{
    (void)state;
    enum { ROWS = 2, COLS = 3, WIDTH = COLS * 264 + 8, HEIGHT = ROWS * 264 + 8 };
    char *path = new_file();
    struct vlm_err err = { 0 };
    struct vlm_buffer file = { 0 };
    struct vlm_arena arena;
    struct vlm_image image;
    uint8_t *squares = malloc((size_t)ROWS * COLS * VLM_SQUARE_BYTES);
    assert_non_null(squares);
    for (uint32_t i = 0; i < ROWS * COLS; i++) {
        make_pair(i % PAIRS);
        memcpy(squares + (size_t)i * VLM_SQUARE_BYTES, second, VLM_SQUARE_BYTES);
    }
    assert_non_null(path);
    assert_int_equal(vlm_sheet_write(path, squares, ROWS, COLS, &err), VLM_OK);
    assert_int_equal(vlm_file_read(&file, path, VLM_MIB * 8, &err), VLM_OK);
    vlm_arena_init(&arena, 64 * VLM_MIB);
    assert_int_equal(vlm_image_decode(&image, file.data, file.size, NULL, &arena, &err), VLM_OK);
    assert_int_equal(image.info.status, VLM_IMAGE_OK);
    assert_int_equal(image.info.format, VLM_FORMAT_PNG);
    assert_int_equal(image.width, WIDTH);
    assert_int_equal(image.height, HEIGHT);
    for (size_t y = 0; y < HEIGHT; y++)
        for (size_t x = 0; x < WIDTH; x++) {
            bool margin = x % 264 < 8 || y % 264 < 8;
            const uint8_t *shown = image.samples + (y * WIDTH + x) * 3;
            size_t number = y / 264 * COLS + x / 264;
            static const uint8_t white[3] = { 255, 255, 255 };
            const uint8_t *wanted =
                margin ? white
                       : squares + (number * SIDE * SIDE + (y % 264 - 8) * SIDE + x % 264 - 8) * 3;
            if (memcmp(shown, wanted, 3))
                fail_msg("pixel %zu, %zu", x, y);
        }
    unlink(path);
    free(path);
    assert_true(vlm_sheet_write("/nowhere/at/all.png", squares, 1, 1, &err) < 0);
    assert_non_null(strstr(err.msg, "/nowhere/at/all.png"));
    vlm_arena_release(&arena);
    vlm_buffer_release(&file);
    free(squares);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_equal_those_of_array_formulas),
        cmocka_unit_test(ssim_is_the_mean_over_windows),
        cmocka_unit_test(equal_squares_have_100_db),
        cmocka_unit_test(uses_of_codes_are_counted),
        cmocka_unit_test(a_sheet_holds_its_squares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
