/* connection.c - one client: requests are read, handed over and answered one after the other, each with its time.
 *
 * The states are in connection_internal.h. A request is read whole, then handle() has its exchange; what the client
 * sends meanwhile stays in an input of bounded size and is looked at when the answer has left, so pipelined requests
 * need no memory and no recursion.
 *
 * A client that leaves. An error of the socket (RST) is a client that has left. EOF is not: the client may have closed
 * its sending side only, and wait. On a UNIX socket poll() tells the two apart. On TCP only an answer to something that
 * we send does, so the first bytes of the status line are sent, one a probe: each answer begins with them, so nothing
 * is said that is not true, and the kernel of a client that has closed returns RST, which the next look a moment later
 * sees. In an event stream the probe is an empty comment. When there is nothing left to probe with, a client that
 * closed its side is waited for until writing fails. */
#include "base/vlm.h"
#include "serve/http/connection_internal.h"

#include "base/progress.h"
#include "base/random.h"
#include "serve/http/access_log.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

enum {
    INPUT_MAX = 16384, /* of what is not looked at yet */
    RATE_MIN = 1024,   /* bytes a second, of bodies and of answers */
    LINGER_SECONDS = 2,
    UNSENT_MAX = 256 << 20, /* bytes of all answers together that clients have not taken */
    PROBE_MS = 50,          /* the second probe; then twice as long each time */
    PROBE_MS_MAX = 1000,
    LOOK_MS = 5, /* from a probe to its answer, on the same machine or network */
};

#define SLOW_SECONDS 1.0 /* of a body that may have to make room for others */

static const char status_start[] = "HTTP/1.1 ";

static void set_timer(struct event *timer, double seconds)
{
    const struct timeval time = vlm_timeval(VLM_MAX(seconds, 0));
    event_add(timer, &time);
}

static void enter(struct vlm_connection *connection, enum vlm_connection_state state,
                  double seconds)
{
    connection->state = state;
    connection->since = vlm_now();
    if (seconds > 0)
        set_timer(connection->timer, seconds);
    else
        event_del(connection->timer);
}

static struct evbuffer *input_of(const struct vlm_connection *connection)
{
    return bufferevent_get_input(connection->io);
}

static size_t unsent(const struct vlm_connection *connection)
{
    return evbuffer_get_length(bufferevent_get_output(connection->io));
}

/* ---- the end ---- */

static void count_body(struct vlm_connection *connection, size_t capacity)
{
    struct vlm_exchange *exchange = connection->exchange;
    connection->http->body_bytes += capacity;
    connection->http->body_bytes -= exchange->body_capacity;
    exchange->body_capacity = capacity;
}

/* Writes its line of the log. The exchange lives on while somebody has it who was not told that the client left. */
static void drop_exchange(struct vlm_connection *connection, int status, bool owned)
{
    struct vlm_exchange *exchange = connection->exchange;
    if (exchange->counted || exchange->begun)
        vlm_access_log(exchange, status);
    count_body(connection, 0);
    connection->http->n_exchanges -= exchange->counted;
    connection->exchange = NULL;
    exchange->connection = NULL;
    if (!owned)
        vlm_exchange_release(exchange);
}

static void close_connection(struct vlm_connection *connection)
{
    struct vlm_http_server *http = connection->http;
    http->unsent_bytes -= connection->unsent;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        http->first = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    if (connection->refused)
        http->n_refused--;
    else
        http->n_connections--;
    event_free(connection->timer);
    event_free(connection->wake);
    if (connection->probe)
        event_free(connection->probe);
    bufferevent_free(connection->io);
    free(connection);
}

void vlm_connection_gone(struct vlm_connection *connection)
{
    struct vlm_exchange *exchange = connection->exchange;
    if (exchange) {
        const bool owned = connection->state == VLM_CONNECTION_ANSWER;
        if (owned && exchange->gone)
            exchange->gone(exchange->gone_argument);
        drop_exchange(connection, 499, owned && !exchange->gone);
    }
    close_connection(connection);
}

/* Our side is closed, so that the client sees the end of the answer; closing both while it still sends would make the
 * kernel throw the answer away (RFC 9112 §9.6). */
static void linger(struct vlm_connection *connection)
{
    if (connection->read_end) {
        close_connection(connection);
        return;
    }
    shutdown(bufferevent_getfd(connection->io), SHUT_WR);
    evbuffer_drain(input_of(connection), evbuffer_get_length(input_of(connection)));
    enter(connection, VLM_CONNECTION_LINGER, LINGER_SECONDS);
}

/* ---- requests ---- */

/* An answer of our own to a request that is not, or not wholly, read. */
static void refuse(struct vlm_connection *connection, int status, const char *why)
{
    struct vlm_exchange *exchange = connection->exchange;
    exchange->close = true;
    vlm_buffer_release(&exchange->body.bytes); /* the rest may hold why */
    count_body(connection, 0);
    enter(connection, VLM_CONNECTION_ANSWER, 0);
    if (status == 405)
        vlm_exchange_header(exchange, "Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS");
    vlm_exchange_error(exchange, status, NULL, "%s", why);
}

static void set_id(struct vlm_exchange *exchange)
{
    struct vlm_http_server *http = exchange->connection->http;
    const char *id = vlm_head_field(&exchange->head, "x-request-id", NULL);
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    size_t n = id ? strspn(id, letters) : 0;
    if (n && n <= VLM_REQUEST_ID_MAX && !id[n])
        memcpy(exchange->id, id, n + 1);
    else
        snprintf(exchange->id, sizeof(exchange->id), "req-%016" PRIx64,
                 vlm_random_mix(http->id_seed + http->id_count++));
}

static bool begin_request(struct vlm_connection *connection)
{
    struct vlm_exchange *exchange = calloc(1, sizeof(*exchange));
    if (!exchange) {
        close_connection(connection);
        return false;
    }
    exchange->connection = connection;
    exchange->start = vlm_now();
    exchange->request = (struct vlm_http_request){
        .path = "", .query = "", .content_type = "", .boundary = "", .id = exchange->id
    };
    set_id(exchange);
    connection->exchange = exchange;
    connection->emptied = true;
    enter(connection, VLM_CONNECTION_HEAD, connection->http->options.head_seconds);
    return true;
}

static void start_probing(struct vlm_connection *connection);

/* While handle() has the exchange: EOF was read before, behind this request, or the input is full and EOF is not seen. */
static void watch_input(struct vlm_connection *connection)
{
    const bool full = evbuffer_get_length(input_of(connection)) >= INPUT_MAX;
    if (full) /* not by a high watermark: above one libevent 2.1 calls the reader again and again */
        bufferevent_disable(connection->io, EV_READ);
    if (full || connection->read_end)
        start_probing(connection);
}

static void hand_over(struct vlm_connection *connection)
{
    struct vlm_exchange *exchange = connection->exchange;
    exchange->request.body = exchange->body.bytes.data;
    exchange->request.body_n = exchange->body.bytes.size;
    exchange->counted = true;
    connection->http->n_exchanges++;
    enter(connection, VLM_CONNECTION_ANSWER, 0);
    watch_input(connection);
    connection->http->options.handle(connection->http->options.context, exchange);
}

/* The head is complete: whether the body may come. */
static void take_head(struct vlm_connection *connection)
{
    struct vlm_exchange *exchange = connection->exchange;
    const struct vlm_http_server *http = connection->http;
    const struct vlm_head *head = &exchange->head;
    exchange->request.method = head->method;
    exchange->request.path = vlm_head_text(head, head->path);
    exchange->request.query = vlm_head_text(head, head->query);
    exchange->request.content_type = vlm_head_text(head, head->content_type);
    exchange->request.boundary = vlm_head_text(head, head->boundary);
    exchange->line_known = true;
    set_id(exchange);
    enum vlm_head_result result = vlm_body_begin(&exchange->body, head, http->options.body_max);
    enter(connection, VLM_CONNECTION_ANSWER, 0);
    /* A refusal with a body to come ends the connection: nobody knows whether the body comes. */
    exchange->close = result != VLM_HEAD_DONE;
    if (!vlm_gate_open(exchange))
        return;
    if (result == VLM_HEAD_BAD) {
        refuse(connection, exchange->body.status, exchange->body.why);
        return;
    }
    exchange->close = false;
    if (result == VLM_HEAD_DONE) {
        hand_over(connection);
        return;
    }
    connection->body_seen = 0;
    enter(connection, VLM_CONNECTION_BODY, http->options.body_seconds);
    if (head->expects_continue && !evbuffer_get_length(input_of(connection))) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        vlm_connection_write(connection, go_on, sizeof(go_on) - 1);
    }
}

/* Whose body has to go when there is no memory for all: the one that has been coming for longest, so that clients who
 * hold back the ends of theirs do not shut out the others; this one when all are as new. */
static struct vlm_connection *slowest_body(struct vlm_connection *connection)
{
    struct vlm_connection *found = connection;
    const double now = vlm_now();
    for (struct vlm_connection *c = connection->http->first; c; c = c->next)
        if (c->state == VLM_CONNECTION_BODY && now - c->since >= SLOW_SECONDS &&
            c->since < found->since)
            found = c;
    return found;
}

/* Feeds the first stretch of the input to the parser of the state. */
static void read_some(struct vlm_connection *connection)
{
    struct vlm_exchange *exchange = connection->exchange;
    struct vlm_http_server *http = connection->http;
    struct evbuffer_iovec part;
    size_t used;
    if (evbuffer_peek(input_of(connection), -1, NULL, &part, 1) < 1)
        return;
    const bool in_head = connection->state == VLM_CONNECTION_HEAD;
    enum vlm_head_result result =
        in_head ? vlm_head_feed(&exchange->head, part.iov_base, part.iov_len, &used)
                : vlm_body_feed(&exchange->body, part.iov_base, part.iov_len, &used);
    evbuffer_drain(input_of(connection), used);
    exchange->bytes_in += used;
    if (!in_head)
        count_body(connection, exchange->body.bytes.capacity);
    if (result == VLM_HEAD_BAD)
        refuse(connection, in_head ? exchange->head.status : exchange->body.status,
               in_head ? exchange->head.why : exchange->body.why);
    else if (result == VLM_HEAD_DONE && in_head)
        take_head(connection);
    else if (result == VLM_HEAD_DONE)
        hand_over(connection);
    else if (!in_head && http->body_bytes > http->body_bytes_max)
        refuse(slowest_body(connection), 503, "there is no memory for the body now");
}

/* Goes on as far as the input reaches. The connection may be gone afterwards. */
static void go_on(struct vlm_connection *connection)
{
    while (connection->state < VLM_CONNECTION_ANSWER) {
        if (!evbuffer_get_length(input_of(connection))) {
            if (connection->read_end && connection->state == VLM_CONNECTION_IDLE)
                close_connection(connection);
            else if (connection->read_end)
                refuse(connection, 400, "the request ends early");
            return;
        }
        if (connection->state == VLM_CONNECTION_IDLE && !begin_request(connection))
            return;
        read_some(connection);
    }
    if (connection->state == VLM_CONNECTION_LINGER)
        evbuffer_drain(input_of(connection), evbuffer_get_length(input_of(connection)));
}

/* ---- answers ---- */

void vlm_connection_write(struct vlm_connection *connection, const void *bytes, size_t n)
{
    if (connection->exchange)
        connection->exchange->bytes_out += n;
    if (bufferevent_write(connection->io, bytes, n)) {
        connection->broken = true;
        event_active(connection->wake, 0, 0);
    }
    if (connection->state >= VLM_CONNECTION_ANSWER &&
        !event_pending(connection->timer, EV_TIMEOUT, NULL)) {
        connection->emptied = false;
        connection->stall_at = connection->drained;
        set_timer(connection->timer, connection->http->options.write_seconds);
    }
}

void vlm_connection_answered(struct vlm_connection *connection)
{
    connection->state = VLM_CONNECTION_FLUSH;
    if (!connection->exchange->counted) {
        connection->exchange->counted = true;
        connection->http->n_exchanges++;
    }
    if (!unsent(connection) || connection->broken)
        event_active(connection->wake, 0, 0);
}

/* All of the answer is with the kernel. */
static void flushed(struct vlm_connection *connection)
{
    struct vlm_exchange *exchange = connection->exchange;
    const bool close = exchange->close || connection->http->draining;
    drop_exchange(connection, exchange->status, false);
    connection->answered++;
    connection->probed = 0;
    if (!connection->read_end)
        bufferevent_enable(connection->io, EV_READ);
    if (close) {
        linger(connection);
        return;
    }
    enter(connection, VLM_CONNECTION_IDLE, connection->http->options.idle_seconds);
    go_on(connection);
}

/* ---- a client that has closed its side ---- */

/* What the kernel knows: POLLHUP or POLLERR, the socket is of no use to anybody; POLLRDHUP, the client has closed its
 * side, maybe behind bytes that are not read. */
static short look(const struct vlm_connection *connection)
{
    struct pollfd fd = { .fd = bufferevent_getfd(connection->io), .events = POLLRDHUP };
    return poll(&fd, 1, 0) > 0 ? fd.revents : 0;
}

static void send_probe(struct vlm_connection *connection)
{
    struct vlm_exchange *exchange = connection->exchange;
    if (connection->state != VLM_CONNECTION_ANSWER ||
        unsent(connection)) /* an answer is a probe itself */
        return;
    if (!exchange->begun && connection->probed < sizeof(status_start) - 1)
        vlm_connection_write(connection, status_start + connection->probed++, 1);
    else if (exchange->begun && exchange->event_stream && !exchange->no_body)
        vlm_exchange_send(exchange, ":\n\n", 3);
}

/* A probe, a look at what came back, a pause, and again. While the client has not closed its side, but there is more
 * input than is read, only looks. */
static void on_probe(evutil_socket_t fd, short what, void *argument)
{
    struct vlm_connection *connection = argument;
    (void)fd, (void)what;
    if (connection->state != VLM_CONNECTION_ANSWER && connection->state != VLM_CONNECTION_FLUSH)
        return;
    const short seen = look(connection);
    if (seen & (POLLHUP | POLLERR)) {
        vlm_connection_gone(connection);
        return;
    }
    if (!connection->read_end && !(seen & POLLRDHUP)) {
        set_timer(connection->probe, PROBE_MS * 1e-3);
        return;
    }
    const unsigned step = connection->n_probes++;
    if (step % 2 == 0) {
        send_probe(connection);
        set_timer(connection->probe, LOOK_MS * 1e-3);
        return;
    }
    const unsigned doubled = VLM_MIN(step / 2, 10);
    set_timer(connection->probe, VLM_MIN(PROBE_MS << doubled, PROBE_MS_MAX) * 1e-3);
}

/* The loop does not tell any more whether the client is there. */
static void start_probing(struct vlm_connection *connection)
{
    if (!connection->probe)
        connection->probe = evtimer_new(connection->http->base, on_probe, connection);
    connection->n_probes = 0;
    if (connection->probe) {
        set_timer(connection->probe, 0);
    } else {
        connection->broken = true;
        event_active(connection->wake, 0, 0);
    }
}

static void read_ended(struct vlm_connection *connection)
{
    connection->read_end = true;
    if (connection->state == VLM_CONNECTION_LINGER)
        close_connection(connection);
    else if (connection->state < VLM_CONNECTION_ANSWER)
        go_on(connection);
    else
        start_probing(connection);
}

/* ---- what the loop calls ---- */

static void on_read(struct bufferevent *io, void *argument)
{
    struct vlm_connection *connection = argument;
    (void)io;
    if (connection->state == VLM_CONNECTION_ANSWER || connection->state == VLM_CONNECTION_FLUSH)
        watch_input(connection);
    else
        go_on(connection);
}

static void on_written(struct bufferevent *io, void *argument)
{
    struct vlm_connection *connection = argument;
    (void)io;
    connection->emptied = true;
    if (connection->state == VLM_CONNECTION_FLUSH && !connection->broken)
        flushed(connection);
}

static void on_event(struct bufferevent *io, short what, void *argument)
{
    (void)io;
    if (what & BEV_EVENT_ERROR)
        vlm_connection_gone(argument);
    else if (what & BEV_EVENT_EOF)
        read_ended(argument);
}

static void on_wake(evutil_socket_t fd, short what, void *argument)
{
    struct vlm_connection *connection = argument;
    (void)fd, (void)what;
    if (connection->broken)
        vlm_connection_gone(connection);
    else if (connection->state == VLM_CONNECTION_FLUSH && !unsent(connection))
        flushed(connection);
}

static void count_unsent(struct vlm_connection *connection, size_t size)
{
    connection->http->unsent_bytes += size;
    connection->http->unsent_bytes -= connection->unsent;
    connection->unsent = size;
}

/* Gives up the client that leaves most of its answer with us; not the one that gets it just now, unless it is alone. Memory
 * goes back at once: the loop may have more to do before it comes to that client. */
static void give_up_largest(const struct vlm_http_server *http, struct vlm_connection *growing)
{
    struct vlm_connection *found = growing;
    for (struct vlm_connection *c = http->first; c; c = c->next)
        if (c != growing && c->unsent && (found == growing || c->unsent > found->unsent))
            found = c;
    found->broken = true;
    count_unsent(found, 0);
    event_active(found->wake, 0, 0);
    if (found == growing) /* libevent is in the middle of its output */
        return;
    struct evbuffer *output = bufferevent_get_output(found->io);
    evbuffer_unfreeze(output, 1);
    evbuffer_drain(output, evbuffer_get_length(output));
    evbuffer_freeze(output, 1);
}

static void on_drained(struct evbuffer *output, const struct evbuffer_cb_info *info, void *argument)
{
    struct vlm_connection *connection = argument;
    connection->drained += info->n_deleted;
    if (connection->broken) /* not counted any more; maybe emptied by what is below */
        return;
    count_unsent(connection, evbuffer_get_length(output));
    while (connection->http->unsent_bytes > UNSENT_MAX)
        give_up_largest(connection->http, connection);
}

/* A reader is too slow when its output was never empty in write_seconds and moved by less than RATE_MIN. */
static void check_stall(struct vlm_connection *connection)
{
    const double seconds = connection->http->options.write_seconds;
    if (!unsent(connection))
        return;
    if (!connection->emptied &&
        (double)(connection->drained - connection->stall_at) < seconds * RATE_MIN) {
        vlm_connection_gone(connection);
        return;
    }
    connection->emptied = false;
    connection->stall_at = connection->drained;
    set_timer(connection->timer, seconds);
}

/* A body has body_seconds, and again as long as often as it brought RATE_MIN in that time. */
static void check_body(struct vlm_connection *connection)
{
    const double seconds = connection->http->options.body_seconds;
    const size_t size = connection->exchange->body.bytes.size;
    if ((double)(size - connection->body_seen) < seconds * RATE_MIN) {
        refuse(connection, 408, "the body did not come in time");
        return;
    }
    connection->body_seen = size;
    set_timer(connection->timer, seconds);
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct vlm_connection *connection = argument;
    (void)fd, (void)what;
    switch (connection->state) {
    case VLM_CONNECTION_IDLE:
    case VLM_CONNECTION_LINGER:
        vlm_connection_gone(connection);
        break;
    case VLM_CONNECTION_HEAD:
        refuse(connection, 408, "the head did not come in time");
        break;
    case VLM_CONNECTION_BODY:
        check_body(connection);
        break;
    case VLM_CONNECTION_ANSWER:
    case VLM_CONNECTION_FLUSH:
        check_stall(connection);
        break;
    }
}

/* ---- the beginning ---- */

/* Small answers leave at once; a peer whose machine vanished is noticed in about a minute. */
static void set_socket(evutil_socket_t fd, const struct vlm_http_server *http)
{
    const int on = 1, idle = 30, every = 10, times = 3;
    const unsigned stalled = (unsigned)(http->options.write_seconds * 1e3);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof(times));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stalled, sizeof(stalled));
}

static struct vlm_connection *make_connection(struct vlm_http_server *http, evutil_socket_t fd)
{
    struct vlm_connection *connection = calloc(1, sizeof(*connection));
    struct bufferevent *io = bufferevent_socket_new(http->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!io)
        evutil_closesocket(fd);
    if (connection && io) {
        connection->http = http;
        connection->io = io;
        connection->timer = evtimer_new(http->base, on_timer, connection);
        connection->wake = event_new(http->base, -1, 0, on_wake, connection);
        if (connection->timer && connection->wake &&
            evbuffer_add_cb(bufferevent_get_output(io), on_drained, connection))
            return connection;
        if (connection->timer)
            event_free(connection->timer);
        if (connection->wake)
            event_free(connection->wake);
    }
    if (io)
        bufferevent_free(io);
    free(connection);
    return NULL;
}

void vlm_connection_new(struct vlm_http_server *http, evutil_socket_t fd,
                        const struct vlm_address *remote, const struct vlm_address *local, int over)
{
    struct vlm_connection *connection = make_connection(http, fd);
    if (!connection)
        return;
    connection->remote = *remote;
    connection->local = *local;
    connection->refused = over != 0;
    if (over)
        http->n_refused++;
    else
        http->n_connections++;
    connection->next = http->first;
    if (http->first)
        http->first->previous = connection;
    http->first = connection;
    if (!vlm_address_is_local(remote))
        set_socket(fd, http);
    bufferevent_setcb(connection->io, on_read, on_written, on_event, connection);
    enter(connection, VLM_CONNECTION_IDLE, http->options.head_seconds);
    bufferevent_enable(connection->io, EV_READ | EV_WRITE);
    if (over && begin_request(connection))
        refuse(connection, over,
               over == 429 ? "there are too many connections from this address"
                           : "there are too many connections");
}
