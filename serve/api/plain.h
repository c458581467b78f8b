/* plain.h - a page's markup as words, piece by piece: tags go, references become characters.
 *
 *   struct vlm_plain plain = { 0 };
 *   vlm_plain_add(&plain, &out, "a &lt; b</p", 11);     // "a < b"
 *   vlm_plain_end(&plain, &out);                        // a reference that was never finished stays as it is
 *
 * However the text is cut into pieces, the words are the same. What is no tag and no reference that pages of ours have
 * (schemas/sequence.md: &lt; &gt; &amp; &quot; &#N;) is text. */
#ifndef VLM_SERVE_PLAIN_H
#define VLM_SERVE_PLAIN_H

#include "base/buffer.h"

enum vlm_plain_place { VLM_PLAIN_TEXT, VLM_PLAIN_LESS, VLM_PLAIN_TAG, VLM_PLAIN_VALUE };

struct vlm_plain {
    enum vlm_plain_place place;
    char held[12]; /* "&" and what follows */
    size_t n_held;
};

void vlm_plain_add(struct vlm_plain *plain, struct vlm_buffer *out, const char *text, size_t n);
void vlm_plain_end(struct vlm_plain *plain, struct vlm_buffer *out);

#endif
