/* manifest.c - writing and reading manifest.json and the report inside it. */
#include "base/vlm.h"

#include "shard/parts/manifest.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_MAX (256 * VLM_MIB)

int vlm_part_measure(struct vlm_part_info *part, const char *path, struct vlm_err *err)
{
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not stop us */
    if (fd < 0 || fstat(fd, &stat) < 0) {
        int rc = vlm_fail_errno(err, errno, "cannot read '%s'", path);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    if (!S_ISREG(stat.st_mode)) {
        close(fd);
        return vlm_fail(err, VLM_EFORMAT, "'%s' is no file", path);
    }
    int rc = VLM_OK;
    part->size = (uint64_t)stat.st_size;
    part->n_blocks = (size_t)((part->size + VLM_BLOCK_BYTES - 1) / VLM_BLOCK_BYTES);
    part->blocks = calloc(part->n_blocks + 1, sizeof(*part->blocks));
    uint8_t *block = malloc(VLM_BLOCK_BYTES);
    if (!part->blocks || !block)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", path);
    struct vlm_sha256_stream *sha = vlm_sha256_begin();
    for (size_t i = 0; rc == VLM_OK && i < part->n_blocks; i++) {
        uint64_t at = (uint64_t)i * VLM_BLOCK_BYTES;
        size_t n = (size_t)VLM_MIN(part->size - at, (uint64_t)VLM_BLOCK_BYTES);
        rc = vlm_pread_all(fd, block, n, at, path, err);
        if (rc == VLM_OK) {
            vlm_sha256_add(sha, block, n);
            part->blocks[i] = vlm_xxh3(block, n);
        }
    }
    vlm_sha256_end(sha, part->sha256);
    free(block);
    close(fd);
    return rc;
}

int vlm_part_check_size(const struct vlm_part_info *part, int fd, const char *path,
                        struct vlm_err *err)
{
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return vlm_fail_errno(err, errno, "cannot read '%s'", path);
    if (!S_ISREG(stat.st_mode))
        return vlm_fail(err, VLM_EDIFFER, "'%s' is no file", path);
    if ((uint64_t)stat.st_size != part->size)
        return vlm_fail(err, VLM_EDIFFER, "'%s' has %" PRIu64 " bytes, the manifest says %" PRIu64,
                        path, (uint64_t)stat.st_size, part->size);
    return VLM_OK;
}

int vlm_part_check(const struct vlm_part_info *part, int fd, const char *path, struct vlm_err *err)
{
    int rc = vlm_part_check_size(part, fd, path, err);
    if (rc == VLM_OK && part->n_blocks != (part->size + VLM_BLOCK_BYTES - 1) / VLM_BLOCK_BYTES)
        rc =
            vlm_fail(err, VLM_EDIFFER, "'%s': the manifest has %zu checksums for %" PRIu64 " bytes",
                     path, part->n_blocks, part->size);
    uint8_t *block = rc == VLM_OK ? malloc(VLM_BLOCK_BYTES) : NULL;
    if (rc == VLM_OK && !block)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", path);
    for (size_t i = 0; rc == VLM_OK && i < part->n_blocks; i++) {
        const uint64_t at = (uint64_t)i * VLM_BLOCK_BYTES;
        const size_t n = (size_t)VLM_MIN(part->size - at, (uint64_t)VLM_BLOCK_BYTES);
        rc = vlm_pread_all(fd, block, n, at, path, err);
        if (rc == VLM_OK && vlm_xxh3(block, n) != part->blocks[i])
            rc = vlm_fail(err, VLM_EDIFFER,
                          "'%s' is damaged: bytes %" PRIu64 " to %" PRIu64
                          " differ from what was written",
                          path, at, at + n - 1);
    }
    free(block);
    return rc;
}

/* Names and tokenizers -------------------------------------------------------------------------- */

void vlm_part_name(char name[VLM_PART_NAME_SIZE], size_t number, uint64_t generation)
{
    if (generation == 1)
        snprintf(name, VLM_PART_NAME_SIZE, "part-%05zu.lmdb", number);
    else
        snprintf(name, VLM_PART_NAME_SIZE, "part-%05zu.g%" PRIu64 ".lmdb", number, generation);
}

bool vlm_part_name_read(const char *name, uint64_t *generation)
{
    char same[VLM_PART_NAME_SIZE];
    size_t number = 0;
    *generation = 1;
    if (sscanf(name, "part-%zu.g%" SCNu64 ".lmdb", &number, generation) < 1)
        return false;
    vlm_part_name(same, number, *generation);
    return !strcmp(same, name);
}

const char *vlm_codes_name(char name[VLM_CODES_NAME_SIZE], const char *id)
{
    snprintf(name, VLM_CODES_NAME_SIZE, "codes/%s", id);
    return name;
}

size_t vlm_tokenizers_find(const struct vlm_set_tokenizers *tokenizers, const char *id)
{
    size_t i = 0;
    while (i < tokenizers->n && strcmp(tokenizers->list[i].id, id))
        i++;
    return i;
}

const char *vlm_tokenizers_text(char text[VLM_TOKENIZERS_TEXT],
                                const struct vlm_set_tokenizers *tokenizers)
{
    size_t n =
        (size_t)snprintf(text, VLM_TOKENIZERS_TEXT, "%s", tokenizers->n ? "codes of" : "no codes");
    for (size_t i = 0; i < tokenizers->n; i++)
        n += (size_t)snprintf(text + n, VLM_TOKENIZERS_TEXT - n, "%s %s", i ? "," : "",
                              tokenizers->list[i].id);
    return text;
}

void vlm_tokenizers_write(struct vlm_json *json, const struct vlm_set_tokenizers *tokenizers)
{
    vlm_json_open(json, '[');
    for (size_t i = 0; i < tokenizers->n; i++) {
        const struct vlm_set_tokenizer *it = &tokenizers->list[i];
        vlm_json_open(json, '{');
        vlm_json_member_string(json, "id", it->id);
        vlm_json_member_number(json, "codebook_size", it->codebook_size);
        vlm_json_member_number(json, "codes", it->codes);
        vlm_json_key(json, "skipped");
        vlm_json_open(json, '{');
        if (it->not_finite)
            vlm_json_member_number(json, "not_finite", it->not_finite);
        vlm_json_close(json, '}');
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, ']');
}

/* Writing ----------------------------------------------------------------------------------------- */

/* A counter of every reason that occurred. */
static void write_reasons(struct vlm_json *json, const char *key, const uint64_t *counter,
                          unsigned n, const char *(*name)(unsigned))
{
    vlm_json_key(json, key);
    vlm_json_open(json, '{');
    for (unsigned i = 0; i < n; i++)
        if (counter[i])
            vlm_json_member_number(json, name(i), counter[i]);
    vlm_json_close(json, '}');
}

static const char *type_name(unsigned i)
{
    return vlm_record_type_name((enum vlm_record_type)i);
}

static const char *damage_name(unsigned i)
{
    return vlm_damage_name((enum vlm_damage)i);
}

static const char *skip_name(unsigned i)
{
    return vlm_skip_name((enum vlm_skip)i);
}

static const char *reference_name(unsigned i)
{
    return vlm_image_status_name((enum vlm_image_status)i);
}

static void write_records(struct vlm_json *json, const struct vlm_ledger *ledger)
{
    vlm_json_key(json, "records");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "in", vlm_ledger_records(ledger));
    write_reasons(json, "by_type", ledger->records, VLM_RECORD_TYPES, type_name);
    vlm_json_member_number(json, "damaged", vlm_ledger_damaged(ledger));
    write_reasons(json, "damage", ledger->damaged, VLM_DAMAGES, damage_name);
    vlm_json_key(json, "digests");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "ok", ledger->digests[VLM_DIGEST_OK]);
    vlm_json_member_number(json, "mismatch", ledger->digests[VLM_DIGEST_MISMATCH]);
    vlm_json_member_number(json, "none", ledger->digests[VLM_DIGEST_NONE]);
    vlm_json_close(json, '}');
    vlm_json_close(json, '}');
}

static void write_items(struct vlm_json *json, const struct vlm_ledger *ledger)
{
    vlm_json_key(json, "documents");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "in", ledger->documents_in);
    vlm_json_member_number(json, "kept", vlm_ledger_documents_kept(ledger));
    write_reasons(json, "skipped", ledger->documents_skipped, VLM_SKIPS, skip_name);
    vlm_json_close(json, '}');
    vlm_json_key(json, "images");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "in", ledger->images_in);
    vlm_json_member_number(json, "kept", vlm_ledger_images_kept(ledger));
    write_reasons(json, "skipped", ledger->images_skipped, VLM_IMAGE_SKIPS, vlm_image_skip_name);
    vlm_json_member_number(json, "referenced", vlm_ledger_referenced(ledger));
    vlm_json_member_number(json, "joined", vlm_ledger_joined(ledger));
    write_reasons(json, "references", ledger->references, VLM_IMAGE_STATUSES, reference_name);
    vlm_json_close(json, '}');
}

void vlm_parts_digest(const struct vlm_part_info *parts, size_t n, uint8_t digest[VLM_SHA256_SIZE])
{
    struct vlm_sha256_stream *sha = vlm_sha256_begin();
    for (size_t i = 0; i < n; i++)
        vlm_sha256_add(sha, parts[i].sha256, VLM_SHA256_SIZE);
    vlm_sha256_end(sha, digest);
}

static void write_parts(struct vlm_json *json, const struct vlm_part_info *parts, size_t n)
{
    vlm_json_open(json, '[');
    for (size_t i = 0; i < n; i++) {
        vlm_json_open(json, '{');
        vlm_json_member_string(json, "name", parts[i].name);
        vlm_json_key(json, "sha256");
        vlm_json_hex(json, parts[i].sha256, VLM_SHA256_SIZE);
        vlm_json_member_number(json, "documents", parts[i].documents);
        vlm_json_member_number(json, "images", parts[i].images);
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, ']');
}

void vlm_report_write(struct vlm_json *json, const struct vlm_run_report *report)
{
    const struct vlm_ledger *ledger = &report->ledger;
    uint8_t digest[VLM_SHA256_SIZE];
    vlm_json_open(json, '{');
    write_records(json, ledger);
    write_items(json, ledger);
    vlm_json_key(json, "bytes");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "in", report->bytes_in);
    vlm_json_member_number(json, "read", ledger->bytes_read);
    vlm_json_member_number(json, "damaged", ledger->bytes_damaged);
    vlm_json_member_number(json, "decoded", ledger->bytes_decoded);
    vlm_json_close(json, '}');
    vlm_json_key(json, "seconds");
    vlm_json_real(json, report->seconds);
    vlm_json_member_number(json, "peak_rss", report->memory_peak);
    vlm_json_member_number(json, "worker_crashes", report->crashes);
    vlm_json_key(json, "confined");
    vlm_json_bool(json, !report->unconfined);
    vlm_json_key(json, "clock_fired");
    vlm_json_bool(json, report->clock_fired);
    vlm_json_key(json, "tokenizers");
    vlm_tokenizers_write(json, &report->tokenizers);
    vlm_json_key(json, "parts");
    write_parts(json, report->parts, report->n_parts);
    vlm_parts_digest(report->parts, report->n_parts, digest);
    vlm_json_key(json, "sha256");
    vlm_json_hex(json, digest, sizeof(digest));
    vlm_json_close(json, '}');
}

static void write_blocks(struct vlm_json *json, const struct vlm_part_info *part)
{
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "name", part->name);
    vlm_json_member_number(json, "size", part->size);
    vlm_json_key(json, "blocks");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < part->n_blocks; i++) {
        char hex[17];
        snprintf(hex, sizeof(hex), "%016" PRIx64, part->blocks[i]);
        vlm_json_string(json, hex);
    }
    vlm_json_close(json, ']');
    vlm_json_close(json, '}');
}

/* The last member: XXH3-64 of all the bytes before it, in hexadecimal. */
static const char check_member[] = ", \"check\": \"";
enum { CHECK_SIZE = sizeof(check_member) - 1 + 16 + 3 }; /* and "}, newline */

static void add_check(struct vlm_buffer *out, size_t begin)
{
    uint64_t check = out->failed ? 0 : vlm_xxh3(out->data + begin, out->size - begin);
    vlm_buffer_printf(out, "%s%016" PRIx64 "\"}\n", check_member, check);
}

static bool check_is_right(const char *text, size_t n)
{
    char expected[CHECK_SIZE + 1];
    if (n < CHECK_SIZE)
        return false;
    snprintf(expected, sizeof(expected), "%s%016" PRIx64 "\"}\n", check_member,
             vlm_xxh3(text, n - CHECK_SIZE));
    return !memcmp(text + n - CHECK_SIZE, expected, CHECK_SIZE);
}

static void begin_manifest(struct vlm_json *json, uint64_t generation,
                           const struct vlm_set_tokenizers *tokenizers)
{
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "format", VLM_SET_FORMAT);
    vlm_json_member_string(json, "version", VLM_VERSION);
    vlm_json_member_number(json, "generation", generation);
    vlm_json_key(json, "tokenizers");
    vlm_tokenizers_write(json, tokenizers);
}

static void end_manifest(struct vlm_json *json, size_t begin, const struct vlm_part_info *parts,
                         size_t n)
{
    vlm_json_key(json, "files");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < n; i++)
        write_blocks(json, &parts[i]);
    vlm_json_close(json, ']');
    add_check(json->out, begin);
}

void vlm_manifest_write(struct vlm_buffer *out, const struct vlm_run_report *report,
                        const struct vlm_buffer *plan)
{
    size_t begin = out->size;
    struct vlm_json json = { .out = out };
    begin_manifest(&json, 1, &report->tokenizers);
    vlm_json_key(&json, "plan");
    vlm_buffer_add(out, plan->data, plan->size);
    json.comma = true;
    vlm_json_key(&json, "report");
    vlm_report_write(&json, report);
    end_manifest(&json, begin, report->parts, report->n_parts);
}

int vlm_manifest_renew(struct vlm_buffer *out, const struct vlm_manifest *was,
                       const struct vlm_part_info *parts,
                       const struct vlm_set_tokenizers *tokenizers, struct vlm_err *err)
{
    size_t begin = out->size;
    uint8_t digest[VLM_SHA256_SIZE];
    struct vlm_json json = { .out = out };
    begin_manifest(&json, was->generation + 1, tokenizers);
    vlm_json_key(&json, "plan");
    vlm_json_value(&json, was->plan);
    vlm_json_key(&json, "report");
    vlm_json_open(&json, '{');
    json_object_object_foreach(was->report, key, value)
    {
        vlm_json_key(&json, key);
        if (!strcmp(key, "tokenizers")) {
            vlm_tokenizers_write(&json, tokenizers);
        } else if (!strcmp(key, "parts")) {
            write_parts(&json, parts, was->n_parts);
        } else if (!strcmp(key, "sha256")) {
            vlm_parts_digest(parts, was->n_parts, digest);
            vlm_json_hex(&json, digest, sizeof(digest));
        } else {
            vlm_json_value(&json, value);
        }
    }
    vlm_json_close(&json, '}');
    end_manifest(&json, begin, parts, was->n_parts);
    return out->failed ? vlm_fail(err, VLM_ENOMEM, "no memory for the manifest") : VLM_OK;
}

/* Reading ---------------------------------------------------------------------------------------- */

static int bad_manifest(const char *what, struct vlm_err *err)
{
    return vlm_fail(err, VLM_EFORMAT, "manifest.json has no valid %s", what);
}

static uint64_t number_of(json_object *object, const char *key)
{
    int64_t value = json_object_get_int64(json_object_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

/* An id is part of the name of a database, and printed. */
static bool is_id(const char *id)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    return id && *id && strlen(id) < VLM_TOKENIZER_ID_SIZE && id[strspn(id, letters)] == 0;
}

int vlm_tokenizers_read(struct vlm_set_tokenizers *tokenizers, json_object *array,
                        struct vlm_err *err)
{
    *tokenizers = (struct vlm_set_tokenizers){ 0 };
    if (!json_object_is_type(array, json_type_array))
        return bad_manifest("list of tokenizers", err);
    size_t n = json_object_array_length(array);
    if (n > VLM_SET_TOKENIZERS_MAX)
        return vlm_fail(err, VLM_ELIMIT, "manifest.json lists %zu tokenizers, at most %d are known",
                        n, VLM_SET_TOKENIZERS_MAX);
    for (size_t i = 0; i < n; i++) {
        struct vlm_set_tokenizer *it = &tokenizers->list[i];
        json_object *entry = json_object_array_get_idx(array, i);
        const char *id = json_object_get_string(json_object_object_get(entry, "id"));
        it->codebook_size = number_of(entry, "codebook_size");
        if (!is_id(id) || vlm_tokenizers_find(tokenizers, id) < i || !it->codebook_size ||
            it->codebook_size > VLM_CODE_UNKNOWN)
            return bad_manifest("list of tokenizers", err);
        memcpy(it->id, id, strlen(id) + 1);
        it->codes = number_of(entry, "codes");
        it->not_finite = number_of(json_object_object_get(entry, "skipped"), "not_finite");
        tokenizers->n = i + 1;
    }
    return VLM_OK;
}

static int read_blocks(struct vlm_part_info *part, json_object *file, struct vlm_err *err)
{
    json_object *blocks = json_object_object_get(file, "blocks");
    const char *name = json_object_get_string(json_object_object_get(file, "name"));
    if (!json_object_is_type(blocks, json_type_array) || !name || strcmp(name, part->name))
        return bad_manifest("list of files", err);
    part->size = number_of(file, "size");
    part->n_blocks = json_object_array_length(blocks);
    part->blocks = calloc(part->n_blocks + 1, sizeof(*part->blocks));
    if (!part->blocks)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the manifest");
    for (size_t i = 0; i < part->n_blocks; i++) {
        const char *hex = json_object_get_string(json_object_array_get_idx(blocks, i));
        part->blocks[i] = hex ? strtoull(hex, NULL, 16) : 0;
    }
    return VLM_OK;
}

static int read_part(struct vlm_part_info *part, json_object *entry, json_object *file,
                     struct vlm_err *err)
{
    const char *name = json_object_get_string(json_object_object_get(entry, "name"));
    const char *sha = json_object_get_string(json_object_object_get(entry, "sha256"));
    /* Names are opened below the set's folder: nothing but a plain file name will do. */
    if (!name || strlen(name) >= sizeof(part->name) || strchr(name, '/') || name[0] == '.' ||
        !sha || vlm_unhex(part->sha256, sizeof(part->sha256), sha, strlen(sha)) != VLM_SHA256_SIZE)
        return bad_manifest("list of parts", err);
    memcpy(part->name, name, strlen(name) + 1);
    part->documents = number_of(entry, "documents");
    part->images = number_of(entry, "images");
    return read_blocks(part, file, err);
}

static int compare_names(const void *a, const void *b)
{
    const struct vlm_part_info *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* A part that is listed twice would be read twice. */
static int check_names(const struct vlm_manifest *manifest, struct vlm_err *err)
{
    const size_t n = manifest->n_parts;
    const struct vlm_part_info **parts = calloc(n + 1, sizeof(*parts));
    if (!parts)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the manifest");
    for (size_t i = 0; i < n; i++)
        parts[i] = &manifest->parts[i];
    qsort(parts, n, sizeof(*parts), compare_names);
    int rc = VLM_OK;
    for (size_t i = 1; rc == VLM_OK && i < n; i++)
        if (!strcmp(parts[i - 1]->name, parts[i]->name))
            rc = vlm_fail(err, VLM_EFORMAT, "manifest.json lists '%s' twice", parts[i]->name);
    free(parts);
    return rc;
}

static int read_members(struct vlm_manifest *manifest, struct vlm_err *err)
{
    manifest->report = json_object_object_get(manifest->root, "report");
    manifest->plan = json_object_object_get(manifest->root, "plan");
    manifest->generation = number_of(manifest->root, "generation");
    int rc = vlm_tokenizers_read(&manifest->tokenizers,
                                 json_object_object_get(manifest->root, "tokenizers"), err);
    if (rc < 0)
        return rc;
    json_object *parts = json_object_object_get(manifest->report, "parts");
    json_object *files = json_object_object_get(manifest->root, "files");
    if (!json_object_is_type(parts, json_type_array) ||
        !json_object_is_type(files, json_type_array) ||
        json_object_array_length(parts) != json_object_array_length(files))
        return bad_manifest("list of parts", err);
    manifest->n_parts = json_object_array_length(parts);
    manifest->parts = calloc(manifest->n_parts + 1, sizeof(*manifest->parts));
    if (!manifest->parts)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the manifest");
    for (size_t i = 0; rc == VLM_OK && i < manifest->n_parts; i++)
        rc = read_part(&manifest->parts[i], json_object_array_get_idx(parts, i),
                       json_object_array_get_idx(files, i), err);
    return rc == VLM_OK ? check_names(manifest, err) : rc;
}

int vlm_manifest_read(struct vlm_manifest *manifest, const char *folder, struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    *manifest = (struct vlm_manifest){ 0 };
    char *path = vlm_path_join(folder, "manifest.json");
    int rc = access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR)
                 ? vlm_fail(err, VLM_SKIP, "'%s' is no finished shard set: it has no manifest.json",
                            folder)
                 : vlm_file_read(&text, path, MANIFEST_MAX, err);
    free(path);
    if (rc == VLM_OK && !check_is_right((const char *)text.data, text.size))
        rc = vlm_fail(err, VLM_EDIFFER, "its checksum differs from its content");
    if (rc == VLM_OK)
        rc = vlm_json_parse(&manifest->root, (const char *)text.data, text.size, err);
    vlm_buffer_release(&text);
    if (rc != VLM_OK)
        return rc < 0 ? vlm_wrap(err, "manifest.json of '%s'", folder) : rc;
    const char *format = json_object_get_string(json_object_object_get(manifest->root, "format"));
    if (!format || strcmp(format, VLM_SET_FORMAT))
        return vlm_fail(err, VLM_EFORMAT, "'%s' has the format '%s', expected '%s'", folder,
                        format ? format : "", VLM_SET_FORMAT);
    rc = read_members(manifest, err);
    return rc < 0 ? vlm_wrap(err, "'%s'", folder) : rc;
}

bool vlm_is_shard_set(const char *folder)
{
    static const char set_format[] = "\"vlm-shard-set "; /* of any version */
    struct vlm_buffer text = { 0 };
    struct vlm_err ignored;
    char *manifest = vlm_path_join(folder, "manifest.json");
    bool found = vlm_file_read(&text, manifest, MANIFEST_MAX, &ignored) == VLM_OK &&
                 memmem(text.data, text.size, set_format, strlen(set_format));
    vlm_buffer_release(&text);
    free(manifest);
    return found;
}

bool vlm_manifest_has_profile(const struct vlm_manifest *manifest)
{
    json_object *options = json_object_object_get(manifest->plan, "options");
    const char *profile = json_object_get_string(json_object_object_get(options, "profile"));
    return profile && strcmp(profile, "none") != 0;
}

void vlm_manifest_release(struct vlm_manifest *manifest)
{
    for (size_t i = 0; manifest->parts && i < manifest->n_parts; i++)
        free(manifest->parts[i].blocks);
    free(manifest->parts);
    json_object_put(manifest->root);
    *manifest = (struct vlm_manifest){ 0 };
}
