/* text_lines.c - reading whole lines in rounds, working on them in chunks, writing in order.
 *
 * A round is some chunks for each thread, cut at ends of lines. The main thread reads and writes between
 * rounds: both cost a small part of what turning text into ids costs. What follows the last line end stays
 * for the next round. A line over the limit is cut one byte behind it, so that it is still too long, and
 * the rest of it is passed over. */
#include "base/vlm.h"

#include "base/array.h"
#include "base/json.h"
#include "base/option.h"
#include "tools/tokenize/text_lines.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES (64 * VLM_KIB)
#define READ_BYTES  (256 * VLM_KIB)
enum { CHUNKS_A_THREAD = 4, TOLD_MAX = 20 };

struct chunk {
    char *text;
    size_t n;
    uint64_t first; /* number of its first line, from 1 */
    uint64_t lines, bad;
    struct vlm_buffer out, notes; /* notes: sentences about bad lines */
    int rc;
    struct vlm_err err;
};

struct reader {
    int fd;
    const char *name;
    struct vlm_buffer in;
    size_t ready; /* bytes of whole lines */
    size_t max_line;
    bool dropping; /* inside a line that is too long */
    bool ended;
    uint64_t read, size; /* size 0: not known */
};

struct run {
    struct vlm_line_job *job;
    struct reader reader;
    struct chunk *chunks;
    size_t n_chunks, capacity;
    uint64_t line; /* lines before this round, in this file */
};

/* Reading ----------------------------------------------------------------------------------------- */

static bool more_at_once(int fd)
{
    struct pollfd state = { .fd = fd, .events = POLLIN };
    return poll(&state, 1, 0) == 1;
}

/* n bytes were read behind in.data[in.size]. */
static void take_bytes(struct reader *reader, size_t n)
{
    struct vlm_buffer *in = &reader->in;
    char *new = (char *)in->data + in->size;
    if (reader->dropping) {
        char *end = memchr(new, '\n', n);
        if (!end)
            return;
        n -= (size_t)(end - new);
        memmove(new, end, n);
        reader->dropping = false;
    }
    in->size += n;
    char *last = memrchr(new, '\n', n);
    if (last)
        reader->ready = (size_t)(last + 1 - (char *)in->data);
    if (in->size - reader->ready > reader->max_line) {
        in->size = reader->ready + reader->max_line + 1;
        reader->dropping = true;
    }
}

/* Whole lines of about `wanted` bytes, or fewer where no more are to be had at once. VLM_EOF: none. */
static int read_lines(struct reader *reader, size_t wanted, struct vlm_err *err)
{
    memmove(reader->in.data, reader->in.data + reader->ready, reader->in.size - reader->ready);
    reader->in.size -= reader->ready;
    reader->ready = 0;
    while (!reader->ended && reader->ready < wanted) {
        if (reader->ready && !more_at_once(reader->fd))
            return VLM_OK;
        uint8_t *room = vlm_buffer_reserve(&reader->in, READ_BYTES);
        if (!room)
            return vlm_fail(err, VLM_ENOMEM, "'%s': no memory for a line of %zu bytes",
                            reader->name, reader->in.size);
        ssize_t n = read(reader->fd, room, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && reader->ready)
            return VLM_OK; /* lines before the failure count, for any number of threads */
        if (n < 0)
            return vlm_fail_errno(err, errno, "cannot read '%s'", reader->name);
        reader->ended = n == 0;
        reader->read += (uint64_t)n;
        take_bytes(reader, (size_t)n);
    }
    if (reader->ended)
        reader->ready = reader->in.size;
    return reader->ready ? VLM_OK : VLM_EOF;
}

/* Working ----------------------------------------------------------------------------------------- */

static void note_bad_line(struct vlm_line_job *job, struct chunk *chunk, const char *name,
                          const char *sentence)
{
    vlm_buffer_printf(&chunk->notes, "%s: %s, line %" PRIu64 ": %s\n", job->tool, name,
                      chunk->first + chunk->lines, sentence);
    chunk->bad++;
    if (job->silent)
        return;
    if (job->json) {
        struct vlm_json json = { .out = &chunk->out };
        vlm_json_open(&json, '{');
        vlm_json_member_string(&json, "error", sentence);
        vlm_json_close(&json, '}');
    }
    vlm_buffer_byte(&chunk->out, '\n');
}

static void work_on_chunk(void *context, size_t task, size_t worker)
{
    struct run *run = context;
    struct chunk *chunk = &run->chunks[task];
    vlm_buffer_reset(&chunk->out);
    vlm_buffer_reset(&chunk->notes);
    chunk->lines = chunk->bad = 0;
    chunk->rc = VLM_OK;
    for (char *at = chunk->text, *end = at + chunk->n; at < end && chunk->rc == VLM_OK;) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = newline ? (size_t)(newline - at) : (size_t)(end - at);
        size_t before = chunk->out.size;
        const size_t max = run->reader.max_line;
        int rc = n > max
                     ? vlm_fail(&chunk->err, VLM_EFORMAT, "longer than %zu bytes", max)
                     : run->job->work(run->job->context, worker, at, n, &chunk->out, &chunk->err);
        if (rc == VLM_EFORMAT) {
            chunk->out.size = before;
            note_bad_line(run->job, chunk, run->reader.name, chunk->err.msg);
        } else {
            chunk->rc = rc;
        }
        chunk->lines++;
        at += n + 1;
    }
    if (chunk->rc == VLM_OK && (chunk->out.failed || chunk->notes.failed))
        chunk->rc = vlm_fail(&chunk->err, VLM_ENOMEM, "no memory for the result");
}

static int add_chunk(struct run *run, char *text, size_t n, struct vlm_err *err)
{
    const size_t before = run->capacity;
    if (!vlm_array_reserve(&run->chunks, &run->capacity, run->n_chunks, 1, sizeof(*run->chunks)))
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu chunks", run->n_chunks + 1);
    if (run->capacity > before)
        memset(run->chunks + before, 0, (run->capacity - before) * sizeof(*run->chunks));
    struct chunk *chunk = &run->chunks[run->n_chunks++];
    chunk->text = text;
    chunk->n = n;
    chunk->first = run->line + 1;
    for (const char *at = text; (at = memchr(at, '\n', (size_t)(text + n - at))); at++)
        run->line++;
    return VLM_OK;
}

static int cut_chunks(struct run *run, struct vlm_err *err)
{
    char *text = (char *)run->reader.in.data;
    int rc = VLM_OK;
    run->n_chunks = 0;
    for (size_t at = 0, ready = run->reader.ready; rc == VLM_OK && at < ready;) {
        size_t n = VLM_MIN(CHUNK_BYTES, ready - at);
        char *newline = memchr(text + at + n - 1, '\n', ready - at - n + 1);
        n = newline ? (size_t)(newline + 1 - (text + at)) : ready - at;
        rc = add_chunk(run, text + at, n, err);
        at += n;
    }
    return rc;
}

/* Writing ----------------------------------------------------------------------------------------- */

/* The sentences about bad lines, as far as somebody would read them. */
static void print_notes(struct vlm_line_job *job, const struct chunk *chunk)
{
    const char *at = (const char *)chunk->notes.data, *end = at + chunk->notes.size;
    if (at < end && job->progress)
        vlm_progress_end(job->progress);
    for (; at < end && job->told < TOLD_MAX; job->told++) {
        const char *next = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
        fwrite(at, 1, (size_t)(next - at), stderr);
        at = next;
    }
    if (at < end && job->told == TOLD_MAX) { /* once */
        fprintf(stderr, "%s: further bad lines are only counted\n", job->tool);
        job->told++;
    }
}

static int write_chunk(struct run *run, const struct chunk *chunk, struct vlm_err *err)
{
    struct vlm_line_job *job = run->job;
    job->lines += chunk->lines;
    job->bad += chunk->bad;
    if (chunk->out.size && fwrite(chunk->out.data, 1, chunk->out.size, stdout) != chunk->out.size)
        return vlm_fail_errno(err, errno, "cannot write to standard output");
    print_notes(job, chunk);
    if (chunk->rc == VLM_OK)
        return VLM_OK;
    *err = chunk->err;
    return vlm_wrap(err, "%s, line %" PRIu64, run->reader.name, chunk->first + chunk->lines - 1);
}

static void show_progress(struct run *run)
{
    const struct vlm_line_job *job = run->job;
    const struct reader *reader = &run->reader;
    if (!job->progress)
        return;
    char line[120], lines[VLM_FORMAT_SIZE], bytes[VLM_FORMAT_SIZE], eta[VLM_FORMAT_SIZE];
    double share = reader->size ? (double)reader->read / (double)reader->size : -1;
    double seconds = vlm_progress_seconds(job->progress);
    int n = snprintf(line, sizeof(line), "%s  %s lines  %s  %.1f MB/s", job->what,
                     vlm_format_count(lines, (double)job->lines),
                     vlm_format_bytes(bytes, (double)job->bytes),
                     seconds > 0 ? (double)job->bytes / seconds / 1e6 : 0);
    if (share >= 0 && n > 0 && (size_t)n < sizeof(line))
        snprintf(line + n, sizeof(line) - (size_t)n, "  eta %s",
                 vlm_format_eta(eta, seconds, share));
    vlm_progress_update(job->progress, share, line);
}

static int run_rounds(struct run *run, struct vlm_err *err)
{
    const size_t wanted = CHUNK_BYTES * CHUNKS_A_THREAD * vlm_pool_threads(run->job->pool);
    int rc = VLM_OK;
    while (rc == VLM_OK && (rc = read_lines(&run->reader, wanted, err)) == VLM_OK) {
        rc = cut_chunks(run, err);
        if (rc == VLM_OK)
            vlm_pool_run(run->job->pool, run->n_chunks, work_on_chunk, run);
        for (size_t i = 0; rc == VLM_OK && i < run->n_chunks; i++)
            rc = write_chunk(run, &run->chunks[i], err);
        if (rc == VLM_OK && fflush(stdout) != 0)
            rc = vlm_fail_errno(err, errno, "cannot write to standard output");
        run->job->bytes += run->reader.ready;
        show_progress(run);
    }
    return rc == VLM_EOF ? VLM_OK : rc;
}

int vlm_lines_run(struct vlm_line_job *job, const char *path, struct vlm_err *err)
{
    bool from_stdin = !path || !strcmp(path, "-");
    struct run run = { .job = job };
    struct stat about;
    run.reader.max_line = job->max_line ? job->max_line : VLM_LINE_MAX;
    run.reader.name = from_stdin ? "standard input" : path;
    run.reader.fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (run.reader.fd < 0)
        return vlm_fail_errno(err, errno, "cannot read '%s'", path);
    if (fstat(run.reader.fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0)
        run.reader.size = (uint64_t)about.st_size;
    int rc = vlm_buffer_reserve(&run.reader.in, READ_BYTES)
                 ? run_rounds(&run, err)
                 : vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", run.reader.name);
    for (size_t i = 0; i < run.capacity; i++) {
        vlm_buffer_release(&run.chunks[i].out);
        vlm_buffer_release(&run.chunks[i].notes);
    }
    free(run.chunks);
    vlm_buffer_release(&run.reader.in);
    if (!from_stdin)
        close(run.reader.fd);
    return rc;
}

int vlm_lines_end(const struct vlm_line_job *job, const struct vlm_tool *tool, int result,
                  const struct vlm_err *err)
{
    if (job->bad)
        fprintf(stderr, "%s: %" PRIu64 " of %" PRIu64 " %s bad\n", job->tool, job->bad, job->lines,
                job->lines == 1 ? "line is" : "lines are");
    int status = vlm_tool_end(tool, result, err);
    return status == VLM_EXIT_DONE && job->bad ? VLM_EXIT_BAD_INPUT : status;
}
