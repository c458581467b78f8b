/* sse.h - server-sent events of a call: "data: {json}" and an empty line.
 *
 *   struct vlm_json json;
 *   vlm_sse_open(&buffer, &json, NULL);     // "data: ", then the members of an object
 *   vlm_json_member_string(&json, "object", "text_completion");
 *   vlm_sse_send(call, &buffer, &json);
 */
#ifndef VLM_SERVE_SSE_H
#define VLM_SERVE_SSE_H

#include "serve/api/call.h"

/* buffer is zeroed; event: its name, NULL: none. */
void vlm_sse_open(struct vlm_buffer *buffer, struct vlm_json *json, const char *event);
/* Closes the object; the event is complete. */
void vlm_sse_close(struct vlm_buffer *buffer, struct vlm_json *json);
/* The same, sends the event, releases the buffer. */
void vlm_sse_send(struct vlm_call *call, struct vlm_buffer *buffer, struct vlm_json *json);
/* "data: [DONE]". */
void vlm_sse_done(struct vlm_call *call);
/* A comment: ": ping". */
void vlm_sse_ping(struct vlm_call *call);
void vlm_sse_error(struct vlm_call *call, int status, const char *param, const char *message);

#endif
