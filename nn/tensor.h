/* tensor.h - an array of numbers with a shape, and the gradient of the loss by it.
 *
 * Row-major, last index fastest, no strides: a view of some columns is an argument of the op that
 * can use one (attention), not a tensor. `rows x cols` of most comments is the product of all
 * dimensions but the last, times the last. */
#ifndef VLM_NN_TENSOR_H
#define VLM_NN_TENSOR_H

#include "base/vlm.h"

enum { VLM_RANK_MAX = 4 };

/* How numbers are stored, and in which precision a product's operands are read (a bf16 is the upper
 * half of a float, rounded to the nearest, ties to even). */
enum vlm_dtype { VLM_F32, VLM_BF16 };

struct vlm_tensor {
    const char *name; /* of a parameter, or of the op that made it; for messages */
    enum vlm_dtype dtype;
    unsigned rank;              /* 1 to VLM_RANK_MAX */
    size_t shape[VLM_RANK_MAX]; /* a dimension may be 0 */
    union {
        float *data;    /* VLM_F32 */
        uint16_t *bits; /* VLM_BF16: operands of products only, no op but those reads them */
    };
    float *grad;     /* same shape, always fp32; NULL: none yet (tape.h) */
    bool needs_grad; /* the loss is to be derived by it, or by something it was made of */
};

/* Product of all dimensions. */
static inline size_t vlm_tensor_count(const struct vlm_tensor *t)
{
    size_t count = 1;
    for (unsigned i = 0; i < t->rank; i++)
        count *= t->shape[i];
    return count;
}

static inline size_t vlm_tensor_cols(const struct vlm_tensor *t)
{
    return t->shape[t->rank - 1];
}

/* Product of all dimensions but the last. */
static inline size_t vlm_tensor_rows(const struct vlm_tensor *t)
{
    size_t rows = 1;
    for (unsigned i = 0; i + 1 < t->rank; i++)
        rows *= t->shape[i];
    return rows;
}

#endif
