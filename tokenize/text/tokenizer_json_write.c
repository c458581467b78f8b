/* tokenizer_json_write.c - the canonical tokenizer.json of a tokenizer: one order of members, no white space but
 * one behind ':' and ',', pieces by id, added tokens by id, flat sequences. Its SHA-256 names the tokenizer. */
#include "base/vlm.h"

#include "base/json.h"
#include "tokenize/text/json_internal.h"
#include "tokenize/text/text_internal.h"

static void member_text(struct vlm_json *json, const char *key, struct vlm_text text)
{
    vlm_json_key(json, key);
    if (text.at)
        vlm_json_text(json, text.at, text.n);
    else
        vlm_json_null(json);
}

static void member_bool(struct vlm_json *json, const char *key, bool value)
{
    vlm_json_key(json, key);
    vlm_json_bool(json, value);
}

static void member_flag(struct vlm_json *json, const char *key, unsigned flags, unsigned flag)
{
    member_bool(json, key, (flags & flag) != 0);
}

static void member_null(struct vlm_json *json, const char *key)
{
    vlm_json_key(json, key);
    vlm_json_null(json);
}

static void member_pattern(struct vlm_json *json, enum vlm_pattern_kind kind, struct vlm_text text)
{
    vlm_json_key(json, "pattern");
    vlm_json_open(json, '{');
    member_text(json, kind == VLM_PATTERN_REGEX ? "Regex" : "String", text);
    vlm_json_close(json, '}');
}

static void write_normalizer(struct vlm_json *json, const void *item)
{
    const struct vlm_text_normalizer *normalizer = item;
    const struct vlm_normalizer *step = &normalizer->step;
    struct vlm_text content = { step->content, step->content_size };
    vlm_json_member_string(json, "type", vlm_json_normalizers[step->kind]);
    if (step->kind == VLM_NORMALIZE_BERT) {
        member_flag(json, "clean_text", step->flags, VLM_BERT_CLEAN_TEXT);
        member_flag(json, "handle_chinese_chars", step->flags, VLM_BERT_CHINESE_CHARS);
        if (normalizer->accents_as_case)
            member_null(json, "strip_accents");
        else
            member_flag(json, "strip_accents", step->flags, VLM_BERT_STRIP_ACCENTS);
        member_flag(json, "lowercase", step->flags, VLM_BERT_LOWERCASE);
    } else if (step->kind == VLM_NORMALIZE_STRIP) {
        member_flag(json, "strip_left", step->flags, VLM_STRIP_LEFT);
        member_flag(json, "strip_right", step->flags, VLM_STRIP_RIGHT);
    } else if (step->kind == VLM_NORMALIZE_REPLACE) {
        member_pattern(json, normalizer->pattern_kind, normalizer->pattern_text);
        member_text(json, "content", content);
    } else if (step->kind == VLM_NORMALIZE_PREPEND) {
        member_text(json, "prepend", content);
    } else if (step->kind == VLM_NORMALIZE_PRECOMPILED) {
        member_text(json, "precompiled_charsmap", normalizer->charsmap_text);
    }
}

static void write_pre_tokenizer(struct vlm_json *json, const void *item)
{
    const struct vlm_pre_tokenizer *step = item;
    vlm_json_member_string(json, "type", vlm_json_pre_tokenizers[step->kind]);
    switch (step->kind) {
    case VLM_PRE_BYTE_LEVEL:
        member_flag(json, "add_prefix_space", step->flags, VLM_PART_PREFIX_SPACE);
        member_bool(json, "trim_offsets", true);
        member_flag(json, "use_regex", step->flags, VLM_PART_REGEX);
        break;
    case VLM_PRE_SPLIT:
        member_pattern(json, step->pattern_kind, step->pattern_text);
        vlm_json_member_string(json, "behavior", vlm_json_behaviors[step->behavior]);
        member_flag(json, "invert", step->flags, VLM_PART_INVERT);
        break;
    case VLM_PRE_DIGITS:
        member_flag(json, "individual_digits", step->flags, VLM_PART_INDIVIDUAL);
        break;
    case VLM_PRE_PUNCTUATION:
        vlm_json_member_string(json, "behavior", vlm_json_behaviors[step->behavior]);
        break;
    case VLM_PRE_METASPACE:
        member_text(json, "replacement", step->content);
        vlm_json_member_string(json, "prepend_scheme", vlm_json_prepends[step->prepend]);
        member_flag(json, "split", step->flags, VLM_PART_SPLIT);
        break;
    case VLM_PRE_DELIMITER:
        member_text(json, "delimiter", step->content);
        break;
    case VLM_PRE_FIXED_LENGTH:
        vlm_json_member_number(json, "length", step->length);
        break;
    case VLM_PRE_WHITESPACE:
    case VLM_PRE_WHITESPACE_SPLIT:
    case VLM_PRE_BERT:
        break;
    }
}

static void write_decoder(struct vlm_json *json, const void *item)
{
    const struct vlm_decoder *step = item;
    vlm_json_member_string(json, "type", vlm_json_decoders[step->kind]);
    switch (step->kind) {
    case VLM_DECODE_BYTE_LEVEL:
        member_bool(json, "add_prefix_space", false);
        member_bool(json, "trim_offsets", true);
        member_bool(json, "use_regex", true);
        break;
    case VLM_DECODE_WORDPIECE:
        member_text(json, "prefix", step->content);
        member_flag(json, "cleanup", step->flags, VLM_PART_CLEANUP);
        break;
    case VLM_DECODE_METASPACE:
        member_text(json, "replacement", step->content);
        vlm_json_member_string(json, "prepend_scheme", vlm_json_prepends[step->prepend]);
        member_bool(json, "split", true);
        break;
    case VLM_DECODE_STRIP:
        member_text(json, "content", step->content);
        vlm_json_member_number(json, "start", step->start);
        vlm_json_member_number(json, "stop", step->stop);
        break;
    case VLM_DECODE_REPLACE:
        member_pattern(json, step->pattern_kind, step->pattern_text);
        member_text(json, "content", step->content);
        break;
    case VLM_DECODE_BPE:
        member_text(json, "suffix", step->content);
        break;
    case VLM_DECODE_BYTE_FALLBACK:
    case VLM_DECODE_FUSE:
        break;
    }
}

/* null, one step, or a Sequence of them. */
static void write_steps(struct vlm_json *json, const char *key, const char *children,
                        const void *steps, size_t n, size_t size,
                        void (*write)(struct vlm_json *, const void *))
{
    vlm_json_key(json, key);
    if (!n) {
        vlm_json_null(json);
        return;
    }
    if (n > 1) {
        vlm_json_open(json, '{');
        vlm_json_member_string(json, "type", "Sequence");
        vlm_json_key(json, children);
        vlm_json_open(json, '[');
    }
    for (size_t i = 0; i < n; i++) {
        vlm_json_open(json, '{');
        write(json, (const char *)steps + i * size);
        vlm_json_close(json, '}');
    }
    if (n > 1) {
        vlm_json_close(json, ']');
        vlm_json_close(json, '}');
    }
}

static void write_added_tokens(struct vlm_json *json, const struct vlm_text_spec *spec)
{
    vlm_json_key(json, "added_tokens");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < spec->n_added; i++) {
        const struct vlm_added_token *token = &spec->added[i];
        vlm_json_open(json, '{');
        vlm_json_member_number(json, "id", token->id);
        member_text(json, "content", token->word);
        member_flag(json, "single_word", token->flags, VLM_ADDED_SINGLE_WORD);
        member_flag(json, "lstrip", token->flags, VLM_ADDED_LSTRIP);
        member_flag(json, "rstrip", token->flags, VLM_ADDED_RSTRIP);
        member_flag(json, "normalized", token->flags, VLM_ADDED_NORMALIZED);
        member_flag(json, "special", token->flags, VLM_ADDED_SPECIAL);
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, ']');
}

static void write_vocab(struct vlm_json *json, const struct vlm_text_spec *spec)
{
    vlm_json_key(json, "vocab");
    vlm_json_open(json, '{');
    for (uint32_t id = 0; id < spec->n_pieces; id++) {
        struct vlm_text piece = spec->pieces[id];
        if (!piece.at)
            continue;
        vlm_json_text(json, piece.at, piece.n);
        vlm_buffer_text(json->out, ": ");
        json->comma = false;
        vlm_json_number(json, id);
    }
    vlm_json_close(json, '}');
}

static void write_unigram(struct vlm_json *json, const struct vlm_text_spec *spec)
{
    vlm_json_key(json, "unk_id");
    if (spec->unknown_id == VLM_NO_TOKEN)
        vlm_json_null(json);
    else
        vlm_json_number(json, spec->unknown_id);
    member_bool(json, "byte_fallback", spec->byte_fallback);
    vlm_json_key(json, "vocab");
    vlm_json_open(json, '[');
    for (uint32_t id = 0; id < spec->n_pieces; id++) {
        vlm_json_open(json, '[');
        vlm_json_text(json, spec->pieces[id].at, spec->pieces[id].n);
        vlm_buffer_text(json->out, ", ");
        vlm_buffer_add(json->out, spec->scores[id].at, spec->scores[id].n);
        vlm_json_close(json, ']');
    }
    vlm_json_close(json, ']');
}

static void write_model(struct vlm_json *json, const struct vlm_text_spec *spec)
{
    static const char *const types[] = {
        [VLM_MODEL_BPE] = "BPE",
        [VLM_MODEL_WORDPIECE] = "WordPiece",
        [VLM_MODEL_WORDLEVEL] = "WordLevel",
        [VLM_MODEL_UNIGRAM] = "Unigram",
    };
    vlm_json_key(json, "model");
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "type", types[spec->model]);
    if (spec->model == VLM_MODEL_UNIGRAM) {
        write_unigram(json, spec);
        vlm_json_close(json, '}');
        return;
    }
    if (spec->model == VLM_MODEL_BPE)
        member_null(json, "dropout");
    member_text(json, "unk_token", spec->unknown);
    if (spec->model != VLM_MODEL_WORDLEVEL)
        member_text(json, "continuing_subword_prefix", spec->prefix);
    if (spec->model == VLM_MODEL_WORDPIECE)
        vlm_json_member_number(json, "max_input_chars_per_word", spec->word_max);
    if (spec->model == VLM_MODEL_BPE) {
        member_text(json, "end_of_word_suffix", spec->suffix);
        member_bool(json, "fuse_unk", spec->fuse_unknown);
        member_bool(json, "byte_fallback", spec->byte_fallback);
        member_bool(json, "ignore_merges", spec->ignore_merges);
    }
    write_vocab(json, spec);
    if (spec->model == VLM_MODEL_BPE) {
        vlm_json_key(json, "merges");
        vlm_json_open(json, '[');
        for (size_t i = 0; i < spec->n_merges; i++) {
            struct vlm_text left = spec->pieces[spec->merges[i].left];
            struct vlm_text right = spec->pieces[spec->merges[i].right];
            vlm_json_open(json, '[');
            vlm_json_text(json, left.at, left.n);
            vlm_json_text(json, right.at, right.n);
            vlm_json_close(json, ']');
        }
        vlm_json_close(json, ']');
    }
    vlm_json_close(json, '}');
}

int vlm_tokenizer_json_write(struct vlm_buffer *out, const struct vlm_text_spec *spec,
                             struct vlm_err *err)
{
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "version", "1.0");
    member_null(&json, "truncation");
    member_null(&json, "padding");
    write_added_tokens(&json, spec);
    write_steps(&json, "normalizer", "normalizers", spec->normalizers, spec->n_normalizers,
                sizeof *spec->normalizers, write_normalizer);
    write_steps(&json, "pre_tokenizer", "pretokenizers", spec->pre_tokenizers,
                spec->n_pre_tokenizers, sizeof *spec->pre_tokenizers, write_pre_tokenizer);
    member_null(&json, "post_processor");
    write_steps(&json, "decoder", "decoders", spec->decoders, spec->n_decoders,
                sizeof *spec->decoders, write_decoder);
    write_model(&json, spec);
    vlm_json_close(&json, '}');
    vlm_buffer_byte(out, '\n');
    return out->failed ? vlm_fail(err, VLM_ENOMEM, "no memory for a tokenizer.json") : VLM_OK;
}
