/* http_internal.h - content codings, for http.c and its tests. */
#ifndef VLM_TOKENIZE_HTTP_INTERNAL_H
#define VLM_TOKENIZE_HTTP_INTERNAL_H

#include "tokenize/dump/http.h"

struct vlm_coding_result {
    const uint8_t *bytes;
    size_t n;
    enum vlm_body_error error; /* bytes are as they were when it is not OK */
};

/* Undoes one content coding: gzip, deflate, br, zstd. Bytes that do not look like the coding are
 * left alone, without an error. VLM_ELIMIT when the arena is full. */
VLM_MUST_CHECK int vlm_coding_undo(struct vlm_coding_result *result, const char *name,
                                   struct vlm_arena *arena, struct vlm_err *err);

#endif
