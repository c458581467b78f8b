/* verb_train.c - vlm-vqgan train: pictures into a tokenizer, and how good it became. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/progress.h"
#include "tools/common/signals.h"
#include "tools/vqgan/evaluate.h"
#include "tools/vqgan/pictures.h"
#include "tools/vqgan/vqgan.h"

#include <sys/resource.h>

enum { EVALUATED_MAX = 1024, PCA_CODES = 1024, DTYPE_FP32 = 0, DTYPE_BF16 };

struct training {
    struct vlm_train_options options;
    struct vlm_pictures_options input;
    struct vlm_pictures pictures;
    struct vlm_pictures_counts counts;
    struct vlm_amount max_bad;
    struct vlm_coders coders;
    struct vlm_evaluation evaluation;
    struct vlm_buffer report; /* of the training, a JSON object */
    char *sheet;
    double started;
    bool json, no_pictures, too_bad;
};

static void print_counts(const struct training *training)
{
    const struct vlm_pictures_counts *counts = &training->counts;
    fprintf(stderr,
            "vlm-vqgan: pictures: %" PRIu64 " found, %zu to learn from, %zu held out; %" PRIu64
            " bad, %" PRIu64 " again, %" PRIu64 " too small\n",
            counts->found, training->pictures.train, training->pictures.held_out, counts->bad,
            counts->duplicates, counts->small);
    if (counts->beyond_memory)
        fprintf(stderr,
                "vlm-vqgan: %" PRIu64
                " more do not fit into --memory: those with the smallest SHA-256 are used\n",
                counts->beyond_memory);
}

static int gather(struct training *training, struct vlm_err *err)
{
    int rc = vlm_pictures_open(&training->pictures, &training->input, &training->counts, err);
    const struct vlm_pictures_counts *counts = &training->counts;
    if (rc < 0)
        return rc;
    if (!training->options.quiet)
        print_counts(training);
    if (counts->bad > vlm_amount_of(training->max_bad, counts->found)) {
        training->too_bad = true;
        return vlm_fail(err, VLM_EFORMAT,
                        "%" PRIu64 " of %" PRIu64
                        " pictures are bad, more than --max-bad allows: nothing was trained",
                        counts->bad, counts->found);
    }
    if (!training->pictures.train) {
        training->no_pictures = true;
        return vlm_fail(err, VLM_EFORMAT, "no picture to learn from, %zu held out",
                        training->pictures.held_out);
    }
    return VLM_OK;
}

/* On pictures that were held out, or, when there are none, on those that were learned from. */
static int evaluate(struct training *training, struct vlm_err *err)
{
    const struct vlm_train_options *options = &training->options;
    bool held_out = training->pictures.held_out > 0;
    training->sheet = vlm_path_join(options->output, "sheet.png");
    int rc = vlm_coders_open(&training->coders, options->output, VLM_PRECISION_EXACT,
                             (size_t)options->threads, err);
    if (rc == VLM_OK)
        rc = vlm_evaluation_init(&training->evaluation, &training->coders, err);
    if (rc == VLM_OK)
        rc = vlm_evaluate_pictures(&training->evaluation, &training->pictures, held_out,
                                   EVALUATED_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_evaluation_sheet(&training->evaluation, training->sheet, err);
    return rc;
}

static void add_counts(const struct training *training, struct vlm_json *json)
{
    const struct vlm_pictures_counts *counts = &training->counts;
    vlm_json_key(json, "pictures");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "found", counts->found);
    vlm_json_member_number(json, "bad", counts->bad);
    vlm_json_member_number(json, "duplicates", counts->duplicates);
    vlm_json_member_number(json, "too_small", counts->small);
    vlm_json_member_number(json, "beyond_memory", counts->beyond_memory);
    vlm_json_member_number(json, "train", training->pictures.train);
    vlm_json_member_number(json, "held_out", training->pictures.held_out);
    vlm_json_close(json, '}');
}

static void add_cost(const struct training *training, struct vlm_json *json)
{
    struct rusage usage;
    vlm_json_key(json, "seconds");
    vlm_json_real(json, vlm_now() - training->started);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        vlm_json_member_number(json, "peak_rss", (uint64_t)usage.ru_maxrss * 1024);
}

static int print_json(const struct training *training, struct vlm_err *err)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    json_object *report = NULL;
    int rc =
        vlm_json_parse(&report, (const char *)training->report.data, training->report.size, err);
    if (rc < 0)
        return vlm_wrap(err, "the report of the training");
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "tokenizer", vlm_tokenizer_info(training->coders.tokenizer).id);
    vlm_json_member_string(&json, "output", training->options.output);
    vlm_json_member_string(&json, "sheet", training->sheet);
    add_counts(training, &json);
    vlm_json_key(&json, "training");
    vlm_json_value(&json, report);
    vlm_json_member_string(&json, "evaluated_on",
                           training->pictures.held_out ? "held_out" : "train");
    vlm_json_key(&json, "evaluation");
    vlm_json_open(&json, '{');
    vlm_evaluation_write(&training->evaluation, &json);
    vlm_json_close(&json, '}');
    add_cost(training, &json);
    vlm_json_close(&json, '}');
    json_object_put(report);
    if (out.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for the report");
    else
        printf("%.*s\n", (int)out.size, (const char *)out.data);
    vlm_buffer_release(&out);
    return rc;
}

static void print_result(const struct training *training)
{
    fprintf(stderr, "%-12s %s, contact sheet %s\n", "model", training->options.output,
            training->sheet);
    fprintf(stderr, "%-12s %s\n", "measured on",
            training->pictures.held_out ? "pictures that were held out"
                                        : "the pictures it learned from (none were held out)");
    vlm_evaluation_print(&training->evaluation, stderr);
}

/* A run that came to its time limit leaves a model and figures as any other; after a signal somebody
 * waits for the end. */
static int run(struct training *training, struct vlm_err *err)
{
    struct vlm_err limit = { 0 };
    int rc = gather(training, err);
    if (rc == VLM_OK)
        rc = vlm_train_run(&training->pictures, &training->options, &training->report, err);
    if (rc == VLM_ESTOPPED && !*training->options.stop) {
        limit = *err;
        rc = VLM_OK;
    }
    if (rc == VLM_OK)
        rc = evaluate(training, err);
    if (rc == VLM_OK && training->json)
        rc = print_json(training, err);
    if (rc == VLM_OK && !training->options.quiet)
        print_result(training);
    if (rc == VLM_OK && limit.code)
        *err = limit;
    return rc == VLM_OK ? limit.code : rc;
}

static void release(struct training *training)
{
    vlm_evaluation_release(&training->evaluation);
    vlm_coders_close(&training->coders);
    vlm_pictures_close(&training->pictures);
    vlm_buffer_release(&training->report);
    free(training->sheet);
}

static int exit_status(const struct training *training, const struct vlm_tool *tool, int rc,
                       const struct vlm_err *err)
{
    int status = vlm_tool_end_caught(tool, rc, err);
    if (rc == VLM_ESTOPPED && status < 128)
        return VLM_EXIT_LIMIT; /* of time */
    if (training->too_bad)
        return VLM_EXIT_BAD_INPUT;
    return training->no_pictures ? VLM_EXIT_NOTHING : status;
}

/* A folder of something else, a language model say, is not written into. */
static int check_output(const char *folder, struct vlm_err *err)
{
    static const char ours[] = "\"vlm-tokenizer ";
    struct vlm_buffer text = { 0 };
    struct vlm_err absent;
    char *path = vlm_path_join(folder, "config.json");
    int rc = VLM_OK;
    if (vlm_file_read(&text, path, VLM_TOKENIZER_CONFIG_MAX, &absent) == VLM_OK &&
        !memmem(text.data, text.size, ours, strlen(ours)))
        rc = vlm_fail(err, VLM_EUSAGE, "'%s' is not of a tokenizer: choose another output", path);
    vlm_buffer_release(&text);
    free(path);
    return rc;
}

/* Turns the words of the command line into options. */
static int check(struct training *training, const char *held_out, const char *max_bad,
                 const char *time_limit, struct vlm_err *err)
{
    int rc = VLM_OK;
    if (!training->input.n_inputs)
        return vlm_fail(err, VLM_EUSAGE, "no input given");
    if (!training->options.output)
        return vlm_fail(err, VLM_EUSAGE, "no output given: use -o MODEL");
    rc = check_output(training->options.output, err);
    if (rc == VLM_OK)
        rc = vlm_amount_parse(&training->input.held_out, "held-out", held_out, err);
    if (rc == VLM_OK)
        rc = vlm_amount_parse(&training->max_bad, "max-bad", max_bad, err);
    if (rc == VLM_OK && time_limit)
        rc = vlm_duration_parse(&training->options.time_limit, "time-limit", time_limit, err);
    return rc;
}

int vlm_vqgan_train(int argc, char **argv)
{
    struct training training = {
        .input = { .memory = VLM_GIB, .program = "vlm-vqgan" },
        .started = vlm_now(),
    };
    struct vlm_train_options *options = &training.options;
    const char *held_out = "5%", *max_bad = "10%", *time_limit = NULL;
    int kind = VLM_TRAIN_PCA, dtype = DTYPE_FP32, store = DTYPE_FP32;
    int64_t seed = 0, side_min = 64;
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('o', "output", &options->output, "MODEL", "the model, a folder"),
        VLM_OPTION_CHOICE(0, "tokenizer", &kind, VLM_TRAIN_WORDS,
                          "pca: linear, seconds; vq-xs, vq-s: small VQGANs, hours"),
        VLM_OPTION_NUMBER(0, "codes", &options->codes, "K", "codes in the codebook, 0: as usual", 0,
                          65535),
        VLM_OPTION_NUMBER(0, "steps", &options->steps, "N", "steps in all, 0: as usual", 0,
                          INT32_MAX),
        VLM_OPTION_NUMBER(0, "batch-size", &options->batch, "N", "pictures in a step, 0: as usual",
                          0, 4096),
        VLM_OPTION_STRING(0, "time-limit", &time_limit, "TIME",
                          "stop with a whole model after 30s, 5m, 4h"),
        VLM_OPTION_CHOICE(0, "dtype", &dtype, "fp32|bf16", "operands of products in training"),
        VLM_OPTION_CHOICE(0, "store", &store, "fp32|bf16", "numbers in model.safetensors"),
        VLM_OPTION_STRING(0, "held-out", &held_out, "N|P%", "pictures to measure by, not to learn"),
        VLM_OPTION_STRING(0, "max-bad", &max_bad, "N|P%", "bad pictures that are accepted"),
        VLM_OPTION_NUMBER(0, "min-side", &side_min, "N",
                          "leave smaller pictures of crawls and sets out", 0, 4096),
        VLM_OPTION_NUMBER(0, "checkpoint-interval", &options->checkpoint_interval, "N",
                          "steps between checkpoints, 0: as usual", 0, INT32_MAX),
        VLM_OPTION_NUMBER(0, "eval-interval", &options->eval_interval, "N",
                          "steps between measurements, 0: as usual", 0, INT32_MAX),
        VLM_OPTION_FLAG(0, "overfit", &options->overfit, "whole squares as they are, for tests"),
        VLM_OPTION_NUMBER('j', "threads", &options->threads, "N", "0: all cores", 0, 1024),
        VLM_OPTION_SIZE(0, "memory", &training.input.memory, "SIZE", "for pictures", VLM_MIB,
                        1024 * VLM_GIB),
        VLM_OPTION_NUMBER(0, "seed", &seed, "N", "same seed and pictures: the same model", 0,
                          INT64_MAX),
        VLM_OPTION_CHOICE(0, "progress", &options->progress, VLM_PROGRESS_WORDS,
                          "how progress is shown"),
        VLM_OPTION_FLAG(0, "json", &training.json, "print the report as one JSON object"),
        VLM_OPTION_FLAG('q', "quiet", &options->quiet, "no progress and no summary"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-vqgan train",
        .synopsis = "INPUT... -o MODEL [options]",
        .summary = "Makes a tokenizer from pictures: image files, folders, shard sets, crawls and\n"
                   "archives. Measures it on pictures that were held out and shows them in\n"
                   "MODEL/sheet.png, originals above reconstructions. A long run goes on where it\n"
                   "stopped when the same command is given again.",
        .examples = "  vlm-vqgan train photos/ -o pca\n"
                    "  vlm-vqgan train out -o vq --tokenizer vq-xs --time-limit 4h\n"
                    "  vlm-vqgan train crawl.warc.gz -o pca --codes 4096 --json | jq .evaluation\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &training.json,
        .quiet = &options->quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK) {
        options->kind = (enum vlm_train_kind)kind;
        options->seed = (uint64_t)seed;
        options->bf16 = dtype == DTYPE_BF16;
        options->store_bf16 = store == DTYPE_BF16;
        training.input.inputs = argv + 1;
        training.input.n_inputs = (size_t)argc - 1;
        training.input.threads = (size_t)options->threads;
        training.input.side_min = (uint32_t)side_min;
        training.input.progress = options->progress;
        training.input.quiet = options->quiet;
        options->stop = vlm_catch_signals();
        training.input.stop = options->stop;
        training.input.read_stops = kind == VLM_TRAIN_PCA;
        if (kind == VLM_TRAIN_PCA && !options->codes)
            options->codes = PCA_CODES;
        rc = check(&training, held_out, max_bad, time_limit, &err);
    }
    if (rc == VLM_OK)
        rc = run(&training, &err);
    int status = exit_status(&training, &tool, rc, &err);
    release(&training);
    return status;
}
