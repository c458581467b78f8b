/* test_stored.c - documents and images as bytes: what goes in comes out, and nothing that is not
 * exactly what was written is accepted or read beyond its end. */
#include "base/vlm.h"

#include "base/hash.h"
#include "shard/parts/stored.h"
#include "tokenize/names.h"

#include <setjmp.h>

#include <cmocka.h>

/* "Hello " <p> title="tip" </p> <img> "end"; the strings of the images stand behind the text. */
static const char text[] = "Hello tipenda.pngA cathttp://x/a.pngdata:image/png;base64,AAAA";
enum { SRC = 12, ALT = 17, URL = 22, DATA = 36, DATA_LENGTH = 26 };

static struct vlm_event events[] = {
    { .kind = VLM_EVENT_TEXT, .start = 0, .length = 6, .offset = 0 },
    { .kind = VLM_EVENT_OPEN, .name = VLM_ELEMENT_p, .flags = VLM_NODE_CHROME, .offset = 100 },
    { .kind = VLM_EVENT_ATTRIBUTE,
      .name = VLM_ATTRIBUTE_title,
      .start = 6,
      .length = 3,
      .offset = 90 },
    { .kind = VLM_EVENT_CLOSE, .name = VLM_ELEMENT_p, .offset = 4000000000u },
    { .kind = VLM_EVENT_OPEN, .name = VLM_ELEMENT_img, .offset = 5 },
    { .kind = VLM_EVENT_IMAGE, .start = 1, .offset = 5 },
    { .kind = VLM_EVENT_CLOSE, .name = VLM_ELEMENT_img, .offset = 5 },
    { .kind = VLM_EVENT_TEXT, .start = 9, .length = 3, .offset = 7 },
};

static struct vlm_document_image images[] = {
    { .src = { SRC, 5 }, .n_candidates = 0, .status = VLM_IMAGE_NO_URL },
    { .src = { SRC, 5 },
      .alt = { ALT, 5 },
      .has_alt = true,
      .n_candidates = 2,
      .candidate = { { URL, 14 }, { DATA, DATA_LENGTH } },
      .status = VLM_IMAGE_NOT_IN_CRAWL },
    { .src = { DATA, DATA_LENGTH },
      .has_alt = true, /* and empty */
      .n_candidates = 1,
      .candidate = { { URL, 14 } },
      .status = VLM_IMAGE_NOT_IN_CRAWL },
};
enum { N_EVENTS = VLM_COUNTOF(events), N_IMAGES = VLM_COUNTOF(images) };

static struct vlm_document sample(void)
{
    return (struct vlm_document){
        .text = text,
        .text_size = sizeof(text) - 1,
        .events = events,
        .n_events = N_EVENTS,
        .images = images,
        .n_images = N_IMAGES,
        .url = "http://x/",
        .date = "2020-02-29T12:00:00Z",
        .title = "A title",
        .lang = "en",
        .charset = "utf-8",
        .source = { .file = "a/b.warc.gz", .offset = UINT64_C(1) << 40, .length = 300 },
        .payload_sha256 = { 1, 2, 3 },
        .warnings = 5,
    };
}

static void encode_sample(struct vlm_buffer *out)
{
    struct vlm_document document = sample();
    vlm_stored_document_encode(out, &document);
    assert_false(out->failed);
}

static void renew_checksum(uint8_t *record, size_t size)
{
    uint64_t sum = vlm_xxh3(record + 8, size - 8);
    for (size_t i = 0; i < 8; i++)
        record[i] = (uint8_t)(sum >> 8 * i);
}

static int decode(struct vlm_document **document, const uint8_t *bytes, size_t size,
                  struct vlm_arena *arena)
{
    struct vlm_err err = { 0 };
    vlm_arena_reset(arena);
    int rc = vlm_stored_document_decode(document, bytes, size, arena, &err);
    assert_true(rc == VLM_OK || (rc < 0 && err.msg[0]));
    return rc;
}

static void assert_string(const struct vlm_document *document, struct vlm_string string,
                          const char *expected)
{
    assert_int_equal(string.length, strlen(expected));
    assert_true((size_t)string.start + string.length <= document->text_size);
    assert_memory_equal(document->text + string.start, expected, string.length);
}

static void assert_events(const struct vlm_document *document)
{
    assert_int_equal(document->n_events, N_EVENTS);
    for (size_t i = 0; i < N_EVENTS; i++) {
        const struct vlm_event *is = &document->events[i], *was = &events[i];
        assert_int_equal(is->kind, was->kind);
        assert_int_equal(is->flags, was->flags);
        assert_int_equal(is->offset, was->offset);
        if (was->kind == VLM_EVENT_IMAGE)
            assert_int_equal(is->start, was->start);
        else if (was->kind != VLM_EVENT_TEXT)
            assert_int_equal(is->name, was->name);
        if (was->kind == VLM_EVENT_TEXT || was->kind == VLM_EVENT_ATTRIBUTE) {
            assert_int_equal(is->length, was->length);
            assert_memory_equal(document->text + is->start, text + was->start, was->length);
        }
    }
}

static void document_comes_back(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    struct vlm_arena arena;
    struct vlm_document *document, was = sample();
    char name[VLM_DATA_NAME_SIZE];
    vlm_arena_init(&arena, 1 << 20);
    vlm_buffer_text(&out, "before"); /* encoding appends */
    encode_sample(&out);
    assert_int_equal(decode(&document, out.data + 6, out.size - 6, &arena), VLM_OK);
    assert_string_equal(document->url, was.url);
    assert_string_equal(document->date, was.date);
    assert_string_equal(document->title, was.title);
    assert_string_equal(document->lang, was.lang);
    assert_string_equal(document->charset, was.charset);
    assert_string_equal(document->source.file, was.source.file);
    assert_int_equal(document->source.offset, was.source.offset);
    assert_int_equal(document->source.length, was.source.length);
    assert_int_equal(document->warnings, was.warnings);
    assert_memory_equal(document->payload_sha256, was.payload_sha256, VLM_SHA256_SIZE);
    assert_events(document);
    assert_int_equal(document->n_images, N_IMAGES);
    const struct vlm_document_image *image = document->images;
    assert_int_equal(image[0].status, VLM_IMAGE_NO_URL);
    assert_false(image[0].has_alt);
    assert_true(image[1].has_alt && image[2].has_alt);
    assert_string(document, image[1].alt, "A cat");
    assert_string(document, image[2].alt, "");
    assert_string(document, image[1].src, "a.png");
    assert_int_equal(image[1].n_candidates, 2);
    assert_string(document, image[1].candidate[0], "http://x/a.png");
    /* data: URLs go on under the hash of what they were */
    vlm_data_name(name, text + DATA, DATA_LENGTH);
    assert_int_equal(strlen(name), 76);
    assert_string(document, image[1].candidate[1], name);
    assert_string(document, image[2].src, name);
    vlm_arena_release(&arena);
    vlm_buffer_release(&out);
}

static void empty_document_comes_back(void **state)
{
    (void)state;
    struct vlm_document *document, was = {
        .text = "",
        .url = "",
        .title = "",
        .lang = "",
        .charset = "",
        .source.file = "",
    };
    struct vlm_buffer out = { 0 };
    struct vlm_arena arena;
    vlm_arena_init(&arena, 1 << 20);
    vlm_stored_document_encode(&out, &was);
    assert_int_equal(decode(&document, out.data, out.size, &arena), VLM_OK);
    assert_null(document->date);
    assert_int_equal(document->n_events + document->n_images, 0);
    assert_string_equal(document->url, "");
    vlm_arena_release(&arena);
    vlm_buffer_release(&out);
}

static void join_writes_its_results(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    struct vlm_arena arena;
    struct vlm_document *document;
    struct vlm_err err = { 0 };
    struct vlm_join_result results[N_IMAGES] = {
        { .status = VLM_IMAGE_NO_URL },
        { .status = VLM_IMAGE_OK,
          .format = VLM_FORMAT_PNG,
          .used = 1,
          .width = 640,
          .height = 70000,
          .sha256 = { 9, 8, 7 } },
        { .status = VLM_IMAGE_HTTP_ERROR },
    };
    vlm_arena_init(&arena, 1 << 20);
    encode_sample(&out);
    assert_int_equal(vlm_stored_document_images(out.data), N_IMAGES);
    assert_int_equal(vlm_stored_document_join(out.data, out.size, results, &err), VLM_OK);
    assert_int_equal(decode(&document, out.data, out.size, &arena), VLM_OK);
    for (size_t i = 0; i < N_IMAGES; i++) {
        const struct vlm_document_image *image = &document->images[i];
        assert_int_equal(image->status, results[i].status);
        assert_int_equal(image->format, results[i].format);
        assert_int_equal(image->used, results[i].used);
        assert_int_equal(image->width, results[i].width);
        assert_int_equal(image->height, results[i].height);
        assert_memory_equal(image->sha256, results[i].sha256, VLM_SHA256_SIZE);
        assert_int_equal(image->n_candidates, images[i].n_candidates);
    }
    assert_events(document);
    vlm_arena_release(&arena);
    vlm_buffer_release(&out);
}

/* A renewed checksum must not cover damage that came before. */
static void join_refuses_what_is_damaged_or_cut(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    struct vlm_err err = { 0 };
    struct vlm_join_result results[N_IMAGES] = { { 0 } };
    encode_sample(&out);
    for (size_t i = 0; i < out.size; i++) {
        out.data[i] ^= 4;
        assert_true(vlm_stored_document_join(out.data, out.size, results, &err) < 0);
        out.data[i] ^= 4;
    }
    for (size_t n = 0; n < out.size; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, out.data, n);
        assert_true(vlm_stored_document_join(copy, n, results, &err) < 0);
        free(copy);
    }
    assert_int_equal(vlm_stored_document_join(out.data, out.size, results, &err), VLM_OK);
    vlm_buffer_release(&out);
}

/* Each copy has exactly the bytes, so that sanitizers see a read beyond them; the checksum is made to
 * fit, so that it is the layout that refuses. */
static void document_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    struct vlm_arena arena;
    struct vlm_document *document;
    vlm_arena_init(&arena, 1 << 20);
    encode_sample(&out);
    for (size_t n = 0; n < out.size; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, out.data, n);
        assert_true(decode(&document, copy, n, &arena) < 0);
        if (n >= 8) {
            renew_checksum(copy, n);
            assert_int_equal(decode(&document, copy, n, &arena), VLM_EFORMAT);
        }
        free(copy);
    }
    vlm_buffer_byte(&out, 0);
    renew_checksum(out.data, out.size);
    assert_int_equal(decode(&document, out.data, out.size, &arena), VLM_EFORMAT); /* one too many */
    vlm_arena_release(&arena);
    vlm_buffer_release(&out);
}

static void document_with_any_bit_flipped_is_refused(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    struct vlm_arena arena;
    struct vlm_document *document;
    vlm_arena_init(&arena, 1 << 20);
    encode_sample(&out);
    for (size_t bit = 0; bit < 8 * out.size; bit++) {
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(decode(&document, out.data, out.size, &arena), VLM_EDIFFER);
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(decode(&document, out.data, out.size, &arena), VLM_OK);
    vlm_arena_release(&arena);
    vlm_buffer_release(&out);
}

/* With a checksum that fits, a changed document is refused or keeps what readers rely on. */
static void forged_documents_are_harmless(void **state)
{
    (void)state;
    static const uint8_t masks[] = { 1, 2, 4, 8, 16, 32, 64, 128, 0x7f, 0xff };
    struct vlm_buffer out = { 0 };
    struct vlm_arena arena;
    struct vlm_document *document;
    struct vlm_err err = { 0 };
    size_t refused = 0, accepted = 0;
    vlm_arena_init(&arena, 1 << 20);
    encode_sample(&out);
    uint8_t *copy = malloc(out.size);
    assert_non_null(copy);
    for (size_t i = 8; i < out.size; i++)
        for (size_t k = 0; k < VLM_COUNTOF(masks); k++) {
            memcpy(copy, out.data, out.size);
            copy[i] ^= masks[k];
            renew_checksum(copy, out.size);
            if (decode(&document, copy, out.size, &arena) == VLM_OK) {
                assert_int_equal(vlm_document_check(document, &err), VLM_OK);
                accepted++;
            } else {
                refused++;
            }
        }
    assert_true(refused > 100 && accepted > 100);
    free(copy);
    vlm_arena_release(&arena);
    vlm_buffer_release(&out);
}

static void document_that_does_not_fit_in_the_arena_is_an_error(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    struct vlm_document *document;
    encode_sample(&out);
    for (size_t cap = 0; cap < 1500; cap += 16) {
        struct vlm_arena arena;
        vlm_arena_init(&arena, cap);
        (void)decode(&document, out.data, out.size, &arena);
        vlm_arena_release(&arena);
    }
    vlm_buffer_release(&out);
}

/* Images ---------------------------------------------------------------------------------------- */

static void encode_image(struct vlm_buffer *out)
{
    static const uint8_t square[] = { 1, 2, 3, 4, 5 }, original[] = { 9, 8, 7 };
    vlm_stored_image_encode(out, &(struct vlm_stored_image){
                                     .format = VLM_FORMAT_JPEG,
                                     .mode = VLM_MODE_RGB,
                                     .orientation = 6,
                                     .halved = 1,
                                     .width = 4000,
                                     .height = 3000,
                                     .phash = UINT64_C(0x0123456789abcdef),
                                     .square = square,
                                     .square_size = sizeof(square),
                                     .original = original,
                                     .original_size = sizeof(original),
                                 });
}

static void image_comes_back(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    struct vlm_stored_image image;
    struct vlm_err err = { 0 };
    encode_image(&out);
    assert_int_equal(vlm_stored_image_decode(&image, out.data, out.size, &err), VLM_OK);
    assert_int_equal(image.format, VLM_FORMAT_JPEG);
    assert_int_equal(image.mode, VLM_MODE_RGB);
    assert_int_equal(image.orientation, 6);
    assert_int_equal(image.halved, 1);
    assert_int_equal(image.width, 4000);
    assert_int_equal(image.height, 3000);
    assert_int_equal(image.phash, UINT64_C(0x0123456789abcdef));
    assert_int_equal(image.square_size, 5);
    assert_memory_equal(image.square, "\1\2\3\4\5", 5);
    assert_int_equal(image.original_size, 3);
    assert_memory_equal(image.original, "\x09\x08\x07", 3);
    vlm_buffer_reset(&out);
    vlm_stored_image_encode(&out, &(struct vlm_stored_image){ .width = 1 });
    assert_int_equal(vlm_stored_image_decode(&image, out.data, out.size, &err), VLM_OK);
    assert_null(image.square);
    assert_null(image.original);
    vlm_buffer_release(&out);
}

static void damaged_image_is_refused(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    struct vlm_stored_image image;
    struct vlm_err err = { 0 };
    encode_image(&out);
    for (size_t bit = 0; bit < 8 * out.size; bit++) {
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(vlm_stored_image_decode(&image, out.data, out.size, &err), VLM_EDIFFER);
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n < out.size; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, out.data, n);
        assert_true(vlm_stored_image_decode(&image, copy, n, &err) < 0);
        if (n >= 8) {
            renew_checksum(copy, n);
            assert_int_equal(vlm_stored_image_decode(&image, copy, n, &err), VLM_EFORMAT);
        }
        free(copy);
    }
    vlm_buffer_release(&out);
}

static void forged_images_stay_inside_their_bytes(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    struct vlm_stored_image image;
    struct vlm_err err = { 0 };
    size_t refused = 0;
    encode_image(&out);
    uint8_t *copy = malloc(out.size);
    assert_non_null(copy);
    for (size_t i = 8; i < out.size; i++)
        for (unsigned mask = 1; mask < 256; mask++) {
            memcpy(copy, out.data, out.size);
            copy[i] ^= (uint8_t)mask;
            renew_checksum(copy, out.size);
            if (vlm_stored_image_decode(&image, copy, out.size, &err) < 0) {
                refused++;
                continue;
            }
            assert_true(!image.square || (image.square >= copy &&
                                          image.square + image.square_size <= copy + out.size));
            assert_true(!image.original ||
                        (image.original >= copy &&
                         image.original + image.original_size <= copy + out.size));
        }
    assert_true(refused > 1000);
    free(copy);
    vlm_buffer_release(&out);
}

/* The size is found in the header alone, and never beyond what is there. */
static void size_of_an_image(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    encode_image(&out);
    const size_t n = out.size;
    vlm_buffer_text(&out, "what follows");
    assert_int_equal(vlm_stored_image_size(out.data, out.size), n);
    assert_int_equal(vlm_stored_image_size(out.data, n), n);
    for (size_t size = 0; size < n; size++)
        assert_int_equal(vlm_stored_image_size(out.data, size), 0);
    memset(out.data + 32, 0xff, 8); /* two sizes whose sum does not fit in 32 bits */
    assert_int_equal(vlm_stored_image_size(out.data, out.size), 0);
    vlm_buffer_release(&out);
}

static void codes_come_back(void **state)
{
    (void)state;
    uint16_t codes[VLM_CODES], found[VLM_CODES];
    uint8_t bytes[VLM_CODES_BYTES];
    for (size_t i = 0; i < VLM_CODES; i++)
        codes[i] = (uint16_t)(i * 256 + 255 - i);
    vlm_codes_encode(bytes, codes);
    assert_memory_equal(bytes + 2, "\xfe\x01", 2); /* little-endian */
    vlm_codes_decode(found, bytes);
    assert_memory_equal(found, codes, sizeof(codes));
}

/* Tokenizers see the samples of the stored JPEG, which are not those that went into it. */
static void squares_come_back_as_their_jpeg_has_them(void **state)
{
    (void)state;
    static uint8_t square[VLM_SQUARE_BYTES], found[VLM_SQUARE_BYTES], again[VLM_SQUARE_BYTES];
    struct vlm_buffer jpeg = { 0 };
    struct vlm_arena arena;
    struct vlm_err err = { 0 };
    for (size_t i = 0; i < VLM_SQUARE_BYTES; i++)
        square[i] = (uint8_t)(i / 3 % 256 + i % 3 * 40 + i / 9000);
    vlm_arena_init(&arena, 64 << 20);
    assert_int_equal(vlm_rgb_to_jpeg(&jpeg, square, 256, 256, 95, &err), VLM_OK);
    assert_int_equal(vlm_stored_square_decode(found, jpeg.data, jpeg.size, &arena, &err), VLM_OK);
    assert_int_equal(vlm_stored_square_decode(again, jpeg.data, jpeg.size, &arena, &err), VLM_OK);
    assert_memory_equal(found, again, sizeof(found));
    assert_memory_not_equal(found, square, sizeof(found));
    int worst = 0;
    for (size_t i = 0; i < VLM_SQUARE_BYTES; i++)
        worst = VLM_MAX(worst, abs(found[i] - square[i]));
    assert_true(worst > 0 && worst < 160); /* chroma of hard edges is blurred */

    vlm_buffer_reset(&jpeg);
    assert_int_equal(vlm_rgb_to_jpeg(&jpeg, square, 128, 256, 95, &err), VLM_OK);
    assert_int_equal(vlm_stored_square_decode(found, jpeg.data, jpeg.size, &arena, &err),
                     VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "128 x 256"));
    assert_int_equal(vlm_stored_square_decode(found, jpeg.data, 100, &arena, &err), VLM_EFORMAT);
    assert_int_equal(vlm_stored_square_decode(found, jpeg.data, 0, &arena, &err), VLM_EFORMAT);
    vlm_arena_release(&arena);
    vlm_buffer_release(&jpeg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(document_comes_back),
        cmocka_unit_test(empty_document_comes_back),
        cmocka_unit_test(join_writes_its_results),
        cmocka_unit_test(join_refuses_what_is_damaged_or_cut),
        cmocka_unit_test(document_cut_anywhere_is_refused),
        cmocka_unit_test(document_with_any_bit_flipped_is_refused),
        cmocka_unit_test(forged_documents_are_harmless),
        cmocka_unit_test(document_that_does_not_fit_in_the_arena_is_an_error),
        cmocka_unit_test(image_comes_back),
        cmocka_unit_test(damaged_image_is_refused),
        cmocka_unit_test(forged_images_stay_inside_their_bytes),
        cmocka_unit_test(size_of_an_image),
        cmocka_unit_test(codes_come_back),
        cmocka_unit_test(squares_come_back_as_their_jpeg_has_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
