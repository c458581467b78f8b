/* bench_image.c - how many images a second one thread takes from bytes to square.
 *
 * Files are read before the clock starts. Prints one JSON line; megapixels are those coded in the
 * files, so halved decoding counts as the size it saved. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "tools/bench/bench_image.h"
#include "vqgan/image/image.h"

#include <time.h>

enum { ARENA_MAX = 1 << 30 };

struct bench {
    struct vlm_buffer *files;
    size_t n_files;
    size_t squares, refused;
    uint64_t pixels, bytes;
    uint64_t check; /* of all squares: shows that two builds did the same work */
};

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int make_squares(struct bench *bench, struct vlm_arena *arena, struct vlm_err *err)
{
    uint8_t square[VLM_SQUARE_BYTES];
    for (size_t i = 0; i < bench->n_files; i++) {
        const struct vlm_buffer *file = &bench->files[i];
        struct vlm_image image;
        vlm_arena_reset(arena);
        int rc = vlm_image_decode(&image, file->data, file->size, NULL, arena, err);
        if (rc == VLM_OK && image.info.status != VLM_IMAGE_OK) {
            bench->refused++;
            continue;
        }
        if (rc == VLM_OK)
            rc = vlm_image_square(square, &image, arena, err);
        if (rc != VLM_OK)
            return rc;
        bench->squares++;
        bench->bytes += file->size;
        bench->pixels += (uint64_t)image.info.width * image.info.height;
        bench->check ^= vlm_xxh3(square, sizeof(square));
    }
    return VLM_OK;
}

static void print_result(const struct bench *bench, double seconds)
{
    struct vlm_buffer line = { 0 };
    struct vlm_json json = { .out = &line };
    char check[17];
    snprintf(check, sizeof(check), "%016" PRIx64, bench->check);
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "bench", "image");
    vlm_json_member_number(&json, "squares", bench->squares);
    vlm_json_member_number(&json, "refused", bench->refused);
    vlm_json_member_number(&json, "bytes", bench->bytes);
    vlm_json_key(&json, "seconds");
    vlm_json_real(&json, seconds);
    vlm_json_key(&json, "images_per_second");
    vlm_json_real(&json, (double)bench->squares / seconds);
    vlm_json_key(&json, "megapixels_per_second");
    vlm_json_real(&json, (double)bench->pixels * 1e-6 / seconds);
    vlm_json_member_string(&json, "check", check);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&line, '\n');
    fwrite(line.data, 1, line.size, stdout);
    vlm_buffer_release(&line);
}

static int read_files(struct bench *bench, char **paths, struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < bench->n_files; i++)
        rc = vlm_file_read(&bench->files[i], paths[i], VLM_IMAGE_BYTES_MAX, err);
    return rc;
}

int vlm_bench_image(int argc, char **argv)
{
    struct bench bench = { .n_files = (size_t)VLM_MAX(argc - 1, 0) };
    struct vlm_err err = { 0 };
    struct vlm_arena arena;
    int rc = VLM_OK;
    vlm_arena_init(&arena, ARENA_MAX);
    bench.files = calloc(bench.n_files ? bench.n_files : 1, sizeof(*bench.files));
    if (!bench.n_files || !bench.files)
        rc = vlm_fail(&err, VLM_EUSAGE, "no files given");
    if (rc == VLM_OK)
        rc = read_files(&bench, argv + 1, &err);
    double start = seconds_now();
    if (rc == VLM_OK)
        rc = make_squares(&bench, &arena, &err);
    if (rc == VLM_OK)
        print_result(&bench, seconds_now() - start);
    else
        fprintf(stderr, "%s: %s\n", argc ? argv[0] : "bench image", err.msg);
    for (size_t i = 0; bench.files && i < bench.n_files; i++)
        vlm_buffer_release(&bench.files[i]);
    free(bench.files);
    vlm_arena_release(&arena);
    return vlm_exit_status(rc);
}
