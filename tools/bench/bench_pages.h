/* bench_pages.h - decoded HTML pages in one file, so that parsers are timed on parsing alone. */
#ifndef VLM_TOOLS_BENCH_PAGES_H
#define VLM_TOOLS_BENCH_PAGES_H

/* argv[1..] are crawl dumps and HTML files. Writes each page to stdout as a 32-bit little-endian length
 * and its UTF-8 bytes; returns the exit status. */
int vlm_bench_pages(int argc, char **argv);

#endif
