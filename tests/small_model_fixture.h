/* small_model_fixture.h - models of a size that a test can run thousands of times, and prompts for them.
 *
 *   struct vlm_model_config config = small_config("llama", vocabulary.size, 512);
 *   rc = small_model(&model, &config, 7, &err);
 *   small_prompt(sequencer, &vocabulary, &prompt, "<img src=\"{20}<mask:0>\">");
 */
#ifndef VLM_TESTS_SMALL_MODEL_FIXTURE_H
#define VLM_TESTS_SMALL_MODEL_FIXTURE_H

#include "models/model/model.h"
#include "tokenize/sequence/sequence.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SMALL_CODES = 48, SMALL_IMAGE_ROWS = 4 };

/* "pre-ln" as CM3 has it, or "llama". */
static inline struct vlm_model_config small_config(const char *layer, size_t vocabulary,
                                                   size_t context)
{
    const bool llama = !strcmp(layer, "llama");
    return (struct vlm_model_config){
        .layer = vlm_layer_find(layer),
        .sizes = { .width = 32,
                   .heads = 4,
                   .kv_heads = llama ? 2 : 4,
                   .head_size = 8,
                   .hidden = 64,
                   .biases = !llama,
                   .activation = llama ? VLM_SILU : VLM_GELU_TANH,
                   .norm_epsilon = 1e-5f,
                   .position = llama ? VLM_POSITION_ROTARY : VLM_POSITION_SINUSOID,
                   .rotary_base = 10000 },
        .layers = 2,
        .vocabulary = vocabulary,
        .context = context,
        .tied = !llama,
    };
}

/* Puts an encoder of codes in front: an image is SMALL_IMAGE_ROWS rows. */
static inline void small_sees(struct vlm_model_config *config)
{
    config->encoder = vlm_encoder_find("codes");
    config->encoder_sizes = config->sizes;
    config->encoder_sizes.position = VLM_POSITION_LEARNED;
    config->encoder_sizes.inputs = SMALL_CODES;
    config->encoder_sizes.length = VLM_IMAGE_CODES;
    config->encoder_layers = 1;
    config->bridge = vlm_bridge_find("prefix");
    config->bridge_sizes = config->sizes;
    config->bridge_sizes.inputs = config->encoder_sizes.width;
    config->bridge_sizes.length = SMALL_IMAGE_ROWS;
}

/* Random weights, larger than a model begins with, so that predictions depend on all that came before. */
static inline int small_model(struct vlm_model *model, const struct vlm_model_config *config,
                              uint64_t seed, struct vlm_err *err)
{
    int rc = vlm_model_init(model, config, 0, err);
    if (rc != VLM_OK)
        return rc;
    vlm_model_fill(model, seed);
    for (size_t i = 0; i < model->n; i++)
        for (size_t k = 0;
             model->parameters[i].fill == VLM_FILL_NORMAL &&
             &model->tensors[i] != model->positions && k < vlm_tensor_count(&model->tensors[i]);
             k++)
            model->tensors[i].data[k] *= 12;
    return VLM_OK;
}

/* The ids of a prompt of markup behind the token that documents of CM3 begin with. "{n}" stands for n codes. */
static inline void small_prompt(struct vlm_sequencer *sequencer,
                                const struct vlm_vocabulary *vocabulary,
                                struct vlm_sequence *prompt, const char *text)
{
    struct vlm_buffer whole = { 0 };
    struct vlm_sequence ids = { 0 };
    struct vlm_err err = { 0 };
    for (const char *at = text; *at; at++) {
        if (*at != '{') {
            vlm_buffer_byte(&whole, (uint8_t)*at);
            continue;
        }
        long n = strtol(at + 1, (char **)&at, 10);
        for (long i = 0; i < n; i++)
            vlm_buffer_printf(&whole, "%s%ld", i ? " " : "", (i * 7 + n) % SMALL_CODES);
    }
    if (vlm_sequence_parse(sequencer, &ids, (const char *)whole.data, whole.size,
                           VLM_PARSE_MARKUP | VLM_PARSE_PROMPT, &err))
        fail_msg("%s", err.msg);
    vlm_sequence_reset(prompt);
    assert_true(vlm_sequence_reserve(prompt, ids.n + 1));
    prompt->ids[prompt->n++] = vocabulary->control[VLM_CONTROL_END];
    for (size_t i = 0; i < ids.n; i++)
        prompt->ids[prompt->n++] = ids.ids[i];
    vlm_sequence_release(&ids);
    vlm_buffer_release(&whole);
}

#endif
