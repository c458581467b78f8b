/* pattern_syntax.c - regular expressions of tokenizer.json, which are Oniguruma's with Ruby's syntax, written anew
 * for PCRE2 so that they mean the same; what has no equal there is refused.
 *
 * What differs: \s, \w, \h, \v and \b; \u; (?m) is "dot matches all"; {,n}; an interval is never possessive; sets
 * inside of sets and their intersections; and Unicode, of which the package tokenizers 0.23 has version 16 where
 * PCRE2 has the one of the machine. So \p{L} and its kin are followed by what Unicode 15 and 16 added: ids do not
 * depend on the machine. */
#include "base/vlm.h"

#include "tokenize/unicode/pattern_internal.h"

/* Characters of Unicode 15 and 16 by category; made with the package, against Unicode 14. */
#define NEW_L                                                                                      \
    "\\x{1c89}-\\x{1c8a}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{105c0}-\\x{105f3}"               \
    "\\x{10d4a}-\\x{10d65}\\x{10d6f}-\\x{10d85}\\x{10ec2}-\\x{10ec4}\\x{1123f}-\\x{11240}"         \
    "\\x{11380}-\\x{11389}\\x{1138b}\\x{1138e}\\x{11390}-\\x{113b5}\\x{113b7}\\x{113d1}"           \
    "\\x{113d3}\\x{11bc0}-\\x{11be0}\\x{11f02}\\x{11f04}-\\x{11f10}\\x{11f12}-\\x{11f33}"          \
    "\\x{1342f}\\x{13441}-\\x{13446}\\x{13460}-\\x{143fa}\\x{16100}-\\x{1611d}"                    \
    "\\x{16d40}-\\x{16d6c}\\x{18cff}\\x{1b132}\\x{1b155}\\x{1df25}-\\x{1df2a}"                     \
    "\\x{1e030}-\\x{1e06d}\\x{1e4d0}-\\x{1e4eb}\\x{1e5d0}-\\x{1e5ed}\\x{1e5f0}\\x{2b739}"          \
    "\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}"
#define NEW_LU "\\x{1c89}\\x{a7cb}-\\x{a7cc}\\x{a7da}\\x{a7dc}\\x{10d50}-\\x{10d65}"
#define NEW_LL "\\x{1c8a}\\x{a7cd}\\x{a7db}\\x{10d70}-\\x{10d85}\\x{1df25}-\\x{1df2a}"
#define NEW_LM                                                                                     \
    "\\x{10d4e}\\x{10d6f}\\x{16d40}-\\x{16d42}\\x{16d6b}-\\x{16d6c}\\x{1e030}-\\x{1e06d}"          \
    "\\x{1e4eb}"
#define NEW_LO                                                                                     \
    "\\x{105c0}-\\x{105f3}\\x{10d4a}-\\x{10d4d}\\x{10d4f}\\x{10ec2}-\\x{10ec4}"                    \
    "\\x{1123f}-\\x{11240}\\x{11380}-\\x{11389}\\x{1138b}\\x{1138e}\\x{11390}-\\x{113b5}"          \
    "\\x{113b7}\\x{113d1}\\x{113d3}\\x{11bc0}-\\x{11be0}\\x{11f02}\\x{11f04}-\\x{11f10}"           \
    "\\x{11f12}-\\x{11f33}\\x{1342f}\\x{13441}-\\x{13446}\\x{13460}-\\x{143fa}"                    \
    "\\x{16100}-\\x{1611d}\\x{16d43}-\\x{16d6a}\\x{18cff}\\x{1b132}\\x{1b155}"                     \
    "\\x{1e4d0}-\\x{1e4ea}\\x{1e5d0}-\\x{1e5ed}\\x{1e5f0}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}"          \
    "\\x{31350}-\\x{323af}"
#define NEW_M                                                                                      \
    "\\x{897}\\x{cf3}\\x{ece}\\x{10d69}-\\x{10d6d}\\x{10efc}-\\x{10eff}\\x{11241}"                 \
    "\\x{113b8}-\\x{113c0}\\x{113c2}\\x{113c5}\\x{113c7}-\\x{113ca}\\x{113cc}-\\x{113d0}"          \
    "\\x{113d2}\\x{113e1}-\\x{113e2}\\x{11f00}-\\x{11f01}\\x{11f03}\\x{11f34}-\\x{11f3a}"          \
    "\\x{11f3e}-\\x{11f42}\\x{11f5a}\\x{13440}\\x{13447}-\\x{13455}\\x{1611e}-\\x{1612f}"          \
    "\\x{1e08f}\\x{1e4ec}-\\x{1e4ef}\\x{1e5ee}-\\x{1e5ef}"
#define NEW_N                                                                                      \
    "\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}\\x{11f50}-\\x{11f59}"         \
    "\\x{16130}-\\x{16139}\\x{16d70}-\\x{16d79}\\x{1ccf0}-\\x{1ccf9}\\x{1d2c0}-\\x{1d2d3}"         \
    "\\x{1e4f0}-\\x{1e4f9}\\x{1e5f1}-\\x{1e5fa}"
#define NEW_ND                                                                                     \
    "\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}\\x{11f50}-\\x{11f59}"         \
    "\\x{16130}-\\x{16139}\\x{16d70}-\\x{16d79}\\x{1ccf0}-\\x{1ccf9}\\x{1e4f0}-\\x{1e4f9}"         \
    "\\x{1e5f1}-\\x{1e5fa}"
#define NEW_P                                                                                      \
    "\\x{1b4e}-\\x{1b4f}\\x{1b7f}\\x{10d6e}\\x{113d4}-\\x{113d5}\\x{113d7}-\\x{113d8}"             \
    "\\x{11b00}-\\x{11b09}\\x{11be1}\\x{11f43}-\\x{11f4f}\\x{16d6d}-\\x{16d6f}\\x{1e5ff}"
#define NEW_S                                                                                      \
    "\\x{2427}-\\x{2429}\\x{2ffc}-\\x{2fff}\\x{31e4}-\\x{31e5}\\x{31ef}"                           \
    "\\x{10d8e}-\\x{10d8f}\\x{1cc00}-\\x{1ccef}\\x{1cd00}-\\x{1ceb3}\\x{1f6dc}"                    \
    "\\x{1f774}-\\x{1f776}\\x{1f77b}-\\x{1f77f}\\x{1f7d9}\\x{1f8b2}-\\x{1f8bb}"                    \
    "\\x{1f8c0}-\\x{1f8c1}\\x{1fa75}-\\x{1fa77}\\x{1fa87}-\\x{1fa89}\\x{1fa8f}"                    \
    "\\x{1faad}-\\x{1faaf}\\x{1fabb}-\\x{1fabf}\\x{1fac6}\\x{1face}-\\x{1facf}"                    \
    "\\x{1fada}-\\x{1fadc}\\x{1fadf}\\x{1fae8}-\\x{1fae9}\\x{1faf7}-\\x{1faf8}"                    \
    "\\x{1fbcb}-\\x{1fbef}"

#define SPACES                                                                                     \
    "\\t-\\r\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"   \
    "\\x{3000}"
#define NO_SPACES                                                                                  \
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"       \
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{"   \
    "10ffff}"
/* Besides letters, marks, digits and connectors: numbers of Latin-1, number letters, circled letters. */
#define WORDS                                                                                      \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}" NEW_L NEW_M NEW_ND                                         \
    "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}\\x{24b6}-\\x{24e9}"                                      \
    "\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
#define HEX "0-9a-fA-F"

struct translation {
    const char *at, *end;
    struct vlm_buffer *out;
    const char *problem; /* NULL: none so far */
};

static void put(struct translation *t, const char *text)
{
    vlm_buffer_text(t->out, text);
}

static void copy(struct translation *t, size_t n)
{
    n = VLM_MIN(n, (size_t)(t->end - t->at));
    vlm_buffer_add(t->out, t->at, n);
    t->at += n;
}

static void refuse(struct translation *t, const char *problem)
{
    t->problem = t->problem ? t->problem : problem;
    t->at = t->end;
}

static bool begins(const struct translation *t, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(t->end - t->at) >= n && !memcmp(t->at, text, n);
}

static size_t hex_digits(const char *at, const char *end)
{
    size_t n = 0;
    while (at + n < end && at[n] && strchr("0123456789abcdefABCDEF", at[n]))
        n++;
    return n;
}

/* \b, or \B: where words begin and end, or do not. */
static void edge(struct translation *t, bool is)
{
    put(t, "(?:(?<=[" WORDS "])");
    put(t, is ? "(?![" WORDS "])" : "(?=[" WORDS "])");
    put(t, "|(?<![" WORDS "])");
    put(t, is ? "(?=[" WORDS "]))" : "(?![" WORDS "]))");
    t->at += 2;
}

/* \p{..} and \P{..}, in a set or not. */
static void property(struct translation *t, bool in_set)
{
    static const struct {
        const char *names, *added;
    } newer[] = {
        { "{L}{Letter}", NEW_L },
        { "{Lu}{Uppercase_Letter}", NEW_LU },
        { "{Ll}{Lowercase_Letter}", NEW_LL },
        { "{Lm}{Modifier_Letter}", NEW_LM },
        { "{Lo}{Other_Letter}", NEW_LO },
        { "{M}{Mark}", NEW_M },
        { "{N}{Number}", NEW_N },
        { "{Nd}{Decimal_Number}", NEW_ND },
        { "{P}{Punctuation}", NEW_P },
        { "{S}{Symbol}", NEW_S },
    };
    bool negated = t->at[1] == 'P';
    const char *open = t->at + 2, *close = memchr(open, '}', (size_t)(t->end - open));
    const char *added = NULL;
    char name[32];
    if (open == t->end || *open != '{' || !close || close - open > 24) {
        refuse(t, "\\p without {..}");
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)(close + 1 - open), open);
    for (size_t i = 0; i < VLM_COUNTOF(newer); i++)
        if (strstr(newer[i].names, name))
            added = newer[i].added;
    if (added && !in_set)
        put(t, negated ? "[^" : "[");
    if (added && !in_set && negated) {
        put(t, "\\p");
        t->at += 2;
        copy(t, (size_t)(close + 1 - open));
    } else {
        copy(t, (size_t)(close + 1 - t->at));
    }
    if (added && !(in_set && negated))
        put(t, added);
    if (added && !in_set)
        put(t, "]");
}

/* \uHHHH, \xHH, \x{H..}. */
static void code_point(struct translation *t)
{
    char text[16];
    size_t digits = hex_digits(t->at + 2, t->end);
    if (t->at[1] == 'u' && digits >= 4) {
        snprintf(text, sizeof text, "\\x{%.4s}", t->at + 2);
        put(t, text);
        t->at += 6;
    } else if (begins(t, "\\x{")) {
        copy(t, 3);
        copy(t, hex_digits(t->at, t->end));
        if (t->at == t->end || *t->at != '}')
            refuse(t, "\\x{ without }");
        copy(t, 1);
    } else if (t->at[1] == 'x' && digits >= 2 && t->at[2] < '8') {
        copy(t, 4);
    } else {
        refuse(t, "an escape of bytes");
    }
}

/* A backslash and what it is before. */
static void escape(struct translation *t, bool in_set)
{
    static const struct {
        char letter;
        const char *outside, *inside; /* NULL: refused */
    } classes[] = {
        { 's', "[" SPACES "]", SPACES },
        { 'S', "[^" SPACES "]", NO_SPACES },
        { 'w', "[" WORDS "]", WORDS },
        { 'W', "[^" WORDS "]", NULL },
        { 'd', "[\\p{Nd}" NEW_ND "]", "\\p{Nd}" NEW_ND },
        { 'D', "[^\\p{Nd}" NEW_ND "]", NULL },
        { 'h', "[" HEX "]", HEX },
        { 'H', "[^" HEX "]", NULL },
        { 'v', "\\x0b", "\\x0b" },
        { 'e', "\\e", "\\e" },
        { 'a', "\\a", "\\a" },
        { 't', "\\t", "\\t" },
        { 'n', "\\n", "\\n" },
        { 'r', "\\r", "\\r" },
        { 'f', "\\f", "\\f" },
        { 'A', "\\A", NULL },
        { 'z', "\\z", NULL },
        { 'Z', "\\Z", NULL },
        { 'R', "\\R", NULL },
    };
    char c = t->end - t->at > 1 ? t->at[1] : 0;
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    for (size_t i = 0; i < VLM_COUNTOF(classes); i++)
        if (c == classes[i].letter) {
            const char *text = in_set ? classes[i].inside : classes[i].outside;
            t->at += 2;
            if (text)
                put(t, text);
            else
                refuse(t, in_set ? "a negated class inside of a set" : "this escape");
            return;
        }
    if (c == 'b' && in_set) {
        put(t, "\\x08");
        t->at += 2;
    } else if ((c == 'b' || c == 'B') && !in_set) {
        edge(t, c == 'b');
    } else if (c == 'p' || c == 'P') {
        property(t, in_set);
    } else if (c == 'u' || c == 'x') {
        code_point(t);
    } else if (!c || (letter && !(c >= '1' && c <= '9' && !in_set))) {
        refuse(t, "this escape");
    } else {
        copy(t, 2);
    }
}

static void set(struct translation *t)
{
    copy(t, 1);
    if (begins(t, "^"))
        copy(t, 1);
    if (begins(t, "]"))
        refuse(t, "a set that begins with ]");
    while (t->at < t->end && *t->at != ']') {
        if (begins(t, "[:space:]") || begins(t, "[:digit:]")) {
            put(t, t->at[2] == 's' ? SPACES : "\\p{Nd}" NEW_ND);
            t->at += 9;
        } else if (*t->at == '[') {
            refuse(t, "a set inside of a set");
        } else if (begins(t, "&&")) {
            refuse(t, "an intersection of sets");
        } else if (*t->at == '\\') {
            escape(t, true);
        } else {
            copy(t, 1);
        }
    }
    if (t->at == t->end)
        refuse(t, "a set without ]");
    copy(t, 1);
}

/* What stands behind "(?" where it is options: (?i) or (?i: */
static void options(struct translation *t)
{
    copy(t, 2);
    while (t->at < t->end && *t->at && strchr("imx-", *t->at)) {
        if (*t->at == 'm') { /* of Ruby */
            put(t, "s");
            t->at++;
        } else {
            copy(t, 1);
        }
    }
    if (t->at == t->end || (*t->at != ')' && *t->at != ':'))
        refuse(t, "this kind of group");
    copy(t, 1);
}

static void group(struct translation *t)
{
    static const char *const known[] = { "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?#" };
    if (begins(t, "(*"))
        refuse(t, "a verb");
    if (!begins(t, "(?")) {
        copy(t, 1);
        return;
    }
    for (size_t i = 0; i < VLM_COUNTOF(known); i++)
        if (begins(t, known[i])) {
            copy(t, strlen(known[i]));
            return;
        }
    options(t);
}

/* {n,m}, or a brace that is one. */
static void interval(struct translation *t)
{
    const char *p = t->at + 1;
    size_t low = 0, high = 0;
    bool comma = false;
    for (; p < t->end && ((*p >= '0' && *p <= '9') || (*p == ',' && !comma)); p++) {
        low += !comma && *p != ',';
        high += comma;
        comma = comma || *p == ',';
    }
    if (p == t->end || *p != '}' || (!low && !high)) {
        put(t, "\\{");
        t->at++;
        return;
    }
    put(t, low ? "{" : "{0");
    t->at++;
    copy(t, (size_t)(p + 1 - t->at));
    if (begins(t, "+") || (begins(t, "?") && !comma))
        refuse(t, "an interval with + or ? behind it");
}

int vlm_pattern_translate(struct vlm_buffer *out, const char *text, size_t n, struct vlm_err *err)
{
    struct translation t = { .at = text, .end = text + n, .out = out };
    const char *last = text;
    while (t.at < t.end && !t.problem) {
        last = t.at;
        if (*t.at == '\\')
            escape(&t, false);
        else if (*t.at == '[')
            set(&t);
        else if (*t.at == '(')
            group(&t);
        else if (*t.at == '{')
            interval(&t);
        else
            copy(&t, 1);
    }
    if (t.problem)
        return vlm_fail(err, VLM_EFORMAT, "the regular expression is not supported: %s at byte %zu",
                        t.problem, (size_t)(last - text));
    return out->failed ? vlm_fail(err, VLM_ENOMEM, "no memory for a regular expression") : VLM_OK;
}
