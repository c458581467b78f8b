/* pictures.h - the pictures that a tokenizer learns from, gathered into memory.
 *
 *   struct vlm_pictures pictures;
 *   struct vlm_pictures_counts counts;
 *   rc = vlm_pictures_open(&pictures, &options, &counts, &err);
 *   rc = pictures.read(&pictures, false, 0, square, &err);
 *   vlm_pictures_close(&pictures);
 *
 * Each is held as the JPEG of its square (quality 95, as shard sets store it) in the order of the
 * SHA-256 of its file: the same collection for any order of inputs and any number of threads. */
#ifndef VLM_TOOLS_PICTURES_H
#define VLM_TOOLS_PICTURES_H

#include "tools/vqgan/gather.h"
#include "vqgan/train/train.h"

/* "N" or "P%". */
struct vlm_amount {
    double value;
    bool percent;
};
VLM_MUST_CHECK int vlm_amount_parse(struct vlm_amount *amount, const char *option, const char *text,
                                    struct vlm_err *err);
uint64_t vlm_amount_of(struct vlm_amount amount, uint64_t all);

struct vlm_pictures_options {
    char *const *inputs;
    size_t n_inputs;
    uint64_t memory; /* bytes of JPEG; of more, those with the smallest SHA-256 are kept */
    struct vlm_amount held_out;
    uint32_t side_min; /* of pictures from crawls and sets, which nobody has chosen */
    size_t threads;
    int progress;
    bool quiet;
    const char *program;               /* in front of sentences about bad pictures on stderr */
    const volatile sig_atomic_t *stop; /* as in struct vlm_gather */
    bool
        read_stops; /* read() fails with VLM_ESTOPPED too: for a training that does not ask itself */
};

struct vlm_pictures_counts {
    uint64_t found; /* bad ones included */
    uint64_t bad, small, duplicates;
    uint64_t beyond_memory;
};

/* Prints a sentence for every bad picture. counts are valid whatever the result. A picture is held out
 * when the hash of its document's id says so (of a picture by itself: of its SHA-256), so pictures of
 * one document are on one side, and stay there when the collection grows (for P%). */
VLM_MUST_CHECK int vlm_pictures_open(struct vlm_pictures *pictures,
                                     const struct vlm_pictures_options *options,
                                     struct vlm_pictures_counts *counts, struct vlm_err *err);
void vlm_pictures_close(struct vlm_pictures *pictures); /* safe on a zeroed struct */

#endif
