/* field.c - reads a JSON object by a table of fields, and writes the table as a JSON schema.
 *
 * The first problem is kept with the path of the value that has it; callers stop there. */
#include "base/vlm.h"
#include "serve/api/field.h"

#include <math.h>

enum { TEXT_MAX_DEFAULT = 1024 };

/* ---- where it is ---- */

static size_t step(struct vlm_reader *reader, const char *name, size_t i)
{
    const size_t was = reader->path_n, room = sizeof(reader->path) - was;
    const int n = name ? snprintf(reader->path + was, room, "%s%.64s", was ? "." : "", name)
                       : snprintf(reader->path + was, room, "[%zu]", i);
    reader->path_n += n < 0 ? 0 : VLM_MIN((size_t)n, room - 1);
    return was;
}

size_t vlm_reader_member(struct vlm_reader *reader, const char *name)
{
    return step(reader, name, 0);
}

size_t vlm_reader_element(struct vlm_reader *reader, size_t i)
{
    return step(reader, NULL, i);
}

void vlm_reader_back(struct vlm_reader *reader, size_t was)
{
    reader->path_n = was;
    reader->path[was] = 0;
}

/* ---- what is wrong ---- */

bool vlm_reader_fail(struct vlm_reader *reader, const char *format, ...)
{
    if (reader->status)
        return false;
    va_list args;
    va_start(args, format);
    vsnprintf(reader->problem, sizeof(reader->problem), format, args);
    va_end(args);
    reader->status = 400;
    memcpy(reader->param, reader->path, reader->path_n + 1);
    return false;
}

/* A value as sentences show it. */
static const char *shown(char out[48], const struct vlm_value *value)
{
    if (value->kind == VLM_VALUE_NUMBER)
        snprintf(out, 48, "%.*s", (int)VLM_MIN(value->n, 40), value->text);
    else if (value->kind == VLM_VALUE_BOOL)
        snprintf(out, 48, "%s", value->truth ? "true" : "false");
    else
        snprintf(out, 48, "%s", vlm_value_kind_name(value->kind));
    return out;
}

bool vlm_reader_wanted(struct vlm_reader *reader, const char *wanted, const struct vlm_value *found)
{
    char text[48];
    return vlm_reader_fail(reader, "'%s' must be %s, found %s", reader->path, wanted,
                           shown(text, found));
}

bool vlm_reader_unknown(struct vlm_reader *reader)
{
    if (reader->strict)
        return vlm_reader_fail(reader, "there is no field '%s'", reader->path);
    if (reader->n_unknown < VLM_UNKNOWN_MAX) {
        char *copy = vlm_arena_copy(reader->arena, reader->path, reader->path_n);
        if (copy)
            reader->unknown[reader->n_unknown++] = copy;
    }
    return true;
}

/* ---- values ---- */

static int64_t most_of(const struct vlm_field *field)
{
    return field->most >= 0x1p63 ? INT64_MAX : (int64_t)field->most;
}

static bool read_whole(struct vlm_reader *reader, const struct vlm_field *field,
                       const struct vlm_value *value, int64_t *to)
{
    char wanted[96];
    bool whole = false;
    int64_t number = 0;
    snprintf(wanted, sizeof(wanted), "a whole number from %.0f to %" PRId64, field->least,
             most_of(field));
    if (value->kind != VLM_VALUE_NUMBER)
        return vlm_reader_wanted(reader, wanted, value);
    if (!vlm_value_whole(value, &number, &whole) || (double)number < field->least ||
        (double)number > field->most)
        return vlm_reader_wanted(reader, wanted, value);
    *to = number;
    return true;
}

static bool read_real(struct vlm_reader *reader, const struct vlm_field *field,
                      const struct vlm_value *value, double *to)
{
    char wanted[96];
    snprintf(wanted, sizeof(wanted),
             field->above ? "a number above %g, at most %g" : "a number from %g to %g",
             field->least, field->most);
    if (value->kind != VLM_VALUE_NUMBER)
        return vlm_reader_wanted(reader, wanted, value);
    const double number = vlm_value_real(value);
    if (!(number >= field->least && number <= field->most) ||
        (field->above && !(number > field->least)))
        return vlm_reader_wanted(reader, wanted, value);
    *to = number + 0.0; /* no -0 */
    return true;
}

static bool read_text(struct vlm_reader *reader, const struct vlm_field *field,
                      const struct vlm_value *value, const char **to)
{
    const size_t most = field->most > 0 ? (size_t)field->most : TEXT_MAX_DEFAULT;
    if (value->kind != VLM_VALUE_STRING)
        return vlm_reader_wanted(reader, "a string", value);
    if (value->n > most)
        return vlm_reader_fail(reader, "'%s' has %zu bytes, at most %zu are allowed", reader->path,
                               value->n, most);
    if (strlen(value->text) != value->n)
        return vlm_reader_fail(reader, "'%s' has the character U+0000", reader->path);
    *to = value->text;
    return true;
}

static bool read_word(struct vlm_reader *reader, const struct vlm_field *field,
                      const struct vlm_value *value, int *to)
{
    int number = 0;
    for (const char *word = field->words; value->kind == VLM_VALUE_STRING && *word; number++) {
        const size_t n = strcspn(word, "|");
        if (n == value->n && !memcmp(word, value->text, n)) {
            *to = number;
            return true;
        }
        word += n + (word[n] == '|');
    }
    if (value->kind == VLM_VALUE_STRING)
        return vlm_reader_fail(reader, "'%s' must be one of %s, found '%.40s'", reader->path,
                               field->words, value->text);
    char wanted[160];
    snprintf(wanted, sizeof(wanted), "one of %s", field->words);
    return vlm_reader_wanted(reader, wanted, value);
}

static bool read_field(struct vlm_reader *reader, const struct vlm_field *field,
                       const struct vlm_value *value, void *request)
{
    union {
        bool truth;
        int64_t whole;
        double real;
        const char *text;
        int word;
        const struct vlm_value *value;
    } ignored;
    if (value->kind == VLM_VALUE_NULL && field->nullable)
        return true;
    const bool nowhere = field->at == VLM_FIELD_NOWHERE;
    void *to = nowhere ? (void *)&ignored : (char *)request + field->at;
    bool good = true;
    switch (field->kind) {
    case VLM_FIELD_BOOL:
        if (value->kind != VLM_VALUE_BOOL)
            return vlm_reader_wanted(reader, "true or false", value);
        *(bool *)to = value->truth;
        break;
    case VLM_FIELD_WHOLE:
        good = read_whole(reader, field, value, to);
        break;
    case VLM_FIELD_REAL:
        good = read_real(reader, field, value, to);
        break;
    case VLM_FIELD_TEXT:
        good = read_text(reader, field, value, to);
        break;
    case VLM_FIELD_WORD:
        good = read_word(reader, field, value, to);
        break;
    case VLM_FIELD_VALUE:
        *(const struct vlm_value **)to = value;
        break;
    case VLM_FIELD_OWN:
        return field->read(reader, value, request);
    }
    return good && (!nowhere || vlm_reader_unknown(reader));
}

static const struct vlm_field *find(const struct vlm_field_group *const *groups, const char *name)
{
    for (; *groups; groups++)
        for (size_t i = 0; i < (*groups)->n; i++)
            if (!strcmp((*groups)->fields[i].name, name))
                return &(*groups)->fields[i];
    return NULL;
}

static bool all_required(struct vlm_reader *reader, const struct vlm_value *object,
                         const struct vlm_field_group *const *groups)
{
    for (; *groups; groups++)
        for (size_t i = 0; i < (*groups)->n; i++) {
            const struct vlm_field *field = &(*groups)->fields[i];
            if (!field->required || vlm_value_member(object, field->name))
                continue;
            vlm_reader_member(reader, field->name);
            return vlm_reader_fail(reader, "'%s' is missing", reader->path);
        }
    return true;
}

/* A value that holds a picture, as a URL of those that this server reads. */
static bool has_picture(const struct vlm_value *value)
{
    if (value->kind == VLM_VALUE_STRING)
        return !strncmp(value->text, "data:image/", 11) || !strncmp(value->text, "vlm:sha256:", 11);
    if (value->kind != VLM_VALUE_ARRAY && value->kind != VLM_VALUE_OBJECT)
        return false;
    for (const struct vlm_value *each = value->first; each; each = each->next)
        if (has_picture(each))
            return true;
    return false;
}

/* Names that other servers have for pictures beside the prompt, whose values are base64 without "data:". */
static bool is_picture_name(const char *name)
{
    static const char *const names[] = { "image_data", "multimodal_data" };
    for (size_t i = 0; i < VLM_COUNTOF(names); i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

/* A member that no table has. Who sends a picture wants it to be seen: an answer without it would be to another
 * question. */
static bool pass_over(struct vlm_reader *reader, const struct vlm_value *member)
{
    const bool list = member->kind == VLM_VALUE_ARRAY || member->kind == VLM_VALUE_OBJECT;
    if (has_picture(member) || (list && member->first && is_picture_name(member->key)))
        return vlm_reader_fail(reader,
                               "'%s' has a picture, which is no field here: nothing would use it",
                               reader->path);
    /* Clients of OpenAI send back the messages of an answer with all fields that it might have had. */
    if (member->kind == VLM_VALUE_NULL && !reader->strict)
        return true;
    return vlm_reader_unknown(reader);
}

bool vlm_fields_read(struct vlm_reader *reader, const struct vlm_value *object, void *request,
                     const struct vlm_field_group *const *groups)
{
    if (object->kind != VLM_VALUE_OBJECT) {
        if (reader->path_n)
            return vlm_reader_wanted(reader, "an object", object);
        return vlm_reader_fail(reader, "the body must be a JSON object, found %s",
                               vlm_value_kind_name(object->kind));
    }
    const struct vlm_value *strict = reader->path_n ? NULL : vlm_value_member(object, "strict");
    if (strict && strict->kind == VLM_VALUE_BOOL)
        reader->strict = strict->truth;
    for (const struct vlm_value *member = object->first; member; member = member->next) {
        const size_t was = vlm_reader_member(reader, member->key);
        const struct vlm_field *field = find(groups, member->key);
        if (field ? !read_field(reader, field, member, request) : !pass_over(reader, member))
            return false;
        vlm_reader_back(reader, was);
    }
    return all_required(reader, object, groups);
}

/* ---- schema ---- */

static void write_type(struct vlm_json *json, const char *type, bool nullable)
{
    vlm_json_key(json, "type");
    if (!nullable) {
        vlm_json_string(json, type);
        return;
    }
    vlm_json_open(json, '[');
    vlm_json_string(json, type);
    vlm_json_string(json, "null");
    vlm_json_close(json, ']');
}

static void write_words(struct vlm_json *json, const struct vlm_field *field)
{
    vlm_json_key(json, "enum");
    vlm_json_open(json, '[');
    for (const char *word = field->words; *word;) {
        const size_t n = strcspn(word, "|");
        vlm_json_text(json, word, n);
        word += n + (word[n] == '|');
    }
    if (field->nullable)
        vlm_json_null(json);
    vlm_json_close(json, ']');
}

/* The word number `at` of words, or NULL. */
static void write_default_word(struct vlm_json *json, const char *words, int at)
{
    for (; at > 0 && *words; at--) {
        words += strcspn(words, "|");
        words += *words == '|';
    }
    vlm_json_key(json, "default");
    vlm_json_text(json, words, strcspn(words, "|"));
}

static void write_real_member(struct vlm_json *json, const char *key, double value)
{
    char text[VLM_REAL_TEXT_SIZE];
    vlm_json_key(json, key);
    vlm_buffer_text(json->out, vlm_real_text(text, value));
    json->comma = true;
}

/* Members of the schema that depend on the kind. */
static void write_kind(struct vlm_json *json, const struct vlm_field *field, const void *request)
{
    const void *at = !request || field->at == VLM_FIELD_NOWHERE || field->required
                         ? NULL
                         : (const char *)request + field->at;
    switch (field->kind) {
    case VLM_FIELD_BOOL:
        write_type(json, "boolean", field->nullable);
        if (at)
            vlm_json_member_bool(json, "default", *(const bool *)at);
        break;
    case VLM_FIELD_WHOLE:
        write_type(json, "integer", field->nullable);
        vlm_json_key(json, "minimum");
        vlm_json_signed(json, (int64_t)field->least);
        vlm_json_key(json, "maximum");
        vlm_json_signed(json, most_of(field));
        if (at && (double)*(const int64_t *)at >= field->least) {
            vlm_json_key(json, "default");
            vlm_json_signed(json, *(const int64_t *)at);
        }
        break;
    case VLM_FIELD_REAL:
        write_type(json, "number", field->nullable);
        write_real_member(json, field->above ? "exclusiveMinimum" : "minimum", field->least);
        write_real_member(json, "maximum", field->most);
        if (at)
            write_real_member(json, "default", *(const double *)at);
        break;
    case VLM_FIELD_TEXT:
        write_type(json, "string", field->nullable);
        vlm_json_member_number(json, "maxLength",
                               (uint64_t)(field->most > 0 ? field->most : TEXT_MAX_DEFAULT));
        break;
    case VLM_FIELD_WORD:
        write_words(json, field);
        if (at)
            write_default_word(json, field->words, *(const int *)at);
        break;
    case VLM_FIELD_VALUE:
    case VLM_FIELD_OWN: /* its members, without the braces around them */
        if (json->comma)
            vlm_buffer_text(json->out, ", ");
        vlm_buffer_add(json->out, field->schema + 1, strlen(field->schema) - 2);
        json->comma = true;
        break;
    }
}

void vlm_fields_schema(struct vlm_json *json, const void *request,
                       const struct vlm_field_group *const *groups)
{
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "type", "object");
    vlm_json_key(json, "properties");
    vlm_json_open(json, '{');
    for (size_t g = 0; groups[g]; g++)
        for (size_t i = 0; i < groups[g]->n; i++) {
            const struct vlm_field *field = &groups[g]->fields[i];
            vlm_json_key(json, field->name);
            vlm_json_open(json, '{');
            write_kind(json, field, request);
            vlm_json_member_string(json, "description", field->help);
            vlm_json_close(json, '}');
        }
    vlm_json_close(json, '}');
    bool any = false;
    for (size_t g = 0; groups[g]; g++)
        for (size_t i = 0; i < groups[g]->n; i++) {
            if (!groups[g]->fields[i].required)
                continue;
            if (!any) {
                vlm_json_key(json, "required");
                vlm_json_open(json, '[');
            }
            any = true;
            vlm_json_string(json, groups[g]->fields[i].name);
        }
    if (any)
        vlm_json_close(json, ']');
    vlm_json_close(json, '}');
}
