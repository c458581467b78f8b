/* test_ini.c - INI text key by key, what is none, and the nearest word of a list. */
#include "base/vlm.h"

#include "base/buffer.h"
#include "base/ini.h"
#include "base/near.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What was handed on, as "line section.key=value" in lines, a section as "line [section]". */
static int note(void *context, const struct vlm_ini_entry *entry, struct vlm_err *err)
{
    struct vlm_buffer *out = context;
    if (entry->key)
        vlm_buffer_printf(out, "%zu %s.%s=%s\n", entry->line, entry->section, entry->key,
                          entry->value);
    else
        vlm_buffer_printf(out, "%zu [%s]\n", entry->line, entry->section);
    return entry->key && !strcmp(entry->key, "stop") ? vlm_fail(err, VLM_EFORMAT, "it says stop")
                                                     : VLM_OK;
}

static void reads_n(const char *text, size_t n, const char *expected)
{
    struct vlm_buffer out = { 0 };
    struct vlm_err err = { 0 };
    if (vlm_ini_read("f", text, n, note, &out, &err))
        fail_msg("%s", err.msg);
    vlm_buffer_byte(&out, 0);
    assert_string_equal((char *)out.data, expected);
    vlm_buffer_release(&out);
}

static void reads(const char *text, const char *expected)
{
    reads_n(text, strlen(text), expected);
}

static void refuses_n(const char *text, size_t n, const char *sentence)
{
    struct vlm_buffer out = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_ini_read("f", text, n, note, &out, &err), VLM_EUSAGE);
    assert_string_equal(err.msg, sentence);
    vlm_buffer_release(&out);
}

static void refuses(const char *text, const char *sentence)
{
    refuses_n(text, strlen(text), sentence);
}

static void test_lines(void **state)
{
    (void)state;
    reads("", "");
    reads("\n\n# x = 1\n ; y\n", "");
    reads("[a]\nb = 1\nb=2\n[c.d] ; words\n  e.f =\n",
          "1 [a]\n2 a.b=1\n3 a.b=2\n4 [c.d]\n5 c.d.e.f=\n");
    reads("b = 1", "1 .b=1\n");
    reads("[a]\r\nb = 1\r\n\r\nc = x y \r\n", "1 [a]\n2 a.b=1\n4 a.c=x y\n");
    reads("\xef\xbb\xbf[a]\nb = \xc3\xa9\n", "1 [a]\n2 a.b=\xc3\xa9\n");
    reads("\xef\xbb\xbf", "");
    /* What begins with blanks continues nothing. */
    reads("[a]\nb = 1\n   c = 2\n", "1 [a]\n2 a.b=1\n3 a.c=2\n");
}

static void test_values(void **state)
{
    (void)state;
    reads("b = 1 ; one", "1 .b=1\n");
    reads("b = a;b#c # d", "1 .b=a;b#c # d\n");
    reads("b = ; nothing", "1 .b=\n");
    reads("b = <img alt=\"x\" src=\"", "1 .b=<img alt=\"x\" src=\"\n");
    reads("b = \" a ; \\\"b\\\" \\\\ \" ; c", "1 .b= a ; \"b\" \\ \n");
    reads("b = \"\\n\\r\\t\"", "1 .b=\n\r\t\n");
    reads("b = \"\"", "1 .b=\n");
}

/* A line may be as long as it likes: inih, which was used before, went on reading behind byte 199 as if a
 * line began there. */
static void test_long_lines(void **state)
{
    (void)state;
    static char line[5000], expected[5100];
    memset(line, 'x', sizeof(line));
    memcpy(line, "b = ", 4);
    memcpy(line + 190, " c = 3 ", 7);
    line[sizeof(line) - 1] = 0;
    snprintf(expected, sizeof(expected), "1 .b=%s\n", line + 4);
    reads(line, expected);
}

static void test_what_is_no_ini(void **state)
{
    (void)state;
    refuses("[a]\nb\n", "f, line 2: 'b' is neither [section] nor key = value");
    refuses("[a\nb = 1\n", "f, line 1: a [section] without its ]");
    refuses("[ ]\n", "f, line 1: section without a name");
    refuses("[a] b\n", "f, line 1: something stands behind the ] of a section");
    refuses("\n= 1\n", "f, line 2: key without a name");
    refuses("b = \"x\n", "f, line 1: a value that begins with \" has no closing \"");
    refuses("b = \"x\\\n", "f, line 1: a \\ in quotes is followed by none of \" \\ n r t");
    refuses("b = \"\\x41\"\n", "f, line 1: a \\ in quotes is followed by none of \" \\ n r t");
    refuses("b = \"x\" y\n", "f, line 1: something stands behind the closing \" of a value");
    char name[VLM_INI_NAME_MAX + 8], sentence[128];
    memset(name, 'k', sizeof(name));
    snprintf(name + VLM_INI_NAME_MAX, 8, "=1");
    assert_int_equal(strcspn(name, "="), VLM_INI_NAME_MAX);
    struct vlm_buffer out = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_ini_read("f", name, strlen(name), note, &out, &err), VLM_OK);
    vlm_buffer_release(&out);
    snprintf(name + VLM_INI_NAME_MAX, 8, "k=1");
    snprintf(sentence, sizeof(sentence),
             "f, line 1: the name of a key has %d bytes, at most %d are read", VLM_INI_NAME_MAX + 1,
             VLM_INI_NAME_MAX);
    refuses(name, sentence);
}

static void test_what_is_no_text(void **state)
{
    (void)state;
    refuses_n("\xff\xfe[\0a\0]\0", 8, "f is text in UTF-16, not in UTF-8");
    refuses_n("\xfe\xff\0[\0a\0]", 8, "f is text in UTF-16, not in UTF-8");
    refuses_n("[a]\nb = \0 1\n", 12, "f, line 2: a byte 0x00, which text does not have");
    refuses("[a]\nb = \x1b[2J\n", "f, line 2: a byte 0x1b, which text does not have");
    refuses("[a]\nb = \x7f\n", "f, line 2: a byte 0x7f, which text does not have");
    refuses("[a]\n\nb = \xe9t\xe9\n", "f, line 3: the text is not UTF-8");
    refuses("\x7f"
            "ELF\x02\x01\x01",
            "f, line 1: a byte 0x7f, which text does not have");
}

static void test_stops_at_the_first_error(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    struct vlm_err err = { 0 };
    const char text[] = "[a]\nb = 1\nstop = 2\nb = 3\n";
    assert_int_equal(vlm_ini_read("f", text, strlen(text), note, &out, &err), VLM_EFORMAT);
    assert_string_equal(err.msg, "f, line 3: it says stop");
    vlm_buffer_byte(&out, 0);
    assert_string_equal((char *)out.data, "1 [a]\n2 a.b=1\n3 a.stop=2\n");
    vlm_buffer_release(&out);
}

/* "" when there is none. */
static void nearest_is(const char *text, const char *words, const char *expected)
{
    struct vlm_near near = { .text = text, .n = strlen(text) };
    vlm_near_try_list(&near, words);
    char best[64] = "";
    if (near.best)
        snprintf(best, sizeof(best), "%.*s", (int)near.best_n, near.best);
    assert_string_equal(best, expected);
}

static void test_near(void **state)
{
    (void)state;
    nearest_is("lamda", "min|lambda|max", "lambda");
    nearest_is("lambad", "min, lambda, max", "lambda"); /* a swap is one edit */
    nearest_is("mni", "max min", "min");
    nearest_is("rot", "sinusoid|learned|rotary", "rotary"); /* the beginning of a word */
    nearest_is("cm2", "cm3 cm3-modern", "cm3");
    nearest_is("xyz", "min|lambda|max", "");
    nearest_is("lxxbda", "lambda", "lambda");
    nearest_is("lxxxda", "lambda", "");
    nearest_is("abcdef", "abxyef|abcdex|axcdef",
               "abcdex"); /* the nearest, of equal ones the first */
    nearest_is("", "a|ab", "a");
    nearest_is("min", "", "");
    char word[80];
    memset(word, 'w', sizeof(word));
    word[64] = 0;
    nearest_is(word, word, ""); /* 64 bytes: not looked at */
    word[63] = 0;
    nearest_is(word, word, word);
}

static void real_is(double value, const char *expected)
{
    struct vlm_buffer out = { 0 };
    vlm_buffer_real(&out, value);
    vlm_buffer_byte(&out, 0);
    assert_string_equal((char *)out.data, expected);
    assert_true(strtod((char *)out.data, NULL) == value);
    vlm_buffer_release(&out);
}

static void test_real(void **state)
{
    (void)state;
    real_is(0, "0");
    real_is(1, "1");
    real_is(0.1, "0.1");
    real_is(1.6e-4, "0.00016");
    real_is(1.0 / 3, "0.3333333333333333");
    real_is(10, "10");
    real_is(524288, "524288");
    real_is(1e6, "1e+06");
    real_is(5e-324, "4.94066e-324");
    real_is(0.1 + 0.2, "0.30000000000000004");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_what_is_no_ini),
        cmocka_unit_test(test_what_is_no_text),
        cmocka_unit_test(test_stops_at_the_first_error),
        cmocka_unit_test(test_near),
        cmocka_unit_test(test_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
