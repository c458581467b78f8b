/* set.c - shard sets and their parts, read-only.
 *
 * LMDB never checks a byte of its file and maps it into memory: use verify on a set that somebody else
 * made before reading it here. */
#include "base/vlm.h"

#include "shard/parts/set.h"

#include "base/file.h"
#include "base/sorter.h"
#include "shard/parts/part.h"

#include <lmdb.h>
#include <sys/stat.h>

struct vlm_part_reader {
    MDB_env *env;
    MDB_txn *txn;
    MDB_cursor *cursor;
    char *path;
    char database[64]; /* of the cursor */
};

struct vlm_set {
    struct vlm_manifest manifest;
    char *folder;
    size_t next_part; /* the one to open next */
    struct vlm_part_reader *part;
    uint64_t ordinal; /* of the next document in part */
};

static int fail(const struct vlm_part_reader *part, int code, struct vlm_err *err)
{
    return vlm_fail(err, VLM_EFORMAT, "'%s': %s", part->path, mdb_strerror(code));
}

/* Reads the file `file` and calls it `path`. */
static int open_part(struct vlm_part_reader **out, const char *file, const char *path,
                     struct vlm_err *err)
{
    struct vlm_part_reader *part = calloc(1, sizeof(*part));
    *out = part;
    if (!part || !(part->path = strdup(path)))
        return vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", path);
    int code = mdb_env_create(&part->env);
    if (!code)
        code = mdb_env_set_maxdbs(part->env, 32);
    if (!code)
        code = mdb_env_set_mapsize(part->env, 1 << 20); /* LMDB raises it to the file's size */
    if (!code)
        code = mdb_env_open(part->env, file, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0);
    if (!code)
        code = mdb_txn_begin(part->env, NULL, MDB_RDONLY, &part->txn);
    return code ? fail(part, code, err) : VLM_OK;
}

int vlm_part_open(struct vlm_part_reader **out, const char *path, struct vlm_err *err)
{
    return open_part(out, path, path, err);
}

int vlm_part_open_fd(struct vlm_part_reader **out, int fd, const char *path, struct vlm_err *err)
{
    char file[40];
    snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
    return open_part(out, file, path, err);
}

static int open_database(struct vlm_part_reader *part, const char *database, MDB_dbi *dbi,
                         struct vlm_err *err)
{
    int code = mdb_dbi_open(part->txn, database, 0, dbi);
    if (code)
        return vlm_fail(err, VLM_EFORMAT, "'%s' has no database '%s': %s", part->path, database,
                        mdb_strerror(code));
    return VLM_OK;
}

static struct vlm_bytes span(const MDB_val *value)
{
    const uint8_t *bytes = value->mv_data;
    return (struct vlm_bytes){ bytes, bytes + value->mv_size, false };
}

int vlm_part_next(struct vlm_part_reader *part, const char *database, struct vlm_bytes *key,
                  struct vlm_bytes *value, struct vlm_err *err)
{
    MDB_val k, v;
    if (strcmp(part->database, database)) {
        MDB_dbi dbi;
        if (part->cursor)
            mdb_cursor_close(part->cursor);
        part->cursor = NULL;
        int rc = open_database(part, database, &dbi, err);
        if (rc < 0)
            return rc;
        int code = mdb_cursor_open(part->txn, dbi, &part->cursor);
        if (code)
            return fail(part, code, err);
        snprintf(part->database, sizeof(part->database), "%s", database);
    }
    int code = mdb_cursor_get(part->cursor, &k, &v, MDB_NEXT);
    if (code == MDB_NOTFOUND)
        return VLM_EOF;
    if (code)
        return fail(part, code, err);
    *key = span(&k);
    *value = span(&v);
    return VLM_OK;
}

int vlm_part_get(struct vlm_part_reader *part, const char *database, const void *key,
                 size_t key_size, struct vlm_bytes *value, struct vlm_err *err)
{
    MDB_dbi dbi;
    MDB_val k = { key_size, (void *)key }, v;
    int rc = open_database(part, database, &dbi, err);
    if (rc < 0)
        return rc;
    int code = mdb_get(part->txn, dbi, &k, &v);
    if (code == MDB_NOTFOUND)
        return vlm_fail(err, VLM_SKIP, "'%s': no such key in '%s'", part->path, database);
    if (code)
        return fail(part, code, err);
    *value = span(&v);
    return VLM_OK;
}

void vlm_part_close(struct vlm_part_reader *part)
{
    if (!part)
        return;
    if (part->cursor)
        mdb_cursor_close(part->cursor);
    if (part->txn)
        mdb_txn_abort(part->txn);
    if (part->env)
        mdb_env_close(part->env);
    free(part->path);
    free(part);
}

int vlm_set_open(struct vlm_set **out, const char *folder, struct vlm_err *err)
{
    struct vlm_set *set = calloc(1, sizeof(*set));
    *out = set;
    if (!set || !(set->folder = strdup(folder)))
        return vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", folder);
    int rc = vlm_manifest_read(&set->manifest, folder, err);
    return rc == VLM_SKIP ? vlm_recode(err, VLM_EFAIL) : rc;
}

/* A map of a file that is shorter than LMDB believes would end in a signal. */
static int check_size(const char *path, uint64_t size, struct vlm_err *err)
{
    struct stat stat_buffer;
    if (stat(path, &stat_buffer) < 0)
        return vlm_fail_errno(err, errno, "cannot read '%s'", path);
    if (!S_ISREG(stat_buffer.st_mode))
        return vlm_fail(err, VLM_EDIFFER, "'%s' is no file", path);
    if ((uint64_t)stat_buffer.st_size != size)
        return vlm_fail(err, VLM_EDIFFER, "'%s' has %" PRIu64 " bytes, the manifest says %" PRIu64,
                        path, (uint64_t)stat_buffer.st_size, size);
    return VLM_OK;
}

static int open_next_part(struct vlm_set *set, struct vlm_err *err)
{
    vlm_part_close(set->part);
    set->part = NULL;
    if (set->next_part == set->manifest.n_parts)
        return VLM_EOF;
    const struct vlm_part_info *info = &set->manifest.parts[set->next_part++];
    char *path = vlm_path_join(set->folder, info->name);
    int rc = path ? check_size(path, info->size, err)
                  : vlm_fail(err, VLM_ENOMEM, "no memory for a path");
    if (rc == VLM_OK)
        rc = vlm_part_open(&set->part, path, err);
    free(path);
    set->ordinal = 0;
    return rc;
}

int vlm_set_next(struct vlm_set *set, struct vlm_document **document, struct vlm_arena *arena,
                 struct vlm_err *err)
{
    struct vlm_bytes key, value;
    int rc = set->part ? VLM_OK : open_next_part(set, err);
    while (rc == VLM_OK && (rc = vlm_part_next(set->part, "docs", &key, &value, err)) == VLM_EOF)
        rc = open_next_part(set, err);
    if (rc != VLM_OK)
        return rc;
    rc = vlm_stored_document_decode(document, value.at, vlm_bytes_left(&value), arena, err);
    if (rc < 0)
        return vlm_wrap(err, "%s: docs[%" PRIu64 "]", set->manifest.parts[set->next_part - 1].name,
                        set->ordinal);
    set->ordinal++;
    return VLM_OK;
}

int vlm_set_image(struct vlm_set *set, const uint8_t sha256[VLM_SHA256_SIZE],
                  struct vlm_stored_image *image, struct vlm_err *err)
{
    struct vlm_bytes value;
    int rc = set->part ? vlm_part_get(set->part, "images", sha256, VLM_SHA256_SIZE, &value, err)
                       : vlm_fail(err, VLM_SKIP, "no document has been read");
    return rc == VLM_OK ? vlm_stored_image_decode(image, value.at, vlm_bytes_left(&value), err)
                        : rc;
}

int vlm_set_tokenizer(const struct vlm_set *set, const char *id,
                      const struct vlm_set_tokenizer **found, struct vlm_err *err)
{
    const struct vlm_set_tokenizers *tokenizers = &set->manifest.tokenizers;
    char text[VLM_TOKENIZERS_TEXT];
    size_t i = id ? vlm_tokenizers_find(tokenizers, id) : 0;
    *found = i < tokenizers->n ? &tokenizers->list[i] : NULL;
    if (id && !*found)
        return vlm_fail(err, VLM_EUSAGE, "'%s' has no codes of '%s', but %s", set->folder, id,
                        vlm_tokenizers_text(text, tokenizers));
    return VLM_OK;
}

static int get_codes(struct vlm_part_reader *part, const struct vlm_set_tokenizer *tokenizer,
                     const uint8_t sha256[VLM_SHA256_SIZE], uint16_t codes[VLM_CODES],
                     struct vlm_err *err)
{
    char name[VLM_CODES_NAME_SIZE];
    struct vlm_bytes value;
    int rc = vlm_part_get(part, vlm_codes_name(name, tokenizer->id), sha256, VLM_SHA256_SIZE,
                          &value, err);
    if (rc != VLM_OK)
        return rc;
    if (vlm_bytes_left(&value) != VLM_CODES_BYTES)
        return vlm_fail(err, VLM_EFORMAT, "'%s': %s: codes of %zu bytes, expected %d", part->path,
                        name, vlm_bytes_left(&value), VLM_CODES_BYTES);
    vlm_codes_decode(codes, value.at);
    uint16_t largest = 0;
    for (size_t i = 0; i < VLM_CODES; i++)
        largest = VLM_MAX(largest, codes[i]);
    if (largest >= tokenizer->codebook_size)
        return vlm_fail(err, VLM_EFORMAT, "'%s': %s: code %u, the codebook has %" PRIu64,
                        part->path, name, largest, tokenizer->codebook_size);
    return VLM_OK;
}

int vlm_set_codes(struct vlm_set *set, const char *id, const uint8_t sha256[VLM_SHA256_SIZE],
                  uint16_t codes[VLM_CODES], struct vlm_err *err)
{
    const struct vlm_set_tokenizer *tokenizer;
    int rc = vlm_set_tokenizer(set, id, &tokenizer, err);
    if (rc == VLM_OK && !tokenizer)
        rc = vlm_fail(err, VLM_SKIP, "'%s' has no codes", set->folder);
    if (rc == VLM_OK && !set->part)
        rc = vlm_fail(err, VLM_SKIP, "no document has been read");
    return rc == VLM_OK ? get_codes(set->part, tokenizer, sha256, codes, err) : rc;
}

_Static_assert((int)VLM_IMAGE_CODES == (int)VLM_CODES, "documents and tokenizers agree");

int vlm_part_read_codes(struct vlm_part_reader *part, const struct vlm_set_tokenizer *tokenizer,
                        struct vlm_document *document, struct vlm_arena *arena, struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < document->n_images; i++) {
        struct vlm_document_image *image = &document->images[i];
        if (image->status != VLM_IMAGE_OK)
            continue;
        uint16_t *codes = vlm_arena_alloc(arena, VLM_CODES, sizeof(*codes));
        if (!codes)
            return vlm_fail(err, VLM_ELIMIT, "no memory for the codes of a document");
        rc = get_codes(part, tokenizer, image->sha256, codes, err);
        if (rc == VLM_OK)
            image->codes = codes;
        rc = rc == VLM_SKIP ? VLM_OK : rc;
    }
    return rc;
}

int vlm_set_add_codes(struct vlm_set *set, const char *id, struct vlm_document *document,
                      struct vlm_arena *arena, struct vlm_err *err)
{
    const struct vlm_set_tokenizer *tokenizer;
    int rc = vlm_set_tokenizer(set, id, &tokenizer, err);
    if (rc != VLM_OK || !tokenizer || !set->part)
        return rc;
    return vlm_part_read_codes(set->part, tokenizer, document, arena, err);
}

const struct vlm_manifest *vlm_set_manifest(const struct vlm_set *set)
{
    return &set->manifest;
}

void vlm_set_close(struct vlm_set *set)
{
    if (!set)
        return;
    vlm_part_close(set->part);
    vlm_manifest_release(&set->manifest);
    free(set->folder);
    free(set);
}
