/* test_model_folder.c - model folders of ours: what is written is what is opened, and what is wrong is
 * named. Folders of transformers: test_foreign_folder.c.
 *
 * "test_model_folder write DIR" only writes the folders of model_folder_fixture.h, for
 * tests/long/transformers.sh. */
#include "base/vlm.h"

#include <dirent.h>
#include <sys/stat.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "nn/safetensors.h"
#include "tests/folder_fixture.h"
#include "tests/model_folder_fixture.h"

static const struct fixture_form *form_of(const char *name)
{
    for (size_t i = 0; i < VLM_COUNTOF(fixture_forms); i++)
        if (!strcmp(fixture_forms[i].name, name))
            return &fixture_forms[i];
    fail_msg("no form '%s'", name);
    return NULL;
}

static float nearest_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    const uint32_t half = bits & 0xffff;
    bits &= 0xffff0000;
    if (half > 0x8000 || (half == 0x8000 && (bits & 0x10000)))
        bits += 0x10000;
    memcpy(&value, &bits, sizeof(bits));
    return value;
}

/* ---- round trips ---- */

static void same_config(const struct vlm_model_config *a, const struct vlm_model_config *b)
{
    const struct vlm_sizes *x = &a->sizes, *y = &b->sizes;
    assert_ptr_equal(a->layer, b->layer);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->vocabulary, b->vocabulary);
    assert_int_equal(a->context, b->context);
    assert_int_equal(a->tied, b->tied);
    assert_ptr_equal(a->encoder, b->encoder);
    assert_ptr_equal(a->bridge, b->bridge);
    assert_int_equal(a->encoder_layers, b->encoder_layers);
    assert_int_equal(x->width, y->width);
    assert_int_equal(x->hidden, y->hidden);
    assert_int_equal(x->heads, y->heads);
    assert_int_equal(x->kv_heads, y->kv_heads);
    assert_int_equal(x->head_size, y->head_size);
    assert_int_equal(x->biases, y->biases);
    assert_int_equal(x->hidden_biases, y->hidden_biases);
    assert_int_equal(x->activation, y->activation);
    assert_int_equal(x->position, y->position);
    assert_memory_equal(&x->norm_epsilon, &y->norm_epsilon, sizeof(float));
    assert_memory_equal(&x->rotary_base, &y->rotary_base, sizeof(double));
    assert_memory_equal(&a->encoder_sizes, &b->encoder_sizes, sizeof(struct vlm_sizes));
    assert_memory_equal(&a->bridge_sizes, &b->bridge_sizes, sizeof(struct vlm_sizes));
}

static void same_weights(const struct vlm_model *a, const struct vlm_model *b, bool bf16)
{
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->n; i++) {
        assert_string_equal(a->parameters[i].name, b->parameters[i].name);
        assert_int_equal(a->parameters[i].frozen, b->parameters[i].frozen);
        for (size_t k = 0; a->tensors[i].rank && k < vlm_tensor_count(&a->tensors[i]); k++) {
            float expected = a->tensors[i].data[k];
            expected = bf16 ? nearest_bf16(expected) : expected;
            if (memcmp(&expected, &b->tensors[i].data[k], sizeof(expected)))
                fail_msg("%s, number %zu: %.9g, expected %.9g", a->parameters[i].name, k,
                         (double)b->tensors[i].data[k], (double)expected);
        }
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(fixture_forms); i++) {
        const struct fixture_form *form = &fixture_forms[i];
        struct fixture_model fixture;
        struct vlm_model_folder *folder;
        struct vlm_err err = { 0 };
        char *path = test_path(form->name);
        fixture_model_init(&fixture, form);
        fixture_model_write(&fixture, form, path);
        if (vlm_model_folder_open(&folder, path, i % 2 ? VLM_FOLDER_GRADS : 0, &err) != VLM_OK)
            fail_msg("%s", err.msg);
        same_config(&fixture.model.config, &folder->model.config);
        same_weights(&fixture.model, &folder->model, form->bf16);
        assert_int_equal(folder->model.grads != NULL, i % 2);
        assert_false(folder->foreign);
        assert_false(folder->bare_names);
        assert_string_equal(folder->recipe.name, form->recipe);
        assert_non_null(folder->tokenizer);
        assert_true(folder->has_vocabulary);
        assert_int_equal(folder->vocabulary.size, fixture.vocabulary.size);
        assert_int_equal(folder->vocabulary.first_code, fixture.vocabulary.first_code);
        assert_memory_equal(folder->vocabulary.control, fixture.vocabulary.control,
                            sizeof(folder->vocabulary.control));
        assert_null(folder->images);
        vlm_model_folder_close(folder);
        fixture_model_release(&fixture);
        free(path);
    }
}

static void test_bare(void **state)
{
    (void)state;
    struct vlm_model_folder *folder;
    struct vlm_err err = { 0 };
    char *path = test_path("cm3"); /* of test_round_trip */
    assert_int_equal(vlm_model_folder_open(&folder, path, VLM_FOLDER_BARE, &err), VLM_OK);
    assert_null(folder->tokenizer);
    assert_true(folder->has_vocabulary);
    assert_null(folder->vocabulary.tokenizer);
    assert_int_equal(folder->vocabulary.n_codes, FIXTURE_CODES);
    assert_int_equal(folder->vocabulary.size, folder->model.config.vocabulary);
    assert_int_equal(folder->vocabulary.mask[3], 9);
    vlm_model_folder_close(folder);
    free(path);
    vlm_model_folder_close(NULL);
}

/* ---- bytes ---- */

static void read_file(struct vlm_buffer *to, const char *folder, const char *name)
{
    struct vlm_err err = { 0 };
    char *path = vlm_path_join(folder, name);
    vlm_buffer_reset(to);
    if (vlm_file_read(to, path, VLM_GIB, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    vlm_buffer_byte(to, 0);
    free(path);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    struct vlm_err err = { 0 };
    char *path = vlm_path_join(folder, name);
    assert_int_equal(vlm_file_write(path, text, strlen(text), &err), VLM_OK);
    free(path);
}

static void test_same_bytes(void **state)
{
    (void)state;
    static const char *const files[] = { "README.md",
                                         "config.json",
                                         "generation_config.json",
                                         "model.safetensors",
                                         "provenance.json",
                                         "recipe.ini",
                                         "special_tokens_map.json",
                                         "tokenizer.json",
                                         "tokenizer_config.json" };
    struct fixture_model fixture;
    struct vlm_buffer a = { 0 }, b = { 0 };
    char *first = test_path("cm3"), *second = test_path("again");
    fixture_model_init(&fixture, form_of("cm3"));
    fixture_model_write(&fixture, form_of("cm3"), second);
    for (size_t i = 0; i < VLM_COUNTOF(files); i++) {
        read_file(&a, first, files[i]);
        read_file(&b, second, files[i]);
        assert_int_equal(a.size, b.size);
        assert_memory_equal(a.data, b.data, a.size);
    }
    size_t n = 0;
    DIR *folder = opendir(second);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        n += entry->d_name[0] != '.';
    closedir(folder);
    assert_int_equal(n, VLM_COUNTOF(files)); /* nothing else, no .tmp */
    vlm_buffer_release(&a);
    vlm_buffer_release(&b);
    fixture_model_release(&fixture);
    free(first);
    free(second);
}

static void test_rounding(void **state)
{
    (void)state;
    static const struct {
        float value, expected;
    } cases[] = {
        { 1.0f + 0x1p-8f, 1.0f },                  /* a tie, to even */
        { 1.0f + 0x1p-7f + 0x1p-8f, 1 + 0x1p-6f }, /* a tie, to even, up */
        { 1.0f + 0x1p-8f + 0x1p-20f, 1 + 0x1p-7f },
        { -1.0f - 0x1p-9f, -1.0f },
        { 0x1p-140f, 0 }, /* below the smallest bf16's half */
        { -0.0f, -0.0f },
    };
    struct fixture_model fixture;
    struct vlm_model_folder *folder;
    struct vlm_err err = { 0 };
    char *path = test_path("rounding");
    fixture_model_init(&fixture, form_of("cm3_bf16"));
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++)
        fixture.model.embed->data[i] = cases[i].value;
    fixture_model_write(&fixture, form_of("cm3_bf16"), path);
    assert_int_equal(vlm_model_folder_open(&folder, path, VLM_FOLDER_BARE, &err), VLM_OK);
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++)
        assert_memory_equal(&folder->model.embed->data[i], &cases[i].expected, sizeof(float));
    vlm_model_folder_close(folder);
    fixture_model_release(&fixture);
    free(path);
}

/* A model that has gone bad is not written, in either precision. */
static void test_not_finite(void **state)
{
    (void)state;
    static const uint32_t bits[] = { 0x7fc00000, 0xffffffff, 0x7f800001, 0x7f800000,
                                     0x7f7fffff }; /* the last: infinite in bf16 only */
    for (size_t i = 0; i < 2 * VLM_COUNTOF(bits); i++) {
        struct fixture_model fixture;
        struct vlm_err err = { 0 };
        fixture_model_init(&fixture, form_of("lm"));
        const struct vlm_model_content content = { .model = &fixture.model,
                                                   .recipe = &fixture.recipe,
                                                   .vocabulary = &fixture.vocabulary,
                                                   .bf16 = i % 2 };
        const size_t at = vlm_model_find(&fixture.model, "trunk.1.mlp.up.weight");
        assert_true(at < fixture.model.n);
        memcpy(&fixture.model.tensors[at].data[3], &bits[i / 2], sizeof(*bits));
        char *path = test_path("bad");
        assert_int_equal(vlm_folder_make(path, &err), VLM_OK);
        int rc = vlm_model_folder_write(path, &content, &err);
        if (i / 2 == 4 && !(i % 2))
            assert_int_equal(rc, VLM_OK);
        else {
            assert_int_equal(rc, VLM_EFORMAT);
            assert_non_null(strstr(err.msg, "transformer.h.1.mlp.c_fc.weight"));
        }
        assert_int_equal(vlm_folder_delete(path, &err), VLM_OK);
        free(path);
        fixture_model_release(&fixture);
    }
}

/* ---- names and layout ---- */

struct named {
    const char *name;
    unsigned rank;
    size_t rows, cols;
};

static void check_names(const char *form, const struct named *named, size_t n)
{
    struct vlm_safetensors *file;
    struct vlm_err err = { 0 };
    char *folder = test_path(form), *path = vlm_path_join(folder, "model.safetensors");
    assert_int_equal(vlm_safetensors_open(&file, path, &err), VLM_OK);
    for (size_t i = 0; i < n; i++) {
        const struct vlm_safetensors_entry *entry = vlm_safetensors_find(file, named[i].name);
        if (!entry)
            fail_msg("%s has no tensor '%s'", form, named[i].name);
        assert_int_equal(entry->rank, named[i].rank);
        assert_int_equal(entry->shape[0], named[i].rows);
        if (entry->rank == 2)
            assert_int_equal(entry->shape[1], named[i].cols);
    }
    vlm_safetensors_close(file);
    free(path);
    free(folder);
}

static void test_names(void **state)
{
    (void)state;
    static const struct named lm[] = {
        { "transformer.wte.weight", 2, 8192, 24 },
        { "transformer.wpe.weight", 2, 40, 24 },
        { "transformer.h.0.ln_1.weight", 1, 24, 0 },
        { "transformer.h.1.attn.c_attn.weight", 2, 24, 72 },
        { "transformer.h.1.attn.c_attn.bias", 1, 72, 0 },
        { "transformer.h.1.attn.c_proj.weight", 2, 24, 24 },
        { "transformer.h.0.mlp.c_fc.weight", 2, 24, 50 },
        { "transformer.h.0.mlp.c_proj.weight", 2, 50, 24 },
        { "transformer.ln_f.bias", 1, 24, 0 },
        { "lm_head.weight", 2, 8192, 24 },
    };
    static const struct named modern[] = {
        { "model.embed_tokens.weight", 2, 8224, 24 },
        { "model.layers.0.input_layernorm.weight", 1, 24, 0 },
        { "model.layers.0.self_attn.q_proj.weight", 2, 32, 24 },
        { "model.layers.0.self_attn.k_proj.weight", 2, 16, 24 },
        { "model.layers.1.self_attn.v_proj.weight", 2, 16, 24 },
        { "model.layers.1.self_attn.o_proj.weight", 2, 24, 32 },
        { "model.layers.1.post_attention_layernorm.weight", 1, 24, 0 },
        { "model.layers.1.mlp.gate_proj.weight", 2, 40, 24 },
        { "model.layers.1.mlp.down_proj.weight", 2, 24, 40 },
        { "model.norm.weight", 1, 24, 0 },
    };
    static const struct named captioner[] = {
        { "transformer.h.0.ln_1.weight", 1, 24, 0 },
        { "encoder.tokens.weight", 2, FIXTURE_CODES, 16 },
        { "encoder.0.attention.qkv.weight", 2, 48, 16 },
        { "bridge.weight", 2, 24, VLM_CODES / 8 * 16 },
    };
    check_names("lm", lm, VLM_COUNTOF(lm));
    check_names("modern", modern, VLM_COUNTOF(modern));
    check_names("captioner", captioner, VLM_COUNTOF(captioner));
}

/* Rows of the fused product, turned or not, number by number. */
static void test_gather(void **state)
{
    (void)state;
    static const char *const names[] = { "transformer.h.1.attn.c_attn.weight",
                                         "model.layers.1.self_attn.k_proj.weight" };
    for (size_t f = 0; f < 2; f++) {
        struct fixture_model fixture;
        struct vlm_stored_tensor *stored;
        struct vlm_err err = { 0 };
        size_t n, at = 0;
        fixture_model_init(&fixture, form_of(f ? "modern" : "cm3"));
        assert_int_equal(vlm_stored_tensors(&stored, &n, &fixture.model, &err), VLM_OK);
        while (at < n && strcmp(stored[at].name, names[f]) != 0)
            at++;
        assert_true(at < n);
        const float *qkv = fixture.model.tensors[stored[at].parameter].data;
        float *to = calloc(72 * FIXTURE_WIDTH, sizeof(float));
        assert_non_null(to);
        vlm_stored_tensor_gather(to, &fixture.model, fixture.model.values, &stored[at]);
        if (f) /* k: 16 rows behind the 32 of q */
            assert_memory_equal(to, qkv + 32 * FIXTURE_WIDTH, 16 * FIXTURE_WIDTH * sizeof(float));
        for (size_t r = 0; !f && r < 72; r++)
            for (size_t c = 0; c < FIXTURE_WIDTH; c++)
                assert_memory_equal(&to[c * 72 + r], &qkv[r * FIXTURE_WIDTH + c], sizeof(float));
        free(to);
        free(stored);
        fixture_model_release(&fixture);
    }
}

/* ---- tokenizers ---- */

static void replace(const char *folder, const char *name, const char *from, const char *to)
{
    struct vlm_buffer text = { 0 }, out = { 0 };
    read_file(&text, folder, name);
    char *at = strstr((char *)text.data, from);
    if (!at)
        fail_msg("%s has no '%s'", name, from);
    vlm_buffer_add(&out, text.data, (size_t)(at - (char *)text.data));
    vlm_buffer_text(&out, to);
    vlm_buffer_text(&out, at + strlen(from));
    vlm_buffer_byte(&out, 0);
    write_file(folder, name, (char *)out.data);
    vlm_buffer_release(&text);
    vlm_buffer_release(&out);
}

static void refused(const char *folder, unsigned flags, int expected, const char *sentence)
{
    struct vlm_model_folder *opened;
    struct vlm_err err = { 0 };
    int rc = vlm_model_folder_open(&opened, folder, flags, &err);
    if (rc != expected || !strstr(err.msg, sentence))
        fail_msg("%d, expected %d: %s\nexpected: %s", rc, expected, err.msg, sentence);
    assert_null(opened);
}

/* The map of ids must be the tokenizer's; recipe.ini must be of the same blocks. */
static void test_disagreement(void **state)
{
    (void)state;
    struct vlm_model_folder *opened;
    struct vlm_err err = { 0 };
    char *folder = test_path("again"); /* of test_same_bytes */
    replace(folder, "config.json", "\"<mask:3>\": 9", "\"<mask:3>\": 8");
    refused(folder, 0, VLM_EDIFFER, "gives '<mask:3>' the id 9, config.json's vocabulary_map 8");
    assert_int_equal(vlm_model_folder_open(&opened, folder, VLM_FOLDER_BARE, &err), VLM_OK);
    vlm_model_folder_close(opened);
    replace(folder, "config.json", "\"<mask:3>\": 8", "\"<mask:3>\": 9");
    replace(folder, "config.json", "\"n_text\": 8192", "\"n_text\": 8191");
    refused(folder, 0, VLM_EDIFFER,
            "the tokenizer has 8192 ids, config.json's vocabulary_map says 8191");
    replace(folder, "config.json", "\"n_text\": 8191", "\"n_text\": 8192");
    replace(folder, "config.json", "\"n_codes\": 32", "\"n_codes\": 33");
    refused(folder, 0, VLM_EFORMAT, "\"vocabulary_map\": codes 8192 to 8225 are not between");
    replace(folder, "config.json", "\"n_codes\": 33", "\"n_codes\": 32");
    replace(folder, "config.json", "\"<EOC>\": 5", "\"<EOC>\": 8224");
    refused(folder, 0, VLM_EFORMAT, "\"vocabulary_map\": \"<EOC>\" is 8224, expected a whole");
    replace(folder, "config.json", "\"<EOC>\": 8224, ", "");
    refused(folder, 0, VLM_EFORMAT, "\"vocabulary_map\": \"<EOC>\" is missing");
    replace(folder, "config.json", "\"<image>\": 4", "\"<EOC>\": 5, \"<image>\": 4");
    replace(folder, "recipe.ini", "layer = pre-ln", "layer = llama");
    replace(folder, "recipe.ini", "position = sinusoid", "position = rotary");
    refused(folder, 0, VLM_EFORMAT, "is a recipe for other blocks than config.json has");
    free(folder);
}

static void write_with_images(const char *path, const char *id, const char *from)
{
    struct fixture_model fixture;
    struct vlm_err err = { 0 };
    fixture_model_init(&fixture, form_of("captioner"));
    const struct vlm_model_content content = { .model = &fixture.model,
                                               .recipe = &fixture.recipe,
                                               .vocabulary = &fixture.vocabulary,
                                               .image_tokenizer_id = id,
                                               .image_tokenizer = from };
    assert_int_equal(vlm_folder_make(path, &err), VLM_OK);
    if (vlm_model_folder_write(path, &content, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    fixture_model_release(&fixture);
}

static void test_images(void **state)
{
    (void)state;
    struct vlm_model_folder *folder;
    struct vlm_tokenizer *shipped;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_tokenizer_open(&shipped, NULL, VLM_PRECISION_EXACT, &err), VLM_OK);
    const char *id = vlm_tokenizer_info(shipped).id;
    char *path = test_path("shipped"), *copied = test_path("copied"), *other = test_path("other");
    write_with_images(path, id, NULL);
    assert_int_equal(vlm_model_folder_open(&folder, path, 0, &err), VLM_OK);
    assert_non_null(folder->images);
    assert_string_equal(folder->image_tokenizer_id, id);
    vlm_model_folder_close(folder);
    assert_int_equal(vlm_model_folder_open(&folder, path, VLM_FOLDER_NO_IMAGES, &err), VLM_OK);
    assert_null(folder->images);
    assert_string_equal(folder->image_tokenizer_id, id);
    vlm_model_folder_close(folder);

    write_with_images(copied, id, "vqgan/shipped");
    char *weights = vlm_path_join(copied, "vqgan/model.safetensors");
    assert_int_equal(access(weights, R_OK), 0);
    assert_int_equal(vlm_model_folder_open(&folder, copied, 0, &err), VLM_OK);
    assert_string_equal(vlm_tokenizer_info(folder->images).id, id);
    vlm_model_folder_close(folder);
    replace(copied, "config.json", id, "pca-000000000000");
    refused(copied, 0, VLM_EDIFFER, "config.json asks for 'pca-000000000000'");

    write_with_images(other, "pca-000000000000", NULL); /* neither here nor shipped */
    assert_int_equal(vlm_model_folder_open(&folder, other, 0, &err), VLM_OK);
    assert_null(folder->images);
    vlm_model_folder_close(folder);
    free(weights);
    free(other);
    free(copied);
    free(path);
    vlm_tokenizer_close(shipped);
}

/* Without recipe.ini and the members that are ours it is a GPT-2 of somebody else, with a tokenizer. */
static void test_becomes_foreign(void **state)
{
    (void)state;
    struct vlm_model_folder *opened;
    struct vlm_err err = { 0 };
    char *folder = test_path("lm"), *recipe = vlm_path_join(folder, "recipe.ini");
    assert_int_equal(unlink(recipe), 0);
    replace(folder, "config.json", "\"vocabulary_map\"", "\"map\"");
    replace(folder, "config.json", "\"vlm\"", "\"v\"");
    assert_int_equal(vlm_model_folder_open(&opened, folder, 0, &err), VLM_OK);
    assert_true(opened->foreign);
    assert_string_equal(opened->recipe.name, "lm");
    assert_int_equal(opened->recipe.position, VLM_POSITION_LEARNED);
    assert_non_null(opened->tokenizer);
    assert_true(opened->has_vocabulary);
    assert_int_equal(opened->vocabulary.n_codes, 0);
    assert_int_equal(opened->vocabulary.control[VLM_CONTROL_END], 2);
    vlm_model_folder_close(opened);
    /* A tokenizer of more ids than the model has rows. */
    char *other = test_path("small"), *tokenizer = vlm_path_join(other, "tokenizer.json");
    struct vlm_buffer bytes = { 0 };
    assert_int_equal(vlm_folder_make(other, &err), VLM_OK);
    read_file(&bytes, "tests/vectors/folder_gpt2", "config.json");
    write_file(other, "config.json", (char *)bytes.data);
    char *weights = vlm_path_join(other, "model.safetensors");
    read_file(&bytes, "tests/vectors/folder_gpt2", "model.safetensors");
    assert_int_equal(vlm_file_write(weights, bytes.data, bytes.size - 1, &err), VLM_OK);
    read_file(&bytes, folder, "tokenizer.json");
    assert_int_equal(vlm_file_write(tokenizer, bytes.data, bytes.size - 1, &err), VLM_OK);
    refused(other, 0, VLM_EFORMAT, "the tokenizer has 8192 ids, the model a vocabulary of 19");
    assert_int_equal(vlm_model_folder_open(&opened, other, VLM_FOLDER_BARE, &err), VLM_OK);
    vlm_model_folder_close(opened);
    vlm_buffer_release(&bytes);
    free(weights);
    free(tokenizer);
    free(other);
    free(recipe);
    free(folder);
}

/* Members of "vlm" in a model with an encoder. */
static void test_own_blocks(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *sentence;
        int code;
    } cases[] = {
        { "\"block\": \"codes\"", "\"block\": \"clip\"",
          "\"vlm\": \"encoder\": \"block\" is 'clip', known are codes", VLM_EUSAGE },
        { "\"block\": \"prefix\"", "\"block\": \"resampler\"",
          "\"vlm\": \"bridge\": \"block\" is 'resampler', known are prefix", VLM_EUSAGE },
        { "\"layer\": \"pre-ln\"", "\"layer\": \"mamba\"",
          "\"vlm\".\"layer\" is 'mamba', known are pre-ln, llama", VLM_EUSAGE },
        { "\"position\": \"sinusoid\"", "\"position\": \"alibi\"",
          "\"position\" is 'alibi', known are sinusoid|learned|rotary", VLM_EUSAGE },
        { "\"length\": 256", "\"length\": 257", "\"length\" is 257, expected a whole number",
          VLM_EFORMAT },
        { "\"codes\": 32", "\"codes\": 0", "\"codes\" is 0, expected a whole number", VLM_EFORMAT },
        { "\"codes\": 32", "\"codes\": 33", "tensor 'encoder.tokens.weight' has the shape [32, 16]",
          VLM_EFORMAT },
        { "\"num_layers\": 1", "\"num_layers\": 2", "tensor 'encoder.1.norm1.weight' is missing",
          VLM_EFORMAT },
        { "\"bridge\": {\"block\": \"prefix\", \"length\": 8}", "\"bridge\": null",
          "\"encoder\" and \"bridge\" stand together", VLM_EFORMAT },
        { "\"VlmForConditionalGeneration\"", "\"GPT2LMHeadModel\"",
          "\"encoder\" and \"bridge\" stand together, in a VlmForConditionalGeneration",
          VLM_EFORMAT },
        { "\"length\": 8}", "\"length\": 7}", "do not divide among 7 rows", VLM_EUSAGE },
    };
    char *folder = test_path("captioner");
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++) {
        replace(folder, "config.json", cases[i].from, cases[i].to);
        refused(folder, VLM_FOLDER_BARE, cases[i].code, cases[i].sentence);
        replace(folder, "config.json", cases[i].to, cases[i].from);
    }
    free(folder);
}

static void test_not_there(void **state)
{
    (void)state;
    refused("/nowhere/model", 0, VLM_EFAIL, "'/nowhere/model' is not a model folder");
    refused("Makefile", 0, VLM_EFAIL, "'Makefile' is not a model folder");
}

/* As of every other file: nothing that the user has written is wrong. */
static void test_damaged_recipe(void **state)
{
    (void)state;
    static const char *const damaged[] = { "", "[trunk]\nlayer = ", "\xff", "[trunk\n",
                                           "no key\n" };
    struct fixture_model fixture;
    char *folder = test_path("of-damage");
    fixture_model_init(&fixture, form_of("lm"));
    fixture_model_write(&fixture, form_of("lm"), folder);
    for (size_t i = 0; i < VLM_COUNTOF(damaged); i++) {
        write_file(folder, "recipe.ini", damaged[i]);
        refused(folder, 0, VLM_EFORMAT, "recipe.ini");
    }
    fixture_model_release(&fixture);
    free(folder);
}

/* A pipe without a writer would be waited for for ever, a device never ends. */
static void test_only_files_are_opened(void **state)
{
    (void)state;
    static const struct {
        const char *file, *sentence;
    } rows[] = {
        { "config.json", "config.json' is no file" },
        { "recipe.ini", "recipe.ini' is no file" },
        { "tokenizer.json", "holds no tokenizer: expected tokenizer.json" },
        { "model.safetensors", "model.safetensors" },
    };
    struct fixture_model fixture;
    char *folder = test_path("of-pipes");
    fixture_model_init(&fixture, form_of("lm"));
    fixture_model_write(&fixture, form_of("lm"), folder);
    alarm(60);
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++) {
        char *path = vlm_path_join(folder, rows[i].file), *aside = test_path("aside");
        assert_int_equal(rename(path, aside), 0);
        assert_int_equal(mkfifo(path, 0600), 0);
        refused(folder, 0, VLM_EFORMAT, rows[i].sentence);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink("/dev/zero", path), 0);
        refused(folder, 0, VLM_EFORMAT, rows[i].sentence);
        assert_int_equal(rename(aside, path), 0);
        free(path);
        free(aside);
    }
    alarm(0);
    fixture_model_release(&fixture);
    free(folder);
}

/* Every folder of the fixture, for other programs to open. */
static int write_all(const char *path)
{
    for (size_t i = 0; i < VLM_COUNTOF(fixture_forms); i++) {
        struct fixture_model fixture;
        char *name = vlm_path_join(path, fixture_forms[i].name);
        fixture_model_init(&fixture, &fixture_forms[i]);
        fixture_model_write(&fixture, &fixture_forms[i], name);
        fixture_model_release(&fixture);
        free(name);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_bare),
        cmocka_unit_test(test_same_bytes),     cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_not_finite),     cmocka_unit_test(test_names),
        cmocka_unit_test(test_gather),         cmocka_unit_test(test_disagreement),
        cmocka_unit_test(test_images),         cmocka_unit_test(test_own_blocks),
        cmocka_unit_test(test_not_there),      cmocka_unit_test(test_only_files_are_opened),
        cmocka_unit_test(test_damaged_recipe), cmocka_unit_test(test_becomes_foreign),
    };
    if (argc == 3 && !strcmp(argv[1], "write"))
        return write_all(argv[2]);
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
