/* split.h - cutting text into the pieces inside which merges happen, by hand-written scanners.
 *
 *   while (n) {
 *       size_t piece = vlm_split_next(VLM_SPLIT_GPT2, text, n);   // 1 to n bytes
 *       ...
 *       text += piece, n -= piece;
 *   }
 *
 * Each scanner does what one published regular expression does; tests compare them with PCRE2 and with the
 * packages tiktoken and tokenizers. Bytes that are not UTF-8 are characters of their own, neither letter,
 * number nor space. Linear, stateless, any thread. */
#ifndef VLM_TOKENIZE_SPLIT_H
#define VLM_TOKENIZE_SPLIT_H

#include "base/vlm.h"

enum vlm_split {
    VLM_SPLIT_NONE, /* the whole text is one piece */
    VLM_SPLIT_GPT2, /* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
    VLM_SPLIT_CLIP, /* (?i:'s|..)|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+; white space is in no piece */
    VLM_SPLIT_CL100K,          /* Llama 3: (?i:'s|..)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
                         ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|.. */
    VLM_SPLIT_QWEN2,           /* as CL100K with \p{N} one at a time */
    VLM_SPLIT_O200K,           /* GPT-4o */
    VLM_SPLIT_CLIP_CASED,      /* tokenizer.json of CLIP: as CLIP without (?i:) */
    VLM_SPLIT_CL100K_TIKTOKEN, /* as CL100K, but white space at the end of the text is one piece
                                  even when there are line ends in it: \s++$|\s*[\r\n]|.. */
};

/* The scanner of a regular expression as published (several spellings of one are known), or -1. */
int vlm_split_find(const char *pattern, size_t n);

/* Bytes of the piece at text; n > 0. For VLM_SPLIT_CLIP a run of white space is a piece that the caller
 * drops (vlm_split_is_space says so). */
size_t vlm_split_next(enum vlm_split split, const char *text, size_t n);
bool vlm_split_is_space(const char *text, size_t n);

#endif
