/* http_server.h - HTTP/1.1 for the server: requests in, answers out, on the thread of the event loop.
 *
 *   rc = vlm_http_server_new(&http, base, &(struct vlm_http_options){ .host = "127.0.0.1", .port = 8080,
 *                     .handle = answer, .context = service }, &err);
 *   static void answer(void *context, struct vlm_exchange *exchange)      // a whole request is there
 *   {
 *       const struct vlm_http_request *request = vlm_exchange_request(exchange);
 *       vlm_exchange_reply(exchange, 200, "text/plain", "hello", 5);     // now, or later
 *   }
 *
 * Requests are read strictly (RFC 9112): what is ambiguous is refused and the connection closed. Sizes are bounded
 * before memory is taken, times are total and not between bytes. Before `handle` is called a request has passed:
 * Host, Origin, API key; preflights of browsers and "OPTIONS *" are answered here. Everything happens on the loop's
 * thread. The program must ignore SIGPIPE. */
#ifndef VLM_SERVE_HTTP_SERVER_H
#define VLM_SERVE_HTTP_SERVER_H

#include "base/limits.h"

struct event_base;
struct vlm_json;
struct vlm_http_server;
struct vlm_exchange;

enum vlm_http_method {
    VLM_HTTP_GET,
    VLM_HTTP_HEAD,
    VLM_HTTP_POST,
    VLM_HTTP_PUT,
    VLM_HTTP_DELETE,
    VLM_HTTP_OPTIONS
};

struct vlm_http_request {
    enum vlm_http_method method;
    const char *path;         /* decoded, begins with "/"; no ".." */
    const char *query;        /* as sent, "" without */
    const char *content_type; /* lower case, without parameters; "" without */
    const char *boundary;     /* of multipart/form-data; "" without */
    const uint8_t *body;      /* NUL behind it */
    size_t body_n;
    const char *id; /* X-Request-Id as sent, when it is sane, else made */
};

typedef void (*vlm_http_fn)(void *context, struct vlm_exchange *exchange);

struct vlm_http_options {
    const char *host; /* address or name; a path that ends in ".sock" or has a "/": a UNIX socket */
    uint16_t port;    /* 0: any, see vlm_http_server_port() */
    unsigned socket_mode;    /* of a UNIX socket: 0660, say; 0: 0600 */
    const char *const *keys; /* [n_keys] API keys; none: all may */
    size_t n_keys;
    const char *const
        *hosts; /* [n_hosts] allowed in Host beside localhost, its addresses and `host` */
    size_t n_hosts;
    const char *const
        *origins; /* [n_origins] allowed in Origin, which get CORS headers; none: no page may */
    size_t n_origins;
    const char *const *open_paths; /* NULL at the end: answered without a key ("/health") */
    size_t body_max;               /* bytes */
    size_t connections_max, address_connections_max;
    double head_seconds, body_seconds, idle_seconds, write_seconds;
    FILE *access_log; /* NULL: none; a JSON object a line. Unbuffered: a cut line is noticed */
    vlm_http_fn handle;
    void *context;
};
#define VLM_HTTP_DEFAULTS                                                                          \
    {                                                                                              \
        .host = "127.0.0.1", .port = 8080, .body_max = 32 * VLM_MIB, .connections_max = 1024,      \
        .address_connections_max = 1024, .head_seconds = 10, .body_seconds = 30,                   \
        .idle_seconds = 15, .write_seconds = 30                                                    \
    }

/* Listens at once. Strings of the options are borrowed until vlm_http_server_free(). VLM_EUSAGE: an address that is not
 * loopback without keys; VLM_EFAIL: cannot listen, with why. */
VLM_MUST_CHECK int vlm_http_server_new(struct vlm_http_server **out, struct event_base *base,
                                       const struct vlm_http_options *options, struct vlm_err *err);
/* Other keys from now on, copied; requests under way go on. None: all may, which is the caller's to judge. After an error
 * the old ones hold. VLM_EUSAGE: an empty key; VLM_ENOMEM. */
VLM_MUST_CHECK int vlm_http_server_set_keys(struct vlm_http_server *http, const char *const *keys,
                                            size_t n, struct vlm_err *err);
uint16_t vlm_http_server_port(const struct vlm_http_server *http);
/* Drain: the listener closes; idle connections too, others after their answer. */
void vlm_http_server_stop_listening(struct vlm_http_server *http);
size_t vlm_http_server_exchanges(
    const struct vlm_http_server *http); /* requests without their whole answer */
uint64_t vlm_http_server_log_lost(const struct vlm_http_server *http); /* lines of the access log */
/* Closes everything; calls `gone` of what is open. */
void vlm_http_server_free(struct vlm_http_server *http); /* NULL is fine */

/* ---- one request and its answer ---- */

/* Valid until the answer is complete. */
const struct vlm_http_request *vlm_exchange_request(const struct vlm_exchange *exchange);
/* A header field of the request, name in lower case; NULL: it is not there. */
const char *vlm_exchange_field(const struct vlm_exchange *exchange, const char *name);

/* Called once, from the loop, if the client leaves before the answer is complete; the exchange is gone when it returns.
 * A half-closed client (shutdown of its sending side) waits for its answer and has not left: what tells the two apart is
 * said in connection.c, and takes milliseconds. Without this an exchange stays valid and what is sent to it is dropped. */
void vlm_exchange_on_gone(struct vlm_exchange *exchange, void (*gone)(void *argument),
                          void *argument);

/* A header field of the answer, before it begins. Values are ours. */
void vlm_exchange_header(struct vlm_exchange *exchange, const char *name, const char *value);

/* The whole answer; the exchange is no longer the caller's. */
void vlm_exchange_reply(struct vlm_exchange *exchange, int status, const char *content_type,
                        const void *bytes, size_t n);

/* Or in pieces, sent as they come (chunked); vlm_exchange_end() gives it back. Of text/event-stream a piece is one or
 * more whole events, because empty comments may be put between pieces. */
void vlm_exchange_begin(struct vlm_exchange *exchange, int status, const char *content_type);
void vlm_exchange_send(struct vlm_exchange *exchange, const void *bytes, size_t n);
void vlm_exchange_end(struct vlm_exchange *exchange);
size_t
vlm_exchange_unsent(const struct vlm_exchange *exchange); /* bytes that wait for a slow reader */

/* For the access log: numbers that it shows beside method, path, status, bytes and seconds. */
struct vlm_exchange_note {
    uint64_t prompt_tokens, cached_tokens, completion_tokens, images;
    double queue_seconds, first_token_seconds;
    const char *finish; /* a literal: "stop", "length", "cancelled", ...; NULL */
};
struct vlm_exchange_note *vlm_exchange_note(struct vlm_exchange *exchange);

/* The error object of the API (OpenAI's shape), {"error": {"code", "message", "type", "param"}}, as an answer; param NULL:
 * null. Used by http/ for its own refusals, and by api/. 429 and 503 get "Retry-After: 1" unless the caller has set
 * one. As vlm_exchange_reply() it gives the exchange back. */
void vlm_exchange_error(struct vlm_exchange *exchange, int status, const char *param,
                        const char *format, ...) VLM_PRINTF(4, 5);

/* Its member "error" alone, for streams. The type follows from the status. */
void vlm_http_error_write(struct vlm_json *json, int status, const char *param,
                          const char *message);

#endif
