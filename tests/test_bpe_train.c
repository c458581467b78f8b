/* test_bpe_train.c - counting words and learning merges: against plain loops, over threads and files, at the
 * limits; and that what is saved opens again. tests/long/bpe_train.sh compares with the package tokenizers. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/random.h"
#include "tokenize/sequence/vocabulary.h"
#include "tokenize/bpe/word_counts.h"

#include <pthread.h>
#include <setjmp.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

enum { BYTES = 256, MERGES_MAX = 512, WORD_MAX = 64 };

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(test_folder); /* fails when a file was left behind */
}

/* A plain trainer ---------------------------------------------------------------------------------- */

struct plain_word {
    uint32_t symbols[WORD_MAX];
    size_t n;
    uint64_t count;
};

static uint32_t number_of(uint8_t byte)
{
    uint32_t number = 0;
    for (unsigned other = 0; other < BYTES; other++)
        number += vlm_bpe_byte_to_char((uint8_t)other) < vlm_bpe_byte_to_char(byte);
    return number;
}

static uint64_t plain_count(const struct plain_word *words, size_t n, uint32_t left, uint32_t right)
{
    uint64_t count = 0;
    for (size_t w = 0; w < n; w++)
        for (size_t i = 0; i + 1 < words[w].n; i++)
            if (words[w].symbols[i] == left && words[w].symbols[i + 1] == right)
                count += words[w].count;
    return count;
}

static void plain_merge(struct plain_word *word, uint32_t left, uint32_t right, uint32_t symbol)
{
    size_t to = 0;
    for (size_t i = 0; i < word->n; i++) {
        bool merged = i + 1 < word->n && word->symbols[i] == left && word->symbols[i + 1] == right;
        word->symbols[to++] = merged ? symbol : word->symbols[i];
        i += merged;
    }
    word->n = to;
}

/* All pairs are counted anew for each merge. */
static uint32_t plain_train(uint32_t (*merges)[2], struct plain_word *words, size_t n,
                            uint32_t wanted, uint64_t min_count)
{
    for (uint32_t k = 0; k < wanted; k++) {
        uint64_t most = 0;
        for (size_t w = 0; w < n; w++)
            for (size_t i = 0; i + 1 < words[w].n; i++) {
                uint32_t left = words[w].symbols[i], right = words[w].symbols[i + 1];
                uint64_t count = plain_count(words, n, left, right);
                bool lower = left < merges[k][0] || (left == merges[k][0] && right < merges[k][1]);
                if (count > most || (count == most && lower)) {
                    most = count;
                    merges[k][0] = left;
                    merges[k][1] = right;
                }
            }
        if (most < VLM_MAX(min_count, 1))
            return k;
        for (size_t w = 0; w < n; w++)
            plain_merge(&words[w], merges[k][0], merges[k][1], BYTES + k);
    }
    return wanted;
}

/* Helpers ------------------------------------------------------------------------------------------ */

static struct vlm_word_counts *new_counts(size_t threads, uint64_t memory, enum vlm_split split)
{
    struct vlm_err err = { 0 };
    struct vlm_word_counts *counts;
    const struct vlm_word_count_options options = {
        .split = split, .threads = threads, .memory = memory, .folder = test_folder
    };
    assert_int_equal(vlm_word_counts_new(&counts, &options, &err), VLM_OK);
    return counts;
}

static void add(struct vlm_word_counts *counts, size_t thread, const char *text, size_t n)
{
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_word_counts_add(counts, thread, text, n, &err), VLM_OK);
}

static void end(struct vlm_word_counts *counts)
{
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_word_counts_end(counts, &err), VLM_OK);
}

static void train(struct vlm_bpe_trained *trained, struct vlm_word_counts *counts, uint32_t merges,
                  uint64_t min_count)
{
    struct vlm_err err = { 0 };
    const struct vlm_bpe_train_options options = { .vocab_size = BYTES + merges,
                                                   .min_count = min_count,
                                                   .memory = 1 << 30 };
    assert_int_equal(vlm_bpe_train(trained, counts, &options, &err), VLM_OK);
}

/* Words of a few letters, some of them several times. */
static size_t random_words(struct plain_word *words, size_t n, const char *letters, size_t longest,
                           uint64_t seed, struct vlm_word_counts *counts)
{
    struct vlm_random random = vlm_random_at(seed, n, longest);
    for (size_t w = 0; w < n; w++) {
        char text[WORD_MAX];
        words[w].n = 1 + (size_t)vlm_random_below(&random, (uint32_t)longest);
        words[w].count = 1 + vlm_random_below(&random, 3);
        for (size_t i = 0; i < words[w].n; i++) {
            text[i] = letters[vlm_random_below(&random, (uint32_t)strlen(letters))];
            words[w].symbols[i] = number_of((uint8_t)text[i]);
        }
        for (uint64_t k = 0; k < words[w].count; k++)
            add(counts, 0, text, words[w].n);
    }
    return n;
}

/* Tests -------------------------------------------------------------------------------------------- */

static void test_merges_equal_a_plain_loop(void **state)
{
    (void)state;
    static const char *const letters[] = { "a", "ab", "abc", "xyz\x80\xff \n", "abcdefghijkl" };
    static struct plain_word words[60];
    static uint32_t expected[MERGES_MAX][2];
    for (uint64_t seed = 0; seed < 60; seed++) {
        uint64_t min_count = 1 + seed % 3;
        struct vlm_word_counts *counts = new_counts(1, 1 << 20, VLM_SPLIT_NONE);
        size_t n = random_words(words, 60, letters[seed % VLM_COUNTOF(letters)], seed % 2 ? 40 : 9,
                                seed, counts);
        end(counts);
        struct vlm_bpe_trained trained;
        train(&trained, counts, 120, min_count);
        memset(expected, 0xff, sizeof(expected));
        uint32_t merges = plain_train(expected, words, n, 120, min_count);
        assert_int_equal(trained.n_merges, merges);
        assert_memory_equal(trained.merges, expected, merges * sizeof(*expected));
        vlm_bpe_trained_release(&trained);
        vlm_word_counts_free(counts);
    }
}

static void test_runs_of_one_letter(void **state)
{
    (void)state;
    struct vlm_word_counts *counts = new_counts(1, 1 << 20, VLM_SPLIT_GPT2);
    struct vlm_bpe_trained trained;
    static char run[1 << 20];
    memset(run, 'z', sizeof(run));
    add(counts, 0, run, sizeof(run));
    end(counts);
    train(&trained, counts, 100, 1);
    assert_int_equal(trained.n_merges, 20); /* zz, zzzz, ... all 2^20 */
    for (uint32_t k = 1; k < trained.n_merges; k++) {
        assert_int_equal(trained.merges[k][0], BYTES + k - 1);
        assert_int_equal(trained.merges[k][1], BYTES + k - 1);
    }
    vlm_bpe_trained_release(&trained);
    vlm_word_counts_free(counts);
}

/* A made word: its number in digits, and marks behind those that 7 divides, so that they are long. */
static size_t spell(char word[WORD_MAX], uint32_t number)
{
    return (size_t)snprintf(word, WORD_MAX, "%" PRIu32 "%s", number,
                            number % 7 ? "" : "--------------------");
}

/* How often a made word is there. */
static uint64_t times(uint32_t number)
{
    return 1 + number % 5 + (number % 1000 ? 0u : 40u);
}

struct adding {
    struct vlm_word_counts *counts;
    size_t thread, threads;
    uint32_t words;
};

/* Every thread adds another share of each word's occurrences. */
static void *add_share(void *context)
{
    struct adding *adding = context;
    struct vlm_err err = { 0 };
    for (uint32_t round = 0; round < 45; round++)
        for (uint32_t number = 0; number < adding->words; number++) {
            char word[WORD_MAX];
            if (round >= times(number) || (number + round) % adding->threads != adding->thread)
                continue;
            size_t n = spell(word, number);
            if (vlm_word_counts_add(adding->counts, adding->thread, word, n, &err) < 0)
                return context;
        }
    return NULL;
}

static struct vlm_word_counts *made_counts(size_t threads, uint32_t words, uint64_t memory)
{
    struct vlm_word_counts *counts = new_counts(threads, memory, VLM_SPLIT_NONE);
    pthread_t thread[8];
    struct adding adding[8];
    for (size_t i = 0; i < threads; i++) {
        adding[i] = (struct adding){ counts, i, threads, words };
        assert_int_equal(pthread_create(&thread[i], NULL, add_share, &adding[i]), 0);
    }
    for (size_t i = 0; i < threads; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        assert_null(failed);
    }
    end(counts);
    return counts;
}

/* Every word once, with its count. Twice: it can be rewound. */
static void check_counts(struct vlm_word_counts *counts, uint32_t words)
{
    struct vlm_err err = { 0 };
    struct vlm_word_count word;
    uint8_t *seen = calloc(words, 1);
    assert_non_null(seen);
    for (uint8_t round = 1; round <= 2; round++) {
        uint32_t n = 0;
        int rc = vlm_word_counts_rewind(counts, &err);
        while (rc == VLM_OK && (rc = vlm_word_counts_next(counts, &word, &err)) == VLM_OK) {
            char text[WORD_MAX] = { 0 }, expected[WORD_MAX];
            assert_in_range(word.n, 1, WORD_MAX - 1);
            memcpy(text, word.bytes, word.n);
            uint32_t number = (uint32_t)strtoul(text, NULL, 10);
            assert_in_range(number, 0, words - 1);
            assert_int_equal(word.n, spell(expected, number));
            assert_string_equal(text, expected);
            assert_int_equal(word.count, times(number));
            assert_int_equal(seen[number]++, round - 1);
            n++;
        }
        assert_int_equal(rc, VLM_EOF);
        assert_int_equal(n, words);
    }
    free(seen);
    vlm_word_counts_free(counts);
}

static void test_counts_are_exact_for_any_threads(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= 4; threads++)
        check_counts(made_counts(threads, 20000, 1 << 30), 20000);
}

/* A quarter of a MiB for each thread holds some thousand words: many files, merged in levels. */
static void test_counts_are_exact_through_files(void **state)
{
    (void)state;
    check_counts(made_counts(1, 300000, 1), 300000);
    check_counts(made_counts(3, 100000, 1), 100000);
}

static void test_a_word_larger_than_the_memory(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_word_count word;
    struct vlm_word_counts *counts = new_counts(1, 1, VLM_SPLIT_NONE);
    size_t n = 3 << 20;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, 'y', n);
    for (unsigned i = 0; i < 3; i++) {
        add(counts, 0, text, n);
        add(counts, 0, text, n - 1);
        add(counts, 0, "y", 1);
    }
    end(counts);
    assert_int_equal(vlm_word_counts_rewind(counts, &err), VLM_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(vlm_word_counts_next(counts, &word, &err), VLM_OK);
        assert_int_equal(word.n, i == 0 ? 1 : n - 2 + i);
        assert_memory_equal(word.bytes, text, word.n);
        assert_int_equal(word.count, 3);
    }
    assert_int_equal(vlm_word_counts_next(counts, &word, &err), VLM_EOF);
    vlm_word_counts_free(counts);
    free(text);
}

static void test_files_need_a_folder(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_word_counts *counts;
    const struct vlm_word_count_options options = {
        .split = VLM_SPLIT_NONE, .threads = 1, .memory = 1, .folder = "build/no such folder"
    };
    assert_int_equal(vlm_word_counts_new(&counts, &options, &err), VLM_OK);
    int rc = VLM_OK;
    for (uint32_t number = 0; rc == VLM_OK && number < 100000; number++) {
        char word[WORD_MAX];
        size_t n = spell(word, number);
        rc = vlm_word_counts_add(counts, 0, word, n, &err);
    }
    assert_int_equal(rc, VLM_EFAIL);
    assert_string_equal(err.msg, "cannot make a file for counts of words in 'build/no such "
                                 "folder': No such file or directory");
    vlm_word_counts_free(counts);
}

/* Training on the made words with room for some of them. */
static uint64_t left_out(struct vlm_bpe_trained *trained, size_t threads, uint64_t memory)
{
    struct vlm_err err = { 0 };
    struct vlm_word_counts *counts = made_counts(threads, 20000, 1 << 30);
    const struct vlm_bpe_train_options options = { .vocab_size = BYTES + 300,
                                                   .min_count = 2,
                                                   .memory = memory };
    assert_int_equal(vlm_bpe_train(trained, counts, &options, &err), VLM_OK);
    assert_int_equal(trained->words, 20000);
    vlm_word_counts_free(counts);
    return trained->words_left_out;
}

static void test_the_rarest_words_are_left_out(void **state)
{
    (void)state;
    struct vlm_bpe_trained all, some, again, none;
    assert_int_equal(left_out(&all, 1, 1 << 30), 0);
    uint64_t left = left_out(&some, 1, 4 << 20);
    assert_in_range(left, 1000, 19000);
    assert_int_equal(left_out(&again, 3, 4 << 20), left);
    assert_int_equal(some.n_merges, again.n_merges);
    assert_memory_equal(some.merges, again.merges, some.n_merges * sizeof(*some.merges));
    assert_int_equal(some.bytes, all.bytes);
    assert_int_equal(some.occurrences, all.occurrences);
    assert_int_equal(left_out(&none, 1, 0), 20000);
    assert_int_equal(none.n_merges, 0);
    vlm_bpe_trained_release(&all);
    vlm_bpe_trained_release(&some);
    vlm_bpe_trained_release(&again);
    vlm_bpe_trained_release(&none);
}

/* Words that occur millions of times keep their exact counts: the order of merges shows it. */
static void test_large_counts(void **state)
{
    (void)state;
    enum { OFTEN = 1 << 20 };
    struct vlm_bpe_trained trained;
    struct vlm_word_counts *counts = new_counts(1, 1 << 20, VLM_SPLIT_NONE);
    for (uint32_t i = 0; i < OFTEN + 3; i++) {
        add(counts, 0, "cd", 2);
        add(counts, 0, "ab", i < OFTEN + 2 ? 2 : 1);
        add(counts, 0, "ef", i < OFTEN - 1 ? 2 : 1);
        add(counts, 0, "abg", i < 2 ? 3 : 1);
    }
    end(counts);
    train(&trained, counts, 100, OFTEN);
    assert_int_equal(trained.n_merges, 2); /* ab 2^20 + 4 times, cd 2^20 + 3, ef 2^20 - 1 */
    assert_int_equal(trained.merges[0][0], number_of('a'));
    assert_int_equal(trained.merges[1][0], number_of('c'));
    assert_int_equal(trained.occurrences, 4 * ((uint64_t)OFTEN + 3));
    vlm_bpe_trained_release(&trained);
    vlm_word_counts_free(counts);
}

static void test_a_vocabulary_without_room(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_bpe_trained trained;
    struct vlm_word_counts *counts = new_counts(1, 1 << 20, VLM_SPLIT_GPT2);
    struct vlm_bpe_train_options options = { .vocab_size = 277,
                                             .n_specials = 22,
                                             .memory = 1 << 20 };
    add(counts, 0, "aaaa", 4);
    end(counts);
    assert_int_equal(vlm_bpe_train(&trained, counts, &options, &err), VLM_EUSAGE);
    assert_string_equal(err.msg, "a vocabulary of 277 has no room for 22 special tokens and 256 "
                                 "bytes: it takes at least 278");
    options.vocab_size = 278;
    assert_int_equal(vlm_bpe_train(&trained, counts, &options, &err), VLM_OK);
    assert_int_equal(trained.n_merges, 0);
    vlm_bpe_trained_release(&trained);
    vlm_word_counts_free(counts);
}

static void count_progress(void *context, uint32_t merges, uint32_t wanted)
{
    uint32_t *last = context;
    assert_true(merges > *last && merges <= wanted);
    *last = merges;
}

static void test_stop_and_progress(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_bpe_trained trained;
    volatile sig_atomic_t stop = 0;
    uint32_t last = 0;
    struct vlm_word_counts *counts = made_counts(1, 5000, 1 << 30);
    const struct vlm_bpe_train_options options = { .vocab_size = BYTES + 500,
                                                   .memory = 1 << 30,
                                                   .stop = &stop,
                                                   .progress = count_progress,
                                                   .context = &last };
    assert_int_equal(vlm_bpe_train(&trained, counts, &options, &err), VLM_OK);
    assert_in_range(last, 400, 500);
    vlm_bpe_trained_release(&trained);
    stop = 1;
    last = 0;
    assert_int_equal(vlm_bpe_train(&trained, counts, &options, &err), VLM_ESTOPPED);
    assert_in_range(last, 1, 499);
    assert_null(trained.merges);
    vlm_word_counts_free(counts);
}

/* What is written opens with the ids that training gave, special tokens in front. */
static void test_saved_file_opens(void **state)
{
    (void)state;
    static const char *const specials[] = { "<pad>", "\"quoted\\\"", "<mask:0>" };
    static const char text[] =
        "the thing, then the other thing\n\0 d\xc3\xa9j\xc3\xa0 vu \xff<pad>";
    struct vlm_err err = { 0 };
    struct vlm_bpe_trained trained;
    struct vlm_word_counts *counts = new_counts(1, 1 << 20, VLM_SPLIT_GPT2);
    const struct vlm_bpe_train_options options = {
        .vocab_size = BYTES + 3 + 20, .n_specials = 3, .min_count = 2, .memory = 1 << 20
    };
    for (unsigned i = 0; i < 2; i++)
        add(counts, 0, text, sizeof(text) - 1);
    end(counts);
    assert_int_equal(vlm_bpe_train(&trained, counts, &options, &err), VLM_OK);
    char *path = vlm_path_join(test_folder, "tokenizer.json");
    assert_int_equal(vlm_bpe_trained_save(&trained, specials, VLM_SPLIT_GPT2, path, &err), VLM_OK);

    struct vlm_text_tokenizer *tokenizer;
    struct vlm_text_encoder *encoder;
    struct vlm_tokens tokens = { 0 };
    struct vlm_buffer back = { 0 };
    assert_int_equal(vlm_text_tokenizer_open(&tokenizer, path, &err), VLM_OK);
    assert_int_equal(vlm_text_tokenizer_size(tokenizer), 3 + BYTES + trained.n_merges);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(vlm_text_tokenizer_added(tokenizer, specials[i]), i);
    for (uint32_t k = 0; k < trained.n_merges; k++) {
        struct vlm_bytes left = vlm_text_tokenizer_piece(tokenizer, trained.merges[k][0]);
        struct vlm_bytes right = vlm_text_tokenizer_piece(tokenizer, trained.merges[k][1]);
        struct vlm_bytes both = vlm_text_tokenizer_piece(tokenizer, 3 + BYTES + k);
        assert_int_equal(vlm_bytes_left(&both), vlm_bytes_left(&left) + vlm_bytes_left(&right));
        assert_memory_equal(both.at, left.at, vlm_bytes_left(&left));
        assert_memory_equal(both.at + vlm_bytes_left(&left), right.at, vlm_bytes_left(&right));
    }
    assert_int_equal(vlm_text_encoder_new(&encoder, tokenizer, &err), VLM_OK);
    assert_int_equal(vlm_text_encode(encoder, &tokens, text, sizeof(text) - 1, 0, &err), VLM_OK);
    assert_int_equal(vlm_text_decode(tokenizer, &back, tokens.ids, tokens.n, 0, &err), VLM_OK);
    assert_int_equal(back.size, sizeof(text) - 1);
    assert_memory_equal(back.data, text, back.size);
    assert_true(tokens.n < sizeof(text) - 10);

    vlm_text_encoder_free(encoder);
    vlm_text_tokenizer_close(tokenizer);
    vlm_tokens_release(&tokens);
    vlm_buffer_release(&back);
    vlm_bpe_trained_release(&trained);
    vlm_word_counts_free(counts);
    unlink(path);
    free(path);
}

/* GPT-2's words never hold a whole special token; text that is not cut may teach one. */
static void test_a_special_token_is_never_learnt(void **state)
{
    (void)state;
    static const char *const specials[] = { "<s>" };
    struct vlm_err err = { 0 };
    struct vlm_bpe_trained trained;
    struct vlm_word_counts *counts = new_counts(1, 1 << 20, VLM_SPLIT_NONE);
    const struct vlm_bpe_train_options options = { .vocab_size = BYTES + 1 + 20,
                                                   .n_specials = 1,
                                                   .memory = 1 << 20 };
    add(counts, 0, "<s>", 3);
    end(counts);
    assert_int_equal(vlm_bpe_train(&trained, counts, &options, &err), VLM_OK);
    char *path = vlm_path_join(test_folder, "tokenizer.json");
    assert_int_equal(vlm_bpe_trained_save(&trained, specials, VLM_SPLIT_GPT2, path, &err),
                     VLM_EUSAGE);
    assert_string_equal(err.msg, "the texts teach '<s>', which is a special token");
    assert_int_equal(access(path, F_OK), -1);
    free(path);
    vlm_bpe_trained_release(&trained);
    vlm_word_counts_free(counts);
}

/* Controls and masks are the first ids, as the vocabulary numbers them. */
static void test_shipped_tokenizer(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_text_tokenizer *tokenizer;
    assert_int_equal(vlm_text_tokenizer_open(&tokenizer, NULL, &err), VLM_OK);
    assert_int_equal(vlm_text_tokenizer_size(tokenizer), 8192);
    assert_true(vlm_text_tokenizer_is_bytewise(tokenizer));
    for (uint32_t i = 0; i < VLM_CONTROLS + VLM_MASKS_DEFAULT; i++) {
        char word[VLM_CONTROL_WORD_SIZE];
        assert_int_equal(vlm_text_tokenizer_added(tokenizer, vlm_vocabulary_word(word, i)), i);
    }
    vlm_text_tokenizer_close(tokenizer);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_merges_equal_a_plain_loop),
    cmocka_unit_test(test_runs_of_one_letter),
    cmocka_unit_test(test_counts_are_exact_for_any_threads),
    cmocka_unit_test(test_counts_are_exact_through_files),
    cmocka_unit_test(test_a_word_larger_than_the_memory),
    cmocka_unit_test(test_files_need_a_folder),
    cmocka_unit_test(test_the_rarest_words_are_left_out),
    cmocka_unit_test(test_large_counts),
    cmocka_unit_test(test_a_vocabulary_without_room),
    cmocka_unit_test(test_stop_and_progress),
    cmocka_unit_test(test_saved_file_opens),
    cmocka_unit_test(test_a_special_token_is_never_learnt),
    cmocka_unit_test(test_shipped_tokenizer),
};

int main(void)
{
    return cmocka_run_group_tests(tests, make_test_folder, remove_folder);
}
