/* deleted.c - tombstones of shard sets for a server: images by their hash, and answers by their codes.
 *
 * A model that has learned a picture by heart may draw it again, code for code, although nobody sends it. So the
 * codes of deleted images are looked up where the sets still have them: a set that was sealed anew without an
 * image has none, and then only its hash is refused. Parts are opened for the moment of looking, since the set
 * may be sealed anew while the server runs. */
#include "base/vlm.h"

#include "serve/picture/deleted.h"

#include "base/array.h"
#include "base/bytes.h"
#include "base/file.h"
#include "shard/parts/set.h"
#include "shard/parts/tombstones.h"

#include <fcntl.h>
#include <unistd.h>

enum { ATTEMPTS = 3 /* at a set that is sealed anew meanwhile */ };

struct source {
    char *folder;
    struct vlm_tombstones tombstones;
    size_t looked_up; /* images whose codes were looked up; more are there: again */
};

struct vlm_deleted {
    struct source *sources;
    size_t n;
    char tokenizer[VLM_TOKENIZER_ID_SIZE];
    pthread_mutex_t looking; /* of reading */
    pthread_rwlock_t lock;   /* of the names, and of codes */
    bool locks;
    struct vlm_key *codes; /* [n_codes] of VLM_CODES little-endian numbers, ascending */
    size_t n_codes, capacity;
};

/* ---- codes ---- */

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct vlm_key));
}

static struct vlm_key key_of(const uint16_t codes[VLM_CODES])
{
    uint8_t bytes[2 * VLM_CODES];
    for (size_t i = 0; i < VLM_CODES; i++) {
        bytes[2 * i] = (uint8_t)codes[i];
        bytes[2 * i + 1] = (uint8_t)(codes[i] >> 8);
    }
    return vlm_key_of(bytes, sizeof(bytes));
}

/* Codes of the images in one part, if it has any. */
static int look_into(struct vlm_deleted *deleted, const struct source *source,
                     struct vlm_part_reader *part, struct vlm_err *err)
{
    const struct vlm_name_list *images = &source->tombstones.images;
    char name[VLM_CODES_NAME_SIZE];
    vlm_codes_name(name, deleted->tokenizer);
    for (size_t i = 0; i < images->n; i++) {
        struct vlm_bytes value;
        int rc =
            vlm_part_get(part, name, images->names + i * images->size, images->size, &value, err);
        if (rc == VLM_SKIP)
            continue;
        if (rc == VLM_OK && vlm_bytes_left(&value) != 2 * VLM_CODES)
            rc = vlm_fail(err, VLM_EFORMAT, "codes of %zu bytes, expected %d",
                          vlm_bytes_left(&value), 2 * VLM_CODES);
        if (rc == VLM_OK && !vlm_array_reserve(&deleted->codes, &deleted->capacity,
                                               deleted->n_codes, 1, sizeof(*deleted->codes)))
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for codes");
        if (rc != VLM_OK)
            return rc;
        deleted->codes[deleted->n_codes++] = vlm_key_of(value.at, 2 * VLM_CODES);
    }
    return VLM_OK;
}

static int look_at_part(struct vlm_deleted *deleted, const struct source *source,
                        const struct vlm_part_info *info, struct vlm_err *err)
{
    char *path = vlm_path_join(source->folder, info->name);
    struct vlm_part_reader *part = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc = fd < 0 ? vlm_fail_errno(err, errno, "cannot read '%s'", path)
                    : vlm_part_check(info, fd, path, err);
    if (rc == VLM_OK)
        rc = vlm_part_open_fd(&part, fd, path, err);
    if (rc == VLM_OK && (rc = look_into(deleted, source, part, err)) != VLM_OK)
        rc = vlm_wrap(err, "'%s'", path);
    vlm_part_close(part);
    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

static int look_at_parts(struct vlm_deleted *deleted, const struct source *source,
                         struct vlm_err *err)
{
    struct vlm_manifest manifest = { 0 };
    int rc = vlm_manifest_read(&manifest, source->folder, err);
    if (rc == VLM_SKIP)
        rc = vlm_recode(err, VLM_EFAIL);
    const bool coded =
        rc == VLM_OK &&
        vlm_tokenizers_find(&manifest.tokenizers, deleted->tokenizer) < manifest.tokenizers.n;
    for (size_t i = 0; coded && rc == VLM_OK && i < manifest.n_parts; i++)
        rc = look_at_part(deleted, source, &manifest.parts[i], err);
    vlm_manifest_release(&manifest);
    return rc;
}

static void sort_codes(struct vlm_deleted *deleted)
{
    size_t n = 0;
    if (deleted->n_codes)
        qsort(deleted->codes, deleted->n_codes, sizeof(*deleted->codes), compare);
    for (size_t i = 0; i < deleted->n_codes; i++)
        if (!n || compare(&deleted->codes[n - 1], &deleted->codes[i]) != 0)
            deleted->codes[n++] = deleted->codes[i];
    deleted->n_codes = n;
}

/* The lock is held for writing: a part is read in milliseconds, and until then nobody may be answered. */
static int look_up_codes(struct vlm_deleted *deleted, struct source *source, struct vlm_err *err)
{
    int rc = VLM_EFAIL;
    pthread_rwlock_wrlock(&deleted->lock);
    for (int attempt = 0; rc != VLM_OK && attempt < ATTEMPTS; attempt++) {
        const size_t before = deleted->n_codes;
        rc = look_at_parts(deleted, source, err);
        if (rc != VLM_OK)
            deleted->n_codes = before;
    }
    if (rc == VLM_OK) {
        source->looked_up = source->tombstones.images.n;
        sort_codes(deleted);
    }
    pthread_rwlock_unlock(&deleted->lock);
    return rc;
}

/* ---- the whole ---- */

int vlm_deleted_new(struct vlm_deleted **out, const char *const *sets, size_t n,
                    const char *tokenizer, struct vlm_err *err)
{
    struct vlm_deleted *deleted = calloc(1, sizeof(*deleted));
    int rc = VLM_OK;
    *out = NULL;
    if (deleted)
        deleted->sources = calloc(n + 1, sizeof(*deleted->sources));
    if (!deleted || !deleted->sources) {
        free(deleted);
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu shard sets", n);
    }
    snprintf(deleted->tokenizer, sizeof(deleted->tokenizer), "%s", tokenizer);
    deleted->locks =
        !pthread_mutex_init(&deleted->looking, NULL) && !pthread_rwlock_init(&deleted->lock, NULL);
    if (!deleted->locks)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a lock");
    for (size_t i = 0; rc == VLM_OK && i < n; i++) {
        struct source *source = &deleted->sources[deleted->n++];
        struct vlm_manifest manifest = { 0 };
        vlm_tombstones_init(&source->tombstones, sets[i]);
        source->folder = strdup(sets[i]);
        if (!source->folder)
            rc = vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", sets[i]);
        if (rc == VLM_OK && (rc = vlm_manifest_read(&manifest, sets[i], err)) == VLM_SKIP)
            rc = vlm_recode(err, VLM_EFAIL);
        vlm_manifest_release(&manifest);
    }
    if (rc != VLM_OK) {
        vlm_deleted_free(deleted);
        return rc;
    }
    *out = deleted;
    return VLM_OK;
}

void vlm_deleted_free(struct vlm_deleted *deleted)
{
    if (!deleted)
        return;
    for (size_t i = 0; i < deleted->n; i++) {
        free(deleted->sources[i].folder);
        vlm_tombstones_release(&deleted->sources[i].tombstones);
    }
    if (deleted->locks) {
        pthread_mutex_destroy(&deleted->looking);
        pthread_rwlock_destroy(&deleted->lock);
    }
    free(deleted->sources);
    free(deleted->codes);
    free(deleted);
}

int vlm_deleted_look(struct vlm_deleted *deleted, struct vlm_err *err)
{
    int result = VLM_OK;
    pthread_mutex_lock(&deleted->looking);
    for (size_t i = 0; result >= 0 && i < deleted->n; i++) {
        struct source *source = &deleted->sources[i];
        struct vlm_err why = { 0 };
        uint64_t new_ones = 0;
        int rc = vlm_tombstones_read(&source->tombstones, &deleted->lock, &new_ones, &why);
        if (rc >= 0 && source->looked_up != source->tombstones.images.n) {
            struct vlm_err failure = { 0 };
            int looked = look_up_codes(deleted, source, &failure);
            if (looked != VLM_OK) {
                rc = looked;
                why = failure;
            }
        }
        if (rc != VLM_OK) {
            result = rc;
            if (err)
                *err = why;
        }
    }
    pthread_mutex_unlock(&deleted->looking);
    return result;
}

bool vlm_deleted_has_image(struct vlm_deleted *deleted, const uint8_t sha256[VLM_SHA256_SIZE])
{
    bool found = false;
    pthread_rwlock_rdlock(&deleted->lock);
    for (size_t i = 0; !found && i < deleted->n; i++)
        found = vlm_tombstones_has_image(&deleted->sources[i].tombstones, sha256);
    pthread_rwlock_unlock(&deleted->lock);
    return found;
}

bool vlm_deleted_has_codes(struct vlm_deleted *deleted, const uint16_t codes[VLM_CODES])
{
    const struct vlm_key key = key_of(codes);
    pthread_rwlock_rdlock(&deleted->lock);
    const bool found = deleted->n_codes && bsearch(&key, deleted->codes, deleted->n_codes,
                                                   sizeof(*deleted->codes), compare);
    pthread_rwlock_unlock(&deleted->lock);
    return found;
}
