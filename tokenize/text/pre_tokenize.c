/* pre_tokenize.c - cutting a text into words as a tokenizer.json says, step by step.
 *
 * A step looks at each word by itself. Most only cut: a pattern marks stretches of the word, and a behavior
 * decides which of them stay, alone or with their neighbours. Metaspace and ByteLevel also change the text, which
 * makes a new one beside the old. */
#include "base/vlm.h"

#include "base/array.h"
#include "base/utf8.h"
#include "tokenize/unicode/char_class.h"
#include "tokenize/unicode/char_class_internal.h"
#include "tokenize/unicode/package_unicode.h"
#include "tokenize/text/pipeline.h"
#include "tokenize/unicode/split.h"

#include <utf8proc.h>

bool vlm_is_word_char(uint32_t c)
{
    enum vlm_char_kind kind = vlm_char_kind(c);
    if (kind == VLM_KIND_UPPER || kind == VLM_KIND_LOWER || kind == VLM_KIND_LETTER ||
        kind == VLM_KIND_MARK)
        return true;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    case UTF8PROC_CATEGORY_CN: /* all numbers of later versions are decimal digits */
        return kind == VLM_KIND_NUMBER;
    default:
        /* Join_Control, and the circled and squared letters of Other_Alphabetic. */
        return c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) ||
               (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
               (c >= 0x1f170 && c <= 0x1f189);
    }
}

static bool is_punctuation(uint32_t c)
{
    if (c < 0x80)
        return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
               (c >= '{' && c <= '~');
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    bool is = category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
    return is != vlm_package_differs(c, VLM_PACKAGE_PUNCTUATION);
}

static bool is_number(uint32_t c)
{
    return vlm_char_class(c) == VLM_CHAR_NUMBER;
}

static bool is_space(uint32_t c)
{
    return vlm_char_class(c) == VLM_CHAR_SPACE;
}

static int no_memory(struct vlm_err *err)
{
    return vlm_fail(err, VLM_ENOMEM, "no memory to cut a text into words");
}

/* The code point at text, of *bytes bytes; what is not UTF-8 is a byte of no class. */
static uint32_t char_at(const char *text, size_t n, size_t *bytes)
{
    *bytes = 1;
    return vlm_utf8_valid_at(text, n) ? vlm_utf8_decode(text, bytes) : VLM_NO_TOKEN;
}

bool vlm_work_add_word(struct vlm_work *work, size_t start, size_t end)
{
    if (start == end)
        return true;
    if (!vlm_array_reserve(&work->words, &work->words_capacity, work->n_words, 1,
                           sizeof *work->words))
        return false;
    work->words[work->n_words++] = (struct vlm_word){ (uint32_t)start, (uint32_t)end };
    return true;
}

/* Stretches of the word at hand. */

static bool mark(struct vlm_pipeline *pipeline, size_t start, size_t end, bool match)
{
    if (start == end)
        return true;
    if (!vlm_array_reserve(&pipeline->stretches, &pipeline->stretches_capacity,
                           pipeline->n_stretches, 1, sizeof *pipeline->stretches))
        return false;
    pipeline->stretches[pipeline->n_stretches++] =
        (struct vlm_stretch){ (uint32_t)start, (uint32_t)end, match };
    return true;
}

/* Each character for which is() holds is a match of its own. */
static bool mark_chars(struct vlm_pipeline *pipeline, struct vlm_word word, bool (*is)(uint32_t))
{
    const char *text = pipeline->work.text;
    size_t at = word.start, left = at, bytes;
    for (; at < word.end; at += bytes) {
        uint32_t c = char_at(text + at, word.end - at, &bytes);
        if (c == VLM_NO_TOKEN || !is(c))
            continue;
        if (!mark(pipeline, left, at, false) || !mark(pipeline, at, at + bytes, true))
            return false;
        left = at + bytes;
    }
    return mark(pipeline, left, word.end, false);
}

static bool mark_texts(struct vlm_pipeline *pipeline, struct vlm_word word, struct vlm_text wanted)
{
    const char *text = pipeline->work.text;
    for (size_t left = word.start;;) {
        const char *found = memmem(text + left, word.end - left, wanted.at, wanted.n);
        size_t at = found ? (size_t)(found - text) : word.end;
        if (!mark(pipeline, left, at, false))
            return false;
        if (!found)
            return true;
        if (!mark(pipeline, at, at + wanted.n, true))
            return false;
        left = at + wanted.n;
    }
}

static bool mark_scanner(struct vlm_pipeline *pipeline, struct vlm_word word, enum vlm_split split)
{
    const char *text = pipeline->work.text;
    size_t at = word.start;
    while (at < word.end) {
        size_t n = vlm_split_next(split, text + at, word.end - at);
        bool match = !(split == VLM_SPLIT_CLIP || split == VLM_SPLIT_CLIP_CASED) ||
                     !vlm_split_is_space(text + at, n);
        if (!mark(pipeline, at, at + n, match))
            return false;
        at += n;
    }
    return true;
}

static int mark_pattern(struct vlm_pipeline *pipeline, struct vlm_word word,
                        struct vlm_pattern_matcher *matcher, struct vlm_err *err)
{
    const char *text = pipeline->work.text + word.start;
    size_t n = word.end - word.start, left = 0, start, end;
    int rc;
    while ((rc = vlm_pattern_next(matcher, text, n, left, &start, &end, err)) == VLM_OK) {
        if (!mark(pipeline, word.start + left, word.start + start, false) ||
            !mark(pipeline, word.start + start, word.start + end, true))
            return no_memory(err);
        left = end;
    }
    if (rc != VLM_EOF)
        return rc;
    return mark(pipeline, word.start + left, word.end, false) ? VLM_OK : no_memory(err);
}

/* \w+|[^\w\s]+ : runs of one class; white space is no match. */
static bool mark_whitespace(struct vlm_pipeline *pipeline, struct vlm_word word)
{
    const char *text = pipeline->work.text;
    size_t left = word.start, bytes;
    int class_before = -1;
    for (size_t at = left; at < word.end; at += bytes) {
        uint32_t c = char_at(text + at, word.end - at, &bytes);
        int class = c == VLM_NO_TOKEN ? 2 : vlm_is_word_char(c) ? 1 : is_space(c) ? 0 : 2;
        if (class != class_before && !mark(pipeline, left, at, class_before != 0))
            return false;
        left = class != class_before ? at : left;
        class_before = class;
    }
    return mark(pipeline, left, word.end, class_before != 0);
}

/* From stretches to words. */

/* A match goes with the stretch before it, unless that is a match too. */
static bool merge_with_previous(struct vlm_work *out, const struct vlm_stretch *stretches, size_t n)
{
    bool before = false, open = false;
    uint32_t start = 0, end = 0;
    for (size_t i = 0; i < n; before = stretches[i].match, i++) {
        if (open && stretches[i].match && !before) {
            end = stretches[i].end;
            continue;
        }
        if (open && !vlm_work_add_word(out, start, end))
            return false;
        start = stretches[i].start;
        end = stretches[i].end;
        open = true;
    }
    return !open || vlm_work_add_word(out, start, end);
}

/* A match goes with the stretch behind it, unless that is a match too. */
static bool merge_with_next(struct vlm_work *out, const struct vlm_stretch *stretches, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t start = stretches[i].start;
        if (stretches[i].match && i + 1 < n && !stretches[i + 1].match)
            i++;
        if (!vlm_work_add_word(out, start, stretches[i].end))
            return false;
    }
    return true;
}

static bool merge_equals(struct vlm_work *out, const struct vlm_stretch *stretches, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t start = stretches[i].start;
        while (i + 1 < n && stretches[i + 1].match == stretches[i].match)
            i++;
        if (!vlm_work_add_word(out, start, stretches[i].end))
            return false;
    }
    return true;
}

/* Appends the words of the stretches, and forgets these. */
static bool cut(struct vlm_pipeline *pipeline, struct vlm_work *out, enum vlm_behavior behavior,
                bool invert)
{
    struct vlm_stretch *stretches = pipeline->stretches;
    size_t n = pipeline->n_stretches;
    pipeline->n_stretches = 0;
    for (size_t i = 0; invert && i < n; i++)
        stretches[i].match = !stretches[i].match;
    switch (behavior) {
    case VLM_BEHAVIOR_MERGED_WITH_PREVIOUS:
        return merge_with_previous(out, stretches, n);
    case VLM_BEHAVIOR_MERGED_WITH_NEXT:
        return merge_with_next(out, stretches, n);
    case VLM_BEHAVIOR_CONTIGUOUS:
        return merge_equals(out, stretches, n);
    case VLM_BEHAVIOR_REMOVED:
    case VLM_BEHAVIOR_ISOLATED:
        break;
    }
    for (size_t i = 0; i < n; i++)
        if ((behavior == VLM_BEHAVIOR_ISOLATED || !stretches[i].match) &&
            !vlm_work_add_word(out, stretches[i].start, stretches[i].end))
            return false;
    return true;
}

static bool cut_fixed(struct vlm_work *out, const char *text, struct vlm_word word, size_t length)
{
    size_t at = word.start, bytes;
    while (at < word.end) {
        size_t start = at;
        for (size_t i = 0; i < length && at < word.end; i++, at += bytes)
            char_at(text + at, word.end - at, &bytes);
        if (!vlm_work_add_word(out, start, at))
            return false;
    }
    return true;
}

/* A text that is being made. */

/* Makes *items larger; they stay as they are when memory runs out. */
static bool grow(void **items, size_t size)
{
    void *grown = realloc(*items, size);
    if (grown)
        *items = grown;
    return grown;
}

static bool reserve(struct vlm_work *work, size_t more)
{
    if (more <= work->capacity - work->n)
        return true;
    size_t capacity = VLM_MAX(2 * work->capacity, work->n + more + 256);
    void *text = work->own_text, *from = work->own_from, *to = work->own_to;
    bool fine = grow(&text, capacity) && grow(&from, capacity * sizeof *work->own_from) &&
                grow(&to, capacity * sizeof *work->own_to);
    work->own_text = text;
    work->own_from = from;
    work->own_to = to;
    work->capacity = fine ? capacity : work->capacity;
    return fine;
}

/* Appends n bytes that all came from [from, to) of the original. */
static bool append(struct vlm_work *work, const char *text, size_t n, uint32_t from, uint32_t to)
{
    if (!reserve(work, n))
        return false;
    memcpy(work->own_text + work->n, text, n);
    for (size_t i = 0; i < n; i++) {
        work->own_from[work->n + i] = from;
        work->own_to[work->n + i] = to;
    }
    work->n += n;
    return true;
}

static uint32_t from_of(const struct vlm_work *work, size_t at)
{
    return work->from ? work->from[at] : (uint32_t)(work->base + at);
}

static uint32_t to_of(const struct vlm_work *work, size_t at)
{
    return work->to ? work->to[at] : (uint32_t)(work->base + at + 1);
}

static bool begins_with(const struct vlm_work *work, struct vlm_word word, struct vlm_text text)
{
    return word.end - word.start >= text.n && !memcmp(work->text + word.start, text.at, text.n);
}

static void begin(struct vlm_work *next)
{
    next->n = next->n_words = 0;
    next->base = 0;
}

static void finish(struct vlm_work *next)
{
    next->text = next->own_text;
    next->from = next->own_from;
    next->to = next->own_to;
}

/* The words of next are those of work from now on. */
static void take_words(struct vlm_pipeline *pipeline)
{
    struct vlm_work *work = &pipeline->work, *next = &pipeline->next;
    struct vlm_word *words = work->words;
    size_t capacity = work->words_capacity;
    work->words = next->words;
    work->words_capacity = next->words_capacity;
    work->n_words = next->n_words;
    next->words = words;
    next->words_capacity = capacity;
    next->n_words = 0;
}

static void swap_works(struct vlm_pipeline *pipeline)
{
    struct vlm_work made = pipeline->next;
    pipeline->next = pipeline->work;
    pipeline->work = made;
}

/* The word with the replacement for each space and, by the scheme, in front. */
static bool make_metaspace(struct vlm_work *next, const struct vlm_work *work, struct vlm_word word,
                           const struct vlm_pre_tokenizer *step)
{
    struct vlm_text mark_text = step->content;
    bool begins = begins_with(work, word, mark_text) || work->text[word.start] == ' ';
    uint32_t first = from_of(work, word.start);
    if (!begins &&
        (step->prepend == VLM_PREPEND_ALWAYS || (step->prepend == VLM_PREPEND_FIRST && first == 0)))
        if (!append(next, mark_text.at, mark_text.n, first, first))
            return false;
    for (size_t at = word.start; at < word.end; at++) {
        uint32_t from = from_of(work, at), to = to_of(work, at);
        if (work->text[at] == ' ' ? !append(next, mark_text.at, mark_text.n, from, to)
                                  : !append(next, work->text + at, 1, from, to))
            return false;
    }
    return true;
}

static bool metaspace(struct vlm_pipeline *pipeline, const struct vlm_pre_tokenizer *step)
{
    struct vlm_work *work = &pipeline->work, *next = &pipeline->next;
    begin(next);
    for (size_t i = 0; i < work->n_words; i++) {
        size_t start = next->n;
        if (!make_metaspace(next, work, work->words[i], step) ||
            !vlm_work_add_word(next, start, next->n))
            return false;
    }
    finish(next);
    swap_works(pipeline);
    if (!(step->flags & VLM_PART_SPLIT))
        return true;
    next->n_words = 0;
    for (size_t i = 0; i < work->n_words; i++)
        if (!mark_texts(pipeline, work->words[i], step->content) ||
            !cut(pipeline, next, VLM_BEHAVIOR_MERGED_WITH_NEXT, false))
            return false;
    take_words(pipeline);
    return true;
}

/* A space in front of words that have none. */
static bool prefix_spaces(struct vlm_pipeline *pipeline)
{
    struct vlm_work *work = &pipeline->work, *next = &pipeline->next;
    begin(next);
    for (size_t i = 0; i < work->n_words; i++) {
        struct vlm_word word = work->words[i];
        size_t start = next->n;
        uint32_t first = from_of(work, word.start);
        if (work->text[word.start] != ' ' && !append(next, " ", 1, first, first))
            return false;
        for (size_t at = word.start; at < word.end; at++)
            if (!append(next, work->text + at, 1, from_of(work, at), to_of(work, at)))
                return false;
        if (!vlm_work_add_word(next, start, next->n))
            return false;
    }
    finish(next);
    swap_works(pipeline);
    return true;
}

/* GPT-2's spelling of bytes. */
static bool spell_bytes(struct vlm_pipeline *pipeline)
{
    struct vlm_work *work = &pipeline->work, *next = &pipeline->next;
    char spelled[4];
    begin(next);
    for (size_t i = 0; i < work->n_words; i++) {
        struct vlm_word word = work->words[i];
        size_t start = next->n;
        for (size_t at = word.start; at < word.end; at++) {
            size_t n = vlm_utf8_encode(spelled, vlm_bpe_byte_to_char((uint8_t)work->text[at]));
            if (!append(next, spelled, n, from_of(work, at), to_of(work, at)))
                return false;
        }
        if (!vlm_work_add_word(next, start, next->n))
            return false;
    }
    finish(next);
    swap_works(pipeline);
    return true;
}

static bool byte_level(struct vlm_pipeline *pipeline, const struct vlm_pre_tokenizer *step,
                       bool is_last)
{
    struct vlm_work *work = &pipeline->work, *next = &pipeline->next;
    if ((step->flags & VLM_PART_PREFIX_SPACE) && !prefix_spaces(pipeline))
        return false;
    if (step->flags & VLM_PART_REGEX) {
        next->n_words = 0;
        for (size_t i = 0; i < work->n_words; i++)
            if (!mark_scanner(pipeline, work->words[i], VLM_SPLIT_GPT2) ||
                !cut(pipeline, next, VLM_BEHAVIOR_ISOLATED, false))
                return false;
        take_words(pipeline);
    }
    /* A model of bytes needs no spelling. */
    return (is_last && pipeline->tokenizer->bytes) || spell_bytes(pipeline);
}

/* Marks the stretches of one word for a step that only cuts. */
static int mark_word(struct vlm_pipeline *pipeline, size_t i, struct vlm_word word,
                     struct vlm_err *err)
{
    const struct vlm_pre_tokenizer *step = &pipeline->tokenizer->spec.pre_tokenizers[i];
    bool fine = true;
    switch (step->kind) {
    case VLM_PRE_SPLIT:
        if (step->split < 0)
            return mark_pattern(pipeline, word, pipeline->matchers[i], err);
        fine = mark_scanner(pipeline, word, (enum vlm_split)step->split);
        break;
    case VLM_PRE_DIGITS:
        fine = mark_chars(pipeline, word, is_number);
        break;
    case VLM_PRE_WHITESPACE:
        fine = mark_whitespace(pipeline, word);
        break;
    case VLM_PRE_WHITESPACE_SPLIT:
    case VLM_PRE_BERT: /* punctuation is cut off afterwards */
        fine = mark_chars(pipeline, word, is_space);
        break;
    case VLM_PRE_PUNCTUATION:
        fine = mark_chars(pipeline, word, is_punctuation);
        break;
    case VLM_PRE_DELIMITER:
        fine = mark_texts(pipeline, word, step->content);
        break;
    case VLM_PRE_FIXED_LENGTH:
    case VLM_PRE_METASPACE:
    case VLM_PRE_BYTE_LEVEL:
        break;
    }
    return fine ? VLM_OK : no_memory(err);
}

/* A step that only cuts. */
static int cut_words(struct vlm_pipeline *pipeline, size_t i, struct vlm_err *err)
{
    const struct vlm_pre_tokenizer *step = &pipeline->tokenizer->spec.pre_tokenizers[i];
    struct vlm_work *work = &pipeline->work, *next = &pipeline->next;
    enum vlm_behavior behavior = step->behavior;
    bool invert = step->flags & VLM_PART_INVERT || step->kind == VLM_PRE_WHITESPACE;
    if (step->kind == VLM_PRE_DIGITS)
        behavior =
            step->flags & VLM_PART_INDIVIDUAL ? VLM_BEHAVIOR_ISOLATED : VLM_BEHAVIOR_CONTIGUOUS;
    else if (step->kind != VLM_PRE_SPLIT && step->kind != VLM_PRE_PUNCTUATION)
        behavior = VLM_BEHAVIOR_REMOVED;
    next->n_words = 0;
    for (size_t k = 0; k < work->n_words; k++) {
        struct vlm_word word = work->words[k];
        if (step->kind == VLM_PRE_FIXED_LENGTH) {
            if (!cut_fixed(next, work->text, word, step->length))
                return no_memory(err);
            continue;
        }
        int rc = mark_word(pipeline, i, word, err);
        if (rc != VLM_OK)
            return rc;
        if (!cut(pipeline, next, behavior, invert))
            return no_memory(err);
    }
    take_words(pipeline);
    return VLM_OK;
}

static int cut_off_punctuation(struct vlm_pipeline *pipeline, struct vlm_err *err)
{
    struct vlm_work *work = &pipeline->work, *next = &pipeline->next;
    next->n_words = 0;
    for (size_t k = 0; k < work->n_words; k++)
        if (!mark_chars(pipeline, work->words[k], is_punctuation) ||
            !cut(pipeline, next, VLM_BEHAVIOR_ISOLATED, false))
            return no_memory(err);
    take_words(pipeline);
    return VLM_OK;
}

int vlm_pre_tokenize(struct vlm_pipeline *pipeline, struct vlm_err *err)
{
    const struct vlm_text_spec *spec = &pipeline->tokenizer->spec;
    pipeline->n_stretches = 0;
    for (size_t i = 0; i < spec->n_pre_tokenizers; i++) {
        const struct vlm_pre_tokenizer *step = &spec->pre_tokenizers[i];
        int rc = VLM_OK;
        if (step->kind == VLM_PRE_METASPACE) {
            if (!metaspace(pipeline, step))
                rc = no_memory(err);
        } else if (step->kind == VLM_PRE_BYTE_LEVEL) {
            if (!byte_level(pipeline, step, i + 1 == spec->n_pre_tokenizers))
                rc = no_memory(err);
        } else {
            rc = cut_words(pipeline, i, err);
            if (rc == VLM_OK && step->kind == VLM_PRE_BERT)
                rc = cut_off_punctuation(pipeline, err);
        }
        if (rc != VLM_OK)
            return rc;
    }
    return VLM_OK;
}
