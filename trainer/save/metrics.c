/* metrics.c - appends lines to a file, each whole, and cuts it back to a step when a run goes on.
 *
 * Where to cut is found by reading the file once from its start, in pieces, a line at a time: lines are only
 * scanned for their "step", nothing is kept. A line that is no JSON object stays where lines of the step or before
 * stand behind it: one bad byte does not cost the history. */
#include "base/vlm.h"

#include "trainer/save/metrics.h"

#include "base/file.h"
#include "base/json_scan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 16, LINE_MAX_BYTES = 1 << 20 };

/* The number behind "step" of a line, which is changed by reading. False: it is no object, or has none. */
static bool read_step(uint64_t *step, char *line, size_t n)
{
    struct vlm_json_scan in;
    bool found = false;
    vlm_json_scan_init(&in, line, n);
    vlm_json_scan_open(&in, '{');
    while (vlm_json_scan_more(&in, '}')) {
        if (!strcmp(vlm_json_scan_key(&in), "step")) {
            *step = vlm_json_scan_number(&in);
            found = true;
        } else {
            vlm_json_scan_skip(&in);
        }
    }
    vlm_json_scan_end(&in);
    return found && !in.problem;
}

/* Where the lines of a file stand: what is before `kept` stays. */
struct cut {
    uint64_t step, offset, kept; /* offset: of the buffer's first byte in the file */
    bool endless;                /* a line longer than any of ours: the file ends before it */
};

/* Takes the whole lines out of the buffer and leaves the half one behind them. */
static void pass_lines(struct cut *cut, struct vlm_buffer *buffer)
{
    size_t begin = 0;
    char *text = (char *)buffer->data, *newline;
    while (buffer->size > begin && (newline = memchr(text + begin, '\n', buffer->size - begin))) {
        size_t end = (size_t)(newline - text);
        uint64_t step = 0;
        if (read_step(&step, text + begin, end - begin) && step <= cut->step)
            cut->kept = cut->offset + end + 1;
        begin = end + 1;
    }
    memmove(text, text + begin, buffer->size - begin);
    buffer->size -= begin;
    cut->offset += begin;
    cut->endless = buffer->size > LINE_MAX_BYTES;
}

static int find_cut(struct cut *cut, int fd, const char *path, struct vlm_err *err)
{
    struct vlm_buffer buffer = { 0 };
    int rc = VLM_OK;
    while (!cut->endless) {
        uint8_t *to = vlm_buffer_reserve(&buffer, PIECE);
        if (!to) {
            rc = vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", path);
            break;
        }
        ssize_t n = read(fd, to, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = vlm_fail_errno(err, errno, "cannot read '%s'", path);
        if (n <= 0)
            break;
        buffer.size += (size_t)n;
        pass_lines(cut, &buffer);
    }
    vlm_buffer_release(&buffer);
    return rc;
}

static int cut_behind(int fd, const char *path, uint64_t step, struct vlm_err *err)
{
    struct cut cut = { .step = step };
    struct stat about;
    int rc = find_cut(&cut, fd, path, err);
    if (rc != VLM_OK)
        return rc;
    if (fstat(fd, &about) < 0)
        return vlm_fail_errno(err, errno, "cannot read '%s'", path);
    if ((uint64_t)about.st_size > cut.kept && ftruncate(fd, (off_t)cut.kept) < 0)
        return vlm_fail_errno(err, errno, "cannot cut '%s'", path);
    return VLM_OK;
}

int vlm_metrics_open(struct vlm_metrics *metrics, const char *path, uint64_t step,
                     struct vlm_err *err)
{
    struct stat about;
    *metrics = (struct vlm_metrics){ .fd = -1 };
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return vlm_fail_errno(err, errno, "cannot open '%s'", path);
    /* Pipes and devices are written to as they are. */
    int rc =
        fstat(fd, &about) == 0 && S_ISREG(about.st_mode) ? cut_behind(fd, path, step, err) : VLM_OK;
    char *copy = rc == VLM_OK ? strdup(path) : NULL;
    if (rc == VLM_OK && !copy)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for the name of '%s'", path);
    if (rc != VLM_OK) {
        close(fd);
        return rc;
    }
    *metrics = (struct vlm_metrics){ .fd = fd, .path = copy };
    return VLM_OK;
}

int vlm_metrics_line(struct vlm_metrics *metrics, struct vlm_buffer *line, struct vlm_err *err)
{
    struct stat about;
    vlm_buffer_byte(line, '\n');
    if (line->failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a line of '%s'", metrics->path);
    bool regular = fstat(metrics->fd, &about) == 0 && S_ISREG(about.st_mode);
    int rc = vlm_write_all(metrics->fd, line->data, line->size, metrics->path, err);
    /* What a full disk took of the line goes again; if not, the next start cuts it. */
    if (rc != VLM_OK && regular && ftruncate(metrics->fd, about.st_size) < 0)
        vlm_append(err, ", and a part of the line stays in it");
    vlm_buffer_reset(line);
    return rc;
}

int vlm_metrics_sync(struct vlm_metrics *metrics, struct vlm_err *err)
{
    int rc;
    do
        rc = fdatasync(metrics->fd);
    while (rc < 0 && errno == EINTR);
    if (rc < 0 && errno != EINVAL)
        return vlm_fail_errno(err, errno, "cannot sync '%s'", metrics->path);
    return VLM_OK;
}

void vlm_metrics_close(struct vlm_metrics *metrics)
{
    if (metrics->fd >= 0)
        close(metrics->fd);
    free(metrics->path);
    *metrics = (struct vlm_metrics){ .fd = -1 };
}
