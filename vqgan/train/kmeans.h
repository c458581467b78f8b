/* kmeans.h - centres of a cloud of vectors. */
#ifndef VLM_VQGAN_KMEANS_H
#define VLM_VQGAN_KMEANS_H

#include "nn/engine.h"

struct vlm_kmeans {
    const float *vectors; /* [n, width] */
    size_t n, width;
    size_t centres; /* K <= n */
    size_t rounds;  /* of Lloyd's iteration; fewer when nothing moves any more */
    uint64_t seed;
    /* Called after each round with the mean square distance; may be NULL. */
    void (*tell)(size_t round, double distance, void *context);
    void *context;
};

/* Fills centres [K, width] and, when not NULL, the centre of each vector, nearest [n]. First centres
 * by k-means++ (Arthur and Vassilvitskii 2007) on a sample, then Lloyd 1982, "Least squares
 * quantization in PCM". A centre that loses all its vectors takes the one that is farthest from its
 * own. The same numbers for any number of threads. VLM_EFORMAT when n < K or a number is not finite. */
VLM_MUST_CHECK int vlm_kmeans(const struct vlm_engine *engine, float *centres, uint32_t *nearest,
                              const struct vlm_kmeans *job, struct vlm_err *err);

#endif
