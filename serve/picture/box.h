/* box.h - the confined process that turns the bytes of a picture file into a square.
 *
 *   rc = vlm_box_new(&box, "/proc/self/exe", 10, &err);           // `program picture-box` runs from now on
 *   rc = vlm_box_read(box, &shown, VLM_BOX_SQUARE, bytes, n, &stop, &err);
 *   vlm_box_free(box);
 *
 * The process holds one end of a socket and nothing else: no files, no network, no other process
 * (shard/units/sandbox.h), none of the server's memory and none of its environment. It takes one picture after
 * the other; one that kills it costs that picture, and the next is read by a new process. It ends with the
 * thread that started it. schemas/ does not describe what goes over the socket: both ends are one program. */
#ifndef VLM_SERVE_BOX_H
#define VLM_SERVE_BOX_H

#include "vqgan/image/image.h"

#include <stdatomic.h>

/* The hidden verb: a program whose first argument is this word returns vlm_picture_box(argc, argv) from main(). */
#define VLM_BOX_VERB "picture-box"

/* The life of the process; its exit status. */
int vlm_picture_box(int argc, char **argv);

struct vlm_box; /* of one thread */

/* Starts the process and waits until it is confined. program is borrowed. seconds: that one picture may take.
 * VLM_EFAIL: it cannot be started, or does not answer. */
VLM_MUST_CHECK int vlm_box_new(struct vlm_box **out, const char *program, double seconds,
                               struct vlm_err *err);
void vlm_box_free(struct vlm_box *box); /* kills the process; NULL is fine */

/* Why the process is not confined, on a kernel without seccomp; "": it is. */
const char *vlm_box_warning(const struct vlm_box *box);
/* Times that it was started again. */
uint64_t vlm_box_restarts(const struct vlm_box *box);

enum vlm_box_kind {
    VLM_BOX_SQUARE,       /* the square as tools see it: vlm_image_square() */
    VLM_BOX_TRANSPARENCY, /* of how transparent each pixel is, in all three channels; PNG and WebP only */
};

/* What a picture turned out to be. */
struct vlm_box_picture {
    enum vlm_image_status
        status; /* VLM_IMAGE_WORKER_CRASH: it killed the process, or took too long */
    enum vlm_image_format format;
    uint32_t width, height; /* as it is looked at: turned as EXIF says */
    uint8_t *square;        /* [256][256][3], the caller's, filled when the result is VLM_OK */
};

/* Reads one picture. VLM_EFORMAT: it cannot be used, with the reason; VLM_ESTOPPED: *stop was set, at most 50 ms
 * ago; VLM_ELIMIT: no process can be started, also not at the third attempt, which may be otherwise the next time. */
VLM_MUST_CHECK int vlm_box_read(struct vlm_box *box, struct vlm_box_picture *picture,
                                enum vlm_box_kind kind, const uint8_t *bytes, size_t n,
                                const atomic_bool *stop, struct vlm_err *err);

#endif
