/* stop.h - SIGINT and SIGTERM as a question instead of an interruption. */
#ifndef VLM_SHARD_STOP_H
#define VLM_SHARD_STOP_H

#include "base/vlm.h"

#include <signal.h>
#include <time.h>

/* The signals that ask to stop, and SIGCHLD. Blocked by a build for as long as it runs. */
static inline void vlm_stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

/* The number of a stop signal that has come while they are blocked, or 0. */
static inline int vlm_stop_pending(void)
{
    sigset_t pending;
    if (sigpending(&pending) < 0)
        return 0;
    return sigismember(&pending, SIGINT) ? SIGINT : sigismember(&pending, SIGTERM) ? SIGTERM : 0;
}

/* Takes what has come, before the signals are let through again: they have been answered. */
static inline void vlm_stop_drain(const sigset_t *set)
{
    const struct timespec at_once = { 0 };
    while (sigtimedwait(set, NULL, &at_once) > 0)
        continue;
}

static inline int vlm_fail_stopped(struct vlm_err *err)
{
    return vlm_fail(err, VLM_ESTOPPED, "stopped by a signal; run the same command to go on");
}

#endif
