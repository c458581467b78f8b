/* safetensors_load.c - fills the tensors that a caller expects, after checking all of them.
 *
 * Three passes: compare the two lists, look at all values when they are to be finite, read. Only
 * the last one writes. */
#include "base/vlm.h"

#include "nn/safetensors_internal.h"

static bool same_shape(const struct vlm_safetensors_want *want,
                       const struct vlm_safetensors_entry *entry)
{
    return want->rank == entry->rank &&
           !memcmp(want->shape, entry->shape, want->rank * sizeof(want->shape[0]));
}

static int check_want(const struct vlm_safetensors_want *want,
                      const struct vlm_safetensors_entry *entry, struct vlm_err *err)
{
    struct vlm_safetensors_quoted name = vlm_safetensors_quote(want->name);
    struct vlm_safetensors_shape_text expected = vlm_safetensors_shape(want->shape, want->rank);
    if (!entry)
        return vlm_fail(err, VLM_EFORMAT, "tensor '%s' is missing, expected with shape %s",
                        name.text, expected.text);
    if (!same_shape(want, entry))
        return vlm_fail(err, VLM_EFORMAT, "tensor '%s' has the shape %s, expected %s", name.text,
                        vlm_safetensors_shape(entry->shape, entry->rank).text, expected.text);
    if (!vlm_safetensors_is_float(entry->dtype))
        return vlm_fail(err, VLM_EFORMAT, "tensor '%s' is of %s, expected floating-point numbers",
                        name.text, vlm_safetensors_dtype_name(entry->dtype));
    return VLM_OK;
}

/* Every tensor wanted is there; with `taken` [count of file], it says which are wanted. */
static int match(const struct vlm_safetensors *file, const struct vlm_safetensors_want *wanted,
                 size_t count, unsigned flags, bool *taken, struct vlm_err *err)
{
    for (size_t i = 0; i < count; i++) {
        VLM_BUG_IF(wanted[i].rank > VLM_SAFETENSORS_RANK_MAX);
        const struct vlm_safetensors_entry *entry = vlm_safetensors_find(file, wanted[i].name);
        int rc = check_want(&wanted[i], entry, err);
        if (rc != VLM_OK)
            return rc;
        VLM_BUG_IF(taken[entry - file->entries]); /* a name stands twice in the table */
        VLM_BUG_IF(!wanted[i].to && entry->count && !(flags & VLM_SAFETENSORS_ONLY_CHECK));
        taken[entry - file->entries] = true;
    }
    return VLM_OK;
}

static int check_extra(const struct vlm_safetensors *file, const bool *taken, struct vlm_err *err)
{
    size_t extra = 0, first = 0;
    for (size_t i = file->count; i-- > 0;) {
        if (!taken[i]) {
            first = i;
            extra++;
        }
    }
    if (!extra)
        return VLM_OK;
    const struct vlm_safetensors_entry *entry = &file->entries[first];
    char more[40] = "";
    if (extra > 1)
        snprintf(more, sizeof(more), " (and %zu more)", extra - 1);
    return vlm_fail(err, VLM_EFORMAT, "tensor '%s' of shape %s is not expected%s",
                    vlm_safetensors_quote(entry->name).text,
                    vlm_safetensors_shape(entry->shape, entry->rank).text, more);
}

int vlm_safetensors_load(const struct vlm_safetensors *file,
                         const struct vlm_safetensors_want *wanted, size_t count, unsigned flags,
                         struct vlm_err *err)
{
    struct vlm_err ignored = { 0 };
    err = err ? err : &ignored;
    bool *taken = calloc(file->count + 1, sizeof(*taken));
    if (!taken)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a list of %zu tensors", file->count);
    int rc = match(file, wanted, count, flags, taken, err);
    if (rc == VLM_OK && !(flags & VLM_SAFETENSORS_ALLOW_EXTRA))
        rc = check_extra(file, taken, err);
    if (flags & VLM_SAFETENSORS_FINITE)
        for (size_t i = 0; rc == VLM_OK && i < count; i++)
            rc = vlm_safetensors_stream(file, vlm_safetensors_find(file, wanted[i].name), NULL,
                                        flags, err);
    if (!(flags & VLM_SAFETENSORS_ONLY_CHECK))
        for (size_t i = 0; rc == VLM_OK && i < count; i++)
            rc = vlm_safetensors_stream(file, vlm_safetensors_find(file, wanted[i].name),
                                        wanted[i].to, flags, err);
    free(taken);
    if (rc != VLM_OK && file->n_parts == 1)
        return vlm_wrap(err, "'%s'", file->parts[0].path);
    return rc;
}
