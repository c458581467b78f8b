/* squares.h - pictures to squares on all cores, and something done with each; results in order.
 *
 *   struct vlm_squares squares = { .threads = 0, .work = work, .done = done, .context = &mine };
 *   rc = vlm_squares_run(&squares, argv + 1, argc - 1, &err);
 *
 * work() is called on any thread for a picture that became a square; done() on the caller's thread for
 * every picture, in the order in which they were found. */
#ifndef VLM_TOOLS_SQUARES_H
#define VLM_TOOLS_SQUARES_H

#include "base/buffer.h"
#include "tools/vqgan/gather.h"
#include "vqgan/image/image.h"

struct vlm_squares_item {
    enum vlm_gathered_from from;
    char *name;
    uint8_t sha256[VLM_SHA256_SIZE];
    uint8_t group[16];
    uint32_t side;            /* the shorter one of the original; 0 unknown */
    struct vlm_buffer bytes;  /* of the file, or of the JPEG of its square (from a set) */
    const char *error;        /* NULL, or a word: corrupt, truncated, unreadable, ... */
    char problem[1024];       /* with error: a sentence for people, without the name */
    bool missing;             /* as in struct vlm_gathered */
    uint8_t *square;          /* [256][256][3], unless error */
    struct vlm_buffer result; /* what work() makes, empty when it begins */
};

struct vlm_squares {
    size_t threads; /* as in vlm_pool_new() */
    int (*work)(void *context, struct vlm_squares_item *item, size_t worker, struct vlm_err *err);
    int (*done)(void *context, struct vlm_squares_item *item, struct vlm_err *err);
    void *context;
    const volatile sig_atomic_t *stop; /* as in struct vlm_gather */
};
VLM_MUST_CHECK int vlm_squares_run(const struct vlm_squares *squares, char *const *inputs, size_t n,
                                   struct vlm_err *err);

#endif
