/* test_train_texts.c - texts of vlm-tokenize train: a file read in pieces has the words of the file as a whole, for any
 * number of threads; folders, limits, what is no text. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"
#include "tokenize/bpe/word_counts.h"
#include "tools/tokenize/train_texts.h"

#include <setjmp.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

static struct vlm_word_counts *new_counts(size_t threads)
{
    struct vlm_err err = { 0 };
    struct vlm_word_counts *counts;
    const struct vlm_word_count_options options = {
        .split = VLM_SPLIT_GPT2, .threads = threads, .memory = 1 << 30, .folder = test_folder
    };
    assert_int_equal(vlm_word_counts_new(&counts, &options, &err), VLM_OK);
    return counts;
}

static char *write_file(const char *name, const char *text, size_t n)
{
    struct vlm_err err = { 0 };
    char *path = vlm_path_join(test_folder, name);
    assert_int_equal(vlm_file_write(path, text, n, &err), VLM_OK);
    return path;
}

/* A sum over all words and counts that does not depend on their order. */
static uint64_t digest(struct vlm_word_counts *counts)
{
    struct vlm_err err = { 0 };
    struct vlm_word_count word;
    uint64_t sum = 0;
    assert_int_equal(vlm_word_counts_end(counts, &err), VLM_OK);
    assert_int_equal(vlm_word_counts_rewind(counts, &err), VLM_OK);
    while (vlm_word_counts_next(counts, &word, &err) == VLM_OK)
        sum += vlm_xxh3_chain(vlm_xxh3(word.bytes, word.n), word.count);
    vlm_word_counts_free(counts);
    return sum;
}

static uint64_t digest_of_file(struct vlm_train_texts *texts, size_t threads, char *path)
{
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_pool_new(&texts->pool, threads, &err), VLM_OK);
    texts->counts = new_counts(threads);
    assert_int_equal(vlm_train_texts_add(texts, path, &err), VLM_OK);
    vlm_train_texts_release(texts);
    vlm_pool_free(texts->pool);
    return digest(texts->counts);
}

static void check_file(const char *text, size_t n)
{
    struct vlm_err err = { 0 };
    char *path = write_file("text", text, n);
    struct vlm_word_counts *whole = new_counts(1);
    assert_int_equal(vlm_word_counts_add(whole, 0, text, n, &err), VLM_OK);
    uint64_t expected = digest(whole);
    for (size_t threads = 1; threads <= 3; threads++) {
        struct vlm_train_texts texts = { 0 };
        assert_int_equal(digest_of_file(&texts, threads, path), expected);
        assert_int_equal(texts.bytes, n);
        assert_int_equal(texts.documents, 1);
    }
    unlink(path);
    free(path);
}

/* Characters of all classes, runs of white space, bytes that are not UTF-8. */
static void test_pieces_have_the_words_of_the_file(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "a",
        "the ",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\r\n",
        "\t",
        "7",
        "'s",
        "'",
        "<p>",
        "\xc3\xa9",
        "\xe3\x80\x80",
        "\xc2\xa0",
        "\xe4\xb8\xad\xe6\x96\x87",
        "\xe3\x80",
        "\xff",
        "\xf0\x9f\x98\x80",
        "!",
    };
    size_t size = 7 << 20, n = 0;
    char *text = malloc(size + 16);
    assert_non_null(text);
    struct vlm_random random = vlm_random_at(1, 2, 3);
    while (n < size) {
        const char *piece = pieces[vlm_random_below(&random, VLM_COUNTOF(pieces))];
        memcpy(text + n, piece, strlen(piece));
        n += strlen(piece);
    }
    check_file(text, n);
    for (size_t i = 0; i <= 70; i++) /* around the size of a piece and of a file's end */
        if (i % 7 == 0)
            check_file(text, (256 << 10) - 35 + i);
    check_file(text, 0);
    check_file(text, 1);
    free(text);
}

/* Less than 4 MiB without a place to cut at, white space or not. */
static void test_long_words(void **state)
{
    (void)state;
    size_t size = 12 << 20, run = (4 << 20) - 100;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'x', size);
    memset(text + run + 1000, ' ', run - 2000);
    for (size_t i = 0; i < size; i += run)
        text[i] = '\n';
    check_file(text, size);
    free(text);
}

/* Beyond that a word is cut, but in the same places for any number of threads, whatever was read before. */
static void test_words_beyond_the_limit(void **state)
{
    (void)state;
    size_t size = 22 << 20;
    char *text = malloc(size);
    assert_non_null(text);
    for (size_t start = 0; start < 3; start++) {
        memset(text, 'x', size);
        for (size_t i = 0; i < start * 300000; i += 10)
            text[i] = ' ';
        text[17 << 20] = ' ';
        char *path = write_file("long", text, size);
        uint64_t expected = 0;
        for (size_t threads = 1; threads <= 3; threads += 2) {
            struct vlm_train_texts texts = { 0 };
            uint64_t found = digest_of_file(&texts, threads, path);
            if (threads == 1)
                expected = found;
            assert_int_equal(found, expected);
            assert_int_equal(texts.bytes, size);
        }
        unlink(path);
        free(path);
    }
    free(text);
}

/* A file that ends just behind the limit, without a place to cut at. */
static void test_ends_behind_the_limit(void **state)
{
    (void)state;
    size_t limit = 4 << 20;
    char *text = malloc(limit + 16);
    assert_non_null(text);
    memset(text, 'x', limit + 16);
    for (size_t over = 0; over <= 9; over++) {
        char *path = write_file("long", text, limit + over);
        struct vlm_train_texts texts = { 0 };
        digest_of_file(&texts, 1, path);
        assert_int_equal(texts.bytes, limit + over);
        unlink(path);
        free(path);
    }
    free(text);
}

static void test_folders_and_limits(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_train_texts texts = { 0 };
    char *here = vlm_path_join(test_folder, "texts"), *below = vlm_path_join(here, "below");
    assert_int_equal(vlm_folder_make(below, &err), VLM_OK);
    char *paths[] = {
        write_file("texts/a.txt", "one two", 7), write_file("texts/b.bin", "a\0b", 3),
        write_file("texts/.hidden", "three", 5), write_file("texts/below/c.md", "four\n", 5),
        write_file("texts/below/d", "", 0),
    };
    assert_int_equal(vlm_pool_new(&texts.pool, 1, &err), VLM_OK);
    texts.counts = new_counts(1);
    assert_int_equal(vlm_train_texts_add(&texts, here, &err), VLM_OK);
    assert_int_equal(texts.documents, 3);
    assert_int_equal(texts.not_text, 1);
    assert_int_equal(texts.bytes, 12);
    texts.limit = 4;
    assert_int_equal(vlm_train_texts_add(&texts, here, &err), VLM_EOF);
    assert_int_equal(texts.documents, 4);
    assert_int_equal(vlm_train_texts_add(&texts, here, &err), VLM_EOF);
    assert_int_equal(texts.documents, 4);

    texts.limit = 0;
    assert_int_equal(vlm_train_texts_add(&texts, paths[1], &err), VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "b.bin' is not text: byte 1 is zero"));
    volatile sig_atomic_t stop = 15;
    texts.stop = &stop;
    assert_int_equal(vlm_train_texts_add(&texts, paths[0], &err), VLM_ESTOPPED);
    vlm_train_texts_release(&texts);
    vlm_word_counts_free(texts.counts);
    vlm_pool_free(texts.pool);
    for (size_t i = 0; i < VLM_COUNTOF(paths); i++)
        free(paths[i]);
    free(below);
    free(here);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_pieces_have_the_words_of_the_file),
    cmocka_unit_test(test_long_words),
    cmocka_unit_test(test_words_beyond_the_limit),
    cmocka_unit_test(test_ends_behind_the_limit),
    cmocka_unit_test(test_folders_and_limits),
};

int main(void)
{
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
