/* unmask.c - from sequences with masks back to documents, and from prompts with answers to
 * documents. The ids may come from anywhere: a model, a client, a damaged file. */
#include "base/vlm.h"

#include "tokenize/sequence/mask.h"
#include "tokenize/sequence/run.h"

/* Where the parts of a masked sequence stand. */
struct parts {
    size_t source_end;                   /* the source is [0, source_end) */
    size_t rest;                         /* behind the last span */
    uint32_t n;                          /* masks */
    size_t mask[VLM_MASKS_MAX];          /* place of each in the source */
    struct vlm_span span[VLM_MASKS_MAX]; /* its tokens; may be empty */
};

/* Walks over the source: masks 0, 1, ... until <mask:0> comes again or the ids end. */
static int find_source(struct parts *parts, const uint32_t *ids, size_t n,
                       const struct vlm_vocabulary *vocabulary, struct vlm_err *err)
{
    parts->n = 0;
    parts->source_end = n;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] == vocabulary->control[VLM_CONTROL_END_OF_SPAN])
            return vlm_fail(err, VLM_EFORMAT, "token %zu: <eoss> where no span has begun", i);
        int mask = vlm_vocabulary_mask_number(vocabulary, ids[i]);
        if (mask < 0)
            continue;
        if (mask == 0 && parts->n) {
            parts->source_end = i;
            return VLM_OK;
        }
        if ((uint32_t)mask != parts->n)
            return vlm_fail(err, VLM_EFORMAT,
                            "token %zu: <mask:%d> where <mask:%" PRIu32 "> was expected", i, mask,
                            parts->n);
        parts->mask[parts->n++] = i;
    }
    return VLM_OK;
}

/* Walks over the tail: a span for each mask, in order. */
static int find_spans(struct parts *parts, const uint32_t *ids, size_t n,
                      const struct vlm_vocabulary *vocabulary, struct vlm_err *err)
{
    const uint32_t end_of_span = vocabulary->control[VLM_CONTROL_END_OF_SPAN];
    const uint32_t end = vocabulary->control[VLM_CONTROL_END];
    size_t at = parts->source_end;
    for (uint32_t i = 0; i < parts->n; i++) {
        if (at == n || vlm_vocabulary_mask_number(vocabulary, ids[at]) != (int)i)
            return vlm_fail(err, VLM_EFORMAT,
                            "token %zu: %s where the span of <mask:%" PRIu32 "> was expected", at,
                            at == n ? "the end" : "another token", i);
        size_t start = ++at;
        while (at < n && ids[at] != end_of_span) {
            if (vlm_vocabulary_mask_number(vocabulary, ids[at]) >= 0)
                return vlm_fail(err, VLM_EFORMAT,
                                "token %zu: a mask inside the span of <mask:%" PRIu32 ">", at, i);
            at++;
        }
        bool ended = at < n;
        if (!ended && at > start && ids[at - 1] == end)
            at--; /* an answer that stopped with </s> */
        parts->span[i] = (struct vlm_span){ (uint32_t)start, (uint32_t)at };
        at += ended;
    }
    parts->rest = at;
    if (parts->n && at < n && (ids[at] != end || at + 1 < n))
        return vlm_fail(err, VLM_EFORMAT, "token %zu: more than </s> behind the last span", at);
    return VLM_OK;
}

int vlm_unmask(uint32_t *out, size_t *n_out, const uint32_t *ids, size_t n,
               const struct vlm_vocabulary *vocabulary, struct vlm_err *err)
{
    struct parts parts;
    parts.rest = n;
    *n_out = 0;
    if (!n)
        return VLM_OK;
    if (n > UINT32_MAX)
        return vlm_fail(err, VLM_ELIMIT, "%zu ids are too many for a sequence", n);
    int rc = find_source(&parts, ids, n, vocabulary, err);
    if (rc == VLM_OK)
        rc = find_spans(&parts, ids, n, vocabulary, err);
    if (rc)
        return rc;
    size_t at = 0, used = 0;
    for (uint32_t i = 0; i <= parts.n; i++) {
        size_t until = i < parts.n ? parts.mask[i] : parts.source_end;
        memcpy(out + used, ids + at, (until - at) * sizeof(*out));
        used += until - at;
        at = until + 1;
        if (i == parts.n)
            break;
        size_t length = parts.span[i].end - parts.span[i].start;
        memcpy(out + used, ids + parts.span[i].start, length * sizeof(*out));
        used += length;
    }
    memcpy(out + used, ids + parts.rest, (n - parts.rest) * sizeof(*out));
    *n_out = used + n - parts.rest;
    return VLM_OK;
}

/* Appends ids that a model wrote. Its images are listed afterwards. */
static bool append_fill(struct vlm_sequence *out, const uint32_t *fill, size_t n,
                        const struct vlm_vocabulary *vocabulary)
{
    if (!vlm_sequence_reserve(out, n))
        return false;
    for (size_t i = 0; i < n; i++) {
        bool code = vlm_vocabulary_is_code(vocabulary, fill[i]);
        out->ids[out->n] = fill[i];
        out->weights[out->n] = 1;
        out->modality[out->n] = code ? VLM_MODALITY_IMAGE : VLM_MODALITY_TEXT;
        out->start[out->n] = VLM_NOWHERE;
        out->n++;
    }
    return true;
}

/* Lists the runs of codes from `from` on, 256 at a time. `first` is the entry that stood there. */
static bool list_images(struct vlm_sequence *out, size_t from, struct vlm_sequence_image first)
{
    for (size_t at = from; at < out->n;) {
        size_t end = at;
        while (end < out->n && out->modality[end] == VLM_MODALITY_IMAGE &&
               end - at < VLM_IMAGE_CODES)
            end++;
        if (end == at) {
            at++;
            continue;
        }
        if (!vlm_sequence_reserve_images(out, 1))
            return false;
        struct vlm_sequence_image image = { .image = VLM_NOWHERE, .tag = (uint32_t)at };
        if (first.n_tokens && first.position == at)
            image = first;
        image.position = (uint32_t)at;
        image.n_tokens = (uint32_t)(end - at);
        out->images[out->n_images++] = image;
        at = end;
    }
    return true;
}

/* Codes of the answer and those of the prompt directly around it are one image. */
static bool splice_at(struct vlm_sequence *out, const struct vlm_sequence *prompt, size_t mask,
                      const uint32_t *fill, size_t n_fill, const struct vlm_vocabulary *vocabulary)
{
    const size_t begin = out->n, first_image = out->n_images;
    if (!vlm_sequence_append(out, prompt, 0, mask))
        return false;
    size_t from = out->n, behind = mask + 1;
    while (from > begin && out->modality[from - 1] == VLM_MODALITY_IMAGE)
        from--;
    while (behind < prompt->n && prompt->modality[behind] == VLM_MODALITY_IMAGE)
        behind++;
    struct vlm_sequence_image first = { 0 };
    while (out->n_images > first_image && out->images[out->n_images - 1].position >= from)
        first = out->images[--out->n_images];
    size_t listed = out->n_images;
    if (!append_fill(out, fill, n_fill, vocabulary) ||
        !vlm_sequence_append(out, prompt, mask + 1, behind))
        return false;
    out->n_images = listed;
    return list_images(out, from, first) && vlm_sequence_append(out, prompt, behind, prompt->n);
}

int vlm_splice(struct vlm_sequence *out, const struct vlm_sequence *prompt, uint32_t i,
               const uint32_t *fill, size_t n_fill, const struct vlm_vocabulary *vocabulary,
               struct vlm_err *err)
{
    size_t mask = 0;
    while (mask < prompt->n &&
           (i >= vocabulary->n_masks || prompt->ids[mask] != vocabulary->mask[i]))
        mask++;
    if (mask == prompt->n)
        return vlm_fail(err, VLM_EFORMAT, "the prompt has no <mask:%" PRIu32 ">", i);
    if (prompt->n + n_fill > UINT32_MAX - out->n)
        return vlm_fail(err, VLM_ELIMIT, "an answer of %zu tokens is too long", n_fill);
    const size_t n = out->n, n_images = out->n_images;
    if (splice_at(out, prompt, mask, fill, n_fill, vocabulary))
        return VLM_OK;
    out->n = n;
    out->n_images = n_images;
    return vlm_fail(err, VLM_ENOMEM, "no memory for an answer of %zu tokens", n_fill);
}
