/* set_documents.c - a batch of documents is read, worked on by all threads, handed back; then the next. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tools/tokenize/set_documents.h"

enum { DOCUMENTS_A_THREAD = 8 };

struct batch {
    const struct vlm_documents *job;
    struct vlm_documents_item *items;
    size_t n, capacity;
};

static int read_item(const struct vlm_documents *job, struct vlm_documents_item *item,
                     struct vlm_err *err)
{
    bool wanted = false;
    int rc = VLM_OK;
    while (rc == VLM_OK && !wanted) {
        vlm_arena_reset(&item->arena);
        rc = vlm_set_next(job->set, &item->document, &item->arena, err);
        if (rc == VLM_OK) {
            vlm_document_id(item->id, item->document);
            wanted = !job->wanted || job->wanted(job->context, item->id);
        }
    }
    if (rc != VLM_OK)
        return rc;
    vlm_buffer_reset(&item->out);
    vlm_buffer_reset(&item->ends);
    return vlm_set_add_codes(job->set, job->image_tokenizer, item->document, &item->arena, err);
}

static void work_on_item(void *context, size_t task, size_t worker)
{
    struct batch *batch = context;
    struct vlm_documents_item *item = &batch->items[task];
    item->rc = batch->job->work(batch->job->context, worker, item, &item->err);
    item->skipped = item->rc == VLM_SKIP;
    if (item->skipped)
        item->rc = VLM_OK;
    if (item->rc == VLM_OK && (item->out.failed || item->ends.failed))
        item->rc = vlm_fail(&item->err, VLM_ENOMEM, "no memory for what becomes of it");
}

static int hand_back(const struct batch *batch, struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < batch->n; i++) {
        struct vlm_documents_item *item = &batch->items[i];
        char hex[33];
        if (item->rc != VLM_OK) {
            *err = item->err;
            return vlm_wrap(err, "document %s", vlm_hex(hex, item->id, sizeof(item->id)));
        }
        if (batch->job->done)
            rc = batch->job->done(batch->job->context, item, err);
    }
    return rc;
}

void vlm_documents_note_codes(const char *folder, const struct vlm_manifest *manifest,
                              enum vlm_render form)
{
    uint64_t images = 0;
    for (size_t i = 0; i < manifest->n_parts; i++)
        images += manifest->parts[i].images;
    if (images && !manifest->tokenizers.n && (form == VLM_RENDER_CM3 || form == VLM_RENDER_HTLM))
        fprintf(stderr,
                "vlm-tokenize: '%s' has no codes of its %" PRIu64
                " images, so they are left out; add them: vlm-vqgan encode %s\n",
                folder, images, folder);
}

int vlm_documents_run(const struct vlm_documents *job, struct vlm_err *err)
{
    struct batch batch = { .job = job, .capacity = job->at_once };
    int rc = VLM_OK, read = VLM_OK;
    if (!batch.capacity)
        batch.capacity = DOCUMENTS_A_THREAD * vlm_pool_threads(job->pool);
    batch.items = calloc(batch.capacity, sizeof(*batch.items));
    if (!batch.items)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu documents", batch.capacity);
    for (size_t i = 0; i < batch.capacity; i++)
        vlm_arena_init(&batch.items[i].arena, VLM_GIB);
    while (rc == VLM_OK && read == VLM_OK) {
        for (batch.n = 0; read == VLM_OK && batch.n < batch.capacity; batch.n += read == VLM_OK)
            read = read_item(job, &batch.items[batch.n], err);
        /* What was read before a failure is handed back for any number of threads. */
        if (batch.n && job->work)
            vlm_pool_run(job->pool, batch.n, work_on_item, &batch);
        rc = hand_back(&batch, err);
        if (rc == VLM_OK && read < 0)
            rc = read;
    }
    for (size_t i = 0; i < batch.capacity; i++) {
        vlm_buffer_release(&batch.items[i].out);
        vlm_buffer_release(&batch.items[i].ends);
        vlm_arena_release(&batch.items[i].arena);
    }
    free(batch.items);
    return rc == VLM_EOF ? VLM_OK : rc;
}
