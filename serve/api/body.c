/* body.c - a tree over vlm_json_scan: strings stay where they are in the text, values are in the arena. */
#include "base/vlm.h"
#include "serve/api/body.h"

#include "base/json_scan.h"

struct parser {
    struct vlm_json_scan in;
    struct vlm_arena *arena;
    size_t values;
    const char *keys[VLM_BODY_MEMBERS_MAX]; /* of the object that has just been read */
    char twice[192];                        /* the path of a key that is there twice, or "" */
    int rc;
    struct vlm_err *err;
};

static struct vlm_value *fail(struct parser *parser, const char *what, unsigned limit)
{
    if (parser->rc == VLM_OK)
        parser->rc = vlm_fail(parser->err, VLM_ELIMIT, "the body has more than %u %s", limit, what);
    return NULL;
}

static struct vlm_value *read_value(struct parser *parser, unsigned depth);

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, so that objects of many members take no time that others would notice: all is read on one thread. */
static bool check_keys(struct parser *parser, const struct vlm_value *object)
{
    size_t n = 0;
    for (const struct vlm_value *member = object->first; member; member = member->next)
        parser->keys[n++] = member->key;
    qsort(parser->keys, n, sizeof(parser->keys[0]), compare_keys);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(parser->keys[i - 1], parser->keys[i])) {
            parser->rc =
                vlm_fail(parser->err, VLM_EFORMAT, "'%.64s' is there twice", parser->keys[i]);
            snprintf(parser->twice, sizeof(parser->twice), "%.64s", parser->keys[i]);
            return false;
        }
    return true;
}

/* Puts the member, or with key NULL the element i, in front of the path, which is made from its end. */
static void go_up(struct parser *parser, const char *key, size_t i)
{
    char below[sizeof(parser->twice)];
    if (!parser->twice[0])
        return;
    snprintf(below, sizeof(below), "%s", parser->twice);
    const char *dot = below[0] == '[' ? "" : ".";
    if (key)
        snprintf(parser->twice, sizeof(parser->twice), "%.64s%s%.120s", key, dot, below);
    else
        snprintf(parser->twice, sizeof(parser->twice), "[%zu]%s%.120s", i, dot, below);
}

/* Members of an object or elements of an array. */
static bool read_children(struct parser *parser, struct vlm_value *parent, unsigned depth)
{
    const bool object = parent->kind == VLM_VALUE_OBJECT;
    const struct vlm_value **link = &parent->first;
    vlm_json_scan_open(&parser->in, object ? '{' : '[');
    while (vlm_json_scan_more(&parser->in, object ? '}' : ']')) {
        const char *key = object ? vlm_json_scan_key(&parser->in) : NULL;
        if (parser->in.problem)
            return true;
        if (object && parent->n == VLM_BODY_MEMBERS_MAX)
            return fail(parser, "members in one object", VLM_BODY_MEMBERS_MAX);
        struct vlm_value *child = read_value(parser, depth + 1);
        if (!child) {
            go_up(parser, key, parent->n);
            return false;
        }
        child->key = key;
        *link = child;
        link = &child->next;
        parent->n++;
    }
    return !object || parser->in.problem || check_keys(parser, parent);
}

/* One value with all that is in it, inside of `depth` arrays and objects. */
static struct vlm_value *read_value(struct parser *parser, unsigned depth)
{
    struct vlm_json_scan *in = &parser->in;
    if (parser->values++ == VLM_BODY_VALUES_MAX)
        return fail(parser, "values", VLM_BODY_VALUES_MAX);
    struct vlm_value *value = vlm_arena_zero(parser->arena, 1, sizeof(*value));
    if (!value) {
        parser->rc = vlm_fail(parser->err, VLM_ELIMIT, "no memory for the values of the body");
        return NULL;
    }
    const char c = vlm_json_scan_peek(in);
    if (c == '{' || c == '[') {
        if (depth == VLM_BODY_DEPTH_MAX)
            return fail(parser, "levels of arrays and objects", VLM_BODY_DEPTH_MAX);
        value->kind = c == '{' ? VLM_VALUE_OBJECT : VLM_VALUE_ARRAY;
        return read_children(parser, value, depth) ? value : NULL;
    }
    if (c == '"') {
        value->kind = VLM_VALUE_STRING;
        value->text = vlm_json_scan_text(in, &value->n);
    } else if (c == 't' || c == 'f') {
        value->kind = VLM_VALUE_BOOL;
        value->truth = vlm_json_scan_bool(in);
    } else if (vlm_json_scan_null(in)) {
        value->kind = VLM_VALUE_NULL;
    } else {
        value->kind = VLM_VALUE_NUMBER;
        value->text = vlm_json_scan_digits(in, &value->n);
    }
    return value;
}

int vlm_body_parse(const struct vlm_value **out, struct vlm_arena *arena, char *text, size_t n,
                   const char **param, struct vlm_err *err)
{
    struct parser parser;
    parser.arena = arena, parser.values = 0, parser.rc = VLM_OK, parser.err = err;
    parser.twice[0] = 0;
    vlm_json_scan_init(&parser.in, text, n);
    struct vlm_value *value = read_value(&parser, 0);
    *out = value;
    *param = parser.twice[0] ? vlm_arena_copy(arena, parser.twice, strlen(parser.twice)) : NULL;
    if (parser.rc != VLM_OK)
        return parser.rc;
    vlm_json_scan_end(&parser.in);
    if (parser.in.problem)
        return vlm_fail(err, VLM_EFORMAT, "the body is not JSON: byte %zu: %s", parser.in.offset,
                        parser.in.problem);
    return VLM_OK;
}

const struct vlm_value *vlm_value_member(const struct vlm_value *object, const char *key)
{
    if (!object || object->kind != VLM_VALUE_OBJECT)
        return NULL;
    for (const struct vlm_value *member = object->first; member; member = member->next)
        if (!strcmp(member->key, key))
            return member;
    return NULL;
}

const char *vlm_value_kind_name(enum vlm_value_kind kind)
{
    static const char *const names[] = { "null",     "true or false", "a number",
                                         "a string", "an array",      "an object" };
    return names[kind];
}

bool vlm_value_whole(const struct vlm_value *number, int64_t *out, bool *whole)
{
    const char *at = number->text, *end = at + number->n;
    const bool negative = number->n && *at == '-';
    uint64_t value = 0;
    const uint64_t most = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    bool fits = true;
    *whole = true;
    for (at += negative; at < end; at++) {
        if (*at < '0' || *at > '9') {
            *whole = false;
            return false;
        }
        const uint64_t digit = (uint64_t)(*at - '0');
        fits = fits && value <= (most - digit) / 10;
        value = fits ? 10 * value + digit : value;
    }
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return fits;
}

double vlm_value_real(const struct vlm_value *number)
{
    return strtod(number->text, NULL);
}
