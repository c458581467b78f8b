/* normalize.h - what happens to text before it is cut: Unicode forms, case, accents, replacements.
 *
 *   struct vlm_normal normal = { 0 };
 *   rc = vlm_normal_set(&normal, text, n, &err);                 // every byte comes from itself
 *   rc = vlm_normalize(&normal, steps, n_steps, &err);
 *   // normal.text[i] came from the bytes [normal.start[i], normal.end[i]) of the text
 *   vlm_normal_release(&normal);
 *
 * Steps are those of tokenizer.json with the same meaning as in the package tokenizers. */
#ifndef VLM_TOKENIZE_NORMALIZE_H
#define VLM_TOKENIZE_NORMALIZE_H

#include "base/vlm.h"

struct vlm_pattern;  /* pattern.h */
struct vlm_charsmap; /* charsmap.h */

enum vlm_normalizer_kind {
    VLM_NORMALIZE_NFC,
    VLM_NORMALIZE_NFD,
    VLM_NORMALIZE_NFKC,
    VLM_NORMALIZE_NFKD,
    VLM_NORMALIZE_LOWERCASE,
    VLM_NORMALIZE_STRIP_ACCENTS, /* removes all marks, \p{M}; BERT's accents are \p{Mn} only */
    VLM_NORMALIZE_BERT,          /* flags below */
    VLM_NORMALIZE_STRIP,         /* white space at the ends; flags below */
    VLM_NORMALIZE_REPLACE,       /* pattern by content */
    VLM_NORMALIZE_PREPEND,       /* content, unless the text is empty */
    VLM_NORMALIZE_BYTE_LEVEL,    /* GPT-2's spelling of bytes as a normalizer */
    VLM_NORMALIZE_NMT,
    VLM_NORMALIZE_PRECOMPILED, /* charsmap */
};

enum vlm_normalizer_flag {
    VLM_BERT_CLEAN_TEXT = 1,
    VLM_BERT_CHINESE_CHARS = 2,
    VLM_BERT_STRIP_ACCENTS = 4,
    VLM_BERT_LOWERCASE = 8,
    VLM_STRIP_LEFT = 16,
    VLM_STRIP_RIGHT = 32,
};

struct vlm_normalizer {
    enum vlm_normalizer_kind kind;
    unsigned flags;
    struct vlm_pattern *pattern;   /* of REPLACE; borrowed */
    struct vlm_charsmap *charsmap; /* of PRECOMPILED; borrowed */
    const char *content;           /* of REPLACE and PREPEND; borrowed */
    size_t content_size;
};

/* A text on its way, and where each of its bytes came from: start and end never go back from byte
 * to byte. Zeroed it is empty. One owner, no threads. */
struct vlm_normal {
    char *text;
    uint32_t *start, *end; /* [n] of each byte: the bytes of the original it came from */
    size_t n, capacity;
    uint64_t work; /* characters of the text after each step that was ever taken */
    void *scratch; /* of normalize.c */
};

/* Begins with n bytes of text, which are copied; memory is used again. VLM_ELIMIT: over 4 GiB. */
VLM_MUST_CHECK int vlm_normal_set(struct vlm_normal *normal, const char *text, size_t n,
                                  struct vlm_err *err);
/* Takes the steps in order. Linear in the text and its result. Bytes that are not UTF-8 stay as
 * they are, each a character of its own. VLM_ELIMIT: a result has over VLM_NORMAL_RATIO_MAX
 * characters for each byte, or what vlm_pattern_next() gives; the text is as before then. */
VLM_MUST_CHECK int vlm_normalize(struct vlm_normal *normal, const struct vlm_normalizer *steps,
                                 size_t n_steps, struct vlm_err *err);
void vlm_normal_release(struct vlm_normal *normal);

#endif
