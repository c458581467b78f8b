/* url.h - resolving and comparing URLs (RFC 3986, with what browsers forgive). */
#ifndef VLM_TOKENIZE_URL_H
#define VLM_TOKENIZE_URL_H

#include "base/buffer.h"

/* Appends the absolute URL of reference against base (RFC 3986 5.2: ./ and ../ removed, // and ?
 * forms; spaces around it, tabs and newlines inside dropped; the fragment kept off). base may be
 * NULL for an absolute reference. VLM_SKIP with a reason when there is none, or it is over
 * VLM_URL_MAX. */
VLM_MUST_CHECK int vlm_url_resolve(struct vlm_buffer *out, const char *base, const char *reference,
                                   size_t n, struct vlm_err *err);

/* Appends the form under which two spellings of one URL are equal: scheme and host in lower case,
 * default port and fragment dropped, empty path as "/", percent-encoding normalised (RFC
 * 3986 6.2.2; spaces and non-ASCII bytes encoded). Never fails: what is no URL is copied as it is.
 */
void vlm_url_canonical(struct vlm_buffer *out, const char *url, size_t n);

/* Host of a URL without user and port, borrowed from it; *n gets its length, 0 when none. */
const char *vlm_url_host(const char *url, size_t *n);

#endif
