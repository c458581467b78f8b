/* tokenize_encode.c - vlm-tokenize encode: lines of text into lines of ids. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tools/tokenize/text_lines.h"
#include "tools/tokenize/tokenize.h"

/* An id as it is printed: digits, then in the last byte how many. */
enum { ID_BYTES = 8, OFFSET_DIGITS = 10 };

struct encoding {
    struct vlm_text_workers workers;
    char (
        *printed)[ID_BYTES]; /* of each id: turning numbers into digits cost a tenth of all time */
    unsigned flags;
    bool jsonl;
};

static int print_all_ids(struct encoding *encoding, struct vlm_err *err)
{
    _Static_assert(VLM_PIECES_MAX < 10000000, "ids have at most 7 digits");
    const uint32_t n = vlm_text_tokenizer_size(encoding->workers.tokenizer);
    encoding->printed = calloc((size_t)n + 1, sizeof(*encoding->printed));
    if (!encoding->printed)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %" PRIu32 " ids", n);
    for (uint32_t id = 0; id < n; id++) {
        char digits[16] = "";
        int size = snprintf(digits, sizeof(digits), "%" PRIu32, id);
        memcpy(encoding->printed[id], digits, ID_BYTES - 1);
        encoding->printed[id][ID_BYTES - 1] = (char)size;
    }
    return VLM_OK;
}

static int add_ids(struct vlm_buffer *out, const struct encoding *encoding,
                   const struct vlm_tokens *tokens, struct vlm_err *err)
{
    char *start = (char *)vlm_buffer_reserve(out, (tokens->n + 1) * ID_BYTES), *to = start;
    if (!start)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu ids", tokens->n);
    for (size_t i = 0; i < tokens->n; i++) {
        const char *printed = encoding->printed[tokens->ids[i]];
        memcpy(to, printed, ID_BYTES);
        to += printed[ID_BYTES - 1];
        *to++ = ' ';
    }
    to -= tokens->n > 0; /* no space behind the last */
    *to++ = '\n';
    out->size += (size_t)(to - start);
    return VLM_OK;
}

static char *put(char *to, const char *text, size_t n)
{
    memcpy(to, text, n);
    return to + n;
}

static char *put_offset(char *to, uint32_t value)
{
    char digits[OFFSET_DIGITS];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return put(to, digits + at, sizeof(digits) - at);
}

/* {"ids": [1, 2], "offsets": [[0, 3], [3, 4]]} as vlm_json_...() would write it, in half the time. */
static int add_object(struct vlm_buffer *out, const struct encoding *encoding,
                      const struct vlm_tokens *tokens, struct vlm_err *err)
{
    static const char begin[] = "{\"ids\": [", middle[] = "], \"offsets\": [", end[] = "]}\n";
    const size_t most = ID_BYTES + 1 + 2 * (OFFSET_DIGITS + 3); /* of a token */
    char *start = (char *)vlm_buffer_reserve(out, tokens->n * most + 64), *to = start;
    if (!start)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu ids", tokens->n);
    to = put(to, begin, sizeof(begin) - 1);
    for (size_t i = 0; i < tokens->n; i++) {
        const char *printed = encoding->printed[tokens->ids[i]];
        memcpy(to, printed, ID_BYTES);
        to = put(to + printed[ID_BYTES - 1], ", ", 2);
    }
    to = put(to - (tokens->n ? 2 : 0), middle, sizeof(middle) - 1);
    const char *last = NULL; /* digits of the offset where the last token ended */
    size_t n_last = 0;
    for (size_t i = 0; i < tokens->n; i++) {
        const struct vlm_token_span *span = &tokens->spans[i];
        *to++ = '[';
        to = i && span->start == span[-1].end ? put(to, last, n_last) : put_offset(to, span->start);
        last = to = put(to, ", ", 2);
        to = put_offset(to, span->end);
        n_last = (size_t)(to - last);
        to = put(to, "], ", 3);
    }
    to = put(to - (tokens->n ? 2 : 0), end, sizeof(end) - 1);
    out->size += (size_t)(to - start);
    return VLM_OK;
}

static int encode_line(void *context, size_t number, char *text, size_t n, struct vlm_buffer *out,
                       struct vlm_err *err)
{
    struct encoding *encoding = context;
    struct vlm_text_worker *worker = &encoding->workers.list[number];
    const char *part = text;
    int rc = encoding->jsonl ? vlm_line_text(&part, &n, text, n, err) : VLM_OK;
    worker->tokens.n = 0;
    if (rc == VLM_OK)
        rc = vlm_text_encode(worker->encoder, &worker->tokens, part, n, encoding->flags, err);
    if (rc != VLM_OK)
        return rc == VLM_ELIMIT ? vlm_recode(err, VLM_EFORMAT) : rc;
    return encoding->jsonl ? add_object(out, encoding, &worker->tokens, err)
                           : add_ids(out, encoding, &worker->tokens, err);
}

int vlm_tokenize_encode(int argc, char **argv)
{
    struct encoding encoding = { .jsonl = false };
    struct vlm_line_job job = {
        .tool = "vlm-tokenize", .work = encode_line, .context = &encoding, .what = "encode"
    };
    struct vlm_progress progress;
    const char *tokenizer = NULL;
    bool special = false, quiet = false;
    int64_t threads = 0;
    int progress_mode = VLM_PROGRESS_AUTO;
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('t', "tokenizer", &tokenizer, "TOKENIZER", VLM_TOKENIZER_HELP),
        VLM_OPTION_FLAG(0, "jsonl", &encoding.jsonl,
                        "lines are {\"text\": ...}; print {\"ids\", \"offsets\"}"),
        VLM_OPTION_FLAG(0, "special", &special,
                        "words of special tokens in the text become these tokens"),
        VLM_OPTION_NUMBER('j', "threads", &threads, "N", "0: all cores", 0, 1024),
        VLM_OPTION_CHOICE(0, "progress", &progress_mode, VLM_PROGRESS_WORDS,
                          "how progress is shown"),
        VLM_OPTION_FLAG('q', "quiet", &quiet, "no progress"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-tokenize encode",
        .synopsis = "[FILE] [-t TOKENIZER] [options]",
        .summary =
            "Turns each line of text into a line of ids with one space between them; no token is "
            "added. The line end is not part of the text. Without FILE, from standard input.\n\n"
            "With --jsonl, offsets are the bytes of the text (as UTF-8) at which each token begins "
            "and ends. A line that is wrong costs itself alone: {\"error\": ...} stands in its "
            "place, and the exit status is 3.",
        .examples = "  echo 'a photo of a bridge' | vlm-tokenize encode\n"
                    "  vlm-tokenize encode -t gpt2/tokenizer.json book.txt >book.ids\n"
                    "  vlm-tokenize encode --jsonl pages.jsonl | vlm-tokenize decode --jsonl\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .quiet = &quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc > 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "give one file of lines");
    if (rc == VLM_OK)
        rc = vlm_text_workers_open(&encoding.workers, tokenizer, (size_t)threads, &err);
    if (rc == VLM_OK)
        rc = print_all_ids(&encoding, &err);
    for (size_t i = 0; rc == VLM_OK && i < encoding.workers.n; i++)
        encoding.workers.list[i].tokens.with_spans = encoding.jsonl;
    encoding.flags = special ? VLM_TEXT_SPECIALS : 0;
    job.pool = encoding.workers.pool;
    job.json = encoding.jsonl;
    job.progress = &progress;
    vlm_progress_init(&progress, progress_mode, quiet);
    if (rc == VLM_OK)
        rc = vlm_lines_run(&job, argc == 2 ? argv[1] : NULL, &err);
    vlm_progress_end(&progress);
    free(encoding.printed);
    vlm_text_workers_close(&encoding.workers);
    return vlm_lines_end(&job, &tool, rc, &err);
}
