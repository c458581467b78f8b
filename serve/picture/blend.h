/* blend.h - putting the pixels of a picture back around what was drawn anew in it. */
#ifndef VLM_SERVE_BLEND_H
#define VLM_SERVE_BLEND_H

#include "vqgan/tokenizer/tokenizer.h"

enum { VLM_BLEND_PIXELS = 32 }; /* width of the seam around what is drawn anew */

/* drawn and square: [256][256][3]; mask: [16][16], not 0 for cells that were drawn anew. Codes outside the mask are
 * those of square, but its pixels come back from a decoder with a loss, and near the mask with some of what is in it,
 * since receptive fields overlap. So a pixel at distance d of the nearest cell of the mask (Euclid's, in pixels)
 * becomes w drawn + (1 - w) square, with t = d / VLM_BLEND_PIXELS and w = 1 - 3 t^2 + 2 t^3 below t = 1, else 0: all
 * of drawn inside the mask, exactly square from VLM_BLEND_PIXELS on. */
void vlm_blend(uint8_t *drawn, const uint8_t *square, const uint8_t mask[VLM_CODES]);

/* Cells of the grid that have any pixel with at least `least` in the first channel of square [256][256][3]: cells
 * [16][16] becomes 1 or 0. Returns how many. */
size_t vlm_mask_cells(uint8_t cells[VLM_CODES], const uint8_t *square, unsigned least);

#endif
