/* safetensors_verdicts.c - says of each file in a batch what our reader makes of it, for
 * tests/reference/safetensors_mutants.py; opens one file, or copies it with our writer.
 *
 *   safetensors_verdicts BATCH
 *   safetensors_verdicts open FILE
 *   safetensors_verdicts copy FILE TO
 *
 * A batch is files one behind the other, each with its size in front as 4 bytes, little-endian. A
 * line for each: "no SENTENCE", or "ok" and for every tensor, in the order of their bytes,
 * " NAME-IN-HEX:DTYPE:SHAPE:ADLER32-OF-THE-BYTES". */
#include "base/vlm.h"

#include "base/buffer.h"
#include "base/file.h"
#include "nn/safetensors.h"

#include <sys/mman.h>
#include <unistd.h>

static uint32_t adler32(const uint8_t *bytes, size_t n)
{
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < n; i++) {
        a = (a + bytes[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

static void print_entry(const struct vlm_safetensors *file,
                        const struct vlm_safetensors_entry *entry)
{
    struct vlm_err err = { 0 };
    uint8_t *bytes = malloc((size_t)entry->bytes + 1);
    VLM_BUG_IF(!bytes || vlm_safetensors_read_raw(file, entry, bytes, &err) != VLM_OK);
    putchar(' ');
    for (const char *c = entry->name; *c; c++)
        printf("%02x", (unsigned char)*c);
    printf(":%s:", vlm_safetensors_dtype_name(entry->dtype));
    for (unsigned i = 0; i < entry->rank; i++)
        printf("%s%zu", i ? "," : "", entry->shape[i]);
    printf(":%" PRIu32, adler32(bytes, (size_t)entry->bytes));
    free(bytes);
}

static void print_verdict(const uint8_t *bytes, size_t n)
{
    struct vlm_safetensors *file;
    struct vlm_err err = { 0 };
    int fd = memfd_create("tensors", MFD_CLOEXEC);
    VLM_BUG_IF(fd < 0 || write(fd, bytes, n) != (ssize_t)n);
    if (vlm_safetensors_open_fd(&file, fd, "f", &err) != VLM_OK) {
        printf("no %s\n", err.msg);
        return;
    }
    printf("ok");
    for (size_t i = 0; i < vlm_safetensors_count(file); i++)
        print_entry(file, vlm_safetensors_at(file, i));
    printf("\n");
    vlm_safetensors_close(file);
}

static int open_one(const char *path, struct vlm_err *err)
{
    struct vlm_safetensors *file;
    int rc = vlm_safetensors_open(&file, path, err);
    if (rc == VLM_OK)
        printf("%zu tensors\n", vlm_safetensors_count(file));
    vlm_safetensors_close(file);
    return rc;
}

static int copy_one(const char *path, const char *to, struct vlm_err *err)
{
    struct vlm_safetensors *file;
    int rc = vlm_safetensors_open(&file, path, err);
    if (rc != VLM_OK)
        return rc;
    size_t count = vlm_safetensors_count(file), pairs = vlm_safetensors_metadata_count(file);
    struct vlm_safetensors_item *items = calloc(count + 1, sizeof(*items));
    struct vlm_safetensors_pair *metadata = calloc(pairs + 1, sizeof(*metadata));
    VLM_BUG_IF(!items || !metadata);
    for (size_t i = 0; i < count && rc == VLM_OK; i++) {
        const struct vlm_safetensors_entry *entry = vlm_safetensors_at(file, i);
        void *data = malloc((size_t)entry->bytes + 1);
        VLM_BUG_IF(!data);
        items[i] = (struct vlm_safetensors_item){
            .name = entry->name, .dtype = entry->dtype, .rank = entry->rank, .data = data
        };
        memcpy(items[i].shape, entry->shape, sizeof(entry->shape));
        rc = vlm_safetensors_read_raw(file, entry, data, err);
    }
    for (size_t i = 0; i < pairs; i++)
        metadata[i] = vlm_safetensors_metadata_at(file, i);
    if (rc == VLM_OK)
        rc = vlm_safetensors_write(
            to, &(struct vlm_safetensors_content){ items, count, metadata, pairs, 0 }, err);
    for (size_t i = 0; i < count; i++)
        free((void *)items[i].data);
    free(items);
    free(metadata);
    vlm_safetensors_close(file);
    return rc;
}

static int judge_batch(const char *path, struct vlm_err *err)
{
    struct vlm_buffer batch = { 0 };
    int rc = vlm_file_read(&batch, path, VLM_GIB, err);
    for (size_t at = 0; rc == VLM_OK && at + 4 <= batch.size;) {
        const uint8_t *p = batch.data + at;
        size_t n = p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
        VLM_BUG_IF(n > batch.size - at - 4);
        print_verdict(p + 4, n);
        at += 4 + n;
    }
    vlm_buffer_release(&batch);
    return rc;
}

int main(int argc, char **argv)
{
    struct vlm_err err = { 0 };
    int rc = VLM_EUSAGE;
    if (argc == 2)
        rc = judge_batch(argv[1], &err);
    else if (argc == 3 && !strcmp(argv[1], "open"))
        rc = open_one(argv[2], &err);
    else if (argc == 4 && !strcmp(argv[1], "copy"))
        rc = copy_one(argv[2], argv[3], &err);
    if (rc != VLM_OK)
        fprintf(stderr, "safetensors_verdicts: %s\n", err.msg);
    return fflush(stdout) ? VLM_EXIT_FAILED : vlm_exit_status(rc);
}
