/* crawl_writer.h - WARC 1.1 records, each in a gzip member of its own, appended to a buffer.
 *
 *   struct crawl_writer *writer = crawl_writer_new();
 *   crawl_writer_begin(writer, &out, seed, page);           // record ids follow from these
 *   crawl_record_add(writer, &(struct crawl_record){ .type = CRAWL_RESPONSE, .uri = url, ... });
 *   crawl_writer_free(writer);
 *
 * Failures stick to the buffer. One thread at a time. */
#ifndef VLM_TOOLS_CRAWL_WRITER_H
#define VLM_TOOLS_CRAWL_WRITER_H

#include "base/buffer.h"

enum crawl_type {
    CRAWL_WARCINFO,
    CRAWL_REQUEST,
    CRAWL_RESPONSE,
    CRAWL_REVISIT,
    CRAWL_METADATA,
    CRAWL_TYPES,
};

enum { CRAWL_DIGEST_SIZE = 40, CRAWL_DATE_SIZE = 24, CRAWL_ID_SIZE = 48 };

struct crawl_record {
    enum crawl_type type;
    const char *uri;      /* NULL for warcinfo */
    uint64_t time;        /* seconds since 1970 */
    const uint8_t *block; /* HTTP message, fields */
    size_t block_size;
    const uint8_t *payload; /* its SHA-1 is the payload digest; NULL: no digest */
    size_t payload_size;
    const char *payload_digest; /* instead of payload, for revisits */
    const char *refers_to_uri;  /* revisits */
    uint64_t refers_to_time;
    const char *concurrent_to; /* id of another record */
    bool damaged;              /* one byte of the compressed data is flipped */
    bool fast;                 /* little effort: the block is compressed already */
};

struct crawl_writer;

/* NULL when memory ran out. */
struct crawl_writer *crawl_writer_new(void);
void crawl_writer_free(struct crawl_writer *writer);

/* Directs records to out; ids are a function of (seed, stream of ids, position). */
void crawl_writer_begin(struct crawl_writer *writer, struct vlm_buffer *out, uint64_t seed,
                        uint64_t stream);

/* Appends a record and writes its id, which may be NULL, as "<urn:uuid:...>". */
void crawl_record_add(struct crawl_writer *writer, const struct crawl_record *record,
                      char id[CRAWL_ID_SIZE]);

/* Records written since begin, by type. */
const uint64_t *crawl_writer_counts(const struct crawl_writer *writer);

/* "sha1:" and the digest in base32, as crawlers write it. */
char *crawl_digest_text(char out[CRAWL_DIGEST_SIZE], const uint8_t *bytes, size_t n);

/* "2026-01-05T08:00:00Z". */
char *crawl_date_text(char out[CRAWL_DATE_SIZE], uint64_t time);

/* Appends a gzip member that holds the bytes. */
void crawl_gzip_add(struct crawl_writer *writer, struct vlm_buffer *out, const uint8_t *bytes,
                    size_t n, bool fast);

#endif
