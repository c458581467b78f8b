/* vqgan.h - the verbs of vlm-vqgan, and what they share. A verb parses its own options (argv[0] is
 * "vlm-vqgan VERB"), writes its data to stdout and returns the exit status. */
#ifndef VLM_TOOLS_VQGAN_H
#define VLM_TOOLS_VQGAN_H

#include "base/option.h"
#include "base/progress.h"
#include "tools/common/duration.h"
#include "vqgan/tokenizer/tokenizer.h"

int vlm_vqgan_train(int argc, char **argv);
int vlm_vqgan_encode(int argc, char **argv);
int vlm_vqgan_decode(int argc, char **argv);
int vlm_vqgan_eval(int argc, char **argv);
int vlm_vqgan_import(int argc, char **argv);
int vlm_vqgan_info(int argc, char **argv);

/* A tokenizer and a coder of one thread for each worker. */
struct vlm_coders {
    struct vlm_tokenizer *tokenizer;
    struct vlm_coder **coder;
    size_t count;
};

/* model NULL: the shipped one; threads 0: all cores. On failure nothing is left open. */
VLM_MUST_CHECK int vlm_coders_open(struct vlm_coders *coders, const char *model,
                                   enum vlm_precision precision, size_t threads,
                                   struct vlm_err *err);
void vlm_coders_close(struct vlm_coders *coders); /* safe on a zeroed struct */

#endif
