/* sheet.h - a contact sheet: originals above reconstructions, as one PNG. */
#ifndef VLM_VQGAN_SHEET_H
#define VLM_VQGAN_SHEET_H

#include "vqgan/image/image.h"

/* rows x cols squares of 256 x 256 pixels, one behind the other in reading order, at full size with a
 * white margin between them; whole or absent. */
VLM_MUST_CHECK int vlm_sheet_write(const char *path, const uint8_t *squares, size_t rows,
                                   size_t cols, struct vlm_err *err);

#endif
