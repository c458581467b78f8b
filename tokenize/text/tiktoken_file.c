/* tiktoken_file.c - vocabularies of the package tiktoken: lines of a piece in base64 and its rank, which is its id.
 *
 * tiktoken merges the neighbours whose bytes together have the lowest rank. As merges of two pieces that is every
 * way to cut a piece into two pieces, in the order of ranks; a word that is a piece is never merged. The pattern
 * and the special tokens are in the package's source, not in the file: they go by the file's name. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/unicode/split.h"
#include "tokenize/text/vocab_internal.h"

struct special {
    const char *word;
    uint32_t id;
};

/* As in tiktoken_ext/openai_public.py. \z and greedy repeats say the same as its $ and possessive ones, and mean
 * the same in the package tokenizers. */
static const struct known {
    const char *name;
    enum vlm_split split;
    const char *pattern; /* NULL: GPT-2's */
    struct special specials[5];
} known[] = {
    { "r50k_base", VLM_SPLIT_GPT2, NULL, { { "<|endoftext|>", 50256 } } },
    { "p50k_base", VLM_SPLIT_GPT2, NULL, { { "<|endoftext|>", 50256 } } },
    { "cl100k_base",
      VLM_SPLIT_CL100K_TIKTOKEN,
      VLM_TEXT_CL100K_PATTERN,
      { { "<|endoftext|>", 100257 },
        { "<|fim_prefix|>", 100258 },
        { "<|fim_middle|>", 100259 },
        { "<|fim_suffix|>", 100260 },
        { "<|endofprompt|>", 100276 } } },
    { "o200k_base",
      VLM_SPLIT_O200K,
      VLM_TEXT_O200K_PATTERN,
      { { "<|endoftext|>", 199999 }, { "<|endofprompt|>", 200018 } } },
};

/* "BASE64 RANK" as a spelled piece; the problem, or NULL. */
static const char *read_line(struct vlm_text_spec *spec, struct vlm_text line,
                             struct vlm_piece_entry *entry, struct vlm_buffer *spelled)
{
    uint8_t bytes[VLM_PIECE_MAX + 3];
    const char *space = memchr(line.at, ' ', line.n);
    size_t left = space ? (size_t)(space - line.at) : 0, right = space ? line.n - left - 1 : 0;
    if (!left || !right || right > 10)
        return "expected a piece in base64, a space and its rank";
    if (left > VLM_PIECE_MAX / 3 * 4)
        return "the piece is too long";
    size_t n = vlm_text_base64(bytes, line.at, left);
    if (n == SIZE_MAX || !n)
        return "the piece is not valid base64";
    entry->id = 0;
    for (size_t i = 0; i < right; i++) {
        if (space[1 + i] < '0' || space[1 + i] > '9')
            return "the rank is not a number";
        entry->id = 10 * entry->id + (uint64_t)(space[1 + i] - '0');
    }
    vlm_buffer_reset(spelled);
    vlm_bpe_bytes_to_spelling(spelled, bytes, n);
    entry->text = vlm_text_spec_copy(spec, spelled->data, spelled->size);
    return spelled->failed || !entry->text.at ? "no memory" : NULL;
}

static int read_pieces(struct vlm_text_spec *spec, const char *name, struct vlm_err *err)
{
    struct vlm_text rest = vlm_vocab_text(&spec->files[0]), line;
    struct vlm_piece_entry *entries = NULL;
    struct vlm_buffer spelled = { 0 };
    size_t n = 0, capacity = 0;
    int rc = VLM_OK;
    for (size_t number = 1; rc == VLM_OK && vlm_vocab_line(&rest, &line); number++) {
        void *grown = vlm_vocab_grow(entries, n, &capacity, sizeof *entries);
        const char *problem = "no memory";
        if (grown) {
            entries = grown;
            problem = n < VLM_PIECES_MAX ? read_line(spec, line, &entries[n], &spelled)
                                         : "too many pieces";
        }
        if (problem)
            rc = vlm_fail(err, VLM_EFORMAT, "'%s', line %zu: %s", name, number, problem);
        n++;
    }
    if (rc == VLM_OK)
        rc = vlm_text_spec_set_pieces(spec, entries, n, name, err);
    vlm_buffer_release(&spelled);
    free(entries);
    return rc;
}

/* Every way to cut a piece in two pieces. */
static int make_merges(struct vlm_text_spec *spec, const char *name, struct vlm_err *err)
{
    struct vlm_merge_entry *entries = NULL;
    size_t n = 0, capacity = 0;
    for (uint32_t id = 0; id < spec->n_pieces; id++) {
        struct vlm_text piece = spec->pieces[id];
        for (size_t cut = 1; piece.at && cut < piece.n; cut++) {
            struct vlm_text right = { piece.at + cut, piece.n - cut };
            if (((uint8_t)right.at[0] & 0xc0) == 0x80 ||
                vlm_piece_map_find(&spec->vocabulary, piece.at, cut) == VLM_NO_TOKEN ||
                vlm_piece_map_find(&spec->vocabulary, right.at, right.n) == VLM_NO_TOKEN)
                continue;
            void *grown = vlm_vocab_grow(entries, n, &capacity, sizeof *entries);
            if (!grown) {
                free(entries);
                return vlm_vocab_no_memory(name, err);
            }
            entries = grown;
            entries[n++] = (struct vlm_merge_entry){ { piece.at, cut }, right, id };
        }
    }
    int rc = vlm_text_spec_set_merges(spec, entries, n, name, "rank", err);
    free(entries);
    return rc;
}

static const struct known *find_known(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < VLM_COUNTOF(known); i++) {
        size_t n = strlen(known[i].name);
        if (!strncmp(name, known[i].name, n) && !strcmp(name + n, ".tiktoken"))
            return &known[i];
    }
    return NULL;
}

static int set_parts(struct vlm_text_spec *spec, const struct known *kind, const char *name,
                     struct vlm_err *err)
{
    int rc = vlm_vocab_make_parts(spec, name, err);
    if (rc != VLM_OK)
        return rc;
    bool split = kind && kind->pattern;
    if (split)
        spec->pre_tokenizers[spec->n_pre_tokenizers++] = (struct vlm_pre_tokenizer){
            .kind = VLM_PRE_SPLIT,
            .behavior = VLM_BEHAVIOR_ISOLATED,
            .pattern_kind = VLM_PATTERN_REGEX,
            .pattern_text = { kind->pattern, strlen(kind->pattern) },
            .split = (int)kind->split,
        };
    spec->pre_tokenizers[spec->n_pre_tokenizers++] = (struct vlm_pre_tokenizer){
        .kind = VLM_PRE_BYTE_LEVEL, .flags = split ? 0 : VLM_PART_REGEX, .split = -1
    };
    spec->decoders[spec->n_decoders++].kind = VLM_DECODE_BYTE_LEVEL;
    spec->added = vlm_arena_zero(&spec->arena, VLM_COUNTOF(kind->specials), sizeof *spec->added);
    if (!spec->added)
        return vlm_vocab_no_memory(name, err);
    for (size_t i = 0; kind && i < VLM_COUNTOF(kind->specials) && kind->specials[i].word; i++)
        spec->added[spec->n_added++] = (struct vlm_added_token){
            .id = kind->specials[i].id,
            .flags = VLM_ADDED_SPECIAL,
            .word = { kind->specials[i].word, strlen(kind->specials[i].word) },
        };
    return VLM_OK;
}

int vlm_tiktoken_file_read(struct vlm_text_spec *spec, const char *path, struct vlm_err *err)
{
    int rc = read_pieces(spec, path, err);
    if (rc == VLM_OK)
        rc = make_merges(spec, path, err);
    spec->model = VLM_MODEL_BPE;
    spec->ignore_merges = true;
    return rc == VLM_OK ? set_parts(spec, find_known(path), path, err) : rc;
}
