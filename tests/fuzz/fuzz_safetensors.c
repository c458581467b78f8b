/* fuzz_safetensors.c - files of tensors: read or refused, and what is accepted keeps the rules.
 *
 * The first byte of an input says what the rest is: 0 a file; 1 a number n, then a header, to which
 * its size and n bytes of values are added, or hardly any input would get past the size; 2 an index
 * beside two good files. */
#include "base/vlm.h"

#include "base/file.h"
#include "nn/safetensors.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file_of(const uint8_t *begin, size_t n, const uint8_t *data, size_t size, size_t values)
{
    static const uint8_t zeros[256];
    int fd = memfd_create("tensors", MFD_CLOEXEC);
    VLM_BUG_IF(fd < 0 || write(fd, begin, n) != (ssize_t)n);
    VLM_BUG_IF(write(fd, data, size) != (ssize_t)size);
    VLM_BUG_IF(write(fd, zeros, values) != (ssize_t)values);
    return fd;
}

static void check_entry(const struct vlm_safetensors *file, size_t number)
{
    const struct vlm_safetensors_entry *entry = vlm_safetensors_at(file, number);
    size_t count = 1;
    VLM_BUG_IF(!*entry->name || vlm_safetensors_find(file, entry->name) != entry);
    for (unsigned i = 0; i < entry->rank; i++)
        count *= entry->shape[i];
    VLM_BUG_IF(count != entry->count ||
               entry->bytes != count * vlm_safetensors_dtype_size(entry->dtype));
}

/* Everything is where the header says; reading gives every byte of the file once. */
static void use(const struct vlm_safetensors *file)
{
    struct vlm_err err = { 0 };
    uint64_t end = 0;
    for (size_t i = 0; i < vlm_safetensors_count(file); i++) {
        const struct vlm_safetensors_entry *entry = vlm_safetensors_at(file, i);
        check_entry(file, i);
        VLM_BUG_IF(i && entry->part == vlm_safetensors_at(file, i - 1)->part &&
                   entry->begin != end);
        end = entry->begin + entry->bytes;
        uint8_t *raw = malloc((size_t)entry->bytes + 1);
        float *floats = malloc((entry->count + 1) * sizeof(float));
        VLM_BUG_IF(!raw || !floats);
        VLM_BUG_IF(vlm_safetensors_read_raw(file, entry, raw, &err) != VLM_OK);
        int rc = vlm_safetensors_read_f32(file, entry, floats, VLM_SAFETENSORS_FINITE, &err);
        VLM_BUG_IF(rc != VLM_OK && rc != VLM_EFORMAT);
        free(raw);
        free(floats);
    }
    for (size_t i = 0; i < vlm_safetensors_metadata_count(file); i++)
        VLM_BUG_IF(!vlm_safetensors_metadata_find(file, vlm_safetensors_metadata_at(file, i).key));
}

static int open_index(struct vlm_safetensors **file, const uint8_t *data, size_t size)
{
    static char folder[] = "/tmp/fuzz-safetensors-XXXXXX", path[64];
    const float values[2] = { 1, 2 };
    if (!path[0]) {
        VLM_BUG_IF(!mkdtemp(folder));
        for (char name[2] = "a"; *name < 'c'; ++*name) {
            const struct vlm_safetensors_item item = { .name = name, .data = values };
            snprintf(path, sizeof(path), "%s/%s", folder, name);
            VLM_BUG_IF(vlm_safetensors_write(
                           path, &(struct vlm_safetensors_content){ .items = &item, .count = 1 },
                           NULL) != VLM_OK);
        }
        snprintf(path, sizeof(path), "%s/x.index.json", folder);
    }
    FILE *to = fopen(path, "w");
    VLM_BUG_IF(!to || fwrite(data, 1, size, to) != size || fclose(to));
    return vlm_safetensors_open(file, path, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vlm_safetensors *file = NULL;
    struct vlm_err err = { 0 };
    int rc;
    if (size < 2)
        return 0;
    if (data[0] == 2) {
        rc = open_index(&file, data + 1, size - 1);
    } else if (data[0] == 1) {
        uint8_t begin[8] = { 0 };
        for (unsigned i = 0; i < 8; i++)
            begin[i] = (uint8_t)((uint64_t)(size - 2) >> 8 * i);
        rc = vlm_safetensors_open_fd(&file, file_of(begin, 8, data + 2, size - 2, data[1]), "f",
                                     &err);
    } else {
        rc = vlm_safetensors_open_fd(&file, file_of(NULL, 0, data + 1, size - 1, 0), "f", &err);
    }
    VLM_BUG_IF((rc == VLM_OK) != (file != NULL));
    if (file)
        use(file);
    vlm_safetensors_close(file);
    return 0;
}
