/* test_generate.c - prompts answered by small models with random weights: images are whole, holes within images
 * get what they need, and what is drawn greedily is what the trainer's pass over the whole sequence predicts. */
#include "base/vlm.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "models/generate/choices.h"
#include "models/generate/generate.h"
#include "models/generate/grammar.h"
#include "nn/engine.h"
#include "tests/small_model_fixture.h"

enum { CONTEXT = 1024 };

struct fixture {
    struct vlm_engine engine;
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    struct vlm_sequencer *sequencer;
    struct vlm_model model; /* pre-ln, sinusoid positions, draws images */
    struct vlm_choices choices;
    struct vlm_generator *generator;
    struct vlm_sequence prompt;
    struct vlm_answer answer;
    struct vlm_buffer text;
    struct vlm_err err;
};

/* A generator that has computed nothing yet. */
static int renew(struct fixture *it)
{
    vlm_generator_free(it->generator);
    return vlm_generator_new(&it->generator, &it->engine, &it->model, &it->vocabulary, 0, VLM_F32,
                             &it->err);
}

static int setup(void **state)
{
    struct fixture *it = calloc(1, sizeof(*it));
    const struct vlm_vocabulary_options options = { .n_codes = SMALL_CODES };
    *state = it;
    if (!it || vlm_engine_init(&it->engine, 2, VLM_GEMM_OWN, &it->err) ||
        vlm_text_tokenizer_open(&it->tokenizer, NULL, &it->err) ||
        vlm_vocabulary_init(&it->vocabulary, it->tokenizer, &options, &it->err) ||
        vlm_sequencer_new(&it->sequencer, &it->vocabulary, &it->err))
        return -1;
    const struct vlm_model_config config = small_config("pre-ln", it->vocabulary.size, CONTEXT);
    assert_int_equal(small_model(&it->model, &config, 7, &it->err), VLM_OK);
    if (vlm_choices_init(&it->choices, &it->engine, &it->model, &it->vocabulary, &it->err))
        return -1;
    return renew(it);
}

static int teardown(void **state)
{
    struct fixture *it = *state;
    vlm_answer_release(&it->answer);
    vlm_generator_free(it->generator);
    vlm_choices_release(&it->choices);
    vlm_model_release(&it->model);
    vlm_sequence_release(&it->prompt);
    vlm_buffer_release(&it->text);
    vlm_sequencer_free(it->sequencer);
    vlm_text_tokenizer_close(it->tokenizer);
    vlm_engine_release(&it->engine);
    free(it);
    return 0;
}

/* ---- helpers ---- */

static void answer(struct fixture *it, const char *prompt,
                   const struct vlm_generate_options *options)
{
    small_prompt(it->sequencer, &it->vocabulary, &it->prompt, prompt);
    vlm_answer_release(&it->answer);
    int rc = vlm_generate(it->generator, &it->answer, it->prompt.ids, it->prompt.n, NULL, 0,
                          options, &it->err);
    if (rc != VLM_OK)
        fail_msg("%s: %s", prompt, it->err.msg);
}

static void refuse(struct fixture *it, const char *prompt,
                   const struct vlm_generate_options *options, const char *sentence)
{
    small_prompt(it->sequencer, &it->vocabulary, &it->prompt, prompt);
    vlm_answer_release(&it->answer);
    assert_int_equal(vlm_generate(it->generator, &it->answer, it->prompt.ids, it->prompt.n, NULL, 0,
                                  options, &it->err),
                     VLM_EUSAGE);
    assert_string_equal(it->err.msg, sentence);
}

static size_t count_codes(const struct fixture *it, const struct vlm_sequence *sequence)
{
    size_t n = 0;
    for (size_t i = 0; i < sequence->n; i++)
        n += vlm_vocabulary_is_code(&it->vocabulary, sequence->ids[i]);
    return n;
}

static void check_pure_codes(const struct fixture *it, const struct vlm_sequence *fill, size_t n)
{
    assert_int_equal(fill->n, n);
    assert_int_equal(count_codes(it, fill), n);
}

/* Every code of the answer stands in an image of 256, its tag is that of an img, a quote follows. */
static void check_images(const struct fixture *it, size_t n)
{
    const struct vlm_sequence *page = &it->answer.sequence;
    size_t images = 0;
    struct vlm_grammar grammar;
    vlm_grammar_init(&grammar, &it->vocabulary);
    for (size_t i = 0; i < page->n; i++) {
        bool code = vlm_vocabulary_is_code(&it->vocabulary, page->ids[i]);
        if (code)
            assert_int_equal(grammar.place, VLM_PLACE_IMAGE);
        else if (grammar.place == VLM_PLACE_IMAGE) {
            assert_int_equal(grammar.codes, VLM_IMAGE_CODES);
            assert_true(vlm_grammar_is_quote(&it->vocabulary, page->ids[i]));
        }
        vlm_grammar_feed(&grammar, page->ids[i]);
        images += code && grammar.codes == VLM_IMAGE_CODES;
    }
    assert_int_equal(images, n);
    assert_int_equal(page->n_images, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(page->images[i].n_tokens, VLM_IMAGE_CODES);
}

/* The string of the answer, read again, gives its ids; text tokens are drawn at random here, so those only where
 * none were drawn. */
static void check_reads_back(struct fixture *it)
{
    struct vlm_sequence again = { 0 };
    const struct vlm_sequence *page = &it->answer.sequence;
    vlm_buffer_reset(&it->text);
    assert_int_equal(
        vlm_sequence_text(&it->text, &it->vocabulary, page->ids + 1, page->n - 1, &it->err),
        VLM_OK);
    assert_int_equal(vlm_sequence_parse(it->sequencer, &again, (const char *)it->text.data,
                                        it->text.size, VLM_PARSE_MARKUP, &it->err),
                     VLM_OK);
    assert_int_equal(again.n, page->n - 1);
    assert_memory_equal(again.ids, page->ids + 1, again.n * sizeof(*again.ids));
    vlm_sequence_release(&again);
}

/* ---- images ---- */

static void test_whole_image(void **state)
{
    struct fixture *it = *state;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    for (options.seed = 0; options.seed < 3; options.seed++) {
        options.max_tokens = 300;
        options.one_image = false;
        answer(it, "<img alt=\"a red square\" src=\"", &options);
        for (size_t i = 0; i < it->answer.fills[0].n && i < 256; i++)
            assert_true(vlm_vocabulary_is_code(&it->vocabulary, it->answer.fills[0].ids[i]));
        assert_true(vlm_grammar_is_quote(&it->vocabulary, it->answer.fills[0].ids[256]));
        check_images(it, 1);
        options.max_tokens = 0;
        options.one_image = true;
        answer(it, "<img src=\"{10}", &options);
        check_pure_codes(it, &it->answer.fills[0], 246);
        assert_int_equal(it->answer.why[0], VLM_STOP_IMAGE);
        check_images(it, 1);
    }
}

static void test_region(void **state)
{
    struct fixture *it = *state;
    const struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    answer(it, "<p>one</p><img alt=\"x\" src=\"{100} <mask:0> {50}\"><p>two</p>", &options);
    check_pure_codes(it, &it->answer.fills[0], 106);
    assert_int_equal(it->answer.why[0], VLM_STOP_END);
    assert_int_equal(it->answer.generated, 106);
    check_images(it, 1);
    check_reads_back(it);
    answer(it, "<img src=\"<mask:0>\">", &options);
    check_pure_codes(it, &it->answer.fills[0], 256);
    check_images(it, 1);
    check_reads_back(it);
    answer(it, "<img src=\"<mask:0> {256}\">", &options); /* nothing is missing */
    check_pure_codes(it, &it->answer.fills[0], 0);
    assert_int_equal(it->answer.generated, 0);
}

static void test_regions(void **state)
{
    struct fixture *it = *state;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    const char *prompt = "<img src=\"{20} <mask:0> {30} <mask:1> {150} <mask:2>\">";
    const uint32_t codes[] = { 5, 40, 11 };
    for (options.seed = 0; options.seed < 4; options.seed++) {
        options.mask_codes = NULL;
        answer(it, prompt, &options);
        check_images(it, 1);
        check_reads_back(it);
        options.mask_codes = codes;
        answer(it, prompt, &options);
        for (size_t i = 0; i < VLM_COUNTOF(codes); i++)
            check_pure_codes(it, &it->answer.fills[i], codes[i]);
        check_images(it, 1);
        check_reads_back(it);
    }
}

/* A picture that was promised comes whole, whatever was drawn in front of it: among these fills some close the tag. */
static void test_promised_image(void **state)
{
    struct fixture *it = *state;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    const uint32_t codes[] = { VLM_MASK_ANY, 256 };
    const size_t tokens[] = { 60, 0 };
    struct vlm_logit_bias bias[2] = { { 0, 6 }, { 0, 6 } };
    size_t closed = 0;
    for (uint32_t id = 0; id < it->vocabulary.n_text; id++) {
        const struct vlm_bytes piece = vlm_text_tokenizer_piece(it->tokenizer, id);
        if (piece.at && vlm_bytes_left(&piece) == 1 && (piece.at[0] == '"' || piece.at[0] == '>'))
            bias[piece.at[0] == '>'].id = id;
    }
    options.bias = bias;
    options.n_bias = 2;
    options.mask_codes = codes;
    options.mask_tokens = tokens;
    for (options.seed = 0; options.seed < 8; options.seed++) {
        struct vlm_grammar page;
        answer(it, "<img alt=\"<mask:0>\" src=\"<mask:1>\">", &options);
        check_pure_codes(it, &it->answer.fills[1], 256);
        vlm_grammar_init(&page, &it->vocabulary);
        for (size_t i = 0; !vlm_vocabulary_is_code(&it->vocabulary, it->answer.sequence.ids[i]);
             i++)
            vlm_grammar_feed(&page, it->answer.sequence.ids[i]);
        closed += page.place != VLM_PLACE_IMAGE;
    }
    assert_true(closed > 0);
}

/* The number says when a mask is filled, wherever it stands. */
static void test_any_order(void **state)
{
    struct fixture *it = *state;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    const uint32_t codes[] = { 10, 46 };
    options.any_order = true;
    options.mask_codes = codes;
    for (options.seed = 0; options.seed < 4; options.seed++) {
        answer(it, "<img src=\"{20} <mask:1> {30} <mask:0> {150}\">", &options);
        check_pure_codes(it, &it->answer.fills[0], 10);
        check_pure_codes(it, &it->answer.fills[1], 46);
        check_images(it, 1);
        check_reads_back(it);
    }
    options.mask_codes = NULL;
    options.max_tokens = 300;
    for (options.seed = 0; options.seed < 4; options.seed++) {
        answer(it, "<img <mask:1>src=\"<mask:0>\">", &options);
        assert_int_equal(it->answer.n_fills, 2);
        check_pure_codes(it, &it->answer.fills[0], 256);
    }
    refuse(it, "<p><mask:1></p>", &options, "of 1 masks <mask:0> is missing");
    refuse(it, "<p><mask:0><mask:0></p>", &options, "token 5 is <mask:0>, as token 4 is");
    options.beams = 2;
    refuse(it, "<p><mask:1><mask:0></p>", &options,
           "masks in another order and beams exclude each other");
}

/* Text is never codes, and images that the model opens by itself are whole. */
static void test_text(void **state)
{
    struct fixture *it = *state;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    options.max_tokens = 40;
    answer(it, "<img alt=\"Photo: A photo taken of<mask:0>\" src=\"{256}\">", &options);
    assert_int_equal(it->answer.n_fills, 1);
    assert_int_equal(count_codes(it, &it->answer.fills[0]), 0);
    assert_true(it->answer.why[0] == VLM_STOP_LIMIT || it->answer.why[0] == VLM_STOP_END);
    answer(it, "<p>The <mask:0> of <mask:1> is <mask:2>.</p>", &options);
    assert_int_equal(it->answer.n_fills, 3);
    size_t n = it->prompt.n - 3;
    for (size_t i = 0; i < 3; i++) {
        assert_true(it->answer.fills[i].n <= 40);
        assert_int_equal(count_codes(it, &it->answer.fills[i]), 0);
        n += it->answer.fills[i].n;
    }
    assert_int_equal(it->answer.sequence.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(vlm_vocabulary_mask_number(&it->vocabulary, it->answer.sequence.ids[i]),
                         -1);
}

/* ---- the same as the trainer ---- */

/* Logits of the last row of a pass over all rows, without a cache. */
static const float *whole_pass(struct fixture *it, struct vlm_tape *tape, struct vlm_model *model,
                               const uint32_t *ids, size_t n, const uint32_t *codes, size_t images)
{
    uint32_t *positions = calloc(3 * n, sizeof(*positions)), image_rows[64];
    assert_non_null(positions);
    for (size_t i = 0; i < n; i++) {
        positions[i] = (uint32_t)i;
        positions[2 * n + i] = (uint32_t)i + 1;
    }
    for (size_t i = 0, k = 0; i < n && images; i++)
        if (ids[i] == it->vocabulary.control[VLM_CONTROL_IMAGE])
            image_rows[k++] = (uint32_t)i;
    const struct vlm_rows rows = { .n = n,
                                   .ids = ids,
                                   .positions = positions,
                                   .lo = positions + n,
                                   .hi = positions + 2 * n,
                                   .n_images = images,
                                   .codes = codes,
                                   .image_rows = image_rows };
    vlm_tape_reset(tape);
    struct vlm_tensor *logits =
        vlm_model_logits(tape, model, vlm_model_forward(tape, model, &rows, NULL, 0));
    assert_int_equal(vlm_tape_error(tape, &it->err), VLM_OK);
    free(positions);
    return logits->data + (n - 1) * model->config.vocabulary;
}

/* Greedy, without grammar, so that the argmax is over all text and codes. Checks each token against the trainer's
 * pass over all before it. */
static void check_greedy(struct fixture *it, struct vlm_model *model,
                         struct vlm_generator *generator, const uint32_t *prompt, size_t n,
                         enum vlm_dtype precision)
{
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    struct vlm_tape tape;
    assert_int_equal(vlm_tape_init(&tape, &it->engine,
                                   &(struct vlm_tape_options){ .precision = precision }, &it->err),
                     VLM_OK);
    options.temperature = options.image_temperature = 0;
    options.max_tokens = 12;
    options.no_grammar = true;
    vlm_answer_release(&it->answer);
    assert_int_equal(vlm_generate(generator, &it->answer, prompt, n, NULL, 0, &options, &it->err),
                     VLM_OK);
    const struct vlm_sequence *page = &it->answer.sequence;
    assert_true(page->n > n);
    for (size_t at = n; at < page->n; at++) {
        const float *logits = whole_pass(it, &tape, model, page->ids, at, NULL, 0);
        const struct vlm_choice *any = &it->choices.any;
        uint32_t best = any->ids[0];
        for (size_t i = 1; i < any->n; i++)
            if (logits[any->ids[i]] > logits[best])
                best = any->ids[i];
        assert_int_equal(page->ids[at], best);
    }
    vlm_tape_release(&tape);
}

static void test_greedy(void **state)
{
    struct fixture *it = *state;
    static const char *const layers[] = { "pre-ln", "llama" };
    uint32_t prompt[200];
    for (size_t i = 0; i < VLM_COUNTOF(prompt); i++)
        prompt[i] = (uint32_t)(30 + i * 37 % 500);
    for (size_t i = 0; i < 4; i++) {
        struct vlm_model model;
        struct vlm_generator *generator;
        const enum vlm_dtype precision = i % 2 ? VLM_BF16 : VLM_F32;
        const struct vlm_model_config config =
            small_config(layers[i / 2], it->vocabulary.size, CONTEXT);
        assert_int_equal(small_model(&model, &config, 11, &it->err), VLM_OK);
        assert_int_equal(vlm_generator_new(&generator, &it->engine, &model, &it->vocabulary, 256,
                                           precision, &it->err),
                         VLM_OK);
        check_greedy(it, &model, generator, prompt, VLM_COUNTOF(prompt), precision);
        vlm_generator_free(generator);
        vlm_model_release(&model);
    }
}

/* ---- models that see images ---- */

static void test_caption(void **state)
{
    struct fixture *it = *state;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    const uint32_t *control = it->vocabulary.control;
    options.temperature = 0;
    options.max_tokens = 9;
    uint32_t ids[64], codes[2 * VLM_IMAGE_CODES];
    const uint32_t prompt[] = { control[VLM_CONTROL_BEGIN], control[VLM_CONTROL_IMAGE] };
    struct vlm_model model;
    struct vlm_generator *generator;
    struct vlm_tape tape;
    struct vlm_choices choices;
    struct vlm_model_config config = small_config("pre-ln", it->vocabulary.size, CONTEXT);
    small_sees(&config);
    assert_int_equal(small_model(&model, &config, 5, &it->err), VLM_OK);
    assert_int_equal(vlm_choices_init(&choices, &it->engine, &model, &it->vocabulary, &it->err),
                     VLM_OK);
    assert_int_equal(
        vlm_tape_init(&tape, &it->engine, &(struct vlm_tape_options){ .memory = 0 }, &it->err),
        VLM_OK);
    assert_int_equal(
        vlm_generator_new(&generator, &it->engine, &model, &it->vocabulary, 200, VLM_F32, &it->err),
        VLM_OK);
    for (size_t i = 0; i < VLM_COUNTOF(codes); i++)
        codes[i] = (uint32_t)(i * i % SMALL_CODES);
    for (size_t image = 0; image < 2; image++) {
        const uint32_t *shown = codes + image * VLM_IMAGE_CODES;
        vlm_answer_release(&it->answer);
        assert_int_equal(
            vlm_generate(generator, &it->answer, prompt, 2, shown, 1, &options, &it->err), VLM_OK);
        const struct vlm_sequence *fill = &it->answer.fills[0];
        assert_true(fill->n > 0);
        assert_int_equal(count_codes(it, fill), 0);
        ids[0] = prompt[0];
        for (size_t i = 0; i < SMALL_IMAGE_ROWS; i++)
            ids[1 + i] = control[VLM_CONTROL_IMAGE];
        memcpy(ids + 1 + SMALL_IMAGE_ROWS, fill->ids, fill->n * sizeof(*ids));
        for (size_t i = 0; i < fill->n; i++) {
            const float *logits =
                whole_pass(it, &tape, &model, ids, 1 + SMALL_IMAGE_ROWS + i, shown, 1);
            for (size_t k = 0; k < choices.text.n; k++)
                assert_true(logits[choices.text.ids[k]] <= logits[fill->ids[i]]);
        }
    }
    vlm_answer_release(&it->answer);
    assert_int_equal(vlm_generate(generator, &it->answer, prompt, 2, codes, 2, &options, &it->err),
                     VLM_EUSAGE);
    assert_string_equal(it->err.msg, "2 images for a prompt with 1 <image>");
    vlm_tape_release(&tape);
    vlm_generator_free(generator);
    vlm_choices_release(&choices);
    vlm_model_release(&model);
}

/* ---- scores, seeds, ends, refusals ---- */

static void test_score(void **state)
{
    struct fixture *it = *state;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    float losses[200];
    double total, sum = 0;
    options.max_tokens = 150;
    options.no_grammar = true;
    answer(it, "<p>A long walk", &options);
    const struct vlm_sequence *fill = &it->answer.fills[0];
    size_t n = fill->n;
    assert_true(n > 0 && n <= 150);
    assert_int_equal(vlm_score(it->generator, &total, losses, it->prompt.ids, it->prompt.n,
                               fill->ids, n, NULL, 0, &it->err),
                     VLM_OK);
    for (size_t i = 0; i < n; i++)
        sum -= (double)losses[i];
    assert_true(fabs(sum - total) < 1e-3);
    if (it->answer.why[0] == VLM_STOP_LIMIT) /* the end was not drawn */
        assert_true(fabs(total - it->answer.log_likelihood) < 1e-9 * fabs(total));
    double again; /* from what the cache has */
    assert_int_equal(vlm_score(it->generator, &again, NULL, it->prompt.ids, it->prompt.n, fill->ids,
                               n, NULL, 0, &it->err),
                     VLM_OK);
    assert_true(again == total);
    assert_int_equal(renew(it), VLM_OK);
    assert_int_equal(vlm_score(it->generator, &again, NULL, it->prompt.ids, it->prompt.n, fill->ids,
                               n, NULL, 0, &it->err),
                     VLM_OK);
    assert_true(again == total);
}

static void test_seeds(void **state)
{
    struct fixture *it = *state;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    struct vlm_answer first = { 0 };
    const char *prompt = "<p>Once <mask:0></p><img src=\"<mask:1>\">";
    options.max_tokens = 30;
    answer(it, prompt, &options);
    first = it->answer;
    it->answer = (struct vlm_answer){ 0 };
    options.seed = 1;
    answer(it, prompt, &options);
    assert_true(first.sequence.n != it->answer.sequence.n ||
                memcmp(first.sequence.ids, it->answer.sequence.ids,
                       first.sequence.n * sizeof(*first.sequence.ids)));
    for (size_t i = 0; i < 2; i++) { /* with the cache as it is, and empty */
        options.seed = 0;
        if (i)
            assert_int_equal(renew(it), VLM_OK);
        answer(it, prompt, &options);
        assert_int_equal(it->answer.sequence.n, first.sequence.n);
        assert_memory_equal(it->answer.sequence.ids, first.sequence.ids,
                            first.sequence.n * sizeof(*first.sequence.ids));
        assert_true(it->answer.log_likelihood == first.log_likelihood);
    }
    vlm_answer_release(&first);
}

static void test_ends(void **state)
{
    struct fixture *it = *state;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    answer(it, "<p>To the end", &options);
    if (it->answer.why[0] == VLM_STOP_LIMIT)
        assert_int_equal(it->answer.sequence.n, CONTEXT);
    options.max_tokens = 1;
    answer(it, "<p>One", &options);
    assert_true(it->answer.fills[0].n == 1);
    assert_int_equal(it->answer.why[0], VLM_STOP_LIMIT);
    const uint32_t stop = it->answer.fills[0].ids[0];
    options.stop = &stop;
    options.n_stop = 1;
    answer(it, "<p>One", &options);
    assert_int_equal(it->answer.fills[0].n, 0);
    assert_int_equal(it->answer.why[0], VLM_STOP_WORD);
    options.max_tokens = 100; /* an image that a limit cuts */
    answer(it, "<img src=\"<mask:0> {20}\">", &options);
    check_pure_codes(it, &it->answer.fills[0], 100);
    assert_int_equal(it->answer.why[0], VLM_STOP_LIMIT);
}

static void test_refusals(void **state)
{
    struct fixture *it = *state;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    refuse(it, "<p><mask:1></p>", &options, "token 4 is <mask:1>, expected <mask:0>");
    refuse(it, "<p><mask:0><mask:0></p>", &options, "token 5 is <mask:0>, expected <mask:1>");
    refuse(it, "<img src=\"{256}\"><img src=\"{256}\"><img src=\"{256}\"><img src=\"<mask:0>\">",
           &options, "a prompt of 790 tokens and 257 that must follow, there is room for 1024");
    refuse(it, "<img src=\"{256}\"><img src=\"{256}\"><img src=\"{256}\"><img src=\"{256}\">",
           &options, "a prompt of 1045 tokens, there is room for 1024");
    options.top_p = 0;
    refuse(it, "<p>", &options, "top-p is 0, expected more than 0, at most 1");
    options.top_p = 1;
    options.image_temperature = -1;
    refuse(it, "<p>", &options, "a temperature of -1, expected 0 or more");
    options.image_temperature = 1;
    assert_int_equal(
        vlm_generate(it->generator, &it->answer, it->prompt.ids, 0, NULL, 0, &options, &it->err),
        VLM_EUSAGE);
    assert_string_equal(it->err.msg, "the prompt is empty");
}

/* The grammar sees the same images as segment.h, wherever tokens end. */
static void test_grammar_places(void **state)
{
    struct fixture *it = *state;
    static const struct {
        const char *text;
        enum vlm_grammar_place place;
    } cases[] = {
        { "", VLM_PLACE_OUTSIDE },
        { "a < b <", VLM_PLACE_LESS },
        { "a < b </", VLM_PLACE_CLOSING },
        { "<img src=\"", VLM_PLACE_IMAGE },
        { "<img\nsrc=\"", VLM_PLACE_IMAGE },
        { "<p><img alt=\"a > b\" src=\"", VLM_PLACE_IMAGE },
        { "<p title=\"<img src=\"", VLM_PLACE_TAG },
        { "<img alt=\"src=", VLM_PLACE_VALUE },
        { "<img data-src=\"", VLM_PLACE_VALUE },
        { "<imgx src=\"", VLM_PLACE_VALUE },
        { "<im src=\"", VLM_PLACE_VALUE },
        { "<IMG src=\"", VLM_PLACE_VALUE },
        { "</img src=\"", VLM_PLACE_VALUE },
        { "<video src=\"", VLM_PLACE_VALUE },
        { "<img src=\"http", VLM_PLACE_NOT_CODES },
        { "<img src=\"http\" title=\"", VLM_PLACE_VALUE },
        { "<img src = \"", VLM_PLACE_TAG },
        { "<img <img src=\"", VLM_PLACE_IMAGE },
        { "<img> src=\"", VLM_PLACE_OUTSIDE },
        { "<img src=\"\"> x", VLM_PLACE_OUTSIDE },
        { "<imgsrc=\"", VLM_PLACE_VALUE },
        { "1 <2 src=\"", VLM_PLACE_OUTSIDE },
        { "<i", VLM_PLACE_NAME },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_text_encoder *encoder;
        struct vlm_tokens tokens = { .with_spans = false };
        struct vlm_grammar grammar;
        vlm_grammar_init(&grammar, &it->vocabulary);
        assert_int_equal(vlm_text_encoder_new(&encoder, it->tokenizer, &it->err), VLM_OK);
        assert_int_equal(
            vlm_text_encode(encoder, &tokens, cases[i].text, strlen(cases[i].text), 0, &it->err),
            VLM_OK);
        for (size_t k = 0; k < tokens.n; k++)
            vlm_grammar_feed(&grammar, tokens.ids[k]);
        if (grammar.place != cases[i].place)
            fail_msg("%s: place %d", cases[i].text, grammar.place);
        vlm_tokens_release(&tokens);
        vlm_text_encoder_free(encoder);
    }
}

/* What may come behind a prompt, or in its first mask. */
static void test_grammar_allowed(void **state)
{
    struct fixture *it = *state;
    static const struct {
        const char *prompt;
        enum vlm_allowed allowed;
        bool may_end;
    } cases[] = {
        { "<p>A", VLM_ALLOW_TEXT, true },
        { "<p", VLM_ALLOW_TEXT, false }, /* </s> stands outside of tags */
        { "<img alt=\"A", VLM_ALLOW_TEXT, false },
        { "<img src=\"", VLM_ALLOW_CODES, false },
        { "<img src=\"{255}", VLM_ALLOW_CODES, false },
        { "<img src=\"{256}", VLM_ALLOW_QUOTE, false },
        { "<img src=\"{256}\"", VLM_ALLOW_TEXT, false },
        { "<img src=\"{256}\">", VLM_ALLOW_TEXT, true },
        { "<img src=\"a", VLM_ALLOW_TEXT, false },
        { "<img src=\"{256}\"><img src=\"", VLM_ALLOW_CODES, false },
        { "<p>A <mask:0> b</p>", VLM_ALLOW_TEXT, true },
        { "<img alt=\"<mask:0>\">", VLM_ALLOW_TEXT, true },
        { "<img src=\"<mask:0>\">", VLM_ALLOW_CODES, false },
        { "<img src=\"{255}<mask:0>\">", VLM_ALLOW_CODES, false },
        { "<img src=\"{156}<mask:0>{100}\">", VLM_ALLOW_NOTHING, true },
        { "<img src=\"{9}<mask:0>{100}", VLM_ALLOW_CODES, false },
        { "<img src=\"{9}<mask:0>{100}<mask:1>\">", VLM_ALLOW_CODES, true },
        { "<img src=\"<mask:0><mask:1>\">", VLM_ALLOW_CODES, true },
        { "<img src=\"<mask:0>", VLM_ALLOW_CODES, false },
        { "<img src=\"{256}<mask:0>", VLM_ALLOW_QUOTE, false },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_grammar grammar;
        size_t at = 0;
        bool may_end;
        small_prompt(it->sequencer, &it->vocabulary, &it->prompt, cases[i].prompt);
        vlm_grammar_init(&grammar, &it->vocabulary);
        while (at < it->prompt.n &&
               vlm_vocabulary_mask_number(&it->vocabulary, it->prompt.ids[at]) < 0)
            vlm_grammar_feed(&grammar, it->prompt.ids[at++]);
        const bool mask = at < it->prompt.n;
        struct vlm_hole hole = { .inside = false };
        if (mask)
            hole = vlm_grammar_hole(&grammar, it->prompt.ids + at + 1, it->prompt.n - at - 1);
        enum vlm_allowed allowed = vlm_grammar_allowed(&grammar, mask ? &hole : NULL, &may_end);
        if (allowed != cases[i].allowed || may_end != cases[i].may_end)
            fail_msg("%s: %d, %d", cases[i].prompt, allowed, may_end);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_image, setup, teardown),
        cmocka_unit_test_setup_teardown(test_region, setup, teardown),
        cmocka_unit_test_setup_teardown(test_regions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_promised_image, setup, teardown),
        cmocka_unit_test_setup_teardown(test_any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_greedy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_caption, setup, teardown),
        cmocka_unit_test_setup_teardown(test_score, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seeds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grammar_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grammar_allowed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
