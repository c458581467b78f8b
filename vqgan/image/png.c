/* png.c - PNG through libspng, given only the chunks that make the picture.
 *
 * Our own walk over the chunks checks every length and checksum (ancillary chunks too), finds the
 * EXIF orientation, and requires IEND. libspng then reads IHDR, PLTE, tRNS, IDAT and IEND through a
 * callback that hides all other chunks, so nothing else is ever inflated or kept. Gamma and colour
 * profiles are ignored; of an animation the default image is decoded. */
#include "base/vlm.h"

#include "base/limits.h"
#include "vqgan/image/decoders.h"

#include <spng.h>
#include <zlib.h>

enum { SIGNATURE = 8, CHUNK_FRAME = 12, CHUNK_LENGTH_MAX = 0x7fffffff };

struct chunk {
    const uint8_t *type; /* 4 bytes */
    const uint8_t *data;
    uint32_t length;
};

/* The chunk at *at, or false when the bytes end within it. Moves *at behind it. */
static bool next_chunk(struct chunk *chunk, const uint8_t *bytes, size_t n, size_t *at)
{
    if (n - *at < CHUNK_FRAME)
        return false;
    chunk->length = vlm_big_endian_32(bytes + *at);
    chunk->type = bytes + *at + 4;
    chunk->data = bytes + *at + 8;
    if (chunk->length > CHUNK_LENGTH_MAX || chunk->length > n - *at - CHUNK_FRAME)
        return false;
    *at += CHUNK_FRAME + (size_t)chunk->length;
    return true;
}

static bool is_type(const struct chunk *chunk, const char *type)
{
    return memcmp(chunk->type, type, 4) == 0;
}

static bool checksum_matches(const struct chunk *chunk)
{
    uLong sum = crc32_z(0, chunk->type, (size_t)chunk->length + 4);
    return sum == vlm_big_endian_32(chunk->data + chunk->length);
}

static enum vlm_image_mode mode_of(uint8_t depth, uint8_t colour)
{
    switch (colour) {
    case SPNG_COLOR_TYPE_GRAYSCALE:
        return depth == 1 ? VLM_MODE_1 : depth == 16 ? VLM_MODE_I16 : VLM_MODE_L;
    case SPNG_COLOR_TYPE_GRAYSCALE_ALPHA:
        return depth == 16 ? VLM_MODE_RGBA : VLM_MODE_LA; /* Pillow's choice */
    case SPNG_COLOR_TYPE_INDEXED:
        return VLM_MODE_P;
    case SPNG_COLOR_TYPE_TRUECOLOR:
        return VLM_MODE_RGB;
    default:
        return VLM_MODE_RGBA;
    }
}

static bool depth_is_valid(uint8_t depth, uint8_t colour)
{
    bool power = depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
    switch (colour) {
    case SPNG_COLOR_TYPE_GRAYSCALE:
        return power;
    case SPNG_COLOR_TYPE_INDEXED:
        return power && depth <= 8;
    case SPNG_COLOR_TYPE_TRUECOLOR:
    case SPNG_COLOR_TYPE_GRAYSCALE_ALPHA:
    case SPNG_COLOR_TYPE_TRUECOLOR_ALPHA:
        return depth == 8 || depth == 16;
    default:
        return false;
    }
}

static void read_header(struct vlm_image_info *info, const struct chunk *chunk)
{
    const uint8_t *p = chunk->data;
    if (!is_type(chunk, "IHDR") || chunk->length != 13) {
        vlm_image_refuse(info, VLM_IMAGE_CORRUPT, "PNG file without a header");
        return;
    }
    info->width = vlm_big_endian_32(p);
    info->height = vlm_big_endian_32(p + 4);
    if (!depth_is_valid(p[8], p[9]) || p[10] != 0 || p[11] != 0 || p[12] > 1) {
        vlm_image_refuse(info, VLM_IMAGE_CORRUPT, "PNG header with depth %u, colour type %u", p[8],
                         p[9]);
        return;
    }
    info->mode = mode_of(p[8], p[9]);
    vlm_image_size_fits(info, info->width, info->height, VLM_IMAGE_PIXELS_MAX);
}

void vlm_probe_png(struct vlm_image_info *info, const uint8_t *bytes, size_t n)
{
    struct chunk chunk;
    size_t at = SIGNATURE;
    if (!next_chunk(&chunk, bytes, n, &at)) {
        vlm_image_refuse(info, VLM_IMAGE_TRUNCATED, "PNG file ends in its header");
        return;
    }
    read_header(info, &chunk);
    while (info->status == VLM_IMAGE_OK && next_chunk(&chunk, bytes, n, &at) &&
           !is_type(&chunk, "IEND"))
        if (is_type(&chunk, "eXIf"))
            info->orientation = vlm_exif_orientation(chunk.data, chunk.length);
}

/* Checksums of all chunks up to IEND, and that it is there. */
static bool chunks_are_whole(const struct vlm_decode *decode)
{
    struct vlm_image_info *info = &decode->image->info;
    struct chunk chunk;
    size_t at = SIGNATURE;
    do {
        if (!next_chunk(&chunk, decode->bytes, decode->n, &at)) {
            vlm_image_refuse(info, VLM_IMAGE_TRUNCATED, "PNG file ends within a chunk");
            return false;
        }
        if (!checksum_matches(&chunk)) {
            vlm_image_refuse(info, VLM_IMAGE_CORRUPT, "PNG chunk with a wrong checksum");
            return false;
        }
    } while (!is_type(&chunk, "IEND"));
    return true;
}

/* What libspng reads: the file without the chunks it need not see. */
struct source {
    const uint8_t *bytes;
    size_t n, at;
    size_t left; /* of the signature or of the chunk at `at` */
};

static bool is_hidden(const struct chunk *chunk)
{
    bool ancillary = chunk->type[0] & 0x20;
    return ancillary && !is_type(chunk, "tRNS");
}

/* Sets left to the size of the next chunk that is passed on; 0 at the end. */
static void select_chunk(struct source *source)
{
    struct chunk chunk;
    size_t end = source->at;
    while (next_chunk(&chunk, source->bytes, source->n, &end)) {
        source->left = end - source->at;
        if (!is_hidden(&chunk))
            return;
        source->at = end;
    }
    source->left = 0;
}

static int read_source(spng_ctx *context, void *user, void *to, size_t n)
{
    struct source *source = user;
    uint8_t *out = to;
    (void)context;
    while (n) {
        if (source->left == 0)
            select_chunk(source);
        if (source->left == 0)
            return SPNG_IO_EOF;
        size_t part = VLM_MIN(n, source->left);
        memcpy(out, source->bytes + source->at, part);
        source->at += part;
        source->left -= part;
        out += part;
        n -= part;
    }
    return 0;
}

/* Rows as stored -> 8-bit L or RGB. */
struct converter {
    unsigned depth, colour;
    bool as_stored;
    bool transparency; /* all colours are black, which on white shows it */
    bool has_key;      /* tRNS of grey or RGB: this colour is transparent */
    uint16_t key[3];   /* in the file's depth */
    uint8_t palette[256][3];
};

/* 16 bits to 8, to the nearest; the high byte when samples shall be as stored. */
static uint8_t narrow(const struct converter *converter, const uint8_t *p)
{
    unsigned value = vlm_big_endian_16(p);
    return converter->as_stored ? p[0] : (uint8_t)((value * 255 + 32767) / 65535);
}

/* Sample x of a row of less than 8 bits a sample. */
static unsigned packed_sample(const uint8_t *row, unsigned depth, size_t x)
{
    size_t bit = x * depth;
    unsigned byte = row[bit / 8];
    return byte >> (8 - depth - bit % 8) & ((1U << depth) - 1);
}

static void convert_grey(const struct converter *converter, uint8_t *to, const uint8_t *row,
                         size_t width)
{
    unsigned depth = converter->depth, high = (1U << depth) - 1;
    for (size_t x = 0; x < width; x++) {
        unsigned stored = depth == 16  ? vlm_big_endian_16(row + 2 * x)
                          : depth == 8 ? row[x]
                                       : packed_sample(row, depth, x);
        if (converter->transparency)
            to[x] = 0;
        else if (depth == 16)
            to[x] = narrow(converter, row + 2 * x);
        else
            to[x] = (uint8_t)(stored * 255 / high);
        if (converter->has_key && stored == converter->key[0])
            to[x] = 255;
    }
}

static void convert_palette(const struct converter *converter, uint8_t *to, const uint8_t *row,
                            size_t width)
{
    for (size_t x = 0; x < width; x++) {
        unsigned index = converter->depth == 8 ? row[x] : packed_sample(row, converter->depth, x);
        memcpy(to + 3 * x, converter->palette[index], 3);
    }
}

/* Grey or RGB with a sample of opacity behind it. */
static void convert_alpha(const struct converter *converter, uint8_t *to, const uint8_t *row,
                          size_t width, size_t colours)
{
    size_t bytes = converter->depth / 8;
    for (size_t x = 0; x < width; x++) {
        const uint8_t *pixel = row + x * (colours + 1) * bytes;
        const uint8_t *opacity = pixel + colours * bytes;
        unsigned alpha = bytes == 2 ? narrow(converter, opacity) : *opacity;
        for (size_t c = 0; c < colours; c++) {
            const uint8_t *sample = pixel + c * bytes;
            unsigned value = bytes == 2 ? narrow(converter, sample) : *sample;
            if (converter->transparency)
                value = 0;
            to[x * colours + c] = vlm_on_white(value, alpha);
        }
    }
}

static bool is_key(const struct converter *converter, const uint8_t *pixel)
{
    for (size_t c = 0; c < 3; c++) {
        unsigned stored = converter->depth == 16 ? vlm_big_endian_16(pixel + 2 * c) : pixel[c];
        if (stored != converter->key[c])
            return false;
    }
    return true;
}

static void convert_rgb(const struct converter *converter, uint8_t *to, const uint8_t *row,
                        size_t width)
{
    size_t bytes = converter->depth / 8;
    if (converter->transparency)
        memset(to, 0, 3 * width);
    else if (bytes == 1)
        memcpy(to, row, 3 * width);
    else
        for (size_t i = 0; i < 3 * width; i++)
            to[i] = narrow(converter, row + 2 * i);
    if (!converter->has_key)
        return;
    for (size_t x = 0; x < width; x++)
        if (is_key(converter, row + 3 * bytes * x))
            memset(to + 3 * x, 255, 3);
}

static void convert_row(const struct converter *converter, uint8_t *to, const uint8_t *row,
                        size_t width)
{
    switch (converter->colour) {
    case SPNG_COLOR_TYPE_GRAYSCALE:
        convert_grey(converter, to, row, width);
        break;
    case SPNG_COLOR_TYPE_INDEXED:
        convert_palette(converter, to, row, width);
        break;
    case SPNG_COLOR_TYPE_GRAYSCALE_ALPHA:
        convert_alpha(converter, to, row, width, 1);
        break;
    case SPNG_COLOR_TYPE_TRUECOLOR_ALPHA:
        convert_alpha(converter, to, row, width, 3);
        break;
    default:
        convert_rgb(converter, to, row, width);
    }
}

/* The tRNS chunk; zeros when it is absent or of no use. */
static int get_transparency(struct spng_trns *opacity, spng_ctx *context)
{
    *opacity = (struct spng_trns){ 0 };
    int rc = spng_get_trns(context, opacity);
    return rc == SPNG_ECHUNKAVAIL ? 0 : rc;
}

/* Colours of the palette on white. An index without a colour is the grey of its number, as in
 * Pillow. */
static int load_palette(struct converter *converter, spng_ctx *context)
{
    struct spng_plte palette = { 0 };
    struct spng_trns opacity;
    int rc = spng_get_plte(context, &palette);
    if (!rc)
        rc = get_transparency(&opacity, context);
    if (rc)
        return rc;
    if (converter->as_stored)
        opacity.n_type3_entries = 0;
    for (unsigned i = 0; i < 256; i++) {
        const struct spng_plte_entry *entry = &palette.entries[i];
        unsigned alpha = i < opacity.n_type3_entries ? opacity.type3_alpha[i] : 255;
        const unsigned unknown = converter->transparency ? 0 : i;
        bool given = i < palette.n_entries && !converter->transparency;
        converter->palette[i][0] = vlm_on_white(given ? entry->red : unknown, alpha);
        converter->palette[i][1] = vlm_on_white(given ? entry->green : unknown, alpha);
        converter->palette[i][2] = vlm_on_white(given ? entry->blue : unknown, alpha);
    }
    return 0;
}

static int converter_init(struct converter *converter, spng_ctx *context,
                          const struct spng_ihdr *header)
{
    struct spng_trns key = { 0 };
    converter->depth = header->bit_depth;
    converter->colour = header->color_type;
    if (header->color_type == SPNG_COLOR_TYPE_INDEXED)
        return load_palette(converter, context);
    bool grey = header->color_type == SPNG_COLOR_TYPE_GRAYSCALE;
    if (converter->as_stored || (!grey && header->color_type != SPNG_COLOR_TYPE_TRUECOLOR))
        return 0;
    int rc = spng_get_trns(context, &key);
    if (rc)
        return rc == SPNG_ECHUNKAVAIL ? 0 : rc;
    converter->has_key = true;
    converter->key[0] = grey ? key.gray : key.red;
    converter->key[1] = key.green;
    converter->key[2] = key.blue;
    return 0;
}

/* One row at a time, or the whole image when it is interlaced. */
static int decode_rows(const struct vlm_decode *decode, spng_ctx *context,
                       const struct converter *converter, bool interlaced)
{
    const struct vlm_image *image = decode->image;
    size_t total = 0;
    int rc = spng_decoded_image_size(context, SPNG_FMT_RAW, &total);
    if (rc)
        return rc;
    size_t stride = total / image->height;
    uint8_t *rows = vlm_arena_zero(decode->arena, interlaced ? image->height : 1, stride);
    if (!rows)
        return SPNG_EMEM;
    rc = interlaced ? spng_decode_image(context, rows, total, SPNG_FMT_RAW, 0)
                    : spng_decode_image(context, NULL, 0, SPNG_FMT_RAW, SPNG_DECODE_PROGRESSIVE);
    for (size_t y = 0; rc == 0 && y < image->height; y++) {
        if (!interlaced)
            rc = spng_decode_row(context, rows, stride);
        if (rc == SPNG_EOI && y + 1 == image->height)
            rc = 0; /* said with the last row */
        if (rc == 0)
            convert_row(converter, image->samples + y * image->width * image->channels,
                        interlaced ? rows + y * stride : rows, image->width);
    }
    return rc;
}

static int decode_with(const struct vlm_decode *decode, spng_ctx *context)
{
    struct vlm_image *image = decode->image;
    struct source source = { decode->bytes, decode->n, 0, SIGNATURE };
    struct converter converter = { .as_stored = decode->options->as_stored,
                                   .transparency = decode->options->transparency };
    struct spng_ihdr header;
    int rc = spng_set_image_limits(context, VLM_IMAGE_SIDE_MAX, VLM_IMAGE_SIDE_MAX);
    if (!rc)
        rc = spng_set_png_stream(context, read_source, &source);
    if (!rc)
        rc = spng_get_ihdr(context, &header);
    if (!rc)
        rc = converter_init(&converter, context, &header);
    if (rc)
        return rc;
    bool grey = header.color_type == SPNG_COLOR_TYPE_GRAYSCALE ||
                header.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA;
    if (!vlm_image_make_samples(decode, header.width, header.height, grey ? 1 : 3))
        return 0;
    rc = decode_rows(decode, context, &converter, header.interlace_method != 0);
    bool stored = (image->info.mode == VLM_MODE_L || image->info.mode == VLM_MODE_RGB) &&
                  !converter.transparency;
    image->lossless_samples =
        stored && !converter.has_key && (header.bit_depth <= 8 || decode->options->as_stored);
    return rc;
}

static enum vlm_image_status status_of_code(int code)
{
    switch (code) {
    case SPNG_EMEM:
        return VLM_IMAGE_OUT_OF_MEMORY;
    case SPNG_IO_EOF:
    case SPNG_EOF:
    case SPNG_EIDAT_TOO_SHORT:
        return VLM_IMAGE_TRUNCATED;
    case SPNG_ECHUNK_UNKNOWN_CRITICAL:
        return VLM_IMAGE_UNSUPPORTED;
    default:
        return VLM_IMAGE_CORRUPT;
    }
}

void vlm_decode_png(const struct vlm_decode *decode)
{
    if (!chunks_are_whole(decode))
        return;
    spng_ctx *context = spng_ctx_new(0);
    int rc = context ? decode_with(decode, context) : SPNG_EMEM;
    if (rc)
        vlm_image_refuse(&decode->image->info, status_of_code(rc), "damaged PNG image: %s",
                         spng_strerror(rc));
    spng_ctx_free(context);
}
