/* bench_step.h - `vlm-bench step`: tokens/s of a whole training step of a decoder, as the peers'
 * train_step.py measures it. argv[0] is the verb; returns the exit status. */
#ifndef VLM_TOOLS_BENCH_STEP_H
#define VLM_TOOLS_BENCH_STEP_H

int vlm_bench_step(int argc, char **argv);

#endif
