/* robots.c - what a page or a server says about use for training: the words noai and noimageai in a
 * robots directive. Rules about indexing and snippets are not ours to judge. */
#include "base/vlm.h"

#include "tokenize/html/page.h"

#include <strings.h>

static bool ends_word(char c)
{
    return c == ',' || c == ';' || c == ':' || (unsigned char)c <= ' ';
}

unsigned vlm_opt_out_parse(const char *value, size_t n)
{
    unsigned found = 0;
    for (size_t i = 0; i < n;) {
        size_t begin = i;
        while (i < n && !ends_word(value[i]))
            i++;
        if (i - begin == 4 && !strncasecmp(value + begin, "noai", 4))
            found |= VLM_OPT_OUT_NOAI;
        if (i - begin == 9 && !strncasecmp(value + begin, "noimageai", 9))
            found |= VLM_OPT_OUT_NOIMAGEAI;
        i++;
    }
    return found;
}
