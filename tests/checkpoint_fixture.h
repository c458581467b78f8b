/* checkpoint_fixture.h - a tiny run whose every number is a function of its step, to be saved and loaded.
 *
 *   fixture_init(&run, "/tmp/somewhere");
 *   fixture_set(&run, 7);                       // weights, moments and state of step 7
 *   rc = fixture_save(&run, &err);
 *   fixture_clear(&run); ... vlm_checkpoint_load() ...
 *   assert_true(fixture_is(&run, 7));           // bit for bit */
#ifndef VLM_TESTS_CHECKPOINT_FIXTURE_H
#define VLM_TESTS_CHECKPOINT_FIXTURE_H

#include "base/random.h"
#include "tests/sequence_fixture.h"
#include "trainer/save/checkpoint.h"

#include <math.h>

enum { FIXTURE_PARAMETERS_MAX = 64, FIXTURE_TOLD_SIZE = 4096, FIXTURE_CODES = 16 };

struct fixture_run {
    char folder[256];
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    struct vlm_recipe recipe;
    struct vlm_model model;
    struct vlm_engine engine;
    struct vlm_optimizer optimizer;
    struct vlm_trainer_state state;
    struct vlm_identity identity;
    struct vlm_checkpoint_options options;
    char told[FIXTURE_TOLD_SIZE]; /* what vlm_checkpoint_load() told, a line each */
};

static inline void fixture_need(int rc, const struct vlm_err *err)
{
    if (rc != VLM_OK)
        fprintf(stderr, "fixture: %s\n", err->msg);
    VLM_BUG_IF(rc != VLM_OK);
}

/* A model of one layer for the recipe. */
static inline struct vlm_model_config fixture_config(const struct fixture_run *run)
{
    const struct vlm_recipe *recipe = &run->recipe;
    const bool llama = recipe->layer != vlm_layer_find("pre-ln");
    const struct vlm_sizes sizes = { .width = 8,
                                     .heads = 2,
                                     .kv_heads = llama ? 1 : 2,
                                     .head_size = 4,
                                     .hidden = 16,
                                     .biases = !llama,
                                     .hidden_biases = !llama,
                                     .activation = llama ? VLM_SILU : VLM_GELU_TANH,
                                     .norm_epsilon = 1e-5f,
                                     .position = recipe->position,
                                     .rotary_base = 10000 };
    struct vlm_model_config config = { .layer = recipe->layer,
                                       .sizes = sizes,
                                       .layers = 1,
                                       .vocabulary = run->vocabulary.size,
                                       .context = 16,
                                       .tied = recipe->tied,
                                       .encoder = recipe->encoder,
                                       .bridge = recipe->bridge };
    if (recipe->encoder) {
        config.encoder_layers = 1;
        config.encoder_sizes = sizes;
        config.encoder_sizes.inputs = FIXTURE_CODES;
        config.encoder_sizes.length = 256;
        config.bridge_sizes = sizes;
        config.bridge_sizes.inputs = sizes.width;
        config.bridge_sizes.length = 2;
    }
    return config;
}

static inline void fixture_init_frozen(struct fixture_run *run, const char *folder,
                                       const char *recipe, const char *const *freeze,
                                       size_t n_freeze)
{
    struct vlm_err err = { 0 };
    memset(run, 0, sizeof(*run));
    snprintf(run->folder, sizeof(run->folder), "%s", folder);
    run->tokenizer = fixture_tokenizer(true);
    VLM_BUG_IF(!run->tokenizer);
    const struct vlm_vocabulary_options words = { .n_codes = FIXTURE_CODES };
    fixture_need(vlm_vocabulary_init(&run->vocabulary, run->tokenizer, &words, &err), &err);
    fixture_need(vlm_recipe_open(&run->recipe, recipe, NULL, 0, &err), &err);
    const struct vlm_model_config config = fixture_config(run);
    fixture_need(vlm_model_init(&run->model, &config, VLM_MODEL_GRADS, &err), &err);
    vlm_model_fill(&run->model, 1);
    fixture_need(vlm_model_freeze(&run->model, freeze, n_freeze, NULL, 0, &err), &err);
    fixture_need(vlm_engine_init(&run->engine, 1, VLM_GEMM_AUTO, &err), &err);
    struct vlm_parameter list[FIXTURE_PARAMETERS_MAX] = { { 0 } };
    VLM_BUG_IF(run->model.n > FIXTURE_PARAMETERS_MAX);
    vlm_model_list(list, &run->model);
    struct vlm_optimizer_options options = VLM_OPTIMIZER_DEFAULTS;
    options.average = 0.99;
    fixture_need(
        vlm_optimizer_init(&run->optimizer, &run->engine, list, run->model.n, &options, &err),
        &err);
    vlm_identity_add(&run->identity, "recipe", "%s", "cm3");
    vlm_identity_add(&run->identity, "data 0", "%016x", 0x1234u);
    run->options = (struct vlm_checkpoint_options){ .run = run->folder, .keep = 2 };
}

static inline void fixture_init_recipe(struct fixture_run *run, const char *folder,
                                       const char *recipe)
{
    fixture_init_frozen(run, folder, recipe, NULL, 0);
}

static inline void fixture_init(struct fixture_run *run, const char *folder)
{
    fixture_init_recipe(run, folder, "cm3");
}

static inline void fixture_release(struct fixture_run *run)
{
    vlm_optimizer_release(&run->optimizer);
    vlm_engine_release(&run->engine);
    vlm_model_release(&run->model);
    vlm_text_tokenizer_close(run->tokenizer);
}

/* Numbers of any size and sign, subnormal ones among them. */
static inline float fixture_number(uint64_t step, uint64_t stream, uint64_t i)
{
    struct vlm_random random = vlm_random_at(step, stream, i);
    double number = vlm_random_unit(&random) - 0.5;
    return (float)ldexp(number, (int)vlm_random_between(&random, -145, 20));
}

static inline void fixture_state(struct vlm_trainer_state *state, uint64_t step)
{
    *state = (struct vlm_trainer_state){ .step = step,
                                         .batches = UINT64_MAX - step,
                                         .updates = step / 2,
                                         .tokens = (UINT64_C(1) << 53) + 1 + step,
                                         .documents = step * 3,
                                         .n_left_out = step % 5,
                                         .roll_backs = step % 3,
                                         .best_loss = step % 2 ? 1 / (3 + (double)step) : INFINITY,
                                         .best_step = step / 3 };
    for (size_t i = 0; i < state->n_left_out; i++)
        state->left_out[i] = UINT64_MAX - i * step;
    for (size_t i = 0; i < step % VLM_SOURCES_MAX; i++)
        state->place.cursor.drawn[i] = (UINT64_C(1) << 60) + i;
    state->place.sample = step;
    for (uint64_t i = 0; i < step * 7; i++)
        if (vlm_guard_judge(&state->guard, 3 + fixture_number(1, 9, i), 1 / (1 + (double)i)) ==
            VLM_GUARD_ROLL_BACK)
            state->roll_backs++;
}

static inline void fixture_set(struct fixture_run *run, uint64_t step)
{
    for (size_t i = 0; i < run->model.n; i++)
        for (size_t k = 0;
             run->model.tensors[i].rank && k < vlm_tensor_count(&run->model.tensors[i]); k++)
            run->model.tensors[i].data[k] = fixture_number(step, i, k);
    for (size_t i = 0; i < run->model.n; i++)
        for (int part = VLM_STATE_M; part <= VLM_STATE_AVERAGE; part++) {
            float *data = vlm_optimizer_state(&run->optimizer, i, (enum vlm_optimizer_part)part);
            for (size_t k = 0; data && k < vlm_tensor_count(&run->model.tensors[i]); k++) {
                data[k] = fixture_number(step, 1000 + 4 * i + (uint64_t)part, k);
                if (part == VLM_STATE_V)
                    data[k] = fabsf(data[k]);
            }
        }
    fixture_state(&run->state, step);
    run->optimizer.step = run->state.updates;
}

static inline void fixture_clear(struct fixture_run *run)
{
    fixture_set(run, 999);
    run->state = (struct vlm_trainer_state){ 0 };
    run->told[0] = 0;
}

static inline int fixture_save(struct fixture_run *run, struct vlm_err *err)
{
    const struct vlm_model_content content = { .model = &run->model,
                                               .recipe = &run->recipe,
                                               .vocabulary = &run->vocabulary,
                                               .image_tokenizer_id = "pca-0123456789ab",
                                               .readme = "# a model\n",
                                               .provenance = "{}\n",
                                               .bf16 = true };
    return vlm_checkpoint_save(&run->options, &content, &run->optimizer, &run->state,
                               &run->identity, err);
}

static inline void fixture_tell(const char *sentence, void *context)
{
    struct fixture_run *run = context;
    size_t used = strlen(run->told);
    snprintf(run->told + used, sizeof(run->told) - used, "%s\n", sentence);
}

static inline int fixture_load(struct fixture_run *run, uint64_t at_most, struct vlm_err *err)
{
    run->told[0] = 0;
    return vlm_checkpoint_load(run->folder, at_most, &run->model, &run->optimizer, &run->state,
                               &run->identity, fixture_tell, run, err);
}

/* Whether weights, moments and state are those of a step, bit for bit. Costs what it compares. */
static inline bool fixture_is(struct fixture_run *run, uint64_t step)
{
    size_t moments = 3 * run->optimizer.state_floats * sizeof(float);
    size_t weights = run->model.count * sizeof(float);
    float *all = malloc(weights + moments);
    struct vlm_trainer_state *state = malloc(sizeof(*state));
    uint64_t updates = run->optimizer.step;
    VLM_BUG_IF(!all || !state);
    memcpy(all, run->model.values, weights);
    memcpy((char *)all + weights, run->optimizer.state, moments);
    memcpy(state, &run->state, sizeof(*state));
    fixture_set(run, step);
    bool same = !memcmp(all, run->model.values, weights) &&
                !memcmp((char *)all + weights, run->optimizer.state, moments) &&
                !memcmp(state, &run->state, sizeof(*state)) && updates == run->optimizer.step;
    free(state);
    free(all);
    return same;
}

#endif
