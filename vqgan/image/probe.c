/* probe.c - what an image file says about itself before anything is decoded.
 *
 * The format is decided by the first bytes; sizes come from our own readers of the headers, and the
 * limits on bytes, sides and pixels are applied to them. Allocates nothing. Formats that we know
 * only by their magic are reported as unsupported. */
#include "base/vlm.h"

#include "base/limits.h"
#include "vqgan/image/decoders.h"

/* An XML prologue, a comment and a document type in front of <svg> fit into this much text. */
enum { SVG_WINDOW = 1024 };

static bool starts(const uint8_t *bytes, size_t n, size_t at, const char *magic, size_t length)
{
    return n >= at + length && memcmp(bytes + at, magic, length) == 0;
}

static bool looks_like_svg(const uint8_t *bytes, size_t n)
{
    size_t at = starts(bytes, n, 0, "\xef\xbb\xbf", 3) ? 3 : 0;
    while (at < n && (bytes[at] == ' ' || (bytes[at] >= '\t' && bytes[at] <= '\r')))
        at++;
    if (at == n || bytes[at] != '<')
        return false;
    if (starts(bytes, n, at, "<svg", 4))
        return true;
    bool xml = starts(bytes, n, at, "<?xml", 5) || starts(bytes, n, at, "<!--", 4) ||
               starts(bytes, n, at, "<!DOCTYPE svg", 13);
    return xml && memmem(bytes + at, VLM_MIN(n - at, (size_t)SVG_WINDOW), "<svg", 4);
}

/* ISO base media: the brand decides. */
static enum vlm_image_format format_of_brand(const uint8_t *brand)
{
    static const char heic[][5] = { "heic", "heix", "heim", "heis", "hevc",
                                    "hevx", "mif1", "msf1", "heif" };
    if (memcmp(brand, "avif", 4) == 0 || memcmp(brand, "avis", 4) == 0)
        return VLM_FORMAT_AVIF;
    for (size_t i = 0; i < VLM_COUNTOF(heic); i++)
        if (memcmp(brand, heic[i], 4) == 0)
            return VLM_FORMAT_HEIC;
    return VLM_FORMAT_UNKNOWN;
}

static enum vlm_image_format format_of(const uint8_t *bytes, size_t n)
{
    static const struct {
        const char *magic;
        size_t length;
        enum vlm_image_format format;
    } table[] = {
        { "\xff\xd8\xff", 3, VLM_FORMAT_JPEG },
        { "\x89PNG\r\n\x1a\n", 8, VLM_FORMAT_PNG },
        { "GIF87a", 6, VLM_FORMAT_GIF },
        { "GIF89a", 6, VLM_FORMAT_GIF },
        { "II*\0", 4, VLM_FORMAT_TIFF },
        { "MM\0*", 4, VLM_FORMAT_TIFF },
        { "\0\0\1\0", 4, VLM_FORMAT_ICO },
        { "\0\0\2\0", 4, VLM_FORMAT_ICO },
        { "\xff\x0a", 2, VLM_FORMAT_JXL },
        { "\0\0\0\x0cJXL \r\n\x87\n", 12, VLM_FORMAT_JXL },
        { "BM", 2, VLM_FORMAT_BMP },
    };
    for (size_t i = 0; i < VLM_COUNTOF(table); i++)
        if (starts(bytes, n, 0, table[i].magic, table[i].length))
            return table[i].format;
    if (starts(bytes, n, 0, "RIFF", 4) && starts(bytes, n, 8, "WEBP", 4))
        return VLM_FORMAT_WEBP;
    if (starts(bytes, n, 4, "ftyp", 4) && n >= 12)
        return format_of_brand(bytes + 8);
    return looks_like_svg(bytes, n) ? VLM_FORMAT_SVG : VLM_FORMAT_UNKNOWN;
}

bool vlm_image_size_fits(struct vlm_image_info *info, uint64_t width, uint64_t height,
                         uint64_t pixels_max)
{
    if (width == 0 || height == 0)
        vlm_image_refuse(info, VLM_IMAGE_CORRUPT,
                         "image of %" PRIu64 "x%" PRIu64 " pixels is empty", width, height);
    else if (width > VLM_IMAGE_SIDE_MAX || height > VLM_IMAGE_SIDE_MAX ||
             width * height > pixels_max)
        vlm_image_refuse(info, VLM_IMAGE_TOO_LARGE_PIXELS,
                         "image of %" PRIu64 "x%" PRIu64 " pixels is over the limit", width,
                         height);
    return info->status == VLM_IMAGE_OK;
}

static void probe_format(struct vlm_image_info *info, const uint8_t *bytes, size_t n)
{
    switch (info->format) {
    case VLM_FORMAT_JPEG:
        vlm_probe_jpeg(info, bytes, n);
        break;
    case VLM_FORMAT_PNG:
        vlm_probe_png(info, bytes, n);
        break;
    case VLM_FORMAT_WEBP:
        vlm_probe_webp(info, bytes, n);
        break;
    case VLM_FORMAT_GIF:
        vlm_probe_gif(info, bytes, n);
        break;
    case VLM_FORMAT_UNKNOWN:
        vlm_image_refuse(info, VLM_IMAGE_UNSUPPORTED, "%s",
                         n ? "no image of a known format" : "no bytes");
        break;
    default:
        vlm_image_refuse(info, VLM_IMAGE_UNSUPPORTED, "images of format %s are not decoded",
                         vlm_image_format_name(info->format));
    }
}

void vlm_image_probe(struct vlm_image_info *info, const uint8_t *bytes, size_t n)
{
    *info = (struct vlm_image_info){ .orientation = 1 };
    info->format = n ? format_of(bytes, n) : VLM_FORMAT_UNKNOWN;
    if (n > VLM_IMAGE_BYTES_MAX && info->format != VLM_FORMAT_UNKNOWN)
        vlm_image_refuse(info, VLM_IMAGE_TOO_LARGE_BYTES, "%zu bytes are over the limit", n);
    probe_format(info, bytes, n);
}
