/* test_split.c - the scanners against the package tokenizers for every character in many contexts
 * (tests/vectors/split.tsv, written by tests/reference/make_split.py), against PCRE2 on random
 * strings, and on what is no UTF-8. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "tokenize/unicode/char_class.h"
#include "tokenize/unicode/split.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static const struct {
    const char *name;
    enum vlm_split split;
    const char *pattern;
} scanners[] = {
    { "gpt2", VLM_SPLIT_GPT2,
      "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+" },
    { "gpt2 of tiktoken", VLM_SPLIT_GPT2,
      "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s" },
    { "clip", VLM_SPLIT_CLIP,
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
    { "clip-cased", VLM_SPLIT_CLIP_CASED,
      "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
    { "cl100k", VLM_SPLIT_CL100K,
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
      " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" },
    { "cl100k-tiktoken", VLM_SPLIT_CL100K_TIKTOKEN,
      "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+|"
      " ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s" },
    { "qwen2", VLM_SPLIT_QWEN2,
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
      " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" },
    { "o200k", VLM_SPLIT_O200K,
      "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
      "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
      "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" },
};

static void published_spellings_are_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(scanners); i++) {
        const char *pattern = scanners[i].pattern;
        assert_int_equal(vlm_split_find(pattern, strlen(pattern)), scanners[i].split);
        assert_int_equal(vlm_split_find(pattern, strlen(pattern) - 1), -1);
    }
    assert_int_equal(vlm_split_find("", 0), -1);
}

/* A stream of the lengths of pieces. */
struct lengths {
    struct vlm_sha256_stream *hash;
    struct vlm_buffer bytes;
};

static void add_text(struct lengths *lengths, enum vlm_split split, const char *text, size_t n)
{
    for (size_t size; n; text += size, n -= size) {
        size = vlm_split_next(split, text, n);
        assert_in_range(size, 1, VLM_MIN(n, 255));
        vlm_buffer_byte(&lengths->bytes, (uint8_t)size);
    }
    vlm_buffer_byte(&lengths->bytes, 0);
    if (lengths->bytes.size > 1 << 16) {
        vlm_sha256_add(lengths->hash, lengths->bytes.data, lengths->bytes.size);
        vlm_buffer_reset(&lengths->bytes);
    }
}

static void add_context(struct vlm_buffer *text, const char *context, uint32_t c)
{
    char utf8[4];
    size_t size = vlm_utf8_encode(utf8, c);
    for (; *context; context++) {
        if (*context == '%')
            vlm_buffer_add(text, utf8, size);
        else
            vlm_buffer_byte(text, (uint8_t)*context);
    }
}

/* Characters as make_split.py takes them. */
static bool is_tried(uint32_t c, bool every)
{
    if (c >= 0xd800 && c < 0xe000)
        return false;
    return every || c < 0x32400 || (c >= 0xe0000 && c < 0xe1000) || c >= 0x10ff00;
}

enum { BATCH = 4096 }; /* characters of a text */

static void digest_of(char digest[17], enum vlm_split split, bool each, const char *context,
                      bool every)
{
    struct lengths lengths = { .hash = vlm_sha256_begin() };
    struct vlm_buffer text = { 0 };
    size_t n = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (!is_tried(c, every))
            continue;
        add_context(&text, context, c);
        if (!each)
            vlm_buffer_text(&text, "\n\n");
        if (!each && ++n % BATCH)
            continue;
        add_text(&lengths, split, (char *)text.data, text.size);
        vlm_buffer_reset(&text);
    }
    if (text.size)
        add_text(&lengths, split, (char *)text.data, text.size);
    uint8_t sha[VLM_SHA256_SIZE];
    vlm_sha256_add(lengths.hash, lengths.bytes.data, lengths.bytes.size);
    vlm_sha256_end(lengths.hash, sha);
    vlm_hex(digest, sha, 8);
    vlm_buffer_release(&text);
    vlm_buffer_release(&lengths.bytes);
}

static void unescape(char *text)
{
    char *to = text;
    for (; *text; text++) {
        if (*text == '\\' && text[1]) {
            text++;
            *to++ = *text == 'n' ? '\n' : *text == 'r' ? '\r' : '\t';
        } else {
            *to++ = *text;
        }
    }
    *to = 0;
}

/* A file of make_split.py, --all or not. */
static void compare_file(const char *path, bool every)
{
    struct vlm_buffer file = { 0 };
    struct vlm_err err = { 0 };
    size_t rows = 0;
    assert_int_equal(vlm_file_read(&file, path, VLM_MIB, &err), VLM_OK);
    vlm_buffer_byte(&file, 0);
    char *next;
    for (char *line = (char *)file.data; *line; line = next) {
        next = strchr(line, '\n');
        assert_non_null(next);
        *next++ = 0;
        char *column[4] = { line };
        for (size_t i = 1; i < 4; i++) {
            column[i] = strchr(column[i - 1], '\t');
            assert_non_null(column[i]);
            *column[i]++ = 0;
        }
        size_t k = 0;
        while (k < VLM_COUNTOF(scanners) && strcmp(scanners[k].name, column[0]))
            k++;
        if (k == VLM_COUNTOF(scanners)) {
            fail_msg("'%s' is no scanner", column[0]);
            break;
        }
        char digest[17], context[64];
        snprintf(context, sizeof context, "%s", column[2]);
        unescape(context);
        digest_of(digest, scanners[k].split, !strcmp(column[1], "each"), context, every);
        if (strcmp(digest, column[3]))
            fail_msg("%s, %s %s: pieces differ from those of tokenizers", column[0], column[1],
                     column[2]);
        rows++;
    }
    assert_in_range(rows, 300, 1000);
    vlm_buffer_release(&file);
}

static void every_character_in_every_context(void **state)
{
    (void)state;
    compare_file("tests/vectors/split.tsv", false);
    const char *all = getenv("VLM_SPLIT_ALL"); /* made with --all; minutes */
    if (all)
        compare_file(all, true);
}

static pcre2_code *compile(const char *pattern)
{
    int code;
    size_t at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
    assert_non_null(re);
    pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
    return re;
}

/* Characters that patterns tell apart, and a few of their neighbours. The empty one is U+0000. Their classes are those of
 * PCRE2's Unicode 14 too. */
static const char *const alphabet[] = {
    " ",          " ",          "\t",         "\n",         "\r",         "\r\n",   "\u00a0",
    "\u2003",     "\u3000",     "\xc2\x85",   "\u2028",     "\v",         "a",      "b",
    "s",          "S",          "t",          "T",          "l",          "L",      "ll",
    "LL",         "e",          "re",         "VE",         "v",          "d",      "M",
    "'",          "'",          "'",          "\u017f",     "\u2019",     "A",      "Z",
    "\u00e9",     "\u00c9",     "\u01c5",     "\u02b0",     "\u00aa",     "\u4e2d", "\u3042",
    "\uac00",     "\u0301",     "\u0903",     "\u20dd",     "\U000e0100", "0",      "1",
    "12345",      "\u0663",     "\u2167",     "\u00bd",     ".",          "!",      "/",
    "-",          "_",          "$",          "\u20ac",     "\u200b",     "\u200d", "",
    "\U0001f600", "\U0001d400", "\U00020000", "\U0010ffff", "\ufeff",     "\ufffd",
};

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

/* What a pattern leaves out is a piece of its own. */
static size_t pcre_next(pcre2_code *re, pcre2_match_data *match, const char *text, size_t n,
                        size_t from)
{
    int found = pcre2_match(re, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK, match, NULL);
    if (found == PCRE2_ERROR_NOMATCH)
        return n - from;
    assert_in_range(found, 1, 1);
    size_t *place = pcre2_get_ovector_pointer(match);
    return place[0] > from ? place[0] - from : place[1] - from;
}

static void random_strings_as_pcre2(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (size_t k = 0; k < VLM_COUNTOF(scanners); k++) {
        pcre2_code *re = compile(scanners[k].pattern);
        pcre2_match_data *match = pcre2_match_data_create(1, NULL);
        for (int round = 0; round < 40000; round++) {
            char text[256];
            size_t n = 0, characters = 1 + random_next(&seed) % 20;
            /* Few different ones, so that they meet often. */
            size_t few = random_next(&seed) % 2 ? 6 : VLM_COUNTOF(alphabet);
            size_t first = random_next(&seed);
            for (size_t i = 0; i < characters; i++) {
                size_t pick = random_next(&seed) % few * (few == 6 ? first % 61 + 1 : 1) + first;
                const char *c = alphabet[pick % VLM_COUNTOF(alphabet)];
                size_t size = VLM_MAX(strlen(c), (size_t)1);
                memcpy(text + n, c, size);
                n += size;
            }
            for (size_t i = 0, size; i < n; i += size) {
                size = pcre_next(re, match, text, n, i);
                size_t ours = vlm_split_next(scanners[k].split, text + i, n - i);
                if (ours != size)
                    fail_msg(
                        "%s, round %d: a piece of %zu bytes, PCRE2 has %zu, at %zu of \"%.*s\"",
                        scanners[k].name, round, ours, size, i, (int)n, text);
            }
        }
        pcre2_match_data_free(match);
        pcre2_code_free(re);
    }
}

/* Invalid bytes are characters that are neither letter, number nor space; no scanner reads behind
 * the end, and pieces tile the text. */
static void bytes_that_are_not_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n, piece;
    } cases[] = {
        { "a\xff", 2, 1 },
        { "\xff\xfe!a", 4, 3 },
        { " \x80\x80 ", 4, 3 },
        { "\xc3", 1, 1 },
        { "\xc3(", 2, 2 },
        { "\xe4\xb8", 2, 2 },
        { "\xed\xa0\x80", 3, 3 },     /* a surrogate */
        { "\xc0\xaf/", 3, 3 },        /* overlong */
        { "\xf4\x90\x80\x80", 4, 4 }, /* over U+10FFFF */
        { "\xe4\xb8\xad\xe4\xb8", 5, 3 },
        { "\xe0\x80\x80", 3, 3 },
        { "\xf0\x9f\x98\x80\xf0\x9f", 6, 6 },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++)
        assert_int_equal(vlm_split_next(VLM_SPLIT_GPT2, cases[i].text, cases[i].n), cases[i].piece);
    uint64_t seed = 2;
    for (int round = 0; round < 20000; round++) {
        size_t n = 1 + random_next(&seed) % 40;
        char *text = malloc(n); /* exactly as large, so that a checker sees reads behind it */
        assert_non_null(text);
        for (size_t i = 0; i < n; i++)
            text[i] = (char)(random_next(&seed) % 4 ? 0x80 + random_next(&seed) % 0x80
                                                    : random_next(&seed) % 0x80);
        for (int split = VLM_SPLIT_NONE; split <= VLM_SPLIT_CL100K_TIKTOKEN; split++)
            for (size_t i = 0, size; i < n; i += size) {
                size = vlm_split_next((enum vlm_split)split, text + i, n - i);
                assert_in_range(size, 1, n - i);
            }
        free(text);
    }
}

static void classes_of_characters(void **state)
{
    (void)state;
    static const struct {
        uint32_t c;
        enum vlm_char_class class;
    } cases[] = {
        { 'a', VLM_CHAR_LETTER },    { '0', VLM_CHAR_NUMBER },     { ' ', VLM_CHAR_SPACE },
        { '_', VLM_CHAR_OTHER },     { 0x85, VLM_CHAR_SPACE },     { 0x180e, VLM_CHAR_OTHER },
        { 0x200b, VLM_CHAR_OTHER },  { 0x301, VLM_CHAR_OTHER },    { 0x2160, VLM_CHAR_NUMBER },
        { 0x1c5, VLM_CHAR_LETTER },  { 0x2ebf0, VLM_CHAR_LETTER }, /* Unicode 15.1 */
        { 0x1c89, VLM_CHAR_LETTER }, { 0x10d40, VLM_CHAR_NUMBER }, /* Unicode 16.0 */
        { 0x88f, VLM_CHAR_OTHER },   { 0x323b0, VLM_CHAR_OTHER },  /* Unicode 17.0 */
        { 0xe0100, VLM_CHAR_OTHER }, { 0x10ffff, VLM_CHAR_OTHER },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        char text[4];
        size_t n = vlm_utf8_encode(text, cases[i].c), bytes;
        assert_int_equal(vlm_char_class(cases[i].c), cases[i].class);
        assert_int_equal(vlm_char_class_at(text, n, &bytes), cases[i].class);
        assert_int_equal(bytes, n);
        assert_int_equal(vlm_split_is_space(text, n), cases[i].class == VLM_CHAR_SPACE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_spellings_are_known),
        cmocka_unit_test(classes_of_characters),
        cmocka_unit_test(every_character_in_every_context),
        cmocka_unit_test(random_strings_as_pcre2),
        cmocka_unit_test(bytes_that_are_not_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
