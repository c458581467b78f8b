/* model_card.h - what people and programs are told about a model: README.md and provenance.json of its folder.
 *
 *   const struct vlm_model_card card = { .recipe = &recipe, .model = &model, ... };
 *   vlm_model_card_write(&readme, &card);
 *   vlm_provenance_write(&provenance, &card);
 *
 * Only facts of the run itself: no time, no name of a machine, no path beyond the last part of a folder's name.
 * So the same run gives the same texts, wherever it runs. */
#ifndef VLM_TRAINER_MODEL_CARD_H
#define VLM_TRAINER_MODEL_CARD_H

#include "models/folder/model_folder.h"
#include "models/recipe/recipe.h"
#include "trainer/data/corpus.h"
#include "trainer/data/evaluation_sums.h"

/* All borrowed. */
struct vlm_model_card {
    const char *name;    /* of the model; a path counts by its last part */
    const char *license; /* NULL: unknown */
    const struct vlm_recipe *recipe;
    const struct vlm_model *model;
    const char *preset; /* NULL: none */
    const struct vlm_source_info *const *source;
    size_t n_sources;
    const char *tokenizer;       /* of text: an id, like "sha256:..." */
    const char *image_tokenizer; /* id; NULL or "": the model knows no images */
    uint64_t codes;              /* of its codebook */
    uint64_t steps, updates, tokens, documents;
    uint64_t batch_tokens;                        /* of a step */
    double learning_rate;                         /* peak */
    const char *schedule;                         /* word */
    const char *precision;                        /* "fp32" or "bf16" */
    const struct vlm_evaluation_sums *validation; /* NULL: not validated yet */
    uint64_t validation_step;                     /* at which it was made */
    uint64_t seed;
};

/* Failure sticks to the buffer. */
void vlm_model_card_write(struct vlm_buffer *out, const struct vlm_model_card *card);
void vlm_provenance_write(struct vlm_buffer *out, const struct vlm_model_card *card);

#endif
