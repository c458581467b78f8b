/* bert_fixture.h - BERT's normalizer, cutting and WordPiece over a vocabulary file, for tests. */
#ifndef VLM_TESTS_BERT_FIXTURE_H
#define VLM_TESTS_BERT_FIXTURE_H

#include "base/vlm.h"

#include "base/file.h"
#include "base/limits.h"
#include "tokenize/unicode/normalize.h"
#include "tokenize/text/wordpiece.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct bert_fixture {
    struct vlm_buffer file;
    struct vlm_bytes *pieces;
    uint32_t n_pieces;
    struct vlm_wordpiece *wordpiece;
    struct vlm_normal normal;
    struct vlm_tokens tokens;
};

static inline void bert_fixture_release(struct bert_fixture *bert)
{
    vlm_wordpiece_free(bert->wordpiece);
    vlm_normal_release(&bert->normal);
    vlm_tokens_release(&bert->tokens);
    free(bert->pieces);
    vlm_buffer_release(&bert->file);
    *bert = (struct bert_fixture){ 0 };
}

/* Skips the test when the shared data is not here. */
static inline void bert_fixture_init(struct bert_fixture *bert)
{
    const char *shared = getenv("VLM_SHARED_DATA");
    char path[4096];
    struct vlm_err err = { 0 };
    *bert = (struct bert_fixture){ .tokens = { .with_spans = true } };
    snprintf(path, sizeof(path), "%s/tokenizers/tokenizer-bert/bert-base-uncased-vocab.txt",
             shared ? shared : "../shared/data");
    if (vlm_file_read(&bert->file, path, VLM_MIB, &err) != VLM_OK) {
        print_message("BERT's vocabulary is not here\n");
        vlm_buffer_release(&bert->file);
        skip();
    }
    bert->pieces = calloc(bert->file.size + 1, sizeof(*bert->pieces));
    assert_non_null(bert->pieces);
    uint32_t unknown = UINT32_MAX;
    for (size_t i = 0; i < bert->file.size; bert->n_pieces++) {
        const uint8_t *start = bert->file.data + i;
        const uint8_t *end = memchr(start, '\n', bert->file.size - i);
        end = end ? end : bert->file.data + bert->file.size;
        bert->pieces[bert->n_pieces] = (struct vlm_bytes){ start, end, false };
        if (end - start == 5 && !memcmp(start, "[UNK]", 5))
            unknown = bert->n_pieces;
        i = (size_t)(end - bert->file.data) + 1;
    }
    assert_int_not_equal(unknown, UINT32_MAX);
    struct vlm_wordpiece_source source = { .pieces = bert->pieces,
                                           .n_pieces = bert->n_pieces,
                                           .unknown = unknown,
                                           .prefix = "##",
                                           .word_max = 100 };
    assert_int_equal(vlm_wordpiece_new(&bert->wordpiece, &source, &err), VLM_OK);
}

/* The tokens of a text in bert->tokens; spans are bytes of the text. */
static inline void bert_fixture_encode(struct bert_fixture *bert, const char *text, size_t n)
{
    static const struct vlm_normalizer step = { .kind = VLM_NORMALIZE_BERT,
                                                .flags =
                                                    VLM_BERT_CLEAN_TEXT | VLM_BERT_CHINESE_CHARS |
                                                    VLM_BERT_STRIP_ACCENTS | VLM_BERT_LOWERCASE };
    struct vlm_err err = { 0 };
    struct vlm_normal *normal = &bert->normal;
    assert_int_equal(vlm_normal_set(normal, text, n, &err), VLM_OK);
    assert_int_equal(vlm_normalize(normal, &step, 1, &err), VLM_OK);
    bert->tokens.n = 0;
    size_t at = 0, bytes;
    while ((bytes = vlm_bert_word_next(normal->text, normal->n, &at))) {
        size_t first = bert->tokens.n;
        int rc = vlm_wordpiece_word(bert->wordpiece, &bert->tokens, normal->text + at, bytes, &err);
        assert_int_equal(rc, VLM_OK);
        for (size_t i = first; i < bert->tokens.n; i++) {
            struct vlm_token_span *span = &bert->tokens.spans[i];
            span->start = normal->start[at + span->start];
            span->end = normal->end[at + span->end - 1];
        }
        at += bytes;
    }
}

#endif
