/* available.c - how much memory a program may take: asked of the system before anything is allocated. */
#include "base/vlm.h"

#include "base/available.h"
#include "base/file.h"
#include "base/limits.h"

enum { FILE_MAX_BYTES = 1 << 20 };

/* The whole text of a small file of /proc or /sys, with a NUL; false: there is none. */
static bool read_text(struct vlm_buffer *text, const char *path)
{
    struct vlm_err ignored;
    vlm_buffer_reset(text);
    if (vlm_file_read(text, path, FILE_MAX_BYTES, &ignored) < 0)
        return false;
    vlm_buffer_byte(text, 0);
    return !text->failed;
}

/* The number behind a word that begins a line. */
static bool number_after(const char *text, const char *word, uint64_t *value)
{
    for (const char *line = text; line && *line;) {
        if (!strncmp(line, word, strlen(word))) {
            char *end;
            const char *digits = line + strlen(word);
            *value = strtoull(digits, &end, 10);
            return end != digits;
        }
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return false;
}

static bool read_number(struct vlm_buffer *text, const char *folder, const char *name,
                        uint64_t *value)
{
    char *path = vlm_path_join(folder, name);
    bool there = read_text(text, path) && number_after((const char *)text->data, "", value);
    free(path);
    return there;
}

/* The two versions of control groups: where they are, and what their files are called. */
struct group_files {
    const char *line; /* of /proc/self/cgroup, in front of the group's name */
    const char *root, *limit, *used, *cache;
};
static const struct group_files versions[] = {
    { "0::", "/sys/fs/cgroup", "memory.max", "memory.current", "file " },
    { ":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
      "total_cache " },
};

/* What is left of a group's limit; pages of files can be dropped and do not count. */
static uint64_t left_of_group(struct vlm_buffer *text, const struct group_files *files,
                              const char *folder)
{
    uint64_t limit, used, cache = 0;
    if (!read_number(text, folder, files->limit, &limit) ||
        !read_number(text, folder, files->used, &used))
        return UINT64_MAX; /* "max", or no such group */
    char *path = vlm_path_join(folder, "memory.stat");
    if (read_text(text, path))
        number_after((const char *)text->data, files->cache, &cache);
    free(path);
    used -= VLM_MIN(cache, used);
    return limit > used ? limit - used : 0;
}

/* The smallest of the group of this process and those above it. */
static uint64_t left_of_groups(struct vlm_buffer *text, const struct group_files *files)
{
    char folder[4096];
    const int root = snprintf(folder, sizeof(folder), "%s", files->root);
    uint64_t least = UINT64_MAX;
    const char *own =
        read_text(text, "/proc/self/cgroup") ? strstr((const char *)text->data, files->line) : NULL;
    if (own) {
        own += strlen(files->line);
        snprintf(folder + root, sizeof(folder) - (size_t)root, "%.*s", (int)strcspn(own, "\n"),
                 own);
    }
    for (;;) {
        least = VLM_MIN(least, left_of_group(text, files, folder));
        char *slash = strrchr(folder + root, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

size_t vlm_memory_available(void)
{
    struct vlm_buffer text = { 0 };
    uint64_t kib, bytes = 16 * (uint64_t)VLM_GIB;
    if (read_text(&text, "/proc/meminfo") &&
        number_after((const char *)text.data, "MemAvailable:", &kib))
        bytes = kib * VLM_KIB;
    for (size_t i = 0; i < VLM_COUNTOF(versions); i++)
        bytes = VLM_MIN(bytes, left_of_groups(&text, &versions[i]));
    vlm_buffer_release(&text);
    return (size_t)VLM_MIN(bytes, (uint64_t)SIZE_MAX);
}
