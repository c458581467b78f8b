/* checkpoint_moments.c - optimizer.safetensors: what AdamW remembers of each parameter that is trained, by the
 * parameter's name and in its shape. One table of tensors serves both ways. */
#include "base/vlm.h"

#include "trainer/save/checkpoint_internal.h"

#include "nn/safetensors.h"

#include <math.h>

enum { PARTS = 3, NAME_SIZE = VLM_PARAMETER_NAME_SIZE + 16 };

static const char *const part_name[PARTS] = { "m", "v", "average" };

struct moment {
    char name[NAME_SIZE];
    const struct vlm_tensor *tensor; /* whose shape it has */
    float *data;
    enum vlm_optimizer_part part;
};

struct moments {
    struct moment *list;
    size_t n;
};

/* The name of a tensor of the model; the optimizer's list may be in another order, or shorter. */
static const char *name_of(const struct vlm_model *model, const struct vlm_tensor *tensor)
{
    for (size_t i = 0; i < model->n; i++)
        if (&model->tensors[i] == tensor)
            return model->parameters[i].name;
    return NULL;
}

static int list_moments(struct moments *moments, const struct vlm_model *model,
                        struct vlm_optimizer *optimizer, struct vlm_err *err)
{
    *moments =
        (struct moments){ .list = calloc(PARTS * optimizer->count + 1, sizeof(*moments->list)) };
    if (!moments->list)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a table of %zu tensors",
                        PARTS * optimizer->count);
    for (int part = 0; part < PARTS; part++)
        for (size_t i = 0; i < optimizer->count; i++) {
            struct moment *moment = &moments->list[moments->n];
            moment->data = vlm_optimizer_state(optimizer, i, (enum vlm_optimizer_part)part);
            if (!moment->data)
                continue;
            moment->tensor = optimizer->list[i].tensor;
            moment->part = (enum vlm_optimizer_part)part;
            const char *name = name_of(model, moment->tensor);
            VLM_BUG_IF(!name);
            snprintf(moment->name, sizeof(moment->name), "%s.%s", part_name[part], name);
            moments->n++;
        }
    return VLM_OK;
}

/* ---- saving ---- */

int vlm_moments_save(const char *path, const struct vlm_model *model,
                     struct vlm_optimizer *optimizer, struct vlm_err *err)
{
    static const struct vlm_safetensors_pair format = { "format", "vlm-optimizer 1" };
    struct moments moments;
    int rc = list_moments(&moments, model, optimizer, err);
    struct vlm_safetensors_item *items = NULL;
    if (rc == VLM_OK) {
        items = calloc(moments.n + 1, sizeof(*items));
        if (!items)
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for a table of %zu tensors", moments.n);
    }
    for (size_t i = 0; rc == VLM_OK && i < moments.n; i++) {
        const struct moment *moment = &moments.list[i];
        items[i] = (struct vlm_safetensors_item){ .name = moment->name,
                                                  .dtype = VLM_SAFETENSORS_F32,
                                                  .rank = moment->tensor->rank,
                                                  .data = moment->data };
        memcpy(items[i].shape, moment->tensor->shape, sizeof(moment->tensor->shape));
    }
    if (rc == VLM_OK) {
        const struct vlm_safetensors_content content = { .items = items,
                                                         .count = moments.n,
                                                         .metadata = &format,
                                                         .metadata_count = 1,
                                                         .flags = VLM_SAFETENSORS_FINITE };
        rc = vlm_safetensors_write(path, &content, err);
    }
    free(items);
    free(moments.list);
    return rc;
}

/* ---- loading ---- */

/* A second moment is a mean of squares. */
static int check_values(const struct moments *moments, struct vlm_err *err)
{
    for (size_t i = 0; i < moments->n; i++) {
        const struct moment *moment = &moments->list[i];
        size_t count = vlm_tensor_count(moment->tensor);
        for (size_t k = 0; moment->part == VLM_STATE_V && k < count; k++)
            if (moment->data[k] < 0)
                return vlm_fail(err, VLM_EFORMAT,
                                "tensor '%s' has %g at %zu, which no square can be", moment->name,
                                (double)moment->data[k], k);
    }
    return VLM_OK;
}

static int load_all(const struct moments *moments, const char *path, struct vlm_err *err)
{
    struct vlm_safetensors *file;
    struct vlm_safetensors_want *wanted = calloc(moments->n + 1, sizeof(*wanted));
    if (!wanted)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a table of %zu tensors", moments->n);
    for (size_t i = 0; i < moments->n; i++) {
        const struct moment *moment = &moments->list[i];
        wanted[i] = (struct vlm_safetensors_want){ .name = moment->name,
                                                   .rank = moment->tensor->rank,
                                                   .to = moment->data };
        memcpy(wanted[i].shape, moment->tensor->shape, sizeof(moment->tensor->shape));
    }
    int rc = vlm_safetensors_open(&file, path, err);
    if (rc == VLM_OK)
        rc = vlm_safetensors_load(file, wanted, moments->n, VLM_SAFETENSORS_FINITE, err);
    vlm_safetensors_close(file);
    free(wanted);
    return rc == VLM_OK ? check_values(moments, err) : rc;
}

int vlm_moments_load(const char *path, const struct vlm_model *model,
                     struct vlm_optimizer *optimizer, struct vlm_err *err)
{
    struct moments moments;
    int rc = list_moments(&moments, model, optimizer, err);
    if (rc == VLM_OK)
        rc = load_all(&moments, path, err);
    free(moments.list);
    return rc;
}
