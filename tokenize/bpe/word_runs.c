/* word_runs.c - external merge of sorted words: count and length as numbers of 8 and 4 bytes, then the word. */
#include "base/vlm.h"

#include "tokenize/bpe/word_runs.h"

#include "base/bytes.h"
#include "base/file.h"

#include <fcntl.h>
#include <unistd.h>

enum { HEADER = 12, PIECE = 256 << 10, MERGED = 16 };

struct vlm_word_run {
    int fd;
    unsigned level;
    uint64_t size, read; /* bytes of the file; of these, how many went through the buffer */
    struct vlm_buffer buffer;
    size_t at;                  /* in the buffer: behind the word under the head */
    struct vlm_word_count word; /* points into the buffer */
};

static void free_run(struct vlm_word_run *run)
{
    if (!run)
        return;
    if (run->fd >= 0)
        close(run->fd);
    vlm_buffer_release(&run->buffer);
    free(run);
}

static int new_run(struct vlm_word_runs *runs, unsigned level, struct vlm_err *err)
{
    struct vlm_word_run **list = realloc(runs->list, (runs->n + 1) * sizeof(struct vlm_word_run *));
    if (list)
        runs->list = list;
    struct vlm_word_run *run = list ? calloc(1, sizeof(*run)) : NULL;
    if (!run)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu files of words", runs->n + 1);
    run->level = level;
    list[runs->n++] = run;
    char *name = vlm_path_join(runs->folder, "words-XXXXXX");
    int rc = VLM_OK;
    run->fd = mkostemp(name, O_CLOEXEC);
    if (run->fd < 0)
        rc = vlm_fail_errno(err, errno, "cannot make a file for counts of words in '%s'",
                            runs->folder);
    else
        unlink(name);
    free(name);
    return rc;
}

/* Writing ------------------------------------------------------------------------------------------ */

static int flush(struct vlm_word_runs *runs, struct vlm_word_run *run, struct vlm_err *err)
{
    int rc = VLM_OK;
    if (run->buffer.failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory to write words to a file");
    if (vlm_write_all(run->fd, run->buffer.data, run->buffer.size, runs->folder, err) < 0)
        rc = vlm_wrap(err, "counts of words go to files");
    run->size += run->buffer.size;
    vlm_buffer_reset(&run->buffer);
    return rc;
}

static int write_word(struct vlm_word_runs *runs, struct vlm_word_run *run, const char *bytes,
                      size_t n, uint64_t count, struct vlm_err *err)
{
    vlm_buffer_u64(&run->buffer, count);
    vlm_buffer_u32(&run->buffer, (uint32_t)n);
    vlm_buffer_add(&run->buffer, bytes, n);
    return run->buffer.size < PIECE ? VLM_OK : flush(runs, run, err);
}

/* The last MERGED runs, all of one level, become one of the next. */
static int merge_last(struct vlm_word_runs *runs, struct vlm_err *err)
{
    size_t first = runs->n - MERGED;
    struct vlm_word_runs old = { .folder = runs->folder };
    struct vlm_word_count word;
    old.list = malloc(MERGED * sizeof(struct vlm_word_run *));
    if (!old.list)
        return vlm_fail(err, VLM_ENOMEM, "no memory to merge counts of words");
    old.n = MERGED;
    memcpy(old.list, runs->list + first, MERGED * sizeof(struct vlm_word_run *));
    runs->n = first;
    int rc = new_run(runs, old.list[0]->level + 1, err);
    if (rc == VLM_OK)
        rc = vlm_word_runs_rewind(&old, err);
    while (rc == VLM_OK && (rc = vlm_word_runs_next(&old, &word, err)) == VLM_OK)
        rc = write_word(runs, runs->list[first], word.bytes, word.n, word.count, err);
    if (rc == VLM_EOF)
        rc = flush(runs, runs->list[first], err);
    vlm_word_runs_release(&old);
    return rc;
}

static bool is_due(const struct vlm_word_runs *runs)
{
    return runs->n >= MERGED &&
           runs->list[runs->n - MERGED]->level == runs->list[runs->n - 1]->level;
}

int vlm_word_runs_add(struct vlm_word_runs *runs, const struct vlm_word_table *sorted,
                      struct vlm_err *err)
{
    int rc = new_run(runs, 0, err);
    for (size_t i = 0; rc == VLM_OK && i < sorted->n; i++) {
        const struct vlm_word_entry *entry = &sorted->entries[i];
        rc = write_word(runs, runs->list[runs->n - 1], vlm_word_table_bytes(sorted, entry),
                        entry->n, entry->count, err);
    }
    if (rc == VLM_OK)
        rc = flush(runs, runs->list[runs->n - 1], err);
    while (rc == VLM_OK && is_due(runs))
        rc = merge_last(runs, err);
    return rc;
}

/* Reading ------------------------------------------------------------------------------------------ */

/* Makes the n bytes behind run->at stand in the buffer. */
static int need(struct vlm_word_run *run, size_t n, struct vlm_err *err)
{
    struct vlm_buffer *buffer = &run->buffer;
    size_t left = buffer->size - run->at;
    if (left >= n)
        return VLM_OK;
    if (left)
        memmove(buffer->data, buffer->data + run->at, left);
    buffer->size = left;
    run->at = 0;
    size_t more =
        (size_t)VLM_MIN((uint64_t)VLM_MAX(n - left, (size_t)PIECE), run->size - run->read);
    uint8_t *to = vlm_buffer_reserve(buffer, more);
    if (!to)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu bytes of counted words", more);
    int rc = vlm_pread_all(run->fd, to, more, run->read, "counts of words", err);
    buffer->size += more;
    run->read += more;
    return rc;
}

/* Reads the next word of a run into run->word; VLM_EOF behind the last. */
static int advance(struct vlm_word_run *run, struct vlm_err *err)
{
    if (run->at == run->buffer.size && run->read == run->size)
        return VLM_EOF;
    int rc = need(run, HEADER, err);
    if (rc < 0)
        return rc;
    struct vlm_bytes in = { run->buffer.data + run->at, run->buffer.data + run->buffer.size,
                            false };
    run->word.count = vlm_bytes_u64(&in);
    run->word.n = vlm_bytes_u32(&in);
    rc = need(run, HEADER + run->word.n, err);
    run->word.bytes = (const char *)run->buffer.data + run->at + HEADER;
    run->at += HEADER + run->word.n;
    return rc;
}

static int compare(const struct vlm_word_count *a, const struct vlm_word_count *b)
{
    int order = memcmp(a->bytes, b->bytes, VLM_MIN(a->n, b->n));
    return order ? order : a->n < b->n ? -1 : a->n > b->n;
}

static void sift_down(struct vlm_word_runs *runs, size_t slot)
{
    for (;;) {
        size_t least = slot;
        for (size_t child = 2 * slot + 1; child < 2 * slot + 3 && child < runs->n_heap; child++)
            if (compare(&runs->list[runs->heap[child]]->word,
                        &runs->list[runs->heap[least]]->word) < 0)
                least = child;
        if (least == slot)
            return;
        size_t run = runs->heap[slot];
        runs->heap[slot] = runs->heap[least];
        runs->heap[least] = run;
        slot = least;
    }
}

int vlm_word_runs_rewind(struct vlm_word_runs *runs, struct vlm_err *err)
{
    size_t *heap = realloc(runs->heap, (runs->n + 1) * sizeof(*heap));
    if (!heap)
        return vlm_fail(err, VLM_ENOMEM, "no memory to merge %zu files of words", runs->n);
    runs->heap = heap;
    runs->n_heap = 0;
    for (size_t i = 0; i < runs->n; i++) {
        struct vlm_word_run *run = runs->list[i];
        run->read = run->at = 0;
        vlm_buffer_reset(&run->buffer);
        int rc = advance(run, err);
        if (rc < 0)
            return rc;
        if (rc == VLM_OK)
            heap[runs->n_heap++] = i;
    }
    for (size_t slot = runs->n_heap / 2; slot-- > 0;)
        sift_down(runs, slot);
    return VLM_OK;
}

int vlm_word_runs_next(struct vlm_word_runs *runs, struct vlm_word_count *word, struct vlm_err *err)
{
    if (!runs->n_heap)
        return VLM_EOF;
    const struct vlm_word_count *first = &runs->list[runs->heap[0]]->word;
    vlm_buffer_reset(&runs->word);
    vlm_buffer_add(&runs->word, first->bytes, first->n);
    if (runs->word.failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a word of %zu bytes", first->n);
    *word = (struct vlm_word_count){ (const char *)runs->word.data, first->n, 0 };
    while (runs->n_heap && !compare(&runs->list[runs->heap[0]]->word, word)) {
        struct vlm_word_run *run = runs->list[runs->heap[0]];
        word->count += run->word.count;
        int rc = advance(run, err);
        if (rc < 0)
            return rc;
        if (rc == VLM_EOF)
            runs->heap[0] = runs->heap[--runs->n_heap];
        sift_down(runs, 0);
    }
    return VLM_OK;
}

void vlm_word_runs_release(struct vlm_word_runs *runs)
{
    for (size_t i = 0; i < runs->n; i++)
        free_run(runs->list[i]);
    free(runs->list);
    free(runs->heap);
    vlm_buffer_release(&runs->word);
    *runs = (struct vlm_word_runs){ .folder = runs->folder };
}
