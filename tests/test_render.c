/* test_render.c - renderings of small pages, character by character, and the rules that hold for
 * the renderings of every page. */
#include "base/vlm.h"

#include "tests/render_fixture.h"
#include "tests/render_oracle.h"
#include "tests/shared_pages_fixture.h"

#include <zlib.h>

static const char *rendered(struct page_fixture *fixture, const struct vlm_document *document,
                            enum vlm_render form, unsigned flags)
{
    vlm_buffer_reset(&fixture->out);
    vlm_render(&fixture->out, document, form, flags);
    vlm_buffer_byte(&fixture->out, 0);
    assert_false(fixture->out.failed);
    return (const char *)fixture->out.data;
}

static void expect(void **state, const char *html, enum vlm_render form, const char *expected)
{
    struct page_fixture *fixture = *state;
    const struct vlm_document *document = parse_page(fixture, html, NULL);
    assert_string_equal(rendered(fixture, document, form, 0), expected);
}

#define SENTENCE                                                                                   \
    "This sentence is here to have a good number of characters, as many as it takes to be kept, "  \
    "which is more than one hundred and twenty-seven."

static void flamingo_example(void **state)
{
    expect(
        state,
        "<p>Cute pics of my pets!</p><p><img src=1.jpg>My puppy sitting in the grass.</p>"
        "<p><img src=2.jpg> My cat looking very dignified.</p>",
        VLM_RENDER_M3W,
        "<BOS>Cute pics of my pets!<EOC><image>My puppy sitting in the grass.<EOC><image> My cat "
        "looking very dignified.<EOC>");
}

static void m3w_separators(void **state)
{
    expect(state, "<p>a</p>\n<p>b<br>c</p><ul><li>d<li>e</ul>", VLM_RENDER_M3W,
           "<BOS>a\n\nb\nc\n\nd\ne<EOC>");
    expect(state, "<img src=1.png>\n<p>first</p><img src=2.png><img src=3.png>", VLM_RENDER_M3W,
           "<BOS><image>first<EOC><image><EOC><image><EOC>");
    expect(state, "<p>a <img src=1.png> b</p>", VLM_RENDER_M3W, "<BOS>a<EOC><image> b<EOC>");
    expect(state, "<title>no body</title>", VLM_RENDER_M3W, "");
    expect(state, "", VLM_RENDER_M3W, "");
}

/* What stood around something left out is still two words. */
static void gaps_of_left_out_nodes(void **state)
{
    static const char hidden[] = "<div>a <div hidden>x</div> b <span hidden>y<div>z</div></span> c";
    expect(state, hidden, VLM_RENDER_TEXT, "a b c");
    expect(state, hidden, VLM_RENDER_M3W, "<BOS>a b c<EOC>");
    expect(state, hidden, VLM_RENDER_CM3, "<div>a b c</div>");
    expect(state, "<p>a<span hidden>x</span>b", VLM_RENDER_TEXT, "ab");
    expect(state, "<p>a<span hidden>x</span>b", VLM_RENDER_CM3, "<p>ab</p>");
    expect(state, "<p><i>a</i><b> </b>b<b>&nbsp;</b>c", VLM_RENDER_CM3, "<p><i>a</i> b c</p>");
    expect(state, "<pre>a<b>\n  </b>b<b></b>c</pre>", VLM_RENDER_CM3, "<pre>a\n  bc</pre>");
    static const char chrome[] = "<div>a <nav>x</nav> b <div></div> c<span></span>d";
    expect(state, chrome, VLM_RENDER_CM3, "<div>a b cd</div>");
    expect(state, "<p>a <textarea>x</textarea> b <datalist><option>y</datalist> c", VLM_RENDER_TEXT,
           "a x b c");
    expect(state,
           "<figure><img src=1.png><figcaption>a <div hidden>x</div> b</figcaption></figure>",
           VLM_RENDER_PAIR, "<BOS><image>a b<EOC>");
}

static void reserved_words_in_text(void **state)
{
    expect(state,
           "<p>&lt;image&gt; &lt;IMAGE&gt; &lt;EO<b>C&gt;</b> &lt;mask:12> &lt;mask:> &lt;/s> "
           "&lt;|endofchunk|> &lt;sentinel:0> &lt;&lt;BOS>> a &lt; b &lt;imag",
           VLM_RENDER_M3W,
           "<BOS>&lt;image> &lt;IMAGE> &lt;EOC> &lt;mask:12> <mask:> &lt;/s> &lt;|endofchunk|> "
           "&lt;sentinel:0> <&lt;BOS>> a < b <imag<EOC>");
    expect(state, "<img src=1.png alt='&lt;EOC>&lt;image>x'>", VLM_RENDER_PAIR,
           "<BOS><image>&lt;EOC>&lt;image>x<EOC>");
    expect(state, "<p>&lt;image&gt;", VLM_RENDER_TEXT, "<image>"); /* bare text is bare */
}

static void reserved_words_in_markup(void **state)
{
    expect(state,
           "<p><img src=1.png alt='&lt;image:7&gt;' title='\"&lt;image:1&gt;'>"
           "&lt;image:0> <a href='/&lt;mask:0>' title='&lt;EOC>'>&lt;mask:0></a>",
           VLM_RENDER_CM3,
           "<p><img alt=\"&lt;image:7&gt;\" src=\"<image:0>\" "
           "title=\"&quot;&lt;image:1&gt;\">&lt;image:0&gt; "
           "<a href=\"http://a.org/&lt;mask:0&gt;\" title=\"&lt;EOC&gt;\">&lt;mask:0&gt;</a></p>");
}

/* Numbers that a page writes are text: only codes stand in src. */
static void codes_in_markup(void **state)
{
    struct page_fixture *fixture = *state;
    uint16_t codes[VLM_IMAGE_CODES];
    struct vlm_buffer expected = { 0 };
    for (size_t i = 0; i < VLM_IMAGE_CODES; i++)
        codes[i] = (uint16_t)(i * 257);
    struct vlm_document *document =
        parse_page(fixture,
                   "<p>src=\"1 2 3\" &lt;img src=\"1 2 3\"&gt;<img src='1 2 3' "
                   "alt='&quot; src=&quot;1 2 3&quot;' data-src='4 5 6'><img src=2.png>",
                   NULL);
    assert_int_equal(document->n_images, 2);
    document->images[0].codes = codes;
    vlm_buffer_text(&expected, "<p>src=\"1 2 3\" &lt;img src=\"1 2 3\"&gt;<img "
                               "alt=\"&quot; src=&quot;1 2 3&quot;\" src=\"0 257");
    for (size_t i = 2; i < VLM_IMAGE_CODES; i++)
        vlm_buffer_printf(&expected, " %zu", i * 257);
    vlm_buffer_text(&expected, "\"><img src=\"<image:1>\"></p>"); /* the second has none */
    vlm_buffer_byte(&expected, 0);
    assert_string_equal(rendered(fixture, document, VLM_RENDER_CM3, 0), expected.data);
    assert_string_equal(rendered(fixture, document, VLM_RENDER_HTLM, 0), expected.data);
    assert_null(render_oracle(document, &fixture->out));
    vlm_buffer_release(&expected);
}

static void attributes_in_byte_order(void **state)
{
    expect(state, "<p>x<img title=T width=9 src=1.png class=c alt=A id=i>", VLM_RENDER_CM3,
           "<p>x<img alt=\"A\" src=\"<image:0>\" title=\"T\"></p>");
    expect(state, "<p>" SENTENCE "<img title=T src=1.png id=i class=c alt=' A\n B '>",
           VLM_RENDER_HTLM,
           "<p>" SENTENCE "<img alt=\"A B\" class=\"c\" id=\"i\" src=\"<image:0>\" "
           "title=\"T\"></p>");
    expect(state,
           "<div typeof=t itemtype=u itemscope itemprop=v class=c>x<time datetime=2020 id=i>y"
           "</time></div>",
           VLM_RENDER_CM3,
           "<div itemprop=\"v\" itemscope=\"\" itemtype=\"u\" typeof=\"t\">x"
           "<time datetime=\"2020\">y</time></div>");
    expect(state, "<table><tr><td colspan=2 width=9 rowspan=3>x</table>", VLM_RENDER_CM3,
           "<table><tr><td colspan=\"2\" rowspan=\"3\">x</td></tr></table>");
}

static void head_of_cm3(void **state)
{
    expect(state,
           "<html lang=en dir=ltr><head><title> A &amp; <b>B</title><meta charset=utf-8>"
           "<meta name=Description content='x \"y\"'><meta name=viewport content=w>"
           "<meta property=og:title content=z><meta http-equiv=refresh content=1>"
           "<link rel=x href=y><style>p{}</style></head><body><p>t</p></body></html>",
           VLM_RENDER_CM3,
           "<html lang=\"en\"><head><title>A &amp; &lt;b&gt;B</title><meta content=\"x "
           "&quot;y&quot;\" name=\"Description\"><meta content=\"z\" property=\"og:title\"></head>"
           "<body><p>t</p></body></html>");
}

static void unusable_images(void **state)
{
    struct page_fixture *fixture = *state;
    struct vlm_document *document =
        parse_page(fixture, "<p>a<img src=1.png alt=A><img src=2.png><img src=3.png>b", NULL);
    assert_int_equal(document->n_images, 3);
    document->images[0].status = 12;
    document->images[1].status = 12;
    assert_string_equal(rendered(fixture, document, VLM_RENDER_CM3, 0),
                        "<p>a<img alt=\"A\"><img src=\"<image:2>\">b</p>");
    assert_string_equal(rendered(fixture, document, VLM_RENDER_M3W, 0), "<BOS>a<EOC><image>b<EOC>");
    assert_string_equal(rendered(fixture, document, VLM_RENDER_PAIR, 0), "");
    assert_string_equal(rendered(fixture, document, VLM_RENDER_M3W, VLM_RENDER_ALL_IMAGES),
                        "<BOS>a<EOC><image><EOC><image><EOC><image>b<EOC>");
    assert_string_equal(rendered(fixture, document, VLM_RENDER_PAIR, VLM_RENDER_ALL_IMAGES),
                        "<BOS><image>A<EOC>");
}

static void links(void **state)
{
    expect(state, "<p><a href='../x?q=1#f' title=' T ' class=c>y</a>", VLM_RENDER_CM3,
           "<p><a href=\"http://a.org/x?q=1\" title=\"T\">y</a></p>");
    expect(state, "<p><a href='#top'>y</a> <a href='javascript:f()'>z</a>", VLM_RENDER_CM3,
           "<p><a>y</a> <a>z</a></p>");
    expect(state, "<p><a href='/wiki/Armenian_nationalism#X'>y</a>", VLM_RENDER_CM3,
           "<p><a href=\"http://a.org/wiki/Armenian_nationalism\">y</a></p>");
    struct page_fixture *fixture = *state;
    const struct vlm_document *document =
        parse_page(fixture,
                   "<p><a href='/wiki/Armenian_nationalism#X' title='Armenian nationalism'>y</a>"
                   "<a href='/w/index.php?title=A'>e</a>",
                   "https://en.wikipedia.org/wiki/Armenia");
    assert_string_equal(rendered(fixture, document, VLM_RENDER_CM3, 0),
                        "<p><a href=\"Armenian_nationalism\" title=\"Armenian "
                        "nationalism\">y</a><a href=\"https://en.wikipedia.org/w/"
                        "index.php?title=A\">e</a></p>");
}

static void long_links(void **state)
{
    static const char *const query =
        "0123456789012345678901234567890123456789012345678901234567890123";
    struct vlm_buffer html = { 0 };
    vlm_buffer_printf(&html, "<p><a href='/a?%s'>x</a><a href='/b?%s4'>y</a><a href='/", query,
                      query);
    for (int i = 0; i < 256 - 13; i++) /* "http://a.org/" has 13 bytes */
        vlm_buffer_byte(&html, 'c');
    vlm_buffer_text(&html, "d'>z</a>");
    vlm_buffer_byte(&html, 0);
    struct vlm_buffer expected = { 0 };
    vlm_buffer_printf(&expected,
                      "<p><a href=\"http://a.org/a?%s\">x</a><a href=\"http://a.org/b\">y</a>"
                      "<a>z</a></p>",
                      query);
    vlm_buffer_byte(&expected, 0);
    expect(state, (const char *)html.data, VLM_RENDER_CM3, (const char *)expected.data);
    vlm_buffer_release(&html);
    vlm_buffer_release(&expected);
}

static void white_space_in_markup(void **state)
{
    expect(state, "<p> a  b\n<b> c </b>d <i>e</i> <img src=1.png> f </p>\n <p> g</p> h ",
           VLM_RENDER_CM3, "<p>a b <b>c</b> d <i>e</i> <img src=\"<image:0>\"> f</p><p>g</p>h");
    expect(state, "<pre>a\n  b </pre>", VLM_RENDER_CM3, "<pre>a\n  b </pre>");
    expect(state, "<p>&nbsp;</p><p>a&nbsp; b</p>", VLM_RENDER_CM3, "<p>a b</p>");
    expect(state, "<p>a <br> b</p><p><br></p>", VLM_RENDER_CM3, "<p>a<br>b</p>");
}

static void folded_divisions(void **state)
{
    expect(state,
           "<div class='a b' id=x><div class='b c' id=y itemprop=p> <div class=d>t</div>"
           "</div></div>",
           VLM_RENDER_CM3, "<div itemprop=\"p\">t</div>");
    expect(state,
           "<div class='a b' id=x><div class='b c' id=y><div class=d><p>" SENTENCE
           "</p></div></div></div>",
           VLM_RENDER_HTLM, "<div class=\"a b c d\" id=\"x\"><p>" SENTENCE "</p></div>");
    expect(state, "<div>t<div>u</div></div><div><div>v</div><div>w</div></div>", VLM_RENDER_CM3,
           "<div>t<div>u</div></div><div><div>v</div><div>w</div></div>");
    expect(state, "<div><p></p><div><span> </span>v</div><hr></div>", VLM_RENDER_CM3,
           "<div>v</div>");
}

static void chrome_is_not_minimal(void **state)
{
    expect(state,
           "<header>h</header><nav>n</nav><form><input><button>b</button></form><p>text</p>"
           "<p>more text that is the content of this page</p><iframe src=x>i</iframe>"
           "<dialog>d</dialog><div class='x copyright'>c</div><p>&copy; 2020 x</p>"
           "<script>s()</script><footer>f</footer>",
           VLM_RENDER_CM3, "<p>text</p><p>more text that is the content of this page</p>");
    expect(state, "<div><p> </p><span></span></div>", VLM_RENDER_CM3, "");
    expect(state, "<title></title>", VLM_RENDER_HTLM, "");
}

static void small_elements(void **state)
{
    for (int length = 127; length <= 128; length++) { /* 64 less in lists */
        char both[600];
        snprintf(both, sizeof(both), "<p>%0*d</p><ul><li>%0*d</li></ul>", length, 0, length - 64,
                 0);
        struct vlm_buffer html = { 0 };
        vlm_buffer_printf(&html, "%s<p>" SENTENCE "</p>", both);
        vlm_buffer_byte(&html, 0);
        const char *kept = (const char *)html.data + (length < 128 ? strlen(both) : 0);
        expect(state, (const char *)html.data, VLM_RENDER_HTLM, kept);
        vlm_buffer_release(&html);
    }
    expect(state, "<p>short with <b>inline</b> <img src=1.png></p><p>short</p>", VLM_RENDER_HTLM,
           "<p>short with <b>inline</b> <img src=\"<image:0>\"></p>");
}

static void plain_text(void **state)
{
    expect(state,
           "<title>T</title><h1>H</h1>a <b>b</b>c<div>d<div>e</div></div><ul><li>f<ul><li>g</ul>"
           "<li>h</ul><table><tr><th>i<th>j<tr><td>k<td>l</table><figure><img src=1.png alt=no>"
           "<figcaption>m</figcaption></figure><script>n</script><p>o<br>p<br><br>q",
           VLM_RENDER_TEXT, "H\n\na bc\nd\ne\n\nf\ng\nh\n\ni\tj\nk\tl\n\nm\n\no\np\n\nq");
    expect(state, "<pre>  a\n    b\n</pre>c", VLM_RENDER_TEXT, "a\n    b\n\nc");
    expect(state, "<table><tr><td><p>a</p><td><div>b</div><td>c<tr><td><td>d</table>",
           VLM_RENDER_TEXT, "a\n\nb\tc\nd");
}

static void captions(void **state)
{
    expect(state,
           "<figure><img src=1.png alt=no><figcaption>Cap  <b>tion</b><p>one</p></figcaption>"
           "</figure><img src=2.png alt=' alt\ntwo '><img src=3.png title=three><img src=4.png>"
           "<figure><figure><img src=5.png></figure><figcaption>five</figcaption></figure>",
           VLM_RENDER_PAIR,
           "<BOS><image>Cap tion one<EOC>\n<BOS><image>alt two<EOC>\n<BOS><image>three<EOC>\n"
           "<BOS><image>five<EOC>");
}

static void noscript_images(void **state)
{
    static const char copy[] = "<p>a</p><img src=x.gif data-src=1.jpg><noscript><img src=1.jpg>"
                               "Please switch scripts on</noscript><p>b</p>";
    expect(state, copy, VLM_RENDER_M3W, "<BOS>a<EOC><image>b<EOC>");
    static const char only[] =
        "<p>a</p><noscript>Scripts! <img src=1.jpg alt=A></noscript><p>b</p>";
    expect(state, only, VLM_RENDER_M3W, "<BOS>a<EOC><image>b<EOC>");
    expect(state, only, VLM_RENDER_CM3, "<p>a</p><img alt=\"A\" src=\"<image:0>\"><p>b</p>");
}

static void appends_to_the_buffer(void **state)
{
    struct page_fixture *fixture = *state;
    const struct vlm_document *document = parse_page(fixture, "<p>x <img src=1.png alt=A>", NULL);
    for (int form = VLM_RENDER_JSON; form <= VLM_RENDER_TEXT; form++) {
        struct vlm_buffer out = { 0 };
        vlm_buffer_text(&out, "<image> \n");
        vlm_render(&out, document, (enum vlm_render)form, 0);
        vlm_buffer_byte(&out, 0);
        const char *alone = rendered(fixture, document, (enum vlm_render)form, 0);
        assert_memory_equal(out.data, "<image> \n", 9);
        assert_string_equal((const char *)out.data + 9, alone);
        vlm_buffer_release(&out);
    }
}

static void events_as_json(void **state)
{
    struct page_fixture *fixture = *state;
    const struct vlm_document *document =
        parse_page(fixture, "<p id=a>x<img src=1.png></p><script>1</script>", NULL);
    vlm_buffer_reset(&fixture->out);
    struct vlm_json json = { .out = &fixture->out };
    vlm_render_events(&json, document);
    json_object *list;
    assert_int_equal(
        vlm_json_parse(&list, (const char *)fixture->out.data, fixture->out.size, &fixture->err),
        VLM_OK);
    assert_int_equal(json_object_array_length(list), document->n_events);
    vlm_buffer_byte(&fixture->out, 0);
    const char *text = (const char *)fixture->out.data;
    assert_non_null(strstr(text, "{\"kind\": \"attribute\", \"name\": \"id\", \"text\": \"a\", "));
    assert_non_null(strstr(text, "{\"kind\": \"image\", \"image\": 0, \"offset\": 9}"));
    json_object_put(list);
}

/* A quadratic step would take minutes here. */
static void large_pages(void **state)
{
    struct page_fixture *fixture = *state;
    struct vlm_buffer html = { 0 };
    for (int i = 0; i < 60000; i++)
        vlm_buffer_text(&html,
                        i % 2 ? "<div><b>&lt;image></b> " : "</div>&lt;EOC> <a href=x>y</a> ");
    const struct vlm_document *document = parse_bytes(fixture, html.data, html.size, NULL);
    for (int form = VLM_RENDER_JSON; form <= VLM_RENDER_TEXT; form++)
        if (form != VLM_RENDER_PAIR)
            assert_true(strlen(rendered(fixture, document, (enum vlm_render)form, 0)) > 300000);
    vlm_buffer_release(&html);
}

static void check_file(void *context, const char *path)
{
    struct page_fixture *fixture = context;
    gzFile in = gzopen(path, "rb"); /* reads plain files too */
    char block[65536];
    int n = 0;
    vlm_buffer_reset(&fixture->out);
    while (in && (n = gzread(in, block, sizeof(block))) > 0)
        vlm_buffer_add(&fixture->out, block, (size_t)n);
    gzclose(in);
    struct vlm_buffer page = fixture->out;
    fixture->out = (struct vlm_buffer){ 0 };
    struct vlm_document *document = parse_bytes(fixture, page.data, page.size, "http://a.org/b");
    const char *wrong = render_oracle(document, &fixture->out);
    if (wrong)
        fail_msg("%s: %s", path, wrong);
    vlm_buffer_release(&page);
}

static void real_pages(void **state)
{
    print_message("%zu pages\n", shared_pages_each(check_file, *state));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flamingo_example),
        cmocka_unit_test(m3w_separators),
        cmocka_unit_test(gaps_of_left_out_nodes),
        cmocka_unit_test(reserved_words_in_text),
        cmocka_unit_test(reserved_words_in_markup),
        cmocka_unit_test(codes_in_markup),
        cmocka_unit_test(attributes_in_byte_order),
        cmocka_unit_test(head_of_cm3),
        cmocka_unit_test(unusable_images),
        cmocka_unit_test(links),
        cmocka_unit_test(long_links),
        cmocka_unit_test(white_space_in_markup),
        cmocka_unit_test(folded_divisions),
        cmocka_unit_test(chrome_is_not_minimal),
        cmocka_unit_test(small_elements),
        cmocka_unit_test(plain_text),
        cmocka_unit_test(captions),
        cmocka_unit_test(noscript_images),
        cmocka_unit_test(appends_to_the_buffer),
        cmocka_unit_test(events_as_json),
        cmocka_unit_test(large_pages),
        cmocka_unit_test(real_pages),
    };
    return cmocka_run_group_tests(tests, page_setup, page_teardown);
}
