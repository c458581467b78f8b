/* test_image_expected.c - the shared images against what Pillow said about them.
 *
 * Two comparisons: EXPECTED-images.tsv of each folder (format, status, size, mode, orientation, hash
 * of the samples), and tests/vectors/squares.tsv (squares and perceptual hashes). Every difference
 * stands in the table below with its reason; one that is not there, or no longer happens, fails. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "vqgan/image/image.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

enum { ARENA_MAX = 1 << 30, FIELDS = 11, SHOWN_MAX = 20 };

#define STRICT_WARNING   "libjpeg warns of damage and fills in grey; we refuse, Pillow does not"
#define STRICT_CHECKSUM  "we check what Pillow leaves unread: a checksum or a length"
#define FRAME_IS_CLIPPED "we clip a GIF's frame to the screen; Pillow enlarges the screen"

struct difference {
    const char *path; /* end of it */
    const char *reason;
    enum vlm_image_status status;
};

static const struct difference explained[] = {
    { "artificial-gif/empty-palette.gif", "Pillow looks at the first frame's own palette",
      VLM_IMAGE_OK },
    { "artificial-gif/frame-out-of-bounds.gif", FRAME_IS_CLIPPED, VLM_IMAGE_OK },
    { "images/dc-predictor-overflow.jpg", STRICT_WARNING, VLM_IMAGE_TRUNCATED },
    { "images/subtract-with-overflow.jpg", STRICT_WARNING, VLM_IMAGE_CORRUPT },
    { "imagetestsuite/1cbb1bb37d62c44f67374cd451643dc4.jpg", STRICT_WARNING, VLM_IMAGE_TRUNCATED },
    { "imagetestsuite/28c74d9284d9836017fd519f6932efd8.jpg", STRICT_WARNING, VLM_IMAGE_CORRUPT },
    { "imagetestsuite/5482a54657765056f1a94116a8dbffe7.jpg", STRICT_WARNING, VLM_IMAGE_CORRUPT },
    { "imagetestsuite/7997b6b229f25315d33f5c7085e37500.jpg", STRICT_WARNING, VLM_IMAGE_TRUNCATED },
    { "imagetestsuite/8a9cc8eeed66aeb423a91c44111d9450.jpg", STRICT_WARNING, VLM_IMAGE_TRUNCATED },
    { "imagetestsuite/8e5e74dbf9b68a322fbb9512db837329.jpg", "31237 rows are over our limit",
      VLM_IMAGE_TOO_LARGE_PIXELS },
    { "imagetestsuite/b55977028a3a574336966b6536640fc9.jpg", STRICT_WARNING, VLM_IMAGE_TRUNCATED },
    { "imagetestsuite/f6b4389c3cf0f5997b2e5a4b905aea8d.jpg", STRICT_WARNING, VLM_IMAGE_CORRUPT },
    { "reftest/images/partial_progressive.jpg", STRICT_WARNING, VLM_IMAGE_TRUNCATED },
    { "reftest/images/progressive-missing-dc.jpg", STRICT_WARNING, VLM_IMAGE_CORRUPT },
    { "libjpeg-turbo/shira_bird8.bmp", "BMP is not decoded", VLM_IMAGE_UNSUPPORTED },
    { "libjpeg-turbo/vgl_6434_0018a.bmp", "BMP is not decoded", VLM_IMAGE_UNSUPPORTED },
    { "libjpeg-turbo/vgl_6548_0026a.bmp", "BMP is not decoded", VLM_IMAGE_UNSUPPORTED },
    { "libjpeg-turbo/testorig.ppm", "PPM is not recognised", VLM_IMAGE_UNSUPPORTED },
    { "corrupt/xcsn0g01.png", STRICT_CHECKSUM, VLM_IMAGE_CORRUPT },
    { "crashers/badadler.png", STRICT_CHECKSUM, VLM_IMAGE_CORRUPT },
    { "crashers/badcrc.png", STRICT_CHECKSUM, VLM_IMAGE_CORRUPT },
    { "crashers/huge_IDAT.png", STRICT_CHECKSUM, VLM_IMAGE_TRUNCATED },
    { "crashers/empty_ancillary_chunks.png", "we read no ancillary chunk but tRNS", VLM_IMAGE_OK },
};

static const struct difference *explanation_of(const char *path)
{
    size_t n = strlen(path);
    for (size_t i = 0; i < VLM_COUNTOF(explained); i++) {
        size_t length = strlen(explained[i].path);
        if (n >= length && strcmp(path + n - length, explained[i].path) == 0)
            return &explained[i];
    }
    return NULL;
}

static const char *data_folder(void)
{
    const char *folder = getenv("VLM_SHARED_DATA");
    return folder ? folder : "../shared/data";
}

struct run {
    struct vlm_arena arena;
    struct vlm_buffer file;
    size_t rows, differences, unexplained;
    bool seen[VLM_COUNTOF(explained)];
};

static void run_release(struct run *run)
{
    vlm_arena_release(&run->arena);
    vlm_buffer_release(&run->file);
}

static struct vlm_image decode_file(struct run *run, const char *path,
                                    const struct vlm_image_options *options)
{
    struct vlm_image image;
    struct vlm_err err = { 0 };
    vlm_arena_reset(&run->arena);
    vlm_buffer_reset(&run->file);
    assert_int_equal(vlm_file_read(&run->file, path, VLM_IMAGE_BYTES_MAX, &err), VLM_OK);
    const uint8_t *bytes = run->file.data ? run->file.data : (const uint8_t *)"";
    assert_int_equal(vlm_image_decode(&image, bytes, run->file.size, options, &run->arena, &err),
                     VLM_OK);
    return image;
}

static bool same_hash(const void *bytes, size_t n, const char *expected)
{
    uint8_t hash[VLM_SHA1_SIZE];
    char hex[2 * VLM_SHA1_SIZE + 1];
    vlm_sha1(hash, bytes, n);
    return strcmp(vlm_hex(hex, hash, sizeof(hash)), expected) == 0;
}

/* The first field that differs, or NULL. A refused file need not have a size and mode. */
static const char *first_difference(const struct vlm_image *image, char **field)
{
    const struct vlm_image_info *info = &image->info;
    const char *mode = vlm_image_mode_name(info->mode);
    bool ok = strcmp(field[3], "ok") == 0;
    unsigned long orientation = strtoul(field[7], NULL, 10);
    if (ok != (info->status == VLM_IMAGE_OK))
        return "status";
    if (strcmp(field[2], "-") != 0 &&
        strcasecmp(field[2], vlm_image_format_name(info->format)) != 0)
        return "format";
    if (!ok)
        return NULL;
    if (info->width != strtoul(field[4], NULL, 10) || info->height != strtoul(field[5], NULL, 10))
        return "size";
    if (!mode || strcmp(mode, field[6]) != 0)
        return "mode";
    if (info->orientation != (orientation >= 1 && orientation <= 8 ? orientation : 1))
        return "orientation";
    size_t n = (size_t)image->width * image->height * image->channels;
    if (field[9][0] && info->format != VLM_FORMAT_WEBP &&
        (!image->lossless_samples || !same_hash(image->samples, n, field[9])))
        return "samples";
    return NULL;
}

static void check_row(struct run *run, const char *folder, char **field)
{
    const struct vlm_image_options as_stored = { .as_stored = true };
    char *path = vlm_path_join(folder, field[0]);
    struct vlm_image image = decode_file(run, path, &as_stored);
    const char *what = first_difference(&image, field);
    const struct difference *known = explanation_of(path);
    run->rows++;
    run->differences += what != NULL;
    if (what && known && known->status == image.info.status) {
        run->seen[known - explained] = true;
    } else if (what && run->unexplained++ < SHOWN_MAX) {
        print_message("%s: %s: %s, %s\n", path, what, vlm_image_status_name(image.info.status),
                      image.info.detail);
    }
    free(path);
}

/* Cuts a line at its tabs; fields that are missing are empty. */
static void split(char *line, char **field, size_t n)
{
    static char nothing[1];
    for (size_t i = 0; i < n; i++) {
        char *part = line ? strsep(&line, "\t") : NULL;
        field[i] = part ? part : nothing;
    }
}

static void check_table(struct run *run, const char *path)
{
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    char *folder = strdup(path);
    assert_non_null(folder);
    *strrchr(folder, '/') = 0;
    assert_int_equal(vlm_file_read(&text, path, VLM_MIB, &err), VLM_OK);
    vlm_buffer_byte(&text, 0);
    char *rest = (char *)text.data;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *field[FIELDS];
        if (!line[0] || line[0] == '#')
            continue;
        split(line, field, FIELDS);
        check_row(run, folder, field);
    }
    free(folder);
    vlm_buffer_release(&text);
}

/* Prefixes of the file at hand: refused, or with the samples of the whole. */
static void check_prefixes(struct run *run, const struct vlm_image *whole)
{
    struct vlm_arena arena;
    struct vlm_err err = { 0 };
    size_t n = (size_t)whole->width * whole->height * whole->channels;
    vlm_arena_init(&arena, ARENA_MAX);
    for (size_t length = 16; length < run->file.size; length += 16) {
        struct vlm_image image;
        /* Exactly as large, so that a checker sees reads behind it. */
        uint8_t *prefix = malloc(length);
        assert_non_null(prefix);
        memcpy(prefix, run->file.data, length);
        vlm_arena_reset(&arena);
        assert_int_equal(vlm_image_decode(&image, prefix, length, NULL, &arena, &err), VLM_OK);
        run->rows++;
        if (image.info.status == VLM_IMAGE_OK) {
            run->differences++;
            assert_int_equal(image.width, whole->width);
            assert_int_equal(image.height, whole->height);
            assert_memory_equal(image.samples, whole->samples, n);
        }
        free(prefix);
    }
    vlm_arena_release(&arena);
}

static void skip_without_data(void)
{
    if (access(data_folder(), R_OK) == 0)
        return;
    print_message("no shared data in %s\n", data_folder());
    skip();
}

static void tables_agree(void **state)
{
    (void)state;
    struct run run = { 0 };
    glob_t tables;
    skip_without_data();
    char *pattern = vlm_path_join(data_folder(), "*/*/EXPECTED-images.tsv");
    vlm_arena_init(&run.arena, ARENA_MAX);
    assert_int_equal(glob(pattern, 0, NULL, &tables), 0);
    for (size_t i = 0; i < tables.gl_pathc; i++)
        check_table(&run, tables.gl_pathv[i]);
    for (size_t i = 0; i < VLM_COUNTOF(explained); i++)
        if (!run.seen[i] && run.unexplained++ < SHOWN_MAX)
            print_message("%s: no longer differs\n", explained[i].path);
    print_message("%zu files, %zu differ, %zu without an explanation\n", run.rows, run.differences,
                  run.unexplained);
    assert_true(run.rows > 1000);
    assert_int_equal(run.unexplained, 0);
    globfree(&tables);
    free(pattern);
    run_release(&run);
}

static void check_square(struct run *run, const char *path, char **field)
{
    const struct vlm_image_options full_size = { .full_size = true };
    static uint8_t square[VLM_SQUARE_BYTES];
    struct vlm_err err = { 0 };
    struct vlm_image image = decode_file(run, path, &full_size);
    const struct difference *known = explanation_of(path);
    if (image.info.status != VLM_IMAGE_OK) {
        run->differences++;
        run->unexplained += !known || known->status != image.info.status;
        return;
    }
    assert_int_equal(vlm_image_square(square, &image, &run->arena, &err), VLM_OK);
    bool hashes = strcmp(field[2], "-") == 0 ||
                  vlm_image_phash(square, &run->arena) == strtoull(field[2], NULL, 16);
    if (hashes && same_hash(square, sizeof(square), field[1]))
        return;
    run->differences++;
    if (run->unexplained++ < SHOWN_MAX)
        print_message("%s: another %s\n", path, hashes ? "square" : "perceptual hash");
}

static void squares_agree(void **state)
{
    (void)state;
    struct run run = { 0 };
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    skip_without_data();
    vlm_arena_init(&run.arena, ARENA_MAX);
    assert_int_equal(vlm_file_read(&text, "tests/vectors/squares.tsv", VLM_MIB, &err), VLM_OK);
    vlm_buffer_byte(&text, 0);
    char *rest = (char *)text.data;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && line[0]; run.rows++) {
        char *field[3];
        split(line, field, 3);
        char *path = vlm_path_join(data_folder(), field[0]);
        check_square(&run, path, field);
        free(path);
    }
    print_message("%zu squares, %zu refused or different, %zu without an explanation\n", run.rows,
                  run.differences, run.unexplained);
    assert_true(run.rows > 300);
    assert_int_equal(run.unexplained, 0);
    vlm_buffer_release(&text);
    run_release(&run);
}

/* Every 16th prefix of small files of all kinds. */
static void prefixes_are_refused(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "images/*/*/*.gif",     "images/*/*/*/*.gif",          "images/*/*/*.webp",
        "images/*/*/basn*.png", "images/*/*/reftest/*/*.jp*g", "images/*/*/*.jp*g",
        "images/*/*/basi*.png", "images/*/*/*/*.webp",
    };
    enum { FILE_MAX = 6000, FILES_MAX = 20 };
    struct run run = { 0 };
    size_t files = 0;
    skip_without_data();
    vlm_arena_init(&run.arena, ARENA_MAX);
    for (size_t i = 0; i < VLM_COUNTOF(patterns); i++) {
        char *pattern = vlm_path_join(data_folder(), patterns[i]);
        glob_t found;
        size_t taken = 0;
        int rc = glob(pattern, 0, NULL, &found);
        for (size_t k = 0; rc == 0 && k < found.gl_pathc && taken < FILES_MAX; k++) {
            struct vlm_image whole = decode_file(&run, found.gl_pathv[k], NULL);
            if (whole.info.status != VLM_IMAGE_OK || run.file.size > FILE_MAX)
                continue;
            check_prefixes(&run, &whole);
            taken++;
        }
        files += taken;
        if (rc == 0)
            globfree(&found);
        free(pattern);
    }
    print_message("%zu files, %zu prefixes, %zu of them with all samples\n", files, run.rows,
                  run.differences);
    assert_true(files > 50);
    run_release(&run);
}

/* The mean of the squared differences between two squares. */
static double mean_squared_error(const uint8_t *a, const uint8_t *b)
{
    double sum = 0;
    for (size_t i = 0; i < VLM_SQUARE_BYTES; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum / VLM_SQUARE_BYTES;
}

/* Large JPEGs are halved while decoding: at least 45 dB from the exact square. */
static void halved_squares_are_close(void **state)
{
    (void)state;
    static uint8_t exact[VLM_SQUARE_BYTES], fast[VLM_SQUARE_BYTES];
    const struct vlm_image_options full_size = { .full_size = true };
    struct run run = { 0 };
    struct vlm_err err = { 0 };
    glob_t files;
    double worst = 0;
    skip_without_data();
    vlm_arena_init(&run.arena, ARENA_MAX);
    char *pattern = vlm_path_join(data_folder(), "images/exif-orientation/*.jpg");
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct vlm_image image = decode_file(&run, files.gl_pathv[i], &full_size);
        assert_int_equal(image.info.status, VLM_IMAGE_OK);
        assert_int_equal(vlm_image_square(exact, &image, &run.arena, &err), VLM_OK);
        image = decode_file(&run, files.gl_pathv[i], NULL);
        assert_int_equal(image.info.halved, 1);
        assert_int_equal(vlm_image_square(fast, &image, &run.arena, &err), VLM_OK);
        double error = mean_squared_error(exact, fast);
        worst = VLM_MAX(worst, error);
    }
    print_message("%zu halved, largest mean squared error %.3f\n", files.gl_pathc, worst);
    assert_true(worst < 255.0 * 255.0 / 31623); /* 10^4.5 */
    globfree(&files);
    free(pattern);
    run_release(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_agree),
        cmocka_unit_test(squares_agree),
        cmocka_unit_test(prefixes_are_refused),
        cmocka_unit_test(halved_squares_are_close),
    };
    return cmocka_run_group_tests_name("image_expected", tests, NULL, NULL);
}
