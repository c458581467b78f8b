/* zip.h - where the members of a zip archive stand in its file; nothing is unpacked.
 *
 * Strict, as for files from strangers: the archive ends where the file ends (no comment) and is not
 * split, names are unique, the headers of members have the names of the directory, and no two
 * members share a byte. Checksums are not looked at: torch.save() may be told to write others. Only
 * pread() is used. */
#ifndef VLM_VQGAN_ZIP_H
#define VLM_VQGAN_ZIP_H

#include "base/vlm.h"

struct vlm_zip_member {
    const char *name;     /* valid until the release */
    uint64_t begin, size; /* of its bytes in the file */
    uint64_t header;      /* where its header begins, in front of them */
    bool packed;          /* compressed or encrypted: these bytes are not its content */
};

struct vlm_zip {
    struct vlm_zip_member *members; /* by name */
    size_t count;
    char *names;
};

/* Reads the directory of the file of size bytes. On failure *zip is empty; name is for sentences of
 * failed reads only. */
VLM_MUST_CHECK int vlm_zip_init(struct vlm_zip *zip, int fd, uint64_t size, const char *name,
                                struct vlm_err *err);
void vlm_zip_release(struct vlm_zip *zip);

/* NULL: there is none. */
const struct vlm_zip_member *vlm_zip_find(const struct vlm_zip *zip, const char *name);

#endif
