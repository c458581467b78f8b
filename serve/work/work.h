/* work.h - the thread that owns the model: a queue of jobs in, events out.
 *
 *   rc = vlm_work_new(&work, base, &options, &err);
 *   rc = vlm_work_submit(work, job, &err);          // VLM_ELIMIT: the queue is full
 *   ... job->on_event(job, &event), on the loop's thread ...
 *   vlm_work_cancel(work, job);             // the client has left
 *
 * Submit, cancel and on_event happen on the thread of the event loop; streams run on the work thread, as many at a
 * time as the decoder has slots, first come first served. An event holds copies: nothing is shared. */
#ifndef VLM_SERVE_WORK_H
#define VLM_SERVE_WORK_H

#include "models/generate/decoder.h"
#include "serve/work/metrics.h"

struct event_base;
struct vlm_work;

/* What one choice of an answer is made of: a branch. Owned by its job. */
struct vlm_job_branch {
    struct vlm_stream_prompt prompt; /* the job's */
    struct vlm_generate_options options;
    size_t score_from; /* not 0: vlm_stream_new_score() */
};

enum vlm_job_event_kind {
    VLM_JOB_STARTED, /* it has left the queue */
    VLM_JOB_PROMPT, /* rows of the prompt that are done, at most one event in 0.1 s; only when wanted */
    VLM_JOB_TOKENS, /* what was drawn since the last event of the branch */
    VLM_JOB_BRANCH, /* a branch is over: answer, losses */
    VLM_JOB_DONE,   /* all branches are over; the last event */
    VLM_JOB_FAILED, /* the last event: code and sentence (VLM_EUSAGE: of the request) */
};

struct vlm_job_event {
    enum vlm_job_event_kind kind;
    size_t branch;
    size_t prompt_done, prompt_total, cached; /* PROMPT, TOKENS, BRANCH: rows */
    const struct vlm_drawn *drawn;            /* TOKENS [n] */
    const struct vlm_likely *likely; /* [n][options.likely]; of a score [n][prompt.likely] */
    size_t n;
    const struct vlm_answer *answer;                      /* BRANCH, NULL for a score */
    const float *losses;                                  /* BRANCH of a score: [n] */
    double queue_seconds, prompt_seconds, decode_seconds; /* BRANCH */
    int rc;                                               /* FAILED */
    const struct vlm_err *err;
};

struct vlm_job {
    struct vlm_job_branch *branches; /* [n_branches]: borrowed until the last event; seeds differ */
    size_t n_branches;
    bool wants_progress;
    double deadline_seconds; /* from submission; 0: none. Then VLM_JOB_FAILED with VLM_ESTOPPED */
    void (*on_event)(struct vlm_job *job, const struct vlm_job_event *event);
    void *context;
    struct vlm_job_state *state; /* work's; NULL before and after */
};

struct vlm_work_options {
    const struct vlm_engine *engine; /* only the work thread uses it from now on */
    struct vlm_model *model;
    const struct vlm_choices *choices;
    struct vlm_decoder_options decoder;
    size_t queue_max; /* jobs that wait */
    struct vlm_metrics *metrics;
};

VLM_MUST_CHECK int vlm_work_new(struct vlm_work **out, struct event_base *base,
                                const struct vlm_work_options *options, struct vlm_err *err);
/* Cancels all, joins the thread; no event comes any more. */
void vlm_work_free(struct vlm_work *work); /* NULL is fine */

/* VLM_ELIMIT: the queue is full; VLM_ESTOPPED: after vlm_work_end(); VLM_EUSAGE: the first branch cannot be answered,
 * with the sentence of vlm_stream_new(). */
VLM_MUST_CHECK int vlm_work_submit(struct vlm_work *work, struct vlm_job *job, struct vlm_err *err);

enum vlm_job_phase { VLM_JOB_WAITS, VLM_JOB_PREFILLS, VLM_JOB_DECODES, VLM_JOB_ENDED };

/* No event of the job comes any more, at once; its slot is free after the step that is running (< 100 ms). Where the
 * job was; VLM_JOB_ENDED: it was told its last event, or never submitted. */
enum vlm_job_phase vlm_work_cancel(struct vlm_work *work, struct vlm_job *job);

/* The server is to stop: all jobs fail with VLM_ESTOPPED, which comes as an event, and none is taken any more. */
void vlm_work_end(struct vlm_work *work);

/* Jobs that wait, jobs that run, seconds since the thread last went round (0.0 when idle and awake). */
struct vlm_work_state {
    size_t waiting, running;
    double heartbeat_age;
    bool failed; /* the model gave no finite number: nothing more can be expected */
};
struct vlm_work_state vlm_work_state(const struct vlm_work *work);

/* A copy of what the slots hold, as of the last step, for GET /slots. */
struct vlm_work_slot {
    int state; /* as struct vlm_decoder_slot */
    size_t rows, computed, drawn;
    uint64_t job; /* number of the job since the start, 0: none */
};
size_t vlm_work_slots(const struct vlm_work *work, struct vlm_work_slot *slots, size_t n);

#endif
