/* corpus_deleted.c - what the deleted.jsonl of the sets name is left out of the corpus (shard/parts/tombstones.h). */
#include "base/vlm.h"

#include "trainer/data/corpus_internal.h"
#include "vqgan/image/image.h"

int vlm_corpus_tombstones(struct vlm_corpus *corpus, uint64_t *new_ones, struct vlm_err *err)
{
    int result = VLM_OK;
    *new_ones = 0;
    pthread_mutex_lock(&corpus->reload);
    if (corpus->warning.code == VLM_SKIP) {
        *err = corpus->warning;
        result = VLM_SKIP;
        corpus->warning.code = VLM_OK;
    }
    for (size_t i = 0; result >= 0 && i < corpus->n; i++) {
        int rc = vlm_tombstones_read(&corpus->sources[i].tombstones, &corpus->lock, new_ones, err);
        result = rc == VLM_OK ? result : rc;
    }
    if (*new_ones)
        atomic_fetch_add(&corpus->generation, 1);
    pthread_mutex_unlock(&corpus->reload);
    return result;
}

uint64_t vlm_corpus_generation(const struct vlm_corpus *corpus)
{
    return atomic_load(&corpus->generation);
}

bool vlm_corpus_id_is_deleted(struct vlm_corpus *corpus, size_t source, const uint8_t id[16])
{
    pthread_rwlock_rdlock(&corpus->lock);
    bool found = vlm_tombstones_has_id(&corpus->sources[source].tombstones, id);
    pthread_rwlock_unlock(&corpus->lock);
    return found;
}

bool vlm_corpus_url_is_deleted(struct vlm_corpus *corpus, size_t source, const char *url)
{
    pthread_rwlock_rdlock(&corpus->lock);
    bool found = vlm_tombstones_has_url(&corpus->sources[source].tombstones, url);
    pthread_rwlock_unlock(&corpus->lock);
    return found;
}

void vlm_corpus_strip_deleted(struct vlm_corpus *corpus, size_t source,
                              struct vlm_document *document)
{
    const struct vlm_tombstones *tombstones = &corpus->sources[source].tombstones;
    pthread_rwlock_rdlock(&corpus->lock);
    for (size_t i = 0; tombstones->images.n && i < document->n_images; i++)
        if (vlm_tombstones_has_image(tombstones, document->images[i].sha256))
            document->images[i].status = VLM_IMAGE_OPT_OUT;
    pthread_rwlock_unlock(&corpus->lock);
}
