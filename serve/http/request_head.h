/* request_head.h - the head of an HTTP request: bytes in, a struct out, nothing read or written.
 *
 *   struct vlm_head head = { 0 };
 *   switch (vlm_head_feed(&head, bytes, n, &used)) {     // as they come; used: how many it took
 *   case VLM_HEAD_MORE: ...                              // all of them, and it is not complete
 *   case VLM_HEAD_DONE: head.method, vlm_head_text(&head, head.path), ...
 *   case VLM_HEAD_BAD:  head.status, head.why            // for an answer, then the connection is closed
 *   }
 *   vlm_head_release(&head);
 *
 * Strict (RFC 9112): lines end with CR LF and nothing else, a name touches its colon, no line is folded, no byte is
 * below 0x20 (but a tab in a value) or above 0x7e; one Host, one Content-Length of digits only, or
 * "Transfer-Encoding: chunked" and no Content-Length. What two readers could understand differently is refused. */
#ifndef VLM_SERVE_HTTP_REQUEST_HEAD_H
#define VLM_SERVE_HTTP_REQUEST_HEAD_H

#include "base/buffer.h"
#include "base/limits.h"
#include "serve/http/http_server.h"

enum vlm_head_result { VLM_HEAD_MORE, VLM_HEAD_DONE, VLM_HEAD_BAD };

/* Places in the text of the head; 0 is the empty string. */
typedef uint32_t vlm_head_at;

struct vlm_head {
    /* what it says, when it is done */
    enum vlm_http_method method;
    unsigned minor;           /* HTTP/1.minor: 0 or 1 */
    vlm_head_at path, query;  /* as in struct vlm_http_request; "*" is the path of OPTIONS * */
    vlm_head_at host;         /* the name or address in Host, lower case, without port, "[::1]" */
    vlm_head_at authority;    /* Host as sent, lower case */
    vlm_head_at content_type; /* lower case, without parameters */
    vlm_head_at boundary;
    bool has_length, chunked;
    uint64_t length; /* UINT64_MAX: more than fits */
    bool close, keep_alive, expects_continue;
    /* why it is refused */
    int status;
    const char *why; /* a sentence */
    /* while it is read */
    struct vlm_buffer text; /* strings with NUL at their ends */
    struct vlm_head_field {
        vlm_head_at name, value; /* the name in lower case */
    } field[VLM_REQUEST_FIELDS_MAX];
    size_t n_fields, fields_bytes;
    vlm_head_at line; /* where the line begins that is read */
    enum { VLM_HEAD_START, VLM_HEAD_LINE, VLM_HEAD_FIELDS } part;
    bool carriage_return, blank_line;
};

/* Reads on. Not after DONE or BAD. */
enum vlm_head_result vlm_head_feed(struct vlm_head *head, const uint8_t *bytes, size_t n,
                                   size_t *used);

/* The string at a place; valid until the head is released. */
static inline const char *vlm_head_text(const struct vlm_head *head, vlm_head_at at)
{
    return at ? (const char *)head->text.data + at : "";
}

/* The value of a field, name in lower case; NULL: absent. count: of fields of that name, may be NULL. */
const char *vlm_head_field(const struct vlm_head *head, const char *name, size_t *count);

void vlm_head_release(struct vlm_head *head);

/* "GET" of a method. */
const char *vlm_method_name(enum vlm_http_method method);

/* Whether a line is "name: value" as fields are; *name_n and the value are set. For trailers too. */
bool vlm_field_line(const char *line, size_t n, size_t *name_n, const char **value,
                    size_t *value_n);

#endif
