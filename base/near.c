/* near.c - the distance between words in typing errors, for sentences about unknown names. */
#include "base/vlm.h"

#include "base/near.h"

enum { WORD_MAX = 63 }; /* nothing longer is looked at */

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b: Damerau's distance, restricted
 * to swaps of letters that are not edited again. */
static size_t edit_distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t row[3][WORD_MAX + 1];
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3], *before = row[(i + 2) % 3], *older = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t replaced = before[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = VLM_MIN(replaced, VLM_MIN(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = VLM_MIN(now[j], older[j - 2] + 1);
        }
    }
    return row[n % 3][m];
}

void vlm_near_try(struct vlm_near *near, const char *word, size_t n)
{
    if (near->n > WORD_MAX || n > WORD_MAX)
        return;
    const bool begins = near->n > 1 && near->n <= n && !memcmp(word, near->text, near->n);
    const size_t distance = begins ? 0 : edit_distance(near->text, near->n, word, n);
    if (distance > VLM_MAX(near->n / 3, 1) || (near->best && distance >= near->distance))
        return;
    near->best = word;
    near->best_n = n;
    near->distance = distance;
}

void vlm_near_try_list(struct vlm_near *near, const char *words)
{
    for (const char *at = words; *at;) {
        size_t n = strcspn(at, "|, ");
        if (n)
            vlm_near_try(near, at, n);
        at += n + (at[n] != 0);
    }
}
