/* duration.h - times as people write them in options. */
#ifndef VLM_TOOLS_DURATION_H
#define VLM_TOOLS_DURATION_H

#include "base/vlm.h"

/* Seconds of "90", "30s", "5m", "4h", "2d". */
VLM_MUST_CHECK int vlm_duration_parse(double *seconds, const char *option, const char *text,
                                      struct vlm_err *err);

#endif
