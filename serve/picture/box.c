/* box.c - the server's end of the box: starts the process, gives it a picture, waits, and believes nothing that
 * comes back before it was checked.
 *
 * The caller is a thread that waits; it looks at *stop and at the clock every few milliseconds, whatever the
 * process does. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/progress.h"
#include "serve/picture/box_internal.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TICK_MS = 10,  /* between two looks at the stop flag */
    GRACE_MS = 30, /* for a picture that is nearly done when nobody wants it any more */
    START_MS =
        30 * 1000, /* until a new process says that it is confined; a busy machine has taken 10 s */
    SENTENCE_MAX = 512, /* bytes that are taken of a sentence */
    ATTEMPTS = 3,       /* at a picture whose reader dies */
};

struct vlm_box {
    const char *program;
    uint64_t limit_ms;
    pid_t process; /* 0: none */
    int socket;    /* -1: none */
    uint64_t restarts;
    char warning[SENTENCE_MAX];
};

static uint64_t now_ms(void)
{
    return (uint64_t)(vlm_now() * 1e3);
}

/* ---- the process ---- */

static void stop_process(struct vlm_box *box)
{
    if (box->socket >= 0)
        close(box->socket);
    box->socket = -1;
    if (box->process > 0) {
        kill(box->process, SIGKILL);
        while (waitpid(box->process, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    box->process = 0;
}

/* Of the environment only what a program needs to be loaded at all: keys and paths are nobody's business. */
static size_t make_environment(char **environment, size_t n)
{
    extern char **environ;
    static const char *const kept[] = { "LD_LIBRARY_PATH=", "ASAN_OPTIONS=", "TSAN_OPTIONS=",
                                        "UBSAN_OPTIONS=" };
    static char one_thread[] = "OPENBLAS_NUM_THREADS=1";
    size_t used = 0;
    environment[used++] = one_thread; /* it starts threads when it is loaded */
    for (char **at = environ; *at; at++)
        for (size_t i = 0; i < VLM_COUNTOF(kept) && used + 1 < n; i++)
            if (!strncmp(*at, kept[i], strlen(kept[i])))
                environment[used++] = *at;
    environment[used] = NULL;
    return used;
}

static int spawn_with(struct vlm_box *box, int socket, struct vlm_err *err)
{
    char name[] = "vlm-picture-box", verb[] = VLM_BOX_VERB, *environment[8];
    char *arguments[] = { name, verb, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    make_environment(environment, VLM_COUNTOF(environment));
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, socket, VLM_BOX_SOCKET);
    int number =
        posix_spawn(&box->process, box->program, &actions, &attributes, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (!number)
        return VLM_OK;
    box->process = 0;
    return vlm_fail_errno(err, number, "cannot start '%s'", box->program);
}

/* ---- bytes over the socket ---- */

/* Until when something may take, and what ends it before. */
struct patience {
    uint64_t until;
    const atomic_bool *stop; /* NULL: nothing */
    bool stopped;
};

/* VLM_OK: the socket is ready; VLM_ESTOPPED, VLM_ELIMIT. */
static int wait_for(const struct vlm_box *box, short events, struct patience *patience)
{
    for (;;) {
        struct pollfd it = { .fd = box->socket, .events = events };
        if (patience->stop && !patience->stopped && atomic_load(patience->stop)) {
            patience->stopped = true;
            patience->until = VLM_MIN(patience->until, now_ms() + GRACE_MS);
        }
        const uint64_t now = now_ms();
        if (now >= patience->until)
            return patience->stopped ? VLM_ESTOPPED : VLM_ELIMIT;
        int ready = poll(&it, 1, (int)VLM_MIN(patience->until - now, TICK_MS));
        if (ready > 0)
            return VLM_OK;
    }
}

/* VLM_EOF: the other end is gone. */
static int give(const struct vlm_box *box, const void *bytes, size_t n, struct patience *patience)
{
    for (const uint8_t *at = bytes; n;) {
        ssize_t some = send(box->socket, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (some > 0) {
            at += some;
            n -= (size_t)some;
            continue;
        }
        if (some == 0 || (errno != EAGAIN && errno != EINTR))
            return VLM_EOF;
        int rc = wait_for(box, POLLOUT, patience);
        if (rc != VLM_OK)
            return rc;
    }
    return VLM_OK;
}

static int take(const struct vlm_box *box, void *bytes, size_t n, struct patience *patience)
{
    for (uint8_t *at = bytes; n;) {
        ssize_t some = recv(box->socket, at, n, MSG_DONTWAIT);
        if (some > 0) {
            at += some;
            n -= (size_t)some;
            continue;
        }
        if (some == 0 || (errno != EAGAIN && errno != EINTR))
            return VLM_EOF;
        int rc = wait_for(box, POLLIN, patience);
        if (rc != VLM_OK)
            return rc;
    }
    return VLM_OK;
}

/* Header and sentence of an answer, or the square. VLM_EFORMAT: not what we would have sent. */
static int take_answer(struct vlm_box *box, struct vlm_box_answer *answer, uint8_t *square,
                       char sentence[SENTENCE_MAX], struct patience *patience)
{
    int rc = take(box, answer, sizeof(*answer), patience);
    sentence[0] = 0;
    if (rc != VLM_OK)
        return rc;
    const bool whole = answer->rc == VLM_OK && square;
    if (answer->magic != VLM_BOX_MAGIC || answer->status >= VLM_IMAGE_STATUSES ||
        answer->format >= VLM_FORMATS ||
        (whole ? answer->size != VLM_SQUARE_BYTES : answer->size >= sizeof(struct vlm_err)))
        return VLM_EFORMAT;
    if (whole)
        return take(box, square, VLM_SQUARE_BYTES, patience);
    char text[sizeof(struct vlm_err)];
    rc = take(box, text, answer->size, patience);
    if (rc == VLM_OK) {
        const size_t n = VLM_MIN(answer->size, (uint32_t)SENTENCE_MAX - 1);
        for (size_t i = 0; i < n; i++) /* it may end in a log or in JSON */
            sentence[i] = (char)(text[i] >= ' ' && text[i] < 127 ? text[i] : '?');
        sentence[n] = 0;
    }
    return rc;
}

static int start_process(struct vlm_box *box, struct vlm_err *err)
{
    struct vlm_box_answer hello;
    struct patience patience = { .until = now_ms() + START_MS };
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return vlm_fail_errno(err, errno, "cannot make a socket");
    box->socket = pair[0];
    int rc = spawn_with(box, pair[1], err);
    close(pair[1]);
    if (rc == VLM_OK && take_answer(box, &hello, NULL, box->warning, &patience) != VLM_OK)
        rc = vlm_fail(err, VLM_EFAIL, "'%s " VLM_BOX_VERB "' says nothing", box->program);
    if (rc != VLM_OK)
        stop_process(box);
    return rc;
}

int vlm_box_new(struct vlm_box **out, const char *program, double seconds, struct vlm_err *err)
{
    struct vlm_box *box = calloc(1, sizeof(*box));
    *out = NULL;
    if (!box)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a reader of pictures");
    *box = (struct vlm_box){ .program = program,
                             .limit_ms = (uint64_t)(seconds * 1000),
                             .socket = -1 };
    int rc = start_process(box, err);
    if (rc != VLM_OK) {
        vlm_box_free(box);
        return rc;
    }
    *out = box;
    return VLM_OK;
}

void vlm_box_free(struct vlm_box *box)
{
    if (!box)
        return;
    stop_process(box);
    free(box);
}

const char *vlm_box_warning(const struct vlm_box *box)
{
    return box->warning;
}

uint64_t vlm_box_restarts(const struct vlm_box *box)
{
    return box->restarts;
}

/* ---- one picture ---- */

static int exchange(struct vlm_box *box, struct vlm_box_picture *picture, enum vlm_box_kind kind,
                    const uint8_t *bytes, size_t n, struct patience *patience, struct vlm_err *err)
{
    const struct vlm_box_order order = { .magic = VLM_BOX_MAGIC, .kind = kind, .size = n };
    struct vlm_box_answer answer;
    char sentence[SENTENCE_MAX];
    int rc = give(box, &order, sizeof(order), patience);
    if (rc == VLM_OK)
        rc = give(box, bytes, n, patience);
    if (rc == VLM_OK)
        rc = take_answer(box, &answer, picture->square, sentence, patience);
    if (rc != VLM_OK)
        return rc;
    picture->status = (enum vlm_image_status)answer.status;
    picture->format = (enum vlm_image_format)answer.format;
    picture->width = answer.width;
    picture->height = answer.height;
    if (answer.rc == VLM_OK)
        return VLM_OK;
    return vlm_fail(err, VLM_SKIP, "%s", sentence);
}

/* A picture during which the process died, or did not come back. */
static int mourn(struct vlm_box *box, struct vlm_box_picture *picture, int rc, struct vlm_err *err)
{
    stop_process(box);
    picture->status = VLM_IMAGE_WORKER_CRASH;
    if (rc == VLM_ESTOPPED)
        return vlm_fail(err, VLM_ESTOPPED, "nobody wants the picture any more");
    if (rc == VLM_ELIMIT)
        return vlm_fail(err, VLM_EFORMAT, "picture that is not read within %g seconds",
                        (double)box->limit_ms / 1000);
    return vlm_fail(err, VLM_EFORMAT, "picture that killed the reader");
}

int vlm_box_read(struct vlm_box *box, struct vlm_box_picture *picture, enum vlm_box_kind kind,
                 const uint8_t *bytes, size_t n, const atomic_bool *stop, struct vlm_err *err)
{
    picture->status = VLM_IMAGE_OK;
    picture->format = VLM_FORMAT_UNKNOWN;
    picture->width = picture->height = 0;
    if (n > VLM_IMAGE_BYTES_MAX) {
        picture->status = VLM_IMAGE_TOO_LARGE_BYTES;
        return vlm_fail(err, VLM_EFORMAT, "picture of %zu bytes, at most %zu are read", n,
                        VLM_IMAGE_BYTES_MAX);
    }
    for (int attempt = 0;; attempt++) {
        struct patience patience = { .until = now_ms() + box->limit_ms, .stop = stop };
        if (!box->process) {
            int rc = start_process(box, err);
            if (rc != VLM_OK && attempt < ATTEMPTS - 1)
                continue;     /* it was killed before it said anything */
            if (rc != VLM_OK) /* why is nothing that a client could know or change */
                return vlm_fail(err, VLM_ELIMIT,
                                "no process that reads pictures can be started now, try again");
            box->restarts++;
        }
        int rc = exchange(box, picture, kind, bytes, n, &patience, err);
        if (rc == VLM_OK)
            return VLM_OK;
        if (rc == VLM_SKIP)
            return vlm_recode(err, VLM_EFORMAT);
        const bool died = rc == VLM_EOF;
        rc = mourn(box, picture, rc, err);
        /* It may have died between two pictures, or of something else: a second one says so or not. */
        if (!died || attempt >= ATTEMPTS - 1)
            return rc;
    }
}
