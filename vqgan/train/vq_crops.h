/* vq_crops.h - batches of crops for training, the next one prepared while the step runs.
 *
 *   struct vlm_vq_crops crops;
 *   rc = vlm_vq_crops_init(&crops, &pictures, &options, &err);
 *   rc = vlm_vq_crops_start(&crops, 0, size, count, &err);
 *   for (number = 0; ...; number++) {
 *       rc = vlm_vq_crops_wait(&crops, &batch, &err);               // batch `number`
 *       rc = vlm_vq_crops_start(&crops, number + 1, size, count, &err);
 *       ... batch.pixels is valid until the next wait ...
 *   }
 *   vlm_vq_crops_release(&crops);
 *
 * A crop is a part of a square, 0.7 to 1.4 times as large after it was resampled, and a mirror image in
 * half of all cases. It is a pure function of (seed, number of the batch, number in the batch). */
#ifndef VLM_VQGAN_VQ_CROPS_H
#define VLM_VQGAN_VQ_CROPS_H

#include "vqgan/train/train.h"

#include <pthread.h>

struct vlm_vq_batch {
    const float *pixels; /* [count, size, size, 3], byte / 127.5 - 1 */
    size_t count, size;
};

struct vlm_vq_crops {
    const struct vlm_pictures *pictures;
    uint64_t seed;
    bool whole;       /* squares 0 to count - 1 as they are */
    float *pixels[2]; /* the batch that is used, the one that is made */
    struct vlm_vq_batch next;
    uint64_t number;
    pthread_t thread;
    bool running;
    int rc; /* of the thread */
    struct vlm_err err;
    float *rows; /* scratch of the thread: a square's rows at the width of the crop */
};

/* floats: of the largest batch. */
VLM_MUST_CHECK int vlm_vq_crops_init(struct vlm_vq_crops *crops,
                                     const struct vlm_pictures *pictures, uint64_t seed, bool whole,
                                     size_t floats, struct vlm_err *err);
void vlm_vq_crops_release(struct vlm_vq_crops *crops); /* safe on a zeroed struct */

/* Begins to make batch `number` of count crops of size x size. One at a time. */
VLM_MUST_CHECK int vlm_vq_crops_start(struct vlm_vq_crops *crops, uint64_t number, size_t size,
                                      size_t count, struct vlm_err *err);
VLM_MUST_CHECK int vlm_vq_crops_wait(struct vlm_vq_crops *crops, struct vlm_vq_batch *batch,
                                     struct vlm_err *err);

/* Part of a square: side x side pixels from (top, left), scaled to size x size. */
struct vlm_vq_cut {
    size_t top, left, side;
    bool mirror;
};
/* Triangle filter, as wide as a step of the larger grid: bilinear when it enlarges, and a mean when it
 * makes smaller. rows: scratch of side * size * 3 floats. */
void vlm_vq_crop(float *to, size_t size, const uint8_t square[VLM_SQUARE_BYTES],
                 const struct vlm_vq_cut *cut, float *rows);

#endif
