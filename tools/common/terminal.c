/* terminal.c - width, colours, and what must not reach a terminal. */
#include "base/vlm.h"

#include "tools/common/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH_DEFAULT = 80 };

unsigned vlm_terminal_width(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    unsigned long n = columns ? strtoul(columns, NULL, 10) : 0;
    return n >= 20 && n <= 1000 ? (unsigned)n : WIDTH_DEFAULT;
}

bool vlm_terminal_colour(int mode)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    if (mode != VLM_COLOUR_AUTO)
        return mode == VLM_COLOUR_ALWAYS;
    return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

size_t vlm_terminal_character(const char *p, size_t n, bool *visible)
{
    const uint8_t *b = (const uint8_t *)p;
    size_t size = b[0] < 0x80 ? 1 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    size = VLM_MIN(size, n);
    *visible = b[0] >= 0x20 && b[0] != 0x7f && !(b[0] == 0xc2 && size == 2 && b[1] < 0xa0);
    return size;
}
