/* sample.c - samples of documents, one kind a file: sample_blocks.c, sample_window.c,
 * sample_pairs.c. Here: what they have in common, and the key of their random numbers. */
#include "base/vlm.h"

#include "base/bytes.h"
#include "tokenize/sequence/sample_internal.h"

void vlm_sampler_begin(struct vlm_sampler *sampler, const uint8_t id[16], uint64_t epoch)
{
    struct vlm_bytes bytes = { id, id + 16, false };
    const uint64_t id_begin = vlm_bytes_u64(&bytes);
    sampler->key = vlm_random_at(sampler->sampling.seed, epoch, id_begin).key;
    sampler->id_end = vlm_bytes_u64(&bytes);
    sampler->next = 0;
    sampler->at = 0;
}

struct vlm_random vlm_sampler_random(const struct vlm_sampler *sampler, uint64_t number)
{
    uint64_t kind = (uint64_t)sampler->sampling.kind << 56;
    return vlm_random_at(sampler->key, sampler->id_end, kind | number);
}

/* Whether the numbers of a sampling go together, and with the vocabulary. */
static int check_masks(const struct vlm_sampling *sampling, const struct vlm_vocabulary *vocabulary,
                       struct vlm_err *err)
{
    const struct vlm_mask_rules *mask = &sampling->mask;
    const uint32_t max = mask->lambda > 0 ? mask->max : 0;
    if (max && mask->min > max)
        return vlm_fail(err, VLM_EUSAGE,
                        "data.min = %" PRIu32 " masks is more than data.max = %" PRIu32, mask->min,
                        max);
    if (max > vocabulary->n_masks)
        return vlm_fail(err, VLM_EUSAGE,
                        "data.max = %" PRIu32 " masks, but the vocabulary has only %" PRIu32
                        " (<mask:0> and so on)",
                        max, vocabulary->n_masks);
    const bool images = vocabulary->n_codes &&
                        (sampling->form == VLM_RENDER_CM3 || sampling->form == VLM_RENDER_HTLM);
    const size_t ends = 1 + !sampling->without_end, whole = images ? VLM_IMAGE_CODES : 1;
    const size_t room = sampling->overflow == VLM_OVERFLOW_NONE ? 3 * (size_t)max : 0;
    if (sampling->block < ends + room + whole)
        return vlm_fail(err, VLM_EUSAGE,
                        "data.block = %zu tokens is less than %zu: %zu for begin and end, %zu for "
                        "%" PRIu32 " masks, %zu for %s",
                        sampling->block, ends + room + whole, ends, room, room ? max : 0, whole,
                        images ? "an image" : "a token");
    return VLM_OK;
}

static int check(const struct vlm_sampling *sampling, const struct vlm_vocabulary *vocabulary,
                 struct vlm_err *err)
{
    if (sampling->kind == VLM_SAMPLE_CAUSAL_MASK)
        return check_masks(sampling, vocabulary, err);
    const size_t least = sampling->kind == VLM_SAMPLE_PAIRS ? 5 : 2;
    if (sampling->block < least)
        return vlm_fail(err, VLM_EUSAGE,
                        "data.window (or data.block) = %zu tokens is less than %zu",
                        sampling->block, least);
    if (sampling->kind == VLM_SAMPLE_WINDOW && !sampling->images_max)
        return vlm_fail(err, VLM_EUSAGE, "data.images = 0 images: a window has at least one");
    return VLM_OK;
}

int vlm_sampler_new(struct vlm_sampler **out, const struct vlm_sampling *sampling,
                    const struct vlm_vocabulary *vocabulary, struct vlm_err *err)
{
    *out = NULL;
    int rc = check(sampling, vocabulary, err);
    if (rc)
        return rc;
    struct vlm_sampler *sampler = calloc(1, sizeof(*sampler));
    if (!sampler)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a sampler");
    sampler->sampling = *sampling;
    sampler->vocabulary = vocabulary;
    rc = vlm_sequencer_new(&sampler->sequencer, vocabulary, err);
    if (!rc && sampling->kind == VLM_SAMPLE_WINDOW) {
        sampler->phi = calloc(sampling->block, sizeof(*sampler->phi));
        if (!sampler->phi)
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for a window of %zu tokens", sampling->block);
    }
    if (rc)
        vlm_sampler_free(sampler);
    else
        *out = sampler;
    return rc;
}

void vlm_sampler_free(struct vlm_sampler *sampler)
{
    if (!sampler)
        return;
    vlm_sequencer_free(sampler->sequencer);
    vlm_sequence_release(&sampler->document);
    vlm_sequence_release(&sampler->sample);
    vlm_sequence_release(&sampler->scratch);
    vlm_buffer_release(&sampler->rendering);
    free(sampler->phi);
    free(sampler);
}

int vlm_sampler_start(struct vlm_sampler *sampler, const struct vlm_document *document,
                      uint64_t epoch, struct vlm_err *err)
{
    const struct vlm_sampling *sampling = &sampler->sampling;
    sampler->next = 0;
    sampler->at = 0;
    vlm_sequence_reset(&sampler->document);
    int rc = vlm_sequence_render(sampler->sequencer, &sampler->document, document, sampling->form,
                                 sampling->render_flags, err);
    if (rc) {
        vlm_sequence_reset(&sampler->document);
        return rc;
    }
    if (sampling->kind != VLM_SAMPLE_CAUSAL_MASK && !sampler->document.n_images)
        return vlm_fail(err, VLM_SKIP,
                        sampling->kind == VLM_SAMPLE_PAIRS
                            ? "the document has no image with a caption"
                            : "the document has no image");
    if (!sampler->document.n)
        return vlm_fail(err, VLM_SKIP, "the document has no text");
    if (sampling->kind == VLM_SAMPLE_PAIRS) {
        struct vlm_bytes rendering = vlm_sequencer_rendering(sampler->sequencer);
        vlm_buffer_reset(&sampler->rendering);
        vlm_buffer_add(&sampler->rendering, rendering.at, vlm_bytes_left(&rendering));
        if (sampler->rendering.failed)
            return vlm_fail(err, VLM_ENOMEM, "no memory for captions of %zu bytes",
                            vlm_bytes_left(&rendering));
    }
    uint8_t id[16];
    vlm_document_id(id, document);
    vlm_sampler_begin(sampler, id, epoch);
    return VLM_OK;
}

int vlm_sampler_next(struct vlm_sampler *sampler, struct vlm_sample *sample, struct vlm_err *err)
{
    int rc;
    *sample = (struct vlm_sample){ .sequence = &sampler->sample, .block = sampler->next };
    vlm_sequence_reset(&sampler->sample);
    switch (sampler->sampling.kind) {
    case VLM_SAMPLE_WINDOW:
        rc = vlm_sample_window(sampler, sample, err);
        break;
    case VLM_SAMPLE_PAIRS:
        rc = vlm_sample_pair(sampler, err);
        break;
    default:
        rc = vlm_sample_block(sampler, err);
        break;
    }
    if (rc)
        return rc;
    sampler->next++;
    sampler->sample.weights[0] = 0; /* nothing predicts it */
    return VLM_OK;
}

const struct vlm_sequence *vlm_sampler_document(const struct vlm_sampler *sampler)
{
    return &sampler->document;
}
