/* model_fixture.h - what the tests of models share: small models of every form, rows for them, steps.
 *
 *   struct vlm_model_config config = model_config(MODEL_LLAMA);
 *   struct model_rows *rows = model_rows_new(&config, (size_t[]){ 7, 13 }, 2, 1);
 *   ... vlm_model_loss(&tape, &model, &rows->rows, &rows->targets, 0) ...
 *   free(rows);
 */
#ifndef VLM_TESTS_MODEL_FIXTURE_H
#define VLM_TESTS_MODEL_FIXTURE_H

#include "models/model/model.h"
#include "nn/ops/vocabulary_loss.h"
#include "tests/nn_fixture.h"

enum model_form {
    MODEL_GPT2,         /* learned positions */
    MODEL_CM3,          /* sinusoids */
    MODEL_LLAMA,        /* heads that share keys, an odd hidden size, a head of its own */
    MODEL_LLAMA_BIASED, /* and biases */
    MODEL_CAPTIONER,    /* an encoder and a bridge before GPT-2 */
    MODEL_FORMS
};

enum { MODEL_PLACES = 12, MODEL_CODES = 11, MODEL_PREFIX = 3, MODEL_ROWS_MAX = 1024 };

static inline struct vlm_model_config model_config(enum model_form form)
{
    struct vlm_model_config config = {
        .layer = vlm_layer_find("pre-ln"),
        .sizes = { .width = 18,
                   .heads = 3,
                   .kv_heads = 3,
                   .head_size = 6,
                   .hidden = 25,
                   .activation = VLM_GELU_TANH,
                   .norm_epsilon = 1e-5f,
                   .position = form == MODEL_CM3 ? VLM_POSITION_SINUSOID : VLM_POSITION_LEARNED },
        .layers = 2,
        .vocabulary = 31,
        .context = 160,
        .tied = true,
    };
    if (form == MODEL_LLAMA || form == MODEL_LLAMA_BIASED) {
        config.layer = vlm_layer_find("llama");
        config.sizes.heads = 4;
        config.sizes.kv_heads = 2;
        config.sizes.head_size = 10;
        config.sizes.biases = form == MODEL_LLAMA_BIASED;
        config.sizes.position = VLM_POSITION_ROTARY;
        config.sizes.rotary_base = 10000;
        config.tied = form == MODEL_LLAMA_BIASED;
    }
    if (form == MODEL_CAPTIONER) {
        config.encoder = vlm_encoder_find("codes");
        config.encoder_layers = 2;
        config.encoder_sizes = (struct vlm_sizes){ .width = 8,
                                                   .heads = 2,
                                                   .kv_heads = 2,
                                                   .head_size = 4,
                                                   .hidden = 13,
                                                   .inputs = MODEL_CODES,
                                                   .length = MODEL_PLACES,
                                                   .activation = VLM_GELU_TANH,
                                                   .norm_epsilon = 1e-5f,
                                                   .position = VLM_POSITION_LEARNED };
        config.bridge = vlm_bridge_find("prefix");
        config.bridge_sizes =
            (struct vlm_sizes){ .width = 18, .inputs = 8, .length = MODEL_PREFIX };
    }
    return config;
}

static inline const char *model_form_name(enum model_form form)
{
    static const char *const name[] = { "gpt2", "cm3", "llama", "llama, biased", "captioner" };
    return name[form];
}

struct model_rows {
    struct vlm_rows rows;
    struct vlm_targets targets;
    uint32_t ids[MODEL_ROWS_MAX], positions[MODEL_ROWS_MAX], lo[MODEL_ROWS_MAX], hi[MODEL_ROWS_MAX],
        target_ids[MODEL_ROWS_MAX];
    uint32_t codes[16 * MODEL_PLACES], image_rows[16 * MODEL_PREFIX];
};

/* Causal sequences of random tokens, of which some have no target; each begins with an image when the
 * model sees images. To be freed. */
static inline struct model_rows *model_rows_new(const struct vlm_model_config *config,
                                                const size_t *lengths, size_t sequences,
                                                uint64_t seed)
{
    struct model_rows *d = calloc(1, sizeof(*d));
    assert_non_null(d);
    struct vlm_random random = vlm_random_at(seed, 7, 0);
    vlm_rows_causal(d->positions, d->lo, d->hi, lengths, sequences);
    size_t n = 0;
    for (size_t s = 0; s < sequences; n += lengths[s++]) {
        assert_in_range(lengths[s], MODEL_PREFIX + 1, MODEL_ROWS_MAX - n);
        for (size_t i = 0; i < MODEL_PREFIX; i++)
            d->image_rows[s * MODEL_PREFIX + i] = (uint32_t)(n + i);
    }
    for (size_t i = 0; i < n; i++) {
        d->ids[i] = (uint32_t)vlm_random_below(&random, config->vocabulary);
        d->target_ids[i] = (uint32_t)vlm_random_below(&random, config->vocabulary);
        if (vlm_random_chance(&random, 20))
            d->target_ids[i] = VLM_IGNORE;
    }
    for (size_t i = 0; i < VLM_COUNTOF(d->codes); i++)
        d->codes[i] = (uint32_t)vlm_random_below(&random, MODEL_CODES);
    d->rows = (struct vlm_rows){
        .n = n,
        .ids = d->ids,
        .positions = d->positions,
        .lo = d->lo,
        .hi = d->hi,
        .n_images = config->encoder ? sequences : 0,
        .codes = d->codes,
        .image_rows = d->image_rows,
    };
    d->targets.ids = d->target_ids;
    return d;
}

/* A model with weights so large that every part of it matters. */
static inline void model_begin(struct vlm_model *model, const struct vlm_model_config *config,
                               unsigned flags)
{
    struct vlm_err err = { 0 };
    if (vlm_model_init(model, config, flags, &err))
        fail_msg("%s", err.msg);
    vlm_model_fill(model, 3);
    for (size_t i = 0; i < model->n; i++) {
        struct vlm_tensor *t = &model->tensors[i];
        const float width = t->rank == 2 ? (float)t->shape[1] : 4;
        for (size_t k = 0; !model->parameters[i].frozen && k < vlm_tensor_count(t); k++)
            t->data[k] = 1.2f * nn_random(i, k) / sqrtf(width) +
                         (model->parameters[i].fill == VLM_FILL_ONES);
    }
}

/* The optimizer of a model's parameters. */
static inline void model_optimizer(struct vlm_optimizer *optimizer, const struct vlm_engine *engine,
                                   const struct vlm_model *model,
                                   const struct vlm_optimizer_options *options, bool decay_all)
{
    struct vlm_err err = { 0 };
    struct vlm_parameter *list = calloc(model->n, sizeof(*list));
    assert_non_null(list);
    for (size_t i = 0; i < model->n; i++) {
        const struct vlm_model_parameter *p = &model->parameters[i];
        list[i].tensor = &model->tensors[i];
        list[i].flags = (p->decay || decay_all ? VLM_PARAMETER_DECAY : 0u) |
                        (p->frozen ? VLM_PARAMETER_FROZEN : 0u);
    }
    if (vlm_optimizer_init(optimizer, engine, list, model->n, options, &err))
        fail_msg("%s", err.msg);
    free(list);
}

/* Forward and backward; the loss. */
static inline double model_derive(struct nn *nn, struct vlm_model *model,
                                  const struct vlm_rows *rows, const struct vlm_targets *targets,
                                  unsigned flags)
{
    struct vlm_err err = { 0 };
    struct vlm_tensor *loss = vlm_model_loss(&nn->tape, model, rows, targets, flags);
    if (vlm_backward(&nn->tape, loss, &err))
        fail_msg("%s", err.msg);
    double value = vlm_tape_runs(&nn->tape) ? (double)loss->data[0] : 0;
    vlm_tape_reset(&nn->tape);
    return value;
}

/* Logits [rows, vocabulary] of a forward pass, to be freed. */
static inline float *model_logits(struct nn *nn, struct vlm_model *model,
                                  const struct vlm_rows *rows, struct vlm_cache *cache)
{
    struct vlm_err err = { 0 };
    const unsigned kept = nn->tape.flags;
    nn->tape.flags |= VLM_TAPE_FORWARD;
    struct vlm_tensor *y =
        vlm_model_logits(&nn->tape, model, vlm_model_forward(&nn->tape, model, rows, cache, 0));
    if (vlm_tape_error(&nn->tape, &err))
        fail_msg("%s", err.msg);
    float *copy = malloc((vlm_tensor_count(y) + 1) * sizeof(*copy));
    assert_non_null(copy);
    memcpy(copy, y->data, vlm_tensor_count(y) * sizeof(*copy));
    nn->tape.flags = kept;
    vlm_tape_reset(&nn->tape);
    return copy;
}

/* Norm of the difference of n numbers to the norm of those expected. */
static inline double model_distance(const float *x, const float *expected, size_t n)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - (double)expected[i];
        difference += d * d;
        norm += (double)expected[i] * (double)expected[i];
    }
    return sqrt(difference / (norm > 0 ? norm : 1));
}

#endif
