/* random.h - counter-based random numbers: a value is a pure function of (seed, stream, counter).
 *
 *   struct vlm_random random = vlm_random_at(seed, STREAM_PAGE, page_number);
 *   unsigned sides = 3 + (unsigned)vlm_random_below(&random, 4);
 *
 * Two generators with different keys are independent, so work can be done in any order and by any
 * number of threads with the same result. The mixing is SplitMix64 (Steele, Lea and Flood 2014,
 * "Fast splittable pseudorandom number generators"), keyed twice. Not for secrets. */
#ifndef VLM_BASE_RANDOM_H
#define VLM_BASE_RANDOM_H

#include "base/vlm.h"

struct vlm_random {
    uint64_t key, counter;
};

static inline uint64_t vlm_random_mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* The generator of item number `counter` of a stream. */
static inline struct vlm_random vlm_random_at(uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint64_t key = vlm_random_mix(seed + 0x9e3779b97f4a7c15u);
    key = vlm_random_mix(key ^ vlm_random_mix(stream + 0xd1b54a32d192ed03u));
    key = vlm_random_mix(key ^ vlm_random_mix(counter + 0x8cb92ba72f3d8dd7u));
    return (struct vlm_random){ .key = key };
}

static inline uint64_t vlm_random_next(struct vlm_random *random)
{
    return vlm_random_mix(random->key + ++random->counter * 0x9e3779b97f4a7c15u);
}

/* 0 to n - 1, n > 0: multiply and take the upper half. The bias is below n / 2^64. */
static inline uint64_t vlm_random_below(struct vlm_random *random, uint64_t n)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)vlm_random_next(random) * n >> 64);
}

/* low to high, both included. */
static inline int64_t vlm_random_between(struct vlm_random *random, int64_t low, int64_t high)
{
    return low + (int64_t)vlm_random_below(random, (uint64_t)(high - low) + 1);
}

/* [0, 1), 53 bits. */
static inline double vlm_random_unit(struct vlm_random *random)
{
    return (double)(vlm_random_next(random) >> 11) * 0x1p-53;
}

/* True in `percent` of 100 cases. */
static inline bool vlm_random_chance(struct vlm_random *random, unsigned percent)
{
    return vlm_random_below(random, 100) < percent;
}

#endif
