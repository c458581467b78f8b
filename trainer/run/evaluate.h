/* evaluate.h - how well a model predicts documents that it was not trained on. */
#ifndef VLM_TRAINER_EVALUATE_H
#define VLM_TRAINER_EVALUATE_H

#include "models/model/model.h"
#include "trainer/data/evaluation_sums.h"
#include "trainer/data/loader.h"

/* All batches of a loader of split VALIDATION or ALL, unigram too; the tape is reset. bytes: of each id ([vocabulary size]), of
 * vlm_vocabulary_bytes(). */
VLM_MUST_CHECK int vlm_evaluate_model(struct vlm_evaluation_sums *sums, struct vlm_tape *tape,
                                      struct vlm_model *model, struct vlm_loader *loader,
                                      const uint32_t *bytes, struct vlm_err *err);

/* [vocabulary->size]: bytes of text that each id stands for, 0 for controls and codes; the caller frees. */
VLM_MUST_CHECK int vlm_vocabulary_bytes(uint32_t **bytes, const struct vlm_vocabulary *vocabulary,
                                        struct vlm_err *err);

#endif
