/* tombstones.h - deleted.jsonl of a shard set (schemas/deleted.md): what is not to be used any more.
 *
 *   vlm_tombstones_init(&tombstones, "out");
 *   rc = vlm_tombstones_read(&tombstones, &lock, &new_ones, &err);    // again and again: costs a stat()
 *   if (vlm_tombstones_has_image(&tombstones, sha256)) ...
 *   vlm_tombstones_release(&tombstones);
 *
 * A name that was once read holds as long as the struct, so that it does not matter in which state a file is met
 * while somebody writes it. One thread reads the file at a time; questions may be asked by others meanwhile, who
 * hold `lock` for reading. */
#ifndef VLM_SHARD_TOMBSTONES_H
#define VLM_SHARD_TOMBSTONES_H

#include "base/hash.h"

#include <pthread.h>
#include <sys/stat.h>

#define VLM_TOMBSTONES_NAME "deleted.jsonl"

/* Names in ascending order, none twice. */
struct vlm_name_list {
    uint8_t *names; /* [n][size] */
    size_t n, capacity;
    size_t size; /* VLM_KEY_SIZE or VLM_SHA256_SIZE */
};

/* What deleted.jsonl of a set has named so far. */
struct vlm_tombstones {
    char *path;
    struct stat seen;               /* zeros: not there yet */
    struct vlm_name_list documents; /* ids, 16 bytes */
    struct vlm_name_list urls;      /* keys of canonical URLs (schemas/part.md) */
    struct vlm_name_list images;    /* SHA-256, 32 bytes */
    uint64_t bad_lines;             /* of the file as last read */
};

/* Of the set in a folder; reads nothing yet. */
void vlm_tombstones_init(struct vlm_tombstones *tombstones, const char *folder);
void vlm_tombstones_release(struct vlm_tombstones *tombstones); /* safe on a zeroed struct */

/* Reads the file again if it is not as it was; *new_ones grows by the names that were added. lock is held for
 * writing while they are put in place; NULL: nobody else asks. VLM_SKIP: all is done, but the file has malformed
 * lines that it had not before; err says which. Other errors: nothing has changed. */
VLM_MUST_CHECK int vlm_tombstones_read(struct vlm_tombstones *tombstones, pthread_rwlock_t *lock,
                                       uint64_t *new_ones, struct vlm_err *err);

/* Whether a document is deleted by its id, or by its URL; whether an image is. A URL for which there is no memory
 * counts as deleted. */
bool vlm_tombstones_has_id(const struct vlm_tombstones *tombstones, const uint8_t id[16]);
bool vlm_tombstones_has_url(const struct vlm_tombstones *tombstones, const char *url);
bool vlm_tombstones_has_image(const struct vlm_tombstones *tombstones,
                              const uint8_t sha256[VLM_SHA256_SIZE]);

#endif
