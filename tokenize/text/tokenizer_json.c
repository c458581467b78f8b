/* tokenizer_json.c - reading tokenizer.json: the document, its model and its added tokens
 * (schemas/text-tokenizer.md). Steps of normalisation, cutting and decoding are in tokenizer_json_parts.c.
 *
 * Read in one pass with base/json_scan.h. Members come in any order, so what depends on others (merges on the
 * vocabulary, ids of added tokens on both) is settled at the end. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/text/json_internal.h"

size_t vlm_json_reader_down(struct vlm_json_reader *reader, const char *format, ...)
{
    size_t length = strlen(reader->path);
    va_list args;
    va_start(args, format);
    vsnprintf(reader->path + length, sizeof reader->path - length, format, args);
    va_end(args);
    return length;
}

void vlm_json_reader_up(struct vlm_json_reader *reader, size_t length)
{
    if (reader->in.problem && !*reader->where)
        snprintf(reader->where, sizeof reader->where, "%s", reader->path);
    reader->path[length] = 0;
}

const char *vlm_json_reader_key(struct vlm_json_reader *reader, struct vlm_json_keys *seen,
                                size_t *up)
{
    const char *key = vlm_json_scan_key(&reader->in);
    *up = strlen(reader->path);
    if (reader->in.problem)
        return key;
    vlm_json_reader_down(reader, "%s%.40s", *up ? "." : "", key);
    for (size_t i = 0; i < seen->n; i++)
        if (!strcmp(key, seen->keys[i]))
            vlm_json_reader_refuse(reader, "stands twice");
    if (seen->n == VLM_COUNTOF(seen->keys))
        vlm_json_reader_refuse(reader, "more than %zu members", seen->n);
    else
        seen->keys[seen->n++] = key;
    return key;
}

void vlm_json_reader_refuse(struct vlm_json_reader *reader, const char *format, ...)
{
    char text[sizeof reader->err->msg];
    va_list args;
    if (reader->rc != VLM_OK || reader->in.problem)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    reader->rc = vlm_fail(reader->err, VLM_EFORMAT, "'%s'%s%s: %s", reader->name,
                          *reader->path ? ", " : "", reader->path, text);
    reader->in.problem = "refused";
    reader->in.at = reader->in.end;
}

struct vlm_text vlm_json_reader_text(struct vlm_json_reader *reader)
{
    struct vlm_text text;
    text.at = vlm_json_scan_text(&reader->in, &text.n);
    return text;
}

/* A list that grows while its length is unknown. */
struct list {
    void *items;
    size_t n, capacity;
};

static void *list_add(struct vlm_json_reader *reader, struct list *list, size_t size, size_t max)
{
    if (list->n >= max) {
        vlm_json_reader_refuse(reader, "more than %zu entries", max);
        return NULL;
    }
    if (list->n == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        void *items = realloc(list->items, capacity * size);
        if (!items) {
            vlm_json_reader_refuse(reader, "no memory for %zu entries", capacity);
            reader->rc = VLM_ENOMEM;
            return NULL;
        }
        list->items = items;
        list->capacity = capacity;
    }
    return (char *)list->items + size * list->n++;
}

struct model {
    struct vlm_text type;
    struct list pieces, merges; /* struct vlm_piece_entry, struct vlm_merge_entry */
    bool has_vocab, has_merges, has_word_max, has_scores;
};

/* [PIECE, SCORE]; the score as it is spelled. */
static void read_scored_piece(struct vlm_json_reader *reader, struct vlm_piece_entry *entry)
{
    struct vlm_json_scan *in = &reader->in;
    size_t n = 0;
    vlm_json_scan_open(in, '[');
    for (; vlm_json_scan_more(in, ']'); n++) {
        if (n == 0) {
            entry->text = vlm_json_reader_text(reader);
            continue;
        }
        char first = vlm_json_scan_peek(in);
        const char *start = in->at;
        vlm_json_scan_skip(in);
        entry->score = (struct vlm_text){ start, (size_t)(in->at - start) };
        if (first != '-' && (first < '0' || first > '9'))
            vlm_json_reader_refuse(reader, "the score of '%.64s' is no number", entry->text.at);
        else if (entry->score.n > VLM_SCORE_TEXT_MAX)
            vlm_json_reader_refuse(reader, "a score of %zu characters; %d are allowed",
                                   entry->score.n, VLM_SCORE_TEXT_MAX);
    }
    if (n != 2)
        vlm_json_reader_refuse(reader, "an entry has a piece and a score, not %zu values", n);
}

/* Unigram's: ids are places. */
static void read_scored_vocab(struct vlm_json_reader *reader, struct model *model)
{
    model->has_scores = true;
    vlm_json_scan_open(&reader->in, '[');
    for (size_t i = 0; vlm_json_scan_more(&reader->in, ']'); i++) {
        struct vlm_piece_entry entry = { .id = i };
        size_t up = vlm_json_reader_down(reader, "[%zu]", i);
        read_scored_piece(reader, &entry);
        struct vlm_piece_entry *place =
            list_add(reader, &model->pieces, sizeof entry, VLM_PIECES_MAX);
        if (place)
            *place = entry;
        vlm_json_reader_up(reader, up);
    }
}

static void read_vocab(struct vlm_json_reader *reader, struct model *model)
{
    struct vlm_json_scan *in = &reader->in;
    model->has_vocab = true;
    if (vlm_json_scan_peek(in) == '[') {
        read_scored_vocab(reader, model);
        return;
    }
    vlm_json_scan_open(in, '{');
    while (vlm_json_scan_more(in, '}')) {
        struct vlm_piece_entry entry = { 0 };
        entry.text.at = vlm_json_scan_key_text(in, &entry.text.n);
        entry.id = vlm_json_scan_number(in);
        struct vlm_piece_entry *place =
            list_add(reader, &model->pieces, sizeof entry, VLM_PIECES_MAX);
        if (place)
            *place = entry;
    }
}

/* "a b", or ["a", "b"]. */
static void read_merge(struct vlm_json_reader *reader, struct vlm_merge_entry *entry)
{
    struct vlm_json_scan *in = &reader->in;
    if (vlm_json_scan_peek(in) == '[') {
        struct vlm_text *parts[] = { &entry->left, &entry->right };
        size_t n = 0;
        vlm_json_scan_open(in, '[');
        for (; vlm_json_scan_more(in, ']'); n++) {
            struct vlm_text text = vlm_json_reader_text(reader);
            if (n < 2)
                *parts[n] = text;
        }
        if (n != 2)
            vlm_json_reader_refuse(reader, "a merge has two parts, not %zu", n);
        return;
    }
    struct vlm_text text = vlm_json_reader_text(reader);
    const char *space = memchr(text.at, ' ', text.n);
    size_t left = space ? (size_t)(space - text.at) : 0;
    if (!space || memchr(space + 1, ' ', text.n - left - 1)) {
        vlm_json_reader_refuse(reader, "'%.64s' is not two parts with one space between them",
                               text.at);
        return;
    }
    entry->left = (struct vlm_text){ text.at, left };
    entry->right = (struct vlm_text){ space + 1, text.n - left - 1 };
}

static void read_merges(struct vlm_json_reader *reader, struct model *model)
{
    model->has_merges = true;
    vlm_json_scan_open(&reader->in, '[');
    for (size_t i = 0; vlm_json_scan_more(&reader->in, ']'); i++) {
        struct vlm_merge_entry entry = { .place = i };
        size_t up = vlm_json_reader_down(reader, "[%zu]", i);
        read_merge(reader, &entry);
        struct vlm_merge_entry *place =
            list_add(reader, &model->merges, sizeof entry, VLM_PIECES_MAX);
        if (place)
            *place = entry;
        vlm_json_reader_up(reader, up);
    }
}

/* null or 0 in any spelling. */
static void read_dropout(struct vlm_json_reader *reader)
{
    if (vlm_json_scan_null(&reader->in))
        return;
    vlm_json_scan_peek(&reader->in);
    const char *start = reader->in.at;
    vlm_json_scan_skip(&reader->in);
    for (const char *p = start; p < reader->in.at && *p != 'e' && *p != 'E'; p++)
        if (!strchr("0.-", *p)) {
            vlm_json_reader_refuse(reader, "dropout is not supported; null and 0 are");
            return;
        }
}

static void read_optional_text(struct vlm_json_reader *reader, struct vlm_text *text)
{
    *text = (struct vlm_text){ 0 };
    if (!vlm_json_scan_null(&reader->in))
        *text = vlm_json_reader_text(reader);
    if (text->n > VLM_PIECE_MAX)
        vlm_json_reader_refuse(reader, "%zu bytes are over the limit of %zu", text->n,
                               VLM_PIECE_MAX);
}

static void read_unknown_id(struct vlm_json_reader *reader)
{
    uint64_t id = vlm_json_scan_number(&reader->in);
    if (id >= VLM_PIECES_MAX)
        vlm_json_reader_refuse(reader, "id %" PRIu64 " is over the limit of %d", id,
                               VLM_PIECES_MAX - 1);
    else
        reader->spec->unknown_id = (uint32_t)id;
}

static void read_model_member(struct vlm_json_reader *reader, struct model *model, const char *key)
{
    struct vlm_json_scan *in = &reader->in;
    struct vlm_text_spec *spec = reader->spec;
    const struct {
        const char *key;
        bool *value;
    } flags[] = {
        { "fuse_unk", &spec->fuse_unknown },
        { "byte_fallback", &spec->byte_fallback },
        { "ignore_merges", &spec->ignore_merges },
    };
    const struct {
        const char *key;
        struct vlm_text *value;
    } texts[] = {
        { "type", &model->type },
        { "unk_token", &spec->unknown },
        { "continuing_subword_prefix", &spec->prefix },
        { "end_of_word_suffix", &spec->suffix },
    };
    for (size_t i = 0; i < VLM_COUNTOF(flags); i++)
        if (!strcmp(key, flags[i].key)) {
            *flags[i].value = !vlm_json_scan_null(in) && vlm_json_scan_bool(in);
            return;
        }
    for (size_t i = 0; i < VLM_COUNTOF(texts); i++)
        if (!strcmp(key, texts[i].key)) {
            read_optional_text(reader, texts[i].value);
            return;
        }
    if (!strcmp(key, "vocab")) {
        read_vocab(reader, model);
    } else if (!strcmp(key, "merges")) {
        read_merges(reader, model);
    } else if (!strcmp(key, "dropout")) {
        read_dropout(reader);
    } else if (!strcmp(key, "max_input_chars_per_word")) {
        uint64_t word_max = vlm_json_scan_number(in);
        model->has_word_max = true;
        spec->word_max = (size_t)VLM_MIN(word_max, (uint64_t)VLM_TEXT_MAX);
    } else if (!strcmp(key, "unk_id")) {
        if (!vlm_json_scan_null(in))
            read_unknown_id(reader);
    } else {
        vlm_json_scan_skip(in);
    }
}

/* Files of old have no type. */
static void settle_type(struct vlm_json_reader *reader, struct model *model)
{
    struct vlm_text type = model->type;
    if (!type.at)
        reader->spec->model = model->has_scores     ? VLM_MODEL_UNIGRAM
                              : model->has_merges   ? VLM_MODEL_BPE
                              : model->has_word_max ? VLM_MODEL_WORDPIECE
                                                    : VLM_MODEL_WORDLEVEL;
    else if (vlm_text_is(type, "BPE"))
        reader->spec->model = VLM_MODEL_BPE;
    else if (vlm_text_is(type, "WordPiece"))
        reader->spec->model = VLM_MODEL_WORDPIECE;
    else if (vlm_text_is(type, "WordLevel"))
        reader->spec->model = VLM_MODEL_WORDLEVEL;
    else if (vlm_text_is(type, "Unigram"))
        reader->spec->model = VLM_MODEL_UNIGRAM;
    else
        vlm_json_reader_refuse(
            reader, "%.64s is not supported; BPE, WordPiece, WordLevel and Unigram are", type.at);
}

static void settle_model(struct vlm_json_reader *reader, struct model *model)
{
    struct vlm_text_spec *spec = reader->spec;
    size_t up = vlm_json_reader_down(reader, ".type");
    settle_type(reader, model);
    vlm_json_reader_up(reader, up);
    if (spec->model == VLM_MODEL_UNIGRAM)
        spec->unknown = (struct vlm_text){ 0 };
    else if (spec->model != VLM_MODEL_BPE && !spec->unknown.at)
        spec->unknown = spec->model == VLM_MODEL_WORDPIECE ? (struct vlm_text){ "[UNK]", 5 }
                                                           : (struct vlm_text){ "<unk>", 5 };
    if (spec->model == VLM_MODEL_WORDPIECE && !spec->prefix.at)
        spec->prefix = (struct vlm_text){ "##", 2 };
    bool scores = spec->model == VLM_MODEL_UNIGRAM;
    if (!model->has_vocab)
        vlm_json_reader_refuse(reader, "no vocab");
    else if (model->has_scores != scores)
        vlm_json_reader_refuse(reader, "vocab: expected '%c'", scores ? '[' : '{');
    if (spec->model == VLM_MODEL_BPE && !model->has_merges)
        vlm_json_reader_refuse(reader, "no merges");
    if (reader->in.problem)
        return;
    reader->rc = vlm_text_spec_set_pieces(spec, model->pieces.items, model->pieces.n, reader->name,
                                          reader->err);
    if (reader->rc == VLM_OK && scores)
        reader->rc = vlm_text_spec_set_scores(spec, model->pieces.items, model->pieces.n,
                                              reader->name, reader->err);
    if (reader->rc == VLM_OK && spec->model == VLM_MODEL_BPE)
        reader->rc = vlm_text_spec_set_merges(spec, model->merges.items, model->merges.n,
                                              reader->name, "model.merges, entry", reader->err);
}

static void read_model(struct vlm_json_reader *reader)
{
    struct model model = { 0 };
    struct vlm_json_keys seen = { 0 };
    vlm_json_scan_open(&reader->in, '{');
    while (vlm_json_scan_more(&reader->in, '}')) {
        size_t up;
        const char *key = vlm_json_reader_key(reader, &seen, &up);
        read_model_member(reader, &model, key);
        vlm_json_reader_up(reader, up);
    }
    settle_model(reader, &model);
    free(model.pieces.items);
    free(model.merges.items);
}

static void read_added_token(struct vlm_json_reader *reader, struct vlm_added_token *token)
{
    static const struct {
        const char *key;
        unsigned flag;
    } flags[] = {
        { "special", VLM_ADDED_SPECIAL },       { "single_word", VLM_ADDED_SINGLE_WORD },
        { "lstrip", VLM_ADDED_LSTRIP },         { "rstrip", VLM_ADDED_RSTRIP },
        { "normalized", VLM_ADDED_NORMALIZED },
    };
    struct vlm_json_scan *in = &reader->in;
    struct vlm_json_keys seen = { 0 };
    uint64_t id = UINT64_MAX;
    bool says_normalized = false;
    vlm_json_scan_open(in, '{');
    while (vlm_json_scan_more(in, '}')) {
        size_t i = 0, up;
        const char *key = vlm_json_reader_key(reader, &seen, &up);
        while (i < VLM_COUNTOF(flags) && strcmp(key, flags[i].key))
            i++;
        if (i < VLM_COUNTOF(flags)) {
            token->flags |= vlm_json_scan_bool(in) ? flags[i].flag : 0;
            says_normalized = says_normalized || flags[i].flag == VLM_ADDED_NORMALIZED;
        } else if (!strcmp(key, "id")) {
            id = vlm_json_scan_number(in);
        } else if (!strcmp(key, "content")) {
            token->word = vlm_json_reader_text(reader);
        } else {
            vlm_json_scan_skip(in);
        }
        vlm_json_reader_up(reader, up);
    }
    if (!says_normalized && !(token->flags & VLM_ADDED_SPECIAL))
        token->flags |= VLM_ADDED_NORMALIZED;
    if (id == UINT64_MAX || !token->word.at)
        vlm_json_reader_refuse(reader, "an added token has an id and a content");
    else if (!token->word.n || token->word.n > VLM_PIECE_MAX)
        vlm_json_reader_refuse(reader, "content of %zu bytes; 1 to %zu are allowed", token->word.n,
                               VLM_PIECE_MAX);
    else if (id >= VLM_PIECES_MAX)
        vlm_json_reader_refuse(reader, "id %" PRIu64 " is over the limit of %d", id,
                               VLM_PIECES_MAX - 1);
    token->id = (uint32_t)id;
}

static void read_added_tokens(struct vlm_json_reader *reader)
{
    struct list list = { 0 };
    struct vlm_text_spec *spec = reader->spec;
    if (vlm_json_scan_null(&reader->in))
        return;
    vlm_json_scan_open(&reader->in, '[');
    for (size_t i = 0; vlm_json_scan_more(&reader->in, ']'); i++) {
        struct vlm_added_token token = { 0 };
        size_t up = vlm_json_reader_down(reader, "[%zu]", i);
        read_added_token(reader, &token);
        struct vlm_added_token *place = list_add(reader, &list, sizeof token, VLM_PIECES_MAX);
        if (place)
            *place = token;
        vlm_json_reader_up(reader, up);
    }
    spec->added = vlm_arena_alloc(&spec->arena, list.n, sizeof *spec->added);
    if (!spec->added)
        reader->rc = vlm_fail(reader->err, VLM_ENOMEM, "'%s': no memory for %zu added tokens",
                              reader->name, list.n);
    if (spec->added && list.n)
        memcpy(spec->added, list.items, list.n * sizeof *spec->added);
    spec->n_added = spec->added ? list.n : 0;
    free(list.items);
}

static void read_version(struct vlm_json_reader *reader)
{
    struct vlm_text version = vlm_json_reader_text(reader);
    if (!vlm_text_is(version, "1.0"))
        vlm_json_reader_refuse(reader, "version '%.20s' is not supported; 1.0 is", version.at);
}

static void pass_over(struct vlm_json_reader *reader)
{
    vlm_json_scan_skip(&reader->in);
}

/* What else has this name: Keras writes a string with JSON in it; a clone without Git LFS has a few
 * lines in place of large files. */
static void refuse_other_files(struct vlm_json_reader *reader)
{
    static const char lfs[] = "version https://git-lfs";
    const struct vlm_json_scan *in = &reader->in;
    uint8_t c = (uint8_t)vlm_json_scan_peek(&reader->in);
    if (c == '"')
        vlm_json_reader_refuse(reader, "a JSON string, as Keras writes its tokenizers, where a "
                                       "tokenizer.json has an object");
    else if ((size_t)(in->end - in->at) >= sizeof lfs && !memcmp(in->at, lfs, sizeof lfs - 1))
        vlm_json_reader_refuse(reader, "a pointer of Git LFS stands in place of the file");
    else if (c == 0xef)
        vlm_json_reader_refuse(reader, "a byte order mark in front");
}

static void read_document(struct vlm_json_reader *reader)
{
    static const struct {
        const char *key;
        void (*read)(struct vlm_json_reader *);
    } members[] = {
        { "version", read_version },
        { "truncation", vlm_json_reader_truncation },
        { "padding", pass_over },
        { "added_tokens", read_added_tokens },
        { "normalizer", vlm_json_reader_normalizer },
        { "pre_tokenizer", vlm_json_reader_pre_tokenizer },
        { "post_processor", vlm_json_reader_post_processor },
        { "decoder", vlm_json_reader_decoder },
        { "model", read_model },
    };
    struct vlm_json_keys seen = { 0 };
    bool has_model = false;
    refuse_other_files(reader);
    vlm_json_scan_open(&reader->in, '{');
    while (vlm_json_scan_more(&reader->in, '}')) {
        size_t i = 0, up;
        const char *key = vlm_json_reader_key(reader, &seen, &up);
        while (i < VLM_COUNTOF(members) && strcmp(key, members[i].key))
            i++;
        if (i < VLM_COUNTOF(members))
            members[i].read(reader);
        else
            vlm_json_reader_refuse(reader, "%s",
                                   strcmp(key, "class_name")
                                       ? "no member of a tokenizer.json has this name"
                                       : "this is a tokenizer of Keras, not a tokenizer.json");
        has_model = has_model || !strcmp(key, "model");
        vlm_json_reader_up(reader, up);
    }
    vlm_json_scan_end(&reader->in);
    if (!has_model)
        vlm_json_reader_refuse(reader, "no model: this is not a tokenizer.json");
}

int vlm_tokenizer_json_read(struct vlm_text_spec *spec, const char *name, struct vlm_err *err)
{
    struct vlm_json_reader reader = { .spec = spec, .name = name, .err = err };
    vlm_json_scan_init(&reader.in, (char *)spec->files[0].data, spec->files[0].size);
    read_document(&reader);
    if (reader.rc == VLM_OK && reader.in.problem)
        reader.rc = vlm_fail(err, VLM_EFORMAT, "'%s', byte %zu%s%s: %s", name, reader.in.offset,
                             *reader.where ? ", " : "", reader.where, reader.in.problem);
    return reader.rc;
}
