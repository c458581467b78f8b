/* pickle.h - a Python pickle as data: what it would build, without building it.
 *
 *   struct vlm_pickle pickle;
 *   int rc = vlm_pickle_init(&pickle, bytes, size, &err);
 *   if (rc == VLM_OK && pickle.top->kind == VLM_PICKLE_DICT)
 *       for (const struct vlm_pickle_item *i = pickle.top->first; i; i = i->next)
 *           use(i->key, i->value);
 *   vlm_pickle_release(&pickle);
 *
 * A pickle is a program for a stack machine: it can name any function of Python and call it. Here
 * nothing can be called. A name is a value that says the name, a call is a value that says what would
 * have been called with what; only collections.OrderedDict() is known, and is a dictionary. Other
 * objects are opaque: what is done to them afterwards is read and dropped.
 *
 * Values may be shared, and lists and dictionaries may contain themselves: who walks over them must
 * count. Memory is limited (VLM_PICKLE_* in base/limits.h), time is linear in the size. */
#ifndef VLM_VQGAN_PICKLE_H
#define VLM_VQGAN_PICKLE_H

#include "base/arena.h"

enum vlm_pickle_kind {
    VLM_PICKLE_NONE,
    VLM_PICKLE_BOOL,
    VLM_PICKLE_INT,
    VLM_PICKLE_TEXT,
    VLM_PICKLE_TUPLE,
    VLM_PICKLE_LIST,
    VLM_PICKLE_DICT,
    VLM_PICKLE_GLOBAL,     /* text: "module name" */
    VLM_PICKLE_CALL,       /* of the global `callee` with a tuple */
    VLM_PICKLE_PERSISTENT, /* something outside the pickle, arguments say which */
    VLM_PICKLE_OPAQUE,     /* floats, bytes, sets, long numbers, objects */
};

struct vlm_pickle_item {
    const struct vlm_pickle_value *key; /* NULL: of a tuple or a list */
    const struct vlm_pickle_value *value;
    struct vlm_pickle_item *next;
};

struct vlm_pickle_value {
    enum vlm_pickle_kind kind;
    bool busy; /* for who walks: it is on the path from the top */
    union {
        int64_t number; /* INT, BOOL */
        size_t size;    /* TEXT, GLOBAL: of text, in bytes */
        size_t count;   /* TUPLE, LIST, DICT: of items */
    };
    union {
        const char *text;              /* not checked: any bytes, also NUL */
        struct vlm_pickle_item *first; /* in the order of insertion; a key may occur twice */
        const struct vlm_pickle_value *callee;
    };
    union {
        struct vlm_pickle_item *last;
        const struct vlm_pickle_value *arguments; /* CALL: a tuple; PERSISTENT: any value */
    };
};

struct vlm_pickle {
    struct vlm_arena memory;
    struct vlm_pickle_value *top;
};

/* Reads all of bytes, which must live as long as the pickle: texts point into them. Protocols 2 to
 * 5. On failure *pickle is released, and err says at which byte and why. */
VLM_MUST_CHECK int vlm_pickle_init(struct vlm_pickle *pickle, const uint8_t *bytes, size_t size,
                                   struct vlm_err *err);
void vlm_pickle_release(struct vlm_pickle *pickle);

/* Whether the value is this text, or the global of this "module name". */
bool vlm_pickle_is(const struct vlm_pickle_value *value, enum vlm_pickle_kind kind,
                   const char *text);

#endif
