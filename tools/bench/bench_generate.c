/* bench_generate.c - tokens/s of prompts and of decoding with random weights, beside the bandwidth of memory.
 *
 * Each turn times a prompt, one stream, all streams and the bandwidth one after the other, since a shared machine is
 * not as fast in one second as in the next; of the turns the median counts. */
#include "base/vlm.h"

#include "base/json.h"
#include "base/option.h"
#include "base/progress.h"
#include "base/random.h"
#include "models/generate/decoder.h"
#include "tools/bench/bench_generate.h"
#include "tools/bench/bench_shape.h"
#include "tools/bench/machine.h"

#include <unistd.h>

enum { REPEAT_MAX = 1000, RATES = 7 };
enum { READ_LEAST = 256 << 20, READ_MOST = 2000 << 20, READ_STEP = 1 << 20 }; /* bytes */

/* ---- the measurement ---- */

struct generation {
    const struct vlm_generate_load *load;
    const struct vlm_engine *engine;
    struct vlm_model *model;
    struct vlm_vocabulary vocabulary; /* all ids alike: none is a control token, none a code */
    struct vlm_choices choices;
    struct vlm_decoder *decoder;
    struct vlm_stream **stream; /* [streams]; NULL where there is none */
    struct vlm_memory memory;   /* read for the bandwidth */
    void *read;
    size_t read_bytes;
    struct vlm_random random;
    uint32_t *ids; /* [prompt] */
    double *rates; /* [RATES][repeat] */
};

/* Any id may be drawn, and none ends an answer. */
static int choose_all(struct generation *g, struct vlm_err *err)
{
    g->vocabulary = (struct vlm_vocabulary){ .size = (uint32_t)g->model->config.vocabulary,
                                             .n_masks = 1,
                                             .mask = { UINT32_MAX } };
    for (size_t i = 0; i < VLM_CONTROLS; i++)
        g->vocabulary.control[i] = UINT32_MAX;
    int rc = vlm_choices_init(&g->choices, g->engine, g->model, &g->vocabulary, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_choice *choice[] = { &g->choices.text, &g->choices.any };
    for (size_t i = 0; i < VLM_COUNTOF(choice); i++) {
        for (uint32_t id = 0; id < g->vocabulary.size; id++)
            choice[i]->ids[id] = id;
        choice[i]->n = g->vocabulary.size;
        choice[i]->runs[0][0] = 0, choice[i]->runs[0][1] = g->vocabulary.size;
        choice[i]->n_runs = 1;
    }
    return VLM_OK;
}

/* Bytes of the last cache, or 0 when the system does not say. The kernel's word first: sysconf() multiplies on some
 * virtual machines (320 MiB where one of 32 is). */
static size_t last_cache(void)
{
    unsigned long kib = 0;
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r");
    if (f) {
        if (fscanf(f, "%luK", &kib) != 1)
            kib = 0;
        fclose(f);
    }
    const long said = VLM_MAX(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
    return kib ? (size_t)kib << 10 : said > 0 ? (size_t)said : 0;
}

/* Three times the last cache, so that what is read comes from memory; an eighth of memory at most. */
static size_t choose_read(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES);
    size_t bytes = 3 * last_cache();
    if (pages > 0)
        bytes = VLM_MIN(bytes, (size_t)pages * (size_t)sysconf(_SC_PAGESIZE) / 8);
    bytes = VLM_MIN(VLM_MAX(bytes, (size_t)READ_LEAST), (size_t)READ_MOST);
    return bytes / READ_STEP * READ_STEP;
}

static int begin(struct generation *g, struct vlm_err *err)
{
    const struct vlm_generate_load *load = g->load;
    const size_t length = load->prompt + load->fresh, context = g->model->config.context;
    if (!load->prompt || load->fresh < 2 || !load->streams || !load->repeat || length > context)
        return vlm_fail(err, VLM_EUSAGE,
                        "a prompt of %zu tokens and %zu behind it, expected 1 and 2 at least, and "
                        "together no more than the context of %zu",
                        load->prompt, load->fresh, context);
    g->ids = calloc(load->prompt, sizeof(*g->ids));
    g->stream = calloc(load->streams, sizeof(*g->stream));
    g->rates = calloc(RATES * load->repeat, sizeof(*g->rates));
    if (!g->ids || !g->stream || !g->rates)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu results", load->repeat);
    g->random = vlm_random_at(load->seed, 2, 0);
    g->read_bytes = choose_read();
    int rc = vlm_memory_init(&g->memory, g->read_bytes, 0, err);
    if (rc == VLM_OK)
        rc = choose_all(g, err);
    if (rc != VLM_OK)
        return rc;
    g->read = vlm_memory_take(&g->memory, g->read_bytes, 1);
    memset(g->read, 1, g->read_bytes);
    const struct vlm_decoder_options options = {
        .slots = load->streams,
        .capacity = length,
        .chunk = load->streams * load->prompt, /* all prompts in one step */
        .precision = vlm_model_serve_precision(load->weights),
        .no_prefix_cache = true,
        .filled = true,
    };
    return vlm_decoder_new(&g->decoder, g->engine, g->model, &g->choices, &options, err);
}

static void end(struct generation *g)
{
    vlm_decoder_free(g->decoder);
    for (size_t s = 0; g->stream && s < g->load->streams; s++)
        vlm_stream_free(g->stream[s]);
    vlm_choices_release(&g->choices);
    vlm_memory_release(&g->memory);
    free(g->stream);
    free(g->ids);
    free(g->rates);
}

/* New streams with random prompts. */
static int add_streams(struct generation *g, size_t streams, struct vlm_err *err)
{
    const struct vlm_generate_load *load = g->load;
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    const struct vlm_stream_prompt prompt = { .ids = g->ids, .n = load->prompt };
    int rc = VLM_OK;
    options.max_tokens = load->fresh;
    for (size_t s = 0; rc == VLM_OK && s < streams; s++) {
        for (size_t i = 0; i < load->prompt; i++)
            g->ids[i] = (uint32_t)vlm_random_below(&g->random, g->vocabulary.size);
        options.seed = load->seed + s;
        vlm_stream_free(g->stream[s]);
        rc = vlm_stream_new(&g->stream[s], &g->choices, &prompt, load->prompt + load->fresh,
                            &options, err);
        if (rc == VLM_OK)
            rc = vlm_decoder_add(g->decoder, g->stream[s], err);
    }
    return rc;
}

struct stepping {
    size_t drawn;
    int rc;
    struct vlm_err err;
};

static void see_step(void *context, struct vlm_stream *stream, int rc, const struct vlm_err *err)
{
    struct stepping *stepping = context;
    (void)stream;
    stepping->drawn += rc == VLM_OK;
    if (rc == VLM_OK || stepping->rc != VLM_OK)
        return;
    stepping->rc = rc;
    stepping->err = *err;
}

/* At most `steps` steps, each of which draws a token of every stream; the first one runs the prompts. */
static int take_steps(struct generation *g, size_t steps, struct vlm_err *err)
{
    struct stepping stepping = { .rc = VLM_OK };
    const size_t tokens = vlm_decoder_streams(g->decoder) * steps;
    for (size_t i = 0; stepping.rc == VLM_OK && i < steps; i++)
        vlm_decoder_step(g->decoder, see_step, &stepping);
    if (stepping.rc != VLM_OK)
        *err = stepping.err;
    VLM_BUG_IF(stepping.rc == VLM_OK && stepping.drawn != tokens);
    return stepping.rc;
}

struct stopwatch {
    double wall, cpu;
};

static struct stopwatch start_watch(void)
{
    return (struct stopwatch){ vlm_now(), vlm_machine_cpu_seconds() };
}

/* Tokens a second since then, and the cores that there were. */
static void stop_watch(const struct stopwatch *start, size_t tokens, double *rate, double *cores)
{
    const double wall = vlm_now() - start->wall;
    *cores = (vlm_machine_cpu_seconds() - start->cpu) / wall;
    *rate = (double)tokens / wall;
}

/* The prompts of so many streams, then their answers, but for the token that the prompts gave. */
static int run_streams(struct generation *g, size_t streams, double *prompts, double *prompt_cores,
                       double *answers, double *answer_cores, struct vlm_err *err)
{
    const struct vlm_generate_load *load = g->load;
    int rc = add_streams(g, streams, err);
    struct stopwatch start = start_watch();
    if (rc == VLM_OK)
        rc = take_steps(g, 1, err);
    stop_watch(&start, streams * load->prompt, prompts, prompt_cores);
    start = start_watch();
    if (rc == VLM_OK)
        rc = take_steps(g, load->fresh - 1, err);
    stop_watch(&start, streams * (load->fresh - 1), answers, answer_cores);
    return rc;
}

static int run_turn(struct generation *g, double rate[RATES], struct vlm_err *err)
{
    double unused[2];
    int rc = run_streams(g, 1, &rate[0], &rate[4], &rate[1], &rate[5], err);
    if (rc == VLM_OK)
        rc = run_streams(g, g->load->streams, &unused[0], &unused[1], &rate[2], &rate[6], err);
    if (rc == VLM_OK)
        rate[3] = vlm_machine_read(g->engine, g->read, g->read_bytes);
    return rc;
}

int vlm_generate_measure(struct vlm_generate_rates *rates, const struct vlm_engine *engine,
                         struct vlm_model *model, const struct vlm_generate_load *load,
                         struct vlm_err *err)
{
    struct generation g = { .load = load, .engine = engine, .model = model };
    double rate[RATES] = { 0 },
           *median[RATES] = { &rates->prefill,  &rates->one,      &rates->many,    &rates->read,
                              &rates->cores[0], &rates->cores[1], &rates->cores[2] };
    *rates = (struct vlm_generate_rates){ 0 };
    int rc = begin(&g, err);
    if (rc == VLM_OK)
        rc = run_turn(&g, rate, err); /* without the clock: touches all memory */
    for (size_t turn = 0; rc == VLM_OK && turn < load->repeat; turn++) {
        rc = run_turn(&g, rate, err);
        for (size_t i = 0; i < RATES; i++)
            g.rates[i * load->repeat + turn] = rate[i];
    }
    for (size_t i = 0; rc == VLM_OK && i < RATES; i++) {
        vlm_machine_sort(g.rates + i * load->repeat, load->repeat);
        *median[i] = g.rates[i * load->repeat + load->repeat / 2];
    }
    rates->weights = rates->one * (double)vlm_model_serve_bytes(model) * 1e-9;
    rates->cached = vlm_model_serve_bytes(model) <= last_cache();
    end(&g);
    return rc;
}

/* ---- the verb ---- */

struct generate_bench {
    const char *shape_text;
    int64_t vocabulary, prompt, fresh, streams, threads, repeat, seed;
    int weights;
    bool json;

    struct vlm_model_config config;
    struct vlm_engine engine;
    struct vlm_model model;
    struct vlm_generate_rates rates;
};

static int run(struct generate_bench *bench, struct vlm_err *err)
{
    const struct vlm_generate_load load = { .weights = (enum vlm_weights)bench->weights,
                                            .streams = (size_t)bench->streams,
                                            .prompt = (size_t)bench->prompt,
                                            .fresh = (size_t)bench->fresh,
                                            .repeat = (size_t)bench->repeat,
                                            .seed = (uint64_t)bench->seed };
    const size_t context = VLM_MAX((size_t)(bench->prompt + bench->fresh), (size_t)1024);
    int rc =
        vlm_bench_shape(&bench->config, bench->shape_text, (size_t)bench->vocabulary, context, err);
    if (rc == VLM_OK)
        rc = vlm_engine_init(&bench->engine, (size_t)bench->threads, VLM_GEMM_AUTO, err);
    if (rc == VLM_OK)
        rc = vlm_model_init(&bench->model, &bench->config, 0, err);
    if (rc == VLM_OK) {
        vlm_model_fill(&bench->model, (uint64_t)bench->seed);
        rc = vlm_model_serve(&bench->model, &bench->engine, load.weights, err);
    }
    if (rc == VLM_OK)
        rc = vlm_generate_measure(&bench->rates, &bench->engine, &bench->model, &load, err);
    return rc;
}

/* Bytes of memory that the process has now, or 0. */
static size_t resident(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return 0;
    if (fscanf(file, "%*s %zu", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void print_text(const struct generate_bench *bench)
{
    const struct vlm_generate_rates *r = &bench->rates;
    printf("generate %s, vocabulary %zu, %s: prompts of %" PRId64 ", %" PRId64 " tokens behind\n",
           bench->shape_text, bench->config.vocabulary,
           vlm_weights_word((enum vlm_weights)bench->weights), bench->prompt, bench->fresh);
    printf("%-10s %zu, kernels %s\n", "threads", vlm_pool_threads(bench->engine.pool),
           bench->engine.kernels->name);
    printf("%-10s %.1f tokens/s on %.2f cores\n", "prefill", r->prefill, r->cores[0]);
    printf("%-10s %.1f tokens/s on %.2f cores\n", "1 stream", r->one, r->cores[1]);
    printf("%-10" PRId64 " %.1f tokens/s on %.2f cores\n", bench->streams, r->many, r->cores[2]);
    if (r->cached)
        printf("%-10s %.1f GB/s, in the cache; memory gives %.1f\n", "weights", r->weights,
               r->read);
    else
        printf("%-10s %.1f of %.1f GB/s that memory gives, %.0f %%\n", "weights", r->weights,
               r->read, 100 * r->weights / r->read);
    printf("%-10s %.1f MB of weights read for a token, %.1f MB in use\n", "memory",
           (double)vlm_model_serve_bytes(&bench->model) * 1e-6, (double)resident() * 1e-6);
}

static void print_json(const struct generate_bench *bench)
{
    const struct vlm_generate_rates *r = &bench->rates;
    struct vlm_buffer line = { 0 };
    struct vlm_json json = { .out = &line };
    const struct {
        const char *key;
        double value;
    } reals[] = {
        { "prefill", r->prefill },
        { "one", r->one },
        { "many", r->many },
        { "weights_gbytes", r->weights },
        { "read_gbytes", r->read },
        { "share_of_read", r->weights / r->read },
        { "prefill_cores", r->cores[0] },
        { "one_cores", r->cores[1] },
        { "many_cores", r->cores[2] },
    };
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        { "threads", vlm_pool_threads(bench->engine.pool) },
        { "vocab", bench->config.vocabulary },
        { "parameters", bench->model.count },
        { "streams", (uint64_t)bench->streams },
        { "prompt", (uint64_t)bench->prompt },
        { "new", (uint64_t)bench->fresh },
        { "samples", (uint64_t)bench->repeat },
        { "weight_bytes", vlm_model_serve_bytes(&bench->model) },
        { "resident", resident() },
    };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "job", "generate");
    vlm_json_member_string(&json, "peer", "vlm");
    vlm_json_member_string(&json, "shape", bench->shape_text);
    vlm_json_member_string(&json, "dtype", vlm_weights_word((enum vlm_weights)bench->weights));
    vlm_json_member_string(&json, "unit", "tokens/s");
    vlm_json_member_string(&json, "kernels", bench->engine.kernels->name);
    for (size_t i = 0; i < VLM_COUNTOF(reals); i++) {
        vlm_json_key(&json, reals[i].key);
        vlm_json_real(&json, reals[i].value);
    }
    for (size_t i = 0; i < VLM_COUNTOF(numbers); i++)
        vlm_json_member_number(&json, numbers[i].key, numbers[i].value);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&line, '\n');
    fwrite(line.data, 1, line.size, stdout);
    vlm_buffer_release(&line);
}

int vlm_bench_generate(int argc, char **argv)
{
    struct generate_bench bench = { .shape_text = "6x512",
                                    .vocabulary = 8192,
                                    .prompt = 128,
                                    .fresh = 128,
                                    .streams = 16,
                                    .repeat = 5,
                                    .seed = 1 };
    const struct vlm_option options[] = {
        VLM_OPTION_STRING(0, "shape", &bench.shape_text, "LxW", "layers and width; heads of 64"),
        VLM_OPTION_NUMBER(0, "vocab", &bench.vocabulary, "N", "ids", 2, 1 << 20),
        VLM_OPTION_CHOICE(0, "dtype", &bench.weights, VLM_WEIGHTS_WORDS, "of the weights"),
        VLM_OPTION_NUMBER(0, "streams", &bench.streams, "N", "at the same time", 1, 1024),
        VLM_OPTION_NUMBER(0, "prompt", &bench.prompt, "N", "tokens of a prompt", 1, 1 << 20),
        VLM_OPTION_NUMBER(0, "new", &bench.fresh, "N", "tokens behind it", 2, 1 << 20),
        VLM_OPTION_NUMBER('j', "threads", &bench.threads, "N", "0 = all cores", 0, 256),
        VLM_OPTION_NUMBER(0, "repeat", &bench.repeat, "N", "timed turns", 1, REPEAT_MAX),
        VLM_OPTION_NUMBER(0, "seed", &bench.seed, "N", "of weights and tokens", 0, INT64_MAX),
    };
    const struct vlm_tool tool = {
        .name = "vlm-bench generate",
        .synopsis = "[options]",
        .summary = "Time prompts and decoding of a model of GPT-2's form, as a server does them: "
                   "draws included.",
        .examples = "  vlm-bench generate --shape 12x768 --vocab 50257 --dtype bf16 -j2\n",
        .options = options,
        .n_options = VLM_COUNTOF(options),
        .json = &bench.json,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse_alone(&tool, argc, argv, &err);
    if (rc == VLM_OK)
        rc = run(&bench, &err);
    if (rc == VLM_OK && bench.json)
        print_json(&bench);
    else if (rc == VLM_OK)
        print_text(&bench);
    vlm_model_release(&bench.model);
    vlm_engine_release(&bench.engine);
    return vlm_tool_end(&tool, rc, &err);
}
