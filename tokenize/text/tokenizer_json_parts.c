/* tokenizer_json_parts.c - reading the steps of a tokenizer.json: normalizers, pre-tokenizers, decoders.
 *
 * A step is an object with "type" at any place, so all members that any step has are read first and looked at
 * afterwards. Sequences do the same as their steps one after the other, so they leave no trace. Members that a
 * step does not have are passed over, as the package does. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/utf8.h"
#include "tokenize/text/json_internal.h"

enum step_flag {
    ADD_PREFIX_SPACE = 1,
    USE_REGEX = 2,
    CLEAN_TEXT = 4,
    HANDLE_CHINESE_CHARS = 8,
    STRIP_ACCENTS = 16,
    LOWERCASE = 32,
    STRIP_LEFT = 64,
    STRIP_RIGHT = 128,
    INVERT = 256,
    INDIVIDUAL_DIGITS = 512,
    SPLIT = 1024,
    CLEANUP = 2048,
};

/* All members of all steps. said: flags that the file mentions with true or false. */
struct step {
    struct vlm_text type, content, prepend, replacement, behavior, prefix, suffix, delimiter,
        prepend_scheme, charsmap, pattern;
    enum vlm_pattern_kind pattern_kind;
    unsigned flags, said;
    uint64_t length, start, stop;
    bool has_length, has_children;
};

typedef void (*step_adder)(struct vlm_json_reader *reader, const struct step *step);

static void read_steps(struct vlm_json_reader *reader, step_adder add);

static void read_pattern(struct vlm_json_reader *reader, struct step *step)
{
    struct vlm_json_scan *in = &reader->in;
    if (vlm_json_scan_peek(in) == '"') { /* of files of old */
        step->pattern = vlm_json_reader_text(reader);
        step->pattern_kind = VLM_PATTERN_STRING;
        return;
    }
    vlm_json_scan_open(in, '{');
    while (vlm_json_scan_more(in, '}')) {
        const char *key = vlm_json_scan_key(in);
        bool regex = !strcmp(key, "Regex");
        if (step->pattern.at || (!regex && strcmp(key, "String")))
            vlm_json_reader_refuse(reader, "expected one member, String or Regex");
        step->pattern = vlm_json_reader_text(reader);
        step->pattern_kind = regex ? VLM_PATTERN_REGEX : VLM_PATTERN_STRING;
    }
    if (!step->pattern.at)
        vlm_json_reader_refuse(reader, "expected one member, String or Regex");
}

static void read_flag(struct vlm_json_reader *reader, struct step *step, unsigned flag)
{
    if (vlm_json_scan_null(&reader->in))
        return;
    step->said |= flag;
    step->flags = (step->flags & ~flag) | (vlm_json_scan_bool(&reader->in) ? flag : 0);
}

static bool read_number(struct vlm_json_reader *reader, const char *key, struct step *step)
{
    const struct {
        const char *key;
        uint64_t *value;
    } numbers[] = {
        { "length", &step->length },
        { "start", &step->start },
        { "stop", &step->stop },
    };
    for (size_t i = 0; i < VLM_COUNTOF(numbers); i++)
        if (!strcmp(key, numbers[i].key)) {
            *numbers[i].value = vlm_json_scan_number(&reader->in);
            step->has_length = step->has_length || numbers[i].value == &step->length;
            return true;
        }
    return false;
}

static bool read_text(struct vlm_json_reader *reader, const char *key, struct step *step)
{
    const struct {
        const char *key;
        struct vlm_text *value;
    } texts[] = {
        { "type", &step->type },
        { "content", &step->content },
        { "prepend", &step->prepend },
        { "replacement", &step->replacement },
        { "behavior", &step->behavior },
        { "prefix", &step->prefix },
        { "suffix", &step->suffix },
        { "delimiter", &step->delimiter },
        { "prepend_scheme", &step->prepend_scheme },
        { "precompiled_charsmap", &step->charsmap },
    };
    for (size_t i = 0; i < VLM_COUNTOF(texts); i++)
        if (!strcmp(key, texts[i].key)) {
            if (!vlm_json_scan_null(&reader->in))
                *texts[i].value = vlm_json_reader_text(reader);
            return true;
        }
    return false;
}

static void read_member(struct vlm_json_reader *reader, const char *key, struct step *step,
                        step_adder add)
{
    static const struct {
        const char *key;
        unsigned flag;
    } flags[] = {
        { "add_prefix_space", ADD_PREFIX_SPACE },
        { "use_regex", USE_REGEX },
        { "clean_text", CLEAN_TEXT },
        { "handle_chinese_chars", HANDLE_CHINESE_CHARS },
        { "strip_accents", STRIP_ACCENTS },
        { "lowercase", LOWERCASE },
        { "strip_left", STRIP_LEFT },
        { "strip_right", STRIP_RIGHT },
        { "invert", INVERT },
        { "individual_digits", INDIVIDUAL_DIGITS },
        { "split", SPLIT },
        { "cleanup", CLEANUP },
    };
    for (size_t i = 0; i < VLM_COUNTOF(flags); i++)
        if (!strcmp(key, flags[i].key)) {
            read_flag(reader, step, flags[i].flag);
            return;
        }
    if (read_text(reader, key, step) || read_number(reader, key, step))
        return;
    if (!strcmp(key, "pattern")) {
        read_pattern(reader, step);
    } else if (!strcmp(key, "normalizers") || !strcmp(key, "pretokenizers") ||
               !strcmp(key, "decoders")) {
        step->has_children = true;
        read_steps(reader, add);
    } else {
        vlm_json_scan_skip(&reader->in);
    }
}

static void read_step(struct vlm_json_reader *reader, step_adder add)
{
    struct step step = { 0 };
    struct vlm_json_keys seen = { 0 };
    vlm_json_scan_open(&reader->in, '{');
    while (vlm_json_scan_more(&reader->in, '}')) {
        size_t up;
        const char *key = vlm_json_reader_key(reader, &seen, &up);
        read_member(reader, key, &step, add);
        vlm_json_reader_up(reader, up);
    }
    if (reader->in.problem)
        return;
    bool sequence = vlm_text_is(step.type, "Sequence");
    if (!step.type.at)
        vlm_json_reader_refuse(reader, "no type");
    else if (sequence != step.has_children)
        vlm_json_reader_refuse(reader, "%s",
                               sequence ? "a Sequence without steps"
                                        : "only a Sequence has steps inside");
    else if (!sequence)
        add(reader, &step);
}

static void read_steps(struct vlm_json_reader *reader, step_adder add)
{
    if (++reader->depth > VLM_TOKENIZER_DEPTH_MAX)
        vlm_json_reader_refuse(reader, "more than %d sequences inside one another",
                               VLM_TOKENIZER_DEPTH_MAX);
    vlm_json_scan_open(&reader->in, '[');
    for (size_t i = 0; vlm_json_scan_more(&reader->in, ']'); i++) {
        size_t up = vlm_json_reader_down(reader, "[%zu]", i);
        read_step(reader, add);
        vlm_json_reader_up(reader, up);
    }
    reader->depth--;
}

static void unsupported(struct vlm_json_reader *reader, struct vlm_text type)
{
    size_t up = vlm_json_reader_down(reader, ".type");
    vlm_json_reader_refuse(reader, "%.64s is not supported", type.at);
    vlm_json_reader_up(reader, up);
}

/* The steps, with room for one more than the n there are; NULL when there are too many. */
static void *room_for_step(struct vlm_json_reader *reader, void *steps, size_t n, size_t size)
{
    if (n == VLM_TOKENIZER_STEPS_MAX) {
        vlm_json_reader_refuse(reader, "more than %d steps", VLM_TOKENIZER_STEPS_MAX);
        return NULL;
    }
    if (!steps)
        steps = vlm_arena_zero(&reader->spec->arena, VLM_TOKENIZER_STEPS_MAX, size);
    if (!steps)
        vlm_json_reader_refuse(reader, "no memory for steps");
    return steps;
}

static struct vlm_pattern *make_pattern(struct vlm_json_reader *reader, const struct step *step)
{
    struct vlm_pattern *pattern = NULL;
    struct vlm_err err = { 0 };
    size_t up = vlm_json_reader_down(reader, ".pattern");
    if (!step->pattern.at)
        vlm_json_reader_refuse(reader, "no pattern");
    else if (vlm_pattern_new(&pattern, step->pattern.at, step->pattern.n, step->pattern_kind,
                             &err) != VLM_OK)
        vlm_json_reader_refuse(reader, "%s", err.msg);
    vlm_json_reader_up(reader, up);
    return pattern;
}

static struct vlm_charsmap *make_charsmap(struct vlm_json_reader *reader, struct vlm_text text)
{
    struct vlm_charsmap *map = NULL;
    struct vlm_err err = { 0 };
    uint8_t *bytes = malloc(text.n + 1);
    size_t up = vlm_json_reader_down(reader, ".precompiled_charsmap");
    size_t n = bytes ? vlm_text_base64(bytes, text.at, text.n) : 0;
    if (!bytes)
        vlm_json_reader_refuse(reader, "no memory for %zu bytes", text.n);
    else if (n == SIZE_MAX)
        vlm_json_reader_refuse(reader, "expected base64");
    else if (vlm_charsmap_new(&map, bytes, n, &err) != VLM_OK)
        vlm_json_reader_refuse(reader, "%s", err.msg);
    vlm_json_reader_up(reader, up);
    free(bytes);
    return map;
}

/* A text that must be there. */
static struct vlm_text need(struct vlm_json_reader *reader, struct vlm_text text,
                            const char *member)
{
    if (text.at && text.n <= VLM_PIECE_MAX)
        return text;
    vlm_json_reader_refuse(reader, text.at ? "%s is too long" : "no %s", member);
    return (struct vlm_text){ "", 0 };
}

static struct vlm_text need_char(struct vlm_json_reader *reader, struct vlm_text text,
                                 const char *member)
{
    text = need(reader, text, member);
    if (!text.n || vlm_utf8_valid_at(text.at, text.n) != text.n)
        vlm_json_reader_refuse(reader, "%s is '%.20s', expected one character", member, text.at);
    return text;
}

/* The place of type in a list of names, or -1. */
static int name_index(struct vlm_text type, const char *const *names)
{
    for (size_t i = 0; names[i]; i++)
        if (vlm_text_is(type, names[i]))
            return (int)i;
    return -1;
}

static bool is_set(const struct step *step, unsigned flag, bool otherwise)
{
    return step->said & flag ? (step->flags & flag) != 0 : otherwise;
}

static void add_normalizer(struct vlm_json_reader *reader, const struct step *step)
{
    struct vlm_text_spec *spec = reader->spec;
    int kind = name_index(step->type, vlm_json_normalizers);
    if (vlm_text_is(step->type, "Precompiled") && (!step->charsmap.at || !step->charsmap.n))
        return; /* an empty map changes nothing */
    if (kind < 0) {
        unsupported(reader, step->type);
        return;
    }
    struct vlm_text_normalizer *steps =
        room_for_step(reader, spec->normalizers, spec->n_normalizers, sizeof *steps);
    if (!steps)
        return;
    spec->normalizers = steps;
    struct vlm_text_normalizer *normalizer = &steps[spec->n_normalizers++];
    normalizer->step.kind = (enum vlm_normalizer_kind)kind;
    if (kind == VLM_NORMALIZE_BERT) {
        bool lowercase = is_set(step, LOWERCASE, true);
        normalizer->accents_as_case = !(step->said & STRIP_ACCENTS);
        normalizer->step.flags =
            (is_set(step, CLEAN_TEXT, true) ? VLM_BERT_CLEAN_TEXT : 0U) |
            (is_set(step, HANDLE_CHINESE_CHARS, true) ? VLM_BERT_CHINESE_CHARS : 0U) |
            (is_set(step, STRIP_ACCENTS, lowercase) ? VLM_BERT_STRIP_ACCENTS : 0U) |
            (lowercase ? VLM_BERT_LOWERCASE : 0U);
    } else if (kind == VLM_NORMALIZE_STRIP) {
        normalizer->step.flags = (is_set(step, STRIP_LEFT, true) ? VLM_STRIP_LEFT : 0U) |
                                 (is_set(step, STRIP_RIGHT, true) ? VLM_STRIP_RIGHT : 0U);
    } else if (kind == VLM_NORMALIZE_REPLACE || kind == VLM_NORMALIZE_PREPEND) {
        bool replace = kind == VLM_NORMALIZE_REPLACE;
        struct vlm_text content =
            need(reader, replace ? step->content : step->prepend, replace ? "content" : "prepend");
        normalizer->step.content = content.at;
        normalizer->step.content_size = content.n;
        if (replace) {
            normalizer->pattern_kind = step->pattern_kind;
            normalizer->pattern_text = step->pattern;
            normalizer->step.pattern = make_pattern(reader, step);
        }
    } else if (kind == VLM_NORMALIZE_PRECOMPILED) {
        normalizer->charsmap_text = step->charsmap;
        normalizer->step.charsmap = make_charsmap(reader, step->charsmap);
    }
}

static enum vlm_behavior behavior_of(struct vlm_json_reader *reader, const struct step *step,
                                     enum vlm_behavior otherwise)
{
    if (!step->behavior.at)
        return otherwise;
    int behavior = name_index(step->behavior, vlm_json_behaviors);
    if (behavior < 0)
        vlm_json_reader_refuse(reader, "behavior '%.40s' is not known", step->behavior.at);
    return behavior < 0 ? otherwise : (enum vlm_behavior)behavior;
}

static enum vlm_prepend prepend_of(struct vlm_json_reader *reader, const struct step *step)
{
    bool no_space = (step->said & ADD_PREFIX_SPACE) && !(step->flags & ADD_PREFIX_SPACE);
    if (!step->prepend_scheme.at)
        return no_space ? VLM_PREPEND_NEVER : VLM_PREPEND_ALWAYS;
    int prepend = name_index(step->prepend_scheme, vlm_json_prepends);
    if (prepend < 0 || (no_space && prepend != VLM_PREPEND_NEVER))
        vlm_json_reader_refuse(reader, "prepend_scheme '%.20s' %s", step->prepend_scheme.at,
                               prepend < 0 ? "is not known" : "contradicts add_prefix_space");
    return prepend < 0 ? VLM_PREPEND_NEVER : (enum vlm_prepend)prepend;
}

static void fill_split(struct vlm_json_reader *reader, const struct step *step,
                       struct vlm_pre_tokenizer *out)
{
    if (!step->behavior.at)
        vlm_json_reader_refuse(reader, "no behavior");
    out->flags = step->flags & INVERT ? VLM_PART_INVERT : 0;
    out->pattern_kind = step->pattern_kind;
    out->pattern_text = step->pattern;
    /* Possessive intervals, as tiktoken spells them, mean something else here. */
    if (step->pattern.at && step->pattern_kind == VLM_PATTERN_REGEX &&
        !memmem(step->pattern.at, step->pattern.n, "}+|", 3))
        out->split = vlm_text_find_split(step->pattern);
    if (out->split < 0)
        out->pattern = make_pattern(reader, step);
}

static void fill_pre_tokenizer(struct vlm_json_reader *reader, const struct step *step,
                               struct vlm_pre_tokenizer *out)
{
    out->split = -1;
    out->behavior = behavior_of(reader, step, VLM_BEHAVIOR_ISOLATED);
    switch (out->kind) {
    case VLM_PRE_BYTE_LEVEL:
        out->flags = (is_set(step, ADD_PREFIX_SPACE, true) ? VLM_PART_PREFIX_SPACE : 0U) |
                     (is_set(step, USE_REGEX, true) ? VLM_PART_REGEX : 0U);
        break;
    case VLM_PRE_SPLIT:
        fill_split(reader, step, out);
        break;
    case VLM_PRE_DIGITS:
        out->flags = step->flags & INDIVIDUAL_DIGITS ? VLM_PART_INDIVIDUAL : 0;
        break;
    case VLM_PRE_METASPACE:
        out->content = need_char(reader, step->replacement, "replacement");
        out->prepend = prepend_of(reader, step);
        out->flags = is_set(step, SPLIT, true) ? VLM_PART_SPLIT : 0;
        break;
    case VLM_PRE_DELIMITER:
        out->content = need_char(reader, step->delimiter, "delimiter");
        break;
    case VLM_PRE_FIXED_LENGTH:
        out->length = step->has_length ? (size_t)VLM_MIN(step->length, (uint64_t)VLM_TEXT_MAX) : 5;
        if (!out->length)
            vlm_json_reader_refuse(reader, "length is 0, expected at least 1");
        break;
    case VLM_PRE_WHITESPACE:
    case VLM_PRE_WHITESPACE_SPLIT:
    case VLM_PRE_PUNCTUATION:
    case VLM_PRE_BERT:
        break;
    }
}

static void add_pre_tokenizer(struct vlm_json_reader *reader, const struct step *step)
{
    struct vlm_text_spec *spec = reader->spec;
    int kind = vlm_text_is(step->type, "Delimiter")
                   ? VLM_PRE_DELIMITER
                   : name_index(step->type, vlm_json_pre_tokenizers);
    if (kind < 0) {
        unsupported(reader, step->type);
        return;
    }
    struct vlm_pre_tokenizer *steps =
        room_for_step(reader, spec->pre_tokenizers, spec->n_pre_tokenizers, sizeof *steps);
    if (!steps)
        return;
    spec->pre_tokenizers = steps;
    struct vlm_pre_tokenizer *out = &steps[spec->n_pre_tokenizers++];
    out->kind = (enum vlm_pre_kind)kind;
    fill_pre_tokenizer(reader, step, out);
}

static void fill_decoder(struct vlm_json_reader *reader, const struct step *step,
                         struct vlm_decoder *out)
{
    switch (out->kind) {
    case VLM_DECODE_WORDPIECE:
        out->content =
            step->prefix.at ? need(reader, step->prefix, "prefix") : (struct vlm_text){ "##", 2 };
        out->flags = is_set(step, CLEANUP, true) ? VLM_PART_CLEANUP : 0;
        break;
    case VLM_DECODE_METASPACE:
        out->content = need_char(reader, step->replacement, "replacement");
        out->prepend = prepend_of(reader, step);
        break;
    case VLM_DECODE_STRIP:
        out->content = need_char(reader, step->content, "content");
        out->start = (size_t)VLM_MIN(step->start, (uint64_t)VLM_TEXT_MAX);
        out->stop = (size_t)VLM_MIN(step->stop, (uint64_t)VLM_TEXT_MAX);
        break;
    case VLM_DECODE_REPLACE:
        out->content = need(reader, step->content, "content");
        out->pattern_kind = step->pattern_kind;
        out->pattern_text = step->pattern;
        out->pattern = make_pattern(reader, step);
        break;
    case VLM_DECODE_BPE:
        out->content =
            step->suffix.at ? need(reader, step->suffix, "suffix") : (struct vlm_text){ "</w>", 4 };
        break;
    case VLM_DECODE_BYTE_LEVEL:
    case VLM_DECODE_BYTE_FALLBACK:
    case VLM_DECODE_FUSE:
        break;
    }
}

static void add_decoder(struct vlm_json_reader *reader, const struct step *step)
{
    struct vlm_text_spec *spec = reader->spec;
    int kind = name_index(step->type, vlm_json_decoders);
    if (kind < 0) {
        unsupported(reader, step->type);
        return;
    }
    struct vlm_decoder *steps =
        room_for_step(reader, spec->decoders, spec->n_decoders, sizeof *steps);
    if (!steps)
        return;
    spec->decoders = steps;
    struct vlm_decoder *out = &steps[spec->n_decoders++];
    out->kind = (enum vlm_decoder_kind)kind;
    fill_decoder(reader, step, out);
}

static void read_part(struct vlm_json_reader *reader, step_adder add)
{
    if (!vlm_json_scan_null(&reader->in))
        read_step(reader, add);
}

void vlm_json_reader_normalizer(struct vlm_json_reader *reader)
{
    read_part(reader, add_normalizer);
}

void vlm_json_reader_pre_tokenizer(struct vlm_json_reader *reader)
{
    read_part(reader, add_pre_tokenizer);
}

void vlm_json_reader_decoder(struct vlm_json_reader *reader)
{
    read_part(reader, add_decoder);
}
