/* tokenizer.h - image tokenizers: a square of 256 x 256 RGB pixels becomes 256 codes, and back.
 *
 *   struct vlm_tokenizer *tokenizer;
 *   struct vlm_coder *coder;
 *   int rc = vlm_tokenizer_open(&tokenizer, NULL, VLM_PRECISION_EXACT, &err);   // the shipped one
 *   if (rc == VLM_OK)
 *       rc = vlm_coder_new(&coder, tokenizer, 1, &err);
 *   rc = vlm_coder_encode(coder, codes, squares, n, &err);
 *   rc = vlm_coder_decode(coder, squares, codes, n, &err);
 *   vlm_coder_free(coder);
 *   vlm_tokenizer_close(tokenizer);
 *
 * Code number y * 16 + x stands for the 16 x 16 pixels in row y and column x of that grid. A tokenizer
 * is read-only once it is open and serves any number of coders; a coder belongs to one thread (and may
 * use more inside). Codes depend on the square alone: not on the batch, its order or the threads.
 *
 * A model is a folder, config.json and model.safetensors (schemas/tokenizer.md). Its id is
 * KIND-<12 hexadecimal digits> of a SHA-256 over what decides the codes: kind, architecture, weights
 * and, unless it is exact, the precision. The container, dtypes and strides of a file do not enter. */
#ifndef VLM_VQGAN_TOKENIZER_H
#define VLM_VQGAN_TOKENIZER_H

#include "vqgan/image/image.h"

#include <stdatomic.h>

enum {
    VLM_CODES_SIDE = 16,
    VLM_CODES = VLM_CODES_SIDE * VLM_CODES_SIDE, /* of an image */
    VLM_CODE_UNKNOWN = 0xffff,                   /* in a partial grid; no codebook is that large */
    VLM_TOKENIZER_ID_SIZE = 32,                  /* with its NUL */
};

enum vlm_precision {
    VLM_PRECISION_EXACT, /* fp32; Winograd F(2 x 2) where it is faster */
    VLM_PRECISION_FAST,  /* Winograd F(4 x 4): an error of some 1e-5 */
    VLM_PRECISION_BF16,  /* operands of products in bf16, but for those that F(4 x 4) does faster */
};
#define VLM_PRECISION_WORDS "exact|fast|bf16"

struct vlm_tokenizer;

/* folder: of a model; NULL: the tokenizer that is part of the program. Checks names, shapes, finiteness
 * and the id. On failure *out is NULL. */
VLM_MUST_CHECK int vlm_tokenizer_open(struct vlm_tokenizer **out, const char *folder,
                                      enum vlm_precision precision, struct vlm_err *err);
void vlm_tokenizer_close(struct vlm_tokenizer *tokenizer); /* NULL is fine */

struct vlm_tokenizer_info {
    const char *id;       /* "vq-xs-0123456789ab" */
    const char *kind;     /* "pca", "vq-xs", "taming", ... */
    const char *config;   /* the text of config.json */
    size_t codebook_size; /* K: codes are 0 to K - 1 */
    size_t code_width;    /* D, numbers in a row of the codebook */
    size_t parameters;    /* numbers in all tensors */
    enum vlm_precision precision;
};
struct vlm_tokenizer_info vlm_tokenizer_info(const struct vlm_tokenizer *tokenizer);

/* What one thread needs to use a tokenizer. threads: of its products (0: all cores); 1 when every
 * thread has images and a coder of its own, which is how many images are done fastest. */
struct vlm_coder;
VLM_MUST_CHECK int vlm_coder_new(struct vlm_coder **out, const struct vlm_tokenizer *tokenizer,
                                 size_t threads, struct vlm_err *err);
void vlm_coder_free(struct vlm_coder *coder); /* NULL is fine */

/* From now on encode and decode end soon after another thread has set *stop, with VLM_ESTOPPED: it is looked at
 * between the layers of a network. NULL: they do not. */
void vlm_coder_stop(struct vlm_coder *coder, const atomic_bool *stop);

/* Multiply-adds of one image, each as two, and a convolution by its definition, whatever runs. */
struct vlm_coder_cost {
    double encode, decode;
};
struct vlm_coder_cost vlm_coder_cost(const struct vlm_coder *coder);

/* squares [n][256][256][3] -> codes [n][256]. VLM_EFORMAT when a latent is not finite: no code then. */
VLM_MUST_CHECK int vlm_coder_encode(struct vlm_coder *coder, uint16_t *codes,
                                    const uint8_t *squares, size_t n, struct vlm_err *err);

/* codes [n][256] -> squares. Cells whose code is VLM_CODE_UNKNOWN come out grey (128), and their
 * neighbours as if the mean of the codebook stood there. VLM_EFORMAT for a code that is K or more. */
VLM_MUST_CHECK int vlm_coder_decode(struct vlm_coder *coder, uint8_t *squares,
                                    const uint16_t *codes, size_t n, struct vlm_err *err);

/* For parity checks, one image, sizes as in the paper's code: z [16][16][D] before quantisation (of
 * pixels / 127.5 - 1, or whatever the kind wants), and x [256][256][3] before clamping. */
VLM_MUST_CHECK int vlm_coder_latents(struct vlm_coder *coder, float *z,
                                     const uint8_t square[VLM_SQUARE_BYTES], struct vlm_err *err);
VLM_MUST_CHECK int vlm_coder_pixels(struct vlm_coder *coder, float *x,
                                    const uint16_t codes[VLM_CODES], struct vlm_err *err);

#endif
