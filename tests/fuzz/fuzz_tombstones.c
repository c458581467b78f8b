/* fuzz_tombstones.c - deleted.jsonl: any bytes are read or told, never a stop; what was named stays named. */
#include "base/vlm.h"

#include "shard/parts/tombstones.h"

#include <fcntl.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[] = "/tmp/fuzz-tombstones-XXXXXX";
    static bool made;
    static const uint8_t id[16] = { 0x12, 0x34 };
    struct vlm_tombstones tombstones;
    struct vlm_err err = { 0 };
    uint64_t new_ones = 0, again = 0;
    if (!made) {
        int first = mkstemp(path);
        VLM_BUG_IF(first < 0);
        close(first);
        made = true;
    }
    vlm_tombstones_init(&tombstones, "/tmp");
    free(tombstones.path);
    tombstones.path = strdup(path);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    VLM_BUG_IF(fd < 0 || write(fd, data, size) != (ssize_t)size);
    close(fd);
    int rc = vlm_tombstones_read(&tombstones, NULL, &new_ones, &err);
    VLM_BUG_IF(rc != VLM_OK && rc != VLM_SKIP);
    const bool has_id = vlm_tombstones_has_id(&tombstones, id);
    const bool has_url = vlm_tombstones_has_url(&tombstones, "http://a.org/");
    VLM_BUG_IF((has_id || has_url) && !new_ones);
    /* Read anew, it adds nothing. */
    tombstones.seen = (struct stat){ 0 };
    rc = vlm_tombstones_read(&tombstones, NULL, &again, &err);
    VLM_BUG_IF(rc != VLM_OK || again);
    VLM_BUG_IF(has_id != vlm_tombstones_has_id(&tombstones, id));
    vlm_tombstones_release(&tombstones);
    return 0;
}
