/* endpoint_images.c - /v1/images/generations and /v1/images/edits in OpenAI's form.
 *
 * A generation is the recipe's prompt for a picture of words, <img alt="WORDS" src=", continued until the picture is
 * whole. An edit is a masked page: the picture stands in the src with its known codes, the cells under transparent
 * pixels of the mask are drawn anew, all others keep their codes, and their pixels are put back (serve/picture/blend.h).
 * With cfg_scale the picture without its words is what guidance leads away from. */
#include "base/vlm.h"

#include "base/base64.h"
#include "serve/api/endpoints.h"
#include "serve/api/form.h"
#include "serve/api/sse.h"

enum { SIDE = VLM_SQUARE_SIDE };

struct drawing {
    struct vlm_call call; /* first */
    const char *prompt;
    int size, response_format, output_format;
    int64_t compression;
    bool edits;
    struct vlm_call_picture *picture; /* of an edit */
    const uint8_t *mask; /* bytes of a file; those of the picture: its own transparency */
    size_t mask_n;
    uint8_t cells[VLM_CODES]; /* drawn anew */
    uint32_t mask_width, mask_height;
    struct vlm_picture_task *task; /* that reads the mask */
};

static struct drawing *drawing_of(struct vlm_call *call)
{
    return (struct drawing *)call;
}

/* ---- fields ---- */

enum { RESPONSE_B64_JSON, RESPONSE_URL };

#define AT(member) offsetof(struct drawing, member)

static const struct vlm_field shared_fields[] = {
    { "prompt", VLM_FIELD_TEXT, AT(prompt), .most = (double)VLM_MIB, .required = true,
      .help = "words for the picture" },
    { "n", VLM_FIELD_WHOLE, AT(call.request.n), .least = 1, .most = 16, .nullable = true,
      .help = "pictures, with the seeds seed, seed + 1, ..." },
    { "size", VLM_FIELD_WORD, AT(size), .words = "auto|256x256", .nullable = true,
      .help = "there is one size" },
    { "response_format", VLM_FIELD_WORD, AT(response_format), .words = "b64_json|url",
      .nullable = true, .help = "url: a data: URL" },
    { "output_format", VLM_FIELD_WORD, AT(output_format), .words = "png|jpeg", .nullable = true,
      .help = "format of the files" },
    { "output_compression", VLM_FIELD_WHOLE, AT(compression), .least = 0, .most = 100,
      .nullable = true, .help = "quality of JPEG" },
    { "partial_images", VLM_FIELD_WHOLE, AT(call.request.partial_images), .least = 0,
      .most = VLM_PARTIAL_IMAGES_MAX, .nullable = true,
      .help = "unfinished pictures that a stream shows before each whole one" },
    { "store", VLM_FIELD_BOOL, AT(call.request.store), .nullable = true,
      .help = "the pictures are kept like uploads: later requests name them by their hash" },
    { "quality", VLM_FIELD_WORD, VLM_FIELD_NOWHERE, .words = "auto|standard|hd|low|medium|high",
      .nullable = true, .help = "without effect" },
    { "background", VLM_FIELD_WORD, VLM_FIELD_NOWHERE, .words = "auto|opaque|transparent",
      .nullable = true, .help = "without effect" },
};
static const struct vlm_field_group shared_group = { shared_fields, VLM_COUNTOF(shared_fields) };

static const struct vlm_field generation_fields[] = {
    { "style", VLM_FIELD_WORD, VLM_FIELD_NOWHERE, .words = "vivid|natural", .nullable = true,
      .help = "without effect" },
    { "moderation", VLM_FIELD_WORD, VLM_FIELD_NOWHERE, .words = "auto|low", .nullable = true,
      .help = "without effect" },
};
static const struct vlm_field_group generation_group = { generation_fields,
                                                         VLM_COUNTOF(generation_fields) };

static const struct vlm_field edit_fields[] = {
    { "input_fidelity", VLM_FIELD_WORD, VLM_FIELD_NOWHERE, .words = "high|low", .nullable = true,
      .help = "without effect" },
};
static const struct vlm_field_group edit_group = { edit_fields, VLM_COUNTOF(edit_fields) };

/* A URL, or a list of one. */
static bool read_image(struct vlm_reader *reader, const struct vlm_value *value, void *request)
{
    struct drawing *it = request;
    size_t index, was = reader->path_n;
    if (value->kind == VLM_VALUE_ARRAY) {
        if (value->n != 1)
            return vlm_reader_fail(reader, "'%s' has %zu images, exactly one can be edited",
                                   reader->path, value->n);
        value = value->first;
        was = vlm_reader_element(reader, 0);
    }
    if (!vlm_call_picture_url(&it->call, reader, value, &index))
        return false;
    vlm_reader_back(reader, was);
    it->picture = it->call.pictures[index];
    return true;
}

/* Only its bytes are wanted: it has no codes. */
static bool read_mask(struct vlm_reader *reader, const struct vlm_value *value, void *request)
{
    struct drawing *it = request;
    size_t index;
    if (value->kind == VLM_VALUE_NULL)
        return true;
    if (!vlm_call_picture_url(&it->call, reader, value, &index))
        return false;
    it->mask = it->call.pictures[index]->bytes;
    it->mask_n = it->call.pictures[index]->n;
    it->call.n_pictures--;
    return true;
}

static const struct vlm_field file_fields[] = {
    { "image", VLM_FIELD_OWN, 0, .required = true, .read = read_image,
      .schema = "{\"anyOf\": [" VLM_IMAGE_URL_SCHEMA ", {\"type\": \"array\", \"minItems\": 1, "
                "\"maxItems\": 1, \"items\": " VLM_IMAGE_URL_SCHEMA "}]}",
      .help = "the picture: a data: URL in base64, or vlm:sha256: of a blob" },
    { "mask", VLM_FIELD_OWN, 0, .nullable = true, .read = read_mask,
      .schema = "{\"type\": [\"string\", \"null\"]}",
      .help = "a PNG or WebP file as large as the picture: what is transparent is drawn anew" },
};
static const struct vlm_field_group file_group = { file_fields, VLM_COUNTOF(file_fields) };

static const struct vlm_field_group *const generation_groups[] = { &shared_group,
                                                                   &generation_group,
                                                                   &vlm_request_common,
                                                                   &vlm_request_stream,
                                                                   &vlm_request_sampling,
                                                                   &vlm_request_seed,
                                                                   NULL };
/* Of edits; forms have the files apart. */
static const struct vlm_field_group *const edit_groups[] = {
    &file_group,         &shared_group,         &edit_group,       &vlm_request_common,
    &vlm_request_stream, &vlm_request_sampling, &vlm_request_seed, NULL
};
static const struct vlm_field_group *const *const edit_form_groups = edit_groups + 1;

static void set_defaults(struct drawing *it)
{
    it->compression = 100;
}

/* What fields mean together. False: answered, the call is gone. */
static bool check(struct drawing *it)
{
    struct vlm_call *call = &it->call;
    const struct vlm_service *service = call->service;
    if (!service->choices->images || !service->pictures) {
        vlm_call_fail(call, 400, "model", "the model '%s' draws no images", service->model_name);
        return false;
    }
    if (strlen(it->prompt) > service->limits.prompt_bytes) {
        vlm_call_fail(call, 400, "prompt", "'prompt' has %zu bytes, at most %zu are allowed",
                      strlen(it->prompt), service->limits.prompt_bytes);
        return false;
    }
    call->request.image_form =
        it->output_format == VLM_PICTURE_JPEG ? VLM_IMAGE_FORM_JPEG : VLM_IMAGE_FORM_PNG;
    call->request.image_quality = VLM_MAX(it->compression, 1);
    call->request.options.one_image = !it->edits;
    return true;
}

/* ---- prompts ---- */

/* words NULL: a picture of anything. */
static int make_prompt(struct drawing *it, struct vlm_prompt *prompt, const char *words,
                       struct vlm_err *err)
{
    static const char alt[] = "<img alt=\"", src[] = "\" src=\"", bare[] = "<img src=\"";
    const struct vlm_service *service = it->call.service;
    const size_t n = words ? strlen(words) : 0;
    const struct vlm_prompt_part edit[] = {
        { .kind = VLM_PROMPT_IMAGE,
          .text = words,
          .n = n,
          .codes = it->edits ? it->picture->codes : NULL,
          .drawn = it->cells },
    };
    const struct vlm_prompt_part with_words[] = {
        { .kind = VLM_PROMPT_MARKUP, .text = alt, .n = sizeof(alt) - 1 },
        { .kind = VLM_PROMPT_TEXT, .text = words, .n = n },
        { .kind = VLM_PROMPT_MARKUP, .text = src, .n = sizeof(src) - 1 },
    };
    const struct vlm_prompt_part without[] = {
        { .kind = VLM_PROMPT_MARKUP, .text = bare, .n = sizeof(bare) - 1 },
    };
    const struct vlm_prompt_part *parts = it->edits ? edit : words ? with_words : without;
    return vlm_prompt_from_parts(
        prompt, service->sequencer, &service->folder->vocabulary, &service->folder->recipe, parts,
        !it->edits && words ? VLM_COUNTOF(with_words) : 1, it->edits ? VLM_PROMPT_CLOSE : 0, err);
}

/* The picture must fit whole. */
static bool fits(struct drawing *it, const struct vlm_prompt *prompt)
{
    const size_t context = it->call.service->context, rows = prompt->sequence.n;
    /* The mask is named once more before what is drawn for it, and ended behind it. */
    const size_t drawn = it->edits ? prompt->mask_codes[0] + (size_t)2 : VLM_CODES;
    if (rows < context && drawn <= context - rows)
        return true;
    vlm_call_fail(&it->call, 400, "prompt",
                  "the prompt is too long: n_prompt_tokens %zu, %zu for the image, n_ctx %zu", rows,
                  drawn, context);
    return false;
}

static bool prepare(struct vlm_call *call)
{
    struct drawing *it = drawing_of(call);
    struct vlm_err err = { 0 };
    if (it->edits && it->mask != it->picture->bytes &&
        (it->mask_width != it->picture->width || it->mask_height != it->picture->height)) {
        vlm_call_fail(call, 400, "mask",
                      "the mask has %" PRIu32 "x%" PRIu32 " pixels, the image has %" PRIu32
                      "x%" PRIu32,
                      it->mask_width, it->mask_height, it->picture->width, it->picture->height);
        return false;
    }
    struct vlm_call_prompt *prompt = vlm_call_prompts(call, 1);
    if (!prompt)
        return false;
    int rc = make_prompt(it, &prompt->made, it->prompt, &err);
    if (rc == VLM_OK && call->request.options.guidance != 1)
        rc = make_prompt(it, &prompt->negative, call->request.negative, &err);
    if (rc != VLM_OK) {
        vlm_call_fail_err(call, "prompt", rc, &err);
        return false;
    }
    return fits(it, &prompt->made);
}

/* How a picture comes out: around the mask as it was. */
static void set_form(struct vlm_call *call, const struct vlm_call_choice *choice,
                     const struct vlm_call_image *image, struct vlm_picture_form *form)
{
    const struct drawing *it = drawing_of(call);
    (void)choice, (void)image;
    form->format = (enum vlm_picture_format)it->output_format;
    if (!it->edits)
        return;
    form->square = it->picture->square;
    form->mask = it->cells;
}

/* ---- answers ---- */

static void write_base64(struct vlm_json *json, const char *key, const uint8_t *file, size_t n)
{
    vlm_json_key(json, key);
    vlm_buffer_byte(json->out, '"');
    vlm_base64(json->out, file, n);
    vlm_buffer_byte(json->out, '"');
    json->comma = true;
}

static void write_format(struct drawing *it, struct vlm_json *json)
{
    vlm_json_member_string(json, "size", "256x256");
    vlm_json_member_string(json, "output_format",
                           it->output_format == VLM_PICTURE_JPEG ? "jpeg" : "png");
    vlm_json_member_string(json, "quality", "auto");
    vlm_json_member_string(json, "background", "opaque");
}

/* The picture of a choice; NULL: none was drawn, or it may not be shown. */
static const struct vlm_call_image *image_of(const struct vlm_call_choice *choice)
{
    for (size_t i = 0; i < choice->n_images; i++)
        if (!choice->images[i]->merged && !choice->images[i]->refused)
            return choice->images[i];
    return NULL;
}

/* Beside OpenAI's members: what repeats it. */
static void write_vlm(struct vlm_json *json, const struct vlm_call_choice *choice,
                      const struct vlm_call_image *image)
{
    vlm_json_key(json, "vlm");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "seed", choice->seed);
    vlm_json_key(json, "sha256");
    vlm_json_hex(json, image->sha256, sizeof(image->sha256));
    vlm_call_write_codes(json, image);
    vlm_json_close(json, '}');
}

static void write_file(struct drawing *it, struct vlm_json *json, const uint8_t *file, size_t n)
{
    if (it->response_format == RESPONSE_URL) {
        vlm_json_key(json, "url");
        vlm_call_write_data_url(json, vlm_call_media_type(&it->call), file, n);
    } else {
        write_base64(json, "b64_json", file, n);
    }
}

static void write_usage(struct vlm_call *call, struct vlm_json *json, size_t generated)
{
    vlm_json_key(json, "usage");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "total_tokens", call->prompt_tokens + generated);
    vlm_json_member_number(json, "input_tokens", call->prompt_tokens);
    vlm_json_member_number(json, "output_tokens", generated);
    vlm_json_key(json, "input_tokens_details");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "text_tokens", call->prompt_tokens - call->prompt_image_tokens);
    vlm_json_member_number(json, "image_tokens", call->prompt_image_tokens);
    vlm_json_close(json, '}');
    vlm_json_close(json, '}');
}

static void answer(struct vlm_call *call, struct vlm_json *json)
{
    struct drawing *it = drawing_of(call);
    size_t generated = 0;
    vlm_json_member_number(json, "created", call->created);
    vlm_json_key(json, "data");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < call->n_choices; i++) {
        const struct vlm_call_choice *choice = &call->choices[i];
        const struct vlm_call_image *image = image_of(choice);
        generated += choice->generated;
        vlm_json_open(json, '{');
        if (image) {
            write_file(it, json, image->file.data, image->file.size);
            write_vlm(json, choice, image);
        } else {
            vlm_json_member_string(json, "b64_json", NULL);
        }
        vlm_json_member_string(json, "finish_reason", choice->finish);
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, ']');
    write_format(it, json);
    write_usage(call, json, generated);
}

/* ---- streams ---- */

static void open_event(struct drawing *it, struct vlm_buffer *buffer, struct vlm_json *json,
                       const char *what, const struct vlm_call_choice *choice)
{
    char type[48];
    snprintf(type, sizeof(type), "%s.%s", it->edits ? "image_edit" : "image_generation", what);
    vlm_sse_open(buffer, json, type);
    vlm_json_member_string(json, "type", type);
    vlm_json_member_number(json, "created_at", it->call.created);
    vlm_json_member_number(json, "index", (uint64_t)(choice - it->call.choices));
    write_format(it, json);
}

/* The whole picture is told with the end of its choice, when the usage is known. */
static void send_image(struct vlm_call *call, struct vlm_call_choice *choice,
                       struct vlm_call_image *image, const uint8_t *file, size_t n)
{
    struct drawing *it = drawing_of(call);
    struct vlm_buffer buffer;
    struct vlm_json json;
    if (image->sent)
        return;
    open_event(it, &buffer, &json, "partial_image", choice);
    vlm_json_member_number(&json, "partial_image_index", image->shown++);
    write_base64(&json, "b64_json", file, n);
    vlm_sse_send(call, &buffer, &json);
}

static void finish(struct vlm_call *call, struct vlm_call_choice *choice)
{
    struct drawing *it = drawing_of(call);
    const struct vlm_call_image *image = image_of(choice);
    struct vlm_buffer buffer;
    struct vlm_json json;
    open_event(it, &buffer, &json, "completed", choice);
    if (image) {
        write_base64(&json, "b64_json", image->file.data, image->file.size);
        write_vlm(&json, choice, image);
    } else {
        vlm_json_member_string(&json, "b64_json", NULL);
    }
    vlm_json_member_string(&json, "finish_reason", choice->finish);
    write_usage(call, &json, choice->generated);
    vlm_call_write_warnings(call, &json);
    vlm_sse_send(call, &buffer, &json);
}

/* ---- requests ---- */

static void release(struct vlm_call *call)
{
    struct drawing *it = drawing_of(call);
    if (it->task)
        vlm_pictures_cancel(call->service->pictures, it->task);
}

#define DRAWING_KIND(path)                                                                         \
    {                                                                                              \
        .endpoint = path, .size = sizeof(struct drawing), .id = "img-", .prepare = prepare,        \
        .answer = answer, .form = set_form, .image = send_image, .finish = finish,                 \
        .release = release,                                                                        \
    }
static const struct vlm_call_kind generation_kind = DRAWING_KIND("/v1/images/generations");
static const struct vlm_call_kind edit_kind = DRAWING_KIND("/v1/images/edits");

void vlm_post_generations(struct vlm_service *service, struct vlm_exchange *exchange)
{
    struct vlm_call *call = vlm_call_new(service, exchange, &generation_kind);
    if (!call)
        return;
    set_defaults(drawing_of(call));
    if (vlm_call_read(call, generation_groups) && check(drawing_of(call)))
        vlm_call_run(call);
}

static void on_mask(void *argument, int rc, const struct vlm_err *err, const uint8_t *cells,
                    uint32_t width, uint32_t height)
{
    struct drawing *it = argument;
    struct vlm_call *call = &it->call;
    const bool own = it->mask == it->picture->bytes;
    size_t n = 0;
    it->task = NULL;
    if (rc == VLM_SKIP && own) {
        vlm_call_fail(call, 400, "mask", "'mask' is missing: %s", err->msg);
        return;
    }
    if (rc != VLM_OK) { /* of bytes that are no picture, a mask would make none */
        vlm_call_fail_err(call, own ? "image" : "mask", rc, err);
        return;
    }
    for (size_t i = 0; i < VLM_CODES; i++)
        n += cells[i];
    if (!n) {
        vlm_call_fail(call, 400, "mask", "%s has no transparent pixels: nothing is to be drawn",
                      own ? "'mask' is missing, and the image" : "the mask");
        return;
    }
    memcpy(it->cells, cells, VLM_CODES);
    it->mask_width = width;
    it->mask_height = height;
    vlm_call_run(call);
}

/* Picture and mask out of a form. False: answered, the call is gone. */
static bool take_files(struct drawing *it, const struct vlm_multipart *form)
{
    struct vlm_call *call = &it->call;
    const struct vlm_part_field *image = vlm_multipart_find(form, "image", 0);
    const struct vlm_part_field *mask = vlm_multipart_find(form, "mask", 0);
    if (!image) {
        vlm_call_fail(call, 400, "image", "'image' is missing");
        return false;
    }
    if (vlm_multipart_find(form, "image", 1) || vlm_multipart_find(form, "mask", 1)) {
        vlm_call_fail(call, 400, vlm_multipart_find(form, "mask", 1) ? "mask" : "image",
                      "exactly one image can be edited, with one mask");
        return false;
    }
    it->picture = vlm_form_take_image(call, "image", image->bytes, image->n);
    if (it->picture && mask) {
        it->mask = mask->bytes;
        it->mask_n = mask->n;
    }
    return it->picture;
}

void vlm_post_edits(struct vlm_service *service, struct vlm_exchange *exchange)
{
    static const char *const files[] = { "image", "mask", NULL };
    const struct vlm_http_request *request = vlm_exchange_request(exchange);
    struct vlm_call *call = vlm_call_new(service, exchange, &edit_kind);
    struct drawing *it = drawing_of(call);
    struct vlm_multipart form;
    bool read;
    if (!call)
        return;
    set_defaults(it);
    it->edits = true;
    if (!strcmp(request->content_type, "multipart/form-data"))
        read = vlm_form_read(call, &form, files, edit_form_groups) && check(it) &&
               take_files(it, &form);
    else
        read = vlm_call_read(call, edit_groups) && check(it);
    if (!read)
        return;
    it->picture->keep_square = true;
    if (!it->mask) {
        it->mask = it->picture->bytes;
        it->mask_n = it->picture->n;
    }
    it->task = vlm_pictures_mask(service->pictures, it->mask, it->mask_n, on_mask, it);
    if (!it->task)
        vlm_call_fail(call, 503, NULL, "too many pictures wait");
}

/* ---- what they take and give ---- */

#define IMAGES_SCHEMA                                                                              \
    "{\"type\": \"object\", \"properties\": {\"created\": {\"type\": \"integer\"}, \"data\": "     \
    "{\"type\": \"array\", \"items\": {\"type\": \"object\", \"properties\": {\"b64_json\": "      \
    "{\"type\": [\"string\", \"null\"]}, \"url\": {\"type\": \"string\"}, \"vlm\": {\"type\": "    \
    "\"object\"}, \"finish_reason\": {\"type\": \"string\"}}}}, \"usage\": {\"type\": "            \
    "\"object\"}}, \"required\": [\"created\", \"data\", \"usage\"]}"
#define EVENTS ", \"text/event-stream\": {}"

static void describe(struct vlm_buffer *out, const struct vlm_field_group *const *groups,
                     const char *more_bodies)
{
    struct drawing defaults = { 0 };
    vlm_request_init(&defaults.call.request);
    set_defaults(&defaults);
    vlm_form_describe(out, &defaults, groups, more_bodies, IMAGES_SCHEMA, EVENTS);
}

void vlm_describe_generations(struct vlm_buffer *out)
{
    describe(out, generation_groups, "");
}

void vlm_describe_edits(struct vlm_buffer *out)
{
    describe(out, edit_groups,
             ", \"multipart/form-data\": {\"schema\": {\"type\": \"object\", \"properties\": "
             "{\"image\": {\"type\": \"string\", \"format\": \"binary\"}, \"mask\": {\"type\": "
             "\"string\", \"format\": \"binary\"}, \"prompt\": {\"type\": \"string\"}}, "
             "\"required\": [\"image\", \"prompt\"]}}");
}
