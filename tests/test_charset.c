/* test_charset.c - which encoding a page is in, and what its bytes become. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/utf8.h"
#include "tokenize/html/charset.h"

#include <setjmp.h>

#include <cmocka.h>

static const char *choose(const char *bytes, size_t n, const char *content_type,
                          const char *override)
{
    struct vlm_page_input in = {
        .bytes = bytes, .size = n, .content_type = content_type, .charset = override
    };
    return vlm_charset_choose(&in)->name;
}

#define CHOSEN(expected, text, type, override)                                                     \
    assert_string_equal(choose(text, sizeof(text) - 1, type, override), expected)

static void order_of_sources(void **state)
{
    (void)state;
    CHOSEN("koi8-r", "\xef\xbb\xbf<meta charset=gbk>", "text/html; charset=big5", "koi8-r");
    CHOSEN("utf-8", "\xef\xbb\xbf<meta charset=gbk>", "text/html; charset=big5", NULL);
    CHOSEN("utf-16le", "\xff\xfe<\0", "text/html; charset=big5", NULL);
    CHOSEN("utf-16be", "\xfe\xff\0<", "text/html; charset=big5", NULL);
    CHOSEN("big5", "<meta charset=gbk>\xa4\x40", "text/html; charset=big5", NULL);
    CHOSEN("gbk", "<meta charset=gb2312>\xa4\xff", "text/html", NULL);
    CHOSEN("utf-8", "caf\xc3\xa9", "text/html", NULL);
    CHOSEN("windows-1252", "caf\xe9", NULL, NULL);
    CHOSEN("utf-8", "plain", NULL, NULL);
    /* Unknown labels and refused encodings are as if absent. */
    CHOSEN("gbk", "<meta charset=gbk>\xff", "text/html; charset=nonsense", "also-nonsense");
    CHOSEN("windows-1252", "<meta charset=hz-gb-2312>\xff", "text/html; charset=iso-2022-kr", NULL);
    /* A habit in <meta> does not beat a page that is UTF-8 throughout; a header does. */
    CHOSEN("utf-8", "<meta charset=iso-8859-1>caf\xc3\xa9", NULL, NULL);
    CHOSEN("windows-1252", "<meta charset=iso-8859-1>cafe", NULL, NULL);
    CHOSEN("windows-1252", "caf\xc3\xa9", "text/html;charset=iso-8859-1", NULL);
}

static void content_types(void **state)
{
    (void)state;
    CHOSEN("gbk", "\xff", "text/html; charset=\"gb2312\"; x=y", NULL);
    CHOSEN("gbk", "\xff", "text/html; CHARSET = ' GBK '", NULL);
    CHOSEN("gbk", "\xff", "text/html; charsets; charset=gbk", NULL);
    CHOSEN("windows-1252", "\xff", "text/html; charset=\"gbk", NULL);
    CHOSEN("windows-1252", "\xff", "text/html; charset", NULL);
    CHOSEN("windows-1252", "\xff", "", NULL);
}

static const char *prescan(const char *text)
{
    const struct vlm_encoding *found = vlm_charset_prescan(text, strlen(text));
    return found ? found->name : "none";
}

static void prescan_of_meta(void **state)
{
    (void)state;
    assert_string_equal(prescan("<meta charset=gbk>"), "gbk");
    assert_string_equal(prescan("<META/CHARSET = 'x-sjis' />"), "shift_jis");
    assert_string_equal(
        prescan("<meta http-equiv=Content-Type content='text/html; charset=euc-kr'>"), "euc-kr");
    assert_string_equal(
        prescan("<meta content='text/html; charset=euc-kr' http-equiv=content-type>"), "euc-kr");
    assert_string_equal(prescan("<meta content='text/html; charset=euc-kr'>"), "none");
    assert_string_equal(prescan("<!-- <meta charset=gbk> --><meta charset=big5>"), "big5");
    assert_string_equal(prescan("<!--><meta charset=big5>"), "big5");
    assert_string_equal(prescan("<p title='<meta charset=gbk>'><meta charset=big5>"), "big5");
    assert_string_equal(prescan("</p <meta charset=gbk>><meta charset=big5>"), "big5");
    assert_string_equal(prescan("<?xml encoding=gbk?><!doctype html><meta charset=big5>"), "big5");
    assert_string_equal(prescan("<metax charset=gbk><meta charset=big5>"), "big5");
    assert_string_equal(prescan("<meta charset=utf-16>"), "utf-8");
    assert_string_equal(prescan("<meta charset=x-user-defined>"), "windows-1252");
    assert_string_equal(prescan("<meta charset=nonsense><meta charset=big5>"), "big5");
    assert_string_equal(prescan("<meta charset=gbk"), "none");
    assert_string_equal(prescan("<meta"), "none");
    assert_string_equal(prescan("<!-- <meta charset=gbk>"), "none");
    assert_string_equal(prescan(""), "none");
}

/* A <meta> that ends at byte 1024 counts, a later one only when the page is not UTF-8. */
static void prescan_window(void **state)
{
    (void)state;
    static const char meta[] = "<meta charset=gbk>";
    for (size_t end = VLM_PRESCAN_BYTES - 1; end <= VLM_PRESCAN_BYTES + 1; end++) {
        char page[VLM_PRESCAN_BYTES + 64];
        memset(page, ' ', sizeof(page));
        memcpy(page + end - strlen(meta), meta, strlen(meta));
        memcpy(page + sizeof(page) - 2, "\xc3\xa9", 2);
        assert_string_equal(choose(page, sizeof(page), NULL, NULL), "utf-8");
        page[sizeof(page) - 3] = '\xff';
        assert_string_equal(choose(page, sizeof(page), NULL, NULL), "gbk");
        assert_int_equal(vlm_charset_prescan(page, VLM_PRESCAN_BYTES) != NULL,
                         end <= VLM_PRESCAN_BYTES);
    }
}

static void xml_declarations(void **state)
{
    (void)state;
    static const struct {
        const char *page, *name;
    } pages[] = {
        { "<?xml version='1.0' encoding='koi8-r'?>\xc1", "koi8-r" },
        { "<?xml encoding = \"Shift_JIS\" ?><meta charset=big5>\xa4\x40", "big5" },
        { "<?xml encoding=\"gbk\"?>\xc3\xa9", "utf-8" }, /* the whole page is */
        { "<?xml encoding=\"utf-16\"?>\xe9", "utf-8" },
        { "<?xml encoding=gbk?>\xe9", "windows-1252" },
        { "<?xml encoding?>\xe9", "windows-1252" },
        { "<?xml encoding>=\"gbk\"\xe9", "windows-1252" },
        { "<?xml encoding=\"gbk?>\xe9\"", "windows-1252" },
        { "<?xml encoding=\"gbk\"\xe9", "windows-1252" },
        { " <?xml encoding=\"gbk\"?>\xe9", "windows-1252" },
        { "<?xml\xe9", "windows-1252" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(pages); i++)
        assert_string_equal(choose(pages[i].page, strlen(pages[i].page), NULL, NULL),
                            pages[i].name);
}

/* Read as ASCII these pages would be rubbish. */
static void bytes_give_themselves_away(void **state)
{
    (void)state;
    static const char le[] = "<\0p\0>\0\x10\x04", be[] = "\0<\0p\0>\x04\x10";
    assert_string_equal(choose(le, sizeof(le) - 1, NULL, NULL), "utf-16le");
    assert_string_equal(choose(be, sizeof(be) - 1, NULL, NULL), "utf-16be");
    assert_string_equal(choose(be, 3, NULL, NULL), "utf-8");
    static const char jis[] = "<p>\x1b$B$$$m$O\x1b(B<meta charset=gbk>";
    assert_string_equal(choose(jis, 15, NULL, NULL), "iso-2022-jp");
    assert_string_equal(choose(jis, sizeof(jis) - 1, NULL, NULL), "gbk");
    assert_string_equal(choose("\x1b$B\xc3\xa9", 5, NULL, NULL), "utf-8");
    assert_string_equal(choose("\x1b(B", 3, NULL, NULL), "utf-8");
}

static void labels(void **state)
{
    (void)state;
    static const struct {
        const char *label, *name;
    } pairs[] = {
        { "utf8", "utf-8" },
        { "latin1", "windows-1252" },
        { " ASCII\n", "windows-1252" },
        { "iso-8859-9", "windows-1254" },
        { "tis-620", "windows-874" },
        { "gb_2312-80", "gbk" },
        { "ms_kanji", "shift_jis" },
        { "ks_c_5601-1987", "euc-kr" },
        { "ucs-2", "utf-16le" },
        { "x-mac-roman", "macintosh" },
        { "csiso2022kr", "replacement" },
        { "unicode", "utf-16le" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(pairs); i++)
        assert_string_equal(vlm_encoding_find(pairs[i].label, strlen(pairs[i].label))->name,
                            pairs[i].name);
    assert_null(vlm_encoding_find("utf", 3));
    assert_null(vlm_encoding_find("", 0));
    assert_null(vlm_encoding_find("utf-8-but-much-longer-than-any-label-is", 39));
    for (size_t i = 0; i < VLM_ENCODINGS; i++) /* every name is a label, save one */
        assert_int_equal(vlm_encoding_find(vlm_encoding_at(i)->name,
                                           strlen(vlm_encoding_at(i)->name)) == vlm_encoding_at(i),
                         1);
}

static struct vlm_charsets *charsets;

static int open_converters(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    return vlm_charsets_open(&charsets, &err);
}

static int close_converters(void **state)
{
    (void)state;
    vlm_charsets_close(charsets);
    return 0;
}

static void decodes(const char *name, const char *bytes, size_t n, const char *expected,
                    bool expect_replaced)
{
    struct vlm_buffer page = { 0 };
    struct vlm_err err = { 0 };
    bool replaced;
    assert_int_equal(vlm_charset_decode(&page, charsets, vlm_encoding_find(name, strlen(name)),
                                        bytes, n, &replaced, &err),
                     VLM_OK);
    if (page.size != strlen(expected) || memcmp(page.data, expected, page.size))
        fail_msg("%s: got \"%s\", expected \"%s\"", name, (char *)page.data, expected);
    assert_int_equal(replaced, expect_replaced);
    vlm_buffer_release(&page);
}

#define DECODES(name, bytes, expected, replaced)                                                   \
    decodes(name, bytes, sizeof(bytes) - 1, expected, replaced)

static void bytes_become_characters(void **state)
{
    (void)state;
    DECODES("utf-8",
            "\xef\xbb\xbf"
            "a\xc3\xa9",
            "aé", false);
    DECODES("windows-1252", "\x93q\x94 \x80", "“q” €", false);
    DECODES("windows-1252", "\x81", "\xc2\x81", false);
    DECODES("windows-1251", "\xcf\xf0\xe8\xe2\xe5\xf2", "Привет", false);
    DECODES("iso-8859-2", "\xb1\xe6", "ąć", false);
    DECODES("koi8-u", "\xae\xbe\xb4", "ўЎЄ", false);
    DECODES("windows-1255", "\xe0\xe1", "אב", false);
    DECODES("windows-1258", "a\xcc", "a\xcc\x80", false); /* not composed */
    DECODES("gbk", "\xd6\xd0\xce\xc4", "中文", false);
    DECODES("gb18030", "\x81\x30\x84\x36", "¥", false);
    DECODES("big5", "\xa4\xa4\xa4\xe5", "中文", false);
    DECODES("shift_jis", "\x93\xfa\x96\x7b\xb1", "日本ｱ", false);
    DECODES("euc-jp", "\xc6\xfc\xcb\xdc", "日本", false);
    DECODES("iso-2022-jp", "\x1b$BF|K\\\x1b(Bx", "日本x", false);
    DECODES("iso-2022-jp", "<\x1b(I\x31\x1b(J>\n\x1b$@F|\n<", "<ｱ>\n日\n<", false);
    DECODES("iso-2022-jp", "a\x1b$BF|K", "a日\xef\xbf\xbd", true);
    DECODES("iso-2022-jp", "a\x1bZ\xe9", "a\xef\xbf\xbdZ\xef\xbf\xbd", true);
    DECODES("euc-jp", "\xa1\xc1", "～", false);
    DECODES("euc-kr", "\xc7\xd1\xb1\xdb", "한글", false);
    DECODES("utf-16le",
            "\xff\xfe"
            "a\0\x3d\xd8\x00\xde",
            "a😀", false);
    DECODES("utf-16be", "\0a\x4e\x2d", "a中", false);
    DECODES("x-user-defined", "a\x80", "a\xef\x9e\x80", false);
}

static void invalid_bytes_become_replacements(void **state)
{
    (void)state;
    DECODES("utf-8", "a\xc3(b", "a\xef\xbf\xbd(b", true);
    DECODES("utf-8", "\xe4\xb8", "\xef\xbf\xbd", true);
    DECODES("utf-8", "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", true);
    DECODES("utf-8", "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd", true);
    DECODES("utf-8", "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", true);
    DECODES("gbk", "\xff<p>", "\xef\xbf\xbd<p>", true);
    DECODES("euc-jp", "\xc6<", "\xef\xbf\xbd<", true);
    DECODES("big5", "\xa4", "\xef\xbf\xbd", true);
    DECODES("utf-16le",
            "\x00\xd8"
            "a\0b",
            "\xef\xbf\xbd"
            "a\xef\xbf\xbd",
            true);
    DECODES("windows-1253", "\xaa", "\xef\xbf\xbd", true);
}

static void control_characters_are_mapped(void **state)
{
    (void)state;
    DECODES("utf-8",
            "a\0b\x01"
            "c\f d\te\r\n\x7f",
            "a\xef\xbf\xbd"
            "b c  d\te\r\n\x7f",
            false);
    char page[200], expected[400];
    for (size_t at = 0; at < sizeof(page); at += 7) { /* in and around vector blocks */
        memset(page, 'x', sizeof(page));
        memset(expected, 'x', sizeof(expected));
        page[at] = 0;
        memcpy(expected + at, "\xef\xbf\xbd", 3);
        expected[sizeof(page) + 2] = 0;
        decodes("utf-8", page, sizeof(page), expected, false);
    }
}

/* Characters on either side of any internal block are whole. */
static void long_runs_are_not_cut(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    static char in[2 * COUNT + 2], out[3 * COUNT + 2];
    for (size_t shift = 0; shift < 2; shift++) {
        in[0] = out[0] = '\n';
        for (size_t i = 0; i < COUNT; i++) {
            memcpy(in + shift + 2 * i, "\xd6\xd0", 2);
            memcpy(out + shift + 3 * i, "中", 3);
        }
        out[shift + 3 * (size_t)COUNT] = 0;
        decodes("gbk", in, shift + 2 * (size_t)COUNT, out, false);
    }
}

/* No input at all makes output that is not UTF-8, whatever the encoding. */
static void every_encoding_gives_utf8(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(seed >> 24);
    }
    for (size_t e = 0; e < VLM_ENCODINGS; e++)
        for (size_t n = 0; n < sizeof(bytes); n = n * 2 + 1) {
            struct vlm_buffer page = { 0 };
            struct vlm_err err = { 0 };
            bool replaced;
            assert_int_equal(
                vlm_charset_decode(&page, charsets, vlm_encoding_at(e), bytes, n, &replaced, &err),
                VLM_OK);
            assert_int_equal(vlm_utf8_valid_prefix((char *)page.data, page.size), page.size);
            assert_int_equal(page.data[page.size], 0);
            vlm_buffer_release(&page);
        }
}

static void page_size_is_limited(void **state)
{
    (void)state;
    char *bytes = calloc(1, VLM_HTML_MAX + 1);
    assert_non_null(bytes);
    memset(bytes, 'x', VLM_HTML_MAX + 1);
    for (size_t n = VLM_HTML_MAX - 1; n <= VLM_HTML_MAX + 1; n++) {
        struct vlm_buffer page = { 0 };
        struct vlm_err err = { 0 };
        bool replaced;
        int rc = vlm_charset_decode(&page, charsets, vlm_encoding_at(0), bytes, n, &replaced, &err);
        assert_int_equal(rc, n <= VLM_HTML_MAX ? VLM_OK : VLM_SKIP);
        if (rc == VLM_SKIP)
            assert_string_equal(err.msg,
                                "page of 8388609 bytes is over the limit of 8388608 bytes");
        vlm_buffer_release(&page);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_sources),
        cmocka_unit_test(content_types),
        cmocka_unit_test(prescan_of_meta),
        cmocka_unit_test(prescan_window),
        cmocka_unit_test(xml_declarations),
        cmocka_unit_test(bytes_give_themselves_away),
        cmocka_unit_test(labels),
        cmocka_unit_test(bytes_become_characters),
        cmocka_unit_test(invalid_bytes_become_replacements),
        cmocka_unit_test(control_characters_are_mapped),
        cmocka_unit_test(long_runs_are_not_cut),
        cmocka_unit_test(every_encoding_gives_utf8),
        cmocka_unit_test(page_size_is_limited),
    };
    return cmocka_run_group_tests(tests, open_converters, close_converters);
}
