/* bench_vqgan.c - images through a tokenizer, as many at a time as there are threads: each thread has a
 * coder of its own that uses no other, which is how a corpus is encoded.
 *
 * Without a model folder, the published graph of a kind of the taming family is written to a temporary
 * folder with random weights of a size that keeps activations what they are; speed does not depend on
 * them. Operations are those of direct convolutions: a rate above the peak means that fewer were done. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/json.h"
#include "base/option.h"
#include "base/progress.h"
#include "base/random.h"
#include "tools/bench/bench_vqgan.h"
#include "tools/bench/machine.h"
#include "vqgan/tokenizer/model.h"
#include "vqgan/tokenizer/taming_graph.h"

#include <math.h>
#include <pthread.h>
#include <sys/resource.h>

enum { THREADS_MAX = 256 };

static const char *const kinds[] = { "taming", "llamagen", "maskgit", "chameleon" };

struct vqgan_bench {
    const char *model;
    int job, kind, precision;
    int64_t threads, repeat, channels;
    bool json;
    struct vlm_tokenizer *tokenizer;
    pthread_barrier_t barrier;
    double operations; /* of one image, or 0 when the graph is none of ours */
    double peak;       /* GFLOP/s of all threads */
    double wall, cpu;  /* seconds of all images */
};

struct worker {
    struct vqgan_bench *bench;
    pthread_t thread;
    uint64_t number;
    struct vlm_coder *coder;
    struct vlm_err err;
    int rc;
};

/* ---- a model of random weights ---- */

static struct vlm_taming_shape shape_of(const struct vqgan_bench *bench)
{
    const size_t c = (size_t)bench->channels;
    const bool maskgit = bench->kind == 2, attention = bench->kind <= 1;
    return (struct vlm_taming_shape){
        .channels = c,
        .width = { c, c, 2 * c, 2 * c, 4 * c },
        .encoder_blocks = 2,
        .decoder_blocks = maskgit ? 2 : 3,
        .middle_blocks = 2,
        .encoder_attention = { [4] = attention },
        .decoder_attention = { [4] = attention },
        .middle_attention = !maskgit,
        .latent_channels = 2 * c,
        .latent_taps = maskgit ? 1 : 3,
        .code_width = bench->kind == 1 ? 8 : 2 * c,
        .quant_convs = !maskgit,
        .block_biases = !maskgit,
        .mean_pool = maskgit,
        .shortcut_of_output = maskgit,
        .cosine = bench->kind == 1,
        .minus_one_to_one = !maskgit,
    };
}

static void fill(float *to, const struct vlm_model_tensor *t, size_t count, uint64_t number)
{
    struct vlm_random random = vlm_random_at(1, 1, number);
    double fan = t->rank == 4 ? (double)(count / t->shape[0]) : 4;
    size_t n = strlen(t->name);
    bool norm = t->rank == 1 && !strcmp(t->name + n - 6, "weight");
    for (size_t i = 0; i < count; i++)
        to[i] = norm ? 1 : (float)((2 * vlm_random_unit(&random) - 1) * sqrt(3 / fan));
    if (t->rank == 1 && !norm)
        memset(to, 0, count * sizeof(float));
}

static int write_random(const struct vqgan_bench *bench, const char *folder, struct vlm_err *err)
{
    static const size_t codes[] = { 1024, 16384, 1024, 8192 };
    const struct vlm_taming_shape shape = shape_of(bench);
    struct vlm_taming_graph graph;
    struct vlm_buffer architecture = { 0 };
    int rc = vlm_taming_graph_init(&graph, &shape, err);
    if (rc)
        return rc;
    struct vlm_model_tensor *tensors = calloc(graph.tensor_count + 1, sizeof(*tensors));
    for (size_t i = 0; tensors && rc == VLM_OK && i <= graph.tensor_count; i++) {
        struct vlm_model_tensor *t = &tensors[i];
        const bool book = i == graph.tensor_count;
        *t = (struct vlm_model_tensor){
            "quantize.embedding.weight", 2, { codes[bench->kind], shape.code_width }, NULL
        };
        size_t count = 1;
        if (!book) {
            t->name = graph.tensors[i].name;
            t->rank = graph.tensors[i].rank;
            memcpy(t->shape, graph.tensors[i].shape, sizeof(t->shape));
        }
        for (unsigned k = 0; k < t->rank; k++)
            count *= t->shape[k];
        float *values = malloc(count * sizeof(float));
        t->data = values;
        if (values)
            fill(values, t, count, i);
        else
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for random weights");
    }
    vlm_taming_shape_write(&shape, &architecture);
    vlm_buffer_byte(&architecture, 0);
    const struct vlm_model_content content = { .kind = kinds[bench->kind],
                                               .architecture = (const char *)architecture.data,
                                               .codebook_size = codes[bench->kind],
                                               .code_width = shape.code_width,
                                               .tensors = tensors,
                                               .count = graph.tensor_count + 1 };
    if (rc == VLM_OK && (!tensors || architecture.failed))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for random weights");
    if (rc == VLM_OK)
        rc = vlm_model_write(folder, &content, NULL, err);
    for (size_t i = 0; tensors && i <= graph.tensor_count; i++)
        free((void *)(uintptr_t)tensors[i].data);
    free(tensors);
    vlm_buffer_release(&architecture);
    vlm_taming_graph_release(&graph);
    return rc;
}

static int open_random(struct vqgan_bench *bench, struct vlm_err *err)
{
    const char *place = getenv("TMPDIR");
    char *folder = vlm_path_join(place ? place : "/tmp", "vlm-bench-XXXXXX");
    struct vlm_err ignored;
    if (!mkdtemp(folder)) {
        int rc = vlm_fail_errno(err, errno, "cannot make the folder '%s'", folder);
        free(folder);
        return rc;
    }
    int rc = write_random(bench, folder, err);
    if (rc == VLM_OK)
        rc = vlm_tokenizer_open(&bench->tokenizer, folder, (enum vlm_precision)bench->precision,
                                err);
    if (vlm_folder_delete(folder, rc == VLM_OK ? err : &ignored) && rc == VLM_OK)
        rc = VLM_EFAIL;
    free(folder);
    return rc;
}

/* 0 when the kind has no graph of the taming family. */
static int count_operations(struct vqgan_bench *bench, struct vlm_err *err)
{
    const struct vlm_tokenizer_info info = vlm_tokenizer_info(bench->tokenizer);
    bool ours = false;
    for (size_t i = 0; i < VLM_COUNTOF(kinds); i++)
        ours |= !strcmp(info.kind, kinds[i]);
    if (!ours)
        return VLM_OK;
    json_object *root = NULL;
    struct vlm_taming_shape shape;
    struct vlm_taming_graph graph = { 0 };
    int rc = vlm_json_parse(&root, info.config, strlen(info.config), err);
    if (rc == VLM_OK)
        rc = vlm_taming_shape_read(&shape, json_object_object_get(root, "architecture"), err);
    if (rc == VLM_OK)
        rc = vlm_taming_graph_init(&graph, &shape, err);
    if (rc == VLM_OK)
        bench->operations = bench->job ? vlm_taming_decode_operations(&graph)
                                       : vlm_taming_encode_operations(&graph);
    vlm_taming_graph_release(&graph);
    json_object_put(root);
    return rc;
}

/* ---- measuring ---- */

static int one_image(struct worker *worker, uint8_t *square, uint16_t *codes)
{
    return worker->bench->job ? vlm_coder_decode(worker->coder, square, codes, 1, &worker->err)
                              : vlm_coder_encode(worker->coder, codes, square, 1, &worker->err);
}

/* The first image is not timed: it touches the memory. */
static void *work(void *argument)
{
    struct worker *worker = argument;
    struct vqgan_bench *bench = worker->bench;
    uint16_t codes[VLM_CODES];
    uint8_t *square = malloc(VLM_SQUARE_BYTES);
    const size_t known = vlm_tokenizer_info(bench->tokenizer).codebook_size;
    struct vlm_random random = vlm_random_at(2, 1, worker->number);
    if (!square)
        worker->rc = vlm_fail(&worker->err, VLM_ENOMEM, "no memory for an image");
    for (size_t i = 0; square && i < VLM_SQUARE_BYTES; i++)
        square[i] = (uint8_t)vlm_random_below(&random, 256);
    for (size_t i = 0; i < VLM_CODES; i++)
        codes[i] = (uint16_t)vlm_random_below(&random, known);
    if (worker->rc == VLM_OK)
        worker->rc = one_image(worker, square, codes);
    pthread_barrier_wait(&bench->barrier);
    for (int64_t i = 0; worker->rc == VLM_OK && i < bench->repeat; i++)
        worker->rc = one_image(worker, square, codes);
    pthread_barrier_wait(&bench->barrier);
    free(square);
    return NULL;
}

static int run_workers(struct vqgan_bench *bench, struct worker *workers, struct vlm_err *err)
{
    const size_t n = (size_t)bench->threads;
    size_t made = 0;
    int rc = VLM_OK;
    for (; rc == VLM_OK && made < n; made++) {
        workers[made] = (struct worker){ .bench = bench, .number = made };
        rc = vlm_coder_new(&workers[made].coder, bench->tokenizer, 1, err);
    }
    if (rc == VLM_OK && pthread_barrier_init(&bench->barrier, NULL, (unsigned)n + 1))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu threads", n);
    for (size_t i = 0; rc == VLM_OK && i < n; i++) /* those made before wait for ever: the end */
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            return vlm_fail(err, VLM_ELIMIT, "cannot start %zu threads", n);
    if (rc == VLM_OK) {
        pthread_barrier_wait(&bench->barrier);
        bench->wall = vlm_now();
        bench->cpu = vlm_machine_cpu_seconds();
        pthread_barrier_wait(&bench->barrier);
        bench->wall = vlm_now() - bench->wall;
        bench->cpu = vlm_machine_cpu_seconds() - bench->cpu;
        for (size_t i = 0; i < n; i++)
            pthread_join(workers[i].thread, NULL);
        pthread_barrier_destroy(&bench->barrier);
    }
    for (size_t i = 0; i < made; i++) {
        if (rc == VLM_OK && workers[i].rc) {
            *err = workers[i].err;
            rc = workers[i].rc;
        }
        vlm_coder_free(workers[i].coder);
    }
    return rc;
}

static int measure(struct vqgan_bench *bench, struct vlm_err *err)
{
    static struct worker workers[THREADS_MAX];
    struct vlm_engine engine = { 0 };
    const enum vlm_dtype dtype = bench->precision == VLM_PRECISION_BF16 ? VLM_BF16 : VLM_F32;
    int rc = vlm_engine_init(&engine, (size_t)bench->threads, VLM_GEMM_OWN, err);
    if (rc)
        return rc;
    bench->threads = (int64_t)vlm_pool_threads(engine.pool);
    bench->peak = vlm_machine_peak(&engine, dtype);
    rc = run_workers(bench, workers, err);
    if (rc == VLM_OK)
        bench->peak = VLM_MAX(bench->peak, vlm_machine_peak(&engine, dtype));
    vlm_engine_release(&engine);
    return rc;
}

/* ---- output ---- */

static void print_results(const struct vqgan_bench *bench)
{
    static const char *const jobs[] = { "encode", "decode" };
    static const char *const precisions[] = { "exact", "fast", "bf16" };
    const struct vlm_tokenizer_info info = vlm_tokenizer_info(bench->tokenizer);
    const double images = (double)(bench->repeat * bench->threads), rate = images / bench->wall;
    const double gflops = rate * bench->operations * 1e-9;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    const struct {
        const char *key, *text, *unit;
        double value;
        bool ours; /* only where the operations are known */
    } rows[] = {
        { "value", "images/s", "of all threads", rate, false },
        { "cpu_seconds", "CPU", "s for an image", bench->cpu / images, false },
        { "cores", "cores", "in use", bench->cpu / bench->wall, false },
        { "gflops", "GFLOP/s", "counted as direct convolutions", gflops, true },
        { "peak_gflops", "peak", "GFLOP/s of multiply-adds", bench->peak, true },
        { "peak_share", "share", "of the peak", gflops / bench->peak, true },
    };
    if (!bench->json)
        printf("%s %s, %s, threads: %" PRId64 ", images: %.0f\n", jobs[bench->job], info.id,
               precisions[bench->precision], bench->threads, images);
    for (size_t i = 0; !bench->json && i < VLM_COUNTOF(rows); i++)
        if (bench->operations > 0 || !rows[i].ours)
            printf("%-9s %.4g %s\n", rows[i].text, rows[i].value, rows[i].unit);
    if (!bench->json) {
        printf("%-9s %ld MiB at most, weights included\n", "memory", usage.ru_maxrss >> 10);
        return;
    }
    struct vlm_buffer line = { 0 };
    struct vlm_json json = { .out = &line };
    char job[32];
    snprintf(job, sizeof(job), "vq-%s-%s", info.kind, jobs[bench->job]);
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "job", job);
    vlm_json_member_string(&json, "peer", "vlm");
    vlm_json_member_string(&json, "tokenizer", info.id);
    vlm_json_member_string(&json, "dtype", precisions[bench->precision]);
    vlm_json_member_number(&json, "threads", (uint64_t)bench->threads);
    vlm_json_member_number(&json, "samples", (uint64_t)images);
    vlm_json_member_string(&json, "unit", "images/s");
    for (size_t i = 0; i < VLM_COUNTOF(rows); i++)
        if (bench->operations > 0 || !rows[i].ours) {
            vlm_json_key(&json, rows[i].key);
            vlm_json_real(&json, rows[i].value);
        }
    vlm_json_member_number(&json, "memory_peak", (uint64_t)usage.ru_maxrss << 10);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&line, '\n');
    fwrite(line.data, 1, line.size, stdout);
    vlm_buffer_release(&line);
}

int vlm_bench_vqgan(int argc, char **argv)
{
    struct vqgan_bench bench = { .threads = 1, .repeat = 5, .channels = 128 };
    const struct vlm_option options[] = {
        VLM_OPTION_STRING('m', "model", &bench.model, "MODEL", "folder of a tokenizer"),
        VLM_OPTION_CHOICE(0, "kind", &bench.kind, "taming|llamagen|maskgit|chameleon",
                          "random weights of this kind, without --model"),
        VLM_OPTION_NUMBER(0, "channels", &bench.channels, "N",
                          "of level 0, without --model; a multiple of 32", 32, 128),
        VLM_OPTION_CHOICE(0, "job", &bench.job, "encode|decode", "the direction"),
        VLM_OPTION_CHOICE(0, "precision", &bench.precision, VLM_PRECISION_WORDS, "of the products"),
        VLM_OPTION_NUMBER('j', "threads", &bench.threads, "N", "images at a time; 0 = all cores", 0,
                          THREADS_MAX),
        VLM_OPTION_NUMBER(0, "repeat", &bench.repeat, "N", "timed images of each thread", 1,
                          1 << 20),
    };
    const struct vlm_tool tool = {
        .name = "vlm-bench vqgan",
        .synopsis = "[options]",
        .summary = "Times images through a tokenizer, one for each thread at a time.",
        .examples = "  vlm-bench vqgan --job decode --precision fast -j2\n",
        .options = options,
        .n_options = VLM_COUNTOF(options),
        .json = &bench.json,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse_alone(&tool, argc, argv, &err);
    if (rc == VLM_OK)
        rc = bench.model ? vlm_tokenizer_open(&bench.tokenizer, bench.model,
                                              (enum vlm_precision)bench.precision, &err)
                         : open_random(&bench, &err);
    if (rc == VLM_OK)
        rc = count_operations(&bench, &err);
    if (rc == VLM_OK)
        rc = measure(&bench, &err);
    if (rc == VLM_OK)
        print_results(&bench);
    vlm_tokenizer_close(bench.tokenizer);
    return vlm_tool_end(&tool, rc, &err);
}
