/* svg.h - curves of runs as one SVG file: a panel for each metric, readable on white and on black.
 *
 *   rc = plot_svg(&out, runs, n_runs, &(struct plot_look){ .metrics = metrics, .n_metrics = n, ... }, &err);
 *
 * No scripts, no fonts, nothing fetched; the same numbers give the same bytes. */
#ifndef VLM_TOOLS_PLOT_SVG_H
#define VLM_TOOLS_PLOT_SVG_H

#include "base/buffer.h"
#include "tools/plot/curves.h"

struct plot_look {
    const char *title; /* NULL: none */
    const char *const *metrics;
    size_t n_metrics;
    const char *const
        *logarithmic; /* metrics whose panel has a logarithmic axis, if all is above 0 */
    size_t n_logarithmic;
    enum plot_x x;
    size_t smooth; /* steps that the thick line is the mean of; 0 or 1: as it is */
};

/* Appends the file. A metric that no run has gives no panel. Runs are thinned on the way. VLM_EOF: nothing can be
 * drawn, since no run has a number; VLM_ENOMEM. */
VLM_MUST_CHECK int plot_svg(struct vlm_buffer *out, struct plot_run *runs, size_t n_runs,
                            const struct plot_look *look, struct vlm_err *err);

#endif
