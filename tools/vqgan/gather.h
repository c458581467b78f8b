/* gather.h - pictures wherever they are: image files, folders of them, shard sets, crawls, archives.
 *
 *   struct vlm_gather gather = { .take = take, .context = &mine };
 *   rc = vlm_gather(&gather, argv + 1, argc - 1, &err);       // calls take() for each, in order
 *
 * Folders are read in the order of names, with all that is below them, but for names that begin with a
 * dot and files that are no pictures. Opted-out pictures of crawls (noai, noimageai) are left out. One
 * thread; nothing is decoded here. */
#ifndef VLM_TOOLS_GATHER_H
#define VLM_TOOLS_GATHER_H

#include "base/hash.h"

#include <signal.h>

enum vlm_gathered_from {
    VLM_FROM_ARGUMENT, /* a file that the user named */
    VLM_FROM_FOLDER,
    VLM_FROM_CRAWL,
    VLM_FROM_SET,
};

/* Strings and bytes are valid during the call only. */
struct vlm_gathered {
    enum vlm_gathered_from from;
    const char *name;    /* a path, or "crawl.warc.gz: URL" */
    const char *error;   /* NULL, or a word for why it cannot be used: unreadable, ... */
    const char *problem; /* with error: a sentence */
    bool missing;        /* the problem is that an argument cannot be opened */
    const uint8_t *bytes;
    size_t size;
    uint32_t width, height;          /* from a set: of the original; bytes are its square, a JPEG */
    uint8_t sha256[VLM_SHA256_SIZE]; /* of the original file */
    uint8_t group[16];               /* pictures of one document belong together: its id; a picture
                                        by itself: the beginning of its SHA-256 */
};

struct vlm_gather {
    int (*take)(void *context, const struct vlm_gathered *picture, struct vlm_err *err);
    void *context;
    const volatile sig_atomic_t *stop; /* NULL, or set by a signal: ends with VLM_ESTOPPED */
};

/* Ends early with what take() returns when that is not VLM_OK. */
VLM_MUST_CHECK int vlm_gather(const struct vlm_gather *gather, char *const *inputs, size_t n,
                              struct vlm_err *err);

#endif
