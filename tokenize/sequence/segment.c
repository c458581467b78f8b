/* segment.c - the scanner behind segment.h: a few states, each byte looked at a fixed number of
 * times.
 *
 * It knows as much of HTML as our renderings have: a tag is "<" and a letter, or "</" and a
 * letter, up to ">", and values stand in double quotes. Strings of people are often unfinished
 * (a prompt ends inside a value), so whatever is open at the end of the text ends there. */
#include "base/vlm.h"

#include "tokenize/document.h"
#include "tokenize/sequence/segment.h"

enum state {
    OUTSIDE,     /* between tags */
    TAG,         /* inside a tag */
    LANGUAGE,    /* inside the quotes of a value that is text */
    OTHER_VALUE, /* of one that is markup, behind a control word */
    CODES,       /* of one that is codes */
    QUOTE,       /* at the quote that ends a value */
};

static const struct {
    const char *word;
    enum vlm_control control;
    bool tag; /* of HTML: struck text */
} words[] = {
    { "<BOS>", VLM_CONTROL_BEGIN, false },        { "<EOS>", VLM_CONTROL_END, false },
    { "<EOC>", VLM_CONTROL_END_OF_CHUNK, false }, { "<image>", VLM_CONTROL_IMAGE, false },
    { "<eoss>", VLM_CONTROL_END_OF_SPAN, false }, { "<pad>", VLM_CONTROL_PAD, false },
    { "<s>", VLM_CONTROL_BEGIN, true },           { "</s>", VLM_CONTROL_END, true },
    { "<|endoftext|>", VLM_CONTROL_END, false },
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
}

size_t vlm_segment_number(const char *text, size_t n, uint32_t limit, uint32_t *number)
{
    uint32_t value = 0;
    size_t i = 0;
    while (i < n && i < 6 && is_digit(text[i]))
        value = value * 10 + (uint32_t)(text[i++] - '0');
    *number = value;
    bool longer = i < n && is_digit(text[i]);
    bool padded = i > 1 && text[0] == '0';
    return longer || padded || value >= limit ? 0 : i;
}

/* Bytes of a word like "<mask:17>" at the beginning of text; 0: it is none. */
static size_t numbered_word(const char *text, size_t n, const char *prefix, uint32_t limit,
                            uint32_t *number)
{
    size_t length = strlen(prefix);
    if (n < length || memcmp(text, prefix, length) != 0)
        return 0;
    size_t digits = vlm_segment_number(text + length, n - length, limit, number);
    length += digits;
    return digits && length < n && text[length] == '>' ? length + 1 : 0;
}

static bool counts_at(const struct vlm_segmenter *it, size_t at)
{
    size_t low = 0, high = it->n_places;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (it->places[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return !it->places || (low < it->n_places && it->places[low] == at);
}

static size_t mask_at(const struct vlm_segmenter *it, size_t at, size_t end, uint32_t *number)
{
    if (it->text[at] != '<' || !counts_at(it, at))
        return 0;
    return numbered_word(it->text + at, end - at, "<mask:", it->n_masks, number);
}

static size_t image_at(const struct vlm_segmenter *it, size_t at, size_t end, uint32_t *number)
{
    return it->images ? numbered_word(it->text + at, end - at, "<image:", UINT32_MAX, number) : 0;
}

/* Bytes of the control word (or, in text, of the image) at a "<", which sets kind and number; 0:
 * there is none. */
static size_t word_at(const struct vlm_segmenter *it, size_t at, size_t end,
                      struct vlm_segment *segment)
{
    size_t length;
    segment->kind = VLM_SEGMENT_CONTROL;
    if (!it->words || !counts_at(it, at))
        return 0;
    if (!it->markup && (length = image_at(it, at, end, &segment->number))) {
        segment->kind = VLM_SEGMENT_IMAGE;
        return length;
    }
    if ((length = mask_at(it, at, end, &segment->number))) {
        segment->number += VLM_CONTROLS;
        return length;
    }
    for (size_t i = 0; i < VLM_COUNTOF(words); i++) {
        length = strlen(words[i].word);
        if (length > end - at || memcmp(it->text + at, words[i].word, length) != 0)
            continue;
        segment->number = words[i].control;
        return words[i].tag && it->markup ? 0 : length;
    }
    return 0;
}

/* The first control word at or behind from, or end. */
static size_t find_word(const struct vlm_segmenter *it, size_t from, size_t end,
                        struct vlm_segment *segment)
{
    while (it->words && from < end) {
        const char *found = memchr(it->text + from, '<', end - from);
        if (!found)
            break;
        from = (size_t)(found - it->text);
        if (word_at(it, from, end, segment))
            return from;
        from++;
    }
    return end;
}

static bool give(struct vlm_segmenter *it, struct vlm_segment *segment, enum vlm_segment_kind kind,
                 size_t end)
{
    segment->kind = kind;
    segment->start = (uint32_t)it->at;
    segment->end = (uint32_t)end;
    it->at = end;
    return true;
}

/* The control word at a "<", if there is one. */
static bool give_word(struct vlm_segmenter *it, struct vlm_segment *segment, size_t end)
{
    size_t length = it->text[it->at] == '<' ? word_at(it, it->at, end, segment) : 0;
    return length && give(it, segment, segment->kind, it->at + length);
}

static bool tag_at(const struct vlm_segmenter *it, size_t at)
{
    size_t name = at + 1 < it->n && it->text[at + 1] == '/' ? at + 2 : at + 1;
    return it->markup && name < it->n && is_letter(it->text[name]);
}

/* Whether the attribute whose value begins behind the quote is that one. */
static bool attribute_is(const struct vlm_segmenter *it, size_t quote, const char *name)
{
    size_t length = strlen(name);
    if (quote < length + 2)
        return false;
    const char *begin = it->text + quote - 1 - length;
    return !memcmp(begin, name, length) && is_space(begin[-1]);
}

/* Values that are language: schemas/sequence.md. */
static bool is_language(const struct vlm_segmenter *it, size_t quote)
{
    return attribute_is(it, quote, "alt") || attribute_is(it, quote, "title") ||
           attribute_is(it, quote, "content");
}

/* Whether a value is codes: all 256 numbers, or, in prompts, some with masks or the end of the
 * text. One space stands between numbers, and may stand around a mask. */
static bool is_codes(const struct vlm_segmenter *it, size_t at, size_t end)
{
    const bool open = it->partial && end == it->n;
    size_t n = 0;
    bool masks = false, behind_number = false;
    uint32_t value;
    while (at < end) {
        size_t mask = it->partial ? mask_at(it, at, end, &value) : 0;
        size_t number = mask || behind_number
                            ? 0
                            : vlm_segment_number(it->text + at, end - at, it->n_codes, &value);
        n += number > 0;
        if ((!mask && !number) || n > VLM_IMAGE_CODES)
            return false;
        masks |= mask > 0;
        behind_number = number > 0;
        at += mask + number;
        if (at < end && it->text[at] == ' ') {
            behind_number = false;
            if (++at == end)
                return open;
        }
    }
    return n == VLM_IMAGE_CODES || masks || open;
}

/* Behind the opening quote of a value. Returns true when the segment before it ends here: the
 * value is one of its own, or has a control word inside. Else *at moves to its end. */
static bool enter_value(struct vlm_segmenter *it, struct vlm_segment *segment, size_t *at)
{
    const size_t quote = *at, begin = quote + 1;
    const char *close = memchr(it->text + begin, '"', it->n - begin);
    it->value_end = close ? (size_t)(close - it->text) : it->n;
    *at = it->value_end;
    if (begin == it->value_end)
        return false;
    uint32_t number;
    bool src = it->img && attribute_is(it, quote, "src");
    if (src && (begin + image_at(it, begin, it->value_end, &number) == it->value_end ||
                is_codes(it, begin, it->value_end)))
        it->state = CODES;
    else if (src || is_language(it, quote))
        it->state = LANGUAGE;
    else if ((*at = find_word(it, begin, it->value_end, segment)) < it->value_end)
        it->state = OTHER_VALUE;
    else
        return false;
    return give(it, segment, VLM_SEGMENT_MARKUP, it->state == OTHER_VALUE ? *at : begin);
}

/* The rest of a tag, looked at from `from` on. */
static bool in_tag(struct vlm_segmenter *it, struct vlm_segment *segment, size_t from)
{
    it->state = TAG;
    for (size_t i = from; i < it->n; i++) {
        switch (it->text[i]) {
        case '>':
            it->state = OUTSIDE;
            return give(it, segment, VLM_SEGMENT_MARKUP, i + 1);
        case '<':
            if (!word_at(it, i, it->n, segment))
                it->state = OUTSIDE; /* the tag was never closed */
            return give(it, segment, VLM_SEGMENT_MARKUP, i);
        case '"':
            if (it->text[i - 1] == '=' && enter_value(it, segment, &i))
                return true;
            break;
        default:
            break;
        }
    }
    return give(it, segment, VLM_SEGMENT_MARKUP, it->n);
}

/* Behind a control word in a tag: another, or more of the tag, or what shows that it was never
 * closed. */
static bool in_tag_behind_word(struct vlm_segmenter *it, struct vlm_segment *segment)
{
    if (it->text[it->at] != '<')
        return in_tag(it, segment, it->at);
    it->state = OUTSIDE;
    if (!give_word(it, segment, it->n))
        return false;
    it->state = TAG;
    return true;
}

static bool outside(struct vlm_segmenter *it, struct vlm_segment *segment)
{
    if (give_word(it, segment, it->n))
        return true;
    if (it->text[it->at] == '<' && tag_at(it, it->at)) {
        const char *tag = it->text + it->at;
        it->img = it->n - it->at > 4 && !memcmp(tag, "<img", 4) && is_space(tag[4]);
        return in_tag(it, segment, it->at + 1);
    }
    for (size_t i = it->at + 1; i < it->n; i++) {
        const char *found = memchr(it->text + i, '<', it->n - i);
        if (!found)
            break;
        i = (size_t)(found - it->text);
        if (tag_at(it, i) || word_at(it, i, it->n, segment))
            return give(it, segment, VLM_SEGMENT_TEXT, i);
    }
    return give(it, segment, VLM_SEGMENT_TEXT, it->n);
}

static bool in_language(struct vlm_segmenter *it, struct vlm_segment *segment)
{
    if (give_word(it, segment, it->value_end))
        return true;
    return give(it, segment, VLM_SEGMENT_TEXT, find_word(it, it->at, it->value_end, segment));
}

/* What is left of a value that is markup belongs to the segment that goes on behind it. */
static bool in_other_value(struct vlm_segmenter *it, struct vlm_segment *segment)
{
    if (give_word(it, segment, it->value_end))
        return true;
    size_t word = find_word(it, it->at, it->value_end, segment);
    if (word < it->value_end)
        return give(it, segment, VLM_SEGMENT_MARKUP, word);
    return in_tag(it, segment, VLM_MIN(it->value_end + 1, it->n));
}

/* The image, a mask or a run of numbers of a value that enter_value() has found well formed. */
static bool in_codes(struct vlm_segmenter *it, struct vlm_segment *segment)
{
    const size_t end = it->value_end;
    const char *text = it->text;
    size_t length;
    if (text[it->at] == ' ' && ++it->at == end)
        return false;
    if ((length = image_at(it, it->at, end, &segment->number)))
        return give(it, segment, VLM_SEGMENT_IMAGE, it->at + length);
    if ((length = mask_at(it, it->at, end, &segment->number))) {
        segment->number += VLM_CONTROLS;
        return give(it, segment, VLM_SEGMENT_CONTROL, it->at + length);
    }
    size_t i = it->at;
    segment->number = 1;
    while (i < end &&
           (is_digit(text[i]) || (text[i] == ' ' && i + 1 < end && is_digit(text[i + 1]))))
        segment->number += text[i++] == ' ';
    return give(it, segment, VLM_SEGMENT_CODES, i);
}

static bool step(struct vlm_segmenter *it, struct vlm_segment *segment)
{
    if ((it->state == LANGUAGE || it->state == OTHER_VALUE || it->state == CODES) &&
        it->at == it->value_end)
        it->state = QUOTE;
    switch (it->state) {
    case OUTSIDE:
        return outside(it, segment);
    case TAG:
        return in_tag_behind_word(it, segment);
    case LANGUAGE:
        return in_language(it, segment);
    case OTHER_VALUE:
        return in_other_value(it, segment);
    case CODES:
        return in_codes(it, segment);
    default:
        return in_tag(it, segment, it->at + 1);
    }
}

bool vlm_segment_next(struct vlm_segmenter *it, struct vlm_segment *segment)
{
    while (it->at < it->n)
        if (step(it, segment))
            return true;
    return false;
}
