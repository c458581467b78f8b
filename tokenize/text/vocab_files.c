/* vocab_files.c - tokenizers that are not a tokenizer.json: the pairs of GPT-2 and CLIP, CLIP's single file, BERT's
 * vocab.txt (tiktoken's files: tiktoken_file.c), and finding them in a folder.
 *
 * What these files leave unsaid (how text is cut, what is cleaned, which pieces are special) is that of the
 * programs they came with; schemas/text-tokenizer.md has it in words. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/json_scan.h"
#include "base/limits.h"
#include "tokenize/unicode/split.h"
#include "tokenize/text/vocab_internal.h"

#include <dirent.h>
#include <sys/stat.h>
#include <zlib.h>

int vlm_vocab_no_memory(const char *name, struct vlm_err *err)
{
    return vlm_fail(err, VLM_ENOMEM, "'%s': no memory", name);
}

void *vlm_vocab_grow(void *items, size_t n, size_t *capacity, size_t size)
{
    if (n < *capacity)
        return items;
    size_t more = *capacity ? 2 * *capacity : 1024;
    void *grown = realloc(items, more * size);
    if (grown)
        *capacity = more;
    return grown;
}

bool vlm_vocab_line(struct vlm_text *rest, struct vlm_text *line)
{
    if (!rest->n)
        return false;
    const char *stop = memchr(rest->at, '\n', rest->n);
    size_t n = stop ? (size_t)(stop - rest->at) : rest->n;
    size_t passed = stop ? n + 1 : n;
    *line = (struct vlm_text){ rest->at, n && rest->at[n - 1] == '\r' ? n - 1 : n };
    rest->at += passed;
    rest->n -= passed;
    return true;
}

struct vlm_text vlm_vocab_text(const struct vlm_buffer *file)
{
    struct vlm_text text = { (const char *)file->data, file->size };
    if (text.n >= 3 && !memcmp(text.at, "\xef\xbb\xbf", 3))
        text = (struct vlm_text){ text.at + 3, text.n - 3 };
    return text.at ? text : (struct vlm_text){ "", 0 };
}

int vlm_vocab_make_parts(struct vlm_text_spec *spec, const char *name, struct vlm_err *err)
{
    spec->normalizers = vlm_arena_zero(&spec->arena, 4, sizeof *spec->normalizers);
    spec->pre_tokenizers = vlm_arena_zero(&spec->arena, 4, sizeof *spec->pre_tokenizers);
    spec->decoders = vlm_arena_zero(&spec->arena, 4, sizeof *spec->decoders);
    return spec->normalizers && spec->pre_tokenizers && spec->decoders
               ? VLM_OK
               : vlm_vocab_no_memory(name, err);
}

/* {"piece": id, ...} of files[0]. */
static int read_vocab(struct vlm_text_spec *spec, const char *name, struct vlm_err *err)
{
    struct vlm_json_scan in;
    struct vlm_piece_entry *entries = NULL;
    size_t n = 0, capacity = 0;
    int rc = VLM_OK;
    vlm_json_scan_init(&in, (char *)spec->files[0].data, spec->files[0].size);
    vlm_json_scan_open(&in, '{');
    while (rc == VLM_OK && vlm_json_scan_more(&in, '}')) {
        void *grown = vlm_vocab_grow(entries, n, &capacity, sizeof *entries);
        if (!grown || n >= VLM_PIECES_MAX) {
            rc = grown
                     ? vlm_fail(err, VLM_EFORMAT, "'%s': more than %d pieces", name, VLM_PIECES_MAX)
                     : vlm_vocab_no_memory(name, err);
            entries = grown ? grown : entries;
            break;
        }
        entries = grown;
        entries[n].text.at = vlm_json_scan_key_text(&in, &entries[n].text.n);
        entries[n++].id = vlm_json_scan_number(&in);
    }
    if (rc == VLM_OK)
        vlm_json_scan_end(&in);
    if (rc == VLM_OK && in.problem)
        rc = vlm_fail(err, VLM_EFORMAT, "'%s', byte %zu: %s", name, in.offset, in.problem);
    if (rc == VLM_OK)
        rc = vlm_text_spec_set_pieces(spec, entries, n, name, err);
    free(entries);
    return rc;
}

/* The two parts of a line; false when it has not two, or a NUL. */
static bool split_merge(struct vlm_text line, struct vlm_merge_entry *entry)
{
    const char *space = memchr(line.at, ' ', line.n);
    if (!space || memchr(line.at, 0, line.n) ||
        memchr(space + 1, ' ', (size_t)(line.at + line.n - space) - 1))
        return false;
    entry->left = (struct vlm_text){ line.at, (size_t)(space - line.at) };
    entry->right = (struct vlm_text){ space + 1, line.n - entry->left.n - 1 };
    return true;
}

/* Lines "left right", at most max of them; *entries is the caller's to free, in any case. */
static int read_merge_lines(struct vlm_text text, size_t max, struct vlm_merge_entry **entries,
                            size_t *n, const char *name, struct vlm_err *err)
{
    struct vlm_text line;
    size_t capacity = 0;
    *entries = NULL;
    *n = 0;
    for (size_t number = 1; *n < max && vlm_vocab_line(&text, &line); number++) {
        bool head = number == 1 && line.n && (line.at[0] == '"' || line.at[0] == '#') &&
                    memmem(line.at, line.n, "#version", 8);
        if (!line.n || head)
            continue;
        void *grown = vlm_vocab_grow(*entries, *n, &capacity, sizeof **entries);
        if (!grown)
            return vlm_vocab_no_memory(name, err);
        *entries = grown;
        struct vlm_merge_entry *entry = &(*entries)[*n];
        entry->place = number;
        if (!split_merge(line, entry))
            return vlm_fail(err, VLM_EFORMAT,
                            "'%s', line %zu: expected two parts with one space between them", name,
                            number);
        (*n)++;
    }
    return VLM_OK;
}

/* Pieces that no merge makes and that are no bytes never come out of a text: they are special tokens. */
static int add_specials(struct vlm_text_spec *spec, const char *name, struct vlm_err *err)
{
    uint8_t *made = calloc(spec->n_pieces, 1), bytes[VLM_PIECE_MAX];
    size_t n = 0;
    if (!made)
        return vlm_vocab_no_memory(name, err);
    for (size_t i = 0; i < spec->n_merges; i++)
        made[spec->merges[i].result] = 1;
    for (uint32_t id = 0; id < spec->n_pieces; id++) {
        struct vlm_text piece = spec->pieces[id];
        size_t size = piece.n;
        if (spec->suffix.n && size > spec->suffix.n &&
            !memcmp(piece.at + size - spec->suffix.n, spec->suffix.at, spec->suffix.n))
            size -= spec->suffix.n;
        if (!piece.at || vlm_bpe_spelling_to_bytes(bytes, piece.at, size) == 1)
            made[id] = 1;
        n += !made[id];
    }
    spec->added = vlm_arena_alloc(&spec->arena, n, sizeof *spec->added);
    for (uint32_t id = 0; spec->added && id < spec->n_pieces; id++)
        if (!made[id])
            spec->added[spec->n_added++] = (struct vlm_added_token){ .id = id,
                                                                     .flags = VLM_ADDED_SPECIAL,
                                                                     .word = spec->pieces[id] };
    free(made);
    return spec->added ? VLM_OK : vlm_vocab_no_memory(name, err);
}

static void set_gpt2(struct vlm_text_spec *spec)
{
    spec->pre_tokenizers[spec->n_pre_tokenizers++] = (struct vlm_pre_tokenizer){
        .kind = VLM_PRE_BYTE_LEVEL, .flags = VLM_PART_REGEX, .split = -1
    };
    spec->decoders[spec->n_decoders++].kind = VLM_DECODE_BYTE_LEVEL;
}

static struct vlm_text text_of(const char *literal)
{
    return (struct vlm_text){ literal, strlen(literal) };
}

/* As the tokenizer.json that CLIP's models have; decoding ends words with a space instead of </w>. */
static int set_clip(struct vlm_text_spec *spec, const char *name, struct vlm_err *err)
{
    static const char pattern[] = "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|"
                                  "[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
    struct vlm_text_normalizer *space = &spec->normalizers[1];
    struct vlm_pre_tokenizer *cut = &spec->pre_tokenizers[0];
    spec->normalizers[0].step.kind = VLM_NORMALIZE_NFC;
    space->step =
        (struct vlm_normalizer){ .kind = VLM_NORMALIZE_REPLACE, .content = " ", .content_size = 1 };
    space->pattern_kind = VLM_PATTERN_REGEX;
    space->pattern_text = text_of("\\s+");
    spec->normalizers[2].step.kind = VLM_NORMALIZE_LOWERCASE;
    spec->n_normalizers = 3;
    *cut = (struct vlm_pre_tokenizer){ .kind = VLM_PRE_SPLIT,
                                       .flags = VLM_PART_INVERT,
                                       .behavior = VLM_BEHAVIOR_REMOVED,
                                       .pattern_kind = VLM_PATTERN_REGEX,
                                       .pattern_text = text_of(pattern),
                                       .split = -1 };
    spec->n_pre_tokenizers = 1;
    set_gpt2(spec);
    spec->decoders[1] = (struct vlm_decoder){ .kind = VLM_DECODE_REPLACE,
                                              .pattern_kind = VLM_PATTERN_STRING,
                                              .pattern_text = text_of("</w>"),
                                              .content = text_of(" ") };
    spec->decoders[2] =
        (struct vlm_decoder){ .kind = VLM_DECODE_STRIP, .content = text_of(" "), .stop = 1 };
    spec->n_decoders = 3;
    int rc = vlm_pattern_new(&space->step.pattern, "\\s+", 3, VLM_PATTERN_REGEX, err);
    if (rc == VLM_OK)
        rc = vlm_pattern_new(&cut->pattern, pattern, sizeof pattern - 1, VLM_PATTERN_REGEX, err);
    if (rc == VLM_OK)
        rc = vlm_pattern_new(&spec->decoders[1].pattern, "</w>", 4, VLM_PATTERN_STRING, err);
    return rc == VLM_OK ? rc : vlm_wrap(err, "'%s'", name);
}

/* What the programs of a pair of files do, which the pieces tell apart. */
static int finish_pair(struct vlm_text_spec *spec, const char *name, struct vlm_err *err)
{
    int rc = add_specials(spec, name, err);
    if (rc == VLM_OK)
        rc = vlm_vocab_make_parts(spec, name, err);
    if (rc != VLM_OK)
        return rc;
    spec->model = VLM_MODEL_BPE;
    if (spec->suffix.n)
        return set_clip(spec, name, err);
    set_gpt2(spec);
    return VLM_OK;
}

static int read_pair(struct vlm_text_spec *spec, const char *vocab, const char *merges,
                     struct vlm_err *err)
{
    struct vlm_merge_entry *entries = NULL;
    size_t n;
    int rc = vlm_file_read(&spec->files[0], vocab, VLM_TOKENIZER_FILE_MAX, err);
    if (rc == VLM_OK)
        rc = vlm_file_read(&spec->files[1], merges, VLM_TOKENIZER_FILE_MAX, err);
    if (rc == VLM_OK)
        rc = read_vocab(spec, vocab, err);
    if (rc == VLM_OK && vlm_piece_map_find(&spec->vocabulary, "a</w>", 5) != VLM_NO_TOKEN)
        spec->suffix = text_of("</w>");
    if (rc == VLM_OK)
        rc = read_merge_lines(vlm_vocab_text(&spec->files[1]), SIZE_MAX, &entries, &n, merges, err);
    if (rc == VLM_OK)
        rc = vlm_text_spec_set_merges(spec, entries, n, merges, "line", err);
    free(entries);
    return rc == VLM_OK ? finish_pair(spec, vocab, err) : rc;
}

/* CLIP's one file: merges, of which the first 48894 count; the pieces follow from them. */

enum { CLIP_MERGES = 49152 - 256 - 2 };

static bool add_piece(struct vlm_text_spec *spec, struct vlm_piece_entry *entries, size_t id,
                      struct vlm_text left, struct vlm_text right)
{
    char *text = vlm_arena_alloc(&spec->arena, left.n + right.n + 1, 1);
    if (!text)
        return false;
    memcpy(text, left.at, left.n);
    memcpy(text + left.n, right.at, right.n);
    text[left.n + right.n] = 0;
    entries[id] = (struct vlm_piece_entry){ .text = { text, left.n + right.n }, .id = id };
    return true;
}

/* The 256 bytes in the order of their spellings' characters, then the same with the suffix behind them. */
static bool add_byte_pieces(struct vlm_text_spec *spec, struct vlm_piece_entry *entries)
{
    struct vlm_buffer spelled = { 0 };
    bool fine = true;
    size_t id = 0;
    for (uint32_t printable = 0; printable < 2; printable++)
        for (unsigned value = 0; fine && value < 256; value++) {
            uint8_t byte = (uint8_t)value;
            if ((vlm_bpe_byte_to_char(byte) >= 256) != printable)
                continue;
            vlm_buffer_reset(&spelled);
            vlm_bpe_bytes_to_spelling(&spelled, &byte, 1);
            struct vlm_text text = { (const char *)spelled.data, spelled.size };
            fine = !spelled.failed &&
                   add_piece(spec, entries, id, text, (struct vlm_text){ "", 0 }) &&
                   add_piece(spec, entries, 256 + id, text, spec->suffix);
            id++;
        }
    vlm_buffer_release(&spelled);
    return fine;
}

static int read_clip(struct vlm_text_spec *spec, const char *name, struct vlm_err *err)
{
    struct vlm_merge_entry *merges = NULL;
    struct vlm_text none = { "", 0 };
    size_t n;
    spec->suffix = text_of("</w>");
    int rc = read_merge_lines(vlm_vocab_text(&spec->files[0]), CLIP_MERGES, &merges, &n, name, err);
    struct vlm_piece_entry *entries = rc == VLM_OK ? calloc(n + 514, sizeof *entries) : NULL;
    if (rc == VLM_OK && (!entries || !add_byte_pieces(spec, entries)))
        rc = vlm_vocab_no_memory(name, err);
    for (size_t i = 0; rc == VLM_OK && i < n; i++)
        if (!add_piece(spec, entries, 512 + i, merges[i].left, merges[i].right))
            rc = vlm_vocab_no_memory(name, err);
    if (rc == VLM_OK && (!add_piece(spec, entries, 512 + n, text_of("<|startoftext|>"), none) ||
                         !add_piece(spec, entries, 513 + n, text_of("<|endoftext|>"), none)))
        rc = vlm_vocab_no_memory(name, err);
    if (rc == VLM_OK)
        rc = vlm_text_spec_set_pieces(spec, entries, n + 514, name, err);
    if (rc == VLM_OK)
        rc = vlm_text_spec_set_merges(spec, merges, n, name, "line", err);
    free(entries);
    free(merges);
    return rc == VLM_OK ? finish_pair(spec, name, err) : rc;
}

/* BERT's vocab.txt: a piece a line. */

static int add_bert_specials(struct vlm_text_spec *spec, const char *name, struct vlm_err *err)
{
    static const char *const words[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };
    spec->added = vlm_arena_zero(&spec->arena, VLM_COUNTOF(words), sizeof *spec->added);
    if (!spec->added)
        return vlm_vocab_no_memory(name, err);
    for (size_t i = 0; i < VLM_COUNTOF(words); i++) {
        struct vlm_text word = text_of(words[i]);
        uint32_t id = vlm_piece_map_find(&spec->vocabulary, word.at, word.n);
        if (id != VLM_NO_TOKEN)
            spec->added[spec->n_added++] =
                (struct vlm_added_token){ .id = id, .flags = VLM_ADDED_SPECIAL, .word = word };
    }
    return VLM_OK;
}

/* Whether any piece but the ones in brackets has a capital letter: models without case have none. */
static bool has_capitals(const struct vlm_text_spec *spec)
{
    for (uint32_t id = 0; id < spec->n_pieces; id++) {
        struct vlm_text piece = spec->pieces[id];
        if (piece.n > 2 && piece.at[0] == '[' && piece.at[piece.n - 1] == ']')
            continue;
        for (size_t i = 0; i < piece.n; i++)
            if (piece.at[i] >= 'A' && piece.at[i] <= 'Z')
                return true;
    }
    return false;
}

static int set_bert(struct vlm_text_spec *spec, const char *name, struct vlm_err *err)
{
    int rc = add_bert_specials(spec, name, err);
    if (rc == VLM_OK)
        rc = vlm_vocab_make_parts(spec, name, err);
    if (rc != VLM_OK)
        return rc;
    bool cased = has_capitals(spec);
    spec->model = VLM_MODEL_WORDPIECE;
    spec->unknown = text_of("[UNK]");
    spec->prefix = text_of("##");
    spec->normalizers[0] = (struct vlm_text_normalizer){
        .step = { .kind = VLM_NORMALIZE_BERT,
                  .flags = VLM_BERT_CLEAN_TEXT | VLM_BERT_CHINESE_CHARS |
                           (cased ? 0 : VLM_BERT_LOWERCASE | VLM_BERT_STRIP_ACCENTS) },
        .accents_as_case = true,
    };
    spec->n_normalizers = 1;
    spec->pre_tokenizers[0] = (struct vlm_pre_tokenizer){ .kind = VLM_PRE_BERT, .split = -1 };
    spec->n_pre_tokenizers = 1;
    spec->decoders[0] = (struct vlm_decoder){ .kind = VLM_DECODE_WORDPIECE,
                                              .flags = VLM_PART_CLEANUP,
                                              .content = text_of("##") };
    spec->n_decoders = 1;
    return VLM_OK;
}

static int read_bert(struct vlm_text_spec *spec, const char *name, struct vlm_err *err)
{
    struct vlm_text rest = vlm_vocab_text(&spec->files[0]), line;
    struct vlm_piece_entry *entries = NULL;
    size_t n = 0, capacity = 0, blank = 0;
    int rc = VLM_OK;
    for (size_t number = 1; rc == VLM_OK && vlm_vocab_line(&rest, &line); number++) {
        if (!line.n) {
            blank = blank ? blank : number;
            continue;
        }
        void *grown = vlm_vocab_grow(entries, n, &capacity, sizeof *entries);
        entries = grown ? grown : entries;
        if (!grown)
            rc = vlm_vocab_no_memory(name, err);
        else if (blank || memchr(line.at, 0, line.n) ||
                 vlm_utf8_valid_prefix(line.at, line.n) < line.n)
            rc = vlm_fail(err, VLM_EFORMAT, "'%s', line %zu: %s", name, blank ? blank : number,
                          blank ? "is empty" : "expected a piece in UTF-8 without NUL");
        else
            entries[n] =
                (struct vlm_piece_entry){ .text = vlm_text_spec_copy(spec, line.at, line.n),
                                          .id = n };
        if (rc == VLM_OK && !entries[n++].text.at)
            rc = vlm_vocab_no_memory(name, err);
    }
    if (rc == VLM_OK)
        rc = vlm_text_spec_set_pieces(spec, entries, n, name, err);
    free(entries);
    if (rc == VLM_OK && vlm_piece_map_find(&spec->vocabulary, "[UNK]", 5) == VLM_NO_TOKEN)
        rc = vlm_fail(err, VLM_EFORMAT,
                      "'%s': no piece [UNK], so this is not a vocabulary of BERT's kind", name);
    return rc == VLM_OK ? set_bert(spec, name, err) : rc;
}

static bool ends_with(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);
    return n >= m && !strcmp(path + n - m, ending);
}

/* files[0] without gzip around it. */
static int unpack(struct vlm_text_spec *spec, const char *name, struct vlm_err *err)
{
    struct vlm_buffer out = { .max = VLM_TOKENIZER_FILE_MAX };
    z_stream stream = { .next_in = spec->files[0].data, .avail_in = (uInt)spec->files[0].size };
    int status = inflateInit2(&stream, 16 + MAX_WBITS);
    if (status != Z_OK)
        return vlm_vocab_no_memory(name, err);
    while (status == Z_OK) {
        uint8_t *room = vlm_buffer_reserve(&out, 65536);
        if (!room)
            break;
        stream.next_out = room;
        stream.avail_out = 65536;
        status = inflate(&stream, Z_NO_FLUSH);
        out.size += 65536 - stream.avail_out;
    }
    inflateEnd(&stream);
    vlm_buffer_release(&spec->files[0]);
    spec->files[0] = out;
    if (out.failed)
        return vlm_fail(err, VLM_EFORMAT, "'%s' holds more than %zu bytes", name,
                        VLM_TOKENIZER_FILE_MAX);
    return status == Z_STREAM_END ? VLM_OK
                                  : vlm_fail(err, VLM_EFORMAT, "'%s' is damaged gzip", name);
}

static int read_file(struct vlm_text_spec *spec, const char *path, struct vlm_err *err)
{
    int rc = vlm_file_read(&spec->files[0], path, VLM_TOKENIZER_FILE_MAX, err);
    if (rc == VLM_OK && ends_with(path, ".gz"))
        rc = unpack(spec, path, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_text text = vlm_vocab_text(&spec->files[0]);
    if (ends_with(path, ".tiktoken"))
        return vlm_tiktoken_file_read(spec, path, err);
    if (text.n > 24 && !memcmp(text.at, "\"bpe_simple_vocab_16e6", 22))
        return read_clip(spec, path, err);
    if (ends_with(path, ".bpe") || ends_with(path, "merges.txt"))
        return vlm_fail(err, VLM_EFORMAT,
                        "'%s' has merges only; name both files of the pair: VOCAB.json,%s", path,
                        path);
    if (ends_with(path, ".txt"))
        return read_bert(spec, path, err);
    return vlm_tokenizer_json_read(spec, path, err);
}

static bool is_kind(const char *path, mode_t kind)
{
    struct stat info;
    return stat(path, &info) == 0 && (info.st_mode & S_IFMT) == kind;
}

/* The one file of a folder whose name has an ending; NULL: none or several. The caller frees it. */
static char *only_file(const char *folder, const char *ending)
{
    DIR *entries = opendir(folder);
    char *found = NULL;
    size_t n = 0;
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        if (ends_with(entry->d_name, ending)) {
            free(found);
            found = vlm_path_join(folder, entry->d_name);
            n++;
        }
    if (entries)
        closedir(entries);
    if (n != 1 || !is_kind(found, S_IFREG)) {
        free(found);
        found = NULL;
    }
    return found;
}

/* VLM_EOF: the folder has no such file. */
static int read_named(struct vlm_text_spec *spec, const char *folder, const char *name,
                      struct vlm_err *err)
{
    char *path = vlm_path_join(folder, name);
    int rc = is_kind(path, S_IFREG) ? read_file(spec, path, err) : VLM_EOF;
    free(path);
    return rc;
}

static int read_folder(struct vlm_text_spec *spec, const char *path, struct vlm_err *err)
{
    static const char *const pairs[][2] = { { "vocab.json", "merges.txt" },
                                            { "encoder.json", "vocab.bpe" } };
    static const char *const endings[] = { "vocab.txt", ".tiktoken", "bpe_simple_vocab_16e6.txt.gz",
                                           "bpe_simple_vocab_16e6.txt" };
    int rc = read_named(spec, path, "tokenizer.json", err);
    for (size_t i = 0; rc == VLM_EOF && i < VLM_COUNTOF(pairs); i++) {
        char *vocab = vlm_path_join(path, pairs[i][0]), *merges = vlm_path_join(path, pairs[i][1]);
        if (is_kind(vocab, S_IFREG) && is_kind(merges, S_IFREG))
            rc = read_pair(spec, vocab, merges, err);
        free(vocab);
        free(merges);
    }
    for (size_t i = 0; rc == VLM_EOF && i < VLM_COUNTOF(endings); i++) {
        char *file = only_file(path, endings[i]);
        if (file)
            rc = read_file(spec, file, err);
        free(file);
    }
    if (rc == VLM_EOF)
        rc =
            vlm_fail(err, VLM_EFORMAT,
                     "'%s' holds no tokenizer: expected tokenizer.json, vocab.json and merges.txt, "
                     "encoder.json and vocab.bpe, vocab.txt, NAME.tiktoken or "
                     "bpe_simple_vocab_16e6.txt.gz",
                     path);
    return rc;
}

int vlm_vocab_files_read(struct vlm_text_spec *spec, const char *path, struct vlm_err *err)
{
    const char *comma = strchr(path, ',');
    if (is_kind(path, S_IFDIR))
        return read_folder(spec, path, err);
    if (!comma || is_kind(path, S_IFREG))
        return read_file(spec, path, err);
    char *vocab = strndup(path, (size_t)(comma - path));
    int rc = vocab ? read_pair(spec, vocab, comma + 1, err) : vlm_vocab_no_memory(path, err);
    free(vocab);
    return rc;
}
