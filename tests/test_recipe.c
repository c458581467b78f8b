/* test_recipe.c - recipes: the shipped ones, what is refused and by which sentence, settings, limits, and that
 * what is written is read as the same recipe. Runs in the root of the tree, where models/recipes is. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/random.h"
#include "base/utf8.h"
#include "models/generate/prompt.h"
#include "models/recipe/recipe_internal.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

static const char *const shipped[] = { "cm3", "cm3-modern", "lm", "captioner" };

static void open_shipped(struct vlm_recipe *recipe, const char *name)
{
    struct vlm_err err = { 0 };
    if (vlm_recipe_open(recipe, name, NULL, 0, &err))
        fail_msg("%s", err.msg);
}

static void same_globs(const struct vlm_recipe_globs *a, const struct vlm_recipe_globs *b)
{
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++)
        assert_string_equal(a->list[i], b->list[i]);
}

static void same_sampling(const struct vlm_sampling *a, const struct vlm_sampling *b)
{
    assert_string_equal(a->recipe, b->recipe);
    assert_true(a->seed == b->seed);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->form, b->form);
    assert_int_equal(a->render_flags, b->render_flags);
    assert_int_equal(a->block, b->block);
    assert_true(a->mask.lambda == b->mask.lambda);
    assert_int_equal(a->mask.min, b->mask.min);
    assert_int_equal(a->mask.max, b->mask.max);
    assert_int_equal(a->mask.images, b->mask.images);
    assert_int_equal(a->mask.first_kept, b->mask.first_kept);
    assert_int_equal(a->overflow, b->overflow);
    assert_int_equal(a->without_end, b->without_end);
    assert_true(a->mask_weight == b->mask_weight);
    assert_int_equal(a->images_max, b->images_max);
    assert_true(a->next_share == b->next_share);
    assert_true(a->space_share == b->space_share);
    assert_int_equal(a->flamingo_labels, b->flamingo_labels);
}

static void same_recipe(const struct vlm_recipe *a, const struct vlm_recipe *b)
{
    assert_string_equal(a->name, b->name);
    same_sampling(&a->sampling, &b->sampling);
    assert_ptr_equal(a->encoder, b->encoder);
    assert_int_equal(a->encoder_layers, b->encoder_layers);
    assert_int_equal(a->encoder_width, b->encoder_width);
    assert_int_equal(a->encoder_heads, b->encoder_heads);
    assert_ptr_equal(a->bridge, b->bridge);
    assert_int_equal(a->bridge_length, b->bridge_length);
    assert_int_equal(a->position, b->position);
    assert_int_equal(a->tied, b->tied);
    assert_ptr_equal(a->layer, b->layer);
    assert_string_equal(a->preset, b->preset);
    for (size_t i = 0; i < VLM_MODALITIES; i++)
        assert_true(a->weight[i] == b->weight[i]);
    same_globs(&a->freeze, &b->freeze);
    same_globs(&a->train, &b->train);
    assert_int_equal(a->method, b->method);
    assert_int_equal(a->image_grammar, b->image_grammar);
    assert_int_equal(a->n_prompts, b->n_prompts);
    for (size_t i = 0; i < a->n_prompts; i++)
        assert_string_equal(a->prompts[i], b->prompts[i]);
}

/* Writing a recipe and reading it gives the same. */
static void comes_back(const struct vlm_recipe *recipe)
{
    static struct vlm_recipe again;
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    vlm_recipe_write(&text, recipe);
    assert_false(text.failed);
    if (vlm_recipe_parse(&again, "again", (const char *)text.data, text.size, NULL, 0, &err))
        fail_msg("%s", err.msg);
    same_recipe(recipe, &again);
    vlm_buffer_release(&text);
}

/* ---- the shipped ones ---- */

static void test_cm3(void **state)
{
    (void)state;
    static struct vlm_recipe recipe;
    open_shipped(&recipe, "cm3");
    assert_string_equal(recipe.sampling.recipe, "cm3");
    assert_true(recipe.sampling.mask.lambda == 1);
    assert_int_equal(recipe.sampling.mask.min, 0);
    assert_int_equal(recipe.sampling.mask.max, 16);
    assert_int_equal(recipe.sampling.mask.images, VLM_MASK_IMAGES_SNAP);
    assert_int_equal(recipe.sampling.block, 0);
    assert_true(recipe.sampling.mask_weight == 0);
    assert_null(recipe.encoder);
    assert_null(recipe.bridge);
    assert_int_equal(recipe.position, VLM_POSITION_SINUSOID);
    assert_true(recipe.tied);
    assert_ptr_equal(recipe.layer, vlm_layer_find("pre-ln"));
    assert_string_equal(recipe.preset, "");
    assert_int_equal(recipe.method, VLM_GENERATE_INFILL);
    assert_true(recipe.image_grammar);
    assert_int_equal(recipe.n_prompts, 5);
    assert_string_equal(
        recipe.prompts[0],
        "<html lang=\"en\"><body><img alt=\"<mask:0>\" src=\"{image}\"></body></html>");
    assert_string_equal(recipe.prompts[4], "<html lang=\"en\"><body><img src=\"");
}

/* cm3-modern is cm3 but for its layers and positions. */
static void test_cm3_modern(void **state)
{
    (void)state;
    static struct vlm_recipe paper, modern;
    open_shipped(&paper, "cm3");
    open_shipped(&modern, "cm3-modern");
    assert_int_equal(modern.position, VLM_POSITION_ROTARY);
    assert_ptr_equal(modern.layer, vlm_layer_find("llama"));
    modern.position = paper.position;
    modern.layer = paper.layer;
    snprintf(modern.name, sizeof(modern.name), "%s", "cm3");
    same_recipe(&paper, &modern);
}

static void test_lm(void **state)
{
    (void)state;
    static struct vlm_recipe recipe;
    open_shipped(&recipe, "lm");
    assert_int_equal(recipe.sampling.form, VLM_RENDER_TEXT);
    assert_true(recipe.sampling.mask.lambda == 0);
    assert_int_equal(recipe.position, VLM_POSITION_LEARNED);
    assert_int_equal(recipe.method, VLM_GENERATE_CONTINUE);
    assert_null(recipe.encoder);
}

static void test_captioner(void **state)
{
    (void)state;
    static struct vlm_recipe recipe;
    open_shipped(&recipe, "captioner");
    assert_int_equal(recipe.sampling.form, VLM_RENDER_PAIR);
    assert_ptr_equal(recipe.encoder, vlm_encoder_find("codes"));
    assert_non_null(recipe.encoder);
    assert_ptr_equal(recipe.bridge, vlm_bridge_find("prefix"));
    assert_non_null(recipe.bridge);
    assert_int_equal(recipe.encoder_width, 0);
    assert_int_equal(recipe.bridge_length, 16);
    assert_int_equal(recipe.method, VLM_GENERATE_CAPTION);
}

/* The programs hold the files of the folder, all of them, as they are. */
static void test_shipped_files(void **state)
{
    (void)state;
    glob_t files;
    struct vlm_recipe *recipe = calloc(1, sizeof(*recipe));
    assert_non_null(recipe);
    assert_int_equal(glob("models/recipes/*.ini", 0, NULL, &files), 0);
    assert_int_equal(files.gl_pathc, VLM_COUNTOF(shipped));
    char names[256] = "";
    for (size_t i = 0; i < VLM_COUNTOF(shipped); i++) {
        char path[128];
        struct vlm_err err = { 0 };
        struct vlm_buffer text = { 0 };
        size_t size = 0;
        snprintf(path, sizeof(path), "models/recipes/%s.ini", shipped[i]);
        assert_int_equal(vlm_file_read(&text, path, VLM_RECIPE_FILE_MAX, &err), VLM_OK);
        const char *inside = vlm_recipe_shipped(shipped[i], &size);
        assert_non_null(inside);
        assert_int_equal(size, text.size);
        assert_memory_equal(inside, text.data, size);
        vlm_buffer_release(&text);
        open_shipped(recipe, path);
        assert_string_equal(recipe->name, shipped[i]);
        comes_back(recipe);
        const size_t n = strlen(names);
        snprintf(names + n, sizeof(names) - n, "%s%s", i ? " " : "", shipped[i]);
    }
    assert_string_equal(names, vlm_recipe_names());
    globfree(&files);
    free(recipe);
}

/* Prompts that training shows are prompts: every one can be made for the vocabulary that its model has, and a
 * mask is a mask there. */
static void test_prompts(void **state)
{
    (void)state;
    static struct vlm_recipe recipe;
    static struct vlm_vocabulary vocabulary;
    static uint16_t codes[VLM_IMAGE_CODES];
    struct vlm_text_tokenizer *tokenizer = NULL;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_text_tokenizer_open(&tokenizer, NULL, &err), VLM_OK);
    for (size_t i = 0; i < VLM_COUNTOF(shipped); i++) {
        struct vlm_sequencer *sequencer = NULL;
        open_shipped(&recipe, shipped[i]);
        const struct vlm_vocabulary_options options = { .n_codes = recipe.encoder ? 0 : 1024 };
        assert_int_equal(vlm_vocabulary_init(&vocabulary, tokenizer, &options, &err), VLM_OK);
        assert_int_equal(vlm_sequencer_new(&sequencer, &vocabulary, &err), VLM_OK);
        for (size_t j = 0; j < recipe.n_prompts; j++) {
            const char *text = recipe.prompts[j];
            const size_t n = strlen(text), n_images = vlm_prompt_images(text, n);
            struct vlm_prompt prompt = { 0 };
            size_t n_masks = 0;
            assert_true(n_images <= 1);
            if (vlm_prompt_make(&prompt, sequencer, &vocabulary, &recipe, text, n, codes, n_images,
                                &err))
                fail_msg("%s, prompt %zu: %s", shipped[i], j, err.msg);
            for (size_t k = 0; k < prompt.sequence.n; k++)
                n_masks += vlm_vocabulary_mask_number(&vocabulary, prompt.sequence.ids[k]) >= 0;
            assert_int_equal(n_masks, strstr(text, "<mask:0>") ? 1 : 0);
            assert_true(prompt.sequence.n < 306); /* the smallest block that holds an image */
            vlm_prompt_release(&prompt);
        }
        vlm_sequencer_free(sequencer);
    }
    vlm_text_tokenizer_close(tokenizer);
}

/* ---- what is refused ---- */

#define MINIMAL                                                                                    \
    "[system]\nname = x\n[data]\nrender = cm3\n[embed]\nposition = learned\n[trunk]\nlayer = "     \
    "pre-ln\n"

static void refuses_with(const char *text, size_t size, const char *const *settings, size_t n,
                         const char *sentence)
{
    static struct vlm_recipe recipe;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_recipe_parse(&recipe, "f", text, size, settings, n, &err), VLM_EUSAGE);
    assert_string_equal(err.msg, sentence);
}

static void refuses(const char *text, const char *sentence)
{
    refuses_with(text, strlen(text), NULL, 0, sentence);
}

/* Lines 9 and on of a recipe that is whole without them. */
static void refuses_line(const char *line, const char *sentence)
{
    char text[8192];
    snprintf(text, sizeof(text), MINIMAL "%s\n", line);
    refuses(text, sentence);
}

static void takes_line(const char *line)
{
    static struct vlm_recipe recipe;
    static char text[VLM_RECIPE_FILE_MAX];
    struct vlm_err err = { 0 };
    snprintf(text, sizeof(text), MINIMAL "%s\n", line);
    if (vlm_recipe_parse(&recipe, "f", text, strlen(text), NULL, 0, &err))
        fail_msg("%s", err.msg);
    comes_back(&recipe);
}

static void test_names(void **state)
{
    (void)state;
    refuses_line("[dta]", "f, line 9: there is no section [dta]; did you mean [data]?");
    refuses_line("[zzzz]", "f, line 9: there is no section [zzzz], only " VLM_RECIPE_SECTIONS);
    refuses_line("[data]\nlamda = 1",
                 "f, line 10: there is no key 'lamda' in [data]; did you mean 'lambda'?");
    refuses_line("[data]\nzzzz = 1", "f, line 10: there is no key 'zzzz' in [data]");
    refuses_line("layer = llama", "f, line 9: key 'layer' of [trunk] was set in line 8 already");
    refuses_line("[data]\nrender = cm3",
                 "f, line 10: key 'render' of [data] was set in line 4 already");
    refuses_line("[data]\nblock = 512\nwindow = 512",
                 "f, line 11: key 'window' of [data] was set in line 10 already");
    refuses("a = 1\n", "f, line 1: key 'a' stands before any [section]");
    refuses_line("word", "f, line 9: 'word' is neither [section] nor key = value");
}

static void test_values(void **state)
{
    (void)state;
    refuses("[data]\nrender = htl\n", "f, line 2: data.render = \"htl\" is none of "
                                      "cm3|htlm|text|m3w|pair; did you mean \"htlm\"?");
    refuses_line("[encoder]\nblock = code",
                 "f, line 10: encoder.block = \"code\" is none of codes, none; did you mean "
                 "\"codes\"?");
    refuses_line("[bridge]\nblock = x", "f, line 10: bridge.block = \"x\" is none of prefix, none");
    refuses("[data]\nrender = cm3\n[trunk]\nlayer = lama\n",
            "f, line 4: trunk.layer = \"lama\" is none of pre-ln, llama; did you mean \"llama\"?");
    refuses_line("mask = full", "f, line 9: trunk.mask = \"full\" is none of causal");
    refuses_line("size = tiy",
                 "f, line 9: trunk.size = \"tiy\" is none of @preset, tiny, mini, small, base, "
                 "350m, 760m, 1.3b, 2.7b, 6.7b, 13b; did you mean \"tiny\"?");
    refuses("[data]\nrender = cm3\n[embed]\nposition = rotery\n",
            "f, line 4: embed.position = \"rotery\" is none of sinusoid|learned|rotary; did you "
            "mean \"rotary\"?");
    refuses_line("[embed]\ntied = yes", "f, line 10: embed.tied = \"yes\" is none of 0|1");
    refuses_line("[encoder]\nlayers = many",
                 "f, line 10: encoder.layers = \"many\" is no whole number from 0 to 256");
    refuses_line("[encoder]\nlayers = -1",
                 "f, line 10: encoder.layers = \"-1\" is no whole number from 0 to 256");
    refuses_line("[encoder]\nlayers = 1.5",
                 "f, line 10: encoder.layers = \"1.5\" is no whole number from 0 to 256");
    refuses_line("[encoder]\nwidth = trunk",
                 "f, line 10: encoder.width = \"trunk\" is no whole number from 1 to 65536, nor "
                 "@trunk");
    refuses_line("[bridge]\nlength = 99999999999999999999999",
                 "f, line 10: bridge.length = \"99999999999999999999999\" is no whole number from "
                 "1 to 256");
    refuses_line("[objective]\nweight.text = nan",
                 "f, line 10: objective.weight.text = \"nan\" is no number from 0 to 100");
    refuses_line("[objective]\nweight.text = -0.5",
                 "f, line 10: objective.weight.text = \"-0.5\" is no number from 0 to 100");
    refuses_line("[data]\nlambda = lots",
                 "f, line 10: data.lambda = \"lots\" is no number from 0 to 64");
    refuses_line("[data]\np_next = 0.5", "f, line 10: recipe \"cm3\" has no data.p_next");
    refuses_line("[train]\nfreeze = a\xc3\xa9",
                 "f, line 10: train.freeze = \"a\xc3\xa9\" is no list of names like "
                 "trunk.*.weight");
    refuses("[system]\nname = a b\n[data]\nrender = cm3\n",
            "f, line 2: system.name = \"a b\" is no name of 1 to 63 letters, digits, '.', '_' and "
            "'-'");
    refuses_line("[generate]\nprompt = \"\\n\"\nmethod = infil",
                 "f, line 11: generate.method = \"infil\" is none of continue|infill|caption; did "
                 "you mean \"infill\"?");
    /* A long value is shown by its beginning. */
    char line[512], sentence[512];
    snprintf(line, sizeof(line), "[embed]\ntied = %0300d", 1);
    snprintf(sentence, sizeof(sentence), "f, line 10: embed.tied = \"%060d...\" is none of 0|1", 0);
    refuses_line(line, sentence);
}

static void test_what_must_be_there(void **state)
{
    (void)state;
    refuses("", "f: key 'render' is missing in [data]");
    refuses("[data]\nrender = cm3\n", "f: key 'name' is missing in [system]");
    refuses("[data]\nrender = cm3\n[system]\nname = x\n",
            "f: key 'position' is missing in [embed]");
    refuses("[data]\nrender = cm3\n[system]\nname = x\n[embed]\nposition = learned\n",
            "f: key 'layer' is missing in [trunk]");
    refuses_line("[encoder]\nblock = codes\n[bridge]\nblock = prefix\nlength = 16",
                 "f: key 'layers' is missing in [encoder]");
    refuses_line("[encoder]\nlayers = 2", "f: key 'block' is missing in [encoder]");
    refuses_line("[bridge]\nlength = 16", "f: key 'block' is missing in [bridge]");
}

#define ENCODER "[encoder]\nblock = codes\nlayers = 2\nwidth = 128\nheads = 4\n"

static void test_what_must_go_together(void **state)
{
    (void)state;
    refuses_line(ENCODER, "f: there is a block in [encoder], but none in [bridge]");
    refuses_line("[bridge]\nblock = prefix\nlength = 16",
                 "f: there is a block in [bridge], but none in [encoder]");
    refuses_line(ENCODER "[bridge]\nblock = prefix", "f: key 'length' is missing in [bridge]");
    refuses_line(ENCODER "[bridge]\nblock = prefix\nlength = 16",
                 "f: an [encoder] sees images of data.render = pair or m3w, not of cm3");
    refuses(
        "[data]\nrender = pair\n[system]\nname = x\n[embed]\nposition = learned\n[trunk]\nlayer = "
        "pre-ln\n[encoder]\nblock = codes\nlayers = 2\nwidth = 128\nheads = 3\n[bridge]\nblock = "
        "prefix\nlength = 16\n",
        "f: encoder.width = 128 is no multiple of 3 heads");
    refuses_line("[data]\nmin = 17", "f: data.min = 17 masks is more than data.max = 16");
}

static void test_what_is_no_recipe(void **state)
{
    (void)state;
    refuses_with("\xff\xfe[\0s\0", 6, NULL, 0, "f is text in UTF-16, not in UTF-8");
    refuses_with("\0\1\2", 3, NULL, 0, "f, line 1: a byte 0x00, which text does not have");
    refuses("[data]\nrender = \xff\n", "f, line 2: the text is not UTF-8");
    static struct vlm_recipe recipe;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_recipe_open(&recipe, "cm33", NULL, 0, &err), VLM_EUSAGE);
    assert_string_equal(err.msg, "there is no recipe \"cm33\", only cm3 cm3-modern lm captioner; "
                                 "did you mean \"cm3\"?");
    assert_int_equal(vlm_recipe_open(&recipe, "unheard", NULL, 0, &err), VLM_EUSAGE);
    assert_string_equal(err.msg, "there is no recipe \"unheard\", only cm3 cm3-modern lm "
                                 "captioner; a path has a '/' or ends in .ini");
    assert_int_equal(vlm_recipe_open(&recipe, "none.ini", NULL, 0, &err), VLM_EUSAGE);
    assert_string_equal(err.msg, "cannot open 'none.ini': No such file or directory");
    assert_int_equal(vlm_recipe_open(&recipe, "models/", NULL, 0, &err), VLM_EUSAGE);
}

static void test_windows_text(void **state)
{
    (void)state;
    static struct vlm_recipe plain, windows;
    static const char text[] = MINIMAL;
    struct vlm_buffer crlf = { 0 };
    struct vlm_err err = { 0 };
    vlm_buffer_text(&crlf, "\xef\xbb\xbf");
    for (const char *p = text; *p; p++)
        vlm_buffer_text(&crlf, *p == '\n' ? "\r\n" : (char[]){ *p, 0 });
    assert_int_equal(vlm_recipe_parse(&plain, "f", text, strlen(text), NULL, 0, &err), VLM_OK);
    assert_int_equal(
        vlm_recipe_parse(&windows, "f", (const char *)crlf.data, crlf.size, NULL, 0, &err), VLM_OK);
    same_recipe(&plain, &windows);
    vlm_buffer_release(&crlf);
}

/* ---- settings ---- */

static void refuses_setting(const char *setting, const char *sentence)
{
    refuses_with(MINIMAL, strlen(MINIMAL), &setting, 1, sentence);
}

static void test_settings_refused(void **state)
{
    (void)state;
    refuses_setting("lambda=0", "setting 'lambda=0': this is not SECTION.KEY=VALUE");
    refuses_setting("data.lambda", "setting 'data.lambda': this is not SECTION.KEY=VALUE");
    refuses_setting("dat.lambda=0",
                    "setting 'dat.lambda=0': there is no section [dat]; did you mean [data]?");
    refuses_setting("data.lamda=0",
                    "setting 'data.lamda=0': there is no key 'lamda' in [data]; did you mean "
                    "'lambda'?");
    refuses_setting("data.lambda=",
                    "setting 'data.lambda=': data.lambda = \"\" is no number from 0 to 64");
    refuses_setting("trunk.layer=lama",
                    "setting 'trunk.layer=lama': trunk.layer = \"lama\" is none of pre-ln, llama; "
                    "did you mean \"llama\"?");
    refuses_setting("data.min=17", "f: data.min = 17 masks is more than data.max = 16");
    refuses_setting("generate.prompt=\x1b[2J",
                    "setting 'generate.prompt= [2J': generate.prompt is not UTF-8 text, or has "
                    "control characters besides \\n, \\r, \\t");
    refuses_setting(
        "generate.prompt=\xff",
        "setting 'generate.prompt=...': generate.prompt is not UTF-8 text, or has control "
        "characters besides \\n, \\r, \\t");
}

static void test_settings_override(void **state)
{
    (void)state;
    static struct vlm_recipe recipe, plain;
    static const char *const settings[] = {
        "data.lambda=2",
        "data.lambda=0",
        "trunk.size=mini",
        "train.freeze=embed.*",
        "objective.weight.image=0.5",
        "generate.prompt=a",
        "generate.prompt= b ; c",
        "embed.tied=0",
        "system.name=mine",
    };
    struct vlm_err err = { 0 };
    open_shipped(&plain, "cm3");
    if (vlm_recipe_open(&recipe, "cm3", settings, VLM_COUNTOF(settings), &err))
        fail_msg("%s", err.msg);
    assert_true(recipe.sampling.mask.lambda == 0); /* the last counts */
    assert_string_equal(recipe.preset, "mini");
    assert_int_equal(recipe.freeze.n, 1);
    assert_true(recipe.weight[VLM_MODALITY_IMAGE] == 0.5);
    assert_int_equal(recipe.n_prompts, 2); /* instead of the file's */
    assert_string_equal(recipe.prompts[0], "a");
    assert_string_equal(recipe.prompts[1], " b ; c");
    assert_false(recipe.tied);
    assert_string_equal(recipe.name, "mine");
    assert_int_equal(recipe.sampling.mask.images, plain.sampling.mask.images);
    comes_back(&recipe);
}

/* What a file says of samples is said for its render: another one begins anew. */
static void test_settings_of_render(void **state)
{
    (void)state;
    static struct vlm_recipe recipe;
    static const char *const pairs[] = { "data.window=64", "data.render=pair" };
    static const char *const same[] = { "data.render=cm3" };
    struct vlm_err err = { 0 };
    if (vlm_recipe_open(&recipe, "cm3", pairs, VLM_COUNTOF(pairs), &err))
        fail_msg("%s", err.msg);
    assert_string_equal(recipe.sampling.recipe, "pair");
    assert_int_equal(recipe.sampling.block, 64);
    comes_back(&recipe);
    if (vlm_recipe_open(&recipe, "cm3", same, VLM_COUNTOF(same), &err))
        fail_msg("%s", err.msg);
    assert_int_equal(recipe.sampling.mask.images, VLM_MASK_IMAGES_SNAP);
}

/* A written recipe, line by line as settings over another one, gives the first. */
static void test_written_recipe_as_settings(void **state)
{
    (void)state;
    static struct vlm_recipe captioner, recipe;
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    static char line[64][256];
    const char *settings[64];
    size_t n = 0;
    char section[32] = "";
    open_shipped(&captioner, "captioner");
    vlm_recipe_write(&text, &captioner);
    vlm_buffer_byte(&text, 0);
    char *rest = (char *)text.data;
    for (char *at; (at = strsep(&rest, "\n"));) {
        char *equals = strstr(at, " =");
        if (*at == '[')
            snprintf(section, sizeof(section), "%.*s", (int)strcspn(at + 1, "]"), at + 1);
        if (!equals)
            continue;
        snprintf(line[n], sizeof(line[n]), "%s.%.*s=%s", section, (int)(equals - at), at,
                 equals[2] ? equals + 3 : "");
        settings[n] = line[n];
        n++;
    }
    if (vlm_recipe_open(&recipe, "cm3", settings, n, &err))
        fail_msg("%s", err.msg);
    same_recipe(&captioner, &recipe);
    vlm_buffer_release(&text);
}

static void test_switches_of_cm3(void **state)
{
    (void)state;
    static const char *const releases[] = { "fairseq", "metaseq", "cm3leon" };
    static struct vlm_recipe recipe;
    struct vlm_err err = { 0 };
    char setting[64];
    for (size_t i = 0; i < VLM_COUNTOF(releases); i++) {
        snprintf(setting, sizeof(setting), "cm3.release=%s", releases[i]);
        const char *const settings[] = { setting, "data.max=32" };
        assert_int_equal(vlm_recipe_open(&recipe, "cm3", settings, 2, &err), VLM_OK);
        assert_int_equal(recipe.sampling.mask.max, 32);
        assert_int_equal(recipe.sampling.without_end, i == 0);
        assert_int_equal(recipe.sampling.mask.first_kept, i == 2);
        comes_back(&recipe);
    }
    const char *const paper[] = { "cm3.paper=1" };
    assert_int_equal(vlm_recipe_open(&recipe, "cm3", paper, 1, &err), VLM_OK);
    assert_int_equal(recipe.sampling.mask.min, 1);
    assert_int_equal(recipe.sampling.mask.images, VLM_MASK_IMAGES_FREE);
    comes_back(&recipe);
}

/* ---- limits ---- */

static void test_size_of_the_file(void **state)
{
    (void)state;
    static struct vlm_recipe recipe;
    static char text[VLM_RECIPE_FILE_MAX + 1];
    char *path = new_file(), sentence[128];
    assert_non_null(path);
    memset(text, '\n', sizeof(text));
    memcpy(text, MINIMAL, strlen(MINIMAL));
    for (size_t size = VLM_RECIPE_FILE_MAX - 1; size <= VLM_RECIPE_FILE_MAX + 1; size++) {
        struct vlm_err err = { 0 };
        const int expected = size > VLM_RECIPE_FILE_MAX ? VLM_EUSAGE : VLM_OK;
        assert_int_equal(vlm_recipe_parse(&recipe, "f", text, size, NULL, 0, &err), expected);
        if (expected) {
            snprintf(sentence, sizeof(sentence), "f has %zu bytes, a recipe at most %zu", size,
                     VLM_RECIPE_FILE_MAX);
            assert_string_equal(err.msg, sentence);
        }
        assert_int_equal(vlm_file_write(path, text, size, &err), VLM_OK);
        assert_int_equal(vlm_recipe_open(&recipe, path, NULL, 0, &err), expected);
    }
    unlink(path);
    free(path);
}

/* n characters in the place of the %s of a line. */
static void with_length(char *line, size_t size, const char *format, size_t n)
{
    static char filler[2048];
    assert_true(n < sizeof(filler));
    memset(filler, 'w', n);
    filler[n] = 0;
    const char *hole = strstr(format, "%s");
    snprintf(line, size, "%.*s%s%s", (int)(hole - format), format, filler, hole + 2);
}

static void test_lengths(void **state)
{
    (void)state;
    char line[4096];
    with_length(line, sizeof(line), "[generate]\nprompt = %s", VLM_RECIPE_PROMPT_SIZE - 1);
    takes_line(line);
    with_length(line, sizeof(line), "[generate]\nprompt = %s", VLM_RECIPE_PROMPT_SIZE);
    refuses_line(line, "f, line 10: generate.prompt has 1024 bytes, at most 1023 are read");
    with_length(line, sizeof(line), "[train]\nfreeze = a, %s", VLM_RECIPE_NAME_SIZE - 1);
    takes_line(line);
    with_length(line, sizeof(line), "[train]\nfreeze = a, %s", VLM_RECIPE_NAME_SIZE);
    refuses_line(line, "f, line 10: train.freeze = "
                       "\"a, wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww...\": at "
                       "most 16 names of 63 bytes each");
    static struct vlm_recipe recipe;
    struct vlm_err err = { 0 };
    with_length(line, sizeof(line), "system.name=%s", VLM_RECIPE_NAME_SIZE - 1);
    const char *setting = line;
    assert_int_equal(vlm_recipe_open(&recipe, "cm3", &setting, 1, &err), VLM_OK);
    assert_int_equal(strlen(recipe.name), VLM_RECIPE_NAME_SIZE - 1);
    comes_back(&recipe);
    with_length(line, sizeof(line), "system.name=%s", VLM_RECIPE_NAME_SIZE);
    assert_int_equal(vlm_recipe_open(&recipe, "cm3", &setting, 1, &err), VLM_EUSAGE);
}

/* "HEAD" and a text n times. */
static void repeated(char *line, size_t size, const char *head, const char *text, size_t n)
{
    snprintf(line, size, "%s", head);
    for (size_t i = 0; i < n; i++) {
        const size_t used = strlen(line);
        snprintf(line + used, size - used, "%s", text);
    }
}

static void test_numbers_of(void **state)
{
    (void)state;
    char line[1024];
    repeated(line, sizeof(line), "[generate]", "\nprompt = x", VLM_RECIPE_PROMPTS_MAX);
    takes_line(line);
    repeated(line, sizeof(line), "[generate]", "\nprompt = x", VLM_RECIPE_PROMPTS_MAX + 1);
    refuses_line(line, "f, line 26: more than 16 values of generate.prompt");
    repeated(line, sizeof(line), "[train]\ntrain = ", "a.*,", VLM_RECIPE_GLOBS_MAX);
    takes_line(line);
    repeated(line, sizeof(line), "[train]\ntrain = ", "a,", VLM_RECIPE_GLOBS_MAX + 1);
    refuses_line(line, "f, line 10: train.train = \"a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,\": at most "
                       "16 names of 63 bytes each");
}

/* The ends of the range of each count, and what is beyond. */
static void test_ranges(void **state)
{
    (void)state;
    static struct vlm_recipe recipe;
    for (size_t i = 0; i < vlm_recipe_n_keys; i++) {
        const struct vlm_recipe_key *key = &vlm_recipe_keys[i];
        struct vlm_err err = { 0 };
        char value[32];
        if (key->type != VLM_RECIPE_TYPE_COUNT)
            continue;
        snprintf(value, sizeof(value), "%zu", key->low);
        assert_int_equal(vlm_recipe_set(&recipe, key, value, &err), VLM_OK);
        assert_int_equal(*(size_t *)(void *)((char *)&recipe + key->offset), key->low);
        snprintf(value, sizeof(value), "%zu", key->high);
        assert_int_equal(vlm_recipe_set(&recipe, key, value, &err), VLM_OK);
        snprintf(value, sizeof(value), "%zu", key->high + 1);
        assert_int_equal(vlm_recipe_set(&recipe, key, value, &err), VLM_EUSAGE);
        snprintf(value, sizeof(value), "%" PRId64, (int64_t)key->low - 1);
        assert_int_equal(vlm_recipe_set(&recipe, key, value, &err), VLM_EUSAGE);
        assert_int_equal(*(size_t *)(void *)((char *)&recipe + key->offset), key->high);
    }
    takes_line("[objective]\nweight.text = 100\nweight.image = 0\nweight.mask = 100");
    refuses_line("[objective]\nweight.text = 100.01",
                 "f, line 10: objective.weight.text = \"100.01\" is no number from 0 to 100");
}

/* ---- properties ---- */

/* A file that ends anywhere is a recipe, or one sentence says why not. */
static void test_truncation(void **state)
{
    (void)state;
    static struct vlm_recipe recipe;
    for (size_t i = 0; i < VLM_COUNTOF(shipped); i++) {
        size_t size = 0, whole = 0;
        const char *text = vlm_recipe_shipped(shipped[i], &size);
        for (size_t n = 0; n <= size; n++) {
            struct vlm_err err = { 0 };
            char *cut = malloc(n ? n : 1); /* of that size: sanitizers see a read beyond */
            assert_non_null(cut);
            memcpy(cut, text, n);
            int rc = vlm_recipe_parse(&recipe, "f", cut, n, NULL, 0, &err);
            free(cut);
            assert_true(rc == VLM_OK || rc == VLM_EUSAGE);
            whole += rc == VLM_OK;
            if (rc) {
                assert_memory_equal(err.msg, "f", 1);
                assert_null(strchr(err.msg, '\n'));
                assert_int_equal(vlm_utf8_valid_prefix(err.msg, strlen(err.msg)), strlen(err.msg));
            }
        }
        assert_true(whole > 0 && whole < size);
    }
}

/* Prompts in which each character that means something to INI text stands alone. */
static void test_prompts_come_back(void **state)
{
    (void)state;
    static const char *const prompts[] = {
        "a ; b", ";a",   "a;b", "\"a", "a\"", "a\\b", "\\",    " a",       "a ",   "a\tb",
        "\t",    "a\nb", "a\r", "",    "# a", "[a]",  "a = b", "\xc3\xa9", "a\t;", "\"a\" ; b",
    };
    static struct vlm_recipe recipe;
    open_shipped(&recipe, "lm");
    for (size_t i = 0; i < VLM_COUNTOF(prompts); i++) {
        recipe.n_prompts = 1;
        snprintf(recipe.prompts[0], sizeof(recipe.prompts[0]), "%s", prompts[i]);
        comes_back(&recipe);
    }
}

/* A value for a key that may well be one that it takes. */
static void random_value(char *out, size_t size, const struct vlm_recipe_key *key,
                         struct vlm_random *random)
{
    static const char *const words[] = {
        "none",       "@trunk",  "@width",  "codes",    "prefix", "pre-ln",   "llama",
        "@preset",    "tiny",    "13b",     "sinusoid", "rotary", "learned",  "causal",
        "continue",   "caption", "cm3",     "pair",     "m3w",    "text",     "htlm",
        "whole",      "snap",    "nobreak", "tail",     "source", "flamingo", "x.y-z",
        "a.*, b[1]?", "",        "cm3leon", "fairseq",  "0",      "1",
    };
    const uint64_t form = vlm_random_below(random, 4);
    size_t n = 0;
    if (key->type == VLM_RECIPE_TYPE_PROMPT) {
        static const char letters[] = "ab ;\"\\\n\t\r#=[]<>{}\xc3\xa9";
        const size_t length = vlm_random_below(random, 40);
        while (n < length) {
            const size_t i = vlm_random_below(random, sizeof(letters) - 2);
            out[n++] = letters[i];
            if (letters[i] == '\xc3')
                out[n++] = '\xa9';
        }
        out[n] = 0;
    } else if (form == 0)
        snprintf(out, size, "%" PRIu64, vlm_random_below(random, 20));
    else if (form == 1)
        snprintf(out, size, "%.17g", vlm_random_unit(random) * 2);
    else
        snprintf(out, size, "%s", words[vlm_random_below(random, VLM_COUNTOF(words))]);
}

static void test_random_recipes_come_back(void **state)
{
    (void)state;
    enum { TRIES = 4000, SETTINGS = 4 };
    static struct vlm_recipe recipe;
    size_t valid = 0;
    for (uint64_t try = 0; try < TRIES; try++) {
        struct vlm_random random = vlm_random_at(7, 0, try);
        char line[SETTINGS][256];
        const char *settings[SETTINGS];
        struct vlm_err err = { 0 };
        for (size_t i = 0; i < SETTINGS; i++) {
            char value[128];
            const struct vlm_recipe_key *key =
                &vlm_recipe_keys[vlm_random_below(&random, vlm_recipe_n_keys)];
            random_value(value, sizeof(value), key, &random);
            snprintf(line[i], sizeof(line[i]), "%s.%s=%s", key->section, key->name, value);
            settings[i] = line[i];
        }
        const size_t n = vlm_random_below(&random, SETTINGS) + 1;
        const char *base = shipped[vlm_random_below(&random, VLM_COUNTOF(shipped))];
        int rc = vlm_recipe_open(&recipe, base, settings, n, &err);
        assert_true(rc == VLM_OK || rc == VLM_EUSAGE);
        if (rc)
            continue;
        valid++;
        comes_back(&recipe);
    }
    assert_true(valid > TRIES / 20);
}

/* ---- the table ---- */

static bool is_in(const char *list, const char *word)
{
    char bars[256], between[64];
    snprintf(bars, sizeof(bars), "|%s|", list);
    snprintf(between, sizeof(between), "|%s|", word);
    return strstr(bars, between);
}

static void test_sections_are_those_of_the_header(void **state)
{
    (void)state;
    const char *const sections = VLM_RECIPE_SECTIONS;
    for (size_t i = 0; i < vlm_recipe_n_keys; i++)
        assert_true(is_in(sections, vlm_recipe_keys[i].section));
    struct vlm_err err = { 0 };
    for (const char *at = sections; *at;) {
        char section[32];
        const size_t n = strcspn(at, "|");
        snprintf(section, sizeof(section), "%.*s", (int)n, at);
        assert_int_equal(vlm_recipe_section_check(section, &err), VLM_OK);
        at += n + (at[n] == '|');
    }
}

/* schemas/recipe.md has a row for each key. */
static void test_every_key_is_described(void **state)
{
    (void)state;
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_file_read(&text, "schemas/recipe.md", VLM_MIB, &err), VLM_OK);
    vlm_buffer_byte(&text, 0);
    for (size_t i = 0; i < vlm_recipe_n_keys; i++) {
        char section[64], row[64];
        snprintf(section, sizeof(section), "\n## [%s]", vlm_recipe_keys[i].section);
        snprintf(row, sizeof(row), "\n| `%s`", vlm_recipe_keys[i].name);
        const char *at = strstr((const char *)text.data, section);
        const char *end = at ? strstr(at + 1, "\n## ") : NULL;
        const char *found = at ? strstr(at, row) : NULL;
        if (!found || (end && found > end))
            fail_msg("no row for %s.%s", vlm_recipe_keys[i].section, vlm_recipe_keys[i].name);
    }
    vlm_buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cm3),
        cmocka_unit_test(test_cm3_modern),
        cmocka_unit_test(test_lm),
        cmocka_unit_test(test_captioner),
        cmocka_unit_test(test_shipped_files),
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_what_must_be_there),
        cmocka_unit_test(test_what_must_go_together),
        cmocka_unit_test(test_what_is_no_recipe),
        cmocka_unit_test(test_windows_text),
        cmocka_unit_test(test_settings_refused),
        cmocka_unit_test(test_settings_override),
        cmocka_unit_test(test_settings_of_render),
        cmocka_unit_test(test_written_recipe_as_settings),
        cmocka_unit_test(test_switches_of_cm3),
        cmocka_unit_test(test_size_of_the_file),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_numbers_of),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_prompts_come_back),
        cmocka_unit_test(test_random_recipes_come_back),
        cmocka_unit_test(test_sections_are_those_of_the_header),
        cmocka_unit_test(test_every_key_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
