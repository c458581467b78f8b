/* pipeline.c - a text to tokens, in the order of the package tokenizers: added tokens that are looked for as they
 * are written cut the text; what lies between is normalised; added tokens of normalised texts cut again; the
 * pre-tokenizers cut the rest into words; the model turns words into ids.
 *
 * Byte-level BPE with a known pattern and no normalizer, which is most of what people use, is left to
 * vlm_bpe_text() and never copied. */
#include "base/vlm.h"

#include "base/array.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "tokenize/text/pipeline.h"

static int no_memory(struct vlm_err *err)
{
    return vlm_fail(err, VLM_ENOMEM, "no memory to tokenize a text");
}

int vlm_pipeline_init(struct vlm_pipeline *pipeline, const struct vlm_text_tokenizer *tokenizer,
                      struct vlm_err *err)
{
    const struct vlm_text_spec *spec = &tokenizer->spec;
    int rc = VLM_OK;
    *pipeline = (struct vlm_pipeline){ .tokenizer = tokenizer };
    pipeline->matchers = calloc(spec->n_pre_tokenizers + 1, sizeof *pipeline->matchers);
    pipeline->normalizers = calloc(spec->n_normalizers + 1, sizeof *pipeline->normalizers);
    if (!pipeline->matchers || !pipeline->normalizers)
        return no_memory(err);
    for (size_t i = 0; i < spec->n_normalizers; i++)
        pipeline->normalizers[i] = spec->normalizers[i].step;
    for (size_t i = 0; rc == VLM_OK && i < spec->n_pre_tokenizers; i++)
        if (spec->pre_tokenizers[i].pattern)
            rc = vlm_pattern_matcher_new(&pipeline->matchers[i], spec->pre_tokenizers[i].pattern,
                                         err);
    if (rc == VLM_OK && tokenizer->bpe)
        rc = vlm_bpe_cache_new(&pipeline->cache, tokenizer->bpe, err);
    return rc;
}

static void release_work(struct vlm_work *work)
{
    free(work->words);
    free(work->own_text);
    free(work->own_from);
    free(work->own_to);
}

void vlm_pipeline_release(struct vlm_pipeline *pipeline)
{
    size_t n = pipeline->tokenizer ? pipeline->tokenizer->spec.n_pre_tokenizers : 0;
    for (size_t i = 0; pipeline->matchers && i < n; i++)
        vlm_pattern_matcher_free(pipeline->matchers[i]);
    free(pipeline->matchers);
    free(pipeline->normalizers);
    vlm_bpe_cache_free(pipeline->cache);
    vlm_normal_release(&pipeline->normal);
    vlm_buffer_release(&pipeline->repaired);
    release_work(&pipeline->work);
    release_work(&pipeline->next);
    free(pipeline->stretches);
    free(pipeline->symbols);
    vlm_unigram_path_release(&pipeline->path);
    *pipeline = (struct vlm_pipeline){ 0 };
}

static int add_token(struct vlm_tokens *tokens, uint32_t id, size_t start, size_t end,
                     struct vlm_err *err)
{
    if (!vlm_tokens_reserve(tokens, 1))
        return no_memory(err);
    tokens->ids[tokens->n] = id;
    if (tokens->with_spans)
        tokens->spans[tokens->n] = (struct vlm_token_span){ (uint32_t)start, (uint32_t)end };
    tokens->n++;
    return VLM_OK;
}

/* Symbols of a word for BPE of characters. */

static bool add_symbol(struct vlm_pipeline *pipeline, size_t *n, uint32_t id, size_t bytes)
{
    if (!vlm_array_reserve(&pipeline->symbols, &pipeline->symbols_capacity, *n, 1,
                           sizeof *pipeline->symbols))
        return false;
    pipeline->symbols[(*n)++] = (struct vlm_bpe_symbol){ id, (uint32_t)bytes };
    return true;
}

/* The character at text with what stands in front of it inside of a word and behind it at its end. */
static struct vlm_text spell_char(const struct vlm_text_spec *spec, char *room, const char *text,
                                  size_t n, bool first, bool last)
{
    const struct vlm_text none = { NULL, 0 };
    struct vlm_text prefix = first ? none : spec->prefix;
    struct vlm_text suffix = last ? spec->suffix : none;
    if (!prefix.n && !suffix.n)
        return (struct vlm_text){ text, n };
    if (prefix.n)
        memcpy(room, prefix.at, prefix.n);
    memcpy(room + prefix.n, text, n);
    if (suffix.n)
        memcpy(room + prefix.n + n, suffix.at, suffix.n);
    return (struct vlm_text){ room, prefix.n + n + suffix.n };
}

/* <0xNN> for each byte; false when one of them is no piece. */
static bool fall_back(struct vlm_pipeline *pipeline, size_t *n, struct vlm_text spelled,
                      size_t bytes, bool *failed)
{
    const uint32_t *ids = pipeline->tokenizer->fallback;
    for (size_t i = 0; i < spelled.n; i++)
        if (ids[(uint8_t)spelled.at[i]] == VLM_NO_TOKEN)
            return false;
    for (size_t i = 0; i < spelled.n && !*failed; i++)
        *failed = !add_symbol(pipeline, n, ids[(uint8_t)spelled.at[i]], i < bytes);
    return true;
}

/* Characters as symbols: a piece, or bytes, or unknown, or nothing at all. SIZE_MAX: no memory.
 *
 * An unknown stretch is written when a known character or (without fuse_unk) the next unknown one comes: bytes do
 * not end it. So does the package. */
static size_t begin_word(struct vlm_pipeline *pipeline, const char *word, size_t n)
{
    const struct vlm_text_tokenizer *tokenizer = pipeline->tokenizer;
    const struct vlm_text_spec *spec = &tokenizer->spec;
    char room[2 * VLM_PIECE_MAX + 4];
    size_t symbols = 0, unknown = 0, dropped = 0, bytes;
    bool failed = false;
    for (size_t at = 0; at < n && !failed; at += bytes) {
        bytes = vlm_utf8_valid_at(word + at, n - at);
        bytes = bytes ? bytes : 1;
        struct vlm_text spelled =
            spell_char(spec, room, word + at, bytes, at == 0, at + bytes == n);
        uint32_t id = vlm_piece_map_find(&spec->vocabulary, spelled.at, spelled.n);
        if (id != VLM_NO_TOKEN) {
            failed = unknown && !add_symbol(pipeline, &symbols, tokenizer->unknown, unknown);
            failed = failed || !add_symbol(pipeline, &symbols, id, dropped + bytes);
            unknown = dropped = 0;
        } else if (spec->byte_fallback && fall_back(pipeline, &symbols, spelled, bytes, &failed)) {
            continue;
        } else if (tokenizer->unknown != VLM_NO_TOKEN) {
            if (unknown && !spec->fuse_unknown) {
                failed = !add_symbol(pipeline, &symbols, tokenizer->unknown, unknown);
                unknown = 0;
            }
            unknown += bytes;
        } else {
            dropped += bytes;
        }
    }
    if (unknown && !failed)
        failed = !add_symbol(pipeline, &symbols, tokenizer->unknown, unknown);
    if (dropped && symbols && !failed) /* the spans still tile the word */
        pipeline->symbols[symbols - 1].bytes += (uint32_t)dropped;
    return failed ? SIZE_MAX : symbols;
}

static int run_char_bpe(struct vlm_pipeline *pipeline, struct vlm_tokens *tokens, const char *word,
                        size_t n, struct vlm_err *err)
{
    const struct vlm_text_spec *spec = &pipeline->tokenizer->spec;
    if (spec->ignore_merges) {
        uint32_t id = vlm_piece_map_find(&spec->vocabulary, word, n);
        if (id != VLM_NO_TOKEN)
            return add_token(tokens, id, 0, n, err);
    }
    size_t symbols = begin_word(pipeline, word, n);
    if (symbols != SIZE_MAX)
        symbols = vlm_bpe_merge(pipeline->cache, pipeline->symbols, symbols);
    if (symbols == SIZE_MAX || !vlm_tokens_reserve(tokens, symbols))
        return no_memory(err);
    for (size_t i = 0, at = 0; i < symbols; i++) {
        size_t end = VLM_MIN(at + pipeline->symbols[i].bytes, n);
        int rc = add_token(tokens, pipeline->symbols[i].id, at, end, err);
        if (rc != VLM_OK)
            return rc;
        at = end;
    }
    return VLM_OK;
}

/* The tokens of one word; spans are in the word. */
static int run_model(struct vlm_pipeline *pipeline, struct vlm_tokens *tokens, const char *word,
                     size_t n, struct vlm_err *err)
{
    const struct vlm_text_tokenizer *tokenizer = pipeline->tokenizer;
    const struct vlm_text_spec *spec = &tokenizer->spec;
    if (spec->model == VLM_MODEL_WORDPIECE)
        return vlm_wordpiece_word(tokenizer->wordpiece, tokens, word, n, err);
    if (spec->model == VLM_MODEL_UNIGRAM)
        return vlm_unigram_word(tokenizer->unigram, &pipeline->path, tokens, word, n, err);
    if (spec->model == VLM_MODEL_BPE && tokenizer->bytes)
        return vlm_bpe_word(pipeline->cache, tokens, word, n, 0, err);
    if (spec->model == VLM_MODEL_BPE)
        return run_char_bpe(pipeline, tokens, word, n, err);
    uint32_t id = vlm_piece_map_find(&spec->vocabulary, word, n);
    return add_token(tokens, id == VLM_NO_TOKEN ? tokenizer->unknown : id, 0, n, err);
}

/* Spans in a word that starts at byte `start` of work are spans of the original. */
static void map_spans(const struct vlm_work *work, struct vlm_tokens *tokens, size_t first,
                      size_t start)
{
    for (size_t i = first; tokens->with_spans && i < tokens->n; i++) {
        struct vlm_token_span *span = &tokens->spans[i];
        size_t from = start + span->start, to = start + span->end;
        if (!work->from) {
            *span = (struct vlm_token_span){ (uint32_t)(work->base + from),
                                             (uint32_t)(work->base + to) };
            continue;
        }
        uint32_t place = work->from[VLM_MIN(from, work->n - 1)];
        *span = (struct vlm_token_span){ place, to > from ? work->to[to - 1] : place };
    }
}

/* Cuts text, which lies in the original as `from` and `to` say, and tokenizes its words. */
static int run_words(struct vlm_pipeline *pipeline, struct vlm_tokens *tokens, const char *text,
                     size_t n, const uint32_t *from, const uint32_t *to, size_t base,
                     struct vlm_err *err)
{
    struct vlm_work *work = &pipeline->work;
    if (pipeline->tokenizer->fast)
        return vlm_bpe_text(pipeline->cache, tokens, pipeline->tokenizer->split, text, n, base,
                            err);
    work->text = text;
    work->n = n;
    work->from = from;
    work->to = to;
    work->base = base;
    work->n_words = 0;
    if (!vlm_work_add_word(work, 0, n))
        return no_memory(err);
    int rc = vlm_pre_tokenize(pipeline, err);
    for (size_t i = 0; rc == VLM_OK && i < work->n_words; i++) {
        struct vlm_word word = work->words[i];
        size_t first = tokens->n;
        rc = run_model(pipeline, tokens, work->text + word.start, word.end - word.start, err);
        map_spans(work, tokens, first, word.start);
    }
    return rc;
}

/* normal = text, with U+FFFD for what is not UTF-8, normalised. */
static int normalize(struct vlm_pipeline *pipeline, const char *text, size_t n, struct vlm_err *err)
{
    struct vlm_normal *normal = &pipeline->normal;
    struct vlm_buffer *repaired = &pipeline->repaired;
    const struct vlm_text_spec *spec = &pipeline->tokenizer->spec;
    size_t valid = vlm_utf8_valid_prefix(text, n);
    uint32_t *places = NULL;
    if (valid < n) {
        places = malloc((3 * n + 1) * sizeof *places);
        if (!places)
            return no_memory(err);
        vlm_buffer_reset(repaired);
        for (size_t at = 0; at < n;) {
            size_t bytes = vlm_utf8_valid_at(text + at, n - at);
            for (size_t i = 0; i < (bytes ? bytes : 3); i++)
                places[repaired->size + i] = (uint32_t)(at + (bytes ? i : 0));
            if (bytes)
                vlm_buffer_add(repaired, text + at, bytes);
            else
                vlm_buffer_text(repaired, VLM_UTF8_REPLACEMENT);
            at += bytes ? bytes : 1;
        }
        places[repaired->size] = (uint32_t)n;
        text = (const char *)repaired->data;
        n = repaired->size;
    }
    int rc = repaired->failed ? no_memory(err) : vlm_normal_set(normal, text, n, err);
    if (rc == VLM_OK)
        rc = vlm_normalize(normal, pipeline->normalizers, spec->n_normalizers, err);
    for (size_t i = 0; places && rc == VLM_OK && i < normal->n; i++) {
        normal->start[i] = places[normal->start[i]];
        normal->end[i] = places[normal->end[i]];
    }
    free(places);
    return rc;
}

/* Added tokens in a text that is normalised already, and words between them. */
static int run_normal(struct vlm_pipeline *pipeline, struct vlm_tokens *tokens, const char *text,
                      size_t n, const uint32_t *from, const uint32_t *to, size_t base,
                      unsigned flags, struct vlm_err *err)
{
    const struct vlm_text_tokenizer *tokenizer = pipeline->tokenizer;
    const struct vlm_added_words *words = NULL;
    struct vlm_added_match match;
    size_t at = 0, left = 0;
    int rc = VLM_OK;
    if ((flags & VLM_TEXT_SPECIALS) || tokenizer->normal_plain)
        words = tokenizer->normal_words;
    while (rc == VLM_OK && words &&
           vlm_added_words_next(words, text, n, &at, left, flags, &match)) {
        if (left < match.start)
            rc = run_words(pipeline, tokens, text + left, match.start - left,
                           from ? from + left : NULL, to ? to + left : NULL, base + left, err);
        if (rc == VLM_OK)
            rc = add_token(tokens, match.token->id, from ? from[match.start] : base + match.start,
                           to ? to[match.end - 1] : base + match.end, err);
        left = match.end;
    }
    if (rc == VLM_OK && left < n)
        rc = run_words(pipeline, tokens, text + left, n - left, from ? from + left : NULL,
                       to ? to + left : NULL, base + left, err);
    return rc;
}

/* A text without added tokens that are looked for as written. */
static int run_raw(struct vlm_pipeline *pipeline, struct vlm_tokens *tokens, const char *text,
                   size_t n, size_t base, unsigned flags, struct vlm_err *err)
{
    const struct vlm_text_tokenizer *tokenizer = pipeline->tokenizer;
    struct vlm_normal *normal = &pipeline->normal;
    if (!tokenizer->spec.n_normalizers)
        return run_normal(pipeline, tokens, text, n, NULL, NULL, base, flags, err);
    int rc = normalize(pipeline, text, n, err);
    for (size_t i = 0; rc == VLM_OK && i < normal->n; i++) {
        normal->start[i] += (uint32_t)base;
        normal->end[i] += (uint32_t)base;
    }
    if (rc != VLM_OK || !normal->n)
        return rc;
    return run_normal(pipeline, tokens, normal->text, normal->n, normal->start, normal->end, 0,
                      flags, err);
}

int vlm_pipeline_run(struct vlm_pipeline *pipeline, struct vlm_tokens *tokens, const char *text,
                     size_t n, unsigned flags, struct vlm_err *err)
{
    const struct vlm_text_tokenizer *tokenizer = pipeline->tokenizer;
    const struct vlm_added_words *words = NULL;
    struct vlm_added_match match;
    size_t at = 0, left = 0;
    int rc = VLM_OK;
    if ((flags & VLM_TEXT_SPECIALS) || tokenizer->raw_plain)
        words = tokenizer->raw_words;
    while (rc == VLM_OK && words &&
           vlm_added_words_next(words, text, n, &at, left, flags, &match)) {
        if (left < match.start)
            rc = run_raw(pipeline, tokens, text + left, match.start - left, left, flags, err);
        if (rc == VLM_OK)
            rc = add_token(tokens, match.token->id, match.start, match.end, err);
        left = match.end;
    }
    if (rc == VLM_OK && left < n)
        rc = run_raw(pipeline, tokens, text + left, n - left, left, flags, err);
    return rc;
}
