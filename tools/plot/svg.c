/* svg.c - lays panels out in a grid and draws axes, lines and points.
 *
 * Colours are classes of a style sheet inside of the file, once for light and once for dark surroundings
 * (prefers-color-scheme). The eight line colours are those of Okabe and Ito, which people with colour-blindness
 * can tell apart, a little lighter on dark; the ninth run has the first colour again, dashed. */
#include "base/vlm.h"
#include "tools/plot/svg.h"

#include "tools/plot/axis.h"

#include <math.h>

enum {
    PANEL_WIDTH = 470,
    PANEL_HEIGHT = 270,
    LEFT = 62, /* margins of the frame in its panel */
    RIGHT = 14,
    TOP = 30,
    BOTTOM = 42,
    FRAME_WIDTH = PANEL_WIDTH - LEFT - RIGHT,
    FRAME_HEIGHT = PANEL_HEIGHT - TOP - BOTTOM,
    COLOURS = 8,
    LEGEND_ROW = 20,
    EDGE = 10,
};

static const char *const style =
    "<style>\n"
    "text { font-family: system-ui, sans-serif; font-size: 12px; fill: #222222; }\n"
    ".title { font-size: 17px; font-weight: 600; }\n"
    ".name { font-size: 13px; font-weight: 600; }\n"
    ".tick { font-size: 11px; fill: #555555; }\n"
    ".paper { fill: #ffffff; }\n"
    ".grid { stroke: #e4e4e4; stroke-width: 1; }\n"
    ".frame { stroke: #999999; stroke-width: 1; fill: none; }\n"
    ".line { fill: none; stroke-width: 1.5; stroke-linejoin: round; stroke-linecap: round; }\n"
    ".raw { stroke-width: 1; stroke-opacity: 0.3; }\n"
    ".point { stroke: #ffffff; stroke-width: 1.5; }\n"
    ".link { stroke-width: 1; stroke-dasharray: 3 3; }\n"
    ".again { stroke-dasharray: 7 3; }\n"
    ".c0 { stroke: #0072b2; } .d0 { fill: #0072b2; }\n"
    ".c1 { stroke: #d55e00; } .d1 { fill: #d55e00; }\n"
    ".c2 { stroke: #009e73; } .d2 { fill: #009e73; }\n"
    ".c3 { stroke: #cc79a7; } .d3 { fill: #cc79a7; }\n"
    ".c4 { stroke: #b58900; } .d4 { fill: #b58900; }\n"
    ".c5 { stroke: #3fa7d6; } .d5 { fill: #3fa7d6; }\n"
    ".c6 { stroke: #7a4fbf; } .d6 { fill: #7a4fbf; }\n"
    ".c7 { stroke: #666666; } .d7 { fill: #666666; }\n"
    "@media (prefers-color-scheme: dark) {\n"
    "text { fill: #e6e6e6; }\n.tick { fill: #a8a8a8; }\n.paper { fill: #16181c; }\n"
    ".point { stroke: #16181c; }\n.grid { stroke: #2c3036; }\n.frame { stroke: #6a6f76; }\n"
    ".c0 { stroke: #56a8dc; } .d0 { fill: #56a8dc; }\n"
    ".c1 { stroke: #f0803c; } .d1 { fill: #f0803c; }\n"
    ".c2 { stroke: #35c79a; } .d2 { fill: #35c79a; }\n"
    ".c3 { stroke: #e39cc4; } .d3 { fill: #e39cc4; }\n"
    ".c4 { stroke: #e0b93a; } .d4 { fill: #e0b93a; }\n"
    ".c5 { stroke: #7fd0f5; } .d5 { fill: #7fd0f5; }\n"
    ".c6 { stroke: #ae8af0; } .d6 { fill: #ae8af0; }\n"
    ".c7 { stroke: #b0b0b0; } .d7 { fill: #b0b0b0; }\n"
    "}\n</style>\n";

static const char *metric_title(const char *metric)
{
    static const char *const known[][2] = {
        { "loss", "loss (as trained)" },
        { "loss_text", "loss of text (nats a token)" },
        { "loss_markup", "loss of markup (nats a token)" },
        { "loss_image", "loss of image codes (nats a code)" },
        { "lr", "learning rate" },
        { "grad_norm", "norm of the gradient" },
        { "bits_per_byte", "bits a byte of text" },
        { "bits_per_image", "bits an image" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(known); i++)
        if (!strcmp(metric, known[i][0]))
            return known[i][1];
    return metric;
}

/* Text between tags; bytes that XML forbids become '?'. */
static void escaped(struct vlm_buffer *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            vlm_buffer_text(out, "&lt;");
        else if (*text == '&')
            vlm_buffer_text(out, "&amp;");
        else
            vlm_buffer_byte(out, (uint8_t)*text < 32 ? '?' : (uint8_t)*text);
    }
}

/* --- what is to be drawn --- */

struct range {
    double low, high;
};

static void widen(struct range *range, const double *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (isnan(values[i]))
            continue;
        range->low = fmin(range->low, values[i]);
        range->high = fmax(range->high, values[i]);
    }
}

/* The numbers of metric m in all runs; low is above high when there are none. */
static struct range range_of(const struct plot_run *runs, size_t n_runs, size_t m)
{
    struct range range = { INFINITY, -INFINITY };
    for (size_t i = 0; i < n_runs; i++) {
        widen(&range, runs[i].training[m].y, runs[i].training[m].n);
        widen(&range, runs[i].validation[m].y, runs[i].validation[m].n);
    }
    return range;
}

static struct range range_of_x(const struct plot_run *runs, size_t n_runs)
{
    struct range range = { INFINITY, -INFINITY };
    for (size_t i = 0; i < n_runs; i++) {
        widen(&range, runs[i].training[0].x, runs[i].training[0].n);
        widen(&range, runs[i].validation[0].x, runs[i].validation[0].n);
    }
    return range;
}

static bool is_logarithmic(const struct plot_look *look, size_t m, struct range range)
{
    for (size_t i = 0; i < look->n_logarithmic; i++)
        if (!strcmp(look->logarithmic[i], look->metrics[m]))
            return range.low > 0;
    return false;
}

/* --- drawing --- */

struct panel {
    struct vlm_buffer *out;
    struct plot_axis x, y;
    double x_factor; /* of numbers to what the axis shows */
};

static double at_x(const struct panel *panel, double x)
{
    return LEFT + FRAME_WIDTH * plot_axis_at(&panel->x, x * panel->x_factor);
}

static double at_y(const struct panel *panel, double y)
{
    return TOP + FRAME_HEIGHT * (1 - plot_axis_at(&panel->y, y));
}

static void draw_axes(const struct panel *panel, const char *title, const char *x_title)
{
    struct vlm_buffer *out = panel->out;
    char text[PLOT_TICK_TEXT_SIZE];
    int bottom = TOP + FRAME_HEIGHT;
    for (size_t i = 0; i < panel->x.n_ticks; i++) {
        double x = LEFT + FRAME_WIDTH * plot_axis_at(&panel->x, panel->x.tick[i]);
        vlm_buffer_printf(out,
                          "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n", x,
                          TOP, x, bottom);
        vlm_buffer_printf(
            out, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", x,
            bottom + 15, plot_tick_text(text, &panel->x, panel->x.tick[i]));
    }
    for (size_t i = 0; i < panel->y.n_ticks; i++) {
        double y = at_y(panel, panel->y.tick[i]);
        vlm_buffer_printf(out,
                          "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n",
                          LEFT, y, LEFT + FRAME_WIDTH, y);
        vlm_buffer_printf(
            out, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            LEFT - 6, y + 4, plot_tick_text(text, &panel->y, panel->y.tick[i]));
    }
    vlm_buffer_printf(out,
                      "<rect class=\"frame\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n"
                      "<text class=\"name\" x=\"%d\" y=\"%d\">",
                      LEFT, TOP, FRAME_WIDTH, FRAME_HEIGHT, LEFT, TOP - 9);
    escaped(out, title);
    vlm_buffer_printf(out,
                      "</text>\n<text class=\"tick\" x=\"%d\" y=\"%d\" "
                      "text-anchor=\"middle\">%s</text>\n",
                      LEFT + FRAME_WIDTH / 2, bottom + 31, x_title);
}

/* A path with a break at each gap. A point between two gaps is a line of no length, which a round cap makes
 * visible. */
static void draw_line(const struct panel *panel, const struct plot_curve *curve, size_t colour,
                      const char *also)
{
    bool pen = false, any = false;
    for (size_t i = 0; i < curve->n; i++) {
        if (isnan(curve->y[i])) {
            pen = false;
            continue;
        }
        double x = at_x(panel, curve->x[i]), y = at_y(panel, curve->y[i]);
        if (!any)
            vlm_buffer_printf(panel->out, "<path class=\"line c%zu%s%s\" d=\"", colour % COLOURS,
                              colour >= COLOURS ? " again" : "", also);
        bool alone = !pen && (i + 1 == curve->n || isnan(curve->y[i + 1]));
        vlm_buffer_printf(panel->out, "%s%.1f %.1f%s", pen ? "L" : "M", x, y, alone ? "h0" : "");
        pen = any = true;
    }
    if (any)
        vlm_buffer_text(panel->out, "\"/>\n");
}

static void draw_points(const struct panel *panel, const struct plot_curve *curve, size_t colour)
{
    draw_line(panel, curve, colour, " link");
    for (size_t i = 0; i < curve->n; i++)
        if (!isnan(curve->y[i]))
            vlm_buffer_printf(panel->out,
                              "<circle class=\"point d%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n",
                              colour % COLOURS, at_x(panel, curve->x[i]), at_y(panel, curve->y[i]));
}

static int draw_training(const struct panel *panel, struct plot_curve *curve, size_t colour,
                         struct range x, size_t smooth, struct vlm_err *err)
{
    struct plot_curve mean = { 0 };
    int rc = VLM_OK;
    if (smooth > 1) {
        for (size_t i = 0; i < curve->n && rc == VLM_OK; i++)
            if (!plot_curve_add(&mean, curve->x[i], curve->y[i]))
                rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu points", curve->n);
        if (rc == VLM_OK)
            rc = plot_smooth(mean.y, mean.n, smooth, err);
    }
    if (rc == VLM_OK) {
        plot_curve_thin(curve, x.low, x.high, FRAME_WIDTH);
        plot_curve_thin(&mean, x.low, x.high, FRAME_WIDTH);
        draw_line(panel, curve, colour, smooth > 1 ? " raw" : "");
        draw_line(panel, &mean, colour, "");
    }
    plot_curve_release(&mean);
    return rc;
}

static int draw_panel(struct vlm_buffer *out, struct plot_run *runs, size_t n_runs,
                      const struct plot_look *look, size_t m, struct range x, struct vlm_err *err)
{
    struct range y = range_of(runs, n_runs, m);
    struct panel panel = { .out = out, .x_factor = 1 };
    const char *x_title = look->x == PLOT_X_TOKENS ? "tokens" : "step";
    if (look->x == PLOT_X_TIME) {
        bool short_run = x.high < 2;
        panel.x_factor = short_run ? 60 : 1;
        x_title = short_run ? "minutes" : "hours";
    }
    plot_axis_init_tight(&panel.x, x.low * panel.x_factor, x.high * panel.x_factor,
                         look->x == PLOT_X_TIME ? 0 : 1);
    plot_axis_init(&panel.y, y.low, y.high, is_logarithmic(look, m, y) ? PLOT_LOG : PLOT_LINEAR);
    draw_axes(&panel, metric_title(look->metrics[m]), x_title);
    /* The learning rate has no noise that a mean could take away, only corners. */
    size_t smooth = strcmp(look->metrics[m], "lr") != 0 ? look->smooth : 1;
    int rc = VLM_OK;
    for (size_t i = 0; i < n_runs && rc == VLM_OK; i++)
        rc = draw_training(&panel, &runs[i].training[m], i, x, smooth, err);
    for (size_t i = 0; i < n_runs; i++)
        draw_points(&panel, &runs[i].validation[m], i);
    return rc;
}

static bool any_validation(const struct plot_run *runs, size_t n_runs)
{
    for (size_t i = 0; i < n_runs; i++)
        if (runs[i].validation[0].n)
            return true;
    return false;
}

/* Names of runs one below the other, then what lines and points mean. Returns the height. */
static int draw_legend(struct vlm_buffer *out, const struct plot_run *runs, size_t n_runs,
                       const struct plot_look *look, int y)
{
    int top = y;
    for (size_t i = 0; i < n_runs; i++, y += LEGEND_ROW) {
        vlm_buffer_printf(out,
                          "<path class=\"line c%zu%s\" d=\"M%d %dh26\"/>\n<text x=\"%d\" y=\"%d\">",
                          i % COLOURS, i >= COLOURS ? " again" : "", LEFT, y, LEFT + 34, y + 4);
        escaped(out, runs[i].name);
        vlm_buffer_text(out, runs[i].steps ? "</text>\n" : " (no steps yet)</text>\n");
    }
    vlm_buffer_printf(out, "<text class=\"tick\" x=\"%d\" y=\"%d\">line: training", LEFT, y + 4);
    if (look->smooth > 1)
        vlm_buffer_printf(out, " (mean of %zu steps; pale: each step)", look->smooth);
    if (any_validation(runs, n_runs))
        vlm_buffer_text(out, "; points: validation");
    vlm_buffer_text(out, "</text>\n");
    return y + LEGEND_ROW - top;
}

int plot_svg(struct vlm_buffer *out, struct plot_run *runs, size_t n_runs,
             const struct plot_look *look, struct vlm_err *err)
{
    size_t shown[PLOT_METRICS_MAX], n = 0;
    for (size_t m = 0; m < look->n_metrics; m++) {
        struct range range = range_of(runs, n_runs, m);
        if (range.low <= range.high)
            shown[n++] = m;
    }
    if (!n)
        return VLM_EOF;
    size_t columns = n > 1 ? 2 : 1, rows = (n + columns - 1) / columns;
    int title = look->title ? 34 : EDGE, legend = (int)(n_runs + 1) * LEGEND_ROW + EDGE;
    int width = (int)columns * PANEL_WIDTH + EDGE;
    int height = title + legend + (int)rows * PANEL_HEIGHT + EDGE;
    vlm_buffer_printf(out,
                      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                      "viewBox=\"0 0 %d %d\">\n%s"
                      "<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n",
                      width, height, width, height, style, width, height);
    if (look->title) {
        vlm_buffer_printf(out, "<text class=\"title\" x=\"%d\" y=\"26\">", LEFT);
        escaped(out, look->title);
        vlm_buffer_text(out, "</text>\n");
    }
    draw_legend(out, runs, n_runs, look, title + EDGE);
    int rc = VLM_OK;
    struct range x = range_of_x(runs, n_runs);
    for (size_t i = 0; i < n && rc == VLM_OK; i++) {
        vlm_buffer_printf(out, "<g transform=\"translate(%d %d)\">\n",
                          (int)(i % columns) * PANEL_WIDTH,
                          title + legend + (int)(i / columns) * PANEL_HEIGHT);
        rc = draw_panel(out, runs, n_runs, look, shown[i], x, err);
        vlm_buffer_text(out, "</g>\n");
    }
    vlm_buffer_text(out, "</svg>\n");
    if (rc == VLM_OK && out->failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for the drawing");
    return rc;
}
