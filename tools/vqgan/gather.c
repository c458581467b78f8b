/* gather.c - arguments into pictures, one after the other.
 *
 * The first bytes of a file say what it is: a picture, which is read whole, or a dump, which goes through
 * the reader of vlm-shard. A folder with the manifest of a shard set is that set. */
#include "base/vlm.h"

#include "tools/vqgan/gather.h"

#include "base/file.h"
#include "base/limits.h"
#include "shard/parts/set.h"
#include "tokenize/dump/http.h"
#include "tokenize/html/page.h"

#include <fcntl.h>
#include <fts.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_BYTES = 64 << 10 };

static int stopped(const struct vlm_gather *gather, struct vlm_err *err)
{
    if (gather->stop && *gather->stop)
        return vlm_fail(err, VLM_ESTOPPED, "stopped by a signal");
    return VLM_OK;
}

static int take(const struct vlm_gather *gather, struct vlm_gathered *picture, struct vlm_err *err)
{
    if (picture->from != VLM_FROM_SET && picture->size) {
        vlm_sha256(picture->sha256, picture->bytes, picture->size);
        memcpy(picture->group, picture->sha256, sizeof(picture->group));
    }
    int rc = stopped(gather, err);
    return rc < 0 ? rc : gather->take(gather->context, picture, err);
}

/* Crawls and archives ----------------------------------------------------------------------------- */

static int take_record(const struct vlm_gather *gather, const char *path,
                       const struct vlm_record *record, struct vlm_arena *arena,
                       struct vlm_err *err)
{
    struct vlm_http http;
    char name[1024];
    if (record->type != VLM_RECORD_RESPONSE && record->type != VLM_RECORD_RESOURCE)
        return VLM_OK;
    vlm_arena_reset(arena);
    int rc = vlm_http_decode(&http, record, arena, err);
    if (rc == VLM_ELIMIT)
        return VLM_OK;
    if (rc < 0)
        return rc;
    bool found = http.status == 0 || http.status == 200;
    if (!found || http.opt_out || vlm_payload_kind(record, &http) != VLM_PAYLOAD_IMAGE)
        return VLM_OK;
    snprintf(name, sizeof(name), "%s: %s", path, record->uri ? record->uri : "a record");
    struct vlm_gathered picture = {
        .from = VLM_FROM_CRAWL, .name = name, .bytes = http.body, .size = http.body_length
    };
    if (record->truncated) {
        picture.error = vlm_image_status_name(VLM_IMAGE_TRUNCATED_CAPTURE);
        picture.problem = "the crawl stored only its beginning";
    } else if (http.error == VLM_BODY_ENCODING || http.error == VLM_BODY_BOMB) {
        picture.error = vlm_image_status_name(VLM_IMAGE_CORRUPT);
        picture.problem = "its content coding is damaged";
    }
    return take(gather, &picture, err);
}

static int take_damage(const struct vlm_gather *gather, const char *path,
                       const struct vlm_record *record, struct vlm_err *err)
{
    char problem[128];
    snprintf(problem, sizeof(problem), "byte %" PRIu64 ": a damaged record (%s)", record->offset,
             vlm_damage_name(record->error));
    struct vlm_gathered picture = {
        .from = VLM_FROM_CRAWL, .name = path, .error = "damaged_record", .problem = problem
    };
    return take(gather, &picture, err);
}

static int take_dump(const struct vlm_gather *gather, const char *path, int fd, struct vlm_err *err)
{
    struct vlm_dump *dump = NULL;
    struct vlm_record record;
    struct vlm_arena arena;
    vlm_arena_init(&arena, 4 * VLM_BODY_MAX);
    int rc = vlm_dump_open(&dump, &(struct vlm_dump_input){ .fd = fd, .name = path }, err);
    while (rc == VLM_OK && (rc = vlm_dump_next(dump, &record, err)) != VLM_EOF) {
        if (rc == VLM_SKIP)
            rc = take_damage(gather, path, &record, err);
        else if (rc == VLM_OK)
            rc = take_record(gather, path, &record, &arena, err);
        if (rc == VLM_OK)
            rc = stopped(gather, err);
    }
    vlm_dump_close(dump);
    vlm_arena_release(&arena);
    return rc == VLM_EOF ? VLM_OK : rc;
}

/* Shard sets --------------------------------------------------------------------------------------- */

/* without counts pictures whose square was not kept. */
static int take_document(const struct vlm_gather *gather, const char *path, struct vlm_set *set,
                         const struct vlm_document *document, uint64_t *without,
                         struct vlm_err *err)
{
    uint8_t id[16];
    char text[33], name[1024];
    int rc = VLM_OK;
    vlm_document_id(id, document);
    vlm_hex(text, id, sizeof(id));
    for (size_t i = 0; rc == VLM_OK && i < document->n_images; i++) {
        const struct vlm_document_image *entry = &document->images[i];
        struct vlm_stored_image stored;
        struct vlm_gathered picture = { .from = VLM_FROM_SET, .name = name };
        if (entry->status != VLM_IMAGE_OK)
            continue;
        rc = vlm_set_image(set, entry->sha256, &stored, err);
        if (rc < 0)
            break;
        if (rc == VLM_SKIP || !stored.square) {
            rc = VLM_OK;
            ++*without;
            continue;
        }
        snprintf(name, sizeof(name), "%s: document %s, image %zu", path, text, i);
        picture.bytes = stored.square;
        picture.size = stored.square_size;
        picture.width = stored.width;
        picture.height = stored.height;
        memcpy(picture.sha256, entry->sha256, sizeof(picture.sha256));
        memcpy(picture.group, id, sizeof(picture.group));
        rc = take(gather, &picture, err);
    }
    return rc;
}

static int take_set(const struct vlm_gather *gather, const char *path, struct vlm_err *err)
{
    struct vlm_set *set = NULL;
    struct vlm_document *document;
    struct vlm_arena arena;
    uint64_t without = 0;
    vlm_arena_init(&arena, VLM_GIB);
    int rc = vlm_set_open(&set, path, err);
    while (rc == VLM_OK && (rc = vlm_set_next(set, &document, &arena, err)) == VLM_OK) {
        rc = take_document(gather, path, set, document, &without, err);
        vlm_arena_reset(&arena);
    }
    if (rc == VLM_EOF && without)
        rc = vlm_fail(err, VLM_EUSAGE,
                      "'%s' holds no squares of %" PRIu64 " pictures: it was made with --keep none",
                      path, without);
    vlm_set_close(set);
    vlm_arena_release(&arena);
    return rc == VLM_EOF ? VLM_OK : rc;
}

/* Files and folders -------------------------------------------------------------------------------- */

static int take_image_file(const struct vlm_gather *gather, const char *path,
                           enum vlm_gathered_from from, struct vlm_err *err)
{
    struct vlm_buffer bytes = { 0 };
    struct vlm_err problem = { 0 };
    struct vlm_gathered picture = { .from = from, .name = path };
    int read = vlm_file_read(&bytes, path, VLM_IMAGE_BYTES_MAX, &problem);
    if (read < 0) {
        picture.error =
            read == VLM_ELIMIT ? vlm_image_status_name(VLM_IMAGE_TOO_LARGE_BYTES) : "unreadable";
        picture.problem = problem.msg;
    }
    picture.bytes = bytes.data;
    picture.size = bytes.size;
    int rc = take(gather, &picture, err);
    vlm_buffer_release(&bytes);
    return rc;
}

static int take_file(const struct vlm_gather *gather, const char *path, enum vlm_gathered_from from,
                     struct vlm_err *err)
{
    uint8_t head[HEAD_BYTES];
    struct vlm_err problem = { 0 };
    struct vlm_gathered picture = { .from = from, .name = path, .problem = problem.msg };
    struct vlm_image_info info;
    int rc = VLM_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof(head), 0);
    if (n < 0) {
        vlm_fail_errno(&problem, errno, "cannot read");
        picture.error = "unreadable";
        picture.missing = from == VLM_FROM_ARGUMENT;
        rc = take(gather, &picture, err);
        goto out;
    }
    vlm_image_probe(&info, head, (size_t)n);
    if (info.format != VLM_FORMAT_UNKNOWN) {
        rc = take_image_file(gather, path, from, err);
    } else if (vlm_dump_sniff(head, (size_t)n) != VLM_DUMP_UNKNOWN) {
        rc = take_dump(gather, path, fd, err);
    } else if (from == VLM_FROM_ARGUMENT) {
        picture.error = vlm_image_status_name(VLM_IMAGE_NOT_AN_IMAGE);
        picture.problem =
            n ? "neither a picture nor a crawl, an archive or a shard set" : "an empty file";
        rc = take(gather, &picture, err);
    }
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

static int compare_names(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static bool is_link_to_file(const FTSENT *entry)
{
    struct stat about;
    return entry->fts_info == FTS_SL && stat(entry->fts_path, &about) == 0 &&
           S_ISREG(about.st_mode);
}

static int take_folder(const struct vlm_gather *gather, char *path, struct vlm_err *err)
{
    char *roots[] = { path, NULL };
    int rc = VLM_OK;
    FTS *tree = fts_open(roots, FTS_COMFOLLOW | FTS_PHYSICAL | FTS_NOCHDIR, compare_names);
    if (!tree)
        return vlm_fail_errno(err, errno, "cannot read the folder '%s'", path);
    for (FTSENT *entry; rc == VLM_OK && (entry = fts_read(tree));) {
        if (entry->fts_level > 0 && entry->fts_name[0] == '.')
            fts_set(tree, entry, FTS_SKIP);
        else if (entry->fts_info == FTS_F || is_link_to_file(entry))
            rc = take_file(gather, entry->fts_path, VLM_FROM_FOLDER, err);
        else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
            rc = vlm_fail_errno(err, entry->fts_errno, "cannot read the folder '%s'",
                                entry->fts_path);
        if (rc == VLM_OK)
            rc = stopped(gather, err);
    }
    fts_close(tree);
    return rc;
}

int vlm_gather(const struct vlm_gather *gather, char *const *inputs, size_t n, struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < n; i++) {
        struct stat about;
        if (!strcmp(inputs[i], "-"))
            rc = take_dump(gather, "standard input", STDIN_FILENO, err);
        else if (stat(inputs[i], &about) < 0 || !S_ISDIR(about.st_mode))
            rc = take_file(gather, inputs[i], VLM_FROM_ARGUMENT, err);
        else if (vlm_is_shard_set(inputs[i]))
            rc = take_set(gather, inputs[i], err);
        else
            rc = take_folder(gather, inputs[i], err);
    }
    return rc;
}
