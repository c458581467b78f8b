/* endpoint_vq.c - /vq/encode and /vq/decode: pictures as codes and back, without the model. */
#include "base/vlm.h"

#include "serve/api/call_internal.h"
#include "serve/api/endpoints.h"
#include "serve/api/form.h"

/* ---- encode ---- */

/* The codes are there: that is all. */
static bool answer_codes(struct vlm_call *call)
{
    vlm_call_complete(call);
    return false;
}

static void write_codes(struct vlm_call *call, struct vlm_json *json)
{
    const struct vlm_call_picture *picture = call->pictures[0];
    vlm_json_member_string(json, "tokenizer", vlm_pictures_tokenizer(call->service->pictures));
    vlm_json_key(json, "codes");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < VLM_CODES; i++)
        vlm_json_number(json, picture->codes[i]);
    vlm_json_close(json, ']');
    vlm_json_key(json, "sha256");
    vlm_json_hex(json, picture->sha256, sizeof(picture->sha256));
    vlm_json_member_number(json, "width", picture->width);
    vlm_json_member_number(json, "height", picture->height);
}

static const struct vlm_call_kind encode_kind = {
    .endpoint = "/vq/encode",
    .size = sizeof(struct vlm_call),
    .id = "vq-",
    .prepare = answer_codes,
    .answer = write_codes,
};

static bool read_image(struct vlm_reader *reader, const struct vlm_value *value, void *request)
{
    size_t index;
    return vlm_call_picture_url(request, reader, value, &index);
}

static const struct vlm_field encode_fields[] = {
    { "image", VLM_FIELD_OWN, 0, .required = true, .read = read_image,
      .schema = VLM_IMAGE_URL_SCHEMA, .help = "a data: URL in base64, or vlm:sha256: of a blob" },
};
static const struct vlm_field_group encode_group = { encode_fields, VLM_COUNTOF(encode_fields) };
static const struct vlm_field_group *const encode_groups[] = { &encode_group, &vlm_request_common,
                                                               NULL };

static const struct vlm_field_group *const form_groups[] = { &vlm_request_common, NULL };

static bool take_only_image(struct vlm_call *call, const struct vlm_multipart *form)
{
    const struct vlm_part_field *part = vlm_multipart_find(form, "image", 0);
    if (part && !vlm_multipart_find(form, "image", 1))
        return vlm_form_take_image(call, "image", part->bytes, part->n);
    vlm_call_fail(call, 400, "image", part ? "'image' stands twice" : "'image' is missing");
    return false;
}

void vlm_post_vq_encode(struct vlm_service *service, struct vlm_exchange *exchange)
{
    const struct vlm_http_request *request = vlm_exchange_request(exchange);
    struct vlm_call *call = vlm_call_new(service, exchange, &encode_kind);
    if (!call)
        return;
    if (!service->pictures) {
        vlm_call_fail(call, 400, "image", "this model takes no images");
        return;
    }
    bool read;
    static const char *const files[] = { "image", NULL };
    struct vlm_multipart form;
    if (!strncmp(request->content_type, "image/", 6) ||
        !strcmp(request->content_type, "application/octet-stream"))
        read = vlm_form_take_image(call, "image", request->body, request->body_n);
    else if (!strcmp(request->content_type, "multipart/form-data"))
        read = vlm_form_read(call, &form, files, form_groups) && take_only_image(call, &form);
    else
        read = vlm_call_read(call, encode_groups);
    if (read)
        vlm_call_run(call);
}

void vlm_describe_vq_encode(struct vlm_buffer *out)
{
    static const char files[] =
        ", \"image/*\": {\"schema\": {\"type\": \"string\", \"format\": \"binary\"}}, "
        "\"application/octet-stream\": {\"schema\": {\"type\": \"string\", \"format\": "
        "\"binary\"}}, "
        "\"multipart/form-data\": {\"schema\": {\"type\": \"object\", \"properties\": {\"image\": "
        "{\"type\": \"string\", \"format\": \"binary\"}}, \"required\": [\"image\"]}}";
    struct vlm_call defaults = { 0 };
    vlm_request_init(&defaults.request);
    vlm_form_describe(out, &defaults, encode_groups, files,
                      "{\"type\": \"object\", \"properties\": {\"tokenizer\": {\"type\": "
                      "\"string\"}, \"codes\": {\"type\": \"array\", \"items\": {\"type\": "
                      "\"integer\"}, \"minItems\": 256, \"maxItems\": 256}, \"sha256\": {\"type\": "
                      "\"string\"}, \"width\": {\"type\": \"integer\"}, \"height\": {\"type\": "
                      "\"integer\"}}, \"required\": [\"tokenizer\", \"codes\"]}",
                      "");
}

/* ---- decode ---- */

struct decoding {
    struct vlm_call call; /* first */
    uint16_t codes[VLM_CODES];
    int format;
    bool bare; /* the file itself is the answer */
    struct vlm_picture_task *task;
    const uint8_t *file; /* while the answer is written */
    size_t file_n;
};

static const char *media_type(const struct decoding *it)
{
    return it->format == VLM_PICTURE_JPEG ? "image/jpeg" : "image/png";
}

static void write_picture(struct vlm_call *call, struct vlm_json *json)
{
    const struct decoding *it = (const struct decoding *)call;
    vlm_json_key(json, "image");
    vlm_call_write_data_url(json, media_type(it), it->file, it->file_n);
    vlm_json_member_string(json, "tokenizer", vlm_pictures_tokenizer(call->service->pictures));
}

static void release_decoding(struct vlm_call *call)
{
    struct decoding *it = (struct decoding *)call;
    if (it->task)
        vlm_pictures_cancel(call->service->pictures, it->task);
}

static const struct vlm_call_kind decode_kind = {
    .endpoint = "/vq/decode",
    .size = sizeof(struct decoding),
    .id = "vq-",
    .answer = write_picture,
    .release = release_decoding,
};

static void answer_file(struct decoding *it, const uint8_t *file, size_t n)
{
    struct vlm_exchange *exchange = it->call.exchange;
    const char *type = media_type(it);
    vlm_exchange_on_gone(exchange, NULL, NULL);
    vlm_call_account(&it->call, 200, "");
    vlm_call_free(&it->call);
    vlm_exchange_reply(exchange, 200, type, file, n);
}

static void on_decoded(void *argument, int rc, const struct vlm_err *err, const uint8_t *file,
                       size_t n, const uint8_t *square)
{
    struct decoding *it = argument;
    (void)square;
    it->task = NULL;
    if (rc != VLM_OK) {
        vlm_call_fail_err(&it->call, rc == VLM_EFORMAT || rc == VLM_EUSAGE ? "codes" : NULL, rc,
                          err);
        return;
    }
    it->file = file;
    it->file_n = n;
    if (it->bare)
        answer_file(it, file, n);
    else
        vlm_call_complete(&it->call);
}

static bool read_codes(struct vlm_reader *reader, const struct vlm_value *value, void *request)
{
    struct decoding *it = request;
    if (value->kind != VLM_VALUE_ARRAY || value->n != VLM_CODES)
        return vlm_reader_fail(reader, "'%s' must be an array of %d codes", reader->path,
                               VLM_CODES);
    const size_t most = vlm_pictures_codes(it->call.service->pictures);
    size_t i = 0;
    for (const struct vlm_value *code = value->first; code; code = code->next, i++) {
        int64_t number = -1;
        bool whole;
        const size_t was = vlm_reader_element(reader, i);
        it->codes[i] = VLM_CODE_UNKNOWN;
        if (code->kind != VLM_VALUE_NULL) {
            if (code->kind != VLM_VALUE_NUMBER || !vlm_value_whole(code, &number, &whole) ||
                number < 0 || (uint64_t)number >= most) {
                char wanted[64];
                snprintf(wanted, sizeof(wanted), "null or a whole number from 0 to %zu", most - 1);
                return vlm_reader_wanted(reader, wanted, code);
            }
            it->codes[i] = (uint16_t)number;
        }
        vlm_reader_back(reader, was);
    }
    return true;
}

static const struct vlm_field decode_fields[] = {
    { "codes", VLM_FIELD_OWN, 0, .required = true, .read = read_codes,
      .schema = "{\"type\": \"array\", \"items\": {\"type\": [\"integer\", \"null\"], "
                "\"minimum\": 0}, \"minItems\": 256, \"maxItems\": 256}",
      .help = "256 codes in rows of 16; null: not known, which comes out grey" },
    { "format", VLM_FIELD_WORD, offsetof(struct decoding, format), .words = "png|jpeg",
      .help = "of the picture" },
    { "image_quality", VLM_FIELD_WHOLE, offsetof(struct decoding, call.request.image_quality),
      .least = 1, .most = 100, .help = "of JPEG" },
};
static const struct vlm_field_group decode_group = { decode_fields, VLM_COUNTOF(decode_fields) };
static const struct vlm_field_group *const decode_groups[] = { &decode_group, &vlm_request_common,
                                                               NULL };

/* Accept: image/png or image/jpeg, and not JSON. */
static void heed_accept(struct decoding *it)
{
    const char *accept = vlm_exchange_field(it->call.exchange, "accept");
    if (!accept || strncmp(accept, "image/", 6) != 0)
        return;
    it->bare = true;
    if (!strncmp(accept, "image/jpeg", 10))
        it->format = VLM_PICTURE_JPEG;
    else if (!strncmp(accept, "image/png", 9))
        it->format = VLM_PICTURE_PNG;
}

void vlm_post_vq_decode(struct vlm_service *service, struct vlm_exchange *exchange)
{
    struct vlm_call *call = vlm_call_new(service, exchange, &decode_kind);
    struct decoding *it = (struct decoding *)call;
    if (!call)
        return;
    if (!service->pictures) {
        vlm_call_fail(call, 400, "codes", "this model has no image tokenizer");
        return;
    }
    if (!vlm_call_read(call, decode_groups))
        return;
    heed_accept(it);
    const struct vlm_picture_form form = { .format = (enum vlm_picture_format)it->format,
                                           .quality = (int)call->request.image_quality };
    it->task = vlm_pictures_decode(service->pictures, it->codes, &form, on_decoded, it);
    if (!it->task)
        vlm_call_fail(call, 503, NULL, "too many pictures wait");
}

void vlm_describe_vq_decode(struct vlm_buffer *out)
{
    struct decoding defaults = { .format = VLM_PICTURE_PNG };
    vlm_request_init(&defaults.call.request);
    vlm_form_describe(out, &defaults, decode_groups, "",
                      "{\"type\": \"object\", \"properties\": {\"image\": {\"type\": \"string\"}, "
                      "\"tokenizer\": {\"type\": \"string\"}}, \"required\": [\"image\"]}",
                      ", \"image/png\": {\"schema\": {\"type\": \"string\", \"format\": "
                      "\"binary\"}}, \"image/jpeg\": {\"schema\": {\"type\": \"string\", "
                      "\"format\": \"binary\"}}");
}
