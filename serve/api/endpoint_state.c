/* endpoint_state.c - what the server is and how it is: no endpoint here makes the model work. */
#include "base/vlm.h"
#include "serve/api/endpoints.h"

#include "base/json.h"
#include "serve/api/openapi.h"
#include "serve/page/web_page.h"

/* Seconds without a round of the work thread from which on it counts as stuck. */
#define HEARTBEAT_MAX 10.0

void vlm_get_live(struct vlm_service *service, struct vlm_exchange *exchange)
{
    static const char body[] = "{\"status\": \"ok\"}\n";
    vlm_service_reply(service, exchange, 200, "application/json", body, sizeof(body) - 1);
}

/* Whether the model can be expected to answer; else why not. */
static const char *trouble(const struct vlm_service *service)
{
    const struct vlm_work_state state = vlm_work_state(service->work);
    if (state.failed)
        return "the model gives no finite numbers";
    return state.heartbeat_age > HEARTBEAT_MAX ? "the model does not answer" : NULL;
}

void vlm_get_health(struct vlm_service *service, struct vlm_exchange *exchange)
{
    const char *why = trouble(service);
    if (why)
        vlm_service_error(service, exchange, 503, NULL, "%s", why);
    else
        vlm_get_live(service, exchange);
}

void vlm_get_ready(struct vlm_service *service, struct vlm_exchange *exchange)
{
    if (service->draining)
        vlm_service_error(service, exchange, 503, NULL, "the server is stopping");
    else
        vlm_get_health(service, exchange);
}

void vlm_get_metrics(struct vlm_service *service, struct vlm_exchange *exchange)
{
    struct vlm_buffer out = { 0 };
    const struct vlm_work_state state = vlm_work_state(service->work);
    vlm_metrics_set(service->metrics, VLM_METRIC_HEARTBEAT_AGE,
                    (int64_t)(state.heartbeat_age * 1e3));
    if (service->http)
        vlm_metrics_set(service->metrics, VLM_METRIC_LOG_LOST,
                        (int64_t)vlm_http_server_log_lost(service->http));
    vlm_metrics_write(service->metrics, &out);
    if (out.failed)
        vlm_service_error(service, exchange, 503, NULL, "no memory for the metrics");
    else
        vlm_service_reply(service, exchange, 200, "text/plain; version=0.0.4; charset=utf-8",
                          out.data, out.size);
    vlm_buffer_release(&out);
}

/* ---- the model ---- */

static bool draws_images(const struct vlm_service *service)
{
    return service->choices->images;
}

static bool sees_images(const struct vlm_service *service)
{
    return service->choices->images || service->choices->image_length;
}

static void write_modalities(struct vlm_json *json, const char *key, bool images)
{
    vlm_json_key(json, key);
    vlm_json_open(json, '[');
    vlm_json_string(json, "text");
    if (images)
        vlm_json_string(json, "image");
    vlm_json_close(json, ']');
}

static void write_model(const struct vlm_service *service, struct vlm_json *json)
{
    const struct vlm_model_config *config = service->choices->model;
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "id", service->model_name);
    vlm_json_member_string(json, "object", "model");
    vlm_json_member_number(json, "created", service->started);
    vlm_json_member_string(json, "owned_by", "vlm");
    vlm_json_key(json, "architecture");
    vlm_json_open(json, '{');
    write_modalities(json, "input_modalities", sees_images(service));
    write_modalities(json, "output_modalities", draws_images(service));
    vlm_json_close(json, '}');
    vlm_json_key(json, "meta");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "n_vocab", config->vocabulary);
    vlm_json_member_number(json, "n_ctx", service->context);
    vlm_json_member_number(json, "n_ctx_train", config->context);
    vlm_json_member_number(json, "n_embd", config->sizes.width);
    vlm_json_member_string(json, "recipe", service->folder->recipe.name);
    vlm_json_close(json, '}');
    vlm_json_close(json, '}');
}

void vlm_get_models(struct vlm_service *service, struct vlm_exchange *exchange)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "object", "list");
    vlm_json_key(&json, "data");
    vlm_json_open(&json, '[');
    write_model(service, &json);
    vlm_json_close(&json, ']');
    vlm_json_close(&json, '}');
    vlm_service_json(service, exchange, 200, &out);
}

void vlm_get_model(struct vlm_service *service, struct vlm_exchange *exchange)
{
    const char *id = strrchr(vlm_exchange_request(exchange)->path, '/') + 1;
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    if (strcmp(id, service->model_name) != 0) {
        vlm_service_error(service, exchange, 404, "model", "there is no model '%.64s', only '%s'",
                          id, service->model_name);
        return;
    }
    write_model(service, &json);
    vlm_service_json(service, exchange, 200, &out);
}

/* ---- the server ---- */

static void write_limits(const struct vlm_service *service, struct vlm_json *json)
{
    const struct vlm_service_limits *limits = &service->limits;
    vlm_json_key(json, "limits");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "prompt_bytes", limits->prompt_bytes);
    vlm_json_member_number(json, "n", limits->n);
    vlm_json_member_number(json, "stop_words", limits->stop_words);
    vlm_json_member_number(json, "stop_bytes", limits->stop_bytes);
    vlm_json_member_number(json, "logit_bias", limits->bias);
    vlm_json_member_number(json, "images", limits->images);
    vlm_json_member_number(json, "max_tokens", limits->max_tokens);
    vlm_json_member_number(json, "masks", VLM_MASKS_DEFAULT);
    vlm_json_close(json, '}');
}

static void write_image(const struct vlm_service *service, struct vlm_json *json)
{
    const struct vlm_vocabulary *vocabulary = service->choices->vocabulary;
    const size_t codes = service->folder->images
                             ? vlm_tokenizer_info(service->folder->images).codebook_size
                             : vocabulary->n_codes;
    vlm_json_key(json, "image");
    if (!codes) {
        vlm_json_null(json);
        return;
    }
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "codebook_size", codes);
    vlm_json_key(json, "grid");
    vlm_json_open(json, '[');
    vlm_json_number(json, VLM_CODES_SIDE);
    vlm_json_number(json, VLM_CODES_SIDE);
    vlm_json_close(json, ']');
    vlm_json_member_string(json, "tokenizer", service->folder->image_tokenizer_id);
    if (vocabulary->n_codes)
        vlm_json_member_number(json, "first_id", vocabulary->first_code);
    vlm_json_close(json, '}');
}

/* The control tokens by name. */
static void write_tokens(const struct vlm_service *service, struct vlm_json *json)
{
    const struct vlm_vocabulary *vocabulary = service->choices->vocabulary;
    char word[VLM_CONTROL_WORD_SIZE];
    vlm_json_key(json, "control_tokens");
    vlm_json_open(json, '{');
    for (uint32_t i = 0; i < VLM_CONTROLS; i++)
        if (vocabulary->control[i] < vocabulary->size) /* models of others have few of them */
            vlm_json_member_number(json, vlm_vocabulary_word(word, i), vocabulary->control[i]);
    for (uint32_t i = 0; i < VLM_MIN(vocabulary->n_masks, (uint32_t)VLM_MASKS_DEFAULT); i++)
        if (vocabulary->mask[i] < vocabulary->size)
            vlm_json_member_number(json, vlm_vocabulary_word(word, VLM_CONTROLS + i),
                                   vocabulary->mask[i]);
    vlm_json_close(json, '}');
}

void vlm_get_props(struct vlm_service *service, struct vlm_exchange *exchange)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "model", service->model_name);
    vlm_json_member_string(&json, "recipe", service->folder->recipe.name);
    char hash[17];
    snprintf(hash, sizeof(hash), "%016" PRIx64, service->model_hash);
    vlm_json_member_string(&json, "model_hash", hash);
    vlm_json_member_string(&json, "dtype", vlm_weights_word(service->weights));
    vlm_json_member_number(&json, "total_slots", service->slots);
    vlm_json_member_number(&json, "n_ctx", service->context);
    vlm_json_member_number(&json, "n_vocab", service->choices->model->vocabulary);
    vlm_json_member_bool(&json, "infill", service->folder->recipe.method == VLM_GENERATE_INFILL);
    write_modalities(&json, "input_modalities", sees_images(service));
    write_modalities(&json, "output_modalities", draws_images(service));
    write_image(service, &json);
    write_tokens(service, &json);
    write_limits(service, &json);
    vlm_json_member_string(&json, "build_info", "vlm " VLM_VERSION);
    vlm_json_close(&json, '}');
    vlm_service_json(service, exchange, 200, &out);
}

void vlm_get_slots(struct vlm_service *service, struct vlm_exchange *exchange)
{
    static const char *const states[] = { "empty", "kept", "prompt", "decoding" };
    const size_t n = vlm_work_slots(service->work, NULL, 0);
    struct vlm_work_slot *slots = calloc(n + 1, sizeof(*slots));
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    if (!slots) {
        vlm_service_error(service, exchange, 503, NULL, "no memory for the slots");
        return;
    }
    const size_t there = VLM_MIN(vlm_work_slots(service->work, slots, n), n);
    vlm_json_open(&json, '[');
    for (size_t i = 0; i < there; i++) {
        const struct vlm_work_slot *slot = &slots[i];
        vlm_json_open(&json, '{');
        vlm_json_member_number(&json, "id", i);
        vlm_json_member_number(&json, "n_ctx", service->context);
        vlm_json_member_bool(&json, "is_processing", slot->state >= 2);
        vlm_json_member_string(&json, "state", states[slot->state]);
        vlm_json_member_number(&json, "id_task", slot->job);
        vlm_json_member_number(&json, "n_tokens", slot->rows);
        vlm_json_member_number(&json, "n_computed", slot->computed);
        vlm_json_member_number(&json, "n_decoded", slot->drawn);
        vlm_json_close(&json, '}');
    }
    vlm_json_close(&json, ']');
    free(slots);
    vlm_service_json(service, exchange, 200, &out);
}

void vlm_get_version(struct vlm_service *service, struct vlm_exchange *exchange)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "version", VLM_VERSION);
    vlm_json_member_string(&json, "compiler", __VERSION__);
    vlm_json_close(&json, '}');
    vlm_service_json(service, exchange, 200, &out);
}

void vlm_get_page(struct vlm_service *service, struct vlm_exchange *exchange)
{
    const struct vlm_web_page page = vlm_web_page();
    vlm_exchange_header(exchange, "Content-Security-Policy", VLM_WEB_PAGE_POLICY);
    vlm_service_reply(service, exchange, 200, "text/html; charset=utf-8", page.bytes, page.n);
}

void vlm_describe_metrics(struct vlm_buffer *out)
{
    vlm_openapi_responses(out, "text/plain", NULL, VLM_OPENAPI_503);
}

void vlm_describe_slots(struct vlm_buffer *out)
{
    vlm_openapi_responses(out, "application/json", NULL, VLM_OPENAPI_404 | VLM_OPENAPI_503);
}

void vlm_describe_page(struct vlm_buffer *out)
{
    vlm_openapi_responses(out, "text/html", NULL, 0);
}
