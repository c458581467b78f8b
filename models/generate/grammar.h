/* grammar.h - where in a page a sequence is, token by token, and what may come next.
 *
 *   vlm_grammar_init(&grammar, vocabulary);
 *   for (size_t i = 0; i < n; i++)
 *       vlm_grammar_feed(&grammar, ids[i]);
 *   enum vlm_allowed allowed = vlm_grammar_allowed(&grammar, NULL, &may_end);
 *
 * The rules are those of segment.h, read from left to right: the pieces of text tokens are walked byte by
 * byte, so that a model which writes <img alt="..." src=" by itself is seen to have opened an image.
 * Where segment.h looks ahead (a value counts as codes only when all of it is), the grammar decides at the
 * first token: in a src that begins with a code there are codes, in another there are none. */
#ifndef VLM_MODELS_GRAMMAR_H
#define VLM_MODELS_GRAMMAR_H

#include "tokenize/sequence/vocabulary.h"

enum vlm_grammar_place {
    VLM_PLACE_OUTSIDE, /* of tags */
    VLM_PLACE_LESS,    /* behind a "<" */
    VLM_PLACE_CLOSING, /* behind "</" */
    VLM_PLACE_NAME,    /* in a tag's name that may become "img" */
    VLM_PLACE_TAG,
    VLM_PLACE_VALUE,     /* of an attribute that holds no codes */
    VLM_PLACE_IMAGE,     /* in the src of an img: nothing yet, or codes */
    VLM_PLACE_NOT_CODES, /* in the src of an img that is text */
};

struct vlm_grammar {
    const struct vlm_vocabulary *vocabulary; /* borrowed */
    enum vlm_grammar_place place;
    bool img;        /* the tag is that of an img */
    uint8_t matched; /* PLACE_NAME: bytes of "img" so far */
    uint32_t codes;  /* PLACE_IMAGE */
    char last[5];    /* bytes before, in a tag; last[4] is the nearest */
};

void vlm_grammar_init(struct vlm_grammar *grammar, const struct vlm_vocabulary *vocabulary);

/* One token of the sequence. Masks change nothing: their spans are fed in their place. */
void vlm_grammar_feed(struct vlm_grammar *grammar, uint32_t id);

/* Bytes of markup, without tokens and codes. */
void vlm_grammar_text(struct vlm_grammar *grammar, const char *text, size_t n);

/* Whether a text token would begin an img, or the src of one. */
bool vlm_grammar_opens_image(const struct vlm_grammar *grammar, uint32_t id);

/* What stands around a mask, from whose place on tokens are to be drawn. */
struct vlm_hole {
    bool inside;          /* of an image: only codes are drawn */
    uint32_t begin;       /* codes in front of it */
    uint32_t behind;      /* codes directly behind it */
    bool quote;           /* a quote is directly behind it */
    uint32_t least, most; /* inside: codes that it stands for; they differ when other masks stand in
                             the same image */
};

/* grammar: fed with all in front of the mask. ids: what is behind it in the prompt. */
struct vlm_hole vlm_grammar_hole(const struct vlm_grammar *grammar, const uint32_t *ids, size_t n);

enum vlm_allowed {
    VLM_ALLOW_NOTHING, /* but the end */
    VLM_ALLOW_CODES,
    VLM_ALLOW_QUOTE, /* text that begins with a quote: the end of an image's src */
    VLM_ALLOW_TEXT,  /* anything but codes */
};

/* hole: the mask that is being filled, or NULL when a text is continued. *may_end: whether <eoss>, or
 * </s> of a continuation, may come. */
enum vlm_allowed vlm_grammar_allowed(const struct vlm_grammar *grammar, const struct vlm_hole *hole,
                                     bool *may_end);

/* Whether a text token begins with a double quote. */
bool vlm_grammar_is_quote(const struct vlm_vocabulary *vocabulary, uint32_t id);

#endif
