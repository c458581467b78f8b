/* model_serve.h - the weights of a model as a server reads them: once packed, perhaps smaller.
 *
 *   rc = vlm_model_serve(&model, &engine, VLM_WEIGHTS_BF16, &err);      // before the first forward pass
 *   ... tapes of vlm_model_serve_precision(VLM_WEIGHTS_BF16), VLM_TAPE_FORWARD ...
 *
 * fp32: the bits of the result are those of the model as it was. bf16: those of a tape of that precision over the fp32
 * weights, which are rounded once now instead of in each product. int8: one scale for each row of a matrix,
 * w ~ scale q with q = -127 ... 127 (symmetric, nearest; Dettmers et al. 2022, "LLM.int8()", section 2.1, for rows),
 * activations in fp32, which products take as fixed-point numbers of 24 bits (int8_kernels.h). Embeddings that are no head, positions, norms and biases stay fp32. Of a table that is the head too,
 * bf16 keeps both: the fp32 rows are looked up, as in training; int8 looks up the rounded rows.
 */
#ifndef VLM_MODELS_MODEL_SERVE_H
#define VLM_MODELS_MODEL_SERVE_H

#include "models/model/model.h"

enum vlm_weights { VLM_WEIGHTS_F32, VLM_WEIGHTS_BF16, VLM_WEIGHTS_INT8 };
#define VLM_WEIGHTS_WORDS "fp32|bf16|int8"
const char *vlm_weights_word(enum vlm_weights weights); /* of them */

/* Afterwards the model is for forward passes only: its fp32 matrices may be gone (->values is not to be read).
 * All memory stays the model's. VLM_EUSAGE: it has gradients, or int8 is asked for and a row is longer than VLM_INT8_K;
 * VLM_ENOMEM. */
VLM_MUST_CHECK int vlm_model_serve(struct vlm_model *model, const struct vlm_engine *engine,
                                   enum vlm_weights weights, struct vlm_err *err);
enum vlm_dtype vlm_model_serve_precision(enum vlm_weights weights);

/* Bytes of weights that one token reads: all matrices, the head once. For the ratio to the bandwidth. */
size_t vlm_model_serve_bytes(const struct vlm_model *model);

#endif
