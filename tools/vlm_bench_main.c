/* vlm_bench_main.c - vlm-bench: the loops that `make bench` times beside those of others. */
#include "base/vlm.h"

#include "base/verb.h"
#include "tools/bench/bench_gemm.h"
#include "tools/bench/bench_generate.h"
#include "tools/bench/bench_html.h"
#include "tools/bench/bench_image.h"
#include "tools/bench/bench_ops.h"
#include "tools/bench/bench_pages.h"
#include "tools/bench/bench_sequence.h"
#include "tools/bench/bench_step.h"
#include "tools/bench/bench_tokenize.h"
#include "tools/bench/bench_vq_train.h"
#include "tools/bench/bench_vqgan.h"
#include "tools/bench/bench_warc.h"

static const struct vlm_verb verbs[] = {
    { "warc", vlm_bench_warc, "[-n N] FILE...     read every record, bodies included" },
    { "pages", vlm_bench_pages,
      "FILE...            decoded pages of crawls and HTML files, for html" },
    { "html", vlm_bench_html,
      "PAGES [PASSES]     pages to documents, beside a bare libxml2 SAX parse" },
    { "image", vlm_bench_image, "FILE...            image files to squares" },
    { "gemm", vlm_bench_gemm,
      "[--shape MxNxK]... products beside the machine's peak and OpenBLAS" },
    { "ops", vlm_bench_ops, "[NAME...]          every op beside the machine's peak or bandwidth" },
    { "step", vlm_bench_step, "[--shape LxW]      training step of a decoder" },
    { "generate", vlm_bench_generate, "[--shape LxW]      prompts and decoding of a decoder" },
    { "vq-train", vlm_bench_vq_train, "[--kind vq-s|vq-xs] training step of an image tokenizer" },
    { "sequence", vlm_bench_sequence, "OUT                documents of a shard set to ids" },
    { "tokenize", vlm_bench_tokenize, "[-t TOKENIZER] FILE... text to tokens, one thread" },
    { "vqgan", vlm_bench_vqgan, "[-m MODEL]         images through a tokenizer" },
};

static const struct vlm_verbs program = {
    .name = "vlm-bench",
    .synopsis = "VERB ...",
    .summary = "Times one stage and prints a JSON line.",
    .closing = "`make bench` runs them all beside their peers.\n",
    .list = verbs,
    .n = VLM_COUNTOF(verbs),
};

int main(int argc, char **argv)
{
    return vlm_verbs_main(&program, argc, argv);
}
