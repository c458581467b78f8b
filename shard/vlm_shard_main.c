/* vlm_shard_main.c - vlm-shard: crawls into shard sets, and the question whether a set is whole. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/option.h"
#include "base/progress.h"
#include "nn/engine.h"
#include "shard/build.h"
#include "shard/parts/verify.h"
#include "shard/units/worker.h"
#include "tools/inspect/report_text.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static const char build_synopsis[] = "[build] INPUT... -o OUT [options]";
static const char build_summary[] =
    "Turns web crawls (WARC, ARC, WET, tar, zip, folders of pages and images, '-' for standard\n"
    "input) into a shard set: documents with their images, in LMDB files. Run the same command\n"
    "again after an interruption: it goes on where it stopped and gives the same bytes.\n"
    "Other verbs: vlm-shard verify OUT.";
static const char build_examples[] =
    "  vlm-shard crawl.warc.gz -o out\n"
    "  vlm-shard crawl/*.warc.gz -o out --profile m3w -j 8\n"
    "  vlm-shard saved-pages/ -o out --keep original\n"
    "  zcat crawl.warc.gz | vlm-shard - -o out --json | jq .documents\n";

/* The whole report on stdout for programs, what a person wants to know on stderr. */
static void print_report(const struct vlm_build_options *options, const struct vlm_buffer *text,
                         int status)
{
    json_object *report = NULL;
    struct vlm_err err;
    const char *output = options->output;
    if (vlm_json_parse(&report, (const char *)text->data, text->size, &err) < 0)
        return;
    if (options->json)
        printf("%.*s\n", (int)text->size, (const char *)text->data);
    if (!options->quiet)
        vlm_print_report(stderr, report);
    if (!options->quiet && options->verbose)
        vlm_print_parts(stderr, report);
    json_object_put(report);
    if (options->quiet)
        return;
    if (status == VLM_EXIT_NOTHING)
        fprintf(stderr, "vlm-shard: '%s' is empty: no document was kept\n", output);
    else if (status == VLM_EXIT_BAD_INPUT)
        fprintf(stderr,
                "vlm-shard: '%s' is whole, but more records were damaged than --max-bad allows\n",
                output);
    else
        fprintf(stderr, "vlm-shard: '%s' is ready; look inside: vlm-inspect summary %s\n", output,
                output);
}

static int build_main(int argc, char **argv)
{
    struct vlm_build_options options = {
        .content = { .keep = VLM_KEEP_SQUARE, .shard_bytes = VLM_GIB },
        .memory = 2 * (uint64_t)VLM_GIB,
        .max_bad = "10%",
    };
    int64_t seed = 0;
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('o', "output", &options.output, "OUT", "shard set to write, a folder"),
        VLM_OPTION_CHOICE(0, "profile", &options.content.profile, VLM_PROFILE_WORDS,
                          "filters; none drops only URL duplicates and opt-outs"),
        VLM_OPTION_CHOICE(0, "keep", &options.content.keep, VLM_KEEP_WORDS,
                          "of each image: nothing, its 256x256 square, or the original file too"),
        VLM_OPTION_CHOICE(0, "digest", &options.content.digest, VLM_DIGEST_WORDS,
                          "pages whose payload digest differs: count them, or drop them"),
        VLM_OPTION_SIZE(0, "shard-bytes", &options.content.shard_bytes, "SIZE",
                        "bytes of records in a part", VLM_MIB, 64 * VLM_GIB),
        VLM_OPTION_STRING(0, "images", &options.images, "PATH",
                          "a second crawl, archive or folder, only for its images"),
        VLM_OPTION_STRING(0, "image-tokenizer", &options.model, "MODEL|none",
                          "folder of the model that makes codes of images; else the shipped one"),
        VLM_OPTION_STRING(0, "max-bad", &options.max_bad, "N|P%",
                          "damaged records that still count as success"),
        VLM_OPTION_NUMBER('j', "threads", &options.threads, "N", "worker processes, 0: all cores",
                          0, 1024),
        VLM_OPTION_SIZE(0, "memory", &options.memory, "SIZE", "for sorting; more spills to disk",
                        16 * VLM_MIB, 1024 * VLM_GIB),
        VLM_OPTION_NUMBER(0, "seed", &seed, "N", "accepted for all tools; nothing is random here",
                          0, INT64_MAX),
        VLM_OPTION_CHOICE(0, "progress", &options.progress, VLM_PROGRESS_WORDS,
                          "how progress is shown"),
        VLM_OPTION_FLAG(0, "json", &options.json, "print the report as one JSON object"),
        VLM_OPTION_FLAG('q', "quiet", &options.quiet, "no progress"),
        VLM_OPTION_FLAG('v', "verbose", &options.verbose, "list the parts and what they cost"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-shard",
        .synopsis = build_synopsis,
        .summary = build_summary,
        .examples = build_examples,
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &options.json,
        .quiet = &options.quiet,
    };
    struct vlm_err err = { 0 };
    struct vlm_buffer report = { 0 };
    int status = VLM_EXIT_DONE;
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc < 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "no input given");
    if (rc == VLM_OK && !options.output)
        rc = vlm_fail(&err, VLM_EUSAGE, "no output given: use -o OUT");
    if (rc == VLM_OK)
        rc = vlm_build(argv + 1, (size_t)argc - 1, &options, &report, &status, &err);
    if (rc == VLM_OK)
        print_report(&options, &report, status);
    vlm_buffer_release(&report);
    int ended = vlm_tool_end(&tool, rc, &err);
    return ended && rc != VLM_ESTOPPED ? ended : status;
}

static void print_finding(const char *line, void *context)
{
    (void)context;
    printf("%s\n", line);
}

static int verify_main(int argc, char **argv)
{
    bool json = false, quiet = false;
    const struct vlm_option table[] = {
        VLM_OPTION_FLAG(0, "json", &json, "print the number of findings as JSON at the end"),
        VLM_OPTION_FLAG('q', "quiet", &quiet, "only findings"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-shard verify",
        .synopsis = "OUT",
        .summary =
            "Checks every byte, record and count of a shard set against its manifest. One line "
            "for\neach finding; exit status 5 when there is any.",
        .examples = "  vlm-shard verify out\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &json,
        .quiet = &quiet,
    };
    struct vlm_err err = { 0 };
    uint64_t findings = 0;
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc != 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "give one shard set to verify");
    if (rc == VLM_OK)
        rc = vlm_verify(argv[1], print_finding, NULL, &findings, &err);
    if (rc == VLM_OK && json)
        printf("{\"findings\": %" PRIu64 "}\n", findings);
    else if (rc == VLM_OK && !findings && !quiet)
        fprintf(stderr, "vlm-shard: '%s' is whole\n", argv[1]);
    int ended = vlm_tool_end(&tool, rc, &err);
    return ended ? ended : findings ? VLM_EXIT_DIFFERS : VLM_EXIT_DONE;
}

/* No file of ours may become standard input or output because these came closed. */
static void hold_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    vlm_engine_without_blas_threads(argv);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error to report, in workers too */
    if (!strcmp(verb, "worker"))
        return vlm_worker_main();
    hold_standard_descriptors();
    if (!strcmp(verb, "verify-part") && argc == 5)
        return vlm_verify_part_main(argv[2], argv[3], argv[4]);
    if (!strcmp(verb, "verify"))
        return verify_main(argc - 1, argv + 1);
    if (!strcmp(verb, "build"))
        return build_main(argc - 1, argv + 1);
    return build_main(argc, argv);
}
