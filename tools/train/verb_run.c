/* verb_run.c - vlm-train run, the verb that needs no name: shard sets into a model. */
#include "base/vlm.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/progress.h"
#include "tools/common/duration.h"
#include "tools/common/signals.h"
#include "tools/train/train_verbs.h"
#include "trainer/run/train.h"

enum { OPTIONS_MAX = 64 };

struct invocation {
    struct vlm_train_run_options options;
    struct vlm_settings settings;
    const char *mix, *validation, *time_limit;
    char *owned; /* names of the shard sets of --data */
    int dtype;
    int64_t seed;
    bool json;
};

static const char summary[] =
    "Trains a model on shard sets. RUN gets metrics.jsonl, samples/, checkpoints/ and model/, "
    "which is\n"
    "whole at any time. The same command goes on where a run was stopped, killed or ended early.\n"
    "Without options: the causal-masked model of CM3 (--recipe cm3) in the size tiny, some "
    "minutes.\n"
    "Other verbs: vlm-train eval, vlm-train dump.";
static const char examples[] =
    "  vlm-train shards -o run\n"
    "  vlm-train shards -o run --preset small --dtype bf16 --max-iters 20000 --time-limit 8h\n"
    "  vlm-train --data news:0.7,recipes:0.3 -o run --recipe cm3-modern\n"
    "  vlm-train shards -o run --set data.lambda=0 --init-from other/model\n"
    "  vlm-train shards -o run --preset 1.3b --dry-run\n";

static void add(struct vlm_option *table, size_t *n, const struct vlm_option *some, size_t count)
{
    VLM_BUG_IF(*n + count > OPTIONS_MAX);
    memcpy(table + *n, some, count * sizeof(*some));
    *n += count;
}

static void add_data_and_model(struct vlm_option *table, size_t *n, struct invocation *in)
{
    struct vlm_train_run_options *o = &in->options;
    const struct vlm_option some[] = {
        VLM_OPTION_STRING('o', "output", &o->output, "RUN", "folder of the run"),
        VLM_OPTION_STRING(0, "data", &in->mix, "A:W,B:W",
                          "shard sets with their shares of documents, instead of operands"),
        VLM_OPTION_STRING(0, "recipe", &o->recipe, "NAME|FILE",
                          "what is trained and how it sees documents: cm3 unless said"),
        VLM_OPTION_STRING(0, "preset", &o->preset, "NAME",
                          "size, from tiny to 13b: tiny unless the recipe says"),
        VLM_OPTION_STRING('t', "tokenizer", &o->tokenizer, "TOKENIZER",
                          "of text; else that of --init-from, or the shipped one"),
        VLM_OPTION_STRING(0, "image-tokenizer", &o->image_tokenizer, "MODEL",
                          "folder for pictures of samples; else the shipped one where it fits"),
        VLM_OPTION_STRING(0, "init-from", &o->init_from, "MODEL",
                          "begin with the weights and sizes of a model folder"),
        VLM_OPTION_CHOICE(0, "resume", &o->resume, VLM_RESUME_WORDS,
                          "go on with what RUN holds, never, or only"),
        VLM_OPTION_NUMBER(0, "n-layer", &o->layers, "N", "0: of the preset", 0, 1024),
        VLM_OPTION_NUMBER(0, "n-head", &o->heads, "N", "0: of the preset", 0, 1024),
        VLM_OPTION_NUMBER(0, "n-kv-head", &o->kv_heads, "N",
                          "heads of keys and values in cm3-modern, 0: of the preset", 0, 1024),
        VLM_OPTION_NUMBER(0, "n-embd", &o->width, "N", "width, 0: of the preset", 0, 65536),
        VLM_OPTION_NUMBER(0, "n-hidden", &o->hidden, "N", "width of feed-forward, 0: of the preset",
                          0, 1048576),
        VLM_OPTION_NUMBER(0, "block-size", &o->block, "N", "tokens of a sample, 0: of the preset",
                          0, 1048576),
    };
    add(table, n, some, VLM_COUNTOF(some));
}

static void add_steps(struct vlm_option *table, size_t *n, struct invocation *in)
{
    struct vlm_train_run_options *o = &in->options;
    const struct vlm_option some[] = {
        VLM_OPTION_NUMBER(0, "batch-size", &o->batch, "N",
                          "samples of full length in a micro-batch, 0: 4096 tokens", 0, 65536),
        VLM_OPTION_NUMBER(0, "gradient-accumulation-steps", &o->accumulation, "N",
                          "micro-batches of a step, 0: for the preset's tokens", 0, 65536),
        VLM_OPTION_NUMBER(0, "max-iters", &o->max_steps, "N", "steps in all, 0: 1000", 0,
                          INT32_MAX),
        VLM_OPTION_STRING(0, "time-limit", &in->time_limit, "TIME",
                          "stop after 30s, 5m, 4h with a checkpoint, status 6"),
        VLM_OPTION_STRING(0, "learning-rate", &o->learning_rate, "X",
                          "at its highest; else the preset's"),
        VLM_OPTION_STRING(0, "min-lr", &o->min_rate, "X", "at the end; else a tenth"),
        VLM_OPTION_CHOICE(0, "schedule", &o->schedule, VLM_SCHEDULE_WORDS,
                          "of the learning rate behind the warm-up"),
        VLM_OPTION_STRING(0, "power", &o->power, "X", "of polynomial and wsd; else 1"),
        VLM_OPTION_NUMBER(0, "warmup-iters", &o->warmup, "N",
                          "steps until the rate is highest, -1: a twentieth", -1, INT32_MAX),
        VLM_OPTION_NUMBER(0, "lr-decay-iters", &o->decay_steps, "N",
                          "steps until the rate is lowest, 0: max-iters", 0, INT32_MAX),
        VLM_OPTION_STRING(0, "weight-decay", &o->weight_decay, "X", "of matrices; else 0.1"),
        VLM_OPTION_STRING(0, "beta1", &o->beta1, "X", "of Adam; else 0.9"),
        VLM_OPTION_STRING(0, "beta2", &o->beta2, "X", "of Adam; else 0.95"),
        VLM_OPTION_STRING(0, "grad-clip", &o->grad_clip, "X", "longest gradient, 0: any; else 1"),
        VLM_OPTION_CHOICE(0, "dtype", &in->dtype, "fp32|bf16",
                          "operands of products; weights stay fp32"),
        VLM_OPTION_FLAG(0, "recompute", &o->recompute,
                        "layers run twice: less memory, a third slower, the same bits"),
        VLM_OPTION_FLAG(0, "overfit", &o->overfit, "the first batch in every step: a test"),
        VLM_OPTION_CHOICE(0, "on-spike", &o->on_bad, VLM_ON_SPIKE_WORDS,
                          "when three steps in a row are bad"),
    };
    add(table, n, some, VLM_COUNTOF(some));
}

static void add_intervals(struct vlm_option *table, size_t *n, struct invocation *in)
{
    struct vlm_train_run_options *o = &in->options;
    const struct vlm_option some[] = {
        VLM_OPTION_STRING(0, "validation", &in->validation, "SHARE",
                          "of documents, never trained on: 2% or 0.02"),
        VLM_OPTION_NUMBER(0, "eval-interval", &o->eval_interval, "N",
                          "steps between validations, 0: none", 0, INT32_MAX),
        VLM_OPTION_NUMBER(0, "eval-documents", &o->eval_documents, "N",
                          "documents of a validation, 0: all that were held out", 0, INT32_MAX),
        VLM_OPTION_NUMBER(0, "sample-interval", &o->sample_interval, "N",
                          "steps between samples, 0: none", 0, INT32_MAX),
        VLM_OPTION_NUMBER(0, "log-interval", &o->log_interval, "N",
                          "steps between lines of metrics.jsonl", 1, INT32_MAX),
        VLM_OPTION_NUMBER(0, "checkpoint-interval", &o->checkpoint_interval, "N",
                          "steps between checkpoints, 0: only at the end", 0, INT32_MAX),
        VLM_OPTION_NUMBER(0, "keep", &o->keep, "N", "newest checkpoints that are kept", 1, 1000),
        VLM_OPTION_NUMBER(0, "keep-every", &o->keep_every, "N",
                          "steps whose checkpoints are kept for ever, 0: none", 0, INT32_MAX),
    };
    add(table, n, some, VLM_COUNTOF(some));
}

static void add_common(struct vlm_option *table, size_t *n, struct invocation *in)
{
    struct vlm_train_run_options *o = &in->options;
    const struct vlm_option some[] = {
        VLM_OPTION_NUMBER('j', "threads", &o->threads, "N", "0: all cores; results are the same", 0,
                          1024),
        VLM_OPTION_SIZE(0, "memory", &o->memory, "SIZE",
                        "refuse to take more, 0: what the machine has free", 0, 1024 * VLM_GIB),
        VLM_OPTION_NUMBER(0, "seed", &in->seed, "N", "of weights, order and masks", 0, INT64_MAX),
        VLM_OPTION_FLAG(0, "no-verify", &o->data.no_verify,
                        "parts are not compared with their checksums first"),
        VLM_OPTION_FLAG(0, "dry-run", &o->dry_run,
                        "say what would be trained, and how much memory it takes"),
        VLM_OPTION_CHOICE(0, "progress", &o->progress, VLM_PROGRESS_WORDS, "how progress is shown"),
        VLM_OPTION_FLAG(0, "json", &in->json, "print the report as one JSON object"),
        VLM_OPTION_FLAG('q', "quiet", &o->quiet, "no progress and no summary"),
    };
    add(table, n, some, VLM_COUNTOF(some));
}

static void print_sentence(const char *sentence, void *context)
{
    const bool *quiet = context;
    if (!*quiet)
        vlm_tool_tell("vlm-train", sentence);
}

/* Turns the words of the command line into options. */
static int check(struct invocation *in, char **operands, size_t n, struct vlm_err *err)
{
    struct vlm_train_run_options *options = &in->options;
    options->settings = in->settings.line;
    options->n_settings = in->settings.n;
    options->seed = (uint64_t)in->seed;
    options->bf16 = in->dtype == 1;
    options->tell = print_sentence;
    options->tell_context = &options->quiet;
    int rc = vlm_train_sources(&options->data, &in->owned, in->mix, operands, n, err);
    if (rc == VLM_OK && (!options->output || !options->output[0]))
        rc = vlm_fail(err, VLM_EUSAGE, "no output given: use -o RUN");
    if (rc == VLM_OK)
        rc = vlm_train_share(&options->data.validation_share, "validation", in->validation, err);
    if (rc == VLM_OK && in->time_limit)
        rc = vlm_duration_parse(&options->time_limit, "time-limit", in->time_limit, err);
    return rc;
}

/* The report: for programs on stdout, for people on stderr. */
static void print_report(const struct invocation *in, const struct vlm_buffer *text)
{
    json_object *report = NULL;
    struct vlm_err ignored;
    if (!text->size || vlm_json_parse(&report, (const char *)text->data, text->size, &ignored) < 0)
        return;
    if (in->json)
        printf("%.*s\n", (int)text->size, (const char *)text->data);
    if (in->options.dry_run && !in->json)
        vlm_train_print_plan(stdout, report);
    else if (!in->options.dry_run && !in->options.quiet)
        vlm_train_print_report(stderr, report);
    json_object_put(report);
}

int vlm_train_verb_run(int argc, char **argv)
{
    struct invocation in = {
        .options = { .warmup = -1,
                     .eval_interval = 100,
                     .eval_documents = 64,
                     .sample_interval = 500,
                     .log_interval = 1,
                     .checkpoint_interval = 200,
                     .keep = 2 },
        .settings = { .sections = VLM_RECIPE_SECTIONS },
        .validation = VLM_VALIDATION_DEFAULT,
        .seed = 1,
    };
    struct vlm_option table[OPTIONS_MAX];
    size_t n = 0;
    add_data_and_model(table, &n, &in);
    add_steps(table, &n, &in);
    add_intervals(table, &n, &in);
    add_common(table, &n, &in);
    const struct vlm_tool tool = {
        .name = "vlm-train",
        .synopsis = "[run] OUT... -o RUN [options]",
        .summary = summary,
        .examples = examples,
        .options = table,
        .n_options = n,
        .json = &in.json,
        .quiet = &in.options.quiet,
        .settings = &in.settings,
    };
    struct vlm_err err = { 0 };
    struct vlm_buffer report = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK)
        rc = check(&in, argv + 1, (size_t)argc - 1, &err);
    if (rc == VLM_OK) {
        in.options.stop = vlm_catch_signals();
        rc = vlm_train_run_start(&in.options, &report, &err);
        print_report(&in, &report);
    }
    vlm_buffer_release(&report);
    free(in.owned);
    return vlm_tool_end_caught(&tool, rc, &err);
}
