/* bench_ops.c - the rate of each op, forward and backward, beside what the machine can do.
 *
 * An op that multiplies matrices is compared with the fused multiply-adds that these threads reach in
 * registers, one that only moves numbers with their memory bandwidth (triad): the best of the
 * measurements before, after and (the peak) between the ops. Operations and bytes are what the formula needs, each
 * tensor read or written once: what is computed or moved twice lowers a rate. Tensors are larger
 * than the caches where bandwidth is the limit.
 *
 * Backward is the backward function of the one node that the op has recorded, for a random gradient. */
#include "base/vlm.h"

#include "base/json.h"
#include "base/option.h"
#include "base/progress.h"
#include "base/random.h"
#include "nn/ops/activation.h"
#include "nn/ops/attention.h"
#include "nn/ops/embedding.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"
#include "nn/ops/vocabulary_loss.h"
#include "nn/optimizer.h"
#include "tools/bench/bench_conv.h"
#include "tools/bench/bench_ops.h"
#include "tools/bench/machine.h"

#include <math.h>

enum {
    SAMPLES_MIN = 5,
    SAMPLES_MAX = 1000,
    HEAD_SIZE = 64,
    SEQUENCE = 1024, /* of attention */
};
#define SAMPLE_SECONDS 0.5 /* after the least number of samples */

/* What an op works on; each only as large as the case says. */
struct operands {
    struct vlm_tensor x, weight, bias;
    uint32_t *ids, *lo, *hi; /* [rows] */
};

enum weight { NO_WEIGHT, VECTORS, MATRIX }; /* none; weight and bias [in]; [out, in] and [out] */

struct op_case {
    const char *name, *shape; /* as printed */
    struct vlm_tensor *(*run)(struct vlm_tape *tape, struct operands *o);
    size_t rows, in; /* of x */
    enum weight weight;
    size_t out;
    double forward, backward; /* operations, or, for an op that moves numbers, bytes */
    bool moves;
};

static struct vlm_tensor *run_linear(struct vlm_tape *tape, struct operands *o)
{
    return vlm_linear(tape, &o->x, &(struct vlm_linear){ .weight = &o->weight, .bias = &o->bias });
}

static struct vlm_tensor *run_linear_gelu(struct vlm_tape *tape, struct operands *o)
{
    return vlm_linear(tape, &o->x,
                      &(struct vlm_linear){
                          .weight = &o->weight, .bias = &o->bias, .activation = VLM_GELU_TANH });
}

static struct vlm_tensor *run_attention(struct vlm_tape *tape, struct operands *o)
{
    const size_t width = vlm_tensor_cols(&o->x) / 3, heads = width / HEAD_SIZE;
    return vlm_attention(tape, &(struct vlm_attention){ .q = &o->x,
                                                        .k = &o->x,
                                                        .v = &o->x,
                                                        .k_col = width,
                                                        .v_col = 2 * width,
                                                        .heads = heads,
                                                        .kv_heads = heads,
                                                        .head_size = HEAD_SIZE,
                                                        .lo = o->lo,
                                                        .hi = o->hi });
}

static struct vlm_tensor *run_layernorm(struct vlm_tape *tape, struct operands *o)
{
    return vlm_layernorm(tape, &o->x, &o->weight, &o->bias, 1e-5f);
}

static struct vlm_tensor *run_rmsnorm(struct vlm_tape *tape, struct operands *o)
{
    return vlm_rmsnorm(tape, &o->x, &o->weight, 1e-5f);
}

static struct vlm_tensor *run_gelu(struct vlm_tape *tape, struct operands *o)
{
    return vlm_activate(tape, &o->x, VLM_GELU_TANH);
}

static struct vlm_tensor *run_add(struct vlm_tape *tape, struct operands *o)
{
    return vlm_add(tape, &o->x, &o->x);
}

static struct vlm_tensor *run_embedding(struct vlm_tape *tape, struct operands *o)
{
    return vlm_embedding(tape, &o->weight, o->ids, vlm_tensor_rows(&o->x));
}

static struct vlm_tensor *run_loss(struct vlm_tape *tape, struct operands *o)
{
    return vlm_vocabulary_loss(
        tape, &o->x, &(struct vlm_vocabulary_loss){ .weight = &o->weight, .targets = o->ids });
}

/* Sizes: of a layer of the 6 x 512 decoder at 4 x 1024 tokens, and of matrices beyond the caches. */
#define ROWS              4096
#define C                 512
#define V                 8192
#define LONG              16384
#define WIDE              1024
#define MULTIPLY(m, n, k) (2.0 * (m) * (n) * (k))
#define FLOATS(tensors)   (4.0 * LONG * WIDE * (tensors))
/* Pairs of a causal row and what it sees, in all sequences and heads; q k^T and p v. */
#define ATTENTION (4.0 * (ROWS / SEQUENCE) * (SEQUENCE * (SEQUENCE + 1) / 2) * C)

static const struct op_case cases[] = {
    { "linear", "4096 x 512 -> 2048", run_linear, ROWS, C, MATRIX, 4 * C, MULTIPLY(ROWS, 4 * C, C),
      2 * MULTIPLY(ROWS, 4 * C, C), false },
    { "linear-gelu", "4096 x 512 -> 2048", run_linear_gelu, ROWS, C, MATRIX, 4 * C,
      MULTIPLY(ROWS, 4 * C, C), 2 * MULTIPLY(ROWS, 4 * C, C), false },
    { "linear-row", "1 x 1024 -> 16384", run_linear, 1, WIDE, MATRIX, LONG, FLOATS(1),
      3 * FLOATS(1), true }, /* W read; W read, dW read and written */
    { "attention", "4 x 1024 causal, 8 heads of 64", run_attention, ROWS, 3 * C, NO_WEIGHT, 0,
      ATTENTION, 2 * ATTENTION, false },
    { "vocabulary-loss", "1024 x 512 -> 8192", run_loss, SEQUENCE, C, MATRIX, V,
      3 * MULTIPLY(SEQUENCE, V, C), 0, false }, /* the forward pass makes the gradients */
    { "layernorm", "16384 x 1024", run_layernorm, LONG, WIDE, VECTORS, 0, FLOATS(2), FLOATS(3),
      true },
    { "rmsnorm", "16384 x 1024", run_rmsnorm, LONG, WIDE, VECTORS, 0, FLOATS(2), FLOATS(3), true },
    { "gelu", "16384 x 1024", run_gelu, LONG, WIDE, NO_WEIGHT, 0, FLOATS(2), FLOATS(3), true },
    { "add", "16384 x 1024", run_add, LONG, WIDE, NO_WEIGHT, 0, FLOATS(2), FLOATS(3), true },
    { "embedding", "16384 rows of 8192 x 1024", run_embedding, LONG, WIDE, MATRIX, V, FLOATS(2),
      FLOATS(3), true },
};

enum { ROWS_MAX = 2 * VLM_COUNTOF(cases) + 2 + 2 * VLM_BENCH_CONV_METHODS * VLM_BENCH_CONV_MAX };

struct row {
    const char *name, *shape, *direction;
    bool moves;
    double rate; /* GFLOP/s or, of what moves numbers, GB/s */
};

struct ops_bench {
    int64_t threads;
    int dtype;
    bool json;
    char **names; /* of the ops wanted; none: all */
    size_t n_names;
    struct vlm_engine engine;
    struct vlm_machine machine; /* the best of all measurements */
    struct row rows[ROWS_MAX];
    size_t n_rows;
};

/* ---- samples ---- */

struct samples {
    double seconds[SAMPLES_MAX];
    size_t n;
    double total;
};

static bool wants_more(const struct samples *s)
{
    return s->n < SAMPLES_MIN || (s->n < SAMPLES_MAX && s->total < SAMPLE_SECONDS);
}

static void add_sample(struct samples *s, double seconds)
{
    s->total += seconds;
    if (s->n < SAMPLES_MAX)
        s->seconds[s->n++] = seconds;
}

/* The machine's rates are the best of several turns, so are these. */
static double best(struct samples *s)
{
    vlm_machine_sort(s->seconds, s->n);
    return s->n ? s->seconds[0] : INFINITY;
}

/* ---- results ---- */

/* What the machine gave before, between and after the ops. */
static int measure_machine(struct ops_bench *bench, struct vlm_err *err)
{
    struct vlm_machine now;
    int rc = vlm_machine_measure(&now, &bench->engine, err);
    if (rc != VLM_OK)
        return rc;
    for (size_t i = 0; i < VLM_COUNTOF(now.peak); i++)
        bench->machine.peak[i] = fmax(bench->machine.peak[i], now.peak[i]);
    bench->machine.read = fmax(bench->machine.read, now.read);
    bench->machine.triad = fmax(bench->machine.triad, now.triad);
    return VLM_OK;
}

/* Keeps one direction of an op; nothing when it has none. */
static void keep(struct ops_bench *bench, const struct op_case *op, const char *direction,
                 double work, double seconds)
{
    if (work > 0)
        bench->rows[bench->n_rows++] = (struct row){ .name = op->name,
                                                     .shape = op->shape,
                                                     .direction = direction,
                                                     .moves = op->moves,
                                                     .rate = work * 1e-9 / seconds };
    double *peak = &bench->machine.peak[bench->dtype];
    if (!op->moves)
        *peak = fmax(*peak, vlm_machine_peak(&bench->engine, (enum vlm_dtype)bench->dtype));
}

static void print_json(const struct ops_bench *bench, const struct row *row, double limit)
{
    struct vlm_buffer line = { 0 };
    struct vlm_json json = { .out = &line };
    const struct {
        const char *key;
        double value;
    } reals[] = { { "value", row->rate }, { "machine", limit }, { "share", row->rate / limit } };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "job", "op");
    vlm_json_member_string(&json, "peer", "vlm");
    vlm_json_member_string(&json, "op", row->name);
    vlm_json_member_string(&json, "shape", row->shape);
    vlm_json_member_string(&json, "direction", row->direction);
    vlm_json_member_string(&json, "dtype", bench->dtype == VLM_BF16 ? "bf16" : "fp32");
    vlm_json_member_string(&json, "unit", row->moves ? "GB/s" : "GFLOP/s");
    vlm_json_member_number(&json, "threads", vlm_pool_threads(bench->engine.pool));
    for (size_t i = 0; i < VLM_COUNTOF(reals); i++) {
        vlm_json_key(&json, reals[i].key);
        vlm_json_real(&json, reals[i].value);
    }
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&line, '\n');
    fwrite(line.data, 1, line.size, stdout);
    vlm_buffer_release(&line);
}

static void print_rows(const struct ops_bench *bench)
{
    const struct vlm_machine *machine = &bench->machine;
    if (!bench->json)
        printf("threads %zu, kernels %s; the machine: %.0f GFLOP/s fp32, %.0f bf16; %.1f GB/s "
               "triad, %.1f read\n",
               vlm_pool_threads(bench->engine.pool), bench->engine.kernels->name,
               machine->peak[VLM_F32], machine->peak[VLM_BF16], machine->triad, machine->read);
    for (size_t i = 0; i < bench->n_rows; i++) {
        const struct row *row = &bench->rows[i];
        double limit = row->moves ? machine->triad : machine->peak[bench->dtype];
        if (bench->json)
            print_json(bench, row, limit);
        else
            printf("%-16s %-32s %-9s %8.1f %-8s %5.0f %%\n", row->name, row->shape, row->direction,
                   row->rate, row->moves ? "GB/s" : "GFLOP/s", 100 * row->rate / limit);
    }
}

/* ---- running an op ---- */

static struct vlm_tensor tensor(struct vlm_memory *memory, const char *name, size_t rows,
                                size_t cols)
{
    struct vlm_tensor t = { .name = name, .rank = 2, .shape = { rows, cols }, .needs_grad = true };
    t.data = vlm_memory_take(memory, rows * cols, sizeof(float));
    return t;
}

static void fill(float *x, size_t n, uint64_t stream)
{
    struct vlm_random random = vlm_random_at(1, stream, 0);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)vlm_random_unit(&random) - 0.5f;
}

/* Memory of all operands of a case, gradients of weights included. */
static int make_operands(struct operands *o, struct vlm_memory *memory, const struct op_case *op,
                         struct vlm_err *err)
{
    const size_t out = op->weight == MATRIX ? op->out : 1;
    const size_t floats = op->rows * op->in + 2 * out * op->in + 2 * (op->out + op->in);
    int rc = vlm_memory_init(memory, (floats + 3 * op->rows) * sizeof(float) + (1 << 12), 0, err);
    if (rc != VLM_OK)
        return rc;
    *o = (struct operands){ .x = tensor(memory, "x", op->rows, op->in) };
    fill(o->x.data, op->rows * op->in, 1);
    if (op->weight == MATRIX) {
        o->weight = tensor(memory, "weight", op->out, op->in);
        o->bias = tensor(memory, "bias", 1, op->out);
    } else if (op->weight == VECTORS) {
        o->weight = tensor(memory, "weight", 1, op->in);
        o->bias = tensor(memory, "bias", 1, op->in);
    }
    struct vlm_tensor *parameter[] = { &o->weight, &o->bias };
    for (size_t i = 0; op->weight != NO_WEIGHT && i < VLM_COUNTOF(parameter); i++) {
        size_t count = vlm_tensor_count(parameter[i]);
        if (parameter[i]->shape[0] == 1) { /* a vector */
            parameter[i]->rank = 1;
            parameter[i]->shape[0] = count;
        }
        fill(parameter[i]->data, count, 2 + i);
        parameter[i]->grad = vlm_memory_take(memory, count, sizeof(float));
        memset(parameter[i]->grad, 0, count * sizeof(float));
    }
    o->ids = vlm_memory_take(memory, op->rows, sizeof(uint32_t));
    o->lo = vlm_memory_take(memory, op->rows, sizeof(uint32_t));
    o->hi = vlm_memory_take(memory, op->rows, sizeof(uint32_t));
    struct vlm_random random = vlm_random_at(1, 4, 0);
    for (uint32_t i = 0; i < op->rows; i++) {
        o->ids[i] = op->out ? (uint32_t)vlm_random_below(&random, op->out) : 0;
        o->lo[i] = i - i % SEQUENCE;
        o->hi[i] = i + 1;
    }
    return VLM_OK;
}

/* Runs the op once on an empty tape, as if x were the result of another op; its gradient is then
 * stored, not added, as it is most often. */
static void run_once(struct vlm_tape *tape, const struct op_case *op, struct operands *o,
                     struct samples *forward, struct samples *backward)
{
    vlm_tape_reset(tape);
    o->x.grad = NULL;
    double start = vlm_now();
    struct vlm_tensor *y = op->run(tape, o);
    add_sample(forward, vlm_now() - start);
    struct vlm_node *node = tape->last;
    float *dy = vlm_grad(tape, y);
    if (!node || !dy)
        return;
    fill(dy, vlm_tensor_count(y), 5);
    start = vlm_now();
    node->backward(tape, node);
    add_sample(backward, vlm_now() - start);
}

static int run_case(struct ops_bench *bench, const struct op_case *op, struct vlm_err *err)
{
    struct operands operands;
    struct vlm_memory memory = { 0 };
    struct vlm_tape tape = { 0 };
    struct samples forward = { 0 }, backward = { 0 };
    const struct vlm_tape_options options = { .precision = (enum vlm_dtype)bench->dtype };
    int rc = make_operands(&operands, &memory, op, err);
    if (rc == VLM_OK)
        rc = vlm_tape_init(&tape, &bench->engine, &options, err);
    if (rc == VLM_OK)
        run_once(&tape, op, &operands, &forward, &backward); /* touches the memory */
    forward = backward = (struct samples){ 0 };
    while (rc == VLM_OK && wants_more(&forward)) {
        run_once(&tape, op, &operands, &forward, &backward);
        rc = vlm_tape_error(&tape, err);
    }
    if (rc == VLM_OK) {
        keep(bench, op, "forward", op->forward, best(&forward));
        keep(bench, op, "backward", op->backward, best(&backward));
    }
    vlm_tape_release(&tape);
    vlm_memory_release(&memory);
    return rc;
}

/* ---- AdamW, which is no op of the tape ---- */

static const struct op_case adamw_norm = { .name = "gradient-norm",
                                           .shape = "16384 x 1024",
                                           .moves = true };
static const struct op_case adamw = { .name = "adamw", .shape = "16384 x 1024", .moves = true };

static int run_adamw(struct ops_bench *bench, struct vlm_err *err)
{
    const struct vlm_optimizer_options options = VLM_OPTIMIZER_DEFAULTS;
    const size_t count = (size_t)LONG * WIDE;
    struct vlm_optimizer optimizer = { 0 };
    struct vlm_memory memory = { 0 };
    struct samples norms = { 0 }, steps = { 0 };
    int rc = vlm_memory_init(&memory, 2 * count * sizeof(float) + (1 << 12), 0, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_tensor weight = tensor(&memory, "weight", LONG, WIDE);
    weight.grad = vlm_memory_take(&memory, count, sizeof(float));
    fill(weight.data, count, 1);
    fill(weight.grad, count, 2);
    const struct vlm_parameter list = { .tensor = &weight, .flags = VLM_PARAMETER_DECAY };
    rc = vlm_optimizer_init(&optimizer, &bench->engine, &list, 1, &options, err);
    for (bool warm = false; rc == VLM_OK && wants_more(&steps); warm = true) {
        double start = vlm_now();
        double norm = vlm_optimizer_norm(&optimizer);
        double middle = vlm_now();
        rc = vlm_optimizer_step(&optimizer, 1e-4, norm, err);
        if (warm) {
            add_sample(&norms, middle - start);
            add_sample(&steps, vlm_now() - middle);
        }
    }
    if (rc == VLM_OK) {
        keep(bench, &adamw_norm, "-", FLOATS(1), best(&norms));
        /* Of each weight w, g, m, v are read, w, m, v written. */
        keep(bench, &adamw, "-", FLOATS(7), best(&steps));
    }
    vlm_optimizer_release(&optimizer);
    vlm_memory_release(&memory);
    return rc;
}

/* ---- convolution, whose shapes and methods are its own ---- */

static int run_convolution(struct ops_bench *bench, struct vlm_err *err)
{
    static const char *const name[] = { "conv-direct", "conv-winograd-2", "conv-winograd-4" };
    struct vlm_bench_conv found[VLM_BENCH_CONV_MAX];
    size_t n = 0;
    int rc = vlm_bench_conv(found, &n, &bench->engine, (enum vlm_dtype)bench->dtype, err);
    double *peak = &bench->machine.peak[bench->dtype];
    for (size_t i = 0; rc == VLM_OK && i < n; i++)
        *peak = fmax(*peak, found[i].peak);
    for (size_t i = 0; rc == VLM_OK && i < n; i++)
        for (size_t m = 0; m < VLM_BENCH_CONV_METHODS; m++)
            for (int back = 0; back < 2; back++) {
                struct row row = {
                    .name = name[m],
                    .shape = found[i].shape,
                    .direction = back ? "backward" : "forward",
                    .rate = back ? found[i].backward[m] : found[i].forward[m],
                };
                if (row.rate > 0)
                    bench->rows[bench->n_rows++] = row;
            }
    return rc;
}

/* ---- the verb ---- */

static const char *const others[] = { "adamw", "conv" };

static bool wanted(const struct ops_bench *bench, const char *name)
{
    for (size_t i = 0; i < bench->n_names; i++)
        if (!strcmp(bench->names[i], name))
            return true;
    return bench->n_names == 0;
}

static bool known(const char *name)
{
    for (size_t i = 0; i < VLM_COUNTOF(cases); i++)
        if (!strcmp(name, cases[i].name))
            return true;
    for (size_t i = 0; i < VLM_COUNTOF(others); i++)
        if (!strcmp(name, others[i]))
            return true;
    return false;
}

static int check_names(const struct ops_bench *bench, struct vlm_err *err)
{
    for (size_t i = 0; i < bench->n_names; i++)
        if (!known(bench->names[i])) {
            vlm_fail(err, VLM_EUSAGE, "no op is called '%.100s'; there are", bench->names[i]);
            for (size_t k = 0; k < VLM_COUNTOF(cases); k++) {
                vlm_append(err, " ");
                vlm_append(err, cases[k].name);
            }
            for (size_t k = 0; k < VLM_COUNTOF(others); k++) {
                vlm_append(err, " ");
                vlm_append(err, others[k]);
            }
            return VLM_EUSAGE;
        }
    return VLM_OK;
}

static int run_all(struct ops_bench *bench, struct vlm_err *err)
{
    int rc = vlm_engine_init(&bench->engine, (size_t)bench->threads, VLM_GEMM_AUTO, err);
    if (rc == VLM_OK)
        rc = measure_machine(bench, err);
    for (size_t i = 0; rc == VLM_OK && i < VLM_COUNTOF(cases); i++)
        if (wanted(bench, cases[i].name))
            rc = run_case(bench, &cases[i], err);
    if (rc == VLM_OK && wanted(bench, "adamw"))
        rc = run_adamw(bench, err);
    if (rc == VLM_OK && wanted(bench, "conv"))
        rc = run_convolution(bench, err);
    if (rc == VLM_OK)
        rc = measure_machine(bench, err);
    if (rc == VLM_OK)
        print_rows(bench);
    return rc;
}

int vlm_bench_ops(int argc, char **argv)
{
    struct ops_bench bench = { 0 };
    const struct vlm_option options[] = {
        VLM_OPTION_CHOICE(0, "dtype", &bench.dtype, "fp32|bf16", "of the operands of products"),
        VLM_OPTION_NUMBER('j', "threads", &bench.threads, "N", "0 = all cores", 0, 256),
    };
    const struct vlm_tool tool = {
        .name = "vlm-bench ops",
        .synopsis = "[options] [NAME...]",
        .summary =
            "Time every op, or those named, forward and backward, beside what this machine can "
            "do at most.",
        .examples = "  vlm-bench ops -j2\n  vlm-bench ops --dtype bf16 attention linear\n",
        .options = options,
        .n_options = VLM_COUNTOF(options),
        .json = &bench.json,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK) {
        bench.names = argv + 1;
        bench.n_names = (size_t)argc - 1;
        rc = check_names(&bench, &err);
    }
    if (rc == VLM_OK)
        rc = run_all(&bench, &err);
    vlm_engine_release(&bench.engine);
    return vlm_tool_end(&tool, rc, &err);
}
