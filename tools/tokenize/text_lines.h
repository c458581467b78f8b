/* text_lines.h - a file of lines, each turned into something else by several threads, in its order.
 *
 *   struct vlm_line_job job = { .tool = "vlm-tokenize encode", .pool = pool, .work = encode_line,
 *                               .context = &encoding };
 *   rc = vlm_lines_run(&job, "corpus.txt", &err);               // NULL or "-": standard input
 *   if (job.bad) ...                                            // lines that cost themselves
 *
 * A line is what stands between two "\n", and what stands behind the last one unless that is nothing;
 * a "\r" is part of it; one over max_line is bad. Memory does not depend on how many lines there
 * are. When input comes slowly, what is there is done at once. */
#ifndef VLM_TOOLS_TEXT_LINES_H
#define VLM_TOOLS_TEXT_LINES_H

#include "base/buffer.h"
#include "base/limits.h"
#include "base/progress.h"
#include "nn/pool.h"

/* Appends what the line of n bytes becomes, its line end included; text may be changed. worker is below
 * vlm_pool_threads(). VLM_EFORMAT: the line is bad, err says why; what was appended does not count.
 * Any other failure ends everything. */
typedef int vlm_line_work(void *context, size_t worker, char *text, size_t n,
                          struct vlm_buffer *out, struct vlm_err *err);

struct vlm_line_job {
    const char *tool; /* begins the sentence about a bad line: on stderr */
    struct vlm_pool *pool;
    vlm_line_work *work;
    void *context;
    size_t max_line;               /* bytes; 0: VLM_LINE_MAX */
    bool silent;                   /* there is no output, work appends nothing */
    bool json;                     /* a bad line gives {"error": sentence}, else an empty line */
    const char *what;              /* begins the line of progress */
    struct vlm_progress *progress; /* NULL: none */
    uint64_t lines, bad, bytes;    /* so far; the job may run for several files */
    uint64_t told;                 /* sentences about bad lines so far: some, then no more */
};

VLM_MUST_CHECK int vlm_lines_run(struct vlm_line_job *job, const char *path, struct vlm_err *err);

/* vlm_tool_end(); says how many lines were bad, and gives exit status 3 then. For verbs only. */
struct vlm_tool;
int vlm_lines_end(const struct vlm_line_job *job, const struct vlm_tool *tool, int result,
                  const struct vlm_err *err);

#endif
