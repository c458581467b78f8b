/* available.h - how much memory there is to take. */
#ifndef VLM_BASE_AVAILABLE_H
#define VLM_BASE_AVAILABLE_H

#include "base/vlm.h"

/* Bytes of memory that this process could take now: what the system says is available, and what is left of
 * the limits of its control groups. */
size_t vlm_memory_available(void);

#endif
