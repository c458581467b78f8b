/* sequence.h - documents, and strings that people wrote, as the ids a model sees.
 *
 *   rc = vlm_sequencer_new(&sequencer, &vocabulary, &err);                  // one a thread
 *   rc = vlm_sequence_render(sequencer, &sequence, document, VLM_RENDER_CM3, 0, &err);
 *   for (size_t i = 0; i < sequence.n; i++)
 *       ... sequence.ids[i], sequence.modality[i] ...
 *   vlm_sequence_release(&sequence);
 *
 * A rendering (render.h) is cut into segments, each of one modality and tokenised by itself: a tag
 * from < to > but for the values of attributes that hold language (alt, title, content, ...), which
 * are text; text between tags; the 256 codes of an image; control words. So the ids around a border
 * do not depend on what stands beyond it, and a prompt that ends at a border has the ids that
 * training saw. The rules stand in schemas/sequence.md.
 *
 * Text of a page can never become a control token or a code: render.h. */
#ifndef VLM_TOKENIZE_SEQUENCE_H
#define VLM_TOKENIZE_SEQUENCE_H

#include "tokenize/render/render.h"
#include "tokenize/sequence/vocabulary.h"

enum vlm_modality {
    VLM_MODALITY_TEXT,
    VLM_MODALITY_MARKUP, /* tags, and control tokens */
    VLM_MODALITY_IMAGE,  /* codes */
    VLM_MODALITIES,
};

/* "text", "markup" or "image". */
const char *vlm_modality_name(unsigned modality);

#define VLM_NOWHERE UINT32_MAX

/* An image in a sequence. In cm3 and htlm position is that of the first of its codes, n_tokens
 * is 256 (less where a block of cut documents or a prompt has only some); in m3w and pair it is
 * that of <image>, n_tokens 1. */
struct vlm_sequence_image {
    uint32_t image; /* index into document->images; VLM_NOWHERE in prompts */
    uint32_t position, n_tokens;
    uint32_t tag; /* position of the first token of its tag, at most position */
};

/* Zeroed it is empty; every function that fills one keeps its memory. One owner. */
struct vlm_sequence {
    uint32_t *ids;
    float *weights;    /* of the loss when this token is predicted; 1 in a document as rendered */
    uint8_t *modality; /* vlm_modality */
    /* Where the token begins in the rendering, in bytes; VLM_NOWHERE: it is not in it. A code
     * begins at its image's place. Nothing reads it in training: it is for traces. */
    uint32_t *start;
    size_t n, capacity;
    struct vlm_sequence_image *images;
    size_t n_images, images_capacity;
};

/* Room for more tokens, or images, behind the last; false when memory ran out. */
VLM_MUST_CHECK bool vlm_sequence_reserve(struct vlm_sequence *sequence, size_t more);
VLM_MUST_CHECK bool vlm_sequence_reserve_images(struct vlm_sequence *sequence, size_t more);
void vlm_sequence_reset(struct vlm_sequence *sequence); /* empty, memory kept */
void vlm_sequence_release(struct vlm_sequence *sequence);

/* Free it also when it could not be made. */
struct vlm_sequencer;
VLM_MUST_CHECK int vlm_sequencer_new(struct vlm_sequencer **out,
                                     const struct vlm_vocabulary *vocabulary, struct vlm_err *err);
void vlm_sequencer_free(struct vlm_sequencer *sequencer);

/* The document in a form (cm3, htlm, m3w, pair, text), nothing masked, no begin or end token but
 * those that the form itself writes: <BOS> is VLM_CONTROL_BEGIN, and m3w and each line of pair
 * end with VLM_CONTROL_END. Images give their codes in cm3 and htlm; one that has none counts
 * as one that cannot be used. For pair, the lines stand one behind the other (the line break is no
 * token): each begins at a VLM_CONTROL_BEGIN. VLM_SKIP: an image has codes, the vocabulary has none;
 * VLM_EDIFFER: it has fewer; VLM_ELIMIT: a rendering of 4 GiB; VLM_ENOMEM. */
VLM_MUST_CHECK int vlm_sequence_render(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                                       const struct vlm_document *document, enum vlm_render form,
                                       unsigned flags, struct vlm_err *err);

/* The rendering that the last vlm_sequence_render() made, with <image:N> for image N
 * (VLM_RENDER_PLACEHOLDERS); valid until the next call. */
struct vlm_bytes vlm_sequencer_rendering(const struct vlm_sequencer *sequencer);

enum vlm_parse_flag {
    VLM_PARSE_MARKUP =
        1, /* the string is HTML (cm3, htlm); else text with control words (m3w, pair) */
    /* Control words count in markup too, and codes may be less than 256 where a <mask:N> stands
     * among them or the text ends. */
    VLM_PARSE_PROMPT = 2,
};

/* A string as ids, in the same segments: 256 numbers below n_codes in the src of an img are
 * codes, anything else there is text. VLM_ELIMIT: 4 GiB; VLM_ENOMEM. */
VLM_MUST_CHECK int vlm_sequence_parse(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                                      const char *text, size_t n, unsigned flags,
                                      struct vlm_err *err);

/* The same, but control words count only where they begin at one of these offsets of the text, which ascend: what
 * others wrote stands beside what the caller means. */
VLM_MUST_CHECK int vlm_sequence_parse_at(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                                         const char *text, size_t n, unsigned flags,
                                         const uint32_t *places, size_t n_places,
                                         struct vlm_err *err);

/* Appends the string of n ids: codes as decimal numbers with one space between, and around a
 * mask among them; control tokens as their words, but begin and end as <BOS> and <EOS>, since in
 * markup <s> is a tag. What vlm_sequence_parse() makes of the string of a document is its ids
 * again. VLM_EFORMAT: an id stands for nothing. */
VLM_MUST_CHECK int vlm_sequence_text(struct vlm_buffer *out,
                                     const struct vlm_vocabulary *vocabulary, const uint32_t *ids,
                                     size_t n, struct vlm_err *err);

#endif
