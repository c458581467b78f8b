/* generator.h - the forward pass, some rows at a time: for generate.c and tests. */
#ifndef VLM_MODELS_GENERATOR_H
#define VLM_MODELS_GENERATOR_H

#include "models/generate/draw.h"
#include "models/generate/generate.h"
#include "models/generate/grammar.h"

/* Ids that may be drawn, with room for one more. */
struct vlm_choice {
    uint32_t *ids;
    size_t n;
};

struct vlm_generator {
    const struct vlm_engine *engine;
    struct vlm_model *model;
    const struct vlm_vocabulary *vocabulary;
    size_t capacity;
    size_t image_length; /* rows of an <image>; 0: it is a token like others */
    bool images;         /* the model draws codes: the grammar of images holds */
    struct vlm_cache cache;
    struct vlm_tape tape; /* one forward pass */
    uint32_t *number;    /* [capacity + 1]: 0, 1, 2, ...: places, positions and ends of intervals */
    uint32_t *zero;      /* [capacity]: begins of intervals */
    uint32_t *row;       /* [capacity]: id of each row of the sequence */
    size_t rows, cached; /* rows there are, and how many of them the cache has */
    /* Images of the prompt: borrowed codes, first rows (in the order of the prompt), and the rows as
     * struct vlm_rows wants them. */
    const uint32_t *codes;
    size_t n_images;
    uint32_t *image_row, *image_rows;
    struct vlm_choice text, code, quote, any;
    struct vlm_choice offset; /* 0, 1, ...: of code from first_code */
    struct vlm_draw_item *scratch;
    /* Behind the last row, until the next forward pass: of the ids first_logit to first_logit + n_logits - 1. */
    const float *logits;
    uint32_t first_logit;
    size_t n_logits;
};

/* Begins a sequence; keeps what the cache has of it. VLM_EUSAGE: it is too long, or has an id that the
 * model does not know, or another number of <image>. */
VLM_MUST_CHECK int vlm_generator_begin(struct vlm_generator *generator, const uint32_t *ids,
                                       size_t n, const uint32_t *image_codes, size_t n_images,
                                       struct vlm_err *err);

/* Appends a token; there must be room. */
void vlm_generator_add(struct vlm_generator *generator, uint32_t id);

/* Runs the rows that the cache lacks; then generator->logits are those behind the last row: of codes only when nothing
 * else may come, which saves most of the last product, else of all ids. */
enum vlm_logits { VLM_LOGITS_ALL, VLM_LOGITS_CODES };
VLM_MUST_CHECK int vlm_generator_run(struct vlm_generator *generator, enum vlm_logits wanted,
                                     struct vlm_err *err);

/* Log-likelihood of the id of logits[at] among n of them; NaN when one is not finite. */
double vlm_generator_likelihood(const struct vlm_generator *generator, const float *logits,
                                size_t n, size_t at);

#endif
