/* sorter.c - external merge sort: sorted runs in one unnamed file, merged through a heap.
 *
 * Everything stays in memory when it fits. Otherwise each full buffer is sorted and appended to the
 * spill file as a run, and reading merges the runs, each through a buffer of its own. */
#include "base/vlm.h"
#include "base/sorter.h"

#include "base/file.h"

#include <fcntl.h>
#include <unistd.h>

enum { RUN_BUFFER = 256 << 10 };

struct run {
    uint64_t begin, at, end; /* bytes of the spill file: the run, and what is not yet buffered */
    uint8_t *buffer;
    size_t used, filled;
};

struct vlm_sorter {
    size_t record_size;
    size_t capacity, count; /* records in memory */
    size_t next;
    uint8_t *records;
    uint64_t total;
    char *folder;
    int spill; /* -1: nothing spilled */
    uint64_t spill_size;
    struct run *runs;
    size_t n_runs;
    size_t *heap; /* run indices, the one with the smallest record first */
    size_t n_heap;
};

int vlm_sorter_new(struct vlm_sorter **out, size_t record_size, size_t memory, const char *folder,
                   struct vlm_err *err)
{
    struct vlm_sorter *sorter = calloc(1, sizeof(*sorter));
    if (!sorter)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a sorter");
    sorter->record_size = record_size;
    sorter->capacity = VLM_MAX(memory / record_size, 1);
    sorter->spill = -1;
    sorter->folder = strdup(folder);
    *out = sorter;
    if (!sorter->folder)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a sorter");
    return VLM_OK;
}

static int compare(const void *a, const void *b, void *size)
{
    return memcmp(a, b, *(size_t *)size);
}

static void sort_memory(struct vlm_sorter *sorter)
{
    if (sorter->count)
        qsort_r(sorter->records, sorter->count, sorter->record_size, compare, &sorter->record_size);
}

static int open_spill(struct vlm_sorter *sorter, struct vlm_err *err)
{
    char *name = vlm_path_join(sorter->folder, "sort-XXXXXX");
    int rc = VLM_OK;
    sorter->spill = mkostemp(name, O_CLOEXEC);
    if (sorter->spill < 0)
        rc = vlm_fail_errno(err, errno, "cannot make '%s'", name);
    else
        unlink(name);
    free(name);
    return rc;
}

static int spill_run(struct vlm_sorter *sorter, struct vlm_err *err)
{
    int rc = sorter->spill < 0 ? open_spill(sorter, err) : VLM_OK;
    if (rc < 0)
        return rc;
    struct run *runs = realloc(sorter->runs, (sorter->n_runs + 1) * sizeof(*runs));
    if (!runs)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu sorted runs", sorter->n_runs + 1);
    sorter->runs = runs;
    size_t bytes = sorter->count * sorter->record_size;
    sort_memory(sorter);
    rc = vlm_write_all(sorter->spill, sorter->records, bytes, sorter->folder, err);
    if (rc < 0)
        return vlm_wrap(err, "spilling sorted records");
    runs[sorter->n_runs++] = (struct run){
        .begin = sorter->spill_size,
        .end = sorter->spill_size + bytes,
    };
    sorter->spill_size += bytes;
    sorter->count = 0;
    return VLM_OK;
}

/* Memory grows with the records, so that many small sorters cost little. */
static int grow(struct vlm_sorter *sorter, struct vlm_err *err)
{
    size_t have = sorter->count, want = VLM_MIN(VLM_MAX(have * 2, 64), sorter->capacity);
    uint8_t *records = realloc(sorter->records, want * sorter->record_size);
    if (!records)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu records to sort", want);
    sorter->records = records;
    return VLM_OK;
}

int vlm_sorter_add(struct vlm_sorter *sorter, const void *record, struct vlm_err *err)
{
    int rc = VLM_OK;
    if (sorter->count == sorter->capacity)
        rc = spill_run(sorter, err);
    bool full = sorter->count == 0 ? !sorter->records
                                   : sorter->count >= 64 && !(sorter->count & (sorter->count - 1));
    if (rc == VLM_OK && full && sorter->n_runs == 0)
        rc = grow(sorter, err);
    if (rc < 0)
        return rc;
    memcpy(sorter->records + sorter->count++ * sorter->record_size, record, sorter->record_size);
    sorter->total++;
    return VLM_OK;
}

static int fill(struct vlm_sorter *sorter, struct run *run, struct vlm_err *err)
{
    size_t whole = RUN_BUFFER / sorter->record_size * sorter->record_size;
    run->used = 0;
    run->filled =
        (size_t)VLM_MIN((uint64_t)VLM_MAX(whole, sorter->record_size), run->end - run->at);
    if (!run->filled)
        return VLM_EOF;
    int rc = vlm_pread_all(sorter->spill, run->buffer, run->filled, run->at, sorter->folder, err);
    run->at += run->filled;
    return rc;
}

static const uint8_t *head(const struct vlm_sorter *sorter, size_t slot)
{
    const struct run *run = &sorter->runs[sorter->heap[slot]];
    return run->buffer + run->used;
}

static void sift_down(struct vlm_sorter *sorter, size_t slot)
{
    for (;;) {
        size_t least = slot, child = 2 * slot + 1;
        for (size_t c = child; c < child + 2 && c < sorter->n_heap; c++)
            if (memcmp(head(sorter, c), head(sorter, least), sorter->record_size) < 0)
                least = c;
        if (least == slot)
            return;
        size_t moved = sorter->heap[slot];
        sorter->heap[slot] = sorter->heap[least];
        sorter->heap[least] = moved;
        slot = least;
    }
}

static int start_merge(struct vlm_sorter *sorter, struct vlm_err *err)
{
    sorter->n_heap = 0;
    for (size_t i = 0; i < sorter->n_runs; i++) {
        struct run *run = &sorter->runs[i];
        run->at = run->begin;
        if (!run->buffer)
            run->buffer = malloc(VLM_MAX((size_t)RUN_BUFFER, sorter->record_size));
        if (!run->buffer)
            return vlm_fail(err, VLM_ENOMEM, "no memory to merge %zu sorted runs", sorter->n_runs);
        int rc = fill(sorter, run, err);
        if (rc < 0)
            return rc;
        if (rc == VLM_OK)
            sorter->heap[sorter->n_heap++] = i;
    }
    for (size_t slot = sorter->n_heap / 2; slot-- > 0;)
        sift_down(sorter, slot);
    return VLM_OK;
}

int vlm_sorter_sort(struct vlm_sorter *sorter, struct vlm_err *err)
{
    if (!sorter->n_runs) {
        sort_memory(sorter);
        sorter->next = 0;
        return VLM_OK;
    }
    int rc = sorter->count ? spill_run(sorter, err) : VLM_OK;
    free(sorter->records);
    sorter->records = NULL;
    sorter->heap = calloc(sorter->n_runs, sizeof(*sorter->heap));
    if (rc == VLM_OK && !sorter->heap)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory to merge %zu sorted runs", sorter->n_runs);
    return rc < 0 ? rc : start_merge(sorter, err);
}

int vlm_sorter_rewind(struct vlm_sorter *sorter, struct vlm_err *err)
{
    sorter->next = 0;
    return sorter->n_runs ? start_merge(sorter, err) : VLM_OK;
}

int vlm_sorter_next(struct vlm_sorter *sorter, void *record, struct vlm_err *err)
{
    if (!sorter->n_runs) {
        if (sorter->next == sorter->count)
            return VLM_EOF;
        memcpy(record, sorter->records + sorter->next++ * sorter->record_size, sorter->record_size);
        return VLM_OK;
    }
    if (!sorter->n_heap)
        return VLM_EOF;
    struct run *run = &sorter->runs[sorter->heap[0]];
    memcpy(record, run->buffer + run->used, sorter->record_size);
    run->used += sorter->record_size;
    if (run->used == run->filled) {
        int rc = fill(sorter, run, err);
        if (rc < 0)
            return rc;
        if (rc == VLM_EOF)
            sorter->heap[0] = sorter->heap[--sorter->n_heap];
    }
    sift_down(sorter, 0);
    return VLM_OK;
}

uint64_t vlm_sorter_count(const struct vlm_sorter *sorter)
{
    return sorter->total;
}

void vlm_sorter_free(struct vlm_sorter *sorter)
{
    if (!sorter)
        return;
    for (size_t i = 0; i < sorter->n_runs; i++)
        free(sorter->runs[i].buffer);
    if (sorter->spill >= 0)
        close(sorter->spill);
    free(sorter->runs);
    free(sorter->heap);
    free(sorter->records);
    free(sorter->folder);
    free(sorter);
}
