/* fuzz_bpe.c - a table of merges and a text out of the same bytes, divided at the first 0xff: what
 * encoding gives, from tables of words or not, is what merging by the definition gives for each
 * piece, and spans tile what is encoded. */
#include "base/vlm.h"

#include "tests/bpe_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { TEXT_MAX = 1024 };

static void must(bool condition)
{
    if (!condition)
        abort();
}

/* Tokens of a text as the definition has them, word by word. */
static size_t expected_of(const struct bpe_fixture *fixture, struct vlm_bpe_symbol *symbols,
                          enum vlm_split split, const char *text, size_t n)
{
    bool drop = split == VLM_SPLIT_CLIP || split == VLM_SPLIT_CLIP_CASED;
    size_t n_symbols = 0;
    for (size_t size; n; text += size, n -= size) {
        size = vlm_split_next(split, text, n);
        must(size && size <= n);
        if (!drop || !vlm_split_is_space(text, size))
            n_symbols += fixture_word(fixture, symbols + n_symbols, text, size);
    }
    return n_symbols;
}

static void compare(const struct vlm_tokens *tokens, const struct vlm_bpe_symbol *expected,
                    size_t n, size_t n_text, bool tile)
{
    size_t at = 0;
    must(tokens->n == n);
    for (size_t i = 0; i < n; i++) {
        must(tokens->ids[i] == expected[i].id);
        if (!tokens->with_spans)
            continue;
        must(tile ? tokens->spans[i].start == at : tokens->spans[i].start >= at);
        must(tokens->spans[i].end == tokens->spans[i].start + expected[i].bytes);
        at = tokens->spans[i].end;
    }
    must(!tokens->with_spans || (tile ? at == n_text : at <= n_text));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct bpe_fixture fixture;
    const uint8_t *divider = n ? memchr(bytes, 0xff, n) : NULL;
    if (!divider || divider < bytes + 2)
        return 0;
    struct vlm_bytes random = { bytes + 2, divider, false };
    fixture_make(&fixture, &random, bytes[0] % 16);
    enum vlm_split split = (enum vlm_split)(bytes[1] % (VLM_SPLIT_CL100K_TIKTOKEN + 1));
    const char *text = (const char *)divider + 1;
    size_t n_text = VLM_MIN((size_t)(bytes + n - divider - 1), TEXT_MAX);

    struct vlm_bpe_symbol expected[TEXT_MAX];
    size_t n_expected = expected_of(&fixture, expected, split, text, n_text);
    bool tile = split != VLM_SPLIT_CLIP && split != VLM_SPLIT_CLIP_CASED;
    struct vlm_bpe *bpe;
    struct vlm_bpe_cache *cache;
    struct vlm_err err = { 0 };
    must(vlm_bpe_new(&bpe, &fixture.source, &err) == VLM_OK);
    must(vlm_bpe_cache_new(&cache, bpe, &err) == VLM_OK);
    struct vlm_tokens tokens = { 0 }, spans = { .with_spans = true };
    for (int pass = 0; pass < 2; pass++) {
        tokens.n = spans.n = 0;
        must(vlm_bpe_text(cache, &spans, split, text, n_text, 0, &err) == VLM_OK);
        must(vlm_bpe_text(cache, &tokens, split, text, n_text, 0, &err) == VLM_OK);
        compare(&tokens, expected, n_expected, n_text, tile);
        compare(&spans, expected, n_expected, n_text, tile);
    }
    vlm_tokens_release(&tokens);
    vlm_tokens_release(&spans);
    vlm_bpe_cache_free(cache);
    vlm_bpe_free(bpe);
    return 0;
}
