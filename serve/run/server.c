/* server.c - model, work thread, pictures and listener, made in that order and taken apart in the reverse.
 *
 * What a process takes for its life is estimated before it is taken: weights by the folder, slots here. */
#include "base/vlm.h"

#include "base/available.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/progress.h"
#include "serve/api/service.h"
#include "serve/run/notify.h"
#include "serve/run/server.h"

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define DRAIN_INTERVAL 0.02 /* seconds between two looks at what is still under way */
#define LAST_WORDS     2.0  /* seconds that failed streams have to be sent */
#define PING_SECONDS   30

enum { DESCRIPTORS_OF_OURS = 40, CONNECTIONS_LEAST = 8, WARM_PROMPT = 64, WARM_TOKENS = 4 };

struct vlm_server {
    const struct vlm_serve_options *options;
    struct vlm_engine engine;
    struct vlm_model_folder *folder;
    struct vlm_choices choices;
    struct vlm_sequencer *sequencer;
    struct vlm_metrics *metrics;
    struct event_base *base;
    struct vlm_work *work;
    struct vlm_pictures *pictures;
    struct vlm_service service;
    struct vlm_http_server *http;
    FILE *access_log;
    struct event *drain, *watchdog;
    double stop_at; /* when the grace is over; 0: nobody has asked to stop */
    double watchdog_seconds;
    bool ended; /* the grace is over */
    char *path; /* of the model, whole */
    char name[256];
    char url[VLM_SERVER_URL_SIZE];
    size_t context, cache_bytes, parameters;
    uint64_t model_hash;
};

/* ---- the model ---- */

static int check_memory(struct vlm_server *server, struct vlm_err *err)
{
    const struct vlm_serve_options *options = server->options;
    const size_t slots = (size_t)(options->parallel + options->cache_slots);
    const size_t slot = vlm_decoder_slot_bytes(&server->folder->model, server->context);
    const size_t have = vlm_memory_available();
    if (__builtin_mul_overflow(slots, slot, &server->cache_bytes))
        server->cache_bytes = SIZE_MAX;
    if (server->cache_bytes <= have)
        return VLM_OK;
    return vlm_fail(err, VLM_ELIMIT,
                    "%zu slots of %zu tokens take %.1f GB of memory, %.1f are free: use a smaller "
                    "--parallel, --cache-slots or --ctx-size",
                    slots, server->context, (double)server->cache_bytes / 1e9, (double)have / 1e9);
}

static int name_model(struct vlm_server *server, struct vlm_err *err)
{
    const char *alias = server->options->alias, *name = alias;
    size_t n = alias ? strlen(alias) : 0;
    server->path = realpath(server->options->model, NULL);
    if (!alias && server->path)
        name = vlm_path_last(server->path, &n);
    if (!n || n >= sizeof(server->name))
        return vlm_fail(err, VLM_EUSAGE,
                        "the model's name is empty or longer than %zu bytes: use --alias",
                        sizeof(server->name) - 1);
    memcpy(server->name, name, n);
    return VLM_OK;
}

static int open_model(struct vlm_server *server, struct vlm_err *err)
{
    const struct vlm_serve_options *options = server->options;
    int rc = vlm_model_folder_open(&server->folder, options->model, 0, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_model_folder *folder = server->folder;
    server->parameters = folder->model.count;
    server->model_hash = /* before they are packed: that of a folder, whatever --dtype */
        vlm_xxh3(folder->model.values, folder->model.count * sizeof(*folder->model.values));
    if (!folder->tokenizer)
        return vlm_fail(err, VLM_EFORMAT, "'%s' has no text tokenizer: a prompt has no ids",
                        options->model);
    rc = name_model(server, err);
    if (rc == VLM_OK)
        rc =
            vlm_serve_options_context(options, &server->context, folder->model.config.context, err);
    if (rc == VLM_OK)
        rc = check_memory(server, err);
    if (rc == VLM_OK)
        rc = vlm_engine_init(&server->engine, (size_t)options->threads, VLM_GEMM_OWN, err);
    if (rc == VLM_OK)
        rc = vlm_choices_init(&server->choices, &server->engine, &folder->model,
                              &folder->vocabulary, err);
    if (rc == VLM_OK)
        rc = vlm_model_serve(&folder->model, &server->engine, (enum vlm_weights)options->weights,
                             err);
    return rc == VLM_OK ? vlm_sequencer_new(&server->sequencer, &folder->vocabulary, err) : rc;
}

/* ---- the parts ---- */

static int start_work(struct vlm_server *server, struct vlm_err *err)
{
    const struct vlm_serve_options *options = server->options;
    const enum vlm_weights weights = (enum vlm_weights)options->weights;
    int rc = vlm_metrics_new(&server->metrics, err);
    if (rc != VLM_OK)
        return rc;
    vlm_metrics_build(server->metrics, server->engine.kernels->name, vlm_weights_word(weights));
    const struct vlm_work_options work = {
        .engine = &server->engine,
        .model = &server->folder->model,
        .choices = &server->choices,
        .decoder = { .slots = (size_t)options->parallel,
                     .capacity = server->context,
                     .parked = (size_t)options->cache_slots,
                     .precision = vlm_model_serve_precision(weights),
                     .no_prefix_cache = !options->prefix_cache,
                     .filled = options->warmup },
        .queue_max = (size_t)options->queue,
        .metrics = server->metrics,
    };
    return vlm_work_new(&server->work, server->base, &work, err);
}

static int start_pictures(struct vlm_server *server, struct vlm_err *err)
{
    const struct vlm_serve_options *options = server->options;
    for (size_t i = 0; i < options->sets.n; i++)
        if (access(options->sets.item[i], R_OK | X_OK))
            return vlm_fail_errno(err, errno, "cannot read the shard set '%s'",
                                  options->sets.item[i]);
    if (!server->folder->images)
        return VLM_OK;
    const struct vlm_pictures_options pictures = {
        .tokenizer = server->folder->images,
        .threads = (size_t)options->image_threads,
        .kept_bytes = options->image_memory,
        .program = "/proc/self/exe",
        .sets = options->sets.item,
        .n_sets = options->sets.n,
        .metrics = server->metrics,
        .warn = options->warn,
    };
    return vlm_pictures_new(&server->pictures, server->base, &pictures, err);
}

static void fill_service(struct vlm_server *server)
{
    const struct vlm_service_limits limits = VLM_SERVICE_LIMITS;
    server->service = (struct vlm_service){
        .model_name = server->name,
        .folder = server->folder,
        .choices = &server->choices,
        .sequencer = server->sequencer,
        .work = server->work,
        .pictures = server->pictures,
        .metrics = server->metrics,
        .base = server->base,
        .limits = limits,
        .slots = (size_t)server->options->parallel,
        .context = server->context,
        .weights = (enum vlm_weights)server->options->weights,
        .model_hash = server->model_hash,
        .started = (uint64_t)time(NULL),
        .ping_seconds = PING_SECONDS,
        .timeout_seconds = (double)server->options->timeout,
    };
    server->service.limits.images = (size_t)server->options->images;
}

/* A short answer that nobody reads: memory is there, steps have been measured, and a model that gives no numbers is
 * found before a client finds it. */
struct warmup {
    struct vlm_server *server;
    int rc;
    struct vlm_err *err;
};

static void on_warm(struct vlm_job *job, const struct vlm_job_event *event)
{
    struct warmup *it = job->context;
    if (event->kind == VLM_JOB_FAILED) {
        it->rc = event->rc;
        *it->err = *event->err;
    }
    if (event->kind == VLM_JOB_FAILED || event->kind == VLM_JOB_DONE)
        event_base_loopbreak(it->server->base);
}

static int warm_up(struct vlm_server *server, struct vlm_err *err)
{
    const struct vlm_choice *text = &server->choices.text;
    uint32_t ids[WARM_PROMPT] = { 0 };
    for (size_t i = 1; i < WARM_PROMPT; i++)
        ids[i] = text->n ? text->ids[i * 7919 % text->n] : 0;
    const size_t half = VLM_MAX(server->context / 2, (size_t)1);
    struct vlm_job_branch branch = {
        .prompt = { .ids = ids, .n = VLM_MIN((size_t)WARM_PROMPT, half) },
        .options = VLM_GENERATE_DEFAULTS,
    };
    struct warmup it = { .server = server, .err = err };
    struct vlm_job job = {
        .branches = &branch, .n_branches = 1, .on_event = on_warm, .context = &it
    };
    branch.options.max_tokens = WARM_TOKENS;
    int rc = vlm_work_submit(server->work, &job, err);
    if (rc != VLM_OK)
        return rc;
    event_base_dispatch(server->base);
    vlm_work_cancel(server->work, &job);
    return it.rc == VLM_OK ? VLM_OK
                           : vlm_wrap(err, "the first answer of '%s'", server->options->model);
}

/* ---- the listener ---- */

static int open_log(struct vlm_server *server, struct vlm_err *err)
{
    const char *path = server->options->access_log;
    if (!path)
        return VLM_OK;
    int fd = strcmp(path, "-") ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640)
                               : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    server->access_log = fd < 0 ? NULL : fdopen(fd, "a");
    if (!server->access_log)
        return vlm_fail_errno(err, errno, "cannot open the access log '%s'", path);
    setvbuf(server->access_log, NULL, _IONBF, 0);
    return VLM_OK;
}

/* ---- once more ---- */

static int reopen_log(struct vlm_server *server, struct vlm_err *err)
{
    const char *path = server->options->access_log;
    if (!server->access_log || !strcmp(path, "-"))
        return VLM_OK;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return vlm_fail_errno(err, errno, "cannot open the access log '%s' again", path);
    fflush(server->access_log);
    dup3(fd, fileno(server->access_log), O_CLOEXEC);
    close(fd);
    return VLM_OK;
}

static int reload_keys(struct vlm_server *server, struct vlm_err *err)
{
    struct vlm_serve_list keys;
    struct vlm_buffer text = { 0 };
    if (!server->options->key_file)
        return VLM_OK;
    int rc = vlm_serve_options_keys(server->options, &keys, &text, err);
    if (rc == VLM_OK)
        rc = vlm_http_server_set_keys(server->http, keys.item, keys.n, err);
    vlm_buffer_release(&text);
    return rc == VLM_OK ? rc : vlm_wrap(err, "the keys stay as they were");
}

void vlm_server_reload(struct vlm_server *server)
{
    int (*const parts[])(struct vlm_server *, struct vlm_err *) = { reopen_log, reload_keys };
    for (size_t i = 0; i < VLM_COUNTOF(parts); i++) {
        struct vlm_err err = { 0 };
        if (parts[i](server, &err) != VLM_OK && server->options->warn)
            server->options->warn(NULL, err.msg);
    }
}

/* ---- descriptors ---- */

/* As many descriptors as the system lets us have; connections are bounded by what that is. */
static size_t connections_max(void)
{
    struct vlm_http_options defaults = VLM_HTTP_DEFAULTS;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return defaults.connections_max;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = VLM_MIN(limit.rlim_max, (rlim_t)65536);
        if (setrlimit(RLIMIT_NOFILE, &limit))
            return CONNECTIONS_LEAST;
    }
    const size_t files = (size_t)VLM_MIN(limit.rlim_cur, (rlim_t)65536);
    const size_t left = files > DESCRIPTORS_OF_OURS ? files - DESCRIPTORS_OF_OURS : 0;
    return VLM_MIN(VLM_MAX(left, (size_t)CONNECTIONS_LEAST), defaults.connections_max);
}

static bool is_socket_path(const char *host)
{
    const size_t n = strlen(host);
    return strchr(host, '/') || (n > 5 && !strcmp(host + n - 5, ".sock"));
}

static void write_url(struct vlm_server *server)
{
    const char *host = server->options->host;
    if (is_socket_path(host))
        snprintf(server->url, sizeof(server->url), "unix:%s", host);
    else
        snprintf(server->url, sizeof(server->url),
                 strchr(host, ':') ? "http://[%s]:%u" : "http://%s:%u", host,
                 (unsigned)vlm_http_server_port(server->http));
}

static int listen_at(struct vlm_server *server, struct vlm_err *err)
{
    /* What a probe or a browser asks first; nothing there depends on who asks. */
    static const char *const open_paths[] = {
        "/health", "/v1/health", "/live", "/ready", "/", NULL
    };
    const struct vlm_serve_options *options = server->options;
    struct vlm_http_options http = VLM_HTTP_DEFAULTS;
    http.host = options->host;
    http.port = (uint16_t)options->port;
    http.socket_mode = 0660;
    http.keys = options->keys.item;
    http.n_keys = options->keys.n;
    http.hosts = options->hosts.item;
    http.n_hosts = options->hosts.n;
    http.origins = options->origins.item;
    http.n_origins = options->origins.n;
    http.open_paths = open_paths;
    http.body_max = options->body_max;
    http.connections_max = connections_max();
    http.address_connections_max = http.connections_max;
    http.access_log = server->access_log;
    http.handle = vlm_service_handle;
    http.context = &server->service;
    int rc = vlm_http_server_new(&server->http, server->base, &http, err);
    if (rc == VLM_OK)
        write_url(server);
    server->service.http = server->http;
    return rc;
}

/* ---- its life ---- */

static int start_parts(struct vlm_server *server, struct vlm_err *err)
{
    server->base = event_base_new();
    int rc = server->base ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "cannot make an event loop");
    if (rc == VLM_OK)
        rc = start_work(server, err);
    if (rc == VLM_OK)
        rc = start_pictures(server, err);
    if (rc == VLM_OK && server->options->warmup)
        rc = warm_up(server, err);
    if (rc == VLM_OK)
        rc = open_log(server, err);
    fill_service(server);
    return rc == VLM_OK ? listen_at(server, err) : rc;
}

int vlm_server_new(struct vlm_server **out, const struct vlm_serve_options *options,
                   struct vlm_err *err)
{
    struct vlm_server *server = *out = calloc(1, sizeof(*server));
    if (!server)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a server");
    server->options = options;
    int rc = open_model(server, err);
    if (rc == VLM_OK)
        rc = start_parts(server, err);
    if (rc != VLM_OK) {
        vlm_server_free(server);
        *out = NULL;
    }
    return rc;
}

void vlm_server_free(struct vlm_server *server)
{
    if (!server)
        return;
    vlm_http_server_free(server->http);
    vlm_pictures_free(server->pictures);
    vlm_work_free(server->work);
    if (server->drain)
        event_free(server->drain);
    if (server->watchdog)
        event_free(server->watchdog);
    if (server->base)
        event_base_free(server->base);
    if (server->access_log)
        fclose(server->access_log);
    vlm_metrics_free(server->metrics);
    vlm_sequencer_free(server->sequencer);
    vlm_choices_release(&server->choices);
    vlm_model_folder_close(server->folder);
    vlm_engine_release(&server->engine);
    free(server->path);
    free(server);
}

struct event_base *vlm_server_base(struct vlm_server *server)
{
    return server->base;
}

/* A sign of life, as long as the work thread gives one. */
static void watch(evutil_socket_t fd, short what, void *context)
{
    struct vlm_server *server = context;
    (void)fd;
    (void)what;
    if (vlm_work_state(server->work).heartbeat_age < server->watchdog_seconds / 2)
        vlm_notify("WATCHDOG=1");
}

static void look_at_drain(evutil_socket_t fd, short what, void *context)
{
    struct vlm_server *server = context;
    (void)fd;
    (void)what;
    const double now = vlm_now();
    if (!vlm_http_server_exchanges(server->http) || now >= server->stop_at + LAST_WORDS) {
        event_base_loopbreak(server->base);
    } else if (now >= server->stop_at && !server->ended) {
        server->ended = true;
        vlm_work_end(server->work);
    }
}

static struct event *every(struct vlm_server *server, double seconds, event_callback_fn call)
{
    struct event *event = event_new(server->base, -1, EV_PERSIST, call, server);
    const struct timeval time = vlm_timeval(seconds);
    if (event)
        event_add(event, &time);
    return event;
}

int vlm_server_run(struct vlm_server *server, struct vlm_err *err)
{
    server->watchdog_seconds = vlm_notify_watchdog();
    if (server->watchdog_seconds > 0)
        server->watchdog = every(server, server->watchdog_seconds / 4, watch);
    vlm_notify("READY=1");
    if (event_base_dispatch(server->base) < 0)
        return vlm_fail(err, VLM_EFAIL, "the event loop failed");
    return VLM_OK;
}

void vlm_server_stop(struct vlm_server *server)
{
    if (server->stop_at > 0)
        return;
    vlm_notify("STOPPING=1");
    server->service.draining = true;
    server->stop_at = vlm_now() + (double)server->options->grace;
    vlm_http_server_stop_listening(server->http);
    server->drain = every(server, DRAIN_INTERVAL, look_at_drain);
    if (!server->drain)
        event_base_loopbreak(server->base);
}

struct vlm_server_facts vlm_server_facts(const struct vlm_server *server)
{
    return (struct vlm_server_facts){
        .url = server->url,
        .model = server->name,
        .recipe = server->folder->recipe.name,
        .dtype = vlm_weights_word((enum vlm_weights)server->options->weights),
        .cpu = server->engine.kernels->name,
        .parameters = server->parameters,
        .slots = (size_t)server->options->parallel,
        .context = server->context,
        .threads = vlm_pool_threads(server->engine.pool),
        .weight_bytes = vlm_model_serve_bytes(&server->folder->model),
        .cache_bytes = server->cache_bytes,
        .pictures = server->pictures != NULL,
    };
}
