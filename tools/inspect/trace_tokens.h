/* trace_tokens.h - from a token of a document's sequence to its place in the rendering, and the proof that the page's
 * bytes are its text. */
#ifndef VLM_TOOLS_TRACE_TOKENS_H
#define VLM_TOOLS_TRACE_TOKENS_H

#include "tokenize/sequence/sequence.h"
#include "tools/inspect/trace.h"

/* One thread. */
struct vlm_trace_tokens {
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    struct vlm_sequencer *sequencer;
    struct vlm_text_encoder *encoder;
    struct vlm_tokens tokens; /* of bytes of the page */
    struct vlm_buffer bytes;

    struct vlm_sequence sequence; /* of the document */
    int64_t *shift;               /* [sequence.n_images] see trace_tokens.c */
    size_t shift_capacity;
};

/* tokenizer: as vlm_text_tokenizer_open(); n_codes: of the image codebook, 0: no images. */
VLM_MUST_CHECK int vlm_trace_tokens_open(struct vlm_trace_tokens *tokens, const char *tokenizer,
                                         uint32_t n_codes, struct vlm_err *err);
void vlm_trace_tokens_release(struct vlm_trace_tokens *tokens);

/* Makes the sequence of the document; flags as for its rendering. VLM_SKIP: the
 * tokenizer of images is unknown. */
VLM_MUST_CHECK int vlm_trace_tokens_render(struct vlm_trace_tokens *tokens,
                                           const struct vlm_document *document,
                                           enum vlm_render form, unsigned flags,
                                           struct vlm_err *err);

/* The place of token number i < sequence.n. *code gets the number of a code in its image, else -1. */
struct vlm_place vlm_trace_token(const struct vlm_trace_tokens *tokens,
                                 const struct vlm_trace *trace, size_t i, int *code);

/* The member token. */
void vlm_trace_json_token(struct vlm_json *json, const struct vlm_trace_tokens *tokens, size_t i);

/* The members ids and same: what the page's bytes are as tokens. A part of a character or of a word may be another
 * token by itself; then "context" has the tokens around it that the page's bytes do give, or "joined" says that the
 * page writes otherwise what it is joined to. Writes nothing without the crawl, or when the place is made or a code. */
VLM_MUST_CHECK int vlm_trace_json_ids(struct vlm_json *json, struct vlm_trace_tokens *tokens,
                                      const struct vlm_trace *trace, const struct vlm_place *place,
                                      size_t i, struct vlm_err *err);

#endif
