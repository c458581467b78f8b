/* sample_window.c - Flamingo: a window of a page with its first images, and which image each token
 * sees (Alayrac et al. 2022, sections A.1.3 and A.3.2; version 1 section 3.2.1). */
#include "base/vlm.h"

#include "tokenize/sequence/run.h"
#include "tokenize/sequence/sample_internal.h"

enum { TRIES = 8 };

static size_t choose_start(const struct vlm_sequence *document, size_t block,
                           struct vlm_random *random)
{
    const struct vlm_sequence_image *images = document->images;
    const size_t last = document->n > block ? document->n - block : 0;
    for (int i = 0; i < TRIES; i++) {
        size_t start = vlm_random_below(random, last + 1);
        size_t image = vlm_images_after(images, document->n_images, start);
        if (image < document->n_images && images[image].position < start + block)
            return start;
    }
    size_t image = vlm_random_below(random, document->n_images);
    return VLM_MIN(images[image].position, last);
}

/* Fills the window from start on; <image> tokens behind the first images_max are left out. */
static bool fill(struct vlm_sampler *sampler, size_t start)
{
    const struct vlm_sequence *document = &sampler->document;
    const size_t block = sampler->sampling.block;
    size_t image = vlm_images_after(document->images, document->n_images, start) +
                   sampler->sampling.images_max;
    for (size_t at = start; at < document->n && sampler->sample.n < block; image++) {
        size_t end = image < document->n_images ? document->images[image].position : document->n;
        size_t n = VLM_MIN(end - at, block - sampler->sample.n);
        if (!vlm_sequence_append(&sampler->sample, document, at, at + n))
            return false;
        at = end + 1;
    }
    return true;
}

/* The number of the image, from 1 on, whose pictures each token sees; 0: none. */
static void number_images(int32_t *phi, const struct vlm_sequence *sample, bool next)
{
    size_t image = 0; /* those before or at the token */
    for (size_t i = 0; i < sample->n; i++) {
        bool here = image < sample->n_images && sample->images[image].position == i;
        image += here;
        size_t sees = image + (next && !here);
        phi[i] = sees > sample->n_images ? 0 : (int32_t)sees;
    }
}

/* No loss on <image>; for open_flamingo's labels, also none before the first one, nor from behind
 * an <EOC> to the next one. */
static void weigh(struct vlm_sequence *sample, bool open_flamingo, uint32_t end_of_chunk)
{
    for (size_t i = 0; i < sample->n_images; i++)
        sample->weights[sample->images[i].position] = 0;
    if (!open_flamingo)
        return;
    bool counts = false;
    size_t image = 0;
    for (size_t i = 0; i < sample->n; i++) {
        if (image < sample->n_images && sample->images[image].position == i) {
            image++;
            counts = true;
            continue;
        }
        if (!counts)
            sample->weights[i] = 0;
        if (sample->ids[i] == end_of_chunk)
            counts = false;
    }
}

int vlm_sample_window(struct vlm_sampler *sampler, struct vlm_sample *sample, struct vlm_err *err)
{
    const struct vlm_sampling *sampling = &sampler->sampling;
    if (sampler->next || !sampler->document.n_images)
        return VLM_EOF;
    struct vlm_random random = vlm_sampler_random(sampler, 0);
    sample->next = vlm_random_unit(&random) < sampling->next_share;
    size_t start = choose_start(&sampler->document, sampling->block, &random);
    if (!fill(sampler, start))
        return vlm_fail(err, VLM_ENOMEM, "no memory for a window of %zu tokens", sampling->block);
    number_images(sampler->phi, &sampler->sample, sample->next);
    weigh(&sampler->sample, !sampling->flamingo_labels,
          sampler->vocabulary->control[VLM_CONTROL_END_OF_CHUNK]);
    sample->phi = sampler->phi;
    return VLM_OK;
}
