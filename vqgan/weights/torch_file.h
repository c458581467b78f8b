/* torch_file.h - the tensors of a file that torch.save() wrote (what is accepted: schemas/torch.md). */
#ifndef VLM_VQGAN_TORCH_FILE_H
#define VLM_VQGAN_TORCH_FILE_H

#include "nn/safetensors_values.h"

struct vlm_torch; /* read-only once open: any thread, several at once */

struct vlm_torch_tensor {
    const char *name; /* UTF-8, never empty; valid until the file is closed */
    enum vlm_safetensors_dtype dtype;
    unsigned rank;
    size_t shape[VLM_SAFETENSORS_RANK_MAX];
    size_t stride[VLM_SAFETENSORS_RANK_MAX]; /* in values; 0 repeats */
    size_t count;                            /* product of shape */
    size_t offset;                           /* of the first value in its storage, in values */
    uint64_t begin, size;                    /* of its storage in the file, in bytes */
};

/* fd is a regular file and closed in any case: by vlm_torch_close(), or here on failure. name is
 * for sentences. */
VLM_MUST_CHECK int vlm_torch_open_fd(struct vlm_torch **out, int fd, const char *name,
                                     struct vlm_err *err);
void vlm_torch_close(struct vlm_torch *file); /* NULL is fine */

/* By name. */
size_t vlm_torch_count(const struct vlm_torch *file);
const struct vlm_torch_tensor *vlm_torch_at(const struct vlm_torch *file, size_t number);

/* tensor->count values in row-major order, as vlm_weights_read() says. */
VLM_MUST_CHECK int vlm_torch_read(const struct vlm_torch *file,
                                  const struct vlm_torch_tensor *tensor, float *to,
                                  struct vlm_err *err);

#endif
