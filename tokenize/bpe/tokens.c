/* tokens.c - a list of tokens that grows. */
#include "base/vlm.h"

#include "tokenize/bpe/tokens.h"

enum { CAPACITY_MIN = 256 };

bool vlm_tokens_reserve(struct vlm_tokens *tokens, size_t more)
{
    if (more <= tokens->capacity - tokens->n)
        return true;
    size_t capacity = VLM_MAX(tokens->capacity, (size_t)CAPACITY_MIN);
    while (capacity - tokens->n < more) {
        if (capacity > SIZE_MAX / 2 / sizeof(struct vlm_token_span))
            return false;
        capacity *= 2;
    }
    uint32_t *ids = realloc(tokens->ids, capacity * sizeof *ids);
    if (!ids)
        return false;
    tokens->ids = ids;
    if (tokens->with_spans) {
        struct vlm_token_span *spans = realloc(tokens->spans, capacity * sizeof *spans);
        if (!spans)
            return false;
        tokens->spans = spans;
    }
    tokens->capacity = capacity;
    return true;
}

void vlm_tokens_release(struct vlm_tokens *tokens)
{
    if (!tokens)
        return;
    free(tokens->ids);
    free(tokens->spans);
    *tokens = (struct vlm_tokens){ .with_spans = tokens->with_spans };
}
