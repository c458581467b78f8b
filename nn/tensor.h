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
enum vlm_dtype {
    VLM_F32,
    VLM_BF16,
    VLM_INT8, /* weights of products only: a number is its row's scale times an integer of -127 to 127 */
};

struct vlm_tensor {
    const char *name; /* of a parameter, or of the op that made it; for messages */
    enum vlm_dtype dtype;
    unsigned rank;              /* 1 to VLM_RANK_MAX */
    size_t shape[VLM_RANK_MAX]; /* a dimension may be 0 */
    union {
        float *data;      /* VLM_F32 */
        uint16_t *bits;   /* VLM_BF16: operands of products only, no op but those reads them */
        int8_t *integers; /* VLM_INT8: the same */
    };
    float *scales;   /* [rows] VLM_INT8, else unused */
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

/* Rows first to first + n of a matrix, in any type: the view shares its numbers, lives as long, and takes
 * no gradient. */
static inline struct vlm_tensor vlm_tensor_rows_view(const struct vlm_tensor *t, size_t first,
                                                     size_t n)
{
    struct vlm_tensor view = *t;
    VLM_BUG_IF(t->rank != 2 || first > t->shape[0] || n > t->shape[0] - first);
    const size_t at = first * t->shape[1];
    if (t->dtype == VLM_BF16)
        view.bits += at;
    else if (t->dtype == VLM_INT8)
        view.integers += at, view.scales += first;
    else
        view.data += at;
    view.shape[0] = n;
    view.grad = NULL;
    view.needs_grad = false;
    return view;
}

#endif
