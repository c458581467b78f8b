/* test_stream.c - answers in the making, run by the plainest of loops beside vlm_generate(). */
#include "base/vlm.h"

#include "models/generate/grammar.h"
#include "tests/stream_fixture.h"

struct state {
    struct stream_fixture *it;
    struct vlm_generator *generator;
    struct vlm_sequence prompt, negative;
};

static int setup(void **out)
{
    struct state *state = calloc(1, sizeof(*state));
    *out = state;
    if (!state)
        return -1;
    state->it = stream_fixture_new("pre-ln", false);
    return vlm_generator_new(&state->generator, &state->it->engine, &state->it->model,
                             &state->it->vocabulary, STREAM_CONTEXT, VLM_F32, &state->it->err);
}

static int teardown(void **out)
{
    struct state *state = *out;
    vlm_generator_free(state->generator);
    stream_fixture_free(state->it);
    vlm_sequence_release(&state->prompt);
    vlm_sequence_release(&state->negative);
    free(state);
    return 0;
}

static void check_same(const struct vlm_answer *a, const struct vlm_answer *b)
{
    assert_int_equal(a->sequence.n, b->sequence.n);
    assert_memory_equal(a->sequence.ids, b->sequence.ids, a->sequence.n * sizeof(uint32_t));
    assert_memory_equal(a->sequence.modality, b->sequence.modality, a->sequence.n);
    assert_int_equal(a->sequence.n_images, b->sequence.n_images);
    assert_int_equal(a->n_fills, b->n_fills);
    for (size_t i = 0; i < a->n_fills; i++) {
        assert_int_equal(a->why[i], b->why[i]);
        assert_int_equal(a->fills[i].n, b->fills[i].n);
        if (a->fills[i].n)
            assert_memory_equal(a->fills[i].ids, b->fills[i].ids, a->fills[i].n * sizeof(uint32_t));
        assert_int_equal(a->fills[i].n_images, b->fills[i].n_images);
    }
    assert_int_equal(a->generated, b->generated);
    assert_true(a->log_likelihood == b->log_likelihood);
}

static void check_prompt(struct state *state, const char *prompt,
                         const struct vlm_generate_options *options)
{
    struct stream_fixture *it = state->it;
    struct vlm_answer answer;
    fixture_prompt(it, &state->prompt, prompt);
    struct vlm_stream *stream = fixture_stream(it, &state->prompt, NULL, options);
    fixture_run(it, stream);
    assert_int_equal(vlm_generate(state->generator, &answer, state->prompt.ids, state->prompt.n,
                                  NULL, 0, options, &it->err),
                     VLM_OK);
    check_same(&stream->answer, &answer);
    vlm_answer_release(&answer);
    vlm_stream_free(stream);
}

static void test_same_answers(void **out)
{
    static const char *const prompts[] = {
        "<p>Once upon a time",
        "<p>The <mask:0> of <mask:1> is <mask:2>.</p>",
        "<img alt=\"a red square\" src=\"",
        "<p>one</p><img alt=\"x\" src=\"{100} <mask:0> {50}\"><p>two</p>",
        "<img src=\"<mask:0> {256}\">",
        "<img src=\"{20} <mask:0> {30} <mask:1> {150} <mask:2>\">",
        "<img alt=\"Photo: A photo taken of<mask:0>\" src=\"{256}\">",
    };
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    for (size_t i = 0; i < VLM_COUNTOF(prompts); i++)
        for (options.seed = 0; options.seed < 3; options.seed++) {
            options.max_tokens = options.seed ? 30 : 270;
            options.temperature = options.seed < 2;
            options.image_top_k = options.seed == 1 ? 5 : 0;
            options.top_p = options.seed == 2 ? 0.9 : 1;
            options.one_image = options.seed == 0;
            options.no_grammar = options.seed == 2 && i < 3;
            check_prompt(*out, prompts[i], &options);
        }
}

/* ---- images ---- */

/* Whatever the weights are: 256 codes and a quote, and a fill of text between others that ends or meets its limit. */
static void test_whole_images(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    for (options.seed = 0; options.seed < 2; options.seed++) {
        fixture_prompt(it, &state->prompt, "<p>a</p><img src=\"<mask:0>\"><p>b</p>");
        struct vlm_stream *stream = fixture_stream(it, &state->prompt, NULL, &options);
        fixture_run(it, stream);
        const struct vlm_answer *answer = &stream->answer;
        assert_int_equal(answer->fills[0].n, 256);
        assert_int_equal(answer->generated, 256);
        assert_int_equal(stream->n_drawn, 256);
        assert_int_equal(answer->fills[0].n_images, 1);
        for (size_t i = 0; i < 256; i++) {
            assert_true(vlm_vocabulary_is_code(&it->vocabulary, stream->drawn[i].id));
            assert_int_equal(stream->drawn[i].id, answer->fills[0].ids[i]);
            assert_true(stream->drawn[i].logprob <= 0);
        }
        vlm_stream_free(stream);
    }
}

/* Cells of a region are drawn, the others keep their codes; forced ones count for nothing. */
static void test_region(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    uint16_t forced[VLM_CODES];
    const uint32_t mask_codes = 200;
    for (size_t i = 0; i < VLM_CODES; i++)
        forced[i] = i % 16 < 5 && i < 200 ? (uint16_t)(i % SMALL_CODES) : VLM_CODE_UNKNOWN;
    size_t known = 0;
    for (size_t i = 0; i < 200; i++)
        known += forced[i] != VLM_CODE_UNKNOWN;
    options.forced = forced;
    options.mask_codes = &mask_codes;
    fixture_prompt(it, &state->prompt, "<img src=\"{20} <mask:0> {36}\">");
    for (options.seed = 0; options.seed < 2; options.seed++) {
        struct vlm_stream *stream = fixture_stream(it, &state->prompt, NULL, &options);
        fixture_run(it, stream);
        const struct vlm_answer *answer = &stream->answer;
        assert_int_equal(answer->fills[0].n, 200);
        assert_int_equal(answer->generated, 200 - known);
        assert_int_equal(stream->n_drawn, 200);
        double sum = 0;
        for (size_t i = 0; i < 200; i++) {
            const bool is_forced = forced[i] != VLM_CODE_UNKNOWN;
            assert_int_equal(stream->drawn[i].forced, is_forced);
            if (is_forced)
                assert_int_equal(stream->drawn[i].id, it->vocabulary.first_code + forced[i]);
            if (is_forced)
                assert_true(stream->drawn[i].logprob == 0);
            sum += (double)stream->drawn[i].logprob;
        }
        assert_true(fabs(sum - answer->log_likelihood) < 1e-3);
        assert_int_equal(answer->sequence.n_images, 1);
        assert_int_equal(answer->sequence.images[0].n_tokens, 256);
        vlm_stream_free(stream);
    }
    check_prompt(state, "<img src=\"{20} <mask:0> {36}\">", &options);
    /* All are known: nothing is drawn at all. */
    for (size_t i = 0; i < VLM_CODES; i++)
        forced[i] = 3;
    struct vlm_stream *stream = fixture_stream(it, &state->prompt, NULL, &options);
    assert_true(stream->over);
    assert_int_equal(stream->answer.generated, 0);
    assert_int_equal(stream->answer.fills[0].n, 200);
    assert_int_equal(stream->answer.sequence.images[0].n_tokens, 256);
    vlm_stream_free(stream);
}

/* What stands behind a mask is seen when it is filled. */
static void test_right_context(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    static const char *const prompts[] = { "<p>The<mask:0> of France</p>",
                                           "<p>The<mask:0> of cats and dogs</p>" };
    struct vlm_stream *stream[2];
    options.temperature = 0;
    options.max_tokens = 20;
    for (size_t i = 0; i < 2; i++) {
        fixture_prompt(it, &state->prompt, prompts[i]);
        stream[i] = fixture_stream(it, &state->prompt, NULL, &options);
        fixture_run(it, stream[i]);
    }
    const struct vlm_sequence *a = &stream[0]->answer.fills[0], *b = &stream[1]->answer.fills[0];
    assert_true(a->n != b->n || memcmp(a->ids, b->ids, a->n * sizeof(*a->ids)) != 0);
    vlm_stream_free(stream[0]);
    vlm_stream_free(stream[1]);
}

/* ---- logits that are made up ---- */

static float *made_up(const struct stream_fixture *it, uint64_t seed)
{
    const size_t n = it->model.config.vocabulary;
    struct vlm_random random = vlm_random_at(seed, 5, 0);
    float *z = malloc(n * sizeof(*z));
    assert_non_null(z);
    for (size_t i = 0; i < n; i++)
        z[i] = (float)(4 * vlm_random_unit(&random) - 2);
    return z;
}

static double log_sum(const float *z, size_t n)
{
    double sum = exp((double)z[0]);
    for (size_t i = 1; i < n; i++)
        sum += exp((double)z[i]);
    return log(sum);
}

static uint32_t id_of(const struct stream_fixture *it, const char *text)
{
    struct vlm_sequence ids = { 0 };
    struct vlm_err err;
    assert_int_equal(vlm_sequence_parse(it->sequencer, &ids, text, strlen(text), 0, &err), VLM_OK);
    assert_int_equal(ids.n, 1);
    uint32_t id = ids.ids[0];
    vlm_sequence_release(&ids);
    return id;
}

/* What is drawn greedily of made up logits behind a prompt. */
static uint32_t greedy(struct state *state, const char *prompt,
                       struct vlm_generate_options *options, const float *z, double *logprob)
{
    struct stream_fixture *it = state->it;
    options->temperature = options->image_temperature = 0;
    fixture_prompt(it, &state->prompt, prompt);
    struct vlm_stream *stream = fixture_stream(it, &state->prompt, NULL, options);
    const float *logits = stream->wanted == VLM_LOGITS_CODES ? z + it->vocabulary.first_code : z;
    if (vlm_stream_draw(stream, &logits, &it->err))
        fail_msg("%s", it->err.msg);
    assert_int_equal(stream->n_drawn, 1);
    const uint32_t id = stream->drawn[0].id;
    if (logprob)
        *logprob = (double)stream->drawn[0].logprob;
    vlm_stream_free(stream);
    return id;
}

static void test_bias(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    float *z = made_up(it, 1);
    double logprob;
    const uint32_t cat = id_of(it, " cat"), code = it->vocabulary.first_code + 7;
    const struct vlm_logit_bias bias[] = { { cat, 9 }, { code, 9 } };
    options.bias = bias;
    options.n_bias = 2;
    assert_int_equal(greedy(state, "<p>A", &options, z, &logprob), cat);
    /* The likelihood is the model's own. */
    assert_true(fabs(logprob - ((double)z[cat] - log_sum(z, it->vocabulary.size))) < 1e-4);
    assert_int_equal(greedy(state, "<img src=\"{9}", &options, z, &logprob), code);
    assert_true(fabs(logprob - ((double)z[code] -
                                log_sum(z + it->vocabulary.first_code, SMALL_CODES))) < 1e-4);
    options.n_bias = 1;
    const uint32_t first = greedy(state, "<img src=\"{9}", &options, z, NULL);
    const struct vlm_logit_bias never = { first, -INFINITY };
    options.bias = &never;
    assert_true(greedy(state, "<img src=\"{9}", &options, z, NULL) != first);
    free(z);
}

/* All is ruled out: a sentence, not a crash and not an id. */
static void test_no_token(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    struct vlm_logit_bias bias[SMALL_CODES];
    float *z = made_up(it, 2);
    for (uint32_t i = 0; i < SMALL_CODES; i++)
        bias[i] = (struct vlm_logit_bias){ it->vocabulary.first_code + i, -INFINITY };
    options.bias = bias;
    options.n_bias = SMALL_CODES;
    static const struct {
        const char *prompt, *sentence;
    } cases[] = {
        { "<img src=\"", "no token may come behind row 4: all code is ruled out by logit bias" },
        { "<img src=\"<mask:0>\">",
          "no token may come as number 0 of <mask:0>: all code is ruled out by logit bias" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++)
        for (options.beams = 1; options.beams <= 3; options.beams += 2) {
            const float *logits[VLM_LANES_MAX];
            fixture_prompt(it, &state->prompt, cases[i].prompt);
            struct vlm_stream *stream = fixture_stream(it, &state->prompt, NULL, &options);
            for (size_t k = 0; k < VLM_LANES_MAX; k++)
                logits[k] = z + it->vocabulary.first_code;
            assert_int_equal(vlm_stream_draw(stream, logits, &it->err), VLM_EUSAGE);
            assert_string_equal(it->err.msg, cases[i].sentence);
            assert_true(stream->over);
            vlm_stream_free(stream);
        }
    free(z);
}

static void test_not_finite(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    const float bad[] = { NAN, INFINITY, -INFINITY };
    for (size_t i = 0; i < VLM_COUNTOF(bad); i++)
        for (options.beams = 0; options.beams <= 2; options.beams += 2) {
            float *z = made_up(it, 3);
            const float *logits[2] = { z, z };
            z[it->vocabulary.size / 2] = bad[i];
            fixture_prompt(it, &state->prompt, "<p>A");
            struct vlm_stream *stream = fixture_stream(it, &state->prompt, NULL, &options);
            assert_int_equal(vlm_stream_draw(stream, logits, &it->err), VLM_EFORMAT);
            assert_true(stream->over);
            vlm_stream_free(stream);
            free(z);
        }
}

/* The formulas of generate.h, written down once more. */
static void test_penalties(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    const char *prompt = "<p>a cat and a cat and a dog";
    const uint32_t cat = id_of(it, " cat"), dog = id_of(it, " dog"), bird = id_of(it, " red");
    static const struct {
        double repeat, presence, frequency;
        size_t last;
        float cat, dog, bird;
        int wanted; /* 0: cat, 1: dog, 2: bird */
    } cases[] = {
        { 1, 0, 0, 0, 10, 9, 8, 0 },        { 1.2, 0, 0, 0, 10, 9, 8.5F, 2 }, /* 8.33, 7.5 */
        { 1.2, 0, 0, 0, 10, 9, 8.2F, 0 },                                     /* 8.33, 7.5 */
        { 1, 1.5, 0, 0, 10, 9, 8.6F, 2 },                                     /* 8.5, 7.5 */
        { 1, 0, 0.8, 0, 10, 9.3F, 8, 1 },                                     /* 8.4, 8.5 */
        { 1, 0, 0.8, 1, 10, 9.3F, 8, 0 },   /* the dog only: 10, 8.5 */
        { 1, 2, 0, 1, 8, 9, 7.5F, 0 },      /* 8, 7 */
        { 0.5, 0, 0, 0, 5, 5.1F, 9.9F, 1 }, /* 10, 10.2 */
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
        float *z = made_up(it, 4);
        const uint32_t ids[] = { cat, dog, bird };
        z[cat] = cases[i].cat;
        z[dog] = cases[i].dog;
        z[bird] = cases[i].bird;
        options.repeat = cases[i].repeat;
        options.presence = cases[i].presence;
        options.frequency = cases[i].frequency;
        options.penalty_last = cases[i].last;
        if (greedy(state, prompt, &options, z, NULL) != ids[cases[i].wanted])
            fail_msg("case %zu", i);
        free(z);
    }
    /* Negative logits are multiplied. */
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    float *z = made_up(it, 4);
    for (size_t i = 0; i < it->vocabulary.size; i++)
        z[i] -= 20;
    z[cat] = -1;
    z[bird] = -1.4F;
    options.repeat = 1.5;
    assert_int_equal(greedy(state, prompt, &options, z, NULL), bird);
    options.repeat = 1.3;
    assert_int_equal(greedy(state, prompt, &options, z, NULL), cat);
    free(z);
}

static void test_likely(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    static const char *const prompts[] = { "<p>A", "<img src=\"" };
    float *z = made_up(it, 6);
    options.likely = 5;
    z[100] = z[50] = 3; /* equal ones */
    for (size_t p = 0; p < 2; p++) {
        fixture_prompt(it, &state->prompt, prompts[p]);
        struct vlm_stream *stream = fixture_stream(it, &state->prompt, NULL, &options);
        const uint32_t first = p ? it->vocabulary.first_code : 0;
        const size_t n = p ? SMALL_CODES : it->vocabulary.size;
        const float *logits = z + first;
        assert_int_equal(vlm_stream_draw(stream, &logits, &it->err), VLM_OK);
        const double sum = log_sum(logits, n);
        for (size_t k = 0; k < 5; k++) {
            const struct vlm_likely *likely = &stream->likely[k];
            size_t before = 0;
            for (size_t i = 0; i < n; i++)
                before += logits[i] > logits[likely->id - first] ||
                          (logits[i] == logits[likely->id - first] && first + i < likely->id);
            assert_int_equal(before, k);
            assert_true(fabs((double)likely->logprob - ((double)logits[likely->id - first] - sum)) <
                        1e-4);
        }
        vlm_stream_free(stream);
    }
    free(z);
}

/* z = negative + g (z - negative) for codes; text is lane 0's. All tokens go to both lanes. */
static void test_guidance(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    const uint32_t first = it->vocabulary.first_code;
    float *z[2] = { made_up(it, 7), made_up(it, 8) };
    options.image_temperature = options.temperature = 0;
    options.guidance = 2.5;
    fixture_prompt(it, &state->prompt, "<img alt=\"a red cat\" src=\"");
    fixture_prompt(it, &state->negative, "<img src=\"");
    struct vlm_stream *stream = fixture_stream(it, &state->prompt, &state->negative, &options);
    assert_int_equal(stream->n_lanes, 2);
    uint32_t best = 0;
    float guided[SMALL_CODES];
    for (uint32_t i = 0; i < SMALL_CODES; i++) {
        guided[i] = z[1][first + i] + 2.5F * (z[0][first + i] - z[1][first + i]);
        best = guided[i] > guided[best] ? i : best;
    }
    for (size_t i = 0; i < 256; i++) {
        const float *logits[2] = { z[0] + first, z[1] + first };
        assert_int_equal(stream->wanted, VLM_LOGITS_CODES);
        assert_int_equal(vlm_stream_draw(stream, logits, &it->err), VLM_OK);
        assert_int_equal(stream->drawn[i].id, first + best);
        for (size_t lane = 0; lane < 2; lane++) {
            const struct vlm_lane *at = &stream->lane[lane];
            assert_int_equal(at->n, (lane ? state->negative.n : state->prompt.n) + i + 1);
            assert_int_equal(at->ids[at->n - 1], first + best);
            assert_int_equal(at->kept, at->n - 1);
            assert_int_equal(at->parent, lane);
        }
        const double own = (double)z[0][first + best] - log_sum(z[0] + first, SMALL_CODES);
        assert_true(fabs((double)stream->drawn[i].logprob - own) < 1e-4);
    }
    const uint32_t quote = it->choices.quote.ids[0]; /* text: the second lane does not count */
    z[0][quote] = 50;
    for (size_t i = 0; i < it->choices.quote.n; i++)
        z[1][it->choices.quote.ids[i]] = i ? 90 : 0;
    const float *logits[2] = { z[0], z[1] };
    assert_int_equal(vlm_stream_draw(stream, logits, &it->err), VLM_OK);
    assert_int_equal(stream->drawn[256].id, quote);
    vlm_stream_free(stream);
    free(z[0]);
    free(z[1]);
}

static void refuse(struct state *state, const char *prompt, const char *negative,
                   const struct vlm_generate_options *options, const char *sentence)
{
    struct stream_fixture *it = state->it;
    struct vlm_stream *stream;
    fixture_prompt(it, &state->prompt, prompt);
    if (negative)
        fixture_prompt(it, &state->negative, negative);
    const struct vlm_stream_prompt asked = { .ids = state->prompt.ids,
                                             .n = state->prompt.n,
                                             .negative = negative ? state->negative.ids : NULL,
                                             .n_negative = negative ? state->negative.n : 0 };
    assert_int_equal(
        vlm_stream_new(&stream, &it->choices, &asked, STREAM_CONTEXT, options, &it->err),
        VLM_EUSAGE);
    assert_null(stream);
    assert_string_equal(it->err.msg, sentence);
}

static void test_refusals(void **out)
{
    struct state *state = *out;
    const struct vlm_generate_options defaults = VLM_GENERATE_DEFAULTS;
    static const char *const empty_word[] = { "" };
    const struct vlm_logit_bias nan = { 5, NAN }, unknown = { 1u << 30, 0 };
#define REFUSE(setting, sentence)                                                                  \
    do {                                                                                           \
        struct vlm_generate_options options = defaults;                                            \
        setting;                                                                                   \
        refuse(state, "<p>", NULL, &options, sentence);                                            \
    } while (0)
    REFUSE(options.min_p = 2, "min-p is 2, expected 0 to 1");
    REFUSE(options.image_min_p = -1, "min-p is -1, expected 0 to 1");
    REFUSE(options.image_top_k = -1, "top-k is -1, expected 0 or more");
    REFUSE(options.temperature = NAN, "a temperature of nan, expected 0 or more");
    REFUSE(options.repeat = 0, "the repeat penalty is 0, expected more than 0, at most 10");
    REFUSE(options.presence = 100, "the presence penalty is 100, expected -2 to 2");
    REFUSE(options.frequency = NAN, "the frequency penalty is nan, expected -2 to 2");
    REFUSE(options.guidance = 3, "guidance of 3 without a negative prompt");
    REFUSE(options.guidance = -3, "guidance is -3, expected 0 to 100");
    REFUSE(options.beams = 17, "the number of beams is 17, expected at most 16");
    REFUSE(options.likely = 101, "the number of likeliest tokens is 101, expected at most 100");
    REFUSE(options.length_penalty = INFINITY, "the length penalty is inf, expected -10 to 10");
    REFUSE((options.words = empty_word, options.n_words = 1),
           "stop word 0 has 0 bytes, expected 1 to 256");
    REFUSE((options.words = empty_word, options.n_words = 17),
           "the number of stop words is 17, expected at most 16");
    REFUSE((options.bias = &nan, options.n_bias = 1), "the logit bias of token 5 is nan");
    struct vlm_generate_options options = defaults;
    options.bias = &unknown;
    options.n_bias = 1;
    char sentence[128];
    snprintf(sentence, sizeof(sentence),
             "a logit bias of token 1073741824, the model knows 0 to %" PRIu32,
             state->it->vocabulary.size - 1);
    refuse(state, "<p>", NULL, &options, sentence);
    options = defaults;
    options.guidance = 2;
    refuse(state, "<p><mask:0>", "<p>", &options, "a negative prompt of 0 masks for one of 1");
    refuse(state, "<p><mask:0>", "<p><mask:1>", &options,
           "negative prompt: token 4 is <mask:1>, expected <mask:0>");
    options.beams = 2;
    refuse(state, "<p>", "<p>", &options, "guidance and beams exclude each other");
}

/* ---- ends ---- */

/* Draws the tokens of a text, one after the other, as far as the stream takes them; returns how many. */
static size_t feed(struct state *state, struct vlm_stream *stream, const char *text)
{
    struct stream_fixture *it = state->it;
    struct vlm_sequence ids = { 0 };
    float *z = made_up(it, 9);
    const float *logits = z;
    size_t fed = 0;
    assert_int_equal(vlm_sequence_parse(it->sequencer, &ids, text, strlen(text), 0, &it->err),
                     VLM_OK);
    while (fed < ids.n && !stream->over) {
        const uint32_t id = ids.ids[fed++];
        const float before = z[id];
        z[id] = 50;
        assert_int_equal(vlm_stream_draw(stream, &logits, &it->err), VLM_OK);
        assert_int_equal(stream->drawn[stream->n_drawn - 1].id, id);
        z[id] = before;
    }
    vlm_sequence_release(&ids);
    free(z);
    return fed;
}

static void test_words(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    static const char *const words[] = { "lazy dog", "zzz" };
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    options.temperature = 0;
    options.words = words;
    options.n_words = 2;
    fixture_prompt(it, &state->prompt, "<p>lazy dog"); /* of the prompt it does not count */
    struct vlm_stream *stream = fixture_stream(it, &state->prompt, NULL, &options);
    feed(state, stream, " The quick brown fox jumps over the lazy dog. And");
    assert_true(stream->over);
    assert_int_equal(stream->answer.why[0], VLM_STOP_WORD);
    struct vlm_buffer text = { 0 };
    assert_int_equal(vlm_sequence_text(&text, &it->vocabulary, stream->answer.fills[0].ids,
                                       stream->answer.fills[0].n, &it->err),
                     VLM_OK);
    vlm_buffer_byte(&text, 0);
    assert_string_equal((char *)text.data, " The quick brown fox jumps over the lazy dog");
    assert_int_equal(stream->n_drawn, stream->answer.fills[0].n);
    vlm_stream_free(stream);
    vlm_buffer_release(&text);
    /* A fill of text ends likewise, and the next mask is filled; within an image words do not count. */
    fixture_prompt(it, &state->prompt, "<p>a<mask:0> b<mask:1></p>");
    stream = fixture_stream(it, &state->prompt, NULL, &options);
    feed(state, stream, " zz");
    feed(state, stream, "zip");
    assert_int_equal(stream->answer.why[0], VLM_STOP_WORD);
    assert_int_equal(stream->answer.n_fills, 2);
    assert_false(stream->over);
    feed(state, stream, "lazy ");
    feed(state, stream, "dog");
    assert_int_equal(stream->answer.why[1], VLM_STOP_WORD);
    assert_true(stream->over);
    vlm_stream_free(stream);
}

static void test_ignore_end(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    float *z = made_up(it, 10);
    const float *logits = z;
    const uint32_t stop = id_of(it, " dog");
    z[it->vocabulary.control[VLM_CONTROL_END]] = 60;
    z[it->vocabulary.control[VLM_CONTROL_END_OF_SPAN]] = 60;
    z[stop] = 55;
    options.max_tokens = 12;
    options.temperature = 0;
    options.stop = &stop;
    options.n_stop = 1;
    for (int i = 0; i < 4; i++) {
        options.ignore_end = i % 2;
        fixture_prompt(it, &state->prompt, i < 2 ? "<p>A</p>" : "<p>A<mask:0></p>");
        struct vlm_stream *stream = fixture_stream(it, &state->prompt, NULL, &options);
        while (!stream->over)
            assert_int_equal(vlm_stream_draw(stream, &logits, &it->err), VLM_OK);
        assert_int_equal(stream->answer.fills[0].n, options.ignore_end ? 12 : 0);
        assert_int_equal(stream->answer.why[0], options.ignore_end ? VLM_STOP_LIMIT : VLM_STOP_END);
        vlm_stream_free(stream);
    }
    free(z);
}

/* The first token of a fill begins with a space, when that was asked for. */
static void test_space(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    const bool space[] = { true, false };
    options.max_tokens = 3;
    options.space = space;
    for (options.seed = 0; options.seed < 5; options.seed++) {
        fixture_prompt(it, &state->prompt, "<p>a<mask:0> b<mask:1></p>");
        struct vlm_stream *stream = fixture_stream(it, &state->prompt, NULL, &options);
        fixture_run(it, stream);
        const struct vlm_sequence *fill = &stream->answer.fills[0];
        assert_true(fill->n > 0);
        struct vlm_bytes piece = vlm_text_tokenizer_piece(it->tokenizer, fill->ids[0]);
        assert_int_equal(piece.at[0], ' ');
        vlm_stream_free(stream);
    }
}

/* ---- scores ---- */

static void test_score(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    const size_t vocabulary = it->model.config.vocabulary;
    fixture_prompt(it, &state->prompt, "<p>A long walk in the rain</p><img src=\"{256}\">");
    const struct vlm_stream_prompt asked = { .ids = state->prompt.ids, .n = state->prompt.n };
    for (size_t from = 1; from < 9; from += 3) {
        struct vlm_stream *stream;
        assert_int_equal(
            vlm_stream_new_score(&stream, &it->choices, &asked, from, STREAM_CONTEXT, &it->err),
            VLM_OK);
        const struct vlm_lane *lane = &stream->lane[0];
        assert_true(stream->scores);
        assert_int_equal(lane->asked, from - 1);
        assert_int_equal(lane->n, asked.n - 1);
        fixture_logits(it, lane, 0); /* all rows in the cache */
        const float *logits = fixture_forward(it, lane, 0, 0, lane->n);
        double sum = 0;
        for (size_t row = lane->n; row-- > lane->asked;) {
            assert_false(stream->over);
            assert_int_equal(vlm_stream_see(stream, row, logits + row * vocabulary, &it->err),
                             VLM_OK);
        }
        assert_true(stream->over);
        for (size_t i = 1; i < asked.n; i++) {
            const float *row = logits + (i - 1) * vocabulary;
            const double loss = log_sum(row, vocabulary) - (double)row[asked.ids[i]];
            if (i < from) {
                assert_true(isnan(stream->losses[i - 1]));
                continue;
            }
            assert_true(fabs((double)stream->losses[i - 1] - loss) < 1e-4);
            sum += loss;
        }
        assert_true(fabs(sum + stream->answer.log_likelihood) < 1e-4 * sum);
        vlm_stream_free(stream);
    }
    struct vlm_stream *stream;
    assert_int_equal(
        vlm_stream_new_score(&stream, &it->choices, &asked, asked.n, STREAM_CONTEXT, &it->err),
        VLM_EUSAGE);
    assert_int_equal(
        vlm_stream_new_score(&stream, &it->choices, &asked, 0, STREAM_CONTEXT, &it->err),
        VLM_EUSAGE);
}

/* A model that sees images: their rows are no tokens. */
static void test_seen_images(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = stream_fixture_new("pre-ln", true);
    const uint32_t *control = it->vocabulary.control;
    const uint32_t ids[] = { control[VLM_CONTROL_BEGIN], control[VLM_CONTROL_IMAGE], 300, 301,
                             302 };
    uint32_t codes[VLM_CODES];
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    struct vlm_stream *stream;
    struct vlm_answer answer;
    for (size_t i = 0; i < VLM_CODES; i++)
        codes[i] = (uint32_t)(i * i % SMALL_CODES);
    struct vlm_stream_prompt asked = { .ids = ids, .n = 5, .image_codes = codes, .n_images = 1 };
    options.max_tokens = 9;
    struct vlm_generator *generator;
    assert_int_equal(vlm_generator_new(&generator, &it->engine, &it->model, &it->vocabulary,
                                       STREAM_CONTEXT, VLM_F32, &it->err),
                     VLM_OK);
    assert_int_equal(
        vlm_stream_new(&stream, &it->choices, &asked, STREAM_CONTEXT, &options, &it->err), VLM_OK);
    assert_int_equal(stream->prompt_rows, 4 + SMALL_IMAGE_ROWS);
    assert_int_equal(stream->lane[0].image_row[0], 1);
    fixture_run(it, stream);
    assert_int_equal(vlm_generate(generator, &answer, ids, 5, codes, 1, &options, &it->err),
                     VLM_OK);
    check_same(&stream->answer, &answer);
    vlm_answer_release(&answer);
    vlm_stream_free(stream);
    for (size_t from = 1; from < 5; from++) {
        assert_int_equal(
            vlm_stream_new_score(&stream, &it->choices, &asked, from, STREAM_CONTEXT, &it->err),
            VLM_OK);
        assert_int_equal(stream->lane[0].asked, from == 1 ? 0 : from - 2 + SMALL_IMAGE_ROWS);
        fixture_logits(it, &stream->lane[0], 0);
        const float *logits = fixture_forward(it, &stream->lane[0], 0, 0, stream->lane[0].n);
        for (size_t row = stream->lane[0].asked; row < stream->lane[0].n; row++)
            assert_int_equal(
                vlm_stream_see(stream, row, logits + row * it->model.config.vocabulary, &it->err),
                VLM_OK);
        assert_true(stream->over);
        for (size_t i = from; i < 5; i++)
            assert_true(isfinite(stream->losses[i - 1]));
        vlm_stream_free(stream);
    }
    codes[3] = SMALL_CODES;
    assert_int_equal(
        vlm_stream_new(&stream, &it->choices, &asked, STREAM_CONTEXT, &options, &it->err),
        VLM_EUSAGE);
    assert_string_equal(it->err.msg, "image 0 has the code 48, the model knows 0 to 47");
    vlm_generator_free(generator);
    stream_fixture_free(it);
    (void)state;
}

/* ---- beams ---- */

/* Draws, and checks what is said of lanes: the kept rows are what they were, those between are the parent's. */
static void step_beams(struct stream_fixture *it, struct vlm_stream *stream)
{
    uint32_t *rows[VLM_LANES_MAX];
    size_t n[VLM_LANES_MAX];
    for (size_t i = 0; i < stream->n_lanes; i++) {
        n[i] = stream->lane[i].n;
        rows[i] = malloc(STREAM_CONTEXT * sizeof(*rows[i]));
        assert_non_null(rows[i]);
        memcpy(rows[i], stream->lane[i].ids, n[i] * sizeof(*rows[i]));
    }
    const size_t lanes = stream->n_lanes;
    if (fixture_step(it, stream))
        fail_msg("%s", it->err.msg);
    for (size_t i = 0; i < lanes; i++) {
        const struct vlm_lane *lane = &stream->lane[i];
        if (!stream->over) {
            assert_true(lane->kept <= n[i] && lane->kept < lane->n);
            assert_memory_equal(lane->ids, rows[i], lane->kept * sizeof(*rows[i]));
            assert_memory_equal(lane->ids, rows[lane->parent],
                                VLM_MIN(n[lane->parent], lane->n - 1) * sizeof(*rows[i]));
        }
    }
    for (size_t i = 0; i < lanes; i++)
        free(rows[i]);
}

/* Of two tokens and the end, at most three tokens long, there are 15 answers: all are scored by themselves, and 16 beams
 * find the best, whatever the length counts. */
static void test_all_answers(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    const size_t vocabulary = it->model.config.vocabulary;
    struct vlm_logit_bias *bias = malloc(vocabulary * sizeof(*bias));
    const uint32_t pair[] = { id_of(it, " cat"), id_of(it, " dog") };
    const uint32_t end = it->vocabulary.control[VLM_CONTROL_END];
    static const double penalties[] = { 0, 1, 3, -1 };
    assert_non_null(bias);
    options.bias = bias;
    for (uint32_t id = 0; id < it->vocabulary.size; id++)
        if (id != pair[0] && id != pair[1] && id != end)
            bias[options.n_bias++] = (struct vlm_logit_bias){ id, -INFINITY };
    bias[options.n_bias++] = (struct vlm_logit_bias){ end, -1 };
    options.beams = 16;
    options.max_tokens = 3;
    fixture_prompt(it, &state->prompt, "<p>A</p>");
    for (size_t p = 0; p < VLM_COUNTOF(penalties); p++) {
        uint32_t best[3];
        size_t n_best = 0;
        double best_value = -INFINITY;
        options.length_penalty = penalties[p];
        for (unsigned answer = 0; answer < 15; answer++) {
            /* Number 0 is empty, 1 and 2 have one token, 3 to 6 two, 7 to 14 three. */
            uint32_t rows[64], tokens[4];
            size_t n = answer == 0 ? 0 : answer < 3 ? 1 : answer < 7 ? 2 : 3;
            double score = 0;
            memcpy(rows, state->prompt.ids, state->prompt.n * sizeof(*rows));
            for (size_t i = 0; i < n; i++)
                tokens[i] = pair[(answer + 1) >> i & 1];
            tokens[n] = end;
            for (size_t i = 0; i <= n && i < 3; i++) {
                const struct vlm_lane lane = { .ids = rows, .n = state->prompt.n + i };
                const float *z = fixture_logits(it, &lane, 0);
                double sum =
                    exp((double)z[pair[0]]) + exp((double)z[pair[1]]) + exp((double)z[end] - 1);
                score += (double)z[tokens[i]] - (i == n ? 1 : 0) - log(sum);
                rows[state->prompt.n + i] = tokens[i];
            }
            const double value = score / pow((double)VLM_MIN(n + 1, (size_t)3), penalties[p]);
            if (value > best_value) {
                best_value = value;
                n_best = n;
                memcpy(best, tokens, n * sizeof(*best));
            }
        }
        struct vlm_stream *stream = fixture_stream(it, &state->prompt, NULL, &options);
        while (!stream->over)
            step_beams(it, stream);
        assert_int_equal(stream->answer.fills[0].n, n_best);
        if (n_best)
            assert_memory_equal(stream->answer.fills[0].ids, best, n_best * sizeof(*best));
        assert_int_equal(stream->answer.why[0], n_best == 3 ? VLM_STOP_LIMIT : VLM_STOP_END);
        assert_int_equal(stream->n_drawn, n_best + (n_best < 3));
        vlm_stream_free(stream);
    }
    free(bias);
}

/* Beams in masks, and where a page opens an image: the grammar holds, twice the same, and what is found is likelier than
 * what is drawn greedily. */
static void test_beams(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    static const char *const prompts[] = {
        "<p>The<mask:0> of<mask:1> is</p>",
        "<img alt=\"Photo:<mask:0>\" src=\"{256}\">",
        "<img src=\"{250}",
        "<p>Once upon",
    };
    options.max_tokens = 8;
    options.length_penalty = 0;
    options.likely = 2;
    options.temperature = options.image_temperature = 0;
    for (size_t i = 0; i < VLM_COUNTOF(prompts); i++) {
        struct vlm_stream *stream[2], *drawn;
        fixture_prompt(it, &state->prompt, prompts[i]);
        options.beams = 0;
        drawn = fixture_stream(it, &state->prompt, NULL, &options);
        fixture_run(it, drawn);
        options.beams = 4;
        for (size_t k = 0; k < 2; k++) {
            stream[k] = fixture_stream(it, &state->prompt, NULL, &options);
            while (!stream[k]->over)
                step_beams(it, stream[k]);
        }
        const struct vlm_answer *a = &stream[0]->answer;
        check_same(a, &stream[1]->answer);
        check_prompt(state, prompts[i], &options);
        assert_true(a->log_likelihood >= drawn->answer.log_likelihood - 1e-9);
        double sum = 0;
        size_t at = 0;
        for (size_t k = 0; k < stream[0]->n_drawn; k++) {
            const struct vlm_drawn *token = &stream[0]->drawn[k];
            sum += (double)token->logprob;
            assert_true(stream[0]->likely[2 * k].logprob >= token->logprob);
            at = k && token->fill != token[-1].fill ? 0 : at;
            if (!token->end)
                assert_int_equal(a->fills[token->fill].ids[at++], token->id);
        }
        assert_true(fabs(sum - a->log_likelihood) < 1e-3);
        if (i == 2)
            for (size_t k = 0; k < 6; k++)
                assert_true(vlm_vocabulary_is_code(&it->vocabulary, a->fills[0].ids[k]));
        vlm_stream_free(drawn);
        vlm_stream_free(stream[0]);
        vlm_stream_free(stream[1]);
    }
}

/* Every beam begins the pictures that have to be, behind its own first tag; their tokens are not drawn and cost nothing. */
static void test_beams_with_images(void **out)
{
    struct state *state = *out;
    struct stream_fixture *it = state->it;
    struct vlm_sequence start = { 0 };
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    const struct vlm_logit_bias bias[] = { { id_of(it, ">"), 12 } };
    assert_int_equal(
        vlm_sequence_parse(it->sequencer, &start, "<img src=\"", 10, VLM_PARSE_MARKUP, &it->err),
        VLM_OK);
    options.max_tokens = 300;
    options.images_min = 1;
    options.image_start = start.ids;
    options.n_image_start = start.n;
    options.bias = bias;
    options.n_bias = 1;
    for (options.beams = 2; options.beams <= 3; options.beams++) {
        fixture_prompt(it, &state->prompt, "<p>A");
        struct vlm_stream *stream = fixture_stream(it, &state->prompt, NULL, &options);
        while (!stream->over)
            step_beams(it, stream);
        const struct vlm_answer *a = &stream->answer;
        const struct vlm_sequence *fill = &a->fills[0];
        size_t forced = 0, at = 0;
        double sum = 0;
        for (size_t i = 0; i < stream->n_drawn; i++) {
            const struct vlm_drawn *token = &stream->drawn[i];
            if (token->forced) {
                assert_int_equal(start.ids[forced++], token->id);
                at = i + 1;
            }
            sum += (double)token->logprob;
        }
        assert_int_equal(start.n, forced);
        assert_int_equal(a->generated + forced, stream->n_drawn);
        assert_true(fabs(sum - a->log_likelihood) < 1e-3);
        assert_int_equal(id_of(it, ">"), fill->ids[at - start.n - 1]);
        assert_true(at + VLM_IMAGE_CODES <= fill->n);
        for (size_t i = 0; i < VLM_IMAGE_CODES; i++)
            assert_true(vlm_vocabulary_is_code(&it->vocabulary, fill->ids[at + i]));
        /* As likely as they say, each behind what is before it. */
        const struct vlm_lane lane = { .ids = a->sequence.ids, .n = a->sequence.n };
        const size_t vocabulary = it->model.config.vocabulary;
        const float *logits = fixture_forward(it, &lane, 0, 0, lane.n);
        for (size_t i = 0; i < at - start.n; i++) {
            const float *z = logits + (state->prompt.n - 1 + i) * vocabulary;
            const double wanted = (double)z[fill->ids[i]] - log_sum(z, vocabulary);
            assert_true(fabs(wanted - (double)stream->drawn[i].logprob) < 1e-3);
        }
        vlm_stream_free(stream);
    }
    vlm_sequence_release(&start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whole_images, setup, teardown),
        cmocka_unit_test_setup_teardown(test_region, setup, teardown),
        cmocka_unit_test_setup_teardown(test_right_context, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bias, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_token, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_finite, setup, teardown),
        cmocka_unit_test_setup_teardown(test_penalties, setup, teardown),
        cmocka_unit_test_setup_teardown(test_likely, setup, teardown),
        cmocka_unit_test_setup_teardown(test_guidance, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ignore_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_space, setup, teardown),
        cmocka_unit_test_setup_teardown(test_score, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seen_images, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_beams, setup, teardown),
        cmocka_unit_test_setup_teardown(test_beams_with_images, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
