/* jpeg.c - JPEG through libjpeg's own interface: exact, bounded, suspicious.
 *
 * Settings are the library's defaults (integer "islow" inverse DCT, fancy upsampling), which give
 * the same samples on every machine. Any warning about damaged data refuses the image: the library
 * would fill what is missing with grey. Junk between segments or behind the image is tolerated; it
 * is common and costs no sample. CMYK follows Pillow: always stored inverted, as Adobe writes it.
 *
 * libjpeg leaves by a function that must not return. longjmp is confined to vlm_jpeg_run(), and
 * everything that must be given back is owned outside it. */
#include "base/vlm.h"

#include "base/limits.h"
#include "vqgan/image/decoders.h"

#include <jerror.h>

enum {
    MARKER_SOI = 0xd8,
    MARKER_EOI = 0xd9,
    MARKER_SOS = 0xda,
    MARKER_APP1 = 0xe1,
    HALVED_SIDE = 512, /* the shorter side stays twice the square's: 53 dB against full decoding */
    HALVED_MAX = 3,
    ROWS_AT_ONCE = 16,
};

/* Coefficients of a progressive image at the limit: 2 bytes for each of 4 components, and the
 * padding to whole blocks. Beyond it the library gives up. */
static const long LIBRARY_MEMORY = VLM_IMAGE_PIXELS_WHOLE_MAX * 8L + (32L << 20);

static void guard_exit(j_common_ptr common)
{
    struct vlm_jpeg_guard *guard = (struct vlm_jpeg_guard *)common->err;
    guard->code = guard->manager.msg_code;
    guard->manager.format_message(common, guard->message);
    vlm_jpeg_leave(guard);
}

static void guard_silence(j_common_ptr common)
{
    (void)common;
}

/* Warnings and traces. Damage ends the decoding at once. */
static void guard_message(j_common_ptr common, int level)
{
    if (level >= 0)
        return;
    switch (common->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_TOO_MUCH_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_ICC:
        return;
    default:
        guard_exit(common);
    }
}

void vlm_jpeg_guard_init(struct vlm_jpeg_guard *guard)
{
    jpeg_std_error(&guard->manager);
    guard->manager.error_exit = guard_exit;
    guard->manager.output_message = guard_silence;
    guard->manager.emit_message = guard_message;
    guard->code = 0;
    guard->message[0] = 0;
}

void vlm_jpeg_leave(struct vlm_jpeg_guard *guard)
{
    longjmp(guard->back, 1);
}

bool vlm_jpeg_run(struct vlm_jpeg_guard *guard, void (*step)(void *context), void *context)
{
    if (setjmp(guard->back))
        return false;
    step(context);
    return true;
}

/* The header, read by ourselves. */

struct markers {
    const uint8_t *bytes;
    size_t n, at;
};

/* Goes to the next marker and behind it; 0 at the end of the bytes. Stuffed zeros and restart
 * markers belong to the coded data. */
static uint8_t next_marker(struct markers *markers)
{
    while (markers->at < markers->n) {
        const uint8_t *found = memchr(markers->bytes + markers->at, 0xff, markers->n - markers->at);
        if (!found)
            break;
        size_t at = (size_t)(found - markers->bytes) + 1;
        while (at < markers->n && markers->bytes[at] == 0xff)
            at++;
        markers->at = at + 1;
        uint8_t code = at < markers->n ? markers->bytes[at] : 0;
        if (code > 1 && (code < 0xd0 || code > MARKER_SOI))
            return code;
    }
    markers->at = markers->n;
    return 0;
}

static bool is_frame_header(uint8_t code)
{
    return code >= 0xc0 && code <= 0xcf && code != 0xc4 && code != 0xc8 && code != 0xcc;
}

static void read_frame_header(struct vlm_image_info *info, uint8_t code, const uint8_t *p, size_t n)
{
    if (n < 6) {
        vlm_image_refuse(info, VLM_IMAGE_CORRUPT, "frame header of %zu bytes", n);
        return;
    }
    info->height = vlm_big_endian_16(p + 1);
    info->width = vlm_big_endian_16(p + 3);
    info->mode = p[5] == 1 ? VLM_MODE_L : p[5] == 3 ? VLM_MODE_RGB : VLM_MODE_CMYK;
    if (p[5] != 1 && p[5] != 3 && p[5] != 4) {
        info->mode = VLM_MODE_NONE;
        vlm_image_refuse(info, VLM_IMAGE_UNSUPPORTED, "JPEG image of %u components", p[5]);
    }
    bool known = code <= 0xc2 || code == 0xc9 || code == 0xca;
    if (!known || p[0] != 8)
        vlm_image_refuse(info, VLM_IMAGE_UNSUPPORTED, "JPEG process %u with %u bits", code - 0xc0U,
                         p[0]);
    if (info->height == 0)
        vlm_image_refuse(info, VLM_IMAGE_UNSUPPORTED, "JPEG image that says its height afterwards");
    bool whole = code == 0xc2 || code == 0xca; /* progressive */
    vlm_image_size_fits(info, info->width, info->height,
                        whole ? VLM_IMAGE_PIXELS_WHOLE_MAX : VLM_IMAGE_PIXELS_MAX);
}

/* Segments whose content a decoder may skip: APPn and comments. */
static bool is_skipped(uint8_t code)
{
    return (code >= 0xe0 && code <= 0xef) || code == 0xfe;
}

static bool is_exif(const uint8_t *p, size_t n)
{
    return n > 6 && memcmp(p, "Exif\0\0", 6) == 0;
}

static void count_scan(struct vlm_image_info *info, unsigned scans, bool frame)
{
    if (!frame)
        vlm_image_refuse(info, VLM_IMAGE_CORRUPT, "scan without a frame header");
    else if (scans > VLM_JPEG_SCANS_MAX)
        vlm_image_refuse(info, VLM_IMAGE_TOO_MANY_SCANS, "more than %d scans", VLM_JPEG_SCANS_MAX);
}

/* Segments up to the end: the first frame header and EXIF block, and the number of scans. The size
 * is checked at the frame header, before the data behind it is searched for more scans. */
static void read_segments(struct vlm_image_info *info, struct markers *markers)
{
    bool frame = false, exif = false, ended = false;
    unsigned scans = 0;
    uint8_t code = 0;
    while (!ended && info->status == VLM_IMAGE_OK && (code = next_marker(markers)) != 0) {
        if (code == MARKER_EOI)
            break;
        size_t left = markers->n - markers->at;
        const uint8_t *p = markers->bytes + markers->at;
        size_t length = left >= 2 ? vlm_big_endian_16(p) : 0;
        if (left >= 2 && length < 2 && is_skipped(code))
            length = 2; /* as libjpeg does */
        ended = length < 2 || length > left;
        if (ended)
            break;
        if (is_frame_header(code) && !frame) {
            frame = true;
            read_frame_header(info, code, p + 2, length - 2);
        } else if (code == MARKER_APP1 && !exif && scans == 0 && is_exif(p + 2, length - 2)) {
            exif = true;
            info->orientation = vlm_exif_orientation(p + 8, length - 8);
        } else if (code == MARKER_SOS) {
            count_scan(info, ++scans, frame);
        }
        markers->at += length;
    }
    if (!frame || scans == 0)
        vlm_image_refuse(info, code == MARKER_EOI ? VLM_IMAGE_CORRUPT : VLM_IMAGE_TRUNCATED,
                         "JPEG file without an image");
}

void vlm_probe_jpeg(struct vlm_image_info *info, const uint8_t *bytes, size_t n)
{
    struct markers markers = { bytes, n, 2 };
    read_segments(info, &markers);
}

/* Decoding. */

struct job {
    struct vlm_jpeg_guard guard;
    struct jpeg_decompress_struct library;
    struct jpeg_progress_mgr progress;
    const struct vlm_decode *decode;
};

static void watch_scans(j_common_ptr common)
{
    struct job *job = common->client_data;
    if (job->library.input_scan_number <= VLM_JPEG_SCANS_MAX)
        return;
    vlm_image_refuse(&job->decode->image->info, VLM_IMAGE_TOO_MANY_SCANS, "more than %d scans",
                     VLM_JPEG_SCANS_MAX);
    vlm_jpeg_leave(&job->guard);
}

/* How often the sides are halved while decoding. */
static uint8_t halvings(const struct job *job)
{
    const struct vlm_image_options *options = job->decode->options;
    if (options->full_size || options->as_stored)
        return 0;
    uint32_t shorter = VLM_MIN(job->library.image_width, job->library.image_height);
    uint8_t times = 0;
    while (times < HALVED_MAX && shorter >> (times + 1) >= HALVED_SIDE)
        times++;
    return times;
}

/* The limits once more, for the header as the library understood it. */
static bool header_fits(struct job *job)
{
    struct jpeg_decompress_struct *library = &job->library;
    struct vlm_image_info *info = &job->decode->image->info;
    bool whole = library->progressive_mode || jpeg_has_multiple_scans(library);
    info->width = library->image_width;
    info->height = library->image_height;
    return vlm_image_size_fits(info, info->width, info->height,
                               whole ? VLM_IMAGE_PIXELS_WHOLE_MAX : VLM_IMAGE_PIXELS_MAX);
}

static void configure(struct job *job)
{
    struct jpeg_decompress_struct *library = &job->library;
    struct vlm_image *image = job->decode->image;
    image->info.halved = halvings(job);
    library->scale_num = 1;
    library->scale_denom = 1U << image->info.halved;
    library->out_color_space = library->num_components == 1   ? JCS_GRAYSCALE
                               : library->num_components == 3 ? JCS_RGB
                                                              : JCS_CMYK;
    image->lossless_samples = image->info.halved == 0 && library->num_components != 4;
}

static void read_rows(struct job *job)
{
    struct jpeg_decompress_struct *library = &job->library;
    const struct vlm_image *image = job->decode->image;
    size_t stride = (size_t)image->width * image->channels;
    while (library->output_scanline < library->output_height) {
        JSAMPROW rows[ROWS_AT_ONCE];
        JDIMENSION count =
            VLM_MIN(library->output_height - library->output_scanline, (JDIMENSION)ROWS_AT_ONCE);
        for (JDIMENSION i = 0; i < count; i++)
            rows[i] = image->samples + (library->output_scanline + i) * stride;
        jpeg_read_scanlines(library, rows, count);
    }
}

/* a * b / 255, rounded, as Pillow computes it. */
static unsigned multiply_255(unsigned a, unsigned b)
{
    unsigned product = a * b + 128;
    return ((product >> 8) + product) >> 8;
}

static void cmyk_to_rgb(uint8_t *rgb, const uint8_t *cmyk, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        unsigned light = cmyk[4 * i + 3]; /* stored inverted: 255 - K */
        for (size_t c = 0; c < 3; c++) {
            unsigned ink = multiply_255(255U - cmyk[4 * i + c], light);
            rgb[3 * i + c] = (uint8_t)(light - VLM_MIN(ink, light));
        }
    }
}

static void read_cmyk_rows(struct job *job)
{
    struct jpeg_decompress_struct *library = &job->library;
    const struct vlm_image *image = job->decode->image;
    JSAMPROW row = vlm_arena_alloc(job->decode->arena, library->output_width, 4);
    if (!row) {
        vlm_image_refuse(&job->decode->image->info, VLM_IMAGE_OUT_OF_MEMORY, "no memory for a row");
        return;
    }
    while (library->output_scanline < library->output_height) {
        size_t y = library->output_scanline;
        jpeg_read_scanlines(library, &row, 1);
        cmyk_to_rgb(image->samples + y * image->width * 3, row, image->width);
    }
}

/* Runs inside the guard: any call of the library may leave here. */
static void decode_guarded(void *context)
{
    struct job *job = context;
    struct jpeg_decompress_struct *library = &job->library;
    jpeg_create_decompress(library);
    library->client_data = job;
    library->mem->max_memory_to_use = LIBRARY_MEMORY;
    jpeg_mem_src(library, job->decode->bytes, job->decode->n);
    jpeg_read_header(library, TRUE);
    if (!header_fits(job))
        return;
    configure(job);
    job->progress.progress_monitor = watch_scans;
    library->progress = &job->progress;
    jpeg_calc_output_dimensions(library);
    if (!vlm_image_make_samples(job->decode, library->output_width, library->output_height,
                                library->num_components == 1 ? 1 : 3))
        return;
    jpeg_start_decompress(library);
    if (library->out_color_space == JCS_CMYK)
        read_cmyk_rows(job);
    else
        read_rows(job);
    if (job->decode->image->info.status == VLM_IMAGE_OK)
        jpeg_finish_decompress(library);
}

static enum vlm_image_status status_of_code(int code)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
        return VLM_IMAGE_OUT_OF_MEMORY;
    case JERR_INPUT_EMPTY:
    case JERR_INPUT_EOF:
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
        return VLM_IMAGE_TRUNCATED;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_COMPONENT_COUNT:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_SOF_UNSUPPORTED:
        return VLM_IMAGE_UNSUPPORTED;
    default:
        return VLM_IMAGE_CORRUPT;
    }
}

void vlm_decode_jpeg(const struct vlm_decode *decode)
{
    struct job job = { .decode = decode };
    vlm_jpeg_guard_init(&job.guard);
    job.library.err = &job.guard.manager;
    if (!vlm_jpeg_run(&job.guard, decode_guarded, &job))
        vlm_image_refuse(&decode->image->info, status_of_code(job.guard.code), "%s",
                         job.guard.message);
    jpeg_destroy_decompress(&job.library);
}
