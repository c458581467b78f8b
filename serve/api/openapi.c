/* openapi.c - /openapi.json: the table of endpoints and the tables of fields, as OpenAPI 3.1. */
#include "base/vlm.h"
#include "serve/api/openapi.h"

#include "serve/api/endpoints.h"

/* ---- pieces ---- */

static void write_ref(struct vlm_json *json, const char *schema)
{
    char ref[96];
    snprintf(ref, sizeof(ref), "#/components/schemas/%s", schema);
    vlm_json_key(json, "schema");
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "$ref", ref);
    vlm_json_close(json, '}');
}

static void write_content(struct vlm_json *json, const char *type, const char *schema)
{
    vlm_json_key(json, type);
    vlm_json_open(json, '{');
    if (schema) {
        write_ref(json, schema);
    } else {
        vlm_json_key(json, "schema");
        vlm_json_open(json, '{');
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, '}');
}

static void write_error(struct vlm_json *json, int status, const char *description)
{
    char code[12];
    snprintf(code, sizeof(code), "%d", status);
    vlm_json_key(json, code);
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "description", description);
    vlm_json_key(json, "content");
    vlm_json_open(json, '{');
    write_content(json, "application/json", "Error");
    vlm_json_close(json, '}');
    vlm_json_close(json, '}');
}

void vlm_openapi_errors(struct vlm_buffer *out, unsigned statuses)
{
    static const struct {
        int status;
        unsigned flag; /* 0: of the gate in front of all endpoints */
        const char *description;
    } known[] = {
        { 400, 0, "the request is wrong; param names the field" },
        { 401, 0, "no API key, or a wrong one" },
        { 403, 0, "the Host or the Origin is not allowed" },
        { 404, VLM_OPENAPI_404, "it is not there" },
        { 405, 0, "another method" },
        { 408, 0, "the request came too slowly" },
        { 411, 0, "a body without a length" },
        { 413, 0, "the body is too large" },
        { 414, 0, "the path is too long" },
        { 415, 0, "the type of the body is another" },
        { 417, 0, "an expectation that is not met" },
        { 429, 0, "too many connections from one address" },
        { 431, 0, "the head is too large" },
        { 503, VLM_OPENAPI_503, "too much work, or the server is stopping: later" },
    };
    struct vlm_json json = { .out = out, .comma = true };
    for (size_t i = 0; i < VLM_COUNTOF(known); i++)
        if (!known[i].flag || (statuses & known[i].flag))
            write_error(&json, known[i].status, known[i].description);
}

static void write_responses(struct vlm_json *json, const char *type, const char *answer,
                            bool stream, unsigned statuses)
{
    vlm_json_key(json, "responses");
    vlm_json_open(json, '{');
    vlm_json_key(json, "200");
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "description", "done");
    vlm_json_key(json, "content");
    vlm_json_open(json, '{');
    write_content(json, type, answer);
    if (stream)
        write_content(json, "text/event-stream", NULL);
    vlm_json_close(json, '}');
    vlm_json_close(json, '}');
    vlm_openapi_errors(json->out, statuses);
    json->comma = true;
    vlm_json_close(json, '}');
}

static void write_body(struct vlm_json *json, const struct vlm_field_group *const *groups,
                       const void *request)
{
    if (!groups)
        return;
    vlm_json_key(json, "requestBody");
    vlm_json_open(json, '{');
    vlm_json_member_bool(json, "required", true);
    vlm_json_key(json, "content");
    vlm_json_open(json, '{');
    vlm_json_key(json, "application/json");
    vlm_json_open(json, '{');
    vlm_json_key(json, "schema");
    vlm_fields_schema(json, request, groups);
    vlm_json_close(json, '}');
    vlm_json_close(json, '}');
    vlm_json_close(json, '}');
}

void vlm_openapi_kind(struct vlm_buffer *out, const struct vlm_call_kind *kind)
{
    struct vlm_json json = { .out = out };
    struct vlm_call *defaults = calloc(1, kind->size); /* fields lie anywhere in it */
    if (!defaults) {
        out->failed = true;
        return;
    }
    vlm_request_init(&defaults->request);
    write_body(&json, kind->groups, defaults);
    write_responses(&json, "application/json", kind->schema ? kind->schema : "Answer",
                    !kind->at_once, VLM_OPENAPI_404 | VLM_OPENAPI_503);
    free(defaults);
}

void vlm_openapi_body(struct vlm_buffer *out, const struct vlm_field_group *const *groups,
                      const void *request, const char *answer, unsigned statuses)
{
    struct vlm_json json = { .out = out };
    write_body(&json, groups, request);
    write_responses(&json, "application/json", answer, false, statuses);
}

void vlm_openapi_responses(struct vlm_buffer *out, const char *content_type, const char *answer,
                           unsigned statuses)
{
    struct vlm_json json = { .out = out };
    write_responses(&json, content_type, answer, false, statuses);
}

/* ---- the document ---- */

/* Schemas that several endpoints name. */
static const char components[] =
    "\"Error\": {\"type\": \"object\", \"required\": [\"error\"], \"properties\": {\"error\": "
    "{\"type\": \"object\", \"required\": [\"code\", \"message\", \"type\", \"param\"], "
    "\"properties\": {\"code\": {\"type\": \"integer\"}, \"message\": {\"type\": \"string\"}, "
    "\"type\": {\"type\": \"string\"}, \"param\": {\"type\": [\"string\", \"null\"]}}}}}, "
    "\"Answer\": {\"type\": \"object\"}, "
    "\"Part\": {\"type\": \"object\", \"required\": [\"type\"], \"properties\": {\"type\": "
    "{\"enum\": [\"text\", \"image_url\", \"image_codes\", \"mask\"]}, \"text\": {\"type\": "
    "\"string\"}, \"image_url\": {\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"object\", "
    "\"required\": [\"url\"], \"properties\": {\"url\": {\"type\": \"string\"}}}]}, \"codes\": "
    "{\"type\": \"array\", \"minItems\": 256, \"maxItems\": 256, \"items\": {\"type\": "
    "\"integer\", \"minimum\": 0}}, \"mask\": {\"type\": \"object\", \"properties\": {\"id\": "
    "{\"type\": \"integer\", \"minimum\": 0}, \"rect\": {\"type\": \"array\", \"minItems\": 4, "
    "\"maxItems\": 4, \"items\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": 16}}}}, "
    "\"id\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": 1000000}, \"kind\": {\"enum\": "
    "[\"text\", \"image\"]}, \"max_tokens\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": "
    "65536}}}, "
    "\"Usage\": {\"type\": \"object\", \"required\": [\"prompt_tokens\", \"completion_tokens\", "
    "\"total_tokens\"], \"properties\": {\"prompt_tokens\": {\"type\": \"integer\"}, "
    "\"completion_tokens\": {\"type\": \"integer\"}, \"total_tokens\": {\"type\": "
    "\"integer\"}}}, "
    "\"ChatCompletion\": {\"$ref\": \"#/components/schemas/Completion\"}, "
    "\"Completion\": {\"type\": \"object\", \"required\": [\"id\", \"object\", \"created\", "
    "\"model\", \"choices\", \"usage\"], \"properties\": {\"choices\": {\"type\": \"array\", "
    "\"items\": {\"type\": \"object\"}}, \"usage\": {\"$ref\": \"#/components/schemas/Usage\"}}}";

/* "{id}" of a path, as a parameter. */
static void write_parameter(struct vlm_json *json, const char *path)
{
    const char *brace = strchr(path, '{');
    if (!brace)
        return;
    vlm_json_key(json, "parameters");
    vlm_json_open(json, '[');
    vlm_json_open(json, '{');
    vlm_json_key(json, "name");
    vlm_json_text(json, brace + 1, strcspn(brace + 1, "}"));
    vlm_json_member_string(json, "in", "path");
    vlm_json_member_bool(json, "required", true);
    vlm_json_key(json, "schema");
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "type", "string");
    vlm_json_member_number(json, "minLength", 1);
    vlm_json_close(json, '}');
    vlm_json_close(json, '}');
    vlm_json_close(json, ']');
}

static void write_operation(struct vlm_json *json, const struct vlm_endpoint *endpoint)
{
    static const char *const methods[] = { "get", "head", "post", "put", "delete", "options" };
    struct vlm_buffer own = { 0 };
    vlm_json_key(json, methods[endpoint->method]);
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "summary", endpoint->summary);
    write_parameter(json, endpoint->path);
    if (endpoint->kind)
        vlm_openapi_kind(&own, endpoint->kind);
    else if (endpoint->describe)
        endpoint->describe(&own);
    else
        vlm_openapi_responses(&own, "application/json", "Answer",
                              VLM_OPENAPI_503 | VLM_OPENAPI_404);
    vlm_buffer_text(json->out, ", ");
    vlm_buffer_add(json->out, own.data, own.size);
    json->out->failed = json->out->failed || own.failed;
    vlm_buffer_release(&own);
    vlm_json_close(json, '}');
}

static bool is_first(const struct vlm_endpoint *table, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (!strcmp(table[i].path, table[at].path))
            return false;
    return true;
}

static void write_document(struct vlm_buffer *out)
{
    struct vlm_json json = { .out = out };
    size_t n;
    const struct vlm_endpoint *table = vlm_endpoints(&n);
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "openapi", "3.1.0");
    vlm_json_key(&json, "info");
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "title", "vlm-serve");
    vlm_json_member_string(&json, "version", VLM_VERSION);
    vlm_json_close(&json, '}');
    vlm_json_key(&json, "paths");
    vlm_json_open(&json, '{');
    for (size_t i = 0; i < n; i++) {
        if (!is_first(table, i))
            continue;
        vlm_json_key(&json, table[i].path);
        vlm_json_open(&json, '{');
        for (size_t k = i; k < n; k++)
            if (!strcmp(table[k].path, table[i].path))
                write_operation(&json, &table[k]);
        vlm_json_close(&json, '}');
    }
    vlm_json_close(&json, '}');
    vlm_json_key(&json, "components");
    vlm_json_open(&json, '{');
    vlm_json_key(&json, "schemas");
    vlm_buffer_printf(out, "{%s}", components);
    json.comma = true;
    vlm_json_key(&json, "securitySchemes");
    vlm_buffer_text(out, "{\"key\": {\"type\": \"http\", \"scheme\": \"bearer\"}}");
    vlm_json_close(&json, '}');
    vlm_json_close(&json, '}');
}

void vlm_get_openapi(struct vlm_service *service, struct vlm_exchange *exchange)
{
    struct vlm_buffer out = { 0 };
    write_document(&out);
    vlm_service_json(service, exchange, 200, &out);
}
