/* corpus_fixture.h - shard sets of made-up pages, for tests of what learns from them.
 *
 *   write_corpus(folder, &(struct corpus_set){ .name = "a", .parts = 2, .documents = 30, .coded = true });
 *
 * Document number n of set "a" is http://a.org/n, a page with some paragraphs; every third has an image with
 * an alt text. */
#ifndef VLM_TESTS_CORPUS_FIXTURE_H
#define VLM_TESTS_CORPUS_FIXTURE_H

#include "base/limits.h"
#include "base/random.h"
#include "shard/parts/part.h"
#include "shard/parts/stored.h"
#include "tests/render_fixture.h"
#include "tests/sequence_fixture.h"
#include "trainer/data/loader.h"

enum { CORPUS_CODES = 32 };

struct corpus_set {
    const char *name;
    size_t parts;          /* at least 1 */
    size_t documents;      /* of each */
    bool coded;            /* images have codes of tokenizer */
    bool empty;            /* pages without text */
    bool uncoded_too;      /* every second image has no codes */
    const char *tokenizer; /* NULL: "pca-fixture" */
    const char *profile;   /* NULL: none */
};

static inline void corpus_image_sha(uint8_t sha[VLM_SHA256_SIZE], const struct corpus_set *set,
                                    uint64_t number)
{
    char name[64];
    snprintf(name, sizeof(name), "%s %" PRIu64, set->name, number);
    vlm_sha256(sha, name, strlen(name));
}

/* The page of document `number` of the set. */
static inline void corpus_html(struct vlm_buffer *html, const struct corpus_set *set,
                               uint64_t number)
{
    struct vlm_random random = vlm_random_at(strlen(set->name), 77, number);
    const uint64_t paragraphs = 1 + vlm_random_below(&random, 12);
    vlm_buffer_text(html, "<html><body>");
    for (uint64_t i = 0; !set->empty && i < paragraphs; i++) {
        vlm_buffer_printf(html, "<p>Paragraph %" PRIu64 " of page %" PRIu64 " of set %s says", i,
                          number, set->name);
        for (uint64_t k = vlm_random_below(&random, 30); k > 0; k--)
            vlm_buffer_printf(html, " word%" PRIu64, vlm_random_below(&random, 100));
        vlm_buffer_text(html, ".</p>");
    }
    if (!set->empty && number % 3 == 0)
        vlm_buffer_printf(html, "<img src=\"%" PRIu64 ".png\" alt=\"picture number %" PRIu64 "\">",
                          number, number);
    vlm_buffer_text(html, "<p></p></body></html>");
}

struct corpus_image {
    uint8_t sha[VLM_SHA256_SIZE];
    uint64_t number;
};

static inline int compare_corpus_images(const void *a, const void *b)
{
    return memcmp(a, b, VLM_SHA256_SIZE);
}

static inline void corpus_code(uint16_t codes[VLM_CODES], uint64_t number)
{
    struct vlm_random random = vlm_random_at(5, 5, number);
    for (size_t i = 0; i < VLM_CODES; i++)
        codes[i] = (uint16_t)vlm_random_below(&random, CORPUS_CODES);
}

static inline size_t add_corpus_documents(struct page_fixture *pages, struct vlm_part *part,
                                          const struct corpus_set *set, uint64_t first,
                                          struct corpus_image *images)
{
    struct vlm_err err = { 0 };
    size_t n = 0;
    for (uint64_t number = first; number < first + set->documents; number++) {
        struct vlm_buffer html = { 0 }, stored = { 0 };
        char url[80];
        corpus_html(&html, set, number);
        snprintf(url, sizeof(url), "http://%s.org/%" PRIu64, set->name, number);
        struct vlm_document *document = parse_bytes(pages, html.data, html.size, url);
        document->source = (struct vlm_source){ .file = "pages.warc", .offset = 1000 * number };
        for (size_t i = 0; i < document->n_images; i++) {
            corpus_image_sha(document->images[i].sha256, set, number);
            images[n].number = number;
            memcpy(images[n++].sha, document->images[i].sha256, VLM_SHA256_SIZE);
        }
        vlm_stored_document_encode(&stored, document);
        assert_int_equal(vlm_part_add_document(part, stored.data, stored.size, &err), VLM_OK);
        vlm_buffer_release(&html);
        vlm_buffer_release(&stored);
    }
    return n;
}

static inline void add_corpus_images(struct vlm_part *part, const struct corpus_set *set,
                                     struct corpus_image *images, size_t n)
{
    struct vlm_err err = { 0 };
    uint16_t codes[VLM_CODES];
    qsort(images, n, sizeof(*images), compare_corpus_images);
    for (size_t i = 0; i < n; i++) {
        struct vlm_buffer stored = { 0 };
        vlm_stored_image_encode(&stored,
                                &(struct vlm_stored_image){
                                    .format = 2, .orientation = 1, .width = 300, .height = 300 });
        assert_int_equal(vlm_part_add_image(part, images[i].sha, stored.data, stored.size, &err),
                         VLM_OK);
        corpus_code(codes, images[i].number);
        if (set->coded && !(set->uncoded_too && images[i].number % 2))
            assert_int_equal(vlm_part_add_codes(part, 0, images[i].sha, codes, &err), VLM_OK);
        vlm_buffer_release(&stored);
    }
}

static inline void write_corpus_manifest(const char *folder, struct vlm_part_info *parts, size_t n,
                                         const struct vlm_set_tokenizers *tokenizers,
                                         const char *plan)
{
    struct vlm_run_report report = { .parts = parts, .n_parts = n, .tokenizers = *tokenizers };
    struct vlm_buffer text = { 0 }, plan_text = { 0 };
    struct vlm_err err = { 0 };
    char *path = vlm_path_join(folder, "manifest.json");
    vlm_buffer_text(&plan_text, plan);
    vlm_manifest_write(&text, &report, &plan_text);
    assert_int_equal(vlm_file_write(path, text.data, text.size, &err), VLM_OK);
    free(path);
    vlm_buffer_release(&text);
    vlm_buffer_release(&plan_text);
}

/* A sealed set in a folder that is not there yet. */
static inline void write_corpus(const char *folder, const struct corpus_set *set)
{
    struct vlm_set_tokenizers tokenizers = { .n = set->coded };
    struct vlm_part_info *parts = calloc(set->parts, sizeof(*parts));
    struct corpus_image *images = calloc(set->documents + 1, sizeof(*images));
    struct vlm_err err = { 0 };
    void *pages = NULL;
    char plan[200];
    assert_non_null(parts);
    assert_non_null(images);
    assert_int_equal(page_setup(&pages), 0);
    snprintf(plan, sizeof(plan), "{\"format\": 2, \"options\": {\"profile\": \"%s\"}}",
             set->profile ? set->profile : "none");
    snprintf(tokenizers.list[0].id, sizeof(tokenizers.list[0].id), "%s",
             set->tokenizer ? set->tokenizer : "pca-fixture");
    tokenizers.list[0].codebook_size = CORPUS_CODES;
    assert_int_equal(vlm_folder_make(folder, &err), VLM_OK);
    for (size_t i = 0; i < set->parts; i++) {
        struct vlm_part *part;
        vlm_part_name(parts[i].name, i, 1);
        char *path = vlm_path_join(folder, parts[i].name);
        assert_int_equal(vlm_part_create(&part, path, VLM_MIB, &tokenizers, &err), VLM_OK);
        const size_t n = add_corpus_documents(pages, part, set, i * set->documents, images);
        add_corpus_images(part, set, images, n);
        assert_int_equal(vlm_part_add_facts(part, set->documents, n, plan, strlen(plan),
                                            &tokenizers, NULL, &err),
                         VLM_OK);
        assert_int_equal(vlm_part_finish(part, &err), VLM_OK);
        assert_int_equal(vlm_part_measure(&parts[i], path, &err), VLM_OK);
        parts[i].documents = set->documents;
        parts[i].images = n;
        free(path);
    }
    write_corpus_manifest(folder, parts, set->parts, &tokenizers, plan);
    for (size_t i = 0; i < set->parts; i++)
        free(parts[i].blocks);
    free(parts);
    free(images);
    page_teardown(&pages);
}

/* Appends text to a file of a set, or begins it. */
static inline void append_file(const char *folder, const char *name, const char *text)
{
    char *path = vlm_path_join(folder, name);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
    free(path);
}

/* Turns around a bit of the first place in a file where `find` stands. */
static inline void damage_file(const char *folder, const char *name, const char *find)
{
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    char *path = vlm_path_join(folder, name);
    assert_int_equal(vlm_file_read(&text, path, VLM_GIB, &err), VLM_OK);
    uint8_t *at = memmem(text.data, text.size, find, strlen(find));
    assert_non_null(at);
    *at ^= 1;
    assert_int_equal(vlm_file_write(path, text.data, text.size, &err), VLM_OK);
    vlm_buffer_release(&text);
    free(path);
}

/* Opens sets that must open. */
static inline struct vlm_corpus *open_corpus(const struct vlm_corpus_options *options)
{
    struct vlm_err err = { 0 };
    struct vlm_corpus *corpus;
    if (vlm_corpus_open(&corpus, options, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    return corpus;
}

#endif
