/* stream_internal.h - what the files of streams share: stream.c, stream_line.c, stream_logits.c, stream_score.c,
 * beam.c and answer.c.
 *
 * A line is one way on: what was drawn behind the prompt and what follows from it. A stream has one line; a beam
 * search has one for each beam. Tokens of all lines are in one pool; each knows the one before it. */
#ifndef VLM_MODELS_STREAM_INTERNAL_H
#define VLM_MODELS_STREAM_INTERNAL_H

#include "models/generate/draw.h"
#include "models/generate/grammar.h"
#include "models/generate/stream.h"

#define VLM_NO_TOKEN UINT32_MAX

/* Logits of the ids first to first + n - 1. */
struct vlm_view {
    const float *z;
    uint32_t first;
    size_t n;
};

struct vlm_line {
    struct vlm_grammar page;         /* fed with the page as it will be, spans in their places */
    size_t at;                       /* of the prompt, how much was fed */
    size_t fill;                     /* that is being filled */
    struct vlm_hole hole;            /* of its mask */
    size_t n_fill, room;             /* tokens in it, and how many there may be */
    const struct vlm_choice *choice; /* what may come next; */
    bool may_end;                    /* and whether the end may */
    size_t images;                   /* that have begun in a continuation */
    bool behind_tag;                 /* the last token ended a tag */
    bool over;
    enum vlm_stop_reason why[VLM_MASKS_DEFAULT];
    uint32_t last;         /* token in the pool, or VLM_NO_TOKEN */
    size_t generated;      /* tokens that were drawn, ends included */
    double log_likelihood; /* of them */
    double score;          /* of a beam: of the logits that it chose from */
    uint32_t *rows[2];     /* [capacity] of its lane, and of that which guides */
    size_t n_rows[2];
};

struct vlm_beams;

struct vlm_making {
    struct vlm_stream stream; /* first: what the caller sees */
    const struct vlm_choices *choices;
    struct vlm_generate_options options;
    void *options_memory;
    uint32_t *prompt;
    size_t n_prompt;
    size_t mask[VLM_MASKS_DEFAULT]; /* places in the prompt */
    size_t n_masks;
    uint32_t *behind; /* [capacity] scratch; NULL: masks stand in the order of their numbers */
    size_t need[VLM_MASKS_DEFAULT + 1];
    size_t n_guides; /* lanes beside the first that get all its tokens: 0 or 1 */
    struct vlm_line line;
    struct vlm_drawn *pool;
    uint32_t *before; /* of each token of the pool, the one before it */
    struct vlm_likely *likely;
    size_t n_pool, pool_capacity, before_capacity, likely_capacity;
    uint32_t *codes, *image_row; /* of lanes */
    /* What may come next, [any + 1]: logits, and ids, but for the end, which is the last of n_next when it has none. */
    float *next;
    const uint32_t *next_ids;
    size_t n_next, n_next_ids;
    uint32_t *ids;                   /* [any] scratch for next_ids */
    struct vlm_draw_scratch scratch; /* [any + 1] */
    float *adjusted;         /* [model's vocabulary] scratch, or NULL: logits are never changed */
    uint32_t *count;         /* [model's vocabulary] of tokens for penalties, zeros; or NULL */
    struct vlm_beams *beams; /* NULL: none */
    double *score;           /* [n_prompt] of a stream that scores */
    uint32_t *target;        /* [rows] of one that scores: the token behind each row */
    size_t unseen;
};

static inline const struct vlm_vocabulary *vlm_making_vocabulary(const struct vlm_making *making)
{
    return making->choices->vocabulary;
}

/* The token that ends a fill, or a continuation. */
static inline uint32_t vlm_making_end(const struct vlm_making *making)
{
    return vlm_making_vocabulary(making)
        ->control[making->n_masks ? VLM_CONTROL_END_OF_SPAN : VLM_CONTROL_END];
}

/* Whether only codes may come next. */
static inline bool vlm_line_codes(const struct vlm_making *making, const struct vlm_line *line)
{
    return line->choice == &making->choices->code && !line->may_end;
}

static inline bool vlm_making_grammar(const struct vlm_making *making)
{
    return making->choices->images && !making->options.no_grammar;
}

/* Of a continuation, with the grammar: whether an image has to begin yet, and whether none may any more. */
static inline bool vlm_line_wants_image(const struct vlm_making *making,
                                        const struct vlm_line *line)
{
    return !making->n_masks && vlm_making_grammar(making) && making->options.n_image_start &&
           line->images < making->options.images_min &&
           line->room - line->n_fill > making->options.n_image_start + VLM_IMAGE_CODES;
}
static inline bool vlm_line_has_images(const struct vlm_making *making, const struct vlm_line *line)
{
    return !making->n_masks && vlm_making_grammar(making) && making->options.images_limited &&
           line->images >= making->options.images_max;
}

/* ---- options.c ---- */

/* VLM_EUSAGE names the option. */
VLM_MUST_CHECK int vlm_options_check(const struct vlm_generate_options *options,
                                     const struct vlm_choices *choices, struct vlm_err *err);
/* Copies them with all that they point to, masks [n_masks]; *memory is to be freed. */
VLM_MUST_CHECK int vlm_options_copy(struct vlm_generate_options *out, void **memory,
                                    const struct vlm_generate_options *options, size_t n_masks,
                                    struct vlm_err *err);

/* ---- stream_line.c ---- */

/* Finds the masks of the prompt, and what must follow it. */
VLM_MUST_CHECK int vlm_making_masks(struct vlm_making *making, struct vlm_err *err);
/* The rows of the lanes are those of the prompt; then line->choice is what may come first. */
VLM_MUST_CHECK int vlm_line_begin(struct vlm_making *making, struct vlm_line *line,
                                  struct vlm_err *err);
/* A token was drawn: its id and logprob; likely [options.likely] or NULL. Moves on to where the next one is to be
 * drawn, or to the end. The caller adds to log_likelihood and score. */
VLM_MUST_CHECK int vlm_line_take(struct vlm_making *making, struct vlm_line *line,
                                 const struct vlm_drawn *token, const struct vlm_likely *likely,
                                 struct vlm_err *err);

/* ---- stream_logits.c ---- */

/* What a line looks at of the logits of its lane. */
struct vlm_view vlm_line_view(const struct vlm_making *making, const struct vlm_line *line,
                              const float *logits);
/* Logarithm of the sum of e^z, in two parts: the largest z, and that of e^(z - largest). NaN when a logit is not
 * finite. */
struct vlm_log_sum {
    double largest, rest;
};
struct vlm_log_sum vlm_view_sum(const struct vlm_making *making, const struct vlm_view *view);
static inline double vlm_view_likelihood(const struct vlm_view *view, const struct vlm_log_sum *sum,
                                         uint32_t id)
{
    return (double)view->z[id - view->first] - sum->largest - sum->rest;
}
/* The logits with guidance, bias and penalties; view itself when there are none. negative: of the lane that
 * guides, or NULL. */
struct vlm_view vlm_line_adjust(struct vlm_making *making, const struct vlm_line *line,
                                const struct vlm_view *view, const float *negative);
/* What may come of a view, into making->next; false: nothing. */
bool vlm_line_next(struct vlm_making *making, const struct vlm_line *line,
                   const struct vlm_view *view);
static inline uint32_t vlm_making_next_id(const struct vlm_making *making, size_t i)
{
    return i < making->n_next_ids ? making->next_ids[i] : vlm_making_end(making);
}
/* The options.likely likeliest of a view. */
void vlm_view_likely(const struct vlm_making *making, const struct vlm_view *view,
                     const struct vlm_log_sum *sum, struct vlm_likely *likely);

/* ---- stream.c ---- */

/* A stream of one lane with the rows of the prompt, which nothing was asked of yet. *out is to be freed whatever the
 * result, as a stream, unless it is NULL. */
VLM_MUST_CHECK int vlm_making_new(struct vlm_making **out, const struct vlm_choices *choices,
                                  const struct vlm_stream_prompt *prompt, size_t capacity,
                                  struct vlm_err *err);
/* VLM_EUSAGE with the sentence and the place. */
int vlm_making_no_token(const struct vlm_making *making, const struct vlm_line *line,
                        struct vlm_err *err);

/* ---- beam.c ---- */

/* Begins a search: the line of the stream becomes its first. */
VLM_MUST_CHECK int vlm_beams_new(struct vlm_making *making, struct vlm_err *err);
void vlm_beams_free(struct vlm_making *making); /* NULL beams are fine */
VLM_MUST_CHECK int vlm_beams_draw(struct vlm_making *making, const float *const *logits,
                                  struct vlm_err *err);

/* ---- answer.c ---- */

/* Appends a token with its modality. */
VLM_MUST_CHECK int vlm_answer_push(struct vlm_sequence *out,
                                   const struct vlm_vocabulary *vocabulary, uint32_t id,
                                   struct vlm_err *err);
/* The fills are complete: lists their images, and makes the sequence. */
VLM_MUST_CHECK int vlm_answer_complete(struct vlm_making *making, struct vlm_err *err);

#endif
