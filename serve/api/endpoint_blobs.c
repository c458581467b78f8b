/* endpoint_blobs.c - /v1/images/blobs: a picture is sent once and named by its hash afterwards.
 *
 * The bytes are kept as they are and, but for the first few, looked at by nobody but the confined reader, when a request
 * names them. They
 * come back with the type that their first bytes say, one of four. */
#include "base/vlm.h"

#include "base/hash.h"
#include "base/json.h"
#include "serve/api/endpoints.h"
#include "serve/api/form.h"
#include "serve/api/openapi.h"

/* ---- put ---- */

/* What the first bytes say; NULL: no picture. */
static const char *type_of(const uint8_t *bytes, size_t n)
{
    static const struct {
        const char *magic, *type;
        size_t n;
    } types[] = {
        { "\x89PNG\r\n\x1a\n", "image/png", 8 },
        { "\xff\xd8\xff", "image/jpeg", 3 },
        { "GIF8", "image/gif", 4 },
    };
    for (size_t i = 0; i < VLM_COUNTOF(types); i++)
        if (n >= types[i].n && memcmp(bytes, types[i].magic, types[i].n) == 0)
            return types[i].type;
    return n >= 12 && !memcmp(bytes, "RIFF", 4) && !memcmp(bytes + 8, "WEBP", 4) ? "image/webp"
                                                                                 : NULL;
}

/* The bytes to keep: of the body, or of the only file of a form. False: answered. */
static bool find_bytes(struct vlm_service *service, struct vlm_exchange *exchange,
                       struct vlm_arena *arena, const uint8_t **bytes, size_t *n)
{
    const struct vlm_http_request *request = vlm_exchange_request(exchange);
    struct vlm_multipart form;
    struct vlm_err err = { 0 };
    *bytes = request->body;
    *n = request->body_n;
    if (!strncmp(request->content_type, "image/", 6) ||
        !strcmp(request->content_type, "application/octet-stream"))
        return true;
    if (strcmp(request->content_type, "multipart/form-data") != 0) {
        vlm_service_error(service, exchange, 415, NULL,
                          "a blob is sent as image/*, application/octet-stream or a form with one "
                          "file");
        return false;
    }
    if (vlm_multipart_parse(&form, arena, *bytes, *n, request->boundary, &err) != VLM_OK) {
        vlm_service_error(service, exchange, 400, NULL, "%s", err.msg);
        return false;
    }
    if (form.n != 1) {
        vlm_service_error(service, exchange, 400, NULL, "a form of %zu parts, expected one file",
                          form.n);
        return false;
    }
    *bytes = form.parts[0].bytes;
    *n = form.parts[0].n;
    return true;
}

static void answer_hash(struct vlm_service *service, struct vlm_exchange *exchange,
                        const uint8_t sha256[VLM_SHA256_SIZE], size_t n)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    char hex[2 * VLM_SHA256_SIZE + 1], url[2 * VLM_SHA256_SIZE + 16];
    snprintf(url, sizeof(url), "vlm:sha256:%s", vlm_hex(hex, sha256, VLM_SHA256_SIZE));
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "sha256", hex);
    vlm_json_member_string(&json, "url", url);
    vlm_json_member_number(&json, "bytes", n);
    vlm_json_close(&json, '}');
    vlm_service_json(service, exchange, 200, &out);
}

/* The hash that the path names, if it does, is that of the bytes. */
static int check_bytes(const struct vlm_exchange *exchange, const uint8_t *bytes, size_t n,
                       struct vlm_err *err)
{
    static const char list[] = "/v1/images/blobs/";
    const char *path = vlm_exchange_request(exchange)->path;
    uint8_t hash[VLM_SHA256_SIZE];
    char hex[2 * VLM_SHA256_SIZE + 1];
    if (!n)
        return vlm_fail(err, VLM_EUSAGE, "a blob of 0 bytes");
    if (!type_of(bytes, n))
        return vlm_fail(err, VLM_EUSAGE, "no image of a known format");
    vlm_sha256(hash, bytes, n);
    vlm_hex(hex, hash, sizeof(hash));
    if (!strncmp(path, list, sizeof(list) - 1) && strcasecmp(path + sizeof(list) - 1, hex) != 0)
        return vlm_fail(err, VLM_EUSAGE, "the SHA-256 of the bytes is %s", hex);
    return VLM_OK;
}

/* POST or PUT of all blobs, or PUT of one that is named. */
void vlm_put_blob(struct vlm_service *service, struct vlm_exchange *exchange)
{
    uint8_t sha256[VLM_SHA256_SIZE];
    const uint8_t *bytes;
    size_t n;
    struct vlm_arena arena;
    struct vlm_err err = { 0 };
    if (!service->pictures) {
        vlm_service_error(service, exchange, 400, NULL, "this model takes no images");
        return;
    }
    vlm_arena_init(&arena, VLM_MIB);
    if (find_bytes(service, exchange, &arena, &bytes, &n)) {
        int rc = check_bytes(exchange, bytes, n, &err);
        if (rc == VLM_OK)
            rc = vlm_blobs_put(service->pictures, sha256, bytes, n, &err);
        if (rc == VLM_OK)
            answer_hash(service, exchange, sha256, n);
        else
            vlm_service_error(service, exchange,
                              rc == VLM_EUSAGE   ? 400
                              : rc == VLM_ELIMIT ? 413
                                                 : 503,
                              NULL, "%s", err.msg);
    }
    vlm_arena_release(&arena);
}

/* ---- get ---- */

void vlm_get_blob(struct vlm_service *service, struct vlm_exchange *exchange)
{
    const char *hex = strrchr(vlm_exchange_request(exchange)->path, '/') + 1;
    uint8_t sha256[VLM_SHA256_SIZE];
    const uint8_t *bytes;
    size_t n;
    const bool named = strlen(hex) == 2 * VLM_SHA256_SIZE &&
                       vlm_unhex(sha256, sizeof(sha256), hex, 2 * VLM_SHA256_SIZE);
    if (named && service->pictures && vlm_pictures_is_deleted(service->pictures, sha256))
        vlm_service_error(service, exchange, 410, "sha256", "the picture was deleted");
    else if (!named || !service->pictures || !vlm_blobs_get(service->pictures, sha256, &bytes, &n))
        vlm_service_error(service, exchange, 404, "sha256", "there is no blob of this hash");
    else
        vlm_service_reply(service, exchange, 200,
                          type_of(bytes, n) ? type_of(bytes, n) : "application/octet-stream", bytes,
                          n);
}

/* ---- what they take and give ---- */

void vlm_describe_put_blob(struct vlm_buffer *out)
{
    vlm_buffer_text(
        out,
        "\"requestBody\": {\"required\": true, \"content\": {\"image/*\": {\"schema\": {\"type\": "
        "\"string\", \"format\": \"binary\"}}, \"application/octet-stream\": {\"schema\": "
        "{\"type\": \"string\", \"format\": \"binary\"}}, \"multipart/form-data\": {\"schema\": "
        "{\"type\": \"object\", \"properties\": {\"file\": {\"type\": \"string\", \"format\": "
        "\"binary\"}}}}}}, \"responses\": {\"200\": {\"description\": \"It is kept\", \"content\": "
        "{\"application/json\": {\"schema\": {\"type\": \"object\", \"properties\": {\"sha256\": "
        "{\"type\": \"string\"}, \"url\": {\"type\": \"string\"}, \"bytes\": {\"type\": "
        "\"integer\"}}, \"required\": [\"sha256\", \"url\", \"bytes\"]}}}}");
    vlm_form_describe_errors(out, VLM_OPENAPI_503, 0);
    vlm_buffer_text(out, "}");
}

void vlm_describe_get_blob(struct vlm_buffer *out)
{
    vlm_buffer_text(out, "\"responses\": {\"200\": {\"description\": \"The bytes\", \"content\": "
                         "{\"image/*\": {\"schema\": {\"type\": \"string\", \"format\": "
                         "\"binary\"}}, \"application/octet-stream\": {\"schema\": {\"type\": "
                         "\"string\", \"format\": \"binary\"}}}}");
    vlm_form_describe_errors(out, VLM_OPENAPI_404, 410);
    vlm_buffer_text(out, "}");
}
