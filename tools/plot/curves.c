/* curves.c - reads metrics.jsonl line by line, smooths and thins what came out.
 *
 * The file is read whole and cut at newlines; each line is parsed by itself, so a damaged one costs no
 * other. */
#include "base/vlm.h"
#include "tools/plot/curves.h"

#include "base/array.h"
#include "base/file.h"
#include "base/json.h"

#include <math.h>
#include <sys/stat.h>

enum { TOLD_MAX = 3 };
static const size_t file_max = (size_t)4 << 30;

void plot_curve_release(struct plot_curve *curve)
{
    free(curve->x);
    free(curve->y);
    *curve = (struct plot_curve){ 0 };
}

bool plot_curve_add(struct plot_curve *curve, double x, double y)
{
    if (!vlm_array_reserve(&curve->x, &curve->capacity_x, curve->n, 1, sizeof(*curve->x)) ||
        !vlm_array_reserve(&curve->y, &curve->capacity_y, curve->n, 1, sizeof(*curve->y)))
        return false;
    curve->x[curve->n] = x;
    curve->y[curve->n++] = y;
    return true;
}

void plot_run_release(struct plot_run *run)
{
    free(run->name);
    for (size_t i = 0; i < PLOT_METRICS_MAX; i++) {
        plot_curve_release(&run->training[i]);
        plot_curve_release(&run->validation[i]);
    }
    *run = (struct plot_run){ 0 };
}

/* --- lines --- */

/* A finite number of that name, or NAN. */
static double member(json_object *line, const char *key)
{
    json_object *value;
    if (!json_object_object_get_ex(line, key, &value) ||
        (!json_object_is_type(value, json_type_double) &&
         !json_object_is_type(value, json_type_int)))
        return NAN;
    double number = json_object_get_double(value);
    return isfinite(number) ? number : NAN;
}

/* What read_lines() hands each line to. VLM_SKIP with a sentence: the line is malformed. */
typedef int (*line_reader)(json_object *line, void *context, struct vlm_err *err);

static int read_line(const char *text, size_t n, line_reader take, void *context,
                     struct vlm_err *err)
{
    json_object *line;
    if (vlm_json_parse(&line, text, n, err) != VLM_OK)
        return VLM_SKIP;
    int rc = VLM_OK;
    json_object *step;
    if (!json_object_is_type(line, json_type_object))
        rc = vlm_fail(err, VLM_SKIP, "a value that is no object");
    else if (!json_object_object_get_ex(line, "step", &step) ||
             !json_object_is_type(step, json_type_int) || json_object_get_int64(step) < 0)
        rc = vlm_fail(err, VLM_SKIP, "no \"step\" that is a whole number");
    else
        rc = take(line, context, err);
    json_object_put(line);
    return rc;
}

struct told {
    plot_tell tell;
    void *context;
    size_t malformed;
};

static void tell_line(struct told *told, const char *path, size_t number, const struct vlm_err *err)
{
    if (told->malformed++ >= TOLD_MAX)
        return;
    struct vlm_err sentence = { 0 };
    (void)vlm_fail(&sentence, VLM_SKIP, "'%s', line %zu is passed over: %s", path, number,
                   err->msg);
    told->tell(sentence.msg, told->context);
}

static int read_lines(const char *path, line_reader take, void *context, struct told *told,
                      struct vlm_err *err)
{
    struct vlm_buffer file = { 0 };
    int rc = vlm_file_read(&file, path, file_max, err);
    const char *text = (const char *)file.data;
    size_t number = 1;
    for (size_t at = 0; rc == VLM_OK && at < file.size; number++) {
        const char *end = memchr(text + at, '\n', file.size - at);
        if (!end)
            break; /* a line that is still being written */
        size_t n = (size_t)(end - text) - at;
        struct vlm_err problem = { 0 };
        rc = n ? read_line(text + at, n, take, context, &problem) : VLM_OK;
        if (rc == VLM_SKIP) {
            tell_line(told, path, number, &problem);
            rc = VLM_OK;
        } else if (rc < 0) {
            *err = problem;
        }
        at += n + 1;
    }
    if (rc == VLM_OK && told->malformed > TOLD_MAX) {
        struct vlm_err sentence = { 0 };
        (void)vlm_fail(&sentence, VLM_SKIP, "'%s': %zu lines are passed over in all", path,
                       told->malformed);
        told->tell(sentence.msg, told->context);
    }
    vlm_buffer_release(&file);
    return rc;
}

/* --- time --- */

/* Hours since the run began, at steps: a process counts its seconds from 0, so what those before it took is
 * added. */
struct clock {
    struct plot_curve at; /* step -> hours */
    double before, last;  /* seconds */
};

static int take_time(json_object *line, void *context, struct vlm_err *err)
{
    struct clock *clock = context;
    double seconds = member(line, "seconds");
    if (isnan(seconds))
        return VLM_OK;
    if (seconds < clock->last)
        clock->before += clock->last;
    clock->last = seconds;
    if (!plot_curve_add(&clock->at, member(line, "step"), (clock->before + seconds) / 3600))
        return vlm_fail(err, VLM_ENOMEM, "no memory for times");
    return VLM_OK;
}

/* Straight lines between the steps that are known, from step 0 at hour 0. */
static double hours_at(const struct clock *clock, double step)
{
    const struct plot_curve *at = &clock->at;
    size_t i = 0, end = at->n;
    while (i < end) { /* the first known step that is not below */
        size_t middle = i + (end - i) / 2;
        if (at->x[middle] < step)
            i = middle + 1;
        else
            end = middle;
    }
    if (i == at->n)
        return at->y[at->n - 1];
    double x0 = i ? at->x[i - 1] : 0, y0 = i ? at->y[i - 1] : 0;
    return at->x[i] > x0 ? y0 + (at->y[i] - y0) * (step - x0) / (at->x[i] - x0) : at->y[i];
}

/* --- a run --- */

struct reading {
    struct plot_run *run;
    const char *const *metrics;
    size_t n;
    enum plot_x x;
    const struct clock *clock;
    double tokens; /* of the last step */
};

static int take_metrics(json_object *line, void *context, struct vlm_err *err)
{
    struct reading *reading = context;
    struct plot_run *run = reading->run;
    json_object *event;
    bool is_event = json_object_object_get_ex(line, "event", &event);
    if (is_event && (!json_object_is_type(event, json_type_string) ||
                     strcmp(json_object_get_string(event), "eval") != 0))
        return VLM_OK;
    double x = member(line, "step"), tokens = member(line, "tokens");
    if (!is_event && !isnan(tokens))
        reading->tokens = tokens;
    if (reading->x == PLOT_X_TOKENS)
        x = is_event && isnan(tokens) ? reading->tokens : tokens;
    else if (reading->x == PLOT_X_TIME)
        x = hours_at(reading->clock, x);
    if (isnan(x))
        return vlm_fail(err, VLM_SKIP, "no \"tokens\" that is a number");
    struct plot_curve *curves = is_event ? run->validation : run->training;
    for (size_t i = 0; i < reading->n; i++)
        if (!plot_curve_add(&curves[i], x, member(line, reading->metrics[i])))
            return vlm_fail(err, VLM_ENOMEM, "no memory for the numbers of a step");
    run->steps += !is_event;
    return VLM_OK;
}

int plot_run_read(struct plot_run *run, const char *path, const char *const *metrics, size_t n,
                  enum plot_x x, plot_tell tell, void *context, struct vlm_err *err)
{
    struct stat status;
    bool folder = !stat(path, &status) && S_ISDIR(status.st_mode);
    char *file = folder ? vlm_path_join(path, "metrics.jsonl") : strdup(path);
    char *parent = strdup(path), *slash = parent ? strrchr(parent, '/') : NULL;
    if (slash)
        *slash = 0;
    char *times = vlm_path_join(folder ? path : slash ? parent : ".", "perf.jsonl");
    struct clock clock = { 0 };
    struct told told = { .tell = tell, .context = context };
    int rc = VLM_OK;
    VLM_BUG_IF(n > PLOT_METRICS_MAX);
    size_t n_name;
    const char *name = vlm_path_last(path, &n_name);
    run->name = strndup(name, n_name);
    if (!file || !parent || !run->name)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a name");
    if (rc == VLM_OK && x == PLOT_X_TIME)
        rc = read_lines(times, take_time, &clock, &told, err);
    if (rc == VLM_OK && x == PLOT_X_TIME && !clock.at.n)
        rc = vlm_fail(err, VLM_EFORMAT, "'%s' has no line with \"seconds\": no time is known",
                      times);
    struct reading reading = {
        .run = run, .metrics = metrics, .n = n, .x = x, .clock = &clock, .tokens = 0
    };
    told.malformed = 0;
    if (rc == VLM_OK)
        rc = read_lines(file, take_metrics, &reading, &told, err);
    run->malformed = told.malformed;
    plot_curve_release(&clock.at);
    free(times);
    free(parent);
    free(file);
    return rc;
}

/* --- what is done with them --- */

int plot_smooth(double *y, size_t n, size_t window, struct vlm_err *err)
{
    if (window < 2)
        return VLM_OK;
    double *past = malloc((n ? n : 1) * sizeof(*past));
    if (!past)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu numbers", n);
    memcpy(past, y, n * sizeof(*past));
    /* The sum is made anew for each place: a running one would carry rounding errors, and an outlier's, on. */
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        size_t count = 0;
        for (size_t j = i + 1 > window ? i + 1 - window : 0; j <= i; j++) {
            if (isnan(past[j]))
                continue;
            sum += past[j];
            count++;
        }
        if (!isnan(past[i]))
            y[i] = sum / (double)count;
    }
    free(past);
    return VLM_OK;
}

void plot_curve_thin(struct plot_curve *curve, double low, double high, size_t columns)
{
    if (curve->n <= 2 * columns || !(high > low))
        return;
    size_t kept = 0;
    for (size_t i = 0; i < curve->n;) {
        double column = floor((curve->x[i] - low) / (high - low) * (double)columns);
        size_t first = i, least = i, most = i;
        bool gap = isnan(curve->y[i]);
        for (i++; i < curve->n && !gap; i++) {
            double own = floor((curve->x[i] - low) / (high - low) * (double)columns);
            if (own < column || own > column || isnan(curve->y[i]))
                break;
            least = curve->y[i] < curve->y[least] ? i : least;
            most = curve->y[i] > curve->y[most] ? i : most;
        }
        size_t one = gap ? first : VLM_MIN(least, most), two = gap ? first : VLM_MAX(least, most);
        double x1 = curve->x[one], y1 = curve->y[one], x2 = curve->x[two], y2 = curve->y[two];
        curve->x[kept] = x1;
        curve->y[kept++] = y1;
        if (two != one) {
            curve->x[kept] = x2;
            curve->y[kept++] = y2;
        }
    }
    curve->n = kept;
}
