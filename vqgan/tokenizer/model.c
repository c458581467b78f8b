/* model.c - writing a tokenizer's folder, and the id that names what it does.
 *
 * The id is computed from values, not from the file: the same weights give the same id from a torch
 * checkpoint, from bf16 or from tensors in another order. It is stored in config.json and computed
 * again whenever a model is opened. */
#include "base/vlm.h"

#include "vqgan/tokenizer/model.h"

#include "base/file.h"
#include "base/json.h"
#include "vqgan/tokenizer/model_internal.h"

struct named {
    const char *name;
    size_t number;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* Little-endian, as all our formats. */
static void add_number(struct vlm_sha256_stream *hash, uint64_t number)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(number >> 8 * i);
    vlm_sha256_add(hash, bytes, sizeof(bytes));
}

int vlm_model_id(char id[VLM_TOKENIZER_ID_SIZE], const struct vlm_model_values *values,
                 enum vlm_precision precision, struct vlm_err *err)
{
    static const char *const words[] = { "", "fast", "bf16" };
    struct named *order = calloc(values->count + 1, sizeof(*order));
    struct vlm_sha256_stream *hash = vlm_sha256_begin();
    int rc = order && hash ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for a tokenizer's id");
    for (size_t i = 0; rc == VLM_OK && i < values->count; i++)
        order[i] = (struct named){ values->name(values->context, i), i };
    if (rc == VLM_OK) {
        qsort(order, values->count, sizeof(*order), compare_names);
        vlm_sha256_add(hash, "vlm-tokenizer 1", sizeof("vlm-tokenizer 1"));
        vlm_sha256_add(hash, values->kind, strlen(values->kind) + 1);
        vlm_sha256_add(hash, values->architecture, strlen(values->architecture) + 1);
        vlm_sha256_add(hash, words[precision], strlen(words[precision]) + 1);
    }
    for (size_t i = 0; rc == VLM_OK && i < values->count; i++) {
        struct vlm_model_tensor tensor;
        rc = values->read(values->context, order[i].number, &tensor, err);
        if (rc != VLM_OK)
            break;
        size_t count = 1;
        vlm_sha256_add(hash, tensor.name, strlen(tensor.name) + 1);
        add_number(hash, tensor.rank);
        for (unsigned k = 0; k < tensor.rank; k++) {
            add_number(hash, tensor.shape[k]);
            count *= tensor.shape[k];
        }
        vlm_sha256_add(hash, tensor.data, count * sizeof(float));
    }
    uint8_t digest[VLM_SHA256_SIZE] = { 0 };
    char hex[13];
    if (hash)
        vlm_sha256_end(hash, digest);
    snprintf(id, VLM_TOKENIZER_ID_SIZE, "%.18s-%s", values->kind, vlm_hex(hex, digest, 6));
    free(order);
    return rc;
}

/* ---- writing ---- */

static const char *content_name(const void *context, size_t i)
{
    return ((const struct vlm_model_content *)context)->tensors[i].name;
}

static int content_read(const void *context, size_t i, struct vlm_model_tensor *tensor,
                        struct vlm_err *err)
{
    (void)err;
    *tensor = ((const struct vlm_model_content *)context)->tensors[i];
    return VLM_OK;
}

/* One spelling for the same object, so that blanks do not change the id. */
int vlm_model_plain(char **plain, const char *text, struct vlm_err *err)
{
    json_object *object = NULL;
    *plain = NULL;
    int rc = vlm_json_parse(&object, text, strlen(text), err);
    if (rc == VLM_OK)
        *plain = strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
    if (rc == VLM_OK && !*plain)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a tokenizer's configuration");
    return rc;
}

void vlm_model_round(float *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &numbers[i], sizeof(bits));
        bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
        memcpy(&numbers[i], &bits, sizeof(bits));
    }
}

static int write_tensors(const char *folder, const struct vlm_model_content *content,
                         struct vlm_err *err)
{
    struct vlm_safetensors_item *items = calloc(content->count + 1, sizeof(*items));
    uint16_t **rounded = calloc(content->count + 1, sizeof(*rounded));
    int rc = items && rounded ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for the tensors");
    for (size_t i = 0; rc == VLM_OK && i < content->count; i++) {
        const struct vlm_model_tensor *t = &content->tensors[i];
        size_t count = 1;
        items[i] =
            (struct vlm_safetensors_item){ .name = t->name, .rank = t->rank, .data = t->data };
        for (unsigned k = 0; k < t->rank; k++)
            count *= items[i].shape[k] = t->shape[k];
        if (!content->store_bf16)
            continue;
        items[i].dtype = VLM_SAFETENSORS_BF16;
        items[i].data = rounded[i] = malloc(count * sizeof(uint16_t) + 1);
        if (!rounded[i])
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for the tensors");
        for (size_t k = 0; rc == VLM_OK && k < count; k++) {
            uint32_t bits;
            memcpy(&bits, &t->data[k], sizeof(bits));
            VLM_BUG_IF(bits & 0xffff);
            rounded[i][k] = (uint16_t)(bits >> 16);
        }
    }
    char *path = vlm_path_join(folder, "model.safetensors");
    const struct vlm_safetensors_content file = { .items = items,
                                                  .count = content->count,
                                                  .flags = VLM_SAFETENSORS_FINITE };
    if (rc == VLM_OK)
        rc = vlm_safetensors_write(path, &file, err);
    free(path);
    for (size_t i = 0; rounded && i < content->count; i++)
        free(rounded[i]);
    free(rounded);
    free(items);
    return rc;
}

static void add_config(struct vlm_buffer *out, const struct vlm_model_content *content,
                       const char *architecture, const char *training, const char *id)
{
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "format", VLM_MODEL_FORMAT);
    vlm_json_member_string(&json, "tokenizer", id);
    vlm_json_member_string(&json, "kind", content->kind);
    vlm_json_member_number(&json, "codebook_size", content->codebook_size);
    vlm_json_member_number(&json, "code_width", content->code_width);
    vlm_buffer_printf(out, ", \"architecture\": %s", architecture);
    if (training)
        vlm_buffer_printf(out, ", \"training\": %s", training);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(out, '\n');
}

int vlm_model_write(const char *folder, const struct vlm_model_content *content,
                    char id[VLM_TOKENIZER_ID_SIZE], struct vlm_err *err)
{
    char own[VLM_TOKENIZER_ID_SIZE], *architecture = NULL, *training = NULL;
    struct vlm_buffer config = { 0 };
    int rc = vlm_model_plain(&architecture, content->architecture, err);
    if (rc == VLM_OK && content->training)
        rc = vlm_model_plain(&training, content->training, err);
    const struct vlm_model_values values = { .kind = content->kind,
                                             .architecture = architecture,
                                             .count = content->count,
                                             .name = content_name,
                                             .read = content_read,
                                             .context = content };
    if (rc == VLM_OK)
        rc = vlm_model_id(own, &values, VLM_PRECISION_EXACT, err);
    if (rc == VLM_OK)
        rc = vlm_folder_make(folder, err);
    if (rc == VLM_OK)
        rc = write_tensors(folder, content, err);
    if (rc == VLM_OK) {
        char *path = vlm_path_join(folder, "config.json");
        add_config(&config, content, architecture, training, own);
        rc = config.failed ? vlm_fail(err, VLM_ENOMEM, "no memory for '%s'", path)
                           : vlm_file_write(path, config.data, config.size, err);
        free(path);
    }
    if (rc == VLM_OK && id)
        memcpy(id, own, sizeof(own));
    vlm_buffer_release(&config);
    free(architecture);
    free(training);
    return rc;
}
