/* checkpoint_sums.c - SHA256SUMS: a line for every file of a folder, made by reading what was written, and
 * checked before anything is believed. `sha256sum -c` checks it too. */
#include "base/vlm.h"

#include "trainer/save/checkpoint_internal.h"

#include "base/array.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEX = 2 * VLM_SHA256_SIZE, DEPTH_MAX = 8, SUMS_MAX = 1 << 20 };

void vlm_sums_release(struct vlm_sums *sums)
{
    for (size_t i = 0; i < sums->n; i++)
        free(sums->list[i].name);
    free(sums->list);
    *sums = (struct vlm_sums){ 0 };
}

static int add(struct vlm_sums *sums, const char *name, const uint8_t *digest, struct vlm_err *err)
{
    char *copy = strdup(name);
    if (!copy ||
        !vlm_array_reserve(&sums->list, &sums->capacity, sums->n, 1, sizeof(*sums->list))) {
        free(copy);
        return vlm_fail(err, VLM_ENOMEM, "no memory for a list of %zu files", sums->n + 1);
    }
    sums->list[sums->n].name = copy;
    memcpy(sums->list[sums->n++].digest, digest, VLM_SHA256_SIZE);
    return VLM_OK;
}

/* A regular file only: a pipe would block for ever. */
static int digest_file(uint8_t digest[VLM_SHA256_SIZE], const char *path, struct vlm_err *err)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return vlm_fail_errno(err, errno, "cannot open '%s'", path);
    if (fstat(fd, &about) < 0 || !S_ISREG(about.st_mode)) {
        close(fd);
        return vlm_fail(err, VLM_EFORMAT, "'%s' is no file", path);
    }
    uint8_t *piece = malloc(VLM_MIB);
    int rc = piece ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory to read '%s'", path);
    struct vlm_sha256_stream *sha = vlm_sha256_begin();
    uint64_t size = (uint64_t)about.st_size;
    for (uint64_t at = 0; rc == VLM_OK && at < size; at += VLM_MIB) {
        size_t n = (size_t)VLM_MIN(size - at, (uint64_t)VLM_MIB);
        rc = vlm_pread_all(fd, piece, n, at, path, err);
        if (rc == VLM_OK)
            vlm_sha256_add(sha, piece, n);
    }
    vlm_sha256_end(sha, digest);
    free(piece);
    close(fd);
    return rc;
}

/* ---- making ---- */

static int add_below(struct vlm_sums *sums, const char *folder, const char *below, int depth,
                     struct vlm_err *err);

static int add_entry(struct vlm_sums *sums, const char *folder, const char *name, int depth,
                     struct vlm_err *err)
{
    uint8_t digest[VLM_SHA256_SIZE];
    struct stat about;
    char *path = vlm_path_join(folder, name);
    int rc = VLM_OK;
    if (stat(path, &about) < 0)
        rc = vlm_fail_errno(err, errno, "cannot read '%s'", path);
    else if (S_ISDIR(about.st_mode))
        rc = add_below(sums, folder, name, depth + 1, err);
    else if (strcmp(name, VLM_CHECKPOINT_SUMS)) {
        rc = digest_file(digest, path, err);
        if (rc == VLM_OK)
            rc = add(sums, name, digest, err);
    }
    free(path);
    return rc;
}

/* below: "" or a folder in it. */
static int add_below(struct vlm_sums *sums, const char *folder, const char *below, int depth,
                     struct vlm_err *err)
{
    char *path = vlm_path_join(folder, below);
    int rc = depth > DEPTH_MAX
                 ? vlm_fail(err, VLM_ELIMIT, "folders in '%s' are nested too deep", folder)
                 : VLM_OK;
    DIR *list = rc == VLM_OK ? opendir(path) : NULL;
    if (rc == VLM_OK && !list)
        rc = vlm_fail_errno(err, errno, "cannot read folder '%s'", path);
    struct dirent *entry;
    while (rc == VLM_OK && (errno = 0, entry = readdir(list))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char *name = vlm_path_join(below, entry->d_name);
        rc = add_entry(sums, folder, name, depth, err);
        free(name);
    }
    if (rc == VLM_OK && errno)
        rc = vlm_fail_errno(err, errno, "cannot read folder '%s'", path);
    if (list)
        closedir(list);
    free(path);
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct vlm_sum *)a)->name, ((const struct vlm_sum *)b)->name);
}

int vlm_sums_make(struct vlm_sums *sums, const char *folder, struct vlm_err *err)
{
    int rc = add_below(sums, folder, "", 0, err);
    if (sums->n)
        qsort(sums->list, sums->n, sizeof(*sums->list), compare_names);
    return rc;
}

bool vlm_sums_is_model(const char *name)
{
    return strcmp(name, VLM_CHECKPOINT_OPTIMIZER) && strcmp(name, VLM_CHECKPOINT_STATE);
}

void vlm_sums_write(struct vlm_buffer *out, const struct vlm_sums *sums, unsigned flags)
{
    char hex[HEX + 1];
    for (size_t i = 0; i < sums->n; i++)
        if (!(flags & VLM_SUMS_MODEL) || vlm_sums_is_model(sums->list[i].name))
            vlm_buffer_printf(out, "%s  %s\n", vlm_hex(hex, sums->list[i].digest, VLM_SHA256_SIZE),
                              sums->list[i].name);
}

/* ---- checking ---- */

/* A path of plain names: it cannot lead out of the folder, and is printable. */
static bool is_plain(const char *name)
{
    for (const char *at = name;;) {
        size_t n = strcspn(at, "/");
        if (n == 0 || at[0] == '.')
            return false;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)at[i] < 0x20 || at[i] == 0x7f || at[i] == '\\')
                return false;
        if (!at[n])
            return true;
        at += n + 1;
    }
}

/* "<64 hexadecimal digits>  NAME", or "... *NAME", as sha256sum writes it for binary files. */
static int check_line(struct vlm_sums *sums, const char *folder, char *line, unsigned flags,
                      struct vlm_err *err)
{
    uint8_t wanted[VLM_SHA256_SIZE], found[VLM_SHA256_SIZE];
    size_t n = strlen(line);
    const char *name = n > HEX + 2 ? line + HEX + 2 : "";
    if (n <= HEX + 2 || line[HEX] != ' ' || (line[HEX + 1] != ' ' && line[HEX + 1] != '*') ||
        vlm_unhex(wanted, sizeof(wanted), line, HEX) != sizeof(wanted) || !is_plain(name))
        return vlm_fail(err, VLM_EFORMAT,
                        VLM_CHECKPOINT_SUMS " has a line that is no checksum and name");
    if ((flags & VLM_SUMS_MODEL) && !strcmp(name, "README.md")) /* people write in it */
        return VLM_OK;
    char *path = vlm_path_join(folder, name);
    int rc = digest_file(found, path, err);
    if (rc == VLM_OK && memcmp(found, wanted, sizeof(found)))
        rc = vlm_fail(err, VLM_EDIFFER,
                      "'%s' is damaged: its SHA-256 is not that of " VLM_CHECKPOINT_SUMS, name);
    free(path);
    return rc == VLM_OK ? add(sums, name, wanted, err) : rc;
}

static bool has_name(const struct vlm_sums *sums, const char *name)
{
    size_t i = 0;
    while (i < sums->n && strcmp(sums->list[i].name, name))
        i++;
    return i < sums->n;
}

static int check_complete(const struct vlm_sums *sums, struct vlm_err *err)
{
    static const char *const needed[] = { VLM_CHECKPOINT_WEIGHTS, VLM_CHECKPOINT_OPTIMIZER,
                                          VLM_CHECKPOINT_STATE, "config.json" };
    for (size_t i = 0; i < VLM_COUNTOF(needed); i++) {
        if (!has_name(sums, needed[i]))
            return vlm_fail(err, VLM_EFORMAT, VLM_CHECKPOINT_SUMS " does not name '%s'", needed[i]);
    }
    return VLM_OK;
}

static int check_lines(struct vlm_sums *sums, const char *folder, unsigned flags,
                       struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    char *path = vlm_path_join(folder, VLM_CHECKPOINT_SUMS);
    int rc = vlm_file_read_regular(&text, path, SUMS_MAX, err);
    vlm_buffer_byte(&text, 0);
    if (rc == VLM_OK && (text.failed || strlen((char *)text.data) + 1 != text.size))
        rc = vlm_fail(err, VLM_EFORMAT, VLM_CHECKPOINT_SUMS " is no text");
    char *line = (char *)text.data, *end;
    for (; rc == VLM_OK && *line; line = end + 1) {
        end = strchr(line, '\n');
        if (!end) {
            rc = vlm_fail(err, VLM_EFORMAT, VLM_CHECKPOINT_SUMS " ends within a line");
            break;
        }
        *end = 0;
        rc = check_line(sums, folder, line, flags, err);
    }
    vlm_buffer_release(&text);
    free(path);
    return rc;
}

int vlm_sums_check(struct vlm_sums *sums, const char *folder, struct vlm_err *err)
{
    int rc = check_lines(sums, folder, 0, err);
    return rc == VLM_OK ? check_complete(sums, err) : rc;
}

/* Whether a model is made of this file: weights, however many there are, and what says how they are read. */
static bool is_loaded(const char *name)
{
    static const char *const names[] = { "config.json",  "model.safetensors.index.json",
                                         "recipe.ini",   "tokenizer.json",
                                         "vocab.json",   "merges.txt",
                                         "encoder.json", "vocab.bpe" };
    static const char weights[] = ".safetensors";
    const size_t n = strlen(name), end = sizeof(weights) - 1;
    for (size_t i = 0; i < VLM_COUNTOF(names); i++)
        if (!strcmp(name, names[i]))
            return true;
    return n >= end && !strcmp(name + n - end, weights);
}

/* A list that leaves out a file has not been made of this folder, or somebody has added the file. below: "" or a
 * folder in it, which need not be there. */
static int check_loaded(const struct vlm_sums *sums, const char *folder, const char *below,
                        struct vlm_err *err)
{
    char *path = vlm_path_join(folder, below);
    DIR *list = opendir(path);
    int rc = list || errno == ENOENT || errno == ENOTDIR
                 ? VLM_OK
                 : vlm_fail_errno(err, errno, "cannot read folder '%s'", path);
    struct dirent *entry;
    while (list && rc == VLM_OK && (errno = 0, entry = readdir(list))) {
        char *name = vlm_path_join(below, entry->d_name);
        if (is_loaded(entry->d_name) && !has_name(sums, name))
            rc = vlm_fail(err, VLM_EDIFFER, VLM_CHECKPOINT_SUMS " does not name '%s'", name);
        free(name);
    }
    if (list && rc == VLM_OK && errno)
        rc = vlm_fail_errno(err, errno, "cannot read folder '%s'", path);
    if (list)
        closedir(list);
    free(path);
    return rc;
}

int vlm_model_sums_check(const char *folder, struct vlm_err *err)
{
    struct vlm_sums sums = { 0 };
    char *path = vlm_path_join(folder, VLM_CHECKPOINT_SUMS);
    const bool listed = !access(path, F_OK);
    int rc = listed ? check_lines(&sums, folder, VLM_SUMS_MODEL, err) : VLM_OK;
    if (listed && rc == VLM_OK)
        rc = check_loaded(&sums, folder, "", err);
    if (listed && rc == VLM_OK)
        rc = check_loaded(&sums, folder, "vqgan", err);
    free(path);
    vlm_sums_release(&sums);
    return rc == VLM_OK ? VLM_OK : vlm_wrap(err, "%s", folder);
}
