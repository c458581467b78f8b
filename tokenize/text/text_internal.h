/* text_internal.h - a tokenizer from the inside: what its files say, and what is made of that.
 *
 * The readers (tokenizer_json.c, vocab_files.c) fill a struct vlm_text_spec; the writer prints it as the
 * canonical tokenizer.json; text_tokenizer.c builds the models from it; pipeline.c cuts texts as it says and
 * decoder.c puts them together again. */
#ifndef VLM_TOKENIZE_TEXT_INTERNAL_H
#define VLM_TOKENIZE_TEXT_INTERNAL_H

#include "base/arena.h"
#include "tokenize/bpe/bpe.h"
#include "tokenize/unicode/charsmap.h"
#include "tokenize/unicode/normalize.h"
#include "tokenize/unicode/pattern.h"
#include "tokenize/text/text_tokenizer.h"
#include "tokenize/text/unigram.h"
#include "tokenize/text/wordpiece.h"

/* The tokenizer.json that is part of the programs (shipped_tokenizer.c). */
extern const uint8_t vlm_shipped_tokenizer[];
extern const uint64_t vlm_shipped_tokenizer_size;

struct vlm_text {
    const char *at; /* NULL: absent */
    size_t n;
};

/* piece_map.c: ids by text. Open addressing; the texts are borrowed. */
struct vlm_piece_map {
    struct vlm_piece_place {
        struct vlm_text text; /* at NULL: free */
        uint32_t id;
    } * places;
    size_t mask, n;
};
VLM_MUST_CHECK bool vlm_piece_map_init(struct vlm_piece_map *map, size_t n);
void vlm_piece_map_release(struct vlm_piece_map *map);
/* The id that text has already, or VLM_NO_TOKEN: then it has this one now. At most n texts. */
uint32_t vlm_piece_map_add(struct vlm_piece_map *map, struct vlm_text text, uint32_t id);
uint32_t vlm_piece_map_find(const struct vlm_piece_map *map, const char *at, size_t n);

enum vlm_text_model {
    VLM_MODEL_BPE,
    VLM_MODEL_WORDPIECE,
    VLM_MODEL_WORDLEVEL,
    VLM_MODEL_UNIGRAM,
};

enum vlm_behavior {
    VLM_BEHAVIOR_REMOVED,
    VLM_BEHAVIOR_ISOLATED,
    VLM_BEHAVIOR_MERGED_WITH_PREVIOUS,
    VLM_BEHAVIOR_MERGED_WITH_NEXT,
    VLM_BEHAVIOR_CONTIGUOUS,
};

enum vlm_pre_kind {
    VLM_PRE_BYTE_LEVEL,
    VLM_PRE_SPLIT,
    VLM_PRE_DIGITS,
    VLM_PRE_WHITESPACE,
    VLM_PRE_WHITESPACE_SPLIT,
    VLM_PRE_PUNCTUATION,
    VLM_PRE_BERT,
    VLM_PRE_METASPACE,
    VLM_PRE_DELIMITER,
    VLM_PRE_FIXED_LENGTH,
};

enum vlm_prepend { VLM_PREPEND_ALWAYS, VLM_PREPEND_FIRST, VLM_PREPEND_NEVER };

enum vlm_part_flag {
    VLM_PART_PREFIX_SPACE = 1, /* ByteLevel: add_prefix_space */
    VLM_PART_REGEX = 2,        /* ByteLevel: use_regex */
    VLM_PART_INVERT = 4,       /* Split */
    VLM_PART_INDIVIDUAL = 8,   /* Digits: individual_digits */
    VLM_PART_SPLIT = 16,       /* Metaspace: split */
    VLM_PART_CLEANUP = 32,     /* decoder WordPiece */
};

/* A step of cutting. content: delimiter of DELIMITER, replacement of METASPACE. */
struct vlm_pre_tokenizer {
    enum vlm_pre_kind kind;
    unsigned flags;
    enum vlm_behavior behavior;
    enum vlm_prepend prepend;
    enum vlm_pattern_kind pattern_kind;
    struct vlm_text pattern_text;
    struct vlm_pattern *pattern; /* NULL: known, see split */
    int split;                   /* SPLIT: scanner of the pattern, or -1 */
    struct vlm_text content;
    size_t length; /* FIXED_LENGTH, in characters */
};

enum vlm_decoder_kind {
    VLM_DECODE_BYTE_LEVEL,
    VLM_DECODE_WORDPIECE,
    VLM_DECODE_METASPACE,
    VLM_DECODE_BYTE_FALLBACK,
    VLM_DECODE_FUSE,
    VLM_DECODE_STRIP,
    VLM_DECODE_REPLACE,
    VLM_DECODE_BPE,
};

/* A step of decoding. content: prefix of WORDPIECE, replacement of METASPACE, character of STRIP, content of
 * REPLACE, suffix of BPE. */
struct vlm_decoder {
    enum vlm_decoder_kind kind;
    unsigned flags;
    enum vlm_prepend prepend;
    enum vlm_pattern_kind pattern_kind;
    struct vlm_text pattern_text, content;
    struct vlm_pattern *pattern;
    size_t start, stop; /* STRIP: at most so many at each end */
};

/* A step of normalisation with what the writer needs of it. */
struct vlm_text_normalizer {
    struct vlm_normalizer step; /* its pattern and charsmap are owned here */
    enum vlm_pattern_kind pattern_kind;
    struct vlm_text pattern_text;
    struct vlm_text charsmap_text; /* PRECOMPILED: the map in base64 */
    bool accents_as_case;          /* BERT: strip_accents is null, that is as lowercase */
};

enum vlm_added_flag {
    VLM_ADDED_SPECIAL = 1,
    VLM_ADDED_SINGLE_WORD = 2,
    VLM_ADDED_LSTRIP = 4,
    VLM_ADDED_RSTRIP = 8,
    VLM_ADDED_NORMALIZED = 16,
};

struct vlm_added_token {
    uint32_t id;
    unsigned flags;
    struct vlm_text word;
    struct vlm_text normal; /* what is looked for: the word, or its normalised form */
};

/* Everything that the files of a tokenizer say. Texts lie in the files' bytes or in the arena. */
struct vlm_text_spec {
    struct vlm_buffer files[2]; /* as read; strings are decoded in place */
    struct vlm_arena arena;
    enum vlm_text_model model;
    struct vlm_text *pieces; /* [n_pieces] by id, as the vocabulary spells them; at NULL: none */
    uint32_t n_pieces;
    struct vlm_piece_map vocabulary; /* ids of pieces */
    struct vlm_text *scores; /* Unigram: [n_pieces] as the file spells them, for the writer */
    double *score_values;    /* Unigram: [n_pieces] */
    uint32_t unknown_id;     /* Unigram: unk_id, or VLM_NO_TOKEN */
    struct vlm_bpe_merge *merges;
    size_t n_merges;
    struct vlm_text unknown;        /* unk_token */
    struct vlm_text prefix, suffix; /* continuing_subword_prefix, end_of_word_suffix */
    bool fuse_unknown, byte_fallback, ignore_merges;
    size_t word_max; /* WordPiece: max_input_chars_per_word */
    struct vlm_text_normalizer *normalizers;
    size_t n_normalizers;
    struct vlm_pre_tokenizer *pre_tokenizers;
    size_t n_pre_tokenizers;
    struct vlm_decoder *decoders;
    size_t n_decoders;
    struct vlm_added_token *added; /* by id */
    size_t n_added;
    uint32_t unused_end; /* all ids that the post-processor names are below */
};

/* added_words.c: the added tokens in a text, the leftmost and of these the longest. */
struct vlm_added_words;
VLM_MUST_CHECK int vlm_added_words_new(struct vlm_added_words **out,
                                       const struct vlm_added_token *added, size_t n,
                                       unsigned normalized, struct vlm_err *err);
void vlm_added_words_free(struct vlm_added_words *words);

/* The next place in text at or behind *from; false: none. `left` is the end of the one before (lstrip does not
 * go beyond it). *from moves behind the match. */
struct vlm_added_match {
    size_t start, end;
    const struct vlm_added_token *token;
};
bool vlm_added_words_next(const struct vlm_added_words *words, const char *text, size_t n,
                          size_t *from, size_t left, unsigned flags, struct vlm_added_match *match);

struct vlm_text_tokenizer {
    struct vlm_text_spec spec;
    char id[VLM_TEXT_TOKENIZER_ID_SIZE];
    uint32_t size;              /* ids */
    struct vlm_text *spellings; /* [size] of pieces and added tokens, as decoders take them */
    struct vlm_bytes *texts;    /* [size] what each id decodes to inside a text */
    uint8_t *special;           /* [size] 1: special, 2: added and not special */
    struct vlm_piece_map added; /* ids of the words of added tokens */
    struct vlm_added_words *raw_words, *normal_words; /* NULL: none of that sort */
    bool raw_plain, normal_plain; /* some of them are looked for without VLM_TEXT_SPECIALS */
    struct vlm_bpe *bpe;
    struct vlm_wordpiece *wordpiece;
    struct vlm_unigram *unigram;
    uint32_t unknown; /* or VLM_NO_TOKEN */
    bool bytes;       /* the model takes bytes (vlm_bpe_word), not characters */
    bool fast;        /* all is done by vlm_bpe_text with: */
    enum vlm_split split;
    bool bytewise;
    bool decode_plain;      /* texts one behind the other are the text */
    uint32_t fallback[256]; /* ids of <0xNN>, or VLM_NO_TOKEN */
};

/* text_spec.c */
void vlm_text_spec_init(struct vlm_text_spec *spec);
void vlm_text_spec_release(struct vlm_text_spec *spec);
/* A copy in the spec's arena with a NUL behind it; at NULL when memory ran out. */
struct vlm_text vlm_text_spec_copy(struct vlm_text_spec *spec, const void *bytes, size_t n);

/* RFC 4648 with padding, and nothing else: the number of bytes, or SIZE_MAX. out holds 3/4 of n. */
size_t vlm_text_base64(uint8_t *out, const char *text, size_t n);

/* Pieces in the order of their file, and pairs of the texts of two pieces. */
struct vlm_piece_entry {
    struct vlm_text text;
    uint64_t id;
    struct vlm_text score; /* Unigram */
};
struct vlm_merge_entry {
    struct vlm_text left, right;
    size_t place; /* for the sentence: its number in the file */
};
VLM_MUST_CHECK int vlm_text_spec_set_pieces(struct vlm_text_spec *spec,
                                            const struct vlm_piece_entry *entries, size_t n,
                                            const char *name, struct vlm_err *err);
/* The scores of Unigram's pieces; needs the pieces, whose ids are 0 to n - 1. */
VLM_MUST_CHECK int vlm_text_spec_set_scores(struct vlm_text_spec *spec,
                                            const struct vlm_piece_entry *entries, size_t n,
                                            const char *name, struct vlm_err *err);
/* place says what the numbers count: "line". Needs the pieces and the prefix. */
VLM_MUST_CHECK int vlm_text_spec_set_merges(struct vlm_text_spec *spec,
                                            const struct vlm_merge_entry *entries, size_t n,
                                            const char *name, const char *place,
                                            struct vlm_err *err);

/* Of GPT-4 and GPT-4o, spelled so that all regular expression libraries agree on them. */
#define VLM_TEXT_CL100K_PATTERN                                                                    \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"                             \
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s+\\z|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"
#define VLM_TEXT_O200K_PATTERN                                                                     \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"    \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"                                                               \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"    \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"                                                               \
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The hand-written scanner of a regular expression, or -1: vlm_split_find(), and the ones above. */
int vlm_text_find_split(struct vlm_text pattern);

/* The readers; name is for the sentence. files[0] holds the bytes. */
VLM_MUST_CHECK int vlm_tokenizer_json_read(struct vlm_text_spec *spec, const char *name,
                                           struct vlm_err *err);
VLM_MUST_CHECK int vlm_vocab_files_read(struct vlm_text_spec *spec, const char *path,
                                        struct vlm_err *err);
/* The canonical tokenizer.json. */
VLM_MUST_CHECK int vlm_tokenizer_json_write(struct vlm_buffer *out,
                                            const struct vlm_text_spec *spec, struct vlm_err *err);

/* text_tokenizer.c: a tokenizer.json in memory, which is copied; name is for the sentence. */
VLM_MUST_CHECK int vlm_text_tokenizer_open_bytes(struct vlm_text_tokenizer **out, const char *name,
                                                 const uint8_t *bytes, size_t n,
                                                 struct vlm_err *err);

/* decoder.c */
VLM_MUST_CHECK int vlm_decode_chain(const struct vlm_text_tokenizer *tokenizer,
                                    struct vlm_buffer *out, const uint32_t *ids, size_t n,
                                    unsigned flags, struct vlm_err *err);

/* Appends what one id decodes to inside of a text; special tokens too. Adds the bytes of the text after
 * each step to *work. */
VLM_MUST_CHECK int vlm_decode_piece(const struct vlm_text_tokenizer *tokenizer,
                                    struct vlm_buffer *out, uint32_t id, uint64_t *work,
                                    struct vlm_err *err);

static inline bool vlm_text_is(struct vlm_text text, const char *word)
{
    return text.at && text.n == strlen(word) && !memcmp(text.at, word, text.n);
}

#endif
