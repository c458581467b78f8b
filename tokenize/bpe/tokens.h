/* tokens.h - what a text becomes: ids, and where in the text each stands.
 *
 *   struct vlm_tokens tokens = { .with_spans = true };   // set before anything is appended
 *   if (!vlm_tokens_reserve(&tokens, 1)) ...
 *   tokens.ids[tokens.n] = id;
 *   tokens.spans[tokens.n++] = (struct vlm_token_span){ start, end };
 *   vlm_tokens_release(&tokens);
 *
 * One owner, no threads. */
#ifndef VLM_TOKENIZE_TOKENS_H
#define VLM_TOKENIZE_TOKENS_H

#include "base/vlm.h"

/* The bytes [start, end) of the text that a token stands for. */
struct vlm_token_span {
    uint32_t start, end;
};

/* Tokens of a text, appended by vlm_text_encode(). Zeroed, but for with_spans, it is empty. */
struct vlm_tokens {
    uint32_t *ids;                /* [n] */
    struct vlm_token_span *spans; /* [n]; NULL unless with_spans */
    size_t n, capacity;
    bool with_spans;
};

/* Room for `more` tokens behind the n there are; false when memory ran out. */
VLM_MUST_CHECK bool vlm_tokens_reserve(struct vlm_tokens *tokens, size_t more);
void vlm_tokens_release(struct vlm_tokens *tokens);

#endif
