/* resize.c - antialiased resampling that equals Pillow's Image.resize bit for bit.
 *
 * Two passes, horizontal then vertical, with 8-bit samples between them. An output sample is
 * sum(weight * sample) over the filter's support (stretched when shrinking); weights are computed
 * in double, normalised, and rounded to 22-bit fixed point, so all that touches samples is integer
 * arithmetic and has one result whatever the order of the sum. Only the wanted box of the result,
 * and the rows it depends on, are computed. resize_avx2.c has faster forms of the inner loops. */
#include "base/vlm.h"

#include "vqgan/image/decoders.h"
#include "vqgan/image/resize_kernels.h"

#include <math.h>

/* Keys (1981), a = -0.5. */
static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x)
{
    if (x == 0.0)
        return 1.0;
    x = x * M_PI;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static double filter_at(enum vlm_filter filter, double x)
{
    return filter == VLM_FILTER_LANCZOS ? lanczos(x) : bicubic(x);
}

struct axis {
    enum vlm_filter filter;
    uint32_t from, to;    /* whole sizes */
    uint32_t begin, size; /* the wanted outputs */
};

/* Weights of output position x; exact is scratch for its taps. */
static void weigh(struct vlm_weights *weights, double *exact, const struct axis *axis, uint32_t i)
{
    double scale = (double)axis->from / axis->to;
    double stretch = scale < 1.0 ? 1.0 : scale, inverse = 1.0 / stretch;
    double support = (axis->filter == VLM_FILTER_LANCZOS ? 3.0 : 2.0) * stretch;
    double centre = (axis->begin + i + 0.5) * scale, sum = 0.0;
    int64_t low = (int64_t)(centre - support + 0.5), high = (int64_t)(centre + support + 0.5);
    low = VLM_MAX(low, 0);
    high = VLM_MIN(high, (int64_t)axis->from);
    size_t count = (size_t)(high - low);
    for (size_t k = 0; k < count; k++) {
        exact[k] = filter_at(axis->filter, ((double)((int64_t)k + low) - centre + 0.5) * inverse);
        sum += exact[k];
    }
    for (size_t k = 0; k < weights->pitch; k++) {
        double value = k >= count ? 0.0 : sum != 0.0 ? exact[k] / sum : exact[k];
        value *= 1 << VLM_WEIGHT_BITS;
        int32_t weight = (int32_t)(value < 0 ? value - 0.5 : value + 0.5);
        size_t at = i * weights->pitch + k;
        weights->weight[at] = weight;
        weights->high[at] = (int16_t)(weight >> VLM_WEIGHT_LOW_BITS);
        weights->low[at] = (int16_t)(weight & ((1 << VLM_WEIGHT_LOW_BITS) - 1));
    }
    weights->first[i] = (uint32_t)low;
    weights->count[i] = (uint32_t)count;
}

static bool weights_init(struct vlm_weights *weights, const struct axis *axis,
                         struct vlm_arena *arena)
{
    double scale = (double)axis->from / axis->to;
    double support = (axis->filter == VLM_FILTER_LANCZOS ? 3.0 : 2.0) * (scale < 1.0 ? 1.0 : scale);
    size_t taps = (size_t)ceil(support) * 2 + 1;
    weights->pitch = (taps + VLM_WEIGHT_PITCH - 1) / VLM_WEIGHT_PITCH * VLM_WEIGHT_PITCH;
    double *exact = vlm_arena_alloc(arena, weights->pitch, sizeof(double));
    weights->first = vlm_arena_alloc(arena, axis->size, sizeof(uint32_t));
    weights->count = vlm_arena_alloc(arena, axis->size, sizeof(uint32_t));
    weights->weight = vlm_arena_alloc(arena, axis->size * weights->pitch, sizeof(int32_t));
    weights->high = vlm_arena_alloc(arena, axis->size * weights->pitch, sizeof(int16_t));
    weights->low = vlm_arena_alloc(arena, axis->size * weights->pitch, sizeof(int16_t));
    if (!exact || !weights->first || !weights->count || !weights->weight || !weights->high ||
        !weights->low)
        return false;
    for (uint32_t i = 0; i < axis->size; i++)
        weigh(weights, exact, axis, i);
    return true;
}

static inline uint8_t clip(int32_t sum)
{
    sum >>= VLM_WEIGHT_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

void vlm_resize_row(uint8_t *to, const uint8_t *from, const struct vlm_weights *weights,
                    size_t columns, size_t channels)
{
    for (size_t x = 0; x < columns; x++) {
        const int32_t *weight = weights->weight + x * weights->pitch;
        const uint8_t *p = from + weights->first[x] * channels;
        for (size_t c = 0; c < channels; c++) {
            int32_t sum = VLM_WEIGHT_ROUNDING;
            for (size_t k = 0; k < weights->count[x]; k++)
                sum += p[k * channels + c] * weight[k];
            to[x * channels + c] = clip(sum);
        }
    }
}

void vlm_resize_column(uint8_t *to, const uint8_t *from, size_t stride, const int32_t *weight,
                       size_t count, size_t n)
{
    for (size_t x = 0; x < n; x++) {
        int32_t sum = VLM_WEIGHT_ROUNDING;
        for (size_t k = 0; k < count; k++)
            sum += from[k * stride + x] * weight[k];
        to[x] = clip(sum);
    }
}

/* A picture in memory, or a box of one: rows are stride apart. */
struct view {
    const uint8_t *samples;
    size_t stride;
};

/* How many of the rows may be read with VLM_ROW_SLACK bytes behind them. */
static size_t rows_with_slack(struct view from, size_t rows)
{
    size_t last = (VLM_ROW_SLACK + from.stride - 1) / from.stride;
    return rows > last ? rows - last : 0;
}

/* rows of `from` -> rows of `columns` pixels, tightly packed. */
static void pass_rows(uint8_t *to, struct view from, size_t rows, const struct vlm_weights *weights,
                      const struct vlm_resize *resize)
{
    size_t channels = resize->channels, stride = resize->columns * channels, y = 0;
#ifdef __x86_64__
    size_t wide = vlm_has_avx2() ? rows_with_slack(from, rows) : 0;
    for (; channels == 3 && y + 4 <= wide; y += 4)
        vlm_resize_rgb_rows_avx2(to + y * stride, stride, from.samples + y * from.stride,
                                 from.stride, weights, resize->columns);
    for (; channels == 1 && y < wide; y++)
        vlm_resize_grey_row_avx2(to + y * stride, from.samples + y * from.stride, weights,
                                 resize->columns);
#endif
    for (; y < rows; y++)
        vlm_resize_row(to + y * stride, from.samples + y * from.stride, weights, resize->columns,
                       channels);
}

/* first_row is the row of the whole picture that `from` begins with. */
static void pass_columns(uint8_t *to, struct view from, uint32_t first_row,
                         const struct vlm_weights *weights, const struct vlm_resize *resize)
{
    void (*column)(uint8_t *, const uint8_t *, size_t, const int32_t *, size_t, size_t) =
        vlm_resize_column;
    size_t n = (size_t)resize->columns * resize->channels;
#ifdef __x86_64__
    if (vlm_has_avx2())
        column = vlm_resize_column_avx2;
#endif
    for (size_t y = 0; y < resize->rows; y++)
        column(to + y * n, from.samples + (weights->first[y] - first_row) * from.stride,
               from.stride, weights->weight + y * weights->pitch, weights->count[y], n);
}

static void copy_rows(uint8_t *to, struct view from, size_t rows, size_t n)
{
    for (size_t y = 0; y < rows; y++)
        memcpy(to + y * n, from.samples + y * from.stride, n);
}

int vlm_resize_box(uint8_t *to, const uint8_t *from, const struct vlm_resize *resize,
                   struct vlm_arena *arena, struct vlm_err *err)
{
    const char *no_memory = "no memory to resize an image";
    size_t channels = resize->channels, n = resize->columns * channels;
    bool rows_change = resize->height != resize->to_height;
    uint32_t first_row = resize->top, end_row = resize->top + resize->rows;
    struct vlm_weights across, down;
    VLM_BUG_IF(resize->left + (uint64_t)resize->columns > resize->to_width ||
               resize->top + (uint64_t)resize->rows > resize->to_height);
    if (rows_change) {
        struct axis axis = { resize->filter, resize->height, resize->to_height, resize->top,
                             resize->rows };
        if (!weights_init(&down, &axis, arena))
            return vlm_fail(err, VLM_ELIMIT, "%s", no_memory);
        first_row = down.first[0];
        end_row = down.first[resize->rows - 1] + down.count[resize->rows - 1];
    }
    size_t rows = end_row - first_row;
    struct view view = { from + first_row * resize->width * channels, resize->width * channels };
    if (resize->width == resize->to_width) {
        view.samples += resize->left * channels;
    } else {
        struct axis axis = { resize->filter, resize->width, resize->to_width, resize->left,
                             resize->columns };
        uint8_t *between = rows_change ? vlm_arena_alloc(arena, rows, n) : to;
        if (!between || !weights_init(&across, &axis, arena))
            return vlm_fail(err, VLM_ELIMIT, "%s", no_memory);
        pass_rows(between, view, rows, &across, resize);
        view = (struct view){ between, n };
    }
    if (rows_change)
        pass_columns(to, view, first_row, &down, resize);
    else if (view.samples != to)
        copy_rows(to, view, rows, n);
    return VLM_OK;
}

int vlm_resize_bicubic(uint8_t *to, uint32_t to_width, uint32_t to_height, const uint8_t *from,
                       uint32_t width, uint32_t height, unsigned channels, struct vlm_arena *arena,
                       struct vlm_err *err)
{
    const struct vlm_resize resize = {
        .filter = VLM_FILTER_BICUBIC,
        .channels = channels,
        .width = width,
        .height = height,
        .to_width = to_width,
        .to_height = to_height,
        .columns = to_width,
        .rows = to_height,
    };
    if (!width || !height || !to_width || !to_height || !channels)
        return vlm_fail(err, VLM_EUSAGE,
                        "cannot resize %" PRIu32 "x%" PRIu32 " to %" PRIu32 "x%" PRIu32, width,
                        height, to_width, to_height);
    return vlm_resize_box(to, from, &resize, arena, err);
}
