/* signals.c - a handler that notes the signal and no more. */
#include "base/vlm.h"

#include "tools/common/signals.h"

#include <unistd.h>

/* A signal handler has no other way to tell what came. */
static volatile sig_atomic_t signal_seen;

static void note_signal(int number)
{
    if (signal_seen)
        _exit(128 + number);
    signal_seen = number;
}

volatile sig_atomic_t *vlm_catch_signals(void)
{
    struct sigaction action = { .sa_handler = note_signal, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &signal_seen;
}

int vlm_tool_end_caught(const struct vlm_tool *tool, int result, const struct vlm_err *err)
{
    int status = vlm_tool_end(tool, result, err);
    return result == VLM_ESTOPPED && signal_seen ? 128 + (int)signal_seen : status;
}
