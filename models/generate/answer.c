/* answer.c - fills, and the page with its fills in their places. */
#include "base/vlm.h"

#include "models/generate/stream_internal.h"
#include "tokenize/sequence/run.h"

void vlm_answer_release(struct vlm_answer *answer)
{
    vlm_sequence_release(&answer->sequence);
    for (size_t i = 0; i < VLM_COUNTOF(answer->fills); i++)
        vlm_sequence_release(&answer->fills[i]);
    *answer = (struct vlm_answer){ 0 };
}

void vlm_answer_codes(uint16_t codes[VLM_CODES], const struct vlm_vocabulary *vocabulary,
                      const uint32_t *ids, size_t n)
{
    size_t used = 0;
    for (; used < n && used < VLM_CODES && vlm_vocabulary_is_code(vocabulary, ids[used]); used++)
        codes[used] = (uint16_t)(ids[used] - vocabulary->first_code);
    while (used < VLM_CODES)
        codes[used++] = VLM_CODE_UNKNOWN;
}

int vlm_answer_push(struct vlm_sequence *out, const struct vlm_vocabulary *vocabulary, uint32_t id,
                    struct vlm_err *err)
{
    if (!vlm_sequence_push(out, id, 1))
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu tokens", out->n);
    if (vlm_vocabulary_is_code(vocabulary, id))
        out->modality[out->n - 1] = VLM_MODALITY_IMAGE;
    else if (vlm_vocabulary_mask_number(vocabulary, id) < 0 &&
             !vlm_vocabulary_is_control(vocabulary, id))
        out->modality[out->n - 1] = VLM_MODALITY_TEXT;
    return VLM_OK;
}

/* Lists the runs of codes, 256 at a time. */
static int list_images(struct vlm_sequence *out, struct vlm_err *err)
{
    out->n_images = 0;
    for (size_t at = 0, end; at < out->n; at = VLM_MAX(end, at + 1)) {
        for (end = at; end < out->n && end - at < VLM_IMAGE_CODES;)
            if (out->modality[end++] != VLM_MODALITY_IMAGE) {
                end--;
                break;
            }
        if (end == at)
            continue;
        if (!vlm_sequence_reserve_images(out, 1))
            return vlm_fail(err, VLM_ENOMEM, "no memory for images");
        out->images[out->n_images++] =
            (struct vlm_sequence_image){ .image = VLM_NOWHERE,
                                         .position = (uint32_t)at,
                                         .n_tokens = (uint32_t)(end - at),
                                         .tag = (uint32_t)at };
    }
    return VLM_OK;
}

static int splice_all(struct vlm_making *making, struct vlm_err *err)
{
    struct vlm_answer *answer = &making->stream.answer;
    struct vlm_sequence next = { 0 };
    int rc = VLM_OK;
    for (uint32_t i = 0; rc == VLM_OK && i < making->n_masks; i++) {
        vlm_sequence_reset(&next);
        rc = vlm_splice(&next, &answer->sequence, i, answer->fills[i].ids, answer->fills[i].n,
                        vlm_making_vocabulary(making), err);
        struct vlm_sequence kept = answer->sequence;
        answer->sequence = next;
        next = kept;
    }
    vlm_sequence_release(&next);
    return rc;
}

int vlm_stream_page(struct vlm_sequence *out, const struct vlm_stream *stream, struct vlm_err *err)
{
    const struct vlm_making *making = (const struct vlm_making *)stream; /* its first member */
    const struct vlm_vocabulary *vocabulary = vlm_making_vocabulary(making);
    const struct vlm_answer *answer = &stream->answer;
    size_t fill = making->n_masks ? SIZE_MAX : 0;
    int rc = VLM_OK;
    vlm_sequence_reset(out);
    for (size_t i = 0; rc == VLM_OK && i < making->n_prompt; i++) {
        const int mask = vlm_vocabulary_mask_number(vocabulary, making->prompt[i]);
        if (mask < 0) {
            rc = vlm_answer_push(out, vocabulary, making->prompt[i], err);
            continue;
        }
        fill = (size_t)mask;
        if (fill + 1 >= answer->n_fills && !stream->over)
            break;
        if (!vlm_sequence_append(out, &answer->fills[fill], 0, answer->fills[fill].n))
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu tokens", out->n);
        fill = SIZE_MAX;
    }
    if (rc == VLM_OK && fill < answer->n_fills &&
        !vlm_sequence_append(out, &answer->fills[fill], 0, answer->fills[fill].n))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu tokens", out->n);
    return rc == VLM_OK ? list_images(out, err) : rc;
}

int vlm_answer_complete(struct vlm_making *making, struct vlm_err *err)
{
    const struct vlm_vocabulary *vocabulary = vlm_making_vocabulary(making);
    struct vlm_answer *answer = &making->stream.answer;
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < making->n_prompt; i++)
        rc = vlm_answer_push(&answer->sequence, vocabulary, making->prompt[i], err);
    if (rc == VLM_OK)
        rc = list_images(&answer->sequence, err);
    for (size_t i = 0; rc == VLM_OK && i < answer->n_fills; i++)
        rc = list_images(&answer->fills[i], err);
    if (rc == VLM_OK && making->n_masks)
        return splice_all(making, err);
    if (rc == VLM_OK &&
        !vlm_sequence_append(&answer->sequence, &answer->fills[0], 0, answer->fills[0].n))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu tokens", answer->fills[0].n);
    return rc == VLM_OK ? list_images(&answer->sequence, err) : rc;
}
