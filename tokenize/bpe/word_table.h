/* word_table.h - words and how often each was seen, in a hash table of one thread.
 *
 *   struct vlm_word_table table = { .seed = { a, b } };
 *   if (!vlm_word_table_add(&table, word, n, 1, left)) ...        // memory ran out
 *   vlm_word_table_release(&table);
 *
 * A word of up to 16 bytes, which most are, stands in its entry: looking it up costs one cache line. */
#ifndef VLM_TOKENIZE_WORD_TABLE_H
#define VLM_TOKENIZE_WORD_TABLE_H

#include "base/vlm.h"

enum { VLM_WORD_INLINE = 16 };

struct vlm_word_entry {
    uint64_t head, tail; /* a short word's bytes, zeros behind them; of a long one hash and place */
    uint64_t count;
    uint32_t n; /* bytes; 0: the entry is free */
};

/* Zeroed but for the seed, it is empty. One owner. */
struct vlm_word_table {
    uint64_t seed[2]; /* drawn anew in each run: nobody can choose words that collide */
    struct vlm_word_entry *entries;
    size_t capacity; /* a power of two, or 0 */
    size_t n;
    char *bytes; /* of long words, one behind the other */
    size_t n_bytes, bytes_capacity;
};

/* Adds `count` to a word of n bytes, 0 < n < 4 GiB. `readable` bytes may be read at word, at least n. */
VLM_MUST_CHECK bool vlm_word_table_add(struct vlm_word_table *table, const char *word, size_t n,
                                       uint64_t count, size_t readable);

/* The bytes of an entry, entry->n of them; valid until the table changes. */
const char *vlm_word_table_bytes(const struct vlm_word_table *table,
                                 const struct vlm_word_entry *entry);

/* Bytes that the table takes, and would take after one more word of n bytes. While it grows old and new entries
 * stand beside each other: that is counted. */
size_t vlm_word_table_memory(const struct vlm_word_table *table, size_t n);

/* Moves the entries to the front, [0, n), in the order of their words' bytes; afterwards only reset is allowed. */
void vlm_word_table_sort(struct vlm_word_table *table);

void vlm_word_table_reset(struct vlm_word_table *table); /* empty, memory kept */
void vlm_word_table_release(struct vlm_word_table *table);

#endif
