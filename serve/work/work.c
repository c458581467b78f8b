/* work.c - the side of the event loop: jobs go into a queue, events come out of a list.
 *
 * A job has a state of ours, which is freed on the loop's thread when the last message about it has come through,
 * or at once when it is cancelled in the queue. A cancelled job's messages are dropped here, so that a client that has
 * left never hears of it again, whatever the work thread is doing. The lock is held for a few instructions only;
 * `making` for as long as a stream is made, since what a stream is made from belongs to the caller. */
#include "base/vlm.h"

#include "base/progress.h"
#include "serve/work/work_internal.h"

#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- messages ---- */

struct vlm_work_message *vlm_work_message_new(struct vlm_job_state *state,
                                              enum vlm_job_event_kind kind, size_t bytes)
{
    struct vlm_work_message *message = calloc(1, sizeof(*message) + bytes);
    if (message) {
        message->state = state;
        message->event.kind = kind;
    }
    return message;
}

static void free_message(struct vlm_work_message *message)
{
    if (!message)
        return;
    vlm_answer_release(&message->answer);
    free(message);
}

void vlm_work_list_add(struct vlm_work_list *list, struct vlm_work_message *message)
{
    message->next = NULL;
    if (!list->first)
        list->end = &list->first;
    *list->end = message;
    list->end = &message->next;
}

static void free_state(struct vlm_job_state *state)
{
    for (size_t i = 0; i < state->n_branches; i++)
        vlm_stream_free(state->branch[i].stream);
    free_message(state->last);
    free(state);
}

enum { SHARE = 64 }; /* messages that are delivered in one go */

/* The job may be freed, and others submitted or cancelled, by what is called here. */
static void deliver_one(struct vlm_work_message *message)
{
    struct vlm_job_state *state = message->state;
    struct vlm_job *job = state->job;
    if (job) {
        if (message->is_last) {
            state->job = NULL;
            job->state = NULL;
        }
        job->on_event(job, &message->event);
    }
    if (message->is_last)
        free_state(state);
    free_message(message);
}

/* The first of the messages, SHARE at most: the loop has others to attend to. What is left rings again. */
static struct vlm_work_message *take_share(struct vlm_work *work)
{
    size_t n = 0;
    pthread_mutex_lock(&work->lock);
    struct vlm_work_message *first = work->messages.first, **end = &work->messages.first;
    for (; *end && n < SHARE; n++)
        end = &(*end)->next;
    struct vlm_work_message *rest = *end;
    *end = NULL;
    work->messages.first = rest;
    pthread_mutex_unlock(&work->lock);
    if (rest) {
        const uint64_t one = 1;
        ssize_t written = write(work->bell, &one, sizeof(one));
        (void)written;
    }
    return first;
}

static void deliver(evutil_socket_t bell, short what, void *context)
{
    struct vlm_work *work = context;
    uint64_t rung;
    size_t n = 0;
    (void)what;
    ssize_t got = read(bell, &rung, sizeof(rung));
    (void)got;
    for (struct vlm_work_message *message = take_share(work), *next; message; message = next, n++) {
        next = message->next;
        deliver_one(message);
    }
    pthread_mutex_lock(&work->lock);
    work->behind -= n;
    if (work->behind <= VLM_WORK_BEHIND_MAX)
        pthread_cond_signal(&work->changed);
    pthread_mutex_unlock(&work->lock);
}

/* ---- making and ending ---- */

static int allocate(struct vlm_work *work, struct vlm_err *err)
{
    const struct vlm_work_options *options = &work->options;
    int rc = vlm_decoder_new(&work->decoder, options->engine, options->model, options->choices,
                             &options->decoder, err);
    if (rc != VLM_OK)
        return rc;
    work->n_slots = vlm_decoder_slots(work->decoder, NULL, 0);
    work->slots = calloc(work->n_slots + 1, sizeof(*work->slots));
    work->decoder_slots = calloc(work->n_slots + 1, sizeof(*work->decoder_slots));
    work->active = calloc(options->decoder.slots + 1, sizeof(*work->active));
    if (!work->slots || !work->decoder_slots || !work->active)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu slots", work->n_slots);
    vlm_metrics_set(options->metrics, VLM_METRIC_CACHE_ROWS,
                    (int64_t)(work->n_slots * work->capacity));
    return VLM_OK;
}

static int start(struct vlm_work *work, struct event_base *base, struct vlm_err *err)
{
    work->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (work->bell < 0)
        return vlm_fail_errno(err, errno, "cannot make an eventfd");
    work->event = event_new(base, work->bell, EV_READ | EV_PERSIST, deliver, work);
    if (!work->event || event_add(work->event, NULL))
        return vlm_fail(err, VLM_ENOMEM, "no memory for the event of the work thread");
    int number = pthread_create(&work->thread, NULL, vlm_work_thread, work);
    if (number)
        return vlm_fail_errno(err, number, "cannot start the work thread");
    work->has_thread = true;
    return VLM_OK;
}

int vlm_work_new(struct vlm_work **out, struct event_base *base,
                 const struct vlm_work_options *options, struct vlm_err *err)
{
    struct vlm_work *work = *out = calloc(1, sizeof(*work));
    if (!work)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the work thread");
    const size_t context = options->model->config.context;
    work->options = *options;
    work->capacity = options->decoder.capacity ? options->decoder.capacity : context;
    work->waiting_end = &work->waiting;
    atomic_store(&work->beat, (long long)(vlm_now() * 1e9));
    work->bell = -1;
    pthread_mutex_init(&work->making, NULL);
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->changed, NULL);
    int rc = allocate(work, err);
    if (rc == VLM_OK)
        rc = start(work, base, err);
    if (rc != VLM_OK) {
        vlm_work_free(work);
        *out = NULL;
    }
    return rc;
}

/* Its job, when there is one, is the caller's again. */
static void forget(struct vlm_job_state *state)
{
    if (state->job)
        state->job->state = NULL;
    free_state(state);
}

/* States that the work thread, which has ended, holds; those whose last message waits are in the messages. */
static void forget_all(struct vlm_work *work)
{
    struct vlm_job_state *lists[] = { work->waiting, work->running };
    for (size_t i = 0; i < VLM_COUNTOF(lists); i++)
        for (struct vlm_job_state *state = lists[i], *next; state; state = next) {
            next = state->next;
            forget(state);
        }
    for (struct vlm_work_message *message = work->messages.first, *next; message; message = next) {
        next = message->next;
        if (message->is_last)
            forget(message->state);
        free_message(message);
    }
}

void vlm_work_free(struct vlm_work *work)
{
    if (!work)
        return;
    if (work->has_thread) {
        pthread_mutex_lock(&work->lock);
        work->stop = true;
        pthread_cond_signal(&work->changed);
        pthread_mutex_unlock(&work->lock);
        pthread_join(work->thread, NULL);
    }
    if (work->event)
        event_free(work->event);
    if (work->bell >= 0)
        close(work->bell);
    vlm_decoder_free(work->decoder);
    forget_all(work);
    pthread_cond_destroy(&work->changed);
    pthread_mutex_destroy(&work->lock);
    pthread_mutex_destroy(&work->making);
    free(work->active);
    free(work->slots);
    free(work->decoder_slots);
    free(work);
}

void vlm_work_end(struct vlm_work *work)
{
    pthread_mutex_lock(&work->lock);
    work->ending = true;
    pthread_mutex_unlock(&work->lock); /* a thread that sleeps has no jobs */
}

/* ---- jobs ---- */

/* Tokens of the prompt; the rows of an image for an encoder are image tokens. */
static void count_prompt(struct vlm_job_state *state, const struct vlm_choices *choices,
                         const struct vlm_stream_prompt *prompt)
{
    for (size_t i = 0; i < prompt->n; i++)
        state->prompt_image += vlm_vocabulary_is_code(choices->vocabulary, prompt->ids[i]);
    state->prompt_text = prompt->n - state->prompt_image;
    if (!choices->images)
        state->prompt_image += prompt->n_images * choices->image_length;
}

int vlm_work_make(struct vlm_work *work, struct vlm_work_branch *branch,
                  const struct vlm_job_branch *source, struct vlm_err *err)
{
    const struct vlm_choices *choices = work->options.choices;
    const size_t slots = work->options.decoder.slots;
    struct vlm_stream *stream = NULL;
    int rc = source->score_from ? vlm_stream_new_score(&stream, choices, &source->prompt,
                                                       source->score_from, work->capacity, err)
                                : vlm_stream_new(&stream, choices, &source->prompt, work->capacity,
                                                 &source->options, err);
    if (rc == VLM_OK && stream->n_lanes > slots) {
        rc = vlm_fail(err, VLM_EUSAGE, "the request takes %zu slots at once, the server has %zu",
                      stream->n_lanes, slots);
        vlm_stream_free(stream);
        stream = NULL;
    }
    branch->stream = rc == VLM_OK ? stream : NULL;
    branch->tokens = source->prompt.n;
    branch->likely = source->score_from ? source->prompt.likely : source->options.likely;
    return rc;
}

static int make_state(struct vlm_job_state **out, struct vlm_work *work, struct vlm_job *job,
                      struct vlm_err *err)
{
    const size_t n = job->n_branches;
    struct vlm_job_state *state = calloc(1, sizeof(*state) + n * sizeof(state->branch[0]));
    *out = NULL;
    if (!state || !(state->last = vlm_work_message_new(state, VLM_JOB_FAILED, 0))) {
        free(state);
        return vlm_fail(err, VLM_ENOMEM, "no memory for a request of %zu answers", n);
    }
    state->last->is_last = true;
    state->job = job;
    state->sources = job->branches;
    state->n_branches = n;
    state->wants_progress = job->wants_progress;
    state->submitted = vlm_now();
    state->limit = job->deadline_seconds;
    if (state->limit > 0)
        state->deadline = state->submitted + state->limit;
    for (size_t i = 0; i < n; i++) {
        state->branch[i].state = state;
        state->branch[i].index = i;
    }
    count_prompt(state, work->options.choices, &job->branches[0].prompt);
    int rc = vlm_work_make(work, &state->branch[0], &job->branches[0], err);
    if (rc != VLM_OK) {
        free_state(state);
        return rc;
    }
    *out = state;
    return VLM_OK;
}

/* In the queue, unless it is full or closed. */
static int enqueue(struct vlm_work *work, struct vlm_job_state *state, struct vlm_err *err)
{
    int rc = VLM_OK;
    pthread_mutex_lock(&work->lock);
    if (work->ending) {
        rc = vlm_fail(err, VLM_ESTOPPED, "the server is stopping");
    } else if (work->n_waiting >= VLM_MAX(work->options.queue_max, 1)) {
        rc = vlm_fail(err, VLM_ELIMIT, "%zu requests are waiting, as many as may", work->n_waiting);
    } else {
        state->number = ++work->jobs;
        state->is_waiting = true;
        *work->waiting_end = state;
        work->waiting_end = &state->next;
        work->n_waiting++;
        vlm_metrics_set(work->options.metrics, VLM_METRIC_WAITING, (int64_t)work->n_waiting);
        pthread_cond_signal(&work->changed);
    }
    pthread_mutex_unlock(&work->lock);
    if (rc == VLM_ELIMIT)
        vlm_metrics_add(work->options.metrics, VLM_METRIC_REJECTED_QUEUE, 1);
    return rc;
}

int vlm_work_submit(struct vlm_work *work, struct vlm_job *job, struct vlm_err *err)
{
    struct vlm_job_state *state;
    VLM_BUG_IF(job->state || !job->n_branches || !job->on_event);
    int rc = make_state(&state, work, job, err);
    if (rc != VLM_OK)
        return rc;
    job->state = state;
    rc = enqueue(work, state, err);
    if (rc != VLM_OK)
        forget(state);
    return rc;
}

/* Out of the queue; false when the work thread has it. */
static bool leave_queue(struct vlm_work *work, struct vlm_job_state *state)
{
    pthread_mutex_lock(&work->lock);
    const bool waited = state->is_waiting;
    struct vlm_job_state **at = &work->waiting;
    while (waited && *at != state)
        at = &(*at)->next;
    if (waited) {
        *at = state->next;
        if (!state->next)
            work->waiting_end = at;
        work->n_waiting--;
        vlm_metrics_set(work->options.metrics, VLM_METRIC_WAITING, (int64_t)work->n_waiting);
    }
    pthread_mutex_unlock(&work->lock);
    return waited;
}

enum vlm_job_phase vlm_work_cancel(struct vlm_work *work, struct vlm_job *job)
{
    struct vlm_job_state *state = job->state;
    if (!state)
        return VLM_JOB_ENDED;
    job->state = NULL;
    state->job = NULL;
    if (leave_queue(work, state)) {
        free_state(state);
        return VLM_JOB_WAITS;
    }
    /* The thread may have just taken it, or may have ended it without the job's being told. */
    const bool decodes = atomic_load(&state->phase) > VLM_JOB_PREFILLS;
    pthread_mutex_lock(&work->making); /* afterwards nothing of the job is read */
    atomic_store(&state->cancelled, true);
    pthread_mutex_unlock(&work->making);
    return decodes ? VLM_JOB_DECODES : VLM_JOB_PREFILLS;
}

/* ---- state ---- */

struct vlm_work_state vlm_work_state(const struct vlm_work *work)
{
    struct vlm_work *self = (struct vlm_work *)(uintptr_t)work;
    struct vlm_work_state state = { .running = atomic_load(&self->n_running),
                                    .failed = atomic_load(&self->failed) };
    pthread_mutex_lock(&self->lock);
    state.waiting = self->n_waiting;
    const bool busy = !self->asleep;
    pthread_mutex_unlock(&self->lock);
    if (busy)
        state.heartbeat_age = VLM_MAX(0, vlm_now() - (double)atomic_load(&self->beat) * 1e-9);
    vlm_metrics_set(self->options.metrics, VLM_METRIC_HEARTBEAT_AGE,
                    (int64_t)(state.heartbeat_age * 1e3));
    return state;
}

size_t vlm_work_slots(const struct vlm_work *work, struct vlm_work_slot *slots, size_t n)
{
    struct vlm_work *self = (struct vlm_work *)(uintptr_t)work;
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < VLM_MIN(n, self->n_slots); i++)
        slots[i] = self->slots[i];
    pthread_mutex_unlock(&self->lock);
    return self->n_slots;
}
