/* option_config.c - options from INI files and from --set.
 *
 * Section [*] is for all programs and [shard] for vlm-shard; a program with verbs also has
 * [inspect.records]. In the section that is a program's very own, an unknown key is an error; keys
 * of wider sections may belong to somebody else. The last of equal keys wins. */
#include "base/vlm.h"
#include "base/file.h"
#include "base/option_internal.h"

#include <ini.h>
#include <sys/mman.h>

#define CONFIG_BYTES_MAX ((size_t)1 << 20)
/* More than inih reads of the names of a section and of a key: a value that goes on in the next line
 * comes with both again. */
enum { NAMES_BYTES = 128 };

struct reading {
    struct vlm_parser *parser;
    char *room; /* for the values of string options */
    size_t left;
    bool failed;
};

enum section { SECTION_OTHER, SECTION_WIDE, SECTION_OWN, SECTION_SETTINGS };

/* Whether the first word of a section's name is among those of the settings. */
static bool is_settings(const struct vlm_settings *settings, const char *section, size_t n)
{
    const char *dot = memchr(section, '.', n);
    size_t word = dot ? (size_t)(dot - section) : n;
    for (const char *at = settings ? settings->sections : ""; *at;) {
        size_t length = strcspn(at, "|");
        if (length == word && !memcmp(at, section, word))
            return true;
        at += length + (at[length] == '|');
    }
    return false;
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

static enum section section_of(const struct vlm_parser *parser, const char *section, size_t n)
{
    const char *own = parser->section;
    if (n == strlen(own) && !memcmp(section, own, n))
        return SECTION_OWN;
    if ((n == 1 && section[0] == '*') || (n == strcspn(own, ".") && !memcmp(section, own, n)))
        return SECTION_WIDE;
    return is_settings(parser->tool->settings, section, n) ? SECTION_SETTINGS : SECTION_OTHER;
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

static int take_setting(struct reading *reading, const char *section, const char *key,
                        const char *value)
{
    int n = snprintf(reading->room, reading->left, "%s.%s=%s", section, key, value);
    if (n < 0 || (size_t)n >= reading->left)
        return 0;
    reading->failed = add_setting(reading->parser, reading->room) < 0;
    reading->room += n + 1;
    reading->left -= (size_t)n + 1;
    return !reading->failed;
}

/* inih calls this for every key; 0 makes it remember the line. */
static int take_pair(void *user, const char *section, const char *key, const char *value)
{
    struct reading *reading = user;
    struct vlm_parser *parser = reading->parser;
    enum section kind = section_of(parser, section, strlen(section));
    if (reading->failed)
        return 1;
    if (!*section) {
        vlm_fail(parser->err, VLM_EUSAGE, "key '%s' stands before any [section]", key);
        reading->failed = true;
        return 0;
    }
    if (kind == SECTION_OTHER)
        return 1;
    if (kind == SECTION_SETTINGS)
        return take_setting(reading, section, key, value);
    const struct vlm_option *option = find_key(parser, key, strlen(key));
    if (!option && kind == SECTION_WIDE)
        return 1;
    int rc;
    if (!option) {
        rc = unknown_key(parser, key, strlen(key));
    } else {
        size_t n = strlen(value) + 1;
        if (n > reading->left)
            return 0;
        memcpy(reading->room, value, n);
        char from[64];
        snprintf(from, sizeof(from), "key '%s'", option->name);
        rc = vlm_option_assign(option, reading->room, from, parser->err);
        reading->room += n;
        reading->left -= n;
    }
    reading->failed = rc < 0;
    return rc >= 0;
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
    int line = ini_parse_string(text, take_pair, &reading);
    if (line < 0)
        return vlm_fail(parser->err, VLM_ENOMEM, "no memory for the options of '%s'", path);
    if (reading.failed)
        return vlm_wrap(parser->err, "%s, line %d", path, line);
    if (line > 0)
        return vlm_fail(parser->err, VLM_EUSAGE,
                        "%s, line %d is neither [section] nor key = value, or is too long", path,
                        line);
    return VLM_OK;
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
    if (rc == VLM_OK) {
        vlm_buffer_byte(&text, 0);
        rc = text.failed ? vlm_fail(parser->err, VLM_ENOMEM, "no memory for '%s'", path)
                         : parse_text(parser, path, (const char *)text.data, text.size);
    } else {
        parser->err->code = rc = VLM_EUSAGE; /* the user named it */
    }
    vlm_buffer_release(&text);
    return rc;
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
    enum section kind = section_of(parser, assignment, section);
    if (kind == SECTION_SETTINGS)
        return add_setting(parser, assignment);
    if (kind == SECTION_OTHER && parser->tool->settings)
        return vlm_fail(parser->err, VLM_EUSAGE,
                        "option '--set': section '%.*s' is none of %s|%s|*", (int)section,
                        assignment, parser->section, parser->tool->settings->sections);
    if (kind == SECTION_OTHER)
        return vlm_fail(parser->err, VLM_EUSAGE,
                        "option '--set': section '%.*s' is not '%s' or '*'", (int)section,
                        assignment, parser->section);
    const struct vlm_option *option = find_key(parser, dot + 1, key);
    if (option)
        return vlm_option_assign(option, equals + 1, "option '--set'", parser->err);
    unknown_key(parser, dot + 1, key);
    return vlm_wrap(parser->err, "option '--set'");
}
