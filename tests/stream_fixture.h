/* stream_fixture.h - a small model with random weights, and streams run by the plainest of loops: each lane has a cache
 * of its own, rows go through the model as they come.
 *
 *   struct stream_fixture *it = stream_fixture_new("pre-ln");
 *   fixture_prompt(it, &prompt, "<img src=\"{20}<mask:0>\">");
 *   struct vlm_stream *stream = fixture_stream(it, &prompt, NULL, &options);
 *   fixture_run(it, stream);
 *   vlm_stream_free(stream);
 *   stream_fixture_free(it);
 */
#ifndef VLM_TESTS_STREAM_FIXTURE_H
#define VLM_TESTS_STREAM_FIXTURE_H

#include "models/generate/stream.h"
#include "tests/small_model_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { STREAM_CONTEXT = 700 };

struct stream_fixture {
    struct vlm_engine engine;
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    struct vlm_sequencer *sequencer;
    struct vlm_model model;
    struct vlm_choices choices;
    struct vlm_tape tape;
    struct vlm_cache cache[VLM_LANES_MAX];
    size_t caches;
    uint32_t *seen[VLM_LANES_MAX]; /* [STREAM_CONTEXT] rows of each cache */
    size_t n_seen[VLM_LANES_MAX];
    uint32_t number[STREAM_CONTEXT + 1], zero[STREAM_CONTEXT];
    struct vlm_err err;
};

/* A model whose predictions depend on all that came before. */
static inline struct stream_fixture *stream_fixture_new(const char *layer, bool sees)
{
    struct stream_fixture *it = calloc(1, sizeof(*it));
    const struct vlm_vocabulary_options options = { .n_codes = SMALL_CODES };
    if (!it || vlm_engine_init(&it->engine, 1, VLM_GEMM_OWN, &it->err) ||
        vlm_text_tokenizer_open(&it->tokenizer, NULL, &it->err) ||
        vlm_vocabulary_init(&it->vocabulary, it->tokenizer, &options, &it->err) ||
        vlm_sequencer_new(&it->sequencer, &it->vocabulary, &it->err))
        fail_msg("no fixture");
    struct vlm_model_config config = small_config(layer, it->vocabulary.size, STREAM_CONTEXT);
    if (sees)
        small_sees(&config);
    assert_int_equal(small_model(&it->model, &config, 7, &it->err), VLM_OK);
    assert_int_equal(
        vlm_choices_init(&it->choices, &it->engine, &it->model, &it->vocabulary, &it->err), VLM_OK);
    assert_int_equal(vlm_tape_init(&it->tape, &it->engine,
                                   &(struct vlm_tape_options){ .flags = VLM_TAPE_FORWARD },
                                   &it->err),
                     VLM_OK);
    for (size_t i = 0; i <= STREAM_CONTEXT; i++)
        it->number[i] = (uint32_t)i;
    return it;
}

static inline void stream_fixture_free(struct stream_fixture *it)
{
    for (size_t i = 0; i < it->caches; i++) {
        vlm_cache_release(&it->cache[i]);
        free(it->seen[i]);
    }
    vlm_tape_release(&it->tape);
    vlm_choices_release(&it->choices);
    vlm_model_release(&it->model);
    vlm_sequencer_free(it->sequencer);
    vlm_text_tokenizer_close(it->tokenizer);
    vlm_engine_release(&it->engine);
    free(it);
}

static inline void fixture_prompt(struct stream_fixture *it, struct vlm_sequence *prompt,
                                  const char *text)
{
    small_prompt(it->sequencer, &it->vocabulary, prompt, text);
}

static inline struct vlm_stream *fixture_stream(struct stream_fixture *it,
                                                const struct vlm_sequence *prompt,
                                                const struct vlm_sequence *negative,
                                                const struct vlm_generate_options *options)
{
    struct vlm_stream *stream;
    const struct vlm_stream_prompt asked = { .ids = prompt->ids,
                                             .n = prompt->n,
                                             .negative = negative ? negative->ids : NULL,
                                             .n_negative = negative ? negative->n : 0 };
    if (vlm_stream_new(&stream, &it->choices, &asked, STREAM_CONTEXT, options, &it->err))
        fail_msg("%s", it->err.msg);
    return stream;
}

/* Runs the rows [begin, end) of a lane, whose others the cache has; logits of the last row, or of all. */
static inline const float *fixture_forward(struct stream_fixture *it, const struct vlm_lane *lane,
                                           size_t cache, size_t begin, size_t end)
{
    uint32_t image_rows[64];
    struct vlm_rows rows = { .n = end - begin,
                             .ids = lane->ids + begin,
                             .positions = it->number + begin,
                             .lo = it->zero,
                             .hi = it->number + begin + 1,
                             .places = it->number + begin,
                             .codes = lane->codes,
                             .image_rows = image_rows };
    for (size_t i = 0; begin == 0 && i < lane->n_images; i++, rows.n_images++)
        for (size_t k = 0; k < SMALL_IMAGE_ROWS; k++)
            image_rows[i * SMALL_IMAGE_ROWS + k] = lane->image_row[i] + (uint32_t)k;
    vlm_tape_reset(&it->tape);
    struct vlm_tensor *logits =
        vlm_model_logits(&it->tape, &it->model,
                         vlm_model_forward(&it->tape, &it->model, &rows, &it->cache[cache], 0));
    if (vlm_tape_error(&it->tape, &it->err))
        fail_msg("%s", it->err.msg);
    return logits->data;
}

/* The logits behind the last row of a lane; whatever of its rows the cache has already stays. */
static inline const float *fixture_logits(struct stream_fixture *it, const struct vlm_lane *lane,
                                          size_t i)
{
    while (it->caches <= i) {
        it->seen[it->caches] = calloc(STREAM_CONTEXT, sizeof(uint32_t));
        assert_non_null(it->seen[it->caches]);
        assert_int_equal(
            vlm_cache_init(&it->cache[it->caches++], &it->model, STREAM_CONTEXT, &it->err), VLM_OK);
    }
    size_t same = 0;
    while (!lane->n_images && same < it->n_seen[i] && same + 1 < lane->n &&
           it->seen[i][same] == lane->ids[same])
        same++;
    const float *logits = fixture_forward(it, lane, i, same, lane->n);
    memcpy(it->seen[i], lane->ids, lane->n * sizeof(*lane->ids));
    it->n_seen[i] = lane->n_images ? 0 : lane->n;
    return logits + (lane->n - same - 1) * it->model.config.vocabulary;
}

/* Draws one token. */
static inline int fixture_step(struct stream_fixture *it, struct vlm_stream *stream)
{
    const size_t vocabulary = it->model.config.vocabulary;
    const float *logits[VLM_LANES_MAX];
    float *kept = malloc(VLM_LANES_MAX * vocabulary * sizeof(*kept));
    assert_non_null(kept);
    for (size_t i = 0; i < stream->n_lanes; i++) {
        const float *row = fixture_logits(it, &stream->lane[i], i);
        logits[i] = kept + i * vocabulary;
        memcpy(kept + i * vocabulary, row, vocabulary * sizeof(*kept));
        if (stream->wanted == VLM_LOGITS_CODES)
            logits[i] += it->vocabulary.first_code;
    }
    int rc = vlm_stream_draw(stream, logits, &it->err);
    free(kept);
    return rc;
}

static inline void fixture_run(struct stream_fixture *it, struct vlm_stream *stream)
{
    while (!stream->over)
        if (fixture_step(it, stream))
            fail_msg("%s", it->err.msg);
}

#endif
