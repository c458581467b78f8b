/* worker.h - one unit of input through reader, parser, image front end into a unit file, by a
 * process of its own that can do nothing else.
 *
 * The parent opens everything and starts itself as `vlm-shard worker` with these descriptors; it learns
 * how far the worker is, and what killed it, from a page of memory that both share. */
#ifndef VLM_SHARD_WORKER_H
#define VLM_SHARD_WORKER_H

#include "base/buffer.h"
#include "shard/options.h"
#include "tokenize/dump/record.h"

enum vlm_worker_fd {
    VLM_WORKER_SPEC = 3, /* the encoded vlm_work */
    VLM_WORKER_INPUT,
    VLM_WORKER_OUTPUT,
    VLM_WORKER_PAGE,  /* struct vlm_worker_page */
    VLM_WORKER_FILES, /* and the following: loose files */
};

/* An item that killed its worker twice. */
struct vlm_killer {
    uint64_t offset, start;
    uint32_t in_reader; /* it died while looking for the record, not while working on it */
};

struct vlm_work {
    struct vlm_content_options options;
    uint64_t plan;      /* checksum of the plan, for the unit file */
    const char *name;   /* of the input, as stored in documents */
    const char *output; /* path of the unit file, for sentences */
    const char *model;  /* folder of the tokenizer that options name; "": the shipped one */
    enum vlm_dump_format format;
    uint64_t begin, end;
    uint32_t exact;
    uint32_t images_only;          /* pages of this input are no documents */
    const char *const *file_names; /* VLM_DUMP_FILES */
    const int *files;              /* their descriptors; set on the worker's side */
    uint32_t n_files;
    const struct vlm_killer *killers;
    uint32_t n_killers;
};

struct vlm_worker_page {
    volatile uint64_t offset, start; /* the item at hand */
    volatile uint32_t in_reader;
    volatile uint64_t bytes, documents, images; /* done so far */
    volatile uint32_t unconfined;               /* the kernel offers no seccomp */
    int code; /* vlm_result, with its sentence, when the worker ends with failure */
    char message[1024];
};

void vlm_work_encode(struct vlm_buffer *out, const struct vlm_work *work);

/* The whole life of a worker process; returns its exit status (0: the unit file is whole). */
int vlm_worker_main(void);

#endif
