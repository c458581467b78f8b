/* tokenizer.c - opening a tokenizer, and what one thread needs to use it.
 *
 * A kind knows only its graph between pixels and latents. Here is the rest, once for all kinds: the
 * folder and its id, bytes to pixels and back, the search for the nearest code, partial grids, and a
 * tape whose memory is as large as a dry run of the graph says. */
#include "base/vlm.h"

#include "vqgan/tokenizer/tokenizer.h"

#include "base/file.h"
#include "base/limits.h"
#include "nn/ops/quantise.h"
#include "vqgan/tokenizer/kind.h"
#include "vqgan/tokenizer/model_internal.h"
#include "vqgan/tokenizer/shipped.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

struct vlm_tokenizer {
    const struct vlm_kind *kind;
    void *model;
    struct vlm_kind_codebook codebook;
    float *middle; /* [D] mean row of the codebook: stands where a code is unknown */
    enum vlm_precision precision;
    size_t parameters;
    char id[VLM_TOKENIZER_ID_SIZE];
    struct vlm_buffer config; /* with a NUL */
};

static const struct vlm_kind *const kinds[] = {
    &vlm_kind_pca,      &vlm_kind_vq_s,    &vlm_kind_vq_xs,     &vlm_kind_taming,
    &vlm_kind_llamagen, &vlm_kind_maskgit, &vlm_kind_chameleon,
};

/* ---- opening ---- */

/* Where the two files of a model come from: a folder, or the program itself. */
static int open_files(struct vlm_safetensors **weights, struct vlm_buffer *config,
                      const char *folder, struct vlm_err *err)
{
    if (!folder) {
        const struct vlm_shipped text = vlm_shipped_config(), file = vlm_shipped_weights();
        vlm_buffer_add(config, text.bytes, text.size);
        int fd = memfd_create("vlm-tokenizer", MFD_CLOEXEC);
        if (fd < 0)
            return vlm_fail_errno(err, errno, "cannot unpack the shipped tokenizer");
        int rc = vlm_write_all(fd, file.bytes, file.size, "shipped tokenizer", err);
        if (rc == VLM_OK)
            return vlm_safetensors_open_fd(weights, fd, "shipped tokenizer", err);
        close(fd);
        return rc;
    }
    char *path = vlm_path_join(folder, "config.json");
    int rc = vlm_file_read_regular(config, path, VLM_TOKENIZER_CONFIG_MAX, err);
    free(path);
    path = vlm_path_join(folder, "model.safetensors");
    if (rc == VLM_OK)
        rc = vlm_safetensors_open(weights, path, err);
    free(path);
    return rc;
}

static const char *member(json_object *object, const char *key)
{
    json_object *value = json_object_object_get(object, key);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

/* Finds the kind and checks that config.json is one of ours. */
static int read_config(struct vlm_tokenizer *tokenizer, json_object **root, struct vlm_err *err)
{
    int rc =
        vlm_json_parse(root, (const char *)tokenizer->config.data, tokenizer->config.size - 1, err);
    if (rc != VLM_OK)
        return rc;
    const char *format = member(*root, "format"), *kind = member(*root, "kind");
    if (!format || strcmp(format, VLM_MODEL_FORMAT))
        return vlm_fail(err, VLM_EFORMAT, "\"format\" is '%.40s', expected '%s'",
                        format ? format : "absent", VLM_MODEL_FORMAT);
    if (!json_object_is_type(json_object_object_get(*root, "architecture"), json_type_object) ||
        !member(*root, "tokenizer"))
        return vlm_fail(err, VLM_EFORMAT, "\"tokenizer\" or \"architecture\" is missing");
    for (size_t i = 0; kind && i < VLM_COUNTOF(kinds); i++)
        if (!strcmp(kind, kinds[i]->name))
            tokenizer->kind = kinds[i];
    if (!tokenizer->kind)
        return vlm_fail(err, VLM_EFORMAT, "\"kind\" is '%.40s': no such tokenizer",
                        kind ? kind : "absent");
    return VLM_OK;
}

/* The tensors of an open file, for the id. */
struct file_values {
    const struct vlm_safetensors *file;
    float *numbers; /* as many as the largest tensor has */
};

static const char *file_name(const void *context, size_t i)
{
    return vlm_safetensors_at(((const struct file_values *)context)->file, i)->name;
}

static int file_read(const void *context, size_t i, struct vlm_model_tensor *tensor,
                     struct vlm_err *err)
{
    const struct file_values *values = context;
    const struct vlm_safetensors_entry *entry = vlm_safetensors_at(values->file, i);
    *tensor = (struct vlm_model_tensor){ .name = entry->name,
                                         .rank = entry->rank,
                                         .data = values->numbers };
    if (entry->rank > VLM_RANK_MAX)
        return vlm_fail(err, VLM_EFORMAT, "tensor '%.80s' has %u dimensions, a tokenizer's have 4",
                        entry->name, entry->rank);
    memcpy(tensor->shape, entry->shape, sizeof(tensor->shape));
    return vlm_safetensors_read_f32(values->file, entry, values->numbers, VLM_SAFETENSORS_FINITE,
                                    err);
}

/* The id of what is really in the file; it must be the one that config.json states. */
static int check_id(struct vlm_tokenizer *tokenizer, const struct vlm_safetensors *file,
                    json_object *root, struct vlm_err *err)
{
    struct file_values context = { .file = file };
    const char *stated = member(root, "tokenizer");
    char *architecture = NULL, id[VLM_TOKENIZER_ID_SIZE];
    size_t largest = 0;
    for (size_t i = 0; i < vlm_safetensors_count(file); i++) {
        largest = VLM_MAX(largest, vlm_safetensors_at(file, i)->count);
        tokenizer->parameters += vlm_safetensors_at(file, i)->count;
    }
    int rc = vlm_model_plain(
        &architecture, json_object_to_json_string(json_object_object_get(root, "architecture")),
        err);
    context.numbers = malloc(largest * sizeof(float) + 1);
    if (rc == VLM_OK && !context.numbers)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a tensor of %zu numbers", largest);
    const struct vlm_model_values values = { .kind = tokenizer->kind->name,
                                             .architecture = architecture,
                                             .count = vlm_safetensors_count(file),
                                             .name = file_name,
                                             .read = file_read,
                                             .context = &context };
    if (rc == VLM_OK)
        rc = vlm_model_id(id, &values, VLM_PRECISION_EXACT, err);
    if (rc == VLM_OK && strcmp(id, stated))
        rc = vlm_fail(err, VLM_EDIFFER, "config.json says '%.40s', the weights are those of '%s'",
                      stated, id);
    if (rc == VLM_OK && tokenizer->precision == VLM_PRECISION_EXACT)
        memcpy(tokenizer->id, id, sizeof(id));
    else if (rc == VLM_OK)
        rc = vlm_model_id(tokenizer->id, &values, tokenizer->precision, err);
    free(context.numbers);
    free(architecture);
    return rc;
}

static int load(struct vlm_tokenizer *tokenizer, const struct vlm_safetensors *file,
                json_object *root, struct vlm_err *err)
{
    struct vlm_engine engine = { 0 };
    int rc = vlm_engine_init(&engine, 1, VLM_GEMM_AUTO, err);
    const struct vlm_kind_source source = { .file = file,
                                            .architecture =
                                                json_object_object_get(root, "architecture"),
                                            .engine = &engine,
                                            .precision = tokenizer->precision };
    if (rc == VLM_OK)
        rc = tokenizer->kind->open(&tokenizer->model, &tokenizer->codebook, &source, err);
    vlm_engine_release(&engine);
    if (rc != VLM_OK)
        return rc;
    const struct vlm_tensor *table = &tokenizer->codebook.table;
    const size_t codes = table->shape[0], width = table->shape[1];
    if (!codes || codes > VLM_CODEBOOK_MAX || !width)
        return vlm_fail(err, VLM_EFORMAT, "a codebook of %zu rows of %zu, expected 1 to %d rows",
                        codes, width, VLM_CODEBOOK_MAX);
    tokenizer->middle = calloc(width, sizeof(float));
    if (!tokenizer->middle)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a codebook");
    for (size_t c = 0; c < width; c++) {
        double sum = 0;
        for (size_t k = 0; k < codes; k++)
            sum += (double)table->data[k * width + c];
        tokenizer->middle[c] = (float)(sum / (double)codes);
    }
    return VLM_OK;
}

int vlm_tokenizer_open(struct vlm_tokenizer **out, const char *folder, enum vlm_precision precision,
                       struct vlm_err *err)
{
    struct vlm_safetensors *file = NULL;
    json_object *root = NULL;
    *out = NULL;
    struct vlm_tokenizer *tokenizer = calloc(1, sizeof(*tokenizer));
    if (!tokenizer)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a tokenizer");
    tokenizer->precision = precision;
    int rc = open_files(&file, &tokenizer->config, folder, err);
    vlm_buffer_byte(&tokenizer->config, 0);
    if (rc == VLM_OK && tokenizer->config.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for a tokenizer's configuration");
    if (rc == VLM_OK) {
        rc = read_config(tokenizer, &root, err);
        if (rc == VLM_OK)
            rc = check_id(tokenizer, file, root, err);
        if (rc == VLM_OK)
            rc = load(tokenizer, file, root, err);
        if (rc != VLM_OK)
            rc = vlm_wrap(err, "tokenizer '%s'", folder ? folder : "(shipped)");
    }
    json_object_put(root);
    vlm_safetensors_close(file);
    if (rc != VLM_OK) {
        vlm_tokenizer_close(tokenizer);
        return rc;
    }
    *out = tokenizer;
    return VLM_OK;
}

void vlm_tokenizer_close(struct vlm_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    if (tokenizer->model)
        tokenizer->kind->close(tokenizer->model);
    vlm_buffer_release(&tokenizer->config);
    free(tokenizer->middle);
    free(tokenizer);
}

struct vlm_tokenizer_info vlm_tokenizer_info(const struct vlm_tokenizer *tokenizer)
{
    return (struct vlm_tokenizer_info){
        .id = tokenizer->id,
        .kind = tokenizer->kind->name,
        .config = (const char *)tokenizer->config.data,
        .codebook_size = tokenizer->codebook.table.shape[0],
        .code_width = tokenizer->codebook.table.shape[1],
        .parameters = tokenizer->parameters,
        .precision = tokenizer->precision,
    };
}

/* ---- a coder ---- */

struct vlm_coder {
    const struct vlm_tokenizer *tokenizer;
    struct vlm_engine engine;
    struct vlm_tape tape;
    struct vlm_coder_cost cost;
};

static struct vlm_tensor *new_image(struct vlm_tape *tape, size_t side, size_t channels)
{
    return vlm_tensor_new(tape, "image", VLM_F32, 4, (size_t[]){ 1, side, side, channels });
}

static int to_bytes(uint8_t *square, const struct vlm_kind_codebook *codebook, const float *x,
                    struct vlm_err *err)
{
    for (size_t i = 0; i < VLM_SQUARE_BYTES; i++) {
        float value = codebook->minus_one_to_one ? (x[i] + 1.0f) * 127.5f : x[i] * 255.0f;
        if (!isfinite(value))
            return vlm_fail(err, VLM_EFORMAT, "pixel %zu of the reconstruction is not finite",
                            i / 3);
        square[i] = (uint8_t)lrintf(value < 0 ? 0 : value > 255 ? 255 : value);
    }
    return VLM_OK;
}

/* square NULL: a dry tape. */
static struct vlm_tensor *latents(struct vlm_tape *tape, const struct vlm_tokenizer *tokenizer,
                                  const uint8_t *square)
{
    const bool centred = tokenizer->codebook.minus_one_to_one;
    struct vlm_tensor *x = new_image(tape, VLM_SQUARE_SIDE, 3);
    if (vlm_tape_runs(tape))
        tape->engine->kernels->rows->from_bytes(x->data, square, centred ? 127.5f : 255.0f,
                                                centred ? 1.0f : 0.0f, VLM_SQUARE_BYTES);
    struct vlm_tensor *z = tokenizer->kind->encode(tape, tokenizer->model, x);
    VLM_BUG_IF(vlm_tensor_rows(z) != VLM_CODES ||
               vlm_tensor_cols(z) != tokenizer->codebook.table.shape[1]);
    return z;
}

static void find_codes(struct vlm_tape *tape, const struct vlm_tokenizer *tokenizer,
                       struct vlm_tensor *z, uint32_t codes[VLM_CODES])
{
    struct vlm_tensor table = tokenizer->codebook.table;
    if (tokenizer->codebook.cosine)
        z = vlm_unit_rows(tape, z);
    vlm_quantise(tape, z, &(struct vlm_quantise){ .codebook = &table, .codes = codes }, NULL);
}

static struct vlm_tensor *pixels(struct vlm_tape *tape, const struct vlm_tokenizer *tokenizer,
                                 const uint16_t *codes)
{
    const struct vlm_tensor *table = &tokenizer->codebook.table;
    const size_t width = table->shape[1];
    struct vlm_tensor *q = new_image(tape, VLM_CODES_SIDE, width);
    for (size_t i = 0; codes && vlm_tape_runs(tape) && i < VLM_CODES; i++)
        memcpy(q->data + i * width,
               codes[i] == VLM_CODE_UNKNOWN ? tokenizer->middle : table->data + codes[i] * width,
               width * sizeof(float));
    struct vlm_tensor *x = tokenizer->kind->decode(tape, tokenizer->model, q);
    VLM_BUG_IF(vlm_tensor_count(x) != VLM_SQUARE_BYTES);
    return x;
}

/* Both directions on a tape that only counts: what the real one needs. */
static int measure(size_t *bytes, struct vlm_coder *coder, struct vlm_tape_options options,
                   struct vlm_err *err)
{
    struct vlm_tape tape;
    uint32_t codes[VLM_CODES];
    options.flags |= VLM_TAPE_DRY;
    int rc = vlm_tape_init(&tape, &coder->engine, &options, err);
    if (rc != VLM_OK)
        return rc;
    find_codes(&tape, coder->tokenizer, latents(&tape, coder->tokenizer, NULL), codes);
    coder->cost.encode = tape.flops;
    vlm_tape_reset(&tape);
    (void)pixels(&tape, coder->tokenizer, NULL);
    coder->cost.decode = tape.flops;
    rc = vlm_tape_error(&tape, err);
    *bytes = vlm_tape_peak(&tape);
    vlm_tape_release(&tape);
    return rc;
}

int vlm_coder_new(struct vlm_coder **out, const struct vlm_tokenizer *tokenizer, size_t threads,
                  struct vlm_err *err)
{
    *out = NULL;
    struct vlm_coder *coder = calloc(1, sizeof(*coder));
    if (!coder)
        return vlm_fail(err, VLM_ENOMEM, "no memory for a tokenizer");
    coder->tokenizer = tokenizer;
    struct vlm_tape_options options = { .precision = tokenizer->precision == VLM_PRECISION_BF16
                                                         ? VLM_BF16
                                                         : VLM_F32,
                                        .flags = VLM_TAPE_FORWARD };
    int rc = vlm_engine_init(&coder->engine, threads, VLM_GEMM_AUTO, err);
    if (rc == VLM_OK)
        rc = measure(&options.memory, coder, options, err);
    if (rc == VLM_OK)
        rc = vlm_tape_init(&coder->tape, &coder->engine, &options, err);
    if (rc != VLM_OK) {
        vlm_coder_free(coder);
        return rc;
    }
    *out = coder;
    return VLM_OK;
}

void vlm_coder_free(struct vlm_coder *coder)
{
    if (!coder)
        return;
    vlm_tape_release(&coder->tape);
    vlm_engine_release(&coder->engine);
    free(coder);
}

void vlm_coder_stop(struct vlm_coder *coder, const atomic_bool *stop)
{
    coder->tape.stop = stop;
}

struct vlm_coder_cost vlm_coder_cost(const struct vlm_coder *coder)
{
    return coder->cost;
}

int vlm_coder_encode(struct vlm_coder *coder, uint16_t *codes, const uint8_t *squares, size_t n,
                     struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < n; i++) {
        uint32_t chosen[VLM_CODES];
        vlm_tape_reset(&coder->tape);
        find_codes(&coder->tape, coder->tokenizer,
                   latents(&coder->tape, coder->tokenizer, squares + i * VLM_SQUARE_BYTES), chosen);
        rc = vlm_tape_error(&coder->tape, err);
        for (size_t k = 0; rc == VLM_OK && k < VLM_CODES; k++)
            codes[i * VLM_CODES + k] = (uint16_t)chosen[k];
    }
    return rc;
}

static int check_codes(const struct vlm_tokenizer *tokenizer, const uint16_t *codes,
                       struct vlm_err *err)
{
    const size_t size = tokenizer->codebook.table.shape[0];
    for (size_t i = 0; i < VLM_CODES; i++)
        if (codes[i] >= size && codes[i] != VLM_CODE_UNKNOWN)
            return vlm_fail(err, VLM_EFORMAT, "code %zu is %u, '%s' has codes 0 to %zu", i,
                            codes[i], tokenizer->id, size - 1);
    return VLM_OK;
}

/* 16 x 16 pixels of grey where nothing is known. */
static void paint_unknown(uint8_t *square, const uint16_t *codes)
{
    enum { CELL = VLM_SQUARE_SIDE / VLM_CODES_SIDE, ROW = VLM_SQUARE_SIDE * 3 };
    for (size_t i = 0; i < VLM_CODES; i++) {
        uint8_t *cell = square + i / VLM_CODES_SIDE * CELL * ROW + i % VLM_CODES_SIDE * CELL * 3;
        for (size_t y = 0; codes[i] == VLM_CODE_UNKNOWN && y < CELL; y++)
            memset(cell + y * ROW, 128, (size_t)CELL * 3);
    }
}

int vlm_coder_decode(struct vlm_coder *coder, uint8_t *squares, const uint16_t *codes, size_t n,
                     struct vlm_err *err)
{
    int rc = VLM_OK;
    for (size_t i = 0; rc == VLM_OK && i < n; i++) {
        const uint16_t *own = codes + i * VLM_CODES;
        uint8_t *square = squares + i * VLM_SQUARE_BYTES;
        rc = check_codes(coder->tokenizer, own, err);
        if (rc != VLM_OK)
            break;
        vlm_tape_reset(&coder->tape);
        const struct vlm_tensor *x = pixels(&coder->tape, coder->tokenizer, own);
        rc = vlm_tape_error(&coder->tape, err);
        if (rc == VLM_OK)
            rc = to_bytes(square, &coder->tokenizer->codebook, x->data, err);
        if (rc == VLM_OK)
            paint_unknown(square, own);
    }
    return rc;
}

int vlm_coder_latents(struct vlm_coder *coder, float *z, const uint8_t square[VLM_SQUARE_BYTES],
                      struct vlm_err *err)
{
    vlm_tape_reset(&coder->tape);
    const struct vlm_tensor *found = latents(&coder->tape, coder->tokenizer, square);
    int rc = vlm_tape_error(&coder->tape, err);
    if (rc == VLM_OK)
        memcpy(z, found->data, vlm_tensor_count(found) * sizeof(float));
    return rc;
}

int vlm_coder_pixels(struct vlm_coder *coder, float *x, const uint16_t codes[VLM_CODES],
                     struct vlm_err *err)
{
    int rc = check_codes(coder->tokenizer, codes, err);
    if (rc != VLM_OK)
        return rc;
    vlm_tape_reset(&coder->tape);
    const struct vlm_tensor *found = pixels(&coder->tape, coder->tokenizer, codes);
    rc = vlm_tape_error(&coder->tape, err);
    if (rc == VLM_OK)
        memcpy(x, found->data, VLM_SQUARE_BYTES * sizeof(float));
    return rc;
}
