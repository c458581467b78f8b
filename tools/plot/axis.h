/* axis.h - from numbers to places on paper: ranges, round ticks, their words.
 *
 *   struct plot_axis axis;
 *   plot_axis_init(&axis, low, high, PLOT_LINEAR);
 *   for (size_t i = 0; i < axis.n_ticks; i++)
 *       ... plot_axis_at(&axis, axis.tick[i]), plot_tick_text(text, &axis, axis.tick[i]) ...
 */
#ifndef VLM_TOOLS_PLOT_AXIS_H
#define VLM_TOOLS_PLOT_AXIS_H

#include "base/vlm.h"

enum plot_scale { PLOT_LINEAR, PLOT_LOG };

enum { PLOT_TICKS_MAX = 12, PLOT_TICK_TEXT_SIZE = 32 };

struct plot_axis {
    enum plot_scale scale;
    double low, high; /* what the axis shows: of a linear one its first and last tick */
    double step;      /* between ticks; 0 for a logarithmic axis */
    double tick[PLOT_TICKS_MAX];
    size_t n_ticks;
};

/* An axis for numbers from low to high, both finite and, for PLOT_LOG, above 0. Linear ticks are 1, 2 or 5 times
 * a power of ten apart, four to nine of them; equal ends are moved apart. Logarithmic ticks are powers of ten,
 * with 2 and 5 between when they are few. */
void plot_axis_init(struct plot_axis *axis, double low, double high, enum plot_scale scale);

/* A linear axis that ends where the numbers do: for steps, where nothing is beyond. Ticks are at least `least`
 * apart, 1 for what is counted. */
void plot_axis_init_tight(struct plot_axis *axis, double low, double high, double least);

/* Where a number stands, 0 at low and 1 at high; beyond them outside of that. */
double plot_axis_at(const struct plot_axis *axis, double value);

/* "0.25", "1500", "20k", "3M", "5e-05"; returns text. */
const char *plot_tick_text(char text[PLOT_TICK_TEXT_SIZE], const struct plot_axis *axis,
                           double value);

#endif
