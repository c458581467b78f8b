/* plan.h - what a build will read: inputs in their order, cut into units; the identity of a build.
 *
 * Inputs are sorted by their path below the common leading folder, so neither the place of the crawl
 * nor the order of the arguments matters. The plan's text names every option and input that decides
 * the bytes of the parts; a build goes on only under the same text. */
#ifndef VLM_SHARD_PLAN_H
#define VLM_SHARD_PLAN_H

#include "base/buffer.h"
#include "shard/options.h"
#include "tokenize/dump/record.h"

struct vlm_input {
    char *path; /* to open; NULL for the set of loose files */
    char *name; /* below the common folder */
    enum vlm_dump_format format;
    uint64_t size;
    uint64_t check;    /* XXH3-64 of its beginning and end */
    bool images_only;  /* from --images: a second source of image bytes */
    char **files;      /* loose files: paths to open, sorted by name */
    char **file_names; /* below the common folder */
    size_t n_files;
};

/* A range of one input: bytes, or, for loose files, indices. */
struct vlm_plan_unit {
    uint32_t input;
    uint64_t begin, end;
};

struct vlm_plan {
    struct vlm_input *inputs;
    size_t n_inputs;
    struct vlm_plan_unit *units;
    size_t n_units;
    uint64_t bytes;         /* of all inputs */
    struct vlm_buffer text; /* JSON object, one line */
    uint64_t check;         /* of the text */
    uint64_t times;         /* checksum of the inputs' times of change; not in the text */
};

/* Looks at every path (files, folders, "-" already spooled to stdin_path) and sniffs what it is. Fails
 * with a sentence on the first that cannot be read or is no crawl. */
VLM_MUST_CHECK int vlm_plan_make(struct vlm_plan *plan, char *const *paths, size_t n_paths,
                                 const char *stdin_path, const struct vlm_build_options *options,
                                 struct vlm_err *err);

/* VLM_OK when the two texts are equal; else VLM_EUSAGE naming the first difference ("--keep was
 * 'square', is 'none'"). */
VLM_MUST_CHECK int vlm_plan_compare(const char *was, size_t was_size, const struct vlm_plan *plan,
                                    const char *output, struct vlm_err *err);
void vlm_plan_release(struct vlm_plan *plan);

#endif
