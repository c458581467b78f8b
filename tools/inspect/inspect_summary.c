/* inspect_summary.c - vlm-inspect summary: a shard set on one screen.
 *
 * The report comes from the manifest; the distributions are counted over the documents. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/option.h"
#include "base/progress.h"
#include "shard/parts/set.h"
#include "tokenize/html/url.h"
#include "tools/inspect/inspect.h"
#include "tools/inspect/report_text.h"

#include <math.h>

enum { TALLY_MAX = 4096, SHOWN = 8 };

/* Counts by name; names beyond TALLY_MAX go into the last, "(others)". */
struct tally_entry {
    char *name;
    uint64_t count;
};

struct tally {
    struct tally_entry entry[TALLY_MAX];
    size_t n;
};

/* How the images of a set use the codebook of one tokenizer. An image in two parts counts twice. */
struct code_usage {
    uint64_t images, used; /* used: different codes */
    double perplexity;     /* exp of the entropy in nats: K when all codes are equally frequent */
};

struct distributions {
    struct code_usage codes[VLM_SET_TOKENIZERS_MAX];
    struct tally lang, charset, host, format, status;
    uint64_t documents, text_bytes, images, images_per_document[4]; /* 0, 1, 2-5, more */
};

static void count(struct tally *tally, const char *name, size_t n)
{
    static const char others[] = "(others)";
    for (size_t i = 0; i < tally->n; i++)
        if (!strncmp(tally->entry[i].name, name, n) && !tally->entry[i].name[n]) {
            tally->entry[i].count++;
            return;
        }
    if (tally->n == TALLY_MAX - 1)
        name = others, n = strlen(others);
    if (tally->n == TALLY_MAX) {
        tally->entry[TALLY_MAX - 1].count++;
        return;
    }
    char *copy = strndup(name, n);
    if (!copy)
        return;
    tally->entry[tally->n].name = copy;
    tally->entry[tally->n++].count = 1;
}

static int compare_counts(const void *a, const void *b)
{
    const struct tally_entry *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return strcmp(x->name, y->name);
}

static void write_tally(const struct tally *tally, struct vlm_json *json, const char *key)
{
    vlm_json_key(json, key);
    vlm_json_open(json, '{');
    for (size_t i = 0; i < tally->n; i++)
        vlm_json_member_number(json, tally->entry[i].name, tally->entry[i].count);
    vlm_json_close(json, '}');
}

static void add_document(struct distributions *all, const struct vlm_document *document)
{
    size_t n;
    const char *host = vlm_url_host(document->url, &n);
    count(&all->host, n ? host : "(none)", n ? n : strlen("(none)"));
    const char *lang = *document->lang ? document->lang : "(unknown)";
    count(&all->lang, lang, strlen(lang));
    count(&all->charset, document->charset, strlen(document->charset));
    all->documents++;
    all->images += document->n_images;
    size_t k = document->n_images;
    all->images_per_document[k < 2 ? k : k < 6 ? 2 : 3]++;
    for (size_t i = 0; i < document->n_images; i++) {
        const struct vlm_document_image *image = &document->images[i];
        const char *status = vlm_image_status_name((enum vlm_image_status)image->status);
        const char *format = vlm_image_format_name((enum vlm_image_format)image->format);
        count(&all->status, status, strlen(status));
        if (image->width)
            count(&all->format, format, strlen(format));
    }
    for (size_t i = 0; i < document->n_events; i++)
        if (document->events[i].kind == VLM_EVENT_TEXT)
            all->text_bytes += document->events[i].length;
}

static int count_part(uint64_t *count, struct code_usage *usage, const char *path,
                      const char *database, struct vlm_err *err)
{
    struct vlm_part_reader *part;
    struct vlm_bytes key, value;
    int rc = vlm_part_open(&part, path, err);
    while (rc == VLM_OK && (rc = vlm_part_next(part, database, &key, &value, err)) == VLM_OK) {
        uint16_t codes[VLM_CODES] = { 0 };
        if (vlm_bytes_left(&value) != VLM_CODES_BYTES)
            rc = vlm_fail(err, VLM_EFORMAT, "'%s': %s: codes of %zu bytes, expected %d", path,
                          database, vlm_bytes_left(&value), VLM_CODES_BYTES);
        else
            vlm_codes_decode(codes, value.at);
        for (size_t i = 0; rc == VLM_OK && i < VLM_CODES; i++)
            count[codes[i]]++;
        usage->images += rc == VLM_OK;
    }
    vlm_part_close(part);
    return rc == VLM_EOF ? VLM_OK : rc;
}

static int count_codes(struct code_usage *usage, const char *folder,
                       const struct vlm_manifest *manifest, const char *id, struct vlm_err *err)
{
    uint64_t *count = calloc(UINT16_MAX + 1, sizeof(*count));
    char name[VLM_CODES_NAME_SIZE];
    double entropy = 0;
    int rc = count ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory to count codes");
    for (size_t i = 0; rc == VLM_OK && i < manifest->n_parts; i++) {
        char *path = vlm_path_join(folder, manifest->parts[i].name);
        rc = count_part(count, usage, path, vlm_codes_name(name, id), err);
        free(path);
    }
    for (size_t k = 0; rc == VLM_OK && k <= UINT16_MAX; k++) {
        if (!count[k])
            continue;
        double share = (double)count[k] / ((double)usage->images * VLM_CODES);
        entropy -= share * log(share);
        usage->used++;
    }
    usage->perplexity = usage->images ? exp(entropy) : 0;
    free(count);
    return rc;
}

static void print_tally(const struct tally *tally, const char *title)
{
    printf("%-12s", title);
    for (size_t i = 0; i < tally->n && i < SHOWN; i++)
        printf("%s%s %" PRIu64, i ? " · " : "", tally->entry[i].name, tally->entry[i].count);
    if (tally->n > SHOWN)
        printf(" · %zu more", tally->n - SHOWN);
    printf("\n");
}

static void print_for_people(const char *folder, const struct vlm_manifest *manifest,
                             const struct distributions *all)
{
    char bytes[VLM_FORMAT_SIZE];
    uint64_t size = 0;
    for (size_t i = 0; i < manifest->n_parts; i++)
        size += manifest->parts[i].size;
    printf("%s: %zu part%s, %s\n\n", folder, manifest->n_parts, manifest->n_parts == 1 ? "" : "s",
           vlm_format_bytes(bytes, (double)size));
    vlm_print_report(stdout, manifest->report);
    printf("\n");
    for (size_t i = 0; i < manifest->tokenizers.n; i++) {
        const struct vlm_set_tokenizer *it = &manifest->tokenizers.list[i];
        const struct code_usage *usage = &all->codes[i];
        printf("%-12s%s: %" PRIu64 " images, %" PRIu64 " of %" PRIu64
               " codes used, perplexity %.1f\n",
               "codes", it->id, usage->images, usage->used, it->codebook_size, usage->perplexity);
    }
    print_tally(&all->format, "formats");
    printf("%-12snone %" PRIu64 " · one %" PRIu64 " · 2 to 5 %" PRIu64 " · more %" PRIu64 "\n",
           "images/page", all->images_per_document[0], all->images_per_document[1],
           all->images_per_document[2], all->images_per_document[3]);
    printf("%-12s%s\n", "text", vlm_format_bytes(bytes, (double)all->text_bytes));
    print_tally(&all->lang, "languages");
    print_tally(&all->charset, "charsets");
    print_tally(&all->host, "hosts");
}

static void print_json(const struct vlm_manifest *manifest, const struct distributions *all)
{
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    vlm_json_open(&json, '{');
    vlm_json_key(&json, "report");
    vlm_json_value(&json, manifest->report);
    vlm_json_key(&json, "distributions");
    vlm_json_open(&json, '{');
    write_tally(&all->status, &json, "references");
    write_tally(&all->format, &json, "formats");
    write_tally(&all->lang, &json, "languages");
    write_tally(&all->charset, &json, "charsets");
    write_tally(&all->host, &json, "hosts");
    vlm_json_member_number(&json, "text_bytes", all->text_bytes);
    vlm_json_key(&json, "codes");
    vlm_json_open(&json, '{');
    for (size_t i = 0; i < manifest->tokenizers.n; i++) {
        const struct vlm_set_tokenizer *it = &manifest->tokenizers.list[i];
        vlm_json_key(&json, it->id);
        vlm_json_open(&json, '{');
        vlm_json_member_number(&json, "images", all->codes[i].images);
        vlm_json_key(&json, "usage");
        vlm_json_real(&json, (double)all->codes[i].used / (double)it->codebook_size);
        vlm_json_key(&json, "perplexity");
        vlm_json_real(&json, all->codes[i].perplexity);
        vlm_json_close(&json, '}');
    }
    vlm_json_close(&json, '}');
    vlm_json_close(&json, '}');
    vlm_json_close(&json, '}');
    printf("%.*s\n", (int)out.size, (const char *)out.data);
    vlm_buffer_release(&out);
}

static void release(struct tally *tally)
{
    for (size_t i = 0; i < tally->n; i++)
        free(tally->entry[i].name);
}

static int summarise(const char *folder, bool as_json, struct vlm_err *err)
{
    struct vlm_set *set = NULL;
    struct vlm_document *document;
    struct vlm_arena arena;
    struct distributions *all = calloc(1, sizeof(*all));
    if (!all)
        return vlm_fail(err, VLM_ENOMEM, "no memory for the distributions");
    vlm_arena_init(&arena, VLM_GIB);
    int rc = vlm_set_open(&set, folder, err);
    while (rc == VLM_OK && (rc = vlm_set_next(set, &document, &arena, err)) == VLM_OK) {
        add_document(all, document);
        vlm_arena_reset(&arena);
    }
    for (size_t i = 0; rc == VLM_EOF && i < vlm_set_manifest(set)->tokenizers.n; i++) {
        const struct vlm_manifest *manifest = vlm_set_manifest(set);
        int counted =
            count_codes(&all->codes[i], folder, manifest, manifest->tokenizers.list[i].id, err);
        rc = counted < 0 ? counted : rc;
    }
    struct tally *tallies[] = { &all->lang, &all->charset, &all->host, &all->format, &all->status };
    for (size_t i = 0; i < VLM_COUNTOF(tallies); i++)
        qsort(tallies[i]->entry, tallies[i]->n, sizeof(tallies[i]->entry[0]), compare_counts);
    if (rc == VLM_EOF && as_json)
        print_json(vlm_set_manifest(set), all);
    else if (rc == VLM_EOF)
        print_for_people(folder, vlm_set_manifest(set), all);
    for (size_t i = 0; i < VLM_COUNTOF(tallies); i++)
        release(tallies[i]);
    vlm_set_close(set);
    vlm_arena_release(&arena);
    free(all);
    return rc == VLM_EOF ? VLM_OK : rc;
}

int vlm_inspect_summary(int argc, char **argv)
{
    bool json = false, quiet = false;
    const struct vlm_option table[] = {
        VLM_OPTION_FLAG(0, "json", &json, "the manifest's report and the distributions as JSON"),
        VLM_OPTION_FLAG('q', "quiet", &quiet, "only errors"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-inspect summary",
        .synopsis = "OUT [options]",
        .summary =
            "Shows what a shard set holds: counts, reasons, codes, formats, languages, hosts.",
        .examples =
            "  vlm-inspect summary out\n  vlm-inspect summary out --json | jq .distributions\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &json,
        .quiet = &quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc != 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "give one shard set");
    if (rc == VLM_OK)
        rc = summarise(argv[1], json, &err);
    return vlm_tool_end(&tool, rc, &err);
}
