/* spell.c - bytes of tokens on their way to a reader.
 *
 * Three things are held back: what may become a stop word, what may become a character, and nothing else. A stop word
 * is looked for in the bytes as they come; it is the one that ends first, and of those that end together the longest,
 * so that it does not depend on where tokens end. */
#include "base/vlm.h"

#include "base/utf8.h"
#include "models/generate/spell.h"

void vlm_spell_init(struct vlm_spell *spell, const struct vlm_vocabulary *vocabulary,
                    const char *const *words, size_t n_words)
{
    *spell = (struct vlm_spell){
        .vocabulary = vocabulary, .words = words, .n_words = n_words, .word = SIZE_MAX
    };
}

void vlm_spell_release(struct vlm_spell *spell)
{
    vlm_buffer_release(&spell->held);
}

size_t vlm_spell_find(const uint8_t *bytes, size_t n, size_t from, const char *const *words,
                      size_t n_words, size_t *word)
{
    for (size_t end = from + 1; end <= n; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < n_words; i++) {
            const size_t size = strlen(words[i]);
            if (size <= longest || size > end || memcmp(bytes + end - size, words[i], size) != 0)
                continue;
            longest = size;
            *word = i;
        }
        if (longest)
            return end - longest;
    }
    return SIZE_MAX;
}

/* ---- characters ---- */

/* Whether n bytes are the beginning of a valid character, but not all of it (RFC 3629, section 4). */
static bool is_begun(const uint8_t *bytes, size_t n)
{
    static const struct {
        uint8_t first, last, low, high, size; /* of the first byte; of the second; bytes in all */
    } rows[] = {
        { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++) {
        if (bytes[0] < rows[i].first || bytes[0] > rows[i].last)
            continue;
        bool begun =
            n < rows[i].size && (n < 2 || (bytes[1] >= rows[i].low && bytes[1] <= rows[i].high));
        return begun && (n < 3 || (bytes[2] & 0xc0) == 0x80);
    }
    return false;
}

/* Bytes at the end that may become a character. */
static size_t unfinished(const uint8_t *bytes, size_t n)
{
    for (size_t k = VLM_MIN(n, (size_t)3); k > 0; k--)
        if (is_begun(bytes + n - k, k))
            return k;
    return 0;
}

void vlm_spell_bytes(struct vlm_buffer *out, const uint8_t *bytes, size_t n)
{
    while (n) {
        size_t valid = vlm_utf8_valid_prefix((const char *)bytes, n), bad = 0;
        vlm_buffer_add(out, bytes, valid);
        bytes += valid;
        n -= valid;
        if (!n)
            break;
        for (size_t k = VLM_MIN(n, (size_t)3); !bad && k > 0; k--)
            bad = is_begun(bytes, k) ? k : 0;
        vlm_buffer_text(out, VLM_UTF8_REPLACEMENT);
        bad = bad ? bad : 1;
        bytes += bad;
        n -= bad;
    }
}

/* ---- tokens ---- */

size_t vlm_spell_open(const uint8_t *bytes, size_t n, const char *const *words, size_t n_words)
{
    size_t most = unfinished(bytes, n);
    for (size_t i = 0; i < n_words; i++) {
        const size_t size = strlen(words[i]);
        for (size_t k = VLM_MIN(size - 1, n); k > most; k--)
            if (!memcmp(bytes + n - k, words[i], k))
                most = k;
    }
    return most;
}

/* Gives out the first n bytes that are held. */
static void give(struct vlm_spell *spell, struct vlm_buffer *out, size_t n)
{
    struct vlm_buffer *held = &spell->held;
    if (!n)
        return;
    vlm_spell_bytes(out, held->data, n);
    memmove(held->data, held->data + n, held->size - n);
    held->size -= n;
}

void vlm_spell_token(struct vlm_spell *spell, struct vlm_buffer *out, uint32_t id)
{
    const struct vlm_vocabulary *vocabulary = spell->vocabulary;
    struct vlm_buffer *held = &spell->held;
    if (spell->word != SIZE_MAX)
        return;
    if (id >= vocabulary->n_text || vlm_vocabulary_is_control(vocabulary, id) ||
        vlm_vocabulary_mask_number(vocabulary, id) >= 0) {
        vlm_spell_end(spell, out);
        return;
    }
    const struct vlm_bytes piece = vlm_text_tokenizer_piece(vocabulary->tokenizer, id);
    const size_t before = held->size;
    if (!piece.at)
        return;
    vlm_buffer_add(held, piece.at, vlm_bytes_left(&piece));
    if (held->failed || held->size == before)
        return;
    const size_t found =
        vlm_spell_find(held->data, held->size, before, spell->words, spell->n_words, &spell->word);
    if (found != SIZE_MAX) {
        give(spell, out, found);
        held->size = 0;
        return;
    }
    const size_t open = vlm_spell_open(held->data, held->size, spell->words, spell->n_words);
    give(spell, out, held->size - open);
}

void vlm_spell_end(struct vlm_spell *spell, struct vlm_buffer *out)
{
    if (spell->word == SIZE_MAX)
        give(spell, out, spell->held.size);
    if (spell->held.failed)
        out->failed = true;
}
