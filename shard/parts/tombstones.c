/* tombstones.c - deleted.jsonl of shard sets (schemas/deleted.md), read again where it has changed.
 *
 * Malformed lines are told and passed over; a last line that is not whole yet waits. */
#include "base/vlm.h"

#include "shard/parts/tombstones.h"

#include "base/array.h"
#include "base/file.h"
#include "base/json_scan.h"
#include "base/limits.h"
#include "tokenize/html/url.h"

/* What one reading of a file finds. */
struct reading {
    struct vlm_tombstones *into;
    struct vlm_name_list documents, urls, images;
    struct vlm_buffer url; /* scratch */
    uint64_t line, bad_lines, first_bad;
    const char *problem; /* of the first bad line */
    bool no_memory;
};

/* Lists of names ----------------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, VLM_KEY_SIZE);
}

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, VLM_SHA256_SIZE);
}

static int (*order_of(const struct vlm_name_list *list))(const void *, const void *)
{
    VLM_BUG_IF(list->size != VLM_KEY_SIZE && list->size != VLM_SHA256_SIZE);
    return list->size == VLM_KEY_SIZE ? compare_keys : compare_digests;
}

static void add_name(struct reading *reading, struct vlm_name_list *list, const uint8_t *bytes)
{
    if (!vlm_array_reserve(&list->names, &list->capacity, list->n, 1, list->size)) {
        reading->no_memory = true;
        return;
    }
    memcpy(list->names + list->n++ * list->size, bytes, list->size);
}

static void sort_names(struct vlm_name_list *list)
{
    const size_t size = list->size;
    size_t n = 0;
    if (!list->n)
        return;
    qsort(list->names, list->n, size, order_of(list));
    for (size_t i = 0; i < list->n; i++)
        if (!n || memcmp(list->names + (n - 1) * size, list->names + i * size, size) != 0)
            memmove(list->names + n++ * size, list->names + i * size, size);
    list->n = n;
}

static bool has_name(const struct vlm_name_list *list, const void *name)
{
    return list->n && bsearch(name, list->names, list->n, list->size, order_of(list));
}

/* Adds what an older list has to a new one. False: no memory. */
static bool keep_names(struct reading *reading, struct vlm_name_list *list,
                       const struct vlm_name_list *older)
{
    for (size_t i = 0; i < older->n && !reading->no_memory; i++)
        add_name(reading, list, older->names + i * older->size);
    sort_names(list);
    return !reading->no_memory;
}

/* Lines -------------------------------------------------------------------------------------------- */

static const char *add_hex(struct reading *reading, struct vlm_name_list *list, const char *hex,
                           size_t bytes, const char *expected)
{
    uint8_t value[VLM_SHA256_SIZE];
    if (strlen(hex) != 2 * bytes || vlm_unhex(value, sizeof(value), hex, 2 * bytes) != bytes)
        return expected;
    add_name(reading, list, value);
    return NULL;
}

static void add_url(struct reading *reading, const char *url)
{
    vlm_buffer_reset(&reading->url);
    vlm_url_canonical(&reading->url, url, strlen(url));
    const struct vlm_key key = vlm_key_of(reading->url.data, reading->url.size);
    if (reading->url.failed)
        reading->no_memory = true;
    else
        add_name(reading, &reading->urls, key.byte);
}

/* Takes the names of one line, which changes it. NULL, or what is wrong with it. */
static const char *read_line(struct reading *reading, char *text, size_t n)
{
    struct vlm_json_scan in;
    const char *problem = NULL;
    size_t names = 0;
    vlm_json_scan_init(&in, text, n);
    vlm_json_scan_open(&in, '{');
    while (vlm_json_scan_more(&in, '}')) {
        const char *key = vlm_json_scan_key(&in), *wrong = NULL;
        const bool id = !strcmp(key, "id"), url = !strcmp(key, "url"),
                   sha256 = !strcmp(key, "sha256");
        if (!id && !url && !sha256) {
            vlm_json_scan_skip(&in);
            continue;
        }
        const char *value = vlm_json_scan_string(&in);
        names++;
        if (in.problem)
            break;
        if (id)
            wrong = add_hex(reading, &reading->documents, value, 16,
                            "'id' is not 32 hexadecimal digits");
        else if (sha256)
            wrong = add_hex(reading, &reading->images, value, VLM_SHA256_SIZE,
                            "'sha256' is not 64 hexadecimal digits");
        else
            add_url(reading, value);
        problem = problem ? problem : wrong;
    }
    vlm_json_scan_end(&in);
    if (in.problem)
        return in.problem;
    return names || problem ? problem : "none of 'id', 'url' and 'sha256'";
}

static void read_lines(struct reading *reading, char *text, size_t n)
{
    for (size_t at = 0; at < n && !reading->no_memory;) {
        const char *end = memchr(text + at, '\n', n - at);
        const size_t size = end ? (size_t)(end - text) - at : n - at;
        const struct reading before = *reading;
        reading->line++;
        const char *problem =
            strspn(text + at, " \t\r\n") >= size ? NULL : read_line(reading, text + at, size);
        if (problem) { /* a line counts as a whole or not at all */
            reading->documents.n = before.documents.n;
            reading->urls.n = before.urls.n;
            reading->images.n = before.images.n;
        }
        /* Somebody may be writing the last line, unless its newline is there. */
        if (problem && end && !reading->bad_lines++) {
            reading->first_bad = reading->line;
            reading->problem = problem;
        }
        at += size + 1;
    }
}

/* Files -------------------------------------------------------------------------------------------- */

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void release_list(struct vlm_name_list *list)
{
    free(list->names);
    *list = (struct vlm_name_list){ .size = list->size };
}

static void swap_lists(struct vlm_name_list *a, struct vlm_name_list *b)
{
    const struct vlm_name_list was = *a;
    *a = *b;
    *b = was;
}

static size_t names_of(const struct vlm_name_list *documents, const struct vlm_name_list *urls,
                       const struct vlm_name_list *images)
{
    return documents->n + urls->n + images->n;
}

/* Puts what was read beside what was known. */
static int take(struct reading *reading, pthread_rwlock_t *lock, uint64_t *new_ones,
                struct vlm_err *err)
{
    struct vlm_tombstones *into = reading->into;
    const size_t before = names_of(&into->documents, &into->urls, &into->images);
    if (reading->no_memory || !keep_names(reading, &reading->documents, &into->documents) ||
        !keep_names(reading, &reading->urls, &into->urls) ||
        !keep_names(reading, &reading->images, &into->images))
        return vlm_fail(err, VLM_ENOMEM, "no memory for the names in '%s'", into->path);
    if (lock)
        pthread_rwlock_wrlock(lock);
    swap_lists(&reading->documents, &into->documents);
    swap_lists(&reading->urls, &into->urls);
    swap_lists(&reading->images, &into->images);
    if (lock)
        pthread_rwlock_unlock(lock);
    *new_ones += names_of(&into->documents, &into->urls, &into->images) - before;
    return VLM_OK;
}

int vlm_tombstones_read(struct vlm_tombstones *tombstones, pthread_rwlock_t *lock,
                        uint64_t *new_ones, struct vlm_err *err)
{
    struct reading reading = { .into = tombstones,
                               .documents.size = VLM_KEY_SIZE,
                               .urls.size = VLM_KEY_SIZE,
                               .images.size = VLM_SHA256_SIZE };
    struct vlm_buffer text = { 0 };
    struct stat now;
    if (stat(tombstones->path, &now) < 0) {
        if (errno == ENOENT)
            return VLM_OK;
        return vlm_fail_errno(err, errno, "cannot read '%s'", tombstones->path);
    }
    if (is_same_file(&now, &tombstones->seen))
        return VLM_OK;
    int rc = vlm_file_read(&text, tombstones->path, VLM_TOMBSTONES_MAX, err);
    vlm_buffer_byte(&text, 0); /* read_lines() looks for the end of white space */
    if (rc == VLM_OK && text.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", tombstones->path);
    if (rc == VLM_OK) {
        read_lines(&reading, (char *)text.data, text.size - 1);
        rc = take(&reading, lock, new_ones, err);
    }
    if (rc == VLM_OK) {
        tombstones->seen = now;
        if (reading.bad_lines > tombstones->bad_lines)
            rc = vlm_fail(err, VLM_SKIP, "'%s', line %" PRIu64 ": %s; it deletes nothing",
                          tombstones->path, reading.first_bad, reading.problem);
        if (rc == VLM_SKIP && reading.bad_lines > 1) {
            char more[64];
            snprintf(more, sizeof(more), ", nor do %" PRIu64 " other such lines",
                     reading.bad_lines - 1);
            vlm_append(err, more);
        }
        tombstones->bad_lines = reading.bad_lines;
    }
    release_list(&reading.documents);
    release_list(&reading.urls);
    release_list(&reading.images);
    vlm_buffer_release(&reading.url);
    vlm_buffer_release(&text);
    return rc;
}

void vlm_tombstones_init(struct vlm_tombstones *tombstones, const char *folder)
{
    *tombstones = (struct vlm_tombstones){
        .path = vlm_path_join(folder, VLM_TOMBSTONES_NAME),
        .documents.size = VLM_KEY_SIZE,
        .urls.size = VLM_KEY_SIZE,
        .images.size = VLM_SHA256_SIZE,
    };
}

void vlm_tombstones_release(struct vlm_tombstones *tombstones)
{
    release_list(&tombstones->documents);
    release_list(&tombstones->urls);
    release_list(&tombstones->images);
    free(tombstones->path);
    tombstones->path = NULL;
}

/* Questions ---------------------------------------------------------------------------------------- */

bool vlm_tombstones_has_id(const struct vlm_tombstones *tombstones, const uint8_t id[16])
{
    return has_name(&tombstones->documents, id);
}

bool vlm_tombstones_has_url(const struct vlm_tombstones *tombstones, const char *url)
{
    struct vlm_buffer canonical = { 0 };
    if (!tombstones->urls.n)
        return false; /* few sets have any: hash for those only */
    vlm_url_canonical(&canonical, url, strlen(url));
    const struct vlm_key key = vlm_key_of(canonical.data, canonical.size);
    /* A document that cannot be looked up is left out rather than shown. */
    const bool found = canonical.failed || has_name(&tombstones->urls, key.byte);
    vlm_buffer_release(&canonical);
    return found;
}

bool vlm_tombstones_has_image(const struct vlm_tombstones *tombstones,
                              const uint8_t sha256[VLM_SHA256_SIZE])
{
    return has_name(&tombstones->images, sha256);
}
