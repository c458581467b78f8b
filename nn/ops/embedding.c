/* embedding.c - an embedding is a gather of rows (rows.h) from a table that is a parameter. */
#include "base/vlm.h"

#include "nn/ops/embedding.h"
#include "nn/ops/rows.h"

/* A table that is the head's weights at the same time may be in their type. */
static struct vlm_tensor *widen_rows(struct vlm_tape *tape, const struct vlm_tensor *table,
                                     const uint32_t *ids, size_t rows)
{
    const size_t cols = vlm_tensor_cols(table);
    const struct vlm_gemm_kernels *kernels = tape->engine->kernels->gemm;
    struct vlm_tensor *y = vlm_tensor_matrix(tape, "embedding", rows, cols);
    for (size_t r = 0; vlm_tape_runs(tape) && r < rows; r++) {
        float *to = y->data + r * cols;
        VLM_BUG_IF(ids[r] >= vlm_tensor_rows(table));
        if (table->dtype == VLM_BF16)
            kernels->widen_bf16(to, table->bits + ids[r] * cols, cols);
        for (size_t c = 0; table->dtype == VLM_INT8 && c < cols; c++)
            to[c] = table->scales[ids[r]] * (float)table->integers[ids[r] * cols + c];
    }
    return y;
}

struct vlm_tensor *vlm_embedding(struct vlm_tape *tape, struct vlm_tensor *table,
                                 const uint32_t *ids, size_t rows)
{
    VLM_BUG_IF(table->dtype != VLM_F32 && table->needs_grad);
    if (table->dtype != VLM_F32)
        return widen_rows(tape, table, ids, rows);
    return vlm_gather_rows(tape, table, ids, rows);
}
