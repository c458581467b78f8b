/* request.h - the fields that requests of several endpoints share, and their tables.
 *
 * Names are OpenAI's and llama.cpp's where they have one for it; what is for images alone begins with "image_". */
#ifndef VLM_SERVE_REQUEST_H
#define VLM_SERVE_REQUEST_H

#include "models/generate/generate.h"
#include "serve/api/field.h"

/* How pictures come in an answer. */
enum vlm_image_form {
    VLM_IMAGE_FORM_PNG,
    VLM_IMAGE_FORM_JPEG,
    VLM_IMAGE_FORM_CODES,
    VLM_IMAGE_FORM_NONE
};
#define VLM_IMAGE_FORM_WORDS "png|jpeg|codes|none"

/* What becomes of a prompt that is too long. */
enum vlm_truncate { VLM_TRUNCATE_NONE, VLM_TRUNCATE_LEFT, VLM_TRUNCATE_MIDDLE };

enum { VLM_PARTIAL_IMAGES_MAX = 3 };

struct vlm_request {
    const char *model; /* NULL: the one there is */
    bool strict, special;
    bool stream, include_usage, return_progress;
    bool return_tokens, timings_per_token; /* of llama.cpp */
    int64_t ping_seconds;                  /* -1: the server's */
    double deadline_ms, predict_ms;        /* 0: none */
    /* seed, words, bias and likely are set by what is below and by struct vlm_call */
    struct vlm_generate_options options;
    int64_t seed;       /* -1: drawn by lot */
    int64_t max_tokens; /* -1: as many as fit */
    bool
        max_is_cap; /* fewer when the context ends (n_predict of llama.cpp); else that is an error */
    int64_t n, best_of;
    int64_t beams, repeat_last_n;
    int64_t logprobs; /* -1: none; else as many of the likeliest beside the drawn one */
    int truncate;     /* vlm_truncate */
    int image_form;   /* vlm_image_form */
    bool store;       /* pictures of the answer are kept as blobs */
    int64_t image_quality, image_preview_ms; /* of JPEG; 0: no previews */
    int64_t partial_images; /* previews of each picture, evenly over its codes; 0: none */
    const char *negative;   /* prompt of guidance; NULL: what the endpoint makes */
};

/* The defaults. */
void vlm_request_init(struct vlm_request *request);

/* Tables with offsets of a struct that begins with struct vlm_request. */
extern const struct vlm_field_group
    vlm_request_common; /* model, user, strict, special, deadline_ms, ... */
extern const struct vlm_field_group
    vlm_request_stream; /* stream, stream_options, return_progress, ... */
extern const struct vlm_field_group vlm_request_sampling; /* temperature and on, text and image */
extern const struct vlm_field_group vlm_request_seed;     /* seed */
extern const struct vlm_field_group vlm_request_llama;   /* llama.cpp's own: n_predict, seed, ... */
extern const struct vlm_field_group vlm_request_length;  /* max_tokens */
extern const struct vlm_field_group vlm_request_choices; /* n */
extern const struct vlm_field_group vlm_request_text;    /* stop, logit_bias, num_beams, ... */
extern const struct vlm_field_group
    vlm_request_images; /* image_format, image_quality, image_preview_ms */

/* After reading: what only several fields together can be wrong about; sets options. False as vlm_fields_read(). */
bool vlm_request_finish(struct vlm_reader *reader, struct vlm_request *request);

#endif
