/* pca_train.c - the kind "pca" from pictures: principal components, then k-means over them.
 *
 * Pictures are read three times over fixed groups: for the mean, for the covariance of patches, for
 * their components. At most PICTURES_MAX of them are looked at, spread evenly: more patches than that
 * move no centre any more. */
#include "base/vlm.h"

#include "vqgan/train/train.h"

#include "base/json.h"
#include "base/progress.h"
#include "nn/eigen.h"
#include "nn/gemm.h"
#include "vqgan/tokenizer/model.h"
#include "vqgan/tokenizer/pca.h"
#include "vqgan/train/kmeans.h"

#include <math.h>
#include <time.h>

enum {
    COMPONENTS = 24,
    PICTURES_MAX = 8192,
    COVARIANCE_MAX = 2048, /* of them for the covariance */
    GROUP = 32,            /* pictures whose patches are in memory at once */
    ROUNDS = 30,
};

struct work {
    const struct vlm_pictures *pictures;
    const struct vlm_train_options *options;
    struct vlm_engine engine;
    struct vlm_progress progress;
    size_t used;            /* pictures that are looked at */
    float *patches;         /* [GROUP * 256, 768] */
    struct vlm_err *errors; /* [GROUP] */
    double *sum;            /* [768] */
    double *covariance;     /* [768, 768] */
    float *product;         /* [768, 768] of one group */
    float *mean, *basis;    /* [768], [COMPONENTS, 768] */
    float *components;      /* [used * 256, COMPONENTS] */
    float *codebook;        /* [K, COMPONENTS] */
    void *scratch;
    size_t scratch_size;
    size_t first, count, all; /* of the group at hand: pictures first to first + count, of `all` */
    double distance;          /* of the last round of k-means */
};

/* ---- patches ---- */

static void read_picture(void *argument, size_t task, size_t worker)
{
    (void)worker;
    struct work *work = argument;
    uint8_t square[VLM_SQUARE_BYTES];
    const size_t number = (work->first + task) * work->pictures->train / work->all;
    work->errors[task].code = VLM_OK;
    if (work->pictures->read(work->pictures, false, number, square, &work->errors[task]) != VLM_OK)
        return;
    float *to = work->patches + task * VLM_CODES * VLM_PCA_NUMBERS;
    for (size_t cell = 0; cell < VLM_CODES; cell++)
        for (size_t y = 0; y < VLM_PCA_PATCH; y++) {
            const uint8_t *from =
                square + ((cell / VLM_CODES_SIDE * VLM_PCA_PATCH + y) * VLM_SQUARE_SIDE +
                          cell % VLM_CODES_SIDE * VLM_PCA_PATCH) *
                             3;
            for (size_t i = 0; i < VLM_PCA_PATCH * 3; i++)
                *to++ = (float)from[i] / 127.5f - 1.0f;
        }
}

/* The patches of pictures first to first + GROUP, of `all` that are spread over the training ones. */
static int read_group(struct work *work, size_t first, size_t all, struct vlm_err *err)
{
    work->first = first;
    work->all = all;
    work->count = VLM_MIN((size_t)GROUP, all - first);
    vlm_pool_run(work->engine.pool, work->count, read_picture, work);
    for (size_t i = 0; i < work->count; i++)
        if (work->errors[i].code != VLM_OK) {
            *err = work->errors[i];
            return err->code;
        }
    return VLM_OK;
}

static void tell(struct work *work, const char *what, double fraction)
{
    char line[80];
    snprintf(line, sizeof(line), "pca   %-12s %5.1f%%", what, 100 * fraction);
    vlm_progress_update(&work->progress, fraction, line);
}

/* ---- mean and axes ---- */

static void add_sums(void *argument, size_t task, size_t worker)
{
    (void)worker;
    struct work *work = argument;
    const size_t first = task * 48, rows = work->count * VLM_CODES;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = first; i < first + 48; i++)
            work->sum[i] += (double)work->patches[r * VLM_PCA_NUMBERS + i];
}

static int find_mean(struct work *work, size_t all, struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t first = 0; rc == VLM_OK && first < all; first += GROUP) {
        rc = read_group(work, first, all, err);
        if (rc == VLM_OK)
            vlm_pool_run(work->engine.pool, VLM_PCA_NUMBERS / 48, add_sums, work);
        tell(work, "mean", (double)first / (double)all);
    }
    for (size_t i = 0; i < VLM_PCA_NUMBERS; i++)
        work->mean[i] = (float)(work->sum[i] / (double)(all * VLM_CODES));
    return rc;
}

static void centre_patches(void *argument, size_t task, size_t worker)
{
    (void)worker;
    struct work *work = argument;
    float *patch = work->patches + task * VLM_CODES * VLM_PCA_NUMBERS;
    for (size_t r = 0; r < VLM_CODES; r++, patch += VLM_PCA_NUMBERS)
        for (size_t i = 0; i < VLM_PCA_NUMBERS; i++)
            patch[i] -= work->mean[i];
}

static int multiply(struct work *work, const struct vlm_gemm *gemm, struct vlm_err *err)
{
    const size_t size = (vlm_gemm_scratch(&work->engine, gemm) + 63) / 64 * 64;
    if (size > work->scratch_size) {
        free(work->scratch);
        work->scratch_size = size;
        work->scratch = aligned_alloc(64, size);
        if (!work->scratch)
            return vlm_fail(err, VLM_ENOMEM, "no memory for a product");
    }
    vlm_gemm(&work->engine, gemm, work->scratch);
    return VLM_OK;
}

static int find_axes(struct work *work, size_t all, struct vlm_err *err)
{
    enum { N = VLM_PCA_NUMBERS };
    double values[N];
    int rc = VLM_OK;
    for (size_t first = 0; rc == VLM_OK && first < all; first += GROUP) {
        rc = read_group(work, first, all, err);
        if (rc != VLM_OK)
            return rc;
        vlm_pool_run(work->engine.pool, work->count, centre_patches, work);
        const struct vlm_operand columns = { .f32 = work->patches, .row = 1, .col = N };
        rc = multiply(work,
                      &(struct vlm_gemm){ .m = N,
                                          .n = N,
                                          .k = work->count * VLM_CODES,
                                          .a = columns,
                                          .b = columns,
                                          .c = work->product,
                                          .c_row = N },
                      err);
        for (size_t i = 0; i < (size_t)N * N; i++)
            work->covariance[i] += (double)work->product[i];
        tell(work, "components", (double)first / (double)all);
    }
    if (rc == VLM_OK)
        rc = vlm_eigen_symmetric(work->covariance, values, N, err);
    for (size_t i = 0; i < (size_t)COMPONENTS * N; i++)
        work->basis[i] = (float)work->covariance[i];
    return rc;
}

/* ---- components and codes ---- */

static int project(struct work *work, struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t first = 0; rc == VLM_OK && first < work->used; first += GROUP) {
        rc = read_group(work, first, work->used, err);
        if (rc != VLM_OK)
            return rc;
        vlm_pool_run(work->engine.pool, work->count, centre_patches, work);
        rc = multiply(work,
                      &(struct vlm_gemm){
                          .m = work->count * VLM_CODES,
                          .n = COMPONENTS,
                          .k = VLM_PCA_NUMBERS,
                          .a = { .f32 = work->patches, .row = VLM_PCA_NUMBERS, .col = 1 },
                          .b = { .f32 = work->basis, .row = VLM_PCA_NUMBERS, .col = 1 },
                          .c = work->components + first * VLM_CODES * COMPONENTS,
                          .c_row = COMPONENTS,
                      },
                      err);
        tell(work, "projection", (double)first / (double)work->used);
    }
    return rc;
}

static void tell_round(size_t round, double distance, void *context)
{
    struct work *work = context;
    work->distance = distance;
    tell(work, "k-means", (double)round / ROUNDS);
}

static int write_model(const struct work *work, char id[VLM_TOKENIZER_ID_SIZE], struct vlm_err *err)
{
    const size_t codes = (size_t)work->options->codes;
    if (work->options->store_bf16) {
        vlm_model_round(work->mean, VLM_PCA_NUMBERS);
        vlm_model_round(work->basis, (size_t)COMPONENTS * VLM_PCA_NUMBERS);
        vlm_model_round(work->codebook, codes * COMPONENTS);
    }
    const struct vlm_model_tensor tensors[] = {
        { "mean", 1, { VLM_PCA_NUMBERS }, work->mean },
        { "basis", 2, { COMPONENTS, VLM_PCA_NUMBERS }, work->basis },
        { "codebook", 2, { codes, COMPONENTS }, work->codebook },
    };
    char architecture[64], training[128];
    snprintf(architecture, sizeof(architecture), "{\"patch\": %d, \"components\": %d}",
             VLM_PCA_PATCH, COMPONENTS);
    snprintf(training, sizeof(training), "{\"pictures\": %zu, \"seed\": %" PRIu64 "}", work->used,
             work->options->seed);
    return vlm_model_write(work->options->output,
                           &(struct vlm_model_content){ .kind = "pca",
                                                        .architecture = architecture,
                                                        .training = training,
                                                        .codebook_size = codes,
                                                        .code_width = COMPONENTS,
                                                        .tensors = tensors,
                                                        .count = VLM_COUNTOF(tensors),
                                                        .store_bf16 = work->options->store_bf16 },
                           id, err);
}

static int make_room(struct work *work, struct vlm_err *err)
{
    enum { N = VLM_PCA_NUMBERS };
    work->patches = malloc((size_t)GROUP * VLM_CODES * N * sizeof(float));
    work->errors = calloc(GROUP, sizeof(*work->errors));
    work->sum = calloc(N, sizeof(double));
    work->covariance = calloc((size_t)N * N, sizeof(double));
    work->product = malloc((size_t)N * N * sizeof(float));
    work->mean = calloc(N, sizeof(float));
    work->basis = malloc((size_t)COMPONENTS * N * sizeof(float));
    work->components = malloc(work->used * VLM_CODES * COMPONENTS * sizeof(float));
    work->codebook = malloc((size_t)work->options->codes * COMPONENTS * sizeof(float));
    if (!work->patches || !work->errors || !work->sum || !work->covariance || !work->product ||
        !work->mean || !work->basis || !work->components || !work->codebook)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the patches of %zu pictures", work->used);
    return VLM_OK;
}

static void release(struct work *work)
{
    free(work->patches);
    free(work->errors);
    free(work->sum);
    free(work->covariance);
    free(work->product);
    free(work->mean);
    free(work->basis);
    free(work->components);
    free(work->codebook);
    free(work->scratch);
    vlm_engine_release(&work->engine);
}

static void report_on(struct vlm_buffer *report, const struct work *work, const char *id)
{
    struct vlm_json json = { .out = report };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "tokenizer", id);
    vlm_json_member_number(&json, "pictures", work->used);
    vlm_json_member_number(&json, "codebook_size", (uint64_t)work->options->codes);
    vlm_json_key(&json, "distance");
    vlm_json_real(&json, work->distance);
    vlm_json_key(&json, "seconds");
    vlm_json_real(&json, vlm_progress_seconds(&work->progress));
    vlm_json_close(&json, '}');
}

int vlm_train_pca(const struct vlm_pictures *pictures, const struct vlm_train_options *options,
                  struct vlm_buffer *report, struct vlm_err *err)
{
    struct work work = { .pictures = pictures,
                         .options = options,
                         .used = VLM_MIN(pictures->train, (size_t)PICTURES_MAX) };
    const size_t few = VLM_MIN(work.used, (size_t)COVARIANCE_MAX);
    char id[VLM_TOKENIZER_ID_SIZE];
    if (work.used * VLM_CODES < (size_t)options->codes)
        return vlm_fail(err, VLM_EUSAGE,
                        "%zu pictures have too few patches for %" PRId64 " codes: %zu are needed",
                        work.used, options->codes, ((size_t)options->codes + 255) / VLM_CODES);
    vlm_progress_init(&work.progress, options->progress, options->quiet);
    int rc = vlm_engine_init(&work.engine, (size_t)options->threads, VLM_GEMM_AUTO, err);
    if (rc == VLM_OK)
        rc = make_room(&work, err);
    if (rc == VLM_OK)
        rc = find_mean(&work, few, err);
    if (rc == VLM_OK)
        rc = find_axes(&work, few, err);
    if (rc == VLM_OK)
        rc = project(&work, err);
    const struct vlm_kmeans job = { .vectors = work.components,
                                    .n = work.used * VLM_CODES,
                                    .width = COMPONENTS,
                                    .centres = (size_t)options->codes,
                                    .rounds = ROUNDS,
                                    .seed = options->seed,
                                    .tell = tell_round,
                                    .context = &work };
    if (rc == VLM_OK)
        rc = vlm_kmeans(&work.engine, work.codebook, NULL, &job, err);
    if (rc == VLM_OK)
        rc = write_model(&work, id, err);
    vlm_progress_end(&work.progress);
    if (rc == VLM_OK)
        report_on(report, &work, id);
    release(&work);
    return rc;
}
