/* setup.c - from options to a plan: recipe, data, vocabulary, sizes, schedule, and whether it all fits.
 *
 * Nothing of the size of a model is allocated here, and nothing is written: a plan that cannot be carried out
 * is refused before the run folder exists. */
#include "base/vlm.h"

#include "trainer/run/run_internal.h"

#include "base/available.h"
#include "base/word_list.h"

#include <math.h>

enum {
    MICRO_TOKENS = 4096, /* of a micro-batch, unless --batch-size says otherwise */
    HEAD_SIZE = 64,      /* for widths that no preset has */
    STEPS_DEFAULT = 1000,
    WARMUP_MAX = 2000,
    ROUNDING = 64, /* of the hidden width of gated layers */
    TEXT_SIZE = 256,
    BATCH_BYTES = 24, /* of a token in a batch: trainer/data/loader.h */
};

static const char preset_default[] = "tiny", recipe_default[] = "cm3";

/* ---- numbers ---- */

static int read_real(double *value, const char *option, const char *text, double low, double high,
                     struct vlm_err *err)
{
    if (!text)
        return VLM_OK;
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end || !(number >= low && number <= high))
        return vlm_fail(err, VLM_EUSAGE, "option '--%s': '%s' is not a number from %g to %g",
                        option, text, low, high);
    *value = number;
    return VLM_OK;
}

static int read_rates(struct vlm_train_plan *plan, struct vlm_err *err)
{
    const struct vlm_train_run_options *options = plan->options;
    const struct vlm_optimizer_options usual = VLM_OPTIMIZER_DEFAULTS;
    struct vlm_schedule *schedule = &plan->schedule;
    plan->adam = usual;
    schedule->peak = plan->preset->learning_rate;
    schedule->power = 1;
    int rc = read_real(&schedule->peak, "learning-rate", options->learning_rate, 0, 100, err);
    if (rc == VLM_OK && schedule->peak <= 0)
        rc = vlm_fail(err, VLM_EUSAGE, "option '--learning-rate': with 0 nothing is learned");
    schedule->floor = schedule->peak / 10;
    const struct {
        double *value;
        const char *name, *text;
        double high;
    } reals[] = {
        { &schedule->floor, "min-lr", options->min_rate, 100 },
        { &schedule->power, "power", options->power, 100 },
        { &plan->adam.decay, "weight-decay", options->weight_decay, 100 },
        { &plan->adam.beta1, "beta1", options->beta1, 0.999999 },
        { &plan->adam.beta2, "beta2", options->beta2, 0.999999 },
        { &plan->adam.clip_norm, "grad-clip", options->grad_clip, 1e9 },
    };
    for (size_t i = 0; rc == VLM_OK && i < VLM_COUNTOF(reals); i++)
        rc = read_real(reals[i].value, reals[i].name, reals[i].text, 0, reals[i].high, err);
    return rc;
}

/* A number of the run that --output holds, unless the option is given. */
static void keep_number(uint64_t *number, bool is_given, const struct vlm_identity *begun,
                        const char *key, bool *kept)
{
    const char *text = is_given ? NULL : vlm_identity_value(begun, key);
    const uint64_t value = text ? strtoull(text, NULL, 10) : *number;
    *kept = *kept || value != *number;
    *number = value;
}

/* What follows from --max-iters and is not given stays what it was when the run began: a run that is made
 * longer is the same run, with the same rates up to where it was. */
static int keep_schedule(struct vlm_train_plan *plan, struct vlm_err *err)
{
    const struct vlm_train_run_options *options = plan->options;
    struct vlm_identity *begun = malloc(sizeof(*begun));
    int rc = begun ? vlm_checkpoint_identity(begun, options->output, err)
                   : vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", options->output);
    if (rc == VLM_OK) {
        keep_number(&plan->decay_steps, options->decay_steps, begun, "lr-decay-iters",
                    &plan->as_begun);
        keep_number(&plan->warmup, options->warmup >= 0, begun, "warmup-iters", &plan->as_begun);
    }
    free(begun);
    return rc;
}

static int make_schedule(struct vlm_train_plan *plan, struct vlm_err *err)
{
    static const enum vlm_schedule_kind kinds[] = { VLM_SCHEDULE_COSINE, VLM_SCHEDULE_POLYNOMIAL,
                                                    VLM_SCHEDULE_WSD, VLM_SCHEDULE_CONSTANT };
    const struct vlm_train_run_options *options = plan->options;
    struct vlm_schedule *schedule = &plan->schedule;
    plan->steps = options->max_steps ? (uint64_t)options->max_steps : STEPS_DEFAULT;
    plan->decay_steps = options->decay_steps ? (uint64_t)options->decay_steps : plan->steps;
    plan->warmup = options->warmup >= 0
                       ? (uint64_t)options->warmup
                       : VLM_MIN(VLM_MAX(plan->decay_steps / 20, 1), (uint64_t)WARMUP_MAX);
    int rc = keep_schedule(plan, err);
    if (rc != VLM_OK)
        return rc;
    schedule->kind = kinds[options->schedule];
    size_t n;
    const char *word = vlm_word_list_at(VLM_SCHEDULE_WORDS, (size_t)options->schedule, &n);
    snprintf(plan->schedule_word, sizeof(plan->schedule_word), "%.*s", (int)n, word);
    schedule->warmup = plan->warmup;
    schedule->total = plan->decay_steps;
    schedule->decay = plan->decay_steps / 5;
    return vlm_schedule_check(schedule, err);
}

/* ---- recipe and sizes ---- */

static size_t given(int64_t option, size_t otherwise)
{
    return option > 0 ? (size_t)option : otherwise;
}

static int choose_preset(struct vlm_train_plan *plan, struct vlm_err *err)
{
    const char *name = plan->options->preset;
    char known[VLM_PRESET_NAMES_SIZE];
    if (!name)
        name = plan->recipe.preset[0] ? plan->recipe.preset : preset_default;
    plan->preset = vlm_preset_find(name);
    return plan->preset ? VLM_OK
                        : vlm_fail(err, VLM_EUSAGE, "option '--preset': '%.64s' is not one of %s",
                                   name, vlm_preset_names(known));
}

/* Of a folder that training begins from, the recipe too, unless another one is asked for. */
static int open_recipe(struct vlm_train_plan *plan, struct vlm_err *err)
{
    const struct vlm_train_run_options *options = plan->options;
    const char *name = options->recipe;
    int rc = VLM_OK;
    if (options->init_from)
        rc = vlm_model_folder_open(&plan->from, options->init_from, VLM_FOLDER_NO_IMAGES, err);
    if (rc != VLM_OK)
        return rc;
    if (name || !plan->from || plan->from->foreign)
        return vlm_recipe_open(&plan->recipe, name ? name : recipe_default, options->settings,
                               options->n_settings, err);
    return vlm_recipe_change(&plan->recipe, &plan->from->recipe, options->init_from,
                             options->settings, options->n_settings, err);
}

/* Tokens of a block or window: of the option, of the recipe where it names a number, of the preset. */
static void choose_block(struct vlm_train_plan *plan)
{
    struct vlm_sampling *sampling = &plan->recipe.sampling;
    if (plan->options->block > 0)
        sampling->block = (size_t)plan->options->block;
    else if (!sampling->block)
        sampling->block = plan->preset->block;
    sampling->seed = plan->options->seed;
}

static struct vlm_sizes trunk_sizes(const struct vlm_train_plan *plan)
{
    const struct vlm_train_run_options *options = plan->options;
    const struct vlm_preset *preset = plan->preset;
    const struct vlm_layer_kind *layer = plan->recipe.layer;
    const bool own_width = options->width && (size_t)options->width != preset->width;
    struct vlm_sizes sizes = { .width = given(options->width, preset->width),
                               .activation = layer->activation,
                               .norm_epsilon = 1e-5F,
                               .position = plan->recipe.position,
                               .rotary_base = 10000 };
    size_t heads = own_width ? VLM_MAX(sizes.width / HEAD_SIZE, (size_t)1) : preset->heads;
    sizes.heads = given(options->heads, heads);
    sizes.kv_heads = given(options->kv_heads, sizes.heads);
    sizes.head_size = sizes.width / sizes.heads;
    size_t hidden = own_width ? 4 * sizes.width : preset->hidden;
    if (layer->gated)
        hidden = (hidden * 2 / 3 + ROUNDING - 1) / ROUNDING * ROUNDING;
    sizes.hidden = given(options->hidden, hidden);
    return sizes;
}

static void add_encoder(struct vlm_train_plan *plan)
{
    const struct vlm_recipe *recipe = &plan->recipe;
    struct vlm_model_config *config = &plan->config;
    const size_t width = recipe->encoder_width ? recipe->encoder_width : config->sizes.width;
    const size_t heads =
        recipe->encoder_heads ? recipe->encoder_heads : VLM_MAX(width / HEAD_SIZE, (size_t)1);
    config->encoder = recipe->encoder;
    config->encoder_layers = recipe->encoder_layers;
    config->encoder_sizes = (struct vlm_sizes){ .width = width,
                                                .heads = heads,
                                                .kv_heads = heads,
                                                .head_size = width / heads,
                                                .hidden = 4 * width,
                                                .inputs = plan->codes,
                                                .length = VLM_CODES,
                                                .activation = VLM_GELU_TANH,
                                                .norm_epsilon = 1e-5F,
                                                .position = VLM_POSITION_LEARNED };
    config->bridge = recipe->bridge;
    config->bridge_sizes = (struct vlm_sizes){ .width = config->sizes.width,
                                               .inputs = width,
                                               .length = recipe->bridge_length };
}

void vlm_train_plan_sizes(struct vlm_train_size sizes[VLM_TRAIN_SIZES],
                          const struct vlm_train_plan *plan)
{
    const struct vlm_train_run_options *options = plan->options;
    const struct vlm_model_config *config = &plan->config;
    const struct vlm_train_size list[VLM_TRAIN_SIZES] = {
        { "n-layer", config->layers, options->layers },
        { "n-embd", config->sizes.width, options->width },
        { "n-head", config->sizes.heads, options->heads },
        { "n-kv-head", config->sizes.kv_heads, options->kv_heads },
        { "n-hidden", config->sizes.hidden, options->hidden },
    };
    memcpy(sizes, list, sizeof(list));
}

/* The trunk of --init-from, and its encoder if the recipe has one. Sizes that are given must be those. */
static int take_model(struct vlm_train_plan *plan, struct vlm_err *err)
{
    struct vlm_recipe *recipe = &plan->recipe;
    struct vlm_model_config *config = &plan->config;
    struct vlm_train_size sizes[VLM_TRAIN_SIZES];
    *config = plan->from->model.config;
    recipe->layer = config->layer;
    recipe->position = config->sizes.position;
    recipe->tied = config->tied;
    if (!recipe->encoder) {
        config->encoder = NULL;
        config->bridge = NULL;
        config->encoder_layers = 0;
    }
    vlm_train_plan_sizes(sizes, plan);
    for (size_t i = 0; i < VLM_TRAIN_SIZES; i++)
        if (sizes[i].option && (size_t)sizes[i].option != sizes[i].value)
            return vlm_fail(err, VLM_EUSAGE,
                            "option '--%s' is %" PRId64 ", but '%s' has %zu, and a model that "
                            "begins from it has its sizes",
                            sizes[i].key, sizes[i].option, plan->options->init_from,
                            sizes[i].value);
    return VLM_OK;
}

/* The model's sizes, of the folder it begins from where there is one. */
static int choose_model(struct vlm_train_plan *plan, struct vlm_err *err)
{
    struct vlm_recipe *recipe = &plan->recipe;
    struct vlm_model_config *config = &plan->config;
    int rc = plan->from ? take_model(plan, err) : VLM_OK;
    if (rc != VLM_OK)
        return rc;
    if (!plan->from)
        *config = (struct vlm_model_config){
            .layer = recipe->layer,
            .sizes = trunk_sizes(plan),
            .layers = given(plan->options->layers, plan->preset->layers),
            .tied = recipe->tied,
        };
    const bool same_encoder = plan->from && config->encoder && config->encoder == recipe->encoder;
    if (recipe->encoder && !same_encoder)
        add_encoder(plan);
    plan->image_rows = config->encoder ? config->bridge_sizes.length : 0;
    config->vocabulary = plan->vocabulary.size;
    const size_t images =
        recipe->sampling.kind == VLM_SAMPLE_WINDOW ? recipe->sampling.images_max : 1;
    const size_t longest =
        recipe->sampling.block + (plan->image_rows ? images * (plan->image_rows - 1) : 0);
    if (!plan->from)
        config->context = longest;
    else if (longest > config->context)
        return vlm_fail(err, VLM_EUSAGE,
                        "samples of %zu tokens do not fit into '%s', which takes %zu: use "
                        "--block-size %zu",
                        longest, plan->options->init_from, config->context, config->context);
    return vlm_model_check(config, err);
}

/* ---- data and vocabulary ---- */

static bool has_codes(const struct vlm_recipe *recipe)
{
    return recipe->encoder || recipe->sampling.form == VLM_RENDER_CM3 ||
           recipe->sampling.form == VLM_RENDER_HTLM;
}

static int open_data(struct vlm_train_plan *plan, bool no_verify, struct vlm_err *err)
{
    struct vlm_corpus_options data = plan->options->data;
    data.seed = plan->options->seed;
    data.no_verify = no_verify;
    vlm_corpus_close(plan->corpus);
    plan->corpus = NULL;
    int rc = vlm_corpus_open(&plan->corpus, &data, err);
    plan->documents = 0;
    for (size_t i = 0; rc == VLM_OK && i < vlm_corpus_sources(plan->corpus); i++)
        plan->documents += vlm_corpus_source(plan->corpus, i)->documents;
    return rc;
}

/* The codebook whose codes the model reads: 0 when it reads none. */
static int choose_codes(struct vlm_train_plan *plan, struct vlm_err *err)
{
    const struct vlm_set_tokenizer *tokenizer = vlm_corpus_tokenizer(plan->corpus);
    if (!has_codes(&plan->recipe))
        return VLM_OK;
    if (plan->recipe.encoder && !tokenizer)
        return vlm_fail(err, VLM_EUSAGE,
                        "recipe '%s' is for images, and '%s' has no codes of any: see "
                        "vlm-vqgan encode",
                        plan->recipe.name, plan->options->data.folder[0]);
    if (plan->from && plan->from->image_tokenizer_id[0] && tokenizer &&
        strcmp(plan->from->image_tokenizer_id, tokenizer->id))
        return vlm_fail(err, VLM_EUSAGE, "'%s' knows codes of %s, '%s' has codes of %s",
                        plan->options->init_from, plan->from->image_tokenizer_id,
                        plan->options->data.folder[0], tokenizer->id);
    if (!tokenizer)
        return VLM_OK;
    snprintf(plan->image_tokenizer_id, sizeof(plan->image_tokenizer_id), "%s", tokenizer->id);
    plan->codes = (size_t)tokenizer->codebook_size;
    return VLM_OK;
}

/* The tokenizer of the codes: the folder of --image-tokenizer must be that one, the shipped one may be. */
static int open_images(struct vlm_train_plan *plan, struct vlm_err *err)
{
    const char *folder = plan->options->image_tokenizer;
    if (!plan->codes)
        return VLM_OK;
    int rc = vlm_tokenizer_open(&plan->images, folder, VLM_PRECISION_EXACT, err);
    if (rc != VLM_OK)
        return rc;
    const char *id = vlm_tokenizer_info(plan->images).id;
    if (!strcmp(id, plan->image_tokenizer_id))
        return VLM_OK;
    if (folder)
        return vlm_fail(err, VLM_EUSAGE, "'%s' is tokenizer %s, '%s' has codes of %s", folder, id,
                        plan->options->data.folder[0], plan->image_tokenizer_id);
    vlm_tokenizer_close(plan->images);
    plan->images = NULL;
    return VLM_OK;
}

static int make_vocabulary(struct vlm_train_plan *plan, struct vlm_err *err)
{
    const struct vlm_recipe *recipe = &plan->recipe;
    const struct vlm_text_tokenizer *tokenizer = plan->from ? plan->from->tokenizer : NULL;
    int rc = VLM_OK;
    if (plan->options->tokenizer || !tokenizer) {
        rc = vlm_text_tokenizer_open(&plan->tokenizer, plan->options->tokenizer, err);
        tokenizer = plan->tokenizer;
    }
    if (rc != VLM_OK)
        return rc;
    return vlm_vocabulary_init(
        &plan->vocabulary, tokenizer,
        &(struct vlm_vocabulary_options){
            .n_codes = recipe->encoder ? 0 : (uint32_t)plan->codes,
            .n_masks = VLM_MAX(recipe->sampling.mask.max, (uint32_t)VLM_MASKS_DEFAULT) },
        err);
}

/* Whether blocks have room for what the recipe puts into them. */
static int check_sampling(const struct vlm_train_plan *plan, struct vlm_err *err)
{
    struct vlm_sampler *sampler = NULL;
    int rc = vlm_sampler_new(&sampler, &plan->recipe.sampling, &plan->vocabulary, err);
    vlm_sampler_free(sampler);
    return rc;
}

static int choose_batch(struct vlm_train_plan *plan, struct vlm_err *err)
{
    const struct vlm_train_run_options *options = plan->options;
    const size_t block = plan->recipe.sampling.block, step = plan->preset->batch_tokens;
    const size_t fits = VLM_MAX(VLM_MIN(step, (size_t)MICRO_TOKENS) / block, (size_t)1);
    plan->batch = given(options->batch, fits);
    plan->batch_tokens = VLM_MAX(plan->batch * block, plan->config.context);
    const size_t parts = (step + plan->batch_tokens / 2) / plan->batch_tokens;
    plan->accumulation = given(options->accumulation, VLM_MAX(parts, (size_t)1));
    return plan->batch_tokens <= INT32_MAX
               ? VLM_OK
               : vlm_fail(err, VLM_EUSAGE,
                          "a micro-batch of %zu samples of %zu tokens is more than %d tokens: "
                          "--batch-size is too large",
                          plan->batch, block, INT32_MAX);
}

struct vlm_loader_options vlm_train_plan_loader(const struct vlm_train_plan *plan,
                                                enum vlm_split split, uint64_t documents_max)
{
    struct vlm_loader_options options = {
        .sampling = plan->recipe.sampling,
        .vocabulary = &plan->vocabulary,
        .tokens = plan->batch_tokens,
        .image_rows = plan->image_rows,
        .threads = given(plan->options->loader_threads, 1),
        .split = split,
        .documents_max = documents_max,
    };
    memcpy(options.weight, plan->recipe.weight, sizeof(options.weight));
    return options;
}

/* ---- memory ---- */

static size_t sum_of(const struct vlm_model_estimate *e)
{
    return e->weights + e->grads + e->optimizer + e->step;
}

static int estimate_of(struct vlm_model_estimate *estimate, const struct vlm_train_plan *plan,
                       size_t batch, size_t accumulation, bool recompute, struct vlm_err *err)
{
    const size_t rows = VLM_MAX(batch * plan->recipe.sampling.block, plan->config.context);
    const size_t images = plan->image_rows ? rows / (plan->image_rows + 2) : 0;
    int rc = vlm_model_estimate(estimate, &plan->config, rows, images,
                                plan->options->bf16 ? VLM_BF16 : VLM_F32,
                                recompute ? VLM_MODEL_RECOMPUTE : 0, err);
    estimate->step += accumulation * rows * BATCH_BYTES;
    return rc;
}

/* The first of a few remedies that is enough, as words; "" when none is. */
static void find_remedy(char text[TEXT_SIZE], const struct vlm_train_plan *plan)
{
    const size_t batch = plan->batch, parts = plan->accumulation;
    const struct {
        size_t batch, accumulation;
        bool recompute;
        const char *words;
    } tries[] = {
        { VLM_MAX(batch / 2, (size_t)1), parts, false, "half the --batch-size is enough" },
        { batch, parts, true, "--recompute is enough" },
        { 1, parts, false, "--batch-size 1 is enough" },
        { 1, parts, true, "--batch-size 1 with --recompute is enough" },
        { batch, 1, false, "fewer --gradient-accumulation-steps are enough" },
    };
    struct vlm_err ignored;
    for (size_t i = 0; i < VLM_COUNTOF(tries); i++) {
        struct vlm_model_estimate estimate;
        if (tries[i].batch > batch ||
            estimate_of(&estimate, plan, tries[i].batch, tries[i].accumulation, tries[i].recompute,
                        &ignored) != VLM_OK)
            continue;
        if (sum_of(&estimate) <= plan->available) {
            snprintf(text, TEXT_SIZE, "%s", tries[i].words);
            return;
        }
    }
    snprintf(text, TEXT_SIZE, "use a smaller --preset");
    const size_t fixed = plan->estimate.weights + plan->estimate.grads + plan->estimate.optimizer;
    const struct vlm_preset *preset;
    for (size_t i = 0; (preset = vlm_preset_at(i)) && preset != plan->preset; i++) {
        /* Weights of the layers and of the embedding; the step is what is left. */
        size_t numbers = preset->layers * 12 * preset->width * preset->width +
                         plan->config.vocabulary * preset->width;
        if (16 * numbers < fixed && 16 * numbers <= plan->available / 4 * 3)
            snprintf(text, TEXT_SIZE, "--preset %s fits", preset->name);
    }
}

static int check_memory(struct vlm_train_plan *plan, struct vlm_err *err)
{
    const struct vlm_train_run_options *options = plan->options;
    const struct vlm_model_estimate *e = &plan->estimate;
    plan->available = options->memory ? (size_t)options->memory : vlm_memory_available();
    int rc = estimate_of(&plan->estimate, plan, plan->batch, plan->accumulation, options->recompute,
                         err);
    if (rc == VLM_OK && plan->from) /* stays open */
        plan->estimate.weights += plan->from->model.count * sizeof(float);
    if (rc != VLM_OK || sum_of(e) <= plan->available)
        return rc;
    char n[7][VLM_FORMAT_SIZE], remedy[TEXT_SIZE] = "";
    find_remedy(remedy, plan);
    return vlm_fail(
        err, VLM_ELIMIT,
        "%s parameters need %s of memory: weights %s, gradients %s, moments %s, a step "
        "of %zu tokens %s; %s are available%s: %s",
        vlm_format_count(n[0], (double)e->parameters), vlm_format_bytes(n[1], (double)sum_of(e)),
        vlm_format_bytes(n[2], (double)e->weights), vlm_format_bytes(n[3], (double)e->grads),
        vlm_format_bytes(n[4], (double)e->optimizer), plan->batch_tokens,
        vlm_format_bytes(n[5], (double)e->step), vlm_format_bytes(n[6], (double)plan->available),
        options->memory ? " (--memory)" : "", remedy);
}

/* ---- all of it ---- */

int vlm_train_plan_make(struct vlm_train_plan *plan, const struct vlm_train_run_options *options,
                        struct vlm_err *err)
{
    *plan = (struct vlm_train_plan){ .options = options };
    int rc = open_recipe(plan, err);
    if (rc == VLM_OK)
        rc = choose_preset(plan, err);
    if (rc == VLM_OK) {
        choose_block(plan);
        rc = read_rates(plan, err);
    }
    if (rc == VLM_OK)
        rc = make_schedule(plan, err);
    if (rc == VLM_OK)
        rc = open_data(plan, true, err);
    if (rc == VLM_OK)
        rc = choose_codes(plan, err);
    if (rc == VLM_OK)
        rc = make_vocabulary(plan, err);
    if (rc == VLM_OK)
        rc = check_sampling(plan, err);
    if (rc == VLM_OK)
        rc = choose_model(plan, err);
    if (rc == VLM_OK)
        rc = choose_batch(plan, err);
    if (rc == VLM_OK)
        rc = check_memory(plan, err);
    if (rc == VLM_OK)
        rc = open_images(plan, err);
    if (rc == VLM_OK)
        rc = vlm_train_plan_resolve(plan, err);
    return rc;
}

int vlm_train_plan_verify(struct vlm_train_plan *plan, struct vlm_err *err)
{
    return plan->options->data.no_verify ? VLM_OK : open_data(plan, false, err);
}

void vlm_train_plan_release(struct vlm_train_plan *plan)
{
    vlm_corpus_close(plan->corpus);
    vlm_text_tokenizer_close(plan->tokenizer);
    vlm_tokenizer_close(plan->images);
    vlm_model_folder_close(plan->from);
    vlm_buffer_release(&plan->config_ini);
    *plan = (struct vlm_train_plan){ 0 };
}
