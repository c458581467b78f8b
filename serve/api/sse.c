/* sse.c - events of a stream, as text/event-stream has them (WHATWG HTML, "Server-sent events"). */
#include "base/vlm.h"
#include "serve/api/sse.h"

#include "base/progress.h"

void vlm_sse_open(struct vlm_buffer *buffer, struct vlm_json *json, const char *event)
{
    *buffer = (struct vlm_buffer){ 0 };
    if (event)
        vlm_buffer_printf(buffer, "event: %s\n", event);
    vlm_buffer_text(buffer, "data: ");
    *json = (struct vlm_json){ .out = buffer };
    vlm_json_open(json, '{');
}

void vlm_sse_close(struct vlm_buffer *buffer, struct vlm_json *json)
{
    vlm_json_close(json, '}');
    vlm_buffer_text(buffer, "\n\n");
}

void vlm_sse_send(struct vlm_call *call, struct vlm_buffer *buffer, struct vlm_json *json)
{
    vlm_sse_close(buffer, json);
    if (!buffer->failed)
        vlm_exchange_send(call->exchange, buffer->data, buffer->size);
    vlm_buffer_release(buffer);
    call->sent = vlm_now();
}

void vlm_sse_done(struct vlm_call *call)
{
    static const char done[] = "data: [DONE]\n\n";
    vlm_exchange_send(call->exchange, done, sizeof(done) - 1);
}

void vlm_sse_ping(struct vlm_call *call)
{
    static const char ping[] = ": ping\n\n";
    vlm_exchange_send(call->exchange, ping, sizeof(ping) - 1);
    call->sent = vlm_now();
}

void vlm_sse_error(struct vlm_call *call, int status, const char *param, const char *message)
{
    struct vlm_buffer buffer;
    struct vlm_json json;
    vlm_sse_open(&buffer, &json, NULL);
    vlm_http_error_write(&json, status, param, message);
    vlm_sse_send(call, &buffer, &json);
}
