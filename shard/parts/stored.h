/* stored.h - documents and images as bytes: the values of a part (schemas/document.md, image.md).
 *
 * A stored document begins with a header and an image table of fixed layout, so that seal can write
 * what the join found without decoding the rest. Both kinds begin with the XXH3-64 of what follows;
 * reading checks it first and never trusts a length. */
#ifndef VLM_SHARD_STORED_H
#define VLM_SHARD_STORED_H

#include "base/buffer.h"
#include "tokenize/document.h"
#include "vqgan/tokenizer/tokenizer.h"

enum {
    VLM_STORED_VERSION = 1,
    VLM_STORED_HEADER = 64,      /* before the image table of a document */
    VLM_STORED_IMAGE_ENTRY = 44, /* one image of that table */
};

/* What the join says about one image of a document. */
struct vlm_join_result {
    uint8_t status; /* vlm_image_status */
    uint8_t format;
    uint8_t used; /* candidate */
    uint32_t width, height;
    uint8_t sha256[VLM_SHA256_SIZE];
};

/* Appends a stored document. data: URLs are replaced by "data:" and the SHA-256 of the whole URL. */
void vlm_stored_document_encode(struct vlm_buffer *out, const struct vlm_document *document);

/* Number of images in its table. bytes must be at least VLM_STORED_HEADER long. */
uint32_t vlm_stored_document_images(const uint8_t *bytes);

/* Its id, 16 bytes, likewise; borrowed. Not checked: only the checksum says that it is what was written. */
const uint8_t *vlm_stored_document_id(const uint8_t *bytes);

/* Writes results[n] (n = its number of images) into the table and renews the checksum. VLM_EFORMAT when
 * size is too small for the table. */
VLM_MUST_CHECK int vlm_stored_document_join(uint8_t *bytes, size_t size,
                                            const struct vlm_join_result *results,
                                            struct vlm_err *err);

/* Checks everything and builds the document in arena (text and strings point into copies there). */
VLM_MUST_CHECK int vlm_stored_document_decode(struct vlm_document **out, const uint8_t *bytes,
                                              size_t size, struct vlm_arena *arena,
                                              struct vlm_err *err);

/* One image as stored. square and original point into the bytes it was read from; NULL when that form
 * was not kept. */
struct vlm_stored_image {
    uint8_t format, mode, orientation, halved;
    uint32_t width, height;
    uint64_t phash;
    const uint8_t *square; /* JPEG of the 256x256 square */
    size_t square_size;
    const uint8_t *original;
    size_t original_size;
};

void vlm_stored_image_encode(struct vlm_buffer *out, const struct vlm_stored_image *image);
VLM_MUST_CHECK int vlm_stored_image_decode(struct vlm_stored_image *image, const uint8_t *bytes,
                                           size_t size, struct vlm_err *err);

/* Bytes of the stored image at the beginning of bytes, which may be more; 0 when they are too few. */
size_t vlm_stored_image_size(const uint8_t *bytes, size_t size);

/* The square as tokenizers see it: the samples of its stored JPEG file. */
VLM_MUST_CHECK int vlm_stored_square_decode(uint8_t square[VLM_SQUARE_BYTES], const uint8_t *jpeg,
                                            size_t size, struct vlm_arena *arena,
                                            struct vlm_err *err);

/* Codes as stored: 256 little-endian u16. */
enum { VLM_CODES_BYTES = 2 * VLM_CODES };
void vlm_codes_encode(uint8_t bytes[VLM_CODES_BYTES], const uint16_t codes[VLM_CODES]);
void vlm_codes_decode(uint16_t codes[VLM_CODES], const uint8_t bytes[VLM_CODES_BYTES]);

/* The name under which a data: URL goes on: "data:sha256:" and 64 hexadecimal digits. */
enum { VLM_DATA_NAME_SIZE = 12 + 64 + 1 };
void vlm_data_name(char name[VLM_DATA_NAME_SIZE], const char *url, size_t n);

#endif
