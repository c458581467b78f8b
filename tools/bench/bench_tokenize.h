/* bench_tokenize.h - text to tokens: vlm-bench tokenize. */
#ifndef VLM_TOOLS_BENCH_TOKENIZE_H
#define VLM_TOOLS_BENCH_TOKENIZE_H

/* Encodes each file named in argv with one thread; prints the rates of the best pass of each, or one
 * JSON object with --json. Returns the exit status. */
int vlm_bench_tokenize(int argc, char **argv);

#endif
