/* form.h - multipart forms as requests: files apart, all other parts by the same tables as JSON bodies.
 *
 *   static const char *const files[] = { "image", "mask", NULL };
 *   if (vlm_form_read(call, &form, files, groups))        // else it has been answered
 *       part = vlm_multipart_find(&form, "mask", 0); */
#ifndef VLM_SERVE_FORM_H
#define VLM_SERVE_FORM_H

#include "serve/api/call.h"
#include "serve/api/multipart.h"

#define VLM_IMAGE_URL_SCHEMA                                                                       \
    "{\"type\": \"string\", \"pattern\": \"^(data:[^,]*;base64,|vlm:sha256:[0-9a-fA-F]{64}$)\"}"

/* Parses the body, reads what is no file into the call by its tables (NULL at the end), and checks the call as
 * vlm_call_read() does. A field of the table that wants a number or true or false takes its text as JSON. files: names
 * (NULL at the end) of parts that are left to the caller, whose bytes stay in the body. False: answered, the call is
 * gone. */
bool vlm_form_read(struct vlm_call *call, struct vlm_multipart *form, const char *const *files,
                   const struct vlm_field_group *const *groups);

/* Adds the bytes of a file, which live as long as the request, as a picture of the call; param: its field. NULL:
 * answered, the call is gone. */
struct vlm_call_picture *vlm_form_take_image(struct vlm_call *call, const char *param,
                                             const uint8_t *bytes, size_t n);

/* For /openapi.json: "requestBody" of JSON by tables (request: its defaults) and of more types of content (", ..." or
 * ""), "responses" of 200 with the schema of a JSON answer and of more types, and of errors. */
void vlm_form_describe(struct vlm_buffer *out, const void *request,
                       const struct vlm_field_group *const *groups, const char *more_bodies,
                       const char *answer, const char *more_answers);

/* The errors behind such responses: of enum vlm_openapi_status, and one more status (0: none). */
void vlm_form_describe_errors(struct vlm_buffer *out, unsigned statuses, int more);

#endif
