/* embedding.c - an embedding is a gather of rows (rows.h) from a table that is a parameter. */
#include "base/vlm.h"

#include "nn/ops/embedding.h"
#include "nn/ops/rows.h"

struct vlm_tensor *vlm_embedding(struct vlm_tape *tape, struct vlm_tensor *table,
                                 const uint32_t *ids, size_t rows)
{
    return vlm_gather_rows(tape, table, ids, rows);
}
