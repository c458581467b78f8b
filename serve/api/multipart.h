/* multipart.h - the parts of a form with files: multipart/form-data (RFC 7578, RFC 2046 section 5.1).
 *
 *   rc = vlm_multipart_parse(&form, &arena, body, n, request->boundary, &err);
 *   const struct vlm_part_field *prompt = vlm_multipart_find(&form, "prompt", 0);
 *
 * Read to the letter: what is before the first delimiter and behind the last one, folded lines, padding of
 * delimiters, encodings of parts and parts without a name are refused, since somebody between might read them
 * otherwise. */
#ifndef VLM_SERVE_MULTIPART_H
#define VLM_SERVE_MULTIPART_H

#include "base/arena.h"

enum {
    VLM_MULTIPART_PARTS_MAX = 64,
    VLM_MULTIPART_HEAD_MAX = 8192, /* bytes of the header of a part */
    VLM_MULTIPART_NAME_MAX = 128,  /* of a field */
    VLM_MULTIPART_FILE_MAX = 1024, /* of a file's name */
    VLM_MULTIPART_BOUNDARY_MAX = 70,
};

struct vlm_part_field {
    const char *name;
    const char *filename;     /* NULL: it is no file; never a path to use */
    const char *content_type; /* lower case, without parameters; "" without */
    const uint8_t *bytes;     /* in the body */
    size_t n;
};

struct vlm_multipart {
    struct vlm_part_field parts[VLM_MULTIPART_PARTS_MAX];
    size_t n;
};

/* Strings are in the arena, bytes stay in the body. VLM_EFORMAT: not such a form, with the place; VLM_ELIMIT: over a
 * limit above, or the arena's. */
VLM_MUST_CHECK int vlm_multipart_parse(struct vlm_multipart *form, struct vlm_arena *arena,
                                       const uint8_t *body, size_t n, const char *boundary,
                                       struct vlm_err *err);

/* The i-th part of a name, "image" also under the name "image[]"; NULL: there are not as many. */
const struct vlm_part_field *vlm_multipart_find(const struct vlm_multipart *form, const char *name,
                                                size_t i);

#endif
