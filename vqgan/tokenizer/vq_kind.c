/* vq_kind.c - the kinds "vq-s" and "vq-xs": a model file becomes the graph of vq.h with packed weights. */
#include "base/vlm.h"

#include "vqgan/tokenizer/vq.h"

#include "base/limits.h"
#include "vqgan/tokenizer/kind.h"

#include <math.h>

/* ---- the architecture, from bytes of strangers ---- */

static int read_size(size_t *size, json_object *value, const char *key, struct vlm_err *err)
{
    int64_t n = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : -1;
    if (n < 0 || n > VLM_VQ_WIDTH_MAX)
        return vlm_fail(err, VLM_EFORMAT, "architecture: \"%s\" is not a number from 0 to %d", key,
                        VLM_VQ_WIDTH_MAX);
    *size = (size_t)n;
    return VLM_OK;
}

/* An array with a number for each level; the first one that is read decides how many levels there are. */
static int read_levels(size_t sizes[VLM_VQ_LEVELS_MAX], size_t *levels, json_object *architecture,
                       const char *key, struct vlm_err *err)
{
    json_object *array = json_object_object_get(architecture, key);
    size_t n = json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
    if (!n || n > VLM_VQ_LEVELS_MAX || (*levels && n != *levels))
        return vlm_fail(err, VLM_EFORMAT,
                        "architecture: \"%s\" is not a list with a number for each level", key);
    *levels = n;
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < n; i++)
        rc = read_size(&sizes[i], json_object_array_get_idx(array, i), key, err);
    return rc;
}

static int read_shape(struct vlm_vq_shape *shape, const char *kind,
                      const struct vlm_kind_source *source, struct vlm_err *err)
{
    json_object *a = source->architecture;
    const struct vlm_safetensors_entry *book =
        vlm_safetensors_find(source->file, "codebook.weight");
    *shape = (struct vlm_vq_shape){ .kind = kind };
    int rc = read_size(&shape->stem, json_object_object_get(a, "stem"), "stem", err);
    if (rc == VLM_OK)
        rc = read_levels(shape->widths, &shape->levels, a, "widths", err);
    if (rc == VLM_OK)
        rc = read_levels(shape->encoder_blocks, &shape->levels, a, "encoder_blocks", err);
    if (rc == VLM_OK)
        rc = read_levels(shape->decoder_blocks, &shape->levels, a, "decoder_blocks", err);
    json_object *patch = json_object_object_get(a, "patch_width");
    if (rc == VLM_OK && patch)
        rc = read_size(&shape->patch_width, patch, "patch_width", err);
    if (rc == VLM_OK)
        rc = read_size(&shape->groups, json_object_object_get(a, "groups"), "groups", err);
    if (rc != VLM_OK)
        return rc;
    if (!book || book->rank != 2 || book->shape[0] > VLM_CODEBOOK_MAX)
        return vlm_fail(err, VLM_EFORMAT,
                        "tensor \"codebook.weight\" is missing or no table of at most %d rows",
                        VLM_CODEBOOK_MAX);
    shape->codes = book->shape[0];
    shape->code_width = book->shape[1];
    return VLM_OK;
}

/* ---- opening ---- */

static int load(struct vlm_vq *vq, const struct vlm_safetensors *file, struct vlm_err *err)
{
    struct vlm_safetensors_want *wanted = calloc(vq->n_parameters, sizeof(*wanted));
    if (!wanted)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a table of %zu tensors", vq->n_parameters);
    for (size_t i = 0; i < vq->n_parameters; i++) {
        const struct vlm_tensor *p = vq->parameters[i].tensor;
        wanted[i] =
            (struct vlm_safetensors_want){ .name = p->name, .rank = p->rank, .to = p->data };
        memcpy(wanted[i].shape, p->shape, p->rank * sizeof(*p->shape));
    }
    int rc = vlm_safetensors_load(file, wanted, vq->n_parameters, VLM_SAFETENSORS_FINITE, err);
    free(wanted);
    return rc;
}

static int check_codebook(const struct vlm_tensor *book, struct vlm_err *err)
{
    const size_t width = book->shape[1];
    for (size_t k = 0; k < book->shape[0]; k++) {
        double square = 0;
        for (size_t i = 0; i < width; i++)
            square += (double)book->data[k * width + i] * (double)book->data[k * width + i];
        if (fabs(square - 1) > 1e-2)
            return vlm_fail(err, VLM_EFORMAT, "row %zu of the codebook has length %g, expected 1",
                            k, sqrt(square));
    }
    return VLM_OK;
}

static void vq_close(void *model)
{
    vlm_vq_release(model);
    free(model);
}

static int vq_open(void **model, struct vlm_kind_codebook *codebook, const char *kind,
                   const struct vlm_kind_source *source, struct vlm_err *err)
{
    const enum vlm_dtype precision = source->precision == VLM_PRECISION_BF16 ? VLM_BF16 : VLM_F32;
    struct vlm_vq_shape shape;
    int rc = read_shape(&shape, kind, source, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_vq *vq = calloc(1, sizeof(*vq));
    if (!vq)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a tokenizer");
    rc = vlm_vq_init(vq, &shape, 0, err);
    if (rc == VLM_EUSAGE)
        rc = vlm_recode(err, VLM_EFORMAT);
    if (rc == VLM_OK)
        rc = load(vq, source->file, err);
    if (rc == VLM_OK)
        rc = check_codebook(&vq->codebook, err);
    if (rc == VLM_OK) {
        vq->mode = source->precision == VLM_PRECISION_FAST ? VLM_CONV_FAST : VLM_CONV_EXACT;
        rc = vlm_vq_pack(vq, source->engine, precision, err);
    }
    if (rc != VLM_OK) {
        vq_close(vq);
        return rc;
    }
    *codebook = (struct vlm_kind_codebook){ .table = vq->codebook,
                                            .cosine = true,
                                            .minus_one_to_one = true };
    *model = vq;
    return VLM_OK;
}

static int vq_s_open(void **model, struct vlm_kind_codebook *codebook,
                     const struct vlm_kind_source *source, struct vlm_err *err)
{
    return vq_open(model, codebook, "vq-s", source, err);
}

static int vq_xs_open(void **model, struct vlm_kind_codebook *codebook,
                      const struct vlm_kind_source *source, struct vlm_err *err)
{
    return vq_open(model, codebook, "vq-xs", source, err);
}

/* The graph changes nothing in a model that needs no gradients. */
static struct vlm_tensor *vq_encode(struct vlm_tape *tape, const void *model, struct vlm_tensor *x)
{
    return vlm_vq_encode(tape, (struct vlm_vq *)model, x);
}

static struct vlm_tensor *vq_decode(struct vlm_tape *tape, const void *model, struct vlm_tensor *q)
{
    return vlm_vq_decode(tape, (struct vlm_vq *)model, q);
}

const struct vlm_kind vlm_kind_vq_s = { "vq-s", vq_s_open, vq_close, vq_encode, vq_decode };
const struct vlm_kind vlm_kind_vq_xs = { "vq-xs", vq_xs_open, vq_close, vq_encode, vq_decode };
