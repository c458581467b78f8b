/* test_sequence.c - documents and strings as ids, and ids as strings: what stands where, that a
 * page cannot forge anything, and that the two ways to ids agree. */
#include "base/vlm.h"

#include "tests/render_fixture.h"
#include "tests/sequence_fixture.h"
#include "tests/shared_pages_fixture.h"

#include <zlib.h>

enum { CODES = 1024, IMAGES_MAX = 1024 };

struct fixture {
    struct page_fixture *pages;
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    struct vlm_sequencer *sequencer;
    struct vlm_sequence sequence, again;
    struct vlm_buffer text;
    uint16_t codes[IMAGES_MAX][VLM_IMAGE_CODES];
    struct vlm_err err;
};

static int setup(void **state)
{
    struct fixture *it = calloc(1, sizeof(*it));
    void *pages = NULL;
    if (!it || page_setup(&pages))
        return -1;
    const struct vlm_vocabulary_options options = { .n_codes = CODES };
    it->pages = pages;
    it->tokenizer = fixture_tokenizer(true);
    *state = it;
    for (size_t i = 0; i < IMAGES_MAX; i++)
        for (size_t k = 0; k < VLM_IMAGE_CODES; k++)
            it->codes[i][k] = (uint16_t)((i * 31 + k * 7) % CODES);
    return !it->tokenizer ||
           vlm_vocabulary_init(&it->vocabulary, it->tokenizer, &options, &it->err) ||
           vlm_sequencer_new(&it->sequencer, &it->vocabulary, &it->err);
}

static int teardown(void **state)
{
    struct fixture *it = *state;
    void *pages = it->pages;
    vlm_sequence_release(&it->sequence);
    vlm_sequence_release(&it->again);
    vlm_buffer_release(&it->text);
    vlm_sequencer_free(it->sequencer);
    vlm_text_tokenizer_close(it->tokenizer);
    free(it);
    return page_teardown(&pages);
}

/* ---- helpers ---- */

static struct vlm_document *parse(struct fixture *it, const char *html)
{
    struct vlm_document *document = parse_page(it->pages, html, NULL);
    for (size_t i = 0; i < document->n_images; i++)
        document->images[i].codes = it->codes[i];
    return document;
}

static int render(struct fixture *it, const struct vlm_document *document, enum vlm_render form)
{
    return vlm_sequence_render(it->sequencer, &it->sequence, document, form, 0, &it->err);
}

/* What the ids say, but codes as "#" for a run of 256 and "#n" for one of n. */
static const char *spelled(struct fixture *it, const struct vlm_sequence *sequence)
{
    size_t codes = 0;
    vlm_buffer_reset(&it->text);
    for (size_t i = 0; i <= sequence->n; i++) {
        if (i < sequence->n && vlm_vocabulary_is_code(&it->vocabulary, sequence->ids[i])) {
            codes++;
            continue;
        }
        if (codes == VLM_IMAGE_CODES)
            vlm_buffer_byte(&it->text, '#');
        else if (codes)
            vlm_buffer_printf(&it->text, "#%zu", codes);
        codes = 0;
        if (i < sequence->n)
            assert_true(vlm_vocabulary_token(&it->text, &it->vocabulary, sequence->ids[i]));
    }
    vlm_buffer_byte(&it->text, 0);
    assert_false(it->text.failed);
    return (const char *)it->text.data;
}

static bool is_control(const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    bool control = vlm_vocabulary_mask_number(vocabulary, id) >= 0;
    for (size_t i = 0; i < VLM_CONTROLS; i++)
        control |= vocabulary->control[i] == id;
    return control;
}

/* What holds for every sequence: members agree with each other and with the text that they came
 * from. */
static void check(const struct fixture *it, const struct vlm_sequence *sequence, size_t text_size)
{
    const struct vlm_vocabulary *vocabulary = &it->vocabulary;
    size_t codes = 0, listed = 0, images = 0, listed_images = 0;
    uint32_t last = 0;
    for (size_t i = 0; i < sequence->n; i++) {
        const uint32_t id = sequence->ids[i];
        const bool code = vlm_vocabulary_is_code(vocabulary, id);
        assert_true(id < vocabulary->size);
        assert_true(sequence->weights[i] == 1);
        assert_int_equal(sequence->modality[i] == VLM_MODALITY_IMAGE, code);
        if (is_control(vocabulary, id))
            assert_int_equal(sequence->modality[i], VLM_MODALITY_MARKUP);
        codes += code;
        images += id == vocabulary->control[VLM_CONTROL_IMAGE];
        if (sequence->start[i] == VLM_NOWHERE)
            continue;
        assert_true(sequence->start[i] >= last && sequence->start[i] < text_size);
        last = sequence->start[i];
    }
    for (size_t i = 0; i < sequence->n_images; i++) {
        const struct vlm_sequence_image *image = &sequence->images[i];
        assert_true(image->tag <= image->position);
        assert_true(image->position + image->n_tokens <= sequence->n);
        if (i)
            assert_true(image->position >=
                        sequence->images[i - 1].position + sequence->images[i - 1].n_tokens);
        const bool is_code = vlm_vocabulary_is_code(vocabulary, sequence->ids[image->position]);
        listed += is_code ? image->n_tokens : 0;
        listed_images += !is_code;
    }
    assert_int_equal(listed, codes);
    assert_int_equal(listed_images, images);
}

static void expect(void **state, const char *html, enum vlm_render form, const char *expected)
{
    struct fixture *it = *state;
    const struct vlm_document *document = parse(it, html);
    assert_int_equal(render(it, document, form), VLM_OK);
    struct vlm_bytes rendering = vlm_sequencer_rendering(it->sequencer);
    check(it, &it->sequence, vlm_bytes_left(&rendering));
    assert_string_equal(spelled(it, &it->sequence), expected);
}

/* ---- the way from documents ---- */

static void forms(void **state)
{
    struct fixture *it = *state;
    static const char page[] = "<title>T</title><p>Cute <b>pics</b>!<p><img src=1.jpg alt=A>My "
                               "puppy<p><img src=2.jpg> My cat";
    expect(state, page, VLM_RENDER_CM3,
           "<title>T</title><p>Cute <b>pics</b>!</p><p><img alt=\"A\" src=\"#\">My puppy</p>"
           "<p><img src=\"#\"> My cat</p>");
    assert_int_equal(it->sequence.n_images, 2);
    assert_int_equal(it->sequence.images[1].image, 1);
    assert_int_equal(it->sequence.images[1].n_tokens, 256);
    expect(state, page, VLM_RENDER_M3W,
           "<s>Cute pics!<EOC><image>My puppy<EOC><image> My cat<EOC></s>");
    assert_int_equal(it->sequence.n_images, 2);
    assert_int_equal(it->sequence.images[1].image, 1);
    assert_int_equal(it->sequence.images[1].n_tokens, 1);
    assert_int_equal(it->sequence.start[it->sequence.n - 1], VLM_NOWHERE);
    expect(state, page, VLM_RENDER_PAIR, "<s><image>A<EOC></s>");
    expect(state, page, VLM_RENDER_TEXT, "Cute pics!\n\nMy puppy\n\nMy cat");
    expect(state, "<p>x<img src=1.png alt=one><img src=2.png><img src=3.png alt=three>",
           VLM_RENDER_PAIR, "<s><image>one<EOC></s><s><image>three<EOC></s>");
    assert_int_equal(it->sequence.images[1].image, 2);
    expect(state, "<s>struck</s> <em>x", VLM_RENDER_CM3, "<s>struck</s> <em>x</em>");
    for (enum vlm_render form = VLM_RENDER_CM3; form <= VLM_RENDER_TEXT; form++)
        expect(state, "<title></title><script>x</script>", form, "");
}

/* Segments are tokenised by themselves: a merge never joins a tag to what stands beside it. */
static void borders(void **state)
{
    struct fixture *it = *state;
    const uint32_t quote = FIXTURE_MERGES, close_open = FIXTURE_MERGES + 1;
    expect(state, "<p>the<img src=1.png alt=the>", VLM_RENDER_CM3,
           "<p>the<img alt=\"the\" src=\"#\"></p>");
    const struct vlm_sequence_image *image = &it->sequence.images[0];
    assert_int_equal(it->sequence.ids[3], FIXTURE_MERGES + 4); /* the, behind <p> */
    assert_int_equal(it->sequence.ids[4], FIXTURE_BYTES + '<');
    assert_int_equal(image->tag, 4);
    assert_int_equal(it->sequence.ids[image->position + 256], quote); /* "> is one token */
    for (size_t i = 0; i < it->sequence.n; i++)
        assert_int_not_equal(it->sequence.ids[i], close_open);
    assert_int_equal(it->sequence.modality[2], VLM_MODALITY_MARKUP);
    assert_int_equal(it->sequence.modality[3], VLM_MODALITY_TEXT);
    assert_int_equal(it->sequence.modality[4], VLM_MODALITY_MARKUP);
    for (size_t i = 0; i < 256; i++) {
        assert_int_equal(it->sequence.ids[image->position + i],
                         it->vocabulary.first_code + it->codes[0][i]);
        assert_int_equal(it->sequence.start[image->position + i],
                         it->sequence.start[image->position]);
    }
    assert_memory_equal(vlm_sequencer_rendering(it->sequencer).at +
                            it->sequence.start[image->position],
                        "<image:0>", 9);
}

static void images_that_cannot_stand(void **state)
{
    struct fixture *it = *state;
    struct vlm_document *document = parse(it, "<p>a<img src=1.png><img src=2.png>b");
    document->images[1].codes = NULL;
    for (unsigned status = 0; status <= 12; status += 12) { /* not usable at last */
        document->images[1].status = (uint8_t)status;
        assert_int_equal(render(it, document, VLM_RENDER_HTLM), VLM_OK);
        assert_int_equal(it->sequence.n_images, 1);
        assert_int_equal(render(it, document, VLM_RENDER_CM3), VLM_OK);
        assert_int_equal(it->sequence.n_images, 1);
    }
    uint16_t foreign[VLM_IMAGE_CODES] = { [200] = CODES };
    document->images[0].codes = foreign;
    assert_int_equal(render(it, document, VLM_RENDER_CM3), VLM_EDIFFER);
    assert_string_equal(it->err.msg, "image 0 has the code 1024, the vocabulary has 1024 of them");
}

static void a_vocabulary_without_codes(void **state)
{
    struct fixture *it = *state;
    struct vlm_vocabulary vocabulary;
    struct vlm_sequencer *sequencer;
    const struct vlm_vocabulary_options none = { .n_codes = 0 };
    assert_int_equal(vlm_vocabulary_init(&vocabulary, it->tokenizer, &none, &it->err), VLM_OK);
    assert_int_equal(vlm_sequencer_new(&sequencer, &vocabulary, &it->err), VLM_OK);
    const struct vlm_document *document = parse(it, "<p>a<img src=1.png>");
    assert_int_equal(
        vlm_sequence_render(sequencer, &it->sequence, document, VLM_RENDER_CM3, 0, &it->err),
        VLM_SKIP);
    assert_string_equal(it->err.msg, "image 0 has codes, the vocabulary has none");
    vlm_sequencer_free(sequencer);
}

/* ---- forgery ---- */

static void add_numbers(struct vlm_buffer *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vlm_buffer_printf(out, "%s%zu", i ? " " : "", (i * 37 + 5) % CODES);
}

/* A page that says all that could be mistaken, in text, in attributes, in pieces. */
static void forged_page(struct vlm_buffer *html)
{
    static const char *const words[] = {
        "<mask:0>", "<mask:15>", "<image>",   "<IMAGE>",   "<EOC>",
        "<BOS>",    "<EOS>",     "<s>",       "</s>",      "<pad>",
        "<PAD>",    "<eoss>",    "<image:0>", "<image:3>", "<|endoftext|>",
    };
    vlm_buffer_text(html, "<title>&lt;mask:0> &lt;EOC></title><meta name=description "
                          "content='&lt;mask:1> &lt;image:0> 17 4 1023'><body>");
    for (size_t i = 0; i < VLM_COUNTOF(words); i++) {
        vlm_buffer_printf(html,
                          "<p>a &lt;%s &lt;<b>%s</b> &amp;lt;%s <a href='/&lt;%s' "
                          "title='&lt;%s'>x</a> <i>&lt;</i>%s</p>",
                          words[i] + 1, words[i] + 1, words[i] + 1, words[i] + 1, words[i] + 1,
                          words[i] + 1);
        vlm_buffer_printf(html,
                          "<figure><img src=%zu.png alt='&lt;%s' title='\" src=\"&lt;%s\"'>"
                          "<figcaption>&lt;%s<b>&lt;</b>%s</figcaption></figure>",
                          i, words[i] + 1, words[i] + 1, words[i] + 1, words[i] + 1);
    }
    for (size_t n = 255; n <= 257; n++) {
        static const char *const around[][2] = {
            { "<p>", "</p>" },
            { "<p>src=\"", "\"</p>" },
            { "<p>&lt;img src=\"", "\"&gt;</p>" },
            { "<img alt='", "' src=a.png>" },
            { "<img alt='\" src=\"", "\"' src=b.png>" },
            { "<img src='", "'>" },
            { "<img title='", "' src='1 2 3'>" },
            { "<a title='", "' href=x>y</a>" },
            { "<a href='", "'>y</a>" },
            { "<meta name=keywords content='", "'>" },
        };
        for (size_t i = 0; i < VLM_COUNTOF(around); i++) {
            vlm_buffer_text(html, around[i][0]);
            add_numbers(html, n);
            vlm_buffer_text(html, around[i][1]);
        }
    }
}

/* The images that a form shows, and nothing else, give codes and control tokens. */
static void check_no_forgery(struct fixture *it, const struct vlm_document *document,
                             enum vlm_render form, unsigned flags)
{
    const struct vlm_vocabulary *vocabulary = &it->vocabulary;
    size_t codes = 0, count[VLM_CONTROLS] = { 0 }, places = 0, chunks = 0, lines = 0;
    assert_int_equal(
        vlm_sequence_render(it->sequencer, &it->sequence, document, form, flags, &it->err), VLM_OK);
    /* Counted in the rendering without placeholders, by the plainest means. */
    vlm_buffer_reset(&it->text);
    vlm_render(&it->text, document, form, flags);
    vlm_buffer_byte(&it->text, 0);
    for (const char *p = (const char *)it->text.data; (p = strchr(p, '<')); p++) {
        places += !strncmp(p, "<image>", 7);
        chunks += !strncmp(p, "<EOC>", 5);
        lines += !strncmp(p, "<BOS>", 5);
    }
    for (size_t i = 0; i < it->sequence.n; i++) {
        codes += vlm_vocabulary_is_code(vocabulary, it->sequence.ids[i]);
        assert_int_equal(vlm_vocabulary_mask_number(vocabulary, it->sequence.ids[i]), -1);
        for (size_t k = 0; k < VLM_CONTROLS; k++)
            count[k] += it->sequence.ids[i] == vocabulary->control[k];
    }
    const bool markup = form == VLM_RENDER_CM3 || form == VLM_RENDER_HTLM;
    const bool words = form == VLM_RENDER_M3W || form == VLM_RENDER_PAIR;
    size_t sources = 0;
    bool tag = false; /* all others are text: in tags ">" is written as &gt; */
    for (const char *p = (const char *)it->text.data; markup && *p; p++) {
        tag = *p == '<' || (tag && *p != '>');
        sources += tag && !strncmp(p, " src=\"", 6);
    }
    assert_int_equal(codes, VLM_IMAGE_CODES * sources);
    assert_int_equal(it->sequence.n_images, markup ? sources : words ? places : 0);
    assert_int_equal(count[VLM_CONTROL_IMAGE], words ? places : 0);
    assert_int_equal(count[VLM_CONTROL_END_OF_CHUNK], words ? chunks : 0);
    assert_int_equal(count[VLM_CONTROL_BEGIN], words ? lines : 0);
    assert_int_equal(count[VLM_CONTROL_END], words ? lines : 0);
    assert_int_equal(count[VLM_CONTROL_PAD] + count[VLM_CONTROL_END_OF_SPAN], 0);
}

/* Ids to string to ids: the string is the rendering with numbers, and gives the same ids. */
static void check_round_trip(struct fixture *it, const struct vlm_document *document,
                             enum vlm_render form, unsigned flags)
{
    struct vlm_buffer string = { 0 };
    const bool markup = form == VLM_RENDER_CM3 || form == VLM_RENDER_HTLM;
    const bool words = form == VLM_RENDER_M3W || form == VLM_RENDER_PAIR;
    assert_int_equal(
        vlm_sequence_render(it->sequencer, &it->sequence, document, form, flags, &it->err), VLM_OK);
    struct vlm_bytes rendering = vlm_sequencer_rendering(it->sequencer);
    check(it, &it->sequence, vlm_bytes_left(&rendering));
    assert_int_equal(
        vlm_sequence_text(&string, &it->vocabulary, it->sequence.ids, it->sequence.n, &it->err),
        VLM_OK);
    vlm_buffer_reset(&it->text);
    vlm_render(&it->text, document, form, flags);
    if (words && it->text.size) { /* <EOS> behind each line, and no line breaks */
        struct vlm_buffer lines = { 0 };
        for (size_t i = 0; i < it->text.size; i++)
            if (it->text.data[i] == '\n' && form == VLM_RENDER_PAIR)
                vlm_buffer_text(&lines, "<EOS>");
            else
                vlm_buffer_byte(&lines, it->text.data[i]);
        vlm_buffer_text(&lines, "<EOS>");
        vlm_buffer_release(&it->text);
        it->text = lines;
    }
    assert_int_equal(string.size, it->text.size);
    if (string.size)
        assert_memory_equal(string.data, it->text.data, string.size);
    if (markup || words) {
        assert_int_equal(vlm_sequence_parse(it->sequencer, &it->again, (const char *)string.data,
                                            string.size, markup ? VLM_PARSE_MARKUP : 0, &it->err),
                         VLM_OK);
        check(it, &it->again, string.size);
        assert_int_equal(it->again.n, it->sequence.n);
        if (it->again.n) {
            assert_memory_equal(it->again.ids, it->sequence.ids, 4 * it->again.n);
            assert_memory_equal(it->again.modality, it->sequence.modality, it->again.n);
        }
        assert_int_equal(it->again.n_images, it->sequence.n_images);
        for (size_t i = 0; i < it->again.n_images; i++) {
            assert_int_equal(it->again.images[i].position, it->sequence.images[i].position);
            assert_int_equal(it->again.images[i].tag, it->sequence.images[i].tag);
            assert_int_equal(it->again.images[i].image, VLM_NOWHERE);
        }
    }
    vlm_buffer_release(&string);
}

static void check_page(struct fixture *it, const struct vlm_document *document)
{
    for (enum vlm_render form = VLM_RENDER_CM3; form <= VLM_RENDER_TEXT; form++)
        for (unsigned flags = 0; flags <= VLM_RENDER_MAIN; flags++) {
            check_no_forgery(it, document, form, flags);
            check_round_trip(it, document, form, flags);
        }
}

static void forgery(void **state)
{
    struct fixture *it = *state;
    struct vlm_buffer html = { 0 };
    forged_page(&html);
    vlm_buffer_byte(&html, 0);
    const struct vlm_document *document = parse(it, (const char *)html.data);
    assert_true(document->n_images > 15);
    check_page(it, document);
    vlm_buffer_release(&html);
}

/* A page full of numbers, also of those that would be codes. */
static void pages_of_digits(void **state)
{
    struct fixture *it = *state;
    struct vlm_buffer html = { 0 };
    for (size_t i = 0; i < 40; i++) {
        vlm_buffer_text(&html, "<table><tr><td>");
        add_numbers(&html, 256);
        vlm_buffer_text(&html, "</td></tr></table><pre>");
        add_numbers(&html, 256);
        vlm_buffer_text(&html, "</pre>");
    }
    vlm_buffer_byte(&html, 0);
    check_page(it, parse(it, (const char *)html.data));
    for (size_t i = 0; i < it->sequence.n; i++)
        assert_false(vlm_vocabulary_is_code(&it->vocabulary, it->sequence.ids[i]));
    vlm_buffer_release(&html);
}

/* The sequencer remembers tags: what it saw before must not matter. */
static void memory_of_tags(void **state)
{
    struct fixture *it = *state;
    struct vlm_sequencer *fresh;
    for (unsigned i = 0; i < 3000; i++) {
        char html[256];
        snprintf(html, sizeof(html), "<div class=c%u id=%*s><p class='x%u'>%0*d</p></div>",
                 i % 1700, (int)(i % 40) + 1, "i", i, 130, 0);
        const struct vlm_document *document = parse(it, html);
        assert_int_equal(render(it, document, VLM_RENDER_HTLM), VLM_OK);
        if (i % 10)
            continue;
        assert_int_equal(vlm_sequencer_new(&fresh, &it->vocabulary, &it->err), VLM_OK);
        assert_int_equal(
            vlm_sequence_render(fresh, &it->again, document, VLM_RENDER_HTLM, 0, &it->err), VLM_OK);
        assert_int_equal(it->again.n, it->sequence.n);
        assert_true(it->again.n > 0);
        assert_memory_equal(it->again.ids, it->sequence.ids, 4 * it->again.n);
        assert_memory_equal(it->again.start, it->sequence.start, 4 * it->again.n);
        vlm_sequencer_free(fresh);
    }
}

/* ---- strings of people ---- */

static void expect_prompt(void **state, const char *prompt, const char *expected)
{
    struct fixture *it = *state;
    assert_int_equal(vlm_sequence_parse(it->sequencer, &it->sequence, prompt, strlen(prompt),
                                        VLM_PARSE_MARKUP | VLM_PARSE_PROMPT, &it->err),
                     VLM_OK);
    check(it, &it->sequence, strlen(prompt));
    assert_string_equal(spelled(it, &it->sequence), expected);
}

/* The prompts of CM3, section 4. */
static void prompts(void **state)
{
    struct fixture *it = *state;
    struct vlm_buffer prompt = { 0 };
    expect_prompt(state, "<img", "<img");
    expect_prompt(state, "<img src=\"", "<img src=\"");
    expect_prompt(state, "<img src=\"12 44 <mask:0> 9\"><mask:0>",
                  "<img src=\"#2<mask:0>#1\"><mask:0>");
    assert_int_equal(it->sequence.n_images, 2); /* a run each */
    assert_int_equal(it->sequence.images[0].n_tokens, 2);
    assert_int_equal(it->sequence.images[1].tag, 0);
    expect_prompt(state, "<img alt=\"Photo: a car\" src=\"1<mask:0>2\"><mask:0>",
                  "<img alt=\"Photo: a car\" src=\"#1<mask:0>#1\"><mask:0>");
    expect_prompt(state, "<img alt=\"a car", "<img alt=\"a car");
    expect_prompt(state, "<img alt=\"a car\" src=\"", "<img alt=\"a car\" src=\"");
    expect_prompt(state, "... ruled from <a title=\"<mask:0>\">Memphis</a>...<mask:0>",
                  "... ruled from <a title=\"<mask:0>\">Memphis</a>...<mask:0>");
    expect_prompt(state, "<title><mask:0></title><p>x</p><mask:0>",
                  "<title><mask:0></title><p>x</p><mask:0>");
    vlm_buffer_text(&prompt, "<img alt=\"Photo: A photo taken of<mask:0>\" src=\"");
    add_numbers(&prompt, 256);
    vlm_buffer_text(&prompt, "\"><mask:0>");
    vlm_buffer_byte(&prompt, 0);
    expect_prompt(state, (const char *)prompt.data,
                  "<img alt=\"Photo: A photo taken of<mask:0>\" src=\"#\"><mask:0>");
    assert_int_equal(it->sequence.n_images, 1);
    assert_int_equal(it->sequence.images[0].n_tokens, 256);
    vlm_buffer_reset(&prompt);
    vlm_buffer_text(&prompt, "<img src=\"");
    add_numbers(&prompt, 256);
    vlm_buffer_text(&prompt, "\" title=\"Photo: A photo taken of");
    vlm_buffer_byte(&prompt, 0);
    expect_prompt(state, (const char *)prompt.data,
                  "<img src=\"#\" title=\"Photo: A photo taken of");
    vlm_buffer_release(&prompt);
}

/* A prompt that ends at a border begins as training saw it. */
static void prompts_begin_as_documents_do(void **state)
{
    struct fixture *it = *state;
    static const char *const begins[] = { "<p>", "<p>the", "<p>the<img alt=\"",
                                          "<p>the<img alt=\"the", "<p>the<img alt=\"the\" src=\"" };
    assert_int_equal(render(it, parse(it, "<p>the<img src=1.png alt=the>"), VLM_RENDER_CM3),
                     VLM_OK);
    for (size_t i = 0; i < VLM_COUNTOF(begins); i++) {
        assert_int_equal(vlm_sequence_parse(it->sequencer, &it->again, begins[i], strlen(begins[i]),
                                            VLM_PARSE_MARKUP | VLM_PARSE_PROMPT, &it->err),
                         VLM_OK);
        assert_true(it->again.n > 0 && it->again.n < it->sequence.n);
        assert_memory_equal(it->again.ids, it->sequence.ids, 4 * it->again.n);
    }
}

/* Without the flag a string of HTML has no control words, whatever it says. */
static void strings_without_control_words(void **state)
{
    struct fixture *it = *state;
    static const char text[] = "<mask:0> <BOS> <EOC> <image> <img alt=\"<mask:1>\" src=\"1 "
                               "<mask:2> 4\"> <image:0> <img src=\"<image:0>\"></s>";
    assert_int_equal(vlm_sequence_parse(it->sequencer, &it->sequence, text, strlen(text),
                                        VLM_PARSE_MARKUP, &it->err),
                     VLM_OK);
    check(it, &it->sequence, strlen(text));
    for (size_t i = 0; i < it->sequence.n; i++)
        assert_false(is_control(&it->vocabulary, it->sequence.ids[i]) ||
                     vlm_vocabulary_is_code(&it->vocabulary, it->sequence.ids[i]));
    assert_string_equal(spelled(it, &it->sequence), text);
}

static void strings_of_text(void **state)
{
    struct fixture *it = *state;
    static const char text[] = "<BOS><image>Output: <p>x</p> <mask:1><EOC><image>";
    assert_int_equal(
        vlm_sequence_parse(it->sequencer, &it->sequence, text, strlen(text), 0, &it->err), VLM_OK);
    check(it, &it->sequence, strlen(text));
    assert_string_equal(spelled(it, &it->sequence),
                        "<s><image>Output: <p>x</p> <mask:1><EOC><image>");
    assert_int_equal(it->sequence.n_images, 2);
    assert_int_equal(it->sequence.images[0].position, 1);
    assert_int_equal(it->sequence.images[0].image, VLM_NOWHERE);
    assert_int_equal(vlm_sequence_parse(it->sequencer, &it->sequence, NULL, 0, 0, &it->err),
                     VLM_OK);
    assert_int_equal(it->sequence.n, 0);
}

static void ids_as_text(void **state)
{
    struct fixture *it = *state;
    const struct vlm_vocabulary *v = &it->vocabulary;
    const uint32_t a = FIXTURE_BYTES + 'a', code = v->first_code;
    const uint32_t ids[] = { v->control[VLM_CONTROL_BEGIN],
                             a,
                             code + 7,
                             code + 8,
                             v->mask[3],
                             code + 9,
                             a,
                             v->mask[0],
                             v->mask[1],
                             a,
                             code + 1023,
                             v->control[VLM_CONTROL_END_OF_SPAN],
                             v->control[VLM_CONTROL_END] };
    struct vlm_buffer out = { 0 };
    assert_int_equal(vlm_sequence_text(&out, v, ids, VLM_COUNTOF(ids), &it->err), VLM_OK);
    vlm_buffer_byte(&out, 0);
    assert_string_equal((const char *)out.data,
                        "<BOS>a7 8 <mask:3> 9a<mask:0><mask:1>a1023<eoss><EOS>");
    const uint32_t unknown = v->size;
    assert_int_equal(vlm_sequence_text(&out, v, &unknown, 1, &it->err), VLM_EFORMAT);
    vlm_buffer_release(&out);
}

/* ---- the shared pages ---- */

static void check_file(void *context, const char *path)
{
    struct fixture *it = context;
    struct vlm_buffer page = { 0 };
    char block[65536];
    int n = 0;
    gzFile in = gzopen(path, "rb"); /* reads plain files too */
    while (in && (n = gzread(in, block, sizeof(block))) > 0)
        vlm_buffer_add(&page, block, (size_t)n);
    gzclose(in);
    struct vlm_document *document = parse_bytes(it->pages, page.data, page.size, "http://a.org/b");
    for (size_t i = 0; i < document->n_images; i++)
        document->images[i].codes = it->codes[i % IMAGES_MAX];
    check_page(it, document);
    vlm_buffer_release(&page);
}

static void real_pages(void **state)
{
    print_message("%zu pages\n", shared_pages_each(check_file, *state));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(borders),
        cmocka_unit_test(images_that_cannot_stand),
        cmocka_unit_test(a_vocabulary_without_codes),
        cmocka_unit_test(forgery),
        cmocka_unit_test(pages_of_digits),
        cmocka_unit_test(memory_of_tags),
        cmocka_unit_test(prompts),
        cmocka_unit_test(prompts_begin_as_documents_do),
        cmocka_unit_test(strings_without_control_words),
        cmocka_unit_test(strings_of_text),
        cmocka_unit_test(ids_as_text),
        cmocka_unit_test(real_pages),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
