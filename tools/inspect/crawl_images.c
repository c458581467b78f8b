/* crawl_images.c - one pass over the crawl, which keeps places; bytes are read again when they are asked for. */
#include "base/vlm.h"

#include "base/array.h"
#include "base/limits.h"
#include "shard/units/plan.h"
#include "tokenize/dump/http.h"
#include "tools/inspect/crawl_images.h"

#include <fcntl.h>
#include <unistd.h>

struct entry {
    uint8_t sha256[VLM_SHA256_SIZE];
    uint32_t input, file; /* file: of loose files, which */
    uint64_t offset, length;
};

struct vlm_crawl_images {
    struct vlm_plan plan;
    struct entry *entries; /* by hash, then by place */
    size_t n, capacity;
};

/* What is done with each image of a pass. */
struct pass {
    struct vlm_crawl_images *images; /* list it here; else look for the wanted one */
    struct entry at;
    const uint8_t *wanted;
    struct vlm_crawl_image *found;
    struct vlm_arena *arena;
};

static int list_image(struct pass *pass, struct vlm_err *err)
{
    struct vlm_crawl_images *images = pass->images;
    if (!vlm_array_reserve(&images->entries, &images->capacity, images->n, 1,
                           sizeof(*images->entries)))
        return vlm_fail(err, VLM_ENOMEM, "no memory for a list of %zu images", images->n + 1);
    images->entries[images->n++] = pass->at;
    return VLM_OK;
}

/* VLM_EOF: the pass can end. */
static int take_record(struct pass *pass, const struct vlm_record *record, struct vlm_arena *arena,
                       struct vlm_err *err)
{
    struct vlm_http http;
    vlm_arena_reset(arena);
    int rc = vlm_http_decode(&http, record, arena, err);
    if (rc < 0)
        return rc == VLM_ELIMIT ? VLM_OK : rc;
    if (vlm_payload_kind(record, &http) != VLM_PAYLOAD_IMAGE)
        return VLM_OK;
    vlm_sha256(pass->at.sha256, http.body, http.body_length);
    pass->at.offset = record->offset;
    pass->at.length = record->length;
    if (pass->images)
        return list_image(pass, err);
    if (memcmp(pass->at.sha256, pass->wanted, VLM_SHA256_SIZE) != 0)
        return VLM_OK;
    pass->found->size = http.body_length;
    pass->found->bytes = (const uint8_t *)vlm_arena_copy(pass->arena, http.body, http.body_length);
    return pass->found->bytes ? VLM_EOF : vlm_fail(err, VLM_ELIMIT, "no memory for an image");
}

/* Reads an input, or one of its loose files, from begin on. */
static int read_input(struct pass *pass, const struct vlm_input *input, uint64_t begin,
                      struct vlm_err *err)
{
    const bool loose = input->format == VLM_DUMP_FILES;
    const char *path = loose ? input->files[pass->at.file] : input->path;
    const char *name = loose ? input->file_names[pass->at.file] : input->name;
    struct vlm_dump *dump = NULL;
    struct vlm_record record;
    struct vlm_arena arena;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return vlm_fail_errno(err, errno, "cannot read '%s'", path);
    struct vlm_dump_input in = { .fd = fd,
                                 .name = path,
                                 .format = input->format,
                                 .begin = begin,
                                 .exact = begin > 0,
                                 .files = &fd,
                                 .file_names = &name,
                                 .n_files = 1 };
    vlm_arena_init(&arena, 6 * VLM_BODY_MAX);
    int rc = vlm_dump_open(&dump, &in, err);
    while (rc == VLM_OK && (rc = vlm_dump_next(dump, &record, err)) >= 0 && rc != VLM_EOF)
        rc = rc == VLM_OK ? take_record(pass, &record, &arena, err) : VLM_OK;
    vlm_dump_close(dump);
    vlm_arena_release(&arena);
    close(fd);
    return rc == VLM_EOF ? VLM_OK : rc;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = memcmp(x->sha256, y->sha256, VLM_SHA256_SIZE);
    if (order)
        return order;
    if (x->input != y->input)
        return x->input < y->input ? -1 : 1;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

int vlm_crawl_images_new(struct vlm_crawl_images **out, const char *path, struct vlm_err *err)
{
    struct vlm_crawl_images *images = calloc(1, sizeof(*images));
    const struct vlm_build_options options = { .output = NULL };
    char *paths[] = { (char *)path };
    *out = images;
    if (!images)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the images of a crawl");
    int rc = vlm_plan_make(&images->plan, paths, 1, NULL, &options, err);
    for (uint32_t i = 0; rc == VLM_OK && i < images->plan.n_inputs; i++) {
        const struct vlm_input *input = &images->plan.inputs[i];
        struct pass pass = { .images = images, .at = { .input = i } };
        do
            rc = read_input(&pass, input, 0, err);
        while (rc == VLM_OK && ++pass.at.file < input->n_files);
    }
    if (images->n)
        qsort(images->entries, images->n, sizeof(*images->entries), compare_entries);
    return rc;
}

int vlm_crawl_images_find(const struct vlm_crawl_images *images,
                          const uint8_t sha256[VLM_SHA256_SIZE], struct vlm_crawl_image *found,
                          struct vlm_arena *arena, struct vlm_err *err)
{
    size_t low = 0, high = images->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(images->entries[middle].sha256, sha256, VLM_SHA256_SIZE) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == images->n || memcmp(images->entries[low].sha256, sha256, VLM_SHA256_SIZE) != 0)
        return VLM_SKIP;
    const struct entry *entry = &images->entries[low];
    const struct vlm_input *input = &images->plan.inputs[entry->input];
    const bool loose = input->format == VLM_DUMP_FILES;
    *found = (struct vlm_crawl_image){
        .file = loose ? input->file_names[entry->file] : input->name,
        .offset = loose ? 0 : entry->offset,
        .length = entry->length,
    };
    struct pass pass = { .at = *entry, .wanted = sha256, .found = found, .arena = arena };
    bool seek = !loose && input->format != VLM_DUMP_ARCHIVE;
    int rc = read_input(&pass, input, seek ? entry->offset : 0, err);
    return rc == VLM_OK && !found->bytes ? VLM_SKIP : rc;
}

void vlm_crawl_images_free(struct vlm_crawl_images *images)
{
    if (!images)
        return;
    vlm_plan_release(&images->plan);
    free(images->entries);
    free(images);
}
