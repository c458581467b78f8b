/* reply.c - answers: status line and fields, whole or in chunks, and the error object of the API.
 *
 * Nothing here waits: bytes go to the output of the connection and leave on the loop. Lines of fields are ours, but a
 * control character in a value becomes a space, so that no mistake elsewhere can make a second line of it. */
#include "base/vlm.h"
#include "serve/http/connection_internal.h"

#include "base/json.h"
#include "base/progress.h"

#define STATUS_START "HTTP/1.1 "

static const struct {
    int status;
    const char *reason, *type;
} statuses[] = {
    { 200, "OK", NULL },
    { 201, "Created", NULL },
    { 202, "Accepted", NULL },
    { 204, "No Content", NULL },
    { 304, "Not Modified", NULL },
    { 400, "Bad Request", "invalid_request_error" },
    { 401, "Unauthorized", "authentication_error" },
    { 403, "Forbidden", "permission_error" },
    { 404, "Not Found", "invalid_request_error" },
    { 405, "Method Not Allowed", "invalid_request_error" },
    { 406, "Not Acceptable", "invalid_request_error" },
    { 408, "Request Timeout", "invalid_request_error" },
    { 409, "Conflict", "invalid_request_error" },
    { 410, "Gone", "invalid_request_error" },
    { 411, "Length Required", "invalid_request_error" },
    { 413, "Content Too Large", "invalid_request_error" },
    { 414, "URI Too Long", "invalid_request_error" },
    { 415, "Unsupported Media Type", "invalid_request_error" },
    { 417, "Expectation Failed", "invalid_request_error" },
    { 429, "Too Many Requests", "rate_limit_error" },
    { 431, "Request Header Fields Too Large", "invalid_request_error" },
    { 451, "Unavailable For Legal Reasons", "invalid_request_error" },
    { 500, "Internal Server Error", "server_error" },
    { 503, "Service Unavailable", "unavailable_error" },
    { 505, "HTTP Version Not Supported", "not_supported_error" },
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < VLM_COUNTOF(statuses); i++)
        if (statuses[i].status == status)
            return statuses[i].reason;
    return "Unknown";
}

static const char *type_of(int status)
{
    for (size_t i = 0; i < VLM_COUNTOF(statuses); i++)
        if (statuses[i].status == status && statuses[i].type)
            return statuses[i].type;
    return status >= 500 ? "server_error" : "invalid_request_error";
}

static void add_field(struct vlm_buffer *out, const char *name, const char *value)
{
    vlm_buffer_text(out, name);
    vlm_buffer_text(out, ": ");
    for (; *value; value++)
        vlm_buffer_byte(out, (uint8_t)*value < 0x20 || *value == 0x7f ? ' ' : (uint8_t)*value);
    vlm_buffer_text(out, "\r\n");
}

void vlm_exchange_header(struct vlm_exchange *exchange, const char *name, const char *value)
{
    VLM_BUG_IF(exchange->begun);
    exchange->has_cache_control |= !evutil_ascii_strcasecmp(name, "cache-control");
    exchange->has_retry_after |= !evutil_ascii_strcasecmp(name, "retry-after");
    add_field(&exchange->headers, name, value);
}

static void add_timing(struct vlm_buffer *out, const struct vlm_exchange *exchange)
{
    const struct vlm_exchange_note *note = &exchange->note;
    if (note->queue_seconds <= 0 && note->first_token_seconds <= 0)
        return;
    vlm_buffer_text(out, "Server-Timing: ");
    if (note->queue_seconds > 0)
        vlm_buffer_printf(out, "queue;dur=%.3f, ", note->queue_seconds * 1e3);
    if (note->first_token_seconds > 0)
        vlm_buffer_printf(out, "first;dur=%.3f, ", note->first_token_seconds * 1e3);
    vlm_buffer_printf(out, "total;dur=%.3f\r\n", (vlm_now() - exchange->start) * 1e3);
}

static void add_cors(struct vlm_buffer *out, const struct vlm_exchange *exchange)
{
    if (!exchange->origin) {
        vlm_buffer_text(out, "Cross-Origin-Resource-Policy: same-origin\r\n");
        return;
    }
    add_field(out, "Access-Control-Allow-Origin", exchange->origin);
    add_field(out, "Access-Control-Expose-Headers", "X-Request-Id, Server-Timing, Retry-After");
    add_field(out, "Vary", "Origin");
}

/* length: of the body; UINT64_MAX: it is not known. */
static void write_head(struct vlm_exchange *exchange, int status, const char *content_type,
                       uint64_t length)
{
    struct vlm_connection *connection = exchange->connection;
    struct vlm_buffer out = { 0 };
    const bool bodiless = status == 204 || status == 304;
    const bool old = exchange->head.minor == 0;
    exchange->begun = true;
    exchange->status = status;
    exchange->no_body = bodiless || exchange->request.method == VLM_HTTP_HEAD;
    exchange->chunked = length == UINT64_MAX && !old && !bodiless;
    exchange->close |= exchange->head.close || (old && !exchange->head.keep_alive) ||
                       (old && length == UINT64_MAX) || connection->http->draining;
    vlm_buffer_printf(&out, STATUS_START "%d %s\r\n", status, reason_of(status));
    if (content_type)
        add_field(&out, "Content-Type", content_type);
    if (exchange->chunked)
        vlm_buffer_text(&out, "Transfer-Encoding: chunked\r\n");
    else if (length != UINT64_MAX && !bodiless)
        vlm_buffer_printf(&out, "Content-Length: %" PRIu64 "\r\n", length);
    if (exchange->close || old)
        add_field(&out, "Connection", exchange->close ? "close" : "keep-alive");
    add_field(&out, "X-Request-Id", exchange->id);
    vlm_buffer_text(&out, "X-Content-Type-Options: nosniff\r\n");
    if (!exchange->has_cache_control)
        vlm_buffer_text(&out, "Cache-Control: no-store\r\n");
    add_timing(&out, exchange);
    add_cors(&out, exchange);
    vlm_buffer_add(&out, exchange->headers.data, exchange->headers.size);
    vlm_buffer_text(&out, "\r\n");
    if (out.failed || exchange->headers.failed)
        connection->broken = true;
    else /* what probes have sent of the first line */
        vlm_connection_write(connection, out.data + connection->probed,
                             out.size - connection->probed);
    vlm_buffer_release(&out);
}

void vlm_exchange_reply(struct vlm_exchange *exchange, int status, const char *content_type,
                        const void *bytes, size_t n)
{
    if (!exchange->connection) {
        vlm_exchange_release(exchange);
        return;
    }
    VLM_BUG_IF(exchange->begun);
    write_head(exchange, status, content_type, n);
    if (!exchange->no_body)
        vlm_connection_write(exchange->connection, bytes, n);
    vlm_connection_answered(exchange->connection);
}

void vlm_exchange_begin(struct vlm_exchange *exchange, int status, const char *content_type)
{
    VLM_BUG_IF(exchange->begun);
    exchange->event_stream = content_type && !strncmp(content_type, "text/event-stream", 17);
    if (exchange->connection)
        write_head(exchange, status, content_type, UINT64_MAX);
    exchange->begun = true;
}

void vlm_exchange_send(struct vlm_exchange *exchange, const void *bytes, size_t n)
{
    VLM_BUG_IF(!exchange->begun);
    if (!exchange->connection || exchange->no_body || !n) /* an empty chunk would be the last */
        return;
    char size[24];
    if (exchange->chunked) {
        int size_n = snprintf(size, sizeof(size), "%zx\r\n", n);
        vlm_connection_write(exchange->connection, size, (size_t)size_n);
    }
    vlm_connection_write(exchange->connection, bytes, n);
    if (exchange->chunked)
        vlm_connection_write(exchange->connection, "\r\n", 2);
}

void vlm_exchange_end(struct vlm_exchange *exchange)
{
    VLM_BUG_IF(!exchange->begun);
    if (!exchange->connection) {
        vlm_exchange_release(exchange);
        return;
    }
    if (exchange->chunked && !exchange->no_body)
        vlm_connection_write(exchange->connection, "0\r\n\r\n", 5);
    vlm_connection_answered(exchange->connection);
}

size_t vlm_exchange_unsent(const struct vlm_exchange *exchange)
{
    if (!exchange->connection)
        return 0;
    return evbuffer_get_length(bufferevent_get_output(exchange->connection->io));
}

void vlm_http_error_write(struct vlm_json *json, int status, const char *param, const char *message)
{
    vlm_json_key(json, "error");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "code", (uint64_t)status);
    vlm_json_member_string(json, "message", message);
    vlm_json_member_string(json, "type", type_of(status));
    vlm_json_member_string(json, "param", param);
    vlm_json_close(json, '}');
}

void vlm_exchange_error(struct vlm_exchange *exchange, int status, const char *param,
                        const char *format, ...)
{
    char message[1024];
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    vlm_json_open(&json, '{');
    vlm_http_error_write(&json, status, param, message);
    vlm_json_close(&json, '}');
    if ((status == 429 || status == 503) && !exchange->has_retry_after)
        vlm_exchange_header(exchange, "Retry-After", "1");
    if (out.failed && exchange->connection)
        exchange->connection->broken = true;
    vlm_exchange_reply(exchange, status, "application/json",
                       out.failed ? "" : (const char *)out.data, out.failed ? 0 : out.size);
    vlm_buffer_release(&out);
}

const struct vlm_http_request *vlm_exchange_request(const struct vlm_exchange *exchange)
{
    return &exchange->request;
}

const char *vlm_exchange_field(const struct vlm_exchange *exchange, const char *name)
{
    return vlm_head_field(&exchange->head, name, NULL);
}

void vlm_exchange_on_gone(struct vlm_exchange *exchange, void (*gone)(void *argument),
                          void *argument)
{
    exchange->gone = gone;
    exchange->gone_argument = argument;
}

struct vlm_exchange_note *vlm_exchange_note(struct vlm_exchange *exchange)
{
    return &exchange->note;
}

void vlm_exchange_release(struct vlm_exchange *exchange)
{
    if (!exchange)
        return;
    vlm_buffer_release(&exchange->headers);
    vlm_head_release(&exchange->head);
    vlm_body_release(&exchange->body);
    free(exchange);
}
