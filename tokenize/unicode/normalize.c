/* normalize.c - the normalizers of tokenizer.json over an array of characters, each with its place.
 *
 * A text is decoded once, every step maps an array of characters to another, and the result is
 * encoded. That is as exact as a place for each byte, since all bytes of a character have the same.
 * A byte that is not UTF-8 is a character of its own above U+10FFFF and goes through every step as
 * it is.
 *
 * Places follow the package tokenizers: a character that a step adds has the place of the one
 * before it, one that replaces others has the place of the first. Unicode is the package's, too
 * (package_unicode.h). */
#include "base/vlm.h"
#include "tokenize/unicode/normalize.h"

#include "base/array.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "tokenize/unicode/byte_spelling.h"
#include "tokenize/unicode/charsmap.h"
#include "tokenize/unicode/grapheme.h"
#include "tokenize/unicode/normal_char.h"
#include "tokenize/unicode/normal_form.h"
#include "tokenize/unicode/pattern.h"

enum {
    NOT_UTF8 = 0x110000, /* plus a byte */
    REPLACEMENT = 0xfffd,
    BERT_CHARACTER_MAX = 3,
    NO_CHARACTER = 0xffff, /* stands for bytes that are not UTF-8 where a pattern wants UTF-8 */
};

struct place {
    uint32_t start, end;
};

struct item {
    uint32_t c;
    struct place at;
};

struct items {
    struct item *item;
    size_t n, capacity;
};

struct scratch {
    struct items from, to;
    struct vlm_form form;
    char *text; /* what a pattern is matched against */
    size_t text_capacity;
    size_t max; /* characters that a result may have */
};

/* There is an array afterwards even for none. */
static bool items_reserve(struct items *items, size_t more)
{
    return vlm_array_reserve(&items->item, &items->capacity, items->n, more + 1,
                             sizeof(*items->item));
}

static int no_memory(struct vlm_err *err, size_t n)
{
    return vlm_fail(err, VLM_ENOMEM, "no memory to normalize a text of %zu bytes", n);
}

static int over_limit(const struct scratch *scratch, struct vlm_err *err)
{
    return vlm_fail(err, VLM_ELIMIT, "normalized text is over the limit of %zu characters",
                    scratch->max);
}

static int grow(struct scratch *scratch, size_t more, struct vlm_err *err)
{
    if (more > scratch->max - VLM_MIN(scratch->max, scratch->to.n))
        return over_limit(scratch, err);
    return items_reserve(&scratch->to, more) ? VLM_OK : no_memory(err, scratch->from.n + more);
}

/* Room for `more` characters of the step's result. */
static inline int room(struct scratch *scratch, size_t more, struct vlm_err *err)
{
    size_t left = VLM_MIN(scratch->to.capacity, scratch->max) - scratch->to.n;
    return more <= left && scratch->to.item ? VLM_OK : grow(scratch, more, err);
}

/* The characters from first to end as they are. */
static int add_rest(struct scratch *scratch, size_t first, size_t end, struct vlm_err *err)
{
    int rc = room(scratch, end - first, err);
    if (rc == VLM_OK && end > first) {
        memcpy(scratch->to.item + scratch->to.n, scratch->from.item + first,
               (end - first) * sizeof(struct item));
        scratch->to.n += end - first;
    }
    return rc;
}

/* n characters, all of them at one place. */
static inline int add_all(struct scratch *scratch, const uint32_t *c, size_t n, struct place at,
                          struct vlm_err *err)
{
    int rc = room(scratch, n, err);
    for (size_t i = 0; rc == VLM_OK && i < n; i++)
        scratch->to.item[scratch->to.n++] = (struct item){ c[i], at };
    return rc;
}

/* The result of a step becomes the input of the next. */
static void turn(struct scratch *scratch)
{
    struct items from = scratch->from;
    scratch->from = scratch->to;
    scratch->to = from;
    scratch->to.n = 0;
}

enum form_flag { FORM_COMPATIBLE = 1, FORM_COMPOSE = 2, FORM_BERT_ACCENTS = 4, FORM_LOWERCASE = 8 };

/* The pieces of a form, which were made of the characters from `at` on, with their places. */
static int place_pieces(struct scratch *scratch, size_t at, unsigned flags, struct vlm_err *err)
{
    const struct item *from = scratch->from.item;
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < scratch->form.n; i++) {
        const struct vlm_form_piece *piece = &scratch->form.pieces[i];
        struct place place = { 0, 0 };
        if (piece->change > 0) {
            if (at > 0)
                place = from[at - 1].at;
        } else {
            VLM_BUG_IF(at >= scratch->from.n);
            place = from[at].at;
            at += (size_t)(1 - piece->change);
        }
        if (flags & FORM_BERT_ACCENTS && vlm_normal_is_nonspacing(piece->c))
            continue;
        uint32_t c[2] = { piece->c };
        size_t n = flags & FORM_LOWERCASE ? vlm_normal_lower(c, piece->c) : 1;
        rc = add_all(scratch, c, n, place, err);
    }
    return rc;
}

/* A normal form of the whole text. ASCII neither changes nor moves, so what lies between is done in
 * runs; an ASCII character before such a run may be composed with its first mark. */
static int form_step(struct scratch *scratch, unsigned flags, struct vlm_err *err)
{
    const struct item *from = scratch->from.item;
    size_t n = scratch->from.n, i = 0;
    int rc = room(scratch, n, err);
    while (rc == VLM_OK && i < n) {
        size_t end = i;
        while (end < n && from[end].c < 0x80)
            end++;
        if (end < n && end > i && flags & FORM_COMPOSE)
            end--;
        rc = add_rest(scratch, i, end, err);
        i = end;
        scratch->form.n = 0;
        while (rc == VLM_OK && end < n && (end == i || from[end].c >= 0x80)) {
            rc = vlm_form_decompose(&scratch->form, flags & FORM_COMPATIBLE, from[end].c, err);
            end++;
            if (scratch->form.n > scratch->max)
                return over_limit(scratch, err);
        }
        if (rc == VLM_OK)
            rc = vlm_form_order(&scratch->form, err);
        if (rc == VLM_OK && flags & FORM_COMPOSE)
            vlm_form_compose(&scratch->form);
        if (rc == VLM_OK)
            rc = place_pieces(scratch, i, flags, err);
        i = end;
    }
    turn(scratch);
    return rc;
}

/* Appends what BERT's normalizer makes of a character, but for the accents; at most
 * BERT_CHARACTER_MAX. */
static struct item *bert_character(struct item *out, struct item item, unsigned flags)
{
    uint32_t c = item.c;
    if (flags & VLM_BERT_CLEAN_TEXT) {
        if (vlm_normal_is_control(c) || c == REPLACEMENT)
            return out;
        if (vlm_normal_is_space(c))
            c = ' ';
    }
    bool chinese = flags & VLM_BERT_CHINESE_CHARS && vlm_normal_is_chinese(c);
    if (chinese)
        *out++ = (struct item){ ' ', item.at };
    uint32_t small[2] = { c };
    size_t n = 1;
    if (flags & VLM_BERT_LOWERCASE && (c < 0x80 || !(flags & VLM_BERT_STRIP_ACCENTS)))
        n = vlm_normal_lower(small, c);
    for (size_t i = 0; i < n; i++)
        *out++ = (struct item){ small[i], item.at };
    if (chinese)
        *out++ = (struct item){ ' ', item.at };
    return out;
}

/* Cleaning, spaces around ideographs and lower case of n characters, fast over printable ASCII;
 * returns the bits of all other characters. */
static uint32_t bert_block(struct scratch *scratch, const struct item *in, size_t n, unsigned flags)
{
    struct item *out = scratch->to.item + scratch->to.n;
    uint32_t capitals = flags & VLM_BERT_LOWERCASE ? 'Z' - 'A' + 1 : 0, any = 0;
    for (const struct item *end = in + n; in < end; in++) {
        uint32_t c = in->c;
        if (c - ' ' < 0x7f - ' ') {
            *out++ = (struct item){ c + (c - 'A' < capitals ? 'a' - 'A' : 0), in->at };
            continue;
        }
        any |= c;
        out = bert_character(out, *in, flags);
    }
    scratch->to.n = (size_t)(out - scratch->to.item);
    return any;
}

/* Accents go in a second pass with the lower case behind them, and only where text goes beyond
 * ASCII. */
static int bert_step(struct scratch *scratch, unsigned flags, struct vlm_err *err)
{
    enum { BLOCK = 4096 };
    uint32_t any = 0;
    int rc = room(scratch, scratch->from.n, err);
    for (size_t i = 0, n; rc == VLM_OK && i < scratch->from.n; i += n) {
        n = VLM_MIN(scratch->from.n - i, BLOCK);
        rc = room(scratch, BERT_CHARACTER_MAX * n, err);
        if (rc == VLM_OK)
            any |= bert_block(scratch, scratch->from.item + i, n, flags);
    }
    turn(scratch);
    if (rc != VLM_OK || any < 0x80 || !(flags & VLM_BERT_STRIP_ACCENTS))
        return rc;
    return form_step(scratch, FORM_BERT_ACCENTS | (flags & VLM_BERT_LOWERCASE ? FORM_LOWERCASE : 0),
                     err);
}

static int lowercase_step(struct scratch *scratch, struct vlm_err *err)
{
    int rc = room(scratch, scratch->from.n, err);
    for (size_t i = 0; rc == VLM_OK && i < scratch->from.n; i++) {
        uint32_t small[2];
        size_t n = vlm_normal_lower(small, scratch->from.item[i].c);
        rc = add_all(scratch, small, n, scratch->from.item[i].at, err);
    }
    turn(scratch);
    return rc;
}

static void strip_accents_step(struct scratch *scratch)
{
    struct items *items = &scratch->from;
    size_t n = 0;
    for (size_t i = 0; i < items->n; i++)
        if (!vlm_normal_is_mark(items->item[i].c))
            items->item[n++] = items->item[i];
    items->n = n;
}

static void strip_step(struct scratch *scratch, unsigned flags)
{
    struct items *items = &scratch->from;
    size_t first = 0, end = items->n;
    while (flags & VLM_STRIP_LEFT && first < end && vlm_normal_is_space(items->item[first].c))
        first++;
    while (flags & VLM_STRIP_RIGHT && end > first && vlm_normal_is_space(items->item[end - 1].c))
        end--;
    if (first)
        memmove(items->item, items->item + first, (end - first) * sizeof(*items->item));
    items->n = end - first;
}

/* SentencePiece's rule nmt: some controls go, some other characters are spaces. */
static void nmt_step(struct scratch *scratch)
{
    struct items *items = &scratch->from;
    size_t n = 0;
    for (size_t i = 0; i < items->n; i++) {
        struct item item = items->item[i];
        uint32_t c = item.c;
        if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f ||
            c == 0x9f)
            continue;
        if (c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == 0x1680 ||
            (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
            c == 0xfeff || c == REPLACEMENT)
            item.c = ' ';
        items->item[n++] = item;
    }
    items->n = n;
}

/* The character at text, also of bytes that are not UTF-8. */
static inline uint32_t decode(const char *text, size_t n, size_t *bytes)
{
    if ((uint8_t)text[0] < 0x80) {
        *bytes = 1;
        return (uint8_t)text[0];
    }
    if (vlm_utf8_valid_at(text, n))
        return vlm_utf8_decode(text, bytes);
    *bytes = 1;
    return NOT_UTF8 + (uint8_t)text[0];
}

static inline size_t encode(char out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < NOT_UTF8)
        return vlm_utf8_encode(out, c);
    out[0] = (char)(c - NOT_UTF8);
    return 1;
}

/* Appends content, all of it at one place. */
static int add_content(struct scratch *scratch, const struct vlm_normalizer *step, struct place at,
                       struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t i = 0, bytes; rc == VLM_OK && i < step->content_size; i += bytes) {
        uint32_t c = decode(step->content + i, step->content_size - i, &bytes);
        rc = add_all(scratch, &c, 1, at, err);
    }
    return rc;
}

static int prepend_step(struct scratch *scratch, const struct vlm_normalizer *step,
                        struct vlm_err *err)
{
    if (!scratch->from.n)
        return VLM_OK;
    int rc = add_content(scratch, step, scratch->from.item[0].at, err);
    if (rc == VLM_OK)
        rc = add_rest(scratch, 0, scratch->from.n, err);
    turn(scratch);
    return rc;
}

static int byte_level_step(struct scratch *scratch, struct vlm_err *err)
{
    int rc = room(scratch, scratch->from.n, err);
    for (size_t i = 0; rc == VLM_OK && i < scratch->from.n; i++) {
        char bytes[4];
        uint32_t spelt[4];
        size_t n = encode(bytes, scratch->from.item[i].c);
        for (size_t k = 0; k < n; k++)
            spelt[k] = vlm_bpe_byte_to_char((uint8_t)bytes[k]);
        rc = add_all(scratch, spelt, n, scratch->from.item[i].at, err);
    }
    turn(scratch);
    return rc;
}

/* The characters as text for a pattern; returns its bytes, or SIZE_MAX. */
static size_t pattern_text(struct scratch *scratch)
{
    size_t wanted = 4 * scratch->from.n + 1, n = 0;
    if (!vlm_array_reserve(&scratch->text, &scratch->text_capacity, 0, wanted, 1))
        return SIZE_MAX;
    for (size_t i = 0; i < scratch->from.n; i++) {
        uint32_t c = scratch->from.item[i].c;
        n += encode(scratch->text + n, c < NOT_UTF8 ? c : NO_CHARACTER);
    }
    return n;
}

static inline size_t text_step(const char *text)
{
    uint8_t c = (uint8_t)*text;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* All matches, left to right; none is empty (pattern.h's implementation refuses them). */
static int replace_matches(struct scratch *scratch, struct vlm_pattern_matcher *matcher,
                           const struct vlm_normalizer *step, size_t n, struct vlm_err *err)
{
    size_t item = 0, byte = 0; /* what was copied so far, in both countings */
    size_t start, end;
    int rc;
    while ((rc = vlm_pattern_next(matcher, scratch->text, n, byte, &start, &end, err)) == VLM_OK) {
        VLM_BUG_IF(start < byte || end <= start);
        size_t first = item;
        for (; byte < start; item++)
            byte += text_step(scratch->text + byte);
        rc = add_rest(scratch, first, item, err);
        for (; byte < end; item++)
            byte += text_step(scratch->text + byte);
        if (rc == VLM_OK)
            rc = add_content(scratch, step, scratch->from.item[item - 1].at, err);
        if (rc != VLM_OK)
            return rc;
    }
    return rc == VLM_EOF ? add_rest(scratch, item, scratch->from.n, err) : rc;
}

static int replace_step(struct scratch *scratch, const struct vlm_normalizer *step,
                        struct vlm_err *err)
{
    struct vlm_pattern_matcher *matcher = NULL;
    size_t n = pattern_text(scratch);
    if (n == SIZE_MAX)
        return no_memory(err, scratch->from.n);
    int rc = vlm_pattern_matcher_new(&matcher, step->pattern, err);
    if (rc == VLM_OK)
        rc = replace_matches(scratch, matcher, step, n, err);
    vlm_pattern_matcher_free(matcher);
    turn(scratch);
    return rc;
}

/* A character of the result of a charsmap that waits for what follows: characters that are left out behind it are
 * among those it takes. */
struct mapping {
    size_t at; /* characters taken so far */
    bool waits;
    uint32_t c;
    int64_t takes; /* 0: it was added to the one before it */
};

static int flush_mapping(struct scratch *scratch, struct mapping *mapping, struct vlm_err *err)
{
    struct place place = { 0, 0 };
    if (!mapping->waits)
        return VLM_OK;
    size_t at = mapping->takes ? mapping->at : mapping->at - 1;
    if (mapping->takes || mapping->at)
        place = scratch->from.item[at].at;
    mapping->at += (size_t)mapping->takes;
    mapping->waits = false;
    VLM_BUG_IF(mapping->at > scratch->from.n);
    return add_all(scratch, &mapping->c, 1, place, err);
}

static int map_character(struct scratch *scratch, struct mapping *mapping, uint32_t c, bool takes,
                         struct vlm_err *err)
{
    int rc = flush_mapping(scratch, mapping, err);
    mapping->waits = true;
    mapping->c = c;
    mapping->takes = takes;
    return rc;
}

/* n characters, as they are or replaced by the first of the map's keys that they begin with. */
static int map_part(struct scratch *scratch, struct mapping *mapping,
                    const struct vlm_charsmap *map, size_t first, size_t n, bool *found,
                    struct vlm_err *err)
{
    char key[8];
    size_t size = 0, text_size = 0, taken = 0;
    int rc = VLM_OK;
    for (size_t i = first; i < first + n; i++)
        size += encode(key + size, scratch->from.item[i].c);
    const char *text = NULL;
    if (scratch->from.item[first].c < NOT_UTF8)
        text = vlm_charsmap_find(map, key, size, &text_size);
    *found = text;
    for (size_t i = 0, bytes; rc == VLM_OK && i < text_size; i += bytes, taken++) {
        uint32_t c = decode(text + i, text_size - i, &bytes);
        rc = map_character(scratch, mapping, c, taken < n, err);
    }
    if (text && taken < n &&
        mapping->waits) /* else nothing stands before: places are off, as in the package */
        mapping->takes += (int64_t)(n - taken);
    return rc;
}

/* SentencePiece's map. Clusters of less than 6 bytes are looked up as a whole, then others by character: marks behind a
 * letter that is replaced are lost in the short ones. So does the package. */
static int charsmap_step(struct scratch *scratch, const struct vlm_charsmap *map,
                         struct vlm_err *err)
{
    enum { CLUSTER_MAX = 5 };
    const struct item *from = scratch->from.item;
    size_t n = scratch->from.n;
    struct mapping mapping = { 0 };
    struct vlm_grapheme state = { 0 };
    int rc = room(scratch, n, err);
    if (n)
        vlm_grapheme_begins(&state, from[0].c);
    for (size_t i = 0, end; rc == VLM_OK && i < n; i = end) {
        char bytes[4];
        size_t size = encode(bytes, from[i].c);
        bool found = false;
        for (end = i + 1; end < n && !vlm_grapheme_begins(&state, from[end].c); end++)
            size = VLM_MIN(size + encode(bytes, from[end].c), (size_t)CLUSTER_MAX + 1);
        if (end > i + 1 && size <= CLUSTER_MAX)
            rc = map_part(scratch, &mapping, map, i, end - i, &found, err);
        for (size_t k = i; !found && rc == VLM_OK && k < end; k++) {
            bool replaced;
            rc = map_part(scratch, &mapping, map, k, 1, &replaced, err);
            if (rc == VLM_OK && !replaced)
                rc = map_character(scratch, &mapping, from[k].c, true, err);
        }
    }
    if (rc == VLM_OK)
        rc = flush_mapping(scratch, &mapping, err);
    turn(scratch);
    return rc;
}

static int take_step(struct scratch *scratch, const struct vlm_normalizer *step,
                     struct vlm_err *err)
{
    switch (step->kind) {
    case VLM_NORMALIZE_NFC:
        return form_step(scratch, FORM_COMPOSE, err);
    case VLM_NORMALIZE_NFD:
        return form_step(scratch, 0, err);
    case VLM_NORMALIZE_NFKC:
        return form_step(scratch, FORM_COMPOSE | FORM_COMPATIBLE, err);
    case VLM_NORMALIZE_NFKD:
        return form_step(scratch, FORM_COMPATIBLE, err);
    case VLM_NORMALIZE_LOWERCASE:
        return lowercase_step(scratch, err);
    case VLM_NORMALIZE_STRIP_ACCENTS:
        strip_accents_step(scratch);
        return VLM_OK;
    case VLM_NORMALIZE_BERT:
        return bert_step(scratch, step->flags, err);
    case VLM_NORMALIZE_STRIP:
        strip_step(scratch, step->flags);
        return VLM_OK;
    case VLM_NORMALIZE_REPLACE:
        return replace_step(scratch, step, err);
    case VLM_NORMALIZE_PREPEND:
        return prepend_step(scratch, step, err);
    case VLM_NORMALIZE_BYTE_LEVEL:
        return byte_level_step(scratch, err);
    case VLM_NORMALIZE_NMT:
        nmt_step(scratch);
        return VLM_OK;
    case VLM_NORMALIZE_PRECOMPILED:
        return charsmap_step(scratch, step->charsmap, err);
    }
    return vlm_fail(err, VLM_EUSAGE, "normalizer %d is unknown", (int)step->kind);
}

static int reserve(struct vlm_normal *normal, size_t n, struct vlm_err *err)
{
    if (n > UINT32_MAX)
        return vlm_fail(err, VLM_ELIMIT, "text of %zu bytes is over the limit of 4 GiB", n);
    if (n <= normal->capacity && normal->text)
        return VLM_OK;
    size_t wanted = n + n / 2 + 64;
    char *text = realloc(normal->text, wanted);
    if (text)
        normal->text = text;
    uint32_t *start = realloc(normal->start, wanted * sizeof(*start));
    if (start)
        normal->start = start;
    uint32_t *end = realloc(normal->end, wanted * sizeof(*end));
    if (end)
        normal->end = end;
    if (!text || !start || !end)
        return no_memory(err, n);
    normal->capacity = wanted;
    return VLM_OK;
}

int vlm_normal_set(struct vlm_normal *normal, const char *text, size_t n, struct vlm_err *err)
{
    normal->n = 0;
    int rc = reserve(normal, n, err);
    if (rc != VLM_OK)
        return rc;
    if (n)
        memcpy(normal->text, text, n);
    for (size_t i = 0, bytes; i < n; i += bytes) {
        bytes = 1;
        if ((uint8_t)text[i] >= 0x80)
            decode(text + i, n - i, &bytes);
        for (size_t k = 0; k < bytes; k++) {
            normal->start[i + k] = (uint32_t)i;
            normal->end[i + k] = (uint32_t)(i + bytes);
        }
    }
    normal->n = n;
    return VLM_OK;
}

static int to_items(struct scratch *scratch, const struct vlm_normal *normal, struct vlm_err *err)
{
    scratch->from.n = scratch->to.n = 0;
    scratch->max = VLM_NORMAL_RATIO_MAX * VLM_MAX(normal->n, VLM_KIB);
    if (!items_reserve(&scratch->from, normal->n))
        return no_memory(err, normal->n);
    struct item *item = scratch->from.item;
    for (size_t i = 0, bytes; i < normal->n; i += bytes, item++) {
        item->c = decode(normal->text + i, normal->n - i, &bytes);
        item->at = (struct place){ normal->start[i], normal->end[i] };
    }
    scratch->from.n = (size_t)(item - scratch->from.item);
    return VLM_OK;
}

static int from_items(struct vlm_normal *normal, const struct items *items, struct vlm_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < items->n; i++) {
        uint32_t c = items->item[i].c;
        n += c < NOT_UTF8 ? 1u + (c >= 0x80) + (c >= 0x800) + (c >= 0x10000) : 1;
    }
    int rc = reserve(normal, n, err);
    if (rc != VLM_OK)
        return rc;
    char *text = normal->text;
    uint32_t *start = normal->start, *end = normal->end;
    for (const struct item *item = items->item, *last = item + items->n; item < last; item++) {
        char bytes[4];
        size_t count = encode(bytes, item->c);
        for (size_t k = 0; k < count; k++) {
            *text++ = bytes[k];
            *start++ = item->at.start;
            *end++ = item->at.end;
        }
    }
    normal->n = n;
    return VLM_OK;
}

int vlm_normalize(struct vlm_normal *normal, const struct vlm_normalizer *steps, size_t n_steps,
                  struct vlm_err *err)
{
    if (!n_steps)
        return VLM_OK;
    if (!normal->scratch && !(normal->scratch = calloc(1, sizeof(struct scratch))))
        return no_memory(err, normal->n);
    struct scratch *scratch = normal->scratch;
    int rc = to_items(scratch, normal, err);
    for (size_t i = 0; rc == VLM_OK && i < n_steps; i++) {
        rc = take_step(scratch, &steps[i], err);
        normal->work += scratch->from.n;
    }
    return rc == VLM_OK ? from_items(normal, &scratch->from, err) : rc;
}

void vlm_normal_release(struct vlm_normal *normal)
{
    struct scratch *scratch = normal->scratch;
    if (scratch) {
        free(scratch->from.item);
        free(scratch->to.item);
        vlm_form_release(&scratch->form);
        free(scratch->text);
        free(scratch);
    }
    free(normal->text);
    free(normal->start);
    free(normal->end);
    *normal = (struct vlm_normal){ 0 };
}
