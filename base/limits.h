/* limits.h - every limit on bytes that we did not make, in one place.
 *
 * Limits that decide what is kept are counted (bytes, depth, nodes, pixels), never timed, so that
 * the same input gives the same output on every machine. Each has a test at limit - 1, limit and
 * limit + 1. */
#ifndef VLM_BASE_LIMITS_H
#define VLM_BASE_LIMITS_H

#define VLM_KIB ((size_t)1 << 10)
#define VLM_MIB ((size_t)1 << 20)
#define VLM_GIB ((size_t)1 << 30)

/* Crawl records */
#define VLM_WARC_HEADER_MAX   (64 * VLM_KIB) /* all fields of a record */
#define VLM_WARC_BLOCK_MAX    (32 * VLM_MIB) /* larger blocks are skipped, streaming */
#define VLM_INFLATE_RATIO_MAX 1000           /* above the first MiB of output */
#define VLM_HTTP_HEADER_MAX   (64 * VLM_KIB)
#define VLM_BODY_MAX          (32 * VLM_MIB) /* after transfer and content decoding */

/* Pages */
#define VLM_HTML_MAX             (8 * VLM_MIB)
#define VLM_HTML_DEPTH_MAX       512
#define VLM_HTML_ATTRIBUTES_MAX  256            /* a tag */
#define VLM_HTML_ATTRIBUTE_MAX   (64 * VLM_KIB) /* a value, data: URLs apart */
#define VLM_HTML_NODES_MAX       1000000
#define VLM_HTML_IMAGES_MAX      1024 /* a page */
#define VLM_IMAGE_CANDIDATES_MAX 8    /* URLs tried for one <img> */
#define VLM_URL_MAX              (8 * VLM_KIB)
#define VLM_REDIRECTS_MAX        5

/* Images */
#define VLM_IMAGE_BYTES_MAX        (32 * VLM_MIB)
#define VLM_IMAGE_SIDE_MAX         16384
#define VLM_IMAGE_PIXELS_MAX       64000000
#define VLM_IMAGE_PIXELS_WHOLE_MAX 24000000 /* progressive JPEG, WebP: decoded as a whole */
#define VLM_JPEG_SCANS_MAX         100

/* Files of tensors */
#define VLM_SAFETENSORS_HEADER_MAX (16 * VLM_MIB) /* also of the index of several files */
#define VLM_SAFETENSORS_COUNT_MAX  65536 /* tensors of all files of an index; pairs of metadata */
#define VLM_SAFETENSORS_RANK_MAX   8
#define VLM_SAFETENSORS_FILES_MAX  512 /* that an index may name */

/* config.json of an image tokenizer; codes of one, which are stored in 16 bits with one number to
 * spare. */
#define VLM_TOKENIZER_CONFIG_MAX VLM_MIB
#define VLM_CODEBOOK_MAX         65535

/* config.json of a model, and the sizes that it may name */
#define VLM_MODEL_CONFIG_MAX     VLM_MIB
#define VLM_MODEL_LAYERS_MAX     4096
#define VLM_MODEL_WIDTH_MAX      1048576 /* also heads, and the width inside of the feed-forward part */
#define VLM_MODEL_CONTEXT_MAX    1048576
#define VLM_MODEL_VOCABULARY_MAX 4194304

/* Recipes */
#define VLM_RECIPE_FILE_MAX (64 * VLM_KIB)

/* Files of torch.save(): a zip archive, a pickle in it, what the pickle says about tensors */
#define VLM_ZIP_DIRECTORY_MAX (16 * VLM_MIB)
#define VLM_ZIP_MEMBERS_MAX   262144
#define VLM_PICKLE_MAX        (32 * VLM_MIB)
#define VLM_PICKLE_MEMORY_MAX (128 * VLM_MIB) /* of all values that it makes */
#define VLM_PICKLE_STACK_MAX  65536           /* values and marks */
#define VLM_PICKLE_MEMO_MAX   1048576
#define VLM_TORCH_COUNT_MAX   65536   /* tensors */
#define VLM_TORCH_ENTRIES_MAX 1048576 /* entries looked at; a dictionary may stand at two places */
#define VLM_TORCH_DEPTH_MAX   16      /* dictionaries inside one another */
#define VLM_TORCH_NAME_MAX    512     /* bytes of a name with all its dots */
#define VLM_TORCH_VALUES_MAX  ((size_t)1 << 32) /* of a tensor: strides of 0 make any number */

/* Text tokenizers: their files and what these may hold, texts to encode */
#define VLM_TOKENIZER_FILE_MAX  (64 * VLM_MIB) /* also of what a .gz holds */
#define VLM_PIECES_MAX          2097152        /* ids, and merges */
#define VLM_PIECE_MAX           (2 * VLM_KIB)  /* bytes of a piece or an added token */
#define VLM_TOKENIZER_STEPS_MAX 256            /* normalizers, pre-tokenizers, decoders: of each */
#define VLM_TOKENIZER_DEPTH_MAX 16             /* sequences inside one another */
#define VLM_PATTERN_MAX         (16 * VLM_KIB) /* bytes of a regular expression */
#define VLM_PATTERN_MATCH_MAX   10000000       /* PCRE2's match limit, of one search */
#define VLM_DECODE_RATIO_MAX    64             /* bytes for each of the pieces, of 1 KiB at least */
#define VLM_TOKENIZER_WORDS_MAX (64 * VLM_MIB) /* all texts of ids; all added tokens, normalized */
#define VLM_TOKENIZER_WORK_MAX  (256 * VLM_MIB) /* the same, counted again after each step */
#define VLM_TEXT_MAX            (256 * VLM_MIB)
#define VLM_LINE_MAX            (64 * VLM_MIB)  /* of a file of lines to encode */
#define VLM_IDS_LINE_MAX        (512 * VLM_MIB) /* to decode: what such a line becomes as ids */

/* Normalized text, and WordPiece */
#define VLM_NORMAL_RATIO_MAX    64  /* characters for each byte of a text, of 1 KiB at least */
#define VLM_WORDPIECE_PIECE_MAX 256 /* bytes of a piece: as many steps a byte of text may take */
#define VLM_WORDPIECE_NODES_MAX 4194304 /* distinct beginnings of pieces */

/* Shard sets that are learned from */
#define VLM_TOMBSTONES_MAX (256 * VLM_MIB) /* bytes of a deleted.jsonl */

/* Requests to the server */
#define VLM_REQUEST_LINE_MAX    (8 * VLM_KIB)  /* method, target, version */
#define VLM_REQUEST_HEAD_MAX    (32 * VLM_KIB) /* all fields, with their line ends */
#define VLM_REQUEST_FIELDS_MAX  100
#define VLM_REQUEST_QUERY_MAX   64            /* parameters of a query */
#define VLM_REQUEST_CHUNK_LINE  256           /* bytes of the line before a chunk */
#define VLM_REQUEST_CHUNK_EXTRA (4 * VLM_KIB) /* of extensions of all chunks; of all trailers */
#define VLM_REQUEST_ID_MAX      64

/* Unigram */
#define VLM_UNIGRAM_PIECE_MAX 512     /* bytes of a piece: as many steps a byte of text may take */
#define VLM_UNIGRAM_NODES_MAX 4194304 /* distinct beginnings of pieces */
#define VLM_SCORE_TEXT_MAX    64      /* characters of a score */

#endif
