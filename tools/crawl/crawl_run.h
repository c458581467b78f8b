/* crawl_run.h - writes a whole made-up crawl into a folder.
 *
 *   rc = crawl_run(&(struct crawl_run){ .options = {...}, .folder = "crawl", .threads = 0,
 *                                       .pages_per_file = 1000 }, &result, &err); */
#ifndef VLM_TOOLS_CRAWL_RUN_H
#define VLM_TOOLS_CRAWL_RUN_H

#include "base/progress.h"
#include "tools/crawl/crawl_page.h"

struct crawl_run {
    struct crawl_options options;
    const char *folder;
    uint64_t pages_per_file;
    unsigned threads; /* 0: as many as there are processors */
    struct vlm_progress *progress;
};

struct crawl_result {
    struct crawl_counts counts;
    uint64_t files, bytes;
};

/* Files get their names when they are whole; earlier ones of the same name are replaced. */
VLM_MUST_CHECK int crawl_run(const struct crawl_run *run, struct crawl_result *result,
                             struct vlm_err *err);

#endif
