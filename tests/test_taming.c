/* The taming family: imports, latents, codes and pixels beside those of PyTorch
 * (tests/reference/taming_parity.py, which says what a reference file holds).
 *
 * With two arguments, REFERENCE and WEIGHTS, it compares those at every precision, prints what it found
 * and exits with 1 beyond the bounds. */
#include "base/vlm.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

#include "base/file.h"
#include "nn/safetensors.h"
#include "vqgan/tokenizer/taming.h"
#include "vqgan/tokenizer/taming_graph.h"

enum { PIXELS = VLM_SQUARE_SIDE * VLM_SQUARE_SIDE, TENSORS_MAX = 400 };

static const char *const formats[] = { "taming", "llamagen", "maskgit", "chameleon" };

/* ---- what the reference has by formula ---- */

static uint64_t hash_name(const char *name, uint64_t seed)
{
    uint64_t key = 0xcbf29ce484222325;
    for (; *name; name++)
        key = (key ^ (uint8_t)*name) * 0x100000001b3;
    return key + seed * 0xd1342543de82ef95;
}

static float uniform(uint64_t key, size_t i)
{
    uint64_t x = key + (i + 1) * 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    x ^= x >> 31;
    return (float)(x >> 40) / (float)(1 << 23) - 1.0f;
}

static void fill(float *to, const struct vlm_safetensors_item *item, uint64_t seed)
{
    size_t count = 1, n = strlen(item->name);
    for (unsigned i = 0; i < item->rank; i++)
        count *= item->shape[i];
    bool weight = n > 6 && !strcmp(item->name + n - 6, "weight");
    uint64_t key = hash_name(item->name, seed);
    for (size_t i = 0; i < count; i++) {
        float u = uniform(key, i);
        if (item->rank == 4)
            u *= (float)sqrt(3.0 / (double)(item->shape[1] * item->shape[2] * item->shape[3]));
        else if (item->rank == 1)
            u = weight ? 1.0f + u * 0.25f : u * 0.125f;
        to[i] = u;
    }
}

static void paint(uint8_t *square)
{
    for (unsigned y = 0; y < 256; y++)
        for (unsigned x = 0; x < 256; x++)
            for (unsigned c = 0; c < 3; c++) {
                unsigned s = x * 3 + y * 2 + c * 50 + (x / 16 + y / 24) % 3 * 60 + x * y / 64;
                s = x == 255 ? 200 : y == 255 ? 40 : s % 256 / 2 + 30;
                if (x == 255 && y == 255)
                    s = c == 1 ? 0 : 255;
                square[(y * 256 + x) * 3 + c] = (uint8_t)s;
            }
}

/* ---- a reference ---- */

struct reference {
    enum vlm_import_format format;
    uint64_t seed;
    char *tensors; /* "name:8,3,3,3;...", or NULL */
    uint8_t square[VLM_SQUARE_BYTES];
    float *z, *pixels;
    size_t width, pixel_count;
    uint16_t codes[VLM_CODES];
};

static const struct vlm_safetensors_entry *entry_of(const struct vlm_safetensors *file,
                                                    const char *name)
{
    const struct vlm_safetensors_entry *entry = vlm_safetensors_find(file, name);
    if (!entry)
        fail_msg("the reference has no tensor '%s'", name);
    return entry;
}

static float *read_floats(const struct vlm_safetensors *file, const char *name)
{
    struct vlm_err err = { 0 };
    const struct vlm_safetensors_entry *entry = entry_of(file, name);
    float *values = malloc(entry->count * sizeof(float));
    assert_non_null(values);
    assert_int_equal(vlm_safetensors_read_f32(file, entry, values, VLM_SAFETENSORS_FINITE, &err),
                     VLM_OK);
    return values;
}

static void read_reference(struct reference *reference, const char *path)
{
    struct vlm_err err = { 0 };
    struct vlm_safetensors *file;
    int32_t codes[VLM_CODES];
    memset(reference, 0, sizeof(*reference));
    if (vlm_safetensors_open(&file, path, &err))
        fail_msg("%s", err.msg);
    const char *format = vlm_safetensors_metadata_find(file, "format");
    for (unsigned i = 0; i < VLM_COUNTOF(formats); i++)
        if (!strcmp(format, formats[i]))
            reference->format = (enum vlm_import_format)i;
    reference->seed = strtoull(vlm_safetensors_metadata_find(file, "seed"), NULL, 10);
    const char *tensors = vlm_safetensors_metadata_find(file, "tensors");
    reference->tensors = tensors ? strdup(tensors) : NULL;
    reference->z = read_floats(file, "z");
    reference->width = entry_of(file, "z")->shape[2];
    reference->pixels = read_floats(file, "pixels");
    reference->pixel_count = entry_of(file, "pixels")->shape[0];
    const struct vlm_safetensors_entry *entry = entry_of(file, "codes");
    assert_int_equal(entry->bytes, sizeof(codes));
    assert_int_equal(vlm_safetensors_read_raw(file, entry, codes, &err), VLM_OK);
    for (size_t i = 0; i < VLM_CODES; i++)
        reference->codes[i] = (uint16_t)codes[i];
    entry = vlm_safetensors_find(file, "square");
    paint(reference->square);
    if (entry)
        assert_int_equal(vlm_safetensors_read_raw(file, entry, reference->square, &err), VLM_OK);
    vlm_safetensors_close(file);
}

static void free_reference(struct reference *reference)
{
    free(reference->tensors);
    free(reference->z);
    free(reference->pixels);
}

/* ---- weights of a small reference ---- */

struct weights {
    struct vlm_safetensors_item items[TENSORS_MAX];
    size_t count;
    char *names;
};

static void make_weights(struct weights *weights, const struct reference *reference)
{
    memset(weights, 0, sizeof(*weights));
    char *at = weights->names = strdup(reference->tensors);
    while (at && *at) {
        struct vlm_safetensors_item *item = &weights->items[weights->count++];
        assert_true(weights->count < TENSORS_MAX);
        char *colon = strchr(at, ':'), *next = strchr(at, ';');
        assert_non_null(colon);
        *colon = 0;
        item->name = at;
        size_t count = 1;
        for (char *p = colon; p == colon || *p == ','; item->rank++) {
            item->shape[item->rank] = strtoull(p + 1, &p, 10);
            count *= item->shape[item->rank];
        }
        float *values = malloc(count * sizeof(float));
        assert_non_null(values);
        fill(values, item, reference->seed);
        item->data = values;
        at = next ? next + 1 : NULL;
    }
}

static void free_weights(struct weights *weights)
{
    for (size_t i = 0; i < weights->count; i++)
        free((void *)(uintptr_t)weights->items[i].data);
    free(weights->names);
}

static int import(const char *path, enum vlm_import_format format, const char *to,
                  char id[VLM_TOKENIZER_ID_SIZE], struct vlm_err *err)
{
    struct vlm_weights *weights;
    int rc = vlm_weights_open(&weights, path, err);
    if (rc == VLM_OK)
        rc = vlm_taming_import(weights, format, to, id, err);
    vlm_weights_close(weights);
    return rc;
}

/* The same from memory. */
static int import_items(const struct vlm_safetensors_item *items, size_t count,
                        enum vlm_import_format format, const char *to, struct vlm_err *err)
{
    char *path = vlm_path_join(test_folder, "weights.safetensors"), id[VLM_TOKENIZER_ID_SIZE];
    const struct vlm_safetensors_content content = { .items = items, .count = count };
    int rc = vlm_safetensors_write(path, &content, err);
    if (rc == VLM_OK)
        rc = import(path, format, to, id, err);
    free(path);
    return rc;
}

/* ---- comparing ---- */

struct difference {
    double z, pixel; /* largest */
    double z_rms;    /* of the reference's latents */
    size_t codes;    /* that are not equal */
};

static double largest(double a, double b)
{
    return b > a || isnan(b) ? b : a;
}

static void compare(struct difference *difference, const struct reference *reference,
                    const struct vlm_tokenizer *tokenizer, size_t threads)
{
    struct vlm_err err = { 0 };
    struct vlm_coder *coder;
    uint16_t codes[VLM_CODES];
    const size_t width = vlm_tokenizer_info(tokenizer).code_width;
    assert_int_equal(width, reference->width);
    float *z = malloc(VLM_CODES * width * sizeof(float)), *x = malloc(3 * PIXELS * sizeof(float));
    assert_true(z && x);
    if (vlm_coder_new(&coder, tokenizer, threads, &err) ||
        vlm_coder_latents(coder, z, reference->square, &err) ||
        vlm_coder_encode(coder, codes, reference->square, 1, &err) ||
        vlm_coder_pixels(coder, x, reference->codes, &err))
        fail_msg("%s", err.msg);
    memset(difference, 0, sizeof(*difference));
    for (size_t i = 0; i < VLM_CODES * width; i++) {
        double expected = (double)reference->z[i];
        difference->z = largest(difference->z, fabs((double)z[i] - expected));
        difference->z_rms += expected * expected / (double)(VLM_CODES * width);
    }
    difference->z_rms = sqrt(difference->z_rms);
    for (size_t i = 0; i < VLM_CODES; i++)
        difference->codes += codes[i] != reference->codes[i];
    const size_t step = PIXELS / reference->pixel_count;
    for (size_t i = 0; i < reference->pixel_count; i++)
        for (size_t c = 0; c < 3; c++)
            difference->pixel =
                largest(difference->pixel, fabs((double)x[(i * step + i * 7 % step) * 3 + c] -
                                                (double)reference->pixels[i * 3 + c]));
    vlm_coder_free(coder);
    free(z);
    free(x);
}

static struct vlm_tokenizer *open_model(const char *path, enum vlm_precision precision)
{
    struct vlm_err err = { 0 };
    struct vlm_tokenizer *tokenizer;
    if (vlm_tokenizer_open(&tokenizer, path, precision, &err))
        fail_msg("%s", err.msg);
    return tokenizer;
}

/* ---- tests ---- */

/* A variant's reference, and its weights imported to `to`. */
static void import_variant(struct reference *reference, const char *variant, const char *to)
{
    char path[200];
    struct vlm_err err = { 0 };
    struct weights weights;
    snprintf(path, sizeof(path), "tests/vectors/taming_%s.safetensors", variant);
    read_reference(reference, path);
    make_weights(&weights, reference);
    if (import_items(weights.items, weights.count, reference->format, to, &err))
        fail_msg("%s", err.msg);
    free_weights(&weights);
}

static void check_variant(const char *variant)
{
    struct reference reference;
    struct difference d;
    char *to = vlm_path_join(test_folder, variant);
    import_variant(&reference, variant, to);
    struct vlm_tokenizer *tokenizer = open_model(to, VLM_PRECISION_EXACT);
    assert_string_equal(vlm_tokenizer_info(tokenizer).kind, variant);
    compare(&d, &reference, tokenizer, 2);
    if (!(d.z <= 2e-5) || !(d.pixel <= 1e-4) || d.codes)
        fail_msg("%s: latents differ by %g, pixels by %g, %zu codes", variant, d.z, d.pixel,
                 d.codes);
    vlm_tokenizer_close(tokenizer);
    free_reference(&reference);
    free(to);
}

static void taming_is_that_of_pytorch(void **state)
{
    (void)state;
    check_variant("taming");
}

static void llamagen_is_that_of_pytorch(void **state)
{
    (void)state;
    check_variant("llamagen");
}

static void maskgit_is_that_of_pytorch(void **state)
{
    (void)state;
    check_variant("maskgit");
}

static void chameleon_is_that_of_pytorch(void **state)
{
    (void)state;
    check_variant("chameleon");
}

static void faster_precisions_are_near(void **state)
{
    (void)state;
    struct reference reference;
    struct difference d;
    char *to = vlm_path_join(test_folder, "near");
    import_variant(&reference, "taming", to);
    struct vlm_tokenizer *fast = open_model(to, VLM_PRECISION_FAST);
    compare(&d, &reference, fast, 1);
    if (!(d.z <= 2e-4) || !(d.pixel <= 2e-4) || d.codes)
        fail_msg("fast: latents differ by %g, pixels by %g, %zu codes", d.z, d.pixel, d.codes);
    struct vlm_tokenizer *bf16 = open_model(to, VLM_PRECISION_BF16);
    compare(&d, &reference, bf16, 1);
    if (!(d.z <= 0.1) || !(d.z >= 1e-4) || !(d.pixel <= 0.2) || d.codes > 25)
        fail_msg("bf16: latents differ by %g, pixels by %g, %zu codes", d.z, d.pixel, d.codes);
    assert_string_not_equal(vlm_tokenizer_info(fast).id, vlm_tokenizer_info(bf16).id);
    vlm_tokenizer_close(fast);
    vlm_tokenizer_close(bf16);
    free_reference(&reference);
    free(to);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    struct reference reference;
    struct vlm_err err = { 0 };
    char *to = vlm_path_join(test_folder, "threads");
    static float z[2][VLM_CODES * 16], x[2][3 * PIXELS];
    import_variant(&reference, "taming", to);
    for (int p = VLM_PRECISION_EXACT; p <= VLM_PRECISION_BF16; p++) {
        struct vlm_tokenizer *tokenizer = open_model(to, (enum vlm_precision)p);
        for (size_t i = 0; i < 2; i++) {
            struct vlm_coder *coder;
            assert_int_equal(vlm_coder_new(&coder, tokenizer, i ? 3 : 1, &err), VLM_OK);
            assert_int_equal(vlm_coder_latents(coder, z[i], reference.square, &err), VLM_OK);
            assert_int_equal(vlm_coder_pixels(coder, x[i], reference.codes, &err), VLM_OK);
            vlm_coder_free(coder);
        }
        assert_memory_equal(z[0], z[1], sizeof(z[0]));
        assert_memory_equal(x[0], x[1], sizeof(x[0]));
        vlm_tokenizer_close(tokenizer);
    }
    free_reference(&reference);
    free(to);
}

static struct vlm_safetensors_item *item_of(struct weights *weights, const char *name)
{
    for (size_t i = 0; i < weights->count; i++)
        if (!strcmp(weights->items[i].name, name))
            return &weights->items[i];
    fail_msg("no tensor '%s'", name);
    return NULL;
}

/* Imports must fail with these words and leave no folder. */
static void refused(const struct weights *weights, enum vlm_import_format format, const char *words)
{
    struct vlm_err err = { 0 };
    char *to = vlm_path_join(test_folder, "refused");
    if (import_items(weights->items, weights->count, format, to, &err) != VLM_EFORMAT)
        fail_msg("not refused; expected '%s'", words);
    if (!strstr(err.msg, words))
        fail_msg("'%s' does not have '%s'", err.msg, words);
    assert_int_not_equal(access(to, F_OK), 0);
    free(to);
}

static void import_names_what_is_wrong(void **state)
{
    (void)state;
    struct reference reference;
    struct weights weights;
    read_reference(&reference, "tests/vectors/taming_taming.safetensors");
    make_weights(&weights, &reference);
    struct vlm_safetensors_item *item = item_of(&weights, "decoder.up.2.block.1.conv2.weight"),
                                kept = *item;
    item->name = "decoder.up.2.block.1.conv3.weight";
    refused(&weights, VLM_IMPORT_TAMING, "tensor 'decoder.up.2.block.1.conv2.weight' is missing");
    *item = kept;
    item->shape[0] = kept.shape[1] / 2;
    item->shape[1] = kept.shape[0] * 2;
    refused(
        &weights, VLM_IMPORT_TAMING,
        "tensor 'decoder.up.2.block.1.conv2.weight' is [32, 128, 3, 3], expected [64, 64, 3, 3]");
    *item = kept;
    weights.items[weights.count++] = (struct vlm_safetensors_item){
        .name = "encoder.extra\n.weight", .rank = 1, .shape = { 0 }
    };
    refused(&weights, VLM_IMPORT_TAMING,
            "tensor 'encoder.extra?.weight' is not part of such a tokenizer");
    weights.count--;
    float *values = (float *)(uintptr_t)item->data, first = values[5];
    values[5] = NAN;
    refused(&weights, VLM_IMPORT_TAMING, "decoder.up.2.block.1.conv2.weight");
    values[5] = first;
    refused(&weights, VLM_IMPORT_LLAMAGEN,
            "tensor 'encoder.conv_blocks.0.res.0.conv1.weight' is missing");
    for (size_t i = 0; i < weights.count; i++)
        if (strstr(weights.items[i].name, "encoder.down.4."))
            weights.names[weights.items[i].name - weights.names] = 'E';
    refused(&weights, VLM_IMPORT_TAMING, "8 times smaller");
    free_weights(&weights);
    free_reference(&reference);
}

/* Whichever tensor is not there, it is named, by the name its authors gave it. */
static void every_tensor_is_needed(void **state)
{
    (void)state;
    static const char *const variants[] = { "llamagen", "maskgit" };
    for (size_t v = 0; v < VLM_COUNTOF(variants); v++) {
        struct reference reference;
        struct weights weights;
        char path[200], words[200];
        snprintf(path, sizeof(path), "tests/vectors/taming_%s.safetensors", variants[v]);
        read_reference(&reference, path);
        make_weights(&weights, &reference);
        weights.count--; /* the last one takes the place of each of the others */
        for (size_t i = 0; i < weights.count; i++) {
            struct vlm_safetensors_item kept = weights.items[i];
            if (!strcmp(kept.name, "quantize.codebook_used"))
                continue;
            weights.items[i] = weights.items[weights.count];
            snprintf(words, sizeof(words), "tensor '%s' is missing", kept.name);
            refused(&weights, reference.format, words);
            weights.items[i] = kept;
        }
        weights.count++;
        free_weights(&weights);
        free_reference(&reference);
    }
}

static void tensors_of_training_are_ignored(void **state)
{
    (void)state;
    struct reference reference;
    struct weights weights;
    struct vlm_err err = { 0 };
    char plain[VLM_TOKENIZER_ID_SIZE], id[VLM_TOKENIZER_ID_SIZE];
    char *to = vlm_path_join(test_folder, "plain"), *more = vlm_path_join(test_folder, "more");
    char *path = vlm_path_join(test_folder, "training.safetensors");
    read_reference(&reference, "tests/vectors/taming_chameleon.safetensors");
    make_weights(&weights, &reference);
    struct vlm_safetensors_content content = { .items = weights.items, .count = weights.count };
    assert_int_equal(vlm_safetensors_write(path, &content, &err), VLM_OK);
    assert_int_equal(import(path, VLM_IMPORT_CHAMELEON, to, plain, &err), VLM_OK);
    static const float one[] = { 1, 2, 3, 4 };
    static const char *const names[] = { "loss.logvar", "loss.discriminator.main.0.weight",
                                         "model_ema.decay", "quantize.codebook_used" };
    for (size_t i = 0; i < VLM_COUNTOF(names); i++)
        weights.items[content.count++] = (struct vlm_safetensors_item){
            .name = names[i], .rank = 1, .shape = { i + 1 }, .data = one
        };
    assert_int_equal(vlm_safetensors_write(path, &content, &err), VLM_OK);
    assert_int_equal(import(path, VLM_IMPORT_CHAMELEON, more, id, &err), VLM_OK);
    assert_string_equal(id, plain);
    assert_non_null(strstr(id, "chameleon-"));
    free_weights(&weights);
    free_reference(&reference);
    free(path);
    free(to);
    free(more);
}

/* The published model of 1024 codes. */
static const struct vlm_taming_shape published = {
    .channels = 128,
    .width = { 128, 128, 256, 256, 512 },
    .encoder_blocks = 2,
    .decoder_blocks = 3,
    .middle_blocks = 2,
    .encoder_attention = { [4] = true },
    .decoder_attention = { [4] = true },
    .middle_attention = true,
    .latent_channels = 256,
    .latent_taps = 3,
    .code_width = 256,
    .quant_convs = true,
    .block_biases = true,
    .minus_one_to_one = true,
};

/* Counts of the published checkpoints: 343 tensors with the codebook, 72142 thousand numbers of which
 * 262 thousand are the codebook's; 69.21 and 126.37 thousand million multiply-adds. */
static void published_graph_has_its_counts(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_taming_graph graph;
    assert_int_equal(vlm_taming_graph_init(&graph, &published, &err), VLM_OK);
    assert_int_equal(graph.tensor_count, 342);
    size_t numbers = 0;
    for (size_t i = 0; i < graph.tensor_count; i++) {
        size_t count = 1;
        for (unsigned k = 0; k < graph.tensors[i].rank; k++)
            count *= graph.tensors[i].shape[k];
        numbers += count;
    }
    assert_int_equal(numbers, 29298176 + 42449795 + 2 * 65792);
    assert_true(fabs(vlm_taming_encode_operations(&graph) / 2e9 - 69.21) < 0.01);
    assert_true(fabs(vlm_taming_decode_operations(&graph) / 2e9 - 126.37) < 0.01);
    vlm_taming_graph_release(&graph);
}

static int read_text(struct vlm_taming_shape *shape, const char *text, struct vlm_err *err)
{
    json_object *root = NULL;
    assert_int_equal(vlm_json_parse(&root, text, strlen(text), err), VLM_OK);
    int rc = vlm_taming_shape_read(shape, root, err);
    json_object_put(root);
    return rc;
}

static void architecture_is_checked(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_taming_shape shape;
    struct vlm_taming_graph graph;
    struct vlm_buffer text = { 0 };
    vlm_taming_shape_write(&published, &text);
    vlm_buffer_byte(&text, 0);
    assert_int_equal(read_text(&shape, (const char *)text.data, &err), VLM_OK);
    assert_memory_equal(&shape, &published, sizeof(shape));
    const struct {
        const char *from, *to, *words;
    } wrong[] = {
        { "\"widths\"", "\"wides\"", "'widths' is not a list of 5" },
        { "\"latent_taps\": 3", "\"latent_taps\": 4", "'latent_taps'" },
        { "\"cosine\": false", "\"cosine\": 0", "'cosine' is neither" },
        { "\"channels\": 128", "\"channels\": 1e30", "'channels'" },
        { "\"channels\": 128", "\"channels\": 128, \"more\": 1", "keys" },
    };
    for (size_t i = 0; i < VLM_COUNTOF(wrong); i++) {
        const char *at = strstr((const char *)text.data, wrong[i].from);
        assert_non_null(at);
        char changed[2000];
        snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - (const char *)text.data),
                 (const char *)text.data, wrong[i].to, at + strlen(wrong[i].from));
        assert_int_equal(read_text(&shape, changed, &err), VLM_EFORMAT);
        if (!strstr(err.msg, wrong[i].words))
            fail_msg("'%s' does not have '%s'", err.msg, wrong[i].words);
    }
    shape = published;
    shape.width[2] = 100;
    assert_int_equal(vlm_taming_graph_init(&graph, &shape, &err), VLM_EFORMAT);
    shape = published;
    shape.width[4] = 1024;
    assert_int_equal(vlm_taming_graph_init(&graph, &shape, &err), VLM_EFORMAT);
    shape = published;
    shape.width[0] = shape.width[1] = shape.width[2] = shape.width[3] = VLM_TAMING_CHANNELS_MAX;
    assert_int_equal(vlm_taming_graph_init(&graph, &shape, &err), VLM_ELIMIT);
    vlm_buffer_release(&text);
}

/* ---- REFERENCE WEIGHTS ---- */

static int compare_files(const char *path, const char *weights)
{
    static const char *const words[] = { "exact", "fast", "bf16" };
    /* Latents relative to their size, share of codes that may differ, pixels. */
    static const double bound[][3] = { { 2e-5, 1e-4, 1e-3 },
                                       { 2e-4, 1e-3, 1e-3 },
                                       { 0.2, 0.05, 0.5 } };
    struct reference reference;
    struct vlm_err err = { 0 };
    char id[VLM_TOKENIZER_ID_SIZE], *to = vlm_path_join(test_folder, "model");
    bool good = true;
    if (make_test_folder(NULL))
        return 1;
    read_reference(&reference, path);
    if (import(weights, reference.format, to, id, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    for (size_t p = 0; p < VLM_COUNTOF(words); p++) {
        struct difference d;
        struct vlm_tokenizer *tokenizer = open_model(to, (enum vlm_precision)p);
        compare(&d, &reference, tokenizer, 2);
        vlm_tokenizer_close(tokenizer);
        bool near = d.z <= bound[p][0] * d.z_rms && d.pixel <= bound[p][2] &&
                    (double)d.codes <= bound[p][1] * VLM_CODES;
        printf("%s %s: latents differ by %.2e of %.3f, %zu of %d codes, pixels by %.2e%s\n", id,
               words[p], d.z, d.z_rms, d.codes, VLM_CODES, d.pixel, near ? "" : ": too much");
        good &= near;
    }
    free_reference(&reference);
    free(to);
    return remove_test_folder(NULL) || !good;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_graph_has_its_counts),
        cmocka_unit_test(architecture_is_checked),
        cmocka_unit_test(taming_is_that_of_pytorch),
        cmocka_unit_test(llamagen_is_that_of_pytorch),
        cmocka_unit_test(maskgit_is_that_of_pytorch),
        cmocka_unit_test(chameleon_is_that_of_pytorch),
        cmocka_unit_test(faster_precisions_are_near),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(import_names_what_is_wrong),
        cmocka_unit_test(every_tensor_is_needed),
        cmocka_unit_test(tensors_of_training_are_ignored),
    };
    if (argc == 3)
        return compare_files(argv[1], argv[2]);
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
