/* bpe.c - the tables of a byte-pair encoding. They never change once they are made, so that any
 * threads read them. */
#include "base/vlm.h"

#include "base/hash.h"
#include "tokenize/bpe/bpe_internal.h"

#define MERGES_MAX ((size_t)1 << 28)

/* Passes over the merges before it is given up to learn what their results look like. */
enum { PASSES_MAX = 8 };

static struct vlm_bpe_pair *pair_place(const struct vlm_bpe *bpe, const struct vlm_bpe_merge *merge)
{
    size_t i = vlm_bpe_pair_hash(merge->left, merge->right) >> bpe->pairs_shift;
    while (bpe->pairs[i].merge != VLM_NO_MERGE &&
           (bpe->pairs[i].left != merge->left || bpe->pairs[i].right != merge->right))
        i = (i + 1) & bpe->pairs_mask;
    return &bpe->pairs[i];
}

static int check_merge(const struct vlm_bpe_source *source, size_t k, struct vlm_err *err)
{
    const struct vlm_bpe_merge *merge = &source->merges[k];
    if (merge->left < source->n_pieces && merge->right < source->n_pieces &&
        merge->result < source->n_pieces)
        return VLM_OK;
    return vlm_fail(err, VLM_EFORMAT,
                    "merge %zu is of the ids %" PRIu32 " and %" PRIu32 " into %" PRIu32
                    ", but there are %" PRIu32 " ids",
                    k, merge->left, merge->right, merge->result, source->n_pieces);
}

/* ranks is NULL, or [n_pieces] of NONE. */
static int pairs_fill(struct vlm_bpe *bpe, const struct vlm_bpe_source *source, uint32_t *ranks,
                      struct vlm_err *err)
{
    for (size_t k = 0; k < source->n_merges; k++) {
        const struct vlm_bpe_merge *merge = &source->merges[k];
        uint64_t rank = k;
        int rc = check_merge(source, k, err);
        if (rc != VLM_OK)
            return rc;
        if (ranks && ranks[merge->result] != UINT32_MAX)
            rank = ranks[merge->result];
        else if (ranks)
            ranks[merge->result] = (uint32_t)k;
        struct vlm_bpe_pair *pair = pair_place(bpe, merge);
        if (pair->merge != VLM_NO_MERGE)
            return vlm_fail(err, VLM_EFORMAT,
                            "merge %zu is of the ids %" PRIu32 " and %" PRIu32 ", as merge %" PRIu32
                            " was",
                            k, merge->left, merge->right, vlm_merge_rank(pair->merge));
        bpe->results[k] = merge->result;
        *pair = (struct vlm_bpe_pair){ merge->left, merge->right, rank << 32 | merge->result };
    }
    return VLM_OK;
}

static int pairs_new(struct vlm_bpe *bpe, const struct vlm_bpe_source *source, struct vlm_err *err)
{
    unsigned bits = 4;
    if (source->n_merges > MERGES_MAX)
        return vlm_fail(err, VLM_ELIMIT, "%zu merges are over the limit of %zu", source->n_merges,
                        (size_t)MERGES_MAX);
    while ((size_t)1 << bits < source->n_merges * 2)
        bits++;
    size_t n = (size_t)1 << bits;
    bpe->pairs_shift = 64 - bits;
    bpe->pairs_mask = n - 1;
    bpe->n_merges = source->n_merges;
    bpe->pairs = malloc(n * sizeof *bpe->pairs);
    bpe->results = malloc((source->n_merges + 1) * sizeof *bpe->results);
    uint32_t *ranks = NULL;
    if (source->rank_by_result)
        ranks = malloc(source->n_pieces * sizeof *ranks + 1);
    int rc = VLM_OK;
    if (!bpe->pairs || !bpe->results || (source->rank_by_result && !ranks))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu merges", source->n_merges);
    if (rc == VLM_OK) {
        memset(bpe->pairs, 0xff, n * sizeof *bpe->pairs);
        if (ranks)
            memset(ranks, 0xff, source->n_pieces * sizeof *ranks);
        rc = pairs_fill(bpe, source, ranks, err);
    }
    free(ranks);
    return rc;
}

/* What is known of the pieces that merges make: their first and last bytes, -1 as long as nothing
 * is known. Of a piece that comes out of no bytes nothing ever becomes known. */
struct ends {
    int16_t first, last;
};

struct facts {
    struct ends *ends;
    bool ends_differ; /* one id begins or ends in several ways */
};

/* Says that an id covers so many bytes with these at the ends; true when that is news. */
static bool learn(struct vlm_bpe *bpe, struct facts *facts, uint32_t id, uint32_t size,
                  struct ends ends)
{
    struct ends *known = &facts->ends[id];
    if (!bpe->id_bytes[id]) {
        bpe->id_bytes[id] = size;
        *known = ends;
        return true;
    }
    bpe->sizes_differ |= bpe->id_bytes[id] != size;
    facts->ends_differ |= known->first != ends.first || known->last != ends.last;
    return false;
}

static void learn_bytes(struct vlm_bpe *bpe, struct facts *facts)
{
    for (int16_t b = 0; b < 256; b++) {
        learn(bpe, facts, bpe->byte_ids[b], 1, (struct ends){ b, b });
        learn(bpe, facts, bpe->last_byte_ids[b], 1, (struct ends){ b, b });
    }
}

static bool learn_merges(struct vlm_bpe *bpe, struct facts *facts,
                         const struct vlm_bpe_source *source)
{
    bool news = false;
    for (size_t k = 0; k < source->n_merges; k++) {
        const struct vlm_bpe_merge *merge = &source->merges[k];
        uint32_t left = bpe->id_bytes[merge->left], right = bpe->id_bytes[merge->right];
        if (!left || !right)
            continue;
        struct ends a = facts->ends[merge->left], b = facts->ends[merge->right];
        bpe->joined[a.last][b.first / 8] |= (uint8_t)(1 << b.first % 8);
        uint32_t size = left < UINT32_MAX - right ? left + right : UINT32_MAX;
        news |= learn(bpe, facts, merge->result, size, (struct ends){ a.first, b.last });
    }
    return news;
}

/* Fills joined, id_bytes and sizes_differ. Merges usually stand behind those that make their parts;
 * when they stand in another order for long, every pair of bytes counts as joined, and sizes as
 * different: that only costs speed. */
static int find_parts(struct vlm_bpe *bpe, const struct vlm_bpe_source *source, struct vlm_err *err)
{
    struct facts facts = { calloc(source->n_pieces, sizeof *facts.ends), false };
    bpe->id_bytes = calloc(source->n_pieces, sizeof *bpe->id_bytes);
    if (!facts.ends || !bpe->id_bytes) {
        free(facts.ends);
        return vlm_fail(err, VLM_ENOMEM, "no memory for %" PRIu32 " ids", source->n_pieces);
    }
    learn_bytes(bpe, &facts);
    int passes = 0;
    while (learn_merges(bpe, &facts, source) && ++passes < PASSES_MAX)
        ;
    bpe->sizes_differ |= passes == PASSES_MAX;
    if (passes == PASSES_MAX || facts.ends_differ)
        memset(bpe->joined, 0xff, sizeof bpe->joined);
    free(facts.ends);
    return VLM_OK;
}

/* The pairs of bytes that are merged. Few are: only bytes that some merge begins with are looked at. */
static int byte_merges_new(struct vlm_bpe *bpe, const struct vlm_bpe_source *source,
                           struct vlm_err *err)
{
    uint8_t *is_left = calloc(source->n_pieces, 1);
    bpe->byte_merges = malloc(256 * 256 * sizeof *bpe->byte_merges);
    if (!is_left || !bpe->byte_merges) {
        free(is_left);
        return vlm_fail(err, VLM_ENOMEM, "no memory for pairs of bytes");
    }
    for (size_t k = 0; k < source->n_merges; k++)
        is_left[source->merges[k].left] = 1;
    for (size_t a = 0; a < 256; a++)
        for (size_t b = 0; b < 256; b++)
            bpe->byte_merges[a << 8 | b] =
                is_left[bpe->byte_ids[a]]
                    ? vlm_bpe_pair_merge(bpe, bpe->byte_ids[a], bpe->byte_ids[b])
                    : VLM_NO_MERGE;
    free(is_left);
    return VLM_OK;
}

static int bytes_new(struct vlm_bpe *bpe, const struct vlm_bpe_source *source, struct vlm_err *err)
{
    const uint32_t *last = source->last_byte_ids ? source->last_byte_ids : source->byte_ids;
    for (size_t b = 0; b < 256; b++) {
        if (source->byte_ids[b] >= source->n_pieces || last[b] >= source->n_pieces)
            return vlm_fail(err, VLM_EFORMAT, "no piece stands for the byte 0x%02zx", b);
        bpe->byte_ids[b] = source->byte_ids[b];
        bpe->last_byte_ids[b] = last[b];
        bpe->has_last |= last[b] != source->byte_ids[b];
    }
    bpe->has_bytes = true;
    int rc = byte_merges_new(bpe, source, err);
    return rc == VLM_OK ? find_parts(bpe, source, err) : rc;
}

static struct vlm_bpe_piece *piece_place(const struct vlm_bpe *bpe, const void *bytes, size_t n)
{
    size_t i = vlm_xxh3(bytes, n) & bpe->pieces_mask;
    while (bpe->pieces[i].bytes &&
           (bpe->pieces[i].size != n || memcmp(bpe->pieces[i].bytes, bytes, n)))
        i = (i + 1) & bpe->pieces_mask;
    return &bpe->pieces[i];
}

uint32_t vlm_bpe_piece_find(const struct vlm_bpe *bpe, const char *word, size_t n)
{
    const struct vlm_bpe_piece *piece = piece_place(bpe, word, n);
    return piece->bytes ? piece->id : VLM_NO_TOKEN;
}

/* The table of pieces by their bytes; of equal pieces the first counts. */
static int pieces_new(struct vlm_bpe *bpe, const struct vlm_bpe_source *source, struct vlm_err *err)
{
    size_t places = 16, size = 0;
    while (places < (size_t)source->n_pieces * 2)
        places *= 2;
    for (uint32_t id = 0; id < source->n_pieces; id++)
        size += vlm_bytes_left(&source->pieces[id]);
    bpe->pieces = calloc(places, sizeof *bpe->pieces);
    bpe->piece_bytes = malloc(size + 1);
    if (!bpe->pieces || !bpe->piece_bytes)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %" PRIu32 " pieces", source->n_pieces);
    bpe->pieces_mask = places - 1;
    uint8_t *to = bpe->piece_bytes;
    for (uint32_t id = 0; id < source->n_pieces; id++) {
        size_t n = vlm_bytes_left(&source->pieces[id]);
        if (!n)
            continue;
        struct vlm_bpe_piece *place = piece_place(bpe, source->pieces[id].at, n);
        if (place->bytes)
            continue;
        memcpy(to, source->pieces[id].at, n);
        *place = (struct vlm_bpe_piece){ to, (uint32_t)n, id };
        to += n;
        if (bpe->has_bytes) {
            bpe->sizes_differ |= bpe->id_bytes[id] && bpe->id_bytes[id] != n;
            bpe->id_bytes[id] = (uint32_t)n;
        }
    }
    return VLM_OK;
}

int vlm_bpe_new(struct vlm_bpe **out, const struct vlm_bpe_source *source, struct vlm_err *err)
{
    struct vlm_bpe *bpe = calloc(1, sizeof *bpe);
    *out = NULL;
    if (!bpe)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a byte-pair encoding");
    int rc = pairs_new(bpe, source, err);
    if (rc == VLM_OK && source->byte_ids)
        rc = bytes_new(bpe, source, err);
    if (rc == VLM_OK && source->whole_words)
        rc = pieces_new(bpe, source, err);
    if (rc == VLM_OK)
        *out = bpe;
    else
        vlm_bpe_free(bpe);
    return rc;
}

void vlm_bpe_free(struct vlm_bpe *bpe)
{
    if (!bpe)
        return;
    free(bpe->pairs);
    free(bpe->results);
    free(bpe->byte_merges);
    free(bpe->id_bytes);
    free(bpe->pieces);
    free(bpe->piece_bytes);
    free(bpe);
}
