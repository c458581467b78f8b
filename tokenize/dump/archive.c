/* archive.c - tar, zip and 7z members as resource records, by libarchive.
 *
 * Formats and filters are named one by one, so that no other parser of libarchive meets the bytes.
 * A member that is a WARC or ARC file itself (WACZ) is read record by record, one level deep. Paths
 * are only text. Members over VLM_WARC_BLOCK_MAX are reported and left out; a nested crawl file may have
 * any size, since it is read as it comes. */
#include "base/vlm.h"

#include "base/buffer.h"
#include "tokenize/dump/dump_internal.h"

#include <archive.h>
#include <archive_entry.h>
#include <time.h>

#define READ_STEP  (128 * VLM_KIB)
#define SNIFF_SIZE (4 * VLM_KIB)

/* A nested crawl may swell this much, and more only by VLM_INFLATE_RATIO_MAX. */
#define SWELL_MAX (64 * VLM_MIB)

struct vlm_archive {
    struct archive *archive;
    struct vlm_window *window;
    uint64_t offset; /* of the next read */
    struct vlm_err *err;
    bool read_failed, ended;
    bool broken; /* cut where it begins, or something else that was compressed: to be reported */
    uint8_t *block;
    size_t size, capacity;
    struct vlm_buffer uri;
    char date[32];
    uint64_t member; /* position of the current member's header */
    uint64_t members;
    uint64_t damaged_at; /* where a header could not be read last */
    struct vlm_dump *nested;
    size_t given;          /* of block, to nested */
    uint64_t nested_bytes; /* given to nested in all */
    uint64_t nested_from;  /* offset when it began */
    enum vlm_damage nested_damage;
};

static la_ssize_t on_read(struct archive *archive, void *user, const void **bytes)
{
    struct vlm_archive *a = user;
    struct vlm_view view;
    if (vlm_window_need(a->window, a->offset, READ_STEP, &view, a->err) < 0) {
        a->read_failed = true;
        archive_set_error(archive, EIO, "read failed");
        return ARCHIVE_FATAL;
    }
    *bytes = view.bytes;
    a->offset += view.n;
    return (la_ssize_t)view.n;
}

static la_int64_t on_skip(struct archive *archive, void *user, la_int64_t request)
{
    struct vlm_archive *a = user;
    (void)archive;
    uint64_t size = vlm_window_file_size(a->window);
    if (request <= 0 || size == UINT64_MAX || a->offset > size)
        return 0;
    uint64_t step = VLM_MIN((uint64_t)request, size - a->offset);
    a->offset += step;
    return (la_int64_t)step;
}

static la_int64_t on_seek(struct archive *archive, void *user, la_int64_t offset, int whence)
{
    struct vlm_archive *a = user;
    uint64_t size = vlm_window_file_size(a->window);
    int64_t base = whence == SEEK_SET ? 0 : (int64_t)(whence == SEEK_CUR ? a->offset : size);
    if (size == UINT64_MAX || offset > (int64_t)size - base || offset < -base) {
        archive_set_error(archive, EINVAL, "seek outside the file");
        return ARCHIVE_FATAL;
    }
    a->offset = (uint64_t)(base + offset);
    return (la_int64_t)a->offset;
}

int vlm_archive_open(struct vlm_archive **out, struct vlm_window *window, struct vlm_err *err)
{
    struct vlm_archive *a = calloc(1, sizeof(*a));
    if (!a)
        return vlm_fail(err, VLM_ENOMEM, "no memory for an archive reader");
    a->window = window;
    a->err = err;
    a->archive = archive_read_new();
    if (!a->archive) {
        free(a);
        return vlm_fail(err, VLM_ENOMEM, "no memory for an archive reader");
    }
    struct archive *la = a->archive;
    archive_read_support_filter_gzip(la);
    archive_read_support_filter_bzip2(la);
    archive_read_support_filter_xz(la);
    archive_read_support_filter_zstd(la);
    archive_read_support_format_tar(la);
    archive_read_support_format_zip(la);
    archive_read_support_format_7zip(la);
    archive_read_set_read_callback(la, on_read);
    archive_read_set_skip_callback(la, on_skip);
    if (vlm_window_file_size(window) != UINT64_MAX)
        archive_read_set_seek_callback(la, on_seek);
    archive_read_set_callback_data(la, a);
    if (archive_read_open1(la) != ARCHIVE_OK) {
        if (a->read_failed) {
            vlm_archive_close(a);
            return VLM_EFAIL;
        }
        a->broken = a->ended = true;
    }
    *out = a;
    return VLM_OK;
}

static int damaged(struct vlm_archive *a, struct vlm_record *record, enum vlm_damage damage)
{
    memset(record, 0, sizeof(*record));
    record->type = VLM_RECORD_UNKNOWN;
    record->error = damage;
    record->offset = a->member;
    record->start = a->members;
    return VLM_SKIP;
}

/* Reads the member's bytes into block; a->size > limit afterwards means that it is too large. */
static int read_member(struct vlm_archive *a, size_t limit, struct vlm_err *err)
{
    while (a->size <= limit) {
        if (a->capacity - a->size < READ_STEP) {
            size_t capacity = VLM_MAX(2 * a->capacity, 4 * READ_STEP);
            uint8_t *block = realloc(a->block, capacity);
            if (!block)
                return vlm_fail(err, VLM_ENOMEM, "no memory for an archive member");
            a->block = block;
            a->capacity = capacity;
        }
        la_ssize_t got = archive_read_data(a->archive, a->block + a->size, READ_STEP);
        if (got < 0 && got != ARCHIVE_RETRY && got != ARCHIVE_WARN) {
            a->ended = got == ARCHIVE_FATAL;
            return VLM_SKIP;
        }
        if (!got)
            return VLM_OK;
        a->size += got > 0 ? (size_t)got : 0;
    }
    return VLM_OK;
}

static const char *member_date(struct vlm_archive *a, struct archive_entry *entry)
{
    time_t when = archive_entry_mtime(entry);
    struct tm tm;
    if (!archive_entry_mtime_is_set(entry) || when < 0 || !gmtime_r(&when, &tm) ||
        tm.tm_year > 9999 - 1900 || !strftime(a->date, sizeof(a->date), "%Y-%m-%dT%H:%M:%SZ", &tm))
        return NULL;
    return a->date;
}

static bool is_crawl(enum vlm_dump_format format)
{
    return format == VLM_DUMP_WARC || format == VLM_DUMP_WARC_GZIP ||
           format == VLM_DUMP_WARC_ZSTD || format == VLM_DUMP_ARC || format == VLM_DUMP_ARC_GZIP;
}

/* The bytes of a member for the reader of the crawl in it: first what was read to sniff. An end that
 * is none is remembered, since the reader sees only an end. */
static size_t give_nested(void *context, void *bytes, size_t n)
{
    struct vlm_archive *a = context;
    if (a->given < a->size) {
        n = VLM_MIN(n, a->size - a->given);
        memcpy(bytes, a->block + a->given, n);
        a->given += n;
        return n;
    }
    uint64_t read = a->offset - VLM_MIN(a->offset, a->nested_from);
    if (a->nested_bytes > SWELL_MAX && a->nested_bytes / VLM_INFLATE_RATIO_MAX > read)
        a->nested_damage = VLM_DAMAGE_BOMB;
    la_ssize_t got = 0;
    if (!a->nested_damage)
        do
            got = archive_read_data(a->archive, bytes, n);
        while (got == ARCHIVE_RETRY || got == ARCHIVE_WARN);
    if (got < 0) {
        a->ended = got == ARCHIVE_FATAL;
        a->nested_damage = VLM_DAMAGE_ARCHIVE;
        got = 0;
    }
    a->nested_bytes += (uint64_t)got;
    return (size_t)got;
}

static int open_nested(struct vlm_archive *a, enum vlm_dump_format format, const char *path,
                       struct vlm_err *err)
{
    a->given = 0;
    a->nested_bytes = a->size;
    a->nested_from = a->member;
    a->nested_damage = VLM_DAMAGE_NONE;
    return vlm_dump_open_source(&a->nested, give_nested, a, format, path ? path : "member", err);
}

/* One regular member. VLM_OK with a->nested set: read that instead. */
static int take_member(struct vlm_archive *a, struct archive_entry *entry,
                       struct vlm_record *record, struct vlm_err *err)
{
    const char *path = archive_entry_pathname(entry);
    a->size = 0;
    int rc = read_member(a, SNIFF_SIZE, err);
    enum vlm_dump_format format = vlm_dump_sniff(a->block, VLM_MIN(a->size, SNIFF_SIZE));
    if (rc == VLM_OK && is_crawl(format))
        return open_nested(a, format, path, err);
    if (rc == VLM_OK)
        rc = read_member(a, VLM_WARC_BLOCK_MAX, err);
    if (rc != VLM_OK)
        return rc < 0 ? rc : a->read_failed ? VLM_EFAIL : damaged(a, record, VLM_DAMAGE_ARCHIVE);
    if (a->size > VLM_WARC_BLOCK_MAX)
        return damaged(a, record, VLM_DAMAGE_TOO_LARGE);
    memset(record, 0, sizeof(*record));
    record->type = VLM_RECORD_RESOURCE;
    record->uri = vlm_file_uri(&a->uri, path ? path : "");
    if (!record->uri)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a member's name");
    record->date = member_date(a, entry);
    record->offset = a->member;
    record->start = a->members;
    record->length = a->size;
    record->block = a->block;
    record->block_length = a->size;
    return VLM_OK;
}

/* The next record of the crawl file inside the archive. VLM_EOF: it has ended. */
static int next_nested(struct vlm_archive *a, struct vlm_record *record, struct vlm_err *err)
{
    int rc = vlm_dump_next(a->nested, record, err);
    if (rc == VLM_EOF || rc < 0) {
        vlm_dump_close(a->nested);
        a->nested = NULL;
        if (a->read_failed)
            return VLM_EFAIL;
        if (rc == VLM_EOF && a->nested_damage)
            return damaged(a, record, a->nested_damage);
        return rc == VLM_EFORMAT ? damaged(a, record, VLM_DAMAGE_ARCHIVE) : rc;
    }
    /* Inside the archive a record has no bytes of its own: it is ordered within its member. */
    record->start += record->offset;
    record->offset = a->member;
    return rc;
}

int vlm_archive_next(struct vlm_archive *a, struct vlm_record *record, struct vlm_err *err)
{
    a->err = err;
    if (a->broken) {
        a->broken = false;
        damaged(a, record, VLM_DAMAGE_ARCHIVE);
        uint64_t size = vlm_window_file_size(a->window);
        record->length = size == UINT64_MAX ? 0 : size;
        return VLM_SKIP;
    }
    while (!a->ended || a->nested) {
        if (a->nested) {
            int rc = next_nested(a, record, err);
            if (rc != VLM_EOF)
                return rc;
            continue;
        }
        struct archive_entry *entry = NULL;
        int result = archive_read_next_header(a->archive, &entry);
        if (a->read_failed)
            return VLM_EFAIL;
        if (result == ARCHIVE_EOF)
            break;
        a->members++;
        if (result == ARCHIVE_FATAL || result == ARCHIVE_FAILED || result == ARCHIVE_RETRY) {
            /* Damage found twice at one place would be found for ever. */
            a->ended = result == ARCHIVE_FATAL || a->offset == a->damaged_at;
            a->member = a->damaged_at = a->offset;
            return damaged(a, record, VLM_DAMAGE_ARCHIVE);
        }
        a->member = (uint64_t)VLM_MAX(archive_read_header_position(a->archive), (la_int64_t)0);
        if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry))
            continue;
        int rc = take_member(a, entry, record, err);
        if (rc != VLM_OK || !a->nested)
            return rc;
    }
    a->ended = true;
    return VLM_EOF;
}

void vlm_archive_close(struct vlm_archive *a)
{
    if (!a)
        return;
    vlm_dump_close(a->nested);
    archive_read_free(a->archive);
    vlm_buffer_release(&a->uri);
    free(a->block);
    free(a);
}
