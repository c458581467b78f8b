/* test_tokenizer_json.c - files of tokenizers that people hold, and files that nobody should: each is read as the
 * package tokenizers reads it, or refused in a sentence that names the place. What the package says is compared by
 * tests/reference/compare_tokenizers.py; here stand the cases with known answers. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/bpe/bpe.h"
#include "tokenize/text/text_tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

/* A file of the test's folder; valid until the next one. */
static const char *write_file(const char *name, const void *bytes, size_t n)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", test_folder, name);
    remove(path); /* some file systems wait for the disk when a file is written over */
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
    return path;
}

static int open_bytes(struct vlm_text_tokenizer **tokenizer, const char *name, const void *bytes,
                      size_t n, struct vlm_err *err)
{
    *err = (struct vlm_err){ 0 };
    return vlm_text_tokenizer_open(tokenizer, write_file(name, bytes, n), err);
}

/* The file is refused with a sentence that holds `problem`. */
static void refused(const char *name, const char *text, size_t n, const char *problem)
{
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_err err;
    int rc = open_bytes(&tokenizer, name, text, n, &err);
    if (rc == VLM_OK)
        fail_msg("taken: %.200s", text);
    if (rc != VLM_EFORMAT || !strstr(err.msg, problem) || !strstr(err.msg, name))
        fail_msg("%d, '%s' does not hold '%s'", rc, err.msg, problem);
    assert_null(tokenizer);
}

static struct vlm_text_tokenizer *taken(const char *name, const char *text, size_t n)
{
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_err err;
    if (open_bytes(&tokenizer, name, text, n, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    return tokenizer;
}

/* The ids of a text, with spaces between them. */
static const char *ids_of(const struct vlm_text_tokenizer *tokenizer, const char *text, size_t n,
                          unsigned flags)
{
    static char out[4096];
    struct vlm_text_encoder *encoder;
    struct vlm_tokens tokens = { .with_spans = true };
    struct vlm_err err = { 0 };
    size_t at = 0;
    if (vlm_text_encoder_new(&encoder, tokenizer, &err) != VLM_OK ||
        vlm_text_encode(encoder, &tokens, text, n, flags, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    *out = 0;
    for (size_t i = 0; i < tokens.n; i++) {
        assert_true(tokens.spans[i].start <= tokens.spans[i].end && tokens.spans[i].end <= n);
        at += (size_t)snprintf(out + at, sizeof out - at, "%s%u", i ? " " : "", tokens.ids[i]);
        assert_true(at < sizeof out);
    }
    vlm_tokens_release(&tokens);
    vlm_text_encoder_free(encoder);
    return out;
}

static void expect_ids(const char *json, const char *text, unsigned flags, const char *expected)
{
    struct vlm_text_tokenizer *tokenizer = taken("t.json", json, strlen(json));
    const char *ids = ids_of(tokenizer, text, strlen(text), flags);
    if (strcmp(ids, expected))
        fail_msg("%s\n'%s': %s, expected %s", json, text, ids, expected);
    vlm_text_tokenizer_close(tokenizer);
}

/* A tokenizer.json of characters: what stands before the model, and the model. */
#define JSON(parts, model) "{\"version\":\"1.0\"" parts ",\"model\":{" model "}}"
#define ABC                "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<unk>\":3}"
#define BPE                "\"type\":\"BPE\"," ABC ",\"merges\":[[\"a\",\"b\"]]"
#define UNK                "\"unk_token\":\"<unk>\"," BPE

static void models(void **state)
{
    (void)state;
    expect_ids(JSON("", BPE), "abxba", 0,
               "2 1 0"); /* without unk_token x is nothing, as in the package */
    expect_ids(JSON("", UNK), "abxyba", 0, "2 3 3 1 0");
    expect_ids(JSON("", "\"fuse_unk\":true," UNK), "abxyba", 0, "2 3 1 0");
    expect_ids(JSON("", "\"type\":\"BPE\"," ABC ",\"merges\":[\"a b\"]"), "ab", 0, "2");
    expect_ids(JSON("", ABC ",\"merges\":[\"a b\"]"), "ab", 0, "2"); /* as old files: no type */
    expect_ids(JSON("", "\"type\":\"BPE\"," ABC ",\"merges\":[]"), "ab", 0, "0 1");
    expect_ids(JSON("", "\"ignore_merges\":true,\"type\":\"BPE\"," ABC ",\"merges\":[]"), "ab", 0,
               "2");
    expect_ids(JSON("", "\"dropout\":0.0," BPE), "ab", 0, "2");
    expect_ids(JSON("", "\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"a\":0,\"<0xC3>\":1,"
                        "\"<0xA9>\":2},\"merges\":[]"),
               "aé", 0, "0 1 2");
    expect_ids(
        JSON("",
             "\"type\":\"BPE\",\"continuing_subword_prefix\":\"#\",\"end_of_word_suffix\":\"$\","
             "\"vocab\":{\"a\":0,\"#b\":1,\"#c$\":2,\"ab\":3},\"merges\":[[\"a\",\"#b\"]]"),
        "abc", 0, "3 2");
    expect_ids(JSON(",\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"}",
                    "\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":0,\"a\":1,\"##b\":2,\"##bc\":3}"),
               "abc ab x", 0, "1 3 1 2 0");
    expect_ids(JSON(",\"pre_tokenizer\":{\"type\":\"Whitespace\"}",
                    "\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":0,\"ab\":1}"),
               "ab, ab", 0, "1 0 1");
}

static void strings_with_nul(void **state)
{
    (void)state;
    static const char json[] =
        JSON("", "\"type\":\"BPE\",\"vocab\":{\"\\u0000\":0,\"a\":1,\"\\u0000a\":2},"
                 "\"merges\":[[\"\\u0000\",\"a\"]]");
    struct vlm_text_tokenizer *tokenizer = taken("t.json", json, sizeof json - 1);
    assert_string_equal(ids_of(tokenizer, "a\0a", 3, 0), "1 2");
    struct vlm_bytes piece = vlm_text_tokenizer_piece(tokenizer, 2);
    assert_int_equal(vlm_bytes_left(&piece), 3); /* no decoder: words with spaces between them */
    vlm_text_tokenizer_close(tokenizer);
}

#define ADDED(members) ",\"added_tokens\":[{" members "}]"

static void added_tokens(void **state)
{
    (void)state;
    expect_ids(JSON(ADDED("\"id\":4,\"content\":\"<x>\",\"special\":false"), BPE), "a<x>b", 0,
               "0 4 1");
    expect_ids(JSON(ADDED("\"id\":4,\"content\":\"<x>\",\"special\":true"), BPE), "a<x>b", 0,
               "2"); /* of characters that are nothing no trace is left */
    expect_ids(JSON(ADDED("\"id\":4,\"content\":\"<x>\",\"special\":true"), BPE), "a<x>b",
               VLM_TEXT_SPECIALS, "0 4 1");
    expect_ids(JSON(ADDED("\"id\":4,\"content\":\"x\",\"single_word\":true"), BPE), "x ax x", 0,
               "4 0 4");
    expect_ids(JSON(ADDED("\"id\":3,\"content\":\"<unk>\""), BPE), "a<unk>", 0, "0 3");
    /* The leftmost, and of these the longest. */
    expect_ids(
        JSON(",\"added_tokens\":[{\"id\":4,\"content\":\"xy\"},{\"id\":5,\"content\":\"xyz\"},"
             "{\"id\":6,\"content\":\"yzw\"}]",
             BPE),
        "xyzw xyw", 0, "5 4");
    expect_ids(JSON(",\"normalizer\":{\"type\":\"Lowercase\"},\"added_tokens\":[{\"id\":4,"
                    "\"content\":\"XY\","
                    "\"normalized\":true},{\"id\":5,\"content\":\"ZW\",\"normalized\":false}]",
                    BPE),
               "xYzwZW", 0, "4 5");
}

static void added_tokens_take_spaces(void **state)
{
    (void)state;
    static const char json[] =
        JSON(",\"added_tokens\":[{\"id\":4,\"content\":\"<l>\",\"lstrip\":true},"
             "{\"id\":5,\"content\":\"<r>\",\"rstrip\":true}]",
             "\"unk_token\":\"<unk>\"," BPE);
    struct vlm_text_tokenizer *tokenizer = taken("t.json", json, sizeof json - 1);
    assert_string_equal(ids_of(tokenizer, "a  <l> b <r>  b", 15, 0), "0 4 3 1 3 5 1");
    vlm_text_tokenizer_close(tokenizer);
}

static void patterns(void **state)
{
    (void)state;
#define CUT(regex, behavior)                                                                       \
    JSON(",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex                  \
         "\"},\"behavior\":\"" behavior "\",\"invert\":false}",                                    \
         UNK)
    expect_ids(CUT("a", "Isolated"), "ab", 0, "0 1");
    expect_ids(CUT("b", "MergedWithPrevious"), "abab", 0, "2 2");
    expect_ids(CUT("\\\\s", "Removed"),
               "a\xc2\x85"
               "b a\u180e"
               "b",
               0, "0 1 0 3 1"); /* U+180E is no white space */
    expect_ids(CUT("(?m).", "Isolated"), "a\nb", 0, "0 3 1");
    expect_ids(CUT("\\\\ba", "Isolated"), "ab ab", 0, "0 1 3 0 1");
    expect_ids(CUT("a{,1}b", "Removed"), "abba", 0, "0");
#define NOT(regex, problem)                                                                        \
    refused("t.json", CUT(regex, "Isolated"), sizeof(CUT(regex, "Isolated")) - 1,                  \
            "pre_tokenizer.pattern: " problem)
    NOT("a*", "a regular expression that matches the empty text is not supported");
    NOT("[a[b]]", "the regular expression is not supported: a set inside of a set at byte 0");
    NOT("[a&&b]", "the regular expression is not supported: an intersection");
    NOT("a{2}+", "the regular expression is not supported: an interval with +");
    NOT("a{1000000}", "the regular expression is not supported: number too big");
    NOT("((a{1000}){1000}){1000}", "the regular expression is not supported: ");
    NOT("(*UTF)a", "the regular expression is not supported: a verb at byte 0");
    NOT("(?P<x>a)", "the regular expression is not supported: this kind of group");
    NOT("a(", "the regular expression is not supported: missing closing parenthesis");
    NOT("\\\\Ka", "the regular expression is not supported: this escape");
    NOT("", "an empty pattern");
    /* Catastrophic: the limit of matches ends it. */
    struct vlm_text_tokenizer *tokenizer =
        taken("t.json", CUT("(a+)+[0-9]", "Isolated"), sizeof(CUT("(a+)+[0-9]", "Isolated")) - 1);
    struct vlm_text_encoder *encoder;
    struct vlm_tokens tokens = { 0 };
    struct vlm_err err = { 0 };
    char text[64];
    memset(text, 'a', sizeof text);
    assert_int_equal(vlm_text_encoder_new(&encoder, tokenizer, &err), VLM_OK);
    text[40] = 'b';
    assert_int_equal(vlm_text_encode(encoder, &tokens, text, sizeof text, 0, &err), VLM_ELIMIT);
    assert_int_equal(tokens.n, 0);
    vlm_text_encoder_free(encoder);
    vlm_text_tokenizer_close(tokenizer);
}

static void refused_documents(void **state)
{
    (void)state;
    static const struct {
        const char *json, *problem;
    } files[] = {
        { "", "byte 0: expected '{'" },
        { "[]", "byte 0: expected '{'" },
        { "{}", "no model" },
        { "{\"model\":null}", "expected '{'" },
        { JSON(",\"version\":\"1.0\"", BPE), "version: stands twice" },
        { JSON(",\"extra\":1", BPE), "extra: no member of a tokenizer.json has this name" },
        { "{\"version\":\"2.0\",\"model\":{" BPE "}}",
          "version: version '2.0' is not supported; 1.0 is" },
        { JSON("", BPE) "x", "something stands behind the end" },
        { "\xef\xbb\xbf" JSON("", BPE), "a byte order mark in front" },
        { "version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS" },
        { "\"{\\\"class_name\\\": \\\"Tokenizer\\\"}\"", "a JSON string, as Keras writes" },
        { "{\"class_name\":\"Tokenizer\",\"config\":{}}",
          "class_name: this is a tokenizer of Keras" },
        { JSON("", "\"type\":\"WordLevel\",\"vocab\":{\"\":0,\"<unk>\":1}"), "an empty piece" },
        { JSON(",\"truncation\":{,}", BPE), "truncation: expected a string" },
        { JSON(",\"padding\":NaN", BPE), "padding: expected a value" },
        { JSON(",\"post_processor\":{\"a\":'b'}", BPE), "post_processor.a: expected a value" },
        { JSON("", "\"type\":\"Lattice\",\"vocab\":[[\"a\",-1.5]]"),
          "model.type: Lattice is not supported; BPE, WordPiece, WordLevel and Unigram are" },
        { JSON("", "\"type\":\"Unigram\"," ABC), "model: vocab: expected '['" },
        { JSON("", "\"type\":\"WordLevel\",\"vocab\":[[\"a\",-1.5]]"),
          "model: vocab: expected '{'" },
        { JSON("", "\"type\":\"BPE\",\"merges\":[]"), "model: no vocab" },
        { JSON("", "\"type\":\"BPE\"," ABC), "model: no merges" },
        { JSON("", "\"dropout\":0.1," BPE), "model.dropout: dropout is not supported" },
        { JSON("", "\"unk_token\":\"no\"," BPE), "model.unk_token: 'no' is not in the vocabulary" },
        { JSON("", "\"type\":\"WordPiece\"," ABC),
          "model.unk_token: '[UNK]' is not in the vocabulary" },
        { JSON("", BPE ",\"merges\":[]"), "model.merges: stands twice" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(files); i++)
        refused("t.json", files[i].json, strlen(files[i].json), files[i].problem);
}

static void refused_vocabularies(void **state)
{
    (void)state;
    static const struct {
        const char *vocab, *problem;
    } files[] = {
        { "{}", "the vocabulary is empty" },
        { "{\"a\":-1}", "model.vocab: expected a whole number" },
        { "{\"a\":1.5}", "model.vocab: expected a whole number" },
        { "{\"a\":\"5\"}", "model.vocab: expected a whole number" },
        { "{\"a\":null}", "model.vocab: expected a whole number" },
        { "{\"a\":2147483648}", "id 2147483648 of piece 'a' is over the limit of 2097151" },
        { "{\"a\":4294967296}", "id 4294967296 of piece 'a' is over the limit" },
        { "{\"a\":99999999999999999999}", "model.vocab: expected a whole number" },
        { "{\"a\":0,\"b\":0}", "pieces 'a' and 'b' have the same id 0" },
        { "{\"a\":0,\"a\":1}", "piece 'a' stands twice" },
        { "{\"a\":0,\"b\":2}", "no piece has id 1, but ids go up to 2" },
        { "{\"\\ud800\":0}", "model.vocab: this escape stands for no character" },
        { "{\"a\":0,}", "model.vocab: expected a string" },
        { "{\"a\":0 // no\n}", "model.vocab: expected ',' or '}'" },
        { "\"a\"", "model.vocab: expected '{'" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(files); i++) {
        char json[512];
        int n =
            snprintf(json, sizeof json, "{\"model\":{\"type\":\"BPE\",\"vocab\":%s,\"merges\":[]}}",
                     files[i].vocab);
        refused("t.json", json, (size_t)n, files[i].problem);
    }
}

static void refused_merges(void **state)
{
    (void)state;
    static const struct {
        const char *merges, *problem;
    } files[] = {
        { "[\"a\"]", "model.merges[0]: 'a' is not two parts with one space between them" },
        { "[\"a b\",\"a b c\"]", "model.merges[1]: 'a b c' is not two parts" },
        { "[\" \"]", "entry 0: merge of '' and '': a part is empty" },
        { "[\"a \"]", "entry 0: merge of 'a' and '': a part is empty" },
        { "[\"a x\"]", "entry 0: merge of 'a' and 'x': a part is not in the vocabulary" },
        { "[\"b a\"]", "entry 0: merge of 'b' and 'a': both together are not in the vocabulary" },
        { "[\"a b\",\"a b\"]", "entry 1: merge of 'a' and 'b': this pair stood before" },
        { "[[\"a\"]]", "model.merges[0]: a merge has two parts, not 1" },
        { "[[\"a\",\"b\",\"c\"]]", "model.merges[0]: a merge has two parts, not 3" },
        { "[[1,2]]", "model.merges[0]: expected a string" },
        { "{}", "model.merges: expected '['" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(files); i++) {
        char json[512];
        int n = snprintf(json, sizeof json, "{\"model\":{\"type\":\"BPE\"," ABC ",\"merges\":%s}}",
                         files[i].merges);
        refused("t.json", json, (size_t)n, files[i].problem);
    }
    refused("t.json",
            "{\"model\":{\"continuing_subword_prefix\":\"###\",\"type\":\"BPE\"," ABC
            ",\"merges\":[\"a b\"]}}",
            strlen("{\"model\":{\"continuing_subword_prefix\":\"###\",\"type\":\"BPE\"," ABC
                   ",\"merges\":[\"a b\"]}}"),
            "the right part does not begin with continuing_subword_prefix");
}

static void refused_parts(void **state)
{
    (void)state;
    static const struct {
        const char *part, *problem;
    } files[] = {
        { "\"normalizer\":{}", "normalizer: no type" },
        { "\"normalizer\":{\"type\":\"Magic\"}", "normalizer.type: Magic is not supported" },
        { "\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAA\"}",
          "normalizer.precompiled_charsmap: expected base64" },
        { "\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}",
          "normalizer.precompiled_charsmap: a charsmap of 3 bytes says that its array has 0 "
          "bytes" },
        { "\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAAAAD/\"}",
          "normalizer.precompiled_charsmap: the texts of a charsmap are not UTF-8" },
        { "\"normalizer\":{\"type\":\"Replace\",\"content\":\"\"}",
          "normalizer.pattern: no pattern" },
        { "\"normalizer\":{\"type\":\"Prepend\"}", "normalizer: no prepend" },
        { "\"normalizer\":{\"type\":\"Sequence\"}", "normalizer: a Sequence without steps" },
        { "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":"
          "\"Magic\"}]}",
          "normalizer.normalizers[1].type: Magic is not supported" },
        { "\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}",
          "pre_tokenizer.type: UnicodeScripts is not supported" },
        { "\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":0}",
          "pre_tokenizer: length is 0" },
        { "\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":-1}",
          "pre_tokenizer.length: expected a whole number" },
        { "\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\"}",
          "pre_tokenizer.pattern: no pattern" },
        { "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":"
          "\"Odd\"}",
          "pre_tokenizer: behavior 'Odd' is not known" },
        { "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}",
          "pre_tokenizer: replacement is 'ab', expected one character" },
        { "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":"
          "\"odd\"}",
          "pre_tokenizer: prepend_scheme 'odd' is not known" },
        { "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"type\":\"ByteLevel\"}",
          "pre_tokenizer.type: stands twice" },
        { "\"truncation\":{\"max_length\":0}", "truncation: max_length 0 with stride 0" },
        { "\"truncation\":{\"max_length\":4,\"stride\":4}",
          "truncation: max_length 4 with stride 4" },
        { "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"x\",4],\"cls\":[\"a\",0]}",
          "post_processor: id 4 where ids go up to 3" },
        { "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{"
          "\"id\":\"x\","
          "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],\"special_"
          "tokens\":{}}",
          "post_processor: the template uses 'x', which special_tokens lacks" },
        { "\"decoder\":{\"type\":\"CTC\"}", "decoder.type: CTC is not supported" },
        { "\"decoder\":{\"type\":\"Strip\",\"content\":\"a\",\"start\":-1,\"stop\":0}",
          "decoder.start: expected a whole number" },
        { "\"added_tokens\":[{\"id\":4}]",
          "added_tokens[0]: an added token has an id and a content" },
        { "\"added_tokens\":[{\"id\":4,\"content\":\"\"}]", "added_tokens[0]: content of 0 bytes" },
        { "\"added_tokens\":[{\"id\":2097152,\"content\":\"x\"}]",
          "added_tokens[0]: id 2097152 is over the limit" },
        { "\"added_tokens\":[{\"id\":4,\"content\":\"a\"}]",
          "added_tokens: 'a' has id 4 here and 0 in the vocabulary" },
        { "\"added_tokens\":[{\"id\":1,\"content\":\"x\"}]",
          "'x' has id 1, which is that of piece 'b'" },
        { "\"added_tokens\":[{\"id\":4,\"content\":\"x\"},{\"id\":4,\"content\":\"y\"}]",
          "'x' and 'y' have the same id 4" },
        { "\"added_tokens\":[{\"id\":4,\"content\":\"x\"},{\"id\":5,\"content\":\"x\"}]",
          "'x' stands twice" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(files); i++) {
        char json[512];
        int n = snprintf(json, sizeof json, "{%s,\"model\":{" BPE "}}", files[i].part);
        refused("t.json", json, (size_t)n, files[i].problem);
    }
}

static void nested_sequences_are_counted(void **state)
{
    (void)state;
    for (unsigned depth = 10; depth <= 10000; depth *= 10) {
        struct vlm_buffer json = { 0 };
        vlm_buffer_text(&json, "{\"normalizer\":");
        for (unsigned i = 0; i < depth; i++)
            vlm_buffer_text(&json, "{\"type\":\"Sequence\",\"normalizers\":[");
        for (unsigned i = 0; i < depth; i++)
            vlm_buffer_text(&json, "]}");
        vlm_buffer_text(&json, ",\"model\":{" BPE "}}");
        if (depth <= VLM_TOKENIZER_DEPTH_MAX)
            vlm_text_tokenizer_close(taken("t.json", (char *)json.data, json.size));
        else
            refused("t.json", (char *)json.data, json.size,
                    "more than 16 sequences inside one another");
        vlm_buffer_release(&json);
    }
}

/* Pieces of 2 KiB are fine (1024 spaces, each spelled with two bytes), longer ones are not. */
static void limits(void **state)
{
    (void)state;
    for (size_t n = VLM_PIECE_MAX - 1; n <= VLM_PIECE_MAX + 1; n++) {
        struct vlm_buffer json = { 0 };
        vlm_buffer_text(&json, "{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"");
        for (size_t i = 0; i < n; i++)
            vlm_buffer_byte(&json, 'x');
        vlm_buffer_text(&json, "\":0}}}");
        if (n <= VLM_PIECE_MAX)
            vlm_text_tokenizer_close(taken("t.json", (char *)json.data, json.size));
        else
            refused("t.json", (char *)json.data, json.size, "has 2049 bytes; the limit is 2048");
        vlm_buffer_release(&json);
    }
}

/* A tokenizer.json whose pieces are bytes but for those from `from` to below `to`, and `extra`. */
static void write_bytes(struct vlm_buffer *json, unsigned from, unsigned to, const char *extra)
{
    vlm_buffer_text(json, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
                          "\"decoder\":{\"type\":\"ByteLevel\"},"
                          "\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
    for (unsigned byte = 0, id = 0; byte < 256; byte++)
        if (byte < from || byte >= to)
            vlm_buffer_printf(json, "%s\"\\u%04x\":%u", id ? "," : "",
                              vlm_bpe_byte_to_char((uint8_t)byte), id),
                id++;
    vlm_buffer_text(json, extra);
    vlm_buffer_text(json, "}}}");
}

/* Decoders that double a text again and again: 'a' comes to the limit, 'ab' is one byte longer. */
static void doubling_decoders(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        const char *problem; /* NULL: taken */
    } files[] = {
        { 15, NULL },
        { 16, "decoded piece 'ab': the decoded text is over the limit of 65536 bytes" },
        { 60, "decoded piece 'a': the decoded text is over the limit of 65536 bytes" },
    };
    for (size_t f = 0; f < VLM_COUNTOF(files); f++) {
        struct vlm_buffer json = { 0 };
        vlm_buffer_text(&json, "{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[");
        for (size_t i = 0; i < files[f].n; i++)
            vlm_buffer_printf(&json,
                              "%s{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},"
                              "\"content\":\"aa\"}",
                              i ? "," : "");
        vlm_buffer_text(&json, "]},\"model\":{" BPE "}}");
        if (files[f].problem)
            refused("t.json", (char *)json.data, json.size, files[f].problem);
        else
            vlm_text_tokenizer_close(taken("t.json", (char *)json.data, json.size));
        vlm_buffer_release(&json);
    }
}

/* Words that all become long: 1500 of 48 KiB. */
static void long_words(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"",
        "\"decoder\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"",
    };
    static const char *const problems[] = { "has 49153 bytes once normalized, more than 2048",
                                            "all decoded pieces are over" };
    for (size_t part = 0; part < VLM_COUNTOF(parts); part++) {
        struct vlm_buffer json = { 0 };
        vlm_buffer_printf(&json, "{%s", parts[part]);
        for (size_t i = 0; i < 768; i++)
            vlm_buffer_byte(&json, 'b');
        vlm_buffer_text(&json, "\"},\"added_tokens\":[");
        for (size_t i = 0; i < 1500; i++) {
            vlm_buffer_printf(&json, "%s{\"id\":%zu,\"normalized\":true,\"content\":\"%zu",
                              i ? "," : "", i + 4, i);
            for (size_t k = 0; k < 64; k++)
                vlm_buffer_byte(&json, 'a');
            vlm_buffer_text(&json, "\"}");
        }
        vlm_buffer_text(&json, "],\"model\":{" BPE "}}");
        refused("t.json", (char *)json.data, json.size, problems[part]);
        vlm_buffer_release(&json);
    }
}

/* Words that become long and short again, many times over. */
static void words_that_take_long(void **state)
{
    (void)state;
    static const char *const parts[] = { "normalizer", "decoder" };
    static const char *const problems[] = { "all normalized words took over",
                                            "all decoded pieces took over" };
    char letter[] = "a", letters[901];
    memset(letters, 'b', sizeof letters - 1);
    letters[sizeof letters - 1] = 0;
    for (size_t part = 0; part < VLM_COUNTOF(parts); part++) {
        struct vlm_buffer json = { 0 };
        vlm_buffer_printf(&json, "{\"%s\":{\"type\":\"Sequence\",\"%ss\":[", parts[part],
                          parts[part]);
        for (size_t i = 0; i < 250; i++)
            vlm_buffer_printf(&json,
                              "%s{\"type\":\"Replace\",\"pattern\":{\"String\":\"%s\"},"
                              "\"content\":\"%s\"}",
                              i ? "," : "", i % 2 ? letters : letter, i % 2 ? letter : letters);
        vlm_buffer_text(&json, "]},\"added_tokens\":[");
        for (size_t i = 0; i < 50; i++) {
            vlm_buffer_printf(&json, "%s{\"id\":%zu,\"normalized\":true,\"content\":\"%zu",
                              i ? "," : "", i + 4, i);
            for (size_t k = 0; k < 64; k++)
                vlm_buffer_byte(&json, 'a');
            vlm_buffer_text(&json, "\"}");
        }
        vlm_buffer_text(&json, "],\"model\":{" BPE "}}");
        refused("t.json", (char *)json.data, json.size, problems[part]);
        vlm_buffer_release(&json);
    }
}

/* Two hundred and fifty-five bytes are none, unless the last stands in no UTF-8. */
static void missing_byte(void **state)
{
    (void)state;
    for (unsigned missing = 0; missing <= 256; missing++) {
        struct vlm_buffer json = { 0 };
        char problem[64];
        write_bytes(&json, missing, missing + 1, "");
        snprintf(problem, sizeof problem, "byte 0x%02X missing", missing);
        if (missing < 256 && !memchr("\xc0\xc1\xf1\xf2", (int)missing, 4) && missing < 0xf5)
            refused("t.json", (char *)json.data, json.size, problem);
        else
            vlm_text_tokenizer_close(taken("t.json", (char *)json.data, json.size));
        vlm_buffer_release(&json);
    }
}

/* Vocabularies trained on text lack the bytes 0xF5 to 0xFF, which stand in no UTF-8: text comes
 * back, other bytes are dropped as in the package. */
static void bytes_of_text_only(void **state)
{
    (void)state;
    struct vlm_buffer json = { 0 }, out = { 0 };
    struct vlm_err err;
    write_bytes(&json, 0xf5, 256, "");
    struct vlm_text_tokenizer *tokenizer = taken("t.json", (char *)json.data, json.size);
    assert_string_equal(ids_of(tokenizer, "a\xc3\xa9 \xf4", 5, 0), "97 195 169 32 244");
    assert_string_equal(ids_of(tokenizer,
                               "a\xff"
                               "b",
                               3, 0),
                        "97 98");
    assert_false(vlm_text_tokenizer_is_bytewise(tokenizer));
    assert_int_equal(vlm_text_decode(tokenizer, &out, (uint32_t[]){ 97, 195, 169 }, 3, 0, &err), 0);
    assert_int_equal(out.size, 3);
    assert_memory_equal(out.data, "a\xc3\xa9", 3);
    vlm_text_tokenizer_close(tokenizer);
    vlm_buffer_release(&json);
    vlm_buffer_release(&out);
}

/* Whisper's vocabulary has an empty piece: an id that no text becomes and that decodes to nothing. */
static void empty_piece(void **state)
{
    (void)state;
    struct vlm_buffer json = { 0 }, out = { 0 };
    struct vlm_err err;
    write_bytes(&json, 256, 256, ",\"\":256");
    struct vlm_text_tokenizer *tokenizer = taken("t.json", (char *)json.data, json.size);
    assert_int_equal(vlm_text_tokenizer_size(tokenizer), 257);
    assert_true(vlm_text_tokenizer_is_bytewise(tokenizer));
    assert_string_equal(ids_of(tokenizer, "a b", 3, 0), "97 32 98");
    assert_int_equal(vlm_text_decode(tokenizer, &out, (uint32_t[]){ 97, 256, 98 }, 3, 0, &err), 0);
    assert_int_equal(out.size, 2);
    assert_memory_equal(out.data, "ab", 2);
    vlm_text_tokenizer_close(tokenizer);
    vlm_buffer_release(&json);
    vlm_buffer_release(&out);
}

/* A file that has everything, for cuts and changes. */
static const char everything[] =
    JSON(",\"truncation\":{\"max_length\":4},\"padding\":null,\"added_tokens\":[{\"id\":4,"
         "\"content\":\"<x>\",\"special\":"
         "true,\"lstrip\":false,\"rstrip\":true,\"single_word\":false,\"normalized\":false}],"
         "\"normalizer\":{\"type\":"
         "\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Replace\",\"pattern\":{"
         "\"Regex\":\"\\\\s+|x{2,3}\"},"
         "\"content\":\" "
         "\"},{\"type\":\"BertNormalizer\",\"strip_accents\":null}]},\"pre_tokenizer\":{\"type\":"
         "\"Sequence\","
         "\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"String\":\" "
         "\"},\"behavior\":\"MergedWithNext\",\"invert\":"
         "true},{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":"
         "\"first\"}]},"
         "\"post_processor\":null,"
         "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":"
         "\"Strip\",\"content\":\" \","
         "\"start\":1,\"stop\":0}]}",
         "\"dropout\":null,\"byte_fallback\":true," UNK);

static void cut_at_every_byte(void **state)
{
    (void)state;
    vlm_text_tokenizer_close(taken("t.json", everything, sizeof everything - 1));
    for (size_t n = 0; n + 1 < sizeof everything; n++)
        refused("t.json", everything, n, "byte");
}

/* Whatever stands there instead of a byte: read or refused, and what was read can be used. */
static void changed_at_every_byte(void **state)
{
    (void)state;
    static const char others[] = { 0,   '"', '\\', '{', '}', '[', ']',        ',',
                                   ':', '0', '9',  'x', ' ', '-', (char)0x80, (char)0xff };
    char changed[sizeof everything];
    size_t read = 0;
    for (size_t i = 0; i + 1 < sizeof everything; i++)
        for (size_t k = 0; k < VLM_COUNTOF(others); k++) {
            struct vlm_text_tokenizer *tokenizer;
            struct vlm_err err;
            memcpy(changed, everything, sizeof changed);
            changed[i] = others[k];
            int rc = open_bytes(&tokenizer, "t.json", changed, sizeof changed - 1, &err);
            assert_true(rc == VLM_OK || (rc == VLM_EFORMAT && strstr(err.msg, "t.json")));
            if (rc != VLM_OK)
                continue;
            ids_of(tokenizer, "ab <x> \xc3\xa9\xff ab", 14, VLM_TEXT_SPECIALS);
            vlm_text_tokenizer_close(tokenizer);
            read++;
        }
    print_message("%zu of %zu were read\n", read, (sizeof everything - 1) * VLM_COUNTOF(others));
}

static void saved_is_the_same(void **state)
{
    (void)state;
    struct vlm_text_tokenizer *first = taken("t.json", everything, sizeof everything - 1), *second;
    struct vlm_err err = { 0 };
    char path[256];
    snprintf(path, sizeof path, "%s/saved.json", test_folder);
    assert_int_equal(vlm_text_tokenizer_save(first, path, &err), VLM_OK);
    assert_int_equal(vlm_text_tokenizer_open(&second, path, &err), VLM_OK);
    assert_string_equal(vlm_text_tokenizer_id(first), vlm_text_tokenizer_id(second));
    assert_int_equal(strncmp(vlm_text_tokenizer_id(first), "bpe-", 4), 0);
    assert_int_equal(strlen(vlm_text_tokenizer_id(first)), 16);
    vlm_text_tokenizer_close(first);
    vlm_text_tokenizer_close(second);
}

static void many_added_tokens(void **state)
{
    (void)state;
    struct vlm_buffer json = { 0 };
    vlm_buffer_text(&json, "{\"added_tokens\":[");
    for (unsigned i = 0; i < 20000; i++)
        vlm_buffer_printf(&json, "%s{\"id\":%u,\"content\":\"<mask:%u>\"}", i ? "," : "", i + 4, i);
    vlm_buffer_text(&json, "],\"model\":{" BPE "}}");
    struct vlm_text_tokenizer *tokenizer = taken("t.json", (char *)json.data, json.size);
    assert_int_equal(vlm_text_tokenizer_size(tokenizer), 20004);
    assert_int_equal(vlm_text_tokenizer_added(tokenizer, "<mask:19999>"), 20003);
    assert_string_equal(ids_of(tokenizer, "a<mask:1><mask:12>b<mask:123", 28, 0), "0 5 16 1 0");
    vlm_text_tokenizer_close(tokenizer);
    vlm_buffer_release(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models),
        cmocka_unit_test(strings_with_nul),
        cmocka_unit_test(added_tokens),
        cmocka_unit_test(added_tokens_take_spaces),
        cmocka_unit_test(patterns),
        cmocka_unit_test(refused_documents),
        cmocka_unit_test(refused_vocabularies),
        cmocka_unit_test(refused_merges),
        cmocka_unit_test(refused_parts),
        cmocka_unit_test(nested_sequences_are_counted),
        cmocka_unit_test(limits),
        cmocka_unit_test(missing_byte),
        cmocka_unit_test(bytes_of_text_only),
        cmocka_unit_test(empty_piece),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(changed_at_every_byte),
        cmocka_unit_test(saved_is_the_same),
        cmocka_unit_test(doubling_decoders),
        cmocka_unit_test(long_words),
        cmocka_unit_test(words_that_take_long),
        cmocka_unit_test(many_added_tokens),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
