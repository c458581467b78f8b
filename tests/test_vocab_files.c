/* test_vocab_files.c - pairs of files, vocab.txt and tiktoken's files: spellings that people have, and damage. */
#include "base/vlm.h"

#include "base/file.h"
#include "tokenize/bpe/bpe.h"
#include "tokenize/text/text_tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

static void write_file(const char *name, const void *bytes, size_t n)
{
    char *path = vlm_path_join(test_folder, name);
    remove(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
    free(path);
}

static int open_path(struct vlm_text_tokenizer **tokenizer, const char *name, struct vlm_err *err)
{
    char path[512];
    const char *comma = strchr(name, ',');
    *err = (struct vlm_err){ 0 };
    if (comma)
        snprintf(path, sizeof path, "%s/%.*s,%s/%s", test_folder, (int)(comma - name), name,
                 test_folder, comma + 1);
    else
        snprintf(path, sizeof path, "%s/%s", test_folder, name);
    return vlm_text_tokenizer_open(tokenizer, path, err);
}

/* The tokenizer reads "the" as one token with this id. */
static void reads(const char *name, uint32_t id)
{
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_text_encoder *encoder;
    struct vlm_tokens tokens = { 0 };
    struct vlm_err err;
    if (open_path(&tokenizer, name, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(vlm_text_encoder_new(&encoder, tokenizer, &err), VLM_OK);
    assert_int_equal(vlm_text_encode(encoder, &tokens, "the", 3, 0, &err), VLM_OK);
    assert_int_equal(tokens.n, 1);
    assert_int_equal(tokens.ids[0], id);
    vlm_tokens_release(&tokens);
    vlm_text_encoder_free(encoder);
    vlm_text_tokenizer_close(tokenizer);
}

static void refused(const char *name, const char *problem)
{
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_err err;
    int rc = open_path(&tokenizer, name, &err);
    if (rc == VLM_OK)
        fail_msg("%s was read, expected: %s", name, problem);
    if (rc != VLM_EFORMAT || !strstr(err.msg, problem))
        fail_msg("%d, '%s' does not hold '%s'", rc, err.msg, problem);
}

/* All bytes, th and the, and one special word. */
static void write_vocab(const char *name)
{
    struct vlm_buffer json = { 0 };
    vlm_buffer_text(&json, "{");
    for (unsigned byte = 0; byte < 256; byte++)
        vlm_buffer_printf(&json, "\"\\u%04x\": %u, ", vlm_bpe_byte_to_char((uint8_t)byte), byte);
    vlm_buffer_text(&json, "\"th\": 256, \"the\": 257, \"<|endoftext|>\": 258}");
    write_file(name, json.data, json.size);
    vlm_buffer_release(&json);
}

static void spellings_of_merges(void **state)
{
    (void)state;
    static const char *const files[] = {
        "#version: 0.2\nt h\nth e\n",
        "t h\nth e",
        "#version: 0.2 - Trained by `huggingface/tokenizers`\r\nt h\r\nth e\r\n\r\n\r\n",
        "\xef\xbb\xbf#version: 0.2\nt h\nth e\n",
        "\"vocab.bpe#version: 0.2\nt h\nth e\n\n\n",
    };
    for (size_t i = 0; i < VLM_COUNTOF(files); i++) {
        write_vocab("vocab.json");
        write_file("merges.txt", files[i], strlen(files[i]));
        reads("", 257);
        reads("vocab.json,merges.txt", 257);
    }
}

static void special_words_are_found(void **state)
{
    (void)state;
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_err err;
    write_vocab("vocab.json");
    write_file("merges.txt", "t h\nth e\n", 9);
    assert_int_equal(open_path(&tokenizer, "", &err), VLM_OK);
    assert_int_equal(vlm_text_tokenizer_added(tokenizer, "<|endoftext|>"), 258);
    assert_int_equal(vlm_text_tokenizer_added(tokenizer, "the"), -1);
    assert_true(vlm_text_tokenizer_is_bytewise(tokenizer));
    vlm_text_tokenizer_close(tokenizer);
}

static void damaged_merges(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        const char *problem;
    } files[] = {
#define TEXT(t) t, sizeof t - 1
        { TEXT("t h\nth  e\n"), "merges.txt', line 2: expected two parts with one space" },
        { TEXT("t\th\n"), "line 1: expected two parts" },
        { TEXT("#version: 0.2\nt h\nth\n"), "line 3: expected two parts" },
        { TEXT("t h\0\n"), "line 1: expected two parts" },
        { TEXT("t h\nt h\n"), "line 2: merge of 't' and 'h': this pair stood before" },
        { TEXT("\nt e\n"),
          "line 2: merge of 't' and 'e': both together are not in the vocabulary" },
        { TEXT("x y z\n"), "line 1: expected two parts" },
        { TEXT(" h\n"), "line 1: merge of '' and 'h': a part is empty" },
        { TEXT("t xyz\n"), "a part is not in the vocabulary" },
    };
    write_vocab("vocab.json");
    for (size_t i = 0; i < VLM_COUNTOF(files); i++) {
        write_file("merges.txt", files[i].text, files[i].n);
        refused("vocab.json,merges.txt", files[i].problem);
    }
    refused("merges.txt", "has merges only; name both files of the pair");
    write_file("vocab.json", "{\"a\": 0,}", 9);
    refused("vocab.json,merges.txt", "vocab.json', byte 8: expected a string");
    write_file("vocab.json", "{\"a\": 0}", 8);
    write_file("merges.txt", "", 0);
    refused("vocab.json,merges.txt", "byte 0x00 missing in the vocabulary");
}

static void bert_vocabularies(void **state)
{
    (void)state;
    static const char text[] = "[PAD]\n[UNK]\nthe\n##e\n";
    write_file("x-vocab.txt", text, sizeof text - 1);
    reads("x-vocab.txt", 2);
    write_file("x-vocab.txt", "[PAD]\r\n[UNK]\r\nthe\r\n\r\n", 21);
    reads("x-vocab.txt", 2);
    write_file("x-vocab.txt", "[UNK]\n\nthe\n", 11);
    refused("x-vocab.txt", "x-vocab.txt', line 2: is empty");
    write_file("x-vocab.txt", "[UNK]\nthe\nthe\n", 14);
    refused("x-vocab.txt", "piece 'the' stands twice");
    write_file("x-vocab.txt", "the\n", 4);
    refused("x-vocab.txt", "no piece [UNK]");
    write_file("x-vocab.txt", "[UNK]\n\xff\n", 8);
    refused("x-vocab.txt", "line 2: expected a piece in UTF-8 without NUL");
}

static void write_base64(struct vlm_buffer *out, const char *bytes, size_t n, unsigned rank)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (i + k < n ? (uint8_t)bytes[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            vlm_buffer_byte(out, (uint8_t)(i + k <= n ? digits[bits >> (18 - 6 * k) & 63] : '='));
    }
    vlm_buffer_printf(out, " %u\n", rank);
}

static void tiktoken_files(void **state)
{
    (void)state;
    struct vlm_buffer good = { 0 }, bad = { 0 };
    for (unsigned byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        write_base64(&good, &c, 1, byte);
    }
    write_base64(&good, "he", 2, 256);
    write_base64(&good, "the", 3, 257);
    write_file("my.tiktoken", good.data, good.size);
    reads("my.tiktoken", 257);
    static const struct {
        const char *line, *problem;
    } lines[] = {
        { "YWJj 259\n", "no piece has id 258" },
        { "YWJj 257\n", "have the same id 257" },
        { "aGU= 258\n", "stands twice" },
        { "YWJ! 258\n", "line 259: the piece is not valid base64" },
        { "YWJ 258\n", "line 259: the piece is not valid base64" },
        { "YWK= 258\n", "line 259: the piece is not valid base64" },
        { "YWJj\n", "line 259: expected a piece in base64, a space and its rank" },
        { "YWJj x\n", "line 259: the rank is not a number" },
        { "YWJj -1\n", "line 259: the rank is not a number" },
        { "YWJj 99999999999\n", "line 259: expected a piece in base64" },
        { "\nYWJj 258\n", "line 259: expected a piece in base64" },
        { "YWJj 4294967295\n", "is over the limit" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(lines); i++) {
        vlm_buffer_reset(&bad);
        vlm_buffer_add(&bad, good.data, good.size);
        vlm_buffer_text(&bad, lines[i].line);
        write_file("my.tiktoken", bad.data, bad.size);
        refused("my.tiktoken", lines[i].problem);
    }
    write_file("my.tiktoken", good.data + 7, good.size - 7);
    refused("my.tiktoken", "no piece has id 0");
    vlm_buffer_release(&good);
    vlm_buffer_release(&bad);
}

static void paths(void **state)
{
    (void)state;
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_err err = { 0 };
    assert_int_not_equal(open_path(&tokenizer, "nothing.json", &err), VLM_OK);
    assert_non_null(strstr(err.msg, "nothing.json"));
    assert_int_equal(vlm_text_tokenizer_open(&tokenizer, "/usr", &err), VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "'/usr' holds no tokenizer: expected tokenizer.json"));
    write_file("bad.txt.gz", "\x1f\x8b\x08\x00zzz", 7);
    refused("bad.txt.gz", "is damaged gzip");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spellings_of_merges), cmocka_unit_test(special_words_are_found),
        cmocka_unit_test(damaged_merges),      cmocka_unit_test(bert_vocabularies),
        cmocka_unit_test(tiktoken_files),      cmocka_unit_test(paths),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
