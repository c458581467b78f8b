/* stream.h - one answer in the making: what the model has to be shown, what may be drawn, what was drawn.
 *
 *   rc = vlm_stream_new(&stream, choices, &prompt, capacity, &options, &err);
 *   while (rc == VLM_OK && !stream->over) {
 *       ... run the rows of each lane that the model has not seen (decoder.h) ...
 *       rc = vlm_stream_draw(stream, logits, &err);
 *   }
 *   ... stream->answer ...
 *   vlm_stream_free(stream);
 *
 * There is no forward pass here, and no other stream: whatever runs beside it, the same prompt, options and
 * logits give the same answer. What is drawn as number i is a function of (seed, i) and what is before it.
 *
 * A lane is a sequence that the model sees. A stream has one; with guidance a second one, whose prompt leaves
 * out what guides (Ho and Salimans 2022, "Classifier-free diffusion guidance", for codes: Gafni et al. 2022,
 * "Make-A-Scene", section 3.4); a beam search has one for each beam. */
#ifndef VLM_MODELS_STREAM_H
#define VLM_MODELS_STREAM_H

#include "models/generate/choices.h"
#include "models/generate/generate.h"

enum { VLM_LANES_MAX = 16 };

struct vlm_lane {
    uint32_t *
        ids; /* [capacity of the stream]: id of each row; rows of an image for the encoder have <image> */
    size_t n; /* rows there are; a draw may add several: an end and the next mask, forced codes */
    size_t
        kept; /* after a draw: as many first rows are what they were; a beam's others have changed */
    size_t
        parent; /* after a draw: the lane that had the rows below n - 1, at most; itself but for beams */
    /* First row whose logits are wanted: those of rows asked <= r < n are given to vlm_stream_draw(), or, of a
     * stream that scores, to vlm_stream_see(). */
    size_t asked;
    /* Images for the encoder, in the order of the rows. */
    const uint32_t *codes;     /* [n_images][256] */
    const uint32_t *image_row; /* [n_images] first row of each */
    size_t n_images;
};

enum vlm_logits {
    VLM_LOGITS_ALL,
    VLM_LOGITS_CODES, /* of the codes only: nothing else may come, which saves most of the last product */
};

/* One token that was drawn. */
struct vlm_drawn {
    uint32_t id, fill; /* of which fill; an end is drawn too, but stands in none */
    bool end;
    bool forced; /* it was not drawn, but had to come (options.forced): logprob 0 */
    float
        logprob; /* under the model at temperature 1, as log_likelihood of struct vlm_answer; nats */
};

struct vlm_likely {
    uint32_t id;
    float logprob;
};

struct vlm_stream {
    size_t n_lanes;
    struct vlm_lane lane[VLM_LANES_MAX];
    size_t capacity;        /* rows of a lane at most */
    size_t image_length;    /* rows of an <image> of a model with an encoder, else 0 */
    size_t prompt_rows;     /* of lane 0, when it began */
    enum vlm_logits wanted; /* of the next draw */
    bool scores;            /* nothing is drawn: vlm_stream_see() */
    bool over;
    /* Grows; sequence is there when it is over. Of a beam search: only then. Of one that scores: its log_likelihood
     * when it is over, the sum of all that was seen, in double precision. */
    struct vlm_answer answer;
    struct vlm_drawn
        *drawn; /* [n_drawn] so far, in order. Of a beam search: only when it is over */
    /* [n_drawn][options.likely] the likeliest, the first first; scores: [tokens - 1][prompt.likely] as losses */
    struct vlm_likely *likely;
    size_t n_drawn;
    float
        *losses; /* scores: nats of each token behind the first, [tokens - 1]; NAN: not seen yet */
};

struct vlm_stream_prompt {
    const uint32_t *ids; /* of vlm_prompt_make() */
    size_t n;
    const uint32_t *image_codes; /* [n_images][256] for an encoder */
    size_t n_images;
    /* For guidance: as many masks, and an end that goes on alike; NULL: none. */
    const uint32_t *negative;
    size_t n_negative;
    size_t
        likely; /* of a stream that scores: so many of the likeliest in the place of each token are kept */
};

/* All is copied. capacity: rows of prompt and answer together. The errors are those of vlm_generate(). */
VLM_MUST_CHECK int vlm_stream_new(struct vlm_stream **out, const struct vlm_choices *choices,
                                  const struct vlm_stream_prompt *prompt, size_t capacity,
                                  const struct vlm_generate_options *options, struct vlm_err *err);

/* A stream that says how likely a text is: its only lane asks for the logits of all rows from `from` - 1 on (from at
 * least 1), so that losses[from - 1] is that of token `from`. */
VLM_MUST_CHECK int vlm_stream_new_score(struct vlm_stream **out, const struct vlm_choices *choices,
                                        const struct vlm_stream_prompt *prompt, size_t from,
                                        size_t capacity, struct vlm_err *err);
void vlm_stream_free(struct vlm_stream *stream); /* NULL is fine */

/* Draws what comes behind the last row of each lane. logits[lane]: of VLM_LOGITS_CODES n_codes numbers, else one of
 * each id of the model's vocabulary. VLM_EFORMAT: no finite probabilities; VLM_ENOMEM. After an error it is over. */
VLM_MUST_CHECK int vlm_stream_draw(struct vlm_stream *stream, const float *const *logits,
                                   struct vlm_err *err);

/* The page of a stream as far as it is certain, with its images: the prompt with the fills in their places, up to the
 * token that was drawn last, or to a fill that has not begun. out: any sequence, which is replaced. VLM_ENOMEM. */
VLM_MUST_CHECK int vlm_stream_page(struct vlm_sequence *out, const struct vlm_stream *stream,
                                   struct vlm_err *err);

/* Scores: the logits behind row `row`, in any order; over when all were seen. kernels: of the engine. */
VLM_MUST_CHECK int vlm_stream_see(struct vlm_stream *stream, size_t row, const float *logits,
                                  struct vlm_err *err);

#endif
