/* test_pictures.c - pictures from files, folders and crawls: which, in which order, and which of them
 * are held out; squares of files; the figures of a tokenizer over them. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/limits.h"
#include "tests/dump_fixture.h"
#include "tests/folder_fixture.h"
#include "tools/vqgan/evaluate.h"
#include "tools/vqgan/pictures.h"
#include "tools/vqgan/squares.h"
#include "tools/vqgan/vqgan.h"

#include <math.h>
#include <sys/stat.h>

enum { SIDE = VLM_SQUARE_SIDE, FILES = 24 };

static char names[FILES][64];

/* A picture of its own for each number, smooth and with edges. */
static void paint(uint8_t *rgb, uint32_t width, uint32_t height, uint32_t number)
{
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < 3; c++)
                *rgb++ = (uint8_t)(number * 37 + x * (c + 1) / 3 + y / 2 +
                                   ((x / 24 + y / 40 + number) % 3 == 0 ? 70 : 0));
}

static void write_bytes(const char *name, const void *bytes, size_t n)
{
    struct vlm_err err = { 0 };
    char *path = vlm_path_join(test_folder, name);
    if (vlm_file_write(path, bytes, n, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    free(path);
}

static void make_image(struct vlm_buffer *out, uint32_t width, uint32_t height, uint32_t number)
{
    struct vlm_err err = { 0 };
    uint8_t *rgb = malloc((size_t)width * height * 3);
    assert_non_null(rgb);
    paint(rgb, width, height, number);
    vlm_buffer_reset(out);
    int rc = number % 2 ? vlm_rgb_to_jpeg(out, rgb, width, height, 90, &err)
                        : vlm_rgb_to_png(out, rgb, width, height, &err);
    assert_int_equal(rc, VLM_OK);
    free(rgb);
}

static void make_folder(const char *name)
{
    char *path = vlm_path_join(test_folder, name);
    assert_int_equal(mkdir(path, 0777), 0);
    free(path);
}

/* photos/ with FILES pictures in two folders, and files that are none. */
static int set_up(void **state)
{
    struct vlm_buffer image = { 0 };
    if (make_test_folder(state))
        return -1;
    make_folder("photos");
    make_folder("photos/more");
    make_folder("photos/.hidden");
    for (uint32_t i = 0; i < FILES; i++) {
        snprintf(names[i], sizeof(names[i]), "photos/%s%02u.%s", i % 3 ? "" : "more/", i,
                 i % 2 ? "jpg" : "png");
        make_image(&image, 96 + i % 5 * 40, 128, i);
        write_bytes(names[i], image.data, image.size);
    }
    make_image(&image, 64, 64, 99);
    write_bytes("photos/.hidden/99.jpg", image.data, image.size);
    write_bytes("photos/.99.jpg", image.data, image.size);
    write_bytes("photos/notes.txt", "no picture\n", 11);
    vlm_buffer_release(&image);
    return 0;
}

static int tear_down(void **state)
{
    return remove_test_folder(state);
}

struct collection {
    struct vlm_pictures pictures;
    struct vlm_pictures_counts counts;
};

static void open_collection(struct collection *collection, char *const *inputs, size_t n,
                            struct vlm_pictures_options options)
{
    struct vlm_err err = { 0 };
    options.inputs = inputs;
    options.n_inputs = n;
    options.memory = options.memory ? options.memory : VLM_GIB;
    options.quiet = true;
    options.program = "test";
    if (vlm_pictures_open(&collection->pictures, &options, &collection->counts, &err) != VLM_OK)
        fail_msg("%s", err.msg);
}

static char *photos(void)
{
    return vlm_path_join(test_folder, "photos");
}

static void check_same(const struct collection *a, const struct collection *b)
{
    uint8_t one[VLM_SQUARE_BYTES], other[VLM_SQUARE_BYTES];
    struct vlm_err err = { 0 };
    assert_memory_equal(a->pictures.digest, b->pictures.digest, VLM_SHA256_SIZE);
    assert_int_equal(a->pictures.train, b->pictures.train);
    assert_int_equal(a->pictures.held_out, b->pictures.held_out);
    for (size_t i = 0; i < a->pictures.train + a->pictures.held_out; i++) {
        bool held = i >= a->pictures.train;
        size_t number = held ? i - a->pictures.train : i;
        assert_int_equal(a->pictures.read(&a->pictures, held, number, one, &err), VLM_OK);
        assert_int_equal(b->pictures.read(&b->pictures, held, number, other, &err), VLM_OK);
        assert_memory_equal(one, other, sizeof(one));
    }
}

static void a_collection_does_not_depend_on_order_and_threads(void **state)
{
    (void)state;
    struct collection whole, files;
    char *inputs[FILES + 1] = { photos() };
    const struct vlm_amount tenth = { 10, true };
    open_collection(&whole, inputs, 1,
                    (struct vlm_pictures_options){ .threads = 1, .held_out = tenth });
    assert_int_equal(whole.counts.found, FILES);
    assert_int_equal(whole.counts.bad, 0);
    assert_int_equal(whole.pictures.train + whole.pictures.held_out, FILES);
    assert_true(whole.pictures.held_out >= 1);
    free(inputs[0]);
    for (size_t i = 0; i < FILES; i++)
        inputs[i] = vlm_path_join(test_folder, names[(i * 7 + 3) % FILES]);
    inputs[FILES] = inputs[4]; /* a picture twice */
    open_collection(&files, inputs, FILES + 1,
                    (struct vlm_pictures_options){ .threads = 3, .held_out = tenth });
    assert_int_equal(files.counts.found, FILES + 1);
    assert_int_equal(files.counts.duplicates, 1);
    check_same(&whole, &files);
    vlm_pictures_close(&whole.pictures);
    vlm_pictures_close(&files.pictures);
    for (size_t i = 0; i < FILES; i++)
        free(inputs[i]);
}

/* SHA-256 of the files, sorted: the order of a collection. */
static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, VLM_SHA256_SIZE);
}

static void sorted_digests(uint8_t digests[FILES][VLM_SHA256_SIZE])
{
    struct vlm_err err = { 0 };
    struct vlm_buffer file = { 0 };
    for (size_t i = 0; i < FILES; i++) {
        char *path = vlm_path_join(test_folder, names[i]);
        vlm_buffer_reset(&file);
        assert_int_equal(vlm_file_read(&file, path, VLM_MIB, &err), VLM_OK);
        vlm_sha256(digests[i], file.data, file.size);
        free(path);
    }
    vlm_buffer_release(&file);
    qsort(digests, FILES, VLM_SHA256_SIZE, compare_digests);
}

/* The digest of a collection without held-out pictures says which are in it. */
static void digest_of_first(uint8_t digest[VLM_SHA256_SIZE],
                            uint8_t digests[FILES][VLM_SHA256_SIZE], size_t n)
{
    struct vlm_buffer text = { 0 };
    for (size_t i = 0; i < n; i++) {
        vlm_buffer_add(&text, digests[i], VLM_SHA256_SIZE);
        vlm_buffer_byte(&text, 0);
    }
    vlm_sha256(digest, text.data, text.size);
    vlm_buffer_release(&text);
}

static void the_smallest_digests_stay_when_memory_is_short(void **state)
{
    (void)state;
    uint8_t digests[FILES][VLM_SHA256_SIZE], digest[VLM_SHA256_SIZE];
    char *inputs[FILES];
    size_t before = FILES;
    sorted_digests(digests);
    for (uint64_t memory = 400000; memory >= 20000; memory /= 2) {
        struct collection collection;
        for (size_t i = 0; i < FILES; i++)
            inputs[i] = vlm_path_join(test_folder, names[(i * 11 + memory) % FILES]);
        open_collection(&collection, inputs, FILES,
                        (struct vlm_pictures_options){ .memory = memory, .threads = 2 });
        size_t kept = collection.pictures.train;
        assert_true(kept > 0 && kept <= before);
        assert_int_equal(kept + collection.counts.beyond_memory, FILES);
        digest_of_first(digest, digests, kept);
        assert_memory_equal(collection.pictures.digest, digest, sizeof(digest));
        vlm_pictures_close(&collection.pictures);
        for (size_t i = 0; i < FILES; i++)
            free(inputs[i]);
        before = kept;
    }
    assert_true(before < FILES / 2);
}

static void amounts_decide_how_many_are_held_out(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t least, most;
    } cases[] = { { "0", 0, 0 },           { "1", 1, 1 },
                  { "5", 5, 5 },           { "1000", FILES, FILES },
                  { "0%", 0, 0 },          { "0.1%", 1, 1 },
                  { "50%", 5, 19 },        { "99.99%", 0, FILES - 1 },
                  { "100%", FILES, FILES } };
    struct vlm_err err = { 0 };
    char *inputs[] = { photos() };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_pictures_options options = { .threads = 1 };
        struct collection collection;
        assert_int_equal(vlm_amount_parse(&options.held_out, "held-out", cases[i].text, &err),
                         VLM_OK);
        open_collection(&collection, inputs, 1, options);
        assert_in_range(collection.pictures.held_out, cases[i].least, cases[i].most);
        assert_int_equal(collection.pictures.train + collection.pictures.held_out, FILES);
        vlm_pictures_close(&collection.pictures);
    }
    free(inputs[0]);
    static const char *const wrong[] = { "", "x", "-1", "101%", "5%%", "nan", "1e300", "5 %" };
    struct vlm_amount amount;
    for (size_t i = 0; i < VLM_COUNTOF(wrong); i++)
        assert_int_equal(vlm_amount_parse(&amount, "held-out", wrong[i], &err), VLM_EUSAGE);
}

/* With a share, a picture that was learned from is never measured by after the collection grew. */
static void a_share_of_pictures_stays_held_out(void **state)
{
    (void)state;
    const struct vlm_amount third = { 33, true };
    struct collection few, all;
    char *inputs[FILES];
    uint8_t square[VLM_SQUARE_BYTES], other[VLM_SQUARE_BYTES];
    struct vlm_err err = { 0 };
    for (size_t i = 0; i < FILES; i++)
        inputs[i] = vlm_path_join(test_folder, names[i]);
    open_collection(&few, inputs, FILES / 2, (struct vlm_pictures_options){ .held_out = third });
    open_collection(&all, inputs, FILES, (struct vlm_pictures_options){ .held_out = third });
    assert_true(few.pictures.held_out > 0 && few.pictures.train > 0);
    for (size_t i = 0; i < few.pictures.train; i++) {
        assert_int_equal(few.pictures.read(&few.pictures, false, i, square, &err), VLM_OK);
        for (size_t k = 0; k < all.pictures.held_out; k++) {
            assert_int_equal(all.pictures.read(&all.pictures, true, k, other, &err), VLM_OK);
            assert_memory_not_equal(square, other, sizeof(square));
        }
    }
    vlm_pictures_close(&few.pictures);
    vlm_pictures_close(&all.pictures);
    for (size_t i = 0; i < FILES; i++)
        free(inputs[i]);
}

static void add_response(struct vlm_buffer *out, const char *uri, const char *headers,
                         const struct vlm_buffer *body)
{
    struct vlm_buffer block = { 0 };
    vlm_buffer_printf(&block, "HTTP/1.1 %s\r\n\r\n", headers);
    vlm_buffer_add(&block, body->data, body->size);
    add_record(out, "response", uri, block.data, block.size);
    vlm_buffer_release(&block);
}

static void pictures_of_crawls_are_found(void **state)
{
    (void)state;
    static const char fine[] = "200 OK\r\nContent-Type: image/png";
    struct vlm_buffer crawl = { 0 }, image = { 0 };
    struct collection collection;
    add_page(&crawl, 1);
    make_image(&image, 100, 80, 50);
    add_response(&crawl, "http://example.org/a.png", fine, &image);
    add_response(&crawl, "http://example.org/again.png", fine, &image);
    make_image(&image, 90, 80, 51);
    add_response(&crawl, "http://example.org/gone.jpg", "404 Not Found\r\nContent-Type: image/jpeg",
                 &image);
    add_response(&crawl, "http://example.org/noai.jpg",
                 "200 OK\r\nContent-Type: image/jpeg\r\nX-Robots-Tag: noai", &image);
    make_image(&image, 90, 80, 52);
    image.size /= 2;
    add_response(&crawl, "http://example.org/cut.png", fine, &image);
    make_image(&image, 40, 300, 53);
    add_response(&crawl, "http://example.org/small.jpg", fine, &image);
    make_image(&image, 64, 64, 54);
    add_record(&crawl, "resource", "http://example.org/b.png", image.data, image.size);
    write_bytes("crawl.warc", crawl.data, crawl.size);
    char *inputs[] = { vlm_path_join(test_folder, "crawl.warc") };
    open_collection(&collection, inputs, 1, (struct vlm_pictures_options){ .side_min = 64 });
    assert_int_equal(collection.counts.found, 5);
    assert_int_equal(collection.counts.bad, 1);
    assert_int_equal(collection.counts.small, 1);
    assert_int_equal(collection.counts.duplicates, 1);
    assert_int_equal(collection.pictures.train, 2);
    vlm_pictures_close(&collection.pictures);
    free(inputs[0]);
    vlm_buffer_release(&crawl);
    vlm_buffer_release(&image);
}

/* What came through vlm_squares_run(), in order. */
struct seen {
    size_t n;
    char errors[8][24];
    uint8_t square[8][VLM_SQUARE_BYTES];
};

static int keep_square(void *context, struct vlm_squares_item *item, size_t worker,
                       struct vlm_err *err)
{
    (void)context;
    (void)worker;
    (void)err;
    vlm_buffer_add(&item->result, item->square, VLM_SQUARE_BYTES);
    return VLM_OK;
}

static int note(void *context, struct vlm_squares_item *item, struct vlm_err *err)
{
    struct seen *seen = context;
    (void)err;
    assert_true(seen->n < VLM_COUNTOF(seen->errors));
    snprintf(seen->errors[seen->n], sizeof(seen->errors[0]), "%s", item->error ? item->error : "");
    if (!item->error)
        memcpy(seen->square[seen->n], item->result.data, VLM_SQUARE_BYTES);
    seen->n++;
    return VLM_OK;
}

static void squares_come_in_the_order_of_arguments(void **state)
{
    (void)state;
    static struct seen seen;
    static uint8_t rgb[VLM_SQUARE_BYTES];
    struct vlm_buffer png = { 0 };
    struct vlm_err err = { 0 };
    paint(rgb, SIDE, SIDE, 7);
    assert_int_equal(vlm_rgb_to_png(&png, rgb, SIDE, SIDE, &err), VLM_OK);
    write_bytes("square.png", png.data, png.size);
    write_bytes("cut.png", png.data, png.size / 2);
    write_bytes("empty.png", "", 0);
    write_bytes("page.html", "<p>text", 7);
    static const char *const files[] = { "cut.png",   "square.png", "nowhere.png",
                                         "empty.png", "page.html",  "square.png" };
    char *inputs[VLM_COUNTOF(files)];
    for (size_t i = 0; i < VLM_COUNTOF(files); i++)
        inputs[i] = vlm_path_join(test_folder, files[i]);
    struct vlm_squares squares = {
        .threads = 2, .work = keep_square, .done = note, .context = &seen
    };
    assert_int_equal(vlm_squares_run(&squares, inputs, VLM_COUNTOF(files), &err), VLM_OK);
    assert_int_equal(seen.n, VLM_COUNTOF(files));
    static const char *const errors[] = { "truncated",    "", "unreadable", "not_an_image",
                                          "not_an_image", "" };
    for (size_t i = 0; i < VLM_COUNTOF(files); i++)
        assert_string_equal(seen.errors[i], errors[i]);
    /* A PNG of that size is taken sample for sample. */
    assert_memory_equal(seen.square[1], rgb, sizeof(rgb));
    assert_memory_equal(seen.square[5], rgb, sizeof(rgb));
    const volatile sig_atomic_t stop = SIGINT;
    squares.stop = &stop;
    assert_int_equal(vlm_squares_run(&squares, inputs, VLM_COUNTOF(files), &err), VLM_ESTOPPED);
    for (size_t i = 0; i < VLM_COUNTOF(files); i++)
        free(inputs[i]);
    vlm_buffer_release(&png);
}

static int refuse(void *context, struct vlm_squares_item *item, size_t worker, struct vlm_err *err)
{
    (void)context;
    (void)worker;
    return vlm_fail(err, VLM_ENOMEM, "out of it at %u", item->square[0]);
}

static void a_failure_of_the_work_ends_it_and_names_the_file(void **state)
{
    (void)state;
    static struct seen seen;
    struct vlm_err err = { 0 };
    char *inputs[] = { photos() };
    struct vlm_squares squares = { .threads = 2, .work = refuse, .done = note, .context = &seen };
    assert_int_equal(vlm_squares_run(&squares, inputs, 1, &err), VLM_ENOMEM);
    assert_non_null(strstr(err.msg, "photos/01.jpg: out of it"));
    free(inputs[0]);
}

static double number_of(json_object *report, const char *key)
{
    json_object *value = json_object_object_get(report, key);
    assert_non_null(value);
    return json_object_get_double(value);
}

static void an_evaluation_is_the_mean_over_its_pictures(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_coders coders;
    struct vlm_evaluation evaluation;
    struct collection collection;
    char *inputs[] = { photos() };
    double psnr = 0;
    open_collection(&collection, inputs, 1, (struct vlm_pictures_options){ .threads = 2 });
    assert_int_equal(vlm_coders_open(&coders, NULL, VLM_PRECISION_EXACT, 2, &err), VLM_OK);
    assert_int_equal(vlm_evaluation_init(&evaluation, &coders, &err), VLM_OK);
    assert_int_equal(vlm_evaluate_pictures(&evaluation, &collection.pictures, false, 20, &err),
                     VLM_OK);
    for (size_t i = 0; i < 20; i++) {
        uint8_t square[VLM_SQUARE_BYTES];
        static struct vlm_made made;
        assert_int_equal(collection.pictures.read(&collection.pictures, false, i, square, &err),
                         VLM_OK);
        assert_int_equal(vlm_evaluation_make(&evaluation, 0, square, &made, &err), VLM_OK);
        psnr += vlm_psnr(square, made.square) / 20;
    }
    struct vlm_buffer text = { 0 };
    struct vlm_json json = { .out = &text };
    json_object *report = NULL;
    vlm_json_open(&json, '{');
    vlm_evaluation_write(&evaluation, &json);
    vlm_json_close(&json, '}');
    assert_int_equal(vlm_json_parse(&report, (const char *)text.data, text.size, &err), VLM_OK);
    assert_true(number_of(report, "images") == 20);
    assert_true(fabs(number_of(report, "psnr") - psnr) < 1e-3);
    assert_true(number_of(report, "usage") > 0 && number_of(report, "usage") <= 1);
    assert_true(number_of(report, "images_per_second") > 0);
    assert_true(number_of(report, "peak_share") > 0);
    json_object_put(report);
    vlm_buffer_release(&text);
    vlm_evaluation_release(&evaluation);
    vlm_coders_close(&coders);
    vlm_pictures_close(&collection.pictures);
    free(inputs[0]);
}

/* Of the shipped tokenizer: two products for each of 256 patches of 768 numbers. */
static void the_cost_of_a_coder_is_that_of_its_products(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_coders coders;
    assert_int_equal(vlm_coders_open(&coders, NULL, VLM_PRECISION_EXACT, 1, &err), VLM_OK);
    /* The shipped vq-xs: patches to 48 numbers, a block, to 8 numbers, 1,024 codes. */
    double cell = 768.0 * 48 + 2 * 9.0 * 48 * 48 + 48.0 * 8 + 1024.0 * 8;
    assert_string_equal(vlm_tokenizer_info(coders.tokenizer).kind, "vq-xs");
    assert_true(vlm_coder_cost(coders.coder[0]).encode == 2 * 256 * cell);
    vlm_coders_close(&coders);
}

static void durations_have_units(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    double seconds;
    static const struct {
        const char *text;
        double seconds;
    } right[] = { { "90", 90 }, { "30s", 30 }, { "1.5m", 90 }, { "4h", 14400 }, { "2d", 172800 } };
    static const char *const wrong[] = { "", "m", "0", "-5", "5x", "5 m", "inf", "nan", "1h30" };
    for (size_t i = 0; i < VLM_COUNTOF(right); i++) {
        assert_int_equal(vlm_duration_parse(&seconds, "time-limit", right[i].text, &err), VLM_OK);
        assert_true(seconds == right[i].seconds);
    }
    for (size_t i = 0; i < VLM_COUNTOF(wrong); i++)
        assert_int_equal(vlm_duration_parse(&seconds, "time-limit", wrong[i], &err), VLM_EUSAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_collection_does_not_depend_on_order_and_threads),
        cmocka_unit_test(the_smallest_digests_stay_when_memory_is_short),
        cmocka_unit_test(amounts_decide_how_many_are_held_out),
        cmocka_unit_test(a_share_of_pictures_stays_held_out),
        cmocka_unit_test(pictures_of_crawls_are_found),
        cmocka_unit_test(squares_come_in_the_order_of_arguments),
        cmocka_unit_test(a_failure_of_the_work_ends_it_and_names_the_file),
        cmocka_unit_test(an_evaluation_is_the_mean_over_its_pictures),
        cmocka_unit_test(the_cost_of_a_coder_is_that_of_its_products),
        cmocka_unit_test(durations_have_units),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
