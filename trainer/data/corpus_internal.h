/* corpus_internal.h - what corpus.c opens, corpus_reader.c reads and corpus_deleted.c leaves out. */
#ifndef VLM_TRAINER_CORPUS_INTERNAL_H
#define VLM_TRAINER_CORPUS_INTERNAL_H

#include "shard/parts/tombstones.h"
#include "trainer/data/corpus.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum {
    VLM_PARTS_HELD = 256, /* parts of a corpus whose files stay open from the check on */
    VLM_PARTS_MAPPED = 64 /* parts that a reader has mapped at one time */
};

struct vlm_corpus_part {
    char *path;
    int fd; /* of the file that was checked; -1: beyond VLM_PARTS_HELD, opened by its name */
};

struct vlm_corpus_source {
    struct vlm_source_info info;
    struct vlm_manifest manifest;
    uint64_t *first;               /* [n_parts + 1] number of each part's first document */
    struct vlm_corpus_part *parts; /* [n_parts] */
    size_t first_part;             /* of all sources, counted through */
    const struct vlm_set_tokenizer *tokenizer; /* in its manifest; NULL: it has no codes */
    struct vlm_tombstones tombstones;
};

struct vlm_corpus {
    struct vlm_corpus_source *sources; /* [n] */
    size_t n, n_parts;
    uint64_t seed, validation_below; /* hashes of ids below it are of the validation split */
    const struct vlm_set_tokenizer *tokenizer;
    pthread_rwlock_t lock;           /* of the lists of tombstones */
    pthread_mutex_t reload;          /* of the rest of tombstones */
    bool locks;                      /* they are made */
    atomic_uint_fast64_t generation; /* of tombstones */
    struct vlm_err warning;          /* of the first reading; told once */
};

/* Whether a document is deleted by its id, or by its URL. Any thread. */
bool vlm_corpus_id_is_deleted(struct vlm_corpus *corpus, size_t source, const uint8_t id[16]);
bool vlm_corpus_url_is_deleted(struct vlm_corpus *corpus, size_t source, const char *url);
/* Makes deleted images of a document such as cannot be used. */
void vlm_corpus_strip_deleted(struct vlm_corpus *corpus, size_t source,
                              struct vlm_document *document);

/* Opens the file of a part and checks it: all of it, or its size. VLM_EDIFFER. */
VLM_MUST_CHECK int vlm_corpus_part_open(int *fd, const struct vlm_part_info *part, const char *path,
                                        bool whole, struct vlm_err *err);

#endif
