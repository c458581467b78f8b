/* pattern.c - strings by memmem, regular expressions by PCRE2 with its compiler to machine code. Which syntax they
 * have: pattern_syntax.c. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/unicode/pattern.h"
#include "tokenize/unicode/pattern_internal.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct vlm_pattern {
    pcre2_code *code; /* NULL: a string */
    char *text;
    size_t n;
};

struct vlm_pattern_matcher {
    const struct vlm_pattern *pattern;
    pcre2_match_data *match;
    pcre2_match_context *context;
};

static int compile(struct vlm_pattern *pattern, const struct vlm_buffer *text, struct vlm_err *err)
{
    int number;
    size_t offset;
    uint32_t empty = 0;
    PCRE2_UCHAR message[128];
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a regular expression");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pattern->code = pcre2_compile(text->data, text->size,
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE |
                                      PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C,
                                  &number, &offset, context);
    pcre2_compile_context_free(context);
    if (!pattern->code) {
        pcre2_get_error_message(number, message, sizeof message);
        return vlm_fail(err, VLM_EFORMAT, "the regular expression is not supported: %s",
                        (const char *)message);
    }
    pcre2_pattern_info(pattern->code, PCRE2_INFO_MATCHEMPTY, &empty);
    if (empty)
        return vlm_fail(err, VLM_EFORMAT,
                        "a regular expression that matches the empty text is not supported");
    /* Without it the interpreter does the same, only slower. */
    pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    return VLM_OK;
}

static int compile_regex(struct vlm_pattern *pattern, struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    int rc = vlm_pattern_translate(&text, pattern->text, pattern->n, err);
    if (rc == VLM_OK)
        rc = compile(pattern, &text, err);
    vlm_buffer_release(&text);
    return rc;
}

int vlm_pattern_new(struct vlm_pattern **out, const char *text, size_t n,
                    enum vlm_pattern_kind kind, struct vlm_err *err)
{
    *out = NULL;
    if (!n)
        return vlm_fail(err, VLM_EFORMAT, "an empty pattern");
    if (n > VLM_PATTERN_MAX)
        return vlm_fail(err, VLM_EFORMAT, "a pattern of %zu bytes is over the limit of %zu", n,
                        VLM_PATTERN_MAX);
    struct vlm_pattern *pattern = calloc(1, sizeof *pattern);
    char *copy = malloc(n);
    if (!pattern || !copy) {
        free(pattern);
        free(copy);
        return vlm_fail(err, VLM_ENOMEM, "no memory for a pattern");
    }
    memcpy(copy, text, n);
    *pattern = (struct vlm_pattern){ .text = copy, .n = n };
    int rc = kind == VLM_PATTERN_REGEX ? compile_regex(pattern, err) : VLM_OK;
    if (rc != VLM_OK) {
        vlm_pattern_free(pattern);
        return rc;
    }
    *out = pattern;
    return VLM_OK;
}

void vlm_pattern_free(struct vlm_pattern *pattern)
{
    if (!pattern)
        return;
    pcre2_code_free(pattern->code);
    free(pattern->text);
    free(pattern);
}

int vlm_pattern_matcher_new(struct vlm_pattern_matcher **out, const struct vlm_pattern *pattern,
                            struct vlm_err *err)
{
    struct vlm_pattern_matcher *matcher = calloc(1, sizeof *matcher);
    *out = NULL;
    if (!matcher)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a pattern");
    matcher->pattern = pattern;
    if (pattern->code) {
        matcher->match = pcre2_match_data_create(1, NULL);
        matcher->context = pcre2_match_context_create(NULL);
        if (!matcher->match || !matcher->context) {
            vlm_pattern_matcher_free(matcher);
            return vlm_fail(err, VLM_ENOMEM, "no memory for a pattern");
        }
        pcre2_set_match_limit(matcher->context, VLM_PATTERN_MATCH_MAX);
    }
    *out = matcher;
    return VLM_OK;
}

void vlm_pattern_matcher_free(struct vlm_pattern_matcher *matcher)
{
    if (!matcher)
        return;
    pcre2_match_data_free(matcher->match);
    pcre2_match_context_free(matcher->context);
    free(matcher);
}

static int next_string(const struct vlm_pattern *pattern, const char *text, size_t n, size_t from,
                       size_t *start, size_t *end)
{
    const char *found = memmem(text + from, n - from, pattern->text, pattern->n);
    if (!found)
        return VLM_EOF;
    *start = (size_t)(found - text);
    *end = *start + pattern->n;
    return VLM_OK;
}

int vlm_pattern_next(struct vlm_pattern_matcher *matcher, const char *text, size_t n, size_t from,
                     size_t *start, size_t *end, struct vlm_err *err)
{
    PCRE2_UCHAR message[128];
    if (from >= n)
        return VLM_EOF;
    if (!matcher->match)
        return next_string(matcher->pattern, text, n, from, start, end);
    int rc = pcre2_match(matcher->pattern->code, (PCRE2_SPTR)text, n, from, 0, matcher->match,
                         matcher->context);
    if (rc == PCRE2_ERROR_NOMATCH)
        return VLM_EOF;
    if (rc < 0) {
        pcre2_get_error_message(rc, message, sizeof message);
        return vlm_fail(err, VLM_ELIMIT, "a regular expression gave up at byte %zu of the text: %s",
                        from, (const char *)message);
    }
    const size_t *places = pcre2_get_ovector_pointer(matcher->match);
    *start = places[0];
    *end = places[1];
    if (*start < from || *end <= *start)
        return vlm_fail(err, VLM_EFORMAT, "a regular expression matched the empty text");
    return VLM_OK;
}
