/* file.h - whole files, atomic files, paths. A file with a final name is complete or absent. */
#ifndef VLM_BASE_FILE_H
#define VLM_BASE_FILE_H

#include "base/buffer.h"

#include <sys/types.h>

/* Reads a file of at most max bytes into buffer (appending). */
VLM_MUST_CHECK int vlm_file_read(struct vlm_buffer *buffer, const char *path, size_t max,
                                 struct vlm_err *err);

/* The same of a regular file only, as those of folders that others made are: a pipe would block for ever, a device never
 * end. VLM_EFORMAT: it is something else. */
VLM_MUST_CHECK int vlm_file_read_regular(struct vlm_buffer *buffer, const char *path, size_t max,
                                         struct vlm_err *err);

/* Writes path through a temporary name beside it: write, fsync, rename, fsync of the folder. What a
 * link leads to is replaced, not the link; devices and pipes are written to as they are. */
VLM_MUST_CHECK int vlm_file_write(const char *path, const void *bytes, size_t n,
                                  struct vlm_err *err);

/* The same for bytes that come in pieces: write(fd, path, context) makes them with vlm_write_all(). */
typedef int (*vlm_file_writer)(int fd, const char *path, const void *context, struct vlm_err *err);
VLM_MUST_CHECK int vlm_file_write_with(const char *path, vlm_file_writer write, const void *context,
                                       struct vlm_err *err);

/* fsync(fd), rename from to path, fsync of its folder. The file is whole before it has its name. */
VLM_MUST_CHECK int vlm_file_publish(int fd, const char *from, const char *path,
                                    struct vlm_err *err);

/* Writes path as vlm_file_write() does, with the bytes of the file `from`. */
VLM_MUST_CHECK int vlm_file_copy(const char *path, const char *from, struct vlm_err *err);

/* write(2) and pread(2) until all n bytes are through; name is for the sentence. A file that ends
 * before n bytes gives VLM_EFORMAT. */
VLM_MUST_CHECK int vlm_write_all(int fd, const void *bytes, size_t n, const char *name,
                                 struct vlm_err *err);
VLM_MUST_CHECK int vlm_pread_all(int fd, void *bytes, size_t n, uint64_t offset, const char *name,
                                 struct vlm_err *err);

/* "folder/name" in memory that the caller frees; never NULL (memory out at this size is a bug). */
char *vlm_path_join(const char *folder, const char *name);

/* The last part of a path, "b" of "/a/b/", which points into it, and its size. */
const char *vlm_path_last(const char *path, size_t *n);

/* Before something is written to `output`: VLM_EUSAGE when it is the file that is read as `input`, under
 * whatever name. */
VLM_MUST_CHECK int vlm_file_check_output(const char *output, const char *input,
                                         struct vlm_err *err);

/* Makes the folder and the ones above it; fine when it is there. */
VLM_MUST_CHECK int vlm_folder_make(const char *path, struct vlm_err *err);

/* fsync of a folder, so that names in it survive a power cut; of the folder that path stands in. */
VLM_MUST_CHECK int vlm_folder_sync(const char *path, struct vlm_err *err);
VLM_MUST_CHECK int vlm_folder_sync_of(const char *path, struct vlm_err *err);

/* Deletes a folder and everything in it; fine when it is absent. */
VLM_MUST_CHECK int vlm_folder_delete(const char *path, struct vlm_err *err);

#endif
