/* pattern.h - regular expressions of other people's tokenizers, by PCRE2, and plain strings.
 *
 *   rc = vlm_pattern_new(&pattern, "\\p{N}{1,3}", 10, VLM_PATTERN_REGEX, &err);
 *   rc = vlm_pattern_matcher_new(&matcher, pattern, &err);       // one a thread
 *   while ((rc = vlm_pattern_next(matcher, text, n, from, &start, &end, &err)) == VLM_OK)
 *       from = end;
 *
 * \s, \p{..} and look-around mean what they mean in the packages tiktoken and tokenizers. A pattern that runs
 * into PCRE2's match limit gives VLM_ELIMIT, never a hang. */
#ifndef VLM_TOKENIZE_PATTERN_H
#define VLM_TOKENIZE_PATTERN_H

#include "base/vlm.h"

struct vlm_pattern;
struct vlm_pattern_matcher;

enum vlm_pattern_kind { VLM_PATTERN_STRING, VLM_PATTERN_REGEX };

/* text is copied. The pattern never changes: any threads, each with its own matcher. VLM_EFORMAT: empty,
 * longer than VLM_PATTERN_MAX, or a syntax that has no equal in PCRE2. *out is NULL after a failure. */
VLM_MUST_CHECK int vlm_pattern_new(struct vlm_pattern **out, const char *text, size_t n,
                                   enum vlm_pattern_kind kind, struct vlm_err *err);
void vlm_pattern_free(struct vlm_pattern *pattern); /* NULL is fine */

/* The pattern must outlive its matchers. One thread. */
VLM_MUST_CHECK int vlm_pattern_matcher_new(struct vlm_pattern_matcher **out,
                                           const struct vlm_pattern *pattern, struct vlm_err *err);
void vlm_pattern_matcher_free(struct vlm_pattern_matcher *matcher); /* NULL is fine */

/* The next match at or behind from, bytes [*start, *end), never empty: VLM_OK, VLM_EOF when there is none.
 * text must be valid UTF-8. VLM_ELIMIT: PCRE2 gave up. */
VLM_MUST_CHECK int vlm_pattern_next(struct vlm_pattern_matcher *matcher, const char *text, size_t n,
                                    size_t from, size_t *start, size_t *end, struct vlm_err *err);

#endif
