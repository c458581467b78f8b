/* normal_char.c - answers about characters from utf8proc, put right by package_unicode.h. */
#include "base/vlm.h"
#include "tokenize/unicode/normal_char.h"

#include "tokenize/unicode/char_class.h"
#include "tokenize/unicode/package_unicode.h"

#include <utf8proc.h>

static int category_of(uint32_t c)
{
    return utf8proc_get_property((utf8proc_int32_t)c)->category;
}

bool vlm_normal_is_space(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= '\t' && c <= '\r');
    return c < 0x110000 && vlm_char_class(c) == VLM_CHAR_SPACE;
}

/* Lower case that came after utf8proc 2.8: the package has that of Unicode 17. */
static uint32_t newer_lower(uint32_t c)
{
    static const struct {
        uint32_t first, last, lower;
    } letters[] = {
        { 0x1c89, 0x1c89, 0x1c8a },    { 0xa7cb, 0xa7cb, 0x264 },  { 0xa7cc, 0xa7cc, 0xa7cd },
        { 0xa7ce, 0xa7ce, 0xa7cf },    { 0xa7d2, 0xa7d2, 0xa7d3 }, { 0xa7d4, 0xa7d4, 0xa7d5 },
        { 0xa7da, 0xa7da, 0xa7db },    { 0xa7dc, 0xa7dc, 0x19b },  { 0x10d50, 0x10d65, 0x10d70 },
        { 0x16ea0, 0x16eb8, 0x16ebb },
    };
    for (size_t i = 0; i < VLM_COUNTOF(letters); i++)
        if (c >= letters[i].first && c <= letters[i].last)
            return letters[i].lower + (c - letters[i].first);
    return c;
}

size_t vlm_normal_lower(uint32_t out[2], uint32_t c)
{
    out[1] = 0x307;
    if (c < 0x80) {
        out[0] = c >= 'A' && c <= 'Z' ? c + 32 : c;
        return 1;
    }
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    if (c >= 0x1c89 && category_of(c) == UTF8PROC_CATEGORY_CN)
        out[0] = newer_lower(c);
    return c == 0x130 ? 2 : 1;
}

bool vlm_normal_is_mark(uint32_t c)
{
    if (c < 0x300)
        return false;
    int category = category_of(c);
    bool mark = category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
    return mark != vlm_package_differs(c, VLM_PACKAGE_MARK);
}

bool vlm_normal_is_nonspacing(uint32_t c)
{
    return c >= 0x300 && (category_of(c) == UTF8PROC_CATEGORY_MN) !=
                             vlm_package_differs(c, VLM_PACKAGE_NONSPACING);
}

bool vlm_normal_is_control(uint32_t c)
{
    if (c < 0xa0)
        return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c >= 0x7f;
    int category = category_of(c);
    bool other = category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO;
    return other != vlm_package_differs(c, VLM_PACKAGE_OTHER);
}

/* Blocks of ideographs in BERT's tokenization.py; the package begins the last but two at U+2B920,
 * not U+2B820. */
bool vlm_normal_is_chinese(uint32_t c)
{
    return c >= 0x3400 &&
           ((c >= 0x4e00 && c <= 0x9fff) || c <= 0x4dbf || (c >= 0xf900 && c <= 0xfaff) ||
            (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b81f) ||
            (c >= 0x2b920 && c <= 0x2ceaf) || (c >= 0x2f800 && c <= 0x2fa1f));
}
