/* decoder_slots.c - the prefix cache: which slot has which beginning, and rows of keys and values on their way from
 * one to another.
 *
 * Keys and values of a row are a function of the rows in front of it and of nothing else (gemm.h, attention.h), so a
 * copy has the bits that a pass would have. Slots are searched one after the other: there are a few dozen of them,
 * and a lane is looked up when it begins, not in every step. */
#include "base/vlm.h"

#include "models/generate/decoder_internal.h"
#include "nn/ops/attention.h"

/* ---- memory ---- */

static size_t stride_of(size_t capacity)
{
    const size_t keys = VLM_ATTENTION_KEYS;
    return (capacity + keys - 1) / keys * keys;
}

size_t vlm_decoder_slot_bytes(const struct vlm_model *model, size_t capacity)
{
    const struct vlm_model_config *config = &model->config;
    const size_t n = capacity ? capacity : config->context;
    const size_t cols = config->sizes.kv_heads * config->sizes.head_size;
    size_t bytes = stride_of(n) * 2 * config->layers * cols * sizeof(float) + n * sizeof(uint32_t);
    if (config->encoder)
        bytes += n / config->bridge_sizes.length * (VLM_IMAGE_CODES + 1) * sizeof(uint32_t);
    return bytes;
}

static bool slot_init(struct vlm_slot *slot, const struct vlm_slots *slots)
{
    slot->ids = malloc(slots->capacity * sizeof(*slot->ids));
    if (!slot->ids || !slots->images_max)
        return slot->ids != NULL;
    slot->codes = malloc(slots->images_max * VLM_IMAGE_CODES * sizeof(*slot->codes));
    slot->image_row = malloc(slots->images_max * sizeof(*slot->image_row));
    return slot->codes && slot->image_row;
}

int vlm_slots_init(struct vlm_slots *slots, const struct vlm_model *model, size_t n,
                   size_t capacity, struct vlm_err *err)
{
    const struct vlm_model_config *config = &model->config;
    size_t places;
    *slots = (struct vlm_slots){ .n = n, .capacity = capacity, .stride = stride_of(capacity) };
    slots->image_length = config->encoder ? config->bridge_sizes.length : 0;
    slots->images_max = slots->image_length ? capacity / slots->image_length : 0;
    if (__builtin_mul_overflow(n, slots->stride, &places))
        return vlm_fail(err, VLM_ELIMIT, "%zu slots of %zu tokens are too many", n, capacity);
    slots->slot = calloc(n, sizeof(*slots->slot));
    bool all = slots->slot;
    for (size_t i = 0; all && i < n; i++)
        all = slot_init(&slots->slot[i], slots);
    int rc = all ? vlm_cache_init(&slots->cache, model, places, err)
                 : vlm_fail(err, VLM_ENOMEM, "no memory for %zu slots of %zu tokens", n, capacity);
    if (rc != VLM_OK)
        vlm_slots_release(slots);
    return rc;
}

void vlm_slots_release(struct vlm_slots *slots)
{
    vlm_cache_release(&slots->cache);
    for (size_t i = 0; slots->slot && i < slots->n; i++) {
        free(slots->slot[i].ids);
        free(slots->slot[i].codes);
        free(slots->slot[i].image_row);
    }
    free(slots->slot);
    *slots = (struct vlm_slots){ 0 };
}

/* ---- common beginnings ---- */

size_t vlm_lane_floor(const struct vlm_lane *lane, size_t image_length, size_t row)
{
    for (size_t i = 0; i < lane->n_images; i++)
        if (lane->image_row[i] < row && row < lane->image_row[i] + image_length)
            return lane->image_row[i];
    return row;
}

size_t vlm_lane_hold(const struct vlm_stream *stream, size_t lane)
{
    const struct vlm_lane *it = &stream->lane[lane];
    size_t row = stream->scores ? it->asked : VLM_MIN(it->asked, it->n - 1);
    return vlm_lane_floor(it, stream->image_length, row);
}

size_t vlm_runner_limit(const struct vlm_runner *runner, size_t lane)
{
    return runner->lanes > 1 ? vlm_lane_hold(runner->stream, lane) : runner->stream->lane[lane].n;
}

static struct vlm_shown lane_shows(const struct vlm_lane *lane)
{
    return (struct vlm_shown){ .ids = lane->ids,
                               .n = lane->n,
                               .codes = lane->codes,
                               .image_row = lane->image_row,
                               .n_images = lane->n_images };
}

static struct vlm_shown slot_shows(const struct vlm_slot *slot)
{
    return (struct vlm_shown){ .ids = slot->ids,
                               .n = slot->computed,
                               .codes = slot->codes,
                               .image_row = slot->image_row,
                               .n_images = slot->n_images };
}

/* How many first rows of a, at most `most`, are those of b. Rows of an image have equal ids whatever it shows, so
 * its codes decide. */
static size_t common(const struct vlm_shown *a, const struct vlm_shown *b, size_t most)
{
    size_t same = 0;
    most = VLM_MIN(most, VLM_MIN(a->n, b->n));
    while (same < most && a->ids[same] == b->ids[same])
        same++;
    for (size_t i = 0; i < a->n_images && a->image_row[i] < same; i++)
        if (i >= b->n_images || a->image_row[i] != b->image_row[i] ||
            memcmp(a->codes + i * VLM_IMAGE_CODES, b->codes + i * VLM_IMAGE_CODES,
                   VLM_IMAGE_CODES * sizeof(*a->codes)) != 0)
            return a->image_row[i];
    return same;
}

/* The slot that has the longest beginning of the lane, and how much that is. Of equal ones a free one. */
static size_t best_slot(const struct vlm_slots *slots, const struct vlm_lane *lane, size_t hold,
                        size_t *rows)
{
    const struct vlm_shown wanted = lane_shows(lane);
    size_t best = VLM_NO_SLOT;
    *rows = 0;
    for (size_t i = 0; i < slots->n; i++) {
        const struct vlm_slot *slot = &slots->slot[i];
        if (slot->computed < *rows || !slot->computed)
            continue;
        const struct vlm_shown shown = slot_shows(slot);
        size_t same = vlm_lane_floor(lane, slots->image_length, common(&wanted, &shown, hold));
        if (same > *rows || (same && same == *rows && slots->slot[best].taken && !slot->taken)) {
            best = i;
            *rows = same;
        }
    }
    return best;
}

/* Whether a lane that has begun is going to have more than `rows` first rows of this one. */
static bool someone_computes(const struct vlm_slots *slots, const struct vlm_lane *lane,
                             size_t hold, size_t rows, const struct vlm_runner *const *runners,
                             size_t n)
{
    const struct vlm_shown wanted = lane_shows(lane);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < runners[i]->lanes; k++) {
            if (runners[i]->slot[k] == VLM_NO_SLOT)
                continue;
            const size_t most = VLM_MIN(hold, vlm_runner_limit(runners[i], k));
            const struct vlm_shown shown = lane_shows(&runners[i]->stream->lane[k]);
            if (vlm_lane_floor(lane, slots->image_length, common(&wanted, &shown, most)) > rows)
                return true;
        }
    return false;
}

/* ---- copies ---- */

/* Forgets the rows behind the first `rows`. */
static void cut(struct vlm_slot *slot, size_t rows)
{
    slot->computed = VLM_MIN(slot->computed, rows);
    while (slot->n_images && slot->image_row[slot->n_images - 1] >= slot->computed)
        slot->n_images--;
}

void vlm_slots_wipe(struct vlm_slots *slots, size_t slot, size_t begin, size_t end)
{
    cut(&slots->slot[slot], begin);
    for (size_t i = 0; i < slots->cache.layers; i++) {
        struct vlm_tensor *tensor[] = { &slots->cache.layer[i].keys,
                                        &slots->cache.layer[i].values };
        for (size_t k = 0; k < VLM_COUNTOF(tensor); k++) {
            const size_t cols = vlm_tensor_cols(tensor[k]);
            memset(tensor[k]->data + (slot * slots->stride + begin) * cols, 0,
                   (end - begin) * cols * sizeof(float));
        }
    }
}

static void copy_keys(struct vlm_slots *slots, size_t to, size_t from, size_t begin, size_t end)
{
    const size_t target = to * slots->stride + begin, source = from * slots->stride + begin;
    for (size_t i = 0; i < slots->cache.layers; i++) {
        struct vlm_tensor *tensor[] = { &slots->cache.layer[i].keys,
                                        &slots->cache.layer[i].values };
        for (size_t k = 0; k < VLM_COUNTOF(tensor); k++) {
            const size_t cols = vlm_tensor_cols(tensor[k]);
            memcpy(tensor[k]->data + target * cols, tensor[k]->data + source * cols,
                   (end - begin) * cols * sizeof(float));
        }
    }
}

/* Makes the first `end` rows of a slot, which has the first `begin` of them, those of another. */
static void copy_rows(struct vlm_slots *slots, size_t to, size_t from, size_t begin, size_t end)
{
    struct vlm_slot *target = &slots->slot[to];
    const struct vlm_slot *source = &slots->slot[from];
    cut(target, begin);
    copy_keys(slots, to, from, begin, end);
    memcpy(target->ids + begin, source->ids + begin, (end - begin) * sizeof(*target->ids));
    for (size_t i = target->n_images; i < source->n_images && source->image_row[i] < end; i++) {
        target->image_row[i] = source->image_row[i];
        memcpy(target->codes + i * VLM_IMAGE_CODES, source->codes + i * VLM_IMAGE_CODES,
               VLM_IMAGE_CODES * sizeof(*target->codes));
        target->n_images = i + 1;
    }
    target->computed = end;
}

/* ---- a lane's life ---- */

/* The free slot that was used least lately, an empty one first; not `but`, if there is another. */
static size_t oldest_slot(const struct vlm_slots *slots, size_t but)
{
    size_t oldest = VLM_NO_SLOT;
    for (size_t i = 0; i < slots->n; i++) {
        const struct vlm_slot *slot = &slots->slot[i];
        if (slot->taken || i == but)
            continue;
        uint64_t age = slot->computed ? slot->used : 0;
        if (oldest == VLM_NO_SLOT ||
            age < (slots->slot[oldest].computed ? slots->slot[oldest].used : 0))
            oldest = i;
    }
    if (oldest == VLM_NO_SLOT)
        oldest = but;
    VLM_BUG_IF(oldest == VLM_NO_SLOT || slots->slot[oldest].taken);
    return oldest;
}

bool vlm_slots_begin(struct vlm_slots *slots, struct vlm_runner *runner, size_t lane,
                     const struct vlm_runner *const *runners, size_t n)
{
    const struct vlm_lane *it = &runner->stream->lane[lane];
    const size_t hold = vlm_lane_hold(runner->stream, lane);
    size_t rows = 0, from = VLM_NO_SLOT, slot;
    if (!slots->no_sharing) {
        from = best_slot(slots, it, hold, &rows);
        if (someone_computes(slots, it, hold, rows, runners, n))
            return false;
    }
    /* Where it lies, unless much would be lost that another slot has room for. */
    if (from != VLM_NO_SLOT && !slots->slot[from].taken && slots->slot[from].computed <= 2 * rows)
        slot = from;
    else
        slot = oldest_slot(slots, from);
    if (from != VLM_NO_SLOT)
        slots->slot[from].used = ++slots->clock;
    if (from != VLM_NO_SLOT && from != slot)
        copy_rows(slots, slot, from, 0, rows);
    cut(&slots->slot[slot], rows);
    slots->slot[slot].taken = true;
    slots->slot[slot].used = ++slots->clock;
    runner->slot[lane] = slot;
    if (!lane)
        runner->cached = rows;
    return true;
}

void vlm_slots_advance(struct vlm_slots *slots, const struct vlm_runner *runner, size_t lane,
                       size_t end)
{
    const struct vlm_lane *it = &runner->stream->lane[lane];
    struct vlm_slot *slot = &slots->slot[runner->slot[lane]];
    memcpy(slot->ids + slot->computed, it->ids + slot->computed,
           (end - slot->computed) * sizeof(*slot->ids));
    for (size_t i = slot->n_images; i < it->n_images && it->image_row[i] < end; i++) {
        slot->image_row[i] = it->image_row[i];
        memcpy(slot->codes + i * VLM_IMAGE_CODES, it->codes + i * VLM_IMAGE_CODES,
               VLM_IMAGE_CODES * sizeof(*slot->codes));
        slot->n_images = i + 1;
    }
    slot->computed = end;
}

/* A slot goes to the first lane that goes on from it, so that no row that is still to be copied is written over:
 * what is copied to are slots from which nobody goes on. */
void vlm_slots_follow(struct vlm_slots *slots, struct vlm_runner *runner)
{
    const struct vlm_lane *lane = runner->stream->lane;
    size_t old[VLM_LANES_MAX], unused = 0;
    bool used[VLM_LANES_MAX] = { false }, placed[VLM_LANES_MAX] = { false };
    VLM_BUG_IF(runner->stream->n_lanes != runner->lanes);
    memcpy(old, runner->slot, sizeof(old));
    for (size_t i = 0; i < runner->lanes; i++) {
        VLM_BUG_IF(lane[i].parent >= runner->lanes);
        if (used[lane[i].parent])
            continue;
        runner->slot[i] = old[lane[i].parent];
        used[lane[i].parent] = placed[i] = true;
    }
    for (size_t i = 0; i < runner->lanes; i++) {
        if (placed[i])
            continue;
        while (used[unused])
            unused++;
        runner->slot[i] = old[unused++];
        const size_t from = old[lane[i].parent], to = runner->slot[i];
        const struct vlm_shown shown = slot_shows(&slots->slot[from]);
        const struct vlm_shown had = slot_shows(&slots->slot[to]);
        copy_rows(slots, to, from, common(&shown, &had, SIZE_MAX), slots->slot[from].computed);
    }
    for (size_t i = 0; i < runner->lanes; i++) {
        struct vlm_slot *slot = &slots->slot[runner->slot[i]];
        const struct vlm_shown wanted = lane_shows(&lane[i]), has = slot_shows(slot);
        cut(slot, lane[i].parent == i ? VLM_MIN(lane[i].kept, lane[i].n)
                                      : common(&wanted, &has, SIZE_MAX));
    }
}

void vlm_slots_end(struct vlm_slots *slots, struct vlm_runner *runner)
{
    for (size_t i = 0; i < runner->lanes; i++) {
        if (runner->slot[i] == VLM_NO_SLOT)
            continue;
        slots->slot[runner->slot[i]].taken = false;
        slots->slot[runner->slot[i]].used = ++slots->clock;
        runner->slot[i] = VLM_NO_SLOT;
    }
}
