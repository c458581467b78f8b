/* choices.h - which ids may be drawn where: made once for a model, read by any number of streams and threads. */
#ifndef VLM_MODELS_CHOICES_H
#define VLM_MODELS_CHOICES_H

#include "models/model/model.h"
#include "nn/engine.h"
#include "tokenize/sequence/vocabulary.h"

/* Ids, ascending; and the same as runs [begin, end) of neighbours. */
struct vlm_choice {
    uint32_t *ids;
    size_t n;
    uint32_t (*runs)[2];
    size_t n_runs;
};

struct vlm_choices {
    const struct vlm_kernels *kernels;
    const struct vlm_model_config *model;    /* borrowed */
    const struct vlm_vocabulary *vocabulary; /* borrowed */
    size_t image_length;                     /* rows of an <image>; 0: it is a token like others */
    bool images; /* the model draws codes: the grammar of images holds */
    struct vlm_choice text, code, quote, any;
    struct vlm_choice space; /* text that begins with a space; may be none */
};

/* VLM_EUSAGE: the vocabulary has more ids than the model. */
VLM_MUST_CHECK int vlm_choices_init(struct vlm_choices *choices, const struct vlm_engine *engine,
                                    const struct vlm_model *model,
                                    const struct vlm_vocabulary *vocabulary, struct vlm_err *err);
void vlm_choices_release(struct vlm_choices *choices); /* safe on a zeroed struct */

#endif
