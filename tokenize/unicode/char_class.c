/* char_class.c - the class of a character, from the table in char_class_table.c. */
#include "base/vlm.h"

#include "tokenize/unicode/char_class.h"
#include "tokenize/unicode/char_class_internal.h"

static enum vlm_char_class class_of(enum vlm_char_kind kind)
{
    switch (kind) {
    case VLM_KIND_SPACE:
        return VLM_CHAR_SPACE;
    case VLM_KIND_NUMBER:
        return VLM_CHAR_NUMBER;
    case VLM_KIND_UPPER:
    case VLM_KIND_LOWER:
    case VLM_KIND_LETTER:
        return VLM_CHAR_LETTER;
    case VLM_KIND_OTHER:
    case VLM_KIND_MARK:
        break;
    }
    return VLM_CHAR_OTHER;
}

enum vlm_char_class vlm_char_class(uint32_t code_point)
{
    return class_of(vlm_char_kind(code_point));
}

enum vlm_char_class vlm_char_class_at(const char *text, size_t n, size_t *bytes)
{
    const uint8_t *p = (const uint8_t *)text;
    return class_of(vlm_char_kind_at(p, p + n, bytes));
}
