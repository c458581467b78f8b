/* corpus_reader.c - documents of a corpus by number, for one thread.
 *
 * Each reader has maps and read transactions of its own (LMDB's may not be shared by threads); the pages
 * behind the maps are the same. The least recently used map goes when there are too many. */
#include "base/vlm.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/random.h"
#include "base/sorter.h"
#include "trainer/data/corpus_internal.h"

#include <unistd.h>

struct mapped {
    struct vlm_part_reader *part;
    size_t number; /* of the part in the corpus */
    uint64_t used; /* when */
};

struct vlm_corpus_reader {
    struct vlm_corpus *corpus;
    size_t *place; /* [n_parts] 1 + index into mapped, 0: it is not mapped */
    struct mapped mapped[VLM_PARTS_MAPPED];
    size_t n_mapped;
    uint64_t clock;
};

int vlm_corpus_reader_new(struct vlm_corpus_reader **out, struct vlm_corpus *corpus,
                          struct vlm_err *err)
{
    struct vlm_corpus_reader *reader = calloc(1, sizeof(*reader));
    *out = NULL;
    if (reader)
        reader->place = calloc(corpus->n_parts + 1, sizeof(*reader->place));
    if (!reader || !reader->place) {
        free(reader);
        return vlm_fail(err, VLM_ENOMEM, "no memory for a reader of %zu parts", corpus->n_parts);
    }
    reader->corpus = corpus;
    *out = reader;
    return VLM_OK;
}

void vlm_corpus_reader_free(struct vlm_corpus_reader *reader)
{
    if (!reader)
        return;
    for (size_t i = 0; i < reader->n_mapped; i++)
        vlm_part_close(reader->mapped[i].part);
    free(reader->place);
    free(reader);
}

/* A free place in mapped: a new one, or that of the part which was not used for the longest time. */
static struct mapped *make_room(struct vlm_corpus_reader *reader)
{
    if (reader->n_mapped < VLM_PARTS_MAPPED)
        return &reader->mapped[reader->n_mapped++];
    struct mapped *oldest = &reader->mapped[0];
    for (size_t i = 1; i < VLM_PARTS_MAPPED; i++)
        if (reader->mapped[i].used < oldest->used)
            oldest = &reader->mapped[i];
    vlm_part_close(oldest->part);
    if (oldest->part)
        reader->place[oldest->number] = 0;
    oldest->part = NULL;
    return oldest;
}

static int map_part(struct vlm_part_reader **out, const struct vlm_corpus_source *source,
                    size_t part, struct vlm_err *err)
{
    const struct vlm_corpus_part *it = &source->parts[part];
    int fd = it->fd, rc = VLM_OK;
    *out = NULL;
    if (fd < 0) /* checked as a whole when the corpus was opened */
        rc = vlm_corpus_part_open(&fd, &source->manifest.parts[part], it->path, false, err);
    if (rc == VLM_OK)
        rc = vlm_part_open_fd(out, fd, it->path, err);
    if (it->fd < 0 && fd >= 0)
        close(fd);
    if (rc != VLM_OK) {
        vlm_part_close(*out);
        *out = NULL;
    }
    return rc;
}

static int get_part(struct vlm_part_reader **out, struct vlm_corpus_reader *reader,
                    const struct vlm_corpus_source *source, size_t part, struct vlm_err *err)
{
    size_t *place = &reader->place[source->first_part + part];
    if (!*place) {
        struct mapped *it = make_room(reader);
        *it = (struct mapped){ .number = source->first_part + part };
        int rc = map_part(&it->part, source, part, err);
        if (rc != VLM_OK)
            return rc;
        *place = (size_t)(it - reader->mapped) + 1;
    }
    reader->mapped[*place - 1].used = ++reader->clock;
    *out = reader->mapped[*place - 1].part;
    return VLM_OK;
}

/* The part that holds a document of the source. */
static size_t part_of(const struct vlm_corpus_source *source, uint64_t number)
{
    size_t low = 0, high = source->manifest.n_parts;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (source->first[middle] <= number)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static bool is_wanted(const struct vlm_corpus *corpus, const uint8_t id[16], enum vlm_split split)
{
    /* Mixed, so that whoever hashes ids with XXH3 for something else draws independently. */
    const bool validation = vlm_random_mix(vlm_xxh3(id, 16)) < corpus->validation_below;
    return split == VLM_SPLIT_ALL || validation == (split == VLM_SPLIT_VALIDATION);
}

int vlm_corpus_document(struct vlm_corpus_reader *reader, struct vlm_pick pick,
                        enum vlm_split split, struct vlm_document **document,
                        enum vlm_left_out *why, struct vlm_arena *arena, struct vlm_err *err)
{
    struct vlm_corpus *corpus = reader->corpus;
    const struct vlm_corpus_source *source = &corpus->sources[pick.source];
    struct vlm_part_reader *part;
    struct vlm_bytes value;
    uint8_t key[8];
    VLM_BUG_IF(pick.number >= source->info.documents);
    const size_t i = part_of(source, pick.number);
    const uint64_t ordinal = pick.number - source->first[i];
    *why = VLM_LEFT_OUT_NOT;
    int rc = get_part(&part, reader, source, i, err);
    if (rc != VLM_OK)
        return rc;
    vlm_put_big_endian(key, ordinal, sizeof(key));
    rc = vlm_part_get(part, "docs", key, sizeof(key), &value, err);
    if (rc == VLM_OK && vlm_bytes_left(&value) < VLM_STORED_HEADER)
        rc = vlm_fail(err, VLM_EFORMAT, "document of %zu bytes is too short",
                      vlm_bytes_left(&value));
    if (rc == VLM_OK) {
        const uint8_t *id = vlm_stored_document_id(value.at);
        if (!is_wanted(corpus, id, split)) {
            *why = VLM_LEFT_OUT_SPLIT;
            return vlm_fail(err, VLM_SKIP, "the document is of the other split");
        }
        if (vlm_corpus_id_is_deleted(corpus, pick.source, id)) {
            *why = VLM_LEFT_OUT_DELETED;
            return vlm_fail(err, VLM_SKIP, "the document is deleted");
        }
        rc = vlm_stored_document_decode(document, value.at, vlm_bytes_left(&value), arena, err);
    }
    if (rc == VLM_OK && vlm_corpus_url_is_deleted(corpus, pick.source, (*document)->url)) {
        *why = VLM_LEFT_OUT_DELETED;
        return vlm_fail(err, VLM_SKIP, "the document is deleted");
    }
    if (rc == VLM_OK) {
        vlm_corpus_strip_deleted(corpus, pick.source, *document);
        if (source->tokenizer)
            rc = vlm_part_read_codes(part, source->tokenizer, *document, arena, err);
    }
    if (rc == VLM_OK)
        return VLM_OK;
    rc = vlm_wrap(err, "'%s': docs[%" PRIu64 "]", source->parts[i].path, ordinal);
    if (rc != VLM_EFORMAT && rc != VLM_EDIFFER && rc != VLM_SKIP)
        return rc;
    /* A record that cannot be read costs its document; a machine that fails ends the run. */
    *why = VLM_LEFT_OUT_DAMAGED;
    return vlm_recode(err, VLM_SKIP);
}
