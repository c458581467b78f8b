/* bpe_cache.c - words into tokens, from memory where they were seen before.
 *
 * Words are looked up in two tables. Words of up to 15 bytes that become up to 4 tokens have 32 bytes
 * each, two in a cache line: a new word takes the first place of its line, the word that was there
 * the second. Others have 128 bytes, and a new word takes the place of the one that was there. A word
 * that is in neither is divided where no merge can reach across, the parts are looked up like words,
 * and what is still unknown is merged. Tables only ever repeat what merging would say, so that ids do
 * not depend on what was seen before. */
#include "base/vlm.h"

#include "base/hash.h"
#include "tokenize/bpe/bpe_internal.h"

#include <endian.h>

enum {
    SHORT_BITS = 14, /* lines: 1 MiB, half of the second-level cache of a core */
    SHORT_BYTES = 15,
    SHORT_IDS = 4,
    LONG_BITS = 12, /* places: 512 KiB */
    LONG_BYTES = 45,
    LONG_IDS = 20,
};

/* Differences between words of equal bytes. */
enum {
    NOT_LAST = 1, /* its last byte begins as byte_ids say, not last_byte_ids */
    PART = 2,     /* it is no whole word: whole_words does not apply */
};

/* key[1] has its bytes 8 to 14 and on top, from bit 56: size (4), flags (2), ids - 1 (2). */
struct short_word {
    uint64_t key[2];
    uint32_t ids[SHORT_IDS];
};
#define SHORT_IDS_SHIFT 62

struct short_line {
    struct short_word words[2];
};

struct long_word {
    uint8_t size, n_ids, flags; /* size 0: nothing */
    char bytes[LONG_BYTES];
    uint32_t ids[LONG_IDS];
};

struct vlm_bpe_cache {
    const struct vlm_bpe *bpe;
    struct short_line *short_lines;
    struct long_word *long_words;
    struct vlm_bpe_scratch scratch;
};

int vlm_bpe_cache_new(struct vlm_bpe_cache **out, const struct vlm_bpe *bpe, struct vlm_err *err)
{
    struct vlm_bpe_cache *cache = calloc(1, sizeof *cache);
    *out = NULL;
    if (cache) {
        cache->bpe = bpe;
        cache->short_lines =
            aligned_alloc(sizeof *cache->short_lines, sizeof *cache->short_lines << SHORT_BITS);
        cache->long_words = calloc((size_t)1 << LONG_BITS, sizeof *cache->long_words);
    }
    if (!cache || !cache->short_lines || !cache->long_words) {
        vlm_bpe_cache_free(cache);
        return vlm_fail(err, VLM_ENOMEM, "no memory for a cache of words");
    }
    memset(cache->short_lines, 0, sizeof *cache->short_lines << SHORT_BITS);
    *out = cache;
    return VLM_OK;
}

void vlm_bpe_cache_free(struct vlm_bpe_cache *cache)
{
    if (!cache)
        return;
    free(cache->short_lines);
    free(cache->long_words);
    vlm_bpe_scratch_release(&cache->scratch);
    free(cache);
}

size_t vlm_bpe_merge(struct vlm_bpe_cache *cache, struct vlm_bpe_symbol *symbols, size_t n)
{
    return vlm_bpe_merge_symbols(cache->bpe, &cache->scratch, symbols, n);
}

/* Where tokens go, and where in the text they come from. */
struct sink {
    struct vlm_bpe_cache *cache;
    struct vlm_tokens *tokens;
    const char *text, *end; /* readable bytes */
    size_t at;              /* of text, for spans */
    bool merge_all;         /* tables do not know the spans that are asked for */
};

/* The bytes of a short word as two numbers; room is how many may be read at word. */
static inline void load_key(uint64_t key[2], const char *word, size_t n, size_t room)
{
    /* Sizes are hard to foresee for a processor: a mask, and no branch. */
#define ONES(bytes) (UINT64_MAX >> (64 - 8 * (bytes)))
    static const uint64_t masks[SHORT_BYTES + 1][2] = {
        { 0, 0 },
        { ONES(1), 0 },
        { ONES(2), 0 },
        { ONES(3), 0 },
        { ONES(4), 0 },
        { ONES(5), 0 },
        { ONES(6), 0 },
        { ONES(7), 0 },
        { ONES(8), 0 },
        { ONES(8), ONES(1) },
        { ONES(8), ONES(2) },
        { ONES(8), ONES(3) },
        { ONES(8), ONES(4) },
        { ONES(8), ONES(5) },
        { ONES(8), ONES(6) },
        { ONES(8), ONES(7) },
    };
#undef ONES
    if (room >= 16) {
        memcpy(key, word, 16);
    } else {
        key[0] = key[1] = 0;
        memcpy(key, word, n);
    }
    key[0] = le64toh(key[0]) & masks[n][0];
    key[1] = le64toh(key[1]) & masks[n][1];
}

static inline size_t short_place(const uint64_t key[2])
{
    uint64_t hash = key[0] * UINT64_C(0x9e3779b97f4a7c15) + key[1] * UINT64_C(0xc2b2ae3d27d4eb4f);
    hash ^= hash >> 32;
    return hash * UINT64_C(0xd6e8feb86659fd93) >> (64 - SHORT_BITS);
}

static inline size_t long_place(const char *word, size_t n)
{
    return vlm_xxh3(word, n) >> (64 - LONG_BITS);
}

/* Spans of n_ids tokens behind the last, which stand for a word. */
static inline void add_spans(const struct sink *sink, const char *word, size_t n_ids)
{
    struct vlm_tokens *tokens = sink->tokens;
    uint32_t start = (uint32_t)(sink->at + (size_t)(word - sink->text));
    for (size_t i = tokens->n; i < tokens->n + n_ids; i++) {
        uint32_t end = start + sink->cache->bpe->id_bytes[tokens->ids[i]];
        tokens->spans[i] = (struct vlm_token_span){ start, end };
        start = end;
    }
}

/* Begins and merges the bytes of a word or of a part, and appends what remains. */
static int merge_word(struct sink *sink, const char *word, size_t n, unsigned flags)
{
    struct vlm_bpe_cache *cache = sink->cache;
    const struct vlm_bpe *bpe = cache->bpe;
    struct vlm_tokens *tokens = sink->tokens;
    struct vlm_bpe_symbol few[VLM_BPE_SHORT], *symbols = few;
    if (n > VLM_BPE_SHORT) {
        if (!vlm_bpe_scratch_symbols(&cache->scratch, n))
            return VLM_ENOMEM;
        symbols = cache->scratch.symbols;
    }
    const uint8_t *bytes = (const uint8_t *)word;
    for (size_t i = 0; i < n; i++)
        symbols[i] = (struct vlm_bpe_symbol){ bpe->byte_ids[bytes[i]], 1 };
    if (!(flags & NOT_LAST))
        symbols[n - 1].id = bpe->last_byte_ids[bytes[n - 1]];
    if (n > VLM_BPE_SHORT) {
        n = vlm_bpe_merge_symbols(bpe, &cache->scratch, symbols, n);
        if (n == SIZE_MAX)
            return VLM_ENOMEM;
    } else {
        uint64_t merges[VLM_BPE_SHORT];
        for (size_t i = 0; i + 1 < n; i++)
            merges[i] = bpe->byte_merges[bytes[i] << 8 | bytes[i + 1]];
        if (n > 1 && bpe->has_last && !(flags & NOT_LAST))
            merges[n - 2] = vlm_bpe_pair_merge(bpe, symbols[n - 2].id, symbols[n - 1].id);
        n = vlm_bpe_merge_short(bpe, symbols, merges, n);
    }
    if (!vlm_tokens_reserve(tokens, n))
        return VLM_ENOMEM;
    uint32_t start = (uint32_t)(sink->at + (size_t)(word - sink->text));
    for (size_t i = 0; i < n; i++) {
        tokens->ids[tokens->n] = symbols[i].id;
        if (tokens->with_spans)
            tokens->spans[tokens->n] = (struct vlm_token_span){ start, start + symbols[i].bytes };
        start += symbols[i].bytes;
        tokens->n++;
    }
    return VLM_OK;
}

/* Bytes of the first part of a word: up to a place where no piece can lie across. */
static size_t part_of(const struct vlm_bpe *bpe, const char *word, size_t n)
{
    size_t i = 1;
    while (i < n && vlm_bpe_is_joined(bpe, (uint8_t)word[i - 1], (uint8_t)word[i]))
        i++;
    return i;
}

static int add_part(struct sink *sink, const char *word, size_t n, unsigned flags);

/* A word that is in no table. */
static int add_unknown(struct sink *sink, const char *word, size_t n, unsigned flags)
{
    const struct vlm_bpe *bpe = sink->cache->bpe;
    if (bpe->pieces && !(flags & PART)) {
        uint32_t id = vlm_bpe_piece_find(bpe, word, n);
        if (id != VLM_NO_TOKEN) {
            struct vlm_tokens *tokens = sink->tokens;
            if (!vlm_tokens_reserve(tokens, 1))
                return VLM_ENOMEM;
            size_t start = sink->at + (size_t)(word - sink->text);
            tokens->ids[tokens->n] = id;
            if (tokens->with_spans)
                tokens->spans[tokens->n] =
                    (struct vlm_token_span){ (uint32_t)start, (uint32_t)(start + n) };
            tokens->n++;
            return VLM_OK;
        }
    }
    size_t part = part_of(bpe, word, n);
    if (part == n)
        return merge_word(sink, word, n, flags);
    unsigned part_flags = bpe->pieces ? flags | PART : flags;
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < n; i += part) {
        part = part_of(bpe, word + i, n - i);
        bool last = i + part == n;
        rc = add_part(sink, word + i, part,
                      part_flags | (last || !bpe->has_last ? 0 : (unsigned)NOT_LAST));
    }
    return rc;
}

/* The key of a short word, complete but for the number of its ids. */
static inline void short_key(uint64_t key[2], const struct sink *sink, const char *word, size_t n,
                             unsigned flags)
{
    load_key(key, word, n, (size_t)(sink->end - word));
    key[1] |= (uint64_t)(n | flags << 4) << 56;
}

static inline bool is_word(const struct short_word *known, const uint64_t key[2])
{
    return known->key[0] == key[0] && !((known->key[1] ^ key[1]) << 2);
}

/* Appends the tokens of a word that the table has; false: it has not, or memory ran out. */
static inline bool add_short(struct sink *sink, const uint64_t key[2], const char *word)
{
    const struct short_word *known = sink->cache->short_lines[short_place(key)].words;
    struct vlm_tokens *tokens = sink->tokens;
    if (!is_word(known, key) && !is_word(++known, key))
        return false;
    if (tokens->capacity - tokens->n < SHORT_IDS && !vlm_tokens_reserve(tokens, SHORT_IDS))
        return false;
    size_t n_ids = (size_t)(known->key[1] >> SHORT_IDS_SHIFT) + 1;
    memcpy(tokens->ids + tokens->n, known->ids, sizeof known->ids);
    if (tokens->with_spans)
        add_spans(sink, word, n_ids);
    tokens->n += n_ids;
    return true;
}

static bool add_long(struct sink *sink, const char *word, size_t n, unsigned flags)
{
    const struct long_word *known = &sink->cache->long_words[long_place(word, n)];
    struct vlm_tokens *tokens = sink->tokens;
    if (known->size != n || known->flags != flags || memcmp(known->bytes, word, n) ||
        !vlm_tokens_reserve(tokens, known->n_ids))
        return false;
    memcpy(tokens->ids + tokens->n, known->ids, known->n_ids * sizeof *known->ids);
    if (tokens->with_spans)
        add_spans(sink, word, known->n_ids);
    tokens->n += known->n_ids;
    return true;
}

/* Writes down that a word, of which key is given if it is short, became the last n_ids tokens. */
static void remember(struct sink *sink, const uint64_t *key, const char *word, size_t n,
                     unsigned flags, size_t n_ids)
{
    const uint32_t *ids = sink->tokens->ids + sink->tokens->n - n_ids;
    if (key && n_ids <= SHORT_IDS) {
        struct short_word *place = sink->cache->short_lines[short_place(key)].words;
        place[1] = place[0];
        place->key[0] = key[0];
        place->key[1] = key[1] | (uint64_t)(n_ids - 1) << SHORT_IDS_SHIFT;
        memcpy(place->ids, ids, n_ids * sizeof *ids);
    } else if (n <= LONG_BYTES && n_ids <= LONG_IDS) {
        struct long_word *place = &sink->cache->long_words[long_place(word, n)];
        place->size = (uint8_t)n;
        place->n_ids = (uint8_t)n_ids;
        place->flags = (uint8_t)flags;
        memcpy(place->bytes, word, n);
        memcpy(place->ids, ids, n_ids * sizeof *ids);
    }
}

/* A word or a part of one that is not in the table of short words. */
static int add_other(struct sink *sink, const uint64_t *key, const char *word, size_t n,
                     unsigned flags)
{
    if (sink->merge_all)
        return add_unknown(sink, word, n, flags);
    /* Long words that fall into parts seldom come again, the parts often. */
    if (!key && part_of(sink->cache->bpe, word, n) < n)
        return add_unknown(sink, word, n, flags);
    if (n <= LONG_BYTES && add_long(sink, word, n, flags))
        return VLM_OK;
    size_t before = sink->tokens->n;
    int rc = add_unknown(sink, word, n, flags);
    if (rc == VLM_OK)
        remember(sink, key, word, n, flags, sink->tokens->n - before);
    return rc;
}

static int add_part(struct sink *sink, const char *word, size_t n, unsigned flags)
{
    uint64_t key[2];
    if (n > SHORT_BYTES || sink->merge_all)
        return add_other(sink, NULL, word, n, flags);
    short_key(key, sink, word, n, flags);
    if (add_short(sink, key, word))
        return VLM_OK;
    return add_other(sink, key, word, n, flags);
}

static struct sink sink_of(struct vlm_bpe_cache *cache, struct vlm_tokens *tokens, const char *text,
                           size_t n, size_t at)
{
    return (struct sink){ cache,    tokens, text,
                          text + n, at,     tokens->with_spans && cache->bpe->sizes_differ };
}

int vlm_bpe_word(struct vlm_bpe_cache *cache, struct vlm_tokens *tokens, const char *word, size_t n,
                 size_t at, struct vlm_err *err)
{
    struct sink sink = sink_of(cache, tokens, word, n, at);
    if (n && add_part(&sink, word, n, 0) != VLM_OK)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the tokens of a word of %zu bytes", n);
    return VLM_OK;
}

int vlm_bpe_text(struct vlm_bpe_cache *cache, struct vlm_tokens *tokens, enum vlm_split split,
                 const char *text, size_t n, size_t at, struct vlm_err *err)
{
    struct sink sink = sink_of(cache, tokens, text, n, at);
    bool drop_space = split == VLM_SPLIT_CLIP || split == VLM_SPLIT_CLIP_CASED;
    for (size_t size; n; text += size, n -= size) {
        size = vlm_split_next(split, text, n);
        if (drop_space && vlm_split_is_space(text, size))
            continue;
        if (add_part(&sink, text, size, 0) != VLM_OK)
            return vlm_fail(err, VLM_ENOMEM, "no memory for the tokens of a text");
    }
    return VLM_OK;
}
