/* rows.h - what one forward pass is given: tightly packed rows (tokens) of any number of sequences.
 *
 * Training, prefill and decoding differ only in these arrays: lo and hi say which keys a row sees
 * (nn/ops/attention.h), numbered by rows of this batch, or, with a cache, by places in it. */
#ifndef VLM_MODELS_ROWS_H
#define VLM_MODELS_ROWS_H

#include "base/vlm.h"

struct vlm_rows {
    size_t n;
    const uint32_t *ids; /* [n]; of a row that an image fills: anything below the vocabulary */
    const uint32_t *positions; /* [n] in its sequence */
    const uint32_t *lo, *hi;   /* [n] */
    const uint32_t *places;    /* [n] with a cache: where the row's key and value go; else NULL */
    /* Images for the encoder; none for models without one. */
    size_t n_images;
    const uint32_t *codes; /* [n_images][256] codes 0 to K - 1 */
    const uint32_t
        *image_rows; /* [n_images][bridge length]: rows that the bridge's result replaces */
};

/* positions, lo and hi (each of the sum of lengths) of causal sequences one after the other. */
void vlm_rows_causal(uint32_t *positions, uint32_t *lo, uint32_t *hi, const size_t *lengths,
                     size_t sequences);

#endif
