/* call_events.c - what comes of a call's job: tokens become texts, and codes of pictures (call_images.c), of the fills
 * of each choice. Functions that may end the call return false when it is gone. */
#include "base/vlm.h"
#include "serve/api/call.h"

#include "base/progress.h"
#include "serve/api/call_internal.h"

#include <event2/event.h>

/* ---- texts ---- */

/* Text that has become certain, from `was` on in the fill. False: the call is gone. */
static bool tell_text(struct vlm_call *call, struct vlm_call_choice *choice, size_t number,
                      size_t was)
{
    struct vlm_call_fill *fill = &choice->fills[number];
    const size_t n = fill->text.size - was;
    struct vlm_call_piece *last = fill->n_pieces ? &fill->pieces[fill->n_pieces - 1] : NULL;
    if (n && (!last || last->image)) {
        last = vlm_call_add_piece(fill);
        if (last)
            last->start = was;
    }
    if (fill->text.failed || (n && !last)) {
        vlm_call_fail(call, 503, NULL, "no memory for the answer");
        return false;
    }
    if (n)
        last->n += n;
    if (call->request.stream && call->kind->text && (n || choice->told < choice->n_drawn)) {
        vlm_call_start_stream(call);
        call->kind->text(call, choice, number, n ? (const char *)fill->text.data + was : "", n);
        choice->told = choice->n_drawn;
        return vlm_call_keeps_up(call);
    }
    return true;
}

/* The space in front of a mask is in the prompt already (VLM_PROMPT_SPACE). */
static void drop_space(const struct vlm_call *call, struct vlm_call_choice *choice, size_t number)
{
    struct vlm_call_fill *fill = &choice->fills[number];
    const struct vlm_prompt *made = &call->prompts[choice->prompt].made;
    if (fill->space_dropped || !fill->text.size)
        return;
    fill->space_dropped = true;
    if (number < made->n_masks && made->space[number] && fill->text.data[0] == ' ')
        memmove(fill->text.data, fill->text.data + 1, --fill->text.size);
}

static bool add_text(struct vlm_call *call, struct vlm_call_choice *choice, size_t number,
                     uint32_t id)
{
    struct vlm_call_fill *fill = &choice->fills[number];
    const size_t was = fill->text.size;
    fill->open = NULL;
    vlm_spell_token(&fill->spell, &fill->text, id);
    drop_space(call, choice, number);
    return tell_text(call, choice, number, was);
}

/* What the speller held back: nothing more comes, or a picture does. */
static bool flush_text(struct vlm_call *call, struct vlm_call_choice *choice, size_t number)
{
    struct vlm_call_fill *fill = &choice->fills[number];
    const size_t was = fill->text.size;
    vlm_spell_end(&fill->spell, &fill->text);
    drop_space(call, choice, number);
    return tell_text(call, choice, number, was);
}

/* ---- tokens ---- */

static bool keep_drawn(struct vlm_call *call, struct vlm_call_choice *choice,
                       const struct vlm_drawn *drawn, const struct vlm_likely *likely)
{
    if (call->request.logprobs < 0 && !call->request.return_tokens)
        return true;
    const size_t n_likely = call->job.branches[choice - call->choices].options.likely;
    if (choice->n_drawn == choice->drawn_capacity) {
        const size_t capacity = choice->drawn_capacity ? 2 * choice->drawn_capacity : 64;
        struct vlm_drawn *list = realloc(choice->drawn, capacity * sizeof(*list));
        if (!list)
            return false;
        choice->drawn = list;
        struct vlm_likely *more =
            realloc(choice->likely, (capacity * n_likely + 1) * sizeof(*more));
        if (!more)
            return false;
        choice->likely = more;
        choice->drawn_capacity = capacity;
    }
    choice->drawn[choice->n_drawn] = *drawn;
    if (n_likely)
        memcpy(choice->likely + choice->n_drawn * n_likely, likely, n_likely * sizeof(*likely));
    choice->n_drawn++;
    return true;
}

/* False: the call is gone. */
static bool on_drawn(struct vlm_call *call, struct vlm_call_choice *choice,
                     const struct vlm_drawn *drawn, const struct vlm_likely *likely)
{
    const struct vlm_vocabulary *vocabulary = call->service->choices->vocabulary;
    struct vlm_call_fill *fill = &choice->fills[drawn->fill];
    /* An end is no token of the answer's text, and clients join the tokens to it. */
    if (!drawn->forced && !drawn->end && !keep_drawn(call, choice, drawn, likely)) {
        vlm_call_fail(call, 503, NULL, "no memory for the answer");
        return false;
    }
    choice->generated += !drawn->forced;
    choice->n_fills = VLM_MAX(choice->n_fills, drawn->fill + (size_t)1);
    if (drawn->end)
        return true;
    bool good;
    if (vlm_vocabulary_is_code(vocabulary, drawn->id))
        good = (fill->open || flush_text(call, choice, drawn->fill)) &&
               vlm_call_add_code(call, choice, drawn->fill, drawn->id - vocabulary->first_code,
                                 drawn->forced ? VLM_CODE_FORCED : VLM_CODE_DRAWN);
    else
        good = add_text(call, choice, drawn->fill, drawn->id);
    if (good) {
        fill->begun = true;
        fill->tokens += !drawn->forced;
    }
    return good;
}

void vlm_call_replay(struct vlm_call *call, const uint32_t *ids, size_t n)
{
    if (!vlm_call_prompts(call, 1))
        return;
    call->choices = calloc(1, sizeof(*call->choices));
    if (!call->choices) {
        vlm_call_fail(call, 503, NULL, "no memory for the answer");
        return;
    }
    struct vlm_call_choice *choice = &call->choices[0];
    call->n_choices = 1;
    call->request.logprobs = -1;
    vlm_spell_init(&choice->fills[0].spell, call->service->choices->vocabulary, NULL, 0);
    for (size_t i = 0; i < n; i++) {
        const struct vlm_drawn drawn = { .id = ids[i] };
        if (!on_drawn(call, choice, &drawn, NULL))
            return;
    }
    if (!flush_text(call, choice, 0) || !vlm_call_finish_open(call, choice))
        return;
    choice->finish = "stop";
    choice->over = call->job_over = true;
    if (!vlm_call_check_choice(call, choice))
        return;
}

/* ---- the end of a choice ---- */

/* The stop reason of a whole answer. */
static const char *finish_word(const struct vlm_answer *answer)
{
    for (size_t i = 0; i < answer->n_fills; i++)
        if (answer->why[i] == VLM_STOP_LIMIT)
            return "length";
    return "stop";
}

/* The likeliest in the place of each token of a score. False: the call is gone. */
static bool keep_likely(struct vlm_call *call, struct vlm_call_choice *choice,
                        const struct vlm_job_event *event)
{
    const size_t n = event->n * call->job.branches[event->branch].prompt.likely;
    if (!n)
        return true;
    choice->likely = malloc(n * sizeof(*choice->likely));
    if (!choice->likely) {
        vlm_call_fail(call, 503, NULL, "no memory for the answer");
        return false;
    }
    memcpy(choice->likely, event->likely, n * sizeof(*choice->likely));
    return true;
}

/* False: the call is gone. */
static bool on_branch(struct vlm_call *call, struct vlm_call_choice *choice,
                      const struct vlm_job_event *event)
{
    choice->cached = event->cached;
    choice->prompt_seconds = event->prompt_seconds;
    choice->decode_seconds = event->decode_seconds;
    choice->finish = "stop";
    if (event->losses) {
        choice->losses = malloc((event->n + 1) * sizeof(*choice->losses));
        if (!choice->losses) {
            vlm_call_fail(call, 503, NULL, "no memory for the answer");
            return false;
        }
        memcpy(choice->losses, event->losses, event->n * sizeof(*choice->losses));
        choice->n_losses = event->n;
        if (!keep_likely(call, choice, event))
            return false;
    }
    const struct vlm_answer *answer = event->answer;
    if (answer) {
        choice->n_fills = answer->n_fills;
        choice->log_likelihood = answer->log_likelihood;
        choice->generated = answer->generated;
        choice->finish = finish_word(answer);
        for (size_t i = 0; i < answer->n_fills; i++) {
            choice->fills[i].why = answer->why[i];
            if (!flush_text(call, choice, i))
                return false;
        }
        if (!vlm_call_finish_images(call, choice, answer))
            return false;
    }
    choice->over = true;
    if (event->losses && call->request.stream && call->kind->scored) {
        vlm_call_start_stream(call);
        call->kind->scored(call, choice->prompt);
    }
    return vlm_call_check_choice(call, choice);
}

/* What a choice has so far is all that there will be. False: the call is gone. */
static bool cut_choice(struct vlm_call *call, struct vlm_call_choice *choice)
{
    const struct vlm_call_prompt *prompt = &call->prompts[choice->prompt];
    const size_t last = choice->n_fills ? choice->n_fills - 1 : 0;
    choice->n_fills = VLM_MAX(choice->n_fills, VLM_MAX(prompt->made.n_masks, (size_t)1));
    for (size_t i = 0; i < choice->n_fills; i++) {
        const size_t each =
            prompt->mask_tokens[i] ? prompt->mask_tokens[i] : call->request.options.max_tokens;
        const bool whole = i < last && (!each || choice->fills[i].tokens < each);
        choice->fills[i].why = whole ? VLM_STOP_END : VLM_STOP_LIMIT;
        if (!flush_text(call, choice, i))
            return false;
    }
    if (!vlm_call_finish_open(call, choice))
        return false;
    choice->decode_seconds = vlm_now() - call->first_token;
    choice->finish = "length";
    choice->over = true;
    return true;
}

/* t_max_predict_ms is over. */
static void on_enough(evutil_socket_t none, short what, void *argument)
{
    struct vlm_call *call = argument;
    (void)none, (void)what;
    if (!call->submitted)
        return;
    vlm_work_cancel(call->service->work, &call->job);
    call->submitted = false;
    call->job_over = true;
    for (size_t i = 0; i < call->n_choices + call->n_scores; i++)
        if (!call->choices[i].over && !cut_choice(call, &call->choices[i]))
            return;
    for (size_t i = 0, n = call->n_choices + call->n_scores; i < n; i++)
        if (!vlm_call_check_choice(call, &call->choices[i]))
            return;
}

static bool start_enough(struct vlm_call *call)
{
    const double ms = call->request.predict_ms;
    if (ms <= 0)
        return true;
    const struct timeval after = vlm_timeval(ms / 1e3);
    call->enough = evtimer_new(call->service->base, on_enough, call);
    if (call->enough && event_add(call->enough, &after) == 0)
        return true;
    vlm_call_fail(call, 503, NULL, "no memory for a timer");
    return false;
}

void vlm_call_on_event(struct vlm_job *job, const struct vlm_job_event *event)
{
    struct vlm_call *call = job->context;
    struct vlm_call_choice *choice = &call->choices[event->branch];
    const size_t likely = call->job.branches[event->branch].options.likely;
    switch (event->kind) {
    case VLM_JOB_STARTED:
        call->queue_seconds = vlm_now() - call->queued;
        break;
    case VLM_JOB_PROMPT:
        if (call->kind->progress && call->request.stream) {
            vlm_call_start_stream(call);
            call->kind->progress(call, event);
        }
        break;
    case VLM_JOB_TOKENS:
        choice->cached = event->cached;
        if (call->first_token <= 0) {
            call->first_token = vlm_now();
            if (!start_enough(call))
                return;
        }
        for (size_t i = 0; i < event->n; i++)
            if (!on_drawn(call, choice, &event->drawn[i],
                          likely ? event->likely + i * likely : NULL))
                return;
        break;
    case VLM_JOB_BRANCH:
        if (!on_branch(call, choice, event))
            return;
        break;
    case VLM_JOB_DONE:
        call->submitted = false;
        call->job_over = true;
        if (call->n_choices && !vlm_call_check_choice(call, &call->choices[0]))
            return;
        break;
    case VLM_JOB_FAILED:
        call->submitted = false;
        vlm_call_fail_job(call, event->rc, event->err);
        break;
    }
}
