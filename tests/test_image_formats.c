/* test_image_formats.c - PNG, WebP and GIF through the image front end. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tests/image_fixture.h"
#include "vqgan/image/decoders.h"

#include <math.h>

#include <gif_lib.h>
#include <webp/encode.h>

enum { WIDTH = 21, HEIGHT = 13 };

/* PNG */

struct png_kind {
    unsigned depth, colour;
    enum vlm_image_mode mode;
};

static unsigned samples_of(unsigned colour)
{
    return colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1;
}

/* Sample i of a pixel, in the depth of the file. */
static unsigned stored_sample(unsigned depth, uint32_t x, uint32_t y, uint32_t i)
{
    uint32_t value = x * 2861 + y * 7919 + i * 10007 + x * y * 13;
    return value & ((1U << depth) - 1);
}

static void put_sample(uint8_t *row, unsigned depth, size_t at, unsigned value)
{
    if (depth == 16)
        put_big_endian(row + 2 * at, 2, value);
    else
        row[at * depth / 8] |= (uint8_t)(value << (8 - depth - at * depth % 8));
}

/* Rows of one pass with filter 0: the pixels first_x, first_x + step_x, ... */
static void add_pass(struct vlm_buffer *rows, const struct png_kind *kind, uint32_t first_x,
                     uint32_t step_x, uint32_t first_y, uint32_t step_y)
{
    unsigned samples = samples_of(kind->colour);
    uint32_t columns = first_x < WIDTH ? (WIDTH - first_x + step_x - 1) / step_x : 0;
    size_t stride = ((size_t)columns * samples * kind->depth + 7) / 8;
    for (uint32_t y = first_y; columns && y < HEIGHT; y += step_y) {
        uint8_t row[WIDTH * 8] = { 0 };
        for (uint32_t k = 0; k < columns; k++)
            for (uint32_t i = 0; i < samples; i++)
                put_sample(row, kind->depth, (size_t)k * samples + i,
                           stored_sample(kind->depth, first_x + k * step_x, y, i));
        vlm_buffer_byte(rows, 0);
        vlm_buffer_add(rows, row, stride);
    }
}

/* At most 100 colours, the first 50 of them translucent. */
static void add_palette(struct vlm_buffer *out, unsigned depth)
{
    uint8_t palette[100 * 3], opacity[50];
    for (unsigned i = 0; i < sizeof(palette); i++)
        palette[i] = (uint8_t)(i * 37);
    for (unsigned i = 0; i < sizeof(opacity); i++)
        opacity[i] = (uint8_t)(i * 5);
    unsigned entries = VLM_MIN(1U << depth, 100U);
    add_png_chunk(out, "PLTE", palette, (size_t)entries * 3);
    add_png_chunk(out, "tRNS", opacity, VLM_MIN(entries, 50U));
}

static void make_png(struct vlm_buffer *out, const struct png_kind *kind, bool interlaced)
{
    static const uint32_t adam7[7][4] = { { 0, 8, 0, 8 }, { 4, 8, 0, 8 }, { 0, 4, 4, 8 },
                                          { 2, 4, 0, 4 }, { 0, 2, 2, 4 }, { 1, 2, 0, 2 },
                                          { 0, 1, 1, 2 } };
    struct vlm_buffer rows = { 0 };
    add_png_header(out, WIDTH, HEIGHT, kind->depth, kind->colour, interlaced);
    if (kind->colour == 3)
        add_palette(out, kind->depth);
    if (interlaced)
        for (size_t i = 0; i < 7; i++)
            add_pass(&rows, kind, adam7[i][0], adam7[i][1], adam7[i][2], adam7[i][3]);
    else
        add_pass(&rows, kind, 0, 1, 0, 1);
    add_png_data(out, rows.data, rows.size);
    add_png_chunk(out, "IEND", "", 0);
    vlm_buffer_release(&rows);
}

/* The sample in 8 bits, to the nearest. */
static double in_8_bits(unsigned depth, unsigned value)
{
    return (double)((value * 510U / ((1U << depth) - 1) + 1) / 2);
}

/* What the front end must make of a pixel, by the definition in floating point. */
static double wanted_sample(const struct png_kind *kind, uint32_t x, uint32_t y, uint32_t c)
{
    if (kind->colour == 3) {
        unsigned index = stored_sample(kind->depth, x, y, 0);
        double value = index < 100 ? (uint8_t)((index * 3 + c) * 37) : index;
        double alpha = index < 50 ? index * 5 : 255;
        return rint(alpha / 255 * value + 255 - alpha);
    }
    unsigned samples = samples_of(kind->colour);
    double value = in_8_bits(kind->depth, stored_sample(kind->depth, x, y, c));
    if (samples % 2 == 1)
        return value;
    double alpha = in_8_bits(kind->depth, stored_sample(kind->depth, x, y, samples - 1));
    return rint(alpha / 255 * value + 255 - alpha);
}

static void check_png(const struct png_kind *kind, bool interlaced)
{
    struct vlm_buffer file = { 0 };
    struct vlm_arena arena;
    vlm_arena_init(&arena, FIXTURE_ARENA);
    make_png(&file, kind, interlaced);
    struct vlm_image image = decoded(&file, NULL, &arena);
    assert_int_equal(image.info.status, VLM_IMAGE_OK);
    assert_int_equal(image.info.mode, kind->mode);
    assert_int_equal(image.channels, kind->colour == 0 || kind->colour == 4 ? 1 : 3);
    for (uint32_t i = 0; i < WIDTH * HEIGHT * image.channels; i++) {
        uint32_t pixel = i / image.channels, c = i % image.channels;
        double wanted = wanted_sample(kind, pixel % WIDTH, pixel / WIDTH, c);
        assert_int_equal(image.samples[i], (int)wanted);
    }
    bool stored = kind->mode == VLM_MODE_L || kind->mode == VLM_MODE_RGB;
    assert_int_equal(image.lossless_samples, stored && kind->depth <= 8);
    vlm_arena_release(&arena);
    vlm_buffer_release(&file);
}

static const struct png_kind png_kinds[] = {
    { 1, 0, VLM_MODE_1 },     { 2, 0, VLM_MODE_L },    { 4, 0, VLM_MODE_L },
    { 8, 0, VLM_MODE_L },     { 16, 0, VLM_MODE_I16 }, { 8, 2, VLM_MODE_RGB },
    { 16, 2, VLM_MODE_RGB },  { 1, 3, VLM_MODE_P },    { 2, 3, VLM_MODE_P },
    { 4, 3, VLM_MODE_P },     { 8, 3, VLM_MODE_P },    { 8, 4, VLM_MODE_LA },
    { 16, 4, VLM_MODE_RGBA }, { 8, 6, VLM_MODE_RGBA }, { 16, 6, VLM_MODE_RGBA },
};

static void png_kinds_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(png_kinds); i++) {
        check_png(&png_kinds[i], false);
        check_png(&png_kinds[i], true);
    }
}

/* A colour named by tRNS is white, unless samples are wanted as they are stored. */
static void png_transparent_colour_is_white(void **state)
{
    (void)state;
    static const struct png_kind kind = { 8, 2, VLM_MODE_RGB };
    const struct vlm_image_options as_stored = { .as_stored = true };
    struct vlm_buffer whole = { 0 }, file = { 0 };
    struct vlm_arena arena;
    uint8_t key[6];
    vlm_arena_init(&arena, FIXTURE_ARENA);
    make_png(&whole, &kind, false);
    for (uint32_t c = 0; c < 3; c++)
        put_big_endian(key + 2 * c, 2, stored_sample(8, 5, 2, c));
    add_png_header(&file, WIDTH, HEIGHT, 8, 2, 0);
    size_t header = file.size;
    add_png_chunk(&file, "tRNS", key, sizeof(key));
    vlm_buffer_add(&file, whole.data + header, whole.size - header);
    struct vlm_image image = decoded(&file, NULL, &arena);
    const uint8_t white[] = { 255, 255, 255 };
    size_t at = (2 * WIDTH + 5) * 3;
    assert_memory_equal(image.samples + at, white, 3);
    assert_memory_not_equal(image.samples + at + 3, white, 3);
    assert_false(image.lossless_samples);
    image = decoded(&file, &as_stored, &arena);
    assert_true(image.lossless_samples);
    assert_int_equal(image.samples[at], stored_sample(8, 5, 2, 0));
    vlm_arena_release(&arena);
    vlm_buffer_release(&file);
    vlm_buffer_release(&whole);
}

static void png_as_stored_keeps_the_high_byte(void **state)
{
    (void)state;
    static const struct png_kind kind = { 16, 2, VLM_MODE_RGB };
    const struct vlm_image_options as_stored = { .as_stored = true };
    struct vlm_buffer file = { 0 };
    struct vlm_arena arena;
    vlm_arena_init(&arena, FIXTURE_ARENA);
    make_png(&file, &kind, false);
    struct vlm_image image = decoded(&file, &as_stored, &arena);
    assert_true(image.lossless_samples);
    for (uint32_t i = 0; i < WIDTH * HEIGHT * 3; i++)
        assert_int_equal(image.samples[i],
                         stored_sample(16, i / 3 % WIDTH, i / 3 / WIDTH, i % 3) >> 8);
    vlm_arena_release(&arena);
    vlm_buffer_release(&file);
}

static void png_truncation_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(png_kinds); i += 3) {
        struct vlm_buffer file = { 0 };
        make_png(&file, &png_kinds[i], i % 2);
        assert_int_equal(accepted_prefixes(&file), 0);
        survives_flips(&file);
        vlm_buffer_release(&file);
    }
}

/* All chunks are checksummed, those that nobody needs too. */
static void png_checksums_are_checked(void **state)
{
    (void)state;
    struct vlm_buffer whole = { 0 }, file = { 0 };
    make_png(&whole, &png_kinds[10], false);
    size_t header = 8 + 25;
    vlm_buffer_add(&file, whole.data, header);
    add_png_chunk(&file, "tEXt", "Comment\0hello", 13);
    vlm_buffer_add(&file, whole.data + header, whole.size - header);
    assert_int_equal(status_of(&file), VLM_IMAGE_OK);
    size_t at = 8;
    for (unsigned chunk = 0; chunk < 5; chunk++) {
        size_t length = vlm_big_endian_32(file.data + at);
        size_t checksum = at + 8 + length;
        file.data[checksum] ^= 1;
        assert_int_equal(status_of(&file), VLM_IMAGE_CORRUPT);
        file.data[checksum] ^= 1;
        at = checksum + 4;
    }
    assert_int_equal(status_of(&file), VLM_IMAGE_OK);
    vlm_buffer_release(&file);
    vlm_buffer_release(&whole);
}

/* type is put behind the header of an RGB image; its data are zeros. */
static enum vlm_image_status status_with_chunk(const char *type, size_t length)
{
    static const struct png_kind kind = { 8, 2, VLM_MODE_RGB };
    struct vlm_buffer whole = { 0 }, file = { 0 };
    uint8_t *data = calloc(length + 1, 1);
    assert_non_null(data);
    make_png(&whole, &kind, false);
    vlm_buffer_add(&file, whole.data, 8 + 25);
    add_png_chunk(&file, type, data, length);
    vlm_buffer_add(&file, whole.data + 8 + 25, whole.size - 8 - 25);
    enum vlm_image_status status = status_of(&file);
    free(data);
    vlm_buffer_release(&file);
    vlm_buffer_release(&whole);
    return status;
}

static void png_ancillary_chunks_do_not_matter(void **state)
{
    (void)state;
    static const char types[][5] = { "gAMA", "iCCP", "zTXt", "iTXt", "acTL",
                                     "eXIf", "sRGB", "bKGD", "abCd" };
    for (size_t i = 0; i < VLM_COUNTOF(types); i++) {
        assert_int_equal(status_with_chunk(types[i], 0), VLM_IMAGE_OK);
        assert_int_equal(status_with_chunk(types[i], 5000), VLM_IMAGE_OK);
    }
    assert_int_equal(status_with_chunk("ABCD", 4), VLM_IMAGE_UNSUPPORTED);
    assert_int_equal(status_with_chunk("IHDR", 13), VLM_IMAGE_CORRUPT);
}

static void png_bad_headers_are_refused(void **state)
{
    (void)state;
    static const unsigned bad[][3] = { { 3, 0, 0 }, { 16, 3, 0 }, { 4, 2, 0 },
                                       { 8, 1, 0 }, { 8, 5, 0 },  { 8, 2, 2 } };
    for (size_t i = 0; i < VLM_COUNTOF(bad); i++) {
        struct vlm_buffer file = { 0 };
        uint8_t rows[4 * 13] = { 0 };
        add_png_header(&file, 4, 4, bad[i][0], bad[i][1], bad[i][2]);
        add_png_data(&file, rows, sizeof(rows));
        add_png_chunk(&file, "IEND", "", 0);
        assert_int_equal(status_of(&file), VLM_IMAGE_CORRUPT);
        vlm_buffer_release(&file);
    }
}

static void png_data_may_be_cut_anywhere(void **state)
{
    (void)state;
    struct vlm_buffer file = { 0 }, data = { 0 };
    uint8_t rows[8 * 25] = { 0 };
    add_png_data(&data, rows, sizeof(rows));
    size_t n = vlm_big_endian_32(data.data);
    add_png_header(&file, 8, 8, 8, 2, 0);
    for (size_t i = 0; i < n; i++)
        add_png_chunk(&file, "IDAT", data.data + 8 + i, 1);
    add_png_chunk(&file, "IEND", "", 0);
    assert_int_equal(status_of(&file), VLM_IMAGE_OK);
    vlm_buffer_reset(&file);
    add_png_header(&file, 8, 9, 8, 2, 0); /* one row more than there is */
    vlm_buffer_add(&file, data.data, data.size);
    add_png_chunk(&file, "IEND", "", 0);
    assert_int_not_equal(status_of(&file), VLM_IMAGE_OK);
    vlm_buffer_release(&data);
    vlm_buffer_release(&file);
}

/* Big-endian TIFF with orientation 6 in its first directory. */
static const uint8_t exif_block[] = { 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0,
                                      3,   0,   0, 0,  1, 0, 6, 0, 0, 0, 0, 0,    0 };

static void png_orientation_is_read(void **state)
{
    (void)state;
    for (unsigned behind = 0; behind < 2; behind++) {
        struct vlm_buffer whole = { 0 }, file = { 0 };
        struct vlm_image_info info;
        make_png(&whole, &png_kinds[5], false);
        size_t at = behind ? whole.size - 12 : 8 + 25;
        vlm_buffer_add(&file, whole.data, at);
        add_png_chunk(&file, "eXIf", exif_block, sizeof(exif_block));
        vlm_buffer_add(&file, whole.data + at, whole.size - at);
        vlm_image_probe(&info, file.data, file.size);
        assert_int_equal(info.status, VLM_IMAGE_OK);
        assert_int_equal(info.orientation, 6);
        vlm_buffer_release(&file);
        vlm_buffer_release(&whole);
    }
}

/* WebP */

static void make_webp(struct vlm_buffer *out, bool lossless, bool alpha)
{
    uint8_t rgba[WIDTH * HEIGHT * 4], *bytes = NULL;
    int channels = alpha ? 4 : 3, stride = WIDTH * channels;
    for (uint32_t i = 0; i < (uint32_t)(WIDTH * HEIGHT * channels); i++) {
        uint32_t pixel = i / (uint32_t)channels, c = i % (uint32_t)channels;
        rgba[i] = fixture_sample(pixel % WIDTH, pixel / WIDTH, c);
    }
    size_t n = lossless && alpha ? WebPEncodeLosslessRGBA(rgba, WIDTH, HEIGHT, stride, &bytes)
               : lossless        ? WebPEncodeLosslessRGB(rgba, WIDTH, HEIGHT, stride, &bytes)
               : alpha           ? WebPEncodeRGBA(rgba, WIDTH, HEIGHT, stride, 90, &bytes)
                                 : WebPEncodeRGB(rgba, WIDTH, HEIGHT, stride, 90, &bytes);
    assert_true(n > 0);
    vlm_buffer_add(out, bytes, n);
    WebPFree(bytes);
}

static void webp_kinds_decode(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        bool lossless = kind & 1, alpha = kind & 2;
        struct vlm_buffer file = { 0 };
        struct vlm_arena arena;
        vlm_arena_init(&arena, FIXTURE_ARENA);
        make_webp(&file, lossless, alpha);
        struct vlm_image image = decoded(&file, NULL, &arena);
        assert_int_equal(image.info.status, VLM_IMAGE_OK);
        assert_int_equal(image.info.mode, alpha ? VLM_MODE_RGBA : VLM_MODE_RGB);
        assert_int_equal(image.lossless_samples, !alpha);
        for (uint32_t i = 0; i < WIDTH * HEIGHT * 3; i++) {
            uint32_t x = i / 3 % WIDTH, y = i / 3 / WIDTH;
            double opacity = alpha ? fixture_sample(x, y, 3) : 255;
            double wanted = rint(opacity / 255 * fixture_sample(x, y, i % 3) + 255 - opacity);
            assert_true(fabs(wanted - image.samples[i]) <= (lossless ? 0 : 24));
        }
        vlm_arena_release(&arena);
        vlm_buffer_release(&file);
    }
}

static void webp_truncation_is_refused(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        struct vlm_buffer file = { 0 };
        make_webp(&file, kind & 1, kind & 2);
        accepted_prefixes(&file); /* only ones that miss no sample: the padding byte */
        survives_flips(&file);
        vlm_buffer_release(&file);
    }
}

static void add_riff_chunk(struct vlm_buffer *out, const char *type, const void *data, size_t n)
{
    vlm_buffer_add(out, type, 4);
    vlm_buffer_u32(out, (uint32_t)n);
    vlm_buffer_add(out, data, n);
    if (n & 1)
        vlm_buffer_byte(out, 0);
}

static void add_24_bits(struct vlm_buffer *out, uint32_t value)
{
    for (unsigned i = 0; i < 3; i++)
        vlm_buffer_byte(out, (uint8_t)(value >> 8 * i));
}

/* An animation of two frames at (4, 2) of a larger canvas; the second frame is no WebP at all. */
static void make_animation(struct vlm_buffer *out, uint32_t canvas_width, uint32_t canvas_height)
{
    struct vlm_buffer still = { 0 }, body = { 0 }, frame = { 0 };
    make_webp(&still, true, false);
    vlm_buffer_add(&body, "WEBP", 4);
    vlm_buffer_add(&frame, "\2\0\0\0", 4);
    add_24_bits(&frame, canvas_width - 1);
    add_24_bits(&frame, canvas_height - 1);
    add_riff_chunk(&body, "VP8X", frame.data, frame.size);
    add_riff_chunk(&body, "ANIM", "\0\0\0\0\0\0", 6);
    vlm_buffer_reset(&frame);
    add_24_bits(&frame, 4 / 2);
    add_24_bits(&frame, 2 / 2);
    add_24_bits(&frame, WIDTH - 1);
    add_24_bits(&frame, HEIGHT - 1);
    add_24_bits(&frame, 100);
    vlm_buffer_byte(&frame, 0);
    size_t header = frame.size;
    vlm_buffer_add(&frame, still.data + 12, still.size - 12);
    add_riff_chunk(&body, "ANMF", frame.data, frame.size);
    memset(frame.data + header, 0, frame.size - header);
    add_riff_chunk(&body, "ANMF", frame.data, frame.size);
    add_riff_chunk(out, "RIFF", body.data, body.size);
    vlm_buffer_release(&frame);
    vlm_buffer_release(&body);
    vlm_buffer_release(&still);
}

static void webp_animation_gives_its_first_frame(void **state)
{
    (void)state;
    struct vlm_buffer file = { 0 };
    struct vlm_arena arena;
    vlm_arena_init(&arena, FIXTURE_ARENA);
    make_animation(&file, WIDTH + 6, HEIGHT + 5);
    struct vlm_image image = decoded(&file, NULL, &arena);
    assert_int_equal(image.info.status, VLM_IMAGE_OK);
    assert_int_equal(image.width, WIDTH + 6);
    assert_int_equal(image.height, HEIGHT + 5);
    for (uint32_t i = 0; i < image.width * image.height * 3; i++) {
        uint32_t x = i / 3 % image.width - 4, y = i / 3 / image.width - 2;
        bool covered = x < WIDTH && y < HEIGHT;
        assert_int_equal(image.samples[i], covered ? fixture_sample(x, y, i % 3) : 255);
    }
    accepted_prefixes(&file);
    survives_flips(&file);
    vlm_buffer_reset(&file);
    make_animation(&file, WIDTH + 3, HEIGHT + 5); /* the frame reaches outside */
    assert_int_not_equal(status_of(&file), VLM_IMAGE_OK);
    vlm_arena_release(&arena);
    vlm_buffer_release(&file);
}

/* Only a lossless header of that size, with some bytes behind it. */
static enum vlm_image_status webp_claim(uint32_t width, uint32_t height)
{
    struct vlm_buffer file = { 0 };
    struct vlm_image_info info;
    vlm_buffer_add(&file, "RIFF\x20\0\0\0WEBPVP8L\x14\0\0\0\x2f", 21);
    vlm_buffer_u32(&file, (width - 1) | (height - 1) << 14);
    for (size_t i = 0; i < 15; i++)
        vlm_buffer_byte(&file, 0);
    vlm_image_probe(&info, file.data, file.size);
    vlm_buffer_release(&file);
    return info.status;
}

static void webp_limits_hold(void **state)
{
    (void)state;
    assert_int_equal(webp_claim(6000, 3999), VLM_IMAGE_OK);
    assert_int_equal(webp_claim(6000, 4000), VLM_IMAGE_OK);
    assert_int_equal(webp_claim(6000, 4001), VLM_IMAGE_TOO_LARGE_PIXELS);
    assert_int_equal(webp_claim(16383, 1464), VLM_IMAGE_OK);
    assert_int_equal(webp_claim(16383, 1465), VLM_IMAGE_TOO_LARGE_PIXELS);
}

static void webp_orientation_is_read(void **state)
{
    (void)state;
    static const char *const prefixes[] = { "", "Exif\0\0" };
    for (size_t i = 0; i < 2; i++) {
        struct vlm_buffer still = { 0 }, body = { 0 }, exif = { 0 }, file = { 0 };
        struct vlm_image_info info;
        make_webp(&still, false, false);
        vlm_buffer_add(&body, "WEBP", 4);
        vlm_buffer_add(&exif, "\x08\0\0\0", 4);
        add_24_bits(&exif, WIDTH - 1);
        add_24_bits(&exif, HEIGHT - 1);
        add_riff_chunk(&body, "VP8X", exif.data, exif.size);
        vlm_buffer_add(&body, still.data + 12, still.size - 12);
        vlm_buffer_reset(&exif);
        vlm_buffer_add(&exif, prefixes[i], i ? 6 : 0);
        vlm_buffer_add(&exif, exif_block, sizeof(exif_block));
        add_riff_chunk(&body, "EXIF", exif.data, exif.size);
        add_riff_chunk(&file, "RIFF", body.data, body.size);
        vlm_image_probe(&info, file.data, file.size);
        assert_int_equal(info.orientation, 6);
        assert_int_equal(status_of(&file), VLM_IMAGE_OK);
        vlm_buffer_release(&file);
        vlm_buffer_release(&exif);
        vlm_buffer_release(&body);
        vlm_buffer_release(&still);
    }
}

/* GIF */

struct gif_recipe {
    uint16_t screen_width, screen_height, left, top, width, height;
    bool interlaced, local_map;
    int transparent; /* index, or -1 */
};

static int write_to_buffer(GifFileType *gif, const GifByteType *bytes, int n)
{
    vlm_buffer_add(gif->UserData, bytes, (size_t)n);
    return n;
}

static uint8_t gif_index(uint32_t x, uint32_t y)
{
    return (uint8_t)((x * 3 + y * 5 + x * y) % 32);
}

static uint8_t gif_colour(unsigned index, uint32_t c, bool local)
{
    return (uint8_t)(index * (local ? 5 : 7) + c * 11 + 1);
}

static ColorMapObject *make_map(bool local)
{
    GifColorType colours[32];
    for (unsigned i = 0; i < 32; i++)
        colours[i] = (GifColorType){ gif_colour(i, 0, local), gif_colour(i, 1, local),
                                     gif_colour(i, 2, local) };
    ColorMapObject *map = GifMakeMapObject(32, colours);
    assert_non_null(map);
    return map;
}

static void put_frame(GifFileType *gif, const struct gif_recipe *recipe, const ColorMapObject *map)
{
    static const uint32_t first[] = { 0, 4, 2, 1, 0 }, step[] = { 8, 8, 4, 2, 1 };
    uint8_t row[256];
    assert_int_equal(EGifPutImageDesc(gif, recipe->left, recipe->top, recipe->width, recipe->height,
                                      recipe->interlaced, map),
                     GIF_OK);
    size_t begin = recipe->interlaced ? 0 : 4, end = recipe->interlaced ? 4 : 5;
    for (size_t pass = begin; pass < end; pass++)
        for (uint32_t y = first[pass]; y < recipe->height; y += step[pass]) {
            for (uint32_t x = 0; x < recipe->width; x++)
                row[x] = gif_index(x, y);
            assert_int_equal(EGifPutLine(gif, row, recipe->width), GIF_OK);
        }
}

static void make_gif(struct vlm_buffer *out, const struct gif_recipe *recipe)
{
    int code = 0;
    GifFileType *gif = EGifOpen(out, write_to_buffer, &code);
    ColorMapObject *global = make_map(false), *other = make_map(!recipe->local_map);
    ColorMapObject *local = recipe->local_map ? make_map(true) : NULL;
    assert_non_null(gif);
    EGifSetGifVersion(gif, true);
    assert_int_equal(
        EGifPutScreenDesc(gif, recipe->screen_width, recipe->screen_height, 5, 0, global), GIF_OK);
    if (recipe->transparent >= 0) {
        GifByteType block[4] = { 1, 0, 0, (GifByteType)recipe->transparent };
        assert_int_equal(EGifPutExtension(gif, GRAPHICS_EXT_FUNC_CODE, 4, block), GIF_OK);
    }
    put_frame(gif, recipe, local);
    put_frame(gif, recipe, other); /* never looked at */
    EGifCloseFile(gif, &code);
    GifFreeMapObject(global);
    GifFreeMapObject(local);
    GifFreeMapObject(other);
}

static void check_gif(const struct gif_recipe *recipe)
{
    struct vlm_buffer file = { 0 };
    struct vlm_arena arena;
    vlm_arena_init(&arena, FIXTURE_ARENA);
    make_gif(&file, recipe);
    struct vlm_image image = decoded(&file, NULL, &arena);
    assert_int_equal(image.info.status, VLM_IMAGE_OK);
    assert_int_equal(image.info.mode, VLM_MODE_P);
    assert_int_equal(image.width, recipe->screen_width);
    assert_int_equal(image.height, recipe->screen_height);
    for (uint32_t i = 0; i < image.width * image.height * 3; i++) {
        uint32_t x = i / 3 % image.width - recipe->left, y = i / 3 / image.width - recipe->top;
        uint8_t index = gif_index(x, y);
        bool seen = x < recipe->width && y < recipe->height && index != recipe->transparent;
        assert_int_equal(image.samples[i],
                         seen ? gif_colour(index, i % 3, recipe->local_map) : 255);
    }
    accepted_prefixes(&file); /* ones that hold the whole first frame */
    survives_flips(&file);
    vlm_arena_release(&arena);
    vlm_buffer_release(&file);
}

static void gif_first_frame_is_placed(void **state)
{
    (void)state;
    static const struct gif_recipe recipes[] = {
        { 20, 11, 0, 0, 20, 11, false, false, -1 }, { 20, 11, 0, 0, 20, 11, true, false, -1 },
        { 20, 11, 3, 2, 9, 5, false, true, -1 },    { 20, 11, 3, 2, 9, 5, true, false, 7 },
        { 20, 11, 15, 8, 30, 21, false, true, 0 },  { 20, 11, 15, 8, 30, 21, true, true, 31 },
        { 20, 11, 40, 0, 9, 9, false, false, -1 },  { 20, 11, 0, 40, 9, 9, false, false, -1 },
        { 1, 1, 0, 0, 1, 1, true, false, -1 },
    };
    for (size_t i = 0; i < VLM_COUNTOF(recipes); i++)
        check_gif(&recipes[i]);
}

static enum vlm_image_status gif_status(const char *tail, size_t n)
{
    struct vlm_buffer file = { 0 };
    vlm_buffer_add(&file, "GIF89a\2\0\2\0\x80\0\0\0\0\0\xff\xff\xff", 19);
    vlm_buffer_add(&file, tail, n);
    enum vlm_image_status status = status_of(&file);
    vlm_buffer_release(&file);
    return status;
}

static void gif_damage_is_refused(void **state)
{
    (void)state;
    /* four pixels: clear, 0, 0, 0, 0, end in codes of 3 bits */
    assert_int_equal(gif_status(",\0\0\0\0\2\0\2\0\0\2\3\4\0\xa\0;", 16), VLM_IMAGE_OK);
    assert_int_equal(gif_status(";", 1), VLM_IMAGE_CORRUPT);
    assert_int_equal(gif_status("", 0), VLM_IMAGE_TRUNCATED);
    for (unsigned code_size = 9; code_size < 256; code_size += 13) {
        char frame[] = ",\0\0\0\0\2\0\2\0\0\2\3\4\0\xa\0;";
        frame[10] = (char)code_size;
        assert_int_not_equal(gif_status(frame, 16), VLM_IMAGE_OK);
    }
    /* no data; an end before the last pixel; a frame of 0 x 2 */
    assert_int_not_equal(gif_status(",\0\0\0\0\2\0\2\0\0\2\0;", 13), VLM_IMAGE_OK);
    assert_int_not_equal(gif_status(",\0\0\0\0\2\0\2\0\0\2\1\x2c\0;", 15), VLM_IMAGE_OK);
    assert_int_not_equal(gif_status(",\0\0\0\0\0\0\2\0\0\2\3\4\0\xa\0;", 16), VLM_IMAGE_OK);
    /* a frame that would take minutes */
    assert_int_equal(gif_status(",\0\0\0\0\xff\xff\xff\xff\0\2\3\4\0\xa\0;", 16),
                     VLM_IMAGE_TOO_LARGE_PIXELS);
}

/* Transparency */

static int png_transparency(const struct png_kind *kind, uint32_t x, uint32_t y)
{
    const unsigned samples = samples_of(kind->colour);
    if (kind->colour == 3) {
        const unsigned index = stored_sample(kind->depth, x, y, 0);
        return index < 50 ? 255 - (int)index * 5 : 0;
    }
    return samples % 2
               ? 0
               : 255 - (int)in_8_bits(kind->depth, stored_sample(kind->depth, x, y, samples - 1));
}

/* Whatever the colours are: how transparent a pixel is, or that a format has nothing of the kind. */
static void transparency_is_what_opacity_leaves(void **state)
{
    (void)state;
    const struct vlm_image_options options = { .transparency = true };
    struct vlm_buffer file = { 0 };
    struct vlm_arena arena;
    vlm_arena_init(&arena, FIXTURE_ARENA);
    for (size_t k = 0; k < 2 * VLM_COUNTOF(png_kinds); k++) {
        const struct png_kind *kind = &png_kinds[k / 2];
        vlm_buffer_reset(&file);
        make_png(&file, kind, k % 2);
        struct vlm_image image = decoded(&file, &options, &arena);
        assert_int_equal(image.info.status, VLM_IMAGE_OK);
        assert_false(image.lossless_samples);
        for (uint32_t i = 0; i < WIDTH * HEIGHT * image.channels; i++) {
            const uint32_t pixel = i / image.channels;
            assert_int_equal(image.samples[i],
                             png_transparency(kind, pixel % WIDTH, pixel / WIDTH));
        }
    }
    for (unsigned k = 0; k < 4; k++) {
        vlm_buffer_reset(&file);
        make_webp(&file, k & 1, k & 2);
        struct vlm_image image = decoded(&file, &options, &arena);
        for (uint32_t i = 0; i < WIDTH * HEIGHT * 3; i++)
            assert_int_equal(image.samples[i],
                             k & 2 ? 255 - fixture_sample(i / 3 % WIDTH, i / 3 / WIDTH, 3) : 0);
    }
    vlm_buffer_reset(&file);
    make_animation(&file, WIDTH + 6, HEIGHT + 5); /* what the frame does not cover */
    struct vlm_image image = decoded(&file, &options, &arena);
    assert_int_equal(image.samples[0], 255);
    assert_int_equal(image.samples[(2 * image.width + 4) * 3], 0);
    vlm_buffer_reset(&file);
    make_gif(&file, &(struct gif_recipe){ .screen_width = WIDTH,
                                          .screen_height = HEIGHT,
                                          .width = WIDTH,
                                          .height = HEIGHT,
                                          .transparent = -1 });
    image = decoded(&file, &options, &arena);
    assert_int_equal(image.info.status, VLM_IMAGE_UNSUPPORTED);
    vlm_arena_release(&arena);
    vlm_buffer_release(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_kinds_decode),
        cmocka_unit_test(png_transparent_colour_is_white),
        cmocka_unit_test(png_as_stored_keeps_the_high_byte),
        cmocka_unit_test(transparency_is_what_opacity_leaves),
        cmocka_unit_test(png_truncation_is_refused),
        cmocka_unit_test(png_checksums_are_checked),
        cmocka_unit_test(png_ancillary_chunks_do_not_matter),
        cmocka_unit_test(png_bad_headers_are_refused),
        cmocka_unit_test(png_data_may_be_cut_anywhere),
        cmocka_unit_test(png_orientation_is_read),
        cmocka_unit_test(webp_kinds_decode),
        cmocka_unit_test(webp_truncation_is_refused),
        cmocka_unit_test(webp_animation_gives_its_first_frame),
        cmocka_unit_test(webp_limits_hold),
        cmocka_unit_test(webp_orientation_is_read),
        cmocka_unit_test(gif_first_frame_is_placed),
        cmocka_unit_test(gif_damage_is_refused),
    };
    return cmocka_run_group_tests_name("image_formats", tests, NULL, NULL);
}
