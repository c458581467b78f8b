/* blend.c - region edits: the seam between old pixels and new ones; masks of pixels as cells of the grid. */
#include "base/vlm.h"

#include "serve/picture/blend.h"

#include <math.h>

enum { CELL = VLM_SQUARE_SIDE / VLM_CODES_SIDE, REACH = VLM_BLEND_PIXELS / CELL + 1 };

static int gap(int x, int cell)
{
    const int first = cell * CELL, last = first + CELL - 1;
    return x < first ? first - x : x > last ? x - last : 0;
}

/* Square of the distance to the nearest cell of the mask, or one that is far enough away. */
static int distance_squared(const uint8_t *mask, int x, int y)
{
    int best = VLM_BLEND_PIXELS * VLM_BLEND_PIXELS;
    for (int row = VLM_MAX(0, y / CELL - REACH);
         row <= VLM_MIN(VLM_CODES_SIDE - 1, y / CELL + REACH); row++)
        for (int column = VLM_MAX(0, x / CELL - REACH);
             column <= VLM_MIN(VLM_CODES_SIDE - 1, x / CELL + REACH); column++) {
            if (!mask[row * VLM_CODES_SIDE + column])
                continue;
            const int down = gap(y, row), across = gap(x, column);
            best = VLM_MIN(best, down * down + across * across);
        }
    return best;
}

void vlm_blend(uint8_t *drawn, const uint8_t *square, const uint8_t mask[VLM_CODES])
{
    for (int y = 0; y < VLM_SQUARE_SIDE; y++)
        for (int x = 0; x < VLM_SQUARE_SIDE; x++) {
            const int squared = distance_squared(mask, x, y);
            const float t = sqrtf((float)squared) / VLM_BLEND_PIXELS;
            const float w = 1 - t * t * (3 - 2 * t);
            const size_t at = (size_t)(y * VLM_SQUARE_SIDE + x) * 3;
            for (size_t c = 0; c < 3; c++)
                drawn[at + c] =
                    (uint8_t)(w * (float)drawn[at + c] + (1 - w) * (float)square[at + c] + 0.5F);
        }
}

size_t vlm_mask_cells(uint8_t cells[VLM_CODES], const uint8_t *square, unsigned least)
{
    size_t n = 0;
    memset(cells, 0, VLM_CODES);
    for (size_t y = 0; y < VLM_SQUARE_SIDE; y++)
        for (size_t x = 0; x < VLM_SQUARE_SIDE; x++)
            if (square[(y * VLM_SQUARE_SIDE + x) * 3] >= least)
                cells[y / CELL * VLM_CODES_SIDE + x / CELL] = 1;
    for (size_t i = 0; i < VLM_CODES; i++)
        n += cells[i];
    return n;
}
