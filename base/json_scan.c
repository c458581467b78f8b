/* json_scan.c - a strict pull reader of JSON (RFC 8259) over one block of text.
 *
 * `at` moves forward only; a problem moves it to the end, so that every loop stops. Strings are
 * written over their own escapes, which are never shorter than what they stand for; the NUL behind
 * a string lands on its closing quote or before. */
#include "base/vlm.h"
#include "base/json_scan.h"

#include "base/utf8.h"

static void set_problem(struct vlm_json_scan *in, const char *problem)
{
    if (in->problem)
        return;
    in->problem = problem;
    in->offset = (size_t)(in->at - in->text);
    in->at = in->end;
}

/* The next character that is not white space, or NUL at the end; stays in front of it. A NUL in the
 * text is none of the characters that anybody expects, so both end as a problem. */
static char peek(struct vlm_json_scan *in)
{
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\n' || *in->at == '\t' || *in->at == '\r'))
        in->at++;
    return in->at < in->end ? *in->at : 0;
}

static bool pass(struct vlm_json_scan *in, char expected, const char *problem)
{
    if (peek(in) == expected && in->at < in->end) {
        in->at++;
        return true;
    }
    set_problem(in, problem);
    return false;
}

void vlm_json_scan_init(struct vlm_json_scan *in, char *text, size_t n)
{
    *in = (struct vlm_json_scan){ .text = text, .at = text, .end = n ? text + n : text };
}

void vlm_json_scan_open(struct vlm_json_scan *in, char bracket)
{
    pass(in, bracket, bracket == '{' ? "expected '{'" : "expected '['");
    in->first = true;
}

bool vlm_json_scan_more(struct vlm_json_scan *in, char bracket)
{
    if (in->problem)
        return false;
    if (peek(in) == bracket) {
        in->at++;
        in->first = false;
        return false;
    }
    if (!in->first &&
        !pass(in, ',', bracket == '}' ? "expected ',' or '}'" : "expected ',' or ']'"))
        return false;
    in->first = false;
    return true;
}

/* Four hexadecimal digits, or UINT32_MAX. */
static uint32_t read_hex(struct vlm_json_scan *in)
{
    uint32_t value = 0;
    if (in->end - in->at < 4)
        return UINT32_MAX;
    for (unsigned i = 0; i < 4; i++) {
        char c = *in->at++;
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            value = value << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return UINT32_MAX;
    }
    return value;
}

/* What stands behind \u; a pair of surrogates is one character. */
static uint32_t read_code_point(struct vlm_json_scan *in)
{
    uint32_t high = read_hex(in);
    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (high > 0xdbff || in->end - in->at < 6 || in->at[0] != '\\' || in->at[1] != 'u')
        return UINT32_MAX;
    in->at += 2;
    uint32_t low = read_hex(in);
    if (low < 0xdc00 || low > 0xdfff)
        return UINT32_MAX;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

enum nul { NUL_REFUSED, NUL_TAKEN };

/* Decodes the escape behind a backslash to `to`; returns the place behind it, or NULL. */
static char *read_escape(struct vlm_json_scan *in, char *to, enum nul nul)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (in->at == in->end)
        return NULL;
    char c = *in->at++;
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter) {
        *to = meanings[letter - letters];
        return to + 1;
    }
    uint32_t code_point = c == 'u' ? read_code_point(in) : UINT32_MAX;
    if (code_point == UINT32_MAX || (code_point == 0 && nul == NUL_REFUSED))
        return NULL;
    return to + vlm_utf8_encode(to, code_point);
}

char vlm_json_scan_peek(struct vlm_json_scan *in)
{
    return peek(in);
}

/* Bytes at `at` that stand for themselves: ASCII but for quotes, backslashes and control characters. */
static size_t plain_run(const struct vlm_json_scan *in)
{
    const char *p = in->at;
    while (p < in->end && (signed char)*p >= 0x20 && *p != '"' && *p != '\\')
        p++;
    return (size_t)(p - in->at);
}

static const char *read_text(struct vlm_json_scan *in, size_t *size, enum nul nul)
{
    *size = 0;
    if (!pass(in, '"', "expected a string"))
        return "";
    char *start = in->at, *to = start;
    while (in->at < in->end && *in->at != '"') {
        char *from = in->at;
        if (*from == '\\') {
            in->at++;
            to = read_escape(in, to, nul);
            if (!to) {
                in->at = from;
                set_problem(in, "this escape stands for no character");
                return "";
            }
            continue;
        }
        size_t n = plain_run(in);
        if (!n)
            n = vlm_utf8_valid_at(from, (size_t)(in->end - from));
        if (!n || (uint8_t)*from < 0x20) {
            set_problem(in, n ? "control character in a string" : "text is not UTF-8");
            return "";
        }
        if (to != from)
            memmove(to, from, n);
        to += n;
        in->at += n;
    }
    if (in->at == in->end) {
        set_problem(in, "the text ends inside a string");
        return "";
    }
    in->at++;
    *to = 0;
    *size = (size_t)(to - start);
    return start;
}

const char *vlm_json_scan_string(struct vlm_json_scan *in)
{
    size_t n;
    return read_text(in, &n, NUL_REFUSED);
}

const char *vlm_json_scan_text(struct vlm_json_scan *in, size_t *n)
{
    return read_text(in, n, NUL_TAKEN);
}

const char *vlm_json_scan_key(struct vlm_json_scan *in)
{
    const char *key = vlm_json_scan_string(in);
    return pass(in, ':', "expected ':'") ? key : "";
}

const char *vlm_json_scan_key_text(struct vlm_json_scan *in, size_t *n)
{
    const char *key = vlm_json_scan_text(in, n);
    if (pass(in, ':', "expected ':'"))
        return key;
    *n = 0;
    return "";
}

static bool pass_word(struct vlm_json_scan *in, const char *word)
{
    size_t n = strlen(word);
    peek(in);
    if ((size_t)(in->end - in->at) < n || memcmp(in->at, word, n))
        return false;
    in->at += n;
    return true;
}

bool vlm_json_scan_bool(struct vlm_json_scan *in)
{
    if (pass_word(in, "true"))
        return true;
    if (!pass_word(in, "false"))
        set_problem(in, "expected true or false");
    return false;
}

bool vlm_json_scan_null(struct vlm_json_scan *in)
{
    return pass_word(in, "null");
}

static bool is_digit(const struct vlm_json_scan *in)
{
    return in->at < in->end && *in->at >= '0' && *in->at <= '9';
}

uint64_t vlm_json_scan_number(struct vlm_json_scan *in)
{
    static const char expected[] = "expected a whole number from 0 to 18446744073709551615";
    uint64_t value = 0;
    peek(in);
    char *start = in->at;
    while (is_digit(in)) {
        uint64_t digit = (uint64_t)(*in->at++ - '0');
        if (value > (UINT64_MAX - digit) / 10 || (value == 0 && in->at - start > 1)) {
            in->at = start;
            set_problem(in, expected);
            return 0;
        }
        value = 10 * value + digit;
    }
    /* 1.5 and 1e3 are numbers, but no whole ones: said here, not as "expected ','". */
    if (in->at == start || (in->at < in->end && strchr(".eE", *in->at) && *in->at)) {
        in->at = start;
        set_problem(in, expected);
        return 0;
    }
    return value;
}

static bool pass_digits(struct vlm_json_scan *in)
{
    char *start = in->at;
    while (is_digit(in))
        in->at++;
    return in->at > start;
}

static bool pass_one_of(struct vlm_json_scan *in, const char *characters)
{
    if (in->at == in->end || !*in->at || !strchr(characters, *in->at))
        return false;
    in->at++;
    return true;
}

/* -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
static void skip_number(struct vlm_json_scan *in)
{
    char *start = in->at;
    pass_one_of(in, "-");
    bool good = pass_one_of(in, "0") || pass_digits(in);
    if (pass_one_of(in, "."))
        good = pass_digits(in) && good;
    if (pass_one_of(in, "eE")) {
        pass_one_of(in, "+-");
        good = pass_digits(in) && good;
    }
    if (!good) {
        in->at = start;
        set_problem(in, "expected a value");
    }
}

const char *vlm_json_scan_digits(struct vlm_json_scan *in, size_t *n)
{
    peek(in);
    char *start = in->at;
    skip_number(in);
    *n = in->problem ? 0 : (size_t)(in->at - start);
    return in->problem ? "" : start;
}

static void skip_scalar(struct vlm_json_scan *in, char c)
{
    if (c == '"')
        vlm_json_scan_string(in);
    else if (!pass_word(in, "true") && !pass_word(in, "false") && !pass_word(in, "null"))
        skip_number(in);
}

void vlm_json_scan_skip(struct vlm_json_scan *in)
{
    uint64_t objects = 0; /* one bit for each level: object, or array */
    unsigned depth = 0;
    do {
        char c = peek(in);
        if (c == '{' || c == '[') {
            if (depth == VLM_JSON_SCAN_DEPTH) {
                set_problem(in, "nested too deep");
                return;
            }
            vlm_json_scan_open(in, c);
            objects = objects << 1 | (c == '{');
            depth++;
        } else {
            skip_scalar(in, c);
        }
        while (depth && !in->problem && !vlm_json_scan_more(in, objects & 1 ? '}' : ']')) {
            objects >>= 1;
            depth--;
        }
        if (depth && (objects & 1))
            vlm_json_scan_key(in);
    } while (depth && !in->problem);
}

void vlm_json_scan_end(struct vlm_json_scan *in)
{
    if (!in->problem && (peek(in), in->at < in->end))
        set_problem(in, "something stands behind the end");
}
