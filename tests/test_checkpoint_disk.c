/* test_checkpoint_disk.c - a full disk at a checkpoint. Files fill the disk to any number of free bytes, from none
 * to as many as a checkpoint takes. It needs a small disk of its own, which long/full_disk_checkpoint.sh mounts and
 * names in VLM_CHECKPOINT_DISK; without it a limit on the size of files plays the full disk. */
#include "base/vlm.h"

#include "tests/checkpoint_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

static struct fixture_run run;

static uint64_t free_bytes(void)
{
    struct statvfs about;
    assert_int_equal(statvfs(run.folder, &about), 0);
    return (uint64_t)about.f_bavail * about.f_frsize;
}

/* Fills the disk until at most `left` bytes are free. */
static void fill(const char *path, uint64_t left)
{
    static const char zeros[1 << 12];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    while (free_bytes() > left && write(fd, zeros, sizeof(zeros)) > 0)
        continue;
    close(fd);
}

static size_t count_temporary(void)
{
    static const char *const folders[] = { "", "checkpoints" };
    size_t n = 0;
    for (size_t i = 0; i < VLM_COUNTOF(folders); i++) {
        char *path = vlm_path_join(run.folder, folders[i]);
        DIR *list = opendir(path);
        assert_non_null(list);
        for (struct dirent *entry; (entry = readdir(list));)
            n += strstr(entry->d_name, ".tmp") ? 1 : 0;
        closedir(list);
        free(path);
    }
    return n;
}

/* Step 1 loads bit for bit, and model/ opens. */
static void the_old_one_is_whole(uint64_t step)
{
    struct vlm_err err = { 0 };
    struct vlm_model_folder *folder;
    fixture_clear(&run);
    if (fixture_load(&run, UINT64_MAX, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(run.told, "");
    assert_int_equal(run.state.step, step);
    assert_true(fixture_is(&run, step));
    char *path = vlm_path_join(run.folder, "model");
    if (vlm_model_folder_open(&folder, path, VLM_FOLDER_NO_IMAGES, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    vlm_model_folder_close(folder);
    free(path);
}

static void every_amount_of_room(void **state)
{
    const char *disk = getenv("VLM_CHECKPOINT_DISK");
    struct vlm_err err = { 0 };
    size_t refused = 0, saved = 0;
    (void)state;
    if (!disk)
        skip();
    char folder[300], filling[300];
    snprintf(folder, sizeof(folder), "%s/run", disk);
    snprintf(filling, sizeof(filling), "%s/filling", disk);
    fixture_init(&run, folder);
    run.options.keep = 1;
    assert_int_equal(vlm_folder_make(folder, &err), VLM_OK);
    fixture_set(&run, 2);
    assert_int_equal(fixture_save(&run, &err), VLM_OK);
    for (uint64_t left = 0; left < 800000; left += 8192) {
        fill(filling, left);
        fixture_set(&run, 4);
        int rc = fixture_save(&run, &err);
        unlink(filling);
        assert_int_equal(count_temporary(), 0);
        if (rc == VLM_OK) {
            saved++;
            the_old_one_is_whole(4);
            fixture_set(&run, 2);
            assert_int_equal(fixture_save(&run, &err), VLM_OK);
            continue;
        }
        refused++;
        if (rc != VLM_ELIMIT || !strstr(err.msg, folder) || !strstr(err.msg, "bytes, ") ||
            !strstr(err.msg, " are free"))
            fail_msg("%" PRIu64 " bytes free: result %d, %s", left, rc, err.msg);
        the_old_one_is_whole(2);
    }
    assert_true(refused > 0);
    assert_true(saved > 0);
    fixture_release(&run);
}

/* In a child: files of at most `limit` bytes. 0: refused as it must be; 1: saved; 2: anything else. */
static int save_with_limit(size_t limit)
{
    struct vlm_err err = { 0 };
    const struct rlimit size = { limit, RLIM_INFINITY };
    signal(SIGXFSZ, SIG_IGN);
    fixture_set(&run, 4);
    if (setrlimit(RLIMIT_FSIZE, &size) < 0)
        return 2;
    int rc = fixture_save(&run, &err);
    if (rc == VLM_OK)
        return 1;
    if (rc == VLM_ELIMIT && strstr(err.msg, "no room for a checkpoint in '"))
        return 0;
    fprintf(stderr, "result %d: %s\n", rc, err.msg);
    return 2;
}

static void every_size_of_files(void **state)
{
    char *folder = new_folder(fast_place());
    struct vlm_err err = { 0 };
    size_t outcomes[3] = { 0 };
    (void)state;
    assert_non_null(folder);
    fixture_init(&run, folder);
    fixture_set(&run, 2);
    assert_int_equal(fixture_save(&run, &err), VLM_OK);
    for (size_t limit = 1; limit < 100000; limit = limit * 3 / 2 + 1) {
        int status;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(save_with_limit(limit));
        assert_true(waitpid(child, &status, 0) == child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 3);
        outcomes[WEXITSTATUS(status)]++;
        assert_int_equal(count_temporary(), 0);
        the_old_one_is_whole(WEXITSTATUS(status) == 1 ? 4 : 2);
    }
    assert_true(outcomes[0] > 5 && outcomes[1] > 0);
    assert_int_equal(outcomes[2], 0);
    fixture_release(&run);
    assert_int_equal(vlm_folder_delete(folder, &err), VLM_OK);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_amount_of_room),
        cmocka_unit_test(every_size_of_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
