/* shipped_tokenizer.c - tokenize/text/shipped/tokenizer.json inside of the programs: no path to find, nothing to
 * install. */
#include "base/vlm.h"

#include "tokenize/text/text_internal.h"

__asm__(".pushsection .rodata\n"
        ".global vlm_shipped_tokenizer, vlm_shipped_tokenizer_size\n"
        "vlm_shipped_tokenizer:\n"
        ".incbin \"tokenize/text/shipped/tokenizer.json\"\n"
        "vlm_shipped_tokenizer_end:\n"
        ".balign 8\n"
        "vlm_shipped_tokenizer_size:\n"
        ".quad vlm_shipped_tokenizer_end - vlm_shipped_tokenizer\n"
        ".popsection\n");
