/* vlm_plot_main.c - vlm-plot: training curves of one or several runs as an SVG file. */
#include "base/vlm.h"

#include "base/file.h"
#include "base/option.h"
#include "tools/common/print.h"
#include "tools/plot/svg.h"

static const char *const metrics_default = "loss,loss_text,loss_markup,loss_image,lr,grad_norm";

struct config {
    const char *output, *metrics, *logarithmic, *title;
    int64_t smooth;
    int x;
    bool quiet, nothing;
};

/* Cuts a list at its commas; the pieces point into *copy, which the caller frees. */
static int split(const char *list[PLOT_METRICS_MAX], size_t *n, char **copy, const char *text,
                 const char *option, struct vlm_err *err)
{
    *n = 0;
    *copy = strdup(text);
    if (!*copy)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a list");
    char *rest = *copy;
    for (char *word; (word = strsep(&rest, ",")) != NULL;) {
        if (!*word)
            continue;
        if (*n == PLOT_METRICS_MAX)
            return vlm_fail(err, VLM_EUSAGE, "'--%s' names more than %d metrics", option,
                            PLOT_METRICS_MAX);
        list[(*n)++] = word;
    }
    return VLM_OK;
}

static void tell(const char *sentence, void *context)
{
    const bool *quiet = context;
    if (!*quiet)
        fprintf(stderr, "vlm-plot: %s\n", sentence);
}

/* Two runs of one name: the whole path tells them apart. */
static int name_apart(struct plot_run *runs, size_t i, const char *path, struct vlm_err *err)
{
    for (size_t j = 0; j < i; j++) {
        if (strcmp(runs[i].name, runs[j].name) != 0)
            continue;
        free(runs[i].name);
        runs[i].name = strdup(path);
        return runs[i].name ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for a name");
    }
    return VLM_OK;
}

static int draw(struct config *config, struct plot_run *runs, char **paths, size_t n,
                const struct plot_look *look, struct vlm_err *err)
{
    struct vlm_buffer out = { 0 };
    int rc = VLM_OK;
    for (size_t i = 0; i < n && rc == VLM_OK; i++) {
        rc = plot_run_read(&runs[i], paths[i], look->metrics, look->n_metrics, look->x, tell,
                           &config->quiet, err);
        if (rc == VLM_OK)
            rc = name_apart(runs, i, paths[i], err);
    }
    if (rc == VLM_OK)
        rc = plot_svg(&out, runs, n, look, err);
    config->nothing = rc == VLM_EOF;
    if (config->nothing)
        rc = vlm_fail(err, VLM_EFAIL, "nothing to draw: no run has a number of '%s' yet",
                      config->metrics);
    else if (rc == VLM_OK && !strcmp(config->output, "-"))
        rc = vlm_print(&out, err);
    for (size_t i = 0; i < n && rc == VLM_OK; i++) {
        char *lines = vlm_path_join(paths[i], "metrics.jsonl");
        rc = vlm_file_check_output(config->output, lines, err);
        if (rc == VLM_OK)
            rc = vlm_file_check_output(config->output, paths[i], err);
        free(lines);
    }
    if (rc == VLM_OK && strcmp(config->output, "-") != 0)
        rc = vlm_file_write(config->output, out.data, out.size, err);
    vlm_buffer_release(&out);
    return rc;
}

static int run(struct config *config, char **paths, size_t n, struct vlm_err *err)
{
    if (!n)
        return vlm_fail(err, VLM_EUSAGE, "no run given");
    if (!config->output)
        return vlm_fail(err, VLM_EUSAGE, "no output given: use -o FILE.svg");
    const char *metrics[PLOT_METRICS_MAX], *logarithmic[PLOT_METRICS_MAX];
    char *copy = NULL, *copy_of_log = NULL;
    struct plot_look look = { .title = config->title,
                              .metrics = metrics,
                              .logarithmic = logarithmic,
                              .x = (enum plot_x)config->x,
                              .smooth = (size_t)config->smooth };
    int rc = split(metrics, &look.n_metrics, &copy, config->metrics, "metrics", err);
    if (rc == VLM_OK)
        rc = split(logarithmic, &look.n_logarithmic, &copy_of_log, config->logarithmic, "log", err);
    if (rc == VLM_OK && !look.n_metrics)
        rc = vlm_fail(err, VLM_EUSAGE, "'--metrics' names none");
    struct plot_run *runs = rc == VLM_OK ? calloc(n, sizeof(*runs)) : NULL;
    if (rc == VLM_OK && !runs)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for %zu runs", n);
    if (rc == VLM_OK)
        rc = draw(config, runs, paths, n, &look, err);
    for (size_t i = 0; runs && i < n; i++)
        plot_run_release(&runs[i]);
    free(runs);
    free(copy);
    free(copy_of_log);
    return rc;
}

int main(int argc, char **argv)
{
    struct config config = { .metrics = metrics_default, .logarithmic = "grad_norm", .smooth = 1 };
    const struct vlm_option options[] = {
        VLM_OPTION_STRING('o', "output", &config.output, "FILE.svg",
                          "file to write, '-' for standard output"),
        VLM_OPTION_CHOICE(0, "x", &config.x, PLOT_X_WORDS, "what the horizontal axis counts"),
        VLM_OPTION_NUMBER(0, "smooth", &config.smooth, "N",
                          "draw means of N steps, and each step pale", 1, 100000),
        VLM_OPTION_STRING(0, "metrics", &config.metrics, "LIST",
                          "a panel for each; those that no run has are left out"),
        VLM_OPTION_STRING(0, "log", &config.logarithmic, "LIST", "metrics with a logarithmic axis"),
        VLM_OPTION_STRING(0, "title", &config.title, "TEXT", "stands above all"),
        VLM_OPTION_FLAG('q', "quiet", &config.quiet, "do not name lines that are passed over"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-plot",
        .synopsis = "RUN... -o FILE.svg [options]",
        .summary = "Draws the training curves of runs, folders of vlm-train or their "
                   "metrics.jsonl: training as "
                   "lines, validation as points. The file needs no network and no script, and is "
                   "readable on "
                   "white and on black.",
        .examples = "  vlm-plot run -o curves.svg\n"
                    "  vlm-plot small large -o both.svg --x time --smooth 20 --metrics "
                    "loss_text,loss_image\n",
        .options = options,
        .n_options = VLM_COUNTOF(options),
        .quiet = &config.quiet,
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK)
        rc = run(&config, argv + 1, (size_t)(argc - 1), &err);
    int status = vlm_tool_end(&tool, rc, &err);
    return config.nothing ? VLM_EXIT_NOTHING : status;
}
