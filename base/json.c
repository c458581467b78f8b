/* json.c - a streaming JSON writer over vlm_buffer, and json-c for reading.
 *
 * The writer emits ", " and ": " as Python's json.dumps does, so that people can compare lines. */
#include "base/vlm.h"
#include "base/json.h"

#include "base/utf8.h"

enum { DEPTH_MAX = 64 };

static void separate(struct vlm_json *json)
{
    if (json->comma)
        vlm_buffer_add(json->out, ", ", 2);
    json->comma = true;
}

void vlm_json_open(struct vlm_json *json, char bracket)
{
    separate(json);
    vlm_buffer_byte(json->out, (uint8_t)bracket);
    json->comma = false;
}

void vlm_json_close(struct vlm_json *json, char bracket)
{
    vlm_buffer_byte(json->out, (uint8_t)bracket);
    json->comma = true;
}

void vlm_json_key(struct vlm_json *json, const char *key)
{
    vlm_json_string(json, key);
    vlm_buffer_add(json->out, ": ", 2);
    json->comma = false;
}

static void write_escape(struct vlm_buffer *out, uint8_t c)
{
    static const char letter[] = "btn\0fr"; /* U+0008 to U+000D */
    if (c == '"' || c == '\\')
        vlm_buffer_printf(out, "\\%c", c);
    else if (c >= 8 && c <= 13 && letter[c - 8])
        vlm_buffer_printf(out, "\\%c", letter[c - 8]);
    else
        vlm_buffer_printf(out, "\\u%04x", c);
}

void vlm_json_text(struct vlm_json *json, const char *text, size_t n)
{
    struct vlm_buffer *out = json->out;
    separate(json);
    vlm_buffer_byte(out, '"');
    for (size_t i = 0, plain = 0; i <= n;) {
        uint8_t c = i < n ? (uint8_t)text[i] : 0;
        size_t bytes = i == n ? 0 : c < 0x80 ? 1 : vlm_utf8_valid_at(text + i, n - i);
        if (bytes && c != '"' && c != '\\' && c >= 0x20) {
            i += bytes;
            continue;
        }
        vlm_buffer_add(out, text + plain, i - plain);
        if (i == n)
            break;
        if (!bytes)
            vlm_buffer_text(out, VLM_UTF8_REPLACEMENT);
        else
            write_escape(out, c);
        plain = ++i;
    }
    vlm_buffer_byte(out, '"');
}

void vlm_json_string(struct vlm_json *json, const char *text)
{
    if (text)
        vlm_json_text(json, text, strlen(text));
    else
        vlm_json_null(json);
}

void vlm_json_number(struct vlm_json *json, uint64_t value)
{
    separate(json);
    vlm_buffer_decimal(json->out, value);
}

void vlm_json_signed(struct vlm_json *json, int64_t value)
{
    separate(json);
    vlm_buffer_printf(json->out, "%" PRId64, value);
}

void vlm_json_real(struct vlm_json *json, double value)
{
    separate(json);
    if (value != value || value - value != 0)
        vlm_buffer_text(json->out, "null");
    else
        vlm_buffer_printf(json->out, "%.6g", value);
}

void vlm_json_bool(struct vlm_json *json, bool value)
{
    separate(json);
    vlm_buffer_text(json->out, value ? "true" : "false");
}

void vlm_json_null(struct vlm_json *json)
{
    separate(json);
    vlm_buffer_text(json->out, "null");
}

void vlm_json_hex(struct vlm_json *json, const uint8_t *bytes, size_t n)
{
    separate(json);
    vlm_buffer_byte(json->out, '"');
    for (size_t i = 0; i < n; i++)
        vlm_buffer_printf(json->out, "%02x", bytes[i]);
    vlm_buffer_byte(json->out, '"');
}

void vlm_json_member_string(struct vlm_json *json, const char *key, const char *text)
{
    vlm_json_key(json, key);
    vlm_json_string(json, text);
}

void vlm_json_member_number(struct vlm_json *json, const char *key, uint64_t value)
{
    vlm_json_key(json, key);
    vlm_json_number(json, value);
}

void vlm_json_member_real(struct vlm_json *json, const char *key, double value)
{
    vlm_json_key(json, key);
    vlm_json_real(json, value);
}

void vlm_json_member_bool(struct vlm_json *json, const char *key, bool value)
{
    vlm_json_key(json, key);
    vlm_json_bool(json, value);
}

void vlm_json_member_null(struct vlm_json *json, const char *key)
{
    vlm_json_key(json, key);
    vlm_json_null(json);
}

static void write_members(struct vlm_json *json, json_object *object)
{
    vlm_json_open(json, '{');
    json_object_object_foreach(object, key, member)
    {
        vlm_json_key(json, key);
        vlm_json_value(json, member);
    }
    vlm_json_close(json, '}');
}

void vlm_json_value(struct vlm_json *json, json_object *value)
{
    switch (json_object_get_type(value)) {
    case json_type_object:
        write_members(json, value);
        break;
    case json_type_array:
        vlm_json_open(json, '[');
        for (size_t i = 0; i < json_object_array_length(value); i++)
            vlm_json_value(json, json_object_array_get_idx(value, i));
        vlm_json_close(json, ']');
        break;
    case json_type_string:
        vlm_json_text(json, json_object_get_string(value),
                      (size_t)json_object_get_string_len(value));
        break;
    default: /* null, booleans and numbers are their own text */
        separate(json);
        vlm_buffer_text(json->out, json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
        break;
    }
}

int vlm_json_parse(json_object **out, const char *text, size_t n, struct vlm_err *err)
{
    *out = NULL;
    if (n > INT_MAX)
        return vlm_fail(err, VLM_ELIMIT, "JSON of %zu bytes is over the limit", n);
    json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    if (!tokener)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a JSON parser");
    int rc = VLM_OK;
    *out = json_tokener_parse_ex(tokener, text, (int)n);
    enum json_tokener_error problem = json_tokener_get_error(tokener);
    if (problem == json_tokener_continue && !*out)
        rc = vlm_fail(err, VLM_EFORMAT, "JSON ends after %zu bytes, before it is complete", n);
    else if (problem != json_tokener_success)
        rc = vlm_fail(err, VLM_EFORMAT, "byte %zu of the JSON: %s",
                      json_tokener_get_parse_end(tokener), json_tokener_error_desc(problem));
    json_tokener_free(tokener);
    return rc;
}
