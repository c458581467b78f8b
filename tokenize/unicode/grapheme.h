/* grapheme.h - extended grapheme clusters (Unicode Standard Annex #29): what a reader takes for one character.
 *
 *   struct vlm_grapheme state = { 0 };
 *   for (i = 0; i < n; i++)
 *       if (vlm_grapheme_begins(&state, c[i])) ...  // a cluster begins with c[i]; true for the first
 *
 * Classes are those of Unicode 17, as the package tokenizers has them (grapheme_table.c). */
#ifndef VLM_TOKENIZE_GRAPHEME_H
#define VLM_TOKENIZE_GRAPHEME_H

#include "base/vlm.h"

enum vlm_grapheme_class {
    VLM_GRAPHEME_START, /* no character yet */
    VLM_GRAPHEME_OTHER,
    VLM_GRAPHEME_CONTROL,
    VLM_GRAPHEME_CR,
    VLM_GRAPHEME_LF,
    VLM_GRAPHEME_EXTEND,
    VLM_GRAPHEME_LINKER,     /* extends, and joins consonants of one script */
    VLM_GRAPHEME_NON_JOINER, /* extends, and keeps consonants apart */
    VLM_GRAPHEME_JOINER,     /* extends, and joins pictographs */
    VLM_GRAPHEME_SPACING_MARK,
    VLM_GRAPHEME_PREPEND,
    VLM_GRAPHEME_CONSONANT,
    VLM_GRAPHEME_PICTOGRAPH,
    VLM_GRAPHEME_REGIONAL,
    VLM_GRAPHEME_HANGUL_L,
    VLM_GRAPHEME_HANGUL_V,
    VLM_GRAPHEME_HANGUL_T,
    VLM_GRAPHEME_HANGUL_LV,
    VLM_GRAPHEME_HANGUL_LVT,
};

/* What of the text so far decides about the next character; zeroed at its start. */
struct vlm_grapheme {
    enum vlm_grapheme_class last;
    enum vlm_grapheme_class
        base;    /* pictograph, consonant or regional that `last` belongs to, or START */
    bool linked; /* consonant: a linker stands behind it; regional: the second of two */
};

/* Whether there is a boundary in front of the next character of the text; moves the state behind it. What is above
 * U+10FFFF is a cluster of its own, like a control. Any thread. */
bool vlm_grapheme_begins(struct vlm_grapheme *state, uint32_t c);

/* grapheme_table.c: the class of a code point that is neither ASCII nor a Hangul syllable. */
enum vlm_grapheme_class vlm_grapheme_class_of(uint32_t c);

#endif
