/* file.h - whole files, atomic files, paths. A file with a final name is complete or absent. */
#ifndef VLM_BASE_FILE_H
#define VLM_BASE_FILE_H

#include "base/buffer.h"

#include <sys/types.h>

/* Reads a file of at most max bytes into buffer (appending). */
VLM_MUST_CHECK int vlm_file_read(struct vlm_buffer *buffer, const char *path, size_t max,
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

/* write(2) and pread(2) until all n bytes are through; name is for the sentence. A file that ends
 * before n bytes gives VLM_EFORMAT. */
VLM_MUST_CHECK int vlm_write_all(int fd, const void *bytes, size_t n, const char *name,
                                 struct vlm_err *err);
VLM_MUST_CHECK int vlm_pread_all(int fd, void *bytes, size_t n, uint64_t offset, const char *name,
                                 struct vlm_err *err);

/* "folder/name" in memory that the caller frees; never NULL (memory out at this size is a bug). */
char *vlm_path_join(const char *folder, const char *name);

/* Makes the folder and the ones above it; fine when it is there. */
VLM_MUST_CHECK int vlm_folder_make(const char *path, struct vlm_err *err);

/* Deletes a folder and everything in it; fine when it is absent. */
VLM_MUST_CHECK int vlm_folder_delete(const char *path, struct vlm_err *err);

#endif
