/* safetensors.h - tensors in files that everybody can read (the rules: schemas/safetensors.md).
 *
 *   struct vlm_safetensors *file;
 *   const struct vlm_safetensors_want wanted[] = {
 *       { .name = "wte.weight", .rank = 2, .shape = { 50257, 768 }, .to = embedding },
 *       { .name = "ln_f.bias", .rank = 1, .shape = { 768 }, .to = bias },
 *   };
 *   int rc = vlm_safetensors_open(&file, "gpt2/model.safetensors", &err);
 *   if (rc == VLM_OK)
 *       rc = vlm_safetensors_load(file, wanted, VLM_COUNTOF(wanted), VLM_SAFETENSORS_FINITE, &err);
 *   vlm_safetensors_close(file);
 *
 * and the other way:
 *
 *   const struct vlm_safetensors_item items[] = {
 *       { .name = "w", .dtype = VLM_SAFETENSORS_F32, .rank = 2, .shape = { 2, 3 }, .data = w },
 *   };
 *   const struct vlm_safetensors_content content = { .items = items, .count = VLM_COUNTOF(items) };
 *   int rc = vlm_safetensors_write("out.safetensors", &content, &err);
 *
 * Files come from strangers: everything in a header is checked when the file is opened, before
 * memory is taken for a tensor. What is open costs the header and some 100 bytes for each tensor.
 * Values are read with pread(), never mapped: a file that is cut or changed while we read gives a
 * sentence, not a signal. Names of tensors in sentences are escaped and cut. */
#ifndef VLM_NN_SAFETENSORS_H
#define VLM_NN_SAFETENSORS_H

#include "base/limits.h"
#include "base/vlm.h"

/* What we read and write; files with any other dtype are refused. */
enum vlm_safetensors_dtype {
    VLM_SAFETENSORS_F32,
    VLM_SAFETENSORS_BF16,
    VLM_SAFETENSORS_F16,
    VLM_SAFETENSORS_F64,
    VLM_SAFETENSORS_I64,
    VLM_SAFETENSORS_I32,
    VLM_SAFETENSORS_I16,
    VLM_SAFETENSORS_I8,
    VLM_SAFETENSORS_U64,
    VLM_SAFETENSORS_U32,
    VLM_SAFETENSORS_U16,
    VLM_SAFETENSORS_U8,
    VLM_SAFETENSORS_BOOL,
    VLM_SAFETENSORS_DTYPES /* their number */
};

/* As files spell it: "F32". */
const char *vlm_safetensors_dtype_name(enum vlm_safetensors_dtype dtype);
/* Bytes of one value. */
size_t vlm_safetensors_dtype_size(enum vlm_safetensors_dtype dtype);

enum vlm_safetensors_flags {
    VLM_SAFETENSORS_FINITE = 1,      /* a NaN or an infinity is an error that names its place */
    VLM_SAFETENSORS_ALLOW_EXTRA = 2, /* load: the file may hold tensors that nobody wants */
    VLM_SAFETENSORS_ONLY_CHECK =
        4, /* load: everything is checked, nothing written; `to` may be NULL */
};

/* ---- reading ---- */

struct vlm_safetensors; /* read-only once open: any thread, several at once */

struct vlm_safetensors_entry {
    const char *name; /* UTF-8, never empty; valid until the file is closed */
    enum vlm_safetensors_dtype dtype;
    unsigned rank; /* 0: one value */
    size_t shape[VLM_SAFETENSORS_RANK_MAX];
    size_t count;   /* of values: the product of shape */
    uint64_t begin; /* of its bytes, in its file */
    uint64_t bytes;
    unsigned part; /* which file of an index, 0 for a single one */
};

struct vlm_safetensors_pair {
    const char *key, *value;
};

/* Opens a file, or, when the name ends in ".index.json", all files of such an index as if they were
 * one. On success the caller owns *out and closes it; else *out is NULL. */
VLM_MUST_CHECK int vlm_safetensors_open(struct vlm_safetensors **out, const char *path,
                                        struct vlm_err *err);

/* The same for a descriptor of a regular file, which is closed in any case: by
 * vlm_safetensors_close(), or here on failure. name is for sentences. */
VLM_MUST_CHECK int vlm_safetensors_open_fd(struct vlm_safetensors **out, int fd, const char *name,
                                           struct vlm_err *err);
void vlm_safetensors_close(struct vlm_safetensors *file); /* NULL is fine */

/* Tensors are numbered in the order of their bytes; reading them so is reading forward. */
size_t vlm_safetensors_count(const struct vlm_safetensors *file);
const struct vlm_safetensors_entry *vlm_safetensors_at(const struct vlm_safetensors *file,
                                                       size_t number);
/* NULL: there is none of that name. */
const struct vlm_safetensors_entry *vlm_safetensors_find(const struct vlm_safetensors *file,
                                                         const char *name);

/* The pairs of "__metadata__", ordered by key; an index has none. find: NULL when there is no such
 * key. */
size_t vlm_safetensors_metadata_count(const struct vlm_safetensors *file);
struct vlm_safetensors_pair vlm_safetensors_metadata_at(const struct vlm_safetensors *file,
                                                        size_t number);
const char *vlm_safetensors_metadata_find(const struct vlm_safetensors *file, const char *key);

/* The entry's bytes as they stand in the file (little-endian), entry->bytes of them. */
VLM_MUST_CHECK int vlm_safetensors_read_raw(const struct vlm_safetensors *file,
                                            const struct vlm_safetensors_entry *entry, void *to,
                                            struct vlm_err *err);

/* entry->count values as floats. F32, BF16 and F16 keep their value; F64 is rounded, and what is
 * too large becomes an infinity. Other dtypes are refused. flags: VLM_SAFETENSORS_FINITE. */
VLM_MUST_CHECK int vlm_safetensors_read_f32(const struct vlm_safetensors *file,
                                            const struct vlm_safetensors_entry *entry, float *to,
                                            unsigned flags, struct vlm_err *err);

/* A tensor that the caller expects, and where its values go. */
struct vlm_safetensors_want {
    const char *name;
    unsigned rank;
    size_t shape[VLM_SAFETENSORS_RANK_MAX];
    float *to;
};

/* Reads everything wanted, as vlm_safetensors_read_f32() does. Before one byte of any `to` is
 * written, all of this is checked: no tensor is missing, has another shape or no floating-point
 * dtype, none is left over (unless VLM_SAFETENSORS_ALLOW_EXTRA), and, with VLM_SAFETENSORS_FINITE,
 * all values are finite (which reads them twice). Names in wanted are unique. */
VLM_MUST_CHECK int vlm_safetensors_load(const struct vlm_safetensors *file,
                                        const struct vlm_safetensors_want *wanted, size_t count,
                                        unsigned flags, struct vlm_err *err);

/* ---- writing ---- */

/* A tensor to write; data is its values as they stand in memory. */
struct vlm_safetensors_item {
    const char *name;
    enum vlm_safetensors_dtype dtype;
    unsigned rank;
    size_t shape[VLM_SAFETENSORS_RANK_MAX];
    const void *data; /* may be NULL when there is no value, or when they come from `values` */
};

struct vlm_safetensors_content {
    const struct vlm_safetensors_item *items;
    size_t count;
    const struct vlm_safetensors_pair *metadata;
    size_t metadata_count;
    unsigned flags; /* VLM_SAFETENSORS_FINITE */
    /* For values that do not stand in memory as in the file: gives those of item `number` in place of
     * its data, valid until the next call. Called for each item in their order, twice with
     * VLM_SAFETENSORS_FINITE. NULL: all have data. */
    const void *(*values)(void *context, size_t number);
    void *context;
};

/* Writes path.tmp and renames it: path is what it was, or whole. Tensors and metadata stand in the
 * order given, so the same content gives the same bytes. Refuses what vlm_safetensors_open() would
 * refuse. Values start at a multiple of 8 bytes, but nothing stands between tensors: give wide
 * dtypes before narrow ones if they are to be aligned too. */
VLM_MUST_CHECK int vlm_safetensors_write(const char *path,
                                         const struct vlm_safetensors_content *content,
                                         struct vlm_err *err);

#endif
