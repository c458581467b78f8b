/* verify.c - hashes in this process, records in a confined one.
 *
 * A part whose SHA-256 is right needs no suspicion, but its records are looked at all the same: the
 * manifest's counts and the images of its documents are promises too. */
#include "base/vlm.h"

#include "shard/parts/verify.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/sorter.h"
#include "shard/parts/part.h"
#include "shard/units/sandbox.h"
#include "shard/parts/set.h"

#include <dirent.h>
#include <fnmatch.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ADDRESS_SPACE = 64 }; /* GiB: a part is mapped as a whole */

struct report {
    vlm_finding *tell;
    void *context;
    uint64_t count;
    struct vlm_set_tokenizers said;       /* by the part's meta */
    uint64_t referenced, joined;          /* images of the documents seen */
    struct vlm_set_tokenizers tokenizers; /* ids and codebooks to expect; codes: found so far */
};

static void find(struct report *report, const char *format, ...) VLM_PRINTF(2, 3);
static void find(struct report *report, const char *format, ...)
{
    char line[1200];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    report->tell(line, report->context);
    report->count++;
}

/* The confined side ------------------------------------------------------------------------------ */

static void print_finding(const char *line, void *context)
{
    (void)context;
    printf("%s\n", line);
}

static void check_images_of(struct report *report, struct vlm_part_reader *part,
                            const struct vlm_document *document, uint64_t ordinal)
{
    struct vlm_err err;
    struct vlm_bytes value;
    for (size_t i = 0; i < document->n_images; i++) {
        const struct vlm_document_image *image = &document->images[i];
        report->referenced++;
        report->joined += vlm_status_is_joined((enum vlm_image_status)image->status);
        if (image->status != VLM_IMAGE_OK)
            continue;
        int rc = vlm_part_get(part, "images", image->sha256, VLM_SHA256_SIZE, &value, &err);
        if (rc != VLM_OK)
            find(report, "docs[%" PRIu64 "]: image %zu is not in the part", ordinal, i);
    }
}

static uint64_t check_documents(struct report *report, struct vlm_part_reader *part)
{
    struct vlm_arena arena;
    struct vlm_bytes key, value;
    struct vlm_err err = { 0 };
    uint64_t n = 0;
    int rc;
    vlm_arena_init(&arena, VLM_GIB);
    while ((rc = vlm_part_next(part, "docs", &key, &value, &err)) == VLM_OK) {
        struct vlm_document *document;
        vlm_arena_reset(&arena);
        if (vlm_bytes_left(&key) != 8 || vlm_get_big_endian(key.at, 8) != n)
            find(report, "docs[%" PRIu64 "]: its key is not its ordinal", n);
        else if (vlm_stored_document_decode(&document, value.at, vlm_bytes_left(&value), &arena,
                                            &err) < 0)
            find(report, "docs[%" PRIu64 "]: %s", n, err.msg);
        else
            check_images_of(report, part, document, n);
        n++;
    }
    if (rc < 0)
        find(report, "docs[%" PRIu64 "]: %s", n, err.msg);
    vlm_arena_release(&arena);
    return n;
}

/* Codes of images that the part has, each below the codebook's size. */
static void check_codes(struct report *report, struct vlm_part_reader *part,
                        struct vlm_set_tokenizer *tokenizer)
{
    char name[VLM_CODES_NAME_SIZE], hex[2 * VLM_SHA256_SIZE + 1];
    struct vlm_bytes key, value;
    struct vlm_err err = { 0 };
    int rc;
    vlm_codes_name(name, tokenizer->id);
    while ((rc = vlm_part_next(part, name, &key, &value, &err)) == VLM_OK) {
        tokenizer->codes++;
        if (vlm_bytes_left(&key) != VLM_SHA256_SIZE) {
            find(report, "%s: a key of %zu bytes, expected 32", name, vlm_bytes_left(&key));
            continue;
        }
        vlm_hex(hex, key.at, VLM_SHA256_SIZE);
        struct vlm_bytes image;
        if (vlm_part_get(part, "images", key.at, VLM_SHA256_SIZE, &image, &err) != VLM_OK)
            find(report, "%s[%s]: the part has no such image", name, hex);
        if (vlm_bytes_left(&value) != VLM_CODES_BYTES) {
            find(report, "%s[%s]: %zu bytes, expected %d", name, hex, vlm_bytes_left(&value),
                 VLM_CODES_BYTES);
            continue;
        }
        uint16_t codes[VLM_CODES];
        vlm_codes_decode(codes, value.at);
        for (size_t i = 0; i < VLM_CODES; i++)
            if (codes[i] >= tokenizer->codebook_size) {
                find(report, "%s[%s]: code %zu is %u, the codebook has %" PRIu64, name, hex, i,
                     codes[i], tokenizer->codebook_size);
                break;
            }
    }
    if (rc < 0)
        find(report, "%s: %s", name, err.msg);
}

/* Images without codes: as many as the part says, and when it says none, which one it is. */
static void check_coded(struct report *report, struct vlm_part_reader *part, const uint8_t *sha256,
                        const char *hex)
{
    struct vlm_err err;
    struct vlm_bytes value;
    char name[VLM_CODES_NAME_SIZE];
    for (size_t i = 0; i < report->tokenizers.n; i++) {
        struct vlm_set_tokenizer *tokenizer = &report->tokenizers.list[i];
        int rc = vlm_part_get(part, vlm_codes_name(name, tokenizer->id), sha256, VLM_SHA256_SIZE,
                              &value, &err);
        tokenizer->not_finite += rc != VLM_OK;
        if (rc != VLM_OK && !report->said.list[i].not_finite)
            find(report, "%s[%s]: the image has no codes", name, hex);
    }
}

static uint64_t check_images(struct report *report, struct vlm_part_reader *part)
{
    struct vlm_bytes key, value;
    struct vlm_err err = { 0 };
    uint64_t n = 0;
    int rc;
    while ((rc = vlm_part_next(part, "images", &key, &value, &err)) == VLM_OK) {
        struct vlm_stored_image image;
        char hex[2 * VLM_SHA256_SIZE + 1];
        uint8_t sha[VLM_SHA256_SIZE];
        n++;
        if (vlm_bytes_left(&key) != VLM_SHA256_SIZE) {
            find(report, "images: a key of %zu bytes, expected 32", vlm_bytes_left(&key));
            continue;
        }
        vlm_hex(hex, key.at, VLM_SHA256_SIZE);
        if (vlm_stored_image_decode(&image, value.at, vlm_bytes_left(&value), &err) < 0) {
            find(report, "images[%s]: %s", hex, err.msg);
            continue;
        }
        check_coded(report, part, key.at, hex);
        if (!image.original)
            continue;
        vlm_sha256(sha, image.original, image.original_size);
        if (memcmp(sha, key.at, VLM_SHA256_SIZE))
            find(report, "images[%s]: the original has another SHA-256", hex);
    }
    if (rc < 0)
        find(report, "images: %s", err.msg);
    return n;
}

static void check_urls(struct report *report, struct vlm_part_reader *part, uint64_t documents)
{
    struct vlm_bytes key, value;
    struct vlm_err err = { 0 };
    uint64_t n = 0;
    int rc;
    while ((rc = vlm_part_next(part, "urls", &key, &value, &err)) == VLM_OK) {
        if (vlm_bytes_left(&key) != VLM_KEY_SIZE + 8 ||
            vlm_get_big_endian(key.at + VLM_KEY_SIZE, 8) >= documents)
            find(report, "urls[%" PRIu64 "]: its key names no document", n);
        n++;
    }
    if (rc < 0)
        find(report, "urls: %s", err.msg);
    else if (n != documents)
        find(report, "urls: %" PRIu64 " entries for %" PRIu64 " documents", n, documents);
}

static void check_format(struct report *report, struct vlm_part_reader *part)
{
    struct vlm_bytes value;
    struct vlm_err err = { 0 };
    if (vlm_part_get(part, "meta", "format", 6, &value, &err) != VLM_OK)
        find(report, "meta: %s", err.msg);
    else if (vlm_bytes_left(&value) != strlen(VLM_PART_FORMAT) ||
             memcmp(value.at, VLM_PART_FORMAT, strlen(VLM_PART_FORMAT)))
        find(report, "meta: the format is '%.*s', expected '%s'",
             (int)VLM_MIN(vlm_bytes_left(&value), (size_t)40), (const char *)value.at,
             VLM_PART_FORMAT);
}

/* What the part says of its codes; their ids and codebooks are what is then looked for. */
static void check_tokenizers(struct report *report, struct vlm_part_reader *part)
{
    struct vlm_bytes value;
    struct vlm_err err = { 0 };
    json_object *array = NULL;
    int rc = vlm_part_get(part, "meta", "tokenizers", 10, &value, &err);
    if (rc == VLM_OK)
        rc = vlm_json_parse(&array, (const char *)value.at, vlm_bytes_left(&value), &err);
    if (rc == VLM_OK)
        rc = vlm_tokenizers_read(&report->said, array, &err);
    json_object_put(array);
    if (rc != VLM_OK) {
        find(report, "meta: %s", err.msg);
        return;
    }
    report->tokenizers = report->said;
    for (size_t i = 0; i < report->tokenizers.n; i++)
        report->tokenizers.list[i].codes = report->tokenizers.list[i].not_finite = 0;
}

static void check_all_codes(struct report *report, struct vlm_part_reader *part)
{
    for (size_t i = 0; i < report->tokenizers.n; i++) {
        struct vlm_set_tokenizer *found = &report->tokenizers.list[i];
        const struct vlm_set_tokenizer *said = &report->said.list[i];
        check_codes(report, part, found);
        if (found->codes != said->codes)
            find(report, "codes/%s: %" PRIu64 " records, the part says %" PRIu64, found->id,
                 found->codes, said->codes);
        if (found->not_finite != said->not_finite)
            find(report, "codes/%s: %" PRIu64 " images have none, the part says %" PRIu64,
                 found->id, found->not_finite, said->not_finite);
    }
}

int vlm_verify_part_main(const char *path, const char *documents, const char *images)
{
    struct report report = { .tell = print_finding };
    struct vlm_part_reader *part;
    struct vlm_err err = { 0 };
    uint64_t n_documents = strtoull(documents, NULL, 10), n_images = strtoull(images, NULL, 10);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (vlm_part_open(&part, path, &err) < 0) {
        find(&report, "%s", err.msg);
        return VLM_EXIT_DIFFERS;
    }
    uint8_t digest[VLM_SHA256_SIZE];
    vlm_sha256(digest, "", 0); /* libcrypto reads its configuration at the first use */
    (void)!vlm_sandbox_enter(ADDRESS_SPACE * (uint64_t)VLM_GIB, &err);
    check_format(&report, part);
    check_tokenizers(&report, part);
    uint64_t found = check_documents(&report, part);
    if (found != n_documents)
        find(&report, "docs: %" PRIu64 " documents, the manifest says %" PRIu64, found,
             n_documents);
    check_urls(&report, part, found);
    found = check_images(&report, part);
    if (found != n_images)
        find(&report, "images: %" PRIu64 " images, the manifest says %" PRIu64, found, n_images);
    check_all_codes(&report, part);
    vlm_part_close(part);
    /* The last lines are no findings but what was counted; check_records reads them. */
    for (size_t i = 0; i < report.tokenizers.n; i++)
        printf("= %s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", report.tokenizers.list[i].id,
               report.tokenizers.list[i].codebook_size, report.tokenizers.list[i].codes,
               report.tokenizers.list[i].not_finite);
    printf("= %" PRIu64 " %" PRIu64 "\n", report.referenced, report.joined);
    return report.count ? VLM_EXIT_DIFFERS : VLM_EXIT_DONE;
}

/* The side that tells ---------------------------------------------------------------------------- */

static int start_part_check(pid_t *pid, int *out, const char *path,
                            const struct vlm_part_info *part, struct vlm_err *err)
{
    extern char **environ;
    char documents[24], images[24], program[] = "/proc/self/exe", verb[] = "verify-part";
    char *file = strdup(path);
    char *arguments[] = { program, verb, file, documents, images, NULL };
    posix_spawn_file_actions_t actions;
    int ends[2];
    if (!file || pipe(ends) < 0) {
        free(file);
        return vlm_fail_errno(err, errno, "cannot make a pipe");
    }
    snprintf(documents, sizeof(documents), "%" PRIu64, part->documents);
    snprintf(images, sizeof(images), "%" PRIu64, part->images);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    int number = posix_spawn(pid, program, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    free(file);
    *out = ends[0];
    if (!number)
        return VLM_OK;
    close(ends[0]);
    return vlm_fail_errno(err, number, "cannot start a process to look into '%s'", path);
}

/* "= ID CODEBOOK CODES MISSING": what one part holds of a tokenizer goes into the sums. */
static bool add_tokenizer(struct report *report, const char *line)
{
    struct vlm_set_tokenizer it = { .id = "" };
    _Static_assert(sizeof(it.id) == 32, "the format below");
    if (sscanf(line, "= %31[a-z0-9-] %" SCNu64 " %" SCNu64 " %" SCNu64, it.id, &it.codebook_size,
               &it.codes, &it.not_finite) != 4)
        return false;
    size_t i = vlm_tokenizers_find(&report->tokenizers, it.id);
    if (i == VLM_SET_TOKENIZERS_MAX)
        return true;
    struct vlm_set_tokenizer *sum = &report->tokenizers.list[i];
    if (i == report->tokenizers.n) {
        report->tokenizers.n++;
        *sum = it;
        return true;
    }
    sum->codes += it.codes;
    sum->not_finite += it.not_finite;
    return true;
}

static int check_records(struct report *report, const char *path, const struct vlm_part_info *part,
                         struct vlm_err *err)
{
    pid_t pid;
    int out = -1, wait_status;
    char line[1024];
    int rc = start_part_check(&pid, &out, path, part, err);
    if (rc < 0)
        return rc;
    FILE *lines = fdopen(out, "r");
    while (lines && fgets(line, sizeof(line), lines)) {
        uint64_t referenced, joined;
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "= %" SCNu64 " %" SCNu64, &referenced, &joined) == 2) {
            report->referenced += referenced;
            report->joined += joined;
        } else if (!add_tokenizer(report, line)) {
            find(report, "%s: %s", part->name, line);
        }
    }
    if (lines)
        fclose(lines);
    while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFSIGNALED(wait_status))
        find(report, "%s: damaged: reading it ends in signal %d", part->name,
             WTERMSIG(wait_status));
    else if (WEXITSTATUS(wait_status) != VLM_EXIT_DONE &&
             WEXITSTATUS(wait_status) != VLM_EXIT_DIFFERS)
        find(report, "%s: looking into it failed with status %d", part->name,
             WEXITSTATUS(wait_status));
    return VLM_OK;
}

/* Says which megabytes differ, neighbours together. */
static void find_blocks(struct report *report, const struct vlm_part_info *expected,
                        const struct vlm_part_info *found)
{
    size_t n = VLM_MIN(expected->n_blocks, found->n_blocks);
    for (size_t i = 0; i < n; i++) {
        size_t begin = i;
        while (i < n && expected->blocks[i] != found->blocks[i])
            i++;
        if (i > begin)
            find(report, "%s: bytes %" PRIu64 " to %" PRIu64 " differ from what was written",
                 expected->name, (uint64_t)begin * VLM_BLOCK_BYTES,
                 VLM_MIN((uint64_t)i * VLM_BLOCK_BYTES, expected->size) - 1);
    }
}

static int check_part(struct report *report, const char *folder,
                      const struct vlm_part_info *expected, struct vlm_err *err)
{
    struct vlm_part_info found = { 0 };
    struct vlm_err missing;
    char hex[2 * VLM_SHA256_SIZE + 1], *path = vlm_path_join(folder, expected->name);
    int rc = VLM_OK;
    if (vlm_part_measure(&found, path, &missing) < 0) {
        find(report, "%s: %s", expected->name, missing.msg);
    } else {
        if (found.size != expected->size)
            find(report, "%s: %" PRIu64 " bytes, the manifest says %" PRIu64, expected->name,
                 found.size, expected->size);
        if (memcmp(found.sha256, expected->sha256, VLM_SHA256_SIZE))
            find(report, "%s: SHA-256 is %s, not the manifest's", expected->name,
                 vlm_hex(hex, found.sha256, VLM_SHA256_SIZE));
        find_blocks(report, expected, &found);
        rc = check_records(report, path, expected, err);
    }
    free(found.blocks);
    free(path);
    return rc;
}

static uint64_t number(json_object *object, const char *key)
{
    return (uint64_t)json_object_get_int64(json_object_object_get(object, key));
}

static uint64_t total(json_object *reasons)
{
    uint64_t sum = 0;
    if (!json_object_is_type(reasons, json_type_object))
        return 0;
    json_object_object_foreach(reasons, key, value)
    {
        (void)key;
        sum += (uint64_t)json_object_get_int64(value);
    }
    return sum;
}

static void check_equation(struct report *report, json_object *books, const char *what)
{
    json_object *items = json_object_object_get(books, what);
    uint64_t in = number(items, "in"), kept = number(items, "kept");
    uint64_t skipped = total(json_object_object_get(items, "skipped"));
    if (in != kept + skipped)
        find(report,
             "manifest.json: %s: %" PRIu64 " in, but %" PRIu64 " kept and %" PRIu64 " skipped",
             what, in, kept, skipped);
}

static void check_digest(struct report *report, const struct vlm_manifest *manifest)
{
    uint8_t digest[VLM_SHA256_SIZE];
    char hex[2 * VLM_SHA256_SIZE + 1];
    const char *said = json_object_get_string(json_object_object_get(manifest->report, "sha256"));
    vlm_parts_digest(manifest->parts, manifest->n_parts, digest);
    if (!said || strcmp(said, vlm_hex(hex, digest, sizeof(digest))) != 0)
        find(report, "manifest.json: 'sha256' is not the hash over the parts' hashes");
}

static void check_ledger(struct report *report, const struct vlm_manifest *manifest)
{
    json_object *books = manifest->report;
    json_object *records = json_object_object_get(books, "records");
    json_object *images = json_object_object_get(books, "images");
    json_object *bytes = json_object_object_get(books, "bytes");
    uint64_t documents = 0, least = 0, most = 0, kept = number(images, "kept");
    for (size_t i = 0; i < manifest->n_parts; i++) {
        documents += manifest->parts[i].documents;
        least = VLM_MAX(least, manifest->parts[i].images);
        most += manifest->parts[i].images;
    }
    /* Parts may share images. */
    if (kept < least || kept > most)
        find(report, "manifest.json: images: 'kept' does not fit the parts");
    check_equation(report, books, "documents");
    check_equation(report, books, "images");
    if (number(records, "in") != total(json_object_object_get(records, "by_type")))
        find(report, "manifest.json: records: 'in' is not the sum of 'by_type'");
    if (number(images, "referenced") != total(json_object_object_get(images, "references")))
        find(report, "manifest.json: images: 'referenced' is not the sum of 'references'");
    if (number(bytes, "in") != number(bytes, "read") + number(bytes, "damaged"))
        find(report, "manifest.json: bytes: 'in' is not 'read' and 'damaged' together");
    if (number(json_object_object_get(books, "documents"), "kept") != documents)
        find(report, "manifest.json: documents: 'kept' is not the sum over the parts");
    check_digest(report, manifest);
}

/* Parts that the manifest does not know: of another build, or of none. Those of another generation are
 * what an interrupted change left; the next one deletes them. */
static void check_strangers(struct report *report, const char *folder,
                            const struct vlm_manifest *manifest)
{
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        uint64_t generation;
        bool known =
            fnmatch("part-*.lmdb", entry->d_name, 0) != 0 ||
            (vlm_part_name_read(entry->d_name, &generation) && generation != manifest->generation);
        for (size_t i = 0; !known && i < manifest->n_parts; i++)
            known = !strcmp(manifest->parts[i].name, entry->d_name);
        if (!known)
            find(report, "%s: not in the manifest", entry->d_name);
    }
    if (entries)
        closedir(entries);
}

/* Every part has codes of the same tokenizers, those of the manifest. */
static void check_set_codes(struct report *report, const struct vlm_manifest *manifest)
{
    const struct vlm_set_tokenizers *said = &manifest->tokenizers, *found = &report->tokenizers;
    uint64_t images = 0;
    for (size_t i = 0; i < manifest->n_parts; i++)
        images += manifest->parts[i].images;
    for (size_t i = 0; i < said->n; i++) {
        const struct vlm_set_tokenizer *it = &said->list[i];
        size_t k = vlm_tokenizers_find(found, it->id);
        uint64_t codes = k < found->n ? found->list[k].codes : 0;
        if (it->codes != codes)
            find(report,
                 "manifest.json: tokenizers: %s: %" PRIu64 " codes, the parts hold %" PRIu64,
                 it->id, it->codes, codes);
        if (it->codes + it->not_finite != images)
            find(report,
                 "manifest.json: tokenizers: %s: %" PRIu64 " codes and %" PRIu64
                 " skipped, but the parts hold %" PRIu64 " images",
                 it->id, it->codes, it->not_finite, images);
        if (k < found->n && found->list[k].codebook_size != it->codebook_size)
            find(report,
                 "manifest.json: tokenizers: %s: codebook_size is %" PRIu64
                 ", a part says %" PRIu64,
                 it->id, it->codebook_size, found->list[k].codebook_size);
    }
    for (size_t i = 0; i < found->n; i++)
        if (vlm_tokenizers_find(said, found->list[i].id) == said->n)
            find(report, "manifest.json: tokenizers: a part holds codes of %s, which is not listed",
                 found->list[i].id);
}

/* What the documents of all parts show must be what the report says. */
static void check_references(struct report *report, const struct vlm_manifest *manifest)
{
    json_object *images = json_object_object_get(manifest->report, "images");
    uint64_t referenced = number(images, "referenced"), joined = number(images, "joined");
    if (report->referenced != referenced)
        find(report, "manifest.json: images: 'referenced' is %" PRIu64 ", documents show %" PRIu64,
             referenced, report->referenced);
    if (report->joined != joined)
        find(report, "manifest.json: images: 'joined' is %" PRIu64 ", documents say %" PRIu64,
             joined, report->joined);
}

int vlm_verify(const char *folder, vlm_finding *tell, void *context, uint64_t *findings,
               struct vlm_err *err)
{
    struct report report = { .tell = tell, .context = context };
    struct vlm_manifest manifest;
    int rc = vlm_manifest_read(&manifest, folder, err);
    if (rc == VLM_SKIP)
        rc = vlm_recode(err, VLM_EFAIL);
    if (rc == VLM_EDIFFER || rc == VLM_EFORMAT) {
        find(&report, "%s", err->msg);
        *findings = report.count;
        vlm_manifest_release(&manifest);
        return VLM_OK;
    }
    if (rc == VLM_OK)
        check_ledger(&report, &manifest);
    for (size_t i = 0; rc == VLM_OK && i < manifest.n_parts; i++)
        rc = check_part(&report, folder, &manifest.parts[i], err);
    if (rc == VLM_OK && !report.count)
        check_references(&report, &manifest);
    if (rc == VLM_OK && !report.count)
        check_set_codes(&report, &manifest);
    if (rc == VLM_OK)
        check_strangers(&report, folder, &manifest);
    vlm_manifest_release(&manifest);
    *findings = report.count;
    return rc;
}
