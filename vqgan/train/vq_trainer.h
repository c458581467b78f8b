/* vq_trainer.h - the state of training vq-s or vq-xs, and one step of it.
 *
 *   struct vlm_vq_trainer trainer;
 *   int rc = vlm_vq_trainer_init(&trainer, &recipe, threads, &err);
 *   while (rc == VLM_OK && trainer.step < recipe.steps)
 *       rc = vlm_vq_trainer_step(&trainer, &batch, &err);      // trainer.last: loss and so on
 *   vlm_vq_trainer_release(&trainer);
 *
 * The first steps are made without a codebook; then k-means makes one of what the encoder gives. All that
 * decides the next step is in the struct and goes into a checkpoint; results do not depend on threads. */
#ifndef VLM_VQGAN_VQ_TRAINER_H
#define VLM_VQGAN_VQ_TRAINER_H

#include "nn/guard.h"
#include "nn/ops/image_loss.h"
#include "nn/optimizer.h"
#include "vqgan/tokenizer/vq.h"
#include "vqgan/train/vq_codebook.h"
#include "vqgan/train/vq_crops.h"

struct vlm_vq_recipe {
    struct vlm_vq_shape shape;
    uint64_t seed;
    bool bf16;
    uint64_t steps, warmup;    /* of the learning rate: peak after warmup, cosine to floor */
    double peak, floor, decay; /* decay: of weights, not of norms and biases */
    uint64_t unquantised;      /* steps before there is a codebook */
    uint64_t large;            /* the last steps see larger crops */
    size_t batch, crop;        /* crops of a step, their side */
    size_t large_batch, large_crop;
    double average; /* part of the moving average of weights that stays in a step */
    double codebook_decay, dead;
    float absolute, square, scale_weight, commitment; /* weights of the loss */
};

/* The recipe of a kind for so many steps. */
struct vlm_vq_recipe vlm_vq_recipe(const struct vlm_vq_shape *shape, uint64_t steps, size_t batch);

struct vlm_vq_step {
    double loss;
    struct vlm_image_loss_parts parts;
    double commitment; /* mean square distance of latents from their codes */
    double norm, rate;
    enum vlm_guard_verdict verdict;
    size_t revived; /* codes */
};

struct vlm_vq_trainer {
    struct vlm_vq_recipe recipe;
    struct vlm_engine engine;
    struct vlm_tape tape, look; /* of training; forward only */
    struct vlm_vq model;        /* what is trained */
    struct vlm_vq average;      /* moving averages: what is shown and exported */
    struct vlm_vq_codebook book;
    struct vlm_optimizer optimizer;
    struct vlm_guard guard;
    uint64_t step;       /* batches learned from or skipped */
    uint64_t dropped;    /* batches that a roll-back left out: added to the numbers of batches */
    bool quantised;      /* there is a codebook */
    uint32_t *codes;     /* [latents of a batch] */
    float *book_average; /* [K, D] moving averages of the rows of the codebook */
    struct vlm_vq_step last;
};

VLM_MUST_CHECK int vlm_vq_trainer_init(struct vlm_vq_trainer *trainer,
                                       const struct vlm_vq_recipe *recipe, size_t threads,
                                       struct vlm_err *err);
void vlm_vq_trainer_release(struct vlm_vq_trainer *trainer); /* safe on a zeroed struct */

/* Size and number of crops of step number `step`, from 0. */
void vlm_vq_trainer_batch(const struct vlm_vq_recipe *recipe, uint64_t step, size_t *size,
                          size_t *count);

/* One step on a batch. The guard's verdict is in last; for VLM_GUARD_ROLL_BACK the caller loads the last
 * checkpoint. step has moved on by one. */
VLM_MUST_CHECK int vlm_vq_trainer_step(struct vlm_vq_trainer *trainer,
                                       const struct vlm_vq_batch *batch, struct vlm_err *err);

/* Makes the codebook, by k-means over latents of training pictures, at least 16 for each code; from now on
 * steps are quantised. crops: like those of the steps. */
VLM_MUST_CHECK int vlm_vq_trainer_quantise(struct vlm_vq_trainer *trainer,
                                           const struct vlm_vq_crops *crops, struct vlm_err *err);

/* Fills `average`. While there is no codebook it gets one of its own, by k-means. */
VLM_MUST_CHECK int vlm_vq_trainer_average(struct vlm_vq_trainer *trainer,
                                          const struct vlm_vq_crops *crops, struct vlm_err *err);

/* The whole state to or from one file. The state is exact: what follows a load follows the save, bit for
 * bit. Load: VLM_EUSAGE when it is of another recipe or of other pictures. extra: a number of the
 * caller's that is kept with it. */
VLM_MUST_CHECK int vlm_vq_trainer_save(struct vlm_vq_trainer *trainer, const char *path,
                                       const char *identity, uint64_t extra, struct vlm_err *err);
VLM_MUST_CHECK int vlm_vq_trainer_load(struct vlm_vq_trainer *trainer, const char *path,
                                       const char *identity, uint64_t *extra, struct vlm_err *err);

#endif
