/* prompt.h - a prompt as people write it, for the model of a recipe.
 *
 *   rc = vlm_prompt_make(&prompt, sequencer, &vocabulary, &recipe, text, n, codes, n_images, &err);
 *   rc = vlm_generate(generator, &answer, prompt.sequence.ids, prompt.sequence.n, prompt.codes,
 *                     prompt.n_images, &options, &err);
 *   vlm_prompt_release(&prompt);
 *
 * Recipes of markup (cm3, htlm) read it as HTML, others as text with control words (schemas/sequence.md). The
 * token that training has in front of every sample is put in front. {image} is the next image: its codes as
 * numbers in markup, <image> for a model with an encoder. In markup {image:A-B} is its codes A to B; such a part
 * that begins behind the one before it is of the same image: src="{image:0-99}<mask:0>{image:150-255}". */
#ifndef VLM_MODELS_PROMPT_H
#define VLM_MODELS_PROMPT_H

#include "models/recipe/recipe.h"

struct vlm_prompt {
    struct vlm_sequence sequence;
    uint32_t *codes; /* [n_images][256] for the encoder; NULL in markup, whose ids have them */
    size_t n_images; /* of codes */
};

/* codes [n_images][256] in the order of the {image}. prompt is zeroed at first and the caller's to release, whatever
 * the result. VLM_EUSAGE: another number of {image}; images for a model that takes none; a code that is too large. */
VLM_MUST_CHECK int vlm_prompt_make(struct vlm_prompt *prompt, struct vlm_sequencer *sequencer,
                                   const struct vlm_vocabulary *vocabulary,
                                   const struct vlm_recipe *recipe, const char *text, size_t n,
                                   const uint16_t *codes, size_t n_images, struct vlm_err *err);
void vlm_prompt_release(struct vlm_prompt *prompt); /* safe on a zeroed struct */

/* How many images the {image} in a text stand for. */
size_t vlm_prompt_images(const char *text, size_t n);

/* The tokens that end a continuation beside </s>: those that end a sample of the recipe. Returns how many, at
 * most 1, of stop[1]. */
size_t vlm_prompt_stops(uint32_t stop[1], const struct vlm_vocabulary *vocabulary,
                        const struct vlm_recipe *recipe);

#endif
