/* evaluate.h - a tokenizer on pictures: how good and how fast, and what it looks like.
 *
 *   struct vlm_evaluation evaluation;
 *   rc = vlm_evaluation_init(&evaluation, &coders, &err);
 *   // on any thread, a coder of its own:
 *   rc = vlm_evaluation_make(&evaluation, worker, square, &made, &err);
 *   // on one thread, in order:
 *   rc = vlm_evaluation_add(&evaluation, square, &made, &err);
 *   vlm_evaluation_write(&evaluation, &json);
 *   vlm_evaluation_release(&evaluation); */
#ifndef VLM_TOOLS_EVALUATE_H
#define VLM_TOOLS_EVALUATE_H

#include "base/json.h"
#include "tools/vqgan/vqgan.h"
#include "vqgan/train/quality.h"
#include "vqgan/train/train.h"

enum { VLM_SHEET_COLS = 8, VLM_SHEET_PAIRS = 16 }; /* pictures in a row; on a sheet */

/* What becomes of one picture. */
struct vlm_made {
    uint16_t codes[VLM_CODES];
    uint8_t square[VLM_SQUARE_BYTES]; /* the reconstruction */
    double encode_seconds, decode_seconds;
};

struct vlm_evaluation {
    const struct vlm_coders *coders;
    struct vlm_quality quality;
    double encode_seconds, decode_seconds; /* summed up over threads */
    double started;
    double peak; /* GFLOP/s of multiply-adds in registers, of all threads */
    uint8_t *sheet;
    size_t shown;
};

VLM_MUST_CHECK int vlm_evaluation_init(struct vlm_evaluation *evaluation,
                                       const struct vlm_coders *coders, struct vlm_err *err);
VLM_MUST_CHECK int vlm_evaluation_make(const struct vlm_evaluation *evaluation, size_t worker,
                                       const uint8_t square[VLM_SQUARE_BYTES],
                                       struct vlm_made *made, struct vlm_err *err);
void vlm_evaluation_add(struct vlm_evaluation *evaluation, const uint8_t square[VLM_SQUARE_BYTES],
                        const struct vlm_made *made);

/* The members of the report. */
void vlm_evaluation_write(const struct vlm_evaluation *evaluation, struct vlm_json *json);

/* The same for people, on out. */
void vlm_evaluation_print(const struct vlm_evaluation *evaluation, FILE *out);

/* The first pictures over their reconstructions, as PNG. */
VLM_MUST_CHECK int vlm_evaluation_sheet(const struct vlm_evaluation *evaluation, const char *path,
                                        struct vlm_err *err);
void vlm_evaluation_release(struct vlm_evaluation *evaluation); /* safe on a zeroed struct */

/* All pictures of one side of a collection, or the first `most`. */
VLM_MUST_CHECK int vlm_evaluate_pictures(struct vlm_evaluation *evaluation,
                                         const struct vlm_pictures *pictures, bool held_out,
                                         size_t most, struct vlm_err *err);

#endif
