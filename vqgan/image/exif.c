/* exif.c - the orientation of an image from its EXIF block.
 *
 * Reads the TIFF header and the first directory only (TIFF 6.0, section 2; EXIF 2.3, 4.6.4); no
 * pointer is followed from there, so there are no loops. Everything else in the block is ignored. */
#include "base/vlm.h"

#include "vqgan/image/decoders.h"

enum {
    TAG_ORIENTATION = 0x0112,
    TYPE_BYTE = 1,
    TYPE_SHORT = 3,
    TYPE_LONG = 4,
    TIFF_HEADER = 8,
    ENTRY_SIZE = 12,
};

struct tiff {
    const uint8_t *bytes;
    size_t n;
    bool big_endian;
};

static uint32_t tiff_16(const struct tiff *tiff, size_t at)
{
    const uint8_t *p = tiff->bytes + at;
    return tiff->big_endian ? (uint32_t)(p[0] << 8 | p[1]) : (uint32_t)(p[1] << 8 | p[0]);
}

static uint32_t tiff_32(const struct tiff *tiff, size_t at)
{
    uint32_t first = tiff_16(tiff, at), second = tiff_16(tiff, at + 2);
    return tiff->big_endian ? first << 16 | second : second << 16 | first;
}

/* The value stored inside an entry; 0 for types that are no small integers. */
static uint32_t entry_value(const struct tiff *tiff, size_t at)
{
    if (tiff_32(tiff, at + 4) < 1)
        return 0;
    switch (tiff_16(tiff, at + 2)) {
    case TYPE_BYTE:
        return tiff->bytes[at + 8];
    case TYPE_SHORT:
        return tiff_16(tiff, at + 8);
    case TYPE_LONG:
        return tiff_32(tiff, at + 8);
    default:
        return 0;
    }
}

uint8_t vlm_exif_orientation(const uint8_t *bytes, size_t n)
{
    if (n < TIFF_HEADER + 2)
        return 1;
    struct tiff tiff = { bytes, n, bytes[0] == 'M' };
    if (memcmp(bytes, "II*\0", 4) != 0 && memcmp(bytes, "MM\0*", 4) != 0)
        return 1;
    size_t directory = tiff_32(&tiff, 4);
    if (directory > n - 2)
        return 1;
    size_t entries = tiff_16(&tiff, directory);
    size_t at = directory + 2;
    for (size_t i = 0; i < entries && n - at >= ENTRY_SIZE; i++, at += ENTRY_SIZE) {
        if (tiff_16(&tiff, at) != TAG_ORIENTATION)
            continue;
        uint32_t value = entry_value(&tiff, at);
        return value >= 1 && value <= 8 ? (uint8_t)value : 1;
    }
    return 1;
}
