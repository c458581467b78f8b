/* option_internal.h - what the three parts of option parsing share: option.c (command line,
 * environment), option_config.c (INI files, --set) and option_help.c (--help, --version). */
#ifndef VLM_BASE_OPTION_INTERNAL_H
#define VLM_BASE_OPTION_INTERNAL_H

#include "base/option.h"

enum { VLM_COMMON_OPTIONS_MAX = 11 };

struct vlm_parser {
    const struct vlm_tool *tool;
    char section[64];                                 /* "shard", "inspect.records" */
    struct vlm_option common[VLM_COMMON_OPTIONS_MAX]; /* the options that every tool has */
    size_t n_common;
    bool help, version;
    const char *config, *set;
    struct { /* common options that the tool has no use for: read, and left at that */
        bool flag;
        int64_t number;
        uint64_t size;
        int progress;
    } unused;
    struct vlm_err *err;
};

/* Options without help are accepted in silence: scripts give every tool the same ones. */
static inline bool vlm_option_is_silent(const struct vlm_option *option)
{
    return !option->help;
}

/* The table of the tool first, then the common options; NULL behind the last. */
const struct vlm_option *vlm_parser_option(const struct vlm_parser *parser, size_t i);

/* By long name of n bytes; '_' equals '-'. */
const struct vlm_option *vlm_parser_find(const struct vlm_parser *parser, const char *name,
                                         size_t n);

/* The option whose name is nearest to name, or NULL when none is near. */
const struct vlm_option *vlm_parser_near(const struct vlm_parser *parser, const char *name,
                                         size_t n);

/* Reads text into the option's target; `from` begins the sentence when that fails. */
VLM_MUST_CHECK int vlm_option_assign(const struct vlm_option *option, const char *text,
                                     const char *from, struct vlm_err *err);

/* An INI file; when it may be absent, a missing one is no failure. */
VLM_MUST_CHECK int vlm_parser_config(struct vlm_parser *parser, const char *path,
                                     bool may_be_absent);

/* "section.key=value" of --set. */
VLM_MUST_CHECK int vlm_parser_set(struct vlm_parser *parser, const char *assignment);

/* "64M", "8Ki", "1500": the shortest exact form. Returns out. */
char *vlm_option_size_text(char out[32], uint64_t bytes);

void vlm_parser_print_help(const struct vlm_parser *parser, FILE *out);

#endif
