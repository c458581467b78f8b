/* vocab_internal.h - what the readers of vocabulary files share. */
#ifndef VLM_TOKENIZE_VOCAB_INTERNAL_H
#define VLM_TOKENIZE_VOCAB_INTERNAL_H

#include "base/utf8.h"
#include "tokenize/text/text_internal.h"

int vlm_vocab_no_memory(const char *name, struct vlm_err *err);

/* Room for one more item behind n: the items where they are now, or NULL (and the old ones stay). */
void *vlm_vocab_grow(void *items, size_t n, size_t *capacity, size_t size);

/* The file's text behind a byte order mark. */
struct vlm_text vlm_vocab_text(const struct vlm_buffer *file);

/* The next line of rest, without its end (LF or CRLF); false: no more. */
bool vlm_vocab_line(struct vlm_text *rest, struct vlm_text *line);

/* Empty normalizers, pre-tokenizers and decoders, 4 of each. */
VLM_MUST_CHECK int vlm_vocab_make_parts(struct vlm_text_spec *spec, const char *name,
                                        struct vlm_err *err);

/* NAME.tiktoken in files[0]: lines of a piece in base64 and its rank. */
VLM_MUST_CHECK int vlm_tiktoken_file_read(struct vlm_text_spec *spec, const char *path,
                                          struct vlm_err *err);

#endif
