/* fuzz_tombstones.c - deleted.jsonl: any bytes are read or told, never a stop; what was named stays named. */
#include "base/vlm.h"

#include "trainer/data/corpus_internal.h"

#include <fcntl.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[] = "/tmp/fuzz-tombstones-XXXXXX";
    static bool made;
    static const uint8_t id[16] = { 0x12, 0x34 };
    struct vlm_corpus_source source = { .tombstones = { .path = strdup(path) } };
    struct vlm_corpus corpus = { .sources = &source, .n = 1, .locks = true };
    struct vlm_err err = { 0 };
    uint64_t new_ones, again;
    pthread_rwlock_init(&corpus.lock, NULL);
    pthread_mutex_init(&corpus.reload, NULL);
    if (!made) {
        int first = mkstemp(path);
        VLM_BUG_IF(first < 0);
        close(first);
        made = true;
        snprintf(source.tombstones.path, sizeof(path), "%s", path);
    }
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    VLM_BUG_IF(fd < 0 || write(fd, data, size) != (ssize_t)size);
    close(fd);
    int rc = vlm_corpus_tombstones(&corpus, &new_ones, &err);
    VLM_BUG_IF(rc != VLM_OK && rc != VLM_SKIP);
    const bool has_id = vlm_tombstones_has_id(&corpus, 0, id);
    const bool has_url = vlm_tombstones_has_url(&corpus, 0, "http://a.org/");
    VLM_BUG_IF((has_id || has_url) && !new_ones);
    /* Read anew, it adds nothing. */
    source.tombstones.seen = (struct stat){ 0 };
    rc = vlm_corpus_tombstones(&corpus, &again, &err);
    VLM_BUG_IF(rc != VLM_OK || again);
    VLM_BUG_IF(has_id != vlm_tombstones_has_id(&corpus, 0, id));
    pthread_rwlock_destroy(&corpus.lock);
    pthread_mutex_destroy(&corpus.reload);
    vlm_tombstones_release(&source.tombstones);
    return 0;
}
