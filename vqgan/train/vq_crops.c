/* vq_crops.c - cuts, scales and mirrors parts of squares, in a thread of its own for each batch. */
#include "base/vlm.h"

#include "vqgan/train/vq_crops.h"

#include "base/random.h"

#include <math.h>

enum { STREAM_CROP = 103, SIDE = VLM_SQUARE_SIDE, TAPS_MAX = 8 };

static const double scale_least = 0.7, scale_most = 1.4;

/* The pixels that one pixel of the result is a weighted sum of. */
struct taps {
    size_t first, n;
    float weight[TAPS_MAX];
};

static void make_taps(struct taps *taps, size_t at, size_t size, size_t side)
{
    const double step = (double)side / (double)size, reach = step > 1 ? step : 1;
    const double center = ((double)at + 0.5) * step - 0.5;
    double sum = 0;
    ptrdiff_t first = (ptrdiff_t)ceil(center - reach), last = (ptrdiff_t)floor(center + reach);
    first = VLM_MAX(first, 0);
    last = VLM_MIN(last, (ptrdiff_t)side - 1);
    VLM_BUG_IF(last - first >= TAPS_MAX);
    taps->first = (size_t)first;
    taps->n = (size_t)(last - first + 1);
    for (size_t i = 0; i < taps->n; i++) {
        double weight = 1 - fabs((double)(taps->first + i) - center) / reach;
        taps->weight[i] = (float)weight;
        sum += weight;
    }
    for (size_t i = 0; i < taps->n; i++)
        taps->weight[i] = (float)((double)taps->weight[i] / sum);
}

void vlm_vq_crop(float *to, size_t size, const uint8_t square[VLM_SQUARE_BYTES],
                 const struct vlm_vq_cut *cut, float *rows)
{
    const size_t line = size * 3;
    struct taps taps;
    for (size_t c = 0; c < size; c++) {
        make_taps(&taps, cut->mirror ? size - 1 - c : c, size, cut->side);
        for (size_t r = 0; r < cut->side; r++) {
            const uint8_t *from = square + ((cut->top + r) * SIDE + cut->left + taps.first) * 3;
            float sum[3] = { 0 };
            for (size_t i = 0; i < taps.n; i++)
                for (size_t k = 0; k < 3; k++)
                    sum[k] += taps.weight[i] * (float)from[i * 3 + k];
            memcpy(rows + r * line + c * 3, sum, sizeof(sum));
        }
    }
    for (size_t r = 0; r < size; r++, to += line) {
        make_taps(&taps, r, size, cut->side);
        for (size_t k = 0; k < line; k++)
            to[k] = -1;
        for (size_t i = 0; i < taps.n; i++) {
            const float *from = rows + (taps.first + i) * line, weight = taps.weight[i] / 127.5f;
            for (size_t k = 0; k < line; k++)
                to[k] += weight * from[k];
        }
    }
}

int vlm_vq_crops_init(struct vlm_vq_crops *crops, const struct vlm_pictures *pictures,
                      uint64_t seed, bool whole, size_t floats, struct vlm_err *err)
{
    *crops = (struct vlm_vq_crops){ .pictures = pictures, .seed = seed, .whole = whole };
    crops->pixels[0] = malloc(floats * sizeof(float));
    crops->pixels[1] = malloc(floats * sizeof(float));
    crops->rows = malloc(VLM_SQUARE_BYTES * sizeof(float));
    if (!crops->pixels[0] || !crops->pixels[1] || !crops->rows) {
        vlm_vq_crops_release(crops);
        return vlm_fail(err, VLM_ENOMEM, "no memory for crops of %zu numbers in all", floats);
    }
    return VLM_OK;
}

void vlm_vq_crops_release(struct vlm_vq_crops *crops)
{
    if (crops->running)
        pthread_join(crops->thread, NULL);
    free(crops->pixels[0]);
    free(crops->pixels[1]);
    free(crops->rows);
    *crops = (struct vlm_vq_crops){ 0 };
}

static struct vlm_vq_cut choose_cut(struct vlm_random *random, size_t size)
{
    double scale = scale_least * pow(scale_most / scale_least, vlm_random_unit(random));
    size_t side = (size_t)((double)size / scale + 0.5);
    struct vlm_vq_cut cut = { .side = VLM_MIN(side, (size_t)SIDE) };
    cut.top = (size_t)vlm_random_below(random, SIDE - cut.side + 1);
    cut.left = (size_t)vlm_random_below(random, SIDE - cut.side + 1);
    cut.mirror = vlm_random_chance(random, 50);
    return cut;
}

static int make_crop(struct vlm_vq_crops *crops, size_t i)
{
    const struct vlm_pictures *pictures = crops->pictures;
    const size_t size = crops->next.size;
    uint8_t square[VLM_SQUARE_BYTES];
    struct vlm_random random =
        vlm_random_at(crops->seed, STREAM_CROP, crops->number * (1u << 16) + i);
    size_t picture = (size_t)vlm_random_below(&random, pictures->train);
    struct vlm_vq_cut cut = choose_cut(&random, size);
    if (crops->whole) {
        picture = i % pictures->train;
        cut = (struct vlm_vq_cut){ .side = SIDE };
    }
    int rc = pictures->read(pictures, false, picture, square, &crops->err);
    if (rc == VLM_OK)
        vlm_vq_crop(crops->pixels[1] + i * size * size * 3, size, square, &cut, crops->rows);
    return rc;
}

static void *make_batch(void *argument)
{
    struct vlm_vq_crops *crops = argument;
    crops->rc = VLM_OK;
    for (size_t i = 0; crops->rc == VLM_OK && i < crops->next.count; i++)
        crops->rc = make_crop(crops, i);
    return NULL;
}

int vlm_vq_crops_start(struct vlm_vq_crops *crops, uint64_t number, size_t size, size_t count,
                       struct vlm_err *err)
{
    VLM_BUG_IF(crops->running);
    crops->number = number;
    crops->next = (struct vlm_vq_batch){ .count = count, .size = size };
    int failed = pthread_create(&crops->thread, NULL, make_batch, crops);
    if (failed)
        return vlm_fail_errno(err, failed, "no thread for the crops");
    crops->running = true;
    return VLM_OK;
}

int vlm_vq_crops_wait(struct vlm_vq_crops *crops, struct vlm_vq_batch *batch, struct vlm_err *err)
{
    VLM_BUG_IF(!crops->running);
    pthread_join(crops->thread, NULL);
    crops->running = false;
    if (crops->rc != VLM_OK)
        return vlm_fail(err, crops->rc, "%s", crops->err.msg);
    float *made = crops->pixels[1];
    crops->pixels[1] = crops->pixels[0];
    crops->pixels[0] = made;
    *batch = crops->next;
    batch->pixels = made;
    return VLM_OK;
}
