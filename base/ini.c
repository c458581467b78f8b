/* ini.c - INI text, line by line, and values in it.
 *
 * Our own and not inih's reading: there a line ends after 199 bytes (fixed when that library is built),
 * what stands behind is taken for a line of its own without a word, and a value cannot hold spaces at
 * its ends or a " ;". Prompts of recipes are long and do. */
#include "base/vlm.h"

#include "base/ini.h"
#include "base/utf8.h"

enum { SHOWN_MAX = 60 }; /* bytes of a line in a sentence */

/* Behind a \ in quotes, and what each stands for. */
static const char letters[] = "\"\\nrt", meanings[] = "\"\\\n\r\t";

struct reader {
    char section[VLM_INI_NAME_MAX + 1], key[VLM_INI_NAME_MAX + 1];
    struct vlm_buffer value;
    vlm_ini_take *take;
    void *context;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* Moves both ends of a text inwards over blanks. */
static void trim(const char **text, const char **end)
{
    while (*text < *end && is_blank(**text))
        (*text)++;
    while (*text < *end && is_blank((*end)[-1]))
        (*end)--;
}

static bool is_comment(const char *text, const char *end)
{
    return text < end && (*text == ';' || *text == '#');
}

/* The first " ;" begins a comment. */
static const char *before_comment(const char *text, const char *end)
{
    for (const char *p = text; p < end; p++)
        if (*p == ';' && (p == text || is_blank(p[-1])))
            return p;
    return end;
}

static int take_name(char name[VLM_INI_NAME_MAX + 1], const char *what, const char *text,
                     const char *end, struct vlm_err *err)
{
    trim(&text, &end);
    const size_t n = (size_t)(end - text);
    if (!n)
        return vlm_fail(err, VLM_EUSAGE, "%s without a name", what);
    if (n > VLM_INI_NAME_MAX)
        return vlm_fail(err, VLM_EUSAGE, "the name of a %s has %zu bytes, at most %d are read",
                        what, n, VLM_INI_NAME_MAX);
    memcpy(name, text, n);
    name[n] = 0;
    return VLM_OK;
}

/* text is behind the opening quote. */
static int take_quoted(struct vlm_buffer *value, const char *text, const char *end,
                       struct vlm_err *err)
{
    for (; text < end && *text != '"'; text++) {
        if (*text != '\\') {
            vlm_buffer_byte(value, (uint8_t)*text);
            continue;
        }
        const char *letter = ++text < end && *text ? strchr(letters, *text) : NULL;
        if (!letter)
            return vlm_fail(err, VLM_EUSAGE, "a \\ in quotes is followed by none of \" \\ n r t");
        vlm_buffer_byte(value, (uint8_t)meanings[letter - letters]);
    }
    if (text == end)
        return vlm_fail(err, VLM_EUSAGE, "a value that begins with \" has no closing \"");
    text++;
    trim(&text, &end);
    if (text < end && !is_comment(text, end))
        return vlm_fail(err, VLM_EUSAGE, "something stands behind the closing \" of a value");
    return VLM_OK;
}

static int take_value(struct vlm_buffer *value, const char *text, const char *end,
                      struct vlm_err *err)
{
    vlm_buffer_reset(value);
    trim(&text, &end);
    if (text < end && *text == '"') {
        int rc = take_quoted(value, text + 1, end, err);
        if (rc)
            return rc;
    } else {
        end = before_comment(text, end);
        trim(&text, &end);
        vlm_buffer_add(value, text, (size_t)(end - text));
    }
    vlm_buffer_byte(value, 0);
    return value->failed ? vlm_fail(err, VLM_ENOMEM, "no memory for a value") : VLM_OK;
}

static int read_line(struct reader *reader, const char *text, const char *end, size_t number,
                     struct vlm_err *err)
{
    trim(&text, &end);
    if (text == end || is_comment(text, end))
        return VLM_OK;
    struct vlm_ini_entry entry = { .section = reader->section, .line = number };
    const char *equals = memchr(text, '=', (size_t)(end - text));
    int rc;
    if (*text == '[') {
        const char *close = memchr(text, ']', (size_t)(end - text));
        if (!close)
            return vlm_fail(err, VLM_EUSAGE, "a [section] without its ]");
        const char *rest = close + 1;
        trim(&rest, &end);
        if (rest < end && !is_comment(rest, end))
            return vlm_fail(err, VLM_EUSAGE, "something stands behind the ] of a section");
        rc = take_name(reader->section, "section", text + 1, close, err);
    } else if (equals) {
        rc = take_name(reader->key, "key", text, equals, err);
        if (!rc)
            rc = take_value(&reader->value, equals + 1, end, err);
        entry.key = reader->key;
        entry.value = (const char *)reader->value.data;
    } else {
        const size_t n = vlm_utf8_valid_prefix(text, VLM_MIN((size_t)(end - text), SHOWN_MAX));
        rc = vlm_fail(err, VLM_EUSAGE, "'%.*s' is neither [section] nor key = value", (int)n, text);
    }
    return rc ? rc : reader->take(reader->context, &entry, err);
}

/* Text is UTF-8 without control characters but those of lines and blanks. */
static int check_text(const char *file, const char *text, size_t size, struct vlm_err *err)
{
    if (size >= 2 && (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2)))
        return vlm_fail(err, VLM_EUSAGE, "%s is text in UTF-16, not in UTF-8", file);
    const size_t valid = vlm_utf8_valid_prefix(text, size);
    size_t line = 1;
    for (size_t i = 0; i < valid; i++) {
        const unsigned char c = (unsigned char)text[i];
        line += c == '\n';
        if ((c < ' ' && c != '\n' && !is_blank(text[i])) || c == 0x7f)
            return vlm_fail(err, VLM_EUSAGE,
                            "%s, line %zu: a byte 0x%02x, which text does not have", file, line, c);
    }
    if (valid < size)
        return vlm_fail(err, VLM_EUSAGE, "%s, line %zu: the text is not UTF-8", file, line);
    return VLM_OK;
}

int vlm_ini_read(const char *file, const char *text, size_t size, vlm_ini_take *take, void *context,
                 struct vlm_err *err)
{
    struct reader reader = { .take = take, .context = context };
    if (!size)
        return VLM_OK;
    const char *end = text + size;
    int rc = check_text(file, text, size, err);
    if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        text += 3;
    for (size_t number = 1; !rc && text < end; number++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        rc = read_line(&reader, text, stop, number, err);
        if (rc)
            rc = vlm_wrap(err, "%s, line %zu", file, number);
        text = newline ? newline + 1 : end;
    }
    vlm_buffer_release(&reader.value);
    return rc;
}

/* ---- writing ---- */

/* What would be read as something else without quotes. */
static bool needs_quotes(const char *value)
{
    const size_t n = strlen(value);
    if (!n || is_blank(value[0]) || is_blank(value[n - 1]) || value[0] == '"')
        return true;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)value[i] < ' ' || (value[i] == ';' && (!i || is_blank(value[i - 1]))))
            return true;
    return false;
}

void vlm_ini_value(struct vlm_buffer *out, const char *value)
{
    if (!needs_quotes(value)) {
        vlm_buffer_text(out, value);
        return;
    }
    vlm_buffer_byte(out, '"');
    for (; *value; value++) {
        const char *escaped = strchr(meanings, *value);
        if (escaped)
            vlm_buffer_byte(out, '\\');
        vlm_buffer_byte(out, (uint8_t)(escaped ? letters[escaped - meanings] : *value));
    }
    vlm_buffer_byte(out, '"');
}
