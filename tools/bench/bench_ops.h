/* bench_ops.h - `vlm-bench ops`: the rate of each op beside what the machine can do. argv[0] is the
 * verb; returns the exit status. */
#ifndef VLM_TOOLS_BENCH_OPS_H
#define VLM_TOOLS_BENCH_OPS_H

int vlm_bench_ops(int argc, char **argv);

#endif
