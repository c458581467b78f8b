/* bench_warc.c - how fast records come out of crawl files: one JSON line for the bench table.
 *
 * Reads every file `rounds` times: all blocks, HTTP headers parsed, bodies decoded. Digests are not
 * computed, since the peers do not compute them either. */
#include "base/vlm.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/option.h"
#include "tokenize/dump/http.h"
#include "tools/bench/bench_warc.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ARENA_MAX (6 * VLM_BODY_MAX)

struct totals {
    uint64_t records, stored, plain, bodies;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int read_all(struct vlm_dump *dump, struct totals *totals, struct vlm_arena *arena,
                    struct vlm_err *err)
{
    struct vlm_record record;
    struct vlm_http http;
    for (;;) {
        int rc = vlm_dump_next(dump, &record, err);
        if (rc == VLM_EOF || rc < 0)
            return rc < 0 ? rc : VLM_OK;
        if (rc == VLM_SKIP)
            continue;
        record.payload_digest = record.block_digest = NULL;
        vlm_arena_reset(arena);
        rc = vlm_http_decode(&http, &record, arena, err);
        if (rc < 0)
            return rc;
        totals->records++;
        totals->plain += record.block_length;
        totals->bodies += http.body_length;
    }
}

static int read_file(const char *path, struct totals *totals, struct vlm_arena *arena,
                     struct vlm_err *err)
{
    struct stat st;
    struct vlm_dump *dump = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int rc = vlm_fail_errno(err, errno, "%s: cannot open", path);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int rc = vlm_dump_open(&dump, &(struct vlm_dump_input){ .fd = fd, .name = path }, err);
    if (rc == VLM_OK)
        rc = read_all(dump, totals, arena, err);
    totals->stored += (uint64_t)st.st_size;
    vlm_dump_close(dump);
    close(fd);
    return rc;
}

static void print_line(const struct totals *totals, double seconds)
{
    struct vlm_buffer line = { 0 };
    struct vlm_json json = { .out = &line };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "job", "warc-iterate");
    vlm_json_member_string(&json, "peer", "vlm");
    vlm_json_member_number(&json, "records", totals->records);
    vlm_json_key(&json, "records_per_second");
    vlm_json_real(&json, (double)totals->records / seconds);
    vlm_json_key(&json, "mb_per_second_stored");
    vlm_json_real(&json, (double)totals->stored * 1e-6 / seconds);
    vlm_json_key(&json, "mb_per_second_plain");
    vlm_json_real(&json, (double)totals->plain * 1e-6 / seconds);
    vlm_json_key(&json, "seconds");
    vlm_json_real(&json, seconds);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&line, '\n');
    fwrite(line.data, 1, line.size, stdout);
    vlm_buffer_release(&line);
}

int vlm_bench_warc(int argc, char **argv)
{
    int64_t rounds = 1;
    const struct vlm_option options[] = {
        VLM_OPTION_NUMBER('n', "rounds", &rounds, "N", "read all files N times", 1, 1000000),
    };
    const struct vlm_tool tool = {
        .name = "vlm-bench warc",
        .synopsis = "FILE... [-n N]",
        .summary = "Read WARC files, decode all bodies, and print the speed as one JSON line.",
        .examples = "  vlm-bench warc crawl.warc.gz -n 3\n",
        .options = options,
        .n_options = VLM_COUNTOF(options),
    };
    struct vlm_err err = { 0 };
    struct totals totals = { 0 };
    struct vlm_arena arena;
    vlm_arena_init(&arena, ARENA_MAX);
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc < 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "no files given");
    double start = now();
    for (int64_t round = 0; rc == VLM_OK && round < rounds; round++)
        for (int i = 1; rc == VLM_OK && i < argc; i++)
            rc = read_file(argv[i], &totals, &arena, &err);
    if (rc == VLM_OK)
        print_line(&totals, now() - start);
    vlm_arena_release(&arena);
    return vlm_tool_end(&tool, rc, &err);
}
