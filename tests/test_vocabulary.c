/* test_vocabulary.c - the layout of ids over several tokenizers. */
#include "base/vlm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sequence_fixture.h"

#include <unistd.h>

static int setup(void **state)
{
    *state = fixture_tokenizer(true);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    vlm_text_tokenizer_close(*state);
    return 0;
}

static void init(struct vlm_vocabulary *vocabulary, const struct vlm_text_tokenizer *tokenizer,
                 uint32_t n_codes, uint32_t n_masks)
{
    struct vlm_err err = { 0 };
    const struct vlm_vocabulary_options options = { .n_codes = n_codes, .n_masks = n_masks };
    if (vlm_vocabulary_init(vocabulary, tokenizer, &options, &err) != VLM_OK)
        fail_msg("%s", err.msg);
}

/* Every id has one meaning: it is text, or one control token, or one mask, or one code. */
static void check_layout(const struct vlm_vocabulary *vocabulary)
{
    const uint32_t n = vocabulary->size;
    uint8_t *used = calloc(n, 1);
    assert_non_null(used);
    for (size_t i = 0; i < VLM_CONTROLS; i++) {
        assert_true(vocabulary->control[i] < n);
        assert_int_equal(used[vocabulary->control[i]]++, 0);
        assert_int_equal(vlm_vocabulary_mask_number(vocabulary, vocabulary->control[i]), -1);
        assert_false(vlm_vocabulary_is_code(vocabulary, vocabulary->control[i]));
    }
    for (uint32_t i = 0; i < vocabulary->n_masks; i++) {
        assert_true(vocabulary->mask[i] < n);
        assert_int_equal(used[vocabulary->mask[i]]++, 0);
        assert_int_equal(vlm_vocabulary_mask_number(vocabulary, vocabulary->mask[i]), i);
    }
    size_t masks = 0, codes = 0;
    for (uint32_t id = 0; id < n; id++) {
        masks += vlm_vocabulary_mask_number(vocabulary, id) >= 0;
        codes += vlm_vocabulary_is_code(vocabulary, id);
        if (id >= vocabulary->n_text && id < vocabulary->first_code)
            assert_int_equal(used[id], 1); /* what follows the text is a control token or a mask */
    }
    assert_int_equal(masks, vocabulary->n_masks);
    assert_int_equal(codes, vocabulary->n_codes);
    assert_int_equal(vocabulary->first_code + vocabulary->n_codes, n);
    assert_false(vlm_vocabulary_is_code(vocabulary, n));
    assert_int_equal(vlm_vocabulary_mask_number(vocabulary, UINT32_MAX), -1);
    free(used);
}

static void controls_of_our_own_come_first(void **state)
{
    struct vlm_vocabulary vocabulary;
    init(&vocabulary, *state, 1024, 0);
    for (uint32_t i = 0; i < VLM_CONTROLS; i++)
        assert_int_equal(vocabulary.control[i], i);
    for (uint32_t i = 0; i < VLM_MASKS_DEFAULT; i++)
        assert_int_equal(vocabulary.mask[i], VLM_CONTROLS + i);
    assert_int_equal(vocabulary.n_masks, VLM_MASKS_DEFAULT);
    assert_int_equal(vocabulary.n_text, vlm_text_tokenizer_size(*state));
    assert_int_equal(vocabulary.first_code, vocabulary.n_text);
    check_layout(&vocabulary);
}

/* Masks that the tokenizer does not have follow the text. */
static void more_masks_than_the_tokenizer_has(void **state)
{
    struct vlm_vocabulary vocabulary;
    for (uint32_t n = 1; n <= VLM_MASKS_MAX; n = n < 20 ? n + 1 : 2 * n + 1) {
        init(&vocabulary, *state, 7, VLM_MIN(n, (uint32_t)VLM_MASKS_MAX));
        assert_int_equal(vocabulary.mask[0], VLM_CONTROLS);
        if (n > 16)
            assert_int_equal(vocabulary.mask[16], vocabulary.n_text);
        check_layout(&vocabulary);
    }
    init(&vocabulary, *state, 0, VLM_MASKS_MAX);
    assert_int_equal(vocabulary.size, vocabulary.n_text + VLM_MASKS_MAX - 16);
    check_layout(&vocabulary);
}

static void limits(void **state)
{
    struct vlm_vocabulary vocabulary;
    struct vlm_err err = { 0 };
    const struct vlm_vocabulary_options masks = { .n_masks = VLM_MASKS_MAX + 1 };
    const struct vlm_vocabulary_options codes = { .n_codes = 65536 };
    assert_int_equal(vlm_vocabulary_init(&vocabulary, *state, &masks, &err), VLM_EUSAGE);
    assert_string_equal(err.msg, "513 masks, at most 512 are possible");
    assert_int_equal(vlm_vocabulary_init(&vocabulary, *state, &codes, &err), VLM_EUSAGE);
    assert_string_equal(err.msg, "65536 image codes, at most 65535 are possible");
    init(&vocabulary, *state, 65535, VLM_MASKS_MAX);
}

/* The ids of a foreign model are its own, also those that its tokenizer does not know. */
static void controls_stand_behind_the_ids_of_others(void **state)
{
    struct vlm_text_tokenizer *tokenizer = fixture_tokenizer(false);
    struct vlm_vocabulary vocabulary;
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    (void)state;
    const uint32_t n = vlm_text_tokenizer_size(tokenizer), size = n + 40;
    const struct vlm_vocabulary_options options = { .behind = size };
    assert_int_equal(vlm_vocabulary_init(&vocabulary, tokenizer, &options, &err), VLM_OK);
    for (uint32_t i = 0; i < VLM_CONTROLS; i++)
        assert_int_equal(vocabulary.control[i], size + i);
    assert_int_equal(vocabulary.mask[0], size + VLM_CONTROLS);
    vocabulary.foreign = true;
    vocabulary.size = size;
    for (uint32_t id = n; id < size; id++) {
        assert_true(vlm_vocabulary_is_nameless(&vocabulary, id));
        assert_false(vlm_vocabulary_is_control(&vocabulary, id));
        assert_int_equal(vlm_vocabulary_mask_number(&vocabulary, id), -1);
    }
    assert_false(vlm_vocabulary_is_nameless(&vocabulary, n - 1));
    const uint32_t ids[] = { n - 1, size - 1, n, n - 1 };
    assert_int_equal(vlm_sequence_text(&text, &vocabulary, ids, 1, &err), VLM_OK);
    const size_t once = text.size;
    vlm_buffer_reset(&text);
    assert_int_equal(vlm_sequence_text(&text, &vocabulary, ids, 4, &err), VLM_OK);
    assert_int_equal(text.size, 2 * once);
    assert_true(once > 0);
    vlm_buffer_release(&text);
    vlm_text_tokenizer_close(tokenizer);
}

/* A tokenizer that finds its added words in all text must not lend them as control tokens. */
static void words_that_text_can_forge(void **state)
{
    struct vlm_vocabulary vocabulary;
    struct vlm_text_tokenizer *tokenizer = fixture_tokenizer(false);
    (void)state;
    assert_non_null(tokenizer);
    init(&vocabulary, tokenizer, 4, 0);
    for (uint32_t i = 0; i < VLM_CONTROLS; i++)
        assert_int_equal(vocabulary.control[i], vocabulary.n_text + i);
    assert_int_equal(vocabulary.mask[0], vocabulary.n_text + VLM_CONTROLS);
    check_layout(&vocabulary);
    vlm_text_tokenizer_close(tokenizer);
}

static void expect_token(const struct vlm_vocabulary *vocabulary, uint32_t id, const char *expected)
{
    struct vlm_buffer out = { 0 };
    bool known = vlm_vocabulary_token(&out, vocabulary, id);
    vlm_buffer_byte(&out, 0);
    if (expected)
        assert_string_equal((const char *)out.data, expected);
    assert_int_equal(known, expected != NULL);
    vlm_buffer_release(&out);
}

static void tokens_for_people(void **state)
{
    struct vlm_vocabulary vocabulary;
    char word[VLM_CONTROL_WORD_SIZE];
    init(&vocabulary, *state, 1024, 32);
    expect_token(&vocabulary, vocabulary.control[VLM_CONTROL_PAD], "<pad>");
    expect_token(&vocabulary, vocabulary.control[VLM_CONTROL_BEGIN], "<s>");
    expect_token(&vocabulary, vocabulary.control[VLM_CONTROL_END], "</s>");
    expect_token(&vocabulary, vocabulary.control[VLM_CONTROL_END_OF_SPAN], "<eoss>");
    expect_token(&vocabulary, vocabulary.control[VLM_CONTROL_IMAGE], "<image>");
    expect_token(&vocabulary, vocabulary.control[VLM_CONTROL_END_OF_CHUNK], "<EOC>");
    expect_token(&vocabulary, vocabulary.mask[0], "<mask:0>");
    expect_token(&vocabulary, vocabulary.mask[31], "<mask:31>");
    expect_token(&vocabulary, FIXTURE_BYTES + 'a', "a");
    expect_token(&vocabulary, FIXTURE_MERGES + 4, "the");
    expect_token(&vocabulary, vocabulary.first_code, "0 ");
    expect_token(&vocabulary, vocabulary.size - 1, "1023 ");
    expect_token(&vocabulary, vocabulary.size, NULL);
    assert_string_equal(vlm_vocabulary_word(word, VLM_CONTROLS + VLM_MASKS_MAX - 1), "<mask:511>");
}

static void open_shared(struct vlm_text_tokenizer **tokenizer, const char *names)
{
    const char *shared = getenv("VLM_SHARED_DATA");
    struct vlm_buffer path = { 0 };
    struct vlm_err err = { 0 };
    vlm_buffer_printf(&path, "%s/tokenizers/%s", shared ? shared : "../shared/data", names);
    vlm_buffer_byte(&path, 0);
    *tokenizer = NULL;
    bool there = !access((const char *)path.data, R_OK);
    if (there && vlm_text_tokenizer_open(tokenizer, (const char *)path.data, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    vlm_buffer_release(&path);
    if (!there) {
        print_message("skipped: the shared tokenizers are not here\n");
        skip();
    }
}

static void gpt2(void **state)
{
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    (void)state;
    open_shared(&tokenizer, "tokenizer-gpt2");
    init(&vocabulary, tokenizer, 1024, 0);
    assert_int_equal(vocabulary.n_text, 50257);
    assert_int_equal(vocabulary.control[VLM_CONTROL_END], 50256);
    assert_int_equal(vocabulary.control[VLM_CONTROL_PAD], 50257);
    assert_int_equal(vocabulary.control[VLM_CONTROL_BEGIN], 50258);
    assert_int_equal(vocabulary.control[VLM_CONTROL_END_OF_SPAN], 50259);
    assert_int_equal(vocabulary.control[VLM_CONTROL_IMAGE], 50260);
    assert_int_equal(vocabulary.control[VLM_CONTROL_END_OF_CHUNK], 50261);
    assert_int_equal(vocabulary.mask[0], 50262);
    assert_int_equal(vocabulary.first_code, 50262 + 16);
    assert_int_equal(vocabulary.size, 50262 + 16 + 1024);
    check_layout(&vocabulary);
    expect_token(&vocabulary, 50256, "</s>");
    expect_token(&vocabulary, 262, " the");
    vlm_text_tokenizer_close(tokenizer);
}

static void bert(void **state)
{
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_vocabulary vocabulary;
    (void)state;
    open_shared(&tokenizer, "tokenizer-bert/bert-base-uncased-vocab.txt");
    init(&vocabulary, tokenizer, 1024, 0);
    assert_int_equal(vocabulary.control[VLM_CONTROL_PAD], vocabulary.n_text);
    check_layout(&vocabulary);
    vlm_text_tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(controls_of_our_own_come_first),
        cmocka_unit_test(more_masks_than_the_tokenizer_has),
        cmocka_unit_test(limits),
        cmocka_unit_test(controls_stand_behind_the_ids_of_others),
        cmocka_unit_test(words_that_text_can_forge),
        cmocka_unit_test(tokens_for_people),
        cmocka_unit_test(gpt2),
        cmocka_unit_test(bert),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
