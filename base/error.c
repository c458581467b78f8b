/* error.c - sentences about failures: written where the cause is known, wrapped by callers.
 *
 * The only printing here is vlm_bug(), for states that our own code should have made impossible. */
#include "base/vlm.h"

static int write_sentence(struct vlm_err *err, int code, const char *format, va_list args)
    VLM_PRINTF(3, 0);
static int write_sentence(struct vlm_err *err, int code, const char *format, va_list args)
{
    if (err) {
        err->code = code;
        vsnprintf(err->msg, sizeof(err->msg), format, args);
    }
    return code;
}

int vlm_fail(struct vlm_err *err, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_sentence(err, code, format, args);
    va_end(args);
    return code;
}

int vlm_fail_errno(struct vlm_err *err, int number, const char *format, ...)
{
    /* A full disk is a limit that the user can lift; LMDB and short writes report it as EIO too. */
    int code = number == ENOSPC || number == EDQUOT || number == EFBIG ? VLM_ELIMIT : VLM_EFAIL;
    if (!err)
        return code;
    va_list args;
    va_start(args, format);
    write_sentence(err, code, format, args);
    va_end(args);
    size_t used = strlen(err->msg);
    snprintf(err->msg + used, sizeof(err->msg) - used, ": %s", strerror(number));
    return code;
}

int vlm_recode(struct vlm_err *err, int code)
{
    if (err)
        err->code = code;
    return code;
}

int vlm_append(struct vlm_err *err, const char *text)
{
    size_t used = strlen(err->msg);
    snprintf(err->msg + used, sizeof(err->msg) - used, "%s", text);
    return err->code;
}

int vlm_wrap(struct vlm_err *err, const char *format, ...)
{
    if (!err)
        return VLM_EFAIL;
    char context[sizeof(err->msg)];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof(context), format, args);
    va_end(args);
    /* A sentence cut at 1023 bytes still says what is wrong. */
    size_t room = sizeof(err->msg), n = strlen(context), old = strlen(err->msg);
    size_t separator = VLM_MIN(room - 1 - n, 2);
    size_t kept = VLM_MIN(old, room - 1 - n - separator);
    memmove(err->msg + n + separator, err->msg, kept);
    memcpy(err->msg + n, ": ", separator);
    memcpy(err->msg, context, n);
    err->msg[n + separator + kept] = 0;
    return err->code;
}

int vlm_exit_status(int result)
{
    switch (result) {
    case VLM_OK:
    case VLM_EOF:
        return VLM_EXIT_DONE;
    case VLM_EUSAGE:
        return VLM_EXIT_USAGE;
    case VLM_ELIMIT:
    case VLM_ENOMEM:
        return VLM_EXIT_LIMIT;
    case VLM_EDIFFER:
        return VLM_EXIT_DIFFERS;
    default:
        return VLM_EXIT_FAILED;
    }
}

void vlm_bug(const char *file, int line, const char *condition)
{
    fprintf(stderr, "bug in vlm: %s:%d: %s\n", file, line, condition);
    abort();
}
