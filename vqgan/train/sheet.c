/* sheet.c - squares side by side on white, written as one PNG. */
#include "base/vlm.h"

#include "base/file.h"
#include "vqgan/train/sheet.h"

enum { MARGIN = 8, ROW_BYTES = VLM_SQUARE_SIDE * 3 };

static size_t extent(size_t squares)
{
    return squares * (VLM_SQUARE_SIDE + MARGIN) + MARGIN;
}

int vlm_sheet_write(const char *path, const uint8_t *squares, size_t rows, size_t cols,
                    struct vlm_err *err)
{
    VLM_BUG_IF(rows == 0 || cols == 0 || rows > 1000 || cols > 1000);
    size_t width = extent(cols), height = extent(rows);
    struct vlm_buffer png = { 0 };
    uint8_t *sheet = malloc(width * height * 3);
    if (!sheet)
        return vlm_fail(err, VLM_ENOMEM, "%s: no memory for a sheet of %zux%zu squares", path, cols,
                        rows);
    memset(sheet, 255, width * height * 3);
    for (size_t i = 0; i < rows * cols; i++) {
        size_t left = extent(i % cols), top = extent(i / cols);
        for (size_t y = 0; y < VLM_SQUARE_SIDE; y++)
            memcpy(sheet + ((top + y) * width + left) * 3,
                   squares + (i * VLM_SQUARE_SIDE + y) * ROW_BYTES, ROW_BYTES);
    }
    int rc = vlm_rgb_to_png(&png, sheet, (uint32_t)width, (uint32_t)height, err);
    if (rc == VLM_OK)
        rc = vlm_file_write(path, png.data, png.size, err);
    vlm_buffer_release(&png);
    free(sheet);
    return rc;
}
