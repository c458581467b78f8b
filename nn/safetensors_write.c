/* safetensors_write.c - tensors and metadata to a file, whole or not at all.
 *
 * The content is checked first (names, limits, finite values), then the header is made in memory,
 * then everything goes to path.tmp, which is synced and renamed. The bytes depend on the content
 * alone: {"__metadata__": {...}, "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
 * ...}, spaces up to a multiple of 8 bytes, then the values of all tensors in their order. */
#include "base/vlm.h"

#include "nn/safetensors_internal.h"

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"

enum { PIECE = 4096 }; /* values that are looked at at once */

static int check_text(const char *what, const char *text, struct vlm_err *err)
{
    size_t n = strlen(text), valid = vlm_utf8_valid_prefix(text, n);
    if (valid != n)
        return vlm_fail(err, VLM_EFORMAT, "%s '%s' is not UTF-8 at byte %zu", what,
                        vlm_safetensors_quote(text).text, valid);
    return VLM_OK;
}

static int compare_text(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    return strcmp(*left, *right);
}

/* Sorts names and finds two that are equal. */
static int check_unique(const char *what, const char **names, size_t n, struct vlm_err *err)
{
    if (n)
        qsort(names, n, sizeof(*names), compare_text);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(names[i - 1], names[i]))
            return vlm_fail(err, VLM_EFORMAT, "two %s '%s'", what,
                            vlm_safetensors_quote(names[i]).text);
    return VLM_OK;
}

static int check_names(const struct vlm_safetensors_content *content, struct vlm_err *err)
{
    size_t n = VLM_MAX(content->count, content->metadata_count);
    if (n > VLM_SAFETENSORS_COUNT_MAX)
        return vlm_fail(err, VLM_ELIMIT, "more than %d tensors or pairs of metadata",
                        VLM_SAFETENSORS_COUNT_MAX);
    const char **names = malloc((n + 1) * sizeof(*names));
    if (!names)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu names", n);
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < content->count; i++) {
        names[i] = content->items[i].name;
        rc = check_text("tensor", names[i], err);
        if (rc == VLM_OK && (!*names[i] || !strcmp(names[i], "__metadata__")))
            rc = vlm_fail(err, VLM_EFORMAT, "a tensor cannot have the name '%s'", names[i]);
    }
    if (rc == VLM_OK)
        rc = check_unique("tensors", names, content->count, err);
    for (size_t i = 0; rc == VLM_OK && i < content->metadata_count; i++) {
        names[i] = content->metadata[i].key;
        rc = check_text("metadata", names[i], err);
        if (rc == VLM_OK)
            rc = check_text("metadata", content->metadata[i].value, err);
    }
    if (rc == VLM_OK)
        rc = check_unique("keys of metadata", names, content->metadata_count, err);
    free(names);
    return rc;
}

static const void *values_of(const struct vlm_safetensors_content *content, size_t number)
{
    return content->values ? content->values(content->context, number)
                           : content->items[number].data;
}

static int check_values(const struct vlm_safetensors_item *item, const void *values, size_t count,
                        struct vlm_err *err)
{
    size_t size = vlm_safetensors_dtype_size(item->dtype);
    float floats[PIECE];
    if (!vlm_safetensors_is_float(item->dtype))
        return VLM_OK;
    for (size_t done = 0, n; done < count; done += n) {
        const char *from = (const char *)values + done * size;
        n = VLM_MIN(count - done, (size_t)PIECE);
        vlm_safetensors_to_f32(floats, from, item->dtype, n);
        size_t bad = vlm_safetensors_first_nonfinite(floats, n);
        if (bad < n)
            return vlm_safetensors_fail_nonfinite(item->name, item->dtype, done + bad, floats[bad],
                                                  err);
    }
    return VLM_OK;
}

/* Bytes of an item; shapes are the caller's own. */
static size_t bytes_of(const struct vlm_safetensors_item *item)
{
    size_t count, bytes;
    VLM_BUG_IF(item->rank > VLM_SAFETENSORS_RANK_MAX ||
               !vlm_safetensors_product(&count, item->shape, item->rank));
    VLM_BUG_IF(__builtin_mul_overflow(count, vlm_safetensors_dtype_size(item->dtype), &bytes));
    return bytes;
}

static void write_tensor(struct vlm_json *json, const struct vlm_safetensors_item *item,
                         uint64_t begin)
{
    vlm_json_key(json, item->name);
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "dtype", vlm_safetensors_dtype_name(item->dtype));
    vlm_json_key(json, "shape");
    vlm_json_open(json, '[');
    for (unsigned i = 0; i < item->rank; i++)
        vlm_json_number(json, item->shape[i]);
    vlm_json_close(json, ']');
    vlm_json_key(json, "data_offsets");
    vlm_json_open(json, '[');
    vlm_json_number(json, begin);
    vlm_json_number(json, begin + bytes_of(item));
    vlm_json_close(json, ']');
    vlm_json_close(json, '}');
}

static int make_header(struct vlm_buffer *header, const struct vlm_safetensors_content *content,
                       struct vlm_err *err)
{
    struct vlm_json json = { .out = header };
    uint64_t begin = 0;
    vlm_buffer_u64(header, 0); /* the size, known at the end */
    vlm_json_open(&json, '{');
    if (content->metadata_count) {
        vlm_json_key(&json, "__metadata__");
        vlm_json_open(&json, '{');
        for (size_t i = 0; i < content->metadata_count; i++)
            vlm_json_member_string(&json, content->metadata[i].key, content->metadata[i].value);
        vlm_json_close(&json, '}');
    }
    for (size_t i = 0; i < content->count; i++) {
        write_tensor(&json, &content->items[i], begin);
        begin += bytes_of(&content->items[i]);
    }
    vlm_json_close(&json, '}');
    while (!header->failed && header->size % 8)
        vlm_buffer_byte(header, ' ');
    if (header->failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a header of %zu tensors", content->count);
    size_t size = header->size - 8;
    if (size > VLM_SAFETENSORS_HEADER_MAX)
        return vlm_fail(err, VLM_ELIMIT, "a header of %zu bytes is over the limit of %zu", size,
                        VLM_SAFETENSORS_HEADER_MAX);
    for (unsigned i = 0; i < 8; i++)
        header->data[i] = (uint8_t)((uint64_t)size >> 8 * i);
    return VLM_OK;
}

struct pieces {
    const struct vlm_buffer *header;
    const struct vlm_safetensors_content *content;
};

static int write_pieces(int fd, const char *path, const void *context, struct vlm_err *err)
{
    const struct pieces *pieces = context;
    const struct vlm_safetensors_content *content = pieces->content;
    int rc = vlm_write_all(fd, pieces->header->data, pieces->header->size, path, err);
    for (size_t i = 0; rc == VLM_OK && i < content->count; i++) {
        const void *values = values_of(content, i);
        const size_t bytes = bytes_of(&content->items[i]);
        VLM_BUG_IF(bytes && !values);
        rc = vlm_write_all(fd, values, bytes, path, err);
    }
    return rc;
}

int vlm_safetensors_write(const char *path, const struct vlm_safetensors_content *content,
                          struct vlm_err *err)
{
    struct vlm_buffer header = { 0 };
    struct vlm_err ignored = { 0 };
    err = err ? err : &ignored;
    int rc = check_names(content, err);
    if (content->flags & VLM_SAFETENSORS_FINITE)
        for (size_t i = 0; rc == VLM_OK && i < content->count; i++)
            rc = check_values(&content->items[i], values_of(content, i),
                              bytes_of(&content->items[i]) /
                                  vlm_safetensors_dtype_size(content->items[i].dtype),
                              err);
    if (rc == VLM_OK)
        rc = make_header(&header, content, err);
    if (rc != VLM_OK)
        rc = vlm_wrap(err, "cannot write '%s'", path);
    else
        rc = vlm_file_write_with(path, write_pieces, &(struct pieces){ &header, content }, err);
    vlm_buffer_release(&header);
    return rc;
}
