/* bpe_fixture.h - byte-pair encodings made of random bytes, and the merging of a word as the
 * definition has it: look at all pairs, merge the one of lowest rank, the leftmost of equals, begin
 * again. */
#ifndef VLM_TESTS_BPE_FIXTURE_H
#define VLM_TESTS_BPE_FIXTURE_H

#include "tokenize/bpe/bpe.h"

enum { FIXTURE_MERGES_MAX = 120, FIXTURE_IDS_MAX = 512 + FIXTURE_MERGES_MAX };

struct bpe_fixture {
    struct vlm_bpe_source source;
    struct vlm_bpe_merge merges[FIXTURE_MERGES_MAX];
    struct vlm_bytes pieces[FIXTURE_IDS_MAX];
    uint32_t byte_ids[256], last_byte_ids[256];
    uint8_t bytes[FIXTURE_IDS_MAX][64]; /* of the pieces */
};

/* The next random number below n, out of bytes that run out to zeros. */
static inline uint32_t fixture_random(struct vlm_bytes *random, uint32_t n)
{
    uint32_t value = 0;
    if (vlm_bytes_left(random) >= 2)
        value = vlm_bytes_u16(random);
    else
        vlm_bytes_take(random, vlm_bytes_left(random));
    return value % n;
}

static inline bool fixture_has(const struct bpe_fixture *fixture, uint32_t left, uint32_t right)
{
    for (size_t k = 0; k < fixture->source.n_merges; k++)
        if (fixture->merges[k].left == left && fixture->merges[k].right == right)
            return true;
    return false;
}

enum fixture_flag {
    FIXTURE_LAST = 1,  /* last bytes have ids of their own */
    FIXTURE_WHOLE = 2, /* whole_words */
    FIXTURE_RANKS = 4, /* rank_by_result */
    FIXTURE_WILD = 8,  /* any ids into any id, in any order */
};

static inline void fixture_piece(struct bpe_fixture *fixture, uint32_t id, const uint8_t *bytes,
                                 size_t n)
{
    n = VLM_MIN(n, sizeof fixture->bytes[id]);
    memcpy(fixture->bytes[id], bytes, n);
    fixture->pieces[id] = (struct vlm_bytes){ fixture->bytes[id], fixture->bytes[id] + n, false };
}

/* The piece of two others; equal pieces have one id, as in published vocabularies. */
static inline uint32_t fixture_result(struct bpe_fixture *fixture, uint32_t left, uint32_t right)
{
    uint8_t joint[128];
    size_t a = vlm_bytes_left(&fixture->pieces[left]), b = vlm_bytes_left(&fixture->pieces[right]);
    memcpy(joint, fixture->bytes[left], a);
    memcpy(joint + a, fixture->bytes[right], b);
    for (uint32_t id = 512; id < fixture->source.n_pieces; id++)
        if (vlm_bytes_left(&fixture->pieces[id]) == a + b &&
            !memcmp(fixture->bytes[id], joint, a + b))
            return id;
    fixture_piece(fixture, fixture->source.n_pieces, joint, a + b);
    return fixture->source.n_pieces++;
}

/* Pieces that have nothing to do with merges. */
static inline void fixture_wild_pieces(struct bpe_fixture *fixture, struct vlm_bytes *random,
                                       uint32_t letters)
{
    for (int k = 0; k < 8; k++) {
        uint8_t bytes[4];
        size_t n = fixture_random(random, sizeof bytes + 1);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)('a' + fixture_random(random, letters));
        fixture_piece(fixture, fixture->source.n_pieces++, bytes, n);
    }
}

/* Merges of the bytes 'a' .. 'a' + letters - 1 and of what becomes of them. Ids 0 to 255 are bytes,
 * 256 to 511 last bytes. */
static inline void fixture_make(struct bpe_fixture *fixture, struct vlm_bytes *random,
                                unsigned flags)
{
    uint32_t letters = 1 + fixture_random(random, 6);
    uint32_t n = fixture_random(random, FIXTURE_MERGES_MAX);
    memset(fixture, 0, sizeof *fixture);
    for (uint32_t b = 0; b < 256; b++) {
        uint8_t byte = (uint8_t)b;
        fixture->byte_ids[b] = b;
        fixture->last_byte_ids[b] = 256 + b;
        fixture_piece(fixture, b, &byte, 1);
        fixture_piece(fixture, 256 + b, &byte, 1);
    }
    fixture->source = (struct vlm_bpe_source){
        .pieces = fixture->pieces,
        .n_pieces = 512,
        .merges = fixture->merges,
        .byte_ids = fixture->byte_ids,
        .last_byte_ids = flags & FIXTURE_LAST ? fixture->last_byte_ids : NULL,
        .whole_words = flags & FIXTURE_WHOLE,
        .rank_by_result = flags & FIXTURE_RANKS,
    };
    if (flags & FIXTURE_WILD)
        fixture_wild_pieces(fixture, random, letters);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t ids[3];
        for (size_t i = 0; i < 3; i++) {
            uint32_t made = fixture->source.n_pieces - 512;
            uint32_t pick = fixture_random(random, 2 * letters + made);
            ids[i] = pick < letters       ? 'a' + pick
                     : pick < 2 * letters ? 256 + 'a' + pick - letters
                                          : 512 + pick - 2 * letters;
        }
        if (fixture_has(fixture, ids[0], ids[1]))
            continue;
        size_t size =
            vlm_bytes_left(&fixture->pieces[ids[0]]) + vlm_bytes_left(&fixture->pieces[ids[1]]);
        if (!(flags & FIXTURE_WILD) && size > sizeof fixture->bytes[0])
            continue;
        if (!(flags & FIXTURE_WILD))
            ids[2] = fixture_result(fixture, ids[0], ids[1]);
        fixture->merges[fixture->source.n_merges++] =
            (struct vlm_bpe_merge){ ids[0], ids[1], ids[2] };
    }
}

/* The rank of a pair and what it becomes, or SIZE_MAX. */
static inline size_t fixture_rank(const struct bpe_fixture *fixture, uint32_t left, uint32_t right,
                                  uint32_t *result)
{
    const struct vlm_bpe_source *source = &fixture->source;
    for (size_t k = 0; k < source->n_merges; k++) {
        if (source->merges[k].left != left || source->merges[k].right != right)
            continue;
        *result = source->merges[k].result;
        size_t rank = k;
        for (size_t i = 0; source->rank_by_result && i < rank; i++)
            if (source->merges[i].result == *result)
                rank = i;
        return rank;
    }
    return SIZE_MAX;
}

static inline size_t fixture_merge(const struct bpe_fixture *fixture,
                                   struct vlm_bpe_symbol *symbols, size_t n)
{
    for (;;) {
        size_t least = SIZE_MAX, at = 0;
        uint32_t becomes = 0, result;
        for (size_t i = 0; i + 1 < n; i++) {
            size_t rank = fixture_rank(fixture, symbols[i].id, symbols[i + 1].id, &result);
            if (rank < least) {
                least = rank;
                at = i;
                becomes = result;
            }
        }
        if (least == SIZE_MAX)
            return n;
        symbols[at].id = becomes;
        symbols[at].bytes += symbols[at + 1].bytes;
        n--;
        memmove(symbols + at + 1, symbols + at + 2, (n - at - 1) * sizeof *symbols);
    }
}

/* The tokens of a word. */
static inline size_t fixture_word(const struct bpe_fixture *fixture, struct vlm_bpe_symbol *symbols,
                                  const char *word, size_t n)
{
    const struct vlm_bpe_source *source = &fixture->source;
    for (uint32_t id = 0; source->whole_words && id < source->n_pieces; id++)
        if (n && vlm_bytes_left(&source->pieces[id]) == n &&
            !memcmp(source->pieces[id].at, word, n)) {
            symbols[0] = (struct vlm_bpe_symbol){ id, (uint32_t)n };
            return 1;
        }
    for (size_t i = 0; i < n; i++)
        symbols[i] = (struct vlm_bpe_symbol){ fixture->byte_ids[(uint8_t)word[i]], 1 };
    if (n && source->last_byte_ids)
        symbols[n - 1].id = source->last_byte_ids[(uint8_t)word[n - 1]];
    return fixture_merge(fixture, symbols, n);
}

#endif
