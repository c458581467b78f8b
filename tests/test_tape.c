/* test_tape.c - threads, memory, the tape, the linear layer and recomputation. */
#include "base/vlm.h"

#include <sys/resource.h>
#include <time.h>

#include "tests/nn_fixture.h"

#include "base/limits.h"

#include "nn/ops/activation.h"
#include "nn/ops/dropout.h"
#include "nn/ops/linear.h"

static const char *const every_kernel[] = { "plain", "avx2", "avx512", "avx512-bf16" };

/* ---- pool ---- */

struct tally {
    unsigned count[1000]; /* per task; each task is done by one thread */
    size_t threads;
};

static void count_task(void *argument, size_t task, size_t worker)
{
    struct tally *tally = argument;
    assert_true(worker < tally->threads);
    tally->count[task]++;
}

static void pool_does_every_task_once(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    for (size_t threads = 1; threads <= 7; threads += 2) {
        struct vlm_pool *pool;
        assert_int_equal(vlm_pool_new(&pool, threads, &err), VLM_OK);
        assert_int_equal(vlm_pool_threads(pool), threads);
        struct tally tally = { .threads = threads };
        unsigned loops = 0;
        for (size_t tasks = 0; tasks <= 1000; tasks = tasks * 2 + 1)
            for (int again = 0; again < 50; again++)
                vlm_pool_run(pool, tasks, count_task, &tally), loops += tasks > 0;
        assert_int_equal(tally.count[0], loops);
        assert_int_equal(tally.count[600], 0); /* 511 tasks were the most */
        vlm_pool_free(pool);
    }
    vlm_pool_free(NULL);
}

static void pool_wakes_threads_that_sleep(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_pool *pool;
    assert_int_equal(vlm_pool_new(&pool, 4, &err), VLM_OK);
    struct tally tally = { .threads = 4 };
    for (int i = 0; i < 20; i++) {
        struct timespec pause = { .tv_nsec = 1000000 };
        nanosleep(&pause, NULL);
        vlm_pool_run(pool, 100, count_task, &tally);
    }
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(tally.count[i], 20);
    vlm_pool_free(pool);
}

/* ---- memory ---- */

static void memory_is_a_stack_with_a_cap(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_memory memory;
    assert_int_equal(vlm_memory_init(&memory, 4096, 0, &err), VLM_OK);
    char *a = vlm_memory_take(&memory, 1, 1);
    size_t mark = vlm_memory_mark(&memory);
    char *b = vlm_memory_take(&memory, 10, 7);
    assert_int_equal(b - a, VLM_MEMORY_ALIGN);
    assert_int_equal((uintptr_t)b % VLM_MEMORY_ALIGN, 0);
    memset(b, 1, 70);
    vlm_memory_return(&memory, mark);
    assert_ptr_equal(vlm_memory_take(&memory, 2, 2), b);
    assert_non_null(vlm_memory_take(&memory, 0, 8));
    assert_null(vlm_memory_take(&memory, 4096, 1));
    assert_null(vlm_memory_take(&memory, SIZE_MAX, 2));
    assert_null(vlm_memory_take(&memory, SIZE_MAX, 1));
    size_t left = memory.cap - memory.used;
    assert_null(vlm_memory_take(&memory, left + 1, 1));
    assert_non_null(vlm_memory_take(&memory, left, 1));
    assert_int_equal(memory.peak, 4096);
    vlm_memory_release(&memory);
    assert_int_equal(vlm_memory_init(&memory, SIZE_MAX / 2, 0, &err), VLM_ENOMEM);
    assert_non_null(strstr(err.msg, "cannot reserve"));
    vlm_memory_release(&memory);
}

/* Under `ulimit -v` stacks are smaller, and leave room for others. */
static void tapes_fit_into_limited_address_space(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* their shadow is larger than any limit */
#endif
    struct vlm_err err;
    struct vlm_engine engine;
    struct vlm_tape tape;
    struct rlimit limit, small;
    assert_int_equal(vlm_engine_init(&engine, 1, VLM_GEMM_AUTO, &err), VLM_OK);
    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    small = limit;
    small.rlim_cur = 2 * VLM_GIB;
    assert_int_equal(setrlimit(RLIMIT_AS, &small), 0);
    int rc = vlm_tape_init(&tape, &engine, &(struct vlm_tape_options){ .memory = 0 }, &err);
    void *others = malloc(256 * VLM_MIB);
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    assert_int_equal(rc, VLM_OK);
    assert_non_null(others);
    assert_in_range(tape.step.cap, 32 * VLM_MIB, 2 * VLM_GIB / 3);
    assert_int_equal(tape.grads.cap, tape.step.cap);
    free(others);
    vlm_tape_release(&tape);
    vlm_engine_release(&engine);
}

/* ---- linear ---- */

struct layer {
    struct vlm_tensor *x;
    struct vlm_linear linear;
};

static struct vlm_tensor *run_layer(struct vlm_tape *tape, void *context)
{
    struct layer *layer = context;
    return vlm_linear(tape, layer->x, &layer->linear);
}

static struct layer new_layer(struct nn *nn, size_t rows, size_t in, size_t out,
                              enum vlm_activation activation, bool residual)
{
    struct layer layer = { .x = nn_tensor(nn, 2, (size_t[]){ rows, in }) };
    layer.linear = (struct vlm_linear){
        .weight = nn_tensor(nn, 2, (size_t[]){ out, in }),
        .bias = nn_tensor(nn, 1, (size_t[]){ out }),
        .activation = activation,
        .residual = residual ? nn_tensor(nn, 2, (size_t[]){ rows, out }) : NULL,
    };
    return layer;
}

static void linear_equals_a_plain_loop(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < VLM_COUNTOF(every_kernel); kind++)
        for (size_t size = 1; size <= 37; size += 3) {
            struct nn nn;
            nn_begin(&nn, every_kernel[kind], 2);
            size_t rows = size, in = 38 - size, out = (size * 5) % 37 + 1;
            struct layer layer = new_layer(&nn, rows, in, out, VLM_LINEAR, true);
            double *expected = calloc(rows * out, sizeof(*expected));
            for (size_t r = 0; r < rows; r++)
                for (size_t o = 0; o < out; o++) {
                    double sum = (double)layer.linear.bias->data[o] +
                                 (double)layer.linear.residual->data[r * out + o];
                    for (size_t i = 0; i < in; i++)
                        sum += (double)layer.x->data[r * in + i] *
                               (double)layer.linear.weight->data[o * in + i];
                    expected[r * out + o] = sum;
                }
            struct vlm_tensor *y = run_layer(&nn.tape, &layer);
            if (!nn.skip)
                nn_check_close(y->data, expected, rows * out, 2e-6);
            free(expected);
            nn_end(&nn);
        }
}

static void linear_gradients_are_differences(void **state)
{
    (void)state;
    static const enum vlm_activation kinds[] = { VLM_LINEAR, VLM_GELU_TANH, VLM_SILU };
    for (size_t i = 0; i < VLM_COUNTOF(kinds); i++)
        for (int residual = 0; residual < 2; residual++) {
            struct nn nn;
            nn_begin(&nn, NULL, 2);
            struct layer layer = new_layer(&nn, 5, 7, 13, kinds[i], residual);
            nn_check_gradients(&nn, run_layer, &layer, 1e-2, 2e-3);
            nn_end(&nn);
        }
}

/* ---- the tape ---- */

/* Two layers that share their input, as the residual stream of a network is shared. */
struct network {
    struct vlm_tensor *x;
    struct vlm_linear up, down;
    bool recompute;
};

static struct vlm_tensor *run_block(struct vlm_tape *tape, struct vlm_tensor *x,
                                    const void *context)
{
    const struct network *network = context;
    struct vlm_linear down = network->down;
    down.residual = x;
    struct vlm_tensor *hidden = vlm_linear(tape, x, &network->up);
    return vlm_linear(tape, hidden, &down);
}

static struct vlm_tensor *run_network(struct vlm_tape *tape, void *context)
{
    struct network *network = context;
    struct vlm_tensor *x = network->x;
    for (int i = 0; i < 4; i++)
        x = network->recompute ? vlm_recompute(tape, run_block, x, network)
                               : run_block(tape, x, network);
    return x;
}

static struct network new_network(struct nn *nn, size_t rows)
{
    struct network n = { .x = nn_tensor(nn, 2, (size_t[]){ rows, 6 }) };
    n.up = (struct vlm_linear){ .weight = nn_tensor(nn, 2, (size_t[]){ 24, 6 }),
                                .bias = nn_tensor(nn, 1, (size_t[]){ 24 }),
                                .activation = VLM_GELU_TANH };
    n.down = (struct vlm_linear){ .weight = nn_tensor(nn, 2, (size_t[]){ 6, 24 }) };
    for (size_t i = 0; i < 24 * 6; i++) {
        n.up.weight->data[i] *= 0.4f;
        n.down.weight->data[i] *= 0.2f;
    }
    return n;
}

static void gradients_flow_through_shared_inputs(void **state)
{
    (void)state;
    struct nn nn;
    nn_begin(&nn, NULL, 2);
    struct network network = new_network(&nn, 3);
    nn_check_gradients(&nn, run_network, &network, 1e-2, 5e-3);
    nn_end(&nn);
}

static struct vlm_tensor *drop_some(struct vlm_tape *tape, struct vlm_tensor *x, const void *block)
{
    (void)block;
    return vlm_activate(tape, vlm_dropout(tape, x, 0.5f), VLM_SILU);
}

static struct vlm_tensor *drop_none(struct vlm_tape *tape, struct vlm_tensor *x, const void *block)
{
    (void)block;
    return vlm_dropout(tape, x, 0);
}

static struct vlm_tensor *drop_nested(struct vlm_tape *tape, struct vlm_tensor *x,
                                      const void *block)
{
    return drop_some(tape, vlm_recompute(tape, drop_some, x, block), block);
}

/* Of a block in a block with dropout after it, and of a block that gives x back. */
static struct vlm_tensor *run_nested(struct vlm_tape *tape, void *context)
{
    struct vlm_tensor *x = vlm_scale(tape, context, 1.5f);
    struct vlm_tensor *same = vlm_recompute(tape, drop_none, x, NULL);
    struct vlm_tensor *y = vlm_recompute(tape, drop_nested, same, NULL);
    return vlm_add(tape, vlm_activate(tape, x, VLM_SILU), vlm_multiply(tape, y, same));
}

static void recompute_gradients_are_differences(void **state)
{
    (void)state;
    struct nn nn;
    nn_begin(&nn, NULL, 2);
    struct vlm_tensor *x = nn_tensor(&nn, 2, (size_t[]){ 9, 7 });
    nn_check_gradients(&nn, run_nested, x, 1e-2, 5e-3);
    nn_end(&nn);
}

static void recompute_gives_the_same_bits_in_less_memory(void **state)
{
    (void)state;
    struct nn nn[2];
    size_t peak[2];
    for (int i = 0; i < 2; i++) {
        nn_begin(&nn[i], NULL, 2);
        struct network network = new_network(&nn[i], 100);
        network.recompute = i;
        nn_backward(&nn[i], run_network, &network);
        peak[i] = nn[i].tape.step.peak;
    }
    for (size_t t = 0; t < nn[0].n_tensors; t++)
        nn_check_bits(nn[1].tensor[t]->grad, nn[0].tensor[t]->grad,
                      vlm_tensor_count(nn[0].tensor[t]));
    assert_true(peak[1] < peak[0] / 2);
    nn_end(&nn[0]);
    nn_end(&nn[1]);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    static const size_t threads[] = { 1, 2, 3, 7 };
    struct nn nn[4];
    for (int i = 0; i < 4; i++) {
        nn_begin(&nn[i], NULL, threads[i]);
        struct network network = new_network(&nn[i], 130);
        nn_backward(&nn[i], run_network, &network);
        for (size_t t = 0; t < nn[0].n_tensors; t++)
            nn_check_bits(nn[i].tensor[t]->grad, nn[0].tensor[t]->grad,
                          vlm_tensor_count(nn[0].tensor[t]));
    }
    for (int i = 0; i < 4; i++)
        nn_end(&nn[i]);
}

static void dry_run_counts_what_a_real_run_uses(void **state)
{
    (void)state;
    for (int recompute = 0; recompute < 2; recompute++) {
        struct nn real, dry;
        nn_begin(&real, NULL, 3);
        nn_begin_with(&dry, NULL, 3, VLM_F32, VLM_TAPE_DRY);
        struct network a = new_network(&real, 50), b = new_network(&dry, 50);
        a.recompute = b.recompute = recompute;
        nn_backward(&real, run_network, &a);
        nn_backward(&dry, run_network, &b);
        assert_true(vlm_tape_peak(&real.tape) > 50 * 24 * 4);
        assert_int_equal(vlm_tape_peak(&dry.tape), vlm_tape_peak(&real.tape));
        nn_end(&real);
        nn_end(&dry);
    }
}

static void memory_that_runs_out_is_a_sentence(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_engine engine;
    struct vlm_tape tape;
    assert_int_equal(vlm_engine_init(&engine, 1, VLM_GEMM_AUTO, &err), VLM_OK);
    struct vlm_tape_options options = { .memory = 200000 };
    assert_int_equal(vlm_tape_init(&tape, &engine, &options, &err), VLM_OK);
    struct nn nn;
    nn_begin(&nn, NULL, 1);
    struct network network = new_network(&nn, 3000);
    struct vlm_tensor *y = run_network(&tape, &network);
    assert_int_equal(vlm_backward(&tape, y, &err), VLM_ELIMIT);
    assert_non_null(strstr(err.msg, "does not fit"));
    vlm_tape_reset(&tape); /* and the next, smaller step runs */
    network.x->shape[0] = 1;
    y = run_network(&tape, &network);
    assert_int_equal(vlm_tape_error(&tape, &err), VLM_OK);
    network.x->shape[0] = 3000;
    vlm_tape_release(&tape);
    vlm_engine_release(&engine);
    nn_end(&nn);
}

static void numbers_that_are_not_finite_are_named(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct nn nn;
    nn_begin_with(&nn, NULL, 1, VLM_F32, VLM_TAPE_CHECK_FINITE);
    struct network network = new_network(&nn, 4);
    network.x->data[6 * 2 + 3] = (float)NAN;
    struct vlm_tensor *y = run_network(&nn.tape, &network);
    assert_int_equal(vlm_backward(&nn.tape, y, &err), VLM_EFORMAT);
    assert_string_equal(err.msg,
                        "result of linear (op 1 of the step): 24 of 96 values are not finite, "
                        "the first at row 2, column 0");
    nn_end(&nn);
}

static void nan_reaches_the_result(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < VLM_COUNTOF(every_kernel); kind++)
        for (int precision = VLM_F32; precision <= VLM_BF16; precision++) {
            struct nn nn;
            nn_begin_with(&nn, every_kernel[kind], 1, (enum vlm_dtype)precision, 0);
            struct layer layer = new_layer(&nn, 3, 9, 5, VLM_LINEAR, false);
            layer.x->data[9] = (float)NAN;
            layer.linear.weight->data[2 * 9 + 8] = INFINITY;
            struct vlm_tensor *y = run_layer(&nn.tape, &layer);
            for (size_t i = 0; !nn.skip && i < 15; i++)
                assert_int_equal(isfinite(y->data[i]), i / 5 != 1 && i % 5 != 2);
            nn_end(&nn);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_does_every_task_once),
        cmocka_unit_test(pool_wakes_threads_that_sleep),
        cmocka_unit_test(memory_is_a_stack_with_a_cap),
        cmocka_unit_test(tapes_fit_into_limited_address_space),
        cmocka_unit_test(linear_equals_a_plain_loop),
        cmocka_unit_test(linear_gradients_are_differences),
        cmocka_unit_test(gradients_flow_through_shared_inputs),
        cmocka_unit_test(recompute_gradients_are_differences),
        cmocka_unit_test(recompute_gives_the_same_bits_in_less_memory),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(dry_run_counts_what_a_real_run_uses),
        cmocka_unit_test(memory_that_runs_out_is_a_sentence),
        cmocka_unit_test(numbers_that_are_not_finite_are_named),
        cmocka_unit_test(nan_reaches_the_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
