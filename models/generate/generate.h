/* generate.h - a prompt with holes goes in, text and images come out.
 *
 *   rc = vlm_generator_new(&generator, &engine, &folder->model, &folder->vocabulary, 2048, VLM_F32, &err);
 *   rc = vlm_generate(generator, &answer, prompt.ids, prompt.n, NULL, 0, &options, &err);
 *   ... answer.sequence: the prompt with its masks filled, or what follows it ...
 *   vlm_answer_release(&answer);
 *   vlm_generator_free(generator);
 *
 * The forward pass is the trainer's own (models/model): what is generated greedily is what it would
 * predict, bit for bit. One thread owns a generator; its products use the engine's threads.
 *
 * Causal-masked prompts (CM3, sections 4.1 and 4.2): when a prompt holds <mask:0>, ..., a <mask:0> is
 * appended and tokens are drawn until <eoss>; then <mask:1>, and so on; the spans are spliced into their
 * places (vlm_splice). Without masks the prompt is continued until </s> or the limit. With the image grammar,
 * inside the value of an img's src only image codes are drawn, 256 of an image in all, then a quote;
 * elsewhere no code is drawn; a mask within an image is filled with exactly the codes that it stands for. So no
 * image is ever cut but by a limit. Pad, begin, <image> and masks are never drawn. */
#ifndef VLM_MODELS_GENERATE_H
#define VLM_MODELS_GENERATE_H

#include "models/folder/model_folder.h"
#include "tokenize/sequence/mask.h"

struct vlm_generator;

struct vlm_generate_options {
    uint64_t seed;
    double temperature,
        image_temperature;      /* 0: the most likely token, the lower id of equal ones */
    int64_t top_k, image_top_k; /* 0: all */
    double top_p, image_top_p;  /* 1: all */
    size_t max_tokens;          /* of a fill or a continuation; 0: as many as fit */
    bool no_grammar;            /* images are not kept whole */
    const uint32_t
        *stop; /* tokens that end a continuation beside </s>; they are not in the answer */
    size_t n_stop;
    bool one_image; /* stop a continuation behind the first whole image that was drawn */
    /* Of each mask of the prompt: how many codes it stands for when it is within an image. NULL: of several
     * masks in one image the last gets what the others leave, which end where the model ends them. */
    const uint32_t *mask_codes;
};
#define VLM_GENERATE_DEFAULTS                                                                      \
    {                                                                                              \
        .temperature = 1, .image_temperature = 1, .top_p = 1, .image_top_p = 1                     \
    }

enum vlm_stop_reason { VLM_STOP_END, VLM_STOP_LIMIT, VLM_STOP_WORD, VLM_STOP_IMAGE };

struct vlm_answer {
    struct vlm_sequence sequence; /* prompt and fills together, spliced; nothing masked is left */
    struct vlm_sequence fills[VLM_MASKS_DEFAULT]; /* one a mask; a continuation is fills[0] */
    enum vlm_stop_reason why[VLM_MASKS_DEFAULT];
    size_t n_fills;
    /* Of the tokens that were drawn, ends included, under the model at temperature 1: of a code where nothing
     * else may come, among codes, else among all ids. Natural logarithm. */
    double log_likelihood;
    size_t generated; /* tokens that were drawn, ends included */
};
void vlm_answer_release(struct vlm_answer *answer); /* safe on a zeroed struct */

/* The codes at the beginning of n ids; VLM_CODE_UNKNOWN for those that are not there. */
void vlm_answer_codes(uint16_t codes[VLM_CODES], const struct vlm_vocabulary *vocabulary,
                      const uint32_t *ids, size_t n);

/* capacity: rows of prompt and answer together (a token is one, but for the <image> of a model with an
 * encoder), at most the model's context; 0: all of it. Model and vocabulary are borrowed. What the last call
 * computed is used again where a prompt begins like the last one: vlm_generator_reset() when weights have
 * changed. VLM_EUSAGE: the vocabulary has more ids than the model. */
VLM_MUST_CHECK int vlm_generator_new(struct vlm_generator **out, const struct vlm_engine *engine,
                                     struct vlm_model *model,
                                     const struct vlm_vocabulary *vocabulary, size_t capacity,
                                     enum vlm_dtype precision, struct vlm_err *err);
void vlm_generator_reset(struct vlm_generator *generator);
void vlm_generator_free(struct vlm_generator *generator); /* NULL is fine */

/* prompt: ids of vlm_sequence_parse(VLM_PARSE_PROMPT), in a causal-masked recipe with the begin token in
 * front (the caller's). image_codes: [n_images][256] for the encoder of a captioner, in the order of the
 * prompt's <image>; else NULL. The answer is zeroed at first, and the caller's to release. The same arguments give
 * the same answer; the token drawn as number i is a function of (seed, i) and what is before it. VLM_EUSAGE: the
 * prompt is too long, masks are not 0, 1, 2, ..., or more than VLM_MASKS_DEFAULT; the sentence says the
 * numbers. VLM_EFORMAT: the model gives no finite probabilities. */
VLM_MUST_CHECK int vlm_generate(struct vlm_generator *generator, struct vlm_answer *answer,
                                const uint32_t *prompt, size_t n, const uint32_t *image_codes,
                                size_t n_images, const struct vlm_generate_options *options,
                                struct vlm_err *err);

/* Log-likelihood of `n` ids behind the prompt (natural logarithm, temperature 1, no grammar) in *total; its
 * negative, token by token, into losses [n] (NULL: not wanted). For choosing among candidates. */
VLM_MUST_CHECK int vlm_score(struct vlm_generator *generator, double *total, float *losses,
                             const uint32_t *prompt, size_t n_prompt, const uint32_t *ids, size_t n,
                             const uint32_t *image_codes, size_t n_images, struct vlm_err *err);

#endif
