/* test_metrics.c - metrics.jsonl: whole lines, in a fixed form, cut back to a step. */
#include "base/vlm.h"

#include "base/file.h"
#include "trainer/save/metrics_lines.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

static char *path;

static int begin(void **state)
{
    (void)state;
    path = new_file();
    return path ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    int rc = unlink(path);
    free(path);
    return rc;
}

static void put(const void *bytes, size_t n)
{
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_file_write(path, bytes, n, &err), VLM_OK);
}

static char *whole_file(void)
{
    static struct vlm_buffer text;
    struct vlm_err err = { 0 };
    vlm_buffer_reset(&text);
    assert_int_equal(vlm_file_read(&text, path, 1 << 28, &err), VLM_OK);
    vlm_buffer_byte(&text, 0);
    return (char *)text.data;
}

/* What is left of `before` when it is opened at a step. */
static void is_cut(const char *before, uint64_t step, const char *after)
{
    struct vlm_metrics metrics;
    struct vlm_err err = { 0 };
    put(before, strlen(before));
    assert_int_equal(vlm_metrics_open(&metrics, path, step, &err), VLM_OK);
    vlm_metrics_close(&metrics);
    assert_string_equal(whole_file(), after);
}

#define LINE(n) "{\"step\": " #n ", \"loss\": 1.5}\n"

static void lines_behind_the_step_are_cut(void **state)
{
    (void)state;
    is_cut("", 9, "");
    is_cut(LINE(1) LINE(2) LINE(3), 0, "");
    is_cut(LINE(1) LINE(2) LINE(3), 2, LINE(1) LINE(2));
    is_cut(LINE(1) LINE(2) LINE(3), UINT64_MAX, LINE(1) LINE(2) LINE(3));
    is_cut(LINE(1) "{\"event\": \"eval\", \"step\": 2}\n" LINE(3), 2,
           LINE(1) "{\"event\": \"eval\", \"step\": 2}\n");
    /* A run that had gone back and was saved on its second way. */
    is_cut(LINE(1) LINE(2) LINE(3) "{\"event\": \"roll-back\", \"step\": 3, \"to\": 1}\n" LINE(2)
               LINE(3),
           2,
           LINE(1) LINE(2) LINE(3) "{\"event\": \"roll-back\", \"step\": 3, \"to\": 1}\n" LINE(2));
    /* The order of members does not matter, nor does what else is called so. */
    is_cut("{\"a\": {\"step\": 9}, \"b\": [\"step\"], \"step\": 4}\n" LINE(5), 4,
           "{\"a\": {\"step\": 9}, \"b\": [\"step\"], \"step\": 4}\n");
}

static void damage_is_cut(void **state)
{
    (void)state;
    is_cut(LINE(1) "{\"step\": 2", 9, LINE(1));
    is_cut(LINE(1) "{\"step\": 2}", 9, LINE(1));
    is_cut(LINE(1) "\n", 9, LINE(1));
    is_cut(LINE(1) "{\"step\": -2}\n" LINE(3), 2, LINE(1));
    is_cut(LINE(1) "{\"loss\": 2}\n", 9, LINE(1));
    is_cut(LINE(1) "[2]\n" LINE(3), 2, LINE(1));
    is_cut("garbage", 9, "");
    is_cut("garbage\n", 9, "");
    /* One bad byte does not cost the lines behind it. */
    is_cut(LINE(1) "{\"st" LINE(2) LINE(3), 3, LINE(1) "{\"st" LINE(2) LINE(3));
    is_cut(LINE(1) "\n" LINE(2) "\n" LINE(3), 2, LINE(1) "\n" LINE(2));
    /* A power cut may leave zeros. */
    struct vlm_metrics metrics;
    struct vlm_err err = { 0 };
    const char zeros[] = LINE(1) "\0\0\0\0\n\0\0";
    put(zeros, sizeof(zeros));
    assert_int_equal(vlm_metrics_open(&metrics, path, 9, &err), VLM_OK);
    vlm_metrics_close(&metrics);
    assert_string_equal(whole_file(), LINE(1));
}

/* Lines that stand across the pieces in which the file is read, of all lengths. */
static void large_files_are_cut_at_the_right_line(void **state)
{
    (void)state;
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    uint64_t n = 0, kept = 0;
    while (text.size < 3 << 20) {
        n++;
        vlm_buffer_printf(&text, "{\"step\": %" PRIu64 ", \"fill\": \"%0*d\"}\n", n,
                          (int)(n * 37 % 5000), 0);
        if (n == 500)
            kept = text.size;
    }
    put(text.data, text.size);
    struct vlm_metrics metrics;
    assert_int_equal(vlm_metrics_open(&metrics, path, 500, &err), VLM_OK);
    vlm_metrics_close(&metrics);
    assert_int_equal(strlen(whole_file()), kept);
    vlm_buffer_release(&text);
}

static void lines_are_appended(void **state)
{
    struct vlm_metrics metrics;
    struct vlm_buffer line = { 0 };
    struct vlm_err err = { 0 };
    (void)state;
    put(LINE(1) LINE(2), strlen(LINE(1) LINE(2)));
    assert_int_equal(vlm_metrics_open(&metrics, path, 1, &err), VLM_OK);
    for (int i = 2; i < 5; i++) {
        vlm_sample_line_write(&line, (uint64_t)i, "samples/\"a\".png");
        assert_int_equal(vlm_metrics_line(&metrics, &line, &err), VLM_OK);
        assert_int_equal(line.size, 0);
    }
    assert_int_equal(vlm_metrics_sync(&metrics, &err), VLM_OK);
    vlm_metrics_close(&metrics);
    vlm_metrics_close(&metrics);
    assert_string_equal(
        whole_file(),
        LINE(1) "{\"event\": \"sample\", \"step\": 2, \"file\": \"samples/\\\"a\\\".png\"}\n"
                "{\"event\": \"sample\", \"step\": 3, \"file\": \"samples/\\\"a\\\".png\"}\n"
                "{\"event\": \"sample\", \"step\": 4, \"file\": \"samples/\\\"a\\\".png\"}\n");
    vlm_buffer_release(&line);
}

/* A file that may not grow: the line is not written, not a part of it either. In a process of its own. */
static int write_beyond_limit(void)
{
    struct vlm_metrics metrics;
    struct vlm_buffer line = { 0 };
    struct vlm_err err = { 0 };
    const struct rlimit limit = { strlen(LINE(1)) + 10, RLIM_INFINITY };
    signal(SIGXFSZ, SIG_IGN);
    if (vlm_metrics_open(&metrics, path, 1, &err) != VLM_OK || setrlimit(RLIMIT_FSIZE, &limit) < 0)
        return 1;
    vlm_roll_back_line_write(&line, 2, 1);
    int rc = vlm_metrics_line(&metrics, &line, &err);
    vlm_metrics_close(&metrics);
    vlm_buffer_release(&line);
    return rc == VLM_ELIMIT && strstr(err.msg, path) ? 0 : 1;
}

static void a_line_that_does_not_fit_leaves_nothing(void **state)
{
    int status;
    (void)state;
    put(LINE(1), strlen(LINE(1)));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(write_beyond_limit());
    assert_true(waitpid(child, &status, 0) == child);
    assert_int_equal(status, 0);
    assert_string_equal(whole_file(), LINE(1));
}

static void is_line(struct vlm_buffer *out, const char *expected)
{
    vlm_buffer_byte(out, 0);
    assert_string_equal((char *)out->data, expected);
    vlm_buffer_reset(out);
}

static void lines_have_their_form(void **state)
{
    struct vlm_buffer out = { 0 };
    struct vlm_place place = { .cursor.drawn = { 12, 7 }, .sample = 3 };
    struct vlm_step_line line = { .step = 7,
                                  .loss = 3.25,
                                  .loss_of = { 4, 1.0 / 3, NAN },
                                  .rate = 6e-4,
                                  .grad_norm = 1.5,
                                  .tokens = UINT64_C(1) << 40,
                                  .documents = 19,
                                  .epoch = 1,
                                  .place = &place,
                                  .sources = 2 };
    (void)state;
    vlm_step_line_write(&out, &line);
    is_line(&out, "{\"step\": 7, \"loss\": 3.25, \"loss_text\": 4, \"loss_markup\": 0.333333, "
                  "\"loss_image\": null, \"lr\": 0.0006, \"grad_norm\": 1.5, "
                  "\"tokens\": 1099511627776, \"documents\": 19, \"epoch\": 1, "
                  "\"place\": {\"documents\": [12, 7], \"sample\": 3}}");
    line.verdict = VLM_GUARD_SKIP;
    line.loss = INFINITY;
    line.sources = 1;
    vlm_step_line_write(&out, &line);
    is_line(&out, "{\"step\": 7, \"loss\": null, \"loss_text\": 4, \"loss_markup\": 0.333333, "
                  "\"loss_image\": null, \"lr\": 0.0006, \"grad_norm\": 1.5, "
                  "\"tokens\": 1099511627776, \"documents\": 19, \"epoch\": 1, "
                  "\"verdict\": \"skip\", \"place\": {\"documents\": [12], \"sample\": 3}}");
    vlm_roll_back_line_write(&out, 130, 100);
    is_line(&out, "{\"event\": \"roll-back\", \"step\": 130, \"to\": 100}");
    struct vlm_perf_line perf = { .step = 9,
                                  .seconds = 1.5,
                                  .tokens_per_second = 12345.6,
                                  .data_wait_ms = 0.25,
                                  .rss = UINT64_C(5000000000) };
    vlm_perf_line_write(&out, &perf);
    is_line(&out, "{\"step\": 9, \"seconds\": 1.5, \"tokens_per_second\": 12345.6, "
                  "\"data_wait_ms\": 0.25, \"rss\": 5000000000}");
    perf.checkpoint_ms = 12.5;
    vlm_perf_line_write(&out, &perf);
    is_line(&out, "{\"step\": 9, \"seconds\": 1.5, \"tokens_per_second\": 12345.6, "
                  "\"data_wait_ms\": 0.25, \"rss\": 5000000000, \"checkpoint_ms\": 12.5}");
    struct vlm_evaluation_sums sums = { .documents = 2, .samples = 3 };
    vlm_eval_line_write(&out, 20, &sums);
    vlm_buffer_byte(&out, 0);
    assert_non_null(strstr((char *)out.data,
                           "{\"event\": \"eval\", \"step\": 20, \"documents\": 2, \"samples\": 3"));
    vlm_buffer_release(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_behind_the_step_are_cut),           TEST(damage_is_cut),
        TEST(large_files_are_cut_at_the_right_line),   TEST(lines_are_appended),
        TEST(a_line_that_does_not_fit_leaves_nothing), TEST(lines_have_their_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
