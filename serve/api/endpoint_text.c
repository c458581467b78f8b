/* endpoint_text.c - POST /tokenize and /detokenize: texts as ids and back, with the server's own tokenizer, as prompts of
 * /v1/completions have them but for the token that these have in front. */
#include "base/vlm.h"
#include "serve/api/call_internal.h"
#include "serve/api/endpoints.h"
#include "serve/api/openapi.h"
#include "serve/api/parts.h"

enum { ARENA_MAX = 96 * 1024 * 1024 };

struct text_request {
    struct vlm_request request;
    const struct vlm_value *content, *tokens;
    bool add_special, special, with_pieces;
};

static bool keep_content(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    if (value->kind != VLM_VALUE_STRING)
        return vlm_reader_wanted(reader, "a string", value);
    if (value->n > reader->limits->prompt_bytes)
        return vlm_reader_fail(reader, "'%s' has %zu bytes, at most %zu are allowed", reader->path,
                               value->n, reader->limits->prompt_bytes);
    ((struct text_request *)target)->content = value;
    return true;
}

#define AT(member) offsetof(struct text_request, member)

static const struct vlm_field tokenize_fields[] = {
    { "content", VLM_FIELD_OWN, 0, .required = true, .read = keep_content,
      .schema = "{\"type\": \"string\"}", .help = "the text" },
    { "add_special", VLM_FIELD_BOOL, AT(add_special),
      .help = "with the token that prompts of this model begin with" },
    { "parse_special", VLM_FIELD_BOOL, AT(special), .help = "control words in the text count" },
    { "with_pieces", VLM_FIELD_BOOL, AT(with_pieces), .help = "each token with its text" },
    { "model", VLM_FIELD_TEXT, AT(request.model), .nullable = true, .help = "the model's name" },
    { "strict", VLM_FIELD_BOOL, AT(request.strict), .help = "unknown fields are an error" },
};
static const struct vlm_field_group tokenize_group = { tokenize_fields,
                                                       VLM_COUNTOF(tokenize_fields) };
static const struct vlm_field_group *const tokenize_groups[] = { &tokenize_group, NULL };

/* Reads a body by tables; false: answered, and the arena is released. */
static bool read_body(struct vlm_service *service, struct vlm_exchange *exchange,
                      struct vlm_arena *arena, struct text_request *request,
                      const struct vlm_field_group *const *groups)
{
    struct vlm_err err = { 0 };
    struct vlm_reader reader = { .arena = arena,
                                 .limits = &service->limits,
                                 .n_ids = service->folder->vocabulary.size };
    const char *param;
    int status;
    vlm_arena_init(arena, ARENA_MAX);
    const struct vlm_value *body = vlm_json_body(exchange, arena, &status, &param, &err);
    if (!body)
        vlm_service_error(service, exchange, status, param, "%s", err.msg);
    else if (!vlm_fields_read(&reader, body, request, groups))
        vlm_service_error(service, exchange, reader.status, reader.param[0] ? reader.param : NULL,
                          "%s", reader.problem);
    else if (request->request.model && strcmp(request->request.model, service->model_name) != 0)
        vlm_service_error(service, exchange, 404, "model", "there is no model '%.64s', only '%s'",
                          request->request.model, service->model_name);
    else
        return true;
    vlm_arena_release(arena);
    return false;
}

static void write_piece(struct vlm_json *json, const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    struct vlm_buffer text = { 0 };
    vlm_vocabulary_token(&text, vocabulary, id);
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "id", id);
    vlm_json_key(json, "piece");
    vlm_json_text(json, text.size ? (const char *)text.data : "", text.size);
    vlm_json_close(json, '}');
    vlm_buffer_release(&text);
}

void vlm_post_tokenize(struct vlm_service *service, struct vlm_exchange *exchange)
{
    struct vlm_arena arena;
    struct text_request request = { .content = NULL };
    struct vlm_prompt prompt;
    struct vlm_err err = { 0 };
    if (!read_body(service, exchange, &arena, &request, tokenize_groups))
        return;
    const struct vlm_prompt_part part = { .kind = request.special ? VLM_PROMPT_WORDS
                                                                  : VLM_PROMPT_MARKUP,
                                          .text = request.content->text,
                                          .n = request.content->n };
    int rc = vlm_prompt_from_parts(&prompt, service->sequencer, &service->folder->vocabulary,
                                   &service->folder->recipe, &part, 1, 0, &err);
    if (rc != VLM_OK) {
        vlm_service_error(service, exchange, rc == VLM_ENOMEM ? 503 : 400, "content", "%s",
                          err.msg);
    } else {
        struct vlm_buffer out = { 0 };
        struct vlm_json json = { .out = &out };
        vlm_json_open(&json, '{');
        vlm_json_key(&json, "tokens");
        vlm_json_open(&json, '[');
        for (size_t i = request.add_special ? 0 : vlm_begin_length(service); i < prompt.sequence.n;
             i++) {
            if (request.with_pieces)
                write_piece(&json, &service->folder->vocabulary, prompt.sequence.ids[i]);
            else
                vlm_json_number(&json, prompt.sequence.ids[i]);
        }
        vlm_json_close(&json, ']');
        vlm_json_close(&json, '}');
        vlm_service_json(service, exchange, 200, &out);
    }
    vlm_prompt_release(&prompt);
    vlm_arena_release(&arena);
}

void vlm_describe_tokenize(struct vlm_buffer *out)
{
    const struct text_request defaults = { .content = NULL };
    vlm_openapi_body(out, tokenize_groups, &defaults, "Answer", VLM_OPENAPI_404 | VLM_OPENAPI_503);
}

/* ---- ids as text ---- */

struct detokenize {
    struct vlm_call call;
    const struct vlm_value *tokens;
    const uint32_t *ids;
};

static bool read_tokens(struct vlm_reader *reader, const struct vlm_value *value, void *target)
{
    struct detokenize *it = target;
    if (value->kind != VLM_VALUE_ARRAY)
        return vlm_reader_wanted(reader, "an array of ids", value);
    it->tokens = value;
    it->ids = vlm_ids_read(reader, value);
    return it->ids != NULL;
}

static const struct vlm_field detokenize_fields[] = {
    { "tokens", VLM_FIELD_OWN, 0, .required = true, .read = read_tokens,
      .schema = "{\"type\": \"array\", \"items\": {\"type\": \"integer\", \"minimum\": 0}}",
      .help = "ids" },
};
static const struct vlm_field_group detokenize_group = { detokenize_fields,
                                                         VLM_COUNTOF(detokenize_fields) };
static const struct vlm_field_group *const detokenize_groups[] = { &detokenize_group,
                                                                   &vlm_request_common,
                                                                   &vlm_request_images, NULL };

static bool replay(struct vlm_call *call)
{
    struct detokenize *it = (struct detokenize *)call;
    vlm_call_replay(call, it->ids, it->tokens->n);
    return false;
}

/* "content" is what /tokenize makes the same ids of: codes are numbers in it. */
static void write_text(struct vlm_call *call, struct vlm_json *json)
{
    const struct detokenize *it = (const struct detokenize *)call;
    const struct vlm_call_choice *choice = &call->choices[0];
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    if (vlm_sequence_text(&text, &call->service->folder->vocabulary, it->ids, it->tokens->n,
                          &err) != VLM_OK)
        text.size = 0;
    vlm_json_key(json, "content");
    vlm_json_text(json, text.size ? (const char *)text.data : "", text.size);
    json->out->failed = json->out->failed || text.failed;
    vlm_buffer_release(&text);
    vlm_call_write_images(call, json, choice, SIZE_MAX);
    vlm_call_write_parts(call, json, choice);
}

const struct vlm_call_kind vlm_kind_detokenize = {
    .endpoint = "/detokenize",
    .size = sizeof(struct detokenize),
    .at_once = true,
    .id = "detokenize-",
    .groups = detokenize_groups,
    .prepare = replay,
    .answer = write_text,
};
