/* plan.c - from arguments to inputs and units.
 *
 * Only the first and last bytes of an input are read here, to tell its format and to recognise it
 * again; names are never trusted. */
#include "base/vlm.h"

#include "shard/units/plan.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/limits.h"
#include "tokenize/dump/http.h"

#include <fcntl.h>
#include <fts.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CHECK_BYTES = 64 << 10,
    FILES_IN_UNIT = 256,
    UNITS_WANTED = 8192, /* of a large crawl */
    UNITS_LEFT = 8,      /* a unit is this share of the work that is left, within the sizes below */
    PLAN_FORMAT = 2
};
#define UNIT_LARGEST  (4 * VLM_MIB) /* more for crawls over UNITS_WANTED of them */
#define UNIT_SMALLEST (1 * VLM_MIB)

/* One file found under the arguments, before names are cut and loose files are gathered. */
struct found {
    char *path;
    enum vlm_dump_format format;
    uint64_t size, check;
    uint64_t time; /* of its last change, in nanoseconds; 0: of no account */
    bool images_only;
};

struct search {
    struct found *found;
    size_t n_found, capacity;
    char *common; /* folder above everything so far, "" = none yet known */
    char *output; /* the folder that is written, no input although it may be among them; or NULL */
};

static int out_of_memory(struct vlm_err *err)
{
    return vlm_fail(err, VLM_ENOMEM, "no memory for the list of inputs");
}

/* Shortens common to the folder that it shares with folder. */
static int share_folder(struct search *search, const char *folder, struct vlm_err *err)
{
    if (!search->common) {
        search->common = strdup(folder);
        return search->common ? VLM_OK : out_of_memory(err);
    }
    char *common = search->common;
    size_t n = 0, last = 0;
    while (common[n] && common[n] == folder[n]) {
        n++;
        if (common[n - 1] == '/')
            last = n - 1;
    }
    bool whole = (!common[n] || common[n] == '/') && (!folder[n] || folder[n] == '/');
    common[whole ? n : last] = 0;
    return VLM_OK;
}

static bool is_page_or_image(const char *path, const uint8_t *bytes, size_t n)
{
    struct vlm_record record = { .type = VLM_RECORD_RESOURCE, .uri = path };
    struct vlm_http http = { .body = bytes, .body_length = n };
    enum vlm_payload kind = vlm_payload_kind(&record, &http);
    return kind == VLM_PAYLOAD_HTML || kind == VLM_PAYLOAD_IMAGE;
}

static int describe(struct found *file, struct vlm_err *err)
{
    uint8_t bytes[2 * CHECK_BYTES];
    struct stat stat;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) < 0) {
        int rc = vlm_fail_errno(err, errno, "cannot read '%s'", file->path);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    file->size = (uint64_t)stat.st_size;
    file->time = (uint64_t)stat.st_mtim.tv_sec * 1000000000u + (uint64_t)stat.st_mtim.tv_nsec;
    size_t head = (size_t)VLM_MIN(file->size, (uint64_t)CHECK_BYTES);
    size_t tail = (size_t)VLM_MIN(file->size - head, (uint64_t)CHECK_BYTES);
    int rc = vlm_pread_all(fd, bytes, head, 0, file->path, err);
    if (rc == VLM_OK)
        rc = vlm_pread_all(fd, bytes + head, tail, file->size - tail, file->path, err);
    close(fd);
    if (rc < 0)
        return rc;
    file->format = vlm_dump_sniff(bytes, head);
    if (file->format == VLM_DUMP_UNKNOWN && is_page_or_image(file->path, bytes, head))
        file->format = VLM_DUMP_FILES;
    file->check = vlm_xxh3(bytes, head + tail);
    return VLM_OK;
}

static int add_found(struct search *search, const char *path, bool images_only, struct vlm_err *err)
{
    if (search->n_found == search->capacity) {
        size_t capacity = search->capacity ? search->capacity * 2 : 64;
        struct found *more = realloc(search->found, capacity * sizeof(*more));
        if (!more)
            return out_of_memory(err);
        search->found = more;
        search->capacity = capacity;
    }
    struct found *file = &search->found[search->n_found];
    *file = (struct found){ .path = strdup(path), .images_only = images_only };
    if (!file->path)
        return out_of_memory(err);
    search->n_found++;
    return describe(file, err);
}

static int compare_names(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static bool is_link_to_file(const FTSENT *entry)
{
    struct stat about;
    return entry->fts_info == FTS_SL && stat(entry->fts_path, &about) == 0 &&
           S_ISREG(about.st_mode);
}

/* Files below folder, through links too; names that begin with a dot and links to folders, which may lead
 * in circles, are left out. */
static int walk(struct search *search, char *folder, bool images_only, struct vlm_err *err)
{
    char *roots[] = { folder, NULL };
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, compare_names);
    if (!tree)
        return vlm_fail_errno(err, errno, "cannot read the folder '%s'", folder);
    int rc = VLM_OK;
    for (FTSENT *entry; rc == VLM_OK && (entry = fts_read(tree));) {
        bool is_output = search->output && !strcmp(entry->fts_path, search->output);
        if (entry->fts_level > 0 && (entry->fts_name[0] == '.' || is_output))
            fts_set(tree, entry, FTS_SKIP);
        else if (entry->fts_info == FTS_F || is_link_to_file(entry))
            rc = add_found(search, entry->fts_path, images_only, err);
        else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
            rc = vlm_fail_errno(err, entry->fts_errno, "cannot read the folder '%s'",
                                entry->fts_path);
    }
    fts_close(tree);
    return rc;
}

/* A file that the user named and whose beginning says nothing: is there a record behind damage or empty
 * members? */
static void look_behind_damage(struct found *file)
{
    struct vlm_err ignored;
    struct vlm_dump *dump = NULL;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    struct vlm_dump_input in = { .fd = fd, .name = file->path };
    if (fd >= 0 && vlm_dump_open(&dump, &in, &ignored) == VLM_OK)
        file->format = vlm_dump_format(dump);
    vlm_dump_close(dump);
    if (fd >= 0)
        close(fd);
}

static int add_path(struct search *search, const char *given, bool images_only, struct vlm_err *err)
{
    struct stat stat_buffer;
    char *path = realpath(given, NULL);
    if (!path || stat(path, &stat_buffer) < 0) {
        int rc = vlm_fail_errno(err, errno, "cannot read '%s'", given);
        free(path);
        return rc;
    }
    int rc;
    if (!S_ISDIR(stat_buffer.st_mode) && !S_ISREG(stat_buffer.st_mode)) {
        rc = vlm_fail(err, VLM_EFAIL, "'%s' is neither a file nor a folder: use '-' for a pipe",
                      given);
    } else if (S_ISDIR(stat_buffer.st_mode)) {
        rc = share_folder(search, path, err);
        rc = rc < 0 ? rc : walk(search, path, images_only, err);
    } else {
        size_t n = search->n_found;
        char *folder = strdup(path);
        rc = folder ? VLM_OK : out_of_memory(err);
        if (folder)
            *strrchr(folder, '/') = 0;
        rc = rc < 0 ? rc : share_folder(search, folder, err);
        rc = rc < 0 ? rc : add_found(search, path, images_only, err);
        if (rc == VLM_OK && search->found[n].format == VLM_DUMP_UNKNOWN && search->found[n].size)
            look_behind_damage(&search->found[n]);
        if (rc == VLM_OK && search->found[n].format == VLM_DUMP_UNKNOWN && search->found[n].size)
            rc = vlm_fail(err, VLM_EFAIL,
                          "'%s' is no crawl: expected WARC, ARC, tar, zip, a page or an image",
                          given);
        free(folder);
    }
    free(path);
    return rc;
}

static const char *name_of(const struct search *search, const struct found *file)
{
    const char *name = file->path + strlen(search->common);
    return *name == '/' ? name + 1 : name;
}

static int compare_inputs(const void *a, const void *b)
{
    const struct vlm_input *x = a, *y = b;
    if (x->images_only != y->images_only)
        return x->images_only - y->images_only;
    if ((x->format == VLM_DUMP_FILES) != (y->format == VLM_DUMP_FILES))
        return (x->format == VLM_DUMP_FILES) - (y->format == VLM_DUMP_FILES);
    int order = strcmp(x->name, y->name);
    return order ? order : (x->check > y->check) - (x->check < y->check);
}

static int compare_found(const void *a, const void *b)
{
    return strcmp(((const struct found *)a)->path, ((const struct found *)b)->path);
}

static bool is_loose(const struct found *file)
{
    return file->format == VLM_DUMP_FILES || file->format == VLM_DUMP_UNKNOWN;
}

/* All loose files of one kind become one input, sorted by name. */
static int gather_files(struct vlm_plan *plan, const struct search *search, bool images_only,
                        struct vlm_err *err)
{
    struct vlm_input *input = &plan->inputs[plan->n_inputs];
    *input = (struct vlm_input){ .format = VLM_DUMP_FILES, .images_only = images_only };
    input->name = strdup("");
    input->files = calloc(search->n_found + 1, sizeof(char *));
    input->file_names = calloc(search->n_found + 1, sizeof(char *));
    plan->n_inputs++;
    if (!input->name || !input->files || !input->file_names)
        return out_of_memory(err);
    for (size_t i = 0; i < search->n_found; i++) {
        const struct found *file = &search->found[i];
        if (!is_loose(file) || file->images_only != images_only)
            continue;
        const char *name = name_of(search, file);
        input->files[input->n_files] = strdup(file->path);
        input->file_names[input->n_files] = strdup(name);
        if (!input->files[input->n_files] || !input->file_names[input->n_files])
            return out_of_memory(err);
        input->n_files++;
        input->size += file->size;
        input->check = vlm_xxh3_chain(input->check, file->check);
        input->check = vlm_xxh3_chain(input->check, vlm_xxh3(name, strlen(name)));
    }
    if (!input->n_files) {
        plan->n_inputs--;
        free(input->name);
        free(input->files);
        free(input->file_names);
    }
    return VLM_OK;
}

static int make_inputs(struct vlm_plan *plan, struct search *search, struct vlm_err *err)
{
    plan->inputs = calloc(search->n_found + 2, sizeof(*plan->inputs));
    if (!plan->inputs)
        return out_of_memory(err);
    qsort(search->found, search->n_found, sizeof(*search->found), compare_found);
    for (size_t i = 0; i < search->n_found; i++) {
        const struct found *file = &search->found[i];
        if (is_loose(file))
            continue;
        struct vlm_input *input = &plan->inputs[plan->n_inputs++];
        *input = (struct vlm_input){
            .path = strdup(file->path),
            .name = strdup(name_of(search, file)),
            .format = file->format,
            .size = file->size,
            .check = file->check,
            .images_only = file->images_only,
        };
        if (!input->path || !input->name)
            return out_of_memory(err);
    }
    int rc = gather_files(plan, search, false, err);
    rc = rc < 0 ? rc : gather_files(plan, search, true, err);
    qsort(plan->inputs, plan->n_inputs, sizeof(*plan->inputs), compare_inputs);
    for (size_t i = 0; i < plan->n_inputs; i++)
        plan->bytes += plan->inputs[i].size;
    for (size_t i = 0; i < search->n_found; i++)
        plan->times = vlm_xxh3_chain(plan->times, search->found[i].time);
    return rc;
}

/* How much the next unit takes of an input of which left bytes are left, all inputs together. Units shrink
 * towards the end of the work, so that workers end together; archives are read from their beginning, so each
 * is one unit. */
static uint64_t unit_size(const struct vlm_plan *plan, const struct vlm_input *input, uint64_t left)
{
    uint64_t largest = VLM_MAX((uint64_t)UNIT_LARGEST, plan->bytes / UNITS_WANTED);
    if (input->format == VLM_DUMP_FILES)
        return FILES_IN_UNIT;
    if (input->format == VLM_DUMP_ARCHIVE)
        return VLM_MAX(input->size, 1);
    return VLM_MAX((uint64_t)UNIT_SMALLEST, VLM_MIN(left / UNITS_LEFT, largest));
}

static int add_unit(struct vlm_plan *plan, struct vlm_plan_unit unit, struct vlm_err *err)
{
    size_t n = plan->n_units;
    if ((n & (n - 1)) == 0) { /* room doubles at powers of two */
        struct vlm_plan_unit *units = realloc(plan->units, VLM_MAX(2 * n, 1) * sizeof(*units));
        if (!units)
            return out_of_memory(err);
        plan->units = units;
    }
    plan->units[plan->n_units++] = unit;
    return VLM_OK;
}

static int make_units(struct vlm_plan *plan, struct vlm_err *err)
{
    uint64_t left = plan->bytes;
    int rc = VLM_OK;
    for (size_t i = 0; i < plan->n_inputs; i++) {
        const struct vlm_input *input = &plan->inputs[i];
        uint64_t size = input->format == VLM_DUMP_FILES ? input->n_files : input->size;
        for (uint64_t begin = 0, end; rc == VLM_OK && begin < size; begin = end) {
            uint64_t done = VLM_MIN(begin, input->size);
            end = VLM_MIN(begin + unit_size(plan, input, left - done), size);
            rc = add_unit(plan, (struct vlm_plan_unit){ (uint32_t)i, begin, end }, err);
        }
        left -= input->size;
    }
    return rc;
}

static const char *word(const char *words, int index, char out[16])
{
    for (; index > 0; index--)
        words = strchr(words, '|') + 1;
    snprintf(out, 16, "%.*s", (int)strcspn(words, "|"), words);
    return out;
}

static void write_text(struct vlm_plan *plan, const struct vlm_content_options *options)
{
    char value[16];
    struct vlm_json json = { .out = &plan->text };
    vlm_json_open(&json, '{');
    vlm_json_member_number(&json, "format", PLAN_FORMAT);
    vlm_json_key(&json, "options");
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "profile", word(VLM_PROFILE_WORDS, options->profile, value));
    vlm_json_member_string(&json, "keep", word(VLM_KEEP_WORDS, options->keep, value));
    vlm_json_member_string(&json, "digest", word(VLM_DIGEST_WORDS, options->digest, value));
    vlm_json_member_string(&json, "image-tokenizer",
                           options->tokenizer[0] ? options->tokenizer : "none");
    vlm_json_member_number(&json, "shard-bytes", options->shard_bytes);
    vlm_json_close(&json, '}');
    vlm_json_key(&json, "inputs");
    vlm_json_open(&json, '[');
    for (size_t i = 0; i < plan->n_inputs; i++) {
        const struct vlm_input *input = &plan->inputs[i];
        char check[17];
        snprintf(check, sizeof(check), "%016" PRIx64, input->check);
        vlm_json_open(&json, '{');
        vlm_json_member_string(&json, "name", input->name);
        vlm_json_member_number(&json, "size", input->size);
        vlm_json_member_number(&json, "files", input->n_files);
        vlm_json_member_string(&json, "check", check);
        vlm_json_key(&json, "images_only");
        vlm_json_bool(&json, input->images_only);
        vlm_json_close(&json, '}');
    }
    vlm_json_close(&json, ']');
    vlm_json_close(&json, '}');
    plan->check = vlm_xxh3(plan->text.data, plan->text.size);
}

static void release_search(struct search *search)
{
    for (size_t i = 0; i < search->n_found; i++)
        free(search->found[i].path);
    free(search->found);
    free(search->common);
    free(search->output);
}

int vlm_plan_make(struct vlm_plan *plan, char *const *paths, size_t n_paths, const char *stdin_path,
                  const struct vlm_build_options *options, struct vlm_err *err)
{
    struct search search = { .output = realpath(options->output, NULL) };
    int rc = VLM_OK;
    *plan = (struct vlm_plan){ 0 };
    for (size_t i = 0; i < n_paths && rc == VLM_OK; i++) {
        bool spooled = !strcmp(paths[i], "-");
        rc = add_path(&search, spooled ? stdin_path : paths[i], false, err);
        if (rc == VLM_OK && spooled) /* copied anew by every run */
            search.found[search.n_found - 1].time = 0;
    }
    if (rc == VLM_OK && options->images)
        rc = add_path(&search, options->images, true, err);
    if (rc == VLM_OK)
        rc = make_inputs(plan, &search, err);
    if (rc == VLM_OK)
        rc = make_units(plan, err);
    if (rc == VLM_OK)
        write_text(plan, &options->content);
    release_search(&search);
    return rc == VLM_OK && plan->text.failed ? out_of_memory(err) : rc;
}

/* Sentence for the first member of options that differs. */
static bool options_differ(json_object *was, json_object *is, const char *output,
                           struct vlm_err *err)
{
    json_object_object_foreach(is, key, value)
    {
        json_object *other = json_object_object_get(was, key);
        if (other && json_object_equal(other, value))
            continue;
        vlm_fail(err, VLM_EUSAGE,
                 "'%s' was made with --%s %s, not %s: use the same options or another output",
                 output, key, json_object_get_string(other), json_object_get_string(value));
        return true;
    }
    return false;
}

int vlm_plan_compare(const char *was, size_t was_size, const struct vlm_plan *plan,
                     const char *output, struct vlm_err *err)
{
    if (was_size == plan->text.size && !memcmp(was, plan->text.data, was_size))
        return VLM_OK;
    json_object *old = NULL, *new = NULL;
    struct vlm_err ignored;
    bool told =
        vlm_json_parse(&old, was, was_size, &ignored) == VLM_OK &&
        vlm_json_parse(&new, (const char *)plan->text.data, plan->text.size, &ignored) == VLM_OK &&
        options_differ(json_object_object_get(old, "options"),
                       json_object_object_get(new, "options"), output, err);
    json_object_put(old);
    json_object_put(new);
    return told ? VLM_EUSAGE
                : vlm_fail(err, VLM_EUSAGE,
                           "'%s' was made from other inputs: use another output, or delete it",
                           output);
}

void vlm_plan_release(struct vlm_plan *plan)
{
    for (size_t i = 0; i < plan->n_inputs; i++) {
        struct vlm_input *input = &plan->inputs[i];
        for (size_t k = 0; k < input->n_files; k++) {
            free(input->files[k]);
            free(input->file_names[k]);
        }
        free(input->files);
        free(input->file_names);
        free(input->path);
        free(input->name);
    }
    free(plan->inputs);
    free(plan->units);
    vlm_buffer_release(&plan->text);
}
