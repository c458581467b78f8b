/* bench_step.c - how many tokens a second a decoder learns from: forward, backward, AdamW.
 *
 * The work is that of ../shared/peers/train_step.py: the same model, random tokens, one optimiser
 * step for --tokens tokens in parts of --micro sequences. Beside each step the machine's sgemm rate
 * is taken (OpenBLAS), because this machine may be slower in one minute than in the next. Memory is
 * what the process had in use before OpenBLAS was called for the first time. */
#include "base/vlm.h"

#include "base/json.h"
#include "base/option.h"
#include "base/progress.h"
#include "base/random.h"
#include "models/model/model.h"
#include "nn/gemm.h"
#include "nn/optimizer.h"
#include "tools/bench/bench_shape.h"
#include "tools/bench/bench_step.h"
#include "tools/bench/machine.h"

#include <math.h>
#include <sys/resource.h>

enum {
    REPEAT_MAX = 1000,
    FALLS_AFTER = 2, /* timed steps on the same tokens until the loss must be lower */
};
#define RATE 3e-4 /* of learning: the peer's */

struct step_bench {
    /* options */
    const char *shape_text;
    int64_t vocabulary, tokens, sequence, micro, threads, repeat, seed;
    int dtype, gemm;
    bool recompute, json;

    struct vlm_model_config config;
    struct vlm_engine engine;
    struct vlm_tape tape;
    struct vlm_model model;
    struct vlm_optimizer optimizer;
    struct vlm_rows rows; /* shape of one part; ids and targets move on with the part */
    struct vlm_targets targets;
    size_t parts; /* in a step */
    uint32_t *tokens_in, *tokens_out, *positions, *lo, *hi;

    size_t estimate, peak;   /* bytes: by a dry run; of the process after the first steps */
    double *rates, *sgemm;   /* [repeat] tokens/s, GFLOP/s */
    double wall, cpu;        /* seconds of all timed steps: of the clock, of all threads */
    float *operands;         /* of the product that is timed beside the steps */
    double first_loss, loss; /* of the first step, of the last */
};

static int check_sizes(struct step_bench *bench, struct vlm_err *err)
{
    int64_t part = bench->sequence * bench->micro;
    if (bench->tokens % part)
        return vlm_fail(err, VLM_EUSAGE,
                        "%" PRId64 " tokens are not parts of %" PRId64 " x %" PRId64
                        " (--micro, --seq)",
                        bench->tokens, bench->micro, bench->sequence);
    bench->parts = (size_t)(bench->tokens / part);
    bench->rows.n = (size_t)part;
    bench->targets.weight_sum = (double)bench->tokens;
    return vlm_bench_shape(&bench->config, bench->shape_text, (size_t)bench->vocabulary,
                           (size_t)bench->sequence, err);
}

/* Random tokens; what follows each is its target. */
static int make_data(struct step_bench *bench, struct vlm_err *err)
{
    const size_t tokens = (size_t)bench->tokens, rows = bench->rows.n;
    const size_t sequence = (size_t)bench->sequence;
    uint32_t **array[] = { &bench->tokens_in, &bench->tokens_out, &bench->positions, &bench->lo,
                           &bench->hi };
    for (size_t i = 0; i < VLM_COUNTOF(array); i++)
        if (!(*array[i] = calloc(tokens, sizeof(uint32_t))))
            return vlm_fail(err, VLM_ENOMEM, "no memory for %zu tokens", tokens);
    bench->rates = calloc((size_t)bench->repeat, sizeof(double));
    bench->sgemm = calloc((size_t)bench->repeat, sizeof(double));
    size_t *lengths = calloc((size_t)bench->micro, sizeof(*lengths));
    if (!bench->rates || !bench->sgemm || !lengths) {
        free(lengths);
        return vlm_fail(err, VLM_ENOMEM, "no memory for %" PRId64 " results", bench->repeat);
    }
    for (size_t i = 0; i < (size_t)bench->micro; i++)
        lengths[i] = sequence;
    vlm_rows_causal(bench->positions, bench->lo, bench->hi, lengths, rows / sequence);
    free(lengths);
    for (size_t s = 0; s < tokens / sequence; s++) {
        struct vlm_random random = vlm_random_at((uint64_t)bench->seed, 1, s);
        uint32_t next = (uint32_t)vlm_random_below(&random, bench->config.vocabulary);
        for (size_t i = s * sequence; i < (s + 1) * sequence; i++) {
            bench->tokens_in[i] = next;
            next = (uint32_t)vlm_random_below(&random, bench->config.vocabulary);
            bench->tokens_out[i] = next;
        }
    }
    bench->rows.positions = bench->positions;
    bench->rows.lo = bench->lo;
    bench->rows.hi = bench->hi;
    return VLM_OK;
}

/* Forward and backward over one part; adds its share to *loss. */
static int run_part(struct step_bench *bench, struct vlm_tape *tape, struct vlm_model *model,
                    size_t part, double *loss, struct vlm_err *err)
{
    bench->rows.ids = bench->tokens_in + part * bench->rows.n;
    bench->targets.ids = bench->tokens_out + part * bench->rows.n;
    struct vlm_tensor *out = vlm_model_loss(tape, model, &bench->rows, &bench->targets,
                                            bench->recompute ? VLM_MODEL_RECOMPUTE : 0);
    int rc = vlm_backward(tape, out, err);
    if (rc == VLM_OK && vlm_tape_runs(tape))
        *loss += (double)out->data[0];
    vlm_tape_reset(tape);
    return rc;
}

/* The same forward and backward on a tape without kernels and memory, plus weights, gradients and
 * the two moments. */
static int estimate_memory(struct step_bench *bench, struct vlm_err *err)
{
    struct vlm_model model;
    struct vlm_tape tape = { 0 };
    const struct vlm_tape_options options = { .precision = (enum vlm_dtype)bench->dtype,
                                              .flags = VLM_TAPE_DRY };
    double loss = 0;
    int rc = vlm_model_init(&model, &bench->config, VLM_MODEL_GRADS | VLM_MODEL_COUNT, err);
    if (rc == VLM_OK)
        rc = vlm_tape_init(&tape, &bench->engine, &options, err);
    if (rc == VLM_OK)
        rc = run_part(bench, &tape, &model, 0, &loss, err);
    bench->estimate = vlm_tape_peak(&tape) + 4 * model.count * sizeof(float);
    vlm_tape_release(&tape);
    vlm_model_release(&model);
    return rc;
}

/* All parameters decay, as in the peer's AdamW(model.parameters()). */
static int start_optimizer(struct step_bench *bench, struct vlm_err *err)
{
    const struct vlm_optimizer_options options = VLM_OPTIMIZER_DEFAULTS;
    const struct vlm_model *model = &bench->model;
    struct vlm_parameter *list = calloc(model->n, sizeof(*list));
    if (!list)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu parameters", model->n);
    for (size_t i = 0; i < model->n; i++) {
        list[i].tensor = &model->tensors[i];
        list[i].flags = VLM_PARAMETER_DECAY;
    }
    int rc = vlm_optimizer_init(&bench->optimizer, &bench->engine, list, model->n, &options, err);
    free(list);
    return rc;
}

static int prepare(struct step_bench *bench, struct vlm_err *err)
{
    const enum vlm_gemm_backend backend[] = { VLM_GEMM_AUTO, VLM_GEMM_OWN, VLM_GEMM_OPENBLAS };
    const struct vlm_tape_options options = { .precision = (enum vlm_dtype)bench->dtype };
    int rc = check_sizes(bench, err);
    if (rc == VLM_OK)
        rc = vlm_engine_init(&bench->engine, (size_t)bench->threads, backend[bench->gemm], err);
    if (rc == VLM_OK)
        rc = make_data(bench, err);
    if (rc == VLM_OK)
        rc = estimate_memory(bench, err);
    if (rc == VLM_OK)
        rc = vlm_model_init(&bench->model, &bench->config, VLM_MODEL_GRADS, err);
    if (rc == VLM_OK)
        rc = vlm_tape_init(&bench->tape, &bench->engine, &options, err);
    if (rc == VLM_OK)
        rc = start_optimizer(bench, err);
    if (rc == VLM_OK)
        vlm_model_fill(&bench->model, (uint64_t)bench->seed);
    return rc;
}

static int run_step(struct step_bench *bench, struct vlm_err *err)
{
    bench->loss = 0;
    vlm_optimizer_clear(&bench->optimizer);
    for (size_t part = 0; part < bench->parts; part++) {
        int rc = run_part(bench, &bench->tape, &bench->model, part, &bench->loss, err);
        if (rc != VLM_OK)
            return rc;
    }
    double norm = vlm_optimizer_norm(&bench->optimizer);
    int rc = vlm_optimizer_step(&bench->optimizer, RATE, norm, err);
    if (rc == VLM_SKIP || (rc == VLM_OK && !isfinite(bench->loss)))
        rc = vlm_fail(err, VLM_EFAIL, "loss %g with gradient norm %g is not finite", bench->loss,
                      norm);
    return rc;
}

/* Bytes of memory that the process had at most. */
static size_t peak_of_process(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss * 1024;
}

/* GFLOP/s of OpenBLAS in the product of a block's first half of the MLP, the best of some. */
static int time_sgemm(struct step_bench *bench, double *rate, struct vlm_err *err)
{
    enum { ROWS = 1024, TURNS = 5 };
    const size_t in = bench->config.sizes.width, out = 4 * in;
    const size_t floats = ROWS * in + out * in + ROWS * out;
    if (!bench->operands) {
        bench->operands = malloc(floats * sizeof(float));
        if (!bench->operands)
            return vlm_fail(err, VLM_ENOMEM, "no memory for a product of %zu x %zu", in, out);
        /* Untouched zeros would be one page, read again and again. */
        for (size_t i = 0; i < floats; i++)
            bench->operands[i] = 1;
    }
    const float *x = bench->operands, *w = x + ROWS * in;
    const struct vlm_gemm job = { .m = ROWS,
                                  .n = out,
                                  .k = in,
                                  .a = { .f32 = x, .row = in, .col = 1 },
                                  .b = { .f32 = w, .row = in, .col = 1 },
                                  .c = bench->operands + ROWS * in + out * in,
                                  .c_row = out };
    double best = INFINITY;
    for (int i = 0; i < TURNS; i++) {
        double start = vlm_now();
        vlm_gemm_openblas(&job, vlm_pool_threads(bench->engine.pool));
        best = fmin(best, vlm_now() - start);
    }
    *rate = 2e-9 * (double)ROWS * (double)in * (double)out / best;
    return VLM_OK;
}

/* One step without the clock, which touches all memory, then `repeat` with it. */
static int measure(struct step_bench *bench, struct vlm_err *err)
{
    int rc = run_step(bench, err);
    bench->first_loss = bench->loss;
    for (size_t i = 0; rc == VLM_OK && i < (size_t)bench->repeat; i++) {
        double start = vlm_now(), cpu = vlm_machine_cpu_seconds();
        rc = run_step(bench, err);
        double took = vlm_now() - start;
        bench->rates[i] = (double)bench->tokens / took;
        bench->wall += took;
        bench->cpu += vlm_machine_cpu_seconds() - cpu;
        if (i == 0)
            bench->peak = peak_of_process();
        if (rc == VLM_OK)
            rc = time_sgemm(bench, &bench->sgemm[i], err);
    }
    if (rc == VLM_OK && bench->repeat >= FALLS_AFTER && bench->loss >= bench->first_loss)
        rc = vlm_fail(err, VLM_EFAIL, "the loss did not fall: %g, then %g", bench->first_loss,
                      bench->loss);
    return rc;
}

static double median(double *x, size_t n)
{
    vlm_machine_sort(x, n);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

struct result {
    double rate, low, high; /* tokens/s */
    double gflops, sgemm;   /* GFLOP/s of the median step; of the machine */
};

static struct result summarise(struct step_bench *bench)
{
    const size_t n = (size_t)bench->repeat;
    struct result result = { .rate = median(bench->rates, n), .sgemm = median(bench->sgemm, n) };
    result.low = bench->rates[0];
    result.high = bench->rates[n - 1];
    double flops = vlm_model_flops(&bench->config, &bench->rows) * (double)bench->parts;
    result.gflops = flops / (double)bench->tokens * result.rate * 1e-9;
    return result;
}

static void print_text(const struct step_bench *bench, const struct result *r)
{
    const double mb = 1e-6;
    printf(
        "step %s, vocabulary %zu: %" PRId64 " tokens in parts of %" PRId64 " x %" PRId64 ", %s%s\n",
        bench->shape_text, bench->config.vocabulary, bench->tokens, bench->micro, bench->sequence,
        bench->dtype == VLM_BF16 ? "bf16" : "fp32", bench->recompute ? ", recomputing blocks" : "");
    printf("%-10s %zu, kernels %s\n", "threads", vlm_pool_threads(bench->engine.pool),
           bench->engine.kernels->name);
    printf("%-10s %.1f   (%.1f to %.1f, %" PRId64 " steps on %.2f cores)\n", "tokens/s", r->rate,
           r->low, r->high, bench->repeat, bench->cpu / bench->wall);
    printf("%-10s %.1f   causal pairs only, recomputation not counted\n", "GFLOP/s", r->gflops);
    printf("%-10s %.1f   OpenBLAS in this run; the step reaches %.0f %%\n", "sgemm", r->sgemm,
           100 * r->gflops / r->sgemm);
    printf("%-10s %.0f MB estimated, %.0f MB at most in use\n", "memory",
           (double)bench->estimate * mb, (double)bench->peak * mb);
    printf("%-10s %.4f, then %.4f\n", "loss", bench->first_loss, bench->loss);
}

/* The members that the peers print, then ours. */
static void print_json(const struct step_bench *bench, const struct result *r)
{
    struct vlm_buffer line = { 0 };
    struct vlm_json json = { .out = &line };
    const struct {
        const char *key;
        double value;
    } reals[] = {
        { "value", r->rate },
        { "min", r->low },
        { "max", r->high },
        { "gflops", r->gflops },
        { "sgemm_gflops", r->sgemm },
        { "share_of_sgemm", r->gflops / r->sgemm },
        { "cores", bench->cpu / bench->wall },
        { "first_loss", bench->first_loss },
        { "last_loss", bench->loss },
    };
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        { "threads", vlm_pool_threads(bench->engine.pool) },
        { "vocab", bench->config.vocabulary },
        { "seq", (uint64_t)bench->sequence },
        { "micro", (uint64_t)bench->micro },
        { "tokens", (uint64_t)bench->tokens },
        { "samples", (uint64_t)bench->repeat },
        { "parameters", bench->model.count },
        { "memory_estimated", bench->estimate },
        { "memory_peak", bench->peak },
    };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "job", "train-step");
    vlm_json_member_string(&json, "peer", "vlm");
    vlm_json_member_string(&json, "shape", bench->shape_text);
    vlm_json_member_string(&json, "dtype", bench->dtype == VLM_BF16 ? "bf16" : "fp32");
    vlm_json_member_string(&json, "unit", "tokens/s");
    vlm_json_member_string(&json, "kernels", bench->engine.kernels->name);
    for (size_t i = 0; i < VLM_COUNTOF(reals); i++) {
        vlm_json_key(&json, reals[i].key);
        vlm_json_real(&json, reals[i].value);
    }
    for (size_t i = 0; i < VLM_COUNTOF(numbers); i++)
        vlm_json_member_number(&json, numbers[i].key, numbers[i].value);
    vlm_json_key(&json, "recompute");
    vlm_json_bool(&json, bench->recompute);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&line, '\n');
    fwrite(line.data, 1, line.size, stdout);
    vlm_buffer_release(&line);
}

static void release(struct step_bench *bench)
{
    free(bench->operands);
    vlm_optimizer_release(&bench->optimizer);
    vlm_tape_release(&bench->tape);
    vlm_model_release(&bench->model);
    vlm_engine_release(&bench->engine);
    free(bench->tokens_in);
    free(bench->tokens_out);
    free(bench->positions);
    free(bench->lo);
    free(bench->hi);
    free(bench->rates);
    free(bench->sgemm);
}

int vlm_bench_step(int argc, char **argv)
{
    struct step_bench bench = {
        .shape_text = "6x512",
        .vocabulary = 8192,
        .tokens = 4096,
        .sequence = 1024,
        .micro = 1,
        .repeat = 5,
        .seed = 1,
    };
    const struct vlm_option options[] = {
        VLM_OPTION_STRING(0, "shape", &bench.shape_text, "LxW", "layers and width; heads of 64"),
        VLM_OPTION_NUMBER(0, "vocab", &bench.vocabulary, "N", "ids", 2, 1 << 20),
        VLM_OPTION_NUMBER(0, "tokens", &bench.tokens, "N", "in one step", 1, 1 << 24),
        VLM_OPTION_NUMBER(0, "seq", &bench.sequence, "N", "tokens of a sequence", 1, 1 << 20),
        VLM_OPTION_NUMBER(0, "micro", &bench.micro, "N", "sequences in one forward pass", 1, 4096),
        VLM_OPTION_CHOICE(0, "dtype", &bench.dtype, "fp32|bf16", "of the operands of products"),
        VLM_OPTION_CHOICE(0, "gemm", &bench.gemm, "auto|own|openblas", "who multiplies"),
        VLM_OPTION_NUMBER('j', "threads", &bench.threads, "N", "0 = all cores", 0, 256),
        VLM_OPTION_NUMBER(0, "repeat", &bench.repeat, "N", "timed steps", 1, REPEAT_MAX),
        VLM_OPTION_NUMBER(0, "seed", &bench.seed, "N", "of weights and tokens", 0, INT64_MAX),
        VLM_OPTION_FLAG(0, "recompute", &bench.recompute, "run blocks again going backward"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-bench step",
        .synopsis = "[options]",
        .summary = "Time the training step of a decoder of GPT-2's form on random tokens.",
        .examples = "  vlm-bench step --shape 12x768 --vocab 50257 --dtype bf16 -j2\n",
        .options = options,
        .n_options = VLM_COUNTOF(options),
        .json = &bench.json,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse_alone(&tool, argc, argv, &err);
    if (rc == VLM_OK)
        rc = prepare(&bench, &err);
    if (rc == VLM_OK)
        rc = measure(&bench, &err);
    if (rc == VLM_OK) {
        struct result result = summarise(&bench);
        if (bench.json)
            print_json(&bench, &result);
        else
            print_text(&bench, &result);
    }
    release(&bench);
    return vlm_tool_end(&tool, rc, &err);
}
