/* bench_tokenize.c - the rate of text to tokens, one thread.
 *
 * Of each file the first pass is told apart: words were not seen then. Time is that of the thread,
 * so that other programs count less; for a comparison let the peer take turns in the same minutes. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/option.h"
#include "tokenize/text/text_tokenizer.h"
#include "tools/bench/bench_tokenize.h"

#include <time.h>

struct tokenize_bench {
    const char *tokenizer;
    int64_t passes;
    bool json;
};

struct file_result {
    const char *path;
    double bytes, first, best; /* seconds */
    size_t tokens;
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Passes over one file with an encoder that has seen nothing yet. */
static int measure(struct file_result *result, const struct vlm_text_tokenizer *tokenizer,
                   int64_t passes, struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    struct vlm_tokens tokens = { 0 };
    struct vlm_text_encoder *encoder = NULL;
    int rc = vlm_file_read(&text, result->path, VLM_GIB, err);
    if (rc == VLM_OK)
        rc = vlm_text_encoder_new(&encoder, tokenizer, err);
    for (int64_t pass = 0; rc == VLM_OK && pass < passes; pass++) {
        tokens.n = 0;
        double begin = seconds();
        rc = vlm_text_encode(encoder, &tokens, (const char *)text.data, text.size, 0, err);
        double taken = seconds() - begin;
        if (!pass)
            result->first = taken;
        if (!pass || taken < result->best)
            result->best = taken;
    }
    result->bytes = (double)text.size;
    result->tokens = tokens.n;
    vlm_text_encoder_free(encoder);
    vlm_tokens_release(&tokens);
    vlm_buffer_release(&text);
    return rc == VLM_OK ? rc : vlm_wrap(err, "%s", result->path);
}

static double rate(double amount, double taken)
{
    return taken > 0 ? amount / 1e6 / taken : 0;
}

static void print_json(const struct vlm_text_tokenizer *tokenizer,
                       const struct file_result *results, int n)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "job", "tokenize");
    vlm_json_member_string(&json, "tokenizer", vlm_text_tokenizer_id(tokenizer));
    vlm_json_key(&json, "files");
    vlm_json_open(&json, '[');
    for (int i = 0; i < n; i++) {
        vlm_json_open(&json, '{');
        vlm_json_member_string(&json, "path", results[i].path);
        vlm_json_key(&json, "megabytes");
        vlm_json_real(&json, results[i].bytes / 1e6);
        vlm_json_member_number(&json, "tokens", results[i].tokens);
        vlm_json_key(&json, "mb_per_second");
        vlm_json_real(&json, rate(results[i].bytes, results[i].best));
        vlm_json_key(&json, "first_mb_per_second");
        vlm_json_real(&json, rate(results[i].bytes, results[i].first));
        vlm_json_key(&json, "million_tokens_per_second");
        vlm_json_real(&json, rate((double)results[i].tokens, results[i].best));
        vlm_json_close(&json, '}');
    }
    vlm_json_close(&json, ']');
    vlm_json_close(&json, '}');
    printf("%.*s\n", (int)out.size, (const char *)out.data);
    vlm_buffer_release(&out);
}

static void print_table(const struct file_result *results, int n)
{
    printf("%10s %10s %10s %10s %10s  file\n", "MB", "tokens", "MB/s", "first", "Mtoken/s");
    for (int i = 0; i < n; i++)
        printf("%10.3f %10zu %10.1f %10.1f %10.1f  %s\n", results[i].bytes / 1e6, results[i].tokens,
               rate(results[i].bytes, results[i].best), rate(results[i].bytes, results[i].first),
               rate((double)results[i].tokens, results[i].best), results[i].path);
}

static int run(const struct tokenize_bench *bench, char **paths, int n, struct vlm_err *err)
{
    struct vlm_text_tokenizer *tokenizer = NULL;
    struct file_result *results = calloc((size_t)n, sizeof *results);
    int rc = results ? vlm_text_tokenizer_open(&tokenizer, bench->tokenizer, err)
                     : vlm_fail(err, VLM_ENOMEM, "no memory for %d results", n);
    for (int i = 0; rc == VLM_OK && i < n; i++) {
        results[i].path = paths[i];
        rc = measure(&results[i], tokenizer, bench->passes, err);
    }
    if (rc == VLM_OK && bench->json)
        print_json(tokenizer, results, n);
    else if (rc == VLM_OK)
        print_table(results, n);
    vlm_text_tokenizer_close(tokenizer);
    free(results);
    return rc;
}

int vlm_bench_tokenize(int argc, char **argv)
{
    struct tokenize_bench bench = { .passes = 5 };
    const struct vlm_option options[] = {
        VLM_OPTION_STRING('t', "tokenizer", &bench.tokenizer, "PATH",
                          "file or folder of a tokenizer; else the shipped one"),
        VLM_OPTION_NUMBER('r', "repeat", &bench.passes, "N", "passes over each file", 1, 1000),
    };
    const struct vlm_tool tool = {
        .name = "vlm-bench tokenize",
        .synopsis = "FILE... [options]",
        .summary = "Times text to tokens, one thread.",
        .options = options,
        .n_options = VLM_COUNTOF(options),
        .json = &bench.json,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc < 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "no file is named");
    if (rc == VLM_OK)
        rc = run(&bench, argv + 1, argc - 1, &err);
    return vlm_tool_end(&tool, rc, &err);
}
