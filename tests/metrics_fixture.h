/* metrics_fixture.h - a number of the server, read as Prometheus does. */
#ifndef VLM_TESTS_METRICS_FIXTURE_H
#define VLM_TESTS_METRICS_FIXTURE_H

#include "serve/work/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Of the line with this name and these labels: "vlm_prompt_tokens_total{modality=\"text\"}". */
static inline int64_t metric_value(const struct vlm_metrics *metrics, const char *name)
{
    struct vlm_buffer text = { 0 };
    const size_t n = strlen(name);
    const char *at;
    vlm_buffer_byte(&text, '\n');
    vlm_metrics_write(metrics, &text);
    vlm_buffer_byte(&text, 0);
    assert_false(text.failed);
    for (at = strstr((const char *)text.data, name); at; at = strstr(at + 1, name))
        if (at[-1] == '\n' && at[n] == ' ')
            break;
    if (!at)
        fail_msg("there is no line '%s'", name);
    const int64_t value = strtoll(at + n, NULL, 10);
    vlm_buffer_release(&text);
    return value;
}

#endif
