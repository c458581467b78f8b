/* box_internal.h - what goes over the socket between box.c and box_process.c: one program, one machine. */
#ifndef VLM_SERVE_BOX_INTERNAL_H
#define VLM_SERVE_BOX_INTERNAL_H

#include "serve/picture/box.h"

#include <fcntl.h>

enum { VLM_BOX_SOCKET = 3 };
#define VLM_BOX_MAGIC UINT32_C(0x784f4256)

struct vlm_box_order {
    uint32_t magic, kind; /* enum vlm_box_kind */
    uint64_t size;        /* of the file, whose bytes follow */
};

/* Then a square when rc is VLM_OK, else a sentence without NUL. The first answer is about the box itself: rc
 * VLM_SKIP and why it is not confined. */
struct vlm_box_answer {
    uint32_t magic;
    int32_t rc;
    uint32_t status, format, width, height;
    uint32_t size; /* of what follows */
};

#endif
