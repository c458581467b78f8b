/* checkpoint_kill.c FOLDER - a save, and what comes after a crash, killed before every single system call that
 * changes something on disk; for checkpoint_kill.sh.
 *
 * This program has its own write(), rename(), fsync() and so on, which the objects that are linked with it call
 * instead of the C library's: they count, and in a child process SIGKILL comes in front of call number k. The
 * parent looks at what is left, starts as a run starts, and saves again. fsync() only counts: a killed process
 * loses nothing that the system has. */
#include "base/vlm.h"

#include "tests/checkpoint_fixture.h"
#include "trainer/save/checkpoint_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- system calls ---- */

static struct {
    long calls, kill_at; /* kill_at 0: never */
    bool no_exchange, no_links;
} shim;

static void count(void)
{
    if (shim.kill_at && ++shim.calls == shim.kill_at)
        kill(getpid(), SIGKILL);
}

/* As the C library has them; both are only prototyped where its headers are. */
ssize_t write(int fd, const void *bytes, size_t n)
{
    count();
    return syscall(SYS_write, fd, bytes, n);
}

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list args;
        va_start(args, flags);
        mode = (mode_t)va_arg(args, int);
        va_end(args);
        count();
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int fsync(int fd)
{
    (void)fd;
    count();
    return 0;
}

int fdatasync(int fd)
{
    return fsync(fd);
}

int ftruncate(int fd, off_t size)
{
    count();
    return (int)syscall(SYS_ftruncate, fd, size);
}

int mkdir(const char *path, mode_t mode)
{
    count();
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int rename(const char *from, const char *to)
{
    count();
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    count();
    if (shim.no_exchange) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

int link(const char *from, const char *to)
{
    count();
    if (shim.no_links) {
        errno = EXDEV;
        return -1;
    }
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    count();
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int unlinkat(int folder, const char *path, int flags)
{
    count();
    return (int)syscall(SYS_unlinkat, folder, path, flags);
}

int rmdir(const char *path)
{
    count();
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

/* ---- the run ---- */

static struct fixture_run run;
static char why[2048]; /* the first thing that was wrong */

static bool complain(const char *format, ...) VLM_PRINTF(1, 2);
static bool complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!why[0])
        vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    return false;
}

static bool save(uint64_t step)
{
    struct vlm_err err = { 0 };
    fixture_set(&run, step);
    return fixture_save(&run, &err) == VLM_OK || complain("save: %s", err.msg);
}

/* As a run begins. The step that was loaded, 0: there was none. */
static bool start(uint64_t *step)
{
    struct vlm_err err = { 0 };
    int lock;
    if (vlm_run_lock(run.folder, &lock, &err) != VLM_OK)
        return complain("lock: %s", err.msg);
    fixture_clear(&run);
    int rc = fixture_load(&run, UINT64_MAX, &err);
    close(lock);
    *step = rc == VLM_OK ? run.state.step : 0;
    if (rc != VLM_OK && rc != VLM_EOF)
        return complain("load: %s", err.msg);
    if (run.told[0])
        return complain("load told: %s", run.told);
    if (rc == VLM_OK && !fixture_is(&run, *step))
        return complain("other numbers than those of step %" PRIu64, *step);
    return true;
}

/* ---- what must hold ---- */

static bool is_whole(const char *path)
{
    struct vlm_sums sums = { 0 };
    struct vlm_err err = { 0 };
    int rc = vlm_sums_check(&sums, path, &err);
    vlm_sums_release(&sums);
    return rc == VLM_OK || complain("'%s' is not whole: %s", path, err.msg);
}

/* Every folder that is called step-N. */
static bool all_are_whole(void)
{
    uint64_t *steps;
    size_t n;
    struct vlm_err err = { 0 };
    bool good = vlm_checkpoint_steps(&steps, &n, run.folder, &err) == VLM_OK;
    for (size_t i = 0; good && i < n; i++) {
        char *path = vlm_checkpoint_path(run.folder, steps[i], "");
        good = is_whole(path);
        free(path);
    }
    free(steps);
    return good;
}

static bool model_is_whole(void)
{
    struct vlm_model_folder *folder;
    struct vlm_err err = { 0 };
    char *path = vlm_path_join(run.folder, "model");
    int rc = vlm_model_folder_open(&folder, path, VLM_FOLDER_NO_IMAGES, &err);
    vlm_model_folder_close(folder);
    free(path);
    return rc == VLM_OK || complain("model/: %s", err.msg);
}

static bool model_is_there(void)
{
    struct stat about;
    char *path = vlm_path_join(run.folder, "model");
    bool there = stat(path, &about) == 0;
    free(path);
    return there;
}

/* model/ has the files of that checkpoint and no others: its list of checksums is the other's without two lines. */
static bool model_is_of(uint64_t step)
{
    struct vlm_sums sums = { 0 };
    struct vlm_buffer expected = { 0 }, found = { 0 };
    struct vlm_err err = { 0 };
    char *path = vlm_checkpoint_path(run.folder, step, "");
    char *list = vlm_path_join(run.folder, "model/SHA256SUMS");
    bool good = vlm_sums_check(&sums, path, &err) == VLM_OK &&
                vlm_file_read(&found, list, 1 << 20, &err) == VLM_OK;
    vlm_sums_write(&expected, &sums, VLM_SUMS_MODEL);
    good = good && found.size == expected.size && !memcmp(found.data, expected.data, found.size);
    vlm_buffer_release(&found);
    vlm_buffer_release(&expected);
    vlm_sums_release(&sums);
    free(list);
    free(path);
    return good || complain("model/ is not that of step %" PRIu64 " %s", step, err.msg);
}

static bool no_leftovers(const char *path)
{
    DIR *list = opendir(path);
    bool good = list || complain("cannot read '%s'", path);
    for (struct dirent *entry; good && (entry = readdir(list));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (strstr(entry->d_name, ".tmp"))
            good = complain("'%s/%s' is left", path, entry->d_name);
        char *below = vlm_path_join(path, entry->d_name);
        if (good && entry->d_type == DT_DIR)
            good = no_leftovers(below);
        free(below);
    }
    if (list)
        closedir(list);
    return good;
}

/* ---- one crash ---- */

struct scenario {
    const char *name;
    uint64_t before[2]; /* saved first; 0: nothing */
    uint64_t step;      /* whose save is killed */
    bool no_exchange, no_links;
    bool recovery; /* the start after a crash in the middle of the save is what is killed */
};

/* Runs what is to be killed in a child. True: it was killed; false: it was done before call k. */
static bool was_killed(const struct scenario *scenario, long k, bool recovery)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    VLM_BUG_IF(child < 0);
    if (child == 0) {
        uint64_t step;
        fixture_set(&run, scenario->step);
        shim.calls = 0;
        shim.kill_at = k;
        bool good = recovery ? start(&step) : save(scenario->step);
        fprintf(stderr, "%s", why);
        _exit(good ? 0 : 1);
    }
    VLM_BUG_IF(waitpid(child, &status, 0) != child);
    if (WIFEXITED(status) && WEXITSTATUS(status))
        complain("the child failed");
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static bool begin(const struct scenario *scenario)
{
    struct vlm_err err = { 0 };
    shim.no_exchange = scenario->no_exchange;
    shim.no_links = scenario->no_links;
    bool good = vlm_folder_delete(run.folder, &err) == VLM_OK &&
                vlm_folder_make(run.folder, &err) == VLM_OK;
    for (size_t i = 0; good && i < VLM_COUNTOF(scenario->before); i++)
        if (scenario->before[i])
            good = save(scenario->before[i]);
    return good || complain("%s", err.msg);
}

/* The moment of the crash, then the next start, then the save that was interrupted. */
static bool look(const struct scenario *scenario)
{
    const uint64_t old = VLM_MAX(scenario->before[0], scenario->before[1]);
    uint64_t step;
    if (!all_are_whole())
        return false;
    if (old && !scenario->no_exchange && !model_is_there())
        return complain("model/ is absent");
    if (model_is_there() && !model_is_whole())
        return false;
    if (!start(&step))
        return false;
    if (step != old && step != scenario->step)
        return complain("step %" PRIu64 " was loaded", step);
    if (!no_leftovers(run.folder) || (step && (!model_is_whole() || !model_is_of(step))))
        return false;
    return save(scenario->step) && all_are_whole() && model_is_of(scenario->step) &&
           no_leftovers(run.folder) && start(&step) && step == scenario->step;
}

static void carry_out(const struct scenario *scenario)
{
    /* Of a crash in the middle of a save: after the checkpoint has its name, and in model/. */
    static const long middle[] = { 90, 130, 145, 155, 165, 180, 200 };
    long crashes = 0;
    why[0] = 0;
    for (size_t i = 0; i < (scenario->recovery ? VLM_COUNTOF(middle) : 1) && !why[0]; i++)
        for (long k = 1;; k++) {
            if (!begin(scenario) || (scenario->recovery && !was_killed(scenario, middle[i], false)))
                break;
            bool killed = was_killed(scenario, k, scenario->recovery);
            if (why[0] || !look(scenario)) {
                complain("no reason");
                break;
            }
            if (!killed)
                break;
            crashes++;
        }
    if (why[0])
        printf("not ok %s, after %ld crashes: %s\n", scenario->name, crashes, why);
    else
        printf("ok %s: %ld crashes\n", scenario->name, crashes);
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        { .name = "first save", .step = 1 },
        { .name = "next save", .before = { 5, 6 }, .step = 8 },
        { .name = "next save, names cannot be exchanged",
          .before = { 5, 6 },
          .step = 8,
          .no_exchange = true },
        { .name = "next save, files cannot be linked",
          .before = { 5, 6 },
          .step = 8,
          .no_links = true },
        { .name = "a step again", .before = { 1, 2 }, .step = 2 },
        { .name = "a step again, names cannot be exchanged",
          .before = { 1, 2 },
          .step = 2,
          .no_exchange = true },
        { .name = "the only step again, names cannot be exchanged",
          .before = { 2 },
          .step = 2,
          .no_exchange = true },
        { .name = "start after a crash", .before = { 5, 6 }, .step = 8, .recovery = true },
        { .name = "start after a crash, names cannot be exchanged",
          .before = { 5, 6 },
          .step = 8,
          .no_exchange = true,
          .recovery = true },
    };
    if (argc != 2)
        return 2;
    fixture_init(&run, argv[1]);
    for (size_t i = 0; i < VLM_COUNTOF(scenarios); i++)
        carry_out(&scenarios[i]);
    fixture_release(&run);
    return 0;
}
