/* worker.c - the life of a worker: take the order, enter the box, read records until the range ends.
 *
 * What a record becomes is in ingest.c. */
#include "base/vlm.h"

#include "shard/units/worker.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"
#include "shard/units/ingest.h"
#include "shard/units/sandbox.h"

#include <locale.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ADDRESS_SPACE = 3 }; /* GiB, of one worker */

static void add_string(struct vlm_buffer *out, const char *text)
{
    vlm_buffer_varint(out, strlen(text) + 1);
    vlm_buffer_add(out, text, strlen(text) + 1);
}

void vlm_work_encode(struct vlm_buffer *out, const struct vlm_work *work)
{
    vlm_buffer_u32(out, (uint32_t)work->options.profile);
    vlm_buffer_u32(out, (uint32_t)work->options.keep);
    vlm_buffer_u32(out, (uint32_t)work->options.digest);
    add_string(out, work->options.tokenizer);
    add_string(out, work->model);
    vlm_buffer_u64(out, work->plan);
    add_string(out, work->name);
    add_string(out, work->output);
    vlm_buffer_u32(out, work->format);
    vlm_buffer_u64(out, work->begin);
    vlm_buffer_u64(out, work->end);
    vlm_buffer_u32(out, work->exact);
    vlm_buffer_u32(out, work->images_only);
    vlm_buffer_u32(out, work->n_killers);
    for (size_t i = 0; i < work->n_killers; i++) {
        vlm_buffer_u64(out, work->killers[i].offset);
        vlm_buffer_u64(out, work->killers[i].start);
        vlm_buffer_u32(out, work->killers[i].in_reader);
    }
    vlm_buffer_u32(out, work->n_files);
    for (size_t i = 0; i < work->n_files; i++)
        add_string(out, work->file_names[i]);
}

static const char *take_string(struct vlm_bytes *in)
{
    uint64_t n = vlm_bytes_varint(in);
    const uint8_t *text = n <= vlm_bytes_left(in) ? vlm_bytes_take(in, (size_t)n) : NULL;
    VLM_BUG_IF(!text || n == 0 || text[n - 1]);
    return (const char *)text;
}

/* The order comes from our own parent: anything wrong with it is a bug. The strings stay in bytes. */
static void decode_work(struct vlm_work *work, const uint8_t *bytes, size_t size)
{
    struct vlm_bytes in = { bytes, bytes + size, false };
    *work = (struct vlm_work){ 0 };
    work->options.profile = (int)vlm_bytes_u32(&in);
    work->options.keep = (int)vlm_bytes_u32(&in);
    work->options.digest = (int)vlm_bytes_u32(&in);
    snprintf(work->options.tokenizer, sizeof(work->options.tokenizer), "%s", take_string(&in));
    work->model = take_string(&in);
    work->plan = vlm_bytes_u64(&in);
    work->name = take_string(&in);
    work->output = take_string(&in);
    work->format = (enum vlm_dump_format)vlm_bytes_u32(&in);
    work->begin = vlm_bytes_u64(&in);
    work->end = vlm_bytes_u64(&in);
    work->exact = vlm_bytes_u32(&in);
    work->images_only = vlm_bytes_u32(&in);
    work->n_killers = vlm_bytes_u32(&in);
    struct vlm_killer *killers = calloc(work->n_killers + 1, sizeof(*killers));
    VLM_BUG_IF(!killers);
    for (size_t i = 0; i < work->n_killers; i++) {
        killers[i].offset = vlm_bytes_u64(&in);
        killers[i].start = vlm_bytes_u64(&in);
        killers[i].in_reader = vlm_bytes_u32(&in);
    }
    work->killers = killers;
    work->n_files = vlm_bytes_u32(&in);
    const char **names = calloc(work->n_files + 1, sizeof(*names));
    int *files = calloc(work->n_files + 1, sizeof(*files));
    VLM_BUG_IF(!names || !files);
    for (size_t i = 0; i < work->n_files; i++) {
        names[i] = take_string(&in);
        files[i] = VLM_WORKER_FILES + (int)i;
    }
    work->files = files;
    work->file_names = names;
    VLM_BUG_IF(in.bad || in.at != in.end);
}

static uint8_t *map_descriptor(int fd, size_t size, int protection)
{
    void *memory = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
    VLM_BUG_IF(memory == MAP_FAILED);
    return memory;
}

static bool is_killer(const struct vlm_work *work, uint64_t offset, uint64_t start, bool in_reader)
{
    for (size_t i = 0; i < work->n_killers; i++)
        if (work->killers[i].offset == offset && work->killers[i].start == start &&
            (work->killers[i].in_reader != 0) == in_reader)
            return true;
    return false;
}

static void announce(struct vlm_worker_page *page, uint64_t offset, uint64_t start, bool in_reader)
{
    page->in_reader = in_reader;
    page->offset = offset;
    page->start = start;
}

static int open_dump(struct vlm_dump **dump, const struct vlm_work *work, uint64_t begin,
                     bool exact, struct vlm_err *err)
{
    return vlm_dump_open(dump,
                         &(struct vlm_dump_input){
                             .fd = VLM_WORKER_INPUT,
                             .name = work->name,
                             .begin = begin,
                             .end = work->end,
                             .exact = exact,
                             .format = work->format,
                             .files = work->files,
                             .file_names = work->file_names,
                             .n_files = work->n_files,
                         },
                         err);
}

/* The reader itself died at this place: leave the stretch to the next record out. */
static int jump_over(struct vlm_dump **dump, struct vlm_ingest *ingest, const struct vlm_work *work,
                     struct vlm_err *err)
{
    uint64_t at = vlm_dump_position(*dump);
    vlm_dump_close(*dump);
    int rc = open_dump(dump, work, at + 1, false, err);
    if (rc < 0)
        return rc;
    uint64_t next = VLM_MIN(vlm_dump_first(*dump), work->end);
    struct vlm_record record = {
        .error = VLM_DAMAGE_CRASH,
        .offset = at,
        .length = next - at,
    };
    vlm_ingest_damage(ingest, &record);
    return VLM_OK;
}

static int read_records(struct vlm_dump **dump, struct vlm_ingest *ingest,
                        const struct vlm_work *work, struct vlm_worker_page *page,
                        struct vlm_err *err)
{
    struct vlm_record record;
    for (;;) {
        uint64_t at = vlm_dump_position(*dump);
        if (is_killer(work, at, 0, true)) {
            int jumped = jump_over(dump, ingest, work, err);
            if (jumped < 0)
                return jumped;
        }
        announce(page, at, 0, true);
        int rc = vlm_dump_next(*dump, &record, err);
        if (rc < 0 || rc == VLM_EOF)
            return rc;
        if (rc == VLM_OK && is_killer(work, record.offset, record.start, false)) {
            record.error = VLM_DAMAGE_CRASH;
            rc = VLM_SKIP;
        }
        announce(page, record.offset, record.start, false);
        if (rc == VLM_SKIP)
            vlm_ingest_damage(ingest, &record);
        else
            rc = vlm_ingest_record(ingest, &record, err);
        if (rc < 0)
            return rc;
        page->bytes = ingest->unit.trailer.ledger.bytes_read;
        page->documents = ingest->unit.trailer.n_documents;
        page->images = ingest->unit.trailer.ledger.images_in;
    }
}

/* What is not damaged was read: records, and the empty members, newlines and zeros between them, which
 * belong to none. Members of an archive have no bytes of their own in its file. */
static void count_bytes(struct vlm_unit_trailer *trailer)
{
    struct vlm_ledger *ledger = &trailer->ledger;
    uint64_t bytes = trailer->end - VLM_MIN(trailer->end, trailer->first);
    ledger->bytes_damaged = VLM_MIN(ledger->bytes_damaged, bytes);
    ledger->bytes_read = bytes - ledger->bytes_damaged;
}

static int run(const struct vlm_work *work, struct vlm_worker_page *page, struct vlm_err *err)
{
    struct vlm_ingest ingest;
    struct vlm_dump *dump = NULL;
    /* Names in archives are UTF-8 and times in zip archives local ones: the same on every machine, and
     * looked up before the box closes (the calendar opens the zone's file at its first use). */
    setlocale(LC_CTYPE, "C.UTF-8");
    setenv("TZ", "UTC0", 1);
    tzset();
    int rc = vlm_ingest_init(&ingest, work, VLM_WORKER_OUTPUT, err);
    if (rc == VLM_OK && vlm_sandbox_enter(ADDRESS_SPACE * (uint64_t)VLM_GIB, err) == VLM_SKIP)
        page->unconfined = 1;
    if (rc == VLM_OK)
        rc = open_dump(&dump, work, work->begin, work->exact, err);
    if (rc == VLM_OK) {
        ingest.unit.trailer.first = vlm_dump_first(dump);
        rc = read_records(&dump, &ingest, work, page, err);
    }
    if (rc == VLM_EOF) {
        ingest.unit.trailer.end = vlm_dump_position(dump);
        if (work->format != VLM_DUMP_FILES)
            count_bytes(&ingest.unit.trailer);
        rc = vlm_unit_end(&ingest.unit, err);
    }
    vlm_dump_close(dump);
    vlm_ingest_release(&ingest);
    return rc;
}

int vlm_worker_main(void)
{
    struct stat stat;
    struct vlm_work work;
    struct vlm_err err = { 0 };
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody would take the result of an orphan */
    if (fstat(VLM_WORKER_SPEC, &stat) < 0 || stat.st_size == 0) {
        fprintf(stderr, "vlm-shard: 'worker' is started by 'build', not by hand\n");
        return VLM_EXIT_USAGE;
    }
    size_t size = (size_t)stat.st_size;
    decode_work(&work, map_descriptor(VLM_WORKER_SPEC, size, PROT_READ), size);
    struct vlm_worker_page *page =
        (void *)map_descriptor(VLM_WORKER_PAGE, sizeof(*page), PROT_READ | PROT_WRITE);
    int rc = run(&work, page, &err);
    free((void *)work.killers);
    free((void *)work.file_names);
    free((void *)work.files);
    if (rc >= 0)
        return VLM_EXIT_DONE;
    page->code = rc;
    memcpy(page->message, err.msg, sizeof(page->message));
    return VLM_EXIT_FAILED;
}
