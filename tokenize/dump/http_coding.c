/* http_coding.c - content codings of HTTP bodies: gzip, deflate, br, zstd.
 *
 * gzip of one member whose trailer tells its size goes through libdeflate in one step; all else is
 * streamed into a growing buffer and copied to the arena once. Output is bounded by VLM_BODY_MAX
 * and, above the first MiB, by VLM_INFLATE_RATIO_MAX times the input. */
#include "base/vlm.h"

#include "base/buffer.h"
#include "base/limits.h"
#include "tokenize/dump/http_internal.h"

#include <brotli/decode.h>
#include <libdeflate.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

#define STEP_OUT (64 * VLM_KIB)
enum { ZSTD_WINDOW_LOG_MAX = 27 };

enum outcome { DECODED, DAMAGED, TOO_MUCH, NO_MEMORY };

/* Is there room for more output? Reserves it. */
static enum outcome reserve(struct vlm_buffer *out, size_t consumed)
{
    if (out->size > VLM_BODY_MAX ||
        (out->size > VLM_MIB && out->size / VLM_INFLATE_RATIO_MAX > consumed))
        return TOO_MUCH;
    return vlm_buffer_reserve(out, STEP_OUT) ? DECODED : NO_MEMORY;
}

/* zlib in one of its forms: window_bits 31 gzip, 15 zlib, -15 raw. Gzip members may follow each
 * other; what follows the last one is ignored. */
static enum outcome decode_zlib(struct vlm_buffer *out, const uint8_t *bytes, size_t n,
                                int window_bits)
{
    z_stream z = { 0 };
    if (inflateInit2(&z, window_bits) != Z_OK)
        return NO_MEMORY;
    z.next_in = (z_const Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)n;
    enum outcome outcome = DAMAGED;
    for (;;) {
        enum outcome room = reserve(out, n - z.avail_in);
        if (room != DECODED) {
            outcome = room;
            break;
        }
        z.next_out = out->data + out->size;
        z.avail_out = (uInt)STEP_OUT;
        int result = inflate(&z, Z_NO_FLUSH);
        size_t got = STEP_OUT - z.avail_out;
        out->size += got;
        if (result == Z_STREAM_END) {
            outcome = DECODED;
            bool more =
                window_bits > 15 && z.avail_in >= 2 && z.next_in[0] == 0x1f && z.next_in[1] == 0x8b;
            if (!more || inflateReset(&z) != Z_OK)
                break;
            outcome = DAMAGED;
        } else if (result != Z_OK || (!got && !z.avail_in)) {
            break;
        }
    }
    inflateEnd(&z);
    return outcome;
}

/* "deflate" means zlib, but many servers send raw deflate. */
static enum outcome decode_deflate(struct vlm_buffer *out, const uint8_t *bytes, size_t n)
{
    enum outcome outcome = decode_zlib(out, bytes, n, 15);
    if (outcome != DAMAGED)
        return outcome;
    out->size = 0;
    return decode_zlib(out, bytes, n, -15);
}

static enum outcome decode_brotli(struct vlm_buffer *out, const uint8_t *bytes, size_t n)
{
    BrotliDecoderState *state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    if (!state)
        return NO_MEMORY;
    enum outcome outcome = DAMAGED;
    size_t in = n;
    for (;;) {
        outcome = reserve(out, n - in);
        if (outcome != DECODED)
            break;
        uint8_t *to = out->data + out->size;
        size_t room = STEP_OUT;
        BrotliDecoderResult result =
            BrotliDecoderDecompressStream(state, &in, &bytes, &room, &to, NULL);
        out->size += STEP_OUT - room;
        if (result == BROTLI_DECODER_RESULT_SUCCESS)
            break;
        if (result != BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT) {
            outcome = DAMAGED;
            break;
        }
    }
    BrotliDecoderDestroyInstance(state);
    return outcome;
}

static enum outcome decode_zstd(struct vlm_buffer *out, const uint8_t *bytes, size_t n)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    if (!context ||
        ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX))) {
        ZSTD_freeDCtx(context);
        return NO_MEMORY;
    }
    ZSTD_inBuffer in = { bytes, n, 0 };
    enum outcome outcome;
    for (;;) {
        outcome = reserve(out, in.pos);
        if (outcome != DECODED)
            break;
        ZSTD_outBuffer to = { out->data + out->size, STEP_OUT, 0 };
        size_t result = ZSTD_decompressStream(context, &to, &in);
        out->size += to.pos;
        if (ZSTD_isError(result) || (result && in.pos == in.size && to.pos < to.size)) {
            outcome = DAMAGED;
            break;
        }
        if (!result && in.pos == in.size)
            break;
    }
    ZSTD_freeDCtx(context);
    return outcome;
}

/* One gzip member of known size, straight into the arena. False: it must be streamed. */
static bool decode_gzip_whole(struct vlm_coding_result *result, struct vlm_arena *arena)
{
    const uint8_t *bytes = result->bytes;
    size_t n = result->n, used = 0, got = 0;
    if (n < 18)
        return false;
    size_t size = bytes[n - 4] | (size_t)bytes[n - 3] << 8 | (size_t)bytes[n - 2] << 16 |
                  (size_t)bytes[n - 1] << 24;
    if (size > VLM_BODY_MAX || (size > VLM_MIB && size / VLM_INFLATE_RATIO_MAX > n))
        return false;
    struct libdeflate_decompressor *whole = libdeflate_alloc_decompressor();
    uint8_t *out = whole ? vlm_arena_alloc(arena, size, 1) : NULL;
    bool good = out && libdeflate_gzip_decompress_ex(whole, bytes, n, out, size, &used, &got) ==
                           LIBDEFLATE_SUCCESS;
    libdeflate_free_decompressor(whole);
    if (!good || used != n)
        return false;
    result->bytes = out;
    result->n = got;
    return true;
}

enum coding { CODING_UNKNOWN, CODING_GZIP, CODING_DEFLATE, CODING_BROTLI, CODING_ZSTD };

static enum coding coding_of(const char *name)
{
    static const struct {
        const char *name;
        enum coding coding;
    } codings[] = {
        { "gzip", CODING_GZIP },         { "x-gzip", CODING_GZIP }, { "deflate", CODING_DEFLATE },
        { "x-deflate", CODING_DEFLATE }, { "br", CODING_BROTLI },   { "zstd", CODING_ZSTD },
    };
    for (size_t i = 0; i < VLM_COUNTOF(codings); i++)
        if (!strcasecmp(codings[i].name, name))
            return codings[i].coding;
    return CODING_UNKNOWN;
}

/* Text that a crawler decoded already? Neither a deflate nor a brotli stream begins like this. */
static bool looks_plain(const uint8_t *bytes, size_t n)
{
    static const uint8_t bom[] = { 0xef, 0xbb, 0xbf };
    size_t at = n >= 3 && !memcmp(bytes, bom, 3) ? 3 : 0, shown = VLM_MIN(n, 256);
    size_t space = at;
    while (space < shown && strchr(" \t\r\n", bytes[space]))
        space++;
    if (space == shown || !strchr("<{[", bytes[space]))
        return false;
    for (; at < shown; at++)
        if (bytes[at] < 9 || (bytes[at] > 13 && bytes[at] < 32))
            return false;
    return true;
}

static enum outcome decode(struct vlm_buffer *out, enum coding coding, const uint8_t *bytes,
                           size_t n)
{
    switch (coding) {
    case CODING_GZIP:
        return decode_zlib(out, bytes, n, 31);
    case CODING_DEFLATE:
        return decode_deflate(out, bytes, n);
    case CODING_BROTLI:
        return decode_brotli(out, bytes, n);
    case CODING_ZSTD:
        return decode_zstd(out, bytes, n);
    case CODING_UNKNOWN:
        break;
    }
    return DAMAGED;
}

/* Declared, but plainly not there? */
static bool is_absent(enum coding coding, const uint8_t *bytes, size_t n)
{
    static const uint8_t zstd_magic[] = { 0x28, 0xb5, 0x2f, 0xfd };
    if (coding == CODING_GZIP)
        return n < 2 || bytes[0] != 0x1f || bytes[1] != 0x8b;
    if (coding == CODING_ZSTD)
        return n < 4 || memcmp(bytes, zstd_magic, 4) != 0;
    return looks_plain(bytes, n);
}

int vlm_coding_undo(struct vlm_coding_result *result, const char *name, struct vlm_arena *arena,
                    struct vlm_err *err)
{
    enum coding coding = coding_of(name);
    if (coding == CODING_UNKNOWN) {
        result->error = VLM_BODY_ENCODING;
        return VLM_OK;
    }
    if (!result->n || is_absent(coding, result->bytes, result->n) ||
        (coding == CODING_GZIP && decode_gzip_whole(result, arena)))
        return VLM_OK;
    struct vlm_buffer out = { .max = VLM_BODY_MAX + 2 * STEP_OUT };
    enum outcome outcome = decode(&out, coding, result->bytes, result->n);
    if (outcome == DECODED && out.size > VLM_BODY_MAX)
        outcome = TOO_MUCH;
    int rc = VLM_OK;
    if (outcome == DAMAGED) {
        result->error = VLM_BODY_ENCODING;
    } else if (outcome == TOO_MUCH) {
        result->error = VLM_BODY_BOMB;
    } else if (outcome == NO_MEMORY) {
        rc = vlm_fail(err, VLM_ENOMEM, "no memory to decode a body");
    } else {
        uint8_t *copy = vlm_arena_alloc(arena, out.size, 1);
        if (!copy)
            rc = vlm_fail(err, VLM_ELIMIT, "no room for a body of %zu bytes", out.size);
        else if (out.size)
            memcpy(copy, out.data, out.size);
        result->bytes = copy;
        result->n = copy ? out.size : 0;
    }
    vlm_buffer_release(&out);
    return rc;
}
