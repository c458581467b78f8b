/* taming.h - VQGANs that others have trained become a model of ours. */
#ifndef VLM_VQGAN_TAMING_H
#define VLM_VQGAN_TAMING_H

#include "vqgan/tokenizer/tokenizer.h"
#include "vqgan/weights/source.h"

enum vlm_import_format {
    VLM_IMPORT_TAMING,
    VLM_IMPORT_LLAMAGEN,
    VLM_IMPORT_MASKGIT,
    VLM_IMPORT_CHAMELEON,
};
#define VLM_IMPORT_WORDS "taming|llamagen|maskgit|chameleon"

/* Finds out the architecture from names and shapes, checks that every tensor of it is there, and
 * writes the model folder. Tensors that no such graph has are refused, but for "loss.*", optimizer
 * data and known buffers. On failure there is no folder. */
VLM_MUST_CHECK int vlm_taming_import(const struct vlm_weights *weights,
                                     enum vlm_import_format format, const char *folder,
                                     char id[VLM_TOKENIZER_ID_SIZE], struct vlm_err *err);

#endif
