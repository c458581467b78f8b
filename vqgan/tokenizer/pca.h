/* pca.h - the linear tokenizer: principal components of 16 x 16 patches, k-means over them. */
#ifndef VLM_VQGAN_PCA_H
#define VLM_VQGAN_PCA_H

#include "vqgan/tokenizer/tokenizer.h"

enum {
    VLM_PCA_PATCH = VLM_SQUARE_SIDE / VLM_CODES_SIDE,
    VLM_PCA_NUMBERS = VLM_PCA_PATCH * VLM_PCA_PATCH * 3, /* of a patch: rows, columns, channels */
};

#endif
