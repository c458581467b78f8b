/* bench_warc.h - the loop behind "make bench" for reading crawls. */
#ifndef VLM_TOOLS_BENCH_WARC_H
#define VLM_TOOLS_BENCH_WARC_H

/* Reads WARC files N times and prints one JSON line; returns the exit status. */
int vlm_bench_warc(int argc, char **argv);

#endif
