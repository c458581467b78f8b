/* inspect_trace.c - vlm-inspect trace: from a place of a rendering, or a token, back to the crawl. */
#include "base/vlm.h"

#include "base/limits.h"
#include "base/option.h"
#include "base/random.h"
#include "tools/common/print.h"
#include "tools/inspect/document_json.h"
#include "tools/common/find_document.h"
#include "tools/inspect/inspect.h"
#include "tools/inspect/trace_codes.h"
#include "tools/inspect/trace_tokens.h"

enum { ID_SIZE = VLM_ID_DIGITS + 1, RANDOM_MAX = 1000000, STREAM_TRACE = 0x7472 };

/* A token of the set, by the number of its document. */
struct drawn {
    uint64_t document;
    uint32_t token;
};

struct tracing {
    const char *folder;
    const char *image_tokenizer, *tokenizer;
    int form;
    bool main_only;
    int64_t random, seed;
    struct vlm_crawl crawl;

    char id[ID_SIZE];
    bool by_token;
    uint64_t first, last; /* byte, or tokens */

    struct vlm_set *set;
    struct vlm_document *document;
    struct vlm_arena arena, page_arena;
    struct vlm_buffer rendering, line;
    struct vlm_origin origin;
    struct vlm_trace trace;
    struct vlm_crawl_page page;
    struct vlm_trace_tokens tokens;
    struct vlm_trace_codes codes;
    struct drawn *drawn;
};

/* -- Arguments ---------------------------------------------------------------------------------- */

/* Decimal digits at *p, which moves behind them. */
static bool read_number(const char **p, uint64_t *number)
{
    char *end;
    if (**p < '0' || **p > '9')
        return false;
    errno = 0;
    *number = strtoull(*p, &end, 10);
    *p = end;
    return errno == 0;
}

/* "ID:OFFSET", "ID#TOKEN" or "ID#FIRST-LAST" */
static int read_place(struct tracing *tracing, const char *operand, struct vlm_err *err)
{
    size_t n = strspn(operand, "0123456789abcdef");
    const char *p = operand + n;
    tracing->by_token = *p == '#';
    bool fine = (*p == ':' || *p == '#') && n < ID_SIZE && (p++, read_number(&p, &tracing->first));
    tracing->last = tracing->first;
    if (fine && tracing->by_token && *p == '-')
        fine = (p++, read_number(&p, &tracing->last)) && tracing->last >= tracing->first;
    if (!fine || *p)
        return vlm_fail(err, VLM_EUSAGE,
                        "'%s' is no place: give ID:OFFSET, a document and a byte of its rendering, "
                        "or ID#TOKEN",
                        operand);
    memcpy(tracing->id, operand, n);
    tracing->id[n] = 0;
    return VLM_OK;
}

/* -- One document ------------------------------------------------------------------------------- */

static enum vlm_render form_of(const struct tracing *tracing)
{
    return (enum vlm_render)(VLM_RENDER_CM3 + tracing->form);
}

static unsigned render_flags(const struct tracing *tracing)
{
    bool main_only = tracing->main_only || vlm_manifest_has_profile(vlm_set_manifest(tracing->set));
    unsigned flags = main_only ? VLM_RENDER_MAIN : 0;
    /* Sequences leave out images that have no codes; renderings say <image:N>. */
    return tracing->by_token || tracing->random ? flags | VLM_RENDER_CODED : flags;
}

static int open_tokens(struct tracing *tracing, struct vlm_err *err)
{
    const struct vlm_set_tokenizer *codes;
    int rc = vlm_set_tokenizer(tracing->set, tracing->image_tokenizer, &codes, err);
    return rc == VLM_OK ? vlm_trace_tokens_open(&tracing->tokens, tracing->tokenizer,
                                                codes ? (uint32_t)codes->codebook_size : 0, err)
                        : rc;
}

/* Renders the document, and looks its page up in the crawl. */
static int open_document(struct tracing *tracing, struct vlm_err *err)
{
    const enum vlm_render form = form_of(tracing);
    vlm_buffer_reset(&tracing->rendering);
    vlm_render_traced(&tracing->rendering, tracing->document, form, render_flags(tracing),
                      &tracing->origin);
    if (tracing->rendering.failed || tracing->origin.failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory to render '%s'", tracing->document->url);
    tracing->trace = (struct vlm_trace){
        .document = tracing->document,
        .form = form,
        .rendering = (const char *)tracing->rendering.data,
        .size = (uint32_t)tracing->rendering.size,
        .origin = &tracing->origin,
    };
    if (!tracing->crawl.path)
        return VLM_OK;
    vlm_arena_reset(&tracing->page_arena);
    tracing->trace.page = &tracing->page;
    return vlm_crawl_page_read(&tracing->page, &tracing->crawl, tracing->document,
                               &tracing->page_arena, err);
}

static int add_codes(struct tracing *tracing, struct vlm_err *err)
{
    return vlm_set_add_codes(tracing->set, tracing->image_tokenizer, tracing->document,
                             &tracing->arena, err);
}

static int make_sequence(struct tracing *tracing, struct vlm_err *err)
{
    return vlm_trace_tokens_render(&tracing->tokens, tracing->document, form_of(tracing),
                                   render_flags(tracing), err);
}

/* -- Lines -------------------------------------------------------------------------------------- */

static int print_line(struct tracing *tracing, struct vlm_err *err)
{
    struct vlm_buffer *line = &tracing->line;
    vlm_buffer_byte(line, '\n');
    int rc = vlm_print(line, err);
    vlm_buffer_reset(line);
    return rc;
}

/* The record of the image whose code stands at a place. */
static int find_image(struct tracing *tracing, const struct vlm_place *place, struct vlm_err *err)
{
    const struct vlm_document *document = tracing->document;
    const struct vlm_set_tokenizer *codes;
    tracing->trace.image = NULL;
    if (!tracing->crawl.path || !place->codes)
        return VLM_OK;
    tracing->codes.crawl = tracing->crawl.path;
    const struct vlm_event *event = &document->events[place->event];
    int rc = vlm_set_tokenizer(tracing->set, tracing->image_tokenizer, &codes, err);
    if (rc == VLM_OK)
        rc = vlm_trace_codes_find(&tracing->codes, document->images[event->start].sha256,
                                  codes ? codes->id : "", err);
    if (rc == VLM_OK && tracing->codes.found)
        tracing->trace.image = &tracing->codes.record;
    return rc;
}

/* The code that the picture in the crawl gives, as a token. */
static void write_code(struct vlm_json *json, const struct tracing *tracing, size_t i, int code)
{
    if (!tracing->trace.image || !tracing->codes.has_codes)
        return;
    uint32_t id = tracing->tokens.vocabulary.first_code + tracing->codes.codes[code];
    vlm_json_key(json, "ids");
    vlm_json_open(json, '[');
    vlm_json_number(json, id);
    vlm_json_close(json, ']');
    vlm_json_key(json, "same");
    vlm_json_bool(json, id == tracing->tokens.sequence.ids[i]);
}

static int trace_byte(struct tracing *tracing, struct vlm_err *err)
{
    const struct vlm_trace *trace = &tracing->trace;
    struct vlm_json json = { .out = &tracing->line };
    if (tracing->first >= trace->size)
        return vlm_fail(err, VLM_EFAIL, "the rendering of '%s' has %" PRIu32 " bytes",
                        trace->document->url, trace->size);
    struct vlm_place place = vlm_trace_byte(trace, (uint32_t)tracing->first);
    int rc = find_image(tracing, &place, err);
    if (rc != VLM_OK)
        return rc;
    vlm_json_open(&json, '{');
    vlm_trace_json_begin(&json, trace, &place);
    vlm_trace_json_page(&json, trace, &place, vlm_trace_code(trace, &place));
    vlm_trace_json_record(&json, trace);
    vlm_json_close(&json, '}');
    return print_line(tracing, err);
}

static int trace_token(struct tracing *tracing, size_t i, struct vlm_err *err)
{
    const struct vlm_trace *trace = &tracing->trace;
    struct vlm_json json = { .out = &tracing->line };
    int code;
    struct vlm_place place = vlm_trace_token(&tracing->tokens, trace, i, &code);
    int rc = find_image(tracing, &place, err);
    if (rc != VLM_OK)
        return rc;
    vlm_json_open(&json, '{');
    vlm_trace_json_begin(&json, trace, &place);
    vlm_trace_json_token(&json, &tracing->tokens, i);
    vlm_trace_json_page(&json, trace, &place, code);
    if (code >= 0)
        write_code(&json, tracing, i, code);
    rc = vlm_trace_json_ids(&json, &tracing->tokens, trace, &place, i, err);
    vlm_trace_json_record(&json, trace);
    vlm_json_close(&json, '}');
    return rc == VLM_OK ? print_line(tracing, err) : rc;
}

static int trace_tokens(struct tracing *tracing, struct vlm_err *err)
{
    int rc = open_tokens(tracing, err);
    if (rc == VLM_OK)
        rc = make_sequence(tracing, err);
    if (rc == VLM_SKIP) {
        vlm_recode(err, VLM_EFAIL);
        return vlm_wrap(err, "'%s' has no sequence", tracing->document->url);
    }
    if (rc == VLM_OK && tracing->last >= tracing->tokens.sequence.n)
        rc = vlm_fail(err, VLM_EFAIL, "the sequence of '%s' has %zu tokens", tracing->document->url,
                      tracing->tokens.sequence.n);
    for (uint64_t i = tracing->first; rc == VLM_OK && i <= tracing->last; i++)
        rc = trace_token(tracing, (size_t)i, err);
    return rc;
}

static int trace_place(struct tracing *tracing, const char *operand, struct vlm_err *err)
{
    int rc = read_place(tracing, operand, err);
    if (rc == VLM_OK)
        rc = vlm_find_document(&tracing->set, &tracing->document, tracing->folder, tracing->id,
                               &tracing->arena, err);
    if (rc == VLM_OK)
        rc = add_codes(tracing, err);
    if (rc == VLM_OK)
        rc = open_document(tracing, err);
    if (rc == VLM_OK)
        rc = tracing->by_token ? trace_tokens(tracing, err) : trace_byte(tracing, err);
    return rc;
}

/* -- Random tokens ------------------------------------------------------------------------------ */

static int compare_drawn(const void *a, const void *b)
{
    const struct drawn *x = a, *y = b;
    if (x->document != y->document)
        return x->document < y->document ? -1 : 1;
    return (x->token > y->token) - (x->token < y->token);
}

static int next_document(struct tracing *tracing, struct vlm_err *err)
{
    vlm_arena_reset(&tracing->arena);
    int rc = vlm_set_next(tracing->set, &tracing->document, &tracing->arena, err);
    return rc == VLM_OK ? add_codes(tracing, err) : rc;
}

/* Draws from all tokens of the set, each as likely as any other (reservoir sampling). *n gets how many
 * were drawn. */
static int draw_tokens(struct tracing *tracing, size_t *n, struct vlm_err *err)
{
    const size_t wanted = (size_t)tracing->random;
    struct vlm_random random = vlm_random_at((uint64_t)tracing->seed, STREAM_TRACE, 0);
    uint64_t seen = 0;
    int rc = vlm_set_open(&tracing->set, tracing->folder, err);
    if (rc == VLM_OK)
        rc = open_tokens(tracing, err);
    for (uint64_t document = 0; rc == VLM_OK; document++) {
        if ((rc = next_document(tracing, err)) == VLM_OK)
            rc = make_sequence(tracing, err);
        for (uint32_t i = 0; rc == VLM_OK && i < tracing->tokens.sequence.n; i++) {
            uint64_t at = seen < wanted ? seen : vlm_random_below(&random, seen + 1);
            if (at < wanted)
                tracing->drawn[at] = (struct drawn){ document, i };
            seen++;
        }
        rc = rc == VLM_SKIP ? VLM_OK : rc;
    }
    if (rc != VLM_EOF)
        return rc;
    *n = (size_t)VLM_MIN(seen, (uint64_t)wanted);
    if (!*n)
        return vlm_fail(err, VLM_EFAIL, "'%s' has no tokens in this form", tracing->folder);
    qsort(tracing->drawn, *n, sizeof(*tracing->drawn), compare_drawn);
    return VLM_OK;
}

static int trace_random(struct tracing *tracing, struct vlm_err *err)
{
    size_t n = 0;
    tracing->drawn = calloc((size_t)tracing->random, sizeof(*tracing->drawn));
    if (!tracing->drawn)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %" PRId64 " tokens", tracing->random);
    int rc = draw_tokens(tracing, &n, err);
    if (rc != VLM_OK)
        return rc;
    vlm_set_close(tracing->set);
    tracing->set = NULL;
    rc = vlm_set_open(&tracing->set, tracing->folder, err);
    size_t i = 0;
    for (uint64_t document = 0; rc == VLM_OK && i < n; document++) {
        rc = next_document(tracing, err);
        if (rc == VLM_OK && tracing->drawn[i].document != document)
            continue;
        if (rc == VLM_OK)
            rc = make_sequence(tracing, err);
        if (rc == VLM_OK)
            rc = open_document(tracing, err);
        for (; rc == VLM_OK && i < n && tracing->drawn[i].document == document; i++)
            rc = trace_token(tracing, tracing->drawn[i].token, err);
    }
    return rc;
}

/* -- The verb ----------------------------------------------------------------------------------- */

static int run(struct tracing *tracing, const char *operand, struct vlm_err *err)
{
    vlm_arena_init(&tracing->arena, 4 * (size_t)VLM_GIB);
    vlm_arena_init(&tracing->page_arena, 4 * (size_t)VLM_GIB);
    int rc = operand ? trace_place(tracing, operand, err) : trace_random(tracing, err);
    vlm_trace_tokens_release(&tracing->tokens);
    vlm_trace_codes_release(&tracing->codes);
    vlm_crawl_release(&tracing->crawl);
    vlm_origin_release(&tracing->origin);
    vlm_buffer_release(&tracing->rendering);
    vlm_buffer_release(&tracing->line);
    vlm_set_close(tracing->set);
    free(tracing->drawn);
    vlm_arena_release(&tracing->arena);
    vlm_arena_release(&tracing->page_arena);
    return rc;
}

int vlm_inspect_trace(int argc, char **argv)
{
    struct tracing tracing = { .seed = 1 };
    const struct vlm_option table[] = {
        VLM_OPTION_CHOICE(0, "render", &tracing.form, VLM_RENDER_WORDS_BUT_JSON,
                          "form of the rendering"),
        VLM_OPTION_STRING(0, "crawl", &tracing.crawl.path, "PATH",
                          "folder that the set was built from, or the one file: open the record"),
        VLM_OPTION_STRING('t', "tokenizer", &tracing.tokenizer, "TOKENIZER",
                          "whose tokens are meant; else those of the shipped one"),
        VLM_OPTION_NUMBER(0, "random", &tracing.random, "N", "N random tokens of the set", 1,
                          RANDOM_MAX),
        VLM_OPTION_NUMBER(0, "seed", &tracing.seed, "N", "another seed, other tokens", 0,
                          INT64_MAX),
        VLM_OPTION_STRING(0, "image-tokenizer", &tracing.image_tokenizer, "ID",
                          "whose codes stand in cm3 and htlm; else those of the set's first"),
        VLM_OPTION_STRING('m', "model", &tracing.codes.model, "MODEL",
                          "folder of the image tokenizer of these codes; else the shipped one"),
        VLM_OPTION_FLAG(0, "main", &tracing.main_only,
                        "only the main content in text, m3w and pair"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-inspect trace",
        .synopsis = "OUT ID:OFFSET|ID#TOKEN [options]\n       vlm-inspect trace OUT --random N "
                    "[options]",
        .summary =
            "Tells where a byte of a document's rendering, or a token of its sequence, comes "
            "from: which\nevent, which bytes of the decoded page, which record of the "
            "crawl. ID#FIRST-LAST: a line for\neach of these tokens.",
        .examples = "  vlm-inspect trace out 5f0c1a:4711\n"
                    "  vlm-inspect trace out 5f0c1a:4711 --render m3w --crawl crawl\n"
                    "  vlm-inspect trace out 5f0c1a#100-120 --crawl crawl\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc != (tracing.random ? 2 : 3))
        rc = vlm_fail(&err, VLM_EUSAGE,
                      tracing.random ? "give one shard set"
                                     : "give one shard set and a place in one of its documents");
    if (rc == VLM_OK) {
        tracing.folder = argv[1];
        rc = run(&tracing, tracing.random ? NULL : argv[2], &err);
    }
    return vlm_tool_end(&tool, rc, &err);
}
