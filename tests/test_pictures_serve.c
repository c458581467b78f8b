/* test_pictures_serve.c - pictures of a server: the confined process, coders, what is kept, region edits, what is
 * deleted. This program is its own confined process. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/progress.h"
#include "serve/picture/blend.h"
#include "serve/picture/box.h"
#include "serve/picture/kept.h"
#include "serve/picture/picture.h"
#include "tests/corpus_fixture.h"
#include "tests/folder_fixture.h"
#include "tests/image_fixture.h"
#include "tests/metrics_fixture.h"
#include "tests/set_fixture.h"

#include <dirent.h>
#include <event2/event.h>
#include <signal.h>
#include <unistd.h>

#define SELF "/proc/self/exe"

/* Their runtime needs more calls than the filter allows: there is none then (sandbox.c). */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* ---- a server's pictures, and what came of them ---- */

struct serving {
    struct event_base *base;
    struct vlm_tokenizer *tokenizer;
    struct vlm_metrics *metrics;
    struct vlm_pictures *pictures;
    size_t threads, kept_bytes, n_sets;
    const char *sets[1];
    char warning[1024];
};

struct outcome {
    bool came;
    int rc;
    char sentence[1024];
    struct vlm_picture picture;
    uint8_t cells[VLM_CODES];
    uint32_t width, height;
    uint8_t square[VLM_SQUARE_BYTES];
    struct vlm_buffer file;
    struct event_base *base;
};

static void note(struct outcome *outcome, int rc, const struct vlm_err *err)
{
    assert_false(outcome->came);
    outcome->came = true;
    outcome->rc = rc;
    snprintf(outcome->sentence, sizeof(outcome->sentence), "%s", rc == VLM_OK ? "" : err->msg);
    event_base_loopbreak(outcome->base);
}

static void on_encoded(void *argument, int rc, const struct vlm_err *err,
                       const struct vlm_picture *picture)
{
    struct outcome *outcome = argument;
    note(outcome, rc, err);
    assert_true((rc == VLM_OK) == (picture != NULL));
    if (picture) {
        outcome->picture = *picture;
        memcpy(outcome->square, picture->square, VLM_SQUARE_BYTES);
    }
}

static void on_masked(void *argument, int rc, const struct vlm_err *err, const uint8_t *cells,
                      uint32_t width, uint32_t height)
{
    struct outcome *outcome = argument;
    note(outcome, rc, err);
    assert_true((rc == VLM_OK) == (cells != NULL));
    if (cells)
        memcpy(outcome->cells, cells, VLM_CODES);
    outcome->width = width;
    outcome->height = height;
}

static void on_decoded(void *argument, int rc, const struct vlm_err *err, const uint8_t *file,
                       size_t n, const uint8_t *square)
{
    struct outcome *outcome = argument;
    note(outcome, rc, err);
    if (square)
        memcpy(outcome->square, square, VLM_SQUARE_BYTES);
    if (file)
        vlm_buffer_add(&outcome->file, file, n);
}

static void on_warning(void *context, const char *sentence)
{
    struct serving *serving = context;
    snprintf(serving->warning, sizeof(serving->warning), "%s", sentence);
}

static void open_serving(struct serving *serving)
{
    char *folder = test_path("tokenizer");
    struct vlm_err err = { 0 };
    write_model(folder, 0, 1);
    serving->base = event_base_new();
    assert_non_null(serving->base);
    assert_int_equal(vlm_tokenizer_open(&serving->tokenizer, folder, VLM_PRECISION_EXACT, &err),
                     VLM_OK);
    assert_int_equal(vlm_metrics_new(&serving->metrics, &err), VLM_OK);
    const struct vlm_pictures_options options = {
        .tokenizer = serving->tokenizer,
        .threads = serving->threads ? serving->threads : 1,
        .kept_bytes = serving->kept_bytes ? serving->kept_bytes : 16 * VLM_MIB,
        .program = SELF,
        .sets = serving->sets,
        .n_sets = serving->n_sets,
        .metrics = serving->metrics,
        .warn = on_warning,
        .warn_context = serving,
    };
    if (vlm_pictures_new(&serving->pictures, serving->base, &options, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    free(folder);
}

static void close_serving(struct serving *serving)
{
    vlm_pictures_free(serving->pictures);
    vlm_metrics_free(serving->metrics);
    vlm_tokenizer_close(serving->tokenizer);
    event_base_free(serving->base);
}

static void wait_for(struct serving *serving, struct outcome *outcome)
{
    const double until = vlm_now() + 30;
    while (!outcome->came && vlm_now() < until)
        event_base_loop(serving->base, EVLOOP_ONCE);
    assert_true(outcome->came);
}

static void encode(struct serving *serving, struct outcome *outcome, const struct vlm_buffer *file)
{
    outcome->came = false;
    outcome->base = serving->base;
    assert_non_null(
        vlm_pictures_encode(serving->pictures, file->data, file->size, on_encoded, outcome));
    wait_for(serving, outcome);
}

static void decode(struct serving *serving, struct outcome *outcome, const uint16_t *codes,
                   const struct vlm_picture_form *form)
{
    outcome->came = false;
    outcome->base = serving->base;
    vlm_buffer_reset(&outcome->file);
    assert_non_null(vlm_pictures_decode(serving->pictures, codes, form, on_decoded, outcome));
    wait_for(serving, outcome);
}

/* A PNG of the square that the fixture fills. */
static void make_png(struct vlm_buffer *file, unsigned number)
{
    static uint8_t square[VLM_SQUARE_BYTES];
    struct vlm_err err = { 0 };
    fill_square(square, number);
    assert_int_equal(vlm_rgb_to_png(file, square, 256, 256, &err), VLM_OK);
}

/* ---- tests ---- */

static void a_picture_becomes_the_codes_of_its_square(void **state)
{
    (void)state;
    static struct outcome outcome;
    static uint8_t square[VLM_SQUARE_BYTES];
    struct serving serving = { .threads = 1 };
    struct vlm_buffer file = { 0 };
    struct vlm_coder *coder;
    struct vlm_err err = { 0 };
    uint16_t codes[VLM_CODES];
    uint8_t sha256[32];
    open_serving(&serving);
    make_png(&file, 7);
    encode(&serving, &outcome, &file);
    assert_int_equal(outcome.rc, VLM_OK);
    fill_square(square, 7);
    assert_memory_equal(outcome.square, square, VLM_SQUARE_BYTES);
    assert_int_equal(vlm_coder_new(&coder, serving.tokenizer, 1, &err), VLM_OK);
    assert_int_equal(vlm_coder_encode(coder, codes, square, 1, &err), VLM_OK);
    assert_memory_equal(outcome.picture.codes, codes, sizeof(codes));
    vlm_sha256(sha256, file.data, file.size);
    assert_memory_equal(outcome.picture.sha256, sha256, 32);
    assert_int_equal(outcome.picture.width, 256);
    assert_int_equal(outcome.picture.format, VLM_FORMAT_PNG);
    assert_int_equal(metric_value(serving.metrics, "vlm_images_encoded_total{source=\"request\"}"),
                     1);
    /* The second time it is known. */
    memset(&outcome.picture, 0, sizeof(outcome.picture));
    encode(&serving, &outcome, &file);
    assert_int_equal(outcome.rc, VLM_OK);
    assert_memory_equal(outcome.picture.codes, codes, sizeof(codes));
    assert_memory_equal(outcome.square, square, VLM_SQUARE_BYTES);
    assert_int_equal(metric_value(serving.metrics, "vlm_images_encoded_total{source=\"request\"}"),
                     1);
    assert_int_equal(metric_value(serving.metrics, "vlm_images_encoded_total{source=\"cache\"}"),
                     1);
    vlm_coder_free(coder);
    vlm_buffer_release(&file);
    close_serving(&serving);
}

/* What is put back around a region is the picture as it was; codes that are not there come out grey. */
static void codes_become_a_picture(void **state)
{
    (void)state;
    static struct outcome outcome, again;
    static uint8_t square[VLM_SQUARE_BYTES];
    struct serving serving = { .threads = 1 };
    struct vlm_buffer file = { 0 };
    const struct vlm_picture_form png = { .format = VLM_PICTURE_PNG };
    const struct vlm_picture_form jpeg = { .format = VLM_PICTURE_JPEG, .quality = 80 };
    const struct vlm_picture_form none = { .format = VLM_PICTURE_NONE };
    open_serving(&serving);
    make_png(&file, 3);
    encode(&serving, &outcome, &file);
    uint16_t codes[VLM_CODES];
    memcpy(codes, outcome.picture.codes, sizeof(codes));
    codes[17] = VLM_CODE_UNKNOWN;
    decode(&serving, &outcome, codes, &png);
    assert_int_equal(outcome.rc, VLM_OK);
    memcpy(square, outcome.square, VLM_SQUARE_BYTES);
    for (size_t y = 16; y < 32; y++)
        for (size_t x = 16; x < 32; x++)
            assert_int_equal(square[(y * 256 + x) * 3], 128);
    /* The file holds these very pixels. */
    encode(&serving, &again, &outcome.file);
    assert_int_equal(again.rc, VLM_OK);
    assert_memory_equal(again.square, square, VLM_SQUARE_BYTES);
    decode(&serving, &outcome, codes, &jpeg);
    assert_int_equal(outcome.rc, VLM_OK);
    assert_memory_equal(outcome.file.data, "\xff\xd8\xff", 3);
    decode(&serving, &outcome, codes, &none);
    assert_int_equal(outcome.rc, VLM_OK);
    assert_int_equal(outcome.file.size, 0);
    codes[0] = FIXTURE_CODES;
    decode(&serving, &outcome, codes, &png);
    assert_int_equal(outcome.rc, VLM_EFORMAT);
    assert_int_equal(metric_value(serving.metrics, "vlm_images_decoded_total"), 2);
    vlm_buffer_release(&file);
    vlm_buffer_release(&outcome.file);
    close_serving(&serving);
}

static void pixels_far_from_the_mask_come_back(void **state)
{
    (void)state;
    static struct outcome outcome;
    static uint8_t square[VLM_SQUARE_BYTES], plain[VLM_SQUARE_BYTES];
    struct serving serving = { .threads = 1 };
    uint16_t codes[VLM_CODES] = { 0 };
    uint8_t mask[VLM_CODES] = { 0 };
    open_serving(&serving);
    fill_square(square, 5);
    for (size_t y = 4; y < 6; y++)
        for (size_t x = 4; x < 8; x++)
            mask[y * 16 + x] = 1;
    decode(&serving, &outcome, codes, &(struct vlm_picture_form){ .format = VLM_PICTURE_PNG });
    memcpy(plain, outcome.square, VLM_SQUARE_BYTES);
    decode(&serving, &outcome, codes,
           &(struct vlm_picture_form){ .format = VLM_PICTURE_PNG, .square = square, .mask = mask });
    assert_int_equal(outcome.rc, VLM_OK);
    size_t between = 0;
    for (int y = 0; y < 256; y++)
        for (int x = 0; x < 256; x++) {
            const int down = y < 64 ? 64 - y : y > 95 ? y - 95 : 0;
            const int across = x < 64 ? 64 - x : x > 127 ? x - 127 : 0;
            for (int c = 0; c < 3; c++) {
                const int at = (y * 256 + x) * 3 + c;
                if (!down && !across)
                    assert_int_equal(outcome.square[at], plain[at]);
                else if (down * down + across * across >= VLM_BLEND_PIXELS * VLM_BLEND_PIXELS)
                    assert_int_equal(outcome.square[at], square[at]);
                else
                    between += outcome.square[at] != square[at] && outcome.square[at] != plain[at];
            }
        }
    assert_true(between > 1000);
    vlm_buffer_release(&outcome.file);
    close_serving(&serving);
}

/* RGBA of n x n pixels: transparent where x0 <= x < x1 of the rows y0 <= y < y1, and white there. */
static void make_mask(struct vlm_buffer *file, uint32_t n, const uint32_t box[4], bool with_alpha)
{
    const size_t bytes = with_alpha ? 4 : 3, stride = 1 + bytes * n;
    uint8_t *rows = calloc(n, stride);
    assert_non_null(rows);
    for (uint32_t y = 0; y < n; y++)
        for (uint32_t x = 0; x < n; x++) {
            const bool in = x >= box[0] && x < box[1] && y >= box[2] && y < box[3];
            uint8_t *pixel = rows + y * stride + 1 + bytes * x;
            memset(pixel, in ? 255 : 40, 3);
            if (with_alpha)
                pixel[3] = in ? 0 : 255;
        }
    add_png_header(file, n, n, 8, with_alpha ? 6 : 2, 0);
    add_png_data(file, rows, n * stride);
    add_png_chunk(file, "IEND", NULL, 0);
    free(rows);
}

static void find_mask(struct serving *serving, struct outcome *outcome,
                      const struct vlm_buffer *file)
{
    outcome->came = false;
    outcome->base = serving->base;
    assert_non_null(
        vlm_pictures_mask(serving->pictures, file->data, file->size, on_masked, outcome));
    wait_for(serving, outcome);
}

static void a_cell_with_a_transparent_pixel_is_drawn_anew(void **state)
{
    (void)state;
    static struct outcome outcome;
    struct serving serving = { .threads = 1 };
    struct vlm_buffer file = { 0 };
    const uint32_t boxes[][4] = { { 31, 33, 48, 49 }, { 62, 66, 96, 98 }, { 0, 0, 0, 0 } };
    const uint32_t sizes[] = { 256, 512, 256 };
    open_serving(&serving);
    for (size_t i = 0; i < VLM_COUNTOF(boxes); i++) {
        vlm_buffer_reset(&file);
        make_mask(&file, sizes[i], boxes[i], true);
        find_mask(&serving, &outcome, &file);
        assert_int_equal(outcome.rc, VLM_OK);
        assert_int_equal(outcome.width, sizes[i]);
        for (size_t k = 0; k < VLM_CODES; k++)
            assert_int_equal(outcome.cells[k], i < 2 && (k == 3 * 16 + 1 || k == 3 * 16 + 2));
    }
    vlm_buffer_reset(&file);
    make_mask(&file, 256, boxes[0], false); /* white is no transparency */
    find_mask(&serving, &outcome, &file);
    assert_int_equal(outcome.rc, VLM_OK);
    for (size_t k = 0; k < VLM_CODES; k++)
        assert_int_equal(outcome.cells[k], 0);
    vlm_buffer_reset(&file);
    uint8_t grey[64 * 64 * 3] = { 0 };
    assert_int_equal(vlm_rgb_to_jpeg(&file, grey, 64, 64, 90, NULL), VLM_OK);
    find_mask(&serving, &outcome, &file);
    assert_int_equal(outcome.rc, VLM_SKIP); /* and no damage */
    assert_string_equal(outcome.sentence, "transparency is read of PNG and WebP only");
    file.data[1] = 0;
    find_mask(&serving, &outcome, &file);
    assert_int_equal(outcome.rc, VLM_EFORMAT);
    vlm_buffer_release(&file);
    close_serving(&serving);
}

static void what_is_no_picture_is_refused_with_the_reason(void **state)
{
    (void)state;
    static struct outcome outcome;
    struct serving serving = { .threads = 1 };
    struct vlm_buffer file = { 0 }, text = { 0 };
    open_serving(&serving);
    vlm_buffer_text(&file, "GIF but not really");
    encode(&serving, &outcome, &file);
    assert_int_equal(outcome.rc, VLM_EFORMAT);
    assert_true(outcome.sentence[0]);
    vlm_buffer_reset(&file);
    encode(&serving, &outcome, &(struct vlm_buffer){ .data = (uint8_t *)"", .size = 0 });
    assert_int_equal(outcome.rc, VLM_EFORMAT);
    make_png(&file, 2);
    file.size = 300;
    encode(&serving, &outcome, &file);
    assert_int_equal(outcome.rc, VLM_EFORMAT);
    assert_string_equal(outcome.sentence, "PNG file ends within a chunk");
    vlm_buffer_reset(&file);
    add_png_header(&file, 20000, 20000, 8, 2, 0);
    encode(&serving, &outcome, &file);
    assert_int_equal(outcome.rc, VLM_EFORMAT);
    vlm_metrics_write(serving.metrics, &text);
    vlm_buffer_byte(&text, 0);
    assert_non_null(strstr((char *)text.data, "reason=\"truncated\"} 1"));
    assert_int_equal(metric_value(serving.metrics, "vlm_image_worker_restarts_total"), 0);
    vlm_buffer_release(&file);
    vlm_buffer_release(&text);
    close_serving(&serving);
}

/* ---- the box ---- */

/* The confined processes: our children, whichever thread started them. Returns how many. */
static size_t find_readers(pid_t *list, size_t most)
{
    size_t n = 0;
    DIR *threads = opendir("/proc/self/task");
    assert_non_null(threads);
    for (struct dirent *thread = readdir(threads); thread; thread = readdir(threads)) {
        char path[300], text[256];
        snprintf(path, sizeof(path), "/proc/self/task/%s/children", thread->d_name);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        if (fgets(text, sizeof(text), file))
            for (char *at = text, *end; *at && *at != '\n' && n < most; at = end) {
                const pid_t process = (pid_t)strtol(at, &end, 10);
                if (end == at || process <= 0)
                    break;
                list[n++] = process;
            }
        fclose(file);
    }
    closedir(threads);
    return n;
}

/* Sends them a signal. Returns how many there are. */
static size_t signal_readers(int number)
{
    pid_t readers[64];
    const size_t n = find_readers(readers, VLM_COUNTOF(readers));
    for (size_t i = 0; i < n; i++)
        kill(readers[i], number);
    return n;
}

static void a_killed_reader_costs_one_picture(void **state)
{
    (void)state;
    struct vlm_box *box;
    struct vlm_err err = { 0 };
    struct vlm_buffer file = { 0 };
    static uint8_t square[VLM_SQUARE_BYTES];
    struct vlm_box_picture picture = { .square = square };
    assert_int_equal(vlm_box_new(&box, SELF, 10, &err), VLM_OK);
    assert_string_equal(vlm_box_warning(box), "");
    make_png(&file, 4);
    assert_int_equal(vlm_box_read(box, &picture, VLM_BOX_SQUARE, file.data, file.size, NULL, &err),
                     VLM_OK);
    /* Between two pictures: nobody notices. */
    assert_int_equal(signal_readers(SIGKILL), 1);
    assert_int_equal(vlm_box_read(box, &picture, VLM_BOX_SQUARE, file.data, file.size, NULL, &err),
                     VLM_OK);
    assert_int_equal(vlm_box_restarts(box), 1);
    /* It does nothing at all: the clock ends it. */
    vlm_box_free(box);
    assert_int_equal(vlm_box_new(&box, SELF, 0.2, &err), VLM_OK);
    assert_int_equal(signal_readers(SIGSTOP), 1);
    assert_int_equal(vlm_box_read(box, &picture, VLM_BOX_SQUARE, file.data, file.size, NULL, &err),
                     VLM_EFORMAT);
    assert_string_equal(err.msg, "picture that is not read within 0.2 seconds");
    assert_int_equal(picture.status, VLM_IMAGE_WORKER_CRASH);
    assert_int_equal(vlm_box_read(box, &picture, VLM_BOX_SQUARE, file.data, file.size, NULL, &err),
                     VLM_OK);
    vlm_box_free(box);
    assert_int_equal(vlm_box_new(&box, "/nonexistent", 1, &err), VLM_EFAIL);
    assert_int_equal(vlm_box_new(&box, "/bin/true", 1, &err), VLM_EFAIL);
    assert_string_equal(err.msg, "'/bin/true picture-box' says nothing");
    vlm_buffer_release(&file);
}

/* Where no process starts any more, later ones may: that is not the picture's fault, nor for ever. */
static void readers_that_do_not_start_are_tried_again(void **state)
{
    (void)state;
    struct vlm_box *box;
    struct vlm_err err = { 0 };
    struct vlm_buffer file = { 0 };
    static uint8_t square[VLM_SQUARE_BYTES];
    struct vlm_box_picture picture = { .square = square };
    static const char *const silent[] = { "/bin/true", "/nonexistent" };
    char *program = test_path("reader");
    make_png(&file, 4);
    assert_int_equal(symlink(SELF, program), 0);
    assert_int_equal(vlm_box_new(&box, program, 10, &err), VLM_OK);
    for (size_t i = 0; i < VLM_COUNTOF(silent); i++) {
        assert_int_equal(signal_readers(SIGKILL), 1);
        assert_int_equal(unlink(program), 0);
        assert_int_equal(symlink(silent[i], program), 0);
        int rc = vlm_box_read(box, &picture, VLM_BOX_SQUARE, file.data, file.size, NULL, &err);
        assert_int_equal(rc, VLM_ELIMIT);
        assert_string_equal(err.msg,
                            "no process that reads pictures can be started now, try again");
        assert_int_equal(unlink(program), 0);
        assert_int_equal(symlink(SELF, program), 0);
        rc = vlm_box_read(box, &picture, VLM_BOX_SQUARE, file.data, file.size, NULL, &err);
        assert_int_equal(rc, VLM_OK);
    }
    vlm_box_free(box);
    vlm_buffer_release(&file);
    free(program);
}

static void files_of_32_mib_are_read(void **state)
{
    (void)state;
    const size_t limit = VLM_IMAGE_BYTES_MAX;
    struct vlm_box *box;
    struct vlm_err err = { 0 };
    static uint8_t square[VLM_SQUARE_BYTES];
    struct vlm_box_picture picture = { .square = square };
    struct vlm_buffer file = { 0 };
    uint8_t *bytes = calloc(limit + 1, 1);
    assert_non_null(bytes);
    make_png(&file, 4); /* what stands behind it does not count */
    memcpy(bytes, file.data, file.size);
    assert_int_equal(vlm_box_new(&box, SELF, 10, &err), VLM_OK);
    for (size_t n = limit - 1; n <= limit + 1; n++) {
        const int expected = n <= limit ? VLM_OK : VLM_EFORMAT;
        assert_int_equal(vlm_box_read(box, &picture, VLM_BOX_SQUARE, bytes, n, NULL, &err),
                         expected);
    }
    assert_string_equal(err.msg, "picture of 33554433 bytes, at most 33554432 are read");
    vlm_box_free(box);
    vlm_buffer_release(&file);
    free(bytes);
}

static void a_reader_that_nobody_waits_for_stops_at_once(void **state)
{
    (void)state;
    struct vlm_box *box;
    struct vlm_err err = { 0 };
    struct vlm_buffer file = { 0 };
    static uint8_t square[VLM_SQUARE_BYTES];
    struct vlm_box_picture picture = { .square = square };
    atomic_bool stop;
    atomic_init(&stop, true);
    make_png(&file, 4);
    assert_int_equal(vlm_box_new(&box, SELF, 10, &err), VLM_OK);
    assert_int_equal(signal_readers(SIGSTOP), 1);
    const double began = vlm_now();
    assert_int_equal(vlm_box_read(box, &picture, VLM_BOX_SQUARE, file.data, file.size, &stop, &err),
                     VLM_ESTOPPED);
    assert_true(vlm_now() - began < 0.1);
    vlm_box_free(box);
    vlm_buffer_release(&file);
}

/* A coder looks between its layers whether anybody waits. */
static void a_coder_that_nobody_waits_for_stops(void **state)
{
    (void)state;
    static uint8_t square[VLM_SQUARE_BYTES], again[VLM_SQUARE_BYTES];
    struct vlm_tokenizer *tokenizer;
    struct vlm_coder *coder;
    struct vlm_err err = { 0 };
    uint16_t codes[VLM_CODES] = { 5 };
    atomic_bool stop;
    atomic_init(&stop, false);
    assert_int_equal(vlm_tokenizer_open(&tokenizer, NULL, VLM_PRECISION_EXACT, &err), VLM_OK);
    assert_int_equal(vlm_coder_new(&coder, tokenizer, 1, &err), VLM_OK);
    assert_int_equal(vlm_coder_decode(coder, square, codes, 1, &err), VLM_OK);
    vlm_coder_stop(coder, &stop);
    assert_int_equal(vlm_coder_decode(coder, again, codes, 1, &err), VLM_OK);
    assert_memory_equal(square, again, VLM_SQUARE_BYTES);
    atomic_store(&stop, true);
    assert_int_equal(vlm_coder_decode(coder, again, codes, 1, &err), VLM_ESTOPPED);
    assert_int_equal(vlm_coder_encode(coder, codes, square, 1, &err), VLM_ESTOPPED);
    atomic_store(&stop, false);
    assert_int_equal(vlm_coder_encode(coder, codes, square, 1, &err), VLM_OK);
    vlm_coder_free(coder);
    vlm_tokenizer_close(tokenizer);
}

/* The process can neither open a file nor see what the server has. */
static void the_reader_is_confined(void **state)
{
    (void)state;
    struct vlm_box *box;
    struct vlm_err err = { 0 };
    char path[64], text[4096];
    pid_t reader;
    setenv("VLM_TEST_SECRET", "hush", 1);
    assert_int_equal(vlm_box_new(&box, SELF, 10, &err), VLM_OK);
    assert_int_equal(find_readers(&reader, 1), 1);
    snprintf(path, sizeof(path), "/proc/%d/environ", (int)reader);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof(text), file);
    fclose(file);
    assert_true(n > 0);
    assert_null(memmem(text, n, "hush", 4));
    snprintf(path, sizeof(path), "/proc/%d/status", (int)reader);
    file = fopen(path, "r");
    assert_non_null(file);
    n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = 0;
    if (!SANITIZED && !vlm_box_warning(box)[0]) {
        assert_non_null(strstr(text, "Seccomp:\t2"));
        assert_non_null(strstr(text, "NoNewPrivs:\t1"));
    }
    snprintf(path, sizeof(path), "/proc/%d/fd/4", (int)reader);
    assert_int_equal(access(path, F_OK), -1);
    vlm_box_free(box);
}

/* ---- many at a time ---- */

enum { MANY = 64 };

struct many {
    struct serving *serving;
    size_t came, good;
    struct event_base *base;
};

static void on_one_of_many(void *argument, int rc, const struct vlm_err *err,
                           const struct vlm_picture *picture)
{
    struct many *many = argument;
    many->came++;
    many->good += rc == VLM_OK && picture;
    assert_true(rc == VLM_OK || (err->msg[0] && !picture));
    event_base_loopbreak(many->base);
}

static void wait_for_many(struct many *many, size_t n)
{
    const double until = vlm_now() + 30;
    while (many->came < n && vlm_now() < until)
        event_base_loop(many->base, EVLOOP_ONCE);
    assert_true(many->came >= n); /* several may come at once */
}

/* Whatever is killed and when: each picture has an answer, and the next one is fine. */
static void kills_under_load_lose_nothing(void **state)
{
    (void)state;
    static struct outcome outcome;
    struct serving serving = { .threads = 2, .kept_bytes = 1024 };
    struct vlm_buffer files[8] = { { 0 } };
    open_serving(&serving);
    struct many many = { .serving = &serving, .base = serving.base };
    for (unsigned i = 0; i < VLM_COUNTOF(files); i++)
        make_png(&files[i], i);
    for (size_t i = 0; i < MANY; i++) {
        const struct vlm_buffer *file = &files[i % VLM_COUNTOF(files)];
        assert_non_null(
            vlm_pictures_encode(serving.pictures, file->data, file->size, on_one_of_many, &many));
    }
    for (size_t i = 1; i <= 4; i++) {
        wait_for_many(&many, VLM_MIN(MANY, i * MANY / 5));
        signal_readers(SIGKILL);
    }
    wait_for_many(&many, MANY);
    assert_int_equal(many.came, MANY);
    assert_true(many.good >= MANY - 8); /* two readers, killed four times */
    encode(&serving, &outcome, &files[3]);
    assert_int_equal(outcome.rc, VLM_OK);
    for (unsigned i = 0; i < VLM_COUNTOF(files); i++)
        vlm_buffer_release(&files[i]);
    close_serving(&serving);
}

static void what_is_cancelled_never_comes(void **state)
{
    (void)state;
    static struct outcome outcome;
    struct serving serving = { .threads = 1 };
    struct vlm_buffer file = { 0 };
    struct vlm_picture_task *tasks[MANY];
    open_serving(&serving);
    struct many many = { .serving = &serving, .base = serving.base };
    make_png(&file, 6);
    for (size_t i = 0; i < MANY; i++)
        tasks[i] =
            vlm_pictures_encode(serving.pictures, file.data, file.size, on_one_of_many, &many);
    for (size_t i = 0; i < MANY; i += 2)
        vlm_pictures_cancel(serving.pictures, tasks[i]);
    wait_for_many(&many, MANY / 2);
    encode(&serving, &outcome, &file);
    assert_int_equal(many.came, MANY / 2);
    assert_int_equal(many.good, MANY / 2);
    vlm_pictures_cancel(serving.pictures, NULL);
    /* All that waits at the end is forgotten. */
    for (size_t i = 0; i < MANY; i++)
        assert_non_null(
            vlm_pictures_encode(serving.pictures, file.data, file.size, on_one_of_many, &many));
    close_serving(&serving);
    assert_int_equal(many.came, MANY / 2);
    vlm_buffer_release(&file);
}

static void too_many_are_refused(void **state)
{
    (void)state;
    struct serving serving = { .threads = 1 };
    open_serving(&serving);
    struct many many = { .serving = &serving, .base = serving.base };
    assert_int_equal(signal_readers(SIGSTOP), 1);
    size_t taken = 0;
    while (taken < 2000 &&
           vlm_pictures_encode(serving.pictures, (const uint8_t *)"x", 1, on_one_of_many, &many))
        taken++;
    assert_true(taken >= 512 && taken <= 513);
    close_serving(&serving);
}

/* ---- what is kept ---- */

static void the_oldest_go_first(void **state)
{
    (void)state;
    struct vlm_kept *kept = vlm_kept_new(10000);
    uint8_t name[32] = { 0 };
    size_t n;
    for (uint8_t i = 0; i < 9; i++) {
        name[0] = i;
        assert_true(vlm_kept_put(kept, VLM_KEPT_BLOB, name, calloc(1, 1000), 1000));
        name[0] = 0; /* is used each time */
        assert_non_null(vlm_kept_get(kept, VLM_KEPT_BLOB, name, &n));
        assert_int_equal(n, 1000);
    }
    for (uint8_t i = 0; i < 9; i++) { /* an item costs more than its bytes: eight fit */
        name[0] = i;
        assert_int_equal(vlm_kept_get(kept, VLM_KEPT_BLOB, name, &n) != NULL, i != 1);
    }
    assert_null(vlm_kept_get(kept, VLM_KEPT_PICTURE, name, &n));
    name[0] = 99;
    assert_false(vlm_kept_put(kept, VLM_KEPT_BLOB, name, calloc(1, 10000), 10000));
    vlm_kept_free(kept);
}

static void blobs_are_kept_by_their_hash(void **state)
{
    (void)state;
    struct serving serving = { .threads = 1, .kept_bytes = 4096 };
    struct vlm_err err = { 0 };
    uint8_t sha256[32], expected[32], large[5000] = { 0 };
    const uint8_t *bytes;
    size_t n;
    open_serving(&serving);
    assert_int_equal(vlm_blobs_put(serving.pictures, sha256, (const uint8_t *)"hello", 5, &err),
                     VLM_OK);
    vlm_sha256(expected, "hello", 5);
    assert_memory_equal(sha256, expected, 32);
    assert_true(vlm_blobs_get(serving.pictures, sha256, &bytes, &n));
    assert_int_equal(n, 5);
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(vlm_blobs_put(serving.pictures, sha256, large, sizeof(large), &err),
                     VLM_ELIMIT);
    sha256[0] ^= 1;
    assert_false(vlm_blobs_get(serving.pictures, sha256, &bytes, &n));
    close_serving(&serving);
}

/* ---- what is deleted ---- */

static void delete_image(const char *folder, const uint8_t sha256[VLM_SHA256_SIZE])
{
    char line[128], hex[2 * VLM_SHA256_SIZE + 1];
    snprintf(line, sizeof(line), "{\"sha256\": \"%s\"}\n", vlm_hex(hex, sha256, VLM_SHA256_SIZE));
    append_file(folder, "deleted.jsonl", line);
}

/* A line that is none is told; a file that cannot be read stops all. */
static void check_bad_files(struct serving *serving, const char *folder,
                            const uint16_t codes[VLM_CODES])
{
    static struct outcome outcome;
    const struct vlm_picture_form none = { .format = VLM_PICTURE_NONE };
    struct vlm_err err = { 0 };
    const uint8_t sha256[VLM_SHA256_SIZE] = { 1 };
    append_file(folder, "deleted.jsonl", "{\"sha256\": \"12\"}\n");
    decode(serving, &outcome, codes, &none);
    assert_int_equal(outcome.rc, VLM_OK);
    assert_non_null(strstr(serving->warning, "line 4: 'sha256' is not 64 hexadecimal digits"));
    assert_false(vlm_pictures_is_deleted(serving->pictures, sha256));
    char *path = vlm_path_join(folder, "deleted.jsonl");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(vlm_folder_make(path, &err), VLM_OK);
    decode(serving, &outcome, codes, &none);
    assert_int_equal(outcome.rc, VLM_EFAIL);
    assert_true(vlm_pictures_is_deleted(serving->pictures, sha256));
    free(path);
}

static void deleted_pictures_are_refused_from_the_next_request_on(void **state)
{
    (void)state;
    static struct outcome outcome;
    char *folder = test_path("graves"), *model = test_path("tokenizer");
    struct vlm_tokenizer *tokenizer;
    struct vlm_err err = { 0 };
    write_model(model, 0, 1);
    assert_int_equal(vlm_tokenizer_open(&tokenizer, model, VLM_PRECISION_EXACT, &err), VLM_OK);
    const struct corpus_set set = { .name = "graves",
                                    .parts = 2,
                                    .documents = 4,
                                    .coded = true,
                                    .tokenizer = vlm_tokenizer_info(tokenizer).id };
    write_corpus(folder, &set);
    struct serving serving = { .threads = 1, .sets = { folder }, .n_sets = 1 };
    struct vlm_buffer file = { 0 };
    uint16_t codes[VLM_CODES], others[VLM_CODES];
    uint8_t sha256[VLM_SHA256_SIZE];
    const uint8_t *bytes;
    size_t n;
    open_serving(&serving);
    make_png(&file, 9);
    encode(&serving, &outcome, &file);
    assert_int_equal(outcome.rc, VLM_OK);
    assert_int_equal(vlm_blobs_put(serving.pictures, sha256, file.data, file.size, &err), VLM_OK);
    delete_image(folder, sha256);
    encode(&serving, &outcome, &file);
    assert_int_equal(outcome.rc, VLM_EUSAGE);
    assert_false(vlm_blobs_get(serving.pictures, sha256, &bytes, &n));
    assert_true(vlm_pictures_is_deleted(serving.pictures, sha256));
    assert_int_equal(vlm_blobs_put(serving.pictures, sha256, file.data, file.size, &err),
                     VLM_EUSAGE);
    /* An answer whose codes are those of a deleted picture, in the second part. */
    const struct vlm_picture_form none = { .format = VLM_PICTURE_NONE };
    corpus_code(codes, 6);
    corpus_code(others, 3);
    decode(&serving, &outcome, codes, &none);
    assert_int_equal(outcome.rc, VLM_OK);
    corpus_image_sha(sha256, &set, 6);
    delete_image(folder, sha256);
    decode(&serving, &outcome, codes, &none);
    assert_int_equal(outcome.rc, VLM_EUSAGE);
    decode(&serving, &outcome, others, &none);
    assert_int_equal(outcome.rc, VLM_OK);
    codes[0] = VLM_CODE_UNKNOWN; /* a preview */
    decode(&serving, &outcome, codes, &none);
    assert_int_equal(outcome.rc, VLM_OK);
    /* A picture of our own, by the hash of its file. */
    const struct vlm_picture_form png = { .format = VLM_PICTURE_PNG };
    memset(codes, 0, sizeof(codes));
    decode(&serving, &outcome, codes, &png);
    assert_int_equal(outcome.rc, VLM_OK);
    vlm_sha256(sha256, outcome.file.data, outcome.file.size);
    delete_image(folder, sha256);
    decode(&serving, &outcome, codes, &png);
    assert_int_equal(outcome.rc, VLM_EUSAGE);
    assert_int_equal(outcome.file.size, 0);
    check_bad_files(&serving, folder, others);
    close_serving(&serving);
    vlm_tokenizer_close(tokenizer);
    vlm_buffer_release(&file);
    free(folder);
    free(model);
}

/* ---- load: `test_pictures_serve load SECONDS FILE...`, for tests/long/pictures.sh ---- */

enum { OWN = 16 }; /* files beside those that are given */

struct load {
    struct serving serving;
    struct vlm_buffer *files; /* [n] */
    size_t n, next, running, good, refused, lost;
};

static size_t resident_kib(void)
{
    char text[4096];
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = 0;
    fclose(file);
    const char *line = strstr(text, "VmRSS:");
    assert_non_null(line);
    return strtoul(line + 6, NULL, 10);
}

static void on_load(void *argument, int rc, const struct vlm_err *err,
                    const struct vlm_picture *picture)
{
    struct load *load = argument;
    (void)err;
    load->running--;
    load->good += rc == VLM_OK && picture;
    load->refused += rc == VLM_EFORMAT;
    load->lost += rc != VLM_OK && rc != VLM_EFORMAT;
}

/* Files whole, cut short and damaged; some are given up at once. */
static void submit_one(struct load *load)
{
    struct vlm_random random = vlm_random_at(1, 2, load->next);
    const struct vlm_buffer *file = &load->files[load->next++ % load->n];
    const uint64_t what = vlm_random_below(&random, 8);
    size_t n = file->size;
    const size_t at = n ? (size_t)vlm_random_below(&random, n) : 0;
    if (what == 0)
        n = at;
    if (what == 1 && n)
        file->data[at] ^= 0x10;
    struct vlm_picture_task *task =
        vlm_pictures_encode(load->serving.pictures, file->data, n, on_load, load);
    assert_non_null(task);
    if (what == 1 && n)
        file->data[at] ^= 0x10;
    if (what == 2)
        vlm_pictures_cancel(load->serving.pictures, task);
    load->running += what != 2;
}

/* Readers are killed ten times a second in the second half. Memory of the second half is that of the first. */
static int run_load(double seconds, char **names, size_t n)
{
    static struct load load;
    struct vlm_err err = { 0 };
    size_t first = 0, most = 0;
    void *folder = NULL;
    assert_int_equal(make_test_folder(&folder), 0);
    load.serving = (struct serving){ .threads = 2, .kept_bytes = 4 * VLM_MIB };
    load.n = n + OWN;
    load.files = calloc(load.n, sizeof(*load.files));
    assert_non_null(load.files);
    for (unsigned i = 0; i < OWN; i++)
        make_png(&load.files[i], i);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(vlm_file_read(&load.files[OWN + i], names[i], VLM_IMAGE_BYTES_MAX, &err),
                         VLM_OK);
    open_serving(&load.serving);
    const double began = vlm_now();
    for (double killed = began; vlm_now() - began < seconds;) {
        while (load.running < 32)
            submit_one(&load);
        event_base_loop(load.serving.base, EVLOOP_ONCE);
        const size_t resident = resident_kib();
        if (vlm_now() - began < seconds / 2) {
            first = VLM_MAX(first, resident);
        } else if (vlm_now() - killed > 0.1) {
            killed = vlm_now();
            signal_readers(SIGKILL);
        }
        most = VLM_MAX(most, resident);
    }
    printf("%zu read, %zu refused, %zu lost, %" PRId64 " readers started again, %zu and %zu KiB\n",
           load.good, load.refused, load.lost,
           metric_value(load.serving.metrics, "vlm_image_worker_restarts_total"), first, most);
    const bool flat = most <= first + first / 10 + 4096;
    const bool good = load.good > 100 && load.lost <= 10 && flat &&
                      metric_value(load.serving.metrics, "vlm_image_worker_restarts_total") > 5;
    close_serving(&load.serving);
    for (size_t i = 0; i < load.n; i++)
        vlm_buffer_release(&load.files[i]);
    free(load.files);
    remove_test_folder(&folder);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], VLM_BOX_VERB))
        return vlm_picture_box(argc, argv);
    if (argc > 2 && !strcmp(argv[1], "load"))
        return run_load(strtod(argv[2], NULL), argv + 3, (size_t)argc - 3);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_becomes_the_codes_of_its_square),
        cmocka_unit_test(codes_become_a_picture),
        cmocka_unit_test(pixels_far_from_the_mask_come_back),
        cmocka_unit_test(a_cell_with_a_transparent_pixel_is_drawn_anew),
        cmocka_unit_test(what_is_no_picture_is_refused_with_the_reason),
        cmocka_unit_test(a_killed_reader_costs_one_picture),
        cmocka_unit_test(readers_that_do_not_start_are_tried_again),
        cmocka_unit_test(files_of_32_mib_are_read),
        cmocka_unit_test(a_reader_that_nobody_waits_for_stops_at_once),
        cmocka_unit_test(a_coder_that_nobody_waits_for_stops),
        cmocka_unit_test(the_reader_is_confined),
        cmocka_unit_test(kills_under_load_lose_nothing),
        cmocka_unit_test(what_is_cancelled_never_comes),
        cmocka_unit_test(too_many_are_refused),
        cmocka_unit_test(the_oldest_go_first),
        cmocka_unit_test(blobs_are_kept_by_their_hash),
        cmocka_unit_test(deleted_pictures_are_refused_from_the_next_request_on),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
