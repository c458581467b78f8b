/* bench_conv.c - times the convolution op, forward and backward, by each method. */
#include "base/vlm.h"

#include "base/progress.h"
#include "tools/bench/bench_conv.h"
#include "tools/bench/machine.h"

static const struct shape {
    const char *name;
    size_t images, side, in, out, taps, stride;
} shapes[] = {
    { "256x256 128->128", 1, 256, 128, 128, 3, 1 }, /* taming f16, highest level first */
    { "256x256 128->128 /2", 1, 256, 128, 128, 3, 2 },
    { "128x128 128->128", 1, 128, 128, 128, 3, 1 },
    { "64x64 256->256", 1, 64, 256, 256, 3, 1 },
    { "32x32 256->256", 1, 32, 256, 256, 3, 1 },
    { "16x16 512->512", 1, 16, 512, 512, 3, 1 },
    { "8 of 16x16 512->512", 8, 16, 512, 512, 3, 1 },
    { "8 of 16x16 512->512 1x1", 8, 16, 512, 512, 1, 1 },
    { "32 of 32x32 64->64", 32, 32, 64, 64, 3, 1 }, /* vq-s on crops of 128 x 128 */
    { "32 of 16x16 128->128", 32, 16, 128, 128, 3, 1 },
    { "32 of 8x8 256->256", 32, 8, 256, 256, 3, 1 },
    { "32 of 32x32 48->64", 32, 32, 48, 64, 3, 1 },
};

static const enum vlm_conv_mode modes[VLM_BENCH_CONV_METHODS] = { VLM_CONV_DIRECT,
                                                                  VLM_CONV_WINOGRAD,
                                                                  VLM_CONV_FAST };
enum { TURNS_MIN = 3, TURNS_MAX = 40 };
static const double turns_seconds = 0.15;

struct tensors {
    struct vlm_tensor x, w, b;
};

/* A parameter of small numbers, with a gradient. */
static bool make_tensor(struct vlm_tensor *t, unsigned rank, const size_t *shape)
{
    *t = (struct vlm_tensor){ .name = "bench", .rank = rank, .needs_grad = true };
    memcpy(t->shape, shape, rank * sizeof(*shape));
    size_t n = vlm_tensor_count(t);
    t->data = malloc(n * sizeof(float));
    t->grad = calloc(n, sizeof(float));
    for (size_t i = 0; t->data && i < n; i++)
        t->data[i] = (float)(i * 2654435761u % 1024) / 1024 - 0.5f;
    return t->data && t->grad;
}

static void free_tensors(struct tensors *tensors)
{
    struct vlm_tensor *t[] = { &tensors->x, &tensors->w, &tensors->b };
    for (size_t i = 0; i < VLM_COUNTOF(t); i++) {
        free(t[i]->data);
        free(t[i]->grad);
    }
}

/* One forward and backward pass; keeps the shorter times. */
static int turn(struct vlm_tape *tape, struct tensors *tensors, const struct vlm_conv2d *conv,
                double seconds[2], struct vlm_err *err)
{
    vlm_tape_reset(tape);
    double start = vlm_now();
    struct vlm_tensor *y = vlm_conv2d(tape, &tensors->x, conv);
    double middle = vlm_now();
    int rc = vlm_backward(tape, y, err);
    double end = vlm_now();
    seconds[0] = VLM_MIN(seconds[0], middle - start);
    seconds[1] = VLM_MIN(seconds[1], end - middle);
    return rc;
}

static int time_method(struct vlm_bench_conv *row, size_t method, const struct shape *shape,
                       struct tensors *tensors, struct vlm_tape *tape, struct vlm_err *err)
{
    bool same = shape->stride == 1 && shape->taps > 1;
    struct vlm_conv2d conv = { .weight = &tensors->w,
                               .bias = &tensors->b,
                               .stride = shape->stride,
                               .before = same,
                               .after = shape->taps > 1,
                               .mode = modes[method] };
    size_t side = shape->side / shape->stride;
    double flop = 2.0 * (double)(shape->images * side * side * shape->taps * shape->taps) *
                  (double)(shape->in * shape->out);
    double seconds[2] = { 1e9, 1e9 }, start = vlm_now();
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < TURNS_MAX; i++) {
        if (i >= TURNS_MIN && vlm_now() - start > turns_seconds)
            break;
        rc = turn(tape, tensors, &conv, seconds, err);
    }
    row->forward[method] = flop / seconds[0] * 1e-9;
    row->backward[method] = 2 * flop / seconds[1] * 1e-9;
    return rc;
}

static int time_shape(struct vlm_bench_conv *row, const struct shape *shape, struct vlm_tape *tape,
                      struct vlm_err *err)
{
    const size_t x[] = { shape->images, shape->side, shape->side, shape->in };
    const size_t w[] = { shape->out, shape->taps, shape->taps, shape->in };
    struct tensors tensors = { 0 };
    int rc = VLM_OK;
    *row = (struct vlm_bench_conv){ .shape = shape->name };
    if (!make_tensor(&tensors.x, 4, x) || !make_tensor(&tensors.w, 4, w) ||
        !make_tensor(&tensors.b, 1, w))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a convolution of %s", shape->name);
    row->peak = vlm_machine_peak(tape->engine, tape->precision);
    bool winograd = shape->taps == 3 && shape->stride == 1 && tape->precision == VLM_F32;
    for (size_t i = 0; rc == VLM_OK && i < (winograd ? VLM_COUNTOF(modes) : 1); i++)
        rc = time_method(row, i, shape, &tensors, tape, err);
    /* Of two measurements the better one: the machine may be shared. */
    row->peak = VLM_MAX(row->peak, vlm_machine_peak(tape->engine, tape->precision));
    free_tensors(&tensors);
    return rc;
}

int vlm_bench_conv(struct vlm_bench_conv rows[VLM_BENCH_CONV_MAX], size_t *n,
                   const struct vlm_engine *engine, enum vlm_dtype precision, struct vlm_err *err)
{
    struct vlm_tape tape = { 0 };
    int rc =
        vlm_tape_init(&tape, engine, &(struct vlm_tape_options){ .precision = precision }, err);
    *n = 0;
    for (; rc == VLM_OK && *n < VLM_COUNTOF(shapes); (*n)++)
        rc = time_shape(&rows[*n], &shapes[*n], &tape, err);
    vlm_tape_release(&tape);
    return rc;
}

void vlm_bench_conv_print(FILE *to, const struct vlm_bench_conv *rows, size_t n)
{
    static const char *const method[] = { "direct", "F(2x2)", "F(4x4)" };
    fprintf(to, "%-24s %-8s %18s %18s\n", "convolution, GFLOP/s", "method", "forward, of peak",
            "backward, of peak");
    for (size_t i = 0; i < n; i++)
        for (size_t m = 0; m < VLM_BENCH_CONV_METHODS; m++)
            if (rows[i].forward[m] > 0)
                fprintf(to, "%-24s %-8s %10.1f %5.0f %% %10.1f %5.0f %%\n", m ? "" : rows[i].shape,
                        method[m], rows[i].forward[m], 100 * rows[i].forward[m] / rows[i].peak,
                        rows[i].backward[m], 100 * rows[i].backward[m] / rows[i].peak);
}
