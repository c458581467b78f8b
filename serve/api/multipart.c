/* multipart.c - multipart/form-data, in one pass: delimiter, header, bytes up to the next delimiter. */
#include "base/vlm.h"

#include "serve/api/multipart.h"

#include <strings.h>

struct parse {
    const uint8_t *body, *at, *end;
    char delimiter[4 + VLM_MULTIPART_BOUNDARY_MAX + 1]; /* CR LF "--" boundary */
    size_t delimiter_n;
    struct vlm_arena *arena;
    struct vlm_multipart *form;
};

static int refuse(const struct parse *parse, const char *what, struct vlm_err *err)
{
    return vlm_fail(err, VLM_EFORMAT, "form, byte %zu: %s", (size_t)(parse->at - parse->body),
                    what);
}

static size_t left(const struct parse *parse)
{
    return (size_t)(parse->end - parse->at);
}

static bool starts(const struct parse *parse, const char *text, size_t n)
{
    return left(parse) >= n && memcmp(parse->at, text, n) == 0;
}

/* ---- the header of a part ---- */

static bool is_token(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* A line of the header, without its end; moves behind it. NULL: no line ends here. */
static const char *take_line(struct parse *parse, const uint8_t *limit, size_t *n)
{
    const uint8_t *line = parse->at;
    const uint8_t *end = memmem(line, (size_t)(limit - line), "\r\n", 2);
    if (!end)
        return NULL;
    *n = (size_t)(end - line);
    parse->at = end + 2;
    return (const char *)line;
}

/* A parameter's value: a token, or a string in quotes with \" and \\ undone. NULL: neither, or over max. */
static const char *take_value(struct parse *parse, const char **at, const char *end, size_t max)
{
    const char *p = *at;
    const bool quoted = p < end && *p == '"';
    char *out = vlm_arena_alloc(parse->arena, (size_t)(end - p) + 1, 1);
    size_t n = 0;
    if (!out)
        return NULL;
    p += quoted;
    while (p < end && (quoted ? *p != '"' : is_token((uint8_t)*p))) {
        if (quoted && *p == '\\' && end - p > 1 && (p[1] == '"' || p[1] == '\\'))
            p++;
        if ((uint8_t)*p < ' ' || *p == 127 || n == max)
            return NULL;
        out[n++] = *p++;
    }
    if (quoted && (p == end || *p++ != '"'))
        return NULL;
    if (!quoted && n == 0)
        return NULL;
    out[n] = 0;
    *at = p;
    return out;
}

/* form-data; name="..."; filename="..." */
static const char *read_disposition(struct parse *parse, struct vlm_part_field *part,
                                    const char *value, size_t n)
{
    const char *at = value, *end = value + n;
    if (part->name)
        return "a part with two Content-Disposition lines";
    if (n < 9 || strncasecmp(at, "form-data", 9) != 0)
        return "the disposition of a part is not form-data";
    for (at += 9; at < end;) {
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        if (at == end)
            break;
        if (*at++ != ';')
            return "expected ';' in Content-Disposition";
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        const char *name = at;
        while (at < end && is_token((uint8_t)*at))
            at++;
        const size_t name_n = (size_t)(at - name);
        if (!name_n || at == end || *at++ != '=')
            return "a parameter of Content-Disposition without a value";
        const bool is_name = name_n == 4 && !strncasecmp(name, "name", 4);
        const bool is_file = name_n == 8 && !strncasecmp(name, "filename", 8);
        const char *text = take_value(
            parse, &at, end, is_name ? VLM_MULTIPART_NAME_MAX : (size_t)VLM_MULTIPART_FILE_MAX);
        if (!text)
            return "a value in Content-Disposition that is malformed or too long";
        if ((is_name && part->name) || (is_file && part->filename))
            return "a parameter of Content-Disposition stands twice";
        part->name = is_name ? text : part->name;
        part->filename = is_file ? text : part->filename;
    }
    return part->name && part->name[0] ? NULL : "a part without a name";
}

/* "image/png; x=y" becomes "image/png". */
static const char *read_type(struct parse *parse, struct vlm_part_field *part, const char *value,
                             size_t n)
{
    size_t used = 0;
    while (used < n && (is_token((uint8_t)value[used]) || value[used] == '/'))
        used++;
    char *type = vlm_arena_copy(parse->arena, value, used);
    if (!type)
        return "no memory for a part";
    for (size_t i = 0; i < used; i++)
        type[i] = (char)(type[i] >= 'A' && type[i] <= 'Z' ? type[i] | 32 : type[i]);
    if (part->content_type[0])
        return "a part with two Content-Type lines";
    part->content_type = type;
    return used ? NULL : "a part with an empty Content-Type";
}

/* NULL, or what is wrong. */
static const char *read_field(struct parse *parse, struct vlm_part_field *part, const char *line,
                              size_t n)
{
    size_t name = 0;
    while (name < n && is_token((uint8_t)line[name]))
        name++;
    if (!name || name == n || line[name] != ':')
        return "a line of the header of a part that is no field";
    for (size_t i = name; i < n; i++)
        if (((uint8_t)line[i] < ' ' && line[i] != '\t') || line[i] == 127)
            return "a control character in the header of a part";
    const char *value = line + name + 1;
    size_t size = n - name - 1;
    for (; size && (*value == ' ' || *value == '\t'); size--)
        value++;
    while (size && (value[size - 1] == ' ' || value[size - 1] == '\t'))
        size--;
    if (name == 19 && !strncasecmp(line, "Content-Disposition", name))
        return read_disposition(parse, part, value, size);
    if (name == 12 && !strncasecmp(line, "Content-Type", name))
        return read_type(parse, part, value, size);
    if (name == 25 && !strncasecmp(line, "Content-Transfer-Encoding", name) &&
        !(size == 6 && !strncasecmp(value, "binary", 6)) &&
        !(size == 4 && (!strncasecmp(value, "8bit", 4) || !strncasecmp(value, "7bit", 4))))
        return "an encoded part";
    return NULL;
}

static int read_head(struct parse *parse, struct vlm_part_field *part, struct vlm_err *err)
{
    const uint8_t *start = parse->at;
    const uint8_t *limit = start + VLM_MIN(left(parse), (size_t)VLM_MULTIPART_HEAD_MAX);
    for (;;) {
        const uint8_t *line_at = parse->at;
        size_t n = 0;
        const char *line = take_line(parse, limit, &n);
        if (!line && limit < parse->end)
            return vlm_fail(err, VLM_ELIMIT,
                            "form, byte %zu: the header of a part is longer than %d bytes",
                            (size_t)(start - parse->body), VLM_MULTIPART_HEAD_MAX);
        if (!line)
            return refuse(parse, "the form ends in the header of a part", err);
        if (n == 0)
            break;
        const char *problem = read_field(parse, part, line, n);
        if (problem) {
            parse->at = line_at;
            return refuse(parse, problem, err);
        }
    }
    return part->name ? VLM_OK : refuse(parse, "a part without Content-Disposition", err);
}

/* ---- the parts ---- */

/* At a delimiter: moves behind it. VLM_EOF: it was the last. */
static int pass_delimiter(struct parse *parse, bool first, struct vlm_err *err)
{
    const size_t skip = first ? 2 : 0; /* the first needs no line before it */
    if (!starts(parse, parse->delimiter + skip, parse->delimiter_n - skip))
        return refuse(parse, "expected the boundary", err);
    parse->at += parse->delimiter_n - skip;
    if (starts(parse, "\r\n", 2)) {
        parse->at += 2;
        return VLM_OK;
    }
    if (!starts(parse, "--", 2))
        return refuse(parse, "expected a line end or '--' behind the boundary", err);
    parse->at += 2;
    if (starts(parse, "\r\n", 2))
        parse->at += 2;
    return parse->at == parse->end ? VLM_EOF : refuse(parse, "bytes behind the last boundary", err);
}

static int read_part(struct parse *parse, struct vlm_err *err)
{
    struct vlm_part_field *part = &parse->form->parts[parse->form->n];
    if (parse->form->n == VLM_MULTIPART_PARTS_MAX)
        return vlm_fail(err, VLM_ELIMIT, "form of more than %d parts", VLM_MULTIPART_PARTS_MAX);
    *part = (struct vlm_part_field){ .content_type = "" };
    int rc = read_head(parse, part, err);
    if (rc != VLM_OK)
        return rc;
    const uint8_t *next = memmem(parse->at, left(parse), parse->delimiter, parse->delimiter_n);
    if (!next) {
        parse->at = parse->end;
        return refuse(parse, "the form ends in a part", err);
    }
    part->bytes = parse->at;
    part->n = (size_t)(next - parse->at);
    parse->at = next;
    parse->form->n++;
    return VLM_OK;
}

int vlm_multipart_parse(struct vlm_multipart *form, struct vlm_arena *arena, const uint8_t *body,
                        size_t n, const char *boundary, struct vlm_err *err)
{
    struct parse parse = {
        .body = body, .at = body, .end = body + n, .arena = arena, .form = form
    };
    const size_t boundary_n = strlen(boundary);
    form->n = 0;
    if (!boundary_n || boundary_n > VLM_MULTIPART_BOUNDARY_MAX)
        return vlm_fail(err, VLM_EFORMAT, "form without a boundary of 1 to %d characters",
                        VLM_MULTIPART_BOUNDARY_MAX);
    memcpy(parse.delimiter, "\r\n--", 4);
    memcpy(parse.delimiter + 4, boundary, boundary_n);
    parse.delimiter_n = 4 + boundary_n;
    int rc = pass_delimiter(&parse, true, err);
    while (rc == VLM_OK) {
        rc = read_part(&parse, err);
        if (rc == VLM_OK)
            rc = pass_delimiter(&parse, false, err);
    }
    return rc == VLM_EOF ? VLM_OK : rc;
}

const struct vlm_part_field *vlm_multipart_find(const struct vlm_multipart *form, const char *name,
                                                size_t i)
{
    const size_t n = strlen(name);
    for (size_t k = 0; k < form->n; k++) {
        const char *it = form->parts[k].name;
        if (!strncmp(it, name, n) && (!it[n] || !strcmp(it + n, "[]")) && i-- == 0)
            return &form->parts[k];
    }
    return NULL;
}
