/* bpe_merge.c - merging the symbols of a word, the pair of lowest rank first and the leftmost of
 * equals.
 *
 * Short words keep their symbols in a row and look for the least pair again and again; that is
 * quadratic, but on a few cache lines. Symbols of long ones are linked, and pairs wait for their
 * turn in a list for each rank, ordered by place. As pairs mostly come up in that order, with ranks
 * higher than those at work, an append is all it takes; for the others there is a heap. A pair whose
 * symbols were merged away is passed over when its turn comes: it no longer has the rank it waited
 * with. */
#include "base/vlm.h"

#include "tokenize/bpe/bpe_internal.h"

#define NONE UINT32_MAX

/* A symbol of a long word. */
struct vlm_bpe_link {
    uint32_t id, rank; /* rank of its merge with the next; NONE: there is none, or it is gone */
    uint32_t previous, next;
};

struct vlm_bpe_node {
    uint32_t at, next;
};

struct vlm_bpe_list {
    uint32_t first, last; /* nodes; first is NONE when it is empty */
};

void vlm_bpe_scratch_release(struct vlm_bpe_scratch *scratch)
{
    free(scratch->symbols);
    free(scratch->links);
    free(scratch->nodes);
    free(scratch->lists);
    free(scratch->waiting);
    free(scratch->heap);
    *scratch = (struct vlm_bpe_scratch){ 0 };
}

/* Room for n elements in an array whose contents do not matter. */
static bool grow(void *array, size_t *capacity, size_t n, size_t size)
{
    void **at = array;
    if (n <= *capacity)
        return true;
    if (n > SIZE_MAX / 2 / size)
        return false;
    free(*at);
    *at = malloc(n * 2 * size);
    *capacity = *at ? n * 2 : 0;
    return *at;
}

bool vlm_bpe_scratch_symbols(struct vlm_bpe_scratch *scratch, size_t n)
{
    return grow(&scratch->symbols, &scratch->symbols_capacity, n, sizeof *scratch->symbols);
}

size_t vlm_bpe_merge_short(const struct vlm_bpe *bpe, struct vlm_bpe_symbol *symbols,
                           uint64_t *merges, size_t n)
{
    while (n > 1) {
        size_t at = 0;
        uint64_t least = merges[0];
        for (size_t i = 1; i < n - 1; i++) {
            bool less = merges[i] < least; /* hard to foresee, so without a branch */
            least = less ? merges[i] : least;
            at = less ? i : at;
        }
        if (least == VLM_NO_MERGE)
            break;
        symbols[at].id = (uint32_t)least;
        symbols[at].bytes += symbols[at + 1].bytes;
        n--;
        for (size_t i = at + 1; i < n; i++)
            symbols[i] = symbols[i + 1];
        for (size_t i = at + 1; i < n - 1; i++)
            merges[i] = merges[i + 1];
        if (at)
            merges[at - 1] = vlm_bpe_pair_merge(bpe, symbols[at - 1].id, symbols[at].id);
        if (at + 1 < n)
            merges[at] = vlm_bpe_pair_merge(bpe, symbols[at].id, symbols[at + 1].id);
    }
    return n;
}

/* Keys of the heap are the rank in the upper half and the place in the lower. */
static uint64_t key_of(uint32_t rank, size_t at)
{
    return (uint64_t)rank << 32 | at;
}

static void heap_push(struct vlm_bpe_scratch *scratch, uint64_t key)
{
    uint64_t *heap = scratch->heap;
    size_t i = scratch->heap_n++;
    for (; i && heap[(i - 1) / 2] > key; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = key;
}

static uint64_t heap_pop(struct vlm_bpe_scratch *scratch)
{
    uint64_t *heap = scratch->heap, least = heap[0];
    size_t n = --scratch->heap_n, i = 0;
    uint64_t key = heap[n];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= key)
            break;
        heap[i] = heap[child];
    }
    heap[i] = key;
    return least;
}

/* A pair waits in the list of its rank if it stands behind all that wait there and the list is not
 * yet being worked on, else in the heap. */
static void wait(struct vlm_bpe_scratch *scratch, uint32_t rank, size_t at)
{
    struct vlm_bpe_list *list = &scratch->lists[rank];
    if (rank <= scratch->rank || (list->first != NONE && scratch->nodes[list->last].at > at)) {
        heap_push(scratch, key_of(rank, at));
        return;
    }
    uint32_t node = scratch->free_node;
    if (node != NONE)
        scratch->free_node = scratch->nodes[node].next;
    else
        node = scratch->nodes_n++;
    scratch->nodes[node] = (struct vlm_bpe_node){ (uint32_t)at, NONE };
    if (list->first == NONE) {
        list->first = node;
        scratch->waiting[rank / 64] |= UINT64_C(1) << rank % 64;
        scratch->lists_n++;
    } else {
        scratch->nodes[list->last].next = node;
    }
    list->last = node;
}

/* Moves rank on to the next list that is not empty; the caller knows that there is one. */
static void next_list(struct vlm_bpe_scratch *scratch)
{
    size_t i = (size_t)(scratch->rank + 1) / 64;
    uint64_t bits = scratch->waiting[i] & UINT64_MAX << (scratch->rank + 1) % 64;
    while (!bits)
        bits = scratch->waiting[++i];
    scratch->rank = (int64_t)(i * 64) + __builtin_ctzll(bits);
}

/* Takes the least key of those that wait; false when none does. */
static bool take(struct vlm_bpe_scratch *scratch, uint64_t *key)
{
    if (scratch->lists_n) {
        if (scratch->rank < 0 || scratch->lists[scratch->rank].first == NONE)
            next_list(scratch);
        struct vlm_bpe_list *list = &scratch->lists[scratch->rank];
        uint32_t node = list->first;
        *key = key_of((uint32_t)scratch->rank, scratch->nodes[node].at);
        if (!scratch->heap_n || *key < scratch->heap[0]) {
            list->first = scratch->nodes[node].next;
            if (list->first == NONE) {
                scratch->waiting[scratch->rank / 64] &= ~(UINT64_C(1) << scratch->rank % 64);
                scratch->lists_n--;
            }
            scratch->nodes[node].next = scratch->free_node;
            scratch->free_node = node;
            return true;
        }
    }
    if (scratch->heap_n)
        *key = heap_pop(scratch);
    else
        return false;
    return true;
}

/* Room for n symbols. Each merge takes a key and adds at most two, so that no more than 2 n ever
 * wait. Lists are empty between words. */
static bool prepare(const struct vlm_bpe *bpe, struct vlm_bpe_scratch *scratch, size_t n)
{
    if (!scratch->lists) {
        size_t words = bpe->n_merges / 64 + 1;
        scratch->lists = malloc((bpe->n_merges + 1) * sizeof *scratch->lists);
        scratch->waiting = calloc(words, sizeof *scratch->waiting);
        if (!scratch->lists || !scratch->waiting) {
            vlm_bpe_scratch_release(scratch);
            return false;
        }
        memset(scratch->lists, 0xff, (bpe->n_merges + 1) * sizeof *scratch->lists);
    }
    scratch->nodes_n = 0;
    scratch->free_node = NONE;
    scratch->heap_n = 0;
    scratch->rank = -1;
    return n < NONE / 2 &&
           grow(&scratch->links, &scratch->links_capacity, n, sizeof *scratch->links) &&
           grow(&scratch->nodes, &scratch->nodes_capacity, 2 * n, sizeof *scratch->nodes) &&
           grow(&scratch->heap, &scratch->heap_capacity, 2 * n, sizeof *scratch->heap);
}

/* What becomes of the symbol at a place and the next one, anew. */
static void pair_anew(const struct vlm_bpe *bpe, struct vlm_bpe_scratch *scratch, size_t at)
{
    struct vlm_bpe_link *link = &scratch->links[at];
    link->rank = NONE;
    if (link->next == NONE)
        return;
    uint64_t merge = vlm_bpe_pair_merge(bpe, link->id, scratch->links[link->next].id);
    link->rank = vlm_merge_rank(merge);
    if (merge != VLM_NO_MERGE)
        wait(scratch, link->rank, at);
}

/* Merges the symbol at a place with the next one. */
static void merge_at(const struct vlm_bpe *bpe, struct vlm_bpe_scratch *scratch, size_t at)
{
    struct vlm_bpe_link *links = scratch->links;
    struct vlm_bpe_link *gone = &links[links[at].next];
    links[at].id = bpe->results[links[at].rank];
    links[at].next = gone->next;
    gone->rank = NONE;
    if (links[at].next != NONE)
        links[links[at].next].previous = (uint32_t)at;
    if (links[at].previous != NONE)
        pair_anew(bpe, scratch, links[at].previous);
    pair_anew(bpe, scratch, at);
}

static size_t merge_long(const struct vlm_bpe *bpe, struct vlm_bpe_scratch *scratch,
                         struct vlm_bpe_symbol *symbols, size_t n)
{
    if (!prepare(bpe, scratch, n))
        return SIZE_MAX;
    struct vlm_bpe_link *links = scratch->links;
    for (size_t i = 0; i < n; i++)
        links[i] = (struct vlm_bpe_link){ symbols[i].id, NONE, (uint32_t)i - 1, (uint32_t)i + 1 };
    links[0].previous = links[n - 1].next = NONE;
    for (size_t i = 0; i < n; i++)
        pair_anew(bpe, scratch, i);
    for (uint64_t key; take(scratch, &key);)
        if (links[(uint32_t)key].rank == key >> 32)
            merge_at(bpe, scratch, (uint32_t)key);
    size_t left = 0;
    for (size_t i = 0, next; i < n; i = next) {
        next = VLM_MIN(links[i].next, n);
        uint32_t bytes = 0;
        for (size_t k = i; k < next; k++)
            bytes += symbols[k].bytes;
        symbols[left++] = (struct vlm_bpe_symbol){ links[i].id, bytes };
    }
    return left;
}

size_t vlm_bpe_merge_symbols(const struct vlm_bpe *bpe, struct vlm_bpe_scratch *scratch,
                             struct vlm_bpe_symbol *symbols, size_t n)
{
    if (n > VLM_BPE_SHORT)
        return merge_long(bpe, scratch, symbols, n);
    uint64_t merges[VLM_BPE_SHORT] = { VLM_NO_MERGE };
    for (size_t i = 0; i + 1 < n; i++)
        merges[i] = vlm_bpe_pair_merge(bpe, symbols[i].id, symbols[i + 1].id);
    return vlm_bpe_merge_short(bpe, symbols, merges, n);
}
