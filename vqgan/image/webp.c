/* webp.c - WebP through libwebp: still images, and the first frame of animations.
 *
 * Decoded as a whole at the coded size. Transparency is composited on white. Of an animation the
 * first frame is placed on a white canvas; what it does not cover stays white. */
#include "base/vlm.h"

#include "base/limits.h"
#include "vqgan/image/decoders.h"

#include <webp/decode.h>
#include <webp/demux.h>

enum { RIFF_HEADER = 12, CHUNK_HEADER = 8 };

static uint32_t little_endian_32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

struct chunk {
    const uint8_t *type; /* 4 bytes */
    const uint8_t *data;
    size_t length;
};

/* The chunk at *at, or false when the bytes end within it. Moves *at behind it and its padding. */
static bool next_chunk(struct chunk *chunk, const uint8_t *bytes, size_t n, size_t *at)
{
    if (n - *at < CHUNK_HEADER)
        return false;
    size_t left = n - *at - CHUNK_HEADER;
    chunk->type = bytes + *at;
    chunk->length = little_endian_32(bytes + *at + 4);
    chunk->data = bytes + *at + CHUNK_HEADER;
    if (chunk->length > left)
        return false;
    *at += CHUNK_HEADER + VLM_MIN(chunk->length + (chunk->length & 1), left);
    return true;
}

/* The EXIF chunk; some writers put JPEG's prefix in front of the TIFF header. */
static void read_orientation(struct vlm_image_info *info, const uint8_t *bytes, size_t n)
{
    struct chunk chunk;
    size_t at = RIFF_HEADER;
    while (next_chunk(&chunk, bytes, n, &at)) {
        if (memcmp(chunk.type, "EXIF", 4) != 0)
            continue;
        size_t skip = chunk.length >= 6 && memcmp(chunk.data, "Exif\0\0", 6) == 0 ? 6 : 0;
        info->orientation = vlm_exif_orientation(chunk.data + skip, chunk.length - skip);
        return;
    }
}

/* Where the first frame of an animation ends. What follows is not looked at: there may be a million
 * frames, and damage in them does not matter. */
static size_t end_of_first_frame(const uint8_t *bytes, size_t n)
{
    struct chunk chunk;
    size_t at = RIFF_HEADER;
    while (next_chunk(&chunk, bytes, n, &at))
        if (memcmp(chunk.type, "ANMF", 4) == 0)
            return at;
    return n;
}

static enum vlm_image_status status_of_code(VP8StatusCode code)
{
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return VLM_IMAGE_OUT_OF_MEMORY;
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return VLM_IMAGE_TRUNCATED;
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return VLM_IMAGE_UNSUPPORTED;
    default:
        return VLM_IMAGE_CORRUPT;
    }
}

void vlm_probe_webp(struct vlm_image_info *info, const uint8_t *bytes, size_t n)
{
    WebPBitstreamFeatures features;
    VP8StatusCode code = WebPGetFeatures(bytes, n, &features);
    if (code != VP8_STATUS_OK) {
        vlm_image_refuse(info, status_of_code(code), "WebP file without a valid header");
        return;
    }
    info->width = (uint32_t)features.width;
    info->height = (uint32_t)features.height;
    info->mode = features.has_alpha ? VLM_MODE_RGBA : VLM_MODE_RGB;
    read_orientation(info, bytes, n);
    vlm_image_size_fits(info, info->width, info->height, VLM_IMAGE_PIXELS_WHOLE_MAX);
}

/* Decodes one still bitstream of known size into to, with as many channels as it has. */
static bool decode_still(const struct vlm_decode *decode, uint8_t *to, size_t channels,
                         const uint8_t *bytes, size_t n)
{
    WebPDecoderConfig config;
    struct vlm_image_info *info = &decode->image->info;
    if (!WebPInitDecoderConfig(&config)) {
        vlm_image_refuse(info, VLM_IMAGE_UNSUPPORTED, "libwebp has another version");
        return false;
    }
    VP8StatusCode code = WebPGetFeatures(bytes, n, &config.input);
    if (code == VP8_STATUS_OK) {
        size_t stride = (size_t)config.input.width * channels;
        config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
        config.output.is_external_memory = 1;
        config.output.u.RGBA.rgba = to;
        config.output.u.RGBA.stride = (int)stride;
        config.output.u.RGBA.size = stride * (size_t)config.input.height;
        code = WebPDecode(bytes, n, &config);
        WebPFreeDecBuffer(&config.output);
    }
    if (code != VP8_STATUS_OK)
        vlm_image_refuse(info, status_of_code(code), "damaged WebP image");
    return code == VP8_STATUS_OK;
}

/* RGBA -> RGB on white; to may be from, since no sample moves forward. For transparency all colours are black. */
static void composite(const struct vlm_decode *decode, uint8_t *to, const uint8_t *from,
                      size_t pixels)
{
    const bool black = decode->options->transparency;
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t alpha = from[4 * i + 3];
        for (size_t c = 0; c < 3; c++)
            to[3 * i + c] = vlm_on_white(black ? 0 : from[4 * i + c], alpha);
    }
}

static void decode_single(const struct vlm_decode *decode)
{
    struct vlm_image *image = decode->image;
    unsigned channels = image->info.mode == VLM_MODE_RGBA ? 4 : 3;
    if (!vlm_image_make_samples(decode, image->info.width, image->info.height, channels))
        return;
    if (!decode_still(decode, image->samples, channels, decode->bytes, decode->n))
        return;
    if (channels == 4)
        composite(decode, image->samples, image->samples, (size_t)image->width * image->height);
    else if (decode->options->transparency)
        memset(image->samples, 0, (size_t)image->width * image->height * channels);
    image->channels = 3;
    image->lossless_samples = channels == 3 && !decode->options->transparency;
}

/* A frame of an animation on the canvas; frames that reach outside are refused by libwebp. */
static void place_frame(const struct vlm_decode *decode, const WebPIterator *frame)
{
    struct vlm_image *image = decode->image;
    size_t width = (size_t)frame->width, height = (size_t)frame->height;
    size_t left = (size_t)frame->x_offset, top = (size_t)frame->y_offset;
    if (left + width > image->info.width || top + height > image->info.height) {
        vlm_image_refuse(&image->info, VLM_IMAGE_CORRUPT, "WebP frame outside of its canvas");
        return;
    }
    uint8_t *rgba = vlm_arena_alloc(decode->arena, width * height, 4);
    if (!rgba) {
        vlm_image_refuse(&image->info, VLM_IMAGE_OUT_OF_MEMORY, "no memory for a frame");
        return;
    }
    if (!vlm_image_make_samples(decode, image->info.width, image->info.height, 3) ||
        !decode_still(decode, rgba, 4, frame->fragment.bytes, frame->fragment.size))
        return;
    memset(image->samples, 255, (size_t)image->width * image->height * 3);
    for (size_t y = 0; y < height; y++)
        composite(decode, image->samples + ((top + y) * image->width + left) * 3,
                  rgba + y * width * 4, width);
}

static void decode_animation(const struct vlm_decode *decode)
{
    const WebPData data = { decode->bytes, end_of_first_frame(decode->bytes, decode->n) };
    struct vlm_image_info *info = &decode->image->info;
    WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
    WebPDemuxer *demuxer = WebPDemuxPartial(&data, &state);
    WebPIterator frame;
    if (!demuxer || !WebPDemuxGetFrame(demuxer, 1, &frame)) {
        vlm_image_refuse(info,
                         state == WEBP_DEMUX_PARSE_ERROR ? VLM_IMAGE_CORRUPT : VLM_IMAGE_TRUNCATED,
                         "WebP animation without a first frame");
        WebPDemuxDelete(demuxer);
        return;
    }
    if (!frame.complete)
        vlm_image_refuse(info, VLM_IMAGE_TRUNCATED, "WebP animation ends in its first frame");
    else
        place_frame(decode, &frame);
    WebPDemuxReleaseIterator(&frame);
    WebPDemuxDelete(demuxer);
}

void vlm_decode_webp(const struct vlm_decode *decode)
{
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(decode->bytes, decode->n, &features) == VP8_STATUS_OK &&
        features.has_animation)
        decode_animation(decode);
    else
        decode_single(decode);
}
