/* test_wordpiece.c - WordPiece and BERT's cutting, by hand and against ids that the published
 * tokenizers gave. */
#include "base/vlm.h"

#include "base/json.h"
#include "tests/bert_fixture.h"
#include "tests/code_points_fixture.h"

static struct vlm_wordpiece *wordpiece_of(const char *const *words, uint32_t n, const char *prefix,
                                          size_t word_max)
{
    struct vlm_bytes pieces[32] = { { 0 } };
    struct vlm_wordpiece *wordpiece;
    struct vlm_err err = { 0 };
    assert_true(n <= VLM_COUNTOF(pieces));
    for (uint32_t i = 0; i < n; i++)
        if (words[i])
            pieces[i] = (struct vlm_bytes){ (const uint8_t *)words[i],
                                            (const uint8_t *)words[i] + strlen(words[i]), false };
    const struct vlm_wordpiece_source source = {
        .pieces = pieces, .n_pieces = n, .unknown = 0, .prefix = prefix, .word_max = word_max
    };
    assert_int_equal(vlm_wordpiece_new(&wordpiece, &source, &err), VLM_OK);
    return wordpiece;
}

/* The ids of a word, each with its span: "3[0,2) 4[2,3)". */
static const char *tokens_of(const struct vlm_wordpiece *wordpiece, const char *word)
{
    static char text[512];
    struct vlm_tokens tokens = { .with_spans = true };
    struct vlm_err err = { 0 };
    size_t n = strlen(word), at = 0;
    char *copy = malloc(n ? n : 1); /* so that a sanitizer sees a read behind its end */
    assert_non_null(copy);
    memcpy(copy, word, n);
    assert_int_equal(vlm_wordpiece_word(wordpiece, &tokens, copy, n, &err), VLM_OK);
    text[0] = 0;
    for (size_t i = 0; i < tokens.n; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u[%u,%u)", i ? " " : "",
                               (unsigned)tokens.ids[i], (unsigned)tokens.spans[i].start,
                               (unsigned)tokens.spans[i].end);
    free(copy);
    vlm_tokens_release(&tokens);
    return text;
}

static void longest_first(void **state)
{
    (void)state;
    static const char *const words[] = { "[UNK]", "un", "##aff", "##able",     "u",  "##n", "unaff",
                                         "##a",   NULL, "",      "##\xc3\xa9", "##", "u",   "#" };
    struct vlm_wordpiece *wordpiece = wordpiece_of(words, VLM_COUNTOF(words), "##", 100);
    assert_string_equal(tokens_of(wordpiece, ""), "");
    assert_string_equal(tokens_of(wordpiece, "un"), "1[0,2)");
    assert_string_equal(tokens_of(wordpiece, "unaffable"), "6[0,5) 3[5,9)");
    assert_string_equal(tokens_of(wordpiece, "unable"), "1[0,2) 3[2,6)");
    assert_string_equal(tokens_of(wordpiece, "unaffaff"), "6[0,5) 2[5,8)");
    assert_string_equal(tokens_of(wordpiece, "unablex"), "0[0,7)");
    assert_string_equal(tokens_of(wordpiece, "aff"), "0[0,3)");
    assert_string_equal(tokens_of(wordpiece, "u"), "12[0,1)"); /* the last of equals */
    assert_string_equal(tokens_of(wordpiece, "u\xc3\xa9n"), "12[0,1) 10[1,3) 5[3,4)");
    assert_string_equal(tokens_of(wordpiece, "u\xc3"), "0[0,2)");
    assert_string_equal(tokens_of(wordpiece, "##aff"), "2[0,5)"); /* written out it is a piece */
    vlm_wordpiece_free(wordpiece);
    vlm_wordpiece_free(NULL);
}

static void other_prefixes(void **state)
{
    (void)state;
    static const char *const words[] = { "[UNK]", "a", "ab", "b" };
    struct vlm_wordpiece *wordpiece = wordpiece_of(words, VLM_COUNTOF(words), "", 100);
    assert_string_equal(tokens_of(wordpiece, "abba"), "2[0,2) 3[2,3) 1[3,4)");
    vlm_wordpiece_free(wordpiece);
    wordpiece = wordpiece_of(words, VLM_COUNTOF(words), "##", 100); /* which no piece has */
    assert_string_equal(tokens_of(wordpiece, "ab"), "2[0,2)");
    assert_string_equal(tokens_of(wordpiece, "aba"), "0[0,3)");
    vlm_wordpiece_free(wordpiece);
}

static void word_max_counts_characters(void **state)
{
    (void)state;
    static const char *const words[] = { "[UNK]", "a", "##a", "\xc3\xa9", "##\xc3\xa9", "##\xff" };
    struct vlm_wordpiece *wordpiece = wordpiece_of(words, VLM_COUNTOF(words), "##", 3);
    assert_string_equal(tokens_of(wordpiece, "aa"), "1[0,1) 2[1,2)");
    assert_string_equal(tokens_of(wordpiece, "aaa"), "1[0,1) 2[1,2) 2[2,3)");
    assert_string_equal(tokens_of(wordpiece, "aaaa"), "0[0,4)");
    assert_string_equal(tokens_of(wordpiece, "\xc3\xa9\xc3\xa9\xc3\xa9"), "3[0,2) 4[2,4) 4[4,6)");
    assert_string_equal(tokens_of(wordpiece, "\xc3\xa9\xc3\xa9\xc3\xa9"
                                             "a"),
                        "0[0,7)");
    assert_string_equal(tokens_of(wordpiece, "a\xff\xff"), "1[0,1) 5[1,2) 5[2,3)");
    assert_string_equal(tokens_of(wordpiece, "a\xff\xff\xff"), "0[0,4)");
    vlm_wordpiece_free(wordpiece);
}

/* n pieces of these bytes each, the last of other ones, that begin with two bytes that no others
 * begin with. */
static int new_with(size_t n, size_t bytes, size_t last_bytes)
{
    struct vlm_wordpiece *wordpiece = NULL;
    struct vlm_err err = { 0 };
    size_t most = VLM_MAX(bytes, last_bytes);
    uint8_t *text = calloc(n, most);
    struct vlm_bytes *pieces = calloc(n, sizeof(*pieces));
    assert_non_null(text);
    assert_non_null(pieces);
    for (size_t i = 0; i < n; i++) {
        uint8_t *piece = text + i * most;
        piece[0] = (uint8_t)(i >> 8);
        piece[1] = (uint8_t)i;
        pieces[i] = (struct vlm_bytes){ piece, piece + (i == n - 1 ? last_bytes : bytes), false };
    }
    const struct vlm_wordpiece_source source = {
        .pieces = pieces, .n_pieces = (uint32_t)n, .prefix = "##", .word_max = SIZE_MAX
    };
    int rc = vlm_wordpiece_new(&wordpiece, &source, &err);
    assert_true((rc == VLM_OK) == (wordpiece != NULL));
    vlm_wordpiece_free(wordpiece);
    free(pieces);
    free(text);
    return rc;
}

static void limits(void **state)
{
    (void)state;
    assert_int_equal(new_with(1, 2, VLM_WORDPIECE_PIECE_MAX - 1), VLM_OK);
    assert_int_equal(new_with(1, 2, VLM_WORDPIECE_PIECE_MAX), VLM_OK);
    assert_int_equal(new_with(1, 2, VLM_WORDPIECE_PIECE_MAX + 1), VLM_ELIMIT);
    /* 16447 pieces of 256 bytes have 65 first bytes and 255 others each, the root is 1 more: of
     * 4194304, 253 are left. */
    assert_int_equal(new_with(16448, 256, 253), VLM_OK);
    assert_int_equal(new_with(16448, 256, 254), VLM_OK);
    assert_int_equal(new_with(16448, 256, 255), VLM_ELIMIT);
}

static void expect_words(const char *text, const char *expected)
{
    char found[256];
    size_t n = strlen(text), at = 0, bytes, size = 0;
    while ((bytes = vlm_bert_word_next(text, n, &at))) {
        size += (size_t)snprintf(found + size, sizeof(found) - size, "%s%.*s", size ? "|" : "",
                                 (int)bytes, text + at);
        at += bytes;
    }
    found[size] = 0;
    assert_int_equal(at, n);
    assert_string_equal(found, expected);
}

static void words_of_bert(void **state)
{
    (void)state;
    expect_words("", "");
    expect_words(" \t\r\n\xc2\xa0\xe3\x80\x80", "");
    expect_words("Hey friend!  How?!", "Hey|friend|!|How|?|!");
    expect_words("a$b^c`d~e", "a|$|b|^|c|`|d|~|e"); /* symbols, but ASCII's count */
    expect_words("a\xe2\x80\x94"
                 "b\xe2\x82\xac"
                 "c",
                 "a|\xe2\x80\x94|b\xe2\x82\xac"
                 "c");
    expect_words("a\xffz \xc3", "a\xffz|\xc3");
    expect_words("a\xe2\xb9\x83z", "a\xe2\xb9\x83z"); /* U+2E43, of Unicode 9 */
}

static void expected_ids(void **state)
{
    (void)state;
    struct bert_fixture bert;
    bert_fixture_init(&bert);
    const char *shared = getenv("VLM_SHARED_DATA");
    char path[4096];
    struct vlm_buffer file = { 0 };
    struct vlm_err err = { 0 };
    snprintf(path, sizeof(path), "%s/tokenizers/tokenizer-texts/EXPECTED-vectors-a.jsonl",
             shared ? shared : "../shared/data");
    assert_int_equal(vlm_file_read(&file, path, 16 * VLM_MIB, &err), VLM_OK);
    size_t lines = 0;
    for (size_t i = 0; i < file.size; lines++) {
        const char *line = (const char *)file.data + i;
        const char *end = memchr(line, '\n', file.size - i);
        size_t n = end ? (size_t)(end - line) : file.size - i;
        json_object *value, *text, *ids;
        assert_int_equal(vlm_json_parse(&value, line, n, &err), VLM_OK);
        assert_true(json_object_object_get_ex(value, "text", &text));
        assert_true(json_object_object_get_ex(value, "bert", &ids));
        bert_fixture_encode(&bert, json_object_get_string(text),
                            (size_t)json_object_get_string_len(text));
        if (bert.tokens.n != json_object_array_length(ids))
            fail_msg("line %zu: %zu tokens", lines + 1, bert.tokens.n);
        for (size_t k = 0; k < bert.tokens.n; k++)
            if (bert.tokens.ids[k] !=
                (uint32_t)json_object_get_int(json_object_array_get_idx(ids, k)))
                fail_msg("line %zu, token %zu is %u", lines + 1, k, (unsigned)bert.tokens.ids[k]);
        json_object_put(value);
        i += n + 1;
    }
    print_message("%zu texts\n", lines);
    vlm_buffer_release(&file);
    bert_fixture_release(&bert);
}

static void add_ids(struct vlm_buffer *out, struct bert_fixture *bert, const char *text, size_t n)
{
    bert_fixture_encode(bert, text, n);
    vlm_buffer_u32(out, (uint32_t)bert->tokens.n);
    for (size_t i = 0; i < bert->tokens.n; i++)
        vlm_buffer_u32(out, bert->tokens.ids[i]);
    for (size_t i = 0; i < bert->tokens.n; i++) {
        vlm_buffer_u32(out, bert->tokens.spans[i].start);
        vlm_buffer_u32(out, bert->tokens.spans[i].end);
    }
}

/* Pieces of at most 64 KiB that end at line ends; false: the file is not here. */
static bool add_file(struct vlm_buffer *out, struct bert_fixture *bert, const char *name)
{
    const char *shared = getenv("VLM_SHARED_DATA");
    char path[4096];
    struct vlm_buffer file = { 0 };
    struct vlm_err err = { 0 };
    snprintf(path, sizeof(path), "%s/tokenizers/tokenizer-texts/%s",
             shared ? shared : "../shared/data", name);
    int rc = vlm_file_read(&file, path, 16 * VLM_MIB, &err);
    for (size_t at = 0, end; rc == VLM_OK && at < file.size; at = end) {
        const char *text = (const char *)file.data + at;
        end = VLM_MIN(at + 65536, file.size);
        const char *line_end = memrchr(text, '\n', end - at);
        if (end < file.size && line_end)
            end = (size_t)(line_end - (const char *)file.data) + 1;
        add_ids(out, bert, text, end - at);
    }
    vlm_buffer_release(&file);
    return rc == VLM_OK;
}

static void add_code_points(struct vlm_buffer *out, struct bert_fixture *bert, const char *name,
                            uint32_t first, uint32_t end)
{
    const struct context *context = context_of(name);
    struct vlm_buffer text = { 0 };
    assert_non_null(context);
    for (uint32_t c = first; c < end; c++) {
        if (is_surrogate(c))
            continue;
        vlm_buffer_reset(&text);
        add_in_context(&text, context, c);
        add_ids(out, bert, (const char *)text.data, text.size);
    }
    vlm_buffer_release(&text);
}

/* Ids and offsets of every code point in contexts, and of a book, are those of the package. */
static void every_code_point(void **state)
{
    (void)state;
    struct bert_fixture bert;
    bert_fixture_init(&bert);
    struct vlm_buffer rows = { 0 }, out = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_file_read(&rows, "tests/vectors/bert_ids.tsv", VLM_MIB, &err), VLM_OK);
    vlm_buffer_byte(&rows, 0);
    size_t n = 0, wrong = 0;
    char *save = NULL;
    for (char *row = strtok_r((char *)rows.data, "\n", &save); row;
         row = strtok_r(NULL, "\n", &save)) {
        char context[32], first[64], end[32], expected[64];
        assert_int_equal(sscanf(row, "%31s %63s %31s %63s", context, first, end, expected), 4);
        struct vlm_sha256_stream *digest = vlm_sha256_begin();
        if (!strcmp(context, "file"))
            assert_true(add_file(&out, &bert, first));
        else
            add_code_points(&out, &bert, context, (uint32_t)strtoul(first, NULL, 16),
                            (uint32_t)strtoul(end, NULL, 16));
        add_gathered(digest, &out);
        n++;
        if (!digest_is(digest, expected)) {
            print_message("differs: %s %s\n", context, first);
            wrong++;
        }
    }
    vlm_buffer_release(&rows);
    vlm_buffer_release(&out);
    bert_fixture_release(&bert);
    assert_true(n > 0);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(longest_first),
        cmocka_unit_test(other_prefixes),
        cmocka_unit_test(word_max_counts_characters),
        cmocka_unit_test(limits),
        cmocka_unit_test(words_of_bert),
        cmocka_unit_test(expected_ids),
        cmocka_unit_test(every_code_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
