/* test_passes.c - which nodes of a page the passes mark, and with what. */
#include "base/vlm.h"

#include "tests/render_fixture.h"
#include "tokenize/html/page_tree.h"
#include "tokenize/html/passes.h"
#include "tokenize/render/render.h"

#define PARAGRAPH                                                                                  \
    "<p>A paragraph of running text, long enough to be content, with a comma or two, and a full "  \
    "stop at its end. It goes on for a while so that it weighs something on the page.</p>"

/* The flags of the first element with an id, which must exist. */
static unsigned flags_of(const struct vlm_document *document, const char *id)
{
    size_t open = 0;
    for (size_t i = 0; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_OPEN)
            open = i;
        else if (event->kind == VLM_EVENT_ATTRIBUTE && event->name == VLM_ATTRIBUTE_id &&
                 event->length == strlen(id) &&
                 !memcmp(document->text + event->start, id, event->length))
            return document->events[open].flags;
    }
    fail_msg("no element has the id %s", id);
    return 0;
}

static void expect_flags(void **state, const char *html, const char *id, unsigned mask,
                         unsigned expected)
{
    const struct vlm_document *document = parse_page(*state, html, NULL);
    unsigned flags = flags_of(document, id);
    if ((flags & mask) != expected)
        fail_msg("flags of %s are %x, expected %x of %x in %s", id, flags, expected, mask, html);
}

static void expect_main(void **state, const char *html, const char *expected)
{
    struct page_fixture *fixture = *state;
    const struct vlm_document *document = parse_page(fixture, html, NULL);
    vlm_buffer_reset(&fixture->out);
    vlm_render(&fixture->out, document, VLM_RENDER_M3W, VLM_RENDER_MAIN);
    vlm_buffer_byte(&fixture->out, 0);
    assert_string_equal((const char *)fixture->out.data, expected);
}

static void hidden_elements(void **state)
{
    expect_flags(state, "<body><p>a</p><video id=v>b</video>", "v", VLM_NODE_HIDDEN,
                 VLM_NODE_HIDDEN);
    expect_flags(state, "<body><p>a</p><object id=v>b</object>", "v", VLM_NODE_HIDDEN,
                 VLM_NODE_HIDDEN);
    expect_flags(state, "<body><p id=v>a</p>", "v", VLM_NODE_HIDDEN, 0);
    expect_flags(state, "<body><p>some text</p><noscript id=v>Scripts!</noscript>", "v",
                 VLM_NODE_HIDDEN, VLM_NODE_HIDDEN);
    /* A page that is all noscript is shown. */
    expect_flags(state, "<body><noscript id=v>" PARAGRAPH PARAGRAPH "</noscript><p>t", "v",
                 VLM_NODE_HIDDEN, 0);
}

static void noscript_duplicates(void **state)
{
    const unsigned mask = VLM_NODE_DUPLICATE;
    /* the same URL, before or behind */
    expect_flags(state, "<body><img data-src=1.jpg><p>t</p><noscript><img id=v src=./1.jpg>", "v",
                 mask, mask);
    expect_flags(state, "<body><noscript><img id=v src=1.jpg></noscript><p>t</p><img src=1.jpg>",
                 "v", mask, mask);
    /* another URL, directly behind a lazy image */
    expect_flags(state,
                 "<body><img src=blank.gif data-src=1-640.jpg> <noscript><img id=v src=1.jpg>", "v",
                 mask, mask);
    /* another URL, but not lazy, or not directly */
    expect_flags(state, "<body><img src=2.jpg><noscript><img id=v src=1.jpg>", "v", mask, 0);
    expect_flags(state, "<body><img data-src=2.jpg> text <noscript><img id=v src=1.jpg>", "v", mask,
                 0);
    expect_flags(state, "<body><img id=v src=1.jpg><img src=1.jpg>", "v", mask, 0);
}

static void chrome_by_name(void **state)
{
    static const char *const chrome[] = {
        "<div id=v class='x FOOTER'>",
        "<div id=v role=navigation>",
        "<div id=v class=cookie-banner>",
        "<div id=v class=main-nav>",
        "<ul id=v class='nav nav-tabs'>",
        "<div id=v class=copyright>",
        "<form id=v>",
        "<header id=v>",
        "<footer id=v>",
        "<nav id=v>",
        "<div id=v class=breadcrumb>",
        "<div id=v class=site-info>",
        "<p id=v>\xc2\xa9 2020 Somebody.",
        "<p id=v> Copyright <b>x</b>",
        "<div id=v>(c) x",
    };
    static const char *const content[] = {
        "<div id=v class=footers>", "<div id=v class='entry-content'>",
        "<div id=v role=article>",  "<div id=v class=canavan>",
        "<p id=v>A copyright",
    };
    char html[2000];
    for (size_t i = 0; i < VLM_COUNTOF(chrome); i++) {
        snprintf(html, sizeof(html), "<body>" PARAGRAPH "%sx", chrome[i]);
        expect_flags(state, html, "v", VLM_NODE_CHROME, VLM_NODE_CHROME);
    }
    for (size_t i = 0; i < VLM_COUNTOF(content); i++) {
        snprintf(html, sizeof(html), "<body>" PARAGRAPH "%sx", content[i]);
        expect_flags(state, html, "v", VLM_NODE_CHROME, 0);
    }
}

static void chrome_guards(void **state)
{
    const unsigned mask = VLM_NODE_CHROME;
    /* half of the text is content whatever its name */
    expect_flags(state, "<body><form id=v>0123456789</form><p>0123456789", "v", mask, 0);
    expect_flags(state, "<body><form id=v>012345678</form><p>0123456789", "v", mask, mask);
    /* the header of an article */
    expect_flags(state, "<body><article><header id=v><h1>T</h1></header>" PARAGRAPH "</article>",
                 "v", mask, 0);
    expect_flags(state, "<body><article><header id=v><p>T</p></header>" PARAGRAPH "</article>", "v",
                 mask, mask);
    expect_flags(state, "<body><header id=v><h1>T</h1></header>" PARAGRAPH, "v", mask, mask);
    /* long texts are no copyright lines */
    expect_flags(state, "<body>" PARAGRAPH "<div id=v>&copy; <b>1</b>" PARAGRAPH "</div>", "v",
                 mask, 0);
}

static void small_and_inline(void **state)
{
    expect_flags(state, "<body>" PARAGRAPH "<p id=v>short <b id=b>x</b>", "v", VLM_NODE_SMALL,
                 VLM_NODE_SMALL);
    expect_flags(state, "<body>" PARAGRAPH "<p>short <b id=b>x</b>", "b", VLM_NODE_SMALL, 0);
    expect_flags(state, "<body>" PARAGRAPH "<p id=v>short <img src=1.png>", "v", VLM_NODE_SMALL, 0);
    expect_flags(state, "<body id=v>x", "v", VLM_NODE_SMALL, 0);
}

static void folding(void **state)
{
    const unsigned mask = VLM_NODE_UNWRAP;
    expect_flags(state, "<body><div><div id=v>x</div></div>", "v", mask, mask);
    expect_flags(state, "<body><div>a<div id=v>x</div></div>", "v", mask, 0);
    expect_flags(state, "<body><div><div id=v>x</div><div>y</div></div>", "v", mask, 0);
    expect_flags(state, "<body><div><div id=v>x</div><div> </div></div>", "v", mask, mask);
    expect_flags(state, "<body><div><p id=v>x</p></div>", "v", mask, 0);
    expect_flags(state, "<body><section><div id=v>x</div></section>", "v", mask, 0);
}

static void main_content(void **state)
{
    /* neighbours of the article, comments longer than it, links inside it */
    expect_flags(
        state,
        "<body><div id=v><p>Buy our things here, now.</p></div><div>" PARAGRAPH PARAGRAPH PARAGRAPH
        "</div>",
        "v", VLM_NODE_OUTSIDE, VLM_NODE_OUTSIDE);
    expect_flags(state,
                 "<body><div>" PARAGRAPH PARAGRAPH
                 "</div><div id=v class=comment-list>" PARAGRAPH PARAGRAPH PARAGRAPH PARAGRAPH
                 "</div>",
                 "v", VLM_NODE_OUTSIDE, VLM_NODE_OUTSIDE);
    expect_flags(
        state,
        "<body><article>" PARAGRAPH PARAGRAPH "<ul id=v><li><a href=1>Something else</a>"
        "<li><a href=2>Another thing</a><li><a href=3>And so on</a><li><a href=4>More</a></ul>",
        "v", VLM_NODE_OUTSIDE, VLM_NODE_OUTSIDE);
    expect_flags(state,
                 "<body><article>" PARAGRAPH "<ul id=v><li>Something <a href=1>x</a><li>Another "
                 "thing that is not only <a href=2>a link</a></ul>" PARAGRAPH "</article>",
                 "v", VLM_NODE_OUTSIDE, 0);
    /* a page without running text keeps everything */
    expect_flags(state, "<body><div id=v><a href=1>a</a></div><div>b</div>", "v", VLM_NODE_OUTSIDE,
                 0);
    /* the text is spread over two halves: both are content */
    expect_flags(state, "<body><div id=v>" PARAGRAPH "</div><div>" PARAGRAPH "</div>", "v",
                 VLM_NODE_OUTSIDE, 0);
}

/* Manuals and the like: short sections beside a long one are content as well. */
static void sections_of_one_document(void **state)
{
    expect_flags(state,
                 "<body><div id=v class=sect><h2>Name</h2><p>crawl - read records of the web</div>"
                 "<div class=sect><h2>Description</h2>" PARAGRAPH PARAGRAPH PARAGRAPH "</div>",
                 "v", VLM_NODE_OUTSIDE, 0);
    expect_flags(state,
                 "<body><div id=v class=side><h2>Name</h2><p>crawl - read records of the web</div>"
                 "<div class=sect><h2>Description</h2>" PARAGRAPH PARAGRAPH PARAGRAPH "</div>",
                 "v", VLM_NODE_OUTSIDE, VLM_NODE_OUTSIDE);
    expect_flags(state,
                 "<body><div id=v class=sect><h3>Name</h3><p>crawl - read records of the web</div>"
                 "<div class=sect><h2>Description</h2>" PARAGRAPH PARAGRAPH PARAGRAPH "</div>",
                 "v", VLM_NODE_OUTSIDE, VLM_NODE_OUTSIDE);
    /* An id made of the heading says nothing, but for one beside an article. */
    static const char menu[] = "<body><section><h2>Windows</h2>" PARAGRAPH PARAGRAPH PARAGRAPH
                               "</section><section id=the-file-menu><h2>The file menu</h2><p>It "
                               "has entries for opening a file.</section>";
    expect_flags(state, menu, "the-file-menu", VLM_NODE_OUTSIDE, 0);
    expect_flags(state, menu, "the-file-menu", VLM_NODE_CHROME, 0);
    expect_flags(state, "<body>" PARAGRAPH "<h2 id=footer>Footer</h2>" PARAGRAPH, "footer",
                 VLM_NODE_CHROME | VLM_NODE_OUTSIDE, 0);
    expect_flags(state, "<body>" PARAGRAPH "<h2 id=v class=footer>Footer</h2>" PARAGRAPH, "v",
                 VLM_NODE_CHROME, VLM_NODE_CHROME);
    static const char popular[] = "<body><article><h2>Windows</h2>" PARAGRAPH PARAGRAPH PARAGRAPH
                                  "</article><div id=popular><h2>Popular</h2><p>It has entries "
                                  "for opening a file.</div>";
    expect_flags(state, popular, "popular", VLM_NODE_OUTSIDE, VLM_NODE_OUTSIDE);
    /* Highlighted code is no comment of a reader. */
    expect_flags(state,
                 "<body><article>" PARAGRAPH PARAGRAPH
                 "<pre><code>x = 1 <span id=v class=hljs-comment># one</span></code></pre>",
                 "v", VLM_NODE_OUTSIDE, 0);
    expect_flags(state, "<body><article>" PARAGRAPH PARAGRAPH "<div id=v class=comment>Nice.</div>",
                 "v", VLM_NODE_OUTSIDE, VLM_NODE_OUTSIDE);
}

static void main_rendering(void **state)
{
    expect_main(state,
                "<body><nav>n</nav><div><figure><img src=1.png></figure><div>"
                "<p>The first paragraph of the text, which is not short.</p><img src=2.png>"
                "<p>The second paragraph of the text, which is not short.</p></div></div>"
                "<div><img src=3.png>Other things</div><footer>f</footer>",
                "<BOS><image>The first paragraph of the text, which is not short.<EOC>"
                "<image>The second paragraph of the text, which is not short.<EOC>");
}

/* Captions stay with their images, and say nothing without them. */
static void captions_and_main(void **state)
{
    static const char html[] =
        "<body><div>" PARAGRAPH "<div class=wp-caption><img src=1.png><p class=wp-caption-text>A "
        "cat</p></div><figure><img src=2.png><figcaption>A dog</figcaption></figure></div>";
    struct page_fixture *fixture = *state;
    const struct vlm_document *document = parse_page(fixture, html, NULL);
    for (unsigned flags = 0; flags <= VLM_RENDER_MAIN; flags++) {
        const bool whole = !(flags & VLM_RENDER_MAIN);
        vlm_buffer_reset(&fixture->out);
        vlm_render(&fixture->out, document, VLM_RENDER_M3W, flags);
        vlm_buffer_byte(&fixture->out, 0);
        const char *text = (const char *)fixture->out.data;
        assert_non_null(strstr(text, "<EOC><image>A cat<EOC><image>A dog<EOC>"));
        vlm_buffer_reset(&fixture->out);
        vlm_render(&fixture->out, document, VLM_RENDER_TEXT, flags);
        vlm_buffer_byte(&fixture->out, 0);
        text = (const char *)fixture->out.data;
        assert_int_equal(strstr(text, "A cat") != NULL, whole);
        assert_int_equal(strstr(text, "A dog") != NULL, whole);
        assert_non_null(strstr(text, "weighs something on the page."));
    }
}

/* Running the passes again changes nothing: they forget their own marks first. */
static void passes_are_idempotent(void **state)
{
    struct page_fixture *fixture = *state;
    struct vlm_document *document =
        parse_page(fixture,
                   "<body><div><div id=v>" PARAGRAPH "<p class=caption>c</p></div></div>"
                   "<footer>f</footer><img data-src=1.jpg><noscript><img "
                   "src=1.jpg>x</noscript><video>y</video>",
                   NULL);
    size_t n = document->n_events;
    uint8_t *flags = malloc(n);
    assert_non_null(flags);
    unsigned all = 0;
    for (size_t i = 0; i < n; i++) {
        flags[i] = document->events[i].flags;
        all |= flags[i];
    }
    assert_int_equal(all, VLM_NODE_HIDDEN | VLM_NODE_CHROME | VLM_NODE_SMALL | VLM_NODE_UNWRAP |
                              VLM_NODE_DUPLICATE | VLM_NODE_OUTSIDE | VLM_NODE_CAPTION);
    struct vlm_arena scratch;
    vlm_arena_init(&scratch, 1 << 20);
    assert_int_equal(vlm_passes_run(document, &scratch, &fixture->err), VLM_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(flags[i], document->events[i].flags);
    vlm_arena_release(&scratch);
    free(flags);
}

static void memory_and_balance(void **state)
{
    struct page_fixture *fixture = *state;
    struct vlm_document *document = parse_page(fixture, "<body><p>x</p>", NULL);
    struct vlm_arena scratch;
    vlm_arena_init(&scratch, 64);
    assert_int_equal(vlm_passes_run(document, &scratch, &fixture->err), VLM_ELIMIT);
    vlm_arena_release(&scratch);
    vlm_arena_init(&scratch, 1 << 20);
    document->n_events--;
    assert_int_equal(vlm_passes_run(document, &scratch, &fixture->err), VLM_EFORMAT);
    vlm_arena_release(&scratch);
}

static void measures(void **state)
{
    struct page_fixture *fixture = *state;
    struct vlm_document *document =
        parse_page(fixture, "<body><p> a <b> b\xc3\xa9</b>  c </p><p><a>de</a></p>", NULL);
    struct vlm_arena scratch;
    struct vlm_tree tree;
    vlm_arena_init(&scratch, 1 << 20);
    assert_int_equal(vlm_tree_build(&tree, document, &scratch, &fixture->err), VLM_OK);
    vlm_tree_measure(&tree, 0);
    uint32_t body = 0;
    while (tree.nodes[body].name != VLM_ELEMENT_body)
        body++;
    assert_int_equal(tree.nodes[body].characters, 8); /* "a bé c" and "de" */
    assert_int_equal(tree.nodes[body].link_characters, 2);
    assert_int_equal(tree.nodes[body].links, 1);
    assert_int_equal(tree.nodes[body + 1].characters, 6);
    assert_int_equal(tree.nodes[body + 1].end, body + 3);
    vlm_arena_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hidden_elements),
        cmocka_unit_test(noscript_duplicates),
        cmocka_unit_test(chrome_by_name),
        cmocka_unit_test(chrome_guards),
        cmocka_unit_test(small_and_inline),
        cmocka_unit_test(folding),
        cmocka_unit_test(sections_of_one_document),
        cmocka_unit_test(main_content),
        cmocka_unit_test(main_rendering),
        cmocka_unit_test(captions_and_main),
        cmocka_unit_test(passes_are_idempotent),
        cmocka_unit_test(memory_and_balance),
        cmocka_unit_test(measures),
    };
    return cmocka_run_group_tests(tests, page_setup, page_teardown);
}
