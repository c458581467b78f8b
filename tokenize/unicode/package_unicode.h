/* package_unicode.h - where the package tokenizers knows less Unicode than utf8proc.
 *
 *   bool other = category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO;
 *   other = other != vlm_package_differs(c, VLM_PACKAGE_OTHER);
 *
 * Its tables of categories are those of Unicode 8, its normal forms those of Unicode 9: newer
 * punctuation is not cut off, newer accents stay. Vocabularies were made with it, so ids are equal
 * only if we do the same. Lower case is not here: the package has it from its compiler, of Unicode
 * 16 or later. */
#ifndef VLM_TOKENIZE_PACKAGE_UNICODE_H
#define VLM_TOKENIZE_PACKAGE_UNICODE_H

#include "base/vlm.h"

enum vlm_package_question {
    VLM_PACKAGE_PUNCTUATION = 1, /* is it of category P */
    VLM_PACKAGE_OTHER = 2,       /* Cc, Cf or Co */
    VLM_PACKAGE_MARK = 4,        /* M */
    VLM_PACKAGE_NONSPACING = 8,  /* Mn */
    VLM_PACKAGE_CANONICAL = 16,  /* has it a canonical decomposition */
    VLM_PACKAGE_COMPATIBLE = 32, /* any decomposition */
    VLM_PACKAGE_CLASS = 64,      /* a canonical combining class other than 0 */
};

/* Whether the answer of the package for a code point is not that of utf8proc 2.8. Any thread. */
bool vlm_package_differs(uint32_t code_point, enum vlm_package_question question);

#endif
