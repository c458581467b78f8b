/* unit.h - what a worker makes of one unit of input: a file that is whole or worthless.
 *
 * Layout (schemas/unit.md): a header; stored documents and stored images, one behind the other; an
 * index that holds what the join needs to know of each; a trailer with the ledger, the true end of the
 * unit in its input, and checksums. The trailer is written last: a file without it is no unit. */
#ifndef VLM_SHARD_UNIT_H
#define VLM_SHARD_UNIT_H

#include "base/buffer.h"
#include "base/hash.h"
#include "base/limits.h"
#include "shard/ledger.h"
#include "vqgan/tokenizer/tokenizer.h"

/* What the crawl holds under a URL (or, for images, under a payload digest). */
enum vlm_capture_kind {
    VLM_CAPTURE_IMAGE,
    VLM_CAPTURE_REDIRECT,
    VLM_CAPTURE_REVISIT,
    VLM_CAPTURE_HTTP_ERROR,
    VLM_CAPTURE_OTHER, /* found, but no image */
    VLM_CAPTURE_KINDS,
};

struct vlm_capture {
    struct vlm_key key; /* of the canonical URL, or of the payload digest */
    uint64_t date;      /* seconds, 0 unknown */
    uint8_t kind;
    /* IMAGE */
    uint8_t status, format;
    bool again; /* a second key of an image that has been listed: not counted */
    uint32_t width, height;
    uint8_t sha256[VLM_SHA256_SIZE];
    uint64_t position; /* of the stored image in the unit file; 0: not stored (status not OK) */
    uint32_t size;
    /* REDIRECT: target. REVISIT: the URL, date and payload digest it refers to; zero keys: absent */
    struct vlm_key target, digest;
    uint64_t target_date;
};

struct vlm_reference {
    uint8_t status; /* NO_URL, OPT_OUT: settled; else NOT_IN_CRAWL until joined */
    uint8_t n_candidates;
    struct vlm_key candidate[VLM_IMAGE_CANDIDATES_MAX];
};

/* A document of the unit, as far as the rules that need the whole crawl must know it. Size 0: there is no
 * document, only the fact that this capture of the URL has opted out. */
struct vlm_document_head {
    uint64_t position; /* of the stored document in the unit file */
    uint32_t size;
    struct vlm_key url;
    uint64_t date;
    uint32_t words; /* of the main text */
    uint32_t n_references;
};

struct vlm_unit_trailer {
    uint64_t first, end; /* vlm_dump_first and vlm_dump_position of the unit */
    uint64_t n_documents, n_captures;
    uint64_t index_position, index_size;
    uint64_t chain;       /* checksum over documents and images */
    uint64_t index_check; /* XXH3-64 of the index */
    struct vlm_ledger ledger;
};

/* Writing: through a file descriptor that somebody else opened, and later names. */
struct vlm_unit_writer {
    int fd;
    const char *name;
    struct vlm_buffer out;   /* not yet written */
    struct vlm_buffer heads; /* index: documents */
    struct vlm_buffer captures;
    uint64_t position; /* of the end of out in the file */
    struct vlm_unit_trailer trailer;
};

VLM_MUST_CHECK int vlm_unit_begin(struct vlm_unit_writer *unit, int fd, const char *name,
                                  uint64_t plan, struct vlm_err *err);

/* Add a stored document or image; position and size of head or capture are set here. An image may be
 * followed by its codes (vlm_unit_codes_add). */
VLM_MUST_CHECK int vlm_unit_add_document(struct vlm_unit_writer *unit,
                                         const struct vlm_buffer *stored,
                                         struct vlm_document_head *head,
                                         const struct vlm_reference *references,
                                         struct vlm_err *err);
VLM_MUST_CHECK int vlm_unit_add_image(struct vlm_unit_writer *unit, const struct vlm_buffer *stored,
                                      struct vlm_capture *capture, struct vlm_err *err);
void vlm_unit_add_capture(struct vlm_unit_writer *unit, const struct vlm_capture *capture);

/* Codes of an image, behind its stored form: XXH3-64 of them, then 256 u16. */
enum { VLM_UNIT_CODES = 8 + 2 * VLM_CODES };
void vlm_unit_codes_add(struct vlm_buffer *stored, const uint16_t codes[VLM_CODES]);

/* What stands behind an image of n bytes. VLM_SKIP: it has no codes. */
VLM_MUST_CHECK int vlm_unit_codes_read(uint16_t codes[VLM_CODES], const struct vlm_buffer *stored,
                                       size_t n, struct vlm_err *err);

/* Writes the index and the trailer (unit->trailer.first, end and ledger are the caller's). */
VLM_MUST_CHECK int vlm_unit_end(struct vlm_unit_writer *unit, struct vlm_err *err);
void vlm_unit_release(struct vlm_unit_writer *unit);

/* Reading. The trailer is checked at open; the index when it is read; documents and images by their
 * own checksums. */
struct vlm_unit {
    int fd;
    char *path;
    struct vlm_unit_trailer trailer;
    struct vlm_buffer index;
    struct vlm_bytes at; /* walks the index: documents first, then captures */
    uint64_t documents_left, captures_left;
};

/* VLM_SKIP: there is no such file, or it is no whole unit of this plan. */
VLM_MUST_CHECK int vlm_unit_open(struct vlm_unit *unit, const char *path, uint64_t plan,
                                 struct vlm_err *err);
VLM_MUST_CHECK int vlm_unit_read_index(struct vlm_unit *unit, struct vlm_err *err);

/* The next document of the index and its references (an array that the caller frees grows in
 * *references). VLM_OK or VLM_EOF. */
VLM_MUST_CHECK int vlm_unit_next_document(struct vlm_unit *unit, struct vlm_document_head *head,
                                          struct vlm_reference **references, struct vlm_err *err);
VLM_MUST_CHECK int vlm_unit_next_capture(struct vlm_unit *unit, struct vlm_capture *capture,
                                         struct vlm_err *err);

/* Reads size bytes at position, replacing what is in buffer. */
VLM_MUST_CHECK int vlm_unit_read(const struct vlm_unit *unit, struct vlm_buffer *buffer,
                                 uint64_t position, uint32_t size, struct vlm_err *err);
void vlm_unit_close(struct vlm_unit *unit);

#endif
