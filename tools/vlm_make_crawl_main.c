/* vlm_make_crawl_main.c - vlm-make-crawl: a small web crawl of made-up pages about coloured shapes.
 *
 * For demonstrations, tests and first trainings: every page tells in words what its pictures show,
 * and the crawl holds what real ones do: redirects, revisits, duplicates, encodings, damage. */
#include "base/vlm.h"
#include "base/json.h"
#include "base/option.h"
#include "tools/crawl/crawl_run.h"

struct config {
    const char *output;
    int64_t pages, seed, images_per_page, pages_per_file, threads;
    bool damage, json, quiet;
    int world, pairs, progress;
};

static void print_json(const struct crawl_result *result)
{
    static const char *const types[CRAWL_TYPES] = { "warcinfo", "request", "response", "revisit",
                                                    "metadata" };
    const struct crawl_counts *counts = &result->counts;
    struct vlm_buffer out = { 0 };
    struct vlm_json json = { .out = &out };
    vlm_json_open(&json, '{');
    vlm_json_member_number(&json, "pages", counts->pages);
    vlm_json_member_number(&json, "duplicates", counts->duplicates);
    vlm_json_member_number(&json, "opt_outs", counts->opt_outs);
    vlm_json_member_number(&json, "images", counts->images);
    vlm_json_member_number(&json, "jpeg", counts->jpeg);
    vlm_json_member_number(&json, "png", counts->png);
    vlm_json_member_number(&json, "redirects", counts->redirects);
    vlm_json_member_number(&json, "revisits", counts->revisits);
    vlm_json_member_number(&json, "data_urls", counts->data_urls);
    vlm_json_member_number(&json, "missing", counts->missing);
    vlm_json_member_number(&json, "not_found", counts->not_found);
    vlm_json_member_number(&json, "damaged", counts->damaged);
    vlm_json_key(&json, "records");
    vlm_json_open(&json, '{');
    for (size_t i = 0; i < CRAWL_TYPES; i++)
        vlm_json_member_number(&json, types[i], counts->records[i]);
    vlm_json_close(&json, '}');
    vlm_json_member_number(&json, "files", result->files);
    vlm_json_member_number(&json, "bytes", result->bytes);
    vlm_json_close(&json, '}');
    printf("%.*s\n", (int)out.size, (const char *)out.data);
    vlm_buffer_release(&out);
}

static void print_sentence(const struct config *config, const struct crawl_result *result)
{
    const struct crawl_counts *counts = &result->counts;
    char bytes[VLM_FORMAT_SIZE];
    vlm_format_bytes(bytes, (double)result->bytes);
    printf("made %" PRIu64 " pages with %" PRIu64 " images: %" PRIu64 " JPEG, %" PRIu64 " PNG; "
           "%sB in %s\n",
           counts->pages, counts->images, counts->jpeg, counts->png, bytes, config->output);
}

static int run(const struct config *config, struct vlm_err *err)
{
    if (!config->output)
        return vlm_fail(err, VLM_EUSAGE, "no output folder: give one with '-o DIR'");
    struct vlm_progress progress;
    struct crawl_run crawl = {
        .options = { .seed = (uint64_t)config->seed,
                     .pages = (uint64_t)config->pages,
                     .images_per_page = (unsigned)config->images_per_page,
                     .damage = config->damage,
                     .world = (enum crawl_world)config->world,
                     .pairs = (enum scene_pairs)config->pairs },
        .folder = config->output,
        .pages_per_file = (uint64_t)config->pages_per_file,
        .threads = (unsigned)config->threads,
        .progress = &progress,
    };
    struct crawl_result result;
    vlm_progress_init(&progress, config->progress, config->quiet);
    int rc = crawl_run(&crawl, &result, err);
    vlm_progress_end(&progress);
    if (rc == VLM_OK && config->json)
        print_json(&result);
    else if (rc == VLM_OK && !config->quiet)
        print_sentence(config, &result);
    return rc;
}

int main(int argc, char **argv)
{
    struct config config = {
        .pages = 200, .seed = 1, .images_per_page = 2, .pages_per_file = 1000, .damage = true
    };
    const struct vlm_option options[] = {
        VLM_OPTION_STRING('o', "output", &config.output, "DIR",
                          "folder for crawl-00000.warc.gz and so on"),
        VLM_OPTION_NUMBER('n', "pages", &config.pages, "N", "pages to make", 1, 100000),
        VLM_OPTION_NUMBER(0, "seed", &config.seed, "N", "another seed, another crawl", 0,
                          INT64_MAX),
        VLM_OPTION_NUMBER(0, "images-per-page", &config.images_per_page, "N",
                          "a page has 1 to N images", 1, CRAWL_IMAGES_MAX),
        VLM_OPTION_NUMBER(0, "pages-per-file", &config.pages_per_file, "N", "pages in one file", 1,
                          100000),
        VLM_OPTION_NUMBER('j', "threads", &config.threads, "N", "threads, 0 = all cores", 0, 64),
        VLM_OPTION_CHOICE(0, "world", &config.world, CRAWL_WORLD_WORDS,
                          "simple: one object and its words a page, for first trainings"),
        VLM_OPTION_CHOICE(0, "pairs", &config.pairs, SCENE_PAIRS_WORDS,
                          "of the simple world: trained and held-out share no colour at a place"),
        VLM_OPTION_FLAG(0, "damage", &config.damage, "flip a byte in the record in the middle"),
        VLM_OPTION_CHOICE(0, "progress", &config.progress, VLM_PROGRESS_WORDS,
                          "how to show progress"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-make-crawl",
        .synopsis = "-o DIR [options]",
        .summary = "Makes a web crawl of pages that describe pictures of coloured shapes. The same "
                   "seed gives the same bytes.",
        .examples = "  vlm-make-crawl -o crawl -n 1000\n"
                    "  vlm-shard build crawl -o shards\n",
        .options = options,
        .n_options = VLM_COUNTOF(options),
        .json = &config.json,
        .quiet = &config.quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc > 1)
        rc = vlm_fail(&err, VLM_EUSAGE, "'%s' is not an option; the program takes no input",
                      argv[1]);
    if (rc == VLM_OK)
        rc = run(&config, &err);
    return vlm_tool_end(&tool, rc, &err);
}
