/* permutation.c - a Feistel network over the smallest power of two that holds n, walked until it lands
 * below n (Black and Rogaway 2002, "Ciphers with arbitrary finite domains", section 4: cycle walking).
 *
 * The two parts differ in width by one bit when the number of bits is odd, so that the domain is less than
 * 2 n and a walk takes less than two steps on the average. */
#include "base/vlm.h"

#include "base/random.h"
#include "trainer/data/permutation.h"

struct vlm_permutation vlm_permutation_of(uint64_t n, uint64_t seed, uint64_t stream,
                                          uint64_t epoch)
{
    struct vlm_permutation permutation = { .n = n };
    struct vlm_random random = vlm_random_at(seed, stream, epoch);
    unsigned bits = 0;
    VLM_BUG_IF(n > UINT64_C(1) << 62);
    while (UINT64_C(1) << bits < n)
        bits++;
    permutation.low_bits = (bits + 1) / 2;
    permutation.high_bits = bits / 2;
    for (size_t i = 0; i < VLM_PERMUTATION_ROUNDS; i++)
        permutation.key[i] = vlm_random_next(&random);
    return permutation;
}

static uint64_t encipher(const struct vlm_permutation *permutation, uint64_t i)
{
    const uint64_t low_mask = (UINT64_C(1) << permutation->low_bits) - 1;
    const uint64_t high_mask = (UINT64_C(1) << permutation->high_bits) - 1;
    uint64_t low = i & low_mask, high = i >> permutation->low_bits;
    for (size_t round = 0; round < VLM_PERMUTATION_ROUNDS; round += 2) {
        high ^= vlm_random_mix(permutation->key[round] ^ low) & high_mask;
        low ^= vlm_random_mix(permutation->key[round + 1] ^ high) & low_mask;
    }
    return high << permutation->low_bits | low;
}

uint64_t vlm_permutation_at(const struct vlm_permutation *permutation, uint64_t i)
{
    VLM_BUG_IF(i >= permutation->n);
    do
        i = encipher(permutation, i);
    while (i >= permutation->n);
    return i;
}
