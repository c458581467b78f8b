/* word_runs.h - sorted words with counts in files, and their merge.
 *
 *   struct vlm_word_runs runs = { .folder = "/tmp" };
 *   rc = vlm_word_runs_add(&runs, table, &err);                 // any number of times; table is sorted
 *   rc = vlm_word_runs_rewind(&runs, &err);
 *   while (rc == VLM_OK && (rc = vlm_word_runs_next(&runs, &word, &err)) == VLM_OK) ...
 *   vlm_word_runs_release(&runs);
 *
 * The files have no name. Whenever 16 runs of one level exist, they are merged into one of the next: so few files are
 * open, and each word is written once a level. */
#ifndef VLM_TOKENIZE_WORD_RUNS_H
#define VLM_TOKENIZE_WORD_RUNS_H

#include "tokenize/bpe/word_counts.h"
#include "tokenize/bpe/word_table.h"

struct vlm_word_run;

/* Zeroed but for folder, it is empty. One owner. */
struct vlm_word_runs {
    const char *folder;
    struct vlm_word_run **list; /* [n] the level falls from the first to the last */
    size_t n;
    size_t *heap; /* [n_heap] of list, the run whose word comes first in front */
    size_t n_heap;
    struct vlm_buffer word; /* the one that next() gave */
};

/* Writes the words of a table that vlm_word_table_sort() has sorted. VLM_ELIMIT: the disk is full. */
VLM_MUST_CHECK int vlm_word_runs_add(struct vlm_word_runs *runs,
                                     const struct vlm_word_table *sorted, struct vlm_err *err);

/* Reading begins at the first word; nothing is added any more. */
VLM_MUST_CHECK int vlm_word_runs_rewind(struct vlm_word_runs *runs, struct vlm_err *err);

/* The next word in the order of bytes, with the sum of its counts. VLM_OK or VLM_EOF. */
VLM_MUST_CHECK int vlm_word_runs_next(struct vlm_word_runs *runs, struct vlm_word_count *word,
                                      struct vlm_err *err);
void vlm_word_runs_release(struct vlm_word_runs *runs);

#endif
