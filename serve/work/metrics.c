/* metrics.c - counters behind one lock, and their text (Prometheus text exposition format 0.0.4).
 *
 * What a client can choose (paths, statuses) becomes a label only out of closed lists, and of their combinations at
 * most SERIES_MAX are kept apart: the text has a bounded number of lines whatever is sent. */
#include "base/vlm.h"

#include "serve/work/metrics.h"

#include <malloc.h>
#include <pthread.h>

enum { SERIES_MAX = 96, BUCKETS = 16, REASONS = 20, REASON_SIZE = 24 };

/* Seconds; of the words of vLLM's dashboards, and finer than those at the lower end. */
static const double bucket_bounds[BUCKETS] = { 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                               1,     2.5,   5,    10,    40,   160, 640,  2560 };

static const char *const endpoints[] = {
    "/health",
    "/v1/health",
    "/live",
    "/ready",
    "/metrics",
    "/props",
    "/slots",
    "/version",
    "/openapi.json",
    "/",
    "/v1/models",
    "/v1/models/{id}",
    "/v1/completions",
    "/completion",
    "/v1/chat/completions",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/images/blobs",
    "/v1/images/blobs/{sha256}",
    "/infill",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/score",
    "/vq/encode",
    "/vq/decode",
    "other",
};

static const char *const finishes[] = { "",          "stop",  "length", "content_filter",
                                        "cancelled", "error", "other" };

/* One line of vlm_requests_total. */
struct series {
    size_t endpoint, finish;
    int status; /* 0: other */
    uint64_t n;
};

struct reason {
    char word[REASON_SIZE];
    uint64_t n;
};

struct observed {
    uint64_t bucket[BUCKETS + 1]; /* the last: above all bounds */
    double sum;
};

struct vlm_metrics {
    pthread_mutex_t lock;
    int64_t value[VLM_METRICS];
    struct observed histogram[VLM_HISTOGRAMS];
    struct series series[SERIES_MAX];
    size_t n_series;
    struct reason reasons[REASONS]; /* of pictures that could not be used; the first: "other" */
    size_t n_reasons;
    const char *cpu, *dtype; /* of vlm_build_info; NULL: not said */
};

int vlm_metrics_new(struct vlm_metrics **out, struct vlm_err *err)
{
    struct vlm_metrics *metrics = *out = calloc(1, sizeof(*metrics));
    if (!metrics)
        return vlm_fail(err, VLM_ENOMEM, "no memory for metrics");
    pthread_mutex_init(&metrics->lock, NULL);
    snprintf(metrics->reasons[metrics->n_reasons++].word, REASON_SIZE, "other");
    return VLM_OK;
}

void vlm_metrics_free(struct vlm_metrics *metrics)
{
    if (!metrics)
        return;
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

/* Reading takes the lock too, which a reader's const does not allow. */
static struct vlm_metrics *locked(const struct vlm_metrics *metrics)
{
    struct vlm_metrics *self = (struct vlm_metrics *)(uintptr_t)metrics;
    pthread_mutex_lock(&self->lock);
    return self;
}

static void unlock(struct vlm_metrics *metrics)
{
    pthread_mutex_unlock(&metrics->lock);
}

/* ---- counting ---- */

void vlm_metrics_build(struct vlm_metrics *metrics, const char *cpu, const char *dtype)
{
    locked(metrics);
    metrics->cpu = cpu;
    metrics->dtype = dtype;
    unlock(metrics);
}

void vlm_metrics_add(struct vlm_metrics *metrics, enum vlm_metric metric, int64_t n)
{
    locked(metrics);
    metrics->value[metric] += n;
    unlock(metrics);
}

void vlm_metrics_set(struct vlm_metrics *metrics, enum vlm_metric metric, int64_t value)
{
    locked(metrics);
    metrics->value[metric] = value;
    unlock(metrics);
}

void vlm_metrics_observe(struct vlm_metrics *metrics, enum vlm_histogram histogram, double seconds)
{
    size_t bucket = 0;
    if (!(seconds > 0)) /* a clock that was set, NaN */
        seconds = 0;
    while (bucket < BUCKETS && seconds > bucket_bounds[bucket])
        bucket++;
    locked(metrics);
    metrics->histogram[histogram].bucket[bucket]++;
    metrics->histogram[histogram].sum += seconds;
    unlock(metrics);
}

/* The index of a word, of the last one ("other") when it is not there. */
static size_t word_index(const char *const *words, size_t n, const char *word)
{
    size_t i = 0;
    while (i + 1 < n && strcmp(words[i], word ? word : ""))
        i++;
    return i;
}

/* The line of these labels, made when there is room; the last line is that of everything else. */
static struct series *find_series(struct vlm_metrics *metrics, size_t endpoint, int status,
                                  size_t finish)
{
    for (size_t i = 0; i < metrics->n_series; i++) {
        struct series *it = &metrics->series[i];
        if (it->endpoint == endpoint && it->status == status && it->finish == finish)
            return it;
    }
    if (metrics->n_series >= SERIES_MAX - 1) {
        endpoint = VLM_COUNTOF(endpoints) - 1;
        finish = VLM_COUNTOF(finishes) - 1;
        status = 0;
        metrics->n_series = SERIES_MAX;
    } else {
        metrics->n_series++;
    }
    struct series *it = &metrics->series[metrics->n_series - 1];
    it->endpoint = endpoint;
    it->status = status;
    it->finish = finish;
    return it;
}

void vlm_metrics_request(struct vlm_metrics *metrics, const char *endpoint, int status,
                         const char *finish)
{
    const size_t path = word_index(endpoints, VLM_COUNTOF(endpoints), endpoint);
    const size_t end = word_index(finishes, VLM_COUNTOF(finishes), finish);
    locked(metrics);
    find_series(metrics, path, status >= 100 && status <= 599 ? status : 0, end)->n++;
    unlock(metrics);
}

/* A word of ours: letters and '_'. */
static bool is_reason(const char *word)
{
    const size_t n = strlen(word);
    return n && n < REASON_SIZE && strspn(word, "abcdefghijklmnopqrstuvwxyz_") == n;
}

void vlm_metrics_image_error(struct vlm_metrics *metrics, const char *reason)
{
    const char *word = reason && is_reason(reason) ? reason : "other";
    size_t i = 0;
    locked(metrics);
    while (i < metrics->n_reasons && strcmp(metrics->reasons[i].word, word))
        i++;
    if (i == metrics->n_reasons && i < REASONS)
        snprintf(metrics->reasons[metrics->n_reasons++].word, REASON_SIZE, "%s", word);
    metrics->reasons[i < REASONS ? i : 0].n++;
    unlock(metrics);
}

/* ---- text ---- */

static void head(struct vlm_buffer *out, const char *name, const char *type, const char *help)
{
    vlm_buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Metrics of one number, or of a number for each value of one label. */
static const struct {
    const char *name, *type, *help;
    struct {
        const char *labels; /* "{...}" or "" */
        enum vlm_metric metric;
    } line[4];
    size_t n;
} plain[] = {
    { "vlm_requests_running",
      "gauge",
      "Requests of which a branch is in a slot.",
      { { "", VLM_METRIC_RUNNING } },
      1 },
    { "vlm_requests_waiting",
      "gauge",
      "Requests in the queue.",
      { { "", VLM_METRIC_WAITING } },
      1 },
    { "vlm_requests_rejected_total",
      "counter",
      "Requests refused because the queue was full.",
      { { "{reason=\"queue\"}", VLM_METRIC_REJECTED_QUEUE } },
      1 },
    { "vlm_prompt_tokens_total",
      "counter",
      "Tokens of prompts, cached ones included.",
      { { "{modality=\"text\"}", VLM_METRIC_PROMPT_TEXT },
        { "{modality=\"image\"}", VLM_METRIC_PROMPT_IMAGE } },
      2 },
    { "vlm_generated_tokens_total",
      "counter",
      "Tokens that were drawn.",
      { { "{modality=\"text\"}", VLM_METRIC_GENERATED_TEXT },
        { "{modality=\"image\"}", VLM_METRIC_GENERATED_IMAGE } },
      2 },
    { "vlm_prefix_cache_queries_total",
      "counter",
      "Rows of prompts that were looked up.",
      { { "", VLM_METRIC_CACHE_QUERIES } },
      1 },
    { "vlm_prefix_cache_hits_total",
      "counter",
      "Rows of prompts that were found.",
      { { "", VLM_METRIC_CACHE_HITS } },
      1 },
    { "vlm_images_encoded_total",
      "counter",
      "Pictures of requests that became codes.",
      { { "{source=\"request\"}", VLM_METRIC_ENCODED },
        { "{source=\"cache\"}", VLM_METRIC_ENCODED_CACHED } },
      2 },
    { "vlm_images_decoded_total",
      "counter",
      "Pictures that were drawn from codes.",
      { { "", VLM_METRIC_DECODED } },
      1 },
    { "vlm_image_worker_restarts_total",
      "counter",
      "Starts of the confined reader after the first.",
      { { "", VLM_METRIC_BOX_RESTARTS } },
      1 },
    { "vlm_access_log_lost_total",
      "counter",
      "Lines of the access log that could not be written.",
      { { "", VLM_METRIC_LOG_LOST } },
      1 },
    { "vlm_cancelled_requests_total",
      "counter",
      "Requests whose client left.",
      { { "{phase=\"queue\"}", VLM_METRIC_CANCELLED_QUEUE },
        { "{phase=\"prefill\"}", VLM_METRIC_CANCELLED_PREFILL },
        { "{phase=\"decode\"}", VLM_METRIC_CANCELLED_DECODE },
        { "{phase=\"image\"}", VLM_METRIC_CANCELLED_IMAGE } },
      4 },
};

static const struct {
    const char *name, *help;
} histograms[VLM_HISTOGRAMS] = {
    [VLM_HISTOGRAM_FIRST_TOKEN] = { "vlm_time_to_first_token_seconds",
                                    "From the request to its first token." },
    [VLM_HISTOGRAM_BETWEEN_TOKENS] = { "vlm_inter_token_latency_seconds",
                                       "From a token of an answer to the next." },
    [VLM_HISTOGRAM_REQUEST] = { "vlm_request_duration_seconds",
                                "From the request to the end of its answer." },
    [VLM_HISTOGRAM_QUEUE] = { "vlm_request_queue_seconds", "From the request to its slot." },
};

static void write_build(struct vlm_buffer *out, const struct vlm_metrics *metrics)
{
    head(out, "vlm_build_info", "gauge", "What is running.");
    vlm_buffer_printf(out, "vlm_build_info{version=\"%s\",cpu=\"%s\",dtype=\"%s\"} 1\n",
                      VLM_VERSION, metrics->cpu ? metrics->cpu : "",
                      metrics->dtype ? metrics->dtype : "");
}

static void write_plain(struct vlm_buffer *out, const struct vlm_metrics *metrics)
{
    for (size_t i = 0; i < VLM_COUNTOF(plain); i++) {
        head(out, plain[i].name, plain[i].type, plain[i].help);
        for (size_t k = 0; k < plain[i].n; k++)
            vlm_buffer_printf(out, "%s%s %" PRId64 "\n", plain[i].name, plain[i].line[k].labels,
                              metrics->value[plain[i].line[k].metric]);
    }
}

/* Gauges that are not the number that is kept. */
static void write_shares(struct vlm_buffer *out, const struct vlm_metrics *metrics)
{
    const double used = (double)metrics->value[VLM_METRIC_CACHE_USED];
    const double rows = (double)metrics->value[VLM_METRIC_CACHE_ROWS];
    head(out, "vlm_kv_cache_usage_ratio", "gauge", "Rows held by slots, of all there are.");
    vlm_buffer_text(out, "vlm_kv_cache_usage_ratio ");
    vlm_buffer_real(out, rows > 0 ? used / rows : 0);
    vlm_buffer_byte(out, '\n');
    head(out, "vlm_engine_heartbeat_age_seconds", "gauge",
         "Since the thread of the model went round; 0 while it has nothing to do.");
    vlm_buffer_text(out, "vlm_engine_heartbeat_age_seconds ");
    vlm_buffer_real(out, (double)metrics->value[VLM_METRIC_HEARTBEAT_AGE] / 1000);
    vlm_buffer_byte(out, '\n');
}

/* What is taken from the allocator now: unlike resident memory it comes back to the same number after the same
 * work, however the heap is cut up, so that a leak can be told from that. */
static void write_heap(struct vlm_buffer *out)
{
    const struct mallinfo2 heap = mallinfo2();
    head(out, "vlm_heap_live_bytes", "gauge",
         "Memory taken from the allocator and not given back.");
    vlm_buffer_printf(out, "vlm_heap_live_bytes %zu\n", heap.uordblks + heap.hblkhd);
}

static void write_requests(struct vlm_buffer *out, const struct vlm_metrics *metrics)
{
    head(out, "vlm_requests_total", "counter", "Requests that were answered.");
    for (size_t i = 0; i < metrics->n_series; i++) {
        const struct series *it = &metrics->series[i];
        vlm_buffer_printf(out, "vlm_requests_total{endpoint=\"%s\",code=\"",
                          endpoints[it->endpoint]);
        if (it->status)
            vlm_buffer_printf(out, "%d", it->status);
        else
            vlm_buffer_text(out, "other");
        vlm_buffer_printf(out, "\",finish_reason=\"%s\"} %" PRIu64 "\n", finishes[it->finish],
                          it->n);
    }
}

static void write_reasons(struct vlm_buffer *out, const struct vlm_metrics *metrics)
{
    head(out, "vlm_image_decode_errors_total", "counter",
         "Pictures of requests that were refused.");
    for (size_t i = 0; i < metrics->n_reasons; i++)
        vlm_buffer_printf(out, "vlm_image_decode_errors_total{reason=\"%s\"} %" PRIu64 "\n",
                          metrics->reasons[i].word, metrics->reasons[i].n);
}

static void write_histogram(struct vlm_buffer *out, const char *name, const char *help,
                            const struct observed *it)
{
    uint64_t below = 0;
    head(out, name, "histogram", help);
    for (size_t i = 0; i < BUCKETS; i++) {
        below += it->bucket[i];
        vlm_buffer_printf(out, "%s_bucket{le=\"", name);
        vlm_buffer_real(out, bucket_bounds[i]);
        vlm_buffer_printf(out, "\"} %" PRIu64 "\n", below);
    }
    below += it->bucket[BUCKETS];
    vlm_buffer_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum ", name, below, name);
    vlm_buffer_real(out, it->sum);
    vlm_buffer_printf(out, "\n%s_count %" PRIu64 "\n", name, below);
}

void vlm_metrics_write(const struct vlm_metrics *metrics, struct vlm_buffer *out)
{
    struct vlm_metrics *self = locked(metrics);
    write_build(out, self);
    write_requests(out, self);
    write_plain(out, self);
    write_shares(out, self);
    write_heap(out);
    write_reasons(out, self);
    for (size_t i = 0; i < VLM_HISTOGRAMS; i++)
        write_histogram(out, histograms[i].name, histograms[i].help, &self->histogram[i]);
    unlock(self);
}
