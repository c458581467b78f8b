/* model.h - a tokenizer as a folder: config.json and model.safetensors; and its id. */
#ifndef VLM_VQGAN_MODEL_H
#define VLM_VQGAN_MODEL_H

#include "base/buffer.h"
#include "nn/safetensors.h"
#include "vqgan/tokenizer/tokenizer.h"

struct vlm_model_tensor {
    const char *name;
    unsigned rank;
    size_t shape[4];
    const float *data;
};

struct vlm_model_content {
    const char *kind;         /* "pca" */
    const char *architecture; /* JSON object: all that decides the graph; part of the id */
    const char
        *training; /* JSON object for people (data, steps, options), or NULL; not in the id */
    size_t codebook_size, code_width;
    const struct vlm_model_tensor *tensors;
    size_t count;
    bool store_bf16; /* the file holds bf16; data must be rounded to that already */
};

/* Writes FOLDER/config.json and FOLDER/model.safetensors, each whole or absent, config.json last; makes
 * the folder. id, when not NULL, gets the id of the exact precision. */
VLM_MUST_CHECK int vlm_model_write(const char *folder, const struct vlm_model_content *content,
                                   char id[VLM_TOKENIZER_ID_SIZE], struct vlm_err *err);

/* Rounds finite numbers to the nearest bf16, ties to even: what store_bf16 wants. */
void vlm_model_round(float *numbers, size_t n);

#endif
