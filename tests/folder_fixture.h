/* folder_fixture.h - files and folders of a test, in $TMPDIR, or /tmp without: no two tests share one.
 *
 * make_test_folder() and remove_test_folder() are for cmocka's group, test_path("a") is "FOLDER/a", which the caller
 * frees. */
#ifndef VLM_TESTS_FOLDER_FIXTURE_H
#define VLM_TESTS_FOLDER_FIXTURE_H

#include "base/file.h"

#include <unistd.h>

static char *test_folder;

static inline const char *temporary_place(void)
{
    const char *place = getenv("TMPDIR");
    return place && *place ? place : "/tmp";
}

/* In memory where there is such a place: hundreds of fsync() on a disk take a minute. */
static inline const char *fast_place(void)
{
    return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : temporary_place();
}

/* A new folder; the caller frees its name. NULL: it cannot be made. */
static inline char *new_folder(const char *place)
{
    char *path = vlm_path_join(place, "vlm-test-XXXXXX");
    if (path && mkdtemp(path))
        return path;
    free(path);
    return NULL;
}

/* The same of an empty file. */
static inline char *new_file(void)
{
    char *path = vlm_path_join(temporary_place(), "vlm-test-XXXXXX");
    int fd = path ? mkstemp(path) : -1;
    if (fd >= 0) {
        close(fd);
        return path;
    }
    free(path);
    return NULL;
}

static inline int make_test_folder(void **state)
{
    (void)state;
    test_folder = new_folder(temporary_place());
    return test_folder ? 0 : -1;
}

static inline int remove_test_folder(void **state)
{
    struct vlm_err err;
    (void)state;
    int rc = vlm_folder_delete(test_folder, &err);
    free(test_folder);
    test_folder = NULL;
    return rc;
}

static inline char *test_path(const char *name)
{
    return vlm_path_join(test_folder, name);
}

#endif
