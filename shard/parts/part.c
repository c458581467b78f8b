/* part.c - LMDB as a write-once file.
 *
 * An LMDB file is not a function of its records alone: page numbers depend on the order of writes, on
 * the size of transactions and on the map. So all of these are fixed: keys in ascending order with
 * MDB_APPEND, 512 records a transaction, one map size for one --shard-bytes. No MDB_WRITEMAP: with it a
 * full disk is a SIGBUS. */
#include "base/vlm.h"

#include "shard/parts/part.h"

#include "base/sorter.h"

#include <lmdb.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { TRANSACTION = 512, DATABASES = 4 };
#define MAP_BASE (UINT64_C(4) << 30) /* beside 8 x --shard-bytes; only address space */

enum database { DOCS, IMAGES, URLS, META };
static const char *const names[] = { "docs", "images", "urls", "meta" };

struct vlm_part {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi[DATABASES];
    unsigned in_transaction;
    uint64_t n_documents;
    char *path;
};

/* A short write comes back as EIO: look whether the disk is full before saying so. */
static int fail(struct vlm_part *part, int code, const char *what, struct vlm_err *err)
{
    struct statvfs disk;
    if (code == EIO && statvfs(part->path, &disk) == 0 &&
        disk.f_bavail * disk.f_frsize < (UINT64_C(1) << 20))
        code = ENOSPC;
    if (code == MDB_MAP_FULL)
        return vlm_fail(err, VLM_ELIMIT,
                        "%s '%s': its records are larger than the map for one part", what,
                        part->path);
    if (code > 0)
        return vlm_fail_errno(err, code, "%s '%s'", what, part->path);
    return vlm_fail(err, VLM_EFAIL, "%s '%s': %s", what, part->path, mdb_strerror(code));
}

static int open_env(struct vlm_part *part, uint64_t shard_bytes)
{
    int code = mdb_env_create(&part->env);
    if (!code)
        code = mdb_env_set_mapsize(part->env, (size_t)(8 * shard_bytes + MAP_BASE));
    if (!code)
        code = mdb_env_set_maxdbs(part->env, DATABASES + 28); /* codes of tokenizers */
    if (!code)
        code = mdb_env_open(part->env, part->path,
                            MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_NORDAHEAD, 0666);
    if (!code)
        code = mdb_txn_begin(part->env, NULL, 0, &part->txn);
    for (int i = 0; !code && i < DATABASES; i++)
        code = mdb_dbi_open(part->txn, names[i], MDB_CREATE, &part->dbi[i]);
    return code;
}

int vlm_part_create(struct vlm_part **out, const char *path, uint64_t shard_bytes,
                    struct vlm_err *err)
{
    struct vlm_part *part = calloc(1, sizeof(*part));
    *out = NULL;
    if (!part || !(part->path = strdup(path))) {
        free(part);
        return vlm_fail(err, VLM_ENOMEM, "no memory to write '%s'", path);
    }
    unlink(path);
    int code = open_env(part, shard_bytes);
    if (code) {
        int rc = fail(part, code, "cannot write", err);
        vlm_part_abandon(part);
        return rc;
    }
    *out = part;
    return VLM_OK;
}

static int add(struct vlm_part *part, enum database database, const void *key, size_t key_size,
               const void *bytes, size_t size, struct vlm_err *err)
{
    MDB_val k = { key_size, (void *)key }, v = { size, (void *)bytes };
    int code = mdb_put(part->txn, part->dbi[database], &k, &v, MDB_APPEND);
    if (!code && ++part->in_transaction == TRANSACTION) {
        part->in_transaction = 0;
        code = mdb_txn_commit(part->txn);
        part->txn = NULL;
        if (!code)
            code = mdb_txn_begin(part->env, NULL, 0, &part->txn);
    }
    return code ? fail(part, code, "cannot write", err) : VLM_OK;
}

int vlm_part_add_document(struct vlm_part *part, const void *bytes, size_t size,
                          struct vlm_err *err)
{
    uint8_t key[8];
    vlm_put_big_endian(key, part->n_documents++, sizeof(key));
    return add(part, DOCS, key, sizeof(key), bytes, size, err);
}

int vlm_part_add_image(struct vlm_part *part, const uint8_t sha256[VLM_SHA256_SIZE],
                       const void *bytes, size_t size, struct vlm_err *err)
{
    return add(part, IMAGES, sha256, VLM_SHA256_SIZE, bytes, size, err);
}

int vlm_part_add_url(struct vlm_part *part, const struct vlm_key *url, uint64_t ordinal,
                     struct vlm_err *err)
{
    uint8_t key[VLM_KEY_SIZE + 8];
    memcpy(key, url->byte, VLM_KEY_SIZE);
    vlm_put_big_endian(key + VLM_KEY_SIZE, ordinal, 8);
    return add(part, URLS, key, sizeof(key), "", 0, err);
}

int vlm_part_add_meta(struct vlm_part *part, const char *name, const void *bytes, size_t size,
                      struct vlm_err *err)
{
    return add(part, META, name, strlen(name), bytes, size, err);
}

int vlm_part_finish(struct vlm_part *part, struct vlm_err *err)
{
    int code = mdb_txn_commit(part->txn);
    part->txn = NULL;
    if (!code)
        code = mdb_env_sync(part->env, 1);
    int rc = code ? fail(part, code, "cannot finish", err) : VLM_OK;
    vlm_part_abandon(part);
    return rc;
}

void vlm_part_abandon(struct vlm_part *part)
{
    if (!part)
        return;
    if (part->txn)
        mdb_txn_abort(part->txn);
    if (part->env)
        mdb_env_close(part->env);
    free(part->path);
    free(part);
}
