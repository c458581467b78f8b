/* show.h - one document for people: what vlm-inspect show gathers, and the two ways to draw it. */
#ifndef VLM_TOOLS_SHOW_H
#define VLM_TOOLS_SHOW_H

#include "base/buffer.h"
#include "tokenize/document.h"
#include "vqgan/tokenizer/tokenizer.h"

/* A picture of the document: as stored, and as its codes give it back. */
struct vlm_shown_image {
    uint8_t *original;   /* [256][256][3], or NULL: not kept, or not usable */
    const uint8_t *jpeg; /* original as it is stored */
    size_t jpeg_size;
    uint8_t *decoded; /* [256][256][3], or NULL: no codes, or no tokenizer for them */
    double psnr;      /* of decoded against original, dB; when both are there */
    unsigned used;    /* different codes among the 256 */
};

/* Text, and then, unless it is the last piece, an image. */
struct vlm_shown_piece {
    size_t start, length; /* in text */
    size_t image;         /* index; SIZE_MAX: none */
};

struct vlm_shown {
    const struct vlm_document *document;
    struct vlm_buffer text; /* UTF-8; control characters of the page are still in it */
    struct vlm_shown_piece *pieces;
    size_t n_pieces;
    struct vlm_shown_image *images; /* [document->n_images] */
    const char *tokenizer;          /* id of the codes; NULL: the set has none */
    bool foreign;                   /* there are codes, but the tokenizer for them is not at hand */
};

struct vlm_show_style {
    unsigned width; /* columns */
    bool colour;    /* 24-bit colours; else letters of different darkness */
};

/* Appends the document as text with pictures made of characters, two side by side. */
VLM_MUST_CHECK int vlm_show_text(struct vlm_buffer *out, const struct vlm_shown *shown,
                                 const struct vlm_show_style *style, struct vlm_err *err);

/* Appends a page of HTML that needs no other file. */
VLM_MUST_CHECK int vlm_show_html(struct vlm_buffer *out, const struct vlm_shown *shown,
                                 struct vlm_err *err);

/* "image 3: jpeg, 640 x 480" and what is known of its codes, for both. */
void vlm_show_caption(struct vlm_buffer *out, const struct vlm_shown *shown, size_t image);

#endif
