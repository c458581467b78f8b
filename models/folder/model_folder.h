/* model_folder.h - a model on disk: a folder that this project and `transformers` open.
 *
 *   struct vlm_model_folder *folder;
 *   rc = vlm_model_folder_open(&folder, "run/model", 0, &err);
 *   ... folder->model, folder->vocabulary, folder->tokenizer ...
 *   vlm_model_folder_close(folder);
 *
 * config.json, model.safetensors, and of models of ours recipe.ini, tokenizer.json and the rest of
 * schemas/model.md. A folder as `transformers` saves GPT-2 or Llama, of just config.json and
 * model.safetensors (or an index of several), opens too. Everything is checked before memory is taken. */
#ifndef VLM_MODELS_MODEL_FOLDER_H
#define VLM_MODELS_MODEL_FOLDER_H

#include "models/model/model.h"
#include "models/recipe/recipe.h"
#include "tokenize/sequence/vocabulary.h"
#include "vqgan/tokenizer/tokenizer.h"

struct vlm_model_folder {
    struct vlm_model model;
    struct vlm_recipe recipe; /* a foreign folder: "lm" */
    bool foreign;             /* no recipe.ini */
    bool bare_names; /* names in its file lack "transformer." (OpenAI's GPT-2) or "model." */
    struct vlm_text_tokenizer *tokenizer; /* NULL: the folder has none */
    struct vlm_vocabulary
        vocabulary; /* as config.json's vocabulary_map; without codes for a foreign one */
    bool has_vocabulary;
    struct vlm_tokenizer
        *images; /* of vqgan/, or the shipped one when its id is asked for; NULL: none */
    char image_tokenizer_id[VLM_TOKENIZER_ID_SIZE]; /* "": the model knows no images */
};

enum vlm_model_folder_flags {
    VLM_FOLDER_GRADS = 1,     /* as VLM_MODEL_GRADS */
    VLM_FOLDER_BARE = 2,      /* only the model: no tokenizers are opened */
    VLM_FOLDER_NO_IMAGES = 4, /* no image tokenizer is opened */
};

/* On failure *out is NULL. VLM_EFAIL: not there; VLM_EFORMAT: what is wrong in which file; VLM_EUSAGE: a
 * model of a kind that is not ours, with what was found and what is known. */
VLM_MUST_CHECK int vlm_model_folder_open(struct vlm_model_folder **out, const char *path,
                                         unsigned flags, struct vlm_err *err);
void vlm_model_folder_close(struct vlm_model_folder *folder); /* NULL is fine */

/* What is written. All borrowed. */
struct vlm_model_content {
    struct vlm_model *model;
    const struct vlm_recipe *recipe;
    const struct vlm_vocabulary *vocabulary; /* and its tokenizer */
    const char *image_tokenizer_id;          /* "" or NULL: none */
    const char *image_tokenizer; /* folder of it, copied to vqgan/; NULL: not copied (shipped) */
    const char *readme, *provenance; /* whole texts; NULL: not written */
    bool bf16;                       /* weights stored in bf16 */
};

/* Fills an existing, empty folder; files are synced, the folder too. The caller gives the folder its name.
 * The same model gives the same bytes. */
VLM_MUST_CHECK int vlm_model_folder_write(const char *path, const struct vlm_model_content *content,
                                          struct vlm_err *err);

/* What config.json calls it: "GPT2LMHeadModel" or "LlamaForCausalLM", which transformers knows, else
 * "VlmForConditionalGeneration": a model with an encoder, or with positions that its layers do not have there. */
const char *vlm_model_architecture(const struct vlm_model_config *model);

/* How config.json's weights stand in model.safetensors: one tensor of the file, which is some rows of a
 * parameter, perhaps turned (GPT-2's Conv1D is [in, out]). */
struct vlm_stored_tensor {
    char name[VLM_PARAMETER_NAME_SIZE];
    size_t parameter; /* index in the model */
    size_t row, rows; /* of the parameter's rows; vectors: of its elements */
    bool turned;
};

/* The shape that one has in the file; its name there, which in some files lacks the prefix (bare_names of
 * struct vlm_model_folder; part of stored->name). */
void vlm_stored_tensor_shape(size_t shape[VLM_RANK_MAX], unsigned *rank,
                             const struct vlm_model *model, const struct vlm_stored_tensor *stored);
const char *vlm_stored_tensor_name(const struct vlm_stored_tensor *stored,
                                   const struct vlm_model *model, bool bare);

/* Tensors of the file in their order; the caller frees *list. VLM_ENOMEM. */
VLM_MUST_CHECK int vlm_stored_tensors(struct vlm_stored_tensor **list, size_t *n,
                                      const struct vlm_model *model, struct vlm_err *err);

/* One tensor as the file has it, from `values` laid out as the model's (weights or gradients): to has
 * room for its numbers. */
void vlm_stored_tensor_gather(float *to, const struct vlm_model *model, const float *values,
                              const struct vlm_stored_tensor *stored);

/* Copies weights of the folder `from` into a model of the same shape, or of the same trunk with another
 * vocabulary: rows of the embedding are matched by text piece, control word and code. Says in *taken how
 * many of the model's numbers came from there. For --init-from. VLM_EUSAGE: shapes do not fit, with both. */
VLM_MUST_CHECK int vlm_model_folder_adopt(struct vlm_model *model,
                                          const struct vlm_vocabulary *vocabulary,
                                          const struct vlm_model_folder *from, size_t *taken,
                                          struct vlm_err *err);

#endif
