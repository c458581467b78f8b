/* json_names.c - the words of tokenizer.json for the steps of a pipeline, for its reader and its writer. */
#include "base/vlm.h"

#include "tokenize/text/json_internal.h"

const char *const vlm_json_normalizers[] = {
    [VLM_NORMALIZE_NFC] = "NFC",
    [VLM_NORMALIZE_NFD] = "NFD",
    [VLM_NORMALIZE_NFKC] = "NFKC",
    [VLM_NORMALIZE_NFKD] = "NFKD",
    [VLM_NORMALIZE_LOWERCASE] = "Lowercase",
    [VLM_NORMALIZE_STRIP_ACCENTS] = "StripAccents",
    [VLM_NORMALIZE_BERT] = "BertNormalizer",
    [VLM_NORMALIZE_STRIP] = "Strip",
    [VLM_NORMALIZE_REPLACE] = "Replace",
    [VLM_NORMALIZE_PREPEND] = "Prepend",
    [VLM_NORMALIZE_BYTE_LEVEL] = "ByteLevel",
    [VLM_NORMALIZE_NMT] = "Nmt",
    [VLM_NORMALIZE_PRECOMPILED] = "Precompiled",
    NULL,
};

const char *const vlm_json_pre_tokenizers[] = {
    [VLM_PRE_BYTE_LEVEL] = "ByteLevel",
    [VLM_PRE_SPLIT] = "Split",
    [VLM_PRE_DIGITS] = "Digits",
    [VLM_PRE_WHITESPACE] = "Whitespace",
    [VLM_PRE_WHITESPACE_SPLIT] = "WhitespaceSplit",
    [VLM_PRE_PUNCTUATION] = "Punctuation",
    [VLM_PRE_BERT] = "BertPreTokenizer",
    [VLM_PRE_METASPACE] = "Metaspace",
    [VLM_PRE_DELIMITER] = "CharDelimiterSplit",
    [VLM_PRE_FIXED_LENGTH] = "FixedLength",
    NULL,
};

const char *const vlm_json_behaviors[] = {
    [VLM_BEHAVIOR_REMOVED] = "Removed",
    [VLM_BEHAVIOR_ISOLATED] = "Isolated",
    [VLM_BEHAVIOR_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
    [VLM_BEHAVIOR_MERGED_WITH_NEXT] = "MergedWithNext",
    [VLM_BEHAVIOR_CONTIGUOUS] = "Contiguous",
    NULL,
};

const char *const vlm_json_prepends[] = {
    [VLM_PREPEND_ALWAYS] = "always",
    [VLM_PREPEND_FIRST] = "first",
    [VLM_PREPEND_NEVER] = "never",
    NULL,
};

const char *const vlm_json_decoders[] = {
    [VLM_DECODE_BYTE_LEVEL] = "ByteLevel",
    [VLM_DECODE_WORDPIECE] = "WordPiece",
    [VLM_DECODE_METASPACE] = "Metaspace",
    [VLM_DECODE_BYTE_FALLBACK] = "ByteFallback",
    [VLM_DECODE_FUSE] = "Fuse",
    [VLM_DECODE_STRIP] = "Strip",
    [VLM_DECODE_REPLACE] = "Replace",
    [VLM_DECODE_BPE] = "BPEDecoder",
    NULL,
};
