/* manifest.h - manifest.json: what a shard set is made of, and the books of the run that made it. */
#ifndef VLM_SHARD_MANIFEST_H
#define VLM_SHARD_MANIFEST_H

#include "base/json.h"
#include "shard/ledger.h"

#define VLM_SET_FORMAT "vlm-shard-set 1"

/* Parts are also hashed in blocks, so that verify can say where one is damaged. */
enum { VLM_BLOCK_BYTES = 1 << 20 };

struct vlm_part_info {
    char name[24]; /* part-00000.lmdb */
    uint64_t size, documents, images;
    uint8_t sha256[VLM_SHA256_SIZE];
    uint64_t *blocks; /* XXH3-64 of each VLM_BLOCK_BYTES */
    size_t n_blocks;
};

struct vlm_run_report {
    struct vlm_ledger ledger;
    uint64_t bytes_in;
    double seconds;
    uint64_t memory_peak, crashes;
    bool clock_fired, unconfined;
    struct vlm_part_info *parts;
    size_t n_parts;
};

/* Reads a part as a whole: size, SHA-256, blocks. */
VLM_MUST_CHECK int vlm_part_measure(struct vlm_part_info *part, const char *path,
                                    struct vlm_err *err);

/* The hash over the parts' hashes, which names the whole set. */
void vlm_parts_digest(const struct vlm_part_info *parts, size_t n, uint8_t digest[VLM_SHA256_SIZE]);

/* The report as one JSON object (interfaces: --json of vlm-shard). */
void vlm_report_write(struct vlm_json *json, const struct vlm_run_report *report);

/* manifest.json: plan is the plan's JSON text. */
void vlm_manifest_write(struct vlm_buffer *out, const struct vlm_run_report *report,
                        const struct vlm_buffer *plan, uint64_t generation);

/* A manifest as read: numbers of the ledger by name are checked in verify. */
struct vlm_manifest {
    json_object *root, *report, *plan;
    struct vlm_part_info *parts;
    size_t n_parts;
    uint64_t generation;
};

/* Reads OUT/manifest.json. VLM_SKIP when the folder has none: it is no (finished) shard set. */
VLM_MUST_CHECK int vlm_manifest_read(struct vlm_manifest *manifest, const char *folder,
                                     struct vlm_err *err);
void vlm_manifest_release(struct vlm_manifest *manifest);

#endif
