/* test_checkpoint.c - checkpoints: exact, whole or passed over, never mixed, never of another run. */
#include "base/vlm.h"

#include "tests/checkpoint_fixture.h"

#include "nn/safetensors.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

#define CHECK(rc, err)                                                                             \
    do {                                                                                           \
        if ((rc) != VLM_OK)                                                                        \
            fail_msg("%s", (err).msg);                                                             \
    } while (0)

static struct fixture_run run;

/* ---- files ---- */

static char *in_run(const char *format, ...) VLM_PRINTF(1, 2);
static char *in_run(const char *format, ...)
{
    static char path[4][512];
    static unsigned next;
    char name[256];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    char *to = path[next++ % 4];
    snprintf(to, sizeof(path[0]), "%s/%s", run.folder, name);
    return to;
}

static bool is_there(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0;
}

static struct vlm_buffer bytes_of(const char *path)
{
    struct vlm_buffer buffer = { 0 };
    struct vlm_err err = { 0 };
    CHECK(vlm_file_read(&buffer, path, 1 << 24, &err), err);
    return buffer;
}

/* In place, without a rename: links see it too. */
static void put_bytes(const char *path, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    assert_true(n == 0 || write(fd, bytes, n) == (ssize_t)n);
    close(fd);
}

static void put_text(const char *path, const char *text)
{
    put_bytes(path, text, strlen(text));
}

static void save(uint64_t step)
{
    struct vlm_err err = { 0 };
    fixture_set(&run, step);
    CHECK(fixture_save(&run, &err), err);
}

static void load(uint64_t step)
{
    struct vlm_err err = { 0 };
    fixture_clear(&run);
    CHECK(fixture_load(&run, UINT64_MAX, &err), err);
    assert_int_equal(run.state.step, step);
    assert_true(fixture_is(&run, step));
}

/* How many entries of a folder of the run have a name that ends so. */
static size_t count_entries(const char *folder, const char *suffix)
{
    DIR *list = opendir(*folder ? in_run("%s", folder) : run.folder);
    size_t n = 0;
    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list));) {
        size_t a = strlen(entry->d_name), b = strlen(suffix);
        n += entry->d_name[0] != '.' && a >= b && !strcmp(entry->d_name + a - b, suffix);
    }
    closedir(list);
    return n;
}

static int begin(void **state)
{
    (void)state;
    test_folder = new_folder(fast_place());
    if (!test_folder)
        return -1;
    fixture_init(&run, test_folder);
    return 0;
}

static int end(void **state)
{
    fixture_release(&run);
    return remove_test_folder(state);
}

/* ---- tests ---- */

/* Of a model with parts that are not trained: they are in the weights and have no moments. */
static void models_of_all_recipes_come_back(void **state)
{
    static const char *const recipes[] = { "cm3-modern", "captioner", "lm" };
    static struct fixture_run other;
    char folder[300];
    struct vlm_err err = { 0 };
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(recipes); i++) {
        snprintf(folder, sizeof(folder), "%s", in_run("%s", recipes[i]));
        fixture_init_recipe(&other, folder, recipes[i]);
        CHECK(vlm_folder_make(folder, &err), err);
        fixture_set(&other, 4);
        CHECK(fixture_save(&other, &err), err);
        fixture_clear(&other);
        CHECK(fixture_load(&other, UINT64_MAX, &err), err);
        assert_true(fixture_is(&other, 4));
        fixture_release(&other);
    }
}

static void what_is_frozen_has_no_moments(void **state)
{
    static struct fixture_run other;
    static const char *const freeze[] = { "trunk.0.attention.*", "embed.tokens.weight" };
    struct vlm_safetensors *file;
    struct vlm_err err = { 0 };
    (void)state;
    fixture_init_frozen(&other, run.folder, "captioner", freeze, VLM_COUNTOF(freeze));
    fixture_set(&other, 4);
    CHECK(fixture_save(&other, &err), err);
    CHECK(vlm_safetensors_open(&file, in_run("checkpoints/step-4/optimizer.safetensors"), &err),
          err);
    assert_null(vlm_safetensors_find(file, "m.embed.tokens.weight"));
    assert_null(vlm_safetensors_find(file, "v.trunk.0.attention.qkv.weight"));
    assert_non_null(vlm_safetensors_find(file, "m.trunk.0.mlp.up.weight"));
    assert_non_null(vlm_safetensors_find(file, "average.bridge.weight"));
    vlm_safetensors_close(file);
    fixture_clear(&other);
    CHECK(fixture_load(&other, UINT64_MAX, &err), err);
    assert_true(fixture_is(&other, 4));
    fixture_release(&other);
}

static void what_was_saved_is_loaded_bit_for_bit(void **state)
{
    (void)state;
    for (uint64_t step = 1; step < 40; step += 9) {
        save(step);
        load(step);
        assert_string_equal(run.told, "");
    }
    assert_int_equal(count_entries("", ".tmp"), 0);
    assert_int_equal(count_entries("checkpoints", ""), 2);
}

static void the_same_run_gives_the_same_bytes(void **state)
{
    (void)state;
    save(5);
    struct vlm_buffer first = bytes_of(in_run("checkpoints/step-5/SHA256SUMS"));
    save(5);
    struct vlm_buffer second = bytes_of(in_run("checkpoints/step-5/SHA256SUMS"));
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    vlm_buffer_release(&first);
    vlm_buffer_release(&second);
    load(5);
}

static void the_sums_are_those_of_sha256sum(void **state)
{
    char command[1024];
    (void)state;
    save(3);
    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof(command), "cd %s && sha256sum --quiet --strict -c SHA256SUMS",
                 in_run(i ? "model" : "checkpoints/step-3"));
        assert_int_equal(system(command), 0);
    }
}

static void model_is_the_newest_and_made_of_links(void **state)
{
    struct vlm_model_folder *folder;
    struct vlm_err err = { 0 };
    struct stat a, b;
    (void)state;
    for (uint64_t step = 1; step < 4; step++) {
        save(step);
        assert_int_equal(stat(in_run("checkpoints/step-%" PRIu64 "/model.safetensors", step), &a),
                         0);
        assert_int_equal(stat(in_run("model/model.safetensors"), &b), 0);
        assert_true(a.st_ino == b.st_ino);
        CHECK(vlm_model_folder_open(&folder, in_run("model"), VLM_FOLDER_NO_IMAGES, &err), err);
        assert_memory_equal(folder->model.values, run.model.values,
                            run.model.count * sizeof(float));
        vlm_model_folder_close(folder);
    }
    assert_false(is_there(in_run("model/optimizer.safetensors")));
    assert_false(is_there(in_run("model/trainer_state.json")));
    assert_true(is_there(in_run("model/README.md")));
}

static void the_ring_keeps_the_newest_the_marked_and_the_best(void **state)
{
    (void)state;
    run.options.keep = 2;
    run.options.keep_every = 10;
    for (uint64_t step = 1; step <= 23; step++) {
        struct vlm_err err = { 0 };
        fixture_set(&run, step);
        run.state.best_loss = 1;
        run.state.best_step = VLM_MIN(step, UINT64_C(7));
        CHECK(fixture_save(&run, &err), err);
    }
    const uint64_t kept[] = { 7, 10, 20, 22, 23 };
    for (size_t i = 0; i < VLM_COUNTOF(kept); i++)
        assert_true(is_there(in_run("checkpoints/step-%" PRIu64, kept[i])));
    assert_int_equal(count_entries("checkpoints", ""), VLM_COUNTOF(kept));
}

/* A run that went back and goes on must not find the course that it left at its next start. */
static void newer_ones_go_when_the_run_has_gone_back(void **state)
{
    struct vlm_err err = { 0 };
    (void)state;
    run.options.keep = 3;
    save(10);
    save(20);
    save(30);
    fixture_clear(&run);
    CHECK(fixture_load(&run, 29, &err), err);
    assert_true(fixture_is(&run, 20));
    assert_true(is_there(in_run("checkpoints/step-30")));
    save(25);
    assert_false(is_there(in_run("checkpoints/step-30")));
    load(25);
}

static void names_that_are_none_are_ignored(void **state)
{
    static const char *const names[] = { "step-007", "step-",   "step-8x",
                                         "step+9",   "Step-9",  "step-99999999999999999999",
                                         "step-9.x", "step--1", "latest" };
    struct vlm_err err = { 0 };
    (void)state;
    assert_int_equal(fixture_load(&run, UINT64_MAX, &err), VLM_EOF);
    save(6);
    for (size_t i = 0; i < VLM_COUNTOF(names); i++)
        assert_int_equal(mkdir(in_run("checkpoints/%s", names[i]), 0777), 0);
    load(6);
    assert_string_equal(run.told, "");
    assert_int_equal(fixture_load(&run, 5, &err), VLM_EOF);
}

/* ---- damage ---- */

static const char *const files[] = { "config.json",
                                     "generation_config.json",
                                     "model.safetensors",
                                     "optimizer.safetensors",
                                     "processor_config.json",
                                     "provenance.json",
                                     "README.md",
                                     "recipe.ini",
                                     "special_tokens_map.json",
                                     "tokenizer.json",
                                     "tokenizer_config.json",
                                     "trainer_state.json",
                                     "SHA256SUMS" };

static void falls_back(const char *file, const char *what)
{
    char begins[600];
    struct vlm_err err = { 0 };
    fixture_clear(&run);
    int rc = fixture_load(&run, UINT64_MAX, &err);
    if (rc != VLM_OK || run.state.step != 1)
        fail_msg("%s %s: result %d, step %" PRIu64 ": %s", file, what, rc, run.state.step, err.msg);
    snprintf(begins, sizeof(begins),
             "checkpoint '%s' is passed over: ", in_run("checkpoints/step-2"));
    assert_memory_equal(run.told, begins, strlen(begins));
    if (!strstr(run.told, file))
        fail_msg("%s %s is not named: %s", file, what, run.told);
    assert_ptr_equal(strchr(run.told, '\n'), strrchr(run.told, '\n'));
    assert_true(fixture_is(&run, 1));
}

static void damaged_files_are_noticed(void **state)
{
    (void)state;
    save(1);
    save(2);
    for (size_t i = 0; i < VLM_COUNTOF(files); i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s", in_run("checkpoints/step-2/%s", files[i]));
        struct vlm_buffer whole = bytes_of(path);
        const size_t cuts[] = { 0, 1, whole.size / 2, whole.size - 1 };
        for (size_t k = 0; k < VLM_COUNTOF(cuts); k++) {
            put_bytes(path, whole.data, cuts[k]);
            falls_back(files[i], "cut");
        }
        for (unsigned k = 0; k < 6; k++) {
            struct vlm_random random = vlm_random_at(7, i, k);
            uint8_t *at = &whole.data[vlm_random_below(&random, whole.size)];
            uint8_t flip = (uint8_t)(1u << vlm_random_below(&random, 8));
            /* In SHA256SUMS a letter may become a capital, which is the same digit. */
            if (*at >= 'a' && *at <= 'f' && flip == 0x20)
                continue;
            *at ^= flip;
            put_bytes(path, whole.data, whole.size);
            falls_back(strcmp(files[i], "SHA256SUMS") ? files[i] : "", "flipped");
            *at ^= flip;
        }
        unlink(path);
        falls_back(files[i], "missing");
        assert_int_equal(mkdir(path, 0777), 0);
        falls_back(files[i], "a folder");
        assert_int_equal(rmdir(path), 0);
        put_bytes(path, whole.data, whole.size);
        load(2);
        vlm_buffer_release(&whole);
    }
}

static void files_of_another_step_are_noticed(void **state)
{
    (void)state;
    save(1);
    save(2);
    for (size_t i = 0; i < VLM_COUNTOF(files); i++) {
        struct vlm_buffer mine = bytes_of(in_run("checkpoints/step-2/%s", files[i]));
        struct vlm_buffer other = bytes_of(in_run("checkpoints/step-1/%s", files[i]));
        bool same = mine.size == other.size && !memcmp(mine.data, other.data, mine.size);
        put_bytes(in_run("checkpoints/step-2/%s", files[i]), other.data, other.size);
        if (!same)
            falls_back(strcmp(files[i], "SHA256SUMS") ? files[i] : "", "of another step");
        put_bytes(in_run("checkpoints/step-2/%s", files[i]), mine.data, mine.size);
        vlm_buffer_release(&mine);
        vlm_buffer_release(&other);
    }
    /* All of them. */
    assert_int_equal(rename(in_run("checkpoints/step-2"), in_run("checkpoints/x")), 0);
    char command[1200];
    snprintf(command, sizeof(command), "cp -r %s %s", in_run("checkpoints/step-1"),
             in_run("checkpoints/step-2"));
    assert_int_equal(system(command), 0);
    falls_back("trainer_state.json: it is of step 1", "and all others of another step");
}

/* Writes SHA256SUMS of step-2 as sha256sum would, with what stands in the folder now. */
static void sum_again(const char *options)
{
    char command[1200];
    snprintf(command, sizeof(command),
             "cd %s && sha256sum %s $(ls | grep -v SUMS) >SUMS.new && mv SUMS.new SHA256SUMS",
             in_run("checkpoints/step-2"), options);
    assert_int_equal(system(command), 0);
}

static void sums_may_be_written_by_others(void **state)
{
    char command[1200];
    (void)state;
    save(1);
    save(2);
    sum_again("-b");
    load(2);
    snprintf(command, sizeof(command), "sed -i 's/^[0-9a-f]*/\\U&/' %s",
             in_run("checkpoints/step-2/SHA256SUMS"));
    assert_int_equal(system(command), 0);
    load(2);
}

static void sums_never_lead_out_of_the_folder(void **state)
{
    static const char *const names[] = {
        "../step-1/config.json", "/etc/passwd", ".", "a/../b", "a//b", "a/", ""
    };
    (void)state;
    save(1);
    save(2);
    struct vlm_buffer sums = bytes_of(in_run("checkpoints/step-2/SHA256SUMS"));
    for (size_t i = 0; i < VLM_COUNTOF(names); i++) {
        struct vlm_buffer more = { 0 };
        vlm_buffer_add(&more, sums.data, sums.size);
        vlm_buffer_printf(&more, "%064d  %s\n", 0, names[i]);
        put_bytes(in_run("checkpoints/step-2/SHA256SUMS"), more.data, more.size);
        falls_back("SHA256SUMS has a line that is no checksum and name", names[i]);
        vlm_buffer_release(&more);
    }
    vlm_buffer_release(&sums);
}

static void nothing_whole_is_an_error_and_not_a_beginning(void **state)
{
    struct vlm_err err = { 0 };
    (void)state;
    save(1);
    save(2);
    put_text(in_run("checkpoints/step-1/config.json"), "{}");
    assert_int_equal(unlink(in_run("checkpoints/step-2/model.safetensors")), 0);
    assert_int_equal(fixture_load(&run, UINT64_MAX, &err), VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "no checkpoint of '"));
    assert_non_null(strstr(err.msg, "is whole (2 tried)"));
    assert_non_null(strstr(run.told, "step-1'"));
    assert_non_null(strstr(run.told, "step-2'"));
}

/* Whatever the checksums say: the numbers are looked at too. */
static void numbers_that_cannot_be_are_refused(void **state)
{
    (void)state;
    save(1);
    fixture_set(&run, 2);
    float *v = vlm_optimizer_state(&run.optimizer, 0, VLM_STATE_V);
    v[3] = -1;
    struct vlm_err err = { 0 };
    CHECK(fixture_save(&run, &err), err);
    falls_back("tensor 'v.embed.tokens.weight' has -1 at 3", "negative");
}

/* ---- other runs ---- */

static void another_run_is_refused_with_both_values(void **state)
{
    struct vlm_err err = { 0 };
    (void)state;
    save(1);
    snprintf(run.identity.pair[1].value, sizeof(run.identity.pair[1].value), "other");
    assert_int_equal(fixture_load(&run, UINT64_MAX, &err), VLM_EUSAGE);
    char expected[1024];
    snprintf(
        expected, sizeof(expected),
        "checkpoint '%s': it is of a run with 'data 0' = '0000000000001234', now it is 'other': "
        "choose another --output, or the options that this run began with",
        in_run("checkpoints/step-1"));
    assert_string_equal(err.msg, expected);
    run.identity.n = 1;
    assert_int_equal(fixture_load(&run, UINT64_MAX, &err), VLM_EUSAGE);
    assert_non_null(strstr(err.msg, "'data 0' = '0000000000001234', now there is none"));
    run.identity.n = 0;
    vlm_identity_add(&run.identity, "seed", "%d", 4);
    assert_int_equal(fixture_load(&run, UINT64_MAX, &err), VLM_EUSAGE);
    assert_non_null(strstr(err.msg, "'seed' = none, now it is '4'"));
    assert_string_equal(run.told, "");
}

static void a_newer_version_is_refused_with_both(void **state)
{
    struct vlm_err err = { 0 };
    (void)state;
    save(1);
    save(2);
    put_text(in_run("checkpoints/step-2/trainer_state.json"),
             "{\"format\": \"vlm-checkpoint 2\", \"version\": \"7.1\", \"what\": [nobody knows");
    sum_again("");
    assert_int_equal(fixture_load(&run, UINT64_MAX, &err), VLM_EUSAGE);
    assert_non_null(strstr(err.msg, "it has format 2 of version 7.1, this is version " VLM_VERSION
                                    ", which knows formats up to 1"));
}

static void a_model_that_is_not_finite_is_not_saved(void **state)
{
    struct vlm_err err = { 0 };
    (void)state;
    save(1);
    fixture_set(&run, 2);
    run.model.tensors[0].data[5] = NAN;
    assert_int_equal(fixture_save(&run, &err), VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "tensor 'embed.tokens.weight' has nan at 5"));
    fixture_set(&run, 2);
    vlm_optimizer_state(&run.optimizer, 0, VLM_STATE_M)[5] = INFINITY;
    assert_int_equal(fixture_save(&run, &err), VLM_EFORMAT);
    if (!strstr(err.msg, "m.embed.tokens.weight"))
        fail_msg("%s", err.msg);
    assert_false(is_there(in_run("checkpoints/step-2")));
    assert_int_equal(count_entries("checkpoints", ".tmp"), 0);
    load(1);
}

/* ---- model/ ---- */

static void loading_mends_model(void **state)
{
    struct vlm_err err = { 0 };
    (void)state;
    save(1);
    assert_int_equal(unlink(in_run("model/config.json")), 0);
    load(1);
    assert_true(is_there(in_run("model/config.json")));
    /* Killed between a checkpoint and model/: model/ is the older one. */
    assert_int_equal(rename(in_run("model"), in_run("old")), 0);
    save(2);
    CHECK(vlm_folder_delete(in_run("model"), &err), err);
    assert_int_equal(rename(in_run("old"), in_run("model")), 0);
    load(2);
    struct stat a, b;
    assert_int_equal(stat(in_run("checkpoints/step-2/model.safetensors"), &a), 0);
    assert_int_equal(stat(in_run("model/model.safetensors"), &b), 0);
    assert_true(a.st_ino == b.st_ino);
}

/* ---- the lock ---- */

static void a_second_process_is_refused(void **state)
{
    struct vlm_err err = { 0 };
    int lock, other = 5;
    (void)state;
    CHECK(vlm_run_lock(run.folder, &lock, &err), err);
    assert_int_equal(vlm_run_lock(run.folder, &other, &err), VLM_EFAIL);
    assert_int_equal(other, -1);
    char expected[400];
    snprintf(expected, sizeof(expected), "'%s' is in use by process %ld", run.folder,
             (long)getpid());
    assert_string_equal(err.msg, expected);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(vlm_run_lock(run.folder, &other, &err) == VLM_EFAIL ? 0 : 1);
    int status;
    assert_true(waitpid(child, &status, 0) == child);
    assert_int_equal(status, 0);
    close(lock);
    CHECK(vlm_run_lock(run.folder, &lock, &err), err);
    close(lock);
}

static void what_a_dead_run_left_is_removed(void **state)
{
    static const char *const left[] = { "model.tmp", "checkpoints/step-3.tmp",
                                        "checkpoints/step-1.old.tmp", "samples/a.tmp" };
    struct vlm_err err = { 0 };
    int lock;
    (void)state;
    save(2);
    for (size_t i = 0; i < VLM_COUNTOF(left); i++) {
        CHECK(vlm_folder_make(in_run("%s/below", left[i]), &err), err);
        put_text(in_run("%s/below/file", left[i]), "half");
    }
    put_text(in_run("config.resolved.ini.tmp"), "half");
    put_text(in_run("samples/step-2.txt"), "whole");
    CHECK(vlm_run_lock(run.folder, &lock, &err), err);
    for (size_t i = 0; i < VLM_COUNTOF(left); i++)
        assert_false(is_there(in_run("%s", left[i])));
    assert_false(is_there(in_run("config.resolved.ini.tmp")));
    assert_true(is_there(in_run("samples/step-2.txt")));
    close(lock);
    load(2);
}

/* Where names cannot be exchanged: the moment between the two renames, and the one behind them. */
static void an_interrupted_exchange_is_finished(void **state)
{
    static const char *const places[] = { "model", "checkpoints/step-2" };
    struct vlm_err err = { 0 };
    int lock;
    (void)state;
    for (size_t i = 0; i < VLM_COUNTOF(places); i++) {
        save(2);
        assert_int_equal(rename(in_run("%s", places[i]), in_run("%s.tmp", places[i])), 0);
        CHECK(vlm_folder_make(in_run("%s.swap.tmp", places[i]), &err), err);
        put_text(in_run("%s.swap.tmp/config.json", places[i]), "old");
        CHECK(vlm_run_lock(run.folder, &lock, &err), err);
        assert_false(is_there(in_run("%s.tmp", places[i])));
        assert_false(is_there(in_run("%s.swap.tmp", places[i])));
        close(lock);
        load(2);

        CHECK(vlm_folder_make(in_run("%s.swap.tmp", places[i]), &err), err);
        CHECK(vlm_run_lock(run.folder, &lock, &err), err);
        assert_false(is_there(in_run("%s.swap.tmp", places[i])));
        close(lock);
        load(2);
    }
    /* Nothing but the old one: it comes back. */
    assert_int_equal(rename(in_run("model"), in_run("model.swap.tmp")), 0);
    CHECK(vlm_run_lock(run.folder, &lock, &err), err);
    assert_true(is_there(in_run("model/config.json")));
    close(lock);
}

static void no_room_is_told_before_anything_is_written(void **state)
{
    struct vlm_err err = { 0 };
    (void)state;
    save(1);
    const char *readme = "x";
    struct vlm_model_content content = {
        .model = &run.model, .recipe = &run.recipe, .vocabulary = &run.vocabulary, .readme = readme
    };
    /* An optimizer that claims more state than any disk has. */
    struct vlm_optimizer huge = run.optimizer;
    huge.state_floats = SIZE_MAX / 64;
    fixture_set(&run, 2);
    huge.step = run.state.updates;
    assert_int_equal(
        vlm_checkpoint_save(&run.options, &content, &huge, &run.state, &run.identity, &err),
        VLM_ELIMIT);
    assert_non_null(strstr(err.msg, "no room for a checkpoint in '"));
    assert_int_equal(count_entries("checkpoints", ""), 1);
    load(1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_saved_is_loaded_bit_for_bit),
        TEST(models_of_all_recipes_come_back),
        TEST(what_is_frozen_has_no_moments),
        TEST(the_same_run_gives_the_same_bytes),
        TEST(the_sums_are_those_of_sha256sum),
        TEST(model_is_the_newest_and_made_of_links),
        TEST(the_ring_keeps_the_newest_the_marked_and_the_best),
        TEST(newer_ones_go_when_the_run_has_gone_back),
        TEST(names_that_are_none_are_ignored),
        TEST(damaged_files_are_noticed),
        TEST(files_of_another_step_are_noticed),
        TEST(sums_may_be_written_by_others),
        TEST(sums_never_lead_out_of_the_folder),
        TEST(nothing_whole_is_an_error_and_not_a_beginning),
        TEST(numbers_that_cannot_be_are_refused),
        TEST(another_run_is_refused_with_both_values),
        TEST(a_newer_version_is_refused_with_both),
        TEST(a_model_that_is_not_finite_is_not_saved),
        TEST(loading_mends_model),
        TEST(a_second_process_is_refused),
        TEST(what_a_dead_run_left_is_removed),
        TEST(an_interrupted_exchange_is_finished),
        TEST(no_room_is_told_before_anything_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
