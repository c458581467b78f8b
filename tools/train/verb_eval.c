/* verb_eval.c - vlm-train eval: a model folder against the documents of shard sets. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/progress.h"
#include "tools/common/print.h"
#include "tools/train/train_verbs.h"
#include "trainer/run/evaluate.h"

#include "models/folder/model_folder.h"
#include "models/model/model_serve.h"

enum { MICRO_TOKENS = 4096 };

/* In the order of SPLIT_WORDS. */
static const enum vlm_split splits[] = { VLM_SPLIT_ALL, VLM_SPLIT_VALIDATION, VLM_SPLIT_TRAIN };
static const char *const split_names[] = { "all", "validation", "train" };
#define SPLIT_WORDS "all|validation|train"

struct evaluation {
    /* options */
    struct vlm_corpus_options data;
    struct vlm_settings settings;
    const char *model, *mix, *validation;
    char *owned;
    int split, weights;
    int64_t limit, threads, seed;
    bool json, quiet;

    struct vlm_model_folder *folder;
    struct vlm_recipe recipe; /* the folder's, with --set */
    struct vlm_corpus *corpus;
    struct vlm_engine engine;
    struct vlm_tape tape;
    struct vlm_loader *loader;
    uint32_t *bytes;
    struct vlm_evaluation_sums sums;
};

/* Words that samples have and the vocabulary of a foreign model may not. */
static int check_words(const struct evaluation *e, struct vlm_err *err)
{
    const struct vlm_vocabulary *vocabulary = &e->folder->vocabulary;
    const struct vlm_sampling *sampling = &e->recipe.sampling;
    if (vocabulary->control[VLM_CONTROL_END] >= vocabulary->size)
        return vlm_fail(err, VLM_EUSAGE,
                        "the vocabulary of '%s' has neither </s> nor <|endoftext|>, between which "
                        "documents stand",
                        e->model);
    if (sampling->kind == VLM_SAMPLE_CAUSAL_MASK && sampling->mask.lambda > 0 &&
        vocabulary->mask[0] >= vocabulary->size)
        return vlm_fail(err, VLM_EUSAGE,
                        "the vocabulary of '%s' has no <mask:0>: data.lambda must be 0", e->model);
    return VLM_OK;
}

/* The folder's recipe, and what --set says over it. */
static int open_model(struct evaluation *e, struct vlm_err *err)
{
    int rc = vlm_model_folder_open(&e->folder, e->model, VLM_FOLDER_NO_IMAGES, err);
    if (rc != VLM_OK)
        return rc;
    if (!e->folder->has_vocabulary || !e->folder->tokenizer)
        return vlm_fail(err, VLM_EUSAGE,
                        "'%s' has no tokenizer: documents cannot be turned into its tokens",
                        e->model);
    rc = vlm_recipe_change(&e->recipe, &e->folder->recipe, e->model, e->settings.line,
                           e->settings.n, err);
    const size_t context = e->folder->model.config.context;
    struct vlm_sampling *sampling = &e->recipe.sampling;
    if (!sampling->block)
        sampling->block = context;
    sampling->seed = (uint64_t)e->seed;
    if (rc == VLM_OK && sampling->block > context)
        rc = vlm_fail(err, VLM_EUSAGE, "data.block = %zu is more than '%s' takes, %zu",
                      sampling->block, e->model, context);
    return rc == VLM_OK ? check_words(e, err) : rc;
}

/* Codes of another tokenizer are numbers without a meaning to this model. */
static int open_data(struct evaluation *e, struct vlm_err *err)
{
    const char *id = e->folder->image_tokenizer_id;
    e->data.seed = (uint64_t)e->seed;
    int rc = vlm_corpus_open(&e->corpus, &e->data, err);
    if (rc != VLM_OK)
        return rc;
    const struct vlm_set_tokenizer *tokenizer = vlm_corpus_tokenizer(e->corpus);
    if (!id[0] || !tokenizer || !strcmp(id, tokenizer->id))
        return VLM_OK;
    e->data.image_tokenizer = id; /* a set may have codes of several */
    vlm_corpus_close(e->corpus);
    e->corpus = NULL;
    struct vlm_err other;
    if (vlm_corpus_open(&e->corpus, &e->data, &other) == VLM_OK)
        return VLM_OK;
    return vlm_fail(err, VLM_EUSAGE, "'%s' knows codes of %s: %s", e->model, id, other.msg);
}

static int open_loader(struct evaluation *e, struct vlm_err *err)
{
    const struct vlm_model_config *config = &e->folder->model.config;
    const struct vlm_place begin = { 0 };
    struct vlm_loader_options options = {
        .sampling = e->recipe.sampling,
        .vocabulary = &e->folder->vocabulary,
        .tokens = VLM_MAX((size_t)MICRO_TOKENS, config->context),
        .image_rows = config->encoder ? config->bridge_sizes.length : 0,
        .threads = 1,
        .split = splits[e->split],
        .once = true,
        .documents_max = (uint64_t)e->limit,
    };
    memcpy(options.weight, e->recipe.weight, sizeof(options.weight));
    return vlm_loader_new(&e->loader, e->corpus, &options, &begin, err);
}

static int evaluate(struct evaluation *e, struct vlm_err *err)
{
    const enum vlm_weights weights = (enum vlm_weights)e->weights;
    const struct vlm_tape_options tape = { .precision = vlm_model_serve_precision(weights),
                                           .flags = VLM_TAPE_FORWARD };
    int rc = open_model(e, err);
    if (rc == VLM_OK)
        rc = open_data(e, err);
    if (rc == VLM_OK)
        rc = vlm_vocabulary_bytes(&e->bytes, &e->folder->vocabulary, err);
    if (rc == VLM_OK)
        rc = vlm_engine_init(&e->engine, (size_t)e->threads, VLM_GEMM_AUTO, err);
    /* int8 alone: training's products round operands to bf16, and so does the evaluation of a training run. */
    if (rc == VLM_OK && weights == VLM_WEIGHTS_INT8)
        rc = vlm_model_serve(&e->folder->model, &e->engine, weights, err);
    if (rc == VLM_OK)
        rc = vlm_tape_init(&e->tape, &e->engine, &tape, err);
    if (rc == VLM_OK)
        rc = open_loader(e, err);
    if (rc == VLM_OK)
        rc = vlm_evaluate_model(&e->sums, &e->tape, &e->folder->model, e->loader, e->bytes, err);
    return rc;
}

static int print_json(const struct evaluation *e, struct vlm_err *err)
{
    struct vlm_buffer line = { 0 };
    struct vlm_json json = { .out = &line };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "model", e->model);
    vlm_json_member_string(&json, "recipe", e->recipe.name);
    vlm_json_member_string(&json, "split", split_names[e->split]);
    vlm_evaluation_sums_write(&json, &e->sums);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&line, '\n');
    int rc = vlm_print(&line, err);
    vlm_buffer_release(&line);
    return rc;
}

static int print_text(const struct evaluation *e, struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    struct vlm_json json = { .out = &text };
    json_object *report = NULL;
    vlm_json_open(&json, '{');
    vlm_evaluation_sums_write(&json, &e->sums);
    vlm_json_close(&json, '}');
    int rc = vlm_json_parse(&report, (const char *)text.data, text.size, err);
    if (rc == VLM_OK)
        vlm_train_print_sums(stdout, split_names[e->split], report);
    json_object_put(report);
    vlm_buffer_release(&text);
    return rc;
}

static void release(struct evaluation *e)
{
    vlm_loader_free(e->loader);
    vlm_tape_release(&e->tape);
    vlm_engine_release(&e->engine);
    vlm_corpus_close(e->corpus);
    vlm_model_folder_close(e->folder);
    free(e->bytes);
    free(e->owned);
}

static int check(struct evaluation *e, int argc, char **argv, struct vlm_err *err)
{
    if (argc < 2)
        return vlm_fail(err, VLM_EUSAGE, "no model given");
    e->model = argv[1];
    int rc = vlm_train_sources(&e->data, &e->owned, e->mix, argv + 2, (size_t)argc - 2, err);
    if (rc == VLM_OK)
        rc = vlm_train_share(&e->data.validation_share, "validation", e->validation, err);
    return rc;
}

int vlm_train_verb_eval(int argc, char **argv)
{
    struct evaluation e = { .settings = { .sections = VLM_RECIPE_SECTIONS },
                            .validation = VLM_VALIDATION_DEFAULT,
                            .seed = 1 };
    const struct vlm_option table[] = {
        VLM_OPTION_STRING(0, "data", &e.mix, "A,B", "shard sets, instead of operands"),
        VLM_OPTION_CHOICE(0, "split", &e.split, SPLIT_WORDS,
                          "which documents: what training holds out, the others, all"),
        VLM_OPTION_STRING(0, "validation", &e.validation, "SHARE",
                          "of documents held out, as in training: 2% or 0.02"),
        VLM_OPTION_NUMBER('n', "limit", &e.limit, "N", "documents at most, 0: all", 0, INT32_MAX),
        VLM_OPTION_CHOICE(0, "dtype", &e.weights, VLM_WEIGHTS_WORDS,
                          "operands of products; int8: weights as vlm-serve holds them"),
        VLM_OPTION_NUMBER('j', "threads", &e.threads, "N", "0: all cores; results are the same", 0,
                          1024),
        VLM_OPTION_NUMBER(0, "seed", &e.seed, "N", "of masks", 0, INT64_MAX),
        VLM_OPTION_FLAG(0, "no-verify", &e.data.no_verify,
                        "parts are not compared with their checksums first"),
        VLM_OPTION_FLAG(0, "json", &e.json, "print the figures as one JSON object"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-train eval",
        .synopsis = "MODEL OUT... [options]",
        .summary =
            "Says how well a model folder predicts the documents of shard sets: nats a token of\n"
            "text, markup and image codes, bits a byte of text, bits an image. Masks are those of\n"
            "the model's recipe; --set data.lambda=0 switches them off.",
        .examples =
            "  vlm-train eval run/model shards --split validation\n"
            "  vlm-train eval run/model shards --set data.lambda=0 --json | jq .bits_per_byte\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &e.json,
        .quiet = &e.quiet,
        .settings = &e.settings,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK)
        rc = check(&e, argc, argv, &err);
    if (rc == VLM_OK)
        rc = evaluate(&e, &err);
    if (rc == VLM_OK)
        rc = e.json ? print_json(&e, &err) : print_text(&e, &err);
    release(&e);
    return vlm_tool_end(&tool, rc, &err);
}
