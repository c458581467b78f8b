/* service.c - which endpoint a request is for, and the answers that need none. */
#include "base/vlm.h"
#include "serve/api/service.h"

#include "base/json.h"
#include "serve/api/endpoints.h"

/* ---- answers ---- */

void vlm_service_count(struct vlm_service *service, const char *path, int status,
                       const char *finish)
{
    vlm_metrics_request(service->metrics, path, status, finish);
}

/* The path of the table that a request was for; "other": none. */
static const char *path_of(const char *path);

void vlm_service_reply(struct vlm_service *service, struct vlm_exchange *exchange, int status,
                       const char *content_type, const void *bytes, size_t n)
{
    vlm_service_count(service, path_of(vlm_exchange_request(exchange)->path), status, "");
    vlm_exchange_reply(exchange, status, content_type, bytes, n);
}

void vlm_service_json(struct vlm_service *service, struct vlm_exchange *exchange, int status,
                      struct vlm_buffer *json)
{
    vlm_buffer_byte(json, '\n');
    if (json->failed)
        vlm_service_error(service, exchange, 503, NULL, "no memory for the answer");
    else
        vlm_service_reply(service, exchange, status, "application/json", json->data, json->size);
    vlm_buffer_release(json);
}

void vlm_service_error(struct vlm_service *service, struct vlm_exchange *exchange, int status,
                       const char *param, const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    vlm_service_count(service, path_of(vlm_exchange_request(exchange)->path), status, "error");
    vlm_exchange_error(exchange, status, param, "%s", message);
}

/* ---- the table ---- */

static const struct vlm_endpoint table[] = {
    { VLM_HTTP_GET, "/health", vlm_get_health, .summary = "Whether the server lives" },
    { VLM_HTTP_GET, "/v1/health", vlm_get_health, .summary = "Whether the server lives" },
    { VLM_HTTP_GET, "/live", vlm_get_live, .summary = "Whether the process answers" },
    { VLM_HTTP_GET, "/ready", vlm_get_ready, .summary = "Whether the server takes work" },
    { VLM_HTTP_GET, "/metrics", vlm_get_metrics, .summary = "Numbers for Prometheus",
      .describe = vlm_describe_metrics },
    { VLM_HTTP_GET, "/props", vlm_get_props, .summary = "Model, limits, control tokens" },
    { VLM_HTTP_GET, "/slots", vlm_get_slots, .summary = "What each slot does",
      .describe = vlm_describe_slots },
    { VLM_HTTP_GET, "/version", vlm_get_version, .summary = "The program" },
    { VLM_HTTP_GET, "/", vlm_get_page, .summary = "The web page", .describe = vlm_describe_page },
    { VLM_HTTP_GET, "/v1/models", vlm_get_models, .summary = "The model" },
    { VLM_HTTP_GET, "/v1/models/{id}", vlm_get_model, .summary = "The model" },
    { VLM_HTTP_POST, "/v1/completions", .kind = &vlm_kind_completions, .works = true,
      .summary = "Text and images behind a prompt" },
    { VLM_HTTP_POST, "/v1/chat/completions", .kind = &vlm_kind_chat, .works = true,
      .summary = "The next message of a conversation" },
    { VLM_HTTP_POST, "/apply-template", .kind = &vlm_kind_template, .works = true,
      .summary = "The prompt of a conversation" },
    { VLM_HTTP_POST, "/completion", .kind = &vlm_kind_completion, .works = true,
      .summary = "The same in llama.cpp's form" },
    { VLM_HTTP_POST, "/infill", .kind = &vlm_kind_infill, .works = true,
      .summary = "What is missing in a text or a document" },
    { VLM_HTTP_POST, "/score", .kind = &vlm_kind_score, .works = true,
      .summary = "How likely a text is" },
    { VLM_HTTP_POST, "/tokenize", vlm_post_tokenize, .summary = "Text as ids",
      .describe = vlm_describe_tokenize },
    { VLM_HTTP_POST, "/detokenize", .kind = &vlm_kind_detokenize,
      .summary = "Ids as text and pictures" },
    { VLM_HTTP_GET, "/openapi.json", vlm_get_openapi, .summary = "This" },
    { VLM_HTTP_POST, "/v1/images/generations", vlm_post_generations, true,
      .summary = "Pictures for words", .describe = vlm_describe_generations },
    { VLM_HTTP_POST, "/v1/images/edits", vlm_post_edits, true,
      .summary = "A picture of which a region is drawn anew", .describe = vlm_describe_edits },
    { VLM_HTTP_POST, "/v1/images/blobs", vlm_put_blob, .summary = "Keeps a picture by its hash",
      .describe = vlm_describe_put_blob },
    { VLM_HTTP_PUT, "/v1/images/blobs", vlm_put_blob, .summary = "Keeps a picture by its hash",
      .describe = vlm_describe_put_blob },
    { VLM_HTTP_PUT, "/v1/images/blobs/{sha256}", vlm_put_blob,
      .summary = "Keeps a picture that has this hash", .describe = vlm_describe_put_blob },
    { VLM_HTTP_GET, "/v1/images/blobs/{sha256}", vlm_get_blob, .summary = "A picture by its hash",
      .describe = vlm_describe_get_blob },
    { VLM_HTTP_POST, "/vq/encode", vlm_post_vq_encode, .summary = "A picture as codes",
      .describe = vlm_describe_vq_encode },
    { VLM_HTTP_POST, "/vq/decode", vlm_post_vq_decode, .summary = "Codes as a picture",
      .describe = vlm_describe_vq_decode },
};

const struct vlm_endpoint *vlm_endpoints(size_t *n)
{
    *n = VLM_COUNTOF(table);
    return table;
}

/* Whether a path is that of an endpoint, whose last part may be "{anything}". */
static bool matches(const struct vlm_endpoint *endpoint, const char *path)
{
    const char *brace = strchr(endpoint->path, '{');
    if (!brace)
        return !strcmp(endpoint->path, path);
    const size_t n = (size_t)(brace - endpoint->path);
    return !strncmp(endpoint->path, path, n) && path[n] && !strchr(path + n, '/');
}

static const char *path_of(const char *path)
{
    for (size_t i = 0; i < VLM_COUNTOF(table); i++)
        if (matches(&table[i], path))
            return table[i].path;
    return "other";
}

static const char *method_name(enum vlm_http_method method)
{
    static const char *const names[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS" };
    return names[method];
}

/* The methods of a path, "GET, HEAD, OPTIONS"; empty: there is no such path. */
static void write_allow(char *allow, size_t size, const char *path)
{
    size_t n = 0;
    allow[0] = 0;
    for (size_t i = 0; i < VLM_COUNTOF(table); i++) {
        if (!matches(&table[i], path))
            continue;
        n += (size_t)snprintf(allow + n, size - n, "%s%s, ", method_name(table[i].method),
                              table[i].method == VLM_HTTP_GET ? ", HEAD" : "");
    }
    if (n)
        snprintf(allow + n, size - n, "OPTIONS");
}

static void handle_unknown(struct vlm_service *service, struct vlm_exchange *exchange)
{
    const struct vlm_http_request *request = vlm_exchange_request(exchange);
    char allow[96];
    write_allow(allow, sizeof(allow), request->path);
    if (!allow[0]) {
        vlm_service_error(service, exchange, 404, NULL, "there is nothing at '%.200s'",
                          request->path);
        return;
    }
    vlm_exchange_header(exchange, "Allow", allow);
    if (request->method == VLM_HTTP_OPTIONS)
        vlm_service_reply(service, exchange, 204, "text/plain", "", 0);
    else
        vlm_service_error(service, exchange, 405, NULL, "'%.200s' takes %s, not %s", request->path,
                          allow, method_name(request->method));
}

void vlm_service_handle(void *context, struct vlm_exchange *exchange)
{
    struct vlm_service *service = context;
    const struct vlm_http_request *request = vlm_exchange_request(exchange);
    const enum vlm_http_method method =
        request->method == VLM_HTTP_HEAD ? VLM_HTTP_GET : request->method;
    for (size_t i = 0; i < VLM_COUNTOF(table); i++) {
        if (table[i].method != method || !matches(&table[i], request->path))
            continue;
        if (table[i].works && service->draining)
            vlm_service_error(service, exchange, 503, NULL, "the server is stopping");
        else if (table[i].kind)
            vlm_call_handle(service, exchange, table[i].kind);
        else
            table[i].handle(service, exchange);
        return;
    }
    handle_unknown(service, exchange);
}
