/* folder_config_own.c - the members of config.json that transformers does not know: which blocks fill the
 * slots of the skeleton ("vlm"), which id means what ("vocabulary_map"), and of which image tokenizer the codes are
 * ("vq_config"). They come from strangers as everything in the file does. */
#include "base/vlm.h"

#include "models/folder/folder_internal.h"

#include "base/limits.h"
#include "base/word_list.h"
#include "nn/ops/attention.h"

const char *vlm_folder_position(char out[VLM_POSITION_TEXT_SIZE], enum vlm_position position)
{
    size_t n;
    const char *word = vlm_word_list_at(VLM_POSITION_WORDS, position, &n);
    snprintf(out, VLM_POSITION_TEXT_SIZE, "%.*s", (int)n, word);
    return out;
}

static int read_position(struct vlm_sizes *sizes, json_object *own, struct vlm_err *err)
{
    char absent[VLM_POSITION_TEXT_SIZE];
    const char *word = vlm_folder_position(absent, sizes->position);
    int rc = vlm_folder_word(&word, own, "position", err);
    if (rc != VLM_OK)
        return rc;
    const int number = vlm_word_list_find(VLM_POSITION_WORDS, word, strlen(word));
    if (number < 0)
        return vlm_fail(err, VLM_EUSAGE, "\"position\" is '%.40s', known are %s", word,
                        VLM_POSITION_WORDS);
    sizes->position = (enum vlm_position)number;
    return VLM_OK;
}

static int read_encoder(struct vlm_model_config *model, json_object *object, struct vlm_err *err)
{
    struct vlm_sizes *sizes = &model->encoder_sizes;
    const char *block = "absent";
    int rc = vlm_folder_word(&block, object, "block", err);
    if (rc == VLM_OK && !(model->encoder = vlm_encoder_find(block)))
        rc = vlm_fail(err, VLM_EUSAGE, "\"block\" is '%.40s', known are %s", block,
                      vlm_encoder_names());
    *sizes = (struct vlm_sizes){ .activation = model->sizes.activation,
                                 .norm_epsilon = model->sizes.norm_epsilon,
                                 .position = VLM_POSITION_LEARNED };
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&model->encoder_layers, object, "num_layers",
                                  VLM_MODEL_LAYERS_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&sizes->width, object, "hidden_size", VLM_MODEL_WIDTH_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&sizes->heads, object, "num_attention_heads", VLM_MODEL_WIDTH_MAX,
                                  err);
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&sizes->head_size, object, "head_dim", VLM_ATTENTION_HEAD_MAX,
                                  err);
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&sizes->hidden, object, "intermediate_size", VLM_MODEL_WIDTH_MAX,
                                  err);
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&sizes->inputs, object, "codes", VLM_CODEBOOK_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&sizes->length, object, "length", VLM_CODES, err);
    sizes->kv_heads = sizes->heads;
    double epsilon = (double)sizes->norm_epsilon;
    if (rc == VLM_OK)
        rc = vlm_folder_real(&epsilon, object, "norm_epsilon", 0, 1, err);
    sizes->norm_epsilon = (float)epsilon;
    if (rc == VLM_OK)
        rc = vlm_folder_activation_read(&sizes->activation, object, "activation", "gelu_new", err);
    return rc;
}

static int read_bridge(struct vlm_model_config *model, json_object *object, struct vlm_err *err)
{
    struct vlm_sizes *sizes = &model->bridge_sizes;
    const char *block = "absent";
    int rc = vlm_folder_word(&block, object, "block", err);
    if (rc == VLM_OK && !(model->bridge = vlm_bridge_find(block)))
        rc = vlm_fail(err, VLM_EUSAGE, "\"block\" is '%.40s', known are %s", block,
                      vlm_bridge_names());
    *sizes =
        (struct vlm_sizes){ .width = model->sizes.width, .inputs = model->encoder_sizes.width };
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&sizes->length, object, "length", VLM_CODES, err);
    return rc;
}

static int read_blocks(struct vlm_folder_config *config, json_object *root, struct vlm_err *err)
{
    struct vlm_model_config *model = &config->model;
    json_object *own = NULL, *encoder = NULL, *bridge = NULL;
    char word[VLM_POSITION_TEXT_SIZE];
    int rc = vlm_folder_object(&own, root, "vlm", err);
    if (rc != VLM_OK || !own)
        return rc;
    rc = read_position(&model->sizes, own, err);
    if (rc == VLM_OK && config->form != VLM_FORM_OWN &&
        (model->sizes.position == VLM_POSITION_ROTARY) != (config->form == VLM_FORM_LLAMA))
        rc = vlm_fail(err, VLM_EFORMAT, "\"position\" is '%s', which this architecture has not",
                      vlm_folder_position(word, model->sizes.position));
    if (rc == VLM_OK && config->form == VLM_FORM_OWN)
        rc = vlm_folder_real(&model->sizes.rotary_base, own, "rotary_base", 1, 1e12, err);
    if (rc == VLM_OK)
        rc = vlm_folder_object(&encoder, own, "encoder", err);
    if (rc == VLM_OK)
        rc = vlm_folder_object(&bridge, own, "bridge", err);
    if (rc == VLM_OK && (!encoder != !bridge || (encoder && config->form != VLM_FORM_OWN)))
        rc = vlm_fail(err, VLM_EFORMAT,
                      "\"encoder\" and \"bridge\" stand together, in a "
                      "VlmForConditionalGeneration");
    if (rc == VLM_OK && encoder) {
        rc = read_encoder(model, encoder, err);
        if (rc != VLM_OK)
            rc = vlm_wrap(err, "\"encoder\"");
    }
    if (rc == VLM_OK && bridge) {
        rc = read_bridge(model, bridge, err);
        if (rc != VLM_OK)
            rc = vlm_wrap(err, "\"bridge\"");
    }
    return rc == VLM_OK ? rc : vlm_wrap(err, "\"vlm\"");
}

/* An id that the model has; it must be there. */
static int read_id(uint32_t *id, json_object *object, const char *key, size_t vocabulary,
                   struct vlm_err *err)
{
    size_t value = SIZE_MAX;
    int rc = vlm_folder_size(&value, object, key, 0, vocabulary - 1, err);
    if (rc == VLM_OK && value == SIZE_MAX)
        rc = vlm_fail(err, VLM_EFORMAT, "\"%s\" is missing", key);
    *id = (uint32_t)value;
    return rc;
}

static int read_controls(struct vlm_vocabulary *vocabulary, json_object *map, size_t size,
                         struct vlm_err *err)
{
    json_object *controls = NULL;
    char word[VLM_CONTROL_WORD_SIZE];
    int rc = vlm_folder_object(&controls, map, "controls", err);
    if (rc == VLM_OK && !controls)
        rc = vlm_fail(err, VLM_EFORMAT, "\"controls\" is missing");
    for (uint32_t i = 0; rc == VLM_OK && i < VLM_CONTROLS + vocabulary->n_masks; i++)
        rc = read_id(i < VLM_CONTROLS ? &vocabulary->control[i]
                                      : &vocabulary->mask[i - VLM_CONTROLS],
                     controls, vlm_vocabulary_word(word, i), size, err);
    return rc;
}

static int read_map(struct vlm_vocabulary *vocabulary, json_object *map, size_t size,
                    struct vlm_err *err)
{
    size_t n_text = 0, n_masks = 0, n_codes = 0, first_code = 0;
    int rc = vlm_folder_need_size(&n_text, map, "n_text", size, err);
    if (rc == VLM_OK)
        rc = vlm_folder_size(&n_masks, map, "n_masks", 0, VLM_MASKS_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_folder_size(&n_codes, map, "n_codes", 0, VLM_CODEBOOK_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_folder_size(&first_code, map, "first_code", 0, size, err);
    vocabulary->n_text = (uint32_t)n_text;
    vocabulary->n_masks = (uint32_t)n_masks;
    vocabulary->n_codes = (uint32_t)n_codes;
    vocabulary->first_code = (uint32_t)first_code;
    if (rc == VLM_OK && (first_code < n_text || n_codes > size - first_code))
        rc = vlm_fail(err, VLM_EFORMAT,
                      "codes %zu to %zu are not between %zu ids of text and the vocabulary's %zu",
                      first_code, first_code + n_codes, n_text, size);
    vocabulary->size = (uint32_t)(first_code + n_codes);
    if (rc == VLM_OK)
        rc = read_controls(vocabulary, map, size, err);
    return rc;
}

int vlm_folder_config_own(struct vlm_folder_config *config, json_object *root, struct vlm_err *err)
{
    json_object *map = NULL, *images = NULL;
    const char *id = "";
    int rc = read_blocks(config, root, err);
    if (rc == VLM_OK)
        rc = vlm_folder_object(&map, root, "vocabulary_map", err);
    if (rc == VLM_OK && map) {
        config->has_vocabulary = true;
        rc = read_map(&config->vocabulary, map, config->model.vocabulary, err);
        if (rc != VLM_OK)
            rc = vlm_wrap(err, "\"vocabulary_map\"");
    }
    if (rc == VLM_OK && map) /* foreign models have other things of this name */
        rc = vlm_folder_object(&images, root, "vq_config", err);
    if (rc == VLM_OK && images)
        rc = vlm_folder_word(&id, images, "tokenizer", err);
    if (rc == VLM_OK && strlen(id) >= sizeof(config->image_tokenizer_id))
        rc = vlm_fail(err, VLM_EFORMAT, "\"vq_config\".\"tokenizer\" is '%.40s', expected an id",
                      id);
    if (rc == VLM_OK)
        memcpy(config->image_tokenizer_id, id, strlen(id) + 1);
    return rc;
}
