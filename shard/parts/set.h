/* set.h - reading a shard set: documents in order, images by their SHA-256.
 *
 *   rc = vlm_set_open(&set, "out", &err);
 *   while (rc == VLM_OK && (rc = vlm_set_next(set, &document, arena, &err)) == VLM_OK)
 *       vlm_arena_reset(arena);
 *   vlm_set_close(set);
 *
 * One thread at a time. Files are opened read-only; every record is checked before it is used. */
#ifndef VLM_SHARD_SET_H
#define VLM_SHARD_SET_H

#include "shard/parts/manifest.h"
#include "shard/parts/stored.h"

struct vlm_set;

VLM_MUST_CHECK int vlm_set_open(struct vlm_set **out, const char *folder, struct vlm_err *err);

/* The next document, in arena. VLM_OK, VLM_EOF or an error that names part and ordinal. */
VLM_MUST_CHECK int vlm_set_next(struct vlm_set *set, struct vlm_document **document,
                                struct vlm_arena *arena, struct vlm_err *err);

/* The stored image in the part of the last document; valid until the next call. VLM_SKIP: not there. */
VLM_MUST_CHECK int vlm_set_image(struct vlm_set *set, const uint8_t sha256[VLM_SHA256_SIZE],
                                 struct vlm_stored_image *image, struct vlm_err *err);

/* The tokenizer whose codes an id asks for, valid as long as the set; id NULL: the first, and *found is
 * NULL when the set has no codes. VLM_EUSAGE: it has none by a tokenizer with that id. */
VLM_MUST_CHECK int vlm_set_tokenizer(const struct vlm_set *set, const char *id,
                                     const struct vlm_set_tokenizer **found, struct vlm_err *err);

/* Codes of an image by a tokenizer of the set (id as above). VLM_SKIP: there are none for this image, or
 * the set has no codes. VLM_EUSAGE: the set has no tokenizer with that id. */
VLM_MUST_CHECK int vlm_set_codes(struct vlm_set *set, const char *id,
                                 const uint8_t sha256[VLM_SHA256_SIZE], uint16_t codes[VLM_CODES],
                                 struct vlm_err *err);

/* Gives each usable image of the last document its codes, in arena (id as above). */
VLM_MUST_CHECK int vlm_set_add_codes(struct vlm_set *set, const char *id,
                                     struct vlm_document *document, struct vlm_arena *arena,
                                     struct vlm_err *err);
const struct vlm_manifest *vlm_set_manifest(const struct vlm_set *set);
void vlm_set_close(struct vlm_set *set);

/* One part, for verify: opened by itself, iterated by database. */
struct vlm_part_reader;
VLM_MUST_CHECK int vlm_part_open(struct vlm_part_reader **out, const char *path,
                                 struct vlm_err *err);

/* The same for a file that is open: fd stays the caller's, path is its name in sentences. It is read even when
 * another has its name by now, or none. */
VLM_MUST_CHECK int vlm_part_open_fd(struct vlm_part_reader **out, int fd, const char *path,
                                    struct vlm_err *err);

/* The next record of a database (docs, images, codes/ID, urls, meta) in key order; key and value point into the
 * map. Starts over when the name changes. */
VLM_MUST_CHECK int vlm_part_next(struct vlm_part_reader *part, const char *database,
                                 struct vlm_bytes *key, struct vlm_bytes *value,
                                 struct vlm_err *err);
VLM_MUST_CHECK int vlm_part_get(struct vlm_part_reader *part, const char *database, const void *key,
                                size_t key_size, struct vlm_bytes *value, struct vlm_err *err);

/* Gives each usable image of a document of this part its codes by a tokenizer of the set, in arena. An image
 * that has none stays without. */
VLM_MUST_CHECK int vlm_part_read_codes(struct vlm_part_reader *part,
                                       const struct vlm_set_tokenizer *tokenizer,
                                       struct vlm_document *document, struct vlm_arena *arena,
                                       struct vlm_err *err);
void vlm_part_close(struct vlm_part_reader *part);

#endif
