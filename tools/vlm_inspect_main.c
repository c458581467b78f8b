/* vlm_inspect_main.c - vlm-inspect: looking inside crawls, pages, images and shard sets. */
#include "base/vlm.h"

#include "tools/inspect/inspect.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} verbs[] = {
    { "records", vlm_inspect_records, "the records of crawl dumps, a JSON line each" },
    { "page", vlm_inspect_page, "one HTML page through parser, passes and renderer" },
    { "image", vlm_inspect_image, "image files: format, size, status, hashes; squares as PNG" },
    { "summary", vlm_inspect_summary, "what a shard set holds, on one screen" },
    { "cat", vlm_inspect_cat, "the documents of a shard set, a JSON line each" },
    { "show", vlm_inspect_show, "one document with its pictures, and what their codes give back" },
};

static void print_help(FILE *out)
{
    fprintf(out, "usage: vlm-inspect VERB [options] ...\n\n"
                 "Looks inside crawls, pages, images and shard sets.\n\n");
    for (size_t i = 0; i < VLM_COUNTOF(verbs); i++)
        fprintf(out, "  %-8s  %s\n", verbs[i].name, verbs[i].help);
    fprintf(out, "\nvlm-inspect VERB --help tells more, for instance:\n"
                 "  vlm-inspect records crawl.warc.gz | jq -r .uri\n"
                 "  vlm-inspect cat out --render m3w --limit 3\n"
                 "  vlm-inspect show out 5f0c1a\n");
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < VLM_COUNTOF(verbs); i++)
        if (!strcmp(verb, verbs[i].name))
            return verbs[i].run(argc - 1, argv + 1);
    if (!strcmp(verb, "--help") || !strcmp(verb, "-h")) {
        print_help(stdout);
        return VLM_EXIT_DONE;
    }
    if (!strcmp(verb, "--version")) {
        printf("vlm-inspect %s\n", VLM_VERSION);
        return VLM_EXIT_DONE;
    }
    if (*verb)
        fprintf(stderr, "vlm-inspect: unknown verb '%s'\nTry 'vlm-inspect --help'.\n", verb);
    else
        print_help(stderr);
    return VLM_EXIT_USAGE;
}
