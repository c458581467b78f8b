/* evaluation_sums.h - what the losses of batches add up to, by modality, and how reports show it. */
#ifndef VLM_TRAINER_EVALUATION_SUMS_H
#define VLM_TRAINER_EVALUATION_SUMS_H

#include "base/json.h"
#include "trainer/data/loader.h"

struct vlm_evaluation_sums {
    uint64_t documents, samples;
    uint64_t tokens[VLM_MODALITIES]; /* targets that count */
    double nats[VLM_MODALITIES];     /* of them */
    uint64_t bytes;                  /* of the text targets, as the page has them */
    double weighted, weights;        /* the loss as trained: sum and divisor */
    /* Nats a token that the frequencies of the same targets give, each token by itself: what a model must fall
     * below to have learned more than how often a token comes. NAN: no target of it; 0: not counted. */
    double unigram[VLM_MODALITIES];
};

/* Adds a batch whose rows have these losses (vlm_targets), in the order of the rows. bytes: of each id
 * (vlm_vocabulary_bytes), or NULL: bytes are not counted. */
void vlm_evaluation_sums_add(struct vlm_evaluation_sums *sums, const struct vlm_batch *batch,
                             const float *losses, const uint32_t *bytes);

/* Mean nats a token of a modality; NAN: no target of it. */
double vlm_evaluation_sums_loss(const struct vlm_evaluation_sums *sums, enum vlm_modality modality);

/* Members "documents", "samples", "loss", "loss_text", "loss_markup", "loss_image" (nats a token),
 * "bits_per_byte" (of text), "bits_per_image" (256 codes), and "unigram_text", "unigram_markup", "unigram_image"
 * (nats a token); null where there are no such targets. */
void vlm_evaluation_sums_write(struct vlm_json *json, const struct vlm_evaluation_sums *sums);

#endif
