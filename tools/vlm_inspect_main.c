/* vlm_inspect_main.c - vlm-inspect: looking inside crawls, pages, images, shard sets and training runs. */
#include "base/vlm.h"

#include "base/verb.h"
#include "tools/inspect/inspect.h"

static const struct vlm_verb verbs[] = {
    { "records", vlm_inspect_records, "the records of crawl dumps, a JSON line each" },
    { "page", vlm_inspect_page, "one HTML page through parser, passes and renderer" },
    { "image", vlm_inspect_image, "image files: format, size, status, hashes; squares as PNG" },
    { "summary", vlm_inspect_summary, "what a shard set holds, on one screen" },
    { "cat", vlm_inspect_cat, "the documents of a shard set, a JSON line each" },
    { "show", vlm_inspect_show, "one document with its pictures, and what their codes give back" },
    { "trace", vlm_inspect_trace,
      "from a byte of a rendering, or a token, to the page and its record" },
    { "batch", vlm_inspect_batch, "which documents were in a step of a training run" },
};

static const struct vlm_verbs program = {
    .name = "vlm-inspect",
    .synopsis = "VERB [options] ...",
    .summary = "Looks inside crawls, pages, images, shard sets and training runs.",
    .closing = "vlm-inspect VERB --help tells more, for instance:\n"
               "  vlm-inspect records crawl.warc.gz | jq -r .uri\n"
               "  vlm-inspect cat out --render m3w --limit 3\n"
               "  vlm-inspect show out 5f0c1a\n"
               "  vlm-inspect trace out 5f0c1a:4711 --crawl crawl\n",
    .list = verbs,
    .n = VLM_COUNTOF(verbs),
};

int main(int argc, char **argv)
{
    return vlm_verbs_main(&program, argc, argv);
}
