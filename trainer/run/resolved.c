/* resolved.c - the plan in words, twice: as config.resolved.ini, which gives the same run when it is read
 * back, and as the run's identity, which a checkpoint must agree with. */
#include "base/vlm.h"

#include "trainer/run/run_internal.h"

#include "base/hash.h"
#include "base/ini.h"
#include "base/word_list.h"

enum { VALUE_SIZE = 32, DIGEST_DIGITS = 32 };

/* Where a value comes from. */
enum origin { ORIGIN_GIVEN, ORIGIN_PRESET, ORIGIN_FOLDER, ORIGIN_DEFAULT, ORIGIN_BEGUN };
static const char *const origins[] = { "given", "preset", "init-from", "default",
                                       "as the run began" };

struct writer {
    struct vlm_train_plan *plan;
    struct vlm_buffer *ini;
};

/* One key of both, or of config.resolved.ini alone. Without an origin nothing is said about it. */
static void put(struct writer *w, const char *key, const char *value, enum origin origin,
                bool identity)
{
    vlm_buffer_printf(w->ini, "%s = ", key);
    vlm_ini_value(w->ini, value);
    if (origin != ORIGIN_GIVEN)
        vlm_buffer_printf(w->ini, " ; %s", origins[origin]);
    vlm_buffer_byte(w->ini, '\n');
    if (identity)
        vlm_identity_add(&w->plan->identity, key, "%s", value);
}

static void put_number(struct writer *w, const char *key, uint64_t value, enum origin origin,
                       bool identity)
{
    char text[VALUE_SIZE];
    snprintf(text, sizeof(text), "%" PRIu64, value);
    put(w, key, text, origin, identity);
}

static void put_real(struct writer *w, const char *key, double value, enum origin origin)
{
    char text[VLM_REAL_TEXT_SIZE];
    put(w, key, vlm_real_text(text, value), origin, true);
}

static void put_flag(struct writer *w, const char *key, bool value, bool identity)
{
    put(w, key, value ? "true" : "false", value ? ORIGIN_GIVEN : ORIGIN_DEFAULT, identity);
}

static enum origin origin_of(bool is_given, enum origin otherwise)
{
    return is_given ? ORIGIN_GIVEN : otherwise;
}

/* ---- data ---- */

static void put_data(struct writer *w)
{
    const struct vlm_train_plan *plan = w->plan;
    const struct vlm_corpus_options *data = &plan->options->data;
    struct vlm_buffer mix = { 0 };
    for (size_t i = 0; i < data->n; i++) {
        if (i)
            vlm_buffer_byte(&mix, ',');
        for (const char *at = data->folder[i]; *at; at++) {
            if (strchr(",:\\", *at))
                vlm_buffer_byte(&mix, '\\');
            vlm_buffer_byte(&mix, (uint8_t)*at);
        }
        if (data->weight[i] > 0)
            vlm_buffer_printf(&mix, ":%.17g", data->weight[i]);
    }
    vlm_buffer_byte(&mix, 0);
    w->ini->failed = w->ini->failed || mix.failed;
    if (!mix.failed)
        put(w, "data", (const char *)mix.data, ORIGIN_GIVEN, false);
    vlm_buffer_release(&mix);
    for (size_t i = 0; i < vlm_corpus_sources(plan->corpus); i++) {
        const struct vlm_source_info *source = vlm_corpus_source(plan->corpus, i);
        char key[VALUE_SIZE], digest[2 * VLM_SHA256_SIZE + 1];
        vlm_hex(digest, source->digest, VLM_SHA256_SIZE);
        snprintf(key, sizeof(key), "data %zu", i);
        vlm_identity_add(&w->plan->identity, key, "%.*s, weight %.17g", DIGEST_DIGITS, digest,
                         data->weight[i]);
    }
    put_real(w, "validation", data->validation_share, ORIGIN_GIVEN);
}

static void put_tokenizers(struct writer *w)
{
    const struct vlm_train_plan *plan = w->plan;
    if (plan->options->tokenizer)
        put(w, "tokenizer", plan->options->tokenizer, ORIGIN_GIVEN, false);
    if (plan->options->image_tokenizer)
        put(w, "image-tokenizer", plan->options->image_tokenizer, ORIGIN_GIVEN, false);
    vlm_identity_add(&w->plan->identity, "tokenizer", "%s",
                     vlm_text_tokenizer_id(plan->vocabulary.tokenizer));
    vlm_identity_add(&w->plan->identity, "image-tokenizer", "%s",
                     plan->image_tokenizer_id[0] ? plan->image_tokenizer_id : "none");
}

/* ---- the model, steps, intervals ---- */

static void put_sizes(struct writer *w)
{
    const struct vlm_train_run_options *options = w->plan->options;
    const enum origin otherwise = w->plan->from ? ORIGIN_FOLDER : ORIGIN_PRESET;
    struct vlm_train_size sizes[VLM_TRAIN_SIZES];
    vlm_train_plan_sizes(sizes, w->plan);
    put(w, "preset", w->plan->preset->name, origin_of(options->preset, ORIGIN_DEFAULT), false);
    for (size_t i = 0; i < VLM_COUNTOF(sizes); i++)
        put_number(w, sizes[i].key, sizes[i].value, origin_of(sizes[i].option, otherwise), true);
    put_number(w, "block-size", w->plan->recipe.sampling.block,
               origin_of(options->block, otherwise), true);
    if (options->init_from)
        put(w, "init-from", options->init_from, ORIGIN_GIVEN, false);
}

static void put_optimisation(struct writer *w)
{
    const struct vlm_train_plan *plan = w->plan;
    const struct vlm_train_run_options *o = plan->options;
    const enum origin derived = plan->as_begun ? ORIGIN_BEGUN : ORIGIN_DEFAULT;
    char word[VALUE_SIZE];
    size_t n;
    put_number(w, "batch-size", plan->batch, origin_of(o->batch, ORIGIN_PRESET), true);
    put_number(w, "gradient-accumulation-steps", plan->accumulation,
               origin_of(o->accumulation, ORIGIN_PRESET), true);
    put_real(w, "learning-rate", plan->schedule.peak, origin_of(o->learning_rate, ORIGIN_PRESET));
    put_real(w, "min-lr", plan->schedule.floor, origin_of(o->min_rate, ORIGIN_DEFAULT));
    put(w, "schedule", plan->schedule_word, ORIGIN_GIVEN, true);
    put_real(w, "power", plan->schedule.power, origin_of(o->power, ORIGIN_DEFAULT));
    put_number(w, "max-iters", plan->steps, origin_of(o->max_steps, ORIGIN_DEFAULT), false);
    put_number(w, "warmup-iters", plan->warmup, origin_of(o->warmup >= 0, derived), true);
    put_number(w, "lr-decay-iters", plan->decay_steps, origin_of(o->decay_steps, derived), true);
    put_real(w, "weight-decay", plan->adam.decay, origin_of(o->weight_decay, ORIGIN_DEFAULT));
    put_real(w, "beta1", plan->adam.beta1, origin_of(o->beta1, ORIGIN_DEFAULT));
    put_real(w, "beta2", plan->adam.beta2, origin_of(o->beta2, ORIGIN_DEFAULT));
    put_real(w, "grad-clip", plan->adam.clip_norm, origin_of(o->grad_clip, ORIGIN_DEFAULT));
    put(w, "dtype", o->bf16 ? "bf16" : "fp32", ORIGIN_GIVEN, true);
    put_flag(w, "recompute", o->recompute, false);
    put_flag(w, "overfit", o->overfit, true);
    const char *on_spike = vlm_word_list_at(VLM_ON_SPIKE_WORDS, (size_t)o->on_bad, &n);
    snprintf(word, sizeof(word), "%.*s", (int)n, on_spike);
    put(w, "on-spike", word, ORIGIN_GIVEN, false);
}

static void put_intervals(struct writer *w)
{
    const struct vlm_train_run_options *o = w->plan->options;
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        { "eval-interval", o->eval_interval },
        { "eval-documents", o->eval_documents },
        { "checkpoint-interval", o->checkpoint_interval },
        { "sample-interval", o->sample_interval },
        { "log-interval", o->log_interval },
        { "keep", o->keep },
        { "keep-every", o->keep_every },
    };
    for (size_t i = 0; i < VLM_COUNTOF(numbers); i++)
        put_number(w, numbers[i].key, (uint64_t)numbers[i].value, ORIGIN_GIVEN, false);
    put_number(w, "seed", o->seed, ORIGIN_GIVEN, true);
}

/* The recipe as the run has it: its sections stand over what its name stands for. */
static void put_recipe(struct writer *w)
{
    uint8_t digest[VLM_SHA256_SIZE];
    char digits[2 * VLM_SHA256_SIZE + 1];
    struct vlm_buffer *ini = w->ini;
    vlm_buffer_byte(ini, '\n');
    const size_t begin = ini->size;
    vlm_recipe_write(ini, &w->plan->recipe);
    if (ini->failed)
        return;
    vlm_sha256(digest, ini->data + begin, ini->size - begin);
    vlm_hex(digits, digest, VLM_SHA256_SIZE);
    vlm_identity_add(&w->plan->identity, "recipe", "%s, %.*s", w->plan->recipe.name, DIGEST_DIGITS,
                     digits);
}

int vlm_train_plan_resolve(struct vlm_train_plan *plan, struct vlm_err *err)
{
    const struct vlm_train_run_options *options = plan->options;
    struct writer w = { .plan = plan, .ini = &plan->config_ini };
    vlm_buffer_reset(w.ini);
    plan->identity.n = 0;
    vlm_buffer_text(w.ini, "; vlm-train " VLM_VERSION
                           ": every option of this run; -c with this file gives it again\n"
                           "[train]\n");
    put(&w, "output", options->output, ORIGIN_GIVEN, false);
    put_tokenizers(&w); /* before data: of all that differs, a checkpoint names the first */
    put_data(&w);
    put(&w, "recipe", options->recipe ? options->recipe : plan->recipe.name,
        origin_of(options->recipe, ORIGIN_DEFAULT), false);
    put_sizes(&w);
    put_optimisation(&w);
    put_intervals(&w);
    put_recipe(&w);
    return w.ini->failed ? vlm_fail(err, VLM_ENOMEM, "no memory for a configuration") : VLM_OK;
}
