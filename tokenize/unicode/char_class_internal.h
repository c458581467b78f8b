/* char_class_internal.h - the finer classes that scanners ask for, inline for their loops. */
#ifndef VLM_TOKENIZE_CHAR_CLASS_INTERNAL_H
#define VLM_TOKENIZE_CHAR_CLASS_INTERNAL_H

#include "base/vlm.h"

enum vlm_char_kind {
    VLM_KIND_OTHER,
    VLM_KIND_SPACE,  /* \s */
    VLM_KIND_NUMBER, /* \p{N} */
    VLM_KIND_UPPER,  /* \p{Lu}\p{Lt} */
    VLM_KIND_LOWER,  /* \p{Ll} */
    VLM_KIND_LETTER, /* \p{Lm}\p{Lo} */
    VLM_KIND_MARK,   /* \p{M} */
};

/* Blocks of 128 characters, 16 in a word; char_class_table.c. */
#define VLM_CHAR_TABLE_END 0x32400
extern const uint8_t vlm_char_class_blocks[VLM_CHAR_TABLE_END / 128];
extern const uint64_t vlm_char_class_words[];

static inline enum vlm_char_kind vlm_char_kind(uint32_t c)
{
    if (c >= VLM_CHAR_TABLE_END) /* behind the ideographs there are only variation selectors */
        return c - 0xe0100 < 0xf0 ? VLM_KIND_MARK : VLM_KIND_OTHER;
    uint64_t word = vlm_char_class_words[vlm_char_class_blocks[c / 128] * 8 + c % 128 / 16];
    return (enum vlm_char_kind)(word >> c % 16 * 4 & 0xf);
}

/* Whether the byte at p[i] continues a character. */
static inline bool vlm_char_continues(const uint8_t *p, size_t i)
{
    return (p[i] & 0xc0) == 0x80;
}

/* The kind of the character at p < end and its bytes; a byte that is not UTF-8 is OTHER and one
 * byte. Valid is what RFC 3629 says: no overlong forms, no surrogates, nothing over U+10FFFF. */
static inline enum vlm_char_kind vlm_char_kind_at(const uint8_t *p, const uint8_t *end,
                                                  size_t *bytes)
{
    uint32_t c = p[0];
    size_t n = (size_t)(end - p);
    *bytes = 1;
    if (c < 0x80)
        return vlm_char_kind(c);
    if (c >= 0xe0 && c < 0xf0) {
        if (n < 3 || !vlm_char_continues(p, 1) || !vlm_char_continues(p, 2))
            return VLM_KIND_OTHER;
        c = (c & 0xf) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
        if (c < 0x800 || (c >= 0xd800 && c < 0xe000))
            return VLM_KIND_OTHER;
        *bytes = 3;
    } else if (c >= 0xc2 && c < 0xe0) {
        if (n < 2 || !vlm_char_continues(p, 1))
            return VLM_KIND_OTHER;
        c = (c & 0x1f) << 6 | (p[1] & 0x3fu);
        *bytes = 2;
    } else {
        if (c < 0xf0 || c > 0xf4 || n < 4 || !vlm_char_continues(p, 1) ||
            !vlm_char_continues(p, 2) || !vlm_char_continues(p, 3))
            return VLM_KIND_OTHER;
        c = (c & 7) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
        if (c < 0x10000 || c > 0x10ffff)
            return VLM_KIND_OTHER;
        *bytes = 4;
    }
    return vlm_char_kind(c);
}

#endif
