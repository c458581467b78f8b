/* join.c - sort, merge, repeat: references meet the captures of their URL.
 *
 * Everything is a fixed-size record of big-endian fields, so that comparing bytes is comparing keys.
 * For one reference the nearest capture in time wins, then the earliest in the crawl; usable images
 * before damaged ones, images before redirects and revisits, these before everything else. */
#include "base/vlm.h"

#include "shard/parts/join.h"

#include "base/limits.h"

/* A reference that looks for its capture: who asks, for what, and by which way it came here. */
struct wish {
    struct vlm_key key;
    uint64_t date, document;
    uint16_t image;
    uint8_t candidate, way; /* way numbers the alternatives of one candidate, in order */
    uint8_t round, reason;  /* what to report when nothing is found */
};
enum { WISH_SIZE = 16 + 8 + 8 + 2 + 4 };

/* A capture in the order of the crawl, with the place of its stored image. */
struct offer {
    struct vlm_capture capture;
    uint64_t number;
    uint32_t unit;
};
enum { OFFER_SIZE = 16 + 8 + 8 + 3 + 8 + 32 + 4 + 8 + 4 + 16 + 16 + 8 };

enum { DROP_SIZE = 8, URL_SIZE = 16 + 8 + 8, IMAGE_SIZE = 32 + 8 };
enum { VERDICT_SIZE = 8 + 2 + 2 + 1 + 3 + 8 + 32 + 4 + 8 + 4 };

struct work {
    struct vlm_join *join;
    struct vlm_sorter *urls, *offers, *wishes, *next_wishes;
    struct offer *group; /* the captures of one key */
    size_t n_group, group_capacity;
    size_t memory;
    const char *folder;
    uint64_t n_captures;
};

/* Fields into bytes and back --------------------------------------------------------------------- */

static uint8_t *put(uint8_t *at, uint64_t value, size_t bytes)
{
    vlm_put_big_endian(at, value, bytes);
    return at + bytes;
}

static uint64_t get(const uint8_t **at, size_t bytes)
{
    uint64_t value = vlm_get_big_endian(*at, bytes);
    *at += bytes;
    return value;
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return at + n;
}

static void get_bytes(const uint8_t **at, void *bytes, size_t n)
{
    memcpy(bytes, *at, n);
    *at += n;
}

static int add_wish(struct vlm_sorter *sorter, const struct wish *wish, struct vlm_err *err)
{
    uint8_t record[WISH_SIZE], *at = record;
    at = put_bytes(at, wish->key.byte, VLM_KEY_SIZE);
    at = put(at, wish->date, 8);
    at = put(at, wish->document, 8);
    at = put(at, wish->image, 2);
    at = put(at, wish->candidate, 1);
    at = put(at, wish->way, 1);
    at = put(at, wish->round, 1);
    at = put(at, wish->reason, 1);
    VLM_BUG_IF(at != record + sizeof(record));
    return vlm_sorter_add(sorter, record, err);
}

static int next_wish(struct vlm_sorter *sorter, struct wish *wish, struct vlm_err *err)
{
    uint8_t record[WISH_SIZE];
    const uint8_t *at = record;
    int rc = vlm_sorter_next(sorter, record, err);
    if (rc != VLM_OK)
        return rc;
    get_bytes(&at, wish->key.byte, VLM_KEY_SIZE);
    wish->date = get(&at, 8);
    wish->document = get(&at, 8);
    wish->image = (uint16_t)get(&at, 2);
    wish->candidate = (uint8_t)get(&at, 1);
    wish->way = (uint8_t)get(&at, 1);
    wish->round = (uint8_t)get(&at, 1);
    wish->reason = (uint8_t)get(&at, 1);
    return VLM_OK;
}

static int add_offer(struct vlm_sorter *sorter, const struct offer *offer, struct vlm_err *err)
{
    const struct vlm_capture *capture = &offer->capture;
    uint8_t record[OFFER_SIZE], *at = record;
    at = put_bytes(at, capture->key.byte, VLM_KEY_SIZE);
    at = put(at, capture->date, 8);
    at = put(at, offer->number, 8);
    at = put(at, capture->kind, 1);
    at = put(at, capture->status, 1);
    at = put(at, capture->format, 1);
    at = put(at, capture->width, 4);
    at = put(at, capture->height, 4);
    at = put_bytes(at, capture->sha256, VLM_SHA256_SIZE);
    at = put(at, offer->unit, 4);
    at = put(at, capture->position, 8);
    at = put(at, capture->size, 4);
    at = put_bytes(at, capture->target.byte, VLM_KEY_SIZE);
    at = put_bytes(at, capture->digest.byte, VLM_KEY_SIZE);
    at = put(at, capture->target_date, 8);
    VLM_BUG_IF(at != record + sizeof(record));
    return vlm_sorter_add(sorter, record, err);
}

static int next_offer(struct vlm_sorter *sorter, struct offer *offer, struct vlm_err *err)
{
    struct vlm_capture *capture = &offer->capture;
    uint8_t record[OFFER_SIZE];
    const uint8_t *at = record;
    int rc = vlm_sorter_next(sorter, record, err);
    if (rc != VLM_OK)
        return rc;
    get_bytes(&at, capture->key.byte, VLM_KEY_SIZE);
    capture->date = get(&at, 8);
    offer->number = get(&at, 8);
    capture->kind = (uint8_t)get(&at, 1);
    capture->status = (uint8_t)get(&at, 1);
    capture->format = (uint8_t)get(&at, 1);
    capture->width = (uint32_t)get(&at, 4);
    capture->height = (uint32_t)get(&at, 4);
    get_bytes(&at, capture->sha256, VLM_SHA256_SIZE);
    offer->unit = (uint32_t)get(&at, 4);
    capture->position = get(&at, 8);
    capture->size = (uint32_t)get(&at, 4);
    get_bytes(&at, capture->target.byte, VLM_KEY_SIZE);
    get_bytes(&at, capture->digest.byte, VLM_KEY_SIZE);
    capture->target_date = get(&at, 8);
    return VLM_OK;
}

static int add_verdict(struct vlm_join *join, const struct wish *wish, enum vlm_image_status status,
                       const struct offer *offer, struct vlm_err *err)
{
    static const struct offer nothing = { .capture.kind = VLM_CAPTURE_OTHER };
    const struct vlm_capture *capture = offer ? &offer->capture : &nothing.capture;
    uint8_t record[VERDICT_SIZE], *at = record;
    at = put(at, wish->document, 8);
    at = put(at, wish->image, 2);
    at = put(at, wish->candidate, 1);
    at = put(at, wish->way, 1);
    at = put(at, offer != NULL, 1);
    at = put(at, status, 1);
    at = put(at, capture->format, 1);
    at = put(at, 0, 1);
    at = put(at, capture->width, 4);
    at = put(at, capture->height, 4);
    at = put_bytes(at, capture->sha256, VLM_SHA256_SIZE);
    at = put(at, offer ? offer->unit : 0, 4);
    at = put(at, capture->position, 8);
    at = put(at, capture->size, 4);
    VLM_BUG_IF(at != record + sizeof(record));
    return vlm_sorter_add(join->verdicts, record, err);
}

int vlm_join_next_verdict(struct vlm_join *join, struct vlm_verdict *verdict, struct vlm_err *err)
{
    uint8_t record[VERDICT_SIZE];
    const uint8_t *at = record;
    int rc = vlm_sorter_next(join->verdicts, record, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_join_result *result = &verdict->result;
    verdict->document = get(&at, 8);
    verdict->image = (uint16_t)get(&at, 2);
    result->used = (uint8_t)get(&at, 1);
    at += 1; /* the way only orders */
    verdict->found = get(&at, 1) != 0;
    result->status = (uint8_t)get(&at, 1);
    result->format = (uint8_t)get(&at, 1);
    at += 1;
    result->width = (uint32_t)get(&at, 4);
    result->height = (uint32_t)get(&at, 4);
    get_bytes(&at, result->sha256, VLM_SHA256_SIZE);
    verdict->unit = (uint32_t)get(&at, 4);
    verdict->position = get(&at, 8);
    verdict->size = (uint32_t)get(&at, 4);
    return VLM_OK;
}

static bool is_set(const struct vlm_key *key)
{
    static const struct vlm_key none;
    return memcmp(key->byte, none.byte, VLM_KEY_SIZE) != 0;
}

/* Reading the units ------------------------------------------------------------------------------ */

static int take_documents(struct work *work, struct vlm_unit *unit, struct vlm_err *err)
{
    struct vlm_document_head head;
    struct vlm_reference *references = NULL;
    int rc;
    while ((rc = vlm_unit_next_document(unit, &head, &references, err)) == VLM_OK) {
        uint64_t document = work->join->n_documents++;
        uint8_t record[URL_SIZE], *at = put_bytes(record, head.url.byte, VLM_KEY_SIZE);
        at = put(at, ~head.date, 8); /* the newest first */
        put(at, document, 8);
        /* Pages without a URL are no duplicates of each other. */
        rc = is_set(&head.url) ? vlm_sorter_add(work->urls, record, err) : VLM_OK;
        for (size_t i = 0; rc == VLM_OK && i < head.n_references; i++)
            for (size_t k = 0; rc == VLM_OK && k < references[i].n_candidates; k++)
                rc = add_wish(work->wishes,
                              &(struct wish){
                                  .key = references[i].candidate[k],
                                  .date = head.date,
                                  .document = document,
                                  .image = (uint16_t)i,
                                  .candidate = (uint8_t)k,
                                  .reason = VLM_IMAGE_NOT_IN_CRAWL,
                              },
                              err);
        if (rc < 0)
            break;
    }
    free(references);
    return rc == VLM_EOF ? VLM_OK : rc;
}

static int take_captures(struct work *work, struct vlm_unit *unit, uint32_t number,
                         struct vlm_err *err)
{
    struct offer offer = { .unit = number };
    int rc;
    while ((rc = vlm_unit_next_capture(unit, &offer.capture, err)) == VLM_OK) {
        const struct vlm_capture *capture = &offer.capture;
        offer.number = work->n_captures++;
        rc = add_offer(work->offers, &offer, err);
        if (rc == VLM_OK && capture->kind == VLM_CAPTURE_IMAGE && !capture->again &&
            capture->status == VLM_IMAGE_OK) {
            uint8_t record[IMAGE_SIZE];
            put(put_bytes(record, capture->sha256, VLM_SHA256_SIZE), offer.number, 8);
            rc = vlm_sorter_add(work->join->images, record, err);
        }
        if (rc < 0)
            return rc;
    }
    return rc == VLM_EOF ? VLM_OK : rc;
}

static int take_unit(struct work *work, const char *path, uint64_t plan, uint32_t number,
                     struct vlm_err *err)
{
    struct vlm_unit unit;
    int rc = vlm_unit_open(&unit, path, plan, err);
    if (rc == VLM_SKIP) {
        vlm_recode(err, VLM_EFAIL);
        return vlm_wrap(err, "a finished unit has gone bad");
    }
    if (rc < 0)
        return rc;
    rc = vlm_unit_read_index(&unit, err);
    if (rc == VLM_EDIFFER)
        rc = vlm_wrap(err, "'%s' has gone bad, delete it and run again", path);
    if (rc == VLM_OK)
        rc = take_documents(work, &unit, err);
    if (rc == VLM_OK)
        rc = take_captures(work, &unit, number, err);
    vlm_unit_close(&unit);
    return rc;
}

/* URL duplicates --------------------------------------------------------------------------------- */

static int drop_duplicates(struct work *work, struct vlm_err *err)
{
    uint8_t record[URL_SIZE], last[VLM_KEY_SIZE];
    bool first = true;
    int rc = vlm_sorter_sort(work->urls, err);
    while (rc == VLM_OK && (rc = vlm_sorter_next(work->urls, record, err)) == VLM_OK) {
        if (!first && !memcmp(last, record, VLM_KEY_SIZE))
            rc = vlm_sorter_add(work->join->drops, record + VLM_KEY_SIZE + 8, err);
        memcpy(last, record, VLM_KEY_SIZE);
        first = false;
    }
    return rc == VLM_EOF ? vlm_sorter_sort(work->join->drops, err) : rc;
}

int vlm_join_next_drop(struct vlm_join *join, uint64_t *document, struct vlm_err *err)
{
    uint8_t record[DROP_SIZE];
    int rc = vlm_sorter_next(join->drops, record, err);
    *document = rc == VLM_OK ? vlm_get_big_endian(record, DROP_SIZE) : UINT64_MAX;
    return rc;
}

/* Joining ---------------------------------------------------------------------------------------- */

/* Lower is better. */
static unsigned rank(const struct vlm_capture *capture)
{
    switch (capture->kind) {
    case VLM_CAPTURE_IMAGE:
        return capture->status == VLM_IMAGE_OK || capture->status == VLM_IMAGE_OPT_OUT ? 0 : 1;
    case VLM_CAPTURE_REDIRECT:
    case VLM_CAPTURE_REVISIT:
        return 2;
    case VLM_CAPTURE_HTTP_ERROR:
        return 3;
    default:
        return 4;
    }
}

/* Leaves only the captures of the best rank: the others are never chosen. */
static void keep_best(struct work *work)
{
    unsigned best = UINT_MAX;
    size_t kept = 0;
    for (size_t i = 0; i < work->n_group; i++)
        best = VLM_MIN(best, rank(&work->group[i].capture));
    for (size_t i = 0; i < work->n_group; i++)
        if (rank(&work->group[i].capture) == best)
            work->group[kept++] = work->group[i];
    work->n_group = kept;
}

/* The first of the group at this date or later; n_group when there is none. */
static size_t first_since(const struct work *work, uint64_t date)
{
    size_t low = 0, high = work->n_group;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (work->group[middle].capture.date < date)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The nearest date wins, then the earliest in the crawl; the group is in the order (date, number). */
static const struct offer *choose(const struct work *work, const struct wish *wish)
{
    size_t at = first_since(work, wish->date);
    const struct offer *after = at < work->n_group ? &work->group[at] : NULL;
    if (at == 0)
        return after;
    const struct offer *before = &work->group[first_since(work, work->group[at - 1].capture.date)];
    if (!after)
        return before;
    uint64_t to_after = after->capture.date - wish->date;
    uint64_t to_before = wish->date - before->capture.date;
    if (to_after != to_before)
        return to_after < to_before ? after : before;
    return after->number < before->number ? after : before;
}

/* Follows a redirect or revisit: new wishes for the next round, or the verdict that it leads nowhere. */
static int follow(struct work *work, const struct wish *wish, const struct vlm_capture *capture,
                  struct vlm_err *err)
{
    bool revisit = capture->kind == VLM_CAPTURE_REVISIT;
    struct wish next = *wish;
    int rc = VLM_OK, followed = 0;
    next.reason = revisit ? VLM_IMAGE_REVISIT : VLM_IMAGE_REDIRECT;
    next.round++;
    if (next.round <= VLM_REDIRECTS_MAX && is_set(&capture->target)) {
        next.key = capture->target;
        next.date = capture->target_date ? capture->target_date : wish->date;
        next.way = (uint8_t)(wish->way * 2);
        rc = add_wish(work->next_wishes, &next, err);
        followed = 1;
    }
    if (rc == VLM_OK && next.round <= VLM_REDIRECTS_MAX && revisit && is_set(&capture->digest)) {
        next.key = capture->digest;
        next.way = (uint8_t)(wish->way * 2 + 1);
        rc = add_wish(work->next_wishes, &next, err);
        followed = 1;
    }
    if (rc == VLM_OK && !followed)
        rc = add_verdict(work->join, wish, (enum vlm_image_status)next.reason, NULL, err);
    return rc;
}

static int settle(struct work *work, const struct wish *wish, struct vlm_err *err)
{
    const struct offer *offer = choose(work, wish);
    if (!offer)
        return add_verdict(work->join, wish, (enum vlm_image_status)wish->reason, NULL, err);
    switch (offer->capture.kind) {
    case VLM_CAPTURE_IMAGE:
        return add_verdict(work->join, wish, (enum vlm_image_status)offer->capture.status, offer,
                           err);
    case VLM_CAPTURE_REDIRECT:
    case VLM_CAPTURE_REVISIT:
        return follow(work, wish, &offer->capture, err);
    case VLM_CAPTURE_HTTP_ERROR:
        return add_verdict(work->join, wish, VLM_IMAGE_HTTP_ERROR, NULL, err);
    default:
        return add_verdict(work->join, wish, VLM_IMAGE_NOT_AN_IMAGE, NULL, err);
    }
}

static int add_to_group(struct work *work, const struct offer *offer, struct vlm_err *err)
{
    if (work->n_group == work->group_capacity) {
        size_t capacity = work->group_capacity ? work->group_capacity * 2 : 16;
        struct offer *group = realloc(work->group, capacity * sizeof(*group));
        if (!group)
            return vlm_fail(err, VLM_ENOMEM, "no memory for %zu captures of one URL", capacity);
        work->group = group;
        work->group_capacity = capacity;
    }
    work->group[work->n_group++] = *offer;
    return VLM_OK;
}

/* Moves the captures up to key: those of the key itself become the group. */
static int advance(struct work *work, struct offer *ahead, int *have, const struct vlm_key *key,
                   struct vlm_err *err)
{
    work->n_group = 0;
    while (*have == VLM_OK) {
        int order = memcmp(ahead->capture.key.byte, key->byte, VLM_KEY_SIZE);
        if (order > 0)
            break;
        int rc = order == 0 ? add_to_group(work, ahead, err) : VLM_OK;
        if (rc < 0)
            return rc;
        *have = next_offer(work->offers, ahead, err);
    }
    keep_best(work);
    return *have < 0 ? *have : VLM_OK;
}

static int merge_round(struct work *work, struct vlm_err *err)
{
    struct offer ahead;
    struct wish wish;
    struct vlm_key key;
    bool first = true;
    int rc = vlm_sorter_sort(work->wishes, err);
    if (rc == VLM_OK)
        rc = vlm_sorter_rewind(work->offers, err);
    if (rc < 0)
        return rc;
    int have = next_offer(work->offers, &ahead, err);
    if (have < 0)
        return have;
    while ((rc = next_wish(work->wishes, &wish, err)) == VLM_OK) {
        if (first || memcmp(key.byte, wish.key.byte, VLM_KEY_SIZE)) {
            key = wish.key;
            first = false;
            rc = advance(work, &ahead, &have, &key, err);
        }
        if (rc == VLM_OK)
            rc = settle(work, &wish, err);
        if (rc < 0)
            return rc;
    }
    return rc == VLM_EOF ? VLM_OK : rc;
}

static int join_images(struct work *work, struct vlm_err *err)
{
    int rc = vlm_sorter_sort(work->offers, err);
    while (rc == VLM_OK && vlm_sorter_count(work->wishes)) {
        rc = vlm_sorter_new(&work->next_wishes, WISH_SIZE, work->memory, work->folder, err);
        if (rc == VLM_OK)
            rc = merge_round(work, err);
        vlm_sorter_free(work->wishes);
        work->wishes = work->next_wishes;
        work->next_wishes = NULL;
    }
    return rc < 0 ? rc : vlm_sorter_sort(work->join->verdicts, err);
}

int vlm_join_run(struct vlm_join *join, char *const *units, size_t n_units, uint64_t plan,
                 size_t memory, const char *folder, struct vlm_err *err)
{
    enum { SORTERS = 7 };
    *join = (struct vlm_join){ 0 };
    struct work work = { .join = join, .memory = memory / SORTERS, .folder = folder };
    const struct {
        struct vlm_sorter **sorter;
        size_t size;
    } sorters[] = {
        { &join->drops, DROP_SIZE },   { &join->verdicts, VERDICT_SIZE },
        { &join->images, IMAGE_SIZE }, { &work.urls, URL_SIZE },
        { &work.offers, OFFER_SIZE },  { &work.wishes, WISH_SIZE },
    };
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < VLM_COUNTOF(sorters); i++)
        rc = vlm_sorter_new(sorters[i].sorter, sorters[i].size, work.memory, folder, err);
    for (size_t i = 0; rc == VLM_OK && i < n_units; i++)
        rc = take_unit(&work, units[i], plan, (uint32_t)i, err);
    if (rc == VLM_OK)
        rc = drop_duplicates(&work, err);
    if (rc == VLM_OK)
        rc = join_images(&work, err);
    if (rc == VLM_OK)
        rc = vlm_sorter_sort(join->images, err);
    vlm_sorter_free(work.urls);
    vlm_sorter_free(work.offers);
    vlm_sorter_free(work.wishes);
    vlm_sorter_free(work.next_wishes);
    free(work.group);
    return rc;
}

int vlm_join_next_image(struct vlm_join *join, uint8_t sha256[VLM_SHA256_SIZE], struct vlm_err *err)
{
    uint8_t record[IMAGE_SIZE];
    int rc = vlm_sorter_next(join->images, record, err);
    if (rc == VLM_OK)
        memcpy(sha256, record, VLM_SHA256_SIZE);
    return rc;
}

void vlm_join_release(struct vlm_join *join)
{
    vlm_sorter_free(join->drops);
    vlm_sorter_free(join->verdicts);
    vlm_sorter_free(join->images);
    *join = (struct vlm_join){ 0 };
}
