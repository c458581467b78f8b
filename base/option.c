/* option.c - the command line and the environment, read by the table of a tool.
 *
 * The command line is walked three times: for --help, --version and --config, then for --set, then
 * for everything else, so that what is stronger is assigned later. Configuration files are in
 * option_config.c, the text of --help in option_help.c. Names are never abbreviated. */
#include "base/vlm.h"
#include "base/near.h"
#include "base/option_internal.h"
#include "base/word_list.h"

#include <ctype.h>

enum { NAME_MAX_BYTES = 48 };

/* One option as it stands on the command line. */
struct given {
    const struct vlm_option *option;
    const char *value; /* NULL for a flag */
    bool negated;
    char from[NAME_MAX_BYTES + 16]; /* "option '--threads'" */
};

enum stage { STAGE_LOOK, STAGE_SET, STAGE_ASSIGN };

/* --- the table --- */

const struct vlm_option *vlm_parser_option(const struct vlm_parser *parser, size_t i)
{
    if (i < parser->tool->n_options)
        return &parser->tool->options[i];
    i -= parser->tool->n_options;
    return i < parser->n_common ? &parser->common[i] : NULL;
}

static bool same_name(const char *name, const char *text, size_t n)
{
    if (strlen(name) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (name[i] != (text[i] == '_' ? '-' : text[i]))
            return false;
    return true;
}

const struct vlm_option *vlm_parser_find(const struct vlm_parser *parser, const char *name,
                                         size_t n)
{
    const struct vlm_option *option;
    for (size_t i = 0; (option = vlm_parser_option(parser, i)); i++)
        if (same_name(option->name, name, n))
            return option;
    return NULL;
}

static const struct vlm_option *find_letter(const struct vlm_parser *parser, char letter)
{
    const struct vlm_option *option;
    for (size_t i = 0; (option = vlm_parser_option(parser, i)); i++)
        if (option->letter && option->letter == letter)
            return option;
    return NULL;
}

const struct vlm_option *vlm_parser_near(const struct vlm_parser *parser, const char *name,
                                         size_t n)
{
    const struct vlm_option *option;
    struct vlm_near near = { .text = name, .n = n };
    for (size_t i = 0; (option = vlm_parser_option(parser, i)); i++)
        if (!vlm_option_is_silent(option))
            vlm_near_try(&near, option->name, strlen(option->name));
    return near.best ? vlm_parser_find(parser, near.best, near.best_n) : NULL;
}

/* --- values --- */

static bool is_word(const char *text, const char *words)
{
    size_t n = strlen(text);
    for (const char *at = words; *at;) {
        size_t length = strcspn(at, "|");
        if (length == n && !strncasecmp(at, text, n))
            return true;
        at += length + (at[length] == '|');
    }
    return false;
}

static int assign_flag(const struct vlm_option *option, const char *text, const char *from,
                       struct vlm_err *err)
{
    bool on = is_word(text, "1|true|on|yes|enabled");
    if (!on && !is_word(text, "0|false|off|no|disabled"))
        return vlm_fail(err, VLM_EUSAGE, "%s: '%s' is neither true nor false", from, text);
    *(bool *)option->target = on;
    return VLM_OK;
}

static int assign_number(const struct vlm_option *option, const char *text, const char *from,
                         struct vlm_err *err)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || isspace((unsigned char)text[0]) || value < option->low ||
        value > option->high)
        return vlm_fail(err, VLM_EUSAGE,
                        "%s: '%s' is not a number between %" PRId64 " and %" PRId64, from, text,
                        option->low, option->high);
    *(int64_t *)option->target = value;
    return VLM_OK;
}

/* Digits and a unit: K M G T are powers of 1000, Ki Mi Gi Ti of 1024; a B may follow. */
static bool read_size(uint64_t *bytes, const char *text)
{
    static const char prefix[] = "KMGT";
    if (!isdigit((unsigned char)text[0]))
        return false;
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno)
        return false;
    const char *unit = *end ? strchr(prefix, toupper((unsigned char)*end)) : NULL;
    if (unit) {
        end++;
        uint64_t base = *end == 'i' ? 1024 : 1000;
        end += *end == 'i';
        for (const char *p = prefix; p <= unit; p++)
            if (__builtin_mul_overflow(value, base, &value))
                return false;
    }
    end += *end == 'B';
    *bytes = value;
    return !*end && value <= INT64_MAX;
}

static int assign_size(const struct vlm_option *option, const char *text, const char *from,
                       struct vlm_err *err)
{
    uint64_t value, low = (uint64_t)option->low;
    uint64_t high = option->high ? (uint64_t)option->high : INT64_MAX;
    if (!read_size(&value, text))
        return vlm_fail(err, VLM_EUSAGE, "%s: '%s' is not a size such as 1500, 64M or 2Gi", from,
                        text);
    if (value < low || value > high) {
        char a[32], b[32];
        return vlm_fail(err, VLM_EUSAGE, "%s: '%s' is not a size between %s and %s", from, text,
                        vlm_option_size_text(a, low), vlm_option_size_text(b, high));
    }
    *(uint64_t *)option->target = value;
    return VLM_OK;
}

static int assign_choice(const struct vlm_option *option, const char *text, const char *from,
                         struct vlm_err *err)
{
    const int index = vlm_word_list_find(option->value, text, strlen(text));
    if (index < 0)
        return vlm_fail(err, VLM_EUSAGE, "%s: '%s' is not one of %s", from, text, option->value);
    *(int *)option->target = index;
    return VLM_OK;
}

int vlm_option_assign(const struct vlm_option *option, const char *text, const char *from,
                      struct vlm_err *err)
{
    switch (option->type) {
    case VLM_TYPE_FLAG:
        return assign_flag(option, text, from, err);
    case VLM_TYPE_NUMBER:
        return assign_number(option, text, from, err);
    case VLM_TYPE_SIZE:
        return assign_size(option, text, from, err);
    case VLM_TYPE_CHOICE:
        return assign_choice(option, text, from, err);
    case VLM_TYPE_STRING:
        *(const char **)option->target = text;
        return VLM_OK;
    }
    VLM_BUG_IF(option->type > VLM_TYPE_CHOICE);
    return VLM_EUSAGE;
}

/* --- the environment --- */

/* VLM_THREADS, or with the tool's first word VLM_SHARD_THREADS; NULL when unset or empty. */
static const char *environment_value(const struct vlm_parser *parser, const char *name,
                                     bool with_tool, char variable[2 * NAME_MAX_BYTES])
{
    size_t word = strcspn(parser->section, ".");
    int n = snprintf(variable, 2 * NAME_MAX_BYTES, "VLM_%.*s%s%s", with_tool ? (int)word : 0,
                     parser->section, with_tool ? "_" : "", name);
    if (n >= 2 * NAME_MAX_BYTES)
        return NULL;
    for (char *p = variable; *p; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

static int assign_environment(struct vlm_parser *parser, const struct vlm_option *option)
{
    char variable[2 * NAME_MAX_BYTES];
    const char *value = environment_value(parser, option->name, true, variable);
    if (!value)
        value = environment_value(parser, option->name, false, variable);
    return value ? vlm_option_assign(option, value, variable, parser->err) : VLM_OK;
}

static bool is_target(const struct vlm_option *option, const void *target)
{
    return option->target == target;
}

/* --help, --version and --set make no sense as variables, and --config was read before. */
static bool is_ours(const struct vlm_parser *parser, const struct vlm_option *option)
{
    return is_target(option, &parser->help) || is_target(option, &parser->version) ||
           is_target(option, &parser->set) || is_target(option, &parser->config);
}

static int read_environment(struct vlm_parser *parser)
{
    const struct vlm_option *option;
    for (size_t i = 0; (option = vlm_parser_option(parser, i)); i++) {
        bool skip = is_ours(parser, option) || vlm_option_is_silent(option);
        int rc = skip ? VLM_OK : assign_environment(parser, option);
        if (rc < 0)
            return rc;
    }
    return VLM_OK;
}

/* --- the command line --- */

static int unknown_option(struct vlm_parser *parser, const char *argument, size_t n)
{
    const struct vlm_option *near = vlm_parser_near(parser, argument + 2, n - 2);
    if (near)
        return vlm_fail(parser->err, VLM_EUSAGE, "unknown option '%.*s'; did you mean '--%s'?",
                        (int)VLM_MIN(n, 200), argument, near->name);
    return vlm_fail(parser->err, VLM_EUSAGE, "unknown option '%.*s'", (int)VLM_MIN(n, 200),
                    argument);
}

/* argv[i] is "--name", "--name=value" or "--no-name". Returns the arguments used up, or an error.
 */
static int read_long(struct vlm_parser *parser, struct given *given, int argc, char **argv, int i)
{
    const char *argument = argv[i], *equals = strchr(argument, '=');
    size_t n = equals ? (size_t)(equals - argument) : strlen(argument);
    given->option = vlm_parser_find(parser, argument + 2, n - 2);
    if (!given->option && n > 5 && !strncmp(argument, "--no", 4) &&
        (argument[4] == '-' || argument[4] == '_')) {
        given->option = vlm_parser_find(parser, argument + 5, n - 5);
        given->negated = true;
        if (given->option && given->option->type != VLM_TYPE_FLAG)
            given->option = NULL;
    }
    if (!given->option)
        return unknown_option(parser, argument, n);
    snprintf(given->from, sizeof(given->from), "option '--%s'", given->option->name);
    if (given->option->type == VLM_TYPE_FLAG) {
        if (equals)
            return vlm_fail(parser->err, VLM_EUSAGE, "%s takes no value", given->from);
        return 1;
    }
    given->value = equals ? equals + 1 : i + 1 < argc ? argv[i + 1] : NULL;
    if (!given->value)
        return vlm_fail(parser->err, VLM_EUSAGE, "%s needs a value: %s", given->from,
                        given->option->value);
    return equals ? 1 : 2;
}

/* One letter of a bundle: *at points to it, and behind it when done. A value is the rest of the
 * argument or the next one. Returns the arguments used up so far (0 while letters are left). */
static int read_short(struct vlm_parser *parser, struct given *given, const char **at,
                      const char *next)
{
    char letter = *(*at)++;
    given->option = find_letter(parser, letter);
    if (!given->option)
        return vlm_fail(parser->err, VLM_EUSAGE, "unknown option '-%c'", letter);
    snprintf(given->from, sizeof(given->from), "option '-%c'", letter);
    if (given->option->type == VLM_TYPE_FLAG)
        return **at ? 0 : 1;
    if (**at) {
        given->value = *at;
        *at += strlen(*at);
        return 1;
    }
    given->value = next;
    if (!next)
        return vlm_fail(parser->err, VLM_EUSAGE, "%s needs a value: %s", given->from,
                        given->option->value);
    return 2;
}

/* What a stage does with an option. VLM_EOF: the program is to end. */
static int act(struct vlm_parser *parser, const struct given *given, enum stage stage)
{
    const struct vlm_option *option = given->option;
    enum stage wanted = STAGE_ASSIGN;
    if (is_target(option, &parser->set))
        wanted = STAGE_SET;
    else if (is_ours(parser, option))
        wanted = STAGE_LOOK;
    if (stage != wanted)
        return VLM_OK;
    if (stage == STAGE_SET)
        return vlm_parser_set(parser, given->value);
    if (option->type != VLM_TYPE_FLAG)
        return vlm_option_assign(option, given->value, given->from, parser->err);
    *(bool *)option->target = !given->negated;
    return VLM_OK;
}

/* Walks the arguments; operands[] collects what is no option (it may be argv itself). */
static int walk(struct vlm_parser *parser, int argc, char **argv, enum stage stage, char **operands,
                int *n_operands)
{
    int n = 1;
    for (int i = 1; i < argc;) {
        const char *argument = argv[i];
        int used = 0;
        if (!strcmp(argument, "--")) {
            for (i++; i < argc; i++)
                operands[n++] = argv[i];
            break;
        }
        if (argument[0] != '-' || !argument[1]) {
            operands[n++] = argv[i++];
            continue;
        }
        bool is_long = argument[1] == '-';
        for (const char *at = argument + 1; used == 0;) {
            struct given given = { 0 };
            used = is_long ? read_long(parser, &given, argc, argv, i)
                           : read_short(parser, &given, &at, i + 1 < argc ? argv[i + 1] : NULL);
            int rc = used < 0 ? used : act(parser, &given, stage);
            if (rc < 0)
                return rc;
        }
        i += used;
    }
    *n_operands = n;
    return VLM_OK;
}

static void add_common(struct vlm_parser *parser, struct vlm_option option)
{
    /* A letter or a name that the tool gives another meaning stays with the tool. */
    if (vlm_parser_find(parser, option.name, strlen(option.name)))
        return;
    if (find_letter(parser, option.letter))
        option.letter = 0;
    parser->common[parser->n_common++] = option;
}

static void init_parser(struct vlm_parser *parser, const struct vlm_tool *tool, struct vlm_err *err)
{
    bool *unused = &parser->unused.flag;
    const struct vlm_option common[] = {
        VLM_OPTION_FLAG(0, "json", tool->json ? tool->json : unused,
                        tool->json ? "print the result as one JSON object" : NULL),
        VLM_OPTION_FLAG('q', "quiet", tool->quiet ? tool->quiet : unused,
                        tool->quiet ? "only errors" : NULL),
        VLM_OPTION_STRING('c', "config", &parser->config, "FILE", "read options from an INI file"),
        VLM_OPTION_STRING(0, "set", &parser->set, "SECTION.KEY=VALUE", "one line of such a file"),
        VLM_OPTION_FLAG('h', "help", &parser->help, "print this text"),
        VLM_OPTION_FLAG(0, "version", &parser->version, "print the version"),
        VLM_OPTION_FLAG('v', "verbose", unused, NULL),
        VLM_OPTION_NUMBER('j', "threads", &parser->unused.number, "N", NULL, 0, 1024),
        VLM_OPTION_NUMBER(0, "seed", &parser->unused.number, "N", NULL, 0, INT64_MAX),
        VLM_OPTION_SIZE(0, "memory", &parser->unused.size, "SIZE", NULL, 0, 0),
        VLM_OPTION_CHOICE(0, "progress", &parser->unused.progress, "auto|bar|plain|none", NULL),
    };
    *parser = (struct vlm_parser){ .tool = tool, .err = err };
    const char *name = !strncmp(tool->name, "vlm-", 4) ? tool->name + 4 : tool->name;
    snprintf(parser->section, sizeof(parser->section), "%s", name);
    for (char *p = parser->section; *p; p++)
        *p = *p == ' ' ? '.' : *p;
    for (size_t i = 0; i < VLM_COUNTOF(common); i++)
        add_common(parser, common[i]);
}

/* From the weakest source to the strongest; the command line itself comes last. */
static int read_sources(struct vlm_parser *parser)
{
    int rc = vlm_parser_config(parser, "vlm.ini", true);
    char variable[2 * NAME_MAX_BYTES];
    if (!parser->config)
        parser->config = environment_value(parser, "config", true, variable);
    if (!parser->config)
        parser->config = environment_value(parser, "config", false, variable);
    if (rc == VLM_OK && parser->config)
        rc = vlm_parser_config(parser, parser->config, false);
    return rc == VLM_OK ? read_environment(parser) : rc;
}

int vlm_options_parse(const struct vlm_tool *tool, int *argc, char **argv, struct vlm_err *err)
{
    struct vlm_parser parser;
    struct vlm_err unread;
    init_parser(&parser, tool, err ? err : &unread);
    char **operands = calloc((size_t)*argc + 2, sizeof(*operands));
    if (!operands)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %d arguments", *argc);
    int n = 0;
    int rc = walk(&parser, *argc, argv, STAGE_LOOK, operands, &n);
    if (rc == VLM_OK && parser.help) {
        parser.help = false; /* the text shows defaults */
        vlm_parser_print_help(&parser, stdout);
        rc = VLM_EOF;
    } else if (rc == VLM_OK && parser.version) {
        printf("%s %s (compiler %s)\n", tool->name, VLM_VERSION, __VERSION__);
        rc = VLM_EOF;
    }
    if (rc == VLM_OK)
        rc = read_sources(&parser);
    if (rc == VLM_OK)
        rc = walk(&parser, *argc, argv, STAGE_SET, operands, &n);
    if (rc == VLM_OK)
        rc = walk(&parser, *argc, argv, STAGE_ASSIGN, operands, &n);
    if (rc == VLM_OK) {
        for (int i = 1; i < n; i++)
            argv[i] = operands[i];
        if (n < *argc)
            argv[n] = NULL;
        *argc = VLM_MIN(n, *argc);
    }
    free(operands);
    return rc;
}

int vlm_options_parse_alone(const struct vlm_tool *tool, int argc, char **argv, struct vlm_err *err)
{
    int rc = vlm_options_parse(tool, &argc, argv, err);
    if (rc == VLM_OK && argc > 1)
        return vlm_fail(err, VLM_EUSAGE, "'%s': no operand is expected", argv[1]);
    return rc;
}

void vlm_tool_tell(const char *name, const char *sentence)
{
    flockfile(stderr);
    fprintf(stderr, "%s: ", name);
    for (const unsigned char *at = (const unsigned char *)sentence; *at; at++)
        if (*at < 0x20 || *at == 0x7f)
            fprintf(stderr, "\\x%02x", *at);
        else
            fputc(*at, stderr);
    fputc('\n', stderr);
    funlockfile(stderr);
}

int vlm_tool_end(const struct vlm_tool *tool, int result, const struct vlm_err *err)
{
    errno = 0;
    bool lost = fflush(stdout) != 0 || ferror(stdout);
    int number = errno;
    if (result < 0 || result == VLM_SKIP)
        vlm_tool_tell(tool->name, err && err->msg[0] ? err->msg : "failed");
    if (result == VLM_EUSAGE)
        fprintf(stderr, "Try '%s --help'.\n", tool->name);
    if (!lost || result < 0) /* a failure has been told, it may be this one */
        return vlm_exit_status(result);
    fprintf(stderr, "%s: cannot write to standard output: %s\n", tool->name,
            strerror(number ? number : EIO));
    return number == ENOSPC || number == EDQUOT || number == EFBIG ? VLM_EXIT_LIMIT
                                                                   : VLM_EXIT_FAILED;
}
