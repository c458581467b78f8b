/* work_internal.h - what the two sides of serve/work share: work.c on the event loop's thread, work_thread.c. */
#ifndef VLM_SERVE_WORK_INTERNAL_H
#define VLM_SERVE_WORK_INTERNAL_H

#include "serve/work/work.h"

#include <pthread.h>
#include <stdatomic.h>

struct event;

/* A branch while it is in the decoder. The work thread's, but for the first stream, which is made when the job is
 * submitted, so that a prompt that cannot be answered is refused before it waits. */
struct vlm_work_branch {
    struct vlm_job_state *state;
    struct vlm_stream *stream; /* NULL: not begun, or over */
    size_t index;
    size_t tokens, likely;     /* of the prompt; kept of each drawn token */
    size_t told;               /* drawn tokens that events have */
    size_t cached, done;       /* rows of the prompt */
    bool drew;                 /* a token of the answer */
    double added, first, last; /* moments: in the decoder, first token, last token; 0: not yet */
    double progress_told;
};

struct vlm_job_state {
    struct vlm_job *job;                  /* the loop thread's; NULL: no event comes any more */
    const struct vlm_job_branch *sources; /* of the job: read under `making` unless cancelled */
    uint64_t number;
    double submitted, deadline; /* moments; deadline 0: none */
    double limit;               /* seconds of the deadline, for its sentence */
    size_t prompt_text, prompt_image;
    bool wants_progress;
    atomic_bool cancelled;
    atomic_int phase;
    struct vlm_work_message *last; /* made with the job, so that an end can always be told */
    struct vlm_job_state *next; /* in the queue, under the lock; in `running`, the work thread's */
    bool is_waiting;            /* under the lock */
    /* The work thread's: */
    bool failing, first_token;
    size_t begun, running, over; /* branches */
    size_t n_branches;
    struct vlm_work_branch branch[];
};

/* From the work thread to the loop. */
struct vlm_work_message {
    struct vlm_work_message *next;
    struct vlm_job_state *state;
    bool is_last; /* the work thread has forgotten the job */
    struct vlm_job_event event;
    struct vlm_answer answer;
    struct vlm_err err; /* of the last only */
    _Alignas(max_align_t) unsigned char data[];
};

struct vlm_work_list {
    struct vlm_work_message *first, **end;
};

struct vlm_work {
    struct vlm_work_options options;
    size_t capacity; /* rows of a slot */
    struct vlm_decoder *decoder;
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t making; /* held while a stream is made from what a job lends */
    pthread_mutex_t lock;   /* for the following */
    pthread_cond_t changed;
    struct vlm_job_state *waiting, **waiting_end;
    size_t n_waiting;
    struct vlm_work_list messages; /* for the loop */
    size_t behind;                 /* messages that the loop has not delivered */
    struct vlm_work_slot *slots;   /* [n_slots] */
    size_t n_slots;
    bool stop, ending, asleep;

    atomic_size_t n_running; /* jobs */
    atomic_llong beat;       /* nanoseconds of vlm_now() when the thread last went round */
    atomic_bool failed;
    int bell; /* an eventfd: there are messages */
    struct event *event;
    uint64_t jobs; /* so far */

    /* The work thread's: */
    struct vlm_job_state *running;   /* in the order in which they began */
    struct vlm_work_branch **active; /* [n_active], at most as many as slots */
    size_t n_active;
    struct vlm_work_list outgoing;
    struct vlm_decoder_slot *decoder_slots; /* [n_slots] */
};

/* With so many messages before the loop the thread waits: answers are written out as fast as they are made. */
enum { VLM_WORK_BEHIND_MAX = 1024 };

void *vlm_work_thread(void *work);

/* The stream of a branch. VLM_EUSAGE: of the request. */
VLM_MUST_CHECK int vlm_work_make(struct vlm_work *work, struct vlm_work_branch *branch,
                                 const struct vlm_job_branch *source, struct vlm_err *err);

/* With room for `bytes` behind it; NULL: no memory. */
struct vlm_work_message *vlm_work_message_new(struct vlm_job_state *state,
                                              enum vlm_job_event_kind kind, size_t bytes);
void vlm_work_list_add(struct vlm_work_list *list, struct vlm_work_message *message);

#endif
