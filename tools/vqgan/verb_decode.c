/* verb_decode.c - vlm-vqgan decode: lines of codes into PNG files.
 *
 * A few lines for each thread are read, decoded and written together; what is wrong with one is said in
 * the order of lines and costs that line alone. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/progress.h"
#include "nn/pool.h"
#include "tools/common/signals.h"
#include "tools/vqgan/vqgan.h"

enum { LINES_A_THREAD = 8, PRECISIONS = 3 };
#define LINE_MAX_BYTES (1 * VLM_MIB)

struct line {
    struct vlm_buffer text;
    uint64_t number; /* from 1 */
    bool too_long;
    int rc;
    struct vlm_err err;
};

struct decoding {
    const char *model, *folder;
    int precision;
    int64_t threads;
    int progress_mode;
    bool quiet;
    struct vlm_coders coders;
    char ids[PRECISIONS][VLM_TOKENIZER_ID_SIZE]; /* of the same weights */
    struct line *lines;
    size_t count;
    uint64_t done, bad;
    struct vlm_progress progress;
};

/* Codes do not depend on the precision in which they were found: whose ids are taken for this model. */
static int find_ids(struct decoding *decoding, struct vlm_err *err)
{
    for (int i = 0; i < PRECISIONS; i++) {
        struct vlm_tokenizer *tokenizer;
        int rc = vlm_tokenizer_open(&tokenizer, decoding->model, (enum vlm_precision)i, err);
        if (rc < 0)
            return rc;
        snprintf(decoding->ids[i], VLM_TOKENIZER_ID_SIZE, "%s", vlm_tokenizer_info(tokenizer).id);
        vlm_tokenizer_close(tokenizer);
    }
    return VLM_OK;
}

static int check_tokenizer(const struct decoding *decoding, json_object *root, struct vlm_err *err)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(root, "tokenizer", &value) || !value)
        return VLM_OK;
    const char *id =
        json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "no string";
    for (int i = 0; i < PRECISIONS; i++)
        if (!strcmp(id, decoding->ids[i]))
            return VLM_OK;
    return vlm_fail(err, VLM_EFORMAT, "codes of the tokenizer '%.64s', this is '%s'", id,
                    decoding->ids[decoding->precision]);
}

static int read_code(uint16_t *code, json_object *value, size_t i, size_t size, struct vlm_err *err)
{
    *code = VLM_CODE_UNKNOWN;
    if (!value)
        return VLM_OK;
    if (!json_object_is_type(value, json_type_int))
        return vlm_fail(err, VLM_EFORMAT, "code %zu is neither a whole number nor null", i);
    int64_t number = json_object_get_int64(value);
    if (number < 0 || (uint64_t)number >= size)
        return vlm_fail(err, VLM_EFORMAT, "code %zu is %" PRId64 ", expected 0 to %zu", i, number,
                        size - 1);
    *code = (uint16_t)number;
    return VLM_OK;
}

static int read_codes(uint16_t codes[VLM_CODES], json_object *root, size_t size,
                      struct vlm_err *err)
{
    json_object *list = NULL, *error = NULL;
    int rc = VLM_OK;
    if (!json_object_is_type(root, json_type_object))
        return vlm_fail(err, VLM_EFORMAT, "expected an object with the member codes");
    bool there = json_object_object_get_ex(root, "codes", &list);
    if (json_object_object_get_ex(root, "error", &error) && !list)
        return vlm_fail(err, VLM_EFORMAT, "no codes: its picture was not encoded (%.64s)",
                        error ? json_object_get_string(error) : "null");
    if (!there || !json_object_is_type(list, json_type_array))
        return vlm_fail(err, VLM_EFORMAT, "codes is %s, expected a list of %d numbers",
                        there ? "no list" : "absent", VLM_CODES);
    if (json_object_array_length(list) != VLM_CODES)
        return vlm_fail(err, VLM_EFORMAT, "%zu codes, expected %d", json_object_array_length(list),
                        VLM_CODES);
    for (size_t i = 0; rc == VLM_OK && i < VLM_CODES; i++)
        rc = read_code(&codes[i], json_object_array_get_idx(list, i), i, size, err);
    return rc;
}

static int parse(const struct decoding *decoding, uint16_t codes[VLM_CODES],
                 const struct line *line, struct vlm_err *err)
{
    json_object *root = NULL;
    if (line->too_long)
        return vlm_fail(err, VLM_EFORMAT, "longer than %zu bytes", LINE_MAX_BYTES);
    int rc = vlm_json_parse(&root, (const char *)line->text.data, line->text.size, err);
    if (rc == VLM_OK)
        rc = check_tokenizer(decoding, root, err);
    if (rc == VLM_OK)
        rc = read_codes(codes, root, vlm_tokenizer_info(decoding->coders.tokenizer).codebook_size,
                        err);
    json_object_put(root);
    return rc < 0 ? vlm_recode(err, VLM_EFORMAT) : rc;
}

static int write_picture(const struct decoding *decoding, const struct line *line,
                         const uint8_t *square, struct vlm_err *err)
{
    struct vlm_buffer png = { 0 };
    char name[32];
    snprintf(name, sizeof(name), "%06" PRIu64 ".png", line->number - 1);
    char *path = vlm_path_join(decoding->folder, name);
    int rc = vlm_rgb_to_png(&png, square, VLM_SQUARE_SIDE, VLM_SQUARE_SIDE, err);
    if (rc == VLM_OK)
        rc = vlm_file_write(path, png.data, png.size, err);
    vlm_buffer_release(&png);
    free(path);
    return rc;
}

static void decode_line(void *context, size_t task, size_t worker)
{
    struct decoding *decoding = context;
    struct line *line = &decoding->lines[task];
    uint16_t codes[VLM_CODES];
    uint8_t square[VLM_SQUARE_BYTES];
    line->err = (struct vlm_err){ 0 };
    line->rc = parse(decoding, codes, line, &line->err);
    if (line->rc == VLM_OK)
        line->rc = vlm_coder_decode(decoding->coders.coder[worker], square, codes, 1, &line->err);
    if (line->rc == VLM_OK)
        line->rc = write_picture(decoding, line, square, &line->err);
}

static int finish_lines(struct decoding *decoding, struct vlm_pool *pool, struct vlm_err *err)
{
    char text[80], count[VLM_FORMAT_SIZE];
    int rc = VLM_OK;
    vlm_pool_run(pool, decoding->count, decode_line, decoding);
    for (size_t i = 0; rc == VLM_OK && i < decoding->count; i++) {
        struct line *line = &decoding->lines[i];
        decoding->done++;
        if (line->rc == VLM_EFORMAT) {
            decoding->bad++;
            vlm_progress_end(&decoding->progress);
            fprintf(stderr, "vlm-vqgan: line %" PRIu64 ": %s\n", line->number, line->err.msg);
        } else if (line->rc < 0) {
            *err = line->err;
            rc = line->rc;
        }
    }
    decoding->count = 0;
    snprintf(text, sizeof(text), "decode  %s pictures",
             vlm_format_count(count, (double)decoding->done));
    vlm_progress_update(&decoding->progress, -1, text);
    return rc;
}

/* The next line that is not empty; what is over the limit is read and forgotten. */
static int next_line(struct line *line, FILE *in, const char *name, uint64_t *number,
                     struct vlm_err *err)
{
    int c;
    vlm_buffer_reset(&line->text);
    line->too_long = false;
    while ((c = getc_unlocked(in)) != EOF) {
        if (c == '\n' && line->text.size)
            break;
        if (c == '\n') {
            ++*number;
            continue;
        }
        line->too_long |= line->text.size >= LINE_MAX_BYTES;
        if (!line->too_long)
            vlm_buffer_byte(&line->text, (uint8_t)c);
    }
    if (ferror(in))
        return vlm_fail_errno(err, errno, "cannot read '%s'", name);
    if (line->text.failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a line");
    line->number = ++*number;
    return line->text.size ? VLM_OK : VLM_EOF;
}

static int decode_all(struct decoding *decoding, FILE *in, const char *name, struct vlm_err *err)
{
    const volatile sig_atomic_t *stop = vlm_catch_signals();
    struct vlm_pool *pool = NULL;
    size_t capacity = decoding->coders.count * LINES_A_THREAD;
    uint64_t number = 0;
    int rc = vlm_pool_new(&pool, decoding->coders.count, err);
    decoding->lines = calloc(capacity, sizeof(*decoding->lines));
    if (rc == VLM_OK && !decoding->lines)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu lines", capacity);
    while (rc == VLM_OK) {
        rc = next_line(&decoding->lines[decoding->count], in, name, &number, err);
        if (rc == VLM_OK && ++decoding->count == capacity)
            rc = finish_lines(decoding, pool, err);
        if (rc == VLM_OK && *stop)
            rc = vlm_fail(err, VLM_ESTOPPED, "stopped by a signal");
    }
    if (rc == VLM_EOF)
        rc = finish_lines(decoding, pool, err);
    for (size_t i = 0; decoding->lines && i < capacity; i++)
        vlm_buffer_release(&decoding->lines[i].text);
    free(decoding->lines);
    vlm_pool_free(pool);
    return rc;
}

static int run(struct decoding *decoding, const char *name, struct vlm_err *err)
{
    bool from_stdin = !name || !strcmp(name, "-");
    FILE *in = from_stdin ? stdin : fopen(name, "r");
    if (!in)
        return vlm_fail_errno(err, errno, "cannot read '%s'", name);
    int rc =
        vlm_coders_open(&decoding->coders, decoding->model, (enum vlm_precision)decoding->precision,
                        (size_t)decoding->threads, err);
    if (rc == VLM_OK)
        rc = find_ids(decoding, err);
    if (rc == VLM_OK)
        rc = vlm_folder_make(decoding->folder, err);
    vlm_progress_init(&decoding->progress, decoding->progress_mode, decoding->quiet);
    if (rc == VLM_OK)
        rc = decode_all(decoding, in, from_stdin ? "standard input" : name, err);
    vlm_progress_end(&decoding->progress);
    if (!from_stdin)
        fclose(in);
    return rc;
}

int vlm_vqgan_decode(int argc, char **argv)
{
    struct decoding decoding = { .precision = VLM_PRECISION_EXACT };
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('o', "output", &decoding.folder, "DIR", "folder for the PNG files"),
        VLM_OPTION_STRING('m', "model", &decoding.model, "MODEL",
                          "the tokenizer; without, the one in the program"),
        VLM_OPTION_CHOICE(0, "precision", &decoding.precision, VLM_PRECISION_WORDS,
                          "of the computation"),
        VLM_OPTION_NUMBER('j', "threads", &decoding.threads, "N", "0: all cores", 0, 1024),
        VLM_OPTION_CHOICE(0, "progress", &decoding.progress_mode, VLM_PROGRESS_WORDS,
                          "how progress is shown"),
        VLM_OPTION_FLAG('q', "quiet", &decoding.quiet, "no progress"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-vqgan decode",
        .synopsis = "[FILE.jsonl] -o DIR [-m MODEL] [options]",
        .summary =
            "Turns codes back into pictures: DIR/000000.png for the first line, and so on. A\n"
            "line is as encode prints it, or just {\"codes\": [...]} with 256 numbers; null\n"
            "instead of a number leaves that place grey. Without FILE, from standard input.\n"
            "A line that is wrong costs no other; the exit status is then 3.",
        .examples = "  vlm-vqgan encode a.jpg b.jpg | vlm-vqgan decode -o back\n"
                    "  vlm-vqgan decode codes.jsonl -m vq -o back\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .quiet = &decoding.quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc > 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "give one file of lines");
    if (rc == VLM_OK && !decoding.folder)
        rc = vlm_fail(&err, VLM_EUSAGE, "no output given: use -o DIR");
    if (rc == VLM_OK)
        rc = run(&decoding, argc == 2 ? argv[1] : NULL, &err);
    vlm_coders_close(&decoding.coders);
    int status = vlm_tool_end_caught(&tool, rc, &err);
    return status == VLM_EXIT_DONE && decoding.bad ? VLM_EXIT_BAD_INPUT : status;
}
