/* safetensors_internal.h - what the parts of the safetensors reader and writer share.
 *
 * safetensors_header.c makes entries out of a header, safetensors_read.c opens files and reads
 * values, safetensors_index.c opens several files as one, safetensors_load.c fills what a caller
 * expects, safetensors_write.c writes, safetensors_values.c knows the dtypes. */
#ifndef VLM_NN_SAFETENSORS_INTERNAL_H
#define VLM_NN_SAFETENSORS_INTERNAL_H

#include "nn/safetensors_values.h"

#include <sys/stat.h>

struct vlm_safetensors_part { /* one file */
    char *path;
    int fd;
    uint64_t size, data; /* of the file; where the values begin */
    struct timespec modified;
    char *header; /* its text, decoded in place: the names of entries stand in it */
    size_t header_size;
};

struct vlm_safetensors {
    struct vlm_safetensors_part *parts;
    size_t n_parts;
    struct vlm_safetensors_entry *entries; /* by part, then in the order of their bytes */
    const struct vlm_safetensors_entry **by_name;
    size_t count, capacity;
    struct vlm_safetensors_pair *metadata; /* by key */
    size_t n_metadata, metadata_capacity;
};

/* Reads the text of the last part's header and appends its tensors and metadata, unchecked. */
VLM_MUST_CHECK int vlm_safetensors_parse(struct vlm_safetensors *file, struct vlm_err *err);

/* Orders entries and names, and checks what only all of them together can tell: names are unique,
 * offsets cover the values of each file without overlap or hole. */
VLM_MUST_CHECK int vlm_safetensors_settle(struct vlm_safetensors *file, struct vlm_err *err);

/* Opens one more file and parses its header; fd < 0: path is opened. */
VLM_MUST_CHECK int vlm_safetensors_add_part(struct vlm_safetensors *file, int fd, const char *path,
                                            struct vlm_err *err);

/* Adds all files that an index names and settles. */
VLM_MUST_CHECK int vlm_safetensors_read_index(struct vlm_safetensors *file, const char *path,
                                              struct vlm_err *err);

/* Goes over an entry's values: with `to` NULL they are looked at only. */
VLM_MUST_CHECK int vlm_safetensors_stream(const struct vlm_safetensors *file,
                                          const struct vlm_safetensors_entry *entry, float *to,
                                          unsigned flags, struct vlm_err *err);

#endif
