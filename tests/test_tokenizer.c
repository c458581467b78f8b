/* Image tokenizers as their users see them: the shipped one, model folders, ids, partial grids. */
#include "base/vlm.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/folder_fixture.h"

#include "base/file.h"
#include "base/random.h"
#include "vqgan/tokenizer/model.h"
#include "vqgan/tokenizer/pca.h"
#include "vqgan/train/kmeans.h"
#include "vqgan/train/train.h"

/* A picture with edges, gradients and some noise, different for each number. */
static void paint(uint8_t square[VLM_SQUARE_BYTES], uint64_t number)
{
    struct vlm_random random = vlm_random_at(7, 1, number);
    unsigned angle = (unsigned)vlm_random_below(&random, 7), tint[3];
    for (unsigned c = 0; c < 3; c++)
        tint[c] = (unsigned)vlm_random_below(&random, 200);
    for (unsigned y = 0; y < 256; y++)
        for (unsigned x = 0; x < 256; x++)
            for (unsigned c = 0; c < 3; c++)
                square[(y * 256 + x) * 3 + c] =
                    (uint8_t)(tint[c] / 2 + (x * angle + y * (7 - angle)) / 24 +
                              ((x / 20 + y / 28) % 3 == 0 ? 40u : 0u) +
                              vlm_random_below(&random, 9));
}

static int read_painted(const struct vlm_pictures *pictures, bool held_out, size_t number,
                        uint8_t square[VLM_SQUARE_BYTES], struct vlm_err *err)
{
    (void)pictures;
    (void)held_out;
    (void)err;
    paint(square, number);
    return VLM_OK;
}

static double mean_square(const uint8_t *a, const uint8_t *b)
{
    double sum = 0;
    for (size_t i = 0; i < VLM_SQUARE_BYTES; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum / VLM_SQUARE_BYTES;
}

static char *train(const char *name, int64_t threads)
{
    struct vlm_err err = { 0 };
    struct vlm_buffer report = { 0 };
    char *path = vlm_path_join(test_folder, name);
    const struct vlm_pictures pictures = { .train = 24, .read = read_painted };
    const struct vlm_train_options options = {
        .output = path, .codes = 256, .threads = threads, .seed = 1, .quiet = true
    };
    if (vlm_train_pca(&pictures, &options, &report, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    vlm_buffer_release(&report);
    return path;
}

static struct vlm_tokenizer *open_tokenizer(const char *path, enum vlm_precision precision)
{
    struct vlm_err err = { 0 };
    struct vlm_tokenizer *tokenizer;
    if (vlm_tokenizer_open(&tokenizer, path, precision, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    return tokenizer;
}

static struct vlm_coder *new_coder(const struct vlm_tokenizer *tokenizer, size_t threads)
{
    struct vlm_err err = { 0 };
    struct vlm_coder *coder;
    if (vlm_coder_new(&coder, tokenizer, threads, &err) != VLM_OK)
        fail_msg("%s", err.msg);
    return coder;
}

static void pca_learns_and_is_the_same_for_any_threads(void **state)
{
    (void)state;
    char *one = train("pca-1", 1), *three = train("pca-3", 3);
    struct vlm_tokenizer *a = open_tokenizer(one, VLM_PRECISION_EXACT),
                         *b = open_tokenizer(three, VLM_PRECISION_EXACT);
    assert_string_equal(vlm_tokenizer_info(a).id, vlm_tokenizer_info(b).id);
    assert_int_equal(vlm_tokenizer_info(a).codebook_size, 256);
    struct vlm_err err = { 0 };
    struct vlm_coder *coder = new_coder(a, 1), *wide = new_coder(b, 3);
    static uint8_t squares[4][VLM_SQUARE_BYTES], back[4][VLM_SQUARE_BYTES];
    uint16_t codes[4][VLM_CODES], again[4][VLM_CODES];
    for (unsigned i = 0; i < 4; i++)
        paint(squares[i], i); /* were seen in training */
    assert_int_equal(vlm_coder_encode(coder, codes[0], squares[0], 4, &err), VLM_OK);
    for (unsigned i = 4; i-- > 0;)
        assert_int_equal(vlm_coder_encode(wide, again[i], squares[i], 1, &err), VLM_OK);
    assert_memory_equal(codes, again, sizeof(codes));
    assert_int_equal(vlm_coder_decode(coder, back[0], codes[0], 4, &err), VLM_OK);
    static uint8_t grey[VLM_SQUARE_BYTES];
    memset(grey, 128, sizeof(grey));
    for (unsigned i = 0; i < 4; i++)
        assert_true(mean_square(squares[i], back[i]) < mean_square(squares[i], grey) / 4);
    vlm_coder_free(coder);
    vlm_coder_free(wide);
    vlm_tokenizer_close(a);
    vlm_tokenizer_close(b);
    free(one);
    free(three);
}

/* Half of a picture's codes, then one that the codebook does not have. */
static void check_partial_grid(const struct vlm_tokenizer *tokenizer, bool cells_alone)
{
    struct vlm_err err = { 0 };
    struct vlm_coder *coder = new_coder(tokenizer, 1);
    static uint8_t square[VLM_SQUARE_BYTES], whole[VLM_SQUARE_BYTES], part[VLM_SQUARE_BYTES];
    uint16_t codes[VLM_CODES];
    paint(square, 3);
    assert_int_equal(vlm_coder_encode(coder, codes, square, 1, &err), VLM_OK);
    assert_int_equal(vlm_coder_decode(coder, whole, codes, 1, &err), VLM_OK);
    for (unsigned i = 128; i < VLM_CODES; i++)
        codes[i] = VLM_CODE_UNKNOWN;
    assert_int_equal(vlm_coder_decode(coder, part, codes, 1, &err), VLM_OK);
    for (size_t i = VLM_SQUARE_BYTES / 2; i < VLM_SQUARE_BYTES; i++)
        assert_int_equal(part[i], 128);
    if (cells_alone)
        assert_memory_equal(part, whole, VLM_SQUARE_BYTES / 2);
    double off = 0, grey = 0; /* group norms see the whole grid: near, not equal */
    for (size_t i = 0; i < VLM_SQUARE_BYTES / 2; i++) {
        off += abs(part[i] - whole[i]);
        grey += abs(128 - whole[i]);
    }
    assert_true(off < grey / 2);
    codes[5] = (uint16_t)vlm_tokenizer_info(tokenizer).codebook_size;
    assert_int_equal(vlm_coder_decode(coder, part, codes, 1, &err), VLM_EFORMAT);
    assert_non_null(strstr(err.msg, "code 5"));
    vlm_coder_free(coder);
}

static void partial_grids_decode(void **state)
{
    (void)state;
    char *path = train("pca-part", 1);
    struct vlm_tokenizer *pca = open_tokenizer(path, VLM_PRECISION_EXACT),
                         *shipped = open_tokenizer(NULL, VLM_PRECISION_EXACT);
    check_partial_grid(pca, true);
    check_partial_grid(shipped, false);
    vlm_tokenizer_close(pca);
    vlm_tokenizer_close(shipped);
    free(path);
}

static void changed_weights_are_not_the_same_tokenizer(void **state)
{
    (void)state;
    struct vlm_err err = { 0 };
    struct vlm_tokenizer *tokenizer;
    char *path = train("pca-changed", 1), *file = vlm_path_join(path, "model.safetensors");
    struct vlm_buffer bytes = { 0 };
    assert_int_equal(vlm_file_read(&bytes, file, 1 << 30, &err), VLM_OK);
    bytes.data[bytes.size - 4] ^= 1; /* the lowest bit of a number's mantissa */
    assert_int_equal(vlm_file_write(file, bytes.data, bytes.size, &err), VLM_OK);
    assert_int_equal(vlm_tokenizer_open(&tokenizer, path, VLM_PRECISION_EXACT, &err), VLM_EDIFFER);
    assert_null(tokenizer);
    assert_non_null(strstr(err.msg, "config.json says"));
    vlm_buffer_release(&bytes);
    free(file);
    free(path);
}

static void precision_is_part_of_the_id(void **state)
{
    (void)state;
    struct vlm_tokenizer *exact = open_tokenizer(NULL, VLM_PRECISION_EXACT),
                         *bf16 = open_tokenizer(NULL, VLM_PRECISION_BF16);
    assert_string_not_equal(vlm_tokenizer_info(exact).id, vlm_tokenizer_info(bf16).id);
    vlm_tokenizer_close(exact);
    vlm_tokenizer_close(bf16);
}

static void kmeans_finds_clusters(void **state)
{
    (void)state;
    enum { K = 20, PER = 50, WIDTH = 3 };
    static float vectors[K * PER * WIDTH], centres[K * WIDTH];
    static uint32_t nearest[K * PER];
    struct vlm_random random = vlm_random_at(3, 3, 3);
    for (unsigned v = 0; v < K * PER; v++)
        for (unsigned i = 0; i < WIDTH; i++)
            vectors[v * WIDTH + i] = (float)(10 * (v % K >> i * 2 & 3)) +
                                     0.5f * (float)vlm_random_unit(&random) +
                                     (i == 0 ? 100.0f * (float)(v % K / 16) : 0.0f);
    struct vlm_engine engine;
    struct vlm_err err = { 0 };
    assert_int_equal(vlm_engine_init(&engine, 2, VLM_GEMM_AUTO, &err), VLM_OK);
    struct vlm_kmeans job = {
        .vectors = vectors, .n = K * PER, .width = WIDTH, .centres = K, .rounds = 50, .seed = 2
    };
    assert_int_equal(vlm_kmeans(&engine, centres, nearest, &job, &err), VLM_OK);
    for (unsigned v = K; v < K * PER; v++)
        assert_int_equal(nearest[v], nearest[v % K]);
    vectors[17] = NAN;
    assert_int_equal(vlm_kmeans(&engine, centres, nearest, &job, &err), VLM_EFORMAT);
    job.n = K - 1;
    assert_int_equal(vlm_kmeans(&engine, centres, nearest, &job, &err), VLM_EFORMAT);
    vlm_engine_release(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pca_learns_and_is_the_same_for_any_threads),
        cmocka_unit_test(partial_grids_decode),
        cmocka_unit_test(changed_weights_are_not_the_same_tokenizer),
        cmocka_unit_test(precision_is_part_of_the_id),
        cmocka_unit_test(kmeans_finds_clusters),
    };
    return cmocka_run_group_tests(tests, make_test_folder, remove_test_folder);
}
