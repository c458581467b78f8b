/* generate_tool.h - the parts of vlm-generate: what it was asked, pictures in, answers out. */
#ifndef VLM_TOOLS_GENERATE_TOOL_H
#define VLM_TOOLS_GENERATE_TOOL_H

#include "models/folder/model_folder.h"
#include "models/generate/generate.h"
#include "models/generate/prompt.h"
#include "models/generate/stream.h"
#include "models/model/model_serve.h"

struct vlm_generate_request {
    const char *model, *prompt_file, *text, *folder; /* folder: for pictures */
    const char *negative;                            /* prompt of guidance; NULL: none */
    const char *const *images;                       /* [n_images] files */
    size_t n_images;
    size_t answers; /* with the seeds seed, seed + 1, ... */
    size_t threads;
    enum vlm_weights weights;
    struct vlm_generate_options options;
    bool json, quiet;
    bool stream; /* text as it comes; one answer, not JSON */
};

/* Answers on standard output, pictures into the folder. */
VLM_MUST_CHECK int vlm_generate_run(const struct vlm_generate_request *request,
                                    struct vlm_err *err);

/* Files as squares, the squares as codes: codes [n][256]. One sentence names the file that cannot be used. */
VLM_MUST_CHECK int vlm_generate_encode(uint16_t *codes, const char *const *files, size_t n,
                                       struct vlm_coder *coder, struct vlm_err *err);

/* Where answers go. */
struct vlm_answer_printer {
    const struct vlm_generate_request *request;
    const struct vlm_vocabulary *vocabulary;
    const struct vlm_sequence *prompt;
    struct vlm_coder *coder; /* NULL: pictures stay codes */
    size_t pictures;         /* of answers before */
    size_t shown, written;   /* bytes and pictures of this one that are out already */
};

/* Of an answer in the making: what of its text has become certain since the last call, flushed, and each picture that
 * is whole. vlm_answer_print() gives the rest. */
VLM_MUST_CHECK int vlm_answer_print_part(struct vlm_answer_printer *printer,
                                         const struct vlm_stream *stream, struct vlm_err *err);

/* One answer: its text, or one JSON object; its pictures, those of the prompt included, as image-N.png. */
VLM_MUST_CHECK int vlm_answer_print(struct vlm_answer_printer *printer,
                                    const struct vlm_answer *answer, uint64_t seed,
                                    struct vlm_err *err);

#endif
