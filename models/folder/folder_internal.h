/* folder_internal.h - what the files of models/folder share: config.json as a struct, and names. */
#ifndef VLM_MODELS_FOLDER_INTERNAL_H
#define VLM_MODELS_FOLDER_INTERNAL_H

#include "models/folder/model_folder.h"

#include "base/json.h"

enum vlm_folder_form { VLM_FORM_GPT2, VLM_FORM_LLAMA, VLM_FORM_OWN, VLM_FORMS };

/* What config.json calls each: "architectures" and "model_type". */
extern const struct vlm_folder_form_names {
    const char *architecture, *type;
} vlm_folder_forms[VLM_FORMS];

/* config.json */
struct vlm_folder_config {
    enum vlm_folder_form form;
    struct vlm_model_config model;
    bool has_vocabulary;
    struct vlm_vocabulary vocabulary; /* without tokenizer */
    char image_tokenizer_id[VLM_TOKENIZER_ID_SIZE];
};

/* Checks everything that can be checked without the weights. Sentences begin with the key; the caller
 * names the file. VLM_EFORMAT: no JSON, wrong type, out of range; VLM_EUSAGE: a model of another kind. */
VLM_MUST_CHECK int vlm_folder_config_parse(struct vlm_folder_config *config, const char *text,
                                           size_t size, struct vlm_err *err);

/* The members of a Vlm model that GPT-2 and Llama do not have: "vlm", and "vocabulary_map" with "vq_config". */
VLM_MUST_CHECK int vlm_folder_config_own(struct vlm_folder_config *config, json_object *root,
                                         struct vlm_err *err);

/* Which of the three a model can be written as. */
enum vlm_folder_form vlm_folder_form_of(const struct vlm_model_config *model);

/* Appends config.json and generation_config.json. */
void vlm_folder_config_write(struct vlm_buffer *out, const struct vlm_model_content *content);
void vlm_folder_generation_write(struct vlm_buffer *out, const struct vlm_vocabulary *vocabulary);

/* "gelu_new"; the words of transformers. */
const char *vlm_folder_activation(enum vlm_activation activation);
/* absent: the word when there is no such key. VLM_EUSAGE: an activation that nn/ does not have. */
VLM_MUST_CHECK int vlm_folder_activation_read(enum vlm_activation *activation, json_object *object,
                                              const char *key, const char *absent,
                                              struct vlm_err *err);

/* ---- members of a JSON object, each with a range; *value stays when the key is absent or null ---- */

VLM_MUST_CHECK int vlm_folder_size(size_t *value, json_object *object, const char *key, size_t low,
                                   size_t high, struct vlm_err *err);
/* The same of a key that must be there, from 1. */
VLM_MUST_CHECK int vlm_folder_need_size(size_t *value, json_object *object, const char *key,
                                        size_t high, struct vlm_err *err);
VLM_MUST_CHECK int vlm_folder_real(double *value, json_object *object, const char *key, double low,
                                   double high, struct vlm_err *err);
VLM_MUST_CHECK int vlm_folder_bool(bool *value, json_object *object, const char *key,
                                   struct vlm_err *err);
/* Borrowed from the object. */
VLM_MUST_CHECK int vlm_folder_word(const char **value, json_object *object, const char *key,
                                   struct vlm_err *err);
/* NULL when absent or null. */
VLM_MUST_CHECK int vlm_folder_object(json_object **value, json_object *object, const char *key,
                                     struct vlm_err *err);

enum { VLM_POSITION_TEXT_SIZE = 16 };
/* The word of VLM_POSITION_WORDS; returns out. */
const char *vlm_folder_position(char out[VLM_POSITION_TEXT_SIZE], enum vlm_position position);

/* ---- names ---- */

/* Where its numbers begin in the model's values (or gradients). */
size_t vlm_stored_tensor_offset(const struct vlm_model *model,
                                const struct vlm_stored_tensor *stored);

/* The reverse of vlm_stored_tensor_gather(). */
void vlm_stored_tensor_scatter(float *values, const struct vlm_model *model, const float *from,
                               const struct vlm_stored_tensor *stored);

#endif
