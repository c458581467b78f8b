/* call_end.c - the stream of a call, and how a call ends well: when every choice is whole, its pictures included. */
#include "base/vlm.h"
#include "serve/api/call.h"

#include "base/progress.h"
#include "serve/api/call_internal.h"
#include "serve/api/sse.h"

#include <event2/event.h>

enum { UNSENT_MAX = 8 * 1024 * 1024 };

/* ---- a stream ---- */

void vlm_call_start_stream(struct vlm_call *call)
{
    if (call->streaming)
        return;
    vlm_exchange_header(call->exchange, "Cache-Control", "no-cache");
    vlm_exchange_header(call->exchange, "X-Accel-Buffering", "no");
    vlm_exchange_begin(call->exchange, 200, "text/event-stream");
    call->streaming = true;
    if (call->kind->begin)
        call->kind->begin(call);
}

bool vlm_call_keeps_up(struct vlm_call *call)
{
    if (vlm_exchange_unsent(call->exchange) <= UNSENT_MAX)
        return true;
    vlm_call_fail(call, 503, NULL, "the stream is read too slowly");
    return false;
}

static double ping_interval(const struct vlm_call *call)
{
    return call->request.ping_seconds > 0 ? (double)call->request.ping_seconds
                                          : call->service->ping_seconds;
}

static void on_ping(evutil_socket_t none, short what, void *argument)
{
    struct vlm_call *call = argument;
    (void)none, (void)what;
    if (vlm_now() - call->sent < ping_interval(call) / 2)
        return; /* it is not silent */
    vlm_call_start_stream(call);
    vlm_sse_ping(call);
    if (!vlm_call_keeps_up(call))
        return;
}

bool vlm_call_start_pings(struct vlm_call *call)
{
    const double seconds = ping_interval(call);
    if (!call->request.stream || seconds <= 0)
        return true;
    const struct timeval interval = vlm_timeval(seconds);
    call->timer = event_new(call->service->base, -1, EV_PERSIST, on_ping, call);
    return call->timer && event_add(call->timer, &interval) == 0;
}

/* ---- the end ---- */

static const char *finish_of(const struct vlm_call *call)
{
    return call->n_choices && call->choices[0].finish ? call->choices[0].finish : "";
}

/* For the tools of browsers (W3C, "Server Timing"), beside what serve/http says of every answer. */
static void write_server_timing(const struct vlm_call *call)
{
    char text[160];
    if (!call->n_choices)
        return;
    snprintf(text, sizeof(text), "prompt;dur=%.3f, decode;dur=%.3f",
             call->choices[0].prompt_seconds * 1e3, call->choices[0].decode_seconds * 1e3);
    vlm_exchange_header(call->exchange, "Server-Timing", text);
}

void vlm_call_complete(struct vlm_call *call)
{
    struct vlm_exchange *exchange = call->exchange;
    struct vlm_buffer out = { 0 };
    if (call->request.stream) {
        vlm_call_start_stream(call);
        if (call->kind->end)
            call->kind->end(call);
    } else {
        struct vlm_json json = { .out = &out };
        vlm_json_open(&json, '{');
        call->kind->answer(call, &json);
        vlm_call_write_warnings(call, &json);
        vlm_json_close(&json, '}');
        vlm_buffer_byte(&out, '\n');
        if (out.failed) {
            vlm_buffer_release(&out);
            vlm_call_fail(call, 503, NULL, "no memory for the answer");
            return;
        }
    }
    const bool streamed = call->streaming;
    if (!streamed)
        write_server_timing(call);
    vlm_exchange_on_gone(exchange, NULL, NULL);
    vlm_call_account(call, 200, finish_of(call));
    vlm_call_free(call);
    if (streamed)
        vlm_exchange_end(exchange);
    else
        vlm_exchange_reply(exchange, 200, "application/json", out.data, out.size);
    vlm_buffer_release(&out);
}

void vlm_call_answer_now(struct vlm_call *call, struct vlm_buffer *json)
{
    struct vlm_exchange *exchange = call->exchange;
    if (json->failed) {
        vlm_buffer_release(json);
        vlm_call_fail(call, 503, NULL, "no memory for the answer");
        return;
    }
    vlm_exchange_on_gone(exchange, NULL, NULL);
    vlm_call_account(call, 200, "");
    vlm_call_free(call);
    vlm_exchange_reply(exchange, 200, "application/json", json->data, json->size);
    vlm_buffer_release(json);
}

/* Its branch is over, and no picture of it is under way. */
static bool choice_is_whole(const struct vlm_call_choice *choice)
{
    for (size_t i = 0; i < choice->n_images; i++)
        if (choice->images[i]->task)
            return false;
    return choice->over;
}

bool vlm_call_check_choice(struct vlm_call *call, struct vlm_call_choice *choice)
{
    const bool seen = (size_t)(choice - call->choices) < call->n_choices;
    if (!choice->finished && choice_is_whole(choice)) {
        choice->finished = true;
        call->choices_over++;
        for (size_t i = 0; i < choice->n_images; i++)
            if (choice->images[i]->refused)
                choice->finish = "content_filter";
        if (call->request.stream && seen) {
            vlm_call_start_stream(call);
            if (call->kind->finish)
                call->kind->finish(call, choice);
            if (!vlm_call_keeps_up(call))
                return false;
        }
    }
    if (call->choices_over < call->n_choices + call->n_scores || !call->job_over)
        return true;
    vlm_call_complete(call);
    return false;
}
