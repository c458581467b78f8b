/* serve_options.h - what vlm-serve was asked for. */
#ifndef VLM_SERVE_OPTIONS_H
#define VLM_SERVE_OPTIONS_H

#include "base/buffer.h"
#include "base/option.h"

enum { VLM_SERVE_LIST_MAX = 64 };

/* An option that may be repeated. */
struct vlm_serve_list {
    const char *item[VLM_SERVE_LIST_MAX];
    size_t n;
};

struct vlm_serve_options {
    const char *model, *host, *alias, *access_log;
    struct vlm_serve_list keys, hosts, origins, sets;
    int64_t port, parallel, context, threads, image_threads, queue, images, timeout, grace;
    int64_t cache_slots;
    uint64_t body_max, image_memory;
    int weights; /* enum vlm_weights */
    bool prefix_cache, warmup, verify, bench, json, quiet, verbose;
    int64_t bench_prompt, bench_tokens, bench_streams;
    /* Where the lists above come from beside the command line. */
    const char *key, *key_file, *allow_host, *allow_origin, *shards;
    /* Sentences for whoever runs the server, on the loop's thread; NULL: nobody hears them. */
    void (*warn)(void *context, const char *sentence);
    struct vlm_buffer key_text, key_copy; /* of the file; of the command line */
    size_t n_given_keys;                  /* the first ones, which are not of the file */
};

/* Reads the command line (argv is changed: keys are blanked in it), the environment and INI files; checks all that can be
 * checked without the model. The results of vlm_options_parse(). */
VLM_MUST_CHECK int vlm_serve_options_parse(struct vlm_serve_options *options, int argc, char **argv,
                                           struct vlm_err *err);
/* The keys as they are now, the file read again; they are in the options and in text, which is zeroed and the caller's to
 * release. The errors are those of vlm_serve_options_parse(); VLM_EUSAGE also when it is no regular file. */
VLM_MUST_CHECK int vlm_serve_options_keys(const struct vlm_serve_options *options,
                                          struct vlm_serve_list *keys, struct vlm_buffer *text,
                                          struct vlm_err *err);
/* Tokens of a slot, of a model that has most. VLM_EUSAGE: too many, or too few for a prompt and an answer. */
VLM_MUST_CHECK int vlm_serve_options_context(const struct vlm_serve_options *options,
                                             size_t *context, size_t most, struct vlm_err *err);
void vlm_serve_options_release(struct vlm_serve_options *options);

#endif
