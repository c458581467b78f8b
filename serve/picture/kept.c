/* kept.c - a hash table of chains whose items also stand in a ring by the time of their last use.
 *
 * Keys are hashes already: their first bytes choose the chain. Somebody who makes files whose SHA-256 begin
 * alike makes one chain long; it has at most as many items as fit into memory. */
#include "base/vlm.h"

#include "serve/picture/kept.h"

enum { CHAINS = 4096, ITEM_BYTES = 128 /* what an item costs beside its bytes */ };

struct item {
    struct item *chained;       /* next in its chain */
    struct item *newer, *older; /* in the ring */
    enum vlm_kept_kind kind;
    uint8_t sha256[VLM_SHA256_SIZE];
    void *bytes;
    size_t n;
};

struct vlm_kept {
    struct item *chains[CHAINS];
    struct item ring; /* ring.older: the newest; ring.newer: the oldest */
    size_t used, max;
};

struct vlm_kept *vlm_kept_new(size_t bytes_max)
{
    struct vlm_kept *kept = calloc(1, sizeof(*kept));
    if (kept) {
        kept->ring.newer = kept->ring.older = &kept->ring;
        kept->max = bytes_max;
    }
    return kept;
}

static struct item **place_of(struct vlm_kept *kept, enum vlm_kept_kind kind, const uint8_t *sha256)
{
    struct item **at = &kept->chains[(sha256[0] | (unsigned)sha256[1] << 8) % CHAINS];
    while (*at && ((*at)->kind != kind || memcmp((*at)->sha256, sha256, VLM_SHA256_SIZE) != 0))
        at = &(*at)->chained;
    return at;
}

static void leave_ring(struct item *item)
{
    item->newer->older = item->older;
    item->older->newer = item->newer;
}

static void enter_ring(struct vlm_kept *kept, struct item *item)
{
    item->newer = &kept->ring;
    item->older = kept->ring.older;
    item->older->newer = item;
    kept->ring.older = item;
}

static void drop_oldest(struct vlm_kept *kept)
{
    struct item *item = kept->ring.newer;
    struct item **place = place_of(kept, item->kind, item->sha256);
    VLM_BUG_IF(item == &kept->ring || *place != item);
    *place = item->chained;
    leave_ring(item);
    kept->used -= item->n + ITEM_BYTES;
    free(item->bytes);
    free(item);
}

void vlm_kept_free(struct vlm_kept *kept)
{
    if (!kept)
        return;
    while (kept->ring.newer != &kept->ring)
        drop_oldest(kept);
    free(kept);
}

bool vlm_kept_put(struct vlm_kept *kept, enum vlm_kept_kind kind,
                  const uint8_t sha256[VLM_SHA256_SIZE], void *bytes, size_t n)
{
    size_t there;
    if (vlm_kept_get(kept, kind, sha256, &there)) {
        free(bytes);
        return true;
    }
    struct item *item =
        n <= kept->max && kept->max - n >= ITEM_BYTES ? calloc(1, sizeof(*item)) : NULL;
    if (!item) {
        free(bytes);
        return false;
    }
    while (kept->used > kept->max - n - ITEM_BYTES)
        drop_oldest(kept);
    item->kind = kind;
    memcpy(item->sha256, sha256, VLM_SHA256_SIZE);
    item->bytes = bytes;
    item->n = n;
    *place_of(kept, kind, sha256) = item;
    enter_ring(kept, item);
    kept->used += n + ITEM_BYTES;
    return true;
}

const void *vlm_kept_get(struct vlm_kept *kept, enum vlm_kept_kind kind,
                         const uint8_t sha256[VLM_SHA256_SIZE], size_t *n)
{
    struct item *item = *place_of(kept, kind, sha256);
    if (!item)
        return NULL;
    leave_ring(item);
    enter_ring(kept, item);
    *n = item->n;
    return item->bytes;
}
