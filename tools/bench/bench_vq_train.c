/* bench_vq_train.c - how many crops a second vq-s or vq-xs learns from: forward, backward, AdamW, codebook.
 *
 * The work is that of ../shared/peers/vq_small_train.py: the same graph and terms of the loss, crops of
 * noise, on which the work does not depend. Crops are the same in every step, so the loss must fall. */
#include "base/vlm.h"

#include "base/json.h"
#include "base/option.h"
#include "base/progress.h"
#include "base/random.h"
#include "tools/bench/bench_vq_train.h"
#include "tools/bench/machine.h"
#include "vqgan/train/vq_trainer.h"

enum {
    CELL = 16,
    REPEAT_MAX = 1000,
    STEPS = 100000,  /* of the schedule: the rate is that of its peak */
    FALLS_AFTER = 2, /* timed steps until the loss must be lower */
};

struct vq_bench {
    /* options */
    int kind, dtype;
    int64_t batch, size, threads, repeat, seed;
    bool json;

    struct vlm_vq_trainer trainer;
    float *pixels;
    double *rates;           /* [repeat] crops/s */
    double wall, cpu;        /* seconds of all timed steps: of the clock, of all threads */
    double first_loss, loss; /* of the first step, of the last */
};

static int prepare(struct vq_bench *bench, struct vlm_err *err)
{
    static const char *const kinds[] = { "vq-s", "vq-xs" };
    const size_t side = (size_t)bench->size, count = (size_t)bench->batch * side * side * 3;
    if (side % CELL)
        return vlm_fail(err, VLM_EUSAGE, "option '--size': %zu is not a multiple of %d", side,
                        CELL);
    struct vlm_vq_recipe recipe =
        vlm_vq_recipe(vlm_vq_shape_named(kinds[bench->kind]), STEPS, (size_t)bench->batch);
    recipe.crop = side;
    recipe.seed = (uint64_t)bench->seed;
    recipe.bf16 = bench->dtype;
    recipe.warmup = 0;
    recipe.peak = 2e-4;
    recipe.absolute = 1;
    recipe.square = 0;
    recipe.scale_weight = 0.5f;
    bench->pixels = malloc(count * sizeof(float));
    bench->rates = calloc((size_t)bench->repeat, sizeof(double));
    if (!bench->pixels || !bench->rates)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu pixels", count);
    struct vlm_random random = vlm_random_at((uint64_t)bench->seed, 1, 0);
    for (size_t i = 0; i < count; i++)
        bench->pixels[i] = (float)(2 * vlm_random_unit(&random) - 1);
    int rc = vlm_vq_trainer_init(&bench->trainer, &recipe, (size_t)bench->threads, err);
    bench->trainer.quantised = rc == VLM_OK; /* by the random codebook, as the peer */
    return rc;
}

/* One step without the clock, which touches all memory, then `repeat` with it. */
static int measure(struct vq_bench *bench, struct vlm_err *err)
{
    const struct vlm_vq_batch batch = { .pixels = bench->pixels,
                                        .count = (size_t)bench->batch,
                                        .size = (size_t)bench->size };
    int rc = vlm_vq_trainer_step(&bench->trainer, &batch, err);
    bench->first_loss = bench->trainer.last.loss;
    for (size_t i = 0; rc == VLM_OK && i < (size_t)bench->repeat; i++) {
        double start = vlm_now(), cpu = vlm_machine_cpu_seconds();
        rc = vlm_vq_trainer_step(&bench->trainer, &batch, err);
        double took = vlm_now() - start;
        bench->rates[i] = (double)bench->batch / took;
        bench->wall += took;
        bench->cpu += vlm_machine_cpu_seconds() - cpu;
        bench->loss = bench->trainer.last.loss;
        if (rc == VLM_OK && bench->trainer.last.verdict != VLM_GUARD_ACCEPT)
            rc = vlm_fail(err, VLM_EFAIL, "step %zu with loss %g was not accepted", i + 1,
                          bench->loss);
    }
    if (rc == VLM_OK && bench->repeat >= FALLS_AFTER && bench->loss >= bench->first_loss)
        rc = vlm_fail(err, VLM_EFAIL, "the loss did not fall: %g, then %g", bench->first_loss,
                      bench->loss);
    return rc;
}

static void print_text(const struct vq_bench *bench)
{
    const struct vlm_vq_trainer *t = &bench->trainer;
    const double crops = (double)(bench->batch * bench->repeat);
    printf("vq-train %s, %" PRId64 " crops of %" PRId64 " x %" PRId64 ", %s\n",
           t->recipe.shape.kind, bench->batch, bench->size, bench->size,
           t->recipe.bf16 ? "bf16" : "fp32");
    printf("%-10s %zu, kernels %s\n", "threads", vlm_pool_threads(t->engine.pool),
           t->engine.kernels->name);
    printf("%-10s %.1f   (%.1f to %.1f, %" PRId64 " steps on %.2f cores)\n", "crops/s",
           bench->rates[bench->repeat / 2], bench->rates[0], bench->rates[bench->repeat - 1],
           bench->repeat, bench->cpu / bench->wall);
    printf("%-10s %.1f   crops a second of CPU time\n", "per core", crops / bench->cpu);
    printf("%-10s %.0f MB of activations and gradients\n", "memory",
           (double)vlm_tape_peak(&t->tape) * 1e-6);
    printf("%-10s %.4f, then %.4f\n", "loss", bench->first_loss, bench->loss);
}

/* The members that the peer prints, then ours. */
static void print_json(const struct vq_bench *bench)
{
    const struct vlm_vq_trainer *t = &bench->trainer;
    const double crops = (double)(bench->batch * bench->repeat);
    struct vlm_buffer line = { 0 };
    struct vlm_json json = { .out = &line };
    const struct {
        const char *key;
        double value;
    } reals[] = {
        { "value", bench->rates[bench->repeat / 2] },
        { "min", bench->rates[0] },
        { "max", bench->rates[bench->repeat - 1] },
        { "per_core", crops / bench->cpu },
        { "cores", bench->cpu / bench->wall },
        { "first_loss", bench->first_loss },
        { "last_loss", bench->loss },
    };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "job", "vq-small-train");
    vlm_json_member_string(&json, "peer", "vlm");
    vlm_json_member_string(&json, "kind", t->recipe.shape.kind);
    vlm_json_member_string(&json, "dtype", t->recipe.bf16 ? "bf16" : "fp32");
    vlm_json_member_string(&json, "unit", "crops/s");
    vlm_json_member_string(&json, "kernels", t->engine.kernels->name);
    for (size_t i = 0; i < VLM_COUNTOF(reals); i++) {
        vlm_json_key(&json, reals[i].key);
        vlm_json_real(&json, reals[i].value);
    }
    vlm_json_member_number(&json, "threads", vlm_pool_threads(t->engine.pool));
    vlm_json_member_number(&json, "batch", (uint64_t)bench->batch);
    vlm_json_member_number(&json, "size", (uint64_t)bench->size);
    vlm_json_member_number(&json, "samples", (uint64_t)bench->repeat);
    vlm_json_member_number(&json, "parameters", t->model.count);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&line, '\n');
    fwrite(line.data, 1, line.size, stdout);
    vlm_buffer_release(&line);
}

int vlm_bench_vq_train(int argc, char **argv)
{
    struct vq_bench bench = { .batch = 64, .size = 128, .repeat = 5, .seed = 1 };
    const struct vlm_option options[] = {
        VLM_OPTION_CHOICE(0, "kind", &bench.kind, "vq-s|vq-xs", "the graph"),
        VLM_OPTION_NUMBER(0, "batch", &bench.batch, "N", "crops in a step", 1, 4096),
        VLM_OPTION_NUMBER(0, "size", &bench.size, "N", "side of a crop", CELL, 1024),
        VLM_OPTION_CHOICE(0, "dtype", &bench.dtype, "fp32|bf16", "of the operands of products"),
        VLM_OPTION_NUMBER('j', "threads", &bench.threads, "N", "0 = all cores", 0, 256),
        VLM_OPTION_NUMBER(0, "repeat", &bench.repeat, "N", "timed steps", 1, REPEAT_MAX),
        VLM_OPTION_NUMBER(0, "seed", &bench.seed, "N", "of weights and crops", 0, INT64_MAX),
    };
    const struct vlm_tool tool = {
        .name = "vlm-bench vq-train",
        .synopsis = "[options]",
        .summary = "Time the training step of a small image tokenizer on crops of noise.",
        .examples = "  vlm-bench vq-train --kind vq-xs --dtype bf16 -j2\n",
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
        vlm_machine_sort(bench.rates, (size_t)bench.repeat);
        if (bench.json)
            print_json(&bench);
        else
            print_text(&bench);
    }
    vlm_vq_trainer_release(&bench.trainer);
    free(bench.pixels);
    free(bench.rates);
    return vlm_tool_end(&tool, rc, &err);
}
