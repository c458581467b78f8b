/* text_tokenizer.h - text as ids and back: byte-level BPE (GPT-2, CLIP, our own), WordPiece (BERT),
 * Unigram (T5) and what a tokenizer.json describes.
 *
 *   rc = vlm_text_tokenizer_open(&tokenizer, "tokenizer.json", &err); // NULL: the shipped one
 *   rc = vlm_text_encoder_new(&encoder, tokenizer, &err);             // one a thread
 *   struct vlm_tokens tokens = { .with_spans = true };
 *   rc = vlm_text_encode(encoder, &tokens, "Memphis", 7, 0, &err);    // appends
 *   rc = vlm_text_decode(tokenizer, &buffer, tokens.ids, tokens.n, 0, &err);
 *   vlm_tokens_release(&tokens);
 *   vlm_text_encoder_free(encoder);
 *   vlm_text_tokenizer_close(tokenizer);
 *
 * A tokenizer never changes after it was opened: any number of threads may use it, each with an
 * encoder of its own. The ids of a text do not depend on what an encoder saw before. */
#ifndef VLM_TOKENIZE_TEXT_TOKENIZER_H
#define VLM_TOKENIZE_TEXT_TOKENIZER_H

#include "base/buffer.h"
#include "base/bytes.h"
#include "tokenize/bpe/tokens.h"

struct vlm_text_tokenizer;
struct vlm_text_encoder;

enum vlm_text_flag {
    /* Words of special tokens in the text become their ids. For prompts that the caller wrote;
     * never for text of a page. Without it special tokens are text like any other; added tokens
     * that are not special are always looked for. When decoding: special tokens are written. */
    VLM_TEXT_SPECIALS = 1,
};

/* Opens tokenizer.json, a folder that holds one, or the files of GPT-2 (vocab.json and merges.txt, or
 * encoder.json and vocab.bpe), CLIP (likewise, pieces that end in </w>; or bpe_simple_vocab_16e6.txt.gz), BERT
 * (vocab.txt) or tiktoken (NAME.tiktoken); "vocab.json,merges.txt" names a pair of files. NULL: the
 * tokenizer that ships with the programs. VLM_EFORMAT in one sentence that names the file and what is
 * wrong with it or which feature is missing. */
VLM_MUST_CHECK int vlm_text_tokenizer_open(struct vlm_text_tokenizer **out, const char *path,
                                           struct vlm_err *err);
void vlm_text_tokenizer_close(struct vlm_text_tokenizer *tokenizer); /* NULL is fine */

/* Writes it as a tokenizer.json that the package `tokenizers` loads; whole or not at all. */
VLM_MUST_CHECK int vlm_text_tokenizer_save(const struct vlm_text_tokenizer *tokenizer,
                                           const char *path, struct vlm_err *err);

/* KIND-<first 12 hex digits of SHA-256 over its canonical tokenizer.json>; KIND is bpe, wordpiece, wordlevel or
 * unigram. */
enum { VLM_TEXT_TOKENIZER_ID_SIZE = 32 };
const char *vlm_text_tokenizer_id(const struct vlm_text_tokenizer *tokenizer);

/* Ids are 0 to this - 1; some of them may stand for nothing. */
uint32_t vlm_text_tokenizer_size(const struct vlm_text_tokenizer *tokenizer);

/* The bytes that an id decodes to inside a text; for byte-level tokenizers these may be a part of a
 * character. at is NULL for an id that stands for nothing. Valid as long as the tokenizer. */
struct vlm_bytes vlm_text_tokenizer_piece(const struct vlm_text_tokenizer *tokenizer, uint32_t id);

/* The id of an added token (special or not) by its exact word, or -1. */
int64_t vlm_text_tokenizer_added(const struct vlm_text_tokenizer *tokenizer, const char *word);

/* Whether spans tile the text and decoding gives back its bytes, whatever they are. */
bool vlm_text_tokenizer_is_bytewise(const struct vlm_text_tokenizer *tokenizer);

VLM_MUST_CHECK int vlm_text_encoder_new(struct vlm_text_encoder **out,
                                        const struct vlm_text_tokenizer *tokenizer,
                                        struct vlm_err *err);
void vlm_text_encoder_free(struct vlm_text_encoder *encoder); /* NULL is fine */

/* Appends the tokens of n bytes of text; no token is added in front or behind. Any bytes are taken:
 * what is not UTF-8 counts byte by byte as neither letter, number nor space. O(n log n).
 * VLM_ELIMIT: n is over VLM_TEXT_MAX; VLM_ENOMEM; VLM_EFORMAT: a Unigram vocabulary without unk_id
 * meets a character that is no piece. */
VLM_MUST_CHECK int vlm_text_encode(struct vlm_text_encoder *encoder, struct vlm_tokens *tokens,
                                   const char *text, size_t n, unsigned flags, struct vlm_err *err);

/* Appends the text of n ids. VLM_EFORMAT: an id stands for nothing; VLM_ELIMIT: decoders make over
 * VLM_DECODE_RATIO_MAX bytes for each of the pieces, or a regular expression gave up; out is as
 * before then. */
VLM_MUST_CHECK int vlm_text_decode(const struct vlm_text_tokenizer *tokenizer,
                                   struct vlm_buffer *out, const uint32_t *ids, size_t n,
                                   unsigned flags, struct vlm_err *err);

#endif
