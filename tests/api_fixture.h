/* api_fixture.h - the server as a whole in this process, with a small model of random weights, and a client that asks it in
 * raw HTTP. One program has one: struct fixture it. */
#ifndef VLM_TESTS_API_FIXTURE_H
#define VLM_TESTS_API_FIXTURE_H

#include "base/json.h"
#include "base/progress.h"
#include "serve/run/server.h"
#include "tests/model_folder_fixture.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

enum { CONTEXT = 400 };

struct fixture {
    struct fixture_model model;
    struct vlm_serve_options options;
    struct vlm_server *server;
    char *path;
    uint16_t port;
};
static struct fixture it;

struct answer {
    int status;
    struct vlm_buffer bytes; /* head and body, NUL behind */
    const char *body;
    json_object *json; /* NULL: it is none */
};

/* ---- the server ---- */

static inline void make_model(const char *name)
{
    struct vlm_err err = { 0 };
    const struct fixture_form *form = fixture_forms;
    struct vlm_model_config config;
    while (strcmp(form->name, name) != 0)
        form++;
    fixture_model_init(&it.model, form);
    config = it.model.model.config;
    config.context = CONTEXT;
    vlm_model_release(&it.model.model);
    fixture_check(vlm_model_init(&it.model.model, &config, 0, &err), &err);
    vlm_model_fill(&it.model.model, 5);
    for (size_t i = 0; i < it.model.model.n; i++) {
        struct vlm_random random = vlm_random_at(11, 0, i);
        struct vlm_tensor *tensor = &it.model.model.tensors[i];
        for (size_t k = 0; tensor->rank == 2 && k < vlm_tensor_count(tensor); k++)
            tensor->data[k] += (float)vlm_random_below(&random, 1000) * 4e-4f - 0.2f;
    }
    it.path = test_path(name);
    fixture_model_write(&it.model, form, it.path);
}

/* The server of it.path, with up to two options more, each with its value; NULL: none. */
static inline int start_folder(const char *const *more)
{
    struct vlm_err err = { 0 };
    char *argv[14] = { (char *)"vlm-serve", (char *)"-m", it.path,
                       (char *)"--port",    (char *)"0",  (char *)"--parallel",
                       (char *)"4",         (char *)"-j", (char *)"1" };
    int argc = 9;
    for (; more && *more && argc < 13; more++)
        argv[argc++] = (char *)(uintptr_t)*more;
    int rc = vlm_serve_options_parse(&it.options, argc, argv, &err);
    fixture_check(rc, &err);
    fixture_check(vlm_server_new(&it.server, &it.options, &err), &err);
    const char *colon = strrchr(vlm_server_facts(it.server).url, ':');
    it.port = (uint16_t)strtoul(colon + 1, NULL, 10);
    return 0;
}

static inline int start_with(const char *name, const char *const *more)
{
    it = (struct fixture){ .path = NULL };
    make_model(name);
    return start_folder(more);
}

static inline int start(const char *name)
{
    return start_with(name, NULL);
}

static inline int start_modern(void **state)
{
    (void)state;
    return start("modern");
}

static inline int start_lm(void **state)
{
    (void)state;
    return start("lm");
}

static inline int start_captioner(void **state)
{
    (void)state;
    return start("captioner");
}

static inline int stop(void **state)
{
    (void)state;
    vlm_server_free(it.server);
    vlm_serve_options_release(&it.options);
    fixture_model_release(&it.model);
    free(it.path);
    return 0;
}

/* ---- a client ---- */

static inline void pump(void)
{
    event_base_loop(vlm_server_base(it.server), EVLOOP_NONBLOCK);
}

static inline int dial(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(it.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(0, connect(fd, (struct sockaddr *)&at, sizeof(at)));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static inline void send_all(int fd, const char *bytes, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, bytes, n, 0);
        if (sent > 0) {
            bytes += sent;
            n -= (size_t)sent;
        } else {
            assert_int_equal(EAGAIN, errno);
        }
        pump();
    }
}

static inline void send_request(int fd, const char *method, const char *path, const char *body,
                                size_t n)
{
    struct vlm_buffer out = { 0 };
    vlm_buffer_printf(&out, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", method,
                      path);
    if (body)
        vlm_buffer_printf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", n);
    vlm_buffer_text(&out, "\r\n");
    vlm_buffer_add(&out, body, n);
    send_all(fd, (const char *)out.data, out.size);
    vlm_buffer_release(&out);
}

/* Until the server closes, or `enough` bytes are there. */
static inline void receive(int fd, struct vlm_buffer *in, size_t enough)
{
    const double end = vlm_now() + 20;
    while (in->size < enough) {
        uint8_t *to = vlm_buffer_reserve(in, 65536);
        assert_non_null(to);
        ssize_t n = recv(fd, to, 65536, 0);
        if (n > 0)
            in->size += (size_t)n;
        if (n == 0)
            break;
        pump();
        if (n < 0)
            usleep(200);
        assert_true(vlm_now() < end);
    }
}

/* The body without the frames of chunks, in its place. */
static inline void unchunk(char *body)
{
    char *to = body;
    for (char *at = body;;) {
        char *after;
        const size_t n = strtoul(at, &after, 16);
        if (!n || strncmp(after, "\r\n", 2) != 0)
            break;
        memmove(to, after + 2, n);
        to += n;
        at = after + 2 + n + 2;
    }
    *to = 0;
}

static inline struct answer ask_bytes(const char *method, const char *path, const char *body,
                                      size_t n)
{
    struct answer answer = { 0 };
    struct vlm_err err = { 0 };
    int fd = dial();
    send_request(fd, method, path, body, n);
    receive(fd, &answer.bytes, SIZE_MAX);
    close(fd);
    vlm_buffer_byte(&answer.bytes, 0);
    char *text = (char *)answer.bytes.data, *end = strstr(text, "\r\n\r\n");
    if (!end || sscanf(text, "HTTP/1.1 %d", &answer.status) != 1)
        fail_msg("%s %s: no answer: '%.60s'", method, path, text);
    if (strstr(text, "Transfer-Encoding: chunked"))
        unchunk(end + 4);
    answer.body = end + 4;
    if (*answer.body == '{' || *answer.body == '[')
        if (vlm_json_parse(&answer.json, answer.body, strlen(answer.body), &err))
            fail_msg("%s %s: %s: %s", method, path, err.msg, answer.body);
    return answer;
}

static inline struct answer ask(const char *path, const char *body)
{
    return ask_bytes(body ? "POST" : "GET", path, body, body ? strlen(body) : 0);
}

static inline void forget(struct answer *answer)
{
    json_object_put(answer->json);
    vlm_buffer_release(&answer->bytes);
}

/* A member by a path of names and numbers: "choices.0.text"; NULL: it is not there. */
static inline json_object *at(json_object *object, const char *path)
{
    char name[64];
    while (*path && object) {
        const size_t n = strcspn(path, ".");
        snprintf(name, sizeof(name), "%.*s", (int)n, path);
        if (json_object_is_type(object, json_type_array))
            object = json_object_array_get_idx(object, strtoul(name, NULL, 10));
        else if (!json_object_object_get_ex(object, name, &object))
            return NULL;
        path += n + (path[n] == '.');
    }
    return object;
}

static inline const char *text_at(const struct answer *answer, const char *path)
{
    json_object *found = at(answer->json, path);
    if (!found)
        fail_msg("no '%s' in %s", path, answer->body);
    return json_object_get_string(found);
}

static inline int64_t number_at(const struct answer *answer, const char *path)
{
    json_object *found = at(answer->json, path);
    if (!found)
        fail_msg("no '%s' in %s", path, answer->body);
    return json_object_get_int64(found);
}

static inline struct answer ask_well(const char *path, const char *body)
{
    struct answer answer = ask(path, body);
    if (answer.status != 200)
        fail_msg("%s %s: %d %s", path, body ? body : "", answer.status, answer.body);
    return answer;
}

/* The data of the next event, moved on behind it; NULL: there is none. */
static inline json_object *next_event(const char **text)
{
    struct vlm_err err = { 0 };
    json_object *event = NULL;
    const char *data = strstr(*text, "data: ");
    if (!data || !strncmp(data, "data: [DONE]", 12))
        return NULL;
    const char *end = strstr(data, "\n\n");
    assert_non_null(end);
    if (vlm_json_parse(&event, data + 6, (size_t)(end - data - 6), &err))
        fail_msg("%s: %.*s", err.msg, (int)(end - data), data);
    *text = end;
    return event;
}

#endif
