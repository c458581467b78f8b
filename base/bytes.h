/* bytes.h - reading numbers and spans out of bytes that we did not make.
 *
 *   struct vlm_bytes in = { p, p + n, false };
 *   uint32_t count = vlm_bytes_u32(&in);
 *   const uint8_t *name = vlm_bytes_take(&in, count);
 *   if (in.bad) return vlm_fail(err, VLM_EFORMAT, ...);      // asked once, at the end
 *
 * A read beyond the end gives 0 or NULL and sets bad; nothing is ever read outside [at, end). */
#ifndef VLM_BASE_BYTES_H
#define VLM_BASE_BYTES_H

#include "base/vlm.h"

struct vlm_bytes {
    const uint8_t *at, *end;
    bool bad;
};

static inline size_t vlm_bytes_left(const struct vlm_bytes *in)
{
    return (size_t)(in->end - in->at);
}

/* The next n bytes, borrowed from the input, or NULL. */
static inline const uint8_t *vlm_bytes_take(struct vlm_bytes *in, size_t n)
{
    if (in->bad || n > vlm_bytes_left(in)) {
        in->bad = true;
        return NULL;
    }
    const uint8_t *p = in->at;
    in->at += n;
    return p;
}

static inline uint64_t vlm_bytes_little_endian(struct vlm_bytes *in, size_t n)
{
    const uint8_t *p = vlm_bytes_take(in, n);
    uint64_t value = 0;
    for (size_t i = 0; p && i < n; i++)
        value |= (uint64_t)p[i] << 8 * i;
    return value;
}

static inline uint8_t vlm_bytes_u8(struct vlm_bytes *in)
{
    return (uint8_t)vlm_bytes_little_endian(in, 1);
}

static inline uint16_t vlm_bytes_u16(struct vlm_bytes *in)
{
    return (uint16_t)vlm_bytes_little_endian(in, 2);
}

static inline uint32_t vlm_bytes_u32(struct vlm_bytes *in)
{
    return (uint32_t)vlm_bytes_little_endian(in, 4);
}

static inline uint64_t vlm_bytes_u64(struct vlm_bytes *in)
{
    return vlm_bytes_little_endian(in, 8);
}

/* LEB128, at most 10 bytes; longer ones and ones over 64 bits are bad. */
static inline uint64_t vlm_bytes_varint(struct vlm_bytes *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = vlm_bytes_u8(in);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return in->bad ? 0 : value;
    }
    in->bad = true;
    return 0;
}

#endif
