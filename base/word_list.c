/* word_list.c - words of a list by number, and numbers by word. */
#include "base/vlm.h"

#include "base/word_list.h"

int vlm_word_list_find(const char *words, const char *text, size_t n)
{
    int i = 0;
    for (const char *at = words; *at; i++) {
        const size_t length = strcspn(at, "|");
        if (length == n && !memcmp(at, text, n))
            return i;
        at += length + (at[length] == '|');
    }
    return -1;
}

const char *vlm_word_list_at(const char *words, size_t i, size_t *n)
{
    for (; i && *words; i--) {
        words += strcspn(words, "|");
        words += *words == '|';
    }
    *n = strcspn(words, "|");
    return words;
}
