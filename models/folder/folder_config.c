/* folder_config.c - config.json as transformers writes it, for the models that we have.
 *
 * GPT2LMHeadModel is the trunk "pre-ln" with positions in a table, LlamaForCausalLM the trunk "llama"
 * with rotary positions; VlmForConditionalGeneration is spelled like the one whose trunk it has
 * ("vlm"."layer") and has more in "vlm" (folder_config_own.c). Keys are looked at in both places where
 * transformers has had two. A key that would change what a model computes, and that we cannot follow, is refused;
 * dropout, initialisation and the like are not looked at. */
#include "base/vlm.h"

#include "models/folder/folder_internal.h"

#include "base/limits.h"
#include "nn/ops/attention.h"

#include <math.h>

/* ---- members ---- */

static const char *type_name(json_object *value)
{
    return json_object_is_type(value, json_type_string)   ? "a string"
           : json_object_is_type(value, json_type_object) ? "an object"
           : json_object_is_type(value, json_type_array)  ? "a list"
           : json_object_is_type(value, json_type_null)   ? "null"
                                                          : json_object_get_string(value);
}

int vlm_folder_size(size_t *value, json_object *object, const char *key, size_t low, size_t high,
                    struct vlm_err *err)
{
    json_object *member = json_object_object_get(object, key);
    if (!member)
        return VLM_OK;
    const int64_t number = json_object_get_int64(member);
    if (!json_object_is_type(member, json_type_int) || number < 0 || (uint64_t)number < low ||
        (uint64_t)number > high)
        return vlm_fail(err, VLM_EFORMAT,
                        "\"%s\" is %.40s, expected a whole number from %zu to %zu", key,
                        type_name(member), low, high);
    *value = (size_t)number;
    return VLM_OK;
}

int vlm_folder_real(double *value, json_object *object, const char *key, double low, double high,
                    struct vlm_err *err)
{
    json_object *member = json_object_object_get(object, key);
    if (!member)
        return VLM_OK;
    const double number = json_object_get_double(member);
    if ((!json_object_is_type(member, json_type_int) &&
         !json_object_is_type(member, json_type_double)) ||
        !(number >= low && number <= high))
        return vlm_fail(err, VLM_EFORMAT, "\"%s\" is %.40s, expected a number from %g to %g", key,
                        type_name(member), low, high);
    *value = number;
    return VLM_OK;
}

int vlm_folder_bool(bool *value, json_object *object, const char *key, struct vlm_err *err)
{
    json_object *member = json_object_object_get(object, key);
    if (!member)
        return VLM_OK;
    if (!json_object_is_type(member, json_type_boolean))
        return vlm_fail(err, VLM_EFORMAT, "\"%s\" is %.40s, expected true or false", key,
                        type_name(member));
    *value = json_object_get_boolean(member);
    return VLM_OK;
}

int vlm_folder_word(const char **value, json_object *object, const char *key, struct vlm_err *err)
{
    json_object *member = json_object_object_get(object, key);
    if (!member)
        return VLM_OK;
    if (!json_object_is_type(member, json_type_string))
        return vlm_fail(err, VLM_EFORMAT, "\"%s\" is %.40s, expected a string", key,
                        type_name(member));
    *value = json_object_get_string(member);
    return VLM_OK;
}

int vlm_folder_object(json_object **value, json_object *object, const char *key,
                      struct vlm_err *err)
{
    *value = json_object_object_get(object, key);
    if (*value && !json_object_is_type(*value, json_type_object))
        return vlm_fail(err, VLM_EFORMAT, "\"%s\" is %.40s, expected an object", key,
                        type_name(*value));
    return VLM_OK;
}

int vlm_folder_need_size(size_t *value, json_object *object, const char *key, size_t high,
                         struct vlm_err *err)
{
    *value = 0;
    int rc = vlm_folder_size(value, object, key, 1, high, err);
    if (rc == VLM_OK && !*value)
        return vlm_fail(err, VLM_EFORMAT, "\"%s\" is missing", key);
    return rc;
}

/* A switch of transformers that we cannot follow when it is on (or off). */
static int must_be(json_object *root, const char *key, bool expected, struct vlm_err *err)
{
    bool value = expected;
    int rc = vlm_folder_bool(&value, root, key, err);
    if (rc == VLM_OK && value != expected)
        return vlm_fail(err, VLM_EUSAGE, "\"%s\" is %s, this program can only run models with %s",
                        key, value ? "true" : "false", expected ? "true" : "false");
    return rc;
}

/* ---- activations ---- */

static const struct activation_word {
    const char *word;
    enum vlm_activation activation;
} activations[] = {
    /* The first of each kind is what we write. */
    { "gelu_new", VLM_GELU_TANH },
    { "gelu_pytorch_tanh", VLM_GELU_TANH },
    { "gelu_fast", VLM_GELU_TANH },
    { "gelu", VLM_GELU_ERF },
    { "gelu_python", VLM_GELU_ERF },
    { "quick_gelu", VLM_GELU_QUICK },
    { "silu", VLM_SILU },
    { "swish", VLM_SILU },
    { "relu", VLM_RELU },
    { "relu2", VLM_RELU_SQUARED },
    { "tanh", VLM_TANH },
    { "sigmoid", VLM_SIGMOID },
    { "linear", VLM_LINEAR },
};

const char *vlm_folder_activation(enum vlm_activation activation)
{
    for (size_t i = 0; i < VLM_COUNTOF(activations); i++)
        if (activations[i].activation == activation)
            return activations[i].word;
    return "gelu_new";
}

int vlm_folder_activation_read(enum vlm_activation *activation, json_object *root, const char *key,
                               const char *absent, struct vlm_err *err)
{
    const char *word = absent;
    int rc = vlm_folder_word(&word, root, key, err);
    if (rc != VLM_OK)
        return rc;
    for (size_t i = 0; i < VLM_COUNTOF(activations); i++)
        if (!strcmp(activations[i].word, word)) {
            *activation = activations[i].activation;
            return VLM_OK;
        }
    return vlm_fail(err, VLM_EUSAGE,
                    "\"%s\" is '%.40s', known are gelu_new, gelu, quick_gelu, silu, relu, relu2, "
                    "tanh, sigmoid and linear",
                    key, word);
}

/* ---- the two families ---- */

static int read_gpt2(struct vlm_model_config *model, json_object *root, struct vlm_err *err)
{
    struct vlm_sizes *sizes = &model->sizes;
    double epsilon = 1e-5;
    model->layer = vlm_layer_find("pre-ln");
    model->tied = true;
    int rc = vlm_folder_need_size(&sizes->width, root, "n_embd", VLM_MODEL_WIDTH_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&model->layers, root, "n_layer", VLM_MODEL_LAYERS_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&sizes->heads, root, "n_head", VLM_MODEL_WIDTH_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&model->context, root, "n_positions", VLM_MODEL_CONTEXT_MAX, err);
    sizes->kv_heads = sizes->heads;
    sizes->hidden = 4 * sizes->width;
    sizes->position = VLM_POSITION_LEARNED;
    if (rc == VLM_OK)
        rc = vlm_folder_size(&sizes->hidden, root, "n_inner", 1, VLM_MODEL_WIDTH_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_folder_activation_read(&sizes->activation, root, "activation_function", "gelu_new",
                                        err);
    if (rc == VLM_OK)
        rc = vlm_folder_real(&epsilon, root, "layer_norm_epsilon", 0, 1, err);
    if (rc == VLM_OK)
        rc = must_be(root, "scale_attn_weights", true, err);
    if (rc == VLM_OK)
        rc = must_be(root, "scale_attn_by_inverse_layer_idx", false, err);
    if (rc == VLM_OK)
        rc = must_be(root, "add_cross_attention", false, err);
    if (rc == VLM_OK && sizes->width % sizes->heads)
        rc = vlm_fail(err, VLM_EFORMAT, "\"n_embd\" is %zu, which \"n_head\", %zu, does not divide",
                      sizes->width, sizes->heads);
    sizes->norm_epsilon = (float)epsilon;
    if (rc == VLM_OK)
        sizes->head_size = sizes->width / sizes->heads;
    return rc;
}

/* "rope_theta" and "rope_scaling", which transformers 5 has in "rope_parameters". Anything but the plain
 * angles is refused. */
static int read_rope(double *base, json_object *root, struct vlm_err *err)
{
    static const char *const objects[] = { "rope_parameters", "rope_scaling" };
    *base = 10000;
    int rc = vlm_folder_real(base, root, "rope_theta", 1, 1e12, err);
    double share = 1;
    if (rc == VLM_OK)
        rc = vlm_folder_real(&share, root, "partial_rotary_factor", 0, 1, err);
    for (size_t i = 0; rc == VLM_OK && i < VLM_COUNTOF(objects); i++) {
        json_object *rope = NULL;
        const char *type = "default";
        rc = vlm_folder_object(&rope, root, objects[i], err);
        if (rc != VLM_OK || !rope)
            continue;
        rc = vlm_folder_word(&type, rope, "type", err);
        if (rc == VLM_OK)
            rc = vlm_folder_word(&type, rope, "rope_type", err);
        if (rc == VLM_OK)
            rc = vlm_folder_real(base, rope, "rope_theta", 1, 1e12, err);
        if (rc == VLM_OK)
            rc = vlm_folder_real(&share, rope, "partial_rotary_factor", 0, 1, err);
        if (rc == VLM_OK && strcmp(type, "default"))
            rc = vlm_fail(err, VLM_EUSAGE,
                          "\"%s\" asks for rotary angles of type '%.40s', known is default",
                          objects[i], type);
    }
    if (rc == VLM_OK && share < 1)
        rc = vlm_fail(err, VLM_EUSAGE,
                      "\"partial_rotary_factor\" is %g, this program turns whole heads", share);
    return rc;
}

static int llama_heads(struct vlm_sizes *sizes, json_object *root, struct vlm_err *err)
{
    int rc =
        vlm_folder_need_size(&sizes->heads, root, "num_attention_heads", VLM_MODEL_WIDTH_MAX, err);
    sizes->kv_heads = sizes->heads;
    if (rc == VLM_OK)
        rc = vlm_folder_size(&sizes->kv_heads, root, "num_key_value_heads", 1, VLM_MODEL_WIDTH_MAX,
                             err);
    sizes->head_size = 0;
    if (rc == VLM_OK)
        rc = vlm_folder_size(&sizes->head_size, root, "head_dim", 1, VLM_ATTENTION_HEAD_MAX, err);
    if (rc != VLM_OK || sizes->head_size)
        return rc;
    if (sizes->width % sizes->heads)
        return vlm_fail(err, VLM_EFORMAT,
                        "\"hidden_size\" is %zu, which \"num_attention_heads\", %zu, does not "
                        "divide, and \"head_dim\" is missing",
                        sizes->width, sizes->heads);
    sizes->head_size = sizes->width / sizes->heads;
    return VLM_OK;
}

static int read_llama(struct vlm_model_config *model, json_object *root, struct vlm_err *err)
{
    struct vlm_sizes *sizes = &model->sizes;
    double epsilon = 1e-6;
    model->layer = vlm_layer_find("llama");
    model->context = 2048;
    sizes->position = VLM_POSITION_ROTARY;
    int rc = vlm_folder_need_size(&sizes->width, root, "hidden_size", VLM_MODEL_WIDTH_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&sizes->hidden, root, "intermediate_size", VLM_MODEL_WIDTH_MAX,
                                  err);
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&model->layers, root, "num_hidden_layers", VLM_MODEL_LAYERS_MAX,
                                  err);
    if (rc == VLM_OK)
        rc = llama_heads(sizes, root, err);
    if (rc == VLM_OK)
        rc = vlm_folder_size(&model->context, root, "max_position_embeddings", 1,
                             VLM_MODEL_CONTEXT_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_folder_real(&epsilon, root, "rms_norm_eps", 0, 1, err);
    if (rc == VLM_OK)
        rc = vlm_folder_bool(&sizes->biases, root, "attention_bias", err);
    if (rc == VLM_OK)
        rc = vlm_folder_bool(&sizes->hidden_biases, root, "mlp_bias", err);
    if (rc == VLM_OK)
        rc = vlm_folder_activation_read(&sizes->activation, root, "hidden_act", "silu", err);
    if (rc == VLM_OK && sizes->activation != VLM_SILU)
        rc = vlm_fail(err, VLM_EUSAGE, "\"hidden_act\" is '%s', a llama trunk has silu",
                      vlm_folder_activation(sizes->activation));
    if (rc == VLM_OK)
        rc = read_rope(&sizes->rotary_base, root, err);
    sizes->norm_epsilon = (float)epsilon;
    return rc;
}

/* ---- both ---- */

/* Keys of models that are not ours though their architecture's name is. */
static int refuse_foreign(json_object *root, struct vlm_err *err)
{
    json_object *window = json_object_object_get(root, "sliding_window");
    bool use = true;
    int rc = vlm_folder_bool(&use, root, "use_sliding_window", err);
    if (rc != VLM_OK)
        return rc;
    if (window && use)
        return vlm_fail(err, VLM_EUSAGE,
                        "\"sliding_window\" is %.40s, this program's attention sees all that came "
                        "before",
                        type_name(window));
    json_object *quantized = json_object_object_get(root, "quantization_config");
    if (quantized) {
        json_object *method = json_object_is_type(quantized, json_type_object)
                                  ? json_object_object_get(quantized, "quant_method")
                                  : NULL;
        return vlm_fail(err, VLM_EUSAGE,
                        "\"quantization_config\" says that weights are quantized (%.40s), this "
                        "program reads F32, F16, BF16 and F64",
                        method ? json_object_get_string(method) : "no method");
    }
    return VLM_OK;
}

const struct vlm_folder_form_names vlm_folder_forms[VLM_FORMS] = {
    [VLM_FORM_GPT2] = { "GPT2LMHeadModel", "gpt2" },
    [VLM_FORM_LLAMA] = { "LlamaForCausalLM", "llama" },
    [VLM_FORM_OWN] = { "VlmForConditionalGeneration", "vlm" },
};

static int find_form(enum vlm_folder_form *form, json_object *root, struct vlm_err *err)
{
    json_object *list = json_object_object_get(root, "architectures");
    json_object *first =
        json_object_is_type(list, json_type_array) ? json_object_array_get_idx(list, 0) : NULL;
    const char *name = first ? json_object_get_string(first) : NULL, *type = NULL;
    int rc = vlm_folder_word(&type, root, "model_type", err);
    if (rc != VLM_OK)
        return rc;
    for (size_t i = 0; i < VLM_FORMS; i++)
        if (name ? !strcmp(name, vlm_folder_forms[i].architecture)
                 : type && !strcmp(type, vlm_folder_forms[i].type)) {
            *form = (enum vlm_folder_form)i;
            return VLM_OK;
        }
    return vlm_fail(err, VLM_EUSAGE,
                    "\"%s\" is '%.60s', known are GPT2LMHeadModel, LlamaForCausalLM and "
                    "VlmForConditionalGeneration",
                    name ? "architectures" : "model_type",
                    name   ? name
                    : type ? type
                           : "absent");
}

/* The family of a trunk: for a model of ours it is named in "vlm". */
static int find_layer(const struct vlm_layer_kind **layer, enum vlm_folder_form form,
                      json_object *root, struct vlm_err *err)
{
    json_object *own = NULL;
    const char *name = form == VLM_FORM_GPT2 ? "pre-ln" : form == VLM_FORM_LLAMA ? "llama" : NULL;
    int rc = vlm_folder_object(&own, root, "vlm", err);
    if (rc == VLM_OK && own && form == VLM_FORM_OWN)
        rc = vlm_folder_word(&name, own, "layer", err);
    if (rc != VLM_OK)
        return rc;
    *layer = name ? vlm_layer_find(name) : NULL;
    if (!*layer)
        return vlm_fail(err, VLM_EUSAGE, "\"vlm\".\"layer\" is '%.40s', known are %s",
                        name ? name : "absent", vlm_layer_names());
    return VLM_OK;
}

static int read_config(struct vlm_folder_config *config, json_object *root, struct vlm_err *err)
{
    struct vlm_model_config *model = &config->model;
    int rc = find_form(&config->form, root, err);
    if (rc == VLM_OK)
        rc = find_layer(&model->layer, config->form, root, err);
    if (rc == VLM_OK)
        rc = refuse_foreign(root, err);
    if (rc == VLM_OK)
        rc = model->layer == vlm_layer_find("llama") ? read_llama(model, root, err)
                                                     : read_gpt2(model, root, err);
    if (rc == VLM_OK)
        rc = vlm_folder_need_size(&model->vocabulary, root, "vocab_size", VLM_MODEL_VOCABULARY_MAX,
                                  err);
    if (rc == VLM_OK)
        rc = vlm_folder_bool(&model->tied, root, "tie_word_embeddings", err);
    if (rc == VLM_OK)
        rc = vlm_folder_config_own(config, root, err);
    if (rc == VLM_OK)
        rc = vlm_model_check(model, err);
    return rc;
}

int vlm_folder_config_parse(struct vlm_folder_config *config, const char *text, size_t size,
                            struct vlm_err *err)
{
    json_object *root = NULL;
    *config = (struct vlm_folder_config){ 0 };
    int rc = vlm_json_parse(&root, text, size, err);
    if (rc == VLM_OK && !json_object_is_type(root, json_type_object))
        rc = vlm_fail(err, VLM_EFORMAT, "not a JSON object");
    if (rc == VLM_OK)
        rc = read_config(config, root, err);
    json_object_put(root);
    return rc;
}
