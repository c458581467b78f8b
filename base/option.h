/* option.h - one table per tool: parsing, ranges, defaults, --help, environment, INI keys.
 *
 *   struct config config = { .threads = 0 };
 *   const struct vlm_option options[] = {
 *       VLM_OPTION_STRING('o', "output", &config.output, "DIR", "shard set to write"),
 *       VLM_OPTION_NUMBER('j', "threads", &config.threads, "N", "0 = all cores", 0, 1024),
 *       VLM_OPTION_CHOICE(0, "profile", &config.profile, "m3w|obelics|none", "filters"),
 *       VLM_OPTION_FLAG('v', "verbose", &config.verbose, "say more"),
 *   };
 *   struct vlm_tool tool = { .name = "vlm-shard", .options = options, .n_options = ..., ... };
 *   rc = vlm_options_parse(&tool, &argc, argv, &err);      // argv keeps the operands
 *
 * Every tool also has --config, --set, --help and --version, and --json and --quiet where the struct
 * names targets for them; an option of the table takes precedence over one of these. -j, --memory,
 * --seed, --json, -q, -v and --progress are accepted by every tool; where they mean nothing, they do
 * nothing and --help does not name them.
 *
 * What is stronger comes first: the command line, --set section.key=value, the environment
 * (VLM_SHARD_THREADS, then VLM_THREADS), --config FILE, ./vlm.ini, the value in the variable. INI
 * sections are [*], [shard] and, for a verb, [inspect.records]. A tool may take more sections as they
 * are: struct vlm_settings. */
#ifndef VLM_BASE_OPTION_H
#define VLM_BASE_OPTION_H

#include "base/vlm.h"

enum vlm_option_type {
    VLM_TYPE_FLAG,
    VLM_TYPE_NUMBER, /* int64_t in [low, high] */
    VLM_TYPE_SIZE,   /* uint64_t bytes: 64M, 2G, 1500, 8Ki */
    VLM_TYPE_STRING, /* const char *, borrowed from argv, the environment or the process */
    VLM_TYPE_CHOICE, /* int: index of the word in `value`, which lists them with | */
};

struct vlm_option {
    char letter; /* 0: none */
    const char *name;
    enum vlm_option_type type;
    void *target;
    const char *value; /* its name in --help, or the words of a choice */
    const char *help;
    int64_t low, high;
};

#define VLM_OPTION_FLAG(l, n, t, h)                                                                \
    {                                                                                              \
        l, n, VLM_TYPE_FLAG, (bool *){ t }, NULL, h, 0, 0                                          \
    }
#define VLM_OPTION_NUMBER(l, n, t, v, h, lo, hi)                                                   \
    {                                                                                              \
        l, n, VLM_TYPE_NUMBER, (int64_t *){ t }, v, h, lo, hi                                      \
    }
#define VLM_OPTION_SIZE(l, n, t, v, h, lo, hi)                                                     \
    {                                                                                              \
        l, n, VLM_TYPE_SIZE, (uint64_t *){ t }, v, h, lo, hi                                       \
    }
#define VLM_OPTION_STRING(l, n, t, v, h)                                                           \
    {                                                                                              \
        l, n, VLM_TYPE_STRING, (const char **){ t }, v, h, 0, 0                                    \
    }
#define VLM_OPTION_CHOICE(l, n, t, v, h)                                                           \
    {                                                                                              \
        l, n, VLM_TYPE_CHOICE, (int *){ t }, v, h, 0, 0                                            \
    }

/* Assignments to the keys of sections that hold no options, like [data] of a recipe: collected, not
 * understood. Of --set data.lambda=0 and of a file's "lambda = 0" below [data], "data.lambda=0". */
enum { VLM_SETTINGS_MAX = 256 };
struct vlm_settings {
    const char *sections; /* first words of their names: "data|cm3" */
    const char
        *line[VLM_SETTINGS_MAX]; /* from the weakest source to the strongest; as long as argv */
    size_t n;
};

struct vlm_tool {
    const char *name;     /* "vlm-shard" */
    const char *synopsis; /* "[build] INPUT... -o OUT [options]" */
    const char *summary;  /* one sentence or a short paragraph */
    const char *examples; /* lines, each indented by two spaces */
    const struct vlm_option *options;
    size_t n_options;
    bool *json, *quiet;
    struct vlm_settings *settings; /* NULL: no such sections */
};

/* Parses argv[1..] into the targets; afterwards argv[0..*argc) holds the program and the operands.
 * VLM_EOF when --help or --version was printed to stdout: end with status 0. VLM_EUSAGE with a
 * sentence otherwise, which names a near option when there is one. */
VLM_MUST_CHECK int vlm_options_parse(const struct vlm_tool *tool, int *argc, char **argv,
                                     struct vlm_err *err);

/* The same for a tool that takes no operands. */
VLM_MUST_CHECK int vlm_options_parse_alone(const struct vlm_tool *tool, int argc, char **argv,
                                           struct vlm_err *err);

/* A sentence on stderr, in one line: names and texts from files may have control characters, which are shown
 * as \x1b. */
void vlm_tool_tell(const char *name, const char *sentence);

/* Prints "NAME: sentence" for a failure (and "Try 'NAME --help'." for wrong usage) on stderr,
 * checks the last write to stdout, returns the exit status. For mains only. */
int vlm_tool_end(const struct vlm_tool *tool, int result, const struct vlm_err *err);

#endif
