/* crew.h - all units of a plan through worker processes, accepted in order. */
#ifndef VLM_SHARD_POOL_H
#define VLM_SHARD_POOL_H

#include "shard/options.h"
#include "shard/units/plan.h"

/* What the crew tells while it runs; called a few times a second. */
struct vlm_crew_state {
    uint64_t bytes, documents, images; /* in accepted units and by running workers */
    uint64_t bytes_resumed;            /* of them, done by an earlier run */
    size_t units_accepted, running;
    uint64_t memory, memory_peak; /* sum over processes of anonymous and shared memory */
    uint64_t crashes;
    bool unconfined;  /* the kernel offers no seccomp */
    bool clock_fired; /* a worker was killed because it made no progress for minutes */
};
typedef void vlm_crew_tell(const struct vlm_crew_state *state, void *context);

/* Path of the unit file in the work folder; the caller frees it. */
char *vlm_unit_path(const char *folder, size_t unit);

/* Makes the unit files of the plan in folder that are not there. The signals of stop.h must be blocked.
 * VLM_ESTOPPED when SIGINT or SIGTERM came (*signal gets it): whole units stay, temporary files are
 * deleted. */
VLM_MUST_CHECK int vlm_crew_run(const struct vlm_plan *plan, const char *folder,
                                const struct vlm_build_options *options, vlm_crew_tell *tell,
                                void *context, struct vlm_crew_state *state, int *signal,
                                struct vlm_err *err);

#endif
