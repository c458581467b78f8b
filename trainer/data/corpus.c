/* corpus.c - opening shard sets to learn from, and the order in which their documents come.
 *
 * LMDB believes its file, so that a damaged part could end a run in a signal: each part is compared with the
 * manifest's checksums first, and the file that was checked stays open, so that what is mapped later is the
 * same file even when the set has been sealed anew. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/random.h"
#include "trainer/data/corpus_internal.h"
#include "trainer/data/permutation.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#define DOCUMENTS_MAX (UINT64_C(1) << 48) /* of a set: far more than any; sums stay exact */

/* Opening ----------------------------------------------------------------------------------------- */

int vlm_corpus_part_open(int *fd, const struct vlm_part_info *part, const char *path, bool whole,
                         struct vlm_err *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not stop us */
    if (*fd < 0)
        return vlm_fail_errno(err, errno, "cannot read '%s'", path);
    return whole ? vlm_part_check(part, *fd, path, err) : vlm_part_check_size(part, *fd, path, err);
}

/* Opens and checks the parts of a source; those beyond VLM_PARTS_HELD are closed again. */
static int open_parts(struct vlm_corpus *corpus, struct vlm_corpus_source *source, bool whole,
                      struct vlm_err *err)
{
    const struct vlm_manifest *manifest = &source->manifest;
    source->first = calloc(manifest->n_parts + 1, sizeof(*source->first));
    source->parts = calloc(manifest->n_parts + 1, sizeof(*source->parts));
    if (!source->first || !source->parts)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu parts", manifest->n_parts);
    for (size_t i = 0; i < manifest->n_parts; i++)
        source->parts[i].fd = -1;
    source->first_part = corpus->n_parts;
    for (size_t i = 0; i < manifest->n_parts; i++, corpus->n_parts++) {
        const struct vlm_part_info *info = &manifest->parts[i];
        struct vlm_corpus_part *part = &source->parts[i];
        part->path = vlm_path_join(source->info.folder, info->name);
        int rc = vlm_corpus_part_open(&part->fd, info, part->path, whole, err);
        if (rc < 0)
            return rc;
        if (corpus->n_parts >= VLM_PARTS_HELD) {
            close(part->fd);
            part->fd = -1;
        }
        if (info->documents > DOCUMENTS_MAX - source->first[i])
            return vlm_fail(err, VLM_EFORMAT, "manifest.json of '%s' has too many documents",
                            source->info.folder);
        source->first[i + 1] = source->first[i] + info->documents;
        source->info.images += info->images;
    }
    source->info.documents = source->first[manifest->n_parts];
    return VLM_OK;
}

/* VLM_EUSAGE: the folder is one of the sources before it, by this or another name. */
static int check_folder(const struct vlm_corpus *corpus, const char *folder, struct vlm_err *err)
{
    struct stat it, other;
    if (stat(folder, &it) < 0)
        return vlm_fail_errno(err, errno, "cannot read '%s'", folder);
    for (size_t i = 0; i < corpus->n; i++) {
        const char *before = corpus->sources[i].info.folder;
        if (stat(before, &other) == 0 && other.st_ino == it.st_ino && other.st_dev == it.st_dev)
            return vlm_fail(err, VLM_EUSAGE,
                            "shard set '%s' is given twice%s%s%s; its weight says how often its "
                            "documents come",
                            folder, strcmp(folder, before) ? ", first as '" : "",
                            strcmp(folder, before) ? before : "",
                            strcmp(folder, before) ? "'" : "");
    }
    return VLM_OK;
}

static int open_source(struct vlm_corpus *corpus, const struct vlm_corpus_options *options,
                       size_t i, struct vlm_err *err)
{
    struct vlm_corpus_source *source = &corpus->sources[i];
    int rc = check_folder(corpus, options->folder[i], err);
    if (rc < 0)
        return rc;
    corpus->n++;
    source->info.weight = options->weight[i];
    source->info.folder = strdup(options->folder[i]);
    if (!source->info.folder)
        return vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", options->folder[i]);
    rc = vlm_manifest_read(&source->manifest, source->info.folder, err);
    if (rc == VLM_SKIP)
        return vlm_recode(err, VLM_EFAIL);
    if (rc == VLM_OK)
        rc = open_parts(corpus, source, !options->no_verify, err);
    if (rc < 0)
        return rc;
    vlm_parts_digest(source->manifest.parts, source->manifest.n_parts, source->info.digest);
    source->info.generation = source->manifest.generation;
    source->info.profiled = vlm_manifest_has_profile(&source->manifest);
    vlm_tombstones_init(&source->tombstones, source->info.folder);
    return VLM_OK;
}

/* Weights, and what makes shares of them ----------------------------------------------------------- */

static int check_options(const struct vlm_corpus_options *options, struct vlm_err *err)
{
    size_t weights = 0;
    if (!options->n)
        return vlm_fail(err, VLM_EUSAGE, "no shard set is given");
    if (options->n > VLM_SOURCES_MAX)
        return vlm_fail(err, VLM_EUSAGE, "%zu shard sets are given, at most %d are possible",
                        options->n, VLM_SOURCES_MAX);
    if (!(options->validation_share >= 0 && options->validation_share <= 0.5))
        return vlm_fail(err, VLM_EUSAGE, "a validation share of %g is not between 0 and 0.5",
                        options->validation_share);
    for (size_t i = 0; i < options->n; i++) {
        if (!isfinite(options->weight[i]) || options->weight[i] < 0)
            return vlm_fail(err, VLM_EUSAGE, "the weight %g of '%s' is no positive number",
                            options->weight[i], options->folder[i]);
        weights += options->weight[i] > 0;
    }
    for (size_t i = 0; weights && i < options->n; i++)
        if (options->weight[i] <= 0)
            return vlm_fail(err, VLM_EUSAGE,
                            "'%s' has no weight, but other shard sets have: give one to each",
                            options->folder[i]);
    return VLM_OK;
}

static int find_shares(struct vlm_corpus *corpus, struct vlm_err *err)
{
    double sum = 0;
    uint64_t documents = 0;
    for (size_t i = 0; i < corpus->n; i++)
        documents += corpus->sources[i].info.documents;
    if (!documents)
        return vlm_fail(err, VLM_EUSAGE, "'%s'%s no documents", corpus->sources[0].info.folder,
                        corpus->n > 1 ? " and the other shard sets hold" : " holds");
    for (size_t i = 0; i < corpus->n; i++) {
        struct vlm_corpus_source *source = &corpus->sources[i];
        if (source->info.weight > 0 && !source->info.documents)
            return vlm_fail(err, VLM_EUSAGE, "'%s' has a weight, but holds no documents",
                            source->info.folder);
        if (source->info.weight <= 0)
            source->info.weight = (double)source->info.documents;
        sum += source->info.weight;
    }
    if (!isfinite(sum))
        return vlm_fail(err, VLM_EUSAGE, "the weights of the shard sets are too large");
    for (size_t i = 0; i < corpus->n; i++)
        corpus->sources[i].info.weight /= sum;
    return VLM_OK;
}

/* Codes -------------------------------------------------------------------------------------------- */

/* The first set with codes that has none of this tokenizer; NULL: all sets with codes have it. */
static const struct vlm_corpus_source *without(const struct vlm_corpus *corpus, const char *id)
{
    for (size_t i = 0; i < corpus->n; i++) {
        const struct vlm_set_tokenizers *has = &corpus->sources[i].manifest.tokenizers;
        if (has->n && vlm_tokenizers_find(has, id) == has->n)
            return &corpus->sources[i];
    }
    return NULL;
}

static int choose_tokenizer(struct vlm_corpus *corpus, const char *id, struct vlm_err *err)
{
    const struct vlm_corpus_source *coded = NULL, *other;
    char text[2][VLM_TOKENIZERS_TEXT];
    for (size_t i = 0; !coded && i < corpus->n; i++)
        if (corpus->sources[i].manifest.tokenizers.n)
            coded = &corpus->sources[i];
    if (!coded && id)
        return vlm_fail(err, VLM_EUSAGE, "'%s' has no codes of '%s', nor of any other tokenizer",
                        corpus->sources[0].info.folder, id);
    if (!coded)
        return VLM_OK;
    const struct vlm_set_tokenizers *list = &coded->manifest.tokenizers;
    if (id && (other = without(corpus, id)))
        return vlm_fail(err, VLM_EUSAGE, "'%s' has no codes of '%s', but %s", other->info.folder,
                        id, vlm_tokenizers_text(text[0], &other->manifest.tokenizers));
    for (size_t i = 0; !id && i < list->n; i++)
        if (!without(corpus, list->list[i].id))
            id = list->list[i].id;
    if (!id) {
        other = without(corpus, list->list[0].id);
        return vlm_fail(err, VLM_EUSAGE,
                        "no image tokenizer is common to the shard sets: '%s' has %.300s, '%s' has "
                        "%.300s",
                        coded->info.folder, vlm_tokenizers_text(text[0], list), other->info.folder,
                        vlm_tokenizers_text(text[1], &other->manifest.tokenizers));
    }
    for (size_t i = 0; i < corpus->n; i++) {
        struct vlm_corpus_source *source = &corpus->sources[i];
        const struct vlm_set_tokenizers *has = &source->manifest.tokenizers;
        source->info.coded = has->n > 0;
        source->tokenizer = has->n ? &has->list[vlm_tokenizers_find(has, id)] : NULL;
        if (source->tokenizer && !corpus->tokenizer)
            corpus->tokenizer = source->tokenizer;
        if (source->tokenizer &&
            source->tokenizer->codebook_size != corpus->tokenizer->codebook_size)
            return vlm_fail(err, VLM_EFORMAT,
                            "'%s' has codes of '%s' from a codebook of %" PRIu64
                            ", other shard sets of %" PRIu64,
                            source->info.folder, id, source->tokenizer->codebook_size,
                            corpus->tokenizer->codebook_size);
    }
    return VLM_OK;
}

/* The corpus --------------------------------------------------------------------------------------- */

int vlm_corpus_open(struct vlm_corpus **out, const struct vlm_corpus_options *options,
                    struct vlm_err *err)
{
    *out = NULL;
    int rc = check_options(options, err);
    if (rc < 0)
        return rc;
    struct vlm_corpus *corpus = calloc(1, sizeof(*corpus));
    if (corpus)
        corpus->sources = calloc(options->n, sizeof(*corpus->sources));
    if (!corpus || !corpus->sources) {
        free(corpus);
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu shard sets", options->n);
    }
    corpus->seed = options->seed;
    corpus->validation_below = (uint64_t)ldexp(options->validation_share, 64);
    for (size_t i = 0; rc == VLM_OK && i < options->n; i++)
        rc = open_source(corpus, options, i, err);
    if (rc == VLM_OK)
        rc = find_shares(corpus, err);
    if (rc == VLM_OK)
        rc = choose_tokenizer(corpus, options->image_tokenizer, err);
    if (rc == VLM_OK) {
        pthread_rwlock_init(&corpus->lock, NULL);
        pthread_mutex_init(&corpus->reload, NULL);
        corpus->locks = true;
        uint64_t added;
        struct vlm_err warning = { 0 };
        rc = vlm_corpus_tombstones(corpus, &added, &warning);
        if (rc < 0)
            *err = warning;
        else
            corpus->warning = warning;
    }
    if (rc < 0) {
        vlm_corpus_close(corpus);
        return rc;
    }
    *out = corpus;
    return VLM_OK;
}

void vlm_corpus_close(struct vlm_corpus *corpus)
{
    if (!corpus)
        return;
    for (size_t i = 0; i < corpus->n; i++) {
        struct vlm_corpus_source *source = &corpus->sources[i];
        for (size_t k = 0; source->parts && k < source->manifest.n_parts; k++) {
            if (source->parts[k].path && source->parts[k].fd >= 0)
                close(source->parts[k].fd);
            free(source->parts[k].path);
        }
        free(source->parts);
        free(source->first);
        free((char *)source->info.folder);
        vlm_manifest_release(&source->manifest);
        vlm_tombstones_release(&source->tombstones);
    }
    if (corpus->locks) {
        pthread_rwlock_destroy(&corpus->lock);
        pthread_mutex_destroy(&corpus->reload);
    }
    free(corpus->sources);
    free(corpus);
}

size_t vlm_corpus_sources(const struct vlm_corpus *corpus)
{
    return corpus->n;
}

const struct vlm_source_info *vlm_corpus_source(const struct vlm_corpus *corpus, size_t source)
{
    return &corpus->sources[source].info;
}

const struct vlm_set_tokenizer *vlm_corpus_tokenizer(const struct vlm_corpus *corpus)
{
    return corpus->tokenizer;
}

/* Order -------------------------------------------------------------------------------------------- */

/* The source whose document comes next. */
static size_t due(const struct vlm_corpus *corpus, const struct vlm_cursor *cursor)
{
    double next = 1, earliest = INFINITY, earliest_of_all = INFINITY;
    size_t best = corpus->n, best_of_all = 0;
    for (size_t i = 0; i < corpus->n; i++)
        next += (double)cursor->drawn[i];
    for (size_t i = 0; i < corpus->n; i++) {
        const double share = corpus->sources[i].info.weight, drawn = (double)cursor->drawn[i];
        if (share <= 0)
            continue;
        const double deadline = (drawn + 1) / share;
        if (deadline < earliest_of_all) {
            earliest_of_all = deadline;
            best_of_all = i;
        }
        if (drawn < share * next && deadline < earliest) {
            earliest = deadline;
            best = i;
        }
    }
    /* Shares add up to 1, so that one is always behind; rounding may hide it. */
    return best < corpus->n ? best : best_of_all;
}

struct vlm_pick vlm_corpus_pick(const struct vlm_corpus *corpus, struct vlm_cursor *cursor)
{
    const size_t source = due(corpus, cursor);
    const uint64_t n = corpus->sources[source].info.documents, i = cursor->drawn[source]++;
    const struct vlm_permutation order = vlm_permutation_of(n, corpus->seed, source, i / n);
    return (struct vlm_pick){ .source = source,
                              .number = vlm_permutation_at(&order, i % n),
                              .epoch = i / n };
}
