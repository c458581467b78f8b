/* access_log.h - a line of JSON for each request, written when its answer is through or its client has left. */
#ifndef VLM_SERVE_HTTP_ACCESS_LOG_H
#define VLM_SERVE_HTTP_ACCESS_LOG_H

#include "base/vlm.h"

struct vlm_exchange;

/* status: as answered, or 499 when the client left before the end. Nothing happens without a log. A line that cannot be
 * written is counted, and the next one that can says how many were lost. */
void vlm_access_log(const struct vlm_exchange *exchange, int status);

#endif
