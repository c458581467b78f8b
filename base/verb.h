/* verb.h - a program of several verbs: finds the one that is asked for, or says which there are.
 *
 *   static const struct vlm_verb verbs[] = {
 *       { "cat", vlm_inspect_cat, "the documents of a shard set, a JSON line each" },
 *   };
 *   static const struct vlm_verbs program = { .name = "vlm-inspect", .summary = "Looks inside ...",
 *                                             .list = verbs, .n = VLM_COUNTOF(verbs) };
 *   int main(int argc, char **argv) { return vlm_verbs_main(&program, argc, argv); } */
#ifndef VLM_BASE_VERB_H
#define VLM_BASE_VERB_H

#include "base/vlm.h"

struct vlm_verb {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the verb; gives the exit status */
    const char *help;                  /* one line */
};

struct vlm_verbs {
    const char *name;     /* "vlm-inspect" */
    const char *synopsis; /* behind the name */
    const char *summary;  /* a paragraph */
    const char *closing;  /* of --help: examples; NULL: none */
    const struct vlm_verb *list;
    size_t n;
};

/* Runs argv[1], or prints --help or --version; the exit status. For mains only. */
int vlm_verbs_main(const struct vlm_verbs *program, int argc, char **argv);

#endif
