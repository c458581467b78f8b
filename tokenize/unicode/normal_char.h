/* normal_char.h - what normalizers ask about a character, as the package tokenizers answers; for
 * normalize.c.
 *
 *   n = vlm_normal_lower(small, c);
 *
 * Any number above U+10FFFF is a character without properties. */
#ifndef VLM_TOKENIZE_NORMAL_CHAR_H
#define VLM_TOKENIZE_NORMAL_CHAR_H

#include "base/vlm.h"

bool vlm_normal_is_space(uint32_t c);      /* White_Space */
bool vlm_normal_is_mark(uint32_t c);       /* category M */
bool vlm_normal_is_nonspacing(uint32_t c); /* Mn: what BERT calls accents */
bool vlm_normal_is_control(
    uint32_t c); /* what BERT calls control characters: Cc but tab and line ends, Cf, Co */
bool vlm_normal_is_chinese(uint32_t c); /* what BERT puts spaces around */

/* Lower case: one character, but for U+0130. Returns how many. Final sigma is no exception. */
size_t vlm_normal_lower(uint32_t out[2], uint32_t c);

#endif
