/* charsmap.h - the map of characters that SentencePiece puts into its models (precompiled_charsmap): keys in a double
 * array (Aoe 1989; darts-clone), each with the text that replaces it.
 *
 *   rc = vlm_charsmap_new(&map, bytes, n, &err);
 *   const char *text = vlm_charsmap_find(map, key, size, &text_size);  // NULL: stays as it is
 *   vlm_charsmap_free(map);
 *
 * Layout: 4 bytes, little-endian, with the size of the array; the array, of 4 bytes a unit; the texts, each with a NUL
 * behind it. */
#ifndef VLM_TOKENIZE_CHARSMAP_H
#define VLM_TOKENIZE_CHARSMAP_H

#include "base/vlm.h"

struct vlm_charsmap;
/* bytes are copied. VLM_EFORMAT: the array is empty or goes beyond the end, or the texts are not UTF-8. Places in the
 * array that lead out of it are met when a key is looked up: then it is not found. */
VLM_MUST_CHECK int vlm_charsmap_new(struct vlm_charsmap **out, const uint8_t *bytes, size_t n,
                                    struct vlm_err *err);
void vlm_charsmap_free(struct vlm_charsmap *map); /* NULL is fine */

/* The text for the shortest key of the map that n bytes of UTF-8 begin with, or NULL. At most n steps and the bytes of
 * the text. Any thread. */
const char *vlm_charsmap_find(const struct vlm_charsmap *map, const char *key, size_t n,
                              size_t *size);

#endif
