/* machine.h - what this machine can do, measured in the process whose speed is to be judged.
 *
 *   struct vlm_machine machine;
 *   int rc = vlm_machine_measure(&machine, &engine, &err);
 *   printf("%.0f %% of the peak\n", 100 * gflops / machine.peak[VLM_F32]);
 *
 * All rates are those of all threads of the engine together, the best of several short turns. */
#ifndef VLM_TOOLS_BENCH_MACHINE_H
#define VLM_TOOLS_BENCH_MACHINE_H

#include "nn/engine.h"
#include "nn/tensor.h"

struct vlm_machine {
    double peak[2]; /* GFLOP/s of multiply-adds in registers, by enum vlm_dtype */
    double read;    /* GB/s of memory beyond the last cache, summed up */
    double triad;   /* GB/s of a = b + 3 c beyond the last cache: two read, one written */
};

/* Takes about a second and 768 MiB. */
VLM_MUST_CHECK int vlm_machine_measure(struct vlm_machine *machine, const struct vlm_engine *engine,
                                       struct vlm_err *err);

/* The peak again, in some 20 ms: a machine that is shared or changes its clock has another one from
 * moment to moment. */
double vlm_machine_peak(const struct vlm_engine *engine, enum vlm_dtype precision);

/* GB/s of summing up `bytes` from `data`, a multiple of 1 MiB, once. */
double vlm_machine_read(const struct vlm_engine *engine, const void *data, size_t bytes);

/* Whether products of bf16 are faster than those of fp32 on this CPU. */
bool vlm_machine_has_bf16(const struct vlm_engine *engine);

/* Seconds of the CPU that all threads of this process have had. */
double vlm_machine_cpu_seconds(void);

/* Sorts what several turns measured, the least first. */
void vlm_machine_sort(double *list, size_t n);

#endif
