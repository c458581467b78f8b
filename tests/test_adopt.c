/* test_adopt.c - weights of one model folder as the beginning of another model (--init-from). */
#include "base/vlm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"
#include "tests/model_folder_fixture.h"
#include "tests/sequence_fixture.h"

static const struct fixture_form cm3 = { .name = "cm3",
                                         .recipe = "cm3",
                                         .layer = "pre-ln",
                                         .position = VLM_POSITION_SINUSOID,
                                         .heads = 4,
                                         .kv_heads = 4,
                                         .head_size = 6,
                                         .hidden = 96,
                                         .activation = VLM_GELU_TANH };

/* The folder that a form and a tokenizer make; NULL: the shipped one. */
static struct vlm_model_folder *folder_of(const struct fixture_form *form, bool small_tokenizer)
{
    struct fixture_model fixture;
    struct vlm_model_folder *folder;
    struct vlm_err err = { 0 };
    char *path = test_path(form->name);
    fixture_model_init(&fixture, form);
    if (small_tokenizer) {
        vlm_text_tokenizer_close(fixture.tokenizer);
        fixture.tokenizer = fixture_tokenizer(true);
        const struct vlm_vocabulary_options options = { .n_codes = FIXTURE_CODES };
        fixture_check(vlm_vocabulary_init(&fixture.vocabulary, fixture.tokenizer, &options, &err),
                      &err);
        vlm_model_release(&fixture.model);
        const struct vlm_model_config config = fixture_config(form, fixture.vocabulary.size);
        fixture_check(vlm_model_init(&fixture.model, &config, 0, &err), &err);
        vlm_model_fill(&fixture.model, 77);
    }
    fixture_check(vlm_folder_delete(path, &err), &err);
    fixture_model_write(&fixture, form, path);
    fixture_check(vlm_model_folder_open(&folder, path, 0, &err), &err);
    fixture_model_release(&fixture);
    free(path);
    return folder;
}

/* Fills the model with a number that no weight is. */
static void blank(struct vlm_model *model)
{
    for (size_t i = 0; i < model->n; i++)
        for (size_t k = 0; model->tensors[i].rank && k < vlm_tensor_count(&model->tensors[i]); k++)
            model->tensors[i].data[k] = 99;
}

static size_t not_blank(const struct vlm_model *model)
{
    size_t n = 0;
    for (size_t i = 0; i < model->n; i++)
        for (size_t k = 0; model->tensors[i].rank && k < vlm_tensor_count(&model->tensors[i]); k++)
            n += model->tensors[i].data[k] < 98;
    return n;
}

static size_t adopt(struct fixture_model *to, const struct vlm_model_folder *from)
{
    struct vlm_err err = { 0 };
    size_t taken = 0;
    if (vlm_model_folder_adopt(&to->model, &to->vocabulary, from, &taken, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    return taken;
}

static void same_row(const struct vlm_tensor *a, size_t i, const struct vlm_tensor *b, size_t k)
{
    const size_t cols = vlm_tensor_cols(a);
    assert_memory_equal(a->data + i * cols, b->data + k * cols, cols * sizeof(float));
}

static void test_same_model(void **state)
{
    (void)state;
    struct fixture_model to;
    struct vlm_model_folder *from = folder_of(&cm3, false);
    fixture_model_init(&to, &cm3);
    blank(&to.model);
    size_t taken = adopt(&to, from);
    /* All but the table of positions, which is computed. */
    assert_int_equal(taken, to.model.count - vlm_tensor_count(to.model.positions));
    assert_int_equal(taken, not_blank(&to.model));
    same_row(to.model.embed, 8200, from->model.embed, 8200);
    assert_memory_equal(to.model.trunk->data, from->model.trunk->data,
                        FIXTURE_WIDTH * sizeof(float));
    vlm_model_folder_close(from);
    fixture_model_release(&to);
}

/* A table of another length, an untied head, learned positions. */
static void test_positions_and_head(void **state)
{
    (void)state;
    struct fixture_form learned = cm3;
    learned.name = "learned";
    learned.position = VLM_POSITION_LEARNED;
    struct fixture_model to;
    struct vlm_err err = { 0 };
    struct vlm_model_folder *from = folder_of(&learned, false);
    learned.untied = true;
    fixture_model_init(&to, &learned);
    struct vlm_model_config config = to.model.config;
    config.context = 50;
    vlm_model_release(&to.model);
    fixture_check(vlm_model_init(&to.model, &config, 0, &err), &err);
    blank(&to.model);
    size_t taken = adopt(&to, from);
    assert_int_equal(taken, to.model.count - 10 * FIXTURE_WIDTH);
    assert_int_equal(taken, not_blank(&to.model));
    same_row(to.model.positions, 39, from->model.positions, 39);
    same_row(to.model.head, 4000, from->model.embed, 4000);
    fixture_model_release(&to);

    /* Into a model whose positions are computed they do not go. */
    fixture_model_init(&to, &cm3);
    blank(&to.model);
    taken = adopt(&to, from);
    assert_int_equal(taken, to.model.count - vlm_tensor_count(to.model.positions));
    assert_true(to.model.positions->data[0] > 98);
    fixture_model_release(&to);
    vlm_model_folder_close(from);
}

/* Ids of another tokenizer are found by what they stand for. */
static void test_other_tokenizer(void **state)
{
    (void)state;
    struct fixture_model to;
    struct vlm_tokens tokens = { 0 };
    struct vlm_text_encoder *encoder;
    struct vlm_err err = { 0 };
    struct vlm_model_folder *from = folder_of(&cm3, true);
    fixture_model_init(&to, &cm3);
    blank(&to.model);
    size_t taken = adopt(&to, from);
    assert_int_equal(taken, not_blank(&to.model));
    assert_true(taken < to.model.count);
    for (size_t i = 0; i < VLM_CONTROLS; i++)
        same_row(to.model.embed, to.vocabulary.control[i], from->model.embed,
                 from->vocabulary.control[i]);
    same_row(to.model.embed, to.vocabulary.mask[15], from->model.embed, from->vocabulary.mask[15]);
    same_row(to.model.embed, to.vocabulary.first_code + 7, from->model.embed,
             from->vocabulary.first_code + 7);
    /* "the" is a piece of both */
    fixture_check(vlm_text_encoder_new(&encoder, to.tokenizer, &err), &err);
    fixture_check(vlm_text_encode(encoder, &tokens, "the", 3, 0, &err), &err);
    assert_int_equal(tokens.n, 1);
    const uint32_t the = tokens.ids[0];
    tokens.n = 0;
    vlm_text_encoder_free(encoder);
    fixture_check(vlm_text_encoder_new(&encoder, from->tokenizer, &err), &err);
    fixture_check(vlm_text_encode(encoder, &tokens, "the", 3, 0, &err), &err);
    assert_int_equal(tokens.n, 1);
    assert_int_not_equal(the, tokens.ids[0]);
    same_row(to.model.embed, the, from->model.embed, tokens.ids[0]);
    vlm_text_encoder_free(encoder);
    /* Rows of pieces that only we have are as they were. */
    size_t left = 0;
    for (uint32_t id = 0; id < to.vocabulary.n_text; id++)
        left += to.model.embed->data[id * FIXTURE_WIDTH] > 98;
    assert_true(left > 7000 && left < to.vocabulary.n_text - 256);
    vlm_tokens_release(&tokens);
    fixture_model_release(&to);
    vlm_model_folder_close(from);
}

/* Codes of another codebook mean something else. */
static void test_other_codes(void **state)
{
    (void)state;
    struct fixture_model to;
    struct vlm_err err = { 0 };
    struct vlm_model_folder *from = folder_of(&cm3, false);
    fixture_model_init(&to, &cm3);
    const struct vlm_vocabulary_options options = { .n_codes = 2 * FIXTURE_CODES };
    fixture_check(vlm_vocabulary_init(&to.vocabulary, to.tokenizer, &options, &err), &err);
    const struct vlm_model_config config = fixture_config(&cm3, to.vocabulary.size);
    vlm_model_release(&to.model);
    fixture_check(vlm_model_init(&to.model, &config, 0, &err), &err);
    blank(&to.model);
    size_t taken = adopt(&to, from);
    assert_int_equal(taken, to.model.count - vlm_tensor_count(to.model.positions) -
                                2 * FIXTURE_CODES * FIXTURE_WIDTH);
    same_row(to.model.embed, 8191, from->model.embed, 8191);
    fixture_model_release(&to);
    vlm_model_folder_close(from);
}

/* A language model under an encoder that begins anew; then the whole. */
static void test_encoder(void **state)
{
    (void)state;
    struct fixture_model to;
    struct fixture_form sees = cm3;
    sees.name = "captioner";
    sees.recipe = "captioner";
    sees.sees = true;
    struct vlm_model_folder *from = folder_of(&cm3, false);
    fixture_model_init(&to, &sees);
    blank(&to.model);
    adopt(&to, from);
    for (struct vlm_tensor *t = to.model.encoder; t < to.model.tensors + to.model.n; t++)
        assert_true(t->data[0] > 98);
    vlm_model_folder_close(from);
    from = folder_of(&sees, false);
    blank(&to.model);
    assert_int_equal(adopt(&to, from), to.model.count - vlm_tensor_count(to.model.positions));
    vlm_model_folder_close(from);
    fixture_model_release(&to);
}

/* What transformers saved comes without a tokenizer: rows are those of the same id, or it is refused. */
static void test_without_tokenizer(void **state)
{
    (void)state;
    struct fixture_model to;
    struct vlm_model_folder *from;
    struct vlm_err err = { 0 };
    size_t taken;
    fixture_model_init(&to, &cm3);
    fixture_check(vlm_model_folder_open(&from, "tests/vectors/folder_gpt2", 0, &err), &err);
    struct vlm_model_config config = to.model.config;
    config.sizes.width = 9;
    config.sizes.heads = config.sizes.kv_heads = config.sizes.head_size = 3;
    config.sizes.hidden = 14;
    vlm_model_release(&to.model);
    fixture_check(vlm_model_init(&to.model, &config, 0, &err), &err);
    assert_int_equal(vlm_model_folder_adopt(&to.model, &to.vocabulary, from, &taken, &err),
                     VLM_EUSAGE);
    assert_non_null(
        strstr(err.msg, "it has no tokenizer and 19 ids, this model 8224, of which 8192 are text"));
    vlm_model_release(&to.model);
    config.vocabulary = 30;
    to.vocabulary.n_text = 19;
    fixture_check(vlm_model_init(&to.model, &config, 0, &err), &err);
    blank(&to.model);
    taken = adopt(&to, from);
    same_row(to.model.embed, 18, from->model.embed, 18);
    assert_true(to.model.embed->data[19 * 9] > 98);
    assert_int_equal(taken, to.model.count - (11 + 40) * 9);
    vlm_model_folder_close(from);
    fixture_model_release(&to);
}

static void test_shapes(void **state)
{
    (void)state;
    static const struct {
        size_t heads, head_size, hidden;
        enum vlm_activation activation;
        const char *layer, *sentence;
        enum vlm_position position;
    } cases[] = {
        { 3, 8, 96, VLM_GELU_TANH, "pre-ln", "heads: it has 4, this model 3",
          VLM_POSITION_SINUSOID },
        { 4, 6, 97, VLM_GELU_TANH, "pre-ln", "feed-forward part: it has 96, this model 97",
          VLM_POSITION_SINUSOID },
        { 4, 6, 96, VLM_RELU, "pre-ln", "its activation is gelu_new, this model's is relu",
          VLM_POSITION_SINUSOID },
        { 4, 6, 96, VLM_SILU, "llama", "its layers are 'pre-ln', this model's are 'llama'",
          VLM_POSITION_ROTARY },
        { 4, 6, 96, VLM_GELU_TANH, "pre-ln", "its positions are sinusoid, this model's are rotary",
          VLM_POSITION_ROTARY },
    };
    struct vlm_model_folder *from = folder_of(&cm3, false);
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct fixture_form form = cm3;
        struct fixture_model to;
        struct vlm_err err = { 0 };
        size_t taken;
        form.layer = cases[i].layer;
        form.heads = form.kv_heads = cases[i].heads;
        form.head_size = cases[i].head_size;
        form.hidden = cases[i].hidden;
        form.activation = cases[i].activation;
        form.position = cases[i].position;
        fixture_model_init(&to, &form);
        blank(&to.model);
        assert_int_equal(vlm_model_folder_adopt(&to.model, &to.vocabulary, from, &taken, &err),
                         VLM_EUSAGE);
        if (!strstr(err.msg, cases[i].sentence))
            fail_msg("%s\nexpected: %s", err.msg, cases[i].sentence);
        assert_int_equal(taken, 0);
        assert_int_equal(not_blank(&to.model), 0);
        fixture_model_release(&to);
    }
    vlm_model_folder_close(from);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_model),      cmocka_unit_test(test_positions_and_head),
        cmocka_unit_test(test_other_tokenizer), cmocka_unit_test(test_other_codes),
        cmocka_unit_test(test_encoder),         cmocka_unit_test(test_without_tokenizer),
        cmocka_unit_test(test_shapes),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
