/* encode.c - codes for a set that is sealed already: each part is streamed into a new one beside it,
 * with the same records in the same order and one database more.
 *
 * Parts are made one after the other; within a part, images go in batches through as many coders as
 * there are threads, and are written in order. A finished part says in its meta which part it was made
 * of, so that a later run can take it over. */
#include "base/vlm.h"

#include "shard/parts/encode.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/sorter.h"
#include "nn/pool.h"
#include "shard/parts/part.h"
#include "shard/parts/set.h"
#include "shard/units/stop.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

enum { BATCH = 16 }; /* images a thread */

/* One image on its way; key and record point into the map of the old part. */
struct item {
    struct vlm_bytes key, record;
    uint16_t codes[VLM_CODES];
    int rc; /* VLM_SKIP: the tokenizer gives no number for it */
    struct vlm_err err;
};

struct encode {
    const char *folder;
    struct vlm_manifest manifest;
    struct vlm_set_tokenizers tokenizers; /* those of the set, then ours, with numbers of the set */
    struct vlm_tokenizer *tokenizer;
    struct vlm_pool *pool;
    struct vlm_coder **coders; /* one for each thread of pool */
    struct vlm_arena *arenas;
    struct item *items;
    size_t n_items, capacity;
    uint64_t done, all; /* images */
    vlm_encode_tell *tell;
    void *context;
    struct vlm_encode_result *result;
};

/* One part. */
struct copy {
    struct vlm_part_reader *from;
    struct vlm_part *to;
    struct vlm_set_tokenizers tokenizers; /* with numbers of this part */
    uint64_t documents, images;
};

/* Images -------------------------------------------------------------------------------------- */

static int encode_item(struct encode *encode, struct item *item, size_t worker)
{
    uint8_t square[VLM_SQUARE_BYTES];
    struct vlm_stored_image image;
    int rc =
        vlm_stored_image_decode(&image, item->record.at, vlm_bytes_left(&item->record), &item->err);
    if (rc == VLM_OK && !image.square)
        rc = vlm_fail(&item->err, VLM_EFAIL,
                      "it was made with --keep none, so there are no pictures to encode: shard the "
                      "crawl again");
    if (rc == VLM_OK) {
        vlm_arena_reset(&encode->arenas[worker]);
        rc = vlm_stored_square_decode(square, image.square, image.square_size,
                                      &encode->arenas[worker], &item->err);
    }
    if (rc < 0)
        return rc;
    rc = vlm_coder_encode(encode->coders[worker], item->codes, square, 1, &item->err);
    return rc == VLM_EFORMAT ? VLM_SKIP : rc;
}

static void encode_task(void *job, size_t task, size_t worker)
{
    struct encode *encode = job;
    struct item *item = &encode->items[task];
    item->rc = encode_item(encode, item, worker);
}

static int write_item(struct encode *encode, struct copy *copy, const struct item *item,
                      struct vlm_err *err)
{
    const size_t ours = copy->tokenizers.n - 1;
    if (item->rc < 0)
        return vlm_fail(err, item->rc, "%s", item->err.msg);
    int rc = vlm_part_add_image(copy->to, item->key.at, item->record.at,
                                vlm_bytes_left(&item->record), err);
    for (size_t i = 0; rc == VLM_OK && i < ours; i++) {
        struct vlm_bytes value;
        uint16_t codes[VLM_CODES];
        char name[VLM_CODES_NAME_SIZE];
        rc = vlm_part_get(copy->from, vlm_codes_name(name, copy->tokenizers.list[i].id),
                          item->key.at, VLM_SHA256_SIZE, &value, err);
        if (rc == VLM_OK && vlm_bytes_left(&value) != VLM_CODES_BYTES)
            rc = vlm_fail(err, VLM_EFORMAT, "%s: codes of %zu bytes, expected %d", name,
                          vlm_bytes_left(&value), VLM_CODES_BYTES);
        if (rc == VLM_OK) {
            vlm_codes_decode(codes, value.at);
            rc = vlm_part_add_codes(copy->to, i, item->key.at, codes, err);
        }
        rc = rc == VLM_SKIP ? VLM_OK : rc; /* it had none */
    }
    if (rc == VLM_OK && item->rc == VLM_OK)
        rc = vlm_part_add_codes(copy->to, ours, item->key.at, item->codes, err);
    copy->tokenizers.list[ours].codes += item->rc == VLM_OK;
    copy->tokenizers.list[ours].not_finite += item->rc == VLM_SKIP;
    copy->images++;
    encode->done++;
    return rc;
}

static int flush_items(struct encode *encode, struct copy *copy, struct vlm_err *err)
{
    int rc = VLM_OK;
    vlm_pool_run(encode->pool, encode->n_items, encode_task, encode);
    for (size_t i = 0; rc == VLM_OK && i < encode->n_items; i++)
        rc = write_item(encode, copy, &encode->items[i], err);
    encode->n_items = 0;
    if (rc == VLM_OK && encode->tell)
        encode->tell(encode->done, encode->all, encode->context);
    if (rc == VLM_OK && vlm_stop_pending())
        rc = vlm_fail_stopped(err);
    return rc;
}

/* Parts --------------------------------------------------------------------------------------- */

static int copy_images(struct encode *encode, struct copy *copy, struct vlm_err *err)
{
    struct item *item = encode->items;
    int rc;
    while ((rc = vlm_part_next(copy->from, "images", &item->key, &item->record, err)) == VLM_OK) {
        if (vlm_bytes_left(&item->key) != VLM_SHA256_SIZE)
            return vlm_fail(err, VLM_EFORMAT, "images: a key of %zu bytes, expected 32",
                            vlm_bytes_left(&item->key));
        if (++encode->n_items == encode->capacity)
            rc = flush_items(encode, copy, err);
        if (rc < 0)
            return rc;
        item = &encode->items[encode->n_items];
    }
    return rc == VLM_EOF ? flush_items(encode, copy, err) : rc;
}

static int copy_documents(struct copy *copy, struct vlm_err *err)
{
    struct vlm_bytes key, value;
    int rc;
    while ((rc = vlm_part_next(copy->from, "docs", &key, &value, err)) == VLM_OK) {
        rc = vlm_part_add_document(copy->to, value.at, vlm_bytes_left(&value), err);
        if (rc < 0)
            return rc;
        copy->documents++;
        if (copy->documents % 1024 == 0 && vlm_stop_pending())
            return vlm_fail_stopped(err);
    }
    return rc == VLM_EOF ? VLM_OK : rc;
}

static int copy_urls(struct copy *copy, struct vlm_err *err)
{
    struct vlm_bytes key, value;
    int rc;
    while ((rc = vlm_part_next(copy->from, "urls", &key, &value, err)) == VLM_OK) {
        struct vlm_key url;
        if (vlm_bytes_left(&key) != VLM_KEY_SIZE + 8)
            return vlm_fail(err, VLM_EFORMAT, "urls: a key of %zu bytes, expected 24",
                            vlm_bytes_left(&key));
        memcpy(url.byte, key.at, VLM_KEY_SIZE);
        rc = vlm_part_add_url(copy->to, &url, vlm_get_big_endian(key.at + VLM_KEY_SIZE, 8), err);
        if (rc < 0)
            return rc;
    }
    return rc == VLM_EOF ? VLM_OK : rc;
}

/* What the meta of a part says about its codes. */
static int read_tokenizers(struct vlm_set_tokenizers *tokenizers, struct vlm_part_reader *part,
                           struct vlm_err *err)
{
    struct vlm_bytes value;
    json_object *array = NULL;
    int rc = vlm_part_get(part, "meta", "tokenizers", 10, &value, err);
    if (rc == VLM_OK)
        rc = vlm_json_parse(&array, (const char *)value.at, vlm_bytes_left(&value), err);
    if (rc == VLM_OK)
        rc = vlm_tokenizers_read(tokenizers, array, err);
    json_object_put(array);
    return rc == VLM_SKIP ? vlm_recode(err, VLM_EFORMAT) : rc;
}

static bool same_tokenizers(const struct vlm_set_tokenizers *a, const struct vlm_set_tokenizers *b,
                            size_t n)
{
    if (a->n < n || b->n < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(a->list[i].id, b->list[i].id) ||
            a->list[i].codebook_size != b->list[i].codebook_size)
            return false;
    return true;
}

static int fill_part(struct encode *encode, struct copy *copy, const struct vlm_part_info *was,
                     struct vlm_err *err)
{
    struct vlm_bytes plan;
    const size_t ours = encode->tokenizers.n - 1;
    int rc = read_tokenizers(&copy->tokenizers, copy->from, err);
    if (rc == VLM_OK && (copy->tokenizers.n != ours ||
                         !same_tokenizers(&copy->tokenizers, &encode->tokenizers, ours)))
        rc = vlm_fail(err, VLM_EDIFFER, "its tokenizers are not those of the manifest");
    if (rc < 0)
        return rc;
    struct vlm_set_tokenizer *mine = &copy->tokenizers.list[copy->tokenizers.n++];
    *mine = encode->tokenizers.list[ours];
    mine->codes = mine->not_finite = 0;
    rc = vlm_part_get(copy->from, "meta", "plan", 4, &plan, err);
    if (rc == VLM_OK)
        rc = copy_documents(copy, err);
    if (rc == VLM_OK)
        rc = copy_images(encode, copy, err);
    if (rc == VLM_OK)
        rc = copy_urls(copy, err);
    if (rc == VLM_OK)
        rc = vlm_part_add_facts(copy->to, copy->documents, copy->images, plan.at,
                                vlm_bytes_left(&plan), &copy->tokenizers, was->sha256, err);
    return rc == VLM_SKIP ? vlm_recode(err, VLM_EFORMAT) : rc;
}

/* The map has the size that seal gave the part. */
static uint64_t shard_bytes(const struct vlm_manifest *manifest)
{
    json_object *options = json_object_object_get(manifest->plan, "options");
    int64_t bytes = json_object_get_int64(json_object_object_get(options, "shard-bytes"));
    return bytes > 0 && bytes <= INT64_C(64) << 30 ? (uint64_t)bytes : VLM_GIB;
}

/* Writes the new part as path, whole or not at all. */
static int make_part(struct encode *encode, const char *path, const struct vlm_part_info *was,
                     struct vlm_part_info *now, struct vlm_err *err)
{
    struct copy copy = { 0 };
    struct vlm_buffer temporary = { 0 };
    char *from = vlm_path_join(encode->folder, was->name);
    int fd = -1;
    vlm_buffer_printf(&temporary, "%s.tmp", path);
    vlm_buffer_byte(&temporary, 0);
    const char *name = (const char *)temporary.data;
    /* A hash over a damaged part would make the damage right. */
    struct vlm_part_info found = { 0 };
    int rc = vlm_part_measure(&found, from, err);
    free(found.blocks);
    if (rc == VLM_OK && memcmp(found.sha256, was->sha256, VLM_SHA256_SIZE))
        rc = vlm_fail(err, VLM_EDIFFER,
                      "'%s' is damaged: its SHA-256 is not the manifest's; vlm-shard verify says "
                      "where",
                      from);
    if (rc == VLM_OK)
        rc = vlm_part_open(&copy.from, from, err);
    if (rc == VLM_OK)
        rc = vlm_part_create(&copy.to, name, shard_bytes(&encode->manifest), &encode->tokenizers,
                             err);
    if (rc == VLM_OK) {
        rc = fill_part(encode, &copy, was, err);
        if (rc < 0 && rc != VLM_ESTOPPED)
            rc = vlm_wrap(err, "'%s'", from);
    }
    if (rc == VLM_OK)
        rc = vlm_part_finish(copy.to, err);
    else
        vlm_part_abandon(copy.to);
    vlm_part_close(copy.from);
    if (rc == VLM_OK)
        rc = vlm_part_measure(now, name, err);
    if (rc == VLM_OK && (fd = open(name, O_RDONLY | O_CLOEXEC)) < 0)
        rc = vlm_fail_errno(err, errno, "cannot read '%s'", name);
    if (rc == VLM_OK)
        rc = vlm_file_publish(fd, name, path, err);
    if (fd >= 0)
        close(fd);
    if (rc < 0 && name)
        unlink(name);
    const struct vlm_set_tokenizer *mine = &copy.tokenizers.list[encode->tokenizers.n - 1];
    encode->tokenizers.list[encode->tokenizers.n - 1].codes += mine->codes;
    encode->tokenizers.list[encode->tokenizers.n - 1].not_finite += mine->not_finite;
    vlm_buffer_release(&temporary);
    free(from);
    return rc;
}

/* Whether path is the part that is wanted, finished by an earlier run: then it is measured and counted. */
static bool take_over(struct encode *encode, const char *path, const struct vlm_part_info *was,
                      struct vlm_part_info *now)
{
    struct vlm_err ignored;
    struct vlm_part_reader *part = NULL;
    struct vlm_set_tokenizers tokenizers;
    struct vlm_bytes from;
    char hex[2 * VLM_SHA256_SIZE + 1];
    const size_t n = encode->tokenizers.n;
    vlm_hex(hex, was->sha256, VLM_SHA256_SIZE);
    if (access(path, F_OK) < 0)
        return false;
    bool right = vlm_part_open(&part, path, &ignored) == VLM_OK &&
                 vlm_part_get(part, "meta", "from", 4, &from, &ignored) == VLM_OK &&
                 vlm_bytes_left(&from) == sizeof(hex) - 1 &&
                 !memcmp(from.at, hex, sizeof(hex) - 1) &&
                 read_tokenizers(&tokenizers, part, &ignored) == VLM_OK && tokenizers.n == n &&
                 same_tokenizers(&tokenizers, &encode->tokenizers, n) &&
                 vlm_part_measure(now, path, &ignored) == VLM_OK;
    vlm_part_close(part);
    if (!right)
        return false;
    encode->tokenizers.list[n - 1].codes += tokenizers.list[n - 1].codes;
    encode->tokenizers.list[n - 1].not_finite += tokenizers.list[n - 1].not_finite;
    encode->done += was->images;
    encode->result->parts_resumed++;
    return true;
}

/* The set ------------------------------------------------------------------------------------- */

/* Deletes temporary files and parts of generations before the first, or behind it, too, when last is the
 * one that counts. */
static void delete_leftovers(const char *folder, uint64_t generation, bool later)
{
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        char name[VLM_PART_NAME_SIZE];
        uint64_t its;
        size_t n = strlen(entry->d_name);
        bool temporary = n > 4 && !strcmp(entry->d_name + n - 4, ".tmp");
        snprintf(name, sizeof(name), "%.*s", (int)VLM_MIN(temporary ? n - 4 : n, sizeof(name) - 1),
                 entry->d_name);
        if (!vlm_part_name_read(name, &its))
            continue;
        if (temporary || its < generation || (later && its > generation))
            (void)!unlinkat(dirfd(entries), entry->d_name, 0);
    }
    if (entries)
        closedir(entries);
}

static int make_coders(struct encode *encode, size_t threads, struct vlm_err *err)
{
    int rc = vlm_pool_new(&encode->pool, threads, err);
    if (rc < 0)
        return rc;
    size_t n = vlm_pool_threads(encode->pool);
    encode->capacity = n * BATCH;
    encode->coders = calloc(n, sizeof(*encode->coders));
    encode->arenas = calloc(n, sizeof(*encode->arenas));
    encode->items = calloc(encode->capacity, sizeof(*encode->items));
    if (!encode->coders || !encode->arenas || !encode->items)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu coders", n);
    for (size_t i = 0; rc == VLM_OK && i < n; i++) {
        vlm_arena_init(&encode->arenas[i], VLM_GIB);
        rc = vlm_coder_new(&encode->coders[i], encode->tokenizer, 1, err);
    }
    return rc;
}

static int replace_manifest(struct encode *encode, const struct vlm_part_info *parts,
                            struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    char *path = vlm_path_join(encode->folder, "manifest.json");
    int rc = vlm_manifest_renew(&text, &encode->manifest, parts, &encode->tokenizers, err);
    if (rc == VLM_OK)
        rc = vlm_file_write(path, text.data, text.size, err);
    vlm_buffer_release(&text);
    free(path);
    return rc;
}

static int make_parts(struct encode *encode, struct vlm_err *err)
{
    const struct vlm_manifest *manifest = &encode->manifest;
    struct vlm_part_info *parts = calloc(manifest->n_parts + 1, sizeof(*parts));
    int rc = parts ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for the list of parts");
    for (size_t i = 0; i < manifest->n_parts; i++)
        encode->all += manifest->parts[i].images;
    for (size_t i = 0; rc == VLM_OK && i < manifest->n_parts; i++) {
        const struct vlm_part_info *was = &manifest->parts[i];
        parts[i].documents = was->documents;
        parts[i].images = was->images;
        vlm_part_name(parts[i].name, i, manifest->generation + 1);
        char *path = vlm_path_join(encode->folder, parts[i].name);
        if (!take_over(encode, path, was, &parts[i]))
            rc = make_part(encode, path, was, &parts[i], err);
        free(path);
    }
    if (rc == VLM_OK)
        rc = replace_manifest(encode, parts, err);
    for (size_t i = 0; parts && i < manifest->n_parts; i++)
        free(parts[i].blocks);
    free(parts);
    return rc;
}

/* Reads what is there and says what is wanted. */
static int prepare(struct encode *encode, const struct vlm_encode_options *options,
                   struct vlm_err *err)
{
    struct vlm_encode_result *result = encode->result;
    int rc = vlm_manifest_read(&encode->manifest, encode->folder, err);
    if (rc == VLM_SKIP)
        return vlm_recode(err, VLM_EFAIL);
    if (rc == VLM_OK)
        rc = vlm_tokenizer_open(&encode->tokenizer, options->model, options->precision, err);
    if (rc < 0)
        return rc;
    struct vlm_tokenizer_info info = vlm_tokenizer_info(encode->tokenizer);
    snprintf(result->id, sizeof(result->id), "%s", info.id);
    result->parts = encode->manifest.n_parts;
    encode->tokenizers = encode->manifest.tokenizers;
    size_t i = vlm_tokenizers_find(&encode->tokenizers, info.id);
    if (i < encode->tokenizers.n) {
        result->had_codes = true;
        return VLM_OK;
    }
    if (i == VLM_SET_TOKENIZERS_MAX)
        return vlm_fail(err, VLM_ELIMIT,
                        "'%s' has codes of %d tokenizers already, which is the most",
                        encode->folder, VLM_SET_TOKENIZERS_MAX);
    encode->tokenizers.list[i] = (struct vlm_set_tokenizer){ .codebook_size = info.codebook_size };
    memcpy(encode->tokenizers.list[i].id, result->id, sizeof(result->id));
    encode->tokenizers.n++;
    return make_coders(encode, options->threads, err);
}

static void release(struct encode *encode)
{
    size_t n = encode->coders ? vlm_pool_threads(encode->pool) : 0;
    for (size_t i = 0; i < n; i++) {
        vlm_coder_free(encode->coders[i]);
        if (encode->arenas)
            vlm_arena_release(&encode->arenas[i]);
    }
    free(encode->coders);
    free(encode->arenas);
    free(encode->items);
    vlm_pool_free(encode->pool);
    vlm_tokenizer_close(encode->tokenizer);
    vlm_manifest_release(&encode->manifest);
}

/* One at a time: the folder itself is the lock. */
static int lock_folder(int *lock, const char *folder, struct vlm_err *err)
{
    *lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0)
        return vlm_fail_errno(err, errno, "cannot read '%s'", folder);
    if (flock(*lock, LOCK_EX | LOCK_NB) < 0)
        return vlm_fail(err, VLM_EFAIL, "another program is working on '%s'", folder);
    return VLM_OK;
}

int vlm_set_encode(const char *folder, const struct vlm_encode_options *options,
                   vlm_encode_tell *tell, void *context, struct vlm_encode_result *result,
                   struct vlm_err *err)
{
    struct encode encode = { .folder = folder, .tell = tell, .context = context, .result = result };
    sigset_t stop, before;
    int lock;
    *result = (struct vlm_encode_result){ 0 };
    vlm_stop_signals(&stop);
    sigdelset(&stop, SIGCHLD);
    sigprocmask(SIG_BLOCK, &stop, &before);
    int rc = lock_folder(&lock, folder, err);
    if (rc == VLM_OK)
        rc = prepare(&encode, options, err);
    if (rc == VLM_OK)
        delete_leftovers(folder, encode.manifest.generation, false);
    if (rc == VLM_OK && !result->had_codes)
        rc = make_parts(&encode, err);
    if (rc == VLM_OK && !result->had_codes) {
        const struct vlm_set_tokenizer *ours = &encode.tokenizers.list[encode.tokenizers.n - 1];
        result->codes = ours->codes;
        result->not_finite = ours->not_finite;
        delete_leftovers(folder, encode.manifest.generation + 1, true);
    }
    if (rc == VLM_ESTOPPED)
        result->signal = vlm_stop_pending();
    release(&encode);
    if (lock >= 0)
        close(lock);
    vlm_stop_drain(&stop);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return rc;
}
