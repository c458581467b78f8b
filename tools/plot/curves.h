/* curves.h - the numbers of training runs, read from their metrics.jsonl (schemas/metrics.md).
 *
 *   struct plot_run run = { 0 };
 *   rc = plot_run_read(&run, "runs/a", metrics, n, PLOT_X_STEP, tell, context, &err);
 *   ... run.training[i], run.validation[i] for metrics[i] ...
 *   plot_run_release(&run);
 */
#ifndef VLM_TOOLS_PLOT_CURVES_H
#define VLM_TOOLS_PLOT_CURVES_H

#include "base/vlm.h"

enum { PLOT_METRICS_MAX = 16 };

enum plot_x { PLOT_X_STEP, PLOT_X_TOKENS, PLOT_X_TIME };
#define PLOT_X_WORDS "step|tokens|time"

/* Points in the order of the lines. A number that a line lacks, null or no finite number is NAN: a
 * gap in the line. */
struct plot_curve {
    double *x, *y;
    size_t n, capacity_x, capacity_y;
};
void plot_curve_release(struct plot_curve *curve);
VLM_MUST_CHECK bool plot_curve_add(struct plot_curve *curve, double x, double y);

struct plot_run {
    char *name; /* last part of the path */
    struct plot_curve training[PLOT_METRICS_MAX], validation[PLOT_METRICS_MAX];
    size_t steps;     /* lines of steps that were read */
    size_t malformed; /* lines that were passed over */
};
void plot_run_release(struct plot_run *run); /* safe on a zeroed struct */

/* path: a run folder, or a file of such lines. Lines that are no JSON object, or have no whole "step", are
 * named to tell(), the first few of them, and passed over; lines with another "event" than "eval" are of no
 * interest here. A last line without its end is a run that goes on: left out silently. x in tokens stands in the
 * lines ("tokens"; of an eval line without it, those of the step before); x in time (hours) comes from
 * "seconds" of perf.jsonl beside the file. VLM_EFAIL: the file is not there; VLM_EFORMAT: time is wanted, and
 * perf.jsonl has none. */
typedef void (*plot_tell)(const char *sentence, void *context);
VLM_MUST_CHECK int plot_run_read(struct plot_run *run, const char *path, const char *const *metrics,
                                 size_t n, enum plot_x x, plot_tell tell, void *context,
                                 struct vlm_err *err);

/* y[i] becomes the mean of itself and the up to window - 1 numbers before it, gaps not counted; a gap stays
 * one. VLM_ENOMEM. */
VLM_MUST_CHECK int plot_smooth(double *y, size_t n, size_t window, struct vlm_err *err);

/* At most 2 points of each of `columns` parts of [low, high], the lowest and the highest in their order, so
 * that a long curve looks the same and its file stays small. */
void plot_curve_thin(struct plot_curve *curve, double low, double high, size_t columns);

#endif
