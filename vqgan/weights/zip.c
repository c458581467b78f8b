/* zip.c - the end record, the central directory, then each member's own header.
 *
 * PKWARE's APPNOTE.TXT, sections 4.3 and 4.5. The directory is the truth about names and sizes; a
 * member's header is read for the place of its bytes, and must agree about its name. */
#include "base/vlm.h"
#include "vqgan/weights/zip.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/limits.h"
#include "nn/safetensors_values.h"

enum {
    END_SIZE = 22,
    LOCATOR_SIZE = 20,
    END64_SIZE = 56,
    ENTRY_SIZE = 46,
    HEADER_SIZE = 30,
    ENCRYPTED = 1,
    EXTRA_64 = 1, /* the extra field with sizes of 8 bytes */
};

struct directory {
    uint64_t entries, size, begin;
};

struct archive {
    int fd;
    uint64_t size;
    const char *name;
};

static int read_at(const struct archive *from, void *to, size_t n, uint64_t begin,
                   struct vlm_err *err)
{
    if (begin > from->size || n > from->size - begin)
        return vlm_fail(err, VLM_EFORMAT,
                        "the zip archive points to byte %" PRIu64 " of a file of %" PRIu64, begin,
                        from->size);
    return vlm_pread_all(from->fd, to, n, begin, from->name, err);
}

/* Large archives: the locator in front of the end record points to a second end record. */
static int find_directory_64(struct directory *to, const struct archive *from, struct vlm_err *err)
{
    uint8_t locator[LOCATOR_SIZE], end[END64_SIZE];
    if (from->size < END_SIZE + LOCATOR_SIZE)
        return vlm_fail(err, VLM_EFORMAT, "the zip64 records of the archive are missing");
    int rc = read_at(from, locator, sizeof(locator), from->size - END_SIZE - LOCATOR_SIZE, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_bytes in = { locator, locator + sizeof(locator), false };
    if (memcmp(vlm_bytes_take(&in, 4), "PK\6\7", 4) || vlm_bytes_u32(&in) != 0)
        return vlm_fail(err, VLM_EFORMAT, "the zip64 records of the archive are missing");
    rc = read_at(from, end, sizeof(end), vlm_bytes_u64(&in), err);
    if (rc != VLM_OK)
        return rc;
    in = (struct vlm_bytes){ end, end + sizeof(end), false };
    if (memcmp(vlm_bytes_take(&in, 4), "PK\6\6", 4))
        return vlm_fail(err, VLM_EFORMAT, "the zip64 records of the archive are missing");
    vlm_bytes_take(&in, 8 + 2 + 2); /* its size, versions */
    uint64_t disks = vlm_bytes_u64(&in), here = vlm_bytes_u64(&in);
    to->entries = vlm_bytes_u64(&in);
    to->size = vlm_bytes_u64(&in);
    to->begin = vlm_bytes_u64(&in);
    return disks || here != to->entries
               ? vlm_fail(err, VLM_EFORMAT, "the zip archive is one of several parts")
               : VLM_OK;
}

static int find_directory(struct directory *to, const struct archive *from, struct vlm_err *err)
{
    uint8_t end[END_SIZE];
    if (from->size < END_SIZE)
        return vlm_fail(err, VLM_EFORMAT, "%" PRIu64 " bytes are too few for a zip archive",
                        from->size);
    int rc = read_at(from, end, sizeof(end), from->size - END_SIZE, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_bytes in = { end, end + sizeof(end), false };
    if (memcmp(vlm_bytes_take(&in, 4), "PK\5\6", 4))
        return vlm_fail(err, VLM_EFORMAT,
                        "a zip archive without its end: the file was cut, or has bytes behind it");
    uint32_t disks = vlm_bytes_u32(&in);
    uint16_t here = vlm_bytes_u16(&in);
    to->entries = vlm_bytes_u16(&in);
    to->size = vlm_bytes_u32(&in);
    to->begin = vlm_bytes_u32(&in);
    bool large = to->entries == UINT16_MAX || to->size == UINT32_MAX || to->begin == UINT32_MAX;
    if (!large && (disks || here != to->entries))
        return vlm_fail(err, VLM_EFORMAT, "the zip archive is one of several parts");
    if (large)
        rc = find_directory_64(to, from, err);
    if (rc != VLM_OK)
        return rc;
    if (to->entries > VLM_ZIP_MEMBERS_MAX)
        return vlm_fail(err, VLM_ELIMIT, "%" PRIu64 " members are over the limit of %d",
                        to->entries, VLM_ZIP_MEMBERS_MAX);
    if (to->size > VLM_ZIP_DIRECTORY_MAX)
        return vlm_fail(err, VLM_ELIMIT,
                        "a zip directory of %" PRIu64 " bytes is over the limit of %zu", to->size,
                        VLM_ZIP_DIRECTORY_MAX);
    if (to->entries > to->size / ENTRY_SIZE)
        return vlm_fail(err, VLM_EFORMAT,
                        "%" PRIu64 " members do not fit into a zip directory of %" PRIu64 " bytes",
                        to->entries, to->size);
    if (to->begin > from->size - END_SIZE || to->size > from->size - END_SIZE - to->begin)
        return vlm_fail(err, VLM_EFORMAT, "the zip directory is not in front of its end");
    return VLM_OK;
}

/* Sizes and places that do not fit into 4 bytes stand in an extra field, in this order. */
static bool read_extra(struct vlm_bytes extra, uint64_t *size, uint64_t *stored, uint64_t *begin)
{
    uint64_t *values[] = { size, stored, begin };
    if (*size != UINT32_MAX && *stored != UINT32_MAX && *begin != UINT32_MAX)
        return true;
    while (vlm_bytes_left(&extra)) {
        unsigned kind = vlm_bytes_u16(&extra);
        size_t n = vlm_bytes_u16(&extra);
        const uint8_t *field = vlm_bytes_take(&extra, n);
        if (!field)
            return false;
        if (kind != EXTRA_64)
            continue;
        struct vlm_bytes in = { field, field + n, false };
        for (size_t i = 0; i < VLM_COUNTOF(values); i++)
            if (*values[i] == UINT32_MAX)
                *values[i] = vlm_bytes_u64(&in);
        return !in.bad;
    }
    return false;
}

/* One entry of the directory; its name goes to *names. */
static int read_entry(struct vlm_zip_member *to, char **names, struct vlm_bytes *in,
                      struct vlm_err *err)
{
    const uint8_t *magic = vlm_bytes_take(in, 4);
    vlm_bytes_take(in, 4); /* versions */
    unsigned flags = vlm_bytes_u16(in), method = vlm_bytes_u16(in);
    vlm_bytes_take(in, 8); /* time, checksum */
    uint64_t stored = vlm_bytes_u32(in), size = vlm_bytes_u32(in);
    size_t name_size = vlm_bytes_u16(in), extra_size = vlm_bytes_u16(in);
    size_t comment_size = vlm_bytes_u16(in);
    unsigned disk = vlm_bytes_u16(in);
    vlm_bytes_take(in, 6); /* attributes */
    uint64_t header = vlm_bytes_u32(in);
    const uint8_t *name = vlm_bytes_take(in, name_size);
    const uint8_t *extra = vlm_bytes_take(in, extra_size);
    vlm_bytes_take(in, comment_size);
    if (in->bad || memcmp(magic, "PK\1\2", 4))
        return vlm_fail(err, VLM_EFORMAT, "the zip directory is damaged");
    to->name = *names;
    memcpy(*names, name, name_size);
    (*names)[name_size] = 0;
    *names += name_size + 1;
    if (!name_size || memchr(name, 0, name_size))
        return vlm_fail(err, VLM_EFORMAT, "a member of the zip archive has no proper name");
    struct vlm_safetensors_quoted quoted = vlm_safetensors_quote(to->name);
    if (!read_extra((struct vlm_bytes){ extra, extra + extra_size, false }, &size, &stored,
                    &header))
        return vlm_fail(err, VLM_EFORMAT, "member '%s': its zip64 sizes are missing", quoted.text);
    if (disk)
        return vlm_fail(err, VLM_EFORMAT, "the zip archive is one of several parts");
    to->packed = (flags & ENCRYPTED) || method || stored != size;
    to->size = stored;
    to->header = header;
    return VLM_OK;
}

/* The header in front of a member's bytes. What it says about sizes may be 0: they then stand
 * behind the bytes. */
static int read_member(struct vlm_zip_member *member, const struct archive *from,
                       struct vlm_err *err)
{
    enum { NAME_MAX_SIZE = UINT16_MAX };
    char bytes[HEADER_SIZE + NAME_MAX_SIZE];
    size_t name_size = strlen(member->name);
    int rc = read_at(from, bytes, HEADER_SIZE + name_size, member->header, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_bytes in = { (uint8_t *)bytes, (uint8_t *)bytes + HEADER_SIZE, false };
    const uint8_t *magic = vlm_bytes_take(&in, 4);
    vlm_bytes_take(&in, 22);
    size_t its_size = vlm_bytes_u16(&in), extra_size = vlm_bytes_u16(&in);
    if (memcmp(magic, "PK\3\4", 4) || its_size != name_size ||
        memcmp(bytes + HEADER_SIZE, member->name, name_size))
        return vlm_fail(err, VLM_EFORMAT, "the zip directory and the members disagree");
    member->begin = member->header + HEADER_SIZE + name_size + extra_size;
    return VLM_OK;
}

static int by_place(const void *a, const void *b)
{
    uint64_t x = ((const struct vlm_zip_member *)a)->header;
    uint64_t y = ((const struct vlm_zip_member *)b)->header;
    return (x > y) - (x < y);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct vlm_zip_member *)a)->name,
                  ((const struct vlm_zip_member *)b)->name);
}

/* Members lie one behind the other in front of the directory, and have names of their own. */
static int settle(struct vlm_zip *zip, const struct archive *from, uint64_t directory,
                  struct vlm_err *err)
{
    struct vlm_zip_member *members = zip->members;
    qsort(members, zip->count, sizeof(*members), by_place);
    for (size_t i = 0; i < zip->count; i++) {
        int rc = read_member(&members[i], from, err);
        uint64_t end = i + 1 < zip->count ? members[i + 1].header : directory;
        if (rc == VLM_OK && (members[i].begin > end || members[i].size > end - members[i].begin))
            rc = vlm_fail(err, VLM_EFORMAT, "its %" PRIu64 " bytes reach into what follows",
                          members[i].size);
        if (rc != VLM_OK)
            return err ? vlm_wrap(err, "member '%s'", vlm_safetensors_quote(members[i].name).text)
                       : rc;
    }
    qsort(members, zip->count, sizeof(*members), by_name);
    for (size_t i = 1; i < zip->count; i++)
        if (!by_name(&members[i - 1], &members[i]))
            return vlm_fail(err, VLM_EFORMAT, "the zip archive has two members '%s'",
                            vlm_safetensors_quote(members[i].name).text);
    return VLM_OK;
}

static int read_directory(struct vlm_zip *zip, const struct archive *from,
                          const struct directory *directory, uint8_t *bytes, struct vlm_err *err)
{
    size_t size = (size_t)directory->size;
    int rc = read_at(from, bytes, size, directory->begin, err);
    struct vlm_bytes in = { bytes, bytes + size, false };
    char *names = zip->names;
    for (uint64_t i = 0; rc == VLM_OK && i < directory->entries; i++)
        rc = read_entry(&zip->members[zip->count++], &names, &in, err);
    if (rc == VLM_OK && vlm_bytes_left(&in))
        rc = vlm_fail(err, VLM_EFORMAT, "the zip directory has bytes behind its last member");
    return rc == VLM_OK ? settle(zip, from, directory->begin, err) : rc;
}

int vlm_zip_init(struct vlm_zip *zip, int fd, uint64_t size, const char *name, struct vlm_err *err)
{
    struct archive from = { fd, size, name };
    struct directory directory = { 0 };
    *zip = (struct vlm_zip){ 0 };
    int rc = find_directory(&directory, &from, err);
    if (rc != VLM_OK)
        return rc;
    uint8_t *bytes = malloc((size_t)directory.size + 1);
    zip->members = calloc((size_t)directory.entries + 1, sizeof(*zip->members));
    zip->names = malloc((size_t)directory.size + 1); /* a NUL is shorter than the entry around it */
    if (bytes && zip->members && zip->names)
        rc = read_directory(zip, &from, &directory, bytes, err);
    else
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a zip directory of %" PRIu64 " bytes",
                      directory.size);
    free(bytes);
    if (rc != VLM_OK)
        vlm_zip_release(zip);
    return rc;
}

void vlm_zip_release(struct vlm_zip *zip)
{
    free(zip->members);
    free(zip->names);
    *zip = (struct vlm_zip){ 0 };
}

const struct vlm_zip_member *vlm_zip_find(const struct vlm_zip *zip, const char *name)
{
    struct vlm_zip_member key = { .name = name };
    return zip->count ? bsearch(&key, zip->members, zip->count, sizeof(key), by_name) : NULL;
}
