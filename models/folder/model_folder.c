/* model_folder.c - opening and closing a model folder.
 *
 * In this order: config.json; the names and shapes of all tensors, against a model that has no memory; the
 * finiteness of all numbers; recipe and tokenizers; and only then memory for the weights, into which they are read.
 * GPT-2's turned matrices are read as they stand and turned one by one, so opening takes as much
 * memory as the model and its largest matrix. */
#include "base/vlm.h"

#include "models/folder/folder_internal.h"

#include "base/file.h"
#include "base/limits.h"
#include "nn/safetensors_values.h"

#include <unistd.h>

/* What opening holds on to for a while. */
struct opening {
    struct vlm_model_folder *folder;
    const char *path;
    struct vlm_folder_config config;
    struct vlm_safetensors *file;
    struct vlm_model shapes; /* without memory */
    struct vlm_stored_tensor *stored;
    size_t n;
    struct vlm_safetensors_want *wanted; /* [n] */
};

static bool is_there(const char *folder, const char *name)
{
    char *path = vlm_path_join(folder, name);
    bool there = !access(path, F_OK);
    free(path);
    return there;
}

/* ---- config.json and the tensors ---- */

static int read_config(struct opening *o, struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    char *path = vlm_path_join(o->path, "config.json");
    int rc = vlm_file_read_regular(&text, path, VLM_MODEL_CONFIG_MAX, err);
    if (rc == VLM_OK) {
        rc = vlm_folder_config_parse(&o->config, (const char *)text.data, text.size, err);
        if (rc != VLM_OK)
            rc = vlm_wrap(err, "'%s'", path);
    }
    free(path);
    vlm_buffer_release(&text);
    return rc;
}

static int open_weights(struct opening *o, struct vlm_err *err)
{
    const bool single = is_there(o->path, "model.safetensors") ||
                        !is_there(o->path, "model.safetensors.index.json");
    if (single && !is_there(o->path, "model.safetensors") &&
        (is_there(o->path, "pytorch_model.bin") ||
         is_there(o->path, "pytorch_model.bin.index.json")))
        return vlm_fail(err, VLM_EUSAGE,
                        "'%s' has its weights in pytorch_model.bin, expected model.safetensors: "
                        "transformers' save_pretrained() writes it",
                        o->path);
    char *path =
        vlm_path_join(o->path, single ? "model.safetensors" : "model.safetensors.index.json");
    int rc = vlm_safetensors_open(&o->file, path, err);
    free(path);
    if (rc == VLM_OK &&
        o->config.model.layers + o->config.model.encoder_layers > vlm_safetensors_count(o->file))
        return vlm_fail(err, VLM_EFORMAT,
                        "'%s': config.json has %zu layers, the weights are %zu tensors", o->path,
                        o->config.model.layers + o->config.model.encoder_layers,
                        vlm_safetensors_count(o->file));
    return rc;
}

/* Tensors that transformers has written at times and that hold nothing: masks and angles that follow from
 * config.json, and a head that is tied to the embedding. */
static bool holds_nothing(const char *name, const struct vlm_model_config *config)
{
    static const char *const ends[] = { ".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq" };
    if (config->tied && !strcmp(name, "lm_head.weight"))
        return true;
    for (size_t i = 0; i < VLM_COUNTOF(ends); i++) {
        size_t n = strlen(name), end = strlen(ends[i]);
        if (n >= end && !strcmp(name + n - end, ends[i]))
            return true;
    }
    return false;
}

static int compare_wanted(const void *a, const void *b)
{
    return strcmp(((const struct vlm_safetensors_want *)a)->name,
                  ((const struct vlm_safetensors_want *)b)->name);
}

/* Tensors of the file that no parameter wants. sorted: the wanted ones by name. */
static int check_extra(const struct opening *o, const struct vlm_safetensors_want *sorted,
                       struct vlm_err *err)
{
    for (size_t i = 0; i < vlm_safetensors_count(o->file); i++) {
        const struct vlm_safetensors_entry *entry = vlm_safetensors_at(o->file, i);
        const struct vlm_safetensors_want key = { .name = entry->name };
        if (!bsearch(&key, sorted, o->n, sizeof(*sorted), compare_wanted) &&
            !holds_nothing(entry->name, &o->config.model))
            return vlm_fail(err, VLM_EFORMAT,
                            "'%s': tensor '%s' of shape %s is not one of this model", o->path,
                            vlm_safetensors_quote(entry->name).text,
                            vlm_safetensors_shape(entry->shape, entry->rank).text);
    }
    return VLM_OK;
}

/* A model that cannot be held is refused before its numbers are read for the first time. */
static int check_memory(const struct opening *o, unsigned flags, struct vlm_err *err)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    const double need =
        (double)o->shapes.count * sizeof(float) * (flags & VLM_FOLDER_GRADS ? 2 : 1);
    const double have = (double)pages * (double)page;
    if (pages > 0 && page > 0 && need > have)
        return vlm_fail(err, VLM_ELIMIT,
                        "'%s': a model of %zu parameters takes %.1f GB of memory, this machine has "
                        "%.1f",
                        o->path, o->shapes.count, need / 1e9, have / 1e9);
    return VLM_OK;
}

static int check_tensors(struct opening *o, unsigned flags, struct vlm_err *err)
{
    int rc = vlm_model_init(&o->shapes, &o->config.model, VLM_MODEL_COUNT, err);
    if (rc == VLM_OK)
        rc = vlm_stored_tensors(&o->stored, &o->n, &o->shapes, err);
    if (rc != VLM_OK)
        return rc;
    o->wanted = calloc(o->n + 1, sizeof(*o->wanted));
    struct vlm_safetensors_want *sorted = calloc(o->n + 1, sizeof(*sorted));
    if (!o->wanted || !sorted) {
        free(sorted);
        return vlm_fail(err, VLM_ENOMEM, "no memory for a list of %zu tensors", o->n);
    }
    /* The first is the embedding, which every file has. */
    o->folder->bare_names = !vlm_safetensors_find(o->file, o->stored[0].name);
    for (size_t i = 0; i < o->n; i++) {
        o->wanted[i].name =
            vlm_stored_tensor_name(&o->stored[i], &o->shapes, o->folder->bare_names);
        vlm_stored_tensor_shape(o->wanted[i].shape, &o->wanted[i].rank, &o->shapes, &o->stored[i]);
    }
    memcpy(sorted, o->wanted, o->n * sizeof(*sorted));
    qsort(sorted, o->n, sizeof(*sorted), compare_wanted);
    const unsigned check = VLM_SAFETENSORS_ALLOW_EXTRA | VLM_SAFETENSORS_ONLY_CHECK;
    rc = vlm_safetensors_load(o->file, o->wanted, o->n, check, err);
    if (rc == VLM_OK)
        rc = check_extra(o, sorted, err);
    if (rc == VLM_OK)
        rc = check_memory(o, flags, err);
    if (rc == VLM_OK)
        rc = vlm_safetensors_load(o->file, o->wanted, o->n, check | VLM_SAFETENSORS_FINITE, err);
    free(sorted);
    return rc;
}

static int load(struct opening *o, unsigned flags, struct vlm_err *err)
{
    struct vlm_model *model = &o->folder->model;
    size_t largest = 0;
    float *turned = NULL;
    int rc = vlm_model_init(model, &o->config.model, flags & VLM_FOLDER_GRADS ? VLM_MODEL_GRADS : 0,
                            err);
    for (size_t i = 0; rc == VLM_OK && i < o->n; i++) {
        o->wanted[i].to = model->values + vlm_stored_tensor_offset(model, &o->stored[i]);
        if (o->stored[i].turned)
            largest = VLM_MAX(largest, o->wanted[i].shape[0] * o->wanted[i].shape[1]);
    }
    if (rc == VLM_OK)
        rc = vlm_safetensors_load(o->file, o->wanted, o->n, VLM_SAFETENSORS_ALLOW_EXTRA, err);
    if (rc == VLM_OK && !(turned = malloc(largest * sizeof(float) + 1)))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a matrix of %zu numbers", largest);
    for (size_t i = 0; rc == VLM_OK && i < o->n; i++)
        if (o->stored[i].turned) {
            memcpy(turned, o->wanted[i].to,
                   o->wanted[i].shape[0] * o->wanted[i].shape[1] * sizeof(float));
            vlm_stored_tensor_scatter(model->values, model, turned, &o->stored[i]);
        }
    free(turned);
    return rc;
}

/* ---- recipe, tokenizers ---- */

static int read_recipe(struct opening *o, struct vlm_err *err)
{
    struct vlm_recipe *recipe = &o->folder->recipe;
    const struct vlm_model_config *model = &o->config.model;
    o->folder->foreign = !is_there(o->path, "recipe.ini");
    if (o->folder->foreign) {
        int rc = vlm_recipe_open(recipe, "lm", NULL, 0, err);
        recipe->layer = model->layer;
        recipe->position = model->sizes.position;
        recipe->tied = model->tied;
        return rc;
    }
    struct vlm_buffer text = { 0 };
    char *path = vlm_path_join(o->path, "recipe.ini");
    int rc = vlm_file_read_regular(&text, path, VLM_RECIPE_FILE_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_recipe_parse(recipe, path, (const char *)text.data, text.size, NULL, 0, err);
    if (rc == VLM_EUSAGE) /* nobody has given it as an option: the folder is damaged */
        rc = vlm_recode(err, VLM_EFORMAT);
    vlm_buffer_release(&text);
    if (rc == VLM_OK && (recipe->layer != model->layer || recipe->encoder != model->encoder ||
                         recipe->bridge != model->bridge))
        rc = vlm_fail(err, VLM_EFORMAT, "'%s' is a recipe for other blocks than config.json has",
                      path);
    free(path);
    return rc;
}

static int different_id(const char *word, uint32_t theirs, uint32_t ours, struct vlm_err *err)
{
    return vlm_fail(err, VLM_EDIFFER,
                    "the tokenizer gives '%s' the id %" PRIu32
                    ", config.json's vocabulary_map %" PRIu32,
                    word, theirs, ours);
}

/* The map of config.json must be what the tokenizer gives. */
static int check_vocabulary(const struct vlm_vocabulary *found, const struct vlm_vocabulary *stated,
                            struct vlm_err *err)
{
    char word[VLM_CONTROL_WORD_SIZE];
    if (found->n_text != stated->n_text)
        return vlm_fail(err, VLM_EDIFFER,
                        "the tokenizer has %" PRIu32
                        " ids, config.json's vocabulary_map says %" PRIu32,
                        found->n_text, stated->n_text);
    for (uint32_t i = 0; i < VLM_CONTROLS; i++)
        if (found->control[i] != stated->control[i])
            return different_id(vlm_vocabulary_word(word, i), found->control[i], stated->control[i],
                                err);
    for (uint32_t i = 0; i < stated->n_masks; i++)
        if (found->mask[i] != stated->mask[i])
            return different_id(vlm_vocabulary_word(word, VLM_CONTROLS + i), found->mask[i],
                                stated->mask[i], err);
    if (found->first_code != stated->first_code)
        return different_id("the first code", found->first_code, stated->first_code, err);
    return VLM_OK;
}

static int open_tokenizer(struct opening *o, struct vlm_err *err)
{
    struct vlm_model_folder *folder = o->folder;
    if (!is_there(o->path, "tokenizer.json") && !is_there(o->path, "vocab.json") &&
        !is_there(o->path, "encoder.json"))
        return VLM_OK;
    int rc = vlm_text_tokenizer_open(&folder->tokenizer, o->path, err);
    if (rc != VLM_OK)
        return rc;
    const uint32_t n = vlm_text_tokenizer_size(folder->tokenizer);
    if (n > o->config.model.vocabulary)
        return vlm_fail(err, VLM_EFORMAT,
                        "'%s': the tokenizer has %" PRIu32 " ids, the model a vocabulary of %zu",
                        o->path, n, o->config.model.vocabulary);
    const bool foreign = !o->config.has_vocabulary && !o->config.vocabulary.n_codes;
    const struct vlm_vocabulary_options options = {
        .n_codes = o->config.vocabulary.n_codes,
        .n_masks = o->config.vocabulary.n_masks,
        .behind = foreign ? (uint32_t)o->config.model.vocabulary : 0,
    };
    rc = vlm_vocabulary_init(&folder->vocabulary, folder->tokenizer, &options, err);
    folder->has_vocabulary = rc == VLM_OK;
    if (rc == VLM_OK && foreign) {
        folder->vocabulary.foreign = true;
        folder->vocabulary.size = options.behind;
    }
    if (rc == VLM_OK && o->config.has_vocabulary)
        rc = check_vocabulary(&folder->vocabulary, &o->config.vocabulary, err);
    return rc == VLM_OK ? rc : vlm_wrap(err, "'%s'", o->path);
}

/* What an open image tokenizer must be: the one that is asked for, with a code for each id. */
static int check_images(const struct vlm_model_folder *folder, const char *path,
                        struct vlm_err *err)
{
    const struct vlm_tokenizer_info info = vlm_tokenizer_info(folder->images);
    const size_t codes = folder->vocabulary.n_codes;
    if (strcmp(info.id, folder->image_tokenizer_id) != 0)
        return vlm_fail(err, VLM_EDIFFER,
                        "'%s' is the image tokenizer '%s', config.json asks for '%s'", path,
                        info.id, folder->image_tokenizer_id);
    if (codes && codes != info.codebook_size)
        return vlm_fail(err, VLM_EDIFFER,
                        "the image tokenizer '%s' has %zu codes, config.json's vocabulary_map %zu",
                        info.id, info.codebook_size, codes);
    return VLM_OK;
}

/* The one in vqgan/, or the shipped one when it is the one that is asked for. */
static int open_images(struct opening *o, struct vlm_err *err)
{
    struct vlm_model_folder *folder = o->folder;
    if (!*folder->image_tokenizer_id)
        return VLM_OK;
    const bool own = is_there(o->path, "vqgan");
    char *path = vlm_path_join(o->path, "vqgan");
    int rc = vlm_tokenizer_open(&folder->images, own ? path : NULL, VLM_PRECISION_EXACT, err);
    if (rc == VLM_OK && !own &&
        strcmp(vlm_tokenizer_info(folder->images).id, folder->image_tokenizer_id) != 0) {
        vlm_tokenizer_close(folder->images);
        folder->images = NULL;
    }
    if (rc == VLM_OK && folder->images)
        rc = check_images(folder, path, err);
    free(path);
    return rc;
}

/* ---- all of it ---- */

static int open_parts(struct opening *o, unsigned flags, struct vlm_err *err)
{
    struct vlm_model_folder *folder = o->folder;
    int rc = read_config(o, err);
    if (rc == VLM_OK)
        rc = open_weights(o, err);
    if (rc == VLM_OK)
        rc = check_tensors(o, flags, err);
    if (rc == VLM_OK)
        rc = read_recipe(o, err);
    if (rc != VLM_OK)
        return rc;
    folder->vocabulary = o->config.vocabulary;
    folder->has_vocabulary = o->config.has_vocabulary;
    memcpy(folder->image_tokenizer_id, o->config.image_tokenizer_id,
           sizeof(folder->image_tokenizer_id));
    if (!(flags & VLM_FOLDER_BARE)) {
        rc = open_tokenizer(o, err);
        if (rc == VLM_OK && !(flags & VLM_FOLDER_NO_IMAGES))
            rc = open_images(o, err);
    }
    return rc == VLM_OK ? load(o, flags, err) : rc;
}

/* Folders of runs are the likeliest ones to be given instead. */
static int refuse_folder(const char *path, struct vlm_err *err)
{
    if (is_there(path, "model/config.json"))
        return vlm_fail(err, VLM_EFAIL, "'%s' is not a model folder: its model is '%s/model'", path,
                        path);
    return vlm_fail(err, VLM_EFAIL, "'%s' is not a model folder: it has no config.json", path);
}

int vlm_model_folder_open(struct vlm_model_folder **out, const char *path, unsigned flags,
                          struct vlm_err *err)
{
    struct opening o = { .path = path };
    *out = NULL;
    if (!is_there(path, "config.json"))
        return refuse_folder(path, err);
    o.folder = calloc(1, sizeof(*o.folder));
    if (!o.folder)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a model folder");
    int rc = open_parts(&o, flags, err);
    free(o.wanted);
    free(o.stored);
    vlm_model_release(&o.shapes);
    vlm_safetensors_close(o.file);
    if (rc != VLM_OK) {
        vlm_model_folder_close(o.folder);
        return rc;
    }
    *out = o.folder;
    return VLM_OK;
}

void vlm_model_folder_close(struct vlm_model_folder *folder)
{
    if (!folder)
        return;
    vlm_model_release(&folder->model);
    vlm_text_tokenizer_close(folder->tokenizer);
    vlm_tokenizer_close(folder->images);
    free(folder);
}
