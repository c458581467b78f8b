/* vlm_bench_main.c - vlm-bench: the loops that `make bench` times beside those of others. */
#include "base/vlm.h"

#include "tools/bench/bench_gemm.h"
#include "tools/bench/bench_html.h"
#include "tools/bench/bench_image.h"
#include "tools/bench/bench_ops.h"
#include "tools/bench/bench_pages.h"
#include "tools/bench/bench_step.h"
#include "tools/bench/bench_vq_train.h"
#include "tools/bench/bench_vqgan.h"
#include "tools/bench/bench_warc.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} verbs[] = {
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
    { "vq-train", vlm_bench_vq_train, "[--kind vq-s|vq-xs] training step of an image tokenizer" },
    { "vqgan", vlm_bench_vqgan, "[-m MODEL]         images through a tokenizer" },
};

static void print_help(FILE *out)
{
    fprintf(out, "usage: vlm-bench VERB ...\n\nTimes one stage and prints a JSON line.\n\n");
    for (size_t i = 0; i < VLM_COUNTOF(verbs); i++)
        fprintf(out, "  %-8s  %s\n", verbs[i].name, verbs[i].help);
    fprintf(out, "\n`make bench` runs them all beside their peers.\n");
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < VLM_COUNTOF(verbs); i++)
        if (!strcmp(verb, verbs[i].name))
            return verbs[i].run(argc - 1, argv + 1);
    if (!strcmp(verb, "--version")) {
        printf("vlm-bench %s\n", VLM_VERSION);
        return VLM_EXIT_DONE;
    }
    bool asked = !strcmp(verb, "--help") || !strcmp(verb, "-h");
    print_help(asked ? stdout : stderr);
    return asked ? VLM_EXIT_DONE : VLM_EXIT_USAGE;
}
