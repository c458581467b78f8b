/* url.c - references against a base (RFC 3986 section 5.2) and the canonical spelling (6.2.2).
 *
 * What browsers forgive is forgiven: white space around, tabs and newlines inside, backslashes for
 * slashes in http URLs, missing slashes after the scheme of an http URL. A host is not looked at
 * beyond its spelling; nothing here connects anywhere. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/html/punycode.h"
#include "tokenize/html/url.h"

enum { VLM_HOST_MAX = 1024 }; /* bytes of a host, percent-encoded, whose labels are spelled anew */

/* Views into one cleaned string. A part that is absent has has_X false; path is never absent. */
struct parts {
    const char *scheme, *authority, *path, *query;
    size_t scheme_n, authority_n, path_n, query_n;
    bool has_scheme, has_authority, has_query;
};

static bool is_letter(char c)
{
    return ((unsigned char)c | 32) >= 'a' && ((unsigned char)c | 32) <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Length of "scheme" when text begins with "scheme:", else 0. */
static size_t scheme_length(const char *text, size_t n)
{
    if (!n || !is_letter(text[0]))
        return 0;
    size_t i = 1;
    while (i < n && (is_letter(text[i]) || is_digit(text[i]) || text[i] == '+' || text[i] == '-' ||
                     text[i] == '.'))
        i++;
    return i < n && text[i] == ':' ? i : 0;
}

static bool is_http(const char *scheme, size_t n)
{
    return (n == 4 || n == 5) && lower(scheme[0]) == 'h' && lower(scheme[1]) == 't' &&
           lower(scheme[2]) == 't' && lower(scheme[3]) == 'p' &&
           (n == 4 || lower(scheme[4]) == 's');
}

/* Copies text without white space at its ends and without tabs and newlines inside (WHATWG URL
 * section 4.4); returns the number of bytes. */
static size_t clean(char *out, const char *text, size_t n)
{
    size_t begin = 0, used = 0;
    while (begin < n && (unsigned char)text[begin] <= ' ')
        begin++;
    while (n > begin && (unsigned char)text[n - 1] <= ' ')
        n--;
    for (size_t i = begin; i < n; i++)
        if (text[i] != '\t' && text[i] != '\n' && text[i] != '\r')
            out[used++] = text[i];
    return used;
}

/* In place: "\" is "/" up to the query of an http URL. */
static void fix_slashes(char *text, size_t n)
{
    for (size_t i = 0; i < n && text[i] != '?' && text[i] != '#'; i++)
        if (text[i] == '\\')
            text[i] = '/';
}

static void split(struct parts *parts, const char *text, size_t n)
{
    *parts = (struct parts){ 0 };
    const char *hash = memchr(text, '#', n);
    const char *end = hash ? hash : text + n;
    size_t scheme = scheme_length(text, (size_t)(end - text));
    if (scheme) {
        parts->has_scheme = true;
        parts->scheme = text;
        parts->scheme_n = scheme;
        text += scheme + 1;
    }
    const char *mark = memchr(text, '?', (size_t)(end - text));
    if (mark) {
        parts->has_query = true;
        parts->query = mark + 1;
        parts->query_n = (size_t)(end - mark - 1);
        end = mark;
    }
    if (end - text >= 2 && text[0] == '/' && text[1] == '/') {
        text += 2;
        /* http:///host is http://host in every browser. */
        while (parts->has_scheme && is_http(parts->scheme, parts->scheme_n) && text < end &&
               *text == '/')
            text++;
        const char *slash = memchr(text, '/', (size_t)(end - text));
        parts->has_authority = true;
        parts->authority = text;
        parts->authority_n = (size_t)((slash ? slash : end) - text);
        text = slash ? slash : end;
    }
    parts->path = text;
    parts->path_n = (size_t)(end - text);
}

/* RFC 3986 5.2.4 in place over text[0..n): returns the new length. */
static size_t remove_dots(char *text, size_t n)
{
    size_t in = 0, out = 0;
    while (in < n) {
        size_t left = n - in;
        const char *p = text + in;
        if (left >= 3 && !memcmp(p, "../", 3)) {
            in += 3;
        } else if (left >= 2 && !memcmp(p, "./", 2)) {
            in += 2;
        } else if (left >= 3 && !memcmp(p, "/./", 3)) {
            in += 2;
        } else if (left == 2 && !memcmp(p, "/.", 2)) {
            in += 1;
            text[in] = '/';
        } else if ((left >= 4 && !memcmp(p, "/../", 4)) || (left == 3 && !memcmp(p, "/..", 3))) {
            in += left == 3 ? 2 : 3;
            text[in] = '/';
            while (out && text[--out] != '/')
                ;
        } else if ((left == 1 && p[0] == '.') || (left == 2 && !memcmp(p, "..", 2))) {
            in = n;
        } else {
            do
                text[out++] = text[in++];
            while (in < n && text[in] != '/');
        }
    }
    return out;
}

static void add_path(struct vlm_buffer *out, const char *path, size_t n, const char *before,
                     size_t before_n)
{
    char *to = (char *)vlm_buffer_reserve(out, before_n + n + 1);
    if (!to)
        return;
    if (before_n)
        memcpy(to, before, before_n);
    if (n)
        memcpy(to + before_n, path, n);
    out->size += remove_dots(to, before_n + n);
}

/* The part of the base's path that a relative path is put behind: up to its last slash. */
static size_t folder_length(const struct parts *base)
{
    for (size_t i = base->path_n; i > 0; i--)
        if (base->path[i - 1] == '/')
            return i;
    return 0;
}

/* RFC 3986 5.2.2 and 5.3. */
static void compose(struct vlm_buffer *out, const struct parts *base, const struct parts *ref)
{
    const struct parts *scheme = ref->has_scheme ? ref : base;
    const struct parts *authority = ref->has_scheme || ref->has_authority ? ref : base;
    vlm_buffer_add(out, scheme->scheme, scheme->scheme_n);
    vlm_buffer_byte(out, ':');
    if (authority->has_authority) {
        vlm_buffer_text(out, "//");
        vlm_buffer_add(out, authority->authority, authority->authority_n);
    }
    const struct parts *query = ref;
    if (authority == ref || (ref->path_n && ref->path[0] == '/')) {
        add_path(out, ref->path, ref->path_n, NULL, 0);
    } else if (!ref->path_n) {
        vlm_buffer_add(out, base->path, base->path_n);
        query = ref->has_query ? ref : base;
    } else if (base->has_authority && !base->path_n) {
        add_path(out, ref->path, ref->path_n, "/", 1);
    } else {
        add_path(out, ref->path, ref->path_n, base->path, folder_length(base));
    }
    if (query->has_query) {
        vlm_buffer_byte(out, '?');
        vlm_buffer_add(out, query->query, query->query_n);
    }
}

/* What an http scheme without "//" means: "http:a" is relative to a base of the same scheme, and
 * "http:/host" without such a base names a host. Returns where the reference then begins. */
static size_t forgive_scheme(struct parts *ref, const struct parts *base, char *text, size_t n)
{
    if (!ref->has_scheme || ref->has_authority || !is_http(ref->scheme, ref->scheme_n))
        return n;
    if (base->has_scheme && base->scheme_n == ref->scheme_n &&
        !strncasecmp(base->scheme, ref->scheme, ref->scheme_n)) {
        split(ref, text + ref->scheme_n + 1, n - ref->scheme_n - 1);
        return n;
    }
    size_t at = ref->scheme_n + 1, slashes = 0;
    while (at + slashes < n && text[at + slashes] == '/')
        slashes++;
    memmove(text + at + 2, text + at + slashes, n - at - slashes);
    memcpy(text + at, "//", 2);
    n += 2 - slashes;
    split(ref, text, n);
    return n;
}

int vlm_url_resolve(struct vlm_buffer *out, const char *base, const char *reference, size_t n,
                    struct vlm_err *err)
{
    size_t base_n = base ? strnlen(base, VLM_URL_MAX + 1) : 0;
    bool data = n >= 5 && !strncasecmp(reference, "data:", 5);
    if ((n > VLM_URL_MAX && !data) || base_n > VLM_URL_MAX)
        return vlm_fail(err, VLM_SKIP, "URL of %zu bytes is over the limit", VLM_MAX(n, base_n));
    if (data) {
        vlm_buffer_add(out, reference, n);
        return out->failed ? vlm_fail(err, VLM_ENOMEM, "no memory for a URL") : VLM_OK;
    }
    char ref_text[VLM_URL_MAX + 2], base_text[VLM_URL_MAX + 1];
    size_t ref_n = clean(ref_text, reference, n);
    base_n = base ? clean(base_text, base, base_n) : 0;
    struct parts from = { .path = base_text };
    if (base_n) {
        if (is_http(base_text, scheme_length(base_text, base_n)))
            fix_slashes(base_text, base_n);
        split(&from, base_text, base_n);
    }
    size_t scheme = scheme_length(ref_text, ref_n);
    if (is_http(ref_text, scheme) || (!scheme && is_http(from.scheme, from.scheme_n)))
        fix_slashes(ref_text, ref_n);
    struct parts ref;
    split(&ref, ref_text, ref_n);
    ref_n = forgive_scheme(&ref, &from, ref_text, ref_n);
    if (!ref.has_scheme && !from.has_scheme)
        return vlm_fail(err, VLM_SKIP, "relative URL without a base");
    if (!ref.has_scheme && !from.has_authority && (!from.path_n || from.path[0] != '/') && ref_n &&
        ref_text[0] != '#')
        return vlm_fail(err, VLM_SKIP, "relative URL against a base that has no path");
    size_t before = out->size;
    compose(out, &from, &ref);
    if (out->failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a URL");
    if (out->size - before > VLM_URL_MAX) {
        out->size = before;
        return vlm_fail(err, VLM_SKIP, "URL is over the limit of %zu bytes", VLM_URL_MAX);
    }
    return VLM_OK;
}

static int hex_value(char c)
{
    return is_digit(c) ? c - '0' : lower(c) >= 'a' && lower(c) <= 'f' ? lower(c) - 'a' + 10 : -1;
}

static bool is_unreserved(char c)
{
    return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* Percent-encoding normalised: unreserved characters decoded, other escapes in capitals, bytes that
 * no URL may hold encoded, a "%" that begins no escape too. */
static void add_normal(struct vlm_buffer *out, const char *text, size_t n)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        int high = c == '%' && i + 2 < n ? hex_value(text[i + 1]) : -1;
        int low = high >= 0 ? hex_value(text[i + 2]) : -1;
        if (low >= 0) {
            c = (unsigned char)(high << 4 | low);
            i += 2;
            if (is_unreserved((char)c)) {
                vlm_buffer_byte(out, c);
                continue;
            }
        }
        if (low >= 0 || c <= ' ' || c >= 0x7f || strchr("%\"<>^`{|}", c)) {
            char escape[3] = { '%', digits[c >> 4], digits[c & 15] };
            vlm_buffer_add(out, escape, 3);
        } else {
            vlm_buffer_byte(out, c);
        }
    }
}

/* Length of an authority without ":" and ":80" at its end (443 for https). More than one of them is
 * no valid host, but the canonical form must be a fixed point for any bytes. */
static size_t drop_port(const char *p, size_t host, size_t n, const struct parts *parts)
{
    const char *standard = parts->scheme_n == 5 ? "443" : "80";
    for (;;) {
        size_t port = n;
        while (port > host && is_digit(p[port - 1]))
            port--;
        size_t digits = n - port;
        bool drop = !digits || (is_http(parts->scheme, parts->scheme_n) &&
                                digits == strlen(standard) && !memcmp(p + port, standard, digits));
        if (port == host || p[port - 1] != ':' || !drop)
            return n;
        n = port - 1;
    }
}

/* The labels of a host, percent-encoded from `host` on in out: those beyond ASCII as "xn--...". */
static void spell_labels(struct vlm_buffer *out, size_t host)
{
    char text[VLM_HOST_MAX], label[VLM_HOST_MAX];
    size_t n = out->size - host;
    if (n > sizeof(text) || !memchr(out->data + host, '%', n))
        return;
    memcpy(text, out->data + host, n);
    out->size = host;
    for (size_t begin = 0, end; begin < n; begin = end) {
        size_t used = 0;
        end = begin;
        while (end < n && text[end] != '.' && text[end] != ':') {
            bool escape = text[end] == '%' && end + 2 < n;
            int value = escape ? hex_value(text[end + 1]) << 4 | hex_value(text[end + 2]) : 0;
            label[used++] = escape && value >= 0x80 ? (char)value : text[end];
            end += escape && value >= 0x80 ? 3 : 1;
        }
        if (memchr(label, '%', used) || !vlm_punycode_add(out, label, used))
            vlm_buffer_add(out, text + begin, end - begin);
        if (end < n)
            vlm_buffer_byte(out, (uint8_t)text[end++]);
    }
}

/* Host in lower case, the scheme's own port dropped. False when nothing is left where a host must be
 * (only http needs one: file:///path has none). */
static bool add_authority(struct vlm_buffer *out, const struct parts *parts)
{
    size_t begin = out->size, host = 0;
    add_normal(out, parts->authority, parts->authority_n);
    if (out->failed)
        return false;
    char *text = (char *)out->data + begin;
    size_t n = out->size - begin;
    for (size_t i = 0; i < n; i++)
        if (text[i] == '@')
            host = i + 1;
    n = drop_port(text, host, n, parts);
    for (size_t i = host; i < n; i++)
        if (text[i] == '%')
            i += 2; /* its digits stay capitals */
        else
            text[i] = lower(text[i]);
    out->size = begin + n;
    if (is_http(parts->scheme, parts->scheme_n))
        spell_labels(out, begin + host);
    return n || !is_http(parts->scheme, parts->scheme_n);
}

void vlm_url_canonical(struct vlm_buffer *out, const char *url, size_t n)
{
    char text[VLM_URL_MAX + 2] = "";
    size_t used = n > VLM_URL_MAX ? 0 : clean(text, url, n);
    size_t scheme = scheme_length(text, used);
    if (is_http(text, scheme))
        fix_slashes(text, used);
    struct parts parts = { 0 }, none = { 0 };
    split(&parts, text, used);
    if (parts.has_scheme)
        forgive_scheme(&parts, &none, text, used);
    size_t before = out->size;
    for (size_t i = 0; i < parts.scheme_n; i++)
        vlm_buffer_byte(out, (uint8_t)lower(parts.scheme[i]));
    vlm_buffer_text(out, "://");
    if (!parts.has_scheme || !parts.has_authority || !add_authority(out, &parts)) {
        out->size = before;
        vlm_buffer_add(out, url, n);
        return;
    }
    size_t path = out->size;
    add_normal(out, parts.path, parts.path_n);
    if (!out->failed)
        out->size = path + remove_dots((char *)out->data + path, out->size - path);
    if (out->size == path)
        vlm_buffer_byte(out, '/');
    if (parts.has_query) {
        vlm_buffer_byte(out, '?');
        add_normal(out, parts.query, parts.query_n);
    }
}

const char *vlm_url_host(const char *url, size_t *n)
{
    *n = 0;
    size_t length = url ? strlen(url) : 0;
    struct parts parts = { 0 };
    if (length)
        split(&parts, url, length);
    if (!parts.has_authority)
        return url;
    const char *host = parts.authority, *end = host + parts.authority_n;
    for (const char *p = host; p < end; p++)
        if (*p == '@')
            host = p + 1;
    const char *stop = host;
    if (stop < end && *stop == '[') {
        const char *bracket = memchr(host, ']', (size_t)(end - host));
        stop = bracket ? bracket + 1 : end;
    }
    while (stop < end && *stop != ':')
        stop++;
    *n = (size_t)(stop - host);
    return host;
}
