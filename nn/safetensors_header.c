/* safetensors_header.c - the header of a file: from JSON text to entries, and all its rules.
 *
 * The text is scanned once, strictly (base/json_scan.h); members that the format does not have are
 * refused. Then two sorts check the whole: by name for duplicates, by offset for overlaps and
 * holes. Nothing here looks at a value of a tensor. */
#include "base/vlm.h"

#include "nn/safetensors_internal.h"

#include "base/json_scan.h"

struct header { /* what the functions of one header share */
    struct vlm_safetensors *file;
    struct vlm_safetensors_part *part;
    struct vlm_json_scan in;
    struct vlm_err *err;
    bool has_metadata;
};

enum member { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };

static const struct {
    const char *name;
    enum member bit;
} members[] = { { "dtype", DTYPE }, { "shape", SHAPE }, { "data_offsets", OFFSETS } };

/* Every reader of a piece ends with this: the problem of the text, when there is one, as a
 * sentence. */
static int scan_result(const struct header *h)
{
    if (!h->in.problem)
        return VLM_OK;
    return vlm_fail(h->err, VLM_EFORMAT, "byte %zu: %s", 8 + h->in.offset, h->in.problem);
}

static int read_dtype(struct header *h, struct vlm_safetensors_entry *entry)
{
    const char *text = vlm_json_scan_string(&h->in);
    if (h->in.problem)
        return scan_result(h);
    for (unsigned i = 0; i < VLM_SAFETENSORS_DTYPES; i++) {
        if (!strcmp(text, vlm_safetensors_dtype_name(i))) {
            entry->dtype = i;
            return VLM_OK;
        }
    }
    char known[VLM_SAFETENSORS_DTYPES * 8] = "";
    for (unsigned i = 0, used = 0; i < VLM_SAFETENSORS_DTYPES; i++)
        used += (unsigned)snprintf(known + used, sizeof(known) - used, "%s%s", i ? " " : "",
                                   vlm_safetensors_dtype_name(i));
    return vlm_fail(h->err, VLM_EFORMAT, "tensor '%s' has the dtype '%s', not one of %s",
                    vlm_safetensors_quote(entry->name).text, vlm_safetensors_quote(text).text,
                    known);
}

static int read_shape(struct header *h, struct vlm_safetensors_entry *entry)
{
    entry->rank = 0;
    vlm_json_scan_open(&h->in, '[');
    while (vlm_json_scan_more(&h->in, ']')) {
        uint64_t side = vlm_json_scan_number(&h->in);
        if (h->in.problem)
            break;
        if (entry->rank == VLM_SAFETENSORS_RANK_MAX)
            return vlm_fail(h->err, VLM_ELIMIT, "tensor '%s' has more than %d dimensions",
                            vlm_safetensors_quote(entry->name).text, VLM_SAFETENSORS_RANK_MAX);
        /* What no size_t holds would not fit into any file either. */
        entry->shape[entry->rank++] = side > SIZE_MAX ? SIZE_MAX : (size_t)side;
    }
    return scan_result(h);
}

/* [begin, end], relative to the first byte behind the header. */
static int read_offsets(struct header *h, struct vlm_safetensors_entry *entry)
{
    uint64_t offset[2] = { 0, 0 };
    unsigned n = 0;
    vlm_json_scan_open(&h->in, '[');
    while (vlm_json_scan_more(&h->in, ']')) {
        uint64_t value = vlm_json_scan_number(&h->in);
        if (n < VLM_COUNTOF(offset))
            offset[n] = value;
        n++;
    }
    if (h->in.problem)
        return scan_result(h);
    if (n != VLM_COUNTOF(offset))
        return vlm_fail(h->err, VLM_EFORMAT, "tensor '%s' has %u data_offsets, not 2",
                        vlm_safetensors_quote(entry->name).text, n);
    if (offset[0] > offset[1] || offset[1] > h->part->size - h->part->data)
        return vlm_fail(h->err, VLM_EFORMAT,
                        "tensor '%s' has the data_offsets [%" PRIu64 ", %" PRIu64 "], the file has "
                        "%" PRIu64 " bytes of values",
                        vlm_safetensors_quote(entry->name).text, offset[0], offset[1],
                        h->part->size - h->part->data);
    entry->begin = h->part->data + offset[0];
    entry->bytes = offset[1] - offset[0];
    return VLM_OK;
}

static enum member member_of(const char *key)
{
    for (size_t i = 0; i < VLM_COUNTOF(members); i++)
        if (!strcmp(key, members[i].name))
            return members[i].bit;
    return 0;
}

static int read_members(struct header *h, struct vlm_safetensors_entry *entry)
{
    unsigned seen = 0;
    vlm_json_scan_open(&h->in, '{');
    while (vlm_json_scan_more(&h->in, '}')) {
        const char *key = vlm_json_scan_key(&h->in);
        if (h->in.problem)
            break;
        enum member member = member_of(key);
        if (!member || (seen & member))
            return vlm_fail(h->err, VLM_EFORMAT, "tensor '%s' has %s '%s'",
                            vlm_safetensors_quote(entry->name).text,
                            member ? "two members" : "an unknown member",
                            vlm_safetensors_quote(key).text);
        seen |= member;
        int rc = member == DTYPE   ? read_dtype(h, entry)
                 : member == SHAPE ? read_shape(h, entry)
                                   : read_offsets(h, entry);
        if (rc != VLM_OK)
            return rc;
    }
    if (h->in.problem)
        return scan_result(h);
    for (size_t i = 0; i < VLM_COUNTOF(members); i++)
        if (!(seen & members[i].bit))
            return vlm_fail(h->err, VLM_EFORMAT, "tensor '%s' has no '%s'",
                            vlm_safetensors_quote(entry->name).text, members[i].name);
    return VLM_OK;
}

static int check_size(struct header *h, struct vlm_safetensors_entry *entry)
{
    size_t size = vlm_safetensors_dtype_size(entry->dtype), bytes = 0;
    bool fits = vlm_safetensors_product(&entry->count, entry->shape, entry->rank) &&
                !__builtin_mul_overflow(entry->count, size, &bytes);
    if (!fits)
        return vlm_fail(h->err, VLM_EFORMAT, "tensor '%s' of shape %s is too large for any file",
                        vlm_safetensors_quote(entry->name).text,
                        vlm_safetensors_shape(entry->shape, entry->rank).text);
    if (bytes != entry->bytes)
        return vlm_fail(h->err, VLM_EFORMAT,
                        "tensor '%s' of shape %s has %" PRIu64 " bytes, %s needs %zu",
                        vlm_safetensors_quote(entry->name).text,
                        vlm_safetensors_shape(entry->shape, entry->rank).text, entry->bytes,
                        vlm_safetensors_dtype_name(entry->dtype), bytes);
    return VLM_OK;
}

static int read_tensor(struct header *h, const char *name)
{
    struct vlm_safetensors *file = h->file;
    if (!*name)
        return vlm_fail(h->err, VLM_EFORMAT, "byte %zu: a tensor has an empty name",
                        8 + (size_t)(h->in.at - h->in.text));
    if (file->count == VLM_SAFETENSORS_COUNT_MAX)
        return vlm_fail(h->err, VLM_ELIMIT, "more than %d tensors", VLM_SAFETENSORS_COUNT_MAX);
    void *entries =
        vlm_safetensors_grow(file->entries, file->count, &file->capacity, sizeof(*file->entries));
    if (!entries)
        return vlm_fail(h->err, VLM_ENOMEM, "no memory for %zu tensors", file->count);
    file->entries = entries;
    struct vlm_safetensors_entry *entry = &file->entries[file->count++];
    *entry = (struct vlm_safetensors_entry){ .name = name, .part = (unsigned)file->n_parts - 1 };
    int rc = read_members(h, entry);
    return rc == VLM_OK ? check_size(h, entry) : rc;
}

static int compare_pairs(const void *a, const void *b)
{
    const struct vlm_safetensors_pair *left = a, *right = b;
    return strcmp(left->key, right->key);
}

static int read_metadata(struct header *h)
{
    struct vlm_safetensors *file = h->file;
    if (h->has_metadata)
        return vlm_fail(h->err, VLM_EFORMAT, "two members '__metadata__'");
    h->has_metadata = true;
    file->n_metadata = 0; /* of a part before: an index has none */
    vlm_json_scan_open(&h->in, '{');
    while (vlm_json_scan_more(&h->in, '}')) {
        const char *key = vlm_json_scan_key(&h->in), *value = vlm_json_scan_string(&h->in);
        if (h->in.problem)
            break;
        if (file->n_metadata == VLM_SAFETENSORS_COUNT_MAX)
            return vlm_fail(h->err, VLM_ELIMIT, "more than %d pairs of '__metadata__'",
                            VLM_SAFETENSORS_COUNT_MAX);
        void *pairs = vlm_safetensors_grow(file->metadata, file->n_metadata,
                                           &file->metadata_capacity, sizeof(*file->metadata));
        if (!pairs)
            return vlm_fail(h->err, VLM_ENOMEM, "no memory for the metadata");
        file->metadata = pairs;
        file->metadata[file->n_metadata++] = (struct vlm_safetensors_pair){ key, value };
    }
    if (h->in.problem)
        return scan_result(h);
    if (file->n_metadata)
        qsort(file->metadata, file->n_metadata, sizeof(*file->metadata), compare_pairs);
    for (size_t i = 1; i < file->n_metadata; i++)
        if (!strcmp(file->metadata[i - 1].key, file->metadata[i].key))
            return vlm_fail(h->err, VLM_EFORMAT, "'__metadata__' has two members '%s'",
                            vlm_safetensors_quote(file->metadata[i].key).text);
    return VLM_OK;
}

int vlm_safetensors_parse(struct vlm_safetensors *file, struct vlm_err *err)
{
    struct vlm_safetensors_part *part = &file->parts[file->n_parts - 1];
    struct header h = { .file = file, .part = part, .err = err };
    vlm_json_scan_init(&h.in, part->header, part->header_size);
    /* White space behind the object is padding; before it, there is none. */
    if (part->header_size == 0 || part->header[0] != '{')
        return vlm_fail(err, VLM_EFORMAT, "byte 8: expected '{'");
    vlm_json_scan_open(&h.in, '{');
    while (vlm_json_scan_more(&h.in, '}')) {
        const char *name = vlm_json_scan_key(&h.in);
        if (h.in.problem)
            break;
        int rc = !strcmp(name, "__metadata__") ? read_metadata(&h) : read_tensor(&h, name);
        if (rc != VLM_OK)
            return rc;
    }
    vlm_json_scan_end(&h.in);
    return scan_result(&h);
}

/* The whole ------------------------------------------------------------------------------------ */

static int compare_places(const void *a, const void *b)
{
    const struct vlm_safetensors_entry *left = a, *right = b;
    if (left->part != right->part)
        return left->part < right->part ? -1 : 1;
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    if (left->bytes != right->bytes)
        return left->bytes < right->bytes ? -1 : 1;
    return strcmp(left->name, right->name); /* tensors without values may share a place */
}

static int compare_names(const void *a, const void *b)
{
    const struct vlm_safetensors_entry *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static int check_names(const struct vlm_safetensors *file, struct vlm_err *err)
{
    for (size_t i = 1; i < file->count; i++) {
        const struct vlm_safetensors_entry *a = file->by_name[i - 1], *b = file->by_name[i];
        if (strcmp(a->name, b->name))
            continue;
        if (a->part == b->part)
            return vlm_fail(err, VLM_EFORMAT, "'%s' has two tensors '%s'",
                            file->parts[a->part].path, vlm_safetensors_quote(a->name).text);
        return vlm_fail(err, VLM_EFORMAT, "'%s' and '%s' both have a tensor '%s'",
                        file->parts[VLM_MIN(a->part, b->part)].path,
                        file->parts[VLM_MAX(a->part, b->part)].path,
                        vlm_safetensors_quote(a->name).text);
    }
    return VLM_OK;
}

/* Each tensor begins where the one before it ends. Returns behind the part's last entry. */
static int check_places(const struct vlm_safetensors *file, unsigned number, size_t *next,
                        struct vlm_err *err)
{
    const struct vlm_safetensors_part *part = &file->parts[number];
    uint64_t at = part->data;
    for (; *next < file->count && file->entries[*next].part == number; ++*next) {
        const struct vlm_safetensors_entry *entry = &file->entries[*next];
        if (entry->begin != at)
            return vlm_fail(err, VLM_EFORMAT,
                            "'%s': %s in front of tensor '%s': its values begin at %" PRIu64
                            ", those before it end at %" PRIu64,
                            part->path, entry->begin < at ? "an overlap" : "a hole",
                            vlm_safetensors_quote(entry->name).text, entry->begin - part->data,
                            at - part->data);
        at += entry->bytes;
    }
    if (at != part->size)
        return vlm_fail(err, VLM_EFORMAT,
                        "'%s': the tensors end at byte %" PRIu64 ", the file at %" PRIu64,
                        part->path, at, part->size);
    return VLM_OK;
}

int vlm_safetensors_settle(struct vlm_safetensors *file, struct vlm_err *err)
{
    size_t next = 0;
    file->by_name = malloc((file->count + 1) * sizeof(*file->by_name));
    if (!file->by_name)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the names of %zu tensors", file->count);
    if (file->count)
        qsort(file->entries, file->count, sizeof(*file->entries), compare_places);
    for (size_t i = 0; i < file->count; i++)
        file->by_name[i] = &file->entries[i];
    if (file->count)
        qsort(file->by_name, file->count, sizeof(*file->by_name), compare_names);
    int rc = check_names(file, err);
    for (unsigned i = 0; rc == VLM_OK && i < file->n_parts; i++)
        rc = check_places(file, i, &next, err);
    return rc;
}
