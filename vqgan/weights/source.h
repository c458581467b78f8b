/* source.h - named tensors in a file from somebody else: safetensors, or what torch.save() writes.
 *
 *   struct vlm_weights *weights;
 *   int rc = vlm_weights_open(&weights, "last.ckpt", &err);     // the content decides, not the name
 *   const struct vlm_weight *w = vlm_weights_find(weights, "encoder.conv_in.weight");
 *   rc = vlm_weights_read(weights, w, to, &err);
 *   vlm_weights_close(weights);
 *
 * A torch file is a zip of a pickle and raw storages. The pickle is read as data by a machine that
 * knows the some forty opcodes which such files use: it builds dictionaries, lists, strings, numbers
 * and tensors, and never calls, imports or makes anything else; whatever else a pickle names becomes
 * an opaque value. Lists of tensors come from the first of the dictionaries "state_dict", "model",
 * "ema", "module" found at the top (else the top itself); nested dictionaries give names with dots.
 * Values that are no tensors are left out. Memory: the pickle and a table, never the tensors. */
#ifndef VLM_VQGAN_SOURCE_H
#define VLM_VQGAN_SOURCE_H

#include "base/vlm.h"

enum { VLM_WEIGHT_RANK_MAX = 8 };

struct vlm_weight {
    const char *name; /* valid until the file is closed */
    unsigned rank;
    size_t shape[VLM_WEIGHT_RANK_MAX];
    size_t count; /* product of shape */
};

struct vlm_weights;

/* On failure *out is NULL and err names the file, the place and what was expected. */
VLM_MUST_CHECK int vlm_weights_open(struct vlm_weights **out, const char *path,
                                    struct vlm_err *err);
void vlm_weights_close(struct vlm_weights *weights); /* NULL is fine */

size_t vlm_weights_count(const struct vlm_weights *weights);
const struct vlm_weight *vlm_weights_at(const struct vlm_weights *weights, size_t number);
const struct vlm_weight *vlm_weights_find(const struct vlm_weights *weights, const char *name);

/* weight->count values in row-major order, whatever strides the file has: fp32, fp16, bf16 and fp64
 * become fp32; integers are refused. NaN and infinities are an error that names tensor and index. */
VLM_MUST_CHECK int vlm_weights_read(const struct vlm_weights *weights,
                                    const struct vlm_weight *weight, float *to,
                                    struct vlm_err *err);

#endif
