/* bpe_internal.h - what bpe.c makes and bpe_merge.c and bpe_cache.c read. */
#ifndef VLM_TOKENIZE_BPE_INTERNAL_H
#define VLM_TOKENIZE_BPE_INTERNAL_H

#include "tokenize/bpe/bpe.h"

/* What becomes of a pair: its rank in the upper half, the id it becomes in the lower, so that the
 * least is merged first. */
#define VLM_NO_MERGE UINT64_MAX

static inline uint32_t vlm_merge_rank(uint64_t merge)
{
    return (uint32_t)(merge >> 32);
}

/* A place of the table of pairs; free when merge is VLM_NO_MERGE. */
struct vlm_bpe_pair {
    uint32_t left, right;
    uint64_t merge;
};

/* A place of the table of pieces by their bytes, for whole_words; free when bytes is NULL. */
struct vlm_bpe_piece {
    const uint8_t *bytes; /* in vlm_bpe.piece_bytes */
    uint32_t size, id;
};

struct vlm_bpe {
    struct vlm_bpe_pair *pairs; /* open addressing */
    unsigned pairs_shift;       /* 64 - log2 of their number */
    size_t pairs_mask;
    uint32_t *results; /* [n_merges] by rank */
    size_t n_merges;

    bool has_bytes; /* the rest is set */
    bool has_last;  /* the last byte of a word begins as another id */
    uint32_t byte_ids[256], last_byte_ids[256];
    uint64_t *byte_merges; /* [256 * 256] of the ids that two bytes begin as, last_byte_ids apart */

    /* Whether two bytes may ever stand side by side inside a piece that merges make. Where they may
     * not, a word falls into parts that are merged each on its own. */
    uint8_t joined[256][32];
    uint32_t *id_bytes; /* [n_ids] bytes of text that an id covers */
    bool sizes_differ;  /* an id may cover several numbers of bytes: id_bytes is of no use */
    struct vlm_bpe_piece *pieces; /* open addressing; NULL: no whole_words */
    size_t pieces_mask;
    uint8_t *piece_bytes;
};

static inline uint64_t vlm_bpe_pair_hash(uint32_t left, uint32_t right)
{
    return ((uint64_t)left << 32 | right) * UINT64_C(0x9e3779b97f4a7c15);
}

/* What becomes of two ids side by side. */
static inline uint64_t vlm_bpe_pair_merge(const struct vlm_bpe *bpe, uint32_t left, uint32_t right)
{
    const struct vlm_bpe_pair *pairs = bpe->pairs;
    size_t i = vlm_bpe_pair_hash(left, right) >> bpe->pairs_shift;
    while (pairs[i].merge != VLM_NO_MERGE && (pairs[i].left != left || pairs[i].right != right))
        i = (i + 1) & bpe->pairs_mask;
    return pairs[i].merge;
}

static inline bool vlm_bpe_is_joined(const struct vlm_bpe *bpe, uint8_t a, uint8_t b)
{
    return bpe->joined[a][b / 8] >> b % 8 & 1;
}

/* The id of a word that is a piece, or VLM_NO_TOKEN. */
uint32_t vlm_bpe_piece_find(const struct vlm_bpe *bpe, const char *word, size_t n);

/* A word on its way: symbols and what bpe_merge.c needs for long ones. One thread. */
struct vlm_bpe_scratch {
    struct vlm_bpe_symbol *symbols;
    size_t symbols_capacity;
    struct vlm_bpe_link *links;
    size_t links_capacity;
    struct vlm_bpe_node *nodes; /* of lists */
    size_t nodes_capacity;
    uint32_t nodes_n, free_node;
    struct vlm_bpe_list *lists; /* [n_merges] by rank */
    uint64_t *waiting;          /* a bit for each list that is not empty */
    uint32_t lists_n;           /* that are not empty */
    int64_t rank;               /* of the list at work; those of lower rank are empty */
    uint64_t *heap;
    size_t heap_n, heap_capacity;
};
void vlm_bpe_scratch_release(struct vlm_bpe_scratch *scratch);

/* Room for the symbols of a word; false when memory ran out. */
bool vlm_bpe_scratch_symbols(struct vlm_bpe_scratch *scratch, size_t n);

/* vlm_bpe_merge() with this scratch. */
size_t vlm_bpe_merge_symbols(const struct vlm_bpe *bpe, struct vlm_bpe_scratch *scratch,
                             struct vlm_bpe_symbol *symbols, size_t n);

/* Words of no more symbols are merged by looking for the least pair again and again. */
enum { VLM_BPE_SHORT = 32 };

/* As vlm_bpe_merge_symbols() for at most VLM_BPE_SHORT symbols; merges[i] of i < n - 1 is what
 * becomes of the symbols i and i + 1. */
size_t vlm_bpe_merge_short(const struct vlm_bpe *bpe, struct vlm_bpe_symbol *symbols,
                           uint64_t *merges, size_t n);

#endif
