/* vlm_tokenize_main.c - vlm-tokenize: text and pages as ids. */
#include "base/vlm.h"

#include "base/verb.h"
#include "nn/engine.h"
#include "tools/tokenize/tokenize.h"

static const struct vlm_verb verbs[] = {
    { "train", vlm_tokenize_train, "a tokenizer from shard sets and texts" },
    { "encode", vlm_tokenize_encode, "lines of text into lines of ids" },
    { "decode", vlm_tokenize_decode, "lines of ids into lines of text" },
    { "count", vlm_tokenize_count, "tokens of files and shard sets, by kind" },
    { "render", vlm_tokenize_render, "what a trainer sees of a shard set" },
    { "info", vlm_tokenize_info, "what a tokenizer is" },
};

static const struct vlm_verbs program = {
    .name = "vlm-tokenize",
    .synopsis = "VERB [options] ...",
    .summary = "Text and pages as ids: what a model reads, and back.",
    .closing = "vlm-tokenize VERB --help tells more, for instance:\n"
               "  echo 'a photo of a bridge' | vlm-tokenize encode | vlm-tokenize decode\n"
               "  vlm-tokenize count out\n"
               "  vlm-tokenize render out --show --limit 2\n",
    .list = verbs,
    .n = VLM_COUNTOF(verbs),
};

int main(int argc, char **argv)
{
    vlm_engine_without_blas_threads(argv);
    return vlm_verbs_main(&program, argc, argv);
}
