/* box_process.c - the inside of the box: bytes of a picture file in, a square or a sentence out, until the
 * socket closes.
 *
 * Nothing here is trusted by the other end (box.c). What libraries need is open before the box closes: they
 * open no files. Memory goes back to the system behind each picture, so that one large picture does not leave
 * a large process. */
#include "base/vlm.h"

#include "base/limits.h"
#include "serve/picture/box_internal.h"
#include "shard/units/sandbox.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { ADDRESS_SPACE = 2 }; /* GiB */

static bool read_whole(void *to, size_t n)
{
    for (uint8_t *at = to; n;) {
        ssize_t some = read(VLM_BOX_SOCKET, at, n);
        if (some < 0 && errno == EINTR)
            continue;
        if (some <= 0)
            return false;
        at += some;
        n -= (size_t)some;
    }
    return true;
}

static bool write_whole(const void *from, size_t n)
{
    for (const uint8_t *at = from; n;) {
        ssize_t some = write(VLM_BOX_SOCKET, at, n);
        if (some < 0 && errno == EINTR)
            continue;
        if (some <= 0)
            return false;
        at += some;
        n -= (size_t)some;
    }
    return true;
}

/* Codes must be those of `vlm-vqgan encode FILE`: the same options and the same cap on memory. */
static int make_square(uint8_t *square, struct vlm_box_answer *answer, uint32_t kind,
                       const uint8_t *bytes, size_t n, struct vlm_arena *arena, struct vlm_err *err)
{
    const struct vlm_image_options options = { .transparency = kind == VLM_BOX_TRANSPARENCY };
    struct vlm_image image;
    int rc = vlm_image_decode(&image, bytes, n, &options, arena, err);
    if (rc != VLM_OK)
        return rc;
    answer->status = image.info.status;
    answer->format = image.info.format;
    const bool lies = image.info.orientation >= 5; /* EXIF: turned by a quarter */
    answer->width = lies ? image.info.height : image.info.width;
    answer->height = lies ? image.info.width : image.info.height;
    if (image.info.status != VLM_IMAGE_OK)
        return vlm_fail(err, VLM_EFORMAT, "%s", image.info.detail);
    return vlm_image_square(square, &image, arena, err);
}

/* One picture; false: the socket is closed, or this process has no memory for it. */
static bool serve_one(uint8_t *square)
{
    struct vlm_box_order order;
    struct vlm_box_answer answer = { .magic = VLM_BOX_MAGIC };
    struct vlm_err err = { 0 };
    struct vlm_arena arena;
    if (!read_whole(&order, sizeof(order)) || order.magic != VLM_BOX_MAGIC ||
        order.size > VLM_IMAGE_BYTES_MAX)
        return false;
    uint8_t *bytes = malloc((size_t)order.size + 1);
    if (!bytes || !read_whole(bytes, (size_t)order.size)) {
        free(bytes);
        return false;
    }
    vlm_arena_init(&arena, VLM_GIB);
    answer.rc = make_square(square, &answer, order.kind, bytes, (size_t)order.size, &arena, &err);
    vlm_arena_release(&arena);
    free(bytes);
    answer.size = answer.rc == VLM_OK ? VLM_SQUARE_BYTES : (uint32_t)strlen(err.msg);
    return write_whole(&answer, sizeof(answer)) &&
           write_whole(answer.rc == VLM_OK ? square : (const void *)err.msg, answer.size);
}

int vlm_picture_box(int argc, char **argv)
{
    struct vlm_box_answer hello = { .magic = VLM_BOX_MAGIC };
    struct vlm_err err = { 0 };
    (void)argv;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody would take the squares of an orphan */
    prctl(PR_SET_NAME, "vlm-picture-box");
    /* The parent is told to stop, and goes on for a while. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (argc != 2 || fcntl(VLM_BOX_SOCKET, F_GETFD) < 0) {
        fprintf(stderr, "vlm-serve: '" VLM_BOX_VERB "' is started by the server, not by hand\n");
        return VLM_EXIT_USAGE;
    }
    close_range(VLM_BOX_SOCKET + 1, ~0U, 0);
    uint8_t *square = malloc(VLM_SQUARE_BYTES);
    if (!square)
        return VLM_EXIT_FAILED;
    hello.rc = vlm_sandbox_enter(ADDRESS_SPACE * (uint64_t)VLM_GIB, &err);
    hello.size = (uint32_t)strlen(err.msg);
    if (write_whole(&hello, sizeof(hello)) && write_whole(err.msg, hello.size))
        while (serve_one(square))
            ;
    free(square);
    return VLM_EXIT_DONE;
}
