/* punycode.h - host names beyond ASCII in the spelling that DNS and most crawlers use. */
#ifndef VLM_TOKENIZE_PUNYCODE_H
#define VLM_TOKENIZE_PUNYCODE_H

#include "base/buffer.h"

/* Appends the label (UTF-8, one part of a host between dots) as "xn--..." in lower case; false, and
 * nothing appended, when it is no UTF-8, longer than VLM_LABEL_MAX characters, or ASCII only. */
enum { VLM_LABEL_MAX = 63 };
bool vlm_punycode_add(struct vlm_buffer *out, const char *label, size_t n);

#endif
