/* terminal.h - what programs ask about the terminal that people read them on. */
#ifndef VLM_TOOLS_TERMINAL_H
#define VLM_TOOLS_TERMINAL_H

#include "base/vlm.h"

/* --color, in the order of VLM_COLOUR_WORDS. */
enum vlm_colour_mode { VLM_COLOUR_AUTO, VLM_COLOUR_ALWAYS, VLM_COLOUR_NEVER };
#define VLM_COLOUR_WORDS "auto|always|never"

/* auto: standard output is a terminal that is not "dumb", and NO_COLOR is empty. */
bool vlm_terminal_colour(int mode);

/* Columns of standard output, else of $COLUMNS, else 80. */
unsigned vlm_terminal_width(void);

/* Bytes of the character at p (n > 0), and whether it may go to a terminal: no control character of ASCII
 * (newline and tab are white space to the caller) or of Latin-1. */
size_t vlm_terminal_character(const char *p, size_t n, bool *visible);

#endif
