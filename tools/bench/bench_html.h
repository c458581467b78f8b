/* bench_html.h - HTML to document against libxml2's SAX parser: vlm-bench html-parse. */
#ifndef VLM_TOOLS_BENCH_HTML_H
#define VLM_TOOLS_BENCH_HTML_H

/* argv[1] is a file of pages, each a 32-bit little-endian length and UTF-8 bytes; argv[2] the number
 * of passes (5). Prints one JSON line and returns the exit status. */
int vlm_bench_html(int argc, char **argv);

#endif
