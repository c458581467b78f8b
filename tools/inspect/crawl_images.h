/* crawl_images.h - the image records of a crawl by the SHA-256 of their bytes.
 *
 *   rc = vlm_crawl_images_new(&images, "crawl", &err);              // reads through the whole crawl
 *   rc = vlm_crawl_images_find(images, sha256, &found, arena, &err);
 *   vlm_crawl_images_free(images);
 *
 * A shard set stores which images a page shows, but not in which records they stood. */
#ifndef VLM_TOOLS_CRAWL_IMAGES_H
#define VLM_TOOLS_CRAWL_IMAGES_H

#include "base/arena.h"
#include "base/hash.h"

struct vlm_crawl_image {
    const char *file;        /* path below the common folder; valid as long as the images */
    uint64_t offset, length; /* of the record, as in struct vlm_source */
    const uint8_t *bytes;    /* of the image file, in arena */
    size_t size;
};

struct vlm_crawl_images;

/* path: a folder or a file. Damaged records are passed over. One thread. */
VLM_MUST_CHECK int vlm_crawl_images_new(struct vlm_crawl_images **out, const char *path,
                                        struct vlm_err *err);

/* The first record, in the order of the crawl, with these bytes. VLM_SKIP: there is none (the picture stands in a
 * data: URL, or in another crawl). */
VLM_MUST_CHECK int vlm_crawl_images_find(const struct vlm_crawl_images *images,
                                         const uint8_t sha256[VLM_SHA256_SIZE],
                                         struct vlm_crawl_image *found, struct vlm_arena *arena,
                                         struct vlm_err *err);
void vlm_crawl_images_free(struct vlm_crawl_images *images); /* NULL is fine */

#endif
