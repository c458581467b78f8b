/* torch_internal.h - what the parts of the reader of torch files share: torch_file.c opens files and
 * reads values, torch_state.c finds the tensors in what the pickle says. */
#ifndef VLM_VQGAN_TORCH_INTERNAL_H
#define VLM_VQGAN_TORCH_INTERNAL_H

#include "base/arena.h"
#include "vqgan/weights/pickle.h"
#include "vqgan/weights/torch_file.h"
#include "vqgan/weights/zip.h"

#include <sys/stat.h>

struct vlm_torch {
    char *path;
    int fd;
    uint64_t size;
    struct timespec modified;
    struct vlm_torch_tensor *tensors; /* by name */
    size_t count, capacity;
    struct vlm_arena names;
};

/* Fills the table of tensors from the top of a pickle; folder is that of all members. */
VLM_MUST_CHECK int vlm_torch_find_tensors(struct vlm_torch *file, const struct vlm_zip *zip,
                                          const char *folder, struct vlm_pickle_value *top,
                                          struct vlm_err *err);

#endif
