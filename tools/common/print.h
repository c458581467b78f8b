/* print.h - a result that was made in memory, on standard output. */
#ifndef VLM_TOOLS_PRINT_H
#define VLM_TOOLS_PRINT_H

#include "base/buffer.h"

/* Writes all of it. VLM_ENOMEM: the buffer has failed, nothing is written; VLM_EFAIL, VLM_ELIMIT: standard
 * output takes no more. */
VLM_MUST_CHECK int vlm_print(const struct vlm_buffer *text, struct vlm_err *err);

#endif
