/* inspect_image.c - vlm-inspect image: what the image front end makes of files, as JSON lines.
 *
 * One line per argument, whatever the file is. sha1 is taken from the samples as they are stored, so
 * a large JPEG is decoded a second time without halving for it. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/option.h"
#include "shard/options.h"
#include "tools/inspect/inspect.h"
#include "vqgan/image/image.h"

enum { ARENA_MAX = 1 << 30 };

struct inspection {
    const char *square_folder; /* NULL: write no squares */
    int profile;
    struct vlm_arena arena;
    struct vlm_buffer bytes, line, png;
    char **written; /* names of squares so far */
    size_t n_written;
    bool failed; /* a file could not be read */
};

static void add_hash(struct vlm_json *json, const char *key, const uint8_t *bytes, size_t n)
{
    uint8_t hash[VLM_SHA1_SIZE];
    vlm_json_key(json, key);
    if (!bytes) {
        vlm_json_null(json);
        return;
    }
    vlm_sha1(hash, bytes, n);
    vlm_json_hex(json, hash, sizeof(hash));
}

static void add_size(struct vlm_json *json, const char *key, uint32_t size)
{
    vlm_json_key(json, key);
    if (size)
        vlm_json_number(json, size);
    else
        vlm_json_null(json);
}

static void add_info(struct vlm_json *json, const char *path, const struct vlm_image_info *info)
{
    vlm_json_member_string(json, "file", path);
    vlm_json_member_string(json, "format", vlm_image_format_name(info->format));
    vlm_json_member_string(json, "status", vlm_image_status_name(info->status));
    add_size(json, "width", info->width);
    add_size(json, "height", info->height);
    vlm_json_member_string(json, "mode", vlm_image_mode_name(info->mode));
    vlm_json_member_number(json, "orientation", info->orientation);
}

/* The hash of the samples as stored, for 8-bit L and RGB. */
static int add_samples_hash(struct inspection *inspection, struct vlm_json *json,
                            const struct vlm_image *image, struct vlm_err *err)
{
    const struct vlm_image_options as_stored = { .as_stored = true };
    struct vlm_image stored = *image;
    bool wanted =
        image->samples && (image->info.mode == VLM_MODE_L || image->info.mode == VLM_MODE_RGB);
    if (wanted && !image->lossless_samples) {
        int rc = vlm_image_decode(&stored, inspection->bytes.data, inspection->bytes.size,
                                  &as_stored, &inspection->arena, err);
        if (rc != VLM_OK)
            return rc;
    }
    wanted = wanted && stored.samples && stored.lossless_samples;
    add_hash(json, "sha1", wanted ? stored.samples : NULL,
             (size_t)stored.width * stored.height * stored.channels);
    return VLM_OK;
}

static bool is_written(const struct inspection *inspection, const char *name)
{
    for (size_t i = 0; i < inspection->n_written; i++)
        if (strcmp(inspection->written[i], name) == 0)
            return true;
    return false;
}

/* BASENAME.png, or BASENAME-2.png and so on when an earlier argument had that name. The caller
 * frees it; the list keeps its own copy. */
static char *unique_name(struct inspection *inspection, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    size_t size = strlen(base) + 32;
    char *name = malloc(size);
    char **list = realloc(inspection->written, (inspection->n_written + 1) * sizeof(*list));
    if (list)
        inspection->written = list;
    if (!name || !list) {
        free(name);
        return NULL;
    }
    snprintf(name, size, "%s.png", base);
    for (unsigned i = 2; is_written(inspection, name); i++)
        snprintf(name, size, "%s-%u.png", base, i);
    char *copy = strdup(name);
    if (copy)
        inspection->written[inspection->n_written++] = copy;
    return name;
}

static int write_square(struct inspection *inspection, const char *path, const uint8_t *square,
                        struct vlm_err *err)
{
    char *name = unique_name(inspection, path);
    if (!name)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a name");
    char *whole = vlm_path_join(inspection->square_folder, name);
    vlm_buffer_reset(&inspection->png);
    int rc = vlm_rgb_to_png(&inspection->png, square, VLM_SQUARE_SIDE, VLM_SQUARE_SIDE, err);
    if (rc == VLM_OK)
        rc = vlm_file_write(whole, inspection->png.data, inspection->png.size, err);
    free(whole);
    free(name);
    return rc;
}

static int add_image(struct inspection *inspection, struct vlm_json *json, const char *path,
                     struct vlm_err *err)
{
    static const uint8_t nothing[1];
    const uint8_t *bytes = inspection->bytes.data ? inspection->bytes.data : nothing;
    uint8_t square[VLM_SQUARE_BYTES];
    struct vlm_image image;
    int rc =
        vlm_image_decode(&image, bytes, inspection->bytes.size,
                         &vlm_profile_rules(inspection->profile)->image, &inspection->arena, err);
    if (rc == VLM_OK) {
        add_info(json, path, &image.info);
        rc = add_samples_hash(inspection, json, &image, err);
    }
    if (rc == VLM_OK && image.samples)
        rc = vlm_image_square(square, &image, &inspection->arena, err);
    if (rc != VLM_OK)
        return rc;
    add_hash(json, "square_sha1", image.samples ? square : NULL, sizeof(square));
    char phash[17];
    if (image.samples)
        snprintf(phash, sizeof(phash), "%016" PRIx64, vlm_image_phash(square, &inspection->arena));
    vlm_json_member_string(json, "phash", image.samples ? phash : NULL);
    vlm_json_member_number(json, "halved", image.info.halved);
    vlm_json_member_string(json, "detail", image.info.detail[0] ? image.info.detail : NULL);
    if (image.samples && inspection->square_folder)
        rc = write_square(inspection, path, square, err);
    return rc;
}

/* A file whose bytes we do not have. */
static void add_absent(struct vlm_json *json, const char *path, const char *status,
                       const char *detail)
{
    static const char *const absent[] = { "width", "height",      "mode", "orientation",
                                          "sha1",  "square_sha1", "phash" };
    vlm_json_member_string(json, "file", path);
    vlm_json_member_string(json, "format", NULL);
    vlm_json_member_string(json, "status", status);
    for (size_t i = 0; i < VLM_COUNTOF(absent); i++)
        vlm_json_member_string(json, absent[i], NULL);
    vlm_json_member_string(json, "halved", NULL);
    vlm_json_member_string(json, "detail", detail);
}

static int inspect_file(struct inspection *inspection, const char *path, struct vlm_err *err)
{
    struct vlm_json json = { .out = &inspection->line };
    struct vlm_err reason = { 0 };
    int rc = VLM_OK;
    vlm_arena_reset(&inspection->arena);
    vlm_buffer_reset(&inspection->bytes);
    vlm_buffer_reset(&inspection->line);
    vlm_json_open(&json, '{');
    /* Files somewhat over the limit are read, so that their format is known. */
    int read = vlm_file_read(&inspection->bytes, path, 2 * VLM_IMAGE_BYTES_MAX, &reason);
    if (read == VLM_OK) {
        rc = add_image(inspection, &json, path, err);
    } else if (read == VLM_ELIMIT) {
        add_absent(&json, path, vlm_image_status_name(VLM_IMAGE_TOO_LARGE_BYTES), reason.msg);
    } else {
        add_absent(&json, path, "unreadable", reason.msg);
        inspection->failed = true;
    }
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&inspection->line, '\n');
    if (rc == VLM_OK && inspection->line.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a line");
    if (rc == VLM_OK)
        fwrite(inspection->line.data, 1, inspection->line.size, stdout);
    return rc == VLM_OK ? VLM_OK : vlm_wrap(err, "%s", path);
}

static void inspection_release(struct inspection *inspection)
{
    for (size_t i = 0; i < inspection->n_written; i++)
        free(inspection->written[i]);
    free(inspection->written);
    vlm_buffer_release(&inspection->bytes);
    vlm_buffer_release(&inspection->line);
    vlm_buffer_release(&inspection->png);
    vlm_arena_release(&inspection->arena);
}

int vlm_inspect_image(int argc, char **argv)
{
    struct inspection inspection = { .profile = VLM_PROFILE_NONE };
    const struct vlm_option options[] = {
        VLM_OPTION_STRING(0, "square", &inspection.square_folder, "DIR",
                          "write the 256x256 squares as PNG files"),
        VLM_OPTION_CHOICE(0, "profile", &inspection.profile, VLM_PROFILE_WORDS,
                          "which images are not wanted"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-inspect image",
        .synopsis = "FILE... [--square DIR] [--profile none|m3w|obelics]",
        .summary = "Decode images and print one JSON object a line: format, status, size, mode, "
                   "orientation, hashes of the samples and of the square, perceptual hash.",
        .examples = "  vlm-inspect image photo.jpg --square squares\n",
        .options = options,
        .n_options = VLM_COUNTOF(options),
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc < 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "no files given");
    if (rc == VLM_OK && inspection.square_folder)
        rc = vlm_folder_make(inspection.square_folder, &err);
    vlm_arena_init(&inspection.arena, ARENA_MAX);
    for (int i = 1; rc == VLM_OK && i < argc; i++)
        rc = inspect_file(&inspection, argv[i], &err);
    int status = vlm_tool_end(&tool, rc, &err);
    bool failed = inspection.failed;
    inspection_release(&inspection);
    return status == VLM_EXIT_DONE && failed ? VLM_EXIT_FAILED : status;
}
