/* tokenize_decode.c - vlm-tokenize decode: lines of ids back into lines of text. */
#include "base/vlm.h"

#include "base/json.h"
#include "base/json_scan.h"
#include "base/utf8.h"
#include "tools/tokenize/text_lines.h"
#include "tools/tokenize/tokenize.h"

struct decoding {
    struct vlm_text_workers workers;
    struct vlm_buffer *text; /* [2 * workers.n] of a line, and repaired; for --jsonl */
    unsigned flags;
    bool jsonl;
};

static int add_id(struct vlm_tokens *tokens, uint64_t id, uint32_t size, struct vlm_err *err)
{
    if (id >= size)
        return vlm_fail(err, VLM_EFORMAT,
                        "id number %zu is %" PRIu64 ", this tokenizer has 0 to %" PRIu32,
                        tokens->n + 1, id, size - 1);
    if (!vlm_tokens_reserve(tokens, 1))
        return vlm_fail(err, VLM_ENOMEM, "no memory for ids");
    tokens->ids[tokens->n++] = (uint32_t)id;
    return VLM_OK;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Quotes the word at byte i, which may hold anything. */
static int no_id(const char *text, size_t i, size_t n, struct vlm_err *err)
{
    char word[41];
    size_t k = 0;
    for (; k + 1 < sizeof(word) && i + k < n && !is_blank(text[i + k]); k++)
        word[k] = text[i + k] >= ' ' && text[i + k] <= '~' ? text[i + k] : '?';
    word[k] = 0;
    return vlm_fail(err, VLM_EFORMAT, "'%s' at byte %zu is no id", word, i);
}

static int read_ids(struct vlm_tokens *tokens, const char *text, size_t n, uint32_t size,
                    struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < n;) {
        if (is_blank(text[i])) {
            i++;
            continue;
        }
        size_t end = i;
        uint64_t id = 0;
        for (; end < n && text[end] >= '0' && text[end] <= '9'; end++)
            id = id > UINT64_MAX / 100 ? UINT64_MAX : 10 * id + (uint64_t)(text[end] - '0');
        if (end == i || id == UINT64_MAX || (end < n && !is_blank(text[end]))) {
            return no_id(text, i, n, err);
        }
        rc = add_id(tokens, id, size, err);
        i = end;
    }
    return rc;
}

static int read_object(struct vlm_tokens *tokens, char *text, size_t n, uint32_t size,
                       struct vlm_err *err)
{
    struct vlm_json_scan in;
    bool found = false, failed = false;
    int rc = VLM_OK;
    vlm_json_scan_init(&in, text, n);
    vlm_json_scan_open(&in, '{');
    while (rc == VLM_OK && vlm_json_scan_more(&in, '}')) {
        const char *key = vlm_json_scan_key(&in);
        failed |= !strcmp(key, "error");
        if (strcmp(key, "ids") != 0) {
            vlm_json_scan_skip(&in);
            continue;
        }
        if (found)
            return vlm_fail(err, VLM_EFORMAT, "a second member 'ids'");
        found = true;
        vlm_json_scan_open(&in, '[');
        while (rc == VLM_OK && vlm_json_scan_more(&in, ']')) {
            uint64_t id = vlm_json_scan_number(&in);
            if (!in.problem)
                rc = add_id(tokens, id, size, err);
        }
    }
    if (rc != VLM_OK)
        return rc;
    vlm_json_scan_end(&in);
    if (in.problem)
        return vlm_fail(err, VLM_EFORMAT, "byte %zu of the JSON: %s", in.offset, in.problem);
    if (!found)
        return vlm_fail(err, VLM_EFORMAT,
                        failed ? "no ids: the line was not encoded" : "no member 'ids'");
    return VLM_OK;
}

/* A few bytes of ids can be a piece of a thousand: no line of text is longer than a line may be. */
static int check_size(const struct vlm_text_tokenizer *tokenizer, const struct vlm_tokens *tokens,
                      struct vlm_err *err)
{
    size_t size = 0;
    for (size_t i = 0; i < tokens->n; i++) {
        struct vlm_bytes piece = vlm_text_tokenizer_piece(tokenizer, tokens->ids[i]);
        size += piece.at ? vlm_bytes_left(&piece) : 0;
    }
    if (size > VLM_LINE_MAX)
        return vlm_fail(err, VLM_EFORMAT, "%zu bytes of text, at most %zu are written", size,
                        VLM_LINE_MAX);
    return VLM_OK;
}

/* Bytes at p that begin a character and go no further, at least 1: what becomes one U+FFFD (Unicode
 * 15, 3.9, "maximal subpart"). */
static size_t broken_size(const uint8_t *p, size_t n)
{
    size_t bytes = p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : 1;
    uint8_t low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    size_t i = 1;
    for (; i < VLM_MIN(bytes, n) && p[i] >= low && p[i] <= high; i++) {
        low = 0x80;
        high = 0xbf;
    }
    return i;
}

/* U+FFFD as the package has them, not one a byte as in other JSON of ours. */
static void repair(struct vlm_buffer *to, const uint8_t *text, size_t n)
{
    vlm_buffer_reset(to);
    for (size_t at = 0; at < n;) {
        size_t valid = vlm_utf8_valid_prefix((const char *)text + at, n - at);
        vlm_buffer_add(to, text + at, valid);
        at += valid;
        if (at < n) {
            vlm_buffer_text(to, VLM_UTF8_REPLACEMENT);
            at += broken_size(text + at, n - at);
        }
    }
}

static int decode_line(void *context, size_t number, char *line, size_t n, struct vlm_buffer *out,
                       struct vlm_err *err)
{
    struct decoding *decoding = context;
    const struct vlm_text_tokenizer *tokenizer = decoding->workers.tokenizer;
    struct vlm_tokens *tokens = &decoding->workers.list[number].tokens;
    struct vlm_buffer *text = decoding->jsonl ? &decoding->text[2 * number] : out;
    const uint32_t size = vlm_text_tokenizer_size(tokenizer);
    tokens->n = 0;
    int rc = decoding->jsonl ? read_object(tokens, line, n, size, err)
                             : read_ids(tokens, line, n, size, err);
    if (rc == VLM_OK)
        rc = check_size(tokenizer, tokens, err);
    if (decoding->jsonl)
        vlm_buffer_reset(text);
    if (rc == VLM_OK)
        rc = vlm_text_decode(tokenizer, text, tokens->ids, tokens->n, decoding->flags, err);
    if (rc != VLM_OK)
        return rc == VLM_ELIMIT ? vlm_recode(err, VLM_EFORMAT) : rc;
    if (text->failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a line of text");
    if (decoding->jsonl) {
        struct vlm_json json = { .out = out };
        if (vlm_utf8_valid_prefix((const char *)text->data, text->size) < text->size) {
            repair(text + 1, text->data, text->size);
            text++;
        }
        vlm_json_open(&json, '{');
        vlm_json_key(&json, "text");
        vlm_json_text(&json, (const char *)text->data, text->size);
        vlm_json_close(&json, '}');
    }
    vlm_buffer_byte(out, '\n');
    return text->failed ? vlm_fail(err, VLM_ENOMEM, "no memory for a line of text") : VLM_OK;
}

int vlm_tokenize_decode(int argc, char **argv)
{
    struct decoding decoding = { .jsonl = false };
    struct vlm_line_job job = {
        .tool = "vlm-tokenize",
        .work = decode_line,
        .context = &decoding,
        .what = "decode",
        .max_line = VLM_IDS_LINE_MAX,
    };
    struct vlm_progress progress;
    const char *tokenizer = NULL;
    bool special = false, quiet = false;
    int64_t threads = 0;
    int progress_mode = VLM_PROGRESS_AUTO;
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('t', "tokenizer", &tokenizer, "TOKENIZER", VLM_TOKENIZER_HELP),
        VLM_OPTION_FLAG(0, "jsonl", &decoding.jsonl,
                        "lines are {\"ids\": [...]}; print {\"text\": ...}"),
        VLM_OPTION_FLAG(0, "special", &special, "write the words of special tokens too"),
        VLM_OPTION_NUMBER('j', "threads", &threads, "N", "0: all cores", 0, 1024),
        VLM_OPTION_CHOICE(0, "progress", &progress_mode, VLM_PROGRESS_WORDS,
                          "how progress is shown"),
        VLM_OPTION_FLAG('q', "quiet", &quiet, "no progress"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-tokenize decode",
        .synopsis = "[FILE] [-t TOKENIZER] [options]",
        .summary = "Turns each line of ids back into a line of text. Without FILE, from standard "
                   "input.\n\n"
                   "Ids may stand for a line end: the line of text is then two. With --jsonl it is "
                   "one, and "
                   "bytes that are not UTF-8 are U+FFFD. A line that is wrong costs itself alone: "
                   "an empty "
                   "line, or {\"error\": ...}, stands in its place, and the exit status is 3.",
        .examples = "  echo 'a photo of a bridge' | vlm-tokenize encode | vlm-tokenize decode\n"
                    "  vlm-tokenize decode -t gpt2/tokenizer.json book.ids\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .quiet = &quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc > 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "give one file of lines");
    if (rc == VLM_OK)
        rc = vlm_text_workers_open(&decoding.workers, tokenizer, (size_t)threads, &err);
    decoding.text = calloc(2 * decoding.workers.n + 1, sizeof(*decoding.text));
    if (rc == VLM_OK && !decoding.text)
        rc = vlm_fail(&err, VLM_ENOMEM, "no memory for %zu threads", decoding.workers.n);
    decoding.flags = special ? VLM_TEXT_SPECIALS : 0;
    job.pool = decoding.workers.pool;
    job.json = decoding.jsonl;
    job.progress = &progress;
    vlm_progress_init(&progress, progress_mode, quiet);
    if (rc == VLM_OK)
        rc = vlm_lines_run(&job, argc == 2 ? argv[1] : NULL, &err);
    vlm_progress_end(&progress);
    for (size_t i = 0; decoding.text && i < 2 * decoding.workers.n; i++)
        vlm_buffer_release(&decoding.text[i]);
    free(decoding.text);
    vlm_text_workers_close(&decoding.workers);
    return vlm_lines_end(&job, &tool, rc, &err);
}
