/* taming_import.c - weights of others become a model of ours: names are translated, the architecture is
 * found out from names and shapes, every tensor is checked, then all are read and written.
 *
 * The graph's names are those of taming-transformers. Each family that spells them differently has one
 * function here, from our name to theirs; so a tensor is missing when its translation is not in the
 * file, and unknown when nothing translates to it. */
#include "base/vlm.h"

#include "vqgan/tokenizer/taming.h"

#include "base/file.h"
#include "base/limits.h"
#include "nn/memory.h"
#include "vqgan/tokenizer/model.h"
#include "vqgan/tokenizer/taming_graph.h"

#include <ctype.h>
#include <unistd.h>

enum { LEVELS = VLM_TAMING_LEVELS, NAME_SIZE = VLM_TAMING_NAME_SIZE + 32, SHOWN_SIZE = 81 };

static const char codebook_name[] = "quantize.embedding.weight";

struct source {
    const struct vlm_weights *weights;
    enum vlm_import_format format;
    const struct vlm_weight **used; /* those that the graph has, codebook last */
    size_t used_count;
};

/* ---- names ---- */

/* The rest of `name` behind `prefix`, or NULL. */
static const char *behind(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(name, prefix, n) ? NULL : name + n;
}

/* "3.block.0.x" after prefix -> level 3, rest "block.0.x"; NULL when name does not begin so. */
static const char *level_of(const char *name, const char *prefix, size_t *level)
{
    const char *rest = behind(name, prefix);
    if (!rest || !isdigit((unsigned char)rest[0]) || rest[1] != '.')
        return NULL;
    *level = (size_t)(rest[0] - '0');
    return rest + 2;
}

/* "encoder.mid.block_2.x" -> "encoder.mid.<place>.x", in the order of computation. */
static bool middle_name(char *to, const char *name, size_t blocks_apart)
{
    for (const char *half = "encoder.mid.";; half = "decoder.mid.") {
        size_t number;
        const char *rest = behind(name, half), *inside = rest ? behind(rest, "attn_1.") : NULL;
        if (inside)
            return snprintf(to, NAME_SIZE, "%s1.%s", half, inside) > 0;
        inside = rest ? level_of(rest, "block_", &number) : NULL;
        if (inside)
            return snprintf(to, NAME_SIZE, "%s%zu.%s", half, (number - 1) * blocks_apart, inside) >
                   0;
        if (half[0] == 'd')
            return false;
    }
}

/* LlamaGen: levels of the decoder are counted as they run, blocks are "res". */
static void llamagen_name(char *to, const char *name)
{
    size_t level;
    const char *half = "encoder", *rest = level_of(name, "encoder.down.", &level);
    if (!rest) {
        rest = level_of(name, "decoder.up.", &level);
        level = LEVELS - 1 - level;
        half = "decoder";
    }
    const char *block = rest ? behind(rest, "block.") : NULL;
    if (rest)
        snprintf(to, NAME_SIZE, "%s.conv_blocks.%zu.%s%s", half, level, block ? "res." : "",
                 block ? block : rest);
    else if (!middle_name(to, name, 2))
        snprintf(to, NAME_SIZE, "%s", name);
}

/* MaskGIT as in open-MUSE. */
static void maskgit_name(char *to, const char *name)
{
    size_t level;
    const char *rest = level_of(name, "decoder.up.", &level);
    const char *conv = rest ? behind(rest, "upsample.conv.") : NULL;
    if (conv)
        snprintf(to, NAME_SIZE, "decoder.up.%zu.upsample_conv.%s", level, conv);
    else if (!middle_name(to, name, 1))
        snprintf(to, NAME_SIZE, "%s", name);
}

static void translate(char to[NAME_SIZE], enum vlm_import_format format, const char *name)
{
    if (format == VLM_IMPORT_LLAMAGEN)
        llamagen_name(to, name);
    else if (format == VLM_IMPORT_MASKGIT)
        maskgit_name(to, name);
    else
        snprintf(to, NAME_SIZE, "%s", name);
}

/* Tensors of training that say nothing about the graph. */
static bool is_ignored(const char *name)
{
    static const char *const begin[] = { "loss.", "model_ema.", "optimizer", "lr_schedulers." };
    static const char *const buffers[] = { "quantize.codebook_used", "colorize", "global_step" };
    for (size_t i = 0; i < VLM_COUNTOF(begin); i++)
        if (behind(name, begin[i]))
            return true;
    for (size_t i = 0; i < VLM_COUNTOF(buffers); i++)
        if (!strcmp(name, buffers[i]))
            return true;
    return false;
}

/* A stranger's name for a sentence. */
static const char *shown(char to[SHOWN_SIZE], const char *name)
{
    size_t n = VLM_MIN(strlen(name), (size_t)SHOWN_SIZE - 1);
    for (size_t i = 0; i < n; i++)
        to[i] = isprint((unsigned char)name[i]) ? name[i] : '?';
    to[n] = 0;
    return to;
}

/* ---- looking things up by our names ---- */

static const struct vlm_weight *find(const struct source *source, const char *name)
{
    char theirs[NAME_SIZE];
    translate(theirs, source->format, name);
    return vlm_weights_find(source->weights, theirs);
}

/* Whether the file has one of two tensors of a part of the graph: where one is missing, the other tells
 * that the part was there, so that the missing one gets named. */
static bool has(const struct source *source, const char *part, const char *one, const char *other)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof(name), "%s%s", part, one);
    if (find(source, name))
        return true;
    snprintf(name, sizeof(name), "%s%s", part, other);
    return find(source, name);
}

static int fail_missing(const struct source *source, const char *name, struct vlm_err *err)
{
    char theirs[NAME_SIZE];
    translate(theirs, source->format, name);
    return vlm_fail(err, VLM_EFORMAT, "tensor '%s' is missing", theirs);
}

/* Size number `axis` of a tensor of `rank`. */
static int size_of(size_t *size, const struct source *source, const char *name, unsigned rank,
                   unsigned axis, struct vlm_err *err)
{
    const struct vlm_weight *w = find(source, name);
    if (!w)
        return fail_missing(source, name, err);
    if (w->rank != rank)
        return vlm_fail(err, VLM_EFORMAT, "tensor '%s' has %u dimensions, expected %u", w->name,
                        w->rank, rank);
    *size = w->shape[axis];
    return VLM_OK;
}

/* Blocks are named prefix + number. */
static int count_blocks(size_t *blocks, const struct source *source, const char *prefix,
                        size_t first, struct vlm_err *err)
{
    char name[NAME_SIZE];
    for (*blocks = 0;; (*blocks)++) {
        snprintf(name, sizeof(name), "%s%zu.", prefix, first + *blocks);
        if (!has(source, name, "norm1.weight", "conv1.weight"))
            break;
        if (*blocks == VLM_TAMING_BLOCKS_MAX)
            return vlm_fail(err, VLM_EFORMAT, "more than %d blocks: '%s' is one too many",
                            VLM_TAMING_BLOCKS_MAX, name);
    }
    snprintf(name, sizeof(name), "%s%zu.norm1.weight", prefix, first);
    return *blocks ? VLM_OK : fail_missing(source, name, err);
}

/* ---- the architecture ---- */

static int infer_levels(struct vlm_taming_shape *shape, const struct source *source,
                        struct vlm_err *err)
{
    char name[NAME_SIZE];
    size_t levels = 0;
    for (size_t i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "encoder.down.%zu.block.0.", i);
        if (has(source, name, "norm1.weight", "conv1.weight"))
            levels = i + 1;
    }
    if (!levels)
        return fail_missing(source, "encoder.down.0.block.0.conv1.weight", err);
    if (levels != LEVELS)
        return vlm_fail(err, VLM_EFORMAT,
                        "the encoder makes images %d times smaller; only 16 times gives 16 x 16 "
                        "codes",
                        1 << (levels - 1));
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < LEVELS; i++) {
        snprintf(name, sizeof(name), "encoder.down.%zu.block.0.conv1.weight", i);
        rc = size_of(&shape->width[i], source, name, 4, 0, err);
        if (rc == VLM_OK && (!shape->width[i] || shape->width[i] > VLM_TAMING_CHANNELS_MAX))
            rc = vlm_fail(err, VLM_EFORMAT, "level %zu has %zu channels, expected 1 to %d", i,
                          shape->width[i], VLM_TAMING_CHANNELS_MAX);
        snprintf(name, sizeof(name), "encoder.down.%zu.attn.0.", i);
        shape->encoder_attention[i] = has(source, name, "norm.weight", "q.weight");
        snprintf(name, sizeof(name), "decoder.up.%zu.attn.0.", i);
        shape->decoder_attention[i] = has(source, name, "norm.weight", "q.weight");
    }
    return rc;
}

/* Numbers that a graph of any size can have; what they must be to each other is checked by all other
 * tensors. */
static int infer_numbers(struct vlm_taming_shape *shape, const struct source *source,
                         struct vlm_err *err)
{
    const struct {
        size_t *to;
        const char *name;
        unsigned rank, axis;
    } sizes[] = {
        { &shape->channels, "encoder.conv_in.weight", 4, 0 },
        { &shape->latent_channels, "encoder.conv_out.weight", 4, 0 },
        { &shape->latent_taps, "encoder.conv_out.weight", 4, 2 },
        { &shape->code_width, codebook_name, 2, 1 },
    };
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < VLM_COUNTOF(sizes); i++) {
        rc = size_of(sizes[i].to, source, sizes[i].name, sizes[i].rank, sizes[i].axis, err);
        if (rc == VLM_OK && (!*sizes[i].to || *sizes[i].to > VLM_TAMING_CHANNELS_MAX))
            rc = vlm_fail(err, VLM_EFORMAT, "tensor '%s': size %zu, expected 1 to %d",
                          sizes[i].name, *sizes[i].to, VLM_TAMING_CHANNELS_MAX);
    }
    if (rc == VLM_OK)
        rc = count_blocks(&shape->encoder_blocks, source, "encoder.down.0.block.", 0, err);
    if (rc == VLM_OK)
        rc = count_blocks(&shape->decoder_blocks, source, "decoder.up.0.block.", 0, err);
    if (rc == VLM_OK)
        rc = count_blocks(&shape->middle_blocks, source, "encoder.mid.block_", 1, err);
    return rc;
}

static int infer(struct vlm_taming_shape *shape, const struct source *source, struct vlm_err *err)
{
    const bool maskgit = source->format == VLM_IMPORT_MASKGIT;
    *shape = (struct vlm_taming_shape){
        .middle_attention =
            !maskgit && has(source, "encoder.mid.attn_1.", "norm.weight", "q.weight"),
        .quant_convs = has(source, "", "quant_conv.weight", "post_quant_conv.weight"),
        .block_biases = has(source, "encoder.down.0.block.0.", "conv1.bias", "conv2.bias"),
        .mean_pool = maskgit,
        .shortcut_of_output = maskgit,
        .cosine = source->format == VLM_IMPORT_LLAMAGEN,
        .minus_one_to_one = !maskgit,
    };
    int rc = infer_levels(shape, source, err);
    return rc == VLM_OK ? infer_numbers(shape, source, err) : rc;
}

/* ---- checking and reading ---- */

static void add_shape(char *to, size_t size, unsigned rank, const size_t *shape)
{
    size_t at = (size_t)snprintf(to, size, "[");
    for (unsigned i = 0; i < rank && at < size; i++)
        at += (size_t)snprintf(to + at, size - at, "%s%zu", i ? ", " : "", shape[i]);
    if (at < size)
        snprintf(to + at, size - at, "]");
}

static int check_tensor(struct source *source, const char *name, unsigned rank, const size_t *shape,
                        struct vlm_err *err)
{
    char found[200], expected[100];
    const struct vlm_weight *w = find(source, name);
    if (!w)
        return fail_missing(source, name, err);
    if (w->rank != rank || memcmp(w->shape, shape, rank * sizeof(*shape))) {
        add_shape(found, sizeof(found), w->rank, w->shape);
        add_shape(expected, sizeof(expected), rank, shape);
        return vlm_fail(err, VLM_EFORMAT, "tensor '%s' is %s, expected %s", w->name, found,
                        expected);
    }
    source->used[source->used_count++] = w;
    return VLM_OK;
}

static int compare_pointers(const void *a, const void *b)
{
    const struct vlm_weight *x = *(const struct vlm_weight *const *)a,
                            *y = *(const struct vlm_weight *const *)b;
    return (x > y) - (x < y);
}

static int check_unknown(const struct source *source, struct vlm_err *err)
{
    char name[SHOWN_SIZE];
    size_t n = source->used_count;
    const struct vlm_weight **sorted = malloc(n * sizeof(*sorted));
    if (!sorted)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a list of %zu tensors", n);
    memcpy(sorted, source->used, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), compare_pointers);
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < vlm_weights_count(source->weights); i++) {
        const struct vlm_weight *w = vlm_weights_at(source->weights, i);
        if (!is_ignored(w->name) && !bsearch(&w, sorted, n, sizeof(*sorted), compare_pointers))
            rc = vlm_fail(err, VLM_EFORMAT, "tensor '%s' is not part of such a tokenizer",
                          shown(name, w->name));
    }
    free(sorted);
    return rc;
}

static int check_all(struct source *source, const struct vlm_taming_graph *graph,
                     const struct vlm_taming_shape *shape, struct vlm_err *err)
{
    size_t book[2] = { 0, shape->code_width };
    source->used = calloc(graph->tensor_count + 1, sizeof(*source->used));
    if (!source->used)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a list of %zu tensors",
                        graph->tensor_count);
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < graph->tensor_count; i++) {
        const struct vlm_taming_tensor *t = &graph->tensors[i];
        rc = check_tensor(source, t->name, t->rank, t->shape, err);
    }
    if (rc == VLM_OK)
        rc = size_of(&book[0], source, codebook_name, 2, 0, err);
    if (rc == VLM_OK && (!book[0] || book[0] > VLM_CODEBOOK_MAX))
        rc = vlm_fail(err, VLM_EFORMAT, "a codebook of %zu rows, expected 1 to %d", book[0],
                      VLM_CODEBOOK_MAX);
    if (rc == VLM_OK)
        rc = check_tensor(source, codebook_name, 2, book, err);
    return rc == VLM_OK ? check_unknown(source, err) : rc;
}

/* Fills tensors [used_count] with values in memory. */
static int read_all(struct vlm_model_tensor *tensors, struct vlm_memory *memory,
                    const struct source *source, const struct vlm_taming_graph *graph,
                    struct vlm_err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < source->used_count; i++)
        bytes += source->used[i]->count * sizeof(float) + VLM_MEMORY_ALIGN;
    int rc = vlm_memory_init(memory, bytes, 0, err);
    for (size_t i = 0; rc == VLM_OK && i < source->used_count; i++) {
        const struct vlm_weight *w = source->used[i];
        float *to = vlm_memory_take(memory, w->count, sizeof(float));
        const char *name = i < graph->tensor_count ? graph->tensors[i].name : codebook_name;
        tensors[i] = (struct vlm_model_tensor){ .name = name, .rank = w->rank, .data = to };
        for (unsigned k = 0; k < w->rank; k++)
            tensors[i].shape[k] = w->shape[k];
        rc = vlm_weights_read(source->weights, w, to, err);
    }
    return rc;
}

static int write_model(const struct source *source, const struct vlm_taming_graph *graph,
                       const struct vlm_taming_shape *shape, const char *folder,
                       char id[VLM_TOKENIZER_ID_SIZE], struct vlm_err *err)
{
    static const char *const kinds[] = { "taming", "llamagen", "maskgit", "chameleon" };
    struct vlm_memory memory = { 0 };
    struct vlm_buffer architecture = { 0 };
    struct vlm_err ignored;
    struct vlm_model_tensor *tensors = calloc(source->used_count, sizeof(*tensors));
    if (!tensors)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a list of %zu tensors", source->used_count);
    int rc = read_all(tensors, &memory, source, graph, err);
    vlm_taming_shape_write(shape, &architecture);
    vlm_buffer_byte(&architecture, 0);
    if (rc == VLM_OK && architecture.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a tokenizer's architecture");
    if (rc == VLM_OK) {
        const bool was_there = !access(folder, F_OK);
        const struct vlm_model_content content = {
            .kind = kinds[source->format],
            .architecture = (const char *)architecture.data,
            .codebook_size = tensors[source->used_count - 1].shape[0],
            .code_width = shape->code_width,
            .tensors = tensors,
            .count = source->used_count,
        };
        rc = vlm_model_write(folder, &content, id, err);
        if (rc != VLM_OK && !was_there && vlm_folder_delete(folder, &ignored) != VLM_OK)
            vlm_wrap(err, "'%s' is incomplete", folder);
    }
    vlm_buffer_release(&architecture);
    vlm_memory_release(&memory);
    free(tensors);
    return rc;
}

int vlm_taming_import(const struct vlm_weights *weights, enum vlm_import_format format,
                      const char *folder, char id[VLM_TOKENIZER_ID_SIZE], struct vlm_err *err)
{
    struct source source = { .weights = weights, .format = format };
    struct vlm_taming_shape shape;
    struct vlm_taming_graph graph = { 0 };
    int rc = infer(&shape, &source, err);
    if (rc == VLM_OK)
        rc = vlm_taming_graph_init(&graph, &shape, err);
    if (rc == VLM_OK)
        rc = check_all(&source, &graph, &shape, err);
    if (rc == VLM_OK)
        rc = write_model(&source, &graph, &shape, folder, id, err);
    vlm_taming_graph_release(&graph);
    free(source.used);
    return rc;
}
