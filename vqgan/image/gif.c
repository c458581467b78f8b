/* gif.c - the first frame of a GIF through giflib, on a white screen.
 *
 * Reads records up to the first image and stops there. The frame is clipped to the logical screen;
 * what it does not cover, and transparent pixels, are white. A frame that ends before its last
 * visible row refuses the image. */
#include "base/vlm.h"

#include "base/limits.h"
#include "vqgan/image/decoders.h"

#include <gif_lib.h>

enum { GIF_SCREEN = 13, GRAPHICS_CONTROL = 0xf9 };

struct source {
    const uint8_t *bytes;
    size_t n, at;
};

static int read_source(GifFileType *gif, GifByteType *to, int n)
{
    struct source *source = gif->UserData;
    size_t part = VLM_MIN((size_t)VLM_MAX(n, 0), source->n - source->at);
    memcpy(to, source->bytes + source->at, part);
    source->at += part;
    return (int)part;
}

/* Pillow calls a GIF grey when its global palette is absent or counts up. */
static enum vlm_image_mode mode_of(const uint8_t *bytes, size_t n)
{
    if (!(bytes[10] & 0x80))
        return VLM_MODE_L;
    size_t entries = (size_t)2 << (bytes[10] & 7);
    for (size_t i = 0; i < 3 * entries && GIF_SCREEN + i < n; i++)
        if (bytes[GIF_SCREEN + i] != i / 3)
            return VLM_MODE_P;
    return VLM_MODE_L;
}

void vlm_probe_gif(struct vlm_image_info *info, const uint8_t *bytes, size_t n)
{
    if (n < GIF_SCREEN) {
        vlm_image_refuse(info, VLM_IMAGE_TRUNCATED, "GIF file ends in its header");
        return;
    }
    info->width = (uint32_t)(bytes[6] | bytes[7] << 8);
    info->height = (uint32_t)(bytes[8] | bytes[9] << 8);
    info->mode = mode_of(bytes, n);
    vlm_image_size_fits(info, info->width, info->height, VLM_IMAGE_PIXELS_MAX);
}

static enum vlm_image_status status_of_code(int code)
{
    switch (code) {
    case D_GIF_ERR_READ_FAILED:
    case D_GIF_ERR_EOF_TOO_SOON:
        return VLM_IMAGE_TRUNCATED;
    case D_GIF_ERR_NOT_ENOUGH_MEM:
        return VLM_IMAGE_OUT_OF_MEMORY;
    default:
        return VLM_IMAGE_CORRUPT;
    }
}

static bool refuse_damage(const struct vlm_decode *decode, int code)
{
    const char *sentence = GifErrorString(code);
    vlm_image_refuse(&decode->image->info, status_of_code(code), "damaged GIF image: %s",
                     sentence ? sentence : "unknown error");
    return false;
}

/* Reads one extension; a graphics control block sets the transparent index. */
static bool read_extension(GifFileType *gif, int *transparent)
{
    GifByteType *block;
    int function;
    if (DGifGetExtension(gif, &function, &block) == GIF_ERROR)
        return false;
    while (block) {
        GraphicsControlBlock control;
        if (function == GRAPHICS_CONTROL && block[0] == 4 &&
            DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK)
            *transparent = control.TransparentColor;
        if (DGifGetExtensionNext(gif, &block) == GIF_ERROR)
            return false;
    }
    return true;
}

/* Reads up to the descriptor of the first image. */
static bool find_frame(const struct vlm_decode *decode, GifFileType *gif, int *transparent)
{
    for (;;) {
        GifRecordType type;
        if (DGifGetRecordType(gif, &type) == GIF_ERROR)
            return refuse_damage(decode, gif->Error);
        if (type == IMAGE_DESC_RECORD_TYPE) {
            if (DGifGetImageDesc(gif) == GIF_ERROR)
                return refuse_damage(decode, gif->Error);
            return true;
        }
        if (type != EXTENSION_RECORD_TYPE) {
            vlm_image_refuse(&decode->image->info, VLM_IMAGE_CORRUPT, "GIF file without an image");
            return false;
        }
        if (!read_extension(gif, transparent))
            return refuse_damage(decode, gif->Error);
    }
}

/* The frame's row that comes k-th in the file. */
static size_t row_of(const GifImageDesc *frame, size_t k)
{
    static const struct {
        size_t first, step;
    } passes[] = { { 0, 8 }, { 4, 8 }, { 2, 4 }, { 1, 2 } };
    size_t height = (size_t)frame->Height;
    if (!frame->Interlace)
        return k;
    for (size_t pass = 0; pass < VLM_COUNTOF(passes); pass++) {
        size_t first = passes[pass].first, step = passes[pass].step;
        size_t rows = height > first ? (height - first + step - 1) / step : 0;
        if (k < rows)
            return first + k * step;
        k -= rows;
    }
    return height; /* not reached: the passes cover all rows */
}

struct colours {
    uint8_t rgb[256][3];
};

/* An index without a colour is the grey of its number, as in Pillow. */
static void load_colours(struct colours *colours, const GifFileType *gif, int transparent)
{
    const ColorMapObject *map = gif->Image.ColorMap ? gif->Image.ColorMap : gif->SColorMap;
    for (int i = 0; i < 256; i++) {
        bool given = map && i < map->ColorCount;
        colours->rgb[i][0] = given ? map->Colors[i].Red : (uint8_t)i;
        colours->rgb[i][1] = given ? map->Colors[i].Green : (uint8_t)i;
        colours->rgb[i][2] = given ? map->Colors[i].Blue : (uint8_t)i;
    }
    if (transparent >= 0 && transparent < 256)
        memset(colours->rgb[transparent], 255, 3);
}

/* A row of the frame onto the screen: colours, or with one channel the stored numbers. */
static void paint_row(const struct vlm_image *image, const struct colours *colours,
                      const uint8_t *row, const GifImageDesc *frame, size_t y)
{
    size_t left = (size_t)frame->Left;
    if (y >= image->height || left >= image->width)
        return;
    size_t columns = VLM_MIN((size_t)frame->Width, image->width - left);
    uint8_t *to = image->samples + (y * image->width + left) * image->channels;
    if (image->channels == 1)
        memcpy(to, row, columns);
    else
        for (size_t x = 0; x < columns; x++)
            memcpy(to + 3 * x, colours->rgb[row[x]], 3);
}

static bool decode_frame(const struct vlm_decode *decode, GifFileType *gif, int transparent)
{
    const GifImageDesc *frame = &gif->Image;
    struct vlm_image *image = decode->image;
    struct vlm_image_info *info = &image->info;
    if (!vlm_image_size_fits(info, (uint64_t)frame->Width, (uint64_t)frame->Height,
                             VLM_IMAGE_PIXELS_MAX))
        return false;
    uint8_t *row = vlm_arena_alloc(decode->arena, (size_t)frame->Width, 1);
    bool numbers = decode->options->as_stored && info->mode == VLM_MODE_L;
    if (!row || !vlm_image_make_samples(decode, info->width, info->height, numbers ? 1 : 3)) {
        vlm_image_refuse(info, VLM_IMAGE_OUT_OF_MEMORY, "no memory for the frame");
        return false;
    }
    struct colours colours;
    load_colours(&colours, gif, transparent);
    memset(image->samples, 255, (size_t)image->width * image->height * image->channels);
    image->lossless_samples = numbers;
    for (size_t k = 0; k < (size_t)frame->Height; k++) {
        size_t y = (size_t)frame->Top + row_of(frame, k);
        if (!frame->Interlace && y >= image->height)
            break; /* below the screen, and so is the rest */
        if (DGifGetLine(gif, row, frame->Width) == GIF_ERROR)
            return refuse_damage(decode, gif->Error);
        paint_row(image, &colours, row, frame, y);
    }
    return true;
}

void vlm_decode_gif(const struct vlm_decode *decode)
{
    struct source source = { decode->bytes, decode->n, 0 };
    int code = 0, transparent = NO_TRANSPARENT_COLOR;
    GifFileType *gif = DGifOpen(&source, read_source, &code);
    if (!gif) {
        refuse_damage(decode, code);
        return;
    }
    if (find_frame(decode, gif, &transparent))
        decode_frame(decode, gif, transparent);
    DGifCloseFile(gif, &code);
}
