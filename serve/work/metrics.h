/* metrics.h - counters, gauges and histograms of the server, as Prometheus reads them (ecosystem: names and labels).
 *
 *   vlm_metrics_add(metrics, VLM_METRIC_GENERATED_TEXT, 1);
 *   vlm_metrics_observe(metrics, VLM_HISTOGRAM_FIRST_TOKEN, seconds);
 *   vlm_metrics_request(metrics, "/v1/completions", 200, "stop");
 *   vlm_metrics_write(metrics, &buffer);
 *
 * Any thread may call any function. Label values come from closed lists, so the number of lines is bounded. */
#ifndef VLM_SERVE_METRICS_H
#define VLM_SERVE_METRICS_H

#include "base/buffer.h"

enum vlm_metric { /* each a line or a label of one; present at 0 */
                  VLM_METRIC_RUNNING,
                  VLM_METRIC_WAITING,
                  VLM_METRIC_PROMPT_TEXT,
                  VLM_METRIC_PROMPT_IMAGE,
                  VLM_METRIC_GENERATED_TEXT,
                  VLM_METRIC_GENERATED_IMAGE,
                  VLM_METRIC_CACHE_QUERIES, /* rows of prompts looked up */
                  VLM_METRIC_CACHE_HITS,    /* of them found */
                  VLM_METRIC_CACHE_USED,    /* rows held by slots; a ratio is written */
                  VLM_METRIC_CACHE_ROWS,    /* there are in all */
                  VLM_METRIC_ENCODED,       /* images of requests */
                  VLM_METRIC_ENCODED_CACHED,
                  VLM_METRIC_DECODED,
                  VLM_METRIC_CANCELLED_QUEUE,
                  VLM_METRIC_CANCELLED_PREFILL,
                  VLM_METRIC_CANCELLED_DECODE,
                  VLM_METRIC_CANCELLED_IMAGE,
                  VLM_METRIC_REJECTED_QUEUE,
                  VLM_METRIC_BOX_RESTARTS,  /* of the confined image reader */
                  VLM_METRIC_LOG_LOST,      /* lines of the access log */
                  VLM_METRIC_HEARTBEAT_AGE, /* milliseconds here, seconds there */
                  VLM_METRICS
};

enum vlm_histogram {
    VLM_HISTOGRAM_FIRST_TOKEN,
    VLM_HISTOGRAM_BETWEEN_TOKENS,
    VLM_HISTOGRAM_REQUEST,
    VLM_HISTOGRAM_QUEUE,
    VLM_HISTOGRAMS
};

struct vlm_metrics;
VLM_MUST_CHECK int vlm_metrics_new(struct vlm_metrics **out, struct vlm_err *err);
void vlm_metrics_free(struct vlm_metrics *metrics); /* NULL is fine */

/* What vlm_build_info says; literals. */
void vlm_metrics_build(struct vlm_metrics *metrics, const char *cpu, const char *dtype);

void vlm_metrics_add(struct vlm_metrics *metrics, enum vlm_metric metric, int64_t n);
void vlm_metrics_set(struct vlm_metrics *metrics, enum vlm_metric metric, int64_t value);
void vlm_metrics_observe(struct vlm_metrics *metrics, enum vlm_histogram histogram, double seconds);

/* endpoint: a path of the API's table, anything else counts as "other"; finish: "stop", "length", "content_filter",
 * "cancelled", "error" or "". */
void vlm_metrics_request(struct vlm_metrics *metrics, const char *endpoint, int status,
                         const char *finish);
/* reason: name of a vlm_image_status or "other". */
void vlm_metrics_image_error(struct vlm_metrics *metrics, const char *reason);

/* Text exposition format 0.0.4. */
void vlm_metrics_write(const struct vlm_metrics *metrics, struct vlm_buffer *out);

#endif
