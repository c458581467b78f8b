/* bpe.h - byte-pair encoding: the merges, and words into ids (Sennrich, Haddow and Birch 2016,
 * "Neural machine translation of rare words with subword units", algorithm 1; bytes as in GPT-2).
 *
 *   const struct vlm_bpe_source source = { .pieces = pieces, .n_pieces = n, .merges = merges, .n_merges = m,
 *                                          .byte_ids = byte_ids };
 *   rc = vlm_bpe_new(&bpe, &source, &err);
 *   rc = vlm_bpe_cache_new(&cache, bpe, &err);                  // one a thread
 *   rc = vlm_bpe_text(cache, &tokens, VLM_SPLIT_GPT2, text, n, 0, &err);
 *
 * A word is merged by the pair of lowest rank first, the leftmost of equals. Short words are looked up in a
 * cache, long ones merged by lists of equal rank: O(n log n). */
#ifndef VLM_TOKENIZE_BPE_H
#define VLM_TOKENIZE_BPE_H

#include "base/bytes.h"
#include "tokenize/bpe/tokens.h"
#include "tokenize/unicode/byte_spelling.h"
#include "tokenize/unicode/split.h"

#define VLM_NO_TOKEN UINT32_MAX

struct vlm_bpe_merge {
    uint32_t left, right, result; /* ids; ranks are places in the list */
};

struct vlm_bpe_source {
    const struct vlm_bytes
        *pieces; /* [n_pieces] bytes of each id; at NULL: no piece. Borrowed during new only */
    uint32_t n_pieces;
    const struct vlm_bpe_merge *merges; /* [n_merges]; pairs are distinct */
    size_t n_merges;
    const uint32_t
        *byte_ids; /* [256] ids that bytes begin as; NULL: only vlm_bpe_merge() is used */
    const uint32_t
        *last_byte_ids; /* [256] likewise for the last byte of a word (</w>); NULL: as byte_ids */
    bool
        whole_words; /* a word that is a piece is that piece, whatever the merges say (ignore_merges) */
    bool
        rank_by_result; /* merges into one id have one rank, that of the first of them (tiktoken) */
};

/* Tables that never change: any threads read them. The caller frees *out, NULL after a failure.
 * VLM_EFORMAT: an id that is none, a pair twice, a byte without a piece; VLM_ELIMIT: 2^28 merges. */
struct vlm_bpe;
VLM_MUST_CHECK int vlm_bpe_new(struct vlm_bpe **out, const struct vlm_bpe_source *source,
                               struct vlm_err *err);
void vlm_bpe_free(struct vlm_bpe *bpe); /* NULL is fine */

/* A symbol of a word on its way: an id and the bytes of text it covers. */
struct vlm_bpe_symbol {
    uint32_t id, bytes;
};

/* Words that were seen, and scratch; one thread. bpe must outlive it. */
struct vlm_bpe_cache;
VLM_MUST_CHECK int vlm_bpe_cache_new(struct vlm_bpe_cache **out, const struct vlm_bpe *bpe,
                                     struct vlm_err *err);
void vlm_bpe_cache_free(struct vlm_bpe_cache *cache); /* NULL is fine */

/* Merges n symbols in place; returns how many remain, or SIZE_MAX when memory ran out. O(n log n). */
size_t vlm_bpe_merge(struct vlm_bpe_cache *cache, struct vlm_bpe_symbol *symbols, size_t n);

/* Appends the tokens of one word of n bytes that stands at byte `at` of its text, for spans, which end
 * below 4 GiB. VLM_ENOMEM: some may have been appended. */
VLM_MUST_CHECK int vlm_bpe_word(struct vlm_bpe_cache *cache, struct vlm_tokens *tokens,
                                const char *word, size_t n, size_t at, struct vlm_err *err);

/* The same for a text that a scanner cuts into words. Spans are places in text plus `at`. */
VLM_MUST_CHECK int vlm_bpe_text(struct vlm_bpe_cache *cache, struct vlm_tokens *tokens,
                                enum vlm_split split, const char *text, size_t n, size_t at,
                                struct vlm_err *err);

#endif
