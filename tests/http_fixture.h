/* http_fixture.h - a server in this process and raw sockets that talk to it, for the tests of serve/http.
 *
 * One thread does both: pump() lets the loop of the server do what it can, between steps of the client. */
#ifndef VLM_TESTS_HTTP_FIXTURE_H
#define VLM_TESTS_HTTP_FIXTURE_H

#include "base/buffer.h"
#include "base/progress.h"
#include "serve/http/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include <cmocka.h>

enum { HELD_MAX = 128 };

struct server {
    struct event_base *base;
    struct vlm_http_server *http;
    struct vlm_http_options options;
    struct vlm_exchange *held[HELD_MAX]; /* of /hold and /stream, NULL when its client has left */
    size_t n_held, n_handled, n_gone;
    double gone_at;
    bool tell_gone; /* asks for it */
};

struct client {
    struct server *server;
    int fd;
    struct vlm_buffer in;
    bool eof, reset;
};

static inline void client_left(void *argument)
{
    struct vlm_exchange **held = argument;
    *held = NULL;
}

static inline void handle_test(void *context, struct vlm_exchange *exchange)
{
    struct server *server = context;
    const struct vlm_http_request *request = vlm_exchange_request(exchange);
    server->n_handled++;
    if (!strcmp(request->path, "/echo")) {
        vlm_exchange_reply(exchange, 200, "text/plain", request->body, request->body_n);
    } else if (!strcmp(request->path, "/hold") || !strcmp(request->path, "/stream") ||
               !strcmp(request->path, "/chunks")) {
        assert_true(server->n_held < HELD_MAX);
        struct vlm_exchange **held = &server->held[server->n_held++];
        *held = exchange;
        if (server->tell_gone)
            vlm_exchange_on_gone(exchange, client_left, held);
        if (request->path[1] != 'h')
            vlm_exchange_begin(exchange, 200,
                               request->path[1] == 's' ? "text/event-stream" : "text/plain");
    } else if (!strcmp(request->path, "/hello")) {
        vlm_exchange_reply(exchange, 200, "text/plain", "hello", 5);
    } else {
        vlm_exchange_error(exchange, 404, "path", "there is no '%s'", request->path);
    }
}

/* Options beside host, port, handle, context come from the caller. */
static inline void start_server(struct server *server, const struct vlm_http_options *options)
{
    struct vlm_err err = { 0 };
    signal(SIGPIPE, SIG_IGN);
    *server = (struct server){ .base = event_base_new(), .options = *options, .tell_gone = true };
    assert_non_null(server->base);
    server->options.handle = handle_test;
    server->options.context = server;
    if (!strcmp(server->options.host, "127.0.0.1"))
        server->options.port = 0;
    if (vlm_http_server_new(&server->http, server->base, &server->options, &err))
        fail_msg("%s", err.msg);
}

static inline void stop_server(struct server *server)
{
    vlm_http_server_free(server->http);
    event_base_free(server->base);
}

static inline void pump(struct server *server)
{
    event_base_loop(server->base, EVLOOP_NONBLOCK);
}

static inline void pump_for(struct server *server, double seconds)
{
    const double end = vlm_now() + seconds;
    do {
        pump(server);
        poll(NULL, 0, 1);
    } while (vlm_now() < end);
    pump(server);
}

static inline void connect_client(struct client *client, struct server *server)
{
    *client = (struct client){ .server = server };
    union {
        struct sockaddr any;
        struct sockaddr_in tcp;
        struct sockaddr_un local;
    } name = { .tcp = { .sin_family = AF_INET,
                        .sin_addr = { htonl(INADDR_LOOPBACK) },
                        .sin_port = htons(vlm_http_server_port(server->http)) } };
    socklen_t size = sizeof(name.tcp);
    if (!name.tcp.sin_port) {
        size = sizeof(name.local);
        name.local.sun_family = AF_UNIX;
        snprintf(name.local.sun_path, sizeof(name.local.sun_path), "%s", server->options.host);
    }
    client->fd = socket(name.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client->fd >= 0);
    assert_int_equal(connect(client->fd, &name.any, size), 0);
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
}

static inline void close_client(struct client *client)
{
    close(client->fd);
    vlm_buffer_release(&client->in);
}

/* Takes what has come. */
static inline void receive(struct client *client)
{
    uint8_t bytes[65536];
    ssize_t n;
    while (!client->eof && !client->reset && (n = read(client->fd, bytes, sizeof(bytes))) != -1) {
        client->eof = n == 0;
        vlm_buffer_add(&client->in, bytes, (size_t)n);
    }
    if (!client->eof && errno == ECONNRESET)
        client->reset = true;
}

/* Sends all of it while the server reads; stops when the server has closed. */
static inline void say(struct client *client, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    while (n) {
        ssize_t sent = write(client->fd, at, n);
        if (sent < 0 && errno != EAGAIN)
            return;
        if (sent > 0) {
            at += sent;
            n -= (size_t)sent;
        } else {
            pump(client->server);
            receive(client);
        }
    }
}

static inline void say_text(struct client *client, const char *text)
{
    say(client, text, strlen(text));
}

/* Bytes of the first answer at `at`, or 0 while it is not whole. */
static inline size_t answer_size(const struct client *client, size_t at, bool head_only)
{
    char *text = malloc(client->in.size - at + 1);
    assert_non_null(text);
    if (client->in.size > at)
        memcpy(text, client->in.data + at, client->in.size - at);
    text[client->in.size - at] = '\0';
    const char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
    const char *chunked = strstr(text, "Transfer-Encoding: chunked");
    size_t size = end ? (size_t)(end - text) + 4 : 0;
    if (end && chunked && chunked < end && !head_only) {
        const char *last = strstr(end, "\r\n0\r\n\r\n");
        size = last ? (size_t)(last - text) + 7 : 0;
    } else if (end && length && length < end && !head_only) {
        size += strtoul(length + 16, NULL, 10);
    }
    size_t there = client->in.size - at;
    free(text);
    return size <= there ? size : 0;
}

/* Waits for n whole answers; false when the server closes or two seconds are over before. */
static inline bool wait_answers(struct client *client, size_t n)
{
    const double end = vlm_now() + 2;
    size_t at = 0;
    while (n) {
        size_t size = answer_size(client, at, false);
        if (size) {
            at += size;
            n--;
            continue;
        }
        if (client->eof || client->reset || vlm_now() > end)
            return false;
        pump(client->server);
        receive(client);
    }
    return true;
}

/* Waits until the server has closed, or two seconds. */
static inline bool wait_close(struct client *client)
{
    for (double end = vlm_now() + 2; !client->eof && !client->reset && vlm_now() < end;) {
        pump(client->server);
        receive(client);
    }
    return client->eof;
}

/* The status of the first answer, 0 without. */
static inline int status_of_answer(const struct client *client)
{
    if (client->in.size < 12 || memcmp(client->in.data, "HTTP/1.1 ", 9))
        return 0;
    return (int)strtol((const char *)client->in.data + 9, NULL, 10);
}

static inline bool answer_has(const struct client *client, const char *text)
{
    return client->in.size && memmem(client->in.data, client->in.size, text, strlen(text));
}

/* A request of its own connection: the status of its answer. */
static inline int ask(struct server *server, const char *text)
{
    struct client client;
    connect_client(&client, server);
    say_text(&client, text);
    wait_answers(&client, 1);
    int status = status_of_answer(&client);
    close_client(&client);
    return status;
}

#define HELLO "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"

#endif
