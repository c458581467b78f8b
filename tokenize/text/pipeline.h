/* pipeline.h - a text on its way to tokens: added tokens, normalizers, pre-tokenizers, model. */
#ifndef VLM_TOKENIZE_PIPELINE_H
#define VLM_TOKENIZE_PIPELINE_H

#include "tokenize/text/text_internal.h"

/* Bytes [start, end) of a text in work. */
struct vlm_word {
    uint32_t start, end;
};

/* A text and the words it was cut into. Each byte knows the bytes of the original that it came from; as long as
 * nothing was changed that is itself, and from is NULL. */
struct vlm_work {
    const char *text;
    const uint32_t *from, *to; /* [n]; NULL: byte i is byte base + i of the original */
    size_t n, base;
    struct vlm_word *words;
    size_t n_words, words_capacity;
    /* Of texts that were made here: */
    char *own_text;
    uint32_t *own_from, *own_to;
    size_t capacity;
};

/* A stretch of a word, and whether a pattern matched it. */
struct vlm_stretch {
    uint32_t start, end;
    bool match;
};

/* What an encoder needs to itself; zero it to begin. One thread. */
struct vlm_pipeline {
    const struct vlm_text_tokenizer *tokenizer;
    struct vlm_bpe_cache *cache;           /* NULL unless the model is BPE */
    struct vlm_pattern_matcher **matchers; /* [n_pre_tokenizers], NULL where there is no pattern */
    struct vlm_normalizer *normalizers;    /* [n_normalizers] */
    struct vlm_normal normal;
    struct vlm_buffer repaired; /* the text with U+FFFD for what is not UTF-8 */
    struct vlm_work work, next; /* steps read work and may make next of it, which takes its place */
    struct vlm_stretch *stretches;
    size_t n_stretches, stretches_capacity;
    struct vlm_bpe_symbol *symbols;
    size_t symbols_capacity;
    struct vlm_unigram_path path;
};

VLM_MUST_CHECK int vlm_pipeline_init(struct vlm_pipeline *pipeline,
                                     const struct vlm_text_tokenizer *tokenizer,
                                     struct vlm_err *err);
void vlm_pipeline_release(struct vlm_pipeline *pipeline);

/* Appends the tokens of a text; after a failure tokens may hold some of them. */
VLM_MUST_CHECK int vlm_pipeline_run(struct vlm_pipeline *pipeline, struct vlm_tokens *tokens,
                                    const char *text, size_t n, unsigned flags,
                                    struct vlm_err *err);

/* pre_tokenize.c: cuts pipeline->work, which holds one word, by all steps. */
VLM_MUST_CHECK int vlm_pre_tokenize(struct vlm_pipeline *pipeline, struct vlm_err *err);
VLM_MUST_CHECK bool vlm_work_add_word(struct vlm_work *work, size_t start, size_t end);

/* \w of the package: letters, marks, digits, connectors and joiners. */
bool vlm_is_word_char(uint32_t c);

#endif
