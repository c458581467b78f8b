/* report_text.c - what came in, what was kept, and why the rest was not, by frequency. */
#include "base/vlm.h"

#include "tools/inspect/report_text.h"

enum { REASONS_MAX = 64 };

struct reason {
    const char *name;
    int64_t count;
};

static int compare(const void *a, const void *b)
{
    const struct reason *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return strcmp(x->name, y->name);
}

static void print_reasons(FILE *out, const char *lead, json_object *reasons)
{
    struct reason list[REASONS_MAX];
    size_t n = 0;
    if (!json_object_is_type(reasons, json_type_object))
        return;
    json_object_object_foreach(reasons, name, count)
    {
        if (n < REASONS_MAX)
            list[n++] = (struct reason){ name, json_object_get_int64(count) };
    }
    qsort(list, n, sizeof(list[0]), compare);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%s%s %" PRId64, i ? ", " : lead, list[i].name, list[i].count);
}

static int64_t number(json_object *object, const char *key)
{
    return json_object_get_int64(json_object_object_get(object, key));
}

static void print_items(FILE *out, json_object *report, const char *what)
{
    json_object *items = json_object_object_get(report, what);
    fprintf(out, "%-12s%" PRId64 " in, %" PRId64 " kept", what, number(items, "in"),
            number(items, "kept"));
    print_reasons(out, "; skipped: ", json_object_object_get(items, "skipped"));
    fprintf(out, "\n");
}

void vlm_print_report(FILE *out, json_object *report)
{
    json_object *records = json_object_object_get(report, "records");
    json_object *images = json_object_object_get(report, "images");
    fprintf(out, "%-12s%" PRId64 " in, %" PRId64 " damaged", "records", number(records, "in"),
            number(records, "damaged"));
    print_reasons(out, ": ", json_object_object_get(records, "damage"));
    fprintf(out, "\n");
    print_items(out, report, "documents");
    print_items(out, report, "images");
    int64_t referenced = number(images, "referenced"), joined = number(images, "joined");
    fprintf(out, "%-12s%" PRId64 " images on kept pages, %" PRId64 " found in the crawl (%.1f%%)",
            "join", referenced, joined,
            referenced ? 100.0 * (double)joined / (double)referenced : 0.0);
    print_reasons(out, "; ", json_object_object_get(images, "references"));
    fprintf(out, "\n");
}

void vlm_print_parts(FILE *out, json_object *report)
{
    json_object *parts = json_object_object_get(report, "parts");
    size_t n = json_object_is_type(parts, json_type_array) ? json_object_array_length(parts) : 0;
    for (size_t i = 0; i < n; i++) {
        json_object *part = json_object_array_get_idx(parts, i);
        fprintf(out, "%s  %" PRId64 " documents  %" PRId64 " images  sha256 %s\n",
                json_object_get_string(json_object_object_get(part, "name")),
                number(part, "documents"), number(part, "images"),
                json_object_get_string(json_object_object_get(part, "sha256")));
    }
    fprintf(out, "%-12s%.1f s, %.1f MiB at the peak, over all processes\n", "cost",
            json_object_get_double(json_object_object_get(report, "seconds")),
            (double)number(report, "peak_rss") / (1 << 20));
}
