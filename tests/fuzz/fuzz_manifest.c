/* fuzz_manifest.c - manifest.json: read or refused, and its names never lead out of the folder. The
 * checksum is made right, or no input would get past it. */
#include "base/vlm.h"

#include "base/hash.h"
#include "shard/parts/manifest.h"

#include <fcntl.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char folder[] = "/tmp/fuzz-manifest-XXXXXX";
    static char path[sizeof(folder) + 16];
    struct vlm_manifest manifest;
    struct vlm_err err = { 0 };
    if (!path[0]) {
        VLM_BUG_IF(!mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/manifest.json", folder);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    VLM_BUG_IF(fd < 0 || write(fd, data, size) != (ssize_t)size);
    dprintf(fd, ", \"check\": \"%016" PRIx64 "\"}\n", vlm_xxh3(data, size));
    close(fd);
    if (vlm_manifest_read(&manifest, folder, &err) == VLM_OK)
        for (size_t i = 0; i < manifest.n_parts; i++)
            VLM_BUG_IF(strchr(manifest.parts[i].name, '/') || manifest.parts[i].name[0] == '.');
    vlm_manifest_release(&manifest);
    return 0;
}
