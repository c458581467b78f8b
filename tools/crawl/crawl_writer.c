/* crawl_writer.c - writes WARC 1.1 (ISO 28500:2017) records as gzip members with libdeflate.
 *
 * Nothing depends on the clock or on earlier output, so the bytes of a record are a function of its
 * fields, the seed and the version of libdeflate. Only what a crawler of web pages needs is here. */
#include "base/vlm.h"
#include "tools/crawl/crawl_writer.h"

#include "base/hash.h"
#include "base/random.h"

#include <libdeflate.h>
#include <time.h>

enum { FAST_LEVEL = 1, GOOD_LEVEL = 6, GZIP_HEADER = 10, GZIP_TRAILER = 8 };

struct crawl_writer {
    struct vlm_buffer *out;
    struct vlm_buffer plain; /* the record before compression */
    struct libdeflate_compressor *fast, *good;
    struct vlm_random ids;
    uint64_t counts[CRAWL_TYPES];
};

struct crawl_writer *crawl_writer_new(void)
{
    struct crawl_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return NULL;
    writer->fast = libdeflate_alloc_compressor(FAST_LEVEL);
    writer->good = libdeflate_alloc_compressor(GOOD_LEVEL);
    if (writer->fast && writer->good)
        return writer;
    crawl_writer_free(writer);
    return NULL;
}

void crawl_writer_free(struct crawl_writer *writer)
{
    if (!writer)
        return;
    if (writer->fast)
        libdeflate_free_compressor(writer->fast);
    if (writer->good)
        libdeflate_free_compressor(writer->good);
    vlm_buffer_release(&writer->plain);
    free(writer);
}

void crawl_writer_begin(struct crawl_writer *writer, struct vlm_buffer *out, uint64_t seed,
                        uint64_t stream)
{
    enum { STREAM_IDS = 0x1d5 };
    writer->out = out;
    writer->ids = vlm_random_at(seed, STREAM_IDS, stream);
    memset(writer->counts, 0, sizeof(writer->counts));
}

const uint64_t *crawl_writer_counts(const struct crawl_writer *writer)
{
    return writer->counts;
}

/* A version 4 UUID (RFC 4122). */
static void next_id(struct crawl_writer *writer, char id[CRAWL_ID_SIZE])
{
    uint64_t high = vlm_random_next(&writer->ids), low = vlm_random_next(&writer->ids);
    high = (high & ~(uint64_t)0xf000) | 0x4000;
    low = (low & ~((uint64_t)3 << 62)) | (uint64_t)1 << 63;
    snprintf(id, CRAWL_ID_SIZE, "<urn:uuid:%08x-%04x-%04x-%04x-%012" PRIx64 ">",
             (unsigned)(high >> 32), (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff),
             (unsigned)(low >> 48), low & 0xffffffffffff);
}

char *crawl_digest_text(char out[CRAWL_DIGEST_SIZE], const uint8_t *bytes, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint8_t sha1[VLM_SHA1_SIZE];
    vlm_sha1(sha1, bytes, n);
    memcpy(out, "sha1:", 5);
    /* 20 bytes are exactly 32 digits of five bits. */
    for (size_t i = 0; i < 32; i++) {
        size_t bit = 5 * i, byte = bit / 8;
        unsigned two = (unsigned)sha1[byte] << 8 | (byte + 1 < VLM_SHA1_SIZE ? sha1[byte + 1] : 0);
        out[5 + i] = digit[two >> (11 - bit % 8) & 31];
    }
    out[37] = 0;
    return out;
}

char *crawl_date_text(char out[CRAWL_DATE_SIZE], uint64_t time)
{
    time_t seconds = (time_t)time;
    struct tm parts;
    gmtime_r(&seconds, &parts);
    VLM_BUG_IF(strftime(out, CRAWL_DATE_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0);
    return out;
}

void crawl_gzip_add(struct crawl_writer *writer, struct vlm_buffer *out, const uint8_t *bytes,
                    size_t n, bool fast)
{
    struct libdeflate_compressor *compressor = fast ? writer->fast : writer->good;
    size_t bound = libdeflate_gzip_compress_bound(compressor, n);
    uint8_t *to = vlm_buffer_reserve(out, bound);
    if (!to)
        return;
    size_t size = libdeflate_gzip_compress(compressor, bytes, n, to, bound);
    VLM_BUG_IF(size == 0);
    out->size += size;
}

static void add_field(struct vlm_buffer *out, const char *name, const char *value)
{
    if (value)
        vlm_buffer_printf(out, "%s: %s\r\n", name, value);
}

static const char *content_type(enum crawl_type type)
{
    switch (type) {
    case CRAWL_REQUEST:
        return "application/http; msgtype=request";
    case CRAWL_RESPONSE:
    case CRAWL_REVISIT:
        return "application/http; msgtype=response";
    default:
        return "application/warc-fields";
    }
}

static void write_header(struct vlm_buffer *out, const struct crawl_record *record, const char *id)
{
    static const char *const types[CRAWL_TYPES] = { "warcinfo", "request", "response", "revisit",
                                                    "metadata" };
    char date[CRAWL_DATE_SIZE], digest[CRAWL_DIGEST_SIZE];
    vlm_buffer_text(out, "WARC/1.1\r\n");
    add_field(out, "WARC-Type", types[record->type]);
    add_field(out, "WARC-Record-ID", id);
    add_field(out, "WARC-Date", crawl_date_text(date, record->time));
    add_field(out, "WARC-Target-URI", record->uri);
    if (record->type == CRAWL_RESPONSE)
        add_field(out, "WARC-IP-Address", "192.0.2.7"); /* RFC 5737: for documentation */
    add_field(out, "WARC-Concurrent-To", record->concurrent_to);
    if (record->type == CRAWL_REVISIT)
        add_field(out, "WARC-Profile",
                  "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest");
    add_field(out, "WARC-Refers-To-Target-URI", record->refers_to_uri);
    if (record->refers_to_uri)
        add_field(out, "WARC-Refers-To-Date", crawl_date_text(date, record->refers_to_time));
    if (record->payload)
        add_field(out, "WARC-Payload-Digest",
                  crawl_digest_text(digest, record->payload, record->payload_size));
    else
        add_field(out, "WARC-Payload-Digest", record->payload_digest);
    add_field(out, "WARC-Block-Digest",
              crawl_digest_text(digest, record->block, record->block_size));
    add_field(out, "Content-Type", content_type(record->type));
    vlm_buffer_printf(out, "Content-Length: %zu\r\n\r\n", record->block_size);
}

void crawl_record_add(struct crawl_writer *writer, const struct crawl_record *record,
                      char id[CRAWL_ID_SIZE])
{
    char own[CRAWL_ID_SIZE];
    next_id(writer, own);
    if (id)
        memcpy(id, own, sizeof(own));
    struct vlm_buffer *plain = &writer->plain;
    vlm_buffer_reset(plain);
    write_header(plain, record, own);
    vlm_buffer_add(plain, record->block, record->block_size);
    vlm_buffer_text(plain, "\r\n\r\n");
    writer->out->failed |= plain->failed;
    size_t start = writer->out->size;
    crawl_gzip_add(writer, writer->out, plain->data, plain->size, record->fast);
    writer->counts[record->type]++;
    if (record->damaged && !writer->out->failed) {
        size_t length = writer->out->size - start - GZIP_HEADER - GZIP_TRAILER;
        writer->out->data[start + GZIP_HEADER + length / 2] ^= 0x5a;
    }
}
