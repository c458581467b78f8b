/* bench_vqgan.h - `vlm-bench vqgan`: images a second through a tokenizer. argv[0] is the verb; returns
 * the exit status. */
#ifndef VLM_TOOLS_BENCH_VQGAN_H
#define VLM_TOOLS_BENCH_VQGAN_H

int vlm_bench_vqgan(int argc, char **argv);

#endif
