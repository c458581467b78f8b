/* vq_checkpoint.c - the state of a trainer as one safetensors file, written whole or not at all.
 *
 * Tensors: weights, both moments and the average of each parameter; counts, sums and average of the
 * codebook; the guard. Metadata: what run it is of, and the counters. One table serves both ways. */
#include "base/vlm.h"

#include "vqgan/train/vq_trainer.h"

#include "nn/safetensors.h"

#define FORMAT "vlm-vq-checkpoint 1"

enum { NAME_SIZE = VLM_VQ_NAME_SIZE + 16, GUARD_NUMBERS = 7, GUARD_TENSORS = 3, COUNTERS = 5 };

/* Tensors of a checkpoint and where they are in memory. */
struct table {
    struct vlm_safetensors_item *items;
    char (*names)[NAME_SIZE];
    void **data; /* items have it const */
    size_t count;
    uint64_t guard[GUARD_NUMBERS];
};

static void add(struct table *table, enum vlm_safetensors_dtype dtype, const char *prefix,
                const char *name, unsigned rank, const size_t *shape, void *data)
{
    size_t i = table->count++;
    snprintf(table->names[i], NAME_SIZE, "%s%s", prefix, name);
    table->data[i] = data;
    table->items[i] = (struct vlm_safetensors_item){
        .name = table->names[i], .dtype = dtype, .rank = rank, .data = data
    };
    memcpy(table->items[i].shape, shape, rank * sizeof(*shape));
}

static void add_parameters(struct table *table, struct vlm_vq_trainer *t)
{
    static const char *const prefix[] = { "m.", "v.", "average." };
    for (size_t i = 0; i < t->model.n_parameters; i++) {
        const struct vlm_tensor *p = t->model.parameters[i].tensor;
        add(table, VLM_SAFETENSORS_F32, "model.", p->name, p->rank, p->shape, p->data);
        for (size_t k = 0; k < VLM_COUNTOF(prefix) && p != &t->model.codebook; k++)
            add(table, VLM_SAFETENSORS_F32, prefix[k], p->name, p->rank, p->shape,
                vlm_optimizer_state(&t->optimizer, i, (enum vlm_optimizer_part)k));
    }
}

static void free_table(struct table *table)
{
    free(table->items);
    free(table->names);
    free(table->data);
}

/* Wide numbers first, so that each is aligned. */
static int make_table(struct table *table, struct vlm_vq_trainer *t, struct vlm_err *err)
{
    const size_t n = 4 * t->model.n_parameters + 3 + GUARD_TENSORS;
    const size_t window = VLM_GUARD_WINDOW, numbers = GUARD_NUMBERS;
    const struct vlm_tensor *book = &t->model.codebook;
    *table = (struct table){ .items = calloc(n, sizeof(*table->items)),
                             .names = calloc(n, sizeof(*table->names)),
                             .data = calloc(n, sizeof(*table->data)) };
    if (!table->items || !table->names || !table->data) {
        free_table(table);
        return vlm_fail(err, VLM_ENOMEM, "no memory for a table of %zu tensors", n);
    }
    add(table, VLM_SAFETENSORS_F64, "guard.", "loss", 1, &window, t->guard.loss);
    add(table, VLM_SAFETENSORS_F64, "guard.", "norm", 1, &window, t->guard.norm);
    add(table, VLM_SAFETENSORS_U64, "guard.", "numbers", 1, &numbers, table->guard);
    add_parameters(table, t);
    add(table, VLM_SAFETENSORS_F32, "codebook.", "counts", 1, book->shape, t->book.counts);
    add(table, VLM_SAFETENSORS_F32, "codebook.", "sums", 2, book->shape, t->book.sums);
    add(table, VLM_SAFETENSORS_F32, "codebook.", "average", 2, book->shape, t->book_average);
    VLM_BUG_IF(table->count > n);
    return VLM_OK;
}

/* ---- writing ---- */

int vlm_vq_trainer_save(struct vlm_vq_trainer *t, const char *path, const char *identity,
                        uint64_t extra, struct vlm_err *err)
{
    struct table table;
    int rc = make_table(&table, t, err);
    if (rc != VLM_OK)
        return rc;
    const struct vlm_guard *guard = &t->guard;
    const uint64_t numbers[GUARD_NUMBERS] = { guard->count,    guard->next,    guard->bad_in_row,
                                              guard->accepted, guard->skipped, guard->not_finite,
                                              guard->spikes };
    memcpy(table.guard, numbers, sizeof(numbers));
    const struct {
        const char *key;
        uint64_t value;
    } counters[COUNTERS] = { { "step", t->step },
                             { "dropped", t->dropped },
                             { "quantised", t->quantised },
                             { "updates", t->optimizer.step },
                             { "extra", extra } };
    char text[COUNTERS][24];
    struct vlm_safetensors_pair pairs[COUNTERS + 2] = { { "format", FORMAT }, { "run", identity } };
    for (size_t i = 0; i < COUNTERS; i++) {
        snprintf(text[i], sizeof(text[i]), "%" PRIu64, counters[i].value);
        pairs[i + 2] = (struct vlm_safetensors_pair){ counters[i].key, text[i] };
    }
    const struct vlm_safetensors_content content = { .items = table.items,
                                                     .count = table.count,
                                                     .metadata = pairs,
                                                     .metadata_count = VLM_COUNTOF(pairs) };
    rc = vlm_safetensors_write(path, &content, err);
    free_table(&table);
    return rc;
}

/* ---- reading ---- */

static int read_counter(uint64_t *value, const struct vlm_safetensors *file, const char *key,
                        struct vlm_err *err)
{
    const char *text = vlm_safetensors_metadata_find(file, key);
    char *end = NULL;
    errno = 0;
    *value = text ? strtoull(text, &end, 10) : 0;
    if (!text || end == text || *end || errno)
        return vlm_fail(err, VLM_EFORMAT, "\"%s\" is '%.40s', expected a number", key,
                        text ? text : "absent");
    return VLM_OK;
}

static int check_run(const struct vlm_safetensors *file, const char *identity, struct vlm_err *err)
{
    const char *format = vlm_safetensors_metadata_find(file, "format");
    const char *run = vlm_safetensors_metadata_find(file, "run");
    if (!format || strcmp(format, FORMAT) || !run)
        return vlm_fail(err, VLM_EFORMAT, "\"format\" is '%.40s', expected '%s'",
                        format ? format : "absent", FORMAT);
    if (strcmp(run, identity))
        return vlm_fail(err, VLM_EUSAGE,
                        "it is of a run with other options or pictures: there %.300s, here %.300s",
                        run, identity);
    return VLM_OK;
}

/* All tensors, none of which is touched before all were found as they must be. */
static int read_tensors(const struct table *table, const struct vlm_safetensors *file,
                        struct vlm_err *err)
{
    struct vlm_safetensors_want *wanted = calloc(table->count, sizeof(*wanted));
    size_t n = 0;
    int rc = wanted ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for a table of tensors");
    for (size_t i = 0; rc == VLM_OK && i < table->count; i++) {
        const struct vlm_safetensors_item *item = &table->items[i];
        const struct vlm_safetensors_entry *entry = vlm_safetensors_find(file, item->name);
        if (!entry || entry->dtype != item->dtype || entry->rank != item->rank ||
            memcmp(entry->shape, item->shape, item->rank * sizeof(*item->shape)))
            rc = vlm_fail(err, VLM_EFORMAT, "tensor \"%s\" is missing or of another shape",
                          item->name);
        if (item->dtype != VLM_SAFETENSORS_F32)
            continue;
        wanted[n] = (struct vlm_safetensors_want){ .name = item->name,
                                                   .rank = item->rank,
                                                   .to = table->data[i] };
        memcpy(wanted[n++].shape, item->shape, sizeof(item->shape));
    }
    if (rc == VLM_OK)
        rc = vlm_safetensors_load(file, wanted, n,
                                  VLM_SAFETENSORS_ALLOW_EXTRA | VLM_SAFETENSORS_FINITE, err);
    free(wanted);
    for (size_t i = 0; rc == VLM_OK && i < GUARD_TENSORS; i++)
        rc = vlm_safetensors_read_raw(file, vlm_safetensors_find(file, table->items[i].name),
                                      table->data[i], err);
    return rc;
}

static int read_all(struct vlm_vq_trainer *t, struct table *table,
                    const struct vlm_safetensors *file, uint64_t *extra, struct vlm_err *err)
{
    uint64_t quantised = 0;
    int rc = read_counter(&t->step, file, "step", err);
    if (rc == VLM_OK)
        rc = read_counter(&t->dropped, file, "dropped", err);
    if (rc == VLM_OK)
        rc = read_counter(&quantised, file, "quantised", err);
    if (rc == VLM_OK)
        rc = read_counter(&t->optimizer.step, file, "updates", err);
    if (rc == VLM_OK)
        rc = read_counter(extra, file, "extra", err);
    if (rc == VLM_OK)
        rc = read_tensors(table, file, err);
    if (rc != VLM_OK)
        return rc;
    t->quantised = quantised;
    const uint64_t *n = table->guard;
    t->guard.count = (uint32_t)n[0];
    t->guard.next = (uint32_t)n[1];
    t->guard.bad_in_row = (uint32_t)n[2];
    t->guard.accepted = n[3];
    t->guard.skipped = n[4];
    t->guard.not_finite = n[5];
    t->guard.spikes = n[6];
    return vlm_guard_check(&t->guard, err);
}

int vlm_vq_trainer_load(struct vlm_vq_trainer *t, const char *path, const char *identity,
                        uint64_t *extra, struct vlm_err *err)
{
    struct vlm_safetensors *file;
    struct table table;
    int rc = vlm_safetensors_open(&file, path, err);
    if (rc != VLM_OK)
        return rc;
    rc = check_run(file, identity, err);
    if (rc == VLM_OK) {
        rc = make_table(&table, t, err);
        if (rc == VLM_OK) {
            rc = read_all(t, &table, file, extra, err);
            free_table(&table);
        }
    }
    vlm_safetensors_close(file);
    return rc == VLM_OK ? VLM_OK : vlm_wrap(err, "checkpoint '%s'", path);
}
