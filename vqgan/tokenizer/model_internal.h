/* model_internal.h - what model.c (writing) and tokenizer.c (opening) have in common. */
#ifndef VLM_VQGAN_MODEL_INTERNAL_H
#define VLM_VQGAN_MODEL_INTERNAL_H

#include "vqgan/tokenizer/model.h"

#define VLM_MODEL_FORMAT "vlm-tokenizer 1"

/* All that an id is made of; tensors come one by one, in the order of their names. */
struct vlm_model_values {
    const char *kind, *architecture; /* as vlm_model_plain() spells it */
    size_t count;
    const char *(*name)(const void *context, size_t number);
    int (*read)(const void *context, size_t number, struct vlm_model_tensor *tensor,
                struct vlm_err *err);
    const void *context;
};

VLM_MUST_CHECK int vlm_model_id(char id[VLM_TOKENIZER_ID_SIZE],
                                const struct vlm_model_values *values, enum vlm_precision precision,
                                struct vlm_err *err);

/* A JSON text without blanks; the caller frees it. */
VLM_MUST_CHECK int vlm_model_plain(char **plain, const char *text, struct vlm_err *err);

#endif
