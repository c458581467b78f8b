/* set_fixture.h - small tokenizers and small shard sets made by hand, for tests of codes in sets. */
#ifndef VLM_TESTS_SET_FIXTURE_H
#define VLM_TESTS_SET_FIXTURE_H

#include "base/file.h"
#include "base/limits.h"
#include "shard/parts/part.h"
#include "shard/parts/set.h"
#include "vqgan/tokenizer/model.h"

#include <setjmp.h>

#include <cmocka.h>

enum { FIXTURE_CODES = 27 };

/* A tokenizer that sees the mean colour of each patch, three levels a channel. Codes grow with the seed's
 * order of the channels; scale 1 works, 3e38 gives no number but for grey. */
static inline void write_model(const char *folder, unsigned seed, float scale)
{
    static float mean[16 * 16 * 3], basis[3][16 * 16 * 3], codebook[FIXTURE_CODES][3];
    struct vlm_err err = { 0 };
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < VLM_COUNTOF(mean); i++)
            basis[c][i] = i % 3 == (c + seed) % 3 ? scale / 16 : 0;
    for (unsigned k = 0; k < FIXTURE_CODES; k++) {
        codebook[k][0] = 12 * ((float)(k % 3) - 1);
        codebook[k][1] = 12 * ((float)(k / 3 % 3) - 1);
        codebook[k][2] = 12 * ((float)(k / 9) - 1);
    }
    const struct vlm_model_tensor tensors[] = {
        { "mean", 1, { VLM_COUNTOF(mean) }, mean },
        { "basis", 2, { 3, VLM_COUNTOF(mean) }, basis[0] },
        { "codebook", 2, { FIXTURE_CODES, 3 }, codebook[0] },
    };
    const struct vlm_model_content content = { .kind = "pca",
                                               .architecture = "{\"patch\": 16, \"components\": 3}",
                                               .codebook_size = FIXTURE_CODES,
                                               .code_width = 3,
                                               .tensors = tensors,
                                               .count = VLM_COUNTOF(tensors) };
    int rc = vlm_model_write(folder, &content, NULL, &err);
    if (rc < 0)
        print_error("%s\n", err.msg);
    assert_int_equal(rc, VLM_OK);
}

/* A square of coloured tiles; number 0 is grey. */
static inline void fill_square(uint8_t square[VLM_SQUARE_BYTES], unsigned number)
{
    for (size_t i = 0; i < VLM_SQUARE_BYTES; i++) {
        unsigned x = (unsigned)(i / 3 % VLM_SQUARE_SIDE) / 32, c = (unsigned)(i % 3);
        unsigned y = (unsigned)(i / 3 / VLM_SQUARE_SIDE) / 32;
        square[i] = number ? (uint8_t)((x * 7 + y * 5 + c * 3 + number * 11) * 37) : 128;
    }
}

struct fixture_set {
    size_t parts, images; /* images of a part; one document shows all of them */
    bool no_squares;
};

/* One document with n images, "ok", whose SHA-256 are those of part and number. */
static inline void fixture_sha(uint8_t sha[VLM_SHA256_SIZE], size_t part, size_t number)
{
    uint8_t name[2] = { (uint8_t)part, (uint8_t)number };
    vlm_sha256(sha, name, sizeof(name));
}

static inline void add_fixture_document(struct vlm_part *part, size_t number, size_t n)
{
    static const struct vlm_event events[] = {
        { .kind = VLM_EVENT_TEXT, .start = 0, .length = 5, .offset = 0 },
    };
    struct vlm_document_image images[64] = { { .status = VLM_IMAGE_OK } };
    struct vlm_buffer stored = { 0 };
    struct vlm_err err = { 0 };
    for (size_t i = 0; i < n; i++) {
        images[i] = (struct vlm_document_image){
            .status = VLM_IMAGE_OK, .format = VLM_FORMAT_PNG, .width = 300, .height = 300
        };
        fixture_sha(images[i].sha256, number, i);
    }
    struct vlm_document document = {
        .text = "Hello",
        .text_size = 5,
        .events = (struct vlm_event *)events,
        .n_events = 1,
        .images = images,
        .n_images = n,
        .url = "http://x/",
        .title = "",
        .lang = "",
        .charset = "utf-8",
        .source = { .file = "f", .offset = number },
    };
    vlm_stored_document_encode(&stored, &document);
    assert_int_equal(vlm_part_add_document(part, stored.data, stored.size, &err), VLM_OK);
    vlm_buffer_release(&stored);
}

struct fixture_image {
    uint8_t sha[VLM_SHA256_SIZE];
    unsigned number;
};

static inline int compare_fixture_images(const void *a, const void *b)
{
    return memcmp(a, b, VLM_SHA256_SIZE);
}

static inline void add_fixture_images(struct vlm_part *part, size_t number,
                                      const struct fixture_set *set)
{
    static uint8_t square[VLM_SQUARE_BYTES];
    struct fixture_image images[64] = { { .number = 0 } };
    struct vlm_err err = { 0 };
    for (unsigned i = 0; i < set->images; i++) {
        fixture_sha(images[i].sha, number, i);
        images[i].number = i;
    }
    qsort(images, set->images, sizeof(images[0]), compare_fixture_images);
    for (size_t i = 0; i < set->images; i++) {
        struct vlm_buffer jpeg = { 0 }, stored = { 0 };
        fill_square(square, images[i].number);
        assert_int_equal(vlm_rgb_to_jpeg(&jpeg, square, 256, 256, 95, &err), VLM_OK);
        vlm_stored_image_encode(
            &stored, &(struct vlm_stored_image){ .format = VLM_FORMAT_PNG,
                                                 .orientation = 1,
                                                 .width = 300,
                                                 .height = 300,
                                                 .square = set->no_squares ? NULL : jpeg.data,
                                                 .square_size = set->no_squares ? 0 : jpeg.size });
        assert_int_equal(vlm_part_add_image(part, images[i].sha, stored.data, stored.size, &err),
                         VLM_OK);
        vlm_buffer_release(&jpeg);
        vlm_buffer_release(&stored);
    }
}

/* A set without codes, as seal writes it. */
static inline void write_set(const char *folder, const struct fixture_set *set)
{
    static const char plan[] = "{\"format\": 2, \"options\": {\"keep\": \"square\", "
                               "\"image-tokenizer\": \"none\", \"shard-bytes\": 1048576}}";
    struct vlm_part_info parts[8] = { { .size = 0 } };
    struct vlm_run_report report = { .parts = parts, .n_parts = set->parts };
    struct vlm_key url = vlm_key_of("http://x/", 9);
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_folder_make(folder, &err), VLM_OK);
    for (size_t i = 0; i < set->parts; i++) {
        struct vlm_part *part;
        vlm_part_name(parts[i].name, i, 1);
        char *path = vlm_path_join(folder, parts[i].name);
        assert_int_equal(vlm_part_create(&part, path, VLM_MIB, &report.tokenizers, &err), VLM_OK);
        add_fixture_document(part, i, set->images);
        add_fixture_images(part, i, set);
        assert_int_equal(vlm_part_add_url(part, &url, 0, &err), VLM_OK);
        assert_int_equal(vlm_part_add_facts(part, 1, set->images, plan, sizeof(plan) - 1,
                                            &report.tokenizers, NULL, &err),
                         VLM_OK);
        assert_int_equal(vlm_part_finish(part, &err), VLM_OK);
        assert_int_equal(vlm_part_measure(&parts[i], path, &err), VLM_OK);
        parts[i].documents = 1;
        parts[i].images = set->images;
        free(path);
    }
    struct vlm_buffer text = { 0 }, plan_text = { 0 };
    vlm_buffer_text(&plan_text, plan);
    vlm_manifest_write(&text, &report, &plan_text);
    char *path = vlm_path_join(folder, "manifest.json");
    assert_int_equal(vlm_file_write(path, text.data, text.size, &err), VLM_OK);
    free(path);
    vlm_buffer_release(&text);
    vlm_buffer_release(&plan_text);
    for (size_t i = 0; i < set->parts; i++)
        free(parts[i].blocks);
}

#endif
