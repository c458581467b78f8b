/* call_write.c - members that the answers of several endpoints have. */
#include "base/vlm.h"
#include "serve/api/call.h"

#include "base/base64.h"
#include "base/hash.h"
#include "base/progress.h"
#include "serve/api/sse.h"

/* Changes when the model, its shape or the weights' form do; the program's version stands in front. */
static uint64_t fingerprint(const struct vlm_service *service)
{
    const struct vlm_model_config *config = service->choices->model;
    uint64_t chain = vlm_xxh3(service->model_name, strlen(service->model_name));
    const uint64_t numbers[] = { service->model_hash,  config->layers,     config->sizes.width,
                                 config->sizes.hidden, config->vocabulary, service->weights,
                                 config->context };
    for (size_t i = 0; i < VLM_COUNTOF(numbers); i++)
        chain = vlm_xxh3_chain(chain, numbers[i]);
    return chain;
}

void vlm_call_write_truncated(const struct vlm_call *call, struct vlm_json *json)
{
    if (!call->truncated)
        return;
    vlm_json_member_bool(json, "truncated", true);
    vlm_json_member_number(json, "truncated_tokens", call->truncated);
}

void vlm_call_write_head(const struct vlm_call *call, struct vlm_json *json, const char *object)
{
    char text[64];
    vlm_json_member_string(json, "id", call->id);
    vlm_json_member_string(json, "object", object);
    vlm_json_member_number(json, "created", call->created);
    vlm_json_member_string(json, "model", call->service->model_name);
    snprintf(text, sizeof(text), "vlm-%s-%08x", VLM_VERSION,
             (unsigned)(fingerprint(call->service) & 0xffffffff));
    vlm_json_member_string(json, "system_fingerprint", text);
    vlm_call_write_truncated(call, json);
}

size_t vlm_call_cached(const struct vlm_call *call)
{
    const size_t each = call->n_prompts ? call->n_choices / call->n_prompts : 0;
    size_t cached = 0;
    for (size_t i = 0; each && i < call->n_choices; i += each)
        cached += call->choices[i].cached;
    return VLM_MIN(cached, call->prompt_tokens);
}

void vlm_call_write_usage(const struct vlm_call *call, struct vlm_json *json)
{
    size_t generated = 0, image_tokens = 0;
    for (size_t i = 0; i < call->n_choices; i++) {
        generated += call->choices[i].generated;
        image_tokens += call->choices[i].image_tokens;
    }
    vlm_json_key(json, "usage");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "prompt_tokens", call->prompt_tokens);
    vlm_json_member_number(json, "completion_tokens", generated);
    vlm_json_member_number(json, "total_tokens", call->prompt_tokens + generated);
    vlm_json_key(json, "prompt_tokens_details");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "cached_tokens", vlm_call_cached(call));
    vlm_json_member_number(json, "image_tokens", call->prompt_image_tokens);
    vlm_json_close(json, '}');
    vlm_json_key(json, "completion_tokens_details");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "image_tokens", image_tokens);
    vlm_json_close(json, '}');
    vlm_json_close(json, '}');
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

/* n tokens in so many milliseconds, as llama.cpp names what follows from them. */
static void write_times(struct vlm_json *json, const char *what, size_t n, double ms)
{
    char name[40];
    snprintf(name, sizeof(name), "%s_n", what);
    vlm_json_member_number(json, name, n);
    snprintf(name, sizeof(name), "%s_ms", what);
    vlm_json_member_real(json, name, ms);
    snprintf(name, sizeof(name), "%s_per_token_ms", what);
    vlm_json_member_real(json, name, ratio(ms, (double)n));
    snprintf(name, sizeof(name), "%s_per_second", what);
    vlm_json_member_real(json, name, ratio((double)n * 1e3, ms));
}

/* Of answers that are not over, what has been so far. */
void vlm_call_write_timings(const struct vlm_call *call, struct vlm_json *json)
{
    const struct vlm_call_choice *first = &call->choices[0];
    const bool begun = call->first_token > 0;
    const double now = vlm_now();
    double prompt = first->prompt_seconds, decode = 0;
    size_t generated = 0;
    for (size_t i = 0; i < call->n_choices; i++) {
        const struct vlm_call_choice *choice = &call->choices[i];
        const double so_far = begun ? now - call->first_token : 0;
        generated += choice->generated;
        decode = VLM_MAX(decode, choice->over ? choice->decode_seconds : so_far);
    }
    if (!first->over)
        prompt = begun ? call->first_token - call->queued - call->queue_seconds : 0;
    const size_t cached = vlm_call_cached(call);
    vlm_json_key(json, "timings");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "cache_n", cached);
    write_times(json, "prompt", call->prompt_tokens - cached, prompt * 1e3);
    write_times(json, "predicted", generated, decode * 1e3);
    vlm_json_member_real(json, "queue_ms", call->queue_seconds * 1e3);
    vlm_json_close(json, '}');
}

const char *vlm_call_media_type(const struct vlm_call *call)
{
    return call->request.image_form == VLM_IMAGE_FORM_JPEG ? "image/jpeg" : "image/png";
}

void vlm_call_write_data_url(struct vlm_json *json, const char *media_type, const uint8_t *file,
                             size_t n)
{
    vlm_json_string(json, "");
    json->out->size -= json->out->failed ? 0 : 1; /* the closing quote */
    vlm_buffer_printf(json->out, "data:%s;base64,", media_type);
    vlm_base64(json->out, file, n);
    vlm_buffer_byte(json->out, '"');
}

/* Its number among those of the choice that are not merged or refused. */
static size_t rank_of(const struct vlm_call *call, const struct vlm_call_image *image)
{
    const struct vlm_call_choice *choice = &call->choices[image->choice];
    size_t rank = 0;
    for (size_t i = 0; i < image->index; i++)
        rank += !choice->images[i]->merged && !choice->images[i]->refused;
    return rank;
}

static void write_url(struct vlm_json *json, const char *media_type, const uint8_t *file, size_t n)
{
    if (!n)
        return;
    vlm_json_key(json, "image_url");
    vlm_json_open(json, '{');
    vlm_json_key(json, "url");
    vlm_call_write_data_url(json, media_type, file, n);
    vlm_json_close(json, '}');
}

void vlm_call_write_codes(struct vlm_json *json, const struct vlm_call_image *image)
{
    vlm_json_key(json, "codes");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < VLM_CODES; i++) {
        if (image->codes[i] == VLM_CODE_UNKNOWN)
            vlm_json_null(json);
        else
            vlm_json_number(json, image->codes[i]);
    }
    vlm_json_close(json, ']');
}

/* "vlm": the hash of the file, and the codes, null where there is none yet. */
static void write_vlm(struct vlm_json *json, const struct vlm_call_image *image)
{
    vlm_json_key(json, "vlm");
    vlm_json_open(json, '{');
    if (image->file.size) {
        vlm_json_key(json, "sha256");
        vlm_json_hex(json, image->sha256, sizeof(image->sha256));
    }
    vlm_call_write_codes(json, image);
    vlm_json_close(json, '}');
}

/* The object of a picture: {"type": "image_url", "index", "image_url": {"url"}, "vlm": {"sha256", "codes"}}. */
static void write_image(const struct vlm_call *call, struct vlm_json *json,
                        const struct vlm_call_image *image)
{
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "type", "image_url");
    vlm_json_member_number(json, "index", rank_of(call, image));
    write_url(json, vlm_call_media_type(call), image->file.data, image->file.size);
    if (image->known < VLM_CODES)
        vlm_json_member_bool(json, "partial", true); /* the limit cut it */
    write_vlm(json, image);
    vlm_json_close(json, '}');
}

void vlm_call_write_streamed_image(const struct vlm_call *call, struct vlm_json *json,
                                   const struct vlm_call_image *image, const uint8_t *file,
                                   size_t n)
{
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "type", "image_url");
    vlm_json_member_number(json, "index", rank_of(call, image));
    vlm_json_member_bool(json, "partial", !image->whole || image->known < VLM_CODES);
    vlm_json_member_real(json, "progress", (double)image->known / VLM_CODES);
    write_url(json, image->whole ? vlm_call_media_type(call) : "image/jpeg", file, n);
    if (image->whole)
        write_vlm(json, image);
    vlm_json_close(json, '}');
}

void vlm_call_open_chunk(struct vlm_call *call, struct vlm_buffer *buffer, struct vlm_json *json,
                         const struct vlm_call_choice *choice)
{
    vlm_sse_open(buffer, json, NULL);
    vlm_call_write_head(call, json, call->kind->chunk);
    if (choice && call->request.include_usage)
        vlm_json_member_null(json, "usage"); /* it comes at the end */
    vlm_json_key(json, "choices");
    vlm_json_open(json, '[');
    if (!choice)
        return;
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "index", (uint64_t)(choice - call->choices));
}

void vlm_call_send_progress(struct vlm_call *call, const struct vlm_job_event *event)
{
    struct vlm_buffer buffer;
    struct vlm_json json;
    vlm_call_open_chunk(call, &buffer, &json, NULL);
    vlm_json_close(&json, ']');
    vlm_json_key(&json, "prompt_progress");
    vlm_json_open(&json, '{');
    vlm_json_member_number(&json, "total", event->prompt_total);
    vlm_json_member_number(&json, "cache", event->cached);
    vlm_json_member_number(&json, "processed", event->prompt_done);
    vlm_json_member_real(&json, "time_ms", (vlm_now() - call->queued) * 1e3);
    vlm_json_close(&json, '}');
    vlm_sse_send(call, &buffer, &json);
}

void vlm_call_send_end(struct vlm_call *call)
{
    struct vlm_buffer buffer;
    struct vlm_json json;
    if (call->request.include_usage) {
        vlm_call_open_chunk(call, &buffer, &json, NULL);
        vlm_json_close(&json, ']');
        vlm_call_write_usage(call, &json);
        vlm_call_write_timings(call, &json);
        vlm_call_write_warnings(call, &json);
        vlm_sse_send(call, &buffer, &json);
    }
    vlm_sse_done(call);
}

void vlm_call_write_warnings(const struct vlm_call *call, struct vlm_json *json)
{
    const struct vlm_reader *reader = &call->reader;
    if (!reader->n_unknown)
        return;
    vlm_json_key(json, "warnings");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < reader->n_unknown; i++) {
        char text[VLM_PARAM_SIZE + 64];
        snprintf(text, sizeof(text), "the field '%s' has no effect here", reader->unknown[i]);
        vlm_json_string(json, text);
    }
    vlm_json_close(json, ']');
}

void vlm_call_write_images(const struct vlm_call *call, struct vlm_json *json,
                           const struct vlm_call_choice *choice, size_t fill)
{
    vlm_json_key(json, "images");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < choice->n_images; i++) {
        const struct vlm_call_image *image = choice->images[i];
        if ((fill == SIZE_MAX || fill == image->fill) && !image->merged && !image->refused &&
            call->request.image_form != VLM_IMAGE_FORM_NONE)
            write_image(call, json, image);
    }
    vlm_json_close(json, ']');
}

/* {"type": "image_ref", "index": N} and {"type": "text", "text": "..."} of a fill, into an open array. */
static void write_pieces(const struct vlm_call *call, struct vlm_json *json,
                         const struct vlm_call_fill *fill)
{
    for (size_t i = 0; i < fill->n_pieces; i++) {
        const struct vlm_call_piece *piece = &fill->pieces[i];
        const bool none = call->request.image_form == VLM_IMAGE_FORM_NONE;
        if (piece->image ? none || piece->image->merged || piece->image->refused : !piece->n)
            continue;
        vlm_json_open(json, '{');
        vlm_json_member_string(json, "type", piece->image ? "image_ref" : "text");
        if (piece->image) {
            vlm_json_member_number(json, "index", rank_of(call, piece->image));
        } else {
            vlm_json_key(json, "text");
            vlm_json_text(json, (const char *)fill->text.data + piece->start, piece->n);
        }
        vlm_json_close(json, '}');
    }
}

void vlm_call_write_parts(const struct vlm_call *call, struct vlm_json *json,
                          const struct vlm_call_choice *choice)
{
    vlm_json_key(json, "content_parts");
    vlm_json_open(json, '[');
    for (size_t f = 0; f < choice->n_fills; f++)
        write_pieces(call, json, &choice->fills[f]);
    vlm_json_close(json, ']');
}
