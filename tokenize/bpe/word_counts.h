/* word_counts.h - reading back the words that were counted (bpe_train.h).
 *
 *   rc = vlm_word_counts_rewind(counts, &err);                  // after vlm_word_counts_end()
 *   while (rc == VLM_OK && (rc = vlm_word_counts_next(counts, &word, &err)) == VLM_OK)
 *       ... word.bytes, word.count ...
 *
 * Every word comes once, in no order that anything may depend on. One thread. */
#ifndef VLM_TOKENIZE_WORD_COUNTS_H
#define VLM_TOKENIZE_WORD_COUNTS_H

#include "tokenize/bpe/bpe_train.h"

struct vlm_word_count {
    const char *bytes; /* [n]; valid until the next call on the counts */
    size_t n;
    uint64_t count;
};

VLM_MUST_CHECK int vlm_word_counts_rewind(struct vlm_word_counts *counts, struct vlm_err *err);

/* VLM_OK, VLM_EOF or an error. */
VLM_MUST_CHECK int vlm_word_counts_next(struct vlm_word_counts *counts, struct vlm_word_count *word,
                                        struct vlm_err *err);

#endif
