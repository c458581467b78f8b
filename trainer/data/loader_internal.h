/* loader_internal.h - the ring between the threads that render documents and the caller who packs them.
 *
 * Documents are numbered as they are drawn; number k lies in slot k mod VLM_LOADER_RING. A slot belongs to the
 * thread that took it, then, once it is ready, to the caller; the lock guards its state and nothing else of it. */
#ifndef VLM_TRAINER_LOADER_INTERNAL_H
#define VLM_TRAINER_LOADER_INTERNAL_H

#include "trainer/data/loader.h"

#include <pthread.h>

enum {
    VLM_LOADER_RING = 64,             /* documents under way */
    VLM_LOADER_BYTES = 64 << 20,      /* of samples in it, beside the document that is waited for */
    VLM_LOADER_SLOT_BYTES = 256 << 10 /* memory that a slot keeps for its next document */
};

struct vlm_loader_token {
    uint32_t id;
    float weight;
    uint32_t modality;
};

struct vlm_loader_sample {
    size_t first, n;              /* tokens of the slot */
    size_t first_image, n_images; /* of the slot; none without image_rows */
    size_t rows;
    uint64_t block;
};

enum vlm_slot_state { VLM_SLOT_FREE, VLM_SLOT_TAKEN, VLM_SLOT_READY };

/* A document on its way. */
struct vlm_loader_slot {
    enum vlm_slot_state state;
    bool end; /* no document: the split is over */
    struct vlm_pick pick;
    uint8_t id[16];
    int rc;                /* VLM_OK, VLM_SKIP: it has no samples; or the run ends */
    enum vlm_left_out why; /* VLM_SKIP: VLM_LEFT_OUT_NOT when nothing can be learned of it */
    struct vlm_err err;
    uint64_t left_out; /* samples */

    struct vlm_loader_token *tokens;
    size_t n_tokens, tokens_capacity;
    struct vlm_loader_sample *samples;
    size_t n_samples, samples_capacity;
    uint32_t *image_at; /* [n_images] token of its sample */
    uint32_t (*codes)[VLM_IMAGE_CODES];
    size_t n_images, image_at_capacity, codes_capacity;
    size_t bytes; /* of all that */
};

struct vlm_loader;

/* What one thread has. */
struct vlm_loader_worker {
    struct vlm_loader *loader;
    pthread_t thread;
    struct vlm_corpus_reader *reader;
    struct vlm_sampler
        *sampler[2]; /* of sets without and with a profile; NULL: there are none such */
    struct vlm_arena arena;
};

struct vlm_loader {
    struct vlm_corpus *corpus;
    struct vlm_loader_options options;
    struct vlm_loader_worker *workers; /* [options.threads] */
    size_t n_started;

    pthread_mutex_t lock;
    pthread_cond_t work;      /* a slot is free, or all is to end */
    pthread_cond_t ready;     /* a slot is ready */
    bool made;                /* lock and conditions */
    bool stop, paused, ended; /* ended: the last document has been taken */
    struct vlm_cursor cursor; /* of the next document to take */
    uint64_t next,
        taken;    /* numbers of the next document to take, and of the one the caller is at */
    size_t bytes; /* of ready slots */
    struct vlm_loader_slot slots[VLM_LOADER_RING];

    /* The caller's: */
    struct vlm_place at;    /* the sample that comes next, documents without any passed over */
    struct vlm_place after; /* behind the last batch */
    bool held;              /* slot `taken` is ready, and at is in it */
    bool over;
    uint64_t generation;       /* of tombstones */
    uint64_t round, fruitless; /* documents of an epoch of all sources; without a sample, so far */
    struct vlm_loader_counts counts, before; /* before: at the last sample */
    struct vlm_err empty,
        damage; /* why the first document with nothing to learn, or damaged, is out */
    struct vlm_err failure;

    uint32_t *ids, *positions, *lo, *hi, *targets; /* [options.tokens] of the batch */
    float *weights;
    uint8_t *modality;
    struct vlm_batch_sample *samples;
    size_t samples_capacity;
    uint32_t *image_rows; /* [n_images][options.image_rows] */
    uint32_t (*codes)[VLM_IMAGE_CODES];
    size_t image_rows_capacity, codes_capacity;
};

/* The next document at the cursor, which moves on; false: the split is over. */
bool vlm_loader_draw(const struct vlm_loader *loader, struct vlm_cursor *cursor,
                     struct vlm_pick *pick);

/* Fills a slot with the samples of its pick; on the worker's thread. */
void vlm_loader_render(struct vlm_loader_worker *worker, struct vlm_loader_slot *slot);
void vlm_loader_slot_clear(struct vlm_loader_slot *slot); /* keeps little memory */
void vlm_loader_slot_release(struct vlm_loader_slot *slot);

/* Appends sample number i of a slot to a batch that has room for it. */
VLM_MUST_CHECK int vlm_loader_pack(struct vlm_loader *loader, struct vlm_batch *batch,
                                   const struct vlm_loader_slot *slot, size_t i,
                                   struct vlm_err *err);

#endif
