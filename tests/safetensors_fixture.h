/* safetensors_fixture.h - files of tensors in memory, good and bad, for the tests of the reader. */
#ifndef VLM_TESTS_SAFETENSORS_FIXTURE_H
#define VLM_TESTS_SAFETENSORS_FIXTURE_H

#include "base/vlm.h"

#include "base/buffer.h"
#include "nn/safetensors.h"

#include <sys/mman.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A text that may hold NUL bytes, and its size. */
#define TEXT(text) (text), sizeof(text) - 1

/* A file that has no name. */
static inline int file_of(const void *bytes, size_t n)
{
    int fd = memfd_create("tensors", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    return fd;
}

/* Opens a file with this header (its size in front) and n bytes of value, all 0. */
static inline int open_header(struct vlm_safetensors **file, const char *header, size_t size,
                              size_t n, struct vlm_err *err)
{
    uint8_t *bytes = calloc(1, 8 + size + n);
    assert_non_null(bytes);
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)size >> 8 * i);
    memcpy(bytes + 8, header, size);
    int fd = file_of(bytes, 8 + size + n);
    free(bytes);
    *err = (struct vlm_err){ 0 };
    int rc = vlm_safetensors_open_fd(file, fd, "f", err);
    assert_true((rc == VLM_OK) == (*file != NULL));
    return rc;
}

/* What must hold for every file that was accepted. */
static inline void check_accepted(const struct vlm_safetensors *file, uint64_t size)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < vlm_safetensors_count(file); i++) {
        const struct vlm_safetensors_entry *entry = vlm_safetensors_at(file, i);
        assert_true(entry->begin + entry->bytes <= size);
        assert_true(entry->bytes == entry->count * vlm_safetensors_dtype_size(entry->dtype));
        assert_ptr_equal(vlm_safetensors_find(file, entry->name), entry);
        bytes += entry->bytes;
    }
    assert_true(bytes <= size);
}

#endif
