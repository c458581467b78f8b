/* logprobs.h - how likely the tokens of an answer were, in the two shapes that OpenAI's API has. */
#ifndef VLM_SERVE_LOGPROBS_H
#define VLM_SERVE_LOGPROBS_H

#include "serve/api/call.h"

/* "logprobs": {"tokens", "token_logprobs", "top_logprobs", "text_offset"} of the drawn tokens [from, to); null when
 * none are wanted. *offset: characters of the text before, moved on. */
void vlm_write_logprobs(const struct vlm_call *call, struct vlm_json *json,
                        const struct vlm_call_choice *choice, size_t from, size_t to,
                        size_t *offset);

/* The same of a prompt that was scored (call->n_scores), without the token that was put in front of it, and of n drawn
 * tokens behind it. A first token has null, since nothing is in front of it, and so have all of the prompt when the time
 * was over before it was scored. */
void vlm_write_echo_logprobs(const struct vlm_call *call, struct vlm_json *json,
                             const struct vlm_call_choice *choice, size_t n);
/* Characters of the prompt there: where the drawn tokens begin. */
size_t vlm_echo_characters(const struct vlm_call *call, const struct vlm_call_choice *choice);

/* [{"token", "logprob", "bytes", "id", "top_logprobs"}] of the drawn tokens [from, to). */
void vlm_write_probabilities(const struct vlm_call *call, struct vlm_json *json,
                             const struct vlm_call_choice *choice, size_t from, size_t to);

/* "logprobs": {"content": [...]} with these; null when none are wanted. */
void vlm_write_chat_logprobs(const struct vlm_call *call, struct vlm_json *json,
                             const struct vlm_call_choice *choice, size_t from, size_t to);

#endif
