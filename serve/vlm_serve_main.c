/* vlm_serve_main.c - vlm-serve: a model behind HTTP. */
#include "base/vlm.h"

#include "base/json.h"
#include "nn/engine.h"
#include "serve/picture/box.h"
#include "serve/run/server.h"
#include "tools/bench/bench_serve.h"
#include "tools/common/print.h"
#include "trainer/save/checkpoint.h"

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ---- signals ---- */

struct signals {
    struct vlm_server *server;
    struct event *event[3];
    bool stopping;
};

/* The first asks the server to stop, the second ends it. */
static void on_stop(evutil_socket_t number, short what, void *context)
{
    struct signals *signals = context;
    (void)what;
    if (signals->stopping)
        _exit(128 + (int)number);
    signals->stopping = true;
    vlm_server_stop(signals->server);
}

static void on_hangup(evutil_socket_t number, short what, void *context)
{
    struct signals *signals = context;
    (void)number;
    (void)what;
    vlm_server_reload(signals->server);
}

static int catch_signals(struct signals *signals, struct vlm_err *err)
{
    struct event_base *base = vlm_server_base(signals->server);
    signals->event[0] = evsignal_new(base, SIGTERM, on_stop, signals);
    signals->event[1] = evsignal_new(base, SIGINT, on_stop, signals);
    signals->event[2] = evsignal_new(base, SIGHUP, on_hangup, signals);
    for (size_t i = 0; i < VLM_COUNTOF(signals->event); i++)
        if (!signals->event[i] || event_add(signals->event[i], NULL))
            return vlm_fail(err, VLM_EFAIL, "cannot wait for signals");
    return VLM_OK;
}

static void release_signals(struct signals *signals)
{
    for (size_t i = 0; i < VLM_COUNTOF(signals->event); i++)
        if (signals->event[i])
            event_free(signals->event[i]);
}

/* ---- what is said ---- */

static int print_json(const struct vlm_server_facts *facts, struct vlm_err *err)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "url", facts->url);
    vlm_json_member_string(&json, "model", facts->model);
    vlm_json_member_string(&json, "recipe", facts->recipe);
    vlm_json_member_string(&json, "dtype", facts->dtype);
    vlm_json_member_number(&json, "parameters", facts->parameters);
    vlm_json_member_number(&json, "slots", facts->slots);
    vlm_json_member_number(&json, "ctx_size", facts->context);
    vlm_json_member_bool(&json, "images", facts->pictures);
    vlm_json_member_number(&json, "pid", (uint64_t)getpid());
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&out, '\n');
    int rc = vlm_print(&out, err);
    if (rc == VLM_OK && fflush(stdout)) /* now: whoever waits for the address would wait for ever */
        rc = vlm_fail_errno(err, errno, "cannot write to standard output");
    vlm_buffer_release(&out);
    return rc;
}

static int tell_ready(const struct vlm_server *server, const struct vlm_serve_options *options,
                      struct vlm_err *err)
{
    const struct vlm_server_facts facts = vlm_server_facts(server);
    char sentence[1024];
    snprintf(sentence, sizeof(sentence),
             "weights of %.1f MB, slots of %.1f MB, of them %" PRId64
             " for beginnings; %zu threads, kernels %s",
             (double)facts.weight_bytes / 1e6, (double)facts.cache_bytes / 1e6,
             options->cache_slots, facts.threads, facts.cpu);
    if (options->verbose && !options->quiet)
        vlm_tool_tell("vlm-serve", sentence);
    snprintf(sentence, sizeof(sentence),
             "%s: %s, %.1f M parameters in %s, %zu slots of %zu tokens, %.0f MB, %s; ready at %s",
             facts.model, facts.recipe, (double)facts.parameters / 1e6, facts.dtype, facts.slots,
             facts.context, (double)(facts.weight_bytes + facts.cache_bytes) / 1e6,
             facts.pictures ? "pictures" : "text only", facts.url);
    if (!options->quiet)
        vlm_tool_tell("vlm-serve", sentence);
    return options->json ? print_json(&facts, err) : VLM_OK;
}

/* ---- the program ---- */

static int serve(const struct vlm_serve_options *options, struct vlm_err *err)
{
    struct signals signals = { .server = NULL };
    int rc = vlm_server_new(&signals.server, options, err);
    if (rc != VLM_OK)
        return rc;
    rc = catch_signals(&signals, err);
    if (rc == VLM_OK)
        rc = tell_ready(signals.server, options, err);
    if (rc == VLM_OK)
        rc = vlm_server_run(signals.server, err);
    release_signals(&signals);
    vlm_server_free(signals.server);
    return rc;
}

/* No connection may become standard input or output because these came closed. */
static void hold_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

static void tell_warning(void *context, const char *sentence)
{
    (void)context;
    vlm_tool_tell("vlm-serve", sentence);
}

int main(int argc, char **argv)
{
    const struct vlm_tool tool = { .name = "vlm-serve" };
    struct vlm_serve_options options;
    struct vlm_err err = { 0 };
    if (argc > 1 && !strcmp(argv[1], VLM_BOX_VERB))
        return vlm_picture_box(argc, argv);
    vlm_engine_without_blas_threads(argv);
    prctl(PR_SET_NAME, "vlm-serve"); /* "exe" after the line above */
    hold_standard_descriptors();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error like a full disk */
    int rc = vlm_serve_options_parse(&options, argc, argv, &err);
    options.warn = tell_warning;
    if (rc == VLM_OK && options.verify)
        rc = vlm_model_sums_check(options.model, &err);
    if (rc == VLM_OK)
        rc = options.bench ? vlm_serve_bench(&options, &err) : serve(&options, &err);
    vlm_serve_options_release(&options);
    return vlm_tool_end(&tool, rc, &err);
}
