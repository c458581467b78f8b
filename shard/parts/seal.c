/* seal.c - one pass over all documents in their order: dropped or kept, with what the join found for
 * their images, into parts cut at --shard-bytes.
 *
 * A part holds every image that its documents use, so each part stands alone; an image that documents
 * of two parts use is stored in both. Images are copied when a part ends, in the order of their
 * SHA-256. */
#include "base/vlm.h"

#include "shard/parts/seal.h"

#include "base/file.h"
#include "shard/parts/join.h"
#include "shard/parts/part.h"
#include "shard/units/crew.h"
#include "shard/units/stop.h"

#include <fcntl.h>
#include <unistd.h>

enum { OPEN_UNITS_MAX = 256, USED_SIZE = VLM_SHA256_SIZE };

/* Where the stored form of an image lies. */
struct place {
    uint8_t sha256[VLM_SHA256_SIZE];
    uint64_t position;
    uint32_t size, unit;
    bool taken;
};

/* The part being written. */
struct part {
    struct vlm_part *file; /* NULL: none yet */
    char *temporary;
    uint64_t bytes, documents;
    struct place *images; /* open addressing by SHA-256 */
    size_t n_images, image_capacity;
    struct vlm_key *urls; /* of its documents, by ordinal */
    size_t url_capacity;
    struct vlm_set_tokenizers tokenizers; /* none or one; codes of this part */
};

struct seal {
    const struct vlm_plan *plan;
    const struct vlm_build_options *options;
    const struct vlm_profile_rules *rules;
    const char *folder;
    char **paths;           /* unit files */
    struct vlm_unit *units; /* fd -1: closed */
    size_t n_open;
    struct vlm_join join;
    struct vlm_sorter *used; /* SHA-256 of images that kept documents show */
    struct vlm_verdict verdict;
    int have_verdict;
    uint64_t next_drop, document;
    struct vlm_join_result *results;
    struct place *places;
    struct vlm_buffer record;
    struct part part;
    struct vlm_run_report *report;
    vlm_seal_tell *tell;
    void *context;
};

/* Unit files ------------------------------------------------------------------------------------- */

static void close_units(struct seal *seal)
{
    for (size_t i = 0; seal->units && i < seal->plan->n_units; i++)
        if (seal->units[i].fd >= 0)
            vlm_unit_close(&seal->units[i]);
    seal->n_open = 0;
}

static int open_unit(struct seal *seal, size_t i, struct vlm_err *err)
{
    if (seal->units[i].fd >= 0)
        return VLM_OK;
    if (seal->n_open == OPEN_UNITS_MAX)
        close_units(seal);
    int rc = vlm_unit_open(&seal->units[i], seal->paths[i], seal->plan->check, err);
    if (rc == VLM_SKIP) {
        vlm_recode(err, VLM_EFAIL);
        return vlm_wrap(err, "a finished unit has gone bad");
    }
    if (rc == VLM_OK)
        seal->n_open++;
    return rc;
}

/* Parts ------------------------------------------------------------------------------------------ */

static char *part_path(const struct seal *seal, const char *suffix)
{
    char name[VLM_PART_NAME_SIZE], whole[VLM_PART_NAME_SIZE + 8];
    vlm_part_name(name, seal->report->n_parts, 1);
    snprintf(whole, sizeof(whole), "%s%s", name, suffix);
    return vlm_path_join(seal->options->output, whole);
}

static int begin_part(struct seal *seal, struct vlm_err *err)
{
    struct part *part = &seal->part;
    part->bytes = part->documents = 0;
    part->n_images = 0;
    if (part->images)
        memset(part->images, 0, part->image_capacity * sizeof(*part->images));
    free(part->temporary);
    part->temporary = part_path(seal, ".tmp");
    part->tokenizers = seal->report->tokenizers;
    for (size_t i = 0; i < part->tokenizers.n; i++)
        part->tokenizers.list[i].codes = part->tokenizers.list[i].not_finite = 0;
    return vlm_part_create(&part->file, part->temporary, seal->options->content.shard_bytes,
                           &part->tokenizers, err);
}

static struct place *find_place(const struct part *part, const uint8_t sha256[VLM_SHA256_SIZE])
{
    uint64_t hash;
    memcpy(&hash, sha256, sizeof(hash));
    size_t slot = (size_t)hash & (part->image_capacity - 1);
    while (part->images[slot].taken && memcmp(part->images[slot].sha256, sha256, VLM_SHA256_SIZE))
        slot = (slot + 1) & (part->image_capacity - 1);
    return &part->images[slot];
}

static int grow_images(struct part *part, struct vlm_err *err)
{
    struct part larger = { .image_capacity = VLM_MAX(part->image_capacity * 2, 1024) };
    larger.images = calloc(larger.image_capacity, sizeof(*larger.images));
    if (!larger.images)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the images of a part");
    for (size_t i = 0; i < part->image_capacity; i++)
        if (part->images[i].taken)
            *find_place(&larger, part->images[i].sha256) = part->images[i];
    free(part->images);
    part->images = larger.images;
    part->image_capacity = larger.image_capacity;
    return VLM_OK;
}

static int compare_places(const void *a, const void *b)
{
    return memcmp(((const struct place *)a)->sha256, ((const struct place *)b)->sha256,
                  VLM_SHA256_SIZE);
}

/* Writes the image in seal->record, and its codes where it has some. */
static int write_image(struct seal *seal, const struct place *place, struct vlm_err *err)
{
    struct part *part = &seal->part;
    struct vlm_set_tokenizer *tokenizer = part->tokenizers.list;
    struct vlm_stored_image image;
    uint16_t codes[VLM_CODES];
    size_t n = vlm_stored_image_size(seal->record.data, seal->record.size);
    int rc = vlm_stored_image_decode(&image, seal->record.data, n, err);
    int coded = rc < 0 ? rc : vlm_unit_codes_read(codes, &seal->record, n, err);
    if (coded == VLM_OK && !part->tokenizers.n)
        coded = vlm_fail(err, VLM_EDIFFER, "an image has codes, but the plan has no tokenizer");
    if (coded == VLM_EDIFFER)
        return vlm_wrap(err, "'%s' has gone bad, delete it and run again",
                        seal->paths[place->unit]);
    if (coded < 0)
        return coded;
    rc = vlm_part_add_image(part->file, place->sha256, seal->record.data, n, err);
    if (rc == VLM_OK && coded == VLM_OK)
        rc = vlm_part_add_codes(part->file, 0, place->sha256, codes, err);
    tokenizer->codes += coded == VLM_OK;
    tokenizer->not_finite += coded == VLM_SKIP;
    return rc;
}

/* Copies the images of the part from the unit files. The table becomes a sorted list. */
static int write_images(struct seal *seal, struct vlm_err *err)
{
    struct part *part = &seal->part;
    size_t n = 0;
    int rc = VLM_OK;
    for (size_t i = 0; i < part->image_capacity; i++)
        if (part->images[i].taken)
            part->images[n++] = part->images[i];
    if (n)
        qsort(part->images, n, sizeof(*part->images), compare_places);
    for (size_t i = 0; rc == VLM_OK && i < n; i++) {
        const struct place *place = &part->images[i];
        rc = open_unit(seal, place->unit, err);
        if (rc == VLM_OK)
            rc = vlm_unit_read(&seal->units[place->unit], &seal->record, place->position,
                               place->size, err);
        if (rc == VLM_OK)
            rc = write_image(seal, place, err);
        if (rc == VLM_OK && i % 1024 == 0 && vlm_stop_pending())
            rc = vlm_fail_stopped(err);
    }
    return rc;
}

struct url_ordinal {
    struct vlm_key url;
    uint8_t ordinal[8];
};

static int compare_urls(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct url_ordinal));
}

static int write_urls(struct seal *seal, struct vlm_err *err)
{
    struct part *part = &seal->part;
    struct url_ordinal *urls = calloc(part->documents + 1, sizeof(*urls));
    int rc = urls ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for the URLs of a part");
    for (uint64_t i = 0; urls && i < part->documents; i++) {
        urls[i].url = part->urls[i];
        vlm_put_big_endian(urls[i].ordinal, i, 8);
    }
    if (urls)
        qsort(urls, part->documents, sizeof(*urls), compare_urls);
    for (uint64_t i = 0; rc == VLM_OK && i < part->documents; i++)
        rc =
            vlm_part_add_url(part->file, &urls[i].url, vlm_get_big_endian(urls[i].ordinal, 8), err);
    free(urls);
    return rc;
}

/* Gives the finished file its name and enters it in the report. */
static int publish_part(struct seal *seal, struct vlm_err *err)
{
    struct vlm_run_report *report = seal->report;
    struct vlm_part_info *parts = realloc(report->parts, (report->n_parts + 1) * sizeof(*parts));
    if (!parts)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the list of parts");
    report->parts = parts;
    struct vlm_part_info *info = &parts[report->n_parts];
    *info = (struct vlm_part_info){
        .documents = seal->part.documents,
        .images = seal->part.n_images,
    };
    vlm_part_name(info->name, report->n_parts, 1);
    for (size_t i = 0; i < report->tokenizers.n; i++) {
        report->tokenizers.list[i].codes += seal->part.tokenizers.list[i].codes;
        report->tokenizers.list[i].not_finite += seal->part.tokenizers.list[i].not_finite;
    }
    char *path = part_path(seal, "");
    int fd = open(seal->part.temporary, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? vlm_fail_errno(err, errno, "cannot read '%s'", seal->part.temporary)
                    : vlm_part_measure(info, seal->part.temporary, err);
    report->n_parts++; /* its blocks are the report's to free */
    if (rc == VLM_OK)
        rc = vlm_file_publish(fd, seal->part.temporary, path, err);
    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

static int end_part(struct seal *seal, struct vlm_err *err)
{
    struct part *part = &seal->part;
    if (!part->file)
        return VLM_OK;
    int rc = write_images(seal, err);
    if (rc == VLM_OK)
        rc = write_urls(seal, err);
    if (rc == VLM_OK)
        rc = vlm_part_add_facts(part->file, part->documents, part->n_images, seal->plan->text.data,
                                seal->plan->text.size, &part->tokenizers, NULL, err);
    if (rc == VLM_OK)
        rc = vlm_part_finish(part->file, err);
    else
        vlm_part_abandon(part->file);
    part->file = NULL;
    return rc == VLM_OK ? publish_part(seal, err) : rc;
}

/* Documents -------------------------------------------------------------------------------------- */

/* How much of the story an answer tells, when no candidate was found: the most specific is reported. */
static int telling(uint8_t status)
{
    static const uint8_t order[] = { VLM_IMAGE_NOT_IN_CRAWL, VLM_IMAGE_REVISIT, VLM_IMAGE_REDIRECT,
                                     VLM_IMAGE_NOT_AN_IMAGE, VLM_IMAGE_HTTP_ERROR };
    for (size_t i = 0; i < VLM_COUNTOF(order); i++)
        if (order[i] == status)
            return (int)i;
    return -1;
}

/* Takes all verdicts of the document at hand: per image, the first candidate that was found. */
static int gather_verdicts(struct seal *seal, struct vlm_err *err)
{
    const struct vlm_verdict *verdict = &seal->verdict;
    while (seal->have_verdict == VLM_OK && verdict->document == seal->document) {
        struct vlm_join_result *result = &seal->results[verdict->image];
        struct place *place = &seal->places[verdict->image];
        if (place->taken) {
            /* an earlier candidate was found */
        } else if (verdict->found) {
            *result = verdict->result;
            *place = (struct place){ .position = verdict->position,
                                     .size = verdict->size,
                                     .unit = verdict->unit,
                                     .taken = true };
            memcpy(place->sha256, result->sha256, VLM_SHA256_SIZE);
        } else if (telling(verdict->result.status) > telling(result->status)) {
            result->status = verdict->result.status;
        }
        seal->have_verdict = vlm_join_next_verdict(&seal->join, &seal->verdict, err);
    }
    return seal->have_verdict < 0 ? seal->have_verdict : VLM_OK;
}

/* Whether a rule drops the document; the reason is counted. */
static bool is_dropped(struct seal *seal, const struct vlm_document_head *head)
{
    const struct vlm_profile_rules *rules = seal->rules;
    uint64_t *skipped = seal->report->ledger.documents_skipped;
    uint32_t usable = 0;
    for (size_t i = 0; i < head->n_references; i++)
        usable += seal->places[i].taken && seal->places[i].size;
    if (seal->next_drop == seal->document)
        skipped[VLM_SKIP_DUPLICATE_URL]++;
    else if (usable < rules->images_min || (rules->images_max && usable > rules->images_max))
        skipped[VLM_SKIP_NO_IMAGE]++;
    else if (head->words < rules->words_min)
        skipped[VLM_SKIP_TOO_LITTLE_TEXT]++;
    else
        return false;
    return true;
}

/* Bytes that the document would add to the part, images included. */
static uint64_t cost(const struct seal *seal, const struct vlm_document_head *head)
{
    uint64_t bytes = head->size;
    for (size_t i = 0; i < head->n_references; i++)
        if (seal->places[i].size &&
            (!seal->part.images || !find_place(&seal->part, seal->places[i].sha256)->taken))
            bytes += seal->places[i].size;
    return bytes;
}

static int add_images(struct seal *seal, const struct vlm_document_head *head, struct vlm_err *err)
{
    struct part *part = &seal->part;
    for (size_t i = 0; i < head->n_references; i++) {
        seal->report->ledger.references[seal->results[i].status]++;
        if (!seal->places[i].size)
            continue;
        int rc = part->n_images * 2 >= part->image_capacity ? grow_images(part, err) : VLM_OK;
        if (rc == VLM_OK)
            rc = vlm_sorter_add(seal->used, seal->places[i].sha256, err);
        if (rc < 0)
            return rc;
        struct place *place = find_place(part, seal->places[i].sha256);
        if (!place->taken) {
            *place = seal->places[i];
            part->n_images++;
        }
    }
    return VLM_OK;
}

static int keep_document(struct seal *seal, struct vlm_unit *unit,
                         const struct vlm_document_head *head, struct vlm_err *err)
{
    struct part *part = &seal->part;
    uint64_t bytes = cost(seal, head);
    int rc = VLM_OK;
    if (part->file && part->bytes + bytes > seal->options->content.shard_bytes)
        rc = end_part(seal, err);
    if (rc == VLM_OK && !part->file) {
        rc = begin_part(seal, err);
        bytes = head->size;
        for (size_t i = 0; i < head->n_references; i++)
            bytes += seal->places[i].size;
    }
    if (rc == VLM_OK)
        rc = vlm_unit_read(unit, &seal->record, head->position, head->size, err);
    if (rc == VLM_OK)
        rc = vlm_stored_document_join(seal->record.data, seal->record.size, seal->results, err);
    if (rc == VLM_EDIFFER)
        rc = vlm_wrap(err, "'%s' has gone bad, delete it and run again", unit->path);
    if (rc == VLM_OK)
        rc = vlm_part_add_document(part->file, seal->record.data, seal->record.size, err);
    if (rc == VLM_OK && part->documents == part->url_capacity) {
        size_t capacity = VLM_MAX(part->url_capacity * 2, 1024);
        struct vlm_key *urls = realloc(part->urls, capacity * sizeof(*urls));
        if (!urls)
            return vlm_fail(err, VLM_ENOMEM, "no memory for the URLs of a part");
        part->urls = urls;
        part->url_capacity = capacity;
    }
    if (rc < 0)
        return rc;
    part->urls[part->documents++] = head->url;
    part->bytes += bytes;
    return add_images(seal, head, err);
}

static int seal_document(struct seal *seal, struct vlm_unit *unit,
                         const struct vlm_document_head *head,
                         const struct vlm_reference *references, struct vlm_err *err)
{
    for (size_t i = 0; i < head->n_references; i++) {
        seal->results[i] = (struct vlm_join_result){ .status = references[i].status };
        seal->places[i] = (struct place){ 0 };
    }
    int rc = gather_verdicts(seal, err);
    if (rc == VLM_OK && head->size && !is_dropped(seal, head))
        rc = keep_document(seal, unit, head, err);
    if (rc == VLM_OK && seal->next_drop == seal->document) {
        rc = vlm_join_next_drop(&seal->join, &seal->next_drop, err);
        rc = rc == VLM_EOF ? VLM_OK : rc;
    }
    seal->document++;
    if (rc == VLM_OK && seal->document % 512 == 0) {
        seal->tell(seal->document, seal->join.n_documents, seal->context);
        if (vlm_stop_pending())
            rc = vlm_fail_stopped(err);
    }
    return rc;
}

static int seal_unit(struct seal *seal, size_t number, struct vlm_err *err)
{
    struct vlm_document_head head;
    struct vlm_reference *references = NULL;
    struct vlm_unit unit;
    int rc = vlm_unit_open(&unit, seal->paths[number], seal->plan->check, err);
    if (rc == VLM_SKIP) {
        vlm_recode(err, VLM_EFAIL);
        return vlm_wrap(err, "a finished unit has gone bad");
    }
    if (rc < 0)
        return rc;
    vlm_ledger_add(&seal->report->ledger, &unit.trailer.ledger);
    rc = vlm_unit_read_index(&unit, err);
    while (rc == VLM_OK && (rc = vlm_unit_next_document(&unit, &head, &references, err)) == VLM_OK)
        rc = seal_document(seal, &unit, &head, references, err);
    free(references);
    vlm_unit_close(&unit);
    return rc == VLM_EOF ? VLM_OK : rc;
}

/* Images that were stored but not kept: copies of one, and what no kept document shows. */
static int count_images(struct seal *seal, struct vlm_err *err)
{
    uint8_t stored[VLM_SHA256_SIZE], used[USED_SIZE], last[VLM_SHA256_SIZE];
    uint64_t *skipped = seal->report->ledger.images_skipped;
    bool first = true;
    int rc = vlm_sorter_sort(seal->used, err);
    int have_used = rc < 0 ? rc : vlm_sorter_next(seal->used, used, err);
    while (have_used >= 0 && (rc = vlm_join_next_image(&seal->join, stored, err)) == VLM_OK) {
        if (!first && !memcmp(last, stored, VLM_SHA256_SIZE)) {
            skipped[VLM_IMAGE_SKIP_DUPLICATE]++;
            continue;
        }
        memcpy(last, stored, VLM_SHA256_SIZE);
        first = false;
        while (have_used == VLM_OK && memcmp(used, stored, VLM_SHA256_SIZE) < 0)
            have_used = vlm_sorter_next(seal->used, used, err);
        if (have_used != VLM_OK || memcmp(used, stored, VLM_SHA256_SIZE))
            skipped[VLM_IMAGE_SKIP_UNREFERENCED]++;
    }
    return have_used < 0 ? have_used : rc == VLM_EOF ? VLM_OK : rc;
}

/* The books must balance against what was really written. */
static int check_books(const struct seal *seal, struct vlm_err *err)
{
    const struct vlm_run_report *report = seal->report;
    const struct vlm_ledger *ledger = &report->ledger;
    uint64_t written = 0;
    for (size_t i = 0; i < report->n_parts; i++)
        written += report->parts[i].documents;
    if (written != vlm_ledger_documents_kept(ledger))
        return vlm_fail(err, VLM_EDIFFER,
                        "the ledger keeps %" PRIu64 " documents, but %" PRIu64 " were written",
                        vlm_ledger_documents_kept(ledger), written);
    if (ledger->bytes_read + ledger->bytes_damaged != seal->plan->bytes)
        return vlm_fail(err, VLM_EDIFFER,
                        "the inputs have %" PRIu64 " bytes, but %" PRIu64 " were read and %" PRIu64
                        " damaged",
                        seal->plan->bytes, ledger->bytes_read, ledger->bytes_damaged);
    return VLM_OK;
}

/* Parts of an earlier try that made more of them. */
static void delete_strangers(const struct seal *seal)
{
    for (size_t i = seal->report->n_parts;; i++) {
        char name[VLM_PART_NAME_SIZE];
        vlm_part_name(name, i, 1);
        char *path = vlm_path_join(seal->options->output, name);
        int gone = unlink(path);
        free(path);
        if (gone < 0)
            return;
    }
}

static int prepare(struct seal *seal, struct vlm_err *err)
{
    size_t n = seal->plan->n_units;
    seal->paths = calloc(n + 1, sizeof(*seal->paths));
    seal->units = calloc(n + 1, sizeof(*seal->units));
    seal->results = calloc(VLM_HTML_IMAGES_MAX, sizeof(*seal->results));
    seal->places = calloc(VLM_HTML_IMAGES_MAX, sizeof(*seal->places));
    if (!seal->paths || !seal->units || !seal->results || !seal->places)
        return vlm_fail(err, VLM_ENOMEM, "no memory to seal %zu units", n);
    for (size_t i = 0; i < n; i++) {
        seal->paths[i] = vlm_unit_path(seal->folder, i);
        seal->units[i].fd = -1;
    }
    size_t memory = (size_t)seal->options->memory;
    int rc = vlm_sorter_new(&seal->used, USED_SIZE, memory / 8, seal->folder, err);
    if (rc == VLM_OK)
        rc = vlm_join_run(&seal->join, seal->paths, n, seal->plan->check, memory / 2, seal->folder,
                          err);
    if (rc == VLM_OK)
        seal->have_verdict = vlm_join_next_verdict(&seal->join, &seal->verdict, err);
    if (rc == VLM_OK && seal->have_verdict < 0)
        return seal->have_verdict;
    if (rc == VLM_OK)
        rc = vlm_join_next_drop(&seal->join, &seal->next_drop, err);
    return rc == VLM_EOF ? VLM_OK : rc;
}

static void release(struct seal *seal)
{
    vlm_part_abandon(seal->part.file);
    close_units(seal);
    for (size_t i = 0; seal->paths && i < seal->plan->n_units; i++)
        free(seal->paths[i]);
    free(seal->paths);
    free(seal->units);
    free(seal->results);
    free(seal->places);
    free(seal->part.images);
    free(seal->part.urls);
    free(seal->part.temporary);
    vlm_buffer_release(&seal->record);
    vlm_sorter_free(seal->used);
    vlm_join_release(&seal->join);
}

int vlm_seal_run(const struct vlm_plan *plan, const char *folder,
                 const struct vlm_build_options *options, struct vlm_run_report *report,
                 vlm_seal_tell *tell, void *context, struct vlm_err *err)
{
    struct seal seal = {
        .plan = plan,
        .folder = folder,
        .options = options,
        .rules = vlm_profile_rules(options->content.profile),
        .report = report,
        .tell = tell,
        .context = context,
    };
    int rc = prepare(&seal, err);
    for (size_t i = 0; rc == VLM_OK && i < plan->n_units; i++)
        rc = seal_unit(&seal, i, err);
    if (rc == VLM_OK)
        rc = end_part(&seal, err);
    if (rc == VLM_OK)
        rc = count_images(&seal, err);
    if (rc == VLM_OK)
        rc = check_books(&seal, err);
    if (rc == VLM_OK)
        delete_strangers(&seal);
    if (rc < 0 && seal.part.temporary)
        unlink(seal.part.temporary);
    release(&seal);
    return rc;
}
