/* inspect_records.c - vlm-inspect records: every record of crawl dumps as JSON lines.
 *
 * A file is read as one range, or, with more threads, as many of equal size: each thread reads one
 * range into memory, and the ranges are printed in order once their ends fit together; one that was
 * entered at a wrong place is read again from the right one. So the output is the same for any
 * number of threads. */
#include "base/vlm.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/option.h"
#include "tokenize/dump/http.h"
#include "tools/inspect/inspect.h"

#include <fcntl.h>
#include <fts.h>
#include <locale.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ARENA_MAX   (6 * VLM_BODY_MAX)
#define UNIT_BYTES  (8 * VLM_MIB)
#define FLUSH_BYTES (256 * VLM_KIB)
enum { THREADS_MAX = 64 };

struct inspection {
    int64_t threads;
    bool damaged, failed;
    uint64_t i; /* lines of the current file */
    struct vlm_buffer out;
};

/* A range of a file and the lines it gave, each without its beginning (file and i). */
struct unit {
    int fd;
    const char *path;
    uint64_t begin, end;
    bool exact;
    struct inspection *flush_to; /* NULL: keep all lines */
    struct vlm_buffer lines;
    uint64_t first, position;
    bool damaged;
    int rc;
    struct vlm_err err;
};

static void add_or_null(struct vlm_json *json, const char *key, bool present, uint64_t value)
{
    vlm_json_key(json, key);
    if (present)
        vlm_json_number(json, value);
    else
        vlm_json_null(json);
}

static void add_body(struct vlm_json *json, const struct vlm_http *http, bool present)
{
    uint8_t sha1[VLM_SHA1_SIZE];
    add_or_null(json, "body_length", present, http->body_length);
    vlm_json_key(json, "body_sha1");
    if (!present) {
        vlm_json_null(json);
        return;
    }
    vlm_sha1(sha1, http->body, http->body_length);
    vlm_json_hex(json, sha1, sizeof(sha1));
}

static void add_damage_line(struct vlm_buffer *lines, const struct vlm_record *record)
{
    static const char *const before[] = { "type",        "uri",       "date",
                                          "length",      "status",    "content_type",
                                          "body_length", "body_sha1", "digest" };
    struct vlm_json json = { .out = lines };
    vlm_json_member_number(&json, "offset", record->offset);
    for (size_t i = 0; i < VLM_COUNTOF(before); i++)
        vlm_json_member_string(&json, before[i], NULL);
    vlm_json_member_string(&json, "error", vlm_damage_name(record->error));
    vlm_buffer_add(lines, "}\n", 2);
}

static void add_line(struct vlm_buffer *lines, const struct vlm_record *record,
                     const struct vlm_http *http)
{
    static const char *const digests[] = { "none", "ok", "mismatch" };
    struct vlm_json json = { .out = lines };
    bool is_http = http->status != 0 || http->error == VLM_BODY_NO_HTTP;
    vlm_json_member_number(&json, "offset", record->offset);
    vlm_json_member_string(&json, "type", vlm_record_type_name(record->type));
    vlm_json_member_string(&json, "uri", record->uri);
    vlm_json_member_string(&json, "date", record->date);
    vlm_json_member_number(&json, "length", record->block_length);
    add_or_null(&json, "status", http->status != 0, (uint64_t)http->status);
    vlm_json_member_string(&json, "content_type", is_http ? http->content_type : NULL);
    add_body(&json, http, is_http);
    vlm_json_member_string(&json, "digest", digests[http->digest]);
    vlm_json_member_string(&json, "error", http->error ? vlm_body_error_name(http->error) : NULL);
    vlm_buffer_add(lines, "}\n", 2);
}

/* Prints lines with their beginning in front. */
static void flush(struct inspection *inspection, const char *path, struct vlm_buffer *lines)
{
    const uint8_t *at = lines->data, *end = lines->data + lines->size;
    struct vlm_buffer *out = &inspection->out;
    vlm_buffer_reset(out);
    while (at < end) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)(newline - at) + 1;
        struct vlm_json json = { .out = out };
        vlm_json_open(&json, '{');
        vlm_json_member_string(&json, "file", path);
        vlm_json_member_number(&json, "i", inspection->i++);
        vlm_buffer_add(out, ", ", 2);
        vlm_buffer_add(out, at, n);
        at += n;
    }
    if (out->failed || lines->failed)
        inspection->failed = true;
    fwrite(out->data, 1, out->size, stdout);
    vlm_buffer_reset(lines);
}

static int read_records(struct unit *unit, struct vlm_dump *dump, struct vlm_arena *arena)
{
    struct vlm_record record;
    struct vlm_http http;
    for (;;) {
        int rc = vlm_dump_next(dump, &record, &unit->err);
        if (rc == VLM_EOF || rc < 0)
            return rc < 0 ? rc : VLM_OK;
        if (rc == VLM_SKIP) {
            unit->damaged = true;
            add_damage_line(&unit->lines, &record);
        } else {
            vlm_arena_reset(arena);
            rc = vlm_http_decode(&http, &record, arena, &unit->err);
            if (rc < 0)
                return rc;
            add_line(&unit->lines, &record, &http);
        }
        if (unit->flush_to && unit->lines.size > FLUSH_BYTES)
            flush(unit->flush_to, unit->path, &unit->lines);
    }
}

/* A thread's work: all records of one range. */
static void *read_unit(void *argument)
{
    struct unit *unit = argument;
    const struct vlm_dump_input in = { .fd = unit->fd,
                                       .name = unit->path,
                                       .begin = unit->begin,
                                       .end = unit->end,
                                       .exact = unit->exact };
    struct vlm_dump *dump = NULL;
    struct vlm_arena arena;
    vlm_arena_init(&arena, ARENA_MAX);
    unit->rc = vlm_dump_open(&dump, &in, &unit->err);
    if (unit->rc == VLM_OK) {
        unit->first = vlm_dump_first(dump);
        unit->rc = read_records(unit, dump, &arena);
        unit->position = vlm_dump_position(dump);
    }
    vlm_dump_close(dump);
    vlm_arena_release(&arena);
    return NULL;
}

/* Prints a range that was read, after reading it again if it began at a wrong place. */
static int commit(struct inspection *inspection, struct unit *unit, uint64_t *expected)
{
    if (unit->rc == VLM_OK && unit->first != *expected) {
        vlm_buffer_reset(&unit->lines);
        unit->begin = *expected;
        unit->exact = true;
        unit->damaged = false;
        read_unit(unit);
    }
    flush(inspection, unit->path, &unit->lines);
    inspection->damaged = inspection->damaged || unit->damaged;
    *expected = unit->position;
    return unit->rc;
}

/* Reads up to `threads` ranges at the same time, then prints them. */
static int read_in_parallel(struct inspection *inspection, int fd, const char *path, uint64_t size,
                            struct vlm_err *err)
{
    size_t threads = (size_t)inspection->threads;
    struct unit *units = calloc(threads, sizeof(*units));
    pthread_t *ids = calloc(threads, sizeof(*ids));
    int rc = VLM_OK;
    uint64_t expected = 0;
    if (!units || !ids)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu threads", threads);
    for (uint64_t begin = 0; rc == VLM_OK && begin < size;) {
        size_t n = 0, started = 0;
        for (; n < threads && begin < size; n++, begin += UNIT_BYTES) {
            struct vlm_buffer lines = units[n].lines;
            bool last = size - begin <= UNIT_BYTES;
            units[n] = (struct unit){ .fd = fd,
                                      .path = path,
                                      .begin = begin,
                                      .end = last ? 0 : begin + UNIT_BYTES,
                                      .lines = lines };
        }
        while (started < n && !pthread_create(&ids[started], NULL, read_unit, &units[started]))
            started++;
        for (size_t i = started; i < n; i++)
            read_unit(&units[i]);
        for (size_t i = 0; i < started; i++)
            pthread_join(ids[i], NULL);
        for (size_t i = 0; rc == VLM_OK && i < n; i++) {
            rc = commit(inspection, &units[i], &expected);
            if (rc < 0)
                *err = units[i].err;
        }
    }
    for (size_t i = 0; units && i < threads; i++)
        vlm_buffer_release(&units[i].lines);
    free(units);
    free(ids);
    return rc;
}

static int read_file(struct inspection *inspection, int fd, const char *path, struct vlm_err *err)
{
    struct stat st;
    inspection->i = 0;
    if (inspection->threads > 1 && !fstat(fd, &st) && S_ISREG(st.st_mode) &&
        (uint64_t)st.st_size > UNIT_BYTES)
        return read_in_parallel(inspection, fd, path, (uint64_t)st.st_size, err);
    struct unit unit = { .fd = fd, .path = path, .flush_to = inspection };
    read_unit(&unit);
    flush(inspection, path, &unit.lines);
    inspection->damaged = inspection->damaged || unit.damaged;
    vlm_buffer_release(&unit.lines);
    if (unit.rc < 0)
        *err = unit.err;
    return unit.rc;
}

/* One file. A file that cannot be read or is no dump costs only itself. */
static void inspect_path(struct inspection *inspection, const char *path, bool from_folder)
{
    struct vlm_err err = { 0 };
    bool standard_input = !strcmp(path, "-");
    int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? vlm_fail_errno(&err, errno, "%s: cannot open", path)
                    : read_file(inspection, fd, path, &err);
    if (fd < 0)
        rc = VLM_EFAIL;
    if (fd > 0 && !standard_input)
        close(fd);
    if (rc == VLM_OK)
        return;
    fprintf(stderr, "vlm-inspect records: %s\n", err.msg);
    if (rc == VLM_EFORMAT)
        inspection->damaged = inspection->damaged || !from_folder;
    else
        inspection->failed = true;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* A file, or all files of a folder in the order of their names. */
static int inspect_argument(struct inspection *inspection, char *path, struct vlm_err *err)
{
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        inspect_path(inspection, path, false);
        return VLM_OK;
    }
    char *const paths[] = { path, NULL };
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, by_name);
    if (!walk)
        return vlm_fail_errno(err, errno, "%s: cannot list the folder", path);
    FTSENT *entry;
    while ((entry = fts_read(walk)))
        if (entry->fts_info == FTS_F)
            inspect_path(inspection, entry->fts_path, true);
    fts_close(walk);
    return VLM_OK;
}

int vlm_inspect_records(int argc, char **argv)
{
    struct inspection inspection = { .threads = 1 };
    const struct vlm_option options[] = {
        VLM_OPTION_NUMBER('j', "threads", &inspection.threads, "N",
                          "threads that read, 0 = all cores", 0, THREADS_MAX),
    };
    const struct vlm_tool tool = {
        .name = "vlm-inspect records",
        .synopsis = "INPUT... [-j N]",
        .summary =
            "Print one JSON object a line for every record of WARC and ARC files, plain or\n"
            "compressed, archives and folders: where it is, what it is, how its body hashes.\n"
            "Damage is a line with an error; then the exit status is 3.",
        .examples = "  vlm-inspect records crawl.warc.gz\n",
        .options = options,
        .n_options = VLM_COUNTOF(options),
    };
    struct vlm_err err = { 0 };
    /* Names in archives are UTF-8 and times in zip archives local ones: the same on every machine. */
    setlocale(LC_CTYPE, "C.UTF-8");
    setenv("TZ", "UTC0", 1);
    tzset();
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc < 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "no input given");
    if (inspection.threads == 0)
        inspection.threads = VLM_MAX(1L, VLM_MIN(sysconf(_SC_NPROCESSORS_ONLN), (long)THREADS_MAX));
    for (int i = 1; rc == VLM_OK && i < argc; i++)
        rc = inspect_argument(&inspection, argv[i], &err);
    int status = vlm_tool_end(&tool, rc, &err);
    vlm_buffer_release(&inspection.out);
    if (status == VLM_EXIT_DONE && inspection.failed)
        return VLM_EXIT_FAILED;
    return status == VLM_EXIT_DONE && inspection.damaged ? VLM_EXIT_BAD_INPUT : status;
}
