/* dump_fixture.h - making small crawl files in memory and reading them back, for tests. */
#ifndef VLM_TESTS_DUMP_FIXTURE_H
#define VLM_TESTS_DUMP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "tokenize/dump/record.h"

#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

enum { FOUND_MAX = 4096 };

/* What the reader said about one record or one damaged stretch. */
struct found {
    int rc;
    enum vlm_damage error;
    enum vlm_record_type type;
    uint64_t offset, length, start, block_length;
    uint32_t block_crc;
    char uri[80];
};

struct found_list {
    struct found item[FOUND_MAX];
    size_t n, records, damages;
    uint64_t first, position;
    int rc; /* of the open, or of the last next */
};

static inline void add_record(struct vlm_buffer *out, const char *type, const char *uri,
                              const void *block, size_t n)
{
    vlm_buffer_printf(out,
                      "WARC/1.0\r\nWARC-Type: %s\r\nWARC-Target-URI: %s\r\n"
                      "WARC-Date: 2024-01-02T03:04:05Z\r\nContent-Length: %zu\r\n\r\n",
                      type, uri, n);
    vlm_buffer_add(out, block, n);
    vlm_buffer_text(out, "\r\n\r\n");
}

/* A page whose bytes depend on i, compressible but not trivially. */
static inline void add_page(struct vlm_buffer *out, unsigned i)
{
    struct vlm_buffer block = { 0 };
    char uri[64];
    unsigned seed = i * 2654435761u + 1;
    snprintf(uri, sizeof(uri), "http://example.org/page/%u", i);
    vlm_buffer_printf(&block, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>page %u ",
                      i);
    for (unsigned k = 0; k < 60 + i % 7 * 40; k++) {
        seed = seed * 1103515245u + 12345u;
        vlm_buffer_printf(&block, "word%u ", seed >> 20 & 255);
    }
    add_record(out, "response", uri, block.data, block.size);
    vlm_buffer_release(&block);
}

/* The bytes as one gzip member behind out. */
static inline void add_member(struct vlm_buffer *out, const void *bytes, size_t n)
{
    z_stream z = { 0 };
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t bound = deflateBound(&z, n);
    uint8_t *to = vlm_buffer_reserve(out, bound);
    z.next_in = (z_const Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)n;
    z.next_out = to;
    z.avail_out = (uInt)bound;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->size += bound - z.avail_out;
    deflateEnd(&z);
}

/* n pages, plain or one member each; starts[i] is where page i begins, starts[n] the size. */
static inline void make_crawl(struct vlm_buffer *out, unsigned n, bool gzip, uint64_t *starts)
{
    for (unsigned i = 0; i < n; i++) {
        struct vlm_buffer record = { 0 };
        starts[i] = out->size;
        add_page(&record, i);
        if (gzip)
            add_member(out, record.data, record.size);
        else
            vlm_buffer_add(out, record.data, record.size);
        vlm_buffer_release(&record);
    }
    starts[n] = out->size;
}

static inline int file_of(const void *bytes, size_t n)
{
    int fd = memfd_create("crawl", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, 0), (ssize_t)n);
    return fd;
}

static inline void collect(struct found_list *list, struct vlm_dump *dump)
{
    struct vlm_record record;
    struct vlm_err err = { 0 };
    list->first = vlm_dump_first(dump);
    while ((list->rc = vlm_dump_next(dump, &record, &err)) == VLM_OK || list->rc == VLM_SKIP) {
        assert_true(list->n < FOUND_MAX);
        struct found *found = &list->item[list->n++];
        *found = (struct found){ .rc = list->rc,
                                 .error = record.error,
                                 .type = record.type,
                                 .offset = record.offset,
                                 .length = record.length,
                                 .start = record.start,
                                 .block_length = record.block_length };
        if (list->rc == VLM_OK)
            found->block_crc = (uint32_t)crc32(0, record.block, (uInt)record.block_length);
        snprintf(found->uri, sizeof(found->uri), "%s", record.uri ? record.uri : "");
        list->records += list->rc == VLM_OK;
        list->damages += list->rc == VLM_SKIP;
    }
    list->position = vlm_dump_position(dump);
    assert_true(list->rc == VLM_EOF || err.msg[0]);
}

/* Everything in a range of the file. */
static inline void read_range(struct found_list *list, int fd, uint64_t begin, uint64_t end,
                              bool exact)
{
    struct vlm_dump *dump = NULL;
    struct vlm_err err = { 0 };
    const struct vlm_dump_input in = {
        .fd = fd, .name = "test", .begin = begin, .end = end, .exact = exact
    };
    list->n = list->records = list->damages = 0;
    list->rc = vlm_dump_open(&dump, &in, &err);
    if (list->rc == VLM_OK)
        collect(list, dump);
    else
        assert_true(err.msg[0]);
    vlm_dump_close(dump);
}

static inline void read_bytes(struct found_list *list, const void *bytes, size_t n)
{
    int fd = file_of(bytes, n);
    read_range(list, fd, 0, 0, false);
    close(fd);
}

/* Is page i among the records, whole? */
static inline bool has_page(const struct found_list *list, unsigned i)
{
    struct vlm_buffer record = { 0 };
    char uri[64];
    add_page(&record, i);
    snprintf(uri, sizeof(uri), "http://example.org/page/%u", i);
    const uint8_t *block = memmem(record.data, record.size, "\r\n\r\n", 4);
    size_t n = record.size - 4 - (size_t)(block + 4 - record.data);
    uint32_t crc = (uint32_t)crc32(0, block + 4, (uInt)n);
    vlm_buffer_release(&record);
    for (size_t k = 0; k < list->n; k++) {
        const struct found *found = &list->item[k];
        if (found->rc == VLM_OK && !strcmp(found->uri, uri) && found->block_length == n &&
            found->block_crc == crc)
            return true;
    }
    return false;
}

#endif
