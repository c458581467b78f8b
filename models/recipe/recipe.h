/* recipe.h - a system as an INI file: which blocks fill the slots of the skeleton
 *
 *     encoder -> bridge -> embed (splice) -> trunk -> head
 *
 * and what it sees of documents, what is trained, by which objective, and how it answers.
 *
 *   struct vlm_recipe recipe;
 *   int rc = vlm_recipe_open(&recipe, "cm3", settings.line, settings.n, &err);   // or a path
 *   rc = vlm_recipe_write(&buffer, &recipe);           // every value; reading it gives it again
 *
 * Recipes ship inside of the programs (models/recipes); schemas/recipe.md says every section and key.
 * Plain data without pointers into the heap but block descriptors, which are constants: a recipe may
 * be copied. */
#ifndef VLM_MODELS_RECIPE_H
#define VLM_MODELS_RECIPE_H

#include "base/buffer.h"
#include "models/blocks/block.h"
#include "tokenize/sequence/sample.h"

enum {
    VLM_RECIPE_NAME_SIZE = 64,
    VLM_RECIPE_GLOBS_MAX = 16,
    VLM_RECIPE_PROMPTS_MAX = 16,
    VLM_RECIPE_PROMPT_SIZE = 1024,
};

/* The sections that --set and INI files of programs pass on: struct vlm_settings.sections. */
#define VLM_RECIPE_SECTIONS "system|data|encoder|bridge|embed|trunk|objective|train|generate|cm3"

/* How [generate] answers, and the samples of a training run. */
enum vlm_generate_method {
    VLM_GENERATE_CONTINUE, /* text goes on */
    VLM_GENERATE_INFILL,   /* masks of a prompt are filled (CM3) */
    VLM_GENERATE_CAPTION,  /* text for an image */
};

struct vlm_recipe_globs {
    char list[VLM_RECIPE_GLOBS_MAX][VLM_RECIPE_NAME_SIZE];
    size_t n;
};

struct vlm_recipe {
    char name[VLM_RECIPE_NAME_SIZE];
    /* [data]: render = cm3|htlm|text|m3w|pair, then the keys of vlm_sampling_set(). The seed is
     * the run's. sampling.recipe points to a constant. sampling.block is 0 unless the recipe names a
     * number: the block of the preset (data.block = @preset). */
    struct vlm_sampling sampling;
    /* [encoder] block = codes, layers, width, heads; [bridge] block = prefix, length. Width 0 (@trunk): the
     * trunk's; heads 0 (@width): one for each 64 numbers of the width, at least one. */
    const struct vlm_encoder_kind *encoder; /* NULL: no encoder, then no bridge either */
    size_t encoder_layers, encoder_width, encoder_heads;
    const struct vlm_bridge_kind *bridge;
    size_t bridge_length; /* rows that stand for an image, in the place of its <image> */
    /* [embed] position = sinusoid|learned|rotary, tied = 1|0 */
    enum vlm_position position;
    bool tied;
    /* [trunk] layer = pre-ln|llama, mask = causal, size = a preset's name or @preset */
    const struct vlm_layer_kind *layer;
    char preset[VLM_RECIPE_NAME_SIZE]; /* "" : the program's --preset */
    /* [objective] weight.text, weight.markup, weight.image: of the loss of targets of a modality,
     * times the sample's own weights; weight.mask goes to sampling */
    double weight[VLM_MODALITIES];
    /* [train] freeze = GLOB, ..., train = GLOB, ...: names as vlm_model_parameter has them; train wins */
    struct vlm_recipe_globs freeze, train;
    /* [generate] method, image_grammar, prompt (repeated; "{image}" is an image of the validation set) */
    enum vlm_generate_method method;
    bool image_grammar;
    char prompts[VLM_RECIPE_PROMPTS_MAX][VLM_RECIPE_PROMPT_SIZE];
    size_t n_prompts;
};

/* name: of a shipped recipe, or a path (it has a '/' or ends in ".ini"). settings: "data.lambda=0", the
 * weakest first, over what the file says. VLM_EUSAGE in one sentence that names file, line, key, what was
 * found and what was expected, with a near word where there is one. */
VLM_MUST_CHECK int vlm_recipe_open(struct vlm_recipe *recipe, const char *name,
                                   const char *const *settings, size_t n, struct vlm_err *err);

/* The same from memory; file is for sentences. Any bytes are taken. */
VLM_MUST_CHECK int vlm_recipe_parse(struct vlm_recipe *recipe, const char *file, const char *text,
                                    size_t size, const char *const *settings, size_t n,
                                    struct vlm_err *err);

/* The recipe `base` with settings over it; file is for sentences. */
VLM_MUST_CHECK int vlm_recipe_change(struct vlm_recipe *recipe, const struct vlm_recipe *base,
                                     const char *file, const char *const *settings, size_t n,
                                     struct vlm_err *err);

/* Appends the whole recipe as INI. Failure sticks to the buffer. */
void vlm_recipe_write(struct vlm_buffer *out, const struct vlm_recipe *recipe);

/* Names of the shipped recipes, with spaces between: for sentences and --help. */
const char *vlm_recipe_names(void);

#endif
