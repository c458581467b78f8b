/* signals.h - SIGINT and SIGTERM as a question instead of an interruption. For mains only.
 *
 *   const volatile sig_atomic_t *stop = vlm_catch_signals();
 *   while (rc == VLM_OK && work_is_left)
 *       rc = *stop ? vlm_fail(&err, VLM_ESTOPPED, "stopped by a signal") : do_more(&err);
 *   return vlm_tool_end_caught(&tool, rc, &err); */
#ifndef VLM_TOOLS_SIGNALS_H
#define VLM_TOOLS_SIGNALS_H

#include "base/option.h"

#include <signal.h>

/* From now on SIGINT and SIGTERM only set the flag that is returned to their number. A second one ends
 * the program at once. */
volatile sig_atomic_t *vlm_catch_signals(void);

/* vlm_tool_end(); and 130 or 143 for VLM_ESTOPPED after a signal. */
int vlm_tool_end_caught(const struct vlm_tool *tool, int result, const struct vlm_err *err);

#endif
