/* segment.h - a rendering, or a string that somebody wrote, cut where the modality changes.
 *
 *   struct vlm_segmenter segmenter = { .text = text, .n = n, .markup = true, .n_codes = 1024 };
 *   struct vlm_segment segment;
 *   while (vlm_segment_next(&segmenter, &segment))
 *       ... text[segment.start] to text[segment.end] ...
 *
 * The segments of ordinary text and of markup tile the string but for the control words, codes and
 * images between them. Any bytes are taken: what is no tag is text. One pass, no memory. The rules
 * stand in schemas/sequence.md. */
#ifndef VLM_TOKENIZE_SEGMENT_H
#define VLM_TOKENIZE_SEGMENT_H

#include "tokenize/sequence/vocabulary.h"

enum vlm_segment_kind {
    VLM_SEGMENT_TEXT,
    VLM_SEGMENT_MARKUP,  /* what of a tag is no language; begins with "<" where the tag does */
    VLM_SEGMENT_CONTROL, /* number: of the word, as vlm_vocabulary_word() counts */
    VLM_SEGMENT_IMAGE,   /* <image:N> of a rendering; number: N */
    VLM_SEGMENT_CODES,   /* decimal numbers, one space between; number: how many */
};

struct vlm_segment {
    enum vlm_segment_kind kind;
    uint32_t start, end; /* bytes of the string */
    uint32_t number;
};

/* What to read and how; the members behind "state" begin as 0. */
struct vlm_segmenter {
    const char *text; /* borrowed */
    size_t n;         /* below 4 GiB */
    bool markup;      /* tags; else all is text with words */
    bool words;   /* control words count; in markup but for <s> and </s>, which are tags there */
    bool partial; /* codes may be less than 256 where a <mask:N> is among them or the text ends */
    bool images;  /* <image:N> stands for an image */
    /* Control words count only where they begin at one of these offsets, which ascend. NULL: everywhere. */
    const uint32_t *places;
    size_t n_places;
    uint32_t n_codes; /* numbers from here on are no codes */
    uint32_t n_masks; /* likewise <mask:N> */

    /* state */
    uint8_t state;
    bool img;         /* the tag is that of an img */
    size_t at;        /* everything before it has been given out */
    size_t value_end; /* of the attribute's value that at is in */
};

/* The next segment, never empty; false at the end of the text. */
bool vlm_segment_next(struct vlm_segmenter *segmenter, struct vlm_segment *segment);

/* Reads a decimal number without sign or leading zeros, below limit, at most n bytes; returns
 * its bytes, 0: there is none. */
size_t vlm_segment_number(const char *text, size_t n, uint32_t limit, uint32_t *number);

#endif
