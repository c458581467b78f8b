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

#define VLM_MASK_ANY UINT32_MAX

struct vlm_generate_options {
    uint64_t seed;
    double temperature,
        image_temperature;      /* 0: the most likely token, the lower id of equal ones */
    int64_t top_k, image_top_k; /* 0: all */
    double top_p, image_top_p;  /* 1: all */
    size_t max_tokens;          /* of a fill or a continuation; 0: as many as fit */
    const size_t *mask_tokens;  /* [masks]: max_tokens of each; 0: max_tokens; NULL: of all */
    bool no_grammar;            /* images are not kept whole */
    const uint32_t
        *stop; /* tokens that end a continuation beside </s>; they are not in the answer */
    size_t n_stop;
    bool one_image; /* stop a continuation behind the first whole image that was drawn */
    /* Of each mask of the prompt: how many codes it stands for when it is within an image. NULL: of several
     * masks in one image the last gets what the others leave, which end where the model ends them; VLM_MASK_ANY:
     * the same for one mask. */
    const uint32_t *mask_codes;
    /* [masks][VLM_CODES]: of a mask within an image, the code that comes as its k-th; VLM_CODE_UNKNOWN: drawn. A
     * forced code is not drawn: it counts neither as generated nor in the likelihood. NULL: none. */
    const uint16_t *forced;
    const bool
        *space; /* [masks]: the fill begins with a token that begins with a space; NULL: none */
    double min_p,
        image_min_p; /* 0: all; else only those at least so likely, relative to the likeliest */
    double typical,
        image_typical; /* 0, 1: all; else that share of the most typical ones (draw.h) */
    /* Of text, over the tokens of the last `penalty_last` rows (0: all), prompt included: logits divided (negative ones
     * multiplied) by `repeat` (Keskar et al. 2019, "CTRL", section 4.1; 1: off); less `presence` once, less
     * `frequency` for each time that the token was drawn (0: off). */
    double repeat, presence, frequency;
    size_t penalty_last;
    const struct vlm_logit_bias *bias; /* [n_bias] added to logits; -INFINITY: never */
    size_t n_bias;
    /* Strings that end a continuation, or a fill of text, as they appear; what was drawn of them is not in
     * the answer's text (spell.h), though it is among its tokens. */
    const char *const *words;
    size_t n_words;
    double
        guidance; /* of codes, with a negative prompt: z = negative + guidance (z - negative); 1: off */
    size_t
        beams; /* 0, 1: none; else the likeliest of so many, by log-likelihood / length^length_penalty */
    double length_penalty;
    size_t likely;   /* of each drawn token, so many of the likeliest are kept */
    bool ignore_end; /* the end is never drawn where something else may come */
    /* Of a continuation, with the grammar of images. While fewer than images_min have begun in it, it does not end by
     * itself, and behind the next tag that ends image_start [n_image_start] comes, the ids of '<img src="'; not where
     * no whole image fits any more. images_limited: when images_max have begun, no further img is. */
    size_t images_min, images_max;
    bool images_limited;
    const uint32_t *image_start;
    size_t n_image_start;
    bool
        any_order; /* masks stand in the prompt in any order; they are filled by number. Not with beams */
};
/* Limits: beyond them VLM_EUSAGE. beams: VLM_LANES_MAX. */
enum {
    VLM_STOP_WORDS_MAX = 16,
    VLM_STOP_WORD_SIZE_MAX = 256, /* bytes */
    VLM_GUIDANCE_MAX = 100,
    VLM_LENGTH_PENALTY_MAX = 10, /* and its negative */
    VLM_REPEAT_MAX = 10,
    VLM_LIKELY_MAX = 100,
};

struct vlm_logit_bias {
    uint32_t id;
    float bias;
};
#define VLM_GENERATE_DEFAULTS                                                                      \
    {                                                                                              \
        .temperature = 1, .image_temperature = 1, .top_p = 1, .image_top_p = 1, .repeat = 1,       \
        .guidance = 1, .length_penalty = 1, .typical = 1, .image_typical = 1                       \
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
 * computed is used again where a prompt begins like the last one, so weights must not change. VLM_EUSAGE:
 * the vocabulary has more ids than the model. */
VLM_MUST_CHECK int vlm_generator_new(struct vlm_generator **out, const struct vlm_engine *engine,
                                     struct vlm_model *model,
                                     const struct vlm_vocabulary *vocabulary, size_t capacity,
                                     enum vlm_dtype precision, struct vlm_err *err);
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
