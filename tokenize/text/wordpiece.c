/* wordpiece.c - WordPiece by walks through a tree of all pieces, and BERT's cutting into words.
 *
 * The pieces stand in one tree, byte by byte, with their prefixes; pieces inside a word begin at
 * the node of the prefix. So the longest piece at a place is one walk, and a byte costs at most as
 * many steps as the longest piece has bytes. Edges are in one hash table with linear probing. */
#include "base/vlm.h"
#include "tokenize/text/wordpiece.h"

#include "base/limits.h"
#include "base/utf8.h"
#include "tokenize/unicode/char_class.h"
#include "tokenize/unicode/package_unicode.h"

#include <utf8proc.h>

enum {
    ROOT = 0,
    NO_NODE = 0, /* no edge leads to the root */
    NODE = 0xffffff,
    PIECE = 1 << 24,
};

struct edge {
    uint32_t key;   /* node << 8 | byte */
    uint32_t child; /* node, and PIECE when one ends there */
};

struct vlm_wordpiece {
    struct edge *edges; /* [mask + 1]; child NO_NODE: free */
    uint32_t mask, n_nodes;
    unsigned shift; /* 32 less the logarithm of mask + 1 */
    uint32_t *ids;  /* [n_nodes] of the piece that ends in a node */
    size_t ids_capacity;
    uint32_t inside; /* node of the prefix; NO_NODE: no piece has it */
    bool no_prefix;  /* it is the root then */
    uint32_t unknown;
    size_t word_max;
};

static inline uint32_t slot_of(const struct vlm_wordpiece *wordpiece, uint32_t key)
{
    uint32_t slot = (key * 0x9e3779b1u) >> wordpiece->shift;
    while (wordpiece->edges[slot].child != NO_NODE && wordpiece->edges[slot].key != key)
        slot = (slot + 1) & wordpiece->mask;
    return slot;
}

static inline uint32_t child_of(const struct vlm_wordpiece *wordpiece, uint32_t node, uint8_t byte)
{
    return wordpiece->edges[slot_of(wordpiece, node << 8 | byte)].child;
}

/* A table of twice the size. */
static bool grow_edges(struct vlm_wordpiece *wordpiece)
{
    struct edge *old = wordpiece->edges;
    uint32_t n = wordpiece->mask + 1;
    struct edge *edges = calloc((size_t)n * 2, sizeof(*edges));
    if (!edges)
        return false;
    wordpiece->edges = edges;
    wordpiece->mask = n * 2 - 1;
    wordpiece->shift--;
    for (uint32_t i = 0; i < n; i++)
        if (old[i].child != NO_NODE)
            edges[slot_of(wordpiece, old[i].key)] = old[i];
    free(old);
    return true;
}

static bool grow_ids(struct vlm_wordpiece *wordpiece)
{
    size_t wanted = wordpiece->ids_capacity * 2;
    uint32_t *ids = realloc(wordpiece->ids, wanted * sizeof(*ids));
    if (!ids)
        return false;
    wordpiece->ids = ids;
    wordpiece->ids_capacity = wanted;
    return true;
}

static int no_memory(struct vlm_err *err)
{
    return vlm_fail(err, VLM_ENOMEM, "no memory for a WordPiece vocabulary");
}

/* The node behind an edge, which is made when it is not there; NO_NODE: there are too many, or
 * memory ran out. */
static uint32_t make_child(struct vlm_wordpiece *wordpiece, uint32_t key)
{
    uint32_t child = wordpiece->edges[slot_of(wordpiece, key)].child & NODE;
    if (child != NO_NODE || wordpiece->n_nodes == VLM_WORDPIECE_NODES_MAX)
        return child;
    if (wordpiece->n_nodes == wordpiece->ids_capacity && !grow_ids(wordpiece))
        return NO_NODE;
    if (wordpiece->n_nodes > wordpiece->mask / 2 && !grow_edges(wordpiece))
        return NO_NODE;
    child = wordpiece->n_nodes++;
    wordpiece->edges[slot_of(wordpiece, key)] = (struct edge){ key, child };
    return child;
}

static int add_piece(struct vlm_wordpiece *wordpiece, const struct vlm_bytes *piece, uint32_t id,
                     struct vlm_err *err)
{
    size_t n = vlm_bytes_left(piece);
    if (n > VLM_WORDPIECE_PIECE_MAX)
        return vlm_fail(err, VLM_ELIMIT,
                        "WordPiece piece %" PRIu32 " of %zu bytes is over the limit of %d", id, n,
                        VLM_WORDPIECE_PIECE_MAX);
    uint32_t node = ROOT;
    for (size_t i = 0; i < n; i++) {
        uint32_t key = node << 8 | piece->at[i], child = make_child(wordpiece, key);
        if (child == NO_NODE && wordpiece->n_nodes == VLM_WORDPIECE_NODES_MAX)
            return vlm_fail(err, VLM_ELIMIT,
                            "WordPiece vocabulary has over %d distinct beginnings of pieces",
                            VLM_WORDPIECE_NODES_MAX - 1);
        if (child == NO_NODE)
            return no_memory(err);
        if (i == n - 1) {
            wordpiece->edges[slot_of(wordpiece, key)].child = child | PIECE;
            wordpiece->ids[child] = id;
        }
        node = child;
    }
    return VLM_OK;
}

/* Where pieces inside a word begin: behind the prefix. */
static void find_inside(struct vlm_wordpiece *wordpiece, const char *prefix)
{
    wordpiece->no_prefix = !*prefix;
    for (; *prefix; prefix++) {
        wordpiece->inside = child_of(wordpiece, wordpiece->inside, (uint8_t)*prefix) & NODE;
        if (wordpiece->inside == NO_NODE)
            break;
    }
}

int vlm_wordpiece_new(struct vlm_wordpiece **out, const struct vlm_wordpiece_source *source,
                      struct vlm_err *err)
{
    enum { FIRST_BITS = 10, FIRST_SIZE = 1 << FIRST_BITS };
    struct vlm_wordpiece *wordpiece = calloc(1, sizeof(*wordpiece));
    *out = NULL;
    if (!wordpiece)
        return no_memory(err);
    *wordpiece = (struct vlm_wordpiece){
        .edges = calloc(FIRST_SIZE, sizeof(*wordpiece->edges)),
        .mask = FIRST_SIZE - 1,
        .shift = 32 - FIRST_BITS,
        .ids = malloc(FIRST_SIZE * sizeof(*wordpiece->ids)),
        .ids_capacity = FIRST_SIZE,
        .n_nodes = 1,
        .unknown = source->unknown,
        .word_max = source->word_max,
    };
    int rc = wordpiece->edges && wordpiece->ids ? VLM_OK : no_memory(err);
    for (uint32_t i = 0; rc == VLM_OK && i < source->n_pieces; i++)
        if (source->pieces[i].at)
            rc = add_piece(wordpiece, &source->pieces[i], i, err);
    if (rc != VLM_OK) {
        vlm_wordpiece_free(wordpiece);
        return rc;
    }
    find_inside(wordpiece, source->prefix);
    *out = wordpiece;
    return VLM_OK;
}

void vlm_wordpiece_free(struct vlm_wordpiece *wordpiece)
{
    if (!wordpiece)
        return;
    free(wordpiece->edges);
    free(wordpiece->ids);
    free(wordpiece);
}

/* Bytes of the longest piece at text, which begins at a node; 0: none. */
static size_t longest(const struct vlm_wordpiece *wordpiece, uint32_t node, const char *text,
                      size_t n, uint32_t *id)
{
    size_t length = 0;
    uint32_t last = ROOT;
    for (size_t i = 0; i < n; i++) {
        uint32_t child = child_of(wordpiece, node, (uint8_t)text[i]);
        if (child == NO_NODE)
            break;
        node = child & NODE;
        if (child & PIECE) {
            last = node;
            length = i + 1;
        }
    }
    if (length)
        *id = wordpiece->ids[last];
    return length;
}

static size_t character_at(const char *text, size_t n)
{
    size_t bytes = vlm_utf8_valid_at(text, n);
    return bytes ? bytes : 1;
}

static bool is_too_long(const struct vlm_wordpiece *wordpiece, const char *word, size_t n)
{
    if (n <= wordpiece->word_max)
        return false;
    if (n / 4 > wordpiece->word_max)
        return true;
    size_t count = 0;
    for (size_t i = 0; i < n; count++)
        i += character_at(word + i, n - i);
    return count > wordpiece->word_max;
}

static void add_token(struct vlm_tokens *tokens, uint32_t id, size_t start, size_t end)
{
    if (tokens->with_spans)
        tokens->spans[tokens->n] = (struct vlm_token_span){ (uint32_t)start, (uint32_t)end };
    tokens->ids[tokens->n++] = id;
}

int vlm_wordpiece_word(const struct vlm_wordpiece *wordpiece, struct vlm_tokens *tokens,
                       const char *word, size_t n, struct vlm_err *err)
{
    size_t first = tokens->n, start = 0;
    bool bad = is_too_long(wordpiece, word, n);
    if (!vlm_tokens_reserve(tokens, bad ? 1 : n))
        return vlm_fail(err, VLM_ENOMEM, "no memory for the tokens of a word of %zu bytes", n);
    while (start < n && !bad) {
        uint32_t id = 0, node = start ? wordpiece->inside : ROOT;
        size_t length = 0;
        if (!start || node != NO_NODE || wordpiece->no_prefix)
            length = longest(wordpiece, node, word + start, n - start, &id);
        bad = !length;
        add_token(tokens, id, start, start + length);
        start += length;
    }
    if (bad) {
        tokens->n = first;
        add_token(tokens, wordpiece->unknown, 0, n);
    }
    return VLM_OK;
}

enum cut { CUT_NOT, CUT_SPACE, CUT_PUNCTUATION };

/* ASCII 33 to 47, 58 to 64, 91 to 96 and 123 to 126. */
static inline enum cut ascii_cut(uint8_t c)
{
    static const uint64_t punctuation[2] = { 0xfc00fffe00000000u, 0x78000001f8000001u };
    if (punctuation[c >> 6] >> (c & 63) & 1)
        return CUT_PUNCTUATION;
    return c == ' ' || (c >= '\t' && c <= '\r') ? CUT_SPACE : CUT_NOT;
}

static enum cut cut_at(const char *text, size_t n, size_t *bytes)
{
    *bytes = 1;
    if ((uint8_t)*text < 0x80)
        return ascii_cut((uint8_t)*text);
    if (!vlm_utf8_valid_at(text, n))
        return CUT_NOT;
    uint32_t c = vlm_utf8_decode(text, bytes);
    int category = utf8proc_get_property((utf8proc_int32_t)c)->category;
    bool punctuation = category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
    if (punctuation != vlm_package_differs(c, VLM_PACKAGE_PUNCTUATION))
        return CUT_PUNCTUATION;
    return vlm_char_class(c) == VLM_CHAR_SPACE ? CUT_SPACE : CUT_NOT;
}

size_t vlm_bert_word_next(const char *text, size_t n, size_t *at)
{
    size_t i = *at, bytes = 0;
    enum cut cut = CUT_SPACE;
    while (i < n && (cut = cut_at(text + i, n - i, &bytes)) == CUT_SPACE)
        i += bytes;
    *at = i;
    if (i == n)
        return 0;
    i += bytes;
    if (cut == CUT_PUNCTUATION)
        return bytes;
    while (i < n && cut_at(text + i, n - i, &bytes) == CUT_NOT)
        i += bytes;
    return i - *at;
}
