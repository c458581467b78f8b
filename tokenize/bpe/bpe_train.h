/* bpe_train.h - learning a byte-level BPE vocabulary from words and their counts.
 *
 *   rc = vlm_word_counts_new(&counts, &options, &err);
 *   // any threads, each with its own number below options.threads:
 *   rc = vlm_word_counts_add(counts, thread, text, n, &err);
 *   rc = vlm_word_counts_end(counts, &err);                     // all threads are done
 *   rc = vlm_bpe_train(&trained, counts, &train, &err);         // merges in the order they were learnt
 *   rc = vlm_bpe_trained_save(&trained, specials, VLM_SPLIT_GPT2, "tokenizer.json", &err);
 *   vlm_bpe_trained_release(&trained);
 *   vlm_word_counts_free(counts);
 *
 * The result depends on the texts, the vocabulary size, the least count and the memory limit only: not on
 * threads nor on the order of texts. It is that of the package tokenizers, whose BpeTrainer gets the same texts
 * from an iterator: a pair is counted wherever it stands, overlaps too; of equal counts the pair of lower ids is
 * merged first. The package differs in two corners: from files it takes each line for a text, and it counts in 32
 * bits. */
#ifndef VLM_TOKENIZE_BPE_TRAIN_H
#define VLM_TOKENIZE_BPE_TRAIN_H

#include "tokenize/bpe/bpe.h"

#include <signal.h>

struct vlm_word_count_options {
    enum vlm_split split;
    size_t threads;
    /* Bytes of the tables of all threads, each an equal share, at least 256 KiB; beyond it counts go to files
     * without a name in `folder` and are merged. */
    uint64_t memory;
    const char *folder;
};

struct vlm_word_counts;

/* The caller frees *out, also after a failure. */
VLM_MUST_CHECK int vlm_word_counts_new(struct vlm_word_counts **out,
                                       const struct vlm_word_count_options *options,
                                       struct vlm_err *err);

/* Counts the words of a text of n bytes, whatever these are; the text may go afterwards. Each number of a thread
 * by one thread at a time. VLM_ELIMIT: no room on the disk for files, or a word of 4 GiB; VLM_EFAIL, VLM_ENOMEM. */
VLM_MUST_CHECK int vlm_word_counts_add(struct vlm_word_counts *counts, size_t thread,
                                       const char *text, size_t n, struct vlm_err *err);

/* Makes one of all tables. Nothing can be added any more. */
VLM_MUST_CHECK int vlm_word_counts_end(struct vlm_word_counts *counts, struct vlm_err *err);
void vlm_word_counts_free(struct vlm_word_counts *counts); /* NULL is fine */

struct vlm_bpe_train_options {
    uint32_t vocab_size; /* specials, 256 bytes and merges together */
    uint32_t n_specials; /* ids in front */
    uint64_t min_count;  /* pairs seen less often are not merged; 0 means 1 */
    uint64_t memory;     /* bytes; the rarest words are left out beyond it */
    void (*progress)(void *context, uint32_t merges, uint32_t wanted); /* now and then; or NULL */
    void *context;
    const volatile sig_atomic_t *stop; /* or NULL; set by a signal: ends with VLM_ESTOPPED */
};

struct vlm_bpe_trained {
    uint32_t (*merges)[2]; /* [n_merges] ids; merge k makes the id n_specials + 256 + k */
    uint32_t n_merges;     /* fewer than wanted when no other pair has the least count */
    uint32_t n_specials;
    uint64_t words, words_left_out; /* distinct */
    uint64_t occurrences, bytes;    /* of all words in the texts, those left out too */
};

/* Learns from counts that have ended, on the caller's thread, in time proportional to the symbols that are merged.
 * The caller releases *out; after a failure nothing is in it. VLM_EUSAGE: no room for specials and bytes;
 * VLM_ESTOPPED, VLM_ENOMEM, and what reading counts from files gives. */
VLM_MUST_CHECK int vlm_bpe_train(struct vlm_bpe_trained *out, struct vlm_word_counts *counts,
                                 const struct vlm_bpe_train_options *options, struct vlm_err *err);

/* Writes tokenizer.json, whole or not at all: the specials [n_specials] as ids 0.., then the bytes in the order of
 * their spelling's characters, then the merges. split is VLM_SPLIT_GPT2, the only one that the file has a word for.
 * VLM_EUSAGE: a piece is spelled as a special token is. */
VLM_MUST_CHECK int vlm_bpe_trained_save(const struct vlm_bpe_trained *trained,
                                        const char *const *specials, enum vlm_split split,
                                        const char *path, struct vlm_err *err);
void vlm_bpe_trained_release(struct vlm_bpe_trained *trained); /* safe on a zeroed struct */

#endif
