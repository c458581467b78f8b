/* picture_internal.h - what picture.c (the loop's side) and picture_thread.c (the coders') share. */
#ifndef VLM_SERVE_PICTURE_INTERNAL_H
#define VLM_SERVE_PICTURE_INTERNAL_H

#include "base/buffer.h"
#include "serve/picture/box.h"
#include "serve/picture/deleted.h"
#include "serve/picture/kept.h"
#include "serve/picture/picture.h"

#include <pthread.h>

enum vlm_picture_work { VLM_PICTURE_ENCODE, VLM_PICTURE_MASK, VLM_PICTURE_DECODE };
enum vlm_picture_state { VLM_PICTURE_WAITS, VLM_PICTURE_RUNS, VLM_PICTURE_DONE };

/* One thing to do. The loop's until it waits, a thread's while it runs, the loop's once it is done; `stop` is all
 * that the loop touches between. */
struct vlm_picture_task {
    struct vlm_picture_task *before, *after; /* in the list of what waits or of what is done */
    enum vlm_picture_work work;
    enum vlm_picture_state state; /* under the lock */
    atomic_bool stop;             /* cancelled */
    union {
        vlm_encoded_fn encoded;
        vlm_masked_fn masked;
        vlm_decoded_fn decoded;
    } done;
    void *argument;
    /* what is asked */
    uint8_t *bytes;
    size_t n;
    struct vlm_picture_form form;          /* mask: below, or NULL */
    uint8_t cells[VLM_CODES], *old_square; /* of a region edit; of a mask: what was found */
    /* what came out */
    int rc;
    struct vlm_err err;
    struct vlm_picture picture; /* codes also of what is asked */
    bool was_kept;
    uint8_t *square;
    struct vlm_buffer file;
};

struct vlm_picture_list {
    struct vlm_picture_task *first, *last;
    size_t n, bytes;
};

/* What a picture became, as it is kept. */
struct vlm_kept_picture {
    uint32_t width, height;
    enum vlm_image_format format;
    uint16_t codes[VLM_CODES];
    uint8_t square[VLM_SQUARE_BYTES];
};

struct vlm_picture_thread {
    struct vlm_pictures *pictures;
    pthread_t thread;
    bool runs;
    struct vlm_box *box;
    struct vlm_coder *coder;
    struct vlm_picture_task *task; /* that runs, under the lock; NULL: none */
    uint64_t restarts;             /* of the box, that were counted */
};

struct vlm_pictures {
    struct vlm_pictures_options options;
    struct event *woken;
    int wake; /* eventfd: something is done */
    pthread_mutex_t lock;
    pthread_cond_t more;
    bool locks, ends;
    struct vlm_picture_list waiting, done;
    struct vlm_kept *kept; /* what is in it goes only on the loop's thread */
    struct vlm_deleted *deleted;
    struct vlm_picture_thread *threads;   /* [options.threads] */
    char warning[sizeof(struct vlm_err)]; /* to be told on the loop's thread */
};

void *vlm_picture_thread_main(void *thread);

/* Lists; the owner has the lock. */
void vlm_picture_append(struct vlm_picture_list *list, struct vlm_picture_task *task);
void vlm_picture_remove(struct vlm_picture_list *list, struct vlm_picture_task *task);

#endif
