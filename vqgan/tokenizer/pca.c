/* pca.c - the kind "pca": z = E (patch - mean), patch = E^T q + mean.
 *
 * Rows of E [d, 768] are orthonormal principal components of 16 x 16 x 3 patches, codes the nearest of
 * K centres of k-means in that space. No convolution, no training by gradients: a real tokenizer that
 * is made in a minute and never surprises, and the yardstick of the others. */
#include "base/vlm.h"

#include "vqgan/tokenizer/pca.h"

#include "nn/ops/linear.h"
#include "nn/ops/resample.h"
#include "vqgan/tokenizer/kind.h"

struct pca {
    struct vlm_tensor mean, basis, codebook; /* [768], [d, 768], [K, d] */
    struct vlm_tensor offset;                /* [d] -E mean */
    struct vlm_tensor transposed;            /* [768, d] E^T */
    float *numbers;                          /* of all five */
};

static void pca_close(void *model)
{
    struct pca *pca = model;
    free(pca->numbers);
    free(pca);
}

static int shape_of(const struct vlm_safetensors *file, const char *name, unsigned rank,
                    size_t shape[2], struct vlm_err *err)
{
    const struct vlm_safetensors_entry *entry = vlm_safetensors_find(file, name);
    if (!entry || entry->rank != rank)
        return vlm_fail(err, VLM_EFORMAT, "tensor '%s' is missing or does not have %u dimensions",
                        name, rank);
    memcpy(shape, entry->shape, rank * sizeof(*shape));
    return VLM_OK;
}

static struct vlm_tensor place(float **numbers, const char *name, size_t rows, size_t cols)
{
    struct vlm_tensor t = {
        .name = name, .rank = cols ? 2 : 1, .shape = { rows, cols }, .data = *numbers
    };
    *numbers += vlm_tensor_count(&t);
    return t;
}

/* What follows from E and the mean. */
static void derive(struct pca *pca, size_t d)
{
    for (size_t i = 0; i < d; i++) {
        double sum = 0;
        const float *row = pca->basis.data + i * VLM_PCA_NUMBERS;
        for (size_t k = 0; k < VLM_PCA_NUMBERS; k++) {
            sum += (double)row[k] * (double)pca->mean.data[k];
            pca->transposed.data[k * d + i] = row[k];
        }
        pca->offset.data[i] = (float)-sum;
    }
}

static int pca_open(void **model, struct vlm_kind_codebook *codebook,
                    const struct vlm_kind_source *source, struct vlm_err *err)
{
    size_t basis[2], book[2];
    int rc = shape_of(source->file, "basis", 2, basis, err);
    if (rc == VLM_OK)
        rc = shape_of(source->file, "codebook", 2, book, err);
    if (rc != VLM_OK)
        return rc;
    const size_t d = basis[0];
    if (d == 0 || d > VLM_PCA_NUMBERS || book[0] == 0 || book[0] > VLM_CODEBOOK_MAX)
        return vlm_fail(err, VLM_EFORMAT,
                        "%zu components and %zu codes, expected 1 to %d and 1 to %d", d, book[0],
                        VLM_PCA_NUMBERS, VLM_CODEBOOK_MAX);
    struct pca *pca = calloc(1, sizeof(*pca));
    float *at = calloc(VLM_PCA_NUMBERS * (1 + 2 * d) + d + book[0] * d, sizeof(float));
    if (!pca || !at) {
        free(pca);
        free(at);
        return vlm_fail(err, VLM_ENOMEM, "no memory for a tokenizer");
    }
    pca->numbers = at;
    pca->mean = place(&at, "mean", VLM_PCA_NUMBERS, 0);
    pca->basis = place(&at, "basis", d, VLM_PCA_NUMBERS);
    pca->codebook = place(&at, "codebook", book[0], d);
    pca->offset = place(&at, "offset", d, 0);
    pca->transposed = place(&at, "transposed", VLM_PCA_NUMBERS, d);
    const struct vlm_safetensors_want wanted[] = {
        { "mean", 1, { VLM_PCA_NUMBERS }, pca->mean.data },
        { "basis", 2, { d, VLM_PCA_NUMBERS }, pca->basis.data },
        { "codebook", 2, { book[0], d }, pca->codebook.data },
    };
    rc = vlm_safetensors_load(source->file, wanted, VLM_COUNTOF(wanted), VLM_SAFETENSORS_FINITE,
                              err);
    if (rc != VLM_OK) {
        pca_close(pca);
        return rc;
    }
    derive(pca, d);
    *codebook = (struct vlm_kind_codebook){ .table = pca->codebook, .minus_one_to_one = true };
    *model = pca;
    return VLM_OK;
}

static struct vlm_tensor *pca_encode(struct vlm_tape *tape, const void *model, struct vlm_tensor *x)
{
    struct pca own = *(const struct pca *)model;
    x = vlm_space_to_depth(tape, x, VLM_PCA_PATCH);
    return vlm_linear(tape, x, &(struct vlm_linear){ .weight = &own.basis, .bias = &own.offset });
}

static struct vlm_tensor *pca_decode(struct vlm_tape *tape, const void *model, struct vlm_tensor *q)
{
    struct pca own = *(const struct pca *)model;
    q = vlm_linear(tape, q, &(struct vlm_linear){ .weight = &own.transposed, .bias = &own.mean });
    return vlm_depth_to_space(tape, q, VLM_PCA_PATCH);
}

const struct vlm_kind vlm_kind_pca = { "pca", pca_open, pca_close, pca_encode, pca_decode };
