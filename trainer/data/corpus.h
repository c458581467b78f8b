/* corpus.h - the shard sets that a run learns from, and which document comes when.
 *
 *   struct vlm_corpus *corpus;
 *   rc = vlm_corpus_open(&corpus, &options, &err);
 *   rc = vlm_corpus_reader_new(&reader, corpus, &err);                      // one a thread
 *   struct vlm_pick pick = vlm_corpus_pick(corpus, &cursor);                // moves the cursor on
 *   rc = vlm_corpus_document(reader, pick, VLM_SPLIT_TRAIN, &document, &why, arena, &err);
 *
 * Nothing is copied and nothing is indexed: parts are mapped, a document is found by its number, and an
 * epoch's order is a permutation that is computed (a Feistel network over the documents' numbers, keyed by
 * seed, source and epoch: Black and Rogaway 2002). So the first batch comes at once, and a place in the data
 * is a few integers.
 *
 * schemas/order.md says all of it in numbers.
 *
 * Validation documents are those whose id, hashed, falls below the share: the same ones in any order,
 * epoch, mix and machine. They are left out of training where they come up. */
#ifndef VLM_TRAINER_CORPUS_H
#define VLM_TRAINER_CORPUS_H

#include "shard/parts/set.h"

enum { VLM_SOURCES_MAX = 64 };

struct vlm_corpus_options {
    const char *folder[VLM_SOURCES_MAX]; /* shard sets */
    double weight[VLM_SOURCES_MAX]; /* shares of documents, any positive numbers; all 0: one corpus,
                                            each set as its number of documents */
    size_t n;
    uint64_t seed;
    double validation_share; /* of documents, 0 to 0.5 */
    /* id of the codes; NULL: the first that all sets with codes have. A set without codes is fine: its
     * images are left out. */
    const char *image_tokenizer;
    bool no_verify; /* parts are not checked against their checksums first */
};

struct vlm_source_info {
    const char *folder;
    double weight; /* its share of all documents that are drawn: they add up to 1 */
    uint64_t documents;
    uint64_t images;                 /* in its parts */
    bool coded;                      /* it has codes of them */
    uint8_t digest[VLM_SHA256_SIZE]; /* over the parts: vlm_parts_digest() */
    uint64_t generation;
    bool profiled; /* vlm_manifest_has_profile(): VLM_RENDER_MAIN */
};

struct vlm_corpus; /* read-only once open, but for tombstones: any thread */

/* VLM_EFAIL, VLM_EFORMAT, VLM_EDIFFER: a set that is missing, damaged or unfinished, in one sentence that names
 * it; VLM_EUSAGE: sets with codes of different tokenizers, with both; no document at all. */
VLM_MUST_CHECK int vlm_corpus_open(struct vlm_corpus **out,
                                   const struct vlm_corpus_options *options, struct vlm_err *err);
void vlm_corpus_close(struct vlm_corpus *corpus); /* NULL is fine */

size_t vlm_corpus_sources(const struct vlm_corpus *corpus);
const struct vlm_source_info *vlm_corpus_source(const struct vlm_corpus *corpus, size_t source);
/* The tokenizer of the codes; NULL: there are none. */
const struct vlm_set_tokenizer *vlm_corpus_tokenizer(const struct vlm_corpus *corpus);

/* How far a run has come: documents drawn of each source (validation and deleted ones included). */
struct vlm_cursor {
    uint64_t drawn[VLM_SOURCES_MAX];
};

struct vlm_pick {
    size_t source;
    uint64_t number; /* of the document in its source */
    uint64_t epoch;
};

/* The document at the cursor, which moves on: of the sources that it does not put a whole document before their
 * share, the one whose next document is due first, the first of several (the quota method: Balinski and Young
 * 1975). So at any time every source is within one document of its share. */
struct vlm_pick vlm_corpus_pick(const struct vlm_corpus *corpus, struct vlm_cursor *cursor);

/* Rereads deleted.jsonl of the sets where it has changed (schemas/deleted.md): what it names is left out from
 * now on, also by loaders that are under way, at their next batch. Call it at each batch; it costs a stat() a set.
 * *new_ones: how many names were added. VLM_SKIP: all is done, but lines that are no tombstones were passed over;
 * err says which, once. */
VLM_MUST_CHECK int vlm_corpus_tombstones(struct vlm_corpus *corpus, uint64_t *new_ones,
                                         struct vlm_err *err);

/* How often that has added names. */
uint64_t vlm_corpus_generation(const struct vlm_corpus *corpus);

/* One thread's way to the documents: it maps parts as they are asked for. Free it before the corpus. */
struct vlm_corpus_reader;
VLM_MUST_CHECK int vlm_corpus_reader_new(struct vlm_corpus_reader **out, struct vlm_corpus *corpus,
                                         struct vlm_err *err);
void vlm_corpus_reader_free(struct vlm_corpus_reader *reader); /* NULL is fine */

enum vlm_split { VLM_SPLIT_TRAIN, VLM_SPLIT_VALIDATION, VLM_SPLIT_ALL };

/* Why a document is not given. */
enum vlm_left_out {
    VLM_LEFT_OUT_NOT,
    VLM_LEFT_OUT_SPLIT,   /* it is of the other split */
    VLM_LEFT_OUT_DELETED, /* deleted.jsonl names it */
    VLM_LEFT_OUT_DAMAGED, /* its record is not what was written; err says what */
};

/* The document of a pick with its codes, in arena; deleted images are as those of which the page opts out.
 * VLM_SKIP: it is left out, and *why says why. */
VLM_MUST_CHECK int vlm_corpus_document(struct vlm_corpus_reader *reader, struct vlm_pick pick,
                                       enum vlm_split split, struct vlm_document **document,
                                       enum vlm_left_out *why, struct vlm_arena *arena,
                                       struct vlm_err *err);

#endif
