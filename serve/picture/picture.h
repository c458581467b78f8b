/* picture.h - pictures of requests as codes, and codes as pictures, beside the event loop.
 *
 *   rc = vlm_pictures_new(&pictures, base, &options, &err);
 *   task = vlm_pictures_encode(pictures, bytes, n, on_encoded, argument);
 *   task = vlm_pictures_decode(pictures, codes, &form, on_decoded, argument);
 *   vlm_pictures_cancel(pictures, task);
 *
 * Bytes from outside are decoded by a confined process (shard/units/sandbox.h): one that dies costs its picture
 * only, and is started again. Codes are made and pixels are drawn by threads of this one. Callbacks come on the
 * loop's thread. Pictures that were seen are kept by the SHA-256 of their bytes, up to a limit of memory. */
#ifndef VLM_SERVE_PICTURE_H
#define VLM_SERVE_PICTURE_H

#include "serve/work/metrics.h"
#include "vqgan/tokenizer/tokenizer.h"

struct event_base;
struct vlm_pictures;
struct vlm_picture_task;

enum vlm_picture_format { VLM_PICTURE_PNG, VLM_PICTURE_JPEG, VLM_PICTURE_NONE };
#define VLM_PICTURE_WORDS "png|jpeg|codes"

struct vlm_pictures_options {
    const struct vlm_tokenizer *tokenizer;
    size_t threads;    /* of coders; at least 1 */
    size_t kept_bytes; /* of pictures and blobs in memory */
    const char
        *program; /* of which `program picture-box` is the confined process: "/proc/self/exe" */
    const char *const *sets; /* [n_sets] shard sets whose deleted.jsonl is honoured */
    size_t n_sets;
    struct vlm_metrics *metrics; /* NULL: nothing is counted */
    /* Sentences for whoever runs the server (no seccomp, malformed lines of a deleted.jsonl); on the loop's thread,
     * or in vlm_pictures_new(). NULL: nobody hears them. */
    void (*warn)(void *context, const char *sentence);
    void *warn_context;
};

/* Starts the threads and their confined processes. VLM_EFAIL, VLM_EFORMAT, VLM_EDIFFER: a set that cannot be read, a
 * process that cannot be started. */
VLM_MUST_CHECK int vlm_pictures_new(struct vlm_pictures **out, struct event_base *base,
                                    const struct vlm_pictures_options *options,
                                    struct vlm_err *err);
void vlm_pictures_free(
    struct vlm_pictures *pictures); /* NULL is fine; no callback comes any more */

/* Of the tokenizer: its id, and how many codes it has. */
const char *vlm_pictures_tokenizer(const struct vlm_pictures *pictures);
size_t vlm_pictures_codes(const struct vlm_pictures *pictures);

/* What a picture became. */
struct vlm_picture {
    uint8_t sha256[32];     /* of its bytes */
    uint32_t width, height; /* as it is looked at: turned as EXIF says */
    enum vlm_image_format format;
    uint16_t codes[VLM_CODES];
    const uint8_t *square; /* [256][256][3] as the tokenizer saw it; valid in the callback */
};
/* rc VLM_OK, or VLM_EFORMAT: not a picture that can be used, with the reason; VLM_EUSAGE: it is in a deleted.jsonl;
 * others are ours: no memory, no process, a deleted.jsonl that cannot be read. picture is NULL but for VLM_OK. */
typedef void (*vlm_encoded_fn)(void *argument, int rc, const struct vlm_err *err,
                               const struct vlm_picture *picture);

/* bytes are copied. NULL: no memory, or too many wait (512). */
struct vlm_picture_task *vlm_pictures_encode(struct vlm_pictures *pictures, const uint8_t *bytes,
                                             size_t n, vlm_encoded_fn done, void *argument);

/* The cells of the 16 x 16 grid that have a transparent pixel (opacity below one half) in the square of a PNG or
 * WebP file: what is to be drawn anew. rc as above, and VLM_SKIP: a picture of a kind without transparency; cells
 * [256], 1 or 0; NULL but for VLM_OK. */
typedef void (*vlm_masked_fn)(void *argument, int rc, const struct vlm_err *err,
                              const uint8_t *cells, uint32_t width, uint32_t height);
struct vlm_picture_task *vlm_pictures_mask(struct vlm_pictures *pictures, const uint8_t *bytes,
                                           size_t n, vlm_masked_fn done, void *argument);

/* How a picture is to come out. VLM_PICTURE_NONE: no pixels are made; it is only looked up among the deleted ones. */
struct vlm_picture_form {
    enum vlm_picture_format format;
    int quality; /* of JPEG, 1 to 100 */
    /* Region edits: where mask is 0 the pixels of `square` are put back, blended at the border of the mask (16 x 16
     * cells, 1: drawn anew). NULL: none. Both are copied. */
    const uint8_t *square, *mask;
};
/* rc VLM_OK with the file's bytes and the square; VLM_EUSAGE: the codes, or the file that they become, are those of a
 * picture in a deleted.jsonl; VLM_EFORMAT: a code that the tokenizer does not have; others are ours. Codes may be
 * VLM_CODE_UNKNOWN. */
typedef void (*vlm_decoded_fn)(void *argument, int rc, const struct vlm_err *err,
                               const uint8_t *file, size_t n, const uint8_t *square);
struct vlm_picture_task *vlm_pictures_decode(struct vlm_pictures *pictures,
                                             const uint16_t codes[VLM_CODES],
                                             const struct vlm_picture_form *form,
                                             vlm_decoded_fn done, void *argument);

/* The callback does not come any more. NULL is fine. */
void vlm_pictures_cancel(struct vlm_pictures *pictures, struct vlm_picture_task *task);

/* ---- blobs: bytes that a client sends once and names by their hash afterwards ---- */

/* Keeps a copy; the oldest unused go. VLM_ELIMIT: larger than all there may be; VLM_EUSAGE: deleted. */
VLM_MUST_CHECK int vlm_blobs_put(struct vlm_pictures *pictures, uint8_t sha256[32],
                                 const uint8_t *bytes, size_t n, struct vlm_err *err);
/* Borrowed until the next call of any function here; false: not there, or deleted. */
bool vlm_blobs_get(struct vlm_pictures *pictures, const uint8_t sha256[32], const uint8_t **bytes,
                   size_t *n);

/* Whether a picture is not to be used; reads what is new in the sets' deleted.jsonl first. */
bool vlm_pictures_is_deleted(struct vlm_pictures *pictures, const uint8_t sha256[32]);

#endif
