/* openapi.h - pieces of /openapi.json that endpoints write of themselves. */
#ifndef VLM_SERVE_OPENAPI_H
#define VLM_SERVE_OPENAPI_H

#include "serve/api/request.h"

/* Statuses that an endpoint answers with, beside those that all have (the gate's). */
enum vlm_openapi_status {
    VLM_OPENAPI_404 = 1,
    VLM_OPENAPI_503 = 2,
};

/* "requestBody": {...}, "responses": {...} of an endpoint whose JSON body is read by kind->groups, whose answer is the
 * named schema of the components (NULL: any object), and which makes the model work: it may be streamed. Without
 * memory for a call of the kind the defaults of the fields are left out. */
struct vlm_call_kind;
void vlm_openapi_model(struct vlm_buffer *out, const struct vlm_call_kind *kind,
                       const char *answer);

/* The same of one that answers at once. request: its defaults, NULL: none. groups NULL: no body. */
void vlm_openapi_body(struct vlm_buffer *out, const struct vlm_field_group *const *groups,
                      const void *request, const char *answer, unsigned statuses);

/* "responses" of 200 with a type of content, and of the statuses. */
void vlm_openapi_responses(struct vlm_buffer *out, const char *content_type, const char *answer,
                           unsigned statuses);

/* ", "400": {...}" and so on, for an endpoint that writes its responses itself. */
void vlm_openapi_errors(struct vlm_buffer *out, unsigned statuses);

#endif
