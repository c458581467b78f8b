/* request_body.h - the body of an HTTP request out of bytes as they come: Content-Length, or chunks.
 *
 *   struct vlm_body body;
 *   vlm_body_begin(&body, &head, body_max);              // may be complete at once
 *   while ((rc = vlm_body_feed(&body, bytes, n, &used)) == VLM_HEAD_MORE) ...
 *   body.bytes.data, body.bytes.size                     // NUL behind it
 *   vlm_body_release(&body);
 *
 * Memory grows with what has come, never with what is announced. Trailers are checked and dropped. */
#ifndef VLM_SERVE_HTTP_REQUEST_BODY_H
#define VLM_SERVE_HTTP_REQUEST_BODY_H

#include "serve/http/request_head.h"

struct vlm_body {
    struct vlm_buffer bytes;
    int status;      /* why it is refused */
    const char *why; /* may be the sentence below */
    char sentence[128];
    /* while it is read */
    uint64_t left; /* of the body, or of the chunk */
    size_t max, extra, line_n, trailers;
    bool chunked, carriage_return;
    enum { VLM_BODY_DATA, VLM_BODY_DATA_END, VLM_BODY_CHUNK_LINE, VLM_BODY_TRAILER } part;
    char line[VLM_REQUEST_CHUNK_LINE + 1];
};

/* VLM_HEAD_BAD: announced as larger than max (413), with both sizes. */
enum vlm_head_result vlm_body_begin(struct vlm_body *body, const struct vlm_head *head, size_t max);
enum vlm_head_result vlm_body_feed(struct vlm_body *body, const uint8_t *bytes, size_t n,
                                   size_t *used);
void vlm_body_release(struct vlm_body *body);

#endif
