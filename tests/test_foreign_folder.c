/* test_foreign_folder.c - model folders that transformers saved: numbers of its own, names in both
 * spellings, and every sentence for what cannot be opened. tests/vectors/folder_* come from
 * tests/reference/make_model_folders.py. */
#include "base/vlm.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/limits.h"
#include "models/folder/model_folder.h"
#include "nn/ops/vocabulary_loss.h"
#include "nn/safetensors.h"
#include "tests/folder_fixture.h"

enum { TENSORS_MAX = 64, IDS = 11 };

/* ---- folders to spoil ---- */

static void read_text(struct vlm_buffer *to, const char *path)
{
    struct vlm_err err = { 0 };
    vlm_buffer_reset(to);
    if (vlm_file_read(to, path, VLM_GIB, &err) != VLM_OK)
        fail_msg("%s", err.msg);
}

static void write_text(const char *folder, const char *name, const void *bytes, size_t n)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *to = fopen(path, "wb");
    assert_non_null(to);
    assert_int_equal(fwrite(bytes, 1, n, to), n);
    assert_int_equal(fclose(to), 0);
}

/* A copy of a golden folder's two files; the path of it, to be freed. */
static char *copy_of(const char *golden)
{
    static const char *const names[] = { "config.json", "model.safetensors" };
    struct vlm_buffer bytes = { 0 };
    struct vlm_err err = { 0 };
    char *folder = test_path(golden), path[256];
    assert_int_equal(vlm_folder_delete(folder, &err), VLM_OK);
    assert_int_equal(vlm_folder_make(folder, &err), VLM_OK);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "tests/vectors/%s/%s", golden, names[i]);
        read_text(&bytes, path);
        write_text(folder, names[i], bytes.data, bytes.size);
    }
    vlm_buffer_release(&bytes);
    return folder;
}

static void edit_config(const char *folder, const char *from, const char *to)
{
    struct vlm_buffer text = { 0 }, out = { 0 };
    char *path = vlm_path_join(folder, "config.json");
    read_text(&text, path);
    vlm_buffer_byte(&text, 0);
    char *at = strstr((char *)text.data, from);
    if (!at)
        fail_msg("config.json has no '%s'", from);
    vlm_buffer_add(&out, text.data, (size_t)(at - (char *)text.data));
    vlm_buffer_text(&out, to);
    vlm_buffer_text(&out, at + strlen(from));
    write_text(folder, "config.json", out.data, out.size);
    free(path);
    vlm_buffer_release(&text);
    vlm_buffer_release(&out);
}

static void refused(const char *folder, int expected, const char *sentence)
{
    struct vlm_model_folder *opened;
    struct vlm_err err = { 0 };
    int rc = vlm_model_folder_open(&opened, folder, 0, &err);
    if (rc != expected || !strstr(err.msg, sentence))
        fail_msg("%d, expected %d: %s\nexpected: %s", rc, expected, err.msg, sentence);
    assert_null(opened);
}

static struct vlm_model_folder *opened(const char *folder, unsigned flags)
{
    struct vlm_model_folder *out;
    struct vlm_err err = { 0 };
    if (vlm_model_folder_open(&out, folder, flags, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    return out;
}

/* The tensors of a golden folder in memory, to be written again with something changed. */
struct tensors {
    struct vlm_safetensors *file;
    struct vlm_safetensors_item item[TENSORS_MAX];
    char name[TENSORS_MAX][80];
    size_t n;
};

static void tensors_open(struct tensors *tensors, const char *golden)
{
    struct vlm_err err = { 0 };
    char path[256];
    snprintf(path, sizeof(path), "tests/vectors/%s/model.safetensors", golden);
    assert_int_equal(vlm_safetensors_open(&tensors->file, path, &err), VLM_OK);
    tensors->n = vlm_safetensors_count(tensors->file);
    assert_true(tensors->n + 8 < TENSORS_MAX);
    for (size_t i = 0; i < tensors->n; i++) {
        const struct vlm_safetensors_entry *entry = vlm_safetensors_at(tensors->file, i);
        float *values = malloc(entry->count * sizeof(float));
        assert_non_null(values);
        assert_int_equal(vlm_safetensors_read_f32(tensors->file, entry, values, 0, &err), VLM_OK);
        snprintf(tensors->name[i], sizeof(tensors->name[i]), "%s", entry->name);
        tensors->item[i] = (struct vlm_safetensors_item){ .name = tensors->name[i],
                                                          .rank = entry->rank,
                                                          .data = values };
        memcpy(tensors->item[i].shape, entry->shape, sizeof(entry->shape));
    }
}

static size_t tensors_find(const struct tensors *tensors, const char *name)
{
    for (size_t i = 0; i < tensors->n; i++)
        if (!strcmp(tensors->name[i], name))
            return i;
    fail_msg("no tensor '%s'", name);
    return 0;
}

static void tensors_add(struct tensors *tensors, const char *name, size_t rows, size_t cols)
{
    float *values = calloc(rows * cols, sizeof(float));
    assert_non_null(values);
    snprintf(tensors->name[tensors->n], sizeof(tensors->name[0]), "%s", name);
    tensors->item[tensors->n] = (struct vlm_safetensors_item){
        .name = tensors->name[tensors->n], .rank = 2, .shape = { rows, cols }, .data = values
    };
    tensors->n++;
}

/* Writes all but number `left_out`. */
static void tensors_write(const struct tensors *tensors, const char *folder, size_t left_out)
{
    struct vlm_safetensors_item items[TENSORS_MAX];
    struct vlm_err err = { 0 };
    size_t n = 0;
    char *path = vlm_path_join(folder, "model.safetensors");
    for (size_t i = 0; i < tensors->n; i++)
        if (i != left_out)
            items[n++] = tensors->item[i];
    const struct vlm_safetensors_content content = { .items = items, .count = n };
    if (vlm_safetensors_write(path, &content, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    free(path);
}

static void tensors_close(struct tensors *tensors)
{
    for (size_t i = 0; i < tensors->n; i++)
        free((void *)(uintptr_t)tensors->item[i].data);
    vlm_safetensors_close(tensors->file);
}

/* ---- numbers ---- */

static void close_to(const struct vlm_safetensors *expected, const char *name, const float *values,
                     double limit)
{
    struct vlm_err err = { 0 };
    const struct vlm_safetensors_entry *entry = vlm_safetensors_find(expected, name);
    if (!entry)
        fail_msg("nothing is expected of '%s'", name);
    float *theirs = malloc(entry->count * sizeof(float));
    double largest = 0;
    assert_non_null(theirs);
    assert_int_equal(vlm_safetensors_read_f32(expected, entry, theirs, 0, &err), VLM_OK);
    for (size_t i = 0; i < entry->count; i++)
        largest = fmax(largest, fabs((double)theirs[i]));
    for (size_t i = 0; i < entry->count; i++)
        if (!(fabs((double)(values[i] - theirs[i])) <= limit * largest))
            fail_msg("%s, number %zu: %g, expected %g", name, i, (double)values[i],
                     (double)theirs[i]);
    free(theirs);
}

/* Logits, loss and gradients of the golden sequence. */
static void run(struct vlm_model_folder *folder, const struct vlm_safetensors *expected)
{
    struct vlm_engine engine;
    struct vlm_tape tape;
    struct vlm_err err = { 0 };
    uint32_t ids[IDS], position[IDS], lo[IDS] = { 0 }, hi[IDS], target[IDS];
    int64_t wide[IDS];
    const struct vlm_safetensors_entry *entry = vlm_safetensors_find(expected, "ids");
    assert_int_equal(entry->count, IDS);
    assert_int_equal(vlm_safetensors_read_raw(expected, entry, wide, &err), VLM_OK);
    for (uint32_t i = 0; i < IDS; i++) {
        ids[i] = (uint32_t)wide[i];
        position[i] = i;
        hi[i] = i + 1;
        target[i] = i + 1 < IDS ? (uint32_t)wide[i + 1] : VLM_IGNORE;
    }
    const struct vlm_rows rows = {
        .n = IDS, .ids = ids, .positions = position, .lo = lo, .hi = hi
    };
    assert_int_equal(vlm_engine_init(&engine, 1, VLM_GEMM_AUTO, &err), VLM_OK);
    assert_int_equal(
        vlm_tape_init(&tape, &engine, &(struct vlm_tape_options){ .memory = VLM_MIB }, &err),
        VLM_OK);
    struct vlm_model *model = &folder->model;
    struct vlm_tensor *state = vlm_model_forward(&tape, model, &rows, NULL, 0);
    close_to(expected, "logits", vlm_model_logits(&tape, model, state)->data, 1e-5);
    vlm_tape_reset(&tape);
    struct vlm_tensor *loss =
        vlm_model_loss(&tape, model, &rows, &(struct vlm_targets){ .ids = target }, 0);
    close_to(expected, "loss", loss->data, 1e-6);
    assert_int_equal(vlm_backward(&tape, loss, &err), VLM_OK);
    vlm_tape_release(&tape);
    vlm_engine_release(&engine);
}

static void check_golden(const char *golden)
{
    struct vlm_safetensors *expected;
    struct vlm_stored_tensor *stored;
    struct vlm_err err = { 0 };
    char path[256], name[VLM_PARAMETER_NAME_SIZE + 8];
    size_t n;
    snprintf(path, sizeof(path), "tests/vectors/%s/expected.safetensors", golden);
    assert_int_equal(vlm_safetensors_open(&expected, path, &err), VLM_OK);
    snprintf(path, sizeof(path), "tests/vectors/%s", golden);
    struct vlm_model_folder *folder = opened(path, VLM_FOLDER_GRADS);
    run(folder, expected);
    assert_int_equal(vlm_stored_tensors(&stored, &n, &folder->model, &err), VLM_OK);
    assert_int_equal(n + 3, vlm_safetensors_count(expected)); /* ids, logits, loss */
    for (size_t i = 0; i < n; i++) {
        float *values = malloc(folder->model.count * sizeof(float));
        assert_non_null(values);
        vlm_stored_tensor_gather(values, &folder->model, folder->model.grads, &stored[i]);
        snprintf(name, sizeof(name), "grad.%s", stored[i].name);
        close_to(expected, name, values, 1e-4);
        free(values);
    }
    free(stored);
    vlm_model_folder_close(folder);
    vlm_safetensors_close(expected);
}

static void test_golden(void **state)
{
    (void)state;
    check_golden("folder_gpt2");
    check_golden("folder_llama");
}

/* ---- what a foreign folder is ---- */

static void test_what_it_is(void **state)
{
    (void)state;
    struct vlm_model_folder *folder = opened("tests/vectors/folder_llama", 0);
    assert_true(folder->foreign);
    assert_string_equal(folder->recipe.name, "lm");
    assert_ptr_equal(folder->recipe.layer, vlm_layer_find("llama"));
    assert_int_equal(folder->recipe.position, VLM_POSITION_ROTARY);
    assert_null(folder->tokenizer);
    assert_false(folder->has_vocabulary);
    assert_null(folder->images);
    assert_string_equal(folder->image_tokenizer_id, "");
    assert_true(folder->model.config.sizes.biases);
    assert_false(folder->model.config.sizes.hidden_biases);
    assert_int_equal(folder->model.config.sizes.head_size, 4);
    assert_false(folder->model.config.tied);
    vlm_model_folder_close(folder);
}

/* As OpenAI's file has it: no prefix, masks as buffers, a head beside the table it is tied to. */
static void test_bare_names(void **state)
{
    (void)state;
    struct tensors tensors;
    struct vlm_stored_tensor *stored;
    struct vlm_err err = { 0 };
    size_t n;
    char *path = copy_of("folder_gpt2");
    struct vlm_model_folder *plain = opened(path, 0);
    tensors_open(&tensors, "folder_gpt2");
    for (size_t i = 0; i < tensors.n; i++)
        memmove(tensors.name[i], tensors.name[i] + strlen("transformer."),
                strlen(tensors.name[i]) - strlen("transformer.") + 1);
    tensors_add(&tensors, "h.0.attn.bias", 11, 11);
    tensors_add(&tensors, "h.1.attn.masked_bias", 1, 1);
    tensors_add(&tensors, "lm_head.weight", 19, 9);
    tensors_write(&tensors, path, SIZE_MAX);
    struct vlm_model_folder *bare = opened(path, 0);
    assert_true(bare->bare_names);
    assert_false(plain->bare_names);
    assert_memory_equal(bare->model.values, plain->model.values,
                        plain->model.count * sizeof(float));
    assert_int_equal(vlm_stored_tensors(&stored, &n, &bare->model, &err), VLM_OK);
    assert_string_equal(vlm_stored_tensor_name(&stored[0], &bare->model, true), "wte.weight");
    assert_string_equal(vlm_stored_tensor_name(&stored[0], &bare->model, false),
                        "transformer.wte.weight");
    free(stored);
    vlm_model_folder_close(bare);
    /* An untied model needs that head. */
    edit_config(path, "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
    bare = opened(path, 0);
    assert_true(bare->model.head != bare->model.embed);
    assert_true(bare->model.head->data[0] == 0);
    vlm_model_folder_close(bare);
    vlm_model_folder_close(plain);
    tensors_close(&tensors);
    free(path);
}

/* The same weights in two files and an index. */
static void test_index(void **state)
{
    (void)state;
    struct tensors tensors, part;
    char *path = copy_of("folder_llama"), *file = vlm_path_join(path, "model.safetensors"), to[256];
    struct vlm_buffer index = { 0 };
    struct vlm_model_folder *whole = opened(path, 0);
    tensors_open(&tensors, "folder_llama");
    vlm_buffer_text(&index, "{\"metadata\": {}, \"weight_map\": {");
    for (size_t half = 0; half < 2; half++) {
        part = (struct tensors){ .file = NULL };
        for (size_t i = half; i < tensors.n; i += 2) {
            part.item[part.n++] = tensors.item[i];
            vlm_buffer_printf(&index, "%s\"%s\": \"part-%zu.safetensors\"",
                              i == half && !half ? "" : ", ", tensors.name[i], half);
        }
        tensors_write(&part, path, SIZE_MAX);
        snprintf(to, sizeof(to), "%s/part-%zu.safetensors", path, half);
        assert_int_equal(rename(file, to), 0);
    }
    vlm_buffer_text(&index, "}}");
    write_text(path, "model.safetensors.index.json", index.data, index.size);
    struct vlm_model_folder *parts = opened(path, 0);
    assert_memory_equal(parts->model.values, whole->model.values,
                        whole->model.count * sizeof(float));
    vlm_model_folder_close(parts);
    vlm_model_folder_close(whole);
    tensors_close(&tensors);
    vlm_buffer_release(&index);
    free(file);
    free(path);
}

/* ---- config.json ---- */

/* An edit of a golden folder's config.json, and the sentence; NULL: it still opens. */
static const struct {
    const char *golden, *from, *to, *sentence;
    int code;
} refusals[] = {
    { "gpt2", "\"GPT2LMHeadModel\"", "\"OPTForCausalLM\"",
      "\"architectures\" is 'OPTForCausalLM', known are GPT2LMHeadModel, LlamaForCausalLM",
      VLM_EUSAGE },
    { "gpt2", "\"architectures\": [", "\"x\": [", NULL, VLM_OK }, /* model_type says it */
    { "gpt2", "\"n_embd\": 9", "\"n_embd\": 10",
      "\"n_embd\" is 10, which \"n_head\", 3, does not divide", VLM_EFORMAT },
    { "gpt2", "\"n_embd\": 9,", "", "\"n_embd\" is missing", VLM_EFORMAT },
    { "gpt2", "\"n_embd\": 9", "\"n_embd\": null", "\"n_embd\" is missing", VLM_EFORMAT },
    { "gpt2", "\"n_embd\": 9", "\"n_embd\": -9",
      "\"n_embd\" is -9, expected a whole number from 1 to 1048576", VLM_EFORMAT },
    { "gpt2", "\"n_embd\": 9", "\"n_embd\": 9.0", "\"n_embd\" is 9.0, expected a whole number",
      VLM_EFORMAT },
    { "gpt2", "\"n_embd\": 9", "\"n_embd\": \"9\"", "\"n_embd\" is a string, expected a whole",
      VLM_EFORMAT },
    { "gpt2", "\"n_embd\": 9", "\"n_embd\": 1048577", "\"n_embd\" is 1048577, expected",
      VLM_EFORMAT },
    { "gpt2", "\"n_embd\": 9", "\"n_embd\": 99999999999999999999999", "\"n_embd\" is",
      VLM_EFORMAT },
    { "gpt2", "\"n_layer\": 2", "\"n_layer\": 4097",
      "\"n_layer\" is 4097, expected a whole number from 1 to 4096", VLM_EFORMAT },
    { "gpt2", "\"n_layer\": 2", "\"n_layer\": 4096",
      "config.json has 4096 layers, the weights are 28 tensors", VLM_EFORMAT },
    { "gpt2", "\"n_layer\": 2", "\"n_layer\": 3",
      "tensor 'transformer.h.2.ln_1.weight' is missing, expected with shape [9]", VLM_EFORMAT },
    { "gpt2", "\"n_layer\": 2", "\"n_layer\": 1",
      "tensor 'transformer.h.1.attn.c_attn.bias' of shape [27] is not one of this model",
      VLM_EFORMAT },
    { "gpt2", "\"n_positions\": 11", "\"n_positions\": 1048577", "\"n_positions\" is 1048577",
      VLM_EFORMAT },
    { "gpt2", "\"n_positions\": 11", "\"n_positions\": 12",
      "tensor 'transformer.wpe.weight' has the shape [11, 9], expected [12, 9]", VLM_EFORMAT },
    { "gpt2", "\"n_inner\": 14", "\"n_inner\": null",
      "tensor 'transformer.h.0.mlp.c_fc.weight' has the shape [9, 14], expected [9, 36]",
      VLM_EFORMAT },
    { "gpt2", "\"vocab_size\": 19", "\"vocab_size\": 4194305", "\"vocab_size\" is 4194305",
      VLM_EFORMAT },
    { "gpt2", "\"vocab_size\": 19", "\"vocab_size\": 18",
      "tensor 'transformer.wte.weight' has the shape [19, 9], expected [18, 9]", VLM_EFORMAT },
    { "gpt2", "\"gelu_new\"", "\"mish\"",
      "\"activation_function\" is 'mish', known are gelu_new, gelu", VLM_EUSAGE },
    { "gpt2", "\"scale_attn_by_inverse_layer_idx\": false",
      "\"scale_attn_by_inverse_layer_idx\": true",
      "\"scale_attn_by_inverse_layer_idx\" is true, this program can only run models with "
      "false",
      VLM_EUSAGE },
    { "gpt2", "\"scale_attn_weights\": true", "\"scale_attn_weights\": false",
      "\"scale_attn_weights\" is false, this program can only run models with true", VLM_EUSAGE },
    { "gpt2", "\"add_cross_attention\": false", "\"add_cross_attention\": 1",
      "\"add_cross_attention\" is 1, expected true or false", VLM_EFORMAT },
    { "gpt2", "\"layer_norm_epsilon\": 1e-05", "\"layer_norm_epsilon\": 1e400",
      "\"layer_norm_epsilon\" is", VLM_EFORMAT },
    { "gpt2", "\"layer_norm_epsilon\": 1e-05", "\"layer_norm_epsilon\": NaN",
      "\"layer_norm_epsilon\" is NaN, expected a number from 0 to 1", VLM_EFORMAT },
    { "gpt2", "\"n_head\": 3",
      "\"n_head\": 3, \"quantization_config\": {\"quant_method\": \"gptq\"}",
      "\"quantization_config\" says that weights are quantized (gptq)", VLM_EUSAGE },
    { "gpt2", "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false",
      "tensor 'lm_head.weight' is missing, expected with shape [19, 9]", VLM_EFORMAT },
    { "gpt2", "\"tie_word_embeddings\": true,", "", NULL, VLM_OK },   /* GPT-2's default */
    { "llama", "\"tie_word_embeddings\": false,", "", NULL, VLM_OK }, /* Llama's default */
    { "llama", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true", NULL, VLM_OK },
    { "llama", "\"rope_type\": \"default\"", "\"rope_type\": \"yarn\"",
      "\"rope_parameters\" asks for rotary angles of type 'yarn', known is default", VLM_EUSAGE },
    { "llama", "\"head_dim\": 4",
      "\"head_dim\": 4, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}",
      "\"rope_scaling\" asks for rotary angles of type 'linear', known is default", VLM_EUSAGE },
    { "llama", "\"head_dim\": 4", "\"head_dim\": 4, \"partial_rotary_factor\": 0.5",
      "\"partial_rotary_factor\" is 0.5, this program turns whole heads", VLM_EUSAGE },
    { "llama", "\"head_dim\": 4", "\"head_dim\": 4, \"sliding_window\": 4096",
      "\"sliding_window\" is 4096, this program's attention sees all", VLM_EUSAGE },
    { "llama", "\"head_dim\": 4",
      "\"head_dim\": 4, \"sliding_window\": 4096, \"use_sliding_window\": false", NULL, VLM_OK },
    { "llama", "\"head_dim\": 4", "\"head_dim\": 4, \"sliding_window\": null", NULL, VLM_OK },
    { "llama", "\"head_dim\": 4", "\"head_dim\": 513", "\"head_dim\" is 513, expected",
      VLM_EFORMAT },
    { "llama", "\"head_dim\": 4", "\"head_dim\": 5", "rotary positions turn pairs", VLM_EUSAGE },
    { "llama", "\"head_dim\": 4", "\"head_dim\": null",
      "rotary positions turn pairs, and heads have 3 numbers", VLM_EUSAGE },
    { "llama", "\"head_dim\": 4", "\"head_dim\": 6",
      "tensor 'model.layers.0.self_attn.q_proj.weight' has the shape [16, 12], expected [24, "
      "12]",
      VLM_EFORMAT },
    { "llama", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3",
      "4 heads do not divide among 3 heads of keys", VLM_EUSAGE },
    { "llama", "\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"",
      "\"hidden_act\" is 'gelu', a llama trunk has silu", VLM_EUSAGE },
    { "llama", "\"attention_bias\": true", "\"attention_bias\": false",
      "self_attn.k_proj.bias' of shape [8] is not one of this model", VLM_EFORMAT },
    { "llama", "\"mlp_bias\": false", "\"mlp_bias\": true",
      "tensor 'model.layers.0.mlp.gate_proj.bias' is missing", VLM_EFORMAT },
    { "llama", "\"rope_theta\": 10000.0", "\"rope_theta\": 0",
      "\"rope_theta\" is 0, expected a number from 1 to 1e+12", VLM_EFORMAT },
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(refusals); i++) {
        char *path = copy_of(refusals[i].golden[0] == 'g' ? "folder_gpt2" : "folder_llama");
        edit_config(path, refusals[i].from, refusals[i].to);
        if (refusals[i].code == VLM_OK)
            vlm_model_folder_close(opened(path, 0));
        else
            refused(path, refusals[i].code, refusals[i].sentence);
        free(path);
    }
}

/* The angles have stood in two places. */
static void test_old_spelling(void **state)
{
    (void)state;
    char *path = copy_of("folder_llama");
    edit_config(
        path,
        "\"rope_parameters\": {\n    \"rope_theta\": 10000.0,\n    \"rope_type\": \"default\"\n  }",
        "\"rope_theta\": 500000, \"rope_scaling\": null");
    struct vlm_model_folder *folder = opened(path, 0);
    assert_true(folder->model.config.sizes.rotary_base == 500000.0);
    vlm_model_folder_close(folder);
    free(path);
}

static void test_no_json(void **state)
{
    (void)state;
    char *path = copy_of("folder_gpt2"), *file = vlm_path_join(path, "config.json");
    struct vlm_buffer text = { 0 };
    read_text(&text, file);
    while (text.size < VLM_MODEL_CONFIG_MAX)
        vlm_buffer_byte(&text, ' ');
    write_text(path, "config.json", text.data, text.size);
    vlm_model_folder_close(opened(path, 0));
    vlm_buffer_byte(&text, ' ');
    write_text(path, "config.json", text.data, text.size);
    refused(path, VLM_ELIMIT, "has 1048577 bytes, more than 1048576");
    write_text(path, "config.json", "[]", 2);
    refused(path, VLM_EFORMAT, "not a JSON object");
    write_text(path, "config.json", "{}", 2);
    refused(path, VLM_EUSAGE, "\"model_type\" is 'absent', known are GPT2LMHeadModel");
    write_text(path, "config.json", "{\"a\": }", 7);
    refused(path, VLM_EFORMAT, "byte 6 of the JSON");
    vlm_buffer_release(&text);
    free(file);
    free(path);
}

/* ---- tensors ---- */

static void test_tensors(void **state)
{
    (void)state;
    struct tensors tensors;
    char *path = copy_of("folder_gpt2"), *file = vlm_path_join(path, "model.safetensors");
    tensors_open(&tensors, "folder_gpt2");
    size_t at = tensors_find(&tensors, "transformer.h.1.attn.c_proj.bias");
    tensors_write(&tensors, path, at);
    refused(
        path, VLM_EFORMAT,
        "model.safetensors': tensor 'transformer.h.1.attn.c_proj.bias' is missing, expected with "
        "shape [9]");
    tensors.item[at].rank = 2;
    tensors.item[at].shape[0] = 3;
    tensors.item[at].shape[1] = 3;
    tensors_write(&tensors, path, SIZE_MAX);
    refused(path, VLM_EFORMAT, "has the shape [3, 3], expected [9]");
    tensors.item[at].rank = 1;
    tensors.item[at].shape[0] = 9;
    tensors.item[at].dtype = VLM_SAFETENSORS_I32;
    tensors_write(&tensors, path, SIZE_MAX);
    refused(path, VLM_EFORMAT, "is of I32, expected floating-point numbers");
    tensors.item[at].dtype = VLM_SAFETENSORS_F32;
    ((float *)(uintptr_t)tensors.item[at].data)[5] = NAN;
    tensors_write(&tensors, path, SIZE_MAX);
    refused(path, VLM_EFORMAT, "transformer.h.1.attn.c_proj.bias");
    ((float *)(uintptr_t)tensors.item[at].data)[5] = 0;
    tensors_add(&tensors, "transformer.h.1.attn.gate", 2, 3);
    tensors_write(&tensors, path, SIZE_MAX);
    refused(path, VLM_EFORMAT,
            "tensor 'transformer.h.1.attn.gate' of shape [2, 3] is not one of this model");
    assert_int_equal(unlink(file), 0);
    refused(path, VLM_EFAIL, "model.safetensors");
    write_text(path, "pytorch_model.bin", "PK", 2);
    refused(path, VLM_EUSAGE, "has its weights in pytorch_model.bin, expected model.safetensors");
    tensors_close(&tensors);
    free(file);
    free(path);
}

/* Any file that ends too early is refused, whatever the length. */
static void test_truncation(void **state)
{
    (void)state;
    static const char *const names[] = { "config.json", "model.safetensors" };
    for (size_t f = 0; f < 2; f++) {
        char *path = copy_of("folder_gpt2"), *file = vlm_path_join(path, names[f]);
        struct vlm_buffer bytes = { 0 };
        struct vlm_model_folder *folder;
        read_text(&bytes, file);
        size_t size = bytes.size;
        while (size && strchr(" \n", bytes.data[size - 1]))
            size--;
        while (size-- > 0) {
            struct vlm_err err = { 0 };
            assert_int_equal(truncate(file, (off_t)size), 0);
            int rc = vlm_model_folder_open(&folder, path, 0, &err);
            if (rc != VLM_EFORMAT || !*err.msg)
                fail_msg("%s of %zu bytes: %d, %s", names[f], size, rc, err.msg);
        }
        vlm_buffer_release(&bytes);
        free(file);
        free(path);
    }
}

/* One tensor of a header that is being made; *at moves on. */
static void add_header(struct vlm_buffer *to, const char *name, size_t rows, size_t cols,
                       size_t *at)
{
    const size_t bytes = rows * VLM_MAX(cols, (size_t)1) * sizeof(float);
    vlm_buffer_printf(to, "%s\"%s\": {\"dtype\": \"F32\", \"shape\": [%zu", *at ? ", " : "", name,
                      rows);
    if (cols)
        vlm_buffer_printf(to, ", %zu", cols);
    vlm_buffer_printf(to, "], \"data_offsets\": [%zu, %zu]}", *at, *at + bytes);
    *at += bytes;
}

/* A model of a terabyte that costs nothing to send: refused before its numbers are looked at. */
static void test_too_large(void **state)
{
    (void)state;
    enum { WIDTH = 131072, IDS_MAX = 1048576 };
    static const char *const square[] = { "self_attn.q_proj", "self_attn.k_proj",
                                          "self_attn.v_proj", "self_attn.o_proj",
                                          "mlp.gate_proj",    "mlp.up_proj",
                                          "mlp.down_proj" };
    static const char config[] =
        "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 131072, "
        "\"intermediate_size\": "
        "131072, \"num_hidden_layers\": 1, \"num_attention_heads\": 1024, \"vocab_size\": 1048576, "
        "\"tie_word_embeddings\": true}";
    struct vlm_buffer header = { 0 };
    char *path = copy_of("folder_llama"), *file = vlm_path_join(path, "model.safetensors"),
         name[80];
    size_t at = 0;
    vlm_buffer_u64(&header, 0);
    vlm_buffer_byte(&header, '{');
    add_header(&header, "model.embed_tokens.weight", IDS_MAX, WIDTH, &at);
    add_header(&header, "model.norm.weight", WIDTH, 0, &at);
    add_header(&header, "model.layers.0.input_layernorm.weight", WIDTH, 0, &at);
    add_header(&header, "model.layers.0.post_attention_layernorm.weight", WIDTH, 0, &at);
    for (size_t i = 0; i < VLM_COUNTOF(square); i++) {
        snprintf(name, sizeof(name), "model.layers.0.%s.weight", square[i]);
        add_header(&header, name, WIDTH, WIDTH, &at);
    }
    vlm_buffer_byte(&header, '}');
    for (unsigned i = 0; i < 8; i++)
        header.data[i] = (uint8_t)((uint64_t)(header.size - 8) >> 8 * i);
    write_text(path, "config.json", config, strlen(config));
    write_text(path, "model.safetensors", header.data, header.size);
    const bool sparse = !truncate(file, (off_t)(header.size + at));
    if (sparse) /* not every file system has them */
        refused(path, VLM_ELIMIT, "a model of 257698430976 parameters takes 1030.8 GB of memory");
    assert_int_equal(unlink(file), 0);
    vlm_buffer_release(&header);
    free(file);
    free(path);
    if (!sparse)
        skip();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),     cmocka_unit_test(test_what_it_is),
        cmocka_unit_test(test_bare_names), cmocka_unit_test(test_index),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_old_spelling),
        cmocka_unit_test(test_no_json),    cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_truncation), cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
