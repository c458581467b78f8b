/* quality.c - PSNR, SSIM and gradients of squares, and the entropy of codes.
 *
 * Everything is in double and in one order, so that figures are the same on every machine but for the
 * last digits of log and exp. Rows of luma go through a ring as high as the window: nothing is
 * allocated, and each sample is converted once. */
#include "base/vlm.h"

#include "vqgan/train/quality.h"

#include <math.h>

enum {
    SIDE = VLM_SQUARE_SIDE,
    WINDOW = 11, /* of SSIM, high and wide */
    INSIDE = SIDE - WINDOW + 1,
    TOP = 10,
};

static const double psnr_of_equal = 100;

static double psnr_of(double mean_square)
{
    if (mean_square <= 0)
        return psnr_of_equal;
    return fmin(10 * log10(255.0 * 255.0 / mean_square), psnr_of_equal);
}

static double mean_square(const uint8_t *a, const uint8_t *b)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < VLM_SQUARE_BYTES; i++) {
        int difference = a[i] - b[i];
        sum += (uint64_t)(difference * difference);
    }
    return (double)sum / VLM_SQUARE_BYTES;
}

static double mean_difference(const uint8_t *a, const uint8_t *b)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < VLM_SQUARE_BYTES; i++)
        sum += (uint64_t)abs(a[i] - b[i]);
    return (double)sum / VLM_SQUARE_BYTES;
}

double vlm_psnr(const uint8_t a[VLM_SQUARE_BYTES], const uint8_t b[VLM_SQUARE_BYTES])
{
    return psnr_of(mean_square(a, b));
}

static double luma_of(const uint8_t *rgb)
{
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
}

static void luma_row(double to[SIDE], const uint8_t *square, size_t y)
{
    const uint8_t *rgb = square + y * SIDE * 3;
    for (size_t x = 0; x < SIDE; x++)
        to[x] = luma_of(rgb + 3 * x);
}

static void gaussian(double weights[WINDOW])
{
    double sum = 0;
    for (int i = 0; i < WINDOW; i++) {
        double distance = i - WINDOW / 2;
        weights[i] = exp(-distance * distance / (2 * 1.5 * 1.5));
        sum += weights[i];
    }
    for (int i = 0; i < WINDOW; i++)
        weights[i] /= sum;
}

enum { MEAN_A, MEAN_B, MEAN_AA, MEAN_BB, MEAN_AB, MEANS };

static double similarity(const double mean[MEANS])
{
    const double c1 = (0.01 * 255) * (0.01 * 255), c2 = (0.03 * 255) * (0.03 * 255);
    double a = mean[MEAN_A], b = mean[MEAN_B];
    double variance_a = mean[MEAN_AA] - a * a, variance_b = mean[MEAN_BB] - b * b;
    double covariance = mean[MEAN_AB] - a * b;
    return (2 * a * b + c1) * (2 * covariance + c2) /
           ((a * a + b * b + c1) * (variance_a + variance_b + c2));
}

/* Weighted means of one row of windows down their columns. */
static void column_means(double mean[MEANS][SIDE], double a[WINDOW][SIDE], double b[WINDOW][SIDE],
                         size_t top, const double weights[WINDOW])
{
    memset(mean, 0, sizeof(double) * MEANS * SIDE);
    for (size_t i = 0; i < WINDOW; i++) {
        const double *p = a[(top + i) % WINDOW], *q = b[(top + i) % WINDOW];
        double w = weights[i];
        for (size_t x = 0; x < SIDE; x++) {
            mean[MEAN_A][x] += w * p[x];
            mean[MEAN_B][x] += w * q[x];
            mean[MEAN_AA][x] += w * p[x] * p[x];
            mean[MEAN_BB][x] += w * q[x] * q[x];
            mean[MEAN_AB][x] += w * p[x] * q[x];
        }
    }
}

double vlm_ssim(const uint8_t a[VLM_SQUARE_BYTES], const uint8_t b[VLM_SQUARE_BYTES])
{
    double weights[WINDOW], rows_a[WINDOW][SIDE], rows_b[WINDOW][SIDE], mean[MEANS][SIDE];
    double sum = 0;
    gaussian(weights);
    for (size_t y = 0; y < SIDE; y++) {
        luma_row(rows_a[y % WINDOW], a, y);
        luma_row(rows_b[y % WINDOW], b, y);
        if (y + 1 < WINDOW)
            continue;
        column_means(mean, rows_a, rows_b, y + 1 - WINDOW, weights);
        for (size_t x = 0; x < INSIDE; x++) {
            double window[MEANS] = { 0 };
            for (size_t m = 0; m < MEANS; m++)
                for (size_t i = 0; i < WINDOW; i++)
                    window[m] += weights[i] * mean[m][x + i];
            sum += similarity(window);
        }
    }
    return sum / (INSIDE * INSIDE);
}

/* PSNR of horizontal and vertical Sobel gradients of luma, divided by 4 so that they lie within
 * [-255, 255]. The gradient is linear: that of the difference is enough. */
static double gradient_psnr(const uint8_t *a, const uint8_t *b)
{
    double rows[3][SIDE], other[SIDE], sum = 0;
    for (size_t y = 0; y < SIDE; y++) {
        double *row = rows[y % 3];
        luma_row(row, a, y);
        luma_row(other, b, y);
        for (size_t x = 0; x < SIDE; x++)
            row[x] -= other[x];
        if (y < 2)
            continue;
        const double *over = rows[(y - 2) % 3], *middle = rows[(y - 1) % 3];
        for (size_t x = 1; x + 1 < SIDE; x++) {
            double across = over[x + 1] - over[x - 1] + 2 * (middle[x + 1] - middle[x - 1]) +
                            row[x + 1] - row[x - 1];
            double down =
                row[x - 1] - over[x - 1] + 2 * (row[x] - over[x]) + row[x + 1] - over[x + 1];
            sum += (across * across + down * down) / 16;
        }
    }
    return psnr_of(sum / (2.0 * (SIDE - 2) * (SIDE - 2)));
}

int vlm_quality_init(struct vlm_quality *quality, size_t codes, struct vlm_err *err)
{
    VLM_BUG_IF(codes == 0);
    *quality = (struct vlm_quality){ .codes = codes, .uses = calloc(codes, sizeof(uint64_t)) };
    if (!quality->uses)
        return vlm_fail(err, VLM_ENOMEM, "no memory to count %zu codes", codes);
    return VLM_OK;
}

void vlm_quality_add(struct vlm_quality *quality, const uint8_t original[VLM_SQUARE_BYTES],
                     const uint8_t reconstruction[VLM_SQUARE_BYTES],
                     const uint16_t codes[VLM_CODES])
{
    double square = mean_square(original, reconstruction);
    quality->images++;
    quality->square += square;
    quality->psnr += psnr_of(square);
    quality->ssim += vlm_ssim(original, reconstruction);
    quality->l1 += mean_difference(original, reconstruction);
    quality->edge += gradient_psnr(original, reconstruction);
    for (size_t i = 0; i < VLM_CODES; i++) {
        VLM_BUG_IF(codes[i] >= quality->codes);
        quality->uses[codes[i]]++;
    }
}

/* Keeps the largest counts, the largest first. */
static void keep_top(uint64_t top[TOP], uint64_t uses)
{
    for (size_t i = 0; i < TOP; i++)
        if (uses > top[i]) {
            uint64_t smaller = top[i];
            top[i] = uses;
            uses = smaller;
        }
}

struct vlm_quality_report vlm_quality_report(const struct vlm_quality *quality)
{
    struct vlm_quality_report report = { .images = quality->images };
    double images = (double)VLM_MAX(quality->images, 1), all = images * VLM_CODES, entropy = 0;
    uint64_t top[TOP] = { 0 }, in_top = 0;
    for (size_t i = 0; i < quality->codes; i++) {
        keep_top(top, quality->uses[i]);
        double share = (double)quality->uses[i] / all;
        if (quality->uses[i])
            entropy -= share * log(share);
        else
            report.dead++;
    }
    for (size_t i = 0; i < TOP; i++)
        in_top += top[i];
    report.psnr = quality->psnr / images;
    report.ssim = quality->ssim / images;
    report.l1 = quality->l1 / images;
    report.edge_psnr = quality->edge / images;
    report.psnr_pooled = quality->images ? psnr_of(quality->square / images) : 0;
    report.usage = 1 - (double)report.dead / (double)quality->codes;
    report.perplexity = exp(entropy);
    report.entropy_bits = entropy / log(2);
    report.top10_share = (double)in_top / all;
    return report;
}

void vlm_quality_release(struct vlm_quality *quality)
{
    free(quality->uses);
    quality->uses = NULL;
}
