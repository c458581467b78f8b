/* test_http.c - HTTP messages inside records: headers, codings in all their forms, digests, kinds. */
#include "base/vlm.h"

#include "base/hash.h"
#include "base/limits.h"
#include "tests/dump_fixture.h"
#include "tokenize/dump/http.h"
#include "tokenize/html/page.h"

#include <zstd.h>

#define PAGE "<html><body>caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9</body></html>"

/* PAGE, and 20 MiB of zeros, by "brotli -q 11": we link no encoder. */
static const uint8_t brotli_page[] = {
    0x1b, 0x2a, 0x00, 0xf8, 0x8d, 0x94, 0xa9, 0xeb, 0x53, 0x83, 0x8c,
    0x99, 0xa5, 0xaa, 0xb0, 0xe1, 0x26, 0xa4, 0x10, 0x61, 0xe0, 0xd1,
    0x07, 0x7c, 0x02, 0x8c, 0x49, 0xbc, 0x18, 0xe2, 0x55, 0x87, 0x50,
};
static const uint8_t brotli_zeros[] = {
    0xcb, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x8f,
    0xff, 0xff, 0x7f, 0xf0, 0x4f, 0x00, 0xc4, 0x61, 0x11, 0x80, 0xee, 0xfd, 0x5f, 0xfe,
    0xff, 0xff, 0xe0, 0x9f, 0x00, 0x88, 0xc3, 0x02, 0x00, 0xdd, 0xfb, 0x1f,
};

/* A response record over bytes. */
static struct vlm_record response(const void *block, size_t n)
{
    return (struct vlm_record){ .type = VLM_RECORD_RESPONSE,
                                .uri = "http://example.org/",
                                .content_type = "application/http; msgtype=response",
                                .block = block,
                                .block_length = n };
}

static void decode(struct vlm_http *http, const struct vlm_record *record, struct vlm_arena *arena)
{
    struct vlm_err err = { 0 };
    vlm_arena_reset(arena);
    if (vlm_http_decode(http, record, arena, &err) != VLM_OK)
        fail_msg("%s", err.msg);
}

static int set_up(void **state)
{
    static struct vlm_arena arena;
    vlm_arena_init(&arena, (size_t)256 << 20);
    *state = &arena;
    return 0;
}

static int tear_down(void **state)
{
    vlm_arena_release(*state);
    return 0;
}

static void test_header(void **state)
{
    static const char message[] =
        "HTTP/1.1 404 Not  Found\r\ncontent-TYPE:  text/html; charset=utf-8 \r\nLocation: /x\r\n"
        "Content-Type: second\r\nContent-Language: de\r\nX-Robots-Tag: bot: noai\r\n"
        "x-robots-tag: noimageai\r\nbroken line\r\nX: a\r\n b\r\n\r\nbody";
    struct vlm_http http;
    struct vlm_record record = response(message, sizeof(message) - 1);
    decode(&http, &record, *state);
    assert_int_equal(http.status, 404);
    assert_string_equal(http.content_type, "text/html; charset=utf-8");
    assert_string_equal(http.location, "/x");
    assert_string_equal(http.content_language, "de");
    assert_int_equal(http.opt_out & VLM_OPT_OUT_NOIMAGEAI, VLM_OPT_OUT_NOIMAGEAI);
    assert_int_equal(http.body_length, 4);
    assert_memory_equal(http.body, "body", 4);
    assert_int_equal(http.error, VLM_BODY_OK);
}

static void test_status_lines(void **state)
{
    static const struct {
        const char *message;
        int status;
        enum vlm_body_error error;
        const char *body;
    } cases[] = {
        { "HTTP/1.1 200\n\nx", 200, VLM_BODY_OK, "x" },
        { "HTTP/2 200 OK\nA: b\n\nx", 200, VLM_BODY_OK, "x" },
        { "ICY 200 OK\r\n\r\nx", 200, VLM_BODY_OK, "x" },
        { "HTTP/1.1 999 strange\r\n\r\n", 999, VLM_BODY_OK, "" },
        { "HTTP/1.1 2000 OK\r\n\r\nx", 0, VLM_BODY_NO_HTTP, NULL },
        { "<html>no status line", 0, VLM_BODY_NO_HTTP, NULL },
        { "HTTP/1.1 200 OK\r\nheader: without end\r\n", 0, VLM_BODY_NO_HTTP, NULL },
        { "HTTP/1.1 200 OK", 0, VLM_BODY_NO_HTTP, NULL },
        { "", 0, VLM_BODY_NO_HTTP, NULL },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_http http;
        struct vlm_record record = response(cases[i].message, strlen(cases[i].message));
        const char *body = cases[i].body ? cases[i].body : cases[i].message;
        decode(&http, &record, *state);
        assert_int_equal(http.status, cases[i].status);
        assert_int_equal(http.error, cases[i].error);
        assert_int_equal(http.body_length, strlen(body));
        assert_memory_equal(http.body, body, strlen(body));
    }
}

/* Records that promise no HTTP have their block as the body, and no error. */
static void test_interim_messages(void **state)
{
    static const char block[] = "HTTP/1.1 100 Continue\r\n\r\n"
                                "HTTP/1.1 103 Early Hints\r\nContent-Type: text/plain\r\n\r\n"
                                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nbody";
    static const char alone[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct vlm_http http;
    struct vlm_record record = response(block, sizeof(block) - 1);
    decode(&http, &record, *state);
    assert_int_equal(http.status, 200);
    assert_string_equal(http.content_type, "text/html");
    assert_int_equal(http.body_length, 4);
    assert_memory_equal(http.body, "body", 4);
    record = response(alone, sizeof(alone) - 1);
    decode(&http, &record, *state);
    assert_int_equal(http.status, 100);
    assert_int_equal(http.body_length, 0);
}

static void test_other_records(void **state)
{
    struct vlm_http http;
    struct vlm_record record = response("20080430\nexample.org. 86400 IN A", 31);
    record.uri = "dns:example.org";
    record.content_type = "text/dns";
    decode(&http, &record, *state);
    assert_int_equal(http.status, 0);
    assert_int_equal(http.error, VLM_BODY_OK);
    assert_string_equal(http.content_type, "text/dns");
    record = response("HTTP/1.1 200 OK\r\n\r\n", 19);
    record.type = VLM_RECORD_RESOURCE;
    decode(&http, &record, *state);
    assert_int_equal(http.status, 0);
    assert_int_equal(http.body_length, 19);
}

static void test_header_limit(void **state)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nX: ";
    for (int over = -1; over <= 1; over++) {
        struct vlm_buffer block = { 0 };
        vlm_buffer_text(&block, head);
        size_t fill = (size_t)((int)VLM_HTTP_HEADER_MAX + over) - (sizeof(head) - 1) - 4;
        for (size_t i = 0; i < fill; i++)
            vlm_buffer_byte(&block, 'x');
        vlm_buffer_text(&block, "\r\n\r\nbody");
        struct vlm_http http;
        struct vlm_record record = response(block.data, block.size);
        decode(&http, &record, *state);
        assert_int_equal(http.error, over > 0 ? VLM_BODY_NO_HTTP : VLM_BODY_OK);
        assert_int_equal(http.body_length, over > 0 ? block.size : 4);
        vlm_buffer_release(&block);
    }
}

static void test_chunked(void **state)
{
    static const struct {
        const char *raw, *body;
        enum vlm_body_error error;
    } cases[] = {
        { "4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\n", "abcdef", VLM_BODY_OK },
        { "4;ext=\"x\"\r\nabcd\r\n000\r\nTrailer: x\r\n\r\n", "abcd", VLM_BODY_OK },
        { "  4  \r\nabcd\r\n0\r\n", "abcd", VLM_BODY_OK },
        { "4\nabcd\n0\n\n", "abcd", VLM_BODY_OK },
        { "0\r\n\r\n", "", VLM_BODY_OK },
        { "<html>not chunked at all", "<html>not chunked at all", VLM_BODY_OK },
        { "-2\r\nab", "-2\r\nab", VLM_BODY_OK },
        { "ffffffffffffffff1\r\nab", "ffffffffffffffff1\r\nab", VLM_BODY_OK },
        { "abcd no newline, but hexadecimal", "abcd no newline, but hexadecimal", VLM_BODY_OK },
        { "4\r\nabcd\r\n", "abcd", VLM_BODY_CHUNKED },
        { "4\r\nabcd\r\nzz\r\nrest", "abcd", VLM_BODY_CHUNKED },
        { "4\r\nabcd\r\n9\r\nshort", "abcdshort", VLM_BODY_CHUNKED },
        { "ffffffff\r\nshort", "short", VLM_BODY_CHUNKED },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_buffer block = { 0 };
        struct vlm_http http;
        vlm_buffer_text(&block, "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n");
        vlm_buffer_text(&block, cases[i].raw);
        struct vlm_record record = response(block.data, block.size);
        decode(&http, &record, *state);
        if (http.error != cases[i].error || http.body_length != strlen(cases[i].body))
            fail_msg("case %zu: error %d, %zu bytes", i, http.error, http.body_length);
        assert_memory_equal(http.body, cases[i].body, http.body_length);
        assert_int_equal(http.raw_length, strlen(cases[i].raw));
        vlm_buffer_release(&block);
    }
}

static void add_coded(struct vlm_buffer *out, const char *coding, const void *bytes, size_t n)
{
    uint8_t *to = vlm_buffer_reserve(out, 2 * n + 1024);
    size_t size = 2 * n + 1024;
    if (!strcmp(coding, "gzip")) {
        add_member(out, bytes, n);
        return;
    }
    if (!strcmp(coding, "br")) {
        bool page = n == strlen(PAGE);
        size = page ? sizeof(brotli_page) : sizeof(brotli_zeros);
        memcpy(to, page ? brotli_page : brotli_zeros, size);
    } else if (!strcmp(coding, "zstd")) {
        size = ZSTD_compress(to, size, bytes, n, 3);
    } else {
        bool raw = !strcmp(coding, "raw");
        z_stream z = { 0 };
        deflateInit2(&z, 6, Z_DEFLATED, raw ? -15 : 15, 8, 0);
        z.next_in = (z_const Bytef *)(uintptr_t)bytes;
        z.avail_in = (uInt)n;
        z.next_out = to;
        z.avail_out = (uInt)size;
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        size = z.total_out;
        deflateEnd(&z);
    }
    out->size += size;
}

/* header: Content-Encoding; first, second: codings applied to the page, in order. */
static void decode_coded(struct vlm_http *http, struct vlm_arena *arena, struct vlm_buffer *block,
                         const char *header, const char *first, const char *second)
{
    struct vlm_buffer one = { 0 };
    vlm_buffer_reset(block);
    vlm_buffer_printf(block, "HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n\r\n", header);
    if (first)
        add_coded(&one, first, PAGE, strlen(PAGE));
    else
        vlm_buffer_text(&one, PAGE);
    if (second)
        add_coded(block, second, one.data, one.size);
    else
        vlm_buffer_add(block, one.data, one.size);
    struct vlm_record record = response(block->data, block->size);
    decode(http, &record, arena);
    vlm_buffer_release(&one);
}

static void test_codings(void **state)
{
    static const struct {
        const char *header, *first, *second;
        enum vlm_body_error error;
    } cases[] = {
        { "gzip", "gzip", NULL, VLM_BODY_OK },
        { "X-GZIP", "gzip", NULL, VLM_BODY_OK },
        { "deflate", "zlib", NULL, VLM_BODY_OK },
        { "deflate", "raw", NULL, VLM_BODY_OK },
        { "br", "br", NULL, VLM_BODY_OK },
        { "zstd", "zstd", NULL, VLM_BODY_OK },
        { "deflate, gzip", "zlib", "gzip", VLM_BODY_OK },
        { "gzip, gzip", "gzip", "gzip", VLM_BODY_OK },
        { "identity", NULL, NULL, VLM_BODY_OK },
        { "gzip", NULL, NULL, VLM_BODY_OK }, /* declared, but decoded by the crawler */
        { "deflate", NULL, NULL, VLM_BODY_OK },
        { "br", NULL, NULL, VLM_BODY_OK },
        { "zstd", NULL, NULL, VLM_BODY_OK },
        { "compress", NULL, NULL, VLM_BODY_ENCODING },
        { "gzip, gzip, gzip", "gzip", "gzip", VLM_BODY_ENCODING },
    };
    struct vlm_buffer block = { 0 };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_http http;
        decode_coded(&http, *state, &block, cases[i].header, cases[i].first, cases[i].second);
        if (http.error != cases[i].error)
            fail_msg("case %zu (%s): error %s", i, cases[i].header,
                     vlm_body_error_name(http.error));
        if (http.error) {
            assert_ptr_equal(http.body, http.raw);
            assert_int_equal(http.body_length, http.raw_length);
        } else {
            assert_int_equal(http.body_length, strlen(PAGE));
            assert_memory_equal(http.body, PAGE, strlen(PAGE));
        }
    }
    vlm_buffer_release(&block);
}

/* Every coding cut at every length: never the page, never a crash, the stored bytes remain. */
static void test_cut_codings(void **state)
{
    static const char *const codings[] = { "gzip", "deflate", "br", "zstd" };
    static const char *const made[] = { "gzip", "zlib", "br", "zstd" };
    struct vlm_buffer block = { 0 };
    for (size_t c = 0; c < VLM_COUNTOF(codings); c++) {
        struct vlm_http http;
        decode_coded(&http, *state, &block, codings[c], made[c], NULL);
        size_t header = block.size - http.raw_length, whole = http.raw_length;
        for (size_t n = 1; n < whole; n++) {
            struct vlm_record record = response(block.data, header + n);
            decode(&http, &record, *state);
            assert_int_equal(http.raw_length, n);
            bool page = http.body_length == strlen(PAGE) && !memcmp(http.body, PAGE, strlen(PAGE));
            assert_false(page);
            if (n >= 4)
                assert_int_equal(http.error, VLM_BODY_ENCODING);
            if (http.error)
                assert_int_equal(http.body_length, n);
        }
    }
    vlm_buffer_release(&block);
}

static void test_body_limit(void **state)
{
    uint8_t *bytes = malloc(VLM_BODY_MAX + 1);
    uint32_t seed = 1;
    assert_non_null(bytes);
    for (size_t i = 0; i < VLM_BODY_MAX + 1; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(i % 64 < 8 ? seed >> 24 : 'a');
    }
    for (int over = -1; over <= 1; over++) {
        struct vlm_buffer block = { 0 };
        struct vlm_http http;
        vlm_buffer_text(&block, "HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\n\r\n");
        size_t n = (size_t)((int64_t)VLM_BODY_MAX + over), room = ZSTD_compressBound(n);
        uint8_t *to = vlm_buffer_reserve(&block, room);
        block.size += ZSTD_compress(to, room, bytes, n, 1);
        struct vlm_record record = response(block.data, block.size);
        decode(&http, &record, *state);
        assert_int_equal(http.error, over > 0 ? VLM_BODY_BOMB : VLM_BODY_OK);
        assert_int_equal(http.body_length, over > 0 ? http.raw_length : n);
        vlm_buffer_release(&block);
    }
    free(bytes);
}

static void test_bombs(void **state)
{
    static const char *const codings[] = { "gzip", "br", "zstd" };
    size_t n = 20 << 20;
    uint8_t *zeros = calloc(1, n);
    assert_non_null(zeros);
    for (size_t c = 0; c < VLM_COUNTOF(codings); c++) {
        struct vlm_buffer block = { 0 };
        struct vlm_http http;
        vlm_buffer_printf(&block, "HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n\r\n", codings[c]);
        add_coded(&block, codings[c], zeros, n);
        struct vlm_record record = response(block.data, block.size);
        decode(&http, &record, *state);
        assert_int_equal(http.error, VLM_BODY_BOMB);
        assert_ptr_equal(http.body, http.raw);
        vlm_buffer_release(&block);
    }
    free(zeros);
}

static void test_full_arena(void **state)
{
    struct vlm_buffer block = { 0 };
    struct vlm_http http;
    struct vlm_arena small;
    (void)state;
    decode_coded(&http, *state, &block, "gzip", "gzip", NULL);
    vlm_arena_init(&small, 16);
    struct vlm_record record = response(block.data, block.size);
    assert_int_equal(vlm_http_decode(&http, &record, &small, NULL), VLM_ELIMIT);
    vlm_arena_release(&small);
    vlm_buffer_release(&block);
}

static void test_digests(void **state)
{
    static const struct {
        const char *payload, *block;
        enum vlm_digest_state digest;
    } cases[] = {
        { NULL, NULL, VLM_DIGEST_NONE },
        { "sha1:VL2MMHO4YXUKFWV63YHTWSBM3GXKSQ2N", NULL, VLM_DIGEST_OK },
        { "sha1:vl2mmho4yxukfwv63yhtwsbm3gxksq2n", NULL, VLM_DIGEST_OK },
        { "SHA-1:AAF4C61DDCC5E8A2DABEDE0F3B482CD9AEA9434D", NULL, VLM_DIGEST_OK },
        { "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", NULL,
          VLM_DIGEST_OK },
        { "md5:5d41402abc4b2a76b9719d911017c592", NULL, VLM_DIGEST_OK },
        { "sha1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", NULL, VLM_DIGEST_MISMATCH },
        { "sha1:short", NULL, VLM_DIGEST_MISMATCH },
        { "crc99:12345678", NULL, VLM_DIGEST_NONE },
        { "no colon", NULL, VLM_DIGEST_NONE },
        { NULL, "sha1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", VLM_DIGEST_MISMATCH },
    };
    static const char message[] = "HTTP/1.1 200 OK\r\n\r\nhello";
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_http http;
        struct vlm_record record = response(message, sizeof(message) - 1);
        record.payload_digest = cases[i].payload;
        record.block_digest = cases[i].block;
        decode(&http, &record, *state);
        if (http.digest != cases[i].digest)
            fail_msg("case %zu: %d", i, http.digest);
    }
}

/* The digest of a chunked body may be of the stored or of the unchunked bytes. */
static void test_digest_readings(void **state)
{
    static const char message[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    struct vlm_record record = response(message, sizeof(message) - 1);
    struct vlm_http http;
    char field[64] = "sha1:";
    uint8_t sha1[VLM_SHA1_SIZE];
    record.payload_digest = "sha1:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
    decode(&http, &record, *state);
    assert_int_equal(http.digest, VLM_DIGEST_OK);
    vlm_sha1(sha1, http.raw, http.raw_length);
    vlm_hex(field + 5, sha1, sizeof(sha1));
    record.payload_digest = field;
    decode(&http, &record, *state);
    assert_int_equal(http.digest, VLM_DIGEST_OK);
    field[5] ^= 1;
    decode(&http, &record, *state);
    assert_int_equal(http.digest, VLM_DIGEST_MISMATCH);
}

static void test_payload_kind(void **state)
{
    (void)state;
    static const struct {
        enum vlm_record_type type;
        const char *identified, *declared, *uri, *body;
        enum vlm_payload kind;
    } cases[] = {
        { VLM_RECORD_RESPONSE, NULL, "text/html; charset=x", "", "anything", VLM_PAYLOAD_HTML },
        { VLM_RECORD_RESPONSE, "application/xhtml+xml", "text/plain", "", "x", VLM_PAYLOAD_HTML },
        { VLM_RECORD_RESPONSE, NULL, NULL, "", " \n<!DOCTYPE HTML><p>", VLM_PAYLOAD_HTML },
        { VLM_RECORD_RESPONSE, NULL, "application/octet-stream", "", "<HtMl>", VLM_PAYLOAD_HTML },
        { VLM_RECORD_RESPONSE, NULL, NULL, "", "<!-- x --><body>", VLM_PAYLOAD_HTML },
        { VLM_RECORD_RESPONSE, NULL, NULL, "", "<?xml version=\"1.0\"?><rss>", VLM_PAYLOAD_OTHER },
        { VLM_RECORD_RESPONSE, NULL, "text/html", "", "\xff\xd8\xff\xe0", VLM_PAYLOAD_IMAGE },
        { VLM_RECORD_RESPONSE, NULL, "image/x-unheard-of", "", "x", VLM_PAYLOAD_IMAGE },
        { VLM_RECORD_RESPONSE, NULL, "text/plain", "", "<html>", VLM_PAYLOAD_TEXT },
        { VLM_RECORD_RESPONSE, NULL, "application/json", "", "{}", VLM_PAYLOAD_OTHER },
        { VLM_RECORD_RESPONSE, NULL, "text/html", "", "%PDF-1.4\n\x80", VLM_PAYLOAD_OTHER },
        { VLM_RECORD_RESPONSE, NULL, "text/html", "", "PK\3\4", VLM_PAYLOAD_OTHER },
        { VLM_RECORD_RESPONSE, NULL, "text/html", "", "\x1f\x8b\x08", VLM_PAYLOAD_HTML },
        { VLM_RECORD_CONVERSION, NULL, "text/plain", "", "x", VLM_PAYLOAD_TEXT },
        { VLM_RECORD_CONVERSION, NULL, NULL, "", "x", VLM_PAYLOAD_TEXT },
        { VLM_RECORD_CONVERSION, NULL, "text/html", "", "x", VLM_PAYLOAD_HTML },
        { VLM_RECORD_CONVERSION, NULL, "image/png", "", "\x89PNG", VLM_PAYLOAD_OTHER },
        { VLM_RECORD_RESOURCE, NULL, NULL, "file:///a.html", "bare words", VLM_PAYLOAD_HTML },
        { VLM_RECORD_RESOURCE, NULL, NULL, "file:///a.txt", "bare words", VLM_PAYLOAD_TEXT },
        { VLM_RECORD_RESOURCE, NULL, NULL, "file:///a.txt", "<html>", VLM_PAYLOAD_HTML },
        { VLM_RECORD_RESOURCE, NULL, NULL, "file:///a.html", "\1\2\3", VLM_PAYLOAD_OTHER },
        { VLM_RECORD_RESOURCE, NULL, NULL, "file:///a.html", "", VLM_PAYLOAD_HTML },
        { VLM_RECORD_RESOURCE, NULL, NULL, "file:///a.htm", "\xff\xfe\1", VLM_PAYLOAD_HTML },
        { VLM_RECORD_RESOURCE, NULL, NULL, "file:///a.dat", "\xfe\xff\1", VLM_PAYLOAD_OTHER },
        { VLM_RECORD_REQUEST, NULL, "text/html", "", "<html>", VLM_PAYLOAD_OTHER },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_record record = { .type = cases[i].type,
                                     .uri = cases[i].uri,
                                     .identified_type = cases[i].identified };
        struct vlm_http http = { .content_type = cases[i].declared,
                                 .body = (const uint8_t *)cases[i].body,
                                 .body_length = strlen(cases[i].body) };
        if (vlm_payload_kind(&record, &http) != cases[i].kind)
            fail_msg("case %zu: %d", i, vlm_payload_kind(&record, &http));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_status_lines),
        cmocka_unit_test(test_interim_messages),
        cmocka_unit_test(test_header_limit),
        cmocka_unit_test(test_other_records),
        cmocka_unit_test(test_header_limit),
        cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_codings),
        cmocka_unit_test(test_cut_codings),
        cmocka_unit_test(test_body_limit),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_full_arena),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_digest_readings),
        cmocka_unit_test(test_payload_kind),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
