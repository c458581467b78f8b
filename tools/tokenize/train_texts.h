/* train_texts.h - the texts that a vocabulary is learnt from: files, folders, standard input, shard sets.
 *
 *   struct vlm_train_texts texts = { .counts = counts, .pool = pool, .form = VLM_RENDER_CM3 };
 *   rc = vlm_train_texts_add(&texts, "books/", &err);           // any number of times
 *   vlm_train_texts_release(&texts);
 *
 * A file is one text. It is read in pieces that are cut in front of a white-space character which something else
 * follows: no scanner's word spans such a place, so the words are those of the file as a whole. Where 4 MiB have no
 * such place, the text is cut there, wherever that is. Documents of sets are rendered and cut into segments as
 * vlm_sequence_render() does. */
#ifndef VLM_TOOLS_TRAIN_TEXTS_H
#define VLM_TOOLS_TRAIN_TEXTS_H

#include "nn/pool.h"
#include "tokenize/render/render.h"
#include "tokenize/bpe/bpe_train.h"

#include <signal.h>

struct vlm_train_texts {
    struct vlm_word_counts *counts; /* for as many threads as the pool has */
    struct vlm_pool *pool;
    enum vlm_render form;              /* of documents of sets */
    uint64_t limit;                    /* texts and documents in all; 0: no limit */
    const volatile sig_atomic_t *stop; /* a signal ends it with VLM_ESTOPPED */
    void (*progress)(const struct vlm_train_texts *texts, void *context); /* or NULL */
    void *context;

    uint64_t documents; /* so far: files, and documents of sets */
    uint64_t bytes;     /* of files, and of renderings */
    uint64_t not_text;  /* files of folders that were left out: they hold a zero byte */

    char *buffer; /* of files, and pieces of it */
    struct vlm_train_piece *pieces;
};

/* path "-": standard input. VLM_EFORMAT: not text, or a damaged set. VLM_EOF: the limit is reached. */
VLM_MUST_CHECK int vlm_train_texts_add(struct vlm_train_texts *texts, char *path,
                                       struct vlm_err *err);
void vlm_train_texts_release(struct vlm_train_texts *texts);

#endif
