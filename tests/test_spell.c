/* test_spell.c - the text of a stream does not depend on where its tokens end, and nothing is shown that must be taken
 * back: beside a plain implementation that sees all bytes at once. */
#include "base/vlm.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/utf8.h"
#include "models/generate/spell.h"

struct fixture {
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_text_encoder *encoder;
    struct vlm_vocabulary vocabulary;
    struct vlm_err err;
};

static int setup(void **state)
{
    struct fixture *it = calloc(1, sizeof(*it));
    const struct vlm_vocabulary_options options = { .n_codes = 16 };
    *state = it;
    return !it || vlm_text_tokenizer_open(&it->tokenizer, NULL, &it->err) ||
           vlm_text_encoder_new(&it->encoder, it->tokenizer, &it->err) ||
           vlm_vocabulary_init(&it->vocabulary, it->tokenizer, &options, &it->err);
}

static int teardown(void **state)
{
    struct fixture *it = *state;
    vlm_text_encoder_free(it->encoder);
    vlm_text_tokenizer_close(it->tokenizer);
    free(it);
    return 0;
}

/* ---- the plain implementation ---- */

/* Bytes of the character at text; 0 and *bad: how many stand for one U+FFFD. By the table of RFC 3629, section 4. */
static size_t character(const uint8_t *at, size_t n, size_t *bad)
{
    size_t size = at[0] < 0x80   ? 1
                  : at[0] < 0xc2 ? 0
                  : at[0] < 0xe0 ? 2
                  : at[0] < 0xf0 ? 3
                  : at[0] < 0xf5 ? 4
                                 : 0;
    uint8_t low = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t high = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
    *bad = 1;
    for (size_t i = 1; i < size; i++, low = 0x80, high = 0xbf) {
        if (i == n || at[i] < low || at[i] > high)
            return 0;
        *bad = i + 1;
    }
    return size;
}

static size_t plain(struct vlm_buffer *out, const uint8_t *bytes, size_t n,
                    const char *const *words, size_t n_words)
{
    size_t end = n, word = SIZE_MAX;
    for (size_t to = 1; word == SIZE_MAX && to <= n; to++)
        for (size_t i = 0; i < n_words; i++) {
            size_t size = strlen(words[i]);
            if (size <= to && !memcmp(bytes + to - size, words[i], size) &&
                (word == SIZE_MAX || size > strlen(words[word]))) {
                word = i;
                end = to - size;
            }
        }
    for (size_t i = 0, bad; i < end;) {
        size_t size = character(bytes + i, end - i, &bad);
        if (size)
            vlm_buffer_add(out, bytes + i, size);
        else
            vlm_buffer_text(out, VLM_UTF8_REPLACEMENT);
        i += size ? size : bad;
    }
    return word;
}

/* ---- random ones ---- */

/* Beginnings of characters and of words more often than in nature. */
static size_t make_bytes(uint8_t *bytes, struct vlm_random *random)
{
    static const char *const pieces[] = { "a",    "ab",       "abc",  "b",    "\xc3\xa4", "\xc3",
                                          "\xe2", "\xe2\x82", "\xac", "\xf0", "\x9f\x98", "\x80",
                                          "\xed", "\xa0",     " ",    "xy",   "\xff",     "\n" };
    size_t n = 0;
    for (uint64_t k = vlm_random_below(random, 12); k > 0; k--) {
        const char *piece = pieces[vlm_random_below(random, VLM_COUNTOF(pieces))];
        memcpy(bytes + n, piece, strlen(piece));
        n += strlen(piece);
    }
    return n;
}

/* The bytes in slices of random sizes, each tokenised by itself. */
static void spell_in_slices(struct fixture *it, struct vlm_spell *spell, struct vlm_buffer *out,
                            const uint8_t *bytes, size_t n, struct vlm_random *random)
{
    struct vlm_tokens tokens = { .with_spans = false };
    for (size_t at = 0; at < n;) {
        size_t size = 1 + vlm_random_below(random, n - at);
        assert_int_equal(
            vlm_text_encode(it->encoder, &tokens, (const char *)bytes + at, size, 0, &it->err),
            VLM_OK);
        at += size;
    }
    for (size_t i = 0; i < tokens.n; i++) {
        const size_t before = out->size;
        vlm_spell_token(spell, out, tokens.ids[i]);
        assert_true(out->size >= before);
        assert_true(vlm_utf8_valid_prefix(out->size ? (char *)out->data : "", out->size) ==
                    out->size);
    }
    vlm_spell_end(spell, out);
    vlm_tokens_release(&tokens);
}

static void test_slices(void **state)
{
    struct fixture *it = *state;
    static const char *const lists[][3] = { { "zz" },
                                            { "abc" },
                                            { "ba", "aab", "a\xc3\xa4" },
                                            { "a b", "b a", " " },
                                            { "xyxy", "\xc3\xa4" } };
    static const size_t counts[] = { 0, 1, 3, 3, 2 };
    uint8_t bytes[64];
    for (uint64_t i = 0; i < 1500; i++) {
        struct vlm_random random = vlm_random_at(1, 2, i);
        const size_t list = vlm_random_below(&random, VLM_COUNTOF(lists));
        const size_t n = make_bytes(bytes, &random);
        struct vlm_buffer wanted = { 0 }, out = { 0 };
        const size_t word = plain(&wanted, bytes, n, lists[list], counts[list]);
        for (size_t k = 0; k < 3; k++) {
            struct vlm_spell spell;
            vlm_spell_init(&spell, &it->vocabulary, lists[list], counts[list]);
            vlm_buffer_reset(&out);
            spell_in_slices(it, &spell, &out, bytes, n, &random);
            assert_int_equal(spell.word, word);
            assert_int_equal(out.size, wanted.size);
            if (out.size)
                assert_memory_equal(out.data, wanted.data, out.size);
            vlm_spell_release(&spell);
        }
        vlm_buffer_release(&wanted);
        vlm_buffer_release(&out);
    }
}

/* ---- what is held back, and what is not ---- */

static void spell_text(struct fixture *it, struct vlm_spell *spell, struct vlm_buffer *out,
                       const char *text)
{
    struct vlm_tokens tokens = { .with_spans = false };
    assert_int_equal(vlm_text_encode(it->encoder, &tokens, text, strlen(text), 0, &it->err),
                     VLM_OK);
    for (size_t i = 0; i < tokens.n; i++)
        vlm_spell_token(spell, out, tokens.ids[i]);
    vlm_tokens_release(&tokens);
}

static void expect(const struct vlm_buffer *out, const char *text)
{
    assert_int_equal(out->size, strlen(text));
    if (out->size)
        assert_memory_equal(out->data, text, out->size);
}

static void test_held(void **state)
{
    struct fixture *it = *state;
    static const char *const words[] = { "END" };
    struct vlm_spell spell;
    struct vlm_buffer out = { 0 };
    vlm_spell_init(&spell, &it->vocabulary, words, 1);
    spell_text(it, &spell, &out, "a caf\xc3");
    expect(&out, "a caf");
    spell_text(it, &spell, &out, "\xa9 E");
    expect(&out, "a caf\xc3\xa9 ");
    spell_text(it, &spell, &out, "N");
    expect(&out, "a caf\xc3\xa9 ");
    spell_text(it, &spell, &out, "E"); /* the first E begins none, the second may */
    expect(&out, "a caf\xc3\xa9 EN");
    spell_text(it, &spell, &out, "ND more");
    expect(&out, "a caf\xc3\xa9 EN");
    assert_int_equal(spell.word, 0);
    vlm_spell_end(&spell, &out);
    expect(&out, "a caf\xc3\xa9 EN");
    vlm_spell_release(&spell);
    vlm_buffer_release(&out);
}

/* A picture or a control token ends what was held, and text goes on behind it. */
static void test_borders(void **state)
{
    struct fixture *it = *state;
    static const char *const words[] = { "END" };
    struct vlm_spell spell;
    struct vlm_buffer out = { 0 };
    vlm_spell_init(&spell, &it->vocabulary, words, 1);
    spell_text(it, &spell, &out, "a EN");
    vlm_spell_token(&spell, &out, it->vocabulary.first_code + 3);
    expect(&out, "a EN");
    spell_text(it, &spell, &out, "D\xe2\x82");
    expect(&out, "a END");
    vlm_spell_token(&spell, &out, it->vocabulary.control[VLM_CONTROL_END]);
    expect(&out, "a END" VLM_UTF8_REPLACEMENT);
    assert_int_equal(spell.word, SIZE_MAX);
    vlm_spell_release(&spell);
    vlm_buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_slices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_held, setup, teardown),
        cmocka_unit_test_setup_teardown(test_borders, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
