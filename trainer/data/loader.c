/* loader.c - threads that render documents ahead of the caller, in a ring of a bounded size.
 *
 * Which thread renders a document is left to chance; what it gives depends on the document alone, and the
 * caller takes the documents in the order in which they were drawn. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/progress.h"
#include "trainer/data/loader_internal.h"

#include <signal.h>

/* Drawing ---------------------------------------------------------------------------------------------- */

/* Whether documents come in a shuffled order, again and again. */
static bool goes_round(const struct vlm_loader_options *options)
{
    return options->split == VLM_SPLIT_TRAIN && !options->once;
}

bool vlm_loader_draw(const struct vlm_loader *loader, struct vlm_cursor *cursor,
                     struct vlm_pick *pick)
{
    const struct vlm_corpus *corpus = loader->corpus;
    if (goes_round(&loader->options)) {
        *pick = vlm_corpus_pick(corpus, cursor);
        return true;
    }
    for (size_t i = 0; i < vlm_corpus_sources(corpus); i++)
        if (cursor->drawn[i] < vlm_corpus_source(corpus, i)->documents) {
            *pick = (struct vlm_pick){ .source = i, .number = cursor->drawn[i]++ };
            return true;
        }
    return false;
}

/* Threads ---------------------------------------------------------------------------------------------- */

static struct vlm_loader_slot *slot_of(struct vlm_loader *loader, uint64_t number)
{
    return &loader->slots[number % VLM_LOADER_RING];
}

/* The document that the caller waits for is always let through, so that one larger than all limits ends no run. */
static bool may_take(const struct vlm_loader *loader)
{
    return !loader->paused && !loader->ended && loader->next - loader->taken < VLM_LOADER_RING &&
           (loader->bytes < VLM_LOADER_BYTES || loader->next == loader->taken);
}

static void *work(void *context)
{
    struct vlm_loader_worker *worker = context;
    struct vlm_loader *loader = worker->loader;
    pthread_mutex_lock(&loader->lock);
    while (!loader->stop) {
        if (!may_take(loader)) {
            pthread_cond_wait(&loader->work, &loader->lock);
            continue;
        }
        const uint64_t number = loader->next++;
        struct vlm_loader_slot *slot = slot_of(loader, number);
        slot->state = VLM_SLOT_TAKEN;
        slot->end = !vlm_loader_draw(loader, &loader->cursor, &slot->pick);
        loader->ended = slot->end;
        if (!slot->end) {
            pthread_mutex_unlock(&loader->lock);
            vlm_loader_render(worker, slot);
            pthread_mutex_lock(&loader->lock);
        }
        slot->state = VLM_SLOT_READY;
        loader->bytes += slot->bytes;
        if (loader->paused || number == loader->taken) /* nobody waits for others */
            pthread_cond_signal(&loader->ready);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

static int start_thread(struct vlm_loader_worker *worker, struct vlm_err *err)
{
    sigset_t all, was;
    sigfillset(&all); /* signals are the main thread's, but for that of a map without its file */
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    int number = pthread_create(&worker->thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    return number ? vlm_fail_errno(err, number, "cannot start a thread that loads") : VLM_OK;
}

static int make_worker(struct vlm_loader *loader, struct vlm_loader_worker *worker,
                       struct vlm_err *err)
{
    const struct vlm_loader_options *options = &loader->options;
    worker->loader = loader;
    vlm_arena_init(&worker->arena, VLM_GIB);
    int rc = vlm_corpus_reader_new(&worker->reader, loader->corpus, err);
    for (size_t i = 0; rc == VLM_OK && i < vlm_corpus_sources(loader->corpus); i++) {
        const bool profiled = vlm_corpus_source(loader->corpus, i)->profiled;
        struct vlm_sampling sampling = options->sampling;
        if (profiled)
            sampling.render_flags |= VLM_RENDER_MAIN;
        if (!worker->sampler[profiled])
            rc = vlm_sampler_new(&worker->sampler[profiled], &sampling, options->vocabulary, err);
    }
    return rc;
}

/* A loader --------------------------------------------------------------------------------------------- */

static int check_options(const struct vlm_loader_options *options, struct vlm_err *err)
{
    if (!options->threads)
        return vlm_fail(err, VLM_EUSAGE, "no thread is to load; at least one must");
    if (options->tokens < options->sampling.block)
        return vlm_fail(err, VLM_EUSAGE,
                        "a micro-batch of %zu tokens has no room for a block of %zu",
                        options->tokens, options->sampling.block);
    if (options->tokens > UINT32_MAX / 2)
        return vlm_fail(err, VLM_EUSAGE,
                        "a micro-batch of %zu tokens is over the limit of %" PRIu32,
                        options->tokens, UINT32_MAX / 2);
    for (size_t i = 0; i < VLM_MODALITIES; i++)
        if (!(options->weight[i] >= 0 && options->weight[i] <= 1e6))
            return vlm_fail(err, VLM_EUSAGE,
                            "objective.weight.%s = %g is not between 0 and 1000000",
                            vlm_modality_name((unsigned)i), options->weight[i]);
    return VLM_OK;
}

static int make_batch(struct vlm_loader *loader, struct vlm_err *err)
{
    const size_t n = loader->options.tokens;
    loader->ids = calloc(n, sizeof(*loader->ids));
    loader->positions = calloc(n, sizeof(*loader->positions));
    loader->lo = calloc(n, sizeof(*loader->lo));
    loader->hi = calloc(n, sizeof(*loader->hi));
    loader->targets = calloc(n, sizeof(*loader->targets));
    loader->weights = calloc(n, sizeof(*loader->weights));
    loader->modality = calloc(n, sizeof(*loader->modality));
    if (!loader->ids || !loader->positions || !loader->lo || !loader->hi || !loader->targets ||
        !loader->weights || !loader->modality)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a micro-batch of %zu tokens", n);
    return VLM_OK;
}

/* Documents until each source has been gone through once. */
static uint64_t documents_of_round(const struct vlm_corpus *corpus)
{
    double round = 0;
    for (size_t i = 0; i < vlm_corpus_sources(corpus); i++) {
        const struct vlm_source_info *source = vlm_corpus_source(corpus, i);
        if (source->documents)
            round = VLM_MAX(round, ((double)source->documents + 1) / source->weight);
    }
    return round < 0x1p62 ? (uint64_t)round + 1 : UINT64_C(1) << 62;
}

int vlm_loader_new(struct vlm_loader **out, struct vlm_corpus *corpus,
                   const struct vlm_loader_options *options, const struct vlm_place *place,
                   struct vlm_err *err)
{
    *out = NULL;
    int rc = check_options(options, err);
    if (rc != VLM_OK)
        return rc;
    struct vlm_loader *loader = calloc(1, sizeof(*loader));
    if (loader)
        loader->workers = calloc(options->threads, sizeof(*loader->workers));
    if (!loader || !loader->workers) {
        free(loader);
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu threads that load", options->threads);
    }
    loader->corpus = corpus;
    loader->options = *options;
    loader->at = loader->after = *place;
    loader->cursor = place->cursor;
    loader->generation = vlm_corpus_generation(corpus);
    loader->round = documents_of_round(corpus);
    rc = make_batch(loader, err);
    for (size_t i = 0; rc == VLM_OK && i < options->threads; i++)
        rc = make_worker(loader, &loader->workers[i], err);
    if (rc == VLM_OK) {
        pthread_mutex_init(&loader->lock, NULL);
        pthread_cond_init(&loader->work, NULL);
        pthread_cond_init(&loader->ready, NULL);
        loader->made = true;
    }
    for (; rc == VLM_OK && loader->n_started < options->threads; loader->n_started += rc == VLM_OK)
        rc = start_thread(&loader->workers[loader->n_started], err);
    if (rc != VLM_OK)
        vlm_loader_free(loader);
    else
        *out = loader;
    return rc;
}

static void stop_threads(struct vlm_loader *loader)
{
    if (!loader->made)
        return;
    pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    for (size_t i = 0; i < loader->n_started; i++)
        pthread_join(loader->workers[i].thread, NULL);
    pthread_cond_destroy(&loader->ready);
    pthread_cond_destroy(&loader->work);
    pthread_mutex_destroy(&loader->lock);
}

void vlm_loader_free(struct vlm_loader *loader)
{
    if (!loader)
        return;
    stop_threads(loader);
    for (size_t i = 0; i < loader->options.threads; i++) {
        struct vlm_loader_worker *worker = &loader->workers[i];
        vlm_corpus_reader_free(worker->reader);
        vlm_sampler_free(worker->sampler[0]);
        vlm_sampler_free(worker->sampler[1]);
        vlm_arena_release(&worker->arena);
    }
    for (size_t i = 0; i < VLM_LOADER_RING; i++)
        vlm_loader_slot_release(&loader->slots[i]);
    free(loader->workers);
    free(loader->ids);
    free(loader->positions);
    free(loader->lo);
    free(loader->hi);
    free(loader->targets);
    free(loader->weights);
    free(loader->modality);
    free(loader->samples);
    free(loader->image_rows);
    free(loader->codes);
    free(loader);
}

/* The caller's side ------------------------------------------------------------------------------------ */

/* What was rendered ahead is forgotten, and all begins anew at the next sample. */
static void restart(struct vlm_loader *loader)
{
    pthread_mutex_lock(&loader->lock);
    loader->paused = true;
    for (size_t i = 0; i < VLM_LOADER_RING; i++)
        while (loader->slots[i].state == VLM_SLOT_TAKEN)
            pthread_cond_wait(&loader->ready, &loader->lock);
    for (size_t i = 0; i < VLM_LOADER_RING; i++)
        vlm_loader_slot_clear(&loader->slots[i]);
    loader->next = loader->taken = 0;
    loader->bytes = 0;
    loader->cursor = loader->at.cursor;
    loader->paused = loader->ended = loader->held = false;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
}

/* Waits until the document that comes next is rendered. */
static const struct vlm_loader_slot *hold(struct vlm_loader *loader)
{
    pthread_mutex_lock(&loader->lock);
    struct vlm_loader_slot *slot = slot_of(loader, loader->taken);
    if (slot->state != VLM_SLOT_READY) {
        const double start = vlm_now();
        while (slot->state != VLM_SLOT_READY)
            pthread_cond_wait(&loader->ready, &loader->lock);
        loader->counts.wait_seconds += vlm_now() - start;
    }
    pthread_mutex_unlock(&loader->lock);
    loader->held = true;
    return slot;
}

/* Gives the slot of the document back, and goes on to the next. */
static void let_go(struct vlm_loader *loader)
{
    struct vlm_pick passed;
    (void)vlm_loader_draw(loader, &loader->at.cursor, &passed);
    loader->at.sample = 0;
    loader->held = false;
    pthread_mutex_lock(&loader->lock);
    struct vlm_loader_slot *slot = slot_of(loader, loader->taken++);
    loader->bytes -= slot->bytes;
    vlm_loader_slot_clear(slot);
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
}

/* Counts a document without samples. */
static void count_skipped(struct vlm_loader *loader, const struct vlm_loader_slot *slot)
{
    struct vlm_loader_counts *counts = &loader->counts;
    switch (slot->why) {
    case VLM_LEFT_OUT_SPLIT:
        counts->skipped_validation++;
        break;
    case VLM_LEFT_OUT_DELETED:
        counts->skipped_deleted++;
        break;
    case VLM_LEFT_OUT_DAMAGED:
        if (!counts->skipped_damaged++)
            loader->damage = slot->err;
        break;
    default:
        if (!counts->skipped_empty++)
            loader->empty = slot->err;
        break;
    }
}

static int fail_fruitless(const struct vlm_loader *loader, struct vlm_err *err)
{
    const struct vlm_loader_counts *now_at = &loader->counts, *then = &loader->before;
    const uint64_t empty = now_at->skipped_empty - then->skipped_empty;
    const uint64_t damaged = now_at->skipped_damaged - then->skipped_damaged;
    struct vlm_buffer text = { 0 };
    vlm_buffer_printf(&text,
                      "%" PRIu64 " documents of '%s'%s give no sample of %s: ", loader->fruitless,
                      vlm_corpus_source(loader->corpus, 0)->folder,
                      vlm_corpus_sources(loader->corpus) > 1 ? " and others" : "",
                      loader->options.sampling.recipe);
    vlm_buffer_printf(&text, "%" PRIu64 " hold nothing to learn", empty);
    if (empty)
        vlm_buffer_printf(&text, " (%.200s)", loader->empty.msg);
    vlm_buffer_printf(&text, ", %" PRIu64 " are damaged", damaged);
    if (damaged)
        vlm_buffer_printf(&text, " (%.300s)", loader->damage.msg);
    vlm_buffer_printf(&text, ", %" PRIu64 " are deleted, %" PRIu64 " are for validation",
                      now_at->skipped_deleted - then->skipped_deleted,
                      now_at->skipped_validation - then->skipped_validation);
    vlm_buffer_byte(&text, 0);
    int rc = vlm_fail(err, VLM_EFORMAT, "%s",
                      text.failed ? "no document gives a sample" : (const char *)text.data);
    vlm_buffer_release(&text);
    return rc;
}

/* The slot whose sample at.sample comes next. VLM_EOF, or the errors of vlm_loader_next(). */
static int find_sample(struct vlm_loader *loader, const struct vlm_loader_slot **out,
                       struct vlm_err *err)
{
    const struct vlm_loader_options *options = &loader->options;
    const struct vlm_loader_slot *slot = slot_of(loader, loader->taken);
    while (!loader->over) {
        if (!loader->held && !goes_round(options) && options->documents_max &&
            loader->counts.documents >= options->documents_max)
            break;
        if (!loader->held)
            slot = hold(loader);
        if (slot->end)
            break;
        if (slot->rc < 0) {
            *err = slot->err;
            return slot->rc;
        }
        if (loader->at.sample < slot->n_samples) {
            *out = slot;
            return VLM_OK;
        }
        loader->counts.left_out += slot->left_out;
        loader->fruitless++;
        if (slot->rc == VLM_SKIP)
            count_skipped(loader, slot);
        let_go(loader);
        if (goes_round(options) && loader->fruitless > loader->round)
            return fail_fruitless(loader, err);
    }
    loader->over = true;
    if (options->split != VLM_SPLIT_VALIDATION && !loader->counts.samples)
        return fail_fruitless(loader, err);
    return VLM_EOF;
}

/* Takes the sample into the batch. */
static int add_sample(struct vlm_loader *loader, struct vlm_batch *batch,
                      const struct vlm_loader_slot *slot, struct vlm_err *err)
{
    int rc = vlm_loader_pack(loader, batch, slot, (size_t)loader->at.sample, err);
    if (rc != VLM_OK)
        return rc;
    if (!loader->at.sample)
        loader->counts.left_out += slot->left_out;
    loader->at.sample++;
    loader->after = loader->at;
    loader->counts.samples++;
    loader->before = loader->counts;
    loader->fruitless = 0;
    if (loader->at.sample == slot->n_samples) {
        batch->documents++;
        loader->counts.documents++;
        let_go(loader);
        loader->after = loader->at;
    }
    return VLM_OK;
}

static void finish(struct vlm_loader *loader, struct vlm_batch *batch)
{
    batch->rows.ids = loader->ids;
    batch->rows.positions = loader->positions;
    batch->rows.lo = loader->lo;
    batch->rows.hi = loader->hi;
    if (batch->rows.n_images) {
        batch->rows.codes = loader->codes[0];
        batch->rows.image_rows = loader->image_rows;
    }
    batch->targets = loader->targets;
    batch->weights = loader->weights;
    batch->modality = loader->modality;
    batch->sample = loader->samples;
    batch->after = loader->after;
    loader->counts.tokens += batch->rows.n;
}

int vlm_loader_next(struct vlm_loader *loader, struct vlm_batch *batch, struct vlm_err *err)
{
    struct vlm_pack pack = { .size = loader->options.tokens };
    const struct vlm_loader_slot *slot = NULL;
    const uint64_t generation = vlm_corpus_generation(loader->corpus);
    int rc = VLM_OK;
    *batch =
        (struct vlm_batch){ .image_rows = loader->options.image_rows, .before = loader->after };
    if (loader->failure.code) {
        *err = loader->failure;
        return err->code;
    }
    if (generation != loader->generation) {
        loader->generation = generation;
        restart(loader);
    }
    while (rc == VLM_OK && (rc = find_sample(loader, &slot, err)) == VLM_OK) {
        bool new_row;
        (void)vlm_pack_place(&pack, slot->samples[loader->at.sample].rows, &new_row);
        if (new_row && batch->samples)
            break;
        rc = add_sample(loader, batch, slot, err);
    }
    if (rc < 0) {
        loader->failure = *err;
        return rc;
    }
    if (!batch->samples)
        return VLM_EOF;
    finish(loader, batch);
    return VLM_OK;
}

struct vlm_loader_counts vlm_loader_counts(const struct vlm_loader *loader)
{
    return loader->counts;
}

const char *vlm_loader_damage(const struct vlm_loader *loader)
{
    return loader->damage.msg;
}
