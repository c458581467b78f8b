/* loader.h - threads that read, render, mask and hand over micro-batches in a fixed order.
 *
 *   rc = vlm_loader_new(&loader, corpus, &options, &place, &err);
 *   while ((rc = vlm_loader_next(loader, &batch, &err)) == VLM_OK)
 *       ... batch.rows, batch.targets, loader is at batch.after ...
 *   vlm_loader_free(loader);
 *
 * Threads take documents by number and render them; the caller packs their samples in the order of the
 * documents. So a batch depends on where it begins alone, not on threads or time. */
#ifndef VLM_TRAINER_LOADER_H
#define VLM_TRAINER_LOADER_H

#include "models/model/rows.h"
#include "tokenize/sequence/sample.h"
#include "trainer/data/corpus.h"

/* Where a batch begins: everything that decides it. */
struct vlm_place {
    struct vlm_cursor cursor; /* at the document whose samples come next */
    uint64_t sample;          /* of that document */
};

struct vlm_loader_options {
    struct vlm_sampling sampling; /* its seed counts; block at most the model's context */
    const struct vlm_vocabulary *vocabulary;
    double weight[VLM_MODALITIES]; /* of targets, by modality */
    size_t tokens;                 /* of a micro-batch at most; at least one sample fits */
    /* Rows that stand for each <image> (bridge); 0: <image> is a token like others. A sample then takes
     * more rows than tokens, and its positions go further: one more for each row beyond the first. */
    size_t image_rows;
    size_t threads; /* that render; at least 1 */
    /* TRAIN goes round for ever; others end (VLM_EOF) after all documents, in order of sources and numbers,
     * epoch 0. */
    enum vlm_split split;
    bool once;              /* TRAIN ends as the others do, and has their order */
    uint64_t documents_max; /* of splits that end: so many that give samples at most; 0: all */
};

enum { VLM_ROW_NO_TARGET = VLM_MODALITIES };

struct vlm_batch {
    struct vlm_rows rows;    /* places is NULL */
    const uint32_t *targets; /* [rows.n] or VLM_IGNORE */
    const float *weights;    /* [rows.n] */
    const uint8_t
        *modality; /* [rows.n] of the target, or VLM_ROW_NO_TARGET: VLM_IGNORE, weight 0 */
    double weight_sum;
    size_t image_rows; /* of each of rows.n_images: that of the options */
    size_t samples;
    uint64_t documents; /* that gave samples to it and are over */
    struct vlm_place before, after;
    /* Which documents: pairs for vlm-inspect batch and messages. */
    const struct vlm_batch_sample *sample; /* [samples] */
};
struct vlm_batch_sample {
    struct vlm_pick pick;
    uint8_t id[16];
    uint64_t block;
    uint32_t first_row, rows;
};

struct vlm_loader_counts { /* since it was made */
    uint64_t documents, samples, tokens;
    /* Documents without samples; validation: those of the other split. */
    uint64_t skipped_validation, skipped_deleted, skipped_empty, skipped_damaged;
    uint64_t
        left_out; /* samples: an image without codes, or (image_rows) more rows than `tokens` */
    double wait_seconds; /* that vlm_loader_next() waited for threads */
};

struct vlm_loader;
VLM_MUST_CHECK int vlm_loader_new(struct vlm_loader **out, struct vlm_corpus *corpus,
                                  const struct vlm_loader_options *options,
                                  const struct vlm_place *place, struct vlm_err *err);
void vlm_loader_free(struct vlm_loader *loader); /* joins the threads; NULL is fine */

/* The next micro-batch, valid until the next call. VLM_EFORMAT: a whole epoch (TRAIN) or the whole set (ALL)
 * gave no sample, with the reasons; VLM_EOF: the split is over. Damaged documents are left out and counted.
 * Documents that deleted.jsonl names since the last call (vlm_corpus_tombstones()) are left out from here on,
 * those that were already rendered too. After an error the same error comes again. */
VLM_MUST_CHECK int vlm_loader_next(struct vlm_loader *loader, struct vlm_batch *batch,
                                   struct vlm_err *err);
struct vlm_loader_counts vlm_loader_counts(const struct vlm_loader *loader);

/* One sentence about the first damaged document that was left out; "" when there was none. Valid as long as the
 * loader. */
const char *vlm_loader_damage(const struct vlm_loader *loader);

/* A batch of its own memory, for steps of several and for --overfit. What `to` held before is released: zero it
 * to begin. */
VLM_MUST_CHECK int vlm_batch_copy(struct vlm_batch *to, const struct vlm_batch *from,
                                  struct vlm_err *err);
void vlm_batch_release(struct vlm_batch *copy); /* safe on a zeroed struct */

#endif
