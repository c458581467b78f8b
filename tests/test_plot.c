/* test_plot.c - curves of runs: ticks, means, gaps, damaged and empty files, thinning. */
#include "base/vlm.h"

#include "base/file.h"
#include "tools/plot/axis.h"
#include "tools/plot/svg.h"

#include <math.h>
#include <setjmp.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

static void check_close(double expected, double found)
{
    if (fabs(expected - found) > 1e-9 * (1 + fabs(expected)))
        fail_msg("expected %.12g, found %.12g", expected, found);
}

/* --- axes --- */

static void ticks_are_round_and_cover_the_numbers(void **state)
{
    (void)state;
    struct plot_axis axis;
    plot_axis_init(&axis, .37, 6.2, PLOT_LINEAR);
    check_close(0, axis.low);
    check_close(7, axis.high);
    assert_int_equal(8, axis.n_ticks);
    check_close(3, axis.tick[3]);
    plot_axis_init(&axis, -.0123, .0311, PLOT_LINEAR);
    check_close(-.02, axis.low);
    check_close(.04, axis.high);
    check_close(.01, axis.step);
}

static void any_range_has_few_ticks_with_different_words(void **state)
{
    (void)state;
    for (int i = 0; i < 4000; i++) {
        double low = sin(i) * pow(10, i % 13 - 6),
               high = low + fabs(cos(7 * i)) * pow(10, i % 7 - 3);
        struct plot_axis axis;
        plot_axis_init(&axis, low, high, PLOT_LINEAR);
        assert_in_range(axis.n_ticks, 3, 10);
        assert_true(axis.low <= low + 1e-6 * axis.step && axis.high >= high - 1e-6 * axis.step);
        for (size_t j = 1; j < axis.n_ticks; j++)
            check_close(axis.step, axis.tick[j] - axis.tick[j - 1]);
    }
}

static void equal_numbers_get_an_axis_around_them(void **state)
{
    (void)state;
    struct plot_axis axis;
    plot_axis_init(&axis, 2, 2, PLOT_LINEAR);
    assert_true(axis.low < 2 && axis.high > 2 && axis.n_ticks >= 3);
    plot_axis_init(&axis, 0, 0, PLOT_LINEAR);
    assert_true(axis.low < 0 && axis.high > 0);
    plot_axis_init_tight(&axis, 1, 1, 0);
    assert_true(axis.low < 1 && axis.high > 1);
    plot_axis_init(&axis, 3, 3, PLOT_LOG);
    assert_true(axis.low < 3 && axis.high > 3);
}

static void a_tight_axis_ends_with_its_numbers(void **state)
{
    (void)state;
    struct plot_axis axis;
    plot_axis_init_tight(&axis, 1, 3050, 1);
    check_close(1, axis.low);
    check_close(3050, axis.high);
    assert_int_equal(6, axis.n_ticks); /* 500 to 3000 */
    check_close(500, axis.tick[0]);
    plot_axis_init_tight(&axis, 1, 4, 1); /* no half steps */
    assert_int_equal(4, axis.n_ticks);
    check_close(1, axis.step);
}

static void a_logarithmic_axis_has_powers_of_ten(void **state)
{
    (void)state;
    struct plot_axis axis;
    plot_axis_init(&axis, 3e-6, 2e2, PLOT_LOG);
    for (size_t i = 0; i < axis.n_ticks; i++)
        check_close(round(log10(axis.tick[i])), log10(axis.tick[i]));
    check_close(.5, plot_axis_at(&axis, sqrt(3e-6 * 2e2)));
    plot_axis_init(&axis, .15, 12, PLOT_LOG);
    assert_int_equal(6, axis.n_ticks); /* .2 .5 1 2 5 10 */
    check_close(.2, axis.tick[0]);
    check_close(10, axis.tick[5]);
    plot_axis_init(&axis, 1e-30, 1e30, PLOT_LOG);
    assert_in_range(axis.n_ticks, 3, PLOT_TICKS_MAX);
}

static void tick_words_are_short(void **state)
{
    (void)state;
    struct plot_axis axis;
    char text[PLOT_TICK_TEXT_SIZE];
    plot_axis_init(&axis, 0, 20000, PLOT_LINEAR);
    assert_string_equal("5k", plot_tick_text(text, &axis, 5000));
    assert_string_equal("0", plot_tick_text(text, &axis, 0));
    plot_axis_init(&axis, 0, 3e6, PLOT_LINEAR);
    assert_string_equal("0.5M", plot_tick_text(text, &axis, 5e5));
    plot_axis_init(&axis, 0, 7000, PLOT_LINEAR);
    assert_string_equal("5000", plot_tick_text(text, &axis, 5000));
    plot_axis_init(&axis, -.3, .3, PLOT_LINEAR);
    assert_string_equal("0", plot_tick_text(text, &axis, axis.tick[3] * 1e-17));
    assert_string_equal("-0.2", plot_tick_text(text, &axis, -2 * .1));
}

/* --- curves --- */

static void a_mean_leaves_gaps_out_and_is_not_hurt_by_them(void **state)
{
    (void)state;
    double y[] = { 4, NAN, 2, 9, 1 };
    const double expected[] = { 4, NAN, 3, 5.5, 4 };
    struct vlm_err err = { 0 };
    assert_int_equal(VLM_OK, plot_smooth(y, 5, 3, &err));
    for (size_t i = 0; i < 5; i++) {
        if (i == 1)
            assert_true(isnan(y[i]));
        else
            check_close(expected[i], y[i]);
    }
    double one[] = { 7, 8 };
    assert_int_equal(VLM_OK, plot_smooth(one, 2, 1, &err));
    check_close(8, one[1]);
    assert_int_equal(VLM_OK, plot_smooth(one, 0, 100, &err));
}

static void thinning_keeps_peaks_order_and_gaps(void **state)
{
    (void)state;
    enum { N = 10000, COLUMNS = 100 };
    struct plot_curve curve = { 0 };
    for (int i = 0; i < N; i++)
        assert_true(plot_curve_add(&curve, i, i == 4321 ? 99 : i == 7000 ? NAN : sin(i)));
    plot_curve_thin(&curve, 0, N - 1, COLUMNS);
    assert_in_range(curve.n, COLUMNS, 2 * COLUMNS + 4);
    size_t peaks = 0, gaps = 0;
    for (size_t i = 0; i < curve.n; i++) {
        assert_true(!i || curve.x[i] > curve.x[i - 1]);
        gaps += isnan(curve.y[i]) ? 1 : 0;
        peaks += curve.y[i] == 99 && curve.x[i] == 4321;
    }
    assert_int_equal(1, peaks);
    assert_int_equal(1, gaps);
    plot_curve_release(&curve);
}

/* --- runs --- */

static const char *const metrics[] = { "loss", "loss_image" };
enum { METRICS = 2 };

struct heard {
    size_t n;
    char last[1024];
};

static void hear(const char *sentence, void *context)
{
    struct heard *heard = context;
    heard->n++;
    snprintf(heard->last, sizeof(heard->last), "%s", sentence);
}

static int read_run(struct plot_run *run, const char *text, const char *perf, enum plot_x x,
                    struct heard *heard, struct vlm_err *err)
{
    char *folder = new_folder(temporary_place());
    assert_non_null(folder);
    char *path = vlm_path_join(folder, "metrics.jsonl"),
         *times = vlm_path_join(folder, "perf.jsonl");
    assert_int_equal(VLM_OK, vlm_file_write(path, text, strlen(text), err));
    if (perf)
        assert_int_equal(VLM_OK, vlm_file_write(times, perf, strlen(perf), err));
    *run = (struct plot_run){ 0 };
    *heard = (struct heard){ 0 };
    int rc = plot_run_read(run, folder, metrics, METRICS, x, hear, heard, err);
    assert_true(vlm_folder_delete(folder, &(struct vlm_err){ 0 }) == VLM_OK);
    free(folder);
    free(path);
    free(times);
    return rc;
}

static void malformed_lines_are_named_and_cost_no_other(void **state)
{
    (void)state;
    struct plot_run run;
    struct heard heard;
    struct vlm_err err = { 0 };
    assert_int_equal(VLM_OK, read_run(&run,
                                      "{\"step\": 1, \"loss\": 5}\n"
                                      "{\"step\": 2, \"loss\"\n"
                                      "[3]\n"
                                      "{\"step\": \"4\", \"loss\": 1}\n"
                                      "\n"
                                      "{\"step\": -5, \"loss\": 1}\n"
                                      "{\"event\": \"sample\", \"step\": 6, \"loss\": 8}\n"
                                      "{\"step\": 7, \"loss\": 3, \"loss_image\": \"x\"}\n"
                                      "{\"step\": 8, \"los",
                                      NULL, PLOT_X_STEP, &heard, &err));
    assert_int_equal(2, run.steps);
    assert_int_equal(4, run.malformed);
    assert_int_equal(4, heard.n); /* three of them and the sum */
    assert_non_null(strstr(heard.last, "4 lines are passed over"));
    check_close(7, run.training[0].x[1]);
    check_close(3, run.training[0].y[1]);
    assert_true(isnan(run.training[1].y[1]));
    assert_int_equal(0, run.validation[0].n);
    plot_run_release(&run);
}

static void numbers_that_are_none_are_gaps(void **state)
{
    (void)state;
    struct plot_run run;
    struct heard heard;
    struct vlm_err err = { 0 };
    assert_int_equal(VLM_OK,
                     read_run(&run,
                              "{\"step\": 1, \"loss\": null}\n{\"step\": 2, \"loss\": NaN}\n"
                              "{\"step\": 3, \"loss\": 1e999}\n{\"step\": 4, \"loss\": 2}\n",
                              NULL, PLOT_X_STEP, &heard, &err));
    assert_int_equal(4, run.steps);
    assert_int_equal(0, heard.n);
    for (size_t i = 0; i < 3; i++)
        assert_true(isnan(run.training[0].y[i]));
    struct vlm_buffer out = { 0 };
    assert_int_equal(
        VLM_OK, plot_svg(&out, &run, 1,
                         &(struct plot_look){ .metrics = metrics, .n_metrics = METRICS }, &err));
    vlm_buffer_byte(&out, 0);
    assert_null(strstr((char *)out.data, "nan"));
    assert_null(strstr((char *)out.data, "inf"));
    assert_non_null(strstr((char *)out.data, "h0\"/>")); /* one point is drawn as one */
    vlm_buffer_release(&out);
    plot_run_release(&run);
}

static void tokens_and_time_replace_steps(void **state)
{
    (void)state;
    static const char *const text = "{\"step\": 10, \"loss\": 4, \"tokens\": 100}\n{\"event\": "
                                    "\"eval\", \"step\": 10, \"loss\": 4.5}\n"
                                    "{\"step\": 20, \"loss\": 3, \"tokens\": 200}\n{\"step\": 30, "
                                    "\"loss\": 2, \"tokens\": 300}\n";
    struct plot_run run;
    struct heard heard;
    struct vlm_err err = { 0 };
    assert_int_equal(VLM_OK, read_run(&run, text, NULL, PLOT_X_TOKENS, &heard, &err));
    check_close(200, run.training[0].x[1]);
    check_close(100, run.validation[0].x[0]);
    plot_run_release(&run);
    /* A second process counts from 0 again: the 3600 s of the first are before it. */
    assert_int_equal(VLM_OK, read_run(&run, text,
                                      "{\"step\": 20, \"seconds\": 3600}\n"
                                      "{\"step\": 30, \"seconds\": 1800}\n",
                                      PLOT_X_TIME, &heard, &err));
    check_close(.5, run.training[0].x[0]);
    check_close(1, run.training[0].x[1]);
    check_close(1.5, run.training[0].x[2]);
    plot_run_release(&run);
    assert_int_equal(VLM_EFORMAT, read_run(&run, text, "", PLOT_X_TIME, &heard, &err));
    assert_non_null(strstr(err.msg, "no time is known"));
    plot_run_release(&run);
    assert_int_equal(VLM_EFAIL, plot_run_read(&run, "/nowhere/run", metrics, METRICS, PLOT_X_STEP,
                                              hear, &heard, &err));
    plot_run_release(&run);
}

static void runs_without_steps_are_named_and_none_is_drawn_alone(void **state)
{
    (void)state;
    struct plot_run runs[2];
    struct heard heard;
    struct vlm_err err = { 0 };
    const struct plot_look look = { .metrics = metrics, .n_metrics = METRICS };
    assert_int_equal(VLM_OK, read_run(&runs[0], "", NULL, PLOT_X_STEP, &heard, &err));
    struct vlm_buffer out = { 0 };
    assert_int_equal(VLM_EOF, plot_svg(&out, runs, 1, &look, &err));
    assert_int_equal(0, out.size);
    assert_int_equal(VLM_OK, read_run(&runs[1], "{\"step\": 1, \"loss\": 5}\n", NULL, PLOT_X_STEP,
                                      &heard, &err));
    free(runs[1].name);
    runs[1].name = strdup("a<b&c");
    assert_int_equal(VLM_OK, plot_svg(&out, runs, 2, &look, &err));
    vlm_buffer_byte(&out, 0);
    assert_non_null(strstr((char *)out.data, "(no steps yet)"));
    assert_non_null(strstr((char *)out.data, "a&lt;b&amp;c"));
    assert_null(strstr((char *)out.data, "image codes")); /* a metric that no run has */
    vlm_buffer_release(&out);
    plot_run_release(&runs[0]);
    plot_run_release(&runs[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_round_and_cover_the_numbers),
        cmocka_unit_test(any_range_has_few_ticks_with_different_words),
        cmocka_unit_test(equal_numbers_get_an_axis_around_them),
        cmocka_unit_test(a_tight_axis_ends_with_its_numbers),
        cmocka_unit_test(a_logarithmic_axis_has_powers_of_ten),
        cmocka_unit_test(tick_words_are_short),
        cmocka_unit_test(a_mean_leaves_gaps_out_and_is_not_hurt_by_them),
        cmocka_unit_test(thinning_keeps_peaks_order_and_gaps),
        cmocka_unit_test(malformed_lines_are_named_and_cost_no_other),
        cmocka_unit_test(numbers_that_are_none_are_gaps),
        cmocka_unit_test(tokens_and_time_replace_steps),
        cmocka_unit_test(runs_without_steps_are_named_and_none_is_drawn_alone),
    };
    return cmocka_run_group_tests_name("plot", tests, NULL, NULL);
}
