/* folder_config_write.c - config.json and generation_config.json of a model of ours.
 *
 * Every key that transformers needs to build the same model, in the spellings of its versions 4 and 5, then
 * ours: "vlm", "vocabulary_map", "vq_config" (schemas/model.md). Real numbers have as many digits as
 * give the same number again. */
#include "base/vlm.h"

#include "models/folder/folder_internal.h"

enum vlm_folder_form vlm_folder_form_of(const struct vlm_model_config *model)
{
    const bool llama = model->layer == vlm_layer_find("llama");
    const bool rotary = model->sizes.position == VLM_POSITION_ROTARY;
    const struct vlm_sizes *sizes = &model->sizes;
    if (model->encoder || llama != rotary)
        return VLM_FORM_OWN;
    if (llama)
        return VLM_FORM_LLAMA;
    /* GPT-2 has no grouped heads, and no other size of a head. */
    return sizes->kv_heads == sizes->heads && sizes->heads * sizes->head_size == sizes->width
               ? VLM_FORM_GPT2
               : VLM_FORM_OWN;
}

const char *vlm_model_architecture(const struct vlm_model_config *model)
{
    return vlm_folder_forms[vlm_folder_form_of(model)].architecture;
}

/* The shortest decimal that is the same double, or, for floats, the same float. Whole numbers have a ".0":
 * transformers wants a float, and would read an integer. */
static void member_real(struct vlm_json *json, const char *key, double value, bool is_float)
{
    char text[40];
    if (is_float)
        vlm_float_text(text, (float)value);
    else
        vlm_real_text(text, value);
    if (value >= 1 && value < 1e15 && !strchr(text, '.')) /* also 1e+04 */
        snprintf(text, sizeof(text), "%.1f", value);
    else if (!strpbrk(text, ".e"))
        snprintf(text + strlen(text), 3, ".0");
    vlm_json_key(json, key);
    vlm_buffer_text(json->out, text);
    json->comma = true;
}

static void write_gpt2(struct vlm_json *json, const struct vlm_model_config *model)
{
    const struct vlm_sizes *sizes = &model->sizes;
    vlm_json_member_number(json, "n_embd", sizes->width);
    vlm_json_member_number(json, "n_layer", model->layers);
    vlm_json_member_number(json, "n_head", sizes->heads);
    vlm_json_member_number(json, "n_positions", model->context);
    vlm_json_member_number(json, "n_ctx", model->context); /* versions before 4.4 */
    vlm_json_key(json, "n_inner");
    if (sizes->hidden == 4 * sizes->width)
        vlm_json_null(json);
    else
        vlm_json_number(json, sizes->hidden);
    vlm_json_member_string(json, "activation_function", vlm_folder_activation(sizes->activation));
    member_real(json, "layer_norm_epsilon", (double)sizes->norm_epsilon, true);
    vlm_json_member_bool(json, "scale_attn_weights", true);
    vlm_json_member_bool(json, "scale_attn_by_inverse_layer_idx", false);
    vlm_json_member_bool(json, "add_cross_attention", false);
    for (const char *const *key =
             (const char *const[]){ "attn_pdrop", "embd_pdrop", "resid_pdrop", NULL };
         *key; key++)
        member_real(json, *key, 0, false);
}

static void write_llama(struct vlm_json *json, const struct vlm_model_config *model)
{
    const struct vlm_sizes *sizes = &model->sizes;
    vlm_json_member_number(json, "hidden_size", sizes->width);
    vlm_json_member_number(json, "intermediate_size", sizes->hidden);
    vlm_json_member_number(json, "num_hidden_layers", model->layers);
    vlm_json_member_number(json, "num_attention_heads", sizes->heads);
    vlm_json_member_number(json, "num_key_value_heads", sizes->kv_heads);
    vlm_json_member_number(json, "head_dim", sizes->head_size);
    vlm_json_member_number(json, "max_position_embeddings", model->context);
    vlm_json_member_string(json, "hidden_act", vlm_folder_activation(sizes->activation));
    member_real(json, "rms_norm_eps", (double)sizes->norm_epsilon, true);
    vlm_json_member_bool(json, "attention_bias", sizes->biases);
    vlm_json_member_bool(json, "mlp_bias", sizes->hidden_biases);
    member_real(json, "attention_dropout", 0, false);
    if (sizes->position != VLM_POSITION_ROTARY)
        return;
    member_real(json, "rope_theta", sizes->rotary_base, false);
    vlm_json_key(json, "rope_parameters");
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "rope_type", "default");
    member_real(json, "rope_theta", sizes->rotary_base, false);
    vlm_json_close(json, '}');
}

static void write_encoder(struct vlm_json *json, const struct vlm_model_config *model)
{
    const struct vlm_sizes *sizes = &model->encoder_sizes;
    vlm_json_key(json, "encoder");
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "block", model->encoder->name);
    vlm_json_member_number(json, "num_layers", model->encoder_layers);
    vlm_json_member_number(json, "hidden_size", sizes->width);
    vlm_json_member_number(json, "num_attention_heads", sizes->heads);
    vlm_json_member_number(json, "head_dim", sizes->head_size);
    vlm_json_member_number(json, "intermediate_size", sizes->hidden);
    vlm_json_member_string(json, "activation", vlm_folder_activation(sizes->activation));
    member_real(json, "norm_epsilon", (double)sizes->norm_epsilon, true);
    vlm_json_member_number(json, "codes", sizes->inputs);
    vlm_json_member_number(json, "length", sizes->length);
    vlm_json_close(json, '}');
    vlm_json_key(json, "bridge");
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "block", model->bridge->name);
    vlm_json_member_number(json, "length", model->bridge_sizes.length);
    vlm_json_close(json, '}');
}

static void write_own(struct vlm_json *json, const struct vlm_model_content *content)
{
    const struct vlm_model_config *model = &content->model->config;
    char position[VLM_POSITION_TEXT_SIZE];
    vlm_json_key(json, "vlm");
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "version", VLM_VERSION);
    vlm_json_member_string(json, "recipe", content->recipe->name);
    vlm_json_member_string(json, "layer", model->layer->name);
    vlm_json_member_string(json, "position", vlm_folder_position(position, model->sizes.position));
    if (model->sizes.position == VLM_POSITION_ROTARY)
        member_real(json, "rotary_base", model->sizes.rotary_base, false);
    if (model->encoder)
        write_encoder(json, model);
    vlm_json_close(json, '}');
}

static void write_vocabulary(struct vlm_json *json, const struct vlm_model_content *content)
{
    const struct vlm_vocabulary *vocabulary = content->vocabulary;
    char word[VLM_CONTROL_WORD_SIZE];
    vlm_json_key(json, "vocabulary_map");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "n_text", vocabulary->n_text);
    vlm_json_member_number(json, "n_masks", vocabulary->n_masks);
    vlm_json_member_number(json, "first_code", vocabulary->first_code);
    vlm_json_member_number(json, "n_codes", vocabulary->n_codes);
    vlm_json_key(json, "controls");
    vlm_json_open(json, '{');
    for (uint32_t i = 0; i < VLM_CONTROLS + vocabulary->n_masks; i++)
        vlm_json_member_number(json, vlm_vocabulary_word(word, i),
                               i < VLM_CONTROLS ? vocabulary->control[i]
                                                : vocabulary->mask[i - VLM_CONTROLS]);
    vlm_json_close(json, '}');
    vlm_json_close(json, '}');
    if (!content->image_tokenizer_id || !*content->image_tokenizer_id)
        return;
    vlm_json_key(json, "vq_config");
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "tokenizer", content->image_tokenizer_id);
    vlm_json_member_number(json, "num_embeddings",
                           vocabulary->n_codes ? vocabulary->n_codes
                                               : content->model->config.encoder_sizes.inputs);
    vlm_json_member_number(json, "resolution", VLM_SQUARE_SIDE);
    vlm_json_member_number(json, "image_seq_length", VLM_CODES);
    vlm_json_close(json, '}');
}

static void write_ids(struct vlm_json *json, const struct vlm_vocabulary *vocabulary)
{
    vlm_json_member_number(json, "bos_token_id", vocabulary->control[VLM_CONTROL_BEGIN]);
    vlm_json_member_number(json, "eos_token_id", vocabulary->control[VLM_CONTROL_END]);
    vlm_json_member_number(json, "pad_token_id", vocabulary->control[VLM_CONTROL_PAD]);
}

void vlm_folder_config_write(struct vlm_buffer *out, const struct vlm_model_content *content)
{
    const struct vlm_model_config *model = &content->model->config;
    const enum vlm_folder_form form = vlm_folder_form_of(model);
    const char *dtype = content->bf16 ? "bfloat16" : "float32";
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    vlm_json_key(&json, "architectures");
    vlm_json_open(&json, '[');
    vlm_json_string(&json, vlm_folder_forms[form].architecture);
    vlm_json_close(&json, ']');
    vlm_json_member_string(&json, "model_type", vlm_folder_forms[form].type);
    vlm_json_member_string(&json, "torch_dtype", dtype);
    vlm_json_member_string(&json, "dtype", dtype);
    vlm_json_member_number(&json, "vocab_size", model->vocabulary);
    if (model->layer == vlm_layer_find("llama"))
        write_llama(&json, model);
    else
        write_gpt2(&json, model);
    vlm_json_member_bool(&json, "tie_word_embeddings", model->tied);
    write_ids(&json, content->vocabulary);
    vlm_json_member_bool(&json, "use_cache", true);
    write_own(&json, content);
    write_vocabulary(&json, content);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(out, '\n');
}

void vlm_folder_generation_write(struct vlm_buffer *out, const struct vlm_vocabulary *vocabulary)
{
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    write_ids(&json, vocabulary);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(out, '\n');
}
