/* tokenize.h - the verbs of vlm-tokenize, and what they share. A verb parses its own options (argv[0] is
 * "vlm-tokenize VERB"), writes its data to stdout and returns the exit status. */
#ifndef VLM_TOOLS_TOKENIZE_H
#define VLM_TOOLS_TOKENIZE_H

#include "base/option.h"
#include "nn/pool.h"
#include "tokenize/text/text_tokenizer.h"

int vlm_tokenize_train(int argc, char **argv);
int vlm_tokenize_encode(int argc, char **argv);
int vlm_tokenize_decode(int argc, char **argv);
int vlm_tokenize_count(int argc, char **argv);
int vlm_tokenize_render(int argc, char **argv);
int vlm_tokenize_info(int argc, char **argv);

/* A tokenizer, a pool, and for each of its threads an encoder with room for tokens. */
struct vlm_text_worker {
    struct vlm_text_encoder *encoder;
    struct vlm_tokens tokens;
};

struct vlm_text_workers {
    struct vlm_text_tokenizer *tokenizer;
    struct vlm_pool *pool;
    struct vlm_text_worker *list;
    size_t n;
};

/* path NULL: the shipped tokenizer; threads 0: all cores. Released by vlm_text_workers_close(), also
 * after a failure. */
VLM_MUST_CHECK int vlm_text_workers_open(struct vlm_text_workers *workers, const char *path,
                                         size_t threads, struct vlm_err *err);
void vlm_text_workers_close(struct vlm_text_workers *workers); /* safe on a zeroed struct */

/* The member "text" of a line of JSON, decoded where it stands. VLM_EFORMAT: there is none. */
VLM_MUST_CHECK int vlm_line_text(const char **text, size_t *size, char *line, size_t n,
                                 struct vlm_err *err);

#define VLM_TOKENIZER_HELP                                                                         \
    "tokenizer.json, a folder with one, vocab.json,merges.txt, vocab.txt or NAME.tiktoken; "       \
    "without, the one in the program"

#endif
