/* run.c - pieces of sequences. A run of tokens is copied array by array; nothing is decided token
 * by token, so masking a document costs little more than copying it. */
#include "base/vlm.h"

#include "tokenize/sequence/run.h"

size_t vlm_images_after(const struct vlm_sequence_image *images, size_t n, size_t position)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((size_t)images[middle].position + images[middle].n_tokens > position)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Lists the images of [from, to) of in; the tokens will stand at out->n. */
static bool append_images(struct vlm_sequence *out, const struct vlm_sequence *in, size_t from,
                          size_t to)
{
    size_t first = vlm_images_after(in->images, in->n_images, from), end = first;
    while (end < in->n_images && in->images[end].position < to)
        end++;
    if (first == end)
        return true;
    if (!vlm_sequence_reserve_images(out, end - first))
        return false;
    for (size_t i = first; i < end; i++) {
        struct vlm_sequence_image image = in->images[i];
        size_t a = VLM_MAX(image.position, from);
        size_t b = VLM_MIN((size_t)image.position + image.n_tokens, to);
        size_t tag = a == image.position && image.tag >= from ? image.tag : a;
        image.position = (uint32_t)(out->n + a - from);
        image.n_tokens = (uint32_t)(b - a);
        image.tag = (uint32_t)(out->n + tag - from);
        out->images[out->n_images++] = image;
    }
    return true;
}

bool vlm_sequence_append(struct vlm_sequence *out, const struct vlm_sequence *in, size_t from,
                         size_t to)
{
    VLM_BUG_IF(out == in || from > to || to > in->n);
    const size_t n = to - from;
    if (!n)
        return true;
    if (!vlm_sequence_reserve(out, n) || !append_images(out, in, from, to))
        return false;
    memcpy(out->ids + out->n, in->ids + from, n * sizeof(*out->ids));
    memcpy(out->weights + out->n, in->weights + from, n * sizeof(*out->weights));
    memcpy(out->modality + out->n, in->modality + from, n * sizeof(*out->modality));
    memcpy(out->start + out->n, in->start + from, n * sizeof(*out->start));
    out->n += n;
    return true;
}

bool vlm_sequence_push(struct vlm_sequence *out, uint32_t id, float weight)
{
    if (!vlm_sequence_reserve(out, 1))
        return false;
    out->ids[out->n] = id;
    out->weights[out->n] = weight;
    out->modality[out->n] = VLM_MODALITY_MARKUP;
    out->start[out->n] = VLM_NOWHERE;
    out->n++;
    return true;
}
