/* sniff.c - which container the first bytes of a file belong to; names are never trusted.
 *
 * Compressed files are known by what comes out of them. */
#include "base/vlm.h"

#include "tokenize/dump/dump_internal.h"

enum { TAR_MAGIC_AT = 257, PEEK = 4096 };

static bool is_tar(const uint8_t *bytes, size_t n)
{
    return n >= TAR_MAGIC_AT + 5 && !memcmp(bytes + TAR_MAGIC_AT, "ustar", 5);
}

static bool starts(const uint8_t *bytes, size_t n, const char *magic, size_t size)
{
    return n >= size && !memcmp(bytes, magic, size);
}

/* Empty lines in front of the first record are harmless. */
static void skip_newlines(const uint8_t **bytes, size_t *n)
{
    while (*n && (**bytes == '\r' || **bytes == '\n')) {
        ++*bytes;
        --*n;
    }
}

static bool is_arc(const uint8_t *bytes, size_t n)
{
    return starts(bytes, n, "filedesc://", 11) || vlm_record_begins(true, bytes, n);
}

static enum vlm_dump_format by_content(const uint8_t *bytes, size_t n, enum vlm_dump_format warc,
                                       enum vlm_dump_format arc)
{
    if (is_tar(bytes, n))
        return VLM_DUMP_ARCHIVE;
    skip_newlines(&bytes, &n);
    if (vlm_record_begins(false, bytes, n))
        return warc;
    return is_arc(bytes, n) ? arc : VLM_DUMP_UNKNOWN;
}

enum vlm_dump_format vlm_dump_sniff(const uint8_t *bytes, size_t n)
{
    struct vlm_stream stream = { .window = { .memory = bytes, .memory_size = n, .name = "" } };
    uint8_t out[PEEK];
    enum vlm_dump_format format = by_content(bytes, n, VLM_DUMP_WARC, VLM_DUMP_ARC);
    if (format != VLM_DUMP_UNKNOWN)
        return format;
    if (starts(bytes, n, "PK\3\4", 4) || starts(bytes, n, "PK\5\6", 4) ||
        starts(bytes, n, "7z\xbc\xaf\x27\x1c", 6) ||
        starts(bytes, n,
               "\xfd"
               "7zXZ\0",
               6) ||
        starts(bytes, n, "BZh", 3))
        return VLM_DUMP_ARCHIVE;
    if (vlm_gzip_magic(bytes, n)) {
        size_t got = vlm_gzip_peek(&stream, bytes, n, out, sizeof(out));
        format = by_content(out, got, VLM_DUMP_WARC_GZIP, VLM_DUMP_ARC_GZIP);
    } else if (n >= 4 && bytes[0] == 0x5d && vlm_zstd_magic(bytes, n)) {
        format = VLM_DUMP_WARC_ZSTD; /* the dictionary's frame */
    } else if (vlm_zstd_magic(bytes, n)) {
        size_t got = vlm_zstd_peek(&stream, bytes, n, out, sizeof(out));
        format = by_content(out, got, VLM_DUMP_WARC_ZSTD, VLM_DUMP_UNKNOWN);
        /* A block comes out whole or not at all, and these bytes may be less than one. */
        if (!got)
            format = VLM_DUMP_WARC_ZSTD;
    }
    vlm_stream_release(&stream);
    return format;
}
