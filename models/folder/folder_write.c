/* folder_write.c - writing a model folder, file by file; each is whole before it has its name.
 *
 * Nothing in a file depends on time, machine or folder, so the same model gives the same bytes. Beside the
 * model there is memory for its largest tensor: those that stand otherwise in the file (turned, or in bf16) are
 * made one by one. */
#include "base/vlm.h"

#include "models/folder/folder_internal.h"

#include "base/file.h"
#include "nn/safetensors.h"
#include "nn/safetensors_values.h"

/* ---- model.safetensors ---- */

/* The nearest bf16, ties to even. A NaN stays one, for the writer to refuse. */
static uint16_t rounded(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    if ((bits & 0x7fffffff) > 0x7f800000)
        return 0x7fc0;
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

struct weights {
    const struct vlm_model *model;
    bool bf16;
    struct vlm_stored_tensor *stored;
    size_t n;
    struct vlm_safetensors_item *items;
    float *one; /* room for the largest tensor */
};

/* One tensor as the file has it; bf16 is made in the place of the floats, from the front. */
static const void *values_of(void *context, size_t number)
{
    const struct weights *w = context;
    const struct vlm_stored_tensor *stored = &w->stored[number];
    size_t count;
    if (!w->bf16 && !stored->turned)
        return w->model->values + vlm_stored_tensor_offset(w->model, stored);
    vlm_stored_tensor_gather(w->one, w->model, w->model->values, stored);
    VLM_BUG_IF(!vlm_safetensors_product(&count, w->items[number].shape, w->items[number].rank));
    for (size_t i = 0; w->bf16 && i < count; i++) {
        const uint16_t bits = rounded(w->one[i]);
        memcpy((char *)w->one + i * sizeof(bits), &bits, sizeof(bits));
    }
    return w->one;
}

static int make_items(struct weights *w, struct vlm_err *err)
{
    size_t largest = 0;
    w->items = calloc(w->n + 1, sizeof(*w->items));
    if (!w->items)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a list of %zu tensors", w->n);
    for (size_t i = 0; i < w->n; i++) {
        struct vlm_safetensors_item *item = &w->items[i];
        size_t count;
        item->name = w->stored[i].name;
        item->dtype = w->bf16 ? VLM_SAFETENSORS_BF16 : VLM_SAFETENSORS_F32;
        vlm_stored_tensor_shape(item->shape, &item->rank, w->model, &w->stored[i]);
        VLM_BUG_IF(!vlm_safetensors_product(&count, item->shape, item->rank));
        if (w->bf16 || w->stored[i].turned)
            largest = VLM_MAX(largest, count);
    }
    w->one = malloc(largest * sizeof(float) + 1);
    return w->one ? VLM_OK
                  : vlm_fail(err, VLM_ENOMEM, "no memory for a tensor of %zu numbers", largest);
}

static int write_weights(const char *folder, const struct vlm_model_content *content,
                         struct vlm_err *err)
{
    struct weights w = { .model = content->model, .bf16 = content->bf16 };
    int rc = vlm_stored_tensors(&w.stored, &w.n, content->model, err);
    if (rc == VLM_OK)
        rc = make_items(&w, err);
    /* transformers asks for this pair before it takes a file for one of PyTorch's. */
    const struct vlm_safetensors_pair format = { "format", "pt" };
    const struct vlm_safetensors_content file = { .items = w.items,
                                                  .count = w.n,
                                                  .metadata = &format,
                                                  .metadata_count = 1,
                                                  .flags = VLM_SAFETENSORS_FINITE,
                                                  .values = values_of,
                                                  .context = &w };
    char *path = vlm_path_join(folder, "model.safetensors");
    if (rc == VLM_OK)
        rc = vlm_safetensors_write(path, &file, err);
    free(path);
    free(w.one);
    free(w.items);
    free(w.stored);
    return rc;
}

/* ---- texts ---- */

/* Writes and empties the buffer. */
static int write_text(const char *folder, const char *name, struct vlm_buffer *text,
                      struct vlm_err *err)
{
    char *path = vlm_path_join(folder, name);
    int rc = text->failed ? vlm_fail(err, VLM_ENOMEM, "no memory for '%s'", path)
                          : vlm_file_write(path, text->data, text->size, err);
    free(path);
    vlm_buffer_reset(text);
    return rc;
}

/* The words of the special tokens, as far as they are ids of the tokenizer: transformers would give new
 * ids to others. */
static void write_specials(struct vlm_json *json, const struct vlm_vocabulary *vocabulary)
{
    static const struct {
        const char *key;
        enum vlm_control control;
    } specials[] = {
        { "bos_token", VLM_CONTROL_BEGIN },
        { "eos_token", VLM_CONTROL_END },
        { "pad_token", VLM_CONTROL_PAD },
    };
    for (size_t i = 0; i < VLM_COUNTOF(specials); i++) {
        const uint32_t id = vocabulary->control[specials[i].control];
        if (id >= vocabulary->n_text)
            continue;
        const struct vlm_bytes piece = vlm_text_tokenizer_piece(vocabulary->tokenizer, id);
        vlm_json_key(json, specials[i].key);
        vlm_json_text(json, (const char *)piece.at, vlm_bytes_left(&piece));
    }
}

static void tokenizer_config(struct vlm_buffer *out, const struct vlm_model_content *content)
{
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "tokenizer_class", "PreTrainedTokenizerFast");
    vlm_json_member_number(&json, "model_max_length", content->model->config.context);
    vlm_json_key(&json, "clean_up_tokenization_spaces");
    vlm_json_bool(&json, false);
    write_specials(&json, content->vocabulary);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(out, '\n');
}

static void specials_map(struct vlm_buffer *out, const struct vlm_model_content *content)
{
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    write_specials(&json, content->vocabulary);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(out, '\n');
}

/* What stands for an image in a prompt: its 256 codes between these two strings, or one <image>. */
static void processor_config(struct vlm_buffer *out, const struct vlm_model_content *content)
{
    const struct vlm_vocabulary *vocabulary = content->vocabulary;
    struct vlm_json json = { .out = out };
    char word[VLM_CONTROL_WORD_SIZE];
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "image_tokenizer", content->image_tokenizer_id);
    vlm_json_member_number(&json, "image_seq_length", VLM_CODES);
    vlm_json_member_number(&json, "image_size", VLM_SQUARE_SIDE);
    vlm_json_member_string(&json, "image_token", vlm_vocabulary_word(word, VLM_CONTROL_IMAGE));
    vlm_json_member_number(&json, "image_token_id", vocabulary->control[VLM_CONTROL_IMAGE]);
    vlm_json_member_string(&json, "image_start", vocabulary->n_codes ? "<img src=\"" : "");
    vlm_json_member_string(&json, "image_end", vocabulary->n_codes ? "\">" : "");
    vlm_json_close(&json, '}');
    vlm_buffer_byte(out, '\n');
}

static int write_texts(const char *folder, const struct vlm_model_content *content,
                       struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    vlm_folder_config_write(&text, content);
    int rc = write_text(folder, "config.json", &text, err);
    if (rc == VLM_OK) {
        vlm_folder_generation_write(&text, content->vocabulary);
        rc = write_text(folder, "generation_config.json", &text, err);
    }
    if (rc == VLM_OK) {
        tokenizer_config(&text, content);
        rc = write_text(folder, "tokenizer_config.json", &text, err);
    }
    if (rc == VLM_OK) {
        specials_map(&text, content);
        rc = write_text(folder, "special_tokens_map.json", &text, err);
    }
    if (rc == VLM_OK && content->image_tokenizer_id && *content->image_tokenizer_id) {
        processor_config(&text, content);
        rc = write_text(folder, "processor_config.json", &text, err);
    }
    if (rc == VLM_OK) {
        vlm_recipe_write(&text, content->recipe);
        rc = write_text(folder, "recipe.ini", &text, err);
    }
    if (rc == VLM_OK && content->readme) {
        vlm_buffer_text(&text, content->readme);
        rc = write_text(folder, "README.md", &text, err);
    }
    if (rc == VLM_OK && content->provenance) {
        vlm_buffer_text(&text, content->provenance);
        rc = write_text(folder, "provenance.json", &text, err);
    }
    vlm_buffer_release(&text);
    return rc;
}

/* ---- the image tokenizer ---- */

static int copy_images(const char *folder, const char *from, struct vlm_err *err)
{
    static const char *const names[] = { "model.safetensors", "config.json" };
    char *to = vlm_path_join(folder, "vqgan");
    int rc = vlm_folder_make(to, err);
    for (size_t i = 0; rc == VLM_OK && i < VLM_COUNTOF(names); i++) {
        char *source = vlm_path_join(from, names[i]), *target = vlm_path_join(to, names[i]);
        rc = vlm_file_copy(target, source, err);
        free(target);
        free(source);
    }
    free(to);
    return rc;
}

int vlm_model_folder_write(const char *path, const struct vlm_model_content *content,
                           struct vlm_err *err)
{
    VLM_BUG_IF(!content->vocabulary->tokenizer);
    int rc = write_weights(path, content, err);
    if (rc == VLM_OK) {
        char *file = vlm_path_join(path, "tokenizer.json");
        rc = vlm_text_tokenizer_save(content->vocabulary->tokenizer, file, err);
        free(file);
    }
    if (rc == VLM_OK && content->image_tokenizer)
        rc = copy_images(path, content->image_tokenizer, err);
    if (rc == VLM_OK)
        rc = write_texts(path, content, err);
    return rc;
}
