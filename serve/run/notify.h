/* notify.h - tells systemd how the service is: sd_notify(3), without its library. */
#ifndef VLM_SERVE_NOTIFY_H
#define VLM_SERVE_NOTIFY_H

#include "base/vlm.h"

/* Sends "READY=1" and the like to $NOTIFY_SOCKET; nothing without one. Failures are nobody's business here. */
void vlm_notify(const char *state);

/* Seconds within which WATCHDOG=1 is expected, of $WATCHDOG_USEC; 0: never. */
double vlm_notify_watchdog(void);

#endif
