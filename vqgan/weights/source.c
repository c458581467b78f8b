/* source.c - looks at the first bytes of a file and opens what it is; one table for all kinds.
 *
 * Files that hold weights in a way we do not read are named, with the way out. */
#include "base/vlm.h"
#include "vqgan/weights/source.h"

#include "base/file.h"
#include "nn/safetensors.h"
#include "vqgan/weights/torch_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BEGIN_SIZE = 16 };

struct vlm_weights {
    struct vlm_safetensors *safetensors; /* one of both */
    struct vlm_torch *torch;
    struct vlm_weight *table;
    const struct vlm_weight **by_name;
    size_t count;
};

static int open_retry(int *fd, const char *path, uint8_t *begin, struct vlm_err *err)
{
    struct stat about;
    do
        *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not stop us */
    while (*fd < 0 && errno == EINTR);
    if (*fd < 0)
        return vlm_fail_errno(err, errno, "cannot open '%s'", path);
    if (fstat(*fd, &about) < 0)
        return vlm_fail_errno(err, errno, "cannot look at '%s'", path);
    if (!S_ISREG(about.st_mode))
        return vlm_fail(err, VLM_EFORMAT, "'%s' is not a regular file", path);
    memset(begin, 0, BEGIN_SIZE);
    return vlm_pread_all(*fd, begin, VLM_MIN((size_t)BEGIN_SIZE, (size_t)about.st_size), 0, path,
                         err);
}

/* What the file is, for kinds that we do not read; else NULL. */
static const char *stranger(const uint8_t *begin)
{
    /* LONG1 of torch's magic number 0x1950a86a20f9469cfc6c, by pickle protocol 2. */
    static const uint8_t legacy[] = { 0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c,
                                      0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19 };
    if (begin[8] == '{')
        return NULL; /* safetensors; its first bytes are a size, and can look like anything */
    if (!memcmp(begin, legacy, sizeof(legacy)))
        return "a torch file from before PyTorch 1.6; in Python, torch.load() it and torch.save() "
               "its state_dict()";
    if (begin[0] == 0x80 && begin[1] >= 2 && begin[1] <= 5)
        return "a bare Python pickle; in Python, load it and torch.save() a state_dict()";
    bool is_map = (begin[0] > 0x80 && begin[0] < 0x90) || begin[0] == 0xde || begin[0] == 0xdf;
    unsigned key = begin[begin[0] == 0xde ? 3 : begin[0] == 0xdf ? 5 : 1];
    if (is_map && ((key >= 0xa0 && key < 0xc0) || key == 0xd9 || key == 0xda))
        return "a msgpack file (of Flax?); in Python, load it and save it as safetensors";
    return NULL;
}

static bool is_zip(const uint8_t *begin)
{
    return begin[0] == 'P' && begin[1] == 'K' && begin[8] != '{';
}

static int open_kind(struct vlm_weights *weights, const char *path, struct vlm_err *err)
{
    static const char index[] = ".index.json";
    size_t n = strlen(path), m = strlen(index);
    if (n >= m && !strcmp(path + n - m, index))
        return vlm_safetensors_open(&weights->safetensors, path, err);
    uint8_t begin[BEGIN_SIZE];
    int fd = -1, rc = open_retry(&fd, path, begin, err);
    const char *what = rc == VLM_OK ? stranger(begin) : NULL;
    if (what)
        rc = vlm_fail(err, VLM_EFORMAT, "'%s' is %s", path, what);
    if (rc == VLM_OK && is_zip(begin))
        return vlm_torch_open_fd(&weights->torch, fd, path, err);
    if (rc == VLM_OK)
        return vlm_safetensors_open_fd(&weights->safetensors, fd, path, err);
    if (fd >= 0)
        close(fd);
    return rc;
}

static void set_weight(struct vlm_weight *to, const char *name, unsigned rank, const size_t *shape,
                       size_t count)
{
    _Static_assert(VLM_WEIGHT_RANK_MAX == VLM_SAFETENSORS_RANK_MAX, "shapes are copied");
    *to = (struct vlm_weight){ .name = name, .rank = rank, .count = count };
    for (unsigned i = 0; i < rank; i++)
        to->shape[i] = shape[i];
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct vlm_weight *const *)a)->name,
                  (*(const struct vlm_weight *const *)b)->name);
}

static int fill_table(struct vlm_weights *weights, struct vlm_err *err)
{
    weights->count = weights->torch ? vlm_torch_count(weights->torch)
                                    : vlm_safetensors_count(weights->safetensors);
    weights->table = calloc(weights->count + 1, sizeof(*weights->table));
    weights->by_name = calloc(weights->count + 1, sizeof(*weights->by_name));
    if (!weights->table || !weights->by_name)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a table of %zu tensors", weights->count);
    for (size_t i = 0; i < weights->count; i++) {
        weights->by_name[i] = &weights->table[i];
        if (weights->torch) {
            const struct vlm_torch_tensor *t = vlm_torch_at(weights->torch, i);
            set_weight(&weights->table[i], t->name, t->rank, t->shape, t->count);
        } else {
            const struct vlm_safetensors_entry *e = vlm_safetensors_at(weights->safetensors, i);
            set_weight(&weights->table[i], e->name, e->rank, e->shape, e->count);
        }
    }
    qsort(weights->by_name, weights->count, sizeof(*weights->by_name), by_name);
    return VLM_OK;
}

int vlm_weights_open(struct vlm_weights **out, const char *path, struct vlm_err *err)
{
    *out = NULL;
    struct vlm_weights *weights = calloc(1, sizeof(*weights));
    if (!weights)
        return vlm_fail(err, VLM_ENOMEM, "no memory to open '%s'", path);
    int rc = open_kind(weights, path, err);
    if (rc == VLM_OK)
        rc = fill_table(weights, err);
    if (rc == VLM_OK)
        *out = weights;
    else
        vlm_weights_close(weights);
    return rc;
}

void vlm_weights_close(struct vlm_weights *weights)
{
    if (!weights)
        return;
    vlm_safetensors_close(weights->safetensors);
    vlm_torch_close(weights->torch);
    free(weights->table);
    free(weights->by_name);
    free(weights);
}

size_t vlm_weights_count(const struct vlm_weights *weights)
{
    return weights->count;
}

const struct vlm_weight *vlm_weights_at(const struct vlm_weights *weights, size_t number)
{
    VLM_BUG_IF(number >= weights->count);
    return &weights->table[number];
}

const struct vlm_weight *vlm_weights_find(const struct vlm_weights *weights, const char *name)
{
    struct vlm_weight key = { .name = name };
    const struct vlm_weight *at = &key, **found = NULL;
    if (weights->count)
        found = bsearch(&at, weights->by_name, weights->count, sizeof(*weights->by_name), by_name);
    return found ? *found : NULL;
}

int vlm_weights_read(const struct vlm_weights *weights, const struct vlm_weight *weight, float *to,
                     struct vlm_err *err)
{
    size_t number = (size_t)(weight - weights->table);
    VLM_BUG_IF(number >= weights->count);
    if (weights->torch)
        return vlm_torch_read(weights->torch, vlm_torch_at(weights->torch, number), to, err);
    return vlm_safetensors_read_f32(weights->safetensors,
                                    vlm_safetensors_at(weights->safetensors, number), to,
                                    VLM_SAFETENSORS_FINITE, err);
}
