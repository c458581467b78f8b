/* vlm_train_main.c - vlm-train: shard sets into a model; how good a model is; its numbers. */
#include "base/vlm.h"

#include "nn/engine.h"
#include "tools/train/train_verbs.h"
#include "trainer/verbs.h"

#include <signal.h>
#include <unistd.h>

/* Parts of shard sets are read by maps: where a file is cut short, or its disk gives up, under a map, this signal
 * is all that a program learns. What checkpoints hold is whole. */
static void end_at_bus_error(int number)
{
    static const char sentence[] = "vlm-train: a file of a shard set was cut short, or could not "
                                   "be read, while it was in use\n";
    (void)number;
    ssize_t written = write(STDERR_FILENO, sentence, sizeof(sentence) - 1);
    (void)written;
    _exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    static char eval_name[] = "vlm-train eval", dump_name[] = "vlm-train dump",
                run_name[] = "vlm-train";
    const char *verb = argc > 1 ? argv[1] : "";
    vlm_engine_without_blas_threads(argv);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error to report */
    signal(SIGBUS, end_at_bus_error);
    if (!strcmp(verb, "eval")) {
        argv[1] = eval_name;
        return vlm_train_verb_eval(argc - 1, argv + 1);
    }
    if (!strcmp(verb, "dump")) {
        argv[1] = dump_name;
        return vlm_train_dump(argc - 1, argv + 1);
    }
    if (!strcmp(verb, "run")) {
        argv[1] = run_name;
        return vlm_train_verb_run(argc - 1, argv + 1);
    }
    return vlm_train_verb_run(argc, argv);
}
