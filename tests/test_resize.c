/* test_resize.c - resizing, squares and perceptual hashes against Pillow and imagehash.
 *
 * Pictures come from a formula; tests/vectors/resize.tsv holds what the others made of them, and
 * tests/vectors/make_resize.py made it. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "vqgan/image/decoders.h"
#include "vqgan/image/resize_kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { ARENA_MAX = 64 << 20, FIELDS = 7 };

/* The same formula as in make_resize.py, in 32-bit arithmetic. */
static uint8_t sample(uint32_t x, uint32_t y, uint32_t c)
{
    uint32_t smooth = x * (3 + c) + y * (5 + 2 * c) + (x * x + 3 * y * y) / 16;
    uint32_t noise = (x * 7919 + y * 104729 + c * 31) * 2654435761U >> 24;
    return (uint8_t)((x / 8 + y / 8) % 2 == 1 ? smooth : noise);
}

/* Exactly as large as the picture, so that a checker sees reads behind it. */
static uint8_t *picture(uint32_t width, uint32_t height, uint32_t channels)
{
    uint8_t *samples = malloc((size_t)width * height * channels);
    assert_non_null(samples);
    uint8_t *p = samples;
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < channels; c++)
                *p++ = sample(x, y, c);
    return samples;
}

static void assert_sha1(const uint8_t *bytes, size_t n, const char *expected)
{
    uint8_t hash[VLM_SHA1_SIZE];
    char hex[2 * VLM_SHA1_SIZE + 1];
    vlm_sha1(hash, bytes, n);
    assert_string_equal(vlm_hex(hex, hash, sizeof(hash)), expected);
}

static void check_square(char **field, struct vlm_arena *arena)
{
    static uint8_t square[VLM_SQUARE_BYTES];
    struct vlm_err err = { 0 };
    struct vlm_image image = {
        .info.orientation = (uint8_t)strtoul(field[4], NULL, 10),
        .width = (uint32_t)strtoul(field[1], NULL, 10),
        .height = (uint32_t)strtoul(field[2], NULL, 10),
        .channels = (uint8_t)strtoul(field[3], NULL, 10),
    };
    image.samples = picture(image.width, image.height, image.channels);
    assert_int_equal(vlm_image_square(square, &image, arena, &err), VLM_OK);
    assert_sha1(square, sizeof(square), field[5]);
    if (strcmp(field[6], "-") != 0)
        assert_int_equal(vlm_image_phash(square, arena), strtoull(field[6], NULL, 16));
    free(image.samples);
}

static void check_resize(char **field, struct vlm_arena *arena)
{
    struct vlm_err err = { 0 };
    uint32_t size[5];
    for (size_t i = 0; i < 5; i++)
        size[i] = (uint32_t)strtoul(field[i + 1], NULL, 10);
    uint8_t *from = picture(size[0], size[1], size[2]);
    size_t n = (size_t)size[3] * size[4] * size[2];
    uint8_t *to = malloc(n);
    assert_non_null(to);
    assert_int_equal(
        vlm_resize_bicubic(to, size[3], size[4], from, size[0], size[1], size[2], arena, &err),
        VLM_OK);
    assert_sha1(to, n, field[6]);
    free(to);
    free(from);
}

static size_t split(char *line, char **field)
{
    size_t n = 0;
    for (char *rest = line, *part; n < FIELDS && (part = strsep(&rest, "\t")) != NULL;)
        field[n++] = part;
    return n;
}

static void equals_pillow(void **state)
{
    (void)state;
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    struct vlm_arena arena;
    size_t lines = 0;
    vlm_arena_init(&arena, ARENA_MAX);
    assert_int_equal(vlm_file_read(&text, "tests/vectors/resize.tsv", VLM_MIB, &err), VLM_OK);
    vlm_buffer_byte(&text, 0);
    char *rest = (char *)text.data;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && line[0]; lines++) {
        char *field[FIELDS];
        assert_int_equal(split(line, field), FIELDS);
        vlm_arena_reset(&arena);
        if (strcmp(field[0], "square") == 0)
            check_square(field, &arena);
        else
            check_resize(field, &arena);
    }
    assert_int_equal(lines, 53);
    vlm_arena_release(&arena);
    vlm_buffer_release(&text);
}

/* Weights of one position, all equal to the given ones. */
static void fill_weights(struct vlm_weights *weights, int32_t *weight, int16_t *high, int16_t *low)
{
    for (size_t i = 0; i < weights->pitch; i++) {
        high[i] = (int16_t)(weight[i] >> VLM_WEIGHT_LOW_BITS);
        low[i] = (int16_t)(weight[i] & ((1 << VLM_WEIGHT_LOW_BITS) - 1));
    }
    weights->weight = weight;
    weights->high = high;
    weights->low = low;
}

/* The AVX2 rows give what the plain rows give, also for weights that overshoot on both sides. */
static void fast_rows_equal_plain_rows(void **state)
{
    (void)state;
#ifdef __x86_64__
    if (!vlm_has_avx2()) {
        print_message("this processor has no AVX2\n");
        skip();
    }
    enum { PITCH = 32, ROWS = 4, STRIDE = 3 * PITCH + VLM_ROW_SLACK };
    uint8_t from[ROWS * STRIDE], fast[ROWS * 3], plain[3];
    int32_t weight[PITCH];
    int16_t high[PITCH], low[PITCH];
    for (uint32_t round = 0; round < 2000; round++) {
        uint32_t first = 0, count = 1 + round % PITCH;
        struct vlm_weights weights = { .first = &first, .count = &count, .pitch = PITCH };
        for (uint32_t i = 0; i < sizeof(from); i++)
            from[i] = round % 3 ? sample(i, round, 0) : 255;
        for (uint32_t i = 0; i < PITCH; i++) {
            int32_t value = (int32_t)(sample(i, round, 1) * 65536U) - 4000000 + (int32_t)round;
            weight[i] = i < count ? value / (int32_t)count / 2 : 0;
        }
        fill_weights(&weights, weight, high, low);
        vlm_resize_rgb_rows_avx2(fast, 3, from, STRIDE, &weights, 1);
        for (size_t row = 0; row < ROWS; row++) {
            vlm_resize_row(plain, from + row * STRIDE, &weights, 1, 3);
            assert_memory_equal(fast + 3 * row, plain, 3);
        }
        vlm_resize_grey_row_avx2(fast, from, &weights, 1);
        vlm_resize_row(plain, from, &weights, 1, 1);
        assert_int_equal(fast[0], plain[0]);
    }
#else
    skip();
#endif
}

/* A box of the result equals the same box cut from the whole result. */
static void box_equals_cut(void **state)
{
    (void)state;
    enum { WIDTH = 61, HEIGHT = 47, TO_WIDTH = 40, TO_HEIGHT = 90 };
    struct vlm_err err = { 0 };
    struct vlm_arena arena;
    uint8_t *from = picture(WIDTH, HEIGHT, 3);
    static uint8_t whole[TO_WIDTH * TO_HEIGHT * 3], box[TO_WIDTH * TO_HEIGHT * 3];
    vlm_arena_init(&arena, ARENA_MAX);
    assert_int_equal(
        vlm_resize_bicubic(whole, TO_WIDTH, TO_HEIGHT, from, WIDTH, HEIGHT, 3, &arena, &err),
        VLM_OK);
    struct vlm_resize resize = { VLM_FILTER_BICUBIC, 3, WIDTH, HEIGHT, TO_WIDTH,
                                 TO_HEIGHT,          7, 30,    21,     33 };
    assert_int_equal(vlm_resize_box(box, from, &resize, &arena, &err), VLM_OK);
    for (size_t y = 0; y < resize.rows; y++)
        assert_memory_equal(box + y * resize.columns * 3,
                            whole + ((resize.top + y) * TO_WIDTH + resize.left) * 3,
                            resize.columns * 3);
    vlm_arena_release(&arena);
    free(from);
}

/* No rounding noise in the hash of a flat picture: only the mean is above the median. */
static void flat_picture_has_a_clean_hash(void **state)
{
    (void)state;
    static uint8_t square[VLM_SQUARE_BYTES];
    struct vlm_arena arena;
    vlm_arena_init(&arena, ARENA_MAX);
    memset(square, 200, sizeof(square));
    assert_int_equal(vlm_image_phash(square, &arena), UINT64_C(0x8000000000000000));
    memset(square, 0, sizeof(square));
    assert_int_equal(vlm_image_phash(square, &arena), 0);
    vlm_arena_release(&arena);
}

static void says_when_memory_is_out(void **state)
{
    (void)state;
    uint8_t *from = picture(300, 300, 3);
    static uint8_t square[VLM_SQUARE_BYTES];
    struct vlm_err err = { 0 };
    struct vlm_arena arena;
    vlm_arena_init(&arena, 1000);
    struct vlm_image image = { .info.orientation = 1, .width = 300, .height = 300, .channels = 3 };
    image.samples = from;
    assert_int_equal(vlm_image_square(square, &image, &arena, &err), VLM_ELIMIT);
    image.info.orientation = 6;
    assert_int_equal(vlm_image_square(square, &image, &arena, &err), VLM_ELIMIT);
    assert_int_equal(vlm_resize_bicubic(square, 0, 1, from, 1, 1, 3, &arena, &err), VLM_EUSAGE);
    vlm_arena_release(&arena);
    free(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pillow),           cmocka_unit_test(fast_rows_equal_plain_rows),
        cmocka_unit_test(box_equals_cut),          cmocka_unit_test(flat_picture_has_a_clean_hash),
        cmocka_unit_test(says_when_memory_is_out),
    };
    return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}
