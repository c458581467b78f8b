/* connection_internal.h - what the files of serve/http share: the server, its connections, their exchanges. */
#ifndef VLM_SERVE_HTTP_CONNECTION_INTERNAL_H
#define VLM_SERVE_HTTP_CONNECTION_INTERNAL_H

#include "base/hash.h"
#include "serve/http/http_server.h"
#include "serve/http/request_body.h"
#include "serve/http/request_head.h"

#include <sys/types.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>

/* IPv4 addresses are mapped (::ffff:a.b.c.d); all zero: a UNIX socket. */
struct vlm_address {
    uint8_t byte[16];
};

struct vlm_http_server {
    struct vlm_http_options options; /* what it points to is borrowed */
    struct event_base *base;
    struct evconnlistener *listener; /* NULL: draining */
    struct event *resume;            /* listening again: after others had their turn, or a pause */
    uint8_t (*key_hashes)[VLM_SHA256_SIZE];
    size_t n_keys;
    struct vlm_connection *first;
    size_t n_connections; /* without the refused ones */
    size_t n_refused;     /* beyond connections_max, to be told so */
    size_t n_accepted;    /* ever */
    size_t n_exchanges;   /* from the call of handle until the answer is with the kernel */
    size_t body_bytes, body_bytes_max; /* memory of bodies of all connections */
    size_t unsent_bytes;               /* of answers of all connections */
    uint64_t id_seed, id_count;
    uint64_t log_lost; /* lines that could not be written since the last one that was */
    uint64_t log_lost_ever;
    bool log_cut; /* and one of them in part: the next begins on a line of its own */
    uint16_t port;
    char *socket_path; /* of a UNIX socket, NULL for TCP; with what it was when it was made */
    dev_t socket_device;
    ino_t socket_inode;
    bool draining;
};

enum vlm_connection_state {
    VLM_CONNECTION_IDLE,   /* between requests */
    VLM_CONNECTION_HEAD,   /* some of a head is there */
    VLM_CONNECTION_BODY,   /* the head is there and has passed */
    VLM_CONNECTION_ANSWER, /* handle() has the exchange */
    VLM_CONNECTION_FLUSH,  /* the answer is complete, not all of it has left */
    VLM_CONNECTION_LINGER, /* we have closed our side and drop what comes, so that the answer is not lost */
};

struct vlm_connection {
    struct vlm_http_server *http;
    struct vlm_connection *previous, *next;
    struct bufferevent *io;
    struct event *timer; /* of the state, and of a stalled reader */
    struct event *wake;  /* the answer is complete and there is nothing to wait for */
    struct event *probe; /* NULL unless the client has closed its side */
    enum vlm_connection_state state;
    struct vlm_exchange *exchange; /* NULL while idle */
    struct vlm_address remote, local;
    size_t answered;   /* requests */
    bool refused;      /* one too many */
    bool read_end;     /* EOF has been read */
    bool broken;       /* writing failed */
    bool emptied;      /* all output left since the timer of the stall was set */
    double since;      /* when the state began */
    size_t unsent;     /* bytes of answers, as counted in http->unsent_bytes */
    size_t body_seen;  /* bytes of the body that were there when its time was looked at */
    uint64_t drained;  /* bytes that left */
    uint64_t stall_at; /* drained when the timer of the stall was set */
    unsigned probed;   /* bytes of the status line that were sent as probes */
    unsigned n_probes;
};

struct vlm_exchange {
    struct vlm_connection *connection; /* NULL: the client has left and nobody wanted to know */
    struct vlm_head head;              /* request points into both */
    struct vlm_body body;
    size_t body_capacity; /* as counted in http->body_bytes */
    struct vlm_http_request request;
    struct vlm_exchange_note note;
    struct vlm_buffer headers; /* lines for the answer */
    char id[VLM_REQUEST_ID_MAX + 1];
    void (*gone)(void *argument);
    void *gone_argument;
    const char *origin; /* that gets CORS headers, NULL */
    int status;
    bool counted, begun, chunked, close, event_stream, no_body;
    bool has_cache_control, has_retry_after, line_known;
    uint64_t bytes_in, bytes_out;
    double start; /* of the request, seconds of the monotonic clock */
};

/* Takes a socket. over: it is beyond a limit, and is told so with this status; 0: it is not. */
void vlm_connection_new(struct vlm_http_server *http, evutil_socket_t fd,
                        const struct vlm_address *remote, const struct vlm_address *local,
                        int over);
/* The client is gone: tells the owner of the exchange, writes the log, closes. */
void vlm_connection_gone(struct vlm_connection *connection);
/* Output of the exchange; a failure is noticed later, on the loop. */
void vlm_connection_write(struct vlm_connection *connection, const void *bytes, size_t n);
/* The caller has given the exchange back. */
void vlm_connection_answered(struct vlm_connection *connection);

/* Host, Origin, API key: false when it has answered. Also answers preflights and OPTIONS *. */
bool vlm_gate_open(struct vlm_exchange *exchange);

bool vlm_address_is_loopback(const struct vlm_address *address);
bool vlm_address_is_local(const struct vlm_address *address); /* of a UNIX socket */
/* "127.0.0.1", "::1", "unix" */
void vlm_address_text(const struct vlm_address *address, char out[64]);

/* Frees an exchange and what it holds. */
void vlm_exchange_release(struct vlm_exchange *exchange);

#endif
