/* model_estimate.c - what a model costs before it exists: bytes by a dry pass, operations by its shape. */
#include "base/vlm.h"

#include "models/blocks/block_internal.h"
#include "models/model/model.h"

/* ---- bytes ---- */

/* Forward and backward on a tape without kernels and memory. */
static int dry_pass(size_t *bytes, struct vlm_model *model, size_t rows, size_t images,
                    enum vlm_dtype precision, unsigned flags, struct vlm_err *err)
{
    struct vlm_engine engine = { 0 };
    struct vlm_tape tape = { 0 };
    const struct vlm_tape_options options = { .precision = precision, .flags = VLM_TAPE_DRY };
    const struct vlm_rows shape = { .n = rows, .n_images = images };
    int rc = vlm_engine_init(&engine, 0, VLM_GEMM_AUTO, err);
    if (rc == VLM_OK)
        rc = vlm_tape_init(&tape, &engine, &options, err);
    if (rc == VLM_OK) {
        struct vlm_tensor *loss =
            vlm_model_loss(&tape, model, &shape, &(struct vlm_targets){ 0 }, flags);
        rc = vlm_backward(&tape, loss, err);
    }
    *bytes = vlm_tape_peak(&tape);
    /* Where OpenBLAS multiplies, runs were measured 0.8 % above their dry pass. */
    if (engine.backend == VLM_GEMM_OPENBLAS)
        *bytes += *bytes / 64;
    vlm_tape_release(&tape);
    vlm_engine_release(&engine);
    return rc;
}

/* Bytes of AdamW's state; what vlm_model_freeze() would spare is not known here. */
static int optimizer_bytes(size_t *bytes, const struct vlm_model *model, struct vlm_err *err)
{
    const struct vlm_optimizer_options options = VLM_OPTIMIZER_DEFAULTS;
    struct vlm_parameter *list = calloc(model->n, sizeof(*list));
    if (!list)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a list of %zu parameters", model->n);
    vlm_model_list(list, model);
    *bytes = vlm_optimizer_bytes(list, model->n, &options);
    free(list);
    return VLM_OK;
}

/* Scratch depends on the number of threads: all cores of this process are assumed. Frozen parts are not
 * known, so the estimate is that of training everything. flags: VLM_MODEL_RECOMPUTE or 0. Errors: those
 * of vlm_model_check(), VLM_ENOMEM, and VLM_ELIMIT when a tensor's size is beyond counting. */
int vlm_model_estimate(struct vlm_model_estimate *estimate, const struct vlm_model_config *config,
                       size_t rows, size_t images, enum vlm_dtype precision, unsigned flags,
                       struct vlm_err *err)
{
    struct vlm_model model;
    *estimate = (struct vlm_model_estimate){ 0 };
    int rc = vlm_model_init(&model, config, VLM_MODEL_GRADS | VLM_MODEL_COUNT, err);
    if (rc != VLM_OK)
        return rc;
    estimate->parameters = model.count;
    estimate->grads = model.count * sizeof(float);
    estimate->weights = model.memory.used - estimate->grads; /* with a table of rotations */
    rc = optimizer_bytes(&estimate->optimizer, &model, err);
    if (rc == VLM_OK)
        rc = dry_pass(&estimate->step, &model, rows, images, precision, flags, err);
    vlm_model_release(&model);
    return rc;
}

/* ---- operations ---- */

/* Multiply-adds of a row in the products of a block: every number of its matrices meets the row once. */
static double products(const struct vlm_entry *entries, size_t n, const struct vlm_sizes *sizes,
                       size_t image_rows)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)vlm_block_dim(entries[i].rows, sizes, image_rows) *
               (double)vlm_block_dim(entries[i].cols, sizes, image_rows);
    return sum;
}

/* Those of layers over rows and over pairs of a query and a key that it sees: a pair has its score and
 * its share of the value in every head. */
static double layers_cost(const struct vlm_layer_kind *kind, const struct vlm_sizes *sizes,
                          size_t layers, double rows, double pairs)
{
    const double heads = (double)(sizes->heads * sizes->head_size);
    return (double)layers *
           (rows * products(kind->entries, kind->n_entries, sizes, 0) + pairs * 2 * heads);
}

/* The products of layers, encoder, bridge and head over all rows, and attention over the pairs that
 * lo and hi leave, forward once and backward twice. Not counted: norms, activations, softmax, lookups,
 * the optimiser, and what is computed a second time (VLM_MODEL_RECOMPUTE; blocks of attention that are
 * only partly seen). Counted although it is not computed: the head of rows without a target, and
 * gradients by frozen weights, since neither is said by config and rows. So rates made from it are
 * rates of useful work of a model that is trained whole, comparable between programs (Chowdhery et al.
 * 2022, "PaLM", appendix B, which also counts pairs that are masked; here those are left out). */
double vlm_model_flops(const struct vlm_model_config *config, const struct vlm_rows *rows)
{
    double pairs = 0;
    for (size_t i = 0; i < rows->n; i++)
        pairs += rows->hi[i] > rows->lo[i] ? rows->hi[i] - rows->lo[i] : 0;
    double sum =
        layers_cost(config->layer, &config->sizes, config->layers, (double)rows->n, pairs) +
        (double)rows->n * (double)config->vocabulary * (double)config->sizes.width;
    if (config->encoder && rows->n_images) {
        const size_t length = config->encoder_sizes.length;
        const double images = (double)rows->n_images, seen = images * (double)length;
        sum += layers_cost(&vlm_layer_pre_ln, &config->encoder_sizes, config->encoder_layers, seen,
                           seen * (double)length);
        sum += images * (double)config->bridge_sizes.length *
               products(config->bridge->entries, config->bridge->n_entries, &config->bridge_sizes,
                        length);
    }
    return 3 * 2 * sum;
}
