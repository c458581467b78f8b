/* crew.c - the parent: deals out units, waits, accepts finished units in order.
 *
 * It is single-threaded and looks at no byte of the crawl. A unit in the middle of an input was begun
 * at a guess; it is accepted only if the guess is where the unit before it ended, and is made again
 * from there otherwise. A worker that dies is started again; an item that kills it twice is left out. */
#include "base/vlm.h"

#include "shard/units/crew.h"

#include "base/file.h"
#include "shard/units/stop.h"
#include "shard/units/unit.h"
#include "shard/units/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    FD_BASE = 512,         /* parent's descriptors stay above those of workers */
    WINDOW = 4,            /* units in flight per worker, finished ones included */
    STUCK_MS = 120 * 1000, /* without progress: killed as if it had crashed */
    TICK_MS = 200,         /* between two looks at the workers */
    KILLERS_MAX = 4096,
};

enum unit_state { PENDING, RUNNING, FINISHED, ACCEPTED };

struct unit {
    enum unit_state state;
    bool exact;          /* begin is known */
    uint64_t begin, end; /* begin: where to start; end: the true end, once finished */
    uint64_t first;      /* where its first record was found */
    uint64_t bytes, documents, images;
    struct vlm_killer *killers, last_death;
    uint32_t n_killers;
    bool died_before;
};

struct slot {
    pid_t pid; /* 0: free */
    size_t unit;
    struct vlm_worker_page *page;
    int page_fd;
    uint64_t seen_offset; /* for noticing that it is stuck */
    uint64_t seen_at;     /* milliseconds */
    bool killed;
};

struct crew {
    const struct vlm_plan *plan;
    const char *folder;
    const struct vlm_build_options *options;
    struct unit *units;
    struct slot *slots;
    size_t n_slots, next_start, next_accept;
    struct vlm_crew_state *state;
};

char *vlm_unit_path(const char *folder, size_t unit)
{
    char name[32];
    snprintf(name, sizeof(name), "unit-%06zu", unit);
    return vlm_path_join(folder, name);
}

static char *temporary_path(const char *folder, size_t unit)
{
    char name[32];
    snprintf(name, sizeof(name), "unit-%06zu.tmp", unit);
    return vlm_path_join(folder, name);
}

static uint64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* Starting a worker ------------------------------------------------------------------------------ */

/* A descriptor above all that a worker is given, so that moving them down overwrites none. */
static int lift(int fd)
{
    if (fd < 0)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_BASE);
    int number = errno;
    close(fd);
    errno = number;
    return high;
}

struct descriptors {
    int fd[VLM_WORKER_FILES + 256]; /* by the number they get in the worker; -1 none */
    size_t n;
};

static void close_all(struct descriptors *set)
{
    for (size_t i = VLM_WORKER_SPEC; i < set->n; i++)
        if (set->fd[i] >= 0 && i != VLM_WORKER_PAGE)
            close(set->fd[i]);
}

static int open_spec(const struct crew *crew, size_t index, struct vlm_err *err)
{
    const struct vlm_plan_unit *range = &crew->plan->units[index];
    const struct vlm_input *input = &crew->plan->inputs[range->input];
    const struct unit *unit = &crew->units[index];
    bool files = input->format == VLM_DUMP_FILES;
    char *path = temporary_path(crew->folder, index);
    struct vlm_work work = {
        .options = crew->options->content,
        .plan = crew->plan->check,
        .name = input->name,
        .output = path,
        .model = crew->options->model ? crew->options->model : "",
        .format = input->format,
        .begin = files ? 0 : unit->begin,
        .end = files ? range->end - range->begin : range->end,
        .exact = unit->exact,
        .images_only = input->images_only,
        .file_names = files ? (const char *const *)input->file_names + range->begin : NULL,
        .n_files = files ? (uint32_t)(range->end - range->begin) : 0,
        .killers = unit->killers,
        .n_killers = unit->n_killers,
    };
    struct vlm_buffer spec = { 0 };
    vlm_work_encode(&spec, &work);
    free(path);
    int fd = lift(memfd_create("spec", MFD_CLOEXEC));
    int rc = fd < 0 ? vlm_fail_errno(err, errno, "cannot make shared memory")
                    : vlm_write_all(fd, spec.data, spec.size, "shared memory", err);
    vlm_buffer_release(&spec);
    if (rc < 0 && fd >= 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

static int open_read(const char *path, struct vlm_err *err)
{
    int fd = lift(open(path, O_RDONLY | O_CLOEXEC));
    return fd < 0 ? vlm_fail_errno(err, errno, "cannot read '%s'", path) : fd;
}

/* A new file, never the old one emptied: a worker whose parent was killed may still write to that. */
static int create_temporary(const struct crew *crew, size_t index, struct vlm_err *err)
{
    char *path = temporary_path(crew->folder, index);
    unlink(path);
    int fd = lift(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (fd < 0)
        fd = vlm_fail_errno(err, errno, "cannot write '%s'", path);
    free(path);
    return fd;
}

/* Opens all that the worker of a unit needs. Negative: a failure; what is open is in set. */
static int open_descriptors(struct descriptors *set, const struct crew *crew, size_t index,
                            struct vlm_err *err)
{
    const struct vlm_plan_unit *range = &crew->plan->units[index];
    const struct vlm_input *input = &crew->plan->inputs[range->input];
    for (size_t i = 0; i < VLM_COUNTOF(set->fd); i++)
        set->fd[i] = -1;
    set->n = VLM_WORKER_FILES;
    int fd = set->fd[VLM_WORKER_SPEC] = open_spec(crew, index, err);
    if (fd < 0)
        return fd;
    fd = set->fd[VLM_WORKER_INPUT] = open_read(input->path ? input->path : "/dev/null", err);
    if (fd < 0)
        return fd;
    fd = set->fd[VLM_WORKER_OUTPUT] = create_temporary(crew, index, err);
    for (uint64_t i = range->begin; fd >= 0 && input->files && i < range->end; i++)
        fd = set->fd[set->n++] = open_read(input->files[i], err);
    return fd;
}

static int map_page(struct slot *slot, struct vlm_err *err)
{
    if (slot->page) {
        memset(slot->page, 0, sizeof(*slot->page));
        return VLM_OK;
    }
    slot->page_fd = lift(memfd_create("page", MFD_CLOEXEC));
    if (slot->page_fd < 0 || ftruncate(slot->page_fd, sizeof(*slot->page)) < 0)
        return vlm_fail_errno(err, errno, "cannot make shared memory");
    void *memory =
        mmap(NULL, sizeof(*slot->page), PROT_READ | PROT_WRITE, MAP_SHARED, slot->page_fd, 0);
    if (memory == MAP_FAILED)
        return vlm_fail_errno(err, errno, "cannot map shared memory");
    slot->page = memory;
    return VLM_OK;
}

static int spawn(struct slot *slot, const struct descriptors *set, struct vlm_err *err)
{
    extern char **environ;
    char program[] = "/proc/self/exe", verb[] = "worker";
    char *arguments[] = { program, verb, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    /* A group of its own: an interrupt from the terminal reaches the parent, which decides. */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setsigmask(&attributes, &none);
    for (size_t i = VLM_WORKER_SPEC; i < set->n; i++)
        posix_spawn_file_actions_adddup2(&actions, set->fd[i], (int)i);
    int number = posix_spawn(&slot->pid, program, &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (!number)
        return VLM_OK;
    slot->pid = 0;
    return vlm_fail_errno(err, number, "cannot start a worker");
}

static int start(struct crew *crew, struct slot *slot, size_t index, struct vlm_err *err)
{
    struct descriptors set;
    int rc = map_page(slot, err);
    if (rc < 0)
        return rc;
    slot->page->offset = UINT64_MAX; /* a death before the first item is the fault of none */
    rc = open_descriptors(&set, crew, index, err);
    set.fd[VLM_WORKER_PAGE] = slot->page_fd;
    if (rc >= 0)
        rc = spawn(slot, &set, err);
    close_all(&set);
    if (rc < 0)
        return rc;
    slot->unit = index;
    slot->seen_offset = UINT64_MAX;
    slot->seen_at = now_ms();
    slot->killed = false;
    crew->units[index].state = RUNNING;
    return VLM_OK;
}

/* The end of a worker ---------------------------------------------------------------------------- */

static bool is_same(const struct vlm_killer *a, const struct vlm_killer *b)
{
    return a->offset == b->offset && a->start == b->start && a->in_reader == b->in_reader;
}

static bool is_known(const struct unit *unit, const struct vlm_killer *death)
{
    for (uint32_t i = 0; i < unit->n_killers; i++)
        if (is_same(&unit->killers[i], death))
            return true;
    return false;
}

/* A worker died: remember what it was at; at the second time the item is left out. */
static int mourn(struct crew *crew, struct slot *slot, int wait_status, struct vlm_err *err)
{
    struct unit *unit = &crew->units[slot->unit];
    struct vlm_killer death = { slot->page->offset, slot->page->start, slot->page->in_reader };
    crew->state->crashes++;
    crew->state->clock_fired |= slot->killed;
    unit->state = PENDING;
    if (unit->died_before && is_same(&death, &unit->last_death)) {
        /* Leaving an item out must help; and a unit of nothing but killers is something else. */
        if (unit->n_killers == KILLERS_MAX || is_known(unit, &death))
            return vlm_fail(err, VLM_EFAIL,
                            "'%s', offset %" PRIu64 ": workers die again and again (status 0x%x)",
                            crew->plan->inputs[crew->plan->units[slot->unit].input].name,
                            death.offset, (unsigned)wait_status);
        struct vlm_killer *killers =
            realloc(unit->killers, (unit->n_killers + 1) * sizeof(*killers));
        if (!killers)
            return vlm_fail(err, VLM_ENOMEM, "no memory to remember what killed a worker");
        killers[unit->n_killers++] = death;
        unit->killers = killers;
        unit->died_before = false;
        return VLM_OK;
    }
    unit->last_death = death;
    unit->died_before = true;
    return VLM_OK;
}

static int read_result(struct crew *crew, size_t index, struct vlm_err *err)
{
    struct unit *unit = &crew->units[index];
    struct vlm_unit file;
    char *path = temporary_path(crew->folder, index);
    int rc = vlm_unit_open(&file, path, crew->plan->check, err);
    free(path);
    if (rc == VLM_SKIP) {
        vlm_recode(err, VLM_EFAIL);
        rc = vlm_wrap(err, "a worker reported success, but its work is bad");
    }
    if (rc < 0)
        return rc;
    unit->first = file.trailer.first;
    unit->end = file.trailer.end;
    unit->bytes = file.trailer.ledger.bytes_read + file.trailer.ledger.bytes_damaged;
    unit->documents = file.trailer.n_documents;
    unit->images = file.trailer.ledger.images_in;
    unit->state = FINISHED;
    vlm_unit_close(&file);
    return VLM_OK;
}

static int finish(struct crew *crew, struct slot *slot, int wait_status, struct vlm_err *err)
{
    slot->pid = 0;
    crew->state->unconfined |= slot->page->unconfined;
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0)
        return read_result(crew, slot->unit, err);
    if (WIFEXITED(wait_status) && slot->page->code < 0) {
        slot->page->message[sizeof(slot->page->message) - 1] = 0;
        return vlm_fail(err, slot->page->code, "%s", slot->page->message);
    }
    return mourn(crew, slot, wait_status, err);
}

/* Accepting -------------------------------------------------------------------------------------- */

/* All of the unit's range belongs to a record that began before it. */
static int write_empty(struct crew *crew, size_t index, uint64_t end, struct vlm_err *err)
{
    struct vlm_unit_writer writer;
    int fd = create_temporary(crew, index, err);
    int rc = fd < 0 ? fd : vlm_unit_begin(&writer, fd, "unit file", crew->plan->check, err);
    if (rc == VLM_OK) {
        writer.trailer.first = writer.trailer.end = end;
        rc = vlm_unit_end(&writer, err);
        vlm_unit_release(&writer);
    }
    if (fd >= 0)
        close(fd);
    crew->units[index].first = crew->units[index].end = end;
    crew->units[index].bytes = crew->units[index].documents = crew->units[index].images = 0;
    return rc;
}

static int publish(struct crew *crew, size_t index, struct vlm_err *err)
{
    char *from = temporary_path(crew->folder, index), *to = vlm_unit_path(crew->folder, index);
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? vlm_fail_errno(err, errno, "cannot read '%s'", from)
                    : vlm_file_publish(fd, from, to, err);
    if (fd >= 0)
        close(fd);
    free(from);
    free(to);
    return rc;
}

static void count_accepted(struct crew *crew, size_t index)
{
    struct unit *unit = &crew->units[index];
    unit->state = ACCEPTED;
    crew->state->units_accepted++;
    free(unit->killers);
    unit->killers = NULL;
}

/* Where the unit must have begun: the true end of the one before it in the same input. */
static bool expected_begin(const struct crew *crew, size_t index, uint64_t *begin)
{
    const struct vlm_plan_unit *range = &crew->plan->units[index];
    const struct vlm_input *input = &crew->plan->inputs[range->input];
    if (range->begin == 0 || input->format == VLM_DUMP_FILES)
        return false;
    *begin = crew->units[index - 1].end;
    return true;
}

/* Accepts finished units in order as far as they go. A wrong guess makes its unit pending again. */
static int accept_units(struct crew *crew, struct vlm_err *err)
{
    int rc = VLM_OK;
    for (; rc == VLM_OK && crew->next_accept < crew->plan->n_units; crew->next_accept++) {
        size_t index = crew->next_accept;
        struct unit *unit = &crew->units[index];
        uint64_t begin;
        if (unit->state == ACCEPTED)
            continue;
        if (unit->state != FINISHED)
            break;
        if (expected_begin(crew, index, &begin) && begin != unit->first) {
            if (begin < crew->plan->units[index].end) {
                unit->begin = begin;
                unit->exact = true;
                unit->state = PENDING;
                crew->next_start = VLM_MIN(crew->next_start, index);
                break;
            }
            rc = write_empty(crew, index, begin, err);
        }
        if (rc == VLM_OK)
            rc = publish(crew, index, err);
        if (rc == VLM_OK)
            count_accepted(crew, index);
    }
    return rc;
}

/* Units that an earlier run finished, as far as their chain is whole. */
static int resume(struct crew *crew, struct vlm_err *err)
{
    for (size_t i = 0; i < crew->plan->n_units; i++) {
        struct unit *unit = &crew->units[i];
        struct vlm_unit file;
        uint64_t begin;
        *unit = (struct unit){ .begin = crew->plan->units[i].begin, .exact = true };
        unit->exact = crew->plan->units[i].begin == 0;
        bool chained = !expected_begin(crew, i, &begin) || crew->units[i - 1].state == ACCEPTED;
        char *path = vlm_unit_path(crew->folder, i);
        int rc = chained ? vlm_unit_open(&file, path, crew->plan->check, err) : VLM_SKIP;
        free(path);
        if (rc < 0)
            return rc;
        if (rc == VLM_SKIP)
            continue;
        bool fits = !expected_begin(crew, i, &begin) || begin == file.trailer.first;
        if (fits) {
            unit->first = file.trailer.first;
            unit->end = file.trailer.end;
            unit->bytes = file.trailer.ledger.bytes_read + file.trailer.ledger.bytes_damaged;
            unit->documents = file.trailer.n_documents;
            unit->images = file.trailer.ledger.images_in;
            crew->state->bytes_resumed += unit->bytes;
            count_accepted(crew, i);
        }
        vlm_unit_close(&file);
    }
    return VLM_OK;
}

/* The loop --------------------------------------------------------------------------------------- */

static int start_workers(struct crew *crew, struct vlm_err *err)
{
    size_t limit = VLM_MIN(crew->plan->n_units, crew->next_accept + WINDOW * crew->n_slots);
    for (size_t s = 0; s < crew->n_slots; s++) {
        struct slot *slot = &crew->slots[s];
        if (slot->pid)
            continue;
        while (crew->next_start < limit && crew->units[crew->next_start].state != PENDING)
            crew->next_start++;
        if (crew->next_start == limit)
            break;
        int rc = start(crew, slot, crew->next_start, err);
        if (rc < 0)
            return rc;
    }
    return VLM_OK;
}

static int reap(struct crew *crew, struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t s = 0; s < crew->n_slots && rc == VLM_OK; s++) {
        struct slot *slot = &crew->slots[s];
        int wait_status;
        if (!slot->pid || waitpid(slot->pid, &wait_status, WNOHANG) != slot->pid)
            continue;
        rc = finish(crew, slot, wait_status, err);
        crew->next_start = VLM_MIN(crew->next_start, slot->unit);
    }
    return rc;
}

/* Anonymous and shared memory of a process: pages that the kernel may drop are not ours. */
static uint64_t memory_of(pid_t pid)
{
    char path[64], line[128];
    uint64_t total = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file))
        if (!strncmp(line, "RssAnon:", 8) || !strncmp(line, "RssShmem:", 9))
            total += strtoull(strchr(line, ':') + 1, NULL, 10) * 1024;
    fclose(file);
    return total;
}

static void watch(struct crew *crew)
{
    struct vlm_crew_state *state = crew->state;
    state->bytes = state->documents = state->images = state->running = 0;
    for (size_t i = 0; i < crew->plan->n_units; i++) {
        const struct unit *unit = &crew->units[i];
        if (unit->state == ACCEPTED || unit->state == FINISHED) {
            state->bytes += unit->bytes;
            state->documents += unit->documents;
            state->images += unit->images;
        }
    }
    state->memory = memory_of(getpid());
    for (size_t s = 0; s < crew->n_slots; s++) {
        struct slot *slot = &crew->slots[s];
        if (!slot->pid)
            continue;
        state->running++;
        state->bytes += slot->page->bytes;
        state->documents += slot->page->documents;
        state->images += slot->page->images;
        state->memory += memory_of(slot->pid);
        if (slot->page->offset != slot->seen_offset) {
            slot->seen_offset = slot->page->offset;
            slot->seen_at = now_ms();
        } else if (now_ms() - slot->seen_at > STUCK_MS && !slot->killed) {
            slot->killed = true;
            kill(slot->pid, SIGKILL);
        }
    }
    state->memory_peak = VLM_MAX(state->memory_peak, state->memory);
}

static void stop_workers(struct crew *crew)
{
    for (size_t s = 0; s < crew->n_slots; s++) {
        struct slot *slot = &crew->slots[s];
        if (slot->pid) {
            kill(slot->pid, SIGKILL);
            waitpid(slot->pid, NULL, 0);
        }
        if (slot->page) {
            munmap(slot->page, sizeof(*slot->page));
            close(slot->page_fd);
        }
    }
    for (size_t i = 0; i < crew->plan->n_units; i++) {
        if (crew->units[i].state != ACCEPTED) {
            char *path = temporary_path(crew->folder, i);
            unlink(path);
            free(path);
        }
        free(crew->units[i].killers);
    }
}

/* Starts and accepts what can be; true when all units are accepted. No worker waits for the disk, so the
 * idle ones are started first; what is accepted may let more of them start. */
static int advance(struct crew *crew, bool *done, struct vlm_err *err)
{
    int rc = start_workers(crew, err);
    if (rc == VLM_OK)
        rc = accept_units(crew, err);
    *done = crew->next_accept == crew->plan->n_units;
    return rc == VLM_OK && !*done ? start_workers(crew, err) : rc;
}

static int loop(struct crew *crew, vlm_crew_tell *tell, void *context, int *signal_number,
                struct vlm_err *err)
{
    const struct timespec tick = { .tv_nsec = TICK_MS * 1000000 };
    uint64_t told = 0;
    bool done = false;
    sigset_t watched;
    vlm_stop_signals(&watched);
    int rc = advance(crew, &done, err);
    while (rc == VLM_OK && !done) {
        int got = sigtimedwait(&watched, NULL, &tick);
        if (got == SIGINT || got == SIGTERM) {
            *signal_number = got;
            return vlm_fail_stopped(err);
        }
        rc = reap(crew, err);
        if (rc == VLM_OK)
            rc = advance(crew, &done, err);
        if (rc == VLM_OK && now_ms() - told >= TICK_MS) {
            told = now_ms();
            watch(crew);
            tell(crew->state, context);
        }
    }
    return rc;
}

int vlm_crew_run(const struct vlm_plan *plan, const char *folder,
                 const struct vlm_build_options *options, vlm_crew_tell *tell, void *context,
                 struct vlm_crew_state *state, int *signal_number, struct vlm_err *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct crew crew = {
        .plan = plan,
        .folder = folder,
        .options = options,
        .state = state,
        .n_slots = options->threads ? (size_t)options->threads : (size_t)VLM_MAX(cores, 1),
    };
    *state = (struct vlm_crew_state){ 0 };
    crew.units = calloc(plan->n_units + 1, sizeof(*crew.units));
    crew.slots = calloc(crew.n_slots, sizeof(*crew.slots));
    int rc = crew.units && crew.slots
                 ? VLM_OK
                 : vlm_fail(err, VLM_ENOMEM, "no memory for %zu units", plan->n_units);
    if (rc == VLM_OK) {
        rc = resume(&crew, err);
        if (rc == VLM_OK)
            rc = loop(&crew, tell, context, signal_number, err);
        stop_workers(&crew);
    }
    free(crew.units);
    free(crew.slots);
    return rc;
}
