/* bench_sequence.h - `vlm-bench sequence`: tokens a second from a shard set to ids. argv[0] is
 * the verb; returns the exit status. */
#ifndef VLM_TOOLS_BENCH_SEQUENCE_H
#define VLM_TOOLS_BENCH_SEQUENCE_H

int vlm_bench_sequence(int argc, char **argv);

#endif
