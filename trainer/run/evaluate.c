/* evaluate.c - a model's losses of all batches of a loader, and what the frequencies of the same targets would give. Sums
 * are made in double and in the order of rows, so they do not depend on threads. */
#include "base/vlm.h"

#include "trainer/run/evaluate.h"

#include "nn/ops/vocabulary_loss.h"

#include <math.h>

/* How often each id is a target, by modality: counts [VLM_MODALITIES][vocabulary]. */
static void count_targets(uint64_t *counts, size_t vocabulary, const struct vlm_batch *batch)
{
    for (size_t i = 0; i < batch->rows.n; i++)
        if (batch->modality[i] < VLM_MODALITIES && batch->weights[i] > 0)
            counts[batch->modality[i] * vocabulary + batch->targets[i]]++;
}

/* Shannon 1948, section 6: the entropy of the frequencies, log n - sum_i n_i log n_i / n. */
static double entropy(const uint64_t *counts, size_t vocabulary, uint64_t n)
{
    double sum = 0;
    for (size_t id = 0; id < vocabulary; id++)
        if (counts[id])
            sum += (double)counts[id] * log((double)counts[id]);
    return n ? log((double)n) - sum / (double)n : NAN;
}

/* losses: [n], or NULL when memory ran out. */
static int evaluate_batch(struct vlm_evaluation_sums *sums, struct vlm_tape *tape,
                          struct vlm_model *model, const struct vlm_batch *batch, float *losses,
                          const uint32_t *bytes, struct vlm_err *err)
{
    if (!losses)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the losses of %zu tokens", batch->rows.n);
    const struct vlm_targets targets = { .ids = batch->targets,
                                         .weights = batch->weights,
                                         .weight_sum = batch->weight_sum,
                                         .losses = losses };
    vlm_model_loss(tape, model, &batch->rows, &targets, 0);
    int rc = vlm_tape_error(tape, err);
    vlm_tape_reset(tape);
    if (rc == VLM_OK)
        vlm_evaluation_sums_add(sums, batch, losses, bytes);
    return rc;
}

int vlm_evaluate_model(struct vlm_evaluation_sums *sums, struct vlm_tape *tape,
                       struct vlm_model *model, struct vlm_loader *loader, const uint32_t *bytes,
                       struct vlm_err *err)
{
    const unsigned flags = tape->flags;
    const size_t vocabulary = model->config.vocabulary;
    uint64_t *counts = calloc(VLM_MODALITIES * vocabulary, sizeof(*counts));
    struct vlm_batch batch;
    float *losses = NULL;
    size_t room = 0;
    int rc;
    if (!counts)
        return vlm_fail(err, VLM_ENOMEM, "no memory for counts of %zu tokens", vocabulary);
    *sums = (struct vlm_evaluation_sums){ 0 };
    vlm_tape_reset(tape);
    tape->flags |= VLM_TAPE_FORWARD;
    while ((rc = vlm_loader_next(loader, &batch, err)) == VLM_OK) {
        if (batch.rows.n > room) {
            room = batch.rows.n;
            free(losses);
            losses = calloc(room, sizeof(*losses));
        }
        rc = evaluate_batch(sums, tape, model, &batch, losses, bytes, err);
        if (rc != VLM_OK)
            break;
        count_targets(counts, vocabulary, &batch);
    }
    for (unsigned i = 0; i < VLM_MODALITIES; i++)
        sums->unigram[i] = entropy(counts + i * vocabulary, vocabulary, sums->tokens[i]);
    tape->flags = flags;
    free(losses);
    free(counts);
    return rc == VLM_EOF ? VLM_OK : rc;
}

static size_t piece_size(const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    const struct vlm_bytes piece = vlm_text_tokenizer_piece(vocabulary->tokenizer, id);
    return piece.at ? vlm_bytes_left(&piece) : 0;
}

int vlm_vocabulary_bytes(uint32_t **bytes, const struct vlm_vocabulary *vocabulary,
                         struct vlm_err *err)
{
    *bytes = calloc(vocabulary->size, sizeof(**bytes));
    if (!*bytes)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a vocabulary of %" PRIu32,
                        vocabulary->size);
    for (uint32_t id = 0; id < vocabulary->n_text; id++)
        if (!vlm_vocabulary_is_control(vocabulary, id) &&
            vlm_vocabulary_mask_number(vocabulary, id) < 0)
            (*bytes)[id] = (uint32_t)piece_size(vocabulary, id);
    return VLM_OK;
}
