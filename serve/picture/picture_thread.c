/* picture_thread.c - the thread of a coder: takes what waits, first come first served, and says when it is done.
 *
 * A picture that nobody wants any more ends at the next step: while the box reads it within 50 ms, while the
 * coder runs behind the layer that it is at. The tokenizer that is part of the program needs 5 ms for all of the
 * codes and 25 ms for all pixels (vlm-vqgan eval, one core of 3 GHz). */
#include "base/vlm.h"

#include "serve/picture/blend.h"
#include "serve/picture/picture_internal.h"

#include <unistd.h>

enum { TRANSPARENT = 128 }; /* from here on a pixel of a mask counts as transparent */

static bool is_unwanted(struct vlm_picture_task *task)
{
    return atomic_load(&task->stop);
}

static int refuse_deleted(struct vlm_err *err)
{
    return vlm_fail(err, VLM_EUSAGE, "the picture is among those that were deleted");
}

/* What is new in the deleted.jsonl; bad lines are told, not fatal. */
static int look_at_deleted(struct vlm_pictures *pictures, struct vlm_err *err)
{
    int rc = vlm_deleted_look(pictures->deleted, err);
    if (rc != VLM_SKIP)
        return rc;
    pthread_mutex_lock(&pictures->lock);
    snprintf(pictures->warning, sizeof(pictures->warning), "%s", err->msg);
    pthread_mutex_unlock(&pictures->lock);
    return VLM_OK;
}

/* ---- bytes to codes ---- */

static bool find_kept(struct vlm_pictures *pictures, struct vlm_picture_task *task)
{
    size_t n = 0;
    pthread_mutex_lock(&pictures->lock);
    const struct vlm_kept_picture *kept =
        vlm_kept_get(pictures->kept, VLM_KEPT_PICTURE, task->picture.sha256, &n);
    if (kept) {
        task->picture.width = kept->width;
        task->picture.height = kept->height;
        task->picture.format = kept->format;
        memcpy(task->picture.codes, kept->codes, sizeof(kept->codes));
        memcpy(task->square, kept->square, VLM_SQUARE_BYTES);
    }
    pthread_mutex_unlock(&pictures->lock);
    return kept;
}

static int read_in_box(struct vlm_picture_thread *thread, struct vlm_picture_task *task,
                       enum vlm_box_kind kind, struct vlm_err *err)
{
    struct vlm_metrics *metrics = thread->pictures->options.metrics;
    struct vlm_box_picture read = { .square = task->square };
    int rc = vlm_box_read(thread->box, &read, kind, task->bytes, task->n, &task->stop, err);
    const uint64_t restarts = vlm_box_restarts(thread->box);
    if (metrics && restarts != thread->restarts)
        vlm_metrics_add(metrics, VLM_METRIC_BOX_RESTARTS, (int64_t)(restarts - thread->restarts));
    thread->restarts = restarts;
    if (metrics && rc != VLM_OK && rc != VLM_ESTOPPED)
        vlm_metrics_image_error(
            metrics, read.status != VLM_IMAGE_OK ? vlm_image_status_name(read.status) : "other");
    task->picture.width = read.width;
    task->picture.height = read.height;
    task->picture.format = read.format;
    /* Its header is one of ours: only the kind of the file has no transparency. */
    const bool opaque = kind == VLM_BOX_TRANSPARENCY && rc == VLM_EFORMAT &&
                        read.status == VLM_IMAGE_UNSUPPORTED && read.width;
    return opaque ? vlm_recode(err, VLM_SKIP) : rc;
}

static int encode(struct vlm_picture_thread *thread, struct vlm_picture_task *task,
                  struct vlm_err *err)
{
    struct vlm_pictures *pictures = thread->pictures;
    vlm_sha256(task->picture.sha256, task->bytes, task->n);
    int rc = look_at_deleted(pictures, err);
    if (rc == VLM_OK && vlm_deleted_has_image(pictures->deleted, task->picture.sha256))
        rc = refuse_deleted(err);
    if (rc != VLM_OK)
        return rc;
    task->was_kept = find_kept(pictures, task);
    if (!task->was_kept) {
        rc = read_in_box(thread, task, VLM_BOX_SQUARE, err);
        if (rc == VLM_OK)
            rc = vlm_coder_encode(thread->coder, task->picture.codes, task->square, 1, err);
    }
    if (rc == VLM_OK && pictures->options.metrics)
        vlm_metrics_add(pictures->options.metrics,
                        task->was_kept ? VLM_METRIC_ENCODED_CACHED : VLM_METRIC_ENCODED, 1);
    return rc;
}

/* ---- bytes to a mask ---- */

static int find_mask(struct vlm_picture_thread *thread, struct vlm_picture_task *task,
                     struct vlm_err *err)
{
    int rc = read_in_box(thread, task, VLM_BOX_TRANSPARENCY, err);
    if (rc == VLM_OK)
        vlm_mask_cells(task->cells, task->square, TRANSPARENT);
    return rc;
}

/* ---- codes to pixels ---- */

static bool is_whole(const uint16_t *codes)
{
    for (size_t i = 0; i < VLM_CODES; i++)
        if (codes[i] == VLM_CODE_UNKNOWN)
            return false;
    return true;
}

static int write_file(struct vlm_picture_task *task, struct vlm_err *err)
{
    const uint32_t side = VLM_SQUARE_SIDE;
    switch (task->form.format) {
    case VLM_PICTURE_PNG:
        return vlm_rgb_to_png(&task->file, task->square, side, side, err);
    case VLM_PICTURE_JPEG:
        return vlm_rgb_to_jpeg(&task->file, task->square, side, side, task->form.quality, err);
    default:
        return VLM_OK;
    }
}

/* The file itself may be one that a deleted.jsonl names: a picture of this server, given out before. */
static bool is_deleted_file(struct vlm_pictures *pictures, const struct vlm_picture_task *task)
{
    uint8_t sha256[VLM_SHA256_SIZE];
    vlm_sha256(sha256, task->file.data, task->file.size);
    return vlm_deleted_has_image(pictures->deleted, sha256);
}

static int decode(struct vlm_picture_thread *thread, struct vlm_picture_task *task,
                  struct vlm_err *err)
{
    struct vlm_pictures *pictures = thread->pictures;
    int rc = look_at_deleted(pictures, err);
    if (rc == VLM_OK && is_whole(task->picture.codes) &&
        vlm_deleted_has_codes(pictures->deleted, task->picture.codes))
        rc = refuse_deleted(err);
    if (rc == VLM_OK && task->form.format != VLM_PICTURE_NONE)
        rc = vlm_coder_decode(thread->coder, task->square, task->picture.codes, 1, err);
    if (rc != VLM_OK || task->form.format == VLM_PICTURE_NONE || is_unwanted(task))
        return rc;
    if (task->form.mask)
        vlm_blend(task->square, task->form.square, task->form.mask);
    rc = write_file(task, err);
    if (rc == VLM_OK && is_deleted_file(pictures, task))
        rc = refuse_deleted(err);
    if (rc == VLM_OK && pictures->options.metrics)
        vlm_metrics_add(pictures->options.metrics, VLM_METRIC_DECODED, 1);
    return rc;
}

/* ---- the thread ---- */

static int run(struct vlm_picture_thread *thread, struct vlm_picture_task *task,
               struct vlm_err *err)
{
    if (is_unwanted(task))
        return VLM_ESTOPPED;
    task->square = malloc(VLM_SQUARE_BYTES);
    if (!task->square)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a picture");
    switch (task->work) {
    case VLM_PICTURE_ENCODE:
        return encode(thread, task, err);
    case VLM_PICTURE_MASK:
        return find_mask(thread, task, err);
    default:
        return decode(thread, task, err);
    }
}

void *vlm_picture_thread_main(void *argument)
{
    struct vlm_picture_thread *thread = argument;
    struct vlm_pictures *pictures = thread->pictures;
    const uint64_t one = 1;
    pthread_mutex_lock(&pictures->lock);
    while (!pictures->ends) {
        struct vlm_picture_task *task = pictures->waiting.first;
        if (!task) {
            pthread_cond_wait(&pictures->more, &pictures->lock);
            continue;
        }
        vlm_picture_remove(&pictures->waiting, task);
        task->state = VLM_PICTURE_RUNS;
        thread->task = task;
        pthread_mutex_unlock(&pictures->lock);
        vlm_coder_stop(thread->coder, &task->stop);
        task->rc = run(thread, task, &task->err);
        vlm_coder_stop(thread->coder, NULL);
        free(task->bytes);
        task->bytes = NULL;
        pthread_mutex_lock(&pictures->lock);
        task->state = VLM_PICTURE_DONE;
        thread->task = NULL;
        vlm_picture_append(&pictures->done, task);
        while (write(pictures->wake, &one, sizeof(one)) < 0 && errno == EINTR)
            ; /* full is fine: the loop is woken already */
    }
    pthread_mutex_unlock(&pictures->lock);
    return NULL;
}
