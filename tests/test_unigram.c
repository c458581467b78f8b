/* test_unigram.c - Unigram: the best pieces of a word, with ids that the package tokenizers 0.23 gave for the same
 * vocabularies; scores as the package reads them; files that hold such models, and what is wrong with others. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/text/text_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct vlm_text_tokenizer *taken(const char *json)
{
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_err err = { 0 };
    if (vlm_text_tokenizer_open_bytes(&tokenizer, "t.json", (const uint8_t *)json, strlen(json),
                                      &err) != VLM_OK)
        fail_msg("%s: %s", json, err.msg);
    return tokenizer;
}

static void refused(const char *json, const char *problem)
{
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_err err = { 0 };
    if (vlm_text_tokenizer_open_bytes(&tokenizer, "t.json", (const uint8_t *)json, strlen(json),
                                      &err) == VLM_OK)
        fail_msg("taken: %s", json);
    if (!strstr(err.msg, problem) || !strstr(err.msg, "t.json"))
        fail_msg("%s: %s, expected %s", json, err.msg, problem);
}

/* "1 2 0", and "[0,1)[1,3)[3,4)" when spans are asked for. */
static const char *encoded(const struct vlm_text_tokenizer *tokenizer, const char *text,
                           bool with_spans)
{
    static char out[4096];
    struct vlm_text_encoder *encoder;
    struct vlm_tokens tokens = { .with_spans = with_spans };
    struct vlm_err err = { 0 };
    size_t at = 0;
    assert_int_equal(vlm_text_encoder_new(&encoder, tokenizer, &err), VLM_OK);
    assert_int_equal(vlm_text_encode(encoder, &tokens, text, strlen(text), 0, &err), VLM_OK);
    out[0] = 0;
    for (size_t i = 0; i < tokens.n && at < sizeof out; i++)
        at += (size_t)(with_spans ? snprintf(out + at, sizeof out - at, "[%u,%u)",
                                             tokens.spans[i].start, tokens.spans[i].end)
                                  : snprintf(out + at, sizeof out - at, "%s%u", i ? " " : "",
                                             tokens.ids[i]));
    vlm_tokens_release(&tokens);
    vlm_text_encoder_free(encoder);
    return out;
}

static void expect(const char *json, const char *text, const char *ids, const char *spans)
{
    struct vlm_text_tokenizer *tokenizer = taken(json);
    assert_string_equal(encoded(tokenizer, text, false), ids);
    if (spans)
        assert_string_equal(encoded(tokenizer, text, true), spans);
    vlm_text_tokenizer_close(tokenizer);
}

#define JSON(members)      "{\"version\":\"1.0\",\"model\":{\"type\":\"Unigram\"," members "}}"
#define SCORED(id, pieces) "\"unk_id\":" id ",\"vocab\":[" pieces "]"

static const char ties[] = SCORED(
    "0", "[\"<unk>\",0],[\"a\",-1],[\"b\",-1],[\"ab\",-2],[\"aba\",-3],[\"ba\",-2],[\"bab\",-3.5]");
static const char best[] =
    SCORED("0", "[\"<unk>\",-2],[\"a\",-1],[\"b\",-1.5],[\"ab\",-2.25],[\"abc\",-9],[\"c\",-4],"
                "[\"bc\",-4.25],[\"é\",-3],[\"aé\",-3.5]");
static const char twice[] =
    SCORED("0", "[\"<unk>\",0],[\"a\",-5],[\"b\",-1],[\"a\",-1],[\"ab\",-1.5],[\"ab\",-4]");
static const char fused[] = SCORED("0", "[\"<unk>\",0],[\"a\",-1],[\"xy\",-40],[\"<0x78>\",-1],"
                                        "[\"<0x79>\",-1],[\"<unk><unk>\",-3]");
static const char middle[] = SCORED("1", "[\"a\",-1],[\"b\",-2],[\"ab\",-8]");

/* Ties, pieces that stand twice, unknown stretches that spell a piece, bytes; all ids are the package's. */
static void ids_of_the_package(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        bool bytes;
        const char *text, *ids;
    } cases[] = {
        { ties, false, "a", "1" },
        { ties, false, "ab", "3" },
        { ties, false, "aba", "4" },
        { ties, false, "abab", "3 3" },
        { ties, false, "babab", "2 3 3" },
        { ties, false, "bababa", "2 3 4" },
        { ties, false, "abaabab", "4 3 3" },
        { best, false, "abc", "1 6" },
        { best, false, "abcabc", "1 6 1 6" },
        { best, false, "aéb", "8 2" },
        { best, false, "bcbc", "6 6" },
        { best, false, "é", "7" },
        { best, false, "axéxx", "1 0 7 0" },
        { best, false, "xabcx", "0 1 6 0" },
        { twice, false, "a", "3" },
        { twice, false, "ab", "3 2" },
        { twice, false, "aab", "3 3 2" },
        { twice, false, "xa", "0 3" },
        { fused, false, "xy", "2" },
        { fused, false, "axy", "1 2" },
        { fused, false, "xya", "2 1" },
        { fused, false, "xyz", "2 0" },
        { fused, false, "xx", "0" },
        { fused, false, "zz", "0" },
        { fused, false, "a<unk>x", "1 0" },
        { fused, false, "<unk><unk>", "5" },
        { fused, false, "x<unk>a", "0 1" },
        { fused, false, "yé", "0" },
        { fused, true, "xy", "2" },
        { fused, true, "axy", "1 2" },
        { fused, true, "xya", "2 1" },
        { fused, true, "xyz", "2 0" },
        { fused, true, "xx", "3 3" },
        { fused, true, "zz", "0" },
        { fused, true, "a<unk>x", "1 0" },
        { fused, true, "<unk><unk>", "5" },
        { fused, true, "x<unk>a", "0 1" },
        { fused, true, "yé", "0" },
        { middle, false, "ab", "0 1" },
        { middle, false, "b", "1" },
        { middle, false, "bb", "1" },
        { middle, false, "abx", "0 1" },
        { middle, false, "xb", "1" },
        { middle, false, "bxa", "1 0" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        char json[1024];
        snprintf(json, sizeof json, JSON("\"byte_fallback\":%s,%s"),
                 cases[i].bytes ? "true" : "false", cases[i].model);
        expect(json, cases[i].text, cases[i].ids, NULL);
    }
}

static void spans(void **state)
{
    (void)state;
    static const char model[] =
        SCORED("0", "[\"<unk>\",0],[\"aé\",-1],[\"b\",-1],[\"<0xC3>\",-1],[\"<0xA8>\",-1]");
    char json[512];
    snprintf(json, sizeof json, JSON("%s"), model);
    expect(json, "aébxyéb", "1 2 0 2", "[0,3)[3,4)[4,8)[8,9)");
    expect(json, "a\xc3", "0", "[0,2)"); /* a byte that is not UTF-8 is an unknown character */
    expect(json,
           "a\xa9\xff"
           "b",
           "0 2", "[0,3)[3,4)");
    expect(json, "", "", "");
    snprintf(json, sizeof json, JSON("\"byte_fallback\":true,%s"), model);
    expect(json, "bèb", "2 3 4 2", "[0,1)[1,2)[2,3)[3,4)");
    expect(json, "bêb", "2 0 2",
           "[0,1)[1,3)[3,4)"); /* 0xAA is no piece: none of its bytes is taken */
}

static void documents(void **state)
{
    (void)state;
    expect("{\"model\":{\"unk_id\":1,\"vocab\":[[\"a\",0],[\"<unk>\",0]]}}", "ab", "0 1", NULL);
    expect(JSON("\"unk_id\":null,\"vocab\":[[\"a\",0]]"), "aa", "0 0", NULL);
    expect(JSON("\"vocab\":[[\"\\u0000\",0],[\"a\",-1e0]]"), "a", "1", NULL);
    expect("{\"added_tokens\":[{\"id\":2,\"content\":\"<x>\"}],\"model\":{" SCORED(
               "0", "[\"<unk>\",0],[\"a\",-1]") "}}",
           "a<x>b", "1 2 0", NULL);
    static const struct {
        const char *json, *problem;
    } files[] = {
        { JSON("\"vocab\":[]"), "the vocabulary is empty" },
        { JSON("\"vocab\":{\"a\":0}"), "model: vocab: expected '['" },
        { JSON("\"unk_id\":0"), "model: no vocab" },
        { JSON("\"vocab\":[\"a\"]"), "model.vocab[0]: expected '['" },
        { JSON("\"vocab\":[[]]"),
          "model.vocab[0]: an entry has a piece and a score, not 0 values" },
        { JSON("\"vocab\":[[\"a\"]]"), "model.vocab[0]: an entry has a piece and a score, not 1" },
        { JSON("\"vocab\":[[\"a\",0],[\"b\",1,2]]"),
          "model.vocab[1]: an entry has a piece and a score, not 3" },
        { JSON("\"vocab\":[[1,\"a\"]]"), "model.vocab[0]: expected a string" },
        { JSON("\"vocab\":[[\"a\",\"b\"]]"), "model.vocab[0]: the score of 'a' is no number" },
        { JSON("\"vocab\":[[\"a\",null]]"), "model.vocab[0]: the score of 'a' is no number" },
        { JSON("\"vocab\":[[\"a\",NaN]]"), "model.vocab[0]: expected a value" },
        { JSON("\"vocab\":[[\"a\",1.]]"), "model.vocab[0]: " },
        { JSON("\"vocab\":[[\"a\",1e400]]"), "score 1e400 of piece 'a' is too large" },
        { JSON("\"vocab\":[[\"a\",0.000000000000000000000000000000000000000000000000000000000000"
               "001]]"),
          "model.vocab[0]: a score of 65 characters; 64 are allowed" },
        { JSON("\"vocab\":[[\"\",1]]"), "an empty piece" },
        { JSON("\"unk_id\":1,\"vocab\":[[\"a\",0]]"), "model.unk_id: 1, but ids go up to 0" },
        { JSON("\"unk_id\":-1,\"vocab\":[[\"a\",0]]"), "model.unk_id: expected a whole number" },
        { JSON("\"unk_id\":9999999,\"vocab\":[[\"a\",0]]"),
          "model.unk_id: id 9999999 is over the limit" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(files); i++)
        refused(files[i].json, files[i].problem);
}

static void without_unknown_piece(void **state)
{
    (void)state;
    struct vlm_text_tokenizer *tokenizer = taken(JSON("\"vocab\":[[\"a\",0]]"));
    struct vlm_text_encoder *encoder;
    struct vlm_tokens tokens = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_text_encoder_new(&encoder, tokenizer, &err), VLM_OK);
    assert_int_equal(vlm_text_encode(encoder, &tokens, "aéa", 4, 0, &err), VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "'é' is no piece"));
    assert_int_equal(tokens.n, 0);
    vlm_tokens_release(&tokens);
    vlm_text_encoder_free(encoder);
    vlm_text_tokenizer_close(tokenizer);
}

/* Scores are kept as they are spelled, and so is the tokenizer. */
static void written_and_read_again(void **state)
{
    (void)state;
    struct vlm_text_tokenizer *tokenizer = taken(
        JSON("\"vocab\":[[\"a\",-2.0122928619384766],[\"b\", -1E1 ],[\"a\",0]],\"unk_id\":0"));
    struct vlm_buffer json = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_tokenizer_json_write(&json, &tokenizer->spec, &err), VLM_OK);
    vlm_buffer_byte(&json, 0);
    assert_non_null(
        strstr((const char *)json.data,
               "\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"byte_fallback\": false, "
               "\"vocab\": [[\"a\", -2.0122928619384766], [\"b\", -1E1], [\"a\", 0]]}}\n"));
    struct vlm_text_tokenizer *again = taken((const char *)json.data);
    assert_string_equal(vlm_text_tokenizer_id(tokenizer), vlm_text_tokenizer_id(again));
    assert_int_equal(strncmp(vlm_text_tokenizer_id(again), "unigram-", 8), 0);
    vlm_text_tokenizer_close(again);
    vlm_text_tokenizer_close(tokenizer);
    vlm_buffer_release(&json);
}

/* What Tokenizer.from_str(...).to_str() of the package makes of them: not always the nearest double. */
static void scores(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        { "-2.0122928619384766", -2.012292861938477 },
        { "-5.6310772895812988", -5.631077289581299 },
        { "-9.81234567890123456", -9.812345678901234 },
        { "0.1", 0.1 },
        { "184467440737095516159.5", 1.844674407370955e20 },
        { "18446744073709551615", 1.8446744073709552e19 },
        { "18446744073709551616", 1.8446744073709552e19 },
        { "18446744073709551616.5", 1.8446744073709552e19 },
        { "18446744073709551619.4", 1.8446744073709552e19 },
        { "1e-400", 0 },
        { "12345678901234567890123e-30", 1.2345678901234567e-08 },
        { "1e308", 1e308 },
        { "0.00001e310", 1e305 },
        { "1.7976931348623157e308", 1.7976931348623157e308 },
        { "4.9e-324", 5e-324 },
        { "2.2250738585072011e-308", 2.2250738585072014e-308 },
        { "1E+2", 100 },
        { "0e999999999999", 0 },
        { "-7", -7 },
    };
    double score;
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        assert_true(vlm_unigram_score(&score, cases[i].text, strlen(cases[i].text)));
        if (memcmp(&score, &cases[i].value, sizeof score))
            fail_msg("%s: %.17g, expected %.17g", cases[i].text, score, cases[i].value);
    }
    assert_true(vlm_unigram_score(&score, "-0", 2));
    assert_false(vlm_unigram_score(&score, "1e309", 5));
    assert_false(vlm_unigram_score(&score, "10e308", 6));
    assert_false(vlm_unigram_score(&score, "1e99999999999999999999", 22));
}

/* n pieces of `size` bytes with two bytes of their own in front. */
static int build(struct vlm_unigram **unigram, uint32_t n, size_t size, size_t last_size)
{
    struct vlm_bytes *pieces = calloc(n, sizeof *pieces);
    double *values = calloc(n, sizeof *values);
    uint8_t *bytes = malloc(n * size + last_size);
    struct vlm_err err = { 0 };
    assert_true(pieces && values && bytes);
    memset(bytes, 'x', n * size + last_size);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *at = bytes + i * size;
        at[0] = (uint8_t)(i & 0xff);
        at[1] = (uint8_t)(i >> 8);
        pieces[i] = (struct vlm_bytes){ at, at + (i + 1 < n ? size : last_size), false };
    }
    const struct vlm_unigram_source source = {
        .pieces = pieces, .scores = values, .n_pieces = n, .unknown = 0
    };
    int rc = vlm_unigram_new(unigram, &source, &err);
    free(pieces);
    free(values);
    free(bytes);
    return rc;
}

static void limits(void **state)
{
    (void)state;
    struct vlm_unigram *unigram;
    for (size_t n = VLM_UNIGRAM_PIECE_MAX - 1; n <= VLM_UNIGRAM_PIECE_MAX + 1; n++) {
        assert_int_equal(build(&unigram, 1, n, n),
                         n <= VLM_UNIGRAM_PIECE_MAX ? VLM_OK : VLM_ELIMIT);
        vlm_unigram_free(unigram);
    }
    /* The root, 256 first bytes and for each piece the rest of it. */
    uint32_t n = (VLM_UNIGRAM_NODES_MAX - 257) / (VLM_UNIGRAM_PIECE_MAX - 1);
    size_t left = VLM_UNIGRAM_NODES_MAX - 257 - n * (VLM_UNIGRAM_PIECE_MAX - 1);
    assert_true(left > 1 && left + 2 < VLM_UNIGRAM_PIECE_MAX);
    for (size_t size = left; size <= left + 2; size++) { /* one byte less is a node of its own */
        assert_int_equal(build(&unigram, n + 1, VLM_UNIGRAM_PIECE_MAX, size),
                         size <= left + 1 ? VLM_OK : VLM_ELIMIT);
        vlm_unigram_free(unigram);
    }
}

/* The longest pieces at every byte, and no cut: time and memory are linear. */
static void one_long_word(void **state)
{
    (void)state;
    enum { SIZE = 1000000, LONGEST = 200 };
    static struct vlm_bytes pieces[LONGEST];
    static uint8_t letters[LONGEST];
    static double values[LONGEST];
    struct vlm_unigram *unigram;
    struct vlm_unigram_path path = { 0 };
    struct vlm_tokens tokens = { .with_spans = true };
    struct vlm_err err = { 0 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, 'a', SIZE);
    memset(letters, 'a', sizeof letters);
    for (size_t i = 0; i < LONGEST; i++) {
        pieces[i] = (struct vlm_bytes){ letters, letters + i + 1, false };
        values[i] = -1;
    }
    const struct vlm_unigram_source source = {
        .pieces = pieces, .scores = values, .n_pieces = LONGEST, .unknown = VLM_NO_TOKEN
    };
    assert_int_equal(vlm_unigram_new(&unigram, &source, &err), VLM_OK);
    assert_int_equal(vlm_unigram_word(unigram, &path, &tokens, text, SIZE, &err), VLM_OK);
    assert_int_equal(tokens.n, SIZE / LONGEST);
    for (size_t i = 0, at = 0; i < tokens.n; i++) {
        assert_int_equal(tokens.spans[i].start, at);
        at = tokens.spans[i].end;
    }
    vlm_tokens_release(&tokens);
    vlm_unigram_path_release(&path);
    vlm_unigram_free(unigram);
    vlm_unigram_free(NULL);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_the_package),
        cmocka_unit_test(spans),
        cmocka_unit_test(documents),
        cmocka_unit_test(without_unknown_piece),
        cmocka_unit_test(written_and_read_again),
        cmocka_unit_test(scores),
        cmocka_unit_test(limits),
        cmocka_unit_test(one_long_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
