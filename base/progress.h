/* progress.h - one line on stderr that says how far a long run is, and texts for its numbers.
 *
 *   struct vlm_progress progress;
 *   char done[VLM_FORMAT_SIZE], eta[VLM_FORMAT_SIZE];
 *   vlm_progress_init(&progress, config.progress, config.quiet);
 *   while (...) {
 *       snprintf(line, sizeof(line), "shard  %s docs  eta %s", vlm_format_count(done, n),
 *                vlm_format_duration(eta, left));
 *       vlm_progress_update(&progress, share, line);
 *   }
 *   vlm_progress_end(&progress);
 *
 * The line is redrawn in its place on a terminal, at most twice a second; in a log it is printed
 * every 10 seconds. One thread. */
#ifndef VLM_BASE_PROGRESS_H
#define VLM_BASE_PROGRESS_H

#include "base/vlm.h"

#include <sys/time.h>

/* In the order of VLM_PROGRESS_WORDS, for VLM_OPTION_CHOICE. */
enum vlm_progress_mode {
    VLM_PROGRESS_AUTO, /* bar on a terminal, plain otherwise */
    VLM_PROGRESS_BAR,
    VLM_PROGRESS_PLAIN,
    VLM_PROGRESS_NONE,
};
#define VLM_PROGRESS_WORDS "auto|bar|plain|none"

enum { VLM_FORMAT_SIZE = 16 };

struct vlm_progress {
    enum vlm_progress_mode mode;
    double started, shown; /* seconds of the monotonic clock */
    bool on_screen;        /* a line stands where the cursor is */
};

/* Resolves auto by asking whether stderr is a terminal; quiet means none. */
void vlm_progress_init(struct vlm_progress *progress, int mode, bool quiet);

/* Shows the line when it is time to. fraction, of [0, 1], draws a bar behind it where there is room;
 * a negative one draws none. Cheap to call. */
void vlm_progress_update(struct vlm_progress *progress, double fraction, const char *line);

/* Clears the line, so that other output starts in an empty one. A later update shows it again. */
void vlm_progress_end(struct vlm_progress *progress);

/* Seconds of a clock that only goes forward, and does not when the system's time is set. */
double vlm_now(void);

/* Seconds, not negative, for timers and sockets, which take them so. */
struct timeval vlm_timeval(double seconds);

/* Seconds since init. */
double vlm_progress_seconds(const struct vlm_progress *progress);

/* Each writes at most VLM_FORMAT_SIZE bytes and returns out. */
char *vlm_format_count(char *out, double count);      /* "812", "1.93M" */
char *vlm_format_bytes(char *out, double bytes);      /* "1.4G", in powers of 1024 */
char *vlm_format_duration(char *out, double seconds); /* "00:41:10" */

/* Seconds left when `fraction` of the work took `seconds`: "00:41:10", or "--:--:--". */
char *vlm_format_eta(char *out, double seconds, double fraction);

#endif
