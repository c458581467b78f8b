/* test_http_access.c - who may ask and what is noted: Host, Origin, API keys, addresses, UNIX sockets, numbers of
 * connections, the access log. */
#include "base/vlm.h"

#include "tests/http_fixture.h"

#include "base/json.h"
#include "serve/http/connection_internal.h"
#include "tests/folder_fixture.h"

#include <dirent.h>
#include <sys/resource.h>

static const struct vlm_http_options defaults = VLM_HTTP_DEFAULTS;

/* The status of a request with these header lines. */
static int ask_with(struct server *server, const char *method, const char *path, const char *lines)
{
    struct vlm_buffer text = { 0 };
    vlm_buffer_printf(&text, "%s %s HTTP/1.1\r\n%s%s\r\n", method, path, lines,
                      strcmp(method, "POST") ? "" : "Content-Length: 0\r\n");
    vlm_buffer_byte(&text, '\0');
    struct client client;
    connect_client(&client, server);
    say_text(&client, (const char *)text.data);
    for (size_t i = 0; i < 2000 && !answer_size(&client, 0, true); i++) {
        pump(server);
        receive(&client);
    }
    int status = status_of_answer(&client);
    close_client(&client);
    vlm_buffer_release(&text);
    return status;
}

/* ---- Host and Origin ---- */

static const struct {
    const char *host;
    int status; /* 0: it may */
} hosts[] = {
    { "localhost", 0 },
    { "LOCALHOST:8080", 0 },
    { "localhost:1", 0 },
    { "127.0.0.1", 0 },
    { "127.0.0.1:8080", 0 },
    { "[::1]:8080", 0 },
    { "named.example", 0 },
    { "Named.Example:443", 0 },
    { "evil.example", 403 },
    { "localhost.evil.example", 403 },
    { "evil-localhost", 403 },
    { "localhost.", 403 },
    { "named.example.evil", 403 },
    { "10.0.0.1", 403 },
    { "0.0.0.0", 403 },
    { "[::]", 403 },
    { "127.1", 403 },
    { "2130706433", 403 },
    { "", 400 },
    { ":8080", 400 },
    { "localhost@evil", 400 },
    { "localhost, evil", 400 },
};
static const struct {
    const char *origin; /* NULL: none; "=": http:// and the Host */
    int status;
    bool named;
} origins[] = {
    { NULL, 0, false },
    { "=", 0, false },
    { "https://page.example", 0, true },
    { "HTTPS://PAGE.example", 0, true },
    { "http://page.example", 403, false },
    { "https://page.example:8443", 403, false },
    { "https://page.example.evil", 403, false },
    { "https://evil.example", 403, false },
    { "http://localhost:9999", 403, false },
    { "null", 403, false },
    { "", 403, false },
};
static const struct {
    const char *method, *lines;
    bool preflight;
} methods[] = {
    { "GET", "", false },
    { "POST", "Content-Type: text/plain\r\n", false },
    { "DELETE", "", false },
    { "OPTIONS", "Access-Control-Request-Method: POST\r\n", true },
};

static void host_origin_and_method_decide_together(void **state)
{
    (void)state;
    static const char *const names[] = { "named.example" }, *const pages[] = {
        "https://page.example"
    };
    struct server server;
    struct vlm_http_options options = defaults;
    options.hosts = names;
    options.n_hosts = 1;
    options.origins = pages;
    options.n_origins = 1;
    start_server(&server, &options);
    for (size_t h = 0; h < VLM_COUNTOF(hosts); h++)
        for (size_t o = 0; o < VLM_COUNTOF(origins); o++)
            for (size_t m = 0; m < VLM_COUNTOF(methods); m++) {
                char lines[512];
                const char *origin = origins[o].origin;
                const bool own = origin && !strcmp(origin, "=");
                int n = snprintf(lines, sizeof(lines), "Host: %s\r\n%s", hosts[h].host,
                                 methods[m].lines);
                if (origin)
                    snprintf(lines + n, sizeof(lines) - (size_t)n, "Origin: %s%s\r\n",
                             own ? "http://" : origin, own ? hosts[h].host : "");
                int expected = hosts[h].status                            ? hosts[h].status
                               : origins[o].status                        ? origins[o].status
                               : origins[o].named && methods[m].preflight ? 204
                                                                          : 200;
                int status = ask_with(&server, methods[m].method, "/hello", lines);
                if (status != expected)
                    fail_msg("%s %sgives %d, not %d", methods[m].method, lines, status, expected);
            }
    assert_int_equal(ask_with(&server, "GET", "/hello",
                              "Host: localhost\r\nOrigin: https://page.example\r\n"
                              "Origin: https://page.example\r\n"),
                     403);
    stop_server(&server);
}

static void only_named_pages_get_fields(void **state)
{
    (void)state;
    static const char *const pages[] = { "https://page.example" };
    struct server server;
    struct client client;
    struct vlm_http_options options = defaults;
    static const char *const keys[] = { "secret" };
    options.keys = keys; /* a preflight has none */
    options.n_keys = 1;
    options.origins = pages;
    options.n_origins = 1;
    start_server(&server, &options);
    connect_client(&client, &server);
    say_text(&client,
             "OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: https://page.example\r\n"
             "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Private-Network: "
             "true\r\n\r\n");
    for (size_t i = 0; i < 2000 && !answer_size(&client, 0, true); i++) {
        pump(&server);
        receive(&client);
    }
    assert_int_equal(status_of_answer(&client), 204);
    assert_true(answer_has(&client, "\r\nAccess-Control-Allow-Origin: https://page.example\r\n"));
    assert_true(answer_has(
        &client,
        "\r\nAccess-Control-Allow-Headers: Authorization, Content-Type, X-Request-Id\r\n"));
    assert_true(answer_has(&client, "\r\nAccess-Control-Allow-Private-Network: true\r\n"));
    assert_true(answer_has(&client, "\r\nVary: Origin\r\n"));
    assert_false(answer_has(&client, "Content-Length"));
    assert_false(answer_has(&client, "Allow-Credentials"));
    vlm_buffer_reset(&client.in);
    say_text(&client,
             "GET /hello HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n\r\n");
    assert_true(wait_answers(&client, 1));
    assert_int_equal(status_of_answer(&client), 200);
    assert_false(answer_has(&client, "Access-Control"));
    assert_true(answer_has(&client, "\r\nCross-Origin-Resource-Policy: same-origin\r\n"));
    close_client(&client);
    stop_server(&server);
}

/* ---- keys ---- */

static void keys_are_asked_for(void **state)
{
    (void)state;
    static const char *const keys[] = { "first-key", "second key" }, *const open[] = { "/hello",
                                                                                       NULL };
    static const struct {
        int status;
        const char *lines;
    } tries[] = {
        { 200, "Authorization: Bearer first-key\r\n" },
        { 200, "authorization: bearer second key\r\n" },
        { 200, "Authorization: Bearer   first-key \r\n" },
        { 401, "" },
        { 401, "Authorization: Bearer\r\n" },
        { 401, "Authorization: Bearer \r\n" },
        { 401, "Authorization: first-key\r\n" },
        { 401, "Authorization: Basic first-key\r\n" },
        { 401, "Authorization: Bearerfirst-key\r\n" },
        { 401, "Authorization: Bearer first-ke\r\n" },
        { 401, "Authorization: Bearer first-kez\r\n" },
        { 401, "Authorization: Bearer first-key1\r\n" },
        { 401, "Authorization: Bearer FIRST-KEY\r\n" },
        { 401, "Authorization: Bearer first-key,second key\r\n" },
        { 401, "Authorization: Bearer first-key\r\nAuthorization: Bearer first-key\r\n" },
        { 401, "X-Api-Key: first-key\r\n" },
    };
    struct server server;
    struct vlm_http_options options = defaults;
    options.keys = keys;
    options.n_keys = 2;
    options.open_paths = open;
    start_server(&server, &options);
    for (size_t i = 0; i < VLM_COUNTOF(tries); i++) {
        char lines[256];
        snprintf(lines, sizeof(lines), "Host: localhost\r\n%s", tries[i].lines);
        if (ask_with(&server, "POST", "/echo", lines) != tries[i].status)
            fail_msg("%s is not answered with %d", tries[i].lines, tries[i].status);
        assert_int_equal(ask_with(&server, "GET", "/hello", lines), 200);
        assert_int_equal(ask_with(&server, "GET", "/none", lines),
                         tries[i].status == 200 ? 404 : 401);
        assert_int_equal(ask_with(&server, "GET", "/hello/", lines),
                         tries[i].status == 200 ? 404 : 401);
    }
    struct client client;
    connect_client(&client, &server);
    say_text(&client, "GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_true(wait_answers(&client, 1));
    assert_true(answer_has(&client, "\r\nWWW-Authenticate: Bearer\r\n"));
    assert_true(answer_has(&client, "\"type\": \"authentication_error\""));
    assert_false(answer_has(&client, "none"));
    close_client(&client);
    /* A body that comes with a wrong key is not read. */
    connect_client(&client, &server);
    say_text(&client, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
    assert_true(wait_close(&client));
    assert_int_equal(status_of_answer(&client), 401);
    close_client(&client);
    /* Nor are limits told to whom they do not concern. */
    assert_int_equal(
        ask(&server,
            "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"),
        401);
    assert_int_equal(
        ask(&server, "POST /echo HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer first-key\r\n"
                     "Content-Length: 99999999999\r\n\r\n"),
        413);
    stop_server(&server);
}

/* ---- listening ---- */

static int try_server(struct vlm_http_options options, char *sentence, size_t size)
{
    struct vlm_http_server *http = NULL;
    struct vlm_err err = { 0 };
    struct event_base *base = event_base_new();
    options.handle = handle_test;
    int rc = vlm_http_server_new(&http, base, &options, &err);
    snprintf(sentence, size, "%s", err.msg);
    assert_int_equal(rc != 0, !http);
    vlm_http_server_free(http);
    event_base_free(base);
    return rc;
}

static void only_loopback_is_open_to_all(void **state)
{
    (void)state;
    static const char *const keys[] = { "key" }, *const empty[] = { "" };
    static const char *const inside[] = { "127.0.0.1", "127.9.9.9", "localhost", "[::1]", "::1" };
    static const char *const outside[] = { "0.0.0.0", "::", "[::]", "192.0.2.1" };
    char sentence[1024];
    for (size_t i = 0; i < VLM_COUNTOF(inside); i++) {
        int rc =
            try_server((struct vlm_http_options){ .host = inside[i] }, sentence, sizeof(sentence));
        if (rc && !strstr(sentence, "Cannot assign requested address") &&
            !strstr(sentence, "not supported"))
            fail_msg("%s: %s", inside[i], sentence);
    }
    for (size_t i = 0; i < VLM_COUNTOF(outside); i++) {
        assert_int_equal(
            try_server((struct vlm_http_options){ .host = outside[i] }, sentence, sizeof(sentence)),
            VLM_EUSAGE);
        assert_non_null(strstr(sentence, outside[i]));
        assert_non_null(strstr(sentence, "it needs an API key"));
    }
    assert_int_equal(
        try_server((struct vlm_http_options){ .host = "0.0.0.0", .keys = keys, .n_keys = 1 },
                   sentence, sizeof(sentence)),
        VLM_OK);
    assert_int_equal(
        try_server((struct vlm_http_options){ .host = "127.0.0.1", .keys = empty, .n_keys = 1 },
                   sentence, sizeof(sentence)),
        VLM_EUSAGE);
    assert_string_equal(sentence, "API key 1 is empty");
    assert_int_equal(
        try_server((struct vlm_http_options){ .host = "192.0.2.1", .keys = keys, .n_keys = 1 },
                   sentence, sizeof(sentence)),
        VLM_EFAIL);
    assert_non_null(strstr(sentence, "cannot listen on '192.0.2.1' port 0: "));

    struct server server;
    start_server(&server, &defaults);
    struct vlm_http_options same = defaults;
    same.port = vlm_http_server_port(server.http);
    assert_int_equal(try_server(same, sentence, sizeof(sentence)), VLM_EFAIL);
    assert_non_null(strstr(sentence, "Address already in use"));
    stop_server(&server);
    /* At once again, also after a connection that we closed. */
    same.handle = handle_test;
    assert_int_equal(try_server(same, sentence, sizeof(sentence)), VLM_OK);
}

static void unix_sockets_are_private_and_replaced_when_stale(void **state)
{
    (void)state;
    char *path = test_path("a.sock"), sentence[1024];
    struct stat info;
    struct server server;
    struct client client;
    struct vlm_http_options options = defaults;
    options.host = path;
    start_server(&server, &options);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(vlm_http_server_port(server.http), 0);
    assert_int_equal(try_server(options, sentence, sizeof(sentence)), VLM_EFAIL);
    assert_non_null(strstr(sentence, "another process does"));
    connect_client(&client, &server);
    say_text(&client, "GET /hello HTTP/1.1\r\nHost: anything\r\n\r\n");
    assert_true(wait_answers(&client, 1));
    assert_int_equal(status_of_answer(&client), 200);
    close_client(&client);
    stop_server(&server);
    assert_int_equal(stat(path, &info), -1);

    /* What a killed process leaves: bound, and nobody listens. */
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    close(fd);
    options.socket_mode = 0660;
    options.hosts = (const char *const[]){ "vlm.example.com" };
    options.n_hosts = 1;
    start_server(&server, &options);
    connect_client(&client, &server);
    say_text(&client, "GET /hello HTTP/1.1\r\nHost: vlm.example.com\r\n\r\n"
                      "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_true(wait_answers(&client, 2));
    assert_int_equal(status_of_answer(&client), 200);
    close_client(&client);
    connect_client(&client, &server);
    say_text(&client, "GET /hello HTTP/1.1\r\nHost: other.example.com\r\n\r\n");
    assert_true(wait_answers(&client, 1));
    assert_int_equal(status_of_answer(&client), 403);
    close_client(&client);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0660);
    /* One that another process has made meanwhile is not ours to delete. */
    unlink(path);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    stop_server(&server);
    assert_int_equal(stat(path, &info), 0);
    close(fd);
    assert_int_equal(try_server(options, sentence, sizeof(sentence)), VLM_EFAIL);
    assert_non_null(strstr(sentence, "it exists and is not a socket"));
    assert_int_equal(stat(path, &info), 0);
    unlink(path);
    free(path);
    options.host =
        "/tmp/"
        "a-path-that-does-not-fit-into-the-name-of-a-socket-because-it-has-more-bytes-than-the-"
        "hundred-and-eight-of-it.sock";
    assert_int_equal(try_server(options, sentence, sizeof(sentence)), VLM_EUSAGE);
    options.host = "/nowhere/at/all.sock";
    assert_int_equal(try_server(options, sentence, sizeof(sentence)), VLM_EFAIL);
}

static void connections_are_counted(void **state)
{
    (void)state;
    enum { N = 4 };
    struct server server;
    struct client client[N], more, last;
    struct vlm_http_options options = defaults;
    options.connections_max = N;
    start_server(&server, &options);
    for (size_t i = 0; i < N; i++) {
        connect_client(&client[i], &server);
        say_text(&client[i], HELLO);
        assert_true(wait_answers(&client[i], 1));
        pump_for(&server, 0.002);
    }
    /* The one that has been idle for longest makes room. */
    connect_client(&more, &server);
    say_text(&more, "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_true(wait_close(&client[0]));
    for (size_t i = 1; i < N; i++)
        say_text(&client[i], "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    pump_for(&server, 0.005);
    assert_int_equal(server.n_held, N);
    /* Nobody is idle: refused at once, and the others do not notice. */
    connect_client(&last, &server);
    say_text(&last, HELLO);
    assert_true(wait_close(&last));
    assert_int_equal(status_of_answer(&last), 503);
    assert_true(answer_has(&last, "\r\nRetry-After: 1\r\n"));
    assert_true(answer_has(&last, "\"there are too many connections\""));
    close_client(&last);
    for (size_t i = 0; i < N; i++)
        vlm_exchange_reply(server.held[i], 200, "text/plain", "held", 4);
    assert_true(wait_answers(&more, 1));
    for (size_t i = 1; i < N; i++)
        assert_true(wait_answers(&client[i], 2));
    for (size_t i = 0; i < N; i++)
        close_client(&client[i]);
    close_client(&more);
    pump_for(&server, 0.005);
    assert_int_equal(ask(&server, HELLO), 200);
    stop_server(&server);

    /* Ones that never said anything do so after a moment, ones with half a head after a second. */
    options.connections_max = 2;
    start_server(&server, &options);
    connect_client(&client[0], &server);
    connect_client(&client[1], &server);
    say_text(&client[1], "GET /hello");
    pump_for(&server, 0.002);
    assert_int_equal(ask(&server, HELLO), 503);
    pump_for(&server, 0.26);
    assert_int_equal(ask(&server, HELLO), 200);
    assert_true(wait_close(&client[0]));
    assert_int_equal(client[0].in.size, 0);
    say_text(&client[1], " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_true(wait_answers(&client[1], 1));
    close_client(&client[0]);
    close_client(&client[1]);
    stop_server(&server);

    options.connections_max = 10;
    options.address_connections_max = 2;
    start_server(&server, &options);
    connect_client(&client[0], &server);
    connect_client(&client[1], &server);
    pump_for(&server, 0.002);
    assert_int_equal(ask(&server, HELLO), 429);
    close_client(&client[0]);
    pump_for(&server, 0.002);
    assert_int_equal(ask(&server, HELLO), 200);
    close_client(&client[1]);
    stop_server(&server);
}

static size_t count_descriptors(void)
{
    size_t n = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

/* A flood of clients does not keep the loop from those who are there. */
static void a_turn_takes_few_clients(void **state)
{
    (void)state;
    enum { N = 200, TURN = 32 };
    struct server server;
    struct client client[N];
    start_server(&server, &defaults);
    for (size_t i = 0; i < N; i++)
        connect_client(&client[i], &server);
    const size_t before = count_descriptors();
    event_base_loop(server.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(count_descriptors(), before + TURN);
    for (size_t i = 0; i < N; i++)
        say_text(&client[i], HELLO);
    for (size_t i = 0; i < N; i++)
        assert_true(wait_answers(&client[i], 1));
    for (size_t i = 0; i < N; i++)
        close_client(&client[i]);
    stop_server(&server);
}

/* Half a body makes room after ten seconds, and only when nobody is between requests. */
static void half_a_body_makes_room(void **state)
{
    (void)state;
    enum { N = 4 };
    struct server server;
    struct client client[N];
    struct vlm_http_options options = defaults;
    options.connections_max = N - 1;
    start_server(&server, &options);
    for (size_t i = 0; i < N - 1; i++) {
        connect_client(&client[i], &server);
        say_text(&client[i],
                 i ? "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n1"
                   : HELLO);
        pump_for(&server, 0.005);
    }
    struct vlm_connection *old = server.http->first->next;
    assert_int_equal(old->state, VLM_CONNECTION_BODY);
    old->since -= 10;
    connect_client(&client[N - 1], &server);
    say_text(&client[N - 1], "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_true(wait_close(&client[0]));
    close_client(&client[0]);
    connect_client(&client[0], &server);
    say_text(&client[0], "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_true(wait_close(&client[1]) || client[1].reset);
    assert_int_equal(server.n_held, 2);
    assert_int_equal(ask(&server, HELLO), 503); /* the other is new */
    say_text(&client[2], "2");
    assert_true(wait_answers(&client[2], 1));
    for (size_t i = 0; i < N; i++)
        close_client(&client[i]);
    stop_server(&server);
}

/* Without descriptors listening pauses: the client waits, the loop sleeps. */
static void no_descriptors_is_a_pause(void **state)
{
    (void)state;
    struct server server;
    struct client client;
    struct rlimit limit, none;
    start_server(&server, &defaults);
    connect_client(&client, &server);
    say_text(&client, HELLO);
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = (rlim_t)client.fd + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    const struct timeval second = { 0, 20000 };
    size_t turns = 0;
    for (double end = vlm_now() + 0.06; vlm_now() < end; turns++) {
        event_base_loopexit(server.base, &second);
        event_base_loop(server.base, EVLOOP_ONCE);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_in_range(turns, 1, 20);
    receive(&client);
    assert_int_equal(client.in.size, 0);
    assert_true(wait_answers(&client, 1));
    assert_int_equal(status_of_answer(&client), 200);
    close_client(&client);
    stop_server(&server);
}

/* ---- the log ---- */

static json_object *read_line(char **at)
{
    struct vlm_err err = { 0 };
    json_object *line;
    char *end = strchr(*at, '\n');
    assert_non_null(end);
    if (vlm_json_parse(&line, *at, (size_t)(end - *at), &err))
        fail_msg("%s: %s", err.msg, *at);
    *at = end + 1;
    return line;
}

static const char *text_of(json_object *line, const char *key)
{
    json_object *value;
    assert_true(json_object_object_get_ex(line, key, &value));
    return json_object_get_string(value);
}

/* Four requests: answered, not found, left by its client, not understood. Returns the log, and the bytes of the first
 * answer. */
static char *make_log(size_t *answer)
{
    struct server server;
    struct client client;
    struct vlm_http_options options = defaults;
    char *text = NULL;
    size_t size;
    options.access_log = open_memstream(&text, &size);
    start_server(&server, &options);
    connect_client(&client, &server);
    say_text(
        &client,
        "POST /echo?key=marker1&b&c=marker1 HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: id-1\r\n"
        "Authorization: Bearer marker2\r\nCookie: marker3\r\nContent-Length: 7\r\n\r\nmarker4");
    assert_true(wait_answers(&client, 1));
    *answer = client.in.size;
    say_text(&client, "GET /a%22%c2%85%e2%80%ae HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_true(wait_answers(&client, 2));
    say_text(&client, "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    pump_for(&server, 0.02);
    *vlm_exchange_note(server.held[0]) = (struct vlm_exchange_note){
        .prompt_tokens = 11,
        .cached_tokens = 5,
        .completion_tokens = 7,
        .images = 2,
        .queue_seconds = 0.5,
        .first_token_seconds = 0.25,
        .finish = "cancelled",
    };
    close_client(&client);
    pump_for(&server, 0.02);
    assert_int_equal(ask(&server, "B\x01"
                                  "AD / HTTP/1.1\r\n\r\n"),
                     400);
    pump_for(&server, 0.002);
    stop_server(&server);
    fclose(options.access_log);
    return text;
}

static void the_log_says_what_happened_and_no_more(void **state)
{
    (void)state;
    size_t answer;
    char *text = make_log(&answer);
    char *at = text;
    json_object *line = read_line(&at);
    const char *time = text_of(line, "time");
    assert_int_equal(strlen(time), strlen("2026-01-31T12:00:00.123Z"));
    assert_true(time[10] == 'T' && time[19] == '.' && time[23] == 'Z');
    assert_string_equal(text_of(line, "id"), "id-1");
    assert_string_equal(text_of(line, "remote"), "127.0.0.1");
    assert_string_equal(text_of(line, "method"), "POST");
    assert_string_equal(text_of(line, "path"), "/echo?key=&b&c=");
    assert_string_equal(text_of(line, "status"), "200");
    assert_int_equal(strtoul(text_of(line, "bytes_out"), NULL, 10), answer);
    assert_in_range(strtoul(text_of(line, "bytes_in"), NULL, 10), 150, 250);
    assert_true(strtod(text_of(line, "seconds"), NULL) < 1);
    assert_false(json_object_object_get_ex(line, "prompt_tokens", NULL));
    json_object_put(line);

    line = read_line(&at);
    assert_string_equal(text_of(line, "path"), "/a%22%C2%85%E2%80%AE");
    assert_string_equal(text_of(line, "status"), "404");
    json_object_put(line);

    line = read_line(&at);
    assert_string_equal(text_of(line, "status"), "499");
    assert_string_equal(text_of(line, "prompt_tokens"), "11");
    assert_string_equal(text_of(line, "cached_tokens"), "5");
    assert_string_equal(text_of(line, "completion_tokens"), "7");
    assert_string_equal(text_of(line, "images"), "2");
    assert_string_equal(text_of(line, "queue_seconds"), "0.5");
    assert_string_equal(text_of(line, "first_token_seconds"), "0.25");
    assert_string_equal(text_of(line, "finish"), "cancelled");
    assert_true(strtod(text_of(line, "seconds"), NULL) > 0.01);
    json_object_put(line);

    line = read_line(&at);
    assert_string_equal(text_of(line, "status"), "400");
    assert_null(text_of(line, "method"));
    assert_null(text_of(line, "path"));
    json_object_put(line);
    assert_int_equal(*at, 0);
    assert_null(strstr(text, "marker"));
    free(text);
}

/* A disk that is full for the first lines. */
struct disk {
    struct vlm_buffer text;
    size_t full, short_of; /* writes that fail, then one that takes this much less */
};

static ssize_t write_disk(void *cookie, const char *bytes, size_t n)
{
    struct disk *disk = cookie;
    if (disk->full) {
        disk->full--;
        errno = ENOSPC;
        return 0;
    }
    if (disk->short_of && disk->short_of < n) {
        n -= disk->short_of;
        disk->short_of = 0;
    }
    vlm_buffer_add(&disk->text, bytes, n);
    return (ssize_t)n;
}

static void lost_lines_are_counted(void **state)
{
    (void)state;
    struct server server;
    struct vlm_http_options options = defaults;
    struct disk disk = { .full = 3 };
    options.access_log = fopencookie(&disk, "w", (cookie_io_functions_t){ .write = write_disk });
    assert_non_null(options.access_log);
    start_server(&server, &options);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(ask(&server, HELLO), 200);
        pump_for(&server, 0.002);
    }
    assert_int_equal(vlm_http_server_log_lost(server.http), 3);
    stop_server(&server);
    fclose(options.access_log);
    vlm_buffer_byte(&disk.text, '\0');
    char *at = (char *)disk.text.data;
    json_object *line = read_line(&at);
    assert_string_equal(text_of(line, "lost_lines"), "3");
    json_object_put(line);
    line = read_line(&at);
    assert_false(json_object_object_get_ex(line, "lost_lines", NULL));
    json_object_put(line);
    assert_int_equal(*at, 0);
    vlm_buffer_release(&disk.text);
}

/* A disk that is full in the middle of a line: the next one begins on a line of its own. */
static void a_cut_line_stands_alone(void **state)
{
    (void)state;
    struct server server;
    struct vlm_http_options options = defaults;
    struct disk disk = { .short_of = 20 };
    options.access_log = fopencookie(&disk, "w", (cookie_io_functions_t){ .write = write_disk });
    assert_non_null(options.access_log);
    setvbuf(options.access_log, NULL, _IONBF, 0);
    start_server(&server, &options);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ask(&server, HELLO), 200);
        pump_for(&server, 0.002);
    }
    stop_server(&server);
    fclose(options.access_log);
    vlm_buffer_byte(&disk.text, '\0');
    char *at = strchr((char *)disk.text.data, '\n');
    assert_non_null(at);
    at++;
    json_object *line = read_line(&at);
    assert_string_equal(text_of(line, "lost_lines"), "1");
    json_object_put(line);
    json_object_put(read_line(&at));
    assert_int_equal(*at, 0);
    vlm_buffer_release(&disk.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_origin_and_method_decide_together),
        cmocka_unit_test(only_named_pages_get_fields),
        cmocka_unit_test(keys_are_asked_for),
        cmocka_unit_test(only_loopback_is_open_to_all),
        cmocka_unit_test(unix_sockets_are_private_and_replaced_when_stale),
        cmocka_unit_test(connections_are_counted),
        cmocka_unit_test(half_a_body_makes_room),
        cmocka_unit_test(a_turn_takes_few_clients),
        cmocka_unit_test(no_descriptors_is_a_pause),
        cmocka_unit_test(the_log_says_what_happened_and_no_more),
        cmocka_unit_test(lost_lines_are_counted),
        cmocka_unit_test(a_cut_line_stands_alone),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
