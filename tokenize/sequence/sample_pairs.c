/* sample_pairs.c - an image and its caption: <s><image>caption<EOC></s>. */
#include "base/vlm.h"

#include "tokenize/sequence/run.h"
#include "tokenize/sequence/sample_internal.h"

/* Puts the ids of a space and the caption into scratch; the caption is the document's tokens
 * [from, to). */
static int encode_with_space(struct vlm_sampler *sampler, size_t from, size_t to,
                             struct vlm_err *err)
{
    const struct vlm_sequence *document = &sampler->document;
    struct vlm_buffer *text = &sampler->rendering;
    struct vlm_sequence *caption = &sampler->scratch;
    const uint32_t start = document->start[from], end = document->start[to];
    VLM_BUG_IF(start > end || end > text->size || !start);
    /* The space takes the place of the last byte before the caption. */
    const uint8_t before = text->data[start - 1];
    text->data[start - 1] = ' ';
    vlm_sequence_reset(caption);
    int rc = vlm_sequence_parse(sampler->sequencer, caption, (const char *)text->data + start - 1,
                                end - start + 1, 0, err);
    text->data[start - 1] = before;
    for (size_t i = 0; i < caption->n && !rc; i++)
        caption->start[i] += caption->start[i] ? start - 1 : start;
    return rc;
}

int vlm_sample_pair(struct vlm_sampler *sampler, struct vlm_err *err)
{
    const struct vlm_sampling *sampling = &sampler->sampling;
    const struct vlm_sequence *document = &sampler->document;
    struct vlm_sequence *sample = &sampler->sample;
    if (sampler->next == document->n_images)
        return VLM_EOF;
    /* The line is [begin, end): <s>, <image>, the caption, <EOC>, </s>. */
    const size_t begin = document->images[sampler->next].position - 1;
    const size_t end = sampler->next + 1 < document->n_images
                           ? document->images[sampler->next + 1].position - 1
                           : document->n;
    VLM_BUG_IF(end - begin < 4);
    struct vlm_random random = vlm_sampler_random(sampler, sampler->next);
    const bool space = vlm_random_unit(&random) < sampling->space_share;
    const struct vlm_sequence *caption = document;
    size_t from = begin + 2, to = end - 2;
    if (space) {
        int rc = encode_with_space(sampler, from, to, err);
        if (rc)
            return rc;
        caption = &sampler->scratch;
        from = 0;
        to = caption->n;
    }
    to = VLM_MIN(to, from + sampling->block - 4);
    if (!vlm_sequence_append(sample, document, begin, begin + 2) ||
        !vlm_sequence_append(sample, caption, from, to) ||
        !vlm_sequence_append(sample, document, end - 2, end))
        return vlm_fail(err, VLM_ENOMEM, "no memory for a pair of %zu tokens", end - begin);
    sample->weights[1] = 0; /* <image> */
    return VLM_OK;
}
