/* test_bpe.c - byte-pair encoding against its definition on random tables and words, whatever was
 * seen before; against GPT-2's published tokens; words as long as the text. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "tests/bpe_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <json-c/json.h>

enum { WORD_MAX = 400 };

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static void make_random(struct bpe_fixture *fixture, uint64_t *seed, unsigned flags)
{
    uint8_t bytes[2048];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)random_next(seed);
    struct vlm_bytes random = { bytes, bytes + sizeof bytes, false };
    fixture_make(fixture, &random, flags);
}

static void check_word(struct vlm_bpe_cache *cache, const struct bpe_fixture *fixture,
                       const char *word, size_t n, size_t at)
{
    struct vlm_bpe_symbol expected[WORD_MAX];
    struct vlm_err err = { 0 };
    struct vlm_tokens tokens = { .with_spans = true }, bare = { 0 };
    size_t n_expected = fixture_word(fixture, expected, word, n);
    assert_int_equal(vlm_bpe_word(cache, &bare, word, n, at, &err), VLM_OK);
    assert_int_equal(vlm_bpe_word(cache, &tokens, word, n, at, &err), VLM_OK);
    assert_int_equal(tokens.n, n_expected);
    assert_int_equal(bare.n, n_expected);
    for (size_t i = 0; i < n_expected; i++) {
        assert_int_equal(tokens.ids[i], expected[i].id);
        assert_int_equal(bare.ids[i], expected[i].id);
        assert_int_equal(tokens.spans[i].start, at);
        at += expected[i].bytes;
        assert_int_equal(tokens.spans[i].end, at);
    }
    vlm_tokens_release(&tokens);
    vlm_tokens_release(&bare);
}

/* Merges symbols that are not bytes at the start. */
static void check_merge(struct vlm_bpe_cache *cache, const struct bpe_fixture *fixture,
                        uint64_t *seed, size_t n)
{
    struct vlm_bpe_symbol ours[WORD_MAX] = { 0 }, expected[WORD_MAX];
    for (size_t i = 0; i < n; i++)
        ours[i] =
            (struct vlm_bpe_symbol){ random_next(seed) % 2 ? 'a' + (uint32_t)random_next(seed) % 3
                                                           : 512 + (uint32_t)random_next(seed) % 8,
                                     (uint32_t)random_next(seed) % 5 };
    memcpy(expected, ours, sizeof expected);
    size_t n_expected = fixture_merge(fixture, expected, n);
    assert_int_equal(vlm_bpe_merge(cache, ours, n), n_expected);
    assert_memory_equal(ours, expected, n_expected * sizeof *ours);
}

static void check_table(uint64_t *seed, unsigned flags)
{
    struct bpe_fixture *fixture = malloc(sizeof *fixture);
    struct vlm_bpe *bpe;
    struct vlm_bpe_cache *cache;
    struct vlm_err err = { 0 };
    assert_non_null(fixture);
    make_random(fixture, seed, flags);
    assert_int_equal(vlm_bpe_new(&bpe, &fixture->source, &err), VLM_OK);
    assert_int_equal(vlm_bpe_cache_new(&cache, bpe, &err), VLM_OK);
    for (int round = 0; round < 60; round++) {
        char word[WORD_MAX];
        size_t n = random_next(seed) % (round % 8 ? 24 : round % 16 ? 60 : WORD_MAX);
        size_t letters = 1 + random_next(seed) % 7;
        for (size_t i = 0; i < n; i++)
            word[i] = (char)('a' + random_next(seed) % letters);
        check_word(cache, fixture, word, n, random_next(seed) % 1000);
        check_merge(cache, fixture, seed, random_next(seed) % (round % 8 ? 40 : WORD_MAX));
    }
    vlm_bpe_cache_free(cache);
    vlm_bpe_free(bpe);
    free(fixture);
}

static void random_tables_as_defined(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int round = 0; round < 15; round++)
        for (unsigned flags = 0; flags < 2 * FIXTURE_WILD; flags++)
            check_table(&seed, flags);
}

static void wrong_tables_are_refused(void **state)
{
    (void)state;
    struct vlm_bpe *bpe;
    struct vlm_err err = { 0 };
    uint32_t byte_ids[256] = { 0 };
    static const struct vlm_bpe_merge outside[] = { { 0, 1, 2 }, { 0, 3, 1 } };
    static const struct vlm_bpe_merge twice[] = { { 0, 1, 2 }, { 1, 0, 2 }, { 0, 1, 1 } };
    struct vlm_bpe_source source = { .n_pieces = 3, .merges = outside, .n_merges = 2 };
    assert_int_equal(vlm_bpe_new(&bpe, &source, &err), VLM_EFORMAT);
    assert_string_equal(err.msg, "merge 1 is of the ids 0 and 3 into 1, but there are 3 ids");
    assert_null(bpe);
    source = (struct vlm_bpe_source){ .n_pieces = 3, .merges = twice, .n_merges = 3 };
    assert_int_equal(vlm_bpe_new(&bpe, &source, &err), VLM_EFORMAT);
    assert_string_equal(err.msg, "merge 2 is of the ids 0 and 1, as merge 0 was");
    byte_ids[65] = VLM_NO_TOKEN;
    source = (struct vlm_bpe_source){ .n_pieces = 3, .byte_ids = byte_ids };
    assert_int_equal(vlm_bpe_new(&bpe, &source, &err), VLM_EFORMAT);
    assert_string_equal(err.msg, "no piece stands for the byte 0x41");
}

/* The table of GPT-2's paper as its code makes it: printable bytes are themselves, the others are
 * U+0100 and on in their order. */
static void spelling_of_bytes(void **state)
{
    (void)state;
    struct vlm_buffer spelling = { 0 };
    uint8_t all[256], back[256];
    for (size_t b = 0; b < 256; b++)
        all[b] = (uint8_t)b;
    assert_int_equal(vlm_bpe_byte_to_char(0), 0x100);
    assert_int_equal(vlm_bpe_byte_to_char(' '), 0x120);
    assert_int_equal(vlm_bpe_byte_to_char('\n'), 0x10a);
    assert_int_equal(vlm_bpe_byte_to_char('!'), '!');
    assert_int_equal(vlm_bpe_byte_to_char('~'), '~');
    assert_int_equal(vlm_bpe_byte_to_char(0x7f), 0x121);
    assert_int_equal(vlm_bpe_byte_to_char(0xa0), 0x142);
    assert_int_equal(vlm_bpe_byte_to_char(0xa1), 0xa1);
    assert_int_equal(vlm_bpe_byte_to_char(0xad), 0x143);
    assert_int_equal(vlm_bpe_byte_to_char(0xff), 0xff);
    vlm_bpe_bytes_to_spelling(&spelling, all, 256);
    assert_int_equal(vlm_utf8_count((char *)spelling.data, spelling.size), 256);
    assert_int_equal(vlm_bpe_spelling_to_bytes(back, (char *)spelling.data, spelling.size), 256);
    assert_memory_equal(back, all, 256);
    assert_int_equal(vlm_bpe_spelling_to_bytes(back, "a b", 3), SIZE_MAX);
    assert_int_equal(vlm_bpe_spelling_to_bytes(back, "\xc5\x84", 2), SIZE_MAX); /* U+0144 */
    assert_int_equal(vlm_bpe_spelling_to_bytes(back, "\xff", 1), SIZE_MAX);
    assert_int_equal(vlm_bpe_spelling_to_bytes(back, "", 0), 0);
    vlm_buffer_release(&spelling);
}

/* GPT-2's vocabulary of encoder.json and merges of vocab.bpe. */
struct gpt2 {
    struct vlm_bytes pieces[50257];
    uint8_t bytes[1 << 20];
    uint32_t byte_ids[256];
    struct vlm_bpe_merge merges[50000];
    struct vlm_bpe *bpe;
    struct vlm_bpe_cache *cache;
};

static uint32_t id_of(json_object *vocabulary, const char *piece)
{
    json_object *id;
    assert_true(json_object_object_get_ex(vocabulary, piece, &id));
    return (uint32_t)json_object_get_int64(id);
}

static void read_pieces(struct gpt2 *gpt2, json_object *vocabulary)
{
    size_t used = 0;
    json_object_object_foreach(vocabulary, piece, value)
    {
        uint32_t id = (uint32_t)json_object_get_int64(value);
        if (!strcmp(piece, "<|endoftext|>"))
            continue;
        uint8_t *to = gpt2->bytes + used;
        size_t n = vlm_bpe_spelling_to_bytes(to, piece, strlen(piece));
        assert_true(id < VLM_COUNTOF(gpt2->pieces) && n != SIZE_MAX);
        gpt2->pieces[id] = (struct vlm_bytes){ to, to + n, false };
        if (n == 1)
            gpt2->byte_ids[*to] = id;
        used += n;
    }
}

static void read_merges(struct gpt2 *gpt2, json_object *vocabulary, char *text)
{
    char *line = strchr(text, '\n') + 1; /* the first says which version */
    for (size_t k = 0; k < VLM_COUNTOF(gpt2->merges); k++) {
        char joint[512], *space = strchr(line, ' '), *end = strchr(line, '\n');
        assert_true(space && end && end > space);
        *space = *end = 0;
        snprintf(joint, sizeof joint, "%s%s", line, space + 1);
        gpt2->merges[k] =
            (struct vlm_bpe_merge){ id_of(vocabulary, line), id_of(vocabulary, space + 1),
                                    id_of(vocabulary, joint) };
        line = end + 1;
    }
    assert_int_equal(*line, 0);
}

static void read_shared(struct vlm_buffer *out, const char *root, const char *name)
{
    struct vlm_err err = { 0 };
    char path[4096];
    snprintf(path, sizeof path, "%s/tokenizers/%s", root, name);
    vlm_buffer_reset(out);
    if (vlm_file_read(out, path, 64 * VLM_MIB, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    vlm_buffer_byte(out, 0);
}

/* NULL, after a word about it, where the files are not. */
static struct gpt2 *gpt2_open(void)
{
    const char *root = getenv("VLM_SHARED_DATA");
    struct vlm_buffer file = { 0 };
    struct vlm_err err = { 0 };
    if (!root) {
        print_message("VLM_SHARED_DATA is not set\n");
        return NULL;
    }
    struct gpt2 *gpt2 = calloc(1, sizeof *gpt2);
    assert_non_null(gpt2);
    read_shared(&file, root, "tokenizer-gpt2/encoder.json");
    json_object *vocabulary = json_tokener_parse((char *)file.data);
    assert_non_null(vocabulary);
    read_pieces(gpt2, vocabulary);
    read_shared(&file, root, "tokenizer-gpt2/vocab.bpe");
    read_merges(gpt2, vocabulary, (char *)file.data);
    json_object_put(vocabulary);
    vlm_buffer_release(&file);
    struct vlm_bpe_source source = { .pieces = gpt2->pieces,
                                     .n_pieces = VLM_COUNTOF(gpt2->pieces),
                                     .merges = gpt2->merges,
                                     .n_merges = VLM_COUNTOF(gpt2->merges),
                                     .byte_ids = gpt2->byte_ids };
    assert_int_equal(vlm_bpe_new(&gpt2->bpe, &source, &err), VLM_OK);
    assert_int_equal(vlm_bpe_cache_new(&gpt2->cache, gpt2->bpe, &err), VLM_OK);
    return gpt2;
}

static void gpt2_close(struct gpt2 *gpt2)
{
    vlm_bpe_cache_free(gpt2->cache);
    vlm_bpe_free(gpt2->bpe);
    free(gpt2);
}

/* The tokens' spans tile the text, and their pieces are its bytes. */
static void check_round_trip(const struct gpt2 *gpt2, const struct vlm_tokens *tokens,
                             const uint8_t *text, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < tokens->n; i++) {
        const struct vlm_bytes *piece = &gpt2->pieces[tokens->ids[i]];
        size_t size = vlm_bytes_left(piece);
        assert_true(size && size <= n - at && !memcmp(piece->at, text + at, size));
        assert_true(tokens->spans[i].start == at && tokens->spans[i].end == at + size);
        at += size;
    }
    assert_int_equal(at, n);
}

static void check_digest(const struct vlm_tokens *tokens, const char *expected)
{
    struct vlm_buffer bytes = { 0 };
    uint8_t sha[VLM_SHA256_SIZE];
    char hex[2 * VLM_SHA256_SIZE + 1];
    for (size_t i = 0; i < tokens->n; i++)
        vlm_buffer_u32(&bytes, tokens->ids[i]);
    vlm_sha256(sha, bytes.data, bytes.size);
    assert_string_equal(vlm_hex(hex, sha, sizeof sha), expected);
    vlm_buffer_release(&bytes);
}

/* Digests are of tiktoken's ids as 32-bit little-endian numbers:
 *
 *     sha256(numpy.array(encoding.encode_ordinary(text), dtype="<u4").tobytes()) */
static void whole_texts_as_tiktoken(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        size_t n;
        const char *sha;
    } texts[] = {
        { "tokenizer-texts/war-and-peace.txt", 792623,
          "b8697423c89628f03af10eafc6be1845d7ea1f1ec92542876b74c66c2adbe869" },
        { "tokenizer-texts/llama.cpp-style-cases.inp", 974,
          "b89499c47375935dbda40a549eaaa248728e7d364ea427a6128fb93e398653a3" },
    };
    struct gpt2 *gpt2 = gpt2_open();
    if (!gpt2)
        skip();
    struct vlm_buffer text = { 0 };
    struct vlm_tokens tokens = { .with_spans = true };
    struct vlm_err err = { 0 };
    for (size_t i = 0; i < VLM_COUNTOF(texts); i++) {
        read_shared(&text, getenv("VLM_SHARED_DATA"), texts[i].file);
        size_t n = text.size - 1;
        for (int pass = 0; pass < 2; pass++) {
            tokens.n = 0;
            assert_int_equal(
                vlm_bpe_text(gpt2->cache, &tokens, VLM_SPLIT_GPT2, (char *)text.data, n, 0, &err),
                VLM_OK);
            assert_int_equal(tokens.n, texts[i].n);
            check_digest(&tokens, texts[i].sha);
            check_round_trip(gpt2, &tokens, text.data, n);
        }
    }
    vlm_tokens_release(&tokens);
    vlm_buffer_release(&text);
    gpt2_close(gpt2);
}

static void published_vectors(void **state)
{
    (void)state;
    struct gpt2 *gpt2 = gpt2_open();
    if (!gpt2)
        skip();
    struct vlm_buffer file = { 0 };
    struct vlm_tokens tokens = { 0 };
    struct vlm_err err = { 0 };
    size_t lines = 0;
    read_shared(&file, getenv("VLM_SHARED_DATA"), "tokenizer-texts/EXPECTED-vectors-a.jsonl");
    for (char *line = (char *)file.data, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        *end = 0;
        json_object *row = json_tokener_parse(line), *text, *ids;
        assert_true(json_object_object_get_ex(row, "text", &text));
        assert_true(json_object_object_get_ex(row, "gpt2", &ids));
        tokens.n = 0;
        assert_int_equal(vlm_bpe_text(gpt2->cache, &tokens, VLM_SPLIT_GPT2,
                                      json_object_get_string(text),
                                      (size_t)json_object_get_string_len(text), 0, &err),
                         VLM_OK);
        assert_int_equal(tokens.n, json_object_array_length(ids));
        for (size_t i = 0; i < tokens.n; i++)
            assert_int_equal(tokens.ids[i],
                             json_object_get_int64(json_object_array_get_idx(ids, i)));
        json_object_put(row);
        lines++;
    }
    assert_in_range(lines, 100, 100000);
    vlm_tokens_release(&tokens);
    vlm_buffer_release(&file);
    gpt2_close(gpt2);
}

/* A MiB without a place to cut: what took quadratic time would take hours. */
static void words_as_long_as_the_text(void **state)
{
    (void)state;
    static const char *const parts[] = { "a",     "A",      "^",
                                         "0",     " ",      "\n",
                                         "-",     "ab",     "\xff",
                                         "\xc3",  "\u4e2d", "\u3042\u4e2d",
                                         "aaaab", "0123",   "\u043f\u0440\u0438" };
    struct gpt2 *gpt2 = gpt2_open();
    if (!gpt2)
        skip();
    struct vlm_buffer text = { 0 };
    struct vlm_tokens tokens = { .with_spans = true };
    struct vlm_err err = { 0 };
    uint64_t seed = 3;
    for (size_t i = 0; i < VLM_COUNTOF(parts) + 2; i++) {
        vlm_buffer_reset(&text);
        while (text.size < VLM_MIB)
            if (i < VLM_COUNTOF(parts))
                vlm_buffer_text(&text, parts[i]);
            else
                vlm_buffer_byte(
                    &text, (uint8_t)(i % 2 ? 'a' + random_next(&seed) % 26 : random_next(&seed)));
        tokens.n = 0;
        assert_int_equal(vlm_bpe_text(gpt2->cache, &tokens, VLM_SPLIT_GPT2, (char *)text.data,
                                      text.size, 0, &err),
                         VLM_OK);
        check_round_trip(gpt2, &tokens, text.data, text.size);
    }
    vlm_tokens_release(&tokens);
    vlm_buffer_release(&text);
    gpt2_close(gpt2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_tables_as_defined), cmocka_unit_test(wrong_tables_are_refused),
        cmocka_unit_test(spelling_of_bytes),        cmocka_unit_test(whole_texts_as_tiktoken),
        cmocka_unit_test(published_vectors),        cmocka_unit_test(words_as_long_as_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
