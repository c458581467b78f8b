/* test_prompt.c - prompts of people: what {image} becomes, and which token begins them. */
#include "base/vlm.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "models/generate/prompt.h"
#include "tests/sequence_fixture.h"

enum { CODES = 300, IMAGES = 3 };

struct fixture {
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    struct vlm_sequencer *sequencer;
    struct vlm_recipe recipe;
    struct vlm_prompt prompt;
    struct vlm_buffer text;
    uint16_t codes[IMAGES * 256];
    struct vlm_err err;
};

static int setup(void **state)
{
    struct fixture *it = calloc(1, sizeof(*it));
    const struct vlm_vocabulary_options options = { .n_codes = CODES };
    *state = it;
    if (!it)
        return -1;
    for (size_t i = 0; i < VLM_COUNTOF(it->codes); i++)
        it->codes[i] = (uint16_t)(i % CODES);
    it->tokenizer = fixture_tokenizer(true);
    return !it->tokenizer ||
           vlm_vocabulary_init(&it->vocabulary, it->tokenizer, &options, &it->err) ||
           vlm_sequencer_new(&it->sequencer, &it->vocabulary, &it->err);
}

static int teardown(void **state)
{
    struct fixture *it = *state;
    vlm_prompt_release(&it->prompt);
    vlm_buffer_release(&it->text);
    vlm_sequencer_free(it->sequencer);
    vlm_text_tokenizer_close(it->tokenizer);
    free(it);
    return 0;
}

static int make(struct fixture *it, const char *recipe, const char *text, size_t images)
{
    assert_int_equal(vlm_recipe_open(&it->recipe, recipe, NULL, 0, &it->err), VLM_OK);
    vlm_prompt_release(&it->prompt);
    return vlm_prompt_make(&it->prompt, it->sequencer, &it->vocabulary, &it->recipe, text,
                           strlen(text), it->codes, images, &it->err);
}

/* The prompt as a string again. */
static void expect_prompt(struct fixture *it, const char *string)
{
    vlm_buffer_reset(&it->text);
    assert_int_equal(vlm_sequence_text(&it->text, &it->vocabulary, it->prompt.sequence.ids,
                                       it->prompt.sequence.n, &it->err),
                     VLM_OK);
    vlm_buffer_byte(&it->text, 0);
    assert_string_equal((char *)it->text.data, string);
}

static void expect(struct fixture *it, const char *recipe, const char *text, size_t images,
                   const char *string)
{
    if (make(it, recipe, text, images) != VLM_OK)
        fail_msg("%s: %s", text, it->err.msg);
    expect_prompt(it, string);
}

static void refuse(struct fixture *it, const char *recipe, const char *text, size_t images,
                   const char *sentence)
{
    assert_int_equal(make(it, recipe, text, images), VLM_EUSAGE);
    assert_string_equal(it->err.msg, sentence);
}

static void test_begin(void **state)
{
    struct fixture *it = *state;
    expect(it, "cm3", "<p>A <mask:0>.</p>", 0, "<EOS><p>A <mask:0>.</p>");
    expect(it, "cm3", "", 0, "<EOS>");
    expect(it, "lm", "The <s> tag", 0, "<EOS>The <BOS> tag");
    expect(it, "captioner", "{image}A", 1, "<BOS><image>A");
    assert_int_equal(it->prompt.n_images, 1);
    for (size_t i = 0; i < 256; i++)
        assert_int_equal(it->prompt.codes[i], i);
}

static void test_images(void **state)
{
    struct fixture *it = *state;
    assert_int_equal(make(it, "cm3", "<img src=\"{image}\"><img src=\"{image}\">", 2), VLM_OK);
    const struct vlm_sequence *ids = &it->prompt.sequence;
    assert_null(it->prompt.codes);
    assert_int_equal(ids->n_images, 2);
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < 256; k++)
            assert_int_equal(ids->ids[ids->images[i].position + k],
                             it->vocabulary.first_code + it->codes[i * 256 + k]);
}

static void test_parts(void **state)
{
    struct fixture *it = *state;
    expect(it, "cm3", "<img src=\"{image:0-2} <mask:0> {image:254-255}\">", 1,
           "<EOS><img src=\"0 1 2 <mask:0> 254 255\">");
    expect(it, "cm3", "<img src=\"{image:3-3}<mask:0>\"><img src=\"{image:3-4}<mask:1>\">", 2,
           "<EOS><img src=\"3 <mask:0>\"><img src=\"259 260 <mask:1>\">");
    expect(it, "cm3", "{image:2-1}{image:0-256}{image:0}{image:}{image {images}{image:0-1", 0,
           "<EOS>{image:2-1}{image:0-256}{image:0}{image:}{image {images}{image:0-1");
    static const struct {
        const char *text;
        size_t images;
    } counts[] = {
        { "", 0 },
        { "{image}", 1 },
        { "{image}{image}", 2 },
        { "{image:0-9}{image:10-20}{image:30-30}", 1 },
        { "{image:0-9}{image:9-20}", 2 },
        { "{image:0-9}{image}{image:10-12}", 3 },
        { "{{image}", 1 },
    };
    for (size_t i = 0; i < VLM_COUNTOF(counts); i++)
        assert_int_equal(vlm_prompt_images(counts[i].text, strlen(counts[i].text)),
                         counts[i].images);
}

static void test_refusals(void **state)
{
    struct fixture *it = *state;
    refuse(it, "cm3", "<img src=\"{image}\">", 0, "0 images for a prompt with 1 {image}");
    refuse(it, "cm3", "<p>", 2, "2 images for a prompt with 0 {image}");
    refuse(it, "lm", "{image}", 1, "an image for a model that takes none");
    refuse(it, "captioner", "{image:0-9}", 1, "'{image:0-9}': this model sees whole images only");
    it->codes[300] = CODES;
    refuse(it, "cm3", "<img src=\"{image}\"><img src=\"{image}\">", 2,
           "image 1 has the code 300, the model knows 0 to 299");
}

/* The page of a prompt without its words. */
static void expect_bare(struct fixture *it, const char *text, size_t images, const char *alt,
                        const char *string)
{
    struct vlm_prompt bare;
    if (make(it, "cm3", text, images) != VLM_OK ||
        vlm_prompt_bare(&bare, it->sequencer, &it->vocabulary, &it->recipe, &it->prompt, alt,
                        &it->err) != VLM_OK)
        fail_msg("%s: %s", text, it->err.msg);
    vlm_buffer_reset(&it->text);
    assert_int_equal(
        vlm_sequence_text(&it->text, &it->vocabulary, bare.sequence.ids, bare.sequence.n, &it->err),
        VLM_OK);
    vlm_buffer_byte(&it->text, 0);
    assert_string_equal((char *)it->text.data, string);
    vlm_prompt_release(&bare);
}

static void test_bare(void **state)
{
    struct fixture *it = *state;
    expect_bare(it, "<img alt=\"a cat\" src=\"", 0, NULL, "<EOS><img src=\"");
    expect_bare(
        it, "<html lang=\"en\"><body><p>Two <b>cats</b> &lt; a < b</p><img alt=\"a cat\" src=\"", 0,
        NULL, "<EOS><html lang=\"en\"><body><img src=\"");
    expect_bare(it,
                "<body><img alt=\"a\" src=\"{image:0-2}<mask:0>{image:254-255}\" "
                "title=\"b\">c<p>d</p></body>",
                1, NULL, "<EOS><body><img src=\"0 1 2 <mask:0> 254 255\"></body>");
    expect_bare(it, "<p>The <mask:0> of</p><img title=\"b\" alt=\"<mask:1> c\" src=\"<mask:2>\">x",
                0, NULL, "<EOS><mask:0><img alt=\"<mask:1>\" src=\"<mask:2>\">");
    expect_bare(it, "<p>a<img alt=\"b c", 0, NULL, "<EOS><img alt=\"");
    expect_bare(it, "<p>a <img", 0, NULL, "<EOS><img");
    expect_bare(it, "<p>a <p", 0, NULL, "<EOS><p");
    expect_bare(it, "a < b <img src=\"x.png\"> < c", 0, NULL, "<EOS><img src=\"x.png\">");
    expect_bare(it, "words", 0, NULL, "<EOS>");
    expect_bare(it, "<img alt=\"a\" src=\"<mask:0>\">", 0, "no \"b\"",
                "<EOS><img alt=\"no &quot;b&quot;\" src=\"<mask:0>\">");
    struct vlm_prompt bare;
    assert_int_equal(make(it, "lm", "a", 0), VLM_OK);
    assert_int_equal(vlm_prompt_bare(&bare, it->sequencer, &it->vocabulary, &it->recipe,
                                     &it->prompt, NULL, &it->err),
                     VLM_EUSAGE);
    vlm_prompt_release(&bare);
}

/* ---- parts ---- */

#define TEXT(s)                                                                                    \
    {                                                                                              \
        .kind = VLM_PROMPT_TEXT, .text = s, .n = sizeof(s) - 1                                     \
    }
#define MARKUP(s)                                                                                  \
    {                                                                                              \
        .kind = VLM_PROMPT_MARKUP, .text = s, .n = sizeof(s) - 1                                   \
    }
#define WORDS(s)                                                                                   \
    {                                                                                              \
        .kind = VLM_PROMPT_WORDS, .text = s, .n = sizeof(s) - 1                                    \
    }
#define MASK                                                                                       \
    {                                                                                              \
        .kind = VLM_PROMPT_MASK                                                                    \
    }

static int make_parts(struct fixture *it, const char *recipe, const struct vlm_prompt_part *parts,
                      size_t n, unsigned flags)
{
    assert_int_equal(vlm_recipe_open(&it->recipe, recipe, NULL, 0, &it->err), VLM_OK);
    vlm_prompt_release(&it->prompt);
    return vlm_prompt_from_parts(&it->prompt, it->sequencer, &it->vocabulary, &it->recipe, parts, n,
                                 flags, &it->err);
}

static void expect_parts(struct fixture *it, const char *recipe,
                         const struct vlm_prompt_part *parts, size_t n, unsigned flags,
                         const char *string)
{
    if (make_parts(it, recipe, parts, n, flags) != VLM_OK)
        fail_msg("%s: %s", string, it->err.msg);
    expect_prompt(it, string);
}

static void refuse_parts(struct fixture *it, const char *recipe,
                         const struct vlm_prompt_part *parts, size_t n, const char *sentence)
{
    assert_int_equal(make_parts(it, recipe, parts, n, 0), VLM_EUSAGE);
    assert_string_equal(it->err.msg, sentence);
}

/* How many control tokens but the first are in the prompt. */
static size_t count_controls(const struct fixture *it)
{
    size_t n = 0;
    for (size_t i = 1; i < it->prompt.sequence.n; i++)
        n += it->prompt.sequence.ids[i] < FIXTURE_CONTROLS;
    return n;
}

static void test_part_text(void **state)
{
    struct fixture *it = *state;
    const struct vlm_prompt_part page[] = { MARKUP("<p>The "), MASK, MARKUP(" of "),
                                            TEXT("<Fra&nce>"), MARKUP("</p>") };
    expect_parts(it, "cm3", page, 5, 0, "<EOS><p>The <mask:0> of &lt;Fra&amp;nce&gt;</p>");
    assert_int_equal(it->prompt.n_masks, 1);
    assert_int_equal(it->prompt.part[0], 1);
    assert_int_equal(it->prompt.mask_codes[0], VLM_MASK_ANY);
    assert_false(it->prompt.space[0]);
    expect_parts(it, "cm3", page, 5, VLM_PROMPT_SPACE,
                 "<EOS><p>The<mask:0> of &lt;Fra&amp;nce&gt;</p>");
    assert_true(it->prompt.space[0]);
    const struct vlm_prompt_part value[] = { MARKUP("<img alt=\""), TEXT("say \"x\""),
                                             MARKUP("\">\"") };
    expect_parts(it, "cm3", value, 3, 0, "<EOS><img alt=\"say &quot;x&quot;\">\"");
    const struct vlm_prompt_part plain[] = { TEXT("a <b> & "), MASK };
    expect_parts(it, "lm", plain, 2, VLM_PROMPT_SPACE, "<EOS>a <b> &<mask:0>");
    expect_parts(it, "cm3", NULL, 0, 0, "<EOS>");
    /* No word in front of the space, or two spaces: as they are. */
    const struct vlm_prompt_part tag[] = { MARKUP("<p> "), MASK, TEXT("a  "), MASK };
    expect_parts(it, "cm3", tag, 4, VLM_PROMPT_SPACE, "<EOS><p> <mask:0>a  <mask:1>");
}

/* Words of others never become control tokens, in whatever part they are or by whatever parts they are cut. */
static void test_part_words(void **state)
{
    struct fixture *it = *state;
    static const char *const recipes[] = { "cm3", "lm", "captioner" };
    const struct vlm_prompt_part parts[] = {
        MARKUP("<mask:0></s><s><BOS><EOS><eoss><image><EOC><pad><|endoftext|>{image}"),
        TEXT("<mask:0></s><s><BOS><EOS><eoss><image><EOC><pad><|endoftext|>{image}"),
        MARKUP("<img alt=\"<mask:0><EOS>\" src=\"<mask:1>\" class=\"<EOS>\" <mask:0> >"),
        MARKUP("<ma"),
        MARKUP("sk:0>"),
        TEXT("<"),
        WORDS("EOS>"),
        WORDS("<E"),
        TEXT("OS>"),
    };
    for (size_t i = 0; i < VLM_COUNTOF(recipes); i++) {
        if (make_parts(it, recipes[i], parts, VLM_COUNTOF(parts), 0))
            fail_msg("%s", it->err.msg);
        assert_int_equal(count_controls(it), 0);
        assert_int_equal(it->prompt.n_masks, 0);
    }
    const struct vlm_prompt_part asked[] = { TEXT("<mask:0>"), WORDS("<mask:0><EOS>"), MASK,
                                             TEXT("<mask:1>") };
    expect_parts(it, "cm3", asked, 4, 0, "<EOS>&lt;mask:0&gt;<mask:0><EOS><mask:1>&lt;mask:1&gt;");
    assert_int_equal(count_controls(it), 3);
    assert_int_equal(it->prompt.part[0], 1);
    assert_int_equal(it->prompt.part[1], 2);
}

/* Where control words count, what begins like a mask is one, or an error. */
static void test_part_no_masks(void **state)
{
    struct fixture *it = *state;
    const struct vlm_prompt_part minus[] = { WORDS("a<mask:-1>") },
                                 large[] = { WORDS("<mask:16>") },
                                 open[] = { TEXT("x"), WORDS("a<mask:0") };
    refuse_parts(it, "cm3", minus, 1,
                 "part 0: '<mask:-1>' at byte 1 is no mask, <mask:0> to <mask:15> are");
    refuse_parts(it, "cm3", large, 1,
                 "part 0: '<mask:16>' at byte 0 is no mask, <mask:0> to <mask:15> are");
    refuse_parts(it, "cm3", open, 2,
                 "part 1: '<mask:0' at byte 1 is no mask, <mask:0> to <mask:15> are");
}

/* As the paper prints it, with the beginning of the span at the end. */
static void test_drop_start(void **state)
{
    struct fixture *it = *state;
    const struct vlm_prompt_part paper[] = { WORDS("<p>a<mask:0>b</p><mask:0>") },
                                 alone[] = { WORDS("<p>a<mask:0>") },
                                 two[] = { WORDS("<p>a<mask:0>b<mask:1>") };
    assert_int_equal(make_parts(it, "cm3", paper, 1, 0), VLM_OK);
    const size_t n = it->prompt.sequence.n;
    assert_int_equal(it->prompt.n_masks, 2);
    vlm_prompt_drop_start(&it->prompt, &it->vocabulary);
    assert_int_equal(it->prompt.sequence.n, n - 1);
    assert_int_equal(it->prompt.n_masks, 1);
    vlm_prompt_drop_start(&it->prompt, &it->vocabulary);
    assert_int_equal(it->prompt.sequence.n, n - 1);
    assert_int_equal(make_parts(it, "cm3", alone, 1, 0), VLM_OK);
    vlm_prompt_drop_start(&it->prompt, &it->vocabulary);
    assert_int_equal(it->prompt.n_masks, 1);
    assert_int_equal(make_parts(it, "cm3", two, 1, 0), VLM_OK);
    vlm_prompt_drop_start(&it->prompt, &it->vocabulary);
    assert_int_equal(it->prompt.n_masks, 2);
}

/* A region costs one mask; its known cells are forced, and nothing else is. */
static void test_part_region(void **state)
{
    struct fixture *it = *state;
    uint8_t drawn[256] = { 0 };
    assert_true(vlm_prompt_rectangle(drawn, 3, 4, 6, 9));
    assert_false(vlm_prompt_rectangle(drawn, 3, 4, 3, 9));
    assert_false(vlm_prompt_rectangle(drawn, -1, 4, 3, 9));
    assert_false(vlm_prompt_rectangle(drawn, 0, 0, 17, 1));
    const struct vlm_prompt_part parts[] = {
        TEXT("a"),
        MASK,
        { .kind = VLM_PROMPT_IMAGE, .codes = it->codes, .drawn = drawn, .text = "x\"y", .n = 3 },
    };
    assert_int_equal(make_parts(it, "cm3", parts, 3, 0), VLM_OK);
    assert_int_equal(it->prompt.n_masks, 2);
    const size_t first = 3 * 16 + 4, end = 5 * 16 + 9;
    assert_int_equal(it->prompt.mask_codes[1], end - first);
    for (size_t i = first; i < end; i++)
        assert_int_equal(it->prompt.forced[256 + i - first],
                         drawn[i] ? VLM_CODE_UNKNOWN : it->codes[i]);
    for (size_t i = end - first; i < 256; i++)
        assert_int_equal(it->prompt.forced[256 + i], VLM_CODE_UNKNOWN);
    for (size_t i = 0; i < 256; i++)
        assert_int_equal(it->prompt.forced[i], VLM_CODE_UNKNOWN);
    size_t codes = 0, at = 0;
    for (size_t i = 0; i < it->prompt.sequence.n; i++) {
        const uint32_t id = it->prompt.sequence.ids[i];
        if (id == it->vocabulary.mask[1])
            at = end;
        if (!vlm_vocabulary_is_code(&it->vocabulary, id))
            continue;
        assert_int_equal(id - it->vocabulary.first_code, it->codes[at++]);
        codes++;
    }
    assert_int_equal(codes, 256 - (end - first));
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    vlm_prompt_options(&options, &it->prompt);
    assert_ptr_equal(options.forced, it->prompt.forced);
    assert_ptr_equal(options.mask_codes, it->prompt.mask_codes);
}

static void test_part_images(void **state)
{
    struct fixture *it = *state;
    uint8_t all[256], cells[256] = { 0 };
    memset(all, 1, sizeof(all));
    const struct vlm_prompt_part whole = { .kind = VLM_PROMPT_IMAGE };
    const struct vlm_prompt_part known = { .kind = VLM_PROMPT_IMAGE, .codes = it->codes };
    const struct vlm_prompt_part anew = { .kind = VLM_PROMPT_IMAGE,
                                          .codes = it->codes,
                                          .drawn = all };
    const struct vlm_prompt_part nothing = { .kind = VLM_PROMPT_IMAGE,
                                             .codes = it->codes,
                                             .drawn = cells };
    const struct vlm_prompt_part named = { .kind = VLM_PROMPT_IMAGE, .text = "a<b", .n = 3 };
    const struct vlm_prompt_part open = MARKUP("<img alt=\"a\" src=\""), close = MARKUP("\">"),
                                 text = MARKUP("b");
    expect_parts(it, "cm3", &whole, 1, 0, "<EOS><img src=\"<mask:0>\">");
    assert_int_equal(it->prompt.mask_codes[0], 256);
    expect_parts(it, "cm3", &anew, 1, 0, "<EOS><img src=\"<mask:0>\">");
    expect_parts(it, "cm3", &named, 1, 0, "<EOS><img alt=\"a&lt;b\" src=\"<mask:0>\">");
    const struct vlm_prompt_part in_tag[] = { open, whole, close };
    expect_parts(it, "cm3", in_tag, 3, 0, "<EOS><img alt=\"a\" src=\"<mask:0>\">");
    assert_int_equal(make_parts(it, "cm3", &known, 1, 0), VLM_OK);
    assert_int_equal(it->prompt.sequence.n_images, 1);
    assert_int_equal(it->prompt.sequence.images[0].n_tokens, 256);
    assert_int_equal(make_parts(it, "cm3", &nothing, 1, 0), VLM_OK);
    assert_int_equal(it->prompt.n_masks, 0);
    const struct vlm_prompt_part two[] = { open, whole, known };
    refuse_parts(it, "cm3", two, 3, "part 2: a second image in one src");
    const struct vlm_prompt_part behind[] = { open, known, text };
    refuse_parts(it, "cm3", behind, 3, "part 2: text behind an image, in its src");
    const struct vlm_prompt_part again[] = { open, named };
    refuse_parts(it, "cm3", again, 2, "part 1: an alt for an image whose tag is there");
    const struct vlm_prompt_part tag[] = { MARKUP("<p "), known };
    refuse_parts(it, "cm3", tag, 2, "part 1: an image inside a tag, outside of its src");
    const struct vlm_prompt_part codeless = { .kind = VLM_PROMPT_IMAGE, .drawn = cells };
    refuse_parts(it, "cm3", &codeless, 1, "part 0: cell 0 is known, but has no code");
    refuse_parts(it, "lm", &known, 1, "part 0: an image for a model that takes none");
    refuse_parts(it, "captioner", &whole, 1, "part 0: this model sees images, it draws none");
    const struct vlm_prompt_part bad = MARKUP("a\xff");
    refuse_parts(it, "cm3", &bad, 1, "part 0: byte 1 is not UTF-8");
    struct vlm_prompt_part masks[17];
    for (size_t i = 0; i < VLM_COUNTOF(masks); i++)
        masks[i] = (struct vlm_prompt_part)MASK;
    refuse_parts(it, "cm3", masks, 17, "part 16: more than 16 masks");
    const struct vlm_prompt_part seen[] = { known, TEXT("A") };
    expect_parts(it, "captioner", seen, 2, 0, "<BOS><image>A");
    assert_int_equal(it->prompt.n_images, 1);
    it->codes[255] = CODES;
    refuse_parts(it, "cm3", &known, 1, "part 0: code 255 is 300, the model knows 0 to 299");
}

static void test_close(void **state)
{
    struct fixture *it = *state;
    static const struct {
        const char *text, *closed;
    } cases[] = {
        { "<div><p>a<br>", "<EOS><div><p>a<br><mask:0></p></div>" },
        { "<img alt=\"", "<EOS><img alt=\"<mask:0>\">" },
        { "<a title=\"<b>", "<EOS><a title=\"<b><mask:0>\"></a>" },
        { "<h1>x</h1><p>y</p>", "<EOS><h1>x</h1><p>y</p><mask:0>" },
        { "</p><i>", "<EOS></p><i><mask:0></i>" },
        { "<ul><li>a</ul>b", "<EOS><ul><li>a</ul>b<mask:0>" },
        { "a < b <", "<EOS>a < b <<mask:0>" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        const struct vlm_prompt_part parts[] = {
            { .kind = VLM_PROMPT_MARKUP, .text = cases[i].text, .n = strlen(cases[i].text) }, MASK
        };
        expect_parts(it, "cm3", parts, 2, VLM_PROMPT_CLOSE, cases[i].closed);
        const char *as_it_is = cases[i].text;
        vlm_buffer_reset(&it->text);
        vlm_buffer_printf(&it->text, "<EOS>%s", as_it_is);
        vlm_buffer_byte(&it->text, 0);
        char *same = strdup((char *)it->text.data);
        expect_parts(it, "cm3", parts, 1, VLM_PROMPT_CLOSE, same); /* no mask */
        free(same);
    }
}

/* The same for a string: the token that is a space goes, all else stays. */
static void test_spaces(void **state)
{
    struct fixture *it = *state;
    expect(it, "cm3", "<p>a <mask:0> b<mask:1> c  <mask:2></p> <mask:3><img src=\"1 <mask:4> 2\">",
           0, "<EOS><p>a <mask:0> b<mask:1> c  <mask:2></p> <mask:3><img src=\"1 <mask:4> 2\">");
    const size_t n = it->prompt.sequence.n;
    assert_int_equal(it->prompt.n_masks, 5);
    assert_int_equal(vlm_prompt_take_spaces(&it->prompt, &it->vocabulary, &it->err), VLM_OK);
    assert_int_equal(it->prompt.sequence.n, n - 1);
    assert_int_equal(it->prompt.sequence.n_images, 2);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(it->prompt.space[i], i == 0);
        assert_int_equal(it->prompt.mask_codes[i], VLM_MASK_ANY);
    }
    vlm_buffer_reset(&it->text);
    assert_int_equal(
        vlm_sequence_text(&it->text, &it->vocabulary, it->prompt.sequence.ids, n - 1, &it->err),
        VLM_OK);
    vlm_buffer_byte(&it->text, 0);
    assert_string_equal(
        (char *)it->text.data,
        "<EOS><p>a<mask:0> b<mask:1> c  <mask:2></p> <mask:3><img src=\"1 <mask:4> 2\">");
}

static void test_ids(void **state)
{
    struct fixture *it = *state;
    const uint32_t ids[] = { 5, 0, it->vocabulary.size - 1 }, bad[] = { 1, it->vocabulary.size };
    assert_int_equal(vlm_prompt_from_ids(&it->prompt, &it->vocabulary, ids, 3, &it->err), VLM_OK);
    assert_int_equal(it->prompt.sequence.n, 3);
    assert_memory_equal(it->prompt.sequence.ids, ids, sizeof(ids));
    vlm_prompt_release(&it->prompt);
    assert_int_equal(vlm_prompt_from_ids(&it->prompt, &it->vocabulary, bad, 2, &it->err),
                     VLM_EUSAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_begin, setup, teardown),
        cmocka_unit_test_setup_teardown(test_images, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bare, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_part_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_part_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_part_no_masks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drop_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_part_region, setup, teardown),
        cmocka_unit_test_setup_teardown(test_part_images, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spaces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
