/* sample_internal.h - the sampler behind sample.h, for its kinds of samples and for tests. */
#ifndef VLM_TOKENIZE_SAMPLE_INTERNAL_H
#define VLM_TOKENIZE_SAMPLE_INTERNAL_H

#include "base/buffer.h"
#include "tokenize/sequence/sample.h"

/* All memory grows to what the largest document needed and is kept. */
struct vlm_sampler {
    struct vlm_sampling sampling;
    const struct vlm_vocabulary *vocabulary; /* borrowed */
    struct vlm_sequencer *sequencer;

    struct vlm_sequence document; /* as rendered */
    struct vlm_buffer rendering;  /* pairs: the text of it */
    uint64_t key, id_end;         /* of the document's random numbers */
    uint64_t next;                /* number of the block, window or pair that comes next */
    size_t at;                    /* blocks: its first token in the document */

    struct vlm_sequence sample;
    struct vlm_sequence scratch; /* blocks: images inside, and what is cut; pairs: a caption */
    struct vlm_span spans[VLM_MASKS_MAX];
    int32_t *phi; /* [block] windows */
};

/* Makes document (already filled) that of an id and an epoch, with no sample taken. */
void vlm_sampler_begin(struct vlm_sampler *sampler, const uint8_t id[16], uint64_t epoch);

/* The random numbers of a block, window or pair of the document. */
struct vlm_random vlm_sampler_random(const struct vlm_sampler *sampler, uint64_t number);

/* Make sample number sampler->next, which *sample then describes. VLM_EOF: there is none. */
VLM_MUST_CHECK int vlm_sample_block(struct vlm_sampler *sampler, struct vlm_err *err);
VLM_MUST_CHECK int vlm_sample_window(struct vlm_sampler *sampler, struct vlm_sample *sample,
                                     struct vlm_err *err);
VLM_MUST_CHECK int vlm_sample_pair(struct vlm_sampler *sampler, struct vlm_err *err);

#endif
