/* work_thread.c - the thread that owns the model: rounds of "who has left, who may begin, one step, what to tell".
 *
 * A slot that becomes free goes to the job with the fewest branches in slots, the older one of equals; so a request
 * for sixteen answers does not keep one for a single answer waiting, and none waits for ever. All that a round has
 * to tell is handed over at once, with one wake-up of the loop. */
#include "base/vlm.h"

#include "base/progress.h"
#include "serve/work/work_internal.h"

#include <unistd.h>

#define PROGRESS_INTERVAL 0.1 /* seconds */

/* ---- telling ---- */

static void hand_over(struct vlm_work *work)
{
    struct vlm_work_list *out = &work->outgoing;
    if (!out->first)
        return;
    size_t count = 0;
    for (const struct vlm_work_message *message = out->first; message; message = message->next)
        count++;
    pthread_mutex_lock(&work->lock);
    work->behind += count;
    const bool ring = !work->messages.first;
    if (ring)
        work->messages.end = &work->messages.first;
    *work->messages.end = out->first;
    work->messages.end = out->end;
    pthread_mutex_unlock(&work->lock);
    out->first = NULL;
    if (ring) {
        const uint64_t one = 1;
        ssize_t n = write(work->bell, &one, sizeof(one));
        (void)n; /* full only when it has rung */
    }
}

/* The last that is told of a job; what it says is set by the caller. */
static void tell_last(struct vlm_work *work, struct vlm_job_state *state)
{
    struct vlm_work_message *message = state->last;
    struct vlm_job_state **at = &work->running;
    while (*at && *at != state)
        at = &(*at)->next;
    if (*at)
        *at = state->next;
    atomic_store(&state->phase, VLM_JOB_ENDED);
    state->last = NULL;
    vlm_work_list_add(&work->outgoing, message);
}

/* Notes the first failure; the job ends between two steps (end_failed). */
static void fail_job(struct vlm_job_state *state, int rc, const struct vlm_err *err)
{
    if (state->failing)
        return;
    state->failing = true;
    state->last->event.kind = VLM_JOB_FAILED;
    state->last->event.rc = rc;
    state->last->err = *err;
    state->last->event.err = &state->last->err;
}

static void fail_memory(struct vlm_job_state *state)
{
    struct vlm_err err = { 0 };
    fail_job(state, vlm_fail(&err, VLM_ENOMEM, "no memory for an answer"), &err);
}

static struct vlm_work_message *message_of(struct vlm_work *work, struct vlm_work_branch *branch,
                                           enum vlm_job_event_kind kind, size_t bytes)
{
    struct vlm_work_message *message = vlm_work_message_new(branch->state, kind, bytes);
    if (!message) {
        fail_memory(branch->state);
        return NULL;
    }
    message->event.branch = branch->index;
    message->event.cached = branch->cached;
    message->event.prompt_done = branch->done;
    message->event.prompt_total = branch->stream->prompt_rows;
    vlm_work_list_add(&work->outgoing, message);
    return message;
}

static void tell_tokens(struct vlm_work *work, struct vlm_work_branch *branch, size_t likely)
{
    const struct vlm_stream *stream = branch->stream;
    const size_t n = stream->n_drawn - branch->told;
    const size_t drawn_bytes = n * sizeof(struct vlm_drawn);
    const size_t likely_bytes = n * likely * sizeof(struct vlm_likely);
    struct vlm_work_message *message =
        message_of(work, branch, VLM_JOB_TOKENS, drawn_bytes + likely_bytes);
    if (!message)
        return;
    memcpy(message->data, stream->drawn + branch->told, drawn_bytes);
    message->event.drawn = (const struct vlm_drawn *)(const void *)message->data;
    if (likely) {
        memcpy(message->data + drawn_bytes, stream->likely + branch->told * likely, likely_bytes);
        message->event.likely =
            (const struct vlm_likely *)(const void *)(message->data + drawn_bytes);
    }
    message->event.n = n;
}

static void tell_branch(struct vlm_work *work, struct vlm_work_branch *branch)
{
    struct vlm_stream *stream = branch->stream;
    const size_t n = stream->scores ? branch->tokens - 1 : 0;
    const size_t likely_bytes = n * branch->likely * sizeof(struct vlm_likely);
    struct vlm_work_message *message =
        message_of(work, branch, VLM_JOB_BRANCH, n * sizeof(float) + likely_bytes);
    if (!message)
        return;
    const double now = vlm_now(), first = branch->first > 0 ? branch->first : now;
    struct vlm_job_event *event = &message->event;
    event->prompt_done = stream->prompt_rows;
    event->queue_seconds = branch->added - branch->state->submitted;
    event->prompt_seconds = first - branch->added;
    event->decode_seconds = now - first;
    if (stream->scores) {
        memcpy(message->data, stream->losses, n * sizeof(float));
        event->losses = (const float *)(const void *)message->data;
        memcpy(message->data + n * sizeof(float), stream->likely, likely_bytes);
        event->likely =
            (const struct vlm_likely *)(const void *)(message->data + n * sizeof(float));
        event->n = n;
    } else {
        message->answer = stream->answer;
        stream->answer = (struct vlm_answer){ 0 };
        event->answer = &message->answer;
    }
}

/* ---- streams ---- */

static struct vlm_work_branch *find_branch(const struct vlm_work *work,
                                           const struct vlm_stream *stream)
{
    for (size_t i = 0; i < work->n_active; i++)
        if (work->active[i]->stream == stream)
            return work->active[i];
    return NULL;
}

/* It is out of the decoder. */
static void close_branch(struct vlm_work *work, struct vlm_work_branch *branch)
{
    size_t i = 0;
    while (work->active[i] != branch)
        i++;
    memmove(work->active + i, work->active + i + 1,
            (--work->n_active - i) * sizeof(work->active[0]));
    vlm_stream_free(branch->stream);
    branch->stream = NULL;
    branch->state->running--;
    branch->state->over++;
}

static void count_tokens(struct vlm_work *work, struct vlm_work_branch *branch)
{
    struct vlm_metrics *metrics = work->options.metrics;
    struct vlm_job_state *state = branch->state;
    const struct vlm_stream *stream = branch->stream;
    const double now = vlm_now();
    size_t codes = 0;
    const size_t n = stream->n_drawn - branch->told;
    for (size_t i = branch->told; i < stream->n_drawn; i++)
        codes += vlm_vocabulary_is_code(work->options.choices->vocabulary, stream->drawn[i].id);
    vlm_metrics_add(metrics, VLM_METRIC_GENERATED_IMAGE, (int64_t)codes);
    vlm_metrics_add(metrics, VLM_METRIC_GENERATED_TEXT, (int64_t)(n - codes));
    if (branch->first <= 0)
        branch->first = now;
    else
        for (size_t i = 0; i < n; i++)
            vlm_metrics_observe(metrics, VLM_HISTOGRAM_BETWEEN_TOKENS,
                                (now - branch->last) / (double)n);
    branch->last = now;
    if (!state->first_token)
        vlm_metrics_observe(metrics, VLM_HISTOGRAM_FIRST_TOKEN, now - state->submitted);
    state->first_token = true;
    atomic_store(&state->phase, VLM_JOB_DECODES);
}

static void note_progress(struct vlm_work *work, struct vlm_work_branch *branch)
{
    const struct vlm_decoder_progress progress =
        vlm_decoder_progress(work->decoder, branch->stream);
    branch->cached = progress.cached;
    branch->done = progress.done;
    branch->drew = progress.drew;
    const double now = vlm_now();
    if (!branch->state->wants_progress || branch->first > 0 ||
        now - branch->progress_told < PROGRESS_INTERVAL)
        return;
    branch->progress_told = now;
    message_of(work, branch, VLM_JOB_PROMPT, 0);
}

/* vlm_decoder_fn */
static void report(void *context, struct vlm_stream *stream, int rc, const struct vlm_err *err)
{
    struct vlm_work *work = context;
    struct vlm_work_branch *branch = find_branch(work, stream);
    struct vlm_job_state *state = branch->state;
    if (rc != VLM_OK) {
        if (rc == VLM_EFORMAT)
            atomic_store(&work->failed, true);
        fail_job(state, rc, err);
        close_branch(work, branch);
        return;
    }
    note_progress(work, branch);
    if (branch->first <= 0 && branch->drew && stream->n_drawn == branch->told) {
        branch->first = branch->last =
            vlm_now(); /* of beams, which tell their tokens when they are over */
        atomic_store(&state->phase, VLM_JOB_DECODES);
    }
    if (stream->n_drawn > branch->told) {
        count_tokens(work, branch);
        tell_tokens(work, branch, branch->likely);
        branch->told = stream->n_drawn;
    }
    if (stream->over && !state->failing)
        tell_branch(work, branch);
    if (stream->over)
        close_branch(work, branch);
    if (state->over == state->n_branches && !state->failing) {
        state->last->event.kind = VLM_JOB_DONE;
        tell_last(work, state);
    }
}

/* ---- jobs that end early ---- */

/* Takes the job's streams out of the decoder. */
static void stop_branches(struct vlm_work *work, struct vlm_job_state *state)
{
    for (size_t i = 0; i < state->n_branches; i++)
        if (i < state->begun && state->branch[i].stream) {
            vlm_decoder_remove(work->decoder, state->branch[i].stream);
            close_branch(work, &state->branch[i]);
        }
}

static bool is_late(const struct vlm_job_state *state, double now)
{
    return state->deadline > 0 && now >= state->deadline;
}

static void fail_late(struct vlm_job_state *state)
{
    struct vlm_err err = { 0 };
    fail_job(state,
             vlm_fail(&err, VLM_ESTOPPED, "the request took longer than %g seconds", state->limit),
             &err);
}

static void fail_ending(struct vlm_job_state *state)
{
    struct vlm_err err = { 0 };
    fail_job(state, vlm_fail(&err, VLM_ESTOPPED, "the server is stopping"), &err);
}

/* Jobs that nobody waits for, that are late, that have failed. A cancelled job's last message is only a sign that its
 * state may go. */
static void end_running(struct vlm_work *work, bool ending)
{
    const double now = vlm_now();
    for (struct vlm_job_state *state = work->running, *next; state; state = next) {
        next = state->next;
        const bool cancelled = atomic_load(&state->cancelled);
        if (ending && !cancelled)
            fail_ending(state);
        else if (is_late(state, now))
            fail_late(state);
        if (!cancelled && !state->failing)
            continue;
        stop_branches(work, state);
        tell_last(work, state);
    }
}

/* Jobs of the queue that are late, or all; under the lock. */
static void end_waiting(struct vlm_work *work, bool ending)
{
    const double now = vlm_now();
    for (struct vlm_job_state **at = &work->waiting; *at;) {
        struct vlm_job_state *state = *at;
        if (!ending && !is_late(state, now)) {
            at = &state->next;
            continue;
        }
        *at = state->next;
        state->next = NULL;
        state->is_waiting = false;
        work->n_waiting--;
        if (ending)
            fail_ending(state);
        else
            fail_late(state);
        tell_last(work, state);
    }
    work->waiting_end = &work->waiting;
    while (*work->waiting_end)
        work->waiting_end = &(*work->waiting_end)->next;
}

/* ---- jobs that begin ---- */

enum taken { TAKEN_NONE, TAKEN_NO_ROOM, TAKEN };

/* The first of the queue among those that run, when its first branch has room. */
static enum taken take_waiting(struct vlm_work *work, struct vlm_job_state **out)
{
    struct vlm_metrics *metrics = work->options.metrics;
    enum taken taken = TAKEN_NONE;
    pthread_mutex_lock(&work->lock);
    struct vlm_job_state *state = *out = work->waiting;
    if (state)
        taken = vlm_decoder_has_room(work->decoder, state->branch[0].stream->n_lanes)
                    ? TAKEN
                    : TAKEN_NO_ROOM;
    if (taken == TAKEN) {
        work->waiting = state->next;
        if (!work->waiting)
            work->waiting_end = &work->waiting;
        work->n_waiting--;
        state->is_waiting = false;
        vlm_metrics_set(metrics, VLM_METRIC_WAITING, (int64_t)work->n_waiting);
    }
    pthread_mutex_unlock(&work->lock);
    if (taken != TAKEN)
        return taken;
    struct vlm_job_state **end = &work->running;
    while (*end)
        end = &(*end)->next;
    state->next = NULL;
    *end = state;
    atomic_store(&state->phase, VLM_JOB_PREFILLS);
    vlm_metrics_observe(metrics, VLM_HISTOGRAM_QUEUE, vlm_now() - state->submitted);
    vlm_metrics_add(metrics, VLM_METRIC_PROMPT_TEXT, (int64_t)state->prompt_text);
    vlm_metrics_add(metrics, VLM_METRIC_PROMPT_IMAGE, (int64_t)state->prompt_image);
    return TAKEN;
}

/* The job whose branch is next; NULL: none, or it has no room yet. */
static struct vlm_job_state *next_job(struct vlm_work *work)
{
    struct vlm_job_state *best = NULL, *first;
    for (struct vlm_job_state *state = work->running; state; state = state->next)
        if (!state->failing && !atomic_load(&state->cancelled) &&
            state->begun < state->n_branches && (!best || state->running < best->running))
            best = state;
    if (best && !best->running)
        return best;
    const enum taken taken = take_waiting(work, &first);
    return taken == TAKEN ? first : taken == TAKEN_NO_ROOM ? NULL : best;
}

/* The next branch of a job into the decoder; false: there is no room. A failure ends the job. */
static bool begin_branch(struct vlm_work *work, struct vlm_job_state *state)
{
    struct vlm_work_branch *branch = &state->branch[state->begun];
    struct vlm_err err = { 0 };
    int rc = VLM_OK;
    if (!branch->stream) {
        pthread_mutex_lock(&work->making);
        if (!atomic_load(&state->cancelled))
            rc = vlm_work_make(work, branch, &state->sources[branch->index], &err);
        pthread_mutex_unlock(&work->making);
    }
    if (rc == VLM_OK && !branch->stream)
        return true; /* cancelled */
    if (rc == VLM_OK && !vlm_decoder_has_room(work->decoder, branch->stream->n_lanes))
        return false;
    if (rc == VLM_OK)
        rc = vlm_decoder_add(work->decoder, branch->stream, &err);
    if (rc != VLM_OK) {
        fail_job(state, rc, &err);
        return true;
    }
    branch->added = vlm_now();
    work->active[work->n_active++] = branch;
    if (!state->begun++)
        message_of(work, branch, VLM_JOB_STARTED, 0);
    state->running++;
    return true;
}

static void admit(struct vlm_work *work)
{
    struct vlm_job_state *state;
    while ((state = next_job(work)) && begin_branch(work, state))
        ;
}

/* ---- rounds ---- */

static size_t count_running(const struct vlm_work *work)
{
    size_t n = 0;
    for (const struct vlm_job_state *state = work->running; state; state = state->next)
        n++;
    return n;
}

static uint64_t job_of(const struct vlm_work *work, const struct vlm_stream *stream)
{
    const struct vlm_work_branch *branch = stream ? find_branch(work, stream) : NULL;
    return branch ? branch->state->number : 0;
}

/* Tokens that were drawn into a slot. Of beams, which tell theirs when they are over, as many as its rows are more. Before
 * anything is drawn none: what guidance leads away from may be longer than the prompt. */
static size_t drawn_into(const struct vlm_decoder_slot *slot)
{
    enum { DECODING = 3 };
    const struct vlm_stream *stream = slot->stream;
    if (!stream || stream->n_drawn || slot->state != DECODING || slot->rows < stream->prompt_rows)
        return stream ? stream->n_drawn : 0;
    return slot->rows - stream->prompt_rows;
}

/* What others look at: gauges, and the copy of the slots. */
static void show(struct vlm_work *work)
{
    struct vlm_metrics *metrics = work->options.metrics;
    const struct vlm_decoder_counts counts = vlm_decoder_counts(work->decoder);
    const size_t n = vlm_decoder_slots(work->decoder, work->decoder_slots, work->n_slots);
    const size_t running = count_running(work);
    size_t rows = 0;
    pthread_mutex_lock(&work->lock);
    vlm_metrics_set(metrics, VLM_METRIC_WAITING, (int64_t)work->n_waiting);
    for (size_t i = 0; i < VLM_MIN(n, work->n_slots); i++) {
        const struct vlm_decoder_slot *slot = &work->decoder_slots[i];
        work->slots[i] = (struct vlm_work_slot){ .state = slot->state,
                                                 .rows = slot->rows,
                                                 .computed = slot->computed,
                                                 .drawn = drawn_into(slot),
                                                 .job = job_of(work, slot->stream) };
        rows += slot->computed;
    }
    pthread_mutex_unlock(&work->lock);
    atomic_store(&work->n_running, running);
    vlm_metrics_set(metrics, VLM_METRIC_RUNNING, (int64_t)running);
    vlm_metrics_set(metrics, VLM_METRIC_CACHE_USED, (int64_t)rows);
    vlm_metrics_set(metrics, VLM_METRIC_CACHE_HITS, (int64_t)counts.cached_rows);
    vlm_metrics_set(metrics, VLM_METRIC_CACHE_QUERIES,
                    (int64_t)(counts.cached_rows + counts.prompt_rows));
}

/* Sleeps while there is nothing to do, or the loop is far behind; false: the thread is to end. Late and ended jobs of the queue go here. */
static bool begin_round(struct vlm_work *work, bool *ending)
{
    pthread_mutex_lock(&work->lock);
    while (!work->stop &&
           ((!work->waiting && !work->running) || work->behind > VLM_WORK_BEHIND_MAX)) {
        work->asleep = true;
        pthread_cond_wait(&work->changed, &work->lock);
    }
    atomic_store(&work->beat, (long long)(vlm_now() * 1e9));
    work->asleep = false;
    *ending = work->ending;
    end_waiting(work, work->ending);
    const bool stop = work->stop;
    pthread_mutex_unlock(&work->lock);
    return !stop;
}

void *vlm_work_thread(void *context)
{
    struct vlm_work *work = context;
    bool ending;
    while (begin_round(work, &ending)) {
        end_running(work, ending);
        admit(work);
        show(work);
        hand_over(work);
        if (work->n_active)
            vlm_decoder_step(work->decoder, report, work);
        show(work);
        hand_over(work);
    }
    hand_over(work);
    return NULL;
}
