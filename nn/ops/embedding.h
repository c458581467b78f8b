/* embedding.h - rows of a table by number.
 *
 *   uint32_t ids[3] = { 5, 9, 5 };
 *   struct vlm_tensor *x = vlm_embedding(&tape, table, ids, 3);      // table [V, cols] -> [3, cols]
 *
 * y_r = table[ids_r], in fp32 also from a table in bf16 or int8, which takes no gradient; dtable[ids_r] += dy_r, rows with the same id added in the order of r. ids must
 * stay valid until the backward pass; ids not below V are our own mistake and abort. */
#ifndef VLM_NN_EMBEDDING_H
#define VLM_NN_EMBEDDING_H

#include "nn/tape.h"

struct vlm_tensor *vlm_embedding(struct vlm_tape *tape, struct vlm_tensor *table,
                                 const uint32_t *ids, size_t rows);

#endif
