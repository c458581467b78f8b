/* machine.c - peak and bandwidth of this machine, by the threads that the measured code uses too. */
#include "base/vlm.h"

#include "base/progress.h"
#include "nn/memory.h"
#include "tools/bench/machine.h"

#include <time.h>

enum {
    TURNS = 5,
    PEAK_TASKS = 16,     /* a thread: one that is held up leaves its share to the others */
    PEAK_ROUNDS = 50000, /* some 0.2 to 1 ms a task */
    PART = 1 << 20,      /* bytes that a task reads or writes */
    MEMORY_MIB = 256,    /* of each array: beyond any cache */
};

double vlm_machine_cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int compare_reals(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void vlm_machine_sort(double *list, size_t n)
{
    qsort(list, n, sizeof(*list), compare_reals);
}

bool vlm_machine_has_bf16(const struct vlm_engine *engine)
{
    return engine->kernels->gemm->bf16_pair == 2;
}

struct turn {
    const struct vlm_gemm_kernels *kernels;
    enum vlm_dtype precision;
    const char *a, *b; /* read */
    char *c;           /* written */
};

static double spin(const struct vlm_gemm_kernels *kernels, enum vlm_dtype precision, float *sink)
{
    return precision == VLM_BF16 ? kernels->spin_bf16(PEAK_ROUNDS, sink)
                                 : kernels->spin_f32(PEAK_ROUNDS, sink);
}

static void peak_task(void *argument, size_t task, size_t worker)
{
    (void)task, (void)worker;
    struct turn *turn = argument;
    float sink;
    spin(turn->kernels, turn->precision, &sink);
}

double vlm_machine_peak(const struct vlm_engine *engine, enum vlm_dtype precision)
{
    struct turn turn = { .kernels = engine->kernels->gemm, .precision = precision };
    size_t tasks = PEAK_TASKS * vlm_pool_threads(engine->pool);
    float sink;
    double flops = spin(turn.kernels, precision, &sink) * (double)tasks;
    double begin = vlm_now();
    vlm_pool_run(engine->pool, tasks, peak_task, &turn);
    return flops / (vlm_now() - begin) * 1e-9;
}

static void read_task(void *argument, size_t task, size_t worker)
{
    (void)worker;
    struct turn *turn = argument;
    const float *x = (const float *)(const void *)(turn->a + task * PART);
    turn->kernels->read_through(x, PART / sizeof(float));
}

double vlm_machine_read(const struct vlm_engine *engine, const void *data, size_t bytes)
{
    struct turn turn = { .kernels = engine->kernels->gemm, .a = data };
    double begin = vlm_now();
    vlm_pool_run(engine->pool, bytes / PART, read_task, &turn);
    return (double)(bytes / PART * PART) / (vlm_now() - begin) * 1e-9;
}

static void triad_task(void *argument, size_t task, size_t worker)
{
    (void)worker;
    struct turn *turn = argument;
    const float *a = (const float *)(const void *)(turn->a + task * PART);
    const float *b = (const float *)(const void *)(turn->b + task * PART);
    turn->kernels->triad((float *)(void *)(turn->c + task * PART), a, b, PART / sizeof(float));
}

static double triad(const struct vlm_engine *engine, const char *a, const char *b, char *c,
                    size_t bytes)
{
    struct turn turn = { .kernels = engine->kernels->gemm, .a = a, .b = b, .c = c };
    double begin = vlm_now();
    vlm_pool_run(engine->pool, bytes / PART, triad_task, &turn);
    return 3 * (double)bytes / (vlm_now() - begin) * 1e-9;
}

int vlm_machine_measure(struct vlm_machine *machine, const struct vlm_engine *engine,
                        struct vlm_err *err)
{
    struct vlm_memory memory = { 0 };
    size_t bytes = (size_t)MEMORY_MIB << 20;
    int rc = vlm_memory_init(&memory, 3 * bytes, 0, err);
    if (rc)
        return rc;
    char *a = vlm_memory_take(&memory, bytes, 1), *b = vlm_memory_take(&memory, bytes, 1);
    char *c = vlm_memory_take(&memory, bytes, 1);
    memset(a, 0, 3 * bytes); /* one after the other, and now in memory */
    *machine = (struct vlm_machine){ 0 };
    for (int turn = 0; turn < TURNS; turn++) {
        double f32 = vlm_machine_peak(engine, VLM_F32), bf16 = vlm_machine_peak(engine, VLM_BF16);
        double read = vlm_machine_read(engine, a, bytes), written = triad(engine, a, b, c, bytes);
        machine->peak[VLM_F32] = VLM_MAX(machine->peak[VLM_F32], f32);
        machine->peak[VLM_BF16] = VLM_MAX(machine->peak[VLM_BF16], bf16);
        machine->read = VLM_MAX(machine->read, read);
        machine->triad = VLM_MAX(machine->triad, written);
    }
    vlm_memory_release(&memory);
    return VLM_OK;
}
