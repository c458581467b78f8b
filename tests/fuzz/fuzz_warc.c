/* fuzz_warc.c - any bytes as a crawl dump, whole and in ranges.
 *
 * Besides not crashing: records lie inside the file and in order, and reading in two ranges, put
 * together as a committer does, counts the same records. */
#include "base/vlm.h"

#include "tokenize/dump/http.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct count {
    size_t records, damages;
    uint64_t first, position;
    int rc;
};

static void read_range(struct count *count, int fd, uint64_t size, uint64_t begin, uint64_t end,
                       bool exact, struct vlm_arena *arena)
{
    struct vlm_dump *dump = NULL;
    struct vlm_record record;
    struct vlm_http http;
    uint64_t last = 0;
    const struct vlm_dump_input in = {
        .fd = fd, .name = "fuzz", .begin = begin, .end = end, .exact = exact
    };
    *count = (struct count){ .rc = vlm_dump_open(&dump, &in, NULL) };
    if (count->rc != VLM_OK)
        return;
    count->first = vlm_dump_first(dump);
    while ((count->rc = vlm_dump_next(dump, &record, NULL)) == VLM_OK || count->rc == VLM_SKIP) {
        bool archive = vlm_dump_format(dump) == VLM_DUMP_ARCHIVE;
        VLM_BUG_IF(record.offset < last || (!archive && record.offset + record.length > size));
        last = record.offset;
        count->records += count->rc == VLM_OK;
        count->damages += count->rc == VLM_SKIP;
        VLM_BUG_IF(count->records + count->damages > 64 * size + 64);
        vlm_arena_reset(arena);
        if (count->rc == VLM_OK && vlm_http_decode(&http, &record, arena, NULL) == VLM_OK)
            (void)vlm_payload_kind(&record, &http);
    }
    count->position = vlm_dump_position(dump);
    vlm_dump_close(dump);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct vlm_arena arena;
    struct count whole, head, tail;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || pwrite(fd, bytes, n, 0) != (ssize_t)n)
        return 0;
    vlm_arena_init(&arena, (size_t)192 << 20);
    read_range(&whole, fd, n, 0, 0, false, &arena);
    uint64_t cut = n / 2;
    if (whole.rc == VLM_EOF && cut) {
        read_range(&head, fd, n, 0, cut, false, &arena);
        read_range(&tail, fd, n, cut, 0, false, &arena);
        if (tail.first != head.position)
            read_range(&tail, fd, n, head.position, 0, true, &arena);
        VLM_BUG_IF(head.records + tail.records != whole.records ||
                   head.damages + tail.damages != whole.damages);
    }
    vlm_arena_release(&arena);
    close(fd);
    return 0;
}
