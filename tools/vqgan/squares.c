/* squares.c - batches of pictures: gathered by one thread, decoded and worked on by all, handed over in
 * order.
 *
 * A batch is a few pictures for each thread, and fewer when they are large; so the pictures that are
 * being worked on bound the memory, whatever the inputs hold. */
#include "base/vlm.h"

#include "tools/vqgan/squares.h"

#include "base/limits.h"
#include "nn/pool.h"

enum { ITEMS_A_THREAD = 16 };
#define BATCH_BYTES (64 * VLM_MIB)
#define KEPT_BYTES  (1 * VLM_MIB)

struct slot {
    struct vlm_squares_item item;
    int rc;
    struct vlm_err err;
};

struct batch {
    const struct vlm_squares *squares;
    struct vlm_pool *pool;
    struct vlm_arena *arenas; /* of each thread */
    struct slot *slots;
    size_t capacity, count, bytes;
};

static int refuse(struct vlm_squares_item *item, const struct vlm_image_info *info)
{
    item->error = vlm_image_status_name(info->status);
    snprintf(item->problem, sizeof(item->problem), "%s", info->detail);
    return VLM_OK;
}

static int make_square(struct vlm_squares_item *item, struct vlm_arena *arena, struct vlm_err *err)
{
    static const uint8_t nothing[1];
    const uint8_t *bytes = item->bytes.data ? item->bytes.data : nothing;
    struct vlm_image image;
    vlm_arena_reset(arena);
    int rc = vlm_image_decode(&image, bytes, item->bytes.size, NULL, arena, err);
    if (rc != VLM_OK)
        return rc;
    if (image.info.status != VLM_IMAGE_OK)
        return refuse(item, &image.info);
    if (!item->side)
        item->side = VLM_MIN(image.info.width, image.info.height);
    return vlm_image_square(item->square, &image, arena, err);
}

static void work_on(void *context, size_t task, size_t worker)
{
    struct batch *batch = context;
    struct slot *slot = &batch->slots[task];
    struct vlm_squares_item *item = &slot->item;
    slot->rc = VLM_OK;
    if (!item->error)
        slot->rc = make_square(item, &batch->arenas[worker], &slot->err);
    if (slot->rc == VLM_OK && !item->error)
        slot->rc = batch->squares->work(batch->squares->context, item, worker, &slot->err);
    if (slot->rc < 0)
        vlm_wrap(&slot->err, "%s", item->name);
}

static int finish_batch(struct batch *batch, struct vlm_err *err)
{
    int rc = VLM_OK;
    vlm_pool_run(batch->pool, batch->count, work_on, batch);
    for (size_t i = 0; rc == VLM_OK && i < batch->count; i++) {
        struct slot *slot = &batch->slots[i];
        if (slot->rc < 0) {
            *err = slot->err;
            rc = slot->rc;
        } else {
            rc = batch->squares->done(batch->squares->context, &slot->item, err);
        }
        /* Large pictures are rare: their room is not kept for the small ones that follow. */
        if (slot->item.bytes.capacity > KEPT_BYTES)
            vlm_buffer_release(&slot->item.bytes);
    }
    batch->count = 0;
    batch->bytes = 0;
    return rc;
}

static int take(void *context, const struct vlm_gathered *picture, struct vlm_err *err)
{
    struct batch *batch = context;
    struct slot *slot = &batch->slots[batch->count];
    struct vlm_squares_item *item = &slot->item;
    slot->err = (struct vlm_err){ 0 };
    item->from = picture->from;
    item->error = picture->error;
    item->missing = picture->missing;
    item->side = VLM_MIN(picture->width, picture->height);
    memcpy(item->sha256, picture->sha256, sizeof(item->sha256));
    memcpy(item->group, picture->group, sizeof(item->group));
    snprintf(item->problem, sizeof(item->problem), "%s", picture->error ? picture->problem : "");
    vlm_buffer_reset(&item->bytes);
    vlm_buffer_reset(&item->result);
    vlm_buffer_add(&item->bytes, picture->bytes, picture->size);
    free(item->name);
    item->name = strdup(picture->name);
    if (!item->square)
        item->square = malloc(VLM_SQUARE_BYTES);
    if (!item->name || !item->square || item->bytes.failed)
        return vlm_fail(err, VLM_ENOMEM, "%s: no memory for the picture", picture->name);
    batch->bytes += picture->size;
    batch->count++;
    bool full = batch->count == batch->capacity || batch->bytes >= BATCH_BYTES;
    return full ? finish_batch(batch, err) : VLM_OK;
}

static int open_batch(struct batch *batch, struct vlm_err *err)
{
    int rc = vlm_pool_new(&batch->pool, batch->squares->threads, err);
    if (rc < 0)
        return rc;
    size_t threads = vlm_pool_threads(batch->pool);
    batch->capacity = threads * ITEMS_A_THREAD;
    batch->slots = calloc(batch->capacity, sizeof(*batch->slots));
    batch->arenas = calloc(threads, sizeof(*batch->arenas));
    if (!batch->slots || !batch->arenas)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a batch of pictures");
    for (size_t i = 0; i < threads; i++)
        vlm_arena_init(&batch->arenas[i], VLM_GIB);
    return VLM_OK;
}

static void close_batch(struct batch *batch)
{
    for (size_t i = 0; batch->slots && i < batch->capacity; i++) {
        struct vlm_squares_item *item = &batch->slots[i].item;
        vlm_buffer_release(&item->bytes);
        vlm_buffer_release(&item->result);
        free(item->name);
        free(item->square);
    }
    for (size_t i = 0; batch->arenas && i < vlm_pool_threads(batch->pool); i++)
        vlm_arena_release(&batch->arenas[i]);
    free(batch->slots);
    free(batch->arenas);
    vlm_pool_free(batch->pool);
}

int vlm_squares_run(const struct vlm_squares *squares, char *const *inputs, size_t n,
                    struct vlm_err *err)
{
    struct batch batch = { .squares = squares };
    struct vlm_gather gather = { .take = take, .context = &batch, .stop = squares->stop };
    int rc = open_batch(&batch, err);
    if (rc == VLM_OK)
        rc = vlm_gather(&gather, inputs, n, err);
    if (rc == VLM_OK)
        rc = finish_batch(&batch, err);
    close_batch(&batch);
    return rc;
}
