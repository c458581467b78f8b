/* shared_pages_fixture.h - all real pages that are at hand, for tests of what must hold for any page.
 *
 *   size_t count = shared_pages_each(check_file, fixture);   // skips the test when there are none
 */
#ifndef VLM_TESTS_SHARED_PAGES_FIXTURE_H
#define VLM_TESTS_SHARED_PAGES_FIXTURE_H

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef void shared_page_check(void *context, const char *path);

static inline size_t shared_pages_below(const char *folder, unsigned levels,
                                        shared_page_check *check, void *context)
{
    DIR *open = opendir(folder);
    size_t count = 0;
    for (struct dirent *entry; open && (entry = readdir(open));) {
        struct stat about;
        char *path = vlm_path_join(folder, entry->d_name);
        assert_non_null(path);
        if (entry->d_name[0] == '.' || stat(path, &about) != 0)
            about.st_mode = 0;
        if (S_ISDIR(about.st_mode) && levels) {
            count += shared_pages_below(path, levels - 1, check, context);
        } else if (S_ISREG(about.st_mode) && strstr(entry->d_name, ".htm")) {
            check(context, path);
            count++;
        }
        free(path);
    }
    if (open)
        closedir(open);
    return count;
}

/* Calls check for every page; returns their number. */
static inline size_t shared_pages_each(shared_page_check *check, void *context)
{
    const char *shared = getenv("VLM_SHARED_DATA");
    char path[4096];
    snprintf(path, sizeof(path), "%s/html", shared ? shared : "../shared/data");
    size_t count = shared_pages_below(path, 4, check, context);
    if (!count) {
        print_message("skipped: the shared pages are not here\n");
        skip();
    }
    return count;
}

#endif
