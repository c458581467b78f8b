/* bare_sax.h - libxml2's SAX parser with empty handlers: what the speed of ours is measured by. */
#ifndef VLM_TOKENIZE_BARE_SAX_H
#define VLM_TOKENIZE_BARE_SAX_H

#include "base/vlm.h"

/* Parses n bytes of UTF-8 and returns the number of start tags reported, which shows that the page
 * was read; 0 when the parser could not be started. */
size_t vlm_bare_sax(const char *page, size_t n);

#endif
