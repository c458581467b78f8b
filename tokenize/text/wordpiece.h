/* wordpiece.h - BERT's tokenizer (Devlin et al. 2019; google-research/bert tokenization.py): words into the
 * longest known pieces from the left, those inside a word with a prefix (##).
 *
 *   rc = vlm_wordpiece_new(&wordpiece, &source, &err);
 *   rc = vlm_wordpiece_word(wordpiece, &tokens, word, n, &err);  // spans relative to word
 */
#ifndef VLM_TOKENIZE_WORDPIECE_H
#define VLM_TOKENIZE_WORDPIECE_H

#include "tokenize/text/text_tokenizer.h"

struct vlm_wordpiece_source {
    const struct vlm_bytes *pieces; /* [n_pieces] as in the vocabulary, with prefixes; copied */
    uint32_t n_pieces;
    uint32_t unknown;   /* id of [UNK] */
    const char *prefix; /* "##" */
    size_t word_max;    /* longer words, in characters, are unknown (100) */
};

struct vlm_wordpiece;
/* Of equal pieces the last one counts. VLM_ELIMIT: a piece is over VLM_WORDPIECE_PIECE_MAX bytes, or
 * they have over VLM_WORDPIECE_NODES_MAX distinct beginnings. */
VLM_MUST_CHECK int vlm_wordpiece_new(struct vlm_wordpiece **out,
                                     const struct vlm_wordpiece_source *source,
                                     struct vlm_err *err);
void vlm_wordpiece_free(struct vlm_wordpiece *wordpiece);
/* Appends the tokens of one word of n bytes; spans are in it. One unknown token where a part of the
 * word is no piece. Any thread. */
VLM_MUST_CHECK int vlm_wordpiece_word(const struct vlm_wordpiece *wordpiece,
                                      struct vlm_tokens *tokens, const char *word, size_t n,
                                      struct vlm_err *err);

/* BERT's cutting: white space is dropped, each punctuation character (ASCII's, or \p{P}) is a word.
 * Bytes of the next word at or behind *at, which moves to its start; 0: no more. */
size_t vlm_bert_word_next(const char *text, size_t n, size_t *at);

#endif
