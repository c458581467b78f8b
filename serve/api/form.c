/* form.c - the parts of a form as the object that a JSON body would be, so that tables, sentences and checks are those
 * of JSON. */
#include "base/vlm.h"

#include "serve/api/form.h"

#include "base/utf8.h"
#include "serve/api/openapi.h"

static void fail_reader(struct vlm_call *call)
{
    const struct vlm_reader *reader = &call->reader;
    vlm_call_fail(call, reader->status, reader->param, "%s", reader->problem);
}

/* RFC 8259, section 6. */
static bool is_number(const char *text)
{
    const char *at = text + (*text == '-');
    size_t digits = strspn(at, "0123456789");
    if (!digits || (digits > 1 && *at == '0'))
        return false;
    at += digits;
    if (*at == '.') {
        digits = strspn(at + 1, "0123456789");
        if (!digits)
            return false;
        at += 1 + digits;
    }
    if (*at == 'e' || *at == 'E') {
        at += 1 + (at[1] == '+' || at[1] == '-');
        digits = strspn(at, "0123456789");
        if (!digits)
            return false;
        at += digits;
    }
    return !*at;
}

static const struct vlm_field *find_field(const struct vlm_field_group *const *groups,
                                          const char *name)
{
    for (; *groups; groups++)
        for (size_t i = 0; i < (*groups)->n; i++)
            if (!strcmp((*groups)->fields[i].name, name))
                return &(*groups)->fields[i];
    return NULL;
}

/* What JSON would have at the place of this text: what is neither number nor word stays text, and the table says what
 * it wanted. */
static void set_value(struct vlm_value *value, const struct vlm_field *field, char *text, size_t n)
{
    value->kind = VLM_VALUE_STRING;
    value->text = text;
    value->n = n;
    if (!field)
        return;
    const bool number = field->kind == VLM_FIELD_WHOLE || field->kind == VLM_FIELD_REAL;
    if (number && is_number(text)) {
        value->kind = VLM_VALUE_NUMBER;
    } else if (field->kind == VLM_FIELD_BOOL && (!strcmp(text, "true") || !strcmp(text, "false"))) {
        value->kind = VLM_VALUE_BOOL;
        value->truth = *text == 't';
    }
}

static bool is_file(const char *const *files, const char *name)
{
    for (; *files; files++) {
        const size_t n = strlen(*files);
        if (!strncmp(name, *files, n) && (!name[n] || !strcmp(name + n, "[]")))
            return true;
    }
    return false;
}

/* NULL: a problem, which the reader has. */
static const struct vlm_value *make_member(struct vlm_call *call, const struct vlm_part_field *part,
                                           const struct vlm_field_group *const *groups)
{
    struct vlm_reader *reader = &call->reader;
    struct vlm_value *value = vlm_arena_zero(&call->arena, 1, sizeof(*value));
    char *text = vlm_arena_copy(&call->arena, part->bytes, part->n);
    const size_t was = vlm_reader_member(reader, part->name);
    bool good = false;
    if (!value || !text)
        vlm_reader_fail(reader, "no memory for '%s'", reader->path);
    else if (part->filename)
        vlm_reader_fail(reader, "'%s' must be text, found a file", reader->path);
    else if (vlm_utf8_valid_prefix(text, part->n) < part->n)
        vlm_reader_fail(reader, "'%s' is not UTF-8", reader->path);
    else if (memchr(text, 0, part->n))
        vlm_reader_fail(reader, "'%s' has the character U+0000", reader->path);
    else
        good = true;
    if (!good)
        return NULL;
    vlm_reader_back(reader, was);
    value->key = part->name;
    set_value(value, find_field(groups, part->name), text, part->n);
    return value;
}

/* The object of all parts but the files. */
static bool make_object(struct vlm_call *call, struct vlm_value *object,
                        const struct vlm_multipart *form, const char *const *files,
                        const struct vlm_field_group *const *groups)
{
    struct vlm_value *last = NULL;
    for (size_t i = 0; i < form->n; i++) {
        const struct vlm_part_field *part = &form->parts[i];
        if (is_file(files, part->name))
            continue;
        if (vlm_value_member(object, part->name)) {
            vlm_reader_member(&call->reader, part->name);
            return vlm_reader_fail(&call->reader, "'%s' stands twice in the form",
                                   call->reader.path);
        }
        struct vlm_value *member = (struct vlm_value *)make_member(call, part, groups);
        if (!member)
            return false;
        if (last)
            last->next = member;
        else
            object->first = member;
        last = member;
        object->n++;
    }
    return true;
}

bool vlm_form_read(struct vlm_call *call, struct vlm_multipart *form, const char *const *files,
                   const struct vlm_field_group *const *groups)
{
    const struct vlm_http_request *request = vlm_exchange_request(call->exchange);
    struct vlm_value object = { .kind = VLM_VALUE_OBJECT };
    struct vlm_err err = { 0 };
    if (vlm_multipart_parse(form, &call->arena, request->body, request->body_n, request->boundary,
                            &err) != VLM_OK) {
        vlm_call_fail(call, 400, NULL, "%s", err.msg);
        return false;
    }
    if (!make_object(call, &object, form, files, groups) ||
        !vlm_fields_read(&call->reader, &object, call, groups)) {
        fail_reader(call);
        return false;
    }
    return vlm_call_check(call);
}

struct vlm_call_picture *vlm_form_take_image(struct vlm_call *call, const char *param,
                                             const uint8_t *bytes, size_t n)
{
    size_t index;
    struct vlm_call_picture *picture = NULL;
    if (!call->service->pictures)
        vlm_call_fail(call, 400, param, "this model takes no images");
    else if (!n)
        vlm_call_fail(call, 400, param, "'%s' is a file of 0 bytes", param);
    else if (!(picture = vlm_call_picture_bytes(call, param, bytes, n, &index)))
        vlm_call_fail(call, 503, NULL, "no memory for the request");
    return picture;
}

/* ---- /openapi.json ---- */

void vlm_form_describe_errors(struct vlm_buffer *out, unsigned statuses, int more)
{
    vlm_openapi_errors(out, statuses);
    if (more)
        vlm_buffer_printf(out,
                          ", \"%d\": {\"description\": \"An error\", \"content\": "
                          "{\"application/json\": {\"schema\": {\"$ref\": "
                          "\"#/components/schemas/Error\"}}}}",
                          more);
}

void vlm_form_describe(struct vlm_buffer *out, const void *request,
                       const struct vlm_field_group *const *groups, const char *more_bodies,
                       const char *answer, const char *more_answers)
{
    struct vlm_json json = { .out = out };
    vlm_buffer_text(out, "\"requestBody\": {\"required\": true, \"content\": "
                         "{\"application/json\": {\"schema\": ");
    vlm_fields_schema(&json, request, groups);
    vlm_buffer_printf(out,
                      "}%s}}, \"responses\": {\"200\": {\"description\": \"The answer\", "
                      "\"content\": {\"application/json\": {\"schema\": %s}%s}}",
                      more_bodies, answer, more_answers);
    vlm_form_describe_errors(out, VLM_OPENAPI_404 | VLM_OPENAPI_503, 500);
    vlm_buffer_text(out, "}");
}
