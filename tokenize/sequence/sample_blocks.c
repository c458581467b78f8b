/* sample_blocks.c - CM3: the blocks of a document, each masked by itself.
 *
 * The number of masks is drawn first, so that the block takes just as many tokens of the document
 * as leave room for what its masks add: no span loses its end, and the end of the document is seen.
 * The ways of the published code, where something is cut, are there to compare with. */
#include "base/vlm.h"

#include "tokenize/sequence/run.h"
#include "tokenize/sequence/sample_internal.h"

/* Where a block ends that begins at `from` and has room for that many tokens: never between the
 * beginning of an image's tag and the end of its codes, as far as there is a choice. */
static size_t find_end(const struct vlm_sequence *document, size_t from, size_t room)
{
    if (document->n - from <= room)
        return document->n;
    const size_t to = from + room;
    const size_t i = vlm_images_after(document->images, document->n_images, to);
    if (i == document->n_images)
        return to;
    const struct vlm_sequence_image *image = &document->images[i];
    if (image->tag > from)
        return VLM_MIN(image->tag, to);
    return image->position > from ? VLM_MIN(image->position, to) : to;
}

/* Lists the images of [from, to) in scratch, relative to from. */
static bool list_images(struct vlm_sequence *scratch, const struct vlm_sequence *document,
                        size_t from, size_t to)
{
    const struct vlm_sequence_image *images = document->images;
    size_t first = vlm_images_after(images, document->n_images, from), end = first;
    while (end < document->n_images && images[end].position < to)
        end++;
    vlm_sequence_reset(scratch);
    if (first == end)
        return true;
    if (!vlm_sequence_reserve_images(scratch, end - first))
        return false;
    for (size_t i = first; i < end; i++) {
        struct vlm_sequence_image *image = &scratch->images[scratch->n_images++];
        *image = images[i];
        image->position -= (uint32_t)from;
    }
    return true;
}

/* Cuts a sequence to n tokens. */
static void cut(struct vlm_sequence *sequence, size_t n)
{
    sequence->n = VLM_MIN(sequence->n, n);
    while (sequence->n_images) {
        struct vlm_sequence_image *last = &sequence->images[sequence->n_images - 1];
        if (last->position < sequence->n) {
            last->n_tokens = (uint32_t)VLM_MIN(last->n_tokens, sequence->n - last->position);
            break;
        }
        sequence->n_images--;
    }
}

/* Masks [from, to) behind what out holds; what is too much is cut from the end of the source, and
 * of the tail when that is not enough (CM3Leon). */
static int apply_and_cut(struct vlm_sampler *sampler, size_t to, size_t n, size_t excess,
                         struct vlm_err *err)
{
    struct vlm_sequence *masked = &sampler->scratch;
    size_t source = to - sampler->at + n;
    for (size_t i = 0; i < n; i++)
        source -= sampler->spans[i].end - sampler->spans[i].start;
    vlm_sequence_reset(masked);
    int rc = vlm_mask_apply(masked, &sampler->document, sampler->at, to, sampler->spans, n,
                            sampler->vocabulary, err);
    if (rc)
        return rc;
    size_t kept = source - VLM_MIN(source, excess);
    if (!vlm_sequence_append(&sampler->sample, masked, 0, kept) ||
        !vlm_sequence_append(&sampler->sample, masked, source, masked->n))
        return vlm_fail(err, VLM_ENOMEM, "no memory for a block of %zu tokens", masked->n);
    return VLM_OK;
}

static void weigh_masks(struct vlm_sampler *sampler)
{
    struct vlm_sequence *sample = &sampler->sample;
    for (size_t i = 0; i < sample->n; i++)
        if (vlm_vocabulary_mask_number(sampler->vocabulary, sample->ids[i]) >= 0)
            sample->weights[i] = sampler->sampling.mask_weight;
}

int vlm_sample_block(struct vlm_sampler *sampler, struct vlm_err *err)
{
    const struct vlm_sampling *sampling = &sampler->sampling;
    const struct vlm_sequence *document = &sampler->document;
    struct vlm_sequence *sample = &sampler->sample;
    if (sampler->at == document->n)
        return VLM_EOF;
    struct vlm_random random = vlm_sampler_random(sampler, sampler->next);
    const uint32_t asked = vlm_mask_count(&sampling->mask, &random);
    const bool end = !sampling->without_end;
    const size_t added = sampling->overflow == VLM_OVERFLOW_NONE ? 3 * (size_t)asked : 0;
    const size_t from = sampler->at;
    const size_t to = find_end(document, from, sampling->block - 1 - end - added);
    const uint32_t control = sampler->vocabulary->control[VLM_CONTROL_END];
    if (!list_images(&sampler->scratch, document, from, to) ||
        !vlm_sequence_push(sample, control, 0))
        return vlm_fail(err, VLM_ENOMEM, "no memory for a block of %zu tokens", to - from);
    const size_t n = vlm_mask_draw(sampler->spans, asked, &sampling->mask, &random, to - from,
                                   sampler->scratch.images, sampler->scratch.n_images);
    const bool ends = end && to == document->n;
    const size_t whole = 1 + to - from + 3 * n + ends;
    int rc = sampling->overflow == VLM_OVERFLOW_SOURCE && whole > sampling->block
                 ? apply_and_cut(sampler, to, n, whole - sampling->block, err)
                 : vlm_mask_apply(sample, document, from, to, sampler->spans, n,
                                  sampler->vocabulary, err);
    if (rc)
        return rc;
    if (ends && !vlm_sequence_push(sample, control, 1))
        return vlm_fail(err, VLM_ENOMEM, "no memory for a block of %zu tokens", to - from);
    cut(sample, sampling->block);
    if (sampling->mask_weight != 0)
        weigh_masks(sampler);
    sampler->at = to;
    return VLM_OK;
}
