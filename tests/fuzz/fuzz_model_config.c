/* fuzz_model_config.c - config.json of a model: read or refused. What is accepted keeps the limits, can be laid
 * out, and has a name for every tensor. */
#include "base/vlm.h"

#include "base/limits.h"
#include "models/folder/folder_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_names(const struct vlm_model_config *config)
{
    struct vlm_model model;
    struct vlm_stored_tensor *stored;
    struct vlm_err err = { 0 };
    size_t n, numbers = 0;
    if (config->layers + config->encoder_layers > 64) /* time, for nothing new */
        return;
    VLM_BUG_IF(vlm_model_init(&model, config, VLM_MODEL_COUNT, &err) != VLM_OK);
    VLM_BUG_IF(vlm_stored_tensors(&stored, &n, &model, &err) != VLM_OK);
    for (size_t i = 0; i < n; i++) {
        size_t shape[VLM_RANK_MAX], count = 1;
        unsigned rank;
        vlm_stored_tensor_shape(shape, &rank, &model, &stored[i]);
        for (unsigned k = 0; k < rank; k++)
            count *= shape[k];
        VLM_BUG_IF(!*stored[i].name || !count);
        numbers += count;
    }
    VLM_BUG_IF(numbers != model.count); /* each once */
    free(stored);
    vlm_model_release(&model);
}

static void check_vocabulary(const struct vlm_folder_config *config)
{
    const struct vlm_vocabulary *vocabulary = &config->vocabulary;
    const size_t size = config->model.vocabulary;
    VLM_BUG_IF(vocabulary->n_text > size || vocabulary->size > size ||
               vocabulary->n_masks > VLM_MASKS_MAX);
    for (size_t i = 0; i < VLM_CONTROLS; i++)
        VLM_BUG_IF(vocabulary->control[i] >= size);
    for (size_t i = 0; i < vocabulary->n_masks; i++)
        VLM_BUG_IF(vocabulary->mask[i] >= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vlm_folder_config config;
    struct vlm_err err = { 0 };
    int rc = vlm_folder_config_parse(&config, (const char *)data, size, &err);
    VLM_BUG_IF((rc == VLM_OK) != !*err.msg);
    if (rc != VLM_OK)
        return 0;
    VLM_BUG_IF(config.model.layers > VLM_MODEL_LAYERS_MAX ||
               config.model.sizes.width > VLM_MODEL_WIDTH_MAX ||
               config.model.context > VLM_MODEL_CONTEXT_MAX ||
               config.model.vocabulary > VLM_MODEL_VOCABULARY_MAX);
    check_names(&config.model);
    if (config.has_vocabulary)
        check_vocabulary(&config);
    return 0;
}
