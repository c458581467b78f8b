/* sequence_parse.c - strings that people wrote as ids, and ids as strings for people. */
#include "base/vlm.h"

#include "tokenize/sequence/sequencer.h"

/* A run of numbers that the segmenter has checked. */
static int add_numbers(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                       const struct vlm_segment *segment, struct vlm_err *err)
{
    const struct vlm_vocabulary *vocabulary = sequencer->vocabulary;
    const struct vlm_sequence_image image = { .image = VLM_NOWHERE,
                                              .position = (uint32_t)out->n,
                                              .n_tokens = segment->number,
                                              .tag = (uint32_t)sequencer->tag };
    int rc = vlm_sequencer_add_image(out, &image, err);
    for (size_t at = segment->start; rc == VLM_OK && at < segment->end;) {
        uint32_t code;
        at += vlm_segment_number(sequencer->text + at, segment->end - at, vocabulary->n_codes,
                                 &code) +
              1;
        rc = vlm_sequencer_add(out, vocabulary->first_code + code, VLM_MODALITY_IMAGE,
                               segment->start, err);
    }
    return rc;
}

static int add_word(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                    const struct vlm_segment *segment, struct vlm_err *err)
{
    const uint32_t position = (uint32_t)out->n;
    if (segment->number != VLM_CONTROL_IMAGE)
        return vlm_sequencer_add_segment(sequencer, out, segment, err);
    const struct vlm_sequence_image image = {
        .image = VLM_NOWHERE, .position = position, .n_tokens = 1, .tag = position
    };
    int rc = vlm_sequencer_add_image(out, &image, err);
    return rc == VLM_OK ? vlm_sequencer_add_segment(sequencer, out, segment, err) : rc;
}

static int parse(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                 struct vlm_segmenter *segmenter, struct vlm_err *err)
{
    struct vlm_segment segment;
    vlm_sequence_reset(out);
    if (segmenter->n >= VLM_NOWHERE)
        return vlm_fail(err, VLM_ELIMIT, "a text of %zu bytes is over the limit", segmenter->n);
    sequencer->text = segmenter->text;
    sequencer->tag = 0;
    int rc = VLM_OK;
    while (rc == VLM_OK && vlm_segment_next(segmenter, &segment)) {
        if (segment.kind == VLM_SEGMENT_CODES)
            rc = add_numbers(sequencer, out, &segment, err);
        else if (segment.kind == VLM_SEGMENT_CONTROL)
            rc = add_word(sequencer, out, &segment, err);
        else
            rc = vlm_sequencer_add_segment(sequencer, out, &segment, err);
    }
    sequencer->text = NULL; /* the caller's */
    return rc == VLM_OK ? vlm_sequencer_end(out, err) : rc;
}

static struct vlm_segmenter segmenter_of(const struct vlm_sequencer *sequencer, const char *text,
                                         size_t n, unsigned flags)
{
    const bool markup = flags & VLM_PARSE_MARKUP, prompt = flags & VLM_PARSE_PROMPT;
    return (struct vlm_segmenter){
        .text = text,
        .n = n,
        .markup = markup,
        .words = prompt || !markup,
        .partial = prompt,
        .n_codes = sequencer->vocabulary->n_codes,
        .n_masks = sequencer->vocabulary->n_masks,
    };
}

int vlm_sequence_parse(struct vlm_sequencer *sequencer, struct vlm_sequence *out, const char *text,
                       size_t n, unsigned flags, struct vlm_err *err)
{
    struct vlm_segmenter segmenter = segmenter_of(sequencer, text, n, flags);
    return parse(sequencer, out, &segmenter, err);
}

int vlm_sequence_parse_at(struct vlm_sequencer *sequencer, struct vlm_sequence *out,
                          const char *text, size_t n, unsigned flags, const uint32_t *places,
                          size_t n_places, struct vlm_err *err)
{
    static const uint32_t nowhere;
    struct vlm_segmenter segmenter = segmenter_of(sequencer, text, n, flags);
    segmenter.places = n_places ? places : &nowhere;
    segmenter.n_places = n_places;
    return parse(sequencer, out, &segmenter, err);
}

/* What stands at an id; several may go into one string. */
enum kind { TEXT, CODE, MASK, OTHER_CONTROL, NAMELESS };

static enum kind kind_of(const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    if (vlm_vocabulary_is_nameless(vocabulary, id))
        return NAMELESS;
    if (vlm_vocabulary_is_code(vocabulary, id))
        return CODE;
    if (vlm_vocabulary_mask_number(vocabulary, id) >= 0)
        return MASK;
    return vlm_vocabulary_is_control(vocabulary, id) ? OTHER_CONTROL : TEXT;
}

static void add_control(struct vlm_buffer *out, const struct vlm_vocabulary *vocabulary,
                        uint32_t id)
{
    if (id == vocabulary->control[VLM_CONTROL_BEGIN])
        vlm_buffer_text(out, "<BOS>");
    else if (id == vocabulary->control[VLM_CONTROL_END])
        vlm_buffer_text(out, "<EOS>");
    else
        vlm_vocabulary_token(out, vocabulary, id);
}

int vlm_sequence_text(struct vlm_buffer *out, const struct vlm_vocabulary *vocabulary,
                      const uint32_t *ids, size_t n, struct vlm_err *err)
{
    enum kind before = TEXT;
    int rc = VLM_OK;
    for (size_t i = 0, end; rc == VLM_OK && i < n; i = end) {
        enum kind kind = kind_of(vocabulary, ids[i]);
        end = i + 1;
        if ((kind == CODE && (before == CODE || before == MASK)) ||
            (kind == MASK && before == CODE))
            vlm_buffer_byte(out, ' ');
        before = kind;
        if (kind == CODE) {
            vlm_buffer_printf(out, "%" PRIu32, ids[i] - vocabulary->first_code);
        } else if (kind == MASK || kind == OTHER_CONTROL) {
            add_control(out, vocabulary, ids[i]);
        } else if (kind == TEXT) {
            while (end < n && kind_of(vocabulary, ids[end]) == TEXT)
                end++;
            rc = vlm_text_decode(vocabulary->tokenizer, out, ids + i, end - i, VLM_TEXT_SPECIALS,
                                 err);
        }
    }
    if (rc == VLM_OK && out->failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the text of %zu tokens", n);
    return rc;
}
