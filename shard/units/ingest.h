/* ingest.h - what a record of the crawl becomes in a unit file: a document, an image, a capture. */
#ifndef VLM_SHARD_INGEST_H
#define VLM_SHARD_INGEST_H

#include "base/arena.h"
#include "shard/units/unit.h"
#include "shard/units/worker.h"
#include "tokenize/dump/http.h"
#include "tokenize/html/page.h"
#include "vqgan/tokenizer/tokenizer.h"

/* Images of this unit by their bytes: the same picture is decoded and stored once. */
struct vlm_seen_images {
    struct vlm_capture *slots; /* open addressing by SHA-256; size a power of two */
    size_t capacity, count;
};

struct vlm_ingest {
    const struct vlm_work *work;
    const struct vlm_profile_rules *rules;
    struct vlm_unit_writer unit;
    struct vlm_page_parser *parser;
    struct vlm_arena arena; /* of the record at hand */
    struct vlm_buffer stored, canonical;
    struct vlm_seen_images seen;
    uint8_t *square;                 /* [256][256][3] */
    struct vlm_tokenizer *tokenizer; /* NULL: no codes */
    struct vlm_coder *coder;
    struct vlm_reference references[VLM_HTML_IMAGES_MAX];
};

/* Opens all that a confined process will need. output is the descriptor of the unit file. */
VLM_MUST_CHECK int vlm_ingest_init(struct vlm_ingest *ingest, const struct vlm_work *work,
                                   int output, struct vlm_err *err);

/* Takes one record in and enters it in the ledger. Only failures of our own are errors. */
VLM_MUST_CHECK int vlm_ingest_record(struct vlm_ingest *ingest, const struct vlm_record *record,
                                     struct vlm_err *err);

/* Enters a damaged stretch in the ledger. */
void vlm_ingest_damage(struct vlm_ingest *ingest, const struct vlm_record *record);
void vlm_ingest_release(struct vlm_ingest *ingest);

/* Key of a URL, as references and captures have it: of its canonical form, or of the name of a data:
 * URL. */
struct vlm_key vlm_url_key(struct vlm_buffer *scratch, const char *url, size_t n);

#endif
