/* test_segment.c - strings cut where the modality changes. */
#include "base/vlm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "tokenize/document.h"
#include "tokenize/sequence/segment.h"

enum mode {
    DOCUMENT = 1, /* a rendering of ours in cm3 or htlm */
    PAGE = 2,     /* likewise in m3w or pair */
    MARKUP = 4,   /* a string of people */
    PROMPT = 8,   /* likewise, with control words */
    TEXT = 16,
};

static struct vlm_segmenter segmenter(const char *text, size_t n, enum mode mode)
{
    return (struct vlm_segmenter){
        .text = text,
        .n = n,
        .markup = mode & (DOCUMENT | MARKUP | PROMPT),
        .words = mode & (PAGE | PROMPT | TEXT),
        .partial = mode & PROMPT,
        .images = mode & (DOCUMENT | PAGE),
        .n_codes = mode & (DOCUMENT | PAGE) ? 0 : 1024,
        .n_masks = 16,
    };
}

/* "T[text] M[markup] W[word]7 I[<image:3>]3 C[17 4]2": kind, bytes and, for the last three, the
 * number. */
static void expect(const char *text, unsigned modes, const char *expected)
{
    static const char letters[] = "TMWIC";
    struct vlm_buffer out = { 0 };
    for (unsigned mode = DOCUMENT; mode <= TEXT; mode *= 2) {
        if (!(modes & mode))
            continue;
        struct vlm_segmenter it = segmenter(text, strlen(text), (enum mode)mode);
        struct vlm_segment segment;
        vlm_buffer_reset(&out);
        while (vlm_segment_next(&it, &segment)) {
            vlm_buffer_printf(&out, "%s%c[%.*s]", out.size ? " " : "", letters[segment.kind],
                              (int)(segment.end - segment.start), text + segment.start);
            if (segment.kind > VLM_SEGMENT_MARKUP)
                vlm_buffer_printf(&out, "%" PRIu32, segment.number);
        }
        vlm_buffer_byte(&out, 0);
        if (strcmp((const char *)out.data, expected) != 0)
            print_error("mode %u of %s\n", mode, text);
        assert_string_equal((const char *)out.data, expected);
    }
    vlm_buffer_release(&out);
}

static void tags_and_text(void **state)
{
    (void)state;
    const unsigned all = DOCUMENT | MARKUP | PROMPT;
    expect("", all | TEXT, "");
    expect("a", all | TEXT, "T[a]");
    expect("<p>a &lt; b</p>", all, "M[<p>] T[a &lt; b] M[</p>]");
    expect("<p>a</p>", PAGE | TEXT, "T[<p>a</p>]");
    expect("<p><b>a</b> c</p>d", all, "M[<p>] M[<b>] T[a] M[</b>] T[ c] M[</p>] T[d]");
    expect("<a href=\"x>y\" title=\"t\">", all, "M[<a href=\"x>y\" title=\"] T[t] M[\">]");
    expect("<img alt=\"A b\" title=\"c\">", all,
           "M[<img alt=\"] T[A b] M[\" title=\"] T[c] M[\">]");
    expect("<meta content=\"a, b\" name=\"keywords\">", all,
           "M[<meta content=\"] T[a, b] M[\" name=\"keywords\">]");
    expect("<p data-alt=\"a\" alt=\"\" Alt=\"b\">", all,
           "M[<p data-alt=\"a\" alt=\"\" Alt=\"b\">]");
    expect("<html lang=\"en\"><head>", all, "M[<html lang=\"en\">] M[<head>]");
}

/* What is no tag is text; what is never closed ends with the string or at the next tag. */
static void strings_that_are_not_well_formed(void **state)
{
    (void)state;
    const unsigned both = MARKUP | PROMPT;
    expect("a < b <3 <", both, "T[a < b <3 <]");
    expect("</ <!-- x --> <?", both, "T[</ <!-- x --> <?]");
    expect("<p", both, "M[<p]");
    expect("<p <b>x", both, "M[<p ] M[<b>] T[x]");
    expect("<p < x", both, "M[<p ] T[< x]");
    expect("<img alt=\"a car", both, "M[<img alt=\"] T[a car]");
    expect("<img alt=\"", both, "M[<img alt=\"]");
    expect("<img alt=", both, "M[<img alt=]");
    expect("<a href=\"x", both, "M[<a href=\"x]");
    expect("<a b\"c>d\" e=\"", both, "M[<a b\"c>] T[d\" e=\"]");
    expect("<i alt='a>b' title=\"=\">", both, "M[<i alt='a>] T[b' title=\"=\">]");
    expect("<i title=\"=\">x", both, "M[<i title=\"] T[=] M[\">] T[x]");
    expect("<i lang=\"=\" alt=\"x\">", both, "M[<i lang=\"=\" alt=\"] T[x] M[\">]");
    expect("<img\nalt=\"x\"\ttitle=\"y\"", both, "M[<img\nalt=\"] T[x] M[\"\ttitle=\"] T[y] M[\"]");
}

static void control_words(void **state)
{
    (void)state;
    expect("<BOS>a<EOC><image>b<EOC><EOS>", TEXT,
           "W[<BOS>]1 T[a] W[<EOC>]5 W[<image>]4 T[b] W[<EOC>]5 W[<EOS>]2");
    expect("<s>a</s><pad><eoss><|endoftext|>", TEXT,
           "W[<s>]1 T[a] W[</s>]2 W[<pad>]0 W[<eoss>]3 W[<|endoftext|>]2");
    expect("<mask:0><mask:15>", TEXT | PROMPT, "W[<mask:0>]6 W[<mask:15>]21");
    expect("<mask:00> <mask:16> <mask:> <mask:0 > <mask:+1> <MASK:0> <bos> <<mask:1>", TEXT,
           "T[<mask:00> <mask:16> <mask:> <mask:0 > <mask:+1> <MASK:0> <bos> <] W[<mask:1>]7");
    expect("<s>a</s> <mask:0>", MARKUP, "M[<s>] T[a] M[</s>] T[ ] M[<mask:0>]");
    expect("<s>a</s> <mask:0><EOS>", PROMPT, "M[<s>] T[a] M[</s>] T[ ] W[<mask:0>]6 W[<EOS>]2");
    expect("<BOS>a<EOC><image:0>b<EOC><image:12><EOC>", PAGE,
           "W[<BOS>]1 T[a] W[<EOC>]5 I[<image:0>]0 T[b] W[<EOC>]5 I[<image:12>]12 W[<EOC>]5");
    expect("<image:0>", TEXT, "T[<image:0>]");
    expect("<image:0>", PROMPT | MARKUP | DOCUMENT, "M[<image:0>]"); /* only src is a place */
}

/* They may stand in a tag, in a value of language and in one that is markup. */
static void control_words_inside_tags(void **state)
{
    (void)state;
    expect("<img alt=\"Photo: <mask:0>\" src=\"<mask:1>\" title=\"a<mask:2><mask:3>b\">", PROMPT,
           "M[<img alt=\"] T[Photo: ] W[<mask:0>]6 M[\" src=\"] W[<mask:1>]7 M[\" title=\"] T[a] "
           "W[<mask:2>]8 W[<mask:3>]9 T[b] M[\">]");
    expect("<a href=\"a<mask:0>b\" <mask:1>>x", PROMPT,
           "M[<a href=\"a] W[<mask:0>]6 M[b\" ] W[<mask:1>]7 M[>] T[x]");
    expect("<a href=\"<mask:0>\" title=\"x\">", PROMPT,
           "M[<a href=\"] W[<mask:0>]6 M[\" title=\"] T[x] M[\">]");
    expect("<a href=\"<mask:0><mask:1>", PROMPT, "M[<a href=\"] W[<mask:0>]6 W[<mask:1>]7");
    expect("<a <mask:0><p>", PROMPT, "M[<a ] W[<mask:0>]6 M[<p>]");
    expect("<a <mask:0>< b", PROMPT, "M[<a ] W[<mask:0>]6 T[< b]");
    expect("<i alt=\"<mask:0>\" x=\"<mask:1>", MARKUP,
           "M[<i alt=\"] T[<mask:0>] M[\" x=\"<mask:1>]");
}

/* n numbers behind one another; one of them may be written differently. */
static const char *numbers(struct vlm_buffer *out, const char *before, size_t n, size_t odd,
                           const char *written, const char *behind)
{
    vlm_buffer_reset(out);
    vlm_buffer_text(out, before);
    for (size_t i = 0; i < n; i++) {
        if (i)
            vlm_buffer_byte(out, ' ');
        if (i == odd)
            vlm_buffer_text(out, written);
        else
            vlm_buffer_printf(out, "%zu", (i * 37 + 5) % 1024);
    }
    vlm_buffer_text(out, behind);
    vlm_buffer_byte(out, 0);
    return (const char *)out->data;
}

/* The kinds of the segments of a string, as letters. */
static void expect_kinds(const char *text, enum mode mode, const char *expected, uint32_t codes)
{
    struct vlm_segmenter it = segmenter(text, strlen(text), mode);
    struct vlm_segment segment;
    char kinds[64];
    size_t n = 0;
    while (n + 1 < sizeof(kinds) && vlm_segment_next(&it, &segment)) {
        kinds[n++] = "TMWIC"[segment.kind];
        if (segment.kind == VLM_SEGMENT_CODES)
            assert_int_equal(segment.number, codes);
    }
    kinds[n] = 0;
    if (strcmp(kinds, expected) != 0)
        print_error("mode %u of %s\n", (unsigned)mode, text);
    assert_string_equal(kinds, expected);
}

static void codes_in_src(void **state)
{
    struct vlm_buffer out = { 0 };
    (void)state;
    for (int mode = MARKUP; mode <= PROMPT; mode *= 2) {
        for (size_t n = 1; n <= 300; n++)
            expect_kinds(numbers(&out, "<img src=\"", n, SIZE_MAX, "", "\">"), (enum mode)mode,
                         n == 256 ? "MCM" : "MTM", 256);
        static const char *const wrong[] = { "01",          "00",  "+1",  "-1",           "1024",
                                             "99999999999", "",    " 1",  "1 ",           "1a",
                                             "1,",          "0x1", "1\t", "\xef\xbc\x91", "&#49;" };
        for (size_t i = 0; i < VLM_COUNTOF(wrong); i++)
            for (size_t at = 0; at < 256; at += 51)
                expect_kinds(numbers(&out, "<img src=\"", 256, at, wrong[i], "\">"),
                             (enum mode)mode, "MTM", 0);
        expect_kinds(numbers(&out, "<img src=\"", 256, 9, "0", "\">"), (enum mode)mode, "MCM", 256);
        expect_kinds(numbers(&out, "<img src=\"", 256, 9, "1023", "\">"), (enum mode)mode, "MCM",
                     256);
        expect_kinds(numbers(&out, "<img alt=\"x\" src=\"", 256, 999, "", "\" title=\"y\">z"),
                     (enum mode)mode, "MTMCMTMT", 256);
    }
    /* Numbers anywhere else are what they were. */
    static const char *const elsewhere[][2] = {
        { "<img alt=\"", "MTM" },  { "<a src=\"", "M" },     { "<img data-src=\"", "M" },
        { "<imgx src=\"", "M" },   { "<img src='", "M" },    { "<img id=\"", "M" },
        { "<p>src=\"", "MT" },     { "<img ssrc=\"", "M" },  { "<image src=\"", "M" },
        { "&lt;img src=\"", "T" }, { "<video src=\"", "M" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(elsewhere); i++)
        expect_kinds(numbers(&out, elsewhere[i][0], 256, 999, "", "\">"), MARKUP, elsewhere[i][1],
                     0);
    expect_kinds(numbers(&out, "<img src=\"", 256, 999, "", "\">"), TEXT, "T", 0);
    vlm_buffer_release(&out);
}

/* Prompts may hold a part of an image. */
static void parts_of_codes(void **state)
{
    (void)state;
    expect("<img src=\"", PROMPT, "M[<img src=\"]");
    expect("<img src=\"12", PROMPT, "M[<img src=\"] C[12]1");
    expect("<img src=\"12 ", PROMPT, "M[<img src=\"] C[12]1");
    expect("<img src=\"12 44 3", PROMPT, "M[<img src=\"] C[12 44 3]3");
    expect("<img src=\"12  44", PROMPT, "M[<img src=\"] T[12  44]");
    expect("<img src=\"12 44\">", PROMPT, "M[<img src=\"] T[12 44] M[\">]");
    expect("<img src=\"12 44", MARKUP, "M[<img src=\"] T[12 44]");
    expect("<img src=\"12 44 <mask:0> 9\"><mask:0>", PROMPT,
           "M[<img src=\"] C[12 44]2 W[<mask:0>]6 C[9]1 M[\">] W[<mask:0>]6");
    expect("<img src=\"12 44<mask:0>9\">", PROMPT,
           "M[<img src=\"] C[12 44]2 W[<mask:0>]6 C[9]1 M[\">]");
    expect("<img src=\"<mask:0> <mask:1> 9", PROMPT,
           "M[<img src=\"] W[<mask:0>]6 W[<mask:1>]7 C[9]1");
    expect("<img src=\"<mask:0>\">", PROMPT, "M[<img src=\"] W[<mask:0>]6 M[\">]");
    expect("<img src=\" <mask:0>\">", PROMPT, "M[<img src=\"] T[ ] W[<mask:0>]6 M[\">]");
    expect("<img src=\"<mask:0> \">", PROMPT, "M[<img src=\"] W[<mask:0>]6 T[ ] M[\">]");
    expect("<img src=\"1 <EOS> 2\">", PROMPT, "M[<img src=\"] T[1 ] W[<EOS>]2 T[ 2] M[\">]");
    expect("<img src=\"cat.jpg\">", PROMPT | MARKUP, "M[<img src=\"] T[cat.jpg] M[\">]");
    struct vlm_buffer out = { 0 };
    expect_kinds(numbers(&out, "<img src=\"", 256, SIZE_MAX, "", ""), PROMPT, "MC", 256);
    expect_kinds(numbers(&out, "<img src=\"", 256, SIZE_MAX, "", " "), PROMPT, "MC", 256);
    expect_kinds(numbers(&out, "<img src=\"", 256, SIZE_MAX, "", ""), MARKUP, "MC", 256);
    expect_kinds(numbers(&out, "<img src=\"", 256, SIZE_MAX, "", " "), MARKUP, "MT", 256);
    expect_kinds(numbers(&out, "<img src=\"", 257, SIZE_MAX, "", ""), PROMPT, "MT", 256);
    vlm_buffer_release(&out);
}

static void places_of_images(void **state)
{
    (void)state;
    expect("<img alt=\"a\" src=\"<image:7>\"><img src=\"<image:0>\" title=\"x\">", DOCUMENT,
           "M[<img alt=\"] T[a] M[\" src=\"] I[<image:7>]7 M[\">] M[<img src=\"] I[<image:0>]0 "
           "M[\" title=\"] T[x] M[\">]");
    expect("<img src=\"<image:7>\">", MARKUP | PROMPT, "M[<img src=\"] T[<image:7>] M[\">]");
}

/* Segments of any string follow one another, and cover all of it but for the spaces around
 * codes. */
static void any_bytes(void **state)
{
    static const char *const pieces[] = { "<",         ">",     "\"",      "=",        " ",
                                          "<img",      "<p",    " src=\"", " alt=\"",  "<mask:0>",
                                          "<image:0>", "<BOS>", "12",      "0",        "</s>",
                                          "x",         "\xff",  "/",       "title=\"", "href=\"" };
    (void)state;
    for (uint64_t round = 0; round < 10000; round++) {
        struct vlm_random random = vlm_random_at(1, 2, round);
        struct vlm_buffer text = { 0 };
        for (uint64_t n = vlm_random_below(&random, 24); n; n--)
            vlm_buffer_text(&text, pieces[vlm_random_below(&random, VLM_COUNTOF(pieces))]);
        vlm_buffer_byte(&text, 0);
        for (int mode = DOCUMENT; mode <= TEXT; mode *= 2) {
            const char *bytes = (const char *)text.data;
            struct vlm_segmenter it = segmenter(bytes, text.size - 1, (enum mode)mode);
            struct vlm_segment segment;
            size_t at = 0;
            while (vlm_segment_next(&it, &segment)) {
                assert_true(segment.end > segment.start);
                while (at < segment.start)
                    assert_int_equal(bytes[at++], ' ');
                assert_int_equal(segment.start, at);
                at = segment.end;
            }
            while (at < text.size - 1)
                assert_int_equal(bytes[at++], ' ');
        }
        vlm_buffer_release(&text);
    }
}

/* A quadratic step would take minutes here. */
static void long_strings(void **state)
{
    static const char *const pieces[] = { "<",
                                          "\"",
                                          "<p",
                                          "<p a=\"",
                                          "<p <",
                                          "<mask:0",
                                          "<img src=\"1 ",
                                          "=\"",
                                          "<i alt=\"",
                                          "<mask:0>",
                                          "<i a=\"<mask:0>",
                                          "<img src=\"<mask:0> 1 ",
                                          "<p <mask:0>",
                                          "<img src=\"<mask:0>\">" };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(pieces); i++) {
        struct vlm_buffer text = { 0 };
        while (text.size < 1000000)
            vlm_buffer_text(&text, pieces[i]);
        for (int mode = DOCUMENT; mode <= TEXT; mode *= 2) {
            struct vlm_segmenter it =
                segmenter((const char *)text.data, text.size, (enum mode)mode);
            struct vlm_segment segment;
            while (vlm_segment_next(&it, &segment))
                ;
            assert_int_equal(it.at, text.size);
        }
        vlm_buffer_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_and_text),    cmocka_unit_test(strings_that_are_not_well_formed),
        cmocka_unit_test(control_words),    cmocka_unit_test(control_words_inside_tags),
        cmocka_unit_test(codes_in_src),     cmocka_unit_test(parts_of_codes),
        cmocka_unit_test(places_of_images), cmocka_unit_test(any_bytes),
        cmocka_unit_test(long_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
