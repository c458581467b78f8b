/* decoder.c - ids to text through the decoders of a tokenizer.json.
 *
 * Each decoder makes of a list of texts, one for each id, another list; what remains is joined. Without any
 * decoder the texts are words with a space between them. Sequences, as everywhere, are flat. */
#include "base/vlm.h"

#include "base/array.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "tokenize/text/text_internal.h"

/* Texts one behind the other. */
struct list {
    struct vlm_buffer bytes;
    size_t *ends; /* [n] */
    size_t n, capacity;
};

struct decoding {
    const struct vlm_text_tokenizer *tokenizer;
    struct list now, next;
    size_t max;    /* bytes of a list: a few replacements would double it without end */
    uint64_t work; /* bytes of the lists so far */
    bool inside;   /* the list is one id from the middle of a text */
};

static void end_text(struct list *list)
{
    if (!vlm_array_reserve(&list->ends, &list->capacity, list->n, 1, sizeof *list->ends)) {
        list->bytes.failed = true;
        return;
    }
    list->ends[list->n++] = list->bytes.size;
}

static void release(struct list *list)
{
    vlm_buffer_release(&list->bytes);
    free(list->ends);
}

static struct vlm_text text_at(const struct list *list, size_t i)
{
    size_t start = i ? list->ends[i - 1] : 0;
    return (struct vlm_text){ (const char *)list->bytes.data + start, list->ends[i] - start };
}

/* Appends text with what replaces each `from` in it. */
static void add_replaced(struct vlm_buffer *out, struct vlm_text text, struct vlm_text from,
                         struct vlm_text to)
{
    const char *end = text.at + text.n;
    const char *found;
    while (from.n && (found = memmem(text.at, (size_t)(end - text.at), from.at, from.n))) {
        vlm_buffer_add(out, text.at, (size_t)(found - text.at));
        vlm_buffer_add(out, to.at, to.n);
        text.at = found + from.n;
    }
    vlm_buffer_add(out, text.at, (size_t)(end - text.at));
}

static bool spelled_byte(struct vlm_text text, uint8_t *byte)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    if (text.n != 6 || memcmp(text.at, "<0x", 3) || text.at[5] != '>')
        return false;
    if (!text.at[3] || !text.at[4] || !strchr(digits, text.at[3]) || !strchr(digits, text.at[4]))
        return false;
    *byte = (uint8_t)strtoul((const char[]){ text.at[3], text.at[4], 0 }, NULL, 16);
    return true;
}

/* <0xNN> in a row are a text, or U+FFFD for each where they are not UTF-8. */
static void byte_fallback(const struct list *now, struct list *next, bool inside)
{
    uint8_t byte;
    for (size_t i = 0; i < now->n;) {
        size_t start = next->bytes.size, count = 0;
        for (; i < now->n && spelled_byte(text_at(now, i), &byte); i++, count++)
            vlm_buffer_byte(&next->bytes, byte);
        if (next->bytes.failed)
            return;
        if (!count) {
            struct vlm_text text = text_at(now, i++);
            vlm_buffer_add(&next->bytes, text.at, text.n);
            end_text(next);
            continue;
        }
        if (!inside &&
            vlm_utf8_valid_prefix((const char *)next->bytes.data + start, count) < count) {
            next->bytes.size = start;
            for (; count > 1; count--) {
                vlm_buffer_text(&next->bytes, VLM_UTF8_REPLACEMENT);
                end_text(next);
            }
            vlm_buffer_text(&next->bytes, VLM_UTF8_REPLACEMENT);
        }
        end_text(next);
    }
}

static void byte_level(const struct list *now, struct list *next)
{
    for (size_t i = 0; i < now->n; i++) {
        struct vlm_text text = text_at(now, i);
        uint8_t *room = vlm_buffer_reserve(&next->bytes, text.n);
        size_t n = room ? vlm_bpe_spelling_to_bytes(room, text.at, text.n) : 0;
        if (n == SIZE_MAX)
            vlm_buffer_add(&next->bytes, text.at, text.n);
        else
            next->bytes.size += n;
    }
    end_text(next);
}

/* What people write without spaces; in this order, each over the whole text. */
static void clean_up(struct vlm_buffer *out, struct vlm_buffer *scratch, size_t start)
{
    static const char *const pairs[][2] = {
        { " .", "." },   { " ?", "?" },     { " !", "!" },     { " ,", "," },
        { " ' ", "'" },  { " n't", "n't" }, { " 'm", "'m" },   { " do not", " don't" },
        { " 's", "'s" }, { " 've", "'ve" }, { " 're", "'re" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(pairs) && !out->failed; i++) {
        vlm_buffer_reset(scratch);
        vlm_buffer_add(scratch, out->data + start, out->size - start);
        if (scratch->failed) {
            out->failed = true;
            return;
        }
        out->size = start;
        add_replaced(out, (struct vlm_text){ (const char *)scratch->data, scratch->size },
                     (struct vlm_text){ pairs[i][0], strlen(pairs[i][0]) },
                     (struct vlm_text){ pairs[i][1], strlen(pairs[i][1]) });
    }
}

static void wordpiece(const struct vlm_decoder *step, const struct list *now, struct list *next,
                      bool inside)
{
    struct vlm_buffer scratch = { 0 };
    struct vlm_text prefix = step->content;
    for (size_t i = 0; i < now->n; i++) {
        struct vlm_text text = text_at(now, i);
        size_t start = next->bytes.size;
        if (i || inside) {
            if (text.n >= prefix.n && !memcmp(text.at, prefix.at, prefix.n))
                text = (struct vlm_text){ text.at + prefix.n, text.n - prefix.n };
            else
                vlm_buffer_byte(&next->bytes, ' ');
        }
        vlm_buffer_add(&next->bytes, text.at, text.n);
        /* Nothing to clean without a space. */
        if ((step->flags & VLM_PART_CLEANUP) && !next->bytes.failed && next->bytes.size > start &&
            memchr(next->bytes.data + start, ' ', next->bytes.size - start))
            clean_up(&next->bytes, &scratch, start);
        end_text(next);
    }
    vlm_buffer_release(&scratch);
}

static void metaspace(const struct vlm_decoder *step, const struct list *now, struct list *next,
                      bool inside)
{
    for (size_t i = 0; i < now->n; i++) {
        bool drop = i == 0 && !inside && step->prepend != VLM_PREPEND_NEVER;
        add_replaced(&next->bytes, text_at(now, i), step->content,
                     (struct vlm_text){ " ", drop ? 0 : 1 });
        end_text(next);
    }
}

static void strip(const struct vlm_decoder *step, const struct list *now, struct list *next)
{
    struct vlm_text content = step->content;
    for (size_t i = 0; i < now->n; i++) {
        struct vlm_text text = text_at(now, i);
        for (size_t k = 0;
             k < step->start && text.n >= content.n && !memcmp(text.at, content.at, content.n); k++)
            text = (struct vlm_text){ text.at + content.n, text.n - content.n };
        for (size_t k = 0; k < step->stop && text.n >= content.n &&
                           !memcmp(text.at + text.n - content.n, content.at, content.n);
             k++)
            text.n -= content.n;
        vlm_buffer_add(&next->bytes, text.at, text.n);
        end_text(next);
    }
}

static int over_limit(const struct decoding *decoding, struct vlm_err *err)
{
    return vlm_fail(err, VLM_ELIMIT, "the decoded text is over the limit of %zu bytes",
                    decoding->max);
}

static int replace(struct decoding *decoding, const struct vlm_decoder *step, struct vlm_err *err)
{
    const struct list *now = &decoding->now;
    struct list *next = &decoding->next;
    struct vlm_pattern_matcher *matcher;
    int rc = vlm_pattern_matcher_new(&matcher, step->pattern, err);
    for (size_t i = 0; rc == VLM_OK && i < now->n; i++) {
        struct vlm_text text = text_at(now, i);
        size_t left = 0, start, end;
        while ((rc = vlm_pattern_next(matcher, text.at, text.n, left, &start, &end, err)) ==
               VLM_OK) {
            vlm_buffer_add(&next->bytes, text.at + left, start - left);
            vlm_buffer_add(&next->bytes, step->content.at, step->content.n);
            left = end;
            if (next->bytes.size > decoding->max || next->bytes.failed)
                break;
        }
        if (rc == VLM_OK)
            break;
        vlm_buffer_add(&next->bytes, text.at + left, text.n - left);
        end_text(next);
        rc = rc == VLM_EOF ? VLM_OK : rc;
    }
    vlm_pattern_matcher_free(matcher);
    return rc;
}

static void bpe(const struct vlm_decoder *step, const struct list *now, struct list *next,
                bool inside)
{
    for (size_t i = 0; i < now->n; i++) {
        bool last = i + 1 == now->n && !inside;
        add_replaced(&next->bytes, text_at(now, i), step->content,
                     (struct vlm_text){ " ", last ? 0 : 1 });
        end_text(next);
    }
}

static void fuse(const struct list *now, struct list *next)
{
    vlm_buffer_add(&next->bytes, now->bytes.data, now->bytes.size);
    end_text(next);
}

static int run_step(struct decoding *decoding, const struct vlm_decoder *step, struct vlm_err *err)
{
    struct list *now = &decoding->now, *next = &decoding->next;
    bool inside = decoding->inside;
    int rc = VLM_OK;
    vlm_buffer_reset(&next->bytes);
    next->n = 0;
    switch (step->kind) {
    case VLM_DECODE_BYTE_LEVEL:
        byte_level(now, next);
        break;
    case VLM_DECODE_WORDPIECE:
        wordpiece(step, now, next, inside);
        break;
    case VLM_DECODE_METASPACE:
        metaspace(step, now, next, inside);
        break;
    case VLM_DECODE_BYTE_FALLBACK:
        byte_fallback(now, next, inside);
        break;
    case VLM_DECODE_FUSE:
        fuse(now, next);
        break;
    case VLM_DECODE_STRIP:
        strip(step, now, next);
        break;
    case VLM_DECODE_REPLACE:
        rc = replace(decoding, step, err);
        break;
    case VLM_DECODE_BPE:
        bpe(step, now, next, inside);
        break;
    }
    struct list done = *next;
    *next = *now;
    *now = done;
    decoding->work += now->bytes.size;
    if (rc == VLM_OK && (now->bytes.failed || next->bytes.failed))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory to decode");
    if (rc == VLM_OK && now->bytes.size > decoding->max)
        rc = over_limit(decoding, err);
    return rc;
}

/* The texts of ids as the vocabulary and the added tokens spell them. */
static void begin_texts(struct decoding *decoding, const uint32_t *ids, size_t n, unsigned flags)
{
    const struct vlm_text_tokenizer *tokenizer = decoding->tokenizer;
    for (size_t i = 0; i < n; i++) {
        struct vlm_text text = tokenizer->spellings[ids[i]];
        if (tokenizer->special[ids[i]] == 1 && !(flags & VLM_TEXT_SPECIALS))
            continue;
        vlm_buffer_add(&decoding->now.bytes, text.at, text.n);
        end_text(&decoding->now);
    }
}

static int run(struct decoding *decoding, struct vlm_buffer *out, const uint32_t *ids, size_t n,
               unsigned flags, struct vlm_err *err)
{
    const struct vlm_text_spec *spec = &decoding->tokenizer->spec;
    struct list *now = &decoding->now;
    int rc = VLM_OK;
    begin_texts(decoding, ids, n, flags);
    decoding->max = VLM_DECODE_RATIO_MAX * VLM_MAX(now->bytes.size + n, VLM_KIB);
    for (size_t i = 0; rc == VLM_OK && i < spec->n_decoders && now->n; i++) {
        if (decoding->inside && spec->decoders[i].kind == VLM_DECODE_STRIP)
            continue; /* it looks at the ends of the text */
        rc = run_step(decoding, &spec->decoders[i], err);
    }
    for (size_t i = 0; rc == VLM_OK && i < now->n; i++) {
        struct vlm_text text = text_at(now, i);
        if (!spec->n_decoders && (i || decoding->inside))
            vlm_buffer_byte(out, ' ');
        vlm_buffer_add(out, text.at, text.n);
    }
    if (rc == VLM_OK && (now->bytes.failed || out->failed))
        rc = vlm_fail(err, VLM_ENOMEM, "no memory to decode");
    release(&decoding->now);
    release(&decoding->next);
    return rc;
}

int vlm_decode_chain(const struct vlm_text_tokenizer *tokenizer, struct vlm_buffer *out,
                     const uint32_t *ids, size_t n, unsigned flags, struct vlm_err *err)
{
    struct decoding decoding = { .tokenizer = tokenizer };
    return run(&decoding, out, ids, n, flags, err);
}

int vlm_decode_piece(const struct vlm_text_tokenizer *tokenizer, struct vlm_buffer *out,
                     uint32_t id, uint64_t *work, struct vlm_err *err)
{
    struct decoding decoding = { .tokenizer = tokenizer, .inside = true };
    int rc = run(&decoding, out, &id, 1, VLM_TEXT_SPECIALS, err);
    *work += decoding.work;
    return rc;
}
