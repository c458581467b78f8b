/* torch_state.c - from the values of a pickle to a table of tensors.
 *
 * First the dictionary that holds them is chosen, then it is walked, dictionaries inside it too; a
 * value that is a call of one of the functions which rebuild tensors is checked and becomes an entry
 * of the table. What stands elsewhere (optimizers, settings, objects) is never looked at. */
#include "base/vlm.h"
#include "vqgan/weights/torch_internal.h"

#include "base/limits.h"
#include "base/utf8.h"

struct walk {
    struct vlm_torch *file;
    const struct vlm_zip *zip;
    const char *folder;
    size_t entries;                    /* looked at so far */
    char name[VLM_TORCH_NAME_MAX + 1]; /* of the value in hand */
    struct vlm_err *err;
};

static const struct {
    const char *name;
    enum vlm_safetensors_dtype dtype;
} storages[] = {
    { "torch FloatStorage", VLM_SAFETENSORS_F32 },
    { "torch HalfStorage", VLM_SAFETENSORS_F16 },
    { "torch BFloat16Storage", VLM_SAFETENSORS_BF16 },
    { "torch DoubleStorage", VLM_SAFETENSORS_F64 },
    { "torch LongStorage", VLM_SAFETENSORS_I64 },
    { "torch IntStorage", VLM_SAFETENSORS_I32 },
    { "torch ShortStorage", VLM_SAFETENSORS_I16 },
    { "torch CharStorage", VLM_SAFETENSORS_I8 },
    { "torch ByteStorage", VLM_SAFETENSORS_U8 },
    { "torch BoolStorage", VLM_SAFETENSORS_BOOL },
};

/* Where the sentence is about the tensor whose name is in hand. */
static int wrap_name(struct walk *walk)
{
    return vlm_wrap(walk->err, "tensor '%s'", vlm_safetensors_quote(walk->name).text);
}

/* The first n items of a tuple or list into at[]; whether there are that many. */
static bool take(const struct vlm_pickle_value **at, size_t n, const struct vlm_pickle_value *from)
{
    if ((from->kind != VLM_PICKLE_TUPLE && from->kind != VLM_PICKLE_LIST) || from->count < n)
        return false;
    const struct vlm_pickle_item *item = from->first;
    for (size_t i = 0; i < n; i++, item = item->next)
        at[i] = item->value;
    return true;
}

static bool to_size(size_t *to, const struct vlm_pickle_value *value)
{
    if (value->kind != VLM_PICKLE_INT || value->number < 0)
        return false;
    *to = (size_t)value->number;
    return true;
}

/* Its place in storages[], or their number. */
static size_t find_type(const struct vlm_pickle_value *type)
{
    size_t i = 0;
    while (i < VLM_COUNTOF(storages) && !vlm_pickle_is(type, VLM_PICKLE_GLOBAL, storages[i].name))
        i++;
    return i;
}

/* ("storage", type, key, device, number of values): the member FOLDER/data/KEY. */
static int find_storage(struct vlm_torch_tensor *to, struct walk *walk,
                        const struct vlm_pickle_value *from)
{
    const struct vlm_pickle_value *part[5];
    size_t values, type;
    if (from->kind != VLM_PICKLE_PERSISTENT || !take(part, 5, from->arguments) ||
        !vlm_pickle_is(part[0], VLM_PICKLE_TEXT, "storage") || part[1]->kind != VLM_PICKLE_GLOBAL ||
        part[2]->kind != VLM_PICKLE_TEXT || !to_size(&values, part[4]))
        return vlm_fail(walk->err, VLM_EFORMAT, "its storage is described in an unknown way");
    type = find_type(part[1]);
    if (type == VLM_COUNTOF(storages))
        return vlm_fail(walk->err, VLM_EFORMAT, "its storage is of an unknown type");
    to->dtype = storages[type].dtype;
    char name[2 * VLM_TORCH_NAME_MAX];
    int length = snprintf(name, sizeof(name), "%s/data/%.*s", walk->folder,
                          (int)VLM_MIN(part[2]->size, VLM_TORCH_NAME_MAX), part[2]->text);
    const struct vlm_zip_member *member =
        length < (int)sizeof(name) && !memchr(part[2]->text, 0, part[2]->size)
            ? vlm_zip_find(walk->zip, name)
            : NULL;
    if (!member)
        return vlm_fail(walk->err, VLM_EFORMAT, "its storage '%s' is not in the file",
                        vlm_safetensors_quote(name).text);
    size_t width = vlm_safetensors_dtype_size(to->dtype);
    if (member->size % width || member->size / width != values)
        return vlm_fail(walk->err, VLM_EFORMAT,
                        "its storage '%s' has %" PRIu64 " bytes instead of %zu values of %s",
                        vlm_safetensors_quote(name).text, member->size, values,
                        vlm_safetensors_dtype_name(to->dtype));
    to->begin = member->begin;
    to->size = member->size;
    return VLM_OK;
}

/* Whether each index of the tensor is inside a storage of so many values. */
static bool is_inside(const struct vlm_torch_tensor *tensor, uint64_t values)
{
    if (!tensor->count)
        return tensor->offset <= values;
    size_t last = tensor->offset, step;
    for (unsigned i = 0; i < tensor->rank; i++)
        if (__builtin_mul_overflow(tensor->shape[i] - 1, tensor->stride[i], &step) ||
            __builtin_add_overflow(last, step, &last))
            return false;
    return last < values;
}

static int set_shape(struct vlm_torch_tensor *to, struct walk *walk,
                     const struct vlm_pickle_value *shape, const struct vlm_pickle_value *stride)
{
    const struct vlm_pickle_value *side[VLM_SAFETENSORS_RANK_MAX], *step[VLM_SAFETENSORS_RANK_MAX];
    if (shape->kind != VLM_PICKLE_TUPLE || stride->kind != VLM_PICKLE_TUPLE ||
        shape->count != stride->count)
        return vlm_fail(walk->err, VLM_EFORMAT, "its shape and strides are no tuples of one size");
    if (shape->count > VLM_SAFETENSORS_RANK_MAX)
        return vlm_fail(walk->err, VLM_ELIMIT, "its %zu dimensions are over the limit of %d",
                        shape->count, VLM_SAFETENSORS_RANK_MAX);
    to->rank = (unsigned)shape->count;
    bool good = take(side, to->rank, shape) && take(step, to->rank, stride);
    for (unsigned i = 0; good && i < to->rank; i++)
        good = to_size(&to->shape[i], side[i]) && to_size(&to->stride[i], step[i]);
    if (!good)
        return vlm_fail(walk->err, VLM_EFORMAT,
                        "its shape and strides are not all whole numbers from 0");
    if (!vlm_safetensors_product(&to->count, to->shape, to->rank) ||
        to->count > VLM_TORCH_VALUES_MAX)
        return vlm_fail(walk->err, VLM_ELIMIT, "its shape %s is over the limit of %zu values",
                        vlm_safetensors_shape(to->shape, to->rank).text, VLM_TORCH_VALUES_MAX);
    return VLM_OK;
}

/* _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks, metadata): the last two
 * or three may be absent. Metadata says that values are to be negated or conjugated. */
static int set_tensor(struct vlm_torch_tensor *to, struct walk *walk,
                      const struct vlm_pickle_value *arguments)
{
    const struct vlm_pickle_value *part[7];
    if (!take(part, 4, arguments) || !to_size(&to->offset, part[1]))
        return vlm_fail(walk->err, VLM_EFORMAT, "it is described in an unknown way");
    if (take(part, 7, arguments) && part[6]->kind != VLM_PICKLE_NONE &&
        !(part[6]->kind == VLM_PICKLE_DICT && part[6]->count == 0))
        return vlm_fail(walk->err, VLM_EFORMAT,
                        "it is a view that negates its values; save a clone() of it");
    int rc = find_storage(to, walk, part[0]);
    if (rc == VLM_OK)
        rc = set_shape(to, walk, part[2], part[3]);
    if (rc == VLM_OK && !is_inside(to, to->size / vlm_safetensors_dtype_size(to->dtype)))
        rc = vlm_fail(walk->err, VLM_EFORMAT,
                      "shape %s at offset %zu reaches beyond its storage of %" PRIu64 " bytes",
                      vlm_safetensors_shape(to->shape, to->rank).text, to->offset, to->size);
    return rc;
}

static int add_tensor(struct walk *walk, const struct vlm_pickle_value *arguments)
{
    struct vlm_torch *file = walk->file;
    if (file->count >= VLM_TORCH_COUNT_MAX)
        return vlm_fail(walk->err, VLM_ELIMIT, "more than %d tensors", VLM_TORCH_COUNT_MAX);
    struct vlm_torch_tensor *tensors =
        vlm_safetensors_grow(file->tensors, file->count, &file->capacity, sizeof(*tensors));
    char *name = vlm_arena_copy(&file->names, walk->name, strlen(walk->name));
    if (tensors)
        file->tensors = tensors;
    if (!tensors || !name)
        return vlm_fail(walk->err, VLM_ENOMEM, "no memory for %zu tensors", file->count + 1);
    struct vlm_torch_tensor *tensor = &tensors[file->count++];
    *tensor = (struct vlm_torch_tensor){ .name = name };
    int rc = set_tensor(tensor, walk, arguments);
    return rc == VLM_OK ? rc : wrap_name(walk);
}

/* Complex numbers, 8-bit floats and what else may come: no value that we could read. */
static bool is_unknown(const struct vlm_pickle_value *arguments)
{
    const struct vlm_pickle_value *storage, *part[2];
    return take(&storage, 1, arguments) && storage->kind == VLM_PICKLE_PERSISTENT &&
           take(part, 2, storage->arguments) && part[1]->kind == VLM_PICKLE_GLOBAL &&
           find_type(part[1]) == VLM_COUNTOF(storages);
}

/* The arguments of what rebuilds a plain tensor, also from inside an nn.Parameter; else NULL. */
static const struct vlm_pickle_value *find_tensor(const struct vlm_pickle_value *value)
{
    const struct vlm_pickle_value *data;
    if (value->kind != VLM_PICKLE_CALL)
        return NULL;
    if ((vlm_pickle_is(value->callee, VLM_PICKLE_GLOBAL, "torch._utils _rebuild_parameter") ||
         vlm_pickle_is(value->callee, VLM_PICKLE_GLOBAL,
                       "torch._utils _rebuild_parameter_with_state")) &&
        take(&data, 1, value->arguments) && data->kind == VLM_PICKLE_CALL)
        value = data;
    bool is_tensor =
        vlm_pickle_is(value->callee, VLM_PICKLE_GLOBAL, "torch._utils _rebuild_tensor_v2") ||
        vlm_pickle_is(value->callee, VLM_PICKLE_GLOBAL, "torch._utils _rebuild_tensor");
    return is_tensor && !is_unknown(value->arguments) ? value->arguments : NULL;
}

/* Puts the key behind the name in hand, which has `length` bytes. */
static int set_name(struct walk *walk, size_t length, const struct vlm_pickle_value *key)
{
    size_t dot = length != 0;
    if (key->size > VLM_TORCH_NAME_MAX - VLM_MIN(length + dot, (size_t)VLM_TORCH_NAME_MAX))
        return vlm_fail(walk->err, VLM_ELIMIT, "below '%s' a name is over the limit of %d bytes",
                        vlm_safetensors_quote(walk->name).text, VLM_TORCH_NAME_MAX);
    if (!key->size || memchr(key->text, 0, key->size) ||
        vlm_utf8_valid_prefix(key->text, key->size) != key->size)
        return vlm_fail(walk->err, VLM_EFORMAT,
                        "below '%s' a name is empty, has a NUL or is no UTF-8",
                        vlm_safetensors_quote(walk->name).text);
    if (dot)
        walk->name[length++] = '.';
    memcpy(walk->name + length, key->text, key->size);
    walk->name[length + key->size] = 0;
    return VLM_OK;
}

static int by_text(const void *a, const void *b)
{
    const struct vlm_pickle_value *x = *(const struct vlm_pickle_value *const *)a;
    const struct vlm_pickle_value *y = *(const struct vlm_pickle_value *const *)b;
    int order = memcmp(x->text, y->text, VLM_MIN(x->size, y->size));
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

static int fail_twice(struct walk *walk, const struct vlm_pickle_value *key)
{
    int rc = set_name(walk, strlen(walk->name), key);
    return rc == VLM_OK ? vlm_fail(walk->err, VLM_EFORMAT, "a dictionary has the key '%s' twice",
                                   vlm_safetensors_quote(walk->name).text)
                        : rc;
}

/* Counts the entries, and refuses a key that occurs twice: Python would take the last. */
static int check_keys(struct walk *walk, const struct vlm_pickle_value *dictionary)
{
    if (dictionary->count > VLM_TORCH_ENTRIES_MAX - walk->entries)
        return vlm_fail(walk->err, VLM_ELIMIT, "more than %d entries of dictionaries",
                        VLM_TORCH_ENTRIES_MAX);
    walk->entries += dictionary->count;
    const struct vlm_pickle_value **keys = calloc(dictionary->count + 1, sizeof(*keys));
    size_t n = 0;
    if (!keys)
        return vlm_fail(walk->err, VLM_ENOMEM, "no memory for %zu keys", dictionary->count);
    for (const struct vlm_pickle_item *i = dictionary->first; i; i = i->next)
        if (i->key->kind == VLM_PICKLE_TEXT)
            keys[n++] = i->key;
    qsort(keys, n, sizeof(*keys), by_text);
    int rc = VLM_OK;
    for (size_t i = 1; rc == VLM_OK && i < n; i++)
        if (!by_text(&keys[i - 1], &keys[i]))
            rc = fail_twice(walk, keys[i]);
    free(keys);
    return rc;
}

/* Tensors below a dictionary. The recursion ends: a dictionary is not entered from inside itself,
 * not deeper than the limit, and entries are counted. */
static int walk_dictionary(struct walk *walk, struct vlm_pickle_value *dictionary, unsigned depth)
{
    if (depth > VLM_TORCH_DEPTH_MAX)
        return vlm_fail(walk->err, VLM_ELIMIT, "more than %d dictionaries inside one another",
                        VLM_TORCH_DEPTH_MAX);
    size_t length = strlen(walk->name);
    int rc = check_keys(walk, dictionary);
    dictionary->busy = true;
    for (const struct vlm_pickle_item *i = dictionary->first; rc == VLM_OK && i; i = i->next) {
        struct vlm_pickle_value *value = (struct vlm_pickle_value *)i->value;
        const struct vlm_pickle_value *tensor = find_tensor(value);
        bool is_dictionary = value->kind == VLM_PICKLE_DICT && !value->busy;
        if (i->key->kind != VLM_PICKLE_TEXT || (!tensor && !is_dictionary))
            continue;
        rc = set_name(walk, length, i->key);
        if (rc == VLM_OK)
            rc = tensor ? add_tensor(walk, tensor) : walk_dictionary(walk, value, depth + 1);
        walk->name[length] = 0;
    }
    dictionary->busy = false;
    return rc;
}

/* The dictionary whose tensors the file is about. */
static struct vlm_pickle_value *choose(struct vlm_pickle_value *top)
{
    static const char *const keys[] = { "state_dict", "model", "ema", "module" };
    for (size_t k = 0; k < VLM_COUNTOF(keys); k++)
        for (const struct vlm_pickle_item *i = top->first; i; i = i->next)
            if (i->value->kind == VLM_PICKLE_DICT &&
                vlm_pickle_is(i->key, VLM_PICKLE_TEXT, keys[k]))
                return (struct vlm_pickle_value *)i->value;
    return top;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct vlm_torch_tensor *)a)->name,
                  ((const struct vlm_torch_tensor *)b)->name);
}

int vlm_torch_find_tensors(struct vlm_torch *file, const struct vlm_zip *zip, const char *folder,
                           struct vlm_pickle_value *top, struct vlm_err *err)
{
    struct walk walk = { .file = file, .zip = zip, .folder = folder, .err = err };
    if (top->kind != VLM_PICKLE_DICT)
        return vlm_fail(err, VLM_EFORMAT,
                        "the file holds no dictionary but one object; save its state_dict()");
    int rc = check_keys(&walk, top);
    if (rc == VLM_OK)
        rc = walk_dictionary(&walk, choose(top), 1);
    if (rc != VLM_OK)
        return rc;
    if (!file->count)
        return vlm_fail(err, VLM_EFORMAT,
                        "the file holds no tensor in a dictionary; save a "
                        "state_dict()");
    qsort(file->tensors, file->count, sizeof(*file->tensors), by_name);
    for (size_t i = 1; i < file->count; i++)
        if (!by_name(&file->tensors[i - 1], &file->tensors[i]))
            return vlm_fail(err, VLM_EFORMAT, "two tensors have the name '%s'",
                            vlm_safetensors_quote(file->tensors[i].name).text);
    return VLM_OK;
}
