/* unigram.h - the unigram language model of SentencePiece (Kudo 2018): a word as the pieces whose scores, the
 * logarithms of their probabilities, have the largest sum.
 *
 *   rc = vlm_unigram_new(&unigram, &source, &err);
 *   rc = vlm_unigram_word(unigram, &path, &tokens, word, n, &err);  // spans relative to word
 *   vlm_unigram_path_release(&path);
 */
#ifndef VLM_TOKENIZE_UNIGRAM_H
#define VLM_TOKENIZE_UNIGRAM_H

#include "tokenize/text/text_tokenizer.h"

struct vlm_unigram_source {
    const struct vlm_bytes *pieces; /* [n_pieces], none of them empty; copied */
    const double *scores;           /* [n_pieces]; copied */
    uint32_t n_pieces;
    uint32_t unknown; /* its id, or VLM_NO_TOKEN */
    const uint32_t
        *fallback; /* [256] ids of bytes, copied; VLM_NO_TOKEN: no piece. NULL: no fallback */
};

/* Room for the best way to each byte of a word, kept from word to word; zero it to begin. One thread. */
struct vlm_unigram_path {
    struct vlm_unigram_place *places;
    size_t capacity;
};
void vlm_unigram_path_release(struct vlm_unigram_path *path);

struct vlm_unigram;
/* Of equal pieces the last one counts. VLM_ELIMIT: a piece is over VLM_UNIGRAM_PIECE_MAX bytes, or they have over
 * VLM_UNIGRAM_NODES_MAX distinct beginnings. */
VLM_MUST_CHECK int vlm_unigram_new(struct vlm_unigram **out,
                                   const struct vlm_unigram_source *source, struct vlm_err *err);
void vlm_unigram_free(struct vlm_unigram *unigram);

/* Appends the tokens of one word of n bytes; spans are in it. A character that no piece spells alone is unknown at
 * the lowest score less 10. Neighbours that are unknown are one token: the piece that they spell together if there is
 * one, else their bytes, else the unknown piece. Of equal sums the one counts whose last piece begins first, as in the
 * package tokenizers. n times the longest piece steps, 16 bytes for each byte of the word. VLM_EFORMAT: a character is
 * unknown and there is no unknown piece. Any thread. */
VLM_MUST_CHECK int vlm_unigram_word(const struct vlm_unigram *unigram,
                                    struct vlm_unigram_path *path, struct vlm_tokens *tokens,
                                    const char *word, size_t n, struct vlm_err *err);

/* A score as the package reads it, which is not always the nearest double: up to 19 digits as a whole number, made a
 * double, then times or by a power of ten (serde_json 1 without float_roundtrip). text is a number of JSON; false: it
 * is too large. */
VLM_MUST_CHECK bool vlm_unigram_score(double *score, const char *text, size_t n);

#endif
