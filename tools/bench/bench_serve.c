/* bench_serve.c - the measurement of vlm-bench generate with the weights of a folder, as a server holds them; and what
 * weights of fewer bits cost.
 *
 * That is measured on texts that the fp32 model itself draws: the loss of the other weights is above its own by what
 * an answer differs, an estimate of the Kullback-Leibler divergence, whatever the model was trained on. */
#include "base/vlm.h"

#include "base/json.h"
#include "models/folder/model_folder.h"
#include "models/generate/generate.h"
#include "tools/bench/bench_generate.h"
#include "tools/bench/bench_serve.h"
#include "tools/common/print.h"

enum { PROMPT_MOST = 512, REPEAT = 5, TEXTS = 4, TEXT_TOKENS = 64 };

struct bench {
    const struct vlm_serve_options *options;
    struct vlm_engine engine;
    struct vlm_model_folder *folder;
    struct vlm_generate_load load;
    struct vlm_generate_rates rates;
    struct vlm_answer texts[TEXTS];
    size_t drawn;           /* tokens of the texts; 0: there is no loss to tell */
    double loss_fp32, loss; /* nats a token */
};

/* ---- what fewer bits cost ---- */

/* What texts begin with: the end of one before, or the first id of a foreign model that has no end. */
static uint32_t begin_of(const struct bench *bench)
{
    const struct vlm_vocabulary *vocabulary = &bench->folder->vocabulary;
    const uint32_t end = vocabulary->control[VLM_CONTROL_END];
    return end < vocabulary->size ? end : 0;
}

/* In the fp32 model, before its weights are packed. */
static int draw_texts(struct bench *bench, struct vlm_generator *generator, struct vlm_err *err)
{
    const uint32_t begin = begin_of(bench);
    struct vlm_generate_options options = VLM_GENERATE_DEFAULTS;
    int rc = VLM_OK;
    options.max_tokens = VLM_MIN((size_t)TEXT_TOKENS, bench->folder->model.config.context - 1);
    options.ignore_end = options.no_grammar = true;
    for (size_t i = 0; rc == VLM_OK && i < TEXTS; i++, options.seed++) {
        rc = vlm_generate(generator, &bench->texts[i], &begin, 1, NULL, 0, &options, err);
        bench->drawn += bench->texts[i].fills[0].n;
    }
    return rc;
}

static int score_texts(double *loss, struct bench *bench, struct vlm_generator *generator,
                       struct vlm_err *err)
{
    const uint32_t begin = begin_of(bench);
    double sum = 0;
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < TEXTS; i++) {
        const struct vlm_sequence *text = &bench->texts[i].fills[0];
        double total = 0;
        if (text->n)
            rc = vlm_score(generator, &total, NULL, &begin, 1, text->ids, text->n, NULL, 0, err);
        sum -= total;
    }
    *loss = sum / (double)bench->drawn;
    return rc;
}

static int measure_loss(double *loss, struct bench *bench, enum vlm_dtype precision,
                        struct vlm_err *err)
{
    struct vlm_generator *generator = NULL;
    struct vlm_model *model = &bench->folder->model;
    const size_t rows = VLM_MIN((size_t)TEXT_TOKENS + 1, model->config.context);
    int rc = vlm_generator_new(&generator, &bench->engine, model, &bench->folder->vocabulary, rows,
                               precision, err);
    if (rc == VLM_OK && !bench->drawn)
        rc = draw_texts(bench, generator, err);
    if (rc == VLM_OK && bench->drawn)
        rc = score_texts(loss, bench, generator, err);
    vlm_generator_free(generator);
    return rc;
}

/* ---- the whole ---- */

static int serve_weights(struct bench *bench, struct vlm_err *err)
{
    const enum vlm_weights weights = bench->load.weights;
    const bool compares = weights != VLM_WEIGHTS_F32 && bench->folder->has_vocabulary &&
                          bench->folder->model.config.context > 1;
    int rc = compares ? measure_loss(&bench->loss_fp32, bench, VLM_F32, err) : VLM_OK;
    if (rc == VLM_OK)
        rc = vlm_model_serve(&bench->folder->model, &bench->engine, weights, err);
    if (rc == VLM_OK && bench->drawn)
        rc = measure_loss(&bench->loss, bench, vlm_model_serve_precision(weights), err);
    return rc;
}

static int measure(struct bench *bench, struct vlm_err *err)
{
    const struct vlm_serve_options *options = bench->options;
    struct vlm_generate_load *load = &bench->load;
    int rc = vlm_model_folder_open(&bench->folder, options->model, VLM_FOLDER_NO_IMAGES, err);
    if (rc == VLM_OK)
        rc = vlm_engine_init(&bench->engine, (size_t)options->threads, VLM_GEMM_OWN, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_model *model = &bench->folder->model;
    size_t context;
    rc = vlm_serve_options_context(options, &context, model->config.context, err);
    if (rc != VLM_OK)
        return rc;
    load->weights = (enum vlm_weights)options->weights;
    load->prompt = (size_t)options->bench_prompt;
    if (!load->prompt)
        load->prompt = VLM_MAX(VLM_MIN(context / 8, (size_t)PROMPT_MOST), (size_t)1);
    load->fresh =
        options->bench_tokens ? (size_t)options->bench_tokens : VLM_MAX(load->prompt, (size_t)2);
    if (options->context && load->prompt + load->fresh > context)
        return vlm_fail(err, VLM_EUSAGE,
                        "option '--ctx-size': a prompt of %zu tokens and %zu behind it are more "
                        "than %zu",
                        load->prompt, load->fresh, context);
    load->streams = (size_t)(options->bench_streams ? options->bench_streams : options->parallel);
    load->repeat = REPEAT;
    rc = serve_weights(bench, err);
    return rc == VLM_OK ? vlm_generate_measure(&bench->rates, &bench->engine, model, load, err)
                        : rc;
}

static void write_text(struct vlm_buffer *out, const struct bench *bench)
{
    const struct vlm_generate_rates *rates = &bench->rates;
    const struct vlm_generate_load *load = &bench->load;
    vlm_buffer_printf(out, "%s, %s, threads %zu, kernels %s\n", bench->options->model,
                      vlm_weights_word(load->weights), vlm_pool_threads(bench->engine.pool),
                      bench->engine.kernels->name);
    vlm_buffer_printf(out, "prompts of %-6zu %10.1f tokens/s\n", load->prompt, rates->prefill);
    vlm_buffer_printf(out, "one stream        %10.1f tokens/s\n", rates->one);
    vlm_buffer_printf(out, "%-3zu streams       %10.1f tokens/s\n", load->streams, rates->many);
    vlm_buffer_printf(out,
                      rates->cached
                          ? "weights           %10.1f GB/s, in the cache; memory gives %.1f\n"
                          : "weights           %10.1f GB/s, of %.1f that memory gives\n",
                      rates->weights, rates->read);
    if (bench->drawn)
        vlm_buffer_printf(out, "loss              %10.4f nats a token, of fp32 %.4f: %+.4f\n",
                          bench->loss, bench->loss_fp32, bench->loss - bench->loss_fp32);
}

static void write_json(struct vlm_buffer *out, const struct bench *bench)
{
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "model", bench->options->model);
    vlm_json_member_string(&json, "dtype", vlm_weights_word(bench->load.weights));
    vlm_json_member_string(&json, "kernels", bench->engine.kernels->name);
    vlm_json_member_number(&json, "threads", vlm_pool_threads(bench->engine.pool));
    vlm_json_member_number(&json, "prompt", bench->load.prompt);
    vlm_json_member_number(&json, "tokens", bench->load.fresh);
    vlm_json_member_number(&json, "streams", bench->load.streams);
    vlm_json_member_real(&json, "prefill_tok_s", bench->rates.prefill);
    vlm_json_member_real(&json, "one_tok_s", bench->rates.one);
    vlm_json_member_real(&json, "many_tok_s", bench->rates.many);
    vlm_json_member_real(&json, "weights_gb_s", bench->rates.weights);
    vlm_json_member_real(&json, "read_gb_s", bench->rates.read);
    vlm_json_member_bool(&json, "weights_in_cache", bench->rates.cached);
    if (bench->drawn) {
        vlm_json_member_real(&json, "loss", bench->loss);
        vlm_json_member_real(&json, "loss_fp32", bench->loss_fp32);
    }
    vlm_json_close(&json, '}');
    vlm_buffer_byte(out, '\n');
}

int vlm_serve_bench(const struct vlm_serve_options *options, struct vlm_err *err)
{
    struct bench bench = { .options = options };
    struct vlm_buffer out = { 0 };
    int rc = measure(&bench, err);
    if (rc == VLM_OK && options->json)
        write_json(&out, &bench);
    else if (rc == VLM_OK)
        write_text(&out, &bench);
    if (rc == VLM_OK)
        rc = vlm_print(&out, err);
    vlm_buffer_release(&out);
    for (size_t i = 0; i < TEXTS; i++)
        vlm_answer_release(&bench.texts[i]);
    vlm_model_folder_close(bench.folder);
    vlm_engine_release(&bench.engine);
    return rc;
}
