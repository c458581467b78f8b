/* build.c - the phases of a build: plan, units, seal, manifest; resume is the list of whole units.
 *
 * OUT/.work holds the plan and the unit files until the manifest stands; whatever is missing then is
 * made again. Two builds never work in one folder: the work folder is locked. */
#include "base/vlm.h"

#include "shard/build.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/progress.h"
#include "shard/parts/manifest.h"
#include "shard/units/plan.h"
#include "shard/units/crew.h"
#include "shard/parts/seal.h"
#include "shard/units/stop.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct build {
    const struct vlm_build_options *options;
    struct vlm_plan plan;
    struct vlm_run_report report;
    struct vlm_crew_state crew;
    struct vlm_progress progress;
    char *folder; /* OUT/.work */
    double started;
    int lock;
};

/* "5" items, or "10%" of all. */
static int parse_max_bad(const char *text, uint64_t all, uint64_t *limit, struct vlm_err *err)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    bool percent = !strcmp(end, "%");
    bool in_range = value >= 0 && value < 1e18; /* not a number is neither */
    if (end == text || (*end && !percent) || !in_range || (percent && value > 100) || errno)
        return vlm_fail(err, VLM_EUSAGE,
                        "option '--max-bad': '%s' is neither a number nor a percentage", text);
    *limit = percent ? (uint64_t)(value / 100 * (double)all) : (uint64_t)value;
    return VLM_OK;
}

/* Exit status of a finished set: too many bad inputs, nothing produced, or done. */
static int judge(const struct vlm_buffer *text, const char *max_bad, int *status,
                 struct vlm_err *err)
{
    json_object *report = NULL;
    uint64_t allowed;
    int rc = vlm_json_parse(&report, (const char *)text->data, text->size, err);
    json_object *records = json_object_object_get(report, "records");
    json_object *documents = json_object_object_get(report, "documents");
    uint64_t damaged = json_object_get_uint64(json_object_object_get(records, "damaged"));
    uint64_t in = json_object_get_uint64(json_object_object_get(records, "in"));
    if (rc == VLM_OK)
        rc = parse_max_bad(max_bad, in + damaged, &allowed, err);
    if (rc == VLM_OK)
        *status = damaged > allowed ? VLM_EXIT_BAD_INPUT
                  : json_object_get_uint64(json_object_object_get(documents, "kept")) == 0
                      ? VLM_EXIT_NOTHING
                      : VLM_EXIT_DONE;
    json_object_put(report);
    return rc;
}

/* The work folder -------------------------------------------------------------------------------- */

static int open_folder(struct build *build, struct vlm_err *err)
{
    int rc = vlm_folder_make(build->folder, err);
    if (rc < 0)
        return rc;
    char *path = vlm_path_join(build->folder, "lock");
    build->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (build->lock < 0)
        rc = vlm_fail_errno(err, errno, "cannot write '%s'", path);
    else if (flock(build->lock, LOCK_EX | LOCK_NB) < 0)
        rc = vlm_fail(err, VLM_EFAIL, "another vlm-shard is working on '%s'",
                      build->options->output);
    free(path);
    return rc;
}

/* Standard input has no size and cannot be read twice: it is copied to a file first. */
static int spool_stdin(struct build *build, char **path, struct vlm_err *err)
{
    static uint8_t bytes[1 << 20];
    char *temporary = vlm_path_join(build->folder, "stdin.tmp");
    *path = vlm_path_join(build->folder, "stdin");
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int rc = fd < 0 ? vlm_fail_errno(err, errno, "cannot write '%s'", temporary) : VLM_OK;
    ssize_t n = 0;
    while (rc == VLM_OK && (n = read(STDIN_FILENO, bytes, sizeof(bytes))) > 0)
        rc = vlm_write_all(fd, bytes, (size_t)n, temporary, err);
    if (rc == VLM_OK && n < 0)
        rc = vlm_fail_errno(err, errno, "cannot read standard input");
    if (rc == VLM_OK)
        rc = vlm_file_publish(fd, temporary, *path, err);
    if (fd >= 0)
        close(fd);
    free(temporary);
    return rc;
}

/* The plan of an earlier run must be this one; the first run writes it down. */
static int check_plan(struct build *build, struct vlm_err *err)
{
    struct vlm_buffer was = { 0 };
    char *path = vlm_path_join(build->folder, "plan.json");
    int rc = VLM_OK;
    if (access(path, F_OK) < 0)
        rc = vlm_file_write(path, build->plan.text.data, build->plan.text.size, err);
    else
        rc = vlm_file_read(&was, path, VLM_GIB, err);
    if (rc == VLM_OK && was.data)
        rc = vlm_plan_compare((const char *)was.data, was.size, &build->plan,
                              build->options->output, err);
    vlm_buffer_release(&was);
    free(path);
    return rc;
}

/* Beginning, end and size of the inputs are in the plan; a change in the middle shows in their times. */
static int check_times(struct build *build, struct vlm_err *err)
{
    struct vlm_buffer was = { 0 };
    char now[17], *path = vlm_path_join(build->folder, "times");
    snprintf(now, sizeof(now), "%016" PRIx64, build->plan.times);
    int rc = access(path, F_OK) < 0 ? vlm_file_write(path, now, 16, err)
                                    : vlm_file_read(&was, path, 16, err);
    if (rc == VLM_OK && was.data && (was.size != 16 || memcmp(was.data, now, 16)))
        rc = vlm_fail(err, VLM_EUSAGE,
                      "an input has changed since '%s' was begun: delete '%s' to begin again",
                      build->options->output, build->folder);
    vlm_buffer_release(&was);
    free(path);
    return rc;
}

/* A finished set that has lost a part is not finished. */
static int check_parts(const char *output, const struct vlm_manifest *manifest, struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < manifest->n_parts; i++) {
        struct stat about;
        char *path = vlm_path_join(output, manifest->parts[i].name);
        if (stat(path, &about) < 0 || (uint64_t)about.st_size != manifest->parts[i].size)
            rc = vlm_fail(err, VLM_EDIFFER,
                          "'%s' is missing or damaged: delete '%s' to build again", path, output);
        free(path);
    }
    return rc;
}

/* A finished set: the same plan means that there is nothing to do. */
static int check_finished(struct build *build, struct vlm_buffer *report, bool *finished,
                          struct vlm_err *err)
{
    struct vlm_manifest manifest;
    int rc = vlm_manifest_read(&manifest, build->options->output, err);
    *finished = rc == VLM_OK;
    if (rc == VLM_OK) {
        const char *was = json_object_to_json_string_ext(
            manifest.plan, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        json_object *is = NULL;
        rc = vlm_json_parse(&is, (const char *)build->plan.text.data, build->plan.text.size, err);
        if (rc == VLM_OK && !json_object_equal(manifest.plan, is))
            rc = vlm_plan_compare(was, strlen(was), &build->plan, build->options->output, err);
        json_object_put(is);
        if (rc == VLM_OK)
            rc = check_parts(build->options->output, &manifest, err);
        vlm_json_value(&(struct vlm_json){ .out = report }, manifest.report);
    }
    vlm_manifest_release(&manifest);
    return rc == VLM_SKIP ? VLM_OK : rc;
}

/* Progress --------------------------------------------------------------------------------------- */

static void tell_units(const struct vlm_crew_state *state, void *context)
{
    struct build *build = context;
    char line[200], documents[VLM_FORMAT_SIZE], images[VLM_FORMAT_SIZE], memory[VLM_FORMAT_SIZE],
        eta[VLM_FORMAT_SIZE];
    double seconds = vlm_progress_seconds(&build->progress);
    double all = (double)(build->plan.bytes - VLM_MIN(state->bytes_resumed, build->plan.bytes));
    double done = (double)(state->bytes - VLM_MIN(state->bytes, state->bytes_resumed));
    double share = build->plan.bytes ? (double)state->bytes / (double)build->plan.bytes : 1;
    double rate = 1 / VLM_MAX(seconds, 1e-3);
    snprintf(line, sizeof(line),
             "shard %5.1f%%  %s docs  %.0f doc/s  %s images  %.0f img/s  rss %s  eta %s",
             100 * share, vlm_format_count(documents, (double)state->documents),
             (double)state->documents * rate, vlm_format_count(images, (double)state->images),
             (double)state->images * rate, vlm_format_bytes(memory, (double)state->memory),
             vlm_format_eta(eta, seconds, all > 0 ? done / all : 1));
    vlm_progress_update(&build->progress, share, line);
}

static void tell_seal(uint64_t done, uint64_t all, void *context)
{
    struct build *build = context;
    char line[200], documents[VLM_FORMAT_SIZE];
    const struct vlm_ledger *ledger = &build->report.ledger;
    double referenced = (double)VLM_MAX(vlm_ledger_referenced(ledger), 1);
    double share = all ? (double)done / (double)all : 1;
    snprintf(line, sizeof(line), "seal  %5.1f%%  %s docs  join %.1f%%", 100 * share,
             vlm_format_count(documents, (double)done),
             100 * (double)vlm_ledger_joined(ledger) / referenced);
    vlm_progress_update(&build->progress, share, line);
}

/* The phases ------------------------------------------------------------------------------------- */

/* The most memory this process ever had. (getrusage would tell of the program before exec too.) */
static uint64_t own_memory_peak(void)
{
    char line[128];
    uint64_t bytes = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof(line), file))
        if (!strncmp(line, "VmHWM:", 6))
            bytes = strtoull(line + 6, NULL, 10) * 1024;
    if (file)
        fclose(file);
    return bytes;
}

static int write_manifest(struct build *build, struct vlm_buffer *report, struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    struct vlm_json json = { .out = report };
    build->report.bytes_in = build->plan.bytes;
    build->report.seconds = vlm_now() - build->started;
    build->report.crashes = build->crew.crashes;
    build->report.clock_fired = build->crew.clock_fired;
    build->report.unconfined = build->crew.unconfined;
    build->report.memory_peak = VLM_MAX(build->crew.memory_peak, own_memory_peak());
    vlm_report_write(&json, &build->report);
    vlm_manifest_write(&text, &build->report, &build->plan.text);
    char *path = vlm_path_join(build->options->output, "manifest.json");
    int rc = text.failed || report->failed ? vlm_fail(err, VLM_ENOMEM, "no memory for the manifest")
                                           : vlm_file_write(path, text.data, text.size, err);
    free(path);
    vlm_buffer_release(&text);
    return rc;
}

static int run_phases(struct build *build, struct vlm_buffer *report, int *status,
                      struct vlm_err *err)
{
    int signal_number = 0;
    int rc = check_plan(build, err);
    if (rc == VLM_OK)
        rc = check_times(build, err);
    if (rc == VLM_OK)
        rc = vlm_crew_run(&build->plan, build->folder, build->options, tell_units, build,
                          &build->crew, &signal_number, err);
    if (rc == VLM_OK)
        rc = vlm_seal_run(&build->plan, build->folder, build->options, &build->report, tell_seal,
                          build, err);
    if (rc == VLM_ESTOPPED)
        *status = 128 + (signal_number ? signal_number : vlm_stop_pending());
    if (rc == VLM_OK)
        rc = write_manifest(build, report, err);
    if (rc == VLM_OK)
        rc = vlm_folder_delete(build->folder, err);
    vlm_progress_end(&build->progress);
    if (rc == VLM_ELIMIT)
        return vlm_append(err, "; make room and run the same command to go on");
    return rc;
}

static bool has_stdin(char *const *paths, size_t n_paths)
{
    for (size_t i = 0; i < n_paths; i++)
        if (!strcmp(paths[i], "-"))
            return true;
    return false;
}

/* Descriptors of workers and unit files are many; the soft limit is often 1024. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = VLM_MIN(limit.rlim_max, (rlim_t)65536);
        (void)!setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The work folder of an input that cannot be read is not left behind in a fresh output. */
static int make_plan(struct build *build, char *const *paths, size_t n_paths, struct vlm_err *err)
{
    char *stdin_path = NULL;
    int rc = VLM_OK;
    if (has_stdin(paths, n_paths)) {
        rc = open_folder(build, err);
        if (rc == VLM_OK)
            rc = spool_stdin(build, &stdin_path, err);
    }
    if (rc == VLM_OK)
        rc = vlm_plan_make(&build->plan, paths, n_paths, stdin_path, build->options, err);
    free(stdin_path);
    return rc;
}

/* The id of the tokenizer is part of the plan; workers open it again for themselves. */
static int find_tokenizer(struct build *build, struct vlm_build_options *options,
                          struct vlm_err *err)
{
    struct vlm_tokenizer *tokenizer = NULL;
    if (options->model && !strcmp(options->model, "none"))
        return VLM_OK;
    int rc = vlm_tokenizer_open(&tokenizer, options->model, VLM_PRECISION_EXACT, err);
    if (rc < 0)
        return vlm_wrap(err, "option '--image-tokenizer'");
    struct vlm_tokenizer_info info = vlm_tokenizer_info(tokenizer);
    struct vlm_set_tokenizers *list = &build->report.tokenizers;
    snprintf(options->content.tokenizer, sizeof(options->content.tokenizer), "%s", info.id);
    list->list[0] = (struct vlm_set_tokenizer){ .codebook_size = info.codebook_size };
    snprintf(list->list[0].id, sizeof(list->list[0].id), "%s", info.id);
    list->n = 1;
    vlm_tokenizer_close(tokenizer);
    return VLM_OK;
}

int vlm_build(char *const *paths, size_t n_paths, const struct vlm_build_options *given,
              struct vlm_buffer *report, int *status, struct vlm_err *err)
{
    struct vlm_build_options own = *given, *options = &own;
    struct build build = { .options = options, .lock = -1, .started = vlm_now() };
    sigset_t stop, before;
    bool finished = false;
    uint64_t ignored;
    *status = VLM_EXIT_DONE;
    int rc = parse_max_bad(options->max_bad, 0, &ignored, err);
    if (rc < 0)
        return rc;
    raise_descriptor_limit();
    /* LMDB frees the pages of every transaction: without this, each asks the system for all of them anew. */
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    vlm_progress_init(&build.progress, options->progress, options->quiet);
    build.folder = vlm_path_join(options->output, ".work");
    rc = find_tokenizer(&build, options, err);
    if (rc == VLM_OK)
        rc = make_plan(&build, paths, n_paths, err);
    if (rc == VLM_OK)
        rc = check_finished(&build, report, &finished, err);
    if (rc == VLM_OK && finished) /* made for standard input, or left by a late kill */
        rc = vlm_folder_delete(build.folder, err);
    if (rc == VLM_OK && !finished && build.lock < 0)
        rc = open_folder(&build, err);
    if (rc == VLM_OK && !finished) {
        vlm_stop_signals(&stop);
        sigprocmask(SIG_BLOCK, &stop, &before);
        rc = run_phases(&build, report, status, err);
        vlm_stop_drain(&stop);
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    if (rc == VLM_OK)
        rc = judge(report, options->max_bad, status, err);
    for (size_t i = 0; i < build.report.n_parts; i++)
        free(build.report.parts[i].blocks);
    free(build.report.parts);
    vlm_plan_release(&build.plan);
    if (build.lock >= 0)
        close(build.lock);
    free(build.folder);
    return rc;
}
