/* model_folder_fixture.h - small models of every form with the shipped text tokenizer, as folders. */
#ifndef VLM_TESTS_MODEL_FOLDER_FIXTURE_H
#define VLM_TESTS_MODEL_FOLDER_FIXTURE_H

#include "base/vlm.h"

#include "base/file.h"
#include "base/random.h"
#include "models/folder/model_folder.h"

enum { FIXTURE_CODES = 32, FIXTURE_WIDTH = 24 };

/* Forms of models: what differs of them. */
struct fixture_form {
    const char *name, *recipe, *layer;
    enum vlm_position position;
    bool untied, biases, hidden_biases, bf16, sees;
    size_t heads, kv_heads, head_size, hidden;
    enum vlm_activation activation;
};

static const struct fixture_form fixture_forms[] = {
    { "cm3", "cm3", "pre-ln", VLM_POSITION_SINUSOID, .heads = 4, .kv_heads = 4, .head_size = 6,
      .hidden = 96, .activation = VLM_GELU_TANH },
    { "lm", "lm", "pre-ln", VLM_POSITION_LEARNED, .untied = true, .heads = 3, .kv_heads = 3,
      .head_size = 8, .hidden = 50, .activation = VLM_RELU },
    { "modern", "cm3-modern", "llama", VLM_POSITION_ROTARY, .untied = true, .heads = 4,
      .kv_heads = 2, .head_size = 8, .hidden = 40, .activation = VLM_SILU },
    { "modern_tied", "cm3-modern", "llama", VLM_POSITION_ROTARY, .biases = true, .heads = 4,
      .kv_heads = 1, .head_size = 6, .hidden = 40, .activation = VLM_SILU },
    { "modern_biases", "cm3-modern", "llama", VLM_POSITION_ROTARY, .biases = true,
      .hidden_biases = true, .bf16 = true, .heads = 2, .kv_heads = 2, .head_size = 12, .hidden = 31,
      .activation = VLM_SILU },
    { "cm3_bf16", "cm3", "pre-ln", VLM_POSITION_SINUSOID, .bf16 = true, .heads = 4, .kv_heads = 4,
      .head_size = 6, .hidden = 96, .activation = VLM_GELU_TANH },
    { "captioner", "captioner", "pre-ln", VLM_POSITION_SINUSOID, .sees = true, .heads = 4,
      .kv_heads = 4, .head_size = 6, .hidden = 96, .activation = VLM_GELU_TANH },
};

struct fixture_model {
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    struct vlm_recipe recipe;
    struct vlm_model model;
    char image_tokenizer_id[VLM_TOKENIZER_ID_SIZE];
};

static inline void fixture_check(int rc, const struct vlm_err *err)
{
    if (rc == VLM_OK)
        return;
    fprintf(stderr, "%s\n", err->msg);
    abort();
}

static inline struct vlm_model_config fixture_config(const struct fixture_form *form,
                                                     size_t vocabulary)
{
    struct vlm_model_config config = {
        .layer = vlm_layer_find(form->layer),
        .sizes = { .width = FIXTURE_WIDTH,
                   .heads = form->heads,
                   .kv_heads = form->kv_heads,
                   .head_size = form->head_size,
                   .hidden = form->hidden,
                   .biases = form->biases,
                   .hidden_biases = form->hidden_biases,
                   .activation = form->activation,
                   .norm_epsilon = 1e-5f,
                   .position = form->position,
                   .rotary_base = form->position == VLM_POSITION_ROTARY ? 10000 : 0 },
        .layers = 2,
        .vocabulary = vocabulary,
        .context = 40,
        .tied = !form->untied,
    };
    if (!form->sees)
        return config;
    config.encoder = vlm_encoder_find("codes");
    config.encoder_layers = 1;
    config.encoder_sizes = (struct vlm_sizes){ .width = 16,
                                               .heads = 2,
                                               .kv_heads = 2,
                                               .head_size = 8,
                                               .hidden = 64,
                                               .inputs = FIXTURE_CODES,
                                               .length = VLM_CODES,
                                               .activation = form->activation,
                                               .norm_epsilon = 1e-5f,
                                               .position = VLM_POSITION_LEARNED };
    config.bridge = vlm_bridge_find("prefix");
    config.bridge_sizes = (struct vlm_sizes){ .width = FIXTURE_WIDTH, .inputs = 16, .length = 8 };
    return config;
}

/* Weights that nothing is 0 or 1 in, so that no tensor can be left out unseen. */
static inline void fixture_model_init(struct fixture_model *fixture,
                                      const struct fixture_form *form)
{
    struct vlm_err err = { 0 };
    *fixture = (struct fixture_model){ .image_tokenizer_id = "" };
    fixture_check(vlm_text_tokenizer_open(&fixture->tokenizer, NULL, &err), &err);
    const struct vlm_vocabulary_options options = {
        .n_codes = strcmp(form->recipe, "lm") && !form->sees ? FIXTURE_CODES : 0
    };
    fixture_check(vlm_vocabulary_init(&fixture->vocabulary, fixture->tokenizer, &options, &err),
                  &err);
    fixture_check(vlm_recipe_open(&fixture->recipe, form->recipe, NULL, 0, &err), &err);
    const struct vlm_model_config config = fixture_config(form, fixture->vocabulary.size);
    fixture_check(vlm_model_init(&fixture->model, &config, 0, &err), &err);
    vlm_model_fill(&fixture->model, 5);
    for (size_t i = 0; i < fixture->model.n; i++) {
        struct vlm_random random = vlm_random_at(11, 0, i);
        struct vlm_tensor *tensor = &fixture->model.tensors[i];
        for (size_t k = 0;
             tensor->rank && !fixture->model.parameters[i].frozen && k < vlm_tensor_count(tensor);
             k++)
            tensor->data[k] += (float)vlm_random_below(&random, 1000) * 4e-4f - 0.2f;
    }
}

static inline void fixture_model_release(struct fixture_model *fixture)
{
    vlm_model_release(&fixture->model);
    vlm_text_tokenizer_close(fixture->tokenizer);
}

/* Makes path, which is not there yet, and fills it. */
static inline void fixture_model_write(struct fixture_model *fixture,
                                       const struct fixture_form *form, const char *path)
{
    struct vlm_err err = { 0 };
    const struct vlm_model_content content = {
        .model = &fixture->model,
        .recipe = &fixture->recipe,
        .vocabulary = &fixture->vocabulary,
        .image_tokenizer_id = fixture->image_tokenizer_id,
        .readme = "# A model\n",
        .provenance = "{}\n",
        .bf16 = form->bf16,
    };
    fixture_check(vlm_folder_make(path, &err), &err);
    fixture_check(vlm_model_folder_write(path, &content, &err), &err);
}

#endif
