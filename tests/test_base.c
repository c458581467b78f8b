/* test_base.c - memory, bytes, hashes, text, options and files. */
#include "base/vlm.h"

#include "base/arena.h"
#include "base/array.h"
#include "base/buffer.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/option.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/utf8.h"
#include "base/word_list.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

/* --- errors --- */

static void test_error_sentences(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_fail(&err, VLM_SKIP, "image of %d pixels", 7), VLM_SKIP);
    assert_string_equal(err.msg, "image of 7 pixels");
    assert_int_equal(vlm_wrap(&err, "%s, record %d", "a.warc", 3), VLM_SKIP);
    assert_string_equal(err.msg, "a.warc, record 3: image of 7 pixels");
    assert_int_equal(vlm_fail_errno(&err, ENOSPC, "cannot write"), VLM_ELIMIT);
    assert_string_equal(err.msg, "cannot write: No space left on device");
    assert_int_equal(vlm_fail_errno(&err, ENOENT, "x"), VLM_EFAIL);
    assert_int_equal(vlm_fail(NULL, VLM_EFORMAT, "x"), VLM_EFORMAT);
}

/* A wrapped sentence that is too long is cut at the end, wherever the cut falls. */
static void test_error_wrap_cuts(void **state)
{
    (void)state;
    enum { ROOM = sizeof(((struct vlm_err *)0)->msg) };
    char context[ROOM + 8];
    for (size_t n = ROOM - 8; n < ROOM + 4; n++) {
        struct vlm_err err = { 0 };
        memset(context, 'c', n);
        context[n] = 0;
        vlm_fail(&err, VLM_EFAIL, "sentence");
        vlm_wrap(&err, "%s", context);
        assert_int_equal(strlen(err.msg), ROOM - 1);
        size_t kept = VLM_MIN(n, ROOM - 1);
        assert_memory_equal(err.msg, context, kept);
        assert_memory_equal(err.msg + kept, ": sentence", ROOM - 1 - kept);
    }
}

/* --- memory --- */

static void test_arena_cap(void **state)
{
    (void)state;
    struct vlm_arena arena;
    vlm_arena_init(&arena, 1024);
    assert_null(vlm_arena_alloc(&arena, 1, 1025));
    assert_non_null(vlm_arena_alloc(&arena, 1, 1008));
    assert_non_null(vlm_arena_alloc(&arena, 1, 16));
    assert_null(vlm_arena_alloc(&arena, 1, 1));
    assert_null(vlm_arena_copy(&arena, "", 0));
    vlm_arena_reset(&arena);
    assert_non_null(vlm_arena_alloc(&arena, 1, 1024));
    vlm_arena_release(&arena);
    assert_int_equal(arena.used, 0);
}

static void test_arena_overflow(void **state)
{
    (void)state;
    struct vlm_arena arena;
    vlm_arena_init(&arena, SIZE_MAX);
    assert_null(vlm_arena_alloc(&arena, SIZE_MAX / 2, 3));
    assert_null(vlm_arena_alloc(&arena, 1, SIZE_MAX));
    assert_null(vlm_arena_alloc(&arena, SIZE_MAX - 1, 1));
    assert_non_null(vlm_arena_alloc(&arena, 0, 100));
    vlm_arena_release(&arena);
}

static void test_arena_blocks(void **state)
{
    (void)state;
    struct vlm_arena arena;
    vlm_arena_init(&arena, 64 << 20);
    char *kept[200];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < VLM_COUNTOF(kept); i++) {
            kept[i] = vlm_arena_alloc(&arena, i + 1, 37);
            assert_non_null(kept[i]);
            assert_int_equal((uintptr_t)kept[i] % 16, 0);
            memset(kept[i], (int)i, (i + 1) * 37);
        }
        /* Nothing overlaps. */
        for (size_t i = 0; i < VLM_COUNTOF(kept); i++)
            for (size_t j = 0; j < (i + 1) * 37; j++)
                assert_int_equal((uint8_t)kept[i][j], i);
        vlm_arena_reset(&arena);
    }
    const char *zero = vlm_arena_zero(&arena, 10, 10);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zero[i], 0);
    assert_string_equal(vlm_arena_copy(&arena, "abcdef", 3), "abc");
    vlm_arena_release(&arena);
}

static void test_array_grows(void **state)
{
    uint32_t *list = NULL;
    size_t capacity = 0, n = 0, moves = 0, was = 0;
    (void)state;
    for (; n < 100000; n++) {
        assert_true(vlm_array_reserve(&list, &capacity, n, 1, sizeof(*list)));
        assert_true(capacity > n);
        moves += capacity != was;
        was = capacity;
        list[n] = (uint32_t)n;
    }
    assert_true(moves < 30);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(list[i], i);
    uint32_t *before = list;
    assert_false(vlm_array_reserve(&list, &capacity, n, SIZE_MAX, sizeof(*list)));
    assert_false(vlm_array_reserve(&list, &capacity, n, SIZE_MAX / 2, sizeof(*list)));
    assert_ptr_equal(list, before);
    assert_int_equal(capacity, was);
    free(list);
}

static void test_buffer_grows(void **state)
{
    (void)state;
    struct vlm_buffer buffer = { 0 };
    for (int i = 0; i < 10000; i++)
        vlm_buffer_byte(&buffer, (uint8_t)i);
    assert_int_equal(buffer.size, 10000);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buffer.data[i], i & 255);
    vlm_buffer_reset(&buffer);
    vlm_buffer_printf(&buffer, "%s-%0400d", "x", 7); /* longer than the internal array */
    assert_int_equal(buffer.size, 402);
    assert_int_equal(buffer.data[401], '7');
    assert_false(buffer.failed);
    vlm_buffer_release(&buffer);
}

static void test_buffer_failure_sticks(void **state)
{
    (void)state;
    struct vlm_buffer buffer = { .max = 10 };
    vlm_buffer_text(&buffer, "0123456789");
    assert_false(buffer.failed);
    vlm_buffer_byte(&buffer, 'x');
    assert_true(buffer.failed);
    assert_int_equal(buffer.size, 10);
    buffer.size = 0;
    vlm_buffer_byte(&buffer, 'y');
    assert_int_equal(buffer.size, 0);
    vlm_buffer_reset(&buffer);
    vlm_buffer_byte(&buffer, 'z');
    assert_int_equal(buffer.size, 1);
    assert_false(buffer.failed);
    assert_null(vlm_buffer_reserve(&buffer, SIZE_MAX));
    vlm_buffer_release(&buffer);
    assert_int_equal(buffer.max, 10);
}

/* --- bytes --- */

static void test_bytes_bounds(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    vlm_buffer_u16(&out, 0x1234);
    vlm_buffer_u32(&out, 0x89abcdef);
    vlm_buffer_u64(&out, 0x0123456789abcdef);
    /* Exactly the bytes that are there: a read beyond them would be seen by the sanitizer. */
    for (size_t n = 0; n <= out.size; n++) {
        uint8_t *copy = malloc(n + 1);
        assert_non_null(copy);
        memcpy(copy, out.data, n);
        struct vlm_bytes in = { copy, copy + n, false };
        uint16_t a = vlm_bytes_u16(&in);
        uint32_t b = vlm_bytes_u32(&in);
        uint64_t c = vlm_bytes_u64(&in);
        assert_int_equal(a, n >= 2 ? 0x1234 : 0);
        assert_int_equal(b, n >= 6 ? 0x89abcdef : 0);
        assert_true(c == (n >= 14 ? 0x0123456789abcdef : 0));
        assert_int_equal(in.bad, n < 14);
        assert_null(vlm_bytes_take(&in, 1));
        assert_true(in.bad);
        free(copy);
    }
    vlm_buffer_release(&out);
}

static void test_varints(void **state)
{
    (void)state;
    static const uint64_t values[] = { 0,          1,          127,        128,
                                       16383,      16384,      UINT32_MAX, 1ull << 35,
                                       1ull << 62, 1ull << 63, UINT64_MAX };
    for (size_t i = 0; i < VLM_COUNTOF(values); i++) {
        struct vlm_buffer out = { 0 };
        vlm_buffer_varint(&out, values[i]);
        for (size_t n = 0; n <= out.size; n++) {
            struct vlm_bytes in = { out.data, out.data + n, false };
            uint64_t value = vlm_bytes_varint(&in);
            assert_true(value == (n == out.size ? values[i] : 0));
            assert_int_equal(in.bad, n < out.size);
        }
        vlm_buffer_release(&out);
    }
    static const uint8_t over[] = { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2 };
    static const uint8_t endless[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                       0xff, 0xff, 0xff, 0xff, 0xff, 0 };
    struct vlm_bytes in = { over, over + sizeof(over), false };
    vlm_bytes_varint(&in);
    assert_true(in.bad);
    in = (struct vlm_bytes){ endless, endless + sizeof(endless), false };
    vlm_bytes_varint(&in);
    assert_true(in.bad);
}

/* --- hashes: vectors of FIPS 180-4, RFC 4648 and xxHash's own tests --- */

static void test_sha_vectors(void **state)
{
    (void)state;
    char hex[2 * VLM_SHA_MAX + 1];
    uint8_t digest[VLM_SHA_MAX];
    vlm_sha1(digest, "abc", 3);
    assert_string_equal(vlm_hex(hex, digest, 20), "a9993e364706816aba3e25717850c26c9cd0d89d");
    vlm_sha256(digest, "abc", 3);
    const char *abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_string_equal(vlm_hex(hex, digest, 32), abc);
    struct vlm_sha256_stream *stream = vlm_sha256_begin();
    vlm_sha256_add(stream, "a", 1);
    vlm_sha256_add(stream, "bc", 2);
    vlm_sha256_end(stream, digest);
    assert_string_equal(vlm_hex(hex, digest, 32), abc);
    assert_int_equal(vlm_digest(digest, "md5", "abc", 3), 16);
    assert_string_equal(vlm_hex(hex, digest, 16), "900150983cd24fb0d6963f7d28e17f72");
    assert_int_equal(vlm_digest(digest, "sha512", "abc", 3), 64);
    assert_int_equal(vlm_digest(digest, "no-such-digest", "abc", 3), 0);
}

static void test_xxh3(void **state)
{
    (void)state;
    char hex[33];
    assert_true(vlm_xxh3("", 0) == 0x2d06800538d394c2u);
    struct vlm_key empty = vlm_key_of("", 0);
    assert_string_equal(vlm_hex(hex, empty.byte, 16), "99aa06d3014798d86001c324468d497f");
}

static void test_unhex(void **state)
{
    (void)state;
    uint8_t out[4];
    assert_int_equal(vlm_unhex(out, sizeof(out), "00fFA5", 6), 3);
    assert_memory_equal(out, "\x00\xff\xa5", 3);
    assert_int_equal(vlm_unhex(out, sizeof(out), "0", 1), 0);
    assert_int_equal(vlm_unhex(out, sizeof(out), "0g", 2), 0);
    assert_int_equal(vlm_unhex(out, sizeof(out), "0011223344", 10), 0);
}

static void test_unbase32(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bytes;
    } vectors[] = { { "MY======", "f" },    { "MZXQ====", "fo" },    { "MZXW6===", "foo" },
                    { "MZXW6YQ=", "foob" }, { "MZXW6YTB", "fooba" }, { "mzxw6ytboi", "foobar" } };
    uint8_t out[8];
    for (size_t i = 0; i < VLM_COUNTOF(vectors); i++) {
        size_t n = vlm_unbase32(out, sizeof(out), vectors[i].text, strlen(vectors[i].text));
        assert_int_equal(n, strlen(vectors[i].bytes));
        assert_memory_equal(out, vectors[i].bytes, n);
    }
    assert_int_equal(vlm_unbase32(out, sizeof(out), "MZXW1===", 8), 0);
    assert_int_equal(vlm_unbase32(out, 2, "MZXW6===", 8), 0);
}

/* --- text --- */

static void test_utf8_table(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n, valid; /* bytes of the first character, 0: invalid */
    } table[] = {
        { "a", 1, 1 },
        { "\x7f", 1, 1 },
        { "\x80", 1, 0 },
        { "\xc0\x80", 2, 0 }, /* overlong */
        { "\xc1\xbf", 2, 0 },
        { "\xc2\x80", 2, 2 },
        { "\xdf\xbf", 2, 2 },
        { "\xe0\x9f\xbf", 3, 0 }, /* overlong */
        { "\xe0\xa0\x80", 3, 3 },
        { "\xed\x9f\xbf", 3, 3 },
        { "\xed\xa0\x80", 3, 0 }, /* surrogate */
        { "\xee\x80\x80", 3, 3 },
        { "\xf0\x8f\xbf\xbf", 4, 0 }, /* overlong */
        { "\xf0\x90\x80\x80", 4, 4 },
        { "\xf4\x8f\xbf\xbf", 4, 4 },
        { "\xf4\x90\x80\x80", 4, 0 }, /* over U+10FFFF */
        { "\xf5\x80\x80\x80", 4, 0 },
        { "\xff", 1, 0 },
        { "\xe2\x82\xac", 2, 0 }, /* cut */
        { "\xc2", 1, 0 },
        { "\xc2\x20", 2, 0 },
    };
    for (size_t i = 0; i < VLM_COUNTOF(table); i++) {
        assert_int_equal(vlm_utf8_valid_at(table[i].text, table[i].n), table[i].valid);
        size_t prefix = vlm_utf8_valid_prefix(table[i].text, table[i].n);
        assert_true(prefix >= table[i].valid);
        assert_true(table[i].valid || prefix == 0);
    }
    assert_int_equal(vlm_utf8_valid_prefix("twelve bytes\xff more", 18), 12);
}

static void test_utf8_round_trip(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x110000; c += c < 0x900 ? 1 : 97) {
        char text[4];
        size_t n = vlm_utf8_encode(text, c), again;
        assert_int_equal(vlm_utf8_valid_at(text, n), n);
        bool representable = c <= 0x10ffff && (c < 0xd800 || c >= 0xe000);
        assert_int_equal(vlm_utf8_decode(text, &again), representable ? c : 0xfffd);
        assert_int_equal(again, n);
    }
    assert_int_equal(vlm_utf8_count("a\xc3\xa4\xe2\x82\xac", 6), 3);
}

static void json_is(const char *text, size_t n, const char *expected)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    vlm_json_text(&json, text, n);
    vlm_buffer_byte(&out, 0);
    assert_string_equal((char *)out.data, expected);
    vlm_buffer_release(&out);
}

static void test_json_escapes(void **state)
{
    (void)state;
    json_is("a\"b\\c", 5, "\"a\\\"b\\\\c\"");
    json_is("\b\t\n\v\f\r", 6, "\"\\b\\t\\n\\u000b\\f\\r\"");
    json_is("\0\x1f\x7f", 3, "\"\\u0000\\u001f\x7f\"");
    json_is("x\xff", 2, "\"x\xef\xbf\xbd\"");
    json_is("\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    json_is("\xe2\x82\xac\xed\xa0\x80!", 7,
            "\"\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!\"");
    json_is("", 0, "\"\"");
}

static void test_json_document(void **state)
{
    (void)state;
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "a", NULL);
    vlm_json_key(&json, "b");
    vlm_json_open(&json, '[');
    vlm_json_number(&json, UINT64_MAX);
    vlm_json_signed(&json, INT64_MIN);
    vlm_json_real(&json, .5);
    vlm_json_real(&json, 0.0 / (double)(out.size - out.size + json.comma - 1));
    vlm_json_bool(&json, true);
    vlm_json_hex(&json, (const uint8_t *)"\x01\xab", 2);
    vlm_json_close(&json, ']');
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&out, 0);
    assert_string_equal((char *)out.data, "{\"a\": null, \"b\": [18446744073709551615, "
                                          "-9223372036854775808, 0.5, null, true, \"01ab\"]}");
    json_object *parsed;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_json_parse(&parsed, (char *)out.data, out.size - 1, &err), VLM_OK);
    assert_int_equal(json_object_array_length(json_object_object_get(parsed, "b")), 6);
    json_object_put(parsed);
    for (size_t n = 0; n < out.size - 1; n++) {
        assert_int_equal(vlm_json_parse(&parsed, (char *)out.data, n, &err), VLM_EFORMAT);
        assert_null(parsed);
    }
    vlm_buffer_release(&out);
}

static void test_json_depth(void **state)
{
    (void)state;
    char deep[200];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    json_object *parsed;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_json_parse(&parsed, deep, 200, &err), VLM_EFORMAT);
    assert_int_equal(vlm_json_parse(&parsed, deep + 90, 20, &err), VLM_OK);
    json_object_put(parsed);
}

static void test_formats(void **state)
{
    (void)state;
    char out[VLM_FORMAT_SIZE];
    assert_string_equal(vlm_format_count(out, 0), "0");
    assert_string_equal(vlm_format_count(out, 999), "999");
    assert_string_equal(vlm_format_count(out, 999.6), "1.00k");
    assert_string_equal(vlm_format_count(out, 1934567), "1.93M");
    assert_string_equal(vlm_format_count(out, 12345), "12.3k");
    assert_string_equal(vlm_format_bytes(out, 1.5 * 1024 * 1024 * 1024), "1.50G");
    assert_string_equal(vlm_format_duration(out, 2470.2), "00:41:10");
    assert_string_equal(vlm_format_eta(out, 10, .25), "00:00:30");
    assert_string_equal(vlm_format_eta(out, 10, 0), "--:--:--");
}

static void test_random(void **state)
{
    (void)state;
    struct vlm_random a = vlm_random_at(1, 2, 3), b = vlm_random_at(1, 2, 3);
    unsigned seen[7] = { 0 };
    for (int i = 0; i < 7000; i++) {
        uint64_t value = vlm_random_below(&a, 7);
        assert_true(value == vlm_random_below(&b, 7));
        assert_true(value < 7);
        seen[value]++;
    }
    for (int i = 0; i < 7; i++)
        assert_in_range(seen[i], 850, 1150); /* 1000 expected, standard deviation 29 */
    uint64_t first = vlm_random_next(&(struct vlm_random){ vlm_random_at(1, 2, 3).key, 0 });
    static const uint64_t keys[][3] = {
        { 2, 2, 3 }, { 1, 3, 3 }, { 1, 2, 4 }, { 2, 1, 3 }, { 3, 2, 1 }
    };
    for (size_t i = 0; i < VLM_COUNTOF(keys); i++) {
        struct vlm_random other = vlm_random_at(keys[i][0], keys[i][1], keys[i][2]);
        assert_true(vlm_random_next(&other) != first);
    }
    for (int i = 0; i < 1000; i++) {
        int64_t value = vlm_random_between(&a, -3, 3);
        assert_true(value >= -3 && value <= 3);
        double unit = vlm_random_unit(&a);
        assert_true(unit >= 0 && unit < 1);
    }
}

/* --- options --- */

struct values {
    const char *output;
    int64_t threads;
    uint64_t memory;
    int profile;
    bool verbose, on, quiet, json;
};

static int parse(struct values *values, struct vlm_err *err, int *argc, char **argv)
{
    *values = (struct values){ .threads = 2, .memory = 1024, .profile = 2, .on = true };
    const struct vlm_option options[] = {
        VLM_OPTION_STRING('o', "output", &values->output, "DIR", "where to"),
        VLM_OPTION_NUMBER('j', "threads", &values->threads, "N", "threads", 0, 1024),
        VLM_OPTION_SIZE(0, "memory", &values->memory, "SIZE", "ceiling", 1024, (int64_t)1 << 40),
        VLM_OPTION_CHOICE(0, "profile", &values->profile, "m3w|obelics|none", "filters"),
        VLM_OPTION_FLAG('v', "verbose", &values->verbose, "talk"),
        VLM_OPTION_FLAG(0, "skip-empty", &values->on, "skip"),
    };
    const struct vlm_tool tool = { .name = "vlm-probe",
                                   .options = options,
                                   .n_options = VLM_COUNTOF(options),
                                   .quiet = &values->quiet,
                                   .json = &values->json };
    return vlm_options_parse(&tool, argc, argv, err);
}

enum { WORDS_MAX = 12 };

/* Splits a line at spaces; "" stands for an empty argument. */
static int split(char *argv[WORDS_MAX + 1], char *line)
{
    int argc = 0;
    argv[argc++] = (char *)(uintptr_t) "vlm-probe";
    for (char *at = line; *at && argc < WORDS_MAX;) {
        argv[argc++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = 0;
    }
    argv[argc] = NULL;
    return argc;
}

static void test_option_errors(void **state)
{
    (void)state;
    static const struct {
        const char *line, *sentence;
    } table[] = {
        { "--thraeds 3", "unknown option '--thraeds'; did you mean '--threads'?" },
        { "--out x", "unknown option '--out'; did you mean '--output'?" },
        { "--xyzzy", "unknown option '--xyzzy'" },
        { "-x", "unknown option '-x'" },
        { "-vx", "unknown option '-x'" },
        { "--threads x", "option '--threads': 'x' is not a number between 0 and 1024" },
        { "--threads=", "option '--threads': '' is not a number between 0 and 1024" },
        { "--threads 1025", "option '--threads': '1025' is not a number between 0 and 1024" },
        { "--threads -1", "option '--threads': '-1' is not a number between 0 and 1024" },
        { "--threads 99999999999999999999",
          "option '--threads': '99999999999999999999' is not a number between 0 and 1024" },
        { "-j7x", "option '-j': '7x' is not a number between 0 and 1024" },
        { "--threads", "option '--threads' needs a value: N" },
        { "-vj", "option '-j' needs a value: N" },
        { "--memory 1023", "option '--memory': '1023' is not a size between 1Ki and 1Ti" },
        { "--memory 2T", "option '--memory': '2T' is not a size between 1Ki and 1Ti" },
        { "--memory 5X", "option '--memory': '5X' is not a size such as 1500, 64M or 2Gi" },
        { "--memory 99999999T",
          "option '--memory': '99999999T' is not a size such as 1500, 64M or 2Gi" },
        { "--profile m3", "option '--profile': 'm3' is not one of m3w|obelics|none" },
        { "--verbose=1", "option '--verbose' takes no value" },
        { "--no-threads 3", "unknown option '--no-threads'; did you mean '--threads'?" },
        { "--set x", "option '--set': 'x' is not SECTION.KEY=VALUE" },
        { "--set other.threads=1", "option '--set': section 'other' is not 'probe' or '*'" },
        { "--set probe.thread=1", "option '--set': unknown key 'thread'; did you mean 'threads'?" },
        { "--config /no/such/file", "cannot open '/no/such/file': No such file or directory" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(table); i++) {
        char line[128], *argv[WORDS_MAX + 1];
        snprintf(line, sizeof(line), "%s", table[i].line);
        struct values values;
        struct vlm_err err = { 0 };
        int argc = split(argv, line);
        assert_int_equal(parse(&values, &err, &argc, argv), VLM_EUSAGE);
        assert_string_equal(err.msg, table[i].sentence);
    }
}

static void test_option_values(void **state)
{
    (void)state;
    char line[] = "in1 -vqj4 --memory=2Gi --no-skip_empty --profile obelics in2 -o out - --json "
                  "-- --threads";
    char *argv[20];
    int argc = 0;
    argv[argc++] = line; /* stands for the program's name */
    for (char *at = line; *at;) {
        argv[argc++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = 0;
    }
    argv[argc] = NULL;
    struct values values;
    struct vlm_err err = { 0 };
    assert_int_equal(parse(&values, &err, &argc, argv), VLM_OK);
    assert_int_equal(argc, 5);
    assert_string_equal(argv[1], "in1");
    assert_string_equal(argv[2], "in2");
    assert_string_equal(argv[3], "-");
    assert_string_equal(argv[4], "--threads");
    assert_null(argv[5]);
    assert_true(values.verbose && values.quiet && values.json && !values.on);
    assert_int_equal(values.threads, 4);
    assert_true(values.memory == (uint64_t)2 << 30);
    assert_int_equal(values.profile, 1);
    assert_string_equal(values.output, "out");
}

static void test_option_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } table[] = {
        { "1500", 1500 }, { "64M", 64000000 }, { "8Ki", 8192 },    { "2G", 2000000000 },
        { "2k", 2000 },   { "3KiB", 3072 },    { "5MB", 5000000 }, { "1Ti", 1ull << 40 }
    };
    for (size_t i = 0; i < VLM_COUNTOF(table); i++) {
        char line[64], *argv[WORDS_MAX + 1];
        snprintf(line, sizeof(line), "--memory %s", table[i].text);
        struct values values;
        struct vlm_err err = { 0 };
        int argc = split(argv, line);
        assert_int_equal(parse(&values, &err, &argc, argv), VLM_OK);
        assert_true(values.memory == table[i].bytes);
    }
}

static int64_t threads_of(const char *arguments)
{
    char line[128], *argv[WORDS_MAX + 1];
    snprintf(line, sizeof(line), "%s", arguments);
    struct values values;
    struct vlm_err err = { 0 };
    int argc = split(argv, line);
    int rc = parse(&values, &err, &argc, argv);
    if (rc != VLM_OK)
        print_error("%s\n", err.msg);
    assert_int_equal(rc, VLM_OK);
    return values.threads;
}

/* The command line beats --set, that the environment, that the file, that the default. */
static void test_option_precedence(void **state)
{
    (void)state;
    const char *folder = test_folder;
    char *path = vlm_path_join(folder, "options.ini");
    const char text[] = "# comment\n[*]\nthreads = 3\nunknown = 1\n[other]\nthreads = 4\n";
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_file_write(path, text, strlen(text), &err), VLM_OK);
    char config[100];
    snprintf(config, sizeof(config), "--config %s", path);
    char set[200];
    snprintf(set, sizeof(set), "%s --set probe.threads=7", config);
    char line[220];
    snprintf(line, sizeof(line), "-j8 %s", set);
    assert_int_equal(threads_of(""), 2);
    assert_int_equal(threads_of(config), 3);
    setenv("VLM_THREADS", "5", 1);
    assert_int_equal(threads_of(config), 5);
    setenv("VLM_PROBE_THREADS", "6", 1);
    assert_int_equal(threads_of(config), 6);
    assert_int_equal(threads_of(set), 7);
    assert_int_equal(threads_of(line), 8);
    unsetenv("VLM_THREADS");
    unsetenv("VLM_PROBE_THREADS");
    free(path);
}

static void config_fails(const char *folder, const char *text, const char *sentence)
{
    char *path = vlm_path_join(folder, "bad.ini");
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_file_write(path, text, strlen(text), &err), VLM_OK);
    char config[] = "--config", *argv[] = { config, config, path, NULL };
    struct values values;
    int argc = 3;
    assert_int_equal(parse(&values, &err, &argc, argv), VLM_EUSAGE);
    assert_memory_equal(err.msg, path, strlen(path));
    assert_string_equal(err.msg + strlen(path), sentence);
    free(path);
}

static void test_option_config_errors(void **state)
{
    (void)state;
    const char *folder = test_folder;
    config_fails(folder, "[probe]\nthreds = 3\n",
                 ", line 2: unknown key 'threds'; did you mean 'threads'?");
    config_fails(folder, "[probe]\n\nthreads = 3x\n",
                 ", line 3: key 'threads': '3x' is not a number between 0 and 1024");
    config_fails(folder, "[probe]\nverbose = maybe\n",
                 ", line 2: key 'verbose': 'maybe' is neither true nor false");
    config_fails(folder, "[probe]\nthreads\n",
                 ", line 2: 'threads' is neither [section] nor key = value");
    config_fails(folder, "[probe]\nhelp = 1\n", ", line 2: unknown key 'help'");
    config_fails(folder, "threads = 1\n[probe]\n",
                 ", line 1: key 'threads' stands before any [section]");
}

/* --- files --- */

static void test_file_write_is_atomic(void **state)
{
    (void)state;
    char *path = test_path("file");
    struct vlm_err err = { 0 };
    struct vlm_buffer read = { 0 };
    assert_int_equal(vlm_file_write(path, "first", 5, &err), VLM_OK);
    assert_int_equal(vlm_file_write(path, "second", 6, &err), VLM_OK);
    assert_int_equal(vlm_file_read(&read, path, 6, &err), VLM_OK);
    assert_int_equal(read.size, 6);
    assert_memory_equal(read.data, "second", 6);
    assert_int_equal(vlm_file_read(&read, path, 5, &err), VLM_ELIMIT);
    /* A write that cannot end well leaves the old file and nothing beside it. */
    char *folder = test_path("file.tmp");
    assert_int_equal(vlm_folder_make(folder, &err), VLM_OK);
    assert_int_equal(vlm_file_write(path, "third", 5, &err), VLM_EFAIL);
    assert_non_null(strstr(err.msg, "file.tmp"));
    vlm_buffer_reset(&read);
    assert_int_equal(vlm_file_read(&read, path, 100, &err), VLM_OK);
    assert_memory_equal(read.data, "second", 6);
    assert_int_equal(vlm_folder_delete(folder, &err), VLM_OK);
    vlm_buffer_release(&read);
    free(folder);
    free(path);
}

static void test_file_write_keeps_links_and_pipes(void **state)
{
    (void)state;
    char *path = test_path("target"), *link = test_path("link");
    char *pipe = test_path("pipe");
    struct vlm_err err = { 0 };
    struct vlm_buffer read_back = { 0 };
    struct stat about;
    assert_int_equal(vlm_file_write(path, "first", 5, &err), VLM_OK);
    assert_int_equal(symlink("target", link), 0);
    assert_int_equal(vlm_file_write(link, "second", 6, &err), VLM_OK);
    assert_int_equal(lstat(link, &about), 0);
    assert_true(S_ISLNK(about.st_mode));
    assert_int_equal(vlm_file_read(&read_back, path, 6, &err), VLM_OK);
    assert_memory_equal(read_back.data, "second", 6);
    vlm_buffer_release(&read_back);
    assert_int_equal(mkfifo(pipe, 0666), 0);
    int fd = open(pipe, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    char bytes[8];
    assert_int_equal(vlm_file_write(pipe, "third", 5, &err), VLM_OK);
    assert_int_equal(read(fd, bytes, sizeof(bytes)), 5);
    assert_int_equal(lstat(pipe, &about), 0);
    assert_true(S_ISFIFO(about.st_mode));
    assert_int_equal(vlm_file_read_regular(&read_back, pipe, 6, &err), VLM_EFORMAT);
    close(fd);
    assert_int_equal(vlm_file_read_regular(&read_back, pipe, 6, &err), VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "pipe' is no file"));
    assert_int_equal(vlm_file_read_regular(&read_back, "/dev/zero", 6, &err), VLM_EFORMAT);
    assert_int_equal(vlm_file_read_regular(&read_back, test_folder, 6, &err), VLM_EFORMAT);
    assert_int_equal(read_back.size, 0);
    assert_int_equal(vlm_file_read_regular(&read_back, link, 6, &err), VLM_OK);
    assert_memory_equal(read_back.data, "second", 6);
    vlm_buffer_release(&read_back);
    assert_int_equal(vlm_file_write(test_folder, "x", 1, &err), VLM_EFAIL);
    assert_non_null(strstr(err.msg, "it is a folder"));
    free(path);
    free(link);
    free(pipe);
}

static void test_file_publish(void **state)
{
    (void)state;
    char *from = test_path("from"), *path = test_path("published");
    struct vlm_err err = { 0 };
    int fd = open(from, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    assert_int_equal(vlm_write_all(fd, "0123456789", 10, from, &err), VLM_OK);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(vlm_file_publish(fd, from, path, &err), VLM_OK);
    assert_int_equal(access(from, F_OK), -1);
    assert_int_equal(vlm_file_publish(fd, from, path, &err), VLM_EFAIL);
    close(fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    char bytes[10];
    assert_int_equal(vlm_pread_all(fd, bytes, 4, 6, path, &err), VLM_OK);
    assert_memory_equal(bytes, "6789", 4);
    assert_int_equal(vlm_pread_all(fd, bytes, 5, 6, path, &err), VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "ends at byte 10"));
    assert_int_equal(vlm_pread_all(fd, bytes, 5, UINT64_MAX, path, &err), VLM_EFORMAT);
    assert_int_equal(vlm_write_all(fd, "x", 1, path, &err), VLM_EFAIL);
    close(fd);
    free(from);
    free(path);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        print_message("no /dev/full here\n");
        skip();
    }
    assert_int_equal(vlm_write_all(fd, "x", 1, "/dev/full", &err), VLM_ELIMIT);
    assert_string_equal(err.msg, "cannot write to '/dev/full': No space left on device");
    close(fd);
}

static void test_folders(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    char *top = test_path("a"), *deep = vlm_path_join(top, "b//c/");
    char *file = vlm_path_join(deep, "file"), *kept = test_path("kept");
    char *link = vlm_path_join(top, "link"), *below = vlm_path_join(file, "x");
    assert_int_equal(vlm_folder_make(deep, &err), VLM_OK);
    assert_int_equal(vlm_folder_make(deep, &err), VLM_OK);
    assert_int_equal(vlm_file_write(file, "x", 1, &err), VLM_OK);
    assert_int_equal(vlm_folder_make(below, &err), VLM_EFAIL);
    assert_int_equal(vlm_file_write(kept, "x", 1, &err), VLM_OK);
    assert_int_equal(symlink(test_folder, link), 0);
    assert_int_equal(vlm_folder_delete(top, &err), VLM_OK);
    assert_int_equal(access(top, F_OK), -1);
    assert_int_equal(access(kept, F_OK), 0); /* links are not followed */
    assert_int_equal(vlm_folder_delete(top, &err), VLM_OK);
    free(top);
    free(deep);
    free(file);
    free(kept);
    free(link);
    free(below);
}

static void test_file_copy(void **state)
{
    (void)state;
    char *from = test_path("from"), *to = test_path("to");
    struct vlm_buffer bytes = { 0 }, copy = { 0 };
    struct vlm_err err = { 0 };
    for (uint32_t i = 0; i < 100000; i++) /* more than one piece */
        vlm_buffer_u32(&bytes, i);
    assert_int_equal(vlm_file_copy(to, from, &err), VLM_EFAIL);
    assert_non_null(strstr(err.msg, "from'"));
    assert_int_equal(vlm_file_write(from, bytes.data, bytes.size, &err), VLM_OK);
    assert_int_equal(vlm_file_copy(to, from, &err), VLM_OK);
    assert_int_equal(vlm_file_read(&copy, to, bytes.size, &err), VLM_OK);
    assert_int_equal(copy.size, bytes.size);
    assert_memory_equal(copy.data, bytes.data, bytes.size);
    vlm_buffer_release(&copy);
    vlm_buffer_release(&bytes);
    free(to);
    free(from);
}

static void last_is(const char *path, const char *expected)
{
    size_t n;
    const char *last = vlm_path_last(path, &n);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(last, expected, n);
}

static void test_path_last(void **state)
{
    (void)state;
    last_is("a", "a");
    last_is("/a/b", "b");
    last_is("/a/b//", "b");
    last_is("/", "");
    last_is("", "");
}

static void test_word_list(void **state)
{
    (void)state;
    static const char list[] = "step|tokens|time";
    size_t n;
    assert_int_equal(vlm_word_list_find(list, "step", 4), 0);
    assert_int_equal(vlm_word_list_find(list, "timer", 4), 2);
    assert_int_equal(vlm_word_list_find(list, "token", 5), -1);
    assert_int_equal(vlm_word_list_find(list, "", 0), -1);
    assert_int_equal(vlm_word_list_find("", "a", 1), -1);
    assert_memory_equal(vlm_word_list_at(list, 1, &n), "tokens", 6);
    assert_int_equal(n, 6);
    assert_string_equal(vlm_word_list_at(list, 2, &n), "time");
    (void)vlm_word_list_at(list, 3, &n);
    assert_int_equal(n, 0);
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const table[][3] = {
        { "a", "b", "a/b" }, { "a/", "b", "a/b" }, { "", "b", "b" }, { "/", "b", "/b" }
    };
    for (size_t i = 0; i < VLM_COUNTOF(table); i++) {
        char *path = vlm_path_join(table[i][0], table[i][1]);
        assert_string_equal(path, table[i][2]);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_sentences),
        cmocka_unit_test(test_error_wrap_cuts),
        cmocka_unit_test(test_arena_cap),
        cmocka_unit_test(test_arena_overflow),
        cmocka_unit_test(test_arena_blocks),
        cmocka_unit_test(test_array_grows),
        cmocka_unit_test(test_buffer_grows),
        cmocka_unit_test(test_buffer_failure_sticks),
        cmocka_unit_test(test_bytes_bounds),
        cmocka_unit_test(test_varints),
        cmocka_unit_test(test_sha_vectors),
        cmocka_unit_test(test_xxh3),
        cmocka_unit_test(test_unhex),
        cmocka_unit_test(test_unbase32),
        cmocka_unit_test(test_utf8_table),
        cmocka_unit_test(test_utf8_round_trip),
        cmocka_unit_test(test_json_escapes),
        cmocka_unit_test(test_json_document),
        cmocka_unit_test(test_json_depth),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_option_errors),
        cmocka_unit_test(test_option_values),
        cmocka_unit_test(test_option_sizes),
        cmocka_unit_test(test_option_precedence),
        cmocka_unit_test(test_option_config_errors),
        cmocka_unit_test(test_file_write_is_atomic),
        cmocka_unit_test(test_file_write_keeps_links_and_pipes),
        cmocka_unit_test(test_file_publish),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_file_copy),
        cmocka_unit_test(test_path_last),
        cmocka_unit_test(test_word_list),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
