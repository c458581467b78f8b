/* crawl_run.c - pages are made by several threads, a batch at a time, and written in order.
 *
 * A batch is a fixed number of slots; a thread takes the next slot that nobody has. Memory is that of
 * one batch, whatever the number of pages, and the bytes do not depend on the number of threads. */
#include "base/vlm.h"
#include "tools/crawl/crawl_run.h"

#include "base/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { THREADS_MAX = 64, BATCH = 128 };

struct slot {
    struct vlm_buffer bytes;
    struct crawl_counts counts;
    int rc;
    struct vlm_err err;
};

struct batch {
    const struct crawl_options *options;
    uint64_t first;
    size_t n;
    atomic_size_t next;
    struct slot slot[BATCH];
};

struct worker {
    pthread_t thread;
    struct crawl_maker *maker;
    struct batch *batch;
};

static void *work(void *user)
{
    struct worker *worker = user;
    struct batch *batch = worker->batch;
    size_t i;
    while ((i = atomic_fetch_add(&batch->next, 1)) < batch->n) {
        struct slot *slot = &batch->slot[i];
        vlm_buffer_reset(&slot->bytes);
        memset(&slot->counts, 0, sizeof(slot->counts));
        slot->rc = crawl_page_add(worker->maker, &slot->bytes, &slot->counts, batch->options,
                                  batch->first + i, &slot->err);
    }
    return NULL;
}

/* The calling thread is the first worker. A thread that cannot be started leaves its share to the
 * others. */
static void make_batch(struct batch *batch, struct worker *workers, unsigned n, uint64_t first,
                       size_t pages)
{
    batch->first = first;
    batch->n = pages;
    atomic_store(&batch->next, 0);
    bool started[THREADS_MAX] = { false };
    for (unsigned i = 1; i < n; i++)
        started[i] = pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0;
    work(&workers[0]);
    for (unsigned i = 1; i < n; i++)
        if (started[i])
            pthread_join(workers[i].thread, NULL);
}

/* --- files --- */

struct output {
    const char *folder;
    char *path, *temporary; /* NULL: no file is open */
    int fd;
};

static void forget_output(struct output *output)
{
    free(output->path);
    free(output->temporary);
    output->path = output->temporary = NULL;
}

static int open_output(struct output *output, uint64_t number, struct vlm_err *err)
{
    char name[64], temporary[72];
    snprintf(name, sizeof(name), "crawl-%05" PRIu64 ".warc.gz", number);
    snprintf(temporary, sizeof(temporary), "%s.tmp", name);
    output->path = vlm_path_join(output->folder, name);
    output->temporary = vlm_path_join(output->folder, temporary);
    output->fd = open(output->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (output->fd >= 0)
        return VLM_OK;
    int rc = vlm_fail_errno(err, errno, "cannot create '%s'", output->temporary);
    forget_output(output);
    return rc;
}

static int close_output(struct output *output, struct vlm_err *err)
{
    int rc = vlm_file_publish(output->fd, output->temporary, output->path, err);
    if (close(output->fd) < 0 && rc == VLM_OK && errno != EINTR)
        rc = vlm_fail_errno(err, errno, "cannot close '%s'", output->path);
    if (rc != VLM_OK)
        unlink(output->temporary);
    forget_output(output);
    return rc;
}

static void abandon_output(struct output *output)
{
    if (!output->temporary)
        return;
    close(output->fd);
    unlink(output->temporary);
    forget_output(output);
}

static void add_counts(struct crawl_counts *sum, const struct crawl_counts *counts)
{
    /* The struct is nothing but counters. */
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)counts;
    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
        to[i] += from[i];
}

static int write_bytes(struct output *output, struct crawl_result *result,
                       const struct vlm_buffer *bytes, struct vlm_err *err)
{
    result->bytes += bytes->size;
    return vlm_write_all(output->fd, bytes->data, bytes->size, output->path, err);
}

static int begin_file(const struct crawl_run *run, struct output *output,
                      struct crawl_result *result, struct crawl_maker *maker, struct vlm_err *err)
{
    struct vlm_buffer bytes = { 0 };
    int rc = open_output(output, result->files, err);
    if (rc == VLM_OK) {
        crawl_warcinfo_add(maker, &bytes, &result->counts, &run->options, result->files);
        rc = bytes.failed ? vlm_fail(err, VLM_ENOMEM, "no memory for a record")
                          : write_bytes(output, result, &bytes, err);
        result->files++;
    }
    vlm_buffer_release(&bytes);
    return rc;
}

static int write_batch(const struct crawl_run *run, const struct batch *batch,
                       struct output *output, struct crawl_result *result,
                       struct crawl_maker *maker, struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t i = 0; i < batch->n && rc == VLM_OK; i++) {
        const struct slot *slot = &batch->slot[i];
        if (slot->rc != VLM_OK) {
            *err = slot->err;
            return vlm_wrap(err, "page %" PRIu64, batch->first + i);
        }
        if ((batch->first + i) % run->pages_per_file == 0) {
            rc = output->path ? close_output(output, err) : VLM_OK;
            if (rc == VLM_OK)
                rc = begin_file(run, output, result, maker, err);
        }
        if (rc == VLM_OK)
            rc = write_bytes(output, result, &slot->bytes, err);
        add_counts(&result->counts, &slot->counts);
    }
    return rc;
}

static void show_progress(const struct crawl_run *run, uint64_t pages)
{
    char line[96], count[VLM_FORMAT_SIZE], rate[VLM_FORMAT_SIZE], eta[VLM_FORMAT_SIZE];
    double fraction = (double)pages / (double)run->options.pages;
    double seconds = vlm_progress_seconds(run->progress);
    snprintf(line, sizeof(line), "make-crawl %5.1f%%  %s pages  %s page/s  eta %s", 100 * fraction,
             vlm_format_count(count, (double)pages),
             vlm_format_count(rate, seconds > 0 ? (double)pages / seconds : 0),
             vlm_format_eta(eta, seconds, fraction));
    vlm_progress_update(run->progress, fraction, line);
}

static int run_batches(const struct crawl_run *run, struct batch *batch, struct worker *workers,
                       unsigned threads, struct crawl_result *result, struct vlm_err *err)
{
    struct output output = { .folder = run->folder };
    int rc = VLM_OK;
    for (uint64_t page = 0; page < run->options.pages && rc == VLM_OK; page += BATCH) {
        size_t n = (size_t)VLM_MIN(run->options.pages - page, BATCH);
        make_batch(batch, workers, threads, page, n);
        rc = write_batch(run, batch, &output, result, workers[0].maker, err);
        if (run->progress)
            show_progress(run, page + n);
    }
    if (rc == VLM_OK && output.path)
        rc = close_output(&output, err);
    abandon_output(&output);
    return rc;
}

int crawl_run(const struct crawl_run *run, struct crawl_result *result, struct vlm_err *err)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = run->threads ? run->threads : (unsigned)VLM_MAX(processors, 1);
    threads = VLM_MIN(threads, THREADS_MAX);
    memset(result, 0, sizeof(*result));
    struct worker *workers = calloc(threads, sizeof(*workers));
    struct batch *batch = calloc(1, sizeof(*batch));
    int rc = workers && batch ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for a batch");
    for (unsigned i = 0; i < threads && rc == VLM_OK; i++) {
        workers[i].batch = batch;
        workers[i].maker = crawl_maker_new();
        if (!workers[i].maker)
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for thread %u", i);
    }
    if (rc == VLM_OK) {
        batch->options = &run->options;
        rc = vlm_folder_make(run->folder, err);
    }
    if (rc == VLM_OK)
        rc = run_batches(run, batch, workers, threads, result, err);
    for (unsigned i = 0; workers && i < threads; i++)
        crawl_maker_free(workers[i].maker);
    for (size_t i = 0; batch && i < BATCH; i++)
        vlm_buffer_release(&batch->slot[i].bytes);
    free(batch);
    free(workers);
    return rc;
}
