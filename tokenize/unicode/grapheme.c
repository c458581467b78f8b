/* grapheme.c - the rules of grapheme clusters, character by character. Only three of them look back further than one
 * character: pictographs joined by ZWJ, consonants joined by a virama, pairs of regional indicators. */
#include "base/vlm.h"
#include "tokenize/unicode/grapheme.h"

static enum vlm_grapheme_class class_of(uint32_t c)
{
    enum { SYLLABLE_FIRST = 0xac00, SYLLABLE_LAST = 0xd7a3, FINALS = 28, LAST = 0x10ffff };
    if (c < 0x80) {
        if (c >= 0x20 && c != 0x7f)
            return VLM_GRAPHEME_OTHER;
        return c == '\r' ? VLM_GRAPHEME_CR : c == '\n' ? VLM_GRAPHEME_LF : VLM_GRAPHEME_CONTROL;
    }
    if (c >= SYLLABLE_FIRST && c <= SYLLABLE_LAST)
        return (c - SYLLABLE_FIRST) % FINALS ? VLM_GRAPHEME_HANGUL_LVT : VLM_GRAPHEME_HANGUL_LV;
    return c > LAST ? VLM_GRAPHEME_CONTROL : vlm_grapheme_class_of(c);
}

static bool is_extend(enum vlm_grapheme_class class)
{
    return class >= VLM_GRAPHEME_EXTEND && class <= VLM_GRAPHEME_JOINER;
}

static bool is_control(enum vlm_grapheme_class class)
{
    return class >= VLM_GRAPHEME_CONTROL && class <= VLM_GRAPHEME_LF;
}

/* Rules GB6 to GB8: a syllable of Hangul goes on. */
static bool hangul_goes_on(enum vlm_grapheme_class last, enum vlm_grapheme_class next)
{
    switch (last) {
    case VLM_GRAPHEME_HANGUL_L:
        return next == VLM_GRAPHEME_HANGUL_L || next == VLM_GRAPHEME_HANGUL_V ||
               next == VLM_GRAPHEME_HANGUL_LV || next == VLM_GRAPHEME_HANGUL_LVT;
    case VLM_GRAPHEME_HANGUL_V:
    case VLM_GRAPHEME_HANGUL_LV:
        return next == VLM_GRAPHEME_HANGUL_V || next == VLM_GRAPHEME_HANGUL_T;
    case VLM_GRAPHEME_HANGUL_T:
    case VLM_GRAPHEME_HANGUL_LVT:
        return next == VLM_GRAPHEME_HANGUL_T;
    default:
        return false;
    }
}

/* Whether a character of class next goes on the cluster that state is in. */
static bool goes_on(const struct vlm_grapheme *state, enum vlm_grapheme_class next)
{
    if (state->last == VLM_GRAPHEME_CR)
        return next == VLM_GRAPHEME_LF;
    if (state->last == VLM_GRAPHEME_START || is_control(state->last) || is_control(next))
        return false;
    if (is_extend(next) || next == VLM_GRAPHEME_SPACING_MARK ||
        state->last == VLM_GRAPHEME_PREPEND || hangul_goes_on(state->last, next))
        return true;
    if (next != state->base)
        return false;
    if (next == VLM_GRAPHEME_CONSONANT)
        return state->linked;
    if (next == VLM_GRAPHEME_PICTOGRAPH)
        return state->last == VLM_GRAPHEME_JOINER;
    return next == VLM_GRAPHEME_REGIONAL && state->last == VLM_GRAPHEME_REGIONAL && !state->linked;
}

bool vlm_grapheme_begins(struct vlm_grapheme *state, uint32_t c)
{
    enum vlm_grapheme_class next = class_of(c);
    bool begins = !goes_on(state, next);
    if (next == VLM_GRAPHEME_CONSONANT || next == VLM_GRAPHEME_PICTOGRAPH) {
        state->base = next;
        state->linked = false;
    } else if (next == VLM_GRAPHEME_REGIONAL) {
        state->linked = state->last == VLM_GRAPHEME_REGIONAL && !state->linked;
        state->base = next;
    } else if (!is_extend(next)) {
        state->base = VLM_GRAPHEME_START;
    } else if (state->base == VLM_GRAPHEME_CONSONANT) {
        state->linked = state->linked || next == VLM_GRAPHEME_LINKER;
        if (next == VLM_GRAPHEME_NON_JOINER)
            state->base = VLM_GRAPHEME_START;
    } else if (state->base == VLM_GRAPHEME_PICTOGRAPH && state->last == VLM_GRAPHEME_JOINER) {
        state->base = VLM_GRAPHEME_START; /* only the last before the next pictograph joins */
    }
    state->last = next;
    return begins;
}
