/* test_vq.c - the graph of vq-s and vq-xs, its loss, its codebook and its crops.
 *
 * Beside PyTorch: tests/vectors/vq.safetensors, made and described by tests/reference/vq_parity.py. */
#include "base/vlm.h"

#include "nn/ops/activation.h"
#include "nn/ops/image_loss.h"
#include "nn/ops/quantise.h"
#include "nn/safetensors.h"
#include "tests/nn_fixture.h"
#include "vqgan/tokenizer/vq.h"
#include "vqgan/train/vq_codebook.h"
#include "vqgan/train/vq_crops.h"

/* ---- the loss ---- */

static struct vlm_image_loss all_terms(const float *target)
{
    return (struct vlm_image_loss){
        .target = target, .absolute = 0.7f, .square = 1.3f, .scales = 3, .scale_weight = 0.5f
    };
}

struct loss_case {
    struct vlm_tensor *x;
    const float *target;
};

static struct vlm_tensor *loss_of(struct vlm_tape *tape, void *context)
{
    const struct loss_case *self = context;
    struct vlm_image_loss loss = all_terms(self->target);
    return vlm_image_loss(tape, self->x, &loss);
}

/* The header's formula, one number at a time. */
static double plain_loss(const float *x, const float *target, const size_t shape[4])
{
    size_t n = shape[0], h = shape[1], w = shape[2], channels = shape[3],
           count = n * h * w * channels;
    double *e = malloc((count + 1) * sizeof(double)), l1 = 0, l2 = 0, sum = 0;
    assert_non_null(e);
    for (size_t i = 0; i < count; i++) {
        e[i] = (double)x[i] - (double)target[i];
        l1 += fabs(e[i]) / (double)count;
        l2 += e[i] * e[i] / (double)count;
    }
    for (unsigned s = 0; s < 3; s++) {
        size_t width = w, image = h * w * channels;
        double pixel = 0, down = 0, across = 0;
        h /= 2;
        w /= 2;
        for (size_t i = 0; i < n; i++)
            for (size_t r = 0; r < h; r++)
                for (size_t c = 0; c < w; c++)
                    for (size_t k = 0; k < channels; k++) {
                        const double *a = e + i * image + (2 * r * width + 2 * c) * channels + k;
                        double mean =
                            (a[0] + a[channels] + a[width * channels] + a[(width + 1) * channels]) /
                            4;
                        double *to = e + ((i * h + r) * w + c) * channels + k;
                        *to = mean; /* behind everything that is still to be read */
                        pixel += fabs(mean);
                        down += r ? fabs(mean - *(to - w * channels)) : 0;
                        across += c ? fabs(mean - *(to - channels)) : 0;
                    }
        double all = (double)(n * channels), rows = (double)h, cols = (double)w;
        sum += h && w ? pixel / (all * rows * cols) : 0;
        sum += h > 1 && w ? down / (all * (rows - 1) * cols) : 0;
        sum += h && w > 1 ? across / (all * rows * (cols - 1)) : 0;
    }
    free(e);
    return (double)0.7f * l1 + (double)1.3f * l2 + 0.5 * sum;
}

static void test_loss_is_its_formula(void **state)
{
    (void)state;
    static const size_t shapes[][4] = { { 2, 16, 16, 3 }, { 1, 8, 8, 3 },  { 3, 17, 22, 1 },
                                        { 1, 1, 1, 3 },   { 2, 2, 40, 3 }, { 1, 5, 3, 4 } };
    for (size_t i = 0; i < VLM_COUNTOF(shapes); i++) {
        struct nn nn;
        struct vlm_image_loss_parts parts;
        nn_begin(&nn, NULL, 2);
        struct vlm_tensor *x = nn_tensor(&nn, 4, shapes[i]), *target = nn_tensor(&nn, 4, shapes[i]);
        struct vlm_image_loss loss = all_terms(target->data);
        loss.parts = &parts;
        struct vlm_tensor *y = vlm_image_loss(&nn.tape, x, &loss);
        double expected = plain_loss(x->data, target->data, shapes[i]);
        nn_check_close(y->data, &expected, 1, 1e-6);
        double whole =
            (double)0.7f * parts.absolute + (double)1.3f * parts.square + 0.5 * parts.scales;
        nn_check_close(y->data, &whole, 1, 1e-6);
        nn_end(&nn);
    }
}

static void test_loss_gradient(void **state)
{
    (void)state;
    struct nn nn;
    nn_begin(&nn, NULL, 2);
    const size_t shape[] = { 2, 9, 16, 3 };
    struct vlm_tensor *x = nn_tensor(&nn, 4, shape);
    float *target = calloc(vlm_tensor_count(x), sizeof(float));
    assert_non_null(target);
    nn_fill(target, vlm_tensor_count(x), 5);
    struct loss_case context = { x, target };
    /* Small steps: the loss has a kink wherever an error is 0. */
    nn_check_gradients(&nn, loss_of, &context, 2e-4, 2e-3);
    free(target);
    nn_end(&nn);
}

static void test_loss_bits_of_threads(void **state)
{
    (void)state;
    const size_t shape[] = { 7, 16, 24, 3 };
    float *gradient[2], value[2];
    for (size_t i = 0; i < 2; i++) {
        struct nn nn;
        nn_begin(&nn, NULL, i ? 3 : 1);
        struct vlm_tensor *x = nn_tensor(&nn, 4, shape), *target = nn_tensor(&nn, 4, shape);
        struct loss_case context = { x, target->data };
        value[i] = (float)nn_backward(&nn, loss_of, &context);
        gradient[i] = x->grad;
        x->grad = NULL;
        nn_end(&nn);
    }
    nn_check_bits(&value[0], &value[1], 1);
    nn_check_bits(gradient[0], gradient[1], 7 * 16 * 24 * 3);
    free(gradient[0]);
    free(gradient[1]);
}

/* ---- the graph ---- */

/* As vq-s, and with the encoder of vq-xs. */
static const struct vlm_vq_shape tiny = {
    .kind = "vq-s",
    .stem = 8,
    .levels = 2,
    .widths = { 8, 12 },
    .encoder_blocks = { 1, 1 },
    .decoder_blocks = { 1, 2 },
    .groups = 4,
    .codes = 16,
    .code_width = 4,
};
static const struct vlm_vq_shape tiny_patches = {
    .kind = "vq-xs",
    .stem = 8,
    .levels = 2,
    .widths = { 8, 12 },
    .encoder_blocks = { 0, 2 },
    .decoder_blocks = { 1, 1 },
    .patch_width = 16,
    .groups = 4,
    .codes = 16,
    .code_width = 4,
};

/* Second convolutions too, which begin as 0. */
static void fill_all(struct vlm_vq *vq)
{
    for (size_t i = 0; i + 1 < vq->n_parameters; i++) {
        const struct vlm_tensor *p = vq->parameters[i].tensor;
        size_t count = vlm_tensor_count(p), summed = count / p->shape[0];
        float scale = p->rank > 1 ? 1.5f / sqrtf((float)summed) : 0.3f;
        for (size_t k = 0; k < count; k++)
            p->data[k] =
                scale * nn_random(i, k) + (p->rank == 1 && strstr(p->name, "norm") ? 1 : 0);
    }
}

struct graph_case {
    struct vlm_vq *vq;
    struct vlm_tensor *x;
};

static struct vlm_tensor *graph_of(struct vlm_tape *tape, void *context)
{
    const struct graph_case *self = context;
    struct vlm_tensor *z = vlm_unit_rows(tape, vlm_vq_encode(tape, self->vq, self->x));
    return vlm_vq_decode(tape, self->vq, z);
}

static void check_gradients(const struct vlm_vq_shape *shape)
{
    struct nn nn;
    struct vlm_vq vq;
    struct vlm_err err = { 0 };
    nn_begin(&nn, NULL, 2);
    assert_int_equal(vlm_vq_init(&vq, shape, VLM_VQ_GRADIENTS, &err), VLM_OK);
    fill_all(&vq);
    struct graph_case context = { &vq, nn_tensor(&nn, 4, (size_t[]){ 1, 16, 32, 3 }) };
    for (size_t i = 0; i + 1 < vq.n_parameters; i++)
        nn.tensor[nn.n_tensors++] = vq.parameters[i].tensor;
    assert_true(nn.n_tensors <= NN_TENSORS_MAX);
    nn_check_gradients(&nn, graph_of, &context, 4e-3, 2e-2);
    nn.n_tensors = 1; /* the others are not the fixture's */
    vlm_vq_release(&vq);
    nn_end(&nn);
}

static void test_gradients_of_the_graph(void **state)
{
    (void)state;
    check_gradients(&tiny);
    check_gradients(&tiny_patches);
}

static void test_sizes_of_the_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        size_t most; /* parameters */
    } kinds[] = { { "vq-s", 10500000 }, { "vq-xs", 3000000 } };
    for (size_t i = 0; i < VLM_COUNTOF(kinds); i++) {
        struct vlm_vq vq;
        struct vlm_err err = { 0 };
        const struct vlm_vq_shape *shape = vlm_vq_shape_named(kinds[i].kind);
        assert_non_null(shape);
        assert_int_equal(vlm_vq_init(&vq, shape, VLM_VQ_COUNT, &err), VLM_OK);
        assert_true(vq.count > kinds[i].most / 2 && vq.count <= kinds[i].most);
        for (size_t k = 0; k < vq.n_parameters; k++)
            for (size_t m = 0; m < k; m++)
                assert_string_not_equal(vq.parameters[k].name, vq.parameters[m].name);
        vlm_vq_release(&vq);
    }
    assert_null(vlm_vq_shape_named("vq-xl"));
}

static void test_shapes_that_make_no_graph(void **state)
{
    (void)state;
    struct vlm_vq vq;
    struct vlm_err err = { 0 };
    struct vlm_vq_shape shapes[7];
    for (size_t i = 0; i < VLM_COUNTOF(shapes); i++)
        shapes[i] = tiny;
    shapes[0].stem = 4;
    shapes[1].levels = 0;
    shapes[2].groups = 3;
    shapes[3].codes = 0;
    shapes[4].encoder_blocks[1] = VLM_VQ_BLOCKS_MAX + 1;
    shapes[5].levels = VLM_VQ_LEVELS_MAX + 1;
    shapes[6].patch_width = 10;
    for (size_t i = 0; i < VLM_COUNTOF(shapes); i++)
        assert_int_equal(vlm_vq_init(&vq, &shapes[i], 0, &err), VLM_EUSAGE);
}

/* Packed weights and any batch: the same bits as training sees. */
static void test_packed_is_the_same(void **state)
{
    (void)state;
    struct nn nn;
    struct vlm_vq vq;
    struct vlm_err err = { 0 };
    nn_begin_with(&nn, NULL, 2, VLM_F32, VLM_TAPE_FORWARD);
    assert_int_equal(vlm_vq_init(&vq, &tiny, 0, &err), VLM_OK);
    fill_all(&vq);
    struct vlm_tensor *x = nn_tensor(&nn, 4, (size_t[]){ 3, 32, 16, 3 });
    struct vlm_tensor *y = graph_of(&nn.tape, &(struct graph_case){ &vq, x });
    assert_int_equal(vlm_vq_pack(&vq, &nn.engine, VLM_F32, &err), VLM_OK);
    assert_non_null(vq.decoder.change[0].packed);
    size_t count = vlm_tensor_count(x) / 3;
    for (size_t i = 0; i < 3; i++) {
        struct vlm_tensor one = *x;
        one.shape[0] = 1;
        one.data = x->data + i * count;
        struct vlm_tensor *again = graph_of(&nn.tape, &(struct graph_case){ &vq, &one });
        nn_check_bits(again->data, y->data + i * count, count);
    }
    vlm_vq_release(&vq);
    nn_end(&nn);
}

/* ---- beside PyTorch ---- */

static const struct vlm_safetensors_entry *entry_of(const struct vlm_safetensors *file,
                                                    const char *prefix, const char *name)
{
    char whole[2 * VLM_VQ_NAME_SIZE];
    snprintf(whole, sizeof(whole), "%s%s", prefix, name);
    const struct vlm_safetensors_entry *entry = vlm_safetensors_find(file, whole);
    if (!entry)
        fail_msg("no tensor '%s'", whole);
    return entry;
}

static float *read_floats(const struct vlm_safetensors *file, const char *prefix, const char *name,
                          size_t count)
{
    struct vlm_err err = { 0 };
    const struct vlm_safetensors_entry *entry = entry_of(file, prefix, name);
    assert_int_equal(entry->count, count);
    float *values = malloc(count * sizeof(float));
    assert_non_null(values);
    assert_int_equal(vlm_safetensors_read_f32(file, entry, values, VLM_SAFETENSORS_FINITE, &err),
                     VLM_OK);
    return values;
}

/* |a - b| to |b|, as vectors. */
static void check_near(const char *name, const float *a, const float *b, size_t n, double tolerance)
{
    double difference = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        difference += pow((double)a[i] - (double)b[i], 2);
        square += (double)b[i] * (double)b[i];
    }
    if (!(sqrt(difference) <= tolerance * sqrt(square)))
        fail_msg("%s: %g of %g", name, sqrt(difference), sqrt(square));
}

static void check_tensor(const struct vlm_safetensors *file, const char *name,
                         const struct vlm_tensor *t, double tolerance)
{
    float *expected = read_floats(file, "", name, vlm_tensor_count(t));
    check_near(name, t->data, expected, vlm_tensor_count(t), tolerance);
    free(expected);
}

static void compare_losses(const struct vlm_safetensors *file, double loss,
                           const struct vlm_image_loss_parts *parts)
{
    struct vlm_err err = { 0 };
    double expected[4];
    const double found[4] = { loss, parts->absolute, parts->square, parts->scales };
    const struct vlm_safetensors_entry *entry = entry_of(file, "", "losses");
    assert_int_equal(entry->bytes, sizeof(expected));
    assert_int_equal(vlm_safetensors_read_raw(file, entry, expected, &err), VLM_OK);
    for (size_t i = 0; i < VLM_COUNTOF(found); i++)
        if (!(fabs(found[i] - expected[i]) <= 1e-5 * expected[i]))
            fail_msg("loss %zu: %.9g, expected %.9g", i, found[i], expected[i]);
}

static void compare_gradients(const struct vlm_safetensors *file, const struct vlm_vq *vq)
{
    for (size_t i = 0; i + 1 < vq->n_parameters; i++) {
        const struct vlm_tensor *p = vq->parameters[i].tensor;
        float *expected = read_floats(file, "grad.", p->name, vlm_tensor_count(p));
        check_near(p->name, p->grad, expected, vlm_tensor_count(p), 1e-4);
        free(expected);
    }
}

static void test_parity_with_pytorch(void **state)
{
    (void)state;
    enum { CODES = 12 };
    struct nn nn;
    struct vlm_vq vq;
    struct vlm_err err = { 0 };
    struct vlm_safetensors *file;
    struct vlm_image_loss_parts parts;
    uint32_t codes[CODES];
    int32_t expected[CODES];
    if (vlm_safetensors_open(&file, "tests/vectors/vq.safetensors", &err))
        fail_msg("%s", err.msg);
    nn_begin(&nn, NULL, 2);
    assert_int_equal(vlm_vq_init(&vq, &tiny, VLM_VQ_GRADIENTS, &err), VLM_OK);
    for (size_t i = 0; i < vq.n_parameters; i++) {
        const struct vlm_tensor *p = vq.parameters[i].tensor;
        float *values = read_floats(file, "weight.", p->name, vlm_tensor_count(p));
        memcpy(p->data, values, vlm_tensor_count(p) * sizeof(float));
        free(values);
    }
    struct vlm_tensor x = { .name = "x", .rank = 4, .shape = { 2, 32, 48, 3 } };
    x.data = read_floats(file, "", "x", vlm_tensor_count(&x));
    struct vlm_tensor *z = vlm_unit_rows(&nn.tape, vlm_vq_encode(&nn.tape, &vq, &x)), *commitment;
    struct vlm_tensor *q = vlm_quantise(
        &nn.tape, z,
        &(struct vlm_quantise){ .codebook = &vq.codebook, .codes = codes, .beta = 0.25f },
        &commitment);
    struct vlm_tensor *y = vlm_vq_decode(&nn.tape, &vq, q);
    struct vlm_image_loss terms = all_terms(x.data);
    terms.parts = &parts;
    struct vlm_tensor *loss = vlm_image_loss(&nn.tape, y, &terms);
    const double pixels = (double)loss->data[0], distance = (double)commitment->data[0] / 1.25;
    loss = vlm_add(&nn.tape, loss, commitment);
    assert_int_equal(vlm_backward(&nn.tape, loss, &err), VLM_OK);

    check_tensor(file, "z", z, 1e-5);
    check_tensor(file, "y", y, 1e-5);
    assert_int_equal(vlm_safetensors_read_raw(file, entry_of(file, "", "codes"), expected, &err),
                     VLM_OK);
    for (size_t i = 0; i < CODES; i++)
        assert_int_equal(codes[i], expected[i]);
    compare_losses(file, pixels + 0.25 * distance, &parts);
    compare_gradients(file, &vq);
    free(x.data);
    vlm_vq_release(&vq);
    nn_end(&nn);
    vlm_safetensors_close(file);
}

/* ---- the codebook ---- */

enum { CENTRES = 24, WIDTH = 4, PER_CENTRE = 40, LATENTS = CENTRES * PER_CENTRE };

/* Latents of length 1 in well separated bunches; bunches from `first` on only. */
static void make_bunches(float *z, size_t first, uint64_t seed)
{
    for (size_t r = 0; r < LATENTS; r++) {
        size_t bunch = first + r % (CENTRES - first);
        float *row = z + r * WIDTH;
        for (size_t i = 0; i < WIDTH; i++)
            row[i] = nn_random(50, bunch * WIDTH + i) + 0.01f * nn_random(seed, r * WIDTH + i);
        vlm_vq_set_unit(row, row, WIDTH);
    }
}

static float nearest(uint32_t *code, const float *z, const struct vlm_tensor *table)
{
    float best = -2;
    for (size_t k = 0; k < table->shape[0]; k++) {
        float product = 0;
        for (size_t i = 0; i < WIDTH; i++)
            product += z[i] * table->data[k * WIDTH + i];
        if (product > best) {
            best = product;
            *code = (uint32_t)k;
        }
    }
    return best;
}

static void choose_all(uint32_t *codes, const float *z, const struct vlm_tensor *table)
{
    for (size_t r = 0; r < LATENTS; r++)
        nearest(&codes[r], z + r * WIDTH, table);
}

static double sum_of(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    return sum;
}

static size_t used(const uint32_t *codes)
{
    bool seen[CENTRES] = { false };
    size_t n = 0;
    for (size_t r = 0; r < LATENTS; r++) {
        n += !seen[codes[r]];
        seen[codes[r]] = true;
    }
    return n;
}

static void test_codebook_finds_bunches(void **state)
{
    (void)state;
    struct nn nn;
    struct vlm_vq_codebook book;
    struct vlm_err err = { 0 };
    static float z[LATENTS * WIDTH];
    static uint32_t codes[LATENTS];
    nn_begin(&nn, NULL, 2);
    struct vlm_tensor *table = nn_tensor(&nn, 2, (size_t[]){ CENTRES, WIDTH });
    assert_int_equal(vlm_vq_codebook_init(&book, table, &err), VLM_OK);
    make_bunches(z, 0, 60);
    const struct vlm_vq_fit fit = {
        .z = z, .rows = LATENTS, .rounds = 10, .seed = 3, .step_rows = 480
    };
    assert_int_equal(vlm_vq_codebook_fit(&book, &nn.engine, &fit, &err), VLM_OK);
    choose_all(codes, z, table);
    assert_int_equal(used(codes), CENTRES);
    size_t near = 0; /* k-means may give two bunches one code, but not many */
    for (size_t r = 0; r < LATENTS; r++) {
        uint32_t code;
        near += nearest(&code, z + r * WIDTH, table) > 0.99f;
    }
    assert_true(near >= LATENTS * 9 / 10);
    assert_true(fabs(sum_of(book.counts, CENTRES) - 480) < 1e-2);
    for (size_t k = 0; k < CENTRES; k++) {
        double length = 0;
        for (size_t i = 0; i < WIDTH; i++)
            length += pow((double)book.sums[k * WIDTH + i], 2);
        /* nearly all latents of a code have its direction */
        assert_true(sqrt(length) <= (double)book.counts[k] * 1.0001 && book.counts[k] > 0);
    }
    vlm_vq_codebook_release(&book);
    nn_end(&nn);
}

/* Codes follow latents that move, counts stay as many as there are latents, and codes whose latents are
 * gone begin anew among the others. */
static void test_codebook_follows_and_revives(void **state)
{
    (void)state;
    enum { STEPS = 400 };
    struct nn nn;
    struct vlm_vq_codebook book;
    struct vlm_err err = { 0 };
    static float z[LATENTS * WIDTH];
    static uint32_t codes[LATENTS], revived[CENTRES];
    float first[CENTRES * WIDTH];
    for (size_t turn = 0; turn < 2; turn++) {
        size_t begun = 0;
        nn_begin(&nn, NULL, turn + 1);
        struct vlm_tensor *table = nn_tensor(&nn, 2, (size_t[]){ CENTRES, WIDTH });
        assert_int_equal(vlm_vq_codebook_init(&book, table, &err), VLM_OK);
        make_bunches(z, 0, 61);
        const struct vlm_vq_fit fit = {
            .z = z, .rows = LATENTS, .rounds = 10, .seed = 3, .step_rows = LATENTS
        };
        assert_int_equal(vlm_vq_codebook_fit(&book, &nn.engine, &fit, &err), VLM_OK);
        for (size_t step = 0; step < STEPS; step++) {
            make_bunches(z, 6, 100 + step); /* six bunches are gone */
            choose_all(codes, z, table);
            const struct vlm_vq_move move = { .z = z,
                                              .codes = codes,
                                              .rows = LATENTS,
                                              .decay = 0.95,
                                              .dead = 0.1,
                                              .seed = 9,
                                              .step = step };
            size_t n = vlm_vq_codebook_move(&book, &move, revived);
            begun += n;
            for (size_t i = 0; i < n; i++)
                assert_true((double)book.counts[revived[i]] == (double)LATENTS / CENTRES);
            if (!begun)
                assert_true(fabs(sum_of(book.counts, CENTRES) - LATENTS) < 0.05);
        }
        assert_true(begun >= 6);
        assert_int_equal(used(codes), CENTRES);
        for (size_t k = 0; k < CENTRES; k++) {
            double square = 0;
            for (size_t i = 0; i < WIDTH; i++)
                square += pow((double)table->data[k * WIDTH + i], 2);
            assert_true(fabs(square - 1) < 1e-5);
        }
        if (turn)
            nn_check_bits(table->data, first, CENTRES * WIDTH);
        memcpy(first, table->data, sizeof(first));
        vlm_vq_codebook_release(&book);
        nn_end(&nn);
    }
}

/* ---- crops ---- */

static void paint(uint8_t square[VLM_SQUARE_BYTES])
{
    for (size_t y = 0; y < 256; y++)
        for (size_t x = 0; x < 256; x++)
            for (size_t c = 0; c < 3; c++)
                square[(y * 256 + x) * 3 + c] = (uint8_t)(c == 0 ? x : c == 1 ? y : 77);
}

static void test_crops(void **state)
{
    (void)state;
    static uint8_t square[VLM_SQUARE_BYTES];
    static float crop[256 * 256 * 3], rows[256 * 256 * 3];
    paint(square);
    /* as it is */
    vlm_vq_crop(crop, 256, square, &(struct vlm_vq_cut){ .side = 256 }, rows);
    for (size_t i = 0; i < VLM_SQUARE_BYTES; i++)
        assert_true(fabsf(crop[i] - ((float)square[i] / 127.5f - 1)) < 1e-6f);
    /* ramps stay ramps, inside, at any scale, and mirrors turn them round */
    static const struct vlm_vq_cut cuts[] = {
        { 10, 20, 91, false },
        { 3, 70, 183, false },
        { 128, 100, 128, true },
        { 0, 0, 183, true },
    };
    for (size_t i = 0; i < VLM_COUNTOF(cuts); i++) {
        const struct vlm_vq_cut *cut = &cuts[i];
        const double step = (double)cut->side / 128;
        vlm_vq_crop(crop, 128, square, cut, rows);
        for (size_t y = 4; y < 124; y++)
            for (size_t x = 4; x < 124; x++) {
                double across = ((double)(cut->mirror ? 127 - x : x) + 0.5) * step - 0.5;
                double expected[3] = { (double)cut->left + across,
                                       (double)cut->top + ((double)y + 0.5) * step - 0.5, 77 };
                for (size_t c = 0; c < 3; c++) {
                    double found = ((double)crop[(y * 128 + x) * 3 + c] + 1) * 127.5;
                    /* a triangle over pixels is not quite symmetric when it makes smaller */
                    if (!(fabs(found - expected[c]) < (step > 1 ? 0.2 : 1e-3)))
                        fail_msg("cut %zu, pixel %zu %zu %zu: %g, expected %g", i, y, x, c, found,
                                 expected[c]);
                }
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_is_its_formula),
        cmocka_unit_test(test_loss_gradient),
        cmocka_unit_test(test_loss_bits_of_threads),
        cmocka_unit_test(test_gradients_of_the_graph),
        cmocka_unit_test(test_sizes_of_the_kinds),
        cmocka_unit_test(test_shapes_that_make_no_graph),
        cmocka_unit_test(test_packed_is_the_same),
        cmocka_unit_test(test_parity_with_pytorch),
        cmocka_unit_test(test_codebook_finds_bunches),
        cmocka_unit_test(test_codebook_follows_and_revives),
        cmocka_unit_test(test_crops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
