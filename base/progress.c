/* progress.c - the progress line. It writes to stderr only, ignores failures, and knows nothing of
 * what is counted. */
#include "base/vlm.h"
#include "base/progress.h"

#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BAR_INTERVAL   0.5 /* seconds */
#define PLAIN_INTERVAL 10.0

enum { COLUMNS_DEFAULT = 80, BAR_CELLS = 20 };

double vlm_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

struct timeval vlm_timeval(double seconds)
{
    const time_t whole = (time_t)seconds;
    return (struct timeval){ .tv_sec = whole,
                             .tv_usec = (suseconds_t)((seconds - (double)whole) * 1e6) };
}

void vlm_progress_init(struct vlm_progress *progress, int mode, bool quiet)
{
    enum vlm_progress_mode resolved = quiet ? VLM_PROGRESS_NONE : (enum vlm_progress_mode)mode;
    if (resolved == VLM_PROGRESS_AUTO)
        resolved = isatty(STDERR_FILENO) ? VLM_PROGRESS_BAR : VLM_PROGRESS_PLAIN;
    *progress = (struct vlm_progress){ .mode = resolved, .started = vlm_now() };
    progress->shown = progress->started;
}

double vlm_progress_seconds(const struct vlm_progress *progress)
{
    return vlm_now() - progress->started;
}

static size_t columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return COLUMNS_DEFAULT;
}

/* Back to the first column, the line, erase what an earlier one left behind it. A line as wide as
 * the terminal would wrap. */
static void draw(double fraction, const char *line)
{
    char bar[BAR_CELLS + 8] = "";
    size_t room = columns() - 1, n = strlen(line);
    if (fraction >= 0 && n + BAR_CELLS + 4 <= room) {
        size_t full = (size_t)(VLM_MIN(fraction, 1.0) * BAR_CELLS);
        memcpy(bar, "  [", 3);
        memset(bar + 3, '.', BAR_CELLS);
        memset(bar + 3, '#', full);
        memcpy(bar + 3 + BAR_CELLS, "]", 2);
    }
    fprintf(stderr, "\r%.*s%s\033[K", (int)VLM_MIN(n, room), line, bar);
    fflush(stderr);
}

void vlm_progress_update(struct vlm_progress *progress, double fraction, const char *line)
{
    if (progress->mode == VLM_PROGRESS_NONE)
        return;
    bool bar = progress->mode == VLM_PROGRESS_BAR;
    double time = vlm_now();
    if (time - progress->shown < (bar ? BAR_INTERVAL : PLAIN_INTERVAL))
        return;
    progress->shown = time;
    if (bar)
        draw(fraction, line);
    else
        fprintf(stderr, "%s\n", line);
    progress->on_screen = bar;
}

void vlm_progress_end(struct vlm_progress *progress)
{
    if (progress->on_screen)
        fputs("\r\033[K", stderr);
    progress->on_screen = false;
}

static char *scaled(char *out, double value, double base)
{
    static const char units[] = " kMGTPE";
    size_t unit = 0;
    /* 999.5 would be printed as 1000. */
    while (value >= 999.5 && units[unit + 1]) {
        value /= base;
        unit++;
    }
    int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(out, VLM_FORMAT_SIZE, "%.*f%.*s", digits, value, unit > 0, &units[unit]);
    return out;
}

char *vlm_format_count(char *out, double count)
{
    return scaled(out, count, 1000);
}

char *vlm_format_bytes(char *out, double bytes)
{
    return scaled(out, bytes, 1024);
}

char *vlm_format_duration(char *out, double seconds)
{
    unsigned whole = seconds > 0 && seconds < 1e9 ? (unsigned)(seconds + .5) : 0;
    snprintf(out, VLM_FORMAT_SIZE, "%02u:%02u:%02u", whole / 3600, whole / 60 % 60, whole % 60);
    return out;
}

char *vlm_format_eta(char *out, double seconds, double fraction)
{
    if (fraction > 0)
        return vlm_format_duration(out, seconds / fraction * (1 - VLM_MIN(fraction, 1.0)));
    snprintf(out, VLM_FORMAT_SIZE, "--:--:--");
    return out;
}
