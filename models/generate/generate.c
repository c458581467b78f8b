/* generate.c - one prompt, one answer: a stream on a decoder of its own. */
#include "base/vlm.h"

#include "models/generate/decoder.h"
#include "models/generate/generate.h"

struct vlm_generator {
    const struct vlm_engine *engine;
    struct vlm_model *model;
    struct vlm_choices choices;
    struct vlm_decoder_options options;
    struct vlm_decoder *decoder;
};

/* ---- the generator ---- */

int vlm_generator_new(struct vlm_generator **out, const struct vlm_engine *engine,
                      struct vlm_model *model, const struct vlm_vocabulary *vocabulary,
                      size_t capacity, enum vlm_dtype precision, struct vlm_err *err)
{
    *out = NULL;
    struct vlm_generator *it = calloc(1, sizeof(*it));
    if (!it)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a generator");
    it->engine = engine;
    it->model = model;
    it->options = (struct vlm_decoder_options){
        .slots = 1,
        .capacity = capacity ? capacity : model->config.context,
        .precision = precision,
    };
    int rc = vlm_choices_init(&it->choices, engine, model, vocabulary, err);
    if (rc == VLM_OK)
        rc = vlm_decoder_new(&it->decoder, engine, model, &it->choices, &it->options, err);
    if (rc == VLM_OK)
        *out = it;
    else
        vlm_generator_free(it);
    return rc;
}

void vlm_generator_free(struct vlm_generator *it)
{
    if (!it)
        return;
    vlm_decoder_free(it->decoder);
    vlm_choices_release(&it->choices);
    free(it);
}

/* Slots for all lanes of a stream: most have one. */
static int make_room(struct vlm_generator *it, size_t lanes, struct vlm_err *err)
{
    if (vlm_decoder_has_room(it->decoder, lanes))
        return VLM_OK;
    struct vlm_decoder *larger;
    struct vlm_decoder_options options = it->options;
    options.slots = lanes;
    int rc = vlm_decoder_new(&larger, it->engine, it->model, &it->choices, &options, err);
    if (rc != VLM_OK)
        return rc;
    vlm_decoder_free(it->decoder);
    it->decoder = larger;
    it->options = options;
    return VLM_OK;
}

struct outcome {
    int rc;
    struct vlm_err *err;
};

static void note(void *context, struct vlm_stream *stream, int rc, const struct vlm_err *err)
{
    struct outcome *outcome = context;
    (void)stream;
    outcome->rc = rc;
    if (rc != VLM_OK)
        *outcome->err = *err;
}

static int run(struct vlm_generator *it, struct vlm_stream *stream, struct vlm_err *err)
{
    struct outcome outcome = { .rc = VLM_OK, .err = err };
    if (stream->over)
        return VLM_OK;
    int rc = make_room(it, stream->n_lanes, err);
    if (rc == VLM_OK)
        rc = vlm_decoder_add(it->decoder, stream, err);
    while (rc == VLM_OK && vlm_decoder_streams(it->decoder)) {
        vlm_decoder_step(it->decoder, note, &outcome);
        rc = outcome.rc;
    }
    return rc;
}

int vlm_generate(struct vlm_generator *it, struct vlm_answer *answer, const uint32_t *prompt,
                 size_t n, const uint32_t *image_codes, size_t n_images,
                 const struct vlm_generate_options *options, struct vlm_err *err)
{
    const struct vlm_stream_prompt asked = {
        .ids = prompt, .n = n, .image_codes = image_codes, .n_images = n_images
    };
    struct vlm_stream *stream = NULL;
    *answer = (struct vlm_answer){ .n_fills = 0 };
    int rc = vlm_stream_new(&stream, &it->choices, &asked, it->options.capacity, options, err);
    if (rc == VLM_OK)
        rc = run(it, stream, err);
    if (rc == VLM_OK) {
        *answer = stream->answer;
        stream->answer = (struct vlm_answer){ .n_fills = 0 };
    }
    vlm_stream_free(stream);
    return rc;
}

int vlm_score(struct vlm_generator *it, double *total, float *losses, const uint32_t *prompt,
              size_t n_prompt, const uint32_t *ids, size_t n, const uint32_t *image_codes,
              size_t n_images, struct vlm_err *err)
{
    struct vlm_stream *stream = NULL;
    uint32_t *both = malloc((n_prompt + n + 1) * sizeof(*both));
    int rc = both ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for %zu tokens", n_prompt + n);
    *total = 0;
    if (rc == VLM_OK && !n_prompt)
        rc = vlm_fail(err, VLM_EUSAGE, "the prompt is empty");
    if (rc != VLM_OK || !n)
        goto out;
    memcpy(both, prompt, n_prompt * sizeof(*both));
    memcpy(both + n_prompt, ids, n * sizeof(*both));
    const struct vlm_stream_prompt asked = {
        .ids = both, .n = n_prompt + n, .image_codes = image_codes, .n_images = n_images
    };
    rc = vlm_stream_new_score(&stream, &it->choices, &asked, n_prompt, it->options.capacity, err);
    if (rc == VLM_OK)
        rc = run(it, stream, err);
    if (rc == VLM_OK)
        *total = stream->answer.log_likelihood;
    if (rc == VLM_OK && losses)
        memcpy(losses, stream->losses + n_prompt - 1, n * sizeof(*losses));
out:
    vlm_stream_free(stream);
    free(both);
    return rc;
}
