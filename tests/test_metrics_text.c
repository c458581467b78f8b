/* test_metrics_text.c - what Prometheus is told: every name once, histograms that add up, a bounded number of lines. */
#include "base/vlm.h"

#include "serve/api/service.h"
#include "serve/work/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct fixture {
    struct vlm_metrics *metrics;
    struct vlm_buffer text;
    struct vlm_err err;
};

static int setup(void **state)
{
    struct fixture *it = calloc(1, sizeof(*it));
    *state = it;
    return it ? vlm_metrics_new(&it->metrics, &it->err) : -1;
}

static int teardown(void **state)
{
    struct fixture *it = *state;
    vlm_metrics_free(it->metrics);
    vlm_buffer_release(&it->text);
    free(it);
    return 0;
}

static const char *write(struct fixture *it)
{
    vlm_buffer_reset(&it->text);
    vlm_metrics_write(it->metrics, &it->text);
    vlm_buffer_byte(&it->text, 0);
    assert_false(it->text.failed);
    return (const char *)it->text.data;
}

/* Whether the text has exactly this line. */
static bool has_line(const char *text, const char *line)
{
    const size_t n = strlen(line);
    for (const char *at = text; (at = strstr(at, line)); at += n)
        if ((at == text || at[-1] == '\n') && at[n] == '\n')
            return true;
    return false;
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (const char *at = text; *at; at++)
        n += *at == '\n';
    return n;
}

static void zeros_are_there_from_the_start(void **state)
{
    const char *text = write(*state);
    assert_true(has_line(text, "vlm_requests_running 0"));
    assert_true(has_line(text, "vlm_requests_waiting 0"));
    assert_true(has_line(text, "vlm_cancelled_requests_total{phase=\"queue\"} 0"));
    assert_true(has_line(text, "vlm_cancelled_requests_total{phase=\"prefill\"} 0"));
    assert_true(has_line(text, "vlm_cancelled_requests_total{phase=\"decode\"} 0"));
    assert_true(has_line(text, "vlm_cancelled_requests_total{phase=\"image\"} 0"));
    assert_true(has_line(text, "vlm_generated_tokens_total{modality=\"image\"} 0"));
    assert_true(has_line(text, "vlm_kv_cache_usage_ratio 0"));
    assert_true(has_line(text, "vlm_time_to_first_token_seconds_bucket{le=\"+Inf\"} 0"));
    assert_true(has_line(text, "vlm_time_to_first_token_seconds_sum 0"));
}

/* HELP, then TYPE, then only lines of that name; no name twice; a newline at the end. */
static void every_name_has_help_and_type_once(void **state)
{
    struct fixture *it = *state;
    vlm_metrics_request(it->metrics, "/v1/completions", 200, "stop");
    vlm_metrics_image_error(it->metrics, "too_small");
    const char *text = write(it);
    char name[128] = "", help[128], type[128];
    for (const char *at = text; *at;) {
        const char *end = strchr(at, '\n');
        assert_non_null(end);
        if (sscanf(at, "# HELP %127s", help) == 1) {
            char again[160];
            snprintf(again, sizeof(again), "# HELP %s ", help);
            assert_null(strstr(end, again));
            assert_int_equal(sscanf(end + 1, "# TYPE %127s", type), 1);
            assert_string_equal(type, help);
            snprintf(name, sizeof(name), "%s", help);
        } else if (*at != '#') {
            assert_int_equal(strncmp(at, name, strlen(name)), 0);
        }
        at = end + 1;
    }
}

static void numbers_and_labels_come_out(void **state)
{
    struct fixture *it = *state;
    vlm_metrics_build(it->metrics, "avx2", "bf16");
    vlm_metrics_add(it->metrics, VLM_METRIC_GENERATED_TEXT, 5);
    vlm_metrics_add(it->metrics, VLM_METRIC_GENERATED_TEXT, 2);
    vlm_metrics_set(it->metrics, VLM_METRIC_RUNNING, 3);
    vlm_metrics_set(it->metrics, VLM_METRIC_CACHE_USED, 25);
    vlm_metrics_set(it->metrics, VLM_METRIC_CACHE_ROWS, 100);
    vlm_metrics_set(it->metrics, VLM_METRIC_HEARTBEAT_AGE, 1500);
    vlm_metrics_request(it->metrics, "/infill", 200, "length");
    vlm_metrics_request(it->metrics, "/infill", 200, "length");
    vlm_metrics_request(it->metrics, "/infill", 400, NULL);
    const char *text = write(it);
    assert_true(has_line(text, "vlm_build_info{version=\"" VLM_VERSION
                               "\",cpu=\"avx2\",dtype=\"bf16\"} 1"));
    assert_true(has_line(text, "vlm_generated_tokens_total{modality=\"text\"} 7"));
    assert_true(has_line(text, "vlm_requests_running 3"));
    assert_true(has_line(text, "vlm_kv_cache_usage_ratio 0.25"));
    assert_true(has_line(text, "vlm_engine_heartbeat_age_seconds 1.5"));
    assert_true(has_line(
        text, "vlm_requests_total{endpoint=\"/infill\",code=\"200\",finish_reason=\"length\"} 2"));
    assert_true(has_line(
        text, "vlm_requests_total{endpoint=\"/infill\",code=\"400\",finish_reason=\"\"} 1"));
}

/* The number behind a name at the beginning of a line. */
static double value_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    while (at && (at == text || at[-1] != '\n'))
        at = strstr(at + 1, name);
    assert_non_null(at);
    return strtod(at + strlen(name), NULL);
}

/* From the heap, and mapped on its own. */
static void memory_taken_is_seen_and_gone_when_freed(void **state)
{
    static const size_t sizes[] = { 50000, (size_t)80 << 20 };
    struct fixture *it = *state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* their allocators do not report to mallinfo2() */
#endif
    write(it); /* the buffer has its size from here on */
    for (size_t i = 0; i < VLM_COUNTOF(sizes); i++) {
        const double before = value_of(write(it), "vlm_heap_live_bytes ");
        void *taken = malloc(sizes[i]);
        assert_non_null(taken);
        const double during = value_of(write(it), "vlm_heap_live_bytes ");
        free(taken);
        assert_true(during - before >= (double)sizes[i] &&
                    during - before < (double)sizes[i] + 8192);
        assert_true(value_of(write(it), "vlm_heap_live_bytes ") == before);
    }
}

/* The closed list of metrics.c has all that the API has. */
static void every_endpoint_has_a_label(void **state)
{
    struct fixture *it = *state;
    size_t n;
    const struct vlm_endpoint *table = vlm_endpoints(&n);
    assert_true(n > 10);
    for (size_t i = 0; i < n; i++)
        vlm_metrics_request(it->metrics, table[i].path, 200, "");
    assert_null(strstr(write(it), "endpoint=\"other\""));
}

static void buckets_are_cumulative(void **state)
{
    struct fixture *it = *state;
    const double seconds[] = { 0.0005, 0.001, 0.0011, 0.3, 3000, -1, NAN };
    for (size_t i = 0; i < VLM_COUNTOF(seconds); i++)
        vlm_metrics_observe(it->metrics, VLM_HISTOGRAM_QUEUE, seconds[i]);
    const char *text = write(it);
    assert_true(has_line(text, "vlm_request_queue_seconds_bucket{le=\"0.001\"} 4"));
    assert_true(has_line(text, "vlm_request_queue_seconds_bucket{le=\"0.005\"} 5"));
    assert_true(has_line(text, "vlm_request_queue_seconds_bucket{le=\"0.25\"} 5"));
    assert_true(has_line(text, "vlm_request_queue_seconds_bucket{le=\"0.5\"} 6"));
    assert_true(has_line(text, "vlm_request_queue_seconds_bucket{le=\"2560\"} 6"));
    assert_true(has_line(text, "vlm_request_queue_seconds_bucket{le=\"+Inf\"} 7"));
    assert_true(has_line(text, "vlm_request_queue_seconds_count 7"));
    assert_true(has_line(text, "vlm_request_queue_seconds_sum 3000.3026"));
}

/* Whatever clients send: no words of theirs, a bounded number of lines, and no request that is not counted. */
static void words_of_clients_are_no_labels(void **state)
{
    struct fixture *it = *state;
    char word[64];
    for (int i = 0; i < 5000; i++) {
        snprintf(word, sizeof(word), "/guess\"%d", i);
        vlm_metrics_request(it->metrics, i % 2 ? word : "/v1/models", 100 + i % 500, word);
        vlm_metrics_image_error(it->metrics, word);
    }
    for (int i = 0; i < 26 * 26; i++) {
        snprintf(word, sizeof(word), "reason_%c%c", 'a' + i / 26, 'a' + i % 26);
        vlm_metrics_image_error(it->metrics, word);
    }
    const char *text = write(it);
    assert_null(strstr(text, "guess"));
    const char *reason = strstr(text, "vlm_image_decode_errors_total{reason=\"other\"} ");
    assert_non_null(reason);
    assert_null(strstr(strstr(reason, "} "), "reason=\"other\""));
    size_t series = 0;
    uint64_t requests = 0;
    for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
        series += *at != '#';
        if (!strncmp(at, "vlm_requests_total{", 19))
            requests += strtoull(strrchr(at, '}') ? strstr(at, "\"} ") + 3 : "0", NULL, 10);
    }
    assert_int_equal(requests, 5000);
    assert_true(series <= 220);
    assert_true(count_lines(text) <= 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(zeros_are_there_from_the_start, setup, teardown),
        cmocka_unit_test_setup_teardown(every_name_has_help_and_type_once, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_taken_is_seen_and_gone_when_freed, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_and_labels_come_out, setup, teardown),
        cmocka_unit_test_setup_teardown(every_endpoint_has_a_label, setup, teardown),
        cmocka_unit_test_setup_teardown(buckets_are_cumulative, setup, teardown),
        cmocka_unit_test_setup_teardown(words_of_clients_are_no_labels, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
