/* option_config.c - options from INI files and from --set.
 *
 * Section [*] is for all programs and [shard] for vlm-shard; a program with verbs also has
 * [inspect.records]. In the section that is a program's very own, an unknown key is an error; keys
 * of wider sections may belong to somebody else. The last of equal keys wins. */
#include "base/vlm.h"
#include "base/file.h"
#include "base/ini.h"
#include "base/near.h"
#include "base/option_internal.h"
#include "base/word_list.h"

#include <sys/mman.h>

#define CONFIG_BYTES_MAX ((size_t)1 << 20)
/* What a setting has besides its line: "section." and the '=', and a NUL. */
enum { NAMES_BYTES = VLM_INI_NAME_MAX + 3 };

struct reading {
    struct vlm_parser *parser;
    char *room; /* for the values of string options */
    size_t left;
};

enum section { SECTION_OTHER, SECTION_WIDE, SECTION_OWN };

/* Whether the first word of a section's name is among those of the settings. */
static bool is_settings(const struct vlm_settings *settings, const char *section, size_t n)
{
    const char *dot = memchr(section, '.', n);
    const size_t word = dot ? (size_t)(dot - section) : n;
    return settings && vlm_word_list_find(settings->sections, section, word) >= 0;
}

static int add_setting(struct vlm_parser *parser, const char *line)
{
    struct vlm_settings *settings = parser->tool->settings;
    if (settings->n == VLM_SETTINGS_MAX)
        return vlm_fail(parser->err, VLM_EUSAGE, "more than %d settings like '%s'",
                        VLM_SETTINGS_MAX, line);
    settings->line[settings->n++] = line;
    return VLM_OK;
}

/* A section that has options may hold settings too. */
static enum section section_of(const struct vlm_parser *parser, const char *section, size_t n)
{
    const char *own = parser->section;
    if (n == strlen(own) && !memcmp(section, own, n))
        return SECTION_OWN;
    if ((n == 1 && section[0] == '*') || (n == strcspn(own, ".") && !memcmp(section, own, n)))
        return SECTION_WIDE;
    return SECTION_OTHER;
}

/* The options that name files of options, or end the program, are not keys. */
static const struct vlm_option *find_key(const struct vlm_parser *parser, const char *key, size_t n)
{
    const struct vlm_option *option = vlm_parser_find(parser, key, n);
    if (option && (option->target == &parser->help || option->target == &parser->version ||
                   option->target == &parser->config || option->target == &parser->set))
        return NULL;
    return option;
}

static int unknown_key(struct vlm_parser *parser, const char *key, size_t n)
{
    const struct vlm_option *near = vlm_parser_near(parser, key, n);
    if (near && find_key(parser, near->name, strlen(near->name)))
        return vlm_fail(parser->err, VLM_EUSAGE, "unknown key '%.*s'; did you mean '%s'?", (int)n,
                        key, near->name);
    return vlm_fail(parser->err, VLM_EUSAGE, "unknown key '%.*s'", (int)n, key);
}

/* Takes n bytes of the room, which was made large enough. */
static char *take_room(struct reading *reading, size_t n)
{
    VLM_BUG_IF(n > reading->left);
    char *bytes = reading->room;
    reading->room += n;
    reading->left -= n;
    return bytes;
}

static int take_setting(struct reading *reading, const struct vlm_ini_entry *entry)
{
    const size_t n = strlen(entry->section) + 1 + strlen(entry->key) + 1 + strlen(entry->value) + 1;
    char *line = take_room(reading, n);
    snprintf(line, n, "%s.%s=%s", entry->section, entry->key, entry->value);
    return add_setting(reading->parser, line);
}

static int take_pair(void *context, const struct vlm_ini_entry *entry, struct vlm_err *err)
{
    struct reading *reading = context;
    struct vlm_parser *parser = reading->parser;
    const size_t n = strlen(entry->section);
    if (!n)
        return vlm_fail(err, VLM_EUSAGE, "key '%s' stands before any [section]", entry->key);
    if (!entry->key)
        return VLM_OK;
    const enum section kind = section_of(parser, entry->section, n);
    const struct vlm_option *option =
        kind == SECTION_OTHER ? NULL : find_key(parser, entry->key, strlen(entry->key));
    if (!option && is_settings(parser->tool->settings, entry->section, n))
        return take_setting(reading, entry);
    if (!option)
        return kind == SECTION_OWN ? unknown_key(parser, entry->key, strlen(entry->key)) : VLM_OK;
    const size_t size = strlen(entry->value) + 1;
    char from[64], *value = take_room(reading, size);
    memcpy(value, entry->value, size);
    snprintf(from, sizeof(from), "key '%s'", option->name);
    return vlm_option_assign(option, value, from, err);
}

/* Values must live as long as the process, like those of argv: their pages are never unmapped. A value
 * with its NUL takes no more room than the line it stands in; a setting has its names besides. */
static int parse_text(struct vlm_parser *parser, const char *path, const char *text, size_t n)
{
    struct reading reading = { .parser = parser, .left = n + 1 };
    for (size_t i = 0; parser->tool->settings && i < n; i++)
        reading.left += text[i] == '\n' || i + 1 == n ? NAMES_BYTES : 0;
    reading.room =
        mmap(NULL, reading.left, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (reading.room == MAP_FAILED)
        return vlm_fail(parser->err, VLM_ENOMEM, "no memory for the options of '%s'", path);
    return vlm_ini_read(path, text, n, take_pair, &reading, parser->err);
}

int vlm_parser_config(struct vlm_parser *parser, const char *path, bool may_be_absent)
{
    if (may_be_absent) {
        FILE *there = fopen(path, "re");
        if (!there)
            return VLM_OK;
        fclose(there);
    }
    struct vlm_buffer text = { 0 };
    int rc = vlm_file_read(&text, path, CONFIG_BYTES_MAX, parser->err);
    if (rc == VLM_OK)
        rc = parse_text(parser, path, (const char *)text.data, text.size);
    else
        rc = vlm_recode(parser->err, VLM_EUSAGE); /* the user named it */
    vlm_buffer_release(&text);
    return rc;
}

static int unknown_section(struct vlm_parser *parser, const char *section, size_t n)
{
    const struct vlm_settings *settings = parser->tool->settings;
    struct vlm_near near = { .text = section, .n = n };
    if (!settings)
        return vlm_fail(parser->err, VLM_EUSAGE,
                        "option '--set': section '%.*s' is not '%s' or '*'", (int)n, section,
                        parser->section);
    vlm_near_try(&near, parser->section, strlen(parser->section));
    vlm_near_try_list(&near, settings->sections);
    vlm_fail(parser->err, VLM_EUSAGE, "option '--set': section '%.*s' is none of %s|%s|*", (int)n,
             section, parser->section, settings->sections);
    if (near.best) {
        char advice[64];
        snprintf(advice, sizeof(advice), "; did you mean '%.*s'?", (int)near.best_n, near.best);
        vlm_append(parser->err, advice);
    }
    return VLM_EUSAGE;
}

int vlm_parser_set(struct vlm_parser *parser, const char *assignment)
{
    const char *equals = strchr(assignment, '='), *dot = NULL;
    for (const char *p = assignment; equals && p < equals; p++)
        dot = *p == '.' ? p : dot;
    if (!dot)
        return vlm_fail(parser->err, VLM_EUSAGE, "option '--set': '%s' is not SECTION.KEY=VALUE",
                        assignment);
    size_t section = (size_t)(dot - assignment), key = (size_t)(equals - dot - 1);
    const struct vlm_settings *settings = parser->tool->settings;
    const enum section kind = section_of(parser, assignment, section);
    const struct vlm_option *option = kind == SECTION_OTHER ? NULL : find_key(parser, dot + 1, key);
    if (option)
        return vlm_option_assign(option, equals + 1, "option '--set'", parser->err);
    if (is_settings(settings, assignment, section))
        return add_setting(parser, assignment);
    if (kind == SECTION_OTHER)
        return unknown_section(parser, assignment, section);
    unknown_key(parser, dot + 1, key);
    return vlm_wrap(parser->err, "option '--set'");
}
