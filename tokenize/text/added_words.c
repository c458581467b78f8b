/* added_words.c - finding added tokens in a text: of all that begin at the leftmost place the longest, then on
 * behind it, as the package tokenizers (which has the double array of daachorse for it).
 *
 * A tree of bytes whose edges lie in one hash table. From each byte that begins a word the tree is followed as
 * far as it goes; words are short (VLM_PIECE_MAX), so the time is linear in the text. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/utf8.h"
#include "tokenize/unicode/char_class.h"
#include "tokenize/text/pipeline.h"

struct edge {
    uint64_t key; /* node * 256 + byte + 1; 0: free */
    uint32_t node;
};

struct vlm_added_words {
    struct edge *edges;
    size_t mask;
    const struct vlm_added_token **ends; /* [nodes] the word that ends here, or NULL */
    uint32_t n_nodes;
    bool first[256];
};

static struct edge *edge_of(const struct vlm_added_words *words, uint32_t node, uint8_t byte)
{
    uint64_t key = ((uint64_t)node << 8 | byte) + 1;
    size_t i = (key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & words->mask;
    while (words->edges[i].key && words->edges[i].key != key)
        i = (i + 1) & words->mask;
    return &words->edges[i];
}

static void add_word(struct vlm_added_words *words, const struct vlm_added_token *token)
{
    uint32_t node = 0;
    words->first[(uint8_t)token->normal.at[0]] = true;
    for (size_t i = 0; i < token->normal.n; i++) {
        uint8_t byte = (uint8_t)token->normal.at[i];
        struct edge *edge = edge_of(words, node, byte);
        if (!edge->key)
            *edge = (struct edge){ ((uint64_t)node << 8 | byte) + 1, words->n_nodes++ };
        node = edge->node;
    }
    if (!words->ends[node])
        words->ends[node] = token;
}

int vlm_added_words_new(struct vlm_added_words **out, const struct vlm_added_token *added, size_t n,
                        unsigned normalized, struct vlm_err *err)
{
    size_t bytes = 0, places = 16, count = 0;
    for (size_t i = 0; i < n; i++)
        if ((added[i].flags & VLM_ADDED_NORMALIZED) == normalized && added[i].normal.n)
            bytes += added[i].normal.n, count++;
    *out = NULL;
    if (!count)
        return VLM_OK;
    while (places / 2 < bytes)
        places *= 2;
    struct vlm_added_words *words = calloc(1, sizeof *words);
    if (words) {
        *words = (struct vlm_added_words){ .edges = calloc(places, sizeof *words->edges),
                                           .mask = places - 1,
                                           .ends = calloc(bytes + 1, sizeof *words->ends),
                                           .n_nodes = 1 };
    }
    if (!words || !words->edges || !words->ends) {
        vlm_added_words_free(words);
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu added tokens", count);
    }
    for (size_t i = 0; i < n; i++)
        if ((added[i].flags & VLM_ADDED_NORMALIZED) == normalized && added[i].normal.n)
            add_word(words, &added[i]);
    *out = words;
    return VLM_OK;
}

void vlm_added_words_free(struct vlm_added_words *words)
{
    if (!words)
        return;
    free(words->edges);
    free(words->ends);
    free(words);
}

/* The longest word at text, or NULL. */
static const struct vlm_added_token *longest_at(const struct vlm_added_words *words,
                                                const char *text, size_t n)
{
    const struct vlm_added_token *found = NULL;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        const struct edge *edge = edge_of(words, node, (uint8_t)text[i]);
        if (!edge->key)
            break;
        node = edge->node;
        if (words->ends[node])
            found = words->ends[node];
    }
    return found;
}

/* The start of the character that ends at end. */
static size_t before(const char *text, size_t end)
{
    size_t start = end - 1;
    while (start && end - start < 4 && ((uint8_t)text[start] & 0xc0) == 0x80)
        start--;
    return start + vlm_utf8_valid_at(text + start, end - start) == end ? start : end - 1;
}

static bool is_word_at(const char *text, size_t n)
{
    size_t bytes;
    return n && vlm_utf8_valid_at(text, n) && vlm_is_word_char(vlm_utf8_decode(text, &bytes));
}

bool vlm_added_words_next(const struct vlm_added_words *words, const char *text, size_t n,
                          size_t *from, size_t left, unsigned flags, struct vlm_added_match *match)
{
    for (size_t i = *from; i < n; i++) {
        if (!words->first[(uint8_t)text[i]])
            continue;
        const struct vlm_added_token *token = longest_at(words, text + i, n - i);
        if (!token)
            continue;
        size_t start = i, end = i + token->normal.n, bytes;
        *from = end;
        i = end - 1;
        if ((token->flags & VLM_ADDED_SPECIAL) && !(flags & VLM_TEXT_SPECIALS))
            continue;
        if ((token->flags & VLM_ADDED_SINGLE_WORD) &&
            ((start && is_word_at(text + before(text, start), start - before(text, start))) ||
             is_word_at(text + end, n - end)))
            continue;
        if (token->flags & VLM_ADDED_LSTRIP)
            while (start > left) {
                size_t at = before(text, start);
                if (at < left || vlm_char_class_at(text + at, start - at, &bytes) != VLM_CHAR_SPACE)
                    break;
                start = at;
            }
        if (token->flags & VLM_ADDED_RSTRIP)
            while (end < n && vlm_char_class_at(text + end, n - end, &bytes) == VLM_CHAR_SPACE)
                end += bytes;
        *match = (struct vlm_added_match){ start, end, token };
        return true;
    }
    *from = n;
    return false;
}
