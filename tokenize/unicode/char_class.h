/* char_class.h - letter, number or space: the three questions of pre-tokenisation patterns.
 *
 * \p{L} and \p{N} are the general categories of Unicode 16.0, which the packages tiktoken and tokenizers
 * follow; \s is White_Space. The table is our own: ids do not depend on the version of a library. */
#ifndef VLM_TOKENIZE_CHAR_CLASS_H
#define VLM_TOKENIZE_CHAR_CLASS_H

#include "base/vlm.h"

enum vlm_char_class {
    VLM_CHAR_OTHER,
    VLM_CHAR_LETTER,
    VLM_CHAR_NUMBER,
    VLM_CHAR_SPACE,
};

/* Of the character at text, whose bytes go to *bytes; a byte that is not UTF-8 is OTHER and 1 byte. n > 0. */
enum vlm_char_class vlm_char_class_at(const char *text, size_t n, size_t *bytes);
enum vlm_char_class vlm_char_class(uint32_t code_point);

#endif
