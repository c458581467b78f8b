/* gzip_source.c - gzip members (RFC 1952) behind a stream.
 *
 * A member is first inflated as a whole by libdeflate, straight from the window. What is too large
 * for that, or damaged, goes through zlib, which streams and tells damage apart: truncated, data,
 * checksum, header. Output over VLM_INFLATE_RATIO_MAX times the input, above the first MiB, is a
 * bomb. Finding the next member is not done here. */
#include "base/vlm.h"

#include "tokenize/dump/dump_internal.h"

#include <libdeflate.h>
#include <zlib.h>

#define OUT_FIRST      (1 * VLM_MIB)                      /* output buffer to begin with */
#define OUT_WHOLE      (VLM_WARC_BLOCK_MAX + 4 * VLM_MIB) /* larger members are streamed */
#define IN_AHEAD       (256 * VLM_KIB)                    /* members mostly end within this */
#define IN_WHOLE       (8 * VLM_MIB)
#define STEP_IN        (64 * VLM_KIB)
#define NAME_MAX_BYTES (64 * VLM_KIB) /* name, comment and extra field of a header */

struct vlm_gzip {
    struct libdeflate_decompressor *whole;
    z_stream stream; /* the member being streamed */
    z_stream peek;   /* raw deflate, for looking at candidates */
    bool stream_ready, peek_ready;
};

bool vlm_gzip_magic(const uint8_t *bytes, size_t n)
{
    return n >= 4 && bytes[0] == 0x1f && bytes[1] == 0x8b && bytes[2] == 8 && !(bytes[3] & 0xe0);
}

static int prepare(struct vlm_stream *stream, struct vlm_err *err)
{
    if (stream->gzip)
        return VLM_OK;
    struct vlm_gzip *gzip = calloc(1, sizeof(*gzip));
    if (!gzip)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a decompressor");
    stream->gzip = gzip;
    gzip->whole = libdeflate_alloc_decompressor();
    gzip->stream_ready = inflateInit2(&gzip->stream, 15 + 16) == Z_OK;
    gzip->peek_ready = inflateInit2(&gzip->peek, -15) == Z_OK;
    if (!gzip->whole || !gzip->stream_ready || !gzip->peek_ready)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a decompressor");
    return VLM_OK;
}

static bool is_bomb(uint64_t consumed, uint64_t produced)
{
    return produced > VLM_MIB && produced / VLM_INFLATE_RATIO_MAX > consumed;
}

/* The whole member at once. VLM_SKIP: it must be streamed. */
static int inflate_whole(struct vlm_stream *stream, struct vlm_err *err)
{
    struct vlm_view view;
    size_t ahead = IN_AHEAD;
    for (;;) {
        int rc = vlm_window_need(&stream->window, stream->member, ahead, &view, err);
        if (rc == VLM_OK && stream->capacity < OUT_FIRST)
            rc = vlm_stream_room(stream, OUT_FIRST, err);
        if (rc < 0)
            return rc;
        size_t used = 0, got = 0;
        enum libdeflate_result result =
            libdeflate_gzip_decompress_ex(stream->gzip->whole, view.bytes, view.n, stream->buffer,
                                          VLM_MIN(stream->capacity, OUT_WHOLE), &used, &got);
        if (result == LIBDEFLATE_SUCCESS) {
            if (is_bomb(used, got))
                return VLM_SKIP;
            stream->data = stream->buffer;
            stream->size = got;
            stream->next = stream->member + used;
            stream->whole = true;
            return VLM_OK;
        }
        if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
            size_t larger = VLM_MIN(4 * stream->capacity, OUT_WHOLE);
            if (stream->capacity >= OUT_WHOLE || larger / VLM_INFLATE_RATIO_MAX > view.n)
                return VLM_SKIP;
            rc = vlm_stream_room(stream, larger, err);
            if (rc < 0)
                return rc;
        } else if (view.n < ahead || ahead == IN_WHOLE) {
            return VLM_SKIP; /* damaged, or larger than the window */
        } else {
            ahead = IN_WHOLE;
        }
    }
}

int vlm_gzip_restart(struct vlm_stream *stream, struct vlm_err *err)
{
    stream->produced = stream->consumed = 0;
    if (inflateReset2(&stream->gzip->stream, 15 + 16) != Z_OK)
        return vlm_fail(err, VLM_EFAIL, "cannot reset the decompressor");
    return VLM_OK;
}

int vlm_gzip_open(struct vlm_stream *stream, struct vlm_err *err)
{
    int rc = prepare(stream, err);
    if (rc == VLM_OK)
        rc = inflate_whole(stream, err);
    if (rc != VLM_SKIP)
        return rc;
    stream->size = 0;
    return vlm_gzip_restart(stream, err);
}

static enum vlm_damage damage_of(const z_stream *z)
{
    static const char *const checks[] = { "incorrect data check", "incorrect length check" };
    static const char *const headers[] = { "incorrect header check", "unknown compression method",
                                           "unknown header flags set", "header crc mismatch" };
    for (size_t i = 0; z->msg && i < VLM_COUNTOF(checks); i++)
        if (!strcmp(z->msg, checks[i]))
            return VLM_DAMAGE_GZIP_CHECKSUM;
    for (size_t i = 0; z->msg && i < VLM_COUNTOF(headers); i++)
        if (!strcmp(z->msg, headers[i]))
            return VLM_DAMAGE_GZIP_HEADER;
    return VLM_DAMAGE_GZIP_DATA;
}

int vlm_gzip_step(struct vlm_stream *stream, struct vlm_err *err)
{
    struct vlm_view view;
    int rc = vlm_window_need(&stream->window, stream->next, STEP_IN, &view, err);
    if (rc < 0)
        return rc;
    z_stream *z = &stream->gzip->stream;
    size_t room = VLM_MIN(stream->capacity - stream->size, (size_t)UINT_MAX);
    z->next_in = (z_const Bytef *)(uintptr_t)view.bytes;
    z->avail_in = (uInt)VLM_MIN(view.n, (size_t)UINT_MAX);
    z->next_out = stream->buffer + stream->size;
    z->avail_out = (uInt)room;
    uInt in = z->avail_in;
    int result = inflate(z, Z_NO_FLUSH);
    size_t got = room - z->avail_out;
    stream->next += in - z->avail_in;
    stream->consumed += in - z->avail_in;
    stream->produced += got;
    stream->size += got;
    if (result == Z_STREAM_END) {
        stream->whole = true;
    } else if (result == Z_DATA_ERROR || result == Z_NEED_DICT) {
        stream->damage = damage_of(z);
        /* zlib stops behind the CRC when that is wrong, before the size. */
        if (z->msg && !strcmp(z->msg, "incorrect data check"))
            stream->next += VLM_MIN(z->avail_in, 4u);
    } else if (result == Z_MEM_ERROR || result == Z_STREAM_ERROR) {
        return vlm_fail(err, VLM_ENOMEM, "%s: the decompressor failed", stream->window.name);
    } else if (got == 0 && z->avail_in == 0 && view.n < STEP_IN) {
        stream->damage = VLM_DAMAGE_GZIP_TRUNCATED;
    }
    if (!stream->damage && is_bomb(stream->consumed, stream->produced))
        stream->damage = VLM_DAMAGE_BOMB;
    if (stream->damage)
        stream->whole = true;
    return VLM_OK;
}

/* The size of a member's header, or 0: damaged, or it does not end within n bytes. */
static size_t header_size(const uint8_t *bytes, size_t n)
{
    enum { CRC = 2, EXTRA = 4, NAME = 8, COMMENT = 16 };
    if (!vlm_gzip_magic(bytes, n) || n < 10)
        return 0;
    size_t at = 10;
    n = VLM_MIN(n, NAME_MAX_BYTES);
    if (bytes[3] & EXTRA) {
        if (n - at < 2)
            return 0;
        size_t extra = bytes[at] + ((size_t)bytes[at + 1] << 8);
        if (n - at - 2 < extra)
            return 0;
        at += 2 + extra;
    }
    for (int flag = NAME; flag <= COMMENT; flag *= 2) {
        if (!(bytes[3] & flag))
            continue;
        const uint8_t *nul = memchr(bytes + at, 0, n - at);
        if (!nul)
            return 0;
        at = (size_t)(nul - bytes) + 1;
    }
    if (bytes[3] & CRC)
        at += 2;
    return at < n ? at : 0;
}

size_t vlm_gzip_peek(struct vlm_stream *stream, const uint8_t *bytes, size_t n, uint8_t *out,
                     size_t out_size)
{
    size_t header = header_size(bytes, n);
    if (!header || prepare(stream, NULL) != VLM_OK)
        return 0;
    z_stream *z = &stream->gzip->peek;
    if (inflateReset(z) != Z_OK)
        return 0;
    z->next_in = (z_const Bytef *)(uintptr_t)(bytes + header);
    z->avail_in = (uInt)(n - header);
    z->next_out = out;
    z->avail_out = (uInt)out_size;
    int result = inflate(z, Z_SYNC_FLUSH);
    if (result == Z_DATA_ERROR && z->avail_out == out_size)
        return 0;
    return out_size - z->avail_out;
}

void vlm_gzip_release(struct vlm_gzip *gzip)
{
    if (!gzip)
        return;
    if (gzip->whole)
        libdeflate_free_decompressor(gzip->whole);
    if (gzip->stream_ready)
        inflateEnd(&gzip->stream);
    if (gzip->peek_ready)
        inflateEnd(&gzip->peek);
    free(gzip);
}
