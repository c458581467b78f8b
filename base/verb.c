/* verb.c - the first word of a command line. */
#include "base/vlm.h"

#include "base/verb.h"

static void print_help(const struct vlm_verbs *program, FILE *out)
{
    fprintf(out, "usage: %s %s\n\n%s\n\n", program->name, program->synopsis, program->summary);
    for (size_t i = 0; i < program->n; i++)
        fprintf(out, "  %-8s  %s\n", program->list[i].name, program->list[i].help);
    fprintf(out, "%s%s", program->closing ? "\n" : "", program->closing ? program->closing : "");
}

int vlm_verbs_main(const struct vlm_verbs *program, int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < program->n; i++)
        if (!strcmp(verb, program->list[i].name))
            return program->list[i].run(argc - 1, argv + 1);
    if (!strcmp(verb, "--help") || !strcmp(verb, "-h")) {
        print_help(program, stdout);
        return VLM_EXIT_DONE;
    }
    if (!strcmp(verb, "--version")) {
        printf("%s %s\n", program->name, VLM_VERSION);
        return VLM_EXIT_DONE;
    }
    if (*verb)
        fprintf(stderr, "%s: unknown verb '%s'\nTry '%s --help'.\n", program->name, verb,
                program->name);
    else
        print_help(program, stderr);
    return VLM_EXIT_USAGE;
}
