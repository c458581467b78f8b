/* verify.h - is a shard set what its manifest says, down to every byte and every count. */
#ifndef VLM_SHARD_VERIFY_H
#define VLM_SHARD_VERIFY_H

#include "base/vlm.h"

/* Called for each finding with one line: "part-00000.lmdb: docs[42]: checksum of the document differs". */
typedef void vlm_finding(const char *line, void *context);

/* Checks every part (size, SHA-256, each record's checksum and layout, order of keys, images that documents
 * use, counts) and the equations of the ledger. Parts are opened in a confined process of their own,
 * because LMDB trusts its file; a crash there is a finding. *findings gets their number. Only a set that
 * cannot be looked at is an error. */
VLM_MUST_CHECK int vlm_verify(const char *folder, vlm_finding *tell, void *context,
                              uint64_t *findings, struct vlm_err *err);

/* The process that looks into one part: `vlm-shard verify-part PATH` (findings as lines on stdout). */
int vlm_verify_part_main(const char *path, const char *documents, const char *images);

#endif
