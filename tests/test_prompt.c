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
static void expect(struct fixture *it, const char *recipe, const char *text, size_t images,
                   const char *string)
{
    if (make(it, recipe, text, images) != VLM_OK)
        fail_msg("%s: %s", text, it->err.msg);
    vlm_buffer_reset(&it->text);
    assert_int_equal(vlm_sequence_text(&it->text, &it->vocabulary, it->prompt.sequence.ids,
                                       it->prompt.sequence.n, &it->err),
                     VLM_OK);
    vlm_buffer_byte(&it->text, 0);
    assert_string_equal((char *)it->text.data, string);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_begin, setup, teardown),
        cmocka_unit_test_setup_teardown(test_images, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
