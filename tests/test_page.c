/* test_page.c - HTML to documents: what the HTML standard makes of a snippet, what we leave out on
 * purpose, limits at their edges, and inputs made to be slow. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/utf8.h"
#include "tests/page_fixture.h"

#include <setjmp.h>
#include <strings.h>
#include <time.h>

#include <cmocka.h>

static struct vlm_page_parser *parser;
static struct vlm_arena arena;

static int set_up(void **state)
{
    struct vlm_err err = { 0 };
    (void)state;
    vlm_arena_init(&arena, VLM_GIB);
    return vlm_page_parser_new(&parser, &err);
}

static int tear_down(void **state)
{
    (void)state;
    vlm_page_parser_free(parser);
    vlm_arena_release(&arena);
    return 0;
}

/* Every OPEN stands where its tag begins in the page; a <br> and a <p> may come from an end tag. */
static void check_offsets(const struct vlm_document *document, const struct vlm_page_input *in)
{
    const char *page, *charset;
    size_t size;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_page_decode(&page, &size, &charset, parser, in, &arena, &err), VLM_OK);
    assert_string_equal(charset, document->charset);
    uint32_t last = 0;
    for (size_t i = 0; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        assert_in_range(event->offset, last, size);
        last = event->offset;
        if (event->kind != VLM_EVENT_OPEN)
            continue;
        const char *at = page + event->offset, *name = vlm_element_name(event->name);
        size_t n = strlen(name);
        bool tag = *at == '<' && !strncasecmp(at + 1, name, n);
        bool end_tag = at[1] == '/' && !strncasecmp(at + 2, name, n);
        bool alias = !strncasecmp(at, "<image", 6) || !strncasecmp(at, "<amp-img", 8);
        if (!tag && !end_tag && !alias)
            fail_msg("<%s> at byte %u: \"%.20s\"", name, event->offset, at);
    }
}

static const struct vlm_document *parse_bytes(const void *bytes, size_t n, unsigned *opt_out)
{
    struct vlm_page_input in = { .bytes = bytes, .size = n, .url = "http://h/d/p.html" };
    struct vlm_document *document;
    struct vlm_err err = { 0 };
    vlm_arena_reset(&arena);
    int rc = vlm_page_parse(&document, parser, &in, &arena, opt_out, &err);
    if (rc != VLM_OK)
        fail_msg("parse: %d %s", rc, err.msg);
    rc = vlm_document_check(document, &err);
    if (rc != VLM_OK)
        fail_msg("check: %s", err.msg);
    check_offsets(document, &in);
    return document;
}

static const struct vlm_document *parse(const char *html)
{
    return parse_bytes(html, strlen(html), NULL);
}

static void gives(const char *html, const char *expected)
{
    struct vlm_buffer out = { 0 };
    write_document(&out, parse(html));
    if (strcmp((char *)out.data, expected))
        fail_msg("%s\n  gave     %s\n  expected %s", html, (char *)out.data, expected);
    vlm_buffer_release(&out);
}

struct snippet {
    const char *html, *expected;
};

#define RUN(snippets)                                                                              \
    for (size_t snippet = 0; snippet < VLM_COUNTOF(snippets); snippet++)                           \
    gives((snippets)[snippet].html, (snippets)[snippet].expected)

static void structure(void **state)
{
    (void)state;
    static const struct snippet snippets[] = {
        { "<!DOCTYPE html><html><head></head><body><p>x</p></body></html>",
          "<html><head></head><body><p>\"x\"</p></body></html>" },
        { "x", "\"x\"" },
        { "", "" },
        { " \n ", "" },
        { "<p>one<p>two", "<p>\"one\"</p><p>\"two\"</p>" },
        { "<p>one<section>two</section>three",
          "<p>\"one\"</p><section>\"two\"</section>\"three\"" },
        { "<p>a<article>b</article>", "<p>\"a\"</p><article>\"b\"</article>" },
        { "<p>a<figure>b<figcaption>c</figure>",
          "<p>\"a\"</p><figure>\"b\"<figcaption>\"c\"</figcaption></figure>" },
        { "<p>a<nav>b</nav>", "<p>\"a\"</p><nav>\"b\"</nav>" },
        { "<p>a<details><summary>b</summary>c</details>",
          "<p>\"a\"</p><details><summary>\"b\"</summary>\"c\"</details>" },
        { "<p>a<ul>b</ul>", "<p>\"a\"</p><ul>\"b\"</ul>" },
        { "<p>a<h1>b</h1>", "<p>\"a\"</p><h1>\"b\"</h1>" },
        { "<p>a<hr>b", "<p>\"a\"</p><hr></hr>\"b\"" },
        { "<p>a<span>b<div>c</div>d", "<p>\"a\"<span>\"b\"</span></p><div>\"c\"</div>\"d\"" },
        { "<p>a<a>b<div>c</div>d</a>e", "<p>\"a\"<a>\"b\"<div>\"c\"</div>\"d\"</a>\"e\"</p>" },
        { "<p>a<object><p>b</object>c", "<p>\"a\"<object><p>\"b\"</p></object>\"c\"</p>" },
        { "<p>a<span>b</p>c", "<p>\"a\"<span>\"b\"</span></p>\"c\"" },
        { "<ul><li>a<li>b<ul><li>c</ul><li>d</ul>",
          "<ul><li>\"a\"</li><li>\"b\"<ul><li>\"c\"</li></ul></li><li>\"d\"</li></ul>" },
        { "<dl><dt>a<dd>b<dt>c</dl>", "<dl><dt>\"a\"</dt><dd>\"b\"</dd><dt>\"c\"</dt></dl>" },
        { "<table><tr><td>1<td>2<tr><th>3</table>4",
          "<table><tr><td>\"1\"</td><td>\"2\"</td></tr><tr><th>\"3\"</th></tr></table>\"4\"" },
        { "<tr><td>a</td></tr><div>b</div>", "\"a\"<div>\"b\"</div>" },
        { "<select><option>a<option>b</select>",
          "<select><option>\"a\"</option><option>\"b\"</option></select>" },
        { "<b><p>x</b>y</p>", "<b><p>\"x\"</p></b>\"y\"" },
        { "<b><p>x</p></b>", "<b><p>\"x\"</p></b>" },
        { "<a href=1>x<a href=2>y</a></a>", "<a>[href=1]\"x\"</a><a>[href=2]\"y\"</a>" },
        { "<a href=1><div><img src=i><p>t</p></div></a>",
          "<a>[href=1]<div><img>[src=i]{i: http://h/d/i}</img><p>\"t\"</p></div></a>" },
        { "a<br>b<br/>c</br>d", "\"a\"<br></br>\"b\"<br></br>\"c\"<br></br>\"d\"" },
        { "a</p>b", "\"a\"<p></p>\"b\"" },
        { "<div>a</section>b</div>c", "<div>\"ab\"</div>\"c\"" },
        { "<p>x</p></body></html><p>tail", "<p>\"x\"</p><p>\"tail\"</p>" },
        { "<body>a<body class=x>b", "<body>\"ab\"</body>" },
        { "<video src=v><source src=s><track src=t></video>x<wbr>y<embed src=e><p>z",
          "<video>[src=v]<source>[src=s]</source><track>[src=t]</track></video>\"x\"<wbr></"
          "wbr>\"y\""
          "<embed>[src=e]</embed><p>\"z\"</p>" },
        { "<my-card><p>a</my-card>b", "<p>\"ab\"</p>" },
        { "<P CLASS=X>a</P>", "<p>[class=X]\"a\"</p>" },
    };
    RUN(snippets);
}

static void tokens(void **state)
{
    (void)state;
    static const struct snippet snippets[] = {
        { "a < b <3 <", "\"a < b <3 <\"" },
        { "a<!-- <p>x -->b<!-->c<!--->d<!--x--!>e<!-", "\"abcde\"" },
        { "a<!-- x", "\"a\"" },
        { "a<![CDATA[x]]>b<?php y ?>c</ z>d<!doctype q>e", "\"abcde\"" },
        { "a</>b", "\"ab\"" },
        { "a<p", "\"a\"" },
        { "a<p title=\"x>b", "\"a\"" },
        { "<p title = 'a>b' class=c/d id=e/>x", "<p>[title=a>b][class=c/d][id=e/]\"x\"</p>" },
        { "<p title=\"a\"class=b =c d==e>x", "<p>[title=a][class=b]\"x\"</p>" },
        { "<p id=1 id=2 ID=3>x", "<p>[id=1]\"x\"</p>" },
        { "<p id title=\"\">x", "<p>[id=][title=]\"x\"</p>" },
        { "<p/id=1/title=2>x", "<p>[id=1/title=2]\"x\"</p>" },
        { "<p onclick=x data-y='z'>x", "<p>\"x\"</p>" },
    };
    RUN(snippets);
}

static void content_that_vanishes(void **state)
{
    (void)state;
    static const struct snippet snippets[] = {
        { "a<script>if (a</b>) '<p>'</script>b<style>p{}</style>c", "\"abc\"" },
        { "<script><!-- <script> </script> --></script>b", "\"b\"" },
        { "<script><!-- </script>b", "\"b\"" },
        { "<script>x</scripty></SCRIPT >b", "\"b\"" },
        { "a<script>x", "\"a\"" },
        { "a<template><p>b<template>c</template>d</template>e", "\"ae\"" },
        { "a<svg><title>t</title><path d='x'/><style><p></style></svg>b", "\"a\"<p>\"b\"</p>" },
        { "a<svg><foreignObject><p>x</p></foreignObject></svg>b<svg/>c", "\"abc\"" },
        { "a<svg><g><p id=1>b", "\"a\"<p>[id=1]\"b\"</p>" },
        { "a<math><mi>x</mi></math>b", "\"ab\"" },
        { "<iframe src=f><p>x</p></iframe>y", "<iframe>[src=f]</iframe>\"y\"" },
        { "<noframes><p>x</p></noframes><noembed><p></noembed>y", "\"y\"" },
        { "<noscript><p>x</noscript>y", "<noscript><p>\"x\"</p></noscript>\"y\"" },
        { "<textarea>\n<b>&amp;</textarea>y", "<textarea>\"<b>&\"</textarea>\"y\"" },
        { "<xmp><b>&amp;</xmp>y", "<xmp>\"<b>&amp;\"</xmp>\"y\"" },
        { "<plaintext>a</plaintext>&lt;", "<plaintext>\"a</plaintext>&lt;\"</plaintext>" },
    };
    RUN(snippets);
}

static void white_space(void **state)
{
    (void)state;
    static const struct snippet snippets[] = {
        { "<p> <b>a</b> <i>b</i> </p> <p> c\n\td </p>",
          "<p><b>\"a\"</b>\" \"<i>\"b\"</i></p><p>\"c d\"</p>" },
        { "a <b> b</b>", "\"a \"<b>\"b\"</b>" },
        { "a<b> b </b> c", "\"a\"<b>\" b \"</b>\"c\"" },
        { "a <!-- x --> b", "\"a b\"" },
        { "<p>a <b> </b></p>b", "<p>\"a\"<b></b></p>\"b\"" },
        { "<p> <b> </b> </p>", "<p><b></b></p>" },
        { "<head></head>a\n</head>\n<body>b", "<head></head>\"a b\"" },
        { "a <textarea>x</textarea> b", "\"a \"<textarea>\"x\"</textarea>\" b\"" },
        { "a <br> b", "\"a\"<br></br>\"b\"" },
        { "a <img> b", "\"a \"<img>{}</img>\" b\"" },
        { "a&nbsp; &nbsp;b", "\"a\xc2\xa0 \xc2\xa0"
                             "b\"" },
        { "a&#32;&#32;b&#10;c", "\"a b c\"" },
        { "<pre>\n a\r\n\n  b </pre> c", "<pre>\" a\n\n  b \"</pre>\"c\"" },
        { "<pre>a<b> b\n</b></pre>", "<pre>\"a\"<b>\" b\n\"</b></pre>" },
        { "a\fb\x01"
          "c",
          "\"a b c\"" },
    };
    RUN(snippets);
}

static void references(void **state)
{
    (void)state;
    static const struct snippet snippets[] = {
        { "&amp;&lt;&gt;&quot;&apos;", "\"&<>\"'\"" },
        { "&amp &copy2 &notit; &notin; &nosuch; &", "\"& ©2 ¬it; ∉ &nosuch; &\"" },
        { "&check;&NotEqual;&plus;&NotEqualTilde;&fjlig;", "\"✓≠+≂̸fj\"" },
        { "&#147;q&#x94; &#128;&#x80", "\"“q” €€\"" },
        { "&#0;&#xD800;&#x110000;&#99999999999;&#x41",
          "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
          "A\"" },
        { "&#; &#x; &#xg;", "\"&#; &#x; &#xg;\"" },
        { "<a href='?a=1&copy=2&copy;&lt=3&lt'>x", "<a>[href=?a=1&copy=2©&lt=3<]\"x\"</a>" },
        { "<p title='a &amp; b &eacute'>x", "<p>[title=a & b é]\"x\"</p>" },
        { "<!DOCTYPE x [<!ENTITY a 'b'>]>&a;", "\"]>&a;\"" },
    };
    RUN(snippets);
}

static void images(void **state)
{
    (void)state;
    static const struct snippet snippets[] = {
        { "<img>", "<img>{}</img>" },
        { "<img src alt>", "<img>[src=][alt=]{ alt \"\"}</img>" },
        { "<img src=' a.jpg\n' alt='x &amp; y'>",
          "<img>[src= a.jpg\n][alt=x & y]{a.jpg alt \"x & y\": http://h/d/a.jpg}</img>" },
        { "<image src=a><amp-img src=b></amp-img>c",
          "<img>[src=a]{a: http://h/d/a}</img><img>[src=b]{b: http://h/d/b}</img>\"c\"" },
        { "<img src=blank.gif data-src=r.jpg>",
          "<img>[src=blank.gif]{r.jpg: http://h/d/r.jpg}</img>" },
        { "<img src=real.jpg data-src=big.jpg>",
          "<img>[src=real.jpg]{real.jpg: http://h/d/real.jpg http://h/d/big.jpg}</img>" },
        { "<img src='data:image/gif;base64,R0lG' data-original=r.jpg>",
          "<img>[src=data:image/gif;base64,R0lG]{r.jpg: http://h/d/r.jpg}</img>" },
        { "<img data-lazy=b data-src=a>", "<img>{a: http://h/d/a http://h/d/b}</img>" },
        { "<img src=a srcset='a 1x, b 2x'>", "<img>[src=a]{a: http://h/d/a http://h/d/b}</img>" },
        { "<img srcset='s 320w, l 1600w, m 1000w, x 1200w'>",
          "<img>{m: http://h/d/m http://h/d/s http://h/d/x http://h/d/l}</img>" },
        { "<img srcset='a,b 1x,c,, d( 2x,e) 1x , f'>",
          "<img>{d(: http://h/d/d( http://h/d/a,b http://h/d/c http://h/d/e) http://h/d/f}</img>" },
        { "<picture><source srcset='w.webp, v.webp 2x'><img src=i.png></picture><img src=j>",
          "<picture><source></source><img>[src=i.png]{i.png: http://h/d/i.png http://h/d/v.webp "
          "http://h/d/w.webp}</img></picture><img>[src=j]{j: http://h/d/j}</img>" },
        { "<base href=/x/><base href=/y/><img src=a>",
          "<base>[href=/x/]</base><base>[href=/y/]</base><img>[src=a]{a: http://h/x/a}</img>" },
        { "<base href='data:,x'><img src=//o/a?b#c>",
          "<base>[href=data:,x]</base><img>[src=//o/a?b#c]{//o/a?b#c: http://o/a?b}</img>" },
        { "<noscript><img src=a></noscript>",
          "<noscript><img>[src=a]{a: http://h/d/a}</img></noscript>" },
        { "<input type=image src=a>", "<input>[src=a]</input>" },
    };
    RUN(snippets);
}

static void eight_candidates_at_most(void **state)
{
    (void)state;
    const struct vlm_document *document =
        parse("<img src=0 srcset='1 1x, 2 2x, 3 3x, 4 4x, 5 5x, 6 6x, 7 7x, 8 8x, 9 9x'>");
    assert_int_equal(document->images[0].n_candidates, VLM_IMAGE_CANDIDATES_MAX);
}

static void facts_about_the_page(void **state)
{
    (void)state;
    unsigned opt_out = 99;
    static const char page[] = "<html lang=' EN-us'><title>\n A &amp;\n B </title>"
                               "<meta name=Robots content='noindex, NoAI,noimageai'>"
                               "<svg><title>no</title></svg><title>second</title>";
    const struct vlm_document *document = parse_bytes(page, strlen(page), &opt_out);
    assert_string_equal(document->title, "A & B");
    assert_string_equal(document->lang, "en");
    assert_string_equal(document->charset, "utf-8");
    assert_string_equal(document->url, "http://h/d/p.html");
    assert_int_equal(document->warnings, 0);
    assert_int_equal(opt_out, VLM_OPT_OUT_NOAI | VLM_OPT_OUT_NOIMAGEAI);
    assert_string_equal(parse("<html xml:lang=de><p>x")->lang, "de");
    assert_string_equal(parse("<meta http-equiv=Content-Language content='fr, en'>")->lang, "fr");
    assert_string_equal(parse("<html lang=x-klingon>")->lang, "");
    assert_string_equal(parse("x")->title, "");
    assert_int_equal(parse("a\xff\xc3\xa9<meta charset=utf-8>")->warnings, VLM_PAGE_REPLACED);
    document = parse_bytes("x", 1, &opt_out);
    assert_int_equal(opt_out, 0);
}

static void opt_out_words(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        unsigned bits;
    } pairs[] = {
        { "noai", 1 },
        { "NoImageAI", 2 },
        { "noindex,noai, noimageai", 3 },
        { "otherbot: noai", 1 },
        { "noaix", 0 },
        { "max-snippet:-1", 0 },
        { "", 0 },
    };
    for (size_t i = 0; i < VLM_COUNTOF(pairs); i++)
        assert_int_equal(vlm_opt_out_parse(pairs[i].value, strlen(pairs[i].value)), pairs[i].bits);
}

static void hidden_elements_are_marked(void **state)
{
    (void)state;
    const struct vlm_document *document =
        parse("<p hidden>a<p style='COLOR:red; Display : none'>b<p style=visibility:hidden>c"
              "<p style=display:block>d<p hidden=until-found>e");
    const char *marks = "hhh--";
    for (size_t i = 0; i < document->n_events; i++)
        if (document->events[i].kind == VLM_EVENT_OPEN)
            assert_int_equal(document->events[i].flags & VLM_NODE_HIDDEN,
                             *marks++ == 'h' ? VLM_NODE_HIDDEN : 0);
    assert_int_equal(*marks, 0);
}

static void plain_text(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf"
                               "a <b> &amp;  c\r\n\n \t\nsecond\xc3\xa9";
    struct vlm_page_input in = { .bytes = text, .size = strlen(text), .url = "http://h/" };
    struct vlm_document *document;
    struct vlm_err err = { 0 };
    vlm_arena_reset(&arena);
    assert_int_equal(vlm_page_from_text(&document, parser, &in, &arena, &err), VLM_OK);
    assert_int_equal(vlm_document_check(document, &err), VLM_OK);
    struct vlm_buffer out = { 0 };
    write_document(&out, document);
    assert_string_equal((char *)out.data, "<p>\"a <b> &amp; c\"</p><p>\"secondé\"</p>");
    vlm_buffer_release(&out);
}

/* -- Limits ------------------------------------------------------------------------------------ */

static void repeat(struct vlm_buffer *out, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++)
        vlm_buffer_text(out, text);
}

static size_t count_of(const struct vlm_document *document, enum vlm_event_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < document->n_events; i++)
        count += document->events[i].kind == kind;
    return count;
}

/* Parses and empties page. */
static const struct vlm_document *parse_buffer(struct vlm_buffer *page)
{
    assert_false(page->failed);
    const struct vlm_document *document = parse_bytes(page->data, page->size, NULL);
    vlm_buffer_reset(page);
    return document;
}

static void depth_limit(void **state)
{
    (void)state;
    struct vlm_buffer page = { 0 };
    for (size_t depth = VLM_HTML_DEPTH_MAX - 1; depth <= VLM_HTML_DEPTH_MAX + 1; depth++) {
        repeat(&page, "<div>", depth);
        vlm_buffer_text(&page, "deep");
        repeat(&page, "</div>", depth);
        vlm_buffer_text(&page, "<p>tail");
        const struct vlm_document *document = parse_buffer(&page);
        assert_int_equal(count_of(document, VLM_EVENT_OPEN),
                         VLM_MIN(depth, (size_t)VLM_HTML_DEPTH_MAX) + 1);
        assert_int_equal(document->warnings, depth > VLM_HTML_DEPTH_MAX ? VLM_PAGE_DEPTH : 0);
        /* Where elements leave no event, a space says that they were there. */
        const char *text = depth > VLM_HTML_DEPTH_MAX ? "deep tail" : "deeptail";
        assert_non_null(memmem(document->text, document->text_size, text, strlen(text)));
    }
    vlm_buffer_release(&page);
}

static void attribute_count_limit(void **state)
{
    (void)state;
    struct vlm_buffer page = { 0 };
    for (size_t count = VLM_HTML_ATTRIBUTES_MAX - 1; count <= VLM_HTML_ATTRIBUTES_MAX + 1;
         count++) {
        vlm_buffer_text(&page, "<p");
        for (size_t i = 1; i < count; i++)
            vlm_buffer_printf(&page, " a%zu=x", i);
        vlm_buffer_text(&page, " id=last>x");
        const struct vlm_document *document = parse_buffer(&page);
        bool over = count > VLM_HTML_ATTRIBUTES_MAX;
        assert_int_equal(count_of(document, VLM_EVENT_ATTRIBUTE), !over);
        assert_int_equal(document->warnings, over ? VLM_PAGE_ATTRIBUTES : 0);
    }
    vlm_buffer_release(&page);
}

static void attribute_length_limit(void **state)
{
    (void)state;
    struct vlm_buffer page = { 0 };
    for (size_t n = VLM_HTML_ATTRIBUTE_MAX - 1; n <= VLM_HTML_ATTRIBUTE_MAX + 1; n++) {
        vlm_buffer_text(&page, "<p title='");
        repeat(&page, "x", n);
        vlm_buffer_text(&page, "'>y");
        const struct vlm_document *document = parse_buffer(&page);
        assert_int_equal(document->events[1].length, VLM_MIN(n, VLM_HTML_ATTRIBUTE_MAX));
        assert_int_equal(document->warnings, n > VLM_HTML_ATTRIBUTE_MAX ? VLM_PAGE_ATTRIBUTES : 0);
    }
    /* Cut between characters, and not at all when it is a picture. */
    vlm_buffer_text(&page, "<p title='x");
    repeat(&page, "é", VLM_HTML_ATTRIBUTE_MAX / 2);
    vlm_buffer_text(&page, "'>y");
    assert_int_equal(parse_buffer(&page)->events[1].length, VLM_HTML_ATTRIBUTE_MAX - 1);
    vlm_buffer_text(&page, "<img src='data:image/png;base64,");
    repeat(&page, "AAAA", VLM_HTML_ATTRIBUTE_MAX);
    vlm_buffer_text(&page, "'>y");
    const struct vlm_document *document = parse_buffer(&page);
    assert_int_equal(document->warnings, 0);
    assert_int_equal(document->images[0].candidate[0].length, 22 + 4 * VLM_HTML_ATTRIBUTE_MAX);
    const uint8_t *bytes;
    size_t size;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_data_url_decode(&bytes, &size,
                                         text_at(document, document->images[0].candidate[0].start),
                                         document->images[0].candidate[0].length, &arena, &err),
                     VLM_OK);
    assert_int_equal(size, 3 * VLM_HTML_ATTRIBUTE_MAX);
    vlm_buffer_release(&page);
}

static void image_limit(void **state)
{
    (void)state;
    struct vlm_buffer page = { 0 };
    for (size_t count = VLM_HTML_IMAGES_MAX - 1; count <= VLM_HTML_IMAGES_MAX + 1; count++) {
        repeat(&page, "<img src=a>", count);
        const struct vlm_document *document = parse_buffer(&page);
        assert_int_equal(document->n_images, VLM_MIN(count, (size_t)VLM_HTML_IMAGES_MAX));
        assert_int_equal(count_of(document, VLM_EVENT_IMAGE), document->n_images);
        assert_int_equal(document->warnings, count > VLM_HTML_IMAGES_MAX ? VLM_PAGE_IMAGES : 0);
    }
    vlm_buffer_release(&page);
}

static void node_limit(void **state)
{
    (void)state;
    struct vlm_buffer page = { 0 };
    repeat(&page, "<br>", VLM_HTML_NODES_MAX + 2);
    const struct vlm_document *document = parse_buffer(&page);
    assert_in_range(document->n_events, VLM_HTML_NODES_MAX, VLM_HTML_NODES_MAX + 8);
    assert_int_equal(document->warnings, VLM_PAGE_NODES);
    vlm_buffer_release(&page);
}

static void page_limit(void **state)
{
    (void)state;
    char *bytes = malloc(VLM_HTML_MAX + 1);
    assert_non_null(bytes);
    memset(bytes, 'x', VLM_HTML_MAX + 1);
    for (size_t n = VLM_HTML_MAX - 1; n <= VLM_HTML_MAX + 1; n++) {
        struct vlm_page_input in = { .bytes = bytes, .size = n };
        struct vlm_document *document;
        struct vlm_err err = { 0 };
        vlm_arena_reset(&arena);
        int rc = vlm_page_parse(&document, parser, &in, &arena, NULL, &err);
        assert_int_equal(rc, n <= VLM_HTML_MAX ? VLM_OK : VLM_SKIP);
        if (rc == VLM_OK)
            assert_int_equal(document->text_size, n);
    }
    free(bytes);
}

static void a_small_arena_is_a_skip(void **state)
{
    (void)state;
    struct vlm_arena small;
    struct vlm_page_input in = { .bytes = "<p>hello", .size = 8 };
    struct vlm_document *document;
    struct vlm_err err = { 0 };
    for (size_t cap = 0; cap < 256; cap += 16) {
        vlm_arena_init(&small, cap);
        assert_int_equal(vlm_page_parse(&document, parser, &in, &small, NULL, &err), VLM_SKIP);
        vlm_arena_release(&small);
    }
}

/* -- Time -------------------------------------------------------------------------------------- */

/* head, then unit until the page is full, then tail. */
static const struct {
    const char *head, *unit, *tail;
} slow_pages[] = {
    { "", "<", "" },
    { "", "&", "" },
    { "", "<div>", "x" },
    { "", "<b>", "x" },
    { "", "<table>", "x" },
    { "", "<p></b>", "" },
    { "", "</b>", "" },
    { "<b>", "<div>", "</b></b></b>" },
    { "", "<b><p></b>", "" },
    { "", "<a href=x>", "" },
    { "", "<li><ul>", "" },
    { "<table>", "<td><table>", "" },
    { "", "x<!---->", "" },
    { "<!--", "-", "" },
    { "<!--", "--!", "" },
    { "<!--", "<!--", "" },
    { "<script>", "<!--<script>", "" },
    { "<script>", "</script", "" },
    { "", "<script>", "" },
    { "", "<title>", "" },
    { "", "<svg>", "" },
    { "", "<template>", "" },
    { "", "<img srcset='a 1x, b 2x'>", "" },
    { "<img srcset='", "a 1x, ", "'>" },
    { "<p ", "a=b ", ">" },
    { "<p ", "title ", ">" },
    { "<p title='", "x", "" },
    { "<p title='", "&amp;", "'>" },
    { "<", "a", "" },
    { "", "a <i> </i>", "" },
    { "", "<picture><source srcset=a>", "" },
    { "", "&#x110000;", "" },
    { "<pre>", "\r\n", "" },
    { "<meta charset=utf-8>", "\xff", "" },
    { "<meta charset=iso-2022-jp>", "\x1b$B\xff", "" },
    { "", "<meta ", "" },
    { "", "<p hidden style='display:none'>", "" },
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const double seconds_allowed = 10; /* instrumented code */
#else
static const double seconds_allowed = 2;
#endif

static void slow_pages_take_two_seconds_at_most(void **state)
{
    (void)state;
    char *page = malloc(VLM_HTML_MAX);
    assert_non_null(page);
    for (size_t i = 0; i < VLM_COUNTOF(slow_pages); i++) {
        size_t head = strlen(slow_pages[i].head), unit = strlen(slow_pages[i].unit), n = head;
        size_t tail = strlen(slow_pages[i].tail);
        memcpy(page, slow_pages[i].head, head);
        for (; n + unit + tail <= VLM_HTML_MAX; n += unit)
            memcpy(page + n, slow_pages[i].unit, unit);
        memcpy(page + n, slow_pages[i].tail, tail);
        clock_t begin = clock();
        struct vlm_page_input in = { .bytes = page, .size = n + tail, .url = "http://h/" };
        struct vlm_document *document;
        struct vlm_err err = { 0 };
        vlm_arena_reset(&arena);
        assert_int_equal(vlm_page_parse(&document, parser, &in, &arena, NULL, &err), VLM_OK);
        double taken = (double)(clock() - begin) / CLOCKS_PER_SEC;
        assert_int_equal(vlm_document_check(document, &err), VLM_OK);
        if (taken > seconds_allowed)
            fail_msg("8 MiB of \"%s\" take %.1f s", slow_pages[i].unit, taken);
        else if (getenv("VLM_TEST_TIMES"))
            print_message("%5.2f s  %s%s\n", taken, slow_pages[i].head, slow_pages[i].unit);
    }
    free(page);
}

/* Each prefix of a page with everything in it is a page too. */
static void every_truncation_gives_a_document(void **state)
{
    (void)state;
    static const char page[] =
        "\xef\xbb\xbf<!DOCTYPE html><html lang=en><head><title>T &amp; t</title><meta "
        "charset=utf-8>"
        "<script>var a = '<!-- <script>';</script><!-- c --></head><body class='a b'><p>one "
        "&eacute;"
        "<table><tr><td>1<img src=\"a.jpg\" srcset='b 2x' alt=x></table><svg><g/></svg><pre>\n x"
        "</pre><textarea>&lt;</textarea>caf\xc3\xa9 \xf0\x9f\x98\x80</body></html>";
    for (size_t n = 0; n <= sizeof(page) - 1; n++) {
        char *exact = malloc(n ? n : 1); /* so that a sanitizer sees reads behind it */
        assert_non_null(exact);
        memcpy(exact, page, n);
        parse_bytes(exact, n, NULL);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structure),
        cmocka_unit_test(tokens),
        cmocka_unit_test(content_that_vanishes),
        cmocka_unit_test(white_space),
        cmocka_unit_test(references),
        cmocka_unit_test(images),
        cmocka_unit_test(eight_candidates_at_most),
        cmocka_unit_test(facts_about_the_page),
        cmocka_unit_test(opt_out_words),
        cmocka_unit_test(hidden_elements_are_marked),
        cmocka_unit_test(plain_text),
        cmocka_unit_test(depth_limit),
        cmocka_unit_test(attribute_count_limit),
        cmocka_unit_test(attribute_length_limit),
        cmocka_unit_test(image_limit),
        cmocka_unit_test(node_limit),
        cmocka_unit_test(page_limit),
        cmocka_unit_test(a_small_arena_is_a_skip),
        cmocka_unit_test(every_truncation_gives_a_document),
        cmocka_unit_test(slow_pages_take_two_seconds_at_most),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
