/* toy_world.h - the world "shapes-v1": pictures of 32 x 32 pixels, their 16 codes, their captions of 9 words,
 * and documents of both as ids.
 *
 * One object on black with noise: 2 sizes, 6 colours, 4 shapes, top or bottom, left or right, all equally
 * likely: 192 captions. So a caption has exactly ln 192 = 5.257 nats for who does not see the picture, its
 * colour ln 6 = 1.792, its shape ln 4, the rest ln 2 each: no model that ignores the picture gets below, and
 * one that does get below without it has seen what it must not see. */
#ifndef VLM_TOOLS_TOY_WORLD_H
#define VLM_TOOLS_TOY_WORLD_H

#include "base/random.h"
#include "nn/engine.h"
#include "tokenize/sequence/sequence.h"

enum {
    TOY_SIDE = 32,
    TOY_VALUES = TOY_SIDE * TOY_SIDE * 3,
    TOY_PATCH = 8,
    TOY_CODES = 16, /* of a picture: 4 x 4 patches */
    TOY_BOOK = 64,  /* codes in all */
    TOY_FEATURES = 15,
    TOY_CAPTIONS = 192,
    TOY_CAPTION = 9,   /* words */
    TOY_DOCUMENT = 29, /* ids, without begin and end */
};

/* Ids: control tokens, masks, words, then codes. */
enum toy_id {
    TOY_PAD,
    TOY_END, /* </s>, in front of a document and behind it */
    TOY_END_OF_SPAN,
    TOY_MASK_0, /* 16 of them */
    TOY_IMG = TOY_MASK_0 + 16,
    TOY_ALT,   /* alt=" */
    TOY_SRC,   /* src=" */
    TOY_TITLE, /* title=" */
    TOY_CLOSE, /* "> */
    TOY_A,
    TOY_AT,
    TOY_THE,
    TOY_STOP,
    TOY_SIZE,
    TOY_COLOUR = TOY_SIZE + 2,
    TOY_SHAPE = TOY_COLOUR + 6,
    TOY_VERTICAL = TOY_SHAPE + 4,
    TOY_HORIZONTAL = TOY_VERTICAL + 2,
    TOY_FIRST_CODE = TOY_HORIZONTAL + 2,
    TOY_IDS = TOY_FIRST_CODE + TOY_BOOK,
};

/* Places of the words of an attribute in a caption, in this order. */
enum toy_attribute {
    TOY_OF_SIZE,
    TOY_OF_COLOUR,
    TOY_OF_SHAPE,
    TOY_OF_VERTICAL,
    TOY_OF_HORIZONTAL,
    TOY_ATTRIBUTES
};
extern const uint8_t toy_word_of[TOY_ATTRIBUTES];

/* "a small red circle at the top left ." of caption number 0 to 191. */
void toy_caption(uint32_t words[TOY_CAPTION], unsigned caption);

/* rgb [32][32][3], from 0 to 1 but for the noise. */
void toy_draw(float *rgb, unsigned caption, struct vlm_random *random);

/* The codebook: black, and k-means over the means of other patches and of their quarters. */
struct toy_book {
    float centres[TOY_BOOK * TOY_FEATURES];
};
VLM_MUST_CHECK int toy_book_make(struct toy_book *book, const struct vlm_engine *engine,
                                 const float *pictures, size_t n, uint64_t seed,
                                 struct vlm_err *err);
void toy_encode(uint32_t codes[TOY_CODES], const struct toy_book *book, const float *rgb);

/* alt: <img alt="CAPTION" src="CODES">; title: <img src="CODES" title="CAPTION">. */
enum toy_form { TOY_FORM_ALT, TOY_FORM_TITLE };
void toy_document(uint32_t ids[TOY_DOCUMENT], enum toy_form form, unsigned caption,
                  const uint32_t codes[TOY_CODES]);
/* Where caption and codes begin in it. */
size_t toy_caption_at(enum toy_form form);
size_t toy_codes_at(enum toy_form form);

/* What vlm_mask_apply() needs to know of these ids. */
void toy_vocabulary(struct vlm_vocabulary *vocabulary);

#endif
