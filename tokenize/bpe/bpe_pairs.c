/* bpe_pairs.c - a hash table of pairs, one array of all places, a binary heap with corrections put off. */
#include "base/vlm.h"

#include "base/array.h"
#include "tokenize/bpe/bpe_pairs.h"

enum { CAPACITY_MIN = 1024 };

static uint64_t key_of(uint32_t left, uint32_t right)
{
    return (uint64_t)left << 32 | right;
}

/* Ids are ours and dense: a multiplication spreads them. */
static size_t hash(uint64_t key)
{
    uint64_t product = (key ^ key >> 32) * 0x9e3779b97f4a7c15;
    return (size_t)(product ^ product >> 29);
}

/* The slot of a key, or the free one where it belongs. */
static struct vlm_counted_pair *find(const struct vlm_bpe_pairs *pairs, uint64_t key)
{
    size_t mask = pairs->capacity - 1, at = hash(key) & mask;
    while (pairs->table[at].taken && pairs->table[at].key != key)
        at = (at + 1) & mask;
    return &pairs->table[at];
}

static bool grow_table(struct vlm_bpe_pairs *pairs)
{
    struct vlm_bpe_pairs larger = { .capacity =
                                        pairs->capacity ? 2 * pairs->capacity : CAPACITY_MIN };
    larger.table = calloc(larger.capacity, sizeof(*larger.table));
    if (!larger.table)
        return false;
    for (size_t i = 0; i < pairs->capacity; i++)
        if (pairs->table[i].taken)
            *find(&larger, pairs->table[i].key) = pairs->table[i];
    free(pairs->table);
    pairs->table = larger.table;
    pairs->capacity = larger.capacity;
    return true;
}

/* Room for one more pair of n places. */
static bool reserve_pair(struct vlm_bpe_pairs *pairs, uint32_t n)
{
    if (pairs->n >= pairs->capacity / 8 * 5 && !grow_table(pairs))
        return false;
    return vlm_array_reserve(&pairs->places, &pairs->places_capacity, pairs->n_places, n,
                             sizeof(*pairs->places)) &&
           vlm_array_reserve(&pairs->heap, &pairs->heap_capacity, pairs->n_heap, 1,
                             sizeof(*pairs->heap));
}

static bool comes_before(struct vlm_bpe_candidate a, struct vlm_bpe_candidate b)
{
    return a.count != b.count ? a.count > b.count : a.key < b.key;
}

static void push(struct vlm_bpe_pairs *pairs, struct vlm_bpe_candidate candidate)
{
    size_t slot = pairs->n_heap++;
    while (slot && comes_before(candidate, pairs->heap[(slot - 1) / 2])) {
        pairs->heap[slot] = pairs->heap[(slot - 1) / 2];
        slot = (slot - 1) / 2;
    }
    pairs->heap[slot] = candidate;
}

/* Puts a candidate into the place of the first. */
static void replace_first(struct vlm_bpe_pairs *pairs, struct vlm_bpe_candidate candidate)
{
    size_t slot = 0;
    for (;;) {
        size_t child = 2 * slot + 1;
        if (child + 1 < pairs->n_heap && comes_before(pairs->heap[child + 1], pairs->heap[child]))
            child++;
        if (child >= pairs->n_heap || !comes_before(pairs->heap[child], candidate))
            break;
        pairs->heap[slot] = pairs->heap[child];
        slot = child;
    }
    pairs->heap[slot] = candidate;
}

int vlm_bpe_pairs_new(struct vlm_bpe_pairs *pairs, uint32_t left, uint32_t right, uint64_t count,
                      uint32_t n, size_t *at, struct vlm_err *err)
{
    uint64_t key = key_of(left, right);
    if (!reserve_pair(pairs, n))
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu pairs", pairs->n + 1);
    struct vlm_counted_pair *pair = find(pairs, key);
    VLM_BUG_IF(pair->taken);
    *pair = (struct vlm_counted_pair){ key, count, pairs->n_places, n, 1 };
    *at = pairs->n_places;
    pairs->n_places += n;
    pairs->n++;
    push(pairs, (struct vlm_bpe_candidate){ count, key });
    return VLM_OK;
}

void vlm_bpe_pairs_take(struct vlm_bpe_pairs *pairs, uint32_t left, uint32_t right, uint64_t less)
{
    struct vlm_counted_pair *pair = pairs->n ? find(pairs, key_of(left, right)) : NULL;
    if (pair && pair->taken)
        pair->count -= less;
}

const struct vlm_counted_pair *vlm_bpe_pairs_pop(struct vlm_bpe_pairs *pairs, uint64_t min_count)
{
    while (pairs->n_heap) {
        struct vlm_bpe_candidate top = pairs->heap[0];
        const struct vlm_counted_pair *pair = find(pairs, top.key);
        if (pair->count == top.count) {
            replace_first(pairs, pairs->heap[--pairs->n_heap]);
            return pair->count >= min_count ? pair : NULL;
        }
        top.count = pair->count;
        if (top.count >= min_count)
            replace_first(pairs, top);
        else
            replace_first(pairs, pairs->heap[--pairs->n_heap]);
    }
    return NULL;
}

void vlm_bpe_pairs_release(struct vlm_bpe_pairs *pairs)
{
    free(pairs->table);
    free(pairs->places);
    free(pairs->heap);
    *pairs = (struct vlm_bpe_pairs){ 0 };
}
