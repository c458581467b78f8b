/* picture.c - the loop's side of pictures: tasks for the coder threads, their callbacks, what is kept.
 *
 * Each thread has a coder and a box of its own. What is done comes back through a list and an eventfd; the
 * loop takes one task after the other off it, so that a callback may cancel any other. What is kept goes only
 * on the loop's thread: bytes that vlm_blobs_get() lends stay where they are until the next call. */
#include "base/vlm.h"

#include "base/limits.h"
#include "serve/picture/picture_internal.h"

#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { WAITING_MAX = 512, SECONDS = 10 };
#define WAITING_BYTES (256 * VLM_MIB) /* of all files that wait */

void vlm_picture_append(struct vlm_picture_list *list, struct vlm_picture_task *task)
{
    task->before = list->last;
    task->after = NULL;
    if (list->last)
        list->last->after = task;
    else
        list->first = task;
    list->last = task;
    list->n++;
    list->bytes += task->n;
}

void vlm_picture_remove(struct vlm_picture_list *list, struct vlm_picture_task *task)
{
    if (task->before)
        task->before->after = task->after;
    else
        list->first = task->after;
    if (task->after)
        task->after->before = task->before;
    else
        list->last = task->before;
    list->n--;
    list->bytes -= task->n;
}

static void free_task(struct vlm_picture_task *task)
{
    if (!task)
        return;
    free(task->bytes);
    free(task->old_square);
    free(task->square);
    vlm_buffer_release(&task->file);
    free(task);
}

/* ---- what is done ---- */

/* A picture that was read is kept; no memory for that is no reason to refuse it. */
static void keep(struct vlm_pictures *pictures, const struct vlm_picture_task *task)
{
    struct vlm_kept_picture *picture = malloc(sizeof(*picture));
    if (!picture)
        return;
    picture->width = task->picture.width;
    picture->height = task->picture.height;
    picture->format = task->picture.format;
    memcpy(picture->codes, task->picture.codes, sizeof(picture->codes));
    memcpy(picture->square, task->square, VLM_SQUARE_BYTES);
    pthread_mutex_lock(&pictures->lock);
    (void)vlm_kept_put(pictures->kept, VLM_KEPT_PICTURE, task->picture.sha256, picture,
                       sizeof(*picture));
    pthread_mutex_unlock(&pictures->lock);
}

static void tell(struct vlm_picture_task *task)
{
    const bool ok = task->rc == VLM_OK;
    switch (task->work) {
    case VLM_PICTURE_ENCODE:
        task->picture.square = task->square;
        task->done.encoded(task->argument, task->rc, &task->err, ok ? &task->picture : NULL);
        break;
    case VLM_PICTURE_MASK:
        task->done.masked(task->argument, task->rc, &task->err, ok ? task->cells : NULL,
                          task->picture.width, task->picture.height);
        break;
    default:
        task->done.decoded(task->argument, task->rc, &task->err, ok ? task->file.data : NULL,
                           ok ? task->file.size : 0, ok ? task->square : NULL);
    }
}

static void tell_warning(struct vlm_pictures *pictures)
{
    char sentence[sizeof(pictures->warning)];
    pthread_mutex_lock(&pictures->lock);
    memcpy(sentence, pictures->warning, sizeof(sentence));
    pictures->warning[0] = 0;
    pthread_mutex_unlock(&pictures->lock);
    if (sentence[0] && pictures->options.warn)
        pictures->options.warn(pictures->options.warn_context, sentence);
}

static void on_woken(evutil_socket_t fd, short what, void *argument)
{
    struct vlm_pictures *pictures = argument;
    uint64_t count;
    (void)what;
    (void)!read(fd, &count, sizeof(count));
    tell_warning(pictures);
    for (;;) {
        pthread_mutex_lock(&pictures->lock);
        struct vlm_picture_task *task = pictures->done.first;
        if (task)
            vlm_picture_remove(&pictures->done, task);
        pthread_mutex_unlock(&pictures->lock);
        if (!task)
            return;
        if (!atomic_load(&task->stop)) {
            if (task->work == VLM_PICTURE_ENCODE && task->rc == VLM_OK && !task->was_kept)
                keep(pictures, task);
            tell(task);
        }
        free_task(task);
    }
}

/* ---- tasks ---- */

static struct vlm_picture_task *new_task(enum vlm_picture_work work, const uint8_t *bytes, size_t n,
                                         void *argument)
{
    struct vlm_picture_task *task = calloc(1, sizeof(*task));
    if (!task)
        return NULL;
    task->work = work;
    task->argument = argument;
    atomic_init(&task->stop, false);
    if (work == VLM_PICTURE_DECODE)
        return task;
    task->n = n;
    task->bytes = malloc(n + 1);
    if (!task->bytes) {
        free_task(task);
        return NULL;
    }
    if (n)
        memcpy(task->bytes, bytes, n);
    return task;
}

/* NULL, and the task is gone: too much waits. */
static struct vlm_picture_task *submit(struct vlm_pictures *pictures, struct vlm_picture_task *task)
{
    bool room = false;
    if (!task)
        return NULL;
    pthread_mutex_lock(&pictures->lock);
    room = pictures->waiting.n < WAITING_MAX && pictures->waiting.bytes <= WAITING_BYTES;
    if (room) {
        vlm_picture_append(&pictures->waiting, task);
        pthread_cond_signal(&pictures->more);
    }
    pthread_mutex_unlock(&pictures->lock);
    if (room)
        return task;
    free_task(task);
    return NULL;
}

struct vlm_picture_task *vlm_pictures_encode(struct vlm_pictures *pictures, const uint8_t *bytes,
                                             size_t n, vlm_encoded_fn done, void *argument)
{
    struct vlm_picture_task *task = new_task(VLM_PICTURE_ENCODE, bytes, n, argument);
    if (task)
        task->done.encoded = done;
    return submit(pictures, task);
}

struct vlm_picture_task *vlm_pictures_mask(struct vlm_pictures *pictures, const uint8_t *bytes,
                                           size_t n, vlm_masked_fn done, void *argument)
{
    struct vlm_picture_task *task = new_task(VLM_PICTURE_MASK, bytes, n, argument);
    if (task)
        task->done.masked = done;
    return submit(pictures, task);
}

struct vlm_picture_task *vlm_pictures_decode(struct vlm_pictures *pictures,
                                             const uint16_t codes[VLM_CODES],
                                             const struct vlm_picture_form *form,
                                             vlm_decoded_fn done, void *argument)
{
    struct vlm_picture_task *task = new_task(VLM_PICTURE_DECODE, NULL, 0, argument);
    if (!task)
        return NULL;
    task->done.decoded = done;
    memcpy(task->picture.codes, codes, sizeof(task->picture.codes));
    task->form = *form;
    if (form->mask) {
        task->old_square = malloc(VLM_SQUARE_BYTES);
        if (!task->old_square) {
            free_task(task);
            return NULL;
        }
        memcpy(task->old_square, form->square, VLM_SQUARE_BYTES);
        memcpy(task->cells, form->mask, VLM_CODES);
        task->form.square = task->old_square;
        task->form.mask = task->cells;
    }
    return submit(pictures, task);
}

void vlm_pictures_cancel(struct vlm_pictures *pictures, struct vlm_picture_task *task)
{
    if (!task)
        return;
    pthread_mutex_lock(&pictures->lock);
    atomic_store(&task->stop, true);
    const bool waits = task->state == VLM_PICTURE_WAITS;
    if (waits)
        vlm_picture_remove(&pictures->waiting, task);
    pthread_mutex_unlock(&pictures->lock);
    if (waits)
        free_task(task); /* else it comes back through the list of what is done */
}

/* ---- blobs ---- */

int vlm_blobs_put(struct vlm_pictures *pictures, uint8_t sha256[32], const uint8_t *bytes, size_t n,
                  struct vlm_err *err)
{
    vlm_sha256(sha256, bytes, n);
    if (vlm_pictures_is_deleted(pictures, sha256))
        return vlm_fail(err, VLM_EUSAGE, "the picture is among those that were deleted");
    uint8_t *copy = malloc(n + 1);
    if (!copy)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu bytes", n);
    if (n)
        memcpy(copy, bytes, n);
    pthread_mutex_lock(&pictures->lock);
    const bool kept = vlm_kept_put(pictures->kept, VLM_KEPT_BLOB, sha256, copy, n);
    pthread_mutex_unlock(&pictures->lock);
    return kept ? VLM_OK
                : vlm_fail(err, VLM_ELIMIT, "%zu bytes are more than the %zu that are kept in all",
                           n, pictures->options.kept_bytes);
}

bool vlm_blobs_get(struct vlm_pictures *pictures, const uint8_t sha256[32], const uint8_t **bytes,
                   size_t *n)
{
    if (vlm_pictures_is_deleted(pictures, sha256))
        return false;
    pthread_mutex_lock(&pictures->lock);
    *bytes = vlm_kept_get(pictures->kept, VLM_KEPT_BLOB, sha256, n);
    pthread_mutex_unlock(&pictures->lock);
    return *bytes;
}

bool vlm_pictures_is_deleted(struct vlm_pictures *pictures, const uint8_t sha256[32])
{
    struct vlm_err err = { 0 };
    int rc = vlm_deleted_look(pictures->deleted, &err);
    if (rc != VLM_OK && pictures->options.warn)
        pictures->options.warn(pictures->options.warn_context, err.msg);
    /* What cannot be ruled out is not used. */
    return rc < 0 || vlm_deleted_has_image(pictures->deleted, sha256);
}

/* ---- the whole ---- */

const char *vlm_pictures_tokenizer(const struct vlm_pictures *pictures)
{
    return vlm_tokenizer_info(pictures->options.tokenizer).id;
}

size_t vlm_pictures_codes(const struct vlm_pictures *pictures)
{
    return vlm_tokenizer_info(pictures->options.tokenizer).codebook_size;
}

static int start_threads(struct vlm_pictures *pictures, struct vlm_err *err)
{
    const struct vlm_pictures_options *options = &pictures->options;
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < options->threads; i++) {
        struct vlm_picture_thread *thread = &pictures->threads[i];
        thread->pictures = pictures;
        rc = vlm_box_new(&thread->box, options->program, SECONDS, err);
        if (rc == VLM_OK)
            rc = vlm_coder_new(&thread->coder, options->tokenizer, 1, err);
        if (rc != VLM_OK)
            break;
        if (i == 0 && vlm_box_warning(thread->box)[0])
            snprintf(pictures->warning, sizeof(pictures->warning), "%s",
                     vlm_box_warning(thread->box));
        int number = pthread_create(&thread->thread, NULL, vlm_picture_thread_main, thread);
        if (number)
            rc = vlm_fail_errno(err, number, "cannot start a thread");
        thread->runs = !number;
    }
    return rc;
}

static int watch(struct vlm_pictures *pictures, struct event_base *base, struct vlm_err *err)
{
    pictures->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (pictures->wake < 0)
        return vlm_fail_errno(err, errno, "cannot make an event");
    pictures->woken = event_new(base, pictures->wake, EV_READ | EV_PERSIST, on_woken, pictures);
    if (!pictures->woken || event_add(pictures->woken, NULL) < 0)
        return vlm_fail(err, VLM_ENOMEM, "no memory for an event");
    return VLM_OK;
}

int vlm_pictures_new(struct vlm_pictures **out, struct event_base *base,
                     const struct vlm_pictures_options *options, struct vlm_err *err)
{
    struct vlm_pictures *pictures = calloc(1, sizeof(*pictures));
    *out = NULL;
    if (!pictures)
        return vlm_fail(err, VLM_ENOMEM, "no memory for pictures");
    VLM_BUG_IF(!options->threads);
    pictures->options = *options;
    pictures->wake = -1;
    pictures->locks =
        !pthread_mutex_init(&pictures->lock, NULL) && !pthread_cond_init(&pictures->more, NULL);
    pictures->kept = vlm_kept_new(options->kept_bytes);
    pictures->threads = calloc(options->threads, sizeof(*pictures->threads));
    int rc = VLM_OK;
    if (!pictures->locks || !pictures->kept || !pictures->threads)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for pictures");
    if (rc == VLM_OK)
        rc = vlm_deleted_new(&pictures->deleted, options->sets, options->n_sets,
                             vlm_tokenizer_info(options->tokenizer).id, err);
    if (rc == VLM_OK) {
        struct vlm_err bad_lines = { 0 };
        rc = vlm_deleted_look(pictures->deleted, &bad_lines);
        if (rc == VLM_SKIP && options->warn)
            options->warn(options->warn_context, bad_lines.msg);
        else if (rc < 0 && err)
            *err = bad_lines;
        rc = rc == VLM_SKIP ? VLM_OK : rc;
    }
    if (rc == VLM_OK)
        rc = watch(pictures, base, err);
    if (rc == VLM_OK)
        rc = start_threads(pictures, err);
    if (rc != VLM_OK) {
        vlm_pictures_free(pictures);
        return rc;
    }
    tell_warning(pictures);
    *out = pictures;
    return VLM_OK;
}

static void free_list(struct vlm_picture_list *list)
{
    while (list->first) {
        struct vlm_picture_task *task = list->first;
        vlm_picture_remove(list, task);
        free_task(task);
    }
}

static void join_threads(struct vlm_pictures *pictures)
{
    pthread_mutex_lock(&pictures->lock);
    pictures->ends = true;
    for (size_t i = 0; i < pictures->options.threads; i++)
        if (pictures->threads[i].task)
            atomic_store(&pictures->threads[i].task->stop, true);
    pthread_cond_broadcast(&pictures->more);
    pthread_mutex_unlock(&pictures->lock);
    for (size_t i = 0; i < pictures->options.threads; i++) {
        struct vlm_picture_thread *thread = &pictures->threads[i];
        if (thread->runs)
            pthread_join(thread->thread, NULL);
        vlm_box_free(thread->box);
        vlm_coder_free(thread->coder);
    }
}

void vlm_pictures_free(struct vlm_pictures *pictures)
{
    if (!pictures)
        return;
    if (pictures->threads && pictures->locks)
        join_threads(pictures);
    free_list(&pictures->waiting);
    free_list(&pictures->done);
    if (pictures->woken)
        event_free(pictures->woken);
    if (pictures->wake >= 0)
        close(pictures->wake);
    vlm_kept_free(pictures->kept);
    vlm_deleted_free(pictures->deleted);
    if (pictures->locks) {
        pthread_mutex_destroy(&pictures->lock);
        pthread_cond_destroy(&pictures->more);
    }
    free(pictures->threads);
    free(pictures);
}
