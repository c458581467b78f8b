/* vocabulary.h - one vocabulary for everything a model reads and writes: text pieces, control
 * tokens, one id per image code.
 *
 *   const struct vlm_vocabulary_options options = { .n_codes = 1024 };
 *   rc = vlm_vocabulary_init(&vocabulary, tokenizer, &options, &err);
 *   if (vlm_vocabulary_is_code(&vocabulary, id)) code = id - vocabulary.first_code;
 *
 * The ids of the text tokenizer stay as they are. A control token that the tokenizer already has
 * (ours has all of them, as its first ids) keeps its id, the others follow behind the text, then
 * the image codes. No text becomes a control token: an id that the tokenizer gives to the word in
 * ordinary text is not used. schemas/sequence.md. */
#ifndef VLM_TOKENIZE_VOCABULARY_H
#define VLM_TOKENIZE_VOCABULARY_H

#include "tokenize/text/text_tokenizer.h"

enum {
    VLM_MASKS_DEFAULT = 16, /* <mask:0> to <mask:15>: the clamp of the paper (CM3 section 2) */
    VLM_MASKS_MAX = 512,    /* of the released code */
};

/* Control tokens, in the order of their ids in our tokenizers; <mask:N> follow. The words are
 * those of vlm_vocabulary_word(). A tokenizer that has no </s> lends its <|endoftext|> as end. */
enum vlm_control {
    VLM_CONTROL_PAD,          /* <pad> */
    VLM_CONTROL_BEGIN,        /* <s>: <BOS> of m3w and pair */
    VLM_CONTROL_END,          /* </s>: end of a document; also its begin in cm3 (fairseq) */
    VLM_CONTROL_END_OF_SPAN,  /* <eoss> */
    VLM_CONTROL_IMAGE,        /* <image> */
    VLM_CONTROL_END_OF_CHUNK, /* <EOC> */
    VLM_CONTROLS,
};

struct vlm_vocabulary_options {
    uint32_t n_codes; /* size of the image codebook; 0: no images */
    uint32_t n_masks; /* 0: VLM_MASKS_DEFAULT; at most VLM_MASKS_MAX */
    /* What the tokenizer does not have stands at this id or behind it: the ids of a model may be more than those of its
     * tokenizer, and are not ours to name. */
    uint32_t behind;
};

struct vlm_vocabulary {
    const struct vlm_text_tokenizer *tokenizer; /* borrowed */
    uint32_t n_text;                            /* its ids */
    uint32_t control[VLM_CONTROLS];
    uint32_t mask[VLM_MASKS_MAX];
    uint32_t n_masks;
    uint32_t first_code, n_codes;
    uint32_t size; /* ids are 0 to size - 1 */
    /* Of a model of others, which has no ids for our control tokens: they stand behind size, and are never drawn. */
    bool foreign;
};

/* The tokenizer must outlive it. VLM_EUSAGE: too many masks or codes. */
VLM_MUST_CHECK int vlm_vocabulary_init(struct vlm_vocabulary *vocabulary,
                                       const struct vlm_text_tokenizer *tokenizer,
                                       const struct vlm_vocabulary_options *options,
                                       struct vlm_err *err);

/* The word of control token number i, then of the masks: i below VLM_CONTROLS + VLM_MASKS_MAX.
 * Returns word. */
enum { VLM_CONTROL_WORD_SIZE = 16 };
const char *vlm_vocabulary_word(char word[VLM_CONTROL_WORD_SIZE], uint32_t i);

static inline bool vlm_vocabulary_is_code(const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    return id - vocabulary->first_code < vocabulary->n_codes;
}

/* Whether the tokenizer of a foreign model does not know an id: rows that fill its vocabulary up to a round number. They
 * have no text. */
static inline bool vlm_vocabulary_is_nameless(const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    return vocabulary->foreign && id >= vocabulary->n_text;
}

/* Whether an id is that of a control token; masks are none here. */
bool vlm_vocabulary_is_control(const struct vlm_vocabulary *vocabulary, uint32_t id);

/* The number of a <mask:N> id, or -1. Fast. */
int vlm_vocabulary_mask_number(const struct vlm_vocabulary *vocabulary, uint32_t id);

/* Appends the token as people read it: its bytes, the word of a control token, a code as "17 ".
 * False for an id that stands for nothing. */
bool vlm_vocabulary_token(struct vlm_buffer *out, const struct vlm_vocabulary *vocabulary,
                          uint32_t id);

#endif
