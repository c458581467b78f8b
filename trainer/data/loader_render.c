/* loader_render.c - a document becomes samples in a slot of the ring. */
#include "base/vlm.h"

#include "base/array.h"
#include "trainer/data/loader_internal.h"

static int no_memory(struct vlm_err *err)
{
    return vlm_fail(err, VLM_ENOMEM, "no memory for the samples of a document");
}

/* The codes of an image, or NULL. */
static const uint16_t *codes_of(const struct vlm_document *document, uint32_t image)
{
    return image < document->n_images ? document->images[image].codes : NULL;
}

/* Notes where the images of a sample stand and copies their codes. VLM_SKIP: one has none. */
static int add_images(struct vlm_loader_slot *slot, struct vlm_loader_sample *to,
                      const struct vlm_sequence *sequence, const struct vlm_document *document,
                      uint32_t image_id, struct vlm_err *err)
{
    const size_t n = sequence->n_images;
    if (!vlm_array_reserve(&slot->image_at, &slot->image_at_capacity, slot->n_images, n,
                           sizeof(*slot->image_at)) ||
        !vlm_array_reserve(&slot->codes, &slot->codes_capacity, slot->n_images, n,
                           sizeof(*slot->codes)))
        return no_memory(err);
    to->first_image = slot->n_images;
    for (size_t i = 0; i < n; i++) {
        const struct vlm_sequence_image *image = &sequence->images[i];
        if (image->n_tokens != 1 || sequence->ids[image->position] != image_id)
            continue; /* its codes stand in the text */
        const uint16_t *codes = codes_of(document, image->image);
        const size_t at = slot->n_images + to->n_images++;
        if (!codes)
            return vlm_fail(err, VLM_SKIP, "an image has no codes");
        slot->image_at[at] = image->position;
        for (size_t k = 0; k < VLM_IMAGE_CODES; k++)
            slot->codes[at][k] = codes[k];
    }
    return VLM_OK;
}

static int add_sample(const struct vlm_loader *loader, struct vlm_loader_slot *slot,
                      const struct vlm_sample *sample, const struct vlm_document *document,
                      struct vlm_err *err)
{
    const struct vlm_loader_options *options = &loader->options;
    const struct vlm_sequence *sequence = sample->sequence;
    struct vlm_loader_sample to = {
        .first = slot->n_tokens, .n = sequence->n, .rows = sequence->n, .block = sample->block
    };
    int rc = VLM_OK;
    if (options->image_rows && sequence->n_images)
        rc = add_images(slot, &to, sequence, document,
                        options->vocabulary->control[VLM_CONTROL_IMAGE], err);
    if (rc == VLM_OK && to.n_images) /* block was compared with tokens; only images make it more */
        to.rows += to.n_images * (options->image_rows - 1);
    if (rc == VLM_OK && to.rows > options->tokens)
        rc = vlm_fail(err, VLM_SKIP, "a sample of %zu rows is more than the %zu of a micro-batch",
                      to.rows, options->tokens);
    if (rc == VLM_SKIP) {
        slot->left_out++;
        return VLM_OK;
    }
    if (rc != VLM_OK)
        return rc;
    if (!vlm_array_reserve(&slot->tokens, &slot->tokens_capacity, slot->n_tokens, sequence->n,
                           sizeof(*slot->tokens)) ||
        !vlm_array_reserve(&slot->samples, &slot->samples_capacity, slot->n_samples, 1,
                           sizeof(*slot->samples)))
        return no_memory(err);
    struct vlm_loader_token *tokens = slot->tokens + slot->n_tokens;
    for (size_t i = 0; i < sequence->n; i++)
        tokens[i] = (struct vlm_loader_token){ sequence->ids[i], sequence->weights[i],
                                               sequence->modality[i] };
    slot->n_tokens += sequence->n;
    slot->n_images += to.n_images;
    slot->samples[slot->n_samples++] = to;
    return VLM_OK;
}

static int render(struct vlm_loader_worker *worker, struct vlm_loader_slot *slot)
{
    const struct vlm_loader *loader = worker->loader;
    const struct vlm_loader_options *options = &loader->options;
    struct vlm_err *err = &slot->err;
    struct vlm_document *document;
    struct vlm_sample sample;
    vlm_arena_reset(&worker->arena);
    int rc = vlm_corpus_document(worker->reader, slot->pick, options->split, &document, &slot->why,
                                 &worker->arena, err);
    if (rc != VLM_OK)
        return rc;
    vlm_document_id(slot->id, document);
    /* A model without codes reads such pages as if their images could not be used. */
    for (size_t i = 0;
         !options->vocabulary->n_codes && !options->image_rows && i < document->n_images; i++)
        document->images[i].codes = NULL;
    const bool profiled = vlm_corpus_source(loader->corpus, slot->pick.source)->profiled;
    struct vlm_sampler *sampler = worker->sampler[profiled];
    rc = vlm_sampler_start(sampler, document, slot->pick.epoch, err);
    while (rc == VLM_OK && (rc = vlm_sampler_next(sampler, &sample, err)) == VLM_OK)
        rc = add_sample(loader, slot, &sample, document, err);
    if (rc < 0) {
        char hex[2 * sizeof(slot->id) + 1];
        return vlm_wrap(err, "document %s", vlm_hex(hex, slot->id, sizeof(slot->id)));
    }
    if (rc == VLM_EOF)
        rc = VLM_OK;
    if (rc == VLM_OK && !slot->n_samples && slot->left_out)
        rc = vlm_fail(err, VLM_SKIP, "its images have no codes, or too many rows");
    else if (rc == VLM_OK && !slot->n_samples)
        rc = vlm_fail(err, VLM_SKIP, "the document has nothing to learn");
    return rc;
}

void vlm_loader_render(struct vlm_loader_worker *worker, struct vlm_loader_slot *slot)
{
    slot->n_tokens = slot->n_samples = slot->n_images = 0;
    slot->left_out = 0;
    slot->why = VLM_LEFT_OUT_NOT;
    slot->rc = render(worker, slot);
    slot->bytes = slot->n_tokens * sizeof(*slot->tokens) +
                  slot->n_samples * sizeof(*slot->samples) + slot->n_images * sizeof(*slot->codes);
}

void vlm_loader_slot_release(struct vlm_loader_slot *slot)
{
    free(slot->tokens);
    free(slot->samples);
    free(slot->image_at);
    free(slot->codes);
    *slot = (struct vlm_loader_slot){ .state = VLM_SLOT_FREE };
}

void vlm_loader_slot_clear(struct vlm_loader_slot *slot)
{
    if (slot->bytes > VLM_LOADER_SLOT_BYTES)
        vlm_loader_slot_release(slot);
    slot->state = VLM_SLOT_FREE;
    slot->end = false;
    slot->bytes = 0;
}
