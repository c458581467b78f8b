/* sandbox.h - the box around everything that touches bytes from outside. */
#ifndef VLM_SHARD_SANDBOX_H
#define VLM_SHARD_SANDBOX_H

#include "base/vlm.h"

/* For the rest of this process: no new files, no network, no processes, no executable memory; only
 * reading and writing what is open. Memory is capped at address_space bytes. What a library opens
 * lazily must be open before. A forbidden call kills the process. VLM_SKIP with a sentence when the
 * kernel offers no seccomp: the caller warns and goes on with the limits alone. */
VLM_MUST_CHECK int vlm_sandbox_enter(uint64_t address_space, struct vlm_err *err);

#endif
