/* verb_dump.c - vlm-train dump: logits, and on request the loss and its gradients, of sequences of ids.
 *
 * For comparing a model here with the same model elsewhere, so it takes any folder that
 * vlm_model_folder_open() takes, and gives gradients the names and the layout that the weights have
 * there. Each line of ids is one causal sequence, run by itself; the loss is the mean over the next tokens of all
 * lines. Frozen parameters and tables of positions get their gradients too. */
#include "base/vlm.h"

#include "trainer/verbs.h"

#include "base/array.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/option.h"
#include "models/folder/model_folder.h"
#include "nn/ops/vocabulary_loss.h"
#include "nn/safetensors.h"

enum { LINES_MAX = 32768, NAME_SIZE = VLM_PARAMETER_NAME_SIZE + 8 };
#define IDS_FILE_MAX (256 * VLM_MIB)

/* Sequence i is ids[end[i - 1]] to ids[end[i] - 1]. */
struct sequences {
    uint32_t *ids;
    size_t *end;
    size_t n_ids, ids_capacity, n, end_capacity;
};

/* What the file is made of. */
struct dump {
    struct vlm_model_folder *folder;
    struct sequences sequences;
    struct vlm_stored_tensor *stored;
    size_t n_stored;
    size_t n; /* tensors of the file so far */
    struct vlm_safetensors_item *items;
    char (*names)[NAME_SIZE];
    float **values; /* one block each */
};

/* ---- ids ---- */

static int add_word(struct sequences *to, const char *word, size_t n, size_t vocabulary,
                    struct vlm_err *err)
{
    uint64_t id = 0;
    char shown[32];
    snprintf(shown, sizeof(shown), "%.*s", (int)VLM_MIN(n, sizeof(shown) - 1), word);
    for (char *c = shown; *c; c++)
        *c = *c >= ' ' && *c <= '~' ? *c : '?';
    for (size_t i = 0; i < n; i++) {
        if (word[i] < '0' || word[i] > '9')
            return vlm_fail(err, VLM_EFORMAT, "'%s' is no id", shown);
        id = id > UINT32_MAX ? id : 10 * id + (uint64_t)(word[i] - '0');
    }
    if (id >= vocabulary)
        return vlm_fail(err, VLM_EFORMAT, "id %s is not below the vocabulary of %zu", shown,
                        vocabulary);
    if (!vlm_array_reserve(&to->ids, &to->ids_capacity, to->n_ids, 1, sizeof(*to->ids)))
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu ids", to->n_ids + 1);
    to->ids[to->n_ids++] = (uint32_t)id;
    return VLM_OK;
}

static int add_line(struct sequences *to, const char *line, size_t n,
                    const struct vlm_model_config *config, struct vlm_err *err)
{
    const size_t first = to->n_ids;
    if (to->n == LINES_MAX)
        return vlm_fail(err, VLM_ELIMIT, "more than %d lines", LINES_MAX);
    if (!vlm_array_reserve(&to->end, &to->end_capacity, to->n, 1, sizeof(*to->end)))
        return vlm_fail(err, VLM_ENOMEM, "no memory for %zu lines", to->n + 1);
    for (size_t i = 0, end; i < n; i = end + 1) {
        for (end = i; end < n && !memchr(" \t\r", line[end], 3);)
            end++;
        int rc = end > i ? add_word(to, line + i, end - i, config->vocabulary, err) : VLM_OK;
        if (rc != VLM_OK)
            return rc;
    }
    if (to->n_ids == first)
        return vlm_fail(err, VLM_EFORMAT, "no ids");
    if (to->n_ids - first > config->context)
        return vlm_fail(err, VLM_EFORMAT, "%zu ids, the model's context is %zu", to->n_ids - first,
                        config->context);
    to->end[to->n++] = to->n_ids;
    return VLM_OK;
}

static int read_ids(struct sequences *to, const char *path, const struct vlm_model_config *config,
                    struct vlm_err *err)
{
    struct vlm_buffer text = { 0 };
    int rc = vlm_file_read(&text, path, IDS_FILE_MAX, err);
    for (size_t at = 0, end; rc == VLM_OK && at < text.size; at = end + 1) {
        const uint8_t *newline = memchr(text.data + at, '\n', text.size - at);
        end = newline ? (size_t)(newline - text.data) : text.size;
        rc = add_line(to, (const char *)text.data + at, end - at, config, err);
        if (rc != VLM_OK)
            rc = vlm_wrap(err, "'%s', line %zu", path, to->n + 1);
    }
    if (rc == VLM_OK && !to->n)
        rc = vlm_fail(err, VLM_EFORMAT, "'%s' is empty, expected a line of ids", path);
    vlm_buffer_release(&text);
    return rc;
}

/* ---- the model ---- */

/* A tensor of the file, with memory for its values; its name begins with what stands in front. */
static float *add_item(struct dump *dump, const char *front, const char *name, unsigned rank,
                       const size_t *shape)
{
    struct vlm_safetensors_item *item = &dump->items[dump->n];
    size_t count = 1;
    snprintf(dump->names[dump->n], NAME_SIZE, "%s%s", front, name);
    *item = (struct vlm_safetensors_item){ .name = dump->names[dump->n], .rank = rank };
    for (unsigned i = 0; i < rank; i++)
        count *= item->shape[i] = shape[i];
    float *values = malloc(count * sizeof(float));
    item->data = dump->values[dump->n] = values;
    if (values)
        dump->n++;
    return values;
}

/* Positions, intervals and targets of one sequence: four arrays of n. */
static void lay_out(struct vlm_rows *rows, uint32_t *arrays, const uint32_t *ids, size_t n)
{
    uint32_t *position = arrays, *lo = arrays + n, *hi = arrays + 2 * n, *target = arrays + 3 * n;
    vlm_rows_causal(position, lo, hi, &n, 1);
    for (size_t i = 0; i < n; i++)
        target[i] = i + 1 < n ? ids[i + 1] : VLM_IGNORE;
    *rows = (struct vlm_rows){ .n = n, .ids = ids, .positions = position, .lo = lo, .hi = hi };
}

/* One sequence: its logits, and with a loss its share of that and of the gradients. */
static int run_sequence(struct dump *dump, struct vlm_tape *tape, size_t number, double weight_sum,
                        double *loss, struct vlm_err *err)
{
    struct vlm_model *model = &dump->folder->model;
    const struct sequences *all = &dump->sequences;
    const size_t begin = number ? all->end[number - 1] : 0, n = all->end[number] - begin;
    const size_t shape[] = { n, model->config.vocabulary };
    char name[24];
    struct vlm_rows rows;
    uint32_t *arrays = calloc(4 * n, sizeof(*arrays));
    snprintf(name, sizeof(name), "%zu", number);
    float *to = arrays ? add_item(dump, "logits.", name, 2, shape) : NULL;
    if (!to) {
        free(arrays);
        return vlm_fail(err, VLM_ENOMEM, "no memory for logits of %zu rows", n);
    }
    lay_out(&rows, arrays, all->ids + begin, n);
    vlm_tape_reset(tape);
    struct vlm_tensor *logits =
        vlm_model_logits(tape, model, vlm_model_forward(tape, model, &rows, NULL, 0));
    int rc = vlm_tape_error(tape, err);
    if (rc == VLM_OK)
        memcpy(to, logits->data, n * shape[1] * sizeof(float));
    if (rc == VLM_OK && loss) {
        vlm_tape_reset(tape);
        struct vlm_tensor *mean = vlm_model_loss(
            tape, model, &rows,
            &(struct vlm_targets){ .ids = arrays + 3 * n, .weight_sum = weight_sum }, 0);
        rc = vlm_tape_error(tape, err);
        if (rc == VLM_OK)
            *loss += (double)mean->data[0];
        if (rc == VLM_OK)
            rc = vlm_backward(tape, mean, err);
    }
    free(arrays);
    return rc;
}

/* What the walk backwards has left in the model, as the file has the weights. */
static int add_gradients(struct dump *dump, double loss, struct vlm_err *err)
{
    const struct vlm_model_folder *folder = dump->folder;
    float *to = add_item(dump, "loss", "", 0, NULL);
    if (to)
        *to = (float)loss;
    for (size_t i = 0; to && i < dump->n_stored; i++) {
        size_t shape[VLM_RANK_MAX];
        unsigned rank;
        vlm_stored_tensor_shape(shape, &rank, &folder->model, &dump->stored[i]);
        to = add_item(dump, "grad.",
                      vlm_stored_tensor_name(&dump->stored[i], &folder->model, folder->bare_names),
                      rank, shape);
        if (to)
            vlm_stored_tensor_gather(to, &folder->model, folder->model.grads, &dump->stored[i]);
    }
    return to ? VLM_OK : vlm_fail(err, VLM_ENOMEM, "no memory for the gradients");
}

static int run_model(struct dump *dump, struct vlm_tape *tape, bool with_grads, struct vlm_err *err)
{
    const struct sequences *all = &dump->sequences;
    const double next = (double)(all->n_ids - all->n);
    double loss = 0;
    int rc = vlm_stored_tensors(&dump->stored, &dump->n_stored, &dump->folder->model, err);
    if (rc != VLM_OK)
        return rc;
    const size_t room = all->n + 1 + dump->n_stored;
    dump->items = calloc(room, sizeof(*dump->items));
    dump->names = calloc(room, sizeof(*dump->names));
    dump->values = calloc(room, sizeof(*dump->values));
    if (!dump->items || !dump->names || !dump->values)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a list of %zu tensors", room);
    if (with_grads && next < 1)
        return vlm_fail(err, VLM_EFORMAT, "no line has a second id, so there is no loss");
    for (size_t i = 0; i < dump->folder->model.n; i++)
        dump->folder->model.tensors[i].needs_grad =
            with_grads && dump->folder->model.tensors[i].rank;
    for (size_t i = 0; rc == VLM_OK && i < all->n; i++)
        rc = run_sequence(dump, tape, i, next, with_grads ? &loss : NULL, err);
    if (rc == VLM_OK && with_grads)
        rc = add_gradients(dump, loss, err);
    return rc;
}

static void release(struct dump *dump)
{
    for (size_t i = 0; i < dump->n; i++)
        free(dump->values[i]);
    free(dump->values);
    free(dump->names);
    free(dump->items);
    free(dump->stored);
    free(dump->sequences.ids);
    free(dump->sequences.end);
    vlm_model_folder_close(dump->folder);
}

struct dump_options {
    const char *model, *ids, *output;
    int64_t threads;
    int dtype;
    bool grads;
};

static int run(const struct dump_options *options, struct vlm_err *err)
{
    struct dump dump = { 0 };
    struct vlm_engine engine = { 0 };
    struct vlm_tape tape = { 0 };
    const struct vlm_tape_options tape_options = { .precision = options->dtype ? VLM_BF16 : VLM_F32,
                                                   .flags = options->grads ? 0 : VLM_TAPE_FORWARD };
    int rc = vlm_model_folder_open(&dump.folder, options->model,
                                   VLM_FOLDER_BARE | (options->grads ? VLM_FOLDER_GRADS : 0), err);
    if (rc == VLM_OK)
        rc = read_ids(&dump.sequences, options->ids, &dump.folder->model.config, err);
    if (rc == VLM_OK)
        rc = vlm_engine_init(&engine, (size_t)options->threads, VLM_GEMM_AUTO, err);
    if (rc == VLM_OK)
        rc = vlm_tape_init(&tape, &engine, &tape_options, err);
    if (rc == VLM_OK)
        rc = run_model(&dump, &tape, options->grads, err);
    if (rc == VLM_OK)
        rc = vlm_safetensors_write(
            options->output,
            &(struct vlm_safetensors_content){ .items = dump.items, .count = dump.n }, err);
    vlm_tape_release(&tape);
    vlm_engine_release(&engine);
    release(&dump);
    return rc;
}

static int check_output(const struct dump_options *options, struct vlm_err *err)
{
    char *weights = vlm_path_join(options->model, "model.safetensors");
    int rc = vlm_file_check_output(options->output, options->ids, err);
    if (rc == VLM_OK)
        rc = vlm_file_check_output(options->output, weights, err);
    free(weights);
    return rc;
}

int vlm_train_dump(int argc, char **argv)
{
    struct dump_options options = { 0 };
    const struct vlm_option table[] = {
        VLM_OPTION_STRING(0, "ids", &options.ids, "FILE",
                          "one sequence a line, ids with spaces between"),
        VLM_OPTION_STRING('o', "output", &options.output, "FILE", "safetensors to write"),
        VLM_OPTION_FLAG(0, "grads", &options.grads,
                        "also the mean loss over all next tokens, and its gradients"),
        VLM_OPTION_CHOICE(0, "dtype", &options.dtype, "fp32|bf16", "operands of products"),
        VLM_OPTION_NUMBER('j', "threads", &options.threads, "N", "0: all cores", 0, 1024),
    };
    const struct vlm_tool tool = {
        .name = "vlm-train dump",
        .synopsis = "MODEL --ids FILE -o FILE [options]",
        .summary =
            "Writes what a model makes of sequences of ids, for comparing it with another "
            "program: the tensors logits.0, logits.1, ... [ids, vocabulary] of the lines; with "
            "--grads also loss and grad.NAME for every NAME in the model's safetensors, in "
            "the same layout.\n\n"
            "MODEL is a model folder, or one that transformers saved: config.json and "
            "model.safetensors of a GPT2LMHeadModel or LlamaForCausalLM.",
        .examples =
            "  echo '464 3290 318' > ids; vlm-train dump gpt2 --ids ids --grads -o gpt2.dump\n",
        .options = table,
        .n_options = VLM_COUNTOF(table),
    };
    struct vlm_err err = { 0 };
    int rc = vlm_options_parse(&tool, &argc, argv, &err);
    if (rc == VLM_OK && argc != 2)
        rc = vlm_fail(&err, VLM_EUSAGE, "give one model folder");
    if (rc == VLM_OK && (!options.ids || !options.output))
        rc = vlm_fail(&err, VLM_EUSAGE, "--ids and -o are both needed");
    options.model = argc == 2 ? argv[1] : NULL;
    if (rc == VLM_OK)
        rc = check_output(&options, &err);
    if (rc == VLM_OK)
        rc = run(&options, &err);
    return vlm_tool_end(&tool, rc, &err);
}
