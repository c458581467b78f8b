/* vocabulary.c - the layout of a vocabulary: text ids, then control tokens that the tokenizer does
 * not have, then image codes (schemas/sequence.md).
 *
 * A tokenizer's own id serves for a control token only when no text can give it: some tokenizers
 * look for added words in all text, and a page that says "<image>" must stay a page that says
 * so. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/sequence/vocabulary.h"

static const char *const control_words[VLM_CONTROLS] = {
    [VLM_CONTROL_PAD] = "<pad>",     [VLM_CONTROL_BEGIN] = "<s>",
    [VLM_CONTROL_END] = "</s>",      [VLM_CONTROL_END_OF_SPAN] = "<eoss>",
    [VLM_CONTROL_IMAGE] = "<image>", [VLM_CONTROL_END_OF_CHUNK] = "<EOC>",
};

const char *vlm_vocabulary_word(char word[VLM_CONTROL_WORD_SIZE], uint32_t i)
{
    VLM_BUG_IF(i >= VLM_CONTROLS + VLM_MASKS_MAX);
    if (i < VLM_CONTROLS)
        snprintf(word, VLM_CONTROL_WORD_SIZE, "%s", control_words[i]);
    else
        snprintf(word, VLM_CONTROL_WORD_SIZE, "<mask:%" PRIu32 ">", i - VLM_CONTROLS);
    return word;
}

struct layout {
    const struct vlm_text_tokenizer *tokenizer;
    struct vlm_text_encoder *encoder;
    struct vlm_tokens tokens;
    uint32_t n_text;
};

/* The tokenizer's id of a word, or -1 when it has none or text may become it. */
static int own_id(struct layout *layout, const char *word, int64_t *id, struct vlm_err *err)
{
    *id = vlm_text_tokenizer_added(layout->tokenizer, word);
    if (*id < 0)
        return VLM_OK;
    if (*id >= layout->n_text)
        return vlm_fail(err, VLM_EFORMAT,
                        "the tokenizer gives '%s' the id %" PRId64 ", but has %" PRIu32 " ids",
                        word, *id, layout->n_text);
    layout->tokens.n = 0;
    int rc = vlm_text_encode(layout->encoder, &layout->tokens, word, strlen(word), 0, err);
    for (size_t i = 0; rc == VLM_OK && i < layout->tokens.n; i++)
        if (layout->tokens.ids[i] == *id)
            *id = -1;
    return rc;
}

/* The masks are the tokenizer's as far as it has them in a row from <mask:0>; those behind
 * follow the text, also in a row: vlm_vocabulary_mask_number() relies on it. */
static int place_masks(struct vlm_vocabulary *vocabulary, struct layout *layout, uint32_t *next,
                       struct vlm_err *err)
{
    char word[VLM_CONTROL_WORD_SIZE];
    bool own = true;
    for (uint32_t i = 0; i < vocabulary->n_masks; i++) {
        int64_t id = -1;
        int rc =
            own ? own_id(layout, vlm_vocabulary_word(word, VLM_CONTROLS + i), &id, err) : VLM_OK;
        if (rc < 0)
            return rc;
        own = own && id >= 0 && (!i || id == (int64_t)vocabulary->mask[i - 1] + 1);
        vocabulary->mask[i] = own ? (uint32_t)id : (*next)++;
    }
    return VLM_OK;
}

static int place_controls(struct vlm_vocabulary *vocabulary, struct layout *layout, uint32_t *next,
                          struct vlm_err *err)
{
    for (unsigned i = 0; i < VLM_CONTROLS; i++) {
        int64_t id;
        int rc = own_id(layout, control_words[i], &id, err);
        if (rc == VLM_OK && id < 0 && i == VLM_CONTROL_END)
            rc = own_id(layout, "<|endoftext|>", &id, err);
        if (rc < 0)
            return rc;
        vocabulary->control[i] = id >= 0 ? (uint32_t)id : (*next)++;
    }
    return place_masks(vocabulary, layout, next, err);
}

int vlm_vocabulary_init(struct vlm_vocabulary *vocabulary,
                        const struct vlm_text_tokenizer *tokenizer,
                        const struct vlm_vocabulary_options *options, struct vlm_err *err)
{
    struct layout layout = { .tokenizer = tokenizer, .n_text = vlm_text_tokenizer_size(tokenizer) };
    *vocabulary = (struct vlm_vocabulary){
        .tokenizer = tokenizer,
        .n_text = layout.n_text,
        .n_masks = options->n_masks ? options->n_masks : VLM_MASKS_DEFAULT,
        .n_codes = options->n_codes,
    };
    if (vocabulary->n_masks > VLM_MASKS_MAX)
        return vlm_fail(err, VLM_EUSAGE, "%" PRIu32 " masks, at most %d are possible",
                        vocabulary->n_masks, VLM_MASKS_MAX);
    if (vocabulary->n_codes > VLM_CODEBOOK_MAX)
        return vlm_fail(err, VLM_EUSAGE, "%" PRIu32 " image codes, at most %d are possible",
                        vocabulary->n_codes, VLM_CODEBOOK_MAX);
    if (vocabulary->n_text > INT32_MAX - VLM_CODEBOOK_MAX - VLM_CONTROLS - VLM_MASKS_MAX)
        return vlm_fail(err, VLM_EFORMAT,
                        "a tokenizer of %" PRIu32 " ids leaves no room for others",
                        vocabulary->n_text);
    uint32_t next = VLM_MAX(layout.n_text, options->behind);
    int rc = vlm_text_encoder_new(&layout.encoder, tokenizer, err);
    if (rc == VLM_OK)
        rc = place_controls(vocabulary, &layout, &next, err);
    vocabulary->first_code = next;
    vocabulary->size = next + vocabulary->n_codes;
    vlm_text_encoder_free(layout.encoder);
    vlm_tokens_release(&layout.tokens);
    return rc;
}

/* The number of the control token with an id, or VLM_CONTROLS. */
static uint32_t find_control(const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    uint32_t i = 0;
    while (i < VLM_CONTROLS && vocabulary->control[i] != id)
        i++;
    return i;
}

bool vlm_vocabulary_is_control(const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    return find_control(vocabulary, id) < VLM_CONTROLS;
}

int vlm_vocabulary_mask_number(const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    const uint32_t last = vocabulary->n_masks - 1;
    const uint32_t from_first = id - vocabulary->mask[0];
    if (from_first <= last && vocabulary->mask[from_first] == id)
        return (int)from_first;
    const uint32_t from_last = vocabulary->mask[last] - id;
    if (from_last <= last && vocabulary->mask[last - from_last] == id)
        return (int)(last - from_last);
    return -1;
}

bool vlm_vocabulary_token(struct vlm_buffer *out, const struct vlm_vocabulary *vocabulary,
                          uint32_t id)
{
    char word[VLM_CONTROL_WORD_SIZE];
    if (vlm_vocabulary_is_code(vocabulary, id)) {
        vlm_buffer_printf(out, "%" PRIu32 " ", id - vocabulary->first_code);
        return true;
    }
    uint32_t control = find_control(vocabulary, id);
    if (control < VLM_CONTROLS) {
        vlm_buffer_text(out, control_words[control]);
        return true;
    }
    int mask = vlm_vocabulary_mask_number(vocabulary, id);
    if (mask >= 0) {
        vlm_buffer_text(out, vlm_vocabulary_word(word, VLM_CONTROLS + (uint32_t)mask));
        return true;
    }
    if (id >= vocabulary->n_text)
        return false;
    struct vlm_bytes piece = vlm_text_tokenizer_piece(vocabulary->tokenizer, id);
    if (piece.at)
        vlm_buffer_add(out, piece.at, vlm_bytes_left(&piece));
    return piece.at != NULL;
}
