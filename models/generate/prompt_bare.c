/* prompt_bare.c - a page without its words: what guidance leads away from.
 *
 * The ids of the prompt are walked with the grammar of pages, text tokens byte by byte. Kept are the tags html and body,
 * img with nothing but its src, codes, and masks with the attribute that they stand in; a tag in which the prompt ends
 * stays open where it is, so that what is drawn goes on alike. Pieces of markup are made tokens between codes and
 * masks, as training has them. */
#include "base/vlm.h"

#include "models/generate/grammar.h"
#include "models/generate/prompt.h"
#include "tokenize/document.h"
#include "tokenize/render/attributes.h"
#include "tokenize/sequence/run.h"

struct bare {
    struct vlm_sequencer *sequencer;
    const struct vlm_vocabulary *vocabulary;
    const char *alt; /* of images: in markup; NULL: none */
    struct vlm_grammar grammar;
    struct vlm_buffer text;      /* kept, and no tokens yet */
    struct vlm_buffer tag;       /* the one that is open, so far, as it is kept */
    struct vlm_buffer attribute; /* an attribute of an img whose value is left out */
    bool kept;                   /* the tag is: something in it has to be */
    struct vlm_sequence *out;
};

/* What is kept becomes tokens. */
static int write_text(struct bare *it, struct vlm_err *err)
{
    struct vlm_sequence ids = { 0 };
    int rc = VLM_OK;
    if (it->text.failed || it->tag.failed || it->attribute.failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a prompt");
    if (!it->text.size)
        return VLM_OK;
    rc = vlm_sequence_parse(it->sequencer, &ids, (const char *)it->text.data, it->text.size,
                            VLM_PARSE_MARKUP, err);
    if (rc == VLM_OK && !vlm_sequence_append(it->out, &ids, 0, ids.n))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a prompt");
    vlm_sequence_release(&ids);
    it->text.size = 0;
    return rc;
}

/* The tag so far is kept, whatever follows. */
static void keep_tag(struct bare *it)
{
    vlm_buffer_add(&it->text, it->tag.data, it->tag.size);
    vlm_buffer_add(&it->text, it->attribute.data, it->attribute.size);
    it->tag.size = it->attribute.size = 0;
    it->kept = true;
}

static bool is_frame(const struct vlm_buffer *tag)
{
    static const char *const names[] = { "<html", "</html", "<body", "</body" };
    for (size_t i = 0; i < VLM_COUNTOF(names); i++) {
        const size_t n = strlen(names[i]);
        if (tag->size > n && !memcmp(tag->data, names[i], n) && strchr(" >", tag->data[n]))
            return true;
    }
    return false;
}

/* Takes the last attribute, up to its quote, out of the tag. */
static void take_attribute(struct bare *it)
{
    size_t at = it->tag.size;
    while (at && it->tag.data[at - 1] != ' ')
        at--;
    at -= at > 0;
    it->attribute.size = 0;
    vlm_buffer_add(&it->attribute, it->tag.data + at, it->tag.size - at);
    it->tag.size = at;
}

static void close_tag(struct bare *it, bool img)
{
    if (it->kept || img || is_frame(&it->tag))
        vlm_buffer_add(&it->text, it->tag.data, it->tag.size);
    it->tag.size = it->attribute.size = 0;
    it->kept = false;
}

static void walk_byte(struct bare *it, char byte)
{
    const enum vlm_grammar_place before = it->grammar.place;
    const bool img = it->grammar.img && before >= VLM_PLACE_TAG;
    vlm_grammar_text(&it->grammar, &byte, 1);
    const enum vlm_grammar_place after = it->grammar.place;
    if (before == VLM_PLACE_OUTSIDE && after == VLM_PLACE_OUTSIDE)
        return;
    if (img && before == VLM_PLACE_VALUE) {
        if (after == VLM_PLACE_TAG && !it->attribute.size)
            vlm_buffer_byte(&it->tag, (uint8_t)byte); /* a mask stands in it */
        if (after == VLM_PLACE_TAG)
            it->attribute.size = 0;
        return;
    }
    if (after == VLM_PLACE_LESS) { /* the one before was never closed */
        it->tag.size = 0;
        it->kept = false;
    }
    vlm_buffer_byte(&it->tag, (uint8_t)byte);
    if (img && after == VLM_PLACE_VALUE) {
        take_attribute(it);
    } else if (img && before == VLM_PLACE_TAG && after == VLM_PLACE_IMAGE && it->alt && !it->kept) {
        take_attribute(it);
        vlm_buffer_printf(&it->tag, " alt=\"%s\"", it->alt);
        vlm_buffer_add(&it->tag, it->attribute.data, it->attribute.size);
        it->attribute.size = 0;
    } else if (after == VLM_PLACE_OUTSIDE) {
        close_tag(it, img);
    }
}

static int walk(struct bare *it, uint32_t id, struct vlm_err *err)
{
    const struct vlm_vocabulary *vocabulary = it->vocabulary;
    const bool mask = vlm_vocabulary_mask_number(vocabulary, id) >= 0;
    if (mask || vlm_vocabulary_is_code(vocabulary, id)) {
        if (it->grammar.place != VLM_PLACE_OUTSIDE)
            keep_tag(it);
        int rc = write_text(it, err);
        vlm_grammar_feed(&it->grammar, id);
        if (rc == VLM_OK && !vlm_sequence_push(it->out, id, 0))
            rc = vlm_fail(err, VLM_ENOMEM, "no memory for a prompt");
        return rc;
    }
    if (id >= vocabulary->n_text || vlm_vocabulary_is_control(vocabulary, id))
        return VLM_OK;
    struct vlm_bytes piece = vlm_text_tokenizer_piece(vocabulary->tokenizer, id);
    for (size_t n = piece.at ? vlm_bytes_left(&piece) : 0; n; n--)
        walk_byte(it, (char)*piece.at++);
    return VLM_OK;
}

int vlm_prompt_bare(struct vlm_prompt *out, struct vlm_sequencer *sequencer,
                    const struct vlm_vocabulary *vocabulary, const struct vlm_recipe *recipe,
                    const struct vlm_prompt *prompt, const char *alt, struct vlm_err *err)
{
    struct vlm_buffer words = { 0 };
    struct bare it = { .sequencer = sequencer, .vocabulary = vocabulary, .out = &out->sequence };
    int rc = VLM_OK;
    *out = (struct vlm_prompt){ .codes = NULL };
    if (!vlm_prompt_is_markup(recipe) || recipe->encoder || !vocabulary->n_codes)
        return vlm_fail(err, VLM_EUSAGE,
                        "guidance is for images in pages, this model draws none of those");
    if (alt)
        vlm_escape(&words, alt, strlen(alt), true);
    vlm_buffer_byte(&words, 0);
    if (words.failed || !vlm_prompt_begin(&out->sequence, vocabulary, recipe))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a prompt");
    it.alt = alt ? (const char *)words.data : NULL;
    vlm_grammar_init(&it.grammar, vocabulary);
    for (size_t i = 0; rc == VLM_OK && i < prompt->sequence.n; i++)
        rc = walk(&it, prompt->sequence.ids[i], err);
    if (rc == VLM_OK && it.grammar.place != VLM_PLACE_OUTSIDE)
        keep_tag(&it);
    if (rc == VLM_OK)
        rc = write_text(&it, err);
    vlm_buffer_release(&words);
    vlm_buffer_release(&it.text);
    vlm_buffer_release(&it.tag);
    vlm_buffer_release(&it.attribute);
    return rc;
}
