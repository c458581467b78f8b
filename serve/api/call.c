/* call.c - a request that makes the model work: its memory, its errors, its body and the pictures of it. Then come its job
 * (call_job.c), what the job draws (call_events.c, call_images.c), and the end (call_end.c). */
#include "base/vlm.h"
#include "serve/api/call.h"

#include "base/base64.h"
#include "base/hash.h"
#include "base/progress.h"
#include "serve/api/call_internal.h"
#include "serve/api/sse.h"

#include <event2/event.h>
#include <sys/random.h>
#include <time.h>

enum {
    ARENA_MAX = 160 * 1024 * 1024,
    HELD_MAX = 512 * 1024 * 1024, /* of all requests that are under way */
    HELD_SMALL = 64 * 1024,       /* of one that is read nevertheless */
};

/* ---- beginning and end ---- */

static void release_fill(struct vlm_call_fill *fill)
{
    vlm_buffer_release(&fill->text);
    vlm_spell_release(&fill->spell);
    free(fill->pieces);
}

static void release_choice(struct vlm_call *call, struct vlm_call_choice *choice)
{
    for (size_t i = 0; i < VLM_MASKS_DEFAULT; i++)
        release_fill(&choice->fills[i]);
    for (size_t i = 0; i < choice->n_images; i++) {
        struct vlm_call_image *image = choice->images[i];
        vlm_pictures_cancel(call->service->pictures, image->task);
        for (size_t k = 0; k < VLM_PARTIAL_IMAGES_MAX; k++)
            vlm_pictures_cancel(call->service->pictures, image->previews[k].task);
        vlm_buffer_release(&image->file);
        free(image);
    }
    free(choice->images);
    free(choice->drawn);
    free(choice->likely);
    free(choice->losses);
}

/* Cancels what runs and frees; the exchange is not touched. */
void vlm_call_free(struct vlm_call *call)
{
    if (call->kind->release)
        call->kind->release(call);
    if (call->submitted)
        vlm_work_cancel(call->service->work, &call->job);
    for (size_t i = 0; i < call->n_pictures; i++)
        vlm_pictures_cancel(call->service->pictures, call->pictures[i]->task);
    for (size_t i = 0; i < call->n_choices + call->n_scores; i++)
        release_choice(call, &call->choices[i]);
    for (size_t i = 0; i < call->n_prompts; i++) {
        vlm_prompt_release(&call->prompts[i].made);
        vlm_prompt_release(&call->prompts[i].negative);
    }
    if (call->timer)
        event_free(call->timer);
    if (call->enough)
        event_free(call->enough);
    free(call->prompts);
    free(call->choices);
    free(call->job.branches);
    free(call->pictures);
    call->service->held_bytes -= call->held;
    vlm_arena_release(&call->arena);
    free(call);
}

/* Numbers of the call that the access log and the metrics show. */
void vlm_call_account(struct vlm_call *call, int status, const char *finish)
{
    if (call->exchange) {
        struct vlm_exchange_note *note = vlm_exchange_note(call->exchange);
        note->prompt_tokens = call->prompt_tokens;
        note->queue_seconds = call->queue_seconds;
        note->first_token_seconds = call->first_token > 0 ? call->first_token - call->began : 0;
        note->finish = finish;
        note->cached_tokens = vlm_call_cached(call);
        note->completion_tokens = note->images = 0;
        for (size_t i = 0; i < call->n_choices; i++) {
            note->completion_tokens += call->choices[i].generated;
            note->images += call->choices[i].n_images;
        }
    }
    vlm_service_count(call->service, call->kind->endpoint, status, finish);
    vlm_metrics_observe(call->service->metrics, VLM_HISTOGRAM_REQUEST, vlm_now() - call->began);
}

/* Whether a picture of an answer is being made out of its codes. */
static bool draws_images(const struct vlm_call *call)
{
    for (size_t i = 0; call->images_waiting && i < call->n_choices; i++)
        for (size_t k = 0; k < call->choices[i].n_images; k++)
            if (call->choices[i].images[k]->task)
                return true;
    return false;
}

/* The client has left: the exchange is gone when this returns. */
static void on_gone(void *argument)
{
    static const enum vlm_metric metric[] = { [VLM_JOB_WAITS] = VLM_METRIC_CANCELLED_QUEUE,
                                              [VLM_JOB_PREFILLS] = VLM_METRIC_CANCELLED_PREFILL,
                                              [VLM_JOB_DECODES] = VLM_METRIC_CANCELLED_DECODE };
    struct vlm_call *call = argument;
    vlm_call_account(call, 499, "cancelled");
    const enum vlm_job_phase phase = vlm_work_cancel(call->service->work, &call->job);
    if (phase != VLM_JOB_ENDED)
        vlm_metrics_add(call->service->metrics, metric[phase], 1);
    else if (draws_images(call))
        vlm_metrics_add(call->service->metrics, VLM_METRIC_CANCELLED_IMAGE, 1);
    call->exchange = NULL;
    vlm_call_free(call);
}

/* 22 letters and digits, as many as OpenAI's have about. */
static void make_id(char *id, size_t size, const char *prefix)
{
    static const char letters[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint8_t bytes[22];
    char text[sizeof(bytes) + 1];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        memset(bytes, 0, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        text[i] = letters[bytes[i] & 31];
    text[sizeof(bytes)] = 0;
    snprintf(id, size, "%s%s", prefix, text);
}

struct vlm_call *vlm_call_new(struct vlm_service *service, struct vlm_exchange *exchange,
                              const struct vlm_call_kind *kind)
{
    struct vlm_call *call = calloc(1, kind->size);
    if (!call) {
        vlm_service_error(service, exchange, 503, NULL, "no memory for the request");
        return NULL;
    }
    vlm_request_init(&call->request);
    call->service = service;
    call->exchange = exchange;
    call->kind = kind;
    call->began = call->sent = vlm_now();
    call->created = (uint64_t)time(NULL);
    vlm_arena_init(&call->arena, ARENA_MAX);
    call->reader = (struct vlm_reader){ .arena = &call->arena,
                                        .limits = &service->limits,
                                        .n_ids = service->folder->has_vocabulary
                                                     ? service->folder->vocabulary.size
                                                     : 0 };
    make_id(call->id, sizeof(call->id), kind->id);
    vlm_exchange_on_gone(exchange, on_gone, call);
    return call;
}

/* ---- errors ---- */

void vlm_call_fail(struct vlm_call *call, int status, const char *param, const char *format, ...)
{
    char message[1024], where[VLM_PARAM_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    snprintf(where, sizeof(where), "%s", param ? param : "");
    const bool has_param = param && *param;
    struct vlm_exchange *exchange = call->exchange;
    vlm_exchange_on_gone(exchange, NULL, NULL);
    vlm_call_account(call, status, "error");
    const bool streaming = call->streaming;
    if (streaming)
        vlm_sse_error(call, status, has_param ? where : NULL, message);
    vlm_call_free(call);
    if (streaming) {
        vlm_exchange_end(exchange);
        return;
    }
    vlm_exchange_error(exchange, status, has_param ? where : NULL, "%s", message);
}

void vlm_call_fail_err(struct vlm_call *call, const char *param, int rc, const struct vlm_err *err)
{
    int status = 500;
    if (rc == VLM_EUSAGE || rc == VLM_EFORMAT || rc == VLM_SKIP)
        status = 400;
    else if (rc == VLM_ESTOPPED && call->request.deadline_ms > 0 && !call->service->draining)
        status = 408; /* the client's own limit is over */
    else if (rc == VLM_ELIMIT || rc == VLM_ENOMEM || rc == VLM_ESTOPPED)
        status = 503;
    vlm_call_fail(call, status, param, "%s", err->msg);
}

void vlm_call_fail_job(struct vlm_call *call, int rc, const struct vlm_err *err)
{
    if (rc == VLM_EFORMAT && call->request.options.n_bias)
        vlm_call_fail(call, 400, "logit_bias", "no valid token is left: %s", err->msg);
    else if (rc == VLM_EFORMAT)
        vlm_call_fail(call, 503, NULL, "the model gives no finite numbers: %s", err->msg);
    else if (rc == VLM_EUSAGE && call->request.options.n_bias && strstr(err->msg, "logit bias"))
        vlm_call_fail(call, 400, "logit_bias", "%s", err->msg);
    else
        vlm_call_fail_err(call, rc == VLM_EUSAGE ? call->prompts[0].param : NULL, rc, err);
}

static void fail_reader(struct vlm_call *call)
{
    const struct vlm_reader *reader = &call->reader;
    vlm_call_fail(call, reader->status, reader->param, "%s", reader->problem);
}

/* ---- the body ---- */

const struct vlm_value *vlm_json_body(struct vlm_exchange *exchange, struct vlm_arena *arena,
                                      int *status, const char **param, struct vlm_err *err)
{
    const struct vlm_http_request *request = vlm_exchange_request(exchange);
    const char *type = vlm_exchange_field(exchange, "content-type");
    const struct vlm_value *body = NULL;
    const char *charset = type ? strcasestr(type, "charset=") : NULL;
    *param = NULL;
    *status = 415;
    if (strcmp(request->content_type, "application/json") != 0) {
        vlm_fail(err, VLM_EFORMAT, "the content type must be application/json");
        return NULL;
    }
    if (charset && strncasecmp(charset + 8, "utf-8", 5) != 0 &&
        strncasecmp(charset + 8, "\"utf-8", 6) != 0) {
        vlm_fail(err, VLM_EFORMAT, "the character set of JSON must be utf-8");
        return NULL;
    }
    *status = 400;
    char *text = vlm_arena_copy(arena, request->body, request->body_n);
    if (!text) {
        *status = 503;
        vlm_fail(err, VLM_ELIMIT, "no memory for a body of %zu bytes", request->body_n);
        return NULL;
    }
    if (vlm_body_parse(&body, arena, text, request->body_n, param, err) != VLM_OK)
        return NULL;
    return body;
}

bool vlm_call_read_value(struct vlm_call *call, const struct vlm_value *body,
                         const struct vlm_field_group *const *groups)
{
    return vlm_fields_read(&call->reader, body, call, groups) &&
           vlm_request_finish(&call->reader, &call->request) &&
           (!call->kind->read || call->kind->read(call, &call->reader));
}

/* A body of 0.5 MiB may be 16 MiB of values, and as many requests as there are connections may wait for their pictures. */
static bool check_memory(struct vlm_call *call)
{
    call->service->held_bytes += call->arena.used - call->held;
    call->held = call->arena.used;
    if (call->held <= HELD_SMALL || call->service->held_bytes <= HELD_MAX)
        return true;
    vlm_call_fail(call, 503, NULL,
                  "the request takes %zu bytes of memory, all together may have %d and have %zu",
                  call->held, HELD_MAX, call->service->held_bytes - call->held);
    return false;
}

/* What of a request depends on the server. */
static bool check_service(struct vlm_call *call)
{
    const struct vlm_service *service = call->service;
    const struct vlm_request *request = &call->request;
    if (request->model && strcmp(request->model, service->model_name) != 0) {
        vlm_call_fail(call, 404, "model", "there is no model '%.64s', only '%s'", request->model,
                      service->model_name);
        return false;
    }
    if ((size_t)request->beams > service->slots) {
        vlm_call_fail(call, 400, "num_beams", "%" PRId64 " beams need as many slots, there are %zu",
                      request->beams, service->slots);
        return false;
    }
    if (request->options.guidance != 1 && service->slots < 2) {
        vlm_call_fail(call, 400, "cfg_scale_image", "guidance needs two slots, there is one");
        return false;
    }
    return true;
}

bool vlm_call_read(struct vlm_call *call, const struct vlm_field_group *const *groups)
{
    struct vlm_err err = { 0 };
    const char *param;
    int status;
    const struct vlm_value *body =
        vlm_json_body(call->exchange, &call->arena, &status, &param, &err);
    if (!body) {
        vlm_call_fail(call, status, param, "%s", err.msg);
        return false;
    }
    if (!vlm_call_read_value(call, body, groups)) {
        fail_reader(call);
        return false;
    }
    return check_memory(call) && check_service(call);
}

void vlm_call_handle(struct vlm_service *service, struct vlm_exchange *exchange,
                     const struct vlm_call_kind *kind)
{
    struct vlm_call *call = vlm_call_new(service, exchange, kind);
    if (call && vlm_call_read(call, kind->groups))
        vlm_call_run(call);
}

bool vlm_call_check(struct vlm_call *call)
{
    if (vlm_request_finish(&call->reader, &call->request))
        return check_memory(call) && check_service(call);
    fail_reader(call);
    return false;
}

/* ---- pictures of the request ---- */

static struct vlm_call_picture *add_picture(struct vlm_call *call, const char *param, size_t *index)
{
    struct vlm_call_picture **list =
        realloc(call->pictures, (call->n_pictures + 1) * sizeof(*list));
    if (!list)
        return NULL;
    call->pictures = list;
    struct vlm_call_picture *picture = vlm_arena_zero(&call->arena, 1, sizeof(*picture));
    char *name = vlm_arena_copy(&call->arena, param, strlen(param));
    if (!picture || !name)
        return NULL;
    picture->call = call;
    picture->param = name;
    *index = call->n_pictures;
    list[call->n_pictures++] = picture;
    return picture;
}

struct vlm_call_picture *vlm_call_picture_bytes(struct vlm_call *call, const char *param,
                                                const uint8_t *bytes, size_t n, size_t *index)
{
    struct vlm_call_picture *picture = add_picture(call, param, index);
    if (!picture)
        return NULL;
    picture->bytes = bytes;
    picture->n = n;
    return picture;
}

static bool read_data_url(struct vlm_reader *reader, const struct vlm_value *url,
                          const uint8_t **bytes, size_t *n)
{
    const char *comma = memchr(url->text, ',', VLM_MIN(url->n, 256));
    if (!comma || comma - url->text < 7 || memcmp(comma - 7, ";base64", 7) != 0)
        return vlm_reader_fail(reader, "'%s' must be a data: URL in base64", reader->path);
    const char *text = comma + 1;
    const size_t size = url->n - (size_t)(text - url->text);
    if (vlm_base64_room(size) > VLM_IMAGE_BYTES_MAX + 4)
        return vlm_reader_fail(reader, "'%s' has a picture of more than %zu bytes", reader->path,
                               (size_t)VLM_IMAGE_BYTES_MAX);
    uint8_t *out = vlm_arena_alloc(reader->arena, vlm_base64_room(size), 1);
    if (!out)
        return vlm_reader_fail(reader, "'%s': the pictures of the request are over the limit",
                               reader->path);
    size_t bad = 0;
    *n = vlm_unbase64(out, text, size, &bad);
    if (*n == SIZE_MAX)
        return vlm_reader_fail(reader, "'%s' is not base64 from character %zu on", reader->path,
                               bad);
    if (!*n)
        return vlm_reader_fail(reader, "'%s' has a picture of 0 bytes", reader->path);
    *bytes = out;
    return true;
}

static bool read_blob_url(struct vlm_call *call, struct vlm_reader *reader,
                          const struct vlm_value *url, const uint8_t **bytes, size_t *n)
{
    enum { PREFIX = sizeof("vlm:sha256:") - 1 };
    uint8_t sha256[VLM_SHA256_SIZE];
    const uint8_t *blob = NULL;
    if (url->n != PREFIX + 2 * VLM_SHA256_SIZE ||
        vlm_unhex(sha256, sizeof(sha256), url->text + PREFIX, 2 * VLM_SHA256_SIZE) !=
            VLM_SHA256_SIZE)
        return vlm_reader_fail(
            reader, "'%s' must have 64 hexadecimal digits behind vlm:sha256:", reader->path);
    if (!call->service->pictures || !vlm_blobs_get(call->service->pictures, sha256, &blob, n))
        return vlm_reader_fail(reader, "'%s': there is no blob of this hash", reader->path);
    *bytes = (const uint8_t *)vlm_arena_copy(reader->arena, blob, *n);
    if (!*bytes)
        return vlm_reader_fail(reader, "'%s': the pictures of the request are over the limit",
                               reader->path);
    return true;
}

/* Whether one more picture may come. */
static bool has_room(struct vlm_call *call, struct vlm_reader *reader)
{
    if (call->n_pictures >= reader->limits->images)
        return vlm_reader_fail(reader, "'%s': a request has at most %zu images", reader->path,
                               reader->limits->images);
    return true;
}

bool vlm_call_picture_url(struct vlm_call *call, struct vlm_reader *reader,
                          const struct vlm_value *url, size_t *index)
{
    const uint8_t *bytes = NULL;
    size_t n = 0;
    if (url->kind != VLM_VALUE_STRING)
        return vlm_reader_wanted(reader, "a string", url);
    if (!has_room(call, reader))
        return false;
    if (!strncmp(url->text, "data:", 5)) {
        if (!read_data_url(reader, url, &bytes, &n))
            return false;
    } else if (!strncmp(url->text, "vlm:sha256:", 11)) {
        if (!read_blob_url(call, reader, url, &bytes, &n))
            return false;
    } else {
        return vlm_reader_fail(reader,
                               "'%s': nothing is fetched: only data: and vlm:sha256: URLs are "
                               "allowed",
                               reader->path);
    }
    return vlm_call_picture_bytes(call, reader->path, bytes, n, index) ||
           vlm_reader_fail(reader, "no memory for '%s'", reader->path);
}

/* Codes that pictures of requests may have: those of the codebook, or that the model knows. */
static int64_t known_codes(const struct vlm_model_folder *folder)
{
    if (folder->images)
        return (int64_t)vlm_tokenizer_info(folder->images).codebook_size;
    return folder->model.config.encoder ? (int64_t)folder->model.config.encoder_sizes.inputs
                                        : (int64_t)folder->vocabulary.n_codes;
}

bool vlm_call_picture_codes(struct vlm_call *call, struct vlm_reader *reader,
                            const struct vlm_value *codes, size_t *index)
{
    if (codes->kind != VLM_VALUE_ARRAY || codes->n != VLM_CODES)
        return vlm_reader_fail(reader, "'%s' must be an array of %d codes", reader->path,
                               VLM_CODES);
    if (!has_room(call, reader))
        return false;
    struct vlm_call_picture *picture = add_picture(call, reader->path, index);
    if (!picture)
        return vlm_reader_fail(reader, "no memory for '%s'", reader->path);
    const int64_t known = known_codes(call->service->folder);
    if (known <= 0)
        return vlm_reader_fail(reader, "'%s': this model takes no images", reader->path);
    size_t i = 0;
    for (const struct vlm_value *code = codes->first; code; code = code->next, i++) {
        int64_t number = -1;
        bool whole;
        const size_t was = vlm_reader_element(reader, i);
        if (code->kind != VLM_VALUE_NUMBER || !vlm_value_whole(code, &number, &whole) ||
            number < 0 || number >= known) {
            char wanted[64];
            snprintf(wanted, sizeof(wanted), "a code from 0 to %" PRId64, known - 1);
            return vlm_reader_wanted(reader, wanted, code);
        }
        picture->codes[i] = (uint16_t)number;
        vlm_reader_back(reader, was);
    }
    return true;
}

static void on_encoded(void *argument, int rc, const struct vlm_err *err,
                       const struct vlm_picture *got)
{
    struct vlm_call_picture *picture = argument;
    struct vlm_call *call = picture->call;
    picture->task = NULL;
    if (rc == VLM_EUSAGE) {
        vlm_call_fail(call, 400, picture->param, "the picture is not to be used: it was deleted");
        return;
    }
    if (rc != VLM_OK) {
        vlm_call_fail_err(call, picture->param, rc, err);
        return;
    }
    memcpy(picture->codes, got->codes, sizeof(picture->codes));
    memcpy(picture->sha256, got->sha256, sizeof(picture->sha256));
    picture->width = got->width;
    picture->height = got->height;
    if (picture->keep_square) {
        const size_t size = (size_t)256 * 256 * 3;
        picture->square = vlm_arena_alloc(&call->arena, size, 1);
        if (!picture->square) {
            vlm_call_fail(call, 503, picture->param, "no memory for the picture");
            return;
        }
        memcpy(picture->square, got->square, size);
    }
    if (!--call->pictures_waiting)
        vlm_call_begin(call);
}

void vlm_call_run(struct vlm_call *call)
{
    call->pictures_waiting = 1; /* this function's own */
    for (size_t i = 0; i < call->n_pictures; i++) {
        struct vlm_call_picture *picture = call->pictures[i];
        if (!picture->bytes)
            continue;
        if (!call->service->pictures) {
            vlm_call_fail(call, 400, picture->param, "this model takes no images");
            return;
        }
        call->pictures_waiting++;
        picture->task = vlm_pictures_encode(call->service->pictures, picture->bytes, picture->n,
                                            on_encoded, picture);
        if (!picture->task) {
            vlm_call_fail(call, 503, NULL, "too many pictures wait");
            return;
        }
    }
    if (!--call->pictures_waiting)
        vlm_call_begin(call);
}
