/* word_table.c - open addressing with linear probing, at most five eighths full.
 *
 * The hash is a 128-bit product of the word, mixed with a secret, folded to 64 bits. Long words are hashed by XXH3
 * first and compared as a whole. */
#include "base/vlm.h"

#include "tokenize/bpe/word_table.h"

#include "base/hash.h"

enum { CAPACITY_MIN = 1024 };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are read 8 bytes at a time");

static uint64_t load(const char *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

/* The first n < 8 bytes of the 8 at bytes, zeros behind them. */
static uint64_t load_part(const char *bytes, size_t n)
{
    return load(bytes) & (((uint64_t)1 << 8 * n) - 1);
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static size_t hash(const struct vlm_word_table *table, uint64_t head, uint64_t tail, size_t n)
{
    return (size_t)fold(head ^ table->seed[0], tail ^ table->seed[1] ^ n);
}

static bool grow(struct vlm_word_table *table)
{
    size_t capacity = table->capacity ? 2 * table->capacity : CAPACITY_MIN;
    struct vlm_word_entry *entries = calloc(capacity, sizeof(*entries));
    if (!entries)
        return false;
    for (size_t i = 0; i < table->capacity; i++) {
        const struct vlm_word_entry *entry = &table->entries[i];
        if (!entry->n)
            continue;
        bool is_long = entry->n > VLM_WORD_INLINE;
        size_t at = hash(table, entry->head, is_long ? 0 : entry->tail, entry->n);
        while (entries[at & (capacity - 1)].n)
            at++;
        entries[at & (capacity - 1)] = *entry;
    }
    free(table->entries);
    table->entries = entries;
    table->capacity = capacity;
    return true;
}

static bool reserve_bytes(struct vlm_word_table *table, size_t n)
{
    if (n <= table->bytes_capacity - table->n_bytes)
        return true;
    size_t capacity =
        VLM_MAX(table->n_bytes + n, table->bytes_capacity + table->bytes_capacity / 2);
    char *bytes = realloc(table->bytes, capacity);
    if (!bytes)
        return false;
    table->bytes = bytes;
    table->bytes_capacity = capacity;
    return true;
}

static bool is_full(const struct vlm_word_table *table)
{
    return table->n >= table->capacity / 8 * 5;
}

static bool add_long(struct vlm_word_table *table, const char *word, size_t n, uint64_t count)
{
    uint64_t key = fold(vlm_xxh3(word, n) ^ table->seed[1], table->seed[0]);
    size_t mask = table->capacity - 1, at = hash(table, key, 0, n) & mask;
    for (; table->entries[at].n; at = (at + 1) & mask) {
        struct vlm_word_entry *entry = &table->entries[at];
        if (entry->n == n && entry->head == key && !memcmp(table->bytes + entry->tail, word, n)) {
            entry->count += count;
            return true;
        }
    }
    if (!reserve_bytes(table, n))
        return false;
    memcpy(table->bytes + table->n_bytes, word, n);
    table->entries[at] = (struct vlm_word_entry){ key, table->n_bytes, count, (uint32_t)n };
    table->n_bytes += n;
    table->n++;
    return true;
}

bool vlm_word_table_add(struct vlm_word_table *table, const char *word, size_t n, uint64_t count,
                        size_t readable)
{
    char copy[VLM_WORD_INLINE] = { 0 };
    if (is_full(table) && !grow(table))
        return false;
    if (n > VLM_WORD_INLINE)
        return add_long(table, word, n, count);
    if (readable < VLM_WORD_INLINE) {
        memcpy(copy, word, n);
        word = copy;
    }
    uint64_t head = n < 8 ? load_part(word, n) : load(word);
    uint64_t tail = n <= 8 ? 0 : n < 16 ? load_part(word + 8, n - 8) : load(word + 8);
    size_t mask = table->capacity - 1, at = hash(table, head, tail, n) & mask;
    for (; table->entries[at].n; at = (at + 1) & mask) {
        struct vlm_word_entry *entry = &table->entries[at];
        if (entry->head == head && entry->tail == tail && entry->n == n) {
            entry->count += count;
            return true;
        }
    }
    table->entries[at] = (struct vlm_word_entry){ head, tail, count, (uint32_t)n };
    table->n++;
    return true;
}

const char *vlm_word_table_bytes(const struct vlm_word_table *table,
                                 const struct vlm_word_entry *entry)
{
    return entry->n > VLM_WORD_INLINE ? table->bytes + entry->tail : (const char *)entry;
}

size_t vlm_word_table_memory(const struct vlm_word_table *table, size_t n)
{
    size_t entries = table->capacity, bytes = table->bytes_capacity;
    if (is_full(table))
        entries = entries ? 3 * entries : CAPACITY_MIN;
    if (n > VLM_WORD_INLINE && n > bytes - table->n_bytes)
        bytes += VLM_MAX(n, bytes / 2);
    return entries * sizeof(struct vlm_word_entry) + bytes;
}

static int compare(const void *a, const void *b, void *context)
{
    const struct vlm_word_table *table = context;
    const struct vlm_word_entry *left = a, *right = b;
    int order = memcmp(vlm_word_table_bytes(table, left), vlm_word_table_bytes(table, right),
                       VLM_MIN(left->n, right->n));
    return order ? order : left->n < right->n ? -1 : left->n > right->n;
}

void vlm_word_table_sort(struct vlm_word_table *table)
{
    size_t n = 0;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->entries[i].n)
            table->entries[n++] = table->entries[i];
    if (n)
        qsort_r(table->entries, n, sizeof(*table->entries), compare, table);
}

void vlm_word_table_reset(struct vlm_word_table *table)
{
    if (table->capacity)
        memset(table->entries, 0, table->capacity * sizeof(*table->entries));
    table->n = table->n_bytes = 0;
}

void vlm_word_table_release(struct vlm_word_table *table)
{
    free(table->entries);
    free(table->bytes);
    *table = (struct vlm_word_table){ .seed = { table->seed[0], table->seed[1] } };
}
