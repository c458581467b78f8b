/* test_model_card.c - README.md and provenance.json: the facts stand there, and nothing that another machine
 * would write differently. */
#include "base/vlm.h"

#include "base/json.h"
#include "trainer/save/model_card.h"

#include <setjmp.h>

#include <cmocka.h>

static struct vlm_recipe recipe;
static struct vlm_model model;
static struct vlm_source_info first, second;
static const struct vlm_source_info *const sources[] = { &first, &second };
static struct vlm_evaluation_sums sums;

static int begin(void **state)
{
    struct vlm_err err = { 0 };
    (void)state;
    if (vlm_recipe_open(&recipe, "cm3", NULL, 0, &err) != VLM_OK)
        return -1;
    model.config = (struct vlm_model_config){
        .layer = vlm_layer_find("pre-ln"),
        .sizes = { .width = 128, .heads = 4, .kv_heads = 4, .head_size = 32, .hidden = 512 },
        .layers = 3,
        .vocabulary = 9000,
        .context = 512,
        .tied = true
    };
    model.count = 1234567;
    first = (struct vlm_source_info){ .folder = "/home/somebody/secret/news/",
                                      .weight = 0.75,
                                      .documents = 812,
                                      .digest = { 0xab, 0xcd },
                                      .generation = 2 };
    second = (struct vlm_source_info){
        .folder = "odd`|\n\"name", .weight = 0.25, .documents = 7, .generation = 1
    };
    sums = (struct vlm_evaluation_sums){ .documents = 11, .samples = 12 };
    return 0;
}

static struct vlm_model_card card(void)
{
    return (struct vlm_model_card){ .name = "/tmp/runs/first-run",
                                    .recipe = &recipe,
                                    .model = &model,
                                    .preset = "tiny",
                                    .source = sources,
                                    .n_sources = 2,
                                    .tokenizer = "bpe-0123456789ab",
                                    .image_tokenizer = "vq-xs-b0ab171131d4",
                                    .codes = 1024,
                                    .steps = 1000,
                                    .updates = 998,
                                    .tokens = 4096000,
                                    .documents = 1999,
                                    .batch_tokens = 4096,
                                    .learning_rate = 6e-4,
                                    .schedule = "cosine",
                                    .precision = "fp32",
                                    .validation = &sums,
                                    .validation_step = 1000,
                                    .seed = 42 };
}

typedef void (*writer)(struct vlm_buffer *out, const struct vlm_model_card *card);

/* The text, which the caller frees. */
static char *text_of(writer write, const struct vlm_model_card *facts)
{
    struct vlm_buffer out = { 0 };
    write(&out, facts);
    vlm_buffer_byte(&out, 0);
    assert_false(out.failed);
    return (char *)out.data;
}

static void has(const char *text, const char *what)
{
    if (!strstr(text, what))
        fail_msg("'%s' does not stand in:\n%s", what, text);
}

static void has_not(const char *text, const char *what)
{
    if (strstr(text, what))
        fail_msg("'%s' stands in:\n%s", what, text);
}

static void the_front_matter_is_yaml_of_hubs(void **state)
{
    struct vlm_model_card facts = card();
    char *text = text_of(vlm_model_card_write, &facts);
    const char *begins =
        "---\nlicense: unknown\npipeline_tag: any-to-any\ntags:\n- vlm\n- \"cm3\"\n"
        "datasets:\n- \"news\"\n- \"odd`|\\n\\\"name\"\n---\n\n# `first-run`\n";
    (void)state;
    assert_memory_equal(text, begins, strlen(begins));
    free(text);
    facts.license = "cc-by-4.0";
    facts.image_tokenizer = NULL;
    facts.n_sources = 0;
    text = text_of(vlm_model_card_write, &facts);
    begins = "---\nlicense: \"cc-by-4.0\"\npipeline_tag: text-generation\ntags:\n- vlm\n- \"cm3\"\n"
             "---\n";
    assert_memory_equal(text, begins, strlen(begins));
    has_not(text, "256 codes");
    free(text);
}

static void the_facts_stand_in_the_card(void **state)
{
    const struct vlm_model_card facts = card();
    char *text = text_of(vlm_model_card_write, &facts);
    (void)state;
    has(text, "1234567 parameters");
    has(text, "GPT2LMHeadModel, 3 layers of width 128");
    has(text, "| `news` | 812 | 0.75 | 2 | `abcd0000");
    has(text, "| `odd___\"name` | 7 | 0.25 | 1 |");
    has(text, "1000 steps of up to 4096 tokens, 998 of them updates");
    has(text, "vlm-serve -m .");
    has(text, "AutoModelForCausalLM");
    has(text, "at step 1000");
    has(text, "It must not be used to ");
    has_not(text, "secret");
    has_not(text, "/tmp");
    free(text);
}

static void its_commands_are_of_what_it_has_learned_from(void **state)
{
    static const struct {
        enum vlm_generate_method method;
        bool page, words, picture;
    } cases[] = { { VLM_GENERATE_INFILL, true, false, true },
                  { VLM_GENERATE_CONTINUE, false, true, false },
                  { VLM_GENERATE_CAPTION, false, false, true } };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        struct vlm_model_card facts = card();
        struct vlm_recipe changed = *facts.recipe;
        changed.method = cases[i].method;
        facts.recipe = &changed;
        char *text = text_of(vlm_model_card_write, &facts);
        (cases[i].page ? has : has_not)(text, "--text '<html lang=\"en\"><body><p>'");
        (cases[i].words ? has : has_not)(text, "'A page about' |");
        (cases[i].picture ? has : has_not)(text, "-m . photo.jpg");
        free(text);
    }
}

static void a_model_that_transformers_does_not_know_says_so(void **state)
{
    static const struct vlm_encoder_kind encoder = { .name = "codes" };
    struct vlm_model_card facts = card();
    struct vlm_model other = model;
    other.config.encoder = &encoder;
    facts.model = &other;
    facts.validation = NULL;
    char *text = text_of(vlm_model_card_write, &facts);
    (void)state;
    has(text, "VlmForConditionalGeneration");
    has(text, "`transformers` has no class for it");
    has(text, "It was not measured on documents that were held out.");
    has_not(text, "AutoModelForCausalLM");
    free(text);
}

static void provenance_is_json(void **state)
{
    const struct vlm_model_card facts = card();
    struct vlm_err err = { 0 };
    json_object *root, *data, *source;
    char *text = text_of(vlm_provenance_write, &facts);
    char *again = text_of(vlm_provenance_write, &facts);
    (void)state;
    assert_string_equal(text, again);
    if (vlm_json_parse(&root, text, strlen(text), &err) != VLM_OK)
        fail_msg("%s", err.msg);
    data = json_object_object_get(root, "data");
    assert_int_equal(json_object_array_length(data), 2);
    source = json_object_array_get_idx(data, 1);
    assert_string_equal(json_object_get_string(json_object_object_get(source, "name")),
                        "odd`|\n\"name");
    assert_int_equal(json_object_get_int(
                         json_object_object_get(json_object_object_get(root, "training"), "steps")),
                     1000);
    json_object_put(root);
    has_not(text, "secret");
    free(again);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_front_matter_is_yaml_of_hubs),
        cmocka_unit_test(the_facts_stand_in_the_card),
        cmocka_unit_test(its_commands_are_of_what_it_has_learned_from),
        cmocka_unit_test(a_model_that_transformers_does_not_know_says_so),
        cmocka_unit_test(provenance_is_json),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
