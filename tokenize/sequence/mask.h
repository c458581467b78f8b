/* mask.h - the causal-masked objective (Aghajanyan et al. 2022, "CM3", section 2): spans of a
 * document are replaced by <mask:i> and moved to its end.
 *
 *   uint32_t asked = vlm_mask_count(&rules, &random);
 *   size_t n = vlm_mask_draw(spans, asked, &rules, &random, in.n, in.images, in.n_images);
 *   rc = vlm_mask_apply(&masked, &in, 0, in.n, spans, n, &vocabulary, &err);
 *   rc = vlm_unmask(ids, &n_ids, masked.ids, masked.n, &vocabulary, &err);  // the document again
 *
 * x1 x2 [x3 x4 x5] x6 x7 becomes x1 x2 <mask:0> x6 x7 <mask:0> x3 x4 x5 <eoss>: 3 tokens more a
 * span. */
#ifndef VLM_TOKENIZE_MASK_H
#define VLM_TOKENIZE_MASK_H

#include "base/random.h"
#include "tokenize/sequence/sequence.h"

/* What a span may do to an image. */
enum vlm_mask_images {
    VLM_MASK_IMAGES_WHOLE, /* no end inside an image: it goes to the nearer edge; a span inside one
                                image takes all of it */
    VLM_MASK_IMAGES_SNAP,  /* the same, but a span may lie inside one image (infilling pictures) */
    VLM_MASK_IMAGES_FREE,  /* as the paper: anywhere */
    VLM_MASK_IMAGES_NOBREAK, /* CM3Leon: a span crosses no border between an image and the rest */
    /* Spans are drawn as if an image were one token: words beside a picture are masked as often as they
     * are without it, a picture as often as a word. */
    VLM_MASK_IMAGES_UNIT,
};
#define VLM_MASK_IMAGES_WORDS "whole|snap|free|nobreak|unit"

struct vlm_mask_rules {
    double lambda;     /* of the Poisson distribution of the number of masks; 0: no masks */
    uint32_t min, max; /* clamp */
    enum vlm_mask_images images;
    bool first_kept; /* a single span never begins at the first token (CM3Leon) */
};

struct vlm_span {
    uint32_t start, end; /* tokens [start, end), never empty */
};

/* How many masks are asked for: Poisson(lambda) clamped. It must be drawn before the length is
 * known (the masks take room), so it is a call of its own; then the spans. The draws, their
 * order and the arithmetic stand in schemas/sample.md. */
uint32_t vlm_mask_count(const struct vlm_mask_rules *rules, struct vlm_random *random);

/* Draws at most n spans of a document of `length` tokens with these images, in order; returns how
 * many there are. spans has room for n. */
size_t vlm_mask_draw(struct vlm_span *spans, uint32_t n, const struct vlm_mask_rules *rules,
                     struct vlm_random *random, size_t length,
                     const struct vlm_sequence_image *images, size_t n_images);

/* Appends the tokens [from, to) of in, masked; spans are relative to from. Weights of mask tokens
 * are 0 (CM3 section 2). Images that were moved are listed at their new places. */
VLM_MUST_CHECK int vlm_mask_apply(struct vlm_sequence *out, const struct vlm_sequence *in,
                                  size_t from, size_t to, const struct vlm_span *spans, size_t n,
                                  const struct vlm_vocabulary *vocabulary, struct vlm_err *err);

/* The inverse: from ids with masks and their tail to those without; out has room for n. Begin and
 * end tokens around them stay. A last span without <eoss> ends with the ids, or before an </s>
 * that is the last of them. VLM_EFORMAT: a mask without its span, or twice, or a span without
 * its mask. */
VLM_MUST_CHECK int vlm_unmask(uint32_t *out, size_t *n_out, const uint32_t *ids, size_t n,
                              const struct vlm_vocabulary *vocabulary, struct vlm_err *err);

/* What a server does with an answer: puts span number i (n_fill ids, without <mask:i> and <eoss>)
 * in the place of the first <mask:i> of a prompt. Appends to out. Codes of the fill and those of
 * the prompt directly around them become one image. VLM_EFORMAT: the prompt has no such mask. */
VLM_MUST_CHECK int vlm_splice(struct vlm_sequence *out, const struct vlm_sequence *prompt,
                              uint32_t i, const uint32_t *fill, size_t n_fill,
                              const struct vlm_vocabulary *vocabulary, struct vlm_err *err);

#endif
