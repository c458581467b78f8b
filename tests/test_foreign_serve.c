/* test_foreign_serve.c - the server of a folder that others saved, whose vocabulary is larger than its tokenizer, and whose
 * tokenizer has no end: all ids are the model's own. */
#include "base/vlm.h"

#include "tests/api_fixture.h"
#include "tests/sequence_fixture.h"

enum { BYTES = 256, IDS = 300 };

/* ---- the folder ---- */

static void write_file(const char *name, const struct vlm_buffer *text)
{
    struct vlm_err err = { 0 };
    char *path = vlm_path_join(it.path, name);
    fixture_check(vlm_file_write(path, text->data, text->size, &err), &err);
    free(path);
}

/* Byte-level, of the 256 bytes: no word is added. */
static void write_tokenizer(struct vlm_buffer *out)
{
    struct vlm_json json = { .out = out };
    struct vlm_buffer piece = { 0 };
    vlm_buffer_text(out,
                    "{\"added_tokens\": [], \"normalizer\": null, \"pre_tokenizer\": {\"type\": "
                    "\"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
                    "\"use_regex\": true}, \"post_processor\": null, \"decoder\": {\"type\": "
                    "\"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
                    "\"use_regex\": true}, \"model\": {\"type\": \"BPE\", \"merges\": [], "
                    "\"vocab\": ");
    vlm_json_open(&json, '{');
    for (unsigned i = 0; i < BYTES; i++) {
        vlm_buffer_reset(&piece);
        fixture_put(&piece, fixture_character(i));
        vlm_buffer_byte(&piece, 0);
        vlm_json_member_number(&json, (const char *)piece.data, i);
    }
    vlm_json_close(&json, '}');
    vlm_buffer_text(out, "}}");
    vlm_buffer_release(&piece);
}

/* A folder of ours, from which what others do not have is taken. */
static int start_foreign(void **state)
{
    const struct fixture_form *form = fixture_forms;
    struct vlm_err err = { 0 };
    struct vlm_buffer text = { 0 };
    (void)state;
    it = (struct fixture){ .path = test_path("foreign") };
    while (strcmp(form->name, "lm") != 0)
        form++;
    char *tokenizer = test_path("bytes.json"), *recipe = vlm_path_join(it.path, "recipe.ini");
    write_tokenizer(&text);
    fixture_check(vlm_file_write(tokenizer, text.data, text.size, &err), &err);
    fixture_check(vlm_text_tokenizer_open(&it.model.tokenizer, tokenizer, &err), &err);
    const struct vlm_vocabulary_options options = { .behind = IDS };
    fixture_check(vlm_vocabulary_init(&it.model.vocabulary, it.model.tokenizer, &options, &err),
                  &err);
    fixture_check(vlm_recipe_open(&it.model.recipe, form->recipe, NULL, 0, &err), &err);
    struct vlm_model_config config = fixture_config(form, IDS);
    config.tied = true;
    fixture_check(vlm_model_init(&it.model.model, &config, 0, &err), &err);
    vlm_model_fill(&it.model.model, 5);
    fixture_model_write(&it.model, form, it.path);
    vlm_buffer_reset(&text);
    vlm_buffer_printf(&text,
                      "{\"architectures\": [\"GPT2LMHeadModel\"], \"model_type\": \"gpt2\", "
                      "\"vocab_size\": %d, \"n_embd\": %zu, \"n_layer\": %zu, \"n_head\": %zu, "
                      "\"n_positions\": %zu, \"n_inner\": %zu, \"activation_function\": \"relu\", "
                      "\"layer_norm_epsilon\": 1e-05, \"tie_word_embeddings\": true}",
                      IDS, config.sizes.width, config.layers, config.sizes.heads, config.context,
                      config.sizes.hidden);
    write_file("config.json", &text);
    assert_int_equal(0, unlink(recipe));
    vlm_buffer_release(&text);
    free(recipe);
    free(tokenizer);
    return start_folder(NULL);
}

/* ---- tests ---- */

/* It started: its warm-up has no token that the model does not know. */
static void it_has_no_words_of_ours(void **state)
{
    struct answer props = ask_well("/props", NULL);
    struct answer ids = ask_well("/tokenize", "{\"content\":\"ab\",\"add_special\":true}");
    (void)state;
    assert_int_equal(IDS, number_at(&props, "n_vocab"));
    assert_string_equal("{ }", json_object_to_json_string(at(props.json, "control_tokens")));
    assert_string_equal("[ 97, 98 ]", json_object_to_json_string(at(ids.json, "tokens")));
    forget(&props);
    forget(&ids);
}

/* Ids that the tokenizer does not know can be prompted and drawn, the first and the last of them; they have no text. */
static void all_ids_are_its_own(void **state)
{
    static const uint32_t ids[] = { 'a', 'x', BYTES, BYTES + 2, IDS - 1 };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(ids); i++) {
        char body[256];
        snprintf(body, sizeof(body),
                 "{\"prompt\":[%" PRIu32 "],\"n_predict\":3,\"return_tokens\":true,\"seed\":1,"
                 "\"logit_bias\":{\"%" PRIu32 "\":100}}",
                 ids[i], ids[i]);
        struct answer answer = ask_well("/completion", body);
        json_object *drawn = at(answer.json, "tokens");
        assert_int_equal(3, json_object_array_length(drawn));
        for (size_t k = 0; k < 3; k++)
            assert_int_equal(ids[i], json_object_get_int64(json_object_array_get_idx(drawn, k)));
        assert_int_equal(ids[i] < BYTES, text_at(&answer, "content")[0] != 0);
        forget(&answer);
    }
    struct answer beyond = ask("/completion", "{\"prompt\":[300],\"n_predict\":1}");
    assert_int_equal(400, beyond.status);
    forget(&beyond);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_no_words_of_ours),
        cmocka_unit_test(all_ids_are_its_own),
    };
    signal(SIGPIPE, SIG_IGN);
    if (make_test_folder(NULL))
        return 1;
    int failed = cmocka_run_group_tests(tests, start_foreign, stop);
    return remove_test_folder(NULL) || failed;
}
