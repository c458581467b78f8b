/* model_forward.c - from rows to the state behind the last norm, to logits and to the loss. The same
 * function trains, prefills and decodes: only the arrays of struct vlm_rows differ. */
#include "base/vlm.h"

#include "models/blocks/block_internal.h"
#include "models/model/model.h"
#include "nn/ops/activation.h"
#include "nn/ops/embedding.h"
#include "nn/ops/linear.h"
#include "nn/ops/rows.h"
#include "nn/ops/vocabulary_loss.h"

void vlm_rows_causal(uint32_t *positions, uint32_t *lo, uint32_t *hi, const size_t *lengths,
                     size_t sequences)
{
    uint32_t row = 0;
    for (size_t i = 0; i < sequences; i++) {
        const uint32_t first = row;
        for (size_t k = 0; k < lengths[i]; k++, row++) {
            positions[row] = row - first;
            lo[row] = first;
            hi[row] = row + 1;
        }
    }
}

/* Numbers that come from files and requests: a wrong one must be a sentence, not a crash. */
static void check_rows(struct vlm_tape *tape, const struct vlm_model *model,
                       const struct vlm_rows *rows)
{
    const struct vlm_model_config *config = &model->config;
    for (size_t r = 0; vlm_tape_runs(tape) && r < rows->n; r++) {
        if (rows->ids[r] >= config->vocabulary)
            vlm_tape_fail(tape, VLM_EFORMAT,
                          "row %zu: token %" PRIu32 " is not below the vocabulary of %zu", r,
                          rows->ids[r], config->vocabulary);
        else if (rows->positions[r] >= config->context)
            vlm_tape_fail(tape, VLM_ELIMIT,
                          "row %zu: position %" PRIu32 " is beyond the context of %zu", r,
                          rows->positions[r], config->context);
    }
    if (rows->n_images && !config->encoder)
        vlm_tape_fail(tape, VLM_EFORMAT, "%zu images for a model without an encoder",
                      rows->n_images);
    const size_t codes = rows->n_images * config->encoder_sizes.length;
    for (size_t i = 0; vlm_tape_runs(tape) && i < codes; i++)
        if (rows->codes[i] >= config->encoder_sizes.inputs)
            vlm_tape_fail(
                tape, VLM_EFORMAT, "image %zu: code %" PRIu32 " is not below the codebook of %zu",
                i / config->encoder_sizes.length, rows->codes[i], config->encoder_sizes.inputs);
}

/* Runs a layer, whose call is kept at `at` for the backward pass. Without one nothing is written to the
 * model, so that several threads may run it, each on a tape of its own. */
static struct vlm_tensor *run_layer(struct vlm_tape *tape, const struct vlm_layer_kind *kind,
                                    struct vlm_tensor *x, struct vlm_layer_call *at,
                                    const struct vlm_layer_call *call, unsigned flags)
{
    if (tape->flags & VLM_TAPE_FORWARD)
        return kind->forward(tape, x, call);
    *at = *call;
    return flags & VLM_MODEL_RECOMPUTE ? vlm_recompute(tape, kind->forward, x, at)
                                       : kind->forward(tape, x, at);
}

/* Rows of the encoder: each sees all of its image. NULL when kernels do not run, which then need
 * none of it. */
static const struct vlm_rows *encoder_rows(struct vlm_tape *tape, size_t images, size_t length)
{
    struct vlm_rows *rows = vlm_step_memory(tape, 1, sizeof(*rows));
    uint32_t *interval = vlm_step_memory(tape, 2 * images * length, sizeof(*interval));
    if (!rows || !interval)
        return NULL;
    *rows =
        (struct vlm_rows){ .n = images * length, .lo = interval, .hi = interval + images * length };
    for (size_t r = 0; r < rows->n; r++) {
        interval[r] = (uint32_t)(r / length * length);
        interval[rows->n + r] = (uint32_t)((r / length + 1) * length);
    }
    return rows;
}

/* Codes of images -> rows of the trunk's width, `length` of the bridge for each. */
static struct vlm_tensor *see(struct vlm_tape *tape, struct vlm_model *model,
                              const struct vlm_rows *rows, unsigned flags)
{
    static const struct vlm_rows nothing; /* of a dry run */
    const struct vlm_model_config *config = &model->config;
    const struct vlm_layer_kind *kind = &vlm_layer_pre_ln;
    struct vlm_layer_call call = { .sizes = &config->encoder_sizes,
                                   .tensors = model->encoder_trunk };
    call.rows = encoder_rows(tape, rows->n_images, config->encoder_sizes.length);
    if (!call.rows)
        call.rows = &nothing;
    struct vlm_tensor *x =
        config->encoder->embed(tape, &config->encoder_sizes, model->encoder, rows);
    for (size_t i = 0; i < config->encoder_layers; i++, call.tensors += kind->n_entries)
        x = run_layer(tape, kind, x, &model->calls[config->layers + i], &call, flags);
    struct vlm_tensor *norm = model->encoder + config->encoder->n_entries - 2;
    x = kind->norm(tape, x, &norm[0], &norm[1], config->encoder_sizes.norm_epsilon);
    return config->bridge->forward(tape, x, &config->bridge_sizes, model->bridge, rows->n_images);
}

struct vlm_tensor *vlm_model_forward(struct vlm_tape *tape, struct vlm_model *model,
                                     const struct vlm_rows *rows, struct vlm_cache *cache,
                                     unsigned flags)
{
    const struct vlm_model_config *config = &model->config;
    check_rows(tape, model, rows);
    struct vlm_tensor *x = vlm_embedding(tape, model->embed, rows->ids, rows->n);
    if (rows->n_images && config->encoder)
        x = vlm_scatter_rows(tape, x, rows->n, see(tape, model, rows, flags), rows->image_rows);
    if (model->positions)
        x = vlm_add(tape, x, vlm_embedding(tape, model->positions, rows->positions, rows->n));
    struct vlm_layer_call call = { .sizes = &config->sizes,
                                   .tensors = model->trunk,
                                   .rows = rows,
                                   .rotary_table = model->rotary_table };
    for (size_t i = 0; i < config->layers; i++, call.tensors += config->layer->n_entries) {
        call.cache = cache ? &cache->layer[i] : NULL;
        x = run_layer(tape, config->layer, x, &model->calls[i], &call, flags);
    }
    return config->layer->norm(tape, x, model->norm_weight, model->norm_bias,
                               config->sizes.norm_epsilon);
}

struct vlm_tensor *vlm_model_logits(struct vlm_tape *tape, struct vlm_model *model,
                                    struct vlm_tensor *state)
{
    return vlm_linear(tape, state, &(struct vlm_linear){ .weight = model->head });
}

struct vlm_tensor *vlm_model_loss(struct vlm_tape *tape, struct vlm_model *model,
                                  const struct vlm_rows *rows, const struct vlm_targets *targets,
                                  unsigned flags)
{
    struct vlm_tensor *state = vlm_model_forward(tape, model, rows, NULL, flags);
    return vlm_vocabulary_loss(tape, state,
                               &(struct vlm_vocabulary_loss){ .weight = model->head,
                                                              .targets = targets->ids,
                                                              .weights = targets->weights,
                                                              .weight_sum = targets->weight_sum,
                                                              .row_losses = targets->losses });
}

/* ---- the cache ---- */

int vlm_cache_init(struct vlm_cache *cache, const struct vlm_model *model, size_t capacity,
                   struct vlm_err *err)
{
    const struct vlm_model_config *config = &model->config;
    const size_t cols = config->sizes.kv_heads * config->sizes.head_size;
    size_t numbers, bytes;
    *cache = (struct vlm_cache){ .capacity = capacity, .layers = config->layers };
    if (capacity > INT32_MAX || __builtin_mul_overflow(capacity, cols, &numbers) ||
        __builtin_mul_overflow(numbers, 2 * config->layers * sizeof(float), &bytes))
        return vlm_fail(err, VLM_ELIMIT, "a cache of %zu places is too large", capacity);
    bytes += 2 * config->layers * VLM_MEMORY_ALIGN;
    cache->layer = calloc(config->layers, sizeof(*cache->layer));
    if (!cache->layer)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a cache of %zu layers", config->layers);
    int rc = vlm_memory_init(&cache->memory, bytes, 0, err);
    if (rc != VLM_OK) {
        vlm_cache_release(cache);
        return rc;
    }
    for (size_t i = 0; i < config->layers; i++) {
        struct vlm_cache_layer *layer = &cache->layer[i];
        layer->keys = (struct vlm_tensor){ .name = "keys", .rank = 2, .shape = { capacity, cols } };
        layer->values = layer->keys;
        layer->values.name = "values";
        layer->keys.data = vlm_memory_take(&cache->memory, numbers, sizeof(float));
        layer->values.data = vlm_memory_take(&cache->memory, numbers, sizeof(float));
    }
    return VLM_OK;
}

void vlm_cache_release(struct vlm_cache *cache)
{
    vlm_memory_release(&cache->memory);
    free(cache->layer);
    *cache = (struct vlm_cache){ 0 };
}
