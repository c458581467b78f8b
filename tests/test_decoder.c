/* test_decoder.c - many streams at once: each answer has the bits that it has alone, and alone those of the trainer's
 * pass over the whole sequence, whatever runs beside it, is cached, is cancelled or fails. */
#include "base/vlm.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/random.h"
#include "models/generate/decoder.h"
#include "models/model/model_serve.h"
#include "nn/engine.h"
#include "tests/small_model_fixture.h"
#include "tokenize/sequence/run.h"

enum { CONTEXT = 512, STREAMS = 15, BIAS_MAX = 2 };

enum { PAGES, LLAMA, SEEING, PAGES_BF16, LLAMA_BF16, LLAMA_INT8, SEEING_INT8, KINDS };

static const enum vlm_weights weights_of[KINDS] = {
    [PAGES_BF16] = VLM_WEIGHTS_BF16,
    [LLAMA_BF16] = VLM_WEIGHTS_BF16,
    [LLAMA_INT8] = VLM_WEIGHTS_INT8,
    [SEEING_INT8] = VLM_WEIGHTS_INT8,
};

static bool sees(int kind)
{
    return kind == SEEING || kind == SEEING_INT8;
}

struct fixture {
    struct vlm_engine engine;
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    struct vlm_sequencer *sequencer;
    struct vlm_model model[KINDS];
    struct vlm_choices choices[KINDS];
    struct vlm_err err;
};

/* What a stream is asked. */
struct asked {
    struct vlm_sequence prompt, negative;
    uint32_t codes[2 * VLM_IMAGE_CODES];
    size_t n_images, score_from; /* score_from: 0, it draws */
    struct vlm_generate_options options;
    struct vlm_logit_bias bias[BIAS_MAX];
    uint16_t forced[2][VLM_CODES];
    bool forces;
};

/* What came out. */
struct made {
    struct vlm_sequence page;
    struct vlm_drawn *drawn;
    float *losses;
    size_t n_drawn, n_losses;
    double likelihood;
};

/* ---- models ---- */

static struct vlm_model_config config_of(int kind, size_t vocabulary)
{
    const bool llama = kind == LLAMA || kind == LLAMA_BF16 || kind == LLAMA_INT8;
    struct vlm_model_config config = small_config(llama ? "llama" : "pre-ln", vocabulary, CONTEXT);
    if (sees(kind))
        small_sees(&config);
    return config;
}

static int open_model(struct fixture *it, struct vlm_model *model, int kind)
{
    const struct vlm_model_config config = config_of(kind, it->vocabulary.size);
    if (small_model(model, &config, 7, &it->err))
        return -1;
    return weights_of[kind] ? vlm_model_serve(model, &it->engine, weights_of[kind], &it->err) : 0;
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
    for (int kind = 0; kind < KINDS; kind++)
        if (open_model(it, &it->model[kind], kind) ||
            vlm_choices_init(&it->choices[kind], &it->engine, &it->model[kind], &it->vocabulary,
                             &it->err))
            return -1;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *it = *state;
    for (int kind = 0; kind < KINDS; kind++) {
        vlm_choices_release(&it->choices[kind]);
        vlm_model_release(&it->model[kind]);
    }
    vlm_sequencer_free(it->sequencer);
    vlm_text_tokenizer_close(it->tokenizer);
    vlm_engine_release(&it->engine);
    free(it);
    return 0;
}

/* ---- prompts ---- */

static void add_image(struct fixture *it, struct asked *asked, uint32_t seed)
{
    uint32_t *codes = asked->codes + asked->n_images++ * VLM_IMAGE_CODES;
    for (uint32_t i = 0; i < VLM_IMAGE_CODES; i++)
        codes[i] = (i * i + seed * i + seed) % SMALL_CODES;
    assert_true(vlm_sequence_push(&asked->prompt, it->vocabulary.control[VLM_CONTROL_IMAGE], 1));
}

/* Prompts that begin alike, and that do not; of any way to answer them. */
static void ask(struct fixture *it, struct asked *asked, int kind, uint64_t seed)
{
    static const char *const prompts[] = {
        "<p>Once upon a time there was a fox</p><p>and",
        "<p>Once upon a time there was a <mask:0> who met a <mask:1>.</p>",
        "<p>Once upon",
        "<img alt=\"a red square\" src=\"",
        "<img alt=\"x\" src=\"{100} <mask:0> {140}\"><p>two</p>",
        "<p>Once upon a time there was a picture</p><img alt=\"x\" src=\"{250}",
        "<img src=\"{20} <mask:0> {30} <mask:1> {190}\">",
        "<p>Nothing like the others",
        "<img src=\"{100} <mask:0>\">",
    };
    struct vlm_random random = vlm_random_at(seed, 1, (uint64_t)kind);
    struct vlm_generate_options *options = &asked->options;
    *asked = (struct asked){ .options = VLM_GENERATE_DEFAULTS };
    size_t which = vlm_random_below(&random, VLM_COUNTOF(prompts));
    if (sees(kind)) {
        assert_true(
            vlm_sequence_push(&asked->prompt, it->vocabulary.control[VLM_CONTROL_BEGIN], 1));
        for (size_t i = vlm_random_below(&random, 3); i > 0; i--)
            add_image(it, asked, (uint32_t)vlm_random_below(&random, 2));
    } else {
        small_prompt(it->sequencer, &it->vocabulary, &asked->prompt, prompts[which]);
    }
    options->seed = vlm_random_below(&random, 3);
    options->max_tokens = 3 + vlm_random_below(&random, 14);
    options->temperature = vlm_random_chance(&random, 30) ? 0 : 0.8;
    options->image_temperature = vlm_random_chance(&random, 30) ? 0 : 0.9;
    options->top_k = vlm_random_chance(&random, 30) ? 50 : 0;
    options->top_p = vlm_random_chance(&random, 30) ? 0.9 : 1;
    options->min_p = vlm_random_chance(&random, 20) ? 0.05 : 0;
    options->repeat = vlm_random_chance(&random, 20) ? 1.2 : 1;
    options->presence = vlm_random_chance(&random, 20) ? 0.4 : 0;
    options->frequency = vlm_random_chance(&random, 20) ? 0.3 : 0;
    options->likely = vlm_random_below(&random, 3);
    asked->bias[0] = (struct vlm_logit_bias){ .id = 300, .bias = 4 };
    asked->bias[1] = (struct vlm_logit_bias){ .id = 301, .bias = -INFINITY };
    options->bias = asked->bias;
    options->n_bias = vlm_random_chance(&random, 20) ? BIAS_MAX : 0;
    asked->forces = !sees(kind) && (which == 6 || which == 8 || vlm_random_chance(&random, 10));
    for (size_t i = 0; i < (size_t)2 * VLM_CODES; i++)
        asked->forced[i / VLM_CODES][i % VLM_CODES] =
            i % VLM_CODES % 60 > 3 ? (uint16_t)(i % SMALL_CODES) : VLM_CODE_UNKNOWN;
    if (which == 8 && !sees(kind))
        options->max_tokens = 0;
    if (!sees(kind) && which == 3 && vlm_random_chance(&random, 70)) {
        small_prompt(it->sequencer, &it->vocabulary, &asked->negative, "<img src=\"");
        options->guidance = 3;
    } else if (vlm_random_chance(&random, sees(kind) ? 50 : 15) && which != 1 && which != 6 &&
               which != 8) {
        options->beams = 2 + vlm_random_below(&random, 3);
    } else if (vlm_random_chance(&random, 15) && which != 1 && which != 4 && which != 6 &&
               which != 8) {
        asked->score_from = 1 + vlm_random_below(&random, 4);
        asked->score_from = VLM_MIN(asked->score_from, asked->prompt.n - 1);
    }
}

static void forget(struct asked *asked)
{
    vlm_sequence_release(&asked->prompt);
    vlm_sequence_release(&asked->negative);
}

/* bias points into asked, which may have moved. */
static struct vlm_stream *open_stream(struct fixture *it, const struct asked *asked, int kind)
{
    struct vlm_stream *stream = NULL;
    struct vlm_generate_options options = asked->options;
    struct vlm_stream_prompt prompt = { .ids = asked->prompt.ids,
                                        .n = asked->prompt.n,
                                        .image_codes = asked->codes,
                                        .n_images = asked->n_images };
    options.bias = asked->bias;
    options.forced = asked->forces ? asked->forced[0] : NULL;
    if (asked->negative.n) {
        prompt.negative = asked->negative.ids;
        prompt.n_negative = asked->negative.n;
    }
    int rc = asked->score_from ? vlm_stream_new_score(&stream, &it->choices[kind], &prompt,
                                                      asked->score_from, CONTEXT, &it->err)
                               : vlm_stream_new(&stream, &it->choices[kind], &prompt, CONTEXT,
                                                &options, &it->err);
    if (rc != VLM_OK)
        fail_msg("%s", it->err.msg);
    return stream;
}

/* ---- answers ---- */

static void keep(struct made *made, struct vlm_stream *stream, size_t tokens)
{
    *made = (struct made){ .page = stream->answer.sequence,
                           .n_drawn = stream->n_drawn,
                           .likelihood = stream->answer.log_likelihood };
    stream->answer.sequence = (struct vlm_sequence){ 0 };
    made->drawn = calloc(stream->n_drawn + 1, sizeof(*made->drawn));
    assert_non_null(made->drawn);
    for (size_t i = 0; i < stream->n_drawn; i++)
        made->drawn[i] = stream->drawn[i];
    if (!stream->scores)
        return;
    made->n_losses = tokens - 1;
    made->losses = calloc(tokens, sizeof(*made->losses));
    assert_non_null(made->losses);
    memcpy(made->losses, stream->losses, made->n_losses * sizeof(*made->losses));
}

static void release(struct made *made)
{
    vlm_sequence_release(&made->page);
    free(made->drawn);
    free(made->losses);
    *made = (struct made){ .n_drawn = 0 };
}

static void check_same(const struct made *a, const struct made *b)
{
    assert_int_equal(a->n_drawn, b->n_drawn);
    for (size_t i = 0; i < a->n_drawn; i++) {
        assert_int_equal(a->drawn[i].id, b->drawn[i].id);
        assert_int_equal(a->drawn[i].fill, b->drawn[i].fill);
        assert_int_equal(a->drawn[i].end, b->drawn[i].end);
        assert_memory_equal(&a->drawn[i].logprob, &b->drawn[i].logprob, sizeof(float));
    }
    assert_int_equal(a->page.n, b->page.n);
    if (a->page.n)
        assert_memory_equal(a->page.ids, b->page.ids, a->page.n * sizeof(*a->page.ids));
    assert_true(a->likelihood == b->likelihood);
    assert_int_equal(a->n_losses, b->n_losses);
    if (a->n_losses)
        assert_memory_equal(a->losses, b->losses, a->n_losses * sizeof(*a->losses));
}

/* ---- without a decoder: the trainer's pass over the whole of each lane ---- */

static struct vlm_tensor *whole_pass(struct fixture *it, struct vlm_tape *tape,
                                     struct vlm_model *model, const struct vlm_lane *lane)
{
    uint32_t positions[CONTEXT], lo[CONTEXT], hi[CONTEXT], image_rows[2 * SMALL_IMAGE_ROWS];
    for (uint32_t i = 0; i < lane->n_images * SMALL_IMAGE_ROWS; i++)
        image_rows[i] = lane->image_row[i / SMALL_IMAGE_ROWS] + i % SMALL_IMAGE_ROWS;
    const struct vlm_rows rows = { .n = lane->n,
                                   .ids = lane->ids,
                                   .positions = positions,
                                   .lo = lo,
                                   .hi = hi,
                                   .n_images = lane->n_images,
                                   .codes = lane->codes,
                                   .image_rows = image_rows };
    vlm_rows_causal(positions, lo, hi, &lane->n, 1);
    struct vlm_tensor *logits =
        vlm_model_logits(tape, model, vlm_model_forward(tape, model, &rows, NULL, 0));
    assert_int_equal(vlm_tape_error(tape, &it->err), VLM_OK);
    return logits;
}

/* No cache, no batch. */
static void run_alone(struct fixture *it, int kind, struct vlm_stream *stream)
{
    const enum vlm_dtype precision = vlm_model_serve_precision(weights_of[kind]);
    struct vlm_model *model = &it->model[kind];
    struct vlm_tape tape;
    const size_t vocabulary = model->config.vocabulary;
    assert_int_equal(vlm_tape_init(&tape, &it->engine,
                                   &(struct vlm_tape_options){ .precision = precision,
                                                               .flags = VLM_TAPE_FORWARD },
                                   &it->err),
                     VLM_OK);
    while (!stream->over) {
        const float *logits[VLM_LANES_MAX];
        vlm_tape_reset(&tape);
        for (size_t i = 0; i < stream->n_lanes; i++) {
            const struct vlm_lane *lane = &stream->lane[i];
            logits[i] = whole_pass(it, &tape, model, lane)->data;
            if (!stream->scores)
                logits[i] += (lane->n - 1) * vocabulary +
                             (stream->wanted == VLM_LOGITS_CODES ? it->vocabulary.first_code : 0);
        }
        for (size_t r = stream->lane[0].asked; stream->scores && r < stream->lane[0].n; r++)
            assert_int_equal(vlm_stream_see(stream, r, logits[0] + r * vocabulary, &it->err),
                             VLM_OK);
        if (!stream->scores)
            assert_int_equal(vlm_stream_draw(stream, logits, &it->err), VLM_OK);
    }
    vlm_tape_release(&tape);
}

/* ---- many ---- */

struct crowd {
    struct fixture *it;
    int kind;
    struct asked asked[STREAMS];
    struct made expected[STREAMS];
    struct vlm_stream *stream[STREAMS];
    bool done[STREAMS];
};

static void gather(struct crowd *crowd, struct fixture *it, int kind, uint64_t seed)
{
    *crowd = (struct crowd){ .it = it, .kind = kind };
    for (size_t i = 0; i < STREAMS; i++) {
        ask(it, &crowd->asked[i], kind, seed * STREAMS + i);
        struct vlm_stream *stream = open_stream(it, &crowd->asked[i], kind);
        run_alone(it, kind, stream);
        keep(&crowd->expected[i], stream, crowd->asked[i].prompt.n);
        vlm_stream_free(stream);
    }
}

static void disperse(struct crowd *crowd)
{
    for (size_t i = 0; i < STREAMS; i++) {
        forget(&crowd->asked[i]);
        release(&crowd->expected[i]);
    }
}

static void look(void *context, struct vlm_stream *stream, int rc, const struct vlm_err *err)
{
    struct crowd *crowd = context;
    size_t i = 0;
    while (i < STREAMS && crowd->stream[i] != stream)
        i++;
    assert_true(i < STREAMS);
    if (rc != VLM_OK)
        fail_msg("stream %zu: %s", i, err->msg);
    if (!stream->over)
        return;
    struct made made;
    keep(&made, stream, crowd->asked[i].prompt.n);
    check_same(&made, &crowd->expected[i]);
    release(&made);
    vlm_stream_free(stream);
    crowd->stream[i] = NULL;
    crowd->done[i] = true;
}

/* Adds streams in a random order, removes some on the way, which come again. */
static void run_crowd(struct crowd *crowd, struct vlm_decoder *decoder, uint64_t seed)
{
    struct vlm_random random = vlm_random_at(seed, 2, 0);
    size_t cancels = 6;
    memset(crowd->done, 0, sizeof(crowd->done));
    for (;;) {
        size_t left = 0;
        const size_t first = vlm_random_below(&random, STREAMS);
        for (size_t k = 0; k < STREAMS; k++) {
            const size_t i = (first + k) % STREAMS;
            left += !crowd->done[i];
            if (crowd->done[i] || crowd->stream[i] || vlm_random_chance(&random, 50))
                continue;
            struct vlm_stream *stream = open_stream(crowd->it, &crowd->asked[i], crowd->kind);
            if (!vlm_decoder_has_room(decoder, stream->n_lanes)) {
                vlm_stream_free(stream);
                continue;
            }
            crowd->stream[i] = stream;
            assert_int_equal(vlm_decoder_add(decoder, stream, &crowd->it->err), VLM_OK);
        }
        if (!left)
            break;
        if (cancels && vlm_random_chance(&random, 10)) {
            const size_t i = vlm_random_below(&random, STREAMS);
            cancels--;
            if (crowd->stream[i])
                vlm_decoder_remove(decoder, crowd->stream[i]);
            vlm_stream_free(crowd->stream[i]);
            crowd->stream[i] = NULL;
        }
        vlm_decoder_step(decoder, look, crowd);
    }
    assert_int_equal(vlm_decoder_streams(decoder), 0);
}

/* Slots, chunks, threads, parked slots and the cache: no bit of any answer. */
static void check_crowd(struct fixture *it, int kind, uint64_t seed)
{
    const bool rare = weights_of[kind] != VLM_WEIGHTS_F32;
    static const struct {
        size_t slots, chunk, threads, parked;
        bool no_cache;
    } ways[] = {
        { 16, 0, 2, 0, false }, { 5, 1, 1, 0, false },    { 7, 7, 5, 3, false },
        { 4, 64, 2, 0, true },  { 16, 13, 2, 16, false },
    };
    struct crowd crowd;
    gather(&crowd, it, kind, seed);
    for (size_t i = 0; i < VLM_COUNTOF(ways); i += rare ? 4 : 1) {
        struct vlm_engine engine;
        struct vlm_decoder *decoder;
        const struct vlm_decoder_options options = {
            .slots = ways[i].slots,
            .chunk = ways[i].chunk,
            .parked = ways[i].parked,
            .no_prefix_cache = ways[i].no_cache,
            .precision = vlm_model_serve_precision(weights_of[kind]),
        };
        assert_int_equal(vlm_engine_init(&engine, ways[i].threads, VLM_GEMM_OWN, &it->err), VLM_OK);
        assert_int_equal(vlm_decoder_new(&decoder, &engine, &it->model[kind], &it->choices[kind],
                                         &options, &it->err),
                         VLM_OK);
        run_crowd(&crowd, decoder, seed * 100 + i);
        if (!ways[i].no_cache && !rare)
            run_crowd(&crowd, decoder, seed * 100 + 50 + i); /* with what the first left */
        vlm_decoder_free(decoder);
        vlm_engine_release(&engine);
    }
    disperse(&crowd);
}

static void test_pages(void **state)
{
    check_crowd(*state, PAGES, 1);
}

static void test_llama(void **state)
{
    check_crowd(*state, LLAMA, 2);
}

static void test_seeing(void **state)
{
    check_crowd(*state, SEEING, 3);
}

static void test_small_weights(void **state)
{
    for (int kind = PAGES_BF16; kind < KINDS; kind++)
        check_crowd(*state, kind, 10 + (uint64_t)kind);
}

/* More of them for tests/long/decoder.sh. */
static void test_many(void **state)
{
    const char *many = getenv("VLM_DECODER_CROWDS");
    const uint64_t n = many ? strtoull(many, NULL, 10) : 0;
    for (uint64_t seed = 100; seed < 100 + n; seed++)
        for (int kind = 0; kind < KINDS; kind++)
            check_crowd(*state, kind, seed);
    if (n)
        print_message("%" PRIu64 " crowds of %d streams\n", n * KINDS, STREAMS);
}

/* ---- the prefix cache ---- */

/* Streams that only count, by name: how many are over, and the last failure. */
struct tally {
    size_t moved, over;
    int rc;
    struct vlm_err err;
};

static void count(void *context, struct vlm_stream *stream, int rc, const struct vlm_err *err)
{
    struct tally *tally = context;
    tally->moved++;
    tally->over += rc != VLM_OK || stream->over;
    if (rc == VLM_OK)
        return;
    tally->rc = rc;
    tally->err = *err;
}

static struct vlm_decoder *open_decoder(struct fixture *it, int kind,
                                        const struct vlm_decoder_options *options)
{
    struct vlm_decoder *decoder;
    assert_int_equal(vlm_decoder_new(&decoder, &it->engine, &it->model[kind], &it->choices[kind],
                                     options, &it->err),
                     VLM_OK);
    return decoder;
}

static void run_all(struct vlm_decoder *decoder, struct tally *tally)
{
    while (vlm_decoder_streams(decoder))
        vlm_decoder_step(decoder, count, tally);
}

static struct asked plain(struct fixture *it, const char *prompt, size_t tokens)
{
    struct asked asked = { .options = VLM_GENERATE_DEFAULTS };
    asked.options.max_tokens = tokens;
    small_prompt(it->sequencer, &it->vocabulary, &asked.prompt, prompt);
    return asked;
}

/* The branches of a prompt cost one prefill: the others wait for it, and copy it. */
static void test_branches(void **state)
{
    struct fixture *it = *state;
    enum { BRANCHES = 4 };
    struct vlm_stream *stream[BRANCHES];
    struct tally tally = { .over = 0 };
    struct asked asked = plain(it, "<p>A long prompt {200} that all of them share, to the end", 5);
    const size_t n = asked.prompt.n;
    struct vlm_decoder *decoder =
        open_decoder(it, PAGES, &(struct vlm_decoder_options){ .slots = BRANCHES, .chunk = 20 });
    for (size_t i = 0; i < BRANCHES; i++) {
        asked.options.seed = i;
        stream[i] = open_stream(it, &asked, PAGES);
        assert_true(vlm_decoder_has_room(decoder, 1));
        assert_int_equal(vlm_decoder_add(decoder, stream[i], &it->err), VLM_OK);
    }
    assert_false(vlm_decoder_has_room(decoder, 1));
    vlm_decoder_step(decoder, count, &tally);
    assert_int_equal(tally.moved, 1);
    assert_int_equal(vlm_decoder_progress(decoder, stream[0]).done, 20);
    assert_int_equal(vlm_decoder_progress(decoder, stream[1]).done, 0);
    while (tally.over < BRANCHES) {
        for (size_t i = 1; i < BRANCHES; i++) {
            const struct vlm_decoder_progress progress = vlm_decoder_progress(decoder, stream[i]);
            if (progress.done)
                assert_int_equal(progress.cached, n - 1);
        }
        vlm_decoder_step(decoder, count, &tally);
    }
    struct vlm_decoder_counts counts = vlm_decoder_counts(decoder);
    assert_int_equal(counts.prompt_rows, n + BRANCHES - 1);
    assert_int_equal(counts.cached_rows, (BRANCHES - 1) * (n - 1));
    for (size_t i = 0; i < BRANCHES; i++)
        vlm_stream_free(stream[i]);
    vlm_decoder_free(decoder);
    forget(&asked);
}

/* Nobody stands still for a long prompt: who decodes draws in each step, and a short prompt that came later is read
 * beside it. */
static void test_shares(void **state)
{
    struct fixture *it = *state;
    struct tally tally = { .over = 0 };
    struct asked asked[] = { plain(it, "<h1>First", 60), plain(it, "<p>Long {240} and {70}", 5),
                             plain(it, "<ul>A short one {40}", 5) };
    struct vlm_stream *stream[3];
    struct vlm_decoder *decoder =
        open_decoder(it, PAGES, &(struct vlm_decoder_options){ .slots = 3, .chunk = 30 });
    asked[0].options.ignore_end = true;
    for (size_t i = 0; i < 3; i++)
        stream[i] = open_stream(it, &asked[i], PAGES);
    assert_int_equal(vlm_decoder_add(decoder, stream[0], &it->err), VLM_OK);
    vlm_decoder_step(decoder, count, &tally);
    assert_int_equal(stream[0]->n_drawn, 1);
    for (size_t i = 1; i < 3; i++)
        assert_int_equal(vlm_decoder_add(decoder, stream[i], &it->err), VLM_OK);
    for (size_t steps = 1; !stream[1]->n_drawn; steps++) {
        assert_int_equal(stream[0]->n_drawn, steps);
        const size_t long_rows = vlm_decoder_progress(decoder, stream[1]).done;
        const size_t short_rows = vlm_decoder_progress(decoder, stream[2]).done;
        if (!stream[2]->n_drawn && short_rows < asked[2].prompt.n)
            assert_true(long_rows <= short_rows + 2);
        vlm_decoder_step(decoder, count, &tally);
    }
    assert_true(stream[2]->over);
    /* 30 rows a step, 15 of each while there are two. */
    const size_t rows = asked[1].prompt.n + asked[2].prompt.n;
    assert_true(stream[0]->n_drawn - 1 <= rows / 30 + 3);
    run_all(decoder, &tally);
    for (size_t i = 0; i < 3; i++) {
        vlm_stream_free(stream[i]);
        forget(&asked[i]);
    }
    vlm_decoder_free(decoder);
}

/* The one that others wait for goes away: they go on from what it had computed. */
static void test_gone(void **state)
{
    struct fixture *it = *state;
    struct tally tally = { .over = 0 };
    struct asked asked = plain(it, "<p>A long prompt {200} that all of them share, to the end", 5);
    struct vlm_stream *stream[3];
    struct vlm_decoder *decoder =
        open_decoder(it, PAGES, &(struct vlm_decoder_options){ .slots = 3, .chunk = 50 });
    for (size_t i = 0; i < 3; i++) {
        stream[i] = open_stream(it, &asked, PAGES);
        assert_int_equal(vlm_decoder_add(decoder, stream[i], &it->err), VLM_OK);
    }
    for (size_t i = 0; i < 2; i++)
        vlm_decoder_step(decoder, count, &tally);
    vlm_decoder_remove(decoder, stream[0]);
    assert_int_equal(vlm_decoder_streams(decoder), 2);
    vlm_decoder_step(decoder, count, &tally);
    assert_int_equal(vlm_decoder_progress(decoder, stream[1]).cached, 100);
    assert_int_equal(vlm_decoder_progress(decoder, stream[1]).done, 150);
    assert_int_equal(vlm_decoder_progress(decoder, stream[2]).done, 0);
    vlm_decoder_remove(decoder, stream[1]);
    run_all(decoder, &tally);
    assert_int_equal(tally.over, 1);
    assert_true(stream[2]->over);
    for (size_t i = 0; i < 3; i++)
        vlm_stream_free(stream[i]);
    vlm_decoder_free(decoder);
    forget(&asked);
}

/* Beginnings that are kept: the one that was used least lately goes first, and where an image begins what it shows
 * decides. */
static void test_kept(void **state)
{
    struct fixture *it = *state;
    static const char *const prompts[] = { "<p>One {90}",    "<h1>Two {90}", "<p>One {90}",
                                           "<ul>Three {90}", "<p>One {90}",  "<h1>Two {90}" };
    static const bool found[] = { false, false, true, false, true, false };
    struct tally tally = { .over = 0 };
    struct vlm_decoder *decoder =
        open_decoder(it, PAGES, &(struct vlm_decoder_options){ .slots = 1, .parked = 1 });
    for (size_t i = 0; i < VLM_COUNTOF(prompts); i++) {
        struct asked asked = plain(it, prompts[i], 3);
        const uint64_t before = vlm_decoder_counts(decoder).cached_rows;
        struct vlm_stream *stream = open_stream(it, &asked, PAGES);
        assert_int_equal(vlm_decoder_add(decoder, stream, &it->err), VLM_OK);
        run_all(decoder, &tally);
        const uint64_t cached = vlm_decoder_counts(decoder).cached_rows - before;
        assert_true(found[i] ? cached == asked.prompt.n - 1 : cached < 4);
        vlm_stream_free(stream);
        forget(&asked);
    }
    struct vlm_decoder_slot slots[2];
    assert_int_equal(vlm_decoder_slots(decoder, slots, 2), 2);
    assert_int_equal(slots[0].state, 1);
    assert_int_equal(slots[1].state, 1);
    vlm_decoder_free(decoder);
}

static void test_kept_images(void **state)
{
    struct fixture *it = *state;
    struct tally tally = { .over = 0 };
    struct vlm_decoder *decoder =
        open_decoder(it, SEEING, &(struct vlm_decoder_options){ .slots = 1 });
    static const struct {
        uint32_t image[2];
        uint64_t cached;
    } cases[] = { { { 0, 0 }, 0 },
                  { { 0, 0 }, 2 + 2 * SMALL_IMAGE_ROWS },
                  { { 0, 1 }, 1 + SMALL_IMAGE_ROWS },
                  { { 1, 1 }, 1 } };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct asked asked = { .options = VLM_GENERATE_DEFAULTS };
        const uint64_t before = vlm_decoder_counts(decoder).cached_rows;
        asked.options.max_tokens = 3;
        assert_true(vlm_sequence_push(&asked.prompt, it->vocabulary.control[VLM_CONTROL_BEGIN], 1));
        for (size_t k = 0; k < 2; k++)
            add_image(it, &asked, cases[i].image[k]);
        assert_true(vlm_sequence_push(&asked.prompt, 300, 1));
        assert_true(vlm_sequence_push(&asked.prompt, 301, 1));
        struct vlm_stream *stream = open_stream(it, &asked, SEEING);
        assert_int_equal(vlm_decoder_add(decoder, stream, &it->err), VLM_OK);
        run_all(decoder, &tally);
        assert_int_equal(vlm_decoder_counts(decoder).cached_rows - before, cases[i].cached);
        vlm_stream_free(stream);
        forget(&asked);
    }
    vlm_decoder_free(decoder);
}

/* ---- failures ---- */

/* A token that the model turns into NaN fails the stream that has it, and nobody else: not those beside it, nor one
 * that gets its slot. */
static void test_failure(void **state)
{
    struct fixture *it = *state;
    const uint32_t poison = 1234;
    struct vlm_decoder *decoder =
        open_decoder(it, LLAMA, &(struct vlm_decoder_options){ .slots = 3, .chunk = 40 });
    const size_t width = it->model[LLAMA].config.sizes.width;
    float *row = it->model[LLAMA].embed->data + poison * width;
    float saved[64];
    struct asked asked = plain(it, "<p>A prompt {120} that goes on", 8), bad = plain(it, "<p>", 8);
    struct made expected, made;
    for (size_t i = 0; i < 200; i++)
        assert_true(vlm_sequence_push(&bad.prompt, i == 20 ? poison : (uint32_t)(300 + i), 1));
    struct vlm_stream *alone = open_stream(it, &asked, LLAMA);
    run_alone(it, LLAMA, alone);
    keep(&expected, alone, 0);
    vlm_stream_free(alone);
    memcpy(saved, row, width * sizeof(*row));
    row[3] = NAN;
    for (int round = 0; round < 3; round++) {
        struct tally tally = { .over = 0 };
        struct vlm_stream *stream[] = { open_stream(it, &bad, LLAMA),
                                        open_stream(it, &asked, LLAMA),
                                        open_stream(it, &bad, LLAMA) };
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(vlm_decoder_add(decoder, stream[i], &it->err), VLM_OK);
        run_all(decoder, &tally);
        assert_int_equal(tally.rc, VLM_EFORMAT);
        assert_string_equal(tally.err.msg, "the model gives no finite probabilities");
        keep(&made, stream[1], 0);
        check_same(&made, &expected);
        release(&made);
        for (size_t i = 0; i < 3; i++)
            vlm_stream_free(stream[i]);
    }
    memcpy(row, saved, width * sizeof(*row));
    release(&expected);
    vlm_decoder_free(decoder);
    forget(&asked);
    forget(&bad);
}

static void test_refusals(void **state)
{
    struct fixture *it = *state;
    struct vlm_decoder *decoder;
    struct asked asked = plain(it, "<p>A prompt", 8);
    assert_int_equal(vlm_decoder_new(&decoder, &it->engine, &it->model[PAGES], &it->choices[PAGES],
                                     &(struct vlm_decoder_options){ .slots = 0 }, &it->err),
                     VLM_EUSAGE);
    assert_string_equal(it->err.msg, "a decoder of no slots, expected at least 1");
    assert_int_equal(vlm_decoder_new(&decoder, &it->engine, &it->model[PAGES], &it->choices[PAGES],
                                     &(struct vlm_decoder_options){ .slots = 1, .capacity = 513 },
                                     &it->err),
                     VLM_EUSAGE);
    assert_string_equal(it->err.msg, "513 tokens are more than the 512 of the model");
    decoder = open_decoder(it, PAGES, &(struct vlm_decoder_options){ .slots = 1, .capacity = 200 });
    struct vlm_stream *stream = open_stream(it, &asked, PAGES);
    assert_int_equal(vlm_decoder_add(decoder, stream, &it->err), VLM_EUSAGE);
    assert_string_equal(it->err.msg, "an answer of up to 512 tokens, there is room for 200");
    assert_int_equal(vlm_decoder_streams(decoder), 0);
    assert_true(vlm_decoder_has_room(decoder, 1));
    assert_false(vlm_decoder_has_room(decoder, 2));
    vlm_stream_free(stream);
    vlm_decoder_free(decoder);
    /* 256 places of keys and values of 2 layers of 32 numbers, and as many ids as rows. */
    assert_int_equal(vlm_decoder_slot_bytes(&it->model[PAGES], 200), 256 * 2 * 2 * 32 * 4 + 800);
    forget(&asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),   cmocka_unit_test(test_llama),
        cmocka_unit_test(test_seeing),  cmocka_unit_test(test_small_weights),
        cmocka_unit_test(test_many),    cmocka_unit_test(test_branches),
        cmocka_unit_test(test_gone),    cmocka_unit_test(test_shares),
        cmocka_unit_test(test_kept),    cmocka_unit_test(test_kept_images),
        cmocka_unit_test(test_failure), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
