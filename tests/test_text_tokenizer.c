/* test_text_tokenizer.c - text as ids and back: the published vectors, and what holds for every tokenizer. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/json.h"
#include "tokenize/text/text_tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A path below the shared data, which the caller frees; without it the test is skipped. */
static char *shared_path(const char *name)
{
    const char *root = getenv("VLM_SHARED_DATA");
    char *folder = vlm_path_join(root ? root : "../shared/data", "tokenizers");
    char *path = vlm_path_join(folder, name);
    FILE *file = fopen(path, "r");
    free(folder);
    if (file) {
        fclose(file);
        return path;
    }
    print_message("no %s\n", path);
    free(path);
    skip();
    return NULL;
}

static struct vlm_text_tokenizer *open_tokenizer(const char *path)
{
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_err err = { 0 };
    if (vlm_text_tokenizer_open(&tokenizer, path, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    return tokenizer;
}

static void encode(const struct vlm_text_tokenizer *tokenizer, struct vlm_tokens *tokens,
                   const char *text, size_t n, unsigned flags)
{
    struct vlm_text_encoder *encoder;
    struct vlm_err err = { 0 };
    if (vlm_text_encoder_new(&encoder, tokenizer, &err) != VLM_OK ||
        vlm_text_encode(encoder, tokens, text, n, flags, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    vlm_text_encoder_free(encoder);
}

/* Compares the member `key` of each line with the ids; returns the number of lines. */
static size_t compare_vectors(const struct vlm_text_tokenizer *tokenizer, const char *key)
{
    char *path = shared_path("tokenizer-texts/EXPECTED-vectors-a.jsonl");
    struct vlm_buffer file = { 0 };
    struct vlm_err err = { 0 };
    size_t lines = 0, wrong = 0;
    assert_int_equal(vlm_file_read(&file, path, 64 << 20, &err), VLM_OK);
    vlm_buffer_byte(&file, 0);
    for (char *at = (char *)file.data, *end; (end = strchr(at, '\n')); at = end + 1) {
        json_object *line, *text, *ids;
        struct vlm_tokens tokens = { 0 };
        assert_int_equal(vlm_json_parse(&line, at, (size_t)(end - at), &err), VLM_OK);
        if (json_object_object_get_ex(line, key, &ids) &&
            json_object_object_get_ex(line, "text", &text)) {
            encode(tokenizer, &tokens, json_object_get_string(text),
                   (size_t)json_object_get_string_len(text), 0);
            bool same = tokens.n == json_object_array_length(ids);
            for (size_t i = 0; same && i < tokens.n; i++)
                same = tokens.ids[i] == json_object_get_uint64(json_object_array_get_idx(ids, i));
            if (!same) {
                print_message("differs: %.*s\n", (int)(end - at), at);
                for (size_t i = 0; i < tokens.n; i++)
                    print_message(" %u", tokens.ids[i]);
                print_message("\n");
                wrong++;
            }
            lines++;
        }
        vlm_tokens_release(&tokens);
        json_object_put(line);
    }
    vlm_buffer_release(&file);
    free(path);
    assert_int_equal(wrong, 0);
    return lines;
}

static void gpt2_vectors(void **state)
{
    (void)state;
    char *path = shared_path("tokenizer-gpt2");
    struct vlm_text_tokenizer *tokenizer = open_tokenizer(path);
    assert_int_equal(vlm_text_tokenizer_size(tokenizer), 50257);
    assert_int_equal(vlm_text_tokenizer_added(tokenizer, "<|endoftext|>"), 50256);
    assert_int_equal(vlm_text_tokenizer_added(tokenizer, "hello"), -1);
    assert_true(vlm_text_tokenizer_is_bytewise(tokenizer));
    struct vlm_bytes piece = vlm_text_tokenizer_piece(tokenizer, 995);
    assert_int_equal(vlm_bytes_left(&piece), 6);
    assert_memory_equal(piece.at, " world", 6);
    print_message("%zu texts, %s\n", compare_vectors(tokenizer, "gpt2"),
                  vlm_text_tokenizer_id(tokenizer));
    vlm_text_tokenizer_close(tokenizer);
    free(path);
}

static void bert_vectors(void **state)
{
    (void)state;
    char *path = shared_path("tokenizer-bert/bert-base-uncased-vocab.txt");
    struct vlm_text_tokenizer *tokenizer = open_tokenizer(path);
    assert_int_equal(vlm_text_tokenizer_size(tokenizer), 30522);
    assert_int_equal(vlm_text_tokenizer_added(tokenizer, "[MASK]"), 103);
    assert_false(vlm_text_tokenizer_is_bytewise(tokenizer));
    print_message("%zu texts, %s\n", compare_vectors(tokenizer, "bert"),
                  vlm_text_tokenizer_id(tokenizer));
    vlm_text_tokenizer_close(tokenizer);
    free(path);
}

static void clip_vectors(void **state)
{
    (void)state;
    char *path = shared_path("tokenizer-clip");
    struct vlm_text_tokenizer *tokenizer = open_tokenizer(path);
    assert_int_equal(vlm_text_tokenizer_size(tokenizer), 49408);
    assert_int_equal(vlm_text_tokenizer_added(tokenizer, "<|startoftext|>"), 49406);
    print_message("%zu texts, %s\n", compare_vectors(tokenizer, "clip"),
                  vlm_text_tokenizer_id(tokenizer));
    vlm_text_tokenizer_close(tokenizer);
    free(path);
}

static void special_words_are_text_unless_asked_for(void **state)
{
    (void)state;
    static const char text[] = "a<|endoftext|>b";
    char *path = shared_path("tokenizer-gpt2");
    struct vlm_text_tokenizer *tokenizer = open_tokenizer(path);
    struct vlm_tokens tokens = { .with_spans = true };
    struct vlm_buffer out = { 0 };
    struct vlm_err err = { 0 };
    encode(tokenizer, &tokens, text, sizeof text - 1, VLM_TEXT_SPECIALS);
    assert_int_equal(tokens.n, 3);
    assert_int_equal(tokens.ids[1], 50256);
    assert_int_equal(tokens.spans[1].start, 1);
    assert_int_equal(tokens.spans[2].start, 14);
    assert_int_equal(vlm_text_decode(tokenizer, &out, tokens.ids, 3, 0, &err), VLM_OK);
    assert_int_equal(out.size, 2);
    assert_int_equal(vlm_text_decode(tokenizer, &out, tokens.ids, 3, VLM_TEXT_SPECIALS, &err),
                     VLM_OK);
    assert_int_equal(out.size, 2 + sizeof text - 1);
    tokens.n = 0;
    encode(tokenizer, &tokens, text, sizeof text - 1, 0);
    assert_true(tokens.n > 3);
    for (size_t i = 0; i < tokens.n; i++)
        assert_int_not_equal(tokens.ids[i], 50256);
    const uint32_t unknown = 50257;
    assert_int_equal(vlm_text_decode(tokenizer, &out, &unknown, 1, 0, &err), VLM_EFORMAT);
    vlm_tokens_release(&tokens);
    vlm_buffer_release(&out);
    vlm_text_tokenizer_close(tokenizer);
    free(path);
}

static void any_bytes_come_back(void **state)
{
    (void)state;
    char *path = shared_path("tokenizer-gpt2");
    struct vlm_text_tokenizer *tokenizer = open_tokenizer(path);
    char bytes[4096];
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)((random = random * 1664525 + 1013904223) >> 24);
    struct vlm_tokens tokens = { .with_spans = true };
    struct vlm_buffer out = { 0 };
    struct vlm_err err = { 0 };
    encode(tokenizer, &tokens, bytes, sizeof bytes, 0);
    size_t at = 0;
    for (size_t i = 0; i < tokens.n; i++) {
        assert_int_equal(tokens.spans[i].start, at);
        at = tokens.spans[i].end;
    }
    assert_int_equal(at, sizeof bytes);
    assert_int_equal(vlm_text_decode(tokenizer, &out, tokens.ids, tokens.n, 0, &err), VLM_OK);
    assert_int_equal(out.size, sizeof bytes);
    assert_memory_equal(out.data, bytes, sizeof bytes);
    vlm_tokens_release(&tokens);
    vlm_buffer_release(&out);
    vlm_text_tokenizer_close(tokenizer);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_vectors),
        cmocka_unit_test(bert_vectors),
        cmocka_unit_test(clip_vectors),
        cmocka_unit_test(special_words_are_text_unless_asked_for),
        cmocka_unit_test(any_bytes_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
