/* bench_gemm.h - `vlm-bench gemm`: products beside the machine's peak and OpenBLAS. argv[0] is the
 * verb. */
#ifndef VLM_TOOLS_BENCH_GEMM_H
#define VLM_TOOLS_BENCH_GEMM_H

/* [--shape MxNxK]... [-j N] [--json]: M rows, N outputs, K inputs. Prints a table, or one JSON object,
 * and returns the exit status. */
int vlm_bench_gemm(int argc, char **argv);

#endif
