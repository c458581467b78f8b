/* test_origin.c - where every byte of a rendering comes from: event, text of the event, bytes of the page.
 *
 * The rules are checked on small pages that have one difficulty each, and on all pages of the shared data in
 * all forms. */
#include "base/vlm.h"

#include "tests/render_fixture.h"
#include "tests/shared_pages_fixture.h"
#include "tokenize/render/origin.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/random.h"
#include "tokenize/html/layout.h"

/* A page, its map, and one rendering. */
struct traced {
    const struct vlm_document *document;
    const char *page;
    size_t page_size;
    struct vlm_page_map map;
    struct vlm_origin origin;
    struct vlm_buffer text, plain;
    size_t bytes, verbatim; /* of text runs, over all */
};

static void trace_page(struct page_fixture *fixture, struct traced *traced, const void *bytes,
                       size_t n)
{
    struct vlm_page_input in = {
        .bytes = bytes, .size = n, .url = "http://a.org/dir/p.html", .charset = "utf-8"
    };
    const char *charset;
    vlm_page_parser_trace(fixture->parser, &traced->map);
    traced->document = parse_bytes(fixture, bytes, n, in.url);
    vlm_page_parser_trace(fixture->parser, NULL);
    assert_int_equal(vlm_page_decode(&traced->page, &traced->page_size, &charset, fixture->parser,
                                     &in, &fixture->arena, &fixture->err),
                     VLM_OK);
}

static void release(struct traced *traced)
{
    vlm_page_map_release(&traced->map);
    vlm_origin_release(&traced->origin);
    vlm_buffer_release(&traced->text);
    vlm_buffer_release(&traced->plain);
}

static void render_traced(struct traced *traced, enum vlm_render form, unsigned flags)
{
    vlm_buffer_reset(&traced->text);
    vlm_buffer_reset(&traced->plain);
    vlm_buffer_text(&traced->text, "before");
    vlm_render_traced(&traced->text, traced->document, form, flags, &traced->origin);
    vlm_render(&traced->plain, traced->document, form, flags);
    assert_false(traced->text.failed || traced->origin.failed);
    assert_int_equal(traced->text.size, traced->plain.size + 6);
    if (traced->plain.size)
        assert_memory_equal(traced->text.data + 6, traced->plain.data, traced->plain.size);
}

/* Every character of every event's text has a place in the page, in order, and only what was written
 * otherwise differs from it. */
static void check_map(const struct traced *traced)
{
    const struct vlm_document *document = traced->document;
    for (size_t i = 0; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        uint32_t last = 0;
        if (event->kind != VLM_EVENT_TEXT && event->kind != VLM_EVENT_ATTRIBUTE)
            continue;
        for (uint32_t k = 0; k < event->length; k++) {
            struct vlm_page_range range;
            bool verbatim;
            assert_true(vlm_page_map_find(&traced->map, event->start + k, 1, &range, &verbatim));
            assert_true(range.start >= last && range.start >= event->offset);
            assert_true(range.end >= range.start && range.end <= traced->page_size);
            last = range.start;
            if (verbatim)
                assert_int_equal(traced->page[range.start], document->text[event->start + k]);
        }
    }
}

static bool is_space_char(char c)
{
    return vlm_space_at(&c, 1) || (uint8_t)c == 0xc2 || (uint8_t)c == 0xa0;
}

static void check_run(struct traced *traced, const struct vlm_origin_run *run)
{
    const struct vlm_document *document = traced->document;
    const char *text = (const char *)traced->plain.data + run->start;
    if (run->event == VLM_ORIGIN_NO_EVENT) {
        assert_int_equal(run->kind, VLM_ORIGIN_MADE);
        return;
    }
    assert_true(run->event < document->n_events);
    const struct vlm_event *event = &document->events[run->event];
    bool has_text = event->kind == VLM_EVENT_TEXT || event->kind == VLM_EVENT_ATTRIBUTE;
    const char *from = document->text + event->start + run->from;
    switch (run->kind) {
    case VLM_ORIGIN_TEXT:
        assert_true(has_text && run->from + run->n <= event->length && run->n == run->length);
        assert_memory_equal(text, from, run->length);
        traced->verbatim += run->length;
        break;
    case VLM_ORIGIN_CHANGED:
        assert_true(has_text && run->n > 0 && run->from + run->n <= event->length);
        if (event->kind == VLM_EVENT_TEXT)
            assert_true(*text == '&' || is_space_char(*from));
        break;
    case VLM_ORIGIN_CODES:
        assert_int_equal(event->kind, VLM_EVENT_IMAGE);
        assert_true(memchr(text, '"', run->length) == NULL && text[-1] == '"' &&
                    text[run->length] == '"');
        break;
    default:
        assert_int_equal(run->kind, VLM_ORIGIN_MADE);
        assert_int_equal(run->n, 0);
    }
}

/* Runs lie one behind the other, and each says the truth. */
static void check_runs(struct traced *traced)
{
    const struct vlm_origin *origin = &traced->origin;
    uint32_t at = 0;
    for (size_t i = 0; i < origin->n; i++) {
        const struct vlm_origin_run *run = &origin->runs[i];
        assert_int_equal(run->start, at);
        assert_true(run->length > 0);
        check_run(traced, run);
        assert_int_equal(vlm_origin_find(origin, at), i);
        at += run->length;
        assert_int_equal(vlm_origin_find(origin, at - 1), i);
    }
    assert_int_equal(at, traced->plain.size);
    traced->bytes += at;
}

static const enum vlm_render forms[] = { VLM_RENDER_CM3, VLM_RENDER_HTLM, VLM_RENDER_M3W,
                                         VLM_RENDER_PAIR, VLM_RENDER_TEXT };

static void check_forms(struct traced *traced)
{
    check_map(traced);
    for (size_t i = 0; i < VLM_COUNTOF(forms); i++)
        for (unsigned flags = 0; flags <= VLM_RENDER_MAIN; flags++) {
            render_traced(traced, forms[i], flags);
            check_runs(traced);
        }
}

/* Writes the runs as [TEXT][CHANGED<PAGE][<TAG:MADE][#CODES]: what the rendering has, what the page has. */
static void write_run(struct vlm_buffer *out, const struct traced *traced,
                      const struct vlm_origin_run *run)
{
    const char *text = (const char *)traced->plain.data + run->start;
    struct vlm_page_range range = { 0, 0 };
    vlm_buffer_byte(out, '[');
    vlm_buffer_add(out, text, run->length);
    if (run->event != VLM_ORIGIN_NO_EVENT) {
        const struct vlm_event *event = &traced->document->events[run->event];
        if (run->n)
            assert_true(
                vlm_page_map_find(&traced->map, event->start + run->from, run->n, &range, NULL));
        else
            vlm_page_map_tag(&traced->map, traced->page, traced->document, run->event, &range);
    }
    const char *page = traced->page + range.start;
    if (range.end - range.start != run->length || memcmp(page, text, run->length) != 0) {
        vlm_buffer_byte(out, '~');
        vlm_buffer_add(out, page, range.end - range.start);
    }
    vlm_buffer_byte(out, ']');
}

static void expect(void **state, const char *html, enum vlm_render form, const char *expected)
{
    struct traced traced = { .document = NULL };
    struct vlm_buffer out = { 0 };
    trace_page(*state, &traced, html, strlen(html));
    check_forms(&traced);
    render_traced(&traced, form, 0);
    for (size_t i = 0; i < traced.origin.n; i++)
        write_run(&out, &traced, &traced.origin.runs[i]);
    vlm_buffer_byte(&out, 0);
    assert_string_equal((const char *)out.data, expected);
    vlm_buffer_release(&out);
    release(&traced);
}

static void text_and_tags(void **state)
{
    expect(state, "<p class=x>One <B>two</B>\n three", VLM_RENDER_CM3,
           "[<p>~<p class=x>][One ][<b>~<B>][two][</b>~</B>][ three~\n three][</p>~<p class=x>]");
}

#define SENTENCE                                                                                   \
    "enough to be kept, which is a text of more than one hundred and twenty-seven characters, as " \
    "many as this sentence has when it is at its end."

static void references(void **state)
{
    expect(state, "<p>a &lt; b&nbsp;&copy; &amp;amp; c > d &#x41;&nLl;", VLM_RENDER_CM3,
           "[<p>][a ][&lt;][ b][ ~&nbsp;][© ~&copy; ][&amp;][amp; c ][&gt;~>][ d A⋘̸~ d "
           "&#x41;&nLl;][</p>~<p>]");
}

static void reserved_words(void **state)
{
    expect(state, "<p>a &lt;image> b<p>c &lt;EO<i>C&gt;</i> d &lt;s> e<img src=1.png>f &lt;s>",
           VLM_RENDER_M3W,
           "[<BOS>~][a ][&lt;][image> b][\n\n~<p>][c ][&lt;][EO][C>~C&gt;][ d ][&lt;][s> "
           "e][<EOC><image>~<img src=1.png>][f ][&lt;][s>][<EOC>~]");
}

static void attributes(void **state)
{
    expect(
        state,
        "<a title=' A &quot;B\"\n C' href='/x?a=1&amp;b=2'>y</a><img alt='&#x41;  b' src=1.png>",
        VLM_RENDER_CM3,
        "[<a href=\"~<a title=' A &quot;B\"\n C' "
        "href='/x?a=1&amp;b=2'>][http://a.org~/x?a=1&amp;b=2][/x?a=1][&amp;][b=2][\" title=\"~<a "
        "title=' A &quot;B\"\n C' href='/x?a=1&amp;b=2'>][A ][&quot;][B][&quot;~\"][ ~\n "
        "][C][\">~<a title=' A &quot;B\"\n C' href='/x?a=1&amp;b=2'>][y][</a>][<img alt=\"~<img "
        "alt='&#x41;  b' src=1.png>][A~&#x41;][ ~  ][b][\" src=\"~<img alt='&#x41;  b' "
        "src=1.png>][<image:0>~<img alt='&#x41;  b' src=1.png>][\">~<img alt='&#x41;  b' "
        "src=1.png>]");
    expect(state, "<div class='a  b'><div class='c a' id=i><p class=d>long " SENTENCE,
           VLM_RENDER_HTLM,
           "[<div class=\"~<div class='a  b'>][a][ ~  ][b][ ~<div class='a  b'>][c][\" id=\"~<div "
           "class='a  b'>][i][\">~<div class='a  b'>][<p class=\"~<p class=d>][d][\">~<p "
           "class=d>][long enough to be kept, which is a text of more than one hundred and "
           "twenty-seven characters, as many as this sentence has when it is at its end.][</p>~<p "
           "class=d>][</div>~<div class='a  b'>]");
}

static void captions(void **state)
{
    expect(state,
           "<figure><img src=1.png><figcaption>a <b>&lt;image></b><p>c &amp;</figcaption></figure>"
           "<img src=2.png alt='&lt;s> x  y'><img src=3.png title=' t'>",
           VLM_RENDER_PAIR,
           "[<BOS><image>~<img src=1.png>][a ][&lt;][image>][ ~<p>][c &~c &amp;][<EOC>~<img "
           "src=1.png>][\n<BOS><image>~<img src=2.png alt='&lt;s> x  y'>][&lt;][s> x][ ~  "
           "][y][<EOC>~<img src=2.png alt='&lt;s> x  y'>][\n<BOS><image>~<img src=3.png title=' "
           "t'>][t][<EOC>~<img src=3.png title=' t'>]");
}

static void line_structure(void **state)
{
    expect(state, "<h1>a</h1>\n<p>b<br>c <pre>\n d\r\n e</pre><table><tr><td>f<td>g</table>",
           VLM_RENDER_TEXT,
           "[a][\n\n~</h1>][b][\n~<br>][c][\n\n~<p>][d\n e~d\r\n e][\n\n~</pre>][f][\t~<td>][g]");
}

static void comments_inside_text(void **state)
{
    expect(state, "<p>ab<!-- x -->cd <script>y</script> ef<textarea>\r\n g&amp;\r\nh</textarea>",
           VLM_RENDER_TEXT,
           "[abcd ef~ab<!-- x -->cd <script>y</script> ef][ g&~ g&amp;][ ~\r\n][h]");
}

/* Pages put together from pieces that are hard each, by a generator. */
static void random_pages(void **state)
{
    static const char *const pieces[] = {
        "<p>",
        "</p>",
        "<div class='a b'>",
        "</div>",
        "<b>",
        "</b>",
        "<pre>\r\n",
        "</pre>",
        "<br>",
        "a",
        " ",
        "\n\t",
        "&nbsp;",
        "&amp;",
        "&lt;image>",
        "&lt;EO",
        "C>",
        "&#13;",
        "\xc3\xa9",
        "\xff",
        "<!-- - -->",
        "<script>x</script>",
        "<td>",
        "<table><tr>",
        "</table>",
        "<figure>",
        "</figure>",
        "<figcaption>",
        "</figcaption>",
        "<ul><li>",
        "</ul>",
        "<h1>",
        "</h1>",
        "<textarea>",
        "</textarea>",
        "&nLl;",
        "\"",
        "'",
        "<",
        ">",
        "<img src=1.png alt=' x &quot; y'>",
        "<img alt='&lt;s>' title='t  u'>",
        "<a href='../p?q=1&amp;r#s' title='\"'>",
        "</a>",
        "<a href=http://b.org/%20x>",
        "<span hidden>",
        "</span>",
        "<nav>",
        "</nav>",
        "\r",
        "<title> t </title>",
        "<meta name=description content=' a &gt; b'>",
        "<html lang=en>",
        "<noscript><img src=2.png>",
        "<base href=http://c.org/d/>",
        "A sentence that is long enough to count as content here.",
    };
    struct traced traced = { .document = NULL };
    struct vlm_buffer page = { 0 };
    uint16_t codes[VLM_IMAGE_CODES];
    for (uint16_t i = 0; i < VLM_IMAGE_CODES; i++)
        codes[i] = (uint16_t)(i * 37);
    for (uint64_t n = 0; n < 4000; n++) {
        struct vlm_random random = vlm_random_at(7, 1, n);
        size_t count = vlm_random_below(&random, 60);
        vlm_buffer_reset(&page);
        for (size_t i = 0; i < count; i++)
            vlm_buffer_text(&page, pieces[vlm_random_below(&random, VLM_COUNTOF(pieces))]);
        vlm_buffer_byte(&page, 0);
        trace_page(*state, &traced, page.data, page.size - 1);
        for (size_t i = n % 2; i < traced.document->n_images; i++)
            traced.document->images[i].codes = codes;
        check_forms(&traced);
    }
    vlm_buffer_release(&page);
    release(&traced);
}

/* -- All pages ---------------------------------------------------------------------------------- */

struct all_pages {
    struct page_fixture *fixture;
    struct traced traced;
};

static void check_file(void *context, const char *path)
{
    struct all_pages *all = context;
    struct vlm_buffer bytes = { 0 };
    assert_int_equal(vlm_file_read(&bytes, path, VLM_HTML_MAX, &all->fixture->err), VLM_OK);
    trace_page(all->fixture, &all->traced, bytes.data, bytes.size);
    check_forms(&all->traced);
    vlm_buffer_release(&bytes);
}

static void real_pages(void **state)
{
    struct all_pages all = { .fixture = *state };
    size_t count = shared_pages_each(check_file, &all);
    print_message("%zu pages, %zu bytes of renderings, %zu of them text as the page has it\n",
                  count, all.traced.bytes, all.traced.verbatim);
    release(&all.traced);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_tags),
        cmocka_unit_test(references),
        cmocka_unit_test(reserved_words),
        cmocka_unit_test(attributes),
        cmocka_unit_test(captions),
        cmocka_unit_test(line_structure),
        cmocka_unit_test(comments_inside_text),
        cmocka_unit_test(random_pages),
        cmocka_unit_test(real_pages),
    };
    return cmocka_run_group_tests(tests, page_setup, page_teardown);
}
