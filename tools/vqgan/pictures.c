/* pictures.c - a collection of pictures in memory, and which of them are held out.
 *
 * Entries come in any order. Now and then they are sorted by SHA-256, the same ones are made one, and what
 * is beyond the memory is cut off at the end: what is cut once is never part of the result, so this gives
 * the same as sorting all of them would. */
#include "base/vlm.h"

#include "tools/vqgan/pictures.h"

#include "base/arena.h"
#include "base/limits.h"
#include "base/progress.h"
#include "tools/vqgan/squares.h"

enum { QUALITY = 95, DECODE_MAX = 16 << 20 };

struct entry {
    uint8_t sha256[VLM_SHA256_SIZE];
    uint8_t group[16];
    uint8_t *jpeg;
    uint32_t size;
    bool held_out;
};

struct store {
    const struct vlm_pictures_options *options; /* while it is filled */
    const volatile sig_atomic_t *stop;          /* of read() */
    struct vlm_pictures_counts *counts;
    struct vlm_progress progress;
    struct entry *entries;
    size_t count, capacity;
    uint64_t bytes;
    bool cut; /* entries from limit on do not fit */
    uint8_t limit[VLM_SHA256_SIZE];
    uint32_t *numbers[2]; /* of entries: to train with, held out */
};

/* Amounts ---------------------------------------------------------------------------------------- */

int vlm_amount_parse(struct vlm_amount *amount, const char *option, const char *text,
                     struct vlm_err *err)
{
    char *end;
    errno = 0;
    amount->value = strtod(text, &end);
    amount->percent = !strcmp(end, "%");
    bool in_range = amount->value >= 0 && amount->value < 1e18; /* not a number is neither */
    if (end == text || (*end && !amount->percent) || !in_range || errno ||
        (amount->percent && amount->value > 100))
        return vlm_fail(err, VLM_EUSAGE, "option '--%s': '%s' is neither a number nor a percentage",
                        option, text);
    return VLM_OK;
}

uint64_t vlm_amount_of(struct vlm_amount amount, uint64_t all)
{
    return (uint64_t)(amount.percent ? amount.value / 100 * (double)all : amount.value);
}

/* The collection --------------------------------------------------------------------------------- */

static uint64_t cost(const struct entry *entry)
{
    return entry->size + sizeof(*entry) + 2 * sizeof(void *);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *one = a, *other = b;
    int order = memcmp(one->sha256, other->sha256, sizeof(one->sha256));
    return order ? order : memcmp(one->group, other->group, sizeof(one->group));
}

/* Sorts, drops repetitions (the smallest document id stays), then what is beyond the memory. */
static void tidy(struct store *store)
{
    size_t kept = 0;
    uint64_t bytes = 0;
    if (store->count)
        qsort(store->entries, store->count, sizeof(*store->entries), compare_entries);
    for (size_t i = 0; i < store->count; i++) {
        struct entry *entry = &store->entries[i];
        bool again =
            kept && !memcmp(store->entries[kept - 1].sha256, entry->sha256, sizeof(entry->sha256));
        bool beyond = store->cut && memcmp(entry->sha256, store->limit, VLM_SHA256_SIZE) >= 0;
        if (!again && !beyond && bytes + cost(entry) > store->options->memory) {
            store->cut = beyond = true;
            memcpy(store->limit, entry->sha256, VLM_SHA256_SIZE);
        }
        if (again || beyond) {
            store->counts->duplicates += again;
            store->counts->beyond_memory += !again;
            free(entry->jpeg);
            continue;
        }
        bytes += cost(entry);
        store->entries[kept++] = *entry;
    }
    store->count = kept;
    store->bytes = bytes;
}

static int add(struct store *store, const struct vlm_squares_item *item,
               const struct vlm_buffer *jpeg, struct vlm_err *err)
{
    if (store->cut && memcmp(item->sha256, store->limit, VLM_SHA256_SIZE) >= 0) {
        store->counts->beyond_memory++;
        return VLM_OK;
    }
    if (store->count == store->capacity) {
        size_t capacity = store->capacity ? 2 * store->capacity : 256;
        struct entry *more = realloc(store->entries, capacity * sizeof(*more));
        if (!more || capacity > UINT32_MAX)
            return vlm_fail(err, VLM_ENOMEM, "no memory for %zu pictures", store->count);
        store->entries = more;
        store->capacity = capacity;
    }
    struct entry *entry = &store->entries[store->count];
    *entry = (struct entry){ .jpeg = malloc(jpeg->size), .size = (uint32_t)jpeg->size };
    if (!entry->jpeg)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu pictures", store->count);
    memcpy(entry->jpeg, jpeg->data, jpeg->size);
    memcpy(entry->sha256, item->sha256, sizeof(entry->sha256));
    memcpy(entry->group, item->group, sizeof(entry->group));
    store->count++;
    store->bytes += cost(entry);
    if (store->bytes > store->options->memory + store->options->memory / 8)
        tidy(store);
    return VLM_OK;
}

/* Filling ---------------------------------------------------------------------------------------- */

static int compress(void *context, struct vlm_squares_item *item, size_t worker,
                    struct vlm_err *err)
{
    (void)context;
    (void)worker;
    if (item->from == VLM_FROM_SET)
        return VLM_OK; /* its bytes are the square's already */
    return vlm_rgb_to_jpeg(&item->result, item->square, VLM_SQUARE_SIDE, VLM_SQUARE_SIDE, QUALITY,
                           err);
}

static void show(struct store *store)
{
    char line[128], count[VLM_FORMAT_SIZE], bytes[VLM_FORMAT_SIZE], bad[VLM_FORMAT_SIZE];
    snprintf(line, sizeof(line), "pictures  %s, %s  bad %s",
             vlm_format_count(count, (double)store->count),
             vlm_format_bytes(bytes, (double)store->bytes),
             vlm_format_count(bad, (double)store->counts->bad));
    vlm_progress_update(&store->progress, -1, line);
}

static int take(void *context, struct vlm_squares_item *item, struct vlm_err *err)
{
    struct store *store = context;
    bool chosen = item->from == VLM_FROM_ARGUMENT || item->from == VLM_FROM_FOLDER;
    store->counts->found++;
    if (item->missing)
        return vlm_fail(err, VLM_EFAIL, "'%s': %s", item->name, item->problem);
    if (item->error) {
        store->counts->bad++;
        vlm_progress_end(&store->progress);
        fprintf(stderr, "%s: %s: %s\n", store->options->program, item->name, item->problem);
    } else if (!chosen && item->side < store->options->side_min) {
        store->counts->small++;
    } else {
        bool from_set = item->from == VLM_FROM_SET;
        int rc = add(store, item, from_set ? &item->bytes : &item->result, err);
        if (rc < 0)
            return rc;
    }
    show(store);
    return VLM_OK;
}

/* Training and held out --------------------------------------------------------------------------- */

struct place {
    uint64_t hash; /* of the group */
    uint32_t entry;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *one = a, *other = b;
    if (one->hash != other->hash)
        return one->hash < other->hash ? -1 : 1;
    return one->entry < other->entry ? -1 : 1;
}

/* Those whose hashes are smallest: P% of all hashes there are, or N pictures, and all others of the same
 * documents. A share that is not 0 is at least one picture, and never all. */
static void hold_out(struct store *store, struct place *places)
{
    struct vlm_amount amount = store->options->held_out;
    size_t n = store->count, held = 0;
    for (size_t i = 0; i < n; i++)
        places[i] = (struct place){ vlm_xxh3(store->entries[i].group, 16), (uint32_t)i };
    if (n)
        qsort(places, n, sizeof(*places), compare_places);
    if (amount.percent)
        while (held < n && (double)places[held].hash < amount.value / 100 * 0x1p64)
            held++;
    else
        held = (size_t)VLM_MIN(vlm_amount_of(amount, n), (uint64_t)n);
    if (!held && amount.value > 0 && n > 1)
        held = 1;
    while (held && held < n && places[held].hash == places[held - 1].hash)
        held++;
    if (held == n && amount.percent && amount.value < 100)
        held = 0;
    for (size_t i = 0; i < held; i++)
        store->entries[places[i].entry].held_out = true;
}

static int split(struct store *store, struct vlm_pictures *pictures, struct vlm_err *err)
{
    size_t n = store->count;
    struct place *places = malloc((n + 1) * sizeof(*places));
    store->numbers[0] = malloc((n + 1) * sizeof(uint32_t));
    store->numbers[1] = malloc((n + 1) * sizeof(uint32_t));
    struct vlm_sha256_stream *digest = vlm_sha256_begin();
    if (!places || !store->numbers[0] || !store->numbers[1]) {
        free(places);
        vlm_sha256_end(digest, pictures->digest);
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu pictures", n);
    }
    hold_out(store, places);
    free(places);
    for (size_t i = 0; i < n; i++) {
        const struct entry *entry = &store->entries[i];
        size_t *count = entry->held_out ? &pictures->held_out : &pictures->train;
        uint8_t side = entry->held_out;
        store->numbers[side][(*count)++] = (uint32_t)i;
        vlm_sha256_add(digest, entry->sha256, sizeof(entry->sha256));
        vlm_sha256_add(digest, &side, 1);
    }
    vlm_sha256_end(digest, pictures->digest);
    return VLM_OK;
}

static int read_picture(const struct vlm_pictures *pictures, bool held_out, size_t number,
                        uint8_t square[VLM_SQUARE_BYTES], struct vlm_err *err)
{
    const struct store *store = pictures->context;
    struct vlm_arena arena;
    struct vlm_image image;
    VLM_BUG_IF(number >= (held_out ? pictures->held_out : pictures->train));
    const struct entry *entry = &store->entries[store->numbers[held_out][number]];
    if (store->stop && *store->stop)
        return vlm_fail(err, VLM_ESTOPPED, "stopped by a signal");
    vlm_arena_init(&arena, DECODE_MAX);
    int rc = vlm_image_decode(&image, entry->jpeg, entry->size, NULL, &arena, err);
    if (rc == VLM_OK && image.info.status != VLM_IMAGE_OK)
        rc = vlm_fail(err, VLM_EFORMAT, "a picture in memory is damaged: %s", image.info.detail);
    if (rc == VLM_OK)
        rc = vlm_image_square(square, &image, &arena, err);
    vlm_arena_release(&arena);
    return rc;
}

int vlm_pictures_open(struct vlm_pictures *pictures, const struct vlm_pictures_options *options,
                      struct vlm_pictures_counts *counts, struct vlm_err *err)
{
    *counts = (struct vlm_pictures_counts){ 0 };
    *pictures = (struct vlm_pictures){ .read = read_picture };
    struct store *store = calloc(1, sizeof(*store));
    if (!store)
        return vlm_fail(err, VLM_ENOMEM, "no memory for pictures");
    pictures->context = store;
    store->options = options;
    store->stop = options->read_stops ? options->stop : NULL;
    store->counts = counts;
    vlm_progress_init(&store->progress, options->progress, options->quiet);
    struct vlm_squares squares = { .threads = options->threads,
                                   .work = compress,
                                   .done = take,
                                   .context = store,
                                   .stop = options->stop };
    int rc = vlm_squares_run(&squares, options->inputs, options->n_inputs, err);
    vlm_progress_end(&store->progress);
    tidy(store);
    if (rc == VLM_OK)
        rc = split(store, pictures, err);
    if (rc < 0)
        vlm_pictures_close(pictures);
    return rc;
}

void vlm_pictures_close(struct vlm_pictures *pictures)
{
    struct store *store = pictures->context;
    for (size_t i = 0; store && i < store->count; i++)
        free(store->entries[i].jpeg);
    if (store) {
        free(store->entries);
        free(store->numbers[0]);
        free(store->numbers[1]);
    }
    free(store);
    *pictures = (struct vlm_pictures){ 0 };
}
