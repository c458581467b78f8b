/* ini.h - INI text in memory, handed on key by key; values written so that they are read again.
 *
 *   [section]            ; names: up to 63 bytes
 *   key = value          ; spaces around it do not count; a comment begins with " ;"
 *   other = "  a; b\n"   ; in quotes everything counts: \" \\ \n \r \t
 *   # a line of comment, as is one with ;
 *
 * Lines end with LF or CR LF; the byte order mark of UTF-8 may stand in front. Nothing else continues,
 * includes or expands: a line is a line. */
#ifndef VLM_BASE_INI_H
#define VLM_BASE_INI_H

#include "base/buffer.h"

enum { VLM_INI_NAME_MAX = 63 };

struct vlm_ini_entry {
    const char *section; /* "": before the first */
    const char *key;     /* NULL: the line of the section itself */
    const char *value;   /* all three are valid during the call */
    size_t line;         /* from 1 */
};

/* Returns VLM_OK, or an error after which reading stops. */
typedef int vlm_ini_take(void *context, const struct vlm_ini_entry *entry, struct vlm_err *err);

/* Calls take for every section and key, in order. Any bytes are taken; file is for sentences. VLM_EUSAGE:
 * a line that is none of the above, text in UTF-16, or bytes that are no text; every error, those of take too, gets
 * the file and, where there is one, the line in front. VLM_ENOMEM. */
VLM_MUST_CHECK int vlm_ini_read(const char *file, const char *text, size_t size, vlm_ini_take *take,
                                void *context, struct vlm_err *err);

/* Appends a value so that vlm_ini_read() gives it again: in quotes where it must be. Text without control characters
 * but \n, \r and \t. */
void vlm_ini_value(struct vlm_buffer *out, const char *value);

#endif
