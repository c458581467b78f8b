/* zstd_source.c - zstd frames (RFC 8878) behind a stream, with the dictionary of .warc.zst.
 *
 * Skippable frames are stepped over. The first one, when its magic is 0x184D2A5D, holds the
 * dictionary of all frames, compressed itself or not; it is read from the start of the file also
 * when reading begins in the middle. Windows over 128 MiB are refused. */
#include "base/vlm.h"

#include "tokenize/dump/dump_internal.h"

#include <zstd.h>

#define STEP_IN        (128 * VLM_KIB)
#define DICTIONARY_MAX (8 * VLM_MIB)
enum { WINDOW_LOG_MAX = 27, DICTIONARY_MAGIC = 0x5d };

struct vlm_zstd {
    ZSTD_DCtx *stream, *peek;
    uint8_t *dictionary;
    size_t dictionary_size;
    bool looked; /* for a dictionary */
};

static bool skippable(const uint8_t *b, size_t n)
{
    return n >= 4 && (b[0] & 0xf0) == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18;
}

bool vlm_zstd_magic(const uint8_t *b, size_t n)
{
    return n >= 4 &&
           ((b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f && b[3] == 0xfd) || skippable(b, n));
}

static size_t skippable_size(const uint8_t *bytes)
{
    return 8 + (bytes[4] | (size_t)bytes[5] << 8 | (size_t)bytes[6] << 16 | (size_t)bytes[7] << 24);
}

/* Keeps the dictionary at bytes, decompressed if it is a frame itself. */
static int keep_dictionary(struct vlm_zstd *zstd, const uint8_t *bytes, size_t n,
                           struct vlm_err *err)
{
    bool packed = n >= 4 && vlm_zstd_magic(bytes, n) && !skippable(bytes, n);
    size_t capacity = packed ? DICTIONARY_MAX : n;
    uint8_t *dictionary = malloc(capacity + 1);
    if (!dictionary)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a dictionary");
    if (packed) {
        n = ZSTD_decompress(dictionary, capacity, bytes, n);
    } else {
        memcpy(dictionary, bytes, n);
    }
    if (ZSTD_isError(n)) {
        free(dictionary); /* the frames that need it will say so */
        return VLM_OK;
    }
    zstd->dictionary = dictionary;
    zstd->dictionary_size = n;
    return VLM_OK;
}

static int find_dictionary(struct vlm_stream *stream, struct vlm_err *err)
{
    struct vlm_view view;
    stream->zstd->looked = true;
    if (vlm_window_lowest(&stream->window) > 0)
        return VLM_OK;
    int rc = vlm_window_need(&stream->window, 0, 8, &view, err);
    if (rc < 0 || view.n < 8 || !skippable(view.bytes, view.n) || view.bytes[0] != DICTIONARY_MAGIC)
        return rc;
    size_t size = skippable_size(view.bytes);
    if (size > DICTIONARY_MAX)
        return VLM_OK;
    rc = vlm_window_need(&stream->window, 0, size, &view, err);
    if (rc < 0 || view.n < size)
        return rc;
    return keep_dictionary(stream->zstd, view.bytes + 8, size - 8, err);
}

static int prepare(struct vlm_stream *stream, struct vlm_err *err)
{
    if (stream->zstd)
        return VLM_OK;
    struct vlm_zstd *zstd = calloc(1, sizeof(*zstd));
    if (!zstd)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a decompressor");
    stream->zstd = zstd;
    zstd->stream = ZSTD_createDCtx();
    zstd->peek = ZSTD_createDCtx();
    if (!zstd->stream || !zstd->peek)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a decompressor");
    int rc = find_dictionary(stream, err);
    if (rc < 0)
        return rc;
    ZSTD_DCtx *both[] = { zstd->stream, zstd->peek };
    for (size_t i = 0; i < VLM_COUNTOF(both); i++) {
        if (ZSTD_isError(ZSTD_DCtx_setParameter(both[i], ZSTD_d_windowLogMax, WINDOW_LOG_MAX)) ||
            (zstd->dictionary && ZSTD_isError(ZSTD_DCtx_loadDictionary(both[i], zstd->dictionary,
                                                                       zstd->dictionary_size))))
            return vlm_fail(err, VLM_EFORMAT, "%s: the zstd dictionary is damaged",
                            stream->window.name);
    }
    return VLM_OK;
}

int vlm_zstd_restart(struct vlm_stream *stream, struct vlm_err *err)
{
    stream->produced = stream->consumed = 0;
    if (ZSTD_isError(ZSTD_DCtx_reset(stream->zstd->stream, ZSTD_reset_session_only)))
        return vlm_fail(err, VLM_EFAIL, "cannot reset the decompressor");
    return VLM_OK;
}

int vlm_zstd_open(struct vlm_stream *stream, struct vlm_err *err)
{
    int rc = prepare(stream, err);
    if (rc == VLM_OK)
        rc = vlm_zstd_restart(stream, err);
    if (rc == VLM_OK)
        rc = vlm_stream_room(stream, STEP_IN, err);
    return rc;
}

/* A skippable frame is a member without bytes. */
static int step_over(struct vlm_stream *stream, struct vlm_view view, struct vlm_err *err)
{
    stream->whole = true;
    stream->damage = VLM_DAMAGE_ZSTD;
    if (view.n < 8)
        return VLM_OK;
    uint64_t next = stream->next + skippable_size(view.bytes);
    int rc = vlm_window_need(&stream->window, next - 1, 1, &view, err);
    if (rc < 0 || !view.n)
        return rc; /* it goes on behind the end of the file */
    stream->next = next;
    stream->damage = VLM_DAMAGE_NONE;
    return VLM_OK;
}

int vlm_zstd_step(struct vlm_stream *stream, struct vlm_err *err)
{
    struct vlm_view view;
    int rc = vlm_window_need(&stream->window, stream->next, STEP_IN, &view, err);
    if (rc < 0)
        return rc;
    if (!stream->consumed && skippable(view.bytes, view.n))
        return step_over(stream, view, err);
    ZSTD_inBuffer in = { view.bytes, view.n, 0 };
    ZSTD_outBuffer out = { stream->buffer + stream->size, stream->capacity - stream->size, 0 };
    size_t result = ZSTD_decompressStream(stream->zstd->stream, &out, &in);
    stream->next += in.pos;
    stream->consumed += in.pos;
    stream->produced += out.pos;
    stream->size += out.pos;
    if (result == 0)
        stream->whole = true;
    else if (ZSTD_isError(result) || (!out.pos && in.pos == in.size && view.n < STEP_IN))
        stream->damage = VLM_DAMAGE_ZSTD;
    else if (stream->produced > VLM_MIB &&
             stream->produced / VLM_INFLATE_RATIO_MAX > stream->consumed)
        stream->damage = VLM_DAMAGE_BOMB;
    if (stream->damage)
        stream->whole = true;
    return VLM_OK;
}

size_t vlm_zstd_peek(struct vlm_stream *stream, const uint8_t *bytes, size_t n, uint8_t *out,
                     size_t out_size)
{
    if (n < 4 || skippable(bytes, n) || prepare(stream, NULL) != VLM_OK)
        return 0;
    ZSTD_DCtx *peek = stream->zstd->peek;
    if (ZSTD_isError(ZSTD_DCtx_reset(peek, ZSTD_reset_session_only)))
        return 0;
    ZSTD_inBuffer in = { bytes, n, 0 };
    ZSTD_outBuffer result = { out, out_size, 0 };
    while (result.pos < result.size && in.pos < in.size) {
        size_t before_in = in.pos, before_out = result.pos;
        size_t left = ZSTD_decompressStream(peek, &result, &in);
        if (ZSTD_isError(left))
            return 0;
        if (!left || (in.pos == before_in && result.pos == before_out))
            break;
    }
    return result.pos;
}

void vlm_zstd_release(struct vlm_zstd *zstd)
{
    if (!zstd)
        return;
    ZSTD_freeDCtx(zstd->stream);
    ZSTD_freeDCtx(zstd->peek);
    free(zstd->dictionary);
    free(zstd);
}
