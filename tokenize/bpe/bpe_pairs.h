/* bpe_pairs.h - pairs of neighbouring symbols: how often, where, and which is the most frequent.
 *
 *   struct vlm_bpe_pairs pairs = { 0 };
 *   rc = vlm_bpe_pairs_new(&pairs, left, right, count, n, &places, &err);  // fill places[0..n)
 *   vlm_bpe_pairs_take(&pairs, left, right, less);                         // the count falls
 *   while ((pair = vlm_bpe_pairs_pop(&pairs, 2))) ...                      // most frequent first
 *   vlm_bpe_pairs_release(&pairs);
 *
 * The count of a pair never grows after it was made: byte-pair encoding makes all of a new symbol's neighbours in one
 * step. So the heap may hold old counts, which are too large: an entry is corrected when it comes to the top. */
#ifndef VLM_TOKENIZE_BPE_PAIRS_H
#define VLM_TOKENIZE_BPE_PAIRS_H

#include "base/vlm.h"

struct vlm_counted_pair {
    uint64_t key; /* left << 32 | right */
    uint64_t count;
    size_t at;      /* of its places in pairs->places, in ascending order */
    uint32_t n;     /* places; some may be outdated */
    uint32_t taken; /* 1: the slot of the table is in use */
};

struct vlm_bpe_candidate {
    uint64_t count, key;
};

/* Zeroed it is empty. One owner. */
struct vlm_bpe_pairs {
    struct vlm_counted_pair *table; /* [capacity], open addressing */
    size_t capacity, n;
    uint32_t *places;
    size_t n_places, places_capacity;
    struct vlm_bpe_candidate *heap; /* the higher count first, then the lower key */
    size_t n_heap, heap_capacity;
};

/* A pair with n places, which the caller writes to places[*at ..]; it must be new. */
VLM_MUST_CHECK int vlm_bpe_pairs_new(struct vlm_bpe_pairs *pairs, uint32_t left, uint32_t right,
                                     uint64_t count, uint32_t n, size_t *at, struct vlm_err *err);

/* Lowers the count of a pair, if there is such a pair. */
void vlm_bpe_pairs_take(struct vlm_bpe_pairs *pairs, uint32_t left, uint32_t right, uint64_t less);

/* The pair of the highest count, of equals that with the lower left, then right; it is not given again. NULL when
 * none has min_count. Valid until the next pair is made. */
const struct vlm_counted_pair *vlm_bpe_pairs_pop(struct vlm_bpe_pairs *pairs, uint64_t min_count);

void vlm_bpe_pairs_release(struct vlm_bpe_pairs *pairs);

#endif
