/* request_head.c - a strict reader of request heads (RFC 9112 §2 to §5, RFC 9110 §5).
 *
 * Bytes are taken as they come and judged one by one, so that a head that cannot become valid is refused at once and
 * not when its time is over. A line is cut at CR LF, ends with NUL in one growing text, and is then taken apart in
 * place; after the empty line the fields that decide about framing are looked at. The text has a limit, so has each
 * part of it. */
#include "base/vlm.h"
#include "serve/http/request_head.h"

#include "base/utf8.h"

static const char *const method_names[] = {
    [VLM_HTTP_GET] = "GET", [VLM_HTTP_HEAD] = "HEAD",     [VLM_HTTP_POST] = "POST",
    [VLM_HTTP_PUT] = "PUT", [VLM_HTTP_DELETE] = "DELETE", [VLM_HTTP_OPTIONS] = "OPTIONS",
};

const char *vlm_method_name(enum vlm_http_method method)
{
    return method_names[method];
}

static bool bad(struct vlm_head *head, int status, const char *why)
{
    head->status = status;
    head->why = why;
    return false;
}

static char *text_at(struct vlm_head *head, vlm_head_at at)
{
    return (char *)head->text.data + at;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_token(char c) /* RFC 9110 §5.6.2 */
{
    return is_alpha(c) || is_digit(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static void lower_all(char *text)
{
    for (; *text; text++)
        *text = lower(*text);
}

static bool same_word(const char *a, size_t n, const char *word)
{
    if (strlen(word) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (lower(a[i]) != word[i])
            return false;
    return true;
}

/* ---- the target ---- */

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent decoding in place; the path has only characters of RFC 3986 §3.3. */
static bool decode_path(struct vlm_head *head, char *path)
{
    char *out = path;
    for (const char *in = path; *in; in++) {
        if (*in == '%') {
            int high = hex_value(in[1]), low = high < 0 ? -1 : hex_value(in[2]);
            if (low < 0)
                return bad(head, 400, "the path has a % without two hexadecimal digits");
            int byte = high * 16 + low;
            if (byte < 0x20 || byte == 0x7f || byte == '\\')
                return bad(head, 400, "the path has a control character or a backslash");
            *out++ = (char)byte;
            in += 2;
        } else if (is_alpha(*in) || is_digit(*in) || strchr("/-._~!$&'()*+,;=:@", *in)) {
            *out++ = *in;
        } else {
            return bad(head, 400, "the path has a character that must be percent-encoded");
        }
    }
    *out = '\0';
    if (vlm_utf8_valid_prefix(path, (size_t)(out - path)) != (size_t)(out - path))
        return bad(head, 400, "the path is not UTF-8");
    for (const char *part = path; part; part = strchr(part, '/')) {
        part++;
        size_t n = strcspn(part, "/");
        if ((n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
            return bad(head, 400, "the path has a part \".\" or \"..\"");
    }
    return true;
}

/* A name twice could mean either value. */
static bool check_query(struct vlm_head *head, const char *query)
{
    const char *name[VLM_REQUEST_QUERY_MAX];
    size_t size[VLM_REQUEST_QUERY_MAX], n = 0;
    for (const char *c = query; *c; c++)
        if (!is_alpha(*c) && !is_digit(*c) && !strchr("/?-._~!$&'()*+,;=:@%[]", *c))
            return bad(head, 400, "the query has a character that must be percent-encoded");
        else if (*c == '%' && (hex_value(c[1]) < 0 || hex_value(c[2]) < 0))
            return bad(head, 400, "the query has a % without two hexadecimal digits");
    for (const char *at = query; *at; at += strcspn(at, "&"), at += *at == '&') {
        if (n == VLM_REQUEST_QUERY_MAX)
            return bad(head, 400, "the query has too many parameters");
        name[n] = at;
        size[n] = strcspn(at, "=&");
        for (size_t i = 0; i < n; i++)
            if (size[i] == size[n] && !memcmp(name[i], at, size[n]))
                return bad(head, 400, "the query has a parameter twice");
        n++;
    }
    return true;
}

/* "/path?query", "http://authority/path?query" or "*" (RFC 9112 §3.2), which ends at a NUL. */
static bool parse_target(struct vlm_head *head, vlm_head_at at)
{
    char *target = text_at(head, at);
    if (!strcmp(target, "*") && head->method == VLM_HTTP_OPTIONS) {
        head->path = at;
        return true;
    }
    size_t scheme = strspn(target, "HTPShtps");
    if (target[0] != '/' &&
        (same_word(target, scheme, "http") || same_word(target, scheme, "https")) &&
        !strncmp(target + scheme, "://", 3)) {
        char *authority = target + scheme + 3;
        size_t n = strcspn(authority, "/?#");
        if (authority[n] != '/' || !n)
            return bad(head, 400, "the target is an address without host or path");
        /* One to the left makes room for its NUL. */
        memmove(authority - 1, authority, n);
        authority[n - 1] = '\0';
        head->authority = at + (vlm_head_at)(authority - 1 - target);
        at += (vlm_head_at)(authority + n - target);
        target = authority + n;
    }
    if (target[0] != '/')
        return bad(head, 400, "the target does not begin with /");
    head->path = at;
    char *query = strchr(target, '?');
    if (query) {
        *query++ = '\0';
        if (*query)
            head->query = at + (vlm_head_at)(query - target);
        if (!check_query(head, query))
            return false;
    }
    return decode_path(head, target);
}

static bool parse_method(struct vlm_head *head, const char *method, size_t n)
{
    static const char *const never[] = { "TRACE", "CONNECT", "PATCH" };
    for (size_t i = 0; i < n; i++)
        if (!is_token(method[i]))
            return bad(head, 400, "the method is not a word");
    for (size_t i = 0; i < VLM_COUNTOF(method_names); i++)
        if (strlen(method_names[i]) == n && !memcmp(method, method_names[i], n)) {
            head->method = (enum vlm_http_method)i;
            return true;
        }
    for (size_t i = 0; i < VLM_COUNTOF(never); i++)
        if (strlen(never[i]) == n && !memcmp(method, never[i], n))
            return bad(head, 405, "this method is not allowed");
    return bad(head, 405, "this method is not known");
}

/* METHOD SP TARGET SP HTTP/1.1 */
static bool parse_request_line(struct vlm_head *head)
{
    char *line = text_at(head, head->line);
    char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;
    if (!target || target == line || !version || version == target + 1 || strchr(version + 1, ' '))
        return bad(head, 400, "the first line is not \"METHOD /path HTTP/1.1\"");
    *target++ = '\0';
    *version++ = '\0';
    if (strncmp(version, "HTTP/", 5) || !is_digit(version[5]) || version[6] != '.' ||
        !is_digit(version[7]) || version[8])
        return bad(head, 400, "the first line does not end with \"HTTP/1.1\"");
    if (version[5] != '1' || version[7] > '1')
        return bad(head, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    head->minor = (unsigned)(version[7] - '0');
    return parse_method(head, line, strlen(line)) &&
           parse_target(head, head->line + (vlm_head_at)(target - line));
}

/* ---- fields ---- */

bool vlm_field_line(const char *line, size_t n, size_t *name_n, const char **value, size_t *value_n)
{
    size_t colon = 0;
    while (colon < n && is_token(line[colon]))
        colon++;
    if (!colon || colon == n || line[colon] != ':')
        return false;
    size_t from = colon + 1, to = n;
    while (from < to && (line[from] == ' ' || line[from] == '\t'))
        from++;
    while (to > from && (line[to - 1] == ' ' || line[to - 1] == '\t'))
        to--;
    *name_n = colon;
    *value = line + from;
    *value_n = to - from;
    return true;
}

static bool parse_field(struct vlm_head *head, size_t n)
{
    char *line = text_at(head, head->line);
    size_t name_n, value_n;
    const char *value;
    if (line[0] == ' ' || line[0] == '\t')
        return bad(head, 400, "a header line is folded");
    if (!vlm_field_line(line, n, &name_n, &value, &value_n))
        return bad(head, 400, "a header line is not \"Name: value\"");
    if (head->n_fields == VLM_REQUEST_FIELDS_MAX)
        return bad(head, 431, "there are too many header fields");
    size_t at = (size_t)(value - line);
    line[name_n] = '\0';
    line[at + value_n] = '\0';
    lower_all(line);
    head->field[head->n_fields++] =
        (struct vlm_head_field){ head->line, head->line + (vlm_head_at)at };
    return true;
}

const char *vlm_head_field(const struct vlm_head *head, const char *name, size_t *count)
{
    const char *found = NULL;
    size_t n = 0;
    for (size_t i = 0; i < head->n_fields; i++)
        if (!strcmp(vlm_head_text(head, head->field[i].name), name) && !n++)
            found = (const char *)head->text.data + head->field[i].value;
    if (count)
        *count = n;
    return found;
}

/* A copy at the end of the text; 0 when there is no memory. */
static vlm_head_at keep(struct vlm_head *head, const char *text, size_t n)
{
    size_t at = head->text.size;
    char *room = (char *)vlm_buffer_reserve(&head->text, n + 1);
    if (!room)
        return 0;
    memcpy(room, text, n);
    room[n] = '\0';
    head->text.size += n + 1;
    return (vlm_head_at)at;
}

static bool keep_lower(struct vlm_head *head, vlm_head_at *at, const char *from, size_t n)
{
    /* The text may move: take the bytes out first. */
    char word[VLM_REQUEST_LINE_MAX];
    if (n > sizeof(word))
        return bad(head, 431, "a header field is too long");
    memcpy(word, from, n);
    *at = keep(head, word, n);
    if (head->text.failed)
        return bad(head, 431, "the head is too long");
    lower_all(text_at(head, *at));
    return true;
}

/* HOST or HOST:PORT, the host a name, an IPv4 address or an IPv6 address in brackets. */
static bool parse_authority(struct vlm_head *head, const char *text)
{
    size_t n = 0;
    if (text[0] == '[') {
        n = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
        if (n < 3 || text[n] != ']')
            return bad(head, 400, "Host is not a name or an address");
        n++;
    } else {
        while (is_alpha(text[n]) || is_digit(text[n]) || text[n] == '-' || text[n] == '.' ||
               text[n] == '_')
            n++;
    }
    if (!n)
        return bad(head, 400, "Host is empty");
    size_t port = text[n] == ':' ? 1 + strspn(text + n + 1, "0123456789") : 0;
    if (text[n + port] || port == 1 || port > 6 ||
        (port && strtoul(text + n + 1, NULL, 10) > 65535))
        return bad(head, 400, "Host is not a name with a port");
    size_t whole = n + port;
    const size_t offset = (size_t)(text - (const char *)head->text.data);
    return keep_lower(head, &head->host, text, n) &&
           keep_lower(head, &head->authority, (const char *)head->text.data + offset, whole);
}

static bool check_host(struct vlm_head *head)
{
    size_t count;
    const char *host = vlm_head_field(head, "host", &count);
    if (count != 1)
        return bad(head, 400, count ? "Host is there twice" : "Host is missing");
    if (head->authority) {
        const char *other = vlm_head_text(head, head->authority);
        size_t n = strlen(other);
        if (strlen(host) != n)
            return bad(head, 400, "the target names another host than Host does");
        for (size_t i = 0; i < n; i++)
            if (lower(host[i]) != lower(other[i]))
                return bad(head, 400, "the target names another host than Host does");
    }
    return parse_authority(head, host);
}

static bool check_length(struct vlm_head *head)
{
    size_t count, codings;
    const char *length = vlm_head_field(head, "content-length", &count);
    const char *coding = vlm_head_field(head, "transfer-encoding", &codings);
    if (count > 1 || codings > 1 || (count && codings))
        return bad(head, 400, "Content-Length and Transfer-Encoding say it twice");
    if (coding) {
        if (head->minor == 0)
            return bad(head, 400, "HTTP/1.0 has no Transfer-Encoding");
        if (!same_word(coding, strlen(coding), "chunked"))
            return bad(head, 400, "Transfer-Encoding is not \"chunked\"");
        head->chunked = true;
    }
    if (!length) {
        if (!coding && (head->method == VLM_HTTP_POST || head->method == VLM_HTTP_PUT))
            return bad(head, 411, "Content-Length is missing");
        return true;
    }
    head->has_length = true;
    if (!length[0] || length[strspn(length, "0123456789")])
        return bad(head, 400, "Content-Length is not a number");
    for (; *length; length++) {
        unsigned digit = (unsigned)(*length - '0');
        head->length =
            head->length > (UINT64_MAX - digit) / 10 ? UINT64_MAX : head->length * 10 + digit;
    }
    return true;
}

/* Connection may stand there often; its words are all heard, and "close" wins. */
static bool check_connection(struct vlm_head *head)
{
    for (size_t i = 0; i < head->n_fields; i++) {
        if (strcmp(vlm_head_text(head, head->field[i].name), "connection"))
            continue;
        const char *at = vlm_head_text(head, head->field[i].value);
        while (*at) {
            at += strspn(at, " \t,");
            size_t n = strcspn(at, " \t,");
            head->close |= same_word(at, n, "close");
            head->keep_alive |= same_word(at, n, "keep-alive");
            at += n;
        }
    }
    const char *expect = vlm_head_field(head, "expect", NULL);
    if (expect && head->minor > 0) {
        if (!same_word(expect, strlen(expect), "100-continue"))
            return bad(head, 417, "Expect is not \"100-continue\"");
        head->expects_continue = true;
    }
    return true;
}

/* ---- the content type ---- */

/* One "name=value" at `at`; the value may be quoted, without backslashes. Returns what comes behind it, or NULL. */
static const char *parse_parameter(const char *at, size_t *name_n, const char **value, size_t *n)
{
    const char *name = at;
    while (is_token(*at))
        at++;
    *name_n = (size_t)(at - name);
    if (!*name_n || *at != '=')
        return NULL;
    at++;
    if (*at == '"') {
        *value = ++at;
        *n = strcspn(at, "\"\\");
        return at[*n] == '"' ? at + *n + 1 : NULL;
    }
    *value = at;
    while (is_token(*at))
        at++;
    *n = (size_t)(at - *value);
    return *n ? at : NULL;
}

static bool check_boundary(struct vlm_head *head, const char *value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_alpha(value[i]) && !is_digit(value[i]) && !strchr("'()+_,-./:=? ", value[i]))
            return bad(head, 400,
                       "the boundary of Content-Type has other characters than RFC 2046 has");
    if (!n || n > 70 || value[n - 1] == ' ')
        return bad(head, 400, "the boundary of Content-Type is empty or too long");
    char copy[70];
    memcpy(copy, value, n);
    head->boundary = keep(head, copy, n);
    return head->boundary || bad(head, 431, "the head is too long");
}

static bool check_content_type(struct vlm_head *head)
{
    size_t count;
    const char *text = vlm_head_field(head, "content-type", &count);
    if (count > 1)
        return bad(head, 400, "Content-Type is there twice");
    if (!text)
        return true;
    const size_t start = (size_t)(text - (const char *)head->text.data);
    size_t type_n = strcspn(text, "; \t"), slash = strcspn(text, "/");
    for (size_t i = 0; i < type_n; i++)
        if (i != slash && !is_token(text[i]))
            return bad(head, 415, "Content-Type is not \"type/subtype\"");
    if (!slash || slash + 1 >= type_n)
        return bad(head, 415, "Content-Type is not \"type/subtype\"");
    if (!keep_lower(head, &head->content_type, text, type_n))
        return false;
    size_t at = start + type_n;
    for (;;) {
        text = (const char *)head->text.data + at;
        text += strspn(text, " \t;");
        if (!*text)
            return true;
        size_t name_n, n;
        const char *value, *end = parse_parameter(text, &name_n, &value, &n);
        if (!end)
            return bad(head, 415, "Content-Type has a parameter that is not name=value");
        at = (size_t)(end - (const char *)head->text.data);
        if (same_word(text, name_n, "charset") && !same_word(value, n, "utf-8") &&
            !same_word(value, n, "us-ascii"))
            return bad(head, 415, "the charset of Content-Type is not utf-8");
        if (same_word(text, name_n, "boundary")) {
            if (head->boundary)
                return bad(head, 400, "Content-Type has a boundary twice");
            if (!check_boundary(head, value, n))
                return false;
        }
    }
}

static bool check_coding(struct vlm_head *head)
{
    const char *coding = vlm_head_field(head, "content-encoding", NULL);
    if (coding && !same_word(coding, strlen(coding), "identity"))
        return bad(head, 415, "Content-Encoding is not accepted: send the body as it is");
    return true;
}

/* ---- lines ---- */

/* The line in the text is complete and ends with NUL. Sets *done at the empty one. */
static bool take_line(struct vlm_head *head, bool *done)
{
    const size_t n = head->text.size - 1 - head->line;
    if (head->part ==
        VLM_HEAD_START) { /* RFC 9112 §2.2: one empty line before is not held against it */
        if (head->blank_line)
            return bad(head, 400, "there are empty lines before the request");
        head->blank_line = true;
        head->text.size = head->line;
        return true;
    }
    if (head->part == VLM_HEAD_LINE) {
        if (!parse_request_line(head))
            return false;
        head->part = VLM_HEAD_FIELDS;
    } else if (n) {
        if (!parse_field(head, n))
            return false;
    } else {
        *done = true;
        return check_host(head) && check_length(head) && check_connection(head) &&
               check_content_type(head) && check_coding(head);
    }
    head->line = (vlm_head_at)head->text.size;
    return true;
}

static bool take_byte(struct vlm_head *head, uint8_t byte, bool *done)
{
    if (head->part == VLM_HEAD_FIELDS && ++head->fields_bytes > VLM_REQUEST_HEAD_MAX)
        return bad(head, 431, "the header fields are too long");
    if (head->carriage_return) {
        if (byte != '\n')
            return bad(head, 400, "a CR stands without LF");
        head->carriage_return = false;
        vlm_buffer_byte(&head->text, '\0');
        return head->text.failed ? bad(head, 431, "the head is too long") : take_line(head, done);
    }
    if (byte == '\r') {
        head->carriage_return = true;
        return true;
    }
    if ((byte < 0x20 && (byte != '\t' || head->part != VLM_HEAD_FIELDS)) || byte > 0x7e)
        return bad(head, 400,
                   byte == '\n' ? "a line ends with LF alone"
                                : "the head has a byte that is not ASCII text");
    if (head->part == VLM_HEAD_START)
        head->part = VLM_HEAD_LINE;
    if (head->part == VLM_HEAD_LINE && head->text.size - head->line >= VLM_REQUEST_LINE_MAX)
        return memchr(text_at(head, head->line), ' ', VLM_REQUEST_LINE_MAX)
                   ? bad(head, 414, "the target is too long")
                   : bad(head, 405, "this method is not known");
    vlm_buffer_byte(&head->text, byte);
    return true;
}

enum vlm_head_result vlm_head_feed(struct vlm_head *head, const uint8_t *bytes, size_t n,
                                   size_t *used)
{
    bool done = false;
    if (!head->text.size) {
        /* Place 0 is the empty string; copies of some values come on top of the lines. */
        head->text.max = VLM_REQUEST_LINE_MAX + 3 * VLM_REQUEST_HEAD_MAX;
        vlm_buffer_byte(&head->text, '\0');
        head->line = 1;
    }
    for (*used = 0; *used < n;) {
        if (!take_byte(head, bytes[(*used)++], &done))
            return VLM_HEAD_BAD;
        if (done)
            return VLM_HEAD_DONE;
    }
    return VLM_HEAD_MORE;
}

void vlm_head_release(struct vlm_head *head)
{
    vlm_buffer_release(&head->text);
    *head = (struct vlm_head){ 0 };
}
