/* test_train.c - training runs on small made-up sets: what is learned, that results depend on nothing but
 * options and data, and what happens when a step goes wrong. */
#include "base/vlm.h"

#include "tests/corpus_fixture.h"
#include "tests/folder_fixture.h"
#include "trainer/run/run_internal.h"

#include <math.h>

#include <cmocka.h>

static char *shards, *other; /* the second with codes of another tokenizer */
static char *tokenizer;      /* of text: bytes, so that models are small */

static int set_up(void **state)
{
    if (make_test_folder(state))
        return -1;
    struct vlm_text_tokenizer *bytes = fixture_tokenizer(true);
    struct vlm_err err = { 0 };
    tokenizer = test_path("tokenizer.json");
    if (vlm_text_tokenizer_save(bytes, tokenizer, &err))
        return -1;
    vlm_text_tokenizer_close(bytes);
    shards = test_path("shards");
    other = test_path("other");
    write_corpus(shards, &(struct corpus_set){
                             .name = "train", .parts = 2, .documents = 40, .coded = true });
    write_corpus(
        other,
        &(struct corpus_set){
            .name = "else", .parts = 1, .documents = 12, .coded = true, .tokenizer = "pca-else" });
    return 0;
}

static int tear_down(void **state)
{
    free(shards);
    free(other);
    free(tokenizer);
    return remove_test_folder(state);
}

/* A model of one small layer; some steps of two micro-batches. */
static struct vlm_train_run_options small_run(const char *output)
{
    return (struct vlm_train_run_options){
        .data = { .folder = { shards }, .n = 1, .validation_share = 0.1 },
        .output = output,
        .tokenizer = tokenizer,
        .layers = 1,
        .width = 32,
        .heads = 2,
        .block = 384,
        .batch = 1,
        .accumulation = 2,
        .max_steps = 6,
        .decay_steps = 6,
        .warmup = 1,
        .learning_rate = "0.01",
        .eval_interval = 3,
        .eval_documents = 2,
        .log_interval = 1,
        .checkpoint_interval = 2,
        .keep = 2,
        .threads = 1,
        .seed = 3,
        .progress = VLM_PROGRESS_NONE,
        .quiet = true,
    };
}

static void assert_ok(int rc, const struct vlm_err *err)
{
    if (rc != VLM_OK)
        print_error("%s\n", err->msg);
    assert_int_equal(rc, VLM_OK);
}

static void train(const struct vlm_train_run_options *options)
{
    struct vlm_err err = { 0 };
    struct vlm_buffer report = { 0 };
    assert_ok(vlm_train_run_start(options, &report, &err), &err);
    vlm_buffer_release(&report);
}

static int refused(const struct vlm_train_run_options *options, const char *words)
{
    struct vlm_err err = { 0 };
    struct vlm_buffer report = { 0 };
    int rc = vlm_train_run_start(options, &report, &err);
    if (!strstr(err.msg, words))
        print_error("'%s' is not in: %s\n", words, err.msg);
    assert_non_null(strstr(err.msg, words));
    vlm_buffer_release(&report);
    return rc;
}

static bool same_file(const char *a, const char *b, const char *name)
{
    struct vlm_buffer text[2] = { { 0 }, { 0 } };
    const char *folder[2] = { a, b };
    struct vlm_err err = { 0 };
    for (size_t i = 0; i < 2; i++) {
        char *path = vlm_path_join(folder[i], name);
        assert_ok(vlm_file_read(&text[i], path, VLM_GIB, &err), &err);
        free(path);
    }
    const bool same = text[0].size == text[1].size && text[0].size > 0 &&
                      !memcmp(text[0].data, text[1].data, text[0].size);
    vlm_buffer_release(&text[0]);
    vlm_buffer_release(&text[1]);
    return same;
}

static bool holds(const char *folder, const char *name, const char *words)
{
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    char *path = vlm_path_join(folder, name);
    assert_ok(vlm_file_read(&text, path, VLM_GIB, &err), &err);
    const bool found = memmem(text.data, text.size, words, strlen(words));
    vlm_buffer_release(&text);
    free(path);
    return found;
}

static void begin(struct vlm_train_plan *plan, struct vlm_stepper *stepper,
                  const struct vlm_train_run_options *options)
{
    struct vlm_err err = { 0 };
    assert_ok(vlm_train_plan_make(plan, options, &err), &err);
    assert_ok(vlm_stepper_init(stepper, plan, &err), &err);
    assert_ok(vlm_stepper_seek(stepper, &err), &err);
}

static void step(struct vlm_stepper *stepper)
{
    struct vlm_err err = { 0 };
    assert_ok(vlm_stepper_step(stepper, &err), &err);
}

/* Entropy in nats of the text targets of the last step, each by itself. */
static double unigram_entropy(const struct vlm_stepper *stepper)
{
    const size_t size = stepper->plan->vocabulary.size;
    uint32_t *count = calloc(size, sizeof(*count));
    double n = 0, sum = 0;
    assert_non_null(count);
    for (size_t i = 0; i < stepper->n_batch; i++)
        for (size_t k = 0; k < stepper->batch[i].rows.n; k++)
            if (stepper->batch[i].modality[k] == VLM_MODALITY_TEXT) {
                count[stepper->batch[i].targets[k]]++;
                n++;
            }
    for (size_t i = 0; i < size; i++)
        if (count[i])
            sum -= count[i] / n * log(count[i] / n);
    free(count);
    return sum;
}

/* Every recipe goes through the same code; what is seen again and again is learned by heart. */
static void each_recipe_learns(void **state)
{
    (void)state;
    static const char *const recipes[] = { "cm3", "cm3-modern", "lm", "captioner" };
    for (size_t i = 0; i < VLM_COUNTOF(recipes); i++) {
        char *output = test_path(recipes[i]);
        struct vlm_train_run_options options = small_run(output);
        struct vlm_train_plan plan;
        struct vlm_stepper stepper;
        options.recipe = recipes[i];
        options.overfit = true;
        options.accumulation = 1;
        options.learning_rate = "0.02";
        options.max_steps = options.decay_steps = 45;
        options.block = strcmp(options.recipe, "captioner") ? 384 : 64;
        begin(&plan, &stepper, &options);
        step(&stepper);
        const double first = stepper.last.loss;
        for (size_t k = 1; k < 45; k++)
            step(&stepper);
        assert_true(first > 4 && stepper.last.loss < first - 1);
        assert_true(stepper.last.loss_of[VLM_MODALITY_TEXT] < unigram_entropy(&stepper));
        vlm_stepper_release(&stepper);
        vlm_train_plan_release(&plan);
        free(output);
    }
}

static void threads_change_nothing(void **state)
{
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        char *one = test_path(bf16 ? "bf16-1" : "threads-1");
        char *two = test_path(bf16 ? "bf16-2" : "threads-2");
        struct vlm_train_run_options options = small_run(one);
        options.bf16 = bf16;
        train(&options);
        options.output = two;
        options.threads = options.loader_threads = 2;
        train(&options);
        assert_true(same_file(one, two, "metrics.jsonl"));
        assert_true(same_file(one, two, "model/model.safetensors"));
        assert_true(same_file(one, two, "checkpoints/step-6/optimizer.safetensors"));
        free(one);
        free(two);
    }
}

/* In two parts, with another number of threads, and a last line that was cut off. */
static void a_run_in_parts_is_the_same_run(void **state)
{
    (void)state;
    char *whole = test_path("whole"), *parts = test_path("parts");
    struct vlm_train_run_options options = small_run(whole);
    options.checkpoint_interval = 3;
    train(&options);
    options.output = parts;
    options.max_steps = 3;
    train(&options);
    append_file(parts, "metrics.jsonl", "{\"step\": 4, \"loss\": 1}\n{\"step\": 5, \"lo");
    options.max_steps = 6;
    options.threads = 2;
    train(&options);
    assert_true(same_file(whole, parts, "metrics.jsonl"));
    assert_true(same_file(whole, parts, "model/model.safetensors"));
    assert_true(same_file(whole, parts, "checkpoints/step-6/trainer_state.json"));
    free(whole);
    free(parts);
}

/* What a recipe freezes stays as it was, also when a run goes on. */
static void frozen_parameters_stay(void **state)
{
    (void)state;
    static const char *const settings[] = { "train.freeze=trunk.*", "train.train=trunk.norm.*" };
    char *output = test_path("frozen");
    struct vlm_train_run_options options = small_run(output);
    struct vlm_train_plan plan;
    struct vlm_stepper stepper;
    struct vlm_model_folder *folder;
    struct vlm_err err = { 0 };
    options.settings = settings;
    options.n_settings = VLM_COUNTOF(settings);
    options.max_steps = 2;
    train(&options);
    options.max_steps = 4;
    train(&options);
    begin(&plan, &stepper, &options); /* the first weights */
    char *path = vlm_path_join(output, "model");
    assert_ok(vlm_model_folder_open(&folder, path, VLM_FOLDER_BARE, &err), &err);
    free(path);
    for (size_t i = 0; i < stepper.model.n; i++) {
        const char *name = stepper.model.parameters[i].name;
        const struct vlm_tensor *first = &stepper.model.tensors[i];
        const bool stays = !strncmp(name, "trunk.0.", 8) || !strcmp(name, "embed.positions.weight");
        const size_t bytes = vlm_tensor_count(first) * sizeof(float);
        assert_int_equal(stays, !memcmp(first->data, folder->model.tensors[i].data, bytes));
    }
    vlm_stepper_release(&stepper);
    vlm_train_plan_release(&plan);
    vlm_model_folder_close(folder);
    free(output);
}

/* From a captioner to a model without an encoder: trunk and sizes come from there, the encoder does not. */
static void a_model_may_begin_from_another(void **state)
{
    (void)state;
    char *first = test_path("first"), *second = test_path("second");
    char *from = vlm_path_join(first, "model"), *model = vlm_path_join(second, "model");
    struct vlm_train_run_options options = small_run(first);
    struct vlm_model_folder *folder;
    struct vlm_err err = { 0 };
    options.recipe = "captioner";
    options.max_steps = options.decay_steps = 2;
    train(&options);
    options.output = second;
    options.recipe = "lm";
    options.init_from = from;
    options.layers = 2;
    assert_int_equal(refused(&options, "option '--n-layer' is 2, but"), VLM_EUSAGE);
    options.layers = options.width = options.heads = 0;
    train(&options);
    assert_ok(vlm_model_folder_open(&folder, model, VLM_FOLDER_BARE, &err), &err);
    assert_null(folder->model.config.encoder);
    assert_int_equal(folder->model.config.layers, 1);
    assert_int_equal(folder->model.config.sizes.width, 32);
    assert_true(holds(second, "config.resolved.ini", "n-embd = 32 ; init-from"));
    vlm_model_folder_close(folder);
    free(from);
    free(model);
    free(first);
    free(second);
}

static void recomputing_changes_nothing(void **state)
{
    (void)state;
    char *kept = test_path("kept"), *again = test_path("again");
    struct vlm_train_run_options options = small_run(kept);
    train(&options);
    options.output = again;
    options.recompute = true;
    train(&options);
    assert_true(same_file(kept, again, "model/model.safetensors"));
    assert_true(same_file(kept, again, "metrics.jsonl"));
    free(kept);
    free(again);
}

/* Gradients of the micro-batches alone, each a mean over its own weights, into sum with their shares. */
static void add_alone(struct vlm_stepper *stepper, const struct vlm_batch *batch, double weight_sum,
                      double *sum)
{
    struct vlm_err err = { 0 };
    struct vlm_model *model = &stepper->model;
    const struct vlm_targets targets = { .ids = batch->targets,
                                         .weights = batch->weights,
                                         .weight_sum = batch->weight_sum };
    vlm_optimizer_clear(&stepper->optimizer);
    struct vlm_tensor *loss = vlm_model_loss(&stepper->tape, model, &batch->rows, &targets, 0);
    assert_ok(vlm_backward(&stepper->tape, loss, &err), &err);
    vlm_tape_reset(&stepper->tape);
    for (size_t i = 0; i < model->count; i++)
        sum[i] += batch->weight_sum / weight_sum * (double)model->grads[i];
}

static void micro_batches_add_up(void **state)
{
    (void)state;
    char *output = test_path("unused");
    struct vlm_train_run_options options = small_run(output);
    struct vlm_train_plan plan;
    struct vlm_stepper stepper;
    double weights = 0, square = 0, difference = 0;
    options.accumulation = 3;
    begin(&plan, &stepper, &options);
    const size_t count = stepper.model.count;
    float *values = malloc(count * sizeof(*values)), *grads = malloc(count * sizeof(*grads));
    double *sum = calloc(count, sizeof(*sum));
    assert_true(values && grads && sum);
    memcpy(values, stepper.model.values, count * sizeof(*values));
    step(&stepper);
    assert_int_equal(stepper.n_batch, 3);
    memcpy(grads, stepper.model.grads, count * sizeof(*grads));
    memcpy(stepper.model.values, values, count * sizeof(*values));
    for (size_t i = 0; i < 3; i++)
        weights += stepper.batch[i].weight_sum;
    for (size_t i = 0; i < 3; i++)
        add_alone(&stepper, &stepper.batch[i], weights, sum);
    for (size_t i = 0; i < count; i++) {
        square += sum[i] * sum[i];
        difference += (sum[i] - (double)grads[i]) * (sum[i] - (double)grads[i]);
    }
    assert_true(square > 0 && difference < 1e-10 * square);
    assert_true(fabs(sqrt(square) - stepper.last.norm) < 1e-4 * stepper.last.norm);
    free(values);
    free(grads);
    free(sum);
    vlm_stepper_release(&stepper);
    vlm_train_plan_release(&plan);
    free(output);
}

/* ---- steps that go wrong ---- */

struct trouble {
    uint64_t first, last; /* batches whose loss is no number */
    size_t steps;         /* that were spoiled */
};

static void spoil(struct vlm_stepper *stepper, double *loss, void *context)
{
    struct trouble *trouble = context;
    if (stepper->state.batches < trouble->first || stepper->state.batches > trouble->last)
        return;
    *loss = NAN;
    trouble->steps++;
}

static void a_bad_step_changes_no_weight(void **state)
{
    (void)state;
    char *output = test_path("unused");
    struct vlm_train_run_options options = small_run(output);
    struct vlm_train_plan plan;
    struct vlm_stepper stepper;
    struct trouble trouble = { .first = 1, .last = 1 };
    begin(&plan, &stepper, &options);
    stepper.disturbance = (struct vlm_train_disturbance){ spoil, &trouble };
    step(&stepper);
    const size_t bytes = stepper.model.count * sizeof(float);
    float *before = malloc(bytes);
    assert_non_null(before);
    memcpy(before, stepper.model.values, bytes);
    step(&stepper);
    assert_int_equal(stepper.last.verdict, VLM_GUARD_SKIP);
    assert_memory_equal(before, stepper.model.values, bytes);
    assert_int_equal(stepper.state.step, 2);
    assert_int_equal(stepper.state.updates, 1);
    assert_int_equal(stepper.n_bad, 1);
    assert_int_equal(stepper.bad[0].batch, 1);
    assert_true(strlen(stepper.bad[0].ids) >= 32);
    step(&stepper);
    assert_int_equal(stepper.last.verdict, VLM_GUARD_ACCEPT);
    assert_int_equal(stepper.n_bad, 0);
    assert_memory_not_equal(before, stepper.model.values, bytes);
    free(before);
    vlm_stepper_release(&stepper);
    vlm_train_plan_release(&plan);
    free(output);
}

static int run_with(const struct vlm_train_run_options *options, struct trouble *trouble,
                    struct vlm_err *err)
{
    const struct vlm_train_disturbance disturbance = { spoil, trouble };
    struct vlm_buffer report = { 0 };
    struct vlm_train_plan plan;
    assert_ok(vlm_train_plan_make(&plan, options, err), err);
    int rc = vlm_train_carry_out(&plan, &disturbance, &report, err);
    vlm_train_plan_release(&plan);
    vlm_buffer_release(&report);
    return rc;
}

/* Three bad batches: to the last checkpoint, or to the beginning where there is none, and past them. */
static void bad_batches_are_left_out(void **state)
{
    (void)state;
    static const int64_t intervals[] = { 2, 0 };
    for (size_t i = 0; i < VLM_COUNTOF(intervals); i++) {
        char *output = test_path(i ? "anew" : "back");
        struct vlm_train_run_options options = small_run(output);
        struct trouble trouble = { .first = 3, .last = 5 };
        struct vlm_err err = { 0 };
        options.max_steps = options.decay_steps = 8;
        options.checkpoint_interval = intervals[i];
        assert_ok(run_with(&options, &trouble, &err), &err);
        assert_int_equal(trouble.steps, 3);
        assert_true(holds(output, "metrics.jsonl", "\"verdict\": \"roll-back\""));
        assert_true(holds(output, "metrics.jsonl", i ? "\"to\": 0" : "\"to\": 2"));
        assert_true(holds(output, "checkpoints/step-8/trainer_state.json", "\"roll_backs\": 1"));
        assert_true(holds(output, "checkpoints/step-8/trainer_state.json", "\"step\": 8"));
        free(output);
    }
}

static void a_run_that_does_not_recover_says_so(void **state)
{
    (void)state;
    char *output = test_path("hopeless");
    struct vlm_train_run_options options = small_run(output);
    struct trouble trouble = { .first = 3, .last = UINT64_MAX };
    struct vlm_err err = { 0 };
    options.max_steps = options.decay_steps = 20;
    assert_int_equal(run_with(&options, &trouble, &err), VLM_EFAIL);
    assert_non_null(strstr(err.msg, "3 roll-backs were in vain"));
    assert_non_null(strstr(err.msg, "loss nan"));
    assert_non_null(strstr(err.msg, "documents"));
    assert_int_equal(trouble.steps, 12);
    options.on_bad = 1;
    options.output = test_path("hopeless-stop");
    trouble.steps = 0;
    assert_int_equal(run_with(&options, &trouble, &err), VLM_EFAIL);
    assert_non_null(strstr(err.msg, "--on-spike stop"));
    assert_int_equal(trouble.steps, 3);
    free((char *)options.output);
    free(output);
}

/* ---- what is refused ---- */

static void what_cannot_be_is_refused_before_anything_is_written(void **state)
{
    (void)state;
    char *output = test_path("refused");
    struct vlm_train_run_options options = small_run(output);
    options.memory = 1 << 20;
    assert_int_equal(refused(&options, "are available (--memory)"), VLM_ELIMIT);
    options = small_run(output);
    options.preset = "13b";
    options.layers = options.width = options.heads = 0;
    assert_int_equal(refused(&options, "gradients"), VLM_ELIMIT);
    options = small_run(output);
    options.heads = 5;
    assert_int_equal(refused(&options, "32"), VLM_EUSAGE);
    options = small_run(output);
    options.learning_rate = "fast";
    assert_int_equal(refused(&options, "--learning-rate"), VLM_EUSAGE);
    options = small_run(output);
    options.resume = VLM_RESUME_MUST;
    assert_int_equal(refused(&options, "no checkpoint"), VLM_EUSAGE);
    options = small_run(output);
    options.data.folder[options.data.n++] = other;
    assert_int_equal(refused(&options, "pca-else"), VLM_EUSAGE);
    assert_int_equal(access(output, F_OK), -1);
    free(output);
}

/* Another set of documents, another size: not this run any more. */
static void a_checkpoint_of_another_run_is_refused(void **state)
{
    (void)state;
    char *output = test_path("mine");
    struct vlm_train_run_options options = small_run(output);
    options.max_steps = 1;
    train(&options);
    options.data.folder[0] = other;
    assert_int_equal(refused(&options, "pca-else"), VLM_EUSAGE);
    options = small_run(output);
    options.width = 64;
    assert_int_equal(refused(&options, "n-embd"), VLM_EUSAGE);
    options = small_run(output);
    options.resume = VLM_RESUME_NEVER;
    assert_int_equal(refused(&options, "holds a run already"), VLM_EUSAGE);
    assert_true(holds(output, "model/config.json", "\"n_embd\": 32"));
    free(output);
}

/* ---- evaluation ---- */

static void bytes_are_counted(void **state)
{
    (void)state;
    struct vlm_text_tokenizer *text_tokenizer;
    struct vlm_vocabulary vocabulary;
    struct vlm_err err = { 0 };
    uint32_t *bytes;
    assert_ok(vlm_text_tokenizer_open(&text_tokenizer, NULL, &err), &err);
    assert_ok(vlm_vocabulary_init(&vocabulary, text_tokenizer,
                                  &(struct vlm_vocabulary_options){ .n_codes = 8 }, &err),
              &err);
    assert_ok(vlm_vocabulary_bytes(&bytes, &vocabulary, &err), &err);
    for (uint32_t id = 0; id < vocabulary.size; id++) {
        struct vlm_buffer text = { 0 };
        const bool plain = id < vocabulary.n_text && !vlm_vocabulary_is_control(&vocabulary, id) &&
                           vlm_vocabulary_mask_number(&vocabulary, id) < 0;
        if (plain)
            assert_ok(vlm_text_decode(text_tokenizer, &text, &id, 1, 0, &err), &err);
        assert_int_equal(bytes[id], text.size);
        vlm_buffer_release(&text);
    }
    free(bytes);
    vlm_text_tokenizer_close(text_tokenizer);
}

static void sums_are_over_what_counts(void **state)
{
    (void)state;
    const uint32_t targets[] = { 1, 2, 3, 4, VLM_ROW_NO_TARGET };
    const float weights[] = { 1, 1, 0, 0.5F, 0 }, losses[] = { 2, 4, 100, 3, 7 };
    const uint8_t modality[] = { VLM_MODALITY_TEXT, VLM_MODALITY_TEXT, VLM_MODALITY_TEXT,
                                 VLM_MODALITY_IMAGE, VLM_ROW_NO_TARGET };
    const uint32_t bytes[] = { 0, 3, 5, 1000, 1000 };
    const struct vlm_batch batch = { .rows = { .n = 5 },
                                     .targets = targets,
                                     .weights = weights,
                                     .modality = modality,
                                     .weight_sum = 2.5,
                                     .samples = 1,
                                     .documents = 1 };
    struct vlm_evaluation_sums sums = { 0 };
    struct vlm_buffer text = { 0 };
    struct vlm_json json = { .out = &text };
    vlm_evaluation_sums_add(&sums, &batch, losses, bytes);
    assert_int_equal(sums.tokens[VLM_MODALITY_TEXT], 2);
    assert_int_equal(sums.bytes, 8);
    assert_true(vlm_evaluation_sums_loss(&sums, VLM_MODALITY_TEXT) == 3);
    assert_true(isnan(vlm_evaluation_sums_loss(&sums, VLM_MODALITY_MARKUP)));
    vlm_json_open(&json, '{');
    vlm_evaluation_sums_write(&json, &sums);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(&text, 0);
    /* (2 + 4 + 3/2) / 2.5; 6 nats of 8 bytes; 3 nats a code */
    assert_string_equal((const char *)text.data,
                        "{\"documents\": 1, \"samples\": 1, \"loss\": 3, \"loss_text\": 3, "
                        "\"loss_markup\": null, \"loss_image\": 3, \"bits_per_byte\": 1.08202, "
                        "\"bits_per_image\": 1107.99, \"unigram_text\": null, "
                        "\"unigram_markup\": null, \"unigram_image\": null}");
    vlm_buffer_release(&text);
}

/* Of all text targets of a split that is one batch, beside the same from its arrays. */
static void unigrams_are_those_of_the_targets(void **state)
{
    (void)state;
    char *output = test_path("unigrams");
    struct vlm_train_run_options options = small_run(output);
    struct vlm_train_plan plan;
    struct vlm_stepper stepper;
    struct vlm_loader *loader;
    struct vlm_evaluation_sums sums;
    struct vlm_err err = { 0 };
    uint32_t *bytes;
    options.accumulation = 1;
    options.batch = 8;
    begin(&plan, &stepper, &options);
    step(&stepper);
    assert_ok(vlm_vocabulary_bytes(&bytes, &plan.vocabulary, &err), &err);
    struct vlm_loader_options all = vlm_train_plan_loader(&plan, VLM_SPLIT_ALL, 1);
    assert_ok(vlm_loader_new(&loader, plan.corpus, &all, &(struct vlm_place){ 0 }, &err), &err);
    assert_ok(vlm_evaluate_model(&sums, &stepper.tape, &stepper.model, loader, bytes, &err), &err);
    vlm_loader_free(loader);
    assert_ok(vlm_loader_new(&loader, plan.corpus, &all, &(struct vlm_place){ 0 }, &err), &err);
    struct vlm_batch batch;
    assert_ok(vlm_loader_next(loader, &batch, &err), &err);
    assert_ok(vlm_batch_copy(&stepper.batch[0], &batch, &err), &err);
    assert_int_equal(vlm_loader_next(loader, &batch, &err), VLM_EOF);
    const double expected = unigram_entropy(&stepper);
    assert_true(expected > 1);
    assert_true(fabs(sums.unigram[VLM_MODALITY_TEXT] - expected) < 1e-9);
    vlm_loader_free(loader);
    free(bytes);
    vlm_stepper_release(&stepper);
    vlm_train_plan_release(&plan);
    free(output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unigrams_are_those_of_the_targets),
        cmocka_unit_test(each_recipe_learns),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(a_run_in_parts_is_the_same_run),
        cmocka_unit_test(frozen_parameters_stay),
        cmocka_unit_test(a_model_may_begin_from_another),
        cmocka_unit_test(recomputing_changes_nothing),
        cmocka_unit_test(micro_batches_add_up),
        cmocka_unit_test(a_bad_step_changes_no_weight),
        cmocka_unit_test(bad_batches_are_left_out),
        cmocka_unit_test(a_run_that_does_not_recover_says_so),
        cmocka_unit_test(what_cannot_be_is_refused_before_anything_is_written),
        cmocka_unit_test(a_checkpoint_of_another_run_is_refused),
        cmocka_unit_test(bytes_are_counted),
        cmocka_unit_test(sums_are_over_what_counts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
