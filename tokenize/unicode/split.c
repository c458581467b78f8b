/* split.c - scanners that do what the regular expressions of published tokenizers do.
 *
 * A character is one of seven kinds (char_class_internal.h) and a set of kinds is a mask, so that
 * most alternatives are "one of these, then a run of those". What backtracking a pattern needs is
 * said where its scanner does it. Runs of ASCII letters, most of most texts, are found 16 bytes at
 * a time. */
#include "base/vlm.h"

#include "tokenize/unicode/char_class_internal.h"
#include "tokenize/unicode/split.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    OTHER = 1 << VLM_KIND_OTHER | 1 << VLM_KIND_MARK, /* [^\s\p{L}\p{N}] */
    SPACE = 1 << VLM_KIND_SPACE,
    NUMBER = 1 << VLM_KIND_NUMBER,
    LETTER = 1 << VLM_KIND_UPPER | 1 << VLM_KIND_LOWER | 1 << VLM_KIND_LETTER,
    EITHER = 1 << VLM_KIND_LETTER | 1 << VLM_KIND_MARK, /* counts as upper and as lower case */
    UPPER = 1 << VLM_KIND_UPPER | EITHER,
    LOWER = 1 << VLM_KIND_LOWER | EITHER,
};

/* The kind of the character at p, as a mask; 0 at the end. */
static inline unsigned kind_at(const uint8_t *p, const uint8_t *end, size_t *bytes)
{
    *bytes = 0;
    return p < end ? 1u << vlm_char_kind_at(p, end, bytes) : 0;
}

/* The end of a run of characters of these kinds. */
static inline const uint8_t *run(const uint8_t *p, const uint8_t *end, unsigned kinds)
{
    size_t bytes;
    while (kind_at(p, end, &bytes) & kinds)
        p += bytes;
    return p;
}

/* The end of a run of ASCII letters; may stop early. */
static inline const uint8_t *ascii_letters(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
    while (end - p >= 16) {
        __m128i lower = _mm_or_si128(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8(0x20));
        /* Letters, and no other bytes, become -128 .. -103. */
        __m128i from_a = _mm_add_epi8(lower, _mm_set1_epi8((char)(0x80 - 'a')));
        unsigned letters =
            (unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(from_a, _mm_set1_epi8(-128 + 26)));
        if (letters != 0xffff)
            return p + __builtin_ctz(~letters);
        p += 16;
    }
#else
    while (p < end && (*p | 0x20) >= 'a' && (*p | 0x20) <= 'z')
        p++;
#endif
    return p;
}

/* \p{L}* */
static inline const uint8_t *letters(const uint8_t *p, const uint8_t *end)
{
    p = ascii_letters(p, end);
    if (p < end && (*p >= 0x80 || end - p < 16))
        p = run(p, end, LETTER);
    return p;
}

enum { ANY_CASE = true, SAME_CASE = false };

/* Bytes of 's 't 'm 'd 'll 've 're at p, or 0. Of all letters these have, only s has a third
 * spelling when case does not count: U+017F. */
static inline size_t contraction(const uint8_t *p, const uint8_t *end, bool any_case)
{
    if (end - p < 2 || p[0] != '\'')
        return 0;
    uint8_t fold = any_case ? 0x20 : 0;
    uint8_t a = p[1] | fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if (end - p < 3)
        return 0;
    if (any_case && p[1] == 0xc5 && p[2] == 0xbf)
        return 3;
    uint8_t b = p[2] | fold;
    return (a == 'l' && b == 'l') || (a == 'v' && b == 'e') || (a == 'r' && b == 'e') ? 3 : 0;
}

/* \s+(?!\S)|\s+: a run of white space; what stands behind it gets the last character unless that
 * is the only one. */
static const uint8_t *spaces(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *start = p, *last = p;
    size_t bytes;
    while (kind_at(p, end, &bytes) & SPACE) {
        last = p;
        p += bytes;
    }
    return p < end && last > start ? last : p;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static inline const uint8_t *gpt2(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *body = p + (*p == ' ');
    const uint8_t *behind = ascii_letters(body, end);
    if (behind > body && behind < end && *behind < 0x80 && end - behind >= 16)
        return behind; /* the usual word */
    size_t bytes = contraction(p, end, SAME_CASE);
    if (bytes)
        return p + bytes;
    unsigned kind = kind_at(body, end, &bytes);
    if (kind & LETTER)
        return letters(body + bytes, end);
    if (kind & NUMBER)
        return run(body + bytes, end, NUMBER);
    if (kind & OTHER)
        return run(body + bytes, end, OTHER);
    return spaces(p, end);
}

/* 's|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+, and runs of white space */
static const uint8_t *clip(const uint8_t *p, const uint8_t *end, bool any_case)
{
    size_t bytes = contraction(p, end, any_case);
    if (bytes)
        return p + bytes;
    unsigned kind = kind_at(p, end, &bytes);
    p += bytes;
    if (kind & LETTER)
        return letters(p, end);
    if (kind & NUMBER)
        return p;
    return run(p, end, kind & OTHER ? (unsigned)OTHER : (unsigned)SPACE);
}

/* \p{N}{1,max} behind the first. */
static const uint8_t *numbers(const uint8_t *p, const uint8_t *end, unsigned max)
{
    size_t bytes;
    for (unsigned n = 1; n < max && kind_at(p, end, &bytes) & NUMBER; n++)
        p += bytes;
    return p;
}

static inline bool is_line_end(uint8_t byte)
{
    return byte == '\r' || byte == '\n';
}

/* \s*[\r\n]+|\s+(?!\S)|\s+: up to the last line end of the run; without one, as spaces(). With
 * end_first \s++$ is tried in front of it. */
static const uint8_t *spaces_by_lines(const uint8_t *p, const uint8_t *end, bool end_first)
{
    const uint8_t *start = p, *last = p, *line = NULL;
    size_t bytes;
    while (kind_at(p, end, &bytes) & SPACE) {
        last = p;
        p += bytes;
        if (is_line_end(*last))
            line = p;
    }
    if (line && !(end_first && p == end))
        return line;
    return p < end && last > start ? last : p;
}

/*  ?[^\s\p{L}\p{N}]+[\r\n]* at p, or NULL; O200K has a slash among the line ends. */
static inline const uint8_t *others(const uint8_t *p, const uint8_t *end, bool slash)
{
    size_t bytes;
    p += *p == ' ';
    if (!(kind_at(p, end, &bytes) & OTHER))
        return NULL;
    p = run(p + bytes, end, OTHER);
    while (p < end && (is_line_end(*p) || (slash && *p == '/')))
        p++;
    return p;
}

/* (?i:'s|..)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,max}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static inline const uint8_t *cl100k(const uint8_t *p, const uint8_t *end, unsigned max,
                                    bool end_first)
{
    const uint8_t *behind = ascii_letters(p + (*p == ' '), end);
    if (behind > p + 1 && behind < end && *behind < 0x80 && end - behind >= 16)
        return behind; /* the usual word */
    size_t bytes = contraction(p, end, ANY_CASE), more;
    if (bytes)
        return p + bytes;
    unsigned kind = kind_at(p, end, &bytes);
    if (kind & LETTER)
        return letters(p + bytes, end);
    if (kind & NUMBER)
        return numbers(p + bytes, end, max);
    if (!is_line_end(*p) && kind_at(p + bytes, end, &more) & LETTER)
        return letters(p + bytes + more, end);
    const uint8_t *other = others(p, end, false);
    return other ? other : spaces_by_lines(p, end, end_first);
}

/* The word of O200K that begins at p behind its optional first character, or NULL: first
 *   [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+
 * that is upper case and then at least one of lower case, where the upper case gives back characters
 * that are either until it fits; then (with_upper) the same with at least one of upper case. */
static const uint8_t *cased_word(const uint8_t *p, const uint8_t *end, bool with_upper)
{
    const uint8_t *start = p, *either = NULL;
    size_t bytes;
    unsigned kind;
    while ((kind = kind_at(p, end, &bytes)) & UPPER) {
        p += bytes;
        if (kind & EITHER)
            either = p;
    }
    if (kind & LOWER)
        return run(p + bytes, end, LOWER);
    if (either)
        return either;
    return with_upper && p > start ? p : NULL;
}

/* [^\r\n\p{L}\p{N}]?WORD(?i:'s|..)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * with the two kinds of WORD of cased_word(), each tried with the first character and without. */
static const uint8_t *o200k(const uint8_t *p, const uint8_t *end)
{
    size_t bytes;
    unsigned kind = kind_at(p, end, &bytes);
    const uint8_t *word = NULL;
    if (kind & NUMBER)
        return numbers(p + bytes, end, 3);
    if (kind & LETTER) {
        word = cased_word(p, end, true);
    } else if (!is_line_end(*p)) {
        bool mark = kind & EITHER; /* a first character, or part of the word: lower case at least */
        word = cased_word(p + bytes, end, !mark);
        if (!word && mark)
            word = cased_word(p, end, true);
    }
    if (word)
        return word + contraction(word, end, ANY_CASE);
    const uint8_t *other = others(p, end, true);
    return other ? other : spaces_by_lines(p, end, false);
}

/* Parts that spellings share. */
#define WORDS_GPT2   " ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define TAIL_LLAMA3  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define WORD_O200K   "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER_O200K  "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

static const struct {
    enum vlm_split split;
    const char *pattern;
} spellings[] = {
    { VLM_SPLIT_GPT2, CONTRACTIONS "|" WORDS_GPT2 },
    { VLM_SPLIT_GPT2, "'(?:[sdmt]|ll|ve|re)|" WORDS_GPT2 },
    { VLM_SPLIT_GPT2, "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|"
                      "\\s++$|\\s+(?!\\S)|\\s" },
    { VLM_SPLIT_CLIP_CASED, CONTRACTIONS "|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
    { VLM_SPLIT_CLIP, "(?i:" CONTRACTIONS ")|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
    { VLM_SPLIT_CL100K,
      "(?i:" CONTRACTIONS ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" TAIL_LLAMA3 },
    { VLM_SPLIT_CL100K, "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}|"
                        " ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+" },
    { VLM_SPLIT_CL100K_TIKTOKEN,
      "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+|"
      " ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s" },
    { VLM_SPLIT_QWEN2, "(?i:" CONTRACTIONS ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" TAIL_LLAMA3 },
    { VLM_SPLIT_O200K,
      WORD_O200K "*" LOWER_O200K "+(?i:" CONTRACTIONS ")?|" WORD_O200K "+" LOWER_O200K
                 "*(?i:" CONTRACTIONS ")?|\\p{N}{1,3}|"
                 " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" },
};

int vlm_split_find(const char *pattern, size_t n)
{
    for (size_t i = 0; i < VLM_COUNTOF(spellings); i++)
        if (n == strlen(spellings[i].pattern) && !memcmp(pattern, spellings[i].pattern, n))
            return (int)spellings[i].split;
    return -1;
}

size_t vlm_split_next(enum vlm_split split, const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + n;
    switch (split) {
    case VLM_SPLIT_NONE:
        break;
    case VLM_SPLIT_GPT2:
        return (size_t)(gpt2(p, end) - p);
    case VLM_SPLIT_CLIP:
        return (size_t)(clip(p, end, ANY_CASE) - p);
    case VLM_SPLIT_CLIP_CASED:
        return (size_t)(clip(p, end, SAME_CASE) - p);
    case VLM_SPLIT_CL100K:
        return (size_t)(cl100k(p, end, 3, false) - p);
    case VLM_SPLIT_CL100K_TIKTOKEN:
        return (size_t)(cl100k(p, end, 3, true) - p);
    case VLM_SPLIT_QWEN2:
        return (size_t)(cl100k(p, end, 1, false) - p);
    case VLM_SPLIT_O200K:
        return (size_t)(o200k(p, end) - p);
    }
    return n;
}

bool vlm_split_is_space(const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t bytes;
    return kind_at(p, p + n, &bytes) & SPACE;
}
