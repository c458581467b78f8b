/* samples.h - what a model says and draws while it is being trained.
 *
 *   const struct vlm_samples samples = { .engine = &engine, .model = &model, .vocabulary = &vocabulary,
 *       .recipe = &recipe, .corpus = corpus, .images = coder, .folder = run, .step = step, .seed = seed };
 *   rc = vlm_run_samples(&samples, file, &err);
 *
 * The recipe's prompts are answered with the weights as they are. RUN/samples/step-N.txt has prompt and answer of
 * each, and what stands in the page where a hole was for a picture's words; RUN/samples/step-N.png is a sheet
 * of the pictures, one row a picture: as the page has it, with the hole grey, and filled; a drawn one stands
 * alone. */
#ifndef VLM_TRAINER_SAMPLES_H
#define VLM_TRAINER_SAMPLES_H

#include "models/model/model.h"
#include "models/recipe/recipe.h"
#include "trainer/data/corpus.h"
#include "vqgan/tokenizer/tokenizer.h"

struct vlm_samples { /* all borrowed */
    const struct vlm_engine *engine;
    struct vlm_model *model; /* only read */
    const struct vlm_vocabulary *vocabulary;
    const struct vlm_recipe *recipe;
    struct vlm_corpus *corpus;
    struct vlm_coder *images; /* of the corpus's tokenizer; NULL: no sheet */
    const char *folder;       /* of the run; samples/ is made */
    uint64_t step, seed;
    enum vlm_dtype precision;
};

enum { VLM_SAMPLES_NAME_SIZE = 64 };

/* Writes both files, each whole or absent; the same bytes for the same weights, seed and step. `file` receives the
 * name of the text in the run folder, "samples/step-100.txt". A prompt that cannot be answered (it needs an image and
 * no validation document has one, or it does not fit into the context) is said to be so in the text. */
VLM_MUST_CHECK int vlm_run_samples(const struct vlm_samples *samples,
                                   char file[VLM_SAMPLES_NAME_SIZE], struct vlm_err *err);

#endif
