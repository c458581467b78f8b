/* bench_gemm.c - y = x W^T as in a linear layer: our rate, packing included, beside the peak of the
 * same moment and beside OpenBLAS's sgemm over the whole product with as many threads.
 *
 * The three take turns, some 40 ms each, so that a slow moment of the machine hits all; the best turn
 * of each counts. Operands lie in memory as they do in a model: W is [N, K], not packed before, and in
 * bf16 both are stored in bf16. OpenBLAS has no bf16 product for this; its fp32 rate stands beside
 * both. A W beyond the caches is read no faster than memory allows: the table has the share of the
 * bandwidth at which the same W can be summed up. */
#include "base/vlm.h"

#include "base/json.h"
#include "base/option.h"
#include "base/progress.h"
#include "nn/gemm.h"
#include "nn/memory.h"
#include "tools/bench/bench_gemm.h"
#include "tools/bench/machine.h"

#include <errno.h>
#include <time.h>

enum {
    SHAPES_MAX = 64,
    SIDE_MAX = 1 << 20,
    TURNS = 5,
    CACHE_MAX = 64 << 20, /* a W of more bytes lies in main memory */
};

static const double turn_seconds = 0.04;

struct shape {
    size_t m, n, k;
};

struct options {
    struct shape shape[SHAPES_MAX];
    size_t n_shapes;
    int64_t threads;
    bool json;
};

/* Tokens, outputs, inputs: the layers of decoders of width 512 and 768 in training; a square; decoding,
 * within the last cache and beyond it. */
static const struct shape usual[] = {
    { 1024, 1536, 512 }, { 1024, 2048, 512 }, { 1024, 512, 2048 }, { 1024, 8192, 512 },
    { 1024, 2304, 768 }, { 1024, 3072, 768 }, { 1024, 768, 3072 }, { 2048, 2048, 2048 },
    { 4096, 1536, 512 }, { 4096, 512, 2048 }, { 4096, 2304, 768 }, { 4096, 3072, 768 },
    { 4096, 768, 3072 }, { 16, 3072, 768 },   { 1, 3072, 768 },    { 1, 8192, 8192 },
    { 1, 50257, 768 },   { 1, 4096, 16384 },
};

struct measurement {
    struct shape shape;
    enum vlm_dtype precision;
    double gflops, openblas, peak;
    double read; /* GB/s of reading W, or 0 when a cache may hold it */
};

struct operands {
    struct vlm_memory memory;
    float *x, *w, *y;
    uint16_t *x_bits, *w_bits;
};

static void fill(float *x, uint16_t *bits, size_t n, const struct vlm_engine *engine)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(i * 2654435761U >> 8 & 0xffff) / 65536 - 0.5f;
    engine->kernels->gemm->round_bf16(bits, x, n);
}

static int make_operands(struct operands *o, const struct shape *s, const struct vlm_engine *engine,
                         struct vlm_err *err)
{
    struct vlm_gemm job = { .m = s->m, .n = s->n, .k = s->k, .precision = VLM_BF16 };
    size_t scratch = vlm_gemm_scratch(engine, &job);
    job.precision = VLM_F32;
    scratch = VLM_MAX(scratch, vlm_gemm_scratch(engine, &job));
    size_t x = s->m * s->k, w = s->n * s->k, y = s->m * s->n;
    int rc = vlm_memory_init(&o->memory, 6 * (x + w) + 4 * y + scratch + 4096, 0, err);
    if (rc)
        return rc;
    o->x = vlm_memory_take(&o->memory, x, sizeof(float));
    o->w = vlm_memory_take(&o->memory, w, sizeof(float));
    o->y = vlm_memory_take(&o->memory, y, sizeof(float));
    o->x_bits = vlm_memory_take(&o->memory, x, sizeof(uint16_t));
    o->w_bits = vlm_memory_take(&o->memory, w, sizeof(uint16_t));
    fill(o->x, o->x_bits, x, engine);
    fill(o->w, o->w_bits, w, engine);
    return VLM_OK;
}

static struct vlm_gemm make_job(const struct operands *o, const struct shape *s,
                                enum vlm_dtype precision)
{
    struct vlm_gemm job = { .m = s->m, .n = s->n, .k = s->k, .c = o->y, .c_row = s->n };
    job.a = (struct vlm_operand){ .row = s->k, .col = 1 };
    job.b = (struct vlm_operand){ .row = s->k, .col = 1 };
    job.precision = precision;
    if (precision == VLM_BF16)
        job.a.bits = o->x_bits, job.b.bits = o->w_bits;
    else
        job.a.f32 = o->x, job.b.f32 = o->w;
    return job;
}

/* Waits until the threads of OpenBLAS, which look for work for a while, have gone to sleep. */
static void let_sleep(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
}

static double run_calls(const struct vlm_engine *engine, const struct vlm_gemm *job, void *scratch,
                        size_t calls)
{
    double begin = vlm_now();
    for (size_t i = 0; i < calls; i++)
        if (scratch)
            vlm_gemm(engine, job, scratch);
        else
            vlm_gemm_openblas(job, vlm_pool_threads(engine->pool));
    return (vlm_now() - begin) / (double)calls;
}

/* GB/s at which W can be read, when no cache holds it. */
static double read_rate(const struct vlm_engine *engine, const struct operands *o,
                        const struct shape *s, enum vlm_dtype precision)
{
    size_t bytes = s->n * s->k * (precision == VLM_BF16 ? sizeof(uint16_t) : sizeof(float));
    const void *w = precision == VLM_BF16 ? (const void *)o->w_bits : (const void *)o->w;
    return bytes <= CACHE_MAX ? 0 : vlm_machine_read(engine, w, bytes);
}

static size_t calls_of_a_turn(double seconds)
{
    return 1 + (size_t)(turn_seconds / VLM_MAX(seconds, 1e-7));
}

/* The best of all turns: in `ours` by precision. */
static void take_turns(const struct vlm_engine *engine, const struct operands *o,
                       struct measurement result[2], size_t precisions, void *scratch)
{
    const struct shape *s = &result[0].shape;
    double flops = 2e-9 * (double)s->m * (double)s->n * (double)s->k;
    struct vlm_gemm job[2] = { make_job(o, s, VLM_F32), make_job(o, s, VLM_BF16) };
    size_t calls[2] = { 1, 1 };
    for (size_t p = 0; p < precisions; p++) { /* the first call touches scratch */
        run_calls(engine, &job[p], scratch, 1);
        calls[p] = calls_of_a_turn(run_calls(engine, &job[p], scratch, 1));
    }
    run_calls(engine, &job[0], NULL, 1);
    size_t blas_calls = calls_of_a_turn(run_calls(engine, &job[0], NULL, 1));
    double best_blas = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        let_sleep();
        for (size_t p = 0; p < precisions; p++) {
            double peak = vlm_machine_peak(engine, (enum vlm_dtype)p);
            double read = read_rate(engine, o, s, (enum vlm_dtype)p);
            double rate = flops / run_calls(engine, &job[p], scratch, calls[p]);
            result[p].peak = VLM_MAX(result[p].peak, peak);
            result[p].read = VLM_MAX(result[p].read, read);
            result[p].gflops = VLM_MAX(result[p].gflops, rate);
        }
        double blas = flops / run_calls(engine, &job[0], NULL, blas_calls);
        best_blas = VLM_MAX(best_blas, blas);
    }
    let_sleep();
    for (size_t p = 0; p < precisions; p++)
        result[p].openblas = best_blas;
}

/* fp32 into result[0] and, where the CPU has it, bf16 into result[1]. */
static int measure(struct measurement result[2], size_t precisions, const struct shape *shape,
                   const struct vlm_engine *engine, struct vlm_err *err)
{
    struct operands o = { 0 };
    int rc = make_operands(&o, shape, engine, err);
    if (rc)
        return rc;
    for (size_t p = 0; p < 2; p++)
        result[p] = (struct measurement){ .shape = *shape, .precision = (enum vlm_dtype)p };
    void *scratch = vlm_memory_take(&o.memory, o.memory.cap - o.memory.used - VLM_MEMORY_ALIGN, 1);
    take_turns(engine, &o, result, precisions, scratch);
    vlm_memory_release(&o.memory);
    return VLM_OK;
}

/* ---- output ---- */

static const char *dtype_name(enum vlm_dtype precision)
{
    return precision == VLM_BF16 ? "bf16" : "fp32";
}

static void add_json(struct vlm_json *json, const struct measurement *r, size_t threads)
{
    vlm_json_open(json, '{');
    vlm_json_key(json, "shape");
    vlm_json_open(json, '[');
    vlm_json_number(json, r->shape.m);
    vlm_json_number(json, r->shape.n);
    vlm_json_number(json, r->shape.k);
    vlm_json_close(json, ']');
    vlm_json_member_string(json, "dtype", dtype_name(r->precision));
    vlm_json_member_number(json, "threads", threads);
    vlm_json_key(json, "gflops");
    vlm_json_real(json, r->gflops);
    vlm_json_key(json, "openblas_gflops");
    vlm_json_real(json, r->openblas);
    vlm_json_key(json, "peak_gflops");
    vlm_json_real(json, r->peak);
    vlm_json_close(json, '}');
}

static void print_head(const struct vlm_engine *engine, const struct vlm_machine *machine)
{
    printf(
        "%s kernels, threads: %zu; peak fp32 %.0f, bf16 %.0f GFLOP/s; read %.1f, triad %.1f GB/s\n"
        "\n%18s  %5s  %8s  %6s  %8s  %11s  %9s\n",
        engine->kernels->name, vlm_pool_threads(engine->pool), machine->peak[VLM_F32],
        machine->peak[VLM_BF16], machine->read, machine->triad, "rows x out x in", "dtype",
        "GFLOP/s", "% peak", "OpenBLAS", "% OpenBLAS", "% of read");
}

static void print_row(const struct measurement *r)
{
    char shape[64], share[16] = "";
    snprintf(shape, sizeof(shape), "%zux%zux%zu", r->shape.m, r->shape.n, r->shape.k);
    if (r->read > 0) {
        double bytes = r->precision == VLM_BF16 ? 2 : 4;
        double rate = r->gflops / 2 / (double)r->shape.m * bytes; /* GB/s of W */
        snprintf(share, sizeof(share), "%.0f", 100 * rate / r->read);
    }
    printf("%18s  %5s  %8.1f  %6.0f  %8.1f  %11.0f  %9s\n", shape, dtype_name(r->precision),
           r->gflops, 100 * r->gflops / r->peak, r->openblas, 100 * r->gflops / r->openblas, share);
    fflush(stdout);
}

static int run(const struct options *options, const struct vlm_engine *engine, struct vlm_err *err)
{
    struct vlm_buffer line = { 0 };
    struct vlm_json json = { .out = &line };
    struct vlm_machine machine = { 0 };
    size_t precisions = vlm_machine_has_bf16(engine) ? 2 : 1;
    int rc = VLM_OK;
    if (!options->json) {
        rc = vlm_machine_measure(&machine, engine, err);
        if (rc == VLM_OK)
            print_head(engine, &machine);
    }
    vlm_json_open(&json, '{');
    vlm_json_key(&json, "results");
    vlm_json_open(&json, '[');
    for (size_t i = 0; rc == VLM_OK && i < options->n_shapes; i++) {
        struct measurement result[2];
        rc = measure(result, precisions, &options->shape[i], engine, err);
        for (size_t p = 0; rc == VLM_OK && p < precisions; p++)
            if (options->json)
                add_json(&json, &result[p], vlm_pool_threads(engine->pool));
            else
                print_row(&result[p]);
    }
    vlm_json_close(&json, ']');
    vlm_json_close(&json, '}');
    if (rc == VLM_OK && options->json) {
        if (line.failed)
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for the results");
        else
            printf("%.*s\n", (int)line.size, (const char *)line.data);
    }
    vlm_buffer_release(&line);
    return rc;
}

/* ---- options ---- */

static bool read_side(const char **text, char end, size_t *side)
{
    char *stop;
    errno = 0;
    unsigned long long value = strtoull(*text, &stop, 10);
    if (errno || **text < '0' || **text > '9' || *stop != end || value < 1 || value > SIDE_MAX)
        return false;
    *side = (size_t)value;
    *text = stop + (end != '\0');
    return true;
}

static int add_shape(struct options *options, const char *text, struct vlm_err *err)
{
    struct shape s;
    const char *p = text;
    if (options->n_shapes == SHAPES_MAX)
        return vlm_fail(err, VLM_EUSAGE, "more than %d shapes", SHAPES_MAX);
    if (!read_side(&p, 'x', &s.m) || !read_side(&p, 'x', &s.n) || !read_side(&p, '\0', &s.k))
        return vlm_fail(err, VLM_EUSAGE, "--shape %s: not MxNxK with sides of 1 to %d", text,
                        SIDE_MAX);
    options->shape[options->n_shapes++] = s;
    return VLM_OK;
}

/* The option table keeps the last value of an option; --shape may come many times and is taken out of
 * argv before. */
static int take_shapes(struct options *options, int *argc, char **argv, struct vlm_err *err)
{
    int kept = 1, rc = VLM_OK;
    for (int i = 1; i < *argc && rc == VLM_OK; i++) {
        if (!strncmp(argv[i], "--shape=", 8))
            rc = add_shape(options, argv[i] + 8, err);
        else if (!strcmp(argv[i], "--shape") && i + 1 < *argc)
            rc = add_shape(options, argv[++i], err);
        else
            argv[kept++] = argv[i];
    }
    if (rc == VLM_OK) {
        *argc = kept;
        argv[kept] = NULL;
    }
    return rc;
}

int vlm_bench_gemm(int argc, char **argv)
{
    static struct options options;
    const char *shape = NULL; /* for --help, and for a --shape at the end without a value */
    const struct vlm_option table[] = {
        VLM_OPTION_STRING(0, "shape", &shape, "MxNxK",
                          "M rows, N outputs, K inputs; again for more (default: those of usual "
                          "transformers)"),
        VLM_OPTION_NUMBER('j', "threads", &options.threads, "N", "0 = all cores", 0, 1024),
    };
    struct vlm_tool tool = {
        .name = "vlm-bench gemm",
        .synopsis = "[--shape MxNxK]... [-j N] [--json]",
        .summary =
            "Times y = x W^T, packing included, beside the machine's peak and OpenBLAS's sgemm.",
        .examples = "  vlm-bench gemm --shape 4096x3072x768 -j 2\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &options.json,
    };
    struct vlm_err err = { 0 };
    struct vlm_engine engine = { 0 };
    int rc = take_shapes(&options, &argc, argv, &err);
    if (rc == VLM_OK)
        rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc > 1)
        rc = vlm_fail(&err, VLM_EUSAGE, "unexpected argument '%s'", argv[1]);
    if (rc == VLM_OK)
        rc = vlm_engine_init(&engine, (size_t)options.threads, VLM_GEMM_OWN, &err);
    if (options.n_shapes == 0) {
        memcpy(options.shape, usual, sizeof(usual));
        options.n_shapes = VLM_COUNTOF(usual);
    }
    if (rc == VLM_OK)
        rc = run(&options, &engine, &err);
    vlm_engine_release(&engine);
    return vlm_tool_end(&tool, rc, &err);
}
