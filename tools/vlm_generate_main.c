/* vlm_generate_main.c - vlm-generate: one prompt from the shell. */
#include "base/vlm.h"

#include "base/option.h"
#include "models/generate/stream.h"
#include "tools/generate/generate_tool.h"

#include <math.h>

/* Options as they are given: numbers with a fraction are words until they are checked. */
struct given {
    struct vlm_generate_request request;
    const char *image, *stop;
    const char *temperature, *top_p, *min_p, *typical, *image_temperature, *image_top_p;
    const char *repeat, *presence, *frequency, *guidance;
    int64_t seed, answers, max_tokens, beams, threads;
    int weights;
};

static int read_number(double *to, const char *option, const char *text, const char *expected,
                       struct vlm_err *err)
{
    char *end;
    if (!text)
        return VLM_OK;
    double number = strtod(text, &end);
    if (end == text || *end || !isfinite(number) || (number < 0 && strcmp(expected, "number")))
        return vlm_fail(err, VLM_EUSAGE, "option '--%s': '%s' is no %s", option, text, expected);
    *to = number;
    return VLM_OK;
}

static int read_penalties(struct given *given, struct vlm_err *err)
{
    struct vlm_generate_options *options = &given->request.options;
    int rc = read_number(&options->repeat, "repeat-penalty", given->repeat, "number", err);
    if (rc == VLM_OK)
        rc = read_number(&options->presence, "presence-penalty", given->presence, "number", err);
    if (rc == VLM_OK)
        rc = read_number(&options->frequency, "frequency-penalty", given->frequency, "number", err);
    if (rc == VLM_OK)
        rc = read_number(&options->guidance, "guidance", given->guidance, "factor of 0 or more",
                         err);
    return rc;
}

/* Of images, what is not said is as for text. */
static int read_numbers(struct given *given, struct vlm_err *err)
{
    struct vlm_generate_options *options = &given->request.options;
    const char *temperature = "temperature of 0 or more", *share = "share above 0, at most 1";
    int rc = read_number(&options->temperature, "temp", given->temperature, temperature, err);
    options->image_temperature = options->temperature;
    if (rc == VLM_OK)
        rc = read_number(&options->image_temperature, "image-temp", given->image_temperature,
                         temperature, err);
    if (rc == VLM_OK)
        rc = read_number(&options->top_p, "top-p", given->top_p, share, err);
    options->image_top_p = options->top_p;
    if (rc == VLM_OK)
        rc = read_number(&options->image_top_p, "image-top-p", given->image_top_p, share, err);
    if (rc == VLM_OK)
        rc = read_number(&options->min_p, "min-p", given->min_p, "share of at most 1", err);
    options->image_min_p = options->min_p;
    if (rc == VLM_OK)
        rc = read_number(&options->typical, "typical-p", given->typical, "share of at most 1", err);
    options->image_typical = options->typical;
    if (options->image_top_k < 0)
        options->image_top_k = options->top_k;
    return rc == VLM_OK ? read_penalties(given, err) : rc;
}

/* What follows `name` where it stands in argv[*at], and *at on its last argument; NULL: something else is there. */
static char *value_of(const char *name, int argc, char **argv, int *at)
{
    const size_t length = strlen(name);
    char *argument = argv[*at];
    if (!strncmp(argument, name, length) && argument[length] == '=')
        return argument + length + 1;
    return strcmp(argument, name) || *at + 1 == argc ? NULL : argv[++*at];
}

/* --image and --stop may be repeated, which options may not: images become operands, words go to `words`. */
static int take_repeated(int argc, char **argv, const char **words, size_t *n_words)
{
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        const char *word = value_of("--stop", argc, argv, &i);
        if (word) {
            words[(*n_words)++] = word;
            continue;
        }
        char *image = value_of("--image", argc, argv, &i);
        argv[kept++] = image ? image : argv[i];
    }
    argv[kept] = NULL;
    return kept;
}

static int finish(struct given *given, int argc, char **argv, struct vlm_err *err)
{
    struct vlm_generate_request *request = &given->request;
    if (!request->model)
        return vlm_fail(err, VLM_EUSAGE, "no model given: use -m MODEL");
    if (request->text && request->prompt_file)
        return vlm_fail(err, VLM_EUSAGE, "give --text or --prompt, not both");
    request->images = argc > 1 ? (const char *const *)argv + 1 : &given->image;
    request->n_images = argc > 1 ? (size_t)argc - 1 : given->image != NULL;
    request->answers = (size_t)given->answers;
    request->threads = (size_t)given->threads;
    request->weights = (enum vlm_weights)given->weights;
    request->options.seed = (uint64_t)given->seed;
    request->options.max_tokens = (size_t)given->max_tokens;
    request->options.beams = (size_t)given->beams;
    if (!request->options.n_words && given->stop) {
        request->options.words = &given->stop;
        request->options.n_words = 1;
    }
    if (request->stream && (given->answers > 1 || request->json))
        return vlm_fail(err, VLM_EUSAGE, "--stream is for one answer, as text");
    int rc = read_numbers(given, err);
    if (rc == VLM_OK && !request->negative != (request->options.guidance == 1))
        rc = vlm_fail(err, VLM_EUSAGE, "--guidance and --negative go together");
    return rc;
}

int main(int argc, char **argv)
{
    struct given given = {
        .request = { .folder = ".", .options = VLM_GENERATE_DEFAULTS },
        .answers = 1,
    };
    struct vlm_generate_request *request = &given.request;
    struct vlm_generate_options *options = &request->options;
    options->image_top_k = -1;
    const struct vlm_option table[] = {
        VLM_OPTION_STRING('m', "model", &request->model, "MODEL", "folder of a model"),
        VLM_OPTION_STRING(0, "prompt", &request->prompt_file, "FILE",
                          "file with the prompt, '-' for standard input"),
        VLM_OPTION_STRING(0, "text", &request->text, "TEXT", "the prompt itself"),
        VLM_OPTION_STRING(0, "image", &given.image, "FILE",
                          "picture for the next {image} of the prompt, as IMAGE; may be repeated"),
        VLM_OPTION_NUMBER(0, "seed", &given.seed, "N", "of the answer", 0, INT64_MAX),
        VLM_OPTION_NUMBER('n', "limit", &given.answers, "N",
                          "answers, with the seeds N, N + 1, ...", 1, 1000000),
        VLM_OPTION_NUMBER(0, "max-tokens", &given.max_tokens, "N",
                          "of a fill or a continuation, 0: as many as fit", 0, INT32_MAX),
        VLM_OPTION_STRING(0, "temp", &given.temperature, "T",
                          "temperature; 0: the likeliest token; without, 1"),
        VLM_OPTION_NUMBER(0, "top-k", &options->top_k, "K", "only the K likeliest tokens, 0: all",
                          0, INT32_MAX),
        VLM_OPTION_STRING(0, "top-p", &given.top_p, "P",
                          "only the likeliest tokens that make up the share P; without, 1"),
        VLM_OPTION_STRING(0, "image-temp", &given.image_temperature, "T",
                          "of image codes; without, that of text"),
        VLM_OPTION_NUMBER(0, "image-top-k", &options->image_top_k, "K",
                          "of image codes; -1: that of text", -1, INT32_MAX),
        VLM_OPTION_STRING(0, "image-top-p", &given.image_top_p, "P",
                          "of image codes; without, that of text"),
        VLM_OPTION_STRING(0, "min-p", &given.min_p, "P",
                          "only tokens at least P times as likely as the likeliest; without, 0"),
        VLM_OPTION_STRING(0, "typical-p", &given.typical, "P",
                          "only the most typical tokens that make up the share P; without, 1"),
        VLM_OPTION_STRING(0, "repeat-penalty", &given.repeat, "X",
                          "divides logits of text that is there already; without, 1"),
        VLM_OPTION_STRING(0, "presence-penalty", &given.presence, "X",
                          "off the logits of text that was drawn; without, 0"),
        VLM_OPTION_STRING(0, "frequency-penalty", &given.frequency, "X",
                          "the same for each time that it was drawn; without, 0"),
        VLM_OPTION_STRING(0, "guidance", &given.guidance, "X",
                          "codes: so many times as far from --negative; 1: off"),
        VLM_OPTION_STRING(0, "negative", &request->negative, "TEXT",
                          "the prompt without what guides"),
        VLM_OPTION_NUMBER(0, "beams", &given.beams, "N",
                          "the likeliest answer of a search with N beams; 0: drawn", 0,
                          VLM_LANES_MAX),
        VLM_OPTION_STRING(0, "stop", &given.stop, "TEXT",
                          "text that ends a continuation or a fill of text; may be repeated"),
        VLM_OPTION_CHOICE(0, "dtype", &given.weights, VLM_WEIGHTS_WORDS, "of the weights"),
        VLM_OPTION_NUMBER('j', "threads", &given.threads, "N", "0: all cores", 0, 1024),
        VLM_OPTION_STRING('o', "output", &request->folder, "DIR", "where pictures go"),
        VLM_OPTION_FLAG(0, "stream", &request->stream, "text as it comes; one answer"),
        VLM_OPTION_FLAG(0, "json", &request->json, "a JSON object for each answer"),
        VLM_OPTION_FLAG('q', "quiet", &request->quiet, "only errors"),
    };
    const struct vlm_tool tool = {
        .name = "vlm-generate",
        .synopsis = "-m MODEL [--text TEXT | --prompt FILE] [options] [IMAGE...]",
        .summary =
            "Answers one prompt: fills its masks <mask:0>, <mask:1>, ..., or continues it. "
            "{image}\n"
            "in the prompt stands for the next IMAGE. The text goes to standard output, its\n"
            "pictures to image-0.png, image-1.png, ..., whose names stand in the text. Without\n"
            "a prompt the recipe's first for as many images is taken.",
        .examples =
            "  vlm-generate -m run/model --text '<img alt=\"A red circle\" src=\"' -o pictures\n"
            "  vlm-generate -m run/model photo.jpg --temp 0\n"
            "  vlm-generate -m run/model --text '<p>The<mask:0> of France</p>' -n 3 --seed 7\n"
            "  vlm-generate -m run/captioner photo.jpg --beams 3 --stop .\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &request->json,
        .quiet = &request->quiet,
    };
    struct vlm_err err = { 0 };
    const char **words = calloc((size_t)argc + 1, sizeof(*words));
    if (!words)
        return vlm_tool_end(&tool, vlm_fail(&err, VLM_ENOMEM, "no memory for options"), &err);
    options->words = words;
    argc = take_repeated(argc, argv, words, &options->n_words);
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK)
        rc = finish(&given, argc, argv, &err);
    if (rc == VLM_OK)
        rc = vlm_generate_run(request, &err);
    free(words);
    return vlm_tool_end(&tool, rc, &err);
}
