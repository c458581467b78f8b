/* batch.c - samples become rows of a batch; batches with memory of their own. */
#include "base/vlm.h"

#include "base/array.h"
#include "nn/ops/vocabulary_loss.h"
#include "trainer/data/loader_internal.h"

/* Rows ------------------------------------------------------------------------------------------------ */

/* Says what row `row` predicts: the token, or nothing. */
static void set_target(struct vlm_loader *loader, struct vlm_batch *batch, size_t row,
                       const struct vlm_loader_token *token)
{
    const float weight =
        token ? (float)((double)token->weight * loader->options.weight[token->modality]) : 0;
    const bool counts = weight > 0;
    loader->targets[row] = counts ? token->id : VLM_IGNORE;
    loader->weights[row] = counts ? weight : 0;
    loader->modality[row] = counts ? (uint8_t)token->modality : (uint8_t)VLM_ROW_NO_TARGET;
    batch->weight_sum += loader->weights[row];
}

static size_t rows_of_token(const struct vlm_loader *loader, const struct vlm_loader_slot *slot,
                            const struct vlm_loader_sample *sample, size_t token, size_t *image)
{
    if (*image < sample->n_images && slot->image_at[sample->first_image + *image] == token) {
        ++*image;
        return loader->options.image_rows;
    }
    return 1;
}

static int reserve(struct vlm_loader *loader, const struct vlm_batch *batch, size_t images,
                   struct vlm_err *err)
{
    const size_t rows = loader->options.image_rows, n = batch->rows.n_images;
    if (!vlm_array_reserve(&loader->samples, &loader->samples_capacity, batch->samples, 1,
                           sizeof(*loader->samples)) ||
        (images && (!vlm_array_reserve(&loader->image_rows, &loader->image_rows_capacity, n * rows,
                                       images * rows, sizeof(*loader->image_rows)) ||
                    !vlm_array_reserve(&loader->codes, &loader->codes_capacity, n, images,
                                       sizeof(*loader->codes)))))
        return vlm_fail(err, VLM_ENOMEM, "no memory for a batch of %zu samples",
                        batch->samples + 1);
    return VLM_OK;
}

int vlm_loader_pack(struct vlm_loader *loader, struct vlm_batch *batch,
                    const struct vlm_loader_slot *slot, size_t i, struct vlm_err *err)
{
    const struct vlm_loader_sample *sample = &slot->samples[i];
    const struct vlm_loader_token *tokens = slot->tokens + sample->first;
    const size_t first = batch->rows.n;
    size_t row = first, image = 0;
    VLM_BUG_IF(sample->rows > loader->options.tokens - first);
    int rc = reserve(loader, batch, sample->n_images, err);
    if (rc != VLM_OK)
        return rc;
    for (size_t t = 0; t < sample->n; t++) {
        const size_t image_before = image;
        const size_t n = rows_of_token(loader, slot, sample, t, &image);
        for (size_t k = 0; k < n; k++, row++) {
            loader->ids[row] = tokens[t].id;
            loader->positions[row] = (uint32_t)(row - first);
            loader->lo[row] = (uint32_t)first;
            loader->hi[row] = (uint32_t)(row + 1);
            set_target(loader, batch, row, k + 1 == n && t + 1 < sample->n ? &tokens[t + 1] : NULL);
            if (image > image_before)
                loader->image_rows[batch->rows.n_images * n + k] = (uint32_t)row;
        }
        if (image > image_before)
            memcpy(loader->codes[batch->rows.n_images++],
                   slot->codes[sample->first_image + image_before], sizeof(*loader->codes));
    }
    VLM_BUG_IF(row - first != sample->rows);
    struct vlm_batch_sample *to = &loader->samples[batch->samples++];
    *to = (struct vlm_batch_sample){ .pick = slot->pick,
                                     .block = sample->block,
                                     .first_row = (uint32_t)first,
                                     .rows = (uint32_t)sample->rows };
    memcpy(to->id, slot->id, sizeof(to->id));
    batch->rows.n = row;
    return VLM_OK;
}

/* Copies ---------------------------------------------------------------------------------------------- */

/* Copies n bytes to *at, which moves on by a multiple of 16. */
static const void *copy_part(uint8_t **at, const void *from, size_t n)
{
    uint8_t *to = *at;
    if (n)
        memcpy(to, from, n);
    *at += (n + 15) / 16 * 16;
    return to;
}

int vlm_batch_copy(struct vlm_batch *to, const struct vlm_batch *from, struct vlm_err *err)
{
    const struct vlm_rows *rows = &from->rows;
    const size_t n = rows->n * sizeof(uint32_t);
    const size_t codes = rows->n_images * VLM_IMAGE_CODES * sizeof(uint32_t);
    const size_t image_rows = rows->n_images * from->image_rows * sizeof(uint32_t);
    const size_t samples = from->samples * sizeof(*from->sample);
    uint8_t *at = malloc(6 * n + rows->n + codes + image_rows + samples + 10 * 16);
    vlm_batch_release(to);
    if (!at)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a batch of %zu rows", rows->n);
    *to = *from;
    to->rows.ids = copy_part(&at, rows->ids, n); /* the block itself: vlm_batch_release() */
    to->rows.positions = copy_part(&at, rows->positions, n);
    to->rows.lo = copy_part(&at, rows->lo, n);
    to->rows.hi = copy_part(&at, rows->hi, n);
    to->targets = copy_part(&at, from->targets, n);
    to->weights = copy_part(&at, from->weights, n);
    to->modality = copy_part(&at, from->modality, rows->n);
    to->rows.codes = copy_part(&at, rows->codes, codes);
    to->rows.image_rows = copy_part(&at, rows->image_rows, image_rows);
    to->sample = copy_part(&at, from->sample, samples);
    return VLM_OK;
}

void vlm_batch_release(struct vlm_batch *copy)
{
    free((uint32_t *)copy->rows.ids);
    *copy = (struct vlm_batch){ 0 };
}
