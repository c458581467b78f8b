/* unigram.c - the best pieces of a word by dynamic programming, over a tree of the pieces.
 *
 * The children of a node stand side by side, and nodes level by level, so a node is where its children are and how many:
 * the tree is made in one pass over the sorted pieces, and a vocabulary with any pieces costs as much as its bytes. A
 * step is a search for one byte among at most 256. */
#include "base/vlm.h"
#include "tokenize/text/unigram.h"

#include "base/limits.h"
#include "base/utf8.h"
#include "tokenize/bpe/bpe.h"

#include <math.h>

enum { ROOT = 0, NOWHERE = 0, FEW = 8 };
static const double unknown_penalty = 10;

struct node {
    uint32_t first; /* its children are the nodes from here on */
    uint32_t n;     /* as many */
    uint32_t piece; /* that ends here, or VLM_NO_TOKEN */
};

struct vlm_unigram {
    struct node *nodes; /* [n_nodes] */
    uint8_t *labels;    /* [n_nodes] the byte that leads to a node */
    double *scores;
    uint32_t n_nodes;
    uint32_t start[256]; /* children of the root by their byte; NOWHERE: none */
    uint32_t unknown;
    double unknown_score;
    uint32_t fallback[256];
    bool falls_back;
};

/* The best way to a place between two bytes: the piece that ends there, and where it starts. */
struct vlm_unigram_place {
    double score;
    uint32_t from, id; /* from UINT32_MAX: no way led here yet */
};

static int no_memory(struct vlm_err *err)
{
    return vlm_fail(err, VLM_ENOMEM, "no memory for a Unigram vocabulary");
}

/* The tree in the making: pieces in the order of their bytes, and which of them go through each node. */
struct making {
    const struct vlm_bytes *pieces;
    uint32_t *order;     /* [n] ids */
    uint32_t *low, *end; /* [capacity] of order, for each node */
    uint32_t *depth;     /* [capacity] */
    uint32_t n;
    size_t capacity;
};

struct sorted {
    const uint8_t *at;
    uint32_t n, id;
};

/* Equal pieces by id, so that the last of them is the one that counts. */
static int by_bytes(const void *a, const void *b)
{
    const struct sorted *left = a, *right = b;
    int order = memcmp(left->at, right->at, VLM_MIN(left->n, right->n));
    if (order)
        return order;
    if (left->n != right->n)
        return left->n < right->n ? -1 : 1;
    return (left->id > right->id) - (left->id < right->id);
}

static bool sort_pieces(struct making *making)
{
    struct sorted *sorted = malloc(((size_t)making->n + 1) * sizeof *sorted);
    making->order = malloc(((size_t)making->n + 1) * sizeof *making->order);
    if (sorted && making->order) {
        for (uint32_t i = 0; i < making->n; i++)
            sorted[i] = (struct sorted){ making->pieces[i].at,
                                         (uint32_t)vlm_bytes_left(&making->pieces[i]), i };
        qsort(sorted, making->n, sizeof *sorted, by_bytes);
        for (uint32_t i = 0; i < making->n; i++)
            making->order[i] = sorted[i].id;
    }
    free(sorted);
    return sorted && making->order;
}

static bool resize(void *array, size_t n, size_t size)
{
    void **place = array, *moved = realloc(*place, n * size);
    if (moved)
        *place = moved;
    return moved;
}

static bool grow(struct vlm_unigram *unigram, struct making *making)
{
    size_t n = making->capacity ? 2 * making->capacity : 1024;
    if (!resize(&unigram->nodes, n, sizeof *unigram->nodes) || !resize(&unigram->labels, n, 1) ||
        !resize(&making->low, n, sizeof *making->low) ||
        !resize(&making->end, n, sizeof *making->end) ||
        !resize(&making->depth, n, sizeof *making->depth))
        return false;
    making->capacity = n;
    return true;
}

static int add_node(struct vlm_unigram *unigram, struct making *making, uint32_t low, uint32_t end,
                    uint32_t depth, uint8_t label, struct vlm_err *err)
{
    uint32_t node = unigram->n_nodes;
    if (node == VLM_UNIGRAM_NODES_MAX)
        return vlm_fail(err, VLM_ELIMIT, "Unigram vocabulary has over %d distinct beginnings",
                        VLM_UNIGRAM_NODES_MAX - 1);
    if (node == making->capacity && !grow(unigram, making))
        return no_memory(err);
    unigram->nodes[node] = (struct node){ 0, 0, VLM_NO_TOKEN };
    unigram->labels[node] = label;
    making->low[node] = low;
    making->end[node] = end;
    making->depth[node] = depth;
    unigram->n_nodes++;
    return VLM_OK;
}

/* The children of a node, all of them at the end of the nodes. Pieces that end in it stand first. */
static int add_children(struct vlm_unigram *unigram, struct making *making, uint32_t node,
                        struct vlm_err *err)
{
    uint32_t low = making->low[node], end = making->end[node], depth = making->depth[node];
    for (; low < end && vlm_bytes_left(&making->pieces[making->order[low]]) == depth; low++)
        unigram->nodes[node].piece = making->order[low];
    unigram->nodes[node].first = unigram->n_nodes;
    while (low < end) {
        uint32_t first = low;
        uint8_t label = making->pieces[making->order[low]].at[depth];
        while (low < end && making->pieces[making->order[low]].at[depth] == label)
            low++;
        int rc = add_node(unigram, making, first, low, depth + 1, label, err);
        if (rc != VLM_OK)
            return rc;
        unigram->nodes[node].n++;
    }
    return VLM_OK;
}

static int make_tree(struct vlm_unigram *unigram, const struct vlm_unigram_source *source,
                     struct vlm_err *err)
{
    struct making making = { .pieces = source->pieces, .n = source->n_pieces };
    int rc =
        sort_pieces(&making) ? add_node(unigram, &making, 0, making.n, 0, 0, err) : no_memory(err);
    for (uint32_t node = ROOT; rc == VLM_OK && node < unigram->n_nodes; node++)
        rc = add_children(unigram, &making, node, err);
    free(making.order);
    free(making.low);
    free(making.end);
    free(making.depth);
    if (rc != VLM_OK)
        return rc;
    for (uint32_t i = 0; i < unigram->nodes[ROOT].n; i++) {
        uint32_t child = unigram->nodes[ROOT].first + i;
        unigram->start[unigram->labels[child]] = child;
    }
    return VLM_OK;
}

static int check_pieces(const struct vlm_unigram_source *source, struct vlm_err *err)
{
    for (uint32_t i = 0; i < source->n_pieces; i++) {
        size_t n = vlm_bytes_left(&source->pieces[i]);
        if (n > VLM_UNIGRAM_PIECE_MAX)
            return vlm_fail(err, VLM_ELIMIT,
                            "Unigram piece %" PRIu32 " of %zu bytes is over the limit of %d", i, n,
                            VLM_UNIGRAM_PIECE_MAX);
    }
    return VLM_OK;
}

int vlm_unigram_new(struct vlm_unigram **out, const struct vlm_unigram_source *source,
                    struct vlm_err *err)
{
    double lowest = INFINITY;
    int rc = check_pieces(source, err);
    *out = NULL;
    if (rc != VLM_OK)
        return rc;
    struct vlm_unigram *unigram = calloc(1, sizeof *unigram);
    if (!unigram)
        return no_memory(err);
    unigram->unknown = source->unknown;
    unigram->falls_back = source->fallback;
    if (source->fallback)
        memcpy(unigram->fallback, source->fallback, sizeof unigram->fallback);
    unigram->scores = malloc(((size_t)source->n_pieces + 1) * sizeof *unigram->scores);
    rc = unigram->scores ? make_tree(unigram, source, err) : no_memory(err);
    if (rc != VLM_OK) {
        vlm_unigram_free(unigram);
        return rc;
    }
    for (uint32_t i = 0; i < source->n_pieces; i++) {
        unigram->scores[i] = source->scores[i];
        lowest = VLM_MIN(lowest, source->scores[i]);
    }
    unigram->unknown_score = lowest - unknown_penalty;
    *out = unigram;
    return VLM_OK;
}

void vlm_unigram_free(struct vlm_unigram *unigram)
{
    if (!unigram)
        return;
    free(unigram->nodes);
    free(unigram->labels);
    free(unigram->scores);
    free(unigram);
}

void vlm_unigram_path_release(struct vlm_unigram_path *path)
{
    free(path->places);
    *path = (struct vlm_unigram_path){ 0 };
}

static inline uint32_t child_of(const struct vlm_unigram *unigram, uint32_t node, uint8_t byte)
{
    if (node == ROOT)
        return unigram->start[byte];
    uint32_t first = unigram->nodes[node].first, n = unigram->nodes[node].n;
    const uint8_t *labels = unigram->labels + first;
    if (n > FEW) {
        const uint8_t *found = memchr(labels, byte, n);
        return found ? first + (uint32_t)(found - labels) : NOWHERE;
    }
    for (uint32_t i = 0; i < n; i++)
        if (labels[i] == byte)
            return first + i;
    return NOWHERE;
}

/* The last of the pieces that are these n bytes, or VLM_NO_TOKEN. */
static uint32_t find_piece(const struct vlm_unigram *unigram, const char *text, size_t n)
{
    uint32_t node = ROOT;
    for (size_t i = 0; i < n; i++) {
        node = child_of(unigram, node, (uint8_t)text[i]);
        if (node == NOWHERE)
            return VLM_NO_TOKEN;
    }
    return unigram->nodes[node].piece;
}

static inline size_t character_at(const char *text, size_t n)
{
    if ((uint8_t)*text < 0x80)
        return 1;
    size_t bytes = vlm_utf8_valid_at(text, n);
    return bytes ? bytes : 1;
}

/* Takes the way to a place over a piece if none is as good; of equal ways the first one stays. */
static inline bool offer(struct vlm_unigram_place *place, double score, size_t from, uint32_t id)
{
    if (place->from != UINT32_MAX && !(score > place->score))
        return false;
    *place = (struct vlm_unigram_place){ score, (uint32_t)from, id };
    return true;
}

static int no_unknown(const char *text, size_t n, struct vlm_err *err)
{
    return vlm_fail(err, VLM_EFORMAT,
                    "the character '%.*s' is no piece, and the vocabulary has no unk_id", (int)n,
                    text);
}

/* The best way to every place of the word. */
static int find_ways(const struct vlm_unigram *unigram, struct vlm_unigram_place *places,
                     const char *word, size_t n, struct vlm_err *err)
{
    for (size_t i = 0; i <= n; i++)
        places[i].from = UINT32_MAX;
    places[0].score = 0;
    for (size_t at = 0, bytes; at < n; at += bytes) {
        double score = places[at].score;
        bool single = false;
        uint32_t node = ROOT;
        bytes = character_at(word + at, n - at);
        for (size_t i = at; i < n; i++) {
            node = child_of(unigram, node, (uint8_t)word[i]);
            if (node == NOWHERE)
                break;
            uint32_t piece = unigram->nodes[node].piece;
            if (piece == VLM_NO_TOKEN)
                continue;
            offer(&places[i + 1], unigram->scores[piece] + score, at, piece);
            single = single || i + 1 - at == bytes;
        }
        if (!single &&
            offer(&places[at + bytes], unigram->unknown_score + score, at, unigram->unknown) &&
            unigram->unknown == VLM_NO_TOKEN)
            return no_unknown(word + at, bytes, err);
    }
    return VLM_OK;
}

/* Turns the best way around, so that `from` of each place on it is where its piece ends; returns the tokens that it
 * has at most. */
static size_t turn_around(const struct vlm_unigram *unigram, struct vlm_unigram_place *places,
                          size_t n)
{
    uint32_t end = (uint32_t)n, start = places[n].from, id = places[n].id;
    size_t count = 0;
    for (;;) {
        struct vlm_unigram_place before = places[start];
        places[start].from = end;
        places[start].id = id;
        count += id == unigram->unknown && unigram->falls_back ? end - start : 1;
        if (!start)
            return count;
        end = start;
        start = before.from;
        id = before.id;
    }
}

static void add_token(struct vlm_tokens *tokens, uint32_t id, size_t start, size_t end)
{
    if (tokens->with_spans)
        tokens->spans[tokens->n] = (struct vlm_token_span){ (uint32_t)start, (uint32_t)end };
    tokens->ids[tokens->n++] = id;
}

/* A stretch of unknown characters. */
static void add_unknown(const struct vlm_unigram *unigram, struct vlm_tokens *tokens,
                        const char *word, size_t start, size_t end)
{
    uint32_t id = find_piece(unigram, word + start, end - start);
    bool bytes = id == VLM_NO_TOKEN && unigram->falls_back;
    for (size_t i = start; bytes && i < end; i++)
        bytes = unigram->fallback[(uint8_t)word[i]] != VLM_NO_TOKEN;
    if (!bytes)
        add_token(tokens, id == VLM_NO_TOKEN ? unigram->unknown : id, start, end);
    for (size_t i = start; bytes && i < end; i++)
        add_token(tokens, unigram->fallback[(uint8_t)word[i]], i, i + 1);
}

int vlm_unigram_word(const struct vlm_unigram *unigram, struct vlm_unigram_path *path,
                     struct vlm_tokens *tokens, const char *word, size_t n, struct vlm_err *err)
{
    if (!n)
        return VLM_OK;
    if (n >= path->capacity) {
        size_t capacity = VLM_MAX(n + 1, (size_t)256);
        free(path->places);
        path->places = malloc(capacity * sizeof *path->places);
        path->capacity = path->places ? capacity : 0;
    }
    struct vlm_unigram_place *places = path->places;
    if (!places)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the pieces of a word of %zu bytes", n);
    int rc = find_ways(unigram, places, word, n, err);
    if (rc != VLM_OK)
        return rc;
    if (!vlm_tokens_reserve(tokens, turn_around(unigram, places, n)))
        return vlm_fail(err, VLM_ENOMEM, "no memory for the tokens of a word of %zu bytes", n);
    for (size_t start = 0, end; start < n; start = end) {
        end = places[start].from;
        if (places[start].id != unigram->unknown) {
            add_token(tokens, places[start].id, start, end);
            continue;
        }
        while (end < n && places[end].id == unigram->unknown)
            end = places[end].from;
        add_unknown(unigram, tokens, word, start, end);
    }
    return VLM_OK;
}

/* 10 to the power of n <= 308. */
static double power_of_ten(unsigned n)
{
    static const double exact[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    char text[16];
    if (n < VLM_COUNTOF(exact))
        return exact[n];
    snprintf(text, sizeof text, "1e%u", n);
    return strtod(text, NULL);
}

static bool scale(double *value, int64_t exponent)
{
    enum { LARGEST = 308 };
    for (; *value != 0 && exponent < -LARGEST; exponent += LARGEST)
        *value /= power_of_ten(LARGEST);
    if (*value == 0)
        return true;
    if (exponent > LARGEST)
        return false;
    if (exponent < 0)
        *value /= power_of_ten((unsigned)-exponent);
    else
        *value *= power_of_ten((unsigned)exponent);
    return !isinf(*value);
}

bool vlm_unigram_score(double *score, const char *text, size_t n)
{
    enum { EXPONENT_MAX = 1000000 };
    const char *end = text + n;
    bool negative = n && *text == '-', full = false, fraction = false;
    uint64_t digits = 0;
    int64_t exponent = 0, written = 0;
    text += negative;
    for (; text < end && *text != 'e' && *text != 'E'; text++) {
        if (*text == '.') {
            fraction = true;
            full = false;
            continue;
        }
        uint64_t digit = (uint64_t)(*text - '0');
        full = full || digits > (UINT64_MAX - digit) / 10;
        digits = full ? digits : 10 * digits + digit;
        exponent += full ? !fraction : -(int64_t)fraction;
    }
    if (text < end)
        text++;
    bool down = text < end && *text == '-';
    if (text < end && (*text == '-' || *text == '+'))
        text++;
    for (; text < end; text++)
        written = VLM_MIN(10 * written + (*text - '0'), (int64_t)EXPONENT_MAX);
    double value = (double)digits;
    bool fits = scale(&value, exponent + (down ? -written : written));
    *score = negative ? -value : value;
    return fits;
}
