/* sample_lines.h - what a trainer sees of a document, as a line of JSON for programs or as coloured text for
 * people. */
#ifndef VLM_TOOLS_SAMPLE_LINES_H
#define VLM_TOOLS_SAMPLE_LINES_H

#include "base/json.h"
#include "tokenize/sequence/sample.h"

/* What both are made of. */
struct vlm_shown_sample {
    const struct vlm_document *document;
    const uint8_t *id; /* [16] */
    const struct vlm_vocabulary *vocabulary;
    const struct vlm_sample *sample;
};

/* Appends a line of JSON: id, tokens, ids, weights, images, block, modality, and of windows phi and next. */
void vlm_sample_json(struct vlm_buffer *out, const struct vlm_shown_sample *shown);

struct vlm_sample_style {
    unsigned width; /* columns */
    bool colour;    /* of a terminal with 256 colours */
    bool tokens;    /* a dot between tokens */
};

/* Appends the sample for people: a head of two lines, then the text in paragraphs with a gutter, a masked
 * span in one of its own. */
void vlm_sample_show(struct vlm_buffer *out, const struct vlm_shown_sample *shown,
                     const struct vlm_sample_style *style);

/* Appends what the colours and signs of vlm_sample_show() mean. */
void vlm_sample_legend(struct vlm_buffer *out, enum vlm_sample_kind kind,
                       const struct vlm_sample_style *style);

#endif
