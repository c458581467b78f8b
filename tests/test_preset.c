/* test_preset.c - presets: what each holds together, and that models of these sizes have the numbers of
 * parameters that are published, or that their notes say. */
#include "base/vlm.h"

#include "models/model/model.h"
#include "models/recipe/preset.h"
#include "tokenize/sequence/vocabulary.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct vlm_preset *find(const char *name)
{
    const struct vlm_preset *preset = vlm_preset_find(name);
    assert_non_null(preset);
    return preset;
}

/* Numbers in a model of a preset, in the form of GPT-2, nothing being allocated. */
static size_t parameters(const struct vlm_preset *preset, enum vlm_position position,
                         size_t vocabulary)
{
    const struct vlm_model_config config = {
        .layer = vlm_layer_find("pre-ln"),
        .sizes = {
            .width = preset->width,
            .heads = preset->heads,
            .kv_heads = preset->heads,
            .head_size = preset->width / preset->heads,
            .hidden = preset->hidden,
            .biases = true,
            .norm_epsilon = 1e-5F,
            .position = position,
        },
        .layers = preset->layers,
        .vocabulary = vocabulary,
        .context = preset->block,
        .tied = true,
    };
    struct vlm_model model = { 0 };
    struct vlm_err err = { 0 };
    if (vlm_model_init(&model, &config, VLM_MODEL_COUNT, &err))
        fail_msg("%s: %s", preset->name, err.msg);
    const size_t count = model.count;
    vlm_model_release(&model);
    return count;
}

static void test_found_by_name(void **state)
{
    (void)state;
    size_t n = 0;
    const struct vlm_preset *preset;
    for (; (preset = vlm_preset_at(n)); n++)
        assert_ptr_equal(vlm_preset_find(preset->name), preset);
    assert_int_equal(n, 10);
    assert_null(vlm_preset_at(n));
    assert_null(vlm_preset_find("huge"));
    assert_null(vlm_preset_find(""));
}

static void test_names(void **state)
{
    (void)state;
    char names[VLM_PRESET_NAMES_SIZE];
    assert_string_equal(vlm_preset_names(names),
                        "tiny, mini, small, base, 350m, 760m, 1.3b, 2.7b, 6.7b, 13b");
}

static void test_numbers_go_together(void **state)
{
    (void)state;
    /* begin, end, an image, 16 masks of 3 tokens: less and a sampler of cm3 refuses it */
    const size_t least = 2 + 256 + 3 * VLM_MASKS_DEFAULT;
    const struct vlm_preset *preset, *before = NULL;
    for (size_t i = 0; (preset = vlm_preset_at(i)); i++) {
        assert_int_equal(preset->width % preset->heads, 0);
        assert_int_equal(preset->width / preset->heads % 2, 0); /* rotary turns pairs */
        assert_int_equal(preset->hidden, 4 * preset->width);
        assert_true(preset->block >= least);
        assert_int_equal(preset->batch_tokens % preset->block, 0);
        assert_true(preset->learning_rate > 0 && preset->learning_rate < 1e-2);
        assert_true(*preset->note);
        if (before) {
            assert_true(parameters(before, VLM_POSITION_SINUSOID, 9216) <
                        parameters(preset, VLM_POSITION_SINUSOID, 9216));
            assert_true(before->learning_rate >= preset->learning_rate);
        }
        before = preset;
    }
}

static void is_about(size_t count, double millions)
{
    if (fabs((double)count / 1e6 - millions) > 0.05 * millions)
        fail_msg("%zu parameters, expected %g million", count, millions);
}

static void test_published_sizes(void **state)
{
    (void)state;
    /* openai-community/gpt2: 124,439,808 with 50257 pieces and 1024 learned positions. */
    assert_int_equal(parameters(find("base"), VLM_POSITION_LEARNED, 50257), 124439808);
    /* GPT-3, table 2.1, and the names of the sizes; the vocabulary is GPT-2's. */
    is_about(parameters(find("350m"), VLM_POSITION_SINUSOID, 50257), 356);
    is_about(parameters(find("760m"), VLM_POSITION_SINUSOID, 50257), 760);
    is_about(parameters(find("1.3b"), VLM_POSITION_SINUSOID, 50257), 1320);
    is_about(parameters(find("2.7b"), VLM_POSITION_SINUSOID, 50257), 2650);
    is_about(parameters(find("6.7b"), VLM_POSITION_SINUSOID, 50257), 6660);
    is_about(parameters(find("13b"), VLM_POSITION_SINUSOID, 50257), 12850);
}

/* CM3, table 10. */
static void test_sizes_of_cm3(void **state)
{
    (void)state;
    const struct vlm_preset *medium = find("2.7b"), *large = find("13b");
    assert_int_equal(medium->layers, 32);
    assert_int_equal(medium->width, 2560);
    assert_int_equal(medium->hidden, 10240);
    assert_int_equal(medium->heads, 32);
    assert_int_equal(medium->batch_tokens, 240 * 8 * 2048);
    assert_int_equal(large->layers, 40);
    assert_int_equal(large->width, 5120);
    assert_int_equal(large->hidden, 20480);
    assert_int_equal(large->heads, 40);
    assert_int_equal(large->batch_tokens, 384 * 8 * 2048);
}

/* With the shipped tokenizers: 8192 pieces with control tokens, 1024 codes. Sinusoids are counted here, and
 * nowhere in the note. */
static void test_small_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double millions;
    } sizes[] = { { "tiny", 1.8 }, { "mini", 6.3 }, { "small", 24 } };
    struct vlm_text_tokenizer *tokenizer = NULL;
    static struct vlm_vocabulary vocabulary;
    struct vlm_err err = { 0 };
    const struct vlm_vocabulary_options options = { .n_codes = 1024 };
    assert_int_equal(vlm_text_tokenizer_open(&tokenizer, NULL, &err), VLM_OK);
    assert_int_equal(vlm_vocabulary_init(&vocabulary, tokenizer, &options, &err), VLM_OK);
    for (size_t i = 0; i < VLM_COUNTOF(sizes); i++) {
        const struct vlm_preset *preset = find(sizes[i].name);
        const size_t sinusoids = preset->block * preset->width;
        is_about(parameters(preset, VLM_POSITION_SINUSOID, vocabulary.size) - sinusoids,
                 sizes[i].millions);
    }
    vlm_text_tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_by_name),   cmocka_unit_test(test_numbers_go_together),
        cmocka_unit_test(test_published_sizes), cmocka_unit_test(test_sizes_of_cm3),
        cmocka_unit_test(test_small_sizes),     cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
