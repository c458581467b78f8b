/* word_counts.c - how often each word of many texts occurs, exactly, in bounded memory.
 *
 * Each thread has a table of its own and an equal share of the memory. A table that would outgrow its share is sorted
 * and written to a file. At the end the tables become one, or, when there are files, join them; the files are merged as
 * they are read. Sums do not depend on who counted what, nor on what went to a file when. */
#include "base/vlm.h"

#include "tokenize/bpe/word_counts.h"

#include "base/limits.h"
#include "tokenize/bpe/word_runs.h"
#include "tokenize/bpe/word_table.h"

#include <pthread.h>
#include <sys/random.h>

enum { SHARE_MIN = 256 << 10 };

struct vlm_word_counts {
    enum vlm_split split;
    size_t threads;
    size_t share; /* bytes of one table */
    char *folder;
    struct vlm_word_table *tables; /* [threads] */
    struct vlm_word_runs runs;     /* under the lock */
    pthread_mutex_t lock;
    size_t next; /* entry of the only table, when there are no runs */
};

int vlm_word_counts_new(struct vlm_word_counts **out, const struct vlm_word_count_options *options,
                        struct vlm_err *err)
{
    uint64_t seed[2] = { 0x9e3779b97f4a7c15, 0xd1b54a32d192ed03 };
    struct vlm_word_counts *counts = calloc(1, sizeof(*counts));
    VLM_BUG_IF(!options->threads);
    *out = counts;
    if (!counts)
        return vlm_fail(err, VLM_ENOMEM, "no memory to count words");
    pthread_mutex_init(&counts->lock, NULL);
    counts->split = options->split;
    counts->threads = options->threads;
    counts->share = VLM_MAX((size_t)options->memory / options->threads, SHARE_MIN);
    counts->folder = strdup(options->folder);
    counts->tables = calloc(options->threads, sizeof(*counts->tables));
    if (!counts->folder || !counts->tables)
        return vlm_fail(err, VLM_ENOMEM, "no memory to count words");
    counts->runs.folder = counts->folder;
    ssize_t drawn = getrandom(seed, sizeof(seed), GRND_NONBLOCK);
    (void)drawn; /* counts are right with any seed; a secret one makes chosen collisions useless */
    for (size_t i = 0; i < options->threads; i++)
        memcpy(counts->tables[i].seed, seed, sizeof(seed));
    return VLM_OK;
}

static int spill(struct vlm_word_counts *counts, struct vlm_word_table *table, struct vlm_err *err)
{
    vlm_word_table_sort(table);
    pthread_mutex_lock(&counts->lock);
    int rc = vlm_word_runs_add(&counts->runs, table, err);
    pthread_mutex_unlock(&counts->lock);
    vlm_word_table_reset(table);
    return rc;
}

int vlm_word_counts_add(struct vlm_word_counts *counts, size_t thread, const char *text, size_t n,
                        struct vlm_err *err)
{
    struct vlm_word_table *table = &counts->tables[thread];
    VLM_BUG_IF(thread >= counts->threads);
    while (n) {
        size_t piece = vlm_split_next(counts->split, text, n);
        int rc = VLM_OK;
        if (piece > UINT32_MAX)
            return vlm_fail(err, VLM_ELIMIT, "a word of %zu bytes is over the limit", piece);
        if (table->n && vlm_word_table_memory(table, piece) > counts->share)
            rc = spill(counts, table, err);
        if (rc == VLM_OK && !vlm_word_table_add(table, text, piece, 1, n))
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu distinct words", table->n);
        if (rc < 0)
            return rc;
        text += piece;
        n -= piece;
    }
    return VLM_OK;
}

/* Moves the words of `from` to the first table. */
static int join(struct vlm_word_counts *counts, struct vlm_word_table *from, struct vlm_err *err)
{
    struct vlm_word_table *to = counts->tables;
    for (size_t i = 0; i < from->capacity; i++) {
        const struct vlm_word_entry *entry = &from->entries[i];
        if (entry->n && !vlm_word_table_add(to, vlm_word_table_bytes(from, entry), entry->n,
                                            entry->count, entry->n))
            return vlm_fail(err, VLM_ENOMEM, "no memory for %zu distinct words", to->n);
    }
    return VLM_OK;
}

int vlm_word_counts_end(struct vlm_word_counts *counts, struct vlm_err *err)
{
    int rc = VLM_OK;
    bool spilled = counts->runs.n > 0;
    for (size_t i = 0; rc == VLM_OK && i < counts->threads; i++) {
        if (spilled && counts->tables[i].n)
            rc = spill(counts, &counts->tables[i], err);
        else if (!spilled && i)
            rc = join(counts, &counts->tables[i], err);
        if (spilled || i)
            vlm_word_table_release(&counts->tables[i]);
    }
    return rc;
}

int vlm_word_counts_rewind(struct vlm_word_counts *counts, struct vlm_err *err)
{
    counts->next = 0;
    return counts->runs.n ? vlm_word_runs_rewind(&counts->runs, err) : VLM_OK;
}

int vlm_word_counts_next(struct vlm_word_counts *counts, struct vlm_word_count *word,
                         struct vlm_err *err)
{
    const struct vlm_word_table *table = counts->tables;
    if (counts->runs.n)
        return vlm_word_runs_next(&counts->runs, word, err);
    for (; counts->next < table->capacity; counts->next++) {
        const struct vlm_word_entry *entry = &table->entries[counts->next];
        if (!entry->n)
            continue;
        *word =
            (struct vlm_word_count){ vlm_word_table_bytes(table, entry), entry->n, entry->count };
        counts->next++;
        return VLM_OK;
    }
    return VLM_EOF;
}

void vlm_word_counts_free(struct vlm_word_counts *counts)
{
    if (!counts)
        return;
    for (size_t i = 0; counts->tables && i < counts->threads; i++)
        vlm_word_table_release(&counts->tables[i]);
    free(counts->tables);
    vlm_word_runs_release(&counts->runs);
    free(counts->folder);
    pthread_mutex_destroy(&counts->lock);
    free(counts);
}
