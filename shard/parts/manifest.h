/* manifest.h - manifest.json: what a shard set is made of, and the books of the run that made it. */
#ifndef VLM_SHARD_MANIFEST_H
#define VLM_SHARD_MANIFEST_H

#include "base/json.h"
#include "shard/ledger.h"
#include "vqgan/tokenizer/tokenizer.h"

#define VLM_SET_FORMAT "vlm-shard-set 2"

/* Parts are also hashed in blocks, so that verify can say where one is damaged. */
enum { VLM_BLOCK_BYTES = 1 << 20 };

/* Codes that a set, or a part of it, holds: of each image, or of each but some. */
enum { VLM_SET_TOKENIZERS_MAX = 16 };

struct vlm_set_tokenizer {
    char id[VLM_TOKENIZER_ID_SIZE];
    uint64_t codebook_size; /* codes are 0 to codebook_size - 1 */
    uint64_t codes;         /* records in the databases of all parts */
    uint64_t not_finite;    /* images without codes: the tokenizer gave no number */
};

struct vlm_set_tokenizers {
    struct vlm_set_tokenizer list[VLM_SET_TOKENIZERS_MAX];
    size_t n;
};

/* The index of a tokenizer, or n when the set has no codes of it. */
size_t vlm_tokenizers_find(const struct vlm_set_tokenizers *tokenizers, const char *id);

/* "no codes", or "codes of ID, ID": for sentences. Returns text. */
enum { VLM_TOKENIZERS_TEXT = 16 + VLM_SET_TOKENIZERS_MAX * (VLM_TOKENIZER_ID_SIZE + 2) };
const char *vlm_tokenizers_text(char text[VLM_TOKENIZERS_TEXT],
                                const struct vlm_set_tokenizers *tokenizers);

/* A JSON array: [{"id", "codebook_size", "codes", "skipped": {"not_finite"}}, ...], and back. */
void vlm_tokenizers_write(struct vlm_json *json, const struct vlm_set_tokenizers *tokenizers);
VLM_MUST_CHECK int vlm_tokenizers_read(struct vlm_set_tokenizers *tokenizers, json_object *array,
                                       struct vlm_err *err);

/* The database of a tokenizer's codes in a part: "codes/ID". Returns name. */
enum { VLM_CODES_NAME_SIZE = 6 + VLM_TOKENIZER_ID_SIZE };
const char *vlm_codes_name(char name[VLM_CODES_NAME_SIZE], const char *id);

/* part-00000.lmdb, in later generations part-00000.g2.lmdb and so on: two never have one name. */
enum { VLM_PART_NAME_SIZE = 40 };
void vlm_part_name(char name[VLM_PART_NAME_SIZE], size_t number, uint64_t generation);

/* Whether name is one of these, and of which generation. */
bool vlm_part_name_read(const char *name, uint64_t *generation);

struct vlm_part_info {
    char name[VLM_PART_NAME_SIZE];
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
    struct vlm_set_tokenizers tokenizers;
    struct vlm_part_info *parts;
    size_t n_parts;
};

/* Reads a part as a whole: size, SHA-256, blocks. */
VLM_MUST_CHECK int vlm_part_measure(struct vlm_part_info *part, const char *path,
                                    struct vlm_err *err);

/* Whether an open file is the part: kind, size, each block's checksum. path is for the sentence. VLM_EDIFFER says
 * what differs. Much faster than vlm_part_measure(): no SHA-256. */
VLM_MUST_CHECK int vlm_part_check(const struct vlm_part_info *part, int fd, const char *path,
                                  struct vlm_err *err);

/* Only kind and size. */
VLM_MUST_CHECK int vlm_part_check_size(const struct vlm_part_info *part, int fd, const char *path,
                                       struct vlm_err *err);

/* The hash over the parts' hashes, which names the whole set. */
void vlm_parts_digest(const struct vlm_part_info *parts, size_t n, uint8_t digest[VLM_SHA256_SIZE]);

/* The report as one JSON object (interfaces: --json of vlm-shard). */
void vlm_report_write(struct vlm_json *json, const struct vlm_run_report *report);

/* manifest.json of a new set: plan is the plan's JSON text. */
void vlm_manifest_write(struct vlm_buffer *out, const struct vlm_run_report *report,
                        const struct vlm_buffer *plan);

/* A manifest as read: numbers of the ledger by name are checked in verify. */
struct vlm_manifest {
    json_object *root, *report, *plan;
    struct vlm_set_tokenizers tokenizers;
    struct vlm_part_info *parts;
    size_t n_parts;
    uint64_t generation;
};

/* Whether the folder is a shard set of any version: its manifest.json says so. */
bool vlm_is_shard_set(const char *folder);

/* Reads OUT/manifest.json. VLM_SKIP when the folder has none: it is no (finished) shard set. */
VLM_MUST_CHECK int vlm_manifest_read(struct vlm_manifest *manifest, const char *folder,
                                     struct vlm_err *err);
void vlm_manifest_release(struct vlm_manifest *manifest);

/* Whether a profile chose the documents: then their main content is what it judged, and what the bare forms
 * show (VLM_RENDER_MAIN). */
bool vlm_manifest_has_profile(const struct vlm_manifest *manifest);

/* manifest.json of the next generation of a set: other parts, as many of them, and tokenizers; all else as
 * it was. VLM_ENOMEM. */
VLM_MUST_CHECK int vlm_manifest_renew(struct vlm_buffer *out, const struct vlm_manifest *was,
                                      const struct vlm_part_info *parts,
                                      const struct vlm_set_tokenizers *tokenizers,
                                      struct vlm_err *err);

#endif
