/* weights_fixture.h - torch files in memory, good and bad: a writer of zip archives, pieces of
 * pickles as texts, and a way to open the result. */
#ifndef VLM_TESTS_WEIGHTS_FIXTURE_H
#define VLM_TESTS_WEIGHTS_FIXTURE_H

#include "base/vlm.h"

#include "base/buffer.h"
#include "vqgan/weights/source.h"

#include <sys/mman.h>
#include <unistd.h>

/* A text that may hold NUL bytes, and its size. */
#define TEXT(text) (text), sizeof(text) - 1

/* Pickles, protocol 2: opcodes as in Lib/pickletools.py. */
#define PICKLE(content)   "\x80\2" content "."
#define GLOBAL(mod, name) "c" mod "\n" name "\n"
#define KEY1(key)         "\x8c\1" key /* one character */
#define DICT(entries)     "}(" entries "u"
#define SHAPE2(a, b)      "K" a "K" b "\x86"
#define ORDERED           GLOBAL("collections", "OrderedDict") ")R"

/* n (a character) values in the member data/KEY (one character). */
#define STORAGE(type, key, n) "(\x8c\7storage" GLOBAL("torch", type) KEY1(key) "\x8c\3cpuK" n "tQ"
#define TENSOR(storage, offset, shape, strides)                                                    \
    GLOBAL("torch._utils", "_rebuild_tensor_v2")                                                   \
    "(" storage offset shape strides "\x89" ORDERED "tR"

/* The six floats 0 to 5 of data/0, as 2 rows of 3. */
#define SIX    STORAGE("FloatStorage", "0", "\6")
#define MATRIX TENSOR(SIX, "K\0", SHAPE2("\2", "\3"), SHAPE2("\3", "\1"))

struct zip_writer {
    struct vlm_buffer file, directory;
    unsigned members;
    uint16_t flags, method; /* of the members that follow */
    bool large;             /* sizes and places in extra fields of 8 bytes, a zip64 end */
};

static inline void zip_extra_64(struct vlm_buffer *to, uint64_t size, uint64_t begin)
{
    vlm_buffer_u16(to, 1);
    vlm_buffer_u16(to, 24);
    vlm_buffer_u64(to, size);
    vlm_buffer_u64(to, size);
    vlm_buffer_u64(to, begin);
}

/* The directory's entry of a member whose header stands at begin. */
static inline void zip_entry(struct zip_writer *zip, const char *name, uint64_t size,
                             uint64_t begin)
{
    struct vlm_buffer *to = &zip->directory;
    vlm_buffer_add(to, "PK\1\2\0\0\0\0", 8);
    vlm_buffer_u16(to, zip->flags);
    vlm_buffer_u16(to, zip->method);
    vlm_buffer_add(to, "\0\0\0\0\0\0\0\0", 8); /* time, checksum */
    vlm_buffer_u32(to, zip->large ? UINT32_MAX : (uint32_t)size);
    vlm_buffer_u32(to, zip->large ? UINT32_MAX : (uint32_t)size);
    vlm_buffer_u16(to, (uint16_t)strlen(name));
    vlm_buffer_u16(to, zip->large ? 28 : 0);
    vlm_buffer_add(to, "\0\0\0\0\0\0\0\0\0\0", 10); /* comment, disk, attributes */
    vlm_buffer_u32(to, zip->large ? UINT32_MAX : (uint32_t)begin);
    vlm_buffer_text(to, name);
    if (zip->large)
        zip_extra_64(to, size, begin);
    zip->members++;
}

static inline void zip_header(struct zip_writer *zip, const char *name)
{
    vlm_buffer_add(&zip->file, "PK\3\4\0\0\10\0\0\0\0\0\0\0\0\0\0\0", 18);
    vlm_buffer_add(&zip->file, "\0\0\0\0\0\0\0\0", 8); /* sizes stand behind the bytes */
    vlm_buffer_u16(&zip->file, (uint16_t)strlen(name));
    vlm_buffer_u16(&zip->file, 4);
    vlm_buffer_text(&zip->file, name);
    vlm_buffer_add(&zip->file, "FB\0\0", 4);
}

static inline void zip_add(struct zip_writer *zip, const char *name, const void *bytes, size_t n)
{
    zip_entry(zip, name, n, zip->file.size);
    zip_header(zip, name);
    vlm_buffer_add(&zip->file, bytes, n);
}

/* Directory and end; the file is in zip->file. */
static inline void zip_end(struct zip_writer *zip)
{
    struct vlm_buffer *to = &zip->file;
    uint64_t begin = to->size, size = zip->directory.size;
    vlm_buffer_add(to, zip->directory.data, zip->directory.size);
    if (zip->large) {
        uint64_t end = to->size;
        vlm_buffer_add(to, "PK\6\6\54\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
        vlm_buffer_u64(to, zip->members);
        vlm_buffer_u64(to, zip->members);
        vlm_buffer_u64(to, size);
        vlm_buffer_u64(to, begin);
        vlm_buffer_add(to, "PK\6\7\0\0\0\0", 8);
        vlm_buffer_u64(to, end);
        vlm_buffer_u32(to, 1);
    }
    vlm_buffer_add(to, "PK\5\6\0\0\0\0", 8);
    vlm_buffer_u16(to, zip->large ? UINT16_MAX : (uint16_t)zip->members);
    vlm_buffer_u16(to, zip->large ? UINT16_MAX : (uint16_t)zip->members);
    vlm_buffer_u32(to, zip->large ? UINT32_MAX : (uint32_t)size);
    vlm_buffer_u32(to, zip->large ? UINT32_MAX : (uint32_t)begin);
    vlm_buffer_u16(to, 0);
    VLM_BUG_IF(zip->file.failed || zip->directory.failed);
}

static inline void zip_release(struct zip_writer *zip)
{
    vlm_buffer_release(&zip->file);
    vlm_buffer_release(&zip->directory);
}

/* Opens bytes as a file. */
static inline int open_bytes(struct vlm_weights **weights, const void *bytes, size_t n,
                             struct vlm_err *err)
{
    char path[64];
    int fd = memfd_create("weights", MFD_CLOEXEC);
    VLM_BUG_IF(fd < 0 || write(fd, bytes, n) != (ssize_t)n);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    *err = (struct vlm_err){ 0 };
    int rc = vlm_weights_open(weights, path, err);
    VLM_BUG_IF((rc == VLM_OK) != (*weights != NULL) || (rc != VLM_OK && !err->msg[0]));
    close(fd);
    return rc;
}

/* Writes what torch.save() would around a pickle: data/0 is six floats, 0 to 5; data/1 is eight
 * bytes 0. */
static inline void make_torch(struct zip_writer *zip, const void *pickle, size_t n)
{
    static const float six[6] = { 0, 1, 2, 3, 4, 5 };
    zip_add(zip, "a/data.pkl", pickle, n);
    zip_add(zip, "a/byteorder", "little", 6);
    zip_add(zip, "a/data/0", six, sizeof(six));
    zip_add(zip, "a/data/1", "\0\0\0\0\0\0\0\0", 8);
    zip_end(zip);
}

static inline int open_pickle(struct vlm_weights **weights, const void *pickle, size_t n,
                              struct vlm_err *err)
{
    struct zip_writer zip = { .members = 0 };
    make_torch(&zip, pickle, n);
    int rc = open_bytes(weights, zip.file.data, zip.file.size, err);
    zip_release(&zip);
    return rc;
}

/* Reads tensors, up to a million values of all; whatever comes is a value or a sentence. Returns how
 * many were read. */
static inline size_t read_all(const struct vlm_weights *weights)
{
    size_t read = 0, left = 1000000;
    for (size_t i = 0; i < vlm_weights_count(weights); i++) {
        const struct vlm_weight *weight = vlm_weights_at(weights, i);
        struct vlm_err err = { 0 };
        size_t count = 1;
        VLM_BUG_IF(!weight->name[0] || vlm_weights_find(weights, weight->name) != weight);
        for (unsigned k = 0; k < weight->rank; k++)
            count *= weight->shape[k];
        VLM_BUG_IF(count != weight->count);
        if (count > left)
            continue;
        left -= count;
        float *to = malloc((count + 1) * sizeof(*to));
        VLM_BUG_IF(!to);
        int rc = vlm_weights_read(weights, weight, to, &err);
        VLM_BUG_IF(rc != VLM_OK && (rc != VLM_EFORMAT || !err.msg[0]));
        read += rc == VLM_OK;
        free(to);
    }
    return read;
}

#endif
