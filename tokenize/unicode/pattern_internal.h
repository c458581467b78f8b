/* pattern_internal.h - from Oniguruma's syntax to PCRE2's. */
#ifndef VLM_TOKENIZE_PATTERN_INTERNAL_H
#define VLM_TOKENIZE_PATTERN_INTERNAL_H

#include "base/buffer.h"

/* Appends the regular expression for PCRE2; VLM_EFORMAT when something in it has no equal there. */
VLM_MUST_CHECK int vlm_pattern_translate(struct vlm_buffer *out, const char *text, size_t n,
                                         struct vlm_err *err);

#endif
