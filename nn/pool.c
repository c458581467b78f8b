/* pool.c - plain threads that share out the tasks of one loop.
 *
 * The loop under way is one 64-bit word: its number, how many tasks it has, and the next task to be
 * taken. A thread takes a task by adding one to the word. That also tells it to which loop the task
 * belongs, so a thread that comes late can neither miss a loop nor take from an old one, and nobody
 * waits for threads that were not needed. Threads without work look at the word for some microseconds
 * (the ops of a small model follow each other faster than a sleeper wakes), then sleep. */
#include "base/vlm.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "nn/pool.h"

enum {
    TASK_BITS =
        24,       /* of the word: next task in the low bits, number of tasks above, then the loop */
    LOOKS = 4000, /* pauses before a thread without work sleeps: some 40 microseconds */
};
#define TASK_MASK (((uint64_t)1 << TASK_BITS) - 1)

struct vlm_pool {
    size_t threads;
    struct worker {
        pthread_t thread;
        struct vlm_pool *pool;
        size_t number;
    } * worker; /* [threads - 1]; the caller is worker 0 */
    _Alignas(64) _Atomic uint64_t word;
    _Alignas(64) atomic_size_t done;
    atomic_size_t sleepers;
    atomic_bool stop;
    vlm_task work; /* of the loop in word; written before it, read after it */
    void *job;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static uint64_t loop_of(uint64_t word)
{
    return word >> 2 * TASK_BITS;
}

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* Takes and does tasks of the loop in the word until none is left; returns the word's loop. */
static uint64_t take_tasks(struct vlm_pool *pool, size_t worker)
{
    for (;;) {
        uint64_t word = atomic_fetch_add(&pool->word, 1);
        size_t task = word & TASK_MASK, tasks = word >> TASK_BITS & TASK_MASK;
        if (task >= tasks)
            return loop_of(word);
        pool->work(pool->job, task, worker);
        atomic_fetch_add_explicit(&pool->done, 1, memory_order_release);
    }
}

static void sleep_until_changed(struct vlm_pool *pool, uint64_t seen)
{
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (loop_of(atomic_load(&pool->word)) == seen && !atomic_load(&pool->stop))
        pthread_cond_wait(&pool->changed, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *argument)
{
    struct worker *self = argument;
    struct vlm_pool *pool = self->pool;
    uint64_t seen = 0;
    while (!atomic_load(&pool->stop)) {
        size_t looks = 0;
        while (loop_of(atomic_load(&pool->word)) == seen && looks++ < LOOKS)
            pause_briefly();
        if (loop_of(atomic_load(&pool->word)) == seen)
            sleep_until_changed(pool, seen);
        else
            seen = take_tasks(pool, self->number);
    }
    return NULL;
}

static void wake_sleepers(struct vlm_pool *pool)
{
    if (atomic_load(&pool->sleepers) == 0)
        return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
}

void vlm_pool_run(struct vlm_pool *pool, size_t tasks, vlm_task work, void *job)
{
    if (pool->threads == 1 || tasks <= 1) {
        for (size_t i = 0; i < tasks; i++)
            work(job, i, 0);
        return;
    }
    VLM_BUG_IF(tasks > TASK_MASK / 2);
    pool->work = work;
    pool->job = job;
    atomic_store(&pool->done, 0);
    /* A late thread may still add one to the word while it is replaced: harmless, it is replaced. */
    uint64_t loop = loop_of(atomic_load(&pool->word)) + 1;
    atomic_store(&pool->word, loop << 2 * TASK_BITS | (uint64_t)tasks << TASK_BITS);
    wake_sleepers(pool);
    take_tasks(pool, 0);
    size_t looks = 0;
    while (atomic_load_explicit(&pool->done, memory_order_acquire) < tasks)
        if (looks++ < LOOKS)
            pause_briefly();
        else
            sched_yield();
}

size_t vlm_pool_threads(const struct vlm_pool *pool)
{
    return pool->threads;
}

static size_t cores_allowed(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set))
        return 1;
    return (size_t)CPU_COUNT(&set);
}

int vlm_pool_new(struct vlm_pool **out, size_t threads, struct vlm_err *err)
{
    if (threads == 0)
        threads = cores_allowed();
    struct vlm_pool *pool = aligned_alloc(64, sizeof(*pool));
    struct worker *worker = calloc(threads, sizeof(*worker));
    if (!pool || !worker) {
        free(pool);
        free(worker);
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu threads", threads);
    }
    memset(pool, 0, sizeof(*pool));
    pool->worker = worker;
    pool->threads = 1;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    while (pool->threads < threads) {
        struct worker *w = &worker[pool->threads - 1];
        *w = (struct worker){ .pool = pool, .number = pool->threads };
        int number = pthread_create(&w->thread, NULL, worker_main, w);
        if (number) {
            vlm_fail_errno(err, number, "cannot start thread %zu of %zu", pool->threads + 1,
                           threads);
            vlm_pool_free(pool);
            return VLM_EFAIL;
        }
        pool->threads++;
    }
    *out = pool;
    return VLM_OK;
}

void vlm_pool_free(struct vlm_pool *pool)
{
    if (!pool)
        return;
    atomic_store(&pool->stop, true);
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i + 1 < pool->threads; i++)
        pthread_join(pool->worker[i].thread, NULL);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    free(pool->worker);
    free(pool);
}
