/* decoder_internal.h - slots of the cache, and what they hold: between decoder.c and decoder_slots.c. */
#ifndef VLM_MODELS_DECODER_INTERNAL_H
#define VLM_MODELS_DECODER_INTERNAL_H

#include "models/generate/decoder.h"

#define VLM_NO_SLOT SIZE_MAX

/* Rows as the prefix cache compares them: ids, and codes of the images among them. */
struct vlm_shown {
    const uint32_t *ids;
    size_t n;
    const uint32_t *codes;     /* [n_images][256] */
    const uint32_t *image_row; /* [n_images] ascending */
    size_t n_images;
};

/* As many places of the cache as `stride`; rows below `computed` have their keys and values there. */
struct vlm_slot {
    uint32_t *ids;               /* [capacity] */
    uint32_t *codes, *image_row; /* of the whole images below `computed`; NULL without an encoder */
    size_t computed, n_images;
    uint64_t used; /* when last, in beginnings and ends of streams */
    bool taken;
};

/* Where a lane stands in this step. */
struct vlm_lane_step {
    size_t begin, end;  /* rows of the lane that are run */
    bool prompt;        /* it takes part in the chunk */
    size_t first;       /* the place of `begin` in the batch */
    size_t asked;       /* rows from here to `end` have logits */
    size_t first_logit; /* number of the first of those among all with logits of that kind */
};

struct vlm_runner {
    struct vlm_stream *stream;
    size_t lanes;               /* that it was counted with */
    size_t slot[VLM_LANES_MAX]; /* VLM_NO_SLOT: it has not begun */
    size_t cached;              /* of lane 0 */
    bool drew;
    struct vlm_lane_step step[VLM_LANES_MAX];
    /* Of this step: */
    bool moved, drawn;
    int rc;
    struct vlm_err err;
};

struct vlm_slots {
    struct vlm_cache cache;
    struct vlm_slot *slot; /* [n] */
    size_t n, capacity, stride;
    size_t image_length; /* of a model with an encoder, else 0 */
    size_t images_max;   /* of a slot */
    uint64_t clock;
    bool no_sharing;
};

VLM_MUST_CHECK int vlm_slots_init(struct vlm_slots *slots, const struct vlm_model *model, size_t n,
                                  size_t capacity, struct vlm_err *err);
void vlm_slots_release(struct vlm_slots *slots); /* safe on a zeroed struct */

/* `row`, or the first row of the image that it is in. */
size_t vlm_lane_floor(const struct vlm_lane *lane, size_t image_length, size_t row);

/* Rows of the lane that must be there before its stream can draw: all but the last, or but the image that ends
 * it; of one that scores, those below the first that is asked. */
size_t vlm_lane_hold(const struct vlm_stream *stream, size_t lane);

/* How far a lane goes by itself: of several lanes none runs ahead of the others with its last row, since the
 * stream draws from all of them at once. */
size_t vlm_runner_limit(const struct vlm_runner *runner, size_t lane);

/* Gives the lane of a runner a slot, with as much of its beginning as any slot has. False: it waits, since a lane
 * of one of the runners [n] is computing more of it. */
bool vlm_slots_begin(struct vlm_slots *slots, struct vlm_runner *runner, size_t lane,
                     const struct vlm_runner *const *runners, size_t n);

/* The rows up to `end` of a lane are computed now. */
void vlm_slots_advance(struct vlm_slots *slots, const struct vlm_runner *runner, size_t lane,
                       size_t end);

/* After a draw: lanes that go on from another one get its rows, and what is no longer theirs is forgotten. */
void vlm_slots_follow(struct vlm_slots *slots, struct vlm_runner *runner);

/* Rows that hold no numbers become zeros. */
void vlm_slots_wipe(struct vlm_slots *slots, size_t slot, size_t begin, size_t end);

/* The runner is gone; its rows stay. */
void vlm_slots_end(struct vlm_slots *slots, struct vlm_runner *runner);

#endif
