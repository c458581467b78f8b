/* part.c - LMDB as a write-once file.
 *
 * An LMDB file is not a function of its records alone: page numbers depend on the order of writes, on
 * the size of transactions and on the map. So all of these are fixed: keys in ascending order with
 * MDB_APPEND, 512 records a transaction, one map size for one --shard-bytes. No MDB_WRITEMAP: with it a
 * full disk is a SIGBUS. */
#include "base/vlm.h"

#include "shard/parts/part.h"

#include "base/sorter.h"
#include "shard/parts/stored.h"

#include <lmdb.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { TRANSACTION = 512, DATABASES = 4 };
#define MAP_BASE (UINT64_C(4) << 30) /* beside 8 x --shard-bytes; only address space */

enum database { DOCS, IMAGES, URLS, META }; /* and one for each tokenizer */
static const char *const names[] = { "docs", "images", "urls", "meta" };

struct vlm_part {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi[DATABASES + VLM_SET_TOKENIZERS_MAX];
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

static int open_env(struct vlm_part *part, uint64_t shard_bytes,
                    const struct vlm_set_tokenizers *tokenizers)
{
    char name[VLM_CODES_NAME_SIZE];
    int code = mdb_env_create(&part->env);
    if (!code)
        code = mdb_env_set_mapsize(part->env, (size_t)(8 * shard_bytes + MAP_BASE));
    if (!code)
        code = mdb_env_set_maxdbs(part->env, DATABASES + VLM_SET_TOKENIZERS_MAX);
    if (!code)
        code = mdb_env_open(part->env, part->path,
                            MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_NORDAHEAD, 0666);
    if (!code)
        code = mdb_txn_begin(part->env, NULL, 0, &part->txn);
    for (int i = 0; !code && i < DATABASES; i++)
        code = mdb_dbi_open(part->txn, names[i], MDB_CREATE, &part->dbi[i]);
    for (size_t i = 0; !code && i < tokenizers->n; i++)
        code = mdb_dbi_open(part->txn, vlm_codes_name(name, tokenizers->list[i].id), MDB_CREATE,
                            &part->dbi[DATABASES + i]);
    return code;
}

int vlm_part_create(struct vlm_part **out, const char *path, uint64_t shard_bytes,
                    const struct vlm_set_tokenizers *tokenizers, struct vlm_err *err)
{
    struct vlm_part *part = calloc(1, sizeof(*part));
    *out = NULL;
    if (!part || !(part->path = strdup(path))) {
        free(part);
        return vlm_fail(err, VLM_ENOMEM, "no memory to write '%s'", path);
    }
    unlink(path);
    int code = open_env(part, shard_bytes, tokenizers);
    if (code) {
        int rc = fail(part, code, "cannot write", err);
        vlm_part_abandon(part);
        return rc;
    }
    *out = part;
    return VLM_OK;
}

static int add(struct vlm_part *part, size_t database, const void *key, size_t key_size,
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

int vlm_part_add_codes(struct vlm_part *part, size_t tokenizer,
                       const uint8_t sha256[VLM_SHA256_SIZE], const uint16_t codes[VLM_CODES],
                       struct vlm_err *err)
{
    uint8_t bytes[VLM_CODES_BYTES];
    vlm_codes_encode(bytes, codes);
    return add(part, DATABASES + tokenizer, sha256, VLM_SHA256_SIZE, bytes, sizeof(bytes), err);
}

int vlm_part_add_url(struct vlm_part *part, const struct vlm_key *url, uint64_t ordinal,
                     struct vlm_err *err)
{
    uint8_t key[VLM_KEY_SIZE + 8];
    memcpy(key, url->byte, VLM_KEY_SIZE);
    vlm_put_big_endian(key + VLM_KEY_SIZE, ordinal, 8);
    return add(part, URLS, key, sizeof(key), "", 0, err);
}

static int add_fact(struct vlm_part *part, const char *name, const void *bytes, size_t size,
                    struct vlm_err *err)
{
    return add(part, META, name, strlen(name), bytes, size, err);
}

/* In the order of the names. */
int vlm_part_add_facts(struct vlm_part *part, uint64_t documents, uint64_t images, const void *plan,
                       size_t plan_size, const struct vlm_set_tokenizers *tokenizers,
                       const uint8_t from[VLM_SHA256_SIZE], struct vlm_err *err)
{
    char hex[2 * VLM_SHA256_SIZE + 1];
    struct vlm_buffer text = { 0 };
    struct vlm_json json = { .out = &text };
    vlm_json_open(&json, '{');
    vlm_json_member_number(&json, "documents", documents);
    vlm_json_member_number(&json, "images", images);
    vlm_json_close(&json, '}');
    int rc = add_fact(part, "counts", text.data, text.size, err);
    if (rc == VLM_OK)
        rc = add_fact(part, "format", VLM_PART_FORMAT, strlen(VLM_PART_FORMAT), err);
    if (rc == VLM_OK && from)
        rc = add_fact(part, "from", vlm_hex(hex, from, VLM_SHA256_SIZE), sizeof(hex) - 1, err);
    if (rc == VLM_OK)
        rc = add_fact(part, "plan", plan, plan_size, err);
    vlm_buffer_reset(&text);
    json.comma = false;
    vlm_tokenizers_write(&json, tokenizers);
    if (rc == VLM_OK)
        rc = add_fact(part, "tokenizers", text.data, text.size, err);
    if (rc == VLM_OK && text.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory to write '%s'", part->path);
    vlm_buffer_release(&text);
    return rc;
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
