/* spell.h - the tokens of a stream as text that can be sent at once: no character is cut, no part of a stop word shown.
 *
 *   vlm_spell_init(&spell, vocabulary, words, n_words);
 *   for (each drawn token)
 *       if (!vlm_spell_token(&spell, &out, id)) ... memory ...
 *   vlm_spell_end(&spell, &out);      // what was held back
 *   if (spell.word != SIZE_MAX) ... ended by words[spell.word] ...
 *
 * Bytes that are no UTF-8 become U+FFFD. Codes and control tokens give nothing here, but what was held back comes out
 * with them, since text does not go on behind them: pictures are the caller's. */
#ifndef VLM_MODELS_SPELL_H
#define VLM_MODELS_SPELL_H

#include "base/buffer.h"
#include "tokenize/sequence/vocabulary.h"

struct vlm_spell {
    const struct vlm_vocabulary *vocabulary; /* borrowed */
    const char *const *words;                /* borrowed */
    size_t n_words;
    size_t word; /* the stop word that was found; SIZE_MAX: none. Nothing comes out from then on */
    struct vlm_buffer held; /* may be the beginning of a word or of a character */
};

void vlm_spell_init(struct vlm_spell *spell, const struct vlm_vocabulary *vocabulary,
                    const char *const *words, size_t n_words);
void vlm_spell_release(struct vlm_spell *spell);

/* Appends to out what has become certain. Memory failures stick to the buffers. */
void vlm_spell_token(struct vlm_spell *spell, struct vlm_buffer *out, uint32_t id);
void vlm_spell_end(struct vlm_spell *spell, struct vlm_buffer *out);

/* Appends n bytes; of what is no UTF-8 the longest beginning of a character, or else one byte, becomes one U+FFFD
 * (Unicode 15, section 3.9, "substitution of maximal subparts"). */
void vlm_spell_bytes(struct vlm_buffer *out, const uint8_t *bytes, size_t n);

/* Bytes at the end of n that may yet become one of the words, or a character. */
size_t vlm_spell_open(const uint8_t *bytes, size_t n, const char *const *words, size_t n_words);

/* The stop word in n bytes that ends first, behind `from`, and of those that end together the longest: where it
 * begins, and which it is; SIZE_MAX: none. Words are not empty. */
size_t vlm_spell_find(const uint8_t *bytes, size_t n, size_t from, const char *const *words,
                      size_t n_words, size_t *word);

#endif
