/* test_image.c - the image front end: recognition, limits, JPEG, EXIF, what is not wanted, encoders.
 *
 * PNG, WebP and GIF have test_image_formats.c. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tests/image_fixture.h"
#include "vqgan/image/decoders.h"

enum { WIDTH = 48, HEIGHT = 40 };

/* A JPEG as libjpeg writes it; fatal errors of its own end the test program. */
struct jpeg_recipe {
    J_COLOR_SPACE space; /* of the samples */
    int components;
    bool progressive, arithmetic;
    int sampling; /* of luma, both ways; 0: the default */
    JDIMENSION width, height;
};

static void make_jpeg(struct vlm_buffer *out, const struct jpeg_recipe *recipe)
{
    struct jpeg_compress_struct library;
    struct jpeg_error_mgr manager;
    unsigned char *bytes = NULL;
    unsigned long n = 0;
    uint8_t row[1024 * 4];
    JSAMPROW rows[] = { row };
    assert_true(recipe->width <= 1024);
    library.err = jpeg_std_error(&manager);
    jpeg_create_compress(&library);
    jpeg_mem_dest(&library, &bytes, &n);
    library.image_width = recipe->width;
    library.image_height = recipe->height;
    library.input_components = recipe->components;
    library.in_color_space = recipe->space;
    jpeg_set_defaults(&library);
    jpeg_set_quality(&library, 95, TRUE);
    library.arith_code = recipe->arithmetic;
    if (recipe->progressive)
        jpeg_simple_progression(&library);
    if (recipe->sampling)
        library.comp_info[0].h_samp_factor = library.comp_info[0].v_samp_factor = recipe->sampling;
    jpeg_start_compress(&library, TRUE);
    while (library.next_scanline < library.image_height) {
        for (uint32_t x = 0; x < recipe->width; x++)
            for (uint32_t c = 0; c < (uint32_t)recipe->components; c++)
                row[x * (uint32_t)recipe->components + c] =
                    fixture_sample(x, library.next_scanline, c);
        jpeg_write_scanlines(&library, rows, 1);
    }
    jpeg_finish_compress(&library);
    vlm_buffer_add(out, bytes, n);
    jpeg_destroy_compress(&library);
    free(bytes);
}

static const struct jpeg_recipe baseline = {
    .space = JCS_RGB, .components = 3, .width = WIDTH, .height = HEIGHT
};

static void insert(struct vlm_buffer *to, const struct vlm_buffer *from, size_t at,
                   const void *bytes, size_t n)
{
    vlm_buffer_add(to, from->data, at);
    vlm_buffer_add(to, bytes, n);
    vlm_buffer_add(to, from->data + at, from->size - at);
}

/* Where the first marker of a kind begins. */
static size_t find_marker(const struct vlm_buffer *file, uint8_t code)
{
    const uint8_t marker[] = { 0xff, code };
    const uint8_t *found = memmem(file->data, file->size, marker, 2);
    assert_non_null(found);
    return (size_t)(found - file->data);
}

static void names_are_complete(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VLM_FORMATS; i++)
        assert_non_null(vlm_image_format_name(i));
    for (unsigned i = 0; i < VLM_IMAGE_STATUSES; i++)
        assert_non_null(vlm_image_status_name(i));
    for (unsigned i = VLM_MODE_1; i < VLM_MODES; i++)
        assert_non_null(vlm_image_mode_name(i));
    assert_null(vlm_image_mode_name(VLM_MODE_NONE));
    assert_string_equal(vlm_image_status_name(VLM_IMAGE_TRUNCATED_CAPTURE), "truncated_capture");
}

static void content_decides_the_format(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        enum vlm_image_format format;
    } cases[] = {
        { "", 0, VLM_FORMAT_UNKNOWN },
        { "x", 1, VLM_FORMAT_UNKNOWN },
        { "\xff\xd8", 2, VLM_FORMAT_UNKNOWN },
        { "\xff\xd8\xff", 3, VLM_FORMAT_JPEG },
        { "\x89PNG\r\n\x1a", 7, VLM_FORMAT_UNKNOWN },
        { "\x89PNG\r\n\x1a\n", 8, VLM_FORMAT_PNG },
        { "GIF89a", 6, VLM_FORMAT_GIF },
        { "GIF87a", 6, VLM_FORMAT_GIF },
        { "GIF88a", 6, VLM_FORMAT_UNKNOWN },
        { "RIFF\0\0\0\0WEBP", 12, VLM_FORMAT_WEBP },
        { "RIFF\0\0\0\0WAVE", 12, VLM_FORMAT_UNKNOWN },
        { "BM\0\0", 4, VLM_FORMAT_BMP },
        { "II*\0", 4, VLM_FORMAT_TIFF },
        { "MM\0*", 4, VLM_FORMAT_TIFF },
        { "\0\0\1\0", 4, VLM_FORMAT_ICO },
        { "\0\0\0\x1c"
          "ftypavif",
          12, VLM_FORMAT_AVIF },
        { "\0\0\0\x1c"
          "ftypmif1",
          12, VLM_FORMAT_HEIC },
        { "\0\0\0\x1c"
          "ftypisom",
          12, VLM_FORMAT_UNKNOWN },
        { "\0\0\0\x1c"
          "ftyp",
          8, VLM_FORMAT_UNKNOWN },
        { "\xff\x0a", 2, VLM_FORMAT_JXL },
        { "\0\0\0\x0cJXL \r\n\x87\n", 12, VLM_FORMAT_JXL },
        { " <svg/>", 7, VLM_FORMAT_SVG },
        { "<?xml version='1.0'?>\n<svg>", 27, VLM_FORMAT_SVG },
        { "<?xml version='1.0'?>\n<rss>", 27, VLM_FORMAT_UNKNOWN },
        { "<html><svg></svg></html>", 24, VLM_FORMAT_UNKNOWN },
        { "%PDF-1.4", 8, VLM_FORMAT_UNKNOWN },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_image_info info;
        vlm_image_probe(&info, (const uint8_t *)cases[i].bytes, cases[i].n);
        assert_int_equal(info.format, cases[i].format);
        assert_int_not_equal(info.status, VLM_IMAGE_OK);
        if (info.format == VLM_FORMAT_UNKNOWN || info.format > VLM_FORMAT_GIF)
            assert_int_equal(info.status, VLM_IMAGE_UNSUPPORTED);
        assert_int_equal(info.orientation, 1);
    }
}

/* Only the header of an image of any claimed size. */
static void make_claim(struct vlm_buffer *out, uint8_t code, uint32_t width, uint32_t height)
{
    struct vlm_buffer file = { 0 };
    make_jpeg(&file, &baseline);
    size_t at = find_marker(&file, 0xc0);
    file.data[at + 1] = code;
    put_big_endian(file.data + at + 5, 2, height);
    put_big_endian(file.data + at + 7, 2, width);
    vlm_buffer_add(out, file.data, file.size);
    vlm_buffer_release(&file);
}

static enum vlm_image_status claim_status(uint8_t code, uint32_t width, uint32_t height)
{
    struct vlm_buffer file = { 0 };
    struct vlm_image_info info;
    make_claim(&file, code, width, height);
    vlm_image_probe(&info, file.data, file.size);
    vlm_buffer_release(&file);
    return info.status;
}

static void limits_hold_at_their_edges(void **state)
{
    (void)state;
    assert_int_equal(claim_status(0xc0, VLM_IMAGE_SIDE_MAX - 1, 1), VLM_IMAGE_OK);
    assert_int_equal(claim_status(0xc0, VLM_IMAGE_SIDE_MAX, 1), VLM_IMAGE_OK);
    assert_int_equal(claim_status(0xc0, VLM_IMAGE_SIDE_MAX + 1, 1), VLM_IMAGE_TOO_LARGE_PIXELS);
    assert_int_equal(claim_status(0xc0, 1, VLM_IMAGE_SIDE_MAX), VLM_IMAGE_OK);
    assert_int_equal(claim_status(0xc0, 1, VLM_IMAGE_SIDE_MAX + 1), VLM_IMAGE_TOO_LARGE_PIXELS);
    assert_int_equal(claim_status(0xc0, 8000, 7999), VLM_IMAGE_OK);
    assert_int_equal(claim_status(0xc0, 8000, 8000), VLM_IMAGE_OK);
    assert_int_equal(claim_status(0xc0, 8000, 8001), VLM_IMAGE_TOO_LARGE_PIXELS);
    assert_int_equal(claim_status(0xc2, 6000, 3999), VLM_IMAGE_OK);
    assert_int_equal(claim_status(0xc2, 6000, 4000), VLM_IMAGE_OK);
    assert_int_equal(claim_status(0xc2, 6000, 4001), VLM_IMAGE_TOO_LARGE_PIXELS);
    assert_int_equal(claim_status(0xc0, 0, 10), VLM_IMAGE_CORRUPT);
    assert_int_equal(claim_status(0xc0, 10, 0), VLM_IMAGE_UNSUPPORTED);
    assert_int_equal(claim_status(0xc3, 10, 10), VLM_IMAGE_UNSUPPORTED);
    assert_int_equal(claim_status(0xc5, 10, 10), VLM_IMAGE_UNSUPPORTED);
}

static void bytes_have_a_limit(void **state)
{
    (void)state;
    struct vlm_buffer file = { 0 };
    make_jpeg(&file, &baseline);
    size_t room = VLM_IMAGE_BYTES_MAX + 1 - file.size;
    uint8_t *padding = vlm_buffer_reserve(&file, room);
    assert_non_null(padding);
    memset(padding, 0, room);
    file.size = VLM_IMAGE_BYTES_MAX - 1;
    assert_int_equal(status_of(&file), VLM_IMAGE_OK);
    file.size = VLM_IMAGE_BYTES_MAX;
    assert_int_equal(status_of(&file), VLM_IMAGE_OK);
    file.size = VLM_IMAGE_BYTES_MAX + 1;
    assert_int_equal(status_of(&file), VLM_IMAGE_TOO_LARGE_BYTES);
    vlm_buffer_release(&file);
}

static void bombs_allocate_nothing(void **state)
{
    (void)state;
    struct vlm_buffer file = { 0 };
    struct vlm_arena arena;
    vlm_arena_init(&arena, FIXTURE_ARENA);
    make_claim(&file, 0xc0, 65500, 65500);
    assert_int_equal(decoded(&file, NULL, &arena).info.status, VLM_IMAGE_TOO_LARGE_PIXELS);
    vlm_buffer_reset(&file);
    make_claim(&file, 0xc2, 12000, 12000);
    assert_int_equal(decoded(&file, NULL, &arena).info.status, VLM_IMAGE_TOO_LARGE_PIXELS);
    vlm_buffer_reset(&file);
    add_png_header(&file, 0x7fffffff, 0x7fffffff, 8, 6, 0);
    assert_int_equal(decoded(&file, NULL, &arena).info.status, VLM_IMAGE_TOO_LARGE_PIXELS);
    vlm_buffer_reset(&file);
    add_png_header(&file, 16384, 16384, 8, 6, 1);
    assert_int_equal(decoded(&file, NULL, &arena).info.status, VLM_IMAGE_TOO_LARGE_PIXELS);
    vlm_buffer_reset(&file);
    vlm_buffer_add(&file, "GIF89a\xff\xff\xff\xff\0\0\0", 13);
    assert_int_equal(decoded(&file, NULL, &arena).info.status, VLM_IMAGE_TOO_LARGE_PIXELS);
    vlm_buffer_reset(&file);
    /* VP8L, 16383 x 16383 */
    vlm_buffer_add(&file, "RIFF\x20\0\0\0WEBPVP8L\x14\0\0\0\x2f\xfe\xbf\xff\x0f", 25);
    for (size_t i = 0; i < 15; i++)
        vlm_buffer_byte(&file, 0);
    assert_int_equal(decoded(&file, NULL, &arena).info.status, VLM_IMAGE_TOO_LARGE_PIXELS);
    vlm_buffer_reset(&file);
    /* VP8X with a canvas of 2^24 x 1 */
    vlm_buffer_add(&file, "RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\0\0\0", 30);
    assert_int_not_equal(decoded(&file, NULL, &arena).info.status, VLM_IMAGE_OK);
    assert_null(arena.first);
    vlm_arena_release(&arena);
    vlm_buffer_release(&file);
}

static void too_many_scans_are_refused(void **state)
{
    (void)state;
    struct jpeg_recipe recipe = baseline;
    recipe.progressive = true;
    struct vlm_buffer file = { 0 }, many = { 0 };
    make_jpeg(&file, &recipe);
    size_t at = find_marker(&file, 0xda), end = file.size - 2;
    static const uint8_t scan[] = { 0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0, 0x55 };
    for (int scans = 0; scans < VLM_JPEG_SCANS_MAX + 1; scans++) {
        vlm_buffer_reset(&many);
        vlm_buffer_add(&many, file.data, at);
        for (int i = 0; i < scans; i++)
            vlm_buffer_add(&many, scan, sizeof(scan));
        vlm_buffer_add(&many, file.data + end, 2);
        struct vlm_image_info info;
        vlm_image_probe(&info, many.data, many.size);
        assert_int_equal(info.status, scans ? VLM_IMAGE_OK : VLM_IMAGE_CORRUPT);
    }
    vlm_buffer_reset(&many);
    vlm_buffer_add(&many, file.data, at);
    for (int i = 0; i < VLM_JPEG_SCANS_MAX + 1; i++)
        vlm_buffer_add(&many, scan, sizeof(scan));
    vlm_buffer_add(&many, file.data + end, 2);
    assert_int_equal(status_of(&many), VLM_IMAGE_TOO_MANY_SCANS);
    vlm_buffer_release(&many);
    vlm_buffer_release(&file);
}

/* The largest difference between a decoded image and the picture it was made of. */
static int worst_difference(const struct vlm_image *image)
{
    int worst = 0;
    for (uint32_t i = 0; i < image->width * image->height * image->channels; i++) {
        uint32_t pixel = i / image->channels;
        int wanted =
            fixture_sample(pixel % image->width, pixel / image->width, i % image->channels);
        worst = VLM_MAX(worst, abs(wanted - image->samples[i]));
    }
    return worst;
}

static void jpeg_kinds_decode(void **state)
{
    (void)state;
    static const struct jpeg_recipe recipes[] = {
        { JCS_RGB, 3, false, false, 1, WIDTH, HEIGHT },
        { JCS_RGB, 3, true, false, 1, WIDTH, HEIGHT },
        { JCS_RGB, 3, false, true, 1, WIDTH, HEIGHT },
        { JCS_RGB, 3, true, true, 1, WIDTH, HEIGHT },
        { JCS_GRAYSCALE, 1, false, false, 0, WIDTH, HEIGHT },
        { JCS_GRAYSCALE, 1, true, false, 0, WIDTH, HEIGHT },
        { JCS_RGB, 3, false, false, 1, 1, 1 },
        { JCS_RGB, 3, false, false, 1, 17, 3 },
    };
    struct vlm_arena arena;
    vlm_arena_init(&arena, FIXTURE_ARENA);
    for (size_t i = 0; i < VLM_COUNTOF(recipes); i++) {
        struct vlm_buffer file = { 0 };
        make_jpeg(&file, &recipes[i]);
        struct vlm_image image = decoded(&file, NULL, &arena);
        assert_int_equal(image.info.status, VLM_IMAGE_OK);
        assert_int_equal(image.info.mode, recipes[i].components == 1 ? VLM_MODE_L : VLM_MODE_RGB);
        assert_int_equal(image.channels, recipes[i].components);
        assert_int_equal(image.width, recipes[i].width);
        assert_int_equal(image.height, recipes[i].height);
        assert_true(image.lossless_samples);
        assert_true(worst_difference(&image) <= 12);
        vlm_buffer_release(&file);
    }
    vlm_arena_release(&arena);
}

/* Stored inverted: what the file calls 255 is no ink. */
static void cmyk_is_inverted(void **state)
{
    (void)state;
    const struct jpeg_recipe recipe = { JCS_CMYK, 4, false, false, 0, 8, 8 };
    struct vlm_buffer file = { 0 };
    struct vlm_arena arena;
    vlm_arena_init(&arena, FIXTURE_ARENA);
    make_jpeg(&file, &recipe);
    struct vlm_image image = decoded(&file, NULL, &arena);
    assert_int_equal(image.info.status, VLM_IMAGE_OK);
    assert_int_equal(image.info.mode, VLM_MODE_CMYK);
    assert_int_equal(image.channels, 3);
    assert_false(image.lossless_samples);
    for (uint32_t i = 0; i < 8 * 8 * 3; i++) {
        uint32_t x = i / 3 % 8, y = i / 24;
        double light = fixture_sample(x, y, 3), ink = 255 - fixture_sample(x, y, i % 3);
        double wanted = light - ink * light / 255;
        assert_true(wanted - image.samples[i] < 6 && image.samples[i] - wanted < 6);
    }
    vlm_arena_release(&arena);
    vlm_buffer_release(&file);
}

static void large_jpegs_are_halved(void **state)
{
    (void)state;
    static const struct {
        JDIMENSION width, height;
        unsigned halved;
    } cases[] = { { 1000, 1023, 0 },
                  { 1023, 1024, 0 },
                  { 1024, 1024, 1 },
                  { 1024, 2048, 1 },
                  { 1024, 1023, 0 } };
    struct vlm_arena arena;
    vlm_arena_init(&arena, FIXTURE_ARENA);
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct jpeg_recipe recipe = baseline;
        struct vlm_buffer file = { 0 };
        recipe.width = cases[i].width;
        recipe.height = cases[i].height;
        make_jpeg(&file, &recipe);
        vlm_arena_reset(&arena);
        struct vlm_image image = decoded(&file, NULL, &arena);
        assert_int_equal(image.info.halved, cases[i].halved);
        assert_int_equal(image.info.width, cases[i].width);
        assert_int_equal(image.width, cases[i].width >> cases[i].halved);
        assert_int_equal(image.height, cases[i].height >> cases[i].halved);
        assert_int_equal(image.lossless_samples, cases[i].halved == 0);
        image = decoded(&file, &(struct vlm_image_options){ .full_size = true }, &arena);
        assert_int_equal(image.info.halved, 0);
        assert_int_equal(image.width, cases[i].width);
        vlm_buffer_release(&file);
    }
    vlm_arena_release(&arena);
}

static void truncated_jpegs_are_refused(void **state)
{
    (void)state;
    static const struct jpeg_recipe recipes[] = {
        { JCS_RGB, 3, false, false, 0, WIDTH, HEIGHT },
        { JCS_RGB, 3, true, false, 0, WIDTH, HEIGHT },
        { JCS_RGB, 3, false, true, 0, WIDTH, HEIGHT },
        { JCS_GRAYSCALE, 1, false, false, 0, WIDTH, HEIGHT },
        { JCS_CMYK, 4, false, false, 0, WIDTH, HEIGHT },
    };
    for (size_t i = 0; i < VLM_COUNTOF(recipes); i++) {
        struct vlm_buffer file = { 0 };
        make_jpeg(&file, &recipes[i]);
        assert_int_equal(accepted_prefixes(&file), 0);
        survives_flips(&file);
        file.size -= 2; /* without its end it is truncated, though no row is missing */
        assert_int_equal(status_of(&file), VLM_IMAGE_TRUNCATED);
        vlm_buffer_release(&file);
    }
}

/* Data that stops short, then an end as if nothing had happened: grey if libjpeg had its way. */
static void short_scan_with_an_end_is_refused(void **state)
{
    (void)state;
    struct vlm_buffer file = { 0 };
    make_jpeg(&file, &baseline);
    size_t first = find_marker(&file, 0xda) + 14, last = file.size - 2;
    size_t cut = (first + last) / 2;
    if (file.data[cut - 1] == 0xff)
        cut++; /* not between the bytes of a marker */
    file.data[cut] = 0xff;
    file.data[cut + 1] = 0xd9;
    file.size = cut + 2;
    assert_int_equal(status_of(&file), VLM_IMAGE_TRUNCATED);
    vlm_buffer_release(&file);
}

static void junk_around_segments_is_tolerated(void **state)
{
    (void)state;
    struct vlm_buffer file = { 0 }, junk = { 0 };
    make_jpeg(&file, &baseline);
    insert(&junk, &file, file.size, "PK\3\4 and more", 13);
    assert_int_equal(status_of(&junk), VLM_IMAGE_OK);
    vlm_buffer_reset(&junk);
    insert(&junk, &file, find_marker(&file, 0xdb), "junk", 4);
    assert_int_equal(status_of(&junk), VLM_IMAGE_OK);
    vlm_buffer_reset(&junk);
    insert(&junk, &file, file.size - 2, "\0\0\0\0\0\0\0\0", 8);
    assert_int_equal(status_of(&junk), VLM_IMAGE_OK);
    vlm_buffer_reset(&junk);
    insert(&junk, &file, 2, "\xff\xfe\0\0", 4); /* a comment of length 0 */
    assert_int_equal(status_of(&junk), VLM_IMAGE_OK);
    vlm_buffer_release(&junk);
    vlm_buffer_release(&file);
}

static void missing_tables_are_refused(void **state)
{
    (void)state;
    static const uint8_t codes[] = { 0xdb, 0xc0,
                                     0xda }; /* without 0xc4 the usual tables are meant */
    for (size_t i = 0; i < VLM_COUNTOF(codes); i++) {
        struct vlm_buffer file = { 0 };
        make_jpeg(&file, &baseline);
        size_t at = find_marker(&file, codes[i]);
        file.data[at + 1] = 0xfe; /* now a comment */
        assert_int_not_equal(status_of(&file), VLM_IMAGE_OK);
        vlm_buffer_release(&file);
    }
}

/* A TIFF header and one directory with an orientation of any type. */
static size_t make_exif(uint8_t *to, bool big_endian, uint16_t type, uint32_t value)
{
    uint8_t block[26] = { 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12 };
    put_big_endian(block + 12, 2, type);
    put_big_endian(block + 14, 4, 1);
    put_big_endian(block + 18, type == 3 ? 2 : 4, value);
    if (!big_endian) {
        uint8_t swapped[26] = { 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1 };
        for (size_t i = 0; i < 2; i++) {
            swapped[12 + i] = block[13 - i];
            swapped[18 + i] = block[(type == 3 ? 19 : 21) - i];
        }
        swapped[14] = 1;
        memcpy(block, swapped, sizeof(block));
    }
    memcpy(to, block, sizeof(block));
    return sizeof(block);
}

static void exif_orientation_is_read(void **state)
{
    (void)state;
    uint8_t block[32];
    for (unsigned big = 0; big < 2; big++)
        for (uint32_t value = 0; value < 12; value++) {
            uint8_t wanted = value >= 1 && value <= 8 ? (uint8_t)value : 1;
            size_t n = make_exif(block, big, 3, value);
            assert_int_equal(vlm_exif_orientation(block, n), wanted);
            n = make_exif(block, big, 4, value);
            assert_int_equal(vlm_exif_orientation(block, n), wanted);
        }
    size_t n = make_exif(block, true, 3, 6);
    for (size_t length = 0; length < 22; length++) {
        uint8_t *exact = malloc(length ? length : 1);
        assert_non_null(exact);
        memcpy(exact, block, length);
        assert_int_equal(vlm_exif_orientation(exact, length), 1);
        free(exact);
    }
    put_big_endian(block + 4, 4, 0xffffffff); /* the directory is nowhere */
    assert_int_equal(vlm_exif_orientation(block, n), 1);
    put_big_endian(block + 4, 4, 8);
    put_big_endian(block + 8, 2, 0xffff); /* more entries than bytes */
    assert_int_equal(vlm_exif_orientation(block, n), 6);
    block[11] = 0x13;
    assert_int_equal(vlm_exif_orientation(block, n), 1);
    make_exif(block, true, 3, 65535);
    assert_int_equal(vlm_exif_orientation(block, n), 1);
    make_exif(block, true, 2, 6); /* text */
    assert_int_equal(vlm_exif_orientation(block, n), 1);
}

static void jpeg_orientation_is_reported(void **state)
{
    (void)state;
    struct vlm_buffer file = { 0 }, turned = { 0 };
    uint8_t segment[64] = { 0xff, 0xe1, 0, 0, 'E', 'x', 'i', 'f', 0, 0 };
    make_jpeg(&file, &baseline);
    size_t n = 10 + make_exif(segment + 10, false, 3, 6);
    put_big_endian(segment + 2, 2, n - 2);
    insert(&turned, &file, 2, segment, n);
    struct vlm_image_info info;
    vlm_image_probe(&info, turned.data, turned.size);
    assert_int_equal(info.orientation, 6);
    assert_int_equal(info.width, WIDTH); /* as coded */
    assert_int_equal(info.height, HEIGHT);
    vlm_buffer_release(&turned);
    vlm_buffer_release(&file);
}

static void unwanted_images_have_samples(void **state)
{
    (void)state;
    struct vlm_buffer file = { 0 };
    struct vlm_arena arena;
    vlm_arena_init(&arena, FIXTURE_ARENA);
    make_jpeg(&file, &baseline);
    struct vlm_image_options options = { .side_min = HEIGHT };
    assert_int_equal(decoded(&file, &options, &arena).info.status, VLM_IMAGE_OK);
    options.side_min = HEIGHT + 1;
    assert_int_equal(decoded(&file, &options, &arena).info.status, VLM_IMAGE_TOO_SMALL);
    options = (struct vlm_image_options){ .aspect_max = (double)WIDTH / HEIGHT };
    assert_int_equal(decoded(&file, &options, &arena).info.status, VLM_IMAGE_OK);
    options.aspect_max = 1.19;
    assert_int_equal(decoded(&file, &options, &arena).info.status, VLM_IMAGE_BAD_ASPECT);
    options = (struct vlm_image_options){ .drop_blank = true };
    assert_int_equal(decoded(&file, &options, &arena).info.status, VLM_IMAGE_OK);
    vlm_arena_release(&arena);
    vlm_buffer_release(&file);
}

/* 200 pixels, `odd` of them of another colour: 99.5 % is 199. */
static enum vlm_image_status blank_status(unsigned odd, uint8_t ground, uint8_t other)
{
    const struct vlm_image_options options = { .drop_blank = true };
    struct vlm_buffer file = { 0 };
    struct vlm_err err = { 0 };
    struct vlm_arena arena;
    uint8_t rgb[20 * 10 * 3];
    vlm_arena_init(&arena, FIXTURE_ARENA);
    memset(rgb, ground, sizeof(rgb));
    memset(rgb, other, 3 * (size_t)odd);
    assert_int_equal(vlm_rgb_to_png(&file, rgb, 20, 10, &err), VLM_OK);
    enum vlm_image_status status = decoded(&file, &options, &arena).info.status;
    vlm_buffer_release(&file);
    vlm_arena_release(&arena);
    return status;
}

static void one_colour_is_blank(void **state)
{
    (void)state;
    assert_int_equal(blank_status(0, 255, 0), VLM_IMAGE_BLANK);
    assert_int_equal(blank_status(1, 255, 0), VLM_IMAGE_BLANK);
    assert_int_equal(blank_status(2, 255, 0), VLM_IMAGE_OK);
    assert_int_equal(blank_status(100, 120, 121), VLM_IMAGE_BLANK);  /* variance 1/4 */
    assert_int_equal(blank_status(100, 120, 121 + 1), VLM_IMAGE_OK); /* variance 1 */
}

static void a_full_arena_is_a_status(void **state)
{
    (void)state;
    struct vlm_buffer jpeg = { 0 }, png = { 0 };
    struct vlm_err err = { 0 };
    struct vlm_arena arena;
    uint8_t rgb[WIDTH * HEIGHT * 3];
    vlm_arena_init(&arena, 1000);
    make_jpeg(&jpeg, &baseline);
    assert_int_equal(decoded(&jpeg, NULL, &arena).info.status, VLM_IMAGE_OUT_OF_MEMORY);
    fixture_rgb(rgb, WIDTH, HEIGHT);
    assert_int_equal(vlm_rgb_to_png(&png, rgb, WIDTH, HEIGHT, &err), VLM_OK);
    assert_int_equal(decoded(&png, NULL, &arena).info.status, VLM_IMAGE_OUT_OF_MEMORY);
    vlm_arena_release(&arena);
    vlm_buffer_release(&png);
    vlm_buffer_release(&jpeg);
}

static void encoders_are_deterministic_and_decode(void **state)
{
    (void)state;
    struct vlm_buffer first = { 0 }, second = { 0 };
    struct vlm_err err = { 0 };
    struct vlm_arena arena;
    uint8_t rgb[WIDTH * HEIGHT * 3];
    vlm_arena_init(&arena, FIXTURE_ARENA);
    fixture_rgb(rgb, WIDTH, HEIGHT);
    assert_int_equal(vlm_rgb_to_png(&first, rgb, WIDTH, HEIGHT, &err), VLM_OK);
    assert_int_equal(vlm_rgb_to_png(&second, rgb, WIDTH, HEIGHT, &err), VLM_OK);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    struct vlm_image image = decoded(&first, NULL, &arena);
    assert_memory_equal(image.samples, rgb, sizeof(rgb));
    vlm_buffer_reset(&first);
    assert_int_equal(vlm_rgb_to_jpeg(&first, rgb, WIDTH, HEIGHT, 95, &err), VLM_OK);
    size_t size = first.size;
    assert_int_equal(vlm_rgb_to_jpeg(&first, rgb, WIDTH, HEIGHT, 95, &err), VLM_OK);
    assert_int_equal(first.size, 2 * size); /* appended */
    assert_memory_equal(first.data, first.data + size, size);
    first.size = size;
    image = decoded(&first, NULL, &arena);
    assert_int_equal(image.info.status, VLM_IMAGE_OK);
    assert_true(worst_difference(&image) <= 12); /* chroma at half size */
    assert_int_equal(vlm_rgb_to_jpeg(&first, rgb, 0, HEIGHT, 95, &err), VLM_EUSAGE);
    assert_int_equal(vlm_rgb_to_jpeg(&first, rgb, WIDTH, HEIGHT, 0, &err), VLM_EUSAGE);
    assert_true(vlm_rgb_to_png(&first, rgb, 0, HEIGHT, &err) < 0);
    vlm_arena_release(&arena);
    vlm_buffer_release(&second);
    vlm_buffer_release(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_complete),
        cmocka_unit_test(content_decides_the_format),
        cmocka_unit_test(limits_hold_at_their_edges),
        cmocka_unit_test(bytes_have_a_limit),
        cmocka_unit_test(bombs_allocate_nothing),
        cmocka_unit_test(too_many_scans_are_refused),
        cmocka_unit_test(jpeg_kinds_decode),
        cmocka_unit_test(cmyk_is_inverted),
        cmocka_unit_test(large_jpegs_are_halved),
        cmocka_unit_test(truncated_jpegs_are_refused),
        cmocka_unit_test(short_scan_with_an_end_is_refused),
        cmocka_unit_test(junk_around_segments_is_tolerated),
        cmocka_unit_test(missing_tables_are_refused),
        cmocka_unit_test(exif_orientation_is_read),
        cmocka_unit_test(jpeg_orientation_is_reported),
        cmocka_unit_test(unwanted_images_have_samples),
        cmocka_unit_test(one_colour_is_blank),
        cmocka_unit_test(a_full_arena_is_a_status),
        cmocka_unit_test(encoders_are_deterministic_and_decode),
    };
    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
