/* build.h - from crawls to a sealed shard set, by worker processes, with resume. */
#ifndef VLM_SHARD_BUILD_H
#define VLM_SHARD_BUILD_H

#include "base/buffer.h"
#include "shard/options.h"

/* Builds the shard set options->output from the paths. Running it again under the same options goes on
 * where it stopped; a finished set is left as it is. The report is appended to report as one JSON
 * object. VLM_OK: *status is the exit status (0; 3 too many bad inputs; 4 nothing produced).
 * VLM_ESTOPPED: a signal came, *status is 128 + its number, the work so far is kept. */
VLM_MUST_CHECK int vlm_build(char *const *paths, size_t n_paths,
                             const struct vlm_build_options *options, struct vlm_buffer *report,
                             int *status, struct vlm_err *err);

#endif
