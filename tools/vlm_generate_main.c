/* vlm_generate_main.c - vlm-generate: one prompt from the shell. */
#include "base/vlm.h"

#include "base/option.h"
#include "tools/generate/generate_tool.h"

#include <math.h>

/* Options as they are given: numbers with a fraction are words until they are checked. */
struct given {
    struct vlm_generate_request request;
    const char *image;
    const char *temperature, *top_p, *image_temperature, *image_top_p;
    int64_t seed, answers, max_tokens, threads;
    int precision;
};

static int read_number(double *to, const char *option, const char *text, const char *expected,
                       struct vlm_err *err)
{
    char *end;
    if (!text)
        return VLM_OK;
    double number = strtod(text, &end);
    if (end == text || *end || !isfinite(number) || number < 0)
        return vlm_fail(err, VLM_EUSAGE, "option '--%s': '%s' is no %s", option, text, expected);
    *to = number;
    return VLM_OK;
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
    if (options->image_top_k < 0)
        options->image_top_k = options->top_k;
    return rc;
}

/* --image may be repeated, which options may not: each becomes an operand. */
static int take_images(int argc, char **argv)
{
    static const char name[] = "--image";
    const size_t length = sizeof(name) - 1;
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        bool whole = !strcmp(argv[i], name) && i + 1 < argc;
        bool joined = !strncmp(argv[i], name, length) && argv[i][length] == '=';
        if (whole)
            i++;
        argv[kept++] = joined ? argv[i] + length + 1 : argv[i];
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
    request->precision = given->precision ? VLM_BF16 : VLM_F32;
    request->options.seed = (uint64_t)given->seed;
    request->options.max_tokens = (size_t)given->max_tokens;
    return read_numbers(given, err);
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
        VLM_OPTION_CHOICE(0, "dtype", &given.precision, "fp32|bf16", "of the products"),
        VLM_OPTION_NUMBER('j', "threads", &given.threads, "N", "0: all cores", 0, 1024),
        VLM_OPTION_STRING('o', "output", &request->folder, "DIR", "where pictures go"),
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
            "  vlm-generate -m run/model --text '<p>The<mask:0> of France</p>' -n 3 --seed 7\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
        .json = &request->json,
        .quiet = &request->quiet,
    };
    struct vlm_err err = { 0 };
    argc = take_images(argc, argv);
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK)
        rc = finish(&given, argc, argv, &err);
    if (rc == VLM_OK)
        rc = vlm_generate_run(request, &err);
    return vlm_tool_end(&tool, rc, &err);
}
