/* axis.c - ticks that people can read.
 *
 * The distance of linear ticks is the smallest of 1, 2, 5 times a power of ten that gives no more than
 * eight steps. Ticks are whole multiples of it, computed as such, so that no error adds up. */
#include "base/vlm.h"
#include "tools/plot/axis.h"

#include <math.h>

enum { STEPS_MAX = 8 };

/* The smallest of 1, 2, 5 times a power of ten that is at least x > 0. */
static double round_step(double x)
{
    double power = pow(10, floor(log10(x)));
    static const double factor[] = { 1, 2, 5, 10 };
    for (size_t i = 0; i < VLM_COUNTOF(factor); i++)
        if (factor[i] * power >= x * (1 - 1e-9))
            return factor[i] * power;
    return 10 * power;
}

/* Equal numbers get an axis around them. */
static void part_ends(double *low, double *high)
{
    if (*high > *low)
        return;
    double half = *low == 0 ? 1 : fabs(*low) * .1;
    *low -= half;
    *high += half;
}

static void add_tick(struct plot_axis *axis, double value)
{
    if (axis->n_ticks < PLOT_TICKS_MAX)
        axis->tick[axis->n_ticks++] = value;
}

static void log_axis(struct plot_axis *axis, double low, double high)
{
    if (high < low * 1.0001) {
        low *= .8;
        high *= 1.25;
    }
    axis->low = low;
    axis->high = high;
    double first = floor(log10(low)), decades = ceil(log10(high)) - first;
    double stride = ceil(decades / STEPS_MAX);
    bool between = decades <= 3;
    static const double factor[] = { 1, 2, 5 };
    for (double power = first; power <= first + decades; power += stride)
        for (size_t i = 0; i < (between ? VLM_COUNTOF(factor) : 1); i++) {
            double value = factor[i] * pow(10, power);
            if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9))
                add_tick(axis, value);
        }
}

void plot_axis_init(struct plot_axis *axis, double low, double high, enum plot_scale scale)
{
    *axis = (struct plot_axis){ .scale = scale };
    if (scale == PLOT_LOG) {
        log_axis(axis, low, high);
        return;
    }
    part_ends(&low, &high);
    axis->step = round_step((high - low) / STEPS_MAX);
    double first = floor(low / axis->step + 1e-9), last = ceil(high / axis->step - 1e-9);
    axis->low = first * axis->step;
    axis->high = last * axis->step;
    for (double i = first; i <= last; i++)
        add_tick(axis, i * axis->step);
}

void plot_axis_init_tight(struct plot_axis *axis, double low, double high, double least)
{
    part_ends(&low, &high);
    double step = VLM_MAX(round_step((high - low) / STEPS_MAX), least);
    *axis = (struct plot_axis){ .low = low, .high = high, .step = step };
    double last = floor(high / step + 1e-9);
    for (double i = ceil(low / step - 1e-9); i <= last; i++)
        add_tick(axis, i * step);
}

double plot_axis_at(const struct plot_axis *axis, double value)
{
    if (axis->scale == PLOT_LOG)
        return log(value / axis->low) / log(axis->high / axis->low);
    return (value - axis->low) / (axis->high - axis->low);
}

const char *plot_tick_text(char text[PLOT_TICK_TEXT_SIZE], const struct plot_axis *axis,
                           double value)
{
    static const struct {
        double size;
        const char *letter;
    } unit[] = { { 1e9, "G" }, { 1e6, "M" }, { 1e4, "k" } };
    double most = VLM_MAX(fabs(axis->low), fabs(axis->high));
    if (fabs(value) < axis->step * 1e-6)
        value = 0; /* not -0, not what is left of a rounding */
    for (size_t i = 0; i < VLM_COUNTOF(unit); i++) {
        if (most < unit[i].size || value == 0)
            continue;
        double size = unit[i].size == 1e4 ? 1e3 : unit[i].size;
        snprintf(text, PLOT_TICK_TEXT_SIZE, "%.6g%s", value / size, unit[i].letter);
        return text;
    }
    snprintf(text, PLOT_TICK_TEXT_SIZE, "%.6g", value);
    return text;
}
