/* test_json_scan.c - the strict JSON reader: what RFC 8259 allows is read, everything else is a
 * problem with its place. */
#include "base/vlm.h"

#include "base/json_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Exactly as large as the text, so that a checker sees reads behind it. */
static char *copy_of(const char *text, size_t n)
{
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, text, n);
    return copy;
}

/* Passes over one value; the problem with its offset, or "" and the size of the text. */
static const char *pass_over(const char *text, size_t n, size_t *offset)
{
    struct vlm_json_scan in;
    char *copy = copy_of(text, n);
    vlm_json_scan_init(&in, copy, n);
    vlm_json_scan_skip(&in);
    vlm_json_scan_end(&in);
    *offset = in.problem ? in.offset : n;
    free(copy);
    return in.problem ? in.problem : "";
}

static void valid_texts_are_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        " [ ] ",
        "{\"a\":1}",
        "[1,2,[3,{\"b\":[]}],{}]",
        "0",
        "-0",
        "-1.5e+10",
        "1E9",
        "0.5",
        "\"\"",
        "\"\\u0041\\ud83d\\ude00\\n\\\\\\/\"",
        "true",
        "false",
        "null",
        "\"\xc3\xa9\xf0\x9f\x98\x80\"",
        "\t\r\n{ \"a\" : [ true , null ] } \n",
    };
    for (size_t i = 0; i < VLM_COUNTOF(texts); i++) {
        size_t offset;
        assert_string_equal(pass_over(texts[i], strlen(texts[i]), &offset), "");
    }
}

static void invalid_texts_are_problems(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t offset;
    } texts[] = {
        { "", 0 },
        { " ", 1 },
        { "nul", 0 },
        { "True", 0 },
        { "{", 1 },
        { "[1,]", 3 },
        { "{\"a\":1,}", 7 },
        { "'a'", 0 },
        { "01", 1 },
        { "-", 0 },
        { ".5", 0 },
        { "1.", 0 },
        { "+1", 0 },
        { "1e", 0 },
        { "NaN", 0 },
        { "Infinity", 0 },
        { "[1 2]", 3 },
        { "[,1]", 1 },
        { "\"\\u12\"", 1 },
        { "\"\\ud800\"", 1 },
        { "\"\\ud800\\u0041\"", 1 },
        { "\"\\udc00\"", 1 },
        { "\"\\x41\"", 1 },
        { "\"\\u0000\"", 1 },
        { "\"\n\"", 1 },
        { "\"abc", 4 },
        { "\"\\", 1 },
        { "{} x", 3 },
        { "{}{}", 2 },
        { "\xef\xbb\xbf{}", 0 },
        { "\"\xff\"", 1 },
        { "\"\xc0\x80\"", 1 },
        { "\"\xed\xa0\x80\"", 1 },
        { "{1:2}", 1 },
        { "{\"a\" 1}", 5 },
        { "{\"a\":}", 5 },
        { "]", 0 },
        { "[}", 1 },
        { "{]", 1 },
        { "/**/1", 0 },
        { "{\"a\":1 \"b\":2}", 7 },
    };
    for (size_t i = 0; i < VLM_COUNTOF(texts); i++) {
        size_t offset;
        const char *problem = pass_over(texts[i].text, strlen(texts[i].text), &offset);
        if (!*problem || offset != texts[i].offset)
            fail_msg("%s: '%s' at %zu, expected at %zu", texts[i].text, problem, offset,
                     texts[i].offset);
    }
    size_t offset;
    assert_string_not_equal(pass_over("\0", 1, &offset), "");
    assert_string_not_equal(pass_over("{}\0", 3, &offset), "");
    assert_int_equal(offset, 2);
    assert_string_not_equal(pass_over("\"\0\"", 3, &offset), "");
}

/* Every prefix of a valid text is a problem at or before its end. */
static void cut_texts_are_problems(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\\u00e9\": [1.5e-3, true, {\"b\": null}], \"\xe2\x82\xac\": \"\"}";
    size_t offset;
    assert_string_equal(pass_over(text, sizeof(text) - 1, &offset), "");
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        assert_string_not_equal(pass_over(text, n, &offset), "");
        assert_true(offset <= n);
    }
}

static void depth_is_limited(void **state)
{
    (void)state;
    enum { LARGE = 1 << 20 };
    static char text[2 * LARGE];
    size_t offset;
    for (size_t depth = VLM_JSON_SCAN_DEPTH - 1; depth <= VLM_JSON_SCAN_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        const char *problem = pass_over(text, 2 * depth, &offset);
        assert_string_equal(problem, depth > VLM_JSON_SCAN_DEPTH ? "nested too deep" : "");
    }
    memset(text, '[', LARGE);
    memset(text + LARGE, ']', LARGE);
    assert_string_equal(pass_over(text, 2 * LARGE, &offset), "nested too deep");
    assert_int_equal(offset, VLM_JSON_SCAN_DEPTH);
    /* Objects and arrays in turn come back out in the right order. */
    static const char mixed[] = "[{\"a\":[{\"b\":[{\"c\":[1]}]}]},{\"d\":[]}]";
    assert_string_equal(pass_over(mixed, sizeof(mixed) - 1, &offset), "");
}

static void strings_are_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *text, *value;
    } strings[] = {
        { "\"plain\"", "plain" },
        { "\"a\\\"b\\\\c\\/d\\b\\f\\n\\r\\t\"", "a\"b\\c/d\b\f\n\r\t" },
        { "\"\\u0001\\u00e9\\u20AC\\uD83D\\uDE00\"", "\x01\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "\"\"", "" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(strings); i++) {
        struct vlm_json_scan in;
        char *copy = copy_of(strings[i].text, strlen(strings[i].text));
        vlm_json_scan_init(&in, copy, strlen(strings[i].text));
        assert_string_equal(vlm_json_scan_string(&in), strings[i].value);
        vlm_json_scan_end(&in);
        assert_null(in.problem);
        free(copy);
    }
}

static void numbers_are_whole(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
        bool good;
    } numbers[] = {
        { "0", 0, true },
        { " 7 ", 7, true },
        { "18446744073709551615", UINT64_MAX, true },
        { "18446744073709551616", 0, false },
        { "99999999999999999999999", 0, false },
        { "00", 0, false },
        { "01", 0, false },
        { "-1", 0, false },
        { "-0", 0, false },
        { "1.0", 0, false },
        { "1e3", 0, false },
        { "1E3", 0, false },
        { "\"1\"", 0, false },
        { "", 0, false },
        { "true", 0, false },
    };
    for (size_t i = 0; i < VLM_COUNTOF(numbers); i++) {
        struct vlm_json_scan in;
        char *copy = copy_of(numbers[i].text, strlen(numbers[i].text));
        vlm_json_scan_init(&in, copy, strlen(numbers[i].text));
        uint64_t value = vlm_json_scan_number(&in);
        vlm_json_scan_end(&in);
        if (!in.problem != numbers[i].good || (!in.problem && value != numbers[i].value))
            fail_msg("%s gives %" PRIu64 ", %s", numbers[i].text, value, in.problem);
        free(copy);
    }
}

static void members_are_seen_in_their_order(void **state)
{
    (void)state;
    char text[] = "{\"a\": [1, 2], \"a\": 3, \"b\": {\"c\": \"x\"}, \"d\": []}";
    char seen[64] = "";
    size_t used = 0;
    struct vlm_json_scan in;
    vlm_json_scan_init(&in, text, sizeof(text) - 1);
    vlm_json_scan_open(&in, '{');
    while (vlm_json_scan_more(&in, '}')) {
        const char *key = vlm_json_scan_key(&in);
        used += (size_t)snprintf(seen + used, sizeof(seen) - used, "%s", key);
        if (in.at[1] != '[') {
            vlm_json_scan_skip(&in);
            continue;
        }
        vlm_json_scan_open(&in, '[');
        while (vlm_json_scan_more(&in, ']'))
            used += (size_t)snprintf(seen + used, sizeof(seen) - used, " %d",
                                     (int)vlm_json_scan_number(&in));
    }
    vlm_json_scan_end(&in);
    assert_null(in.problem);
    assert_string_equal(seen, "a 1 2abd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts_are_read),
        cmocka_unit_test(invalid_texts_are_problems),
        cmocka_unit_test(cut_texts_are_problems),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(numbers_are_whole),
        cmocka_unit_test(members_are_seen_in_their_order),
    };
    return cmocka_run_group_tests_name("json_scan", tests, NULL, NULL);
}
