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

#endif
