/* tokenizer_lines.c - a tokenizer as a program, for tests/reference/compare_tokenizers.py:
 *
 *   tokenizer_lines TOKENIZER FLAGS <LINES
 *   tokenizer_lines TOKENIZER save PATH
 *
 * Of each line {"text": ...} it prints {"ids": [...], "spans": [[b, e], ...], "hex": the decoded bytes}; of a
 * tokenizer that is refused {"error": ...}. FLAGS are those of vlm_text_encode(). */
#include "base/vlm.h"

#include "base/json.h"
#include "tokenize/text/text_tokenizer.h"

static void print_line(struct vlm_buffer *out, const struct vlm_tokens *tokens,
                       const struct vlm_buffer *text)
{
    struct vlm_json json = { .out = out };
    vlm_buffer_reset(out);
    vlm_json_open(&json, '{');
    vlm_json_key(&json, "ids");
    vlm_json_open(&json, '[');
    for (size_t i = 0; i < tokens->n; i++)
        vlm_json_number(&json, tokens->ids[i]);
    vlm_json_close(&json, ']');
    vlm_json_key(&json, "spans");
    vlm_json_open(&json, '[');
    for (size_t i = 0; i < tokens->n; i++) {
        vlm_json_open(&json, '[');
        vlm_json_number(&json, tokens->spans[i].start);
        vlm_json_number(&json, tokens->spans[i].end);
        vlm_json_close(&json, ']');
    }
    vlm_json_close(&json, ']');
    vlm_json_key(&json, "hex");
    vlm_json_hex(&json, text->data, text->size);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(out, '\n');
    fwrite(out->data, 1, out->size, stdout);
}

static int run(struct vlm_text_tokenizer *tokenizer, unsigned flags, struct vlm_err *err)
{
    struct vlm_text_encoder *encoder;
    struct vlm_tokens tokens = { .with_spans = true };
    struct vlm_buffer out = { 0 }, decoded = { 0 };
    char *line = NULL;
    size_t capacity = 0;
    int rc = vlm_text_encoder_new(&encoder, tokenizer, err);
    for (ssize_t n; rc == VLM_OK && (n = getline(&line, &capacity, stdin)) > 0;) {
        json_object *document = NULL, *text = NULL;
        rc = vlm_json_parse(&document, line, (size_t)n, err);
        if (rc == VLM_OK && !json_object_object_get_ex(document, "text", &text))
            rc = vlm_fail(err, VLM_EFORMAT, "a line without text");
        tokens.n = 0;
        vlm_buffer_reset(&decoded);
        if (rc == VLM_OK)
            rc = vlm_text_encode(encoder, &tokens, json_object_get_string(text),
                                 (size_t)json_object_get_string_len(text), flags, err);
        if (rc == VLM_OK)
            rc = vlm_text_decode(tokenizer, &decoded, tokens.ids, tokens.n, flags, err);
        if (rc == VLM_OK)
            print_line(&out, &tokens, &decoded);
        json_object_put(document);
    }
    free(line);
    vlm_buffer_release(&out);
    vlm_buffer_release(&decoded);
    vlm_tokens_release(&tokens);
    vlm_text_encoder_free(encoder);
    return rc;
}

int main(int argc, char **argv)
{
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_err err = { 0 };
    if (argc < 3)
        return 2;
    int rc = vlm_text_tokenizer_open(&tokenizer, argv[1], &err);
    if (rc == VLM_OK)
        rc = argc > 3 ? vlm_text_tokenizer_save(tokenizer, argv[3], &err)
                      : run(tokenizer, (unsigned)strtoul(argv[2], NULL, 10), &err);
    if (rc != VLM_OK) {
        struct vlm_buffer out = { 0 };
        struct vlm_json json = { .out = &out };
        vlm_json_open(&json, '{');
        vlm_json_member_string(&json, "error", err.msg);
        vlm_json_close(&json, '}');
        vlm_buffer_byte(&out, 0);
        puts((const char *)out.data);
        vlm_buffer_release(&out);
    }
    vlm_text_tokenizer_close(tokenizer);
    return rc == VLM_OK ? 0 : 1;
}
