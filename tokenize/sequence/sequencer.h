/* sequencer.h - what sequence.c and sequence_parse.c share. */
#ifndef VLM_TOKENIZE_SEQUENCER_H
#define VLM_TOKENIZE_SEQUENCER_H

#include "tokenize/sequence/segment.h"
#include "tokenize/sequence/sequence.h"

struct vlm_tag_cache;

struct vlm_sequencer {
    const struct vlm_vocabulary *vocabulary;
    struct vlm_text_encoder *encoder;
    struct vlm_tokens tokens;    /* of one segment */
    struct vlm_buffer rendering; /* of the last document */
    struct vlm_tag_cache *cache;
    const char *text; /* what start counts in */
    size_t tag;       /* position of the first token of the last tag */
};

/* Appends one token. Weights are written by vlm_sequencer_end(). */
VLM_MUST_CHECK int vlm_sequencer_add(struct vlm_sequence *out, uint32_t id,
                                     enum vlm_modality modality, uint32_t start,
                                     struct vlm_err *err);

/* Appends the tokens of a segment that is text, markup or a control word; the id of a control
 * word is looked up. */
VLM_MUST_CHECK int vlm_sequencer_add_segment(struct vlm_sequencer *sequencer,
                                             struct vlm_sequence *out,
                                             const struct vlm_segment *segment,
                                             struct vlm_err *err);

/* Gives every token its weight of 1. */
VLM_MUST_CHECK int vlm_sequencer_end(struct vlm_sequence *out, struct vlm_err *err);

/* Lists an image of n_tokens at position. */
VLM_MUST_CHECK int vlm_sequencer_add_image(struct vlm_sequence *out,
                                           const struct vlm_sequence_image *image,
                                           struct vlm_err *err);

#endif
