/* test_safetensors.c - the header of files of tensors: what is accepted, and each way to be refused
 * with its sentence. Values, loading, indexes and writing: test_safetensors_values.c. */
#include "base/vlm.h"

#include "tests/safetensors_fixture.h"
#include "tests/folder_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

/* Two tensors, 24 + 8 bytes; "b" stands first in the file. */
#define TWO                                                                                        \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"                          \
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]}}"

/* One tensor "a" with these members. */
#define ONE(dtype, shape, offsets)                                                                 \
    "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void good_headers_are_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t size, values, tensors;
    } good[] = {
        { TEXT("{}"), 0, 0 },
        { TEXT("{}      "), 0, 0 },
        { TEXT("{ \"a\" : { \"shape\" : [ ] , \"dtype\":\"F32\",\"data_offsets\":[0,4] } }\n\t\r "),
          4, 1 },
        { TEXT("{\"__metadata__\":{}}"), 0, 0 },
        { TEXT("{\"__metadata__\":{\"k\":\"v\",\"\":\"\"}}"), 0, 0 },
        { TEXT(TWO), 32, 2 },
        { TEXT(ONE("\"F32\"", "[]", "[0,4]")), 4, 1 },
        { TEXT(ONE("\"F32\"", "[0,5]", "[0,0]")), 0, 1 },
        { TEXT(ONE("\"F64\"", "[0,18446744073709551615]", "[0,0]")), 0, 1 },
        { TEXT(ONE("\"BOOL\"", "[1,1,1,1,1,1,1,7]", "[0,7]")), 7, 1 },
        { TEXT("{\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
               "\"A\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[1,2]}}"),
          2, 2 },
        /* Tensors without values may stand anywhere between others, also several at one place. */
        { TEXT("{\"x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]},"
               "\"y\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]},"
               "\"z\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
               "\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}"),
          3, 4 },
    };
    for (size_t i = 0; i < VLM_COUNTOF(good); i++) {
        struct vlm_safetensors *file;
        struct vlm_err err;
        if (open_header(&file, good[i].header, good[i].size, good[i].values, &err) != VLM_OK)
            fail_msg("%s: %s", good[i].header, err.msg);
        assert_int_equal(vlm_safetensors_count(file), good[i].tensors);
        check_accepted(file, 8 + good[i].size + good[i].values);
        vlm_safetensors_close(file);
    }
}

static void entries_say_what_the_header_says(void **state)
{
    (void)state;
    struct vlm_safetensors *file;
    struct vlm_err err;
    assert_int_equal(open_header(&file, TEXT(TWO), 32, &err), VLM_OK);
    const struct vlm_safetensors_entry *b = vlm_safetensors_at(file, 0);
    const struct vlm_safetensors_entry *a = vlm_safetensors_at(file, 1);
    assert_string_equal(b->name, "b");
    assert_string_equal(a->name, "a");
    assert_int_equal(a->dtype, VLM_SAFETENSORS_F32);
    assert_int_equal(b->dtype, VLM_SAFETENSORS_BF16);
    assert_int_equal(a->rank, 2);
    assert_int_equal(a->shape[0], 2);
    assert_int_equal(a->shape[1], 3);
    assert_int_equal(a->count, 6);
    assert_int_equal(a->bytes, 24);
    assert_int_equal(b->begin, 8 + sizeof(TWO) - 1);
    assert_int_equal(a->begin, b->begin + 8);
    assert_ptr_equal(vlm_safetensors_find(file, "a"), a);
    assert_null(vlm_safetensors_find(file, ""));
    assert_null(vlm_safetensors_find(file, "ab"));
    assert_null(vlm_safetensors_find(file, "c"));
    vlm_safetensors_close(file);
    vlm_safetensors_close(NULL);
}

static void metadata_is_found(void **state)
{
    (void)state;
    struct vlm_safetensors *file;
    struct vlm_err err;
    assert_int_equal(
        open_header(&file, TEXT("{\"__metadata__\":{\"b\":\"2\\n\",\"a\":\"1\"}}"), 0, &err),
        VLM_OK);
    assert_int_equal(vlm_safetensors_metadata_count(file), 2);
    assert_string_equal(vlm_safetensors_metadata_at(file, 0).key, "a");
    assert_string_equal(vlm_safetensors_metadata_at(file, 1).value, "2\n");
    assert_string_equal(vlm_safetensors_metadata_find(file, "a"), "1");
    assert_null(vlm_safetensors_metadata_find(file, "c"));
    vlm_safetensors_close(file);
}

static const struct {
    const char *header;
    size_t size, values;
    const char *sentence; /* how it begins, behind "'f': " */
} bad_headers[] = {
    /* not the text of one object */
    { TEXT(""), 0, "byte 8: expected '{'" },
    { TEXT("{"), 0, "byte 9: " },
    { TEXT("[]"), 0, "byte 8: expected '{'" },
    { TEXT(" {}"), 0, "byte 8: expected '{'" },
    { TEXT("\xef\xbb\xbf{}"), 0, "byte 8: expected '{'" },
    { TEXT("\xff\xfe{\0}\0"), 0, "byte 8: expected '{'" },
    { TEXT("{\0}\0"), 0, "byte 9: " },
    { TEXT("{}\0"), 0, "byte 10: something stands behind the end" },
    { TEXT("{} x"), 0, "byte 11: something stands behind the end" },
    { TEXT("{}{}"), 0, "byte 10: something stands behind the end" },
    { TEXT("{\"a\xff\":1}"), 0, "byte 11: text is not UTF-8" },
    { TEXT("{\"\\ud800\":1}"), 0, "byte 10: this escape stands for no character" },
    { TEXT("{\"a\\u0000\":1}"), 0, "byte 11: this escape stands for no character" },
    { TEXT("{\"a\n\":1}"), 0, "byte 11: control character in a string" },
    { TEXT("{\"a\":1}"), 0, "byte 13: expected '{'" },
    { TEXT("{\"a\":[\"F32\",[1],[0,4]]}"), 4, "byte 13: expected '{'" },
    /* members */
    { TEXT("{\"a\":{}}"), 0, "tensor 'a' has no 'dtype'" },
    { TEXT("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}"), 4, "tensor 'a' has no 'data_offsets'" },
    { TEXT("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}"), 4, "tensor 'a' has no 'shape'" },
    { TEXT("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"), 4,
      "tensor 'a' has two members 'dtype'" },
    { TEXT("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,4]}}"), 4,
      "tensor 'a' has two members 'shape'" },
    { TEXT("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"strides\":[1]}}"), 4,
      "tensor 'a' has an unknown member 'strides'" },
    { TEXT("{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"), 4,
      "byte 12: a tensor has an empty name" },
    { TEXT("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
           "\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}"),
      2, "has two tensors 'a'" },
    { TEXT("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
           "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"),
      1, "has two tensors 'a'" },
    /* metadata */
    { TEXT("{\"__metadata__\":null}"), 0, "byte 24: expected '{'" },
    { TEXT("{\"__metadata__\":[]}"), 0, "byte 24: expected '{'" },
    { TEXT("{\"__metadata__\":{\"a\":1}}"), 0, "byte 29: expected a string" },
    { TEXT("{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}"), 0, "byte 29: expected a string" },
    { TEXT("{\"__metadata__\":{\"a\":\"1\",\"a\":\"1\"}}"), 0,
      "'__metadata__' has two members 'a'" },
    { TEXT("{\"__metadata__\":{},\"__metadata__\":{}}"), 0, "two members '__metadata__'" },
    { TEXT("{\"__metadata__\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"), 4,
      "byte 47: expected a string" },
    /* dtypes */
    { TEXT(ONE("\"F8_E4M3\"", "[4]", "[0,4]")), 4,
      "tensor 'a' has the dtype 'F8_E4M3', not one of F32 BF16 " },
    { TEXT(ONE("\"F4\"", "[8]", "[0,4]")), 4,
      "tensor 'a' has the dtype 'F4', not one of F32 BF16 F16 F64 I64 I32 I16 I8 U64 U32 U16 "
      "U8 BOOL" },
    { TEXT(ONE("\"I128\"", "[1]", "[0,16]")), 16, "tensor 'a' has the dtype 'I128', not" },
    { TEXT(ONE("\"C64\"", "[1]", "[0,8]")), 8, "tensor 'a' has the dtype 'C64', not" },
    { TEXT(ONE("\"f32\"", "[1]", "[0,4]")), 4, "tensor 'a' has the dtype 'f32', not" },
    { TEXT(ONE("\"\"", "[1]", "[0,4]")), 4, "tensor 'a' has the dtype '', not" },
    { TEXT(ONE("\"F32\\u001b[31m\"", "[1]", "[0,4]")), 4,
      "tensor 'a' has the dtype 'F32\\u001b[31m', not" },
    { TEXT(ONE("4", "[1]", "[0,4]")), 4, "byte 22: expected a string" },
    /* shapes */
    { TEXT(ONE("\"F32\"", "[-1]", "[0,4]")), 4, "byte 37: expected a whole number" },
    { TEXT(ONE("\"F32\"", "[1.5]", "[0,4]")), 4, "byte 37: expected a whole number" },
    { TEXT(ONE("\"F32\"", "[1e0]", "[0,4]")), 4, "byte 37: expected a whole number" },
    { TEXT(ONE("\"F32\"", "[\"1\"]", "[0,4]")), 4, "byte 37: expected a whole number" },
    { TEXT(ONE("\"F32\"", "[18446744073709551616]", "[0,4]")), 4,
      "byte 37: expected a whole number" },
    { TEXT(ONE("\"F32\"", "[[1]]", "[0,4]")), 4, "byte 37: expected a whole number" },
    { TEXT(ONE("\"F32\"", "1", "[0,4]")), 4, "byte 36: expected '['" },
    { TEXT(ONE("\"F32\"", "{}", "[0,4]")), 4, "byte 36: expected '['" },
    { TEXT(ONE("\"F32\"", "[1,]", "[0,4]")), 4, "byte 39: expected a whole number" },
    { TEXT(ONE("\"F32\"", "[4294967296,4294967296]", "[0,4]")), 4,
      "tensor 'a' of shape [4294967296, 4294967296] is too large for any file" },
    { TEXT(ONE("\"F32\"", "[4294967296,4294967296,0]", "[0,0]")), 0,
      "tensor 'a' of shape [4294967296, 4294967296, 0] is too large for any file" },
    { TEXT(ONE("\"F32\"", "[9223372036854775808]", "[0,4]")), 4,
      "tensor 'a' of shape [9223372036854775808] is too large for any file" },
    { TEXT(ONE("\"F32\"", "[4611686018427387905]", "[0,4]")), 4,
      "tensor 'a' of shape [4611686018427387905] is too large for any file" },
    { TEXT(ONE("\"F32\"", "[2]", "[0,4]")), 4, "tensor 'a' of shape [2] has 4 bytes, F32 needs 8" },
    { TEXT(ONE("\"F32\"", "[]", "[0,0]")), 0, "tensor 'a' of shape [] has 0 bytes, F32 needs 4" },
    { TEXT(ONE("\"F32\"", "[0]", "[0,4]")), 4, "tensor 'a' of shape [0] has 4 bytes, F32 needs 0" },
    /* offsets */
    { TEXT(ONE("\"F32\"", "[1]", "[4,0]")), 4,
      "tensor 'a' has the data_offsets [4, 0], the file has 4 bytes" },
    { TEXT(ONE("\"F32\"", "[1]", "[-4,0]")), 4, "byte 56: expected a whole number" },
    { TEXT(ONE("\"F32\"", "[1]", "[0.0,4]")), 4, "byte 56: expected a whole number" },
    { TEXT(ONE("\"F32\"", "[1]", "[\"0\",4]")), 4, "byte 56: expected a whole number" },
    { TEXT(ONE("\"F32\"", "[1]", "[0]")), 4, "tensor 'a' has 1 data_offsets, not 2" },
    { TEXT(ONE("\"F32\"", "[1]", "[0,4,8]")), 4, "tensor 'a' has 3 data_offsets, not 2" },
    { TEXT(ONE("\"F32\"", "[1]", "[]")), 4, "tensor 'a' has 0 data_offsets, not 2" },
    { TEXT(ONE("\"F32\"", "[2]", "[0,8]")), 4,
      "tensor 'a' has the data_offsets [0, 8], the file has 4 bytes" },
    { TEXT(ONE("\"U8\"", "[1]", "[18446744073709551614,18446744073709551615]")), 1,
      "tensor 'a' has the data_offsets [18446744073709551614, 18446744073709551615], the file "
      "has 1 bytes" },
    { TEXT(ONE("\"F32\"", "[1]", "[1,5]")), 5,
      "a hole in front of tensor 'a': its values begin at 1, those before it end at 0" },
    { TEXT(ONE("\"F32\"", "[1]", "[0,4]")), 5, "the tensors end at byte" },
    { TEXT("{}"), 1, "the tensors end at byte 10, the file at 11" },
    { TEXT("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}"),
      7, "an overlap in front of tensor 'b': its values begin at 3, those before it end at 4" },
    { TEXT("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[5,9]}}"),
      9, "a hole in front of tensor 'b': its values begin at 5, those before it end at 4" },
    { TEXT("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}"),
      4, "an overlap in front of tensor 'b'" },
    { TEXT("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]}}"),
      4, "an overlap in front of tensor 'b'" },
};

static void bad_headers_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(bad_headers); i++) {
        struct vlm_safetensors *file;
        struct vlm_err err;
        int rc = open_header(&file, bad_headers[i].header, bad_headers[i].size,
                             bad_headers[i].values, &err);
        const char *sentence = strncmp(err.msg, "'f': ", 5) ? err.msg + 4 : err.msg + 5;
        if (rc != VLM_EFORMAT ||
            strncmp(sentence, bad_headers[i].sentence, strlen(bad_headers[i].sentence)) != 0)
            fail_msg("%s gives %d: %s", bad_headers[i].header, rc, err.msg);
        assert_null(memchr(err.msg, '\x1b', strlen(err.msg)));
        vlm_safetensors_close(file);
    }
}

static void sizes_of_the_header_are_checked(void **state)
{
    (void)state;
    static const uint64_t sizes[] = { 0,         1, 7, 8, 9, 10, 18, 19, 1 << 20, (uint64_t)1 << 63,
                                      UINT64_MAX };
    for (size_t i = 0; i < VLM_COUNTOF(sizes); i++) {
        uint8_t bytes[19] = "\0\0\0\0\0\0\0\0{}       \0";
        struct vlm_safetensors *file;
        struct vlm_err err = { 0 };
        for (unsigned b = 0; b < 8; b++)
            bytes[b] = (uint8_t)(sizes[i] >> 8 * b);
        assert_int_equal(vlm_safetensors_open_fd(&file, file_of(bytes, sizeof(bytes)), "f", &err),
                         VLM_EFORMAT);
        assert_null(file);
        if (sizes[i] > sizeof(bytes) - 8)
            assert_non_null(strstr(err.msg, "does not fit into a file of 19"));
    }
}

/* A file of every kind of thing, cut at every length and with every bit of its header flipped. */
static const char rich[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                           "\"w\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[4,20]},"
                           "\"e\":{\"dtype\":\"F16\",\"shape\":[0,3],\"data_offsets\":[4,4]},"
                           "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}   ";
enum { RICH_HEADER = sizeof(rich) - 1, RICH = 8 + RICH_HEADER + 20 };

static void rich_bytes(uint8_t bytes[RICH])
{
    memset(bytes, 0, RICH);
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)RICH_HEADER >> 8 * i);
    memcpy(bytes + 8, rich, RICH_HEADER);
}

static void cut_and_grown_files_are_refused(void **state)
{
    (void)state;
    static uint8_t bytes[RICH + 64];
    struct vlm_safetensors *file;
    rich_bytes(bytes);
    for (size_t n = 0; n <= sizeof(bytes); n++) {
        struct vlm_err err = { 0 };
        int rc = vlm_safetensors_open_fd(&file, file_of(bytes, n), "f", &err);
        assert_int_equal(rc, n == RICH ? VLM_OK : VLM_EFORMAT);
        assert_true(n == RICH || strlen(err.msg) > 5);
        vlm_safetensors_close(file);
    }
    /* What else a file could be at the same time stands behind or in front of it. */
    memcpy(bytes + RICH, "PK\5\6", 4);
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_safetensors_open_fd(&file, file_of(bytes, RICH + 22), "f", &err),
                     VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "the tensors end at byte"));
}

static void flipped_bits_never_break_the_rules(void **state)
{
    (void)state;
    uint8_t bytes[RICH];
    size_t refused = 0;
    for (size_t bit = 0; bit < (size_t)(8 + RICH_HEADER) * 8; bit++) {
        struct vlm_safetensors *file;
        struct vlm_err err = { 0 };
        rich_bytes(bytes);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (vlm_safetensors_open_fd(&file, file_of(bytes, RICH), "f", &err) == VLM_OK)
            check_accepted(file, RICH);
        else
            refused++;
        vlm_safetensors_close(file);
    }
    /* Flips in names, in metadata and of the case of nothing else may pass. */
    assert_in_range(refused, 1400, (8 + RICH_HEADER) * 8 - 1);
}

/* A header of `count` members that a function prints, padded with spaces to `size`, or not when
 * that is 0. */
static struct vlm_buffer long_header(const char *begin, const char *member, size_t count,
                                     const char *end, size_t size)
{
    struct vlm_buffer text = { 0 };
    vlm_buffer_text(&text, begin);
    for (size_t i = 0; i < count; i++) {
        vlm_buffer_printf(&text, "%s\"%zx\":", i ? "," : "", i);
        vlm_buffer_text(&text, member);
    }
    vlm_buffer_text(&text, end);
    if (text.size < size) {
        uint8_t *to = vlm_buffer_reserve(&text, size - text.size);
        assert_non_null(to);
        memset(to, ' ', size - text.size);
        text.size = size;
    }
    assert_false(text.failed);
    return text;
}

static void check_limit(struct vlm_buffer text, bool over)
{
    struct vlm_safetensors *file;
    struct vlm_err err;
    int rc = open_header(&file, (const char *)text.data, text.size, 0, &err);
    if (rc != (over ? VLM_ELIMIT : VLM_OK))
        fail_msg("%d: %s", rc, err.msg);
    vlm_safetensors_close(file);
    vlm_buffer_release(&text);
}

static void limits_are_kept(void **state)
{
    (void)state;
    static const char empty[] = "{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}";
    for (int d = -1; d <= 1; d++) {
        size_t count = (size_t)(VLM_SAFETENSORS_COUNT_MAX + d);
        check_limit(long_header("{", "", 0, "}", VLM_SAFETENSORS_HEADER_MAX + (size_t)d), d > 0);
        check_limit(long_header("{", empty, count, "}", 0), d > 0);
        check_limit(long_header("{\"__metadata__\":{", "\"\"", count, "}}", 0), d > 0);
        char shape[64] = "{\"dtype\":\"U8\",\"data_offsets\":[0,0],\"shape\":[0";
        for (int i = 1; i < VLM_SAFETENSORS_RANK_MAX + d; i++)
            strncat(shape, ",1", 3);
        strncat(shape, "]}", 3);
        check_limit(long_header("{", shape, 1, "}", 0), d > 0);
    }
    /* A million keys are over the limit long before the text ends. */
    check_limit(long_header("{\"__metadata__\":{", "\"\"", 1000000, "}}", 0), true);
    /* Depth costs nothing: no member may be a tree. */
    struct vlm_buffer deep = long_header("{\"a\":", "", 0, "", 0);
    struct vlm_safetensors *file;
    struct vlm_err err;
    for (size_t i = 0; i < 1000; i++)
        vlm_buffer_text(&deep, "{\"a\":");
    assert_int_equal(open_header(&file, (const char *)deep.data, deep.size, 0, &err), VLM_EFORMAT);
    vlm_buffer_release(&deep);
}

static void names_are_escaped_in_sentences(void **state)
{
    (void)state;
    static const struct {
        const char *name, *quoted;
    } names[] = {
        { "../x", "'../x'" },
        { "\\u001b[2J\\n", "'\\u001b[2J\\u000a'" },
        { "a\\\\b\\u007f", "'a\\u005cb\\u007f'" },
        { "\xc3\xa9\xf0\x9f\x98\x80", "'\\u00e9\\u1f600'" },
        { "\xe2\x80\xae", "'\\u202e'" },
    };
    struct vlm_safetensors *file;
    struct vlm_err err;
    char text[128];
    for (size_t i = 0; i < VLM_COUNTOF(names); i++) {
        int n = snprintf(text, sizeof(text), "{\"%s\":{}}", names[i].name);
        assert_int_equal(open_header(&file, text, (size_t)n, 0, &err), VLM_EFORMAT);
        if (!strstr(err.msg, names[i].quoted))
            fail_msg("%s", err.msg);
    }
    /* A long name is read, found, and cut in sentences. */
    struct vlm_buffer header = { 0 };
    char *name = malloc(VLM_MIB + 1);
    assert_non_null(name);
    memset(name, 'n', VLM_MIB);
    name[VLM_MIB] = 0;
    vlm_buffer_printf(&header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                      name);
    assert_int_equal(open_header(&file, (const char *)header.data, header.size, 1, &err), VLM_OK);
    assert_non_null(vlm_safetensors_find(file, name));
    vlm_safetensors_close(file);
    assert_int_equal(open_header(&file, (const char *)header.data, header.size, 0, &err),
                     VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "nnn...'"));
    assert_true(strlen(err.msg) < 300);
    free(name);
    vlm_buffer_release(&header);
}

static void check_not_opened(const char *path, const char *part)
{
    struct vlm_safetensors *file;
    struct vlm_err err = { 0 };
    assert_true(vlm_safetensors_open(&file, path, &err) < 0);
    assert_null(file);
    if (!strstr(err.msg, part) || !strstr(err.msg, path))
        fail_msg("%s", err.msg);
    assert_true(vlm_safetensors_open(&file, path, NULL) < 0);
}

static void other_things_are_named(void **state)
{
    (void)state;
    static const struct {
        char begin[24];
        const char *part;
    } strangers[] = {
        { "PK\3\4\24\0\0\0\0\0", "a zip archive" },
        { "\x80\2}q\1.......", "a Python pickle" },
        { "GGUF\3\0\0\0\1\0\0\0", "a GGUF file" },
        { "version https://git-lfs", "a Git LFS pointer" },
        { "<!DOCTYPE html>", "does not fit" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(strangers); i++) {
        char bytes[64] = { 0 };
        struct vlm_safetensors *file;
        struct vlm_err err = { 0 };
        memcpy(bytes, strangers[i].begin, sizeof(strangers[i].begin));
        assert_int_equal(vlm_safetensors_open_fd(&file, file_of(bytes, sizeof(bytes)), "f", &err),
                         VLM_EFORMAT);
        assert_non_null(strstr(err.msg, strangers[i].part));
    }
    char *fifo = test_path("fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    check_not_opened(test_folder, "not a regular file");
    check_not_opened(fifo, "not a regular file");
    unlink(fifo);
    check_not_opened(fifo, "No such file");
    free(fifo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_headers_are_accepted),
        cmocka_unit_test(entries_say_what_the_header_says),
        cmocka_unit_test(metadata_is_found),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(sizes_of_the_header_are_checked),
        cmocka_unit_test(cut_and_grown_files_are_refused),
        cmocka_unit_test(flipped_bits_never_break_the_rules),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(names_are_escaped_in_sentences),
        cmocka_unit_test(other_things_are_named),
    };
    return cmocka_run_group_tests_name("safetensors", tests, make_test_folder, remove_test_folder);
}
