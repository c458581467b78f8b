/* request_body.c - bodies with Content-Length and chunked bodies (RFC 9112 §6 and §7.1), strictly: sizes of one to
 * sixteen hexadecimal digits, lines that end with CR LF, bounded extensions, no field in a trailer that would have
 * said something about framing, routing or rights. */
#include "base/vlm.h"
#include "serve/http/request_body.h"

static enum vlm_head_result bad(struct vlm_body *body, int status, const char *why)
{
    body->status = status;
    body->why = why;
    return VLM_HEAD_BAD;
}

/* Chunks may bring more than they have announced so far, and a length of more than 64 bits is cut. */
static enum vlm_head_result too_large(struct vlm_body *body, uint64_t size)
{
    snprintf(body->sentence, sizeof(body->sentence),
             "the body has %s%" PRIu64 " bytes, at most %zu may be (--max-body)",
             body->chunked || size == UINT64_MAX ? "at least " : "", size, body->max);
    return bad(body, 413, body->sentence);
}

/* A NUL behind the bytes, which does not count. */
static enum vlm_head_result finish(struct vlm_body *body)
{
    body->bytes.max = 0;
    uint8_t *end = vlm_buffer_reserve(&body->bytes, 1);
    if (!end)
        return bad(body, 503, "there is no memory for the body");
    *end = '\0';
    return VLM_HEAD_DONE;
}

enum vlm_head_result vlm_body_begin(struct vlm_body *body, const struct vlm_head *head, size_t max)
{
    *body = (struct vlm_body){ .max = max, .chunked = head->chunked };
    if (head->chunked) {
        body->part = VLM_BODY_CHUNK_LINE;
        return VLM_HEAD_MORE;
    }
    if (head->length > max)
        return too_large(body, head->length);
    body->left = head->length;
    return body->left ? VLM_HEAD_MORE : finish(body);
}

/* "1a" or "1a;name=value" */
static enum vlm_head_result take_chunk_line(struct vlm_body *body)
{
    uint64_t size = 0;
    size_t n = 0;
    for (; n < body->line_n; n++) {
        char c = body->line[n];
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (unsigned)((c | 0x20) - 'a') + 10;
        else
            break;
        if (n == 16)
            return bad(body, 400, "the size of a chunk has too many digits");
        size = size << 4 | digit;
    }
    if (!n || (n < body->line_n && body->line[n] != ';'))
        return bad(body, 400, "the size of a chunk is not a hexadecimal number");
    body->extra += body->line_n - n;
    if (body->extra > VLM_REQUEST_CHUNK_EXTRA)
        return bad(body, 400, "the chunks have too many extensions");
    if (size > body->max - body->bytes.size)
        return too_large(body, size > UINT64_MAX - body->bytes.size ? UINT64_MAX
                                                                    : body->bytes.size + size);
    body->left = size;
    body->part = size ? VLM_BODY_DATA : VLM_BODY_TRAILER;
    return VLM_HEAD_MORE;
}

static enum vlm_head_result take_trailer(struct vlm_body *body)
{
    static const char *const never[] = {
        "content-length",
        "transfer-encoding",
        "host",
        "connection",
        "authorization",
        "content-type",
        "content-encoding",
        "expect",
        "trailer",
        "origin",
        "te",
        "x-request-id",
    };
    size_t name_n, value_n;
    const char *value;
    if (!body->line_n)
        return finish(body);
    if (!vlm_field_line(body->line, body->line_n, &name_n, &value, &value_n))
        return bad(body, 400, "a trailer is not \"Name: value\"");
    for (size_t i = 0; i < VLM_COUNTOF(never); i++) {
        size_t k = 0;
        while (k < name_n && never[i][k] &&
               (body->line[k] >= 'A' && body->line[k] <= 'Z' ? body->line[k] + 32
                                                             : body->line[k]) == never[i][k])
            k++;
        if (k == name_n && !never[i][k])
            return bad(body, 400, "a trailer has a field that belongs into the head");
    }
    body->extra += body->line_n;
    if (body->trailers++ == VLM_REQUEST_FIELDS_MAX || body->extra > VLM_REQUEST_CHUNK_EXTRA)
        return bad(body, 400, "there are too many trailers");
    return VLM_HEAD_MORE;
}

/* A byte of a line before a chunk or of a trailer. */
static enum vlm_head_result take_line_byte(struct vlm_body *body, uint8_t byte)
{
    if (body->carriage_return) {
        if (byte != '\n')
            return bad(body, 400, "a CR stands without LF in a chunk");
        enum vlm_head_result result =
            body->part == VLM_BODY_TRAILER ? take_trailer(body) : take_chunk_line(body);
        body->carriage_return = false;
        body->line_n = 0;
        return result;
    }
    if (byte == '\r') {
        body->carriage_return = true;
        return VLM_HEAD_MORE;
    }
    if ((byte < 0x20 && byte != '\t') || byte > 0x7e)
        return bad(body, 400, "a chunk begins with something else than its size");
    if (body->line_n == VLM_REQUEST_CHUNK_LINE)
        return bad(body, 400, "a line between chunks is too long");
    body->line[body->line_n++] = (char)byte;
    return VLM_HEAD_MORE;
}

/* The CR LF behind the bytes of a chunk. */
static enum vlm_head_result take_data_end(struct vlm_body *body, uint8_t byte)
{
    if (byte != (body->carriage_return ? '\n' : '\r'))
        return bad(body, 400, "a chunk is longer than its size");
    if (body->carriage_return)
        body->part = VLM_BODY_CHUNK_LINE;
    body->carriage_return = !body->carriage_return;
    return VLM_HEAD_MORE;
}

enum vlm_head_result vlm_body_feed(struct vlm_body *body, const uint8_t *bytes, size_t n,
                                   size_t *used)
{
    enum vlm_head_result result = VLM_HEAD_MORE;
    *used = 0;
    while (*used < n && result == VLM_HEAD_MORE) {
        if (body->part != VLM_BODY_DATA) {
            uint8_t byte = bytes[(*used)++];
            result = body->part == VLM_BODY_DATA_END ? take_data_end(body, byte)
                                                     : take_line_byte(body, byte);
            continue;
        }
        size_t take = n - *used < body->left ? n - *used : (size_t)body->left;
        vlm_buffer_add(&body->bytes, bytes + *used, take);
        if (body->bytes.failed)
            return bad(body, 503, "there is no memory for the body");
        *used += take;
        body->left -= take;
        if (!body->left && !body->chunked)
            return finish(body);
        if (!body->left)
            body->part = VLM_BODY_DATA_END;
    }
    return result;
}

void vlm_body_release(struct vlm_body *body)
{
    vlm_buffer_release(&body->bytes);
    *body = (struct vlm_body){ 0 };
}
