/* text_tokenizer.c - opening a tokenizer: the files are read into a spec, the spec is checked as a whole, models
 * and tables are built of it. Encoding is pipeline.c's; what is here of decoding is the common case in which each
 * id stands for the same bytes wherever it is. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/include_file.h"
#include "base/limits.h"
#include "tokenize/text/pipeline.h"

struct vlm_text_encoder {
    struct vlm_pipeline pipeline;
};

static int by_id(const void *a, const void *b)
{
    const struct vlm_added_token *left = a, *right = b;
    return (left->id > right->id) - (left->id < right->id);
}

static int no_memory(struct vlm_err *err)
{
    return vlm_fail(err, VLM_ENOMEM, "no memory for a tokenizer");
}

/* An added token is a piece of the vocabulary with its id there, or has an id that no piece has. */
static int check_added(struct vlm_text_tokenizer *tokenizer, const char *name, struct vlm_err *err)
{
    struct vlm_text_spec *spec = &tokenizer->spec;
    if (!vlm_piece_map_init(&tokenizer->added, spec->n_added))
        return no_memory(err);
    if (spec->n_added)
        qsort(spec->added, spec->n_added, sizeof *spec->added, by_id);
    for (size_t i = 0; i < spec->n_added; i++) {
        struct vlm_added_token *token = &spec->added[i];
        uint32_t known = vlm_piece_map_find(&spec->vocabulary, token->word.at, token->word.n);
        token->normal = token->word;
        if (known != VLM_NO_TOKEN && known != token->id)
            return vlm_fail(err, VLM_EFORMAT,
                            "'%s', added_tokens: '%s' has id %" PRIu32 " here and %" PRIu32
                            " in the vocabulary",
                            name, token->word.at, token->id, known);
        if (known == VLM_NO_TOKEN && token->id < spec->n_pieces && spec->pieces[token->id].at)
            return vlm_fail(err, VLM_EFORMAT,
                            "'%s', added_tokens: '%s' has id %" PRIu32
                            ", which is that of piece '%s'",
                            name, token->word.at, token->id, spec->pieces[token->id].at);
        if (i && spec->added[i - 1].id == token->id)
            return vlm_fail(err, VLM_EFORMAT,
                            "'%s', added_tokens: '%s' and '%s' have the same id %" PRIu32, name,
                            spec->added[i - 1].word.at, token->word.at, token->id);
        if (vlm_piece_map_add(&tokenizer->added, token->word, token->id) != VLM_NO_TOKEN)
            return vlm_fail(err, VLM_EFORMAT, "'%s', added_tokens: '%s' stands twice", name,
                            token->word.at);
        tokenizer->size = VLM_MAX(tokenizer->size, token->id + 1);
        if (!(token->flags & VLM_ADDED_SPECIAL))
            *(token->flags & VLM_ADDED_NORMALIZED ? &tokenizer->normal_plain
                                                  : &tokenizer->raw_plain) = true;
    }
    return VLM_OK;
}

/* What became of the words of a file. */
struct made {
    uint64_t bytes, work;
};

/* Normalizers and decoders may make long texts of short ones: a file that makes too much of its
 * words, or too much on the way there, is refused. rc is of the last word. */
static int check_made(const struct made *made, int rc, const char *name, const char *what,
                      const struct vlm_text *word, struct vlm_err *err)
{
    if (rc == VLM_ELIMIT) {
        vlm_wrap(err, "'%s': %s '%.*s'", name, what, (int)VLM_MIN(word->n, 40), word->at);
        return vlm_recode(err, VLM_EFORMAT);
    }
    if (made->bytes > VLM_TOKENIZER_WORDS_MAX)
        return vlm_fail(err, VLM_EFORMAT, "'%s': all %ss are over the limit of %zu bytes", name,
                        what, VLM_TOKENIZER_WORDS_MAX);
    if (made->work > VLM_TOKENIZER_WORK_MAX)
        return vlm_fail(err, VLM_EFORMAT,
                        "'%s': all %ss took over %zu bytes in all steps, which is the limit", name,
                        what, VLM_TOKENIZER_WORK_MAX);
    return rc;
}

/* What is looked for in normalised texts is normalised itself. */
static int normalize_added(struct vlm_text_tokenizer *tokenizer, const char *name,
                           struct vlm_err *err)
{
    struct vlm_text_spec *spec = &tokenizer->spec;
    struct vlm_normal normal = { 0 };
    struct made made = { 0 };
    int rc = VLM_OK;
    struct vlm_normalizer *steps =
        vlm_arena_alloc(&spec->arena, spec->n_normalizers, sizeof *steps);
    if (!steps)
        return no_memory(err);
    for (size_t i = 0; i < spec->n_normalizers; i++)
        steps[i] = spec->normalizers[i].step;
    for (size_t i = 0; rc == VLM_OK && spec->n_normalizers && i < spec->n_added; i++) {
        struct vlm_added_token *token = &spec->added[i];
        if (!(token->flags & VLM_ADDED_NORMALIZED))
            continue;
        rc = vlm_normal_set(&normal, token->word.at, token->word.n, err);
        if (rc == VLM_OK)
            rc = vlm_normalize(&normal, steps, spec->n_normalizers, err);
        made.bytes += normal.n;
        made.work = normal.work;
        rc = check_made(&made, rc, name, "normalized word", &token->word, err);
        if (rc == VLM_OK && normal.n > VLM_PIECE_MAX) /* each byte of a text may look through it */
            rc =
                vlm_fail(err, VLM_EFORMAT,
                         "'%s', added_tokens: '%.64s' has %zu bytes once normalized, more than %zu",
                         name, token->word.at, normal.n, (size_t)VLM_PIECE_MAX);
        if (rc == VLM_OK)
            token->normal = vlm_text_spec_copy(spec, normal.text, normal.n);
        if (rc == VLM_OK && !token->normal.at)
            rc = no_memory(err);
    }
    vlm_normal_release(&normal);
    return rc;
}

static int check_ids(struct vlm_text_tokenizer *tokenizer, const char *name, struct vlm_err *err)
{
    struct vlm_text_spec *spec = &tokenizer->spec;
    tokenizer->special = vlm_arena_zero(&spec->arena, tokenizer->size, 1);
    tokenizer->texts = vlm_arena_zero(&spec->arena, tokenizer->size, sizeof *tokenizer->texts);
    if (!tokenizer->special || !tokenizer->texts)
        return no_memory(err);
    for (size_t i = 0; i < spec->n_added; i++)
        tokenizer->special[spec->added[i].id] = spec->added[i].flags & VLM_ADDED_SPECIAL ? 1 : 2;
    for (uint32_t id = 0; id < spec->n_pieces; id++)
        if (!spec->pieces[id].at && !tokenizer->special[id])
            return vlm_fail(err, VLM_EFORMAT,
                            "'%s': no piece has id %" PRIu32 ", but ids go up to %" PRIu32, name,
                            id, spec->n_pieces - 1);
    if (spec->unused_end > tokenizer->size)
        return vlm_fail(err, VLM_EFORMAT,
                        "'%s', post_processor: id %" PRIu32 " where ids go up to %" PRIu32, name,
                        spec->unused_end - 1, tokenizer->size - 1);
    return VLM_OK;
}

/* Bytes of no character: they stand nowhere in UTF-8, or begin U+40000 to U+BFFFF, where Unicode has
 * none. A vocabulary that was trained on text may lack them (GPT-NeoX's, StarCoder's). */
static bool is_of_no_character(unsigned byte)
{
    return byte == 0xc0 || byte == 0xc1 || byte == 0xf1 || byte == 0xf2 || byte >= 0xf5;
}

/* The ids of the 256 bytes, each with a suffix behind it. Returns the first byte that has none, but
 * one that is_of_no_character() only when no other byte is missing; 256 when none is. */
static unsigned find_bytes(const struct vlm_text_spec *spec, uint32_t ids[256],
                           struct vlm_text suffix)
{
    char spelling[4 + VLM_PIECE_MAX];
    struct vlm_buffer out = { 0 };
    unsigned missing = 256;
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t value = (uint8_t)byte;
        vlm_buffer_reset(&out);
        vlm_bpe_bytes_to_spelling(&out, &value, 1);
        if (out.failed || out.size > 4) {
            missing = byte;
            break;
        }
        memcpy(spelling, out.data, out.size);
        if (suffix.n)
            memcpy(spelling + out.size, suffix.at, suffix.n);
        ids[byte] = vlm_piece_map_find(&spec->vocabulary, spelling, out.size + suffix.n);
        if (ids[byte] == VLM_NO_TOKEN &&
            (missing == 256 || (is_of_no_character(missing) && !is_of_no_character(byte))))
            missing = byte;
    }
    vlm_buffer_release(&out);
    return missing;
}

/* A piece as bytes, where its spelling is that of bytes; at NULL otherwise. */
static int bytes_of(struct vlm_text_spec *spec, struct vlm_bytes *out, struct vlm_text piece,
                    struct vlm_err *err)
{
    uint8_t bytes[VLM_PIECE_MAX];
    *out = (struct vlm_bytes){ 0 };
    size_t n = piece.at ? vlm_bpe_spelling_to_bytes(bytes, piece.at, piece.n) : SIZE_MAX;
    if (n == SIZE_MAX)
        return VLM_OK;
    const char *copy = vlm_arena_copy(&spec->arena, bytes, n);
    if (!copy)
        return no_memory(err);
    *out = (struct vlm_bytes){ (const uint8_t *)copy, (const uint8_t *)copy + n, false };
    return VLM_OK;
}

static bool ends_in_byte_level(const struct vlm_text_spec *spec)
{
    size_t n = spec->n_pre_tokenizers;
    return n && spec->pre_tokenizers[n - 1].kind == VLM_PRE_BYTE_LEVEL;
}

static int build_bpe(struct vlm_text_tokenizer *tokenizer, const char *name, struct vlm_err *err)
{
    struct vlm_text_spec *spec = &tokenizer->spec;
    uint32_t bytes[256], last[256];
    struct vlm_bytes *pieces = vlm_arena_zero(&spec->arena, spec->n_pieces, sizeof *pieces);
    if (!pieces)
        return no_memory(err);
    bool spelled = true;
    for (uint32_t id = 0; id < spec->n_pieces; id++) {
        int rc = bytes_of(spec, &pieces[id], spec->pieces[id], err);
        if (rc != VLM_OK)
            return rc;
        spelled = spelled && (pieces[id].at || tokenizer->special[id]);
    }
    if (ends_in_byte_level(spec) && !spec->prefix.n) {
        unsigned missing = find_bytes(spec, bytes, (struct vlm_text){ 0 });
        tokenizer->bytes =
            missing == 256 && (!spec->suffix.n || find_bytes(spec, last, spec->suffix) == 256);
        if (missing < 256 && !is_of_no_character(missing) && spelled && !spec->unknown.at &&
            !spec->byte_fallback)
            return vlm_fail(err, VLM_EFORMAT, "'%s': byte 0x%02X missing in the vocabulary", name,
                            missing);
    }
    const struct vlm_bpe_source source = {
        .pieces = pieces,
        .n_pieces = spec->n_pieces,
        .merges = spec->merges,
        .n_merges = spec->n_merges,
        .byte_ids = tokenizer->bytes ? bytes : NULL,
        .last_byte_ids = tokenizer->bytes && spec->suffix.n ? last : NULL,
        .whole_words = spec->ignore_merges,
    };
    return vlm_bpe_new(&tokenizer->bpe, &source, err);
}

/* The pieces as they are spelled, or NULL. */
static struct vlm_bytes *pieces_as_bytes(struct vlm_text_spec *spec)
{
    struct vlm_bytes *pieces = vlm_arena_zero(&spec->arena, spec->n_pieces, sizeof *pieces);
    for (uint32_t id = 0; pieces && id < spec->n_pieces; id++)
        if (spec->pieces[id].at)
            pieces[id] =
                (struct vlm_bytes){ (const uint8_t *)spec->pieces[id].at,
                                    (const uint8_t *)spec->pieces[id].at + spec->pieces[id].n,
                                    false };
    return pieces;
}

static int build_wordpiece(struct vlm_text_tokenizer *tokenizer, struct vlm_err *err)
{
    struct vlm_text_spec *spec = &tokenizer->spec;
    struct vlm_bytes *pieces = pieces_as_bytes(spec);
    if (!pieces)
        return no_memory(err);
    const struct vlm_wordpiece_source source = {
        .pieces = pieces,
        .n_pieces = spec->n_pieces,
        .unknown = tokenizer->unknown,
        .prefix = spec->prefix.at,
        .word_max = spec->word_max,
    };
    return vlm_wordpiece_new(&tokenizer->wordpiece, &source, err);
}

static int build_unigram(struct vlm_text_tokenizer *tokenizer, const char *name,
                         struct vlm_err *err)
{
    struct vlm_text_spec *spec = &tokenizer->spec;
    struct vlm_bytes *pieces = pieces_as_bytes(spec);
    if (!pieces)
        return no_memory(err);
    tokenizer->unknown = spec->unknown_id;
    if (spec->unknown_id != VLM_NO_TOKEN && spec->unknown_id >= spec->n_pieces)
        return vlm_fail(err, VLM_EFORMAT,
                        "'%s', model.unk_id: %" PRIu32 ", but ids go up to %" PRIu32, name,
                        spec->unknown_id, spec->n_pieces - 1);
    const struct vlm_unigram_source source = {
        .pieces = pieces,
        .scores = spec->score_values,
        .n_pieces = spec->n_pieces,
        .unknown = spec->unknown_id,
        .fallback = spec->byte_fallback ? tokenizer->fallback : NULL,
    };
    return vlm_unigram_new(&tokenizer->unigram, &source, err);
}

/* The ids of <0xNN>. */
static void find_fallback(struct vlm_text_tokenizer *tokenizer)
{
    char name[8];
    for (unsigned byte = 0; byte < 256; byte++) {
        int n = snprintf(name, sizeof name, "<0x%02X>", byte);
        tokenizer->fallback[byte] =
            vlm_piece_map_find(&tokenizer->spec.vocabulary, name, (size_t)n);
    }
}

static int build_model(struct vlm_text_tokenizer *tokenizer, const char *name, struct vlm_err *err)
{
    struct vlm_text_spec *spec = &tokenizer->spec;
    tokenizer->unknown = VLM_NO_TOKEN;
    if (spec->unknown.at)
        tokenizer->unknown =
            vlm_piece_map_find(&spec->vocabulary, spec->unknown.at, spec->unknown.n);
    bool needed = spec->model == VLM_MODEL_WORDPIECE || spec->model == VLM_MODEL_WORDLEVEL;
    if (tokenizer->unknown == VLM_NO_TOKEN && (spec->unknown.at || needed))
        return vlm_fail(err, VLM_EFORMAT, "'%s', model.unk_token: '%s' is not in the vocabulary",
                        name, spec->unknown.at ? spec->unknown.at : "");
    find_fallback(tokenizer);
    if (spec->model == VLM_MODEL_BPE)
        return build_bpe(tokenizer, name, err);
    if (spec->model == VLM_MODEL_UNIGRAM)
        return build_unigram(tokenizer, name, err);
    return spec->model == VLM_MODEL_WORDPIECE ? build_wordpiece(tokenizer, err) : VLM_OK;
}

/* Whether vlm_bpe_text() alone does it. */
static void choose_way(struct vlm_text_tokenizer *tokenizer)
{
    const struct vlm_text_spec *spec = &tokenizer->spec;
    const struct vlm_pre_tokenizer *steps = spec->pre_tokenizers;
    size_t n = spec->n_pre_tokenizers;
    if (!tokenizer->bytes || spec->n_normalizers || n > 2 ||
        (steps[n - 1].flags & VLM_PART_PREFIX_SPACE))
        return;
    bool regex = steps[n - 1].flags & VLM_PART_REGEX;
    if (n == 1) {
        tokenizer->split = regex ? VLM_SPLIT_GPT2 : VLM_SPLIT_NONE;
        tokenizer->fast = true;
    } else if (steps[0].kind == VLM_PRE_SPLIT && steps[0].split >= 0 && !regex &&
               !(steps[0].flags & VLM_PART_INVERT) && steps[0].behavior == VLM_BEHAVIOR_ISOLATED &&
               steps[0].split != VLM_SPLIT_CLIP && steps[0].split != VLM_SPLIT_CLIP_CASED) {
        tokenizer->split = (enum vlm_split)steps[0].split;
        tokenizer->fast = true;
    }
}

/* An added token decodes as what the normalizer makes of it, if that is what is looked for. */
static int make_spellings(struct vlm_text_tokenizer *tokenizer, struct vlm_err *err)
{
    struct vlm_text_spec *spec = &tokenizer->spec;
    tokenizer->spellings =
        vlm_arena_zero(&spec->arena, tokenizer->size, sizeof *tokenizer->spellings);
    if (!tokenizer->spellings)
        return no_memory(err);
    memcpy(tokenizer->spellings, spec->pieces, spec->n_pieces * sizeof *spec->pieces);
    for (size_t i = 0; i < spec->n_added; i++)
        tokenizer->spellings[spec->added[i].id] = spec->added[i].normal;
    return VLM_OK;
}

static bool is_added(const struct vlm_text_tokenizer *tokenizer, uint32_t id)
{
    return tokenizer->special[id] != 0;
}

/* What an id decodes to; bytes for byte-level BPE, which most are, without going through decoders. */
static int make_text(struct vlm_text_tokenizer *tokenizer, struct vlm_buffer *out, uint32_t id,
                     const char *name, struct made *made, struct vlm_err *err)
{
    struct vlm_text_spec *spec = &tokenizer->spec;
    struct vlm_text text = tokenizer->spellings[id];
    struct vlm_bytes *place = &tokenizer->texts[id];
    if (tokenizer->decode_plain) {
        int rc = is_added(tokenizer, id) ? VLM_OK : bytes_of(spec, place, text, err);
        if (rc != VLM_OK || place->at)
            return rc;
    } else {
        vlm_buffer_reset(out);
        int rc = vlm_decode_piece(tokenizer, out, id, &made->work, err);
        made->bytes += out->size;
        rc = check_made(made, rc, name, "decoded piece", &text, err);
        if (rc != VLM_OK)
            return rc;
        text = vlm_text_spec_copy(spec, out->data, out->size);
        if (!text.at)
            return no_memory(err);
    }
    *place =
        (struct vlm_bytes){ (const uint8_t *)text.at, (const uint8_t *)text.at + text.n, false };
    return VLM_OK;
}

static int make_texts(struct vlm_text_tokenizer *tokenizer, const char *name, struct vlm_err *err)
{
    struct vlm_text_spec *spec = &tokenizer->spec;
    struct vlm_buffer out = { 0 };
    struct made made = { 0 };
    int rc = make_spellings(tokenizer, err);
    tokenizer->decode_plain =
        spec->n_decoders == 1 && spec->decoders[0].kind == VLM_DECODE_BYTE_LEVEL;
    for (uint32_t id = 0; rc == VLM_OK && id < tokenizer->size; id++)
        if (tokenizer->spellings[id].at)
            rc = make_text(tokenizer, &out, id, name, &made, err);
    vlm_buffer_release(&out);
    return rc;
}

/* Nothing is changed, added or left out on the way to tokens and back. */
static bool keeps_bytes(const struct vlm_text_tokenizer *tokenizer)
{
    const struct vlm_text_spec *spec = &tokenizer->spec;
    if (!tokenizer->bytes || !tokenizer->decode_plain || spec->n_normalizers || spec->suffix.n)
        return false;
    for (size_t i = 0; i < spec->n_pre_tokenizers; i++) {
        const struct vlm_pre_tokenizer *step = &spec->pre_tokenizers[i];
        bool cuts = step->kind == VLM_PRE_SPLIT || step->kind == VLM_PRE_PUNCTUATION;
        if (step->kind == VLM_PRE_BYTE_LEVEL
                ? (step->flags & VLM_PART_PREFIX_SPACE) != 0
                : !(cuts && step->behavior != VLM_BEHAVIOR_REMOVED) &&
                      step->kind != VLM_PRE_DIGITS && step->kind != VLM_PRE_FIXED_LENGTH)
            return false;
        if (step->kind == VLM_PRE_BYTE_LEVEL && i + 1 < spec->n_pre_tokenizers)
            return false;
    }
    for (size_t i = 0; i < spec->n_added; i++)
        if (spec->added[i].flags & (VLM_ADDED_LSTRIP | VLM_ADDED_RSTRIP))
            return false;
    return true;
}

static int make_id(struct vlm_text_tokenizer *tokenizer, struct vlm_err *err)
{
    static const char *const kinds[] = {
        [VLM_MODEL_BPE] = "bpe",
        [VLM_MODEL_WORDPIECE] = "wordpiece",
        [VLM_MODEL_WORDLEVEL] = "wordlevel",
        [VLM_MODEL_UNIGRAM] = "unigram",
    };
    struct vlm_buffer json = { 0 };
    uint8_t hash[VLM_SHA256_SIZE];
    char hex[13];
    int rc = vlm_tokenizer_json_write(&json, &tokenizer->spec, err);
    if (rc == VLM_OK) {
        vlm_sha256(hash, json.data, json.size);
        snprintf(tokenizer->id, sizeof tokenizer->id, "%s-%s", kinds[tokenizer->spec.model],
                 vlm_hex(hex, hash, 6));
    }
    vlm_buffer_release(&json);
    return rc;
}

static int build(struct vlm_text_tokenizer *tokenizer, const char *name, struct vlm_err *err)
{
    struct vlm_text_spec *spec = &tokenizer->spec;
    tokenizer->size = spec->n_pieces;
    int rc = check_added(tokenizer, name, err);
    if (rc == VLM_OK)
        rc = normalize_added(tokenizer, name, err);
    if (rc == VLM_OK)
        rc = check_ids(tokenizer, name, err);
    if (rc == VLM_OK)
        rc = build_model(tokenizer, name, err);
    if (rc == VLM_OK)
        rc = vlm_added_words_new(&tokenizer->raw_words, spec->added, spec->n_added, 0, err);
    if (rc == VLM_OK)
        rc = vlm_added_words_new(&tokenizer->normal_words, spec->added, spec->n_added,
                                 VLM_ADDED_NORMALIZED, err);
    if (rc == VLM_OK)
        rc = make_texts(tokenizer, name, err);
    if (rc == VLM_OK)
        rc = make_id(tokenizer, err);
    if (rc != VLM_OK)
        return rc;
    choose_way(tokenizer);
    tokenizer->bytewise = keeps_bytes(tokenizer);
    return VLM_OK;
}

/* Of the file at path; or of bytes that name stands for. */
static int open_any(struct vlm_text_tokenizer **out, const char *name, const uint8_t *bytes,
                    size_t n, struct vlm_err *err)
{
    struct vlm_text_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    int rc;
    *out = NULL;
    if (!tokenizer)
        return no_memory(err);
    vlm_text_spec_init(&tokenizer->spec);
    if (bytes) {
        vlm_buffer_add(&tokenizer->spec.files[0], bytes, n);
        rc = tokenizer->spec.files[0].failed ? no_memory(err)
                                             : vlm_tokenizer_json_read(&tokenizer->spec, name, err);
    } else {
        rc = vlm_vocab_files_read(&tokenizer->spec, name, err);
    }
    if (rc == VLM_OK)
        rc = build(tokenizer, name, err);
    if (rc != VLM_OK) {
        vlm_text_tokenizer_close(tokenizer);
        return rc;
    }
    *out = tokenizer;
    return VLM_OK;
}

int vlm_text_tokenizer_open_bytes(struct vlm_text_tokenizer **out, const char *name,
                                  const uint8_t *bytes, size_t n, struct vlm_err *err)
{
    return open_any(out, name, bytes, n, err);
}

int vlm_text_tokenizer_open(struct vlm_text_tokenizer **out, const char *path, struct vlm_err *err)
{
    return path ? open_any(out, path, NULL, 0, err)
                : open_any(out, "the shipped tokenizer", vlm_shipped_tokenizer,
                           VLM_INCLUDED_SIZE(vlm_shipped_tokenizer), err);
}

void vlm_text_tokenizer_close(struct vlm_text_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    vlm_bpe_free(tokenizer->bpe);
    vlm_wordpiece_free(tokenizer->wordpiece);
    vlm_unigram_free(tokenizer->unigram);
    vlm_added_words_free(tokenizer->raw_words);
    vlm_added_words_free(tokenizer->normal_words);
    vlm_piece_map_release(&tokenizer->added);
    vlm_text_spec_release(&tokenizer->spec);
    free(tokenizer);
}

int vlm_text_tokenizer_save(const struct vlm_text_tokenizer *tokenizer, const char *path,
                            struct vlm_err *err)
{
    struct vlm_buffer json = { 0 };
    int rc = vlm_tokenizer_json_write(&json, &tokenizer->spec, err);
    if (rc == VLM_OK)
        rc = vlm_file_write(path, json.data, json.size, err);
    vlm_buffer_release(&json);
    return rc;
}

const char *vlm_text_tokenizer_id(const struct vlm_text_tokenizer *tokenizer)
{
    return tokenizer->id;
}

uint32_t vlm_text_tokenizer_size(const struct vlm_text_tokenizer *tokenizer)
{
    return tokenizer->size;
}

struct vlm_bytes vlm_text_tokenizer_piece(const struct vlm_text_tokenizer *tokenizer, uint32_t id)
{
    return id < tokenizer->size ? tokenizer->texts[id] : (struct vlm_bytes){ 0 };
}

int64_t vlm_text_tokenizer_added(const struct vlm_text_tokenizer *tokenizer, const char *word)
{
    uint32_t id = vlm_piece_map_find(&tokenizer->added, word, strlen(word));
    return id == VLM_NO_TOKEN ? -1 : (int64_t)id;
}

bool vlm_text_tokenizer_is_bytewise(const struct vlm_text_tokenizer *tokenizer)
{
    return tokenizer->bytewise;
}

int vlm_text_encoder_new(struct vlm_text_encoder **out, const struct vlm_text_tokenizer *tokenizer,
                         struct vlm_err *err)
{
    struct vlm_text_encoder *encoder = calloc(1, sizeof *encoder);
    *out = NULL;
    if (!encoder)
        return vlm_fail(err, VLM_ENOMEM, "no memory for an encoder");
    int rc = vlm_pipeline_init(&encoder->pipeline, tokenizer, err);
    if (rc != VLM_OK) {
        vlm_text_encoder_free(encoder);
        return rc;
    }
    *out = encoder;
    return VLM_OK;
}

void vlm_text_encoder_free(struct vlm_text_encoder *encoder)
{
    if (!encoder)
        return;
    vlm_pipeline_release(&encoder->pipeline);
    free(encoder);
}

int vlm_text_encode(struct vlm_text_encoder *encoder, struct vlm_tokens *tokens, const char *text,
                    size_t n, unsigned flags, struct vlm_err *err)
{
    size_t before = tokens->n;
    if (n > VLM_TEXT_MAX)
        return vlm_fail(err, VLM_ELIMIT, "a text of %zu bytes is over the limit of %zu", n,
                        VLM_TEXT_MAX);
    int rc = vlm_pipeline_run(&encoder->pipeline, tokens, text, n, flags, err);
    if (rc != VLM_OK)
        tokens->n = before;
    return rc;
}

int vlm_text_decode(const struct vlm_text_tokenizer *tokenizer, struct vlm_buffer *out,
                    const uint32_t *ids, size_t n, unsigned flags, struct vlm_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= tokenizer->size || !tokenizer->texts[ids[i]].at)
            return vlm_fail(err, VLM_EFORMAT, "id %" PRIu32 " at place %zu stands for nothing",
                            ids[i], i);
    if (!tokenizer->decode_plain)
        return vlm_decode_chain(tokenizer, out, ids, n, flags, err);
    for (size_t i = 0; i < n; i++) {
        struct vlm_bytes text = tokenizer->texts[ids[i]];
        if ((flags & VLM_TEXT_SPECIALS) || tokenizer->special[ids[i]] != 1)
            vlm_buffer_add(out, text.at, vlm_bytes_left(&text));
    }
    return out->failed ? vlm_fail(err, VLM_ENOMEM, "no memory for the text of %zu ids", n) : VLM_OK;
}
