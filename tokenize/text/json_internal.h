/* json_internal.h - reading tokenizer.json: the state that tokenizer_json.c and tokenizer_json_parts.c share. */
#ifndef VLM_TOKENIZE_JSON_INTERNAL_H
#define VLM_TOKENIZE_JSON_INTERNAL_H

#include "base/json_scan.h"
#include "tokenize/text/text_internal.h"

struct vlm_json_reader {
    struct vlm_json_scan in;
    struct vlm_text_spec *spec;
    const char *name; /* of the file */
    struct vlm_err *err;
    int rc;          /* of the first refusal */
    char path[256];  /* of the value at hand: "model.vocab" */
    char where[256]; /* path when the first problem of syntax was met */
    unsigned depth;  /* of sequences */
};

/* Goes one member or element down in path; back to the length that it returns with _up(). */
size_t vlm_json_reader_down(struct vlm_json_reader *reader, const char *format, ...)
    VLM_PRINTF(2, 3);
void vlm_json_reader_up(struct vlm_json_reader *reader, size_t length);

/* "'FILE', PATH: ..." as the result of the whole; nothing more is read. */
void vlm_json_reader_refuse(struct vlm_json_reader *reader, const char *format, ...)
    VLM_PRINTF(2, 3);

/* Keys of an object, to find the one that stands twice. */
struct vlm_json_keys {
    const char *keys[32];
    size_t n;
};

/* The key of the next member, which path names until _up(*up); refuses what stands twice. */
const char *vlm_json_reader_key(struct vlm_json_reader *reader, struct vlm_json_keys *seen,
                                size_t *up);

struct vlm_text vlm_json_reader_text(struct vlm_json_reader *reader);

/* The values of "normalizer", "pre_tokenizer" and "decoder": null, or a step, or a sequence of steps. */
void vlm_json_reader_normalizer(struct vlm_json_reader *reader);
void vlm_json_reader_pre_tokenizer(struct vlm_json_reader *reader);
void vlm_json_reader_decoder(struct vlm_json_reader *reader);

/* Those of "truncation" and "post_processor": checked, and forgotten. */
void vlm_json_reader_truncation(struct vlm_json_reader *reader);
void vlm_json_reader_post_processor(struct vlm_json_reader *reader);

/* The words of tokenizer.json by number of the kind, with a NULL behind them. */
extern const char *const vlm_json_normalizers[];    /* vlm_normalizer_kind */
extern const char *const vlm_json_pre_tokenizers[]; /* vlm_pre_kind */
extern const char *const vlm_json_behaviors[];      /* vlm_behavior */
extern const char *const vlm_json_prepends[];       /* vlm_prepend */
extern const char *const vlm_json_decoders[];       /* vlm_decoder_kind */

#endif
