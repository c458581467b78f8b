/* seal.h - from unit files to parts: the rules that need the whole crawl, then one write in order. */
#ifndef VLM_SHARD_SEAL_H
#define VLM_SHARD_SEAL_H

#include "shard/parts/manifest.h"
#include "shard/options.h"
#include "shard/units/plan.h"

/* Tells how far seal is: documents done of all. */
typedef void vlm_seal_tell(uint64_t done, uint64_t all, void *context);

/* Joins, filters and writes OUT/part-NNNNN.lmdb from the unit files in folder (OUT/.work).
 * report->tokenizers says whose codes they hold: of none or one. On return the report holds the
 * whole ledger and the parts (the caller frees report->parts and their blocks). The result depends on the
 * content of the units alone. VLM_ESTOPPED: a signal is pending; nothing is lost. */
VLM_MUST_CHECK int vlm_seal_run(const struct vlm_plan *plan, const char *folder,
                                const struct vlm_build_options *options,
                                struct vlm_run_report *report, vlm_seal_tell *tell, void *context,
                                struct vlm_err *err);

#endif
