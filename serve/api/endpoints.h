/* endpoints.h - what the table of service.c points to: a kind of call, or a function, for each method and path, and
 * those that describe them for /openapi.json. Each answers the exchange, now or later. */
#ifndef VLM_SERVE_ENDPOINTS_H
#define VLM_SERVE_ENDPOINTS_H

#include "serve/api/call.h"

/* endpoint_completions.c, endpoint_chat.c, endpoint_infill.c, endpoint_score.c, endpoint_text.c */
extern const struct vlm_call_kind vlm_kind_completions, vlm_kind_chat, vlm_kind_template,
    vlm_kind_infill, vlm_kind_completion, vlm_kind_score, vlm_kind_detokenize;

#define VLM_ENDPOINT(name) void name(struct vlm_service *service, struct vlm_exchange *exchange)

/* endpoint_state.c */
VLM_ENDPOINT(vlm_get_health);
VLM_ENDPOINT(vlm_get_live);
VLM_ENDPOINT(vlm_get_ready);
VLM_ENDPOINT(vlm_get_metrics);
VLM_ENDPOINT(vlm_get_models);
VLM_ENDPOINT(vlm_get_model);
VLM_ENDPOINT(vlm_get_props);
VLM_ENDPOINT(vlm_get_slots);
VLM_ENDPOINT(vlm_get_version);
VLM_ENDPOINT(vlm_get_page);
void vlm_describe_metrics(struct vlm_buffer *out);
void vlm_describe_page(struct vlm_buffer *out);
void vlm_describe_slots(struct vlm_buffer *out);

/* endpoint_text.c */
VLM_ENDPOINT(vlm_post_tokenize);
void vlm_describe_tokenize(struct vlm_buffer *out);

/* openapi.c */
VLM_ENDPOINT(vlm_get_openapi);

/* endpoint_images.c */
VLM_ENDPOINT(vlm_post_generations);
VLM_ENDPOINT(vlm_post_edits);
void vlm_describe_generations(struct vlm_buffer *out);
void vlm_describe_edits(struct vlm_buffer *out);

/* endpoint_blobs.c */
VLM_ENDPOINT(vlm_put_blob);
VLM_ENDPOINT(vlm_get_blob);
void vlm_describe_put_blob(struct vlm_buffer *out);
void vlm_describe_get_blob(struct vlm_buffer *out);

/* endpoint_vq.c */
VLM_ENDPOINT(vlm_post_vq_encode);
VLM_ENDPOINT(vlm_post_vq_decode);
void vlm_describe_vq_encode(struct vlm_buffer *out);
void vlm_describe_vq_decode(struct vlm_buffer *out);

#endif
