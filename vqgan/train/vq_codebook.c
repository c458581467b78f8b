/* vq_codebook.c - the first codes, moving averages and revival. One thread: there are a few thousand
 * latents of eight numbers. */
#include "base/vlm.h"

#include "vqgan/train/vq_codebook.h"

#include "base/random.h"
#include "vqgan/train/kmeans.h"

#include <math.h>

enum { STREAM_REVIVE = 102 };

int vlm_vq_codebook_init(struct vlm_vq_codebook *book, struct vlm_tensor *table,
                         struct vlm_err *err)
{
    *book = (struct vlm_vq_codebook){ .table = table };
    book->counts = calloc(table->shape[0], sizeof(float));
    book->sums = calloc(vlm_tensor_count(table), sizeof(float));
    if (!book->counts || !book->sums) {
        vlm_vq_codebook_release(book);
        return vlm_fail(err, VLM_ENOMEM, "no memory for the averages of %zu codes",
                        table->shape[0]);
    }
    return VLM_OK;
}

void vlm_vq_codebook_release(struct vlm_vq_codebook *book)
{
    free(book->counts);
    free(book->sums);
    *book = (struct vlm_vq_codebook){ 0 };
}

void vlm_vq_set_unit(float *to, const float *x, size_t n)
{
    double square = 0;
    for (size_t i = 0; i < n; i++)
        square += (double)x[i] * (double)x[i];
    double length = sqrt(square);
    for (size_t i = 0; i < n && length > 1e-12; i++)
        to[i] = (float)((double)x[i] / length);
}

int vlm_vq_codebook_fit(struct vlm_vq_codebook *book, const struct vlm_engine *engine,
                        const struct vlm_vq_fit *fit, struct vlm_err *err)
{
    const size_t codes = book->table->shape[0], width = book->table->shape[1];
    const struct vlm_kmeans job = { .vectors = fit->z,
                                    .n = fit->rows,
                                    .width = width,
                                    .centres = codes,
                                    .rounds = fit->rounds,
                                    .seed = fit->seed };
    uint32_t *nearest = calloc(fit->rows + 1, sizeof(*nearest));
    if (!nearest)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the codes of %zu latents", fit->rows);
    int rc = vlm_kmeans(engine, book->table->data, nearest, &job, err);
    const float share = (float)fit->step_rows / (float)fit->rows;
    memset(book->counts, 0, codes * sizeof(float));
    memset(book->sums, 0, codes * width * sizeof(float));
    for (size_t r = 0; rc == VLM_OK && r < fit->rows; r++) {
        book->counts[nearest[r]] += share;
        for (size_t i = 0; i < width; i++)
            book->sums[nearest[r] * width + i] += share * fit->z[r * width + i];
    }
    for (size_t k = 0; rc == VLM_OK && k < codes; k++)
        vlm_vq_set_unit(book->table->data + k * width, book->table->data + k * width, width);
    free(nearest);
    return rc;
}

/* ---- moving averages ---- */

static void average(struct vlm_vq_codebook *book, const struct vlm_vq_move *move)
{
    const size_t codes = book->table->shape[0], width = book->table->shape[1];
    const float stay = (float)move->decay, in = (float)(1 - move->decay);
    for (size_t k = 0; k < codes; k++)
        book->counts[k] *= stay;
    for (size_t i = 0; i < codes * width; i++)
        book->sums[i] *= stay;
    for (size_t r = 0; r < move->rows; r++) {
        float *sum = book->sums + move->codes[r] * width;
        book->counts[move->codes[r]] += in;
        for (size_t i = 0; i < width; i++)
            sum[i] += in * move->z[r * width + i];
    }
}

size_t vlm_vq_codebook_move(struct vlm_vq_codebook *book, const struct vlm_vq_move *move,
                            uint32_t *revived)
{
    const size_t codes = book->table->shape[0], width = book->table->shape[1];
    const float mean = (float)move->rows / (float)codes;
    const float least = (float)move->dead * mean;
    size_t count = 0;
    average(book, move);
    for (size_t k = 0; k < codes; k++) {
        float *sum = book->sums + k * width;
        if (book->counts[k] < least) {
            struct vlm_random random =
                vlm_random_at(move->seed, STREAM_REVIVE, move->step * codes + k);
            const float *z = move->z + vlm_random_below(&random, move->rows) * width;
            book->counts[k] = mean;
            for (size_t i = 0; i < width; i++)
                sum[i] = mean * z[i];
            if (revived)
                revived[count] = (uint32_t)k;
            count++;
        }
        vlm_vq_set_unit(book->table->data + k * width, sum, width);
    }
    return count;
}
