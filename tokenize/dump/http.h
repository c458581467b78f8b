/* http.h - the HTTP message inside a record: status, headers, the body as it was meant. */
#ifndef VLM_TOKENIZE_HTTP_H
#define VLM_TOKENIZE_HTTP_H

#include "base/arena.h"
#include "tokenize/dump/record.h"

/* Why a body is not what its headers promise; names by vlm_body_error_name(). */
enum vlm_body_error {
    VLM_BODY_OK,
    VLM_BODY_NO_HTTP,  /* http: no status line, or header without end */
    VLM_BODY_CHUNKED,  /* chunked: last chunk missing; what came before it is kept */
    VLM_BODY_ENCODING, /* encoding: unknown content coding, or its stream is damaged */
    VLM_BODY_BOMB,     /* bomb: over VLM_BODY_MAX or VLM_INFLATE_RATIO_MAX */
};
const char *vlm_body_error_name(enum vlm_body_error error);

struct vlm_http {
    int status; /* 0: no HTTP message here (resource, conversion, ...) */
    const char
        *content_type; /* value of the header, or of the record for other types; NULL absent */
    const char *location;
    const char *content_language;
    unsigned opt_out;   /* vlm_opt_out bits of X-Robots-Tag */
    const uint8_t *raw; /* body as stored, before any decoding */
    size_t raw_length;
    const uint8_t *body; /* after transfer and content decoding; the raw bytes on an error */
    size_t body_length;
    enum vlm_body_error error;
    enum vlm_digest_state digest; /* WARC-Payload-Digest against raw or dechunked bytes, and the
                                   * block digest: mismatch only when no reading fits */
};

/* Splits and decodes the record's block. Memory from arena; strings and bytes are valid until its
 * reset. Never fails for bad content: error says what is wrong. VLM_ELIMIT when the arena is full.
 */
VLM_MUST_CHECK int vlm_http_decode(struct vlm_http *http, const struct vlm_record *record,
                                   struct vlm_arena *arena, struct vlm_err *err);

/* What the payload is, by type and first bytes. */
enum vlm_payload { VLM_PAYLOAD_OTHER, VLM_PAYLOAD_HTML, VLM_PAYLOAD_IMAGE, VLM_PAYLOAD_TEXT };
enum vlm_payload vlm_payload_kind(const struct vlm_record *record, const struct vlm_http *http);

#endif
