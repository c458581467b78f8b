/* test_vq_train.c - whole runs of training on a few painted pictures: learning, going on after a stop bit
 * for bit, what is refused, and the model that is left behind. */
#include "base/vlm.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/random.h"
#include "vqgan/train/quality.h"
#include "vqgan/train/train.h"
#include "vqgan/train/vq_trainer.h"

/* ---- pictures and runs ---- */

/* A gradient with some rectangles. */
static void paint(uint8_t square[VLM_SQUARE_BYTES], uint64_t number)
{
    struct vlm_random random = vlm_random_at(11, 1, number);
    int64_t slope[3], base[3];
    for (size_t c = 0; c < 3; c++) {
        slope[c] = vlm_random_between(&random, -60, 60);
        base[c] = vlm_random_between(&random, 70, 180);
    }
    for (size_t i = 0; i < VLM_SQUARE_BYTES; i++)
        square[i] = (uint8_t)(base[i % 3] + slope[i % 3] * (int64_t)(i / 3 % 256) / 256);
    for (size_t n = 0; n < 6; n++) {
        size_t x = vlm_random_below(&random, 200), y = vlm_random_below(&random, 200);
        size_t side = 20 + vlm_random_below(&random, 36);
        uint64_t color = vlm_random_next(&random);
        for (size_t r = y; r < y + side; r++)
            for (size_t i = x * 3; i < (x + side) * 3; i++)
                square[r * 768 + i] = (uint8_t)(color >> 8 * (i % 3));
    }
}

static int read_painted(const struct vlm_pictures *pictures, bool held_out, size_t number,
                        uint8_t square[VLM_SQUARE_BYTES], struct vlm_err *err)
{
    const size_t *broken = pictures->context;
    if (broken && number == *broken)
        return vlm_fail(err, VLM_EFORMAT, "picture %zu is broken", number);
    paint(square, number + (held_out ? 1000 : 0));
    return VLM_OK;
}

static const struct vlm_pictures painted = { .train = 6, .held_out = 3, .read = read_painted };

/* A run so small that a step takes a few milliseconds. */
static struct vlm_train_options small_run(const char *name, char path[80])
{
    snprintf(path, 80, "%s/%s", test_folder, name);
    return (struct vlm_train_options){ .kind = VLM_TRAIN_VQ_XS,
                                       .output = path,
                                       .codes = 32,
                                       .threads = 2,
                                       .seed = 4,
                                       .steps = 16,
                                       .batch = 2,
                                       .eval_interval = 8,
                                       .checkpoint_interval = 16,
                                       .progress = VLM_PROGRESS_NONE };
}

static int run(const struct vlm_pictures *pictures, const struct vlm_train_options *options,
               struct vlm_buffer *report, struct vlm_err *err)
{
    struct vlm_buffer own = { 0 };
    int rc = vlm_train_vq(pictures, options, report ? report : &own, err);
    vlm_buffer_release(&own);
    return rc;
}

static void must_run(const struct vlm_train_options *options, struct vlm_buffer *report)
{
    struct vlm_err err = { 0 };
    if (run(&painted, options, report, &err) != VLM_OK)
        fail_msg("%s", err.msg);
}

static struct vlm_buffer contents(const char *path, const char *name)
{
    struct vlm_buffer buffer = { 0 };
    struct vlm_err err = { 0 };
    char *whole = vlm_path_join(path, name);
    if (vlm_file_read(&buffer, whole, 1 << 28, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    free(whole);
    return buffer;
}

static void check_same(const char *a, const char *b, const char *name)
{
    struct vlm_buffer x = contents(a, name), y = contents(b, name);
    if (x.size != y.size || memcmp(x.data, y.data, x.size))
        fail_msg("%s/%s and %s/%s differ", a, name, b, name);
    vlm_buffer_release(&x);
    vlm_buffer_release(&y);
}

static double member(const struct vlm_buffer *text, const char *key)
{
    json_object *root = NULL, *value = NULL;
    struct vlm_err err = { 0 };
    if (vlm_json_parse(&root, (const char *)text->data, text->size, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    if (!json_object_object_get_ex(root, key, &value))
        fail_msg("no \"%s\" in %.*s", key, (int)text->size, text->data);
    double number = json_object_get_double(value);
    json_object_put(root);
    return number;
}

/* ---- going on ---- */

/* Asks to stop when it has been asked for pictures so many times. */
struct stopper {
    struct vlm_pictures pictures;
    int reads, at;
    volatile sig_atomic_t flag;
};

static int read_and_count(const struct vlm_pictures *pictures, bool held_out, size_t number,
                          uint8_t square[VLM_SQUARE_BYTES], struct vlm_err *err)
{
    struct stopper *stopper = pictures->context;
    struct vlm_pictures plain = painted;
    if (!held_out && __atomic_add_fetch(&stopper->reads, 1, __ATOMIC_SEQ_CST) == stopper->at)
        stopper->flag = 1;
    return read_painted(&plain, held_out, number, square, err);
}

static int run_until(struct vlm_train_options options, int reads, struct vlm_err *err)
{
    struct stopper stopper = { .pictures = painted, .at = reads };
    stopper.pictures.read = read_and_count;
    stopper.pictures.context = &stopper;
    options.stop = &stopper.flag;
    return run(&stopper.pictures, &options, NULL, err);
}

/* Steps before and after the codebook is made, other threads, and a kill that leaves lines behind the
 * checkpoint: the same bytes as without. */
static void test_goes_on_bit_for_bit(void **state)
{
    (void)state;
    char one[80], parts[80];
    struct vlm_train_options whole = small_run("one", one), cut = small_run("parts", parts);
    struct vlm_err err = { 0 };
    whole.checkpoint_interval = cut.checkpoint_interval = 7;
    must_run(&whole, NULL);
    /* Two reads a step, but one batch is made ahead; k-means is made after step 2. */
    assert_int_equal(run_until(cut, 3, &err), VLM_ESTOPPED);
    assert_non_null(strstr(err.msg, "step 1 of 16"));
    struct vlm_tokenizer *tokenizer;
    assert_int_equal(vlm_tokenizer_open(&tokenizer, parts, VLM_PRECISION_EXACT, &err), VLM_OK);
    vlm_tokenizer_close(tokenizer);
    cut.threads = 1;
    assert_int_equal(run_until(cut, 16, &err), VLM_ESTOPPED);
    char *metrics = vlm_path_join(parts, "metrics.jsonl");
    FILE *file = fopen(metrics, "a");
    assert_non_null(file);
    fputs("{\"step\": 99, \"loss\"", file);
    fclose(file);
    free(metrics);
    must_run(&cut, NULL);
    check_same(one, parts, "metrics.jsonl");
    check_same(one, parts, "checkpoint.safetensors");
    check_same(one, parts, "model.safetensors");
    check_same(one, parts, "config.json");
    check_same(one, parts, "sheets/step-000016.png");
}

static void test_complete_run_only_reports(void **state)
{
    (void)state;
    char path[80];
    struct vlm_train_options options = small_run("complete", path);
    struct vlm_buffer first = { 0 }, second = { 0 };
    must_run(&options, &first);
    struct vlm_buffer before = contents(path, "metrics.jsonl");
    must_run(&options, &second);
    struct vlm_buffer after = contents(path, "metrics.jsonl");
    assert_int_equal(before.size, after.size);
    assert_true(member(&first, "psnr") == member(&second, "psnr"));
    assert_true(member(&second, "steps") == 16);
    vlm_buffer_release(&before);
    vlm_buffer_release(&after);
    vlm_buffer_release(&first);
    vlm_buffer_release(&second);
}

/* Every line is one JSON object with a step and a loss, in order; figures stand where they are due. */
static void test_metrics(void **state)
{
    (void)state;
    char path[80];
    struct vlm_train_options options = small_run("metrics", path);
    must_run(&options, NULL);
    struct vlm_buffer all = contents(path, "metrics.jsonl");
    static const double steps[] = { 8, 10, 16 };
    size_t lines = 0;
    for (uint8_t *line = all.data, *end;
         (end = memchr(line, '\n', (size_t)(all.data + all.size - line))); line = end + 1) {
        struct vlm_buffer one = { .data = line, .size = (size_t)(end - line) };
        assert_true(lines < VLM_COUNTOF(steps));
        assert_true(member(&one, "step") == steps[lines]);
        assert_true(isfinite(member(&one, "loss")) && member(&one, "loss") > 0);
        if (steps[lines] != 10)
            assert_true(member(&one, "psnr") > 5 && member(&one, "usage") > 0);
        lines++;
    }
    assert_int_equal(lines, VLM_COUNTOF(steps));
    vlm_buffer_release(&all);
}

/* ---- refusals ---- */

static void test_another_run_is_refused(void **state)
{
    (void)state;
    char path[80];
    struct vlm_train_options options = small_run("refused", path);
    struct vlm_err err = { 0 };
    struct vlm_pictures others = painted;
    must_run(&options, NULL);
    struct vlm_buffer before = contents(path, "checkpoint.safetensors");
    others.digest[0] = 1;
    assert_int_equal(run(&others, &options, NULL, &err), VLM_EUSAGE);
    options.seed = 5;
    assert_int_equal(run(&painted, &options, NULL, &err), VLM_EUSAGE);
    assert_non_null(strstr(err.msg, "checkpoint.safetensors"));
    options.seed = 4;
    options.kind = VLM_TRAIN_VQ_S;
    assert_int_equal(run(&painted, &options, NULL, &err), VLM_EUSAGE);
    struct vlm_buffer after = contents(path, "checkpoint.safetensors");
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, before.size);
    vlm_buffer_release(&before);
    vlm_buffer_release(&after);
}

/* While another holds the folder, nothing is written into it; then the run goes on. */
static void test_one_run_in_a_folder(void **state)
{
    (void)state;
    char path[80];
    struct vlm_err err = { 0 };
    struct vlm_train_options options = small_run("locked", path);
    assert_int_equal(vlm_folder_make(path, &err), VLM_OK);
    int other = open(path, O_RDONLY | O_DIRECTORY);
    assert_true(other >= 0 && flock(other, LOCK_EX | LOCK_NB) == 0);
    assert_int_equal(run(&painted, &options, NULL, &err), VLM_EFAIL);
    assert_non_null(strstr(err.msg, "another training"));
    close(other);
    must_run(&options, NULL);
}

static void test_damaged_checkpoint(void **state)
{
    (void)state;
    char path[80];
    struct vlm_train_options options = small_run("damaged", path);
    struct vlm_err err = { 0 };
    options.steps = 2;
    must_run(&options, NULL);
    char *name = vlm_path_join(path, "checkpoint.safetensors");
    struct vlm_buffer bytes = contents(path, "checkpoint.safetensors");
    static const double parts[] = { 0, 0.001, 0.3, 0.999999 };
    for (size_t i = 0; i < VLM_COUNTOF(parts); i++) {
        size_t n = (size_t)((double)bytes.size * parts[i]);
        assert_int_equal(vlm_file_write(name, bytes.data, n, &err), VLM_OK);
        assert_true(run(&painted, &options, NULL, &err) < 0);
        assert_non_null(strstr(err.msg, "checkpoint.safetensors"));
    }
    vlm_buffer_release(&bytes);
    free(name);
}

static void test_broken_pictures(void **state)
{
    (void)state;
    char path[80];
    struct vlm_train_options options = small_run("broken", path);
    struct vlm_err err = { 0 };
    size_t number = 3;
    struct vlm_pictures pictures = painted;
    pictures.context = &number;
    assert_int_equal(run(&pictures, &options, NULL, &err), VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "picture 3 is broken"));
    pictures.train = 0;
    assert_int_equal(run(&pictures, &options, NULL, &err), VLM_EUSAGE);
}

static void test_time_limit(void **state)
{
    (void)state;
    char path[80];
    struct vlm_train_options options = small_run("time", path);
    struct vlm_err err = { 0 };
    options.steps = 100000;
    options.time_limit = 0.2;
    assert_int_equal(run(&painted, &options, NULL, &err), VLM_ESTOPPED);
    struct vlm_tokenizer *tokenizer;
    assert_int_equal(vlm_tokenizer_open(&tokenizer, path, VLM_PRECISION_EXACT, &err), VLM_OK);
    vlm_tokenizer_close(tokenizer);
}

/* ---- one step ---- */

static void test_bad_batches_change_nothing(void **state)
{
    (void)state;
    enum { SIZE = 32, FLOATS = 2 * SIZE * SIZE * 3 };
    struct vlm_err err = { 0 };
    static float pixels[FLOATS];
    struct vlm_vq_trainer *t = calloc(1, sizeof(*t));
    assert_non_null(t);
    struct vlm_vq_shape shape = *vlm_vq_shape_named("vq-xs");
    shape.codes = 16;
    struct vlm_vq_recipe recipe = vlm_vq_recipe(&shape, 100, 2);
    const struct vlm_vq_batch batch = { .pixels = pixels, .count = 2, .size = SIZE };
    assert_int_equal(vlm_vq_trainer_init(t, &recipe, 1, &err), VLM_OK);
    assert_int_equal(vlm_vq_trainer_step(t, &batch, &err), VLM_OK);
    assert_int_equal(t->last.verdict, VLM_GUARD_ACCEPT);
    const struct vlm_tensor *weight = &t->model.encoder.stem.weight;
    size_t bytes = vlm_tensor_count(weight) * sizeof(float);
    float *before = malloc(bytes);
    assert_non_null(before);
    memcpy(before, weight->data, bytes);
    static const enum vlm_guard_verdict verdicts[] = { VLM_GUARD_SKIP, VLM_GUARD_SKIP,
                                                       VLM_GUARD_ROLL_BACK };
    for (size_t i = 0; i < VLM_COUNTOF(verdicts); i++) {
        pixels[5] = NAN;
        t->quantised = i == 1; /* latents with NaN have no code: the same verdict */
        assert_int_equal(vlm_vq_trainer_step(t, &batch, &err), VLM_OK);
        assert_int_equal(t->last.verdict, verdicts[i]);
        assert_memory_equal(before, weight->data, bytes);
        assert_int_equal(t->step, i + 2);
    }
    pixels[5] = 0;
    t->quantised = false;
    assert_int_equal(vlm_vq_trainer_step(t, &batch, &err), VLM_OK);
    assert_int_equal(t->last.verdict, VLM_GUARD_ACCEPT);
    assert_true(memcmp(before, weight->data, bytes));
    free(before);
    vlm_vq_trainer_release(t);
    free(t);
}

/* Few pictures are learned by heart: the whole of backpropagation, and the model as its users see it. */
static void test_learns_by_heart(void **state)
{
    (void)state;
    char path[80];
    struct vlm_train_options options = small_run("heart", path);
    struct vlm_pictures pictures = { .train = 1, .read = read_painted };
    struct vlm_buffer report = { 0 };
    struct vlm_err err = { 0 };
    options.overfit = true;
    options.codes = 64;
    options.steps = 60;
    options.eval_interval = options.checkpoint_interval = 60;
    if (run(&pictures, &options, &report, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    double psnr = member(&report, "psnr");
    assert_true(psnr > 20);

    static uint8_t square[VLM_SQUARE_BYTES], again[VLM_SQUARE_BYTES];
    uint16_t codes[VLM_CODES];
    struct vlm_tokenizer *tokenizer;
    struct vlm_coder *coder;
    if (vlm_tokenizer_open(&tokenizer, path, VLM_PRECISION_EXACT, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(vlm_tokenizer_info(tokenizer).kind, "vq-xs");
    assert_int_equal(vlm_tokenizer_info(tokenizer).codebook_size, 64);
    assert_int_equal(vlm_coder_new(&coder, tokenizer, 1, &err), VLM_OK);
    paint(square, 0);
    assert_int_equal(vlm_coder_encode(coder, codes, square, 1, &err), VLM_OK);
    assert_int_equal(vlm_coder_decode(coder, again, codes, 1, &err), VLM_OK);
    assert_true(fabs(vlm_psnr(square, again) - psnr) < 1e-3);
    vlm_coder_free(coder);
    vlm_tokenizer_close(tokenizer);
    vlm_buffer_release(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on_bit_for_bit),
        cmocka_unit_test(test_complete_run_only_reports),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_another_run_is_refused),
        cmocka_unit_test(test_one_run_in_a_folder),
        cmocka_unit_test(test_damaged_checkpoint),
        cmocka_unit_test(test_broken_pictures),
        cmocka_unit_test(test_time_limit),
        cmocka_unit_test(test_bad_batches_change_nothing),
        cmocka_unit_test(test_learns_by_heart),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
