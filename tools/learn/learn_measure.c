/* learn_measure.c - vlm-learn measure: what a model of the simple world knows about pages it has not seen.
 *
 * Each share stands beside its control: the same captions, or drawings, judged by another page's picture, or words;
 * and chance. Pages of the second set show colours at places that no page of the training showed. The result is
 * Markdown, then a line "ok NAME" or "not ok NAME" for each claim. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/option.h"
#include "tools/learn/learn.h"
#include "tools/learn/pupil.h"

enum { SHEET_COLS = 8, SHEET_ROWS = 2, SHEET_SIDE = 128, STREAM_OTHER = 21 };

struct config {
    const char *sheet;
    int64_t pages, drawings, threads, seed, temperature, top_p; /* the last two in percent */
};

/* How often what was said or drawn agreed with what it is judged by. */
struct tally {
    size_t n, fact[PUPIL_FACTS], pair; /* pair: colour and place */
};

static void count(struct tally *tally, const struct scene_facts *found,
                  const struct scene_facts *expected)
{
    bool colour = found->colour == expected->colour, place = found->place == expected->place;
    tally->n++;
    tally->fact[PUPIL_COLOUR] += colour;
    tally->fact[PUPIL_SHAPE] += found->shape == expected->shape;
    tally->fact[PUPIL_PLACE] += place;
    tally->pair += colour && place;
}

static double share(const struct tally *tally, size_t right)
{
    return tally->n ? (double)right / (double)tally->n : 0;
}

static void print_tally(const char *what, const struct tally *tally)
{
    printf("| %s | %zu | %.3f | %.3f | %.3f | %.3f |\n", what, tally->n,
           share(tally, tally->fact[PUPIL_COLOUR]), share(tally, tally->fact[PUPIL_SHAPE]),
           share(tally, tally->fact[PUPIL_PLACE]), share(tally, tally->pair));
    fflush(stdout);
}

static void print_head(const char *what)
{
    printf("| %s | n | colour | shape | place | colour and place |\n|---|---|---|---|---|---|\n",
           what);
}

static void print_chance(void)
{
    printf("| chance | | %.3f | %.3f | %.3f | %.3f |\n\n", 1.0 / SIMPLE_COLOURS,
           1.0 / SIMPLE_SHAPES, 1.0 / PLACES, 1.0 / (SIMPLE_COLOURS * PLACES));
}

/* Another page than i, always the same one. */
static size_t other_than(size_t i, size_t n)
{
    struct vlm_random random = vlm_random_at(0, STREAM_OTHER, i);
    return (i + 1 + vlm_random_below(&random, n - 1)) % n;
}

struct measuring {
    const struct config *config;
    struct pupil pupil;
    struct pupil_pages unseen, held_out;
    size_t failed;
    uint8_t *sheet; /* [2 SHEET_ROWS SHEET_SIDE][SHEET_COLS SHEET_SIDE][3] */
};

static void verdict(struct measuring *measuring, const char *name, bool right)
{
    printf("%s %s\n", right ? "ok" : "not ok", name);
    measuring->failed += !right;
}

/* Three times the control, and of chance, which the control may be below by luck. */
static bool is_far_above(const struct tally *tally, const struct tally *control)
{
    static const double chance[PUPIL_FACTS] = {
        [PUPIL_COLOUR] = 1.0 / SIMPLE_COLOURS, [PUPIL_PLACE] = 1.0 / PLACES
    };
    bool above = true;
    for (size_t i = 0; i < PUPIL_FACTS; i++)
        if (i != PUPIL_SHAPE)
            above = above && share(tally, tally->fact[i]) >
                                 3 * VLM_MAX(share(control, control->fact[i]), chance[i]);
    return above;
}

/* --- captions --- */

static int caption_pages(struct measuring *measuring, const struct pupil_pages *pages,
                         enum pupil_caption kind, struct tally *own, struct tally *other,
                         struct vlm_err *err)
{
    struct vlm_buffer words = { 0 };
    int rc = VLM_OK;
    *own = *other = (struct tally){ 0 };
    for (size_t i = 0; i < pages->n && rc == VLM_OK; i++) {
        struct scene_facts said;
        rc = pupil_caption(&words, &measuring->pupil, &pages->page[i], kind, err);
        (void)scene_parse(&said, words.size ? (const char *)words.data : "", words.size);
        count(own, &said, &pages->page[i].facts);
        count(other, &said, &pages->page[other_than(i, pages->n)].facts);
    }
    vlm_buffer_release(&words);
    return rc;
}

static int measure_captions(struct measuring *measuring, struct vlm_err *err)
{
    static const struct {
        enum pupil_caption kind;
        bool held_out;
        const char *name, *control, *claim;
    } row[] = {
        { PUPIL_CAPTION_TITLE, false, "unseen pictures, words behind the picture",
          "... judged by another picture", "captions behind unseen pictures" },
        { PUPIL_CAPTION_TITLE, true, "pairs never trained, words behind the picture",
          "... judged by another picture", "captions behind pictures of pairs never trained" },
        { PUPIL_CAPTION_ALT, false, "unseen pictures, words in a mask before the picture",
          "... judged by another picture", "captions in a mask before unseen pictures" },
        { PUPIL_CAPTION_ALT, true, "pairs never trained, words in a mask before the picture",
          "... judged by another picture", "captions in a mask before pairs never trained" },
    };
    struct tally own[VLM_COUNTOF(row)], other[VLM_COUNTOF(row)];
    int rc = VLM_OK;
    print_head("captions");
    for (size_t i = 0; i < VLM_COUNTOF(row) && rc == VLM_OK; i++) {
        rc = caption_pages(measuring, row[i].held_out ? &measuring->held_out : &measuring->unseen,
                           row[i].kind, &own[i], &other[i], err);
        if (rc != VLM_OK)
            break;
        print_tally(row[i].name, &own[i]);
        print_tally(row[i].control, &other[i]);
    }
    if (rc != VLM_OK)
        return rc;
    print_chance();
    for (size_t i = 0; i < VLM_COUNTOF(row); i++)
        verdict(measuring, row[i].claim, is_far_above(&own[i], &other[i]));
    printf("\n");
    return VLM_OK;
}

/* --- hidden words --- */

/* Means over the pages whose words stand before the picture. */
static int hidden_words(struct measuring *measuring, const struct pupil_pages *pages,
                        enum pupil_fact fact, double mean[3], struct vlm_err *err)
{
    size_t n = 0;
    int rc = VLM_OK;
    mean[0] = mean[1] = mean[2] = 0;
    for (size_t i = 0; i < pages->n && rc == VLM_OK; i++) {
        const struct pupil_page *page = &pages->page[i];
        const struct pupil_page *other = &pages->page[other_than(i, pages->n)];
        double nats[3] = { 0 };
        if (page->behind)
            continue;
        rc = pupil_nats(&nats[0], &measuring->pupil, page, fact, PUPIL_BOTH, page, err);
        if (rc == VLM_OK)
            rc = pupil_nats(&nats[1], &measuring->pupil, page, fact, PUPIL_LEFT, page, err);
        if (rc == VLM_OK)
            rc = pupil_nats(&nats[2], &measuring->pupil, page, fact, PUPIL_BOTH, other, err);
        for (size_t k = 0; k < 3; k++)
            mean[k] += nats[k];
        n++;
    }
    for (size_t k = 0; k < 3; k++)
        mean[k] /= (double)VLM_MAX(n, 1);
    return rc;
}

static int measure_infill(struct measuring *measuring, struct vlm_err *err)
{
    static const char *const name[PUPIL_FACTS] = { "colour", "shape", "place" };
    static const size_t choices[PUPIL_FACTS] = { SIMPLE_COLOURS, SIMPLE_SHAPES, PLACES };
    double mean[PUPIL_FACTS][3];
    int rc = VLM_OK;
    printf("| hidden word | nats from both sides | from the left alone | both sides, another "
           "picture | "
           "choices |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < PUPIL_FACTS && rc == VLM_OK; i++) {
        rc = hidden_words(measuring, &measuring->unseen, (enum pupil_fact)i, mean[i], err);
        if (rc == VLM_OK)
            printf("| %s | %.3f | %.3f | %.3f | %zu |\n", name[i], mean[i][0], mean[i][1],
                   mean[i][2], choices[i]);
        fflush(stdout);
    }
    if (rc != VLM_OK)
        return rc;
    printf("\n");
    for (size_t i = 0; i < PUPIL_FACTS; i++) {
        char claim[64];
        snprintf(claim, sizeof(claim), "hidden %s is known better from both sides", name[i]);
        verdict(measuring, claim, mean[i][0] < .8 * mean[i][1] && mean[i][0] < mean[i][2]);
    }
    printf("\n");
    return VLM_OK;
}

/* --- drawings --- */

/* Half the size, the mean of four pixels. */
static void put_on_sheet(struct measuring *measuring, const uint8_t *square, size_t row, size_t col)
{
    enum { WIDTH = SHEET_COLS * SHEET_SIDE };
    for (size_t y = 0; y < SHEET_SIDE; y++)
        for (size_t x = 0; x < SHEET_SIDE; x++)
            for (size_t i = 0; i < 3; i++) {
                const uint8_t *at = square + (2 * y * VLM_SQUARE_SIDE + 2 * x) * 3 + i;
                const uint8_t *under = at + (size_t)VLM_SQUARE_SIDE * 3;
                measuring->sheet[((row * SHEET_SIDE + y) * WIDTH + col * SHEET_SIDE + x) * 3 + i] =
                    (uint8_t)((at[0] + at[3] + under[0] + under[3] + 2) / 4);
            }
}

static int write_sheet(struct measuring *measuring, struct vlm_err *err)
{
    struct vlm_buffer jpeg = { 0 };
    int rc = vlm_rgb_to_jpeg(&jpeg, measuring->sheet, SHEET_COLS * SHEET_SIDE,
                             2 * SHEET_ROWS * SHEET_SIDE, 88, err);
    if (rc == VLM_OK)
        rc = vlm_file_write(measuring->config->sheet, jpeg.data, jpeg.size, err);
    vlm_buffer_release(&jpeg);
    return rc;
}

static int draw_pages(struct measuring *measuring, const struct pupil_pages *pages,
                      size_t sheet_row, struct tally *own, struct tally *other,
                      struct tally *ceiling, struct vlm_err *err)
{
    const struct config *config = measuring->config;
    uint8_t *square = malloc(VLM_SQUARE_BYTES);
    int rc = square ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for a picture");
    *own = *other = *ceiling = (struct tally){ 0 };
    for (size_t i = 0; i < pages->n && i < (size_t)config->drawings && rc == VLM_OK; i++) {
        const struct pupil_page *page = &pages->page[i];
        struct scene_facts seen = { -1, -1, -1 };
        bool whole;
        rc = vlm_coder_decode(measuring->pupil.coder, square, page->codes, 1, err);
        if (rc != VLM_OK)
            break;
        (void)scene_read(&seen, square);
        count(ceiling, &seen, &page->facts);
        rc = pupil_draw(square, &whole, &measuring->pupil, page, (double)config->temperature / 100,
                        (double)config->top_p / 100, (uint64_t)config->seed + i, err);
        if (rc != VLM_OK)
            break;
        seen = (struct scene_facts){ -1, -1, -1 };
        if (whole)
            (void)scene_read(&seen, square);
        count(own, &seen, &page->facts);
        count(other, &seen, &pages->page[other_than(i, pages->n)].facts);
        if (whole && i < SHEET_ROWS * SHEET_COLS)
            put_on_sheet(measuring, square, sheet_row + i / SHEET_COLS, i % SHEET_COLS);
    }
    free(square);
    return rc;
}

static void print_words(const struct measuring *measuring)
{
    printf("The sheet, row by row:\n\n");
    for (size_t row = 0; row < 2 * SHEET_ROWS; row++) {
        const struct pupil_pages *pages =
            row < SHEET_ROWS ? &measuring->unseen : &measuring->held_out;
        if (row % SHEET_ROWS * SHEET_COLS >= VLM_MIN(pages->n, (size_t)measuring->config->drawings))
            continue;
        printf("%zu. ", row + 1);
        for (size_t col = 0; col < SHEET_COLS; col++) {
            size_t i = row % SHEET_ROWS * SHEET_COLS + col;
            if (i < pages->n && i < (size_t)measuring->config->drawings)
                printf("%s%s", col ? "; " : "", pages->page[i].words);
        }
        printf("\n");
    }
    printf("\n");
}

static int measure_drawings(struct measuring *measuring, struct vlm_err *err)
{
    struct tally own[2], other[2], ceiling[2];
    measuring->sheet = malloc((size_t)2 * SHEET_ROWS * SHEET_SIDE * SHEET_COLS * SHEET_SIDE * 3);
    if (!measuring->sheet)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a sheet");
    memset(measuring->sheet, 255,
           (size_t)2 * SHEET_ROWS * SHEET_SIDE * SHEET_COLS * SHEET_SIDE * 3);
    print_head("drawings, read back from pixels");
    for (size_t i = 0; i < 2; i++) {
        int rc = draw_pages(measuring, i ? &measuring->held_out : &measuring->unseen,
                            i * SHEET_ROWS, &own[i], &other[i], &ceiling[i], err);
        if (rc != VLM_OK)
            return rc;
        print_tally(i ? "words of pairs never trained" : "words of unseen pages", &own[i]);
        print_tally("... judged by other words", &other[i]);
        print_tally("... the checker on the real pictures, decoded from their codes", &ceiling[i]);
    }
    print_chance();
    verdict(measuring, "drawings show the colour and place of their words",
            is_far_above(&own[0], &other[0]));
    verdict(measuring, "drawings of pairs never trained do", is_far_above(&own[1], &other[1]));
    printf("\n");
    print_words(measuring);
    return measuring->config->sheet ? write_sheet(measuring, err) : VLM_OK;
}

/* --- the verb --- */

static int run(struct measuring *measuring, char **argv, struct vlm_err *err)
{
    const size_t pages = (size_t)measuring->config->pages;
    int rc = pupil_open(&measuring->pupil, argv[1], (size_t)measuring->config->threads, err);
    if (rc == VLM_OK)
        rc = pupil_pages_read(&measuring->unseen, &measuring->pupil, argv[2], pages, err);
    if (rc == VLM_OK)
        rc = pupil_pages_read(&measuring->held_out, &measuring->pupil, argv[3], pages, err);
    if (rc == VLM_OK)
        rc = measure_captions(measuring, err);
    if (rc == VLM_OK)
        rc = measure_infill(measuring, err);
    if (rc == VLM_OK && measuring->config->drawings)
        rc = measure_drawings(measuring, err);
    return rc;
}

int vlm_learn_measure(int argc, char **argv)
{
    struct config config = { .pages = 200, .drawings = 64, .temperature = 100, .top_p = 100 };
    const struct vlm_option options[] = {
        VLM_OPTION_NUMBER('n', "limit", &config.pages, "N", "pages of each set", 2, 100000),
        VLM_OPTION_NUMBER(0, "drawings", &config.drawings, "N", "of them whose words are drawn", 0,
                          100000),
        VLM_OPTION_NUMBER(0, "image-temp", &config.temperature, "PERCENT", "of drawing", 0, 1000),
        VLM_OPTION_NUMBER(0, "image-top-p", &config.top_p, "PERCENT", "of drawing", 1, 100),
        VLM_OPTION_NUMBER(0, "seed", &config.seed, "N", "of drawing", 0, INT64_MAX),
        VLM_OPTION_STRING(0, "sheet", &config.sheet, "FILE.jpg", "the first drawings of each set"),
        VLM_OPTION_NUMBER('j', "threads", &config.threads, "N", "0: all cores", 0, 1024),
    };
    const struct vlm_tool tool = {
        .name = "vlm-learn measure",
        .synopsis = "MODEL UNSEEN HELD_OUT [options]",
        .summary = "Asks a model about pages of the simple world of vlm-make-crawl: shard sets of "
                   "pictures "
                   "that it has not seen, and of colours at places that it never saw together. "
                   "Prints tables "
                   "in Markdown, each number beside its control.",
        .options = options,
        .n_options = VLM_COUNTOF(options),
    };
    struct measuring measuring = { .config = &config };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc != 4)
        rc = vlm_fail(&err, VLM_EUSAGE, "give a model folder and two shard sets");
    if (rc == VLM_OK)
        rc = run(&measuring, argv, &err);
    pupil_pages_release(&measuring.unseen);
    pupil_pages_release(&measuring.held_out);
    pupil_close(&measuring.pupil);
    free(measuring.sheet);
    int status = vlm_tool_end(&tool, rc, &err);
    return measuring.failed && status == VLM_EXIT_DONE ? VLM_EXIT_FAILED : status;
}
