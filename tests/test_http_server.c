/* test_http_server.c - a server in this process and raw sockets: what clients may send, how long they may take, what
 * happens when they leave, who may ask at all. */
#include "base/vlm.h"

#include "tests/http_fixture.h"

#include "base/random.h"
#include "serve/http/connection_internal.h"
#include "tests/folder_fixture.h"

#define GET  "GET /hello HTTP/1.1\r\nHost: localhost\r\n"
#define ECHO "POST /echo HTTP/1.1\r\nHost: localhost\r\n"

static const struct vlm_http_options defaults = VLM_HTTP_DEFAULTS;

/* An id that is too long is none: the server makes one. */
static void ids_of_requests_are_limited(void **state)
{
    (void)state;
    struct server server;
    start_server(&server, &defaults);
    for (int n = VLM_REQUEST_ID_MAX - 1; n <= VLM_REQUEST_ID_MAX + 1; n++) {
        struct client client;
        char id[VLM_REQUEST_ID_MAX + 2], text[256];
        memset(id, 'i', sizeof(id));
        snprintf(text, sizeof(text), GET "X-Request-Id: %.*s\r\n\r\n", n, id);
        connect_client(&client, &server);
        say_text(&client, text);
        assert_true(wait_answers(&client, 1));
        assert_int_equal(status_of_answer(&client), 200);
        snprintf(text, sizeof(text), "\r\nX-Request-Id: %.*s", n,
                 n <= VLM_REQUEST_ID_MAX ? id : "req-");
        assert_true(answer_has(&client, text));
        close_client(&client);
    }
    stop_server(&server);
}

static void requests_share_a_connection(void **state)
{
    (void)state;
    struct server server;
    struct client client;
    start_server(&server, &defaults);
    connect_client(&client, &server);
    for (size_t i = 0; i < 3; i++) {
        say_text(&client, ECHO "Content-Length: 4\r\nX-Request-Id: my-id\r\n\r\nbody");
        assert_true(wait_answers(&client, 1));
        assert_int_equal(status_of_answer(&client), 200);
        assert_true(answer_has(&client, "\r\nX-Request-Id: my-id\r\n"));
        assert_true(answer_has(&client, "\r\nContent-Type: text/plain\r\n"));
        assert_false(answer_has(&client, "\r\nConnection:"));
        assert_memory_equal(client.in.data + client.in.size - 8, "\r\n\r\nbody", 8);
        vlm_buffer_reset(&client.in);
    }
    assert_int_equal(vlm_http_server_exchanges(server.http), 0);
    close_client(&client);
    stop_server(&server);
}

/* ---- the raw corpus ---- */

/* What a client sends, the status it gets, and whether the connection is closed then. */
static const struct raw {
    int status;
    bool closes;
    const char *text;
} corpus[] = {
    { 400, true, "\r\n\r\n\r\n" },
    { 400, true, "garbage\r\n" },
    { 400, true, "\x16\x03\x01\x02\x01\x01\xfc\x03\x03" }, /* TLS ClientHello */
    { 400, true, "GET /hello\r\n" },
    { 505, true, "GET /hello HTTP/1.2\r\nHost: localhost\r\n\r\n" },
    { 505, true, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
    { 400, true, "get /hello http/1.1\r\nHost: localhost\r\n\r\n" },
    { 405, true, "get /hello HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 405, true, "BREW /pot HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 405, true, "TRACE /hello HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 405, true, "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 200, false, "GET http://localhost/hello HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 400, true, "GET http://elsewhere/hello HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 403, false, "GET http://elsewhere/hello HTTP/1.1\r\nHost: elsewhere\r\n\r\n" },
    { 400, true, "GET * HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 204, false, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 400, true, "GET /..%2f..%2fetc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 404, false, "GET //hello HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 400, true, "GET /hello%00 HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 400, true, "GET /hell%o HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 400, true, "GET /h\xc3\xa9llo HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 404, false, "GET /h%c3%a9llo HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 400, true, "GET /hello HTTP/1.1\r\n\r\n" },
    { 400, true, GET "Host: localhost\r\n\r\n" },
    { 400, true, "GET /hello HTTP/1.1\r\nHost: \r\n\r\n" },
    { 400, true, "GET /hello HTTP/1.1\r\nHost: :11434\r\n\r\n" },
    { 400, true, "GET /hello HTTP/1.1\r\nHost: localhost/x\r\n\r\n" },
    { 400, true, GET ": x\r\n\r\n" },
    { 400, true, GET "a b: x\r\n\r\n" },
    { 400, true, GET "a : x\r\n\r\n" },
    { 400, true, GET "x\r\n\r\n" },
    { 400, true, GET "a: b\r\n c\r\n\r\n" },
    { 400, true, GET "a: \rb\r\n\r\n" },
    { 400, true, GET "a: b\n\r\n" },
    { 400, true, GET "a: \xff\r\n\r\n" },
    { 400, true, "GET /hello HTTP/1.1\nHost: localhost\n\n" },
    { 400, true, ECHO "Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody" },
    { 400, true, ECHO "Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody" },
    { 400, true, ECHO "Content-Length: +4\r\n\r\nbody" },
    { 400, true, ECHO "Content-Length: -1\r\n\r\nbody" },
    { 400, true, ECHO "Content-Length: 0x4\r\n\r\nbody" },
    { 400, true, ECHO "Content-Length: 4,4\r\n\r\nbody" },
    { 200, false, ECHO "Content-Length:     4\r\n\r\nbody" },
    { 413, true, ECHO "Content-Length: 18446744073709551616\r\n\r\nbody" },
    { 411, true, ECHO "\r\n" },
    { 400, true, ECHO "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" },
    { 400, true, ECHO "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" },
    { 400, true, ECHO "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" },
    { 400, true, ECHO "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" },
    { 400, true, ECHO "Transfer-Encoding: identity\r\n\r\nbody" },
    { 200, false, ECHO "Transfer-Encoding: Chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n" },
    { 400, true,
      "POST /echo HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
    { 400, true, ECHO "Transfer-Encoding: chunked\r\n\r\n-2\r\nbody\r\n0\r\n\r\n" },
    { 400, true, ECHO "Transfer-Encoding: chunked\r\n\r\n\r\nbody\r\n0\r\n\r\n" },
    { 400, true, ECHO "Transfer-Encoding: chunked\r\n\r\n0x4\r\nbody\r\n0\r\n\r\n" },
    { 400, true, ECHO "Transfer-Encoding: chunked\r\n\r\n00000000000000004\r\nbody\r\n0\r\n\r\n" },
    { 413, true, ECHO "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nbody\r\n0\r\n\r\n" },
    { 400, true, ECHO "Transfer-Encoding: chunked\r\n\r\n4\r\nbody0\r\n\r\n" },
    { 400, true,
      ECHO "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nContent-Length: 4\r\n\r\n" },
    { 200, false, ECHO "Transfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n0\r\nX: y\r\n\r\n" },
    { 200, false, GET "Expect: 100-continue\r\n\r\n" },
    { 417, true, GET "Expect: magic\r\n\r\n" },
    { 200, false,
      GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n" },
    { 200, false, GET "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" },
    { 200, true, GET "Connection: close, keep-alive\r\n\r\n" },
    { 200, true, GET "Connection: x\r\nConnection: Close\r\n\r\n" },
    { 200, true, "GET /hello HTTP/1.0\r\nHost: localhost\r\n\r\n" },
    { 200, false, "GET /hello HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n" },
    { 404, false, "GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 415, true,
      ECHO "Content-Length: 2\r\nContent-Type: application/json; charset=utf-16\r\n\r\n{}" },
    { 415, true, ECHO "Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}" },
    { 403, false, GET "Origin: http://evil.example\r\n\r\n" },
    { 400, true, "GET /hello?a=1&a=2 HTTP/1.1\r\nHost: localhost\r\n\r\n" },
    { 200, false,
      GET "Range: bytes=0-1\r\nIf-None-Match: *\r\nAccept: image/*\r\nX-Forwarded-For: "
          "1.2.3.4\r\n\r\n" },
};

static void check_raw(struct server *server, const struct raw *raw)
{
    struct client client;
    connect_client(&client, server);
    say_text(&client, raw->text);
    wait_answers(&client, 1);
    if (status_of_answer(&client) != raw->status)
        fail_msg("%s\ngives %.*s", raw->text, (int)client.in.size, (char *)client.in.data);
    if (raw->closes) {
        if (!wait_close(&client) || client.reset)
            fail_msg("%s\nis not closed after its answer", raw->text);
        assert_true(answer_has(&client, "\r\nConnection: close\r\n"));
        /* One answer: nothing behind the error was read as a request. */
        assert_int_equal(answer_size(&client, 0, false), client.in.size);
    } else {
        vlm_buffer_reset(&client.in);
        say_text(&client, HELLO);
        if (!wait_answers(&client, 1) || status_of_answer(&client) != 200)
            fail_msg("%s\nhas broken its connection", raw->text);
    }
    close_client(&client);
    assert_int_equal(ask(server, HELLO), 200);
}

static void the_corpus_gets_its_answers(void **state)
{
    (void)state;
    struct server server;
    start_server(&server, &defaults);
    for (size_t i = 0; i < VLM_COUNTOF(corpus); i++)
        check_raw(&server, &corpus[i]);
    assert_int_equal(vlm_http_server_exchanges(server.http), 0);
    stop_server(&server);
}

/* before, n times unit, after */
static void check_long(struct server *server, const char *before, const char *unit, size_t n,
                       const char *after, int status)
{
    struct vlm_buffer text = { 0 };
    vlm_buffer_text(&text, before);
    for (size_t i = 0; i < n; i++)
        vlm_buffer_text(&text, unit);
    vlm_buffer_text(&text, after);
    vlm_buffer_byte(&text, '\0');
    assert_false(text.failed);
    const struct raw raw = { status, status != 200, (const char *)text.data };
    struct client client;
    connect_client(&client, server);
    say_text(&client, raw.text);
    wait_answers(&client, 1);
    if (status_of_answer(&client) != status)
        fail_msg("%s %zu times %s gives %d, not %d", before, n, unit, status_of_answer(&client),
                 status);
    if (status != 200)
        assert_true(wait_close(&client));
    close_client(&client);
    vlm_buffer_release(&text);
    assert_int_equal(ask(server, HELLO), 200);
}

static void long_requests_are_cut_off(void **state)
{
    (void)state;
    struct server server;
    start_server(&server, &defaults);
    check_long(&server, "", "\r\n", 500000, "", 400);
    check_long(&server, "", "G", 1000000, " / HTTP/1.1\r\n\r\n", 405);
    check_long(&server, "GET /", "x", VLM_REQUEST_LINE_MAX, " HTTP/1.1\r\nHost: localhost\r\n\r\n",
               414);
    check_long(&server, GET, "a: b\r\n", 99, "\r\n", 200);
    check_long(&server, GET, "a: b\r\n", 100, "\r\n", 431);
    check_long(&server, GET "a: ", "b", VLM_REQUEST_HEAD_MAX, "\r\n\r\n", 431);
    check_long(&server, GET "Authorization: Bearer ", "b", 1000000, "\r\n\r\n", 431);
    check_long(&server, GET "Accept-Encoding: ", "gzip, ", 5000, "\r\n\r\n", 200);
    check_long(&server, "GET /hello?a=1", "&a=1", 1000, " HTTP/1.1\r\nHost: localhost\r\n\r\n",
               400);
    check_long(&server, ECHO "Transfer-Encoding: chunked\r\n\r\n4;", "x", 1000000,
               "\r\nbody\r\n0\r\n\r\n", 400);
    check_long(&server, ECHO "Transfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n", 101, "\r\n",
               400);
    check_long(&server, ECHO "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", 100000,
               "0\r\n\r\n", 200);
    stop_server(&server);
}

static void bodies_have_a_limit(void **state)
{
    (void)state;
    struct server server;
    struct vlm_http_options options = defaults;
    options.body_max = 1000;
    start_server(&server, &options);
    check_long(&server, ECHO "Content-Length: 999\r\n\r\n", "b", 999, "", 200);
    check_long(&server, ECHO "Content-Length: 1000\r\n\r\n", "b", 1000, "", 200);
    check_long(&server, ECHO "Content-Length: 1001\r\n\r\n", "b", 1001, "", 413);
    check_long(&server, ECHO "Content-Length: 1000000\r\n\r\n", "b", 1000000, "", 413);
    check_long(&server, ECHO "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", 1000, "0\r\n\r\n",
               200);
    check_long(&server, ECHO "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", 1001, "0\r\n\r\n",
               413);
    stop_server(&server);
}

/* Eight times body_max is the most that all bodies have together. */
static void bodies_share_memory(void **state)
{
    (void)state;
    enum { N = 12, PART = 60000 };
    struct server server;
    struct client client[N], last;
    struct vlm_http_options options = defaults;
    size_t n_refused = 0;
    uint8_t bytes[PART] = { 0 };
    options.body_max = 65536;
    start_server(&server, &options);
    connect_client(&last, &server);
    for (size_t i = 0; i < N; i++) {
        connect_client(&client[i], &server);
        say_text(&client[i], ECHO "Content-Length: 65536\r\n\r\n");
        say(&client[i], bytes, sizeof(bytes));
        pump_for(&server, 0.005);
        receive(&client[i]);
        n_refused += status_of_answer(&client[i]) == 503;
    }
    assert_in_range(n_refused, 1, 4);
    /* Those who hold back the ends of theirs make room for one that comes. */
    pump_for(&server, 1.01);
    say_text(&last, ECHO "Content-Length: 65536\r\n\r\n");
    say(&last, bytes, sizeof(bytes));
    pump_for(&server, 0.005);
    say(&last, bytes, 65536 - sizeof(bytes));
    assert_true(wait_answers(&last, 1));
    assert_int_equal(status_of_answer(&last), 200);
    receive(&client[0]);
    assert_int_equal(status_of_answer(&client[0]), 503);
    close_client(&last);
    for (size_t i = 0; i < N; i++)
        close_client(&client[i]);
    pump_for(&server, 0.01);
    check_long(&server, ECHO "Content-Length: 65536\r\n\r\n", "b", 65536, "", 200);
    stop_server(&server);
}

/* ---- how bytes come apart ---- */

static const char split_text[] =
    "POST /echo?x=1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5\r\nhello\r\n1;a\r\n \r\n5\r\nworld\r\n0\r\nT: 1\r\n\r\n" HELLO;

static void every_split_gives_the_same(void **state)
{
    (void)state;
    struct server server;
    struct client client;
    start_server(&server, &defaults);
    for (size_t at = 0; at < sizeof(split_text); at++) { /* at 0: one byte at a time */
        connect_client(&client, &server);
        for (size_t i = 0, n; i < sizeof(split_text) - 1; i += n) {
            n = !at ? 1 : !i ? at : sizeof(split_text) - 1 - at;
            n = VLM_MIN(n, sizeof(split_text) - 1 - i);
            say(&client, split_text + i, n);
            pump(&server);
        }
        assert_true(wait_answers(&client, 2));
        assert_true(answer_has(&client, "\r\n\r\nhello worldHTTP/1.1 200 OK\r\n"));
        assert_int_equal(server.n_handled, 2 * (at + 1));
        close_client(&client);
    }
    stop_server(&server);
}

/* A client that stops in the middle, at every byte, and says so: an error, and nothing that was not asked. */
static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct server server;
    struct client client;
    start_server(&server, &defaults);
    for (size_t n = 0; n < sizeof(split_text) - sizeof(HELLO); n++) {
        connect_client(&client, &server);
        say(&client, split_text, n);
        shutdown(client.fd, SHUT_WR);
        assert_true(wait_close(&client));
        assert_int_equal(status_of_answer(&client), n ? 400 : 0);
        assert_int_equal(server.n_handled, 0);
        close_client(&client);
    }
    stop_server(&server);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    enum { N = 1000 };
    struct server server;
    struct client client;
    struct vlm_buffer text = { 0 };
    start_server(&server, &defaults);
    connect_client(&client, &server);
    for (size_t i = 0; i < N; i++)
        vlm_buffer_printf(&text, ECHO "Content-Length: 6\r\n\r\n%06zu", i);
    say(&client, text.data, text.size);
    assert_true(wait_answers(&client, N));
    size_t at = 0;
    for (size_t i = 0; i < N; i++) {
        char number[8];
        at += answer_size(&client, at, false);
        snprintf(number, sizeof(number), "%06zu", i);
        assert_memory_equal(client.in.data + at - 6, number, 6);
    }
    assert_int_equal(at, client.in.size);
    close_client(&client);
    /* Behind a bad one nothing is answered. */
    connect_client(&client, &server);
    say_text(&client, HELLO "BAD\r\n\r\n" HELLO HELLO);
    assert_true(wait_close(&client));
    assert_int_equal(server.n_handled, N + 1);
    size_t first = answer_size(&client, 0, false);
    assert_int_equal(first + answer_size(&client, first, false), client.in.size);
    close_client(&client);
    /* The rest of a body that is longer than it says is the next request. */
    connect_client(&client, &server);
    say_text(&client, ECHO "Content-Length: 4\r\n\r\nbody and more\r\n\r\n");
    assert_true(wait_close(&client));
    assert_true(answer_has(&client, "\r\n\r\nbodyHTTP/1.1 400 Bad Request\r\n"));
    close_client(&client);
    vlm_buffer_release(&text);
    stop_server(&server);
}

static void a_body_is_asked_for(void **state)
{
    (void)state;
    struct server server;
    struct client client;
    start_server(&server, &defaults);
    connect_client(&client, &server);
    say_text(&client, ECHO "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    for (size_t i = 0; i < 100 && client.in.size < 25; i++, poll(NULL, 0, 1)) {
        pump(&server);
        receive(&client);
    }
    assert_int_equal(client.in.size, 25);
    assert_memory_equal(client.in.data, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    vlm_buffer_reset(&client.in);
    say_text(&client, "body");
    assert_true(wait_answers(&client, 1));
    assert_int_equal(status_of_answer(&client), 200);
    close_client(&client);
    /* Not when it will not be read, and the answer says how much would be. */
    connect_client(&client, &server);
    say_text(&client, ECHO "Expect: 100-continue\r\nContent-Length: 33554433\r\n\r\n");
    assert_true(wait_close(&client));
    assert_int_equal(status_of_answer(&client), 413);
    assert_true(answer_has(
        &client, "\"the body has 33554433 bytes, at most 33554432 may be (--max-body)\""));
    close_client(&client);
    assert_int_equal(
        ask(&server, ECHO "Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n"), 413);
    assert_int_equal(
        ask(&server, ECHO "Expect: 100-continue\r\nContent-Length: 5\r\nOrigin: x\r\n\r\n"), 403);
    stop_server(&server);
}

/* ---- answers ---- */

static void answers_fit_their_request(void **state)
{
    (void)state;
    struct server server;
    struct client client;
    start_server(&server, &defaults);
    connect_client(&client, &server);
    say_text(&client, "HEAD /hello HTTP/1.1\r\nHost: localhost\r\n\r\n" HELLO);
    for (size_t i = 0; i < 100 && !answer_has(&client, "\r\n\r\nhello"); i++, poll(NULL, 0, 1)) {
        pump(&server);
        receive(&client);
    }
    size_t first = answer_size(&client, 0, true);
    assert_true(answer_has(&client, "\r\nContent-Length: 5\r\n"));
    assert_memory_equal(client.in.data + first, "HTTP/1.1 200 OK\r\n", 17);
    close_client(&client);

    connect_client(&client, &server);
    say_text(&client, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    pump_for(&server, 0.005);
    vlm_exchange_send(server.held[0], "data: 1\n\n", 9);
    vlm_exchange_send(server.held[0], "", 0);
    vlm_exchange_send(server.held[0], "data: 2\n\ndata: 3\n\n", 18);
    vlm_exchange_end(server.held[0]);
    assert_true(wait_answers(&client, 1));
    assert_true(answer_has(&client, "\r\nTransfer-Encoding: chunked\r\n"));
    assert_true(answer_has(
        &client, "\r\n\r\n9\r\ndata: 1\n\n\r\n12\r\ndata: 2\n\ndata: 3\n\n\r\n0\r\n\r\n"));
    vlm_buffer_reset(&client.in);
    say_text(&client, HELLO);
    assert_true(wait_answers(&client, 1));
    close_client(&client);

    /* HTTP/1.0 has no chunks: the end of the connection is the end of the answer. */
    connect_client(&client, &server);
    say_text(&client, "GET /stream HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
    pump_for(&server, 0.005);
    vlm_exchange_send(server.held[1], "data: 1\n\n", 9);
    vlm_exchange_end(server.held[1]);
    assert_true(wait_close(&client));
    assert_false(answer_has(&client, "Transfer-Encoding"));
    assert_true(answer_has(&client, "\r\nConnection: close\r\n"));
    assert_memory_equal(client.in.data + client.in.size - 13, "\r\n\r\ndata: 1\n\n", 13);
    close_client(&client);
    stop_server(&server);
}

static void fields_of_answers_are_one_line(void **state)
{
    (void)state;
    struct server server;
    struct client client;
    start_server(&server, &defaults);
    connect_client(&client, &server);
    say_text(&client, "GET /hold HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\tb\r\n\r\n");
    pump_for(&server, 0.005);
    struct vlm_exchange *exchange = server.held[0];
    assert_non_null(exchange);
    assert_memory_equal(vlm_exchange_request(exchange)->id, "req-", 4);
    assert_string_equal(vlm_exchange_field(exchange, "host"), "localhost");
    vlm_exchange_header(exchange, "X-A", "b\r\nSet-Cookie: c");
    vlm_exchange_note(exchange)->queue_seconds = 0.25;
    vlm_exchange_error(exchange, 503, "a[0]", "no \"%s\"\n", "slot");
    assert_true(wait_answers(&client, 1));
    assert_true(answer_has(&client, "HTTP/1.1 503 Service Unavailable\r\n"));
    assert_true(answer_has(&client, "\r\nX-A: b  Set-Cookie: c\r\n"));
    assert_true(answer_has(&client, "\r\nRetry-After: 1\r\n"));
    assert_true(answer_has(&client, "\r\nServer-Timing: queue;dur=250.000, total;dur="));
    assert_true(answer_has(
        &client, "\r\n\r\n{\"error\": {\"code\": 503, \"message\": \"no \\\"slot\\\"\\n\", "
                 "\"type\": \"unavailable_error\", \"param\": \"a[0]\"}}"));
    close_client(&client);
    stop_server(&server);
}

/* ---- time ---- */

static void slow_clients_are_closed(void **state)
{
    (void)state;
    struct server server;
    struct client silent, head, body, steady, stalled, idle;
    struct vlm_http_options options = defaults;
    options.head_seconds = options.body_seconds = options.idle_seconds = 0.1;
    start_server(&server, &options);
    connect_client(&silent, &server);
    connect_client(&head, &server);
    connect_client(&body, &server);
    connect_client(&steady, &server);
    connect_client(&stalled, &server);
    connect_client(&idle, &server);
    say_text(&body, ECHO "Content-Length: 100\r\n\r\n");
    say_text(&steady, ECHO "Content-Length: 10240\r\n\r\n");
    say_text(&stalled, ECHO "Content-Length: 10240\r\n\r\n");
    say_text(&idle, HELLO);
    const uint8_t kibibyte[1024] = { 0 };
    for (size_t i = 0; i < 9; i++) /* much at once gives no time to hold the rest back */
        say(&stalled, kibibyte, sizeof(kibibyte));
    double start = vlm_now(), end = 0;
    for (size_t i = 0; vlm_now() < start + 0.3; i++) {
        say_text(&head, i < sizeof(split_text) - 1 ? (char[]){ split_text[i % 70], 0 } : "x");
        say_text(&body, "x");
        if (i % 2 == 0 && i < 20)
            say(&steady, kibibyte,
                sizeof(kibibyte)); /* slower than the time alone allows, and fast enough */
        pump_for(&server, 0.01);
        receive(&head);
        if (head.eof && end == 0)
            end = vlm_now();
    }
    assert_true(wait_close(&head) && (end == 0 || end - start > 0.09));
    assert_true(wait_close(&silent));
    assert_int_equal(silent.in.size, 0);
    assert_true(wait_close(&body) || body.reset);
    assert_int_equal(status_of_answer(&head), 408);
    assert_int_equal(status_of_answer(&body), 408);
    receive(&stalled);
    assert_int_equal(status_of_answer(&stalled), 408);
    assert_true(wait_answers(&steady, 1));
    assert_int_equal(status_of_answer(&steady), 200);
    assert_true(wait_close(&idle));
    assert_int_equal(status_of_answer(&idle), 200);
    assert_int_equal(answer_size(&idle, 0, false), idle.in.size);
    close_client(&silent);
    close_client(&head);
    close_client(&body);
    close_client(&steady);
    close_client(&stalled);
    close_client(&idle);
    stop_server(&server);
}

static void readers_that_stall_are_left(void **state)
{
    (void)state;
    struct server server;
    struct client client;
    struct vlm_http_options options = defaults;
    options.write_seconds = 0.1;
    start_server(&server, &options);
    connect_client(&client, &server);
    say_text(&client, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    pump_for(&server, 0.005);
    uint8_t *bytes = calloc(1, 16 * VLM_MIB); /* more than the buffers of two sockets */
    assert_non_null(bytes);
    vlm_exchange_send(server.held[0], bytes, 16 * VLM_MIB);
    free(bytes);
    pump_for(&server, 0.02);
    assert_non_null(server.held[0]);
    assert_in_range(vlm_exchange_unsent(server.held[0]), VLM_MIB, 16 * VLM_MIB);
    const double start = vlm_now();
    while (server.held[0] && vlm_now() < start + 2)
        pump_for(&server, 0.01);
    assert_null(server.held[0]);
    assert_true(vlm_now() - start > 0.05);
    assert_int_equal(vlm_http_server_exchanges(server.http), 0);
    close_client(&client);
    stop_server(&server);
}

/* Client i asks for a stream and reads none of its n bytes. */
static void leave_unread(struct server *server, struct client *client, size_t i, size_t n)
{
    uint8_t *bytes = calloc(1, n);
    assert_non_null(bytes);
    connect_client(&client[i], server);
    say_text(&client[i], "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    pump_for(server, 0.01);
    assert_int_equal(server->n_held, i + 1);
    vlm_exchange_send(server->held[i], bytes, n);
    pump_for(server, 0.01);
    free(bytes);
}

/* Answers that nobody reads take only so much memory together; who gets one now is not the one to pay for it, also when
 * more than one of the others has to. */
static void unread_answers_are_bounded(void **state)
{
    static const size_t mebibytes[][5] = { { 60, 60, 60, 60, 60 }, { 24, 24, 24, 24, 220 } };
    (void)state;
    for (size_t k = 0; k < VLM_COUNTOF(mebibytes); k++) {
        enum { N = 5 };
        struct server server;
        struct client client[N];
        size_t n_left = 0;
        start_server(&server, &defaults);
        for (size_t i = 0; i < N; i++)
            leave_unread(&server, client, i, mebibytes[k][i] << 20);
        for (size_t i = 0; i < N; i++)
            n_left += server.held[i] != NULL;
        assert_in_range(n_left, k ? 2 : N - 1, k ? N - 2 : N - 1);
        assert_non_null(server.held[N - 1]);
        for (size_t i = 0; i < N; i++)
            close_client(&client[i]);
        stop_server(&server);
    }
}

/* ---- clients that leave ---- */

enum leaving { LEAVES, RESETS, LEAVES_PIPELINED, LEAVES_FULL };

/* Seconds from the end of the client until the server knew. */
static double time_until_gone(struct server *server, const char *path, enum leaving how)
{
    struct client client;
    const size_t i = server->n_held;
    connect_client(&client, server);
    struct vlm_buffer text = { 0 };
    vlm_buffer_printf(&text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    say(&client, text.data, text.size);
    pump_for(server, 0.005);
    assert_int_equal(server->n_held, i + 1);
    vlm_buffer_reset(&text);
    for (size_t k = 0; k < (how == LEAVES_FULL ? 1000 : how == LEAVES_PIPELINED ? 3 : 0); k++)
        vlm_buffer_text(&text, HELLO);
    if (text.size)
        assert_int_equal(write(client.fd, text.data, text.size), text.size);
    pump_for(server, 0.01);
    assert_non_null(server->held[i]);
    receive(&client);
    if (how == RESETS)
        setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 },
                   sizeof(struct linger));
    const size_t handled = server->n_handled;
    const double start = vlm_now();
    close_client(&client);
    while (server->held[i] && vlm_now() < start + 1)
        pump(server);
    assert_null(server->held[i]);
    assert_int_equal(server->n_handled, handled);
    assert_int_equal(vlm_http_server_exchanges(server->http), 0);
    vlm_buffer_release(&text);
    return vlm_now() - start;
}

static void leaving_is_noticed_in_time(void **state)
{
    (void)state;
    const char *const paths[] = { "/hold", "/stream" };
    for (size_t local = 0; local < 2; local++) {
        char *name = test_path("a.sock");
        struct server server;
        struct vlm_http_options options = defaults;
        if (local)
            options.host = name;
        start_server(&server, &options);
        for (size_t path = 0; path < 2; path++)
            for (enum leaving how = LEAVES; how <= LEAVES_FULL; how++) {
                double seconds = 1;
                /* Again, because the machine may be busy with something else for that long. */
                for (size_t tries = 0; tries < 5 && seconds >= 0.1; tries++)
                    seconds = time_until_gone(&server, paths[path], how);
                if (seconds >= 0.1)
                    fail_msg("%s, way %d, %s: noticed after %.3f s", paths[path], (int)how,
                             local ? "UNIX" : "TCP", seconds);
            }
        time_until_gone(&server, "/chunks", RESETS);
        stop_server(&server);
        free(name);
    }
}

/* A client that only closed its sending side gets its answer, as if nothing had been. */
static void half_closed_clients_wait(void **state)
{
    (void)state;
    for (size_t local = 0; local < 2; local++) {
        char *name = test_path("a.sock");
        struct server server;
        struct client client;
        struct vlm_http_options options = defaults;
        if (local)
            options.host = name;
        start_server(&server, &options);
        connect_client(&client, &server);
        say_text(&client, "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hold "
                          "HTTP/1.1\r\nHost: localhost\r\n\r\n");
        shutdown(client.fd, SHUT_WR);
        pump_for(&server, 0.12);
        assert_non_null(server.held[0]);
        receive(&client);
        assert_in_range(client.in.size, 1, 8); /* of the status line */
        vlm_exchange_reply(server.held[0], 200, "text/plain", "first", 5);
        assert_true(wait_answers(&client, 1));
        pump_for(&server, 0.06);
        assert_non_null(server.held[1]);
        vlm_exchange_reply(server.held[1], 200, "text/plain", "second", 6);
        assert_true(wait_close(&client));
        const size_t first = answer_size(&client, 0, false);
        assert_int_equal(status_of_answer(&client), 200);
        assert_int_equal(first + answer_size(&client, first, false), client.in.size);
        assert_true(answer_has(&client, "\r\n\r\nfirstHTTP/1.1 200 OK\r\n"));
        assert_memory_equal(client.in.data + client.in.size - 6, "second", 6);
        close_client(&client);

        connect_client(&client, &server);
        say_text(&client, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
        shutdown(client.fd, SHUT_WR);
        pump_for(&server, 0.06);
        vlm_exchange_send(server.held[2], "data: 1\n\n", 9);
        vlm_exchange_end(server.held[2]);
        assert_true(wait_close(&client));
        assert_true(answer_has(&client, "3\r\n:\n\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n"));
        close_client(&client);
        stop_server(&server);
        free(name);
    }
}

/* An owner who did not want to know may answer later: nobody hears it. */
static void an_exchange_outlives_its_client(void **state)
{
    (void)state;
    struct server server;
    struct client client;
    start_server(&server, &defaults);
    server.tell_gone = false;
    for (size_t i = 0; i < 2; i++) {
        connect_client(&client, &server);
        say_text(&client, i ? "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
                            : "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
        pump_for(&server, 0.005);
        close_client(&client);
        for (size_t k = 0; k < 200 && vlm_http_server_exchanges(server.http); k++)
            pump_for(&server, 0.01);
        assert_int_equal(vlm_http_server_exchanges(server.http), 0);
    }
    assert_string_equal(vlm_exchange_request(server.held[0])->path, "/hold");
    assert_string_equal(vlm_exchange_field(server.held[0], "host"), "localhost");
    vlm_exchange_reply(server.held[0], 200, "text/plain", "late", 4);
    vlm_exchange_send(server.held[1], "late", 4);
    assert_int_equal(vlm_exchange_unsent(server.held[1]), 0);
    vlm_exchange_end(server.held[1]);
    assert_int_equal(ask(&server, HELLO), 200);
    stop_server(&server);
}

/* What one of many clients does next; false: it has left. */
static bool act(struct client *client, struct vlm_random *random)
{
    static const char *const parts[] = {
        HELLO,
        "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ECHO "Content-Length: 5000\r\n\r\n",
        ECHO "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "BAD\r\n\r\n",
    };
    const char *part = parts[vlm_random_below(random, VLM_COUNTOF(parts))];
    switch (vlm_random_below(random, 10)) {
    case 0:
        setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 },
                   sizeof(struct linger));
        return false;
    case 1:
        return false;
    case 2:
        shutdown(client->fd, SHUT_WR);
        return true;
    case 3: { /* a part of it, so that what comes next is anything */
        ssize_t n = write(client->fd, part, vlm_random_below(random, strlen(part)));
        return n >= 0;
    }
    default: {
        ssize_t n = write(client->fd, part, strlen(part));
        receive(client);
        return n >= 0 && !client->eof && !client->reset;
    }
    }
}

/* Owners answer whom they like. */
static void answer_some(struct server *server, struct vlm_random *random)
{
    for (size_t i = 0; i < server->n_held; i++) {
        struct vlm_exchange *exchange = server->held[i];
        if (!exchange || !vlm_random_chance(random, 30))
            continue;
        if (!exchange->begun) {
            server->held[i] = NULL;
            vlm_exchange_reply(exchange, 200, "text/plain", "held", 4);
        } else if (vlm_random_chance(random, 50)) {
            vlm_exchange_send(exchange, "data: x\n\n", 9);
        } else {
            server->held[i] = NULL;
            vlm_exchange_end(exchange);
        }
    }
}

static void clients_at_random_leave_nothing_behind(void **state)
{
    (void)state;
    enum { N = 16, STEPS = 4000 };
    struct server server;
    struct client client[N];
    bool here[N] = { false };
    struct vlm_random random = vlm_random_at(8, 1, 1);
    start_server(&server, &defaults);
    for (size_t step = 0; step < STEPS; step++) {
        const size_t i = vlm_random_below(&random, N);
        if (!here[i])
            connect_client(&client[i], &server);
        here[i] = act(&client[i], &random);
        if (!here[i])
            close_client(&client[i]);
        if (vlm_random_chance(&random, 50))
            pump(&server);
        if (step % 16 == 0)
            answer_some(&server, &random);
        /* Its places are used again when nobody points to them. */
        while (server.n_held && !server.held[server.n_held - 1])
            server.n_held--;
        if (server.n_held > HELD_MAX - N)
            for (size_t k = 0; k < server.n_held; k++)
                answer_some(&server, &random);
    }
    for (size_t i = 0; i < N; i++)
        if (here[i])
            close_client(&client[i]);
    for (double end = vlm_now() + 5; server.http->n_connections && vlm_now() < end;) {
        pump(&server);
        answer_some(&server, &random);
    }
    assert_int_equal(server.http->n_connections, 0);
    assert_null(server.http->first);
    assert_int_equal(vlm_http_server_exchanges(server.http), 0);
    assert_int_equal(server.http->body_bytes, 0);
    for (size_t i = 0; i < server.n_held; i++)
        assert_null(server.held[i]);
    assert_int_equal(ask(&server, HELLO), 200);
    stop_server(&server);
}

static void freeing_tells_owners(void **state)
{
    (void)state;
    struct server server;
    struct client client;
    start_server(&server, &defaults);
    connect_client(&client, &server);
    say_text(&client, "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    pump_for(&server, 0.005);
    assert_non_null(server.held[0]);
    stop_server(&server);
    assert_null(server.held[0]);
    close_client(&client);
}

static void draining_lets_answers_end(void **state)
{
    (void)state;
    struct server server;
    struct client idle, busy, half;
    start_server(&server, &defaults);
    connect_client(&idle, &server);
    connect_client(&busy, &server);
    connect_client(&half, &server);
    say_text(&idle, HELLO);
    assert_true(wait_answers(&idle, 1));
    say_text(&busy, "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    say_text(&half, "GET /hello HTTP/1.1\r\n");
    pump_for(&server, 0.005);
    vlm_http_server_stop_listening(server.http);
    vlm_http_server_stop_listening(server.http);
    assert_true(wait_close(&idle));
    assert_int_equal(vlm_http_server_exchanges(server.http), 1);
    assert_non_null(server.held[0]);
    vlm_exchange_reply(server.held[0], 200, "text/plain", "done", 4);
    assert_true(wait_close(&busy));
    assert_true(answer_has(&busy, "\r\nConnection: close\r\n") &&
                answer_has(&busy, "\r\n\r\ndone"));
    say_text(&half, "Host: localhost\r\n\r\n");
    assert_true(wait_close(&half));
    assert_int_equal(status_of_answer(&half), 200);
    assert_int_equal(vlm_http_server_exchanges(server.http), 0);
    struct sockaddr_in name = { .sin_family = AF_INET,
                                .sin_addr = { htonl(INADDR_LOOPBACK) },
                                .sin_port = htons(vlm_http_server_port(server.http)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), -1);
    close(fd);
    close_client(&idle);
    close_client(&busy);
    close_client(&half);
    stop_server(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_share_a_connection),
        cmocka_unit_test(ids_of_requests_are_limited),
        cmocka_unit_test(the_corpus_gets_its_answers),
        cmocka_unit_test(long_requests_are_cut_off),
        cmocka_unit_test(bodies_have_a_limit),
        cmocka_unit_test(bodies_share_memory),
        cmocka_unit_test(every_split_gives_the_same),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_body_is_asked_for),
        cmocka_unit_test(answers_fit_their_request),
        cmocka_unit_test(fields_of_answers_are_one_line),
        cmocka_unit_test(slow_clients_are_closed),
        cmocka_unit_test(readers_that_stall_are_left),
        cmocka_unit_test(unread_answers_are_bounded),
        cmocka_unit_test(leaving_is_noticed_in_time),
        cmocka_unit_test(half_closed_clients_wait),
        cmocka_unit_test(an_exchange_outlives_its_client),
        cmocka_unit_test(clients_at_random_leave_nothing_behind),
        cmocka_unit_test(freeing_tells_owners),
        cmocka_unit_test(draining_lets_answers_end),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
