/* pool.h - plain threads that share out the tasks of one loop.
 *
 *   struct vlm_pool *pool;
 *   int rc = vlm_pool_new(&pool, threads, &err);
 *   vlm_pool_run(pool, n_tiles, work_on_a_tile, &job);   // returns when all tiles are done
 *   vlm_pool_free(pool);
 *
 * Which thread does a task is left to chance; what a task does depends on its number alone. So
 * results are the same for any number of threads as long as tasks write different places, and no
 * loop is cut by the number of threads. Sums over tasks are made by the caller, in task order. */
#ifndef VLM_NN_POOL_H
#define VLM_NN_POOL_H

#include "base/vlm.h"

struct vlm_pool; /* one caller at a time */

/* A task: its number, and the number of the thread that does it (below vlm_pool_threads), for
 * scratch of its own. */
typedef void (*vlm_task)(void *job, size_t task, size_t worker);

/* threads - 1 threads beside the caller, who works too; 0: as many as the process may use cores. */
VLM_MUST_CHECK int vlm_pool_new(struct vlm_pool **pool, size_t threads, struct vlm_err *err);
void vlm_pool_free(struct vlm_pool *pool); /* NULL is fine */

size_t vlm_pool_threads(const struct vlm_pool *pool);

/* Calls work(job, task, worker) for task = 0 to tasks - 1, in any order, and returns when all are
 * done. A task must not call this. */
void vlm_pool_run(struct vlm_pool *pool, size_t tasks, vlm_task work, void *job);

#endif
