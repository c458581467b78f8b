/* charset.c - choosing the encoding of a page: the order of the HTML standard (13.2.3.2), and before
 * its last resort a look whether the whole page is UTF-8, which other text never is by chance.
 *
 * A label that is unknown, or names an encoding that the standard refuses to decode, counts as
 * absent. */
#include "base/vlm.h"

#include "base/utf8.h"
#include "tokenize/html/charset.h"

#include <strings.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static const struct vlm_encoding *utf8(void)
{
    return vlm_encoding_find("utf-8", 5);
}

static const struct vlm_encoding *usable(const struct vlm_encoding *encoding)
{
    return encoding && encoding->kind != VLM_CHARSET_REPLACEMENT ? encoding : NULL;
}

/* The label behind "charset=" in a Content-Type or in the content of a <meta>, or NULL. */
static const struct vlm_encoding *in_content_type(const char *text, size_t n)
{
    for (size_t i = 0; i + 7 < n; i++) {
        if (strncasecmp(text + i, "charset", 7))
            continue;
        size_t at = i + 7;
        while (at < n && is_space(text[at]))
            at++;
        if (at == n || text[at] != '=')
            continue;
        do
            at++;
        while (at < n && is_space(text[at]));
        size_t end = at;
        if (at < n && (text[at] == '"' || text[at] == '\'')) {
            const char *quote = memchr(text + at + 1, text[at], n - at - 1);
            if (!quote)
                return NULL;
            at++;
            end = (size_t)(quote - text);
        } else {
            while (end < n && !is_space(text[end]) && text[end] != ';' && text[end] != ',')
                end++;
        }
        return vlm_encoding_find(text + at, end - at);
    }
    return NULL;
}

/* One attribute of the prescan; spans of the page. */
struct prescan_attribute {
    const char *name, *value;
    size_t name_n, value_n;
};

/* "Get an attribute" of the prescan. False at the end of the tag or of the bytes; *at moves. */
static bool next_attribute(struct prescan_attribute *out, const char *p, size_t n, size_t *at)
{
    size_t i = *at;
    *out = (struct prescan_attribute){ 0 };
    while (i < n && (is_space(p[i]) || p[i] == '/'))
        i++;
    if (i < n && p[i] != '>') {
        out->name = p + i;
        do
            i++;
        while (i < n && !is_space(p[i]) && p[i] != '/' && p[i] != '>' && p[i] != '=');
        out->name_n = (size_t)(p + i - out->name);
        while (i < n && is_space(p[i]))
            i++;
    }
    if (out->name && i < n && p[i] == '=') {
        do
            i++;
        while (i < n && is_space(p[i]));
        char quote = i < n && (p[i] == '"' || p[i] == '\'') ? p[i++] : 0;
        out->value = p + i;
        while (i < n && (quote ? p[i] != quote : !is_space(p[i]) && p[i] != '>'))
            i++;
        out->value_n = (size_t)(p + i - out->value);
        if (quote && i < n)
            i++;
    }
    *at = i;
    return out->name && i < n;
}

static bool named(const struct prescan_attribute *attribute, const char *name)
{
    return attribute->name_n == strlen(name) &&
           !strncasecmp(attribute->name, name, attribute->name_n);
}

/* The attributes of one <meta>. */
static const struct vlm_encoding *in_meta(const char *p, size_t n, size_t *at)
{
    struct prescan_attribute attribute;
    const struct vlm_encoding *charset = NULL, *content = NULL;
    bool pragma = false, seen_charset = false;
    while (next_attribute(&attribute, p, n, at)) {
        if (named(&attribute, "http-equiv")) {
            pragma |= attribute.value_n == 12 && !strncasecmp(attribute.value, "content-type", 12);
        } else if (named(&attribute, "content") && !content) {
            content = in_content_type(attribute.value, attribute.value_n);
        } else if (named(&attribute, "charset") && !seen_charset) {
            charset = vlm_encoding_find(attribute.value, attribute.value_n);
            seen_charset = true;
        }
    }
    const struct vlm_encoding *found = seen_charset ? charset : pragma ? content : NULL;
    if (!found)
        return NULL;
    /* The page was read as ASCII to get here, so it is not UTF-16. */
    if (found->kind == VLM_CHARSET_UTF16BE || found->kind == VLM_CHARSET_UTF16LE)
        return utf8();
    return found->kind == VLM_CHARSET_USER_DEFINED ? vlm_encoding_find("windows-1252", 12) : found;
}

/* Where the comment at p[i] ("<!--") ends; n when it does not. */
static size_t comment_end(const char *p, size_t n, size_t i)
{
    /* "<!-->" is a whole comment: its dashes open and close. */
    const char *end = i + 2 < n ? memmem(p + i + 2, n - i - 2, "-->", 3) : NULL;
    return end ? (size_t)(end - p) + 3 : n;
}

const struct vlm_encoding *vlm_charset_prescan(const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        const char *open = memchr(p + i, '<', n - i);
        if (!open)
            return NULL;
        i = (size_t)(open - p);
        size_t left = n - i;
        if (left >= 4 && !memcmp(open, "<!--", 4)) {
            i = comment_end(p, n, i);
        } else if (left >= 6 && !strncasecmp(open, "<meta", 5) &&
                   (is_space(open[5]) || open[5] == '/')) {
            i += 5;
            const struct vlm_encoding *found = usable(in_meta(p, n, &i));
            if (found)
                return found;
        } else if (left >= 3 &&
                   (open[1] == '/' || ((open[1] | 32) >= 'a' && (open[1] | 32) <= 'z'))) {
            struct prescan_attribute attribute;
            while (i < n && !is_space(p[i]) && p[i] != '>')
                i++;
            while (next_attribute(&attribute, p, n, &i))
                ;
        } else if (left >= 2 && (open[1] == '!' || open[1] == '/' || open[1] == '?')) {
            const char *end = memchr(open, '>', left);
            i = end ? (size_t)(end - p) : n;
        } else {
            i++;
        }
    }
    return NULL;
}

/* The encoding of an XML declaration, or NULL ("get an XML encoding", 13.2.3.2). */
static const struct vlm_encoding *in_xml_declaration(const char *p, size_t n)
{
    const char *end = n > 5 && !memcmp(p, "<?xml", 5) ? memchr(p, '>', n) : NULL;
    const char *at = end ? memmem(p, (size_t)(end - p), "encoding", 8) : NULL;
    if (!at)
        return NULL;
    at += 8;
    while (at < end && (uint8_t)*at <= ' ')
        at++;
    if (*at++ != '=')
        return NULL;
    while (at < end && (uint8_t)*at <= ' ')
        at++;
    if (at >= end || (*at != '"' && *at != '\''))
        return NULL;
    const char *quote = memchr(at + 1, *at, (size_t)(end - at - 1));
    const struct vlm_encoding *found =
        quote ? vlm_encoding_find(at + 1, (size_t)(quote - at - 1)) : NULL;
    bool is_utf16 =
        found && (found->kind == VLM_CHARSET_UTF16BE || found->kind == VLM_CHARSET_UTF16LE);
    return is_utf16 ? utf8() : usable(found);
}

static const struct vlm_encoding *byte_order_mark(const uint8_t *p, size_t n)
{
    if (n >= 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf)
        return utf8();
    if (n >= 2 && p[0] == 0xfe && p[1] == 0xff)
        return vlm_encoding_find("utf-16be", 8);
    if (n >= 2 && p[0] == 0xff && p[1] == 0xfe)
        return vlm_encoding_find("utf-16le", 8);
    return NULL;
}

/* What undeclared bytes give away: UTF-16 by the zeros of its first two characters, ISO-2022-JP by
 * an escape sequence on a page without bytes over 0x7f. */
static const struct vlm_encoding *detect(const uint8_t *p, size_t n, bool is_utf8)
{
    if (n >= 4 && p[0] && !p[1] && p[2] && !p[3])
        return vlm_encoding_find("utf-16le", 8);
    if (n >= 4 && !p[0] && p[1] && !p[2] && p[3])
        return vlm_encoding_find("utf-16be", 8);
    if (!is_utf8)
        return NULL;
    if (!memmem(p, n, "\x1b$B", 3) && !memmem(p, n, "\x1b$@", 3))
        return utf8();
    for (size_t i = 0; i < n; i++)
        if (p[i] >= 0x80)
            return utf8();
    return vlm_encoding_find("iso-2022-jp", 11);
}

const struct vlm_encoding *vlm_charset_choose(const struct vlm_page_input *in)
{
    const struct vlm_encoding *found = NULL;
    if (in->charset)
        found = usable(vlm_encoding_find(in->charset, strlen(in->charset)));
    if (!found)
        found = byte_order_mark(in->bytes, in->size);
    if (!found && in->content_type)
        found = usable(in_content_type(in->content_type, strlen(in->content_type)));
    if (found)
        return found;
    found = vlm_charset_prescan(in->bytes, VLM_MIN(in->size, (size_t)VLM_PRESCAN_BYTES));
    if (!found)
        found = in_xml_declaration(in->bytes, VLM_MIN(in->size, (size_t)VLM_PRESCAN_BYTES));
    /* Pages that say nothing, or say iso-8859-1 out of habit, and are UTF-8 throughout. A page of
     * ASCII alone is the same in all of them. */
    if (found && found->kind == VLM_CHARSET_UTF8)
        return found;
    bool is_utf8 = vlm_utf8_valid_prefix(in->bytes, in->size) == in->size;
    const struct vlm_encoding *detected = found ? NULL : detect(in->bytes, in->size, is_utf8);
    if (detected)
        return detected;
    /* A browser that meets a late <meta> starts again with what it says (13.2.3.5). */
    if (!found)
        found = vlm_charset_prescan(in->bytes, VLM_MIN(in->size, (size_t)VLM_PRESCAN_LATE_BYTES));
    if (!found || found->kind == VLM_CHARSET_UTF8)
        return found ? found : vlm_encoding_find("windows-1252", 12);
    if (is_utf8)
        for (size_t i = 0; i < in->size; i++)
            if (((const uint8_t *)in->bytes)[i] >= 0x80)
                return utf8();
    return found;
}
