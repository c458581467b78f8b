/* torch_file.c - opens what torch.save() wrote since PyTorch 1.6, reads values.
 *
 * A zip archive: FOLDER/data.pkl, a pickle, says which tensors there are; FOLDER/data/KEY are the
 * bytes of storages. The folder has any name. The pickle is gone when the file is open; what stays
 * is a table. Values are visited in the order of their bytes, whatever the order of dimensions, so
 * that a transposed tensor is also read forward, in pieces. */
#include "base/vlm.h"
#include "vqgan/weights/torch_internal.h"

#include "base/file.h"
#include "base/limits.h"

#include <unistd.h>

enum { PIECE = 4096 }; /* values */

/* Opening ------------------------------------------------------------------------------------- */

/* The folder of all members: in front of the one "/data.pkl". */
static int find_folder(char *folder, size_t size, const struct vlm_zip *zip, struct vlm_err *err)
{
    const char *found = NULL;
    for (size_t i = 0; i < zip->count; i++) {
        const char *name = zip->members[i].name, *slash = strchr(name, '/');
        if (!slash || slash == name || strcmp(slash, "/data.pkl"))
            continue;
        if (found)
            return vlm_fail(err, VLM_EFORMAT, "the zip archive has data.pkl in two folders");
        found = name;
        if ((size_t)snprintf(folder, size, "%.*s", (int)(slash - name), name) >= size)
            return vlm_fail(err, VLM_ELIMIT, "a folder has a name of over %zu bytes", size - 1);
    }
    return found ? VLM_OK
                 : vlm_fail(err, VLM_EFORMAT,
                            "a zip archive without data.pkl: torch.save() did not write it");
}

static const struct vlm_zip_member *find_member(const struct vlm_zip *zip, const char *folder,
                                                const char *name)
{
    char path[VLM_TORCH_NAME_MAX + 32];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return vlm_zip_find(zip, path);
}

static int check_kind(const struct vlm_zip *zip, const char *folder, struct vlm_err *err)
{
    bool script = find_member(zip, folder, "constants.pkl") != NULL;
    size_t length = strlen(folder);
    for (size_t i = 0; !script && i < zip->count; i++)
        script = !strncmp(zip->members[i].name, folder, length) &&
                 !strncmp(zip->members[i].name + length, "/code/", strlen("/code/"));
    if (script)
        return vlm_fail(err, VLM_EFORMAT,
                        "a TorchScript program, not only its weights; in Python, load it with "
                        "torch.jit.load() and torch.save() its state_dict()");
    for (size_t i = 0; i < zip->count; i++)
        if (zip->members[i].packed)
            return vlm_fail(err, VLM_EFORMAT,
                            "member '%s' is compressed; torch.save() stores members as they are",
                            vlm_safetensors_quote(zip->members[i].name).text);
    return VLM_OK;
}

static int check_order(const struct vlm_torch *file, const struct vlm_zip *zip, const char *folder,
                       struct vlm_err *err)
{
    const struct vlm_zip_member *order = find_member(zip, folder, "byteorder");
    static const char little[] = "little";
    char text[sizeof(little)] = "";
    if (!order) /* older than PyTorch 2.1 */
        return VLM_OK;
    if (order->size == sizeof(little) - 1) {
        int rc = vlm_pread_all(file->fd, text, sizeof(little) - 1, order->begin, file->path, err);
        if (rc != VLM_OK)
            return rc;
    }
    return strcmp(text, little)
               ? vlm_fail(err, VLM_EFORMAT,
                          "its numbers are not little-endian; save it again on such a machine")
               : VLM_OK;
}

static int read_pickle(struct vlm_torch *file, const struct vlm_zip *zip, const char *folder,
                       struct vlm_err *err)
{
    const struct vlm_zip_member *member = find_member(zip, folder, "data.pkl");
    if (member->size > VLM_PICKLE_MAX)
        return vlm_fail(err, VLM_ELIMIT, "a pickle of %" PRIu64 " bytes is over the limit of %zu",
                        member->size, VLM_PICKLE_MAX);
    size_t size = (size_t)member->size;
    uint8_t *bytes = malloc(size + 1);
    if (!bytes)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a pickle of %zu bytes", size);
    struct vlm_pickle pickle = { .top = NULL };
    int rc = vlm_pread_all(file->fd, bytes, size, member->begin, file->path, err);
    if (rc == VLM_OK)
        rc = vlm_pickle_init(&pickle, bytes, size, err);
    if (rc == VLM_OK)
        rc = vlm_torch_find_tensors(file, zip, folder, pickle.top, err);
    vlm_pickle_release(&pickle);
    free(bytes);
    return rc;
}

static int open_file(struct vlm_torch *file, struct vlm_err *err)
{
    struct stat about;
    if (fstat(file->fd, &about) < 0)
        return vlm_fail_errno(err, errno, "cannot look at it");
    file->size = (uint64_t)about.st_size;
    file->modified = about.st_mtim;
    char folder[VLM_TORCH_NAME_MAX];
    struct vlm_zip zip;
    int rc = vlm_zip_init(&zip, file->fd, file->size, file->path, err);
    if (rc != VLM_OK)
        return rc;
    rc = find_folder(folder, sizeof(folder), &zip, err);
    if (rc == VLM_OK)
        rc = check_kind(&zip, folder, err);
    if (rc == VLM_OK)
        rc = check_order(file, &zip, folder, err);
    if (rc == VLM_OK)
        rc = read_pickle(file, &zip, folder, err);
    vlm_zip_release(&zip);
    return rc;
}

int vlm_torch_open_fd(struct vlm_torch **out, int fd, const char *name, struct vlm_err *err)
{
    struct vlm_err ignored = { 0 }; /* vlm_wrap() reads what was written */
    err = err ? err : &ignored;
    *out = NULL;
    struct vlm_torch *file = calloc(1, sizeof(*file));
    char *path = strdup(name);
    if (!file || !path) {
        free(file);
        free(path);
        close(fd);
        return vlm_fail(err, VLM_ENOMEM, "no memory to open '%s'", name);
    }
    file->path = path;
    file->fd = fd;
    vlm_arena_init(&file->names, VLM_TORCH_COUNT_MAX * (size_t)(VLM_TORCH_NAME_MAX + 16));
    int rc = open_file(file, err);
    if (rc == VLM_OK) {
        *out = file;
        return VLM_OK;
    }
    rc = vlm_wrap(err, "'%s'", name);
    vlm_torch_close(file);
    return rc;
}

void vlm_torch_close(struct vlm_torch *file)
{
    if (!file)
        return;
    close(file->fd);
    free(file->path);
    free(file->tensors);
    vlm_arena_release(&file->names);
    free(file);
}

size_t vlm_torch_count(const struct vlm_torch *file)
{
    return file->count;
}

const struct vlm_torch_tensor *vlm_torch_at(const struct vlm_torch *file, size_t number)
{
    VLM_BUG_IF(number >= file->count);
    return &file->tensors[number];
}

/* Values -------------------------------------------------------------------------------------- */

/* A piece of a storage, as floats. */
struct piece {
    const struct vlm_torch *file;
    const struct vlm_torch_tensor *tensor;
    size_t begin, count; /* in values */
    float values[PIECE];
};

/* A dimension: how many, how far apart in the storage and in the result. */
struct dimension {
    size_t count, from, to;
};

static int load_piece(struct piece *piece, size_t begin, struct vlm_err *err)
{
    double raw[PIECE]; /* the widest dtype, and aligned for all */
    size_t width = vlm_safetensors_dtype_size(piece->tensor->dtype);
    piece->begin = begin;
    piece->count = VLM_MIN((size_t)PIECE, (size_t)(piece->tensor->size / width) - begin);
    int rc = vlm_pread_all(piece->file->fd, raw, piece->count * width,
                           piece->tensor->begin + (uint64_t)begin * width, piece->file->path, err);
    if (rc == VLM_OK)
        vlm_safetensors_to_f32(piece->values, raw, piece->tensor->dtype, piece->count);
    return rc;
}

/* The dimensions of more than one value, the farthest apart in the storage first. Returns how many;
 * at least one. */
static unsigned order_dimensions(struct dimension *dimensions,
                                 const struct vlm_torch_tensor *tensor)
{
    unsigned n = 0;
    size_t to = 1;
    for (unsigned i = tensor->rank; i-- > 0; to *= tensor->shape[i]) {
        struct dimension one = { tensor->shape[i], tensor->stride[i], to };
        if (one.count == 1)
            continue;
        unsigned at = n++; /* insertion; equal strides stay in row-major order */
        for (; at > 0 && dimensions[at - 1].from <= one.from; at--)
            dimensions[at] = dimensions[at - 1];
        dimensions[at] = one;
    }
    if (!n)
        dimensions[n++] = (struct dimension){ 1, 0, 1 };
    return n;
}

static int copy_row(struct piece *piece, const struct dimension *row, size_t from, float *to,
                    struct vlm_err *err)
{
    for (size_t i = 0; i < row->count; i++, from += row->from, to += row->to) {
        if (from - piece->begin >= piece->count) { /* also when from < begin */
            int rc = load_piece(piece, from, err);
            if (rc != VLM_OK)
                return rc;
        }
        *to = piece->values[from - piece->begin];
    }
    return VLM_OK;
}

/* Goes through all rows of the innermost dimension; at[] counts the others. */
static int copy_values(const struct vlm_torch *file, const struct vlm_torch_tensor *tensor,
                       float *to, struct vlm_err *err)
{
    struct dimension dimensions[VLM_SAFETENSORS_RANK_MAX];
    unsigned n = order_dimensions(dimensions, tensor);
    size_t at[VLM_SAFETENSORS_RANK_MAX] = { 0 }, from = tensor->offset;
    struct piece piece = { .file = file, .tensor = tensor };
    for (;;) {
        int rc = copy_row(&piece, &dimensions[n - 1], from, to, err);
        if (rc != VLM_OK)
            return rc;
        unsigned i = n - 1;
        while (i > 0 && ++at[i - 1] == dimensions[i - 1].count) {
            i--;
            at[i] = 0;
            from -= (dimensions[i].count - 1) * dimensions[i].from;
            to -= (dimensions[i].count - 1) * dimensions[i].to;
        }
        if (i == 0)
            return VLM_OK;
        from += dimensions[i - 1].from;
        to += dimensions[i - 1].to;
    }
}

static int check_unchanged(const struct vlm_torch *file, struct vlm_err *err)
{
    struct stat about;
    if (fstat(file->fd, &about) < 0)
        return vlm_fail_errno(err, errno, "cannot look at '%s'", file->path);
    if ((uint64_t)about.st_size != file->size || about.st_mtim.tv_sec != file->modified.tv_sec ||
        about.st_mtim.tv_nsec != file->modified.tv_nsec)
        return vlm_fail(err, VLM_EFAIL, "'%s' was changed while it was read", file->path);
    return VLM_OK;
}

int vlm_torch_read(const struct vlm_torch *file, const struct vlm_torch_tensor *tensor, float *to,
                   struct vlm_err *err)
{
    if (!vlm_safetensors_is_float(tensor->dtype))
        return vlm_fail(err, VLM_EFORMAT, "tensor '%s' is of %s, not of floating-point numbers",
                        vlm_safetensors_quote(tensor->name).text,
                        vlm_safetensors_dtype_name(tensor->dtype));
    VLM_BUG_IF(!to && tensor->count);
    int rc = tensor->count ? copy_values(file, tensor, to, err) : VLM_OK;
    if (rc != VLM_OK)
        return err ? vlm_wrap(err, "tensor '%s'", vlm_safetensors_quote(tensor->name).text) : rc;
    size_t bad = vlm_safetensors_first_nonfinite(to, tensor->count);
    if (bad < tensor->count)
        return vlm_safetensors_fail_nonfinite(tensor->name, tensor->dtype, bad, to[bad], err);
    return check_unchanged(file, err);
}
