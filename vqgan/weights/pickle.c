/* pickle.c - the stack machine: opcodes of Python's Lib/pickletools.py, protocols 2 to 5.
 *
 * One table says for each opcode what runs; opcodes that no pickler writes under these protocols
 * are refused. Each step takes at most as long as the bytes it reads and the values it pops, so
 * nothing here needs a clock. There is no recursion: values refer to one another by pointers and
 * the machine never follows them. */
#include "base/vlm.h"
#include "vqgan/weights/pickle.h"

#include "base/bytes.h"
#include "base/limits.h"

enum { OPCODE_PROTO = 0x80, OPCODE_STOP = '.' };

struct machine {
    struct vlm_pickle *pickle;
    struct vlm_bytes in;
    struct vlm_pickle_value **stack, **memo; /* NULL: a mark; nothing remembered */
    size_t depth, depth_capacity, memo_capacity, memo_count;
    bool stopped;
    struct vlm_err *err;
};

static int fail_memory(struct machine *m)
{
    return vlm_fail(m->err, VLM_ELIMIT, "its values take more than %zu bytes",
                    VLM_PICKLE_MEMORY_MAX);
}

/* Room for element `index` in an array of pointers; new ones are NULL. */
static int grow(struct machine *m, struct vlm_pickle_value ***array, size_t *capacity, size_t index)
{
    if (index < *capacity)
        return VLM_OK;
    size_t larger = VLM_MAX(2 * *capacity, index + 64); /* indexes are limited: no overflow */
    struct vlm_pickle_value **memory = realloc(*array, larger * sizeof(*memory));
    if (!memory)
        return vlm_fail(m->err, VLM_ENOMEM, "no memory for %zu values", larger);
    memset(memory + *capacity, 0, (larger - *capacity) * sizeof(*memory));
    *array = memory;
    *capacity = larger;
    return VLM_OK;
}

static int push(struct machine *m, struct vlm_pickle_value *value)
{
    if (m->depth >= VLM_PICKLE_STACK_MAX)
        return vlm_fail(m->err, VLM_ELIMIT, "more than %d values wait on its stack",
                        VLM_PICKLE_STACK_MAX);
    int rc = grow(m, &m->stack, &m->depth_capacity, m->depth);
    if (rc == VLM_OK)
        m->stack[m->depth++] = value;
    return rc;
}

static int push_new(struct machine *m, struct vlm_pickle_value content)
{
    struct vlm_pickle_value *value = vlm_arena_alloc(&m->pickle->memory, 1, sizeof(*value));
    if (!value)
        return fail_memory(m);
    *value = content;
    return push(m, value);
}

/* The last n (not 0) values on the stack, none of them a mark; else NULL and a sentence. */
static struct vlm_pickle_value **need(struct machine *m, size_t n)
{
    size_t found = 0;
    while (found < n && found < m->depth && m->stack[m->depth - 1 - found])
        found++;
    if (found == n)
        return m->stack + m->depth - n;
    vlm_fail(m->err, VLM_EFORMAT, "it takes %zu values where there are %zu", n, found);
    return NULL;
}

/* Pops everything above the last mark and the mark; *values stay readable until the next push. */
static int pop_to_mark(struct machine *m, struct vlm_pickle_value ***values, size_t *n)
{
    size_t at = m->depth;
    while (at && m->stack[at - 1])
        at--;
    if (!at)
        return vlm_fail(m->err, VLM_EFORMAT, "it takes values down to a mark that is not there");
    *values = m->stack + at;
    *n = m->depth - at;
    m->depth = at - 1;
    return VLM_OK;
}

static int add(struct machine *m, struct vlm_pickle_value *to, struct vlm_pickle_value *key,
               struct vlm_pickle_value *value)
{
    struct vlm_pickle_item *item = vlm_arena_alloc(&m->pickle->memory, 1, sizeof(*item));
    if (!item)
        return fail_memory(m);
    *item = (struct vlm_pickle_item){ .key = key, .value = value };
    if (to->first)
        to->last->next = item;
    else
        to->first = item;
    to->last = item;
    to->count++;
    return VLM_OK;
}

static bool is_foreign(const struct vlm_pickle_value *value)
{
    return value->kind == VLM_PICKLE_OPAQUE || value->kind == VLM_PICKLE_CALL;
}

/* Fills `to` with n values: pairs of key and value for a dictionary. */
static int add_all(struct machine *m, struct vlm_pickle_value *to, enum vlm_pickle_kind kind,
                   struct vlm_pickle_value **values, size_t n)
{
    if (is_foreign(to))
        return VLM_OK;
    if (to->kind != kind)
        return vlm_fail(m->err, VLM_EFORMAT, "it adds to a value that is no %s",
                        kind == VLM_PICKLE_DICT ? "dictionary" : "list");
    size_t step = kind == VLM_PICKLE_DICT ? 2 : 1;
    if (n % step)
        return vlm_fail(m->err, VLM_EFORMAT, "a dictionary gets a key without a value");
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < n; i += step)
        rc = add(m, to, step == 2 ? values[i] : NULL, values[i + step - 1]);
    return rc;
}

/* Opcodes ------------------------------------------------------------------------------------- */

/* What runs for an opcode; argument is from the table. */
typedef int (*opcode_runner)(struct machine *m, int argument);

static int run_constant(struct machine *m, int kind)
{
    return push_new(m, (struct vlm_pickle_value){ .kind = (enum vlm_pickle_kind)kind });
}

static int run_bool(struct machine *m, int value)
{
    return push_new(m, (struct vlm_pickle_value){ .kind = VLM_PICKLE_BOOL, .number = value });
}

static int run_mark(struct machine *m, int argument)
{
    (void)argument;
    return push(m, NULL);
}

/* An unsigned number of `bytes` bytes, or a signed one of 4 for -4. */
static int run_int(struct machine *m, int bytes)
{
    int64_t number = bytes < 0 ? (int32_t)vlm_bytes_u32(&m->in)
                               : (int64_t)vlm_bytes_little_endian(&m->in, (size_t)bytes);
    return push_new(m, (struct vlm_pickle_value){ .kind = VLM_PICKLE_INT, .number = number });
}

/* The next bytes, with their count in front, of `prefix` bytes. NULL sets m->in.bad. */
static const uint8_t *take_counted(struct machine *m, int prefix, size_t *n)
{
    uint64_t size = vlm_bytes_little_endian(&m->in, (size_t)prefix);
    *n = (size_t)size;
    return vlm_bytes_take(&m->in, *n);
}

/* Two's complement of any length; beyond 8 bytes nobody asks for the number. */
static int run_long(struct machine *m, int prefix)
{
    size_t n;
    const uint8_t *bytes = take_counted(m, prefix, &n);
    if (!bytes || n > 8)
        return run_constant(m, VLM_PICKLE_OPAQUE);
    uint64_t number = n && bytes[n - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = n; i-- > 0;)
        number = number << 8 | bytes[i];
    return push_new(m,
                    (struct vlm_pickle_value){ .kind = VLM_PICKLE_INT, .number = (int64_t)number });
}

static int run_text(struct machine *m, int prefix)
{
    struct vlm_pickle_value text = { .kind = VLM_PICKLE_TEXT };
    text.text = (const char *)take_counted(m, prefix, &text.size);
    return push_new(m, text);
}

static int run_bytes(struct machine *m, int prefix)
{
    size_t n;
    take_counted(m, prefix, &n);
    return run_constant(m, VLM_PICKLE_OPAQUE);
}

static int run_float(struct machine *m, int size)
{
    vlm_bytes_take(&m->in, (size_t)size);
    return run_constant(m, VLM_PICKLE_OPAQUE);
}

/* EXT: an object that both sides agreed on elsewhere. */
#define run_extension run_float

/* Of the last n values, or (-1) of those above the mark. */
static int run_tuple(struct machine *m, int n)
{
    struct vlm_pickle_value tuple = { .kind = VLM_PICKLE_TUPLE }, **values = NULL;
    size_t count = (size_t)n;
    if (n > 0) {
        values = need(m, count);
        if (!values)
            return VLM_EFORMAT;
        m->depth -= count;
    } else if (n < 0) {
        int rc = pop_to_mark(m, &values, &count);
        if (rc != VLM_OK)
            return rc;
    }
    int rc = add_all(m, &tuple, VLM_PICKLE_TUPLE, values, count);
    return rc == VLM_OK ? push_new(m, tuple) : rc;
}

/* One item, or everything above the mark, goes into the value below. */
static int run_add_one(struct machine *m, int kind)
{
    size_t n = kind == VLM_PICKLE_DICT ? 2 : 1;
    struct vlm_pickle_value **values = need(m, n + 1);
    if (!values)
        return VLM_EFORMAT;
    m->depth -= n;
    return add_all(m, values[0], (enum vlm_pickle_kind)kind, values + 1, n);
}

static int run_add_many(struct machine *m, int kind)
{
    struct vlm_pickle_value **values, **to;
    size_t n;
    int rc = pop_to_mark(m, &values, &n);
    if (rc != VLM_OK)
        return rc;
    to = need(m, 1);
    return to ? add_all(m, to[0], (enum vlm_pickle_kind)kind, values, n) : VLM_EFORMAT;
}

/* A set: its members are dropped. */
static int run_frozen_set(struct machine *m, int argument)
{
    (void)argument;
    struct vlm_pickle_value **values;
    size_t n;
    int rc = pop_to_mark(m, &values, &n);
    return rc == VLM_OK ? run_constant(m, VLM_PICKLE_OPAQUE) : rc;
}

static int run_pop(struct machine *m, int argument)
{
    (void)argument;
    if (!m->depth)
        return vlm_fail(m->err, VLM_EFORMAT, "it takes a value where there is none");
    m->depth--;
    return VLM_OK;
}

static int run_pop_mark(struct machine *m, int argument)
{
    (void)argument;
    struct vlm_pickle_value **values;
    size_t n;
    return pop_to_mark(m, &values, &n);
}

static int memoize(struct machine *m, size_t index)
{
    struct vlm_pickle_value **top = need(m, 1);
    if (!top)
        return VLM_EFORMAT;
    if (index >= VLM_PICKLE_MEMO_MAX)
        return vlm_fail(m->err, VLM_ELIMIT, "it remembers a value as number %zu; the limit is %d",
                        index, VLM_PICKLE_MEMO_MAX);
    int rc = grow(m, &m->memo, &m->memo_capacity, index);
    if (rc != VLM_OK)
        return rc;
    m->memo_count += !m->memo[index];
    m->memo[index] = top[0];
    return VLM_OK;
}

/* 0: without a number, it is the next one. */
static int run_put(struct machine *m, int bytes)
{
    return memoize(m,
                   bytes ? (size_t)vlm_bytes_little_endian(&m->in, (size_t)bytes) : m->memo_count);
}

static int run_get(struct machine *m, int bytes)
{
    size_t index = (size_t)vlm_bytes_little_endian(&m->in, (size_t)bytes);
    if (index >= m->memo_capacity || !m->memo[index])
        return vlm_fail(m->err, VLM_EFORMAT, "it recalls value %zu, which it never remembered",
                        index);
    return push(m, m->memo[index]);
}

/* "module name", for comparing. */
static int push_global(struct machine *m, const char *module, size_t module_size, const char *name,
                       size_t name_size)
{
    size_t size = module_size + 1 + name_size;
    char *text = vlm_arena_alloc(&m->pickle->memory, 1, size);
    if (!text)
        return fail_memory(m);
    memcpy(text, module, module_size);
    text[module_size] = ' ';
    memcpy(text + module_size + 1, name, name_size);
    return push_new(
        m, (struct vlm_pickle_value){ .kind = VLM_PICKLE_GLOBAL, .text = text, .size = size });
}

/* The text up to the end of the line, which is taken too. */
static const char *take_line(struct machine *m, size_t *n)
{
    const uint8_t *begin = m->in.at;
    const uint8_t *end = memchr(begin, '\n', vlm_bytes_left(&m->in));
    *n = end ? (size_t)(end - begin) : 0;
    return (const char *)vlm_bytes_take(&m->in, end ? *n + 1 : vlm_bytes_left(&m->in) + 1);
}

static int run_global(struct machine *m, int argument)
{
    (void)argument;
    size_t module_size, name_size;
    const char *module = take_line(m, &module_size);
    const char *name = take_line(m, &name_size);
    if (!name)
        return VLM_OK; /* m->in.bad says it */
    return push_global(m, module, module_size, name, name_size);
}

static int run_stack_global(struct machine *m, int argument)
{
    (void)argument;
    struct vlm_pickle_value **names = need(m, 2);
    if (!names)
        return VLM_EFORMAT;
    if (names[0]->kind != VLM_PICKLE_TEXT || names[1]->kind != VLM_PICKLE_TEXT)
        return vlm_fail(m->err, VLM_EFORMAT, "it names a global by something that is no text");
    m->depth -= 2;
    return push_global(m, names[0]->text, names[0]->size, names[1]->text, names[1]->size);
}

/* OrderedDict(), or OrderedDict([(key, value), ...]) as Python 2 writes it. */
static int push_dictionary(struct machine *m, const struct vlm_pickle_value *arguments)
{
    int rc = run_constant(m, VLM_PICKLE_DICT);
    struct vlm_pickle_value *to = rc == VLM_OK ? m->stack[m->depth - 1] : NULL;
    const struct vlm_pickle_item *pair =
        arguments->count && arguments->first->value->kind == VLM_PICKLE_LIST
            ? arguments->first->value->first
            : NULL;
    for (; rc == VLM_OK && pair; pair = pair->next) {
        const struct vlm_pickle_value *both = pair->value;
        if ((both->kind != VLM_PICKLE_LIST && both->kind != VLM_PICKLE_TUPLE) || both->count != 2)
            return vlm_fail(m->err, VLM_EFORMAT, "an OrderedDict is made of no pairs");
        rc = add(m, to, (struct vlm_pickle_value *)both->first->value,
                 (struct vlm_pickle_value *)both->last->value);
    }
    return rc;
}

static int run_reduce(struct machine *m, int argument)
{
    (void)argument;
    struct vlm_pickle_value **call = need(m, 2);
    if (!call)
        return VLM_EFORMAT;
    if (call[1]->kind != VLM_PICKLE_TUPLE)
        return vlm_fail(m->err, VLM_EFORMAT, "it calls something without a tuple of arguments");
    m->depth -= 2;
    if (vlm_pickle_is(call[0], VLM_PICKLE_GLOBAL, "collections OrderedDict"))
        return push_dictionary(m, call[1]);
    if (call[0]->kind != VLM_PICKLE_GLOBAL)
        return run_constant(m, VLM_PICKLE_OPAQUE);
    return push_new(m, (struct vlm_pickle_value){
                           .kind = VLM_PICKLE_CALL, .callee = call[0], .arguments = call[1] });
}

/* An object of a class with n arguments, class included. */
static int run_object(struct machine *m, int n)
{
    if (!need(m, (size_t)n))
        return VLM_EFORMAT;
    m->depth -= (size_t)n;
    return run_constant(m, VLM_PICKLE_OPAQUE);
}

/* The state of an object: attributes, which no dictionary of tensors needs. */
static int run_build(struct machine *m, int argument)
{
    (void)argument;
    if (!need(m, 2))
        return VLM_EFORMAT;
    m->depth--;
    return VLM_OK;
}

static int run_persistent(struct machine *m, int argument)
{
    (void)argument;
    struct vlm_pickle_value **id = need(m, 1);
    if (!id)
        return VLM_EFORMAT;
    m->depth--;
    return push_new(m,
                    (struct vlm_pickle_value){ .kind = VLM_PICKLE_PERSISTENT, .arguments = id[0] });
}

/* Bytes of the next frame: a hint for readers of streams. */
static int run_frame(struct machine *m, int argument)
{
    (void)argument;
    if (vlm_bytes_u64(&m->in) > vlm_bytes_left(&m->in))
        m->in.bad = true;
    return VLM_OK;
}

static int run_stop(struct machine *m, int argument)
{
    (void)argument;
    if (m->depth != 1 || !m->stack[0])
        return vlm_fail(m->err, VLM_EFORMAT, "it ends with %zu values instead of one", m->depth);
    if (vlm_bytes_left(&m->in))
        return vlm_fail(m->err, VLM_EFORMAT, "%zu bytes follow its end", vlm_bytes_left(&m->in));
    m->pickle->top = m->stack[0];
    m->stopped = true;
    return VLM_OK;
}

static const struct {
    opcode_runner run;
    int argument;
} opcodes[256] = {
    ['('] = { run_mark, 0 },
    ['.'] = { run_stop, 0 },
    ['0'] = { run_pop, 0 },
    ['1'] = { run_pop_mark, 0 },
    ['N'] = { run_constant, VLM_PICKLE_NONE },
    [0x88] = { run_bool, 1 }, /* NEWTRUE */
    [0x89] = { run_bool, 0 },
    ['J'] = { run_int, -4 },
    ['K'] = { run_int, 1 },
    ['M'] = { run_int, 2 },
    [0x8a] = { run_long, 1 }, /* LONG1 */
    [0x8b] = { run_long, 4 },
    ['G'] = { run_float, 8 },
    ['U'] = { run_text, 1 }, /* of Python 2 */
    ['T'] = { run_text, 4 },
    [0x8c] = { run_text, 1 }, /* SHORT_BINUNICODE */
    ['X'] = { run_text, 4 },
    [0x8d] = { run_text, 8 },
    ['C'] = { run_bytes, 1 },
    ['B'] = { run_bytes, 4 },
    [0x8e] = { run_bytes, 8 }, /* BINBYTES8 */
    [0x96] = { run_bytes, 8 }, /* BYTEARRAY8 */
    [')'] = { run_tuple, 0 },
    [0x85] = { run_tuple, 1 }, /* TUPLE1 */
    [0x86] = { run_tuple, 2 },
    [0x87] = { run_tuple, 3 },
    ['t'] = { run_tuple, -1 },
    [']'] = { run_constant, VLM_PICKLE_LIST },
    ['a'] = { run_add_one, VLM_PICKLE_LIST },
    ['e'] = { run_add_many, VLM_PICKLE_LIST },
    ['}'] = { run_constant, VLM_PICKLE_DICT },
    ['s'] = { run_add_one, VLM_PICKLE_DICT },
    ['u'] = { run_add_many, VLM_PICKLE_DICT },
    [0x8f] = { run_constant, VLM_PICKLE_OPAQUE }, /* EMPTY_SET */
    [0x90] = { run_add_many, VLM_PICKLE_OPAQUE }, /* ADDITEMS */
    [0x91] = { run_frozen_set, 0 },
    ['q'] = { run_put, 1 },
    ['r'] = { run_put, 4 },
    [0x94] = { run_put, 0 }, /* MEMOIZE */
    ['h'] = { run_get, 1 },
    ['j'] = { run_get, 4 },
    ['c'] = { run_global, 0 },
    [0x93] = { run_stack_global, 0 },
    [0x82] = { run_extension, 1 }, /* EXT1 */
    [0x83] = { run_extension, 2 },
    [0x84] = { run_extension, 4 },
    ['R'] = { run_reduce, 0 },
    [0x81] = { run_object, 2 }, /* NEWOBJ */
    [0x92] = { run_object, 3 }, /* NEWOBJ_EX */
    ['b'] = { run_build, 0 },
    ['Q'] = { run_persistent, 0 },
    [0x95] = { run_frame, 0 },
};

static int run_all(struct machine *m, const uint8_t *begin)
{
    struct vlm_bytes *in = &m->in;
    unsigned first = vlm_bytes_u8(in), protocol = vlm_bytes_u8(in);
    if (in->bad || first != OPCODE_PROTO || protocol < 2 || protocol > 5)
        return vlm_fail(m->err, VLM_EFORMAT, "it does not begin as a pickle of protocol 2 to 5");
    while (!m->stopped) {
        size_t place = (size_t)(in->at - begin);
        unsigned opcode = vlm_bytes_u8(in);
        int rc = VLM_OK;
        if (!in->bad && !opcodes[opcode].run)
            rc = vlm_fail(m->err, VLM_EFORMAT, "opcode 0x%02x is none that torch.save() writes",
                          opcode);
        else if (!in->bad)
            rc = opcodes[opcode].run(m, opcodes[opcode].argument);
        if (in->bad) /* before rc: a value that was cut may have made it wrong */
            rc = vlm_fail(m->err, VLM_EFORMAT, "it is cut: its %zu bytes end inside a value",
                          (size_t)(in->end - begin));
        if (rc != VLM_OK)
            return m->err ? vlm_wrap(m->err, "at byte %zu of the pickle", place) : rc;
    }
    return VLM_OK;
}

int vlm_pickle_init(struct vlm_pickle *pickle, const uint8_t *bytes, size_t size,
                    struct vlm_err *err)
{
    *pickle = (struct vlm_pickle){ 0 };
    if (size > VLM_PICKLE_MAX)
        return vlm_fail(err, VLM_ELIMIT, "a pickle of %zu bytes is over the limit of %zu", size,
                        VLM_PICKLE_MAX);
    vlm_arena_init(&pickle->memory, VLM_PICKLE_MEMORY_MAX);
    struct machine m = { .pickle = pickle, .in = { bytes, bytes + size, false }, .err = err };
    int rc = run_all(&m, bytes);
    free(m.stack);
    free(m.memo);
    if (rc != VLM_OK)
        vlm_pickle_release(pickle);
    return rc;
}

void vlm_pickle_release(struct vlm_pickle *pickle)
{
    vlm_arena_release(&pickle->memory);
    pickle->top = NULL;
}

bool vlm_pickle_is(const struct vlm_pickle_value *value, enum vlm_pickle_kind kind,
                   const char *text)
{
    return value->kind == kind && value->size == strlen(text) &&
           !memcmp(value->text, text, value->size);
}
