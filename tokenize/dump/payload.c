/* payload.c - what a body is: page, picture, text, by its first bytes and by what is said of it.
 *
 * Pictures are known by magic, since servers mislabel them; pages by the most trustworthy label
 * there is, and by their first tag when there is none. */
#include "base/vlm.h"

#include "tokenize/dump/http.h"

#include <ctype.h>
#include <strings.h>

enum { SNIFF_MAX = 512 };

static bool magic_at(const uint8_t *bytes, size_t n, size_t at, const char *magic, size_t size)
{
    return n >= at + size && !memcmp(bytes + at, magic, size);
}

#define MAGIC(at, magic) magic_at(bytes, n, at, magic, sizeof(magic) - 1)

static bool is_image(const uint8_t *bytes, size_t n)
{
    if (MAGIC(0, "\xff\xd8\xff") || MAGIC(0, "\x89PNG\r\n\x1a\n") || MAGIC(0, "GIF87a") ||
        MAGIC(0, "GIF89a") || MAGIC(0, "II*\0") || MAGIC(0, "MM\0*") || MAGIC(0, "\xff\x0a") ||
        MAGIC(0, "\0\0\0\x0cJXL \r\n\x87\n") || (MAGIC(0, "RIFF") && MAGIC(8, "WEBP")))
        return true;
    if (MAGIC(0, "\0\0\1\0") && n > 5 && (bytes[4] || bytes[5]))
        return true; /* ICO */
    if (MAGIC(0, "BM") && MAGIC(6, "\0\0\0\0"))
        return true;
    static const char brands[][5] = { "avif", "avis", "heic", "heix", "hevc", "mif1", "msf1" };
    for (size_t i = 0; MAGIC(4, "ftyp") && i < VLM_COUNTOF(brands); i++)
        if (magic_at(bytes, n, 8, brands[i], 4))
            return true;
    return false;
}

/* A file of another kind whatever it is called: nobody's page begins like this. (gzip is not here: a
 * body that did not decode is a damaged page.) */
static bool is_other_file(const uint8_t *bytes, size_t n)
{
    return MAGIC(0, "%PDF-") || MAGIC(0, "PK\3\4") || (MAGIC(0, "\0\0\0") && MAGIC(4, "ftyp")) ||
           MAGIC(0, "OggS\0") || MAGIC(0, "ID3\3") || MAGIC(0, "\x1a\x45\xdf\xa3") ||
           MAGIC(0, "Rar!\x1a\7") || MAGIC(0, "7z\xbc\xaf\x27\x1c") || MAGIC(0, "wOFF\0\1") ||
           MAGIC(0, "wOF2\0\1") || MAGIC(0, "\0asm\1");
}

/* Type and subtype without parameters, in lower case; empty when absent. */
static void media_type(char *out, size_t capacity, const char *value)
{
    size_t n = 0;
    while (value && isspace((unsigned char)*value))
        value++;
    for (; value && *value && *value != ';' && *value != ',' && !isspace((unsigned char)*value);
         value++)
        if (n + 1 < capacity)
            out[n++] = (char)tolower((unsigned char)*value);
    out[n] = '\0';
}

static bool is_html_type(const char *type)
{
    return !strcmp(type, "text/html") || !strcmp(type, "application/xhtml+xml");
}

/* Types that say nothing: the bytes decide. */
static bool is_vague(const char *type)
{
    return !*type || !strchr(type, '/') || !strcmp(type, "application/octet-stream") ||
           !strcmp(type, "application/unknown") || !strcmp(type, "unknown/unknown") ||
           !strcmp(type, "binary/octet-stream") || !strcmp(type, "*/*") ||
           !strcmp(type, "application/x-unknown");
}

/* A tag that only pages begin with, within the first bytes, behind space, comments and an XML
 * declaration. */
static bool begins_like_html(const uint8_t *bytes, size_t n)
{
    static const char *const tags[] = {
        "!doctype html", "html", "head", "body", "title", "script", "meta", "style", "div",
        "table",         "h1",   "p",    "a ",   "font",  "br",     "b>",   "iframe"
    };
    n = VLM_MIN(n, (size_t)SNIFF_MAX);
    for (size_t at = 0; at < n; at++) {
        const uint8_t *tag = memchr(bytes + at, '<', n - at);
        if (!tag)
            return false;
        at = (size_t)(tag - bytes) + 1;
        for (size_t i = 0; i < VLM_COUNTOF(tags); i++) {
            size_t size = strlen(tags[i]);
            if (n - at >= size && !strncasecmp((const char *)bytes + at, tags[i], size) &&
                (n - at == size || !isalnum(bytes[at + size]) || tags[i][size - 1] == ' '))
                return true;
        }
        if (at >= n || (bytes[at] != '!' && bytes[at] != '?'))
            return false; /* another language's first tag */
    }
    return false;
}

/* Only space in front of the first tag (and a byte order mark)? */
static bool text_before_tag(const uint8_t *bytes, size_t n)
{
    size_t at = n >= 3 && !memcmp(bytes, "\xef\xbb\xbf", 3) ? 3 : 0;
    while (at < n && isspace(bytes[at]))
        at++;
    return at == n || bytes[at] != '<';
}

static bool has_extension(const char *uri)
{
    static const char *const extensions[] = { ".html", ".htm", ".xhtml" };
    size_t n = uri ? strlen(uri) : 0;
    for (size_t i = 0; i < VLM_COUNTOF(extensions); i++) {
        size_t size = strlen(extensions[i]);
        if (n > size && !strcasecmp(uri + n - size, extensions[i]))
            return true;
    }
    return false;
}

/* No control characters but white space at the beginning. */
static bool looks_like_text(const uint8_t *bytes, size_t n)
{
    n = VLM_MIN(n, (size_t)SNIFF_MAX);
    for (size_t i = 0; i < n; i++)
        if (bytes[i] < 9 || (bytes[i] > 13 && bytes[i] < 27) || bytes[i] == 127)
            return false;
    return n > 0;
}

/* A drawing as XML: "<svg" within the first bytes. */
static bool is_svg(const uint8_t *bytes, size_t n)
{
    return memmem(bytes, VLM_MIN(n, (size_t)SNIFF_MAX), "<svg", 4) != NULL;
}

/* UTF-16 is full of control characters, so its mark must speak for it. */
static bool has_utf16_mark(const uint8_t *bytes, size_t n)
{
    return n >= 2 && (!memcmp(bytes, "\xff\xfe", 2) || !memcmp(bytes, "\xfe\xff", 2));
}

static enum vlm_payload without_type(const struct vlm_record *record, const uint8_t *bytes,
                                     size_t n)
{
    if (!text_before_tag(bytes, n) && begins_like_html(bytes, n))
        return VLM_PAYLOAD_HTML;
    if (!text_before_tag(bytes, n) && is_svg(bytes, n))
        return VLM_PAYLOAD_IMAGE;
    if (record->type == VLM_RECORD_RESOURCE && has_extension(record->uri) &&
        (!n || has_utf16_mark(bytes, n)))
        return VLM_PAYLOAD_HTML;
    if (!looks_like_text(bytes, n))
        return VLM_PAYLOAD_OTHER;
    if (record->type == VLM_RECORD_RESOURCE)
        return has_extension(record->uri) ? VLM_PAYLOAD_HTML : VLM_PAYLOAD_TEXT;
    return VLM_PAYLOAD_OTHER;
}

enum vlm_payload vlm_payload_kind(const struct vlm_record *record, const struct vlm_http *http)
{
    char identified[64], declared[64];
    const uint8_t *bytes = http->body;
    size_t n = http->body_length;
    media_type(declared, sizeof(declared), http->content_type);
    if (record->type == VLM_RECORD_CONVERSION && is_html_type(declared))
        return VLM_PAYLOAD_HTML;
    if (record->type == VLM_RECORD_CONVERSION)
        return is_vague(declared) || !strcmp(declared, "text/plain") ? VLM_PAYLOAD_TEXT
                                                                     : VLM_PAYLOAD_OTHER;
    if (record->type != VLM_RECORD_RESPONSE && record->type != VLM_RECORD_RESOURCE)
        return VLM_PAYLOAD_OTHER;
    if (is_image(bytes, n))
        return VLM_PAYLOAD_IMAGE;
    if (is_other_file(bytes, n))
        return VLM_PAYLOAD_OTHER;
    media_type(identified, sizeof(identified), record->identified_type);
    if (is_html_type(identified))
        return VLM_PAYLOAD_HTML;
    const char *type = is_vague(identified) ? declared : identified;
    if (is_html_type(declared) && is_vague(identified))
        return VLM_PAYLOAD_HTML;
    if (!strncmp(type, "image/", 6))
        return VLM_PAYLOAD_IMAGE;
    if (!strcmp(type, "text/plain"))
        return VLM_PAYLOAD_TEXT;
    return is_vague(type) ? without_type(record, bytes, n) : VLM_PAYLOAD_OTHER;
}
