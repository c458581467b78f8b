/* evaluation_sums.c - nats a token by modality, and what they are in units that do not depend on a tokenizer: bits a byte of
 * text, bits an image. Sums are made in double and in the order of rows. */
#include "base/vlm.h"

#include "trainer/data/evaluation_sums.h"

#include <math.h>

void vlm_evaluation_sums_add(struct vlm_evaluation_sums *sums, const struct vlm_batch *batch,
                             const float *losses, const uint32_t *bytes)
{
    for (size_t i = 0; i < batch->rows.n; i++) {
        const unsigned modality = batch->modality[i];
        if (modality >= VLM_MODALITIES || !(batch->weights[i] > 0))
            continue;
        const double loss = (double)losses[i], weight = (double)batch->weights[i];
        sums->tokens[modality]++;
        sums->nats[modality] += loss;
        sums->weighted += weight * loss;
        if (bytes && modality == VLM_MODALITY_TEXT)
            sums->bytes += bytes[batch->targets[i]];
    }
    sums->weights += batch->weight_sum;
    sums->samples += batch->samples;
    sums->documents += batch->documents;
}

double vlm_evaluation_sums_loss(const struct vlm_evaluation_sums *sums, enum vlm_modality modality)
{
    const uint64_t n = sums->tokens[modality];
    return n ? sums->nats[modality] / (double)n : NAN;
}

void vlm_evaluation_sums_write(struct vlm_json *json, const struct vlm_evaluation_sums *sums)
{
    static const char *const keys[VLM_MODALITIES] = { "loss_text", "loss_markup", "loss_image" };
    static const char *const unigram[VLM_MODALITIES] = { "unigram_text", "unigram_markup",
                                                         "unigram_image" };
    const double image = vlm_evaluation_sums_loss(sums, VLM_MODALITY_IMAGE);
    const double text = sums->nats[VLM_MODALITY_TEXT];
    vlm_json_member_number(json, "documents", sums->documents);
    vlm_json_member_number(json, "samples", sums->samples);
    vlm_json_member_real(json, "loss", sums->weights > 0 ? sums->weighted / sums->weights : NAN);
    for (unsigned i = 0; i < VLM_MODALITIES; i++)
        vlm_json_member_real(json, keys[i], vlm_evaluation_sums_loss(sums, (enum vlm_modality)i));
    vlm_json_member_real(json, "bits_per_byte",
                         sums->bytes ? text / (double)sums->bytes / M_LN2 : NAN);
    vlm_json_member_real(json, "bits_per_image", image * VLM_CODES / M_LN2);
    for (unsigned i = 0; i < VLM_MODALITIES; i++)
        vlm_json_member_real(json, unigram[i], sums->unigram[i] > 0 ? sums->unigram[i] : NAN);
}
