/* option_help.c - the text of --help, made from the table; defaults are the targets' values, so it
 * must be printed before anything was assigned. */
#include "base/vlm.h"
#include "base/option_internal.h"
#include "base/word_list.h"

enum { HELP_COLUMN = 32, LINE_WIDTH = 100 };

char *vlm_option_size_text(char out[32], uint64_t bytes)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {
        { "Ti", (uint64_t)1 << 40 }, { "T", 1000000000000 }, { "Gi", (uint64_t)1 << 30 },
        { "G", 1000000000 },         { "Mi", 1 << 20 },      { "M", 1000000 },
        { "Ki", 1 << 10 },           { "K", 1000 },
    };
    for (size_t i = 0; i < VLM_COUNTOF(units); i++) {
        if (bytes && bytes % units[i].bytes == 0) {
            snprintf(out, 32, "%" PRIu64 "%s", bytes / units[i].bytes, units[i].unit);
            return out;
        }
    }
    snprintf(out, 32, "%" PRIu64, bytes);
    return out;
}

static void choice_word(char *out, size_t size, const char *words, int index)
{
    size_t n;
    const char *word = vlm_word_list_at(words, (size_t)index, &n);
    snprintf(out, size, "%.*s", (int)n, word);
}

/* " (default: ...)", or nothing where there is none to tell. */
static void default_text(char *out, size_t size, const struct vlm_option *option)
{
    char value[256] = "";
    switch (option->type) {
    case VLM_TYPE_FLAG:
        if (*(const bool *)option->target)
            snprintf(value, sizeof(value), "on; --no-%s", option->name);
        break;
    case VLM_TYPE_NUMBER:
        snprintf(value, sizeof(value), "%" PRId64, *(const int64_t *)option->target);
        break;
    case VLM_TYPE_SIZE:
        vlm_option_size_text(value, *(const uint64_t *)option->target);
        break;
    case VLM_TYPE_STRING:
        if (*(const char *const *)option->target)
            snprintf(value, sizeof(value), "%s", *(const char *const *)option->target);
        break;
    case VLM_TYPE_CHOICE:
        choice_word(value, sizeof(value), option->value, *(const int *)option->target);
        break;
    }
    out[0] = 0;
    if (value[0])
        snprintf(out, size, " (default: %s)", value);
}

/* Prints words from column on, breaking lines between them; the cursor stands at column. An empty
 * line in the text begins a new paragraph. */
static void print_wrapped(FILE *out, const char *text, size_t column)
{
    size_t at = column;
    while (*text) {
        size_t n = strcspn(text, " \n"), gap = strspn(text + n, " \n");
        if (at > column && at + 1 + n > LINE_WIDTH) {
            fprintf(out, "\n%*s", (int)column, "");
            at = column;
        } else if (at > column) {
            fputc(' ', out);
            at++;
        }
        fprintf(out, "%.*s", (int)n, text);
        at += n;
        text += n;
        if (*text == '\n' && text[1] == '\n' && text[gap]) {
            fprintf(out, "\n\n%*s", (int)column, "");
            at = column;
        }
        text += gap;
    }
    fputc('\n', out);
}

static void print_option(FILE *out, const struct vlm_option *option)
{
    char left[256], value[300], text[1024];
    char letter[] = { '-', option->letter, ',', 0 };
    snprintf(left, sizeof(left), "  %3s --%s%s%s", option->letter ? letter : "", option->name,
             option->value ? " " : "", option->value ? option->value : "");
    default_text(value, sizeof(value), option);
    snprintf(text, sizeof(text), "%s%s", option->help, value);
    if (strlen(left) + 2 > HELP_COLUMN)
        fprintf(out, "%s\n%*s", left, HELP_COLUMN, "");
    else
        fprintf(out, "%-*s", HELP_COLUMN, left);
    print_wrapped(out, text, HELP_COLUMN);
}

void vlm_parser_print_help(const struct vlm_parser *parser, FILE *out)
{
    const struct vlm_tool *tool = parser->tool;
    fprintf(out, "Usage: %s %s\n", tool->name, tool->synopsis ? tool->synopsis : "[options]");
    if (tool->summary) {
        fputc('\n', out);
        print_wrapped(out, tool->summary, 0);
    }
    fprintf(out, "\nOptions:\n");
    const struct vlm_option *option;
    for (size_t i = 0; (option = vlm_parser_option(parser, i)); i++)
        if (!vlm_option_is_silent(option))
            print_option(out, option);
    if (tool->examples) {
        size_t n = strlen(tool->examples);
        fprintf(out, "\nExamples:\n%s%s", tool->examples,
                n && tool->examples[n - 1] == '\n' ? "" : "\n");
    }
}
