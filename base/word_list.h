/* word_list.h - lists of words in one string, "step|tokens|time", as choices of options and recipes have them.
 *
 *   int x = vlm_word_list_find("step|tokens|time", text, strlen(text));      // -1: none of them
 *   size_t n;
 *   const char *word = vlm_word_list_at("step|tokens|time", 2, &n);          // "time", 4
 */
#ifndef VLM_BASE_WORD_LIST_H
#define VLM_BASE_WORD_LIST_H

#include "base/vlm.h"

/* The number of the word of n bytes, from 0, or -1. */
int vlm_word_list_find(const char *words, const char *text, size_t n);

/* Word number i, which points into the list and has *n bytes; none behind the last. */
const char *vlm_word_list_at(const char *words, size_t i, size_t *n);

#endif
