/* permutation.h - an order of n things that is computed, not stored.
 *
 *   struct vlm_permutation order = vlm_permutation_of(n, seed, source, epoch);
 *   for (uint64_t i = 0; i < n; i++)
 *       ... vlm_permutation_at(&order, i) ...                  // each of 0 to n - 1 once
 */
#ifndef VLM_TRAINER_PERMUTATION_H
#define VLM_TRAINER_PERMUTATION_H

#include "base/vlm.h"

enum { VLM_PERMUTATION_ROUNDS = 10 };

/* Plain data; a pure function of its four numbers. */
struct vlm_permutation {
    uint64_t n;
    uint64_t key[VLM_PERMUTATION_ROUNDS];
    unsigned low_bits, high_bits; /* of the smallest power of two that is at least n */
};

/* n is at most 2^62. */
struct vlm_permutation vlm_permutation_of(uint64_t n, uint64_t seed, uint64_t stream,
                                          uint64_t epoch);

/* Where i, below n, goes. */
uint64_t vlm_permutation_at(const struct vlm_permutation *permutation, uint64_t i);

#endif
