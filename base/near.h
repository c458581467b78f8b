/* near.h - "did you mean": the word of a list that is nearest to a mistyped one.
 *
 *   struct vlm_near near = { .text = text, .n = strlen(text) };
 *   for (size_t i = 0; i < n_names; i++)
 *       vlm_near_try(&near, names[i], strlen(names[i]));
 *   if (near.best) ... "; did you mean '%.*s'?", (int)near.best_n, near.best
 */
#ifndef VLM_BASE_NEAR_H
#define VLM_BASE_NEAR_H

#include "base/vlm.h"

struct vlm_near {
    const char *text; /* what was typed */
    size_t n;
    const char *best; /* NULL: none of the words tried was near; borrowed */
    size_t best_n, distance;
};

/* Tries a word. A third of the letters may be wrong, one in any case; the beginning of a word stands for
 * it; of equally near words the first counts. */
void vlm_near_try(struct vlm_near *near, const char *word, size_t n);

/* Tries each word of a list whose words '|', ',' or a space separate. */
void vlm_near_try_list(struct vlm_near *near, const char *words);

#endif
