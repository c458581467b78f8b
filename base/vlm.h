/* vlm.h - what every .c file includes first: results, errors, small macros.
 *
 *   int vlm_thing_read(struct vlm_thing *t, struct vlm_err *err)
 *   {
 *       if (t->size > VLM_THING_MAX)
 *           return vlm_fail(err, VLM_SKIP, "thing of %zu bytes is over the limit", t->size);
 *       ...
 *   }
 *
 * A function that can fail returns one of the codes below and writes one sentence into err where
 * the cause is known: lower case, no full stop, the problem first. Callers put context in front of
 * it with vlm_wrap(). Libraries never print and never exit.
 */
#ifndef VLM_BASE_VLM_H
#define VLM_BASE_VLM_H

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VLM_VERSION "0.1.0"

enum vlm_result {
    VLM_OK = 0,
    VLM_EOF = 1,      /* the iteration has ended */
    VLM_SKIP = 2,     /* this item is unusable; go on with the next */
    VLM_EFAIL = -1,   /* input or output failed, or a library did */
    VLM_EUSAGE = -2,  /* wrong option, configuration or combination of both */
    VLM_EFORMAT = -3, /* bytes do not follow their format */
    VLM_ELIMIT = -4,  /* over a limit: memory, disk, time */
    VLM_ENOMEM = -5,
    VLM_EDIFFER = -6,  /* a checksum or a count disagrees with what is stored */
    VLM_ESTOPPED = -7, /* a signal asked to stop; what was committed stays */
};

/* Exit statuses of all programs. */
enum vlm_exit {
    VLM_EXIT_DONE = 0,
    VLM_EXIT_FAILED = 1,
    VLM_EXIT_USAGE = 2,
    VLM_EXIT_BAD_INPUT = 3,
    VLM_EXIT_NOTHING = 4,
    VLM_EXIT_DIFFERS = 5,
    VLM_EXIT_LIMIT = 6,
};

/* One sentence about what went wrong; owned by the caller, zero it to begin. */
struct vlm_err {
    int code;
    char msg[1024];
};

#define VLM_MUST_CHECK        __attribute__((warn_unused_result))
#define VLM_PRINTF(at, first) __attribute__((format(printf, at, first)))
#define VLM_COUNTOF(array)    (sizeof(array) / sizeof((array)[0]))
#define VLM_MIN(a, b)         ((a) < (b) ? (a) : (b))
#define VLM_MAX(a, b)         ((a) > (b) ? (a) : (b))

/* Writes the sentence into err (which may be NULL) and returns code. */
int vlm_fail(struct vlm_err *err, int code, const char *format, ...) VLM_PRINTF(3, 4);

/* Puts "context: " in front of the sentence in err and returns its code. */
int vlm_wrap(struct vlm_err *err, const char *format, ...) VLM_PRINTF(2, 3);

/* Gives the sentence in err another code, for a caller to whom it means more or less; returns code. */
int vlm_recode(struct vlm_err *err, int code);

/* Appends advice to the sentence in err and returns its code. */
int vlm_append(struct vlm_err *err, const char *text);

/* Like vlm_fail, for a failed system call: appends ": " and the text of the errno value number. */
int vlm_fail_errno(struct vlm_err *err, int number, const char *format, ...) VLM_PRINTF(3, 4);

/* The exit status that a program ends with for a result. */
int vlm_exit_status(int result);

/* Our own mistakes only, never bytes from outside: prints the place and aborts, in every build. */
#define VLM_BUG_IF(condition)                                                                      \
    do {                                                                                           \
        if (condition)                                                                             \
            vlm_bug(__FILE__, __LINE__, #condition);                                               \
    } while (0)
void vlm_bug(const char *file, int line, const char *condition) __attribute__((noreturn));

#pragma GCC poison strcpy strcat sprintf strtok atoi
#endif
