/* serve_options.c - the options of vlm-serve: their table, the ones that may be repeated, keys from a file. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/limits.h"
#include "models/model/model_serve.h"
#include "serve/run/serve_options.h"

#include <sys/stat.h>

#define KEY_FILE_MAX (64 * VLM_KIB)

enum { KEY_MAX = 512 };

static int list_add(struct vlm_serve_list *list, const char *option, const char *item,
                    struct vlm_err *err)
{
    if (!*item)
        return vlm_fail(err, VLM_EUSAGE, "option '--%s': an empty value", option);
    if (list->n == VLM_SERVE_LIST_MAX)
        return vlm_fail(err, VLM_EUSAGE, "option '--%s': more than %d values", option,
                        VLM_SERVE_LIST_MAX);
    list->item[list->n++] = item;
    return VLM_OK;
}

/* Takes every --NAME VALUE out of argv, since the table knows an option once. One without a value stays, for the
 * table to complain. */
static int take(struct vlm_serve_list *list, int *argc, char **argv, const char *name,
                struct vlm_err *err)
{
    const size_t length = strlen(name);
    int kept = 1, rc = VLM_OK;
    for (int i = 1; i < *argc; i++) {
        const bool ours = !strncmp(argv[i], "--", 2) && !strncmp(argv[i] + 2, name, length);
        if (rc == VLM_OK && ours && !argv[i][length + 2] && i + 1 < *argc)
            rc = list_add(list, name, argv[++i], err);
        else if (rc == VLM_OK && ours && argv[i][length + 2] == '=')
            rc = list_add(list, name, argv[i] + length + 3, err);
        else
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    *argc = kept;
    return rc;
}

/* ---- keys ---- */

static int add_key(struct vlm_serve_list *keys, const char *key, const char *from,
                   struct vlm_err *err)
{
    const size_t n = strlen(key);
    for (size_t i = 0; i < n; i++)
        if (key[i] <= ' ' || key[i] > '~')
            return vlm_fail(err, VLM_EUSAGE, "%s: a key with a character that no header can hold",
                            from);
    if (n > KEY_MAX)
        return vlm_fail(err, VLM_EUSAGE, "%s: a key of %zu bytes, at most %d may be", from, n,
                        KEY_MAX);
    return list_add(keys, "api-key", key, err);
}

static int check_private(const char *path, struct vlm_err *err)
{
    struct stat status;
    if (stat(path, &status))
        return vlm_fail_errno(err, errno, "cannot read '%s'", path);
    if (S_ISREG(status.st_mode) && status.st_mode & (S_IRWXG | S_IRWXO))
        return vlm_fail(err, VLM_EUSAGE,
                        "'%s' has mode %04o: keys must be their owner's alone, use chmod 600", path,
                        status.st_mode & 07777U);
    return VLM_OK;
}

/* A key a line; empty lines and those with # in front are left out. */
static int read_keys(struct vlm_serve_list *keys, struct vlm_buffer *text, const char *path,
                     struct vlm_err *err)
{
    int rc = check_private(path, err);
    if (rc == VLM_OK)
        rc = vlm_file_read(text, path, KEY_FILE_MAX, err);
    if (rc == VLM_OK && text->size && memchr(text->data, 0, text->size)) /* it would cut a key */
        rc = vlm_fail(err, VLM_EUSAGE, "%s: a key with a character that no header can hold", path);
    vlm_buffer_byte(text, 0);
    if (rc == VLM_OK && text->failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for the keys of '%s'", path);
    char *rest = rc == VLM_OK ? (char *)text->data : NULL, *line;
    while (rc == VLM_OK && (line = strsep(&rest, "\n"))) {
        line[strcspn(line, "\r")] = 0;
        if (*line && *line != '#')
            rc = add_key(keys, line, path, err);
    }
    if (rc == VLM_OK && !keys->n)
        rc = vlm_fail(err, VLM_EUSAGE, "'%s' has no key", path);
    return rc;
}

int vlm_serve_options_keys(const struct vlm_serve_options *options, struct vlm_serve_list *keys,
                           struct vlm_buffer *text, struct vlm_err *err)
{
    const char *path = options->key_file;
    struct stat status;
    *keys = options->keys;
    keys->n = options->n_given_keys;
    if (path && !stat(path, &status) && !S_ISREG(status.st_mode)) /* a pipe may wait for ever */
        return vlm_fail(err, VLM_EUSAGE, "'%s' is not a file that can be read again", path);
    return path ? read_keys(keys, text, path, err) : VLM_OK;
}

/* Who lists processes shall not see it. The copy is in key_copy. */
static int hide_keys(struct vlm_serve_options *options, struct vlm_err *err)
{
    size_t size = 0, at = 0;
    for (size_t i = 0; i < options->keys.n; i++)
        size += strlen(options->keys.item[i]) + 1;
    uint8_t *copy = vlm_buffer_reserve(&options->key_copy, size + 1);
    if (!copy)
        return vlm_fail(err, VLM_ENOMEM, "no memory for keys");
    for (size_t i = 0; i < options->keys.n; i++) {
        char *given = (char *)(uintptr_t)options->keys.item[i];
        const size_t n = strlen(given);
        memcpy(copy + at, given, n + 1);
        memset(given, '*', n);
        options->keys.item[i] = (const char *)copy + at;
        at += n + 1;
    }
    return VLM_OK;
}

/* ---- the whole ---- */

static int take_lists(struct vlm_serve_options *options, int *argc, char **argv,
                      struct vlm_err *err)
{
    struct vlm_serve_list keys = { .n = 0 };
    int rc = take(&keys, argc, argv, "api-key", err);
    for (size_t i = 0; rc == VLM_OK && i < keys.n; i++)
        rc = add_key(&options->keys, keys.item[i], "option '--api-key'", err);
    if (rc == VLM_OK)
        rc = hide_keys(options, err);
    if (rc == VLM_OK)
        rc = take(&options->hosts, argc, argv, "allow-host", err);
    if (rc == VLM_OK)
        rc = take(&options->origins, argc, argv, "allow-origin", err);
    if (rc == VLM_OK)
        rc = take(&options->sets, argc, argv, "shards", err);
    return rc;
}

/* What came from the environment or a file, where the command line did not say more. */
static int finish(struct vlm_serve_options *options, struct vlm_err *err)
{
    int rc = VLM_OK;
    if (!options->model)
        rc = vlm_fail(err, VLM_EUSAGE, "no model given: use -m MODEL");
    if (rc == VLM_OK && options->key && !options->keys.n)
        rc = add_key(&options->keys, options->key, "the key", err);
    if (rc == VLM_OK && options->allow_host && !options->hosts.n)
        rc = list_add(&options->hosts, "allow-host", options->allow_host, err);
    if (rc == VLM_OK && options->allow_origin && !options->origins.n)
        rc = list_add(&options->origins, "allow-origin", options->allow_origin, err);
    if (rc == VLM_OK && options->shards && !options->sets.n)
        rc = list_add(&options->sets, "shards", options->shards, err);
    options->n_given_keys = options->keys.n;
    if (rc == VLM_OK && options->key_file)
        rc = read_keys(&options->keys, &options->key_text, options->key_file, err);
    if (rc == VLM_OK && options->access_log && !options->access_log[0])
        rc = vlm_fail(err, VLM_EUSAGE, "option '--access-log': an empty name");
    return rc;
}

int vlm_serve_options_context(const struct vlm_serve_options *options, size_t *context, size_t most,
                              struct vlm_err *err)
{
    const size_t wanted = (size_t)options->context;
    *context = wanted ? wanted : most;
    if (wanted > most)
        return vlm_fail(err, VLM_EUSAGE,
                        "option '--ctx-size': %zu tokens are more than the %zu of the model",
                        wanted, most);
    if (wanted == 1)
        return vlm_fail(err, VLM_EUSAGE,
                        "option '--ctx-size': 1 token, a prompt and an answer take 2 at least");
    return VLM_OK;
}

void vlm_serve_options_release(struct vlm_serve_options *options)
{
    vlm_buffer_release(&options->key_text);
    vlm_buffer_release(&options->key_copy);
}

static void set_defaults(struct vlm_serve_options *options)
{
    *options = (struct vlm_serve_options){
        .host = "127.0.0.1",
        .port = 8080,
        .parallel = 8, /* beams of 5, as CM3 has them for captions, find their slots */
        .image_threads = 1,
        .queue = 64,
        .images = 16,
        .timeout = 600,
        .grace = 30,
        .cache_slots = 4,
        .body_max = 32 * VLM_MIB,
        .image_memory = 256 * VLM_MIB,
        .prefix_cache = true,
        .warmup = true,
        .verify = true,
    };
}

int vlm_serve_options_parse(struct vlm_serve_options *options, int argc, char **argv,
                            struct vlm_err *err)
{
    set_defaults(options);
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('m', "model", &options->model, "MODEL", "folder of a model"),
        VLM_OPTION_STRING(0, "host", &options->host, "HOST",
                          "address to listen at, or PATH.sock: a UNIX socket"),
        VLM_OPTION_NUMBER(0, "port", &options->port, "N", "0: any that is free", 0, 65535),
        VLM_OPTION_NUMBER(0, "parallel", &options->parallel, "N",
                          "slots: answers that are made at the same time", 1, 256),
        VLM_OPTION_NUMBER(0, "ctx-size", &options->context, "N",
                          "tokens of a slot, prompt and answer together; 0: the model's", 0,
                          VLM_MODEL_CONTEXT_MAX),
        VLM_OPTION_CHOICE(0, "dtype", &options->weights, VLM_WEIGHTS_WORDS, "of the weights"),
        VLM_OPTION_NUMBER('j', "threads", &options->threads, "N", "of the model; 0: all cores", 0,
                          1024),
        VLM_OPTION_NUMBER(0, "image-threads", &options->image_threads, "N",
                          "that make codes of pictures and pictures of codes", 1, 256),
        VLM_OPTION_SIZE(0, "image-memory", &options->image_memory, "SIZE",
                        "pictures that are kept, by their hash", 0, INT64_MAX),
        VLM_OPTION_FLAG(0, "prefix-cache", &options->prefix_cache,
                        "begin with what an earlier prompt has computed"),
        VLM_OPTION_NUMBER(0, "cache-slots", &options->cache_slots, "N",
                          "slots beside those, which only keep beginnings of prompts", 0, 4096),
        VLM_OPTION_STRING(0, "alias", &options->alias, "NAME",
                          "of the model for clients; without, that of its folder"),
        VLM_OPTION_STRING(0, "api-key", &options->key, "KEY",
                          "that clients must send; may be repeated"),
        VLM_OPTION_STRING(0, "api-key-file", &options->key_file, "FILE",
                          "keys, one a line; only its owner may read it"),
        VLM_OPTION_STRING(0, "allow-host", &options->allow_host, "NAME",
                          "that requests may be for beside the address; may be repeated"),
        VLM_OPTION_STRING(0, "allow-origin", &options->allow_origin, "ORIGIN",
                          "whose pages may ask; may be repeated"),
        VLM_OPTION_SIZE(0, "max-body", &options->body_max, "SIZE", "of a request", 1024,
                        (int64_t)VLM_GIB),
        VLM_OPTION_NUMBER(0, "max-images", &options->images, "N", "pictures in a request", 0, 1024),
        VLM_OPTION_NUMBER(0, "max-queue", &options->queue, "N",
                          "requests that wait for a slot; more are refused", 1, 65536),
        VLM_OPTION_NUMBER(0, "timeout", &options->timeout, "SECONDS",
                          "that a request may take, waiting included; 0: any", 0, 86400),
        VLM_OPTION_NUMBER(0, "grace", &options->grace, "SECONDS",
                          "that answers under way have when the server is to stop", 0, 86400),
        VLM_OPTION_STRING(0, "shards", &options->shards, "OUT",
                          "shard set whose deleted pictures are refused; may be repeated"),
        VLM_OPTION_STRING(0, "access-log", &options->access_log, "FILE",
                          "a JSON line for each request; '-': standard output"),
        VLM_OPTION_FLAG(0, "verify", &options->verify,
                        "compare the model's files with its SHA256SUMS first"),
        VLM_OPTION_FLAG(0, "warmup", &options->warmup,
                        "take all memory and run the model once before it is ready"),
        VLM_OPTION_FLAG(0, "bench", &options->bench, "measure the model's speed and end"),
        VLM_OPTION_NUMBER(0, "bench-prompt", &options->bench_prompt, "N",
                          "tokens of a prompt; 0: an eighth of the context, at most 512", 0,
                          VLM_MODEL_CONTEXT_MAX),
        VLM_OPTION_NUMBER(0, "bench-tokens", &options->bench_tokens, "N",
                          "tokens of an answer; 0: as --bench-prompt", 0, VLM_MODEL_CONTEXT_MAX),
        VLM_OPTION_NUMBER(0, "bench-streams", &options->bench_streams, "N",
                          "at the same time; 0: as --parallel", 0, 256),
        VLM_OPTION_FLAG('v', "verbose", &options->verbose, "say more about memory and threads"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-serve",
        .synopsis = "-m MODEL [options]",
        .summary =
            "Serves a model over HTTP: text, holes in text and in pictures, and pictures, for\n"
            "clients of OpenAI and llama.cpp. GET /openapi.json describes all requests. It\n"
            "listens on this machine only unless it is told otherwise, for which keys are\n"
            "needed. SIGTERM lets answers under way come to their end.",
        .examples = "  vlm-serve -m run/model\n"
                    "  vlm-serve -m run/model --dtype bf16 --parallel 16 --port 0 --json\n"
                    "  vlm-serve -m run/model --host 0.0.0.0 --api-key-file keys\n"
                    "  vlm-serve -m run/model --host /run/vlm/vlm.sock --shards shards\n"
                    "  vlm-serve -m run/model --bench\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &options->json,
        .quiet = &options->quiet,
    };
    int rc = take_lists(options, &argc, argv, err);
    if (rc == VLM_OK)
        rc = vlm_options_parse_alone(&tool, argc, argv, err);
    return rc == VLM_OK ? finish(options, err) : rc;
}
