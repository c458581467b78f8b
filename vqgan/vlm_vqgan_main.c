/* vlm_vqgan_main.c - vlm-vqgan: images as codes. */
#include "base/vlm.h"

#include "tools/vqgan/vqgan.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} verbs[] = {
    { "train", vlm_vqgan_train, "a tokenizer from pictures" },
    { "encode", vlm_vqgan_encode, "pictures into codes, a JSON line each" },
    { "decode", vlm_vqgan_decode, "lines of codes into PNG files" },
    { "eval", vlm_vqgan_eval, "how near pictures come back, and how fast" },
    { "import", vlm_vqgan_import, "weights that others have trained into a tokenizer" },
    { "info", vlm_vqgan_info, "what a tokenizer is" },
};

static void print_help(FILE *out)
{
    fprintf(out,
            "usage: vlm-vqgan VERB [options] ...\n\n"
            "Images as codes: a picture of 256x256 pixels becomes 16x16 numbers, and back.\n\n");
    for (size_t i = 0; i < VLM_COUNTOF(verbs); i++)
        fprintf(out, "  %-8s  %s\n", verbs[i].name, verbs[i].help);
    fprintf(out, "\nvlm-vqgan VERB --help tells more, for instance:\n"
                 "  vlm-vqgan encode photo.jpg | vlm-vqgan decode -o back\n"
                 "  vlm-vqgan train photos/ -o model\n"
                 "  vlm-vqgan eval -m model photos/\n");
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
        printf("vlm-vqgan %s\n", VLM_VERSION);
        return VLM_EXIT_DONE;
    }
    if (*verb)
        fprintf(stderr, "vlm-vqgan: unknown verb '%s'\nTry 'vlm-vqgan --help'.\n", verb);
    else
        print_help(stderr);
    return VLM_EXIT_USAGE;
}
