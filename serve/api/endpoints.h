/* endpoints.h - what the table of service.c points to: a function for each method and path, and those that describe
 * them for /openapi.json. Each answers the exchange, now or later. */
#ifndef VLM_SERVE_ENDPOINTS_H
#define VLM_SERVE_ENDPOINTS_H

#include "serve/api/call.h"

/* What the endpoints with tables read: for tests of bodies alone. */
extern const struct vlm_call_kind vlm_kind_completions, vlm_kind_chat, vlm_kind_infill,
    vlm_kind_completion, vlm_kind_score, vlm_kind_detokenize;

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

/* endpoint_completions.c */
VLM_ENDPOINT(vlm_post_completions);
void vlm_describe_completions(struct vlm_buffer *out);

/* endpoint_chat.c */
VLM_ENDPOINT(vlm_post_chat);
VLM_ENDPOINT(vlm_post_template);
void vlm_describe_chat(struct vlm_buffer *out);
void vlm_describe_template(struct vlm_buffer *out);

/* endpoint_infill.c */
VLM_ENDPOINT(vlm_post_infill);
VLM_ENDPOINT(vlm_post_completion);
void vlm_describe_infill(struct vlm_buffer *out);
void vlm_describe_completion(struct vlm_buffer *out);

/* endpoint_score.c */
VLM_ENDPOINT(vlm_post_score);
void vlm_describe_score(struct vlm_buffer *out);

/* endpoint_text.c */
VLM_ENDPOINT(vlm_post_tokenize);
VLM_ENDPOINT(vlm_post_detokenize);
void vlm_describe_tokenize(struct vlm_buffer *out);
void vlm_describe_detokenize(struct vlm_buffer *out);

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
