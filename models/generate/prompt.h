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
 * that begins behind the one before it is of the same image: src="{image:0-99}<mask:0>{image:150-255}".
 *
 * Programs that take prompts from others give parts instead of one string:
 *
 *   const struct vlm_prompt_part parts[] = {
 *       { .kind = VLM_PROMPT_TEXT, .text = "The", .n = 3 },
 *       { .kind = VLM_PROMPT_MASK },
 *       { .kind = VLM_PROMPT_IMAGE, .codes = codes, .drawn = cells },
 *   };
 *   rc = vlm_prompt_from_parts(&prompt, sequencer, &vocabulary, &recipe, parts, 3, 0, &err);
 *   vlm_prompt_options(&options, &prompt);       // what its masks stand for
 *
 * Control words and {image} in their text are text, but in VLM_PROMPT_WORDS. */
#ifndef VLM_MODELS_PROMPT_H
#define VLM_MODELS_PROMPT_H

#include "models/generate/generate.h"
#include "models/recipe/recipe.h"

struct vlm_prompt {
    struct vlm_sequence sequence;
    uint32_t *codes; /* [n_images][256] for the encoder; NULL in markup, whose ids have them */
    size_t n_images; /* of codes */

    /* Of prompts of parts. */
    size_t n_masks;
    size_t part[VLM_MASKS_DEFAULT]; /* in which each mask stands */
    uint32_t
        mask_codes[VLM_MASKS_DEFAULT]; /* codes that a mask within an image stands for; else 0 */
    uint16_t *forced;              /* [n_masks][VLM_CODES] or NULL: struct vlm_generate_options */
    bool any_order;                /* masks have numbers of their own */
    bool space[VLM_MASKS_DEFAULT]; /* the space in front of the mask was taken into its span */
};

/* What the text of every prompt must be, whatever program it comes to: UTF-8, in which U+0000 is a character as any
 * other. VLM_EUSAGE: the first byte that is not. */
VLM_MUST_CHECK int vlm_prompt_check_text(const char *text, size_t n, struct vlm_err *err);

/* codes [n_images][256] in the order of the {image}. prompt is zeroed at first and the caller's to release, whatever
 * the result. VLM_EUSAGE: text that is not UTF-8; another number of {image}; images for a model that takes none; a code that is too large. */
VLM_MUST_CHECK int vlm_prompt_make(struct vlm_prompt *prompt, struct vlm_sequencer *sequencer,
                                   const struct vlm_vocabulary *vocabulary,
                                   const struct vlm_recipe *recipe, const char *text, size_t n,
                                   const uint16_t *codes, size_t n_images, struct vlm_err *err);
void vlm_prompt_release(struct vlm_prompt *prompt); /* safe on a zeroed struct */

/* What VLM_PROMPT_SPACE does, for a prompt that vlm_prompt_make() has made: a token that is one space, between a word and
 * a mask, becomes part of the mask's span. */
VLM_MUST_CHECK int vlm_prompt_take_spaces(struct vlm_prompt *prompt,
                                          const struct vlm_vocabulary *vocabulary,
                                          struct vlm_err *err);

/* ---- parts ---- */

enum vlm_prompt_kind {
    VLM_PROMPT_TEXT,   /* words as people read them: in markup <, >, & and " become references */
    VLM_PROMPT_MARKUP, /* a piece of a page; of a recipe without markup, text */
    VLM_PROMPT_WORDS,  /* a piece in which control words count, <mask:N> among them */
    VLM_PROMPT_MASK,   /* the next one: <mask:0>, then <mask:1>, ... */
    VLM_PROMPT_IMAGE,
};

struct vlm_prompt_part {
    enum vlm_prompt_kind kind;
    const char *text; /* of an image its alt, as of VLM_PROMPT_TEXT; NULL: it has none */
    size_t n;
    /* Of an image. In markup it stands in the src of an img that the parts around it write, or, between tags, in an
     * <img alt="..." src="..."> that is written for it. codes [256]; NULL: all are to be drawn. drawn [256], in rows
     * of 16: 1: to be drawn anew; NULL: none. Cells to be drawn cost one mask an image, for codes are drawn in
     * the order of the cells: the mask stands for all from the first such cell to the last, and the known ones
     * between them are forced, so that cells which are 0 keep their codes whatever the model says. Without
     * codes in the vocabulary (an encoder) nothing can be drawn. */
    const uint16_t *codes;
    const uint8_t *drawn;
    size_t
        number; /* of its mask, as which it is filled, plus 1: then all masks have one; 0: the next */
};

enum vlm_prompt_flag {
    /* The page is closed at its end: an open value, an open tag, open elements. For masks, whose spans training puts
     * behind whole pages. Nothing is done without masks, or without markup. */
    VLM_PROMPT_CLOSE = 1,
    /* A single space in front of a mask between words becomes part of the span, since in training the space belongs
     * to the hidden word: "The <mask:0> of" becomes "The<mask:0> of", and the fill begins with a token that begins
     * with a space (prompt->space[i]; vlm_prompt_options() says so to the stream). The fill's text then begins with
     * that space, which the prompt's text has already: leave one of them out. */
    VLM_PROMPT_SPACE = 2,
};

/* Errors name the part: "part 3: ...", counted from 0. VLM_EUSAGE: an image where none can stand or for a model
 * that takes none, a code that is too large, text that is no UTF-8, more than VLM_MASKS_DEFAULT masks. */
VLM_MUST_CHECK int vlm_prompt_from_parts(struct vlm_prompt *prompt, struct vlm_sequencer *sequencer,
                                         const struct vlm_vocabulary *vocabulary,
                                         const struct vlm_recipe *recipe,
                                         const struct vlm_prompt_part *parts, size_t n,
                                         unsigned flags, struct vlm_err *err);

/* What guidance leads away from when nothing is said: the page of a prompt without its words, made anew: html, body, the
 * src of every img, codes and masks are left. alt: words that each img gets instead of its own, NULL: none. VLM_EUSAGE: the
 * model draws no images in pages. */
VLM_MUST_CHECK int vlm_prompt_bare(struct vlm_prompt *out, struct vlm_sequencer *sequencer,
                                   const struct vlm_vocabulary *vocabulary,
                                   const struct vlm_recipe *recipe, const struct vlm_prompt *prompt,
                                   const char *alt, struct vlm_err *err);

/* The paper's prompts end with the <mask:0> that begins the first span (CM3 section 4.1.2), which a stream puts there
 * itself: such a one, the same as one before it, is taken away. */
void vlm_prompt_drop_start(struct vlm_prompt *prompt, const struct vlm_vocabulary *vocabulary);

/* Ids as they are: no token is put in front. VLM_EUSAGE: one that the vocabulary does not have. */
VLM_MUST_CHECK int vlm_prompt_from_ids(struct vlm_prompt *prompt,
                                       const struct vlm_vocabulary *vocabulary, const uint32_t *ids,
                                       size_t n, struct vlm_err *err);

/* Sets what the options say of masks; they borrow from the prompt. */
void vlm_prompt_options(struct vlm_generate_options *options, const struct vlm_prompt *prompt);

/* Marks the rectangle of rows [r0, r1) and columns [c0, c1) of 16 x 16 cells, beside what is marked. False: it is
 * empty or leaves the grid. */
VLM_MUST_CHECK bool vlm_prompt_rectangle(uint8_t drawn[VLM_CODES], int64_t r0, int64_t c0,
                                         int64_t r1, int64_t c1);

/* Whether a recipe's prompts are pages, and the token that training has in front of every sample of it; UINT32_MAX: a model
 * of others has none (GPT-2). vlm_prompt_begin() appends it; false: no memory. */
bool vlm_prompt_is_markup(const struct vlm_recipe *recipe);
uint32_t vlm_prompt_begin_token(const struct vlm_vocabulary *vocabulary,
                                const struct vlm_recipe *recipe);
bool vlm_prompt_begin(struct vlm_sequence *sequence, const struct vlm_vocabulary *vocabulary,
                      const struct vlm_recipe *recipe);

/* How many images the {image} in a text stand for. */
size_t vlm_prompt_images(const char *text, size_t n);

/* The tokens that end a continuation beside </s>: those that end a sample of the recipe. Returns how many, at
 * most 1, of stop[1]. */
size_t vlm_prompt_stops(uint32_t stop[1], const struct vlm_vocabulary *vocabulary,
                        const struct vlm_recipe *recipe);

#endif
