/* fuzz_tokenizer_json.c - tokenizer.json: read or refused; what was read encodes and decodes any bytes, the spans
 * lie in the text, and what is written reads as the same tokenizer. The last bytes are the text. */
#include "base/vlm.h"

#include "tokenize/text/text_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The regular expressions of one file may use up the match limit again and again. */
enum { TEXT_MAX = 64 };

static void use(const struct vlm_text_tokenizer *tokenizer, const char *text, size_t n,
                unsigned flags)
{
    struct vlm_text_encoder *encoder;
    struct vlm_tokens tokens = { .with_spans = true };
    struct vlm_buffer out = { 0 };
    struct vlm_err err = { 0 };
    if (vlm_text_encoder_new(&encoder, tokenizer, &err) != VLM_OK)
        return;
    int rc = vlm_text_encode(encoder, &tokens, text, n, flags, &err);
    for (size_t i = 0; i < tokens.n; i++)
        VLM_BUG_IF(tokens.ids[i] >= vlm_text_tokenizer_size(tokenizer) ||
                   tokens.spans[i].start > tokens.spans[i].end || tokens.spans[i].end > n);
    if (rc == VLM_OK) {
        rc = vlm_text_decode(tokenizer, &out, tokens.ids, tokens.n, VLM_TEXT_SPECIALS, &err);
        VLM_BUG_IF(rc != VLM_OK && rc != VLM_ELIMIT);
        VLM_BUG_IF(rc == VLM_OK && vlm_text_tokenizer_is_bytewise(tokenizer) &&
                   (out.size != n || (n && memcmp(out.data, text, n))));
    }
    vlm_buffer_release(&out);
    vlm_tokens_release(&tokens);
    vlm_text_encoder_free(encoder);
}

static struct vlm_text_tokenizer *open_bytes(const uint8_t *data, size_t size)
{
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_err err = { 0 };
    return vlm_text_tokenizer_open_bytes(&tokenizer, "t.json", data, size, &err) == VLM_OK
               ? tokenizer
               : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n = VLM_MIN(size / 4, (size_t)TEXT_MAX);
    const char *text = (const char *)data + size - n;
    struct vlm_text_tokenizer *tokenizer = open_bytes(data, size), *again;
    struct vlm_buffer json = { 0 };
    struct vlm_err err = { 0 };
    if (!tokenizer) /* most seeds are files as they are; mutants keep a text behind them */
        tokenizer = open_bytes(data, size - n);
    if (!tokenizer)
        return 0;
    use(tokenizer, text, n, 0);
    use(tokenizer, text, n, VLM_TEXT_SPECIALS);
    VLM_BUG_IF(vlm_tokenizer_json_write(&json, &tokenizer->spec, &err) != VLM_OK);
    again = open_bytes(json.data, json.size);
    VLM_BUG_IF(!again || strcmp(vlm_text_tokenizer_id(again), vlm_text_tokenizer_id(tokenizer)));
    vlm_text_tokenizer_close(again);
    vlm_text_tokenizer_close(tokenizer);
    vlm_buffer_release(&json);
    return 0;
}
