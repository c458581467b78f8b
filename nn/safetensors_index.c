/* safetensors_index.c - model.safetensors.index.json: which of several files holds which tensor.
 *
 *   {"metadata": {"total_size": 24}, "weight_map": {"a": "model-1.safetensors", ...}}
 *
 * Names of files are plain: nothing is opened outside the folder of the index. The map must say
 * exactly what the files hold, no more and no less; total_size, when it is there, the bytes of all
 * tensors. */
#include "base/vlm.h"

#include "nn/safetensors_internal.h"

#include "base/file.h"
#include "base/json_scan.h"

struct index {
    struct vlm_buffer text;
    struct vlm_safetensors_pair *map; /* tensor, file */
    size_t count, capacity;
    bool has_map, has_metadata, has_total;
    uint64_t total;
};

static int read_map(struct index *index, struct vlm_json_scan *in, struct vlm_err *err)
{
    vlm_json_scan_open(in, '{');
    while (vlm_json_scan_more(in, '}')) {
        const char *name = vlm_json_scan_key(in), *path = vlm_json_scan_string(in);
        if (in->problem)
            break;
        if (index->count == VLM_SAFETENSORS_COUNT_MAX)
            return vlm_fail(err, VLM_ELIMIT, "more than %d tensors", VLM_SAFETENSORS_COUNT_MAX);
        if (!*path || *path == '.' || strchr(path, '/'))
            return vlm_fail(err, VLM_EFORMAT,
                            "tensor '%s' is said to be in '%s', which is no plain file name",
                            vlm_safetensors_quote(name).text, vlm_safetensors_quote(path).text);
        void *map =
            vlm_safetensors_grow(index->map, index->count, &index->capacity, sizeof(*index->map));
        if (!map)
            return vlm_fail(err, VLM_ENOMEM, "no memory for %zu names", index->count);
        index->map = map;
        index->map[index->count++] = (struct vlm_safetensors_pair){ name, path };
    }
    return VLM_OK;
}

static int read_total(struct index *index, struct vlm_json_scan *in, struct vlm_err *err)
{
    vlm_json_scan_open(in, '{');
    while (vlm_json_scan_more(in, '}')) {
        const char *key = vlm_json_scan_key(in);
        if (strcmp(key, "total_size") != 0) {
            vlm_json_scan_skip(in);
            continue;
        }
        if (index->has_total)
            return vlm_fail(err, VLM_EFORMAT, "two members 'total_size'");
        index->has_total = true;
        index->total = vlm_json_scan_number(in);
    }
    return VLM_OK;
}

static int read_text(struct index *index, struct vlm_err *err)
{
    struct vlm_json_scan in;
    int rc = VLM_OK;
    vlm_json_scan_init(&in, (char *)index->text.data, index->text.size);
    vlm_json_scan_open(&in, '{');
    while (rc == VLM_OK && vlm_json_scan_more(&in, '}')) {
        const char *key = vlm_json_scan_key(&in);
        bool is_map = !strcmp(key, "weight_map"), is_metadata = !strcmp(key, "metadata");
        if ((is_map && index->has_map) || (is_metadata && index->has_metadata))
            return vlm_fail(err, VLM_EFORMAT, "two members '%s'", key);
        index->has_map = index->has_map || is_map;
        index->has_metadata = index->has_metadata || is_metadata;
        if (is_map)
            rc = read_map(index, &in, err);
        else if (is_metadata)
            rc = read_total(index, &in, err);
        else
            vlm_json_scan_skip(&in);
    }
    if (rc != VLM_OK)
        return rc;
    vlm_json_scan_end(&in);
    if (in.problem)
        return vlm_fail(err, VLM_EFORMAT, "byte %zu: %s", in.offset, in.problem);
    if (!index->count)
        return vlm_fail(err, VLM_EFORMAT, "it has no 'weight_map', or an empty one");
    return VLM_OK;
}

static int compare_files(const void *a, const void *b)
{
    const struct vlm_safetensors_pair *left = a, *right = b;
    return strcmp(left->value, right->value);
}

static int compare_tensors(const void *a, const void *b)
{
    const struct vlm_safetensors_pair *left = a, *right = b;
    return strcmp(left->key, right->key);
}

/* Opens each file once, in the order of their names. */
static int open_files(struct vlm_safetensors *file, struct index *index, const char *path,
                      struct vlm_err *err)
{
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    qsort(index->map, index->count, sizeof(*index->map), compare_files);
    for (size_t i = 0; i < index->count; i++) {
        const char *name = index->map[i].value;
        if (i && !strcmp(name, index->map[i - 1].value))
            continue;
        if (file->n_parts == VLM_SAFETENSORS_FILES_MAX)
            return vlm_fail(err, VLM_ELIMIT, "'%s' names more than %d files", path,
                            VLM_SAFETENSORS_FILES_MAX);
        size_t size = folder + strlen(name) + 1;
        char *beside = malloc(size);
        if (!beside)
            return vlm_fail(err, VLM_ENOMEM, "no memory for the name of a file");
        memcpy(beside, path, folder);
        memcpy(beside + folder, name, size - folder);
        int rc = vlm_safetensors_add_part(file, -1, beside, err);
        free(beside);
        if (rc != VLM_OK)
            return vlm_wrap(err, "'%s'", path);
    }
    return VLM_OK;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The map and the files say the same. */
static int compare(const struct vlm_safetensors *file, struct index *index, struct vlm_err *err)
{
    uint64_t total = 0; /* of files that exist: no overflow */
    qsort(index->map, index->count, sizeof(*index->map), compare_tensors);
    for (size_t i = 1; i < index->count; i++)
        if (!strcmp(index->map[i - 1].key, index->map[i].key))
            return vlm_fail(err, VLM_EFORMAT, "tensor '%s' stands twice in weight_map",
                            vlm_safetensors_quote(index->map[i].key).text);
    for (size_t i = 0; i < index->count; i++) {
        const struct vlm_safetensors_pair *pair = &index->map[i];
        const struct vlm_safetensors_entry *entry = vlm_safetensors_find(file, pair->key);
        if (!entry || strcmp(base_name(file->parts[entry->part].path), pair->value) != 0)
            return vlm_fail(err, VLM_EFORMAT, "tensor '%s' is not in '%s'",
                            vlm_safetensors_quote(pair->key).text,
                            vlm_safetensors_quote(pair->value).text);
    }
    for (size_t i = 0; i < file->count; i++) {
        const struct vlm_safetensors_entry *entry = &file->entries[i];
        struct vlm_safetensors_pair pair = { entry->name, NULL };
        if (!bsearch(&pair, index->map, index->count, sizeof(pair), compare_tensors))
            return vlm_fail(err, VLM_EFORMAT, "tensor '%s' of '%s' is not in weight_map",
                            vlm_safetensors_quote(entry->name).text, file->parts[entry->part].path);
        total += entry->bytes;
    }
    if (index->has_total && index->total != total)
        return vlm_fail(err, VLM_EFORMAT,
                        "total_size is %" PRIu64 ", the tensors have %" PRIu64 " bytes",
                        index->total, total);
    return VLM_OK;
}

int vlm_safetensors_read_index(struct vlm_safetensors *file, const char *path, struct vlm_err *err)
{
    struct index index = { 0 };
    int rc = vlm_file_read_regular(&index.text, path, VLM_SAFETENSORS_HEADER_MAX, err);
    if (rc == VLM_OK) {
        rc = read_text(&index, err);
        if (rc != VLM_OK)
            rc = vlm_wrap(err, "'%s'", path);
    }
    if (rc == VLM_OK)
        rc = open_files(file, &index, path, err);
    if (rc == VLM_OK)
        rc = vlm_safetensors_settle(file, err);
    if (rc == VLM_OK) {
        rc = compare(file, &index, err);
        if (rc != VLM_OK)
            rc = vlm_wrap(err, "'%s'", path);
    }
    file->n_metadata = 0;
    free(index.map);
    vlm_buffer_release(&index.text);
    return rc;
}
