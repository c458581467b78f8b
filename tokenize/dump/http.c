/* http.c - the HTTP message inside a record, and its body with all codings undone.
 *
 * Order as in RFC 9112: header, then the chunked transfer coding, then content codings from the
 * last to the first. Crawlers store bodies already decoded under headers that say otherwise, so a
 * declared coding whose bytes do not look like it is taken as absent. Decoders are in
 * http_coding.c; what the body holds is told in payload.c. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/dump/http_internal.h"
#include "tokenize/html/page.h"

#include <ctype.h>
#include <strings.h>

enum {
    CODINGS_MAX = 2,
    CODING_NAME_MAX = 32,
    CHUNK_LINE_MAX = 64 << 10,
    CHUNK_DIGITS_MAX = 8,
    INTERIM_MAX = 8, /* messages of one block */
};

struct text {
    const char *at;
    size_t n;
};

/* The fields of a message that matter, as slices of its header. */
struct message {
    int status;
    size_t header_size;
    struct text content_type, location, content_language;
    struct text codings[CODINGS_MAX + 1]; /* content codings, in the order they were applied */
    size_t n_codings;
    bool chunked;
    unsigned opt_out;
};

const char *vlm_body_error_name(enum vlm_body_error error)
{
    static const char *const names[] = { "ok", "http", "chunked", "encoding", "bomb" };
    return (unsigned)error < VLM_COUNTOF(names) ? names[error] : "unknown";
}

static struct text trim(const char *from, const char *to)
{
    while (from < to && isspace((unsigned char)*from))
        from++;
    while (to > from && isspace((unsigned char)to[-1]))
        to--;
    return (struct text){ from, (size_t)(to - from) };
}

static bool is(struct text text, const char *word)
{
    return strlen(word) == text.n && !strncasecmp(text.at, word, text.n);
}

/* "HTTP/1.1 200 OK": the status, or 0 when it is no status line. */
static int status_of(const uint8_t *bytes, size_t n)
{
    size_t at = 0;
    if (n > 5 && !memcmp(bytes, "HTTP/", 5))
        at = 5;
    else if (n > 4 && !memcmp(bytes, "ICY ", 4))
        at = 3;
    if (!at)
        return 0;
    while (at < n && at < 16 && (isdigit(bytes[at]) || bytes[at] == '.'))
        at++;
    if (at == n || bytes[at] != ' ')
        return 0;
    while (at < n && at < 32 && bytes[at] == ' ')
        at++;
    if (n - at < 3 || !isdigit(bytes[at]) || !isdigit(bytes[at + 1]) || !isdigit(bytes[at + 2]) ||
        (n - at > 3 && isdigit(bytes[at + 3])))
        return 0;
    return (bytes[at] - '0') * 100 + (bytes[at + 1] - '0') * 10 + (bytes[at + 2] - '0');
}

/* Adds the comma-separated content codings of one field; identity is no coding. */
static void add_codings(struct message *message, struct text value)
{
    const char *at = value.at, *end = value.at + value.n;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct text word = trim(at, comma ? comma : end);
        at = comma ? comma + 1 : end;
        if (!word.n || is(word, "identity") || is(word, "none"))
            continue;
        if (message->n_codings <= CODINGS_MAX)
            message->codings[message->n_codings++] = word;
    }
}

static bool has_chunked(struct text value)
{
    for (size_t i = 0; i + 7 <= value.n; i++)
        if (!strncasecmp(value.at + i, "chunked", 7))
            return true;
    return false;
}

static void set_once(struct text *target, struct text value)
{
    if (!target->at)
        *target = value;
}

static void set_field(struct message *message, struct text name, struct text value)
{
    switch (name.n) {
    case 8:
        if (is(name, "location"))
            set_once(&message->location, value);
        break;
    case 12:
        if (is(name, "content-type"))
            set_once(&message->content_type, value);
        else if (is(name, "x-robots-tag"))
            message->opt_out |= vlm_opt_out_parse(value.at, value.n);
        break;
    case 16:
        if (is(name, "content-encoding"))
            add_codings(message, value);
        else if (is(name, "content-language"))
            set_once(&message->content_language, value);
        break;
    case 17:
        if (is(name, "transfer-encoding") && has_chunked(value))
            message->chunked = true;
        break;
    default:
        break;
    }
}

/* The end of the line at `at` and of the lines folded into it; end when there is no newline. */
static const uint8_t *field_end(const uint8_t *at, const uint8_t *end)
{
    for (;;) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline)
            return end;
        if (newline + 1 == end || (newline[1] != ' ' && newline[1] != '\t'))
            return newline;
        at = newline + 1;
    }
}

/* Reads status line and fields. False: no status line, or the header does not end. */
static bool parse_message(struct message *message, const uint8_t *bytes, size_t n)
{
    memset(message, 0, sizeof(*message));
    const uint8_t *end = bytes + VLM_MIN(n, VLM_HTTP_HEADER_MAX);
    const uint8_t *line = memchr(bytes, '\n', (size_t)(end - bytes));
    message->status = status_of(bytes, line ? (size_t)(line - bytes) : 0);
    if (!message->status)
        return false;
    for (const uint8_t *at = line + 1; at < end;) {
        if (*at == '\n' || (*at == '\r' && at + 1 < end && at[1] == '\n')) {
            message->header_size = (size_t)(at - bytes) + (*at == '\r' ? 2 : 1);
            return true;
        }
        const uint8_t *newline = field_end(at, end);
        const uint8_t *colon = memchr(at, ':', (size_t)(newline - at));
        if (colon)
            set_field(message, trim((const char *)at, (const char *)colon),
                      trim((const char *)colon + 1, (const char *)newline));
        at = newline < end ? newline + 1 : end;
    }
    return false;
}

/* The final message: interim ones ("100 Continue", RFC 9110 15.2) stand before it and have no body. */
static bool parse_final_message(struct message *message, const uint8_t *bytes, size_t n)
{
    size_t before = 0;
    for (int i = 0; i < INTERIM_MAX; i++) {
        if (!parse_message(message, bytes + before, n - before))
            return false;
        before += message->header_size;
        bool interim = message->status < 200 && message->status != 101;
        if (!interim || n - before < 5 || memcmp(bytes + before, "HTTP/", 5))
            break;
    }
    message->header_size = before;
    return true;
}

/* A chunk's size line at bytes: bytes of the line, or 0 when it is none. */
static size_t chunk_line(const uint8_t *bytes, size_t n, size_t *size)
{
    size_t digits = 0, at = 0;
    *size = 0;
    while (at < n && (bytes[at] == ' ' || bytes[at] == '\t'))
        at++;
    for (; at < n && isxdigit(bytes[at]); at++, digits++) {
        unsigned value = isdigit(bytes[at]) ? bytes[at] - (unsigned)'0'
                                            : (unsigned)tolower(bytes[at]) - 'a' + 10;
        if (*size >> (4 * (CHUNK_DIGITS_MAX - 1)))
            return 0;
        *size = *size << 4 | value;
    }
    while (at < n && (bytes[at] == ' ' || bytes[at] == '\t'))
        at++;
    if (!digits || (at < n && bytes[at] != ';' && bytes[at] != '\r' && bytes[at] != '\n'))
        return 0;
    const uint8_t *newline = memchr(bytes + at, '\n', VLM_MIN(n - at, (size_t)CHUNK_LINE_MAX));
    return newline ? (size_t)(newline - bytes) + 1 : 0;
}

enum chunks { CHUNKS_WHOLE, CHUNKS_CUT, CHUNKS_NONE };

/* Undoes the chunked coding. NONE: the bytes are not chunked at all. CUT: the last chunk is
 * missing or a later size is damaged; out has what came before. */
static enum chunks unchunk(uint8_t *out, size_t *out_size, const uint8_t *bytes, size_t n)
{
    size_t at = 0, size = 0;
    *out_size = 0;
    for (bool first = true;; first = false) {
        size_t line = chunk_line(bytes + at, n - at, &size);
        if (!line)
            return first ? CHUNKS_NONE : CHUNKS_CUT;
        at += line;
        if (!size)
            return CHUNKS_WHOLE; /* trailer fields are of no use */
        size_t have = VLM_MIN(size, n - at);
        memcpy(out + *out_size, bytes + at, have);
        *out_size += have;
        at += have;
        if (have < size)
            return CHUNKS_CUT;
        if (at < n && bytes[at] == '\r')
            at++;
        if (at < n && bytes[at] == '\n')
            at++;
    }
}

static const char *keep(struct vlm_arena *arena, struct text text, bool *failed)
{
    if (!text.at)
        return NULL;
    const char *copy = vlm_arena_copy(arena, text.at, text.n);
    *failed = *failed || !copy;
    return copy;
}

static int arena_full(struct vlm_err *err)
{
    return vlm_fail(err, VLM_ELIMIT, "no room for the body of a record");
}

/* Transfer coding: http->body becomes the entity as the server had it. */
static int undo_transfer(struct vlm_http *http, const struct message *message,
                         struct vlm_arena *arena, struct vlm_err *err)
{
    if (!message->chunked || !http->raw_length)
        return VLM_OK;
    size_t line, size;
    line = chunk_line(http->raw, http->raw_length, &size);
    if (!line)
        return VLM_OK; /* declared, but undone by the crawler */
    uint8_t *out = vlm_arena_alloc(arena, http->raw_length, 1);
    if (!out)
        return arena_full(err);
    size_t n = 0;
    enum chunks chunks = unchunk(out, &n, http->raw, http->raw_length);
    if (chunks == CHUNKS_NONE)
        return VLM_OK;
    if (chunks == CHUNKS_CUT)
        http->error = VLM_BODY_CHUNKED;
    http->body = out;
    http->body_length = n;
    return VLM_OK;
}

/* Content codings, the last one first. */
static int undo_content(struct vlm_http *http, const struct message *message,
                        struct vlm_arena *arena, struct vlm_err *err)
{
    struct vlm_coding_result result = { .bytes = http->body, .n = http->body_length };
    if (!http->body_length)
        return VLM_OK;
    if (message->n_codings > CODINGS_MAX) {
        result.error = VLM_BODY_ENCODING;
    }
    for (size_t i = message->n_codings; i-- > 0 && result.error == VLM_BODY_OK;) {
        char name[CODING_NAME_MAX];
        snprintf(name, sizeof(name), "%.*s", (int)VLM_MIN(message->codings[i].n, sizeof(name)),
                 message->codings[i].at);
        int rc = vlm_coding_undo(&result, name, arena, err);
        if (rc < 0)
            return rc;
    }
    if (result.error != VLM_BODY_OK) {
        http->error = result.error;
        http->body = http->raw;
        http->body_length = http->raw_length;
        return VLM_OK;
    }
    http->body = result.bytes;
    http->body_length = result.n;
    return VLM_OK;
}

static bool any_digest_fits(const char *field, const uint8_t *const *bytes, const size_t *n,
                            size_t readings, bool *known)
{
    for (size_t i = 0; i < readings; i++) {
        if (i && bytes[i] == bytes[i - 1] && n[i] == n[i - 1])
            continue;
        enum vlm_digest_state state = vlm_digest_check(field, bytes[i], n[i]);
        if (state == VLM_DIGEST_NONE)
            return false;
        *known = true;
        if (state == VLM_DIGEST_OK)
            return true;
    }
    return false;
}

/* Writers disagree on what a payload is: any of stored, unchunked and decoded body may fit. */
static void check_digests(struct vlm_http *http, const struct vlm_record *record,
                          const uint8_t *unchunked, size_t unchunked_length)
{
    const uint8_t *bytes[] = { http->raw, unchunked, http->body };
    const size_t n[] = { http->raw_length, unchunked_length, http->body_length };
    bool known = false;
    /* A revisit's is another record's payload; a request's is seldom what it says. */
    bool own = record->type != VLM_RECORD_REVISIT && record->type != VLM_RECORD_REQUEST;
    bool fits = own && record->payload_digest &&
                any_digest_fits(record->payload_digest, bytes, n, VLM_COUNTOF(n), &known);
    if (!fits && !known && record->block_digest) {
        http->digest =
            vlm_digest_check(record->block_digest, record->block, (size_t)record->block_length);
        return;
    }
    http->digest = fits ? VLM_DIGEST_OK : known ? VLM_DIGEST_MISMATCH : VLM_DIGEST_NONE;
}

/* Is the block of this record an HTTP response by what the record says? */
static bool promises_http(const struct vlm_record *record)
{
    if (record->type != VLM_RECORD_RESPONSE)
        return false;
    if (record->content_type && !strncasecmp(record->content_type, "application/http", 16))
        return true;
    return record->uri && !strncasecmp(record->uri, "http", 4);
}

int vlm_http_decode(struct vlm_http *http, const struct vlm_record *record, struct vlm_arena *arena,
                    struct vlm_err *err)
{
    memset(http, 0, sizeof(*http));
    http->raw = http->body = record->block;
    http->raw_length = http->body_length = (size_t)record->block_length;
    http->content_type = record->content_type;
    bool may = record->type == VLM_RECORD_RESPONSE || record->type == VLM_RECORD_REVISIT;
    struct message message = { 0 };
    bool is_http = may && record->block_length &&
                   parse_final_message(&message, record->block, (size_t)record->block_length);
    const uint8_t *unchunked = http->raw;
    size_t unchunked_length = http->raw_length;
    if (is_http) {
        bool failed = false;
        http->status = message.status;
        http->content_type = keep(arena, message.content_type, &failed);
        http->location = keep(arena, message.location, &failed);
        http->content_language = keep(arena, message.content_language, &failed);
        http->opt_out = message.opt_out;
        if (failed)
            return arena_full(err);
        http->raw += message.header_size;
        http->raw_length -= message.header_size;
        http->body = http->raw;
        http->body_length = http->raw_length;
        int rc = undo_transfer(http, &message, arena, err);
        unchunked = http->body;
        unchunked_length = http->body_length;
        if (rc == VLM_OK)
            rc = undo_content(http, &message, arena, err);
        if (rc < 0)
            return rc;
    } else if (promises_http(record)) {
        http->error = VLM_BODY_NO_HTTP;
        http->content_type = NULL;
    }
    check_digests(http, record, unchunked, unchunked_length);
    return VLM_OK;
}
