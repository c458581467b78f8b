/* sample.h - what a trainer sees of a document in an epoch: blocks, windows or pairs, with masks,
 * weights and phi; and rows that are packed from them.
 *
 *   struct vlm_sampling sampling;
 *   rc = vlm_sampling_init(&sampling, "cm3", &err);               // then change what is to differ
 *   rc = vlm_sampler_new(&sampler, &sampling, &vocabulary, &err); // one a thread
 *   rc = vlm_sampler_start(sampler, document, epoch, &err);       // VLM_SKIP: nothing to learn
 *   while ((rc = vlm_sampler_next(sampler, &sample, &err)) == VLM_OK)
 *       start = vlm_pack_place(&pack, sample.sequence->n, &new_row);
 *
 * Everything random is a function of (seed, epoch, document id, number of the block):
 * schemas/sample.md. */
#ifndef VLM_TOKENIZE_SAMPLE_H
#define VLM_TOKENIZE_SAMPLE_H

#include "tokenize/sequence/mask.h"

enum vlm_sample_kind {
    VLM_SAMPLE_CAUSAL_MASK, /* CM3: blocks of a document, each masked */
    VLM_SAMPLE_WINDOW,      /* Flamingo: one window of a page with its images */
    VLM_SAMPLE_PAIRS,       /* an image and its caption */
};

/* What gives way for the 3 tokens that a mask adds. */
enum vlm_overflow {
    VLM_OVERFLOW_NONE,   /* less is taken of the document, so that all fits (the default) */
    VLM_OVERFLOW_TAIL,   /* cut at the end of the tail (fairseq, metaseq) */
    VLM_OVERFLOW_SOURCE, /* cut at the end of the source (CM3Leon) */
};

/* Keys of a recipe's section [data]; vlm_sampling_set() takes them by name. */
struct vlm_sampling {
    const char *recipe; /* cm3, htlm, text, m3w, pair */
    uint64_t seed;
    enum vlm_sample_kind kind;
    enum vlm_render form;
    unsigned render_flags;
    size_t block; /* tokens of a block or window, begin and end included: 2048, 256, 64 */
    struct vlm_mask_rules mask; /* lambda = 1, min = 0, max = 16, images = whole */
    enum vlm_overflow overflow;
    bool without_end;     /* no </s> behind a document (fairseq strips it) */
    float mask_weight;    /* 0; 1 as in metaseq */
    size_t images_max;    /* of a window: 5 */
    double next_share;    /* p_next, 0.5: how often phi points to the next image */
    double space_share;   /* of pairs: how often a space stands in front of the caption, 0.5 */
    bool flamingo_labels; /* false: open_flamingo's weights, nothing before the first image, nor
                             between <EOC> and the next <image> */
};

/* The defaults of a recipe. VLM_EUSAGE: there is none of that name; the sentence lists them. */
VLM_MUST_CHECK int vlm_sampling_init(struct vlm_sampling *sampling, const char *recipe,
                                     struct vlm_err *err);

/* One key: "data.lambda", "data.min", "data.max", "data.images", "data.block", "data.overflow",
 * "data.window", "data.p_next", "data.space", "data.labels" (flamingo|open_flamingo),
 * "objective.weight.mask"; and the switches "cm3.paper=1" (clamp [1, 16], spans anywhere) and
 * "cm3.release=fairseq|metaseq|cm3leon". VLM_EUSAGE: no such key, not of this recipe, or not such a
 * value. */
VLM_MUST_CHECK int vlm_sampling_set(struct vlm_sampling *sampling, const char *key,
                                    const char *value, struct vlm_err *err);

/* The value of one of these keys, as vlm_sampling_set() takes it; put into out. NULL: not of this recipe, or
 * the others say it ("cm3.paper", and "cm3.release" unless what only a release can ask for is asked for). */
enum { VLM_SAMPLING_TEXT_SIZE = 32 };
const char *vlm_sampling_get(char out[VLM_SAMPLING_TEXT_SIZE], const struct vlm_sampling *sampling,
                             const char *key);

/* One sample. Valid until the next call on its sampler. */
struct vlm_sample {
    /* Masked; begin and end tokens included. The first token has weight 0: nothing is before it. */
    const struct vlm_sequence *sequence;
    uint64_t block;     /* number in its document */
    const int32_t *phi; /* windows: [n] number of the image that a token sees, 0: none; else NULL */
    bool next;          /* windows: phi points to the next image */
};

/* The vocabulary is borrowed, and needs sampling->mask.max masks (n_masks of its options) unless
 * lambda is 0. VLM_EUSAGE: it has less; or a block has no room for all masks and an image. */
struct vlm_sampler;
VLM_MUST_CHECK int vlm_sampler_new(struct vlm_sampler **out, const struct vlm_sampling *sampling,
                                   const struct vlm_vocabulary *vocabulary, struct vlm_err *err);
void vlm_sampler_free(struct vlm_sampler *sampler); /* NULL is fine */

/* Renders a document, which may go afterwards. VLM_SKIP: it has no text, or (window) no image, or
 * (pair) no pair. */
VLM_MUST_CHECK int vlm_sampler_start(struct vlm_sampler *sampler,
                                     const struct vlm_document *document, uint64_t epoch,
                                     struct vlm_err *err);

/* The document's next sample. VLM_EOF: there is none, or none was started. */
VLM_MUST_CHECK int vlm_sampler_next(struct vlm_sampler *sampler, struct vlm_sample *sample,
                                    struct vlm_err *err);

/* The whole document as rendered, before anything was drawn. */
const struct vlm_sequence *vlm_sampler_document(const struct vlm_sampler *sampler);

/* Rows of at most `size` tokens, filled with whole samples in the order they come: a sample that
 * does not fit in what is left begins the next row. Attention stays inside a sample: key interval
 * [start of its sample, own place]. */
struct vlm_pack {
    size_t size;
    size_t used; /* tokens of the open row */
};

/* Where the sample of n tokens goes: returns its start in the row; *new_row says that it begins
 * one. n is at most pack->size. */
size_t vlm_pack_place(struct vlm_pack *pack, size_t n, bool *new_row);

#endif
