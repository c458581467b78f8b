/* folder_fixture.h - a folder of its own for a test program: make_test_folder() and remove_test_folder() are for
 * cmocka's group, test_path("a") is "FOLDER/a", which the caller frees. */
#ifndef VLM_TESTS_FOLDER_FIXTURE_H
#define VLM_TESTS_FOLDER_FIXTURE_H

#include "base/file.h"

#include <unistd.h>

static char test_folder[] = "/tmp/vlm-test-XXXXXX";

static inline int make_test_folder(void **state)
{
    (void)state;
    return mkdtemp(test_folder) ? 0 : -1;
}

static inline int remove_test_folder(void **state)
{
    struct vlm_err err;
    (void)state;
    return vlm_folder_delete(test_folder, &err);
}

static inline char *test_path(const char *name)
{
    return vlm_path_join(test_folder, name);
}

#endif
