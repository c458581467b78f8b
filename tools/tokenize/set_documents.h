/* set_documents.h - the documents of a shard set, worked on by several threads, handed back in their order.
 *
 *   struct vlm_documents job = { .set = set, .pool = pool, .work = work, .done = done, .context = &mine };
 *   rc = vlm_documents_run(&job, &err);
 *
 * The caller's thread reads; memory is that of a few documents for each thread. */
#ifndef VLM_TOOLS_SET_DOCUMENTS_H
#define VLM_TOOLS_SET_DOCUMENTS_H

#include "base/buffer.h"
#include "nn/pool.h"
#include "shard/parts/set.h"
#include "tokenize/render/render.h"

struct vlm_documents_item {
    struct vlm_document *document; /* with codes where the set has them */
    uint8_t id[16];
    struct vlm_buffer out;  /* what work() makes, empty when it begins */
    struct vlm_buffer ends; /* likewise */
    bool skipped;           /* work() gave VLM_SKIP */
    struct vlm_arena arena;
    int rc;
    struct vlm_err err;
};

struct vlm_documents {
    struct vlm_set *set;         /* at its first document */
    const char *image_tokenizer; /* whose codes; NULL: the set's first */
    struct vlm_pool *pool;
    size_t at_once; /* documents in memory; 0: some for each thread */
    /* Any of them may be NULL. wanted() and done() are called on the caller's thread in the order of the
     * set, work() on any. VLM_EOF from done(): no more documents are wanted. */
    bool (*wanted)(void *context, const uint8_t id[16]);
    int (*work)(void *context, size_t worker, struct vlm_documents_item *item, struct vlm_err *err);
    int (*done)(void *context, struct vlm_documents_item *item, struct vlm_err *err);
    void *context;
};

/* Says on stderr that a set has images but no codes of them, when the form asks for codes. */
void vlm_documents_note_codes(const char *folder, const struct vlm_manifest *manifest,
                              enum vlm_render form);

VLM_MUST_CHECK int vlm_documents_run(const struct vlm_documents *job, struct vlm_err *err);

#endif
